"""Who handed in what: every student of a folder, with all files that are hers or his. Nothing is opened here.

What systems leave lying about (`__MACOSX`, `._*`, `.DS_Store`, checkpoints of notebooks, caches) is no submission.
Links are not followed: they may lead to a classmate's file, or to the teacher's own.
"""

import os
import stat
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import DataError
from ..grader.output import clean_name

_JUNK = {"__macosx", "__pycache__", "thumbs.db", "desktop.ini"}
# Loose files that course systems and teachers put beside the submissions.
_NOT_HANDED_IN = {".csv", ".html", ".json", ".log", ".md", ".xml", ".yaml", ".yml"}
_DEEPEST, _MOST_FILES = 6, 200


@dataclass
class Submission:
    """What one student handed in.

    name: the student's, fit to be printed.   files: in reading order, nearest first.   notes: what to tell the teacher.
    """

    name: str
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_submissions(folder, besides: Iterable[str | Path] = ()) -> dict[str, Submission]:
    """The submissions in a folder by student: FOLDER/student.py, or whatever lies in FOLDER/student/.

    besides: files and folders that are none, wherever they lie: the list of the class, grades of an earlier run.

    `ann.py` beside `ann/` are two rows, `ann.py` and `ann`: which of them counts is the teacher's to say.
    Raises DataError when there is no such folder or nothing in it.
    """
    folder, others = Path(folder), {Path(path).resolve() for path in besides}
    entries = [path for path in _entries(folder) if path.is_symlink() or path.is_dir() or not _is_beside(path)]
    entries = [path for path in entries if path.is_symlink() or path.resolve() not in others]
    if not entries:
        raise DataError(f"{folder}: no submission: expected files such as ada.py, or folders such as ada/")
    same = Counter(_student(path) for path in entries)
    found: dict[str, Submission] = {}
    for path in entries:
        name = _student(path)
        several = same[name] > 1
        submission = Submission(free_name(path.name if several and not path.is_dir() else name, found))
        if several:
            submission.notes.append(f"there is more than one entry for {clean_name(name)}")
        _collect(path, submission)
        found[submission.name] = submission
    return found


def left_out(folder) -> list[str]:
    """Names of loose files that are not taken for submissions, such as a list of the class."""
    return [clean_name(path.name) for path in _entries(Path(folder)) if path.is_file() and _is_beside(path)]


def files_of(folder) -> Submission:
    """One student's folder."""
    submission = Submission(clean_name(Path(folder).name))
    _collect(Path(folder), submission, follow=True)
    return submission


def _entries(folder):
    """What lies in a folder, but for what systems leave there. Raises DataError."""
    try:
        return sorted(path for path in folder.iterdir() if not is_junk(path.name))
    except OSError as error:
        raise DataError(f"{folder}: expected a folder of submissions: {error.strerror or error}") from error


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name was made by a system, not by a student."""
    return name.startswith(".") or name.lower() in _JUNK


def _is_beside(path):
    return path.suffix.lower() in _NOT_HANDED_IN


def _student(path):
    if path.is_dir() and not path.is_symlink():
        return path.name
    return path.stem.removesuffix(".py").removesuffix(".cu").removesuffix(".tar")


def free_name(name: str, taken: Container[str]) -> str:
    """The name as it can be printed; with a number where two names look the same."""
    name, number = clean_name(name), 1
    free = name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def _collect(start, submission, follow=False):
    """Fill in the regular files at or below `start`, breadth first, and what was passed over."""
    level = [start]
    for _ in range(_DEEPEST):
        below = []
        for path in level:
            kind = _kind(path, follow and path == start)
            if kind == "folder":
                below += _inside(path, submission)
            elif kind == "file":
                submission.files.append(path)
            else:
                submission.notes.append(f"{clean_name(path.name)} is {kind}: not read")
            if len(submission.files) >= _MOST_FILES:
                submission.notes.append(f"more than {_MOST_FILES} files: the others were not looked at")
                return
        level = below
    if level:
        submission.notes.append(f"folders deeper than {_DEEPEST} were not looked at")


def _inside(folder, submission):
    try:
        return sorted(path for path in folder.iterdir() if not is_junk(path.name))
    except OSError as error:
        submission.notes.append(f"{clean_name(folder.name)} cannot be opened: {error.strerror or error}")
        return []


def _kind(path, follow):
    """ "file", "folder", or in words what else it is."""
    try:
        mode = os.stat(path, follow_symlinks=follow).st_mode
    except OSError as error:
        return f"not readable ({error.strerror or error})"
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "a link" if stat.S_ISLNK(mode) else "no file, but a pipe, socket or device"
