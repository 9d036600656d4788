"""What a training step needs besides its arithmetic, on the device: its batch and its log.

A step that was captured once is launched again and again with the same arguments (`minisvdd.nn.steps`). What
differs from step to step therefore lies in device memory: the count of steps, twice (`StepCount`), and `first_step`,
the steps done when the epoch began, (1,) int32. In an epoch with the permutation `order`, its step number
b = steps done - first_step takes the samples order[b * batch_size], order[b * batch_size + 1], ...

Kernel backends only: the NumPy backend takes X[batch].
"""

from typing import TYPE_CHECKING, NamedTuple

from ..backends.types import DeviceArray

if TYPE_CHECKING:
    from ..backends.device import KernelBackend


class StepCount(NamedTuple):
    """Steps done so far, and those done before the step that is going on; both (1,) int32.

    Two, because the blocks of a launch run in any order: one that increases a number must not be the one that reads it.
    A step begins with before = done (`gather_batch`, `begin_step`) and ends with done = before + 1 (the optimiser).
    """

    done: DeviceArray
    before: DeviceArray


class StepLog(NamedTuple):
    """What a step leaves for the host to read, and where.

    value: () float64.   samples: (rows,), or None.   value_log: (steps,) float64.   sample_log: (steps * batch_size,).
    """

    first_step: DeviceArray
    value: DeviceArray
    samples: DeviceArray | None
    value_log: DeviceArray
    sample_log: DeviceArray
    batch_size: int


def gather_batch(
    backend: "KernelBackend",
    X: DeviceArray,
    order: DeviceArray,
    count: StepCount,
    first_step: DeviceArray,
    batch_size: int,
    rows: int,
) -> DeviceArray:
    """Begin a step: its `rows` samples.  X: (n, ...), order: (n,) int32; returns (rows, ...)."""
    batch = backend.empty((rows, *X.shape[1:]), X.dtype)
    args = (X, order, count.done, first_step, count.before, batch, batch_size, rows, X.size // len(X))
    backend.launch("gather_batch", args, threads=batch.size)
    return batch


def begin_step(backend: "KernelBackend", count: StepCount) -> None:
    """Begin a step that brings its batch along."""
    backend.launch("begin_step", count, grid=(1,), block=(1,))


def copy(backend: "KernelBackend", source: DeviceArray, target: DeviceArray) -> None:
    """target[...] = source, of one shape and dtype."""
    backend.launch("copy", (backend.dense(source), target, target.size), threads=target.size)
