"""Checkpoints: what a training needs to go on after its process was killed, as if nothing had happened.

    model.fit(X, checkpoint=Checkpoint("run/checkpoint", every=10))                   # killed somewhere on the way
    model.fit(X, checkpoint=Checkpoint("run/checkpoint", every=10, resume=True))      # the same model, bit for bit

A folder holds one file for each training loop of a fit: `autoencoder.npz` (pre-training) and `svdd.npz`; or
`classifier.npz`, or `anogan.npz`. After every `every` epochs, and after the last, a loop writes all that changes while
it runs: weights, running statistics, Adam's moments and step count, the state of the random generator, its history.
Whatever else a fit computes (pre-processing, the centre, scores between the loops) is cheap and has no chance in it: a
resumed fit computes it again, and only its loops jump to the epoch where they were.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..backends import KernelError
from ..errors import DataError, one_line
from ..validation import check_number
from ..version import __version__
from .arrays import arrays_under, read_arrays, write_arrays
from .streams import DAMAGE

_FORMAT = "minisvdd checkpoint 1"


class Checkpoint:
    """Where, and how often, a fit writes down its state.

    folder: made when missing.   every: epochs between two checkpoints.
    resume: go on from the checkpoints in the folder, if there are any; otherwise they are replaced.
    """

    def __init__(self, folder, every: int = 10, resume: bool = False):
        check_number(every, "every", 1, integer=True)
        self.folder, self.every, self.resume = Path(folder), every, resume

    def loop(self, name: str, estimator, X: np.ndarray, state: "LoopState", y=None) -> "LoopCheckpoint":
        """The checkpoint of one training loop on (pre-processed) X, with labels y (n,) where it has any.

        Raises ValueError when `estimator.random_state` is no seed.
        """
        return LoopCheckpoint(self, name, _fingerprint(estimator, X, y), state)

    def remove(self) -> None:
        """Delete the checkpoints: the training is complete and its model saved."""
        for path in [*self.folder.glob("*.npz"), *self.folder.glob(".*.npz.*")]:  # the latter: of a killed process
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


class LoopState:
    """What a loop's owner keeps beside network and optimiser: two functions, for plain JSON values and arrays by name.

    get() -> (values, arrays);   put(values, arrays).
    """

    def __init__(self, get: Callable[[], tuple[dict, dict]], put: Callable[[dict, dict], None]):
        self.get, self.put = get, put


def history_of(owner) -> LoopState:
    """The state of a loop whose owner keeps nothing but its `history_`, a dict of lists."""
    return LoopState(lambda: (owner.history_, {}), lambda values, arrays: owner.history_.update(values))


class LoopCheckpoint:
    """The checkpoint file of one training loop; `training.train_steps` calls `restore` once and `save` when due."""

    def __init__(self, checkpoint, name, fingerprint, state):
        self.path = checkpoint.folder / f"{name}.npz"
        self.every, self.resume = checkpoint.every, checkpoint.resume
        self.fingerprint, self.state = fingerprint, state

    def is_due(self, epoch: int, epochs: int) -> bool:
        """Whether to save after so many finished epochs."""
        return epoch % self.every == 0 or epoch == epochs

    def save(self, epoch: int, network, optimizer, rng: np.random.Generator) -> None:
        """Write the state after `epoch` epochs. Raises DataError, naming the file, when it cannot be written."""
        values, arrays = self.state.get()
        description = {
            "format": _FORMAT,
            "fingerprint": self.fingerprint,
            "epoch": epoch,
            "generator": rng.bit_generator.state,
            "steps": optimizer.step_count,
            "state": values,
        }
        named = {f"state/{name}": array for name, array in arrays.items()}
        for prefix, group in _groups(network, optimizer).items():
            named |= {f"{prefix}/{name}": array for name, array in group.items()}
        named["checkpoint"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
        write_arrays(self.path, named)

    def restore(self, network, optimizer, rng: np.random.Generator) -> int:
        """Bring everything to where the file left it; returns the number of finished epochs, 0 without a file.

        Raises DataError, naming the file, when it is damaged or belongs to another training, KernelError when the
        network is not on the numpy backend.
        """
        if not network.backend.runs_numpy:  # the optimiser's state lies on the device
            raise KernelError(f"checkpoints need the numpy backend, got {network.backend!r}")
        if not self.resume or not self.path.exists():
            return 0
        arrays = read_arrays(self.path)
        try:
            description = json.loads(bytes(arrays.pop("checkpoint")))
            self._check(description)
            network.load_arrays(arrays_under("network/", arrays))
            for prefix, moments in _groups(network, optimizer).items():
                for name, array in moments.items() if prefix != "network" else ():
                    _copy_into(array, arrays[f"{prefix}/{name}"])
            optimizer.step_count = int(description["steps"])
            rng.bit_generator.state = description["generator"]
            self.state.put(description["state"], arrays_under("state/", arrays))
            return int(description["epoch"])
        except DataError:
            raise
        except (*DAMAGE, TypeError, AttributeError) as error:
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


def _groups(network, optimizer):
    """Arrays that a step changes, by the prefix of their names in the file."""
    return {
        "network": {**network.params, **network.buffers},
        "first_moment": optimizer.first_moment,
        "second_moment": optimizer.second_moment,
    }


def _copy_into(array, saved):
    if saved.shape != array.shape or saved.dtype != array.dtype:
        raise ValueError(f"found an array of {saved.dtype} {saved.shape}, expected {array.dtype} {array.shape}")
    array[...] = saved


def _fingerprint(estimator, X, y=None):
    """All that decides what the loop computes, as JSON values; how much it prints does not."""
    seed = estimator.random_state
    if not isinstance(seed, int | np.integer):
        raise ValueError(f"random_state={seed!r}: a training with checkpoints needs a seed, an int >= 0")
    params = {name: _plain(v) for name, v in estimator.get_params(deep=False).items() if name != "verbose"}
    content = hashlib.sha256(np.ascontiguousarray(X)).hexdigest()
    values = {"class": type(estimator).__name__, **params, "X": [list(X.shape), content], "version": __version__}
    if y is not None:
        values["y"] = _plain(y)
    return json.loads(json.dumps(values))


def _plain(value):
    """A constructor argument as JSON: numbers as they are, arrays and networks by their content or description."""
    if isinstance(value, np.ndarray):
        return [list(value.shape), hashlib.sha256(np.ascontiguousarray(value)).hexdigest()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if hasattr(value, "config"):  # a Sequential
        return value.config()
    if hasattr(value, "network_"):  # a fitted autoencoder
        arrays = {**value.network_.params, **value.network_.buffers}
        return {name: _plain(array) for name, array in arrays.items()}
    return value if isinstance(value, str | int | float | None) else str(getattr(value, "name", value))
