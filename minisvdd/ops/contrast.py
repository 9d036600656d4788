"""Global contrast normalisation with the L1 norm (paper, section 4.2): every image on its own scale.

    m_i = mean over all pixels and channels of image i
    s_i = mean over all pixels and channels of |x_i - m_i|          (mean absolute deviation)
    z_i = (x_i - m_i) / s_i

A change of brightness or contrast, x -> a x + b with a > 0, leaves z as it is. An image of one colour has s = 0; its z
is 0, the limit of "no contrast".

**Backward.** With D entries in an image and sigma_i = sign(x_i - m) (image index left out),

    dm/dx_j   = 1/D
    ds/dx_j   = 1/D sum_i sigma_i (delta_ij - 1/D)                       = (sigma_j - mean(sigma)) / D
    dz_i/dx_j = (delta_ij - 1/D) / s - (x_i - m) / s^2 ds/dx_j           = (delta_ij - 1/D) / s - z_i / s ds/dx_j

so that for G = dL/dz

    dL/dx_j = sum_i G_i dz_i/dx_j = 1/s ( G_j - mean(G) - mean(G z) (sigma_j - mean(sigma)) ).

Two sums must vanish, because z does not answer to brightness and contrast: sum_j dL/dx_j = 0 and sum_j x_j dL/dx_j = 0.
At x_j = m, the kink of |.|, sigma_j = 0 is one of the slopes between -1 and 1. Where z was set to 0, so is dL/dx.
"""

import math
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
    centered, scale = _centered_and_scale(x)
    return (centered * scale).astype(np.float32).reshape(x.shape)


@Operation
def contrast_normalize_backward(grad_output: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dL/dx for G = dL/dz.  grad_output, x: (N, C, H, W) or (N, D); returns grad_output's dtype and shape.

    Sums are accumulated in float64, as in the forward pass.
    """
    #: x - m and 1/s of every image, and from them z and the signs
    centered, scale = _centered_and_scale(x)
    G, z, sign = grad_output.reshape(len(x), -1).astype(np.float64), centered * scale, np.sign(centered)
    #: what reaches x through the mean, and through the deviation
    through_mean = G.mean(axis=1, keepdims=True)
    through_scale = (G * z).mean(axis=1, keepdims=True) * (sign - sign.mean(axis=1, keepdims=True, dtype=np.float64))
    grad = scale * (G - through_mean - through_scale)
    return grad.astype(grad_output.dtype).reshape(x.shape)


def _centered_and_scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x - m as (N, D) float32, and 1/s as (N, 1) float64: 0 for an image of one colour."""
    flat = x.reshape(len(x), math.prod(x.shape[1:]))  # there may be no image at all
    centered = (flat - flat.mean(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
    deviation = np.abs(centered).mean(axis=1, keepdims=True, dtype=np.float64)
    # In exact arithmetic a one-coloured image has deviation 0; rounding of its mean must not be blown up to contrast.
    magnitudes = np.abs(flat.astype(np.float64))  # not of integers: in int8 |-128| is -128
    rounding = np.finfo(np.float32).eps * magnitudes.max(axis=1, keepdims=True)
    return centered, np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > rounding)


@contrast_normalize.launch
def _(backend: "KernelBackend", x: DeviceArray, rung: str | None = None) -> DeviceArray:
    x = backend.dense(x if x.dtype in (np.float32, np.float64) else backend.asarray(x, np.float32))
    z = backend.empty(x.shape, np.float32)
    args = (x, z, np.finfo(np.float32).eps, x.size // len(x))
    backend.launch("contrast_normalize", args, grid=(len(x),), block=(128,), rung=rung)
    return z


@contrast_normalize_backward.launch
def _(backend: "KernelBackend", grad_output: DeviceArray, x: DeviceArray) -> DeviceArray:
    """By the formula on the host: no training needs this gradient, and an explanation's images come from there."""
    return backend.asarray(contrast_normalize_backward(backend.to_numpy(grad_output), backend.to_numpy(x)))
