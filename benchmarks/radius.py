"""Soft-boundary Deep SVDD under the exact radius and under the authors' line search, from one pre-trained autoencoder.

    python benchmarks/radius.py --data mnist --classes 3 8 --pretrain-epochs 30 --epochs 50     the committed result
    python benchmarks/radius.py --quick                                                         digits: does it run?

The rules (`minisvdd.svdd.radius`) differ in R^2 only, hence in which samples get a gradient. For each class, nu and
rule the result holds the test AUC, R^2, the fraction of training samples outside, and the same for One-Class Deep SVDD,
which has no radius while it trains. Every run of a class starts from the same weights and sees the same batches.
"""

from dataclasses import asdict, replace

import numpy as np
from common import add_data, class_by_class, make_parser, parse

from minisvdd import DeepSVDD
from minisvdd.data.datasets import load_dataset
from minisvdd.experiments.experiments import area_under_roc, autoencoder_of, network_of
from minisvdd.experiments.paper import TABLE_1
from minisvdd.experiments.protocols import arguments_of, get_protocol
from minisvdd.svdd.preprocessing import preprocessing_for

RULES, NUS = ("exact", "authors-theano", "last-batch"), (0.01, 0.1)


def main():
    """Run all classes."""
    arguments = _arguments()
    protocol = get_protocol("paper" if arguments.data == "mnist" else "quick", arguments.data)
    protocol = replace(
        protocol,
        pretrain_epochs=arguments.pretrain_epochs,
        pretrain_milestones=(int(0.7 * arguments.pretrain_epochs),),
        epochs=arguments.epochs,
        milestones=(int(0.6 * arguments.epochs),),
        learning_rate=arguments.learning_rate,
    )
    dataset = load_dataset(arguments.data, arguments.data_dir)

    def rows(split):
        return [row for seed in range(arguments.seeds) for row in _one_seed(split, dataset.name, protocol, seed)]

    class_by_class(dataset, rows, arguments, protocol=asdict(protocol))


def _one_seed(split, data, protocol, seed):
    settings = {
        **arguments_of(protocol),
        "network": network_of(protocol, split),
        "random_state": seed,
        "verbose": 0,
        "threshold": "nu",
    }
    settings["preprocessing"] = preprocessing_for(split.train)
    autoencoder = autoencoder_of(protocol, split, seed).fit(split.train)
    print(f"class {split.normal_class}, seed {seed}: dcae {area_under_roc(autoencoder, split):.4f}", flush=True)
    runs = [("one-class", 0.1, "exact")] + [("soft-boundary", nu, rule) for nu in NUS for rule in RULES]
    rows = []
    for objective, nu, rule in runs:
        auc = {}
        model = DeepSVDD(objective, nu, autoencoder=autoencoder, **{**settings, "radius_update": rule})
        model.fit(split.train, on_stage=_record(auc, split))
        paper = TABLE_1.get(data, {}).get(split.normal_class, {}).get(objective)
        history = {name: np.round(model.history_[name], 5).tolist() for name in ("radius", "fraction_outside")}
        rows.append(
            {
                "normal_class": split.normal_class,
                "seed": seed,
                "objective": objective,
                "nu": nu,
                "radius_update": None if objective == "one-class" else rule,
                "auc": auc,
                "paper": paper,
                "radius_squared": model.radius_**2,
                "fraction_outside": float((model.anomaly_score(split.train) > -model.offset_).mean()),
                "median_squared_distance": _median_squared_distance(model, split.train),
                "history": history,
            }
        )
        print(f"  {objective:13} nu {nu:<5} {rule:14} AUC {100 * auc['trained']:.2f}", flush=True)
    return rows


def _record(auc, split):
    return lambda stage, model: auc.update({stage: area_under_roc(model, split)})


def _median_squared_distance(model, X):
    scores = model.anomaly_score(X)
    return float(np.median(scores + (model.radius_**2 if model.objective == "soft-boundary" else 0)))


def _arguments():
    parser = make_parser(__doc__, quick="two epochs of the digits' threes", out="benchmarks/results/radius.json")
    add_data(parser, classes=["3", "8"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--pretrain-epochs", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    return parse(parser, data="digits", classes=["3"], pretrain_epochs=2, epochs=2)


if __name__ == "__main__":
    main()
