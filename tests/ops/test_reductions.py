"""The second step of sums that many blocks share."""

import numpy as np
import pytest
from references import draw, tolerance

from minisvdd.backends import backend_problems, get_backend
from minisvdd.ops.reductions import sum_partials

PROBLEM = backend_problems()["emulator"]


@pytest.mark.skipif(bool(PROBLEM), reason=str(PROBLEM))
@pytest.mark.parametrize("count", [1, 7, 8, 9, 40])
@pytest.mark.parametrize("size", [1, 31, 32, 33, 65])
def test_every_sum_is_written(count, size, dtype, rng):
    """32 sums belong to one block; a rest is a block of its own."""
    backend = get_backend("emulator")
    partials, result = draw(rng, (count, size), dtype), np.full(size, np.nan, dtype)
    sum_partials(backend, partials, result, 0.25)
    np.testing.assert_allclose(result, 0.25 * partials.sum(axis=0), **tolerance(dtype))
