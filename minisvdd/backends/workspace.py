"""Memory that is asked for once and used again: for the arrays of a training step, and for scratch inside a thread.

A new large array costs more than its arithmetic: the system hands out its pages one by one, each filled with zeros,
and takes them back when the array dies. The arrays of one training step are those of the next, so a `Workspace` hands
out the same memory, in the same order, in every step.

What `empty` returned inside `with workspace:` is overwritten in the next such block. Only code which knows that nothing
of a step outlives it may open one: the training loop and the evaluation of many batches. Elsewhere `empty` is NumPy's.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

import numpy as np
from numpy.typing import DTypeLike

from .types import Shape, Take

_ALIGNMENT = 64  # bytes of a cache line, and of the widest vector register
_active: ContextVar["Workspace | None"] = ContextVar("minisvdd_workspace", default=None)


class Workspace:
    """Buffers in the order in which they are asked for; `with workspace:` starts again from the first.

    A buffer that is too small for what is asked for in its place is replaced. Not for several threads at once.
    """

    def __init__(self) -> None:
        self._buffers: list[np.ndarray] = []
        self._next = 0
        self._tokens: list[Token[Workspace | None]] = []

    def empty(self, shape: Shape, dtype: DTypeLike) -> np.ndarray:
        """An uninitialised contiguous array in the next buffer."""
        dtype = np.dtype(dtype)
        size = dtype.itemsize * math.prod(shape)
        if self._next == len(self._buffers):
            self._buffers.append(_aligned(size))
        elif self._buffers[self._next].nbytes < size:
            self._buffers[self._next] = _aligned(size)
        buffer = self._buffers[self._next]
        self._next += 1
        return buffer[:size].view(dtype).reshape(shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(buffer.nbytes for buffer in self._buffers)

    def __enter__(self) -> "Workspace":
        self._tokens.append(_active.set(self))
        if len(self._tokens) == 1:  # a block inside the same block goes on where it is
            self._next = 0
        return self

    def __exit__(self, *error: object) -> None:
        _active.reset(self._tokens.pop())


def empty(shape: Shape, dtype: DTypeLike) -> np.ndarray:
    """`numpy.empty`, in the open workspace of this thread if there is one."""
    workspace = _active.get()
    return np.empty(shape, dtype) if workspace is None else workspace.empty(shape, dtype)


def empty_like(array: np.ndarray) -> np.ndarray:
    """`empty` of the shape and dtype of an array."""
    return empty(array.shape, array.dtype)


@contextmanager
def scratch() -> Iterator[Take]:
    """`with scratch() as empty:` gives an `empty(shape, dtype)` whose arrays last until the block ends.

    For what an operation needs on the way, inside one thread; blocks may be nested.
    """
    if not hasattr(_of_thread, "workspace"):
        _of_thread.workspace = Workspace()
    workspace = _of_thread.workspace
    first = workspace._next
    try:
        yield workspace.empty
    finally:
        workspace._next = first


_of_thread = threading.local()


def _aligned(size: int) -> np.ndarray:
    buffer = np.empty(size + _ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + size]
