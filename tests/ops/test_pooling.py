"""Max-pooling: the plain loops, conserved gradient, ties."""

import numpy as np
import pytest
import references as ref
from hypothesis import given, settings
from hypothesis import strategies as st
from references import POOL_CASES, draw, scattered, tolerance

from minisvdd.nn.layers import MaxPool2D
from minisvdd.ops import pooling


@pytest.mark.parametrize("tied", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("case", POOL_CASES, ids=str)
def test_equals_the_plain_loops(case, tied, backend, dtype, rng):
    shape, kernel, stride = case
    x = draw(rng, shape, dtype)
    x = np.sign(x) if tied else x
    grad_output = draw(rng, (*shape[:2], *ref.conv2d_output_size(shape[2:], kernel, stride, (0, 0))), dtype)
    expected_y, expected_x = ref.maxpool(x, grad_output, kernel, stride)
    y, winner = pooling.maxpool_forward.on(backend)(x, kernel, stride)
    grad_x = pooling.maxpool_backward.on(backend)(grad_output, winner, shape, kernel, stride)
    assert y.dtype == grad_x.dtype == dtype
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_allclose(grad_x, expected_x, **tolerance(dtype))


def test_gradient_mass_is_conserved(backend, rng):
    """Each window passes on its whole gradient, once, ties or not."""
    for x in (draw(rng, (3, 2, 7, 6)), np.zeros((3, 2, 7, 6)), rng.integers(3, size=(3, 2, 7, 6)).astype(float)):
        grad_output = draw(rng, (3, 2, 3, 3))
        _, winner = pooling.maxpool_forward.on(backend)(x, (2, 2), (2, 2))
        grad_x = pooling.maxpool_backward.on(backend)(grad_output, winner, x.shape, (2, 2), (2, 2))
        np.testing.assert_allclose(grad_x.sum(), grad_output.sum(), rtol=1e-12)


def test_ties_go_to_the_first_in_reading_order(backend):
    x = np.array([[[[1.0, 5.0], [5.0, 5.0]]]])
    _, winner = pooling.maxpool_forward.on(backend)(x, (2, 2), (2, 2))
    grad_x = pooling.maxpool_backward.on(backend)(np.array([[[[3.0]]]]), winner, x.shape, (2, 2), (2, 2))
    np.testing.assert_array_equal(grad_x, [[[[0, 3], [0, 0]]]])


def test_windows_of_more_than_256_entries(backend, rng):
    """The index of the winner no longer fits into one byte."""
    x = np.zeros((1, 1, 17, 17))
    x[0, 0, 16, 16] = 1
    y, winner = pooling.maxpool_forward.on(backend)(x, (17, 17), (17, 17))
    grad_x = pooling.maxpool_backward.on(backend)(np.full((1, 1, 1, 1), 2.0), winner, x.shape, (17, 17), (17, 17))
    assert y.item() == 1
    assert winner.item() == 288
    assert grad_x[0, 0, 16, 16] == 2 == grad_x.sum()


def test_memory_order_does_not_matter(backend, rng):
    x = draw(rng, (2, 3, 6, 8))
    for messy in (scattered(x), np.asfortranarray(x)):
        for got, wanted in zip(
            pooling.maxpool_forward.on(backend)(messy, (2, 2), (2, 2)),
            pooling.maxpool_forward.on(backend)(x, (2, 2), (2, 2)),
        ):
            np.testing.assert_array_equal(got, wanted)


# image, kernel, stride, padding: a border on all sides, on two, and one that the last windows do not reach
PADDED = [
    ((7, 6), (2, 2), (2, 2), (1, 1)),
    ((5, 8), (3, 2), (2, 1), (1, 0)),
    ((6, 6), (5, 4), (3, 2), (2, 2)),
    ((4, 9), (2, 3), (3, 4), (0, 1)),
    ((1, 2), (2, 3), (2, 2), (1, 1)),
]


@pytest.mark.parametrize("ceil_mode", [False, True], ids=["floor", "ceil"])
@pytest.mark.parametrize("case", PADDED, ids=str)
def test_padded_pool_equals_the_plain_loops(case, ceil_mode, backend, dtype, rng):
    """Each window is the part of it that lies inside; its gradient goes to an entry of x, all of it."""
    size, kernel, stride, padding = case
    layer = MaxPool2D(kernel, stride, padding, ceil_mode)
    x = np.sign(draw(rng, (2, 3, *size), dtype)) - 2  # all below 0, many ties
    output = layer.build(x.shape[1:], None, dtype, backend)
    y = layer.forward(x, training=True)
    grad_output = draw(rng, y.shape, dtype)
    grad_x = layer.backward(grad_output)
    assert y.shape == (2, *output)
    assert y.dtype == grad_x.dtype == dtype
    expected_y, expected_x = ref.padded_maxpool(x, grad_output, kernel, stride, padding, ceil_mode)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_allclose(grad_x, expected_x, **tolerance(dtype))
    np.testing.assert_allclose(grad_x.sum(), grad_output.sum(), **tolerance(dtype))


def test_ceil_mode_drops_nothing_that_a_window_can_start_in(backend):
    x = np.arange(25.0).reshape(1, 1, 5, 5)
    for make, expected in (
        (MaxPool2D(2), [[6, 8], [16, 18]]),
        (MaxPool2D(2, ceil_mode=True), [[6, 8, 9], [16, 18, 19], [21, 23, 24]]),
        (MaxPool2D(2, 3, ceil_mode=True), [[6, 9], [21, 24]]),
        (MaxPool2D(2, 3, 1, ceil_mode=True), [[0, 3], [15, 18]]),  # a third window would start below the image
        (MaxPool2D(1, 3, ceil_mode=True), [[0, 3], [15, 18]]),  # one that starts outside of it does not count
    ):
        make.build((1, 5, 5), None, np.float64, backend)
        np.testing.assert_array_equal(make.forward(x)[0, 0], expected)


@given(st.data())
@settings(max_examples=60)
def test_margins_hold_the_windows_and_no_others(data):
    """And every window holds an entry of the image."""
    n, s = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 5))
    k = data.draw(st.integers(1, 6))
    p, ceil_mode = data.draw(st.integers(0, k // 2)), data.draw(st.booleans())
    starts = [start for start in range(-p, n, s) if start + k <= n + p or (ceil_mode and start < n + p - k + s)]
    if n + 2 * p + (s - 1 if ceil_mode else 0) < k:
        with pytest.raises(ValueError, match="larger than the input"):
            pooling.pool_margins((n, 20), (k, 1), (s, 1), (p, 0), ceil_mode)
        return
    (above, below), sides = pooling.pool_margins((n, 20), (k, 1), (s, 1), (p, 0), ceil_mode)
    assert sides == (0, 0)
    assert (above + n + below - k) // s + 1 == len(starts)
    assert all(start < n and start + k > 0 for start in starts)


def test_the_border_is_cut_off_again(backend, dtype, rng):
    """pad_backward undoes pad_forward, and is its adjoint: <pad x, G> = <x, cut G> for a border of 0."""
    margins, x = ((2, 1), (0, 3)), draw(rng, (2, 3, 4, 5), dtype)
    padded = pooling.pad_forward.on(backend)(x, margins, 0.0)
    grad = draw(rng, padded.shape, dtype)
    cut = pooling.pad_backward.on(backend)(grad, margins)
    np.testing.assert_array_equal(pooling.pad_backward.on(backend)(padded, margins), x)
    np.testing.assert_allclose((padded * grad).sum(), (x * cut).sum(), **tolerance(dtype))
    assert np.isneginf(pooling.pad_forward.on(backend)(x, margins)).sum() == padded.size - x.size
