"""The commands `minisvdd assignment`, `minisvdd grade`, `minisvdd course` and `minisvdd lectures`."""

import argparse
import os
import secrets
import sys
from pathlib import Path

from ..closed import check_is_teachers
from ..course import LEVELS, NAMES, get_assignment, skeleton
from ..course.catalog import PIECES, VARIED
from ..course.classroom import GrowingResults, alike, grade_class, read_roster, write_results
from ..course.classroom import as_text as class_as_text
from ..course.classroom.grading import grade_path
from ..course.classroom.submissions import left_out
from ..course.grader.grading import failed
from ..course.grader.output import as_text, clean, gradescope, write_junit
from ..course.grader.places import problems
from ..course.handouts.handout import handout
from ..course.handouts.lectures import copy_lectures
from ..course.handouts.notebooks import FORMATS, notebook
from ..course.handouts.pack import write_archives
from ..course.handouts.students import export
from ..errors import DataError
from ..files.atomic import write_json, write_new

# minisvdd assignment

_USAGE = """minisvdd assignment NAME --out DIR [--level LEVEL] [--solution] [--variant SEED]
       minisvdd assignment NAME --out DIR [--level LEVEL] [--solution] --notebook FORMAT [--seed N]
       minisvdd assignment pack NAME [--out DIR] [--level LEVEL] [--seed N] [--variant SEED]
                                [--wheel FILE | --install SPEC]
       minisvdd assignment list"""


def add_assignment(parser: argparse.ArgumentParser) -> None:
    """Add the options of `minisvdd assignment` to its parser."""
    parser.usage = _USAGE
    parser.add_argument("words", nargs="+", metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--out", help="folder to write into (default: assignments/NAME; for pack: .)")
    parser.add_argument("--level", choices=LEVELS, help="how much is given (default: plain)")
    parser.add_argument("--solution", action="store_true", help="the teacher's version, with the model solution")
    parser.add_argument("--notebook", choices=FORMATS, help="write a notebook in this form instead")
    parser.add_argument("--seed", type=int, help="pack, notebook: seed of the hidden parts (default: drawn at random)")
    parser.add_argument("--variant", type=int, metavar="SEED", help=f"draw one of two versions: {', '.join(VARIED)}")
    parser.add_argument("--wheel", metavar="FILE", help="pack: the autograder's wheel (default: of this minisvdd)")
    parser.add_argument("--install", metavar="SPEC", help="pack: what pip installs instead of a wheel")
    parser.set_defaults(run=_assignment)


_OPTIONS = ("out", "level", "solution", "notebook", "seed", "variant", "wheel", "install")


def _check_options(arguments, what, *taken):
    """Refuse an option that this form of the command would not look at."""
    given = [
        name for name in _OPTIONS if getattr(arguments, name) is not None and getattr(arguments, name) is not False
    ]
    if beside := [name for name in given if name not in taken]:
        known = f"takes {', '.join(f'--{name}' for name in taken)}" if taken else "takes no options"
        raise ValueError(f"--{beside[0]}: {what} {known}")


def _assignment(arguments):
    action, *rest = arguments.words
    level = arguments.level or "plain"
    if action == "list" and not rest:
        _check_options(arguments, "assignment list")
        for name in NAMES:
            assignment = get_assignment(name)
            whole = next((f" (a piece of {whole})" for whole, pieces in PIECES.items() if name in pieces), "")
            counts = f"{assignment.points:4} points in {len(assignment.parts):2} parts"
            print(f"{name:22}{counts}   {assignment.title}{whole}")
        return 0
    if action == "pack" and len(rest) == 1:
        _check_options(arguments, "assignment pack", "out", "level", "seed", "variant", "wheel", "install")
        return _pack(get_assignment(rest[0], arguments.variant), level, arguments)
    if rest:
        raise ValueError(f"assignment {' '.join(arguments.words)}: expected NAME, pack NAME, or list")
    taken = ("out", "level", "solution", "notebook", "variant", *(["seed"] if arguments.notebook else []))
    _check_options(arguments, f"assignment NAME{' --notebook' if arguments.notebook else ''}", *taken)
    return _write(get_assignment(action, arguments.variant), level, arguments)


def _write(assignment, level, arguments):
    folder = Path(arguments.out or Path("assignments") / assignment.name)
    if arguments.notebook:
        seed = secrets.randbelow(1 << 31) if arguments.seed is None else arguments.seed
        text = notebook(assignment, arguments.notebook, level, arguments.solution, seed)
        return _write_texts({folder / f"{assignment.name.replace('-', '_')}.ipynb": text})
    texts = {
        folder / assignment.filename: skeleton(assignment, level, arguments.solution),
        folder / assignment.handout_name: handout(assignment, level),
    }
    return _write_texts(texts)


def _write_texts(texts):
    write_new(texts, "choose another --out")
    print("\n".join(map(str, texts)))
    return 0


def _pack(assignment, level, arguments):
    seed = secrets.randbelow(1 << 31) if arguments.seed is None else arguments.seed
    folder = arguments.out or "."
    paths = write_archives(assignment, folder, level, seed, arguments.wheel, arguments.install)
    print("\n".join(map(str, paths)))
    return 0


# minisvdd grade


def add_grade(parser: argparse.ArgumentParser) -> None:
    """Add the options of `minisvdd grade` to its parser."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("file", nargs="?", metavar="FILE", help="the submission: a file, a notebook, a student's folder")
    which.add_argument("--class", dest="folder", metavar="DIR", help="a folder of submissions")
    parser.add_argument(
        "--assignment", choices=NAMES, metavar="NAME", help="(default: what the file's first line says)"
    )
    parser.add_argument("--seed", type=int, default=0, help="draws the inputs of the hidden parts (default: 0)")
    parser.add_argument(
        "--variant", type=int, metavar="SEED", help="with --assignment: the version that was handed out"
    )
    parser.add_argument("--json", metavar="results.json", help="write what Gradescope reads")
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="with --class: graded side by side")
    parser.add_argument("--roster", metavar="FILE", help="with --class: the names of all students, or a table of them")
    parser.add_argument("--out", metavar="DIR", help="with --class: write grades.csv, parts.json and results/ there")
    parser.set_defaults(run=_grade)


def _grade(arguments):
    if arguments.variant is not None and not arguments.assignment:
        raise ValueError("--variant: needs --assignment NAME")
    assignment = get_assignment(arguments.assignment, arguments.variant) if arguments.assignment else None
    for problem in problems() if hasattr(os, "fork") else ():
        print(f"minisvdd: warning: {problem}", file=sys.stderr)
    if arguments.folder:
        return _grade_class(arguments, assignment)
    for option in ("out", "roster"):
        if getattr(arguments, option):
            raise ValueError(f"--{option} goes with --class; for one submission use --json or --junit")
    try:
        result = grade_path(arguments.file, assignment, arguments.seed)
    except DataError as error:
        if not (arguments.json and assignment):
            _tell(error, arguments.json)
            raise
        # Gradescope must get its file: whoever handed in nothing readable has 0 points.
        result = failed(assignment, str(arguments.file), str(error), arguments.seed)
    except Exception as error:
        _tell(error, arguments.json)
        raise
    if arguments.json:
        write_json(arguments.json, gradescope(result))
    if arguments.junit:
        write_junit(arguments.junit, result)
    print(as_text(result))
    return 0 if result.score == result.points else 1


def _tell(error, path):
    """Where results.json was asked for: that the error is none of the submission's."""
    if path:
        text = f"The grader failed, which is no fault of the submission: {clean(str(error))}"
        write_json(path, {"score": 0, "output": text, "stdout_visibility": "hidden"})


def _grade_class(arguments, assignment):
    if arguments.json or arguments.junit:
        raise ValueError("--json and --junit are for one submission; with --class use --out DIR")
    if arguments.jobs < 1:
        raise ValueError(f"--jobs {arguments.jobs}: expected an integer >= 1")
    roster = read_roster(arguments.roster) if arguments.roster else None
    # Written at once: whoever stops the grader keeps what is there.
    also = {"done": GrowingResults(arguments.out).add} if arguments.out else {}
    also["besides"] = [path for path in (arguments.roster, arguments.out) if path]
    grades = grade_class(arguments.folder, assignment, arguments.seed, arguments.jobs, roster=roster, **also)
    pairs = alike(grades, assignment or get_assignment(next(iter(grades.values())).assignment))
    print(class_as_text(grades, pairs))
    beside = left_out(arguments.folder)
    if beside:
        print(f"not taken for submissions: {', '.join(beside)}")
    if arguments.out:
        write_results(arguments.out, grades, pairs)
        print(f"written: grades.csv, parts.json, results/ in {arguments.out}")
    return 0


# minisvdd course


def add_course(parser: argparse.ArgumentParser) -> None:
    """Add the options of `minisvdd course` to its parser."""
    parser.add_argument("action", choices=["export"], help="export: write a package that can be installed")
    parser.add_argument(
        "--for-students", dest="folder", metavar="DIR", required=True, help="without solutions, into this folder"
    )
    parser.set_defaults(run=_export)


def _export(arguments):
    path, hidden = export(arguments.folder)
    print(path)
    print(f"{len(hidden)} files are closed or left out, since they show solutions. Students: pip install {path.name}")
    return 0


# minisvdd lectures


def add_lectures(parser: argparse.ArgumentParser) -> None:
    """Add the options of `minisvdd lectures` to its parser."""
    parser.add_argument("folder", metavar="DIR", help="folder to write into; the solutions come into DIR/solutions")
    parser.add_argument("--notebooks", action="store_true", help="as Jupyter notebooks, instead of as Python scripts")
    parser.set_defaults(run=_lectures)


def _lectures(arguments):
    check_is_teachers("lectures")
    for path in copy_lectures(arguments.folder, arguments.notebooks):
        print(path)
    return 0
