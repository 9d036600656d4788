"""All methods on data of one's own: a grid of one class, a table of AUC, and all ROC curves in one picture.

The grid (`minisvdd.experiments.grid`) reads a file, so the split is written into one first, under the folder of the
experiment: `own-NAME.npz`. Cells that are finished stay, as long as its arrays are the same.
"""

from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from ..data.split import Dataset, Split, encode_labels
from ..errors import DataError
from ..experiments.grid import Grid, cells_of, dataset_of, read_grid, read_scores
from ..experiments.plots import save_figure
from ..experiments.report import collect
from ..files.arrays import write_arrays
from ..files.atomic import atomic_write
from ..files.names import safe_name
from .auc import auc_interval
from .images import dressed

# What is compared, and what it is called there: nobody's test set may choose its gamma.
METHODS = {
    "one-class": "one-class",
    "soft-boundary": "soft-boundary",
    "dcae": "dcae",
    "oc-svm": "oc-svm-no-labels",
    "kde": "kde",
    "isolation-forest": "isolation-forest",
    "anogan": "anogan",
}
SLOW = ("anogan",)  # compared only when asked for
_PREFIX = "own-"
_GRID_POINTS = 501


def split_file(split: Split, name: str, out) -> tuple[Path, Dataset]:
    """The file that is to hold the split for a grid, not yet written, and what `load_dataset` will read there.

    Raises ValueError, naming the data, without labelled test samples of both kinds: then there is no AUC.
    """
    if split.test is None or split.is_anomaly is None:
        raise ValueError(f"{name}: expected test samples with labels, to compare methods by: it has none")
    if len(np.unique(split.is_anomaly)) < 2:
        kind = "anomalous" if split.is_anomaly.all() else "normal"
        raise ValueError(f"{name}: expected normal and anomalous test samples, found {len(split.test)} {kind} ones")
    others = "other" if split.normal_class != "other" else "others"
    path = Path(out) / f"{_PREFIX}{safe_name(name)}.npz"
    y_train = np.full(len(split.train), split.normal_class)
    y_test = np.where(split.is_anomaly, others, split.normal_class)
    names, train_labels, test_labels = encode_labels(y_train, y_test, name)
    return path, Dataset(path.name, split.train, train_labels, split.test, test_labels, names)


def write_split(path: Path, dataset: Dataset) -> None:
    """Write what `split_file` has made; DataError when it cannot be written."""
    names = np.array(dataset.class_names)
    labels = {"y_train": names[dataset.train_labels], "y_test": names[dataset.test_labels]}
    write_arrays(path, {"x_train": dataset.train_images, "x_test": dataset.test_images, **labels})


def is_comparison(out) -> bool:
    """Whether a folder holds a grid on data of one's own; of one without a grid, or a damaged one, False."""
    try:
        return Path(read_grid(out).data).name.startswith(_PREFIX)
    except DataError:
        return False


def write_comparison(out) -> tuple[str, list[str]]:
    """Write comparison.md and .png into the folder of such a grid. Returns the Markdown and the files' names."""
    grid, entries, finished, total = collect(out)
    is_anomaly = dataset_of(grid).one_class(grid.classes[0]).is_anomaly
    rows = _rows(grid, entries)
    if not rows:
        raise DataError(f"{out}: none of its {total} cells is finished: run the experiment again")
    counts = int((~is_anomaly).sum()), int(is_anomaly.sum())
    markdown = _markdown(grid, entries, rows, counts, (finished, total))
    with atomic_write(Path(out) / "comparison.md") as file:
        file.write(markdown)
    save_figure(plot_roc(grid, rows, is_anomaly, out), Path(out) / "comparison.png")
    return markdown, ["comparison.md", "comparison.png"]


def _rows(grid: Grid, entries: dict) -> list[tuple]:
    """[(name, method, its Entry), ...], the largest AUC first."""
    normal_class, names = grid.classes[0], {method: name for name, method in METHODS.items()}
    found = [(method, entries.get((normal_class, method))) for method in grid.methods]
    rows = [(names.get(method, method), method, entry) for method, entry in found if entry is not None]
    return sorted(rows, key=lambda row: -row[2].mean)


def _markdown(grid, entries, rows, counts, cells):
    data, normal_class = Path(grid.data).stem.removeprefix(_PREFIX), grid.classes[0]
    normal, anomalous = counts
    notes = [
        f"Test AUC in %, mean ± standard deviation over seeds, of {normal} normal and {anomalous} anomalous samples.",
        "The interval of 95 % says what other test samples of the same kinds might show: methods whose intervals "
        "overlap by much cannot be told apart by these.",
        f"{cells[0]} of {cells[1]} cells are finished.",
    ]
    methods = [method for _, method, _ in rows]
    if "oc-svm-no-labels" in methods:
        notes.append("oc-svm chooses its gamma without labels.")
    if "soft-boundary" in methods:
        notes.append("For soft-boundary the better nu is shown, chosen by the test labels.")
    lines = [
        f"# Methods on {data}, normal class {normal_class}, protocol {grid.protocol_name}",
        "",
        " ".join(notes),
        "",
    ]
    lines += ["| method | test AUC | 95 % interval | seeds | before training |", "|---|---|---|---|---|"]
    for name, method, entry in rows:
        low, high = (100 * end for end in auc_interval(entry.mean / 100, normal, anomalous))
        before = entries.get((normal_class, f"{method}, random weights"))
        spread = f" ± {entry.std:.1f}" if entry.n > 1 else ""
        drawn = "" if before is None else f"{before.mean:.1f}"
        lines.append(f"| {name} | {entry.mean:.1f}{spread} | {low:.1f} to {high:.1f} | {entry.n} | {drawn} |")
    return "\n".join(lines) + "\n"


@style.context("default")
def plot_roc(grid: Grid, rows: list[tuple], is_anomaly: np.ndarray, out) -> Figure:
    """The ROC curve of each method, the mean over its seeds at every rate of false alarms."""
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    rates = np.linspace(0, 1, _GRID_POINTS)
    axes.plot([0, 1], [0, 1], ":", color="#9aa5b1", linewidth=1)
    for place, (name, method, entry) in enumerate(rows):
        found = [
            _roc(rates, is_anomaly, read_scores(cell, out))
            for cell in cells_of(grid, [method])
            if cell.nu == entry.nu and cell.scores_path(out).exists()
        ]
        if found:
            label = f"{name}  {entry.mean:.1f} %"
            axes.plot(rates, np.mean(found, axis=0), color=f"C{place}", linewidth=1.8, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="false alarms", ylabel="anomalies found", title="ROC curves, and AUC")
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    return dressed(figure)


def _roc(rates, is_anomaly, scores):
    """Anomalies found at these rates of false alarms; what a method has not scored is left out."""
    scored = np.isfinite(scores)
    alarms, found, _ = roc_curve(is_anomaly[scored], scores[scored])
    return np.interp(rates, alarms, found)
