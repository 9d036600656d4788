"""The command `minisvdd score`: anomaly scores of samples by a saved model, as CSV."""

import argparse
import csv
import sys

from ..data.readers import read_samples
from ..errors import DataError
from ..files.atomic import atomic_write
from ..svdd.storage import load_model


def add_score(score: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    score.add_argument("model", metavar="MODEL.npz", help="which `minisvdd train` wrote")
    score.add_argument("samples", metavar="SAMPLES.npz|.npy", help="(n, C, H, W), (n, H, W) or (n, D)")
    score.add_argument(
        "--false-alarm-rate",
        type=float,
        help="move the threshold to this rate, by the scores of the normal samples held out of training",
    )
    score.add_argument("--out", help="CSV file to write (default: standard output)")
    score.add_argument(
        "--heatmaps",
        metavar="DIR",
        help="folder for one PNG per image that shows where it is: the picture, and what each pixel has to do with the "
        "score (default: none)",
    )
    score.set_defaults(run=_score)


def _score(arguments):
    model = load_model(arguments.model)
    if arguments.false_alarm_rate is not None:
        model.set_false_alarm_rate(arguments.false_alarm_rate)
    samples = read_samples(arguments.samples)
    try:
        scores = model.anomaly_score(samples)
    except ValueError as error:
        raise DataError(f"{arguments.samples}: {error}") from error
    if arguments.heatmaps:
        _write_heatmaps(arguments.heatmaps, model, samples, scores)
    outlier = -scores - model.offset_ < 0
    p_values = model.p_value_of(scores) if model.threshold_kind_ == "holdout" else [""] * len(scores)
    if arguments.out:
        with atomic_write(arguments.out) as file:
            _write_scores(file, scores, p_values, outlier)
        print(f"{len(scores)} scores, {int(outlier.sum())} beyond the threshold: {arguments.out}")
    else:
        _write_scores(sys.stdout, scores, p_values, outlier)
    return 0


def _write_scores(file, scores, p_values, outlier):
    """p_values: empty where the model has none."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["index", "anomaly_score", "p_value", "prediction"])
    for index, (score, p, out) in enumerate(zip(scores, p_values, outlier)):
        writer.writerow([index, repr(float(score)), p and repr(float(p)), -1 if out else 1])


def _write_heatmaps(folder, model, samples, scores, names=None):
    """Pictures of where it is, for images; says on standard error what was made, since scores may go to the other."""
    from ..experiments.heatmaps import save_heatmaps

    if samples.ndim != 4:
        raise DataError(f"--heatmaps {folder}: samples of shape {samples.shape[1:]} are no images (C, H, W)")
    paths = save_heatmaps(folder, samples, model.explain(samples), scores, names)
    print(f"{len(paths)} heat maps: {folder}", file=sys.stderr)
