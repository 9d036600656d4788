"""Skeletons, generated from the library's own sources: signatures and docstrings cannot drift from what is graded.

A function of the library, less its `backend` argument, becomes a function to write. The model solution (`solutions/`)
gives the body, between the markers that nbgrader and Otter know; the student's file has an exception there instead.
"""

import ast
import importlib
import inspect
import textwrap
from functools import cache
from pathlib import Path

from . import cuda_source
from .assignment import Assignment, Source

LEVELS = ("guided", "plain", "scratch")
BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
_STEP = "#:"


def skeleton(assignment: Assignment, level: str = "plain", solution: bool = False) -> str:
    """The text of the file to fill in; with `solution`, the teacher's version of it, which gets full points.

    level: "guided" keeps the steps of the solution as comments, "plain" docstrings with formulas and shapes, "scratch"
    signatures and one line each.   Raises ValueError for another level.
    """
    if level not in LEVELS:
        raise ValueError(f"level={level!r}: expected one of {list(LEVELS)}")
    if assignment.language == "cuda":
        return cuda_source.skeleton(assignment, level, solution)
    functions = [_function(assignment, source, level, solution) for source in assignment.functions]
    imports = "import numpy as np\n"
    if any("Callable" in signature(source) for source in assignment.functions):
        imports = "from collections.abc import Callable\n\n" + imports
    head = "\n".join([assignment.tag("#"), _module_docstring(assignment, level), imports])
    return "\n\n".join([head, *functions])


def signature(source: Source) -> str:
    """The signature as the library's source spells it, without `backend`."""
    node = _definition(source.op)
    arguments = node.args
    if arguments.args and arguments.args[0].arg == "backend":
        del arguments.args[0]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(arguments)}){returns}"


def docstring(source: Source) -> str:
    """The library's docstring of the function."""
    return inspect.getdoc(source.op)


def _module_docstring(assignment, level):
    title = f"{assignment.title}: assignment of minisvdd, level {level}."
    lines = [title, "", f"Fill in what lies between the markers. Read: {assignment.reading}."]
    if level != "scratch":
        lines += ["", assignment.formulas()]
    return '"""' + "\n".join(lines) + '\n"""\n'


def _function(assignment, source, level, solution):
    doc = docstring(source)
    if level == "scratch":
        doc = doc.partition("\n")[0]
    body = _body(assignment, source.name)
    steps = [line for line in body.splitlines() if line.strip().startswith(_STEP)]
    inner = [BEGIN, *(body.splitlines() if solution else [])]
    if not solution:
        inner += [f"# {line.strip()[len(_STEP) :].strip()}" for line in steps] if level == "guided" else []
        inner.append(f'raise NotImplementedError("{source.name}")')
    quoted = f'"""{doc}"""' if "\n" not in doc else f'"""{doc}\n"""'
    lines = [f"def {signature(source)}:", *_indent(quoted), *_indent("\n".join([*inner, END]))]
    return "\n".join(lines).replace(f"    {_STEP}", "    #") + "\n"


def _indent(text):
    return textwrap.indent(text, "    ").splitlines()


@cache
def _solution_text(name):
    module = importlib.import_module(f".solutions.{name}", __package__)
    return Path(module.__file__).read_text(encoding="utf-8")


def _body(assignment, name):
    """The lines of the model solution's function, comments included."""
    text = _solution_text(assignment.name.replace("-", "_"))
    lines = text.splitlines()
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            first = node.body[0].lineno - 1
            while lines[first - 1].strip().startswith("#"):
                first -= 1
            return textwrap.dedent("\n".join(lines[first : node.end_lineno]))
    raise ValueError(f"{assignment.name}: no model solution of {name}")


def _definition(op):
    return ast.parse(textwrap.dedent(inspect.getsource(op))).body[0]
