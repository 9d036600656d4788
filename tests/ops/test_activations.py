"""Activations: values and derivatives one number at a time, and the far ends."""

import math

import numpy as np
import pytest
from references import draw, scattered, tolerance

from minisvdd.nn.layers import LeakyReLU, ReLU, Sigmoid, Tanh
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


SHAPES = [(), (1,), (7,), (3, 4), (2, 3, 4), (2, 3, 4, 5), (2, 3, 1, 2, 2), (0,), (0, 4), (3, 0), (2, 0, 3, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_entry_by_entry_whatever_the_number_of_axes(shape, backend, dtype, rng):
    """Each activation of an array is that of its numbers in a row of one sample each; also where there are none."""
    x, grad_output = draw(rng, shape, dtype), draw(rng, shape, dtype)
    y = np.tanh(x, out=np.empty_like(x))
    for operation, arrays, numbers in (
        (activations.leaky_relu_forward, (x,), (0.1,)),
        (activations.is_positive, (x,), ()),
        (activations.leaky_relu_backward, (grad_output, np.asarray(x > 0)), (0.1,)),
        (activations.sigmoid_forward, (x,), ()),
        (activations.sigmoid_backward, (grad_output, y), ()),
        (activations.tanh_forward, (x,), ()),
        (activations.tanh_backward, (grad_output, y), ()),
    ):
        found = np.asarray(operation.on(backend)(*arrays, *numbers))
        expected = np.asarray(operation(*(array.reshape(-1, 1) for array in arrays), *numbers))
        assert found.shape == shape
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found.reshape(-1, 1), expected, **tolerance(dtype))


@pytest.mark.parametrize("make", [LeakyReLU, ReLU, Sigmoid, Tanh])
@pytest.mark.parametrize("sample", [(), (5,), (2, 3), (2, 3, 4), (2, 3, 4, 2)], ids=str)
def test_layers_take_samples_of_any_number_of_axes(make, sample, backend, rng):
    """One number per sample, too; the derivative is that of the formula, by a central difference."""
    layer = make()
    assert layer.build(sample, None, np.float64, backend) == sample
    x, grad_output, h = draw(rng, (3, *sample)), draw(rng, (3, *sample)), 1e-6
    y = layer.forward(x, training=True)
    difference = (layer.forward(x + h) - layer.forward(x - h)) / (2 * h)
    layer.forward(x, training=True)
    assert y.shape == x.shape
    np.testing.assert_allclose(layer.backward(grad_output), grad_output * difference, rtol=1e-6, atol=1e-8)


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
