"""The deep convolutional autoencoder (DCAE): pre-training of Deep SVDD, and a baseline (paper, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError

from .. import nn
from ..backends import Backend, get_backend
from ..files.arrays import arrays_under
from ..validation import Seed, check_fitted, check_test_samples, check_training_samples, note_params
from . import patches
from .detector import EncodingDetector, TrainedDetector
from .preprocessing import Preprocessing, make_preprocessing, warn_of_range
from .radius import BOUNDARY_SLACK, exact_radius_squared
from .storage import Arrays, Values, can_be_saved, describe, rebuild, storable

if TYPE_CHECKING:
    from ..files.checkpoint import Checkpoint, LoopCheckpoint


@storable
class Autoencoder(EncodingDetector):
    """Encoder and mirrored decoder, trained to reproduce normal samples; the score is the reconstruction error.

        min over weights of  1/n sum_i ||x_i - dec(enc(x_i))||^2 + lambda/2 sum ||W||^2
        score(x) = ||x - dec(enc(x))||^2,  summed over the pixels

    Parameters
    ----------
    network : str, Sequential or None, default=None
        The name of a network (`minisvdd.nn.networks.NETWORKS`), None for the one made for the samples' shape, or an
        encoder of your own together with `decoder`; both are copied.
    epochs : int, default=350
        The paper's 250 + 100.
    learning_rate : float, default=1e-4
        Adam's; divided by 10 at each milestone.
    milestones : sequence of int, default=(250,)
        Epochs, counted from 0.
    weight_decay : float, default=1e-6
        lambda above.
    batch_size : int, default=200
        Samples in a training step.
    slope : float, default=0.1
        In [0, 1], of the leaky ReLUs of a named network.
    nu : float, default=0.1
        In (0, 1]; fraction of the training samples that the threshold of kind "nu" leaves outside.
    decoder : Sequential or None, default=None
        For an encoder of your own.
    preprocessing : {"auto", "gcn-l1", "min-max", "standardize"} or None, default="auto"
        Computed from the training samples and kept with the model; "auto" is GCN-L1 on images and standardisation on
        features.
    backend : {"plain", "numpy", "emulator", "cuda"} or Backend, default="numpy"
        Where it trains and scores.
    random_state : int, Generator or None, default=0
        A seed or a NumPy generator: of weights and batches.
    verbose : int, default=1
        0 is silent.
    threshold : {"auto", "holdout", "nu"}, default="auto"
        "holdout": by normal samples held out of training, drawn from `random_state`, such that new normal samples are
        beyond it at a rate of at most `false_alarm_rate`. "nu": by the training samples. "auto": "holdout" where there
        are enough samples, else "nu" with a ThresholdWarning.
    false_alarm_rate : float, default=0.05
        In (0, 1); that the threshold by held-out samples keeps.
    holdout : float, default=0.2
        In (0, 0.5]; share of the samples to hold out, about; never fewer than the rate needs (19 for 0.05).
    refit : bool, default=False
        Train once more, on all samples, after the threshold is found, which then keeps its rate only approximately.
    affine : bool, default=False
        Batch norm of a named network with trainable scale and shift; the shift is a bias, which permits collapse.
    gain : float, default=1.0
        Factor on Glorot's draw of the convolutions (`minisvdd.nn.init`).
    first_filters : {"random", "dictionary", "mixed dictionary"}, default="random"
        How the first convolution starts: as drawn, or as atoms of a dictionary of patches (`minisvdd.nn.init`).
    batches : {"shuffled", "fixed"}, default="shuffled"
        Drawn anew in every epoch, or with the same members in all of them.

    Attributes
    ----------
    network_ : Sequential
        Of two: encoder and decoder.
    offset_ : float
        Threshold on `score_samples`.
    threshold_kind_ : {"holdout", "nu"}
        How it was found.
    holdout_scores_ : ndarray of shape (m,) or None
        Anomaly scores of the held-out samples, ascending.
    false_alarm_rate_ : float or None
        What the threshold keeps; None for nu's.
    decision_scores_ : ndarray of shape (n,)
        Anomaly scores of the samples of `fit`; not in files.
    history_ : dict of lists
        One entry per epoch: epoch, loss (without weight decay), learning_rate, seconds.
    preprocessing_ : Preprocessing
        With its constants.
    input_shape_ : tuple of int
        Of one sample: (C, H, W) or (D,).

    References
    ----------
    Ruff et al., "Deep One-Class Classification", ICML 2018: section 4.1 (DCAE).

    Examples
    --------
    >>> from sklearn.metrics import roc_auc_score
    >>> from minisvdd import Autoencoder, load_dataset
    >>> split = load_dataset("digits").one_class(3)  # threes to train on; all digits to test
    >>> model = Autoencoder(epochs=5, learning_rate=1e-2, batch_size=20, verbose=0).fit(split.train)
    >>> bool(roc_auc_score(split.is_anomaly, model.anomaly_score(split.test)) > 0.8)
    True
    >>> model.reconstruct(split.test[:5]).shape
    (5, 1, 8, 8)
    """

    def __init__(
        self,
        network: str | nn.Sequential | None = None,
        epochs: int = 350,
        learning_rate: float = 1e-4,
        milestones: Sequence[int] = (250,),
        weight_decay: float = 1e-6,
        batch_size: int = 200,
        slope: float = 0.1,
        nu: float = 0.1,
        decoder: nn.Sequential | None = None,
        preprocessing: str | None = "auto",
        backend: str | Backend = "numpy",
        random_state: Seed = 0,
        verbose: int = 1,
        threshold: str = "auto",
        false_alarm_rate: float = 0.05,
        holdout: float = 0.2,
        refit: bool = False,
        affine: bool = False,
        gain: float = 1.0,
        first_filters: str = "random",
        batches: str = "shuffled",
    ) -> None:
        self.network = network
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.milestones = milestones
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.slope = slope
        self.nu = nu
        self.decoder = decoder
        self.preprocessing = preprocessing
        self.backend = backend
        self.random_state = random_state
        self.verbose = verbose
        self.threshold = threshold
        self.false_alarm_rate = false_alarm_rate
        self.holdout = holdout
        self.refit = refit
        self.affine, self.gain, self.first_filters, self.batches = affine, gain, first_filters, batches

    def fit(self, X: ArrayLike, y: object = None, checkpoint: Checkpoint | None = None) -> Autoencoder:
        """Train on normal samples.  X: (n, C, H, W) or (n, D); y is ignored.

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

    def trainings(self, X: ArrayLike, checkpoint: Checkpoint | None = None) -> Iterator[nn.Training]:
        """The one training that `fit` runs; what `fit` does after it is done when the next one is asked for."""
        self._check_parameters()
        backend = get_backend(self.backend)
        for part in self._parts(check_training_samples(self, X), checkpoint):
            self.preprocessing_ = make_preprocessing(self.preprocessing, backend, self.input_shape_)
            samples = self.preprocessing_.fit_transform(part.X)
            self._surround(self._draw_encoder(samples, part.rng), part.rng)
            state = part.checkpoint.loop("autoencoder", self, samples) if part.checkpoint else None
            yield from self.trainings_on(samples, part.rng, state)

    @classmethod
    def around(cls, detector: TrainedDetector, rng: np.random.Generator) -> Autoencoder:
        """An autoencoder around a detector's built network, whose arrays it shares: pre-training starts here.

        Its arguments are the detector's, those that begin with "pretrain_" first; it scores what the detector does.
        rng: draws the decoder.  Raises ValueError for a decoder that does not fit.
        """
        names = cls._get_param_names()
        model = cls(**{name: getattr(detector, f"pretrain_{name}", getattr(detector, name)) for name in names})
        note_params(model)
        model.preprocessing_ = detector.preprocessing_
        model._surround(detector.network_, rng)
        model.input_shape_ = detector.input_shape_  # whole images, where the network sees patches
        if hasattr(detector, "feature_names_in_"):
            model.feature_names_in_ = detector.feature_names_in_
        return model

    def trainings_on(
        self, X: np.ndarray, rng: np.random.Generator, checkpoint: LoopCheckpoint | None = None
    ) -> Iterator[nn.Training]:
        """`trainings` once the network is built, on pre-processed X."""
        warn_of_range(X, self.preprocessing_.name, self.network_.output_range)
        training = nn.Training(
            self.network_,
            nn.MeanSquaredError(self.network_.backend),
            X,
            nn.Plan.of(self),
            rng,
            label="autoencoder",
            verbose=self.verbose,
            checkpoint=checkpoint,
        )
        self.history_ = training.history
        yield training
        self._forget_holdout()
        self.offset_ = -exact_radius_squared(self._scores(X), self.nu) * (1 + BOUNDARY_SLACK)

    def detach_encoder(self) -> None:
        """Give this autoencoder a copy of its encoder, so that training the original no longer changes it."""
        encoder, decoder = self.network_.layers
        assert isinstance(encoder, nn.Sequential)  # `_surround` joined two of them
        assert isinstance(decoder, nn.Sequential)
        self.network_ = join(deepcopy(encoder), decoder)

    def _surround(self, encoder: nn.Sequential, rng: np.random.Generator) -> None:
        """Put a decoder behind a built encoder."""
        self.input_shape_ = encoder.input_shape
        if len(self.input_shape_) == 1:
            self.n_features_in_ = self.input_shape_[0]
        self.network_ = join(encoder, self._draw_decoder(encoder, rng))
        self._check_batch_norm(self.network_)

    def add_to(self, values: Values, arrays: Arrays) -> None:
        """Put it into what the file of the detector holds that it pre-trained; not one with layers of your own."""
        if can_be_saved(self):
            values["autoencoder"], ours = describe(self)
            arrays.update({f"autoencoder/{name}": array for name, array in ours.items()})

    @staticmethod
    def saved(values: Values, arrays: Arrays, of: TrainedDetector) -> Autoencoder | None:
        """The autoencoder in the file of another detector, which came out of its pre-training; None without one."""
        described = values.get("autoencoder")
        if described is None:
            return None
        if described["class"] != Autoencoder.__name__:
            raise ValueError(f"its autoencoder is of class {described['class']!r}: expected 'Autoencoder'")
        model = rebuild(described, arrays_under("autoencoder/", arrays), of.network_.backend)
        assert isinstance(model, Autoencoder)
        if model.input_shape_ != of.input_shape_:
            raise ValueError(f"its autoencoder is for samples {model.input_shape_}, expected {of.input_shape_}")
        return model

    def _set_state(self, values: Values, arrays: Arrays) -> None:
        super()._set_state(values, arrays)
        patches.check(self.network_.input_shape, self.input_shape_)
        made, seen = self.network_.output_shape, self.network_.input_shape
        if made != seen:
            raise ValueError(f"the network makes samples {made}, expected {seen}")

    def reconstruct(self, X: ArrayLike) -> np.ndarray:
        """dec(enc(x)) in the pre-processed scale (evaluation mode).  Returns an array shaped like X."""
        check_fitted(self)
        X, shape = self.preprocessing_.transform(check_test_samples(self, X)), self.network_.input_shape
        return patches.together(nn.outputs(self.network_, patches.cut(X, shape)), X.shape)

    def _explanations(self) -> tuple[str, ...]:
        return "residual", "exchange", "smoothgrad", "gradient", "occlusion"

    def _residuals(self, X: np.ndarray) -> np.ndarray:
        """The terms of the score: (z - dec(enc(z)))^2, entry by entry."""
        return self._differences(self.preprocessing_.transform(X)) ** 2

    def _score_gradient(self, Z: np.ndarray) -> np.ndarray:
        """s = ||z - y||^2 with y = dec(enc(z)):  ds/dz = 2 (z - y) + J' 2 (y - z), J = dy/dz, patch by patch."""
        pieces = patches.cut(Z, self.network_.input_shape)
        through = nn.input_gradients(self.network_, pieces, lambda part, y: 2 * (y - pieces[part]))
        return patches.together(through, Z.shape) + 2 * self._differences(Z)

    def _differences(self, Z: np.ndarray) -> NDArray[np.float64]:
        """z - dec(enc(z)) in float64."""
        y = nn.outputs(self.network_, patches.cut(Z, self.network_.input_shape))
        return Z - patches.together(y, Z.shape).astype(np.float64)

    def _scores(self, X: np.ndarray) -> np.ndarray:
        return patches.scores_of_images(self._errors, X, self.network_.input_shape)

    def _errors(self, X: np.ndarray) -> np.ndarray:
        """||x - dec(enc(x))||^2 of what the network sees."""
        scores = np.empty(len(X))
        for part, y in nn.outputs_in_parts(self.network_, X):
            difference = (X[part] - y).reshape(len(y), -1).astype(np.float64)
            scores[part] = (difference**2).sum(axis=1)
        return scores


def load_encoder(network: nn.Sequential, fitted: Preprocessing, autoencoder: Autoencoder) -> None:
    """Take the weights and statistics of a fitted autoencoder's encoder.

    fitted: the pre-processing of whoever takes them. ValueError where that or the network is another one there.
    """
    if not hasattr(autoencoder, "offset_"):
        raise NotFittedError(
            "autoencoder: expected a fitted one (a grid search makes its values unfitted: "
            "wrap it in sklearn.frozen.FrozenEstimator)"
        )
    theirs, ours = autoencoder.preprocessing_.name, fitted.name
    if theirs != ours:
        raise ValueError(f"autoencoder was trained with preprocessing={theirs!r}: expected {ours!r}, as here")
    encoder = autoencoder.network_.layers[0]
    try:
        network.load_arrays({name: encoder.backend.to_numpy(array) for name, array in encoder.arrays.items()})
    except (KeyError, ValueError) as error:
        raise ValueError(f"autoencoder: its encoder is not of this network: {error}") from None


def join(encoder: nn.Sequential, decoder: nn.Sequential) -> nn.Sequential:
    """Sequential([encoder, decoder]) of two built networks; both keep sharing their arrays with it."""
    network = nn.Sequential([encoder, decoder])
    network.backend = encoder.backend
    network.input_shape, network.output_shape = encoder.input_shape, decoder.output_shape
    return network
