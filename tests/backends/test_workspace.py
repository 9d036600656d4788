"""The workspace: the same memory in every step, and nothing that leaves a step is overwritten."""

import threading
import tracemalloc

import numpy as np
import pytest

from minisvdd import DeepSVDD
from minisvdd.backends.threads import use_threads
from minisvdd.backends.workspace import Workspace, empty, scratch
from minisvdd.nn.batches import outputs
from minisvdd.nn.losses import OneClass
from minisvdd.nn.networks import make_encoder
from minisvdd.nn.optim import Adam
from minisvdd.nn.steps import HostSteps


def address(array):
    return array.__array_interface__["data"][0]


def test_every_block_hands_out_the_same_memory_in_the_same_order():
    workspace = Workspace()
    seen = []
    for _ in range(2):
        with workspace:
            arrays = [empty((3, 5), np.float32), empty((7,), np.float64), empty((0, 2), bool)]
        assert [(a.shape, a.dtype) for a in arrays] == [((3, 5), np.float32), ((7,), np.float64), ((0, 2), bool)]
        assert all(a.flags.c_contiguous and a.flags.writeable for a in arrays)
        seen.append([address(a) for a in arrays[:2]])
    assert seen[0] == seen[1]
    assert all(a % 64 == 0 for a in seen[0])
    assert not np.shares_memory(*arrays[:2])


def test_a_smaller_array_fits_and_a_larger_one_gets_a_new_buffer():
    workspace = Workspace()
    for count in (10, 4, 30, 10):
        with workspace:
            array = empty((count,), np.float32)
            array[...] = count
            assert array.sum() == count * count
    assert workspace.nbytes == 120


def test_outside_of_a_block_arrays_are_numpys_own():
    workspace = Workspace()
    with workspace:
        inside = empty((4,), float)
        with workspace:  # goes on: it must not hand out `inside` again
            again = empty((4,), float)
    assert not np.shares_memory(inside, again)
    assert not np.shares_memory(empty((4,), float), inside)


def test_other_threads_do_not_see_the_block():
    with Workspace() as workspace:
        found = []
        thread = threading.Thread(target=lambda: found.append(empty((4,), float)))
        thread.start()
        thread.join()
        assert workspace.nbytes == 0
    assert found[0].shape == (4,)


def test_scratch_is_nested_and_given_back():
    with scratch() as outer:
        a = outer((8,), float)
        with scratch() as inner:
            b = inner((8,), float)
        c = outer((8,), float)
    assert not np.shares_memory(a, b)
    assert np.shares_memory(b, c)
    with pytest.raises(KeyError), scratch():
        raise KeyError
    with scratch() as empty_again:
        assert np.shares_memory(empty_again((8,), float), a)


def training(network, x):
    steps = HostSteps(network, OneClass(np.full(network.output_shape, 0.1, np.float32)), Adam(network, 1e-3), x)
    return lambda: steps.step(slice(None))


def test_a_warm_step_allocates_no_activation(rng):
    """What is new belongs to the weights: transformed filters, sums of gradients. No activation of the first layers."""
    network = make_encoder("gtsrb_lenet", (3, 32, 32))
    network.build((3, 32, 32), rng)
    step = training(network, rng.standard_normal((64, 3, 32, 32)).astype(np.float32))
    with use_threads(1):
        for _ in range(3):
            step()
        tracemalloc.start()
        try:
            step()
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            step()
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
    smallest = 4 * 64 * 32 * 16 * 16  # of the first two convolutions' outputs
    assert peak < smallest


def test_results_are_those_without_a_workspace(rng):
    x = rng.standard_normal((20, 1, 28, 28)).astype(np.float32)
    networks = []
    for _ in range(2):
        networks.append(make_encoder("mnist_lenet", (1, 28, 28)))
        networks[-1].build((1, 28, 28), np.random.default_rng(0))
    step = training(networks[0], x)
    losses = [step()[0] for _ in range(3)]
    optimizer, loss = Adam(networks[1], 1e-3), OneClass(np.full(32, 0.1, np.float32))
    for expected in losses:
        value, grad, _ = loss(networks[1].forward(x, training=True))
        networks[1].backward(grad, need_input=False)
        optimizer.step()
        assert value == expected
    for one, other in zip(networks[0].params.values(), networks[1].params.values()):
        np.testing.assert_array_equal(one, other)


def test_what_evaluation_returns_stays(rng):
    X = rng.standard_normal((1100, 1, 8, 8)).astype(np.float32)  # more than two batches
    network = make_encoder("digits_lenet", (1, 8, 8))
    network.build((1, 8, 8), rng)
    found = outputs(network, X)
    kept = found.copy()
    outputs(network, -X)
    np.testing.assert_array_equal(found, kept)
    np.testing.assert_allclose(found[1030:], network.forward(X[1000:])[30:], rtol=1e-4, atol=1e-5)


def test_scores_of_a_model_stay_when_it_scores_again(rng):
    X = rng.standard_normal((40, 1, 8, 8)).astype(np.float32)
    model = DeepSVDD(network="digits_lenet", pretrain_epochs=1, epochs=1, batch_size=8, verbose=0).fit(X)
    scores = model.anomaly_score(X)
    kept = scores.copy()
    model.anomaly_score(3 * X)
    np.testing.assert_array_equal(scores, kept)
