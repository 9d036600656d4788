"""Update rules on every backend: against one number at a time, and all parameters at once against array by array."""

from types import SimpleNamespace

import numpy as np
import pytest
from references import Adam as PlainAdam
from references import draw

from minisvdd.nn.layers import BatchNorm, Linear
from minisvdd.nn.networks import Sequential
from minisvdd.nn.optim import Adam
from minisvdd.ops import adam
from minisvdd.ops.device_log import StepCount, StepLog


def network(backend, dtype=np.float64):
    """Weights, which have weight decay, and biases, which have not, in turn."""
    built = Sequential([Linear(3, bias=True), BatchNorm(affine=True), Linear(2, bias=True)])
    built.build((5,), np.random.default_rng(0), dtype=dtype, backend=backend)
    return built


def train(built, optimizer, dtype, steps=4):
    rng = np.random.default_rng(1)
    for step in range(steps):
        optimizer.learning_rate = 0.05 / (1 + step)
        y = built.forward(built.backend.asarray(rng.standard_normal((6, 5)).astype(dtype)), training=True)
        built.backward(built.backend.asarray(rng.standard_normal(y.shape).astype(dtype)))
        optimizer.step()
    return {name: np.array(param) for name, param in built.params.items()}


def test_adam_equals_one_number_at_a_time(backend, dtype, rng):
    w, moments, plain = draw(rng, (3, 5), dtype), np.zeros((2, 3, 5), dtype), PlainAdam(0.1, weight_decay=0.2)
    expected = w.ravel().astype(np.float64).tolist()
    for step in range(1, 5):
        g = draw(rng, (3, 5), dtype)
        adam.adam_update.on(backend)(w, g, *moments, step, 0.1, 0.9, 0.999, 1e-8, 0.2)
        expected = plain.step(expected, g.ravel())
    np.testing.assert_allclose(w.ravel(), expected, rtol=1e-4 if dtype == np.float32 else 1e-12)


def test_momentum_equals_one_number_at_a_time(backend, dtype, rng):
    w, velocity = draw(rng, (3, 5), dtype), np.zeros((3, 5), dtype)
    expected, u = w.astype(np.float64), 0
    for _ in range(4):
        g = draw(rng, (3, 5), dtype)
        adam.sgd_update.on(backend)(w, g, velocity, 0.1, 0.9, 0.2)
        u = 0.9 * u + g + 0.2 * expected
        expected = expected - 0.1 * u
    np.testing.assert_allclose(w, expected, rtol=1e-4 if dtype == np.float32 else 1e-12)


def test_all_parameters_at_once_equal_one_array_at_a_time(backend, dtype):
    if backend.runs_numpy:
        pytest.skip("the NumPy backend has the plain form only")
    one_by_one, at_once = network(backend, dtype), network(backend, dtype)
    expected = train(one_by_one, Adam(one_by_one, weight_decay=0.3, flat=False), dtype)
    got = train(at_once, Adam(at_once, weight_decay=0.3), dtype)
    for name in expected:
        if backend.name == "emulator":  # nvcc may fuse multiplication and addition differently in the two kernels
            np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_flat_parameters_share_one_array_and_keep_their_values(backend):
    if backend.runs_numpy:
        pytest.skip("the NumPy backend has the plain form only")
    built = network(backend)
    before = {name: np.array(param) for name, param in built.params.items()}
    optimizer = Adam(built)
    flat = optimizer.device_state.flat
    for name, param in built.params.items():
        np.testing.assert_array_equal(param, before[name])
        assert np.shares_memory(param, flat.params)
        assert optimizer.first_moment[name].shape == param.shape
    assert flat.decayed == sum(param.size for param in before.values() if param.ndim > 1)


@pytest.mark.parametrize("flat", [False, True])
def test_a_step_before_backward_is_refused(flat, backend):
    if flat and backend.runs_numpy:
        pytest.skip("the NumPy backend has the plain form only")
    with pytest.raises(RuntimeError, match=r"no gradient for .*: call backward before step"):
        Adam(network(backend), flat=flat).step()


@pytest.mark.parametrize("flat", [False, True])
def test_weight_decay_rests_where_the_loss_pulls_at_nothing(flat, backend, dtype):
    """From the start nothing moves at all; later momentum runs out, as it does without weight decay."""
    if flat and backend.runs_numpy:
        pytest.skip("the NumPy backend has the plain form only")
    nothing, something = (backend.asarray(np.eye(6, 2, dtype=dtype) * factor) for factor in (0, 1))

    def after(*steps):
        """Weights after steps of (weight decay, pull, whether the optimiser is told of it)."""
        built = network(backend, dtype)
        optimizer = Adam(built, flat=flat)
        for optimizer.weight_decay, pull, told in steps:
            built.forward(backend.asarray(np.ones((6, 5), dtype)), training=True)
            built.backward(pull)
            optimizer.step(pull if told else None)
        return np.concatenate([np.ravel(param) for param in built.params.values() if param.ndim > 1])

    np.testing.assert_array_equal(after(*[(0.3, nothing, True)] * 3), after())
    pulled = (0.0, something, True)
    np.testing.assert_array_equal(after(pulled, (0.3, nothing, True)), after(pulled, (0.0, nothing, True)))
    assert not np.array_equal(after(pulled, (0.3, nothing, True)), after(pulled))
    assert not np.array_equal(after(pulled, (0.3, nothing, False)), after(pulled, (0.0, nothing, False)))
    np.testing.assert_array_equal(after((0.3, something, True)), after((0.3, something, False)))


@pytest.mark.parametrize("size", [1, 67, 256, 5000])
def test_a_pull_is_found_wherever_it_is(size, backend, dtype):
    """One number anywhere, however small, or NaN; zeros of either sign are none. Weights then decay, in every block."""
    if backend.runs_numpy:
        pytest.skip("kernel backends only")

    def decays(x):
        weights = np.linspace(1, 2, 300).astype(dtype)
        arrays = [backend.asarray(a.astype(dtype)) for a in (weights, *np.zeros((3, 300)), x)]
        flat = SimpleNamespace(params=arrays[0], grads=arrays[1], decayed=300)
        rate, count = backend.asarray(np.array([0.1])), StepCount(*(backend.zeros(1, np.int32) for _ in range(2)))
        adam.adam_update_flat(backend, flat, *arrays[2:], rate, count, 0.9, 0.999, 1e-8, 0.1)
        moved = backend.to_numpy(flat.params) != weights
        assert moved.all() or not moved.any()
        return moved.all()

    assert not decays(np.zeros(size))
    assert not decays(-np.zeros(size))
    for place in {0, size // 2, size - 1}:
        for value in (1e-30, -3.0, np.nan):
            x = np.zeros(size)
            x[place] = value
            assert decays(x), (place, value)


def test_a_step_leaves_its_loss_where_the_host_looks_for_it(backend, dtype, rng):
    """Step 7 of a training whose epoch began after 5: batch 2, of more samples than there are parameters."""
    if backend.runs_numpy:
        pytest.skip("kernel backends only")
    for samples in (draw(rng, 300, dtype), None):
        logged = [backend.zeros(4, np.float64), backend.zeros(4 * 300, dtype)]
        arrays = [backend.asarray(np.ones(7, dtype)) for _ in range(4)]
        flat = SimpleNamespace(params=arrays[0], grads=arrays[1], decayed=3)
        count = StepCount(*(backend.asarray(np.array([n], np.int32)) for n in (7, 7)))
        first, value, rate = (backend.asarray(np.array(v)) for v in (np.int32([5]), 0.25, [0.1]))
        on_device = None if samples is None else backend.asarray(samples)
        log = StepLog(first, value, on_device, *logged, 300)
        adam.adam_update_flat(backend, flat, *arrays[2:], None, rate, count, 0.9, 0.999, 1e-8, 0.1, log)
        values, shares = (backend.to_numpy(a) for a in logged)
        np.testing.assert_array_equal(values, [0, 0, 0.25, 0])
        np.testing.assert_array_equal(shares[600:900], 0 if samples is None else samples)
        assert not shares[:600].any()
        assert not shares[900:].any()
        assert backend.to_numpy(count.done)[0] == 8
