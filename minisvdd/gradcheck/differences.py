"""Numeric derivatives: central differences with kinks watched, and the complex step.

Everything here differentiates one scalar,

    L(v) = <G, f(v)>        v: one array (an input, a parameter), G: a fixed random array like f(v)

along a direction d: a single entry of v, or all entries at once. The central difference

    (L(v + h d) - L(v - h d)) / 2h  =  L'(v; d) + O(h^2)       truncation: falls with h
                                    +- eps ||G f|| / h          rounding: grows as h falls

is best near h = eps^(1/3), which leaves about eps^(2/3) = 4e-11 of error in float64. The outputs are subtracted before
they are summed: outputs that do not depend on d then contribute nothing. One cannot see that they do not: a large
output hides a change of up to half its last digit.
"""

from dataclasses import dataclass

import numpy as np

EPS = float(np.finfo(np.float64).eps)
DEFAULT_STEP = EPS ** (1 / 3)
COMPLEX_STEP = 1e-30
# A difference that crosses a kink is tried again with these multiples of h.
STEP_FACTORS = (1.0, 0.1, 0.01)
# One-sided slopes this far apart, relative to the gradient, may be those of a kink: smaller steps will tell.
_SUSPICIOUS_BEND = 1e-3
# Rounding inside a layer is some multiple of that of its outputs; an output that seems not to move may have moved by
# half of its last digit.
_ROUNDING = 64 * EPS


@dataclass(frozen=True)
class Difference:
    """One central difference: the estimate, the interval spanned by one-sided slopes, and how far to trust it.

    numeric: the estimate.
    low, high: sums over outputs of the smaller and the larger one-sided slope; every subgradient lies between.
    bend: their distance, O(h) where f is smooth and constant at a kink.
    noise: rounding error to expect, of the difference (of outputs that changed, over h) and of the analytic sum.
    crossed_kink: whether f moved to another linear piece; None where f cannot tell.
    """

    numeric: float
    low: float
    high: float
    bend: float
    noise: float
    step: float
    crossed_kink: bool | None


class Slope:
    """Directional derivatives of <grad_output, f(v)> at one point.

    function: v -> (f(v), pattern), where the pattern says on which linear piece f was (None: f is smooth).
    knows_kinks: False when the function cannot give patterns; kinks are then recognised by their bend.
    """

    def __init__(self, function, point: np.ndarray, grad_output: np.ndarray, knows_kinks: bool):
        self.function, self.point, self.grad_output, self.knows_kinks = function, point, grad_output, knows_kinks
        self.output, self.pattern = function(point.copy())  # somebody else's function may work in place

    def difference(self, move, step: float) -> Difference:
        """Central difference along `move`: a flat index into the point, or a direction of the point's shape."""
        forward, plus, pattern_plus = self._evaluate(move, step)
        backward, minus, pattern_minus = self._evaluate(move, -step)
        one_sided = (
            self.grad_output * (plus - self.output) / forward,
            self.grad_output * (minus - self.output) / backward,
        )
        terms, changed = self.grad_output * self.output, plus != minus
        moved, unmoved = np.linalg.norm(terms[changed]), np.linalg.norm(terms[~changed])
        crossed = None
        if self.knows_kinks:
            crossed = not (same_pattern(pattern_plus, self.pattern) and same_pattern(pattern_minus, self.pattern))
        return Difference(
            numeric=float(np.sum(self.grad_output * (plus - minus)) / (forward - backward)),
            low=float(np.minimum(*one_sided).sum()),
            high=float(np.maximum(*one_sided).sum()),
            bend=float(np.abs(one_sided[0] - one_sided[1]).sum()),
            noise=float((_ROUNDING * moved + EPS / 2 * unmoved) / abs(forward) + _ROUNDING * np.linalg.norm(terms)),
            step=step,
            crossed_kink=crossed,
        )

    def _evaluate(self, move, step):
        """(the step really taken, f there, pattern there): x + h is rounded, so the step is read off the result."""
        if isinstance(move, np.ndarray):
            return step, *self.function(self.point + step * move)
        moved = self.point.copy()
        moved.flat[move] += step
        return moved.flat[move] - self.point.flat[move], *self.function(moved)


def complex_derivative(function, point: np.ndarray, grad_output: np.ndarray, move) -> float:
    """L'(v; d) = Im L(v + i h d) / h: nothing is subtracted, so h can be tiny and the result is exact to rounding.

    f must be analytic and computed in complex arithmetic without conjugates, moduli or comparisons.
    """
    moved = point.astype(np.complex128)
    if isinstance(move, np.ndarray):
        moved += 1j * COMPLEX_STEP * move
    else:
        moved.flat[move] += 1j * COMPLEX_STEP
    output, _ = function(moved)
    return float(np.sum(grad_output * np.imag(output)) / COMPLEX_STEP)


@dataclass(frozen=True)
class Entry:
    """One derivative checked: where, both numbers, and what they are to be measured by.

    index: position in the array, or None for a direction through all of it.
    is_kink: no step stayed on one linear piece; `numeric` is then the middle of [low, high], the one-sided slopes.
    retried: a smaller step than the first was needed.
    """

    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    step: float
    noise: float
    is_kink: bool
    retried: bool
    low: float
    high: float

    @property
    def difference(self) -> float:
        """|analytic - numeric|; at a kink, the distance from the interval of one-sided slopes."""
        if self.is_kink:
            return max(self.low - self.analytic, self.analytic - self.high, 0.0)
        return abs(self.analytic - self.numeric)


def check_move(slope: Slope, move, analytic: float, step: float, tolerance: float, scale: float) -> Entry:
    """Compare an analytic derivative with differences at falling steps, until one agrees or none is left.

    A right gradient agrees at some step; a wrong one disagrees at all of them, and then the first step that crossed no
    kink gives the number to report.
    """
    tried: list[Difference] = []
    smooth = agreed = None
    for factor in STEP_FACTORS:
        difference = slope.difference(move, factor * step)
        tried.append(difference)
        if difference.crossed_kink:
            continue
        smooth = smooth or difference
        allowed = tolerance * max(scale, abs(difference.numeric)) + difference.noise
        if abs(analytic - difference.numeric) <= allowed:
            agreed = agreed or difference
            if slope.knows_kinks or difference.bend <= _SUSPICIOUS_BEND * scale:
                break
    chosen = agreed or smooth
    is_kink = chosen is None or (not slope.knows_kinks and _bends_like_a_kink(tried, tolerance * scale))
    used = tried[-1] if is_kink else chosen
    return Entry(
        index=None if isinstance(move, np.ndarray) else _position(move, slope.point.shape),
        analytic=analytic,
        numeric=(used.low + used.high) / 2 if is_kink else used.numeric,
        step=used.step,
        noise=used.noise,
        is_kink=is_kink,
        retried=used.step < step,
        low=used.low,
        high=used.high,
    )


def _bends_like_a_kink(tried, floor):
    """Where f is smooth, the one-sided slopes approach each other as h does: 100 times closer here. At a kink, not."""
    if len(tried) < len(STEP_FACTORS):
        return False
    first, last = tried[0], tried[-1]
    return last.bend > 0.3 * first.bend and last.bend > max(floor, 10 * last.noise)


def _position(flat_index, shape):
    return tuple(int(i) for i in np.unravel_index(flat_index, shape))


def same_pattern(first, second) -> bool:
    """Whether two kink patterns (None, an array, or nested tuples of them) are equal."""
    if isinstance(first, tuple | list):
        return len(first) == len(second) and all(same_pattern(a, b) for a, b in zip(first, second))
    if first is None or second is None:
        return first is second
    return bool((first == second).all())
