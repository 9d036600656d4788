"""One comparison: is this what was expected, up to rounding, and if not, where and by how much."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .sandbox import type_of
from .wire import ARRAY_OF

# Largest error, over the largest expected number: rounding of sums in another order passes, a wrong formula does not.
_TOLERANCES = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-8}


class Wrong(Exception):  # noqa: N818  (a verdict, not a failure of the program)
    """A part is not right; the message is the feedback.  fraction: of the points that are given all the same."""

    def __init__(self, message: str, fraction: float = 0.0):
        super().__init__(message)
        self.fraction = fraction


@dataclass(frozen=True)
class Case:
    """Arguments for one call.

    own_forward: for a gradient, student -> (v -> output): the submission's own forward pass as a function of `point`,
    whose gradient with `grad_output` the call computes.   reference: the same with the library's forward pass.
    known: the same with mistakes that forward passes make.
    """

    arguments: tuple
    own_forward: Callable | None = None
    reference: Callable | None = None
    point: np.ndarray | None = None
    grad_output: np.ndarray | None = None
    known: tuple[Callable, ...] = ()


def known_passes(forms: Iterable[tuple[str, Callable]], arguments_of: Callable) -> tuple[Callable, ...]:
    """For `Case.known`: forms of a forward pass as functions of the point.  arguments_of: point -> its arguments."""
    return tuple(lambda v, mistaken=mistaken: mistaken(*arguments_of(v)) for _, mistaken in forms)


def difference(given, right: np.ndarray, label: str) -> str | None:
    """Where and how `given` differs from `right`, in words; None where they agree up to rounding."""
    if given is None:
        return f"{label} is None: is a return statement missing?"
    array = as_numbers(given)
    if array is None:
        said = type_of(given)
        return f"{label} is of type {said}: expected {kind_of(right, real=said.startswith(ARRAY_OF))}"
    if array.shape != right.shape:
        return f"{label} has shape {array.shape}: expected {right.shape}"
    wrong = ~close(array, right)
    if not wrong.any():
        return None
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f"{label}[{', '.join(map(str, index))}]" if index else label
    count = f" ({int(wrong.sum())} of {wrong.size} entries differ)" if wrong.size > 1 else ""
    expected, got = _apart(right[index], array[index])
    return f"{place}: expected {expected}, got {got}{count}"


def check_word(given, right: str, about: str, more: str = "") -> None:
    """Raise Wrong unless the answer is this word: nothing else that equals it, such as an array of words, is one."""
    if not (isinstance(given, str) and given == right):
        said = repr(given)[:40] if isinstance(given, str) else type_of(given)
        raise Wrong(f"{about}: expected {right!r}, got {said}{more}")


def results_of(given, names: Sequence[str], optional: int = 0):
    """The results by these names, as they were returned; Wrong where there are not as many.

    optional: how many of them, the last ones, may be missing.
    """
    if not isinstance(given, tuple | list) or not len(names) - optional <= len(given) <= len(names):
        count = f" of {len(given)}" if isinstance(given, tuple | list) else ""
        raise Wrong(f"returned {type_of(given)}{count}: expected the tuple ({', '.join(names)})")
    return given


def number_of(given, label: str) -> float:
    """A result that must be one number."""
    array = as_numbers(given)
    if array is None or array.ndim:
        raise Wrong(f"{label} is of type {type_of(given)}: expected a number")
    return float(array)


def _apart(first, second):
    """Both numbers with six digits, or with as many more as show that they differ."""
    for digits in (6, 9, 12, 17):
        texts = f"{first:.{digits}g}", f"{second:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def as_numbers(given) -> np.ndarray | None:
    """What a submission returned, as an array of numbers; None when it is something else."""
    if not isinstance(given, np.ndarray | np.generic | float | int | tuple | list):
        return None
    try:
        array = np.asarray(given)
    except ValueError:  # lists of different lengths
        return None
    return array if array.dtype.kind in "biuf" else None


def close(given: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Which entries agree, up to rounding of the less precise of both dtypes."""
    if right.dtype.kind != "f":
        return given == right
    scale = np.abs(right).max(initial=0.0, where=np.isfinite(right))
    tolerance = _TOLERANCES.get(right.dtype, 1e-4)
    with np.errstate(invalid="ignore"):
        near = np.abs(given.astype(np.float64) - right) <= tolerance * max(float(scale), 1e-6)
    return near | (given == right)


def kind_of(right: np.ndarray, real: bool = False) -> str:
    """What was expected, in words.  real: say that its numbers are real ones."""
    if real:
        return f"an array of real numbers, of shape {right.shape}" if right.ndim else "a real number"
    return f"an array of shape {right.shape}" if right.ndim else "a number"
