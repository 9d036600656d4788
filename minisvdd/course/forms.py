"""Errors of a known form: mistakes special to a function first, then what the gradient checker knows of any array.

A form is named only where it tells more than the right answer does: it must be at least twenty times nearer to what was
given. A form that equals the right answer for these arguments is therefore never named.
"""

from collections.abc import Callable, Iterable

import numpy as np

from ..gradcheck.diagnosis import diagnose
from .terms import terms_of_error

Form = tuple[str, Callable]

_TOLERANCE = {np.dtype(np.float32): 1e-4}  # largest difference from a form, over its largest number
_NEARER = 0.05
# Errors of float32, sums included, over the largest number: what is further off is another mistake.
_SINGLE = 5e-6
SINGLE_PRECISION = (
    "looks like: right to {digits} digits: something is computed in single precision (np.float32, dtype=..., "
    "float in a template)"
)


def name_of_error(
    given: np.ndarray,
    right: np.ndarray,
    arguments: tuple,
    forms: Iterable[Form] = (),
    output: int | None = None,
    terms: Iterable[Form] = (),
) -> str | None:
    """A sentence that begins with "looks like", or None.

    forms: pairs (name, function): the function, of the same arguments, makes the mistake of that name; for a function
    with several results `output` says which of them is looked at.   terms: pairs (name, function): the terms that the
    formula is a sum of, or that a wrong one may have; the error is looked for among their multiples.
    """
    for name, mistaken in forms:
        if explains(made(mistaken, arguments, output), given, right):
            return f"looks like: {name}"
    if given.shape != right.shape:
        turned = given.ndim == 2 and given.shape == right.shape[::-1] and _near(given.T, right)
        return "looks like: transposed" if turned else _other_shape(given, right)
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        return "some entries are not finite: a division by zero, an overflow, or the root of a negative number?"
    digits = digits_in_single_precision(given, right)
    if digits:
        return SINGLE_PRECISION.format(digits=digits)
    if not given.any():
        return "looks like: all zeros"
    if right.dtype.kind != "f" or right.size < 2:
        return _scalar_form(given, right)
    right, given = right.astype(np.float64), given.astype(np.float64)
    counts = _counts(arguments, right)
    found = diagnose(given, lambda indices: right.ravel()[indices], counts, np.random.default_rng(0))
    if not found.startswith("no known"):
        return found.replace("the right gradient", "what is right")
    named = [(name, made(term, arguments, output)) for name, term in terms]
    found = terms_of_error(given - right, named, set(counts.values()))
    return None if found is None else f"looks like: {found}"


def made(mistaken: Callable, arguments: tuple, output: int | None = None) -> np.ndarray | None:
    """What a mistake makes of (copies of) the arguments; None where it cannot be made with them."""
    try:
        with np.errstate(all="ignore"):
            result = mistaken(*(a.copy() if isinstance(a, np.ndarray) else a for a in arguments))
        if output is not None and isinstance(result, tuple):
            result = result[output]
        return None if result is None else np.asarray(result)
    except (ValueError, IndexError, TypeError, ZeroDivisionError):
        return None


def explains(form: np.ndarray | None, given: np.ndarray, right: np.ndarray) -> bool:
    """Whether `given` is this form, up to rounding, and is not as well explained by what is right."""
    if form is None or form.dtype.kind not in "biuf" or given.shape != form.shape or not _near(given, form):
        return False
    return given.shape != right.shape or not _distance(given, right) * _NEARER < _distance(given, form)


def digits_in_single_precision(given: np.ndarray, right: np.ndarray) -> int:
    """How many digits of `given` are right, where float32 inside a calculation in float64 explains it; otherwise 0."""
    if right.dtype != np.float64 or given.shape != right.shape or given.dtype.kind != "f" or not right.size:
        return 0
    scale, distance = float(np.abs(right).max()), _distance(given, right)
    if not 0 < distance <= _SINGLE * scale:
        return 0
    return round(-np.log10(distance / scale))


def _distance(a, b):
    """The largest difference; infinite where one of them is not finite."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(a - b).max(initial=0)
    return float(distance) if np.isfinite(distance) else np.inf


def _near(a, b):
    size = float(np.abs(np.asarray(b, np.float64)).max(initial=0))
    tolerance = max(_TOLERANCE.get(np.asarray(array).dtype, 1e-5) for array in (a, b))
    distance = _distance(a, b)
    return np.isfinite(distance) and distance <= tolerance * max(1e-12, size)


def _other_shape(given, right):
    """The right numbers in another shape."""
    if given.size == right.size and given.ndim != right.ndim and _near(given.ravel(), right.ravel()):
        return f"looks like: the right numbers, in the shape {given.shape} where {right.shape} belongs"
    return None


def _scalar_form(given, right):
    if right.size != 1 or right.dtype.kind != "f" or not float(right.ravel()[0]):
        return None
    ratio = float(given.ravel()[0]) / float(right.ravel()[0])
    words = {-1.0: "negated", 2.0: "times 2: added twice, or a missing 1/2", 0.5: "times 1/2: a factor 2 is missing"}
    return next((f"looks like: {text}" for factor, text in words.items() if np.isclose(ratio, factor, rtol=1e-4)), None)


def _counts(arguments, right):
    """Numbers that turn up as a missing 1/N."""
    counts = {"the number of entries": right.size}
    first = next((a for a in arguments if isinstance(a, np.ndarray) and a.ndim), None)
    if first is not None:
        counts["the batch size"] = len(first)
        if first.ndim == 4:
            counts["the number of positions H W"] = int(np.prod(first.shape[2:]))
            counts["the number of values per channel N H W"] = first.size // first.shape[1]
    return counts
