"""The pictures of a training: examples by score (paper, figure 2), histogram of scores, curves over the epochs.

Figures are made without pyplot: no global state, no display needed. They are drawn and saved in matplotlib's default
style: what a user's matplotlibrc says (LaTeX, other fonts) is meant for other figures, and may not work here.
"""

from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ..files.atomic import atomic_write
from ..files.marks import mark
from ..validation import as_images, check_kinds

NORMAL, ANOMALY, _UNLABELLED, _LINE = "#2b6cb0", "#c53030", "#718096", "#1a202c"
TRAINING_PICTURES = ("examples.png", "scores.png", "training.png")
_ONE_NUMBER = 1e-9  # how far apart scores may be, over their size, to be drawn as one
_SMALL = 32  # pixels: larger images are made smaller to be shown, and their pixels averaged


@style.context("default")
def plot_examples(
    images: np.ndarray, scores: np.ndarray, rows: int = 4, columns: int = 8, is_anomaly: np.ndarray | None = None
) -> Figure:
    """Figure 2: the most normal images at the left, the most anomalous at the right, each in reading order.

    images: (n, C, H, W) with C = 1 or 3, or another layout that training takes; scaled for display where they leave
    [0, 1].   scores: (n,), larger = more anomalous.   is_anomaly: (n,) bool, or 0 and 1, by which each is framed; None
    for no frames.
    """
    kinds = None if is_anomaly is None else check_kinds(is_anomaly, len(scores))
    order = np.argsort(scores, kind="stable")
    count = min(rows * columns, len(order))
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    sides = (("most normal", order[:count]), ("most anomalous", order[::-1][:count]))
    images = displayed(as_images(images))
    smoothing = "nearest" if max(images.shape[2:]) <= _SMALL else "antialiased"
    for axes, (title, chosen) in zip(figure.subplots(1, 2), sides):
        axes.imshow(mosaic(images[chosen], columns), cmap="gray", vmin=0, vmax=1, interpolation=smoothing)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
        for place, index in enumerate(chosen if kinds is not None else ()):
            outline(axes, place, images.shape[2:], columns, ANOMALY if kinds[index] else NORMAL, inset=0.03)
    if kinds is not None:
        colours = (("normal", NORMAL), ("anomalous", ANOMALY))
        frames = [Patch(fill=False, edgecolor=colour, label=kind) for kind, colour in colours]
        figure.legend(handles=frames, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def outline(
    axes: Axes, place: int, size: tuple[int, int], columns: int, color: str, linewidth: float = 1.5, inset: float = 0.0
) -> None:
    """Frame the image at a place of a `mosaic` that is shown in `axes`.

    size: (H, W) of one image.   inset: how far inside its border, as a fraction of the height.
    """
    (row, column), (height, width), inside = divmod(place, columns), size, inset * size[0]
    corner = (column * (width + 1) - 0.5 + inside, row * (height + 1) - 0.5 + inside)
    sides = (width - 2 * inside, height - 2 * inside)
    axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=color, linewidth=linewidth))


def displayed(images: np.ndarray) -> np.ndarray:
    """Images as they can be shown: from 0 to 1 as they are, to 255 divided by it, others from least to largest."""
    low, high = images.min(), images.max()
    if low >= 0 and high <= 1:
        return images
    if low < 0 or high > 255:
        return (images - low) / ((high - low) or 1)
    return images / 255


@style.context("default")
def plot_scores(
    scores: np.ndarray, is_anomaly: np.ndarray | None, threshold: float, auc: float | None = None
) -> Figure:
    """Histogram of anomaly scores, normal and anomalous samples apart where labels are known, and the threshold.

    is_anomaly: (n,) bool, or 0 and 1, or None for samples without labels.

    The axis ends at the 99 % quantile, since a few far anomalies would squeeze all else into one bar.
    """
    kinds = [("unlabelled", _UNLABELLED, np.ones(len(scores), bool))]
    if is_anomaly is not None:
        is_anomaly = check_kinds(is_anomaly, len(scores))
        kinds = [("normal", NORMAL, ~is_anomaly), ("anomalous", ANOMALY, is_anomaly)]
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    bins = _bins(scores, threshold)
    for label, color, chosen in kinds:
        if chosen.any():
            seen = bool((scores[chosen] <= bins[-1]).any())  # of no sample there is no density
            axes.hist(scores[chosen], bins, density=seen, alpha=0.6, color=color, label=f"{label} ({chosen.sum()})")
    axes.axvline(threshold, color=_LINE, linewidth=1, linestyle="--", label="threshold")
    axes.set(xlabel="anomaly score", ylabel="density", title="" if auc is None else f"test AUC {100 * auc:.1f} %")
    axes.legend(frameon=False)
    return figure


def _bins(scores, threshold):
    """Where the bars of n samples end; there are twice the root of n, between 10 and 60."""
    low, high = scores.min(), max(np.quantile(scores, 0.99), threshold * 1.05)
    if high - low <= _ONE_NUMBER * abs(low):  # one sample, or samples that are all alike
        high = low + (abs(low) or 1)
    return np.linspace(low, high, 1 + int(np.clip(2 * np.sqrt(len(scores)), 10, 60)))


@style.context("default")
def plot_training(history: dict, autoencoder_history: dict | None = None) -> Figure:
    """The `training_curves` beside each other."""
    curves = training_curves(history, autoencoder_history)
    figure = Figure(figsize=(3.2 * max(len(curves), 1), 2.8), layout="constrained")
    for axes, curve in zip(np.ravel(figure.subplots(1, max(len(curves), 1))), curves):
        draw_curve(axes, *curve)
    return figure


def training_curves(history: dict, autoencoder_history: dict | None = None) -> list[tuple[str, dict, str]]:
    """(title, history, key) of each: loss of pre-training and of Deep SVDD, radius, fraction outside if it changes.

    One-class Deep SVDD computes R in every epoch so that a share nu lies outside: that curve would say nothing.
    """
    curves = [
        ("autoencoder: loss", autoencoder_history, "loss"),
        ("Deep SVDD: loss", history, "loss"),
        ("Deep SVDD: radius R", history, "radius"),
        ("fraction outside", history, "fraction_outside"),
    ]
    curves = [curve for curve in curves if curve[1] and curve[1].get("epoch") and curve[2] in curve[1]]
    return [curve for curve in curves if curve[2] != "fraction_outside" or len(set(curve[1][curve[2]])) > 1]


def draw_curve(axes: Axes, title: str, history: dict, key: str) -> None:
    """One of the `training_curves` over the epochs."""
    axes.plot(history["epoch"], history[key], color=NORMAL)
    if key == "loss" and min(history[key]) > 0:
        axes.set_yscale("log")
    if key == "fraction_outside":
        axes.set_ylim(0, max(0.2, 1.1 * max(history[key])))
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch")


@style.context("default")
def save_figure(figure: Figure, path, kind: str = "picture") -> Path:
    """Write a PNG atomically, marked as ours (`minisvdd.files.marks`); returns its path."""
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=110, metadata=mark(kind))
    return Path(path)


def save_training_pictures(model, split, folder, auc: float | None = None) -> list[Path]:
    """The pictures of a fitted model in `folder`: examples.png (images only), scores.png, training.png."""
    examples, histogram, curves = (Path(folder) / name for name in TRAINING_PICTURES)
    paths = []
    if split.test is not None:
        scores = model.anomaly_score(split.test)
        if split.test.ndim == 4 and split.test.shape[1] in (1, 3):
            figure = plot_examples(split.test, scores, is_anomaly=split.is_anomaly)
            paths.append(save_figure(figure, examples))
        paths.append(save_figure(plot_scores(scores, split.is_anomaly, -model.offset_, auc), histogram))
    autoencoder = getattr(model, "autoencoder_", None)
    figure = plot_training(model.history_, autoencoder.history_ if autoencoder is not None else None)
    paths.append(save_figure(figure, curves))
    return paths


def mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """(n, C, H, W) -> one image (height, width) or (height, width, 3) with a white line between neighbours.

    images: C = 1 or 3; what lies outside [0, 1] is clipped.   columns: images side by side, in reading order.
    """
    n, C, H, W = images.shape
    rows = -(-n // columns)
    canvas = np.ones((C, rows * (H + 1) - 1, columns * (W + 1) - 1))
    for index, image in enumerate(images):
        top, left = (index // columns) * (H + 1), (index % columns) * (W + 1)
        canvas[:, top : top + H, left : left + W] = np.clip(image, 0, 1)
    return canvas[0] if C == 1 else canvas.transpose(1, 2, 0)
