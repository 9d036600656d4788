"""A known mistake is named only where it explains every answer of a part, the right ones too.

One case fits many stories: whoever is one place too far in the order is where another is who counts among m instead of
m + 1. So all cases of a part are asked first, and a story that fails for one of them is not told.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from .forms import made
from .grader.checks import Case, as_numbers, compare, expected, results_of, telling_changes

_SAME = 1e-7


def consistent(
    op: Callable, cases: Callable, forms=(), outputs: tuple[str, ...] = ("the result",), pick=None
) -> Callable:
    """The check that `op.__name__` returns what `op` does, whose diagnosis holds for all cases together.

    cases: rng -> Cases.   forms: known mistakes, (name, function of the arguments).   outputs: names of what is
    returned.   pick: index of the only output that counts (None: all).
    """

    def check(student, rng):
        several = len(outputs) > 1
        asked = [(case, student.call(op.__name__, *case.arguments), student.after) for case in cases(rng)]
        for i, label in enumerate(outputs):
            if pick is not None and pick != i:
                continue
            answers = [(case, results_of(given, outputs)[i] if several else given) for case, given, _ in asked]
            likely = (form for form in forms if _explains(form[1], answers, i))  # made only for an answer that is wrong
            for (case, given), (*_, after) in zip(answers, asked):
                right = expected(op, case.arguments)
                right, output = (right[i], i) if several else (right, None)
                compared = partial(compare, given, right, label, case, op, student, likely, output)
                telling_changes(op, case.arguments, after, compared)()

    return check


def explained(answers: list[tuple], forms) -> list:
    """Of the forms those that make every answer: answers are pairs (arguments, what was returned)."""
    return [form for form in forms if _explains(form[1], [(Case(arguments), given) for arguments, given in answers], 0)]


def _explains(mistaken, answers, output):
    return all(_same(made(mistaken, case.arguments, output), as_numbers(given)) for case, given in answers)


def _same(form, given):
    """Whether a mistake makes what was given, up to rounding; what is not finite must be the same."""
    if form is None or given is None or form.shape != given.shape or form.dtype.kind not in "biuf":
        return False
    form, given = form.astype(np.float64), given.astype(np.float64)
    scale = np.abs(form).max(initial=1e-12, where=np.isfinite(form))
    with np.errstate(invalid="ignore"):
        near = np.abs(given - form) <= _SAME * scale
    return bool((near | (given == form) | (np.isnan(given) & np.isnan(form))).all())
