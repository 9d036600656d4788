"""Deep SVDD on one screen: the method in plain NumPy, without the conveniences of the estimator `minisvdd.DeepSVDD`.

    one-class      min over W     of  1/n sum_i d_i + lambda/2 sum ||W||^2                                  (4)
    soft-boundary  min over R, W  of  R^2 + 1/(nu n) sum_i max(0, d_i - R^2) + lambda/2 sum ||W||^2         (3)
    score          d(x), for soft-boundary d(x) - R^2,     d(x) = ||phi(x; W) - c||^2                       (5)

A network phi has `forward(x, training=False)`, `backward(grad_output)`, and dicts `params` and `grads` with the same
names; it has no biases (Proposition 2). What is not here: pre-training, the statistics of batch norm, milestones,
devices. What is here is the estimator's, number by number: a test holds one to the other.
"""

import numpy as np

from .. import nn
from .center import move_from_zero
from .radius import exact_radius_squared


def one_class(d: np.ndarray) -> tuple[float, np.ndarray]:
    """J of eq. (4) for squared distances d (N,), and dJ/dd."""
    return d.mean(), np.full(len(d), 1 / len(d))


def soft_boundary(d: np.ndarray, R2: float, nu: float) -> tuple[float, np.ndarray]:
    """J of eq. (3) for squared distances d (N,), with R fixed, and dJ/dd."""
    return R2 + np.maximum(0, d - R2).sum() / (nu * len(d)), (d > R2) / (nu * len(d))


def deep_svdd(
    network: nn.Network, X: np.ndarray, rng: np.random.Generator, objective: str = "one-class", nu: float = 0.1,
    epochs: int = 250, learning_rate: float = 1e-4, weight_decay: float = 1e-6, batch_size: int = 200,
    radius_every: int = 5, center_epsilon: float = 0.1,
) -> tuple[np.ndarray, float, list[float]]:  # fmt: skip
    """Train the network on normal samples X, (n, ...).  Returns c (p,), R^2, and the mean loss of every epoch."""
    n, t, losses = len(X), 0, []
    m, v = ({name: np.zeros_like(W) for name, W in network.params.items()} for _ in range(2))
    c = move_from_zero(network.forward(X).mean(axis=0), center_epsilon)
    for epoch in range(epochs):
        losses.append(0.0)
        if epoch % radius_every == 0:  # R for the weights as they are; only soft-boundary has a use for it
            R2 = exact_radius_squared(anomaly_score(network, X, c), nu)
        for batch in nn.shuffled_batches(n, batch_size, rng):
            difference = network.forward(X[batch], training=True) - c
            d = (difference**2).sum(axis=1)
            J, dJ_dd = one_class(d) if objective == "one-class" else soft_boundary(d, R2, nu)
            pull = dJ_dd[:, None] * 2 * difference  # the chain rule: dd/dphi = 2 (phi - c)
            network.backward(pull)
            losses[-1] += J * len(batch) / n
            t += 1
            for name, W in network.params.items():  # Adam (Kingma & Ba 2015, algorithm 1), in place
                g = network.grads[name] + (weight_decay * W if pull.any() else 0)  # why: `minisvdd.nn.Adam`
                m[name] = 0.9 * m[name] + (1 - 0.9) * g
                v[name] = 0.999 * v[name] + (1 - 0.999) * g**2
                m_hat, v_hat = m[name] / (1 - 0.9**t), v[name] / (1 - 0.999**t)
                W -= learning_rate * m_hat / (np.sqrt(v_hat) + 1e-8)
    return c, exact_radius_squared(anomaly_score(network, X, c), nu), losses


def anomaly_score(network: nn.Network, X: np.ndarray, c: np.ndarray, R2: float = 0.0) -> np.ndarray:
    """Score of every sample, eq. (5), by the network in evaluation mode: (n,), larger for anomalies.

    c: (p,).   R2: R^2 for soft-boundary Deep SVDD, 0 for one-class.
    """
    #: squared distances to the centre in evaluation mode, less R^2
    return ((network.forward(X) - c) ** 2).sum(axis=1) - R2
