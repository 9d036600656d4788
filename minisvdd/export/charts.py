"""The figures of a report: histogram of scores, ROC, precision and recall, and the curves of a training."""

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from ..experiments.plots import ANOMALY, NORMAL, draw_curve, plot_scores, training_curves
from ..svdd.svdd import DeepSVDD
from .findings import Findings
from .images import dressed

_SIZE = (4.6, 3.5)  # inches
_MOST_POINTS = 400  # of a curve: more are not seen, and make the file large


@style.context("default")
def scores(f: Findings) -> Figure:
    """Histogram of the scores, by kind where it is known, and the threshold."""
    figure = plot_scores(f.scores, f.is_anomaly, -f.model.offset_)
    figure.set_size_inches(_SIZE)
    return dressed(figure)


@style.context("default")
def roc(f: Findings) -> Figure:
    """Anomalies found against false alarms, at every threshold; this detector's is a dot."""
    alarms, found, _ = roc_curve(f.is_anomaly, f.scores)
    figure, axes = _axes("ROC curve", "false alarms", "anomalies found")
    axes.plot([0, 1], [0, 1], ":", color="#9aa5b1", linewidth=1)
    _curve(axes, alarms, found)
    here = (f.outlier[~f.is_anomaly].mean(), f.outlier[f.is_anomaly].mean())
    axes.plot(*here, "o", color=ANOMALY, clip_on=False, zorder=5)
    return dressed(figure)


@style.context("default")
def precision_recall(f: Findings) -> Figure:
    """Precision against recall, at every threshold; this detector's is a dot, the dotted line is chance."""
    precision, recall, _ = precision_recall_curve(f.is_anomaly, f.scores)
    figure, axes = _axes("Precision and recall", "recall: anomalies found", "precision")
    axes.axhline(f.is_anomaly.mean(), linestyle=":", color="#9aa5b1", linewidth=1)
    _curve(axes, recall[::-1], precision[::-1])
    if f.outlier.any():
        here = (f.outlier[f.is_anomaly].mean(), f.is_anomaly[f.outlier].mean())
        axes.plot(*here, "o", color=ANOMALY, clip_on=False, zorder=5)
    return dressed(figure)


@style.context("default")
def training(model) -> list[tuple[str, Figure]]:
    """(title, figure) of each curve that the model keeps of its training."""
    figures = []
    for title, values, key in _curves(model):
        figure = Figure(figsize=_SIZE, layout="constrained")
        draw_curve(figure.subplots(), title, values, key)
        figures.append((title, dressed(figure)))
    return figures


def _curves(model):
    history = getattr(model, "history_", {})
    if isinstance(model, DeepSVDD):
        inner = model.autoencoder_
        curves = training_curves(history, None if inner is None else getattr(inner, "history_", None))
    else:
        curves = [(f"{type(model).__name__}: {key}", history, key) for key in history if key != "epoch"]
    return [curve for curve in curves if _is_curve(curve[1].get("epoch"), curve[1][curve[2]])]


def _is_curve(epochs, values):
    """Whether a history holds as many finite numbers as epochs: a file may have been written by hand."""
    try:
        x, y = np.asarray(epochs, float), np.asarray(values, float)
    except (TypeError, ValueError):
        return False
    return x.ndim == 1 and len(x) > 0 and x.shape == y.shape and bool(np.isfinite(y).all())


@style.context("default")
def _axes(title, x, y):
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.02))
    ticks = np.linspace(0, 1, 6)
    axes.set_xticks(ticks, [f"{100 * t:.0f} %" for t in ticks])
    axes.set_yticks(ticks, [f"{100 * t:.0f} %" for t in ticks])
    return figure, axes


def _curve(axes, x, y):
    some = np.unique(np.linspace(0, len(x) - 1, min(_MOST_POINTS, len(x))).astype(int))
    axes.plot(x[some], y[some], color=NORMAL, linewidth=2, solid_joinstyle="round")
    axes.fill_between(x[some], y[some], color=NORMAL, alpha=0.08, linewidth=0)
