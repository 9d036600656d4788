"""The training loop that Deep SVDD, its autoencoder and every other network of this library share."""

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ..backends import KernelError
from ..backends.threads import one_blas_thread
from ..backends.workspace import Workspace
from ..files.checkpoint import LoopCheckpoint
from ..ops.layout import arranged
from .batches import shuffled_batches
from .device_steps import DeviceSteps
from .divergence import EpochStart, all_finite
from .optim import Adam, StepSchedule


def train_step(network, loss: Callable, optimizer, x, workspace: Workspace, targets=None):
    """Forward, loss, backward, step on one batch; returns the loss, on a kernel backend an array on the device.

    loss: callable (outputs, x) -> (value, grad_output); with `targets`, (outputs, targets).
    The arrays of a step lie in `workspace`: the next step overwrites them, activations as well as the loss's inputs.
    """
    with one_blas_thread(), workspace:  # BLAS's own threads would go on spinning between the products
        if network.backend.runs_numpy and x.ndim == 4:
            x = arranged(x)  # once, not in every operation that looks at the images
        value, grad_output, *_ = loss(network.forward(x, training=True), x if targets is None else targets)
        network.backward(grad_output, need_input=False)
        optimizer.step()
    return value


def train_epoch(network, loss: Callable, optimizer, X: np.ndarray, batches: list[np.ndarray]) -> float:
    """One pass over the batches: forward, loss, backward, step. Returns the mean loss per sample.

    loss: callable (outputs, inputs) -> (value, grad_output).
    """
    values, _ = _host_epoch(network, loss, optimizer, X, batches, Workspace())
    return _mean(values, batches)


def train(network, loss: Callable, X: np.ndarray, **options) -> None:
    """Train with Adam and the step schedule. Options and errors: `train_steps`."""
    for _ in train_steps(network, loss, X, **options):
        pass


def train_many(trainings: Iterable[Iterator]) -> None:
    """Drive several trainings side by side: `train_steps` of different networks, or `fit_steps` of different models.

    In turn, each starts an epoch on the stream of its own; the host waits for one while the device works on the others.
    Every training gives, bit for bit, what it gives alone.
    """
    active = [iter(training) for training in trainings]
    while active:
        active = [training for training in active if next(training, _DONE) is not _DONE]


_DONE = object()


def train_steps(
    network,
    loss: Callable,
    X: np.ndarray,
    *,
    epochs: int,
    learning_rate: float,
    milestones: tuple[int, ...],
    weight_decay: float,
    batch_size: int,
    rng: np.random.Generator,
    targets: np.ndarray | None = None,
    before_epoch: Callable | None = None,
    after_epoch: Callable | None = None,
    captured: bool = True,
    checkpoint: LoopCheckpoint | None = None,
) -> Iterator[None]:
    """Train with Adam and the step schedule, in pieces: yields whenever an epoch has been started.

    targets: labels for a loss that compares with them, not with the inputs (NumPy backend only).
    before_epoch(epoch) runs first in every epoch, and on the NumPy backend may write other samples into X;
    after_epoch(epoch, loss, learning_rate, seconds) runs last. Before it,
    what the loss left in its attribute `per_sample` in each batch, if it has one, is handed to loss.end_epoch(arrays).
    captured: on a kernel backend, replay steps as graphs (`minisvdd.nn.device_steps`).
    checkpoint: written now and then; where it resumes, the epochs that it holds are not trained again.
    Raises FloatingPointError when the loss or a parameter is no longer finite; it names the epoch and, on the NumPy
    backend, batch, layer and array where that began (`minisvdd.nn.divergence`).
    """
    if targets is not None and not network.backend.runs_numpy:
        raise KernelError(f"training with targets runs on the numpy backend, got {network.backend!r}")
    optimizer = Adam(network, learning_rate, weight_decay)
    schedule, workspace = StepSchedule(learning_rate, milestones), Workspace()
    device = DeviceSteps(network, loss, optimizer, X, batch_size, captured) if optimizer.device_state else None
    first = checkpoint.restore(network, optimizer, rng) if checkpoint else 0
    for epoch in range(first, epochs):
        start = time.perf_counter()
        if before_epoch:
            before_epoch(epoch)
        optimizer.learning_rate = schedule(epoch)
        begin = None if device else EpochStart(network, optimizer)
        batches = shuffled_batches(len(X), batch_size, rng)
        if device:
            device.start_epoch(batches)
            yield
            values, samples = device.finish_epoch()
        else:
            values, samples = _host_epoch(network, loss, optimizer, X, batches, workspace, targets)
            yield
        value = _mean(values, batches)
        if not (np.isfinite(value) and (device or all_finite(network))):
            where = begin.diagnose(loss, X, batches, targets) if begin else f"the loss is {value}"
            raise FloatingPointError(
                f"training diverged in epoch {epoch + 1}, {where}; "
                f"lower learning_rate={learning_rate} or scale the data"
            )
        if samples is not None:
            loss.end_epoch(samples)
        if after_epoch:
            after_epoch(epoch, value, optimizer.learning_rate, time.perf_counter() - start)
        if checkpoint and checkpoint.is_due(epoch + 1, epochs):
            checkpoint.save(epoch + 1, network, optimizer, rng)


def _host_epoch(network, loss, optimizer, X, batches, workspace, targets=None):
    """The loss of every batch, and what the loss left in `per_sample`, or None: batches come from host memory."""
    values, samples = [], []
    with one_blas_thread():
        for batch in batches:
            x = network.backend.asarray(X[batch])
            wanted = None if targets is None else targets[batch]
            values.append(train_step(network, loss, optimizer, x, workspace, wanted))
            samples.append(getattr(loss, "per_sample", None))
    if samples[0] is None:
        return values, None
    return values, [network.backend.to_numpy(array) for array in samples]


def _mean(values, batches):
    sizes = [len(batch) for batch in batches]
    return sum(float(value) * size for value, size in zip(values, sizes)) / sum(sizes)
