"""The assignment `one-class-loss`: distances to the centre, eq. (4) and its gradient."""

import numpy as np

from ....nn.losses import OneClass
from ....ops import losses as ops
from ...assignment import Assignment, Part, Source
from ...grader.checks import Case, known_passes, values
from ...parts import DTYPE, parts_of, public_cases

_HANDOUT = """
The whole of One-Class Deep SVDD is in this loss: pull every output towards the centre. The squared distance is also the
anomaly score (5), so that one function serves training and testing.

Look twice at what is summed and what is averaged: the gradient has to be that of the very number that you return.
"""


def _draw(rng, N, p):
    return rng.standard_normal((N, p)), rng.standard_normal(p)


def _cases(*sizes):
    return lambda rng: [Case(_draw(rng, *size)) for size in sizes]


def _gradients(*sizes):
    def cases(rng):
        for size in sizes:
            outputs, center = _draw(rng, *size)
            yield Case(
                (outputs, center),
                own_forward=lambda student, c=center: lambda v: student.call("one_class_loss", v, c)[0],
                reference=lambda v, c=center: ops.one_class_loss(v, c)[0],
                point=outputs,
                grad_output=np.ones(()),
                known=known_passes(_VALUE_FORMS, lambda v, c=center: (v, c)),
            )

    return cases


def _edges(rng):
    """A sample on the centre itself, where a norm without its square has no gradient; and a batch of one."""
    outputs, center = _draw(rng, 3, 4)
    outputs[1] = center
    yield Case((outputs, center))
    yield Case(_draw(rng, 1, 4))


def _loss(value, grad):
    """A mistaken loss from functions of (differences, N)."""
    return lambda outputs, center: (value(outputs - center, len(outputs)), grad(outputs - center, len(outputs)))


def _right_value(d, N):
    return (d * d).sum() / N


def _norms(d):
    return np.sqrt((d * d).sum(axis=1))


def _last(d):
    return (np.arange(len(d)) == len(d) - 1)[:, None]


_SIZES = [(7, 3), (3, 8), (6, 1)]  # no 2 in the first: divided by p would look like half of what is right
_OUTPUTS = ("value", "grad", "distances")  # older handouts asked for the first two alone
_VALUE, _GRAD = (0, 2), 1
_FORMS = [
    ("the 1/N is missing: a sum where the mean belongs", _loss(lambda d, N: (d * d).sum(), lambda d, N: 2 * d)),
    (
        "the factor 2 of the square's derivative is missing",
        _loss(lambda d, N: (d * d).sum() / N / 2, lambda d, N: d / N),
    ),
    ("the wrong sign: the gradient points to the centre", _loss(_right_value, lambda d, N: -2 / N * d)),
    ("the gradient is divided by p, where N belongs", _loss(_right_value, lambda d, N: 2 / d.shape[1] * d)),
    (
        "divided by p, where N belongs",
        _loss(lambda d, N: (d * d).sum() / d.shape[1], lambda d, N: d / d.shape[1]),
    ),
    (
        "the mean over all N p entries, where the coordinates are to be summed",
        _loss(lambda d, N: (d * d).mean(), lambda d, N: 2 / d.size * d),
    ),
    ("divided by N twice", _loss(lambda d, N: (d * d).sum() / N**2, lambda d, N: 2 / N**2 * d)),
    (
        "the distance is not squared",
        _loss(lambda d, N: _norms(d).mean(), lambda d, N: d / _norms(d)[:, None] / N),
    ),
    (
        "the root of the mean squared distance: a root too many",
        _loss(lambda d, N: np.sqrt((d * d).sum() / N), lambda d, N: d / np.sqrt((d * d).sum() * N)),
    ),
    (
        "the distance of the mean output, not the mean of the distances",
        _loss(lambda d, N: (d.mean(axis=0) ** 2).sum(), lambda d, N: 2 / N * np.broadcast_to(d.mean(axis=0), d.shape)),
    ),
    ("the largest distance, not their mean", _loss(lambda d, N: (d * d).sum(axis=1).max(), lambda d, N: None)),
    ("the median of the distances, not their mean", _loss(lambda d, N: np.median(_norms(d) ** 2), lambda d, N: None)),
    ("the distances, not their mean", _loss(lambda d, N: (d * d).sum(axis=1), lambda d, N: None)),
    (
        "the absolute differences, not their squares",
        _loss(lambda d, N: np.abs(d).sum() / N, lambda d, N: np.sign(d) / N),
    ),
    ("only the last sample counts", _loss(lambda d, N: (d[-1] ** 2).sum(), lambda d, N: 2 * d * _last(d))),
    (
        "only the last sample counts, divided by N",
        _loss(lambda d, N: (d[-1] ** 2).sum() / N, lambda d, N: 2 / N * d * _last(d)),
    ),
    ("the centre is not subtracted", lambda o, c: ((o * o).sum() / len(o), 2 / len(o) * o)),
    ("the centre is added, not subtracted", lambda o, c: (((o + c) ** 2).sum() / len(o), 2 / len(o) * (o + c))),
    ("the gradient for the centre, summed over the batch", _loss(_right_value, lambda d, N: -2 / N * d.sum(axis=0))),
    ("the gradient summed over the batch", _loss(_right_value, lambda d, N: 2 / N * d.sum(axis=0))),
    ("the difference is squared in the gradient, too", _loss(_right_value, lambda d, N: 2 / N * d * d)),
]
_VALUE_FORMS = [(name, lambda o, c, mistaken=mistaken: mistaken(o, c)[0]) for name, mistaken in _FORMS]
_DISTANCES = [
    ("the distance is not squared", lambda o, c: np.sqrt(((o - c) ** 2).sum(axis=1))),
    ("the mean over the coordinates where the sum belongs", lambda o, c: ((o - c) ** 2).mean(axis=1)),
    ("summed over the batch, not over the coordinates", lambda o, c: ((o - c) ** 2).sum(axis=0)),
    ("the centre is not subtracted", lambda o, c: (o * o).sum(axis=1)),
    ("the absolute differences, not their squares", lambda o, c: np.abs(o - c).sum(axis=1)),
    ("the centre is added, not subtracted", lambda o, c: ((o + c) ** 2).sum(axis=1)),
    ("half of the square", lambda o, c: ((o - c) ** 2).sum(axis=1) / 2),
    ("the sum is squared, not the differences", lambda o, c: (o - c).sum(axis=1) ** 2),
    ("the squared differences, not summed over the coordinates", lambda o, c: (o - c) ** 2),
    ("the mean over all samples where each has its own", lambda o, c: np.full(len(o), ((o - c) ** 2).sum() / len(o))),
    ("the largest coordinate alone", lambda o, c: ((o - c) ** 2).max(axis=1)),
]
_DISTANCE_TERMS = [
    ("||phi||^2", lambda o, c: (o * o).sum(axis=1)),
    ("phi c", lambda o, c: o @ c),
    ("||c||^2", lambda o, c: np.full(len(o), c @ c)),
    ("||phi||", lambda o, c: _norms(o)),
]
_GRADIENT_TERMS = [
    ("2/N phi", lambda o, c: (None, 2 / len(o) * o)),
    ("2/N c", lambda o, c: (None, np.broadcast_to(2 / len(o) * c, o.shape))),
]
_OP = ops.one_class_loss
# The third result is judged by the forms of `squared_distances`: they say nothing of the first two.
_LOSS_FORMS = [*_FORMS, *((name, lambda o, c, f=f: (None, None, f(o, c))) for name, f in _DISTANCES)]


def _values(cases, pick):
    public = public_cases(_OP, _gradients((4, 3)), "gradient")
    return values(_OP, cases, _OUTPUTS, pick, _LOSS_FORMS, 1, _GRADIENT_TERMS, public)


ASSIGNMENT = Assignment(
    name="one-class-loss",
    title="The one-class objective",
    reading="section 3.1 of the paper, eq. (4) and (5)",
    handout=_HANDOUT,
    goals=(
        "write a loss and its gradient with respect to the outputs of a network",
        "say which number a batch's loss is, and how it changes with the size of the batch",
    ),
    hours="0.5",
    lectures=("06_deep_svdd#One-Class Deep SVDD, equation (4)",),
    without_forward="""
The value, the gradient and the distances are compared one by one: what is right of the three earns its points. Return
zeros for what you do not have yet.
""",
    derivation=OneClass,
    functions=(Source(ops.squared_distances), Source(_OP, instead=(("accumulator(outputs)", "np.float64"),))),
    parts=(
        *parts_of(
            ops.squared_distances,
            {"values": 10, "other shapes": 10, "batch of one": 5, DTYPE: 5},
            {"values": _cases((4, 3)), "other shapes": _cases(*_SIZES), "batch of one": _cases((1, 5))},
            forms=_DISTANCES,
            terms=_DISTANCE_TERMS,
        ),
        Part("one_class_loss: value", 15, _values(_cases((4, 3), (5, 2)), _VALUE)),
        Part("one_class_loss: gradient", 20, _values(_gradients((4, 3)), _GRAD)),
        Part("one_class_loss: other shapes, value", 10, _values(_cases(*_SIZES), _VALUE), True),
        Part("one_class_loss: other shapes, gradient", 10, _values(_gradients(*_SIZES), _GRAD), True),
        *parts_of(
            _OP,
            {"batch of one, sample at the centre": 5, DTYPE: 10},
            {"values": _cases((5, 3)), "batch of one, sample at the centre": _edges},
            outputs=_OUTPUTS,
            floats=(_GRAD,),
            forms=_LOSS_FORMS,
            optional=1,
        ),
    ),
)
