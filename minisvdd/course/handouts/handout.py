"""The handout that goes with a skeleton: what to write, what earns points, how to grade oneself. Markdown."""

from ..assignment import Assignment

_LEVELS = {
    "guided": "The steps of a solution stand in the file as comments.",
    "plain": "The docstrings give formulas and shapes; how to compute them is up to you.",
    "scratch": "Only signatures are given: derive the formulas yourself, on paper, before you write.",
}


def handout(assignment: Assignment, level: str = "plain") -> str:
    """The text for the student."""
    file = assignment.filename
    lines = [f"# {assignment.title}", "", assignment.handout.strip(), ""]
    lines += [f"Read first: {assignment.reading}.", "", f"## What to write, in `{file}`", "", _LEVELS[level], ""]
    if assignment.functions:
        lines += [f"- `{source.reading.call}`" for source in assignment.functions]
    else:
        lines += [f"- the kernel `{name}`" for name in assignment.kernels]
    lines += ["", "Keep the names and the order of the arguments. " + _allowed(assignment), ""]
    lines += ["## Points", "", "| part | points | inputs |", "|---|---|---|"]
    for part in assignment.parts:
        lines.append(f"| {part.name} | {part.points} | {'hidden' if part.hidden else 'public'} |")
    lines += [
        f"| **all** | **{assignment.points}** | |",
        "",
        "Public parts use the same inputs for everybody; hidden parts draw theirs anew, with other shapes.",
        "",
        "## Grade yourself",
        "",
        f"    minisvdd grade {file}",
        "",
        "says for each part what it expected, what it got, and where. `--seed 1` draws other hidden inputs: a right",
        "solution passes with every seed. An exception or an endless loop costs the points of its part only.",
        "",
    ]
    return "\n".join(lines)


def _allowed(assignment):
    if assignment.language == "cuda":
        return "The file needs no `#include`, and none is allowed."
    return "Only NumPy and the standard library can be imported; other files and processes are out of reach."
