"""An assignment in tests: a student's own right file, mistakes planted in it, and nonsense."""

import os
import time
from collections import Counter
from contextlib import contextmanager

from in_process import grade_here
from mistakes import right_submission

from minisvdd.course import get_assignment, skeleton


@contextmanager
def in_time(seconds):
    """Assert that the block takes less of a processor's time, and less than ten times that by the clock on the wall."""
    before, started = sum(os.times()[:4]), time.monotonic()
    yield
    assert sum(os.times()[:4]) - before < seconds
    assert time.monotonic() - started < 10 * seconds


def results(name, source, seed=0):
    """The result of every part for these lines."""
    return grade_here(source, get_assignment(name), seed).parts


def right(name):
    """What a student handed in who got everything right."""
    return right_submission(get_assignment(name).filename)


def planted(source, changes):
    """These lines with mistakes planted in them."""
    for old, new in changes:
        assert old in source, f"the right lines have no {old!r}"
        source = source.replace(old, new)
    return source


def changed(name, changes):
    """The student's right lines with mistakes planted in them."""
    return planted(right(name), changes)


def lost(parts):
    """The parts that lose points, in their order."""
    return [part.name for part in parts if not part.passed]


def wrong_functions(parts):
    """The functions with a part that loses points."""
    return {name.partition(":")[0] for name in lost(parts)}


def messages(parts):
    """All that the feedback says."""
    return "\n".join(part.message for part in parts)


def judge(name, changes, wrong, words, seed=0):
    """Assert that exactly these parts lose points, and that the feedback has these words."""
    parts = results(name, changed(name, changes), seed)
    assert lost(parts) == list(wrong)
    assert words in messages(parts)


def full_points(name, seed):
    """Assert that the model solution and the student's own words get 100 points."""
    for source in (skeleton(get_assignment(name), solution=True), right(name)):
        parts = results(name, source, seed)
        assert [(part.name, part.message) for part in parts if part.message] == []
        assert sum(part.score for part in parts) == 100


def most_by_nonsense(name, bodies, seed=0):
    """The points of a file that answers each function with that body, of these, which earns the most there."""
    assignment, best = get_assignment(name), Counter()
    for body in bodies:
        functions = "\n".join(f"def {function.name}(*a, **k):\n    {body}" for function in assignment.functions)
        earned = Counter()
        for part in results(name, f"import numpy as np\n{functions}", seed):
            earned[part.name.partition(":")[0]] += part.score
        best |= earned
    return best.total()
