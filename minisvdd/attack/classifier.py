"""A classifier from the same layers: softmax cross-entropy on a network's logits. The Boundary Attack's opponent."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin

from ..backends import Backend, get_backend
from ..files.checkpoint import Checkpoint
from ..files.records import TEXT, optional
from ..nn.batches import outputs
from ..nn.losses import SoftmaxCrossEntropy
from ..nn.networks import make_classifier
from ..nn.training import Plan, Training
from ..svdd.preprocessing import make_preprocessing
from ..svdd.storage import HISTORY, restore_values, save_model, saved_array, saved_values, storable
from ..validation import (
    Seed,
    check_fitted,
    check_generator,
    check_number,
    check_numbers,
    check_test_samples,
    check_training_samples,
)
from .augmentation import Augmentation, mirror

_BEYOND = 0.05  # of [0, 1], in which versions are drawn: what lies further out would become black or white


@storable
class SoftmaxClassifier(ClassifierMixin, BaseEstimator):
    """LeNet with softmax cross-entropy on images (n, C, H, W) in [0, 1]; defaults are made for 32x32 traffic signs.

        min over weights of  -1/n sum_i log softmax(f(x_i))[y_i] + lambda/2 sum ||W||^2

    Parameters
    ----------
    channels : sequence of int, default=(16, 32, 64)
        Filters of each module of the network (`minisvdd.nn.networks.make_classifier`).
    kernel_size : int, default=5
        Of the filters.
    hidden : int, default=128
        Units of the dense layer before the logits.
    epochs : int, default=30
        Epochs of training with Adam.
    learning_rate : float, default=2e-3
        Adam's; divided by 10 at each milestone.
    milestones : sequence of int, default=(20, 27)
        Epochs, counted from 0.
    weight_decay : float, default=1e-4
        lambda above.
    batch_size : int, default=64
        Images in a training step.
    augment : bool, default=True
        Draw a new random version of every training image in every epoch (`minisvdd.attack.augmentation`).
    mirrors : sequence of pairs, default=()
        Pairs of labels (a, b), a = b included: with `augment`, an a in the mirror counts as a b, and a b as an a.
    preprocessing : {"gcn-l1", "min-max"} or None, default="gcn-l1"
        Brightness and contrast of a photograph say nothing about the sign; None for images as they are.
    backend : {"plain", "numpy", "emulator", "cuda"} or Backend, default="numpy"
        Where it trains and predicts.
    random_state : int, Generator or None, default=0
        A seed or a NumPy generator: of weights, batches and versions.
    verbose : int, default=1
        0 is silent.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The labels in ascending order.
    network_ : Sequential
        Maps images to K logits.
    history_ : dict of lists
        One entry per epoch: epoch, loss (without weight decay), learning_rate, seconds.
    preprocessing_ : Preprocessing
        With its constants.
    input_shape_ : tuple of int
        (C, H, W) of one image.

    References
    ----------
    Brendel et al., "Decision-Based Adversarial Attacks", ICLR 2018: what it is attacked by.
    Ruff et al., "Deep One-Class Classification", ICML 2018: section 4.3 (adversarial stop signs).

    Examples
    --------
    >>> from minisvdd import SoftmaxClassifier, load_dataset
    >>> digits = load_dataset("digits")
    >>> X, y = digits.train_images[:200] / digits.white, digits.train_labels[:200]
    >>> model = SoftmaxClassifier((4, 4), 3, 8, epochs=2, augment=False, verbose=0).fit(X, y)
    >>> model.predict_proba(X[:5]).shape
    (5, 10)
    >>> model.predict(X[:5]).shape
    (5,)
    """

    def __init__(
        self,
        channels: Sequence[int] = (16, 32, 64),
        kernel_size: int = 5,
        hidden: int = 128,
        epochs: int = 30,
        learning_rate: float = 2e-3,
        milestones: Sequence[int] = (20, 27),
        weight_decay: float = 1e-4,
        batch_size: int = 64,
        augment: bool = True,
        mirrors: Sequence[tuple[Any, Any]] = (),
        preprocessing: str | None = "gcn-l1",
        backend: str | Backend = "numpy",
        random_state: Seed = 0,
        verbose: int = 1,
    ) -> None:
        self.channels = channels
        self.kernel_size = kernel_size
        self.hidden = hidden
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.milestones = milestones
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.augment = augment
        self.mirrors = mirrors
        self.preprocessing = preprocessing
        self.backend = backend
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike, checkpoint: Checkpoint | None = None) -> "SoftmaxClassifier":
        """Train on images X (n, C, H, W) with labels y (n,).

        checkpoint: where to write the state of the training, and perhaps to go on from.

        Raises
        ------
        ValueError
            For an argument, images or labels that no training could mean, such as one class alone; it names them.
        FloatingPointError
            When training diverges; it says in which epoch.
        DataError
            When a checkpoint cannot be written or is of another training.
        """
        for training in self.trainings(X, y, checkpoint):
            training.run()
        return self

    def trainings(self, X: ArrayLike, y: ArrayLike, checkpoint: Checkpoint | None = None) -> Iterator[Training]:
        """The one training that `fit` runs; what `fit` does after it is done when the next one is asked for."""
        check_number(self.batch_size, "batch_size", 2, integer=True)
        plan = Plan.of(self)
        X, y = check_training_samples(self, X), np.asarray(y)
        classes, labels = self._check_labels(X, y)
        rng = check_generator(self.random_state)
        self.preprocessing_ = make_preprocessing(self.preprocessing).fit(X)
        self.network_ = make_classifier(len(classes), self.channels, self.kernel_size, self.hidden)
        self.network_.build(self.input_shape_, rng, backend=get_backend(self.backend))
        draw = partial(self._draw_versions, X, labels, _partners(self.mirrors, classes))
        training = Training(
            self.network_,
            SoftmaxCrossEntropy(self.network_.backend),
            self.preprocessing_.transform(X),
            plan,
            rng,
            targets=labels,
            label="classifier",
            verbose=self.verbose,
            before_epoch=draw if self.augment else None,
            checkpoint=checkpoint and checkpoint.loop("classifier", self, X, labels),
        )
        self.history_ = training.history
        yield training
        self.classes_ = classes

    def _check_labels(self, X, y):
        """The classes of y in order, and the index of each label among them."""
        if y.dtype == object:  # texts, as pandas has them: a file holds no objects
            y = np.array(y.tolist())
        if y.shape != (len(X),):
            raise ValueError(f"y has shape {y.shape}: expected one label for each of {len(X)} images")
        if self.augment and X.ndim != 4:
            raise ValueError(f"augment=True expects images (n, C, H, W), got samples of shape {X.shape[1:]}")
        if self.augment and (X.min() < -_BEYOND or X.max() > 1 + _BEYOND):
            raise ValueError(f"augment=True expects images in [0, 1], got values from {X.min():g} to {X.max():g}")
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y holds one class only, {classes[0]!r}: a classifier needs at least two")
        return classes, labels

    def _draw_versions(self, X, labels, partners, training):
        """Before every epoch: another random version of every image."""
        mirrored, targets = mirror(X, labels, partners, training.rng)
        training.load(self.preprocessing_.transform(Augmentation()(mirrored, training.rng)), targets)

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Logits (n, K) in evaluation mode."""
        check_fitted(self)
        return outputs(self.network_, self.preprocessing_.transform(check_test_samples(self, X)))

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Softmax of the logits, (n, K) float64: rows sum to 1."""
        logits = self.decision_function(X).astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The label with the largest logit for every image, (n,)."""
        return self.classes_[self.decision_function(X).argmax(axis=1)]

    def save(self, path: str | Path) -> None:
        """Write the fitted classifier to one .npz file (no pickle); `minisvdd.load_model` reads it."""
        save_model(self, path)

    def _state(self):
        return saved_values(self, "history_", "data_hash_"), {"classes": self.classes_}

    def _set_state(self, values, arrays):
        check_numbers(self.channels, "channels", 1)
        restore_values(self, values, history_=HISTORY, data_hash_=optional(TEXT))  # the hash is the attack's own
        self.classes_ = saved_array(arrays, "classes", self.network_.output_shape, kinds="biufU")
        if self.classes_.ndim != 1 or not np.array_equal(np.unique(self.classes_), self.classes_):
            raise ValueError("classes: expected different labels, ascending")

    def _try(self, X):
        """Do with images all that a fitted model does: before a loaded one is handed out."""
        self.predict(X)
        if not np.isfinite(self.decision_function(X)).all():
            raise ValueError("its logits of an image of zeros are not finite: overflow in the network")


def _partners(mirrors, classes):
    """The index of each class's mirror image, -1 where there is none.  Returns (K,)."""
    partners = np.full(len(classes), -1)
    for pair in mirrors:
        if not np.isin(pair, classes).all():
            raise ValueError(f"mirrors: {tuple(pair)} names a label that is not in y")
        first, second = np.searchsorted(classes, pair)
        partners[first], partners[second] = second, first
    return partners
