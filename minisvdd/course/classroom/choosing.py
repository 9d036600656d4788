"""Which of a student's files is the one to grade, and its source: notebooks become scripts."""

import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ..assignment import Assignment
from ..catalog import other_tag, tagged
from ..grader.grading import read_submission
from ..grader.output import clean_name
from .notebook import script_of
from .submissions import Submission

_SHOWN = 6
_COPY = re.compile(r"( ?\(\d+\)|[ _-]copy|-\d+)$")  # `linear (1).py`, as browsers save it


@dataclass(frozen=True)
class Choice:
    """The file to grade.   notes: how it was chosen, and what of it was left out."""

    source: bytes
    filename: str
    notes: tuple[str, ...] = ()


def choose(submission: Submission, assignment: Assignment) -> Choice:
    """The file with the right name; else the one whose first line names the assignment; else the only source file.

    Raises DataError, in words for the student, when no file can be graded.
    """
    wanted = assignment.filename
    if not submission.files:
        raise DataError("; ".join([f"nothing handed in: expected {wanted}", *submission.notes]))
    sources = [path for path in submission.files if _rank(path, assignment, "") < _UNFIT]
    if not sources:
        raise DataError(f"hand in {wanted}; found: {_names(submission.files)}{_advice(submission.files, wanted)}")
    read = [_read(path) for path in sources]
    ranks = [(_rank(path, assignment, tag), number) for number, (path, (_, tag, _)) in enumerate(zip(sources, read))]
    best = min(ranks)[1]
    source, tag, notes = read[best]
    if isinstance(source, DataError):
        raise source
    notes = (*notes, *other_tag(tag, assignment))
    if len(sources) > 1:
        others = _names([path for path in sources if path != sources[best]])
        notes = (f"{clean_name(sources[best].name)} was chosen, not {others}", *notes)
    return Choice(source, clean_name(sources[best].name), (*submission.notes, *notes))


def tags(submission: Submission) -> list[str]:
    """The assignments that first lines of its files name."""
    return [tag for path in submission.files if _suffix(path) in _READABLE and (tag := _read(path)[1])]


_READABLE = (".py", ".cu", ".ipynb", ".txt")
_UNFIT = 5


def _rank(path, assignment, tag):
    """Smaller is better: right name, right tag, right kind of file, a notebook, text; 5 for what is no source."""
    right = Path(assignment.filename).suffix
    kinds = {right: 2, ".txt": 4} | ({".ipynb": 3} if right == ".py" else {})
    suffix = _suffix(path)
    if suffix not in kinds:
        return _UNFIT
    if _is_named(path, assignment.filename):
        return 0 if suffix == right else 0.5
    return 1 if tag == assignment.name else kinds[suffix] + (tag is not None) / 2


def _suffix(path):
    """`.py` also for `linear.PY`, and for `linear.py.txt`, as mail programs rename it."""
    suffixes = [part.lower() for part in path.suffixes[-2:]]
    if suffixes[-1:] == [".txt"] and suffixes[0] in (".py", ".cu"):
        return suffixes[0]
    return suffixes[-1] if suffixes else ""


def _is_named(path, filename):
    """Whether this is its name, up to capitals, hyphens, a browser's number, and a second ending."""
    stem = path.name[: path.name.lower().find(_suffix(path))]
    return _COPY.sub("", stem).lower().replace("-", "_") == Path(filename).stem


def _read(path):
    """(the source, the assignment that its first line names, notes); a DataError in place of a source."""
    try:
        data = read_submission(path, follow=False)
        if _suffix(path) == ".ipynb":
            data, notes = script_of(data, clean_name(path.name))
            return data, tagged(data), notes
        return data, tagged(data), ()
    except DataError as error:  # in words for the student: without the teacher's folders
        return DataError(str(error).replace(str(path), clean_name(path.name))), None, ()


def _names(paths):
    shown = ", ".join(clean_name(path.name) for path in paths[:_SHOWN])
    return shown + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")


def _advice(paths, wanted):
    """What is most likely meant by files of another kind."""
    kinds = {_suffix(path) for path in paths}
    if kinds & {".zip", ".tar", ".gz", ".7z", ".rar"}:
        return f" (hand in {wanted} itself, not an archive of it)"
    if wanted.endswith(".cu") and ".py" in kinds:
        return " (this assignment is in CUDA, not in Python)"
    if wanted.endswith(".py") and ".cu" in kinds:
        return " (this assignment is in Python, not in CUDA)"
    return ""
