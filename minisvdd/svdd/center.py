"""The centre c of the hypersphere (paper, section 3.2) and the batch-norm statistics that it is computed with.

c is the mean of the network's outputs in a forward pass over the training data. With batch norm there are two such
outputs: those of training (statistics of each batch) and those of evaluation (running statistics). We use evaluation,
since that is the network that scores; and because the running statistics of a new network are still (0, 1), outputs
which the network never produces in training, one pass over the data collects them first. So mean(phi(x_train)) = c
holds for the network as it will be evaluated, up to the shift of near-zero coordinates below.
"""

from __future__ import annotations  # so that a type loads no file

from collections.abc import Sequence

import numpy as np

from .. import nn
from ..backends.workspace import Workspace


def collect_statistics(network: nn.Sequential, X: np.ndarray, batch_size: int) -> None:
    """Set all running statistics to the average of the batch statistics over one pass through X, in order.

    A cumulative average is a running average with momentum 1/t for the t-th batch; what was there before is forgotten.
    """
    norms = [layer for layer in network.flat_layers() if isinstance(layer, nn.BatchNorm)]
    if not norms:
        return
    momenta, workspace = [layer.momentum for layer in norms], Workspace()
    try:
        for t, batch in enumerate(nn.fixed_batches(len(X), batch_size), start=1):
            for layer in norms:
                layer.momentum = 1 / t
            with workspace:
                network.forward(network.backend.asarray(X[batch]), training=True)
    finally:
        for layer, momentum in zip(norms, momenta):
            layer.momentum = momentum


def mean_output(network: nn.Layer, X: np.ndarray) -> np.ndarray:
    """Mean of phi(x) over X in evaluation mode, accumulated in float64.  Returns (p,) float64."""
    #: the outputs of the network in evaluation mode, averaged in float64
    return nn.outputs(network, X).mean(axis=0, dtype=np.float64)


def move_from_zero(center: np.ndarray, epsilon: float) -> np.ndarray:
    """Move coordinates with |c_j| < epsilon to +-epsilon (0 itself to +epsilon).

    An output unit whose target is 0 is matched by zero weights for every input: a trivial solution. The sign of a
    coordinate is kept; 0 has none, and must be moved all the same.
    """
    #: coordinates that are too close to 0 move to the epsilon of their sign, 0 itself to the positive one
    return np.where(np.abs(center) < epsilon, np.where(center < 0, -epsilon, epsilon), center)


def squared_distances(network: nn.Layer, X: np.ndarray, center: np.ndarray) -> np.ndarray:
    """d_i = ||phi(x_i) - c||^2 over X in evaluation mode.  Returns (n,) float64."""
    distances = np.empty(len(X))
    for part, y in nn.outputs_in_parts(network, X):
        distances[part] = ((y - center) ** 2).sum(axis=1)
    return distances


def center_of(
    network: nn.Sequential, X: np.ndarray, given: np.ndarray | Sequence[float] | None, epsilon: float
) -> np.ndarray:
    """c for the present weights, (p,) float64: what the user gave, else the mean output over X, moved from zero.

    Raises ValueError for a given centre of another shape than the network's output, or not finite.
    """
    if given is None:
        return move_from_zero(mean_output(network, X), epsilon)
    try:
        center = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"center={given!r:.60}: expected {network.output_shape} numbers") from None
    if center.shape != network.output_shape or not np.isfinite(center).all():
        raise ValueError(f"center has shape {center.shape}: expected {network.output_shape}, finite numbers")
    return center
