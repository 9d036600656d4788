"""Max-pooling: the plain loops, conserved gradient, ties."""

import numpy as np
import pytest
import references as ref
from references import POOL_CASES, draw, scattered, tolerance

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
