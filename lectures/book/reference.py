"""The reference: what every package hands out, from signatures and docstrings; and the commands, from their help."""

import argparse
import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from dataclasses import dataclass
from html import escape

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonConsoleLexer, PythonLexer

from .sources import Mentions, Place, SourceIndex
from .text import Page, TextRenderer, code

# These come first, in this order; the others after them. The commands have a page of their own.
_FIRST = ("minisvdd", "minisvdd.svdd", "minisvdd.rivals", "minisvdd.data", "minisvdd.nn", "minisvdd.ops")
_WITHOUT_PAGE = ("minisvdd.cli", "minisvdd.kernels")
_BROAD = 88  # characters in a line of a signature
_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
_ARGUMENT = re.compile(r"(?:^|(?<=\n)|(?<=   ))(\*{0,2}\w+(?:, \*{0,2}\w+)*): ")


@dataclass(frozen=True)
class Entry:
    """A public name: where its page has it, and what it is."""

    name: str
    page: str
    thing: object

    @property
    def kind(self) -> str:
        if inspect.isclass(self.thing):
            return "class"
        return "operation" if hasattr(self.thing, "plain") else "function" if callable(self.thing) else "value"

    @property
    def summary(self) -> str:
        """The first sentence of its docstring."""
        return _sentence(inspect.getdoc(self.thing) or "")


def packages() -> list[str]:
    """The packages that have a page, in order."""
    root = importlib.import_module("minisvdd")
    found = [f"minisvdd.{module.name}" for module in pkgutil.iter_modules(root.__path__) if module.ispkg]
    others = [name for name in found if name not in (*_FIRST, *_WITHOUT_PAGE)]
    return [name for name in _FIRST if name == "minisvdd" or name in found] + others


def public_names(package: str) -> dict[str, object]:
    """What a package hands out (`__all__`); of one without that, what its modules define."""
    module = importlib.import_module(package)
    if hasattr(module, "__all__"):
        return {name: getattr(module, name) for name in sorted(module.__all__, key=str.lower)}
    found = {}
    for info in pkgutil.iter_modules(module.__path__, f"{package}."):
        inner = importlib.import_module(info.name)
        for name, thing in vars(inner).items():
            if getattr(thing, "__module__", None) == info.name and not name.startswith("_") and callable(thing):
                found[name] = thing
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


class Reference:
    """Renders the pages. Every thing has one entry, on the first page that lists it; other pages lead there."""

    def __init__(self, text: TextRenderer, index: SourceIndex, mentions: Mentions):
        self.text, self.index, self.mentions = text, index, mentions
        self.listed = {name: public_names(name) for name in packages()}
        self.entries: dict[int, Entry] = {}
        for package, things in self.listed.items():
            for name, thing in things.items():
                self.entries.setdefault(id(thing), Entry(name, f"reference/{package}.html", thing))
        for entry in self.entries.values():
            if place := self._place(entry.thing):
                mentions.documented[place.path, place.anchor] = f"{entry.page}#{entry.name}"

    def pages(self) -> list[tuple[Page, str, str]]:
        """(page, body, summary as HTML) of every package, then of the commands."""
        return [*(self._package(name) for name in self.listed), self._commands()]

    # A page

    def _package(self, package):
        page = _page(f"reference/{package}.html", package, f"<code>{package}</code>")
        doc = inspect.getdoc(importlib.import_module(package)) or ""
        rows = "".join(self._row(entry, page) for entry in map(self._entry, self.listed[package].values()))
        own = [entry for entry in map(self._entry, self.listed[package].values()) if entry.page == page.path]
        body = [f"<h1 id='top'><code>{package}</code></h1>", self._prose(doc, page, ())]
        body.append(f"<div class='wide'><table class='names'>{rows}</table></div>")
        body += [self._thing(entry, page) for entry in own]
        return page, "\n".join(body), self._inline(_sentence(doc), page)

    def _entry(self, thing):
        return self.entries[id(thing)]

    def _row(self, entry, page):
        href = f"#{entry.name}" if entry.page == page.path else f"{page.prefix}{entry.page}#{entry.name}"
        summary = self._inline(entry.summary, page)
        return f"<tr><td><a href='{href}'>{code(entry.name)}</a></td><td>{summary}</td></tr>"

    def _thing(self, entry, page):
        thing, name = entry.thing, entry.name
        page.headings.append((2, name, f"<code>{name}</code>"))
        doc = inspect.getdoc(thing) or ""
        parts = [f"<h2 id='{name}' class='entry'><code>{name}</code><span class='kind'>{entry.kind}</span></h2>"]
        parts.append(self._signature(name, thing, with_types="Parameters\n---" not in doc))
        parts.append(self._where(thing, page))
        parts.append(self.doc(doc, page, _parameters(thing)))
        if entry.kind == "operation":
            parts.append(_lines_of(thing.plain))
        if entry.kind == "class":
            parts.append(self._members(entry, page))
        return "\n".join(parts)

    def _members(self, entry, page):
        parts, elsewhere = [], {}
        for name in sorted(dir(entry.thing)):
            if name.startswith("_") or (owner := _owner(entry.thing, name)) is None:
                continue
            home = self.entries.get(id(owner))
            if owner is not entry.thing and home:
                elsewhere.setdefault(owner, []).append((name, home))
            elif owner is entry.thing or owner.__name__.startswith("_") or not home:
                parts.append(self._member(entry, name, page))
        for owner, names in elsewhere.items():
            links = ", ".join(
                f"<a href='{page.prefix}{home.page}#{home.name}.{name}'><code>{name}</code></a>" for name, home in names
            )
            parts.append(f"<p class='inherited'>From <code>{owner.__name__}</code>: {links}</p>")
        return "".join(parts)

    def _member(self, entry, name, page):
        member = inspect.getattr_static(entry.thing, name)
        anchor = f"{entry.name}.{name}"
        if isinstance(member, property):
            signature = f"<pre class='code signature'>{escape(anchor)}</pre>"
            doc, names = inspect.getdoc(member) or "", ()
        else:
            function = getattr(entry.thing, name)
            doc, names = inspect.getdoc(function) or "", _parameters(function)
            signature = self._signature(anchor, function, is_method=not isinstance(member, (classmethod, staticmethod)))
        return f"<div class='member' id='{anchor}'>{signature}{self.doc(doc, page, names)}</div>"

    def _signature(self, name, thing, with_types=True, is_method=False):
        """The call, on one line, or with a line for each argument."""
        try:
            signature = inspect.signature(thing)
        except (TypeError, ValueError):
            return f"<pre class='code signature'>{escape(name)}</pre>"
        types = _types(thing) if with_types else {}
        parts = [_parameter(p, types.get(p.name)) for p in signature.parameters.values()][1 if is_method else 0 :]
        for kind, sign in ((inspect.Parameter.KEYWORD_ONLY, "*"), (inspect.Parameter.POSITIONAL_ONLY, "/")):
            places = [i for i, p in enumerate(signature.parameters.values()) if p.kind is kind]
            variable = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in signature.parameters.values())
            if places and sign == "*" and not variable:
                parts.insert(places[0] - is_method, "*")
        ending = f" -> {types['return']}" if types.get("return", "None") != "None" else ""
        line = f"{name}({', '.join(parts)}){ending}"
        if len(line) > _BROAD and not with_types:
            inner = textwrap.wrap(", ".join(parts) + ",", _BROAD - 4, break_long_words=False, break_on_hyphens=False)
            line = f"{name}(\n{textwrap.indent(chr(10).join(inner), '    ')}\n)"
        elif len(line) > _BROAD:
            line = f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){ending}"
        return f"<pre class='code signature'>{_highlight(line, PythonLexer())}</pre>"

    def _where(self, thing, page):
        """Links: its source, other readings of an operation, the lectures that derive it."""
        place = self._place(thing)
        if place is None:
            return ""
        self.mentions.need(place)
        links = [f"<a href='{page.prefix}{place.page}#{place.anchor}'>source</a>"]
        for reading in ("fast", "launch") if hasattr(thing, "plain") else ():
            if other := self.index.find(f"{thing.__name__}.{reading}", {}):
                self.mentions.need(other)
                links.append(f"<a href='{page.prefix}{other.page}#{other.anchor}'>{reading}</a>")
        lectures = {}
        for (where, section), title in self.mentions.of(place.path, place.anchor).items():
            lectures.setdefault(where, (section, title))
        links += [f"<a href='{page.prefix}{w}#{s}'>{escape(t)}</a>" for w, (s, t) in sorted(lectures.items())]
        return f"<p class='where'>{' &middot; '.join(links)}</p>"

    def _place(self, thing) -> Place | None:
        module, name = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "")
        places = self.index.places.get(f"{module}.{name}") or self.index.places.get(f"{module}.{name}.plain") or []
        return places[0] if len(places) == 1 else None

    # A docstring

    def doc(self, doc: str, page: Page, names) -> str:
        """A docstring as HTML: prose, then its sections. names: of the arguments that it may speak of."""
        first, *rest = _SECTION.split(doc)
        parts = [self._prose(first, page, names)]
        for title, text in zip(rest[::2], rest[1::2]):
            examples = text.find(">>>") if title != "Examples" else -1
            inside, after = (text[:examples], text[examples:]) if examples > 0 else (text, "")
            is_list = re.match(r"\S[^\n]*\n\s+\S", inside) and not _ARGUMENT.match(inside)
            body = self._definitions(inside, page) if is_list else self._prose(inside, page, None)
            parts.append(f"<p class='section'>{escape(title)}</p>{body}{self._prose(after, page, names)}")
        return "".join(parts)

    def _definitions(self, text, page):
        """numpydoc's `name : type`, with what it means indented below."""
        items = []
        for block in re.split(r"\n(?=\S)", text.strip("\n")):
            head, _, rest = block.partition("\n")
            if rest.strip() and not rest.startswith(" "):
                items.append(self._prose(block, page, ()))
                continue
            name, colon, kind = head.partition(" : ")
            about = f"<span class='type'>{self._inline(kind, page)}</span>" if colon else ""
            items.append(f"<dt><code>{escape(name)}</code>{about}</dt><dd>{self._prose(_dedent(rest), page, ())}</dd>")
        return f"<dl class='arguments'>{''.join(items)}</dl>"

    def _prose(self, text, page, names):
        """Paragraphs, indented lines as they stand, examples, lists, and `name: meaning` of arguments.

        names: which words may stand before that colon; None: any.
        """
        blocks = re.split(r"\n\s*\n", textwrap.dedent(text).strip("\n"))
        return "".join(self._block(block, page, names) for block in blocks if block.strip())

    def _block(self, block, page, names):
        if block.lstrip().startswith(">>>"):
            return f"<pre class='code'>{_highlight(_dedent(block), PythonConsoleLexer())}</pre>"
        if re.match(r"[*-] ", block):
            items = re.split(r"(?:^|\n)[*-] ", block)[1:]
            return f"<ul>{''.join(f'<li>{self._inline(item, page)}</li>' for item in items)}</ul>"
        known = _ARGUMENT.match(block)
        if known and (names is None or all(word.strip("* ") in names for word in known[1].split(","))):
            return self._arguments(block, page)
        parts = []
        for is_indented, lines in _runs(block):
            if is_indented:
                parts.append(f"<pre class='plain'>{escape(_dedent(lines))}</pre>")
            else:
                parts.append(f"<p>{self._inline(lines, page)}</p>")
        return "".join(parts)

    def _arguments(self, block, page):
        """The house's `x: (n, D).   rng: shuffles.` as a list."""
        before, *rest = _ARGUMENT.split(block)
        items = "".join(
            f"<dt><code>{escape(name)}</code></dt><dd><p>{self._inline(meaning, page)}</p></dd>"
            for name, meaning in zip(rest[::2], rest[1::2])
        )
        return f"{self._inline(before, page)}<dl class='arguments'>{items}</dl>"

    def _inline(self, text, page):
        """Escaped text; names in backticks become links, as in a lecture."""
        pieces = re.split(r"`+([^`]+)`+", " ".join(text.split()))
        for i in range(1, len(pieces), 2):
            pieces[i] = self.text.name(pieces[i], code(pieces[i]), page)
        for i in range(0, len(pieces), 2):
            pieces[i] = re.sub(r"\*\*(\w[^*]*)\*\*", r"<strong>\1</strong>", escape(pieces[i]))
        return "".join(pieces)

    # The commands

    def _commands(self):
        from minisvdd.cli.main import make_parser

        page = _page("reference/commands.html", "The commands", "The commands")
        about = "What <code>minisvdd COMMAND --help</code> says of every command, on one page."
        parts = ["<h1 id='top'>The commands</h1>", f"<p>{about}</p>"]
        for words, (parser, summary) in _leaves(make_parser(), "").items():
            anchor = words.replace(" ", "-")
            page.headings.append((2, anchor, f"<code>{words}</code>"))
            parts.append(f"<h2 id='{anchor}' class='entry'><code>{words}</code></h2>")
            parts.append(f"<p>{escape(_capital(summary))}</p>" if summary else "")
            parts.append(f"<pre class='plain usage'>{escape(_usage(parser))}</pre>{self._options(parser, page)}")
        return page, "\n".join(parts), about

    def _options(self, parser, page):
        formatter, items = parser._get_formatter(), []
        for action in parser._actions:
            if action.help in (None, argparse.SUPPRESS) or "--help" in action.option_strings:
                continue
            name = ", ".join(action.option_strings) or action.metavar or action.dest
            values = formatter._format_args(action, action.metavar or action.dest.upper()) if action.nargs != 0 else ""
            kind = (
                f"<span class='type'>{escape(values.replace(',', ', '))}</span>"
                if action.option_strings and values
                else ""
            )
            text = escape(formatter._expand_help(action))
            items.append(f"<dt><code>{escape(str(name))}</code>{kind}</dt><dd><p>{text}</p></dd>")
        return f"<dl class='arguments'>{''.join(items)}</dl>" if items else ""


def _page(path, title, heading):
    return Page(path, title, headings=[(1, "top", heading)], is_mention=False)


def _sentence(doc):
    first = re.split(r"(?<=\.)\s", " ".join(doc.partition("\n\n")[0].split()), maxsplit=1)[0]
    return re.sub(r":$", ".", first)


def _capital(text):
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _dedent(text):
    return textwrap.dedent(text).strip("\n")


def _runs(block):
    """[(whether its lines are indented, the lines)], in order."""
    runs = []
    for line in block.split("\n"):
        is_indented = line.startswith("    ")
        if runs and runs[-1][0] == is_indented:
            runs[-1][1].append(line)
        else:
            runs.append((is_indented, [line]))
    return [(is_indented, "\n".join(lines)) for is_indented, lines in runs]


def _owner(cls, name):
    """The class of ours that says what this member is, by a docstring of its own; None when nobody of ours does."""
    for base in cls.__mro__:
        if name in vars(base) and base.__module__.startswith("minisvdd"):
            member = vars(base)[name]
            function = getattr(member, "__func__", member)
            if (callable(function) or isinstance(member, property)) and function.__doc__:
                return base
    return None


def _parameters(thing):
    try:
        return tuple(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return ()


def _types(thing):
    """Types of arguments, and of what is returned, as they are written in the source."""
    function = getattr(thing, "plain", thing)
    function = vars(function).get("__init__") if inspect.isclass(function) else function
    try:
        (node,) = ast.parse(_dedent(inspect.getsource(function))).body
    except (TypeError, OSError):
        return {}
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    found = {argument.arg: argument.annotation for argument in every if argument} | {"return": node.returns}
    written = {name: node for name, node in found.items() if node is not None}
    return {name: node.value if _is_text(node) else ast.unparse(node) for name, node in written.items()}


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _parameter(parameter, kind):
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    text += f": {kind}" if kind else ""
    if parameter.default is not inspect.Parameter.empty:
        default = getattr(parameter.default, "__name__", None) or repr(parameter.default)
        default = re.sub(r"<(\w+).* at 0x[0-9a-f]+>", r"\1", default)
        text += f" = {default}" if ":" in text else f"={default}"
    return text


def _highlight(code, lexer):
    return highlight(code, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")


def _lines_of(function):
    """A formula's lines, without its docstring."""
    source = _dedent(inspect.getsource(function))
    source = re.sub(r'\n\s+"""(?:[^"]|"(?!""))*"""', "", source, count=1)
    return f"<pre class='code'>{_highlight(source, PythonLexer())}</pre>"


def _leaves(parser, summary):
    """{command's words: (its parser, what it does)}, for all that have no sub-commands."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        return {parser.prog: (parser, summary)}
    about = {choice.dest: choice.help for choice in below[0]._choices_actions}
    leaves = [_leaves(inner, about.get(name, "")) for name, inner in below[0].choices.items()]
    return {words: leaf for found in leaves for words, leaf in found.items()}


def _usage(parser):
    """The usage in lines of a fixed width, whatever terminal the book is built in."""
    formatter = argparse.HelpFormatter(parser.prog, width=100)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, "")
    return "\n".join(map(_broken, formatter.format_help().strip().splitlines()))


def _broken(line, most=100):
    """A line of usage; a long list of choices, which argparse leaves whole, goes on below its first choice."""
    start, cut = line.find("{") + 1, line.rfind(",", 0, most) + 1
    if len(line) <= most or not 0 < start < cut:
        return line
    return f"{line[:cut]}\n{' ' * start}{line[cut:]}"
