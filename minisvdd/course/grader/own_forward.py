"""A submission's gradient against its own forward pass: is it wrong by itself, or does it follow from an earlier error?

Half of the points are for a gradient that finite differences of the submission's own, wrong, forward pass confirm. But
anybody can differentiate a function that has nothing to do with the task: the forward pass must make a mistake of a
known form, or be right in some public case.
"""

from collections.abc import Callable, Iterable

import numpy as np

from ...gradcheck.arrays import Setting, check_array
from ...gradcheck.differences import DEFAULT_STEP, Slope
from ..forms import digits_in_single_precision, explains, made, name_of_error
from .comparison import Case, close

FOLLOW_UP = 0.5


def follow_up(given, right, case: Case, student, public: Callable[[], Iterable[Case]] | None = None) -> str | None:
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
    if not (_known(own.output, case) or _right_in_public(student, public)):
        return None
    return (
        "it is the right gradient of your forward pass (finite differences agree), which is wrong itself: "
        f"{FOLLOW_UP:.0%} of the points"
    )


def own_difference(given, right, case: Case, student) -> list[str]:
    """What finite differences of the student's own forward pass give at the first wrong entry."""
    own = _own_slope(case, student)
    if own is None or given.shape != right.shape:
        return []
    if digits_in_single_precision(own.output, np.asarray(case.reference(case.point))):
        return []  # its rounding is all that differences would show
    index = int(np.flatnonzero(~close(given, right))[0])
    try:
        return [
            f"finite differences of your own forward pass give {own.difference(index, DEFAULT_STEP).numeric:.6g} there"
        ]
    except Exception:  # somebody else's function, at another point
        return []


def _known(output, case):
    """Whether the forward pass makes a mistake that has a name."""
    right = np.asarray(case.reference(case.point))
    if any(explains(made(mistaken, (case.point,)), output, right) for mistaken in case.known):
        return True
    name = name_of_error(output, right, (case.point,))
    return name is not None and "times what is right" not in name and "all zeros" not in name


def _right_in_public(student, public):
    """Whether the forward pass is right where everybody's inputs are the same."""
    for case in public() if public else ():
        own = _own_slope(case, student) if case.own_forward else None
        if own is not None and close(own.output, np.asarray(case.reference(case.point))).all():
            return True
    return False


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
