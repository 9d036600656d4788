"""Small edits of Python source, as programmers make them by mistake: found in the syntax tree, made in the text.

`edits(source)` lists them all. Left out is what no test should pin down: docstrings, types, decorators, the words of
messages, of help and of `__repr__`.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

_OPERATORS = {
    ast.Add: ("sum", "+", "-"),
    ast.Sub: ("sum", "-", "+"),
    ast.Mult: ("product", "*", "/"),
    ast.Div: ("product", "/", "*"),
    ast.FloorDiv: ("product", "//", "*"),
    ast.Mod: ("product", "%", "*"),
    ast.Pow: ("product", "**", "*"),
    ast.BitAnd: ("bits", "&", "|"),
    ast.BitOr: ("bits", "|", "&"),
    ast.BitXor: ("bits", "^", "&"),
    ast.LShift: ("bits", "<<", ">>"),
    ast.RShift: ("bits", ">>", "<<"),
}
_COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}


def _both_ways(*pairs):
    return {a: b for pair in pairs for a, b in (pair, pair[::-1])}


_FUNCTIONS = _both_ways(
    ("min", "max"), ("minimum", "maximum"), ("sum", "mean"), ("zeros", "ones"), ("floor", "ceil"), ("any", "all"),
    ("argmin", "argmax"), ("greater", "less"), ("equal", "not_equal"), ("add", "subtract"), ("zeros_like", "ones_like"),
)  # fmt: skip
# a height for a width, an input size for an output size
_NAMES = _both_ways(("kh", "kw"), ("ph", "pw"), ("sh", "sw"), ("H", "W"), ("P", "Q"), ("out_h", "out_w"), ("K", "C"))


@dataclass(frozen=True)
class Edit:
    """Bytes start ... stop - 1 of a source become `new`."""

    kind: str
    start: int
    stop: int
    new: str

    def apply(self, source: bytes) -> bytes:
        """The edited source."""
        return source[: self.start] + self.new.encode() + source[self.stop :]

    def lines(self, source: bytes) -> tuple[int, str, str]:
        """Number of the first line concerned (from 1), and those lines before and after the edit."""
        first = source.rfind(b"\n", 0, self.start) + 1
        last = source.find(b"\n", self.stop)
        before = source[first:last]
        after = source[first : self.start] + self.new.encode() + source[self.stop : last]
        return source.count(b"\n", 0, first) + 1, before.decode().strip(), after.decode().strip()


def edits(source: bytes) -> list[Edit]:
    """All edits, in the order of the text; each one leaves a file that compiles and says something else."""
    finder = _Finder(source)
    finder.visit(tree := ast.parse(source))
    statements = list(map(finder.statement, tree.body))
    found = [edit for edit in dict.fromkeys(finder.found) if _says_something_else(edit, statements)]
    return sorted(found, key=lambda edit: (edit.start, edit.stop, edit.new))


def _says_something_else(edit, statements):
    """Whether the one statement of the module that an edit lies in, (start, text, its tree), compiles to another."""
    start, text, tree = next(s for s in statements if s[0] <= edit.start and edit.stop <= s[0] + len(s[1]))
    try:
        return ast.dump(ast.parse(replace(edit, start=edit.start - start, stop=edit.stop - start).apply(text))) != tree
    except SyntaxError:
        return False


class _Finder(ast.NodeVisitor):
    def __init__(self, source):
        self.source, self.found = source, []
        self._line_starts = [0]
        for line in source.splitlines(keepends=True):
            self._line_starts.append(self._line_starts[-1] + len(line))

    # Positions

    def _start(self, node):
        return self._line_starts[node.lineno - 1] + node.col_offset

    def _stop(self, node):
        return self._line_starts[node.end_lineno - 1] + node.end_col_offset

    def statement(self, node):
        """(start, text, dumped tree) of a statement, with its decorators."""
        decorators = getattr(node, "decorator_list", [])
        start = self._line_starts[decorators[0].lineno - 1] if decorators else self._start(node)
        text = self.source[start : self._stop(node)]
        return start, text, ast.dump(ast.parse(text))

    def _text(self, node):
        return self.source[self._start(node) : self._stop(node)].decode()

    def _add(self, kind, start, stop, new):
        self.found.append(Edit(kind, start, stop, new))

    def _replace(self, kind, node, new):
        self._add(kind, self._start(node), self._stop(node), new)

    def _between(self, kind, left, right, old, new):
        """Replace the operator that stands between two nodes."""
        start = self._stop(left)
        at = self.source.find(old.encode(), start, self._start(right))
        if at >= 0:
            self._add(kind, at, at + len(old), new)

    # What is left alone

    def visit_FunctionDef(self, node):
        if node.name == "__repr__":
            return
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        self._visit_all(node.body)

    def visit_ClassDef(self, node):
        if any(ast.unparse(base) == "Protocol" for base in node.bases):
            return  # a type
        self._visit_all(node.body)

    def visit_AnnAssign(self, node):
        if node.value:
            self.visit(node.value)

    def visit_Raise(self, node):
        """The words of an error are free; whether it is raised is decided by the condition above it."""

    def visit_JoinedStr(self, node):
        """Text for people."""

    def _visit_all(self, nodes: list) -> None:
        for node in nodes:
            self.visit(node)

    # Statements

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call):
            self._replace("statement", node, "pass")
        self.generic_visit(node)

    def visit_Assign(self, node):
        if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in ("TypeVar", "ParamSpec"):
            return  # types, like annotations
        if isinstance(node.targets[0], ast.Subscript):
            self._replace("statement", node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        self._replace("statement", node, "pass")
        kind, old, new = _OPERATORS[type(node.op)]
        self._between(kind, node.target, node.value, f"{old}=", f"{new}=")
        self.generic_visit(node)

    def _negate(self, node):
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self._replace("condition", node.test, f"not ({self._text(node.test)})")
        self.generic_visit(node)

    visit_If = visit_IfExp = visit_While = _negate  # noqa: N815

    # Expressions

    def visit_BinOp(self, node):
        if type(node.op) in _OPERATORS:
            kind, old, new = _OPERATORS[type(node.op)]
            self._between(kind, node.left, node.right, old, new)
            if kind in ("sum", "product"):
                self._replace("dropped", node, f"({self._text(node.left)})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.USub | ast.Not):
            self._replace("sign", node, f"({self._text(node.operand)})")
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:]):
            self._between("logic", left, right, old, new)
        for dropped in node.values:
            rest = [self._text(value) for value in node.values if value is not dropped]
            self._replace("dropped", node, "(" + f" {old} ".join(f"({text})" for text in rest) + ")")
        self.generic_visit(node)

    def visit_Compare(self, node):
        for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators):
            self._between("comparison", left, right, *_COMPARISONS[type(operator)])
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, bool):
            self._replace("boolean", node, str(not node.value))
        elif isinstance(node.value, int):
            self._replace("number", node, str(node.value + 1))
        elif isinstance(node.value, float):
            self._replace("number", node, repr(2 * node.value if node.value else 1.0))

    def visit_Slice(self, node):
        for bound in filter(None, (node.lower, node.upper, node.step)):
            self._replace("bound", bound, "")
        self.generic_visit(node)

    def visit_Call(self, node):
        for left, right in zip(node.args, node.args[1:]):
            if not isinstance(left, ast.Starred) and not isinstance(right, ast.Starred):
                between = self.source[self._stop(left) : self._start(right)].decode()
                swapped = self._text(right) + between + self._text(left)
                self._add("arguments", self._start(left), self._stop(right), swapped)
        for keyword in node.keywords:
            if (
                keyword.arg
                and keyword.arg not in ("help", "description", "epilog")
                and len(node.args) + len(node.keywords) > 1
            ):
                before = self.source.rfind(b",", 0, self._start(keyword))
                if before > self._start(node):
                    self._add("keyword", before, self._stop(keyword), "")
        self.generic_visit(node)

    def visit_Name(self, node):
        if node.id in _NAMES and isinstance(node.ctx, ast.Load):
            self._replace("axis", node, _NAMES[node.id])
        elif node.id in ("min", "max", "any", "all"):
            self._replace("function", node, _FUNCTIONS[node.id])

    def visit_Attribute(self, node):
        if node.attr in _FUNCTIONS:
            stop = self._stop(node)
            self._add("function", stop - len(node.attr), stop, _FUNCTIONS[node.attr])
        self.generic_visit(node)


def by_kind(found: list[Edit]) -> Iterator[list[Edit]]:
    """The edits in groups of one kind each."""
    for kind in sorted({edit.kind for edit in found}):
        yield [edit for edit in found if edit.kind == kind]
