"""Training steps on a device: data, permutation, step count and learning rate live there, and a step is captured once.

The first step of each batch size runs plainly (which also compiles its kernels), the second is captured, and from then
on the captured graph is launched: one call of the driver instead of some fifty, and the host waits once an epoch.
Layers and kernels know nothing of this: capture is the business of this file alone.
"""

import numpy as np

from ..ops.device_log import gather_batch, log_batch


class DeviceSteps:
    """The steps of one training on a kernel backend.

    network, optimizer: an `Adam` in its flat form.   loss: callable (outputs, inputs) -> (value, grad_output); what it
        leaves in an attribute `per_sample`, an array (rows,), is logged.   X: (n, ...) samples, copied to the device.
    batch_size: of all batches but the last of an epoch.   captured: False runs every step plainly, for comparison.
    """

    def __init__(self, network, loss, optimizer, X: np.ndarray, batch_size: int, captured: bool = True):
        self.network, self.loss, self.optimizer, self.captured = network, loss, optimizer, captured
        self.backend, self.batch_size = network.backend, batch_size
        self.backend.synchronize()  # what was started elsewhere (weights, running statistics) must have arrived
        self.stream = self.backend.stream()
        with self.stream:
            self.X = self.backend.asarray(np.ascontiguousarray(X, np.float32))
            self.order = self.backend.zeros(len(X), np.int32)
            self.first_step = self.backend.zeros(1, np.int32)
            self.value_log = self.backend.zeros(len(X), np.float64)  # at most one batch per sample
            self.sample_log = self.backend.zeros(len(X), np.float32)
        self.steps_done = 0
        self._graphs = {}
        self._sizes = []

    def start_epoch(self, batches: list[np.ndarray]) -> None:
        """Start one pass over batches of sample indices, in order; does not wait for it."""
        self._sizes = [len(batch) for batch in batches]
        self.backend.synchronize()  # with what was written elsewhere since the last epoch, such as a radius
        with self.stream:
            self.optimizer.device_state.write_learning_rate()
            self.backend.write(self.order, np.concatenate(batches))
            self.backend.write(self.first_step, self.steps_done)
            for size in self._sizes:
                self._run(size)
        self.steps_done += len(batches)

    def finish_epoch(self) -> tuple[list[float], list[np.ndarray] | None]:
        """Wait for the epoch: the loss of every batch, and what the loss left in `per_sample`, or None."""
        with self.stream:
            values = self.backend.to_numpy(self.value_log[: len(self._sizes)]).tolist()
            if getattr(self.loss, "per_sample", None) is None:
                return values, None
            samples = self.backend.to_numpy(self.sample_log[: sum(self._sizes)]).copy()
        return values, np.split(samples, np.cumsum(self._sizes)[:-1])

    def _run(self, rows):
        """One step on a batch of that many rows: plainly, captured, or from the graph."""
        if not self.captured or rows not in self._graphs:
            self._step(rows)
            self._graphs[rows] = None
            return
        if self._graphs[rows] is None:
            with self.backend.capture() as self._graphs[rows]:
                self._step(rows)
        self._graphs[rows].launch()

    def _step(self, rows):
        state = self.optimizer.device_state
        place = (state.steps, self.first_step)
        x = gather_batch(self.backend, self.X, self.order, *place, self.batch_size, rows)
        value, grad_output, *_ = self.loss(self.network.forward(x, training=True), x)
        self.network.backward(grad_output, need_input=False)
        log_batch(self.backend, value, *place, self.value_log, 1)
        if getattr(self.loss, "per_sample", None) is not None:
            log_batch(self.backend, self.loss.per_sample, *place, self.sample_log, self.batch_size)
        self.optimizer.step()  # last: it counts the step
