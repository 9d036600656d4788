"""The training loop that Deep SVDD, its autoencoder and every other network of this library share."""

import time
from collections.abc import Callable

import numpy as np

from .batches import shuffled_batches
from .optim import Adam, StepSchedule
from .threads import one_blas_thread
from .workspace import Workspace


def train_step(network, loss: Callable, optimizer, x, workspace: Workspace) -> float:
    """Forward, loss, backward, step on one batch; returns the loss.

    The arrays of a step lie in `workspace`: the next step overwrites them, activations as well as the loss's inputs.
    """
    with one_blas_thread(), workspace:  # BLAS's own threads would go on spinning between the products
        value, grad_output = loss(network.forward(x, training=True), x)
        network.backward_params(grad_output)
        optimizer.step()
    return float(value)


def train_epoch(
    network, loss: Callable, optimizer, X: np.ndarray, batches: list[np.ndarray], workspace: Workspace | None = None
) -> float:
    """One pass over the batches. Returns the mean loss per sample.

    loss: callable (outputs, inputs) -> (value, grad_output).   workspace: memory of the steps, kept between epochs.
    """
    workspace = Workspace() if workspace is None else workspace
    total = 0.0
    for batch in batches:
        x = network.backend.asarray(X[batch])
        total += train_step(network, loss, optimizer, x, workspace) * len(batch)
    return total / sum(len(batch) for batch in batches)


def train(
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
    before_epoch: Callable | None = None,
    after_epoch: Callable | None = None,
) -> None:
    """Train with Adam and the step schedule.

    before_epoch(epoch) runs first in every epoch; after_epoch(epoch, loss, learning_rate, seconds) last.
    Raises FloatingPointError, naming the epoch, when the loss is no longer finite.
    """
    optimizer = Adam(network, learning_rate, weight_decay)
    schedule, workspace = StepSchedule(learning_rate, milestones), Workspace()
    for epoch in range(epochs):
        start = time.perf_counter()
        if before_epoch:
            before_epoch(epoch)
        optimizer.learning_rate = schedule(epoch)
        value = train_epoch(network, loss, optimizer, X, shuffled_batches(len(X), batch_size, rng), workspace)
        if not np.isfinite(value):
            raise FloatingPointError(
                f"training diverged: the loss is {value} in epoch {epoch + 1}; lower learning_rate={learning_rate}"
            )
        if after_epoch:
            after_epoch(epoch, value, optimizer.learning_rate, time.perf_counter() - start)
