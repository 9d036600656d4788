"""Steps that a Sequential fuses: the same function, and its gradient."""

import numpy as np
import pytest
from references import draw

from minisvdd import ops
from minisvdd.backends import HostBackend, backend_problems
from minisvdd.gradcheck import check_gradients
from minisvdd.nn.fusion import FusedModule
from minisvdd.nn.layers import BatchNorm, Conv2D, Flatten, LeakyReLU, Linear, MaxPool2D, ReLU
from minisvdd.nn.networks import Sequential, make_encoder
from minisvdd.nn.optim import Adam


class OtherNorm(BatchNorm):
    """A layer of somebody's own, which may do anything."""


class OtherConv(Conv2D):
    """And another one."""


def kinds(layers, backend="numpy"):
    """The types of the steps of a network of these layers, once it is built."""
    network = Sequential(layers)
    network.build((1, 28, 28), np.random.default_rng(0), backend=backend)
    return [type(step) for step in network._steps]


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("name", ["numpy", "plain", "emulator"])
def test_the_encoder_modules_are_fused_except_on_the_plain_backend(name, affine):
    layers = make_encoder("mnist_lenet", (1, 28, 28), affine=affine).layers
    if name == "emulator" and backend_problems()["emulator"]:
        pytest.skip(backend_problems()["emulator"])
    modules = [FusedModule, FusedModule] if name != "plain" else [Conv2D, BatchNorm, LeakyReLU, MaxPool2D] * 2
    assert kinds(layers, name) == [*modules, Flatten, Linear]


@pytest.mark.parametrize(
    "layers",
    [
        [Conv2D(2, 3), BatchNorm(), LeakyReLU(), MaxPool2D(3)],
        [Conv2D(2, 3), BatchNorm(), LeakyReLU(), MaxPool2D(2, stride=1)],
        [Conv2D(2, 3), BatchNorm(), LeakyReLU(), MaxPool2D(2, padding=1)],
        [Conv2D(2, 3), BatchNorm(), LeakyReLU(), MaxPool2D(2, ceil_mode=True)],
        [Conv2D(2, 3), OtherNorm(), ReLU(), MaxPool2D(2)],
        [OtherConv(2, 3), BatchNorm(), ReLU(), MaxPool2D(2)],
        [Conv2D(2, 3, bias=True), BatchNorm(), ReLU(), MaxPool2D(2)],
    ],
)
def test_what_has_another_form_is_only_reordered(layers):
    """The pool before the activation, on fewer numbers; as written where formulas run."""
    conv, norm, activation, pool = map(type, layers)
    assert kinds(layers) == [conv, norm, pool, activation]
    assert kinds(layers, "plain") == [conv, norm, activation, pool]


def test_an_activation_of_somebody_s_own_stays_in_its_place():
    class Own(LeakyReLU):
        """Perhaps one that is not monotone."""

    assert kinds([Conv2D(2, 3), Own(), MaxPool2D(2)]) == [Conv2D, Own, MaxPool2D]


def test_functions_of_a_reader_s_own_are_not_passed_by():
    """Somebody's max-pool must run; what is fused would not call it."""
    calls = []

    def mine(x, kernel_size, stride):
        calls.append(x.shape)
        return ops.maxpool_forward(x, kernel_size, stride)

    network = make_encoder("mnist_lenet", (1, 28, 28))
    network.build((1, 28, 28), np.random.default_rng(0), backend=HostBackend(readings={"maxpool_forward": mine}))
    network.forward(np.zeros((2, 1, 28, 28), np.float32))
    assert calls == [(2, 8, 28, 28), (2, 4, 14, 14)]


def draw_scales_and_shifts(layers, rng):
    """Scales of both signs, and one that is 0, where every entry of a window ties."""
    for layer in layers:
        if isinstance(layer, BatchNorm) and layer.affine:
            weight = rng.standard_normal(len(layer.params["weight"]))
            weight[0] = 0
            layer.params["weight"][...], layer.params["bias"][...] = weight, rng.standard_normal(len(weight))


@pytest.mark.parametrize("affine", [False, True])
def test_forward_and_backward_are_those_of_the_layers_one_by_one(affine, rng):
    fused = Sequential([Conv2D(3, 3), BatchNorm(affine), ReLU(), MaxPool2D(2), Flatten(), Linear(2)])
    fused.build((2, 9, 8), rng, np.float64)
    draw_scales_and_shifts(fused.layers, rng)
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


@pytest.mark.parametrize("affine", [False, True])
def test_modules_on_any_backend_are_the_layers_one_by_one(affine, backend, rng):
    """Two modules after a layer of another kind; evaluation, the default, too."""
    layers = [ReLU()]
    for channels in (3, 4):
        layers += [Conv2D(channels, 3, padding=1), BatchNorm(affine), LeakyReLU(), MaxPool2D(2)]
    fused = Sequential(layers)
    fused.build((2, 8, 8), rng, np.float64, backend=backend)
    draw_scales_and_shifts(layers, rng)
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


@pytest.mark.parametrize("affine", [False, True])
def test_a_gradient_of_the_input_alone_leaves_those_of_the_parameters(affine, backend, rng):
    """As they were, wherever they are: with an optimiser they have places of their own."""
    network = Sequential([Conv2D(3, 3), BatchNorm(affine), LeakyReLU(), MaxPool2D(2)])
    network.build((2, 6, 6), rng, backend=backend)
    Adam(network)
    x, grad = (draw(rng, shape, np.float32) for shape in ((3, 2, 6, 6), (3, 3, 2, 2)))
    network.forward(x, training=True)
    wanted = network.backward(grad)
    before = {name: np.array(array) for name, array in network.grads.items()}
    assert len(before) == (3 if affine else 1)
    network.forward(x, training=True)
    np.testing.assert_array_equal(network.backward(grad, need_params=False), wanted)
    network.forward(2 * x, training=True)
    network.backward(2 * grad, need_params=False)
    for name, array in network.grads.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradcheck(frozen, affine, rng):
    network = Sequential([Conv2D(2, 3), BatchNorm(affine), LeakyReLU(), MaxPool2D(2)])
    network.build((1, 6, 7), rng)
    if affine:
        network.layers[1].params["weight"][...] = 1.5, -0.7
        network.layers[1].params["bias"][...] = 0.2, -0.1
    network.freeze_statistics(frozen)
    report = check_gradients(network, rng.standard_normal((3, 1, 6, 7)))
    assert report.passed, str(report)


def test_the_kinks_of_a_module_lie_where_its_output_changes_sign(rng):
    """And nowhere else: a step of a gradient check that stays on one side of 0 has crossed none."""
    network = Sequential([Conv2D(2, 3), BatchNorm(), LeakyReLU(), MaxPool2D(2)])
    network.build((1, 6, 7), rng)
    y = network.forward(rng.standard_normal((9, 1, 6, 7)).astype(np.float32), training=True)
    ((_, positive),) = network.kink_pattern()
    np.testing.assert_array_equal(positive, y > 0)
    assert 0 < positive.sum() < (y != 0).sum()
    assert ((y > 0) & (y < 0.5)).any(), "small ones too"


def test_backward_needs_a_fresh_forward(backend, rng):
    network = Sequential([Conv2D(1, 1), BatchNorm(), LeakyReLU(), MaxPool2D(2)])
    network.build((1, 4, 4), rng, backend=backend)
    grad = np.ones((2, 1, 2, 2), np.float32)
    with pytest.raises(RuntimeError, match="before forward"):
        network.backward(grad)
    x = rng.standard_normal((2, 1, 4, 4)).astype(np.float32)
    network.forward(x, training=True)
    network.backward(grad)
    with pytest.raises(RuntimeError, match="before forward"):
        network.backward(grad)
    network.forward(x, training=True)
    network.forward(2 * x)  # an evaluation changes nothing
    network.backward(grad)


def test_one_value_per_channel_is_refused(backend, rng):
    """Convolved to a single pixel, of a single image, before a window of 1x1 where there is a kernel for it.

    Before the running statistics have moved: the unbiased variance of one number is 0 / 0.
    """
    module = Sequential([Conv2D(2, 3), BatchNorm(), LeakyReLU(), MaxPool2D(1)])
    module.build((1, 3, 3), rng, backend=backend)
    with pytest.raises(ValueError, match="one value per channel"):
        module.forward(backend.asarray(np.ones((1, 1, 3, 3), np.float32)), training=True)
    running = {name: backend.to_numpy(array).tolist() for name, array in module.buffers.items()}
    assert running == {"1.running_mean": [0, 0], "1.running_var": [1, 1]}


def test_a_window_of_more_than_256_entries_is_not_fused():
    """The winner's index is one byte."""
    problem = backend_problems()["emulator"]
    if problem:
        pytest.skip(problem)

    def module(window):
        return [Conv2D(2, 3), BatchNorm(), ReLU(), MaxPool2D(window)]

    assert kinds(module((16, 16)), "emulator") == [FusedModule]
    assert FusedModule not in kinds(module((16, 17)), "emulator")
