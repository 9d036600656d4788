"""The columns of table 1, and one more: for each method the cells that it needs, and how one cell is computed.

All methods train on all normal samples (threshold="nu"), as in the paper: an AUC needs no threshold.

A cell is one method on one normal class, with one seed and one nu where the method has them. Its result is a dict of
plain JSON values with "auc": fractions by name; the entry "trained" is what the table shows. Beside them stand
"scores", (n,), the anomaly scores of all test samples after training; the grid keeps them in a file of their own, so
that figures 2 and 3 need no second training.

`oc-svm`         gamma by AUC on a random tenth of the *test set*, as in the paper: a supervised advantage. One cell
                 holds ten such draws ("trained" is a list); "unsupervised" is a gamma chosen without labels.
`oc-svm-no-labels`  that gamma alone: what is left to choose by, for whom the test set is no validation set. In no
                 table of the paper.
`kde`            deterministic: one cell.
`dcae`           also the pre-training of both Deep SVDD objectives, which take its weights from a file. They are the
                 weights that each would find itself with this seed. Two things differ from `train_and_evaluate` without
                 the file: the order of Deep SVDD's own batches, and where batch norm's running statistics start, which
                 training forgets.
`one-class`      the objective does not contain nu: one cell per seed.
`soft-boundary`  nu as in the paper; the better one is reported.
`anogan`         its latent search costs thousands of passes, so that a protocol may score some test images only; the
                 others have the score NaN.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from ..errors import DataError
from ..rivals.anogan import AnoGAN
from ..rivals.baselines import GAMMAS, IsolationForest, KernelDensity, OneClassSVM, best_on_hold_out
from ..svdd.center import collect_statistics
from ..svdd.preprocessing import preprocessing_for
from ..svdd.storage import load_model
from .experiments import area_under_roc, autoencoder_of, train_and_evaluate
from .protocols import GanProtocol, Protocol

HOLD_OUTS = 10
HOLD_OUT_FRACTION = 0.1


@dataclass(frozen=True)
class Method:
    """How a column is computed: `evaluate(split, protocol, nu, seed, autoencoder_path)` returns the result of a cell.

    nus: one cell for each, None where nu plays no part.   seeded: whether each seed needs a cell.
    protocol: the field of `grid.Grid` that holds the method's protocol, None where none matters.
    pretrained: whether the autoencoder's cell must be there first.
    """

    evaluate: Callable[..., dict]
    nus: tuple[float | None, ...] = (None,)
    seeded: bool = True
    protocol: str | None = None
    pretrained: bool = False


def _oc_svm(split, protocol, nu, seed, path):
    name = preprocessing_for(split.train)
    models = [OneClassSVM(gamma, nu, preprocessing=name, threshold="nu").fit(split.train) for gamma in GAMMAS]
    scores = [model.anomaly_score(split.test) for model in models]
    chosen = []
    for held in _hold_outs(len(split.test)):
        chosen.append(best_on_hold_out([s[held] for s in scores], split.is_anomaly[held]))
    honest = OneClassSVM(None, nu, preprocessing=name, threshold="nu").fit(split.train)
    auc = {
        "trained": [float(roc_auc_score(split.is_anomaly, scores[i])) for i in chosen],
        "unsupervised": area_under_roc(honest, split),
    }
    gammas = [GAMMAS[i] for i in chosen]
    return {"auc": auc, "scores": scores[chosen[0]], "gamma": gammas, "gamma_unsupervised": honest.gamma_}


def _oc_svm_no_labels(split, protocol, nu, seed, path):
    model = OneClassSVM(None, nu, preprocessing=preprocessing_for(split.train), threshold="nu").fit(split.train)
    return {**_result(model, split), "gamma_unsupervised": model.gamma_}


def _hold_outs(n):
    """Indices of a random tenth of the test samples, ten times."""
    orders = (np.random.default_rng(draw).permutation(n) for draw in range(HOLD_OUTS))
    return [order[: max(2, round(HOLD_OUT_FRACTION * n))] for order in orders]


def _kde(split, protocol, nu, seed, path):
    model = KernelDensity(preprocessing=preprocessing_for(split.train), threshold="nu").fit(split.train)
    return {**_result(model, split), "bandwidth": model.bandwidth_}


def _result(model, split, **auc):
    """Scores of a fitted model on the test samples and their AUC, beside other entries of "auc"."""
    scores = model.anomaly_score(split.test)
    return {"auc": {**auc, "trained": float(roc_auc_score(split.is_anomaly, scores))}, "scores": scores}


def _isolation_forest(split, protocol, nu, seed, path):
    model = IsolationForest(preprocessing=preprocessing_for(split.train), random_state=seed, threshold="nu")
    return _result(model.fit(split.train), split)


def _dcae(split, protocol, nu, seed, path):
    drawn, model = (autoencoder_of(protocol, split, seed, epochs).fit(split.train) for epochs in (0, None))
    collect_statistics(drawn.network_, drawn.preprocessing_.transform(split.train), protocol.batch_size)
    model.save(path)
    return _result(model, split, random=area_under_roc(drawn, split))


def _anogan(split, protocol: GanProtocol, nu, seed, path):
    settings = {name: value for name, value in asdict(protocol).items() if name != "test_images"}
    n = len(split.test)
    chosen = _scored_images(n, protocol)
    some = replace(split, test=split.test[chosen], is_anomaly=split.is_anomaly[chosen])

    def anogan(**changes):
        return AnoGAN(
            **{**settings, **changes},
            preprocessing=preprocessing_for(split.train),
            random_state=seed,
            verbose=0,
            threshold="nu",
        ).fit(split.train)

    model = anogan()
    found = model.search(some.test)
    scores = np.full(n, np.nan)
    scores[chosen] = found.losses
    auc = {
        "random": area_under_roc(anogan(epochs=0), some),
        "trained": float(roc_auc_score(some.is_anomaly, found.losses)),
    }
    return {"auc": auc, "scores": scores, "n_scored": len(chosen), "converged": float(found.converged.mean())}


def _scored_images(n, protocol: GanProtocol):
    """Indices of those test images that AnoGAN scores."""
    return np.sort(np.random.default_rng(0).permutation(n)[: protocol.test_images])


def check_tested(method: str, is_anomaly: np.ndarray, gan_protocol: GanProtocol) -> None:
    """ValueError where a method would ask for the AUC of test samples of one kind: it has none.

    is_anomaly: (n,) bool, of the test samples.
    """
    n = len(is_anomaly)
    parts = {"oc-svm": _hold_outs, "anogan": lambda n: [_scored_images(n, gan_protocol)]}.get(method, lambda n: [])(n)
    for part in (np.arange(n), *parts):
        anomalies = int(is_anomaly[part].sum())
        if anomalies in (0, len(part)):
            raise ValueError(
                f"{method} needs normal and anomalous samples among {len(part)} of {n} test samples, "
                f"found {anomalies} anomalous ones: no AUC"
            )


def _deep_svdd(objective):
    def evaluate(split, protocol: Protocol, nu, seed, path):
        model, result = train_and_evaluate(
            split,
            protocol,
            objective=objective,
            nu=0.1 if nu is None else nu,
            seed=seed,
            verbose=0,
            autoencoder=_pretrained(split, protocol, seed, path),
        )
        kept = {name: result[name] for name in ("auc", "radius", "signs_of_collapse")}
        return {**kept, "scores": model.anomaly_score(split.test)}

    return evaluate


def _pretrained(split, protocol, seed, path):
    """The autoencoder of this seed, trained again when its file is missing or damaged."""
    try:
        return load_model(path)
    except DataError:
        Path(path).unlink(missing_ok=True)
        _dcae(split, protocol, None, seed, path)
        return load_model(path)


METHODS = {
    "oc-svm": Method(_oc_svm, nus=(0.01, 0.1), seeded=False),
    "kde": Method(_kde, seeded=False),
    "isolation-forest": Method(_isolation_forest),
    "dcae": Method(_dcae, protocol="protocol"),
    "anogan": Method(_anogan, protocol="gan_protocol"),
    "soft-boundary": Method(_deep_svdd("soft-boundary"), nus=(0.01, 0.1), protocol="protocol", pretrained=True),
    "one-class": Method(_deep_svdd("one-class"), protocol="protocol", pretrained=True),
    "oc-svm-no-labels": Method(_oc_svm_no_labels, nus=(0.1,), seeded=False),
}
