"""A training step, and who takes the steps of an epoch: `HostSteps` batch by batch, `DeviceSteps` as captured graphs.

Both have the same methods, `start(batches)` and `finish()`. On a device, data, permutation, step count and learning
rate live there, and a step is captured once: the first step of each batch size runs plainly (which also compiles its
kernels), the second is captured, and from then on the captured graph is launched: one call of the driver instead of
22 (MNIST's encoder) or 63 (its autoencoder), and the host waits once an epoch. Layers and kernels know nothing of this.
"""

from typing import Any, Protocol

import numpy as np

from ..backends.captured import Captured
from ..backends.threads import one_blas_thread
from ..backends.workspace import Workspace
from ..ops.device_log import StepLog, gather_batch
from ..ops.layout import arranged
from .divergence import EpochStart, NotFiniteError, all_finite, watched
from .layer import Array, Network
from .losses import Loss
from .networks import Sequential
from .optim import Adam, OptimizerState, Stepping

Batches = list[np.ndarray]  # the indices of the samples of each


class Steps(Protocol):
    """Who takes the steps of an epoch. A batch has one loss, or several where several networks play."""

    @property
    def optimizer(self) -> OptimizerState: ...
    def load(self, X: np.ndarray, targets: np.ndarray | None = None) -> None: ...
    def start(self, batches: Batches) -> None: ...
    def finish(self) -> tuple[list[Any], list[np.ndarray] | None]: ...
    def trouble(self, losses: list[Any]) -> str | None: ...


def train_step(
    network: Network, loss: Loss, optimizer: Stepping, x: Array, targets: Array = None
) -> tuple[Array, Array | None]:
    """Forward, loss, backward, step on one batch; returns the loss and the samples' shares in it (`per_sample`).

    loss: callable (outputs, targets) -> (value, grad_output, per_sample); without `targets` it gets x.
    On a kernel backend both results are arrays on the device.
    """
    value, grad_output, per_sample = backpropagate(network, loss, x, targets)
    optimizer.step(grad_output)
    return value, per_sample


def backpropagate(network: Network, loss: Loss, x: Array, targets: Array = None) -> tuple[Array, Array, Array | None]:
    """All but the optimiser's part of `train_step`; returns what the loss returned."""
    outputs = network.forward(x, training=True)
    value, grad_output, per_sample = loss(outputs, x if targets is None else targets)
    network.backward(grad_output, need_input=False)
    return value, grad_output, per_sample


class HostSteps:
    """The steps of one training, batch by batch from host memory: for the NumPy backend.

    network, loss, optimizer, targets: as in `train_step`.   X: (n, ...) samples.
    """

    def __init__(
        self, network: Sequential, loss: Loss, optimizer: Adam, X: np.ndarray, targets: np.ndarray | None = None
    ) -> None:
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self.load(X, targets)
        self._workspace = Workspace()

    def load(self, X: np.ndarray, targets: np.ndarray | None = None) -> None:
        """Take these samples from the next epoch on."""
        self.X, self.targets = X, targets

    def start(self, batches: Batches) -> None:
        """One pass over batches of sample indices, in order. On the host it is over when this returns."""
        self._batches = batches
        self._before = EpochStart(self.network, self.optimizer)
        with one_blas_thread():
            self._results = [self._kept(*self.step(batch)) for batch in batches]

    def finish(self) -> tuple[list[float], list[np.ndarray] | None]:
        """The loss of every batch of the pass, and the samples' shares in it, a float64 array per batch, or None."""
        losses, samples = zip(*self._results)
        return list(losses), None if samples[0] is None else list(samples)

    def step(self, batch: np.ndarray) -> tuple[Array, Array | None]:
        """One step on the samples with these indices; returns as `train_step`.

        Its arrays lie in a workspace: the next step overwrites them, activations as well as the loss's inputs.
        """
        return self._step(batch, self.network, self.loss, self.optimizer)

    def _step(
        self, batch: np.ndarray, network: Sequential, loss: Loss, optimizer: Stepping
    ) -> tuple[Array, Array | None]:
        backend = network.backend
        x = backend.asarray(self.X[batch])
        targets = None if self.targets is None else self.targets[batch]
        with one_blas_thread(), self._workspace:  # BLAS's own threads would go on spinning between the products
            if backend.runs_numpy and x.ndim == 4:
                x = arranged(x)  # once, not in every operation that looks at the images
            return train_step(network, loss, optimizer, x, targets)

    def trouble(self, losses: list[float]) -> str | None:
        """None after a healthy pass with these losses; else in which batch, layer and array it went wrong, in words."""
        if np.isfinite(losses).all() and all_finite(self.network):
            return None
        self._before.restore()
        parts = watched(self.network, self.loss, self.optimizer)
        with np.errstate(all="ignore"):
            for number, batch in enumerate(self._batches, start=1):
                try:
                    self._step(batch, *parts)
                except NotFiniteError as found:
                    return f"batch {number} of {len(self._batches)}: {found}"
        return "layer by layer, the same steps stay finite: the values are at the edge of what float32 can hold"

    def _kept(self, value: Array, per_sample: Array | None) -> tuple[float, np.ndarray | None]:
        """The results of a step, out of the way of the next one."""
        if per_sample is not None:
            per_sample = np.array(self.network.backend.to_numpy(per_sample), np.float64)
        return float(value), per_sample


class DeviceSteps:
    """The steps of one training on a kernel backend.

    network, optimizer: an `Adam` in its flat form.   loss: as in `train_step`; its `per_sample`, (rows,), is logged.
    X: (n, ...) samples, targets: None or (n, ...), integers for labels; both are copied to the device.
    batch_size: of all batches but the last of an epoch.   captured: False runs every step plainly, for comparison.
    """

    def __init__(
        self,
        network: Sequential,
        loss: Loss,
        optimizer: Adam,
        X: np.ndarray,
        batch_size: int,
        targets: np.ndarray | None = None,
        captured: bool = True,
    ) -> None:
        if optimizer.device_state is None:
            raise ValueError("optimizer: expected an Adam in its flat form")
        self.network, self.loss, self.optimizer, self.captured = network, loss, optimizer, captured
        self.device_state, self.batch_size = optimizer.device_state, batch_size
        self.backend = self.device_state.backend
        self.backend.synchronize()  # what was started elsewhere (weights, running statistics) must have arrived
        self.stream = self.backend.stream()
        with self.stream:
            self.X = self.backend.asarray(np.ascontiguousarray(X, np.float32))
            self.targets = None if targets is None else self.backend.asarray(_four_bytes(targets))
            self.order = self.backend.zeros(len(X), np.int32)
            self.first_step = self.backend.zeros(1, np.int32)  # steps done when the epoch began
            self.value_log = self.backend.zeros(len(X), np.float64)  # at most one batch per sample
            self.sample_log = self.backend.zeros(len(X), np.float32)
        self._has_samples = False
        self._runs: dict[int, Captured] = {}  # a step, by number of rows
        self._sizes: list[int] = []

    def load(self, X: np.ndarray, targets: np.ndarray | None = None) -> None:
        """Take these samples, as many as before, from the next epoch on."""
        with self.stream:
            self.backend.write(self.X, X)
            if targets is not None:
                self.backend.write(self.targets, _four_bytes(targets))

    def start(self, batches: Batches) -> None:
        """Start one pass over batches of sample indices, in order; does not wait for it."""
        self._sizes = [len(batch) for batch in batches]
        self.backend.synchronize()  # with what was written elsewhere since the last epoch, such as a radius
        with self.stream:
            self.device_state.write_learning_rate()
            self.backend.write(self.order[: sum(self._sizes)], np.concatenate(batches))  # perhaps not of all samples
            self.backend.write(self.first_step, self.optimizer.step_count)
            for size in self._sizes:
                self._run(size)

    def finish(self) -> tuple[list[float], list[np.ndarray] | None]:
        """Wait for the pass: the loss of every batch, and the samples' shares in it, a float64 array each, or None."""
        with self.stream:
            losses = self.backend.to_numpy(self.value_log[: len(self._sizes)]).tolist()
            if not self._has_samples:
                return losses, None
            samples = self.backend.to_numpy(self.sample_log[: sum(self._sizes)]).astype(np.float64)
        return losses, np.split(samples, np.cumsum(self._sizes)[:-1])

    def trouble(self, losses: list[float]) -> str | None:
        """None after a healthy pass with these losses; else what was wrong, in words."""
        bad = [loss for loss in losses if not np.isfinite(loss)]
        return f"the loss is {bad[0]}" if bad else None

    def _run(self, rows: int) -> None:
        """One step on a batch of that many rows."""
        if self.captured:
            self._runs.setdefault(rows, Captured(self.backend))(lambda: self._step(rows))
        else:
            self._step(rows)

    def _step(self, rows: int) -> None:
        x, targets = (self._gathered(a, rows) for a in (self.X, self.targets))
        value, grad_output, per_sample = backpropagate(self.network, self.loss, x, targets)
        self._has_samples = per_sample is not None
        logs = (self.value_log, self.sample_log, self.batch_size)
        self.device_state.end_step(grad_output, StepLog(self.first_step, value, per_sample, *logs))

    def _gathered(self, array: Array, rows: int) -> Array:
        """This step's samples of a float32 array, or of int32 labels, whose bits are copied as if they were float32."""
        if array is None:
            return None
        count, where = self.device_state.count, (self.first_step, self.batch_size, rows)
        return gather_batch(self.backend, array.view(np.float32), self.order, count, *where).view(array.dtype)


def _four_bytes(targets: np.ndarray) -> np.ndarray:
    """Targets as the kernels take them: labels as int32, other numbers as float32."""
    return np.ascontiguousarray(targets, np.int32 if np.asarray(targets).dtype.kind in "iub" else np.float32)
