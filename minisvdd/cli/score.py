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
    score.add_argument("--out", help="CSV file to write (default: standard output)")
    score.set_defaults(run=_score)


def _score(arguments):
    model = load_model(arguments.model)
    samples = read_samples(arguments.samples)
    try:
        scores = model.anomaly_score(samples)
    except ValueError as error:
        raise DataError(f"{arguments.samples}: {error}") from error
    outlier = -scores - model.offset_ < 0
    if arguments.out:
        with atomic_write(arguments.out) as file:
            _write_scores(file, scores, outlier)
        print(f"{len(scores)} scores, {int(outlier.sum())} beyond the threshold: {arguments.out}")
    else:
        _write_scores(sys.stdout, scores, outlier)
    return 0


def _write_scores(file, scores, outlier):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["index", "anomaly_score", "prediction"])
    for index, (score, out) in enumerate(zip(scores, outlier)):
        writer.writerow([index, repr(float(score)), -1 if out else 1])
