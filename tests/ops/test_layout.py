"""Memory order, pairs and counts."""

import numpy as np
import pytest

from minisvdd.nn.layer import as_count, as_pair
from minisvdd.ops import layout
from minisvdd.ops.layout import arranged, from_batch_last, overlap, to_batch_last


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


@pytest.mark.parametrize("count", [1, 2, 7, 12])
@pytest.mark.parametrize("parts", [0, 1, 3, 5, 20])
def test_equal_parts_share_everything_once(count, parts):
    slices = layout.equal_parts(count, parts)
    sizes = [part.stop - part.start for part in slices]
    assert len(slices) == max(1, min(parts, count))
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert np.concatenate([np.arange(count)[part] for part in slices]).tolist() == list(range(count))


@pytest.mark.parametrize("size", [1, 12, 13, 100, 101, 200, 201, 999])
def test_the_fewest_blocks_that_two_threads_can_share(size):
    count = layout.block_count(size, 100)
    assert (count == 1) == (size <= 12)
    assert count == 1 or (count % 2 == 0 and size <= count * 100 and (count == 2 or size > (count - 2) * 100))
    assert layout.block_count(size, 100, least=150) == (1 if size <= 150 else count)


def test_blocks_hold_at_most_what_they_should():
    """Pointwise blocks: one, or equal ones for two threads; by channel: whole channels, even one that is too long."""
    for size, count in ((1, 1), (layout.BLOCK, 1), (layout.BLOCK + 1, 2), (2 * layout.BLOCK + 1, 4)):
        assert len(layout.flat_blocks(size)) == count

    def channels(*shape):
        blocks, threads = layout.channel_blocks(np.broadcast_to(np.float32(0), shape))
        return [block.stop - block.start for block in blocks], threads

    assert channels(6, layout.BLOCK // 3) == ([3, 3], None)
    assert channels(2, 2 * layout.BLOCK) == ([1, 1], None)
    assert channels(6, layout.BLOCK // 6) == ([2, 2, 2], 1), "one thread alone, in smaller blocks"
    assert channels(6, 10) == ([6], 1)


@pytest.mark.parametrize("size", [1, 4, 5, 8, 1001])
def test_threads_of_four_numbers_each_are_enough_and_no_more(size):
    assert 4 * (layout.pack_threads(size) - 1) < size <= 4 * layout.pack_threads(size)
