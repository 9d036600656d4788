"""The radius: exact minimiser of the objective, Proposition 4, the rules of other code for comparison."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from minisvdd.svdd.radius import (
    authors_radius_squared,
    exact_radius_squared,
    quantile_radius_squared,
    soft_boundary_objective,
)

DISTANCES = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=60)
NU = st.floats(0.001, 1.0)


@settings(max_examples=200)
@given(DISTANCES, NU)
def test_proposition_4_holds_exactly(distances, nu):
    """#{d > R^2} / n <= nu <= #{d >= R^2} / n on any data, ties included."""
    d = np.array(distances)
    R2 = exact_radius_squared(d, nu)
    assert np.sum(d > R2) <= nu * len(d) * (1 + 1e-9)
    assert np.sum(d >= R2) >= nu * len(d) * (1 - 1e-9)


@settings(max_examples=200)
@given(DISTANCES, NU)
def test_no_other_radius_has_a_smaller_objective(distances, nu):
    """J is convex and piecewise linear: its minimum is at one of its kinks or at 0."""
    d = np.array(distances)
    best = soft_boundary_objective(exact_radius_squared(d, nu), d, nu)
    assert all(best <= soft_boundary_objective(u, d, nu) * (1 + 1e-9) + 1e-9 for u in (0.0, *d))


@pytest.mark.parametrize("nu", [0.01, 0.1, 0.25, 0.9])
def test_a_numeric_line_search_agrees(nu):
    d = np.random.default_rng(0).gamma(2.0, 3.0, 1001)
    search = minimize_scalar(
        lambda u: soft_boundary_objective(u, d, nu), bounds=(0, d.max()), method="bounded", options={"xatol": 1e-10}
    )
    R2 = exact_radius_squared(d, nu)
    assert search.fun == pytest.approx(soft_boundary_objective(R2, d, nu), rel=1e-9)
    assert search.x == pytest.approx(R2, rel=1e-3)


def test_the_order_statistic_is_the_one_of_the_formula():
    d = np.array([5.0, 1.0, 3.0, 2.0, 4.0])
    expected = {0.1: 5.0, 0.2: 4.0, 0.39: 4.0, 0.4: 3.0, 0.6: 2.0, 0.8: 1.0, 1.0: 1.0}
    assert {nu: exact_radius_squared(d, nu) for nu in expected} == expected


def test_nu_n_is_taken_as_a_real_number():
    """0.29 * 100 is 28.999999999999996 in floating point; 29 samples may lie outside all the same."""
    assert exact_radius_squared(np.arange(100.0), 0.29) == 70.0


def test_the_last_batch_rule_misses_nu_on_the_training_set():
    """Why it is not the default: on batches of 123, nu = 0.1, the true fraction wanders over several percent."""
    rng = np.random.default_rng(0)
    d = rng.gamma(2.0, 1.0, 6000)
    fractions = [np.mean(d > quantile_radius_squared(rng.choice(d, 123, False), 0.1)) for _ in range(200)]
    assert min(fractions) < 0.07
    assert max(fractions) > 0.14
    assert np.mean(d > exact_radius_squared(d, 0.1)) == pytest.approx(0.1, abs=2e-4)


@pytest.mark.parametrize(("scale", "expected"), [(0.001, 0.01), (1000.0, 0.11)])
def test_the_authors_rule_ends_at_its_bounds(scale, expected):
    """Its mix-up of R and R^2: the upper bound (1 % outside) for small distances, the lower one (11 %) for large."""
    d = scale * np.random.default_rng(0).gamma(2.0, 1.0, 6000)
    assert np.mean(d >= authors_radius_squared(d, 0.1) * (1 - 1e-3)) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("rule", [exact_radius_squared, quantile_radius_squared, authors_radius_squared])
def test_rules_on_one_sample_and_on_bad_input(rule):
    assert rule(np.array([2.5]), 0.1) == pytest.approx(2.5, rel=1e-15)
    for nu in (0, -0.1, 1.1, float("nan"), True, "0.1"):
        with pytest.raises(ValueError, match="nu="):
            rule(np.ones(3), nu)
    with pytest.raises(ValueError, match="squared_distances"):
        rule(np.ones((3, 1)), 0.1)
    with pytest.raises(ValueError, match="squared_distances"):
        rule(np.array([]), 0.1)
