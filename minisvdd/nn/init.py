"""Initialisation of weights."""

import numpy as np
from numpy.typing import DTypeLike

from ..backends.types import Shape


def glorot_uniform(
    rng: np.random.Generator | None, shape: Shape, fan_in: int, fan_out: int, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """Uniform on [-a, a] with a = sqrt(6 / (fan_in + fan_out))  (Glorot & Bengio 2010, eq. 16; the paper's choice).

    A uniform variable on [-a, a] has variance a^2 / 3 = 2 / (fan_in + fan_out): halfway between 1/fan_in, which keeps
    the variance of activations on the way forward, and 1/fan_out, which keeps that of gradients on the way back.
    Drawn in float64 and rounded, so that both precisions start from the same network. TypeError for an rng that is
    none, such as the None of a `build` that was given no generator.
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng={rng!r}: expected a numpy.random.Generator, such as numpy.random.default_rng(0)")
    limit = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, size=shape).astype(dtype)
