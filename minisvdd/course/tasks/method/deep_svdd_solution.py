"""Deep Support Vector Data Description: a network phi that maps normal samples into a small sphere around c.

    one-class      min over W     of  1/n sum_i d_i                                   (4), without weight decay
    soft-boundary  min over R, W  of  R^2 + 1/(nu n) sum_i max(0, d_i - R^2)          (3), without weight decay
    score          d(x), for soft-boundary d(x) - R^2                                 (5)
                   d(x) = ||phi(x; W) - c||^2

c is the mean output before any training. Soft-boundary alternates: some epochs of W with R fixed, then R with W fixed.

What follows is the method of `minisvdd.svdd.plain`, cut otherwise for the assignment: network and optimiser are given,
an epoch is a function of its own. A test holds it to the estimator `minisvdd.DeepSVDD`.
"""

from collections.abc import Callable

import numpy as np

from ....nn.batches import shuffled_batches
from ....svdd.center import mean_output, move_from_zero


def train_epoch(network, loss: Callable, optimizer, X: np.ndarray, batches: list[np.ndarray]) -> float:
    """One pass over the batches: forward, loss, backward, step. Returns the mean loss per sample.

    loss: callable (outputs, inputs) -> (value, grad_output, one number for each sample); the numbers are not needed.
    """
    total = 0.0
    for batch in batches:
        #: forward in training mode, loss, backward, step: in this order
        x = X[batch]
        value, grad_output, _ = loss(network.forward(x, training=True), x)
        network.backward(grad_output)
        optimizer.step()
        #: the loss is a mean over the batch; batches may differ in size
        total += float(value) * len(batch)
    #: the mean over all samples
    return total / sum(len(batch) for batch in batches)


def train_deep_svdd(
    network,
    optimizer,
    X: np.ndarray,
    objective: str,
    nu: float,
    epochs: int,
    batch_size: int,
    radius_every: int,
    center_epsilon: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float, list[float]]:
    """Train the network by eq. (4) or (3), without weight decay; returns centre, R^2 and the epochs' mean losses.

    c is the mean output over X before training, moved away from zero by `center_epsilon`; it stays fixed. Each epoch
    takes the batches of `shuffled_batches(n, batch_size, rng)` through `train_epoch`. For "soft-boundary", R^2 is
    solved for at the start of epochs 0, k, 2k, ... (k = `radius_every`) with W fixed, over all of X:
    R^2 = d_(floor(nu n) + 1) with d_(1) >= d_(2) >= ...; and once more, for both objectives, after the last epoch.

    network: forward(x, training) -> (N, p), backward(grad_output).   optimizer: step() after each backward pass.
    X: (n, D).   objective: "one-class" or "soft-boundary".   nu: between 0 and 1.
    Returns center (p,), radius_squared (a number), and a list of numbers, one for each epoch.
    """
    #: the centre, before any training
    center = move_from_zero(mean_output(network, X), center_epsilon)

    #: R^2 for the present weights: an order statistic of the distances over the whole of X
    def solve_radius():
        distances = np.sort(((network.forward(X, training=False) - center) ** 2).sum(axis=1))[::-1]
        return float(distances[int(np.floor(nu * len(X) * (1 + 1e-12)))])  # 28.999999999999996 counts as 29

    #: the loss of a batch, its gradient, and the distances that it is made of, eq. (4) or (3)
    def loss(outputs, inputs):
        difference, N = outputs - center, len(outputs)
        distances = (difference**2).sum(axis=1)
        if objective == "one-class":
            return distances.mean(), 2 / N * difference, distances
        excess = distances - radius_squared
        value = radius_squared + np.maximum(0, excess).sum() / (nu * N)
        return value, 2 / (nu * N) * (excess > 0)[:, None] * difference, distances

    #: epochs of training; the radius every radius_every of them
    losses = []
    for epoch in range(epochs):
        if objective == "soft-boundary" and epoch % radius_every == 0:
            radius_squared = solve_radius()
        losses.append(train_epoch(network, loss, optimizer, X, shuffled_batches(len(X), batch_size, rng)))
    return center, solve_radius(), losses
