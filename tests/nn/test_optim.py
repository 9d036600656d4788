"""Optimisers against plain loops, weight decay by itself, the learning-rate schedule."""

from types import SimpleNamespace

import numpy as np
import pytest
import references as ref
from references import draw

from minisvdd.backends import NUMPY
from minisvdd.gradcheck import check_gradient
from minisvdd.nn.flat import can_flatten
from minisvdd.nn.init import glorot_uniform
from minisvdd.nn.layers import Conv2D, Flatten, Linear
from minisvdd.nn.losses import MeanSquaredError
from minisvdd.nn.networks import Sequential
from minisvdd.nn.optim import SGD, Adam, StepSchedule
from minisvdd.nn.steps import DeviceSteps


def network_of(**params):
    """Something with params and grads, the latter zero."""
    return SimpleNamespace(params=params, grads={name: np.zeros_like(p) for name, p in params.items()}, backend=NUMPY)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_adam_equals_the_plain_loops(weight_decay, rng):
    weight = draw(rng, (3, 4))
    network = network_of(weight=weight.copy())
    optimizer = Adam(network, learning_rate=0.01, weight_decay=weight_decay)
    plain, values = ref.Adam(0.01, weight_decay=weight_decay), list(weight.ravel())
    for _ in range(10):
        network.grads["weight"] = draw(rng, (3, 4))
        values = plain.step(values, network.grads["weight"].ravel())
        optimizer.step()
        np.testing.assert_allclose(network.params["weight"].ravel(), values, rtol=1e-12)


def test_first_step_of_adam_has_the_size_of_the_learning_rate(rng):
    """Bias correction: m_hat = g and v_hat = g^2 at t = 1, whatever the size of g."""
    network = network_of(weight=np.zeros((2, 3)))
    network.grads["weight"] = np.array([[1e-3, 1.0, 1e3], [-1e-3, -1.0, -1e3]])
    Adam(network, learning_rate=0.01).step()
    np.testing.assert_allclose(network.params["weight"], -0.01 * np.sign(network.grads["weight"]), rtol=1e-4)


def test_adam_with_a_constant_gradient_keeps_its_pace():
    """With the correction every step is the learning rate; without it the early ones would be too long or short."""
    network = network_of(weight=np.zeros((1, 1)))
    network.grads["weight"][...] = 5.0
    optimizer = Adam(network, learning_rate=0.1)
    for step in range(1, 6):
        optimizer.step()
        assert network.params["weight"].item() == pytest.approx(-0.1 * step, rel=1e-6)


def test_sgd_with_momentum(rng):
    network = network_of(weight=draw(rng, (2, 3)))
    optimizer = SGD(network, learning_rate=0.1, momentum=0.9, weight_decay=0.2)
    weight, velocity = network.params["weight"].copy(), np.zeros((2, 3))
    for _ in range(4):
        network.grads["weight"] = draw(rng, (2, 3))
        velocity = 0.9 * velocity + network.grads["weight"] + 0.2 * weight
        weight = weight - 0.1 * velocity
        optimizer.step()
        np.testing.assert_allclose(network.params["weight"], weight, rtol=1e-12)


def test_gradient_of_weight_decay_alone(rng):
    """lambda/2 ||W||^2: with a zero gradient, a step of SGD moves W by -learning_rate lambda W."""
    decay, weight = 0.3, draw(rng, (3, 4))

    def gradient(w):
        network = network_of(weight=w.copy())
        SGD(network, learning_rate=0.5, momentum=0.0, weight_decay=decay).step()
        return (w - network.params["weight"]) / 0.5

    report = check_gradient(lambda w: decay / 2 * (w * w).sum(), gradient, weight, raise_on_failure=True)
    assert report.error < 1e-7


@pytest.mark.parametrize("make", [Adam, SGD])
def test_decay_leaves_biases_and_affine_parameters_alone(make):
    """The objective's W are the weight matrices and filters."""
    network = network_of(weight=np.ones((2, 2)), bias=np.ones(2))
    make(network, learning_rate=0.1, weight_decay=0.5).step()
    assert (network.params["weight"] < 1).all()
    assert (network.params["bias"] == 1).all()


@pytest.mark.parametrize("make", [Adam, SGD])
def test_steps_are_in_place_and_keep_float32(make, rng):
    layer = Linear(2)
    layer.build((3,), rng)
    weight = layer.params["weight"]
    layer.forward(draw(rng, (4, 3), np.float32), training=True)
    layer.backward(draw(rng, (4, 2), np.float32))
    before = weight.copy()
    make(layer).step()
    assert layer.params["weight"] is weight
    assert weight.dtype == np.float32
    assert (weight != before).all()


def test_errors(rng):
    layer = Linear(2)
    layer.build((3,), rng)
    with pytest.raises(RuntimeError, match="no gradient for 'weight'"):
        Adam(layer).step()
    for word, least in (("learning_rate", "> 0"), ("weight_decay", ">= 0")):
        for value in (-1.0, np.nan, np.inf, True, "0.1"):
            with pytest.raises(ValueError, match=f"^{word}={value!r}: expected a number {least}"):
                SGD(layer, **{word: value})
    with pytest.raises(ValueError, match="learning_rate=0: expected a number > 0"):
        SGD(layer, learning_rate=0)


def test_step_schedule():
    schedule = StepSchedule(1.0, milestones=(2, 4), factor=0.1)
    np.testing.assert_allclose([schedule(epoch) for epoch in range(6)], [1, 1, 0.1, 0.1, 0.01, 0.01])
    assert StepSchedule(0.5)(100) == 0.5


def test_glorot_draws_fill_their_interval_evenly():
    """[-a, a] with a^2 = 6 / (fan_in + fan_out), and the variance a^2 / 3 that follows."""
    weight = glorot_uniform(np.random.default_rng(0), (400, 50), fan_in=20, fan_out=4, dtype=np.float64)
    limit = 0.5
    assert -limit <= weight.min() < -0.999 * limit
    assert 0.999 * limit < weight.max() <= limit
    assert weight.var() == pytest.approx(limit**2 / 3, rel=0.02)


def test_filters_are_drawn_for_all_their_inputs():
    """fan_in = C kh kw, fan_out = K kh kw (equation of Glorot and Bengio, per position of the filter)."""
    layer = Conv2D(60, (2, 5))
    layer.build((40, 9, 9), np.random.default_rng(0))
    limit = np.sqrt(6 / (10 * (40 + 60)))
    assert 0.995 * limit < np.abs(layer.params["weight"]).max() <= limit


def test_what_cannot_be_flat_is_stepped_array_by_array(rng):
    """On a kernel backend too: a single layer does not list its layers, and nothing is flat without parameters."""
    backend = RecordingBackend()
    layer = Linear(2)
    layer.build((3,), rng)
    layer.backend = backend
    assert Adam(layer).device_state is None
    assert not can_flatten(Sequential([Flatten()]))
    assert can_flatten(Sequential([layer]))


def test_one_array_of_parameters_is_refused_where_there_can_be_none(rng):
    network = Sequential([Linear(2)])
    network.build((3,), rng)
    with pytest.raises(ValueError, match="only the layers of a network on a kernel backend can share one array"):
        Adam(network, flat=True)
    with pytest.raises(ValueError, match="optimizer: expected an Adam in its flat form"):
        DeviceSteps(network, MeanSquaredError(), Adam(network), np.zeros((4, 3), np.float32), batch_size=2)


class RecordingBackend:
    """Stands for a kernel backend as far as an optimiser's constructor needs one."""

    runs_numpy = False
    asarray = staticmethod(np.asarray)


@pytest.mark.parametrize("flat", [None, False])
def test_steps_are_counted_and_can_be_set(flat, backend, rng):
    """Bias correction goes on from there: Adam's next step is that of the same moments at that time."""
    network = Sequential([Linear(3)])
    network.build((4,), rng, np.float32, backend)
    optimizer = Adam(network, flat=flat)
    network.forward(backend.asarray(draw(rng, (2, 4), np.float32)), training=True)
    network.backward(backend.asarray(draw(rng, (2, 3), np.float32)))
    assert optimizer.step_count == 0
    for _ in range(2):
        optimizer.step()
    assert optimizer.step_count == 2
    optimizer.step_count = 7
    optimizer.step()
    assert optimizer.step_count == 8
