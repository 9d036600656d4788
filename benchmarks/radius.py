"""Soft-boundary Deep SVDD under the exact radius and under the authors' line search, from one pre-trained autoencoder.

    python benchmarks/radius.py --data mnist --classes 3 8 --pretrain-epochs 30 --epochs 50     the committed result
    python benchmarks/radius.py --quick                                                         digits: does it run?

The rules (`minisvdd.svdd.radius`) differ in R^2 only, hence in which samples get a gradient. For each class, nu and
rule the result holds the test AUC, R^2, the fraction of training samples outside, and the same for One-Class Deep SVDD,
which has no radius while it trains. Every run of a class starts from the same weights and sees the same batches.
"""

import argparse
from dataclasses import asdict, replace

import numpy as np

from minisvdd import DeepSVDD
from minisvdd.data.datasets import load_dataset
from minisvdd.experiments.experiments import area_under_roc, autoencoder_of, network_of, versions
from minisvdd.experiments.paper import TABLE_1
from minisvdd.experiments.protocols import get_protocol
from minisvdd.files.atomic import write_json
from minisvdd.svdd.preprocessing import preprocessing_for

RULES, NUS = ("exact", "authors-theano", "last-batch"), (0.01, 0.1)


def main():
    """Run all classes; the file is written anew after each, so that a stopped run leaves what it has."""
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
    dataset, rows = load_dataset(arguments.data, arguments.data_dir), []
    for normal_class in arguments.classes:
        for seed in range(arguments.seeds):
            rows += _one_class(dataset.one_class(normal_class), dataset.name, protocol, seed)
            result = {"data": dataset.name, "protocol": asdict(protocol), "versions": versions(), "rows": rows}
            write_json(arguments.out, result)


def _one_class(split, data, protocol, seed):
    settings = {**asdict(protocol), "network": network_of(protocol, split), "random_state": seed, "verbose": 0}
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--classes", nargs="+", default=["3", "8"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--pretrain-epochs", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--quick", action="store_true", help="two epochs of the digits' threes")
    parser.add_argument("--out", default="benchmarks/results/radius.json")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.data, arguments.classes, arguments.pretrain_epochs, arguments.epochs = "digits", ["3"], 2, 2
    return arguments


if __name__ == "__main__":
    main()
