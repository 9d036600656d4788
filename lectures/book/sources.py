"""The library's source pages, and which name in a lecture means which function there."""

import ast
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import CppLexer, PythonLexer

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Place:
    """Where a name is defined: a file of the repository, the anchor in its page, the line."""

    path: str
    anchor: str
    line: int

    @property
    def page(self) -> str:
        return source_page(self.path)


@dataclass
class Mentions:
    """Which lectures speak of which place: (page, section) -> title, in order, by path and anchor."""

    by_place: dict = field(default_factory=lambda: defaultdict(dict))

    def add(self, place: Place, page: str, section: str, title: str) -> None:
        self.by_place[place.path, place.anchor].setdefault((page, section), title)

    def paths(self) -> list[str]:
        return sorted({path for path, _ in self.by_place})

    def of(self, path: str, anchor: str) -> dict:
        return self.by_place.get((path, anchor), {})


class SourceIndex:
    """Names that can be linked: functions, classes, methods, modules, files of minisvdd/, and kernel files."""

    def __init__(self, root: Path = ROOT):
        self.root = root
        self.places: dict[str, list[Place]] = defaultdict(list)
        for path in sorted((root / "minisvdd").rglob("*.py")):
            self._add_module(path)
        for path in sorted((root / "kernels").glob("*.[ch]u*")):
            name = path.relative_to(root).as_posix()
            self.places[name].append(Place(name, "", 1))

    def _add_module(self, path):
        name = path.relative_to(self.root).as_posix()
        dotted = name[:-3].replace("/", ".").removesuffix(".__init__")
        for key in (name, dotted):
            self.places[key].append(Place(name, "", 1))
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
                continue
            place = Place(name, node.name, node.lineno)
            self.places[node.name].append(place)
            self.places[f"{dotted}.{node.name}"].append(place)
            for member in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(member, ast.FunctionDef):
                    key = f"{node.name}.{member.name}"
                    self.places[key].append(Place(name, key, member.lineno))

    def imported(self, code: str) -> dict[str, Place]:
        """What the code imports by `from minisvdd... import name`: places by the names that it uses for them."""
        names = {}
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minisvdd":
                for alias in node.names:
                    full = self.places.get(f"{node.module}.{alias.name}") or self.places.get(alias.name, [])
                    if len(full) == 1:
                        names[alias.asname or alias.name] = full[0]
        return names

    def find(self, text: str, imported: dict[str, Place]) -> Place | None:
        """The place that a name in backticks means: one that the lecture imports, else the only one of that name.

        A plain lower-case word is linked only if it is imported: `train` may mean anything.
        """
        name = re.sub(r"\(.*\)$", "", text.strip()).removeprefix("ops.")
        if name in imported:
            return imported[name]
        places = self.places.get(name) or self.places.get(f"minisvdd/{name}") or self.places.get(f"minisvdd.{name}", [])
        in_ops = [place for place in places if place.path.startswith("minisvdd/ops/")]
        chosen = in_ops if len(in_ops) == 1 else places
        is_telling = re.search(r"[_./A-Z]", name)
        return chosen[0] if is_telling and len(chosen) == 1 else None


def source_page(path: str) -> str:
    """`source/minisvdd.ops.linear.html` for `minisvdd/ops/linear.py`."""
    return f"source/{path.removesuffix('.py').replace('/', '.')}.html"


class SourcePage:
    """One file, highlighted, each definition with links to the lectures that derive it."""

    def __init__(self, path: str, mentions: Mentions, root: Path = ROOT):
        self.path, self.mentions = path, mentions
        self.text = (root / path).read_text(encoding="utf-8")

    @cached_property
    def anchors(self) -> dict[int, str]:
        """Line -> anchor of the definitions in a Python file."""
        if not self.path.endswith(".py"):
            return {}
        anchors = {}
        for node in ast.parse(self.text).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                anchors[node.lineno] = node.name
                for member in node.body if isinstance(node, ast.ClassDef) else ():
                    if isinstance(member, ast.FunctionDef):
                        anchors[member.lineno] = f"{node.name}.{member.name}"
        return anchors

    def html(self, prefix: str) -> str:
        """The body: links for the file as a whole, then its lines. prefix: the way up to the book's first page."""
        whole = self._links("", prefix)
        head = f"<p class='explained'>Explained in {whole}</p>" if whole else ""
        lexer = PythonLexer() if self.path.endswith(".py") else CppLexer()
        lines = highlight(self.text, lexer, HtmlFormatter(nowrap=True)).rstrip("\n").split("\n")
        body = "".join(self._line(number, line, prefix) for number, line in enumerate(lines, 1))
        return f"<h1><code>{escape(self.path)}</code></h1>{head}<pre class='code source'>{body}</pre>"

    def _line(self, number, html, prefix):
        anchor = self.anchors.get(number)
        if anchor is None:
            return f"<span class='line'>{html}\n</span>"
        links = self._links(anchor, prefix)
        note = f"<span class='back'>&#8617; {links}</span>" if links else ""
        return f"<span class='line' id='{anchor}'>{html}{note}\n</span>"

    def _links(self, anchor, prefix):
        """One link per lecture, to the section that speaks of it first."""
        first = {}
        for (page, section), title in self.mentions.of(self.path, anchor).items():
            first.setdefault(page, (section, title))
        return ", ".join(
            f"<a href='{prefix}{page}#{section}'>{escape(title)}</a>"
            for page, (section, title) in sorted(first.items())
        )
