"""What the class got: points of each student, and what most of them got wrong."""

import re
from collections import Counter

from ..grader.grading import Grade
from ..grader.output import clean
from .likeness import Pair

_MOST_PAIRS, _WIDEST = 20, 40


def statistics(grades: dict[str, Grade]) -> list[dict]:
    """For each part: how many passed, the mean share of its points, the most frequent diagnoses with their counts.

    Who handed in nothing that could be graded is not counted here.
    """
    rows = []
    for parts in zip(*(grade.parts for grade in _graded(grades))):
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


def _graded(grades):
    return [grade for grade in grades.values() if not grade.problem]


def reason(message: str) -> str:
    """What a message is about, without the numbers that differ from student to student."""
    for line in message.splitlines():
        if line.startswith("looks like: "):
            return clean(line.removeprefix("looks like: "))[:100]
    first = message.partition("\n")[0]
    return re.sub(r"\[[\d, ]*\]: expected .*", " differs, of no known form", clean(first))[:100]


def as_text(grades: dict[str, Grade], alike: tuple[Pair, ...] | list[Pair] = ()) -> str:
    """Points of each student, then of each part with what went wrong most often, the hardest part first."""
    width = min(max(len("student"), *map(len, grades)), _WIDEST)
    lines = [f"{'student':{width}}   total  public"]
    for student, grade in grades.items():
        marks = ("  !" if grade.tried else "") + (f"  {grade.problem.partition(chr(10))[0]}" if grade.problem else "")
        lines.append(f"{student:{width}}  {grade.score:6.1f}  {grade.public_score:6.1f}{clean(marks)}")
    lines += [_mean(grades), ""]
    lines.append("what most students got wrong (share of points, students that passed, reasons)")
    for row in sorted(statistics(grades), key=lambda row: row["mean"]):
        lines.append(f"{row['mean']:5.0%}  {row['passed']:3} of {row['students']:<3}  {row['part']}")
        lines += [f"{'':17}{count} x {words}" for words, count in row["reasons"]]
    noted = {student: grade.notes for student, grade in grades.items() if grade.notes}
    lines += (
        ["", "to look at", *(f"{student}: {'; '.join(notes)}" for student, notes in noted.items())] if noted else []
    )
    tried = {student: grade.tried for student, grade in grades.items() if grade.tried}
    lines += [f"! {student} tried, and was not allowed: {clean('; '.join(what))}" for student, what in tried.items()]
    if alike:
        lines += [
            "",
            "alike (share of the statements that agree but for names; read both before you think anything of it)",
        ]
        lines += [f"{pair.share:5.0%}  {pair.one}, {pair.other}" for pair in alike[:_MOST_PAIRS]]
        lines += [f"and {len(alike) - _MOST_PAIRS} pairs more"] if len(alike) > _MOST_PAIRS else []
    return "\n".join(lines)


def _mean(grades):
    graded = _graded(grades)
    total = sum(grade.score for grade in grades.values()) / len(grades)
    text = f"{len(grades)} students, mean {total:.1f} of {next(iter(grades.values())).points}"
    if len(graded) < len(grades):
        text += f"; {len(grades) - len(graded)} with nothing that could be graded (0 points, and not counted below)"
    return text
