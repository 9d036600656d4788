"""How samples reach a network: in batches for training, and all of them for evaluation."""

from collections.abc import Callable, Iterator
from copy import deepcopy

import numpy as np

from ..backends.threads import one_blas_thread
from ..backends.types import Shape
from ..backends.workspace import Workspace
from .layer import AnyLayer, Layer

# Samples that evaluation takes at a time: a matter of memory, and of pieces that are large enough for threads.
_EVALUATION_BATCH = 500
# The same for gradients, which keep what every layer has computed.
_GRADIENT_BATCH = 100


def fixed_batches(n: int, batch_size: int) -> list[slice]:
    """Slices over 0..n-1 in order; a last batch of a single sample joins the one before it (batch norm needs two)."""
    #: where batches start; a single sample that is left over joins the batch before it
    starts = list(range(0, n, batch_size))
    if n % batch_size == 1 and len(starts) > 1:
        starts.pop()
    #: one slice for each batch, the last one to the end
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], n])]


def shuffled_batches(n: int, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """A random partition of 0..n-1 into batches; the incomplete last one is used like any other (`fixed_batches`)."""
    #: a random order, cut into batches
    order = rng.permutation(n)
    return [order[batch] for batch in fixed_batches(n, batch_size)]


def for_evaluation(network: AnyLayer, input_shape: Shape) -> AnyLayer:
    """The network as samples of this shape are evaluated: features (D,) in float64 on the NumPy backend, by a copy.

    It costs little there, and a score then does not depend, by more than 1e-15, on which other samples share its batch
    (matrix products of different sizes round differently). Everything else is evaluated by the network as it is.
    """
    if len(input_shape) > 1 or not network.backend.runs_numpy or _is_double(network):
        return network
    return deepcopy(network).astype(np.float64)


def outputs_in_parts(network: Layer, X: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """(part, network(X[part])) for all rows of X, part by part, in evaluation mode: for outputs that need not stay.

    The arrays are NumPy's, contiguous, in the precision of `for_evaluation`.
    """
    network, backend = for_evaluation(network, X.shape[1:]), network.backend
    dtype = np.float64 if X.ndim == 2 and backend.runs_numpy else np.float32
    workspace = Workspace()
    for start in range(0, max(1, len(X)), _EVALUATION_BATCH):
        part = slice(start, start + _EVALUATION_BATCH)
        with one_blas_thread(), workspace:
            y = np.array(backend.to_numpy(network.forward(backend.asarray(X[part], dtype))), order="C")
        yield part, y


def outputs(network: Layer, X: np.ndarray) -> np.ndarray:
    """network(x) for all rows of X in evaluation mode (running statistics), as a NumPy array (n, ...)."""
    parts = outputs_in_parts(network, X)
    part, y = next(parts)
    result = np.empty((len(X), *y.shape[1:]), y.dtype)
    result[part] = y
    for part, y in parts:
        result[part] = y
    return result


def input_gradients(
    network: Layer, X: np.ndarray, output_gradient: Callable[[slice, np.ndarray], np.ndarray]
) -> np.ndarray:
    """d/dx of a function of each sample's outputs y, the network as it is evaluated.  Returns float64 shaped like X.

    output_gradient(part, y): dL/dy for the outputs y of the samples X[part].   By backpropagation through a copy with
    frozen statistics: `network` itself is only read, so that several threads may ask at once.
    """
    dtype = _evaluation_dtype(network, X)
    network, backend, workspace = deepcopy(network).astype(dtype), network.backend, Workspace()
    network.freeze_statistics()
    gradients = np.empty(X.shape)
    for start in range(0, len(X), _GRADIENT_BATCH):
        part = slice(start, start + _GRADIENT_BATCH)
        with one_blas_thread(), workspace:
            y = network.forward(backend.asarray(X[part], dtype), training=True)
            grad = backend.asarray(output_gradient(part, np.array(backend.to_numpy(y))), dtype)
            gradients[part] = backend.to_numpy(network.backward(grad, need_params=False))
    return gradients


def _evaluation_dtype(network: Layer, X: np.ndarray) -> type:
    """float64 for features on NumPy, and for a network that is in float64 itself; else float32."""
    double = network.backend.runs_numpy and (X.ndim == 2 or _is_double(network))
    return np.float64 if double else np.float32


def _is_double(network: Layer) -> bool:
    return all(array.dtype == np.float64 for array in (*network.params.values(), *network.buffers.values()))
