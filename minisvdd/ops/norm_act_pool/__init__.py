"""What follows every convolution of the paper's encoders: batch norm, leaky ReLU, max-pool; and the whole module.

    x_hat = (x - mu) r,     y = max over each window of f(x_hat),     f(h) = h if h > 0 else slope h

The plain lines are the three operations in a row. The other readings use that f and x -> (x - mu) r, r > 0, never
decrease, in floating point too, so that the largest entry of a window stays the largest:

    max_i f((x_i - mu) r)  =  f((max_i x_i - mu) r)        to the last bit

Only the statistics need all of x; the rest is done on the winners, and x_hat is never written. Backward, with the m
values of a channel, G = dL/dy, and f' = 1 where y > 0, slope elsewhere (y and its x_hat have one sign):

    g = dL/dx_hat = G f' at the winner of each window, 0 elsewhere
    dL/dx = r (g - mean(g) - x_hat mean(g x_hat))                              (`minisvdd.ops.batchnorm`)
    sum g x_hat = sum over windows of G f' x_hat = sum over windows of G y     because y = f' x_hat on either side of 0

so both means are sums over the pooled arrays, divided by m. Since x_hat = (x - mu) r,

    dL/dx = a x + b  everywhere,  and + r g at the winners,      a = -r^2 mean(g x_hat),  b = -r mean(g) - a mu

Windows lie side by side; where entries of one tie, the first in reading order wins, as in `minisvdd.ops.pooling`. Where
rounding makes one y of two x, these tie for the plain lines, not for the others: the winner may differ, y does not.

**With a scale w and a shift b** (batch norm's `affine`) it is y = max f(z), z = w x_hat + b, and g = dL/dz = G f':

    dL/dw = sum g x_hat,     dL/db = sum g,     dL/dx = w r (g - mean(g) - x_hat mean(g x_hat))

by the chain rule: dL/dx_hat = w g, and w leaves both means. So the sums that the statistics need *are* the gradients
of w and b. Only y no longer tells x_hat: the sum over winners needs x there. Where w < 0, z falls as x rises, and the
smallest x of a window wins; where w = 0, all tie.
"""

from typing import NamedTuple

import numpy as np

from ..activations import leaky_relu_backward, leaky_relu_forward
from ..batchnorm import (
    affine_backward,
    affine_forward,
    batch_statistics,
    batchnorm_backward,
    batchnorm_backward_fixed,
    expect_channels,
    inverse_deviation,
    per_channel,
)
from ..conv2d import Pair, conv2d_forward, conv2d_output_size, expect_images
from ..operation import Operation
from ..pooling import maxpool_backward, maxpool_forward, pool_margins


class Affine(NamedTuple):
    """Batch norm's trainable scale w and shift b, each (C,)."""

    weight: np.ndarray
    bias: np.ndarray


@Operation
def norm_act_pool_forward(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, slope: float, window: Pair, affine: Affine | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """With given statistics.  x: (N, C, H, W); mean mu, scale r: (C,); affine: None for w = 1, b = 0.

    Returns y and `winner`, the index a * kw + b in each window, both (N, C, H // kh, W // kw).
    """
    z = (x - per_channel(mean, x)) * per_channel(scale, x)
    if affine:
        z = affine_forward(z, *affine)
    return maxpool_forward(leaky_relu_forward(z, slope), window, window)


@Operation
def norm_act_pool_evaluate(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, slope: float, window: Pair, affine: Affine | None = None
) -> np.ndarray:
    """y alone, for evaluation, which asks for no gradient."""
    return norm_act_pool_forward(x, mean, scale, slope, window, affine)[0]


@Operation
def norm_act_pool_backward(
    grad_output: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    winner: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    slope: float,
    window: Pair,
    fixed: bool = False,
) -> np.ndarray:
    """dL/dx.  fixed: mean and scale were constants (running statistics), not those of x."""
    x_hat = (x - per_channel(mean, x)) * per_channel(scale, x)
    grad = maxpool_backward(grad_output, winner, x.shape, window, window)
    grad = leaky_relu_backward(grad, x_hat > 0, slope)
    return batchnorm_backward_fixed(grad, scale) if fixed else batchnorm_backward(grad, x_hat, scale)


@Operation
def affine_act_pool_backward(
    grad_output: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    winner: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    weight: np.ndarray,
    slope: float,
    window: Pair,
    fixed: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """With a scale and a shift: dL/dx, dL/dw and dL/db.  fixed: as above."""
    x_hat = (x - per_channel(mean, x)) * per_channel(scale, x)
    grad_z = maxpool_backward(leaky_relu_backward(grad_output, y > 0, slope), winner, x.shape, window, window)
    grad, grad_weight, grad_bias = affine_backward(grad_z, x_hat, weight)
    grad = batchnorm_backward_fixed(grad, scale) if fixed else batchnorm_backward(grad, x_hat, scale)
    return grad, grad_weight, grad_bias


@Operation
def encoder_module_forward(
    x: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Pair,
    epsilon: float,
    slope: float,
    window: Pair,
    affine: Affine | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A module of the paper's encoders in training: convolution, then the above with the statistics of the batch.

    Returns h = x * weight (N, K, H, W), y and winner (N, K, H // kh, W // kw), and mean, variance, scale of h, each
    (K,).
    """
    h = conv2d_forward(x, weight, stride, padding)
    mean, variance = batch_statistics(h)
    scale = inverse_deviation(variance, epsilon)
    return h, *norm_act_pool_forward(h, mean, scale, slope, window, affine), mean, variance, scale


# What every reading refuses: other channels than the statistics', an image that is smaller than a window


@norm_act_pool_evaluate.refuses
@norm_act_pool_forward.refuses
def _(x: np.ndarray, mean: np.ndarray, scale: np.ndarray, slope: float, window: Pair, *_: object, **__: object) -> None:
    expect_channels(x, mean, "statistics")
    pool_margins(x.shape[2:], window, window, (0, 0))


@encoder_module_forward.refuses
def _(
    x: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Pair,
    epsilon: float,
    slope: float,
    window: Pair,
    *_: object,
    **__: object,
) -> None:
    expect_images(x, weight)
    pool_margins(conv2d_output_size(x.shape[2:], weight.shape[2:], stride, padding), window, window, (0, 0))
