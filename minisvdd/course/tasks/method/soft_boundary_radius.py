"""The assignment `soft-boundary-radius`: objective (3) in the radius, its exact minimiser, and the gradient for W."""

from functools import partial

import numpy as np

from ....ops import losses as ops
from ....svdd import radius
from ...assignment import Assignment, Part, Source
from ...grader.checks import Case, Wrong, check_refused, check_untouched, compare, values
from ...parts import DTYPE, parts_of

_HANDOUT = """
For fixed weights the soft-boundary objective is piecewise linear in R^2, and its minimum can be read off the sorted
distances: no search, no quantile that interpolates. Draw the function for five distances before you write a line.

Keep R and R^2 apart by name: `radius_squared` is always R^2. The authors' own code once mixed them up.
"""

_OUTPUTS = ("value", "grad", "distances")  # older handouts asked for the first two alone
_VALUE, _GRAD = (0, 2), 1
_RADIUS, _LOSS, _OBJECTIVE = radius.exact_radius_squared, ops.soft_boundary_loss, radius.soft_boundary_objective


def _distances(rng, n):
    return rng.permutation(rng.gamma(2.0, 1.0, n))


def _objectives(*sizes):
    def cases(rng):
        for n, nu in sizes:
            d = _distances(rng, n)
            yield Case((float(np.median(d)), d, nu))

    return cases


def _radii(*sizes):
    return lambda rng: [Case((_distances(rng, n), nu)) for n, nu in sizes]


def _tied(rng):
    for n, nu in ((20, 0.3), (13, 0.45), (17, 0.15)):
        yield Case((rng.integers(1, 4, n).astype(np.float64), nu))
    yield Case((np.full(6, 2.5), 0.5))


def _draw(rng, N, p):
    outputs, center = rng.standard_normal((N, p)), 0.1 * rng.standard_normal(p)
    d = ((outputs - center) ** 2).sum(axis=1)
    return outputs, center, float(np.sort(d)[N // 2] + 0.01)


def _losses(*sizes, gradient=False):
    def cases(rng):
        for N, p, nu in sizes:
            outputs, center, R2 = _draw(rng, N, p)
            yield Case(
                (outputs, center, R2, nu),
                own_forward=(lambda s, a=(center, R2, nu): lambda v: s.call(_LOSS.__name__, v, *a)[0])
                if gradient
                else None,
                reference=lambda v, a=(center, R2, nu): ops.soft_boundary_loss(v, *a)[0],
                known=tuple(lambda v, f=f, a=(center, R2, nu): f(v, *a)[0] for _, f in _LOSS_FORMS),
                point=outputs,
                grad_output=np.ones(()),
            )

    return cases


def _kink(rng):
    """Samples exactly on the sphere: with integers the distance is exact."""
    outputs = np.array([[3.0, 4.0, 0.0], [0.0, 1.0, 1.0], [6.0, 8.0, 1.0], [0.0, 0.0, 5.0], [-9.0, 12.0, 2.0]])
    yield Case((outputs, np.zeros(3), 25.0, 0.8))


def _checked_radius(op, student, d, nu):
    """The submission's radius, which is right, and the distances after the call."""
    given, after = student.sandbox.call(op.__name__, d, nu)
    compare(given, op(d, nu), "R^2", Case((d, nu)), op, forms=_RADIUS_FORMS)
    return given, after


def _refuses(student, rng):
    for nu in (0.0, 1.5, -0.1):
        asked = partial(student.call, _RADIUS.__name__, _distances(rng, 5), nu)
        check_refused(asked, f"nu={nu} is not in (0, 1]")


def _untouched(op, student, rng):
    d = _distances(rng, 10)
    given, after = _checked_radius(op, student, d, 0.25)
    check_untouched(op, (d, 0.25), after)
    if np.abs(d - np.asarray(given, np.float64)).min() > 1e-9 * d.max():  # R**2 of a root is one of them up to rounding
        raise Wrong(f"R^2 = {given!r:.60}: expected one of the distances themselves")


# Known mistakes


def _order(outside=lambda n, nu: int(np.floor(nu * n * (1 + 1e-12))), ascending=False, root=False):
    """The distance behind so many of the largest (of the smallest: ascending)."""

    def mistaken(d, nu):
        ordered = np.sort(d) if ascending else np.sort(d)[::-1]
        value = ordered[min(outside(len(d), nu), len(d) - 1)]
        return np.sqrt(value) if root else value

    return mistaken


def _loss(share=None, factor=2.0, everyone=False, inside=False, radius_too=True, of_radius=lambda R2: R2):
    def mistaken(outputs, center, radius_squared, nu):
        N, difference = len(outputs), outputs - center
        R2 = of_radius(radius_squared)
        excess = (difference**2).sum(axis=1) - R2
        outside = np.ones(N, bool) if everyone else (excess > 0) != inside
        weight = share(N, nu) if share else 1 / (nu * N)
        value = radius_too * radius_squared + weight * excess[outside].sum()
        return value, factor * weight * outside[:, None] * difference

    return mistaken


def _quantile(method):
    return lambda d, nu: np.quantile(d, 1 - nu, method=method)


_RADIUS_FORMS = [
    (
        "floor(nu n) of a product that rounding made too small: 0.29 * 100 must count as 29",
        _order(lambda n, nu: int(nu * n)),
    ),
    ("a quantile that interpolates between two distances", lambda d, nu: np.quantile(d, 1 - nu)),
    (
        "the square of an interpolated quantile of the distances' roots",
        lambda d, nu: np.quantile(np.sqrt(d), 1 - nu) ** 2,
    ),
    ("R, where R^2 is asked for", _order(root=True)),
    ("the quantile that lies nearest, which is another order statistic for other n", _quantile("nearest")),
    ("the quantile rounded up to the next distance", _quantile("higher")),
    ("the quantile rounded down to the next distance: one place too late, or two", _quantile("lower")),
    ("a quantile that interpolates between two distances", _quantile("hazen")),
    ("nu n is rounded to the nearest number, not down", _order(lambda n, nu: round(nu * n))),
    ("nu n is rounded up, not down", _order(lambda n, nu: int(np.ceil(nu * n)))),
    ("floor(nu (n - 1)) instead of floor(nu n)", _order(lambda n, nu: int(nu * (n - 1)))),
    ("one place too early in the order: floor(nu n) instead of floor(nu n) + 1", _order(
        lambda n, nu: int(np.floor(nu * n * (1 + 1e-12))) - 1)),
    ("one place too late in the order", _order(lambda n, nu: int(np.floor(nu * n * (1 + 1e-12))) + 1)),
    ("counted from the smallest distance", _order(ascending=True)),
    ("counted from the smallest distance, one place too early", _order(
        lambda n, nu: int(np.floor(nu * n * (1 + 1e-12))) - 1, ascending=True)),
    ("the distances are not sorted", lambda d, nu: d[int(nu * len(d))]),
    ("the distances are not sorted", lambda d, nu: d[::-1][int(nu * len(d))]),
    ("the largest distance: that is the hard boundary", lambda d, nu: d.max()),
    ("the mean of the distances", lambda d, nu: d.mean()),
    ("the square of the right radius: the distances are squared already", lambda d, nu: _RADIUS(d, nu) ** 2),
    ("the smallest value of the objective, not where it is attained", lambda d, nu: _OBJECTIVE(_RADIUS(d, nu), d, nu)),
]  # fmt: skip


def _squared_hinge(outputs, center, R2, nu):
    difference, N = outputs - center, len(outputs)
    excess = np.maximum(0, (difference**2).sum(axis=1) - R2)
    return R2 + (excess**2).sum() / (nu * N), 4 / (nu * N) * excess[:, None] * difference


def _share_outside(outputs, center, R2, nu):
    """The mean over those outside, where the sum over them belongs, divided by nu N."""
    difference = outputs - center
    excess = (difference**2).sum(axis=1) - R2
    outside = excess > 0
    count = max(1, int(outside.sum()))
    return R2 + excess[outside].sum() / count, 2 / count * outside[:, None] * difference


def _to_radius(outputs, center, R2, nu):
    """Gradient of the distance to the sphere's surface, not to its centre."""
    value, grad, d = _LOSS(outputs, center, R2, nu)
    return value, grad * (1 - np.sqrt(R2 / np.maximum(d, 1e-300)))[:, None]


_LOSS_FORMS = [
    ("nu is forgotten", _loss(lambda N, nu: 1 / N)),
    ("the 1/N is missing", _loss(lambda N, nu: 1 / nu)),
    ("nu and N are forgotten", _loss(lambda N, nu: 1.0)),
    ("multiplied by nu where a division belongs", _loss(lambda N, nu: nu / N)),
    ("1 - nu where nu belongs", _loss(lambda N, nu: 1 / max((1 - nu) * N, 1e-300))),
    ("samples inside the sphere count too: max(0, .) is missing", _loss(everyone=True)),
    ("samples inside the sphere count, those outside do not", _loss(inside=True)),
    ("the mean over the samples outside: the sum over them, divided by nu N, belongs there", _share_outside),
    ("the hinge is squared", _squared_hinge),
    ("the term R^2 itself is missing", _loss(radius_too=False)),
    ("R where R^2 belongs", _loss(of_radius=np.sqrt)),
    ("R^4 where R^2 belongs: `radius_squared` is squared already", _loss(of_radius=np.square)),
    ("the factor 2 of the square's derivative is missing", _loss(factor=1.0)),
    ("the factor 2 and nu are missing", _loss(lambda N, nu: 1 / N, factor=1.0)),
    ("the wrong sign", _loss(factor=-2.0)),
    ("the centre is forgotten", lambda o, c, R2, nu: _LOSS(o, 0 * c, R2, nu)),
    ("the derivative of the distance to the sphere's surface: d is measured from the centre", _to_radius),
    ("divided by the number of coordinates as well", lambda o, c, R2, nu: tuple(
        a / o.shape[1] for a in _LOSS(o, c, R2, nu))),
]  # fmt: skip
_OBJECTIVE_FORMS = [
    ("nu is forgotten", lambda u, d, nu: u + np.maximum(0, d - u).mean()),
    ("the 1/n is missing: a sum where the mean belongs", lambda u, d, nu: u + np.maximum(0, d - u).sum() / nu),
    ("multiplied by nu where a division belongs", lambda u, d, nu: u + np.maximum(0, d - u).mean() * nu),
    ("distances inside count too: max(0, .) is missing", lambda u, d, nu: u + (d - u).mean() / nu),
    ("the term R^2 itself is missing", lambda u, d, nu: np.maximum(0, d - u).mean() / nu),
    ("R where R^2 belongs", lambda u, d, nu: u + np.maximum(0, d - np.sqrt(u)).mean() / nu),
    ("R for the first term, where R^2 belongs", lambda u, d, nu: np.sqrt(u) + np.maximum(0, d - u).mean() / nu),
    ("u is R^2 already, it is squared once more", lambda u, d, nu: u**2 + np.maximum(0, d - u**2).mean() / nu),
    ("u is R^2 already, it is squared once more", lambda u, d, nu: u**2 + np.maximum(0, d - u).mean() / nu),
    ("the mean over those outside: the sum over them, divided by nu n, belongs there", lambda u, d, nu: (
        u + np.maximum(0, d - u).sum() / max(1, int((d > u).sum())))),
    ("the hinge is squared", lambda u, d, nu: u + (np.maximum(0, d - u) ** 2).mean() / nu),
    ("distances inside count, those outside do not", lambda u, d, nu: u + np.maximum(0, u - d).mean() / nu),
    ("the distances outside count whole: R^2 is to be subtracted", lambda u, d, nu: u + (d * (d > u)).mean() / nu),
    ("the distances are squared already", lambda u, d, nu: u + np.maximum(0, d**2 - u).mean() / nu),
]  # fmt: skip
_INTEGER = _radii((10, 0.2), (20, 0.25), (100, 0.29), (100, 0.07), (20, 0.9))
_ON_KINK = ("a sample exactly on the sphere counts as outside", lambda o, c, R2, nu: (0.0, _on_kink(o, c, R2, nu)))


def _on_kink(outputs, center, R2, nu):
    difference = outputs - center
    return 2 / (nu * len(outputs)) * ((difference**2).sum(axis=1) >= R2)[:, None] * difference


def _values(cases, pick=None, *forms):
    return values(_LOSS, cases, _OUTPUTS, pick, [*forms, *_LOSS_FORMS], optional=1)


# What the library's lines leave to functions that this assignment does not ask for.
_REFUSAL = """if not 0 < nu <= 1:
        raise ValueError(f"nu={nu!r}: expected a number in (0, 1]")
    d = squared_distances"""
_DISTANCES = "((outputs - center) ** 2).sum(axis=1)"
_FUNCTIONS = (
    Source(_OBJECTIVE),
    Source(_RADIUS, instead=(("d = _checked(squared_distances, nu)", _REFUSAL),)),
    Source(_LOSS, instead=(("squared_distances(outputs, center)", _DISTANCES), ("accumulator(outputs)", "np.float64"))),
)


def parts_with(op, *forms):
    """The parts, for the radius that `op` takes among several best ones.  forms: further known mistakes."""
    return (
        *parts_of(
            _OBJECTIVE,
            {"values": 8, "other sizes": 7},
            {"values": _objectives((5, 0.5)), "other sizes": _objectives((1, 1.0), (30, 0.1), (17, 0.3))},
            forms=_OBJECTIVE_FORMS,
        ),
        *parts_of(
            op,
            {"values": 15, "other sizes": 10, "nu n an integer": 10, "nu = 1, one sample": 5, "ties": 5},
            {
                "values": _radii((10, 0.25), (9, 0.1)),
                "other sizes": _radii((31, 0.1), (50, 0.55), (8, 0.01), (7, 0.4), (13, 0.85)),
                "nu n an integer": _INTEGER,
                "nu = 1, one sample": _radii((6, 1.0), (1, 1.0), (1, 0.3)),
                "ties": _tied,
            },
            forms=[*forms, *_RADIUS_FORMS],
        ),
        Part("exact_radius_squared: refuses nu outside (0, 1]", 5, _refuses, True, form=True),
        Part("exact_radius_squared: one of the distances, which stay as they are", 5, partial(_untouched, op), True),
        Part("soft_boundary_loss: value", 8, _values(_losses((7, 3, 0.4)), _VALUE)),
        Part("soft_boundary_loss: gradient", 8, _values(_losses((7, 3, 0.4), gradient=True), _GRAD)),
        Part(
            "soft_boundary_loss: other sizes",
            6,
            _values(_losses((9, 1, 0.1), (5, 3, 0.7), (1, 4, 1.0), gradient=True)),
            True,
        ),
        Part("soft_boundary_loss: on the kink", 4, _values(_kink, _GRAD, _ON_KINK), True),
        *parts_of(_LOSS, {DTYPE: 4}, {"values": _losses((7, 3, 0.4))}, outputs=_OUTPUTS, floats=(_GRAD,), optional=1),
    )


ASSIGNMENT = Assignment(
    name="soft-boundary-radius",
    title="The soft boundary and its exact radius",
    reading="section 3.1 of the paper, eq. (3); section 3.2 for the alternation; Proposition 4",
    handout=_HANDOUT,
    goals=(
        "minimise a convex, piecewise linear function by counting, without a search",
        "say what happens where the minimiser is not unique, and where distances tie",
        "write a loss with a hinge, and its gradient on either side of the kink",
    ),
    hours="1 to 2",
    lectures=("06_deep_svdd#Soft-boundary Deep SVDD, equation (3)", "06_deep_svdd#The best radius needs no search"),
    without_forward="""
The three functions do not need each other: the radius can earn all its points without the objective, and the loss gets
its R^2 from the grader. With your own objective you can check your radius: no other u may have a smaller value.
""",
    derivation=radius,
    derivation_until="Beside it stand",
    functions=_FUNCTIONS,
    parts=parts_with(_RADIUS),
)
