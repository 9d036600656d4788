"""Thresholds that keep a promise, by samples held out of training: split conformal prediction (Vovk et al. 2005).

Let s_1, ..., s_m be the scores of m normal samples that had no part in training, and s the score of a new one. Nothing
tells the m + 1 apart, so that every order of their scores is as likely as any other (they are *exchangeable*). The rank
of s among all m + 1 is then uniform on 1, ..., m + 1 (no ties assumed). With the k-th smallest of s_1, ..., s_m as
threshold,

    s > s_(k)   <=>   rank of s > k        hence        P(s > s_(k)) = (m + 1 - k) / (m + 1) = j / (m + 1) .

The largest rate that keeps the promise "at most alpha" has j = floor(alpha (m + 1)), or k = ceil((1 - alpha)(m + 1)).
Where j = 0 there are too few samples to promise so little: no threshold but infinity does. Ties only lower the rate. It
takes neither a good network nor a known distribution, only samples that are as normal as the new ones will be.

The same rank, as a number: the *p-value* of a new sample,

    p(s) = (1 + #{i : s_i >= s}) / (m + 1),        P(p <= alpha) <= alpha        for a normal sample,

and s > s_(k) <=> #{i : s_i >= s} <= m - k <=> p <= j / (m + 1) <=> p <= alpha: threshold and p-value decide alike.

That rate is a mean over hold-outs. *One* hold-out has a rate of its own, and it stays: let F be the (continuous)
distribution function of normal scores; F(s_i) are uniform on [0, 1], and the k-th smallest of m uniform numbers has the
density m! / ((k-1)! (m-k)!) u^(k-1) (1-u)^(m-k). Hence the rate 1 - F(s_(k)) is distributed as Beta(j, k), with mean
j / (m + 1). The number of false alarms among n new samples is binomial with that rate, so it is beta-binomial:

    P(i) = C(n, i) B(i + j, n - i + k) / B(j, k) .
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, betaln


def conformal_threshold(scores: ArrayLike, alpha: float) -> float:
    """The lowest of the scores that new normal samples exceed at a rate of at most alpha.

    The k-th smallest of the scores, k = ceil((1 - alpha)(m + 1)) = m + 1 - `allowed_alarms(m, alpha)`.

    scores: (m,) of normal samples held out of training.   alpha: in (0, 1).
    Returns infinity where m < `least_holdout(alpha)`: too few samples to promise so little.

    >>> conformal_threshold(range(19), 0.05), conformal_threshold(range(18), 0.05)
    (18.0, inf)
    """
    #: in ascending order, whatever order they came in
    s = _ascending(scores, "scores")
    #: k counts from 1
    k = len(s) + 1 - allowed_alarms(len(s), alpha)
    #: there may be no such score
    return float(s[k - 1]) if k <= len(s) else np.inf


def p_values(holdout_scores: ArrayLike, scores: ArrayLike) -> np.ndarray:
    """The p-value of every score: what share of normal samples is at least as anomalous.

        p(s) = (1 + #{i : s_i >= s}) / (m + 1)

    holdout_scores: (m,) of normal samples held out of training.   scores: (n,).   Returns (n,), in [1 / (m + 1), 1].

    >>> p_values([1, 2, 3, 4], [0, 2, 2.5, 9])
    array([1. , 0.8, 0.6, 0.2])
    """
    #: in ascending order, so that those at least as large as s are the last ones; equal ones count
    held = _ascending(holdout_scores, "holdout_scores")
    at_least = len(held) - np.searchsorted(held, np.asarray(scores, np.float64), side="left")
    #: the new sample is one of m + 1
    return np.asarray((1 + at_least) / (len(held) + 1))


def allowed_alarms(m: int, alpha: float) -> int:
    """How many of m + 1 normal samples may raise an alarm, the new one among them, for a rate of at most alpha.

    j = floor(alpha (m + 1)), in which rounding must play no part: in Python 0.29 * 100 is below 29. So j is the largest
    whole number whose quotient j / (m + 1), rounded as p-values are, is not above alpha.

    >>> [allowed_alarms(99, alpha) for alpha in (0.07, 0.1, 0.29, 1 / 3)]
    [7, 10, 29, 33]
    """
    check_rate(alpha, "alpha")
    #: try whole numbers from one above the rounded product downwards; the quotient is what is promised
    return next(j for j in range(int(alpha * (m + 1)) + 1, -1, -1) if j / (m + 1) <= alpha)


def least_holdout(alpha: float, allowed: int = 1) -> int:
    """How many samples must be held out at least, for a rate of alpha to allow that many alarms.

    The smallest m with `allowed_alarms(m, alpha) >= allowed`; for one alarm, ceil(1 / alpha) - 1.

    >>> least_holdout(0.05), least_holdout(0.1), least_holdout(0.1, allowed=3)
    (19, 9, 29)
    """
    check_rate(alpha, "alpha")
    #: begin below allowed / alpha - 1, which is rounded, and go up
    m = max(int(allowed / alpha) - 2, 1)
    while allowed / (m + 1) > alpha:
        m += 1
    return m


def holdout_size(n: int, share: float, alpha: float) -> int:
    """How many of n samples to hold out: about a share of them, at most half, and alpha (m + 1) nearly whole.

    For then j / (m + 1) is alpha itself, no less: with alpha = 0.1, 18 samples allow one false alarm in 19, and 19
    samples two in 20.   Returns 0 where half of the samples, all but two, are too few.

    >>> holdout_size(92, 0.2, 0.1), holdout_size(1000, 0.2, 0.05), holdout_size(37, 0.2, 0.05)
    (19, 199, 0)
    """
    most = allowed_alarms(min(n // 2, n - 2), alpha) if n > 2 else 0
    wanted = max(round(alpha * (share * n + 1)), 1)
    return least_holdout(alpha, min(wanted, most)) if most else 0


def false_alarm_interval(m: int, alpha: float, n_new: int | None = None, level: float = 0.95) -> tuple[float, float]:
    """(low, high): between these the rate of false alarms lies with probability `level`, hold-out drawn and all.

    m: samples held out.   n_new: how many new normal samples show the rate (the beta-binomial distribution above); None
    for the rate itself, among infinitely many (the beta distribution).

    >>> low, high = false_alarm_interval(19, 0.05)
    >>> f"{low:.4f} {high:.4f}"
    '0.0013 0.1765'
    """
    j, tails = allowed_alarms(m, alpha), ((1 - level) / 2, (1 + level) / 2)
    if j == 0:
        return 0.0, 0.0
    k = m + 1 - j
    if n_new is None:
        low, high = betaincinv(j, k, tails)
        return float(low), float(high)
    i = np.arange(n_new + 1)
    log_choose = -np.log(n_new + 1) - betaln(i + 1, n_new - i + 1)
    cumulative = np.cumsum(np.exp(log_choose + betaln(i + j, n_new - i + k) - betaln(j, k)))
    low, high = (np.minimum(np.searchsorted(cumulative, tails), n_new) / max(n_new, 1)).tolist()
    return low, high


def check_rate(value: float, name: str) -> None:
    """ValueError, naming the argument, unless 1e-9 <= value < 1: less than a billionth is nothing to count by."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not (number and 1e-9 <= value < 1):
        raise ValueError(f"{name}={value!r}: expected a number in [1e-9, 1)")


def _ascending(scores: ArrayLike, name: str) -> np.ndarray:
    s = np.sort(np.asarray(scores, dtype=np.float64))
    if s.ndim != 1 or not np.isfinite(s).all():
        raise ValueError(f"{name} has shape {s.shape}: expected (m,), finite numbers")
    return s
