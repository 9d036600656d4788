"""From a score to a decision: an alarm is raised where s(x) > t. Where to put t, and what may be promised about it?

m normal samples were held out of training. Nothing tells them and a new normal one apart, so that the rank of the new
score among all m + 1 is uniform on 1, ..., m + 1. With t the k-th smallest of the m scores,

    P(s > t) = (m + 1 - k) / (m + 1) = j / (m + 1) <= alpha        for j = floor(alpha (m + 1)), k = m + 1 - j .

That is a mean over hold-outs. One hold-out has a rate of its own, and for continuous scores it is distributed as
Beta(j, k). Among n new samples the number of false alarms is binomial with that rate: beta-binomial.

What an alarm is worth depends on the share pi of anomalies, too. With false alarms at the rate alpha and misses at the
rate beta, Bayes' rule and the expected cost per sample are

    P(anomalous | alarm) = pi (1 - beta) / (pi (1 - beta) + (1 - pi) alpha)
    cost                 = pi beta C_miss + (1 - pi) alpha C_alarm .

What follows are those functions of the assignment that the library has no use for.
"""

import numpy as np

from ....svdd.conformal import allowed_alarms


def nu_threshold(scores: np.ndarray, nu: float) -> float:
    """The threshold by the training scores: the smallest of them that at most nu n of them exceed.

    d_(floor(nu n) + 1) with d_(1) >= d_(2) >= ... >= d_(n); for nu = 1, the smallest score. Rounding must play no part
    in nu n. New samples lie further out than those of training: about them it promises nothing.

    scores: (n,) of the samples that the network was trained on.   nu: in (0, 1].
    """
    #: in descending order
    d = np.sort(scores)[::-1]
    #: floor(nu n): a product that rounding made too small, such as 0.29 * 100, must not lose one
    outside = int(np.floor(nu * len(d) * (1 + 1e-12)))
    #: the next one; there is none behind the last
    return float(d[min(outside, len(d) - 1)])


def alarm_rate(m: int, alpha: float, n_new: int | None = None) -> tuple[float, float]:
    """Mean and standard deviation of the rate of false alarms, the hold-out drawn anew each time.

    The rate X is Beta(j, k) with j = `allowed_alarms(m, alpha)`, k = m + 1 - j:

        E X = j / (m + 1),        Var X = j k / ((m + 1)^2 (m + 2)) .

    Among n new samples the number of alarms is binomial with the rate X; the share Y of alarms has E Y = E X and, by
    Var Y = E Var(Y | X) + Var E(Y | X),

        Var Y = E[X (1 - X)] / n + Var X .

    m: samples held out.   n_new: how many new normal samples show the rate; None for infinitely many.
    """
    #: the two parameters of the beta distribution
    j = allowed_alarms(m, alpha)
    k = (m + 1) - j
    #: its mean and variance
    mean = j / (m + 1)
    variance = j * k / ((m + 1) ** 2 * (m + 2))
    #: a finite number of new samples adds the binomial's own part, E[X (1 - X)] / n
    if n_new is not None:
        variance += (mean * (1 - mean) - variance) / n_new
    return mean, variance**0.5


def precision(share: float, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """How sure is an alarm: the share of anomalies among all samples that raise one.

        pi (1 - beta) / (pi (1 - beta) + (1 - pi) alpha)

    share: pi, of anomalies among all samples.   alpha: rate of false alarms among normal samples.   beta: rate of
    misses among anomalies. Both are numbers or arrays of one shape, which the result has, too.
    """
    #: alarms by anomalies, and by normal samples, per sample
    hits, false_alarms = share * (1 - beta), (1 - share) * alpha
    #: Bayes' rule
    return hits / (hits + false_alarms)


def best_threshold(
    normal: np.ndarray, anomalous: np.ndarray, share: float, cost_alarm: float, cost_miss: float
) -> tuple[float, float]:
    """The threshold with the smallest expected cost per sample, and that cost; an alarm is a score *above* it.

        cost(t) = pi beta(t) C_miss + (1 - pi) alpha(t) C_alarm

    alpha(t) is the share of normal scores above t, beta(t) that of anomalous ones not above t. Both change at scores
    only: try each of them, and minus infinity, with which everything is an alarm.

    normal: (n,) scores of normal samples.   anomalous: (m,) scores of anomalies.   share: pi, of anomalies among the
    samples to come, whatever it is among these.
    Returns (threshold, cost); where several thresholds cost the same, any of them.
    """
    #: every threshold that makes a difference
    candidates = np.concatenate([[-np.inf], normal, anomalous])
    #: for each of them, both rates of error
    alpha = (normal > candidates[:, None]).mean(axis=1)
    beta = (anomalous <= candidates[:, None]).mean(axis=1)
    #: the smallest cost
    cost = share * beta * cost_miss + (1 - share) * alpha * cost_alarm
    best = int(cost.argmin())
    return float(candidates[best]), float(cost[best])
