"""What a detector says of samples, in one place: everything that a report shows is read off this."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from ..svdd.conformal import false_alarm_interval
from ..validation import check_kinds, check_length, check_test_samples
from .auc import auc_interval


@dataclass(frozen=True, eq=False)
class Findings:
    """A fitted detector and samples (n, ...) under its eyes.

    samples: in any layout that the model takes; kept as `anomaly_score` sees them, (n, C, H, W) or (n, D).
    data, normal_class: what they are called.   names: (n,) of the samples' files, or None.   labels: (n,) strings, or
    None.   is_anomaly: (n,) bool, or 0 and 1, or None where it is not known.
    feature_names: of D features; None for those that the model was fitted with, if any.
    trained_on: the samples are those of the training, since there are no others.
    result: what `minisvdd train` wrote, {} where it is not there.   notes: a sentence each.
    Raises ValueError, naming the argument, where one of them does not fit the samples.

    >>> from minisvdd import DeepSVDD
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> model = DeepSVDD(epochs=2, pretrain_epochs=0, verbose=0).fit(X)
    >>> found = Findings(model, X, "mine", is_anomaly=np.arange(100) > 90)
    >>> found.scores.shape, len(found.missed()) + int((found.outlier & found.is_anomaly).sum())
    ((100,), 9)
    """

    model: Any
    samples: np.ndarray
    data: str
    normal_class: str | None = None
    names: Sequence[str] | None = None
    labels: np.ndarray | None = None
    is_anomaly: np.ndarray | None = None
    feature_names: Sequence[str] | None = None
    trained_on: bool = False
    result: dict = field(default_factory=dict)
    notes: Sequence[str] = ()
    scores: np.ndarray = field(init=False)
    outlier: np.ndarray = field(init=False)
    p_values: np.ndarray | None = field(init=False)

    def __post_init__(self) -> None:
        if len(self.samples) == 0:
            raise ValueError("expected at least one sample to report on")
        scores = self.model.anomaly_score(self.samples)
        samples, n = check_test_samples(self.model, self.samples), len(scores)
        names = self.feature_names
        if names is None:
            names = getattr(self.model, "feature_names_in_", None)
        known = self.model.threshold_kind_ == "holdout"
        found = {
            "samples": samples,
            "names": None if self.names is None else check_length(self.names, n, "names"),
            "labels": None if self.labels is None else check_length(self.labels, n, "labels").astype(str),
            "is_anomaly": None if self.is_anomaly is None else check_kinds(self.is_anomaly, n),
            "feature_names": None if names is None else tuple(check_length(names, samples.shape[1], "feature_names")),
            "scores": scores,
            "outlier": -scores - self.model.offset_ < 0,
            "p_values": self.model.p_value_of(scores) if known else None,
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @property
    def are_pictures(self) -> bool:
        """Whether samples are (C, H, W)."""
        return self.samples.ndim == 4

    def name(self, k: int) -> str:
        """What sample k is called: its file, else its number."""
        return f"sample {k}" if self.names is None else str(self.names[k])

    def counts(self) -> tuple[int, int]:
        """(normal, anomalous) samples; (0, 0) where that is not known."""
        return (0, 0) if self.is_anomaly is None else (int((~self.is_anomaly).sum()), int(self.is_anomaly.sum()))

    def auc(self) -> tuple[float, float, float] | None:
        """(AUC, low, high) with its interval of 95 %; None without samples of both kinds."""
        if not all(self.counts()):
            return None
        auc = float(roc_auc_score(self.is_anomaly, self.scores))
        return auc, *auc_interval(auc, *self.counts())

    def false_alarms(self) -> dict[str, float | tuple[float, float]]:
        """Rates of false alarms, each where it is known: "asked", "expected" (low, high), "measured"."""
        rates: dict[str, float | tuple[float, float]] = {}
        normal = self.counts()[0]
        if self.p_values is not None:
            held, rate = len(self.model.holdout_scores_), self.model.false_alarm_rate_
            rates |= {"asked": rate, "expected": false_alarm_interval(held, rate, normal or None)}
        if normal:
            rates["measured"] = float(self.outlier[~self.is_anomaly].mean())
        return rates

    def missed(self) -> np.ndarray:
        """Indices of anomalous samples within the threshold, those first that look most normal."""
        return self._ascending(self.is_anomaly & ~self.outlier)

    def alarms(self) -> np.ndarray:
        """Indices of normal samples beyond the threshold, those first that look most anomalous."""
        return self._ascending(~self.is_anomaly & self.outlier)[::-1]

    def most_normal(self, count: int) -> np.ndarray:
        """Indices of the samples with the smallest scores, in their order."""
        return np.argsort(self.scores, kind="stable")[:count]

    def most_anomalous(self, count: int) -> np.ndarray:
        """Indices of the samples with the largest scores, the largest first."""
        return np.argsort(-self.scores, kind="stable")[:count]

    def _ascending(self, chosen):
        places = np.flatnonzero(chosen)
        return places[np.argsort(self.scores[places], kind="stable")]
