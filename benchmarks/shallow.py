r"""Which choices made the paper's columns of OC-SVM, KDE and isolation forest? Each class under each choice.

    python benchmarks/shallow.py --data mnist --out benchmarks/results/shallow-mnist.json
    python benchmarks/shallow.py --data runs/table2-gtsrb/stop-signs.npz --classes stop \
        --out benchmarks/results/shallow-stop-signs.json
    python benchmarks/shallow.py --quick           two classes of the digits: does it run?

Images as they are or after GCN-L1 and min-max scaling; all pixels or the principal components with 95 % of the
variance; every bandwidth of KDE (with the one that cross-validation of the likelihood takes), gammas of OC-SVM at nu
0.1, and an isolation forest. AUC on a random part of the test images; OC-SVM is trained on every fourth training image.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.special import logsumexp
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import euclidean_distances

from minisvdd.data.datasets import load_dataset
from minisvdd.experiments.experiments import versions
from minisvdd.experiments.paper import TABLES
from minisvdd.files.atomic import write_json
from minisvdd.rivals.baselines import BANDWIDTHS, GAMMAS, VARIANCE_KEPT, IsolationForest, KernelDensity, OneClassSVM
from minisvdd.svdd.preprocessing import make_preprocessing

SETTINGS = [(preprocessing, pca) for preprocessing in (None, "gcn-l1") for pca in (False, True)]


def main():
    """Measure class by class; the file is written anew after each."""
    arguments = _arguments()
    dataset, rows = load_dataset(arguments.data, arguments.data_dir), []
    chosen = np.random.default_rng(0).permutation(len(dataset.test_images))[: arguments.test_images]
    for normal_class in arguments.classes or dataset.class_names[: 2 if arguments.quick else None]:
        split = dataset.one_class(normal_class)
        test, is_anomaly = split.test[chosen], split.is_anomaly[chosen]
        for preprocessing, pca in SETTINGS:
            Z = components(split.train, test, preprocessing, pca)
            row = {
                "normal_class": normal_class,
                "preprocessing": preprocessing,
                "pca": pca,
                "dimensions": Z[0].shape[1],
            }
            row |= _measure(*Z, is_anomaly, arguments.gammas)
            row["paper"] = TABLES.get(Path(dataset.name).stem, {}).get(normal_class)
            rows.append(row)
            print({name: value for name, value in row.items() if name != "paper"}, flush=True)
        result = {"data": dataset.name, "test_images": len(test), "bandwidths": BANDWIDTHS, "gammas": arguments.gammas}
        write_json(arguments.out, {**result, "versions": versions(), "rows": rows})


def components(train, test, preprocessing, pca):
    """Both sets of images after pre-processing, and after PCA if asked for.  Two arrays (n, k) float64."""
    scaling = make_preprocessing(preprocessing).fit(train)
    train, test = (scaling.transform(X).reshape(len(X), -1).astype(np.float64) for X in (train, test))
    if not pca:
        return train, test
    model = PCA(VARIANCE_KEPT, svd_solver="covariance_eigh").fit(train)
    return model.transform(train), model.transform(test)


def auc_of(model, train, test, is_anomaly):
    """Fit a baseline on components and score others: AUC in %."""
    model._fit_components(train)
    return round(100 * roc_auc_score(is_anomaly, model._score_components(test)), 2)


def _measure(train, test, is_anomaly, gammas):
    """AUC in % of every candidate; the cross-validation of the bandwidth takes every fourth training image, too."""

    def auc(model, samples):
        return auc_of(model, samples, test, is_anomaly)

    distances = euclidean_distances(test, train, squared=True)
    kde = [-logsumexp(distances / (-2 * h * h), axis=1) for h in BANDWIDTHS]  # up to a constant
    validated = KernelDensity()
    validated._fit_components(train[::4])
    return {
        "kde": [round(100 * roc_auc_score(is_anomaly, scores), 2) for scores in kde],
        "bandwidth_validated": validated.bandwidth_,
        "oc_svm": [auc(OneClassSVM(gamma=gamma), train[::4]) for gamma in gammas],
        "isolation_forest": [auc(IsolationForest(random_state=seed), train) for seed in range(3)],
    }


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--classes", nargs="+", help="default: all")
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--gammas", nargs="+", type=float, default=GAMMAS[::3])
    parser.add_argument("--quick", action="store_true", help="two classes of the digits")
    parser.add_argument("--out", default="benchmarks/results/shallow.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
