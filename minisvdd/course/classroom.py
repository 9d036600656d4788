"""Grading a folder of submissions in parallel, and what most students got wrong."""

import csv
import io
import re
from collections import Counter
from pathlib import Path

from joblib import Parallel, delayed

from ..errors import DataError
from ..files.atomic import atomic_write, write_json
from .assignment import Assignment
from .catalog import assignment_of, get_assignment
from .grader.grading import Grade, check_machine, failed, grade_source, read_submission
from .grader.output import clean, gradescope
from .grader.sandbox import Limits


def find_submissions(folder) -> dict[str, Path]:
    """The files to grade by student: FOLDER/student.py (or .cu), or one file in FOLDER/student/.

    Raises DataError when there is no such folder or nothing in it, or when a student handed in several files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of submissions")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        files = [path]
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in (".py", ".cu"))
            if len(files) > 1:
                raise DataError(f"{path}: {len(files)} files: expected one submission")
        for file in files:
            if file.suffix in (".py", ".cu") and file.is_file():
                found[path.stem if path.is_file() else path.name] = file
    if not found:
        raise DataError(f"{folder}: no .py or .cu file, and no folder with one")
    return found


def grade_class(
    folder, assignment: Assignment | str | None = None, seed: int = 0, jobs: int = 2, limits: Limits | None = None
) -> dict[str, Grade]:
    """A Grade for each student, by name. All must be of one assignment: the one given, or the first file's.

    Raises DataError and ValueError as `find_submissions` and `grade` do; a file that cannot be read gets 0 points.
    """
    files = find_submissions(folder)
    if assignment is None:
        first = next(iter(files.values()))
        assignment = assignment_of(first, read_submission(first))
    elif isinstance(assignment, str):
        assignment = get_assignment(assignment)
    check_machine(assignment)
    # Threads are enough: the work is done by the submissions' own processes.
    tasks = (delayed(_grade_one)(file, assignment, seed, limits) for file in files.values())
    return dict(zip(files, Parallel(n_jobs=jobs, prefer="threads")(tasks)))


def _grade_one(file, assignment, seed, limits):
    try:
        return grade_source(read_submission(file), file.name, assignment, seed, limits)
    except DataError as error:
        return failed(assignment, file.name, str(error), seed)


def statistics(grades: dict[str, Grade]) -> list[dict]:
    """For each part: how many passed, the mean share of its points, the most frequent diagnoses with their counts."""
    rows = []
    for parts in zip(*(grade.parts for grade in grades.values())):
        reasons = Counter(reason(part.message) for part in parts if not part.passed)
        rows.append(
            {
                "part": parts[0].name,
                "points": parts[0].points,
                "hidden": parts[0].hidden,
                "passed": sum(part.passed for part in parts),
                "students": len(parts),
                "mean": sum(part.score for part in parts) / len(parts) / parts[0].points,
                "reasons": reasons.most_common(3),
            }
        )
    return rows


def reason(message: str) -> str:
    """What a message is about, without the numbers that differ from student to student."""
    for line in message.splitlines():
        if line.startswith("looks like: "):
            return line.removeprefix("looks like: ")
    first = message.partition("\n")[0]
    return re.sub(r"\[[\d, ]*\]: expected .*", " differs, of no known form", clean(first))[:100]


def as_text(grades: dict[str, Grade]) -> str:
    """Points of each student, then of each part with what went wrong most often, the hardest part first."""
    width = max(map(len, grades))
    lines = [f"{'student':{width}}   total  public"]
    for student, grade in grades.items():
        lines.append(f"{student:{width}}  {grade.score:6.1f}  {grade.public_score:6.1f}{'  !' if grade.tried else ''}")
    total = sum(grade.score for grade in grades.values()) / len(grades)
    lines += [f"{len(grades)} students, mean {total:.1f} of {next(iter(grades.values())).points}", ""]
    lines.append("what most students got wrong (share of points, students that passed, reasons)")
    for row in sorted(statistics(grades), key=lambda row: row["mean"]):
        lines.append(f"{row['mean']:5.0%}  {row['passed']:3} of {row['students']:<3}  {row['part']}")
        lines += [f"{'':17}{count} x {words}" for words, count in row["reasons"]]
    tried = {student: grade.tried for student, grade in grades.items() if grade.tried}
    lines += [f"! {student} tried, and was not allowed: {'; '.join(what)}" for student, what in tried.items()]
    return "\n".join(lines)


def write_results(folder, grades: dict[str, Grade]) -> None:
    """Write grades.csv, parts.json, and results/STUDENT.json (Gradescope's form) into `folder`."""
    folder = Path(folder)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    names = [part.name for part in next(iter(grades.values())).parts]
    writer.writerow(["student", "total", "public", *names])
    for student, grade in grades.items():
        writer.writerow([student, grade.score, grade.public_score, *(part.score for part in grade.parts)])
        write_json(folder / "results" / f"{student}.json", gradescope(grade))
    with atomic_write(folder / "grades.csv") as file:
        file.write(table.getvalue())
    write_json(folder / "parts.json", statistics(grades))
