"""Batch norm: the plain loops with the full Jacobian, and its invariances."""

import numpy as np
import pytest
import references as ref
from references import draw, scattered, tolerance

from minisvdd.ops import batchnorm
from minisvdd.ops.batchnorm import fast, launch

SHAPES = [(5, 3), (2, 1), (4, 2, 3, 5), (1, 3, 4, 3), (3, 1, 1, 1)]
EPSILON = 1e-4


def forward_backward(backend, x, grad_output):
    mean, variance = batchnorm.batch_statistics.on(backend)(x)
    x_hat, scale = batchnorm.batchnorm_forward.on(backend)(x, mean, variance, EPSILON)
    return x_hat, batchnorm.batchnorm_backward.on(backend)(grad_output, x_hat, scale)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_plain_loops(shape, backend, dtype, rng):
    x, grad_output = draw(rng, shape, dtype), draw(rng, shape, dtype)
    for inputs in (x, scattered(x)):
        got = forward_backward(backend, inputs, grad_output)
        for ours, plain in zip(got, ref.batchnorm(x.astype(np.float64), grad_output, EPSILON)):
            assert ours.dtype == dtype
            np.testing.assert_allclose(ours, plain, **tolerance(dtype))


@pytest.mark.parametrize("shape", [(50, 3), (6, 3, 4, 5)], ids=str)
def test_output_has_mean_0_and_variance_1(shape, backend, rng):
    x = 3 + 2 * draw(rng, shape)
    x_hat, _ = forward_backward(backend, x, x)
    axes = tuple(a for a in range(x.ndim) if a != 1)
    np.testing.assert_allclose(x_hat.mean(axis=axes), 0, atol=1e-12)
    variance = x.var(axis=axes)
    np.testing.assert_allclose(x_hat.var(axis=axes), variance / (variance + EPSILON), rtol=1e-12)


def test_shift_and_scale_of_a_channel_do_not_matter(backend, rng):
    """y(a x + b) = y(x) for a > 0, up to epsilon; so the gradient has no component along 1 and along x_hat."""
    x, grad_output = draw(rng, (6, 3, 4, 5)), draw(rng, (6, 3, 4, 5))
    x_hat, grad_x = forward_backward(backend, x, grad_output)
    shifted, _ = forward_backward(backend, x + np.array([1.0, -2, 5])[:, None, None], grad_output)
    scaled, _ = forward_backward(backend, 100 * x, grad_output)
    np.testing.assert_allclose(shifted, x_hat, atol=1e-12)
    np.testing.assert_allclose(scaled, x_hat, atol=1e-3)
    np.testing.assert_allclose(grad_x.sum(axis=(0, 2, 3)), 0, atol=1e-11)
    np.testing.assert_allclose((grad_x * x_hat).sum(axis=(0, 2, 3)), 0, atol=0.05)  # epsilon leaves a little


def test_permuted_batch_gives_permuted_output(backend, rng):
    x, grad_output, order = draw(rng, (4, 3)), draw(rng, (4, 3)), [2, 0, 3, 1]
    for got, wanted in zip(
        forward_backward(backend, x[order], grad_output[order]), forward_backward(backend, x, grad_output)
    ):
        np.testing.assert_allclose(got, wanted[order], rtol=1e-12, atol=1e-14)


def test_fixed_statistics_are_constants(backend, dtype, rng):
    x, grad_output = draw(rng, (4, 3, 2, 2), dtype), draw(rng, (4, 3, 2, 2), dtype)
    mean, variance = draw(rng, 3, dtype), rng.uniform(1, 2, 3).astype(dtype)
    x_hat, scale = batchnorm.batchnorm_forward.on(backend)(x, mean, variance, EPSILON)
    grad_x = batchnorm.batchnorm_backward_fixed.on(backend)(grad_output, scale)
    for c in range(3):
        r = 1 / np.sqrt(variance[c] + EPSILON)
        np.testing.assert_allclose(x_hat[:, c], (x[:, c] - mean[c]) * r, **tolerance(dtype))
        np.testing.assert_allclose(grad_x[:, c], grad_output[:, c] * r, **tolerance(dtype))


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4, 5)], ids=str)
def test_affine(shape, backend, dtype, rng):
    x_hat, grad_output = draw(rng, shape, dtype), draw(rng, shape, dtype)
    weight, bias = draw(rng, 3, dtype), draw(rng, 3, dtype)
    y = batchnorm.affine_forward.on(backend)(x_hat, weight, bias)
    grad_x_hat, grad_weight, grad_bias = batchnorm.affine_backward.on(backend)(grad_output, x_hat, weight)
    for c in range(3):
        np.testing.assert_allclose(y[:, c], weight[c] * x_hat[:, c] + bias[c], **tolerance(dtype))
        np.testing.assert_allclose(grad_x_hat[:, c], weight[c] * grad_output[:, c], **tolerance(dtype))
        np.testing.assert_allclose(grad_weight[c], (grad_output[:, c] * x_hat[:, c]).sum(), **tolerance(dtype))
        np.testing.assert_allclose(grad_bias[c], grad_output[:, c].sum(), **tolerance(dtype))


@pytest.mark.parametrize("count", [1, 4095, 4096, 4097, 1 << 20])
def test_sums_of_long_rows_stay_accurate(count, rng):
    a, b = rng.random((2, 2, count)).astype(np.float32)  # all of one sign: rounding errors have one, too
    exact = (a.astype(np.float64) * b).sum(axis=1)
    np.testing.assert_allclose(fast.row_products(a, b), exact, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (200, 32, 196), (200, 600, 4), (3, 4, 10**6), (10**5, 1, 1)])
def test_shares_of_a_channel_are_worth_a_block(shape):
    """Together at most about 512 blocks, and a channel is only cut into shares of 2048 numbers and more."""
    N, C, positions = shape
    shares = launch.shares_of_channel(N, C, positions)
    assert shares == 1 or (shares * C <= 512 and N * positions / shares >= 2048)
    assert shares + 1 > min(512 / C, N * positions / 2048) - 1, "no more could be used"


def test_running_statistics_move_in_place(backend, dtype, rng):
    running, batch = draw(rng, 3, dtype), draw(rng, 3, dtype)
    expected = 0.9 * running.astype(np.float64) + 0.1 * 1.5 * batch
    batchnorm.running_update.on(backend)(running, batch, 0.1, 1.5)
    np.testing.assert_allclose(running, expected, **tolerance(dtype))
