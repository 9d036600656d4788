"""DeepSVDD: what training must achieve, reproducibility, the contract with scikit-learn, errors."""

import subprocess
import sys
import time
from itertools import combinations

import numpy as np
import pytest
import trainer_properties as properties
from helpers_processes import environment
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator
from trainer_properties import digits, small_model

from minisvdd import Autoencoder, CollapseWarning, DeepSVDD
from minisvdd.nn.layers import BatchNorm, Flatten, LeakyReLU, Linear, Sigmoid
from minisvdd.nn.networks import Sequential


@pytest.mark.parametrize(
    "holds",
    [
        properties.training_beats_epoch_0,
        properties.centre_is_the_mean_output,
        properties.radius_splits_the_training_set_at_nu,
        properties.radius_in_training_is_squared_once,
        properties.weight_decay_counts_once,
        properties.constants_come_from_the_training_set,
    ],
    ids=lambda f: f.__name__,
)
def test_property(holds):
    holds()


def test_soft_boundary_training_beats_epoch_0():
    split, auc = digits("6"), {}
    model = small_model(objective="soft-boundary", epochs=60).fit(
        split.train, on_stage=lambda stage, m: auc.update({stage: properties.area_under_roc(m, split)})
    )
    assert auc["trained"] > max(0.97, auc["random"] + 0.02), auc
    assert model.radius_ < model.history_["radius"][0]


def test_radius_moves_only_every_k_epochs():
    model = small_model(objective="soft-boundary", epochs=7, radius_every=3).fit(digits().train)
    radius = model.history_["radius"]
    assert radius[0] == radius[1] == radius[2]
    assert radius[3] == radius[4] == radius[5]
    assert len({radius[0], radius[3], radius[6], model.radius_}) == 4


def test_radius_updates_differ_only_in_soft_boundary():
    """Outputs are scaled down: with squared distances below 1 the authors' mix-up of R and R^2 shows."""
    train, soft, outside, one_class = digits().train, {}, {}, {}
    for rule in ("exact", "last-batch", "authors-theano"):
        arguments = {"radius_update": rule, "network": properties.scaled_network(0.2)}
        model = small_model(objective="soft-boundary", nu=0.1, epochs=6, **arguments).fit(train)
        soft[rule], outside[rule] = model.radius_, np.sum(model.anomaly_score(train) > 1e-6 * model.radius_**2)
        one_class[rule] = small_model(epochs=2, **arguments).fit(train).radius_
    assert outside["exact"] == int(0.1 * len(train))
    assert outside["authors-theano"] == round(0.01 * len(train)), "the upper bound of its search: 1 % outside"
    for a, b in combinations(soft, 2):
        assert abs(soft[a] - soft[b]) > 0.01 * soft["exact"], soft
    assert len(set(one_class.values())) == 1


def test_scores_follow_equation_5_and_the_signs_of_scikit_learn():
    split = digits()
    for objective in ("one-class", "soft-boundary"):
        model = small_model(objective=objective, epochs=3).fit(split.train)
        phi = model.network_.forward(model.preprocessing_.transform(split.test))
        d = ((phi - model.center_) ** 2).sum(axis=1)
        expected = d - model.radius_**2 if objective == "soft-boundary" else d
        score = model.anomaly_score(split.test)
        np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-6 * d.max())
        np.testing.assert_array_equal(model.score_samples(split.test), -score)
        np.testing.assert_array_equal(model.decision_function(split.test), -score - model.offset_)
        np.testing.assert_array_equal(model.predict(split.test) == -1, model.decision_function(split.test) < 0)


@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_threshold_leaves_at_most_nu_of_the_training_set_outside(objective):
    train = digits().train
    for nu in (0.01, 0.1, 0.5, 1.0):
        outside = np.mean(small_model(objective=objective, nu=nu, epochs=2).fit(train).predict(train) == -1)
        assert nu - 1.5 / len(train) <= outside <= nu


def test_pretraining_is_where_deep_svdd_starts():
    split, stages = digits(), {}

    def keep(stage, model):
        stages[stage] = {name: value.copy() for name, value in model.network_.params.items()}

    model = small_model(pretrain_epochs=3, epochs=2).fit(split.train, on_stage=keep)
    encoder = model.autoencoder_.network_.layers[0]
    assert list(stages) == ["random", "pretrained", "trained"]
    for name, weight in stages["pretrained"].items():
        np.testing.assert_array_equal(weight, encoder.params[name])
        assert not np.array_equal(weight, stages["random"][name])
        assert not np.array_equal(weight, stages["trained"][name])


def test_a_fitted_autoencoder_can_be_given():
    train = digits().train
    autoencoder = Autoencoder(
        network="digits_lenet", epochs=3, learning_rate=1e-3, preprocessing="gcn-l1", verbose=0
    ).fit(train)
    before = autoencoder.anomaly_score(train)
    model = small_model(autoencoder=autoencoder, epochs=2)
    weights = {}
    model.fit(train, on_stage=lambda stage, m: weights.setdefault(stage, m.network_.params["0.weight"].copy()))
    np.testing.assert_array_equal(weights["pretrained"], autoencoder.network_.layers[0].params["0.weight"])
    np.testing.assert_array_equal(autoencoder.anomaly_score(train), before)


def test_an_autoencoder_of_other_preprocessing_is_refused():
    train = digits().train
    autoencoder = Autoencoder(network="digits_lenet", preprocessing=None, epochs=1, verbose=0).fit(train)
    with pytest.raises(ValueError, match="preprocessing"):
        small_model(autoencoder=autoencoder).fit(train)


def test_training_loss_is_the_objective_without_decay():
    """With a learning rate near 0 the recorded loss is eq. (4) on outputs with batch statistics."""
    train = digits().train
    model = small_model(epochs=1, learning_rate=1e-12, batch_size=len(train)).fit(train)
    phi = model.network_.forward(model.preprocessing_.transform(train), training=True)
    assert model.history_["loss"][0] == pytest.approx(((phi - model.center_) ** 2).sum(axis=1).mean(), rel=1e-4)


def test_history_holds_every_epoch():
    model = small_model(epochs=4, milestones=(2,), learning_rate=1e-2).fit(digits().train)
    assert {len(values) for values in model.history_.values()} == {4}
    assert model.history_["epoch"] == [1, 2, 3, 4]
    np.testing.assert_allclose(model.history_["learning_rate"], [1e-2, 1e-2, 1e-3, 1e-3])
    assert all(seconds > 0 for seconds in model.history_["seconds"])


def test_a_milestone_may_be_the_start():
    model = small_model(epochs=1, milestones=(0,), learning_rate=1e-2).fit(digits().train)
    np.testing.assert_allclose(model.history_["learning_rate"], [1e-3])


def test_last_incomplete_batch_is_trained_on():
    """91 samples in batches of 30: the last batch holds one sample, which batch norm cannot take alone."""
    train = digits().train[:91]
    model = small_model(epochs=1, batch_size=30).fit(train)
    assert np.isfinite(model.history_["loss"]).all()
    weights = [small_model(epochs=1, batch_size=30).fit(train[:n]).network_.params["0.weight"] for n in (60, 80)]
    assert not np.array_equal(*weights)


_HASH = """
import hashlib, numpy as np, trainer_properties as p
model = p.small_model(pretrain_epochs=3, epochs=3, objective="soft-boundary").fit(p.digits().train)
digest = hashlib.sha256(b"".join(a.tobytes() for a in model.network_.params.values())).hexdigest()
"""


@pytest.mark.slow
def test_one_seed_one_result_in_two_processes():
    """This one and another."""
    here = {}
    exec(_HASH, here)
    there = [sys.executable, "-c", f"{_HASH}print(digest)"]
    done = subprocess.run(there, capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.strip() == here["digest"]


def test_seeds_and_generators():
    train = digits().train
    a, b, c = (
        small_model(epochs=1, random_state=state).fit(train).anomaly_score(train)
        for state in (7, np.random.default_rng(7), 8)
    )
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_refit_forgets_the_first_fit():
    train = digits().train
    model = small_model(epochs=2)
    model.fit(digits("5").train)
    np.testing.assert_array_equal(
        model.fit(train).anomaly_score(train), small_model(epochs=2).fit(train).anomaly_score(train)
    )


def test_fit_leaves_the_data_and_a_given_network_alone():
    train = digits().train
    copy = train.copy()
    network = Sequential([Flatten(), Linear(8), LeakyReLU(), Linear(4)])
    small_model(network=network, epochs=1).fit(train)
    np.testing.assert_array_equal(train, copy)
    assert not network.is_built


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::minisvdd.ThresholdWarning")  # scikit-learn's checks have 10 samples
@pytest.mark.parametrize(
    "estimator",
    [
        DeepSVDD(network="mlp", pretrain_epochs=1, epochs=2, verbose=0),
        DeepSVDD(
            network="mlp",
            objective="soft-boundary",
            pretrain_epochs=0,
            epochs=2,
            preprocessing="standardize",
            verbose=0,
        ),
        Autoencoder(network="mlp", epochs=2, verbose=0),
    ],
    ids=["one-class", "soft-boundary", "autoencoder"],
)
def test_scikit_learn_contract(estimator):
    checks = check_estimator(estimator, on_skip=None)
    assert len(checks) > 30


def test_clone_keeps_arguments_and_drops_the_fit():
    model = small_model(epochs=1).fit(digits().train)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    with pytest.raises(NotFittedError, match="call fit"):
        twin.anomaly_score(digits().test)


def test_features_and_one_feature_column():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1))
    model = DeepSVDD(pretrain_epochs=0, epochs=5, learning_rate=1e-3, preprocessing=None, verbose=0).fit(X)
    assert model.anomaly_score(np.array([[8.0]]))[0] > np.quantile(model.anomaly_score(X), 0.9)


@pytest.mark.parametrize("make", [DeepSVDD, Autoencoder])
@pytest.mark.parametrize(
    ("shape", "network", "preprocessing"),
    [
        ((1, 8, 8), "digits_lenet", "gcn-l1"),
        ((1, 28, 28), "mnist_lenet", "gcn-l1"),
        ((3, 20, 16), "small_lenet", "gcn-l1"),
        ((5,), "mlp", "standardize"),
    ],
)
def test_network_and_preprocessing_follow_from_the_samples(make, shape, network, preprocessing):
    X = np.random.default_rng(0).random((12, *shape), np.float32)
    quick = {"epochs": 1, "batch_size": 6, "threshold": "nu", "verbose": 0} | (
        {"pretrain_epochs": 1} if make is DeepSVDD else {}
    )
    chosen = make(**quick).fit(X)
    named = make(network=network, preprocessing=preprocessing, **quick).fit(X)
    assert chosen.network is None
    assert chosen.preprocessing_.name == preprocessing
    np.testing.assert_array_equal(chosen.anomaly_score(X), named.anomaly_score(X))


def test_an_autoencoder_is_judged_by_the_preprocessing_it_used():
    """Not by the word for it: "auto" is GCN-L1 on images."""
    X = digits().train[:40]
    autoencoder = Autoencoder(epochs=1, batch_size=20, verbose=0).fit(X)
    small_model(epochs=1, autoencoder=autoencoder, preprocessing="gcn-l1").fit(X)
    with pytest.raises(ValueError, match="trained with preprocessing='gcn-l1': expected None"):
        small_model(epochs=1, autoencoder=autoencoder, preprocessing=None).fit(X)


def test_fit_is_the_trainings_that_the_model_names():
    """Pre-training, training; what lies between is done when the next is asked for."""
    X, stages = digits().train[:60], []
    model = small_model(pretrain_epochs=2, epochs=3)
    trainings = model.trainings(X, on_stage=lambda stage, _: stages.append(stage))
    epochs, seen = [], []
    for training in trainings:
        epochs.append(training.plan.epochs)
        seen.append(list(stages))
        training.run()
    assert epochs == [2, 3]
    assert seen == [["random"], ["random", "pretrained"]]
    assert stages == ["random", "pretrained", "trained"]
    whole = small_model(pretrain_epochs=2, epochs=3).fit(X)
    np.testing.assert_array_equal(model.anomaly_score(X), whole.anomaly_score(X))


# What permits collapse is said before training; what looks like it, after.


def test_healthy_training_does_not_warn(recwarn):
    small_model(epochs=10).fit(digits().train)
    assert not [w for w in recwarn if issubclass(w.category, CollapseWarning)]


@pytest.mark.parametrize(
    ("layers", "proposition"),
    [
        ([Flatten(), Linear(8, bias=True), LeakyReLU(), Linear(4)], "Proposition 2"),
        ([Flatten(), Linear(8), BatchNorm(affine=True), LeakyReLU(), Linear(4)], "Proposition 2"),
        ([Flatten(), Linear(8), Sigmoid(), Linear(4)], "Proposition 3"),
    ],
)
def test_risky_networks_warn_before_training(layers, proposition):
    with pytest.warns(CollapseWarning, match=f"can collapse: layer .*{proposition}"):
        small_model(network=Sequential(layers), epochs=1).fit(digits().train)


def test_a_centre_at_zero_warns_before_training():
    with pytest.warns(CollapseWarning, match="Proposition 1"):
        small_model(center=np.zeros(32), epochs=1).fit(digits().train)


def test_a_large_array_is_scored_block_by_block(monkeypatch):
    """From its first sample to its last; what is no array, or fits into one block, in one piece."""
    train, seen = digits().train, []
    model = small_model(epochs=1).fit(train)
    X, whole = np.tile(train, (3, 1, 1, 1)), model.anomaly_score(train)
    block = DeepSVDD._block_scores
    monkeypatch.setattr(
        DeepSVDD,
        "_block_scores",
        lambda self, X, first, *more: seen.append((first, len(X))) or block(self, X, first, *more),
    )
    monkeypatch.setattr("minisvdd.svdd.detector.BLOCK", len(train))
    np.testing.assert_allclose(model.anomaly_score(X), np.tile(whole, 3), rtol=1e-5)
    assert seen == [(len(train) * i, len(train)) for i in range(3)]
    seen.clear()
    np.testing.assert_allclose(model.anomaly_score(train), whole, rtol=1e-5)
    np.testing.assert_allclose(model.anomaly_score(X.tolist()), np.tile(whole, 3), rtol=1e-5)
    assert seen == [(0, len(train)), (0, len(X))]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_centre_has_no_bad_number(bad):
    with pytest.raises(ValueError, match=r"center has shape \(32,\): expected \(32,\), finite numbers"):
        small_model(center=np.append(np.ones(31), bad), epochs=1).fit(digits().train)


# Bad input: one line that names the culprit.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"center": "a"}, "center='a': expected"),
        ({"center": [1.0, "b"]}, "center="),
        ({"decoder": "mirror"}, "decoder='mirror': expected a Sequential or None"),
        ({"network": ""}, "network='': expected one of"),
    ],
)
def test_arguments_that_mean_nothing_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        small_model(epochs=1, **arguments).fit(digits().train)


def _message(call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objective": "two-class"}, ["objective='two-class'", "soft-boundary"]),
        ({"nu": 0.0}, ["nu=0.0", "(0, 1]"]),
        ({"nu": 1.5}, ["nu=1.5", "(0, 1]"]),
        ({"nu": float("nan")}, ["nu=nan"]),
        ({"nu": "0.1"}, ["nu='0.1'"]),
        ({"network": "resnet"}, ["network='resnet'", "mnist_lenet"]),
        ({"network": "mnist_lenet"}, ["mnist_lenet", "28x28", "8x8"]),
        ({"network": "mlp"}, ["mlp", "features"]),
        ({"network": 5}, ["network=5"]),
        ({"epochs": -1}, ["epochs=-1"]),
        ({"epochs": 1.5}, ["epochs=1.5"]),
        ({"pretrain_epochs": -1}, ["pretrain_epochs=-1"]),
        ({"batch_size": 0}, ["batch_size=0"]),
        ({"batch_size": 1}, ["batch_size=1", "batch norm"]),
        ({"learning_rate": 0}, ["learning_rate=0"]),
        ({"weight_decay": -1.0}, ["weight_decay=-1.0"]),
        ({"radius_update": "median"}, ["radius_update='median'", "exact"]),
        ({"radius_every": 0}, ["radius_every=0"]),
        ({"center": np.zeros(3)}, ["center", "(3,)", "(32,)"]),
        ({"center": np.full(32, np.nan)}, ["center", "finite"]),
        ({"backend": "abacus"}, ["backend='abacus'", "numpy"]),
        ({"random_state": -3}, ["random_state=-3"]),
        ({"random_state": "x"}, ["random_state='x'"]),
        ({"preprocessing": "pca"}, ["preprocessing='pca'", "gcn-l1"]),
        ({"preprocessing": np.array(["auto", "gcn-l1"])}, ["preprocessing=array", "gcn-l1"]),
        ({"milestones": 5}, ["milestones=5"]),
        ({"milestones": np.int64(5)}, ["milestones=", "5", "sequence"]),
        ({"milestones": None}, ["milestones=None"]),
        ({"milestones": ("5",)}, ["milestones=('5',)"]),
        ({"milestones": "12"}, ["milestones='12'"]),
        ({"slope": 2}, ["slope=2"]),
        ({"affine": 1}, ["affine=1", "True or False"]),
        ({"affine": np.array([True, False])}, ["affine=array", "True or False"]),
        ({"threshold": ["nu"]}, ["threshold=['nu']", "holdout"]),
    ],
)
def test_bad_arguments(change, words):
    message = _message(lambda: small_model(**change).fit(digits().train))
    assert all(word in message for word in words), message


def test_bad_samples():
    train = digits().train
    with_nan, with_inf = train.copy(), train.copy()
    with_nan[3, 0, 2, 1] = np.nan
    with_inf[5, 0, 0, 0] = np.inf
    model = small_model(epochs=1)
    assert "(3, 0, 2, 1)" in _message(lambda: model.fit(with_nan))
    assert "(5, 0, 0, 0)" in _message(lambda: model.fit(with_inf))
    assert "at least 2" in _message(lambda: model.fit(train[:1]))
    assert "(0, 1, 8, 8)" in _message(lambda: model.fit(train[:0]))
    assert "(90, 8, 1)" in _message(lambda: model.fit(train[:90, 0, :, :1]))
    assert "dtype" in _message(lambda: model.fit(np.full((4, 1, 8, 8), "a")))
    model.fit(train)
    assert "(2, 1, 9, 9)" in _message(lambda: model.anomaly_score(np.zeros((2, 1, 9, 9))))
    assert "(1, 8, 8)" in _message(lambda: model.anomaly_score(train.reshape(len(train), -1)))
    assert "(3, 0, 2, 1)" in _message(lambda: model.anomaly_score(with_nan))


def test_divergence_is_an_error_that_names_the_epoch():
    with pytest.raises(FloatingPointError, match="epoch"), np.errstate(all="ignore"):
        small_model(network=Sequential([Flatten(), Linear(4)]), learning_rate=1e30, epochs=5).fit(digits().train)


@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_the_threshold_lies_a_hair_beyond_the_sphere(objective):
    """1e-5 of R^2, so that rounding does not put a sample on the sphere outside; R far from 1 shows which way."""
    model = small_model(objective=objective, epochs=0, nu=0.1).fit(100 * digits().train)
    R2 = model.radius_**2
    assert model.offset_ == pytest.approx(-1e-5 * R2 - (0 if objective == "soft-boundary" else R2), rel=1e-9)


@pytest.mark.parametrize("name", ["epochs", "pretrain_epochs", "radius_every", "batch_size"])
def test_counts_are_whole_numbers(name):
    with pytest.raises(ValueError, match=f"^{name}=1.5"):
        small_model(**{name: 1.5}).fit(digits().train[:40])


def test_seconds_are_those_of_each_epoch():
    started = time.perf_counter()
    seconds = small_model(epochs=3).fit(digits().train[:64]).history_["seconds"]
    assert all(s > 0 for s in seconds)
    assert sum(seconds) <= time.perf_counter() - started
