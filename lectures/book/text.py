"""Markdown with LaTeX formulas to HTML with MathML; names in backticks become links to the source."""

import re
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_by_name
from pygments.util import ClassNotFound

from .mathml import as_tex_would
from .notebooks import BuildError
from .sources import Mentions, Place, SourceIndex

# A full stop must not begin the line after its formula.
_WITH_STOP = re.compile(r"(<math(?:(?!</math>).)*</math>)([.,;:!?)\]”’]+)", re.DOTALL)


@dataclass
class Page:
    """What rendering needs to know of a page, and what it finds out.

    path: inside the book, `02_backprop.html`.   title: as mentioned elsewhere, "Lecture 2".
    imported: names of the library that its code imports.   headings: (level, anchor, HTML) in order.
    is_mention: whether the source of what it names links back to it.
    """

    path: str
    title: str
    imported: dict[str, Place] = field(default_factory=dict)
    headings: list = field(default_factory=list)
    section: str = ""
    is_mention: bool = True

    @property
    def prefix(self) -> str:
        """The way up to the book's first page."""
        return "../" * self.path.count("/")


class TextRenderer:
    """Turns text cells into HTML and records which source they mention. link: href -> href for links of the text."""

    def __init__(self, index: SourceIndex, mentions: Mentions, link=None):
        self.index, self.mentions = index, mentions
        self.link = link or (lambda href, page: href)
        self.markdown = MarkdownIt("commonmark", {"typographer": True}).enable(["table", "smartquotes"])
        self.markdown.use(dollarmath_plugin, allow_labels=False, double_inline=True)
        for name in (
            "math_inline",
            "math_inline_double",
            "math_block",
            "code_inline",
            "heading_open",
            "link_open",
            "fence",
        ):
            self.markdown.add_render_rule(name, self._rule(getattr(self, f"_{name}")))
        self.markdown.add_render_rule("table_open", lambda *_: "<div class='wide'><table>")
        self.markdown.add_render_rule("table_close", lambda *_: "</table></div>")

    def render(self, text: str, page: Page) -> str:
        """HTML of one cell or document; its headings join `page.headings`."""
        env = {"page": page}
        tokens = self.markdown.parse(text, env)
        for token, inside in pairwise(tokens):
            if token.type == "heading_open":
                anchor = _anchor(inside.content, {a for _, a, _ in page.headings})
                token.attrSet("id", anchor)
                html = self.markdown.renderer.render([inside], self.markdown.options, env)
                page.headings.append((int(token.tag[1]), anchor, re.sub(r"</?a\b[^>]*>", "", html)))
        html = self.markdown.renderer.render(tokens, self.markdown.options, env)
        return keep_stops(html)

    def name(self, text: str, html: str, page: Page, is_mention: bool = True) -> str:
        """The name as a link to its source, if it is one of the library's. is_mention: the source links back here."""
        place = self.index.find(text, page.imported)
        if place is None:
            return html
        if is_mention and page.is_mention:
            self.mentions.add(place, page.path, page.section, page.title)
        else:
            self.mentions.need(place)
        anchor = f"#{place.anchor}" if place.anchor else ""
        return f"<a class='name' href='{page.prefix}{place.page}{anchor}'>{html}</a>"

    def _rule(self, method):
        return lambda _renderer, tokens, i, options, env: method(tokens[i], env["page"])

    def _math_inline(self, token, page):
        return mathml(token.content, "inline")

    def _math_inline_double(self, token, page):
        return f"<span class='formula'>{mathml(token.content, 'block')}</span>"

    def _math_block(self, token, page):
        tag = re.search(r"\\tag{([^{}]*)}", token.content)
        number = f"<span class='number'>({escape(tag[1])})</span>" if tag else ""
        formula = mathml(token.content.replace(tag[0], "") if tag else token.content, "block")
        return f"<div class='formula'>{formula}{number}</div>\n"

    def _code_inline(self, token, page):
        return self.name(token.content, code(token.content), page)

    def _heading_open(self, token, page):
        page.section = token.attrGet("id")
        return f"<{token.tag} id='{page.section}'>"

    def _link_open(self, token, page):
        href = self.link(token.attrGet("href"), page)
        return f"<a href='{escape(href, quote=True)}'>" if href else "<a>"  # without a target it is plain text

    def _fence(self, token, page):
        try:
            lexer = get_lexer_by_name(token.info.strip())
        except ClassNotFound:
            lexer = TextLexer()
        return f"<pre class='code'>{highlight(token.content, lexer, HtmlFormatter(nowrap=True))}</pre>"


def keep_stops(html: str) -> str:
    """Formulas in one piece with the signs behind them."""
    return _WITH_STOP.sub(r"<span class='whole'>\1\2</span>", html)


def code(text: str) -> str:
    """Inline code; a single word stays in one piece in a narrow column of a table."""
    kind = "" if " " in text else " class='word'"
    return f"<code{kind}>{escape(text)}</code>"


def mathml(latex: str, display: str) -> str:
    """A formula as MathML. BuildError, naming it, when it holds a command that is not understood."""
    latex = latex.strip()
    known = re.sub(r"(\\(?:begin|end)){(?:aligned|gathered)}", r"\1{split}", latex)  # the same inside one formula
    try:
        html = as_tex_would(convert(known, display=display))
    except Exception as error:
        raise BuildError(f"cannot set the formula ${latex}$: {type(error).__name__} {error}") from error
    left = re.findall(r"\\[A-Za-z]+", re.sub(r"<[^>]*>", " ", html))
    if left:
        raise BuildError(f"cannot set {', '.join(left)} in the formula ${latex}$")
    return html


def _anchor(text, taken):
    """A readable, unique id: words joined by dashes."""
    anchor = "-".join(re.findall(r"[a-z0-9]+", re.sub(r"\$[^$]*\$", "", text).lower())) or "section"
    return anchor if anchor not in taken else f"{anchor}-{sum(a.startswith(anchor) for a in taken) + 1}"
