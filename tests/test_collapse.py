"""Collapse: Propositions 1 to 3 made to happen are detected and explained; healthy runs stay far from the limits."""

import re
import warnings

import numpy as np
from trainer_properties import digits, small_model

from minisvdd import CollapseWarning, collapse
from minisvdd.layers import BatchNorm, Flatten, LeakyReLU, Linear, Tanh
from minisvdd.networks import Sequential

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


def test_collapse_warning_is_a_user_warning():
    assert issubclass(CollapseWarning, UserWarning)
