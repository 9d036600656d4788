"""Activation functions: elementwise, so each derivative is one number per entry.

`*_backward` takes what its layer kept: a mask for the piecewise linear ones, the output for sigmoid and tanh, whose
derivatives are shortest in terms of the output.
"""

import numpy as np

from ..backends.threads import run
from ..backends.workspace import empty
from .layout import channel_rows, empty_batch_last, flat_blocks, from_channel_rows, pack_threads


def leaky_relu_forward(backend, x, slope):
    """y = x if x > 0 else slope x,  which is max(x, slope x) for 0 <= slope <= 1."""
    if not backend.runs_numpy:
        y = backend.empty(x.shape, x.dtype)
        backend.launch("leaky_relu_forward", (backend.dense(x), y, slope, x.size), threads=pack_threads(x.size))
        return y
    rows = channel_rows(x)
    flat, y = rows.reshape(-1), empty(rows.shape, rows.dtype)
    out = y.reshape(-1)

    def work(blocks):
        for block in blocks:
            np.multiply(flat[block], slope, out=out[block])
            np.maximum(flat[block], out[block], out=out[block])

    run(work, flat_blocks(flat.size))
    return from_channel_rows(y, x.shape)


def is_positive(backend, x):
    """The boolean array x > 0, which `leaky_relu_backward` wants."""
    if not backend.runs_numpy:
        positive = backend.empty(x.shape, np.bool_)
        backend.launch("is_positive", (backend.dense(x), positive, x.size), threads=x.size)
        return positive
    return x > 0


def leaky_relu_backward(backend, grad_output, positive, slope):
    """dL/dx = G (1 if x > 0 else slope).  positive: the boolean array x > 0; at x = 0 we take `slope`."""
    if not backend.runs_numpy:
        grad_input = backend.empty(grad_output.shape, grad_output.dtype)
        args = (backend.dense(grad_output), backend.dense(positive), grad_input, slope, grad_output.size)
        backend.launch("leaky_relu_backward", args, threads=pack_threads(grad_output.size))
        return grad_input
    grad = channel_rows(grad_output)
    mask, g, result = channel_rows(positive).reshape(-1), grad.reshape(-1), empty(grad.shape, grad.dtype)
    out = result.reshape(-1)

    def work(blocks):
        for block in blocks:
            derivative = out[block]
            np.copyto(derivative, mask[block])  # 1 where x > 0, 0 elsewhere: arithmetic is far faster than np.where
            derivative *= 1 - slope
            derivative += slope
            derivative *= g[block]

    run(work, flat_blocks(g.size))
    return from_channel_rows(result, grad_output.shape)


def sigmoid_forward(backend, x):
    """y = 1 / (1 + exp(-x)), written as (1 + tanh(x/2)) / 2: the same function, and no exponential overflows."""
    if not backend.runs_numpy:
        y = backend.empty(x.shape, x.dtype)
        backend.launch("sigmoid_forward", (backend.dense(x), y, x.size), threads=pack_threads(x.size))
        return y
    y = np.multiply(x, 0.5, out=empty_batch_last(x.shape, x.dtype))
    np.tanh(y, out=y)
    y += 1
    y *= 0.5
    return y


def sigmoid_backward(backend, grad_output, y):
    """dL/dx = G y (1 - y), from y' = exp(-x) / (1 + exp(-x))^2."""
    if not backend.runs_numpy:
        grad_input = backend.empty(grad_output.shape, grad_output.dtype)
        args = (backend.dense(grad_output), backend.dense(y), grad_input, grad_output.size)
        backend.launch("sigmoid_backward", args, threads=pack_threads(grad_output.size))
        return grad_input
    grad_input = np.subtract(1, y, out=empty_batch_last(y.shape, np.result_type(grad_output, y)))
    grad_input *= y
    grad_input *= grad_output
    return grad_input


def tanh_forward(backend, x):
    """y = tanh(x)."""
    if not backend.runs_numpy:
        y = backend.empty(x.shape, x.dtype)
        backend.launch("tanh_forward", (backend.dense(x), y, x.size), threads=pack_threads(x.size))
        return y
    return np.tanh(x)


def tanh_backward(backend, grad_output, y):
    """dL/dx = G (1 - y^2)."""
    if not backend.runs_numpy:
        grad_input = backend.empty(grad_output.shape, grad_output.dtype)
        args = (backend.dense(grad_output), backend.dense(y), grad_input, grad_output.size)
        backend.launch("tanh_backward", args, threads=pack_threads(grad_output.size))
        return grad_input
    return grad_output * (1 - y * y)
