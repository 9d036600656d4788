"""The assignment `batchnorm`: statistics, normalisation, and the gradient with its three ways."""

import numpy as np

from ....gradcheck.diagnosis import diagnose_batchnorm
from ....ops import batchnorm as ops
from ...assignment import Assignment, Part, Source
from ...grader.checks import Case, Wrong, as_numbers
from ...parts import DTYPE, parts_of

_HANDOUT = """
The gradient is where everybody stumbles once: x reaches the loss directly, through the mean and through the variance,
and each way has its term. Derive them on paper, and check that the gradient of every channel sums to 0: shifting a
channel changes nothing, so no gradient can ask for it.

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
    x = _x(rng, (3, 2, 2, 2))
    x[:, 1] = 4.0
    yield Case((x, x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3)), 1e-4))


def _backward(*shapes):
    def cases(rng):
        for shape in shapes:
            x, g = _x(rng, shape), rng.standard_normal(shape)
            x_hat, scale, _, _ = ops.batchnorm_forward_batch(x, _EPSILON)
            yield Case((g, np.ascontiguousarray(x_hat), scale), _own_forward, _reference, x, g)

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
    for case in _backward((6, 3), (2, 2, 3, 2))(rng):
        given = as_numbers(student.call(_NAME, *case.arguments))
        if given is None or given.shape != case.point.shape or given.dtype.kind != "f":
            raise Wrong(f"the result is no gradient: expected an array of shape {case.point.shape}")
        axes = tuple(axis for axis in range(given.ndim) if axis != 1)
        size = float(np.abs(given).max())
        if not size:
            raise Wrong("the gradient is 0 everywhere: with a random grad_output it cannot be")
        for name, weights in (("a shift of a channel", 1.0), ("a stretch of a channel", case.arguments[1])):
            left = float(np.abs((given * weights).mean(axis=axes)).max()) / size
            if left > 2 * _EPSILON:
                word = "mean(g)" if name.startswith("a shift") else "x_hat mean(g x_hat)"
                raise Wrong(
                    f"{name} leaves x_hat as it is, so the gradient must not ask for it; yours does ({left:.2g} of its "
                    f"largest entry on average): look at the term {word}"
                )


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


def _normalised(scale_of, centred=True):
    def mistaken(x, mean, variance, epsilon):
        _, shape = _each(x)
        scale = scale_of(variance, epsilon)
        return (x - centred * mean.reshape(shape)) * scale.reshape(shape), scale

    return mistaken


def _backward_parts():
    """The usual parts, with the gradient checker's own diagnosis of batch norm as the last form."""
    parts = parts_of(
        ops.batchnorm_backward,
        {"values": 12, "other shapes": 13, DTYPE: 4},
        {"values": _backward((5, 3)), "other shapes": _backward((2, 3, 4, 3), (7, 1), (1, 2, 3, 3))},
        forms=_BACKWARD_FORMS,
    )
    return (
        *(_with_diagnosis(part) for part in parts),
        Part(f"{_NAME}: no pull along 1 and x_hat", 6, _sums_to_zero, True),
    )


def _with_diagnosis(part):
    def check(student, rng):
        state = rng.bit_generator.state
        try:
            part.check(student, rng)
        except Wrong as wrong:
            if "looks like" in str(wrong) or DTYPE in part.name:
                raise
            rng.bit_generator.state = state
            found = _fit(student, rng)
            raise Wrong(
                str(wrong).replace("no known form of error fits", found or "no known form of error fits")
            ) from None

    return Part(part.name, part.points, check, part.hidden)


def _fit(student, rng):
    """`diagnose_batchnorm` on a batch of its own."""
    (case,) = _backward((6, 3))(rng)
    given = as_numbers(student.call(_NAME, *case.arguments))
    if given is None or given.shape != case.point.shape:
        return None
    right = ops.batchnorm_backward(*case.arguments)
    return diagnose_batchnorm(given.astype(np.float64), right, case.point, case.grad_output)


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
]
_SMALL = {"values": 4, "other shapes": 4, DTYPE: 2}

ASSIGNMENT = Assignment(
    name="batchnorm",
    title="Batch normalisation and its gradient",
    reading="section 4.1 of the paper; its Proposition 2 says why the affine part is a bias",
    handout=_HANDOUT,
    goals=(
        "follow every way by which an input reaches the loss, and add up their terms",
        "check a gradient by what it must be orthogonal to",
        "say what changes when the statistics are fixed",
    ),
    hours="2 to 3",
    lectures=("04_layers#Batch norm",),
    without_forward="""
Each function is called with inputs of its own: `batchnorm_backward` gets x_hat and scale from the grader, and can earn
all its points though `batchnorm_forward` is empty. The fixed statistics and the affine part are the easy half: take
them first.
""",
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
            {"values": _statistics((5, 3)), "other shapes": _statistics((2, 3, 4, 3), (4, 1, 2, 2), (1, 2, 3, 3))},
            outputs=("mean", "variance"),
            floats=(0, 1),
            forms=[
                ("the unbiased variance: division by m - 1, not by m", _unbiased),
                ("over the batch only, not over the positions", _over_batch),
                ("the standard deviation, not the variance", _deviation),
                ("the mean of x^2, from which the squared mean is not subtracted", _second_moment),
            ],
        ),
        *parts_of(
            ops.batchnorm_forward,
            {"values": 6, "other shapes": 6, "constant channel": 5, DTYPE: 3},
            {
                "values": _forward((4, 3), epsilon=0.1),
                "other shapes": _forward((2, 3, 4, 3), (1, 2), (3, 1, 2, 2)),
                "constant channel": _constant,
            },
            outputs=("x_hat", "scale"),
            floats=(0, 1),
            forms=[
                ("epsilon is forgotten", _normalised(lambda v, e: v**-0.5)),
                ("epsilon outside the square root", _normalised(lambda v, e: 1 / (np.sqrt(v) + e))),
                ("divided by the variance, not by its square root", _normalised(lambda v, e: 1 / (v + e))),
                ("the mean is not subtracted", _normalised(lambda v, e: (v + e) ** -0.5, centred=False)),
                ("the scale is 1/r: the square root itself", lambda x, m, v, e: (x * np.nan, np.sqrt(v + e))),
            ],
        ),
        *_backward_parts(),
        *parts_of(
            ops.batchnorm_backward_fixed,
            _SMALL,
            {"values": _fixed((4, 3)), "other shapes": _fixed((2, 3, 4, 3), (1, 2))},
            forms=[
                ("divided by the scale", lambda g, r: g / r.reshape(_each(g)[1])),
                ("the mean is subtracted, though the statistics are constants", lambda g, r: _centred(g, r)),
            ],
        ),
        *parts_of(
            ops.affine_forward,
            _SMALL,
            {"values": _affine((4, 3)), "other shapes": _affine((2, 3, 4, 3), (1, 2))},
            forms=[("the bias is forgotten", lambda x, w, b: x * w.reshape(_each(x)[1]))],
        ),
        *parts_of(
            ops.affine_backward,
            _SMALL,
            {"values": _affine_backward((4, 3)), "other shapes": _affine_backward((2, 3, 4, 3), (1, 2))},
            outputs=("grad_x_hat", "grad_weight", "grad_bias"),
            floats=(0, 1, 2),
            forms=[
                (
                    "the weight is forgotten in dL/dx_hat",
                    lambda g, x, w: (g, (g * x).sum(_each(g)[0]), g.sum(_each(g)[0])),
                ),
                ("means where sums belong", lambda g, x, w: (g, (g * x).mean(_each(g)[0]), g.mean(_each(g)[0]))),
                ("summed over the batch only", lambda g, x, w: (g, (g * x).sum(axis=0), g.sum(axis=0))),
            ],
        ),
    ),
)


def _centred(g, r):
    axes, shape = _each(g)
    return (g - g.mean(axis=axes, keepdims=True)) * r.reshape(shape)
