"""Recycled memory: reused when free, and only then."""

import numpy as np
import pytest

from minisvdd import workspace

SHAPE = (300, 1001)


@pytest.fixture(autouse=True)
def clean():
    workspace.release()
    yield
    workspace.release()


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_that_nobody_holds_comes_again():
    array = workspace.empty(SHAPE, np.float32)
    first = address(array)
    del array
    again = workspace.empty((1001, 300), np.int32)
    assert address(again) == first
    assert (again.shape, again.dtype, again.flags.c_contiguous) == ((1001, 300), np.int32, True)


@pytest.mark.parametrize("keep", [
    lambda a: a[3:5], lambda a: a.T, lambda a: a.reshape(-1)[::2], lambda a: a.view(np.uint8), memoryview, iter,
], ids=["slice", "transpose", "strided", "view", "memoryview", "iterator"])  # fmt: skip
def test_memory_in_use_is_never_handed_out(keep):
    array = workspace.empty(SHAPE, np.float32)
    first, kept = address(array), keep(array)
    del array
    others = [workspace.empty(SHAPE, np.float32) for _ in range(3)]
    assert first not in {address(other) for other in others}
    assert len({address(other) for other in others}) == 3
    del kept


def test_zeros_are_zeros():
    workspace.empty(SHAPE, np.float32)[...] = 7
    assert not workspace.zeros(SHAPE, np.float32).any()


def test_release_gives_back_what_is_unused():
    held, free = workspace.empty(SHAPE, np.float32), workspace.empty(SHAPE, np.float32)
    del free
    workspace.release()
    assert sum(map(len, workspace._kept.values())) == 1
    del held


def test_total_is_bounded(monkeypatch):
    monkeypatch.setattr(workspace, "_LARGEST_TOTAL", 4 * 300 * 1001 * 4)
    for rows in range(300, 340):
        workspace.empty((rows, 1001), np.float32)
    assert sum(size * len(arrays) for size, arrays in workspace._kept.items()) <= workspace._LARGEST_TOTAL
