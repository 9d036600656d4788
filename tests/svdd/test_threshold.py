"""Detectors with held-out samples: new normal samples raise alarms at the rate asked for; p-values; files; resuming."""

import os
import pickle

import numpy as np
import pytest
from helpers_data import one_line_error
from scipy.stats import binom
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from trainer_properties import digits, small_model

from minisvdd import (
    AnoGAN,
    Autoencoder,
    Checkpoint,
    DeepSVDD,
    IsolationForest,
    KernelDensity,
    OneClassSVM,
    ThresholdWarning,
    load_dataset,
    load_model,
)
from minisvdd.svdd.conformal import false_alarm_interval

DEEP = {"epochs": 2, "batch_size": 32, "milestones": (), "verbose": 0}
MAKERS = {
    "one-class": lambda **options: DeepSVDD(pretrain_epochs=1, **{**DEEP, **options}),
    "soft-boundary": lambda **options: DeepSVDD("soft-boundary", pretrain_epochs=1, **{**DEEP, **options}),
    "autoencoder": lambda **options: Autoencoder(**{**DEEP, **options}),
    "oc-svm": OneClassSVM,
    "kde": KernelDensity,
    "isolation-forest": lambda **options: IsolationForest(n_trees=20, **options),
}
pytestmark = pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")


def features(n=300, seed=0):
    """Normal samples of a mixture, float32 as the detectors see them."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 4)) * [1, 2, 0.5, 1] + rng.integers(0, 2, (n, 1)) * 3).astype(np.float32)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_threshold_is_an_order_statistic_of_samples_that_training_did_not_see(kind):
    X = features(100)
    model = MAKERS[kind](false_alarm_rate=0.1).fit(X)
    assert model.threshold_kind_ == "holdout"
    assert model.false_alarm_rate_ == 0.1
    scores = model.anomaly_score(X)
    held = np.random.default_rng(0).permutation(100)[:19]  # the first thing that the seed's generator draws
    np.testing.assert_allclose(model.holdout_scores_, np.sort(scores[held]), rtol=1e-5, atol=1e-6)
    assert (model.predict(X[held]) == -1).sum() == 1  # of 20, the new one included, two
    seed = {"random_state": _after_the_draw()} if _draws_on(kind) else {}
    alone = MAKERS[kind](threshold="nu", **seed).fit(np.delete(X, held, axis=0))
    np.testing.assert_array_equal(alone.anomaly_score(X), scores)


def _draws_on(kind):
    """Whether weights are drawn by the generator that has drawn the hold-out; the others hold out by seed 0."""
    return kind not in ("oc-svm", "kde", "isolation-forest")


def _after_the_draw():
    rng = np.random.default_rng(0)
    rng.permutation(100)
    return rng


@pytest.mark.parametrize("kind", MAKERS)
def test_p_values_decide_like_predict_and_the_rate_can_be_moved(kind):
    X, new = features(200), features(400, seed=1)
    model = MAKERS[kind]().fit(X)
    for rate in (0.05, 0.1, 0.3, 0.05):
        assert model.set_false_alarm_rate(rate) is model
        assert model.false_alarm_rate_ == rate
        for samples in (X, new):
            np.testing.assert_array_equal(model.predict(samples) == -1, model.p_value(samples) <= rate)
            np.testing.assert_array_equal(model.anomaly_score(samples) > model.threshold_, model.predict(samples) == -1)
    np.testing.assert_array_equal(model.p_value(new), model.p_value_of(model.anomaly_score(new)))
    assert one_line_error(lambda: model.set_false_alarm_rate(0.01), "0.01", "at least 99", "got 39", error=ValueError)
    assert one_line_error(lambda: model.set_false_alarm_rate(1), "false_alarm_rate=1", error=ValueError)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_copy_of_a_held_out_sample_is_decided_like_the_sample(kind):
    """Alone, its score is summed in another order than among the others: rounding must not raise an alarm."""
    X = features(100)
    model = MAKERS[kind](false_alarm_rate=0.1).fit(X)
    held = np.random.default_rng(0).permutation(100)[:19]
    p = model.p_value(X[held])
    np.testing.assert_array_equal([model.p_value(X[i : i + 1])[0] for i in held], p)
    np.testing.assert_allclose(np.sort(p), np.arange(2, 21) / 20)


def test_calibrate_takes_new_normal_samples():
    X, new = features(60), features(500, seed=1)
    model = KernelDensity(threshold="nu").fit(X)
    scores = model.anomaly_score(new)
    assert model.threshold_kind_ == "nu"
    one_line_error(lambda: model.p_value(X), "calibrate", error=ValueError)
    one_line_error(lambda: model.set_false_alarm_rate(0.1), "calibrate", error=ValueError)
    assert model.calibrate(new[:399], 0.1) is model
    np.testing.assert_array_equal(model.holdout_scores_, np.sort(scores[:399]))
    np.testing.assert_array_equal(model.anomaly_score(new), scores)  # it is the threshold alone that moves
    assert (model.predict(new[:399]) == -1).sum() == 39
    assert model.calibrate(new[:100]).false_alarm_rate_ == 0.05  # of the constructor
    one_line_error(lambda: model.calibrate(new[:8], 0.1), "at least 9", "got 8", error=ValueError)


@pytest.mark.parametrize("kind", MAKERS)
def test_too_few_samples(kind):
    X = features(37)
    with pytest.warns(ThresholdWarning, match="38 normal samples or more, 19 of them .* got 37") as caught:
        model = MAKERS[kind]().fit(X)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert (model.threshold_kind_, model.holdout_scores_, model.false_alarm_rate_) == ("nu", None, None)
    by_nu = MAKERS[kind](threshold="nu").fit(X)
    np.testing.assert_array_equal(model.anomaly_score(X), by_nu.anomaly_score(X))
    assert model.offset_ == by_nu.offset_
    one_line_error(lambda: MAKERS[kind](threshold="holdout").fit(X), "'holdout'", "38", "got 37", error=ValueError)
    assert MAKERS[kind](threshold="holdout", false_alarm_rate=0.1).fit(X).threshold_kind_ == "holdout"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": "conformal"}, "threshold='conformal'"),
        ({"false_alarm_rate": 0}, "false_alarm_rate=0"),
        ({"false_alarm_rate": 1.0}, "false_alarm_rate=1.0"),
        ({"holdout": 0.6}, "holdout=0.6"),
        ({"holdout": 0}, "holdout=0"),
        ({"refit": 1}, "refit=1"),
    ],
)
def test_arguments_are_named(options, words):
    for make in MAKERS.values():
        one_line_error(lambda make=make: make(**options).fit(features(60)), words, error=ValueError)


@pytest.mark.parametrize("kind", MAKERS)
def test_refit_trains_on_all_and_keeps_the_scores_of_the_hold_out(kind):
    X = features(100)
    first, refitted = (MAKERS[kind](refit=refit).fit(X) for refit in (False, True))
    every = MAKERS[kind](threshold="nu").fit(X)
    np.testing.assert_array_equal(refitted.anomaly_score(X), every.anomaly_score(X))
    np.testing.assert_array_equal(refitted.holdout_scores_, first.holdout_scores_)
    assert refitted.threshold_kind_ == "holdout"
    if kind != "soft-boundary":  # whose slack for rounding knows the new radius
        assert refitted.offset_ == first.offset_


def test_stages_are_those_of_the_last_training():
    seen = []

    def stage(name, model):
        seen.append((name, model.threshold_kind_, model.anomaly_score(X[:1])[0]))

    X = features(100)
    model = MAKERS["one-class"](refit=True).fit(X, on_stage=stage)
    assert [(name, kind) for name, kind, _ in seen] == [("random", "nu"), ("pretrained", "nu"), ("trained", "holdout")]
    assert seen[-1][2] == model.anomaly_score(X[:1])[0]
    every = []
    MAKERS["one-class"](threshold="nu").fit(X, on_stage=lambda name, fitted: every.append(fitted.anomaly_score(X[:1])))
    assert [score for _, _, score in seen] == [score[0] for score in every]


def test_the_autoencoder_inside_is_calibrated_on_the_same_samples():
    X = features(100)
    model = MAKERS["one-class"](false_alarm_rate=0.1).fit(X)
    held = np.random.default_rng(0).permutation(100)[:19]
    inner = model.autoencoder_
    np.testing.assert_allclose(inner.holdout_scores_, np.sort(inner.anomaly_score(X[held])), rtol=1e-5)
    assert (inner.predict(X[held]) == -1).sum() == 1
    by_itself = Autoencoder(**DEEP, false_alarm_rate=0.1).fit(X)
    before = (by_itself.offset_, by_itself.holdout_scores_)
    outer = MAKERS["one-class"](false_alarm_rate=0.1, autoencoder=by_itself).fit(X)
    assert outer.autoencoder_ is by_itself  # stays as it is
    assert (by_itself.offset_, by_itself.holdout_scores_) == before
    np.testing.assert_allclose(outer.holdout_scores_, np.sort(outer.anomaly_score(X[held])), rtol=1e-5)


@pytest.mark.slow
def test_anogan_holds_out_and_scores_no_more_than_it_must(tmp_path):
    X = digits().train
    options = {"latent_dim": 4, "epochs": 1, "search_steps": 2, "batch_size": 16, "verbose": 0}
    model = AnoGAN(false_alarm_rate=0.1, **options).fit(X)
    held = np.random.default_rng(0).permutation(len(X))[:19]
    np.testing.assert_allclose(model.holdout_scores_, np.sort(model.anomaly_score(X[held])), rtol=1e-5)
    assert not hasattr(model, "decision_scores_")
    assert not hasattr(model, "labels_")
    model.save(tmp_path / "gan.npz")
    np.testing.assert_array_equal(load_model(tmp_path / "gan.npz").p_value(X[:5]), model.p_value(X[:5]))
    many = np.random.default_rng(1).random((2000, 1, 4, 4))
    model = AnoGAN(**{**options, "batch_size": 500, "search_steps": 0}).fit(many)
    assert 19 <= len(model.holdout_scores_) < 256 + 20


@pytest.mark.parametrize("kind", ["one-class", "soft-boundary", "autoencoder"])
def test_a_saved_model_keeps_threshold_and_held_out_scores(kind, tmp_path):
    X, path = features(100), tmp_path / "model.npz"
    model = MAKERS[kind](false_alarm_rate=0.1).fit(X)
    for rate in (0.1, 0.2):
        model.set_false_alarm_rate(rate).save(path)
        for same in (load_model(path), pickle.loads(pickle.dumps(model))):
            np.testing.assert_array_equal(same.holdout_scores_, model.holdout_scores_)
            assert (same.offset_, same.threshold_kind_, same.false_alarm_rate_) == (model.offset_, "holdout", rate)
            np.testing.assert_array_equal(same.p_value(X), model.p_value(X))
            same.set_false_alarm_rate(0.3)
    assert clone(model).get_params() == model.get_params()
    with np.load(path) as archive:
        arrays = dict(archive)
    for wrong, words in (
        (arrays["holdout_scores"][::-1], "ascending"),
        (arrays["holdout_scores"].astype(np.float32), "float64"),
        (arrays["holdout_scores"][None], "(m,)"),
        (arrays["holdout_scores"] + 1, "offset_"),
        (arrays["holdout_scores"][:3], "at least 4"),
        (np.where(np.arange(19) == 3, np.nan, arrays["holdout_scores"]), "holdout_scores"),
    ):
        np.savez(path, **{**arrays, "holdout_scores": wrong})
        one_line_error(lambda: load_model(path), path, words)
    MAKERS[kind](threshold="nu").fit(X).save(path)
    assert load_model(path).threshold_kind_ == "nu"


@pytest.mark.slow
@pytest.mark.parametrize("refit", [False, True])
def test_a_resumed_training_holds_out_the_same_samples(refit, tmp_path):
    """Killed in whichever of its trainings: the model, threshold included, is that of the uninterrupted one."""
    X = digits().train

    def make():
        return small_model(pretrain_epochs=2, epochs=3, threshold="auto", refit=refit)

    whole = make().fit(X)
    epochs = 10 if refit else 5
    for killed_after in range(1, epochs + 1):
        left = killed_after
        for training in make().trainings(X, checkpoint=Checkpoint(tmp_path, 1)):
            while left and not training.is_done:
                training.start_epoch()
                training.finish_epoch()
                left -= 1
            if not left:
                break
        resumed = make().fit(X, checkpoint=Checkpoint(tmp_path, 1, resume=True))
        np.testing.assert_array_equal(resumed.anomaly_score(X), whole.anomaly_score(X))
        np.testing.assert_array_equal(resumed.holdout_scores_, whole.holdout_scores_)
        assert resumed.offset_ == whole.offset_
        assert resumed.autoencoder_.offset_ == whole.autoencoder_.offset_
    held = np.random.default_rng(0).permutation(len(X))[:1]
    other = X.copy()
    other[held] *= 0.5
    resume = Checkpoint(tmp_path, resume=True)
    one_line_error(lambda: make().fit(other, checkpoint=resume), "autoencoder.npz", "held_out was")
    resume.remove()
    assert not tmp_path.exists()


@pytest.mark.parametrize("kind", MAKERS)
def test_the_words_of_pyod(kind):
    X, new = features(100), features(50, seed=1)
    model = MAKERS[kind](false_alarm_rate=0.1).fit(X)
    np.testing.assert_array_equal(model.decision_scores_, model.anomaly_score(X))
    np.testing.assert_array_equal(model.labels_, (model.predict(X) == -1).astype(int))
    assert model.threshold_ == -model.offset_
    probability = model.predict_proba(new)
    np.testing.assert_array_equal(probability[:, 0], model.p_value(new))
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    for name in ("threshold_", "labels_"):
        with pytest.raises(AttributeError):
            setattr(model, name, 0)
    assert not hasattr(MAKERS[kind](threshold="nu").fit(X), "predict_proba")
    for name in ("decision_scores_", "labels_", "threshold_"):
        assert not hasattr(MAKERS[kind](), name)


def test_the_embedding():
    """Its squared distance from c is the score; a pipeline can go on with it, under scikit-learn's names."""
    X = features(100)
    model = MAKERS["one-class"]().fit(X)
    embedding = model.transform(X)
    assert (embedding.shape, embedding.dtype) == ((100, len(model.center_)), np.float64)
    np.testing.assert_allclose(((embedding - model.center_) ** 2).sum(axis=1), model.anomaly_score(X), rtol=1e-12)
    np.testing.assert_array_equal(MAKERS["one-class"]().fit_transform(X), embedding)
    assert model.get_feature_names_out()[1] == "deepsvdd1"
    images = small_model(epochs=1).fit(digits().train)
    assert images.transform(digits().test[:3]).shape == (3, 32)


# The promise, on real samples


def alarms(model, normal):
    return (model.predict(normal) == -1).mean()


def inside(model, normal, level=0.999):
    """The rate of alarms among new normal samples, which must lie where the hold-out lets one expect it."""
    rate = alarms(model, normal)
    low, high = false_alarm_interval(len(model.holdout_scores_), model.false_alarm_rate_, len(normal), level)
    assert low <= rate <= high, (rate, low, high)
    return rate


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAKERS)
def test_measurements_of_tumours(kind):
    """Benign ones are normal: 200 to train on, the others show the rate; several drawings of both."""
    X, y = load_breast_cancer(return_X_y=True)
    normal, rates = X[y == 1], []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(normal))
        make = MAKERS[kind](false_alarm_rate=0.1)
        if "random_state" in make.get_params():
            make.set_params(random_state=seed)
        if "preprocessing" in make.get_params():
            make.set_params(preprocessing="standardize")
        rates.append(inside(make.fit(normal[order[:200]]), normal[order[200:]]))
    # one rate has the variance a(1 - a) (1/(m + 2) + 1/n) about; m = 39
    assert np.mean(rates) == pytest.approx(0.1, abs=3 * np.sqrt(0.09 * (1 / 41 + 1 / 157) / 5))


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "epochs"), [("one-class", 20), ("soft-boundary", 40)])
def test_all_ten_digits(objective, epochs):
    """The training quantile calls a third of the new normal images anomalous; the hold-out as many as asked."""
    data = load_dataset("digits")
    settings = {"objective": objective, "epochs": epochs, "false_alarm_rate": 0.1}
    rates, by_nu = [], []
    for name in data.class_names:
        split = data.one_class(name)
        new = split.test[~split.is_anomaly]
        for seed in range(2):
            rates.append(inside(small_model(random_state=seed, threshold="auto", **settings).fit(split.train), new))
        if int(name) % 2 == 0:
            by_nu.append(alarms(small_model(**settings).fit(split.train), new))
    assert np.mean(rates) == pytest.approx(0.1, abs=0.02)
    assert np.mean(by_nu) > 0.3


@pytest.mark.slow
def test_textures():
    rng = np.random.default_rng(0)

    def texture(n, size=16):
        y, x = np.mgrid[:size, :size] / size * 20
        a, b = rng.uniform(0, 6.28, (2, n, 1, 1))
        waves = 0.5 + 0.2 * np.sin(x + a) * np.sin(y + b) + rng.normal(0, 0.03, (n, size, size))
        return np.clip(waves, 0, 1)[:, None].astype(np.float32)

    new = texture(1000)
    rates = []
    for seed in range(6):
        model = DeepSVDD(
            pretrain_epochs=2, epochs=10, learning_rate=1e-3, batch_size=32, false_alarm_rate=0.1,
            random_state=seed, verbose=0,
        ).fit(texture(150))  # fmt: skip
        rates.append(inside(model, new))
    assert np.mean(rates) == pytest.approx(0.1, abs=3 * np.sqrt(0.09 * (1 / 31 + 1 / 1000) / 6))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("MINISVDD_DATA"), reason="$MINISVDD_DATA is not set")
def test_mnist():
    split = load_dataset("mnist").one_class(8)
    new = split.test[~split.is_anomaly]
    model = DeepSVDD(pretrain_epochs=1, epochs=2, learning_rate=1e-3, verbose=0).fit(split.train)
    inside(model, new)
    # with 1169 held out, the rate of one hold-out hardly varies: the binomial distribution of the test images is left
    assert alarms(model, new) == pytest.approx(0.05, abs=4 * binom.std(len(new), 0.05) / len(new))
