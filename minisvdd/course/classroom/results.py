"""What a graded class leaves on the disk: one file for each student, as soon as it is known, and the tables of all."""

import csv
import io
from pathlib import Path

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


def write_results(folder, grades: dict[str, Grade], alike: tuple[Pair, ...] | list[Pair] = ()) -> None:
    """Write grades.csv and parts.json into `folder`. The grades may be those that are there so far."""
    folder = Path(folder)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    names = [part.name for part in next(iter(grades.values())).parts]
    writer.writerow(["student", "total", "public", *names, "file", "results", "alike", "notes"])
    for student, grade in grades.items():
        points = [grade.score, grade.public_score, *(part.score for part in grade.parts)]
        notes = "; ".join([*([grade.problem] if grade.problem else []), *grade.notes, *_tried(grade)])
        texts = [grade.file, f"results/{safe_name(student)}.json", _alike(student, alike), notes]
        writer.writerow([cell(student), *points, *map(cell, texts)])
    with atomic_write(folder / "grades.csv") as file:
        file.write(table.getvalue())
    write_json(folder / "parts.json", statistics(grades))


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
