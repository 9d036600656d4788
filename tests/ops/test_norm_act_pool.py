"""Batch norm, leaky ReLU and max-pool in one, against the three operations that the formula puts in a row."""

import numpy as np
import pytest
from helpers_cuda import recording_backend
from references import draw, scattered, tolerance

from minisvdd import ops
from minisvdd.ops.norm_act_pool import launch

SHAPES = [(3, 2, 6, 8), (5, 1, 7, 5), (2, 4, 2, 2), (70, 3, 3, 9)]
SLOPE, EPSILON, TWO = 0.1, 1e-4, (2, 2)


def pooled_shape(shape):
    return (*shape[:2], shape[2] // 2, shape[3] // 2)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_formula_with_given_statistics(shape, backend, dtype, rng):
    x, grad_output = draw(rng, shape, dtype), draw(rng, pooled_shape(shape), dtype)
    mean, scale = draw(rng, shape[1], dtype), draw(rng, shape[1], dtype) ** 2 + dtype(0.1)
    expected_y, expected_winner = ops.norm_act_pool_forward(x, mean, scale, SLOPE, TWO)
    y, winner = ops.norm_act_pool_forward.on(backend)(x, mean, scale, SLOPE, TWO)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected_y)  # to the last bit: both maps are monotone in floating point, too
    np.testing.assert_array_equal(winner, expected_winner)
    np.testing.assert_array_equal(ops.norm_act_pool_evaluate.on(backend)(x, mean, scale, SLOPE, TWO), expected_y)
    backward = ops.norm_act_pool_backward
    grad_x = backward.on(backend)(grad_output, x, y, winner, mean, scale, SLOPE, TWO, fixed=True)
    expected_x = backward(grad_output, x, y, winner, mean, scale, SLOPE, TWO, fixed=True)
    np.testing.assert_allclose(grad_x, expected_x, **tolerance(dtype))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_formula_with_scale_and_shift(shape, backend, dtype, rng):
    """Of either sign, and 0; with fixed statistics and with those of x."""
    x, grad_output = draw(rng, shape, dtype), draw(rng, pooled_shape(shape), dtype)
    affine = ops.Affine(draw(rng, shape[1], dtype), draw(rng, shape[1], dtype))
    affine.weight[-1] = 0
    mean, scale = x.mean(axis=(0, 2, 3)), 1 / x.std(axis=(0, 2, 3))
    arguments = x, mean, scale, SLOPE, TWO, affine
    expected_y, expected_winner = ops.norm_act_pool_forward(*arguments)
    y, winner = ops.norm_act_pool_forward.on(backend)(*arguments)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected_y, **tolerance(dtype))
    np.testing.assert_array_equal(winner, expected_winner)
    np.testing.assert_array_equal(ops.norm_act_pool_evaluate.on(backend)(*arguments), y)
    for fixed in (False, True):
        given = (grad_output, x, y, winner, mean, scale, affine.weight, SLOPE, TWO, fixed)
        expected = ops.affine_act_pool_backward(*given)
        for found, wanted in zip(ops.affine_act_pool_backward.on(backend)(*given), expected, strict=True):
            assert found.dtype == dtype
            np.testing.assert_allclose(found, wanted, **tolerance(dtype))


def test_the_gradients_of_scale_and_shift_are_those_of_their_own_operation(rng):
    """Batch norm, scale and shift, leaky ReLU, max-pool, and back through each."""
    x, grad_output = draw(rng, (3, 2, 6, 8)), draw(rng, (3, 2, 3, 4))
    weight, bias = np.array([1.5, -0.5]), np.array([0.2, -0.3])
    x_hat, scale, mean, _ = ops.batchnorm_forward_batch(x, EPSILON)
    z = ops.affine_forward(x_hat, weight, bias)
    y, winner = ops.maxpool_forward(ops.leaky_relu_forward(z, SLOPE), TWO, TWO)
    grad_z = ops.leaky_relu_backward(ops.maxpool_backward(grad_output, winner, x.shape, TWO, TWO), z > 0, SLOPE)
    grad_x_hat, grad_weight, grad_bias = ops.affine_backward(grad_z, x_hat, weight)
    expected = ops.batchnorm_backward(grad_x_hat, x_hat, scale), grad_weight, grad_bias
    given = (grad_output, x, y, winner, mean, scale, weight, SLOPE, TWO)
    for found, wanted in zip(ops.affine_act_pool_backward(*given), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_module_equals_the_formula_with_the_batch_s_statistics(shape, backend, dtype, rng):
    """The convolution first; then dL/dh, to which the statistics contribute."""
    x, weight = draw(rng, shape, dtype) + 3, draw(rng, (2, shape[1], 3, 3), dtype)
    arguments = x, weight, (1, 1), (1, 1), EPSILON, SLOPE, TWO
    expected = ops.encoder_module_forward(*arguments)
    found = ops.encoder_module_forward.on(backend)(*arguments)
    names = ("h", "y", "winner", "mean", "variance", "scale")
    for name, one, other in zip(names, found, expected):
        assert one.dtype == dtype or name == "winner"
        np.testing.assert_allclose(one, other, err_msg=name, **tolerance(dtype))
    h, y, winner, mean, _, scale = found
    grad_output = draw(rng, y.shape, dtype)
    backward = ops.norm_act_pool_backward
    grad_h = backward.on(backend)(grad_output, h, y, winner, mean, scale, SLOPE, TWO)
    np.testing.assert_allclose(
        grad_h, backward(grad_output, *expected[:4], expected[5], SLOPE, TWO), **tolerance(dtype)
    )


def test_ties_go_to_the_first_in_reading_order(backend):
    """All 81 windows of three values: every pattern of ties that there is."""
    values = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 4), axis=-1).reshape(-1, 1, 2, 2)
    _, winner = ops.norm_act_pool_forward.on(backend)(values, np.zeros(1), np.ones(1), SLOPE, TWO)
    np.testing.assert_array_equal(winner, ops.maxpool_forward(values, TWO, TWO)[1])
    assert set(np.asarray(winner).ravel()) == {0, 1, 2, 3}


def test_memory_order_does_not_matter(backend, rng):
    x, grad_output, weight = draw(rng, (3, 2, 4, 6)), draw(rng, (3, 2, 2, 3)), draw(rng, (2, 2, 1, 1))
    results = []
    for a, g in ((x, grad_output), (scattered(x), scattered(grad_output)), (np.asfortranarray(x), grad_output)):
        module = ops.encoder_module_forward.on(backend)
        h, y, winner, mean, _, scale = module(a, weight, (1, 1), (0, 0), EPSILON, SLOPE, TWO)
        results.append((y, ops.norm_act_pool_backward.on(backend)(g, h, y, winner, mean, scale, SLOPE, TWO)))
    for y, grad_x in results[1:]:
        np.testing.assert_allclose(y, results[0][0], rtol=1e-12)
        np.testing.assert_allclose(grad_x, results[0][1], rtol=1e-10, atol=1e-12)


def test_a_winner_that_is_zero_takes_the_slope(backend):
    """The convention of leaky ReLU at its kink: f'(0) = slope."""
    x, mean, scale = np.array([[[[-1.0, 0.0], [-2.0, -3.0]]]]), np.zeros(1), np.ones(1)
    y, winner = ops.norm_act_pool_forward.on(backend)(x, mean, scale, SLOPE, TWO)
    grad = ops.norm_act_pool_backward.on(backend)(
        np.full((1, 1, 1, 1), 5.0), x, y, winner, mean, scale, SLOPE, TWO, fixed=True
    )
    np.testing.assert_allclose(grad, [[[[0, 5 * SLOPE], [0, 0]]]], atol=1e-15)


@pytest.mark.parametrize(
    ("size", "window", "itemsize", "rung", "blocks"),
    [
        ((8, 4), TWO, 4, "packs", 2),
        ((8, 6), TWO, 4, "pairs", 5),
        ((8, 6), TWO, 8, "packs", 5),
        ((8, 5), TWO, 8, "pairs", 5),
        ((7, 8), TWO, 4, "pairs", 7),
        ((8, 8), (2, 4), 4, "pairs", 4),
        ((8, 8), (4, 2), 4, "pairs", 4),
    ],
)
def test_packs_are_launched_where_rows_have_whole_ones(size, window, itemsize, rung, blocks):
    """Blocks of 256 threads, each of which has one window, or as many as 16 bytes of two rows hold."""
    (backend, launches), dtype = recording_backend(), np.dtype(f"f{itemsize}")
    x, y, channel = (
        np.ones((100, 3, *size), dtype),
        np.ones((100, 3, size[0] // window[0], size[1] // window[1]), dtype),
        np.ones(3, dtype),
    )
    launch.backward(backend, y, x, y, y, channel, channel, SLOPE, window, fixed=True)
    assert launches == [{"rung": rung, "grid": (blocks, 3)}]
