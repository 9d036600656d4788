"""AnoGAN (Schlegl et al., 2017): a generative adversarial network of normal images, and how far an image is from it."""

from collections.abc import Iterator
from copy import copy

import numpy as np
from numpy.typing import ArrayLike

from ..backends import Backend, get_backend
from ..backends.threads import one_blas_thread
from ..files.checkpoint import Checkpoint
from ..files.progress import Progress
from ..nn.training import Plan, Training
from ..svdd.detector import Part, TrainedDetector
from ..svdd.preprocessing import make_preprocessing, warn_of_range
from ..svdd.radius import BOUNDARY_SLACK, exact_radius_squared
from ..svdd.storage import saved_array, storable
from ..validation import Seed, check_fitted, check_number, check_test_samples, check_training_samples, note_params
from .dcgan import gan_for, make_gan
from .game import AdversarialTraining, draw_noise
from .latent import LatentSearch, search

# Training images that the threshold is set by: searching for thousands of them would cost as much as a test set.
_CALIBRATION_IMAGES = 256
# Images searched for at a time: what fits into the cache.
_SEARCH_BATCH = 200


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
    network : str or None, default=None
        The name of the networks (`minisvdd.rivals.dcgan.GAN_ARCHITECTURES`), None for those made for the images' shape.
    latent_dim : int, default=256
        Dimension of z.
    epochs : int, default=50
        Epochs of adversarial training.
    learning_rate : float, default=2e-4
        Adam's, for both networks.
    batch_size : int, default=64
        Real images in a training step, and as many generated ones.
    search_steps : int, default=500
        At most so many steps of Adam on z; an image stops sooner when its search has converged.
    search_learning_rate : float, default=0.02
        Adam's on z.
    feature_weight : float, default=0.1
        a, in [0, 1].
    nu : float, default=0.1
        In (0, 1]; fraction of the training images (of 256, evenly spread) that "nu"'s threshold leaves outside.
    preprocessing : {"gcn-l1", "min-max"} or None, default=None
        None for images in [0, 1] as they are; mapped to [-1, 1], the range of tanh.
    backend : {"plain", "numpy", "emulator", "cuda"} or Backend, default="numpy"
        Where it trains and scores.
    random_state : int, Generator or None, default=0
        A seed or a NumPy generator: of weights, batches and noise.
    verbose : int, default=1
        0 is silent.
    threshold : {"auto", "holdout", "nu"}, default="auto"
        "holdout": by normal samples held out of training, drawn from `random_state`, such that new normal samples are
        beyond it at a rate of at most `false_alarm_rate`. "nu": by the training samples. "auto": "holdout" where there
        are enough samples, else "nu" with a ThresholdWarning.
    false_alarm_rate : float, default=0.05
        In (0, 1); that the threshold by held-out samples keeps.
    holdout : float, default=0.2
        In (0, 0.5]; share of the samples to hold out, about; never fewer than the rate needs (19 for 0.05),
        nor many more than 256, since searching for an image takes long.
    refit : bool, default=False
        Train once more, on all samples, after the threshold is found, which then keeps its rate only approximately.

    Attributes
    ----------
    network_ : Sequential
        Of three: generator, features, head; the first two are also `generator_` and `features_`.
    start_ : ndarray of shape (latent_dim,)
        Where every search begins.
    offset_ : float
        Threshold on `score_samples`.
    threshold_kind_ : {"holdout", "nu"}
        How it was found.
    holdout_scores_ : ndarray of shape (m,) or None
        Anomaly scores of the held-out samples, ascending.
    false_alarm_rate_ : float or None
        What the threshold keeps; None for nu's.
    history_ : dict of lists
        One entry per epoch: epoch, discriminator_loss, generator_loss, learning_rate, seconds.
    preprocessing_ : Preprocessing
        With its constants.
    input_shape_ : tuple of int
        (C, H, W) of one image.

    References
    ----------
    Schlegl et al., "Unsupervised Anomaly Detection with Generative Adversarial Networks to Guide Marker Discovery",
    IPMI 2017.
    Ruff et al., "Deep One-Class Classification", ICML 2018: section 4.1.

    Examples
    --------
    >>> from minisvdd import AnoGAN, load_dataset
    >>> split = load_dataset("digits").one_class(3)
    >>> model = AnoGAN(latent_dim=4, epochs=2, search_steps=5, verbose=0).fit(split.train)
    >>> model.anomaly_score(split.test[:6]).shape
    (6,)
    >>> found = model.search(split.test[:6])
    >>> model.generate(found.z).shape  # the images most like those
    (6, 1, 8, 8)
    """

    _most_held_out = _CALIBRATION_IMAGES

    def __init__(
        self,
        network: str | None = None,
        latent_dim: int = 256,
        epochs: int = 50,
        learning_rate: float = 2e-4,
        batch_size: int = 64,
        search_steps: int = 500,
        search_learning_rate: float = 0.02,
        feature_weight: float = 0.1,
        nu: float = 0.1,
        preprocessing: str | None = None,
        backend: str | Backend = "numpy",
        random_state: Seed = 0,
        verbose: int = 1,
        threshold: str = "auto",
        false_alarm_rate: float = 0.05,
        holdout: float = 0.2,
        refit: bool = False,
    ) -> None:
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
        self.threshold = threshold
        self.false_alarm_rate = false_alarm_rate
        self.holdout = holdout
        self.refit = refit

    def fit(self, X: ArrayLike, y: object = None, checkpoint: Checkpoint | None = None) -> "AnoGAN":
        """Train on normal images (n, C, H, W); y is ignored.

        checkpoint: where to write the state of the training, and perhaps to go on from.

        Raises
        ------
        ValueError
            For an argument or samples that no training could mean; it names them.
        FloatingPointError
            When training diverges; it says in which epoch.
        DataError
            When a checkpoint cannot be written or is of another training.
        """
        for training in self.trainings(X, checkpoint):
            training.run()
        return self

    def trainings(self, X: ArrayLike, checkpoint: Checkpoint | None = None) -> Iterator[Training]:
        """The one training that `fit` runs; what `fit` does after it is done when the next one is asked for."""
        self._check_parameters()
        for part in self._parts(check_training_samples(self, X), checkpoint):
            yield self._training_on(part)

    def _training_on(self, part: Part) -> Training:
        rng, checkpoint = part.rng, part.checkpoint
        self.preprocessing_ = make_preprocessing(self.preprocessing)
        X = self.preprocessing_.fit_transform(part.X)
        self.network_ = make_gan(self.network or gan_for(self.input_shape_), self.input_shape_, self.latent_dim)
        self.network_.build((self.latent_dim,), rng, backend=get_backend(self.backend))
        self._check_batch_norm(self.network_)
        low, high = self.generator_.output_range
        warn_of_range(X, self.preprocessing_.name, (_from_tanh_range(low), _from_tanh_range(high)), "generator")
        self.start_ = draw_noise(rng, 1, self.latent_dim)[0]
        training = AdversarialTraining(
            self.network_,
            None,
            _to_tanh_range(X),
            Plan.of(self),
            rng,
            label="AnoGAN",
            verbose=self.verbose,
            checkpoint=checkpoint and checkpoint.loop("anogan", self, _to_tanh_range(X)),
        )
        self.history_ = training.history
        return training

    def _set_threshold_by_nu(self, X):
        calibration = self.preprocessing_.transform(X[:: -(-len(X) // _CALIBRATION_IMAGES)])
        self.offset_ = -exact_radius_squared(self._scores(calibration), self.nu) * (1 + BOUNDARY_SLACK)

    def _note_training_scores(self, X):
        """Searching for all training images would take as long as training."""

    generator_ = property(lambda self: self.network_.layers[0], doc="z (latent_dim,) -> image in [-1, 1].")
    features_ = property(lambda self: self.network_.layers[1], doc="image -> the discriminator's features f.")

    def search(self, X: ArrayLike) -> LatentSearch:
        """The latent search for images X, (n, C, H, W): z, losses, steps and whether each has converged."""
        check_fitted(self)
        return self._search(self.preprocessing_.transform(check_test_samples(self, X)))

    def generate(self, z: ArrayLike) -> np.ndarray:
        """Images g(z) in the pre-processed scale (evaluation mode).  z: (n, latent_dim); returns (n, C, H, W)."""
        check_fitted(self)
        z = np.asarray(z, np.float32)
        if z.ndim != 2 or z.shape[1] != self._fitted("latent_dim"):
            raise ValueError(f"z has shape {z.shape}: expected (n, {self._fitted('latent_dim')})")
        backend = self.network_.backend
        return _from_tanh_range(backend.to_numpy(self.generator_.forward(backend.asarray(z))))

    def _scores(self, X):
        return self._search(X).losses

    def _explanations(self):
        return "residual", "occlusion"

    def _residuals(self, X):
        """|x - g(z)| in [0, 1], for the z found: 2 (1 - feature_weight) times their sum is the score's first term."""
        X = self.preprocessing_.transform(X)
        return np.abs(X - self.generate(self._search(X).z))

    def _search(self, X):
        if not len(X):
            z = np.empty((0, self._fitted("latent_dim")), np.float32)
            return LatentSearch(z, np.empty(0), np.empty(0, int), np.empty(0, bool))
        X, parts = _to_tanh_range(X), []
        network = self.network_.twin()  # a search runs backward passes, and the model may be in other threads' hands
        network.freeze_statistics()
        backend = network.backend
        progress = Progress("latent search, image", len(X), self.verbose)
        with one_blas_thread():
            for first in range(0, len(X), _SEARCH_BATCH):
                x = X[first : first + _SEARCH_BATCH]
                z = backend.asarray(np.tile(self.start_, (len(x), 1)))
                parts.append(self._search_batch(network, backend.asarray(x), z))
                progress.update(first + len(x))
        names = ("z", "losses", "steps", "converged")
        return LatentSearch(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def _search_batch(self, network, x, z):
        generator, features, _ = network.layers
        return search(
            generator,
            features,
            x,
            z,
            steps=self._fitted("search_steps"),
            learning_rate=self._fitted("search_learning_rate"),
            feature_weight=float(self._fitted("feature_weight")),
        )

    def _check_parameters(self):
        super()._check_parameters()
        for name, low in (("latent_dim", 1), ("search_steps", 0)):
            check_number(getattr(self, name), name, low, integer=True)
        check_number(self.search_learning_rate, "search_learning_rate", 0, low_open=True)
        check_number(self.feature_weight, "feature_weight", 0, 1)

    def _state(self):
        values, arrays = super()._state()
        return values, {**arrays, "start": self.start_}

    def _set_state(self, values, arrays):
        super()._set_state(values, arrays)
        self.start_ = saved_array(arrays, "start", self.network_.input_shape)
        made = self.generator_.output_shape
        if made != self.input_shape_:
            raise ValueError(f"the generator makes images {made}, expected {self.input_shape_}")

    def _try(self, X):
        quick = copy(self)
        quick.search_steps, quick.verbose = 0, 0  # where a search starts, it also scores
        note_params(quick)
        super(AnoGAN, quick)._try(X)


def _to_tanh_range(X):
    """[0, 1] -> [-1, 1], where tanh can follow."""
    return 2 * X - 1


def _from_tanh_range(y):
    """[-1, 1] -> [0, 1]."""
    return (1 + y) / 2
