"""Loss functions: the value (one float64 number), its gradient for the network's output, and the value of each sample.

Sums over the batch are accumulated in float64, so that the value does not drift with the size of the batch. On a kernel
backend the value is an array () on the device: `float(value)` waits for it.
"""

from typing import TYPE_CHECKING

import numpy as np

from ..backends.types import DeviceArray, Shape
from .operation import Operation

if TYPE_CHECKING:
    from ..backends.device import KernelBackend

Loss = tuple[float, np.ndarray, np.ndarray]
DeviceLoss = tuple[DeviceArray, DeviceArray, DeviceArray]


@Operation
def squared_distances(outputs: np.ndarray, center: np.ndarray) -> np.ndarray:
    """d_i = ||phi(x_i) - c||^2, eq. (5).  outputs: (N, p), center: (p,), returns (N,)."""
    #: square the differences and sum over the coordinates
    difference = outputs - center
    return (difference * difference).sum(axis=1)


@Operation
def one_class_loss(outputs: np.ndarray, center: np.ndarray) -> Loss:
    """One-Class Deep SVDD without weight decay, eq. (4).

    J = 1/N sum_i d_i,    dJ/dphi_i = 2/N (phi_i - c)

    outputs: (N, p), center: (p,).  Returns J, dJ/dphi (N, p) and the squared distances d (N,).
    """
    #: the mean of the squared distances
    distances = squared_distances(outputs, center)
    value = distances.mean(dtype=accumulator(outputs))
    #: its gradient for every output
    return value, (2 / len(outputs)) * (outputs - center), distances


@Operation
def soft_boundary_loss(outputs: np.ndarray, center: np.ndarray, radius_squared: float, nu: float) -> Loss:
    """Soft-boundary Deep SVDD without weight decay, eq. (3), with the radius fixed while the weights move.

    J = R^2 + 1/(nu N) sum_i max(0, d_i - R^2)
    dJ/dd_i = 1/(nu N) if d_i > R^2 else 0,     dJ/dphi_i = dJ/dd_i 2 (phi_i - c)

    On the kink d_i = R^2 the gradient is 0.  outputs: (N, p), center: (p,), radius_squared: the number R^2.
    Returns J, dJ/dphi (N, p) and the squared distances d (N,).
    """
    N = len(outputs)
    #: squared distances, and who lies outside
    distances = squared_distances(outputs, center)
    excess = distances - radius_squared
    outside = excess > 0
    #: the objective (3) without weight decay
    value = radius_squared + np.where(outside, excess, 0).sum(dtype=accumulator(outputs)) / (nu * N)
    #: samples outside are pulled in, the others feel nothing
    return value, (2 / (nu * N)) * (outside[:, None] * (outputs - center)), distances


@Operation
def mean_squared_error(outputs: np.ndarray, targets: np.ndarray) -> Loss:
    """Reconstruction error: squares summed over the pixels of an image, averaged over images.

    J = 1/N sum_i ||y_i - t_i||^2,    dJ/dy = 2/N (y - t)

    outputs, targets: (N, ...) of one shape.  Returns J, dJ/dy, and ||y_i - t_i||^2 (N,).
    """
    difference = outputs - targets
    errors = (difference * difference).reshape(len(outputs), -1).sum(axis=1)
    return errors.mean(dtype=accumulator(outputs)), (2 / len(outputs)) * difference, errors


@Operation
def absolute_distances(outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """l_i = ||y_i - t_i||_1,  dl_i/dy_i = sign(y_i - t_i)  (0 where y = t).  Returns ((N,), like outputs).

    |u| has slope 1 right of 0 and -1 left of it; at the kink y = t we take 0, which lies between them.
    The l_i are float64, of kernels in the outputs' precision.
    """
    difference = outputs - targets
    return np.abs(difference).reshape(len(outputs), -1).sum(axis=1, dtype=np.float64), np.sign(difference)


@Operation
def absolute_error(outputs: np.ndarray, targets: np.ndarray) -> Loss:
    """AnoGAN's residual and feature loss: absolute differences, summed over entries and averaged over samples.

    J = 1/N sum_i ||y_i - t_i||_1,  dJ/dy = sign(y - t) / N.  Returns J, dJ/dy, and ||y_i - t_i||_1 (N,).
    """
    distances, signs = absolute_distances(outputs, targets)
    return distances.mean(), signs / len(outputs), distances


@Operation
def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> Loss:
    """Cross-entropy of softmax(z) against class labels, averaged over the batch.

    J = 1/N sum_i (log sum_k exp(z_ik) - z_i,label),    dJ/dz_ik = (softmax(z_i)_k - [k = label_i]) / N

    since d/dz_k log sum_j exp(z_j) = exp(z_k) / sum_j exp(z_j). The largest logit is subtracted first: softmax does not
    change and no exponential overflows.
    logits: (N, K), labels: (N,) integers in 0..K-1 (IndexError for others; on a kernel backend J is NaN).
    Returns J, dJ/dz, and the loss of each sample (N,).
    """
    N, K = logits.shape
    _check_labels(labels, K)
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    losses = np.log(total[:, 0]) - shifted[np.arange(N), labels]
    grad = exponentials / total
    grad[np.arange(N), labels] -= 1
    return losses.mean(dtype=np.float64), grad / N, losses


@Operation
def binary_cross_entropy(logits: np.ndarray, targets: np.ndarray | float) -> Loss:
    """Cross-entropy of sigmoid(z) against targets in [0, 1], averaged over all entries: the two sides of a GAN.

    J = mean( max(z, 0) - z t + log(1 + exp(-|z|)) ),    dJ/dz = (sigmoid(z) - t) / count

    This is -t log s - (1 - t) log(1 - s) = log(1 + exp(z)) - z t,  s = sigmoid(z), with the exponential kept at or
    below 1; and d/dz log(1 + exp(z)) = sigmoid(z).
    The discriminator takes t = 1 for real and 0 for generated images; the generator's (non-saturating) loss is t = 1.
    targets: like logits, or one number for all.  Returns J, dJ/dz, and each sample's sum over its entries (N,).
    """
    losses = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    grad = (0.5 * (1 + np.tanh(0.5 * logits)) - targets) / logits.size
    return losses.mean(dtype=np.float64), grad, losses.reshape(len(logits), -1).sum(axis=1)


def accumulator(outputs: np.ndarray) -> type:
    """float64 for real numbers; complex input (the complex-step check) stays complex."""
    return np.complex128 if np.iscomplexobj(outputs) else np.float64


# What every reading refuses: NumPy would broadcast, and a kernel read past the end of targets that are too few


@squared_distances.refuses
@one_class_loss.refuses
@soft_boundary_loss.refuses
@mean_squared_error.refuses
@absolute_distances.refuses
@absolute_error.refuses
def _(outputs: np.ndarray, targets: np.ndarray, *_: object, **__: object) -> None:
    """One target for each sample, or one for all: a centre."""
    _check_targets(outputs, targets, (outputs.shape, outputs.shape[1:]))


@softmax_cross_entropy.refuses
def _(logits: np.ndarray, labels: np.ndarray) -> None:
    _check_targets(logits, labels, (logits.shape[:1],))


@binary_cross_entropy.refuses
def _(logits: np.ndarray, targets: np.ndarray | float) -> None:
    _check_targets(logits, targets, ((), logits.shape))


def _check_labels(labels: np.ndarray, K: int) -> None:
    """Of labels on a device the kernel says it, by NaN: nobody waits there."""
    if len(labels) and not 0 <= labels.min() <= labels.max() < K:
        raise IndexError(f"labels from {labels.min()} to {labels.max()}: expected integers in 0..{K - 1}")


def _check_targets(outputs: np.ndarray, targets: np.ndarray | float, allowed: tuple[Shape, ...]) -> None:
    shape = np.shape(targets)
    if shape not in allowed:
        expected = " or ".join(map(str, allowed))
        raise ValueError(f"targets have shape {shape}: expected {expected} for outputs {tuple(outputs.shape)}")


# Launches


@squared_distances.launch
def _(backend: "KernelBackend", outputs: DeviceArray, center: DeviceArray) -> DeviceArray:
    return distances(backend, "squared_distances", outputs, center)


@one_class_loss.launch
def _(backend: "KernelBackend", outputs: DeviceArray, center: DeviceArray) -> DeviceLoss:
    return mean_squared_error.on(backend)(outputs, center)  # one target for all samples


@mean_squared_error.launch
def _(backend: "KernelBackend", outputs: DeviceArray, targets: DeviceArray) -> DeviceLoss:
    each, grad = _errors(backend, "squared_error", outputs, targets, 2 / len(outputs))
    return scaled_sum(backend, each, 1 / len(outputs)), grad, each


@soft_boundary_loss.launch
def soft_boundary(
    backend: "KernelBackend",
    outputs: DeviceArray,
    center: DeviceArray,
    radius_squared: DeviceArray | float,
    nu: float,
    rung: str | None = None,
) -> DeviceLoss:
    N, share, value = len(outputs), 1 / (nu * len(outputs)), backend.empty((), np.float64)
    radius_squared = backend.asarray(radius_squared, np.float64)
    each, grad = _errors(backend, "soft_boundary_error", outputs, center, 2 * share, radius_squared)
    backend.launch("soft_boundary_value", (each, radius_squared, value, share, N), grid=(1,), rung=rung)
    return value, grad, each


@absolute_distances.launch
def _(backend: "KernelBackend", outputs: DeviceArray, targets: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
    return _errors(backend, "absolute_error", outputs, targets, 1)


@absolute_error.launch
def _(backend: "KernelBackend", outputs: DeviceArray, targets: DeviceArray) -> DeviceLoss:
    each, grad = _errors(backend, "absolute_error", outputs, targets, 1 / len(outputs))
    return scaled_sum(backend, each, 1 / len(outputs)), grad, each


@softmax_cross_entropy.launch
def _(backend: "KernelBackend", logits: DeviceArray, labels: DeviceArray) -> DeviceLoss:
    N = len(logits)
    losses, grad = backend.empty(N, logits.dtype), backend.empty(logits.shape, logits.dtype)
    labels = backend.dense(backend.asarray(labels, np.int32))
    args = (backend.dense(logits), labels, losses, grad, *logits.shape)
    backend.launch("softmax_cross_entropy", args, threads=N)
    return scaled_sum(backend, losses, 1 / N), grad, losses


@binary_cross_entropy.launch
def _(backend: "KernelBackend", logits: DeviceArray, targets: DeviceArray | float) -> DeviceLoss:
    losses, grad = (backend.empty(logits.shape, logits.dtype) for _ in range(2))
    targets = backend.dense(backend.asarray(targets, logits.dtype))
    args = (backend.dense(logits), targets, losses, grad, int(targets.ndim > 0), logits.size)
    backend.launch("binary_cross_entropy", args, threads=logits.size)
    zero = backend.zeros(logits.shape[1:], logits.dtype)  # no loss is negative: its distance from 0 is the loss itself
    each = distances(backend, "absolute_distances", losses, zero)
    return scaled_sum(backend, losses, 1 / logits.size), grad, each


def distances(
    backend: "KernelBackend", operation: str, outputs: DeviceArray, targets: DeviceArray, rung: str | None = None
) -> DeviceArray:
    """One number per row, (N,): "squared_distances" or "absolute_distances". A warp per row, four rows per block."""
    N, each = len(outputs), backend.empty(len(outputs), outputs.dtype)
    args = (backend.dense(outputs), backend.dense(targets), each, *_sizes(outputs, targets))
    backend.launch(operation, args, threads=32 * N, block=(128,), rung=rung)
    return each


def scaled_sum(backend: "KernelBackend", numbers: DeviceArray, factor: float, rung: str | None = None) -> DeviceArray:
    """factor * sum of the numbers, accumulated in float64: an array () on the device."""
    value = backend.empty((), np.float64)
    backend.launch("scaled_sum", (numbers, value, factor, numbers.size), grid=(1,), rung=rung)
    return value


def _errors(
    backend: "KernelBackend",
    operation: str,
    outputs: DeviceArray,
    targets: DeviceArray,
    factor: float,
    *more: DeviceArray,
) -> tuple[DeviceArray, DeviceArray]:
    """What `distances` gives, and factor times its gradient for the outputs, in one launch.  more: its other inputs."""
    N, each, grad = (
        len(outputs),
        backend.empty(len(outputs), outputs.dtype),
        backend.empty(outputs.shape, outputs.dtype),
    )
    inputs = (backend.dense(outputs), backend.dense(targets), *more)
    args = (*inputs, each, grad, factor, *_sizes(outputs, targets))
    backend.launch(operation, args, threads=32 * N, block=(128,))
    return each, grad


def _sizes(outputs: DeviceArray, targets: DeviceArray) -> tuple[int, int, int]:
    """N, D and the distance between two rows of targets: 0 for one target (D,) that all rows share."""
    N = len(outputs)
    return N, outputs.size // N, outputs.size // N * (targets.ndim == outputs.ndim)
