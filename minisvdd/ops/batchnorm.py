"""Batch normalisation, per channel over the batch and, for images, over all positions.

With m values per channel (m = N for features, N H W for images), mean mu and variance v of those values:

    x_hat = (x - mu) r,    r = 1 / sqrt(v + eps),    mu = 1/m sum x,    v = 1/m sum (x - mu)^2

Backward, with g = dL/dx_hat. An input x_i reaches the loss by three ways: directly, through mu and through v.

    direct     g_i r
    through v  dL/dv = sum_j g_j (x_j - mu) (-1/2) r^3,   dv/dx_i = 2 (x_i - mu) / m    ->   - r x_hat_i mean(g x_hat)
    through mu dL/dmu = -r sum_j g_j  (the part through v vanishes: sum (x_j - mu) = 0)  ->   - r mean(g)

    dL/dx = r (g - mean(g) - x_hat mean(g x_hat))

In words: the gradient loses its component along the constant vector and along x_hat, the two directions in which a
change of x leaves x_hat as it is. With fixed statistics (evaluation) only the direct way remains: dL/dx = r g.
"""

from functools import lru_cache

import numpy as np

from ..backends.threads import run
from ..backends.workspace import empty
from .conv2d.launch import sum_partials
from .layout import channel_blocks, channel_rows, from_channel_rows, pack_threads
from .linear import bias_forward

_PIECE = 4096  # numbers that `row_products` adds up one after the other


def batch_statistics(backend, x):
    """Mean and (biased) variance per channel.  x: (N, C) or (N, C, H, W); returns two arrays (C,)."""
    if not backend.runs_numpy:
        return _channel_statistics(backend, x)
    axes = _all_but_channel(x)
    mean = x.mean(axis=axes)
    centered = x - _per_channel(mean, x)
    return mean, (centered * centered).mean(axis=axes)  # not np.var: that takes |.|^2 and would break the complex step


def batchnorm_forward(backend, x, mean, variance, epsilon):
    """Normalise with the given statistics.  Returns x_hat, shaped like x, and the scale r (C,)."""
    if not backend.runs_numpy:
        scale = inverse_deviation(backend, variance, epsilon)
        return _channel_scale(backend, x, mean, scale), scale
    scale = inverse_deviation(backend, variance, epsilon)
    rows = channel_rows(x)
    x_hat = empty(rows.shape, np.result_type(x, mean, scale))

    def work(blocks):
        for block in blocks:
            np.subtract(rows[block], mean[block, None], out=x_hat[block])
            x_hat[block] *= scale[block, None]

    run(work, *channel_blocks(rows))
    return from_channel_rows(x_hat, x.shape), scale


def inverse_deviation(backend, variance, epsilon):
    """r = 1 / sqrt(v + eps).  Returns (C,)."""
    if not backend.runs_numpy:
        scale = backend.empty(variance.shape, variance.dtype)
        backend.launch("inverse_deviation", (variance, scale, epsilon, scale.size), threads=scale.size)
        return scale
    return 1 / np.sqrt(variance + epsilon)


def running_update(backend, running, batch, momentum, factor=1.0):
    """(1 - momentum) running + momentum factor batch, the running statistics after a batch; kernels work in place."""
    if not backend.runs_numpy:
        backend.launch("running_update", (running, batch, momentum, factor, running.size), threads=running.size)
        return running
    return (1 - momentum) * running + momentum * (batch * factor)


def batchnorm_forward_batch(backend, x, epsilon):
    """`batch_statistics` and `batchnorm_forward` in one: a channel passes through the cache once, not four times.

    Returns x_hat, shaped like x, and scale, mean, variance, each (C,).
    """
    if not backend.runs_numpy:
        mean, variance = batch_statistics(backend, x)
        return *batchnorm_forward(backend, x, mean, variance, epsilon), mean, variance
    rows = channel_rows(x)
    x_hat = empty(rows.shape, rows.dtype)
    scale, mean, variance = np.empty((3, len(rows)), x.dtype)

    def work(blocks):
        for block in blocks:
            centered = x_hat[block]
            scale[block], mean[block], variance[block] = center_rows(rows[block], centered, epsilon)
            centered *= scale[block, None]

    run(work, *channel_blocks(rows))
    return from_channel_rows(x_hat, x.shape), scale, mean, variance


def batchnorm_backward(backend, grad_output, x_hat, scale):
    """dL/dx when mean and variance were those of this batch."""
    if not backend.runs_numpy:
        grad_input = backend.empty(x_hat.shape, x_hat.dtype)
        means = _channel_means(backend, grad_output, x_hat)
        arrays = (*map(backend.dense, (grad_output, x_hat, scale)), means, grad_input)
        sizes = x_hat.size, *_sizes(x_hat)[1:]
        backend.launch("batchnorm_backward", (*arrays, *sizes), threads=pack_threads(x_hat.size))
        return grad_input
    grad, normal = channel_rows(grad_output), channel_rows(x_hat)
    grad_input = empty(grad.shape, np.result_type(grad, normal))

    def work(blocks):
        for block in blocks:
            g, h, result = grad[block], normal[block], grad_input[block]
            mean_g = (row_sums(g) / g.shape[1])[:, None]
            mean_gh = (row_products(g, h) / g.shape[1])[:, None]
            np.multiply(h, -mean_gh, out=result)
            result += g
            result -= mean_g
            result *= scale[block, None]

    run(work, *channel_blocks(grad))
    return from_channel_rows(grad_input, x_hat.shape)


def batchnorm_backward_fixed(backend, grad_output, scale):
    """dL/dx when mean and variance were constants (running statistics)."""
    if not backend.runs_numpy:
        return _channel_scale(backend, grad_output, _no_shift(backend, scale), scale)
    return grad_output * _per_channel(scale, grad_output)


def affine_forward(backend, x_hat, weight, bias):
    """y = weight x_hat + bias, per channel: the optional second half of batch norm.  weight, bias: (C,)."""
    if not backend.runs_numpy:
        return bias_forward(backend, _channel_scale(backend, x_hat, _no_shift(backend, weight), weight), bias)
    return x_hat * _per_channel(weight, x_hat) + _per_channel(bias, x_hat)


def affine_backward(backend, grad_output, x_hat, weight):
    """Returns (dL/dx_hat, dL/dweight, dL/dbias) = (G weight, sum G x_hat, sum G)."""
    if not backend.runs_numpy:
        sum_g, sum_gx = _channel_means(backend, grad_output, x_hat, factor=1.0)
        return _channel_scale(backend, grad_output, _no_shift(backend, weight), weight), sum_gx, sum_g
    axes = _all_but_channel(x_hat)
    grad_x_hat = grad_output * _per_channel(weight, grad_output)
    return grad_x_hat, (grad_output * x_hat).sum(axis=axes), grad_output.sum(axis=axes)


def center_rows(rows, centered, epsilon):
    """Write rows - mean into `centered`; returns scale, mean and variance of every row (a channel)."""
    mean = row_sums(rows) / rows.shape[1]
    np.subtract(rows, mean[:, None], out=centered)
    variance = row_products(centered, centered) / rows.shape[1]
    return 1 / np.sqrt(variance + epsilon), mean, variance


def row_sums(rows):
    """Sum of each row: a product with ones adds faster than np.sum."""
    return np.dot(rows, _ones(rows.shape[1], rows.dtype))  # np.dot, not `@`, which keeps Python's lock here


@lru_cache(maxsize=8)
def _ones(count, dtype):
    return np.ones(count, dtype)


def row_products(a, b, dtype=None):
    """Sum of a b along each row (without conjugation, for the complex step).

    einsum does all rows in one call, without Python's lock. It adds up one number after the other, so that rounding
    errors grow with their number: hence pieces, whose sums are added in `dtype` (None: that of the numbers).
    """
    whole = a.shape[1] // _PIECE * _PIECE
    pieces = [rows[:, :whole].reshape(len(rows), -1, _PIECE) for rows in (a, b)]
    sums = np.einsum("cpi,cpi->cp", *pieces).sum(axis=1, dtype=dtype)
    return sums if whole == a.shape[1] else sums + np.einsum("ci,ci->c", a[:, whole:], b[:, whole:])


def _all_but_channel(x):
    return tuple(axis for axis in range(x.ndim) if axis != 1)


def _per_channel(values, like):
    """(C,) shaped so that it broadcasts over (N, C) or (N, C, H, W)."""
    return values.reshape(-1, *[1] * (like.ndim - 2))


def _sizes(x):
    """(N, C, positions), which is how the kernels see features and images alike."""
    return x.shape[0], x.shape[1], x.size // (x.shape[0] * x.shape[1])


# Launches


def shares_of_channel(N, C, positions):
    """Blocks that share a channel: enough for a large GPU, but each with several numbers per thread."""
    return max(1, min(512 // C, N * positions // 2048))


def _channel_statistics(backend, x, rung="split"):
    """Mean and variance per channel."""
    N, C, positions = _sizes(x)
    if rung == "split":
        shares = shares_of_channel(N, C, positions)
        means, squares = (backend.empty((shares, C), x.dtype) for _ in range(2))
        counts = backend.empty(shares, np.int32)
        args = (backend.dense(x), means, squares, counts, N, C, positions)
        backend.launch("channel_statistics", args, grid=(C, shares), rung=rung)
        return merge_moments(backend, means, squares, counts)
    mean, variance = (backend.empty(C, x.dtype) for _ in range(2))
    args = (backend.dense(x), mean, variance, N, C, positions)
    backend.launch("channel_statistics", args, grid=(C,), rung=rung)
    return mean, variance


def merge_moments(backend, means, squares, counts):
    """Mean and variance per channel from the moments of shares: means, squares (shares, C), counts (shares,)."""
    shares, C = means.shape
    mean, variance = (backend.empty(C, means.dtype) for _ in range(2))
    args = (means, squares, counts, mean, variance, shares, C)
    backend.launch("merge_moments", args, grid=(C,), block=(128,))
    return mean, variance


def _channel_means(backend, a, b, rung="split", factor=None):
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


def _no_shift(backend, scale):
    return backend.zeros(scale.shape, scale.dtype)


def _channel_scale(backend, x, shift, scale, rung=None):
    """(x - shift) scale, per channel."""
    y = backend.empty(x.shape, x.dtype)
    arrays = (*map(backend.dense, (x, shift, scale)), y)
    threads = x.size if rung == "naive" else pack_threads(x.size)
    backend.launch("channel_scale", (*arrays, x.size, *_sizes(x)[1:]), threads=threads, rung=rung)
    return y
