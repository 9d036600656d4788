"""How samples reach a network: in batches for training, and all of them for evaluation."""

from copy import deepcopy

import numpy as np

from ..backends.threads import one_blas_thread
from ..backends.workspace import Workspace

# Samples that evaluation takes at a time: a matter of memory, and of pieces that are large enough for threads.
_EVALUATION_BATCH = 500


def fixed_batches(n: int, batch_size: int) -> list[slice]:
    """Slices over 0..n-1 in order; a last batch of a single sample joins the one before it (batch norm needs two)."""
    starts = list(range(0, n, batch_size))
    if n % batch_size == 1 and len(starts) > 1:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], n])]


def shuffled_batches(n: int, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """A random partition of 0..n-1 into batches; the incomplete last one is used like any other (`fixed_batches`)."""
    order = rng.permutation(n)
    return [order[batch] for batch in fixed_batches(n, batch_size)]


def outputs(network, X: np.ndarray) -> np.ndarray:
    """network(x) for all rows of X in evaluation mode (running statistics), as a NumPy array (n, ...).

    Features (n, D) are evaluated in float64: it costs little there, and a score then does not depend, by more than
    1e-15, on which other samples share its batch (matrix products of different sizes round differently).
    """
    backend, dtype = network.backend, np.float32
    if X.ndim == 2 and backend.runs_numpy:
        network, dtype = deepcopy(network).astype(np.float64), np.float64
    parts = [slice(start, start + _EVALUATION_BATCH) for start in range(0, max(1, len(X)), _EVALUATION_BATCH)]
    workspace, result = Workspace(), None
    with one_blas_thread():
        for part in parts:
            with workspace:
                y = backend.to_numpy(network.forward(backend.asarray(X[part], dtype)))
                if result is None:
                    result = np.empty((len(X), *y.shape[1:]), y.dtype)
                result[part] = y  # copied: the next batch overwrites y
    return result
