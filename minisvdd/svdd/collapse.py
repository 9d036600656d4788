"""Hypersphere collapse: the figures by which it shows, and the words for what they mean (paper, section 3.3).

A collapsed network maps every input to (almost) one point. Its loss is excellent and its scores mean nothing. ROC-AUC
need not reveal it: rounding noise has an AUC too. What does reveal it is a comparison with the network before training.

Training samples alone cannot be asked: a healthy network draws *them* together, the better the longer it trains. It
must keep other inputs apart. So we make some: a *scrambled* sample takes every feature (pixel) from another training
sample, which keeps what each of them looks like alone and destroys what they have to do with each other. With outputs
phi of the samples, phi~ of scrambled ones, and spread S = root mean square distance from the mean,

    contrast = S(phi~) after training / S(phi~) before it      far below 1: the network answers the same to everything
    offset   = ||mean(phi) - c|| / S(phi~)                     far above 1: all outputs lie in one spot beside c

Neither depends on the scale of the outputs or on how often a sample is repeated; and where c lay far away at the start,
the offset then is known, too. What holds outputs beside c is often weight decay. Its share of the objective,
a / (a + mean d) with a = lambda/2 sum ||W||^2, says whether: if it is large, a smaller offset is suspicious already.
"""

from __future__ import annotations  # so that a type loads no file

import warnings
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np

from .. import nn
from ..errors import CollapseWarning, TrainingWarning
from ..files.records import TEXT, TRUTH, list_of, number, optional, record, table_of
from .radius import exact_radius_squared

# Healthy trainings stay far from all of these; benchmarks/collapse.py holds trainings of both kinds against them.
MIN_RELATIVE_SPREAD = 1e-3
MIN_DISTINCT = 0.5
MIN_CONTRAST = 0.03
MAX_OFFSET, MAX_OFFSET_BY_DECAY = 4.0, 1.2
MAX_DECAY_SHARE = 1 / 3
MIN_WEIGHT_RATIO = 1e-2
MOST_IDLE = 0.5  # of the epochs of soft-boundary: about a third of them is usual
_HIDDEN_BIAS = 30.0  # a column with |mean| / deviation beyond that is one; of images, only a constant one
_ZERO, _ZERO_OF_NORM = 1e-6, 0.05  # what counts as 0 in c; the latter for outputs of batch norm, which have size 1
_SCRAMBLED = 1000  # so many, at most

# What a saved model's figures must hold (those of `compare`, and "risks") for `signs_of_collapse`; null stands for
# infinity.
FIGURES = record(
    score_spread_ratio=number(0),
    relative_spread=number(0),
    distinct_fraction=number(0),
    radius_start=number(0),
    radius_end=number(0),
    radius_ratio=number(0),
    weight_norm_ratio=optional(number(0)),
    weight_norms=table_of(number(0)),
    contrast=number(0),
    offset_start=number(0),
    offset_end=number(0),
    decay_share=number(0),
    idle_epochs=number(0),
    was_constant=TRUTH,
    risks=list_of(TEXT),
)

Figures = dict[str, Any]  # numbers by name, and under "weight_norms" those of the arrays by theirs

_PROPOSITIONS = {
    "bias": "Proposition 2: a bias (or batch norm's shift) permits the constant output c; use bias-free layers",
    "bounded": "Proposition 3: a bounded activation can saturate and act as a bias; use (leaky) ReLU",
    "weights": "Proposition 1: the zero network is optimal when c is its output; keep c away from 0 and fixed",
    "column": "Proposition 2: the weights behind a constant input are a hidden bias; use preprocessing='standardize'",
}


def snapshot(network: nn.Layer, X: np.ndarray, center: np.ndarray, nu: float) -> Figures:
    """Figures of one moment: of the scores of the samples X, of scrambled ones, of the norm of every weight array."""
    outputs = nn.outputs(network, X).astype(np.float64)
    others = nn.outputs(network, scrambled(X)).astype(np.float64)
    d = ((outputs - center) ** 2).sum(axis=1)
    spread = float(np.sqrt(((others - others.mean(axis=0)) ** 2).sum(axis=1).mean()))
    return {
        "score_mean": float(d.mean()),
        "score_spread": float(d.std()),
        "radius": float(np.sqrt(exact_radius_squared(d, nu))),
        "distinct_fraction": min(1.0, len(np.unique(d)) / count_distinct(X)),
        "scrambled_spread": spread,
        "offset": _ratio(float(np.linalg.norm(outputs.mean(axis=0) - center)), spread),
        "weight_norms": {
            name: float(np.linalg.norm(network.backend.to_numpy(array).astype(np.float64)))
            for name, array in network.params.items()
            if array.ndim > 1
        },
    }


def scrambled(X: np.ndarray) -> np.ndarray:
    """At most 1000 samples like X, (n, ...), of which every feature (pixel) comes from another sample of X.

    Always the same ones: the generator is this function's own.
    """
    chosen = X[:: -(-len(X) // _SCRAMBLED)]
    return np.random.default_rng(0).permuted(chosen, axis=0)


def count_distinct(X: np.ndarray) -> int:
    """How many of the samples X, (n, ...), are different: by a hash of their bytes."""
    return len({blake2b((x + 0.0).tobytes(), digest_size=16).digest() for x in X})  # + 0.0: -0 is 0


def compare(start: Figures, end: Figures, weight_decay: float = 0.0, idle: float = 0.0) -> Figures:
    """The figures of `DeepSVDD.diagnostics()`, from a snapshot before and one after training.

    idle: the fraction of epochs in which the loss pulled at no sample.
    """
    ratios = [end["weight_norms"][name] / norm if norm > 0 else np.inf for name, norm in start["weight_norms"].items()]
    decay = weight_decay / 2 * sum(norm**2 for norm in end["weight_norms"].values())
    return {
        "score_spread_ratio": _ratio(end["score_spread"], start["score_spread"]),
        "relative_spread": _ratio(end["score_spread"], end["score_mean"]),
        "distinct_fraction": end["distinct_fraction"],
        "contrast": _ratio(end["scrambled_spread"], start["scrambled_spread"]),
        "offset_start": start["offset"],
        "offset_end": end["offset"],
        "radius_start": start["radius"],
        "radius_end": end["radius"],
        "radius_ratio": _ratio(end["radius"], start["radius"]),
        "weight_norm_ratio": float(min(ratios, default=np.inf)),
        "weight_norms": end["weight_norms"],
        "decay_share": _ratio(decay, decay + end["score_mean"]),
        "idle_epochs": idle,
        "was_constant": start["scrambled_spread"] == 0,
    }


def signs_of_collapse(
    figures: Figures, network: nn.Sequential, center: np.ndarray | Sequence[float] | None = None
) -> list[str]:
    """What looks like collapse in `compare`'s figures, one sentence each, then what explains it.

    The explanations are the figures' "risks", or where they have none those of this network and centre; if nothing
    permits collapse, what else the figures show.
    """
    f, signs = figures, []
    if f["relative_spread"] < MIN_RELATIVE_SPREAD:
        signs.append(f"scores are (nearly) constant: standard deviation / mean = {f['relative_spread']:.2g}")
    if f["distinct_fraction"] < MIN_DISTINCT:
        signs.append(f"only {f['distinct_fraction']:.1%} of the different samples have a score of their own")
    if f["contrast"] < MIN_CONTRAST:
        signs.append(f"scrambled samples lie only {f['contrast']:.2g} times as far apart as before training")
    most = MAX_OFFSET_BY_DECAY if f["decay_share"] > MAX_DECAY_SHARE else MAX_OFFSET
    if f["offset_end"] > max(most, f["offset_start"] / 5):  # else they are on their way to a c that was far away
        signs.append(f"the outputs lie in one spot beside c, {f['offset_end']:.2g} times as far as they lie apart")
    if not signs:
        return []
    if f["weight_norm_ratio"] < MIN_WEIGHT_RATIO:
        signs.append(f"a weight array fell to {f['weight_norm_ratio']:.2g} of its norm before training")
    return [*signs, *(f.get("risks", structural_risks(network, center)) or _other_causes(f))]


def _other_causes(f: Figures) -> list[str]:
    """The causes that no structure shows; none of them: Proposition 1 remains, the weights that vanish."""
    if f["was_constant"]:
        return ["no unit of the network responds to the samples: all had one output before training already"]
    causes = []
    if f["idle_epochs"] > MOST_IDLE:
        causes.append(_stood_still(f["idle_epochs"]))
    if f["decay_share"] > MAX_DECAY_SHARE:
        causes.append(f"weight decay makes up {f['decay_share']:.0%} of the objective: use a smaller weight_decay")
    return causes or [_PROPOSITIONS["weights"]]


def few_outside(objective: str, nu: float, n: int) -> list[str]:
    """Before training: the sentence, if there is need of it, that R will leave no sample outside."""
    if objective != "soft-boundary" or nu * n * (1 + 1e-12) >= 1:
        return []
    return [f"nu n = {nu * n:.2g} < 1: R is the largest distance, no sample is outside; use nu >= {1 / n:.2g}"]


def idle_epochs(objective: str, fraction_outside: Sequence[float]) -> float:
    """The fraction of epochs in which soft-boundary found nobody outside."""
    return float(np.mean(np.equal(fraction_outside, 0))) if fraction_outside and objective == "soft-boundary" else 0.0


def _stood_still(idle: float) -> str:
    return (
        f"no sample lay outside the sphere in {idle:.0%} of the epochs: the loss pulled at nothing there, and single "
        "samples moved the weights; use a larger nu, a smaller radius_every or objective='one-class'"
    )


def structural_risks(
    network: nn.Sequential, center: np.ndarray | Sequence[float] | None = None, X: np.ndarray | None = None
) -> list[str]:
    """What permits collapse, before any training: layers with a bias, bounded activations, a centre at 0, columns.

    center: c, or None where the rule keeps it away from 0.   X: the samples, pre-processed; None: not looked at.
    """
    risks = []
    layers = network.flat_layers()
    zero = _ZERO_OF_NORM if layers and isinstance(layers[-1], nn.BatchNorm) else _ZERO
    if center is not None and (zeros := int(np.sum(np.abs(center) <= zero))):
        risks.append(f"{zeros} of {len(center)} coordinates of the center are 0: {_PROPOSITIONS['weights']}")
    if X is not None and len(X) > 1 and bool((X[:1] == X).all()):
        risks.append("after pre-processing all samples are alike: there is nothing to learn")
    elif X is not None and len(columns := constant_columns(X)):
        which = f"{len(columns)} of {X[0].size} columns of the samples, the first is {columns[0]},"
        risks.append(f"{which} are (nearly) constant: {_PROPOSITIONS['column']}")
    for index, layer in enumerate(layers):
        for flag, key in ((layer.has_bias_like, "bias"), (layer.is_bounded, "bounded")):
            if flag:
                risks.append(f"layer {index} ({type(layer).__name__}): {_PROPOSITIONS[key]}")
    return risks


def constant_columns(X: np.ndarray) -> np.ndarray:
    """Indices of the features (pixels) that are nearly the same in all samples, and not 0: hidden biases.

    "Not 0" is in proportion to X itself: what is left of a centred constant is rounding. One sample has none.
    """
    columns = X.reshape(len(X), -1)
    mean, spread = np.abs(columns.mean(axis=0, dtype=np.float64)), columns.std(axis=0, dtype=np.float64)
    size = float(np.sqrt(np.mean(mean**2 + spread**2)))
    limit = _HIDDEN_BIAS if X.ndim == 2 else 1 / _ZERO
    return np.flatnonzero((mean > 1e-3 * size) & (mean > limit * spread)) if len(X) > 1 else np.array([], int)


class Sphere(Protocol):
    """What is asked of a detector here."""

    objective: str
    nu: float
    weight_decay: float
    network_: nn.Sequential
    center_: np.ndarray
    history_: dict[str, list[float]]


def warn_before(model: Sphere, X: np.ndarray) -> list[str]:
    """Warn of what permits collapse, which is returned, and of a sphere that holds all samples X."""
    risks = structural_risks(model.network_, model.center_, X)
    _warn("this network can collapse", risks, CollapseWarning)
    _warn("soft-boundary", few_outside(model.objective, model.nu, len(X)), TrainingWarning)
    return risks


def warn_after(model: Sphere, X: np.ndarray, before: Figures, risks: list[str]) -> Figures:
    """Warn of signs of collapse since the snapshot `before`, and of a standstill; returns the figures."""
    after = snapshot(model.network_, X, model.center_, model.nu)
    idle = idle_epochs(model.objective, model.history_["fraction_outside"])
    figures = {**compare(before, after, model.weight_decay, idle), "risks": risks}
    _warn("hypersphere collapse", signs_of_collapse(figures, model.network_, model.center_), CollapseWarning)
    _warn("soft-boundary", [_stood_still(idle)] * (idle > MOST_IDLE), TrainingWarning)
    return figures


def _warn(what: str, sentences: list[str], category: type[Warning]) -> None:
    for sentence in sentences:
        warnings.warn(f"{what}: {sentence}", category, stacklevel=4)


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator > 0 else 0.0
