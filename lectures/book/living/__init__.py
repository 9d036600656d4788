"""Figures that a reader moves by hand: a picture drawn here, and a few lines of script that redraw it.

    *In the book a figure to move stands here: ....* <!-- living: window -->

Such a line in a lecture's text becomes the figure; a notebook shows the sentence. Each module has `figure()`, which
draws the frame that stands there without script, and hands the numbers to the script of the same name: its
`draw(value)` paints the frame of a slider's value and returns what that frame says. `slider.js` does the rest for all.
"""

import importlib
import json
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from ..notebooks import BuildError

_HERE = Path(__file__).parent
_MARK = re.compile(r"<p><em>[^<]*</em>\s*<!-- living: (\w+) --></p>")
NAMES = ("sphere", "nu", "window", "tile")


@dataclass(frozen=True)
class Living:
    """What one figure consists of.

    svg: inside of the <svg>, the frame of `start`.   size: of its view box.   data: what the script redraws it from.
    label: of the slider, which goes from `low` to `high`.   says: of the first frame.   about: the caption.
    """

    svg: str
    size: tuple[int, int]
    data: object
    label: str
    low: int
    high: int
    start: int
    says: str
    about: str


def with_figures(html: str) -> str:
    """The text with its marks replaced by figures. BuildError for a mark that names none."""
    return _MARK.sub(lambda mark: figure(mark[1]), html)


@cache
def figure(name: str) -> str:
    """The HTML of a figure: complete, nothing of it comes from elsewhere."""
    if name not in NAMES:
        raise BuildError(f"<!-- living: {name} -->: there are {', '.join(NAMES)}")
    living = importlib.import_module(f"{__name__}.{name}").figure()
    script = "\n".join((_HERE / f"{file}.js").read_text(encoding="utf-8") for file in (name, "slider"))
    width, height = living.size
    return (
        f"<figure class='living' id='living-{name}'>"
        f"<svg viewBox='0 0 {width} {height}' style='max-width:{width / 12:.0f}em' role='img' "
        f"aria-label='{escape(living.about, quote=True)}'>{living.svg}</svg>"
        f"<div class='controls' hidden><label>{living.label} <input type='range' min='{living.low}' "
        f"max='{living.high}' value='{living.start}'></label><button type='button'>Play</button></div>"
        f"<output>{living.says}</output><figcaption>{living.about}</figcaption>"
        f"<script>(() => {{\nconst figure = document.currentScript.closest('figure');\n"
        f"const data = {json.dumps(living.data, separators=(',', ':'))};\n{script}}})();</script></figure>"
    )


def grid(values, x: int, y: int, cell: int, color) -> str:
    """Squares with a number in each. color: (value) -> (CSS colour, opacity)."""
    parts = []
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            fill, opacity = color(value)
            left, top = x + j * cell, y + i * cell
            parts.append(
                f"<g class='cell'><rect x='{left}' y='{top}' width='{cell}' height='{cell}' "
                f"style='fill:{fill};fill-opacity:{opacity:.2f}'/>"
                f"<text x='{left + cell / 2}' y='{top + 0.66 * cell:.1f}'>{value}</text></g>"
            )
    return "".join(parts)
