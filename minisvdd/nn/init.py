"""How weights start: drawn by Glorot's rule, or, as in the authors' first scripts, with a gain and from a dictionary.

`start_weights` changes what `build` has drawn, so that the generator has given the same numbers either way: trainings
with and without can be compared pair by pair.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike

from ..backends.types import Shape
from ..validation import is_constant


def glorot_uniform(
    rng: np.random.Generator | None, shape: Shape, fan_in: int, fan_out: int, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """Uniform on [-a, a] with a = sqrt(6 / (fan_in + fan_out))  (Glorot & Bengio 2010, eq. 16; the paper's choice).

    A uniform variable on [-a, a] has variance a^2 / 3 = 2 / (fan_in + fan_out): the harmonic mean of 1/fan_in, which
    keeps the variance of activations on the way forward, and 1/fan_out, which keeps that of gradients on the way back.
    Drawn in float64 and rounded, so that both precisions start from the same network. TypeError for an rng that is
    none, such as the None of a `build` that was given no generator.
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng={rng!r}: expected a numpy.random.Generator, such as numpy.random.default_rng(0)")
    limit = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, size=shape).astype(dtype)


_IMAGES, _STEPS, _PATCHES_A_STEP = 500, 1000, 10


def leaky_gain(slope: float) -> float:
    """sqrt(2 / (1 + slope^2)): by so much larger weights keep the variance behind a leaky ReLU (He et al., 2015).

    Of y = leaky(x) with x symmetric around 0, E[y^2] = (1 + slope^2) / 2 E[x^2]: half of the x pass as they are, half
    times the slope.

    >>> round(leaky_gain(1.0), 3), round(leaky_gain(0.0), 3)
    (1.0, 1.414)
    """
    return math.sqrt(2 / (1 + slope**2))


def dictionary_filters(
    X: np.ndarray, n_filters: int, kernel_size: tuple[int, int], rng: np.random.Generator, mixed: bool = False
) -> np.ndarray:
    """Filters (K, C, kh, kw) float32 that patches of the images are sparse sums of: atoms of a dictionary, of length 1.

        min over atoms D and codes A of  1/2 ||Z - A D||^2 + sum |A|,    ||D_k|| <= 1

    with the rows of Z patches of `kernel_size`, of 500 random images of X, each of their entries standardised over all
    these patches; 1000 steps of 10 patches each (Mairal et al. 2009, scikit-learn's `MiniBatchDictionaryLearning`).

    X: (n, C, H, W) pre-processed.   rng: draws images and patches, and seeds the steps.   mixed: as the authors' first
    scripts reshape colour images where axes should change places: numbers that lie row by row, channel by channel, are
    taken for pixels of C numbers, and those of an atom the other way round. With one channel it is the same.
    """
    #: all patches of some images, one in each row
    some = X[rng.permutation(len(X))[:_IMAGES]]
    if mixed:
        some = some.reshape(len(some), *X.shape[2:], X.shape[1]).transpose(0, 3, 1, 2)
    windows = np.lib.stride_tricks.sliding_window_view(some, kernel_size, axis=(2, 3))
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, X.shape[1] * math.prod(kernel_size)).astype(np.float64)
    #: every entry with mean 0 and deviation 1; one that never varies stays 0
    deviation = np.where(is_constant(patches), 1.0, patches.std(axis=0))
    drawn = rng.integers(len(patches), size=_STEPS * _PATCHES_A_STEP)
    Z = (patches[drawn] - patches.mean(axis=0)) / deviation
    #: the atoms, as they are
    atoms = _learnt(Z.shape, Z.tobytes(), n_filters, int(rng.integers(1 << 31)))
    if mixed:
        atoms = atoms.reshape(n_filters, X.shape[1], -1).transpose(0, 2, 1)
    return np.ascontiguousarray(atoms.reshape(n_filters, X.shape[1], *kernel_size), np.float32)


@lru_cache(maxsize=2)
def _learnt(shape: Shape, patches: bytes, n_atoms: int, seed: int) -> np.ndarray:
    """Atoms (n_atoms, d) of patches of that shape, (n, d) float64.

    They take seconds, so the last ones are kept: a network that is trained begins with those of the network as drawn,
    which a table evaluates.
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning

    learning = MiniBatchDictionaryLearning(
        n_atoms, alpha=1, max_iter=1, batch_size=_PATCHES_A_STEP, tol=0, max_no_improvement=None, random_state=seed
    )
    atoms: np.ndarray = learning.fit(np.frombuffer(patches).reshape(shape)).components_
    atoms.flags.writeable = False
    return atoms
