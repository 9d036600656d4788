"""The book and the slides: built from two lectures, every page opened in a headless browser; what stops the build;
the figures that readers move.

$MINISVDD_BOOK names a book that is built already, say of all lectures: then that one is looked at.
"""

import base64
import os
import re
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


def build(*arguments, script="build_book.py"):
    """A builder as a process, with the library under test."""
    paths = os.pathsep.join([str(LECTURES), *(p for p in sys.path if p)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, LECTURES / script, *map(str, arguments)]
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


def test_the_reference_has_every_public_name_once(book, monkeypatch):
    monkeypatch.syspath_prepend(LECTURES)
    from book.reference import packages, public_names

    assert packages()[:3] == ["minisvdd", "minisvdd.svdd", "minisvdd.rivals"]
    assert {"minisvdd.ops", "minisvdd.gradcheck", "minisvdd.data", "minisvdd.files"} < set(packages())
    pages = {package: (book / "reference" / f"{package}.html").read_text(encoding="utf-8") for package in packages()}
    for package, html in pages.items():
        for name in public_names(package):
            assert re.search(rf"<td><a href='(\.\./reference/[\w.]+)?#{name}'>", html), f"{package}: {name}"
    everything = "".join(pages.values())
    for name in ("DeepSVDD", "Detector", "load_dataset", "Conv2D", "conv2d_forward", "check_gradients"):
        assert len(re.findall(rf"<h2 id='{name}'", everything)) == 1
    assert "<h2 id='minisvdd-train'" in (book / "reference" / "commands.html").read_text(encoding="utf-8")


def test_the_reference_and_the_sources_link_to_each_other(book):
    operations = (book / "reference" / "minisvdd.ops.html").read_text(encoding="utf-8")
    source = (book / "source" / "minisvdd.ops.linear.html").read_text(encoding="utf-8")
    for link in ("source/minisvdd.ops.linear.html#linear_forward", "02_backprop.html#the-linear-layer"):
        assert f"<a href='../{link}'>" in operations
    assert "<a href='../reference/minisvdd.ops.html#linear_forward'>reference</a>" in source


def sample(x, window, *, size: "int | None" = None):
    """Twice x, see `Linear`: (N,).

    x: (N,) samples.   window: (h, w), at most
        as large as x.

        y = 2 x

    Parameters
    ----------
    size : int, default=None
        How many < 5.

    Raises
    ------
    ValueError
        For nothing.

    Examples
    --------
    >>> 1 + 1
    2
    """


def test_a_docstring_becomes_a_page(monkeypatch):
    monkeypatch.syspath_prepend(LECTURES)
    import inspect

    from book.reference import Reference
    from book.sources import Mentions, SourceIndex
    from book.text import Page, TextRenderer

    index, mentions = SourceIndex(), Mentions()
    reference = Reference(TextRenderer(index, mentions), index, mentions)
    page = Page("reference/x.html", "x", is_mention=False)
    html = reference.doc(inspect.getdoc(sample), page, ("x", "window", "size"))
    link = "<a class='name' href='../source/minisvdd.nn.layers.html#Linear'><code class='word'>Linear</code></a>"
    assert f"<p>Twice x, see {link}: (N,).</p>" in html
    assert "<dt><code>x</code></dt><dd><p>(N,) samples.</p></dd>" in html
    assert "<dt><code>window</code></dt><dd><p>(h, w), at most as large as x.</p></dd>" in html
    assert "<pre class='plain'>y = 2 x</pre>" in html
    assert (
        "<dt><code>size</code><span class='type'>int, default=None</span></dt><dd><p>How many &lt; 5.</p></dd>" in html
    )
    assert "<p class='section'>Raises</p><dl class='arguments'><dt><code>ValueError</code></dt>" in html
    assert "<p class='section'>Examples</p><pre class='code'>" in html
    assert (
        re.sub("<[^>]*>", "", reference._signature("sample", sample)) == "sample(x, window, *, size: int | None = None)"
    )


def test_the_index_of_the_search_has_a_line_for_each_section(monkeypatch):
    monkeypatch.syspath_prepend(LECTURES)
    from book.search import SearchIndex
    from book.text import Page

    index = SearchIndex()
    body = "<h1 id='top'>One</h1><p>a &lt; b</p><h2 id='x'>Two <code>y</code></h2>c<div class='member' id='A.f'>d</div>"
    index.add(Page("p.html", "P"), body, "Lecture 1: One")
    assert index.entries == [
        ["One", "Lecture 1: One", "p.html#top", "a < b"],
        ["Two y", "Lecture 1: One", "p.html#x", "c"],
        ["A.f", "Lecture 1: One", "p.html#A.f", "d"],
    ]
    assert index.script().startswith('window.bookIndex = [\n["One", ')


# What a reader would see of a formula that was not set: dollars and commands, outside of code.
RAW_LATEX = r"""(() => {
  const copy = document.querySelector("article").cloneNode(true);
  copy.querySelectorAll("pre, code, details, .check, dl").forEach(e => e.remove());
  return copy.textContent.match(/\$[^$\n]{0,60}|\\[a-zA-Z]+.{0,30}/g) || [];
})()"""
EMPTY_FORMULAS = """[...document.querySelectorAll("math")].filter(m => {
  const box = m.getBoundingClientRect();
  return !m.textContent.trim() || box.width < 2 || box.height < 2 || m.querySelector("merror");
}).map(m => m.outerHTML.slice(0, 200))"""
BROKEN_PICTURES = """Promise.all([...document.images].map(i => { i.loading = "eager"; return i.decode().then(() => "",
  () => i.src); })).then(list => list.filter(Boolean))"""
HEIGHT = "document.documentElement.scrollHeight"
# Boxes of code that scroll sideways, also those behind a click; names of files in tables that are broken in two.
SCROLLING = """[...document.querySelectorAll("details")].forEach(d => d.open = true),
  [...document.querySelectorAll("pre")].filter(p => p.scrollWidth > p.clientWidth).map(p => p.textContent)"""
BROKEN_NAMES = """[...document.querySelectorAll("td code")].filter(
  c => !c.textContent.includes(" ") && c.getClientRects().length > 1).map(c => c.textContent)"""
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@needs_chromium
def test_every_page_in_a_browser(book, tmp_path):
    formulas = pictures = 0
    others = {*book.glob("source/*"), *book.glob("slides/*")}
    pages, sources = sorted(set(book.rglob("*.html")) - others), sorted(book.glob("source/*"))
    pages += sources if os.environ.get("MINISVDD_BOOK") else sources[::32]  # which are all made in one way
    with Browser(find_chromium(), tmp_path / "profile") as browser:
        for page in pages:
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
            for width in (1400, 1280, 390):
                browser.set_width(width)
                if width >= 1280:
                    assert browser.evaluate(SCROLLING) == [], f"{page.name}, {width}: code that must be scrolled"
                assert browser.evaluate(BROKEN_NAMES) == [], f"{page.name}, {width}"
                assert browser.evaluate(TOO_WIDE) <= 0, f"{page.name} is wider than a window of {width} pixels"
            assert browser.problems() == [], page.name
            formulas += browser.evaluate("document.querySelectorAll('math').length")
            pictures += browser.evaluate("document.images.length")
    assert formulas > 100
    assert pictures > 3


# Figures that readers move

WORDS = "[...document.querySelectorAll('.living output')].map(o => o.textContent)"
# What a figure shows: every attribute of every part.
FRAMES = r"""[...document.querySelectorAll(".living svg")].map(svg => [...svg.querySelectorAll("*")].map(part =>
  [...part.attributes].map(a => a.value).join(" ")).join("\n"))"""
NUMBER = r"-?\d+(?:\.\d+)?(?:e-\d+)?"
TURN = """[...document.querySelectorAll('.living input')].map(slider => {
  const seen = new Set(), said = slider.closest('figure').querySelector('output');
  for (let value = Number(slider.min); value <= Number(slider.max); value++) {
    slider.value = value; slider.dispatchEvent(new Event('input'));
    if (/NaN|undefined/.test(slider.closest('figure').querySelector('svg').outerHTML + said.textContent)) seen.add('!');
    seen.add(said.textContent);
  }
  return [seen.size, slider.max - slider.min + 1, seen.has('!')];
})"""


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """A page with all living figures and nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(LECTURES)
        from book.living import NAMES, figure
        from book.style import style

        pieces = {name: figure(name) for name in NAMES}
    for name, html in pieces.items():
        assert len(html) < 50_000, name
    page = tmp_path_factory.mktemp("figures") / "figures.html"
    head = "<!DOCTYPE html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
    css = re.sub(r"@font-face \{.*?\}", "", style())
    body = "".join(pieces.values())
    page.write_text(f"{head}<style>{css}</style><main><article>{body}</article></main></html>", encoding="utf-8")
    return page


@needs_chromium
def test_figures_stand_there_without_script(figures, tmp_path):
    """And their script begins with the same frame and the same words."""
    with Browser(find_chromium(), tmp_path / "profile") as browser:
        browser.call("Emulation.setScriptExecutionDisabled", value=True)
        browser.open(figures.as_uri())
        words, frames = browser.evaluate(WORDS), browser.evaluate(FRAMES)
        assert browser.evaluate("[...document.querySelectorAll('.controls')].every(c => !c.checkVisibility())")
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
        browser.open(figures.as_uri())
        assert browser.evaluate("[...document.querySelectorAll('.controls')].every(c => c.checkVisibility())")
        assert browser.evaluate(WORDS) == words
        for one, other in zip(frames, browser.evaluate(FRAMES), strict=True):
            words, numbers = zip(
                *((re.sub(NUMBER, "#", f), [float(n) for n in re.findall(NUMBER, f)]) for f in (one, other))
            )
            assert words[0] == words[1]
            assert numbers[0] == pytest.approx(numbers[1], abs=0.06)  # written with one decimal place
        assert browser.problems() == []


@needs_chromium
def test_figures_are_moved_by_hand_and_by_keys(figures, tmp_path):
    with Browser(find_chromium(), tmp_path / "profile") as browser:
        still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        for width in (1280, 390):
            browser.set_width(width)
            browser.open(figures.as_uri())
            assert browser.evaluate(TOO_WIDE) <= 0
            assert browser.evaluate("[...document.querySelectorAll('.living button')].every(b => b.checkVisibility())")
            for figure in range(browser.evaluate("document.querySelectorAll('.living').length")):
                browser.evaluate(f"document.querySelectorAll('.living input')[{figure}].focus()")
                words, frames = browser.evaluate(WORDS), browser.evaluate(FRAMES)
                for kind in ("keyDown", "keyUp"):
                    browser.call(
                        "Input.dispatchKeyEvent",
                        type=kind,
                        key="ArrowRight",
                        code="ArrowRight",
                        windowsVirtualKeyCode=39,
                    )
                assert browser.evaluate(WORDS)[figure] != words[figure]
                assert browser.evaluate(FRAMES)[figure] != frames[figure]
        for seen, values, is_broken in browser.evaluate(TURN):
            assert (seen, is_broken) == (values, False)
        assert browser.evaluate(
            "[...document.querySelectorAll('.living input')].every(s => s.labels[0].textContent.trim())"
        )
        browser.call("Emulation.setEmulatedMedia", features=still)
        browser.open(figures.as_uri())
        assert not browser.evaluate("[...document.querySelectorAll('.living button')].some(b => b.checkVisibility())")
        assert browser.problems() == []


def test_every_figure_has_its_place_in_one_lecture(monkeypatch):
    monkeypatch.syspath_prepend(LECTURES)
    from book.living import NAMES, with_figures
    from book.notebooks import BuildError

    text = "".join(script.read_text(encoding="utf-8") for script in LECTURES.glob("[0-9]*.py"))
    places = re.findall(r"^# \*[^*]+\* <!-- living: (\w+) -->$", text, re.MULTILINE)
    assert sorted(places) == sorted(NAMES)
    assert text.count("<!--") == len(NAMES)
    mark = "<p><em>In the book.</em> <!-- living: window --></p>"
    assert with_figures(f"<p>a</p>{mark}").startswith("<p>a</p><figure class='living' id='living-window'>")
    with pytest.raises(BuildError, match="living: no_such"):
        with_figures(mark.replace("window", "no_such"))


# Slides

SHOWN = "[...document.querySelectorAll('.slide')].map((s, i) => s.checkVisibility() ? i + 1 : 0).filter(Boolean)"
# (number, too high, too wide, parts that scroll) of slides that do not fit the window
UNFIT = """[...document.querySelectorAll('.slide')].map((slide, i) => {
  document.querySelectorAll('.slide').forEach(other => other.classList.toggle('shown', other === slide));
  const parts = [...slide.querySelectorAll('pre, .formula, .wide')].filter(p => p.scrollWidth > p.clientWidth + 1);
  return [i + 1, slide.scrollHeight - innerHeight, slide.scrollWidth - slide.clientWidth, parts.length];
}).filter(([, high, wide, parts]) => high > 1 || wide > 1 || parts)"""


def press(browser, key):
    browser.evaluate(f"document.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}' }}))")
    return browser.evaluate(SHOWN)


@needs_chromium
def test_slides_in_a_browser(book, tmp_path):
    files = sorted(book.glob("slides/*.html"))
    lectures = sorted(path.name for path in book.glob("[0-9]*.html"))
    assert [path.name for path in files] == lectures
    with Browser(find_chromium(), tmp_path / "profile") as browser:
        for file in files:
            alone = tmp_path / file.name  # it needs nothing beside it
            alone.write_bytes(file.read_bytes())
            browser.set_width(1280, 720)
            browser.open(alone.as_uri())
            count = browser.evaluate("document.querySelectorAll('.slide').length")
            assert count > 8
            assert browser.evaluate(SHOWN) == [1]
            assert press(browser, "ArrowRight") == press(browser, "x") == [2]
            assert press(browser, "End") == press(browser, " ") == [count]
            assert browser.evaluate("location.hash") == f"#{count}"
            assert press(browser, "Home") == press(browser, "PageUp") == [1]
            assert press(browser, "Escape") == list(range(1, count + 1))
            for script in (RAW_LATEX.replace('"article"', '"main"'), EMPTY_FORMULAS, BROKEN_PICTURES):
                assert browser.evaluate(script) == [], file.name
            assert press(browser, "Escape") == [1]
            browser.evaluate("document.querySelector('.steps button:nth-of-type(2)').click()")
            assert browser.evaluate(SHOWN) == [2]
            assert browser.evaluate(UNFIT) == [], file.name
            fonts = "document.fonts.ready.then(fonts => [...fonts].map(f => f.status))"
            assert browser.evaluate(fonts) == ["loaded"]
            assert browser.problems() == []
            asked = [
                e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"
            ]
            assert [url for url in asked if not url.startswith("data:")] == [alone.as_uri()]
            browser.set_width(390)
            assert browser.evaluate(TOO_WIDE) <= 0, file.name


@needs_chromium
def test_slides_without_script_and_on_paper(book, tmp_path):
    slides = (book / "slides" / "02_backprop.html").as_uri()
    with Browser(find_chromium(), tmp_path / "profile") as browser:
        browser.set_width(1280, 720)
        for is_off in (True, False):
            browser.call("Emulation.setScriptExecutionDisabled", value=is_off)
            browser.open(slides)
            count = browser.evaluate("document.querySelectorAll('.slide').length")
            if is_off:
                assert browser.evaluate(SHOWN) == list(range(1, count + 1))
                assert not browser.evaluate("document.querySelector('.steps').checkVisibility()")
            paper = browser.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
            assert len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(paper["data"]))) == count


def test_what_goes_on_a_slide(monkeypatch):
    monkeypatch.syspath_prepend(LECTURES)
    import nbformat
    from book.slides import first_sentence, short_functions, slides_of
    from book.sources import Mentions, SourceIndex
    from book.text import TextRenderer

    for text, expected in (
        ("<p>One, e.g. this. Two.</p>", "One, e.g. this."),
        ("<p><strong>Proof.</strong> It is so. More.</p>", "<strong>Proof.</strong> It is so."),
        ("<p>With <em>a stop. And</em> more.</p>", "With <em>a stop.</em>"),
        ("<p>Is <code>a. b</code> so? No.</p>", "Is <code>a. b</code> so?"),
        ("<p>So it is:</p>", "So it is:"),
    ):
        assert first_sentence(text) == expected
    long = "def g():\n" + "    x = 1\n" * 12
    assert short_functions(f'def f(x):\n    """Twice."""\n    return 2 * x\n\n{long}') == [
        "def f(x):\n    return 2 * x"
    ]

    v4 = nbformat.v4
    printed = v4.new_output("stream", text="".join(f"PASS  claim {k}  (detail)\n" for k in range(6)) + "printed\n")
    cells = [
        v4.new_markdown_cell("# 3. Title\n\nSome words.\n\nAsk! **The question:** why? Because.\n\n*Needs: nothing.*"),
        v4.new_code_cell("def not_this():\n    return 0"),
        v4.new_markdown_cell("## Section\n\nThe first one. The second one.\n\nNot this one.\n\nIt is\n\n$$ y = 2x $$"),
        v4.new_code_cell("def f(x):\n    return 2 * x", outputs=[printed]),
        v4.new_markdown_cell("\n\n".join(["Why?", *["$$ a \\\\\\\\ b $$"] * 9])),
    ]
    slides = slides_of(v4.new_notebook(cells=cells), TextRenderer(SourceIndex(), Mentions()), "title")
    assert slides[0].heading == "3. Title"
    assert [block.html for block in slides[0].blocks] == ["<p><strong>The question:</strong> why?</p>"]
    html = "".join(block.html for slide in slides for block in slide.blocks)
    for word in ("The first one.", "It is", "<math", "claim 3", "and 2 more, which hold"):
        assert word in html
    for word in ("Some words", "second", "Not this", "not_this", "claim 4", "printed", "Needs"):
        assert word not in html
    assert [slide.heading for slide in slides] == ["3. Title", *["Section"] * (len(slides) - 1)]
    assert len(slides) > 2
    assert all(slide.lines <= 14 for slide in slides)


TYPE = """(async () => {
  const box = document.querySelector(".search input"), found = document.querySelector(".search ol");
  found.replaceChildren(); box.focus(); box.value = QUERY; box.dispatchEvent(new Event("input"));
  const old = Date.now();
  while ((found.hidden || !found.children.length) && Date.now() - old < 5000) await new Promise(r => setTimeout(r, 20));
  return [...found.querySelectorAll("a")].map(a => [a.querySelector("b").textContent, a.href, a.offsetParent !== null]);
})()"""


def search(browser, words):
    """What the search box shows for these words: (title, address) of each result."""
    found = browser.evaluate(TYPE.replace("QUERY", repr(words)))
    assert all(is_seen for _, _, is_seen in found)
    return [(title, address) for title, address, _ in found]


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_the_search_finds_names_and_words_on_every_page(book, tmp_path, width):
    with Browser(find_chromium(), tmp_path / "profile") as browser:
        browser.set_width(width)
        for page in ("index.html", "reference/minisvdd.nn.html"):
            browser.open((book / page).as_uri())
            assert search(browser, "linear_forward")[0] == (
                "linear_forward", (book / "reference/minisvdd.ops.html").as_uri() + "#linear_forward"
            )  # fmt: skip
            titles = dict(search(browser, "finite differences"))
            assert titles["Finite differences"] == (book / "02_backprop.html").as_uri() + "#finite-differences"
            assert search(browser, "no such word anywhere") == []
            assert browser.evaluate(TOO_WIDE) <= 0
        browser.evaluate(TYPE.replace("QUERY", "'finite differences'"))
        browser.follow("document.querySelector('.search').requestSubmit()")
        assert browser.evaluate("location.pathname").endswith("02_backprop.html")
        assert browser.evaluate("location.hash") == "#finite-differences"
        assert browser.problems() == []


@needs_chromium
def test_the_first_page_leads_to_the_start_the_lectures_and_the_reference(book, tmp_path):
    with Browser(find_chromium(), tmp_path / "profile") as browser:
        browser.open((book / "index.html").as_uri())
        doors = browser.evaluate("[...document.querySelectorAll('.doors a')].map(a => a.getAttribute('href'))")
        assert {"docs/start.html", "reference/minisvdd.html"} <= set(doors)
        browser.open((book / "docs/start.html").as_uri())
        assert ".venv/bin/minisvdd train" in browser.evaluate("document.querySelector('article').innerText")


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


@pytest.mark.parametrize("script", ["build_book.py", "build_slides.py"])
def test_unknown_lectures_and_bad_options(script, tmp_path):
    done = build("--only", "77", "--out", tmp_path, script=script)
    assert done.returncode == 1
    assert "--only 77" in done.stderr
    assert build("--only", "two", "--out", tmp_path, script=script).returncode == 2
