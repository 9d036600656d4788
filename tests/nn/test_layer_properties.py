"""Properties of every layer on shapes, strides, paddings, precisions and memory orders that Hypothesis draws."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from layer_table import layer_classes
from references import draw, scattered

from minisvdd.backends import NUMPY, get_backend
from minisvdd.nn.layers import (
    BatchNorm,
    Conv2D,
    ConvTranspose2D,
    Flatten,
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
from minisvdd.ops import conv2d
from minisvdd.ops.conv2d import fast, winograd

examples = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

small, side = st.integers(1, 3), st.integers(1, 9)
pairs = st.tuples(small, small)
margins = st.tuples(st.integers(0, 3), st.integers(0, 3))
channels = st.sampled_from([1, 2, 3, 17])
images = st.tuples(st.integers(1, 5), channels, side, side)
orders = st.sampled_from(["C", "F", "scattered", "reversed", "batch last"])
dtypes = st.sampled_from([np.float32, np.float64])

conv_layers = st.builds(
    Conv2D, channels, st.tuples(st.integers(1, 5), st.integers(1, 5)), stride=pairs, padding=margins, bias=st.booleans()
)
transposed_layers = st.builds(ConvTranspose2D, channels, pairs, stride=pairs, padding=st.just(0), bias=st.booleans())
strategies = {
    Conv2D: conv_layers,
    ConvTranspose2D: transposed_layers,
    MaxPool2D: st.builds(MaxPool2D, pairs, pairs),
    Upsample: st.builds(Upsample, pairs),
    BatchNorm: st.builds(BatchNorm, st.booleans()),
    LeakyReLU: st.builds(LeakyReLU, st.sampled_from([0.0, 0.1, 1.0])),
    Sigmoid: st.builds(Sigmoid),
    Tanh: st.builds(Tanh),
    Flatten: st.builds(Flatten),
}
image_layers = st.one_of(*strategies.values())


def test_layers_of_images_are_all_drawn():
    """Linear is no layer of images; ReLU is a leaky ReLU, and other shapes than flat ones need one that fits."""
    assert strategies.keys() == layer_classes() - {Linear, ReLU, Reshape, Sequential}


def built(layer, sample_shape, dtype=np.float64, backend=NUMPY):
    """The layer for such samples with parameters that are not zero; discards draws that no layer can work on."""
    rng = np.random.default_rng(3)
    try:
        output_shape = layer.build(sample_shape, rng, dtype=dtype, backend=backend)
    except ValueError:
        assume(False)
    for name, array in layer.params.items():
        layer.params[name] = backend.asarray(draw(rng, array.shape, dtype))
    return layer, output_shape


def in_order(array, order):
    """The same numbers in another memory order."""
    if order == "F":
        return np.asfortranarray(array)
    if order == "scattered":
        return scattered(array)
    if order == "reversed":
        return np.ascontiguousarray(array[::-1, ..., ::-1])[::-1, ..., ::-1]
    if order == "batch last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 0, -1)), -1, 0)
    return array


def close(got, wanted, dtype=np.float64):
    """Equal up to rounding of sums of this size."""
    factor = 1e-12 if dtype == np.float64 else 3e-5
    scale = max(1.0, float(np.abs(wanted).max(initial=0.0)))
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=10 * factor, atol=factor * scale)


def pass_through(layer, x, grad_output):
    """(y, dL/dx, gradients of the parameters by name)."""
    y = layer.forward(x, training=True)
    grad_input = layer.backward(grad_output)
    return y, grad_input, dict(layer.grads)


def needs_more_values(layer, shape):
    """A batch norm with one value per channel has no variance."""
    return isinstance(layer, BatchNorm) and shape[0] * int(np.prod(shape[2:])) < 2


@examples
@given(image_layers, images, orders, orders, dtypes)
def test_memory_order_and_precision(layer, shape, order, grad_order, dtype):
    """Whatever order x and G have: the same result, of the shape that `build` promises, and both are left alone."""
    assume(not needs_more_values(layer, shape))
    rng = np.random.default_rng(0)
    layer, output_shape = built(layer, shape[1:], dtype)
    x, grad_output = draw(rng, shape, dtype), draw(rng, (shape[0], *output_shape), dtype)
    plain = pass_through(layer, x, grad_output)
    assert plain[0].shape == (shape[0], *output_shape)
    messy_x, messy_grad = in_order(x, order), in_order(grad_output, grad_order)
    y, grad_input, grads = pass_through(layer, messy_x, messy_grad)
    close(y, plain[0], dtype)
    close(grad_input, plain[1], dtype)
    for name, grad in grads.items():
        close(grad, plain[2][name], dtype)
    np.testing.assert_array_equal(messy_x, x)
    np.testing.assert_array_equal(messy_grad, grad_output)


@examples
@given(image_layers, images, st.randoms(use_true_random=False))
def test_the_order_of_the_batch_does_not_matter(layer, shape, random):
    """Permuted samples give permuted outputs and input gradients, and the same gradients of the parameters."""
    assume(not needs_more_values(layer, shape))
    rng = np.random.default_rng(1)
    layer, output_shape = built(layer, shape[1:])
    x, grad_output = draw(rng, shape), draw(rng, (shape[0], *output_shape))
    order = random.sample(range(shape[0]), shape[0])
    y, grad_input, grads = pass_through(layer, x, grad_output)
    y, grad_input, grads = y.copy(), grad_input.copy(), {name: grad.copy() for name, grad in grads.items()}
    permuted = pass_through(layer, x[order], grad_output[order])
    close(permuted[0], y[order])
    close(permuted[1], grad_input[order])
    for name, grad in grads.items():
        close(permuted[2][name], grad)


@examples
@given(
    st.one_of(
        st.builds(Conv2D, channels, pairs, stride=pairs, padding=margins),
        st.builds(ConvTranspose2D, channels, pairs, stride=pairs),
        st.builds(Upsample, pairs),
        st.builds(Linear, st.integers(1, 20)),
        st.builds(Reshape, st.just((-1, 1))),
    ),
    images,
    st.floats(-3, 3),
)
def test_linear_layers_are_linear_and_backward_is_the_adjoint(layer, shape, a):
    """f(a x + z) = a f(x) + f(z), and <f(x), y> = <x, f'(y)>, which leaves nothing to a step size."""
    rng = np.random.default_rng(2)
    if isinstance(layer, Linear):
        shape = (shape[0], shape[1] * shape[2])
    layer, output_shape = built(layer, shape[1:])
    x, z, y = draw(rng, shape), draw(rng, shape), draw(rng, (shape[0], *output_shape))
    fx = layer.forward(x, training=True).copy()
    back = layer.backward(y)
    scale = np.linalg.norm(fx) * np.linalg.norm(y) + 1
    assert abs((fx * y).sum() - (x * back).sum()) <= 1e-13 * scale
    close(layer.forward(a * x + z), a * fx + layer.forward(z))


@examples
@given(images, channels, pairs, pairs, st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_transposed_convolution_is_the_adjoint_of_convolution(shape, filters, kernel, stride, padding):
    """<conv(x), y> = <x, conv^T(y)> for two layers that share their filters."""
    rng = np.random.default_rng(4)
    conv, output_shape = built(Conv2D(filters, kernel, stride, padding), shape[1:])
    extra = [(n + 2 * p - k) % s for n, k, s, p in zip(shape[2:], kernel, stride, padding)]
    back, input_shape = built(ConvTranspose2D(shape[1], kernel, stride, padding, tuple(extra)), output_shape)
    assert input_shape == shape[1:]
    back.params["weight"] = conv.params["weight"]
    x, y = draw(rng, shape), draw(rng, (shape[0], *output_shape))
    left, right = (conv.forward(x) * y).sum(), (x * back.forward(y)).sum()
    assert abs(left - right) <= 1e-12 * (
        1 + np.linalg.norm(x) * np.linalg.norm(y) * np.linalg.norm(conv.params["weight"])
    )


@examples
@given(images, st.floats(0.1, 100), st.floats(-100, 100), dtypes)
def test_batch_norm_does_not_see_scale_and_shift_of_a_channel(shape, scale, shift, dtype):
    """And its gradient is orthogonal to what it does not see: to 1 and to x_hat, channel by channel."""
    assume(shape[0] * shape[2] * shape[3] > 2)
    rng = np.random.default_rng(5)
    layer, _ = built(BatchNorm(epsilon=0.0), shape[1:], dtype)
    x, grad_output = draw(rng, shape, dtype), draw(rng, shape, dtype)
    y, grad_input, _ = pass_through(layer, x, grad_output)
    tolerance = 1e-9 if dtype == np.float64 else 2e-3
    moved = layer.forward((scale * x + shift).astype(dtype), training=True)
    np.testing.assert_allclose(moved, y, atol=tolerance * (1 + abs(shift) / scale))
    axes, size = (0, 2, 3), 1 + np.abs(grad_input).max() * grad_input.size
    assert np.abs(grad_input.sum(axis=axes, dtype=np.float64)).max() <= tolerance * size
    assert np.abs((grad_input * y).sum(axis=axes, dtype=np.float64)).max() <= tolerance * size


@examples
@given(images, pairs, pairs, st.floats(0.5, 4))
def test_pooling_and_leaky_relu_are_homogeneous(shape, kernel, stride, factor):
    """f(a x) = a f(x) for a > 0; and max-pooling commutes with leaky ReLU, which is monotone."""
    assume(kernel[0] <= shape[2] and kernel[1] <= shape[3])
    x = draw(np.random.default_rng(6), shape)
    pool, _ = built(MaxPool2D(kernel, stride), shape[1:])
    relu = LeakyReLU(0.1)
    for layer in (pool, relu):
        close(layer.forward(factor * x), factor * layer.forward(x))
    close(pool.forward(relu.forward(x)), relu.forward(pool.forward(x)))


WAYS = [("winograd", "winograd"), ("strips", "all taps"), ("all taps", "all taps")]


@examples
@given(
    st.tuples(st.integers(1, 6), st.sampled_from([1, 2, 5, 24]), st.integers(1, 12), st.integers(1, 12)),
    st.sampled_from([1, 3, 20]),
    st.tuples(st.integers(1, 5), st.sampled_from(winograd.SIZES)),
    margins,
    dtypes,
)
def test_all_ways_of_convolution_agree(shape, filters, kernel, padding, dtype):
    """Winograd, strips and im2col: different sums, the same numbers, whatever would be chosen."""
    assume(all(n + 2 * p >= k for n, k, p in zip(shape[2:], kernel, padding)))
    rng = np.random.default_rng(8)
    x, weight = draw(rng, shape, dtype), draw(rng, (filters, shape[1], *kernel), dtype)
    results = []
    with pytest.MonkeyPatch.context() as patch:
        for forward, backward in WAYS:
            patch.setattr(fast, "forward_way", lambda *_, way=forward: way)
            patch.setattr(fast, "weight_way", lambda *_, way=backward: way)
            y = conv2d.conv2d_forward.on(NUMPY)(x, weight, padding=padding)
            grad_output = draw(np.random.default_rng(9), y.shape, dtype)
            results.append(
                (
                    y.copy(),
                    conv2d.conv2d_backward_weight.on(NUMPY)(grad_output, x, kernel, padding=padding),
                    conv2d.conv2d_backward_input.on(NUMPY)(grad_output, weight, shape[2:], padding=padding),
                )
            )
    for other in results[:-1]:
        for got, plain in zip(other, results[-1]):
            assert np.linalg.norm(got - plain) <= (1e-11 if dtype == np.float64 else 1e-5) * (1 + np.linalg.norm(plain))


@pytest.mark.compiler
@settings(examples, max_examples=40)
@given(image_layers, st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 3]), st.integers(1, 6), st.integers(1, 6)))
def test_numpy_and_the_emulated_kernels_agree(layer, shape):
    """The kernels, run on the CPU, on layers and shapes nobody chose."""
    assume(not needs_more_values(layer, shape))
    rng = np.random.default_rng(10)
    layer, output_shape = built(layer, shape[1:], np.float32)
    twin = type(layer)(**layer.config())
    twin, _ = built(twin, shape[1:], np.float32, get_backend("emulator"))
    x, grad_output = draw(rng, shape, np.float32), draw(rng, (shape[0], *output_shape), np.float32)
    plain, kernels = pass_through(layer, x, grad_output), pass_through(twin, x, grad_output)
    assert np.linalg.norm(kernels[0] - plain[0]) <= 1e-4 * (1 + np.linalg.norm(plain[0]))
    assert np.linalg.norm(kernels[1] - plain[1]) <= 1e-4 * (1 + np.linalg.norm(plain[1]))
    for name, grad in plain[2].items():
        assert np.linalg.norm(kernels[2][name] - grad) <= 1e-4 * (1 + np.linalg.norm(grad))
