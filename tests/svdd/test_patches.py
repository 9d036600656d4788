"""Large images in patches: every pixel is in one, an image's score is its worst patch's, and nothing else changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisvdd.svdd import patches


@settings(max_examples=100)
@given(st.integers(1, 300), st.integers(1, 300))
def test_patches_cover_a_side_and_stay_inside(side, size):
    size = min(side, size)
    starts = patches.starts(side, size)
    assert len(starts) == -(-side // size)
    assert {row for start in starts for row in range(start, start + size)} == set(range(side))
    assert starts == sorted(set(starts))


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 5, 3), (2, 10, 7), (2, 3, 7)])
def test_cut_and_put_together_again(shape, rng):
    X = rng.random((3, 2, 10, 7))
    pieces = patches.cut(X, shape).reshape(3, -1, *shape)
    together = np.full(X.shape, np.nan)
    rows, columns = (patches.starts(side, size) for side, size in zip(X.shape[2:], shape[1:]))
    for k, (i, j) in enumerate((i, j) for i in rows for j in columns):
        together[:, :, i : i + shape[1], j : j + shape[2]] = pieces[:, k]
    assert pieces.shape[1] == len(rows) * len(columns)
    np.testing.assert_array_equal(together, X)


def test_an_image_has_the_score_of_its_worst_patch(rng, monkeypatch):
    X = rng.random((5, 1, 9, 10))
    for numbers in (1 << 24, 200, 1):  # all at once, two at a time, one by one
        monkeypatch.setattr(patches, "_NUMBERS", numbers)
        scores = patches.scores_of_images(lambda x: x.max(axis=(1, 2, 3)), X, (1, 4, 4))
        np.testing.assert_array_equal(scores, X.max(axis=(1, 2, 3)))


def test_which_images_are_cut():
    shapes = [(1, 256, 256), (3, 257, 64), (3, 40, 1000), (7,)]
    assert [patches.patch_shape(shape, "auto") for shape in shapes] == [
        (1, 256, 256), (3, 64, 64), (3, 40, 64), (7,),
    ]  # fmt: skip
    assert [patches.patch_shape(shape, None) for shape in shapes] == shapes
    assert [patches.patch_shape(shape, 100) for shape in shapes] == [(1, 100, 100), (3, 100, 64), (3, 40, 100), (7,)]
