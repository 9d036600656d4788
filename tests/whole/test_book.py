"""The book: built from two lectures, every page opened in a headless browser; what stops the build.

$MINISVDD_BOOK names a book that is built already, say of all lectures: then that one is looked at.
"""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import Browser, find_chromium

pytestmark = pytest.mark.slow

for package in ("jupytext", "nbclient", "ipykernel", "latex2mathml", "mdit_py_plugins", "ziamath", "pygments"):
    pytest.importorskip(package, reason="needs the extra `docs`")

LECTURES = Path(__file__).parents[2] / "lectures"
needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="needs Chromium or Chrome")


def build(*arguments):
    """The builder as a process, with the library under test."""
    paths = os.pathsep.join([str(LECTURES), *(p for p in sys.path if p)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, LECTURES / "build_book.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folder of a book."""
    if os.environ.get("MINISVDD_BOOK"):
        return Path(os.environ["MINISVDD_BOOK"]).resolve()
    out = tmp_path_factory.mktemp("book")
    done = build("--quick", "--only", "02", "04", "--jobs", 2, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


class _Document(HTMLParser):
    """Links, pictures and anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors.add(attributes.get("id", ""))
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]


def test_every_link_leads_somewhere(book):
    documents = {path.resolve(): _Document(path) for path in book.rglob("*.html")}
    assert len(documents) > 5
    for path, document in documents.items():
        for link in document.links:
            if link.startswith(("http:", "https:", "data:", "mailto:")):
                continue
            file, _, anchor = unquote(link).partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), f"{path.name}: {link}"
            if target in documents:
                assert anchor in documents[target].anchors, f"{path.name}: {link}"


def test_functions_and_lectures_link_to_each_other(book):
    lecture = (book / "02_backprop.html").read_text(encoding="utf-8")
    source = (book / "source" / "minisvdd.ops.linear.html").read_text(encoding="utf-8")
    for name in ("linear_forward", "linear_backward_weight", "linear_backward_input"):
        assert f"source/minisvdd.ops.linear.html#{name}" in lecture
        line = next(line for line in source.splitlines() if f"id='{name}'" in line)
        assert "02_backprop.html#the-linear-layer" in line
    shown = "<div class='shown'><p><a class='name' href='source/minisvdd.ops.linear.html'>"  # the library's lines
    assert shown in lecture


def test_what_names_mean(monkeypatch):
    monkeypatch.syspath_prepend(LECTURES)
    from book.sources import SourceIndex, source_page

    index = SourceIndex()
    code = "from minisvdd import DeepSVDD, nn, ops\nnn.Sequential([nn.Linear(2)])\nops.bias_forward.on(backend)(y, b)"
    imported = index.imported(code)
    conv2d, convolution = "minisvdd/ops/conv2d/__init__.py", "minisvdd/ops/conv2d/fast.py"
    for name, path, anchor in (
        ("DeepSVDD", "minisvdd/svdd/svdd.py", "DeepSVDD"),
        ("DeepSVDD.fit", "minisvdd/svdd/svdd.py", "DeepSVDD.fit"),
        ("nn.Linear", "minisvdd/nn/layers.py", "Linear"),
        ("Sequential", "minisvdd/nn/networks.py", "Sequential"),  # the code has it as nn.Sequential
        ("ops.bias_forward.on", "minisvdd/ops/linear.py", "bias_forward"),
        ("conv2d_forward", conv2d, "conv2d_forward"),
        ("ops.conv2d_forward(x, w)", conv2d, "conv2d_forward"),
        ("ops.conv2d_forward.plain", conv2d, "conv2d_forward"),
        ('ops.conv2d_forward.reading("fast")', convolution, "conv2d_forward.fast"),
        ("conv2d_backward_input.fast", convolution, "conv2d_backward_input.fast"),
        ("mean_squared_error.launch", "minisvdd/ops/losses.py", "mean_squared_error.launch"),
        ("minisvdd/ops/conv2d", conv2d, ""),
        ("minisvdd.ops.conv2d", conv2d, ""),
        ("minisvdd/ops/conv2d/fast.py", convolution, ""),
    ):
        place = index.find(name, imported)
        assert (place.path, place.anchor) == (path, anchor), name
    for name in ("numbers", "nn.no_such_layer", "ops", "train"):
        assert index.find(name, {}) is None, name
    assert source_page(conv2d) == "source/minisvdd.ops.conv2d.html"
    assert {"nn", "ops", "DeepSVDD", "nn.Linear"} <= set(imported)
    assert "Linear" not in imported  # in code, a name without its module may be the lecture's own


def test_every_definition_has_an_anchor_of_its_own(monkeypatch):
    monkeypatch.syspath_prepend(LECTURES)
    from book.sources import ROOT, Mentions, SourcePage, definitions

    path = "minisvdd/ops/activations.py"
    html = SourcePage(path, Mentions()).html("")
    anchors = [definition.anchor for definition in definitions((ROOT / path).read_text())]
    assert {"leaky_relu_forward", "leaky_relu_forward.fast", "leaky_relu_forward.launch"} <= set(anchors)
    for anchor in anchors:
        assert html.count(f"id='{anchor}'") == 1


# What a reader would see of a formula that was not set: dollars and commands, outside of code.
RAW_LATEX = r"""(() => {
  const copy = document.querySelector("article").cloneNode(true);
  copy.querySelectorAll("pre, code, details, .check").forEach(e => e.remove());
  return copy.textContent.match(/\$[^$\n]{0,60}|\\[a-zA-Z]+.{0,30}/g) || [];
})()"""
EMPTY_FORMULAS = """[...document.querySelectorAll("math")].filter(m => {
  const box = m.getBoundingClientRect();
  return !m.textContent.trim() || box.width < 2 || box.height < 2 || m.querySelector("merror");
}).map(m => m.outerHTML.slice(0, 200))"""
BROKEN_PICTURES = """Promise.all([...document.images].map(i => { i.loading = "eager"; return i.decode().then(() => "",
  () => i.src); })).then(list => list.filter(Boolean))"""
HEIGHT = "document.documentElement.scrollHeight"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@needs_chromium
def test_every_page_in_a_browser(book, tmp_path):
    formulas = pictures = 0
    with Browser(find_chromium(), tmp_path / "profile") as browser:
        for page in sorted(book.rglob("*.html")):
            browser.set_width(1400)
            browser.open(page.as_uri())
            assert browser.evaluate("document.fonts.ready.then(fonts => [...fonts].map(f => f.status))") != ["error"]
            before = browser.evaluate(HEIGHT)
            assert browser.evaluate(BROKEN_PICTURES) == [], page.name
            moved = browser.evaluate(HEIGHT) - before
            rounding = browser.evaluate("document.images.length")  # heights are written in whole pixels
            assert abs(moved) <= rounding, f"{page.name}: its pictures push the text by {moved} pixels when they arrive"
            assert browser.evaluate(RAW_LATEX) == [], page.name
            assert browser.evaluate(EMPTY_FORMULAS) == [], page.name
            for width in (1400, 390):
                browser.set_width(width)
                assert browser.evaluate(TOO_WIDE) <= 0, f"{page.name} is wider than a window of {width} pixels"
            assert browser.problems() == [], page.name
            formulas += browser.evaluate("document.querySelectorAll('math').length")
            pictures += browser.evaluate("document.images.length")
    assert formulas > 100
    assert pictures > 3


@needs_chromium
def test_the_browser_sees_what_is_wrong(tmp_path):
    page = tmp_path / "wrong.html"
    page.write_text(
        "<article>$x$ and \\frac<math></math><img src='none.png'><script>throw new Error('no')</script>"
        "<script src='http://minisvdd.invalid/mathjax.js'></script></article>"
    )
    with Browser(find_chromium(), tmp_path / "profile") as browser:
        browser.open(page.as_uri())
        assert len(browser.evaluate(RAW_LATEX)) == 2
        assert len(browser.evaluate(EMPTY_FORMULAS)) == 1
        assert len(browser.evaluate(BROKEN_PICTURES)) == 1
        problems = "\n".join(browser.problems())
    for text in ("script error", "request to http://minisvdd.invalid", "not loaded"):
        assert text in problems


def test_a_claim_that_fails_stops_the_build(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(LECTURES)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(LECTURES), *(p for p in sys.path if p)]))
    from book.notebooks import BuildError, execute_all

    script = tmp_path / "99_wrong.py"
    code = "# %%\nfrom minisvdd.lecture import check, finish\n\ncheck('one is two', 1 == 2)\n\n# %%\nfinish()\n"
    script.write_text(code)
    with pytest.raises(BuildError, match=r"99_wrong.py fails\nFAIL  one is two"):
        execute_all([script], tmp_path / "out", quick=True, jobs=1, reuse=False)


def test_formulas(monkeypatch):
    monkeypatch.syspath_prepend(LECTURES)
    from book.notebooks import BuildError
    from book.text import mathml

    assert "<mtable" in mathml(r"\begin{aligned} a &= b \\ &= c \end{aligned}", "block")
    assert "<munder>" in mathml(r"\min_{W} J", "block")
    assert "<msup>" not in mathml("f'(x)", "inline")
    assert "\u27e8" in mathml(r"\Big\langle x, y \Big\rangle", "block")
    assert "\U0001d7cf" in mathml(r"\mathbf{1}", "inline")
    for wrong in (r"\nosuchcommand{x}", r"a & b", r"\frac{1}{"):
        with pytest.raises(BuildError, match="cannot set"):
            mathml(wrong, "inline")


def test_every_formula_of_every_lecture_can_be_set(monkeypatch):
    monkeypatch.syspath_prepend(LECTURES)
    import jupytext
    from book.sources import Mentions, SourceIndex
    from book.text import Page, TextRenderer

    renderer = TextRenderer(SourceIndex(), Mentions())
    formulas = 0
    for script in [*LECTURES.glob("[0-9]*.py"), *LECTURES.glob("solutions/[0-9]*.py")]:
        for cell in jupytext.read(script, fmt="py:percent").cells:
            if cell.cell_type == "markdown":
                formulas += renderer.render(cell.source, Page("page.html", script.name)).count("<math")
    assert formulas > 300


def test_unknown_lectures_and_bad_options(tmp_path):
    done = build("--only", "77", "--out", tmp_path)
    assert done.returncode == 1
    assert "--only 77" in done.stderr
    assert build("--only", "two", "--out", tmp_path).returncode == 2
