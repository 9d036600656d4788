"""Runs of layers that `Sequential` computes as one step: the same function, with less work.

A network is written down as the paper writes it; what is fused here follows from the types of neighbouring layers and
from the backend. The layers keep their parameters, gradients and statistics: only the way through them is another one.
"""

from itertools import pairwise

from ..ops import conv2d, fused
from ..ops.batchnorm import inverse_deviation
from ..ops.norm_pool import norm_pool_backward, norm_pool_forward, norm_pool_forward_batch
from .layers import BatchNorm, Conv2D, Layer, LeakyReLU, MaxPool2D, ReLU

_MOST_ENTRIES = 256  # in a pooling window of a kernel: the winner's index is one byte


def steps(layers: list[Layer]) -> list[Layer]:
    """The layers in the order in which they are computed, some of them fused."""
    ordered, i = list(layers), 0
    while i < len(ordered):
        if len(ordered) - i >= 4 and _is_module(*ordered[i : i + 4]):
            ordered[i : i + 4] = [FusedModule(*ordered[i : i + 4])]
        elif len(ordered) - i >= 3 and _is_norm_pool(*ordered[i : i + 3]):
            ordered[i : i + 3] = [NormPool(*ordered[i : i + 3])]
        i += 1
    return _pooling_first(ordered)


def _is_module(conv, norm, activation, pool):
    return (
        type(conv) is Conv2D
        and not conv.backend.runs_numpy
        and not conv.bias
        and _is_plain(norm, activation, pool)
        and pool.kernel_size[0] * pool.kernel_size[1] <= _MOST_ENTRIES
    )


def _is_norm_pool(norm, activation, pool):
    return _is_plain(norm, activation, pool) and norm.backend.runs_numpy and pool.kernel_size == (2, 2)


def _is_plain(norm, activation, pool):
    types = type(norm) is BatchNorm and type(activation) in (LeakyReLU, ReLU) and type(pool) is MaxPool2D
    return types and not norm.affine and pool.stride == pool.kernel_size


def _pooling_first(layers):
    """A max-pool before the leaky ReLU that it follows, not after: it never decreases, so max f(x_i) = f(max x_i)."""
    ordered = list(layers)
    for i, (first, second) in enumerate(pairwise(layers)):
        if type(first) in (LeakyReLU, ReLU) and type(second) is MaxPool2D:
            ordered[i : i + 2] = second, first
    return ordered


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
            self.norm.move_running(mean, variance, x.shape)
        else:
            mean, variance = self.norm.buffers.values()
            scale = inverse_deviation(self.norm.backend, variance, self.norm.epsilon)
            y, pooled, winner = norm_pool_forward(x, mean, scale, slope, training)
        self._keep((x, pooled, winner, scale, mean if use_batch else None), training)
        self.activation._pattern, self.pool._pattern = pooled > 0 if training else None, winner
        return y

    def backward(self, grad_output):
        x, pooled, winner, scale, mean = self._take()
        return norm_pool_backward(grad_output, x, pooled, winner, self.activation.slope, scale, mean)


class FusedModule(Layer):
    """Convolution, batch norm, leaky ReLU and max-pool as few kernels (`minisvdd.ops.fused`).

    On a backend of kernels every layer reads its input from the GPU's memory and writes its output there; between two
    convolutions that traffic is most of the time.
    """

    def __init__(self, conv: Conv2D, norm: BatchNorm, activation: LeakyReLU, pool: MaxPool2D):
        super().__init__()
        self.backend = conv.backend
        self.conv, self.norm, self.slope, self.window = conv, norm, activation.slope, pool.kernel_size
        self._pattern = None

    def forward(self, x, training=False):
        conv, norm, backend = self.conv, self.norm, self.backend
        where = conv.params["weight"], conv.stride, conv.padding
        use_batch = norm.uses_batch(training)
        if use_batch:
            norm.check_batch(x)
            y, mean, variance = fused.conv2d_forward_statistics(backend, x, *where)
            norm.move_running(mean, variance, y.shape)
        else:
            y, (mean, variance) = conv2d.conv2d_forward(backend, x, *where), norm.buffers.values()
        scale = inverse_deviation(backend, variance, norm.epsilon)
        pooled, winner = fused.normalize_pool_forward(backend, y, mean, scale, self.slope, self.window)
        self._keep((x, (y, pooled, winner, mean, scale), not use_batch), training)
        self._pattern = (winner, pooled) if training else None
        return pooled

    def backward(self, grad_output):
        x, grad_y = self._backward_to_conv(grad_output)
        self.conv.write_grads(grad_y, x)
        return self.conv.grad_input(grad_y, x.shape[2:])

    def backward_input(self, grad_output):
        x, grad_y = self._backward_to_conv(grad_output)
        return self.conv.grad_input(grad_y, x.shape[2:])

    def backward_params(self, grad_output):
        x, grad_y = self._backward_to_conv(grad_output)
        self.conv.write_grads(grad_y, x)

    def _backward_to_conv(self, grad_output):
        x, kept, fixed = self._take()
        return x, fused.normalize_pool_backward(self.backend, grad_output, *kept, self.slope, self.window, fixed)

    def kink_pattern(self):
        if self._pattern is None:
            return None
        winner, pooled = self._pattern
        return winner, pooled > 0
