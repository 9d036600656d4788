"""Skeletons, cut from the library's plain readings: what is handed out cannot drift from what is graded.

Head and docstring of a plain reading become a function to write. Its lines are the model solution, between the markers
that nbgrader and Otter know; the student's file has an exception there instead. Comments that begin with `#:` are the
steps that the guided level keeps. The level "scratch" has a contract instead of the docstring (`contracts`).
"""

from ...closed import check_is_teachers
from ...validation import check_choice
from ..assignment import Assignment
from . import cuda_source
from .contracts import contract
from .reading import Reading, imports_first

LEVELS = ("guided", "plain", "scratch")
BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"


def skeleton(assignment: Assignment, level: str = "plain", solution: bool = False) -> str:
    """The text of the file to fill in; with `solution`, the teacher's version of it, which gets full points.

    level: "guided" keeps the steps of the solution as comments, "plain" docstrings with formulas and shapes, "scratch"
    says what goes in and what comes out, and which conventions hold.   Raises ValueError for another level, and in the
    package for students.
    """
    check_is_teachers(f"{assignment.name}: skeletons and solutions")
    check_choice(level, "level", LEVELS)
    if assignment.language == "cuda":
        return cuda_source.skeleton(assignment, level, solution, _title_and_task(assignment, level, solution))
    readings = [source.reading for source in assignment.functions]
    helpers = [Reading(helper) for helper in assignment.helpers]
    given = {reading.name for reading in (*readings, *helpers)}
    opening = _module_docstring(assignment, level, solution)
    top = [assignment.tag("#"), opening, *_imports(readings, helpers, given)]
    functions = [_given(helper) for helper in helpers]
    functions += [_to_write(source, level, solution, given) for source in assignment.functions]
    return "\n\n\n".join("\n".join(lines) for lines in (top, *functions)) + "\n"


def _title_and_task(assignment, level, solution):
    """The first lines of a file: what it is, and what to do with it."""
    variant = [] if assignment.drawn is None else ["", f"Variant {assignment.drawn}: {assignment.rule}."]
    if solution:
        return [f"{assignment.title}: assignment of minisvdd, the teacher's version with the model solution.", *variant]
    task = f"Fill in what lies between the markers. {assignment.handout_name} says what earns points, and what to read."
    return [f"{assignment.title}: assignment of minisvdd, level {level}.", "", task, *variant]


def _module_docstring(assignment, level, solution):
    lines = _title_and_task(assignment, level, solution)
    if level != "scratch":
        lines += ["", assignment.formulas()]
    return '"""' + "\n".join(lines) + '\n"""\n'


def _imports(readings, helpers, given):
    """What the file needs before anything is filled in: NumPy, and what heads and helpers name."""
    lines = ["import numpy as np"]
    for reading in (*readings, *helpers):
        lines += _needed(reading, reading.names_in_head - given)
    for helper in helpers:
        lines += _needed(helper, helper.names_in_body - given)
    return imports_first(lines)


def _given(helper):
    return [*helper.head, *helper.docstring, *helper.solution]


def _to_write(source, level, solution, given):
    reading = source.reading
    imports = [f"    {line}" for line in _own_imports(reading, given)]
    if solution:
        inner = [*imports, *([""] if imports else []), *reading.solution]
    else:
        steps = reading.steps if level == "guided" else []
        inner = [*steps, f'    raise NotImplementedError("{reading.name}")']
    docstring = contract(reading.name, level, source.contract) or reading.docstring
    return [*reading.head, *docstring, f"    {BEGIN}", *inner, f"    {END}"]


def _own_imports(reading, given):
    """Imports that only the model solution needs: they would tell a student how it is done."""
    return sorted(_needed(reading, reading.names_in_body - reading.names_in_head - given - {"np"}))


def _needed(reading, names):
    """The lines that these names come from. Raises ValueError for what a student's file cannot have."""
    lines = [reading.module.import_of(name) or reading.module.short_name(name) for name in sorted(names)]
    for name, line in zip(sorted(names), lines):
        if line is None:
            raise ValueError(f"{reading.name} uses {name} of the library: ask for it, give it, or write it otherwise")
    return lines
