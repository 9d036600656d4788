"""Activation functions: elementwise, so each derivative is one number per entry.

`*_backward` takes what its layer kept: a mask for the piecewise linear ones, the output for sigmoid and tanh, whose
derivatives are shortest in terms of the output.
"""

import numpy as np


def leaky_relu_forward(backend, x, slope):
    """y = x if x > 0 else slope x,  which is max(x, slope x) for 0 <= slope <= 1."""
    return np.maximum(x, slope * x)


def leaky_relu_backward(backend, grad_output, positive, slope):
    """dL/dx = G (1 if x > 0 else slope).  positive: the boolean array x > 0; at x = 0 we take `slope`."""
    derivative = positive * grad_output.dtype.type(1 - slope)  # 1 - slope where x > 0, 0 elsewhere
    derivative += grad_output.dtype.type(slope)
    derivative *= grad_output
    return derivative


def sigmoid_forward(backend, x):
    """y = 1 / (1 + exp(-x)), written as (1 + tanh(x/2)) / 2: the same function, and no exponential overflows."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def sigmoid_backward(backend, grad_output, y):
    """dL/dx = G y (1 - y), from y' = exp(-x) / (1 + exp(-x))^2."""
    return grad_output * y * (1 - y)


def tanh_forward(backend, x):
    """y = tanh(x)."""
    return np.tanh(x)


def tanh_backward(backend, grad_output, y):
    """dL/dx = G (1 - y^2)."""
    return grad_output * (1 - y * y)
