"""What a graded class leaves on the disk: one file for each student, as soon as it is known, and the tables of all."""

import csv
from pathlib import Path, PurePosixPath

from ...files.atomic import atomic_write, write_json
from ...files.names import safe_name
from ..grader.grading import Grade
from ..grader.output import clean_line, gradescope
from .likeness import Pair
from .statistics import statistics

_MOST_ALIKE = 3


def write_grade(folder, student: str, grade: Grade) -> None:
    """Write results/STUDENT.json (Gradescope's form) into `folder`."""
    write_json(Path(folder) / "results" / f"{safe_name(student)}.json", gradescope(grade))


class GrowingResults:
    """What is on the disk while a class is graded: each grade as soon as it is known, at the end of grades.csv.

    `write_results` then puts the rows in order, and writes parts.json. An earlier run leaves nothing: results of a
    student who is not there any more would be taken for new ones.
    """

    def __init__(self, folder):
        self.folder, self.begun = Path(folder), False

    def add(self, student: str, grade: Grade) -> None:
        """Write results/STUDENT.json, and a row."""
        if not self.begun:
            _remove_results(self.folder)
        write_grade(self.folder, student, grade)
        if not self.begun:
            (self.folder / "parts.json").unlink(missing_ok=True)
            _write_table(self.folder, {student: grade})
            self.begun = True
            return
        with open(self.folder / "grades.csv", "a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(_row(student, grade))


def _remove_results(folder):
    """The files results/STUDENT.json that an earlier grades.csv names, and no others."""
    try:
        with open(folder / "grades.csv", encoding="utf-8", newline="") as file:
            named = [row.get("results") or "" for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error):
        return
    for path in map(PurePosixPath, named):
        if path.parent == PurePosixPath("results") and path.suffix == ".json":
            (folder / path).unlink(missing_ok=True)


def write_results(folder, grades: dict[str, Grade], alike: tuple[Pair, ...] | list[Pair] = ()) -> None:
    """Write grades.csv and parts.json into `folder`."""
    _write_table(Path(folder), grades, alike)
    write_json(Path(folder) / "parts.json", statistics(grades))


def _write_table(folder, grades, alike=()):
    names = [part.name for part in next(iter(grades.values())).parts]
    with atomic_write(folder / "grades.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["student", "total", "public", *names, "file", "results", "alike", "notes"])
        writer.writerows(_row(student, grade, alike) for student, grade in grades.items())


def _row(student, grade, alike=()):
    points = [grade.score, grade.public_score, *(part.score for part in grade.parts)]
    notes = "; ".join([*([grade.problem] if grade.problem else []), *grade.notes, *_tried(grade)])
    texts = [grade.file, f"results/{safe_name(student)}.json", _alike(student, alike), notes]
    return [cell(student), *points, *map(cell, texts)]


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: `=1+1` and its like begin with an apostrophe."""
    text = clean_line(text)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def _tried(grade):
    return [f"tried: {what}" for what in grade.tried]


def _alike(student, pairs):
    found = [
        f"{pair.other if pair.one == student else pair.one} {pair.share:.0%}"
        for pair in pairs
        if student in (pair.one, pair.other)
    ]
    return "; ".join(found[:_MOST_ALIKE]) + (
        f"; and {len(found) - _MOST_ALIKE} more" if len(found) > _MOST_ALIKE else ""
    )
