"""The method on one screen is the estimator: centre, radius, losses, weights and scores agree in float64."""

import numpy as np
import pytest

from minisvdd import DeepSVDD
from minisvdd.nn.layers import LeakyReLU, Linear
from minisvdd.nn.networks import Sequential
from minisvdd.svdd.plain import anomaly_score, deep_svdd

SETTINGS = {"nu": 0.2, "epochs": 3, "learning_rate": 1e-2, "weight_decay": 1e-3, "batch_size": 16, "radius_every": 2}
X = np.random.default_rng(0).standard_normal((50, 6), np.float32)
NEW = np.random.default_rng(1).standard_normal((30, 6), np.float32)


class Precise(DeepSVDD):
    """The estimator in float64. In float32 rounding would decide whether the sample on the sphere is inside."""

    _dtype = np.float64


def network():
    return Sequential([Linear(8), LeakyReLU(0.1), Linear(3)])


def both(objective, backend, seed=0):
    """The fitted estimator; then network, centre, R^2 and losses of the plain method from the same seed."""
    model = Precise(
        objective, network=network(), pretrain_epochs=0, milestones=(), preprocessing=None, random_state=seed,
        backend=backend, verbose=0, **SETTINGS,
    ).fit(X)  # fmt: skip
    rng, own = np.random.default_rng(seed), network()
    own.build(X.shape[1:], rng, np.float64)
    return model, own, *deep_svdd(own, X.astype(np.float64), rng, objective, **SETTINGS)


@pytest.mark.parametrize("backend", ["plain", "numpy"])
@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_the_plain_method_is_the_estimator(objective, backend):
    model, own, c, R2, losses = both(objective, backend)
    near = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(model.center_, c, **near)
    np.testing.assert_allclose(model.radius_**2, R2, **near)
    np.testing.assert_allclose(model.history_["loss"], losses, **near)
    for name, weight in model.network_.params.items():
        assert weight.dtype == np.float64
        np.testing.assert_allclose(weight, own.params[name], err_msg=name, **near)
    scores = anomaly_score(own, NEW.astype(np.float64), c, R2 if objective == "soft-boundary" else 0)
    np.testing.assert_allclose(model.anomaly_score(NEW), scores, **near)


@pytest.mark.parametrize("change", [{"nu": 0.3}, {"weight_decay": 0}, {"radius_every": 1}, {"center_epsilon": 0.5}])
def test_every_argument_counts(change):
    """So that the agreement above is no accident: another value of any of them leads elsewhere."""
    (_, *first), (_, *second) = (_plain(objective="soft-boundary", **{**SETTINGS, **more}) for more in ({}, change))
    assert not np.allclose(first[-1], second[-1], rtol=1e-6)


def _plain(**settings):
    rng, own = np.random.default_rng(0), network()
    own.build(X.shape[1:], rng, np.float64)
    return own, *deep_svdd(own, X.astype(np.float64), rng, **settings)
