"""Global contrast normalisation with the L1 norm (paper, section 4.2): every image on its own scale.

    m_i = mean over all pixels and channels of image i
    s_i = mean over all pixels and channels of |x_i - m_i|          (mean absolute deviation)
    z_i = (x_i - m_i) / s_i

A change of brightness or contrast, x -> a x + b with a > 0, leaves z as it is. An image of one colour has s = 0; its z
is 0, the limit of "no contrast".
"""

from typing import TYPE_CHECKING

import numpy as np

from ..backends.types import DeviceArray
from .operation import Operation

if TYPE_CHECKING:
    from ..backends.device import KernelBackend


@Operation
def contrast_normalize(x: np.ndarray) -> np.ndarray:
    """z for every sample of x.  x: (N, C, H, W) or (N, D), any real dtype; returns float32 of the same shape.

    Means are accumulated in float64: an error in s_i would scale a whole image.
    """
    flat = x.reshape(len(x), -1)
    centered = (flat - flat.mean(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
    deviation = np.abs(centered).mean(axis=1, keepdims=True, dtype=np.float64)
    # In exact arithmetic a one-coloured image has deviation 0; rounding of its mean must not be blown up to contrast.
    rounding = np.finfo(np.float32).eps * np.abs(flat).max(axis=1, keepdims=True)
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > rounding)
    return (centered * scale).astype(np.float32).reshape(x.shape)


@contrast_normalize.launch
def _(backend: "KernelBackend", x: DeviceArray, rung: str | None = None) -> DeviceArray:
    x = backend.dense(x if x.dtype in (np.float32, np.float64) else backend.asarray(x, np.float32))
    z = backend.empty(x.shape, np.float32)
    args = (x, z, np.finfo(np.float32).eps, x.size // len(x))
    backend.launch("contrast_normalize", args, grid=(len(x),), block=(128,), rung=rung)
    return z
