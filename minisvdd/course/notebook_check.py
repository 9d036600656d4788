"""`check`, which grades one function from inside a notebook: what its cells define goes to the grader, as a file would.

from minisvdd.course.notebook_check import check
check("linear", "linear_forward")               # the public parts of one function
check("linear", "linear_forward", seed=2718)    # the hidden ones, with inputs drawn from a seed
"""

import ast
import sys
from collections.abc import Iterable
from dataclasses import replace
from types import CodeType

from .catalog import get_assignment
from .grader.grading import check_machine, grade_source


def check(name: str, function: str, seed: int | None = None) -> float | None:
    """Grade one function of an assignment as the notebook defines it; nothing is returned when all is right.

    Without `seed` the public parts count, with one the hidden parts. Part of the points: prints why and returns them
    (nbgrader takes a number for partial credit). None of the points: raises AssertionError, which says why.
    """
    assignment = get_assignment(name)
    check_machine(assignment)
    parts = tuple(part for part in assignment.parts if part.function == function)
    source = definitions(_cells(), function, [source.name for source in assignment.functions])
    result = grade_source(source.encode(), assignment.filename, replace(assignment, parts=parts), seed or 0)
    counted = [part for part in result.parts if part.hidden == (seed is not None)]
    score, points = sum(part.score for part in counted), sum(part.points for part in counted)
    if score == points:
        return None
    failed = [f"{part.name}: {part.score:g} / {part.points}\n  {part.message}" for part in counted if not part.passed]
    report = "\n".join([f"{function}: {score:g} of {points} points", *failed])
    if not score:
        raise AssertionError(report)
    print(report)
    return score


def definitions(cells: Iterable[str], function: str, others: Iterable[str] = ()) -> str:
    """What the last definition of `function` needs of the code in `cells`: imports, functions, constants, and itself.

    others: functions whose last definitions are taken as well, where there are some; a part may call two functions.
    Raises AssertionError when no cell defines the function. Cells that are no Python (magics) are passed over.
    """
    found = {bound: node for cell in cells for node in _statements(cell) for bound in _bound(node)}
    if not isinstance(found.get(function), ast.FunctionDef):
        raise AssertionError(f"no cell that was run defines {function}: run it, then check")
    kept: list[ast.stmt] = []
    for name in (*others, function):
        _keep(name, found, kept)
    return "\n\n".join(map(ast.unparse, kept)) + "\n"


def _keep(name, found, kept, above=()):
    """Append the statement that defines a name, after those that it needs: who runs a cell again changes the order."""
    node = found.get(name)
    if node is not None and node not in kept and node not in above:
        for needed in _names(compile(ast.Module([node], []), "cell", "exec")):
            _keep(needed, found, kept, (*above, node))
        if node not in kept:
            kept.append(node)


def _cells():
    """The code of all cells that were run, in their order."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None:
        raise ValueError("check works in a notebook; for a file there is `minisvdd grade FILE`")
    return shell.user_ns["In"]


def _statements(cell):
    lines = ["" if line.lstrip()[:1] in ("%", "!") else line for line in cell.splitlines()]
    try:
        return ast.parse("\n".join(lines)).body
    except SyntaxError:
        return []


def _names(code):
    """The names that compiled lines take from outside, those of inner functions included, but no local ones."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return [*code.co_names, *(name for one in inner for name in _names(one))]


def _bound(node):
    """The names that a statement at the top of a cell gives a meaning to."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
    return []
