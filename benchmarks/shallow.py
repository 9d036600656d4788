r"""Which choices made the paper's columns of OC-SVM, KDE and isolation forest? Each class under each choice.

    python benchmarks/shallow.py --data mnist --out benchmarks/results/shallow-mnist.json
    python benchmarks/shallow.py --data runs/table2-gtsrb/stop-signs.npz --classes stop \
        --out benchmarks/results/shallow-stop-signs.json
    python benchmarks/shallow.py --quick           two classes of the digits: does it run?

Images as they are or after GCN-L1 and min-max scaling; all pixels or the principal components with 95 % of the
variance; every bandwidth of KDE (with the one that cross-validation of the likelihood takes), gammas of OC-SVM at nu
0.1, and an isolation forest. AUC on a random part of the test images; OC-SVM is trained on every fourth training image.
"""

from pathlib import Path

import numpy as np
from common import add_data, class_by_class, make_parser, parse
from scipy.special import logsumexp
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import euclidean_distances

from minisvdd.data.datasets import load_dataset
from minisvdd.experiments.paper import TABLES
from minisvdd.rivals.baseline import VARIANCE_KEPT
from minisvdd.rivals.density import BANDWIDTHS, KernelDensity
from minisvdd.rivals.forest import IsolationForest
from minisvdd.rivals.svm import GAMMAS, OneClassSVM
from minisvdd.svdd.preprocessing import make_preprocessing

SETTINGS = [(preprocessing, pca) for preprocessing in (None, "gcn-l1") for pca in (False, True)]


def main():
    """Measure class by class; the file is written anew after each."""
    arguments = _arguments()
    dataset = load_dataset(arguments.data, arguments.data_dir)
    chosen = np.random.default_rng(0).permutation(len(dataset.test_images))[: arguments.test_images]
    paper = TABLES.get(Path(dataset.name).stem, {})

    def rows(split):
        test, is_anomaly = split.test[chosen], split.is_anomaly[chosen]
        for preprocessing, pca in SETTINGS:
            Z = components(split.train, test, preprocessing, pca)
            row = {"normal_class": split.normal_class, "preprocessing": preprocessing, "pca": pca}
            row |= {"dimensions": Z[0].shape[1], **_measure(*Z, is_anomaly, arguments.gammas)}
            print(row, flush=True)
            yield row | {"paper": paper.get(split.normal_class)}

    settings = {"test_images": len(chosen), "bandwidths": BANDWIDTHS, "gammas": arguments.gammas}
    class_by_class(dataset, rows, arguments, **settings)


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
    model.fit_components(train)
    return round(100 * roc_auc_score(is_anomaly, model.score_components(test)), 2)


def _measure(train, test, is_anomaly, gammas):
    """AUC in % of every candidate; the cross-validation of the bandwidth takes every fourth training image, too."""

    def auc(model, samples):
        return auc_of(model, samples, test, is_anomaly)

    distances = euclidean_distances(test, train, squared=True)
    kde = [-logsumexp(distances / (-2 * h * h), axis=1) for h in BANDWIDTHS]  # up to a constant
    validated = KernelDensity()
    validated.fit_components(train[::4])
    return {
        "kde": [round(100 * roc_auc_score(is_anomaly, scores), 2) for scores in kde],
        "bandwidth_validated": validated.bandwidth_,
        "oc_svm": [auc(OneClassSVM(gamma=gamma), train[::4]) for gamma in gammas],
        "isolation_forest": [auc(IsolationForest(random_state=seed), train) for seed in range(3)],
    }


def _arguments():
    parser = make_parser(__doc__, quick="two classes of the digits", out="benchmarks/results/shallow.json")
    add_data(parser)
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--gammas", nargs="+", type=float, default=GAMMAS[::3])
    return parse(parser, data="digits", classes=["0", "1"])


if __name__ == "__main__":
    main()
