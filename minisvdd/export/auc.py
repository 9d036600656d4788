"""How sure is an AUC? An interval for what infinitely many samples would show (Hanley and McNeil 1982, Newcombe 2006).

Let x_1, ..., x_m be scores of normal and y_1, ..., y_n of anomalous samples, each drawn independently of all others.
The AUC of these samples is the share of pairs in the right order,

    a = 1/(mn) sum_ij [x_i < y_j]       (ties count one half),      E a = A = P(x < y).

Its variance is the mean covariance of two pairs. Pairs that share no sample are independent: covariance 0. A pair with
itself has A (1 - A); two pairs that share x have Q1 - A^2 with Q1 = P(x < y and x < y'), two that share y have
Q2 - A^2 with Q2 = P(x < y and x' < y). Counting them,

    var a = [A (1 - A) + (n - 1)(Q1 - A^2) + (m - 1)(Q2 - A^2)] / (mn) .

Q1 and Q2 depend on how the scores are distributed; where the order is that of two exponential distributions they are

    Q1 = A / (2 - A),     Q2 = 2 A^2 / (1 + A),

and other distributions change them little. The interval is all A that the a we have seen does not contradict:

    |a - A| <= z sqrt(var a (A)) .

A itself is on the right, too. Where all pairs are in order, a = 1, the variance *at a* is 0, and an interval around it
(DeLong's, or a bootstrap's) would be the point 1: as if ten samples could prove a perfect detector.
"""

from scipy.optimize import brentq
from scipy.special import ndtri

_EDGE = 1e-9  # at 0 and 1 the variance is 0: the other end of the interval lies further inside


def auc_interval(auc: float, n_normal: int, n_anomalous: int, level: float = 0.95) -> tuple[float, float]:
    """(low, high) around an AUC of so many samples of each kind, at that level of confidence.

    >>> low, high = auc_interval(1.0, 10, 10)
    >>> f"{low:.3f} {high:.3f}"
    '0.800 1.000'
    """
    z, m, n = float(ndtri((1 + level) / 2)), n_normal, n_anomalous

    def excess(A):
        """(a - A)^2 - z^2 var a: negative inside the interval."""
        q1, q2 = A / (2 - A), 2 * A**2 / (1 + A)
        variance = (A * (1 - A) + (n - 1) * (q1 - A**2) + (m - 1) * (q2 - A**2)) / (m * n)
        return (auc - A) ** 2 - z**2 * variance

    low = brentq(excess, 0.0, min(auc, 1 - _EDGE)) if excess(0.0) > 0 else 0.0
    high = brentq(excess, max(auc, _EDGE), 1.0) if excess(1.0) > 0 else 1.0
    return low, high
