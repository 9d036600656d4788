"""Pictures of an attack: originals, adversarial images and their difference; distance over queries; figure 4."""

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from ..experiments.plots import mosaic, outline


@style.context("default")
def plot_adversaries(adversaries, count: int = 8, amplification: float = 10.0) -> Figure:
    """Rows: originals, adversarial images, their difference times `amplification` around grey.

    adversaries: `minisvdd.attack.adversarial.Adversaries`.   count: images shown.
    """
    originals, changed = adversaries.originals[:count], adversaries.adversarials[:count]
    difference = np.clip(0.5 + amplification * (changed - originals), 0, 1)
    figure = Figure(figsize=(0.9 * len(originals) + 1.2, 2.9), layout="constrained")
    titles = ("original", "adversarial", f"difference x {amplification:g}")
    for axes, title, images in zip(figure.subplots(3, 1), titles, (originals, changed, difference)):
        axes.imshow(mosaic(images, len(images)), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title, fontsize=9, pad=2)
        axes.set_axis_off()
    return figure


@style.context("default")
def plot_distances(adversaries) -> Figure:
    """L2 distance to the original over the queries of every attack, and the median."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    queries, distances = adversaries.curve_queries, adversaries.curve_distances
    axes.loglog(queries, distances, color="#a0aec0", linewidth=0.8)[0].set_label("each image")
    axes.loglog(np.median(queries, axis=1), np.median(distances, axis=1), color="#2b6cb0", linewidth=2, label="median")
    axes.set(xlabel="queries", ylabel="L2 distance to the original")
    axes.legend(frameon=False)
    return figure


@style.context("default")
def plot_outlined(images: np.ndarray, scores: np.ndarray, marked: np.ndarray) -> Figure:
    """Figure 4: the 40 images with the largest scores, the largest first, `marked` ones outlined in green.

    images: (n, C, H, W) in [0, 1], C = 1 or 3.   scores: (n,), larger = more anomalous.   marked: (n,) bool.
    """
    rows, columns = 4, 10
    order = np.argsort(-scores, kind="stable")[: rows * columns]
    figure = Figure(figsize=(0.8 * columns, 0.8 * rows), layout="constrained")
    axes = figure.subplots()
    axes.imshow(mosaic(images[order], columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for place in np.flatnonzero(marked[order]):
        outline(axes, int(place), images.shape[2:], columns, "#48bb78", linewidth=2.5)
    axes.set_axis_off()
    return figure
