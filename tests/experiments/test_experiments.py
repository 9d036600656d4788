"""Whole experiments on real images: what training does for the digits, and the figures of a result."""

from dataclasses import replace

import numpy as np
import pytest
from trainer_properties import digits

from minisvdd.data.datasets import load_dataset
from minisvdd.data.split import Split
from minisvdd.experiments.experiments import (
    area_under_roc,
    autoencoder_of,
    kept_by,
    signs_of_harm,
    train_and_evaluate,
)
from minisvdd.experiments.protocols import Protocol, get_protocol

pytestmark = pytest.mark.slow


def test_all_ten_digits():
    """Mean test AUC of at least 97 %, half of the images for training, and training is what brings it there.

    After a quarter of the epochs of the protocol.
    """
    few = {"pretrain_epochs": 25, "pretrain_milestones": (20,), "epochs": 25, "milestones": (20,)}
    data, protocol = load_dataset("digits"), replace(get_protocol("quick", "digits"), **few)
    results = [train_and_evaluate(data.one_class(name), protocol, verbose=0)[1] for name in data.class_names]
    auc = {stage: np.array([result["auc"][stage] for result in results]) for stage in results[0]["auc"]}
    assert auc["trained"].mean() >= 0.97
    assert auc["trained"].min() > 0.9
    assert auc["trained"].mean() > max(auc["random"].mean(), auc["pretrained"].mean()) + 0.05
    assert all(abs(2 * result["n_train"] - 180) < 15 for result in results)


def test_a_result_says_how_it_was_made():
    protocol = Protocol(pretrain_epochs=0, epochs=1, batch_size=32)
    model, result = train_and_evaluate(digits("7"), protocol, objective="soft-boundary", nu=0.2, seed=5, verbose=0)
    assert set(result["auc"]) == {"random", "trained"}
    expected = {"normal_class": "7", "objective": "soft-boundary", "nu": 0.2, "seed": 5, "epochs": 1, "batch_size": 32}
    assert expected.items() <= result.items()
    assert result["radius"] == model.radius_
    assert {"minisvdd", "python", "numpy", "scikit-learn"} == set(result["versions"])


def test_the_autoencoder_of_a_protocol_is_the_one_that_pre_trains(monkeypatch):
    """The DCAE column and the start of Deep SVDD come from one training: no setting of it may be lost on one way."""
    monkeypatch.setattr("minisvdd.nn.init._STEPS", 20)  # a dictionary that has hardly been learnt will do
    schedule = {"pretrain_epochs": 2, "pretrain_milestones": (1,), "pretrain_weight_decay": 1e-3, "epochs": 1}
    draws = {"affine": True, "gain": 1.3, "first_filters": "dictionary", "batches": "fixed", "slope": 0.2}
    protocol, split = Protocol(**schedule, **draws, learning_rate=1e-3, batch_size=32), digits("7")
    model, _ = train_and_evaluate(split, protocol, verbose=0)
    asked, own = autoencoder_of(protocol, split, seed=0).get_params(), model.autoencoder_.get_params()
    assert {name for name in own if own[name] != asked[name]} <= {"random_state"}


def test_an_experiment_trains_on_all_samples_unless_asked_otherwise():
    model, _ = train_and_evaluate(digits("7"), Protocol(pretrain_epochs=0, epochs=1), verbose=0)
    assert (model.threshold, model.refit, model.holdout_scores_) == ("nu", False, None)


def test_an_argument_that_nobody_knows_is_refused_by_its_name():
    protocol = Protocol(pretrain_epochs=0, epochs=1)
    with pytest.raises(TypeError, match="'treshold'"):
        train_and_evaluate(digits("7"), protocol, treshold="holdout", verbose=0)
    with pytest.raises(TypeError, match="'epochs'"):
        train_and_evaluate(digits("7"), protocol, epochs=5, verbose=0)


def test_what_a_protocol_holds_out_no_training_sees():
    split = digits()
    protocol = replace(get_protocol("quick", "digits"), pretrain_epochs=1, epochs=1, held_out=0.2)
    n = len(split.train)
    named = replace(split, train_names=tuple(f"{i}" for i in range(n)))
    kept = kept_by(protocol, named, 3)
    assert len(kept.train) == len(kept.train_names) == n - int(0.2 * n)
    for name, sample in zip(kept.train_names, kept.train):
        np.testing.assert_array_equal(sample, split.train[int(name)])
    assert kept.train_names == kept_by(protocol, named, 3).train_names != kept_by(protocol, named, 4).train_names
    assert kept_by(replace(protocol, held_out=0.0), named, 3) is named
    model, _ = train_and_evaluate(split, protocol, seed=3, verbose=0)
    assert len(model.decision_scores_) == len(kept.train)
    np.testing.assert_allclose(model.decision_scores_, model.anomaly_score(kept.train), rtol=1e-4)


def test_the_auc_is_the_chance_that_an_anomaly_scores_higher():
    class Fixed:
        def anomaly_score(self, X):
            return X[:, 0]

    test = np.array([[0.0], [1.0], [2.0], [3.0]])
    split = Split(test, test, np.array([0, 1, 0, 1]), "a", None)
    assert split.is_anomaly.dtype == bool
    assert area_under_roc(Fixed(), split) == pytest.approx(3 / 4)
    assert area_under_roc(Fixed(), Split(test, test, np.zeros(4, bool), "a", None)) is None
    assert area_under_roc(Fixed(), Split(test, None, None, "a", None)) is None


def test_harm_is_a_fall_of_the_auc_or_without_labels_a_radius_that_stays():
    good, bad = {"radius_ratio": 0.1}, {"radius_ratio": 0.5}
    assert signs_of_harm({"random": 0.9, "pretrained": 0.5, "trained": 0.95}, bad) == []
    assert signs_of_harm({"random": 0.9, "trained": 0.89}, good) == []
    (sign,) = signs_of_harm({"random": 0.726, "pretrained": 0.357, "trained": 0.557}, good)
    assert sign.startswith("training made it worse: test AUC 55.7 %, with random weights 72.6 %; more epochs")
    (sign,) = signs_of_harm({"random": 0.5, "pretrained": 0.9, "trained": 0.8}, good)
    assert "with pretrained weights 90.0 %" in sign
    assert signs_of_harm({}, good) == []
    assert signs_of_harm({}, bad)[0].startswith("training has hardly begun: the radius is still 0.50 of what it was")
