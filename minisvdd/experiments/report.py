"""The table of a grid: mean +- standard deviation of the test AUC beside the paper's, in Markdown, CSV, LaTeX, PNG.

A JSON file holds all cells, so that the table can be computed again without the folder.
"""

import csv
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from scipy.stats import rankdata

from ..files.atomic import atomic_write, json_text
from .grid import Grid, cells_of, read_cell, read_grid
from .methods import METHODS
from .paper import METHODS as PAPER_METHODS
from .paper import TABLES, distance_from
from .plots import save_figure
from .protocols import get_protocol

# Cells further from the paper's than this many standard deviations plus this many points are marked.
MARK_DEVIATIONS, MARK_POINTS = 2.0, 1.0
# Entries of a cell's "auc" that are columns of their own: method, entry, heading. Before training, both Deep SVDD
# objectives rank alike.
_EXTRA = (
    ("oc-svm", "unsupervised", "oc-svm, gamma without labels"),
    ("dcae", "random", "dcae, random weights"),
    ("anogan", "random", "anogan, random weights"),
    ("soft-boundary", "random", "soft-boundary, random weights"),
    ("soft-boundary", "pretrained", "soft-boundary, pre-trained weights"),
    ("one-class", "random", "one-class, random weights"),
    ("one-class", "pretrained", "one-class, pre-trained weights"),
)
# Entries of a Deep SVDD cell's "auc" in the order of training, with headings; the last one's is the objective.
_STAGES = {
    "random": "random weights",
    "pretrained": "pre-trained weights",
    "autoencoder": "autoencoder (DCAE)",
    "trained": None,
}

# What OC-SVM's deviation is over, by how its gamma is found.
_OC_SVM_RUNS = {"grid": "ten hold-outs", "largest": "one run", "unscaled": "ten orders of the training samples"}


@dataclass(frozen=True)
class Entry:
    """One cell of the table, in %. n: seeds or hold-outs.   nu: the better one, None where there is no choice.

    collapsed: how many of the seeds' networks show signs of collapse.   seeded: whether other seeds give other numbers.
    """

    mean: float
    std: float
    n: int
    nu: float | None
    paper: tuple[float, float] | None = None
    collapsed: int = 0
    seeded: bool = True

    @property
    def differs(self) -> bool:
        """Whether the paper's number is further away than 2 combined standard deviations + 1 point.

        A single seed has no deviation and borrows the paper's, as in `distance_from`; what draws nothing has 0.
        """
        if self.paper is None:
            return False
        own = self.paper[1] if self.seeded and self.n == 1 else self.std
        return abs(self.mean - self.paper[0]) > MARK_DEVIATIONS * np.hypot(own, self.paper[1]) + MARK_POINTS


def collect(out) -> tuple[Grid, dict, int, int]:
    """Read the grid in `out`: the grid, its entries {(class, column): Entry}, cells finished, cells in all.

    Columns are the methods and those of `_EXTRA`. Standard deviations are over seeds (n in the denominator).
    Raises DataError, naming the file, for a damaged cell.
    """
    grid = read_grid(out)
    found = _finished(grid, out)
    columns = [(name, "trained", name) for name in grid.methods] + _extra(grid)
    return grid, _entries(grid, found, columns), len(found), len(cells_of(grid))


def _extra(grid):
    """Those of `_EXTRA` that this grid has: pre-trained weights only of a pre-training."""
    wanted = [column for column in _EXTRA if column[0] in grid.methods]
    return [column for column in wanted if column[1] != "pretrained" or grid.protocol.pretrain_epochs]


def _finished(grid, out):
    """[(cell, its result), ...] of all finished cells."""
    return [(cell, value) for cell in cells_of(grid) if (value := read_cell(cell, out)) is not None]


def _entries(grid, found, columns):
    """{(class, heading): Entry} for columns (method, entry of its cells' "auc", heading)."""
    entries = {}
    for normal_class in grid.classes:
        printed = _printed(grid).get(normal_class, {})
        for method, stage, heading in columns:
            cells = [
                (cell, value)
                for cell, value in found
                if (cell.method, cell.normal_class) == (method, normal_class) and stage in value["auc"]
            ]
            if cells:
                entries[normal_class, heading] = _entry_of(cells, stage, printed.get(heading))
    return entries


def _entry_of(cells, stage, printed):
    """The Entry of one class in one column, for the better nu.  cells: [(cell, its result), ...], not empty.

    A nu that lacks seeds which another one has is no choice: its mean of fewer draws is the better one too easily.
    """
    values, collapsed = {}, {}
    for cell, value in cells:
        values.setdefault(cell.nu, []).extend(np.atleast_1d(value["auc"][stage]))
        signs = value.get("signs_of_collapse") if stage == "trained" else None
        collapsed[cell.nu] = collapsed.get(cell.nu, 0) + bool(signs)
    nu = max(values, key=lambda nu: (len(values[nu]), np.mean(values[nu])))
    auc, seeded = 100 * np.array(values[nu]), METHODS[cells[0][0].method].seeded
    return Entry(float(auc.mean()), float(auc.std()), len(auc), nu, printed, collapsed[nu], seeded)


def average_ranks(table) -> np.ndarray:
    """Mean rank of each column over the complete rows of `table` (classes, methods); 1 is the largest AUC."""
    table = np.asarray(table, float)
    complete = table[np.isfinite(table).all(axis=1)]
    if not len(complete):
        return np.full(table.shape[1], np.nan)
    return rankdata(-complete, axis=1).mean(axis=0)


def write_report(out) -> tuple[str, list[str]]:
    """Write report.md, .csv, .tex, .json, .png into the folder of a grid. Returns the Markdown and the files' names."""
    grid, entries, finished, total = collect(out)
    markdown = _markdown(grid, entries, finished, total) + _convergence_note(grid, out)
    texts = {"report.md": markdown, "report.tex": _latex(grid, entries), "report.json": _json(grid, out)}
    for name, text in texts.items():
        with atomic_write(Path(out) / name) as file:
            file.write(text)
    with atomic_write(Path(out) / "report.csv") as file:
        _write_csv(file, entries)
    save_figure(plot_table(grid, entries), Path(out) / "report.png")
    return markdown, [*texts, "report.csv", "report.png"]


def write_stages(out, objective: str) -> tuple[str, str]:
    """What each stage of training brings to Deep SVDD: a table of AUC by class, stages beside each other.

    Columns: random and pre-trained weights, the autoencoder's reconstruction error, the trained detector, then the
    paper's autoencoder and detector where it has this data. All are in the cells of the objective's own.

    Writes stages-OBJECTIVE.md into the folder of a grid; returns the Markdown and the file's name.
    Raises ValueError for an objective that the grid has not, DataError, naming the file, for a damaged cell.
    """
    grid = read_grid(out)
    if objective not in grid.methods:
        raise ValueError(f"objective={objective!r}: the experiment in {out} has {', '.join(grid.methods)}")
    stages = _STAGES if grid.protocol.pretrain_epochs else {stage: _STAGES[stage] for stage in ("random", "trained")}
    columns = [(objective, stage, heading or f"{objective}, trained") for stage, heading in stages.items()]
    entries = _entries(grid, _finished(grid, out), columns)
    headings = [heading for _, _, heading in columns]
    if _printed(grid):
        for name, heading in (("dcae", "paper: DCAE"), (objective, f"paper: {objective}")):
            entries |= {(c, heading): Entry(*_printed(grid)[c][name], n=10, nu=None) for c in grid.classes}
            headings.append(heading)
    markdown, name = "\n".join(_table(grid, entries, headings)) + "\n", f"stages-{objective}.md"
    with atomic_write(Path(out) / name) as file:
        file.write(markdown)
    return markdown, name


@style.context("default")
def plot_table(grid: Grid, entries: dict) -> Figure:
    """A dot per class and method, with its standard deviation; a black dash is the paper's number.

    grid, entries: as `collect` returns them.
    """
    figure = Figure(figsize=(max(6, 1.1 * len(grid.classes) + 2), 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(grid.methods)
    for i, method in enumerate(grid.methods):
        found = [(x, entries[c, method]) for x, c in enumerate(grid.classes) if (c, method) in entries]
        places = [x + (i - (len(grid.methods) - 1) / 2) * width for x, _ in found]
        axes.errorbar(places, [e.mean for _, e in found], [e.std for _, e in found], fmt="o", markersize=4,
                      linewidth=1, color=f"C{list(METHODS).index(method)}", label=method)  # fmt: skip
        printed = [(place, e.paper[0]) for place, (_, e) in zip(places, found) if e.paper]
        if printed:
            axes.scatter(*zip(*printed), marker="_", color="black", zorder=3)
    lowest = min((e.mean - e.std for (_, heading), e in entries.items() if heading in grid.methods), default=50)
    axes.set_ylim(max(0, 5 * np.floor(lowest / 5) - 5), 100)
    for between in range(1, len(grid.classes)):
        axes.axvline(between - 0.5, color="#e2e8f0", linewidth=0.8, zorder=0)
    axes.set_xlim(-0.5, len(grid.classes) - 0.5)
    axes.set_xticks(range(len(grid.classes)), grid.classes)
    axes.set(xlabel="normal class", ylabel="test AUC in %")
    names_a_row = min(len(grid.methods), int(0.9 * figure.get_figwidth()))  # the longest takes about an inch
    figure.legend(loc="outside upper center", ncols=names_a_row, frameon=False, fontsize=8)
    return figure


def _markdown(grid, entries, finished, total):
    lines = [
        f"# Table {2 if _name(grid) == 'stop-signs' else 1} on {_name(grid)}, protocol {grid.protocol_name}",
        "",
        " ".join(_notes(grid, entries, finished, total)),
        "",
        *_table(grid, entries, grid.methods, ranks=True),
    ]
    lines += _collapse_note(grid, entries)
    if _printed(grid):
        lines += ["", "In parentheses: the paper. **!** marks a difference of more than 2 combined standard deviations "
                  "+ 1 point; of a single seed with the paper's deviation."]  # fmt: skip
        lines += ["", *_distances(grid, entries)]
    without_labels = "oc-svm" in grid.methods and _searches(grid)
    extra = [heading for method, _, heading in _extra(grid) if method != "oc-svm" or without_labels]
    if extra:
        lines += [
            "",
            f"Before any training (epoch 0){', and oc-svm without labels' if without_labels else ''}:",
            "",
            *_table(grid, entries, extra),
        ]
    return "\n".join(lines) + "\n"


def _distances(grid, entries):
    """How far each column is from the paper's, and how far seeds alone would put it."""
    lines = [
        f"How far from the paper, in points ({_error_note(grid, entries)}):",
        "",
        "| column | mean difference | RMS over classes | expected of seeds alone | rank correlation |",
        "|---|---|---|---|---|",
    ]
    for method in grid.methods:
        paper = {name: row[method] for name, row in _printed(grid).items() if method in row}
        ours = {name: entries[name, method] for name in paper if (name, method) in entries}
        if ours:
            d = distance_from({name: (e.mean, _deviation(method, e), e.n) for name, e in ours.items()}, paper)
            numbers = (f"{d.difference:+.1f} ± {d.standard_error:.1f}", f"{d.rms:.1f}", f"{d.expected:.1f}")
            order = "-" if np.isnan(d.correlation) else f"{d.correlation:.2f}"
            lines.append(f"| {method} | {' | '.join(numbers)} | {order} |")
    return lines


def _error_note(grid, entries):
    """What stands behind ±: of columns with a single seed somewhere, there the paper's deviation."""
    single = [
        method
        for method in grid.methods
        if any(heading == method and np.isnan(_deviation(method, entry)) for (_, heading), entry in entries.items())
    ]
    if not single:
        return "± one standard error"
    return f"± one standard error, of {', '.join(single)} with the paper's deviations where there is but one seed"


def _deviation(method, entry):
    """Of seeds, with n - 1 in the denominator; of what has no seeds 0; nan for a single one."""
    if not METHODS[method].seeded:
        return 0.0
    return entry.std * np.sqrt(entry.n / (entry.n - 1)) if entry.n > 1 else np.nan


def _notes(grid, entries, finished, total):
    """What the numbers are, in sentences: of the methods that are there."""
    spread = "mean ± standard deviation over" if grid.seeds > 1 or "oc-svm" in grid.methods else "of"
    apart = {name: "one run" for name, method in METHODS.items() if not method.seeded}
    apart["oc-svm"] = _OC_SVM_RUNS[grid.shallow_protocol.width]
    runs = "; ".join(f"{method}: {what}" for method, what in apart.items() if method in grid.methods)
    yield f"Test AUC in %, {spread} {_seeds(grid.seeds)}{f' ({runs})' if runs else ''}."
    yield f"{finished} of {total} cells are finished{_fewer(grid, entries)}."
    if changed := _changed(grid):
        yield f"Other than in the protocol: {', '.join(changed)}."
    nus = {"oc-svm": len(grid.shallow_protocol.nus), "soft-boundary": 2}
    with_nu = " and ".join(method for method, n in nus.items() if n > 1 and method in grid.methods)
    if with_nu:
        yield f"For {with_nu} the better nu is shown."
    if "oc-svm" in grid.methods and _searches(grid):
        advantage = "an advantage over all others."
        yield f"As in the paper, oc-svm chooses gamma with labels of a tenth of the test set: {advantage}"
    elif {"oc-svm", "kde"} & {*grid.methods} and not _searches(grid):
        yield f"The kernels' widths are given: {grid.shallow_protocol.width!r}."
    if "anogan" in grid.methods:
        yield _gan_note(grid)


def _changed(grid):
    """What this grid's networks, if it has any, are trained with, and those of the protocol of that name are not."""
    if all(METHODS[method].protocol != "protocol" for method in grid.methods):
        return []
    named = asdict(get_protocol(grid.protocol_name, _name(grid)))
    return [
        f"{name} {_value(value)} instead of {_value(named[name])}"
        for name, value in asdict(grid.protocol).items()
        if value != named[name]
    ]


def _value(value):
    """Milestones as numbers with commas between them, of numbers with a point six digits, all else as it is."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "(" + ", ".join(map(str, value)) + ")" if isinstance(value, tuple) else value


def _searches(grid):
    """Whether OC-SVM and KDE choose their widths."""
    return grid.shallow_protocol.width == "grid"


def _collapse_note(grid, entries):
    """Which entries have networks in them that map (almost) everything to one point."""
    found = [
        f"{method} on {normal_class} ({entry.collapsed} of {entry.n})"
        for (normal_class, method), entry in entries.items()
        if method in grid.methods and entry.collapsed
    ]
    if not found:
        return []
    return ["", f"**c** marks signs of collapse in some of the trained networks: {', '.join(found)}."]


def _fewer(grid, entries):
    """Which methods have fewer seeds so far."""
    fewest = {
        method: min(entry.n for (_, heading), entry in entries.items() if heading == method)
        for method in grid.methods
        if METHODS[method].seeded and any(heading == method for _, heading in entries)
    }
    return "".join(f"; {method}: {_seeds(n)}" for method, n in fewest.items() if n < grid.seeds)


def _name(grid):
    """Name of the data; for a file that without folder and ending."""
    return Path(grid.data).stem


def _printed(grid):
    """The paper's table of this data: {class: {method: (mean, std)}}, empty where it has none."""
    return TABLES.get(_name(grid), {})


def _gan_note(grid):
    gan = grid.gan_protocol
    images = "all" if gan.test_images is None else f"{gan.test_images} random"
    return f"anogan: {gan.epochs} epochs, at most {gan.search_steps} search steps, {images} test images."


def _convergence_note(grid, out):
    """AnoGAN has converged on a class when the latent search has for at least half of the test images of all seeds."""
    if "anogan" not in grid.methods:
        return ""
    shares = {}
    for cell in cells_of(grid, ["anogan"]):
        if (value := read_cell(cell, out)) is not None and "converged" in value:
            shares.setdefault(cell.normal_class, []).append(value["converged"])
    if not shares:
        return ""
    means = {name: np.mean(found) for name, found in shares.items()}
    ended = ", ".join(f"{name} {100 * share:.0f} %" for name, share in means.items())
    few = [name for name, share in means.items() if share < 0.5]
    verdict = f"anogan did not converge on {', '.join(few)}" if few else "anogan converged"
    return (
        f"\n{verdict}, by this criterion: the latent search of at least half of the test images ends before its last "
        f"step ({ended}).\n"
    )


def _table(grid, entries, columns, ranks=False):
    lines = ["| normal class | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    for normal_class in grid.classes:
        texts = [_text(entries.get((normal_class, column))) for column in columns]
        lines.append(f"| {normal_class} | " + " | ".join(texts) + " |")
    values = _means(grid, entries, columns)
    lines.append(_summary("**mean**", values.mean(axis=0)))
    if ranks:
        lines.append(_summary("average rank", average_ranks(values)))
        unknown = (np.nan, np.nan)
        printed = np.array([[_printed(grid).get(c, {}).get(m, unknown)[0] for m in columns] for c in grid.classes])
        if _printed(grid):
            lines.append(_summary("paper: mean", printed.mean(axis=0)))
            lines.append(_summary("paper: average rank", average_ranks(printed)))
        lines += _complete_classes(grid, values, printed)
    return lines


def _complete_classes(grid, values, printed):
    """Means over the classes that all methods have, while there are others: only these can be compared."""
    complete = np.isfinite(values).all(axis=1)
    if complete.all() or not complete.any():
        return []
    names = ", ".join(name for name, whole in zip(grid.classes, complete) if whole)
    lines = [_summary(f"mean of {names}", values[complete].mean(axis=0))]
    if _printed(grid):
        lines.append(_summary("paper: mean of the same", printed[complete].mean(axis=0)))
        lines.append(_summary("paper: average rank on the same", average_ranks(printed[complete])))
    return lines


def _summary(title, numbers):
    return f"| {title} | " + " | ".join(_number(v) for v in numbers) + " |"


def _means(grid, entries, columns):
    blank = Entry(np.nan, np.nan, 0, None)
    return np.array([[entries.get((c, column), blank).mean for column in columns] for c in grid.classes])


def _text(entry):
    if entry is None:
        return "-"
    text = f"{entry.mean:.1f}" + (f" ± {entry.std:.1f}" if entry.n > 1 else "")
    if entry.paper:
        text += f" ({entry.paper[0]:.1f} ± {entry.paper[1]:.1f})"
    return text + (" **!**" if entry.differs else "") + (" **c**" if entry.collapsed else "")


def _seeds(n):
    return f"{n} seed{'' if n == 1 else 's'}"


def _number(value):
    return f"{value:.1f}" if np.isfinite(value) else "-"


def _latex(grid, entries):
    lines = [r"\begin{tabular}{l" + "c" * len(grid.methods) + "}", r"\hline"]
    lines += ["normal class & " + " & ".join(grid.methods) + r" \\", r"\hline"]
    for normal_class in grid.classes:
        texts = [_text(entries.get((normal_class, method))) for method in grid.methods]
        row = " & ".join(texts).replace("±", r"$\pm$").replace("**!**", r"$\dagger$").replace("**c**", r"$^c$")
        lines.append(f"{normal_class.replace('_', chr(92) + '_')} & {row} " + r"\\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def _write_csv(file, entries):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["normal_class", "method", "auc_mean", "auc_std", "n", "nu", "paper_mean", "paper_std", "differs", "collapsed"]
    )
    for (normal_class, heading), e in entries.items():
        paper = e.paper or ("", "")
        nu = "" if e.nu is None else e.nu
        numbers = (f"{e.mean:.3f}", f"{e.std:.3f}", e.n, nu, *paper, int(e.differs), e.collapsed)
        writer.writerow([normal_class, heading, *numbers])


def read_columns(path, methods: Collection[str] = PAPER_METHODS) -> dict[str, dict[str, tuple[float, float, int]]]:
    """{method: {class: (mean, standard deviation, n)}} of a table's report.csv, in %, of these methods.

    methods: the paper's, or stages of theirs, such as "one-class, random weights".
    A column is as `paper.distance_from` takes it. The deviation has n - 1 in its denominator here: nan for a single
    seed, 0 for what draws nothing.
    """
    columns: dict[str, dict[str, tuple[float, float, int]]] = {}
    with Path(path).open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["method"] in methods:
                entry = Entry(float(row["auc_mean"]), float(row["auc_std"]), int(row["n"]), None)
                values = entry.mean, float(_deviation(row["method"].partition(",")[0], entry)), entry.n
                columns.setdefault(row["method"], {})[row["normal_class"]] = values
    return columns


def _json(grid, out):
    """The grid, and all finished cells without what the grid says for them; every line is one JSON value."""
    cells = [value for _, value in _finished(grid, out)]
    versions = [dict(pairs) for pairs in dict.fromkeys(tuple(cell.pop("versions").items()) for cell in cells)]
    own = ("method", "normal_class", "nu", "seed")
    document = {
        "grid": {**asdict(grid), "data": Path(grid.data).name},
        "versions": versions,
        "cell_seconds": round(sum(cell["seconds"] for cell in cells), 1),
        "cells": [{**cell, "config": {name: cell["config"][name] for name in own}} for cell in cells],
    }
    return "{\n" + ",\n".join(f"{json_text(name)}: {_lines(value)}" for name, value in document.items()) + "\n}\n"


def _lines(value):
    """JSON of a value on one line; of a list one line for each entry."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(map(json_text, value)) + "\n]"
    return json_text(value)
