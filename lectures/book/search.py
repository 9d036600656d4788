"""The index of the search: one entry for every section of a page, found by `search.js` without any server."""

import json
import re
from html import unescape

from .text import Page

_HEADING = re.compile(r"<h([1-3])[^>]*? id='([^']+)'[^>]*>(.*?)</h\1>", re.DOTALL)
_MEMBER = re.compile(r"<div class='member' id='([^']+)'>")


class SearchIndex:
    """Collects the sections of all pages.  add(page, body, title); write(file)"""

    def __init__(self) -> None:
        self.entries: list[list[str]] = []  # title, page, address, text

    def add(self, page: Page, body: str, title: str) -> None:
        """Every heading of the body with the text under it. title: of the page, as results name it."""
        starts = [(m.start(), m.end(), m[2], plain(m[3])) for m in _HEADING.finditer(body)]
        starts += [(m.start(), m.end(), m[1], m[1]) for m in _MEMBER.finditer(body)]
        starts.sort()
        ends = [start for start, *_ in starts[1:]] + [len(body)]
        for (_, begin, anchor, heading), end in zip(starts, ends):
            self.entries.append([heading, plain(title), f"{page.path}#{anchor}", plain(body[begin:end])])

    def script(self) -> str:
        """JavaScript that hands the entries to the page which has asked for them."""
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in self.entries)
        return f"window.bookIndex = [\n{lines}\n];\n"


def plain(html: str) -> str:
    """The text that a reader sees, on one line."""
    html = re.sub(r"<(script|svg|output)\b.*?</\1>", "", html, flags=re.DOTALL)  # of a living figure only the caption
    html = re.sub(r"<span class='kind'>.*?</span>", "", html)  # "class", "function": of an entry of the reference
    text = re.sub(r"<[^>]*>", "", re.sub(r"<(?:br|/?p|/?li|/?td|/?th|/?div|/?dt|/?dd|/?pre)\b[^>]*>", " ", html))
    return " ".join(unescape(text).split())
