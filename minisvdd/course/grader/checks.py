"""Checks of a submission's function: its values, and its form, with feedback that teaches."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from itertools import permutations

import numpy as np

from ..forms import SINGLE_PRECISION, digits_in_single_precision, name_of_error
from .comparison import (
    Case,
    Wrong,
    as_numbers,
    check_word,
    close,
    difference,
    kind_of,
    known_passes,
    number_of,
    results_of,
)
from .own_forward import FOLLOW_UP, follow_up, own_difference
from .sandbox import SubmissionError, type_of

__all__ = [
    "Case",
    "Student",
    "Wrong",
    "argument_names",
    "as_numbers",
    "check_integers",
    "check_refused",
    "check_untouched",
    "check_word",
    "close",
    "compare",
    "difference",
    "expected",
    "keeps_dtype",
    "known_passes",
    "number_of",
    "results_of",
    "values",
    "worst",
]
_NO_FORM = "no known form of error fits"
_CHANGED = "{name} was changed by the call: work on a copy, the caller still needs it"
_SINGLE = 0.5  # of the points for values that are right to the digits of float32


class Student:
    """The submission's functions, as the checks call them.  after: what became of the arguments of the last call."""

    after: list | None = None

    def __init__(self, sandbox):
        self.sandbox = sandbox

    def call(self, name: str, *arguments):
        """What the submission's function returns for copies of these arguments."""
        given, self.after = self.sandbox.call(name, *arguments)
        return given


def expected(op: Callable, arguments: tuple):
    """What the library returns for copies of these arguments."""
    arguments = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    return op(*arguments)


def worst(comparisons: Iterable[Callable[[], None]]) -> None:
    """Make all comparisons; raise what is wrong for no points at once, what is wrong for some points at the end."""
    found = None
    for comparison in comparisons:
        try:
            comparison()
        except Wrong as wrong:
            if not wrong.fraction:
                raise
            found = found or wrong
    if found:
        raise found


def values(
    op: Callable,
    cases: Callable,
    outputs: tuple[str, ...] = ("the result",),
    pick: int | tuple[int, ...] | None = None,
    forms=(),
    optional: int = 0,
    terms=(),
    public: Callable | None = None,
) -> Callable:
    """The check that `op.__name__` returns what the library's `op` does.

    cases: rng -> list of Case.   outputs: names of what is returned; `pick`: indices of those that count (None: all).
    forms: known mistakes, (name, function of the arguments that makes it).   terms: as in `forms.name_of_error`.
    optional: how many outputs, the last ones, may be missing; what is there is compared.
    public: () -> cases with inputs that are the same for everybody, for `own_forward.follow_up`.
    """
    chosen = range(len(outputs)) if pick is None else [pick] if isinstance(pick, int) else pick

    def one(student, case):
        """The comparisons of one case."""
        right = expected(op, case.arguments)
        given = _call(student, op, case, right)
        telling = partial(telling_changes, op, case.arguments, student.after)
        if len(outputs) == 1:
            yield telling(lambda: compare(given, right, outputs[0], case, op, student, forms, None, terms, public))
            return
        given = telling(lambda: results_of(given, outputs, optional))()
        telling(lambda: _check_order(given, right, outputs, chosen))()
        for i in (i for i in chosen if i < len(given)):
            yield telling(
                lambda i=i: compare(given[i], right[i], outputs[i], case, op, student, forms, i, terms, public)
            )

    def check(student, rng):
        worst(comparison for case in cases(rng) for comparison in one(student, case))

    return check


def compare(given, right, label, case, op, student=None, forms=(), output=None, terms=(), public=None) -> None:
    """Raise Wrong unless `given` is `right` up to rounding; the message has index, both numbers and a diagnosis."""
    right = np.asarray(right)
    text = difference(given, right, label)
    if text is None:
        return
    lines = [text, *([f"({describe(op, case.arguments)})"] if case.arguments else [])]
    given = as_numbers(given)
    if given is None:
        raise Wrong("\n".join(lines))
    diagnosis = name_of_error(given, right, case.arguments, forms, output, terms)
    digits = digits_in_single_precision(given, right)
    if digits and diagnosis == SINGLE_PRECISION.format(digits=digits):
        raise Wrong("\n".join([*lines, f"{diagnosis}: {_SINGLE:.0%} of the points"]), _SINGLE)
    if case.own_forward and student and right.shape == case.point.shape:
        follows = follow_up(given, right, case, student, public)
        if follows:
            raise Wrong("\n".join([*lines, *([diagnosis] if diagnosis else []), follows]), FOLLOW_UP)
        lines += own_difference(given, right, case, student)
        diagnosis = diagnosis or _kept_state(right, case, op, student, output)
    raise Wrong("\n".join([*lines, diagnosis or _NO_FORM]))


def _call(student, op, case, right):
    """What the student's function returns; where it fails, whether it works after the forward pass of the same case."""
    try:
        return student.call(op.__name__, *case.arguments)
    except SubmissionError as error:
        if error.kind != "exception" or not case.own_forward:
            raise
        several = isinstance(right, tuple)
        kept = (
            any(_kept_state(r, case, op, student, i) for i, r in enumerate(right))
            if several
            else _kept_state(np.asarray(right), case, op, student, None)
        )
        if not kept:
            raise
        raise Wrong(f"{error}\n{_STATE}") from None


_STATE = (
    "looks like: it uses what an earlier call left behind, not its arguments: called right after your forward pass, "
    "with the same input, it is right"
)


def _kept_state(right, case, op, student, output):
    """A sentence when the function is right once the forward pass has seen the same input."""
    try:
        case.own_forward(student)(case.point)
        given = student.call(op.__name__, *case.arguments)
        given = given if output is None else given[output]
    except Exception:  # it is no better than before
        return None
    return _STATE if difference(given, np.asarray(right), "") is None else None


def _check_order(given, right, outputs, chosen):
    """Raise Wrong when the results are the right ones in another order."""
    right = [np.asarray(r) for r in right[: len(given)]]
    if all(difference(given[i], right[i], "") is None for i in chosen if i < len(given)):
        return
    for order in permutations(range(len(given))):
        if any(i != j for i, j in enumerate(order)) and all(
            difference(given[i], right[j], "") is None for i, j in enumerate(order)
        ):
            names = ", ".join(outputs[j] for j in order)
            raise Wrong(
                f"returned ({names}): expected ({', '.join(outputs[: len(given)])})\n"
                "looks like: the right results in another order"
            )


def keeps_dtype(
    op: Callable, cases: Callable, outputs: tuple[str, ...] = ("the result",), floats=(0,), optional: int = 0
) -> Callable:
    """The check that float32 in gives float32 out, right to its precision, integers stay integers, arguments unchanged.

    floats: indices of the outputs that must be float32 arrays.   optional: as in `values`.
    """

    def check(student, rng):
        for case in cases(rng):
            arguments = tuple(_single(a) for a in case.arguments)
            given, after = student.sandbox.call(op.__name__, *arguments)
            telling_changes(op, arguments, after, lambda a=arguments, given=given: form(given, expected(op, a)))()
            check_untouched(op, arguments, after)

    def form(given, right):
        given, right = (results_of(given, outputs, optional), right) if len(outputs) > 1 else ((given,), (right,))
        for i in floats:
            _check_dtype(given[i], np.asarray(right[i]), outputs[i])
        for i in range(len(given)):
            _check_right(given[i], np.asarray(right[i]), outputs[i])
            check_integers(as_numbers(given[i]), np.asarray(right[i]), outputs[i])

    return check


def check_refused(call: Callable, what: str) -> None:
    """Raise Wrong unless the call of a submission's function raises ValueError.  what: why it must, in words."""
    try:
        given = call()
    except SubmissionError as error:
        if error.kind != "exception":
            raise
        if "ValueError" in str(error):
            return
        raise Wrong(f"{what}: expected ValueError\n{error}") from None
    raise Wrong(f"{what}: expected ValueError, got {given!r:.60}")


def check_integers(given: np.ndarray | None, right: np.ndarray, label: str) -> None:
    """Raise Wrong for numbers of another kind where integers are expected, which are to be indices."""
    if given is not None and right.dtype.kind in "iu" and given.dtype.kind not in "iu":
        raise Wrong(f"{label} is {given.dtype}: expected integers, which can be indices")


def check_untouched(op: Callable, before: tuple, after: list, but_for: tuple[str, ...] = ()) -> None:
    """Raise Wrong when an argument is not, bit for bit, what it was."""
    if changed := [name for name in _changed(op, before, after) if name not in but_for]:
        raise Wrong(_CHANGED.format(name=changed[0]))


def telling_changes(op: Callable, before: tuple, after: list | None, comparison: Callable) -> Callable:
    """The comparison, whose Wrong begins with the argument that the call changed: what is wrong may come of that."""

    def told():
        try:
            return comparison()
        except Wrong as wrong:
            changed = _changed(op, before, after or [])
            if not changed:
                raise
            lines = [line for line in str(wrong).splitlines() if line != _NO_FORM]
            raise Wrong("\n".join([_CHANGED.format(name=changed[0]), *lines]), wrong.fraction) from None

    return told


def _changed(op, before, after):
    """The names of arrays that are not, bit for bit, what they were."""
    named = zip(argument_names(op), before, after)
    return [name for name, old, new in named if isinstance(old, np.ndarray) and not _same_bits(old, new)]


def argument_names(op: Callable) -> list[str]:
    """The names of a student's function's arguments."""
    return list(inspect.signature(op).parameters)


def describe(op: Callable, arguments: tuple) -> str:
    """The arguments in words: shapes of arrays, values of numbers."""
    words = []
    for name, value in zip(argument_names(op), arguments):
        words.append(f"{name} {value.shape}" if isinstance(value, np.ndarray) else f"{name}={value}")
    return ", ".join(words)


def _check_dtype(given, right, label):
    text = _difference_in_form(given, right, label)
    if text:
        raise Wrong(text)


def _check_right(given, right, label):
    """No points for the form of what is not right; rounding of float32 does not matter."""
    array = as_numbers(given)
    if array is None or array.shape != right.shape or not close(array, right.astype(_rounded(right.dtype))).all():
        raise Wrong(f"{label} is wrong, in float32 as in float64: only a right result gets points for its form")


def _rounded(dtype):
    return np.float32 if dtype.kind == "f" else dtype


def _difference_in_form(given, right, label):
    """What is wrong with shape or dtype of an array; None when nothing is."""
    if not isinstance(given, np.ndarray | np.generic):
        fix = ": a list has no dtype, return np.array(..., dtype=...)" if isinstance(given, list | tuple) else ""
        return f"{label} is of type {type_of(given)}{fix or f': expected {kind_of(right)}'}"
    if given.shape != right.shape:
        return f"{label} has shape {given.shape}: expected {right.shape}"
    if given.dtype != np.float32:
        return f"{label} is {given.dtype} for float32 input: a constant or np.zeros without dtype promotes it"
    return None


def _single(value):
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == np.float64 else value


def _same_bits(old, new):
    return isinstance(new, np.ndarray) and new.dtype == old.dtype and new.tobytes() == old.tobytes()
