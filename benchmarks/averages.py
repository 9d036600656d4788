"""Batch norm evaluated by the mean of the batches' variances, or by that of their inverse deviations: what is between?

    python benchmarks/averages.py --data mnist --out benchmarks/results/averages-mnist.json        the committed result
    python benchmarks/averages.py --quick                                            digits, one class: does it run?

In training a batch is scaled by its own r = 1 / sigma; in evaluation we take 1 / sqrt(mean of sigma^2), the authors'
first scripts the mean of r. The function v^(-1/2) is convex, so that the second is never smaller (Jensen). Its Taylor
series about the mean variance, to second order, gives by how much, with s the coefficient of variation of sigma^2:

    E(v^(-1/2)) sqrt(E(v)) = 1 + 3/8 s^2 + ...

One-Class Deep SVDD is trained, then the weights stay, and the training batches pass three times more; both means run
along with batch norm's momentum. The rows hold both test AUC in % and the largest and mean of that ratio.
"""

from copy import deepcopy

import numpy as np
from common import add_data, class_by_class, make_parser, parse

from minisvdd.data.datasets import load_dataset
from minisvdd.experiments.experiments import area_under_roc, train_and_evaluate
from minisvdd.experiments.protocols import adjusted, get_protocol
from minisvdd.nn import BatchNorm
from minisvdd.nn.batches import fixed_batches

PASSES = 3


def main():
    """Train each class once, and evaluate it twice."""
    arguments = _arguments()
    dataset = load_dataset(arguments.data, arguments.data_dir)
    protocol = adjusted(get_protocol(arguments.protocol, dataset.name), epochs=arguments.epochs)

    def rows(split):
        model, _ = train_and_evaluate(split, protocol, seed=arguments.seed, verbose=0)
        norms = norms_of(model)
        inverse = mean_inverse_deviations(model, split.train, protocol.batch_size)
        ratios = np.concatenate([r * np.sqrt(_variance(norm)) for r, norm in zip(inverse, norms)])
        other = deepcopy(model)
        for r, norm in zip(inverse, norms_of(other)):
            norm.buffers["running_var"][...] = r**-2 - norm.epsilon
        auc = {
            "variances": 100 * area_under_roc(model, split),
            "inverse deviations": 100 * area_under_roc(other, split),
        }
        row = {"normal_class": split.normal_class, "auc": auc}
        print(row, flush=True)
        return [row | {"mean_ratio": float(ratios.mean()), "largest_ratio": float(ratios.max())}]

    class_by_class(dataset, rows, arguments, protocol=arguments.protocol, seed=arguments.seed)


def norms_of(model):
    """The batch norms of a fitted detector's network, in order."""
    return [layer for layer in model.network_.flat_layers() if isinstance(layer, BatchNorm)]


def mean_inverse_deviations(model, X, batch_size):
    """The running means of 1 / sigma, an array per batch norm; the running variances run along to the same batches."""
    norms, X = norms_of(model), model.preprocessing_.transform(X)
    means = [1 / np.sqrt(_variance(norm)) for norm in norms]
    for batch in PASSES * list(fixed_batches(len(X), batch_size)):
        before = [norm.buffers["running_var"].copy() for norm in norms]
        model.network_.forward(X[batch], training=True)
        for mean, norm, old in zip(means, norms, before):
            own = (norm.buffers["running_var"] - (1 - norm.momentum) * old) / norm.momentum  # this batch's variance
            mean += norm.momentum * (1 / np.sqrt(own + norm.epsilon) - mean)
    return means


def _variance(norm):
    return np.float64(norm.buffers["running_var"]) + norm.epsilon


def _arguments():
    parser = make_parser(__doc__, quick="one class of the digits, two epochs")
    add_data(parser)
    parser.add_argument("--protocol", default="best")
    parser.add_argument("--epochs", type=int, help="instead of the protocol's")
    parser.add_argument("--seed", type=int, default=0)
    return parse(parser, data="digits", classes=["3"], epochs=2)


if __name__ == "__main__":
    main()
