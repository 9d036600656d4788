"""Activation functions: elementwise, so each derivative is one number per entry.

`*_backward` takes what its layer kept: a mask for the piecewise linear ones, the output for sigmoid and tanh, whose
derivatives are shortest in terms of the output.
"""

from typing import TYPE_CHECKING

import numpy as np

from ..backends.threads import run
from ..backends.types import Blocks, DeviceArray
from ..backends.workspace import empty
from ..validation import check_number
from .layout import flat_batch_last, flat_blocks, from_flat_batch_last, pack_threads
from .operation import Operation

if TYPE_CHECKING:
    from ..backends.device import KernelBackend


@Operation
def leaky_relu_forward(x: np.ndarray, slope: float) -> np.ndarray:
    """y = x if x > 0 else slope x,  which is max(x, slope x) for 0 <= slope <= 1."""
    #: choose x or slope x, entry by entry
    return np.where(x > 0, x, slope * x)


@Operation
def is_positive(x: np.ndarray) -> np.ndarray:
    """The boolean array x > 0, which `leaky_relu_backward` wants."""
    return x > 0


@Operation
def leaky_relu_backward(grad_output: np.ndarray, positive: np.ndarray, slope: float) -> np.ndarray:
    """dL/dx = G (1 if x > 0 else slope).  positive: the boolean array x > 0; at x = 0 we take `slope`."""
    #: pass the gradient on where x was positive, slope times it elsewhere
    return np.where(positive, grad_output, slope * grad_output)


@Operation
def sigmoid_forward(x: np.ndarray) -> np.ndarray:
    """y = 1 / (1 + exp(-x)), written as (1 + tanh(x/2)) / 2: the same function, and no exponential overflows."""
    return 0.5 * (1 + np.tanh(0.5 * x))


@Operation
def sigmoid_backward(grad_output: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dL/dx = G y (1 - y), from y' = exp(-x) / (1 + exp(-x))^2."""
    return (1 - y) * y * grad_output


@Operation
def tanh_forward(x: np.ndarray) -> np.ndarray:
    """y = tanh(x)."""
    return np.tanh(x)


@Operation
def tanh_backward(grad_output: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dL/dx = G (1 - y^2)."""
    return grad_output * (1 - y * y)


@leaky_relu_forward.refuses
def _(x: np.ndarray, slope: float) -> None:
    """The maximum that the other readings take is the formula's choice only for such slopes."""
    check_number(slope, "slope", 0, 1)


# Fast readings: blocks that threads share


@leaky_relu_forward.fast
def _(x: np.ndarray, slope: float) -> np.ndarray:
    flat = flat_batch_last(x)
    out = empty(flat.shape, np.result_type(flat, slope))

    def work(blocks: Blocks) -> None:
        for block in blocks:
            np.multiply(flat[block], slope, out=out[block])
            np.maximum(flat[block], out[block], out=out[block])

    run(work, flat_blocks(flat.size))
    return from_flat_batch_last(out, x.shape)


@leaky_relu_backward.fast
def _(grad_output: np.ndarray, positive: np.ndarray, slope: float) -> np.ndarray:
    mask, g = flat_batch_last(positive), flat_batch_last(grad_output)
    out = empty(g.shape, g.dtype)

    def work(blocks: Blocks) -> None:
        for block in blocks:
            derivative = out[block]
            np.copyto(derivative, mask[block])  # 1 where x > 0, 0 elsewhere: arithmetic is far faster than np.where
            derivative *= 1 - slope
            derivative += slope
            derivative *= g[block]

    run(work, flat_blocks(g.size))
    return from_flat_batch_last(out, grad_output.shape)


# Launches


@leaky_relu_forward.launch
def _(backend: "KernelBackend", x: DeviceArray, slope: float) -> DeviceArray:
    return _elementwise(backend, "leaky_relu_forward", (x,), (slope,))


@is_positive.launch
def _(backend: "KernelBackend", x: DeviceArray) -> DeviceArray:
    positive = backend.empty(x.shape, np.bool_)
    if x.size:
        backend.launch("is_positive", (backend.dense(x), positive, x.size), threads=x.size)
    return positive


@leaky_relu_backward.launch
def _(backend: "KernelBackend", grad_output: DeviceArray, positive: DeviceArray, slope: float) -> DeviceArray:
    return _elementwise(backend, "leaky_relu_backward", (grad_output, positive), (slope,))


@sigmoid_forward.launch
def _(backend: "KernelBackend", x: DeviceArray) -> DeviceArray:
    return _elementwise(backend, "sigmoid_forward", (x,))


@sigmoid_backward.launch
def _(backend: "KernelBackend", grad_output: DeviceArray, y: DeviceArray) -> DeviceArray:
    return _elementwise(backend, "sigmoid_backward", (grad_output, y))


@tanh_forward.launch
def _(backend: "KernelBackend", x: DeviceArray) -> DeviceArray:
    return _elementwise(backend, "tanh_forward", (x,))


@tanh_backward.launch
def _(backend: "KernelBackend", grad_output: DeviceArray, y: DeviceArray) -> DeviceArray:
    return _elementwise(backend, "tanh_backward", (grad_output, y))


def _elementwise(
    backend: "KernelBackend", operation: str, arrays: tuple[DeviceArray, ...], numbers: tuple[float, ...] = ()
) -> DeviceArray:
    """A result like the first array, whose threads load 16 bytes at a time."""
    first = arrays[0]
    result = backend.empty(first.shape, first.dtype)
    if first.size:
        args = (*map(backend.dense, arrays), result, *numbers, first.size)
        backend.launch(operation, args, threads=pack_threads(first.size))
    return result
