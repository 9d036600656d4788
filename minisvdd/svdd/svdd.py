"""Deep SVDD (Ruff et al., ICML 2018): the estimator."""

import warnings
from functools import partial

import numpy as np

from ..backends import get_backend
from ..errors import CollapseWarning
from ..files.checkpoint import Checkpoint, LoopState
from ..files.progress import Progress
from ..nn.batches import outputs
from ..nn.losses import OneClass, SoftBoundary
from ..nn.training import train_steps
from ..ops.losses import squared_distances
from ..validation import check_fitted, check_generator, check_milestones, check_number, check_training_samples
from . import center as centers
from .autoencoder import Autoencoder
from .collapse import compare, signs_of_collapse, snapshot, structural_risks
from .detector import BLOCK, TrainedDetector, encoder_for
from .preprocessing import make_preprocessing
from .radius import BOUNDARY_SLACK, RADIUS_RULES, exact_radius_squared, last_batch_radius_squared
from .storage import restore_values, saved_values, storable

OBJECTIVES = ("one-class", "soft-boundary")
_HISTORY = ("epoch", "loss", "radius", "fraction_outside", "learning_rate", "seconds")


@storable
class DeepSVDD(TrainedDetector):
    """Deep Support Vector Data Description: a network that maps normal samples into a small sphere around c.

        one-class      min over W     of  1/n sum_i d_i + lambda/2 sum ||W||^2                                  (4)
        soft-boundary  min over R, W  of  R^2 + 1/(nu n) sum_i max(0, d_i - R^2) + lambda/2 sum ||W||^2         (3)
        score          d(x), for soft-boundary d(x) - R^2,     d(x) = ||phi(x; W) - c||^2                       (5)

    Steps of `fit`: draw the weights; pre-train them in an autoencoder; set c to the mean output
    (`minisvdd.svdd.center`); train W with Adam. Soft-boundary alternates: `radius_every` epochs of W with R fixed, then
    R with W fixed.

    Parameters
    ----------
    objective: "one-class" or "soft-boundary".
    nu: in (0, 1]; upper bound on the fraction of training samples outside the sphere (Proposition 4). For the one-class
        objective it only sets the threshold `offset_`.
    network: name of a network (`minisvdd.nn.networks.NETWORKS`) or a Sequential of your own, which is copied.
    pretrain_epochs, pretrain_milestones, pretrain_weight_decay: autoencoder pre-training; 0 epochs for none.
    epochs, learning_rate, milestones, weight_decay, batch_size: training; the rate is divided by 10 at each milestone.
    center: None for the rule of the paper, or an array (p,) that is used as it is.
    radius_update: "exact" (order statistic over the training set), or "last-batch", "authors-theano" to compare.
    radius_every: k, epochs between two updates of R.
    backend: "numpy", "emulator", "cuda" or a backend object.
    random_state: int, None or numpy.random.Generator.   verbose: 0 is silent.
    center_epsilon: coordinates of c nearer to 0 are moved to +-center_epsilon.
    slope: of the leaky ReLUs of a named network.   decoder: for pre-training a network of your own.
    preprocessing: "gcn-l1", "standardize" or None; computed from the training samples and kept with the model.
    autoencoder: a fitted Autoencoder of the same network, whose encoder is taken instead of pre-training.

    Attributes
    ----------
    network_: the trained encoder phi.   center_: (p,) float64.   radius_: R, a length (for one-class: the radius that
        leaves a fraction nu outside).   offset_: threshold on `score_samples`.
    history_: lists per epoch: epoch, loss (without weight decay), radius, fraction_outside, learning_rate, seconds.
    autoencoder_: the pre-trained Autoencoder, or None.
    """

    def __init__(
        self,
        objective="one-class",
        nu=0.1,
        network="mnist_lenet",
        pretrain_epochs=350,
        epochs=250,
        learning_rate=1e-4,
        milestones=(150,),
        weight_decay=1e-6,
        batch_size=200,
        center=None,
        radius_update="exact",
        radius_every=5,
        backend="numpy",
        random_state=0,
        verbose=1,
        *,
        pretrain_milestones=(250,),
        pretrain_weight_decay=1e-6,
        center_epsilon=0.1,
        slope=0.1,
        decoder=None,
        preprocessing=None,
        autoencoder=None,
    ):
        self.objective = objective
        self.nu = nu
        self.network = network
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

    def fit(self, X, y=None, on_stage=None, checkpoint: Checkpoint | None = None) -> "DeepSVDD":
        """Train on normal samples.

        X: (n, C, H, W) or (n, D); y is ignored.  on_stage(stage, model) is called with stage "random" (weights as
        drawn), "pretrained" and "trained": the model can score at each of them, which shows what training adds.
        checkpoint: where to write the state of the training, and perhaps to go on from (numpy backend only).
        Raises ValueError for bad input, FloatingPointError when training diverges, DataError when a checkpoint cannot
        be written or is of another training; warns with CollapseWarning.
        """
        for _ in self.fit_steps(X, on_stage, checkpoint):
            pass
        return self

    def fit_steps(self, X, on_stage=None, checkpoint=None):
        """`fit` in pieces: a generator that yields whenever an epoch has been started, for `training.train_many`."""
        self._check_parameters()
        X = check_training_samples(self, X)
        rng = check_generator(self.random_state)
        notify = on_stage or (lambda stage, model: None)
        self.preprocessing_ = make_preprocessing(self.preprocessing, get_backend(self.backend))
        X = self.preprocessing_.fit_transform(X)

        self.network_ = encoder_for(self.network, self.input_shape_, self.slope)
        self.network_.build(self.input_shape_, rng, backend=get_backend(self.backend))
        self._check_batch_norm(self.network_)
        self._place_sphere(X)
        for risk in structural_risks(self.network_, self.center):
            warnings.warn(f"this network can collapse: {risk}", CollapseWarning, stacklevel=2)
        notify("random", self)

        if (yield from self._pretrain(X, rng, checkpoint)):
            self._place_sphere(X)
            notify("pretrained", self)

        yield from self._train(X, rng, checkpoint)
        for sign in signs_of_collapse(self.figures_, self.network_, self.center):
            warnings.warn(f"hypersphere collapse: {sign}", CollapseWarning, stacklevel=2)
        notify("trained", self)

    def _check_parameters(self):
        super()._check_parameters()
        for name, allowed in (("objective", OBJECTIVES), ("radius_update", RADIUS_RULES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected one of {list(allowed)}")
        check_number(self.weight_decay, "weight_decay", 0)
        check_milestones(self.milestones)
        check_number(self.pretrain_epochs, "pretrain_epochs", 0, integer=True)
        check_number(self.radius_every, "radius_every", 1, integer=True)
        check_number(self.center_epsilon, "center_epsilon", 0)
        check_number(self.slope, "slope", 0, 1)

    def _state(self):
        values, _ = super()._state()
        return {**values, **saved_values(self, "radius_", "figures_")}, {"center": self.center_}

    def _set_state(self, values, arrays):
        super()._set_state(values, arrays)
        restore_values(self, values, radius_=float, figures_=dict)
        self.center_, self.autoencoder_ = arrays["center"], None
        if self.center_.shape != self.network_.output_shape:
            raise ValueError(f"center has shape {self.center_.shape}, expected {self.network_.output_shape}")

    # The sphere: centre and radius of the network as it is now

    def _place_sphere(self, X):
        """c and R for the present weights, with running statistics collected on X (see `minisvdd.svdd.center`)."""
        centers.collect_statistics(self.network_, X, self.batch_size)
        if self.center is None:
            mean = centers.mean_output(self.network_, X)
            self.center_ = centers.move_from_zero(mean, self.center_epsilon)
        else:
            self.center_ = np.array(self.center, dtype=np.float64)
            if self.center_.shape != self.network_.output_shape or not np.isfinite(self.center_).all():
                raise ValueError(
                    f"center has shape {self.center_.shape}: expected {self.network_.output_shape}, finite numbers"
                )
        self._set_radius(exact_radius_squared(self._squared_distances(X), self.nu))

    def _set_radius(self, radius_squared):
        self.radius_ = float(np.sqrt(max(radius_squared, 0.0)))
        slack = BOUNDARY_SLACK * radius_squared
        # A soft-boundary score already has R^2 subtracted.
        self.offset_ = float(-slack if self.objective == "soft-boundary" else -radius_squared - slack)

    def _squared_distances(self, X):
        """d_i of pre-processed samples in evaluation mode, block by block.  Returns (n,) float64."""
        distances = np.empty(len(X))
        for first in range(0, len(X), BLOCK):
            block = slice(first, first + BLOCK)
            distances[block] = ((outputs(self.network_, X[block]) - self.center_) ** 2).sum(axis=1)
        return distances

    def _scores(self, X):
        d = self._squared_distances(X)
        return d - self.radius_**2 if self.objective == "soft-boundary" else d

    # Pre-training and training

    def _pretrain(self, X, rng, checkpoint):
        """Steps that train the encoder inside an autoencoder, or take a fitted one's weights; return whether either."""
        self.autoencoder_ = self.autoencoder
        if self.autoencoder is not None:
            self._load_encoder(self.autoencoder)
        elif self.pretrain_epochs:
            self.autoencoder_ = Autoencoder(
                network=self.network,
                decoder=self.decoder,
                epochs=self.pretrain_epochs,
                learning_rate=self.learning_rate,
                milestones=self.pretrain_milestones,
                weight_decay=self.pretrain_weight_decay,
                batch_size=self.batch_size,
                slope=self.slope,
                nu=self.nu,
                preprocessing=self.preprocessing,
                backend=self.backend,
                verbose=self.verbose,
            )
            self.autoencoder_.preprocessing_ = self.preprocessing_
            if X.ndim == 2:
                self.autoencoder_.n_features_in_ = X.shape[1]
            loop = checkpoint and partial(checkpoint.loop, "autoencoder", self)
            yield from self.autoencoder_.fit_encoder_steps(self.network_, X, rng, loop)
            # Deep SVDD goes on to train these very arrays: the autoencoder keeps a copy of what it has learnt.
            self.autoencoder_.detach_encoder()
        return self.autoencoder_ is not None

    def _load_encoder(self, autoencoder):
        check_fitted(autoencoder)
        if autoencoder.preprocessing != self.preprocessing:
            raise ValueError(
                f"autoencoder was trained with preprocessing={autoencoder.preprocessing!r}: "
                f"expected {self.preprocessing!r}, as here"
            )
        encoder = autoencoder.network_.layers[0]
        try:
            self.network_.load_arrays({**encoder.params, **encoder.buffers})
        except (KeyError, ValueError) as error:
            raise ValueError(f"autoencoder: its encoder is not of this network: {error}") from None

    def _train(self, X, rng, checkpoint):
        """Steps that minimise (3) or (4) over the weights; for (3) solve for the radius every `radius_every` epochs."""
        start = snapshot(self.network_, self._squared_distances(X), self.nu)
        objective = self._objective()
        seen = _SeenDistances(objective)
        self.history_ = {key: [] for key in _HISTORY}
        progress = Progress(f"Deep SVDD ({self.objective}), epoch", self.epochs, self.verbose)

        def before_epoch(epoch):
            if self.objective == "soft-boundary" and epoch % self.radius_every == 0:
                objective.radius_squared = self._solve_radius(X, seen.last_batch)

        def after_epoch(epoch, loss, learning_rate, seconds):
            distances = np.concatenate(seen.batches)
            fixed = self.objective == "soft-boundary"
            squared = objective.radius_squared if fixed else exact_radius_squared(distances, self.nu)
            outside = float((distances > squared).mean())
            row = (epoch + 1, loss, float(np.sqrt(squared)), outside, learning_rate, seconds)
            for key, value in zip(_HISTORY, row):
                self.history_[key].append(value)
            progress.update(epoch + 1, f"loss {loss:.4g}")

        yield from train_steps(
            self.network_,
            seen,
            X,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            milestones=self.milestones,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            rng=rng,
            before_epoch=before_epoch,
            after_epoch=after_epoch,
            checkpoint=checkpoint and checkpoint.loop("svdd", self, X, self._loop_state(objective, seen)),
        )
        self._set_radius(self._solve_radius(X, seen.last_batch))
        self.figures_ = compare(start, snapshot(self.network_, self._squared_distances(X), self.nu))

    def _loop_state(self, objective, seen):
        """What a checkpoint must hold beside network and optimiser: R^2, the last batch's distances, the history."""
        soft = self.objective == "soft-boundary"

        def get():
            values = {"history": self.history_, "radius_squared": objective.radius_squared if soft else None}
            return values, {"last_batch": seen.last_batch}

        def put(values, arrays):
            self.history_, seen.last_batch = values["history"], arrays["last_batch"]
            if soft:
                objective.radius_squared = values["radius_squared"]

        return LoopState(get, put)

    def _objective(self):
        center = self.network_.backend.asarray(self.center_, np.float32)
        if self.objective == "one-class":
            return OneClass(center, self.network_.backend)
        return SoftBoundary(center, self.nu, self.radius_**2, self.network_.backend)

    def _solve_radius(self, X, last_batch):
        """R^2 with W fixed, by the rule `radius_update`; "last-batch" has no batch before epoch 0 and takes all."""
        rule = RADIUS_RULES[self.radius_update if self.objective == "soft-boundary" else "exact"]
        if rule is last_batch_radius_squared and last_batch is not None:
            return rule(last_batch, self.nu)
        return rule(self._squared_distances(X), self.nu)

    def diagnostics(self) -> dict:
        """Figures that tell a healthy sphere from a collapsed one, and the signs of collapse (an empty list: none).

        score_spread_ratio, radius_ratio, weight_norm_ratio compare with the network before training; relative_spread is
        standard deviation over mean of the training scores; distinct_fraction counts different scores.
        """
        check_fitted(self)
        return {**self.figures_, "signs_of_collapse": signs_of_collapse(self.figures_, self.network_, self.center)}


class _SeenDistances:
    """The objective as `train_steps` calls it; keeps the squared distances of an epoch, as training saw them."""

    def __init__(self, objective):
        self.objective = objective
        self.per_sample = self.last_batch = None
        self.batches = []

    def __call__(self, outputs, inputs):
        self.per_sample = squared_distances.on(self.objective.backend)(outputs, self.objective.center)
        return self.objective(outputs)

    def end_epoch(self, batches):
        self.batches = [batch.astype(np.float64) for batch in batches]
        self.last_batch = self.batches[-1]
