"""Activations: values and derivatives one number at a time, and the far ends."""

import math

import numpy as np
import pytest
from references import draw, scattered, tolerance

from minisvdd.ops import activations


@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0])
def test_leaky_relu(slope, backend, dtype, rng):
    x, grad_output = draw(rng, (4, 5), dtype), draw(rng, (4, 5), dtype)
    y = activations.leaky_relu_forward.on(backend)(scattered(x), slope)
    grad_x = activations.leaky_relu_backward.on(backend)(scattered(grad_output), x > 0, slope)
    assert y.dtype == grad_x.dtype == dtype
    for value, out, g, grad in zip(x.flat, y.flat, grad_output.flat, grad_x.flat):
        assert out == (value if value > 0 else dtype(slope) * value)
        assert grad == pytest.approx(g if value > 0 else slope * g, rel=1e-6)


def test_leaky_relu_at_0_takes_the_slope(backend):
    zero = np.zeros((1, 1))
    assert activations.leaky_relu_backward.on(backend)(np.ones((1, 1)), zero > 0, 0.1).item() == pytest.approx(0.1)


def test_neither_zero_is_positive(backend, dtype):
    """So the layer's derivative at 0 is the slope; and the smallest number above 0 is positive."""
    x = np.array([[0.0, -0.0, np.finfo(dtype).tiny, -np.finfo(dtype).tiny]], dtype)
    np.testing.assert_array_equal(activations.is_positive.on(backend)(x), [[False, False, True, False]])


def test_sigmoid_and_tanh(backend, dtype, rng):
    x, grad_output = 3 * draw(rng, (4, 5), dtype), draw(rng, (4, 5), dtype)
    sigmoid = np.array([1 / (1 + math.exp(-v)) for v in x.flat]).reshape(x.shape)
    tanh = np.array([math.tanh(v) for v in x.flat]).reshape(x.shape)
    for got, wanted in (
        (activations.sigmoid_forward.on(backend)(x), sigmoid),
        (
            activations.sigmoid_backward.on(backend)(grad_output, sigmoid.astype(dtype)),
            grad_output * sigmoid * (1 - sigmoid),
        ),
        (activations.tanh_forward.on(backend)(x), tanh),
        (activations.tanh_backward.on(backend)(grad_output, tanh.astype(dtype)), grad_output * (1 - tanh**2)),
    ):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, wanted, **tolerance(dtype))


def test_saturated_sigmoid_neither_overflows_nor_warns(backend, dtype):
    x = np.array([[-1e4, -100, 0, 100, 1e4]], dtype)
    with np.errstate(all="raise"):
        y = activations.sigmoid_forward.on(backend)(x)
    np.testing.assert_allclose(y, [[0, 0, 0.5, 1, 1]], atol=1e-7)
