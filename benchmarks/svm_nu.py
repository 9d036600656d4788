"""OC-SVM from its usual nu up to 1, where its weights become all equal: from a boundary to a density estimate.

    python benchmarks/svm_nu.py --data cifar10 --out benchmarks/results/svm-nu-cifar10.json
                                                the committed result
    python benchmarks/svm_nu.py --quick                         two classes of the digits: does it run?

The dual's weights obey 0 <= a_i <= 1/(nu n) and sum to 1. At a small nu few samples, those on the edge of the class,
carry all the weight; at nu = 1 every a_i is 1/n, and the score is the kernel density estimate of bandwidth
h = 1/sqrt(2 gamma). For each class: the AUC in % on all test images of OC-SVM behind GCN-L1 and PCA at 95 %, for each
nu and gamma, and that of the density estimate with the same gammas. (scikit-learn's solver has no offset at nu = 1,
and gives up: hence 0.99.)
"""

import numpy as np
from common import add_data, class_by_class, make_parser, parse
from shallow import auc_of, components

from minisvdd.data.datasets import load_dataset
from minisvdd.experiments.paper import TABLES
from minisvdd.rivals.baselines import OneClassSVM
from minisvdd.rivals.density import KernelDensity
from minisvdd.svdd.preprocessing import preprocessing_for


def main():
    """Measure class by class; the file is written anew after each."""
    arguments = _arguments()
    dataset = load_dataset(arguments.data, arguments.data_dir)

    def rows(split):
        row = {"normal_class": split.normal_class, **_measure(split, arguments)}
        print(row, flush=True)
        yield row | {"paper": TABLES.get(dataset.name, {}).get(split.normal_class)}

    class_by_class(dataset, rows, arguments, nus=arguments.nus, gammas=arguments.gammas)


def _measure(split, arguments):
    """AUC in %: "oc_svm" holds a list over the gammas for each nu, "density" one list."""
    train, test = components(split.train, split.test, preprocessing_for(split.train), pca=True)

    def auc(model):
        return auc_of(model, train, test, split.is_anomaly)

    return {
        "oc_svm": [[auc(OneClassSVM(gamma, nu)) for gamma in arguments.gammas] for nu in arguments.nus],
        "density": [auc(KernelDensity(bandwidth=1 / np.sqrt(2 * gamma))) for gamma in arguments.gammas],
    }


def _arguments():
    parser = make_parser(__doc__, quick="two classes of the digits", out="benchmarks/results/svm-nu.json")
    add_data(parser)
    parser.add_argument("--nus", nargs="+", type=float, default=[0.1, 0.5, 0.9, 0.99])
    parser.add_argument("--gammas", nargs="+", type=float, default=[2.0**-10, 2.0**-1])
    return parse(parser, data="digits", classes=["0", "1"])


if __name__ == "__main__":
    main()
