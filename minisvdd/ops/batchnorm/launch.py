"""Batch norm by the kernels of `kernels/batchnorm.cu`."""

from typing import NamedTuple

import numpy as np

from ...backends.device import KernelBackend
from ...backends.types import DeviceArray
from ..layout import pack_threads
from ..linear import bias_forward
from ..reductions import sum_partials
from . import (
    affine_backward,
    affine_forward,
    batch_statistics,
    batchnorm_backward,
    batchnorm_backward_fixed,
    batchnorm_forward,
    batchnorm_forward_batch,
    inverse_deviation,
    running_update,
)


class Moments(NamedTuple):
    """Of shares of every channel: means and sums of squared deviations (shares, C), sizes of the shares (shares,).

    total: the sum of the sizes, the numbers of a channel.
    """

    means: DeviceArray
    squares: DeviceArray
    counts: DeviceArray
    total: int


class Running(NamedTuple):
    """The running mean and (unbiased) variance of every channel, which a training step moves."""

    mean: DeviceArray
    variance: DeviceArray
    momentum: float


@batch_statistics.launch
def _(backend: KernelBackend, x: DeviceArray, rung: str | None = "split") -> tuple[DeviceArray, DeviceArray]:
    if rung == "split":
        return merge_moments(backend, channel_moments(backend, x))
    N, C, positions = _sizes(x)
    mean, variance = (backend.empty(C, x.dtype) for _ in range(2))
    args = (backend.dense(x), mean, variance, N, C, positions)
    backend.launch("channel_statistics", args, grid=(C,), rung=rung)
    return mean, variance


@inverse_deviation.launch
def _(backend: KernelBackend, variance: DeviceArray, epsilon: float) -> DeviceArray:
    scale = backend.empty(variance.shape, variance.dtype)
    backend.launch("inverse_deviation", (variance, scale, epsilon, scale.size), threads=scale.size)
    return scale


@batchnorm_forward.launch
def _(
    backend: KernelBackend, x: DeviceArray, mean: DeviceArray, variance: DeviceArray, epsilon: float
) -> tuple[DeviceArray, DeviceArray]:
    scale = inverse_deviation.on(backend)(variance, epsilon)
    return channel_scale(backend, x, mean, scale), scale


@batchnorm_forward_batch.launch
def _(
    backend: KernelBackend, x: DeviceArray, epsilon: float, running: Running | None = None
) -> tuple[DeviceArray, DeviceArray, DeviceArray, DeviceArray]:
    """running: moved along in the same launch."""
    if running is None:
        mean, variance = batch_statistics.on(backend)(x)
        return *batchnorm_forward.on(backend)(x, mean, variance, epsilon), mean, variance
    mean, variance, scale = finish_statistics(backend, channel_moments(backend, x), epsilon, running)
    return channel_scale(backend, x, mean, scale), scale, mean, variance


@batchnorm_backward.launch
def _(backend: KernelBackend, grad_output: DeviceArray, x_hat: DeviceArray, scale: DeviceArray) -> DeviceArray:
    grad_input = backend.empty(x_hat.shape, x_hat.dtype)
    means = channel_means(backend, grad_output, x_hat)
    arrays = (*map(backend.dense, (grad_output, x_hat, scale)), means, grad_input)
    sizes = x_hat.size, *_sizes(x_hat)[1:]
    backend.launch("batchnorm_backward", (*arrays, *sizes), threads=pack_threads(x_hat.size))
    return grad_input


@batchnorm_backward_fixed.launch
def _(backend: KernelBackend, grad_output: DeviceArray, scale: DeviceArray) -> DeviceArray:
    return channel_scale(backend, grad_output, _no_shift(backend, scale), scale)


@affine_forward.launch
def _(backend: KernelBackend, x_hat: DeviceArray, weight: DeviceArray, bias: DeviceArray) -> DeviceArray:
    scaled = channel_scale(backend, x_hat, _no_shift(backend, weight), weight)
    return bias_forward.on(backend)(scaled, bias)


@affine_backward.launch
def _(
    backend: KernelBackend, grad_output: DeviceArray, x_hat: DeviceArray, weight: DeviceArray
) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    sum_g, sum_gx = channel_means(backend, grad_output, x_hat, factor=1.0)
    return channel_scale(backend, grad_output, _no_shift(backend, weight), weight), sum_gx, sum_g


@running_update.launch
def _(backend: KernelBackend, running: DeviceArray, batch: DeviceArray, momentum: float, factor: float = 1.0) -> None:
    backend.launch("running_update", (running, batch, momentum, factor, running.size), threads=running.size)


def shares_of_channel(N: int, C: int, positions: int) -> int:
    """Blocks that share a channel: enough for a large GPU, but each with several numbers per thread."""
    return max(1, min(512 // C, N * positions // 2048))


def channel_moments(backend: KernelBackend, x: DeviceArray) -> Moments:
    """The moments of x, (N, C) or (N, C, H, W), by many blocks per channel."""
    N, C, positions = _sizes(x)
    shares = shares_of_channel(N, C, positions)
    means, squares = (backend.empty((shares, C), x.dtype) for _ in range(2))
    counts = backend.empty(shares, np.int32)
    args = (backend.dense(x), means, squares, counts, N, C, positions)
    backend.launch("channel_statistics", args, grid=(C, shares), rung="split")
    return Moments(means, squares, counts, N * positions)


def merge_moments(backend: KernelBackend, moments: Moments) -> tuple[DeviceArray, DeviceArray]:
    """Mean and (biased) variance per channel."""
    shares, C = moments.means.shape
    mean, variance = (backend.empty(C, moments.means.dtype) for _ in range(2))
    args = (*moments[:3], mean, variance, shares, C, moments.total)
    backend.launch("merge_moments", args, grid=(C,), block=(128,))
    return mean, variance


def finish_statistics(
    backend: KernelBackend, moments: Moments, epsilon: float, running: Running
) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    """Mean, (biased) variance and r = 1 / sqrt(variance + epsilon) per channel; moves `running`. In one launch."""
    shares, C = moments.means.shape
    mean, variance, scale = (backend.empty(C, moments.means.dtype) for _ in range(3))
    running_mean, running_variance, momentum = running
    results = (mean, variance, scale, running_mean, running_variance)
    args = (*moments[:3], *results, shares, C, moments.total, epsilon, momentum)
    backend.launch("finish_statistics", args, grid=(C,), block=(128,))
    return mean, variance, scale


def channel_means(
    backend: KernelBackend, a: DeviceArray, b: DeviceArray, rung: str = "split", factor: float | None = None
) -> DeviceArray:
    """mean(a) and mean(a b) per channel, from one pass over both arrays.  Returns (2, C).

    factor: what the sums are multiplied with, where that is not 1 / their number ("split" only).
    """
    N, C, positions = _sizes(a)
    means = backend.empty((2, C), a.dtype)
    shares = shares_of_channel(N, C, positions) if rung == "split" else 1
    result = backend.empty((shares, 2, C), a.dtype) if rung == "split" else means
    args = (backend.dense(a), backend.dense(b), result, N, C, positions)
    backend.launch("channel_means", args, grid=(C, shares), rung=rung)
    if rung == "split":
        sum_partials(backend, result, means, 1 / (N * positions) if factor is None else factor)
    return means


def channel_scale(
    backend: KernelBackend, x: DeviceArray, shift: DeviceArray, scale: DeviceArray, rung: str | None = None
) -> DeviceArray:
    """(x - shift) scale, per channel."""
    y = backend.empty(x.shape, x.dtype)
    arrays = (*map(backend.dense, (x, shift, scale)), y)
    threads = x.size if rung == "naive" else pack_threads(x.size)
    backend.launch("channel_scale", (*arrays, x.size, *_sizes(x)[1:]), threads=threads, rung=rung)
    return y


def _sizes(x: DeviceArray) -> tuple[int, int, int]:
    """(N, C, positions), which is how the kernels see features and images alike."""
    return x.shape[0], x.shape[1], x.size // (x.shape[0] * x.shape[1])


def _no_shift(backend: KernelBackend, scale: DeviceArray) -> DeviceArray:
    return backend.zeros(scale.shape, scale.dtype)
