"""How AnoGAN's two networks train: a step of the discriminator and one of the generator in turn, on the same noise.

    discriminator D   min  -log sigmoid(D(x)) - log(1 - sigmoid(D(g(z))))       x a training image, z ~ N(0, 1)
    generator g       min  -log sigmoid(D(g(z)))

The discriminator sees real and generated images in batches of their own, so that its batch norm cannot tell them apart
by the mixture; its gradient is the sum of both.

`Game` plays from host memory, `DeviceGame` on a device: there images, noise and losses stay for an epoch, a turn is
captured once for each size of a batch, and the host waits once an epoch. Both play the same game from the same seed.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backends import Backend
from ..backends.captured import Captured
from ..backends.threads import one_blas_thread
from ..nn.layer import Array, Layer, has_kernels
from ..nn.losses import BinaryCrossEntropy
from ..nn.networks import Sequential
from ..nn.optim import Adam
from ..nn.steps import Batches
from ..nn.training import Training
from ..ops.device_log import copy
from .operations import add_to, take_rows

# Adam's beta1 as in DCGAN: with the usual 0.9, the averaged gradients lag behind an opponent that moves too.
_BETA1 = 0.5


class AdversarialTraining(Training):
    """A `Training` whose steps are those of a `Game`, so that an epoch has two losses."""

    _loss_names = ("discriminator_loss", "generator_loss")

    def _make_steps(self) -> "Game":
        game = DeviceGame if has_kernels(self.network.backend) else Game
        return game(self.network, self.plan.learning_rate, self.rng, self.X)

    def _means(self, losses: list[Any], sizes: list[int]) -> list[float]:
        return np.mean(losses, axis=0).tolist()


class Game:
    """Turns of discriminator and generator, batch by batch from host memory.

    network: Sequential([generator, features, head]).   rng: draws the noise.   X: (n, C, H, W), the real images.
    """

    def __init__(self, network: Sequential, learning_rate: float, rng: np.random.Generator, X: np.ndarray) -> None:
        generator, *discriminator = network.layers
        self.backend, self.generator = network.backend, generator
        self.discriminator = _chain(discriminator, network.backend)
        self.loss, self.rng = BinaryCrossEntropy(network.backend), rng
        self.optimizer = _Pair(*(Adam(part, learning_rate, beta1=_BETA1) for part in (self.discriminator, generator)))
        self.X = X

    def load(self, X: np.ndarray, targets: None = None) -> None:
        """Take these real images from the next epoch on."""
        self.X = X

    def start(self, batches: Batches) -> None:
        """Play one pass over batches of sample indices."""
        with one_blas_thread():
            pairs = ((self.X[batch], self._noise(len(batch))) for batch in batches)
            self._losses = [(float(d), float(g)) for d, g in (_summed(self.play(x, z, 1.0, 0.0)) for x, z in pairs)]

    def finish(self) -> tuple[list[tuple[float, float]], None]:
        """The losses of discriminator and generator in every batch of the pass."""
        return self._losses, None

    def trouble(self, losses: list[tuple[float, float]]) -> str | None:
        """None after a healthy pass with these losses; else what was wrong, in words."""
        bad = [pair for pair in losses if not np.isfinite(pair).all()]
        return f"the losses are {bad[0][0]} and {bad[0][1]}" if bad else None

    def play(self, x: Array, z: Array, real: Array, generated: Array) -> tuple[Array, Array, Array]:
        """One step of each network on real images x (N, C, H, W) and noise z (N, latent_dim).

        real, generated: 1 and 0, what the discriminator is to say of them.
        Returns its losses on both, and the generator's.
        """
        images = self.generator.forward(z, training=True)
        real_loss, grad_logits = self._judge(x, real)
        self.discriminator.backward(grad_logits, need_input=False)
        of_real = {key: self._kept(layer.grads[name]) for key, layer, name in self._gradients()}
        generated_loss, grad_logits = self._judge(images, generated)
        self.discriminator.backward(grad_logits, need_input=False)
        for key, layer, name in self._gradients():
            add_to.on(self.backend)(layer.grads[name], of_real[key])
        self.optimizer.discriminator.step()
        generator_loss, grad_logits = self._judge(images, real)
        self.generator.backward(self.discriminator.backward(grad_logits, need_params=False), need_input=False)
        self.optimizer.generator.step()
        return real_loss, generated_loss, generator_loss

    def _judge(self, images: Array, target: Array) -> tuple[Array, Array]:
        """Cross-entropy of the discriminator's verdict with real (1) or generated (0), and dL/d(logits)."""
        value, grad_logits, _ = self.loss(self.discriminator.forward(images, training=True), target)
        return value, grad_logits

    def _gradients(self) -> Iterator[tuple[tuple[int, str], Layer, str]]:
        """(key, layer, name) of every gradient of the discriminator."""
        for index, layer in enumerate(self.discriminator.flat_layers()):
            for name in layer.grads:
                yield (index, name), layer, name

    def _kept(self, grad: Array) -> Array:
        """A gradient, out of the way of the next backward pass."""
        return grad.copy()

    def _noise(self, n: int) -> np.ndarray:
        return draw_noise(self.rng, n, self.generator.input_shape[0])


class DeviceGame(Game):
    """The same turns on a kernel backend."""

    def __init__(self, network: Sequential, learning_rate: float, rng: np.random.Generator, X: np.ndarray) -> None:
        super().__init__(network, learning_rate, rng, X)
        self.backend.synchronize()  # weights that were drawn elsewhere must have arrived
        self.stream, self._turns = self.backend.stream(), dict[int, _Turn]()
        with self.stream:
            self._verdicts = [self.backend.asarray(np.array(verdict, np.float32)) for verdict in (1, 0)]
        self.load(X)

    def load(self, X: np.ndarray, targets: None = None) -> None:
        with self.stream:
            self.X = self.backend.asarray(np.ascontiguousarray(X, np.float32))

    def start(self, batches: Batches) -> None:
        """Start one pass; does not wait for it."""
        self.backend.synchronize()  # with what was written elsewhere since the last epoch
        order = np.concatenate(batches).astype(np.int32)
        noise = np.concatenate([self._noise(len(batch)) for batch in batches])
        with self.stream:
            self.optimizer.write_learning_rate()
            x = take_rows.on(self.backend)(self.X, self.backend.asarray(order))
            z = self.backend.asarray(noise)
            self._logs = [self.backend.zeros(len(batches), np.float64) for _ in range(3)]
            first = 0
            for number, batch in enumerate(batches):
                rows = slice(first, first := first + len(batch))
                for log, value in zip(self._logs, self._turn(x[rows], z[rows])):
                    log[number] = value

    def finish(self) -> tuple[list[tuple[float, float]], None]:
        with self.stream:
            losses = [self.backend.to_numpy(log).tolist() for log in self._logs]
        return [_summed(batch) for batch in zip(*losses)], None

    def _turn(self, images: Array, noise: Array) -> tuple[Array, Array, Array]:
        """`play`, from the graph for batches of this size."""
        if len(images) not in self._turns:
            self._turns[len(images)] = _Turn(self.backend, images.shape, noise.shape)
        turn = self._turns[len(images)]
        turn.x[...], turn.z[...] = images, noise
        return turn.run(lambda: self.play(turn.x, turn.z, *self._verdicts))

    def _kept(self, grad: Array) -> Array:
        kept = self.backend.empty(grad.shape, grad.dtype)
        copy(self.backend, grad, kept)
        return kept


class _Turn:
    """Where the images and the noise of a turn lie, and its graph."""

    def __init__(self, backend: Any, image_shape: tuple[int, ...], noise_shape: tuple[int, ...]) -> None:
        self.x, self.z = (backend.zeros(shape, np.float32) for shape in (image_shape, noise_shape))
        self.run = Captured(backend)


class _Pair:
    """The optimisers of both networks as a `Training` sees one: its moments, its steps, its learning rate."""

    def __init__(self, discriminator: Adam, generator: Adam) -> None:
        self.discriminator, self.generator = discriminator, generator

    first_moment = property(lambda self: self._moments("first_moment"))
    second_moment = property(lambda self: self._moments("second_moment"))

    def _moments(self, kind: str) -> dict[str, Array]:
        pairs = (("discriminator", self.discriminator), ("generator", self.generator))
        return {f"{part}.{name}": a for part, optimizer in pairs for name, a in getattr(optimizer, kind).items()}

    @property
    def step_count(self) -> int:
        return self.discriminator.step_count  # both make as many

    @step_count.setter
    def step_count(self, steps: int) -> None:
        self.discriminator.step_count = self.generator.step_count = steps

    @property
    def learning_rate(self) -> float:
        return self.discriminator.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self.discriminator.learning_rate = self.generator.learning_rate = rate

    def write_learning_rate(self) -> None:
        """Bring the rate to the device, where captured steps look for it."""
        for optimizer in (self.discriminator, self.generator):
            if optimizer.device_state:
                optimizer.device_state.write_learning_rate()


def draw_noise(rng: np.random.Generator, n: int, latent_dim: int) -> np.ndarray:
    """z ~ N(0, 1).  Returns (n, latent_dim) float32."""
    return rng.standard_normal((n, latent_dim)).astype(np.float32)


def _summed(losses: tuple[Any, Any, Any]) -> tuple[Any, Any]:
    """The discriminator's loss, on both kinds of images, and the generator's."""
    real, generated, generator = losses
    return real + generated, generator


def _chain(networks: list[Layer], backend: Backend) -> Sequential:
    chain = Sequential(networks)
    chain.backend = backend
    return chain
