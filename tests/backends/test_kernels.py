"""Our kernels on the emulator: every operation against its NumPy lines, on odd sizes, both precisions, every rung."""

import numpy as np
import pytest
from references import CONV_CASES, POOL_CASES, draw, scattered, tolerance

from minisvdd.backends import NUMPY, get_backend
from minisvdd.backends.emulator import find_compiler
from minisvdd.ops import activations, adam, batchnorm, conv2d, linear, losses, pooling, upsample

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="the emulator needs a C++ compiler")


def agree(operation, *args, **options):
    """The kernel's result, or results, equal those of the NumPy lines."""
    emulated, expected = (operation(backend, *args, **options) for backend in (get_backend("emulator"), NUMPY))
    pairs = zip(emulated, expected) if isinstance(expected, tuple) else [(emulated, expected)]
    for got, wanted in pairs:
        assert got.shape == wanted.shape
        if wanted.dtype.kind == "f":
            assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, **tolerance(wanted.dtype))


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 7, 11), (1, 1)], ids=str)
def test_activations(shape, dtype, rng):
    x, grad_output = scattered(draw(rng, shape, dtype)), draw(rng, shape, dtype)
    agree(activations.leaky_relu_forward, x, 0.1)
    agree(activations.leaky_relu_backward, grad_output, x > 0, 0.1)
    for forward, backward in (
        (activations.sigmoid_forward, activations.sigmoid_backward),
        (activations.tanh_forward, activations.tanh_backward),
    ):
        agree(forward, x)
        agree(backward, grad_output, forward(NUMPY, x))


@pytest.mark.parametrize("rung", ["naive", "tiled"])
@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (17, 33, 5), (16, 16, 16), (3, 40, 18)])
def test_matrix_product(rows, inner, columns, rung, dtype, rng):
    a, b = draw(rng, (rows, inner), dtype), draw(rng, (inner, columns), dtype)
    emulator = get_backend("emulator")
    np.testing.assert_allclose(linear._matmul(emulator, a, b, rung=rung), a @ b, **tolerance(dtype))
    transposed = linear._matmul(emulator, a.T.copy(), b.T.copy(), transpose_a=True, transpose_b=True, rung=rung)
    np.testing.assert_allclose(transposed, a @ b, **tolerance(dtype))


def test_tiles_save_global_loads(rng):
    emulator, a = get_backend("emulator"), draw(rng, (32, 32))
    emulator.count, loads = True, {}
    for rung in ("naive", "tiled"):
        linear._matmul(emulator, a, a, rung=rung)
        loads[rung] = emulator.last_counts.global_loads / a.size
    assert loads == {"naive": 2 * 32, "tiled": 2 * 32 / 16}


def test_linear_and_bias(dtype, rng):
    x, weight, grad_output = draw(rng, (4, 19), dtype), draw(rng, (3, 19), dtype), draw(rng, (4, 3), dtype)
    agree(linear.linear_forward, scattered(x), weight)
    agree(linear.linear_backward_input, grad_output, weight)
    agree(linear.linear_backward_weight, grad_output, x)
    for y in (grad_output, draw(rng, (2, 3, 5, 4), dtype)):
        agree(linear.bias_forward, y, draw(rng, 3, dtype))
        agree(linear.bias_backward, y)


@pytest.mark.parametrize("case", CONV_CASES, ids=str)
def test_convolution(case, dtype, rng):
    shape, filters, kernel, stride, padding = case
    x, weight = scattered(draw(rng, shape, dtype)), draw(rng, (filters, shape[1], *kernel), dtype)
    agree(conv2d.conv2d_forward, x, weight, stride, padding)
    size = conv2d.conv2d_output_size(shape[2:], kernel, stride, padding)
    grad_output = draw(rng, (shape[0], filters, *size), dtype)
    agree(conv2d.conv2d_backward_weight, grad_output, x, kernel, stride, padding)
    agree(conv2d.conv2d_backward_input, grad_output, weight, shape[2:], stride, padding)


@pytest.mark.parametrize("tied", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("case", POOL_CASES, ids=str)
def test_pooling(case, tied, dtype, rng):
    shape, kernel, stride = case
    x = draw(rng, shape, dtype)
    x = np.sign(x) if tied else x
    agree(pooling.maxpool_forward, scattered(x), kernel, stride)
    emulator = get_backend("emulator")
    y, winner = pooling.maxpool_forward(emulator, x, kernel, stride)
    grad_output = draw(rng, y.shape, dtype)
    agree(pooling.maxpool_backward, grad_output, winner, shape, kernel, stride)


@pytest.mark.parametrize(("shape", "scale"), [((2, 3, 4, 5), (2, 2)), ((1, 1, 1, 1), (3, 2)), ((2, 1, 3, 2), (1, 3))])
def test_upsampling(shape, scale, dtype, rng):
    agree(upsample.upsample_forward, scattered(draw(rng, shape, dtype)), scale)
    size = (*shape[:2], shape[2] * scale[0], shape[3] * scale[1])
    agree(upsample.upsample_backward, scattered(draw(rng, size, dtype)), scale)


@pytest.mark.parametrize("shape", [(5, 3), (3, 2, 7, 11), (2, 1, 1, 1)], ids=str)
def test_batchnorm(shape, dtype, rng):
    x, grad_output, C = 2 + 3 * draw(rng, shape, dtype), scattered(draw(rng, shape, dtype)), shape[1]
    mean, variance = batchnorm.batch_statistics(NUMPY, x)
    x_hat, scale = batchnorm.batchnorm_forward(NUMPY, x, mean, variance, 1e-4)
    weight, bias = draw(rng, C, dtype), draw(rng, C, dtype)
    agree(batchnorm.batch_statistics, x)
    agree(batchnorm.batchnorm_forward, x, mean, variance, 1e-4)
    agree(batchnorm.batchnorm_backward, grad_output, x_hat, scale)
    agree(batchnorm.batchnorm_backward_fixed, grad_output, scale)
    agree(batchnorm.affine_forward, x_hat, weight, bias)
    agree(batchnorm.affine_backward, grad_output, x_hat, weight)


@pytest.mark.parametrize("rung", ["naive", "shuffles"])
def test_means_per_channel(rung, dtype, rng):
    a, b = draw(rng, (3, 2, 7, 11), dtype), draw(rng, (3, 2, 7, 11), dtype)
    means = batchnorm._channel_means(get_backend("emulator"), a, b, rung)
    np.testing.assert_allclose(means, [a.mean((0, 2, 3)), (a * b).mean((0, 2, 3))], **tolerance(dtype))


def test_optimisers(dtype, rng):
    arrays = [draw(rng, (7, 5), dtype) for _ in range(3)] + [draw(rng, (7, 5), dtype) ** 2]
    for update, count, factors in (
        (adam.adam_update, 4, (3, 1e-2, 0.9, 0.999, 1e-8, 0.1)),
        (adam.sgd_update, 3, (1e-2, 0.9, 0.1)),
    ):
        copies = [[array.copy() for array in arrays[:count]] for _ in range(2)]
        for backend, copy in zip((get_backend("emulator"), NUMPY), copies):
            update(backend, *copy, *factors)
        for got, wanted in zip(*copies):
            np.testing.assert_allclose(got, wanted, **tolerance(dtype))


def test_distances_and_their_losses(dtype, rng):
    outputs, center = scattered(draw(rng, (5, 7), dtype)), draw(rng, 7, dtype)
    agree(losses.squared_distances, outputs, center)
    images, targets = draw(rng, (3, 2, 5, 3), dtype), draw(rng, (3, 2, 5, 3), dtype)
    for loss, args in (
        (losses.one_class_loss, (outputs, center)),
        (losses.soft_boundary_loss, (outputs, center, float(np.median(((outputs - center) ** 2).sum(1))) + 0.1, 0.3)),
        (losses.mean_squared_error, (images, targets)),
    ):
        (value, grad), (wanted_value, wanted_grad) = loss(get_backend("emulator"), *args), loss(NUMPY, *args)
        assert value == pytest.approx(wanted_value, rel=1e-5)
        assert grad.dtype == dtype
        np.testing.assert_allclose(grad, wanted_grad, **tolerance(dtype))
