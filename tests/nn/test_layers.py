"""The layer contract, shape inference with its errors, and the gradient check of every layer and network."""

import json

import numpy as np
import pytest
import references as ref
from layer_table import FEATURES, IMAGE, LAYERS, LINEAR_LAYERS, layer_classes
from references import draw, tolerance

from minisvdd.backends import EmulatorBackend
from minisvdd.gradcheck import check_library, library_cases
from minisvdd.nn.layers import (
    BatchNorm,
    Conv2D,
    ConvTranspose2D,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2D,
    ReLU,
    Reshape,
    Sigmoid,
    Tanh,
    Upsample,
)
from minisvdd.nn.networks import Sequential
from minisvdd.rivals.dcgan import GAN_ARCHITECTURES

every_layer = pytest.mark.parametrize(
    ("make", "sample"), LAYERS, ids=[type(make()).__name__ + "-" + "x".join(map(str, s)) for make, s in LAYERS]
)


def build(make, sample, rng, dtype=np.float64, batch=4):
    """(layer, x, shape of the output)."""
    layer = make()
    shape = layer.build(sample, rng, dtype)
    return layer, draw(rng, (batch, *sample), dtype), (batch, *shape)


SINGLE = sorted(layer.__name__ for layer in layer_classes() - {Sequential})
NETWORKS = ["Sequential", "small_lenet", "mlp"]
NETWORKS += [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("digits_lenet", "mnist_lenet", "cifar10_lenet", "gtsrb_lenet")
]

_NOT_ON = {
    "plain": ("cifar10_lenet", "gtsrb_lenet"),
    "emulator": ("small_lenet", "mlp", "mnist_lenet", "cifar10_lenet", "gtsrb_lenet"),
}


def test_the_table_holds_every_layer():
    assert {type(make()) for make, _ in LAYERS} == layer_classes()
    assert {type(make()) for make, _ in LINEAR_LAYERS} < layer_classes()


@pytest.fixture
def fast_backend(backend):
    """The emulator without its checker, whose place is in tests/kernels: here each kernel runs thousands of times."""
    return EmulatorBackend(check=False) if backend.name == "emulator" else backend


@pytest.mark.parametrize("name", SINGLE)
def test_gradient_of_layer(name, fast_backend):
    for report in check_library(name, fast_backend):
        assert report.raise_if_failed().error < 1e-7


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_of_network(name, fast_backend):
    """Encoder and autoencoder, as built and after 20 steps of training, in both modes; emulated, the encoder alone."""
    if name in _NOT_ON.get(fast_backend.name, ()):
        pytest.skip("minutes on this backend, and no operation that the smaller networks lack")
    for case in library_cases()[name][: 1 if fast_backend.name == "emulator" else None]:
        report = case.check(fast_backend)
        assert report.raise_if_failed().error < 1e-5
        assert {check.stage for check in report.arrays} == {"start", "after 20 steps"}
        assert {check.mode for check in report.arrays} == {"training", "evaluation"}


@pytest.mark.slow
@pytest.mark.parametrize("name", GAN_ARCHITECTURES)
def test_gradient_of_gan(name):
    """Generator and discriminator end to end, and the latent search's gradient for z.

    Of the largest the search alone: its layers are those of MNIST's once more, and the whole takes half a minute.
    """
    network, search = library_cases()[name]
    assert search.check().raise_if_failed().error < 1e-5
    if name != "cifar10_dcgan":
        report = network.check().raise_if_failed()
        assert report.error < 1e-5
        assert "input" in {check.name for check in report.arrays}


@every_layer
def test_backward_input_is_backward_without_the_parameters(make, sample, rng):
    layer, x, shape = build(make, sample, rng)
    grad_output = draw(rng, shape)
    layer.forward(x, training=True)
    expected = layer.backward(grad_output)
    layer.forward(x, training=True)
    np.testing.assert_array_equal(layer.backward(grad_output, need_params=False), expected)
    with pytest.raises(RuntimeError, match="backward before forward"):
        layer.backward(grad_output, need_params=False)


@every_layer
def test_backward_needs_a_fresh_training_forward(make, sample, rng):
    layer, x, shape = build(make, sample, rng)
    grad_output = draw(rng, shape)
    with pytest.raises(RuntimeError, match="backward before forward"):
        layer.backward(grad_output)
    layer.forward(x, training=True)
    layer.backward(grad_output)
    with pytest.raises(RuntimeError, match="backward before forward"):
        layer.backward(grad_output)


@pytest.mark.parametrize(
    ("make", "sample"),
    [
        (lambda: Linear(3), (5,)),
        (lambda: Linear(3), (1,)),
        (lambda: Conv2D(3, 3, padding=1), (1, 6, 5)),
        (lambda: ConvTranspose2D(3, 3), (1, 6, 5)),
        (lambda: BatchNorm(), (1, 6, 5)),
        (lambda: BatchNorm(affine=True), (3, 6, 5)),
        (lambda: Sequential([LeakyReLU(), Sequential([Conv2D(3, 3)])]), (1, 6, 5)),
        (lambda: Sequential([Conv2D(3, 3), BatchNorm(), LeakyReLU(), MaxPool2D(2)]), (1, 6, 5)),
        (lambda: Sequential([Conv2D(3, 3), BatchNorm(), LeakyReLU(), MaxPool2D(2)]), (2, 3, 8)),
    ],
)
def test_samples_of_another_shape_leave_no_pass_behind(make, sample, backend, rng):
    """NumPy would take one channel for all that the layer was built for; and backward must not work on half a pass."""
    layer, built_for = make(), (7,) if len(sample) == 1 else IMAGE
    shape = layer.build(built_for, rng, np.float32, backend)
    layer.forward(draw(rng, (4, *built_for), np.float32), training=True)
    for training in (False, True):
        with pytest.raises(ValueError, match=r"expected \(|is larger than the input"):
            layer.forward(draw(rng, (4, *sample), np.float32), training=training)
    if isinstance(layer, Sequential):
        with pytest.raises(RuntimeError, match="backward before forward"):
            layer.backward(draw(rng, (4, *shape), np.float32))


@every_layer
def test_an_evaluation_changes_nothing(make, sample, rng):
    """Not even between forward and backward of a training: another thread may score meanwhile."""
    layer, x, shape = build(make, sample, rng)
    grad_output = draw(rng, shape)
    layer.forward(x, training=True)
    expected, grads = layer.backward(grad_output), dict(layer.grads)
    layer.forward(x, training=True)
    before, pattern = vars(layer).copy(), layer.kink_pattern()
    layer.forward(2 * x)
    assert vars(layer).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(layer).items())
    assert layer.kink_pattern() is pattern or isinstance(layer, Sequential)
    np.testing.assert_array_equal(layer.backward(grad_output), expected)
    for name, grad in grads.items():
        np.testing.assert_array_equal(layer.grads[name], grad)


@every_layer
def test_inputs_are_left_alone(make, sample, rng):
    layer, x, shape = build(make, sample, rng)
    grad_output = draw(rng, shape)
    x.flags.writeable = grad_output.flags.writeable = False
    layer.forward(x)
    assert layer.forward(x, training=True).shape == shape
    assert layer.backward(grad_output).shape == x.shape


@every_layer
def test_backward_writes_and_does_not_add(make, sample, rng):
    layer, x, shape = build(make, sample, rng)
    grad_output = draw(rng, shape)
    passes = []
    for _ in range(2):
        layer.forward(x, training=True)
        layer.backward(grad_output)
        passes.append({name: grad.copy() for name, grad in layer.grads.items()})
    assert passes[0].keys() == layer.params.keys()
    for name, grad in passes[0].items():
        assert grad.shape == layer.params[name].shape
        np.testing.assert_array_equal(grad, passes[1][name])


@every_layer
def test_what_nobody_asks_for_is_left_out(make, sample, rng):
    """The parts of backward are the same as in the whole; without `need_params` nothing is written."""
    layer, x, shape = build(make, sample, rng)
    grad_output = draw(rng, shape)
    layer.forward(x, training=True)
    grad_input = layer.backward(grad_output)
    whole = {name: grad.copy() for name, grad in layer.grads.items()}
    layer.forward(x, training=True)
    layer.backward(grad_output, need_input=False)
    for name, grad in layer.grads.items():
        np.testing.assert_array_equal(grad, whole[name])
    fresh, *_ = build(make, sample, np.random.default_rng(0))
    for mine, its in zip((layer.params, layer.buffers), (fresh.params, fresh.buffers)):
        for name, array in mine.items():
            its[name][...] = array
    fresh.forward(x, training=True)
    np.testing.assert_array_equal(fresh.backward(grad_output, need_params=False), grad_input)
    assert not fresh.grads


class Doubled(Conv2D):
    """Works on its own gradient right after it has been computed."""

    def backward(self, grad_output, need_input=True, need_params=True):
        grad_input = super().backward(grad_output, need_input, need_params)
        self.grads["weight"] = 2 * self.grads["weight"]
        return grad_input


class Wrapped(Layer):
    """Reads the gradients of a network inside of it right after they have been computed."""

    def __init__(self):
        super().__init__()
        self.inner = Sequential([Conv2D(3, 3)])

    def _build(self, input_shape, rng, dtype):
        output_shape = self.inner.build(input_shape, rng, dtype)
        self.params = self.inner.params
        return output_shape

    def forward(self, x, training=False):
        return self.inner.forward(x, training)

    def backward(self, grad_output, need_input=True, need_params=True):
        grad_input = self.inner.backward(grad_output, need_input, need_params)
        self.grads = {name: 2 * grad for name, grad in self.inner.grads.items()}
        return grad_input


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("make", [lambda: Doubled(3, 3), Wrapped])
def test_layer_inside_a_sequential_may_use_its_gradient_at_once(make, first, rng):
    """A layer of somebody's own keeps its methods, also where its like would be fused with its neighbours."""
    x, results = rng.standard_normal((20, 2, 12, 12)), []
    for inner in (make(), Conv2D(3, 3)):
        behind = [BatchNorm(), LeakyReLU(), MaxPool2D(2)]
        network = Sequential([*([] if first else [Conv2D(2, 3)]), inner, *behind, Conv2D(4, 3)])
        shape = network.build((2, 12, 12), np.random.default_rng(0), np.float64)
        network.forward(x, training=True)
        network.backward(np.random.default_rng(1).standard_normal((20, *shape)), need_input=False)
        results.append(list(network.grads.values()))
    for index, (doubled, grad) in enumerate(zip(*results)):
        expected = 2 * grad if index == (0 if first else 1) else grad
        np.testing.assert_allclose(doubled, expected, rtol=1e-9, atol=1e-12)


@every_layer
def test_dtype_is_kept(make, sample, dtype, rng):
    layer, x, shape = build(make, sample, rng, dtype)
    grad_output = draw(rng, shape, dtype)
    assert layer.forward(x).dtype == layer.forward(x, training=True).dtype == dtype
    assert layer.backward(grad_output).dtype == dtype
    for arrays in (layer.params, layer.grads, layer.buffers):
        assert all(array.dtype == dtype for array in arrays.values())
    other = np.float64 if dtype == np.float32 else np.float32
    assert layer.astype(other).forward(x.astype(other)).dtype == other


@every_layer
def test_memory_order_of_the_input_does_not_matter(make, sample, rng):
    layer, x, shape = build(make, sample, rng)
    results = []
    for inputs in (x, ref.scattered(x), np.asfortranarray(x)):
        y = layer.forward(inputs, training=True)
        results.append((y, layer.backward(ref.scattered(np.cos(np.arange(np.prod(shape))).reshape(shape)))))
    for y, grad in results[1:]:
        np.testing.assert_allclose(y, results[0][0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(grad, results[0][1], rtol=1e-12, atol=1e-13)


@every_layer
def test_permuted_batch_gives_permuted_output(make, sample, rng):
    layer, x, _ = build(make, sample, rng)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(
        layer.forward(x[order], training=True), layer.forward(x, training=True)[order], rtol=1e-11, atol=1e-13
    )


@every_layer
def test_config_builds_the_layer_again(make, sample, rng):
    layer = make()
    if isinstance(layer, Sequential):
        assert json.loads(json.dumps(layer.config()))["layers"][3] == [
            "MaxPool2D",
            {"kernel_size": [2, 2], "stride": [2, 2], "padding": [0, 0], "ceil_mode": False},
        ]
        return
    again = type(layer)(**json.loads(json.dumps(layer.config())))
    assert again.build(sample, rng) == layer.build(sample, rng)
    assert repr(again) == repr(layer)


@pytest.mark.parametrize(("make", "sample"), LINEAR_LAYERS, ids=[type(make()).__name__ for make, _ in LINEAR_LAYERS])
def test_backward_of_a_linear_layer_is_its_adjoint(make, sample, rng):
    """<A x, y> = <x, A'y>, to rounding."""
    layer, x, shape = build(make, sample, rng)
    y = draw(rng, shape)
    np.testing.assert_allclose((layer.forward(x, training=True) * y).sum(), (x * layer.backward(y)).sum(), rtol=1e-11)


@pytest.mark.parametrize(
    ("stride", "padding", "output_padding"),
    [((1, 1), (0, 0), (0, 0)), ((2, 3), (1, 0), (1, 2)), ((2, 2), (2, 1), (0, 1))],
)
def test_conv_transpose_equals_the_plain_loops(stride, padding, output_padding, dtype, rng):
    layer = ConvTranspose2D(3, (3, 2), stride, padding, output_padding)
    shape = layer.build((2, 4, 5), rng, dtype)
    x = draw(rng, (2, 2, 4, 5), dtype)
    expected = ref.conv_transpose_forward(x, layer.params["weight"], stride, padding, output_padding)
    assert expected.shape == (2, *shape)
    np.testing.assert_allclose(layer.forward(x), expected, **tolerance(dtype))
    grad_x, grad_weight = ref.conv2d_backward(x, expected, layer.params["weight"], stride, padding)
    assert grad_x.shape == expected.shape
    layer.forward(x, training=True)
    layer.backward(expected.astype(dtype))
    np.testing.assert_allclose(layer.grads["weight"], grad_weight, **tolerance(dtype))


def test_conv_transpose_takes_other_sizes_than_it_was_built_for(rng):
    layer = ConvTranspose2D(2, 3, stride=2, padding=1)
    layer.build((3, 4, 4), rng)
    x = draw(rng, (1, 3, 6, 7))
    expected = ref.conv_transpose_forward(x, layer.params["weight"], (2, 2), (1, 1), (0, 0))
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-5, atol=1e-6)


class TestBatchNorm:
    def test_running_statistics_follow_the_batches(self, rng):
        layer = BatchNorm(momentum=0.1)
        layer.build((2,), rng, np.float64)
        mean, variance = np.zeros(2), np.ones(2)
        for _ in range(3):
            x = 3 + draw(rng, (6, 2))
            layer.forward(x, training=True)
            mean, variance = 0.9 * mean + 0.1 * x.mean(0), 0.9 * variance + 0.1 * x.var(0, ddof=1)
        np.testing.assert_allclose(layer.buffers["running_mean"], mean)
        np.testing.assert_allclose(layer.buffers["running_var"], variance)
        y = layer.forward(x)
        np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + layer.epsilon))
        np.testing.assert_allclose(layer.buffers["running_mean"], mean)  # evaluation moves nothing

    def test_frozen_statistics_stay_and_are_used(self, rng):
        layer, x, _ = build(BatchNorm, FEATURES, rng)
        layer.forward(x, training=True)
        before = {name: buffer.copy() for name, buffer in layer.buffers.items()}
        layer.freeze_statistics()
        np.testing.assert_array_equal(layer.forward(x, training=True), layer.forward(x))
        for name, buffer in layer.buffers.items():
            np.testing.assert_array_equal(buffer, before[name])
        layer.freeze_statistics(False)
        np.testing.assert_allclose(layer.forward(x, training=True).mean(axis=0), 0, atol=1e-12)

    def test_batch_of_one_is_refused_in_one_line(self, rng):
        layer, x, _ = build(BatchNorm, FEATURES, rng, batch=1)
        with pytest.raises(ValueError, match=r"batch of one value per channel, got input \(1, 5\)") as error:
            layer.forward(x, training=True)
        assert "\n" not in str(error.value)
        assert layer.forward(x).shape == x.shape  # evaluation takes single samples


@pytest.mark.parametrize(
    ("layer", "sample", "words"),
    [
        (Linear(3), IMAGE, r"Linear expects features .* \(2, 6, 5\)"),
        (Conv2D(3, 3), FEATURES, r"Conv2D expects images .* \(5,\)"),
        (Conv2D(3, 9), IMAGE, r"kernel_size=\(9, 9\) is larger than the input \(6, 5\)"),
        (ConvTranspose2D(3, 1, padding=5), IMAGE, r"ConvTranspose2D: padding=\(5, 5\)"),
        (ConvTranspose2D(3, 3), FEATURES, "ConvTranspose2D expects images"),
        (BatchNorm(), (3, 4), r"BatchNorm expects features .* \(3, 4\)"),
        (MaxPool2D(7), IMAGE, r"kernel_size=\(7, 7\) is larger"),
        (MaxPool2D(2), FEATURES, "MaxPool2D expects images"),
        (Upsample(2), FEATURES, "Upsample expects images"),
        (Reshape((7, -1)), IMAGE, r"Reshape: cannot turn samples \(2, 6, 5\) into \(7, -1\)"),
        (Sequential([Flatten(), Conv2D(3, 3)]), IMAGE, r"layer 1: Conv2D expects images .* \(60,\)"),
        (Sequential([Sequential([Flatten(), MaxPool2D()])]), IMAGE, "layer 0: layer 1: MaxPool2D"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "forward") else "",
)
def test_build_errors_name_layer_and_shape(layer, sample, words, rng):
    with pytest.raises(ValueError, match=words):
        layer.build(sample, rng)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Linear(0), "out_features=0"),
        (lambda: Conv2D(2.5, 3), "out_channels=2.5"),
        (lambda: Conv2D(3, 0), "kernel_size=0"),
        (lambda: Conv2D(3, 3, stride=(1, 2, 3)), "stride="),
        (lambda: Conv2D(3, 4, padding="same"), "padding='same'"),
        (lambda: Conv2D(3, 3, padding=-1), "padding=-1"),
        (lambda: ConvTranspose2D(3, 3, stride=2, output_padding=2), "output_padding="),
        (lambda: LeakyReLU(1.5), "slope=1.5"),
        (lambda: LeakyReLU(np.nan), "slope=nan: expected a number in \\[0, 1\\]"),
        (lambda: LeakyReLU(True), "slope=True"),
        (lambda: Upsample(0), "scale=0"),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_weights_need_a_generator():
    with pytest.raises(TypeError, match=r"numpy\.random\.Generator"):
        Linear(3).build(FEATURES)


@pytest.mark.parametrize(
    "layer",
    [
        LeakyReLU(np.float64(0.1)),
        BatchNorm(epsilon=np.float64(1e-4), momentum=np.float64(0.1)),
        Linear(np.int64(3)),
        Reshape(np.array([5, 1])),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_numpy_scalars_as_arguments(layer, rng):
    """They neither promote float32 to float64 nor make the configuration unfit for JSON."""
    layer.build(FEATURES, rng)
    x = draw(rng, (4, 5), np.float32)
    assert layer.forward(x, training=True).dtype == np.float32
    assert all(buffer.dtype == np.float32 for buffer in layer.buffers.values())
    json.dumps(layer.config())


def test_properties_that_invite_collapse():
    """Propositions 2 and 3: constants that can be trained, and bounded outputs."""
    assert Linear(2, bias=True).has_bias_like
    assert Conv2D(2, 1, bias=True).has_bias_like
    assert BatchNorm(affine=True).has_bias_like
    assert not any(layer.has_bias_like for layer in (Linear(2), Conv2D(2, 1), BatchNorm(), LeakyReLU()))
    assert Sigmoid().is_bounded
    assert Tanh().is_bounded
    assert not LeakyReLU().is_bounded
    assert Sequential([Linear(2), Sequential([Linear(1, bias=True)])]).has_bias_like


class TestSequential:
    def make(self, rng):
        network = Sequential([Linear(4), Sequential([BatchNorm(affine=True), LeakyReLU()]), Linear(2)])
        network.build((3,), rng, np.float64)
        return network

    def test_names(self, rng):
        network = self.make(rng)
        assert list(network.params) == ["0.weight", "1.0.weight", "1.0.bias", "2.weight"]
        assert list(network.buffers) == ["1.0.running_mean", "1.0.running_var"]
        assert [type(layer).__name__ for layer in network.flat_layers()] == [
            "Linear",
            "BatchNorm",
            "LeakyReLU",
            "Linear",
        ]
        assert network.input_shape == (3,)
        assert network.output_shape == (2,)

    def test_backward_is_the_chain_rule(self, rng):
        network, x = self.make(rng), draw(rng, (5, 3))
        grad_output = draw(rng, (5, 2))
        network.forward(x, training=True)
        whole = network.backward(grad_output)
        network.forward(x, training=True)
        first, middle, last = network.layers
        np.testing.assert_array_equal(first.backward(middle.backward(last.backward(grad_output))), whole)

    def test_load_arrays(self, rng):
        source, target = self.make(rng), self.make(np.random.default_rng(1))
        x = draw(rng, (5, 3))
        source.forward(x, training=True)
        arrays = source.params | source.buffers
        target.load_arrays(arrays)
        np.testing.assert_array_equal(target.forward(x), source.forward(x))
        with pytest.raises(ValueError, match=r"'0\.weight' has shape \(1, 1\), expected \(4, 3\)"):
            target.load_arrays(arrays | {"0.weight": np.zeros((1, 1))})
        target, changed = self.make(rng), {name: array + 1 for name, array in arrays.items()}
        before = {name: array.copy() for name, array in target.arrays.items()}
        del changed["2.weight"]
        with pytest.raises(KeyError, match=r"'2\.weight' is missing"):
            target.load_arrays(changed)
        for name, array in target.arrays.items():
            np.testing.assert_array_equal(array, before[name])

    def test_a_build_that_fails_leaves_no_network_of_two_sizes(self, rng):
        network = Sequential([Conv2D(3, 3), MaxPool2D(2), Conv2D(2, 3)])
        network.build((1, 9, 9), rng)
        with pytest.raises(ValueError, match="layer 2: kernel_size"):
            network.build((1, 5, 5), rng)
        assert not network.is_built
        assert network.input_shape == (1, 9, 9)
        network.build((1, 9, 9), rng)
        assert network.is_built

    def test_loaded_arrays_are_copies(self, rng):
        source, target = self.make(rng), self.make(rng)
        target.load_arrays(source.params | source.buffers)
        target.params["0.weight"][...] = 0
        assert source.params["0.weight"].any()


@pytest.mark.parametrize("activation", [LeakyReLU(0.1), LeakyReLU(0.37), ReLU()], ids=repr)
def test_pooling_before_the_activation_changes_no_bit(activation, rng):
    """Sequential exchanges the two in evaluation; layer by layer, in the given order, the numbers are the same."""
    layers = [activation, MaxPool2D(2), activation, MaxPool2D(3, 1)]
    x = rng.standard_normal((4, 3, 12, 12)).astype(np.float32)
    network, expected = Sequential(layers), x
    network.build(x.shape[1:])
    for layer in layers:
        expected = layer.forward(expected)
    np.testing.assert_array_equal(network.forward(x), expected)


@pytest.mark.parametrize("make", [lambda: Linear(2), lambda: Conv2D(2, 3), lambda: ConvTranspose2D(2, 3), BatchNorm])
def test_nothing_has_a_bias_that_was_not_asked_for(make, rng):
    """Proposition 2: with one the sphere can collapse."""
    layer = make()
    layer.build(FEATURES if isinstance(layer, Linear) else IMAGE, rng)
    assert layer.params.keys() <= {"weight"}
    assert not layer.has_bias_like


def test_rectifiers_and_their_slopes(rng):
    x = np.array([[-2.0, -0.5, 0.0, 0.5, 2.0]])
    for layer, slope in ((ReLU(), 0), (LeakyReLU(0.3), 0.3), (LeakyReLU(), LeakyReLU().slope)):
        layer.build(FEATURES, rng, np.float64)
        np.testing.assert_allclose(layer.forward(x), np.where(x > 0, x, slope * x), rtol=1e-15)
    assert 0 < LeakyReLU().slope < 1


@pytest.mark.parametrize("padding", [2, (0, 2), (2, 0)], ids=str)
def test_padding_of_pooling_beyond_half_the_kernel_is_refused(padding):
    with pytest.raises(ValueError, match=r"^padding=.*2.*: expected at most half of kernel_size=\(3, 3\)$"):
        MaxPool2D(3, padding=padding)
