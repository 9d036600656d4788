"""Conformal thresholds: the promise holds exactly, p-values decide alike, and the rates are distributed as derived."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import beta, betabinom

from minisvdd.svdd.conformal import (
    allowed_alarms,
    conformal_threshold,
    false_alarm_interval,
    holdout_size,
    least_holdout,
    p_values,
)

RATES = [0.001, 0.01, 0.05, 0.07, 0.1, 0.15, 0.2, 0.29, 0.3, 0.5, 0.7, 0.9]


@pytest.mark.parametrize("alpha", RATES)
def test_ranks_are_those_of_exact_arithmetic(alpha):
    """k = ceil((1 - alpha)(m + 1)) with alpha as it is written, not as binary digits round it."""
    exact = Fraction(str(alpha))
    for m in range(1, 400):
        k = -((-(1 - exact) * (m + 1)) // 1)
        assert allowed_alarms(m, alpha) == m + 1 - k
        assert conformal_threshold(np.arange(1, m + 1), alpha) == (k if k <= m else np.inf)
    assert least_holdout(alpha) == -((-1 / exact) // 1) - 1
    for allowed in (2, 3, 17):
        m = least_holdout(alpha, allowed)
        assert allowed_alarms(m, alpha) == allowed
        assert allowed_alarms(m - 1, alpha) < allowed


def test_a_rate_that_is_a_quotient_counts_as_the_quotient():
    for m in range(1, 200):
        for j in range(1, m + 1):
            assert allowed_alarms(m, j / (m + 1)) == j


def test_the_rate_is_exact_over_all_orders_and_lower_with_ties():
    """Each of m + 1 exchangeable scores is the new one as often as any other."""
    rng = np.random.default_rng(0)
    for m, alpha in ((9, 0.1), (19, 0.05), (25, 0.1), (59, 0.1), (40, 0.3)):
        for scores in (rng.normal(size=m + 1), rng.integers(0, 4, m + 1).astype(float)):
            alarms = sum(new > conformal_threshold(np.delete(scores, i), alpha) for i, new in enumerate(scores))
            assert alarms <= alpha * (m + 1)
            if len(np.unique(scores)) == m + 1:
                assert alarms == allowed_alarms(m, alpha)


def test_p_values_are_uniform():
    """Of m + 1 exchangeable scores, each leads to another of 1/(m + 1), ..., 1."""
    scores = np.random.default_rng(1).normal(size=30)
    values = [p_values(np.delete(scores, i), scores[i]) for i in range(30)]
    np.testing.assert_array_equal(np.sort(values), np.arange(1, 31) / 30)
    tied = np.random.default_rng(2).integers(0, 5, 30)
    values = np.array([p_values(np.delete(tied, i), tied[i]) for i in range(30)])
    for alpha in RATES:
        assert (values <= alpha).mean() <= alpha


@pytest.mark.parametrize("alpha", RATES)
def test_threshold_and_p_value_decide_alike(alpha):
    rng = np.random.default_rng(3)
    for m in (1, 2, 9, 19, 29, 99, 123):
        held = np.round(rng.normal(size=m), 1)  # ties among them
        new = np.concatenate([held, np.round(rng.normal(size=50), 1), [-9, 9]])
        np.testing.assert_array_equal(new > conformal_threshold(held, alpha), p_values(held, new) <= alpha)


def test_sizes_of_hold_outs():
    for n in range(2, 500):
        for alpha in (0.01, 0.05, 0.1, 0.3, 0.5):
            for share in (0.05, 0.2, 0.5):
                m = holdout_size(n, share, alpha)
                if m == 0:
                    assert min(n // 2, n - 2) < least_holdout(alpha)
                    continue
                assert least_holdout(alpha) <= m <= min(n // 2, n - 2)
                assert abs(m - share * n) <= 1 / alpha + 1 or m in (least_holdout(alpha), n // 2) or share == 0.5
                assert allowed_alarms(m, alpha) > allowed_alarms(m - 1, alpha)  # one sample fewer promises less
    assert holdout_size(92, 0.2, 0.1) == 19
    assert holdout_size(38, 0.2, 0.05) == 19
    assert holdout_size(37, 0.5, 0.05) == 0


def test_the_interval_is_that_of_the_beta_and_beta_binomial_distributions():
    for m, alpha in ((19, 0.05), (19, 0.1), (200, 0.1), (999, 0.01)):
        j = allowed_alarms(m, alpha)
        np.testing.assert_allclose(false_alarm_interval(m, alpha), beta.ppf([0.025, 0.975], j, m + 1 - j), rtol=1e-9)
        for n_new, level in ((1, 0.95), (96, 0.95), (1000, 0.5)):
            expected = betabinom.ppf([(1 - level) / 2, (1 + level) / 2], n_new, j, m + 1 - j) / n_new
            np.testing.assert_allclose(false_alarm_interval(m, alpha, n_new, level), expected)
    assert false_alarm_interval(18, 0.05) == (0, 0)


def test_simulated_hold_outs_stay_inside_the_interval():
    rng, (m, alpha, n_new) = np.random.default_rng(4), (39, 0.1, 50)
    low, high = false_alarm_interval(m, alpha, n_new, level=0.9)
    rates = [
        (rng.exponential(size=n_new) > conformal_threshold(rng.exponential(size=m), alpha)).mean() for _ in range(2000)
    ]
    assert np.mean(rates) == pytest.approx(alpha, abs=4 * np.std(rates) / np.sqrt(2000))
    outside = [np.mean(np.array(rates) < low), np.mean(np.array(rates) > high)]
    assert max(outside) < 0.07
    assert sum(outside) > 0.03


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, 5e-324, True, None, "0.1", np.nan])
def test_a_rate_that_none_can_be(alpha):
    for function in (least_holdout, lambda a: conformal_threshold([1.0], a), lambda a: false_alarm_interval(9, a)):
        with pytest.raises(ValueError, match="alpha="):
            function(alpha)


@pytest.mark.parametrize("scores", [[np.nan], [np.inf, 1], [[1.0, 2.0]]])
def test_scores_that_none_can_be(scores):
    with pytest.raises(ValueError, match="scores has shape"):
        conformal_threshold(scores, 0.1)
    with pytest.raises(ValueError, match="holdout_scores has shape"):
        p_values(scores, [1.0])
