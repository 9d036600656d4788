"""AnoGAN's latent search: the point z whose generated image comes nearest to a given one (Schlegl et al., 2017).

For an image x, a generator g and the discriminator's features f, both fixed, minimise over z

    L(z) = (1 - a) ||x - g(z)||_1 + a ||f(x) - f(g(z))||_1,      a = 0.1
           residual loss            feature-matching loss

With y = g(z), s = sign(y - x) and t = sign(f(y) - f(x)), the chain rule gives

    dL/dy = (1 - a) s + a J_f(y)^T t          the features' backward pass, fed with a t
    dL/dz = J_g(z)^T dL/dy                    the generator's backward pass

so the gradient for z comes out of the same hand-written backward passes that train the networks. The images of a batch
are searched all at once and yet do not influence each other: batch norm uses its running statistics, the gradients of
the loss are not averaged over the batch, and Adam works entry by entry.
"""

from dataclasses import dataclass

import numpy as np

from ..nn.optim import Adam
from ..ops.losses import absolute_distances

# An image's search has converged when its best loss fell by less than TOLERANCE (relative) over WINDOW steps.
WINDOW = 50
TOLERANCE = 0.01


@dataclass
class LatentSearch:
    """What a search found for n images.

    z: (n, latent_dim), the best point of each.   losses: (n,) float64, L(z) there: AnoGAN's anomaly score.
    steps: (n,) steps taken.   converged: (n,) bool, False where the steps ran out first.
    """

    z: np.ndarray
    losses: np.ndarray
    steps: np.ndarray
    converged: np.ndarray


def search_loss(generator, features, z, x, x_features, feature_weight: float = 0.1):
    """L(z) of every image, and its gradient.

    generator, features: built networks with frozen statistics (`freeze_statistics`).   z: (N, latent_dim).
    x: (N, C, H, W), the images.   x_features: features(x).   feature_weight: a, in [0, 1].
    Returns (losses (N,) float64, dL/dz (N, latent_dim)): row i of the gradient is that of loss i alone.
    """
    backend = generator.backend
    y = generator.forward(z, training=True)
    residual, grad_y = absolute_distances.on(backend)(y, x)
    mismatch, grad_features = absolute_distances.on(backend)(features.forward(y, training=True), x_features)
    grad_y = (1 - feature_weight) * grad_y + features.backward(feature_weight * grad_features, need_params=False)
    return (1 - feature_weight) * residual + feature_weight * mismatch, generator.backward(grad_y, need_params=False)


def search(generator, features, x, z, *, steps: int, learning_rate: float, feature_weight: float = 0.1) -> LatentSearch:
    """Minimise L over z for a batch of images with Adam.

    generator, features: as for `search_loss`.   x: (N, C, H, W).   z: (N, latent_dim), where the search starts.
    An image that has converged leaves the batch; the others go on, up to `steps`. 0 steps evaluates the start only.
    """
    N, latent = len(x), _Latent(z, generator.backend)
    optimizer = Adam(latent, learning_rate)
    found = LatentSearch(np.array(latent.host()), np.full(N, np.inf), np.zeros(N, int), np.zeros(N, bool))
    active, targets, window_start = np.arange(N), (x, features.forward(x)), np.full(N, np.inf)
    for step in range(steps + 1):
        losses, latent.grads["z"] = search_loss(generator, features, latent.params["z"], *targets, feature_weight)
        better = losses < found.losses[active]
        found.losses[active[better]], found.z[active[better]] = losses[better], latent.host()[better]
        found.steps[active] = step
        if step and step % WINDOW == 0:
            fallen = window_start[active] - found.losses[active]
            found.converged[active] = stalled = fallen < TOLERANCE * window_start[active]
            latent.keep(~stalled, optimizer)
            active, targets = active[~stalled], tuple(target[~stalled] for target in targets)
        if not len(active) or step == steps:
            break
        if step % WINDOW == 0:
            window_start[active] = found.losses[active]
        optimizer.step()
    return found


class _Latent:
    """The points z as what an optimiser asks of a network."""

    def __init__(self, z, backend):
        self.params, self.grads, self.backend = {"z": z.copy()}, {}, backend

    def host(self):
        return self.backend.to_numpy(self.params["z"])

    def keep(self, chosen, optimizer):
        """Go on with the chosen rows only."""
        for arrays in (self.params, self.grads, optimizer.first_moment, optimizer.second_moment):
            arrays["z"] = arrays["z"][chosen]
