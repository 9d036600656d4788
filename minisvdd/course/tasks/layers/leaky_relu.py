"""The assignment `leaky-relu`."""

import numpy as np

from ....ops import activations as ops
from ...assignment import Assignment, Source
from ...grader.checks import Case, known_passes
from ...parts import DTYPE, parts_of

_HANDOUT = """
The shortest layer with a kink. The gradient needs to know where x was positive, and nothing else of x: that is what
`positive` is. At x = 0 there are two slopes to choose from; take the one of the negative side, in forward and backward
alike.

Deep SVDD uses unbounded activations with a reason: Proposition 3 of the paper.
"""


def _draw(rng, shape, zeros=False):
    x = rng.standard_normal(shape)
    return np.where(rng.random(shape) < 0.3, 0.0, x) if zeros else x


def _forward(*cases, zeros=False):
    return lambda rng: [Case((_draw(rng, shape, zeros), slope)) for shape, slope in cases]


def _backward(*cases, zeros=False, kept=lambda x: x > 0):
    def make(rng):
        for shape, slope in cases:
            x, g = _draw(rng, shape, zeros), rng.standard_normal(shape)
            own = None if zeros else lambda s, slope=slope: lambda v: s.call("leaky_relu_forward", v, slope)
            yield Case(
                (g, kept(x), slope),
                own_forward=own,
                reference=lambda v, slope=slope: ops.leaky_relu_forward(v, slope),
                point=x,
                grad_output=g,
                known=known_passes(_FORWARD_FORMS, lambda v, slope=slope: (v, slope)),
            )

    return make


# Known mistakes

_FORWARD_FORMS = [
    ("the slope is forgotten: plain ReLU", lambda x, slope: np.maximum(x, 0)),
    ("the slope is on the positive side (min where max belongs)", lambda x, slope: np.minimum(x, slope * x)),
    ("the absolute value on the negative side", lambda x, slope: np.where(x > 0, x, -slope * x)),
    ("the slope itself where slope x belongs", lambda x, slope: np.where(x > 0, x, slope)),
    ("the slope is applied twice: slope^2 x", lambda x, slope: np.where(x > 0, x, slope**2 * x)),
    ("the slope on both sides", lambda x, slope: slope * x),
    ("x is compared with the slope, not with 0", lambda x, slope: np.where(x > slope, x, slope * x)),
    ("ELU, which bends: slope (exp(x) - 1) on the negative side", lambda x, slope: np.where(x > 0, x, _elu(x, slope))),
    ("x / slope where slope x belongs", lambda x, slope: np.where(x > 0, x, x / np.float64(slope))),
    ("x + slope where slope x belongs", lambda x, slope: np.where(x > 0, x, x + slope)),
    ("x - slope where slope x belongs", lambda x, slope: np.where(x > 0, x, x - slope)),
    ("the maximum of x and the slope, not of x and slope x", lambda x, slope: np.maximum(x, slope)),
    ("the derivative, not the function", lambda x, slope: np.where(x > 0, 1.0, slope)),
    ("1 - slope where slope belongs", lambda x, slope: np.where(x > 0, x, (1 - slope) * x)),
    ("x as it came: the slope is never applied", lambda x, slope: x),
]
BACKWARD_FORMS = [
    ("the slope is forgotten: the gradient of plain ReLU", lambda g, positive, slope: g * positive),
    ("the slope is on the positive side", lambda g, positive, slope: np.where(positive, slope * g, g)),
    ("the derivative alone, not multiplied by grad_output", lambda g, positive, slope: np.where(positive, 1.0, slope)),
    ("the mask is ignored", lambda g, positive, slope: g),
    ("the slope is applied twice: slope^2", lambda g, positive, slope: np.where(positive, g, slope**2 * g)),
    ("the slope on both sides", lambda g, positive, slope: slope * g),
    ("the slope itself where slope G belongs", lambda g, positive, slope: np.where(positive, g, slope)),
    ("the sign of the negative side is turned", lambda g, positive, slope: np.where(positive, g, -slope * g)),
    ("G / slope where slope G belongs", lambda g, positive, slope: np.where(positive, g, g / np.float64(slope))),
    ("1 - slope where slope belongs", lambda g, positive, slope: np.where(positive, g, (1 - slope) * g)),
    (
        "the slope is added to the derivative: slope + 1 where x was positive",
        lambda g, positive, slope: (positive + slope) * g,
    ),
    (
        "the sign of grad_output decides where the sign of x should",
        lambda g, positive, slope: np.where(g > 0, g, slope * g),
    ),
]


def _elu(x, slope):
    return slope * np.expm1(np.minimum(x, 0))


_FIRST = ((5, 4), 0.3)
_SHAPES = [((1, 2, 3, 4), 0.25), ((5, 7), 0.01), ((1, 1), 0.4)]
_SLOPES = [((3, 4), 0.0), ((3, 4), 1.0)]


def parts_with(backward, kept=lambda x: x > 0, forms=BACKWARD_FORMS):
    """The parts, for a backward pass that is handed kept(x), whose known mistakes are `forms`."""
    return (
        *parts_of(
            ops.leaky_relu_forward,
            {"values": 15, "other shapes": 10, "slopes 0 and 1": 10, DTYPE: 10},
            {
                "values": _forward(_FIRST),
                "other shapes": _forward(*_SHAPES),
                "slopes 0 and 1": _forward(*_SLOPES, zeros=True),
            },
            forms=_FORWARD_FORMS,
        ),
        *parts_of(
            backward,
            {"values": 20, "other shapes": 15, "at x = 0": 5, "slopes 0 and 1": 5, DTYPE: 10},
            {
                "values": _backward(_FIRST, kept=kept),
                "other shapes": _backward(*_SHAPES, kept=kept),
                "at x = 0": _backward(((3, 5), 0.1), zeros=True, kept=kept),
                "slopes 0 and 1": _backward(*_SLOPES, kept=kept),
            },
            forms=forms,
        ),
    )


ASSIGNMENT = Assignment(
    name="leaky-relu",
    title="Leaky ReLU and its gradient",
    reading="section 3.3 of the paper, Proposition 3",
    handout=_HANDOUT,
    goals=(
        "differentiate a function with a kink, and say what is chosen there and why it may be",
        "name what a backward pass has to remember of the forward pass, and what not",
    ),
    hours="0.5",
    lectures=("04_layers#Leaky ReLU",),
    derivation=ops,
    derivation_until="`*_backward` takes what",
    functions=(Source(ops.leaky_relu_forward), Source(ops.leaky_relu_backward)),
    parts=parts_with(ops.leaky_relu_backward),
)
