"""The assignment `linear`: the fully connected layer and its gradients."""

import numpy as np

from ....ops import linear as ops
from ...assignment import Assignment, Source
from ...grader.checks import Case, known_passes
from ...parts import DTYPE, parts_of

_HANDOUT = """
A linear layer is a matrix product, and so are both of its gradients. What has to be got right is which product: the
shapes alone nearly decide it. Write the sums with indices first, then find the product that computes them.

The bias functions serve features (N, K) and images (N, K, H, W) alike. Deep SVDD itself uses no bias at all; the
paper's Proposition 2 says why.
"""


def _draw(rng, N, D, K):
    return rng.standard_normal((N, D)), rng.standard_normal((K, D)), rng.standard_normal((N, K))


def _forward(*sizes):
    return lambda rng: [Case((x, w)) for x, w, _ in (_draw(rng, *size) for size in sizes)]


def _gradient(of_weight, *sizes):
    def cases(rng):
        for x, w, g in (_draw(rng, *size) for size in sizes):
            pair = (lambda v, x=x: (x, v)) if of_weight else (lambda v, w=w: (v, w))
            yield Case(
                (g, x) if of_weight else (g, w),
                own_forward=lambda student, pair=pair: lambda v: student.call("linear_forward", *pair(v)),
                reference=lambda v, pair=pair: ops.linear_forward(*pair(v)),
                point=w if of_weight else x,
                grad_output=g,
                known=known_passes(_FORWARD_FORMS, pair),
            )

    return cases


def _arrays(*shapes, bias=False):
    def cases(rng):
        for shape in shapes:
            y = rng.standard_normal(shape)
            yield Case((y, rng.standard_normal(shape[1])) if bias else (y,))

    return cases


# Known mistakes


def _only(n):
    """The gradient for the weight from one sample alone."""
    return lambda g, x: np.outer(g[n], x[n])


def _sum(g):
    return g.sum(axis=tuple(axis for axis in range(g.ndim) if axis != 1))


_FORWARD_FORMS = [
    ("the weight is not transposed: x W where x W^T belongs", lambda x, w: x @ w),
    ("the weight is not transposed, but reshaped", lambda x, w: x @ w.reshape(w.shape[::-1])),
    ("the mean over the features where the sum belongs", lambda x, w: x @ w.T / len(w.T)),
    ("every sample gets the result of the first", lambda x, w: np.broadcast_to(x[:1] @ w.T, (len(x), len(w)))),
    ("every sample gets the result of the last", lambda x, w: np.broadcast_to(x[-1:] @ w.T, (len(x), len(w)))),
]
_INPUT_FORMS = [
    ("the weight is transposed: G W^T where G W belongs", lambda g, w: g @ w.T),
    ("the weight reshaped where it is to be used as it is", lambda g, w: g @ w.T.reshape(w.shape)),
    ("the mean over the outputs where the sum belongs", lambda g, w: g @ w / len(w)),
    ("the mean over the batch, which an input's own gradient does not have", lambda g, w: g @ w / len(g)),
    ("grad_output is not used", lambda g, w: np.broadcast_to(w.sum(axis=0), (len(g), w.shape[1]))),
]
_WEIGHT_FORMS = [
    ("the mean over the batch where the sum belongs", lambda g, x: g.T @ x / len(g)),
    ("only the last sample counts: = where += belongs in the loop over the batch", _only(-1)),
    ("only the first sample counts", _only(0)),
    (
        "the sums are multiplied where the products are to be summed",
        lambda g, x: np.outer(g.sum(axis=0), x.sum(axis=0)),
    ),
    ("grad_output is not used", lambda g, x: np.broadcast_to(x.sum(axis=0), (g.shape[1], x.shape[1]))),
    ("x is not used", lambda g, x: np.broadcast_to(g.sum(axis=0)[:, None], (g.shape[1], x.shape[1]))),
]
_BIAS_FORMS = [
    ("the bias subtracted", lambda y, b: y - b.reshape(-1, *[1] * (y.ndim - 2))),
    ("the bias is forgotten", lambda y, b: y),
    ("the sum of all biases is added everywhere", lambda y, b: y + b.sum()),
    ("the mean of the biases is added everywhere", lambda y, b: y + b.mean()),
    ("the biases in the wrong order", lambda y, b: y + b[::-1].reshape(-1, *[1] * (y.ndim - 2))),
    ("multiplied by the bias", lambda y, b: y * b.reshape(-1, *[1] * (y.ndim - 2))),
]
_BIAS_BACKWARD_FORMS = [
    ("the mean over the batch where the sum belongs", lambda g: _sum(g) / len(g)),
    ("the mean over batch and positions where the sum belongs", lambda g: _sum(g) * g.shape[1] / g.size),
    ("the mean over the positions where the sum belongs", lambda g: _sum(g) / (g[0, 0].size)),
    ("summed over the batch only, not over the positions", lambda g: g.sum(axis=0)),
    ("summed over batch and rows, not over the columns", lambda g: g.sum(axis=(0, 2))),
    ("summed over batch and columns, not over the rows", lambda g: g.sum(axis=(0, 3))),
    ("summed over the positions only, not over the batch", lambda g: g.sum(axis=(2, 3))),
    ("summed over the features, not over the batch", lambda g: g.sum(axis=1)),
    ("only the last sample counts: = where += belongs in the loop over the batch", lambda g: _sum(g[-1:])),
    ("only the first sample counts", lambda g: _sum(g[:1])),
    ("grad_output is not used: the number of its entries", lambda g: np.full(g.shape[1], g.size / g.shape[1])),
]
_SHAPES = [(3, 5, 2), (7, 1, 4), (1, 6, 6)]  # (N, D, K): more, one feature, batch of one
_POINTS = {"values": 8, "other shapes": 8, DTYPE: 4}
_BIASED = [(4, 3), (2, 3, 5, 4)]
_OTHER_BIASED = [(3, 2, 4, 5), (1, 6), (3, 1, 2, 7), (1, 2, 1, 3)]

ASSIGNMENT = Assignment(
    name="linear",
    title="The linear layer and its gradients",
    reading="section 3.1 of the paper for what phi(x; W) is; Proposition 2 for the bias",
    handout=_HANDOUT,
    goals=(
        "turn a sum over indices into a matrix product, and say which index is summed away",
        "derive the two gradients of a matrix product, and the gradient of what is broadcast",
    ),
    hours="1",
    lectures=("02_backprop#The linear layer",),
    derivation=ops,
    functions=tuple(
        Source(op)
        for op in (
            ops.linear_forward,
            ops.linear_backward_input,
            ops.linear_backward_weight,
            ops.bias_forward,
            ops.bias_backward,
        )
    ),
    parts=(
        *parts_of(
            ops.linear_forward,
            _POINTS,
            {"values": _forward((4, 3, 2)), "other shapes": _forward(*_SHAPES)},
            forms=_FORWARD_FORMS,
        ),
        *parts_of(
            ops.linear_backward_input,
            _POINTS,
            {"values": _gradient(False, (4, 3, 2)), "other shapes": _gradient(False, *_SHAPES)},
            forms=_INPUT_FORMS,
        ),
        *parts_of(
            ops.linear_backward_weight,
            _POINTS,
            {"values": _gradient(True, (5, 4, 3)), "other shapes": _gradient(True, *_SHAPES)},
            forms=_WEIGHT_FORMS,
        ),
        *parts_of(
            ops.bias_forward,
            _POINTS,
            {"values": _arrays(*_BIASED, bias=True), "other shapes": _arrays(*_OTHER_BIASED, bias=True)},
            forms=_BIAS_FORMS,
        ),
        *parts_of(
            ops.bias_backward,
            _POINTS,
            {"values": _arrays(*_BIASED), "other shapes": _arrays(*_OTHER_BIASED)},
            forms=_BIAS_BACKWARD_FORMS,
        ),
    ),
)
