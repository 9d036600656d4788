"""Large images in patches: one small network looks at every place of an image, and its largest score is the image's.

A defect of 30 pixels is a third of a patch of 64x64, and one part in a thousand of an image of 1024x1024, where the
mean over the last map drowns it. A network that maps patches of normal images close to c needs fewer weights and less
memory, and sees many more samples: every image gives as many as it has patches.

An image is anomalous as soon as one of its patches is, so its score is

    s(x) = max_k s(x_k),    x_k its patches

Patches of P rows lie side by side from 0, P, 2 P, ... on; where the last one would leave the image it is shifted
inwards, so that all pixels are covered and none is made up. Of n rows there are ceil(n / P) patches.

What is learnt of "normal samples" must then be read with care: held-out samples, thresholds and rates are of images
(the maximum over more patches is larger, so a threshold for patches would raise an alarm for most images); centre,
radius and the figures of collapse are of patches.
"""

from __future__ import annotations  # so that a type loads no file

import math
from collections.abc import Callable

import numpy as np

LARGEST_SIDE, SIZE = 256, 64  # "auto" cuts what is larger than the one into patches of the other
_NUMBERS = 1 << 24  # of the patches that are cut at a time: bounds their copy


def patch_shape(input_shape: tuple[int, ...], patch_size: str | int | None) -> tuple[int, ...]:
    """The shape of what the network sees of samples (C, H, W): patches, or the samples themselves.

    >>> patch_shape((3, 300, 40), "auto"), patch_shape((3, 200, 200), "auto"), patch_shape((3, 200, 200), 32)
    ((3, 64, 40), (3, 200, 200), (3, 32, 32))
    """
    if patch_size is None or len(input_shape) != 3 or (patch_size == "auto" and max(input_shape[1:]) <= LARGEST_SIDE):
        return input_shape
    size = SIZE if isinstance(patch_size, str) else int(patch_size)
    return (input_shape[0], *(min(side, size) for side in input_shape[1:]))


def starts(side: int, size: int) -> list[int]:
    """First rows (or columns) of the patches of a side.

    >>> starts(150, 64), starts(128, 64)
    ([0, 64, 86], [0, 64])
    """
    return [min(start, side - size) for start in range(0, side, size)]


def cut(X: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Patches (n k, C, P, Q) of images X (n, C, H, W), those of one image one after the other; shape: (C, P, Q)."""
    if X.shape[1:] == shape:
        return X
    rows, columns = (starts(side, size) for side, size in zip(X.shape[2:], shape[1:]))
    patches = [X[:, :, i : i + shape[1], j : j + shape[2]] for i in rows for j in columns]
    return np.stack(patches, axis=1).reshape(-1, *shape)


def together(pieces: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Images of this shape (n, C, H, W) from their patches, as `cut` makes them; where two overlap, the later one."""
    if pieces.shape == shape:
        return pieces
    size = pieces.shape[2:]
    rows, columns = (starts(side, length) for side, length in zip(shape[2:], size))
    images = np.empty(shape, pieces.dtype)
    pieces = pieces.reshape(shape[0], -1, *pieces.shape[1:])
    for k, (i, j) in enumerate((i, j) for i in rows for j in columns):
        images[:, :, i : i + size[0], j : j + size[1]] = pieces[:, k]
    return images


def count(input_shape: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Patches of one sample.

    >>> count((3, 300, 40), (3, 64, 40)), count((7,), (7,))
    (5, 1)
    """
    return math.prod(-(-side // size) for side, size in zip(input_shape[1:], shape[1:]))


def worst(values: np.ndarray, scores: np.ndarray, n: int) -> np.ndarray:
    """Of each of n images the value, (k, ...) -> (n, ...), of its patch with the largest score, (k,)."""
    if len(scores) == n:
        return values
    places = scores.reshape(n, -1).argmax(axis=1)
    return np.asarray(values.reshape(n, -1, *values.shape[1:])[np.arange(n), places])


def check(shape: tuple[int, ...], input_shape: tuple[int, ...]) -> None:
    """ValueError unless samples of `input_shape` can be cut into patches of this shape."""
    fits = len(shape) == len(input_shape) == 3 and shape[0] == input_shape[0]
    if shape != input_shape and not (fits and all(a <= b for a, b in zip(shape, input_shape))):
        raise ValueError(f"the network takes samples {shape}: expected {input_shape}, or patches of it")


def scores_of_images(score: Callable[[np.ndarray], np.ndarray], X: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The largest score of each image's patches.  score: of samples of this shape, (k, ...) -> (k,).  Returns (n,)."""
    if X.shape[1:] == shape:
        return score(X)
    block = max(1, _NUMBERS // X[:1].size)
    parts = [X[first : first + block] for first in range(0, len(X), block)]
    return np.concatenate([score(cut(part, shape)).reshape(len(part), -1).max(axis=1) for part in parts])
