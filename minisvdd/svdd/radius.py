"""The radius of soft-boundary Deep SVDD for fixed weights (paper, section 3.2).

For fixed weights the objective (3) in u = R^2 is  J(u) = u + 1/(nu n) sum_i max(0, d_i - u)  plus a constant. It is
convex and piecewise linear with slope  1 - #{d_i > u} / (nu n). Its minimum is where the slope changes sign: with
d_(1) >= d_(2) >= ... the slope is positive as soon as fewer than nu n distances lie above u, hence

    R*^2 = d_(floor(nu n) + 1)            (no search needed)

and with it Proposition 4 in its exact form:  #{d_i > R^2} / n <= nu <= #{d_i >= R^2} / n.

Beside it stand two rules seen in other code, which have no such property.
"""

from __future__ import annotations  # so that a type loads no file

from typing import TYPE_CHECKING

import numpy as np

from ..validation import check_number

if TYPE_CHECKING:
    from ..nn import Training

# A sample *on* the sphere counts as inside. Its distance, summed in another order (another batch size), may come out
# larger by rounding; thresholds therefore lie this fraction of R^2 beyond the sphere.
BOUNDARY_SLACK = 1e-5


def soft_boundary_objective(radius_squared: float, squared_distances: np.ndarray, nu: float) -> float:
    """J(u) = u + 1/(nu n) sum_i max(0, d_i - u)  at u = radius_squared: eq. (3) for fixed weights.

    squared_distances: (n,) values d_i.
    """
    #: how far each sample lies outside
    excess = np.maximum(0, squared_distances - radius_squared)
    #: mean over all samples, weighed by 1/nu
    return float(radius_squared + excess.mean() / nu)


def exact_radius_squared(squared_distances: np.ndarray, nu: float) -> float:
    """R*^2 = d_(floor(nu n) + 1), the minimiser of J.

    squared_distances: (n,) values d_i. Where nu n is an integer J is flat between two order statistics; the smaller one
    is returned. For nu = 1 every u up to the smallest d_i is a minimiser; the smallest d_i is returned.
    Raises ValueError for nu outside (0, 1].
    """
    #: refuse what has no radius
    d = _checked(squared_distances, nu)
    #: how many samples lie outside: floor(nu n), where 0.29 * 100 = 28.999999999999996 counts as 29, and never all
    outside = min(int(np.floor(nu * len(d) * (1 + 1e-12))), len(d) - 1)
    #: the largest distance that is not among them
    return float(np.sort(d)[::-1][outside])


def quantile_radius_squared(squared_distances: np.ndarray, nu: float) -> float:
    """Square of the (1 - nu) quantile of the distances: only to compare.

    What the authors' first scripts do before the line search, and popular ports in every epoch on the last mini-batch
    alone ("last-batch"): of 123 samples, whose sphere leaves a fraction of the *training set* outside that wanders far
    around nu.
    """
    return float(np.quantile(np.sqrt(_checked(squared_distances, nu)), 1 - nu) ** 2)


def authors_radius_squared(squared_distances: np.ndarray, nu: float) -> float:
    """The line search of the authors' published code, with its mix-up of R and R^2: only to compare.

    It minimises x^2 + 1/(nu n) sum max(0, d_i - x^2) over x, so that x is a radius, but inside bounds that are
    *squared* distances (the order statistics at 1.1 nu n and 0.1 nu n), and the loss uses the result as R^2. When
    squared distances are well below 1 the result sits at the upper bound, when well above 1 at the lower one.
    """
    d = np.sort(_checked(squared_distances, nu))[::-1]
    lower = d[min(int(len(d) * nu * 1.1), len(d)) - 1]  # index -1, the smallest distance, when 1.1 nu n < 1
    upper = d[max(int(len(d) * nu * 0.1), 1) - 1]
    if lower == upper:
        return float(lower)
    from scipy.optimize import minimize_scalar  # takes long to load, and the other rules need none of it

    search = minimize_scalar(lambda x: soft_boundary_objective(x * x, d, nu), bounds=(lower, upper), method="bounded")
    return float(search.x)


def _checked(squared_distances: np.ndarray, nu: float) -> np.ndarray:
    check_number(nu, "nu", 0, 1, low_open=True)
    d = np.asarray(squared_distances, dtype=np.float64)
    if d.ndim != 1 or not len(d):
        raise ValueError(f"squared_distances has shape {d.shape}: expected (n,) with n >= 1")
    return d


RADIUS_RULES = {
    "exact": exact_radius_squared,
    "last-batch": quantile_radius_squared,
    "authors-theano": authors_radius_squared,
}


# For the history of a training: radius and fraction outside by the distances that it saw, each before its step


def radius_seen(nu: float, training: Training) -> float:
    """R in the epoch that has just ended."""
    return float(np.sqrt(_squared_radius_seen(nu, training)))


def fraction_outside_seen(nu: float, training: Training) -> float:
    """#{d_i > R^2} / n in the epoch that has just ended."""
    return float((_distances_seen(training) > _squared_radius_seen(nu, training)).mean())


def _squared_radius_seen(nu: float, training: Training) -> float:
    """R^2 of the loss, where it has one: soft-boundary's."""
    of_the_loss = getattr(training.loss, "radius_squared", None)
    return exact_radius_squared(_distances_seen(training), nu) if of_the_loss is None else float(of_the_loss)


def _distances_seen(training: Training) -> np.ndarray:
    """d_i of all samples."""
    assert training.per_sample is not None  # both losses return the distances
    return np.concatenate(training.per_sample)
