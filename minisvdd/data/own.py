"""Files of the user's own: arrays in .npz and .npy, features in .csv (`minisvdd.data.tables`).

An .npz says by the names of its arrays what they are, in upper or lower case:

    X                           normal samples only
    X, y                        samples of several classes: one is trained on, the others test it
    x_train[, y_train]          the same two in other words
    x_train[, y_train], x_test[, y_test]

What cannot be understood is refused, or named in the data set's notes; nothing is dropped in silence.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..files.arrays import array_names, listed, read_array
from ..files.streams import data_errors
from .readers import as_samples, to_float
from .split import Dataset, encode_labels
from .tables import read_table

ENDINGS = (".npz", ".npy", ".csv")
# What an array is, by its name in small letters.
_ROLES = {
    **dict.fromkeys(("x", "images", "data", "features", "samples"), "X"),
    **dict.fromkeys(("y", "labels", "label", "target", "targets"), "y"),
    **dict.fromkeys(("x_train", "train_images", "train_data", "train"), "x_train"),
    **dict.fromkeys(("y_train", "train_labels", "train_targets"), "y_train"),
    **dict.fromkeys(("x_test", "test_images", "test_data", "test"), "x_test"),
    **dict.fromkeys(("y_test", "test_labels", "test_targets"), "y_test"),
}
_TOGETHER = {"X", "y"}, {"x_train", "y_train", "x_test", "y_test"}


def load_file(path: Path, columns: Sequence[str] | None = None) -> Dataset:
    """The data set in an .npz, .npy or .csv file. Raises DataError, naming file and array, for what is not understood.

    samples: shapes and dtypes as in `as_samples`.   labels: (n,) or (n, 1), whole numbers or strings.
    columns: of a .csv file, as in `read_table`.
    """
    if path.suffix.lower() == ".csv":
        table = read_table(path, columns)
        labels = encode_labels(table.labels, None, path)
        known = {"notes": table.notes, "feature_names": table.names}
        return Dataset(path.name, table.features, labels[1], None, None, labels[0], **known)
    with data_errors(path):
        found, notes = _roles(path)
        first = "x_train" if "x_train" in found else "X"
        train, train_labels = _part(path, found, first, "y_train" if first == "x_train" else "y")
        test, test_labels = _part(path, found, "x_test", "y_test")
        if test is not None:
            _check_alike(path, train, test)
        notes += _unscaled(train)
        class_names, train_labels, test_labels = encode_labels(train_labels, test_labels, path)
        return Dataset(path.name, train, train_labels, test, test_labels, class_names, notes=tuple(notes))


def _check_alike(path, train, test):
    """DataError unless test samples are of the training samples' kind."""
    pairs = [("shape", train.shape[1:], test.shape[1:])]
    if train.ndim == 4:  # features are numbers whatever their dtype, images have another white
        pairs.append(("dtype", train.dtype, test.dtype))
    for what, ours, theirs in pairs:
        if ours != theirs:
            raise DataError(f"{path}: x_test: expected samples of x_train's {what} {ours}, found {theirs}")


class Samples(NamedTuple):
    """Samples to score, float64 or float32 (n, D) or float32 (n, C, H, W), and labels as strings, (n,), or None."""

    samples: np.ndarray
    labels: np.ndarray | None
    notes: tuple[str, ...] = ()
    feature_names: tuple[str, ...] | None = None


def read_samples(source, columns: Sequence[str] | None = None) -> Samples:
    """Read samples to score from an .npz, .npy or .csv file; there may be none.

    Of an .npz, the array X (or images, ...), else x_test, else the only one there is; labels are y or y_test. uint8
    images are divided by 255. columns: of a .csv file, as in `read_table`. Raises DataError as `load_file` does.
    """
    if str(source).lower().endswith(".csv"):
        table = read_table(source, columns)
        return Samples(table.features, _as_text(table.labels), table.notes, table.names)
    name = getattr(source, "name", "<stream>") if hasattr(source, "read") else source
    names = array_names(source)
    found, left = _by_role(names, name)
    key = next((role for role in ("X", "x_test") if role in found), None)
    if key is None and len(names) == 1:
        found, left, key = {"X": names[0]}, [], "X"
    if key is None:
        raise DataError(f"{name}: expected an array X, images or x_test, found {listed(names)}")
    samples, labels = _part(name, found, key, "y" if key == "X" else "y_test", source, empty=True)
    left += [found[role] for role in found if role not in (key, "y" if key == "X" else "y_test")]
    return Samples(to_float(samples), _as_text(labels), tuple(_left_alone(left, name)))


def _roles(path):
    """({role: name of the array}, notes); DataError for names that leave open what is meant."""
    names = array_names(path)
    found, left = _by_role(names, path)
    if not found and names == ["arr_0"]:  # numpy.savez(path, X)
        found, left = {"X": "arr_0"}, []
    if not {"x_train", "X"} & found.keys():
        raise DataError(f"{path}: expected an array x_train or X, found {listed(names)}")
    if all(roles & found.keys() for roles in _TOGETHER):
        raise DataError(
            f"{path}: expected X and y, or x_train, y_train, x_test and y_test, found of both {listed(names)}"
        )
    if "y_test" in found and "x_test" not in found:
        raise DataError(f"{path}: {listed([found['y_test']])}: expected x_test with it, found {listed(names)}")
    return found, _left_alone(left, path)


def _by_role(names, path):
    """({role: name}, names that mean nothing to us)."""
    found, left = {}, []
    for name in names:
        role = _ROLES.get(name.lower())
        if role is None:
            left.append(name)
        elif role in found:
            raise DataError(f"{path}: {listed([found[role], name])}: expected one of them, both mean {role}")
        else:
            found[role] = name
    return found, left


def _left_alone(names, path):
    return [f"{path}: left alone: {listed(names)}"] if names else []


def _part(path, found, samples, labels, source=None, empty=False):
    """Samples and labels by their roles, each None where there is none."""
    if samples not in found:
        return None, None
    source = path if source is None else source
    names = {role: f"{path}: {listed([name])}" for role, name in found.items()}
    X = as_samples(read_array(source, found[samples], empty), names[samples])
    if 0 in X.shape[1:]:
        raise DataError(f"{names[samples]}: expected samples with entries, found shape {X.shape}")
    if labels not in found:
        return X, None
    return X, _flat_labels(read_array(source, found[labels], empty), len(X), names[labels])


def _flat_labels(labels, count, name):
    """Labels (n,) or, as Keras has them, (n, 1): whole numbers or strings."""
    if labels.shape not in ((count,), (count, 1)):
        raise DataError(f"{name}: expected {count} labels, one per sample, found shape {labels.shape}")
    labels = labels.ravel()
    if labels.dtype.kind == "f" and not ((labels == np.round(labels)) & (np.abs(labels) < 2**53)).all():
        raise DataError(f"{name}: expected whole numbers or strings as labels, found other numbers")
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def _as_text(labels):
    return None if labels is None else labels.astype(str)


def _unscaled(samples):
    """A note on floating-point images that are not between black 0 and white 1."""
    if samples.ndim != 4 or samples.dtype == np.uint8 or (samples.min() >= 0 and samples.max() <= 1):
        return []
    return [
        f"images of floating-point numbers from {samples.min():.4g} to {samples.max():.4g}, not 0 to 1: "
        "taken as they are, so that what is scored later must have the same range"
    ]
