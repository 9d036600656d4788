"""A notebook that was handed in, as a script: its cells of code, in their order.

What Jupyter alone understands (`%magic`, `!command`, `help?`) is left out and named. Imports and functions stand in the
script as they are. Every other statement, such as a plot or a test on data that the grader has not, runs by itself, and
so does what a definition evaluates (decorators, defaults, annotations, a class): a failure costs nothing but what it
would have defined.
"""

import ast
import json
import re
from textwrap import indent

from ...errors import DataError

_MAGIC = re.compile(r"^\s*(%|!|\?)|^[\w.]+\?\??\s*$|^\s*\w[\w, ]*=\s*[%!]")
_KEEPS_CODE = re.compile(r"^%%(time|timeit|capture|prun|writefile\s+\S+\.py|file\s+\S+\.py)\b")
_MOST_NOTES = 8
# What Python raises for a text that it does not take: also for one that is nested too deeply.
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def script_of(data: bytes, filename: str) -> tuple[bytes, tuple[str, ...]]:
    """The script, and notes on what was left out. Raises DataError for what is no notebook."""
    notes: list[str] = []
    cells = _code_cells(data, filename)
    pieces = [_tag(cells), _RUN]
    for number, text in enumerate(cells, start=1):
        try:
            statements = ast.parse(_without_magics(text, number, notes)).body
            pieces += [_piece(statement, number) for statement in statements]
        except UNPARSABLE as error:
            notes.append(f"cell {number} was left out: {getattr(error, 'msg', None) or type(error).__name__}")
    if len(notes) > _MOST_NOTES:
        notes[_MOST_NOTES:] = [f"and {len(notes) - _MOST_NOTES} more"]
    return "\n".join(pieces).encode("utf-8", "replace"), tuple(notes)


_RUN = """
def _run_cell(number, text):
    try:
        exec(compile(text, f"cell {number}", "exec"), globals())
    except (Exception, SystemExit) as error:
        print(f"cell {number}: {type(error).__name__}: {error}")
"""


def _tag(cells):
    """The line that says which assignment this is, wherever it stands."""
    lines = (line for text in cells for line in text.splitlines())
    return next((line for line in lines if line.startswith("# minisvdd assignment:")), "")


def _code_cells(data, filename):
    try:
        cells = json.loads(data.decode("utf-8-sig"))["cells"]
        code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        return ["".join(source) for source in code]  # a string, or a list of lines
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{filename}: no notebook of format 4 ({type(error).__name__})") from error


def _without_magics(text, number, notes):
    """The text of a cell without the lines that are Jupyter's own."""
    if _parses(text):
        return text
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if first.startswith("%%") and not _KEEPS_CODE.match(first):
        notes.append(f"cell {number} was left out: {first.split()[0]}")
        return ""
    for row, line in enumerate(lines):
        if _MAGIC.match(line):
            notes.append(f"cell {number}: {line.strip()[:40]} was left out")
            lines[row] = re.match(r"\s*", line)[0] + "pass"
    return "\n".join(lines)


def _parses(text):
    try:
        ast.parse(text)
    except UNPARSABLE:
        return False
    return True


def _piece(statement, number):
    """An import or a function as it is; what evaluates something to be run by itself."""
    text = ast.unparse(statement)
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return text  # what grading has not got is put off until it is used (`cage/missing.py`)
    if not isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return f"_run_cell({number}, {text!r})"
    if not _evaluates(statement):
        return f"\n\n{text}\n"
    failed = f"except (Exception, SystemExit) as error:\n    print('cell {number}:', type(error).__name__, error)"
    return f"\n\ntry:\n{indent(text, '    ')}\n{failed}\n"


def _evaluates(definition):
    """Whether Python computes anything when it comes to a definition: numbers and words as defaults cannot fail."""
    if isinstance(definition, ast.ClassDef) or definition.decorator_list or definition.returns:
        return True
    given = definition.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    defaults = [*given.defaults, *filter(None, given.kw_defaults)]
    return any(one.annotation for one in arguments) or not all(isinstance(one, ast.Constant) for one in defaults)
