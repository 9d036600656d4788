"""What every detector of this library shares: scikit-learn's outlier contract on top of `anomaly_score`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.metaestimators import available_if

from .. import nn
from ..backends import Backend, get_backend
from ..errors import ThresholdWarning
from ..files.records import one_of
from ..validation import (
    Seed,
    check_choice,
    check_fitted,
    check_flag,
    check_generator,
    check_number,
    check_test_samples,
    fitted_params,
)
from . import conformal
from .explain import SMOOTHING, explain
from .preprocessing import Preprocessing
from .radius import BOUNDARY_SLACK
from .storage import HISTORY, SCORE, Arrays, Values, restore_values, save_model, saved_values

# Samples scored at a time: bounds what copies of a large (perhaps memory-mapped) array take. A multiple of the batches
# of evaluation, so that the same samples share a batch with and without it.
BLOCK = 4000
FIRST_FILTERS = ("random", "dictionary", "mixed dictionary")
THRESHOLDS = ("auto", "holdout", "nu")

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..files.checkpoint import Checkpoint


class Detector(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Anything with a score. Subclasses define `fit` and `_scores(X)`; `offset_` is their threshold.

    Signs: `anomaly_score` is large for anomalies, as in the paper; `score_samples` is its negative, as in scikit-learn;
    `decision_function = score_samples - offset_` is negative outside; `predict` is +1 for inliers, -1 for outliers.

    The threshold is an order statistic of scores: of normal samples held out of training, which new normal samples
    exceed at a rate of at most `false_alarm_rate` (`minisvdd.svdd.conformal`); or of the training samples, of which it
    leaves a fraction nu outside (`minisvdd.svdd.radius`), and of new normal ones more.
    """

    nu: float
    threshold: str
    false_alarm_rate: float
    holdout: float
    refit: bool
    preprocessing_: Preprocessing
    input_shape_: tuple[int, ...]
    offset_: float
    threshold_kind_: str
    holdout_scores_: np.ndarray | None
    false_alarm_rate_: float | None
    decision_scores_: np.ndarray

    # About so many samples are held out at most, where scoring one is dear.
    _most_held_out: float = np.inf

    def anomaly_score(self, X: ArrayLike) -> np.ndarray:
        """Anomaly score of every sample, larger = more anomalous.  X: (n, C, H, W) or (n, D); returns (n,) float64.

        A large array is taken in blocks: of a memory-mapped file (numpy.load with mmap_mode="r"), little is in memory.

        Raises ValueError, naming the first such sample, when values are so large that a score is not finite.
        """
        check_fitted(self)
        return self._all_scores(X, is_checked=False)

    def _all_scores(self, X: ArrayLike, is_checked: bool = True) -> np.ndarray:
        """`anomaly_score`, also of a detector that has no threshold yet, and of samples that have been checked."""
        block = min(BLOCK, 8 * nn.evaluation_batch(self.input_shape_))
        if not isinstance(X, np.ndarray) or len(np.atleast_1d(X)) <= block:
            return self._block_scores(X, 0, is_checked)
        model = self._for_blocks()
        return np.concatenate(
            [model._block_scores(X[first : first + block], first, is_checked) for first in range(0, len(X), block)]
        )

    def _for_blocks(self) -> Detector:
        """The detector that scores block after block."""
        return self

    def _scores(self, X: np.ndarray) -> np.ndarray:
        """Scores of pre-processed samples."""
        raise NotImplementedError

    def _block_scores(self, X: ArrayLike, first: int, is_checked: bool) -> np.ndarray:
        """Scores of one block; `first` is the index of its first sample in what the user handed over."""
        X = np.asarray(X) if is_checked else check_test_samples(self, X, first)
        if not len(X):
            return np.empty(0)
        scores = self._scores(self.preprocessing_.transform(X))
        if not np.isfinite(scores).all():
            worst = int(np.argmin(np.isfinite(scores)))
            raise ValueError(
                f"X: sample {first + worst} has the score {scores[worst]}: "
                f"its values, up to {np.abs(X[worst]).max():.3g}, overflow"
            )
        return scores

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """The negative of `anomaly_score` (scikit-learn's sign: larger = more normal)."""
        return -self.anomaly_score(X)

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """score_samples(X) - offset_: negative for samples beyond the threshold."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> np.ndarray:
        """+1 for inliers (on or inside the threshold), -1 for outliers."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _fitted(self, name: str) -> Any:
        """An argument as it was in `fit`: what was fitted scores so, whatever `set_params` says since."""
        return fitted_params(self)[name]

    # The threshold by held-out normal samples

    def p_value(self, X: ArrayLike) -> np.ndarray:
        """What share of normal samples is at least as anomalous as each of these, by those held out.  Returns (n,).

        (1 + #{held-out scores >= s}) / (m + 1), so that `predict(X) == -1` is `p_value(X) <= false_alarm_rate_`.
        Raises ValueError where the threshold is nu's: training samples say nothing about new ones.
        """
        check_fitted(self)
        self._need_holdout()
        return self.p_value_of(self.anomaly_score(X))

    def p_value_of(self, scores: ArrayLike) -> np.ndarray:
        """`p_value` of samples whose anomaly scores, (n,), are known."""
        return conformal.p_values(self._beyond_rounding(self._need_holdout()), scores)

    def calibrate(self, X_normal: ArrayLike, false_alarm_rate: float | None = None) -> Self:
        """Set the threshold by new normal samples, (m, ...) that training has not seen.

        false_alarm_rate: that the threshold shall keep; None for the argument of the constructor.
        Raises ValueError where m < 1 / false_alarm_rate - 1: too few to promise so little.
        """
        check_fitted(self)
        rate = self.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
        self._set_threshold(np.sort(self.anomaly_score(X_normal)), rate)
        return self

    def set_false_alarm_rate(self, false_alarm_rate: float) -> Self:
        """Move the threshold to another rate of false alarms, in (0, 1), by the scores of the samples held out."""
        check_fitted(self)
        self._set_threshold(self._need_holdout(), false_alarm_rate)
        return self

    def _need_holdout(self) -> np.ndarray:
        if self.holdout_scores_ is None:
            raise ValueError(
                "the threshold is nu's, no normal samples were held out of training: call calibrate(X_normal) first, "
                "or train with threshold='holdout'"
            )
        return self.holdout_scores_

    def _set_threshold(self, holdout_scores: np.ndarray, rate: float) -> None:
        """The threshold by these scores, (m,) ascending."""
        conformal.check_rate(rate, "false_alarm_rate")
        if (least := conformal.least_holdout(rate)) > len(holdout_scores):
            raise ValueError(
                f"false_alarm_rate={rate!r}: expected at least {least} normal samples to set the threshold by, "
                f"got {len(holdout_scores)}"
            )
        self.offset_ = -conformal.conformal_threshold(self._beyond_rounding(holdout_scores), rate)
        self.threshold_kind_, self.holdout_scores_, self.false_alarm_rate_ = "holdout", holdout_scores, float(rate)

    def _forget_holdout(self) -> None:
        self.threshold_kind_, self.holdout_scores_, self.false_alarm_rate_ = "nu", None, None

    def _set_threshold_by_nu(self, X: np.ndarray) -> None:
        """nu's threshold, by the training samples X: for detectors that do not set `offset_` on the way."""

    def _beyond_rounding(self, scores: np.ndarray) -> np.ndarray:
        """The scores, each raised by more than it could differ when summed in another order (in another batch)."""
        return np.asarray(scores + BOUNDARY_SLACK * np.abs(scores))

    def _parts(self, X: np.ndarray, checkpoint: Checkpoint | None = None) -> Iterator[Part]:
        """What `fit` trains on, checked samples X: all of them, or those not held out, and with refit then all.

        Sets the threshold once whoever asks has trained on the last part. The hold-out is the first thing that is drawn
        from `random_state`, and drawn only when one is taken.
        """
        self._forget_holdout()
        rng = check_generator(getattr(self, "random_state", 0))
        split = self._hold_out(len(X), rng)
        if split is None:
            yield Part(X, rng, checkpoint, True)
            self._set_threshold_by_nu(X)
        else:
            kept, held = X[split[0]], X[split[1]]
            yield Part(kept, rng, checkpoint and checkpoint.part("", held), not self.refit)
            scores = [np.sort(detector._all_scores(held)) for detector in self._calibrated()]
            if self.refit:
                rng = check_generator(getattr(self, "random_state", 0))
                yield Part(X, rng, checkpoint and checkpoint.part("refit-", held), True)
            for detector, values in zip(self._calibrated(), scores):
                detector._set_threshold(values, self.false_alarm_rate)
        self._note_training_scores(X)

    def _hold_out(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
        """Indices (kept, held out) of n samples; None where the threshold is to be nu's."""
        if self.threshold == "nu":
            return None
        share = min(self.holdout, self._most_held_out / n)
        m = conformal.holdout_size(n, share, self.false_alarm_rate)
        if m == 0:
            least = conformal.least_holdout(self.false_alarm_rate)
            few = (
                f"false_alarm_rate={self.false_alarm_rate!r} needs {max(2 * least, least + 2)} normal samples or more, "
                f"{least} of them to hold out of training, got {n}"
            )
            if self.threshold == "holdout":
                raise ValueError(f"threshold='holdout': {few}")
            sentence = (
                f"{few}: the threshold is nu's, new normal samples will raise more alarms than nu={self.nu!r} says"
            )
            warnings.warn(sentence, ThresholdWarning, stacklevel=4)
            return None
        order = rng.permutation(n)
        return np.sort(order[m:]), np.sort(order[:m])

    def _calibrated(self) -> list[Detector]:
        """The detectors that the held-out samples set the threshold of."""
        return [self]

    # Where is it?

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
        check_choice(self.threshold, "threshold", THRESHOLDS)
        conformal.check_rate(self.false_alarm_rate, "false_alarm_rate")
        check_number(self.holdout, "holdout", 0, 0.5, low_open=True)
        check_flag(self.refit, "refit")

    # The same in the words of PyOD, but for `contamination`: scikit-learn's checks take that for an argument

    def _note_training_scores(self, X: np.ndarray) -> None:
        self.decision_scores_ = self._all_scores(X)

    @property
    def threshold_(self) -> float:
        """-offset_: the anomaly score beyond which samples are outliers."""
        return -self.offset_

    @property
    def labels_(self) -> np.ndarray:
        """0 for inliers and 1 for outliers among the samples of `fit`, whose scores are `decision_scores_`."""
        return (self.decision_scores_ > self.threshold_).astype(int)

    def _has_holdout(self) -> bool:
        return getattr(self, "threshold_kind_", "holdout") == "holdout"

    @available_if(_has_holdout)  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """(p, 1 - p) of every sample, p its `p_value`.  Returns (n, 2); only where samples were held out.

        A tail probability of normal samples: not how probable an anomaly is, which depends on how many there are.
        """
        p = self.p_value(X)
        return np.column_stack([p, 1 - p])


@dataclass(frozen=True)
class Part:
    """Samples to train on, what draws there, where to write checkpoints, and whether it is the last part."""

    X: np.ndarray
    rng: np.random.Generator
    checkpoint: Checkpoint | None
    last: bool


class TrainedDetector(Detector):
    """A detector with a network that is trained by gradients: it has epochs and batches, and can be saved.

    Fitted, it has `network_`, `history_` and `offset_`; a subclass with more of them extends both methods of its state.
    """

    batch_size: int
    network_: nn.Sequential
    history_: dict[str, list[float]]

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one .npz file (no pickle), replacing it only once it is complete.

        With the arguments that it was fitted with: what `set_params` has changed since is for the next `fit`.
        """
        save_model(self, path)

    def _for_blocks(self) -> Detector:
        """Cast for evaluation once, not for every block."""
        model = copy(self)
        model.network_ = nn.for_evaluation(self.network_, self.input_shape_)
        return model

    def _state(self) -> tuple[Values, Arrays]:
        """What a file holds beside network, pre-processing and arguments: see `minisvdd.svdd.storage`."""
        arrays = {} if self.holdout_scores_ is None else {"holdout_scores": self.holdout_scores_}
        return saved_values(self, "offset_", "history_", "threshold_kind_", "false_alarm_rate_"), arrays

    def _set_state(self, values: Values, arrays: Arrays) -> None:
        """The threshold is computed again from the held-out scores, and must come out as it was saved."""
        self._check_parameters()
        restore_values(self, values, offset_=SCORE, history_=HISTORY, threshold_kind_=one_of(("nu", "holdout")))
        saved, kind, scores = self.offset_, self.threshold_kind_, arrays.get("holdout_scores")
        if (kind == "holdout") != (scores is not None):
            there = "without" if scores is None else "with"
            raise ValueError(
                f"threshold_kind_ is {kind!r} {there} holdout_scores: expected 'holdout' with, 'nu' without"
            )
        self._forget_holdout()
        if scores is not None:
            if scores.ndim != 1 or scores.dtype != np.float64 or (np.diff(scores) < 0).any():
                raise ValueError(f"holdout_scores has shape {scores.shape}: expected (m,) float64, ascending")
            self._set_threshold(scores, values["false_alarm_rate_"])
            if not np.isclose(self.offset_, saved, rtol=1e-12, atol=0):
                raise ValueError(f"offset_ is {saved}: expected {self.offset_} by the held-out scores")

    def _try(self, X: np.ndarray) -> None:
        """Do with samples all that a fitted model does: before a loaded one is handed out."""
        self.predict(X)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        nn.Plan.of(self)

    def _check_batch_norm(self, network: nn.Sequential) -> None:
        if self.batch_size < 2 and any(isinstance(layer, nn.BatchNorm) for layer in network.flat_layers()):
            raise ValueError(
                f"batch_size={self.batch_size}: batch norm has no variance on a batch of one; use 2 or more"
            )


class EncodingDetector(TrainedDetector):
    """A detector with an encoder, named or its user's own, and perhaps a decoder: how both of them start."""

    network: str | nn.Sequential | None
    decoder: nn.Sequential | None
    slope: float
    affine: bool
    gain: float
    first_filters: str
    backend: str | Backend

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number(self.slope, "slope", 0, 1)
        check_number(self.gain, "gain", 0, low_open=True)
        check_flag(self.affine, "affine")
        check_choice(self.first_filters, "first_filters", FIRST_FILTERS)
        if not isinstance(self.decoder, nn.Sequential | None):
            raise ValueError(f"decoder={self.decoder!r}: expected a Sequential or None")

    def _draw_encoder(self, X: np.ndarray, rng: np.random.Generator, dtype: type = np.float32) -> nn.Sequential:
        """The encoder that the arguments mean, built for pre-processed samples X, its weights drawn.

        A name (`minisvdd.nn.networks`), None for the network made for this shape, or a Sequential, which is copied.
        """
        network, shape = self.network, X.shape[1:]
        if isinstance(network, nn.Sequential):
            encoder = deepcopy(network)
        elif isinstance(network, str | None):
            encoder = nn.make_encoder(_named(network, shape), shape, self.slope, self.affine)
        else:
            raise ValueError(f"network={network!r}: expected the name of a network, None or a Sequential")
        encoder.build(shape, rng, dtype, get_backend(self.backend))
        nn.start_weights(encoder, X, rng, self.gain, self.first_filters)
        return encoder

    def _draw_decoder(self, encoder: nn.Sequential, rng: np.random.Generator) -> nn.Sequential:
        """The decoder for a built encoder: by the same name, or a copy of the user's Sequential."""
        network, shape = self.network, encoder.input_shape
        if isinstance(self.decoder, nn.Sequential):
            decoder = deepcopy(self.decoder)
        elif isinstance(network, str | None):
            decoder = nn.make_decoder(_named(network, shape), shape, self.slope, self.affine)
        else:
            raise ValueError("a network of your own needs a decoder=Sequential(...) to pre-train, or pretrain_epochs=0")
        output_shape = decoder.build(encoder.output_shape, rng, backend=encoder.backend)
        if output_shape != shape:
            raise ValueError(f"decoder turns features into {output_shape}, but samples have shape {shape}")
        nn.start_weights(decoder, None, rng, self.gain)
        return decoder


def _named(network: str | None, shape: tuple[int, ...]) -> str:
    """The network's name: that of the one made for samples of this shape, where none is given."""
    return nn.network_for(shape) if network is None else network
