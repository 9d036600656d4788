"""AnoGAN (Schlegl et al., 2017): a generative adversarial network of normal images, and how far an image is from it."""

import time

import numpy as np

from ..backends import get_backend
from ..backends.threads import one_blas_thread
from ..files.checkpoint import Checkpoint, history_of
from ..files.progress import Progress
from ..nn.batches import shuffled_batches
from ..nn.losses import BinaryCrossEntropy
from ..nn.networks import Sequential
from ..nn.optim import Adam
from ..svdd.detector import TrainedDetector
from ..svdd.preprocessing import make_preprocessing
from ..svdd.radius import BOUNDARY_SLACK, exact_radius_squared
from ..svdd.storage import storable
from ..validation import check_fitted, check_generator, check_number, check_test_samples, check_training_samples
from .dcgan import gan_for, make_gan
from .latent import LatentSearch, search

# Adam's beta1 as in DCGAN: with the usual 0.9, the averaged gradients lag behind an opponent that moves too.
_BETA1 = 0.5
# Training images that the threshold is set by: searching for thousands of them would cost as much as a test set.
_CALIBRATION_IMAGES = 256
# Images searched for at a time: what fits into the cache.
_SEARCH_BATCH = 200
_HISTORY = ("epoch", "discriminator_loss", "generator_loss", "seconds")


@storable
class AnoGAN(TrainedDetector):
    """A DCGAN of normal images; the score of x is its distance from the generated image most like it.

        discriminator D   min  -log sigmoid(D(x)) - log(1 - sigmoid(D(g(z))))       x a training image, z ~ N(0, 1)
        generator g       min  -log sigmoid(D(g(z)))
        score(x)     min over z of  (1 - a) ||x - g(z)||_1 + a ||f(x) - f(g(z))||_1

    f are the discriminator's features. Training alternates one step of each with Adam (beta1 0.5). The minimum over z
    is sought by gradient descent through g and f (`minisvdd.rivals.latent`), from one starting point, drawn in `fit`,
    for all images: so the score of an image depends on no other image.

    Parameters
    ----------
    network: name of the networks (`minisvdd.rivals.dcgan.GAN_ARCHITECTURES`), None for those made for the images'
    shape. latent_dim: dimension of z.   epochs, batch_size, learning_rate: adversarial training.
    search_steps, search_learning_rate: Adam on z; an image stops sooner when its search has converged.
    feature_weight: a, in [0, 1].
    nu: fraction of the training images (of 256 of them, evenly spread) that the threshold `offset_` leaves outside.
    preprocessing: "gcn-l1" or None, for images in [0, 1] as they are; mapped to [-1, 1], the range of tanh.
    backend: "numpy".   random_state: int, None or numpy.random.Generator.   verbose: 0 is silent.

    Attributes
    ----------
    network_: Sequential([generator, features, head]); also `generator_` and `features_`.   start_: (latent_dim,).
    history_: lists per epoch: epoch, discriminator_loss, generator_loss, seconds.   offset_: threshold on
    `score_samples`.
    """

    def __init__(
        self,
        network=None,
        latent_dim=256,
        epochs=50,
        learning_rate=2e-4,
        batch_size=64,
        search_steps=500,
        search_learning_rate=0.02,
        feature_weight=0.1,
        nu=0.1,
        preprocessing=None,
        backend="numpy",
        random_state=0,
        verbose=1,
    ):
        self.network = network
        self.latent_dim = latent_dim
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.search_steps = search_steps
        self.search_learning_rate = search_learning_rate
        self.feature_weight = feature_weight
        self.nu = nu
        self.preprocessing = preprocessing
        self.backend = backend
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None, checkpoint: Checkpoint | None = None) -> "AnoGAN":
        """Train on normal images.  X: (n, C, H, W); y is ignored.

        checkpoint: where to write the state of the training, and perhaps to go on from.
        Raises ValueError for bad input, FloatingPointError when training diverges, DataError when a checkpoint cannot
        be written or is of another training.
        """
        self._check_parameters()
        X = check_training_samples(self, X)
        rng = check_generator(self.random_state)
        self.preprocessing_ = make_preprocessing(self.preprocessing)
        X = self.preprocessing_.fit_transform(X)
        self.network_ = make_gan(self.network or gan_for(self.input_shape_), self.input_shape_, self.latent_dim)
        self.network_.build((self.latent_dim,), rng, backend=get_backend(self.backend))
        self._check_batch_norm(self.network_)
        self.start_ = _draw(rng, 1, self.latent_dim)[0]
        self._train(_to_tanh_range(X), rng, checkpoint)
        calibration = X[:: -(-len(X) // _CALIBRATION_IMAGES)]
        self.offset_ = -exact_radius_squared(self._scores(calibration), self.nu) * (1 + BOUNDARY_SLACK)
        return self

    generator_ = property(lambda self: self.network_.layers[0], doc="z (latent_dim,) -> image in [-1, 1].")
    features_ = property(lambda self: self.network_.layers[1], doc="image -> the discriminator's features f.")

    def search(self, X) -> LatentSearch:
        """The latent search for images X, (n, C, H, W): z, losses, steps and whether each has converged."""
        check_fitted(self)
        return self._search(self.preprocessing_.transform(check_test_samples(self, X)))

    def generate(self, z) -> np.ndarray:
        """Images g(z) in the pre-processed scale (evaluation mode).  z: (n, latent_dim); returns (n, C, H, W)."""
        check_fitted(self)
        z = np.asarray(z, np.float32)
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(f"z has shape {z.shape}: expected (n, {self.latent_dim})")
        backend = self.network_.backend
        return (1 + backend.to_numpy(self.generator_.forward(backend.asarray(z)))) / 2

    def _scores(self, X):
        return self._search(X).losses

    def _search(self, X):
        X, parts = _to_tanh_range(X), []
        backend = self.network_.backend
        progress = Progress("latent search, image", len(X), self.verbose)
        self.network_.freeze_statistics()
        try:
            with one_blas_thread():
                for first in range(0, len(X), _SEARCH_BATCH):
                    x = X[first : first + _SEARCH_BATCH]
                    z = backend.asarray(np.tile(self.start_, (len(x), 1)))
                    parts.append(self._search_batch(backend.asarray(x), z))
                    progress.update(first + len(x))
        finally:
            self.network_.freeze_statistics(False)
        names = ("z", "losses", "steps", "converged")
        return LatentSearch(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def _search_batch(self, x, z):
        return search(
            self.generator_,
            self.features_,
            x,
            z,
            steps=self.search_steps,
            learning_rate=self.search_learning_rate,
            feature_weight=self.feature_weight,
        )

    def _train(self, X, rng, checkpoint):
        game = Game(self.network_, self.learning_rate, rng)
        self.history_ = {key: [] for key in _HISTORY}
        progress = Progress("AnoGAN, epoch", self.epochs, self.verbose)
        state = history_of(self)
        loop = checkpoint and checkpoint.loop("anogan", self, X, state)
        for epoch in range(loop.restore(self.network_, game, rng) if loop else 0, self.epochs):
            start = time.perf_counter()
            with one_blas_thread():
                losses = [game.play(X[batch]) for batch in shuffled_batches(len(X), self.batch_size, rng)]
            d_loss, g_loss = np.mean(losses, axis=0).tolist()
            if not np.isfinite(d_loss + g_loss):
                raise FloatingPointError(
                    f"training diverged: the losses are {d_loss} and {g_loss} in epoch {epoch + 1}; "
                    f"lower learning_rate={self.learning_rate}"
                )
            for key, value in zip(_HISTORY, (epoch + 1, d_loss, g_loss, time.perf_counter() - start)):
                self.history_[key].append(value)
            progress.update(epoch + 1, f"discriminator {d_loss:.3f}, generator {g_loss:.3f}")
            if loop and loop.is_due(epoch + 1, self.epochs):
                loop.save(epoch + 1, self.network_, game, rng)

    def _check_parameters(self):
        super()._check_parameters()
        check_number(self.latent_dim, "latent_dim", 1, integer=True)
        check_number(self.search_steps, "search_steps", 0, integer=True)
        check_number(self.search_learning_rate, "search_learning_rate", 0, low_open=True)
        check_number(self.feature_weight, "feature_weight", 0, 1)

    def _state(self):
        values, _ = super()._state()
        return values, {"start": self.start_}

    def _set_state(self, values, arrays):
        super()._set_state(values, arrays)
        self.start_ = arrays["start"]
        if self.start_.shape != self.network_.input_shape:
            raise ValueError(f"start has shape {self.start_.shape}, expected {self.network_.input_shape}")
        made = self.generator_.output_shape
        if made != self.input_shape_:
            raise ValueError(f"the generator makes images {made}, expected {self.input_shape_}")


class Game:
    """One step of the discriminator, then one of the generator, on the same noise.

    The discriminator sees real and generated images in batches of their own, so that its batch norm cannot tell them
    apart by the mixture; its gradient is the sum of both.
    """

    def __init__(self, network, learning_rate, rng):
        self.generator, *discriminator = network.layers
        self.discriminator = _chain(discriminator, network.backend)
        self.loss, self.rng = BinaryCrossEntropy(network.backend), rng
        self.optimizers = [Adam(part, learning_rate, beta1=_BETA1) for part in (self.discriminator, self.generator)]

    def play(self, batch):
        """One step of each on a batch (N, C, H, W) of real images; returns both losses."""
        backend = self.generator.backend
        z = backend.asarray(_draw(self.rng, len(batch), self.generator.input_shape[0]))
        generated = self.generator.forward(z, training=True)
        real_loss, grad_logits = self._judge(backend.asarray(batch), 1.0)
        self.discriminator.backward(grad_logits, need_input=False)
        real_grads = {name: grad.copy() for name, grad in self.discriminator.grads.items()}
        generated_loss, grad_logits = self._judge(generated, 0.0)
        self.discriminator.backward(grad_logits, need_input=False)
        for name, grad in self.discriminator.grads.items():
            grad += real_grads[name]
        self.optimizers[0].step()
        generator_loss, grad_logits = self._judge(generated, 1.0)
        self.generator.backward(self.discriminator.backward(grad_logits, need_params=False), need_input=False)
        self.optimizers[1].step()
        return real_loss + generated_loss, generator_loss

    # Both optimisers as one, for a checkpoint

    first_moment = property(lambda self: self._moments("first_moment"))
    second_moment = property(lambda self: self._moments("second_moment"))

    def _moments(self, kind):
        pairs = zip(("discriminator", "generator"), self.optimizers)
        return {f"{part}.{name}": a for part, optimizer in pairs for name, a in getattr(optimizer, kind).items()}

    @property
    def step_count(self) -> int:
        """Steps that each of them has made."""
        return self.optimizers[0].step_count

    @step_count.setter
    def step_count(self, steps):
        for optimizer in self.optimizers:
            optimizer.step_count = steps

    def _judge(self, images, target):
        """Cross-entropy of the discriminator's verdict with real (target 1) or generated (0), and dL/d(logits)."""
        value, grad_logits, *_ = self.loss(self.discriminator.forward(images, training=True), target)
        return float(value), grad_logits


def _chain(networks, backend):
    chain = Sequential(networks)
    chain.backend = backend
    return chain


def _draw(rng, n, latent_dim):
    """z ~ N(0, 1).  Returns (n, latent_dim) float32."""
    return rng.standard_normal((n, latent_dim)).astype(np.float32)


def _to_tanh_range(X):
    """[0, 1] -> [-1, 1], where tanh can follow."""
    return 2 * X - 1
