"""The assignment `threshold`: right lines pass, each mistake costs its parts and is named, nonsense earns nothing."""

import numpy as np
import pytest
from helpers_course import full_points, judge, most_by_nonsense
from mistakes import parts

from minisvdd.course.tasks.method import threshold, threshold_solution
from minisvdd.svdd import conformal

J, LEAST, T, P = "allowed_alarms", "least_holdout", "conformal_threshold", "p_values"
NU, RATE, PRECISION, BEST = "nu_threshold", "alarm_rate", "precision", "best_threshold"
WHOLE = "alpha (m + 1) a whole number"


EXACT = "    exact = Fraction(alpha).limit_denominator(10**6)\n    return math.floor(exact * (m + 1))"
OUTSIDE = "math.floor(Fraction(nu).limit_denominator(10**6) * n)"
MISTAKES = [
    (
        "a rounded product",
        [(EXACT, "    return int(alpha * (m + 1))")],
        parts(J, WHOLE) + parts(LEAST, "allowed / alpha a whole number") + parts(T, WHOLE),
        "0.29 * 100 must count as 29",
    ),
    (
        "a rounded ceiling",
        [(EXACT, "    return m + 1 - math.ceil((1 - alpha) * (m + 1))")],
        parts(J, WHOLE) + parts(LEAST, "allowed / alpha a whole number") + parts(T, WHOLE),
        "which rounding made too large",
    ),
    (
        "exact, but of the binary number",
        [("Fraction(alpha).limit_denominator(10**6)", "Fraction(alpha)")],
        parts(J, WHOLE) + parts(LEAST, "allowed / alpha a whole number") + parts(T, WHOLE),
        "exact arithmetic with the binary number",
    ),
    (
        "the new sample forgotten",
        [("math.floor(exact * (m + 1))", "math.floor(exact * m)")],
        parts(J, "values", WHOLE, "too few samples")
        + parts(LEAST, "values", "allowed / alpha a whole number")
        + parts(T, "values", "other sizes", WHOLE, "ties", "too few samples", "scores stay as they came")
        + parts(RATE, "standard deviation", "among n new samples"),
        "m where m + 1 belongs",
    ),
    (
        "rounded up",
        [("math.floor(exact * (m + 1))", "math.ceil(exact * (m + 1))")],
        parts(J, "values", WHOLE, "too few samples")
        + parts(LEAST, "values", "allowed / alpha a whole number")
        + parts(T, "values", "other sizes", WHOLE, "too few samples", "scores stay as they came")
        + parts(RATE, "mean", "standard deviation", "among n new samples"),
        "rounded up: more alarms than promised",
    ),
    (
        "the largest score where there are too few",
        [("return math.inf", "return max(scores)")],
        parts(T, "too few samples"),
        "the largest score, where there are too few for any promise",
    ),
    (
        "one place too far",
        [("return ordered[m - j]", "return ordered[min(m - j + 1, m - 1)]")],
        parts(T, "values", "other sizes", WHOLE, "ties", "scores stay as they came"),
        "k counts from 1",
    ),
    (
        "an interpolated quantile",
        [("return ordered[m - j]", "return np.quantile(scores, 1 - alpha)")],
        parts(T, "values", "other sizes", WHOLE, "ties", "too few samples", "scores stay as they came"),
        "a quantile that interpolates between two scores",
    ),
    (
        "the tutorial's quantile",
        [
            (
                "return ordered[m - j]",
                'return np.quantile(scores, min(1, np.ceil((m + 1) * (1 - alpha) - 1e-9) / m), method="higher")',
            )
        ],
        parts(T, "values", "other sizes", WHOLE, "ties", "scores stay as they came"),
        "np.quantile(method='higher') from 0 to m - 1",
    ),
    (
        "sorted in place",
        [("ordered = sorted(scores)", "scores.sort(); ordered = scores")],
        parts(T, "scores stay as they came"),
        "scores was changed by the call",
    ),
    (
        "equal scores do not count",
        [("held >= s", "held > s")],
        parts(P, "ties"),
        "equal scores are not counted",
    ),
    (
        "a p-value of 0",
        [("(1 + at_least) / (len(held) + 1)", "at_least / len(held)")],
        parts(P, "values", "other sizes", "ties"),
        "the new sample is not counted",
    ),
    (
        "the other end",
        [("held >= s", "held <= s")],
        parts(P, "values", "other sizes", "ties"),
        "scores that are at most as large are counted",
    ),
    (
        "nu n rounded",
        [(OUTSIDE, "int(nu * n)")],
        parts(NU, "nu n a whole number"),
        "0.29 * 100 must count as 29",
    ),
    (
        "the place of samples held out",
        [(OUTSIDE, OUTSIDE.replace("* n)", "* (n + 1)) - 1"))],
        parts(NU, "values", "nu n a whole number"),
        "the threshold of samples held out",
    ),
    (
        "the variance",
        [("math.sqrt(of_rate)", "of_rate"), ("math.sqrt(of_share)", "of_share")],
        parts(RATE, "standard deviation", "among n new samples"),
        "the variance: its root is asked for",
    ),
    (
        "the binomial alone",
        [("of_share = of_rate * (m + 1 + n_new) / n_new", "of_share = mean * (1 - mean) / n_new")],
        parts(RATE, "among n new samples"),
        "that of n new samples alone",
    ),
    (
        "both variances added",
        [("of_share = of_rate * (m + 1 + n_new) / n_new", "of_share = of_rate + mean * (1 - mean) / n_new")],
        parts(RATE, "among n new samples"),
        "where E[X (1 - X)] / n belongs",
    ),
    (
        "the base rate left out",
        [("hits = share * (1 - beta)", "hits = 1 - beta"), ("(1 - share) * alpha)\n", "alpha)\n")],
        parts(PRECISION, "values", "arrays of rates"),
        "the base rate is left out",
    ),
    (
        "misses for hits",
        [("hits = share * (1 - beta)", "hits = share * beta")],
        parts(PRECISION, "values", "arrays of rates"),
        "misses, where hits belong",
    ),
    (
        "costs exchanged",
        [
            (
                "beta * cost_miss + (1 - share) * alpha * cost_alarm",
                "beta * cost_alarm + (1 - share) * alpha * cost_miss",
            )
        ],
        parts(BEST, "the least cost", "rare and common anomalies, ties"),
        "the costs are exchanged",
    ),
    (
        "an alarm at the threshold",
        [("np.mean(normal > t)", "np.mean(normal >= t)"), ("np.mean(anomalous <= t)", "np.mean(anomalous < t)")],
        parts(BEST, "the least cost", "rare and common anomalies, ties"),
        "an alarm is a score above",
    ),
    (
        "everything an alarm is not tried",
        [("[-math.inf, *sorted(normal)", "[*sorted(normal)")],
        parts(BEST, "rare and common anomalies, ties"),
        "minus infinity is not tried",
    ),
]


@pytest.mark.parametrize("seed", [0, 20261])
def test_right_lines_get_full_points(seed):
    full_points("threshold", seed)


@pytest.mark.parametrize(("mistake", "changes", "lost", "words"), MISTAKES, ids=[mistake[0] for mistake in MISTAKES])
def test_planted_mistake(mistake, changes, lost, words):
    judge("threshold", changes, lost, words)


def test_nonsense_earns_nothing():
    bodies = ["return 0", "return 1", "return 0.0, 0.0", "return np.inf", "return a[0]", "return np.max(a[0])"]
    bodies += ["return np.ones_like(a[-1])", "return a[0], a[-1]", "return 1 - a[1]", "return np.median(a[0])"]
    bodies += ["return a[1], a[1]", "return -np.inf, 0.0", "return np.sort(a[0])[len(a[0]) // 2]", "return None"]
    assert most_by_nonsense("threshold", bodies) <= 5


def test_traps_are_those_of_rounding():
    for m, alpha in threshold._FLOOR_TRAPS:
        assert int(alpha * (m + 1)) == conformal.allowed_alarms(m, alpha) - 1
    for m, alpha in threshold._CEILING_TRAPS:
        assert m + 1 - np.ceil((1 - alpha) * (m + 1)) == conformal.allowed_alarms(m, alpha) - 1
    assert min(len(threshold._FLOOR_TRAPS), len(threshold._CEILING_TRAPS)) > 10


def test_the_rate_has_the_moments_of_the_beta_binomial():
    """Simulated: hold-outs and new samples of uniform scores."""
    m, alpha, n, draws = 24, 0.2, 15, 40000
    rng = np.random.default_rng(0)
    held, new = rng.random((draws, m)), rng.random((draws, n))
    k = m + 1 - conformal.allowed_alarms(m, alpha)
    thresholds = np.sort(held, axis=1)[:, k - 1 : k]
    for share, n_new in (((new > thresholds).mean(axis=1), n), (1 - thresholds, None)):
        mean, deviation = threshold_solution.alarm_rate(m, alpha, n_new)
        assert abs(share.mean() - mean) < 5 * deviation / draws**0.5
        assert abs(share.std() / deviation - 1) < 0.02
