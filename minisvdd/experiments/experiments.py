"""One experiment: a class taken as normal, a detector trained on it, the AUC at every stage of its training."""

import platform
import time
import warnings
from collections.abc import Generator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import sklearn
from sklearn.metrics import roc_auc_score

from ..backends import get_backend
from ..errors import TrainingWarning
from ..files.checkpoint import Checkpoint
from ..nn.networks import network_for
from ..nn.training import Training
from ..svdd.autoencoder import Autoencoder
from ..svdd.conformal import false_alarm_interval
from ..svdd.patches import patch_shape
from ..svdd.preprocessing import preprocessing_for
from ..svdd.svdd import DeepSVDD
from ..version import __version__
from .protocols import Protocol, arguments_of

Result = TypeVar("Result")

# Test AUC by which training may make a detector worse before one is told; and to what part of itself the radius shrinks
# at least in a training that was long enough (`signs_of_harm`).
_MARGIN, _LEAST_SHRINKAGE = 0.02, 0.35


def train_and_evaluate(split, protocol: Protocol, **options) -> tuple[DeepSVDD, dict]:
    """Train Deep SVDD on a split's training samples and score its test samples after every stage.

    Arguments, result, warnings: those of `trainings_and_result`, all of whose trainings this runs.
    """
    return run(trainings_and_result(split, protocol, **options))


def run(steps: Generator[Training, None, Result]) -> Result:
    """Run every training that a generator yields; returns what it returns."""
    while True:
        try:
            next(steps).run()
        except StopIteration as end:
            return end.value


def trainings_and_result(
    split,
    protocol: Protocol,
    *,
    network: str | None = None,
    patch_size: str | int | None = "auto",
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    **options,
) -> Generator[Training, None, tuple[DeepSVDD, dict]]:
    """The trainings of `train_and_evaluate`, each to be run by whoever asks for the next; then its result.

    split: a `minisvdd.data.split.Split`.   network: None for the protocol's, or else the one made for this shape.
    patch_size: as in `DeepSVDD`.   seed: its `random_state`.   checkpoint: as in `DeepSVDD.fit`.
    options: what else `DeepSVDD` takes and no protocol holds (objective, nu, backend, verbose, autoencoder, ...), with
    its defaults but one: threshold "nu" trains on all samples, as the paper does. TypeError for any other name.
    Returns the model and a result of plain JSON values. Its "auc" holds fractions in [0, 1]:
        random       the network as drawn: what no training at all achieves
        pretrained   encoder weights of the autoencoder, before any Deep SVDD training
        autoencoder  reconstruction error of that autoencoder (the paper's DCAE)
        trained      Deep SVDD
    and is empty when the test samples are not labelled, or all of one kind. Warns with TrainingWarning of
    `signs_of_harm`.
    """
    started = time.perf_counter()
    n_left_out = left_out_by(protocol, len(split.train))
    split = kept_by(protocol, split, seed)
    settings = {
        **arguments_of(protocol),
        "network": network or network_of(protocol, split, patch_size),
        "preprocessing": preprocessing_of(protocol.preprocessing, split),
    }
    options = {"threshold": "nu", **options}
    model = DeepSVDD(random_state=seed, patch_size=patch_size, **settings, **options)
    auc = {}

    def evaluate(stage, fitted):
        value = area_under_roc(fitted, split)
        if value is not None:
            auc[stage] = value

    yield from model.trainings(split.train, evaluate, checkpoint)
    if model.autoencoder_ is not None:
        evaluate("autoencoder", model.autoencoder_)
    result = _result_of(model, split, settings, n_left_out, auc, started)
    for sign in result["signs_of_harm"]:
        warnings.warn(sign, TrainingWarning, stacklevel=2)
    return model, result


def _result_of(model, split, settings, n_left_out, auc, started):
    """What `trainings_and_result` says of a trained model.  started: the time at which all began."""
    return {
        "normal_class": split.normal_class,
        "objective": model.objective,
        "nu": model.nu,
        "patch_size": model.patch_size,
        "backend": get_backend(model.backend).label,
        "seed": model.random_state,
        **settings,
        "n_train": len(split.train),
        "n_left_out": n_left_out,
        "n_test": 0 if split.test is None else len(split.test),
        "auc": auc,
        "radius": model.radius_,
        "threshold": threshold_of(model, split),
        "signs_of_collapse": model.diagnostics()["signs_of_collapse"],
        "signs_of_harm": signs_of_harm(auc, model.diagnostics_),
        "seconds": round(time.perf_counter() - started, 3),
        "versions": versions(),
    }


def signs_of_harm(auc: dict, figures: dict) -> list[str]:
    """What says that training made the detector worse, or was too short to make it better: a sentence, or none.

    With labels, the test AUC of the trained network against that of the same network before. Without, whether the
    radius has shrunk (`figures`: the model's `diagnostics_`). Measured on digits and on textures of 64x64: where
    training raised the AUC (from 79 to 86 % to 97 to 99 %) the radius ended at 0.01 to 0.11 of what it was; where too
    few steps brought nothing, or harm, at 0.41 to 0.65. How much higher new normal samples score than those of training
    says nothing of the kind: 2.6 to 21 times after the good trainings, 1.0 to 1.3 times after the others.
    """
    before = {stage: auc[stage] for stage in ("random", "pretrained") if stage in auc}
    remedy = "more epochs, smaller batches or another learning rate may help"
    if "trained" in auc and before:
        best = max(before, key=lambda stage: before[stage])
        if auc["trained"] >= before[best] - _MARGIN:
            return []
        then, now = 100 * before[best], 100 * auc["trained"]
        return [f"training made it worse: test AUC {now:.1f} %, with {best} weights {then:.1f} %; {remedy}"]
    if figures["radius_ratio"] <= _LEAST_SHRINKAGE:
        return []
    return [f"training has hardly begun: the radius is still {figures['radius_ratio']:.2f} of what it was; {remedy}"]


def autoencoder_of(protocol: Protocol, split, seed: int, epochs: int | None = None, backend="numpy") -> Autoencoder:
    """The protocol's autoencoder for a split's samples, not fitted yet.  epochs: instead of the protocol's.

    Its arguments are the protocol's, those that begin with "pretrain_" first, as in `Autoencoder.around`.
    """
    fixed = arguments_of(protocol)
    names = [name for name in Autoencoder._get_param_names() if name in fixed]
    arguments = {name: fixed.get(f"pretrain_{name}", fixed[name]) for name in names}
    arguments |= {
        "network": network_of(protocol, split),
        "preprocessing": preprocessing_of(protocol.preprocessing, split),
        **({} if epochs is None else {"epochs": epochs}),
    }
    return Autoencoder(**arguments, backend=backend, random_state=seed, verbose=0, threshold="nu")


def kept_by(protocol: Protocol, split, seed: int):
    """The split without the training samples that the protocol holds out, drawn at random by this seed."""
    n = len(split.train)
    if not (out := left_out_by(protocol, n)):
        return split
    kept = np.sort(np.random.default_rng(seed).permutation(n)[out:])
    names = None if split.train_names is None else tuple(split.train_names[i] for i in kept)
    return replace(split, train=split.train[kept], train_names=names)


def left_out_by(protocol, n: int) -> int:
    """How many of n training samples a protocol holds out; none one that does not speak of it."""
    return int(getattr(protocol, "held_out", 0.0) * n)


def preprocessing_of(name: str, split) -> str:
    """A protocol's word for pre-processing, "auto" as the name that it means for a split's samples."""
    return preprocessing_for(split.train.shape[1:]) if name == "auto" else name


def network_of(protocol: Protocol, split, patch_size: str | int | None = None) -> str:
    """The name of the protocol's network, or of the one made for samples of this shape, or for patches of them."""
    return protocol.network or network_for(patch_shape(split.train.shape[1:], patch_size))


def area_under_roc(model, split) -> float | None:
    """ROC-AUC of the model's scores on the split's test samples; None without labels of both kinds."""
    if split.is_anomaly is None or len(np.unique(split.is_anomaly)) < 2:
        return None
    return float(roc_auc_score(split.is_anomaly, model.anomaly_score(split.test)))


def threshold_of(model, split) -> dict:
    """How the model's threshold was found, the false alarms to expect of it, and those seen, as plain JSON values.

    The samples seen are the labelled normal ones of the test set; without any, "seen" and "of" are missing, and
    "expected" is what their rate among infinitely many will be (95 %; `false_alarm_interval`).
    """
    result = {"kind": model.threshold_kind_}
    normal = split.test[~split.is_anomaly] if split.is_anomaly is not None else ()
    if len(normal):
        result |= {"seen": float((model.predict(normal) == -1).mean()), "of": len(normal)}
    if model.threshold_kind_ == "holdout":
        m, rate = len(model.holdout_scores_), model.false_alarm_rate_
        expected = false_alarm_interval(m, rate, len(normal) or None)
        result |= {"asked": rate, "held_out": m, "expected": list(expected)}
    return result


def versions() -> dict:
    """Versions that a result depends on."""
    return {
        "minisvdd": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }
