"""Whether a kernel has written every entry of its result, and numbers with a fraction."""

from collections.abc import Callable

import numpy as np

from ...grader.checks import Wrong, difference


def check_written(name: str, given: np.ndarray, right: np.ndarray, run: Callable) -> None:
    """Raise Wrong where an entry is still NaN, as all are before the launch.  run: what was there before -> result."""
    missing = np.argwhere(np.isnan(given)) if isinstance(given, np.ndarray) else ()
    if not len(missing):
        return
    if not difference(run(0.0), right, ""):
        raise Wrong(f"{name} is right only where the result is zero before: += where = belongs, memory holds anything")
    if len(missing) == right.size:
        raise Wrong(f"{name} wrote no entry of its result, or computed NaN")
    index = tuple(int(i) for i in missing[0])
    raise Wrong(f"{name} did not write entry {list(index)} of its result, or computed NaN there")


def check_no_int(given: np.ndarray, right: np.ndarray) -> None:
    """Raise Wrong where every entry is a whole number and that is wrong."""
    if isinstance(given, np.ndarray) and given.any() and (given == np.trunc(given)).all():
        text = difference(given, right, "the result")
        if text:
            raise Wrong(f"{text}\nlooks like: every entry is a whole number: is the sum kept in an int?")
