"""The radius of soft-boundary Deep SVDD for fixed weights: of several best ones the largest.

For fixed weights the objective (3) in u = R^2 is  J(u) = u + 1/(nu n) sum_i max(0, d_i - u)  plus a constant. It is
convex and piecewise linear with slope  1 - #{d_i > u} / (nu n). Its minimum is where the slope changes sign; with
d_(1) >= d_(2) >= ... it is negative below d_(k) as long as k > nu n, and 0 between d_(nu n + 1) and d_(nu n) where nu n
is an integer. The largest minimiser is therefore

    R*^2 = d_(ceil(nu n))            (no search needed)

and with it  #{d_i > R^2} / n < nu <= #{d_i >= R^2} / n.
"""

import sys
from dataclasses import replace

import numpy as np

from ....svdd import radius
from ...assignment import Source
from ...variants import versions
from ..method import soft_boundary_radius as task


def exact_radius_squared(squared_distances: np.ndarray, nu: float) -> float:
    """R*^2 = d_(ceil(nu n)), the largest minimiser of J.

    squared_distances: (n,) values d_i. Where nu n is an integer J is flat between two order statistics; the larger one
    is returned.
    Raises ValueError for nu outside (0, 1].
    """
    #: refuse what has no radius
    if not 0 < nu <= 1:
        raise ValueError(f"nu={nu!r}: expected a number in (0, 1]")
    d = squared_distances
    #: its place in the order: ceil(nu n), where 0.07 * 100 = 7.000000000000001 counts as 7
    place = max(int(np.ceil(nu * len(d) * (1 - 1e-12))), 1)
    #: the distance at that place, counted from the largest
    return float(np.sort(d)[::-1][place - 1])


_CONTRACT = """
R^2: the u at which J(u) of `soft_boundary_objective` is smallest, exactly. No search, no interpolation.

Where several u are best, the largest of the distances d_i among them. It is always one of the d_i.
A product nu n that is an integer up to rounding (0.07 * 100 = 7.000000000000001) counts as that integer.

squared_distances: (n,), in any order, with ties or without; it stays as it is.   Returns a number.
Raises ValueError for nu outside (0, 1].
"""
_STANDARD = replace(task.ASSIGNMENT, rule="of several best radii the smallest distance among them is returned")
_LARGER = replace(
    _STANDARD,
    rule="of several best radii the largest distance among them is returned",
    derivation=sys.modules[__name__],
    derivation_until=None,
    functions=(
        Source(radius.soft_boundary_objective),
        Source(exact_radius_squared, contract=_CONTRACT),
        task.ASSIGNMENT.functions[2],
    ),
    parts=task.parts_with(
        exact_radius_squared,
        ("the smaller end of the flat piece, where the larger one is asked for", radius.exact_radius_squared),
    ),
)
VERSIONS = versions(_STANDARD, _LARGER)
