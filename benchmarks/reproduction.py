"""The tables of docs/reproduction.md, from the results: table 1 under each protocol beside the paper's.

    python benchmarks/reproduction.py                     writes the page's tables anew
    python benchmarks/reproduction.py --out other.md      the same page elsewhere

A protocol has a table, results/NAME.csv, which is `report.csv` of an experiment's folder. A difference stands with its
standard error, sqrt(s^2 / n + t^2 / 10), where s is the deviation of our n seeds and t that of the paper's ten; of a
single seed s is taken to be t. What a table lacks of the classes another one of the same protocol may have.
"""

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
from cells import Difference, difference_of, pairs_of
from common import make_parser

from minisvdd.experiments.methods import METHODS as COMPUTED
from minisvdd.experiments.paper import METHODS, SEEDS, TABLE_1, distance_from
from minisvdd.experiments.report import read_columns
from minisvdd.files.atomic import atomic_write

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reproduction.md"
# By data set: protocol (and what it was computed on, if not on CPUs), and the name of its table.
TABLES = {
    "mnist": {
        "paper": "table1-mnist",
        "paper, H200": "table1-mnist-h200",
        "authors-code": "table1-mnist-authors-code",
        "authors-code, H200": "table1-mnist-authors-code-h200",
        "authors-theano": "table1-mnist-authors-theano",
        "authors-theano, a sixth held out": "table1-mnist-held-out",
        "best": "table1-mnist-best",
        "reduced": "table1-mnist-anogan-reduced",
    },
    "cifar10": {
        "paper": "table1-cifar10",
        "paper, trucks": "table1-cifar10-trucks",
        "paper, H200": "table1-cifar10-h200",
        "authors-theano": "table1-cifar10-authors-theano",
    },
}
# One seed with fewer epochs, of `choices.py`: its files, and which stage is which column.
SHORTENED = {
    "cifar10": {
        "choices-cifar10-theano": {"one-class": "trained", "dcae": "autoencoder"},
        "choices-cifar10-theano-soft-boundary": {"soft-boundary": "trained"},
    }
}
# Tables that are compared with the paper as one, too: name, and the parts, of which the first has the say on a class.
TOGETHER = {"cifar10": ("paper, all of these", ("paper", "paper, trucks", "paper, H200"))}
# Tables of CPUs that are compared with each other, too, in pairs of cells of one class and seed.
PAIRED = {"mnist": ("authors-code", "authors-theano", "best")}
DEEP = ("dcae", "soft-boundary", "one-class")
STAGES = {
    "one-class, random weights": "random",
    "one-class, pre-trained weights": "pre-trained",
    "one-class": "trained",
}
_DISTANCES = ("difference", "RMS over classes", "expected", "order")
_DETAILED = ("one-class", "soft-boundary", "dcae")  # columns that have a table of their own, class by class


def main():
    """Put the tables in their places."""
    arguments = make_parser(__doc__, out=str(PAGE)).parse_args()
    text = with_tables(PAGE.read_text(encoding="utf-8"), ROOT / "benchmarks" / "results")
    with atomic_write(arguments.out) as file:
        file.write(text)


def with_tables(text: str, results: Path) -> str:
    """The page with each table between `<!-- NAME -->` and `<!-- end -->` made anew."""
    for name, table in tables(results).items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        if not rest:
            raise ValueError(f"the page has no place for {name}: expected a line {start.strip()}")
        text = before + start + "\n".join(["", *table, "", ""]) + end + rest.partition(end)[2]
    return text


def tables(results: Path) -> dict[str, list[str]]:
    """The lines of every table, by its name."""
    found = {}
    for data, protocols in TABLES.items():
        ours = columns_of(results, data)
        found[f"{data} columns"] = _columns(data, ours)
        found |= {f"{data} {method}": _classes(data, method, ours) for method in _DETAILED}
        if data in TOGETHER:
            _, parts = TOGETHER[data]
            found[f"{data} stages"] = _stages(data, [results / f"{protocols[part]}.csv" for part in parts])
        if (radius := results / f"radius-{data}.json").exists():
            found[f"{data} radius"] = _radius(data, json.loads(radius.read_text(encoding="utf-8"))["rows"])
        if data in PAIRED:
            cells = {name: cells_of(results / f"{protocols[name]}.json") for name in PAIRED[data]}
            found[f"{data} pairs"] = _pairs(cells)
    return found


def columns_of(results: Path, data: str):
    """{protocol: {method: column}} of the tables of a data set that there are."""
    paths = {name: results / f"{table}.csv" for name, table in TABLES[data].items()}
    ours = {name: read_columns(path) for name, path in paths.items() if path.exists()}
    return ours | {"authors-theano, shortened": shortened(results, data)}


def all_classes(data: str, ours):
    """{name: columns} of the tables that are compared with the paper as one."""
    name, parts = TOGETHER.get(data, ("", ()))
    return {name: together([ours[part] for part in parts if part in ours])}


def together(tables, methods=DEEP):
    """{method: the column of all classes that these tables have} where several have it; the first has the say."""
    columns = {}
    for method in methods:
        having = [table[method] for table in tables if method in table]
        if len(having) > 1:
            columns[method] = {c: entry for column in reversed(having) for c, entry in column.items()}
    return columns


def in_order(data: str, ours):
    """(method, protocol, column) of all columns, and of those that are compared as one, method by method."""
    for method in METHODS:
        for protocol, columns in (ours | all_classes(data, ours)).items():
            if method in columns:
                yield method, protocol, columns[method]


def printed(data: str, method: str, column):
    """{class: the paper's entry} of a column's classes."""
    return {name: row[method] for name, row in TABLE_1[data].items() if name in column}


def _stages(data, paths):
    """One-Class before its training and after it, each beside the paper's column, in the classes of all tables."""
    lines = ["| weights | ours | paper | difference | RMS over classes | order |", "|---|---|---|---|---|---|"]
    columns = together([read_columns(path, STAGES) for path in paths if path.exists()], STAGES)
    for stage, column in columns.items():
        _, ours, paper, difference, rms, _, order = _compared(data, "one-class", column)
        lines.append(f"| {STAGES[stage]} | {ours} | {paper} | {difference} | {rms} | {order} |")
    return lines


def shortened(results, data):
    """{method: column} of one seed of a shortened `authors-theano`, computed by `choices.py`."""
    columns = {}
    for name, stages in SHORTENED.get(data, {}).items():
        path = results / f"{name}.json"
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
        for method, stage in stages.items() if rows else ():
            columns[method] = {row["normal_class"]: (row["auc"][stage], math.nan, 1) for row in rows}
    return columns


def _radius(data, rows):
    """Soft-boundary under two rules for the radius, in pairs: each beside the paper, and their difference, by nu."""
    lines = [f"| R by | ours | paper | {' | '.join(_DISTANCES)} |", "|---" * 7 + "|"]
    aucs = {}
    for row in rows:
        of_rule = aucs.setdefault(row["nu"], {}).setdefault(row["rule"], {})
        of_rule[row["normal_class"], row["seed"]] = row["auc"]["trained"]
    for nu, rules in aucs.items():
        which = f", nu {nu:g}" if len(aucs) > 1 else ""
        for rule, values in rules.items():
            compared = _compared(data, "soft-boundary", _by_class(values))
            lines.append(f"| {rule}{which} | {' | '.join(list(compared)[1:])} |")
        (one, first), (two, second) = rules.items()
        difference = difference_of(pairs_of(second, first))
        lines.append(f"| {two} minus {one}{which} | {_with_error(difference)} | | | | | |")
    return lines


def _by_class(values):
    """{class: (mean, deviation, seeds)} of {(class, seed): AUC}; a single seed has no deviation."""
    seeds = {}
    for (name, _), auc in values.items():
        seeds.setdefault(name, []).append(auc)
    return {name: (np.mean(a), np.std(a, ddof=1) if len(a) > 1 else math.nan, len(a)) for name, a in seeds.items()}


def cells_of(path):
    """{column: {(class, seed): AUC in %}} of the cells of `_DETAILED` in a table's report.json; nothing without one.

    A column is "one-class", or "soft-boundary, nu 0.1": each nu is one of its own.
    """
    found = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else ():
        config = cell["config"]
        if (column := config["method"]) in _DETAILED:
            column += "" if config["nu"] is None else f", nu {config['nu']:g}"
            found.setdefault(column, {})[config["normal_class"], config["seed"]] = 100 * cell["auc"]["trained"]
    return found


def _pairs(cells):
    """Two protocols beside each other: the mean difference of the cells that both have; how many show half a point."""
    lines = ["| column | what | minus what | pairs | difference | pairs for half a point |", "|---" * 6 + "|"]
    columns = {column for of_protocol in cells.values() for column in of_protocol}
    for column in sorted(columns, key=lambda column: (_DETAILED.index(column.partition(",")[0]), column)):
        for name, other in combinations(reversed(cells), 2):
            one, two = (cells[protocol].get(column, {}) for protocol in (name, other))
            if (difference := difference_of(pairs_of(one, two))) is not None:
                numbers = f"{difference.pairs} | {_with_error(difference)} | {difference.for_half_a_point or '-'}"
                lines.append(f"| {column} | `{name}` | `{other}` | {numbers} |")
    return lines


def _with_error(difference: Difference) -> str:
    """`+1.0 ± 0.4`, and what the error is, where it is not that of the seeds of every class."""
    text = f"{difference.mean:+.1f} ± {difference.error:.1f}"
    if difference.over != "seeds":
        return f"{text} (over {difference.over})"
    return text + (f" (of {', '.join(difference.borrowed)} the others' deviation)" if difference.borrowed else "")


def _columns(data, ours):
    """How far each column is from the paper's, under each protocol."""
    lines = [
        f"| column | protocol | seeds | ours | paper | {' | '.join(_DISTANCES)} |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method, protocol, column in in_order(data, ours):
        lines.append(f"| {method} | {protocol} | {' | '.join(_compared(data, method, column))} |")
    return lines


def _compared(data, method, column):
    paper = printed(data, method, column)
    d = distance_from(column, paper)
    seeds = min(n for _, _, n in column.values())
    means = (sum(values[0] for values in table.values()) / len(paper) for table in (column, paper))
    yield (f"{seeds}" if COMPUTED[method].seeded else "-") + (
        f", {len(paper)} classes" if len(paper) < len(TABLE_1[data]) else ""
    )
    yield from (f"{mean:.1f}" for mean in means)
    yield f"{d.difference:+.1f} ± {d.standard_error:.1f}"
    yield from (f"{d.rms:.1f}", f"{d.expected:.1f}", "-" if math.isnan(d.correlation) else f"{d.correlation:.2f}")


def _classes(data, method, ours):
    """A row for each class: the paper, and under each protocol mean, deviation, and difference."""
    known = {protocol: columns[method] for protocol, columns in ours.items() if method in columns}
    lines = [f"| class | printed | {' | '.join(f'`{name}`' for name in known)} |", "|---" * (2 + len(known)) + "|"]
    for name, row in TABLE_1[data].items():
        texts = [_difference(column.get(name), row[method]) for column in known.values()]
        lines.append(f"| {name} | {row[method][0]:.1f} ± {row[method][1]:.1f} | {' | '.join(texts)} |")
    return lines


def _difference(entry, paper):
    """`94.1 ± 0.9 (-0.8 ± 0.6)`."""
    if entry is None:
        return "-"
    mean, deviation, n = entry
    own = paper[1] if math.isnan(deviation) else deviation
    error = math.sqrt(own**2 / n + paper[1] ** 2 / SEEDS)
    spread = "" if math.isnan(deviation) else f" ± {deviation:.1f}"
    return f"{mean:.1f}{spread} ({mean - paper[0]:+.1f} ± {error:.1f})"


if __name__ == "__main__":
    main()
