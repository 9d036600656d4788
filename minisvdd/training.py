"""The training loop that Deep SVDD, its autoencoder and every other network of this library share."""

import time
from collections.abc import Callable

import numpy as np

from .batches import shuffled_batches
from .optim import Adam, StepSchedule
from .threads import one_blas_thread


def train_epoch(
    network, loss: Callable, optimizer, X: np.ndarray, batches: list[np.ndarray], targets: np.ndarray | None = None
) -> float:
    """One pass over the batches: forward, loss, backward, step. Returns the mean loss per sample.

    loss: callable (outputs, inputs) -> (value, grad_output); with `targets`, (outputs, targets of the batch).
    """
    total = 0.0
    with one_blas_thread():
        for batch in batches:
            x = network.backend.asarray(X[batch])
            wanted = x if targets is None else targets[batch]
            value, grad_output = loss(network.forward(x, training=True), wanted)
            network.backward_params(grad_output)
            optimizer.step()
            total += float(value) * len(batch)
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
    targets: np.ndarray | None = None,
    before_epoch: Callable | None = None,
    after_epoch: Callable | None = None,
) -> None:
    """Train with Adam and the step schedule.

    targets: labels for a loss that compares with them, not with the inputs (see `train_epoch`).
    before_epoch(epoch) runs first in every epoch, and may write other samples into X;
    after_epoch(epoch, loss, learning_rate, seconds) runs last.
    Raises FloatingPointError, naming the epoch, when the loss is no longer finite.
    """
    optimizer = Adam(network, learning_rate, weight_decay)
    schedule = StepSchedule(learning_rate, milestones)
    for epoch in range(epochs):
        start = time.perf_counter()
        if before_epoch:
            before_epoch(epoch)
        optimizer.learning_rate = schedule(epoch)
        value = train_epoch(network, loss, optimizer, X, shuffled_batches(len(X), batch_size, rng), targets)
        if not np.isfinite(value):
            raise FloatingPointError(
                f"training diverged: the loss is {value} in epoch {epoch + 1}; lower learning_rate={learning_rate}"
            )
        if after_epoch:
            after_epoch(epoch, value, optimizer.learning_rate, time.perf_counter() - start)
