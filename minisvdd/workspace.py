"""Large arrays without the cost of new memory.

A fresh array of some megabytes comes from the operating system as pages that are mapped, and filled with zeros, one by
one at their first touch; given back and asked for again in every step, that takes longer than the arithmetic on them.
`empty` therefore keeps the memory of large arrays, and hands it out again once nobody holds the array any more.

Nothing can be overwritten while in use: a view, however it was made, keeps a reference to the array that owns the
memory, and only memory without any such reference is handed out again.
"""

import os
import sys
import threading

import numpy as np

_SMALLEST = 1 << 16  # bytes; smaller arrays come from memory that Python keeps anyway
_LARGEST_TOTAL = 1 << 30  # bytes kept; beyond it, what nobody holds is given back

_lock = threading.Lock()
_kept: dict[int, list[np.ndarray]] = {}  # by size in bytes


def empty(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Like np.empty: an uninitialised array, perhaps in memory that an earlier array had."""
    dtype = np.dtype(dtype)
    size = dtype.itemsize
    for n in shape:
        size *= n
    if size < _SMALLEST:
        return np.empty(shape, dtype)
    with _lock:
        arrays = _kept.setdefault(size, [])
        memory = next((arrays[i] for i in range(len(arrays)) if _unused(arrays, i)), None)
        if memory is None:
            if size + sum(s * len(a) for s, a in _kept.items()) > _LARGEST_TOTAL:
                _drop_unused()
            memory = np.empty(size, np.uint8)
            arrays.append(memory)
        return memory.view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Like np.zeros."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


def release() -> None:
    """Give back all memory that no array uses at present."""
    with _lock:
        _drop_unused()


def _drop_unused():
    for arrays in _kept.values():
        arrays[:] = [arrays[i] for i in range(len(arrays)) if not _unused(arrays, i)]


def _references(arrays, i):
    return sys.getrefcount(arrays[i])


# What an array in a list has when nobody else refers to it; the number differs between versions of Python.
_UNUSED_REFERENCES = _references([np.empty(0)], 0)


def _unused(arrays, i):
    """Only the list (and the call of getrefcount itself) refers to arrays[i]."""
    return _references(arrays, i) <= _UNUSED_REFERENCES


def _after_fork():
    """A lock that another thread held at the time of a fork would stay locked in the child for ever."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
