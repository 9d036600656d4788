"""Deep SVDD (Ruff et al., ICML 2018): the estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError

from .. import nn
from ..backends import Backend, get_backend
from ..files.records import number, optional
from ..validation import Seed, check_choice, check_fitted, check_number, check_test_samples, check_training_samples
from . import center as centers
from . import patches
from .autoencoder import Autoencoder, load_encoder
from .collapse import FIGURES, Figures, signs_of_collapse, snapshot, warn_after, warn_before
from .detector import Detector, EncodingDetector, Part
from .preprocessing import make_preprocessing, warn_of_range
from .radius import (
    BOUNDARY_SLACK,
    RADIUS_RULES,
    exact_radius_squared,
    fraction_outside_seen,
    quantile_radius_squared,
    radius_seen,
)
from .storage import Arrays, Values, restore_values, save_model, saved_array, saved_values, storable

if TYPE_CHECKING:
    from ..files.checkpoint import Checkpoint

OBJECTIVES = ("one-class", "soft-boundary")
_WORDS = {"objective": OBJECTIVES, "radius_update": tuple(RADIUS_RULES), "statistics": ("collected", "running")}


@storable
class DeepSVDD(ClassNamePrefixFeaturesOutMixin, TransformerMixin, EncodingDetector):  # type: ignore[misc]
    """Deep Support Vector Data Description: a network that maps normal samples into a small sphere around c.

        one-class      min over W     of  1/n sum_i d_i + lambda/2 sum ||W||^2                                  (4)
        soft-boundary  min over R, W  of  R^2 + 1/(nu n) sum_i max(0, d_i - R^2) + lambda/2 sum ||W||^2         (3)
        score          d(x), for soft-boundary d(x) - R^2,     d(x) = ||phi(x; W) - c||^2                       (5)

    Steps of `fit`: draw the weights; pre-train them in an autoencoder; set c to the mean output
    (`minisvdd.svdd.center`); train W with Adam. Soft-boundary alternates: `radius_every` epochs of W with R fixed, then
    R with W fixed.

    Parameters
    ----------
    objective : {"one-class", "soft-boundary"}, default="one-class"
        What training minimises: (4) or (3).
    nu : float, default=0.1
        In (0, 1]; upper bound on the fraction of training samples outside the sphere (Proposition 4). For the one-class
        objective it only sets the radius.
    network : str, Sequential or None, default=None
        The name of a network (`minisvdd.nn.networks.NETWORKS`), None for the one made for the samples' shape, or a
        Sequential of your own, which is copied.
    pretrain_epochs : int, default=350
        Epochs in the autoencoder; 0 for no pre-training.
    epochs : int, default=250
        Epochs of Deep SVDD itself.
    learning_rate : float, default=1e-4
        Adam's in both trainings; divided by 10 at each milestone.
    milestones : sequence of int, default=(150,)
        Epochs, counted from 0.
    weight_decay : float, default=1e-6
        lambda in (3) and (4).
    batch_size : int, default=200
        Samples in a training step, in both trainings.
    center : array of shape (p,) or None, default=None
        c, used as it is; None for the rule of the paper.
    radius_update : {"exact", "last-batch", "authors-theano"}, default="exact"
        How soft-boundary finds R: an order statistic over the training set, or two rules of other code, to compare.
    radius_every : int, default=5
        Epochs between two updates of R.
    backend : {"plain", "numpy", "emulator", "cuda"} or Backend, default="numpy"
        Where it trains and scores.
    random_state : int, Generator or None, default=0
        A seed or a NumPy generator: of weights and batches.
    verbose : int, default=1
        0 is silent.
    pretrain_milestones : sequence of int, default=(250,)
        `milestones` of the pre-training.
    pretrain_weight_decay : float, default=1e-6
        `weight_decay` of the pre-training.
    center_epsilon : float, default=0.1
        Coordinates of c nearer to 0 are moved to +-center_epsilon.
    slope : float, default=0.1
        In [0, 1], of the leaky ReLUs of a named network.
    decoder : Sequential or None, default=None
        For pre-training a network of your own.
    preprocessing : {"auto", "gcn-l1", "min-max", "standardize"} or None, default="auto"
        Computed from the training samples and kept with the model; "auto" is GCN-L1 on images and standardisation on
        features.
    autoencoder : Autoencoder or None, default=None
        A fitted one of the same network, whose encoder is taken instead of pre-training. With the same `random_state`,
        `threshold`, `holdout` and `false_alarm_rate` it held out the same samples. It stays fitted in clones (cross-
        validation, pipelines); as a value of a grid search it must be wrapped in `sklearn.frozen.FrozenEstimator`.
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
    patch_size : {"auto"}, int or None, default="auto"
        Side of patches, into which larger images are cut; the score is that of the worst (`minisvdd.svdd.patches`).
        "auto" cuts images with a side above 256 into patches of 64; None cuts none.
    affine : bool, default=False
        Batch norm of a named network with trainable scale and shift; the shift is a bias, which permits collapse.
    gain : float, default=1.0
        Factor on Glorot's draw of the convolutions (`minisvdd.nn.init`).
    first_filters : {"random", "dictionary", "mixed dictionary"}, default="random"
        How the first convolution starts: as drawn, or as atoms of a dictionary of patches (`minisvdd.nn.init`).
    batches : {"shuffled", "fixed"}, default="shuffled"
        Drawn anew in every epoch, or with the same members in all of them.
    quantile_epochs : int, default=0
        In so many epochs, the first ones, soft-boundary's R is the (1 - nu) quantile of the distances, moved each time.
    statistics : {"collected", "running"}, default="collected"
        Batch norm's, for c and R after pre-training: collected on the training set, or taken over as they ran there.

    Attributes
    ----------
    network_ : Sequential
        The trained encoder phi.
    center_ : ndarray of shape (p,)
        c, in float64.
    radius_ : float
        R, a length; for one-class the radius that leaves a fraction nu outside.
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
        One entry per epoch: epoch, loss (without weight decay), radius, fraction_outside, learning_rate, seconds.
    autoencoder_ : Autoencoder or None
        The pre-trained one.
    diagnostics_ : dict
        Figures by which collapse shows; see `diagnostics`.
    preprocessing_ : Preprocessing
    input_shape_ : tuple of int
        Of one sample: (C, H, W) or (D,).

    References
    ----------
    Ruff et al., "Deep One-Class Classification", ICML 2018: section 3.

    Examples
    --------
    >>> from sklearn.metrics import roc_auc_score
    >>> from minisvdd import DeepSVDD, load_dataset
    >>> split = load_dataset("digits").one_class(3)  # threes to train on; all digits to test
    >>> model = DeepSVDD(pretrain_epochs=0, epochs=3, learning_rate=1e-3, verbose=0).fit(split.train)
    >>> scores = model.anomaly_score(split.test)
    >>> bool(roc_auc_score(split.is_anomaly, scores) > 0.8)
    True
    >>> model.center_.shape
    (32,)
    """

    # Of weights and samples in training. float64 in a subclass shows that the method is the one of `svdd.plain`.
    _dtype: type = np.float32
    center_: np.ndarray
    radius_: float
    diagnostics_: Figures
    autoencoder_: Autoencoder | None

    def __init__(
        self,
        objective: str = "one-class",
        nu: float = 0.1,
        network: str | nn.Sequential | None = None,
        pretrain_epochs: int = 350,
        epochs: int = 250,
        learning_rate: float = 1e-4,
        milestones: Sequence[int] = (150,),
        weight_decay: float = 1e-6,
        batch_size: int = 200,
        center: np.ndarray | Sequence[float] | None = None,
        radius_update: str = "exact",
        radius_every: int = 5,
        backend: str | Backend = "numpy",
        random_state: Seed = 0,
        verbose: int = 1,
        *,
        pretrain_milestones: Sequence[int] = (250,),
        pretrain_weight_decay: float = 1e-6,
        center_epsilon: float = 0.1,
        slope: float = 0.1,
        decoder: nn.Sequential | None = None,
        preprocessing: str | None = "auto",
        autoencoder: Autoencoder | None = None,
        threshold: str = "auto",
        false_alarm_rate: float = 0.05,
        holdout: float = 0.2,
        refit: bool = False,
        patch_size: str | int | None = "auto",
        affine: bool = False,
        gain: float = 1.0,
        first_filters: str = "random",
        batches: str = "shuffled",
        quantile_epochs: int = 0,
        statistics: str = "collected",
    ) -> None:
        self.objective, self.nu, self.network = objective, nu, network
        self.pretrain_epochs = pretrain_epochs
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.milestones = milestones
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.center = center
        self.radius_update = radius_update
        self.radius_every = radius_every
        self.backend = backend
        self.random_state = random_state
        self.verbose = verbose
        self.pretrain_milestones = pretrain_milestones
        self.pretrain_weight_decay = pretrain_weight_decay
        self.center_epsilon = center_epsilon
        self.slope = slope
        self.decoder = decoder
        self.preprocessing = preprocessing
        self.autoencoder = autoencoder
        self.threshold = threshold
        self.false_alarm_rate = false_alarm_rate
        self.holdout = holdout
        self.refit = refit
        self.patch_size = patch_size
        self.affine, self.gain, self.first_filters, self.batches = affine, gain, first_filters, batches
        self.quantile_epochs, self.statistics = quantile_epochs, statistics

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        on_stage: Callable[[str, DeepSVDD], None] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> DeepSVDD:
        """Train on normal samples.

        X: (n, C, H, W) or (n, D); y is ignored.  on_stage(stage, model) is called with stage "random" (weights as
        drawn), "pretrained" and "trained": the model can score at each of them, which shows what training adds.
        checkpoint: where to write the state of the training, and perhaps to go on from.

        Raises ValueError for an argument or samples that no training could mean, FloatingPointError when training
        diverges (in which epoch), DataError for a checkpoint that cannot be written or is of another training.

        Warns with CollapseWarning of a network that can collapse, or that did; with TrainingWarning where soft-boundary
        finds (almost) no sample outside the sphere, so that nothing trains the weights.
        """
        for training in self.trainings(X, on_stage, checkpoint):
            training.run()
        return self

    def trainings(
        self,
        X: ArrayLike,
        on_stage: Callable[[str, DeepSVDD], None] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Iterator[nn.Training]:
        """Pre-training, if any, and training: what `fit` runs. Each is to be run by whoever asks for the next one.

        What `fit` does before, between and after them happens when the next one is asked for. Arguments: as `fit`'s.
        """
        notify = on_stage or (lambda stage, model: None)
        self._check_parameters()
        for part in self._parts(check_training_samples(self, X), checkpoint):
            yield from self._trainings_on(part, notify if part.last else lambda stage, model: None)
        notify("trained", self)

    def _trainings_on(self, part: Part, notify: Callable[[str, DeepSVDD], None]) -> Iterator[nn.Training]:
        """`trainings` on checked samples; what they do not need is the threshold."""
        X, rng, checkpoint = self._prepare(part.X, part.rng), part.rng, part.checkpoint
        self._place_sphere(X)
        risks = warn_before(self, X)
        notify("random", self)

        yield from self._pretrainings(X, rng, checkpoint)
        if self.autoencoder_ is not None:
            self._place_sphere(X, collect=self.statistics == "collected")
            notify("pretrained", self)

        before, training = snapshot(self.network_, X, self.center_, self.nu), self._training(X, rng, checkpoint)
        self.history_ = training.history
        yield training
        self._set_radius(self._solve_radius(X, training.last_batch))
        self.diagnostics_ = warn_after(self, X, before, risks)

    def _prepare(self, X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the network; returns X pre-processed and, if they are large images, cut into patches."""
        self.preprocessing_ = make_preprocessing(self.preprocessing, get_backend(self.backend), self.input_shape_)
        shape = patches.patch_shape(self.input_shape_, self.patch_size)
        X = patches.cut(self.preprocessing_.fit_transform(X), shape).astype(self._dtype, copy=False)
        self.network_ = self._draw_encoder(X, rng, self._dtype)
        self._check_batch_norm(self.network_)
        self.autoencoder_ = None  # until there is one: no earlier fit's
        return X

    def _check_parameters(self) -> None:
        super()._check_parameters()
        nn.Plan.of(self, "pretrain_")
        for name, allowed in _WORDS.items():
            check_choice(getattr(self, name), name, allowed)
        check_number(self.radius_every, "radius_every", 1, integer=True)
        check_number(self.center_epsilon, "center_epsilon", 0)
        check_number(self.quantile_epochs, "quantile_epochs", 0, integer=True)
        if self.patch_size is not None and self.patch_size != "auto":
            check_number(self.patch_size, "patch_size", 8, integer=True)

    def _state(self) -> tuple[Values, Arrays]:
        values, arrays = super()._state()
        values |= saved_values(self, "radius_", "diagnostics_")
        arrays |= {"center": self.center_}
        if self.autoencoder_ is not None:
            self.autoencoder_.add_to(values, arrays)
        return values, arrays

    def _set_state(self, values: Values, arrays: Arrays) -> None:
        restore_values(self, values, radius_=number(0, 1e45), diagnostics_=optional(FIGURES))
        super()._set_state(values, arrays)
        patches.check(self.network_.input_shape, self.input_shape_)
        self.center_ = saved_array(arrays, "center", self.network_.output_shape)
        self.autoencoder_ = Autoencoder.saved(values, arrays, self)
        if hasattr(self, "diagnostics_") != hasattr(self, "history_"):  # both are there once training has ended
            raise ValueError("expected history_ and diagnostics_, or neither of them")
        if hasattr(self, "diagnostics_") and self.diagnostics_["weight_norm_ratio"] is None:  # JSON has no infinity
            self.diagnostics_["weight_norm_ratio"] = np.inf

    def _try(self, X: np.ndarray) -> None:
        super()._try(X)
        if hasattr(self, "diagnostics_"):
            self.diagnostics()

    def transform(self, X: ArrayLike) -> np.ndarray:
        """The embedding phi(x) of every sample, (n, p) float64: what `anomaly_score` measures the distance of to c.

        Of an image that is cut into patches, that of its worst patch.
        """
        check_fitted(self)
        X = self.preprocessing_.transform(check_test_samples(self, X)).astype(self._dtype, copy=False)
        y = nn.outputs(self.network_, patches.cut(X, self.network_.input_shape)).astype(np.float64)
        return patches.worst(y, ((y - self.center_) ** 2).sum(axis=1), len(X))

    @property
    def _n_features_out(self) -> int:
        return len(self.center_)  # scikit-learn names them deepsvdd0, deepsvdd1, ...

    # The sphere: centre and radius of the network as it is now

    def _place_sphere(self, X: np.ndarray, collect: bool = True) -> None:
        """c and R for the present weights, with running statistics collected on X (see `minisvdd.svdd.center`)."""
        if collect:
            centers.collect_statistics(self.network_, X, self.batch_size)
        self.center_ = centers.center_of(self.network_, X, self.center, self.center_epsilon)
        self._set_radius(exact_radius_squared(self._squared_distances(X), self.nu))

    def _set_radius(self, radius_squared: float) -> None:
        self.radius_ = float(np.sqrt(max(radius_squared, 0.0)))
        slack = BOUNDARY_SLACK * radius_squared
        # A soft-boundary score already has R^2 subtracted.
        self.offset_ = float(-slack if self.objective == "soft-boundary" else -radius_squared - slack)

    def _solve_radius(self, X: np.ndarray, last_batch: np.ndarray | None) -> float:
        """R^2 with W fixed, by the rule `radius_update`; "last-batch" has no batch before epoch 0 and takes all."""
        rule = self.radius_update if self.objective == "soft-boundary" else "exact"
        seen = last_batch if rule == "last-batch" and last_batch is not None else self._squared_distances(X)
        return RADIUS_RULES[rule](seen, self.nu)

    def _squared_distances(self, X: np.ndarray) -> np.ndarray:
        return centers.squared_distances(self.network_, X, self.center_)

    def _scores(self, X: np.ndarray) -> np.ndarray:
        d = patches.scores_of_images(self._squared_distances, X, self.network_.input_shape)
        return d - self.radius_**2 if self._fitted("objective") == "soft-boundary" else d

    def _beyond_rounding(self, scores: np.ndarray) -> np.ndarray:
        # It is the squared distances that rounding changes, also where R^2 is subtracted.
        distances = scores + self.radius_**2 if self._fitted("objective") == "soft-boundary" else scores
        return np.asarray(scores + BOUNDARY_SLACK * distances)

    def _calibrated(self) -> list[Detector]:
        return [self] if self.autoencoder_ is None or self.autoencoder is not None else [self, self.autoencoder_]

    def _explanations(self) -> tuple[str, ...]:
        return ("residual",) * (self.autoencoder_ is not None) + ("exchange", "smoothgrad", "gradient", "occlusion")

    def _residuals(self, X: np.ndarray) -> np.ndarray:
        assert self.autoencoder_ is not None  # or `_explanations` would not offer it
        return self.autoencoder_._residuals(X)

    def _score_gradient(self, Z: np.ndarray) -> np.ndarray:
        """s = ||phi(z) - c||^2, less R^2, a constant:  ds/dphi = 2 (phi - c).  Of patches, each its own."""
        z = patches.cut(Z, self.network_.input_shape)
        return patches.together(nn.input_gradients(self.network_, z, lambda _, y: 2 * (y - self.center_)), Z.shape)

    def _set_threshold_by_nu(self, X: np.ndarray) -> None:
        """Of images that are cut: by their scores, where training has set it by those of patches."""
        if self.network_.input_shape == self.input_shape_:
            return
        for detector in self._calibrated():
            scores = detector._beyond_rounding(detector._all_scores(X))
            detector.offset_ = -exact_radius_squared(scores, self.nu)

    # Pre-training

    def _pretrainings(
        self, X: np.ndarray, rng: np.random.Generator, checkpoint: Checkpoint | None
    ) -> Iterator[nn.Training]:
        """The training of the encoder inside an autoencoder; none where weights are taken from a fitted one."""
        self.autoencoder_ = self.autoencoder
        if self.autoencoder is not None:
            load_encoder(self.network_, self.preprocessing_, self.autoencoder)
        elif self.pretrain_epochs:
            self.autoencoder_ = Autoencoder.around(self, rng)
            state = checkpoint.loop("autoencoder", self, X) if checkpoint else None
            yield from self.autoencoder_.trainings_on(X, rng, state)
            # Deep SVDD goes on to train these very arrays: the autoencoder keeps a copy of what it has learnt.
            self.autoencoder_.detach_encoder()
        else:
            warn_of_range(X, self.preprocessing_.name)

    def __sklearn_clone__(self) -> DeepSVDD:
        fresh: DeepSVDD = super().__sklearn_clone__()
        fresh.autoencoder = self.autoencoder  # where training starts: an argument like an array, never fitted anew
        return fresh

    # Training

    def _training(self, X: np.ndarray, rng: np.random.Generator, checkpoint: Checkpoint | None) -> nn.Training:
        """(3) or (4) over the weights; for (3) also, every `radius_every` epochs, over the radius."""
        return nn.Training(
            self.network_,
            self._objective(),
            X,
            nn.Plan.of(self),
            rng,
            label=f"Deep SVDD ({self.objective})",
            verbose=self.verbose,
            before_epoch=self._move_radius,
            columns={
                "radius": partial(radius_seen, self.nu),
                "fraction_outside": partial(fraction_outside_seen, self.nu),
            },
            checkpoint=checkpoint.loop("svdd", self, X) if checkpoint else None,
        )

    def _objective(self) -> nn.OneClass | nn.SoftBoundary:
        center = self.network_.backend.asarray(self.center_, self._dtype)
        if self.objective == "one-class":
            return nn.OneClass(center, self.network_.backend)
        return nn.SoftBoundary(center, self.nu, self.radius_**2, self.network_.backend)

    def _move_radius(self, training: nn.Training) -> None:
        """Every `radius_every` epochs of soft-boundary: R for the weights as they are; in the first ones a quantile."""
        if not isinstance(training.loss, nn.SoftBoundary):
            return
        if training.epoch < self.quantile_epochs:
            training.loss.radius_squared = quantile_radius_squared(self._squared_distances(training.X), self.nu)
        elif training.epoch % self.radius_every == 0:
            training.loss.radius_squared = self._solve_radius(training.X, training.last_batch)

    def save(self, path: str | Path, autoencoder: bool = True) -> None:
        """Write the fitted model to one .npz file (no pickle), replacing it only once it is complete.

        With the arguments that it was fitted with: what `set_params` has changed since is for the next `fit`.
        autoencoder: whether the file keeps that of the pre-training, too, which `explain` can tell most by; scores do
        not need it, and without it a file is a half to a third as large. One with layers of your own is left out.
        """
        model = copy(self)
        model.autoencoder_ = getattr(self, "autoencoder_", None) if autoencoder else None
        save_model(model, path)

    def diagnostics(self) -> Figures:
        """Figures that tell a healthy sphere from a collapsed one, and the signs of collapse (an empty list: none).

        They are explained in `minisvdd.svdd.collapse`. risks: what permits collapse, in words.
        """
        check_fitted(self)
        if not hasattr(self, "diagnostics_"):
            raise NotFittedError("this DeepSVDD has no diagnostics: it was saved before its training ended")
        signs = signs_of_collapse(self.diagnostics_, self.network_, self.center_)
        return {**self.diagnostics_, "signs_of_collapse": signs}
