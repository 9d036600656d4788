"""AnoGAN's latent search: the point z whose generated image comes nearest to a given one (Schlegl et al., 2017).

For an image x, a generator g and the discriminator's features f, both fixed, minimise over z

    L(z) = (1 - a) ||x - g(z)||_1 + a ||f(x) - f(g(z))||_1,      a = 0.1
           residual loss            feature-matching loss

With y = g(z), s = sign(y - x) and t = sign(f(y) - f(x)), the chain rule gives

    dL/dy = (1 - a) s + a J_f(y)^T t          the features' backward pass, fed with t
    dL/dz = J_g(z)^T dL/dy                    the generator's backward pass

so the gradient for z comes out of the same hand-written backward passes that train the networks. The images of a batch
are searched all at once and yet do not influence each other: batch norm uses its running statistics, the gradients of
the loss are not averaged over the batch, and Adam works entry by entry.

On a device the points, the best of them and Adam's moments stay there: a step is captured once and launched up to
WINDOW times, then the host asks which images have converged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.captured import Captured
from ..nn.layer import Array, Layer, has_kernels
from ..nn.networks import Sequential
from ..nn.optim import Adam
from ..ops.device_log import copy
from ..ops.losses import absolute_distances
from .operations import keep_better, weighted_sum

if TYPE_CHECKING:
    from ..backends import Backend

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


def search_loss(
    generator: Sequential, features: Sequential, z: Array, x: Array, x_features: Array, feature_weight: float = 0.1
) -> tuple[Array, Array]:
    """L(z) of every image, and its gradient.

    generator, features: built networks with frozen statistics (`freeze_statistics`).   z: (N, latent_dim).
    x: (N, C, H, W), the images.   x_features: features(x).   feature_weight: a, in [0, 1].
    Returns (losses (N,), float64 on the host, dL/dz (N, latent_dim)): row i of the gradient is that of loss i alone.
    All arrays are the backend's.
    """
    backend, a = generator.backend, feature_weight
    y = generator.forward(z, training=True)
    residual, s = absolute_distances.on(backend)(y, x)
    mismatch, t = absolute_distances.on(backend)(features.forward(y, training=True), x_features)
    sum_of = weighted_sum.on(backend)
    grad_y = sum_of(s, features.backward(t, need_params=False), 1 - a, a)
    return sum_of(residual, mismatch, 1 - a, a), generator.backward(grad_y, need_params=False)


def search(
    generator: Sequential,
    features: Sequential,
    x: Array,
    z: Array,
    *,
    steps: int,
    learning_rate: float,
    feature_weight: float = 0.1,
) -> LatentSearch:
    """Minimise L over z for a batch of images with Adam.

    generator, features: as for `search_loss`.   x: (N, C, H, W).   z: (N, latent_dim), where the search starts.
    An image that has converged leaves the batch; the others go on, up to `steps`. 0 steps evaluates the start only.
    """
    generator.backend.synchronize()  # x, z and weights that were written elsewhere must have arrived
    with generator.backend.stream():
        return _search(_Walk(generator, features, x, z, learning_rate, feature_weight), steps)


def _search(walk: "_Walk", steps: int) -> LatentSearch:
    N = len(walk.x)
    found = LatentSearch(walk.host(), np.full(N, np.inf), np.zeros(N, int), np.zeros(N, bool))
    active, step = np.arange(N), 0
    walk.evaluate()
    found.losses[:], found.z[:] = walk.best()
    while step < steps and len(active):
        before, count = found.losses[active], min(WINDOW, steps - step)
        walk.go(count)
        step += count
        found.losses[active], found.z[active] = walk.best()
        found.steps[active] = step
        if count == WINDOW:
            found.converged[active] = stalled = before - found.losses[active] < TOLERANCE * before
            active = active[~stalled]
            if stalled.any() and step < steps and len(active):
                walk = walk.of(~stalled)
    return found


class _Walk:
    """Where all images of a batch are on their way, in arrays of the backend."""

    def __init__(
        self,
        generator: Sequential,
        features: Sequential,
        x: Array,
        z: Array,
        learning_rate: float,
        feature_weight: float,
        x_features: Array = None,
    ) -> None:
        self.networks, self.backend, self.feature_weight = (generator, features), generator.backend, feature_weight
        self.x, self.x_features = x, features.forward(x) if x_features is None else x_features
        self.points = _Points(z, self.backend)
        self.optimizer = Adam(self.points, learning_rate)
        self.best_z = self.backend.asarray(self.host())
        self.best_losses = self.backend.asarray(np.full(len(x), np.inf, self._loss_type(z)))
        self._step = _repeated(self.backend)

    def evaluate(self) -> None:
        """L and its gradient at the points; keep those that are the best so far."""
        z = self.points.params["z"]
        losses, grad = search_loss(*self.networks, z, self.x, self.x_features, self.feature_weight)
        keep_better.on(self.backend)(losses, z, self.best_losses, self.best_z)
        self.points.take(grad)

    def go(self, steps: int) -> None:
        """So many steps of Adam, each with an evaluation behind it."""
        for _ in range(steps):
            self._step(self._one_step)

    def _one_step(self) -> None:
        self.optimizer.step()
        self.evaluate()

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """The smallest losses so far, (N,), and where they are, in host memory."""
        return self.backend.to_numpy(self.best_losses), self.backend.to_numpy(self.best_z)

    def of(self, chosen: np.ndarray) -> "_Walk":
        """The same for the chosen images only.  chosen: (N,) bool."""

        def rows(array: Array) -> Array:
            return self.backend.asarray(np.ascontiguousarray(self.backend.to_numpy(array)[chosen]))

        arguments = self.optimizer.learning_rate, self.feature_weight, rows(self.x_features)
        walk = _Walk(*self.networks, rows(self.x), rows(self.points.params["z"]), *arguments)
        walk.points.take(rows(self.points.grads["z"]))
        pairs = (
            (walk.best_losses, self.best_losses),
            (walk.best_z, self.best_z),
            (walk.optimizer.first_moment["z"], self.optimizer.first_moment["z"]),
            (walk.optimizer.second_moment["z"], self.optimizer.second_moment["z"]),
        )
        for new, old in pairs:
            new[...] = rows(old)
        walk.optimizer.step_count = self.optimizer.step_count
        return walk

    def host(self) -> np.ndarray:
        """A copy of the points, in host memory."""
        return np.array(self.backend.to_numpy(self.points.params["z"]))

    def _loss_type(self, z: Array) -> Any:
        """What `absolute_distances` gives: float64 by the formula, by a kernel the points' own precision."""
        return z.dtype if has_kernels(self.backend) else np.float64


class _Points(Layer):
    """The points z as what an optimiser asks of a network."""

    def __init__(self, z: Array, backend: "Backend") -> None:
        super().__init__()
        self.params, self.backend = {"z": z.copy()}, backend

    def flat_layers(self) -> list[Layer]:
        """Adam lays all parameters out in one array, on a device: here there is one."""
        return [self]

    def take(self, grad: Array) -> None:
        """Note dL/dz, on a device in a place that stays."""
        slot = self.grad_slots.get("z")
        if slot is not None and has_kernels(self.backend):
            copy(self.backend, grad, slot)
        self.grads["z"] = grad if slot is None else slot


def _repeated(backend: "Backend") -> Callable[[Callable[[], None]], None]:
    """What runs a step: on a device as a graph."""
    return Captured(backend) if has_kernels(backend) else lambda step: step()
