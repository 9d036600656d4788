"""Steps that a Sequential fuses: the same function, and its gradient."""

import numpy as np
import pytest

from minisvdd.gradcheck import check_gradients
from minisvdd.nn.fusion import FusedModule, NormPool, steps
from minisvdd.nn.layers import BatchNorm, Conv2D, Flatten, LeakyReLU, Linear, MaxPool2D, ReLU
from minisvdd.nn.networks import Sequential, make_encoder


class OtherNorm(BatchNorm):
    """A layer of somebody's own, which may do anything."""


def kinds(layers):
    return [type(step) for step in steps(layers)]


def test_the_encoder_modules_are_fused():
    modules = [Conv2D, NormPool]
    assert kinds(make_encoder("mnist_lenet", (1, 28, 28)).layers) == [*modules, *modules, Flatten, Linear]


@pytest.mark.parametrize(
    "layers",
    [
        [BatchNorm(affine=True), LeakyReLU(), MaxPool2D(2)],
        [BatchNorm(), LeakyReLU(), MaxPool2D(3)],
        [BatchNorm(), LeakyReLU(), MaxPool2D(2, stride=1)],
        [OtherNorm(), ReLU(), MaxPool2D(2)],
    ],
)
def test_what_has_another_form_is_only_reordered(layers):
    norm, activation, pool = layers
    assert steps(layers) == [norm, pool, activation]
    assert steps(layers[:2]) == layers[:2]


def test_forward_and_backward_are_those_of_the_layers_one_by_one(rng):
    fused = Sequential([Conv2D(3, 3), BatchNorm(), ReLU(), MaxPool2D(2), Flatten(), Linear(2)])
    fused.build((2, 9, 8), rng, np.float64)
    plain = Sequential([Sequential([layer]) for layer in fused.layers])  # each alone: nothing to fuse
    x, grad_output = rng.standard_normal((4, 2, 9, 8)), rng.standard_normal((4, 2))
    statistics = fused.layers[1].buffers
    results = []
    for network in (fused, plain):
        statistics.update(running_mean=np.zeros(3), running_var=np.ones(3))
        y = network.forward(x, training=True)
        results.append((y, network.backward(grad_output), *network.grads.values(), *network.buffers.values()))
        results[-1] += (network.forward(x),)
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_modules_on_any_backend_are_the_layers_one_by_one(backend, rng):
    """Two modules after a layer of another kind; evaluation, the default, too."""
    layers = [ReLU()]
    for channels in (3, 4):
        layers += [Conv2D(channels, 3, padding=1), BatchNorm(), LeakyReLU(), MaxPool2D(2)]
    fused = Sequential(layers)
    fused.build((2, 8, 8), rng, np.float64, backend=backend)
    plain = Sequential([Sequential([layer]) for layer in layers])
    x, grad_output = rng.standard_normal((3, 2, 8, 8)), rng.standard_normal((3, 4, 2, 2))
    results = []
    for network in (fused, plain):
        for layer in layers:
            for name, array in layer.buffers.items():
                array[...] = float(name == "running_var")
        y = network.forward(x, training=True)
        results.append((y, network.backward(grad_output), *network.grads.values()))
        results[-1] += tuple(np.array(buffer) for buffer in network.buffers.values())
        results[-1] += (network.forward(x),)
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)
    if not backend.runs_numpy:
        step = steps(layers)[1]
        step.forward(steps(layers)[0].forward(x))
        with pytest.raises(RuntimeError, match="before forward"):
            step.backward(rng.standard_normal((3, 3, 4, 4)))


@pytest.mark.parametrize("frozen", [False, True])
def test_gradcheck(frozen, rng):
    network = Sequential([Conv2D(2, 3), BatchNorm(), LeakyReLU(), MaxPool2D(2)])
    network.build((1, 6, 7), rng)
    network.freeze_statistics(frozen)
    report = check_gradients(network, rng.standard_normal((3, 1, 6, 7)))
    assert report.passed, str(report)


def test_backward_needs_a_fresh_forward(rng):
    network = Sequential([BatchNorm(), LeakyReLU(), MaxPool2D(2)])
    network.build((1, 4, 4), rng)
    grad = np.ones((2, 1, 2, 2), np.float32)
    with pytest.raises(RuntimeError, match="before forward"):
        network.backward(grad)
    x = rng.standard_normal((2, 1, 4, 4)).astype(np.float32)
    network.forward(x, training=True)
    network.backward(grad)
    with pytest.raises(RuntimeError, match="before forward"):
        network.backward(grad)
    network.forward(x)
    with pytest.raises(RuntimeError, match="before forward"):
        network.backward(grad)


def test_one_value_per_channel_is_refused():
    (step,) = steps([BatchNorm(), LeakyReLU(), MaxPool2D(2)])
    with pytest.raises(ValueError, match="one value per channel"):
        step.forward(np.ones((1, 2, 1, 1)), training=True)


def test_a_window_of_more_than_256_entries_is_not_fused():
    """The winner's index is one byte."""

    class KernelBackend:
        runs_numpy = False

    def module(window):
        layers = [Conv2D(2, 3), BatchNorm(), ReLU(), MaxPool2D(window)]
        for layer in layers:
            layer.backend = KernelBackend()
        return layers

    assert kinds(module((16, 16))) == [FusedModule]
    assert FusedModule not in kinds(module((16, 17)))
