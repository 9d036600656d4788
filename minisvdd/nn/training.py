"""The one trainer: what an epoch is, how long a training lasts, and everything that a checkpoint must hold.

    training = Training(network, loss, X, Plan(epochs=100, learning_rate=1e-3), rng)
    training.run()
    training.history["loss"]

`run` starts and finishes one epoch after the other. On a device an epoch that was started goes on by itself, so that
several trainings, each on a stream of its own, share it; every one gives, bit for bit, what it gives alone:

    while not all(training.is_done for training in trainings):
        for training in trainings:
            training.finish_epoch()
            training.start_epoch()
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..files.checkpoint import LoopCheckpoint
from ..files.progress import Progress
from ..files.records import ANY, list_of, number, optional, record, table_of, whole
from ..validation import check_choice, check_milestones, check_number
from .batches import batch_members, check_memory, shuffled_batches
from .layer import Array
from .losses import Loss
from .networks import Sequential
from .optim import Adam, StepSchedule
from .steps import Batches, DeviceSteps, HostSteps, Steps

_MUCH = 1e9  # bytes of a step of which one is told
BATCHES = ("shuffled", "fixed")


@runtime_checkable
class Stateful(Protocol):
    """A loss that changes while training, such as `SoftBoundary`: by plain JSON values, for checkpoints."""

    state: dict[str, float]


@dataclass(frozen=True)
class Plan:
    """How long, how fast and in what portions to train; the learning rate is divided by 10 at each milestone.

    batches: "shuffled" draws new ones in every epoch, "fixed" (the authors' first scripts) only their order: the
    samples are cut to a multiple of the batch size, at random, and each batch keeps its members.

    Raises ValueError, naming the argument, for values that no training could mean.

    >>> plan = Plan(epochs=3, learning_rate=1.0, milestones=(2,))
    >>> [plan.rate(epoch) for epoch in range(plan.epochs)]
    [1.0, 1.0, 0.1]
    """

    epochs: int
    learning_rate: float = 1e-4
    milestones: Sequence[int] = ()
    weight_decay: float = 0.0
    batch_size: int = 200
    batches: str = "shuffled"

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name), field.name)
        for name in ("learning_rate", "weight_decay"):  # NumPy's numbers would compute in their own precision
            object.__setattr__(self, name, float(getattr(self, name)))

    @classmethod
    def of(cls, estimator: object, prefix: str = "") -> "Plan":
        """The plan that an estimator's arguments make, those with the prefix (`pretrain_epochs`) before the others."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            for name in (prefix + field.name, field.name):
                if field.name not in values and hasattr(estimator, name):
                    values[field.name] = getattr(estimator, name)
                    _check(field.name, values[field.name], name)
        return cls(**values)

    def rate(self, epoch: int) -> float:
        """The learning rate in this epoch, counted from 0."""
        return StepSchedule(self.learning_rate, self.milestones)(epoch)


class Training:
    """Adam on one loss, epoch by epoch.

    network: built, of the backend that is to compute.   loss: callable (outputs, targets) -> (value, grad_output,
        per_sample), such as those of `minisvdd.nn.losses`; what changes in it while training is its `state`, if any.
    X: (n, ...) samples.   targets: (n, ...) what outputs are compared with; None: with the samples themselves.
    rng: shuffles the batches.   label, verbose: of the progress lines; 0 is silent.
    before_epoch: callable (training), called first in every epoch; `training.epoch` is its number, from 0.
    columns: what the history notes beside the columns of every training: by name, callables (training) -> number.
    checkpoint: written when due; where it resumes, the epochs that it holds are not trained again.

    Attributes
    ----------
    epoch: how many are finished.   history: a list for each column, one entry per epoch: epoch (from 1), loss (mean per
        sample), those of `columns`, learning_rate, seconds.
    per_sample: what the loss returned so, in the last epoch: a float64 array for each batch, or None.
    last_batch: the last of them; a resumed training has it at once, and `per_sample` after the next epoch.

    >>> from minisvdd import nn
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 5)).astype(np.float32)
    >>> network = nn.Sequential([nn.Linear(2)])  # is to find two of the five features
    >>> network.build((5,), rng)
    (2,)
    >>> plan = Plan(epochs=20, learning_rate=0.1, batch_size=10)
    >>> training = Training(network, nn.MeanSquaredError(), X, plan, rng, targets=X[:, :2]).run()
    >>> losses = training.history["loss"]
    >>> len(losses), losses[-1] < 0.1 * losses[0]
    (20, True)
    """

    _loss_names: tuple[str, ...] = ("loss",)

    def __init__(
        self,
        network: Sequential,
        loss: Loss,
        X: np.ndarray,
        plan: Plan,
        rng: np.random.Generator,
        *,
        targets: np.ndarray | None = None,
        label: str = "training",
        verbose: int = 0,
        before_epoch: Callable[["Training"], None] | None = None,
        columns: dict[str, Callable[["Training"], float]] | None = None,
        checkpoint: LoopCheckpoint | None = None,
    ) -> None:
        self.network, self.loss, self.X, self.targets, self.plan, self.rng = network, loss, X, targets, plan, rng
        self.before_epoch, self.columns, self.checkpoint = before_epoch, columns or {}, checkpoint
        needed = check_memory(network, X.shape[1:], min(plan.batch_size, len(X)))
        if verbose and needed > _MUCH:
            print(f"{label}: a step takes about {needed / 1e9:.1f} GB of memory", file=sys.stderr)
        self.steps = self._make_steps()
        self.optimizer = self.steps.optimizer
        names = ("epoch", *self._loss_names, *self.columns, "learning_rate", "seconds")
        self.epoch = 0
        self.history: dict[str, list[float]] = {name: [] for name in names}
        self.per_sample: list[np.ndarray] | None = None
        self.last_batch: np.ndarray | None = None
        self._batches: Batches | None = None
        self._is_at_rest = True
        # drawn before a checkpoint sets the generator, so that a training that goes on has the same ones
        self._members = batch_members(len(X), plan.batch_size, rng) if plan.batches == "fixed" else None
        if checkpoint:
            checkpoint.restore(self._put_state)
        self._progress = Progress(f"{label}, epoch", plan.epochs, verbose)

    @property
    def is_done(self) -> bool:
        """Whether all epochs are finished."""
        return self.epoch >= self.plan.epochs

    def run(self) -> "Training":
        """Train to the end. Errors: `finish_epoch`."""
        while not self.is_done:
            self.start_epoch()
            self.finish_epoch()
        return self

    def start_epoch(self) -> None:
        """Start the next epoch, if one is left; on a device, without waiting for it."""
        if self._batches is not None:
            raise RuntimeError(f"epoch {self.epoch + 1} has been started already: finish_epoch comes first")
        if self.is_done:
            return
        self._is_at_rest = False
        self._started = time.perf_counter()
        if self.before_epoch:
            self.before_epoch(self)
        self.optimizer.learning_rate = self.plan.rate(self.epoch)
        self._batches = self._draw_batches()
        self.steps.start(self._batches)

    def _draw_batches(self) -> Batches:
        if self._members is None:
            return shuffled_batches(len(self.X), self.plan.batch_size, self.rng)
        return [self._members[i] for i in self.rng.permutation(len(self._members))]

    def finish_epoch(self) -> None:
        """Wait for the epoch that was started, if one was; note it, and write a checkpoint where one is due.

        Raises FloatingPointError when the loss or a parameter is no longer finite; it names the epoch and, on the NumPy
        backend, batch, layer and array where that began (`minisvdd.nn.divergence`). DataError when a checkpoint cannot
        be written.
        """
        if self._batches is None:
            return
        losses, self.per_sample = self.steps.finish()
        trouble = self.steps.trouble(losses)
        if trouble:
            raise FloatingPointError(
                f"training diverged in epoch {self.epoch + 1}, {trouble}; "
                f"lower learning_rate={self.plan.learning_rate} or scale the data"
            )
        self.last_batch = self.per_sample[-1] if self.per_sample else None
        sizes, self._batches = [len(batch) for batch in self._batches], None
        self.epoch += 1
        self._record(self._means(losses, sizes))
        self._is_at_rest = True

    def load(self, X: np.ndarray, targets: np.ndarray | None = None) -> None:
        """Train on these samples, as many as before, from the next epoch on: for `before_epoch`."""
        self.X, self.targets = X, targets
        self.steps.load(X, targets)

    def _make_steps(self) -> Steps:
        """Who takes the steps: what starts and finishes a pass over batches, and owns the optimiser."""
        optimizer = Adam(self.network, self.plan.learning_rate, self.plan.weight_decay)
        if optimizer.device_state is None:
            return HostSteps(self.network, self.loss, optimizer, self.X, self.targets)
        return DeviceSteps(self.network, self.loss, optimizer, self.X, self.plan.batch_size, self.targets)

    def _means(self, losses: list[Any], sizes: list[int]) -> list[float]:
        """The epoch's values of the columns `_loss_names`."""
        return [_mean(losses, sizes)]

    def _record(self, losses: list[float]) -> None:
        """The only place where anybody learns of a finished epoch: history, progress, checkpoint."""
        more = [value(self) for value in self.columns.values()]
        row = [self.epoch, *losses, *more, self.optimizer.learning_rate, time.perf_counter() - self._started]
        for column, value in zip(self.history.values(), row, strict=True):
            column.append(value)
        note = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in zip(self._loss_names, losses))
        self._progress.update(self.epoch, note)
        if self.checkpoint and self.checkpoint.is_due(self.epoch, self.plan.epochs):
            self.checkpoint.save(*self._get_state())

    def keep(self) -> None:
        """Write a checkpoint now, if it has one; not in the middle of an epoch. Errors: `finish_epoch`."""
        if self.checkpoint and self.epoch > 0 and self._is_at_rest:
            self.checkpoint.save(*self._get_state())

    # What a checkpoint holds

    def _arrays(self) -> dict[str, Array]:
        """Arrays that a step changes, by their names in the file."""
        groups = {
            "network": self.network.arrays,
            "first_moment": self.optimizer.first_moment,
            "second_moment": self.optimizer.second_moment,
        }
        return {f"{prefix}/{name}": array for prefix, group in groups.items() for name, array in group.items()}

    def _get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Everything that changes while training: plain JSON values, and arrays in host memory."""
        values = {
            "epoch": self.epoch,
            "steps": self.optimizer.step_count,
            "generator": self.rng.bit_generator.state,
            "history": self.history,
            "loss": self.loss.state if isinstance(self.loss, Stateful) else None,
        }
        arrays = {name: self.network.backend.to_numpy(array) for name, array in self._arrays().items()}
        return values, arrays if self.last_batch is None else {**arrays, "last_batch": self.last_batch}

    def _put_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """The way back. Raises KeyError, TypeError or ValueError for what is missing or does not fit."""
        column = list_of(optional(number()), least=1)
        record(
            epoch=whole(1, self.plan.epochs),
            steps=whole(1, 1 << 53),
            generator=table_of(ANY),
            history=record(**dict.fromkeys(self.history, column)),
            loss=optional(table_of(number())),
        )(values, "state")
        if any(len(values["history"][name]) != values["epoch"] for name in self.history):
            raise ValueError(f"history: expected {values['epoch']} epochs in each of its columns")
        last_batch = arrays.get("last_batch", np.zeros(1))
        if last_batch.ndim != 1 or last_batch.dtype.kind != "f":
            raise ValueError(f"last_batch: found {last_batch.dtype} {last_batch.shape}, expected distances (n,)")
        for name, array in self._arrays().items():
            saved = arrays[name]
            if saved.shape != array.shape or saved.dtype != array.dtype:
                raise ValueError(
                    f"{name}: found {saved.dtype} {saved.shape}, expected {array.dtype} {tuple(array.shape)}"
                )
            self.network.backend.write(array, saved)
        self.optimizer.step_count = int(values["steps"])
        self.rng.bit_generator.state = values["generator"]
        self.epoch, self.last_batch = int(values["epoch"]), arrays.get("last_batch")
        self.history.update({name: values["history"][name] for name in self.history})
        if values["loss"] is not None and isinstance(self.loss, Stateful):
            self.loss.state = values["loss"]


def train_epoch(network: Sequential, loss: Loss, optimizer: Adam, X: np.ndarray, batches: Batches) -> float:
    """One pass over the batches: forward, loss, backward, step. Returns the mean loss per sample.

    loss: callable (outputs, inputs) -> (value, grad_output, per_sample).
    """
    steps = HostSteps(network, loss, optimizer, X)
    steps.start(batches)
    return _mean(steps.finish()[0], [len(batch) for batch in batches])


_LIMITS: dict[str, dict[str, Any]] = {
    "epochs": {"low": 0, "integer": True},
    "learning_rate": {"low": 0, "low_open": True},
    "weight_decay": {"low": 0},
    "batch_size": {"low": 1, "integer": True},
}


def _check(field: str, value: Any, name: str) -> None:
    """ValueError, by the name that the user knows, for a value of this field of a plan that no training could mean."""
    if field in _LIMITS:
        check_number(value, name, **_LIMITS[field])
    elif field == "batches":
        check_choice(value, name, BATCHES)
    else:
        check_milestones(value, name)


def _mean(losses: list[float], sizes: list[int]) -> float:
    return sum(loss * size for loss, size in zip(losses, sizes)) / sum(sizes)
