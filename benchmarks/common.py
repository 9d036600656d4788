"""What the scripts of this folder share: their options, and the file of rows that most of them write."""

import argparse
from collections.abc import Callable, Iterable, Sequence

from minisvdd.data.split import Dataset, Split
from minisvdd.experiments.experiments import versions
from minisvdd.files.atomic import write_json


def make_parser(text: str, *, quick: str | None = None, out: str | None = None) -> argparse.ArgumentParser:
    """A parser with --out whose help is `text`, the script's docstring.

    quick: what --quick does; None for a script without it.   out: default of --out; None to write nothing unless asked.
    """
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    if quick is not None:
        parser.add_argument("--quick", action="store_true", help=f"{quick}: does it run?")
    parser.add_argument("--out", default=out, help="JSON file to write" + (" (default: %(default)s)" if out else ""))
    return parser


def add_data(parser: argparse.ArgumentParser, classes: Sequence[str] | None = None) -> None:
    """--data, --data-dir and --classes.  classes: the default, None for all."""
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--classes", nargs="+", default=classes, help=f"default: {' '.join(classes or ['all'])}")


def at_least_one(text: str) -> int:
    """The `type` of an option that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected an integer >= 1")
    return int(text)


def parse(parser: argparse.ArgumentParser, **quick) -> argparse.Namespace:
    """The command line's arguments.  quick: those that --quick sets, whatever else was said."""
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(quick)
    return arguments


def class_by_class(
    dataset: Dataset, measure: Callable[[Split], Iterable[dict]], arguments: argparse.Namespace, **settings
) -> None:
    """Write the rows of `measure(split)` for each class of --classes to --out.

    arguments: with the options of `add_data`.   settings: stand in the file, too. It is written anew after each class,
    so that a run which was stopped leaves what it has.
    """
    rows = []
    for normal_class in arguments.classes or dataset.class_names:
        rows += measure(dataset.one_class(normal_class))
        write_rows(arguments.out, rows, data=dataset.name, **settings)


def write_rows(path: str | None, rows: list[dict], **settings) -> None:
    """Write rows below the settings and versions that they depend on; nothing without a path."""
    if path:
        write_json(path, {**settings, "versions": versions(), "rows": rows})


def renewed(text: str, markers: tuple[str, str], new: str, where: object) -> str:
    """A page's text with what stands between two markers replaced.  where: the page, for the error where they lack."""
    if any(text.count(marker) != 1 for marker in markers):
        raise ValueError(f"{where}: expected each of the markers {markers} once")
    before, rest = text.split(markers[0])
    return f"{before}{markers[0]}\n{new}{markers[1]}{rest.split(markers[1])[1]}"
