"""The method on one screen is the estimator: centre, radius, losses, weights and scores agree in float64."""

import inspect

import numpy as np
import pytest

from minisvdd import DeepSVDD, load_dataset
from minisvdd.nn import Conv2D, Flatten, LeakyReLU, Linear, MaxPool2D, Sequential
from minisvdd.svdd.plain import anomaly_score, deep_svdd

SETTINGS = {"nu": 0.2, "epochs": 3, "learning_rate": 1e-2, "weight_decay": 1e-3, "batch_size": 16, "radius_every": 2}
DIGITS = load_dataset("digits").one_class("3")
# Training samples, new ones, and a network for them.
FEATURES = tuple(np.random.default_rng(seed).standard_normal((n, 6), np.float32) for seed, n in ((0, 50), (1, 30)))
IMAGES = DIGITS.train[:50], DIGITS.test[:30]


class Precise(DeepSVDD):
    """The estimator in float64. In float32 rounding would decide whether the sample on the sphere is inside."""

    _dtype = np.float64


def network(X):
    convolution = [Conv2D(4, 3, padding="same"), LeakyReLU(0.1), MaxPool2D(2), Flatten()] if X.ndim == 4 else []
    return Sequential([*convolution, Linear(8), LeakyReLU(0.1), Linear(3)])


def both(X, objective, backend, seed=0):
    """The fitted estimator; then network, centre, R^2 and losses of the plain method from the same seed."""
    model = Precise(
        objective, network=network(X), pretrain_epochs=0, milestones=(), preprocessing=None, random_state=seed,
        backend=backend, verbose=0, threshold="nu", **SETTINGS,
    ).fit(X)  # fmt: skip
    rng, own = np.random.default_rng(seed), network(X)
    own.build(X.shape[1:], rng, np.float64)
    return model, own, *deep_svdd(own, X.astype(np.float64), rng, objective, **SETTINGS)


@pytest.mark.parametrize("samples", [FEATURES, IMAGES], ids=["features", "digits"])
@pytest.mark.parametrize("backend", ["plain", "numpy"])
@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_the_plain_method_is_the_estimator(objective, backend, samples):
    X, new = samples
    model, own, c, R2, losses = both(X, objective, backend)
    near = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(model.center_, c, **near)
    np.testing.assert_allclose(model.radius_**2, R2, **near)
    np.testing.assert_allclose(model.history_["loss"], losses, **near)
    for name, weight in model.network_.params.items():
        assert weight.dtype == np.float64
        np.testing.assert_allclose(weight, own.params[name], err_msg=name, **near)
    scores = anomaly_score(own, new.astype(np.float64), c, R2 if objective == "soft-boundary" else 0)
    np.testing.assert_allclose(model.anomaly_score(new), scores, rtol=1e-12 if X.ndim == 2 else 1e-5, atol=1e-12)


def test_defaults_are_the_estimator_s():
    """Except the milestones, of which one screen has no room: the rate is the first one all the time."""
    plain = inspect.signature(deep_svdd).parameters.values()
    own = {parameter.name: parameter.default for parameter in plain if parameter.default is not parameter.empty}
    assert own.items() <= DeepSVDD().get_params().items()
    assert len(own) == 8


@pytest.mark.parametrize("change", [{"nu": 0.3}, {"weight_decay": 0}, {"radius_every": 1}, {"center_epsilon": 0.5}])
def test_every_argument_counts(change):
    """So that the agreement above is no accident: another value of any of them leads elsewhere."""
    (_, *first), (_, *second) = (_plain(objective="soft-boundary", **{**SETTINGS, **more}) for more in ({}, change))
    assert not np.allclose(first[-1], second[-1], rtol=1e-6)


def _plain(**settings):
    X = FEATURES[0]
    rng, own = np.random.default_rng(0), network(X)
    own.build(X.shape[1:], rng, np.float64)
    return own, *deep_svdd(own, X.astype(np.float64), rng, **settings)


@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_the_formulas_train_like_their_fast_readings(objective):
    """Deep SVDD on the digits, pre-training included, on the backends "plain" and "numpy", in float32."""
    models = [
        DeepSVDD(objective, pretrain_epochs=1, epochs=3, batch_size=32, backend=backend, verbose=0).fit(DIGITS.train)
        for backend in ("plain", "numpy")
    ]
    plain, fast = models
    for name, weight in plain.network_.params.items():
        np.testing.assert_allclose(weight, fast.network_.params[name], rtol=1e-5, atol=1e-5, err_msg=name)
    scores = (model.anomaly_score(DIGITS.test) for model in models)
    np.testing.assert_allclose(*scores, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backend", ["plain", "numpy"])
def test_the_plain_method_is_the_estimator_where_nobody_is_outside(backend):
    """nu n < 1: the radius is the largest distance, and most steps have no gradient but weight decay's, which rests."""
    settings = {**SETTINGS, "nu": 0.01, "epochs": 6}
    X = FEATURES[0]
    model = Precise(
        "soft-boundary", network=network(X), pretrain_epochs=0, milestones=(), preprocessing=None, backend=backend,
        verbose=0, threshold="nu", **settings,
    ).fit(X)  # fmt: skip
    own, _, R2, losses = _plain(objective="soft-boundary", **settings)
    assert 0 in model.history_["fraction_outside"]
    np.testing.assert_allclose([model.radius_**2, *model.history_["loss"]], [R2, *losses], rtol=1e-12)
    for name, weight in model.network_.params.items():
        np.testing.assert_allclose(weight, own.params[name], rtol=1e-12, atol=1e-12, err_msg=name)
