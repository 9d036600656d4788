"""A training step, and the steps of an epoch on batches from host memory."""

from collections.abc import Callable

import numpy as np

from ..backends.threads import one_blas_thread
from ..backends.workspace import Workspace
from ..ops.layout import arranged
from .divergence import EpochStart, NotFiniteError, all_finite, watched


def train_step(network, loss: Callable, optimizer, x, targets=None):
    """Forward, loss, backward, step on one batch; returns the loss and the samples' shares in it (`per_sample`).

    loss: callable (outputs, targets) -> (value, grad_output, per_sample); without `targets` it gets x.
    On a kernel backend both results are arrays on the device.
    """
    outputs = network.forward(x, training=True)
    value, grad_output, per_sample = loss(outputs, x if targets is None else targets)
    network.backward(grad_output, need_input=False)
    optimizer.step()
    return value, per_sample


class HostSteps:
    """The steps of one training, batch by batch from host memory: for the NumPy backend.

    network, loss, optimizer, targets: as in `train_step`.   X: (n, ...) samples.
    """

    def __init__(self, network, loss: Callable, optimizer, X: np.ndarray, targets: np.ndarray | None = None):
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self.load(X, targets)
        self._workspace = Workspace()

    def load(self, X: np.ndarray, targets: np.ndarray | None = None) -> None:
        """Take these samples from the next epoch on."""
        self.X, self.targets = X, targets

    def start(self, batches: list[np.ndarray]) -> None:
        """One pass over batches of sample indices, in order. On the host it is over when this returns."""
        self._batches = batches
        self._before = EpochStart(self.network, self.optimizer)
        with one_blas_thread():
            self._results = [self._kept(*self.step(batch)) for batch in batches]

    def finish(self) -> tuple[list[float], list[np.ndarray] | None]:
        """The loss of every batch of the pass, and the samples' shares in it, a float64 array per batch, or None."""
        losses, samples = zip(*self._results)
        return list(losses), None if samples[0] is None else list(samples)

    def step(self, batch):
        """One step on the samples with these indices; returns as `train_step`.

        Its arrays lie in a workspace: the next step overwrites them, activations as well as the loss's inputs.
        """
        backend = self.network.backend
        x = backend.asarray(self.X[batch])
        targets = None if self.targets is None else self.targets[batch]
        with one_blas_thread(), self._workspace:  # BLAS's own threads would go on spinning between the products
            if backend.runs_numpy and x.ndim == 4:
                x = arranged(x)  # once, not in every operation that looks at the images
            return train_step(self.network, self.loss, self.optimizer, x, targets)

    def trouble(self, losses: list[float]) -> str | None:
        """None after a healthy pass with these losses; else in which batch, layer and array it went wrong, in words."""
        if np.isfinite(losses).all() and all_finite(self.network):
            return None
        self._before.restore()
        again = HostSteps(*watched(self.network, self.loss, self.optimizer), self.X, self.targets)
        with np.errstate(all="ignore"):
            for number, batch in enumerate(self._batches, start=1):
                try:
                    again.step(batch)
                except NotFiniteError as found:
                    return f"batch {number} of {len(self._batches)}: {found}"
        return "layer by layer, the same steps stay finite: the values are at the edge of what float32 can hold"

    def _kept(self, value, per_sample):
        """The results of a step, out of the way of the next one."""
        if per_sample is not None:
            per_sample = np.array(self.network.backend.to_numpy(per_sample), np.float64)
        return float(value), per_sample
