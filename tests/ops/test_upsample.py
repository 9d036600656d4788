"""Nearest-neighbour up-sampling: the plain loops, and the adjoint."""

import numpy as np
import pytest
import references as ref
from references import draw, scattered, tolerance

from minisvdd.ops import upsample

CASES = [((2, 3, 4, 5), (2, 2)), ((1, 1, 1, 1), (3, 2)), ((2, 1, 3, 2), (1, 3)), ((1, 2, 3, 3), (1, 1))]


@pytest.mark.parametrize(("shape", "scale"), CASES, ids=str)
def test_equals_the_plain_loops(shape, scale, backend, dtype, rng):
    x = draw(rng, shape, dtype)
    grad_output = draw(rng, (*shape[:2], shape[2] * scale[0], shape[3] * scale[1]), dtype)
    expected_y, expected_x = ref.upsample(x, grad_output, scale)
    y, grad_x = (
        upsample.upsample_forward.on(backend)(scattered(x), scale),
        upsample.upsample_backward.on(backend)(scattered(grad_output), scale),
    )
    assert y.dtype == grad_x.dtype == dtype
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_allclose(grad_x, expected_x, **tolerance(dtype))
    np.testing.assert_allclose((y * grad_output).sum(), (x * grad_x).sum(), **tolerance(dtype))  # <Ax, y> = <x, A'y>
