"""Grading one submission: every part by itself, so that what goes wrong in one costs that part alone."""

import os
import stat
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...backends.building import find_compiler
from ...errors import DataError
from ..assignment import Assignment
from ..catalog import assignment_of, other_tag, resolved, tagged
from ..handouts import cuda_source
from .advice import advised
from .checks import Student, Wrong
from .sandbox import Limits, Sandbox, SubmissionError

_LARGEST, _LARGEST_NOTEBOOK = 1 << 20, 1 << 25  # bytes; notebooks carry their pictures


@dataclass(frozen=True)
class PartResult:
    """One part: points earned, and why not all of them."""

    name: str
    points: int
    score: float
    hidden: bool
    message: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the part got all its points."""
        return self.score == self.points


@dataclass
class Grade:
    """The result for one submission.

    output: what it printed (the beginning).   tried: what it attempted and was refused.   problem: why nothing could
    be graded, or "".   notes: what the teacher should know, such as that one of several files was chosen.   source:
    the file itself.
    """

    assignment: str
    file: str
    parts: list[PartResult]
    seed: int
    output: str = ""
    tried: list[str] = field(default_factory=list)
    problem: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    source: bytes = field(default=b"", repr=False)

    @property
    def score(self) -> float:
        """Points of all parts."""
        return sum(part.score for part in self.parts)

    @property
    def points(self) -> int:
        """Points there were to earn."""
        return sum(part.points for part in self.parts)

    @property
    def public_score(self) -> float:
        """Points of the public parts alone."""
        return sum(part.score for part in self.parts if not part.hidden)

    @property
    def public_points(self) -> int:
        """Points there were to earn in public parts."""
        return sum(part.points for part in self.parts if not part.hidden)


def grade(path, assignment: Assignment | str | None = None, seed: int = 0) -> Grade:
    """Grade the file at `path`.

    assignment: it, or its name; None to read it off the file.   seed: draws the inputs of hidden parts, >= 0.
    Raises DataError when the file cannot be read or is too large, ValueError when the assignment is unknown, the seed
    is none or the machine lacks what it needs. Whatever the submission does ends in a Grade.
    """
    path = Path(path)
    source = read_submission(path)
    task = resolved(assignment) or assignment_of(path, source)
    check_machine(task)
    result = grade_source(source, path.name, task, seed)
    result.notes = other_tag(tagged(source), task)
    return result


def check_machine(assignment: Assignment) -> None:
    """Raise ValueError when this machine cannot grade the assignment."""
    if not hasattr(os, "fork"):
        raise ValueError("grading needs Linux or macOS, whose limits keep a submission in its place (on Windows: WSL)")
    if assignment.language == "cuda" and find_compiler() is None:
        raise ValueError(f"{assignment.name} needs a C++ compiler: install g++ or clang++, or name one in $CXX")


def read_submission(path: Path, follow: bool = True) -> bytes:
    """The bytes of a submission. Raises DataError, naming the file.

    follow: whether a link may lead to it. Only regular files are read: a pipe or a device would never end.
    """
    largest = _LARGEST_NOTEBOOK if path.suffix.lower() == ".ipynb" else _LARGEST
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise DataError(f"{path}: cannot be read: expected a regular file")
            data = file.read(largest + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > largest:
        raise DataError(f"{path}: larger than {largest >> 20} MB: expected a source file")
    return data


def grade_source(
    source: bytes, filename: str, assignment: Assignment, seed: int = 0, limits: Limits | None = None
) -> Grade:
    """`grade` for a file that was read already."""
    start = time.perf_counter()
    result = Grade(assignment.name, filename, [], seed, source=source)
    refusal = cuda_source.refusal(source) if assignment.language == "cuda" else None
    if refusal:
        return failed(assignment, filename, advised(refusal, source, assignment), seed, source=source)
    with Sandbox(source, assignment.filename, limits, assignment.language) as sandbox:
        result.parts = grade_parts(assignment, Student(sandbox), seed, source)
    result.output, result.tried = sandbox.output, sandbox.tried
    result.seconds = time.perf_counter() - start
    return result


def failed(
    assignment: Assignment, filename: str, problem: str, seed: int = 0, notes: tuple[str, ...] = (), source: bytes = b""
) -> Grade:
    """A Grade without any points, for a submission of which nothing could be graded."""
    parts = [PartResult(part.name, part.points, 0.0, part.hidden, problem, 0.0) for part in assignment.parts]
    return Grade(assignment.name, filename, parts, seed, problem=problem, notes=notes, source=source)


def grade_parts(assignment: Assignment, student: Student, seed: int, source: bytes) -> list[PartResult]:
    """Every part, one after the other.  source: the text of the submission, for advice."""
    results = [_grade_part(part, student, seed) for part in assignment.parts]
    return [_with_advice(part, source, assignment) for part in _without_idea(assignment.parts, results)]


def _with_advice(part, source, assignment):
    message = advised(part.message, source, assignment) if part.message else ""
    return part if message == part.message else replace(part, message=message)


def _without_idea(parts, results):
    """The results, but no points for the form of an answer where nothing of the same function is right."""
    earned = {part.function for part, result in zip(parts, results) if result.score and not part.form}
    return [
        replace(result, score=0.0, message="points for the form only where another part of the function has some")
        if part.form and result.score and part.function not in earned
        else result
        for part, result in zip(parts, results)
    ]


def _grade_part(part, student, seed):
    start, fraction, message = time.perf_counter(), 1.0, ""
    rng = part.generator(seed)  # not below: an error of the grader's own must not pass for the submission's
    try:
        part.check(student, rng)
    except Wrong as wrong:
        fraction, message = wrong.fraction, str(wrong)
    except SubmissionError as error:
        fraction, message = 0.0, str(error)
    except Exception as error:  # an answer so odd that the comparison itself stumbled over it
        fraction, message = 0.0, f"the result cannot be compared: {error}"
    return PartResult(part.name, part.points, fraction * part.points, part.hidden, message, time.perf_counter() - start)
