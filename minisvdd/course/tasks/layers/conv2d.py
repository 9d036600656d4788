"""The assignment `conv2d`: convolution with stride and padding, and both gradients."""

from dataclasses import replace
from functools import partial

from ....ops import conv2d as ops
from ...assignment import Assignment, Part, Source
from ...by_itself import by_itself
from ...grader.checks import Case, check_refused
from ...parts import DTYPE, parts_of
from .conv2d_mistakes import FORWARD_FORMS, INPUT_FORMS, SIZE_FORMS, WEIGHT_FORMS

_HANDOUT = """
Begin with the forward pass. A loop over the taps (a, b) of the filter, with everything else left to NumPy, is short and
fast enough; seven nested loops are right too. Both gradients are the same walk over the same triples (output, tap,
input): each triple is one product in the forward pass, and it is visited once more for either gradient.

Use rows and columns with different sizes, strides and paddings when you try your code: square cases hide mistakes. Let
the window not fit evenly, too: (7 - 3) / 2 comes out even, (8 - 3) / 2 does not, and a row is left over that no window
sees.
"""

# (N, C, H, W), filters K, kernel, stride, padding. In the first, no two sizes agree: a result that is divided by one of
# them, or an axis taken for another, can be told. Strides leave rows or columns over, at one edge or at both.
_FIRST = ((4, 5, 8, 11), 6, (2, 3), (1, 1), (0, 0))
_SHAPES = [((1, 1, 6, 8), 3, (2, 3), (1, 1), (0, 0)), ((3, 2, 4, 5), 1, (4, 5), (1, 1), (0, 0))]
_STRIDED = [
    ((4, 3, 8, 9), 2, (3, 4), (2, 1), (0, 0)),
    ((3, 2, 9, 10), 4, (2, 3), (3, 2), (0, 0)),
    ((2, 3, 7, 11), 4, (1, 2), (2, 4), (0, 0)),
]
_PADDED = [
    ((4, 2, 5, 7), 3, (3, 4), (1, 1), (1, 2)),
    ((2, 3, 5, 4), 4, (3, 2), (2, 1), (0, 2)),
    ((3, 2, 9, 8), 4, (4, 3), (3, 2), (2, 1)),
]
KINDS = {"values": [_FIRST], "other shapes": _SHAPES, "stride": _STRIDED, "padding": _PADDED}
# Just fits, fits once, and one more of each: sizes are cheap.
_FITTING = [((1, 1, 2, 3), 1, (4, 5), (3, 2), (1, 1)), ((1, 1, 9, 6), 1, (3, 2), (4, 5), (2, 0))]


def draw(rng, x_shape, K, kernel, stride, padding):
    """x, weight and grad_output of one convolution."""
    x, w = rng.standard_normal(x_shape), rng.standard_normal((K, x_shape[1], *kernel))
    size = ops.conv2d_output_size(x_shape[2:], kernel, stride, padding)
    return x, w, rng.standard_normal((len(x), K, *size))


def _forward(sizes):
    def cases(rng):
        for size in sizes:
            x, w, _ = draw(rng, *size)
            yield Case((x, w, *size[3:]))

    return cases


def _gradient(sizes, of_weight):
    def cases(rng):
        for size in sizes:
            kernel, stride, padding = size[2:]
            x, w, g = draw(rng, *size)
            variable = (lambda v, x=x: (x, v)) if of_weight else (lambda v, w=w: (v, w))
            how = (stride, padding)
            yield Case(
                (g, x, kernel, *how) if of_weight else (g, w, x.shape[2:], *how),
                own_forward=lambda s, pair=variable, how=how: lambda v: s.call("conv2d_forward", *pair(v), *how),
                reference=lambda v, pair=variable, how=how: ops.conv2d_forward(*pair(v), *how),
                known=tuple(lambda v, f=f, pair=variable, how=how: f(*pair(v), *how) for _, f in FORWARD_FORMS),
                point=w if of_weight else x,
                grad_output=g,
            )

    return cases


def _sizes(cases):
    return lambda rng: [Case((x_shape[2:], *rest)) for x_shape, _, *rest in cases]


def _refuses(student, rng):
    """A kernel that does not fit must raise ValueError."""
    for size, kernel, padding in (((2, 5), (3, 3), (0, 0)), ((9, 2), (4, 5), (0, 1)), ((2, 6), (7, 3), (2, 0))):
        asked = partial(student.call, "conv2d_output_size", size, kernel, (1, 1), padding)
        check_refused(asked, f"a kernel {kernel} does not fit into {size} with padding={padding}")


def _alone(*arguments, **options):
    """`parts_of` for functions that may call the submission's own `conv2d_output_size`."""
    parts, size = parts_of(*arguments, **options), (Source(ops.conv2d_output_size),)
    return (replace(part, check=by_itself(part.check, size)) for part in parts)


_GRADIENT_POINTS = {"values": 8, "other shapes": 6, "stride": 6, "padding": 6, DTYPE: 3}

ASSIGNMENT = Assignment(
    name="conv2d",
    title="Two-dimensional convolution and its gradients",
    reading="section 4.1 of the paper, for the networks that use it",
    handout=_HANDOUT,
    goals=(
        "write a convolution with stride and padding, and predict the size of what it returns",
        "derive its two gradients by asking which products an entry takes part in",
        "try code on sizes that cannot hide a mistake",
    ),
    hours="3 to 4",
    lectures=("03_convolution",),
    without_forward="""
Each function is called with inputs of its own, made by the grader: either gradient can earn all its points though
`conv2d_forward` is empty. Begin with `conv2d_output_size`, which the others need, then take the case without stride and
padding, which the first part of each function asks for. Lecture 3 does this case in full.
""",
    derivation=ops,
    functions=tuple(
        Source(op)
        for op in (
            ops.conv2d_output_size,
            ops.conv2d_forward,
            ops.conv2d_backward_weight,
            ops.conv2d_backward_input,
        )
    ),
    parts=(
        *parts_of(
            ops.conv2d_output_size,
            {"values": 4, "stride and padding": 4},
            {"values": _sizes([_FIRST, *_SHAPES]), "stride and padding": _sizes([*_STRIDED, *_PADDED, *_FITTING])},
            forms=SIZE_FORMS,
        ),
        Part("conv2d_output_size: refuses what does not fit", 2, _refuses, hidden=True, form=True),
        *_alone(
            ops.conv2d_forward,
            {"values": 8, "other shapes": 7, "stride": 7, "padding": 7, DTYPE: 3},
            {kind: _forward(sizes) for kind, sizes in KINDS.items()},
            forms=FORWARD_FORMS,
        ),
        *_alone(
            ops.conv2d_backward_weight,
            _GRADIENT_POINTS,
            {kind: _gradient(sizes, True) for kind, sizes in KINDS.items()},
            forms=WEIGHT_FORMS,
        ),
        *_alone(
            ops.conv2d_backward_input,
            _GRADIENT_POINTS,
            {kind: _gradient(sizes, False) for kind, sizes in KINDS.items()},
            forms=INPUT_FORMS,
        ),
    ),
)
