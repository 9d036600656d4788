"""The frame around every page: contents, page turns, the first page."""

import re
from dataclasses import dataclass
from html import escape

from .text import Page

TITLE = "Deep one-class classification"
SUBTITLE = "from first principles"
_SEARCH = (
    "<form class='search' role='search' hidden><input type='search' placeholder='Search ( / )' "
    "aria-label='Search the book' autocomplete='off' spellcheck='false'><ol hidden></ol></form>"
)
_DOORS = (
    ("docs/start.html", "Start here", "Install, run the first command, and see where to go from there."),
    ("01_idea.html", "Read", "The lectures, from the idea to the decision: formula, code, check."),
    ("reference/minisvdd.html", "Look up", "Every class, function and operation, and every command."),
)


@dataclass
class Entry:
    """A page of the contents. number: of a lecture, else "".   summary: HTML of what the page is about."""

    page: Page
    title: str
    number: str = ""
    summary: str = ""


def split_title(page: Page) -> tuple[str, str]:
    """("2", "Backpropagation by hand") from the first heading."""
    html = next((html for level, _, html in page.headings if level == 1), page.path)
    number = re.match(r"(\d+)\. (.*)", html, re.DOTALL)
    return (number[1], number[2]) if number else ("", html)


def lecture_head(body: str) -> tuple[str, str]:
    """(body with the first heading and the line of needs set apart, summary: the paragraph with the question)."""
    body = re.sub(r"(<h1[^>]*>)(\d+)\. ", r"<p class='eyebrow'>Lecture \2</p>\1", body, count=1)
    facts = re.search(r"<p><em>Needs: (.*?)\. Minutes: ([\d.]+) quick, ([\d.]+) full\.</em></p>", body, re.DOTALL)
    if facts:
        needs, quick, full = facts.groups()
        line = f"<span><b>Needs</b> {needs}</span><span><b>Minutes</b> {full}, quick {quick}</span>"
        body = body.replace(facts[0], f"<p class='facts'>{line}</p>", 1)
    return body, _summary(re.findall(r"<p>(.*?)</p>", body.partition("<h2")[0], re.DOTALL))


def _summary(paragraphs):
    """The paragraph that says what "the question" is, if one does, without links; else the first."""
    text = (paragraphs or [""])[0]
    for later in paragraphs:
        if question := re.search(r"<strong>the question", later, re.IGNORECASE):
            sentence = later.rfind(". ", 0, question.start())
            text = later if later is text else later[sentence + 2 if sentence >= 0 else 0 :]
            break
    return re.sub(r":\s*$", ".", re.sub(r"</?a\b[^>]*>", "", text))


def render_page(page: Page, body: str, parts: dict[str, list[Entry]], *, wide: bool = False, foot: str = "") -> str:
    """A whole HTML document. parts: the contents, entries by the name of their part. foot: under the article."""
    _, title = split_title(page)
    plain = re.sub(r"<[^>]*>", "", title)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(plain, quote=False)} &middot; minisvdd</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{page.prefix}static/book.css">
</head>
<body>
<div class="frame">
<nav class="contents" aria-label="Contents">{_contents(page, parts)}</nav>
<main{' class="wide"' if wide else ""}><article>
{body}
{_turn(page, parts)}{foot}
</article></main>
</div>
<script src="{page.prefix}static/search.js" data-root="{page.prefix}"></script>
</body>
</html>
"""


def first_page(parts: dict[str, list[Entry]]) -> str:
    """The body of index.html: what the book is, and its contents with the question of each lecture."""
    sections, there = [], {entry.page.path for entries in parts.values() for entry in entries}
    doors = "".join(
        f"<a href='{href}'><b>{name}</b><span>{what}</span></a>" for href, name, what in _DOORS if href in there
    )
    for name, entries in parts.items():
        if all(entry.page.path == _DOORS[0][0] for entry in entries):
            continue  # it has a door
        heading = f"<p class='part-name'>{escape(name)}</p>"
        items = "".join(
            f"<li><span class='n'>{entry.number or '&middot;'}</span><div><h2><a href='{entry.page.path}'>{entry.title}"
            f"</a></h2><p>{entry.summary}</p></div></li>"
            for entry in entries
        )
        sections.append(f"{heading}<ol class='chapters'>{items}</ol>")
    return f"""<p class="eyebrow">minisvdd</p>
<h1>{TITLE} {SUBTITLE}</h1>
<p class="lead">Every layer's gradient is derived, written in a few lines of NumPy, and checked before your eyes; every
claim of the paper that started it is seen happening. Nothing is hidden behind an automatic derivative.</p>
<p>Each page is a script that was run to make it: the pictures and the numbers are what its code gave, and the green
lines are claims that were checked on the way. Underlined names lead to the library's source, which leads back.</p>
<div class="doors">{doors}</div>
{"".join(sections)}"""


def _contents(page, parts):
    groups = []
    for name, entries in parts.items():
        items = "".join(_contents_item(entry, page) for entry in entries)
        groups.append(f"<div class='part'>{escape(name)}</div><ol>{items}</ol>")
    here = re.sub(r"<[^>]*>", "", split_title(page)[1])
    return (
        f"<a class='book' href='{page.prefix}index.html'><span>{TITLE}<small>{SUBTITLE}</small></span></a>{_SEARCH}"
        f"<details class='menu'><summary>{escape(here, quote=False)}</summary><div class='inside'>"
        f"{''.join(groups)}</div></details>"
    )


def _contents_item(entry, page):
    link = (
        f"<a href='{page.prefix}{entry.page.path}'><span class='n'>{entry.number}</span><span>{entry.title}</span></a>"
    )
    if entry.page is not page:
        return f"<li>{link}</li>"
    sections = "".join(
        f"<li><a href='#{anchor}'>{html}</a></li>" for level, anchor, html in page.headings if level == 2
    )
    return f"<li class='here'>{link}<ol class='sections'>{sections}</ol></li>"


def _turn(page, parts):
    order = [entry for entries in parts.values() for entry in entries]
    position = next((i for i, entry in enumerate(order) if entry.page is page), None)
    if position is None:
        return ""
    links = ""
    if position > 0:
        before = order[position - 1]
        links += f"<a rel='prev' href='{page.prefix}{before.page.path}'><small>&larr; before</small>{before.title}</a>"
    if position + 1 < len(order):
        after = order[position + 1]
        href = f"{page.prefix}{after.page.path}"
        links += f"<a class='next' rel='next' href='{href}'><small>next &rarr;</small>{after.title}</a>"
    return f"<div class='turn'>{links}</div>"
