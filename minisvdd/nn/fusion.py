"""Modules of an encoder that `Sequential.build` computes as one step: the same function, with less work.

A network is written down as the paper writes it; what is fused follows, once, from the types of neighbouring layers and
from the backend. The layers keep their parameters, gradients and statistics: only the way through them is another one.
A layer of somebody's own, a subclass too, is never replaced; nor is anything on the backend "plain" or where a reader's
own functions take the place of operations.
"""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..ops.conv2d import conv2d_output_size
from .layer import Array, Layer
from .layers import BatchNorm, Conv2D, LeakyReLU, MaxPool2D, ReLU

_MOST_ENTRIES = 256  # in a pooling window of a kernel: the winner's index is one byte


def fused(layers: Sequence[Layer]) -> list[Layer]:
    """The layers in the order in which they are computed, some of them fused.

    A max-pool comes before the leaky ReLU that it follows: that never decreases, so max f(x_i) = f(max x_i).
    """
    steps: list[Layer] = []
    rest = list(layers)
    while rest:
        module = _module(*rest[:4]) if len(rest) >= 4 else None
        if module:
            steps.append(module)
            del rest[:4]
        elif len(rest) >= 2 and _is_pooled(*rest[:2]):
            steps += [rest.pop(1), rest.pop(0)]
        else:
            steps.append(rest.pop(0))
    return steps


def _module(conv: Layer, norm: Layer, activation: Layer, pool: Layer) -> "FusedModule | None":
    """The module of the paper's encoders that these are, where the backend's fused operation computes its form."""
    if type(conv) is not Conv2D or type(norm) is not BatchNorm or type(pool) is not MaxPool2D:
        return None
    if type(activation) is not LeakyReLU and type(activation) is not ReLU:
        return None
    if conv.bias or pool.stride != pool.kernel_size:
        return None
    if pool.padding != (0, 0) or pool.ceil_mode:
        return None
    if not _may_change(conv):
        return None
    rows, columns = pool.kernel_size
    fits = (rows, columns) == (2, 2) if conv.backend.runs_numpy else rows * columns <= _MOST_ENTRIES
    return FusedModule(conv, norm, activation, pool) if fits else None


def _is_pooled(activation: Layer, pool: Layer) -> bool:
    return type(activation) in (LeakyReLU, ReLU) and type(pool) is MaxPool2D and _may_change(pool)


def _may_change(layer: Layer) -> bool:
    """Not where formulas run, or functions of a reader's own."""
    return layer.backend.name != "plain" and not layer.backend.readings


class FusedModule(Layer):
    """Convolution, batch norm, leaky ReLU and max-pool (`minisvdd.ops.norm_act_pool` derives it).

    Between two convolutions the traffic of every layer with the memory is most of the time. The pattern of the
    activation has the pooled size, because it sees only the winners.
    """

    def __init__(self, conv: Conv2D, norm: BatchNorm, activation: LeakyReLU, pool: MaxPool2D) -> None:
        super().__init__()
        self.backend = conv.backend
        self.conv, self.norm, self.activation, self.window = conv, norm, activation, pool.kernel_size

    def forward(self, x: Array, training: bool = False) -> Array:
        if not training:
            return self._evaluate(x)
        conv, norm, use_batch = self.conv, self.norm, self.norm.uses_batch(training)
        if use_batch:
            size = conv2d_output_size(x.shape[2:], conv.kernel_size, conv.stride, conv.padding)
            norm.check_batch((len(x), conv.out_channels, *size))
            module = ops.encoder_module_forward.on(self.backend)
            where = conv.stride, conv.padding, norm.epsilon, self.activation.slope, self.window, self._affine()
            h, y, winner, mean, variance, scale = module(x, conv.params["weight"], *where, **norm.running())
            norm.move_running(mean, variance, h.shape)
        else:
            h, mean, scale = self._convolved(x)
            pooled = ops.norm_act_pool_forward.on(self.backend)
            y, winner = pooled(h, mean, scale, self.activation.slope, self.window, self._affine())
        self._keep((h, y, winner, mean, scale, not use_batch), training, pattern=(winner, y))
        conv._keep(x, training)
        return y

    def _evaluate(self, x: Array) -> Array:
        h, mean, scale = self._convolved(x)
        evaluate = ops.norm_act_pool_evaluate.on(self.backend)
        return evaluate(h, mean, scale, self.activation.slope, self.window, self._affine())

    def _affine(self) -> ops.Affine | None:
        """Batch norm's scale and shift, if it has them."""
        return ops.Affine(*self.norm.params.values()) if self.norm.affine else None

    def _convolved(self, x: Array) -> tuple[Array, Array, Array]:
        """The convolution, and mean and scale from the running statistics."""
        conv, (mean, variance) = self.conv, self.norm.buffers.values()
        h = ops.conv2d_forward.on(self.backend)(x, conv.params["weight"], conv.stride, conv.padding)
        return h, mean, ops.inverse_deviation.on(self.backend)(variance, self.norm.epsilon)

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        h, y, winner, mean, scale, fixed = self._take()
        kept, where = (h, y, winner, mean, scale), (self.activation.slope, self.window, fixed)
        if self.norm.affine:
            weight, slots = self.norm.params["weight"], self.norm.grad_slots if need_params else {}
            out: dict[str, Any] = {"out": (slots["weight"], slots["bias"])} if slots else {}
            module_gradient = ops.affine_act_pool_backward.on(self.backend)
            grad_h, grad_weight, grad_bias = module_gradient(grad_output, *kept, weight, *where, **out)
            if need_params:
                self.norm.grads.update(weight=grad_weight, bias=grad_bias)
        else:
            grad_h = ops.norm_act_pool_backward.on(self.backend)(grad_output, *kept, *where)
        return self.conv.backward(grad_h, need_input, need_params)

    def forget(self) -> None:
        super().forget()
        self.conv.forget()

    def kink_pattern(self) -> Any:
        if self._pattern is None:
            return None
        winner, y = self._pattern
        return winner, y > 0
