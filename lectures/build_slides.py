"""Make slides of the lectures: one HTML file each, which needs nothing beside it and no network.

    python lectures/build_slides.py --quick               all of them, from small experiments
    python lectures/build_slides.py --only 06 --reuse     of one, from the notebooks that the book was built from

Open one in a browser: arrow keys, space or a swipe turn the slides, Escape shows all, printing gives one a page. It
needs the extra `docs`: pip install ".[docs]".
"""

import argparse
import sys
from pathlib import Path

try:
    from book.notebooks import BuildError, execute_all
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is missing: slides need the extra `docs`, pip install '.[docs]'")

from book.scripts import chosen, number
from book.slides import document, slides_of
from book.sources import Mentions, SourceIndex
from book.style import FONT, style
from book.text import TextRenderer


def build(out: Path, notebooks: Path, *, quick: bool, only: list[str], jobs: int, reuse: bool) -> list[Path]:
    """Write `out`/NN_name.html for the chosen lectures; returns the files. BuildError when a lecture fails."""
    scripts = chosen(only)
    executed = execute_all(scripts, notebooks, quick=quick, jobs=jobs, reuse=reuse)
    return [write(out, script, executed[script]) for script in scripts]


def write(out: Path, script: Path, notebook) -> Path:
    """The slides of one executed lecture, as a file."""
    slides = slides_of(notebook, TextRenderer(SourceIndex(), Mentions()), script.stem)
    numbered = slides[0].heading
    place, _, title = numbered.partition(". ")
    for slide in slides:
        slide.heading = title if slide.heading == numbered else slide.heading
    path = out / f"{script.stem}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document(slides, title, f"Lecture {place}", style(), FONT), encoding="utf-8")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/slides"), help="folder to write (default: %(default)s)")
    parser.add_argument(
        "--notebooks",
        type=Path,
        default=Path("build/book/notebooks"),
        help="where executed lectures are kept: the book's (default: %(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="small experiments")
    parser.add_argument("--only", nargs="+", default=[], metavar="NN", type=number, help="numbers of lectures")
    parser.add_argument("--jobs", type=int, default=1, help="lectures that run at a time (default: %(default)s)")
    parser.add_argument("--reuse", action="store_true", help="keep the results of lectures where nothing has changed")
    options = vars(parser.parse_args())
    options["jobs"] = max(1, options["jobs"])
    try:
        print(*build(**options), sep="\n")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
