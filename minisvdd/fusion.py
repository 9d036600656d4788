"""Encoder modules, convolution -> batch norm -> leaky ReLU -> max-pool, as few kernels (`minisvdd.ops.fused`).

On a backend of kernels every layer reads its input from the GPU's memory and writes its output there; between two
convolutions that traffic is most of the time. A `FusedModule` runs four layers at once. The layers keep their
parameters, gradients and statistics: only the way through them is another one, and the results are the same.
"""

from .layers import BatchNorm, Conv2D, Layer, LeakyReLU, MaxPool2D, ReLU
from .ops import conv2d, fused
from .ops.batchnorm import inverse_deviation

_MOST_ENTRIES = 256  # in a window: the winner's index is one byte


def fuse(layers: list[Layer]) -> list[Layer]:
    """The same layers, with every encoder module among them as one `FusedModule`."""
    steps, i = [], 0
    while i < len(layers):
        if _is_module(layers[i : i + 4]):
            steps.append(FusedModule(*layers[i : i + 4]))
            i += 4
        else:
            steps.append(layers[i])
            i += 1
    return steps


def _is_module(layers):
    if len(layers) < 4:
        return False
    conv, norm, activation, pool = layers
    return (
        type(conv) is Conv2D
        and not conv.bias
        and type(norm) is BatchNorm
        and not norm.affine
        and type(activation) in (LeakyReLU, ReLU)
        and type(pool) is MaxPool2D
        and pool.stride == pool.kernel_size
        and pool.kernel_size[0] * pool.kernel_size[1] <= _MOST_ENTRIES
    )


class FusedModule(Layer):
    """What four layers compute, one after the other; it writes their `grads` and moves their running statistics."""

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
