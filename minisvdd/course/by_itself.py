"""A function judged by itself, though it calls others of the same file: a mistake in those costs their own parts."""

from collections.abc import Callable
from functools import partial

from .assignment import Source
from .grader.checks import Student, Wrong
from .grader.sandbox import SubmissionError


def by_itself(check: Callable, helpers: tuple[Source, ...]) -> Callable:
    """The check, done once more with the library's helpers in place of the student's where it fails.

    The better of both counts. helpers: what the function may call of the same file.
    """

    def judged(student, rng):
        state = rng.bit_generator.state
        try:
            return check(student, rng)
        except (Wrong, SubmissionError) as error:
            first = error
        rng.bit_generator.state = state
        try:
            check(Student(student.sandbox.variant(partial(with_helpers, helpers))), rng)
        except (Wrong, SubmissionError) as again:
            raise max(first, again, key=lambda error: getattr(error, "fraction", 0.0)) from None
        names = ", ".join(helper.name for helper in helpers)
        raise Wrong(
            f"{first}\nnot its own mistake: with a right {names} it is right, and gets its points", fraction=1.0
        )

    return judged


def with_helpers(helpers: tuple[Source, ...], source: bytes) -> bytes:
    """A submitted file with the library's helpers in place of its own."""
    lines = ["", "", "import numpy as np"]
    for reading in (helper.reading for helper in helpers):
        lines += ["", "", f"def {reading.call}:", *reading.solution]
    return source + "\n".join([*lines, ""]).encode()
