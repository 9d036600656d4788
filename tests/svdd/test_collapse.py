"""Collapse: Propositions 1 to 3 made to happen are detected and explained; healthy runs stay far from the limits."""

import re
import warnings

import numpy as np
import pytest
from trainer_properties import digits, small_model

from minisvdd import CollapseWarning
from minisvdd.nn.layers import BatchNorm, Flatten, LeakyReLU, Linear, Tanh
from minisvdd.nn.networks import Sequential
from minisvdd.svdd import collapse

# Strong decay makes quick what is otherwise slow: it drives weights to 0 wherever the loss does not hold them.
LONG = {"epochs": 300, "learning_rate": 1e-2, "milestones": (150, 250), "weight_decay": 0.1}


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
    assert figures["radius_ratio"] > 3 * collapse.MIN_RADIUS_RATIO
    assert figures["weight_norm_ratio"] > 3 * collapse.MIN_WEIGHT_RATIO
    assert figures["distinct_fraction"] > 0.95


def test_proposition_2_a_bias_collapses_the_sphere():
    """The same network and training as the healthy run, but for the bias: constant scores, no radius, no weights."""
    model, messages = fit(perceptron(bias=True))
    text = " ".join(messages)
    assert "scores are (nearly) constant" in text, model.diagnostics()
    assert "radius fell" in text
    assert "weight array fell" in text
    assert "Proposition 2" in text
    assert "Proposition 1" not in text, "the weights vanish because the bias alone can reach c"


def test_proposition_1_a_centre_at_zero_lets_the_weights_vanish():
    """The same network and training as the healthy run, but for c, the output of the zero network."""
    model, messages = fit(perceptron(), center=np.zeros(8))
    text = " ".join(messages)
    assert "radius fell" in text, model.diagnostics()
    assert "weight array fell" in text
    assert "Proposition 1" in text
    assert "Proposition 2" not in text


def test_proposition_1_the_zero_network_is_found_out():
    """Weights set to zero by hand: R = 0, scores constant, norms gone, each said in words."""
    model, _ = fit(perceptron(), epochs=1)
    for weight in model.network_.params.values():
        weight[...] = 0
    train = digits().train
    d = model._squared_distances(model.preprocessing_.transform(train))
    end = collapse.snapshot(model.network_, d, 0.1)
    start = {**end, "radius": 1.0, "weight_norms": dict.fromkeys(end["weight_norms"], 1.0)}
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
    figures = {"relative_spread": 0.0, "distinct_fraction": 0.01, "radius_ratio": 0.0, "weight_norm_ratio": 0.0}

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


HEALTHY = {"relative_spread": 0.5, "distinct_fraction": 1.0, "radius_ratio": 0.9, "weight_norm_ratio": 0.9}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"relative_spread": 1e-4}, "scores are (nearly) constant"),
        ({"distinct_fraction": 0.4}, "scores are (nearly) constant"),
        ({"radius_ratio": 1e-3}, "the radius fell"),
        ({"weight_norm_ratio": 5e-3}, "a weight array fell"),
    ],
)
def test_each_sign_alone_is_one(changes, words):
    assert collapse.signs_of_collapse(HEALTHY, perceptron()) == []
    sign, explanation = collapse.signs_of_collapse({**HEALTHY, **changes}, perceptron())
    assert words in sign
    assert "Proposition 1" in explanation


def test_figures_by_hand():
    """Distances (1, 2, 3, 4) before, (0, 2, 2, 4) after; a weight array of half its norm; R^2 for nu = 1/4 is d_(2)."""
    network = Sequential([Linear(2)])
    network.build((3,), np.random.default_rng(0))
    start = collapse.snapshot(network, np.array([1, 2, 3, 4], np.float32), 0.25)
    network.layers[0].params["weight"][...] *= 0.5
    end = collapse.snapshot(network, np.array([0, 2, 2, 4], np.float32), 0.25)
    figures = collapse.compare(start, end)
    assert figures["relative_spread"] == pytest.approx(2**0.5 / 2)
    assert figures["score_spread_ratio"] == pytest.approx(2**0.5 / 1.25**0.5)
    assert figures["distinct_fraction"] == 0.75
    assert figures["radius_ratio"] == pytest.approx((2 / 3) ** 0.5)
    assert figures["weight_norm_ratio"] == pytest.approx(0.5)


def test_figures_of_all_samples_in_one_point():
    """Standard deviation and mean are both 0: that is a collapse, whatever 0 / 0 is."""
    network = Sequential([Linear(2)])
    network.build((3,), np.random.default_rng(0))
    start = collapse.snapshot(network, np.arange(1.0, 9.0), 0.1)
    figures = collapse.compare(start, collapse.snapshot(network, np.zeros(8), 0.1))
    assert figures["relative_spread"] == figures["radius_ratio"] == 0
    assert "scores are (nearly) constant" in collapse.signs_of_collapse(figures, network)[0]


def test_figures_are_computed_in_double_precision(rng):
    """Single precision would leave nothing of a spread of 1e-8 about 1e4."""
    network, d = Sequential([Flatten()]), rng.uniform(1, 2, 1001).astype(np.float32)
    assert collapse.snapshot(network, d, 0.1) == collapse.snapshot(network, d.astype(np.float64), 0.1)


def test_a_centre_that_is_0_in_places_is_a_risk():
    center = np.ones(8)
    center[[2, 5]] = 0
    assert collapse.structural_risks(perceptron(), np.ones(8)) == []
    assert collapse.structural_risks(perceptron(), center)[0].startswith("2 of 8 coordinates of the given center are 0")


def test_collapse_warning_is_a_user_warning():
    assert issubclass(CollapseWarning, UserWarning)
