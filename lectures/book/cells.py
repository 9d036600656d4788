"""Code cells and their outputs to HTML."""

import base64
import re
from html import escape
from pathlib import Path

from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from .living import with_figures
from .text import Page, TextRenderer

_VERDICT = re.compile(r"^(PASS|FAIL)  (.*?)(?:  \((.*)\))?$")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_NAME = re.compile(  # in highlighted code, with all that stands before it: `ops.conv2d_forward`
    r'(?:<span class="n">\w+</span><span class="o">\.</span>)*<span class="(n|nf|nc|nn)">[\w.]+</span>'
)


class CellRenderer:
    """Turns the cells of one notebook into HTML, and writes its pictures into `folder`/figures."""

    def __init__(self, text: TextRenderer, folder: Path):
        self.text, self.folder = text, folder

    def render(self, notebook, page: Page, name: str) -> str:
        """The body of a page. name: begins the names of its pictures."""
        parts, pictures, is_first = [], 0, True
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                parts.append(with_figures(self.text.render(cell.source, page)))
                continue
            if cell.source.strip() not in ("", "finish()"):
                parts.append(self._folded(cell.source, page, is_first))
                is_first = False
            for output in cell.get("outputs", []):
                html, pictures = self._output(output, page, name, pictures)
                parts.append(html)
        return "\n".join(parts)

    def _folded(self, source, page, is_first):
        """A cell's code; what is not to be read at first, imports and the drawing of pictures, behind a click."""
        code = self._code(source, page, is_mention=not is_first)
        is_drawing = "figure(" in source and not re.search(r"^\s*def |\bcheck\(", source, re.MULTILINE)
        if not is_first and not is_drawing:
            return code
        name = "Imports" if is_first else "Code of the picture"
        return f"<details class='fold'><summary>{name}</summary>{code}</details>"

    def _code(self, source, page, is_mention):
        source = re.sub(r"\n{3,}", "\n\n", source)
        html = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True))
        html = _NAME.sub(lambda m: self._code_name(m, page, is_mention), html)
        return f"<pre class='code'>{html}</pre>"

    def _code_name(self, match, page, is_mention):
        """In code only imported names, members of imported modules, and modules are sure to be the library's."""
        name = re.sub("<[^>]*>", "", match[0])
        known = name in page.imported and ("." in name or page.imported[name].anchor)
        if not known and not (match[1] == "nn" and name.startswith("minisvdd.")):
            return match[0]
        return self.text.name(name, match[0], page, is_mention)

    def _output(self, output, page, name, pictures):
        """(HTML, number of pictures so far) of one output."""
        if output.output_type == "stream":
            return (_stream(_ANSI.sub("", output.text)) if output.name == "stdout" else ""), pictures
        data = output.get("data", {})
        for kind in ("image/png", "image/gif"):
            if kind in data:
                pictures += 1
                file = f"figures/{name}-{pictures}.{kind[6:]}"
                (self.folder / file).parent.mkdir(exist_ok=True)
                (self.folder / file).write_bytes(base64.b64decode(data[kind]))
                about = output.metadata.get(kind, {}) | output.metadata
                alt = escape(str(about.get("alt", "figure")), quote=True)
                size = _size_in_page(self.folder / file, about.get("width"))
                return f"<figure><img src='{page.prefix}{file}' alt='{alt}' {size} loading='lazy'></figure>", pictures
        if "text/markdown" in data:  # what `show` gives
            return f"<div class='shown'>{self.text.render(data['text/markdown'], page)}</div>", pictures
        if "text/html" in data:
            return f"<div class='wide'>{data['text/html']}</div>", pictures
        # The value of a cell's last line: mostly the True of a `check`, which has printed its line already.
        value = data.get("text/plain", "")
        return ("" if value in ("", "True") else f"<pre class='output'>{escape(value)}</pre>"), pictures


def _size_in_page(path, width):
    """Attributes of <img>: with both, the page keeps the place of a picture not loaded yet, and nothing jumps."""
    with Image.open(path) as picture:
        across, down = picture.size
    width = width or across
    return f"width='{width}' height='{round(width * down / across)}'"


def _claim(text):
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _check(verdict):
    sign = "&#10003;" if verdict[1] == "PASS" else "&#10007;"
    detail = f" <span class='detail'>{escape(verdict[3])}</span>" if verdict[3] else ""
    return (
        f"<div class='check {verdict[1].lower()}'><b aria-label='{verdict[1]}'>{sign}</b>"
        f"<span>{_claim(verdict[2])}{detail}</span></div>"
    )


def verdicts(text: str) -> list[str]:
    """HTML of the claims among printed lines."""
    return [_check(verdict) for line in text.split("\n") if (verdict := _VERDICT.match(line))]


def _stream(text):
    """Printed lines; verdicts of `check` as a list of claims, the tally of `finish` as a line of its own."""
    parts, plain = [], []
    for line in [*text.rstrip("\n").split("\n"), None]:
        verdict = _VERDICT.match(line or "")
        tally = re.fullmatch(r"[\w-]+: (\d+ checks, all passed)", line or "")
        if (verdict or tally or line is None) and plain:
            parts.append(f"<pre class='output'>{escape(chr(10).join(plain))}</pre>")
            plain = []
        if verdict:
            parts.append(_check(verdict))
        elif tally:
            parts.append(f"<p class='tally'>{tally[1]}</p>")
        elif line is not None:
            plain.append(line)
    return "".join(parts)
