"""The columns of table 1, and one more: for each method the cells that it needs, and how one cell is computed.

All methods train on all normal samples (threshold="nu"), as in the paper: an AUC needs no threshold.

A cell is one method on one normal class, with one seed and one nu where the method has them. All that it draws comes
from these three: (seed, class, method) by `draw_of`, so that the classes of one seed are independent, and the mean over
classes has the deviation that it seems to have; one unlucky draw of filters cannot move a whole column.

The result of a cell is a dict of plain JSON values with "auc": fractions by name; the entry "trained" is what the table
shows. Beside them stand "scores", (n,), the anomaly scores of all test samples after training; the grid keeps them in a
file of their own, so that figures 2 and 3 need no second training.

`oc-svm`         gamma by AUC on a random tenth of the *test set*, as the paper says: a supervised advantage. One cell
                 holds ten such draws ("trained" is a list), equal ones where the protocol gives one gamma;
                 "unsupervised" is a gamma chosen without labels.
`oc-svm-no-labels`  that gamma alone: what is left to choose by, for whom the test set is no validation set. In no
                 table of the paper.
`kde`            deterministic: one cell.
`dcae`           also the pre-training of both Deep SVDD objectives, which take its weights from a file.
`one-class`      the objective does not contain nu: one cell per seed.
`soft-boundary`  nu as in the paper; the better one is reported.
`anogan`         its latent search costs thousands of passes, so that a protocol may score some test images only; the
                 others have the score NaN.
"""

import zlib
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, replace
from inspect import isgenerator
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from ..errors import DataError
from ..files.checkpoint import Checkpoint
from ..nn.training import Training
from ..rivals.anogan import AnoGAN
from ..rivals.dcgan import gan_for, make_gan
from ..rivals.density import KernelDensity
from ..rivals.forest import IsolationForest
from ..rivals.svm import GAMMAS, OneClassSVM, best_on_hold_out
from ..svdd.center import collect_statistics
from ..svdd.preprocessing import preprocessing_for
from ..svdd.storage import load_model
from .experiments import area_under_roc, autoencoder_of, kept_by, preprocessing_of, trainings_and_result
from .protocols import GanProtocol, Protocol, ShallowProtocol

HOLD_OUTS = 10
HOLD_OUT_FRACTION = 0.1

# Where the magnitudes of an image's k pixels sum to 1, and are not scaled to [0, 1], squared distances are about
# (k / 10)^2 times as small. What OC-SVM's 2^-10 and KDE's bandwidths are there, is this on CIFAR-10 in [0, 1].
STUCK_GAMMA = 2.0**-27
WIDE_BANDWIDTH = 2.0**9


def draw_of(seed: int, normal_class: str, method: str) -> int:
    """The seed of a cell's own generator: of its grid's seed, class and method, by `numpy.random.SeedSequence`.

    >>> draw_of(0, "3", "one-class") == draw_of(0, "3", "one-class")
    True
    >>> len({draw_of(seed, name, method) for seed in (0, 1) for name in "37" for method in ("dcae", "one-class")})
    8
    """
    words = [seed, zlib.crc32(normal_class.encode()), zlib.crc32(method.encode())]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


@dataclass(frozen=True)
class Setting:
    """What a cell is computed with, beside samples and protocol.

    seed: of its own generator, None where it draws nothing.   weights: file of the autoencoder's, which were drawn with
    `weights_seed`.   backend: of networks.   checkpoint: where its trainings write how far they are, and go on from.
    """

    nu: float | None
    seed: int | None
    weights: Path
    weights_seed: int | None
    backend: str = "numpy"
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True)
class Method:
    """How a column is computed: `evaluate(split, protocol, setting)` returns the result of a cell.

    Or, of a method that trains a network, a generator that yields its trainings, each to be run by whoever asks for the
    next one, and returns the result.

    nus: one cell for each, None where nu plays no part.   seeded: whether each seed needs a cell.
    protocol: the field of `grid.Grid` that holds the method's protocol.
    pretrained: whether the autoencoder's cell must be there first.   trains: whether it depends on the backend.
    """

    evaluate: Callable[..., dict | Generator[Training, None, dict]]
    nus: tuple[float | None, ...] = (None,)
    seeded: bool = True
    protocol: str = "shallow_protocol"
    pretrained: bool = False

    @property
    def trains(self) -> bool:
        """Whether it trains a network, on a backend."""
        return self.protocol != "shallow_protocol"

    def steps(self, split, protocol, setting: Setting) -> Generator[Training, None, dict]:
        """The cell's trainings, none of a method without; returns its result."""
        result = self.evaluate(split, protocol, setting)
        if isgenerator(result):
            result = yield from result
        return result


def _oc_svm(split, protocol: ShallowProtocol, setting):
    if protocol.width == "unscaled":
        return _oc_svm_at_its_start(split, protocol, setting)
    gammas = ("largest",) if protocol.width == "largest" else GAMMAS
    models = [_svm_of(gamma, split, protocol, setting) for gamma in gammas]
    scores = [model.anomaly_score(split.test) for model in models]
    chosen, auc = [], []
    for held in _hold_outs(len(split.test)):
        best = best_on_hold_out([s[held] for s in scores], split.is_anomaly[held])
        chosen.append(best)
        auc.append(_auc_of(scores[best], split, held if protocol.apart else ()))
    result = {"auc": {"trained": auc}, "scores": scores[chosen[0]], "gamma": [models[i].gamma_ for i in chosen]}
    if protocol.width == "grid":
        honest = _svm_of(None, split, protocol, setting)
        result["auc"]["unsupervised"] = area_under_roc(honest, split)
        result["gamma_unsupervised"] = honest.gamma_
    return result


def _oc_svm_at_its_start(split, protocol, setting):
    """With ten random orders of the training samples: the solver gives all the weight to the first nu n of them."""
    model = _svm_of(STUCK_GAMMA, split, protocol, setting)
    train, test = model.components(split.train), model.components(split.test)
    scores, auc = [], []
    for draw, held in enumerate(_hold_outs(len(test))):
        model.fit_components(train[np.random.default_rng(draw).permutation(len(train))])
        scores.append(model.score_components(test))
        auc.append(_auc_of(scores[-1], split, held if protocol.apart else ()))
    return {"auc": {"trained": auc}, "scores": scores[0], "gamma": [STUCK_GAMMA] * HOLD_OUTS}


def _auc_of(scores, split, left_out):
    counted = np.delete(np.arange(len(scores)), np.array(left_out, int))
    return float(roc_auc_score(split.is_anomaly[counted], scores[counted]))


def _oc_svm_no_labels(split, protocol: ShallowProtocol, setting):
    model = _svm_of(None, split, protocol, setting)
    return {**_result(model, split), "gamma_unsupervised": model.gamma_}


def _svm_of(gamma, split, protocol, setting):
    name = preprocessing_of(protocol.svm, split)
    return OneClassSVM(gamma, setting.nu, preprocessing=name, threshold="nu", pca=protocol.pca).fit(split.train)


def _hold_outs(n):
    """Indices of a random tenth of the test samples, ten times."""
    orders = (np.random.default_rng(draw).permutation(n) for draw in range(HOLD_OUTS))
    return [order[: max(2, round(HOLD_OUT_FRACTION * n))] for order in orders]


def _kde(split, protocol: ShallowProtocol, setting):
    width = {
        "grid": {"bandwidths": tuple(2.0**exponent for exponent in protocol.exponents)},
        "largest": {"bandwidth": "largest", "kernel": "exponential"},
        "unscaled": {"bandwidth": WIDE_BANDWIDTH},
    }[protocol.width]
    name = preprocessing_of(protocol.kde, split)
    model = KernelDensity(preprocessing=name, threshold="nu", pca=protocol.pca, **width).fit(split.train)
    return {**_result(model, split), "bandwidth": model.bandwidth_}


def _result(model, split, **auc):
    """Scores of a fitted model on the test samples and their AUC, beside other entries of "auc"."""
    scores = model.anomaly_score(split.test)
    return {"auc": {**auc, "trained": float(roc_auc_score(split.is_anomaly, scores))}, "scores": scores}


def _isolation_forest(split, protocol: ShallowProtocol, setting):
    name = preprocessing_of(protocol.forest, split)
    model = IsolationForest(preprocessing=name, random_state=setting.seed, threshold="nu")
    return _result(model.fit(split.train), split)


def _dcae(split, protocol: Protocol, setting):
    split = kept_by(protocol, split, setting.weights_seed)

    def autoencoder(epochs=None):
        return autoencoder_of(protocol, split, setting.weights_seed, epochs, setting.backend)

    drawn, model = autoencoder(epochs=0).fit(split.train), autoencoder()
    collect_statistics(drawn.network_, drawn.preprocessing_.transform(split.train), protocol.batch_size)
    yield from model.trainings(split.train, setting.checkpoint)
    model.save(setting.weights)
    return _result(model, split, random=area_under_roc(drawn, split))


def _anogan(split, protocol: GanProtocol, setting):
    settings = {name: value for name, value in asdict(protocol).items() if name != "test_images"}
    n = len(split.test)
    chosen = _scored_images(n, protocol)
    some = replace(split, test=split.test[chosen], is_anomaly=split.is_anomaly[chosen])

    def anogan(**changes):
        return AnoGAN(
            **{**settings, **changes},
            preprocessing=preprocessing_for(split.train.shape[1:]),
            backend=setting.backend,
            random_state=setting.seed,
            verbose=0,
            threshold="nu",
        )

    model = anogan()
    yield from model.trainings(split.train, setting.checkpoint)
    found = model.search(some.test)
    scores = np.full(n, np.nan)
    scores[chosen] = found.losses
    auc = {
        "random": area_under_roc(anogan(epochs=0).fit(split.train), some),
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


def check_shape(method: str, shape: tuple[int, ...]) -> None:
    """ValueError, naming the method, where it takes no samples of that shape: AnoGAN draws images, of some sizes."""
    try:
        if method == "anogan":
            make_gan(gan_for(shape), shape, latent_dim=1)
    except ValueError as error:
        raise ValueError(f"methods={method!r}: {error}: leave it out") from None


def _deep_svdd(objective):
    def evaluate(split, protocol: Protocol, setting):
        autoencoder = yield from _pretrained(split, protocol, setting)
        split = kept_by(protocol, split, setting.weights_seed)
        model, result = yield from trainings_and_result(
            split,
            replace(protocol, held_out=0.0),
            objective=objective,
            nu=0.1 if setting.nu is None else setting.nu,
            backend=setting.backend,
            seed=setting.seed,
            verbose=0,
            autoencoder=autoencoder,
            checkpoint=setting.checkpoint,
        )
        kept = {name: result[name] for name in ("auc", "radius", "signs_of_collapse")}
        return {**kept, "scores": model.anomaly_score(split.test)}

    return evaluate


def _pretrained(split, protocol, setting):
    """The autoencoder of this seed, trained again when its file is missing or damaged."""
    try:
        return load_model(setting.weights, setting.backend)
    except DataError:
        Path(setting.weights).unlink(missing_ok=True)
        yield from _dcae(split, protocol, setting)
        return load_model(setting.weights, setting.backend)


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
