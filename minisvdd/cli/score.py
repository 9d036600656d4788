"""The command `minisvdd score`: anomaly scores of samples by a saved model, as CSV."""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score

from ..data import own
from ..data.datasets import sample_path
from ..data.folders import is_picture, read_folder
from ..data.readers import to_float
from ..data.split import class_index
from ..errors import DataError
from ..files.arrays import listed
from ..files.atomic import atomic_write
from ..svdd.storage import load_model
from . import options


def add_score(score: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    score.add_argument("model", metavar="MODEL.npz", help="which `minisvdd train` wrote")
    score.add_argument(
        "samples",
        metavar="SAMPLES|DIR",
        help="an .npz or .npy file of (n, C, H, W), (n, H, W) or (n, D), a .csv file of features, whose columns "
        "are known by their names, a picture, or a folder of pictures, which are read as those of the training were",
    )
    score.add_argument(
        "--normal-class",
        help="which of the samples' labels (or sub-folders) is normal, for the AUC (default: as in the training)",
    )
    score.add_argument(
        "--false-alarm-rate",
        type=float,
        help="move the threshold to this rate, by the scores of the normal samples held out of training",
    )
    options.add_data_dir(score)
    options.add_skip_damaged(score)
    score.add_argument("--out", help="CSV file to write (default: standard output)")
    score.add_argument(
        "--heatmaps",
        metavar="DIR",
        help="folder for one PNG per image that shows where it is: the picture, and what each pixel has to do with the "
        "score (default: none)",
    )
    score.set_defaults(run=_score)


class Table(NamedTuple):
    """What is to be scored. names: files, or None; labels: (n,) strings, or None; feature_names: or None."""

    samples: np.ndarray
    names: tuple[str, ...] | None
    labels: np.ndarray | None
    notes: tuple[str, ...]
    feature_names: tuple[str, ...] | None = None


def _score(arguments):
    if arguments.heatmaps:
        options.check_heatmaps(arguments.heatmaps)
    model = load_model(arguments.model)
    if arguments.false_alarm_rate is not None:
        model.set_false_alarm_rate(arguments.false_alarm_rate)
    samples = str(sample_path(arguments.samples, arguments.data_dir))
    options.check_skip_damaged(arguments, samples)
    table = read_new(samples, model, arguments.skip_damaged)
    options.print_notes(table.notes)
    trained = _trained_class(Path(arguments.model).with_name("result.json"))
    normal_class = normal_label(samples, table.labels, arguments.normal_class, trained)
    scores = _scores(samples, model, table.samples)
    p_values = model.p_value_of(scores) if model.threshold_kind_ == "holdout" else None
    outlier = -scores - model.offset_ < 0
    if arguments.heatmaps:
        _write_heatmaps(arguments.heatmaps, model, table, scores)
    if arguments.out:
        with atomic_write(arguments.out) as file:
            _write_scores(file, table.names, scores, p_values, outlier)
        print(f"{len(scores)} scores, {int(outlier.sum())} beyond the threshold: {arguments.out}")
    else:
        _write_scores(sys.stdout, table.names, scores, p_values, outlier)
    if (summary := _auc(table.labels, normal_class, scores)) is not None:
        print(summary, file=sys.stdout if arguments.out else sys.stderr)
    return 0


def read_new(source: str, model, skip_damaged: bool = False) -> Table:
    """New samples for a fitted model: a folder, a picture, or a file as `own.read_samples` takes it.

    Of a table with names, the columns that the model was trained on. Raises DataError, naming file and array, for what
    is not understood.
    """
    path = Path(source)
    if path.is_dir() or is_picture(path):
        pictures = read_folder(path, model.input_shape_, skip_damaged)
        return Table(to_float(pictures.images), pictures.names, pictures.labels, pictures.notes)
    columns = columns_of(model)
    found = own.read_samples(source, columns)
    return Table(found.samples, None, found.labels, found.notes, found.feature_names or columns)


def columns_of(model) -> tuple[str, ...] | None:
    """Names of the features that a model was trained on; None where they had none, and of images."""
    return tuple(getattr(model, "feature_names_in_", ())) or None


def _scores(name, model, samples):
    if len(samples) == 0:
        return np.empty(0)
    try:
        return model.anomaly_score(samples)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from error


def _write_scores(file, names, scores, p_values, outlier):
    """One row per sample: a folder's with the most anomalous first, an array's in their own order.

    p_values: None for a threshold that promises nothing; their column is empty then.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["index" if names is None else "file", "anomaly_score", "p_value", "prediction"])
    order = range(len(scores)) if names is None else np.argsort(-scores, kind="stable")
    for k in order:
        name = k if names is None else names[k]
        p_value = "" if p_values is None else repr(float(p_values[k]))
        writer.writerow([name, repr(float(scores[k])), p_value, -1 if outlier[k] else 1])


def _write_heatmaps(folder, model, table, scores):
    """Pictures of where it is, for images; says on standard error what was made, since scores may go to the other."""
    from ..experiments.heatmaps import save_heatmaps

    if table.samples.ndim != 4:
        raise DataError(f"--heatmaps {folder}: samples of shape {table.samples.shape[1:]} are no images (C, H, W)")
    maps = model.explain(table.samples) if len(scores) else np.empty((0, *table.samples.shape[2:]))
    paths = save_heatmaps(folder, table.samples, maps, scores, table.names)
    print(f"{len(paths)} heat maps: {folder}", file=sys.stderr)


# --- The AUC, where the samples have labels ---------------------------------------------------------------------------


def normal_label(source: str, labels: np.ndarray | None, wanted: str | None, trained: object) -> str | None:
    """The label of normal samples: what the user wants, else that of the training, where it is known.

    None without labels, and, which is said on stderr, where none of them is known to be normal.
    Raises ValueError for a class that is wanted and not there.
    """
    if labels is None:
        if wanted is not None:
            raise ValueError(f"--normal-class: {source} has no labels")
        return None
    classes = sorted(set(labels))
    if wanted is not None:
        return classes[class_index(classes, wanted, "--normal-class")]
    if trained in classes:
        return trained
    print(f"minisvdd: labels {listed(classes)}: give --normal-class for the AUC", file=sys.stderr)
    return None


def _trained_class(path):
    """The normal class in the result that `minisvdd train` wrote beside its model; None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("normal_class")
    except (OSError, ValueError, AttributeError):
        return None


def _auc(labels, normal_class, scores):
    """A line with the AUC, None without labels of both kinds."""
    if normal_class is None:
        return None
    is_anomaly = labels != normal_class
    if len(set(is_anomaly)) < 2:
        return f"no AUC: all {len(labels)} samples are {'anomalous' if is_anomaly.all() else 'normal'}"
    auc = 100 * roc_auc_score(is_anomaly, scores)
    return f"AUC {auc:.2f} %: {int((~is_anomaly).sum())} normal ({normal_class}) and {int(is_anomaly.sum())} anomalous"
