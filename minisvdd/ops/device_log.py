"""What a training step needs besides its arithmetic, on the device: its batch and its log.

A step that was captured once is launched again and again with the same arguments (`minisvdd.nn.steps`). What
differs from step to step therefore lies in device memory: `steps`, those done so far (Adam counts them), and
`first_step`, their number when the epoch began, both (1,) int32. In an epoch with the permutation `order`, its step
number b = steps - first_step takes the samples order[b * batch_size], order[b * batch_size + 1], ...

Kernel backends only: the NumPy backend takes X[batch].
"""

from typing import TYPE_CHECKING

import numpy as np

from ..backends.types import DeviceArray

if TYPE_CHECKING:
    from ..backends.device import KernelBackend


def gather_batch(
    backend: "KernelBackend",
    X: DeviceArray,
    order: DeviceArray,
    steps: DeviceArray,
    first_step: DeviceArray,
    batch_size: int,
    rows: int,
) -> DeviceArray:
    """The `rows` samples of this step.  X: (n, ...), order: (n,) int32; returns (rows, ...)."""
    batch = backend.empty((rows, *X.shape[1:]), X.dtype)
    args = (X, order, steps, first_step, batch, batch_size, rows, X.size // len(X))
    backend.launch("gather_batch", args, threads=batch.size)
    return batch


def log_batch(
    backend: "KernelBackend",
    values: DeviceArray,
    steps: DeviceArray,
    first_step: DeviceArray,
    log: DeviceArray,
    batch_size: int,
) -> None:
    """log[b * batch_size + i] = values[i].  values: one number (), or (rows,); batch_size: 1 for one number a step."""
    args = (values, steps, first_step, log, batch_size, values.size)
    backend.launch("log_batch", args, threads=values.size)


def any_nonzero(backend: "KernelBackend", x: DeviceArray) -> DeviceArray:
    """1 where any entry is not 0, else 0: an array () of float64."""
    found = backend.empty((), np.float64)
    backend.launch("any_nonzero", (backend.dense(x), found, x.size), grid=(1,))
    return found


def copy(backend: "KernelBackend", source: DeviceArray, target: DeviceArray) -> None:
    """target[...] = source, of one shape and dtype."""
    backend.launch("copy", (backend.dense(source), target, target.size), threads=target.size)
