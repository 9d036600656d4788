# minisvdd assignment: gradcheck
"""As a student might hand it in, in his own words."""

import math
from functools import partial

import numpy as np


def best_step(value, third, epsilon):
    return math.cbrt(3 * epsilon * abs(value) / abs(third))


def moved(x, index, h):
    other = np.array(x, dtype=float)
    other[index] += h
    return other


def numeric_gradient(function, x, grad_output, h):
    result = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        up = function(moved(x, index, h))
        down = function(moved(x, index, -h))
        result[index] = (grad_output * (up - down)).sum() / (2 * h)
    return result


def kinks(function, x, h, tolerance=1e-3):
    here = function(np.array(x, dtype=float))
    right, left = [], []
    for index in np.ndindex(x.shape):
        right.append((function(moved(x, index, h)) - here).ravel() / h)
        left.append((here - function(moved(x, index, -h))).ravel() / h)
    right, left = np.array(right), np.array(left)
    bends = abs(right - left).max(axis=1)
    return (bends > tolerance * max(abs(right).max(), abs(left).max())).reshape(x.shape)


def relative_error(analytic, numeric):
    if analytic.shape != numeric.shape:
        return math.inf
    if not np.all(np.isfinite(analytic)) or not np.all(np.isfinite(numeric)):
        return math.inf
    size = max(abs(analytic).max(), abs(numeric).max())
    if size == 0:
        return 0.0
    return abs(analytic - numeric).max() / size


def check_gradient(forward, backward, x, rng, h=6e-6):
    output = forward(x)
    grad_output = rng.normal(size=output.shape)
    analytic = backward(grad_output, x)
    if analytic.shape != x.shape:
        return math.inf, 0
    bad = kinks(forward, x, h)
    left_out = int(bad.sum())
    if left_out == x.size:
        return math.inf, left_out
    numeric = numeric_gradient(forward, x, grad_output, h)
    return relative_error(analytic[~bad], numeric[~bad]), left_out


def wrong_layers(layers, inputs, rng):
    found = []
    for i in range(len(inputs)):
        forward, backward = partial(layers.forward, i), partial(layers.backward, i)
        error, _ = check_gradient(forward, backward, inputs[i], rng)
        if error > 1e-6:
            found.append(i)
    return found
