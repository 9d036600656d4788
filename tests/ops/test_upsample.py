"""Nearest-neighbour up-sampling: the plain loops, and the adjoint."""

import numpy as np
import pytest
import references as ref
from helpers_cuda import recording_backend
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


@pytest.mark.parametrize(("rung", "threads"), [("naive", [24 * 4, 24]), ("vectorised", [24 // 2, 24 // 2])])
def test_each_rung_is_launched_with_its_threads(rung, threads):
    """One for each result, or for 8 bytes of the smaller array."""
    backend, launches = recording_backend()
    small, large = np.ones((1, 2, 3, 4), np.float32), np.ones((1, 2, 6, 8), np.float32)
    upsample.upsample_forward.reading("launch")(backend, small, (2, 2), rung)
    upsample.upsample_backward.reading("launch")(backend, large, (2, 2), rung)
    assert launches == [{"threads": count, "rung": rung} for count in threads]
