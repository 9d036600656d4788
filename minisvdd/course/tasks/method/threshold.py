"""The assignment `threshold`: where to put it, what it promises, and what an alarm is worth."""

import math
from fractions import Fraction

import numpy as np

from ....svdd import conformal
from ...assignment import Assignment, Part, Source
from ...evidence import consistent
from ...grader.checks import Case, Wrong, check_untouched, compare, number_of, results_of
from . import threshold_solution as plain

_HANDOUT = """
A detector gives scores; somebody has to decide. You write what turns one into the other: a threshold whose rate of
false alarms can be promised, the p-value that says the same as a number, how far the rate of one hold-out may lie from
the promise, and what an alarm is worth where anomalies are rare.

**Conventions.** alpha is a rate of false alarms, beta a rate of misses, pi the share of anomalies (`share`). Scores are
larger for more anomalous samples, and an alarm is a score *above* the threshold. No threshold but infinity keeps a
promise for which there are too few samples. `n_new=None` stands for infinitely many new samples.

Whole numbers are where this assignment bites. `0.29 * 100` is not 29 in Python, and one lost sample breaks the promise
or wastes an alarm. Compute a few cases by hand first, such as m = 99 with alpha = 0.07, 0.29 and 0.9. Ties are the
other trap: say of each comparison what it does with equal scores, and for whom that is the safe side. Whole numbers and
thresholds are compared exactly.
"""

_J, _LEAST, _THRESHOLD, _P = (
    conformal.allowed_alarms,
    conformal.least_holdout,
    conformal.conformal_threshold,
    conformal.p_values,
)
_NU, _RATE, _PRECISION, _BEST = plain.nu_threshold, plain.alarm_rate, plain.precision, plain.best_threshold


# Whole numbers alpha (m + 1), which floating point misses


def _exact(m, alpha):
    """floor(alpha (m + 1)) for an alpha of three decimals."""
    return round(1000 * alpha) * (m + 1) // 1000


def _floored(m, alpha):
    return int(alpha * (m + 1))


def _by_ceiling(m, alpha):
    return m + 1 - math.ceil((1 - alpha) * (m + 1))


def _of_binary(m, alpha):
    return int(Fraction(alpha) * (m + 1))


_DECIMALS = [(m, i / 1000) for m in range(9, 200) for i in range(10, 991) if i * (m + 1) % 1000 == 0]
_FLOOR_TRAPS = [pair for pair in _DECIMALS if _floored(*pair) < _exact(*pair)]
_CEILING_TRAPS = [pair for pair in _DECIMALS if _by_ceiling(*pair) < _exact(*pair)]


def _whole(rng):
    """Pairs (m, alpha), two for each way of rounding wrongly, and one that tells rounding from counting among m."""
    return [(29, 0.34)] + [
        traps[i] for traps in (_FLOOR_TRAPS, _CEILING_TRAPS) for i in rng.choice(len(traps), 2, replace=False)
    ]


def _few(rng):
    """Pairs on both sides of the smallest hold-out."""
    pairs = []
    for i in rng.choice(np.arange(3, 30), 2, replace=False):
        least = -(-100 // int(i)) - 1
        pairs += [(least - 1, int(i) / 100), (least, int(i) / 100)]
    return pairs


def _scores(rng, n):
    return rng.gamma(2.0, 1.0, n)


def _thresholds(pairs):
    return lambda rng: [Case((_scores(rng, m), alpha)) for m, alpha in (pairs(rng) if callable(pairs) else pairs)]


def _pairs(pairs):
    return lambda rng: [Case(pair) for pair in (pairs(rng) if callable(pairs) else pairs)]


def _least_whole(rng):
    """Numbers allowed and rates with a whole quotient: allowed / alpha - 1 samples do, exactly."""
    pairs = [pair for pair in _whole(rng) if _exact(*pair)]
    return [Case((alpha, _exact(m, alpha))) for m, alpha in pairs]


def _tied_thresholds(rng):
    for m, alpha in ((29, 0.2), (24, 0.35)):
        yield Case((rng.integers(1, 5, m).astype(np.float64), alpha))


def _tied(rng):
    yield Case((rng.integers(0, 4, 14).astype(np.float64), np.arange(-1.0, 5.0)))
    yield Case((np.full(5, 2.0), np.array([2.0, 1.0, 3.0])))
    scores = _scores(rng, 9)
    yield Case((scores, rng.permutation(scores)))


def _p_values(*sizes):
    return lambda rng: [Case((_scores(rng, m), _scores(rng, n))) for m, n in sizes]


def _nu_whole(rng):
    """n nu a whole number that rounding makes too small."""
    for i in rng.choice(len(_FLOOR_TRAPS), 2, replace=False):
        m, nu = _FLOOR_TRAPS[i]
        yield Case((_scores(rng, m + 1), nu))
    yield Case((_scores(rng, 20), 0.33))


def _nu_edges(rng):
    yield Case((_scores(rng, 6), 1.0))
    yield Case((rng.integers(1, 5, 21).astype(np.float64), 0.4))
    yield Case((_scores(rng, 1), 0.3))


def _finite(rng):
    """Numbers of new samples for hold-outs of which some allow no alarm."""
    yield Case((int(rng.integers(40, 90)), 0.1, int(rng.integers(20, 60))))
    yield Case((19, 0.05, 200))
    yield Case((18, 0.05, 30))
    yield Case((int(rng.integers(100, 150)), 0.25, None))


def _as_they_came(student, rng):
    """Scores in descending order, which must be sorted and yet stay."""
    for m in (13, 30):
        scores = np.sort(_scores(rng, m))[::-1].copy()
        given, after = student.sandbox.call(_THRESHOLD.__name__, scores, 0.3)
        compare(given, conformal.conformal_threshold(scores, 0.3), "the threshold", Case(()), _THRESHOLD)
        check_untouched(_THRESHOLD, (scores, 0.3), after)


# Known mistakes


def _place(of, descending=False, none=np.inf):
    """A threshold at another place: `of` (m, alpha) -> k, counted from 1."""

    def mistaken(scores, alpha):
        k = int(of(len(scores), alpha))
        return np.sort(scores)[:: -1 if descending else 1][k - 1] if 0 < k <= len(scores) else none

    return mistaken


def _k(m, alpha):
    return m + 1 - _exact(m, alpha)


def _sought(allowed):
    """A mistaken smallest m, found with a mistaken number of alarms."""
    return lambda alpha, n=1: next(m for m in range(1, 10**4) if allowed(m, alpha) >= n)


_J_FORMS = [
    ("m where m + 1 belongs: the new sample is one of them", lambda m, alpha: math.floor(alpha * m + 1e-9)),
    ("floor of a product that rounding made too small: 0.29 * 100 must count as 29", _floored),
    ("exact arithmetic with the binary number, which is a little less than the decimal one", _of_binary),
    ("a ceiling of (1 - alpha)(m + 1), which rounding made too large: 0.7 of 10 must leave 3", _by_ceiling),
    ("rounded to the nearest whole number, not down", lambda m, alpha: round(alpha * (m + 1))),
    ("rounded up: more alarms than promised", lambda m, alpha: -(-round(1000 * alpha) * (m + 1) // 1000)),
    ("one alarm is allowed where there are too few samples for any", lambda m, alpha: max(1, _exact(m, alpha))),
    ("k, the place in the order, where the number of alarms is asked for", _k),
]
_LEAST_FORMS = [
    ("allowed / alpha: the new sample counts, too, so that one less will do", lambda a, n=1: math.ceil(n / a - 1e-9)),
    ("rounded down", lambda a, n=1: math.floor(n / a - 1e-9) - 1),
    ("a quotient that rounding made too large: one sample too many", lambda a, n=1: math.ceil(n / a - 1e-12)),
    ("a product that rounding made too small, in the search for m", _sought(_floored)),
    ("a ceiling that rounding made too large, in the search for m", _sought(_by_ceiling)),
    ("exact arithmetic with the binary number, which is a little less than the decimal one", _sought(_of_binary)),
    ("enough for one alarm, whatever is allowed", lambda a, n=1: math.ceil(1 / a - 1e-9) - 1),
]
_THRESHOLD_FORMS = [
    ("the largest score, where there are too few for any promise", lambda s, a: s.max()),
    ("a quantile that interpolates between two scores", lambda s, a: np.quantile(s, 1 - a)),
    (
        "floor(alpha m) alarms among m, where the new sample is one of m + 1",
        _place(lambda m, a: m + 1 - math.floor(a * m + 1e-9)),
    ),
    ("the place counted among m, where it is m + 1", _place(lambda m, a: math.ceil((1 - a) * m - 1e-9))),
    (
        "one place too late in the order: k counts from 1, np.quantile(method='higher') from 0 to m - 1",
        _place(lambda m, a: _k(m, a) + 1),
    ),
    ("one place too early in the order", _place(lambda m, a: _k(m, a) - 1)),
    ("counted from the largest score", _place(_k, descending=True)),
    (
        "a ceiling of (1 - alpha)(m + 1), which rounding made too large",
        _place(lambda m, a: m + 1 - _by_ceiling(m, a)),
    ),
    ("floor of alpha (m + 1), which rounding made too small", _place(lambda m, a: m + 1 - _floored(m, a))),
    ("the scores are not sorted", lambda s, a: s[min(_k(len(s), a), len(s)) - 1]),
]


def _p(counted, one=1.0, among=1):
    """Mistaken p-values: which held scores are counted for a score, what is added, out of how many."""
    return lambda held, scores: (one + counted(held, scores[:, None]).sum(axis=1)) / (len(held) + among)


_P_FORMS = [
    ("equal scores are not counted: > where >= belongs", _p(lambda h, s: h > s)),
    ("the new sample is not counted: neither 1 + nor m + 1", _p(lambda h, s: h >= s, 0.0, 0)),
    ("the 1 + is missing: a p-value of 0 promises what nobody can", _p(lambda h, s: h >= s, 0.0)),
    ("divided by m, where the samples are m + 1", _p(lambda h, s: h >= s, 1.0, 0)),
    ("the other end: scores that are at most as large are counted", _p(lambda h, s: h <= s)),
    ("1 - p", lambda h, s: 1 - _p(lambda h, s: h >= s)(h, s)),
]


def _outside(shift=0, ascending=False):
    def mistaken(d, nu):
        return np.sort(d)[:: 1 if ascending else -1][round(nu * len(d) - 0.5 + 1e-9) + shift]

    return mistaken


_NU_FORMS = [
    (
        "floor(nu n) of a product that rounding made too small: 0.29 * 100 must count as 29",
        lambda d, nu: np.sort(d)[::-1][min(int(nu * len(d)), len(d) - 1)],
    ),
    ("a quantile that interpolates between two scores", lambda d, nu: np.quantile(d, 1 - nu)),
    ("one place too early in the order: floor(nu n), where floor(nu n) + 1 belongs", _outside(-1)),
    ("one place too late in the order", _outside(1)),
    ("counted from the smallest score", _outside(ascending=True)),
    ("the threshold of samples held out, counted among n + 1", _place(_k)),
]


def _moments(spread):
    """Mistaken standard deviations from (j, k, m, n)."""

    def mistaken(m, alpha, n_new=None):
        j = _exact(m, alpha)
        return j / (m + 1), float(spread(j, m + 1 - j, m, np.inf if n_new is None else n_new))

    return mistaken


def _beta_variance(j, k, m):
    return j * k / ((m + 1) ** 2 * (m + 2))


_RATE_FORMS = [
    ("alpha itself, which the rate of a finite hold-out need not reach", lambda m, a, n=None: (a, 0.0)),
    ("the number of alarms allowed, not their rate", lambda m, a, n=None: (_exact(m, a), 0.0)),
    ("j / m: the new sample is one of m + 1", lambda m, a, n=None: (_exact(m, a) / m, 0.0)),
    ("the variance: its root is asked for", _moments(lambda j, k, m, n: _total(j, k, m, n))),
    (
        "that of the hold-out alone: n new samples add their own",
        _moments(lambda j, k, m, n: _beta_variance(j, k, m) ** 0.5),
    ),
    (
        "that of n new samples alone: the hold-out adds its own",
        _moments(lambda j, k, m, n: (j * k / (m + 1) ** 2 / n if n < np.inf else _beta_variance(j, k, m)) ** 0.5),
    ),
    (
        "E X (1 - E X) / n, where E[X (1 - X)] / n belongs",
        _moments(lambda j, k, m, n: (_beta_variance(j, k, m) + j * k / (m + 1) ** 2 / n) ** 0.5),
    ),
    ("m + 1, where the variance of Beta(j, k) has m + 2", _moments(lambda j, k, m, n: (j * k / (m + 1) ** 3) ** 0.5)),
]


def _total(j, k, m, n):
    return _beta_variance(j, k, m) * (1 + (m + 1) / n)


_PRECISION_FORMS = [
    ("the base rate is left out", lambda pi, a, b: (1 - b) / (1 - b + a)),
    ("misses, where hits belong: 1 - beta", lambda pi, a, b: pi * b / (pi * b + (1 - pi) * a)),
    ("pi and 1 - pi are exchanged", lambda pi, a, b: (1 - pi) * (1 - b) / ((1 - pi) * (1 - b) + pi * a)),
    (
        "the share of alarms that are false: 1 minus the precision",
        lambda pi, a, b: (1 - pi) * a / (pi * (1 - b) + (1 - pi) * a),
    ),
    ("false alarms without the factor 1 - pi", lambda pi, a, b: pi * (1 - b) / (pi * (1 - b) + a)),
]


def _precisions(*shapes):
    def cases(rng):
        for shape in shapes:
            alpha, beta = rng.uniform(0.01, 0.2, shape), rng.uniform(0.05, 0.4, shape)
            share = float(rng.uniform(0.01, 0.1))
            yield Case((share, alpha, beta) if shape else (share, float(alpha), float(beta)))

    return cases


# The cheapest threshold: any one that costs the least


def _costs(candidates, normal, anomalous, share, cost_alarm, cost_miss, at=False):
    """Expected cost with each candidate.  at: whether a score at the threshold raises an alarm, which is wrong."""
    raises = np.greater_equal if at else np.greater
    alpha = np.array([raises(normal, t).mean() for t in candidates])
    beta = np.array([1 - raises(anomalous, t).mean() for t in candidates])
    return share * beta * cost_miss + (1 - share) * alpha * cost_alarm


def _candidates(normal, anomalous):
    return [-math.inf, *normal, *anomalous]


def _cost_forms(arguments):
    normal, anomalous, share, cost_alarm, cost_miss = arguments
    everywhere = _candidates(normal, anomalous)

    def least(*others, among=everywhere, at=False):
        return lambda *_: _costs(among, normal, anomalous, *others, at).min()

    share_here = len(anomalous) / (len(normal) + len(anomalous))
    blind = int(_costs(everywhere, normal, anomalous, 0.5, 1.0, 1.0).argmin())
    return [
        ("the costs are exchanged", least(share, cost_miss, cost_alarm)),
        ("the shares pi and 1 - pi are exchanged", least(1 - share, cost_alarm, cost_miss)),
        ("the shares pi and 1 - pi are left out", lambda *_: 2 * least(0.5, cost_alarm, cost_miss)()),
        (
            "the share of anomalies in these arrays, not in the samples to come",
            least(share_here, cost_alarm, cost_miss),
        ),
        ("the costs are left out", least(share, 1.0, 1.0)),
        ("an alarm is a score above the threshold, not at it", least(share, cost_alarm, cost_miss, at=True)),
        (
            "minus infinity is not tried: where everything should be an alarm",
            least(share, cost_alarm, cost_miss, among=everywhere[1:]),
        ),
        (
            "only scores of anomalies are tried",
            least(share, cost_alarm, cost_miss, among=[-math.inf, *anomalous]),
        ),
        (
            "the threshold with the fewest errors, which need not cost the least",
            lambda *_: _costs(everywhere, *arguments)[blind],
        ),
    ]


def _cheapest(cases):
    def check(student, rng):
        for arguments in cases(rng):
            given = results_of(student.call(_BEST.__name__, *arguments), ("threshold", "cost"))
            cost = _costs(_candidates(*arguments[:2]), *arguments).min()
            compare(given[1], cost, "the cost", Case(arguments), _BEST, forms=_cost_forms(arguments))
            threshold = number_of(given[0], "the threshold")
            of_it = float(_costs([threshold], *arguments)[0])
            if not abs(of_it - cost) <= 1e-9 * max(cost, 1e-9):
                raise Wrong(
                    f"the cost {cost:.6g} is right, but the threshold {threshold:.6g} costs {of_it:.6g}: an alarm is a "
                    "score above it, not at it"
                )

    return check


def _two_kinds(rng, n, m, apart=1.5):
    return _scores(rng, n), _scores(rng, m) + apart


def _usual(rng):
    yield (*_two_kinds(rng, 40, 25), 0.1, 1.0, 7.0)


def _unusual(rng):
    yield (*_two_kinds(rng, 30, 20), 0.3, 2.0, 3.0)
    yield (*_two_kinds(rng, 30, 20, 0.2), 0.001, 5.0, 1.0)
    normal, anomalous = _two_kinds(rng, 20, 30, 0.2)
    anomalous[0] = normal.min() / 2  # so that only minus infinity makes everything an alarm
    yield (normal, anomalous, 0.9, 0.1, 8.0)
    normal, anomalous = rng.integers(0, 6, 25), rng.integers(2, 9, 30)
    yield (normal.astype(np.float64), anomalous.astype(np.float64), 0.2, 1.0, 4.0)


def _part(op, name, points, cases, forms, hidden=True, pick=None):
    outputs = ("the mean", "the standard deviation") if op is _RATE else ("the result",)
    return Part(f"{op.__name__}: {name}", points, consistent(op, cases, forms, outputs, pick), hidden)


# What the library's lines leave to functions that this assignment does not ask for.
_CHECKED = ('    check_rate(alpha, "alpha")\n', "")

ASSIGNMENT = Assignment(
    name="threshold",
    title="From score to decision: thresholds and promises",
    reading="exercises 1 and 2 of the lecture; Angelopoulos and Bates, Conformal Prediction: A Gentle Introduction",
    handout=_HANDOUT,
    goals=(
        "derive a rate of false alarms from exchangeability alone, and say why the promise counts the new sample, too",
        "say what a threshold by the training scores does not promise",
        "tell a rate of false alarms from the share of alarms that are false",
    ),
    hours="3",
    lectures=(
        "15_from_score_to_decision#1. What one may promise: false alarms",
        "15_from_score_to_decision#2. What an alarm means: the base rate",
    ),
    without_forward="""
`conformal_threshold` and `alarm_rate` can be written with `allowed_alarms`; the others need none of it. Without it,
sort the scores and count ranks by hand for m = 19 and alpha = 0.05, 0.1: you will see which one it is.
""",
    derivation=plain,
    derivation_until="What follows",
    functions=(
        Source(_J, instead=(_CHECKED,)),
        Source(_LEAST, instead=(_CHECKED,)),
        Source(_THRESHOLD, instead=(('_ascending(scores, "scores")', "np.sort(scores)"),)),
        Source(_P, instead=(('_ascending(holdout_scores, "holdout_scores")', "np.sort(holdout_scores)"),)),
        Source(_NU),
        Source(_RATE),
        Source(_PRECISION),
        Source(_BEST),
    ),
    parts=(
        _part(_J, "values", 6, _pairs([(99, 0.1), (58, 0.07), (9, 0.25), (12, 0.5)]), _J_FORMS, False),
        _part(_J, "alpha (m + 1) a whole number", 8, _pairs(_whole), _J_FORMS),
        _part(_J, "too few samples", 4, _pairs(_few), _J_FORMS),
        _part(_LEAST, "values", 4, _pairs([(0.05, 1), (0.3, 2), (0.07, 1), (0.1, 3), (0.9, 1)]), _LEAST_FORMS, False),
        _part(_LEAST, "allowed / alpha a whole number", 6, _least_whole, _LEAST_FORMS),
        _part(_THRESHOLD, "values", 6, _thresholds([(19, 0.1), (29, 0.25)]), _THRESHOLD_FORMS, False),
        _part(_THRESHOLD, "other sizes", 4, _thresholds([(40, 0.07), (7, 0.5), (61, 0.93)]), _THRESHOLD_FORMS),
        _part(_THRESHOLD, "alpha (m + 1) a whole number", 4, _thresholds(_whole), _THRESHOLD_FORMS),
        _part(_THRESHOLD, "ties", 3, _tied_thresholds, _THRESHOLD_FORMS),
        _part(_THRESHOLD, "too few samples", 5, _thresholds(_few), _THRESHOLD_FORMS),
        Part("conformal_threshold: scores stay as they came", 3, _as_they_came, True),
        _part(_P, "values", 5, _p_values((9, 6)), _P_FORMS, False),
        _part(_P, "other sizes", 4, _p_values((1, 3), (30, 1), (17, 40)), _P_FORMS),
        _part(_P, "ties", 6, _tied, _P_FORMS),
        _part(_NU, "values", 4, _thresholds([(10, 0.25), (31, 0.1), (9, 0.3)]), _NU_FORMS, False),
        _part(_NU, "nu n a whole number", 4, _nu_whole, _NU_FORMS),
        _part(_NU, "nu = 1, ties", 2, _nu_edges, _NU_FORMS),
        _part(_RATE, "mean", 3, _pairs([(50, 0.1), (30, 0.25)]), _RATE_FORMS, False, 0),
        _part(_RATE, "standard deviation", 3, _pairs([(50, 0.1), (83, 0.3)]), _RATE_FORMS, True, 1),
        _part(_RATE, "among n new samples", 5, _finite, _RATE_FORMS, True),
        _part(_PRECISION, "values", 2, _precisions((), ()), _PRECISION_FORMS, False),
        _part(_PRECISION, "arrays of rates", 2, _precisions((5,), (2, 3)), _PRECISION_FORMS),
        Part("best_threshold: the least cost", 3, _cheapest(_usual)),
        Part("best_threshold: rare and common anomalies, ties", 4, _cheapest(_unusual), True),
    ),
)
