"""Deep SVDD with one choice of the protocol changed at a time: which of them moves the AUC, and how far?

    python benchmarks/choices.py --data mnist --classes 4 9 --seeds 3 --jobs 2      the committed result
    python benchmarks/choices.py --quick                                          digits: does it run?
    python benchmarks/choices.py --data cifar10 --classes frog --choices "authors' schedule" --pretrain-epochs 50

Choices that the paper leaves open, or that its authors' code makes otherwise: slope of the leaky ReLUs, length and
weight decay of the pre-training, whether there is one, schedule, pre-processing, and the batch-norm statistics under
which the centre is computed. Those that share a pre-training start from the very same autoencoder.

Each choice is kept in a folder choices-DATA/ beside OUT and not computed again when the same command, or one for more
of them, is started anew. Its file's name ends in a hash of its settings and of the data, so that a row of other ones,
as from before a choice was edited, is not taken for it. OUT holds all rows: test AUC in % of random and pre-trained
weights, of the autoencoder, after training, and in its course at the epochs MARKS.
(Where the centre is computed otherwise, it is that of the pre-trained network from the start.)
"""

import json
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from common import add_data, at_least_one, make_parser, parse, write_rows
from joblib import Parallel, delayed

from minisvdd import DeepSVDD
from minisvdd.data.datasets import load_dataset
from minisvdd.experiments.experiments import area_under_roc, autoencoder_of, kept_by, network_of
from minisvdd.experiments.grid import hash_of_data, short_hash
from minisvdd.experiments.paper import TABLE_1
from minisvdd.experiments.protocols import CHOICES as SCRIPTS
from minisvdd.experiments.protocols import adjusted, arguments_of, get_protocol
from minisvdd.files.atomic import write_json
from minisvdd.files.names import safe_name
from minisvdd.nn.batches import fixed_batches
from minisvdd.svdd.center import move_from_zero
from minisvdd.svdd.preprocessing import preprocessing_for
from minisvdd.svdd.svdd import OBJECTIVES

PAPER, AUTHORS = get_protocol("paper", "mnist"), get_protocol("authors-code", "mnist")
MARKS = (5, 10, 25, 50, 75, 100, 150, 200, 250)
_PRETRAINING = ("pretrain_epochs", "pretrain_milestones", "pretrain_weight_decay")
_SCHEDULE = ("epochs", "milestones")


def _authors(*names):
    """Those settings of the authors' code."""
    return {name: getattr(AUTHORS, name) for name in names}


# What differs from the paper's protocol: first in the pre-training, then, for each choice made after it, in the rest.
PRETRAININGS = {"paper": {}, "authors": _authors(*_PRETRAINING), "none": {"pretrain_epochs": 0}}
# Of the first scripts, with their schedule: choices that may matter to One-Class, alone and together. Those of colour
# images are a decoder that ends with batch norm, a dictionary of mixed channels, and a fifth of the images held out.
_THEANO = asdict(get_protocol("authors-theano", "cifar10"))
_GREY = {"network": None, "first_filters": "dictionary", "held_out": 0.0}
_SCRIPTS = {name: SCRIPTS[name] for name in ("affine", "dictionary", "fixed batches")}
_SCRIPTS |= {"all but those of colour images": _THEANO | _GREY, "authors-theano": _THEANO}
_SCRIPTS |= {f"authors-theano, but {name}": _THEANO | {name: value} for name, value in _GREY.items()}
PRETRAININGS |= _SCRIPTS
CHOICES = {
    "paper": {
        "paper": {},
        "authors' schedule": _authors(*_SCHEDULE),
        "centre in training mode": {"center": "training"},
        "no pre-training": {"pretrain_epochs": 0},
    },
    "authors": {"authors' pre-training": {}, "authors' pre-training and schedule": _authors(*_SCHEDULE)},
    "none": {
        "no pre-training, authors' schedule": _authors(*_SCHEDULE),
        "no pre-training, slope 0.01": _authors("slope"),
        "no pre-training, plain pixels": {"preprocessing": None},
    },
} | {name: {name: _authors(*_SCHEDULE)} for name in _SCRIPTS}


def main():
    """Compute what is missing, then collect all rows."""
    arguments = _arguments()
    dataset = load_dataset(arguments.data, arguments.data_dir)
    folder = Path(arguments.out).parent / f"choices-{dataset.name}{'-quick' if arguments.quick else ''}"
    arguments.data_sha256 = hash_of_data(arguments.data, dataset)
    tasks = [
        (normal_class, seed, name)
        for name in arguments.pretrainings
        for seed in range(arguments.seeds)
        for normal_class in arguments.classes
    ]
    groups = Parallel(n_jobs=arguments.jobs)(delayed(_rows)(dataset, arguments, folder, *task) for task in tasks)
    rows = [row for group in groups for row in group]
    write_rows(arguments.out, rows, data=dataset.name, objective=arguments.objective)


def _rows(dataset, arguments, folder, normal_class, seed, pretraining):
    """The rows of one pre-training, those from their files that have one."""
    wanted = [choice for choice in arguments.choices or CHOICES[pretraining] if choice in CHOICES[pretraining]]
    paths = {}
    for choice in wanted:
        config = _config(arguments, normal_class, seed, pretraining, CHOICES[pretraining][choice])
        paths[choice] = folder / f"{safe_name(f'{choice}-{normal_class}-{seed}')}-{short_hash(config)}.json"
    missing = {choice: CHOICES[pretraining][choice] for choice in wanted if not paths[choice].exists()}
    if missing:
        for row in _measure(dataset, arguments, normal_class, seed, pretraining, missing):
            write_json(paths[row["choice"]], row)
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths.values()]


def _config(arguments, normal_class, seed, pretraining, changes):
    """All that a row depends on, as plain JSON values."""
    options = {name: vars(arguments)[name] for name in ("data_sha256", "objective", "quick", "epochs")}
    protocol = asdict(_base(arguments, pretraining))
    return options | {
        "normal_class": normal_class, "seed": seed, "protocol": protocol, "changes": changes, "marks": MARKS
    }  # fmt: skip


def _base(arguments, pretraining):
    """The protocol of a pre-training, and of what follows it but for a choice."""
    shorten = _shortened if arguments.quick else dict
    base = replace(PAPER, **shorten(asdict(PAPER) | PRETRAININGS[pretraining]))
    return adjusted(base, pretrain_epochs=arguments.pretrain_epochs) if base.pretrain_epochs else base


def _measure(dataset, arguments, normal_class, seed, pretraining, choices):
    """Row by row, of choices that begin with one pre-training."""
    shorten, base = _shortened if arguments.quick else dict, _base(arguments, pretraining)
    split = kept_by(base, dataset.one_class(normal_class), seed)
    autoencoder, copied = None, {}
    if base.pretrain_epochs:
        autoencoder = autoencoder_of(base, split, seed).fit(split.train)
        copied = {"autoencoder": 100 * area_under_roc(autoencoder, split)}
    own = {"network": network_of(base, split), "preprocessing": preprocessing_for(split.train.shape[1:])}
    own |= {"random_state": seed, "verbose": 0, "threshold": "nu"}
    paper = TABLE_1.get(dataset.name, {}).get(normal_class, {}).get(arguments.objective)
    for choice, changes in choices.items():
        settings = shorten(arguments_of(base) | own | changes)
        if settings["pretrain_epochs"]:
            settings["autoencoder"] = autoencoder
        if arguments.epochs:
            milestones = tuple(mark for mark in settings["milestones"] if mark < arguments.epochs)
            settings |= {"epochs": arguments.epochs, "milestones": milestones}
        if settings.get("center") == "training":
            settings["center"] = _center_in_training(autoencoder, split.train, settings["batch_size"])
        auc, by_epoch = _train(DeepSVDD(arguments.objective, **settings), split)
        print(f"class {normal_class}, seed {seed}, {choice}: {auc['trained']:.2f}", flush=True)
        row = {"normal_class": normal_class, "seed": seed, "choice": choice, "pretraining": pretraining}
        yield row | {
            "pretrain_epochs": settings["pretrain_epochs"], "auc": auc | copied, "by_epoch": by_epoch, "paper": paper
        }  # fmt: skip


def _shortened(settings):
    """The same for a quick run: at most two epochs of each training, small batches."""
    return settings | {"pretrain_epochs": min(2, settings["pretrain_epochs"]), "epochs": 2, "batch_size": 32}


def _center_in_training(autoencoder, X, batch_size):
    """The mean output with each batch normalised by its own mean and variance, instead of the running ones.  (p,)"""
    encoder = deepcopy(autoencoder.network_.layers[0])
    X = autoencoder.preprocessing_.transform(X)
    total = sum(encoder.forward(X[batch], training=True).sum(axis=0) for batch in fixed_batches(len(X), batch_size))
    return move_from_zero(np.float64(total) / len(X), DeepSVDD().center_epsilon)


def _train(model, split):
    """Fit; return the AUC in % by stage, and by epoch."""
    auc, by_epoch = {}, {}

    def record(stage, fitted):
        auc[stage] = 100 * area_under_roc(fitted, split)

    epoch = 0
    for training in model.trainings(split.train, record):
        while not training.is_done:
            training.start_epoch()
            training.finish_epoch()
            epoch += 1
            if epoch in MARKS:
                by_epoch[epoch] = 100 * area_under_roc(model, split)
    return auc, by_epoch


def _arguments():
    parser = make_parser(__doc__, quick="two epochs of the digits' fours", out="benchmarks/results/choices.json")
    add_data(parser, classes=["4", "9"])
    parser.add_argument("--seeds", type=at_least_one, default=3)
    parser.add_argument("--pretrainings", nargs="+", default=["paper", "authors", "none"], choices=list(PRETRAININGS))
    names = [choice for choices in CHOICES.values() for choice in choices]
    parser.add_argument("--choices", nargs="+", choices=names, metavar="CHOICE", help=f"some of {names}")
    parser.add_argument("--pretrain-epochs", type=int, help="instead of the pre-training's own")
    parser.add_argument("--epochs", type=int, help="stop the training of Deep SVDD there, its rates as they are")
    parser.add_argument("--objective", default="one-class", choices=OBJECTIVES, help="of Deep SVDD; nu is 0.1")
    parser.add_argument("--jobs", type=at_least_one, default=1, help="pre-trainings side by side")
    return parse(parser, data="digits", classes=["4"], seeds=1)


if __name__ == "__main__":
    main()
