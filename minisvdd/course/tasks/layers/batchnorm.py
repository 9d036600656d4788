"""The assignment `batchnorm`: statistics, normalisation, and the gradient with its three ways."""

import numpy as np

from ....ops import batchnorm as ops
from ...assignment import Assignment, Part, Source
from ...forms import name_of_error
from ...grader.checks import Case, Wrong, as_numbers, known_passes
from ...parts import DTYPE, parts_of

_HANDOUT = """
The gradient is where everybody stumbles once: x reaches the loss directly, through the mean and through the variance,
and each way has its term. Derive them before you read the formula, and check that the gradient of every channel sums to
0: shifting a channel changes nothing, so no gradient can ask for it.

Beware of checking with grad_output = ones: the sum of the outputs does not depend on x at all, and a backward pass that
returns zeros would pass. The grader's grad_output is random.
"""

_EPSILON = 1e-3


def _x(rng, shape):
    return 2 * rng.standard_normal(shape) + rng.standard_normal((shape[1], *[1] * (len(shape) - 2)))


def _statistics(*shapes):
    return lambda rng: [Case((_x(rng, shape),)) for shape in shapes]


def _forward(*shapes, epsilon=_EPSILON):
    def cases(rng):
        for shape in shapes:
            C = shape[1]
            yield Case((_x(rng, shape), rng.standard_normal(C), rng.uniform(0.5, 2, C), epsilon))

    return cases


def _constant(rng):
    """A channel without variance: epsilon alone must hold."""
    x = _x(rng, (3, 2, 4, 5))
    x[:, 1] = 4.0
    yield Case((x, x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3)), 1e-4))


def _backward(*shapes):
    def cases(rng):
        for shape in shapes:
            x, g = _x(rng, shape), rng.standard_normal(shape)
            x_hat, scale, _, _ = ops.batchnorm_forward_batch(x, _EPSILON)
            known = known_passes(_WHOLE_FORMS, lambda v: (v,))
            yield Case((g, np.ascontiguousarray(x_hat), scale), _own_forward, _reference, x, g, known)

    return cases


def _own_forward(student):
    def forward(v):
        mean, variance = student.call("batch_statistics", v)
        return student.call("batchnorm_forward", v, mean, variance, _EPSILON)[0]

    return forward


def _reference(v):
    return ops.batchnorm_forward_batch(v, _EPSILON)[0]


def _fixed(*shapes):
    return lambda rng: [Case((rng.standard_normal(shape), rng.uniform(0.5, 2, shape[1]))) for shape in shapes]


def _affine(*shapes):
    def cases(rng):
        for shape in shapes:
            yield Case((rng.standard_normal(shape), rng.standard_normal(shape[1]), rng.standard_normal(shape[1])))

    return cases


def _affine_backward(*shapes):
    def cases(rng):
        for shape in shapes:
            arrays = rng.standard_normal((2, *shape))
            yield Case((arrays[0], arrays[1], rng.standard_normal(shape[1])))

    return cases


def _sums_to_zero(student, rng):
    """The gradient has no component along the constant vector, nor along x_hat (up to epsilon)."""
    for case in _backward((6, 3), (2, 4, 3, 5))(rng):
        given = as_numbers(student.call(_NAME, *case.arguments))
        if given is None or given.shape != case.point.shape or given.dtype.kind != "f":
            raise Wrong(f"the result is no gradient: expected an array of shape {case.point.shape}")
        if not given.any():
            raise Wrong("the gradient is 0 everywhere: with a random grad_output it cannot be")
        right, x_hat = ops.batchnorm_backward(*case.arguments), case.arguments[1]
        for name, weights in (("a shift of a channel", 1.0), ("a stretch of a channel", x_hat)):
            pull, allowed = _pull(given, weights), 2 * _pull(right, weights) + 1e-6
            if (pull > allowed).any():
                named = name_of_error(given, right, case.arguments, _BACKWARD_FORMS, None, _BACKWARD_TERMS)
                raise Wrong(
                    f"{name} leaves x_hat as it is, so the gradient must not ask for it; yours does "
                    f"({pull.max():.2g} of its largest entry on average)\n{named or 'no known form of error fits'}"
                )


def _pull(gradient, weights):
    """Per channel: the component along the weights, over the largest entry. Only an epsilon makes it differ from 0."""
    axes, _ = _each(gradient)
    size = np.maximum(np.abs(gradient).max(axis=axes), 1e-300)
    return np.abs((gradient * weights).mean(axis=axes)) / size


# Known mistakes


def _each(x):
    """Axes of all but the channels, and the shape that broadcasts a channel's number."""
    return tuple(axis for axis in range(x.ndim) if axis != 1), (1, -1) + (1,) * (x.ndim - 2)


def _terms(grad_output, x_hat, scale):
    axes, shape = _each(x_hat)
    mean_g = grad_output.mean(axis=axes, keepdims=True)
    return scale.reshape(shape), mean_g, x_hat * (grad_output * x_hat).mean(axis=axes, keepdims=True)


def _lost(which, factor=0.0):
    """The backward pass with one of its terms multiplied by `factor`."""

    def mistaken(grad_output, x_hat, scale):
        r, *terms = _terms(grad_output, x_hat, scale)
        terms[which] = factor * terms[which]
        return r * (grad_output - terms[0] - terms[1])

    return mistaken


def _sums(grad_output, x_hat, scale):
    """Sums where means belong."""
    count = x_hat.size // x_hat.shape[1]
    r, mean_g, through_v = _terms(grad_output, x_hat, scale)
    return r * (grad_output - count * mean_g - count * through_v)


def _no_scale(grad_output, x_hat, scale):
    _, mean_g, through_v = _terms(grad_output, x_hat, scale)
    return grad_output - mean_g - through_v


def _unbiased(x):
    axes, _ = _each(x)
    return x.mean(axis=axes), x.var(axis=axes, ddof=1)


def _over_batch(x):
    return x.mean(axis=0), x.var(axis=0)


def _deviation(x):
    axes, _ = _each(x)
    return x.mean(axis=axes), x.std(axis=axes)


def _second_moment(x):
    axes, _ = _each(x)
    return x.mean(axis=axes), (x**2).mean(axis=axes)


def _of_all(x):
    return np.full(x.shape[1], x.mean()), np.full(x.shape[1], x.var())


def _sum_of_squares(x):
    axes, shape = _each(x)
    mean = x.mean(axis=axes)
    return mean, ((x - mean.reshape(shape)) ** 2).sum(axis=axes)


def _sum_not_mean(x):
    axes, _ = _each(x)
    return x.sum(axis=axes), x.var(axis=axes)


def _absolute(x):
    axes, shape = _each(x)
    mean = x.mean(axis=axes)
    return mean, np.abs(x - mean.reshape(shape)).mean(axis=axes)


_STATISTICS_FORMS = [
    ("the unbiased variance: division by m - 1, not by m", _unbiased),
    ("over the batch only, not over the positions", _over_batch),
    ("over the positions only, not over the batch", lambda x: (x.mean(axis=(2, 3)), x.var(axis=(2, 3)))),
    ("over the channels, not over the batch", lambda x: (x.mean(axis=1), x.var(axis=1))),
    ("the standard deviation, not the variance", _deviation),
    ("the mean of x^2, from which the squared mean is not subtracted", _second_moment),
    ("over everything, channels included", lambda x: (x.mean(), x.var())),
    ("over everything, channels included", _of_all),
    ("the sum of the squares, not their mean", _sum_of_squares),
    ("the sum, not the mean", _sum_not_mean),
    ("the absolute deviation, not its square", _absolute),
]


def _normalised(scale_of, centred=True):
    def mistaken(x, mean, variance, epsilon):
        _, shape = _each(x)
        scale = scale_of(variance, epsilon)
        return (x - centred * mean.reshape(shape)) * scale.reshape(shape), scale

    return mistaken


def _root(v, e):
    return (v + e) ** -0.5


def _mean_unscaled(x, mean, variance, epsilon):
    _, shape = _each(x)
    scale = _root(variance, epsilon)
    return x * scale.reshape(shape) - mean.reshape(shape), scale


def _mean_added(x, mean, variance, epsilon):
    _, shape = _each(x)
    scale = _root(variance, epsilon)
    return (x + mean.reshape(shape)) * scale.reshape(shape), scale


def _own_statistics(x, mean, variance, epsilon):
    """The statistics of x itself, whatever is given."""
    return ops.batchnorm_forward_batch(x, epsilon)[:2]


_FORWARD_FORMS = [
    ("the scale is 1/r: the square root itself", lambda x, m, v, e: (None, np.sqrt(v + e))),
    ("epsilon is forgotten", _normalised(lambda v, e: v**-0.5)),
    ("epsilon outside the square root", _normalised(lambda v, e: 1 / (np.sqrt(v) + e))),
    ("divided by the variance, not by its square root", _normalised(lambda v, e: 1 / (v + e))),
    ("multiplied by the square root, not divided by it", _normalised(lambda v, e: np.sqrt(v + e))),
    ("the mean is not subtracted", _normalised(_root, centred=False)),
    ("the mean is added, not subtracted", _mean_added),
    ("the mean is subtracted after the scaling, unscaled", _mean_unscaled),
    ("epsilon is squared", _normalised(lambda v, e: (v + e * e) ** -0.5)),
    ("epsilon is subtracted", _normalised(lambda v, e: (v - e) ** -0.5)),
    ("the mean and variance of x itself, not those that are given", _own_statistics),
    ("the scale is r^2", lambda x, m, v, e: (None, 1 / (v + e))),
]


def _sum_of(which):
    """The backward pass with a sum where one of its means belongs."""
    return lambda g, x_hat, r: _lost(which, x_hat.size // x_hat.shape[1])(g, x_hat, r)


def _m_minus_one(grad_output, x_hat, scale):
    m = x_hat.size // x_hat.shape[1]
    r, mean_g, through_v = _terms(grad_output, x_hat, scale)
    return r * (grad_output - m / (m - 1) * mean_g - m / (m - 1) * through_v)


def _through_v_m_minus_one(grad_output, x_hat, scale):
    m = x_hat.size // x_hat.shape[1]
    return _lost(1, m / (m - 1))(grad_output, x_hat, scale)


def _with_scale(of):
    """The backward pass with another function of r in front."""

    def mistaken(grad_output, x_hat, scale):
        r, mean_g, through_v = _terms(grad_output, x_hat, scale)
        return of(r) * (grad_output - mean_g - through_v)

    return mistaken


def _without_factor(grad_output, x_hat, scale):
    axes, _ = _each(x_hat)
    r, mean_g, _ = _terms(grad_output, x_hat, scale)
    return r * (grad_output - mean_g - (grad_output * x_hat).mean(axis=axes, keepdims=True))


def _product_of_means(grad_output, x_hat, scale):
    axes, _ = _each(x_hat)
    r, mean_g, _ = _terms(grad_output, x_hat, scale)
    return r * (grad_output - mean_g - x_hat * mean_g * x_hat.mean(axis=axes, keepdims=True))


def _means_along(*axes):
    """The backward pass whose means are taken along these axes."""

    def mistaken(g, x_hat, scale):
        r, _, _ = _terms(g, x_hat, scale)
        means = (array.mean(axis=axes, keepdims=True) for array in (g, g * x_hat))
        return r * (g - next(means) - x_hat * next(means))

    return mistaken


def _outside(grad_output, x_hat, scale):
    """r in front of the direct way alone."""
    r, mean_g, through_v = _terms(grad_output, x_hat, scale)
    return r * grad_output - mean_g - through_v


def _term(function):
    """For the scan of terms: a function of (g, x_hat, r, mean over a channel)."""

    def term(grad_output, x_hat, scale):
        axes, shape = _each(x_hat)
        return (
            function(grad_output, x_hat, scale.reshape(shape), lambda v: v.mean(axis=axes, keepdims=True)) + 0 * x_hat
        )

    return term


_BACKWARD_TERMS = [
    ("r g", _term(lambda g, x_hat, r, mean: r * g)),
    ("r mean(g)", _term(lambda g, x_hat, r, mean: r * mean(g))),
    ("r x_hat mean(g x_hat)", _term(lambda g, x_hat, r, mean: r * x_hat * mean(g * x_hat))),
    ("r mean(g x_hat)", _term(lambda g, x_hat, r, mean: r * mean(g * x_hat))),
    ("r x_hat mean(g)", _term(lambda g, x_hat, r, mean: r * x_hat * mean(g))),
    ("r x_hat", _term(lambda g, x_hat, r, mean: r * x_hat)),
    ("r g x_hat", _term(lambda g, x_hat, r, mean: r * g * x_hat)),
    ("g", _term(lambda g, x_hat, r, mean: g)),
    ("mean(g)", _term(lambda g, x_hat, r, mean: mean(g))),
    ("x_hat mean(g x_hat)", _term(lambda g, x_hat, r, mean: x_hat * mean(g * x_hat))),
]
_NAME = "batchnorm_backward"
_BACKWARD_FORMS = [
    ("the gradient through the mean is forgotten: the term mean(g) is missing", _lost(0)),
    ("the gradient through the variance is forgotten: the term x_hat mean(g x_hat) is missing", _lost(1)),
    ("only the direct way r g, as with fixed statistics", lambda g, x_hat, r: g * r.reshape(_each(g)[1])),
    ("sums over the batch where means belong: a missing 1/N", _sums),
    ("the scale r is forgotten", _no_scale),
    ("the term through the variance has the wrong sign", _lost(1, -1.0)),
    ("the term mean(g) has the wrong sign", _lost(0, -1.0)),
    ("the term through the variance is taken twice: a factor 2 from the square", _lost(1, 2.0)),
    ("half of the term through the variance", _lost(1, 0.5)),
    ("the term mean(g) is taken twice", _lost(0, 2.0)),
    ("the term x_hat mean(g x_hat) is a sum where the mean belongs: a missing 1/N", _sum_of(1)),
    ("the term mean(g) is a sum where the mean belongs: a missing 1/N", _sum_of(0)),
    ("the factor x_hat is missing in front of mean(g x_hat)", _without_factor),
    ("mean(g) mean(x_hat) where mean(g x_hat) belongs", _product_of_means),
    ("r^2 where r belongs", _with_scale(lambda r: r**2)),
    ("1/r where r belongs: `scale` is not the standard deviation, but one over it", _with_scale(lambda r: 1 / r)),
    ("the root of r where r belongs", _with_scale(np.sqrt)),
    ("r^3 where r belongs", _with_scale(lambda r: r**3)),
    ("the scale r in front of the direct way alone", _outside),
    ("m - 1 where m belongs, in both means", _m_minus_one),
    ("m - 1 where m belongs, in the term through the variance", _through_v_m_minus_one),
    ("means over the batch axis only, not over the positions", _means_along(0)),
    ("means over the positions only, not over the batch", _means_along(2, 3)),
    ("means over the channels, not over the batch", _means_along(1)),
    ("means over everything, channels included", _means_along(0, 1, 2, 3)),
    ("grad_output comes back as it is", lambda g, x_hat, r: g),
]
# Mistaken statistics lead to a forward pass that is wrong in a known way.
_WHOLE_FORMS = [
    (name, lambda x, statistics=statistics: ops.batchnorm_forward(x, *statistics(x), _EPSILON)[0])
    for name, statistics in _STATISTICS_FORMS
]
_WHOLE_FORMS += [
    (name, lambda x, forward=forward: forward(x, *ops.batch_statistics(x), _EPSILON)[0])
    for name, forward in _FORWARD_FORMS
]
_SMALL = {"values": 4, "other shapes": 4, DTYPE: 2}

ASSIGNMENT = Assignment(
    name="batchnorm",
    title="Batch normalisation and its gradient",
    reading="section 4.1 of the paper; Proposition 2 for why its affine part is a bias",
    handout=_HANDOUT,
    helpers=(ops.all_but_channel, ops.per_channel),
    derivation=ops,
    functions=tuple(
        Source(op)
        for op in (
            ops.batch_statistics,
            ops.batchnorm_forward,
            ops.batchnorm_backward,
            ops.batchnorm_backward_fixed,
            ops.affine_forward,
            ops.affine_backward,
        )
    ),
    parts=(
        *parts_of(
            ops.batch_statistics,
            {"values": 6, "other shapes": 6, DTYPE: 3},
            {"values": _statistics((5, 3)), "other shapes": _statistics((2, 3, 4, 5), (4, 1, 2, 3), (1, 2, 3, 4))},
            outputs=("mean", "variance"),
            floats=(0, 1),
            forms=_STATISTICS_FORMS,
        ),
        *parts_of(
            ops.batchnorm_forward,
            {"values": 6, "other shapes": 6, "constant channel": 5, DTYPE: 3},
            {
                "values": _forward((4, 3), epsilon=0.1),
                "other shapes": _forward((2, 3, 4, 5), (1, 2), (3, 1, 2, 4)),
                "constant channel": _constant,
            },
            outputs=("x_hat", "scale"),
            floats=(0, 1),
            forms=_FORWARD_FORMS,
        ),
        *parts_of(
            ops.batchnorm_backward,
            {"values": 12, "other shapes": 13, DTYPE: 4},
            {"values": _backward((5, 3)), "other shapes": _backward((2, 3, 4, 5), (7, 1), (1, 2, 3, 4))},
            forms=_BACKWARD_FORMS,
            terms=_BACKWARD_TERMS,
        ),
        Part(f"{_NAME}: no pull along 1 and x_hat", 6, _sums_to_zero, True),
        *parts_of(
            ops.batchnorm_backward_fixed,
            _SMALL,
            {"values": _fixed((4, 3)), "other shapes": _fixed((2, 3, 4, 5), (1, 2))},
            forms=[
                ("divided by the scale", lambda g, r: g / r.reshape(_each(g)[1])),
                ("r^2 where r belongs", lambda g, r: g * r.reshape(_each(g)[1]) ** 2),
                ("the scale is forgotten", lambda g, r: g),
                ("the mean is subtracted, though the statistics are constants", lambda g, r: _centred(g, r)),
            ],
        ),
        *parts_of(
            ops.affine_forward,
            _SMALL,
            {"values": _affine((4, 3)), "other shapes": _affine((2, 3, 4, 5), (1, 2))},
            forms=[
                ("the bias is forgotten", lambda x, w, b: x * w.reshape(_each(x)[1])),
                ("the weight is forgotten", lambda x, w, b: x + b.reshape(_each(x)[1])),
                ("the bias is multiplied, too", lambda x, w, b: (x + b.reshape(_each(x)[1])) * w.reshape(_each(x)[1])),
                ("weight and bias are exchanged", lambda x, w, b: x * b.reshape(_each(x)[1]) + w.reshape(_each(x)[1])),
                ("the bias subtracted", lambda x, w, b: x * w.reshape(_each(x)[1]) - b.reshape(_each(x)[1])),
            ],
        ),
        *parts_of(
            ops.affine_backward,
            _SMALL,
            {"values": _affine_backward((4, 3)), "other shapes": _affine_backward((2, 3, 4, 5), (1, 2))},
            outputs=("grad_x_hat", "grad_weight", "grad_bias"),
            floats=(0, 1, 2),
            forms=[
                (
                    "the weight is forgotten in dL/dx_hat",
                    lambda g, x, w: (g, (g * x).sum(_each(g)[0]), g.sum(_each(g)[0])),
                ),
                ("means where sums belong", lambda g, x, w: (g, (g * x).mean(_each(g)[0]), g.mean(_each(g)[0]))),
                ("summed over the batch only", lambda g, x, w: (g, (g * x).sum(axis=0), g.sum(axis=0))),
                ("summed over the positions only", lambda g, x, w: (g, (g * x).sum((2, 3)), g.sum((2, 3)))),
                ("x_hat is forgotten in dL/dweight", lambda g, x, w: (None, g.sum(_each(g)[0]), None)),
                ("grad_output is not used in dL/dweight", lambda g, x, w: (None, x.sum(_each(g)[0]), None)),
                ("not summed", lambda g, x, w: (None, g * x, g)),
                ("divided by the weight in dL/dx_hat", lambda g, x, w: (g / w.reshape(_each(g)[1]), None, None)),
                ("dL/dx_hat times x_hat", lambda g, x, w: (g * x * w.reshape(_each(g)[1]), None, None)),
            ],
        ),
    ),
)


def _centred(g, r):
    axes, shape = _each(g)
    return (g - g.mean(axis=axes, keepdims=True)) * r.reshape(shape)
