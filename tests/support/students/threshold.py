# minisvdd assignment: threshold
"""As a student might hand it in, in his own words."""

import math
from fractions import Fraction

import numpy as np


def allowed_alarms(m, alpha):
    exact = Fraction(alpha).limit_denominator(10**6)
    return math.floor(exact * (m + 1))


def least_holdout(alpha, allowed=1):
    m = 1
    while allowed_alarms(m, alpha) < allowed:
        m += 1
    return m


def conformal_threshold(scores, alpha):
    m = len(scores)
    j = allowed_alarms(m, alpha)
    if j == 0:
        return math.inf
    ordered = sorted(scores)
    return ordered[m - j]


def p_values(holdout_scores, scores):
    held = np.asarray(holdout_scores)
    p = []
    for s in scores:
        at_least = np.sum(held >= s)
        p.append((1 + at_least) / (len(held) + 1))
    return np.array(p)


def nu_threshold(scores, nu):
    n = len(scores)
    outside = math.floor(Fraction(nu).limit_denominator(10**6) * n)
    return sorted(scores, reverse=True)[min(outside, n - 1)]


def alarm_rate(m, alpha, n_new=None):
    j = allowed_alarms(m, alpha)
    mean = j / (m + 1)
    of_rate = mean * (1 - mean) / (m + 2)
    if n_new is None:
        return mean, math.sqrt(of_rate)
    of_share = of_rate * (m + 1 + n_new) / n_new
    return mean, math.sqrt(of_share)


def precision(share, alpha, beta):
    hits = share * (1 - beta)
    return hits / (hits + (1 - share) * alpha)


def best_threshold(normal, anomalous, share, cost_alarm, cost_miss):
    best = None, math.inf
    for t in [-math.inf, *sorted(normal), *sorted(anomalous)]:
        alpha = np.mean(normal > t)
        beta = np.mean(anomalous <= t)
        cost = share * beta * cost_miss + (1 - share) * alpha * cost_alarm
        if cost < best[1]:
            best = t, cost
    return best
