"""A page of HTML that needs nothing but itself: no network, no script; what comes from data is only ever text."""

import html
from collections.abc import Iterable, Sequence

_CSS = """
:root { color-scheme: light; --ink: #1f2933; --soft: #616e7c; --line: #e4e7eb; --panel: #f5f7fa; --normal: #2b6cb0;
  --bad: #c53030; --good: #2f855a;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); font: 1rem/1.55 var(--sans); overflow-wrap: break-word; }
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1, h2, h3 { line-height: 1.2; letter-spacing: -.01em; }
h1 { font-size: 2.1rem; margin: .1rem 0 .35rem; }
h2 { font-size: 1.35rem; margin: 3rem 0 .5rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
h2 small { font-weight: 400; color: var(--soft); font-size: 1rem; margin-left: .4em; }
p { margin: .4rem 0 1rem; max-width: 46rem; }
.eyebrow { margin: 0; font-size: .78rem; font-weight: 600; letter-spacing: .09em; text-transform: uppercase;
  color: var(--soft); }
.lead { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(12.5rem, 1fr)); gap: .9rem; margin: 1.6rem 0; }
.tile { background: var(--panel); border-radius: 10px; padding: .9rem 1.1rem; }
.tile b { display: block; font-size: 1.8rem; line-height: 1.25; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: .85rem; font-weight: 600; color: var(--soft); }
.tile i { display: block; font-style: normal; font-size: .85rem; color: var(--soft); }
.warning { border-left: 4px solid var(--bad); background: #fdf0ef; padding: .7rem 1rem; border-radius: 0 8px 8px 0;
  margin: 0 0 .8rem; max-width: none; }
.note { border-left: 4px solid #cbd2d9; background: var(--panel); padding: .7rem 1rem; border-radius: 0 8px 8px 0;
  margin: 0 0 .8rem; max-width: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); gap: 1.4rem;
  margin: 1rem 0; }
.charts figure { margin: 0; max-width: 30rem; }
.charts img { width: 100%; height: auto; display: block; }
figcaption { font-size: .85rem; color: var(--soft); }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(14.5rem, 100%), 1fr)); gap: 1rem;
  margin: 1rem 0; padding: 0; }
.samples figure { margin: 0; border: 1px solid var(--line); border-radius: 10px; padding: .6rem; min-width: 0;
  break-inside: avoid; }
.samples .pair { display: grid; grid-template-columns: 1fr 1fr; gap: .4rem; }
.samples img { width: 100%; height: auto; display: block; border-radius: 4px; background: var(--panel); }
.samples img.small { image-rendering: pixelated; }
.samples figcaption { margin-top: .5rem; line-height: 1.4; }
.samples strong { display: block; color: var(--ink); font-weight: 600; }
.kind { font-weight: 600; }
.kind.normal { color: var(--normal); } .kind.anomalous { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; margin: .6rem 0 1rem; }
th, td { text-align: left; padding: .38rem 1.1rem .38rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; font-size: .85rem; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.wide { min-width: 19rem; }
.whole { white-space: nowrap; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(21rem, 100%), 1fr)); gap: 0 2.5rem; }
.columns table { width: 100%; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .85rem; }
@media (max-width: 40rem) { main { padding-top: 1.5rem; } h1 { font-size: 1.6rem;
  } .samples { grid-template-columns: 1fr 1fr; }
  .samples .pair { gap: .25rem; } .samples figure { padding: .4rem; } }
@media print { main { max-width: none; padding: 0; } h2 { break-after: avoid; } }
"""
# The browser itself refuses whatever would leave the page, even if something had come through `text`.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, body: Iterable[str]) -> str:
    """The whole file.  title: plain text.   body: HTML."""
    head = (
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<title>{text(title)}</title>\n'
        f"<style>{_CSS}</style>"
    )
    content = "\n".join(body)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n'
        f"<body>\n<main>\n{content}\n</main>\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Anything as text of a page or of an attribute in double quotes; what cannot be seen becomes U+FFFD.

    >>> text('<b>"a" & b\\x00')
    '&lt;b&gt;&quot;a&quot; &amp; b\ufffd'
    """
    return html.escape("".join(c if c.isprintable() else "\ufffd" for c in str(value)))


def section(title: str, *body: str, count: int | None = None) -> str:
    """A heading, with a number beside it, and what is under it."""
    beside = "" if count is None else f" <small>{count}</small>"
    return "\n".join([f"<section>\n<h2>{text(title)}{beside}</h2>", *body, "</section>"])


def paragraph(words: str, kind: str = "") -> str:
    """A sentence or two; kind: "lead", "note" or "warning"."""
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def tile(label: str, number: str, below: str) -> str:
    """A number that is seen first, what it is, and what to know of it."""
    return f'<div class="tile"><span>{text(label)}</span><b>{text(number)}</b><i>{text(below)}</i></div>'


def chart(uri: str, description: str, caption: str = "") -> str:
    """A figure; description: what it shows, for who cannot see it."""
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="{uri}" alt="{text(description)}">{below}</figure>'


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[int] = (), wide: int | None = None
) -> str:
    """Rows of plain values under their headings, sideways to scroll where there is no room.

    numbers: the columns that are set to the right.   wide: the column of long texts, which is not made narrow.
    """
    kinds = {**dict.fromkeys(numbers, "number"), wide: "wide"}

    def line(tag, cells):
        found = [f'<{tag} class="{kinds.get(k, "")}">{text(cell)}</{tag}>' for k, cell in enumerate(cells)]
        return f"<tr>{''.join(found)}</tr>".replace(' class=""', "")

    head = line("th", headings) if headings else ""
    return "\n".join(['<div class="scroll"><table>', head, *(line("td", row) for row in rows), "</table></div>"])
