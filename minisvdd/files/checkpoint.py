"""Checkpoints: what a training needs to go on after its process was killed, as if nothing had happened.

    model.fit(X, checkpoint=Checkpoint("run/checkpoint", every=10))                   # killed somewhere on the way
    model.fit(X, checkpoint=Checkpoint("run/checkpoint", every=10, resume=True))      # the same model, bit for bit

A folder holds one file for each training of a fit: `autoencoder.npz` (pre-training) and `svdd.npz`; or
`classifier.npz`, or `anogan.npz`; with `refit-` before the name where a fit trains once more. After every `every`
epochs, and after the last, a training writes all that changes while it runs (`minisvdd.nn.training` says what that is),
on every backend.
Whatever else a fit computes (pre-processing, the centre, scores between the trainings) is cheap and has no chance in
it: a resumed fit computes it again, and only its trainings jump to the epoch where they were.

Bit for bit, that is, on the same machine: another NumPy, or another kind of processor (for which BLAS has other
kernels), rounds sums differently. A training that goes on there says so in a warning.
"""

import hashlib
import inspect
import json
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from ..errors import DataError, one_line
from ..validation import check_number
from ..version import __version__
from .arrays import array_names, read_described, write_described
from .atomic import remove_abandoned
from .streams import NONSENSE

_FORMAT, _ENTRY = "minisvdd checkpoint 2", "checkpoint"
# The trainings of a fit by the names of their files, in the order in which they run.
_ONCE = (("autoencoder", "svdd"), ("classifier",), ("anogan",))
_FITS = tuple((*names, *(f"refit-{name}" for name in names)) for names in _ONCE)


class Checkpoint:
    """Where, and how often, a fit writes down its state.

    folder: made when missing.   every: epochs between two checkpoints.
    resume: go on from the checkpoints in the folder, if there are any; otherwise a training that writes its first one
    replaces what was there: its own, and those of the trainings that follow it in a fit.
    """

    def __init__(self, folder, every: int = 10, resume: bool = False):
        check_number(every, "every", 1, integer=True)
        self.folder, self.every, self.resume = Path(folder), every, resume
        self.prefix, self.held_out = "", None

    def part(self, prefix: str, held_out: np.ndarray) -> "Checkpoint":
        """The same for a training on a part of the samples: `prefix` begins the names of its files.

        held_out: the other samples, which must be the same ones again where a training is to be resumed.
        """
        other = copy(self)
        other.prefix, other.held_out = prefix, held_out
        return other

    def loop(self, name: str, estimator, X: np.ndarray, y=None) -> "LoopCheckpoint":
        """The checkpoint of one training on (pre-processed) X, with labels y (n,) where it has any.

        Raises ValueError when `estimator.random_state` is no seed.
        """
        fingerprint = _fingerprint(estimator, X, y)
        if self.held_out is not None:
            fingerprint["held_out"] = _by_content(self.held_out)
        return LoopCheckpoint(self, f"{self.prefix}{name}", fingerprint)

    def remove(self) -> None:
        """Delete the checkpoints, and nothing else: the training is complete and its model saved.

        What another process is just writing there stays, and the folder with it.
        Raises DataError, naming the file, when that fails.
        """
        for name in chain.from_iterable(_FITS):
            path = self.folder / f"{name}.npz"
            _remove(path)
            remove_abandoned(self.folder, time.time(), path.name)
        with suppress(OSError):  # another process has removed it, or writes into it
            if self.folder.is_dir() and not any(self.folder.iterdir()):
                self.folder.rmdir()


class LoopCheckpoint:
    """The checkpoint file of one training, which calls `restore` once and `save` when due."""

    def __init__(self, checkpoint: Checkpoint, name: str, fingerprint: dict):
        self.path = checkpoint.folder / f"{name}.npz"
        self.every, self.resume = checkpoint.every, checkpoint.resume
        self.fingerprint = fingerprint

    def is_due(self, epoch: int, epochs: int) -> bool:
        """Whether to save after so many finished epochs."""
        return epoch % self.every == 0 or epoch == epochs

    def save(self, values: dict, arrays: dict[str, np.ndarray]) -> None:
        """Write a state: plain JSON values, and arrays by name. DataError, naming the file, when that fails.

        Of a training that does not go on from another one, those of later trainings go: they are of that other one.
        """
        description = {"format": _FORMAT, "fingerprint": self.fingerprint, "rounding": _rounding(), "state": values}
        write_described(self.path, _ENTRY, description, arrays)
        for name in () if self.resume else _after(self.path.stem):
            _remove(self.path.with_name(f"{name}.npz"))

    def restore(self, put: Callable[[dict, dict[str, np.ndarray]], None]) -> None:
        """Hand the saved (values, arrays) to `put`, unless there is no file or none is to be resumed from.

        Raises DataError, naming the file, when it is damaged or belongs to another training.
        """
        if not self.resume or not self.path.exists():
            return
        try:
            description, arrays = read_described(self.path, _ENTRY, "checkpoint", self._check)
        except DataError:
            if self.path.exists():
                raise
            return  # another process has finished this training, and removed it
        try:
            put(description["state"], arrays)
        except DataError:
            raise
        except NONSENSE as error:
            raise DataError(f"{self.path}: damaged, or not a checkpoint: {one_line(error)}") from error

    def _check(self, description):
        if description["format"] != _FORMAT:
            raise DataError(f"{self.path}: expected {_FORMAT!r}, found {description['format']!r}")
        theirs, ours = description["fingerprint"], self.fingerprint
        different = [name for name in ours if theirs.get(name) != ours[name]]
        if different:
            name = different[0]
            raise DataError(
                f"{self.path}: of another training: {name} was {theirs.get(name)!r:.80}, is {ours[name]!r:.80}: "
                "train without --resume, or with the same arguments"
            )
        then, now = description["rounding"], _rounding()
        if then != now:
            warnings.warn(
                f"{self.path}: goes on with {now}, was written with {one_line(ValueError(then)):.200}: "
                "the training is the same, its last digits are not",
                stacklevel=2,
            )


def _after(name):
    """The names of the trainings that follow in its fit."""
    names = next((names for names in _FITS if name in names), (name,))
    return names[names.index(name) + 1 :]


def _remove(path):
    """Delete a checkpoint, whole or damaged, but no whole archive without the entry of one: a model, or data."""
    try:
        if path.is_file() and not _is_foreign(path):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be removed: {error.strerror or error}") from error


def _is_foreign(path):
    try:
        return _ENTRY not in array_names(path)
    except DataError:
        return False


@cache
def _rounding():
    """What the last digits of a sum depend on, as one text: NumPy's version, and the processor that BLAS works for."""
    libraries = (library for library in threadpool_info() if library["user_api"] == "blas")
    kinds = {f"{library['internal_api']} for {library.get('architecture', 'any processor')}" for library in libraries}
    return f"NumPy {np.__version__}, {', '.join(sorted(kinds)) or 'no BLAS that is known'}"


def _fingerprint(estimator, X, y=None):
    """All that decides what the loop computes, as JSON values; how much it prints does not."""
    seed = estimator.random_state
    if not isinstance(seed, int | np.integer):
        raise ValueError(f"random_state={seed!r}: a training with checkpoints needs a seed, an int >= 0")
    params = {name: _by_content(v) for name, v in estimator.get_params(deep=False).items() if name != "verbose"}
    content = hashlib.sha256(np.ascontiguousarray(X)).hexdigest()
    values = {"class": type(estimator).__name__, **params, "X": [list(X.shape), content], "version": __version__}
    if y is not None:
        values["y"] = _by_content(y)
    return json.loads(json.dumps(values))


def _by_content(value):
    """A constructor argument as JSON: numbers as they are, arrays and networks by their content or description.

    A backend is its label, which names its precision, too; operations of the reader's own are told beside it.
    """
    if isinstance(value, np.ndarray):
        return [list(value.shape), hashlib.sha256(np.ascontiguousarray(value)).hexdigest()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [_by_content(entry) for entry in value]
    if hasattr(value, "config"):  # a Sequential
        return value.config()
    if hasattr(value, "network_"):  # a fitted autoencoder
        network = value.network_
        return {name: _by_content(network.backend.to_numpy(array)) for name, array in network.arrays.items()}
    if hasattr(value, "readings"):  # a backend
        return [value.label, *_operations(value.readings)] if value.readings else value.label
    return value if isinstance(value, str | int | float | None) else str(getattr(value, "name", value))


def _operations(readings):
    """The names of a reader's own operations, and a hash of all that is written in their files."""
    texts = {_text_behind(function) for function in readings.values()}
    return sorted(readings), hashlib.sha256(b"\0".join(sorted(texts))).hexdigest()


def _text_behind(function):
    """The content of a function's file; of one without, as in a notebook, its own lines; else its name."""
    function = inspect.unwrap(function)
    with suppress(OSError, TypeError):
        return Path(inspect.getfile(function)).read_bytes()
    with suppress(OSError, TypeError):
        return inspect.getsource(function).encode()
    return str(getattr(function, "__name__", type(function).__name__)).encode()
