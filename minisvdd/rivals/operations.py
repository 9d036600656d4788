"""What AnoGAN computes between the passes of its networks, on whole batches: in the game, and in the latent search."""

from typing import TYPE_CHECKING

import numpy as np

from ..nn.layer import Array
from ..ops.operation import Operation

if TYPE_CHECKING:
    from ..backends import KernelBackend


@Operation
def weighted_sum(x: np.ndarray, y: np.ndarray, a: float, b: float) -> np.ndarray:
    """a x + b y, x and y of one shape."""
    return a * x + b * y


@weighted_sum.launch
def _(backend: "KernelBackend", x: Array, y: Array, a: float, b: float) -> Array:
    total = backend.empty(x.shape, x.dtype)
    backend.launch("weighted_sum", (backend.dense(x), backend.dense(y), total, a, b, x.size), threads=x.size)
    return total


@Operation
def add_to(total: np.ndarray, more: np.ndarray) -> None:
    """total += more, in place."""
    total += more


@add_to.launch
def _(backend: "KernelBackend", total: Array, more: Array) -> None:
    backend.launch("weighted_sum", (total, backend.dense(more), total, 1, 1, total.size), threads=total.size)


@Operation
def take_rows(X: np.ndarray, order: np.ndarray) -> np.ndarray:
    """X[order], for integers in 0 ... len(X) - 1.  On a device (n,) int32."""
    return X[order]


@take_rows.launch
def _(backend: "KernelBackend", X: Array, order: Array) -> Array:
    taken = backend.empty((len(order), *X.shape[1:]), X.dtype)
    args = (backend.dense(X), order, taken, len(order), X.size // len(X))
    backend.launch("take_rows", args, threads=taken.size)
    return taken


@Operation
def keep_better(losses: np.ndarray, points: np.ndarray, best_losses: np.ndarray, best_points: np.ndarray) -> None:
    """Where a loss is smaller than the best one so far, it takes its place, in place, and its point that of the best.

    losses, best_losses: (N,), points, best_points: (N, D). NaN is never better.
    """
    better = losses < best_losses
    best_losses[better], best_points[better] = losses[better], points[better]


@keep_better.launch
def _(backend: "KernelBackend", losses: Array, points: Array, best_losses: Array, best_points: Array) -> None:
    N, D = points.shape
    backend.launch("keep_better", (losses, backend.dense(points), best_losses, best_points, D), grid=(N,))
