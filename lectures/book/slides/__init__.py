"""Slides from a lecture's executed cells: what a speaker points at, without what a speaker says.

The rule, one for all lectures: a heading opens a slide. On it go formulas, tables, quotations and lists, every picture,
the claims that were checked, functions of a few lines that stand under a formula, and of the paragraphs those that
begin a cell or lead to a formula, by their first sentence. What does not fit goes to the next slide, under the same
heading.
"""

import ast
import base64
import re
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from ..cells import verdicts
from ..living import with_figures
from ..text import Page, TextRenderer, keep_stops

ROOM = 14.0  # lines of text that a slide holds
_LINE = 78  # characters
_MOST_CODE, _MOST_CHECKS = 9, 4
_QUESTION = re.compile("<strong>the question", re.IGNORECASE)
_HERE = Path(__file__).parent


@dataclass
class Block:
    """A piece of a slide. lines: the room that it takes. leads: it must not stand alone at a slide's foot."""

    html: str
    lines: float
    leads: bool = False


@dataclass
class Slide:
    heading: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def lines(self) -> float:
        return sum(block.lines for block in self.blocks)


def slides_of(notebook, text: TextRenderer, title: str) -> list[Slide]:
    """All slides of one executed lecture; title: of the page, for messages."""
    slides, page, has_formula = [], Page("slides.html", title), False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            html = re.sub(r"</?a\b[^>]*>", "", with_figures(text.render(cell.source, page)))
            has_formula = "<div class='formula'" in html
            for heading, block in _from_text(html):
                if heading is not None:
                    slides.append(Slide(heading))
                elif block:
                    _put(slides, block)
        else:
            for block in _from_code(cell, has_formula):
                _put(slides, block)
            has_formula = False
    return [slide for slide in slides if slide.blocks]


def _put(slides, block):
    """Add to the last slide or, when that is full, to a new one, to which a leading sentence goes along."""
    last = slides[-1]
    is_title = len(slides) == 1 and last.blocks  # which holds one sentence
    if is_title or (last.blocks and last.lines + block.lines > ROOM):
        moved = [last.blocks.pop()] if last.blocks[-1].leads and len(last.blocks) > 1 else []
        last = Slide(last.heading, moved)
        slides.append(last)
    last.blocks.append(block)


# Text


def _from_text(html):
    """(heading, None) and (None, block) in the order of the text."""
    pieces = top_level(html)
    if pieces and pieces[0][0] == "h1":  # the question, if one is posed, is what stands on the title
        pieces[1:] = sorted(pieces[1:], key=lambda piece: not _QUESTION.search(piece[1]))
    opens = True  # the next paragraph is the first one of its section
    for (tag, piece), (following, _) in zip(pieces, [*pieces[1:], ("", "")]):
        if tag in ("h1", "h2", "h3"):
            yield re.sub(r"^<h\d[^>]*>|</h\d>$", "", piece), None
            opens = True
        elif tag == "p":
            if "<em>Needs: " in piece or piece.startswith("<p>Solutions: "):
                continue
            question = _QUESTION.search(piece)
            if opens or question or following in ("div", "blockquote", "ol", "ul"):
                before = re.finditer(r"[.?!]\s", piece[: question.start()] if question else "")
                start = max((end.end() for end in before), default=0)  # of the sentence that poses it
                sentence = first_sentence(piece[start:])
                yield None, Block(f"<p>{sentence}</p>", _height(sentence), leads=following == "div")
            opens = False
        elif tag == "div" and piece.startswith("<div class='formula'"):
            yield None, Block(_fitted(piece), 1.3 + 1.5 * max(1, piece.count("<mtr")) + 0.4 * ("<mfrac" in piece))
            opens = False
        elif tag in ("ol", "ul"):
            items = [first_sentence(item) for item in re.findall(r"<li>(.*?)</li>", piece, re.DOTALL)]
            for start in range(0, len(items), 5):
                some = items[start : start + 5]
                first = f" start='{start + 1}'" if tag == "ol" else ""
                inside = "".join(f"<li>{item}</li>" for item in some)
                yield None, Block(f"<{tag}{first}>{inside}</{tag}>", sum(map(_height, some)))
        elif tag in ("blockquote", "div", "figure"):
            rows = sum(0.9 * _height(row) for row in piece.split("<tr")[1:]) if tag == "div" else _height(piece) + 1
            yield None, Block(piece, ROOM if tag == "figure" else min(ROOM, rows))  # a living figure is a slide


def top_level(html: str) -> list[tuple[str, str]]:
    """(tag, HTML) of the outermost elements."""
    parser = _Outermost(html)
    parser.feed(html)
    parser.close()
    return parser.pieces


class _Outermost(HTMLParser):
    VOID = ("img", "br", "input", "hr", "meta", "link")

    def __init__(self, html):
        super().__init__()
        self.lines = [0]
        for line in html.split("\n"):
            self.lines.append(self.lines[-1] + len(line) + 1)
        self.html, self.depth, self.pieces, self.start = html, 0, [], 0

    def _here(self):
        line, column = self.getpos()
        return self.lines[line - 1] + column

    def handle_starttag(self, tag, _):
        if self.depth == 0:
            self.start = self._here()
        self.depth += tag not in self.VOID

    def handle_startendtag(self, tag, _):
        pass

    def handle_endtag(self, tag):
        self.depth -= 1
        if self.depth == 0:
            end = self.html.index(">", self._here()) + 1
            self.pieces.append((tag, self.html[self.start : end]))


def first_sentence(html: str) -> str:
    """Up to the first full stop or question mark outside of formulas and code; marks that stay open are closed."""
    kept = []

    def keep(match):
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    html = re.sub(r"^\s*<p>|</p>.*$", "", html.strip(), flags=re.DOTALL)
    html = re.sub(r"<span class='whole'>(.*?)</span>", r"\1", html, flags=re.DOTALL)
    flat = re.sub(r"<(math|code|span)\b.*?</\1>", keep, html, flags=re.DOTALL)
    end = re.search(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bcf)[.?!](?:</(?:em|strong)>)?[)\u201d]?(?=\s|$)", flat)
    label = re.match(r"<strong>[^<]*</strong>", flat)  # "**Proof.**" is no sentence yet
    if label and end and end.end() <= label.end() + 1:
        end = end.re.search(flat, label.end() + 1)
    flat = flat[: end.end()] if end else flat
    for tag in ("strong", "em"):
        flat += f"</{tag}>" * (flat.count(f"<{tag}>") - flat.count(f"</{tag}>"))
    return keep_stops(re.sub("\0(\\d+)\0", lambda m: kept[int(m[1])], flat))


def _height(html):
    """Lines of a text, about."""
    text = re.sub(r"<[^>]*>", "", re.sub(r"<annotation.*?</annotation>", "", html, flags=re.DOTALL))
    return 0.35 + 1.15 * (1 + len(" ".join(text.split())) // _LINE)


def _fitted(formula):
    """A formula too long for a line in smaller letters."""
    longest = max(len(re.sub(r"<[^>]*>|\s", "", row)) + 3 * row.count("<mspace") for row in formula.split("<mtr"))
    size = max(0.7, min(1.0, 54 / max(1, longest)))
    return formula if size == 1 else formula.replace("<div ", f"<div style='font-size:{1.12 * size:.2f}rem' ", 1)


# Code and what it printed


def _from_code(cell, under_formula):
    for lines in short_functions(cell.source) if under_formula else []:
        html = highlight(lines, PythonLexer(), HtmlFormatter(nowrap=True))
        fits = 139 / max(
            map(len, lines.splitlines())
        )  # units for a character, so that the longest line needs no scrolling
        yield Block(
            f"<pre class='code' style='font-size:min(.8rem,calc({fits:.2f} * var(--u)))'>{html}</pre>",
            0.8 + 0.82 * len(lines.splitlines()),
        )
    checks = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and output.name == "stdout":
            checks += verdicts(output.text)
        for kind in ("image/png", "image/gif"):
            if kind in output.get("data", {}):
                yield _picture(output, kind)
    if checks:
        more = len(checks) - _MOST_CHECKS
        rest = f"<p class='more'>and {more} more, which hold</p>" if more > 0 else ""
        yield Block("".join(checks[:_MOST_CHECKS]) + rest, sum(1.2 * _height(c) for c in checks[:_MOST_CHECKS]))


def short_functions(source: str) -> list[str]:
    """The functions that a cell defines and that fit on a slide, without their docstrings."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
            if ast.get_docstring(node):
                first = node.body[0]
                del lines[first.lineno - node.lineno : first.end_lineno - node.lineno + 1]
            if len(lines) <= _MOST_CODE:
                found.append("\n".join(lines))
    return found


def _picture(output, kind):
    data = "".join(output["data"][kind].split())
    about = output.metadata.get(kind, {}) | output.metadata
    alt = escape(str(about.get("alt", "figure")), quote=True)
    return Block(f"<figure><img src='data:{kind};base64,{data}' alt='{alt}'></figure>", 11)


# The document


def document(slides: list[Slide], title: str, number: str, css: str, font: Path) -> str:
    """One HTML file with everything in it. css: of the book. font: for formulas; the glyphs in use go along."""
    first, *others = slides
    parts = [
        f"<section class='slide first'><p class='eyebrow'>{number}</p><h1>{first.heading}</h1>"
        f"{''.join(block.html for block in first.blocks)}</section>"
    ]
    before = first.heading
    for slide in others:
        again = " <small>continued</small>" if slide.heading == before else ""
        inside = "".join(block.html for block in slide.blocks)
        parts.append(
            f"<section class='slide'><h2>{slide.heading}{again}</h2><div class='inside'>{inside}</div></section>"
        )
        before = slide.heading
    body = "\n".join(parts)
    style, script = ((_HERE / f"slides.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    face = f"@font-face {{ font-family: 'STIX Two Math'; src: url(data:font/woff;base64,{_glyphs(font, body)}); }}"
    css = re.sub(r"@font-face \{.*?\}", "", css, count=1)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(re.sub("<[^>]*>", "", title), quote=False)} &middot; slides</title>
<link rel="icon" href="data:,">
<style>
{face}
{css}
{style}
</style>
</head>
<body>
<main>
{body}
</main>
<nav class="steps" aria-label="Slides" hidden><button type="button" aria-label="Slide before">&lsaquo;</button>
<output aria-live="polite"></output><button type="button" aria-label="Next slide">&rsaquo;</button>
<button type="button" aria-pressed="false">All</button></nav>
<script>
{script}
</script>
</body>
</html>
"""


def _glyphs(font, body):
    """The font, reduced to the characters of the slides' formulas, in base64."""
    from fontTools import subset
    from fontTools.ttLib import TTFont

    formulas = re.sub(r"<[^>]*>", "", "".join(re.findall(r"<math.*?</math>", body, re.DOTALL)))
    characters = set(formulas) | set("0123456789()[]{}|+-=\u221a")  # roots are drawn, not written
    characters |= {chr(point) for point in range(0x1D434, 0x1D7CA)}  # letters that browsers slant by themselves
    options = subset.Options(flavor="woff", layout_features=["ssty", "dtls"], notdef_outline=True, drop_tables=["DSIG"])
    loaded = TTFont(font)
    reducer = subset.Subsetter(options)
    reducer.populate(unicodes=[ord(c) for c in characters])
    reducer.subset(loaded)
    loaded.flavor, file = "woff", BytesIO()
    loaded.save(file)
    return base64.b64encode(file.getvalue()).decode()
