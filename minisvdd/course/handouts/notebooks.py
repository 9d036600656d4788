"""Assignments as notebooks, for nbgrader and for Otter: a cell for each function, and under it the cells that check it.

The teacher's notebook holds the model solution and the hidden checks. `nbgrader generate_assignment` and `otter assign`
make the students' of it. The one written here without the solution has the public checks alone, and needs neither.
"""

import ast
from itertools import pairwise

from ...validation import check_choice
from ..assignment import Assignment, check_seed
from .handout import handout
from .lectures import as_notebook, cell
from .skeleton import skeleton

FORMATS = ("nbgrader", "otter")


def notebook(assignment: Assignment, form: str, level: str = "plain", solution: bool = False, seed: int = 0) -> str:
    """The JSON of the notebook, in format 4.5.

    form: "nbgrader" or "otter".   solution: the teacher's version.   seed: draws the inputs of its hidden checks.
    Raises ValueError for another form, for a seed below 0, for an assignment that is not in Python, for one whose
    functions work together, and for a variant.
    """
    check_choice(form, "notebook", FORMATS)
    check_seed(seed)
    if assignment.language != "python":
        raise ValueError(f"{assignment.name}: is written in {assignment.language}; notebooks are made of Python alone")
    if assignment.drawn is not None:
        raise ValueError(f"{assignment.name}: its variants are handed out as files, not as notebooks")
    if {part.function for part in assignment.parts} - {source.name for source in assignment.functions}:
        raise ValueError(f"{assignment.name}: has parts on all functions together, which no cell can check: use a file")
    write = {"nbgrader": _for_nbgrader, "otter": _for_otter}[form] if solution or form == "nbgrader" else _plain
    opening, functions = _pieces(assignment, level, solution)
    texts = [cell("markdown", handout(assignment, level, in_notebook=True))]
    if level != "scratch":
        texts.append(cell("markdown", f"## Formulas\n\n```text\n{assignment.formulas()}\n```"))
    return as_notebook([*texts, *write(assignment, opening, functions, seed if solution else None)])


def _pieces(assignment, level, solution):
    """The skeleton, cut: what stands above the functions to write, and the text of each of these."""
    source = skeleton(assignment, level, solution)
    lines, nodes = source.splitlines(), ast.parse(source).body
    starts = [node.lineno - 1 for node in nodes] + [len(lines)]
    texts = ["\n".join(lines[start:stop]).rstrip() for start, stop in pairwise(starts)]
    wanted = {one.name for one in assignment.functions}
    opening, functions = ["from minisvdd.course.notebook_check import check"], {}
    for node, text in zip(nodes, texts):
        if isinstance(node, ast.FunctionDef) and node.name in wanted:
            functions[node.name] = text
        elif node is not nodes[0]:  # the docstring of the file
            opening.append(("\n\n" if isinstance(node, ast.FunctionDef) else "") + text)
    return "\n".join(sorted(opening, key=lambda text: not text.startswith(("import", "from")))), functions


def _checks(assignment, function, seed):
    """For one function: (is hidden, points, the line that checks it), of what there is to check."""
    for hidden in (False, True):
        points = sum(part.points for part in assignment.parts if part.function == function and part.hidden == hidden)
        ending = f", seed={seed}" if hidden else ""
        if points:
            yield hidden, points, f"check({assignment.name!r}, {function!r}{ending})".replace("'", '"')


# nbgrader: ordinary cells, with a role in their metadata


def _for_nbgrader(assignment, opening, functions, seed):
    cells = [_role(cell("code", opening), "opening", locked=True)]
    for function, text in functions.items():
        cells.append(cell("markdown", f"### `{function}`"))
        cells.append(_role(cell("code", text), function, solution=True))
        for hidden, points, line in _checks(assignment, function, seed):
            if hidden:
                line = f"### BEGIN HIDDEN TESTS\n{line}\n### END HIDDEN TESTS" if seed is not None else ""
            name = f"{function}-{'hidden' if hidden else 'public'}"
            cells.append(_role(cell("code", line), name, grade=True, locked=True, points=points))
    return cells


def _role(one, grade_id, grade=False, solution=False, locked=False, **points):
    one["metadata"]["nbgrader"] = {
        "schema_version": 3,
        "cell_type": one["cell_type"],
        "grade_id": grade_id,
        "grade": grade,
        "solution": solution,
        "locked": locked,
        "task": False,
        **points,
    }
    return one


# Otter: raw cells between the others


def _for_otter(assignment, opening, functions, seed):
    config = f"# ASSIGNMENT CONFIG\nname: {assignment.name}\nrequirements:\n  - minisvdd\nexport_cell:\n  pdf: false"
    cells = [cell("raw", config), cell("code", opening)]
    for function, text in functions.items():
        cells.append(cell("raw", f"# BEGIN QUESTION\nname: {function}"))
        cells.append(cell("markdown", f"### `{function}`"))
        cells += [cell("raw", "# BEGIN SOLUTION"), cell("code", text), cell("raw", "# END SOLUTION")]
        cells.append(cell("raw", "# BEGIN TESTS"))
        for hidden, points, line in _checks(assignment, function, seed):
            settings = f"points: {points}\nhidden: {str(hidden).lower()}"
            cells.append(cell("code", f'""" # BEGIN TEST CONFIG\n{settings}\n""" # END TEST CONFIG\n{line}'))
        cells += [cell("raw", "# END TESTS"), cell("raw", "# END QUESTION")]
    return cells


def _plain(assignment, opening, functions, seed):
    """For students without Otter: no raw cells, and the public checks alone."""
    cells = [cell("code", opening)]
    for function, text in functions.items():
        cells += [cell("markdown", f"### `{function}`"), cell("code", text)]
        cells += [cell("code", line) for hidden, _, line in _checks(assignment, function, seed) if not hidden]
    return cells
