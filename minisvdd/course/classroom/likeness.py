"""Who wrote alike: submissions compared with each other and with the model solution, name by name apart.

Each function is read as a bag of statements, each statement as the sequence of what it does: kinds of nodes, operators,
numbers, methods of NumPy. Comments, docstrings, formatting, types and the names of variables are gone, and the order of
statements does not matter. What stands in a handed out skeleton is left out. What remains is cut into pieces of a few
steps, and two files are as alike as the pieces that they share:

    share = 2 |A and B| / (|A| + |B|)          A, B: the bags of pieces

There is one way to write y = x W^T: short answers agree whoever wrote them. So a file counts only from a size on at
which independent ones differ, and the share is a number to start from, never a verdict.
"""

import ast
import builtins
import re
from collections import Counter
from dataclasses import dataclass
from itertools import combinations

from ...closed import is_students_package
from ..assignment import Assignment
from ..grader.grading import Grade
from ..handouts.skeleton import LEVELS, skeleton
from .notebook import UNPARSABLE

_PIECE = 5
SMALLEST, SHARE = 100, 0.85  # answers of different making stay below 0.65 in our tests
MODEL = "the model solution"
_LARGEST = 1 << 17


@dataclass(frozen=True)
class Pair:
    """Two names, and the share of their pieces that agree."""

    one: str
    other: str
    share: float


def alike(grades: dict[str, Grade], assignment: Assignment) -> list[Pair]:
    """The pairs of students, or of a student and the model solution, that share at least `SHARE`, the highest first."""
    if is_students_package():  # who has no solution has nothing to compare with
        return []
    given = [skeleton(assignment, level) for level in LEVELS]
    texts = {student: grade.source.decode("utf-8-sig", "replace") for student, grade in grades.items()}
    texts[MODEL] = skeleton(assignment, solution=True)
    bags = {name: pieces(text, assignment.language, given) for name, text in texts.items()}
    long = {name: bag for name, bag in bags.items() if bag.total() >= SMALLEST}
    pairs = [Pair(one, other, likeness(long[one], long[other])) for one, other in combinations(long, 2)]
    return sorted((pair for pair in pairs if pair.share >= SHARE), key=lambda pair: -pair.share)


def likeness(one: Counter, other: Counter) -> float:
    """The share of pieces that two bags have in common."""
    return 2 * (one & other).total() / max(1, one.total() + other.total())


def pieces(text: str, language: str = "python", given: list[str] | tuple[str, ...] = ()) -> Counter:
    """The bag of pieces of a file, without the statements of the skeletons `given`; empty for what cannot be read."""
    read = _python if language == "python" else _cuda
    known = {statement for skeleton in given for statement in read(skeleton)}
    bag: Counter = Counter()
    for statement in read(text):
        if statement not in known:
            bag.update(statement[i : i + _PIECE] for i in range(max(1, len(statement) - _PIECE + 1)))
    return bag


# Python: the syntax tree, statement by statement.

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_PLAIN = {*dir(builtins), "np", "numpy", "math"}


def _python(text):
    """The statements of a file, each as a tuple of what it does."""
    try:
        tree = ast.parse(text) if len(text) <= _LARGEST else ast.Module([], [])
        return [statement for statement in map(_statement, _statements(tree)) if statement]
    except UNPARSABLE:
        return []


def _statements(tree):
    """All statements, also those inside of others."""
    todo = [tree]
    while todo:
        node = todo.pop()
        for block in _BLOCKS:
            todo += [inner for inner in _list(getattr(node, block, None)) if isinstance(inner, ast.AST)]
        if isinstance(node, ast.stmt):
            yield node


def _list(value):
    return value if isinstance(value, list) else []


def _statement(node):
    """What a statement does, without what stands inside of it; () for imports, docstrings and `pass`."""
    skipped = isinstance(node, ast.Import | ast.ImportFrom | ast.Pass | ast.FunctionDef | ast.ClassDef | ast.Global)
    if skipped or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return ()
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        node = ast.Assign([node.target], node.value)
    return (type(node).__name__, *_walk(node, _BLOCKS))


def _walk(node, left_out=()):
    """Kinds, operators, numbers and methods below a node, in reading order."""
    for name, value in ast.iter_fields(node):
        if name in left_out:
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.Name):
                yield part.id if part.id in _PLAIN else "name"
            elif isinstance(part, ast.arg):
                yield "name"
            elif isinstance(part, ast.Constant):
                yield repr(part.value) if isinstance(part.value, int | float | bool | None) else "text"
            elif isinstance(part, ast.AST) and not isinstance(part, ast.expr_context):
                yield type(part).__name__
                yield from _walk(part)
            elif name == "attr" or (name == "arg" and isinstance(part, str)):
                yield part


# CUDA: the words between semicolons and braces.

_NOISE = re.compile(r"//[^\n]*|/\*.*?\*/|^[ \t]*#[^\n]*", re.DOTALL | re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_]\w*|\d[\w.]*|<<|>>|[-+*/%&|=!<>]=|&&|\|\||\+\+|--|[^\s\w]")
_KEYWORDS = """
    if else for while do return break continue switch case int long size_t unsigned float double bool const
    threadIdx blockIdx blockDim gridDim x y z __global__ __device__ __shared__ __syncthreads atomicAdd min max
"""
_CUDA = frozenset(_KEYWORDS.split())


def _cuda(text):
    words = _WORD.findall(_NOISE.sub(" ", text[:_LARGEST]))
    statements, current = [], []
    for word in words:
        if word in (";", "{", "}"):
            statements.append(tuple(current))
            current = []
        else:
            current.append(word if word in _CUDA or not (word[0].isalpha() or word[0] == "_") else "name")
    return [statement for statement in [*statements, tuple(current)] if statement]
