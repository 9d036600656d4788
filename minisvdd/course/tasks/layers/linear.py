"""The assignment `linear`: the fully connected layer and its gradients."""

from ....ops import linear as ops
from ...assignment import Assignment, Source
from ...grader.checks import Case
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
            )

    return cases


def _arrays(*shapes, bias=False):
    def cases(rng):
        for shape in shapes:
            y = rng.standard_normal(shape)
            yield Case((y, rng.standard_normal(shape[1])) if bias else (y,))

    return cases


_SHAPES = [(3, 5, 2), (7, 1, 4), (1, 6, 6)]  # (N, D, K): more, one feature, batch of one
_POINTS = {"values": 8, "other shapes": 8, DTYPE: 4}
_BIASED = [(4, 3), (2, 3, 5, 4)]
_OTHER_BIASED = [(1, 6), (3, 1, 2, 7), (1, 2, 1, 3)]

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
            forms=[("the weight is not transposed, but reshaped", lambda x, w: x @ w.reshape(w.shape[::-1]))],
        ),
        *parts_of(
            ops.linear_backward_input,
            _POINTS,
            {"values": _gradient(False, (4, 3, 2)), "other shapes": _gradient(False, *_SHAPES)},
            forms=[("the weight reshaped where it is to be used as it is", lambda g, w: g @ w.T.reshape(w.shape))],
        ),
        *parts_of(
            ops.linear_backward_weight,
            _POINTS,
            {"values": _gradient(True, (4, 3, 2)), "other shapes": _gradient(True, *_SHAPES)},
            forms=[("the mean over the batch where the sum belongs", lambda g, x: g.T @ x / len(g))],
        ),
        *parts_of(
            ops.bias_forward,
            _POINTS,
            {"values": _arrays(*_BIASED, bias=True), "other shapes": _arrays(*_OTHER_BIASED, bias=True)},
            forms=[("the bias subtracted", lambda y, b: y - b.reshape(-1, *[1] * (y.ndim - 2)))],
        ),
        *parts_of(
            ops.bias_backward,
            _POINTS,
            {"values": _arrays(*_BIASED), "other shapes": _arrays(*_OTHER_BIASED)},
            forms=[
                ("the mean over the batch where the sum belongs", lambda g: _sum(g) / len(g)),
                ("the mean over batch and positions where the sum belongs", lambda g: _sum(g) * g.shape[1] / g.size),
                ("summed over the batch only, not over the positions", lambda g: g.sum(axis=0)),
            ],
        ),
    ),
)


def _sum(g):
    return g.sum(axis=tuple(axis for axis in range(g.ndim) if axis != 1))
