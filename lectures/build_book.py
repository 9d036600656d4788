"""Build the lectures, the documents beside them and a reference of the library into a static book that works offline.

    python lectures/build_book.py                 the full experiments: as long as the lectures say
    python lectures/build_book.py --quick         small sizes: a few minutes
    python lectures/build_book.py --only 02 03    these lectures alone

It needs the extra `docs`: pip install ".[docs]". Open OUT/index.html in a browser.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

try:
    from book.notebooks import BuildError, execute_all, notebook_name
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is missing: the book needs the extra `docs`, pip install '.[docs]'")

import build_slides
from book.cells import CellRenderer
from book.pages import Entry, first_page, lecture_head, render_page, split_title
from book.reference import Reference
from book.scripts import chosen, number
from book.search import SearchIndex
from book.sources import Mentions, Place, SourceIndex, SourcePage, source_page
from book.style import FONT, style
from book.text import Page, TextRenderer

LECTURES = Path(__file__).resolve().parent
ROOT = LECTURES.parent
START = "docs/start.html"
FONT_NOTE = "<p class='colophon'>Formulas are MathML, set in STIX Two Math (SIL Open Font License).</p>"


def build(out: Path, *, quick: bool, only: list[str], jobs: int, reuse: bool) -> Path:
    """Write the book into `out`; returns its first page. BuildError when a lecture fails or a link is dead."""
    scripts = chosen(only)
    solutions = [path for script in scripts if (path := LECTURES / "solutions" / script.name).exists()]
    documents = sorted((ROOT / "docs").glob("*.md"))
    notebooks = execute_all([*scripts, *solutions], out / "notebooks", quick=quick, jobs=jobs, reuse=reuse)

    book = _Book(out, {script.stem for script in scripts})
    lectures = [book.lecture(script, notebooks[script]) for script in scripts]
    solved = [book.lecture(script, notebooks[script]) for script in solutions]
    texts = [book.document(path) for path in documents]
    names = book.reference()
    parts = {
        "Start": [entry for entry, _ in texts if entry.page.path == START],
        "Lectures": [entry for entry, _ in lectures],
        "Beside the lectures": [entry for entry, _ in texts if entry.page.path != START],
        "Reference": [entry for entry, _ in names],
    }

    search = SearchIndex()
    for entry, body in [*texts, *lectures, *solved, *names]:
        book.write(entry.page, render_page(entry.page, body, parts))
        search.add(entry.page, body, f"{entry.page.title}: {entry.title}" if entry.number else entry.title)
    for path in book.mentions.paths():
        source = Page(source_page(path), path, headings=[(1, "top", path)])
        body = SourcePage(path, book.mentions).html(source.prefix)
        book.write(source, render_page(source, body, parts, wide=True))
    first = Page("index.html", "Contents", headings=[(1, "top", "Contents")])
    book.write(first, render_page(first, first_page(parts), parts, foot=FONT_NOTE))
    _write_static(out / "static", search)
    return out / first.path


class _Book:
    """Renders pages one after the other, and remembers which source they mention."""

    def __init__(self, out: Path, lectures: set[str]):
        self.out, self.lectures, self.index, self.mentions = out, lectures, SourceIndex(), Mentions()
        self.text = TextRenderer(self.index, self.mentions, self._link)
        self.cells = CellRenderer(self.text, out)

    def lecture(self, script: Path, notebook) -> tuple[Entry, str]:
        """The entry and the body of a lecture or of solutions."""
        is_solution = script.parent.name == "solutions"
        place = int(script.stem.split("_")[0])
        path = f"{'solutions/' if is_solution else ''}{script.stem}.html"
        imported = self.index.imported(script.read_text(encoding="utf-8"))
        page = Page(path, f"{'Solutions' if is_solution else 'Lecture'} {place}", imported)
        body = self.cells.render(notebook, page, notebook_name(script))
        body, summary = lecture_head(body)
        links = f"<a href='{page.prefix}notebooks/{notebook_name(script)}.ipynb' download>This page as a notebook</a>"
        if is_solution:
            links = f"<a href='../{script.stem}.html#exercises'>Back to lecture {place}</a> &middot; {links}"
        else:
            slides = build_slides.write(self.out / "slides", script, notebook)
            links = f"<a href='slides/{slides.name}'>Slides</a> &middot; {links}"
            if (LECTURES / "solutions" / script.name).exists():
                links = f"<a href='solutions/{script.stem}.html'>Solutions to the exercises</a> &middot; {links}"
        place, title = split_title(page)
        return Entry(page, title, place, summary), f"{body}<p class='also'>{links}</p>"

    def reference(self) -> list[tuple[Entry, str]]:
        """Entries and bodies of the reference's pages; after the lectures, to which it links."""
        pages = Reference(self.text, self.index, self.mentions).pages()
        return [(Entry(page, split_title(page)[1], "", summary), body) for page, body, summary in pages]

    def document(self, path: Path) -> tuple[Entry, str]:
        """The entry and the body of a Markdown file of docs/."""
        page = Page(f"docs/{path.stem}.html", path.stem)
        body = self.text.render(path.read_text(encoding="utf-8"), page)
        first = re.search(r"<p>(.*?)</p>", body, re.DOTALL)
        summary = re.sub(r"</?a\b[^>]*>", "", first[1]) if first else ""
        for picture in re.findall(r"<img src=\"([^\":]+)\"", body):
            target = self.out / "docs" / picture
            if not target.resolve().is_relative_to(self.out.resolve()):
                raise BuildError(f"{path.name}: the picture {picture} lies outside docs/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path.parent / picture, target)
        return Entry(page, split_title(page)[1], "", summary), body

    def write(self, page: Page, html: str) -> None:
        target = self.out / page.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(html, encoding="utf-8")

    def _link(self, href: str, page: Page) -> str:
        """Links between files of the repository, as they work on a hosting site, become links between pages."""
        if re.match(r"[a-z]+:|#", href):
            return href
        file, _, anchor = href.partition("#")
        base = ROOT / "docs" if page.path.startswith("docs/") else LECTURES
        path = (base / file).resolve()
        if not path.exists() or not path.is_relative_to(ROOT):
            raise BuildError(f"{page.path}: the link {href} leads to no file of the repository")
        name = path.relative_to(ROOT).as_posix()
        if re.fullmatch(r"lectures/\d+_\w+\.py", name):
            if path.stem not in self.lectures:
                return ""  # not in this book
            target = f"{path.stem}.html"
        elif re.fullmatch(r"docs/\w+\.md", name):
            target = f"docs/{path.stem}.html"
        elif name in self.index.places:
            self.mentions.add(Place(name, "", 1), page.path, page.section, page.title)
            target = source_page(name)
        else:
            return ""  # a file that has no page in the book
        return f"{page.prefix}{target}{'#' + anchor if anchor else ''}"


def _write_static(folder, search):
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(FONT, folder)
    shutil.copy(LECTURES / "book" / "search.js", folder)
    (folder / "search-index.js").write_text(search.script(), encoding="utf-8")
    (folder / "book.css").write_text(style(), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/book"), help="folder to write (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small experiments")
    parser.add_argument("--only", nargs="+", default=[], metavar="NN", type=number, help="numbers of lectures")
    parser.add_argument("--jobs", type=int, default=1, help="lectures that run at a time (default: %(default)s)")
    parser.add_argument("--reuse", action="store_true", help="keep the results of lectures where nothing has changed")
    options = parser.parse_args()
    try:
        first = build(
            options.out, quick=options.quick, only=options.only, jobs=max(1, options.jobs), reuse=options.reuse
        )
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(first)
    return 0


if __name__ == "__main__":
    sys.exit(main())
