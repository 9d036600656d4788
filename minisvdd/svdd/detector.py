"""What every detector of this library shares: scikit-learn's outlier contract on top of `anomaly_score`."""

from __future__ import annotations

from copy import copy, deepcopy
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OutlierMixin

from .. import nn
from ..validation import Seed, check_fitted, check_number, check_test_samples
from .explain import SMOOTHING, explain
from .preprocessing import Preprocessing
from .storage import Arrays, Values, restore_values, save_model, saved_values

# Samples scored at a time: bounds what copies of a large (perhaps memory-mapped) array take. A multiple of the batches
# of evaluation, so that the same samples share a batch with and without it.
BLOCK = 4000


class Detector(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Anything with a score. Subclasses define `fit` and `_scores(X)`; `offset_` is their threshold.

    Signs: `anomaly_score` is large for anomalies, as in the paper; `score_samples` is its negative, as in scikit-learn;
    `decision_function = score_samples - offset_` is negative outside; `predict` is +1 for inliers, -1 for outliers.
    """

    nu: float
    preprocessing_: Preprocessing
    input_shape_: tuple[int, ...]
    offset_: float

    def anomaly_score(self, X: ArrayLike) -> np.ndarray:
        """Anomaly score of every sample, larger = more anomalous.  X: (n, C, H, W) or (n, D); returns (n,) float64.

        A large array is taken in blocks: of a memory-mapped file (numpy.load with mmap_mode="r"), little is in memory.

        Raises ValueError, naming the first such sample, when values are so large that a score is not finite.
        """
        check_fitted(self)
        if not isinstance(X, np.ndarray) or len(np.atleast_1d(X)) <= BLOCK:
            return self._checked_scores(X, 0)
        model = self._for_blocks()
        return np.concatenate(
            [model._checked_scores(X[first : first + BLOCK], first) for first in range(0, len(X), BLOCK)]
        )

    def _for_blocks(self) -> Detector:
        """The detector that scores block after block."""
        return self

    def _scores(self, X: np.ndarray) -> np.ndarray:
        """Scores of pre-processed samples."""
        raise NotImplementedError

    def _checked_scores(self, X: ArrayLike, first: int) -> np.ndarray:
        """Scores of one block; `first` is the index of its first sample in what the user handed over."""
        X = check_test_samples(self, X, first)
        scores = self._scores(self.preprocessing_.transform(X))
        if not np.isfinite(scores).all():
            worst = int(np.argmin(np.isfinite(scores)))
            raise ValueError(
                f"X: sample {first + worst} has the score {scores[worst]}: "
                f"its values, up to {np.abs(X[worst]).max():.3g}, overflow in the network"
            )
        return scores

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """The negative of `anomaly_score` (scikit-learn's sign: larger = more normal)."""
        return -self.anomaly_score(X)

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """score_samples(X) - offset_: negative for samples beyond the threshold that `nu` sets."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> np.ndarray:
        """+1 for inliers (on or inside the threshold), -1 for outliers."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(
        self, X: ArrayLike, method: str = "auto", random_state: Seed = 0, smoothing: float = SMOOTHING
    ) -> np.ndarray:
        """Where is it? The share of every pixel in the anomaly score: heat maps, >= 0, larger = more to blame.

        X: images (n, C, H, W), returns (n, H, W) float64; or features (n, D), returns (n, D).
        method: "residual" (of the autoencoder), "exchange" or "gradient" or "smoothgrad" (of the score's gradient),
        "occlusion" (windows replaced, slow); "auto" is the best that this detector has. `minisvdd.svdd.explain` has
        their formulas.   random_state: of the draws of "smoothgrad" and "occlusion".
        smoothing: standard deviation, in shorter sides of the image, of the Gaussian that smooths a heat map; 0: none.

        Raises ValueError for samples of another shape and for a method that this detector does not have.
        """
        return explain(self, X, method, random_state, smoothing)

    def _explanations(self) -> tuple[str, ...]:
        """The methods that `explain` has here, the best first."""
        return ("occlusion",)

    def _score_gradient(self, Z: np.ndarray) -> np.ndarray:
        """ds/dz at pre-processed samples, float64, where a detector has a gradient."""
        raise NotImplementedError

    def _residuals(self, X: np.ndarray) -> np.ndarray:
        """How far every entry is from what the detector would expect there, where it can say that."""
        raise NotImplementedError

    def _check_parameters(self) -> None:
        """Refuse values that no training could mean; each error names the argument."""
        check_number(self.nu, "nu", 0, 1, low_open=True)


class TrainedDetector(Detector):
    """A detector with a network that is trained by gradients: it has epochs and batches, and can be saved.

    Fitted, it has `network_`, `history_` and `offset_`; a subclass with more of them extends both methods of its state.
    """

    batch_size: int
    network_: nn.Sequential
    history_: dict[str, list[float]]

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one .npz file (no pickle), replacing it only once it is complete."""
        save_model(self, path)

    def _for_blocks(self) -> Detector:
        """Cast for evaluation once, not for every block."""
        model = copy(self)
        model.network_ = nn.for_evaluation(self.network_, self.input_shape_)
        return model

    def _state(self) -> tuple[Values, Arrays]:
        """What a file holds beside network, pre-processing and arguments: see `minisvdd.svdd.storage`."""
        return saved_values(self, "offset_", "history_"), {}

    def _set_state(self, values: Values, arrays: Arrays) -> None:
        self._check_parameters()
        restore_values(self, values, offset_=float, history_=dict)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        nn.Plan.of(self)

    def _check_batch_norm(self, network: nn.Sequential) -> None:
        if self.batch_size < 2 and any(isinstance(layer, nn.BatchNorm) for layer in network.flat_layers()):
            raise ValueError(
                f"batch_size={self.batch_size}: batch norm has no variance on a batch of one; use 2 or more"
            )


def encoder_for(network: str | nn.Sequential | None, input_shape: tuple[int, ...], slope: float) -> nn.Sequential:
    """The encoder that the argument `network` means, not yet built.

    A name (`minisvdd.nn.networks`), None for the network made for this shape, or a Sequential, which is copied.
    """
    if isinstance(network, nn.Sequential):
        return deepcopy(network)
    if isinstance(network, str | None):
        return nn.make_encoder(network or nn.network_for(input_shape), input_shape, slope)
    raise ValueError(f"network={network!r}: expected the name of a network, None or a Sequential")


def decoder_for(
    network: str | nn.Sequential | None, decoder: nn.Sequential | None, input_shape: tuple[int, ...], slope: float
) -> nn.Sequential:
    """The decoder for `encoder_for(network, ...)`: by the same name, or a copy of the user's Sequential."""
    if isinstance(decoder, nn.Sequential):
        return deepcopy(decoder)
    if isinstance(network, str | None):
        return nn.make_decoder(network or nn.network_for(input_shape), input_shape, slope)
    raise ValueError("a network of your own needs a decoder=Sequential(...) to pre-train, or pretrain_epochs=0")
