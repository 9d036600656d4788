"""Errors of a known form: mistakes special to a function first, then what the gradient checker knows of any array."""

import numpy as np

from ..gradcheck.diagnosis import diagnose

_TOLERANCE = 1e-5


def name_of_error(
    given: np.ndarray, right: np.ndarray, arguments: tuple, forms=(), output: int | None = None
) -> str | None:
    """A sentence that begins with "looks like", or None.

    forms: pairs (name, function): the function, of the same arguments, makes the mistake of that name; for a function
    with several results `output` says which of them is looked at.
    """
    for name, mistaken in forms:
        if _made(mistaken, arguments, output, given):
            return f"looks like: {name}"
    if given.shape != right.shape:
        turned = given.ndim == 2 and given.shape == right.shape[::-1] and _near(given.T, right)
        return "looks like: transposed" if turned else None
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        return "some entries are not finite: a division by zero, or an overflow?"
    if not given.any():
        return "looks like: all zeros"
    if right.dtype.kind != "f" or right.size < 2:
        return _scalar_form(given, right)
    right, given = right.astype(np.float64), given.astype(np.float64)
    found = diagnose(given, lambda indices: right.ravel()[indices], _counts(arguments, right), np.random.default_rng(0))
    return None if found.startswith("no known") else found


def _made(mistaken, arguments, output, given):
    try:
        with np.errstate(all="ignore"):
            result = mistaken(*(a.copy() if isinstance(a, np.ndarray) else a for a in arguments))
        result = np.asarray(result[output] if output is not None and isinstance(result, tuple) else result)
    except (ValueError, IndexError, TypeError, ZeroDivisionError):
        return False  # the mistake cannot be made with these arguments, or not in this output
    return given.shape == result.shape and _near(given, result)


def _near(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    return bool((np.abs(a - b) <= _TOLERANCE * max(1e-12, float(np.abs(b).max(initial=0)))).all())


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
