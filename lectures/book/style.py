"""The style sheet of pages and slides, and the font of their formulas."""

from pathlib import Path

import ziamath
from pygments.formatters import HtmlFormatter

FONT = Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"  # SIL Open Font License


def style() -> str:
    """CSS, light and dark."""
    light = HtmlFormatter(style="friendly").get_style_defs("pre.code")
    dark = HtmlFormatter(style="github-dark").get_style_defs("pre.code")
    keep = "pre.code { background: var(--panel); color: var(--ink); }"
    css = (Path(__file__).parent / "book.css").read_text(encoding="utf-8")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{css}\n{keep}\n"
