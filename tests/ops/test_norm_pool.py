"""Batch norm, max-pool and leaky ReLU in one, against the three operations it stands for."""

import numpy as np
import pytest
from references import draw, scattered, tolerance

from minisvdd.backends import NUMPY
from minisvdd.ops import activations, batchnorm, pooling
from minisvdd.ops.norm_pool import norm_pool_backward, norm_pool_forward, norm_pool_forward_batch

SHAPES = [(3, 2, 6, 8), (5, 1, 7, 5), (2, 4, 2, 2), (70, 3, 3, 9)]
SLOPE, EPSILON, TWO = 0.1, 1e-4, (2, 2)


def one_after_the_other(x, grad_output, statistics=None):
    """(y, dL/dx) in the order of the paper: norm, leaky ReLU, pool."""
    if statistics is None:
        x_hat, scale, *_ = batchnorm.batchnorm_forward_batch(NUMPY, x, EPSILON)
    else:
        x_hat, scale = batchnorm.batchnorm_forward(NUMPY, x, *statistics, EPSILON)
    activated = activations.leaky_relu_forward(NUMPY, x_hat, SLOPE)
    y, winner = pooling.maxpool_forward(NUMPY, activated, TWO, TWO)
    grad = pooling.maxpool_backward(NUMPY, grad_output, winner, x.shape, TWO, TWO)
    grad = activations.leaky_relu_backward(NUMPY, grad, x_hat > 0, SLOPE)
    if statistics is None:
        return y, batchnorm.batchnorm_backward(NUMPY, grad, x_hat, scale)
    return y, batchnorm.batchnorm_backward_fixed(NUMPY, grad, scale)


def pooled_shape(shape):
    return (*shape[:2], shape[2] // 2, shape[3] // 2)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_three_operations(shape, dtype, rng):
    x, grad_output = draw(rng, shape, dtype) + 3, draw(rng, pooled_shape(shape), dtype)
    expected_y, expected_x = one_after_the_other(x, grad_output)
    y, pooled, winner, scale, mean, _ = norm_pool_forward_batch(x, SLOPE, EPSILON)
    grad_x = norm_pool_backward(grad_output, x, pooled, winner, SLOPE, scale, mean)
    assert y.dtype == grad_x.dtype == dtype
    np.testing.assert_array_equal(y, expected_y)  # to the last bit: both maps are monotone in floating point, too
    np.testing.assert_allclose(grad_x, expected_x, **tolerance(dtype))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_them_with_given_statistics(shape, dtype, rng):
    x, grad_output = draw(rng, shape, dtype), draw(rng, pooled_shape(shape), dtype)
    mean, variance = draw(rng, shape[1], dtype), draw(rng, shape[1], dtype) ** 2
    expected_y, expected_x = one_after_the_other(x, grad_output, (mean, variance))
    scale = 1 / np.sqrt(variance + EPSILON)
    y, pooled, winner = norm_pool_forward(x, mean, scale, SLOPE, training=True)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(norm_pool_forward(x, mean, scale, SLOPE, training=False)[0], expected_y)
    grad_x = norm_pool_backward(grad_output, x, pooled, winner, SLOPE, scale)
    np.testing.assert_allclose(grad_x, expected_x, **tolerance(dtype))


def test_ties_go_to_the_first_in_reading_order(rng):
    """All 81 windows of three values: every pattern of ties that there is."""
    values = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 4), axis=-1).reshape(-1, 1, 2, 2)
    _, _, winner = norm_pool_forward(values, np.zeros(1), np.ones(1), SLOPE, training=True)
    np.testing.assert_array_equal(winner, pooling.maxpool_forward(NUMPY, values, TWO, TWO)[1])
    assert set(winner.ravel()) == {0, 1, 2, 3}


def test_memory_order_does_not_matter_and_inputs_stay(rng):
    x, grad_output = draw(rng, (3, 2, 4, 6)), draw(rng, (3, 2, 2, 3))
    results = []
    for a, g in ((x, grad_output), (scattered(x), scattered(grad_output)), (np.asfortranarray(x), grad_output)):
        before = a.copy(), g.copy()
        y, pooled, winner, scale, mean, _ = norm_pool_forward_batch(a, SLOPE, EPSILON)
        results.append((y, norm_pool_backward(g, a, pooled, winner, SLOPE, scale, mean)))
        np.testing.assert_array_equal(a, before[0])
        np.testing.assert_array_equal(g, before[1])
    for y, grad_x in results[1:]:
        np.testing.assert_allclose(y, results[0][0], rtol=1e-12)
        np.testing.assert_allclose(grad_x, results[0][1], rtol=1e-10, atol=1e-12)
