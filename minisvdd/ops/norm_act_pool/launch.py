"""Batch norm, leaky ReLU and max-pool by the kernels of `kernels/fused.cu`.

Kernels read x once and write only y and the winner; x_hat, the activation and its mask never exist in memory. The
convolution of a module takes the statistics on its way.
"""

import numpy as np

from ...backends.device import KernelBackend
from ...backends.types import DeviceArray
from ..batchnorm import inverse_deviation
from ..batchnorm.launch import Running, finish_statistics
from ..conv2d import Pair
from ..conv2d.launch import forward_moments, forward_statistics
from . import (
    Affine,
    affine_act_pool_backward,
    encoder_module_forward,
    norm_act_pool_backward,
    norm_act_pool_evaluate,
    norm_act_pool_forward,
)


@norm_act_pool_forward.launch
def forward(
    backend: KernelBackend,
    x: DeviceArray,
    mean: DeviceArray,
    scale: DeviceArray,
    slope: float,
    window: Pair,
    affine: Affine | None = None,
    rung: str | None = None,
) -> tuple[DeviceArray, DeviceArray]:
    """The winners come as uint8."""
    N, C, H, W = x.shape
    kh, kw = window
    P, Q = H // kh, W // kw
    y, winner = backend.empty((N, C, P, Q), x.dtype), backend.empty((N, C, P, Q), np.uint8)
    arrays = (*map(backend.dense, (x, mean, scale, *(affine or ()))), y, winner)
    args = (*arrays, slope, N * C, C, H, W, P, Q, kh, kw)
    threads = -(-y.size // 2) if rung != "windows" else y.size
    backend.launch("affine_pool_forward" if affine else "normalize_pool_forward", args, threads=threads, rung=rung)
    return y, winner


@norm_act_pool_evaluate.launch
def _(
    backend: KernelBackend,
    x: DeviceArray,
    mean: DeviceArray,
    scale: DeviceArray,
    slope: float,
    window: Pair,
    affine: Affine | None = None,
) -> DeviceArray:
    return forward(backend, x, mean, scale, slope, window, affine)[0]


@encoder_module_forward.launch
def _(
    backend: KernelBackend,
    x: DeviceArray,
    weight: DeviceArray,
    stride: Pair,
    padding: Pair,
    epsilon: float,
    slope: float,
    window: Pair,
    affine: Affine | None = None,
    running: Running | None = None,
) -> tuple[DeviceArray, DeviceArray, DeviceArray, DeviceArray, DeviceArray, DeviceArray]:
    """running: moved along in the launch that finishes the statistics."""
    if running is None:
        h, mean, variance = forward_statistics(backend, x, weight, stride, padding)
        scale = inverse_deviation.on(backend)(variance, epsilon)
    else:
        h, moments = forward_moments(backend, x, weight, stride, padding)
        mean, variance, scale = finish_statistics(backend, moments, epsilon, running)
    return h, *forward(backend, h, mean, scale, slope, window, affine), mean, variance, scale


@norm_act_pool_backward.launch
def backward(
    backend: KernelBackend,
    grad_output: DeviceArray,
    x: DeviceArray,
    y: DeviceArray,
    winner: DeviceArray,
    mean: DeviceArray,
    scale: DeviceArray,
    slope: float,
    window: Pair,
    fixed: bool = False,
    rung: str | None = None,
) -> DeviceArray:
    (N, C, H, W), (kh, kw), (P, Q) = x.shape, window, y.shape[2:]
    grad_output, winner = backend.dense(grad_output), backend.asarray(winner, np.uint8)
    partials = backend.zeros((1, 2, C), x.dtype) if fixed else _pooled_sums(backend, grad_output, y, slope)
    grad_input = backend.empty(x.shape, x.dtype)
    arrays = (grad_output, *map(backend.dense, (x, y, winner, mean, scale)), partials, grad_input)
    windows = N * -(-H // kh) * -(-W // kw)  # of a channel
    of_a_thread = 8 // x.dtype.itemsize  # of 2 x 2, in 16 bytes of a row
    if rung is None:
        rung = "packs" if window == (2, 2) and H % 2 == 0 and W % (2 * of_a_thread) == 0 else "pairs"
    if rung == "packs":
        windows = -(-windows // of_a_thread)
    args = (*arrays, 1 / (N * H * W), slope, len(partials), N, C, H, W, P, Q, kh, kw)
    backend.launch("normalize_pool_backward", args, grid=(-(-windows // 256), C), rung=rung)
    return grad_input


@affine_act_pool_backward.launch
def affine_backward(
    backend: KernelBackend,
    grad_output: DeviceArray,
    x: DeviceArray,
    y: DeviceArray,
    winner: DeviceArray,
    mean: DeviceArray,
    scale: DeviceArray,
    weight: DeviceArray,
    slope: float,
    window: Pair,
    fixed: bool = False,
    out: tuple[DeviceArray, DeviceArray] | None = None,
) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    """Two launches: the second adds up the sums of the first, and writes them as the gradients that they are.

    out: where it writes these; None for new arrays.
    """
    (N, C, H, W), (kh, kw), (P, Q) = x.shape, window, y.shape[2:]
    grad_output, winner = backend.dense(grad_output), backend.asarray(winner, np.uint8)
    x, y, mean, scale, weight = map(backend.dense, (x, y, mean, scale, weight))
    partials = backend.empty((_shares(y), 2, C), x.dtype)
    sizes = N, C, H, W, P, Q, kh, kw
    given = grad_output, x, y, winner, mean, scale
    backend.launch("winner_sums", (*given, partials, slope, *sizes), grid=(C, len(partials)))
    grad_input = backend.empty(x.shape, x.dtype)
    grad_weight, grad_bias = out or (backend.empty(C, x.dtype), backend.empty(C, x.dtype))
    factor = 0 if fixed else 1 / (N * H * W)
    windows, of_a_thread = N * -(-H // kh) * -(-W // kw), 8 // x.dtype.itemsize
    args = (*given, weight, partials, grad_input, grad_weight, grad_bias, factor, slope, len(partials), *sizes)
    backend.launch("affine_pool_backward", args, grid=(-(-windows // (256 * of_a_thread)), C))
    return grad_input, grad_weight, grad_bias


def _pooled_sums(backend: KernelBackend, grad_output: DeviceArray, y: DeviceArray, slope: float) -> DeviceArray:
    """The sums of g and of g x_hat per channel, in shares.  Returns (shares, 2, C)."""
    N, C, P, Q = y.shape
    partials = backend.empty((_shares(y), 2, C), y.dtype)
    args = (grad_output, backend.dense(y), partials, slope, N, C, P * Q)
    backend.launch("pooled_sums", args, grid=(C, len(partials)))
    return partials


def _shares(y: DeviceArray) -> int:
    """Blocks that share a channel: two numbers per thread, for the time is spent waiting for them."""
    N, C, P, Q = y.shape
    return max(1, min(1024 // C, N * P * Q // 512))
