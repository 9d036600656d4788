"""Loss functions: each returns its value (a Python float) and its gradient for the network's output.

Sums over the batch are accumulated in float64, so that the value does not drift with the size of the batch.
"""

import numpy as np


def squared_distances(backend, outputs, center):
    """d_i = ||phi(x_i) - c||^2, eq. (5).  outputs: (N, p), center: (p,), returns (N,)."""
    if not backend.runs_numpy:
        return _distances(backend, outputs, center)
    difference = outputs - center
    return (difference * difference).sum(axis=1)


def one_class_loss(backend, outputs, center):
    """One-Class Deep SVDD without weight decay, eq. (4).

    J = 1/N sum_i d_i,    dJ/dphi_i = 2/N (phi_i - c)
    """
    if not backend.runs_numpy:
        value, grad = _sum_of_distances(backend, outputs, center, 2 / len(outputs))
        return value / len(outputs), grad
    N = len(outputs)
    value = squared_distances(backend, outputs, center).mean(dtype=_accumulator(outputs))
    return value, (2 / N) * (outputs - center)


def soft_boundary_loss(backend, outputs, center, radius_squared, nu):
    """Soft-boundary Deep SVDD without weight decay, eq. (3), with the radius fixed while the weights move.

    J = R^2 + 1/(nu N) sum_i max(0, d_i - R^2)
    dJ/dd_i = 1/(nu N) if d_i > R^2 else 0,     dJ/dphi_i = dJ/dd_i 2 (phi_i - c)

    On the kink d_i = R^2 the gradient is 0.
    """
    if not backend.runs_numpy:
        share = 1 / (nu * len(outputs))
        excess, grad = _sum_of_distances(backend, outputs, center, 2 * share, radius_squared)
        return radius_squared + share * excess, grad
    N = len(outputs)
    excess = squared_distances(backend, outputs, center) - radius_squared
    outside = excess > 0
    value = radius_squared + np.where(outside, excess, 0).sum(dtype=_accumulator(outputs)) / (nu * N)
    return value, (2 / (nu * N)) * (outside[:, None] * (outputs - center))


def mean_squared_error(backend, outputs, targets):
    """Reconstruction error: squares summed over the pixels of an image, averaged over images.

    J = 1/N sum_i ||y_i - t_i||^2,    dJ/dy = 2/N (y - t)
    """
    if not backend.runs_numpy:
        value, grad = _sum_of_distances(backend, outputs, targets, 2 / len(outputs))
        return value / len(outputs), grad
    difference = outputs - targets
    N = len(outputs)
    return (difference * difference).sum(dtype=_accumulator(outputs)) / N, (2 / N) * difference


def absolute_distances(backend, outputs, targets):
    """l_i = ||y_i - t_i||_1,  dl_i/dy_i = sign(y_i - t_i)  (0 where y = t).  Returns ((N,) float64, like outputs)."""
    backend.require_kernel("absolute_error")
    difference = outputs - targets
    return np.abs(difference).reshape(len(outputs), -1).sum(axis=1, dtype=np.float64), np.sign(difference)


def absolute_error(backend, outputs, targets):
    """J = 1/N sum_i ||y_i - t_i||_1,  dJ/dy = sign(y - t) / N."""
    distances, signs = absolute_distances(backend, outputs, targets)
    return distances.sum() / len(outputs), signs / len(outputs)


def softmax_cross_entropy(backend, logits, labels):
    """Cross-entropy of softmax(z) against class labels, averaged over the batch.

    J = 1/N sum_i (log sum_k exp(z_ik) - z_i,label),    dJ/dz_ik = (softmax(z_i)_k - [k = label_i]) / N

    The largest logit is subtracted first: softmax does not change and no exponential overflows.
    logits: (N, K), labels: (N,) integers in 0..K-1.
    """
    backend.require_kernel("softmax_cross_entropy")
    N = len(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    chosen = shifted[np.arange(N), labels]
    value = (np.log(total[:, 0]) - chosen).mean(dtype=np.float64)
    grad = exponentials / total
    grad[np.arange(N), labels] -= 1
    return value, grad / N


def binary_cross_entropy(backend, logits, targets):
    """Cross-entropy of sigmoid(z) against targets in [0, 1], averaged over all entries: the two sides of a GAN.

    J = mean( max(z, 0) - z t + log(1 + exp(-|z|)) ),    dJ/dz = (sigmoid(z) - t) / count

    This is -t log s - (1 - t) log(1 - s), s = sigmoid(z), with the exponential kept at or below 1.
    The discriminator takes t = 1 for real and 0 for generated images; the generator's (non-saturating) loss is t = 1.
    """
    backend.require_kernel("binary_cross_entropy")
    value = (np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))).mean(dtype=np.float64)
    return value, (0.5 * (1 + np.tanh(0.5 * logits)) - targets) / logits.size


def _accumulator(outputs):
    """float64 for real numbers; complex input (the complex-step check) stays complex."""
    return np.complex128 if np.iscomplexobj(outputs) else np.float64


def _distances(backend, outputs, targets):
    """The kernel's ||y_i - t_i||^2, (N,); targets may be one (D,) for all rows."""
    N, distances = len(outputs), backend.empty(len(outputs), outputs.dtype)
    D = outputs.size // N
    args = (backend.dense(outputs), backend.dense(targets), distances, N, D, D * (targets.ndim == outputs.ndim))
    backend.launch("squared_distances", args, threads=N)
    return distances


def _sum_of_distances(backend, outputs, targets, factor, threshold=0.0):
    """Sum of max(0, d_i - threshold) and factor (y_i - t_i) for the rows above the threshold."""
    N, grad = len(outputs), backend.empty(outputs.shape, outputs.dtype)
    distances = _distances(backend, outputs, targets)
    sizes = (N, outputs.size // N, outputs.size // N * (targets.ndim == outputs.ndim))
    args = (backend.dense(outputs), backend.dense(targets), distances, grad, factor, threshold, *sizes)
    backend.launch("distance_gradient", args, threads=outputs.size)
    excess = backend.to_numpy(distances).astype(np.float64) - float(threshold)
    return float(np.maximum(excess, 0).sum()), grad
