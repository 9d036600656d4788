"""Memory order, pairs and counts."""

import numpy as np
import pytest

from minisvdd.ops.layout import arranged, as_count, as_pair, from_batch_last, overlap, to_batch_last


def test_there_and_back(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    inside = to_batch_last(x)
    assert inside.shape == (3, 4, 5, 2)
    assert inside.flags.c_contiguous
    back = from_batch_last(inside)
    np.testing.assert_array_equal(back, x)
    assert np.shares_memory(to_batch_last(back), inside)  # the way back in costs nothing


def test_arranged_images_cost_nothing_more(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    inside = arranged(x)
    np.testing.assert_array_equal(inside, x)
    assert to_batch_last(inside).base is inside.base
    assert arranged(inside) is inside


@pytest.mark.parametrize("start", range(-4, 8))
@pytest.mark.parametrize("stop", range(-4, 8))
def test_overlap_of_two_ranges(start, stop):
    if start <= stop:
        inside, seen = overlap(start, stop, 3)
        common = [i for i in range(start, stop) if 0 <= i < 3]
        assert list(range(3))[seen] == list(range(start, stop))[inside] == common


def test_pairs():
    assert as_pair(3, "size", 1) == as_pair(np.int64(3), "size", 1) == as_pair([3, 3], "size", 1) == (3, 3)
    for bad in (0, (1, 2, 3), (1.5, 2), (0, 1)):
        with pytest.raises(ValueError, match="size="):
            as_pair(bad, "size", 1)


def test_counts():
    assert type(as_count(np.int64(3), "n")) is int
    for bad in (0, -1, 2.5, "3", True):
        with pytest.raises(ValueError, match="n="):
            as_count(bad, "n")
