"""Hypersphere collapse: the figures by which it shows, and the words for what they mean (paper, section 3.3).

A collapsed network maps every input to (almost) one point. Its loss is excellent and its scores mean nothing. ROC-AUC
need not reveal it: rounding noise has an AUC too. What does reveal it is a comparison with the network before training.
"""

from __future__ import annotations  # so that a type loads no file

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import nn
from ..files.records import number, optional, record, table_of
from .radius import exact_radius_squared

# A healthy run stays far from all of these; tests/svdd/test_collapse.py holds measured runs of both kinds against them.
MIN_RELATIVE_SPREAD = 1e-3
MIN_DISTINCT = 0.5
MIN_RADIUS_RATIO = 5e-3
MIN_WEIGHT_RATIO = 1e-2

# What a saved model's figures must hold (those of `compare`) for `signs_of_collapse`; null stands for infinity.
FIGURES = record(
    score_spread_ratio=number(0),
    relative_spread=number(0),
    distinct_fraction=number(0),
    radius_start=number(0),
    radius_end=number(0),
    radius_ratio=number(0),
    weight_norm_ratio=optional(number(0)),
    weight_norms=table_of(number(0)),
)

Figures = dict[str, Any]  # numbers by name, and under "weight_norms" those of the arrays by theirs

_PROPOSITIONS = {
    "bias": "Proposition 2: a bias (or batch norm's shift) permits the constant output c; use bias-free layers",
    "bounded": "Proposition 3: a bounded activation can saturate and act as a bias; use (leaky) ReLU",
    "weights": "Proposition 1: the zero network is optimal when c is its output; keep c away from 0 and fixed",
}


def snapshot(network: nn.Layer, squared_distances: np.ndarray, nu: float) -> Figures:
    """Figures of one moment: spread of the scores, radius, number of distinct scores, norm of every weight array."""
    d = np.asarray(squared_distances, dtype=np.float64)
    return {
        "score_mean": float(d.mean()),
        "score_spread": float(d.std()),
        "radius": float(np.sqrt(exact_radius_squared(d, nu))),
        "distinct_fraction": len(np.unique(d)) / len(d),
        "weight_norms": {
            name: float(np.linalg.norm(network.backend.to_numpy(array).astype(np.float64)))
            for name, array in network.params.items()
            if array.ndim > 1
        },
    }


def compare(start: Figures, end: Figures) -> Figures:
    """The figures of `DeepSVDD.diagnostics()`, from a snapshot before and one after training."""
    ratios = [end["weight_norms"][name] / norm if norm > 0 else np.inf for name, norm in start["weight_norms"].items()]
    return {
        "score_spread_ratio": _ratio(end["score_spread"], start["score_spread"]),
        "relative_spread": _ratio(end["score_spread"], end["score_mean"]),
        "distinct_fraction": end["distinct_fraction"],
        "radius_start": start["radius"],
        "radius_end": end["radius"],
        "radius_ratio": _ratio(end["radius"], start["radius"]),
        "weight_norm_ratio": float(min(ratios, default=np.inf)),
        "weight_norms": end["weight_norms"],
    }


def signs_of_collapse(
    figures: Figures, network: nn.Sequential, center: np.ndarray | Sequence[float] | None = None
) -> list[str]:
    """What looks like collapse in `compare`'s figures, one sentence each, then what explains it.

    center: the one that the user gave, or None. The explanations are what this network has that permits collapse; if
    it has nothing of the kind, Proposition 1 remains: the weights that vanish because c is the zero network's output.
    """
    signs = []
    if figures["relative_spread"] < MIN_RELATIVE_SPREAD or figures["distinct_fraction"] < MIN_DISTINCT:
        signs.append(
            f"scores are (nearly) constant: standard deviation / mean = {figures['relative_spread']:.2g}, "
            f"{figures['distinct_fraction']:.0%} distinct"
        )
    if figures["radius_ratio"] < MIN_RADIUS_RATIO:
        signs.append(f"the radius fell to {figures['radius_ratio']:.2g} of its value before training")
    if figures["weight_norm_ratio"] < MIN_WEIGHT_RATIO:
        signs.append(f"a weight array fell to {figures['weight_norm_ratio']:.2g} of its norm before training")
    if not signs:
        return []
    return [*signs, *(structural_risks(network, center) or [_PROPOSITIONS["weights"]])]


def structural_risks(network: nn.Sequential, center: np.ndarray | Sequence[float] | None = None) -> list[str]:
    """What permits collapse, before any training: layers with a bias, bounded activations, a given centre at 0."""
    risks = []
    if center is not None and not np.all(center):
        zeros = int(np.sum(np.asarray(center) == 0))
        risks.append(f"{zeros} of {len(center)} coordinates of the given center are 0: {_PROPOSITIONS['weights']}")
    for index, layer in enumerate(network.flat_layers()):
        for flag, key in ((layer.has_bias_like, "bias"), (layer.is_bounded, "bounded")):
            if flag:
                risks.append(f"layer {index} ({type(layer).__name__}): {_PROPOSITIONS[key]}")
    return risks


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator > 0 else 0.0
