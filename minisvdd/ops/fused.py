"""Batch norm, leaky ReLU and max-pool as one operation, and the convolution that takes batch statistics on its way.

    y = max over the window of f(x_hat),   x_hat = (x - mu) r,   f(h) = h if h > 0 else slope h

Kernels read x once and write only y and the winner; x_hat, the activation and its mask never exist in memory. Backward,
with G = dL/dy, f' = 1 where y > 0 and slope elsewhere (y and its x_hat have one sign), and windows side by side:

    g = dL/dx_hat = G f' at the winner of each window, 0 elsewhere
    dL/dx = r (g - mean(g) - x_hat mean(g x_hat))                             (see `minisvdd.ops.batchnorm`)
    sum g x_hat = sum over windows of G f' x_hat = sum over windows of G y    because y = f' x_hat on either side of 0

so both means come from the pooled arrays. The NumPy lines are the unfused operations, one after the other.
"""

import numpy as np

from . import activations, batchnorm, conv2d, pooling
from .conv2d import launch as conv2d_launch


def conv2d_forward_statistics(backend, x, weight, stride, padding):
    """The convolution of x and its mean and (biased) variance per channel: y, mean (K,), variance (K,)."""
    if not backend.runs_numpy:
        size = conv2d.conv2d_output_size(x.shape[2:], weight.shape[2:], stride, padding)
        y = backend.empty((len(x), len(weight), *size), x.dtype)
        moments = conv2d_launch.forward_moments(backend, x, weight, y, stride, padding)
        if moments is not None:
            return y, *batchnorm.merge_moments(backend, *moments)
    y = conv2d.conv2d_forward(backend, x, weight, stride, padding)
    return y, *batchnorm.batch_statistics(backend, y)


def normalize_pool_forward(backend, x, mean, scale, slope, kernel_size, rung=None):
    """Normalise, leaky ReLU, max-pool.  x: (N, C, H, W); returns y (N, C, H // kh, W // kw) and winner (uint8)."""
    if not backend.runs_numpy:
        N, C, H, W = x.shape
        kh, kw = kernel_size
        P, Q = H // kh, W // kw
        y, winner = backend.empty((N, C, P, Q), x.dtype), backend.empty((N, C, P, Q), np.uint8)
        args = (*map(backend.dense, (x, mean, scale)), y, winner, slope, N * C, C, H, W, P, Q, kh, kw)
        backend.launch(
            "normalize_pool_forward", args, threads=-(-y.size // 2) if rung != "windows" else y.size, rung=rung
        )
        return y, winner
    x_hat = (x - mean[:, None, None]) * scale[:, None, None]
    return pooling.maxpool_forward(
        backend, activations.leaky_relu_forward(backend, x_hat, slope), kernel_size, kernel_size
    )


def normalize_pool_backward(
    backend, grad_output, x, y, winner, mean, scale, slope, kernel_size, fixed=False, rung=None
):
    """dL/dx of `normalize_pool_forward`. fixed: mean and scale were constants (running statistics)."""
    if not backend.runs_numpy:
        (N, C, H, W), (kh, kw), (P, Q) = x.shape, kernel_size, y.shape[2:]
        grad_output = backend.dense(grad_output)
        if fixed:
            means = backend.zeros((2, C), x.dtype)
        else:
            means = _pooled_means(backend, grad_output, y, slope, 1 / (N * H * W))
        grad_input = backend.empty(x.shape, x.dtype)
        arrays = (grad_output, *map(backend.dense, (x, y, winner, mean, scale)), means, grad_input)
        threads = N * C * -(-H // kh) * -(-W // kw)
        sizes = (N * C, C, H, W, P, Q, kh, kw)
        backend.launch("normalize_pool_backward", (*arrays, slope, *sizes), threads=threads, rung=rung)
        return grad_input
    x_hat = (x - mean[:, None, None]) * scale[:, None, None]
    grad = pooling.maxpool_backward(backend, grad_output, winner, x.shape, kernel_size, kernel_size)
    grad = activations.leaky_relu_backward(backend, grad, x_hat > 0, slope)
    if fixed:
        return batchnorm.batchnorm_backward_fixed(backend, grad, scale)
    return batchnorm.batchnorm_backward(backend, grad, x_hat, scale)


def _pooled_means(backend, grad_output, y, slope, factor):
    """factor * sum of g and factor * sum of g x_hat per channel.  Returns (2, C)."""
    N, C, P, Q = y.shape
    shares = batchnorm.shares_of_channel(N, C, P * Q)
    partials, means = backend.empty((shares, 2, C), y.dtype), backend.empty((2, C), y.dtype)
    args = (grad_output, backend.dense(y), partials, slope, N, C, P * Q)
    backend.launch("pooled_means", args, grid=(C, shares))
    conv2d_launch.sum_partials(backend, partials, means, factor)
    return means
