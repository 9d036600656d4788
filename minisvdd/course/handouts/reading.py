"""A plain reading of the library as text: its head, its docstring, its lines, and the names that each of them needs."""

import ast
import builtins
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

from ...closed import is_students_package, source

_STEP = "#:"


def docstring_of(thing) -> str:
    """The docstring of a module, class, function or operation as its file has it: `python -OO` keeps none in memory."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(thing))))
    return ast.get_docstring(tree if inspect.ismodule(thing) else tree.body[0])


class Reading:
    """One function of the library, as a student's file spells it: without its decorator.

    function: an operation, whose formula is taken, or any other function at the top of its file, with a docstring.
    instead: pairs (the library's words, a student's words): what to change in its lines.
    Raises ValueError when there is no docstring, or when one of the library's words does not occur.
    """

    def __init__(self, function: Callable, instead: Iterable[tuple[str, str]] = ()) -> None:
        formula = inspect.unwrap(function)
        self.name, self.module = formula.__name__, _Module(_source_of(formula))
        node = self.module.functions[self.name]
        if ast.get_docstring(node) is None:
            raise ValueError(f"{self.name} has no docstring")
        lines, doc = self.module.lines, node.body[0]
        self._node = node
        self.head = _without_own_types(lines[node.lineno - 1 : doc.lineno - 1], node, self.module)
        self.docstring = lines[doc.lineno - 1 : doc.end_lineno]
        self.body = _changed(self.name, lines[doc.end_lineno : node.end_lineno], instead)

    @cached_property
    def call(self) -> str:
        """The name and its arguments, without types: `name(x, slope=0.1)`."""
        arguments = ast.parse(ast.unparse(self._node)).body[0].args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            argument.annotation = None
        return f"{self.name}({ast.unparse(arguments)})"

    @property
    def steps(self) -> list[str]:
        """The steps of the computation: the comments that begin with `#:`, as ordinary comments."""
        return [f"    # {line.strip()[len(_STEP) :].strip()}" for line in self.body if line.strip().startswith(_STEP)]

    @property
    def solution(self) -> list[str]:
        """The lines that compute, with their steps as ordinary comments."""
        return [line.replace(_STEP, "#", 1) if line.strip().startswith(_STEP) else line for line in self.body]

    @cached_property
    def names_in_head(self) -> set[str]:
        """Names that the types and defaults of the arguments need."""
        return _loaded(ast.parse("\n".join([*self.head, "    pass"])).body[0])

    @cached_property
    def names_in_body(self) -> set[str]:
        """Names that the lines take from outside the function."""
        function = ast.parse("\n".join([*self.head, *self.body])).body[0]
        own = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        own |= {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        own |= {node.name for node in ast.walk(function) if isinstance(node, ast.FunctionDef)}
        return set().union(*map(_loaded, function.body)) - own


def _source_of(function):
    """The text of its file; in the students' package, where by_itself needs it, that of the packed one."""
    if is_students_package():
        return source(function.__module__)
    return Path(inspect.getsourcefile(function)).read_text(encoding="utf-8")


class _Module:
    """The source of a file: its lines, functions, imports and short names for types."""

    def __init__(self, text: str) -> None:
        self.lines, tree = text.splitlines(), ast.parse(text)
        self.functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        self._imports, self._short = {}, {}
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    self._imports[alias.asname or alias.name] = (node, alias)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self._short[node.targets[0].id] = node

    def is_ours(self, name: str) -> bool:
        """Whether the file has the name from another file of the library."""
        node, _ = self._imports.get(name, (None, None))
        return bool(getattr(node, "level", 0))

    def import_of(self, name: str) -> str | None:
        """The line that imports `name` from outside the library; None where there is none."""
        node, alias = self._imports.get(name, (None, None))
        if node is None or self.is_ours(name):
            return None
        one = ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], 0)
        return ast.unparse(one)

    def short_name(self, name: str) -> str | None:
        """The line that gives a type this short name, such as `Pair = tuple[int, int]`; None where there is none."""
        node = self._short.get(name)
        return "\n".join(self.lines[node.lineno - 1 : node.end_lineno]) if node else None


def imports_first(lines: Iterable[str]) -> list[str]:
    """Lines for the top of a file: the standard library, other packages, then what is no import."""
    groups: list[list[str]] = [[], [], []]
    for line in sorted(set(lines), key=lambda line: (not line.startswith("import "), line)):
        words = line.split()
        if words[0] not in ("import", "from"):
            groups[2].append(line)
        else:
            groups[words[1].partition(".")[0] not in sys.stdlib_module_names].append(line)
    filled = [group for group in groups if group]
    return [line for group in filled for line in (["", *group] if group is not filled[0] else group)]


def _without_own_types(head, node, module):
    """The lines of a signature without those types of arguments that a student's file cannot import."""
    head = list(head)
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    for argument in reversed(arguments):  # the last one first, so that positions of the others stay
        note = argument.annotation
        if note and any(map(module.is_ours, _loaded(note))):
            row = argument.lineno - node.lineno
            head[row] = head[row][: argument.col_offset + len(argument.arg)] + head[row][note.end_col_offset :]
    return head


def _changed(name, lines, instead):
    text = "\n".join(lines)
    for old, new in instead:
        if old not in text:
            raise ValueError(f"{name} has no {old!r}")
        text = text.replace(old, new)
    return text.splitlines()


def _loaded(tree):
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return {name for name in names if not hasattr(builtins, name)}
