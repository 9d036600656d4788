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

from ..operation import Operation, expect_shape


@Operation
def batch_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (biased) variance per channel.  x: (N, C) or (N, C, H, W); returns two arrays (C,)."""
    #: mean and mean squared deviation over all axes but the channels
    axes = all_but_channel(x)
    mean = x.mean(axis=axes)
    centered = x - per_channel(mean, x)
    return mean, (centered * centered).mean(axis=axes)  # not np.var: its |.|^2 would break the complex step


@Operation
def inverse_deviation(variance: np.ndarray, epsilon: float) -> np.ndarray:
    """r = 1 / sqrt(v + eps).  Returns (C,)."""
    return 1 / np.sqrt(variance + epsilon)


@Operation
def batchnorm_forward(
    x: np.ndarray, mean: np.ndarray, variance: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Normalise with the given statistics.  Returns x_hat, shaped like x, and the scale r (C,)."""
    #: the scale r of each channel
    scale = 1 / np.sqrt(variance + epsilon)
    #: shift and scale every channel
    return (x - per_channel(mean, x)) * per_channel(scale, x), scale


@Operation
def batchnorm_forward_batch(x: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Normalise with the batch's own statistics.  Returns x_hat, shaped like x; scale, mean and variance, each (C,)."""
    mean, variance = batch_statistics(x)
    return *batchnorm_forward(x, mean, variance, epsilon), mean, variance


@Operation
def batchnorm_backward(grad_output: np.ndarray, x_hat: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """dL/dx when mean and variance were those of this batch."""
    axes = all_but_channel(x_hat)
    #: the two means of each channel
    mean_g = grad_output.mean(axis=axes, keepdims=True)
    mean_gx = (grad_output * x_hat).mean(axis=axes, keepdims=True)
    #: direct way, way through the mean, way through the variance
    return per_channel(scale, x_hat) * (grad_output - mean_g - x_hat * mean_gx)


@Operation
def batchnorm_backward_fixed(grad_output: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """dL/dx when mean and variance were constants (running statistics)."""
    #: only the direct way is left
    return grad_output * per_channel(scale, grad_output)


@Operation
def affine_forward(x_hat: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """y = weight x_hat + bias, per channel: the optional second half of batch norm.  weight, bias: (C,)."""
    #: one weight and one bias per channel
    return x_hat * per_channel(weight, x_hat) + per_channel(bias, x_hat)


@Operation
def affine_backward(
    grad_output: np.ndarray, x_hat: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (dL/dx_hat, dL/dweight, dL/dbias) = (G weight, sum G x_hat, sum G)."""
    axes = all_but_channel(x_hat)
    #: the three gradients
    grad_x_hat = grad_output * per_channel(weight, grad_output)
    return grad_x_hat, (grad_output * x_hat).sum(axis=axes), grad_output.sum(axis=axes)


@Operation
def running_update(running: np.ndarray, batch: np.ndarray, momentum: float, factor: float = 1.0) -> None:
    """running <- (1 - momentum) running + momentum factor batch, in place: the running statistics after a batch."""
    running[...] = (1 - momentum) * running + momentum * (batch * factor)


def all_but_channel(x: np.ndarray) -> tuple[int, ...]:
    """The axes of (N, C) or (N, C, H, W) that a channel's values lie along."""
    return tuple(axis for axis in range(x.ndim) if axis != 1)


def per_channel(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(C,) shaped so that it broadcasts over (N, C) or (N, C, H, W)."""
    return values.reshape(-1, *[1] * (like.ndim - 2))


def expect_channels(x: np.ndarray, values: np.ndarray, name: str) -> None:
    """ValueError unless x has as many channels as there are values."""
    expect_shape("x", x, ("N", len(values), *"HW"[: x.ndim - 2]), f"{name} of {len(values)} channels")


# What every reading refuses: NumPy would make many channels of one


@batchnorm_forward.refuses
def _(x: np.ndarray, mean: np.ndarray, *_: object, **__: object) -> None:
    expect_channels(x, mean, "statistics")


@batchnorm_forward_batch.refuses
def _(x: np.ndarray, epsilon: float, running: tuple[np.ndarray, np.ndarray, float] | None = None) -> None:
    """running: what a launch is given to move, and `running_update` otherwise."""
    if running:
        expect_channels(x, running[0], "running statistics")


@running_update.refuses
def _(running: np.ndarray, batch: np.ndarray, *_: object, **__: object) -> None:
    expect_shape("batch", batch, running.shape, f"running statistics {running.shape}")


@affine_forward.refuses
def _(x_hat: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
    expect_channels(x_hat, weight, "weights")
    expect_channels(x_hat, bias, "biases")
