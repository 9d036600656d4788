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
    """Which lectures speak of which place: (page, section) -> title, in order, by path and anchor.

    documented: where in the reference a place has its entry.
    """

    by_place: dict = field(default_factory=lambda: defaultdict(dict))
    documented: dict = field(default_factory=dict)

    def add(self, place: Place, page: str, section: str, title: str) -> None:
        self.by_place[place.path, place.anchor].setdefault((page, section), title)

    def need(self, place: Place) -> None:
        """The place is linked to, so that its page must be there, but nothing is said about it."""
        self.by_place[place.path, place.anchor]

    def paths(self) -> list[str]:
        return sorted({path for path, _ in self.by_place})

    def of(self, path: str, anchor: str) -> dict:
        return self.by_place.get((path, anchor), {})


@dataclass(frozen=True)
class Definition:
    """Something that a file defines: the anchor and the line of its page, and the names by which texts call it."""

    anchor: str
    line: int
    names: tuple[str, ...]


def definitions(code: str) -> list[Definition]:
    """Functions, classes and methods of a file, in order; and readings of operations, under names of their own:

    @conv2d_forward.fast
    def _(x, weight): ...            is `conv2d_forward.fast`
    """
    found = []
    for node in ast.parse(code).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        readings = [ast.unparse(d) for d in node.decorator_list if isinstance(d, ast.Attribute)]
        names = (*readings, *([] if node.name == "_" else [node.name]))
        found.append(Definition(names[0] if names else "_", _first_line(node), names))
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(member, ast.FunctionDef):
                name = f"{node.name}.{member.name}"
                found.append(Definition(name, _first_line(member), (name,)))
    return found


def _first_line(node):
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


class SourceIndex:
    """Names that can be linked: functions, classes, methods, readings, modules, files of minisvdd/, kernel files."""

    def __init__(self):
        self.places: dict[str, list[Place]] = defaultdict(list)
        for path in sorted((ROOT / "minisvdd").rglob("*.py")):
            if path != ROOT / "minisvdd" / "lecture.py":  # what lectures are made with, not what they are about
                self._add_module(path)
        for path in sorted((ROOT / "kernels").glob("*.[ch]u*")):
            name = path.relative_to(ROOT).as_posix()
            self.places[name].append(Place(name, "", 1))

    def _add_module(self, path):
        name = path.relative_to(ROOT).as_posix()
        dotted = name[:-3].replace("/", ".").removesuffix(".__init__")
        for key in {name, name.removesuffix("/__init__.py"), dotted}:
            self.places[key].append(Place(name, "", 1))
        for definition in definitions(path.read_text(encoding="utf-8")):
            for key in definition.names:
                if not key.startswith("_"):
                    place = Place(name, definition.anchor, definition.line)
                    self.places[key].append(place)
                    self.places[f"{dotted}.{key}"].append(place)

    def imported(self, code: str) -> dict[str, Place]:
        """What the code has by `from minisvdd... import name`: places by the names that it uses for them.

        After `from minisvdd import nn`, what it takes from there is among them as "nn.Conv2D".
        """
        names, tree = {}, ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minisvdd":
                for alias in node.names:
                    place = self._inside(node.module, alias.name) or self._only(alias.name)
                    if place:
                        names[alias.asname or alias.name] = place
        modules = {name: _dotted(place.path) for name, place in names.items() if not place.anchor}
        for node in ast.walk(tree):
            root, _, rest = ast.unparse(node).partition(".") if isinstance(node, ast.Attribute) else ("", "", "")
            place = root in modules and self._member(modules[root], rest)
            if place:
                names[f"{root}.{rest}"] = place
        return names

    def find(self, text: str, imported: dict[str, Place]) -> Place | None:
        """The place that a name in backticks means: one that the lecture imports, else the only one of that name.

        A plain lower-case word is linked only if it is imported: `train` may mean anything.
        """
        name = re.sub(r"\.reading\([\"'](\w+)[\"']\)", r".\1", text.strip())
        name = re.sub(r"\(.*\)$", "", name)
        taken = {place for key, place in imported.items() if key.endswith(f".{name}")}
        if len(taken) == 1:
            return taken.pop()
        if name in imported:
            return imported[name]
        root, _, rest = name.partition(".")
        if rest and f"minisvdd.{root}" in self.places:
            return self._member(f"minisvdd.{root}", rest)
        return self._only(name) if re.search(r"[_./A-Z]", name) else None

    def _only(self, name):
        """The only place of that name; where several have it, the one among the operations."""
        places = self.places.get(name) or self.places.get(f"minisvdd/{name}") or self.places.get(f"minisvdd.{name}", [])
        in_ops = [place for place in places if place.path.startswith("minisvdd/ops/")]
        chosen = in_ops if len(in_ops) == 1 else places
        return chosen[0] if len(chosen) == 1 else None

    def _member(self, module, name):
        """What `name`, that may have dots in it, means after the module: `conv2d_forward.on`, `layers.Conv2D`."""
        parts = name.split(".")
        tries = (name, ".".join(parts[:-1]), parts[-1])
        return next((place for part in tries if part and (place := self._inside(module, part))), None)

    def _inside(self, module, name):
        """The only place of that name in a module, or in a package with all that it holds."""
        places = self.places.get(f"{module}.{name}") or [
            place for place in self.places.get(name, []) if f"{_dotted(place.path)}.".startswith(f"{module}.")
        ]
        return places[0] if len(places) == 1 else None


def source_page(path: str) -> str:
    """`source/minisvdd.ops.linear.html` for `minisvdd/ops/linear.py`; a package has the name of its folder."""
    return f"source/{_dotted(path)}.html"


def _dotted(path):
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class SourcePage:
    """One file, highlighted, each definition with links to the lectures that derive it."""

    def __init__(self, path: str, mentions: Mentions):
        self.path, self.mentions = path, mentions
        self.text = (ROOT / path).read_text(encoding="utf-8")

    @cached_property
    def anchors(self) -> dict[int, str]:
        """Line -> anchor of the definitions in a Python file."""
        if not self.path.endswith(".py"):
            return {}
        lines = {definition.anchor: definition.line for definition in definitions(self.text)}  # each anchor once
        return {line: anchor for anchor, line in lines.items()}

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
        return f"<span class='line' id='{anchor}'>{html}{note or chr(10)}</span>"

    def _links(self, anchor, prefix):
        """One link per lecture, to the section that speaks of it first, and one to the reference."""
        first = {}
        for (page, section), title in self.mentions.of(self.path, anchor).items():
            first.setdefault(page, (section, title))
        links = [(f"{page}#{section}", title) for page, (section, title) in sorted(first.items())]
        if entry := self.mentions.documented.get((self.path, anchor)):
            links.append((entry, "reference"))
        return ", ".join(f"<a href='{prefix}{href}'>{escape(title)}</a>" for href, title in links)
