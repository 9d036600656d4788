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

import numpy as np


def batch_statistics(backend, x):
    """Mean and (biased) variance per channel.  x: (N, C) or (N, C, H, W); returns two arrays (C,)."""
    backend.require_kernel("batch_statistics")
    axes = _all_but_channel(x)
    mean = x.mean(axis=axes)
    centered = x - _per_channel(mean, x)
    return mean, (centered * centered).mean(axis=axes)  # not np.var: that takes |.|^2 and would break the complex step


def batchnorm_forward(backend, x, mean, variance, epsilon):
    """Normalise with the given statistics.  Returns x_hat, shaped like x, and the scale r (C,)."""
    backend.require_kernel("batchnorm_forward")
    scale = 1 / np.sqrt(variance + epsilon)
    x_hat = x - _per_channel(mean, x)
    x_hat *= _per_channel(scale, x)
    return x_hat, scale


def batchnorm_backward(backend, grad_output, x_hat, scale):
    """dL/dx when mean and variance were those of this batch."""
    backend.require_kernel("batchnorm_backward")
    axes = _all_but_channel(x_hat)
    mean_g = grad_output.mean(axis=axes)
    mean_gx = (grad_output * x_hat).mean(axis=axes)
    grad_input = x_hat * _per_channel(-mean_gx, x_hat)
    grad_input += grad_output
    grad_input -= _per_channel(mean_g, x_hat)
    grad_input *= _per_channel(scale, x_hat)
    return grad_input


def batchnorm_backward_fixed(backend, grad_output, scale):
    """dL/dx when mean and variance were constants (running statistics)."""
    backend.require_kernel("batchnorm_backward_fixed")
    return grad_output * _per_channel(scale, grad_output)


def affine_forward(backend, x_hat, weight, bias):
    """y = weight x_hat + bias, per channel: the optional second half of batch norm.  weight, bias: (C,)."""
    backend.require_kernel("affine_forward")
    return x_hat * _per_channel(weight, x_hat) + _per_channel(bias, x_hat)


def affine_backward(backend, grad_output, x_hat, weight):
    """Returns (dL/dx_hat, dL/dweight, dL/dbias) = (G weight, sum G x_hat, sum G)."""
    backend.require_kernel("affine_backward")
    axes = _all_but_channel(x_hat)
    grad_x_hat = grad_output * _per_channel(weight, grad_output)
    return grad_x_hat, (grad_output * x_hat).sum(axis=axes), grad_output.sum(axis=axes)


def _all_but_channel(x):
    return tuple(axis for axis in range(x.ndim) if axis != 1)


def _per_channel(values, like):
    """(C,) shaped so that it broadcasts over (N, C) or (N, C, H, W)."""
    return values.reshape(-1, *[1] * (like.ndim - 2))
