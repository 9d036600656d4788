"""The command `minisvdd report`: one page of HTML on what a detector finds, that can be sent."""

import argparse
from pathlib import Path

import numpy as np

from ..data.datasets import DATASETS, load_dataset, sample_path
from ..data.split import class_index
from ..errors import DataError
from ..export.findings import Findings
from ..export.report import SHOWN, write_report
from ..files.records import FRACTION, TEXT, TRUTH, list_of, number, optional, read_json, record, table_of, whole
from ..files.streams import data_errors
from ..svdd.storage import load_model
from . import options
from .score import columns_of, normal_label, read_new

# What the report reads in the result of `minisvdd train`.
_RESULT = record(
    source=optional(record(data=TEXT, data_dir=optional(TEXT), skip_damaged=TRUTH)),
    protocol=optional(TEXT),
    normal_class=optional(TEXT),
    n_train=optional(whole(0)),
    n_left_out=optional(whole(0)),
    n_test=optional(whole(0)),
    sha256=optional(record(train=TEXT, test=optional(TEXT))),
    auc=optional(table_of(FRACTION)),
    signs_of_harm=optional(list_of(TEXT)),
    seconds=optional(number(0)),
    versions=optional(table_of(TEXT)),
)


def add_report(report: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    report.add_argument("model", metavar="RUN|MODEL.npz", help="folder that `minisvdd train` wrote, or its model")
    report.add_argument(
        "--data",
        help="report on these samples, as `minisvdd score` takes them (default: the test samples of the training)",
    )
    report.add_argument("--normal-class", help="which of other data's labels is normal (default: as in the training)")
    report.add_argument("--shown", type=int, default=SHOWN, help="samples of each kind that are shown at most")
    options.add_data_dir(report)
    options.add_skip_damaged(report)
    report.add_argument("--out", help="file to write (default: report.html beside the model)")
    report.set_defaults(run=_report)


def _report(arguments):
    options.check_counts(arguments, "shown")
    path = Path(arguments.model)
    path = path / "model.npz" if path.is_dir() else path
    result, model = _result(path.with_name("result.json")), load_model(path)
    data = arguments.data or (result.get("source") or {}).get("data")
    if data is None:
        raise DataError(f"{path}: no result.json beside it says which data it was trained on: give --data")
    data = data if data in DATASETS else str(sample_path(data, arguments.data_dir))
    options.check_skip_damaged(arguments, data)
    read = _of_training if data in DATASETS or _is_same(data, result) else _new
    try:
        findings = read(data, arguments, model, result)
    except ValueError as error:
        raise error if isinstance(error, DataError) else DataError(f"{data}: {error}") from error
    options.print_notes(findings.notes)
    out = write_report(arguments.out or path.with_name("report.html"), findings, arguments.shown)
    print(f"report    {out} ({out.stat().st_size / 1000:.0f} kB)")
    return 0


def _result(path):
    """What `minisvdd train` wrote beside the model; {} where nothing is."""
    if not path.exists():
        return {}
    result = read_json(path)
    with data_errors(path):
        _RESULT(result, "the result")
    return result


def _is_same(data, result):
    """Whether these are the data of the training, most of which must not be taken for new samples."""
    trained = (result.get("source") or {}).get("data")
    return trained is not None and (data == trained or Path(data).resolve() == Path(trained))


def _of_training(data, arguments, model, result):
    """The test samples of data that one class is trained on; those of the training, where there are no others."""
    source = result["source"] if _is_same(data, result) else {}
    shape, pictures = model.input_shape_, {}
    if data not in DATASETS and Path(data).is_dir():
        color = "grey" if shape[0] == 1 else "rgb"
        skip = arguments.skip_damaged or source.get("skip_damaged", False)
        pictures = {"size": shape[1:], "color": color, "skip_damaged": skip}
    columns = columns_of(model)
    dataset = load_dataset(data, arguments.data_dir or source.get("data_dir"), columns=columns, **pictures)
    _check_class(dataset, arguments.normal_class, result.get("normal_class") if source else None)
    wanted = (arguments.normal_class or result.get("normal_class")) if dataset.class_names else arguments.normal_class
    split = dataset.one_class(wanted)
    trained_on = split.test is None
    labels = None if split.test_labels is None else np.array(dataset.class_names)[split.test_labels]
    return Findings(
        model,
        split.train if trained_on else split.test,
        dataset.name,
        normal_class=split.normal_class if dataset.class_names else None,
        names=split.train_names if trained_on else split.test_names,
        labels=labels,
        is_anomaly=split.is_anomaly,
        feature_names=split.feature_names,
        trained_on=trained_on,
        result=result,
        notes=(*split.notes, *_changes(result, split)),
    )


def _check_class(dataset, wanted, trained):
    """Refuse another normal class than the training's: the split would be another one, with trained samples to test."""
    if wanted is None or trained is None or dataset.train_labels is None:
        return
    names = dataset.class_names
    if (name := names[class_index(names, wanted, "--normal-class")]) != names[class_index(names, trained)]:
        raise ValueError(
            f"--normal-class {name}: the model was trained on class {trained} of these data, and what would be tested "
            "with it: leave the option out"
        )


def _changes(result, split):
    """Notes where samples have come, gone or changed since the training, with those that it left out.

    Raises ValueError where training and test samples are both others than then: what is tested with may be what the
    model was trained on, as after the rows of a table were shuffled, of which some are held back by their places.
    """
    found = {"n_train": len(split.train), "n_test": 0 if split.test is None else len(split.test)}
    then = {name: result[name] for name in found if result.get(name) is not None}
    if "n_train" in then:
        then["n_train"] += result.get("n_left_out") or 0
    words = {"n_train": "training", "n_test": "test"}
    changed = [name for name, n in then.items() if n != found[name]]
    notes = [f"the data has changed: {then[name]} {words[name]} samples then, {found[name]} now" for name in changed]
    then, found = result.get("sha256") or {}, split.hashes()
    others = [part for part in then if then[part] != found[part]]
    if len(others) == 2:
        raise ValueError(
            "the data has changed since the training, its training and its test samples: the model may have been "
            "trained on what would be tested with: give other samples by --data, or train again"
        )
    if others and not notes:
        notes = [f"the data has changed: its {words[f'n_{others[0]}']} samples are others than then"]
    return notes


def _new(data, arguments, model, result):
    """Other samples than those of the training."""
    table = read_new(data, model, arguments.skip_damaged)
    normal = normal_label(data, table.labels, arguments.normal_class, result.get("normal_class"))
    return Findings(
        model,
        table.samples,
        Path(data).resolve().name,
        normal_class=normal,
        names=table.names,
        labels=table.labels,
        is_anomaly=None if normal is None else table.labels != normal,
        feature_names=table.feature_names,
        result={name: value for name, value in result.items() if name != "auc"},
        notes=table.notes,
    )
