"""Figures 2 and 3 of the paper from the scores that a grid has kept: any method, any classes, no second training.

Each row is a class: at the left the test samples *of that class* which its detector finds most normal, at the right
those it finds most anomalous.
"""

from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from ..errors import DataError
from .grid import cells_of, dataset_of, read_scores
from .plots import mosaic, save_figure
from .report import collect


@style.context("default")
def plot_grid_examples(out, method: str, classes=None, *, seed: int = 0, columns: int = 8, data_dir=None) -> Figure:
    """The most normal and most anomalous in-class test images by `method`, one row per class.

    out: folder of a grid (`minisvdd.experiments.running.run`).   classes: names, None for all of the grid.   seed:
    which cells. Where a method has several nu, those of the better AUC, as in the table. AnoGAN's unscored images are
    left out. Raises ValueError for a method, class or seed that the grid has not, DataError for missing or damaged
    scores, for data other than the grid's, and for samples that are no images.
    """
    grid, entries, _, _ = collect(out)
    chosen = tuple(classes or grid.classes)
    _check_known(out, "method", [method], grid.methods)
    _check_known(out, "classes", chosen, grid.classes)
    dataset = dataset_of(grid, data_dir)
    figure = Figure(figsize=(1.2 + 0.62 * columns, 0.36 * len(chosen) + 0.4), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.01, hspace=0)
    rows = figure.subplots(len(chosen), 2, squeeze=False)
    for normal_class, axes in zip(chosen, rows):
        split = dataset.one_class(normal_class)
        scores = _scores(grid, entries, out, method, normal_class, seed)
        for axis, ranked in zip(axes, _extremes(split, scores, columns)):
            axis.imshow(mosaic(split.test[ranked], columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel(normal_class, rotation=0, ha="right", va="center", fontsize=8)
    for axis, title in zip(rows[0], (f"most normal by {method}", f"most anomalous by {method}")):
        axis.set_title(title, fontsize=9)
    return figure


def save_grid_examples(
    out, methods=None, classes=None, *, seed: int = 0, columns: int = 8, data_dir=None
) -> list[Path]:
    """OUT/examples-METHOD.png for each method (None: all of the grid); returns the paths. Errors: as above."""
    paths = []
    for method in methods or collect(out)[0].methods:
        figure = plot_grid_examples(out, method, classes, seed=seed, columns=columns, data_dir=data_dir)
        paths.append(save_figure(figure, Path(out) / f"examples-{method}.png"))
    return paths


def _scores(grid, entries, out, method, normal_class, seed):
    """Scores of the cell of this class and seed, with the nu that the table shows."""
    entry = entries.get((normal_class, method))
    if entry is None:
        raise DataError(f"{out}: {method} on class {normal_class} is not finished: run the experiment again")
    for cell in cells_of(grid, [method]):
        if (cell.normal_class, cell.nu) == (normal_class, entry.nu) and cell.seed in (seed, None):
            return read_scores(cell, out)
    raise ValueError(f"seed={seed}: the experiment in {out} has seeds 0 to {grid.seeds - 1}")


def _extremes(split, scores, count):
    """Indices of the split's own test images with the smallest scores, and with the largest, each in order."""
    if split.test.ndim != 4 or split.test.shape[1] not in (1, 3):
        raise DataError(f"samples of shape {split.test.shape[1:]} are no images to show")
    if len(scores) != len(split.test):
        raise DataError(f"{len(scores)} scores for {len(split.test)} test samples: the experiment had other data")
    own = np.flatnonzero(~split.is_anomaly & np.isfinite(scores))
    order = own[np.argsort(scores[own], kind="stable")]
    return order[:count], order[::-1][:count]


def _check_known(out, name, values, known):
    for value in values:
        if value not in known:
            raise ValueError(f"{name}={value!r}: the experiment in {out} has {', '.join(known)}")
