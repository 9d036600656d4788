"""Comparing what a submission computed with what the library computes, and saying what is wrong so that it teaches."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...gradcheck.arrays import Setting, check_array
from ...gradcheck.differences import DEFAULT_STEP, Slope
from ..forms import name_of_error
from .sandbox import type_of

# Largest error, over the largest expected number: rounding of sums in another order passes, a wrong formula does not.
_TOLERANCES = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-8}
_FOLLOW_UP = 0.5


class Wrong(Exception):  # noqa: N818  (a verdict, not a failure of the program)
    """A part is not right; the message is the feedback.  fraction: of the points that are given all the same."""

    def __init__(self, message: str, fraction: float = 0.0):
        super().__init__(message)
        self.fraction = fraction


class Student:
    """The submission's functions, as the checks call them."""

    def __init__(self, sandbox):
        self.sandbox = sandbox

    def call(self, name: str, *arguments):
        """What the submission's function returns for copies of these arguments."""
        return self.sandbox.call(name, *arguments)[0]


@dataclass(frozen=True)
class Case:
    """Arguments for one call.

    own_forward: for a gradient, student -> (v -> output): the submission's own forward pass as a function of `point`,
    whose gradient with `grad_output` the call computes.   reference: the same with the library's forward pass.
    """

    arguments: tuple
    own_forward: Callable | None = None
    reference: Callable | None = None
    point: np.ndarray | None = None
    grad_output: np.ndarray | None = None


def expected(op: Callable, arguments: tuple):
    """What the library returns for copies of these arguments."""
    arguments = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    return op(*arguments)


def values(
    op: Callable,
    cases: Callable,
    outputs: tuple[str, ...] = ("the result",),
    pick: int | tuple[int, ...] | None = None,
    forms=(),
    optional: int = 0,
) -> Callable:
    """The check that `op.__name__` returns what the library's `op` does.

    cases: rng -> list of Case.   outputs: names of what is returned; `pick`: indices of those that count (None: all).
    forms: known mistakes, (name, function of the arguments that makes it).
    optional: how many outputs, the last ones, may be missing; what is there is compared.
    """
    chosen = range(len(outputs)) if pick is None else [pick] if isinstance(pick, int) else pick

    def check(student, rng):
        for case in cases(rng):
            right = expected(op, case.arguments)
            given = student.call(op.__name__, *case.arguments)
            if len(outputs) == 1:
                compare(given, right, outputs[0], case, op, student, forms)
                continue
            given = _tuple(given, outputs, optional)
            for i in (i for i in chosen if i < len(given)):
                compare(given[i], right[i], outputs[i], case, op, student, forms, i)

    return check


def compare(given, right, label, case, op, student=None, forms=(), output=None) -> None:
    """Raise Wrong unless `given` is `right` up to rounding; the message has index, both numbers and a diagnosis."""
    right = np.asarray(right)
    text = difference(given, right, label)
    if text is None:
        return
    lines = [text, *([f"({describe(op, case.arguments)})"] if case.arguments else [])]
    given = as_numbers(given)
    if given is None:
        raise Wrong("\n".join(lines))
    diagnosis = name_of_error(given, right, case.arguments, forms, output)
    is_gradient = case.own_forward and student and right.shape == case.point.shape
    follows = _follow_up(given, right, case, student) if is_gradient else None
    if follows:
        raise Wrong("\n".join([*lines, *([diagnosis] if diagnosis else []), follows]), _FOLLOW_UP)
    if is_gradient:
        lines += _own_difference(given, right, case, student)
    raise Wrong("\n".join([*lines, diagnosis or "no known form of error fits"]))


def difference(given, right: np.ndarray, label: str) -> str | None:
    """Where and how `given` differs from `right`, in words; None where they agree up to rounding."""
    if given is None:
        return f"{label} is None: is a return statement missing?"
    array = as_numbers(given)
    if array is None:
        return f"{label} is of type {type_of(given)}: expected {_kind(right)}"
    if array.shape != right.shape:
        return f"{label} has shape {array.shape}: expected {right.shape}"
    wrong = ~close(array, right)
    if not wrong.any():
        return None
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f"{label}[{', '.join(map(str, index))}]" if index else label
    count = f" ({int(wrong.sum())} of {wrong.size} entries differ)" if wrong.size > 1 else ""
    return f"{place}: expected {right[index]:.6g}, got {array[index]:.6g}{count}"


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


def keeps_dtype(
    op: Callable, cases: Callable, outputs: tuple[str, ...] = ("the result",), floats=(0,), optional: int = 0
) -> Callable:
    """The check that float32 in gives float32 out, shapes as they should be, and that no argument was changed.

    floats: indices of the outputs that must be float32 arrays.   optional: as in `values`.
    """

    def check(student, rng):
        for case in cases(rng):
            arguments = tuple(_single(a) for a in case.arguments)
            given, after = student.sandbox.call(op.__name__, *arguments)
            right = expected(op, arguments)
            given, right = (_tuple(given, outputs, optional), right) if len(outputs) > 1 else ((given,), (right,))
            for i in floats:
                _check_dtype(given[i], np.asarray(right[i]), outputs[i])
                _check_computed(given[i], np.asarray(right[i]), outputs[i], arguments)
            check_untouched(op, arguments, after)

    return check


def check_untouched(op: Callable, before: tuple, after: list, but_for: tuple[str, ...] = ()) -> None:
    """Raise Wrong when an argument is not, bit for bit, what it was."""
    for name, old, new in zip(argument_names(op), before, after):
        if isinstance(old, np.ndarray) and name not in but_for and not _same_bits(old, new):
            raise Wrong(f"{name} was changed by the call: work on a copy, the caller still needs it")


def argument_names(op: Callable) -> list[str]:
    """The names of a student's function's arguments."""
    return list(inspect.signature(op).parameters)


def describe(op: Callable, arguments: tuple) -> str:
    """The arguments in words: shapes of arrays, values of numbers."""
    words = []
    for name, value in zip(argument_names(op), arguments):
        words.append(f"{name} {value.shape}" if isinstance(value, np.ndarray) else f"{name}={value}")
    return ", ".join(words)


def _tuple(given, outputs, optional):
    if not isinstance(given, tuple | list) or not len(outputs) - optional <= len(given) <= len(outputs):
        count = f" of {len(given)}" if isinstance(given, tuple | list) else ""
        raise Wrong(f"returned {type_of(given)}{count}: expected the tuple ({', '.join(outputs)})")
    return given


def _check_dtype(given, right, label):
    text = difference_in_form(given, right, label)
    if text:
        raise Wrong(text)


def _check_computed(given, right, label, arguments):
    """No points for the dtype of what was not computed."""
    if right.any() and not given.any():
        raise Wrong(f"{label} is all zeros")
    if any(a is not None and np.array_equal(given, a) and not np.array_equal(right, a) for a in arguments):
        raise Wrong(f"{label} is one of the arguments, as it came")


def difference_in_form(given, right, label):
    """What is wrong with shape or dtype of an array; None when nothing is."""
    if not isinstance(given, np.ndarray | np.generic):
        return f"{label} is of type {type_of(given)}: expected {_kind(right)}"
    if given.shape != right.shape:
        return f"{label} has shape {given.shape}: expected {right.shape}"
    if given.dtype != np.float32:
        return f"{label} is {given.dtype} for float32 input: a constant or np.zeros without dtype promotes it"
    return None


def _kind(right):
    return f"an array of shape {right.shape}" if right.ndim else "a number"


def _single(value):
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == np.float64 else value


def _same_bits(old, new):
    return isinstance(new, np.ndarray) and new.dtype == old.dtype and new.tobytes() == old.tobytes()


# Finite differences of the submission's own forward pass


def _follow_up(given, right, case, student):
    """A sentence when the gradient is wrong only because the forward pass is: right for the student's own forward."""
    if given.shape != right.shape or not np.isfinite(given).all() or not given.any():
        return None
    if np.array_equal(given, case.grad_output):
        return None  # the identity is no gradient that anybody derived
    own = _own_slope(case, student)
    if own is None or close(own.output, np.asarray(case.reference(case.point))).all():
        return None
    setting = Setting("start", "training", 1e-6, DEFAULT_STEP, 20, 3, np.random.default_rng(0))
    if not check_array(own, given.astype(np.float64), "input", setting).passed:
        return None
    return (
        "it is the right gradient of your forward pass (finite differences agree), which is wrong itself: "
        f"{_FOLLOW_UP:.0%} of the points"
    )


def _own_difference(given, right, case, student):
    """What finite differences of the student's own forward pass give at the first wrong entry."""
    own = _own_slope(case, student)
    if own is None or given.shape != right.shape:
        return []
    index = int(np.flatnonzero(~close(given, right))[0])
    try:
        return [
            f"finite differences of your own forward pass give {own.difference(index, DEFAULT_STEP).numeric:.6g} there"
        ]
    except (ValueError, TypeError, FloatingPointError):
        return []


def _own_slope(case, student):
    """The student's forward pass as gradcheck sees a function; None where it does not work."""
    function = case.own_forward(student)

    def output(v):
        y = np.asarray(function(v), dtype=np.float64)
        if y.shape != case.grad_output.shape:
            raise ValueError("another shape")
        return y, None

    try:
        return Slope(output, case.point, case.grad_output, knows_kinks=False)
    except Exception:  # whatever the forward pass does wrong is reported by its own parts
        return None
