"""How long grading takes: the model solution of every assignment, and a class of thirty.

    python benchmarks/grading.py --out benchmarks/results/grading.json
    python benchmarks/grading.py --quick                            one assignment, two students: does it run?

Each row has seconds of the wall clock, and those that processors spent, in the grader and in the processes that it
waited for: submissions, walls, compilers. Where other work shares the machine, the first are too long, the second
hardly. A class is graded by `minisvdd grade --class`, two at a time. Half of it handed in the model solution, half one
that negates every number that it returns, so that there is something to diagnose; each file has a line of its own, so
that no kernel is compiled for two.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common import make_parser, parse, write_rows

from minisvdd.course import NAMES, get_assignment, skeleton
from minisvdd.course.grader.grading import check_machine, grade_source

SEED, JOBS = 2718, 2
NEGATED = """

def negated(given):
    if isinstance(given, (tuple, list)):
        return type(given)(map(negated, given))
    return given if isinstance(given, (bool, str, type(None), slice)) else -given


def wrong(function):
    return lambda *arguments, **named: negated(function(*arguments, **named))


"""


@contextmanager
def timed(row: dict) -> Iterator[None]:
    """Add to the row what the block took: the wall clock's seconds, and those of processors."""
    before, started = sum(os.times()[:4]), time.perf_counter()
    yield
    row["wall_s"] = round(time.perf_counter() - started, 2)
    row["processor_s"] = round(sum(os.times()[:4]) - before, 2)


def one(name: str) -> dict:
    """The model solution, graded as `minisvdd grade` does."""
    assignment = get_assignment(name)
    check_machine(assignment)
    source, row = skeleton(assignment, solution=True).encode(), {"assignment": name, "submissions": 1}
    with timed(row):
        row["points"] = grade_source(source, assignment.filename, assignment, SEED).score
    return row


def many(name: str, students: int) -> dict:
    """A class, graded by the command."""
    assignment, row = get_assignment(name), {"assignment": name, "submissions": students}
    texts = [skeleton(assignment, solution=True)]
    texts.append(_wrong(assignment, texts[0]))
    comment = "//" if assignment.language == "cuda" else "#"
    with tempfile.TemporaryDirectory() as folder:
        handed_in = Path(folder, "submissions")
        for i in range(students):
            path = handed_in / f"student{i:02}" / assignment.filename
            path.parent.mkdir(parents=True)
            path.write_text(f"{texts[i % 2]}\n{comment} {i}\n", encoding="utf-8")
        options = ["--assignment", name, "--seed", str(SEED), "--jobs", str(JOBS), "--out", f"{folder}/grades"]
        with timed(row):
            subprocess.run(
                [sys.executable, "-m", "minisvdd", "grade", "--class", handed_in, *options],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        row["points"] = _mean_total(Path(folder, "grades", "grades.csv"))
    return row


def _wrong(assignment, text):
    """The same functions, but every number that they return is negated."""
    if assignment.language == "cuda":
        return text.replace("= sum;", "= -sum;")
    return text + NEGATED + "\n".join(f"{one.name} = wrong({one.name})" for one in assignment.functions)


def _mean_total(table):
    totals = [float(line.split(",")[1]) for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    return sum(totals) / len(totals)


def main() -> None:
    """Grade, print and write the rows."""
    parser = make_parser(__doc__, quick="one assignment, two students")
    parser.add_argument("--assignments", nargs="+", default=NAMES, choices=NAMES, metavar="NAME")
    parser.add_argument("--students", type=int, default=30, help="in a class (default: %(default)s)")
    arguments = parse(parser, assignments=["leaky-relu"], students=2)
    rows = []
    for measure in (one, lambda name: many(name, arguments.students)):
        for name in arguments.assignments:
            rows.append(measure(name))
            print(rows[-1], flush=True)
            write_rows(arguments.out, rows, cores=os.cpu_count(), jobs=JOBS)


if __name__ == "__main__":
    main()
