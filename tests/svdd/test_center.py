"""The centre: statistics of its forward pass, and the rule for coordinates near zero."""

from itertools import pairwise

import numpy as np
import pytest
from trainer_properties import digits

from minisvdd.nn.batches import fixed_batches, outputs, outputs_in_parts, shuffled_batches
from minisvdd.nn.layers import BatchNorm, Conv2D, Linear
from minisvdd.nn.networks import Sequential, make_encoder
from minisvdd.svdd.center import collect_statistics, mean_output, move_from_zero


def built(name="digits_lenet", shape=(1, 8, 8)):
    network = make_encoder(name, shape)
    network.build(shape, np.random.default_rng(0))
    return network


def test_statistics_of_a_single_batch_are_its_own():
    """With one batch, evaluation on the collected statistics reproduces training mode (up to n / (n - 1))."""
    X, network = digits().train, built()
    collect_statistics(network, X, len(X))
    np.testing.assert_allclose(network.forward(X), network.forward(X, training=True), rtol=0.02, atol=0.02)


def test_statistics_average_over_batches_and_forget_the_past():
    X, network = digits().train, built()
    first = network.layers[1]
    first.buffers["running_mean"] += 100
    collect_statistics(network, X, 30)
    conv = network.layers[0].forward(X)
    np.testing.assert_allclose(first.buffers["running_mean"], conv.mean(axis=(0, 2, 3)), atol=0.02)
    assert first.momentum == 0.1


def test_mean_output_is_that_of_one_sample_after_another():
    """Evaluation mode: each sample counts once and sees no other, in whatever blocks they come."""
    X, network = digits().train, built()
    collect_statistics(network, X, 30)
    network.astype(np.float64)
    total = sum(network.forward(x[None].astype(np.float64))[0] for x in X)
    np.testing.assert_allclose(mean_output(network, X), total / len(X), rtol=1e-4, atol=1e-6)


def test_mean_output_of_a_linear_network_is_the_output_of_the_mean(rng):
    """phi(x) = W x, hence c = W mean(x), to the rounding of float64."""
    network = Sequential([Linear(4)])
    network.build((6,), rng)
    X = rng.standard_normal((1201, 6)) + np.arange(6)  # several blocks
    expected = network.params["0.weight"].astype(np.float64) @ X.mean(axis=0)
    np.testing.assert_allclose(mean_output(network, X), expected, rtol=1e-12)


def test_coordinates_near_zero_move_to_epsilon_and_keep_their_sign():
    moved = move_from_zero(np.array([0.0, -0.0, 0.05, -0.05, 0.1, -0.1, 3.0]), 0.1)
    np.testing.assert_array_equal(moved, [0.1, 0.1, 0.1, -0.1, 0.1, -0.1, 3.0])


@pytest.mark.parametrize(("n", "size", "expected"), [(10, 5, [5, 5]), (11, 5, [5, 6]), (12, 5, [5, 5, 2]), (1, 5, [1])])
def test_batches_cover_everything_once_and_none_has_one_sample(n, size, expected):
    batches = fixed_batches(n, size)
    assert [batch.stop - batch.start for batch in batches] == expected
    shuffled = shuffled_batches(n, size, np.random.default_rng(0))
    assert [len(batch) for batch in shuffled] == expected
    assert sorted(np.concatenate(shuffled)) == list(range(n))


def test_outputs_do_not_depend_on_the_size_of_the_data_set():
    X, network = digits().test, built()
    assert len(X) > 500
    np.testing.assert_allclose(outputs(network, X)[:7], outputs(network, X[:7]), rtol=1e-4, atol=1e-5)


def test_statistics_are_the_average_over_all_batches(rng):
    """Batches of very different means and variances: each counts as much as the last."""
    network = Sequential([BatchNorm()])
    network.build((3,), rng)
    X = (rng.standard_normal((12, 3)) * np.repeat([1, 5, 9], 4)[:, None] + np.repeat([0, 10, 50], 4)[:, None]).astype(
        np.float32
    )
    collect_statistics(network, X, batch_size=4)
    parts = X.astype(np.float64).reshape(3, 4, 3)
    mean, variance = network.layers[0].buffers.values()
    np.testing.assert_allclose(mean, parts.mean(axis=1).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, parts.var(axis=1, ddof=1).mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("n", "sizes"), [(1, [1]), (32, [32]), (33, [33]), (34, [32, 2]), (65, [32, 33]), (70, [32, 32, 6])]
)
def test_no_batch_of_one_sample_where_it_can_be_helped(n, sizes):
    batches = fixed_batches(n, 32)
    assert [batch.stop - batch.start for batch in batches] == sizes
    assert batches[0].start == 0
    assert all(first.stop == second.start for first, second in pairwise(batches))


def test_outputs_come_in_parts_whose_memory_is_in_order(rng):
    network = Sequential([Conv2D(2, 3)])
    network.build((1, 5, 4), rng)
    X = rng.standard_normal((1203, 1, 5, 4)).astype(np.float32)
    parts = list(outputs_in_parts(network, X))
    assert all(y.flags.c_contiguous for _, y in parts)
    assert np.concatenate([np.arange(1203)[part] for part, _ in parts]).tolist() == list(range(1203))
    np.testing.assert_allclose(np.concatenate([y for _, y in parts]), network.forward(X), rtol=1e-5, atol=1e-6)


def test_outputs_of_a_network_in_float64_are_its_own(rng):
    """A slope measured through them would drown in float32's rounding."""
    network = Sequential([Conv2D(2, 3)])
    network.build((1, 5, 4), rng, np.float64)
    X = rng.standard_normal((6, 1, 5, 4))
    assert outputs(network, X).dtype == np.float64
    np.testing.assert_allclose(outputs(network, X), network.forward(X), rtol=1e-13)
