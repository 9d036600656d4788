"""Grading without a process of its own: for lines that we wrote, and many of them."""

import copy

import numpy as np

from minisvdd.course.assignment import Assignment
from minisvdd.course.grader.checks import Student
from minisvdd.course.grader.grading import Grade, grade_parts
from minisvdd.course.grader.sandbox import SubmissionError
from minisvdd.course.grader.wire import Remote, Seed


class Here:
    """A `Sandbox` that calls the functions of a file in this process, on copies of the arguments."""

    def __init__(self, source: str):
        self.names, self._source = {"__name__": "submission"}, source
        exec(compile(source, "submission", "exec"), self.names)

    def variant(self, change):
        """The same for the file as `change` makes it."""
        return Here(change(self._source.encode()).decode())

    def call(self, name, *arguments, remotes=None):
        """What the function returns, and its arguments afterwards."""
        if not callable(self.names.get(name)):
            raise SubmissionError("missing", f"there is no function {name}")
        local = [_local(a, remotes) for a in arguments]
        try:
            with np.errstate(all="ignore"):
                value = self.names[name](*local)
        except NotImplementedError as error:
            raise SubmissionError("missing", f"{name} is not implemented yet") from error
        except Exception as error:
            raise SubmissionError("exception", f"{name}: {type(error).__name__}: {error}") from error
        return copy.deepcopy(value), local


def _local(value, remotes):
    if isinstance(value, Seed):
        return np.random.default_rng(value.value)
    if isinstance(value, Remote):
        return remotes[value.key][0]
    return copy.deepcopy(value)


def grade_here(source: str, assignment: Assignment, seed: int = 0) -> Grade:
    """The grade that `grade_source` would give, without limits and without a cage."""
    parts = grade_parts(assignment, Student(Here(source)), seed, source.encode())
    return Grade(assignment.name, assignment.filename, parts, seed)
