"""How visible is an adversarial image? AUC of detectors over the Boundary Attack's queries, for two kinds of start.

    python benchmarks/budgets.py --folder runs/table2-gtsrb      the committed result, after table 2 in that folder
    python benchmarks/budgets.py --quick                         digits: does it run?

The longer the attack, the nearer its images are to the originals. The paper does not say how far its own attack went,
nor whether it started from images of other classes or from noise; so table 2 can only be compared with curves. Every
budget attacks the same images from the same starting points: a shorter attack is the beginning of a longer one. Each
detector is trained once and scores all of them.
"""

import itertools
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import make_parser, parse, write_rows
from sklearn.metrics import roc_auc_score

from minisvdd import load_model
from minisvdd.attack.adversarial import SETTINGS, attack_class, trained_classifier
from minisvdd.data.datasets import load_dataset
from minisvdd.experiments.experiments import run
from minisvdd.experiments.grid import cells_of, make_grid, protocol_of, read_grid, setting_of
from minisvdd.experiments.methods import METHODS

DETECTORS = ("kde", "isolation-forest", "dcae", "one-class")
STARTS = ("images", "noise")


def main():
    """Attack with every budget, train every detector, write their AUCs."""
    arguments = _arguments()
    with TemporaryDirectory() as scratch:
        folder = Path(arguments.folder or scratch)
        dataset = load_dataset(arguments.data, arguments.data_dir)
        _, target_class, count, _ = SETTINGS[arguments.data]
        classifier = trained_classifier(dataset, folder / "classifier.npz", verbose=0)
        rows, attacks = [], []
        for start, queries in itertools.product(STARTS, arguments.queries):
            options = {"count": count, "queries": queries, "start": start, "verbose": 0}
            attacks.append(attack_class(dataset, classifier, target_class, **options))
            rows.append({"start": start, "queries": queries, "median_l2": float(np.median(attacks[-1].distances))})
            rows[-1]["misclassified"] = int(attacks[-1].success.sum())
            print(rows[-1], flush=True)
        split = _with_all(dataset.one_class(target_class), attacks)
        grid = _grid(folder, arguments)
        for cell in cells_of(grid, DETECTORS):
            scores = _scores(grid, cell, split, folder)
            for row, auc in zip(rows, _auc_by_attack(split, scores, len(attacks))):
                row.setdefault(cell.method, []).append(auc)
            print(f"{cell.method} {cell.seed}:", [round(row[cell.method][-1], 4) for row in rows], flush=True)
            write_rows(arguments.out, rows, data=dataset.name, seeds=arguments.seeds)


def _scores(grid, cell, split, folder):
    """Scores of the test samples; the autoencoder is not trained again where table 2 has left its weights."""
    path = cell.autoencoder_path(folder)
    if cell.method == "dcae" and path.is_file():
        return load_model(path).anomaly_score(split.test)
    return run(METHODS[cell.method].steps(split, protocol_of(grid, cell), setting_of(grid, cell, folder)))["scores"]


def _with_all(split, attacks):
    """The split whose test samples are the normal ones, then the images of all attacks."""
    normal = split.test[~split.is_anomaly]
    images = np.concatenate([attack.adversarials for attack in attacks])
    is_anomaly = np.repeat([False, True], [len(normal), len(images)])
    return replace(split, test=np.concatenate([normal, images]), is_anomaly=is_anomaly)


def _auc_by_attack(split, scores, n_attacks):
    normal = scores[~split.is_anomaly]
    for own in np.split(scores[split.is_anomaly], n_attacks):
        truth = np.repeat([False, True], [len(normal), len(own)])
        yield float(roc_auc_score(truth, np.concatenate([normal, own])))


def _grid(folder, arguments):
    """Table 2, whose pre-trained weights lie in its folder."""
    if arguments.folder:
        return replace(read_grid(folder), seeds=arguments.seeds)
    grid = make_grid(arguments.data, classes=[SETTINGS[arguments.data][1]], seeds=1, protocol="quick")
    return replace(grid, protocol=replace(grid.protocol, pretrain_epochs=2, epochs=2))


def _arguments():
    parser = make_parser(__doc__, quick="the digits, two budgets, two epochs", out="benchmarks/results/budgets.json")
    parser.add_argument("--data", default="gtsrb", choices=list(SETTINGS))
    parser.add_argument("--data-dir")
    parser.add_argument("--folder", help="folder of table 2's experiment: its classifier and pre-trained weights")
    parser.add_argument("--queries", type=int, nargs="+", default=[100, 300, 1000, 3000, 10000])
    parser.add_argument("--seeds", type=int, default=3)
    return parse(parser, data="digits", folder=None, queries=[30, 100])


if __name__ == "__main__":
    main()
