"""Views between the public shape (N, C, H, W) and the memory order (C, H, W, N); `minisvdd.ops` says why."""

import numpy as np
from numpy.typing import DTypeLike

from ..backends.types import Shape
from ..backends.workspace import empty

# Most numbers per block of a pointwise operation. Small blocks would stay in the cache for the second pass over them;
# but a thread that returns from NumPy every few microseconds mostly waits for Python's lock.
BLOCK = 3 << 18
_CACHED_BLOCK = 1 << 18  # of what one thread does alone


def to_batch_last(x: np.ndarray) -> np.ndarray:
    """(N, ...) -> contiguous (..., N); copies only when `x` does not lie in memory that way already."""
    # not np.moveaxis, which takes longer than a small operation
    return np.ascontiguousarray(x.transpose(*range(1, x.ndim), 0))


def from_batch_last(x: np.ndarray) -> np.ndarray:
    """(..., N) -> (N, ...), a view."""
    return x.transpose(-1, *range(x.ndim - 1))


def channel_rows(x: np.ndarray) -> np.ndarray:
    """(N, C, ...) -> contiguous (C, numbers per channel), batch last; a view of what the operations return."""
    return to_batch_last(x).reshape(x.shape[1], -1)


def from_channel_rows(rows: np.ndarray, shape: Shape) -> np.ndarray:
    """The way back, to `shape` = (N, C, ...): a view."""
    return from_batch_last(rows.reshape(*shape[1:], shape[0]))


def flat_batch_last(x: np.ndarray) -> np.ndarray:
    """The numbers of an array of any number of axes in a row, batch last; a view of what the operations return."""
    return (to_batch_last(x) if x.ndim else x).reshape(-1)


def from_flat_batch_last(flat: np.ndarray, shape: Shape) -> np.ndarray:
    """The way back, to `shape`: a view."""
    return from_batch_last(flat.reshape(*shape[1:], shape[0])) if shape else flat.reshape(())


def channel_blocks(rows: np.ndarray) -> tuple[list[slice], int | None]:
    """Cut (C, numbers) into equal groups of whole channels, and say how many threads may share them (None: all).

    What is too small to be shared is done by one thread, in blocks that fit into its cache.
    """
    if rows.size > BLOCK:
        return equal_parts(len(rows), block_count(rows.size, BLOCK)), None
    return equal_parts(len(rows), -(-rows.size // _CACHED_BLOCK)), 1


def flat_blocks(size: int) -> list[slice]:
    """Cut `size` numbers in a row into equal blocks of at most BLOCK numbers."""
    return equal_parts(size, block_count(size, BLOCK, BLOCK))


def block_count(size: int, most: int, least: int | None = None) -> int:
    """How many blocks of at most `most` (numbers, or bytes) to cut `size` into: one, or an even number.

    An even number gives two threads equal shares; up to `least` (most / 8) one thread is done before another wakes up.
    """
    return 2 * -(-size // (2 * most)) if size > (most // 8 if least is None else least) else 1


def equal_parts(count: int, parts: int) -> list[slice]:
    """Cut 0 ... count - 1 into that many slices (but none is empty), equal but for one."""
    parts = max(1, min(parts, count))
    return [slice(count * i // parts, count * (i + 1) // parts) for i in range(parts)]


def overlap(start: int, stop: int, size: int) -> tuple[slice, slice]:
    """Where start ... stop - 1 meets 0 ... size - 1: as a slice of the former range, and of the latter; maybe empty."""
    first, last = (min(max(edge, 0), size) for edge in (start, stop))
    skipped = min(max(0, -start), stop - start)
    return slice(skipped, skipped + last - first), slice(first, last)


def empty_batch_last(shape: Shape, dtype: DTypeLike) -> np.ndarray:
    """An uninitialised array of shape (N, ...) that lies in memory with the batch last, in the workspace."""
    return from_batch_last(empty((*shape[1:], shape[0]), dtype))


def strided(array: np.ndarray, shape: Shape, strides: tuple[int, ...], offset: int = 0) -> np.ndarray:
    """A view of a contiguous array with strides and a beginning of one's own, in bytes; quicker than `as_strided`."""
    return np.ndarray(shape, array.dtype, array, offset, strides)


def arranged(x: np.ndarray) -> np.ndarray:
    """A batch of images (N, C, H, W) that lies in memory with the batch last: a copy in the workspace, or x itself."""
    if x.transpose(1, 2, 3, 0).flags.c_contiguous:
        return x
    copy = empty_batch_last(x.shape, x.dtype)
    np.copyto(copy, x)
    return copy


def pack_threads(size: int) -> int:
    """Threads for an elementwise kernel on `size` numbers whose threads load 16 bytes at a time: 4 float32."""
    return -(-size // 4)
