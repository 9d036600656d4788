"""The command `minisvdd train`: Deep SVDD on one normal class, its test AUC, model and pictures."""

import argparse
import json
from pathlib import Path

import numpy as np

from ..data.datasets import DATASETS, own_path
from ..data.own import ENDINGS
from ..experiments.experiments import train_and_evaluate
from ..experiments.plots import TRAINING_PICTURES, save_training_pictures
from ..files.atomic import check_writable, write_json
from ..files.checkpoint import Checkpoint
from ..files.names import safe_name
from ..nn.networks import NETWORKS
from . import options

# Of the data sets that have one; of data of the user's own it is never guessed.
NORMAL_CLASSES = {**dict.fromkeys(("digits", "mnist"), "3"), "cifar10": "airplane", "gtsrb": "stop"}


def add_train(train: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    defaults = "; ".join(f"{name} for {data}" for data, name in NORMAL_CLASSES.items())
    own = f"or your own {', '.join(ENDINGS)} file or folder of pictures"
    train.add_argument("--data", default="digits", help=f"{', '.join(DATASETS)}, {own}")
    train.add_argument("--normal-class", help=f"class taken as normal: name or index (default: {defaults})")
    options.add_objective(train)
    train.add_argument(
        "--nu", type=float, help=f"fraction of training samples outside the sphere (default: {options.NU})"
    )
    options.add_threshold(train)
    train.add_argument("--network", choices=NETWORKS, help="(default: the one made for the data)")
    options.add_patch_size(train)
    options.add_backend(train)
    options.add_precision(train)
    options.add_check_kernels(train)
    options.add_ops(train)
    options.add_protocol(train, "quick")
    options.add_schedule(train)
    options.add_seed(train)
    options.add_data_dir(train)
    options.add_pictures(train)
    options.add_skip_damaged(train)
    train.add_argument("--out", help="folder for model and pictures (default: runs/DATA-CLASS-OBJECTIVE-seedSEED)")
    train.add_argument(
        "--checkpoint-every", type=int, default=10, metavar="K", help="epochs between checkpoints; 0: none"
    )
    train.add_argument("--resume", action="store_true", help="go on where a training of the same arguments was stopped")
    options.add_quiet(train)
    train.set_defaults(run=_train, goes_on="--resume goes on from the last checkpoint")


def _train(arguments):
    options.check_choices(arguments, [arguments.objective])
    options.settle_threshold(arguments)
    backend = options.start_backend(options.backend_label(arguments), arguments.check_kernels, arguments.ops)
    dataset = options.load(arguments)
    split = dataset.one_class(_normal_class(arguments, dataset))
    if arguments.patch_size != "auto" and split.train.ndim != 4:
        raise ValueError(
            f"--patch-size {arguments.patch_size}: only for images, not for the features of --data {dataset.name}"
        )
    options.print_notes(dataset.notes)
    label = "-".join((dataset.name, split.normal_class, arguments.objective, f"seed{arguments.seed}"))
    folder = Path(arguments.out or Path("runs") / safe_name(label))
    options.check_out(arguments, folder)
    source = _source(arguments)
    if not arguments.out:
        _refuse_other_data(folder, source)
    check_writable(folder)
    checkpoint = _checkpoint(arguments, folder)
    model, result = train_and_evaluate(
        split,
        options.protocol_of(arguments, arguments.data, split.train.shape),
        objective=arguments.objective,
        nu=arguments.nu,
        network=arguments.network,
        backend=backend,
        seed=arguments.seed,
        verbose=options.verbosity(arguments),
        checkpoint=checkpoint,
        threshold=arguments.threshold,
        false_alarm_rate=arguments.false_alarm_rate,
        refit=arguments.refit,
        patch_size=arguments.patch_size,
    )
    result = {"data": dataset.name, "source": source, "protocol": arguments.protocol, **result}
    result |= {"sha256": split.hashes(), "notes": split.notes}
    _name_features(model, split.feature_names)
    _remove_pages(folder)
    model.save(folder / "model.npz")
    write_json(folder / "result.json", result)
    if checkpoint:
        checkpoint.remove()
    pictures = save_training_pictures(model, split, folder, result["auc"].get("trained"))
    for note in split.notes[len(dataset.notes) :]:
        print(note)
    _print_result(result, split, folder, pictures)
    options.print_calls(backend)
    return 0


def _name_features(model, names):
    """Note the names of a table's columns, as scikit-learn does of a data frame's: other tables are read by them."""
    if names is not None and len(set(names)) == len(names):
        for fitted in (model, model.autoencoder_):
            if fitted is not None:
                fitted.feature_names_in_ = np.array(names, dtype=object)


def _remove_pages(folder):
    """What an earlier run left of pictures and report, lest it be taken for this model's where this one makes none."""
    for name in (*TRAINING_PICTURES, "report.html"):
        path = folder / name
        if path.is_file() and not path.is_symlink():  # a link is the user's: what it leads to is written anew, or left
            path.unlink()


def _source(arguments):
    """What it takes to read the same data again (`minisvdd report`), from any working folder."""
    own = None if arguments.data in DATASETS else str(own_path(arguments.data, arguments.data_dir).resolve())
    folder = None if arguments.data_dir is None else str(Path(arguments.data_dir).resolve())
    return {
        "data": own or arguments.data,
        "data_dir": None if own else folder,
        "skip_damaged": arguments.skip_damaged,
        "size": arguments.size,
        "color": arguments.color,
    }


def _refuse_other_data(folder, source):
    """ValueError where the folder, named by the data, holds the model of others: two sets may have one name."""
    try:
        earlier = json.loads((folder / "result.json").read_text(encoding="utf-8"))["source"]["data"]
    except (OSError, ValueError, LookupError, TypeError):
        return  # nothing that could be lost, as far as it tells
    if earlier != source["data"]:
        raise ValueError(
            f"{folder}: holds the model of {earlier}, not of {source['data']}: give another folder by --out"
        )


def _checkpoint(arguments, folder):
    """Where the training keeps its state, or None."""
    if arguments.resume and not arguments.checkpoint_every:
        raise ValueError("--resume: needs --checkpoint-every of at least 1")
    if arguments.checkpoint_every == 0:
        return None
    return Checkpoint(folder / "checkpoint", arguments.checkpoint_every, arguments.resume)


def _normal_class(arguments, dataset):
    """What the user says; else that of our own data sets; for others None, where there is no choice."""
    if arguments.normal_class is not None or arguments.data in NORMAL_CLASSES:
        return NORMAL_CLASSES[arguments.data] if arguments.normal_class is None else arguments.normal_class
    try:
        dataset.only_class()
    except ValueError:
        classes = dataset.described_classes()
        raise ValueError(f"--normal-class: expected one of {dataset.name}'s classes: {classes}") from None
    return None


def _false_alarms(threshold):
    """What is known of the threshold, in words: the rate seen, the rate asked for, and what to expect."""
    words = []
    if "of" in threshold:
        words.append(f"{100 * threshold['seen']:.1f} % of {threshold['of']} new normal samples")
    if threshold["kind"] == "holdout":
        low, high = (f"{100 * rate:.0f}" for rate in threshold["expected"])
        words.append(
            f"{100 * threshold['asked']:.1f} % asked; between {low} and {high} % are to be expected of "
            f"{threshold['held_out']} held-out samples"
        )
    else:
        words.append("nothing is promised: the threshold is nu's, of the training samples")
    return words[0] + (f" ({words[1]})" if words[1:] else "")


def _print_result(result, split, folder, pictures):
    normal = "" if result["normal_class"] is None else f", normal class {result['normal_class']}"
    print(f"{result['data']}{normal}: {result['n_train']} training and {result['n_test']} test samples")
    auc = result["auc"]
    if auc:
        before = [f"{100 * auc[stage]:.2f} % {stage}" for stage in ("random", "pretrained") if stage in auc]
        if "autoencoder" in auc:
            before.append(f"{100 * auc['autoencoder']:.2f} % by the autoencoder's reconstruction error")
        print(f"test AUC {100 * auc['trained']:.2f} %   (before training: {', '.join(before)})")
    else:
        print(f"no test AUC: {_why_no_auc(split)}")
    print(f"false alarms  {_false_alarms(result['threshold'])}")
    print(f"model     {folder / 'model.npz'}\nresult    {folder / 'result.json'}")
    print(f"pictures  {', '.join(str(path) for path in pictures)}")


def _why_no_auc(split):
    if split.test is None:
        return "the data has no test samples"
    if split.is_anomaly is None:
        return f"the {len(split.test)} test samples are unlabelled"
    return f"all {len(split.test)} test samples are {'anomalous' if split.is_anomaly.all() else 'normal'}"
