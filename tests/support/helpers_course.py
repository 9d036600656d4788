"""Grading in tests: a student's own right file, mistakes planted in it, and nonsense.

Lines of our own need no cage: they are graded in this process, by the checks of the assignment.
"""

import copy
from pathlib import Path

import numpy as np

from minisvdd.course import get_assignment, skeleton
from minisvdd.course.grader import grading
from minisvdd.course.grader.checks import Student
from minisvdd.course.grader.sandbox import Limits, SubmissionError
from minisvdd.course.grader.wire import Remote, Seed

PATIENT = Limits(call_seconds=20.0, total_seconds=60.0, start_seconds=60.0)  # a busy machine must not fail a test


class Uncaged:
    """What `Sandbox` does for the checks, in this process: copies go in, copies come back."""

    def __init__(self, source):
        self.names = {}
        exec(compile(source, "submission", "exec"), self.names)

    def call(self, name, *arguments, remotes=None):
        """(what the function returned, the arguments afterwards)."""
        given = [_local(value, remotes) for value in arguments]
        try:
            with np.errstate(all="ignore"):
                result = self.names[name](*given)
        except Exception as error:
            raise SubmissionError("exception", f"{name} raised {type(error).__name__}: {error}") from None
        return copy.deepcopy(result), [None if isinstance(value, _Proxy) else value for value in given]


class _Proxy:
    """An object of the grader's, of which only some methods can be called."""

    def __init__(self, target, methods):
        for method in methods:
            setattr(self, "call" if method == "__call__" else method, _copying(getattr(target, method)))

    def __call__(self, *arguments):
        return self.call(*arguments)


def _copying(function):
    return lambda *arguments, **keywords: copy.deepcopy(function(*copy.deepcopy(arguments), **keywords))


def _local(value, remotes):
    if isinstance(value, Seed):
        return np.random.default_rng(value.value)
    return _Proxy(*remotes[value.key]) if isinstance(value, Remote) else copy.deepcopy(value)


def results(name, source, seed=0):
    """The result of every part for these lines, graded in this process."""
    student = Student(Uncaged(source))
    return [grading._grade_part(part, student, seed) for part in get_assignment(name).parts]


def right(name):
    """What a student handed in who got everything right."""
    return (Path(__file__).with_name("students") / get_assignment(name).filename).read_text(encoding="utf-8")


def caged(name, source, seed=0):
    """The grade of these lines, from a process of their own."""
    assignment = get_assignment(name)
    return grading.grade_source(source.encode(), assignment.filename, assignment, seed, PATIENT)


def changed(name, changes):
    """The right lines with mistakes planted in them."""
    source = right(name)
    for old, new in changes:
        assert old in source, f"the right lines have no {old!r}"
        source = source.replace(old, new)
    return source


def judge(name, changes, lost, words, seed=0):
    """Assert that exactly these parts lose points, and that the feedback has these words."""
    parts = results(name, changed(name, changes), seed)
    assert [part.name for part in parts if not part.passed] == list(lost)
    assert words in "\n".join(part.message for part in parts)


def full_points(name, seed):
    """Assert that the model solution and the student's own words get 100 points."""
    for source in (skeleton(get_assignment(name), solution=True), right(name)):
        parts = results(name, source, seed)
        assert [(part.name, part.message) for part in parts if part.message] == []
        assert sum(part.score for part in parts) == 100


def most_by_nonsense(name, bodies, seed=0):
    """The points of a file that answers each function with that body, of these, which earns the most there."""
    assignment, best = get_assignment(name), {}
    for body in bodies:
        functions = "\n".join(f"def {function.name}(*a, **k):\n    {body}" for function in assignment.functions)
        earned: dict[str, float] = {}
        for part in results(name, f"import numpy as np\n{functions}", seed):
            function = part.name.partition(":")[0]
            earned[function] = earned.get(function, 0.0) + part.score
        best = {function: max(points, best.get(function, 0.0)) for function, points in earned.items()}
    return sum(best.values())
