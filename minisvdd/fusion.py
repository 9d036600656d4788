"""Runs of layers that `Sequential` computes as one step: the same function, with less work.

A network is written down as the paper writes it; what is fused here follows from the types of neighbouring layers.
"""

from itertools import pairwise

import numpy as np

from .layers import BatchNorm, Layer, LeakyReLU, MaxPool2D, ReLU
from .ops.norm_pool import norm_pool_backward, norm_pool_forward, norm_pool_forward_batch


class NormPool(Layer):
    """BatchNorm, leaky ReLU and 2x2 max-pool of an encoder module, computed in the order norm, pool, activation.

    `minisvdd.ops.norm_pool` derives it. The three layers keep their statistics and their kink patterns; the pattern of
    the activation has the pooled size, because it sees only the winners.
    """

    def __init__(self, norm: BatchNorm, activation: LeakyReLU, pool: MaxPool2D):
        super().__init__()
        self.norm, self.activation, self.pool = norm, activation, pool

    def forward(self, x, training=False):
        slope, use_batch = self.activation.slope, self.norm.uses_batch(training)
        if use_batch:
            self.norm.check_batch(x)
            y, pooled, winner, scale, mean, variance = norm_pool_forward_batch(x, slope, self.norm.epsilon)
            self.norm.update_statistics(x, mean, variance)
        else:
            mean, variance = self.norm.buffers.values()
            scale = 1 / np.sqrt(variance + self.norm.epsilon)
            y, pooled, winner = norm_pool_forward(x, mean, scale, slope, training)
        self._keep((x, pooled, winner, scale, mean if use_batch else None), training)
        self.activation._pattern, self.pool._pattern = pooled > 0 if training else None, winner
        return y

    def backward(self, grad_output):
        x, pooled, winner, scale, mean = self._take()
        return norm_pool_backward(grad_output, x, pooled, winner, self.activation.slope, scale, mean)


def steps(layers: list[Layer]) -> list[Layer]:
    """The layers in the order in which they are computed, some of them fused."""
    ordered = list(layers)
    i = 0
    while i < len(ordered):
        if _is_norm_pool(ordered[i : i + 3]):
            ordered[i : i + 3] = [NormPool(*ordered[i : i + 3])]
        i += 1
    return _pooling_first(ordered)


def _is_norm_pool(layers):
    if [type(layer) for layer in layers] not in ([BatchNorm, LeakyReLU, MaxPool2D], [BatchNorm, ReLU, MaxPool2D]):
        return False
    norm, _, pool = layers
    return norm.backend.runs_numpy and not norm.affine and pool.kernel_size == pool.stride == (2, 2)


def _pooling_first(layers):
    """A max-pool before the leaky ReLU that it follows, not after: it never decreases, so max f(x_i) = f(max x_i)."""
    ordered = list(layers)
    for i, (first, second) in enumerate(pairwise(layers)):
        if type(first) in (LeakyReLU, ReLU) and type(second) is MaxPool2D:
            ordered[i : i + 2] = second, first
    return ordered
