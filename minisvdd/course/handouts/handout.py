"""The handout that goes with a skeleton: goals, what to write, what earns points, how to grade oneself. Markdown."""

import textwrap

from ..assignment import Assignment

_LEVELS = {
    "guided": "The steps of a solution stand in the file as comments.",
    "plain": "The file gives formulas and shapes; how to compute them is up to you.",
    "scratch": "The file says what each function gets and returns. Derive the gradients yourself, on paper, before you "
    "write; compare with the lecture afterwards.",
}
_EACH_BY_ITSELF = """
Each function is called with inputs of its own, made by the grader: a gradient can earn all its points though the
forward pass above it is empty. Begin where you can.
"""
_RULES = """
Talk with anybody about the ideas, the formulas and what the grader says, at a blackboard rather than at a screen. Write
every line and every derivation yourself, alone: do not look at another solution, do not show yours, and do not have it
written, by a person or by a program. On top of the file, say with whom you talked and what you read. Whoever can
explain each line has nothing to fear; you may be asked to.
"""


_BY_COMMAND = """
    minisvdd grade {file}{options}

says for each part what it expected, what it got, and where. `--seed 1` draws other hidden inputs: a right solution
passes with every seed. An exception or an endless loop costs the points of its part only.
"""
_IN_NOTEBOOK = """
Run the cell under each function: it says what it expected, what it got, and where. It takes what the cells that you ran
define, so run a function's cell again after you change it. Functions and constants of your own are welcome, in cells of
their own. An exception or an endless loop costs the points of its part only.
"""


def handout(assignment: Assignment, level: str = "plain", in_notebook: bool = False) -> str:
    """The text for the student; `in_notebook` for one who writes no file, but the cells of a notebook."""
    file = assignment.filename
    lines = [f"# {assignment.title}", "", assignment.handout.strip(), "", *_variant(assignment), *_goals(assignment)]
    where = "" if in_notebook else f", in `{file}`"
    lines += ["## Before you begin", "", *_before(assignment, level), f"## What to write{where}", ""]
    lines += [*_wrapped(_LEVELS[level]), ""]
    if assignment.functions:
        lines += [f"- `{source.reading.call}`" for source in assignment.functions]
    else:
        lines += [f"- the kernel `{name}`" for name in assignment.kernels]
    stuck = (assignment.without_forward or _EACH_BY_ITSELF).strip().replace("\n", " ")
    lines += ["", *_wrapped("Keep the names and the order of the arguments. " + _allowed(assignment)), ""]
    lines += [*_wrapped(_PRECISION), "", *_wrapped(f"**If you are stuck.** {stuck}")]
    lines += ["", "## Points", "", "| part | points | inputs |", "|---|---|---|"]
    for part in assignment.parts:
        lines.append(f"| {part.name} | {part.points} | {'hidden' if part.hidden else 'public'} |")
    lines += [
        f"| **all** | **{assignment.points}** | |",
        "",
        "Public parts use the same inputs for everybody; hidden parts draw theirs anew, with other shapes.",
        "",
        "## Grade yourself",
        "",
        (_IN_NOTEBOOK if in_notebook else _BY_COMMAND.format(file=file, options=_options(assignment))).strip(),
        "",
        "## Working together",
        "",
        _RULES.strip(),
        "",
    ]
    return "\n".join(lines)


_PRECISION = (
    "A result is right when it agrees with the grader's to 8 digits in float64, and to 4 in float32 (errors of 1e-8 "
    "and 1e-4 of the largest entry): the order of a sum does not matter, single precision inside a float64 "
    "computation costs half of the points."
)


def _variant(assignment):
    if assignment.drawn is None:
        return []
    text = (
        f"**Your variant, number {assignment.drawn}:** {assignment.rule}. Another variant's solution is not one here."
    )
    return [*_wrapped(text), ""]


def _options(assignment):
    return "" if assignment.drawn is None else f" --assignment {assignment.name} --variant {assignment.drawn}"


def _goals(assignment):
    if not assignment.goals:
        return []
    return ["Afterwards you can", "", *(f"- {goal}" for goal in assignment.goals), ""]


def _before(assignment, level):
    """Time, lectures, paper: a list."""
    hours = {"0.5": "half an hour", "1": "an hour"}.get(assignment.hours, f"{assignment.hours} hours")
    lines = [f"- **Time:** about {hours}, reading included."] if assignment.hours else []
    for lecture in assignment.lectures:
        lines.append(f"- **Lecture{', for afterwards' if level == 'scratch' else ''}:** {_lecture(lecture)}")
    lines.append(f"- **Beside it:** {assignment.reading}.")
    copy = ["", "`minisvdd lectures DIR` copies the lectures, as scripts or notebooks."] if assignment.lectures else []
    return [*lines, *copy, ""]


def _lecture(name):
    stem, _, section = name.partition("#")
    return f"`lectures/{stem}.py`" + (f", section *{section}*" if section else "")


def _wrapped(text):
    return textwrap.wrap(text, 120, break_on_hyphens=False, break_long_words=False)


def _allowed(assignment):
    if assignment.language == "cuda":
        return "The file needs no `#include`, and none is allowed."
    return "Only NumPy and the standard library can be imported; other files and processes are out of reach."
