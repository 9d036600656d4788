"""Two versions of an assignment that differ in one rule; a teacher's seed draws which of them is set.

Both have the same functions to write and the same parts. Where a file fails a part that it would pass in the other
version, the feedback says so: whoever hands in somebody else's solution learns what it is.
"""

import copy
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .assignment import Assignment, Part, check_seed
from .grader.checks import Wrong
from .grader.sandbox import SubmissionError


def versions(standard: Assignment, other: Assignment) -> tuple[Assignment, Assignment]:
    """Both versions, each of which knows what the other one asks for.  Their parts must have the same names."""
    return _beside(standard, other), _beside(other, standard)


def drawn(both: tuple[Assignment, Assignment], seed: int) -> Assignment:
    """The version that this seed draws. Raises ValueError for a seed below 0."""
    check_seed(seed, "variant")
    rng = np.random.default_rng([seed, zlib.crc32(both[0].name.encode())])
    return replace(both[int(rng.integers(2))], drawn=seed)


def _beside(one, other):
    parts = {part.name: part for part in other.parts}
    return replace(
        one, parts=tuple(replace(part, check=_told(part, parts[part.name], one, other)) for part in one.parts)
    )


def _told(part: Part, twin: Part, one: Assignment, other: Assignment) -> Callable:
    """The check of a part, whose feedback says when the other version's would have been passed."""

    def check(student, rng):
        again = copy.deepcopy(rng)
        try:
            return part.check(student, rng)
        except (Wrong, SubmissionError) as error:
            if not _passes(twin, student, again):
                raise
            lines = [line for line in str(error).splitlines() if not line.startswith("looks like: ")]
            lines.append(f"looks like: this is the other variant, where {other.rule}; here {one.rule}")
            raise Wrong("\n".join(lines), getattr(error, "fraction", 0.0)) from None

    return check


def _passes(part, student, rng):
    try:
        part.check(student, rng)
    except Exception:  # whatever it is, it is not right there either
        return False
    return True
