"""Activation functions: elementwise, so each derivative is one number per entry.

`*_backward` takes what its layer kept: a mask for the piecewise linear ones, the output for sigmoid and tanh, whose
derivatives are shortest in terms of the output.
"""

import numpy as np


def leaky_relu_forward(backend, x, slope):
    """y = x if x > 0 else slope x,  which is max(x, slope x) for 0 <= slope <= 1."""
    if not backend.runs_numpy:
        y = backend.empty(x.shape, x.dtype)
        backend.launch("leaky_relu_forward", (backend.dense(x), y, slope, x.size), threads=x.size)
        return y
    return np.maximum(x, slope * x)


def leaky_relu_backward(backend, grad_output, positive, slope):
    """dL/dx = G (1 if x > 0 else slope).  positive: the boolean array x > 0; at x = 0 we take `slope`."""
    if not backend.runs_numpy:
        grad_input = backend.empty(grad_output.shape, grad_output.dtype)
        args = (backend.dense(grad_output), backend.dense(positive), grad_input, slope, grad_output.size)
        backend.launch("leaky_relu_backward", args, threads=grad_output.size)
        return grad_input
    derivative = positive * grad_output.dtype.type(1 - slope)  # 1 - slope where x > 0, 0 elsewhere
    derivative += grad_output.dtype.type(slope)
    derivative *= grad_output
    return derivative


def sigmoid_forward(backend, x):
    """y = 1 / (1 + exp(-x)), written as (1 + tanh(x/2)) / 2: the same function, and no exponential overflows."""
    if not backend.runs_numpy:
        y = backend.empty(x.shape, x.dtype)
        backend.launch("sigmoid_forward", (backend.dense(x), y, x.size), threads=x.size)
        return y
    return 0.5 * (1 + np.tanh(0.5 * x))


def sigmoid_backward(backend, grad_output, y):
    """dL/dx = G y (1 - y), from y' = exp(-x) / (1 + exp(-x))^2."""
    if not backend.runs_numpy:
        grad_input = backend.empty(grad_output.shape, grad_output.dtype)
        args = (backend.dense(grad_output), backend.dense(y), grad_input, grad_output.size)
        backend.launch("sigmoid_backward", args, threads=grad_output.size)
        return grad_input
    return grad_output * y * (1 - y)


def tanh_forward(backend, x):
    """y = tanh(x)."""
    if not backend.runs_numpy:
        y = backend.empty(x.shape, x.dtype)
        backend.launch("tanh_forward", (backend.dense(x), y, x.size), threads=x.size)
        return y
    return np.tanh(x)


def tanh_backward(backend, grad_output, y):
    """dL/dx = G (1 - y^2)."""
    if not backend.runs_numpy:
        grad_input = backend.empty(grad_output.shape, grad_output.dtype)
        args = (backend.dense(grad_output), backend.dense(y), grad_input, grad_output.size)
        backend.launch("tanh_backward", args, threads=grad_output.size)
        return grad_input
    return grad_output * (1 - y * y)
