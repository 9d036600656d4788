"""Collapse: Propositions 1 to 3 made to happen are detected and explained; healthy runs stay far from the limits."""

import re
import warnings

import numpy as np
import pytest
from trainer_properties import digits, small_model

from minisvdd import CollapseWarning, TrainingWarning
from minisvdd.experiments.experiments import area_under_roc
from minisvdd.nn.layers import BatchNorm, Flatten, LeakyReLU, Linear, ReLU, Tanh
from minisvdd.nn.networks import Sequential
from minisvdd.svdd import collapse

# Strong decay makes quick what is otherwise slow: it drives weights to 0 wherever the loss does not hold them.
LONG = {"epochs": 300, "learning_rate": 1e-2, "milestones": (150, 250), "weight_decay": 0.1}

# The figures by which collapse is told, as a healthy run may have them.
HEALTHY = {
    "relative_spread": 0.5,
    "distinct_fraction": 1.0,
    "contrast": 1.0,
    "offset_start": 0.0,
    "offset_end": 0.0,
    "weight_norm_ratio": 0.9,
    "decay_share": 0.0,
    "idle_epochs": 0.0,
    "was_constant": False,
}


def perceptron(bias=False, activation=LeakyReLU, affine=None):
    norm = [] if affine is None else [BatchNorm(affine=affine)]
    return Sequential([Flatten(), Linear(32, bias=bias), *norm, activation(), Linear(8, bias=bias)])


def fit(network, **changes):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = small_model(network=network, **{**LONG, **changes}).fit(digits().train)
    after = [str(w.message) for w in caught if str(w.message).startswith("hypersphere collapse")]
    return model, after


def test_healthy_run_shows_no_sign_and_keeps_its_distance():
    model, messages = fit(perceptron())
    figures = model.diagnostics()
    assert messages == figures["signs_of_collapse"] == []
    assert figures["relative_spread"] > 100 * collapse.MIN_RELATIVE_SPREAD
    assert figures["contrast"] > 3 * collapse.MIN_CONTRAST
    assert figures["offset_end"] < collapse.MAX_OFFSET_BY_DECAY / 3
    assert figures["distinct_fraction"] > 0.95


def test_proposition_2_a_bias_collapses_the_sphere():
    """The same network and training as the healthy run, but for the bias: one answer to everything, no weights."""
    model, messages = fit(perceptron(bias=True))
    text = " ".join(messages)
    assert "scrambled samples lie only" in text, model.diagnostics()
    assert "weight array fell" in text
    assert "Proposition 2" in text
    assert "Proposition 1" not in text, "the weights vanish because the bias alone can reach c"


def test_proposition_1_a_centre_at_zero_lets_the_weights_vanish():
    """The same network and training as the healthy run, but for c, the output of the zero network."""
    model, messages = fit(perceptron(), center=np.zeros(8))
    text = " ".join(messages)
    assert "scrambled samples lie only" in text, model.diagnostics()
    assert "weight array fell" in text
    assert "Proposition 1" in text
    assert "Proposition 2" not in text


def test_proposition_1_the_zero_network_is_found_out():
    """Weights set to zero by hand: scores constant, outputs one spot, norms gone, each said in words."""
    model, _ = fit(perceptron(), epochs=1)
    X = model.preprocessing_.transform(digits().train)
    start = collapse.snapshot(model.network_, X, model.center_, 0.1)
    for weight in model.network_.params.values():
        weight[...] = 0
    end = collapse.snapshot(model.network_, X, model.center_, 0.1)
    signs = " ".join(collapse.signs_of_collapse(collapse.compare(start, end), model.network_))
    assert "scores are (nearly) constant" in signs
    assert "weight array fell to 0" in signs
    assert "Proposition 1" in signs


def test_proposition_2_the_constant_solution_exists():
    """W^L = 0 and b^L = c maps every input to c exactly: loss (4) is 0."""
    model, _ = fit(perceptron(bias=True), epochs=0)
    last = model.network_.layers[-1]
    last.params["weight"][...] = 0
    last.params["bias"][...] = model.center_
    np.testing.assert_allclose(model.anomaly_score(digits().test), 0, atol=1e-12)


def test_structure_is_judged_without_a_list_of_types():
    assert collapse.structural_risks(perceptron()) == []
    assert collapse.structural_risks(perceptron(affine=False)) == []
    assert len(collapse.structural_risks(perceptron(bias=True))) == 2
    assert "Proposition 2" in collapse.structural_risks(perceptron(affine=True))[0]
    assert "Proposition 3" in collapse.structural_risks(perceptron(activation=Tanh))[0]
    assert "Proposition 1" in collapse.structural_risks(perceptron(), np.zeros(8))[0]


def test_explanations_are_what_the_network_has():
    """The causes that this network has, in the order: a centre at 0, layer by layer; without any, Proposition 1."""
    figures = {**HEALTHY, "relative_spread": 0.0, "distinct_fraction": 0.01, "weight_norm_ratio": 0.0}

    def propositions(network, center=None):
        signs = collapse.signs_of_collapse(figures, network, center)
        return [re.search("Proposition [123]", sign)[0] for sign in signs if "Proposition" in sign]

    first, second, third = (f"Proposition {n}" for n in (1, 2, 3))
    assert propositions(perceptron()) == [first]
    assert propositions(perceptron(bias=True)) == [second, second]
    assert propositions(perceptron(affine=True)) == [second]
    assert propositions(perceptron(activation=Tanh)) == [third]
    assert propositions(perceptron(bias=True, activation=Tanh)) == [second, third, second]
    assert propositions(perceptron(), np.zeros(8)) == [first]
    assert propositions(perceptron(bias=True), np.zeros(8)) == [first, second, second]
    assert propositions(perceptron(bias=True), np.ones(8)) == [second, second]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"relative_spread": 1e-4}, "scores are (nearly) constant"),
        ({"distinct_fraction": 0.4}, "only 40.0% of the different samples"),
        ({"contrast": 0.01}, "scrambled samples lie only 0.01 times"),
        ({"offset_end": 5.0}, "in one spot beside c"),
        ({"offset_end": 1.5, "decay_share": 0.4}, "in one spot beside c"),
    ],
)
def test_each_sign_alone_is_one(changes, words):
    assert collapse.signs_of_collapse(HEALTHY, perceptron()) == []
    sign, explanation = collapse.signs_of_collapse({**HEALTHY, **changes}, perceptron())
    assert words in sign
    assert ("weight decay" if "decay_share" in changes else "Proposition 1") in explanation


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_norm_ratio": 1e-6},
        {"radius_ratio": 1e-9},
        {"offset_end": 5.0, "offset_start": 40.0},
        {"offset_end": 1.5},
        {"decay_share": 0.99},
    ],
)
def test_what_is_no_sign_by_itself(changes):
    """Weights before batch norm may vanish, radii shrink, a far centre be far; decay may be most of the objective."""
    assert collapse.signs_of_collapse({**HEALTHY, **changes}, perceptron()) == []


def test_figures_by_hand():
    """phi(x) = w x with w = 1 before and 1/2 after, c = 1; samples 0, 2, 4, 4, of which three are different."""
    network = Sequential([Linear(1), Linear(1)])
    network.build((1,), np.random.default_rng(0))
    for weight in network.params.values():
        weight[...] = 1
    X = np.array([[0], [2], [4], [4]], np.float32)
    start = collapse.snapshot(network, X, np.ones(1), 0.25)
    network.layers[0].params["weight"][...] = 0.5
    figures = collapse.compare(start, collapse.snapshot(network, X, np.ones(1), 0.25), weight_decay=0.8)
    # distances are 1, 1, 9, 9 before and 1, 0, 1, 1 after; R^2 for nu = 1/4 is d_(2)
    assert figures["relative_spread"] == pytest.approx(0.75**0.5 * 0.5 / 0.75)
    assert figures["score_spread_ratio"] == pytest.approx(0.75**0.5 * 0.5 / 4)
    assert figures["distinct_fraction"] == pytest.approx(2 / 3)
    assert figures["radius_ratio"] == pytest.approx(1 / 3)
    assert figures["weight_norm_ratio"] == pytest.approx(0.5)
    # one column: scrambled samples are the samples; outputs 0, 1, 2, 2 have the mean 5/4 and the spread sqrt(11)/4
    assert figures["contrast"] == pytest.approx(0.5)
    assert figures["offset_start"] == pytest.approx(1.5 / (11**0.5 / 2))
    assert figures["offset_end"] == pytest.approx(0.25 / (11**0.5 / 4))
    assert figures["decay_share"] == pytest.approx(0.5 / (0.5 + 0.75))  # 0.8 / 2 (0.25 + 1)


def test_figures_of_all_samples_in_one_point():
    """Standard deviation and mean are both 0: that is a collapse, whatever 0 / 0 is."""
    network, X = Sequential([Linear(2)]), np.arange(1.0, 9.0, dtype=np.float32)[:, None]
    network.build((1,), np.random.default_rng(0))
    start = collapse.snapshot(network, X, np.zeros(2), 0.1)
    network.layers[0].params["weight"][...] = 0
    figures = collapse.compare(start, collapse.snapshot(network, X, np.zeros(2), 0.1))
    assert figures["relative_spread"] == figures["radius_ratio"] == figures["contrast"] == 0
    assert "scores are (nearly) constant" in collapse.signs_of_collapse(figures, network)[0]


def test_figures_are_computed_in_double_precision(rng):
    """Single precision would leave nothing of a spread of 1e-3 about 1e4."""
    network, X = Sequential([Flatten()]), rng.uniform(1, 2, (1001, 1)).astype(np.float32)
    figures = collapse.snapshot(network, X, np.array([-1e4]), 0.1)
    assert figures["score_spread"] == pytest.approx(((X.astype(float) + 1e4) ** 2).std(), rel=1e-9)


def test_scrambled_samples_keep_every_feature_and_no_sample(rng):
    X = rng.normal(size=(300, 2, 3)).astype(np.float32)
    others = collapse.scrambled(X)
    np.testing.assert_array_equal(np.sort(others, axis=0), np.sort(X, axis=0))
    assert not any((x == X).all(axis=(1, 2)).any() for x in others)
    np.testing.assert_array_equal(others, collapse.scrambled(X))
    assert len(collapse.scrambled(np.zeros((2500, 1)))) == 834  # every third
    assert collapse.count_distinct(np.array([[0.0, 1], [-0.0, 1], [1, 0], [1, 0]])) == 2


# What is in the data


def features(rng, n=120):
    mix = rng.normal(size=(2, 6))
    return (rng.normal(size=(n, 2)) @ mix + 0.1 * rng.normal(size=(n, 6))).astype(np.float32)


def fit_features(X, **changes):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = small_model(**{"network": None, "preprocessing": "auto", **changes}).fit(X)
    return model.diagnostics(), [str(w.message) for w in caught if issubclass(w.category, CollapseWarning)]


def test_repeated_samples_are_no_collapse(rng):
    """Thermometers in whole degrees, yes/no columns, oversampling: as many scores as there are different samples."""
    few = np.round(rng.normal(20, 1.5, (400, 2))).astype(np.float32)
    answers = rng.integers(0, 2, (300, 6)).astype(np.float32)
    for X in (few, answers, features(rng, 20).repeat(10, axis=0)):
        figures, messages = fit_features(X)
        assert messages == figures["signs_of_collapse"] == []
        assert figures["distinct_fraction"] > 0.9


def test_a_centre_far_away_is_no_collapse():
    """The radius falls to a small part of the distance at the start, which says how far c was."""
    model, messages = fit(None, center=np.full(32, 20.0), epochs=100, milestones=(80,), weight_decay=1e-6)
    assert model.diagnostics()["radius_ratio"] < 0.05
    assert messages == model.diagnostics()["signs_of_collapse"] == []


def test_a_constant_column_is_a_hidden_bias(rng):
    """Raw: said before training, and the cause of what happens. Standardised it is 0 and harmless. Nearly: the same."""
    X = features(rng)
    with_column = np.column_stack([X, np.full(len(X), 3.0, np.float32)])
    assert fit_features(with_column, epochs=1)[1] == []
    for raw in (with_column, 1 + np.float32(0.01) * X):
        _, messages = fit_features(raw, preprocessing=None, epochs=1)
        assert len(messages) == 1
        assert re.search(r"can collapse: \d of \d columns .* \(nearly\) constant: Proposition 2", messages[0])
    _, messages = fit(perceptron(), epochs=1)
    assert messages == []
    long = small_model(network=perceptron(), preprocessing=None, **LONG)
    with pytest.warns(CollapseWarning, match="hypersphere collapse: 1 of 7 columns of the samples, the first is 6"):
        long.fit(with_column)


def test_constant_pixels_are_no_bias_where_they_are_0():
    images = digits().train
    assert len(collapse.constant_columns(images)) == 0
    assert (images == 0).all(axis=0).any(), "the digits have such pixels"
    white = np.concatenate([images, np.ones_like(images)], axis=1)
    np.testing.assert_array_equal(collapse.constant_columns(white), np.arange(64, 128))
    assert len(collapse.constant_columns(white[:1])) == 0


def test_samples_that_are_all_alike_are_said_to_be(rng):
    figures, messages = fit_features(np.tile(features(rng, 1), (30, 1)), preprocessing=None, epochs=1)
    assert "all samples are alike" in messages[0]
    assert "all samples are alike" in figures["signs_of_collapse"][-1]
    assert collapse.structural_risks(perceptron(), np.ones(8), features(rng, 1)) == [], "one is like no other"


def test_dead_units_are_named(rng):
    """ReLU on negative samples: nothing but one output, before training and after."""
    figures, _ = fit_features(-np.abs(features(rng)), preprocessing=None, network=Sequential([ReLU(), Linear(4)]))
    assert "no unit of the network responds" in figures["signs_of_collapse"][-1]


def test_batch_norm_at_the_end_has_its_mean_at_zero():
    network = Sequential([Flatten(), Linear(8), LeakyReLU(), Linear(8), BatchNorm()])
    for epsilon, count in ((0.0, 1), (0.1, 0)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            small_model(network=network, center_epsilon=epsilon, epochs=1).fit(digits().train)
        assert sum("8 of 8 coordinates of the center are 0" in str(w.message) for w in caught) == count


def test_weight_decay_that_holds_the_outputs_beside_c_is_named(rng):
    model, messages = fit(perceptron(), weight_decay=1.0, learning_rate=1e-3, epochs=100, milestones=(80,))
    assert "in one spot beside c" in messages[0]
    assert "weight decay makes up" in messages[1]
    assert model.diagnostics()["decay_share"] > 0.9


# Soft-boundary without a sample outside


def soft_boundary(**changes):
    split, auc = digits(), {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = small_model(objective="soft-boundary", **changes)
        model.fit(split.train, on_stage=lambda stage, m: auc.update({stage: area_under_roc(m, split)}))
    return model, auc, [str(w.message) for w in caught if issubclass(w.category, TrainingWarning)]


def test_weight_decay_alone_ruins_nothing():
    """nu n = 0.92: nobody lies outside, and steps of weight decay alone took the AUC from 0.86 to 0.53."""
    model, auc, messages = soft_boundary(nu=0.01, epochs=100, milestones=(80,))
    assert auc["trained"] > auc["random"]
    before, after = messages
    assert "nu n = 0.92 < 1" in before
    assert f"no sample lay outside the sphere in {model.diagnostics()['idle_epochs']:.0%} of the epochs" in after


def test_an_ordinary_nu_trains():
    """About a third of its epochs find nobody outside: the radius is the same in five, and samples move in."""
    model, auc, messages = soft_boundary(nu=0.1, epochs=60)
    assert messages == []
    assert 0.1 < model.diagnostics()["idle_epochs"] < collapse.MOST_IDLE
    assert auc["trained"] > 0.95


def test_nu_n_of_one_leaves_one_outside():
    assert collapse.few_outside("soft-boundary", 0.29, 100) == []
    assert collapse.few_outside("soft-boundary", 1 / 49, 49) == []
    assert collapse.few_outside("one-class", 0.01, 50) == []
    assert "use nu >= 0.02" in collapse.few_outside("soft-boundary", 0.01, 50)[0]


def test_a_centre_that_is_0_in_places_is_a_risk():
    center = np.ones(8)
    center[[2, 5]] = 0
    assert collapse.structural_risks(perceptron(), np.ones(8)) == []
    assert collapse.structural_risks(perceptron(), center)[0].startswith("2 of 8 coordinates of the center are 0")


def test_collapse_warning_is_a_user_warning():
    assert issubclass(CollapseWarning, UserWarning)
