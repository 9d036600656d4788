"""Is a gradient right? The derivative that was derived is compared with one that is measured.

A layer y = f(x) is checked through one number, L(x) = <G, f(x)> = the sum of G times f(x) over all entries, with a
random G: then dL/dy = G, and the backward pass says what it thinks of dL/dx. For each entry of x, with e the array that
is 1 there and 0 elsewhere, the central difference is

    (L(x + h e) - L(x - h e)) / 2h = dL/dx + h^2 / 6 L''' + ...        and rounding adds about  eps |L| / h .

A kink is where the slopes on both sides differ, however small h is. There is no derivative to compare with: such
entries are left out and counted. The error of what is left is measured by the largest entry of the gradient,

    max |analytic - numeric| / max(|analytic|, |numeric|) .

G must not be the same number everywhere: many layers ignore just that direction, and wrong gradients pass.

What follows is a checker in six small functions.
"""

from collections.abc import Callable

import numpy as np


def best_step(value: float, third: float, epsilon: float) -> float:
    """The step h with the smallest error of a central difference, truncation and rounding together.

        error(h) = h^2 / 6 |L'''| + eps |L| / h

    value: L.   third: L''', not 0.   epsilon: eps, the relative error of a floating-point number. Returns h > 0.
    """
    #: where the derivative of the error by h is 0: h^3 = 3 eps |L| / |L'''|
    return float((3 * epsilon * abs(value) / abs(third)) ** (1 / 3))


def numeric_gradient(function: Callable, x: np.ndarray, grad_output: np.ndarray, h: float) -> np.ndarray:
    """The gradient of <G, f(x)> by central differences with the step h, one entry at a time.

        (<G, f(x + h e)> - <G, f(x - h e)>) / 2h

    All in double precision, also where x is not: f gets arrays of float64. x itself stays as it is.

    function: f, from arrays like x to arrays like grad_output.   x: an array of any shape.   grad_output: G.
    Returns an array of x's shape, in float64.
    """
    #: a copy in double precision
    x, numeric = np.array(x, dtype=np.float64), np.zeros(np.shape(x))
    for index in np.ndindex(*x.shape):
        #: one entry moved to either side, all others where they are
        step = np.zeros_like(x)
        step[index] = h
        #: the outputs are subtracted first: those that did not move then add no rounding
        change = function(x + step) - function(x - step)
        numeric[index] = np.sum(grad_output * change) / (2 * h)
    return numeric


def kinks(function: Callable, x: np.ndarray, h: float, tolerance: float = 1e-3) -> np.ndarray:
    """Which entries of x lie on a kink of f, or nearer to one than h: an output bends there.

        s+ = (f(x + h e) - f(x)) / h,        s- = (f(x) - f(x - h e)) / h

    differ, in some output, by more than `tolerance` times the largest slope, |s+| or |s-|, of all entries and outputs.
    The entry's own slope is no measure: where it is 0, rounding alone would look like a kink.

    function: f, from arrays like x, in float64.   x: an array of any shape, which stays as it is.   h: the step.
    Returns an array of x's shape: True where there is a kink.
    """
    x = np.array(x, dtype=np.float64)
    middle, largest, bend = function(x), 0.0, np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        #: the slopes of all outputs to both sides
        step = np.zeros_like(x)
        step[index] = h
        above, below = (function(x + step) - middle) / h, (middle - function(x - step)) / h
        #: a smooth function's differ by about h f'', a kink's by as much as the function bends
        bend[index] = np.abs(above - below).max()
        largest = max(largest, np.abs(above).max(), np.abs(below).max())
    return bend > tolerance * largest


def relative_error(analytic: np.ndarray, numeric: np.ndarray) -> float:
    """The largest difference of two gradients, measured by the largest entry of either.

        max |analytic - numeric| / max(max |analytic|, max |numeric|)

    0 where both are zero everywhere; infinity where their shapes differ, or where an entry is not finite: a gradient
    with a NaN in it must not pass.
    """
    #: shapes that NumPy would make fit are not the same shape
    if analytic.shape != numeric.shape or not (np.isfinite(analytic).all() and np.isfinite(numeric).all()):
        return np.inf
    #: one scale for all entries
    scale = max(np.abs(analytic).max(), np.abs(numeric).max())
    return float(np.abs(analytic - numeric).max() / scale) if scale > 0 else 0.0


def check_gradient(
    forward: Callable, backward: Callable, x: np.ndarray, rng: np.random.Generator, h: float = 6e-6
) -> tuple[float, int]:
    """The relative error of a layer's backward pass at x, and how many entries of x were left out.

    Draws G, of the shape of the output, from rng; all of it from there, so that a seed repeats the check. Entries on a
    kink are left out of both gradients; where none is left, the error is infinity.

    forward: x -> y.   backward: (grad_output, x) -> what should be dL/dx.   x: float64, of any shape.
    Returns (relative error, number of entries left out).
    """
    #: a random grad_output: in no direction that a layer might ignore
    grad_output = rng.standard_normal(np.shape(forward(x)))
    analytic = backward(grad_output, x)
    if np.shape(analytic) != x.shape:
        return np.inf, 0
    numeric = numeric_gradient(forward, x, grad_output, h)
    #: compare where there is a derivative
    smooth = ~kinks(forward, x, h)
    error = relative_error(analytic[smooth], numeric[smooth]) if smooth.any() else np.inf
    return error, int((~smooth).sum())


def wrong_layers(layers, inputs: list[np.ndarray], rng: np.random.Generator) -> list[int]:
    """Which of several layers have a wrong backward pass.

    layers: layers.forward(i, x) is the output of layer i, layers.backward(i, grad_output, x) what it says of dL/dx.
    inputs: a point for each of them, of its shape.
    Returns the numbers i of the wrong ones, counted from 0, in ascending order.
    """
    wrong = []
    for i, x in enumerate(inputs):
        #: layer i as two functions
        error, _ = check_gradient(
            lambda x, i=i: layers.forward(i, x), lambda grad_output, x, i=i: layers.backward(i, grad_output, x), x, rng
        )
        #: far above what differences leave of a right gradient, far below what a mistake makes
        if error > 1e-5:
            wrong.append(i)
    return wrong
