"""How samples reach a network: in batches for training, and all of them for evaluation."""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np

from ..backends.captured import Evaluation
from ..backends.memory import available_bytes
from ..backends.threads import one_blas_thread
from ..backends.types import Shape
from ..backends.workspace import Workspace
from .layer import AnyLayer, Layer, has_kernels

if TYPE_CHECKING:
    from ..backends import KernelBackend

# Samples that evaluation takes at a time, and rows x columns up to which it takes so many: a matter of memory, and of
# pieces that are large enough for threads.
_EVALUATION_BATCH, _EVALUATION_PIXELS = 500, 32 * 32
# Parts that a device works on before the host waits for them.
_AHEAD = 16


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


def batch_members(n: int, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches that keep their members: 0..n-1 at random, cut to a multiple of the batch size; all where n is less."""
    #: a random order; what would make an incomplete batch takes no part in the training
    order = rng.permutation(n)[: max(n // batch_size, 1) * batch_size]
    return [order[batch] for batch in fixed_batches(len(order), batch_size)]


def evaluation_batch(input_shape: Shape) -> int:
    """Samples of this shape that evaluation takes at a time: 500, of large images a divisor of 500.

    >>> evaluation_batch((7,)), evaluation_batch((3, 64, 64)), evaluation_batch((1, 256, 256))
    (500, 125, 5)
    """
    pixels = math.prod(input_shape[1:])
    most = _EVALUATION_BATCH * _EVALUATION_PIXELS // max(pixels, _EVALUATION_PIXELS)
    return max(size for size in range(1, max(1, most) + 1) if _EVALUATION_BATCH % size == 0)


# Measured peaks of autoencoders' steps on the NumPy backend, from 28x28 to 256x256 (`step_bytes`).
_BYTES_PER_ACTIVATION, _SCRATCH = 1.4 * 4, 20 << 20


def step_bytes(network: Layer, batch_size: int) -> int:
    """Bytes that a training step takes on the NumPy backend, about: 1.4 x 4 bytes for every activation, and scratch.

    What a layer puts out is kept for the way back, where its gradient takes as much; fused modules keep less. Of nine
    measured steps (28x28 to 256x256, batches of 8 to 200) it is within 17 % for autoencoders, and up to 35 % too
    much for encoders alone.
    """
    return int(_BYTES_PER_ACTIVATION * batch_size * network.activations) + _SCRATCH


def check_memory(network: Layer, input_shape: Shape, batch_size: int) -> int:
    """`step_bytes`, on a kernel backend 0. ValueError when that is not there; it proposes a smaller batch."""
    if not network.backend.runs_numpy:
        return 0
    needed, available = step_bytes(network, batch_size), available_bytes()
    if available is None or needed <= available:
        return needed
    fits = batch_size * (available - _SCRATCH) // max(1, needed - _SCRATCH)
    remedy = f"use batch_size={fits}" if fits >= 2 else "make the samples smaller"
    raise ValueError(
        f"batch_size={batch_size}: a training step on so many samples {tuple(input_shape)} takes about "
        f"{needed / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are free: {remedy}"
    )


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

    The arrays are NumPy's, contiguous, in the precision of `for_evaluation`. On a device the network's pass is
    captured, and the host waits once for many parts (`minisvdd.backends.captured`).
    """
    network, backend = for_evaluation(network, X.shape[1:]), network.backend
    if has_kernels(backend) and _is_ours(network):
        yield from _outputs_of_graphs(network, backend, X)
        return
    dtype, workspace = _evaluation_dtype(network, X), Workspace()
    size = evaluation_batch(X.shape[1:])
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        with one_blas_thread(), workspace:
            y = np.array(backend.to_numpy(network.forward(backend.asarray(X[part], dtype))), order="C")
        yield part, y


def _outputs_of_graphs(network: Layer, backend: "KernelBackend", X: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """`outputs_in_parts` on a device."""
    if network.evaluation is None or network.evaluation.backend is not backend:
        network.evaluation = Evaluation(backend)
    evaluation, arrays = network.evaluation, [*network.arrays.values()]
    size = evaluation_batch(X.shape[1:])
    for start in range(0, len(X), _AHEAD * size):
        y = evaluation(network.forward, arrays, X[start : start + _AHEAD * size], size)
        for first in range(0, len(y), size):
            yield slice(start + first, start + first + size), y[first : first + size]


def _is_ours(network: Layer) -> bool:
    """Whether all layers are the library's: a capture holds kernels only, whatever else somebody's layer may do."""
    parts = [network, *getattr(network, "flat_layers", list)()]
    return all(type(part).__module__.startswith(f"{__package__}.") for part in parts)


def outputs(network: Layer, X: np.ndarray) -> np.ndarray:
    """network(x) for all rows of X in evaluation mode (running statistics), as a NumPy array (n, ...)."""
    if not len(X):
        return outputs(network, np.zeros((1, *X.shape[1:]), X.dtype))[:0]
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
    size = max(1, evaluation_batch(X.shape[1:]) // 5)  # fewer: what every layer has computed is kept
    for start in range(0, len(X), size):
        part = slice(start, start + size)
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
    arrays = network.arrays.values()
    return bool(arrays) and all(array.dtype == np.float64 for array in arrays)
