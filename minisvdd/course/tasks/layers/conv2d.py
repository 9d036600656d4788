"""The assignment `conv2d`: convolution with stride and padding, and both gradients."""

import numpy as np

from ....ops import conv2d as ops
from ...assignment import Assignment, Part, Source
from ...grader.checks import Case, Wrong
from ...parts import DTYPE, parts_of

_HANDOUT = """
Begin with the forward pass. A loop over the taps (a, b) of the filter, with everything else left to NumPy, is short and
fast enough; seven nested loops are right too. Both gradients are the same walk over the same triples (output, tap,
input): each triple is one product in the forward pass, and it is visited once more for either gradient.

Use rows and columns with different sizes, strides and paddings when you try your code: square cases hide mistakes. Let
the window not fit evenly, too: (7 - 3) / 2 comes out even, (8 - 3) / 2 does not, and a row is left over that no window
sees.
"""

# (N, C, H, W), filters K, kernel, stride, padding
_FIRST = ((2, 3, 5, 4), 2, (3, 2), (1, 1), (0, 0))
_SHAPES = [((1, 1, 6, 7), 3, (2, 3), (1, 1), (0, 0)), ((3, 2, 4, 4), 1, (4, 4), (1, 1), (0, 0))]
_STRIDED = [((2, 2, 7, 6), 2, (3, 2), (2, 1), (0, 0)), ((1, 2, 8, 9), 3, (2, 3), (3, 2), (0, 0))]
_PADDED = [((2, 1, 4, 5), 2, (3, 3), (1, 1), (1, 1)), ((1, 2, 5, 3), 2, (3, 2), (2, 1), (0, 2))]
KINDS = {"values": [_FIRST], "other shapes": _SHAPES, "stride": _STRIDED, "padding": _PADDED}


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
                point=w if of_weight else x,
                grad_output=g,
            )

    return cases


def _sizes(cases):
    return lambda rng: [Case((x_shape[2:], *rest)) for x_shape, _, *rest in cases]


def _refuses(student, rng):
    """A kernel that does not fit must raise ValueError."""
    try:
        given = student.call("conv2d_output_size", (2, 5), (3, 3), (1, 1), (0, 0))
    except Exception as error:
        if "ValueError" not in str(error):
            raise
        return
    raise Wrong(f"a kernel (3, 3) does not fit into (2, 5): expected ValueError, got {given}")


# Known mistakes


def _no_padding(x, w, stride=(1, 1), padding=(0, 0)):
    return ops.conv2d_forward(x, w, stride)


def _unshifted(x, w, stride=(1, 1), padding=(0, 0)):
    """An output of the right size, but its windows begin at the corner of the image, not of the padding."""
    padded = np.pad(x, [(0, 0), (0, 0), *((0, 2 * p) for p in padding)])
    return ops.conv2d_forward(padded, w, stride)


def _first_sample(op):
    """Every sample gets the result of the first."""

    def mistaken(*arguments):
        right = op(*arguments)
        return np.broadcast_to(right[:1], right.shape)

    return mistaken


def _pad_swapped(x, w, stride=(1, 1), padding=(0, 0)):
    return ops.conv2d_forward(x, w, stride, padding[::-1])


def _stride_swapped(x, w, stride=(1, 1), padding=(0, 0)):
    return ops.conv2d_forward(x, w, stride[::-1], padding)


def _true_convolution(x, w, stride=(1, 1), padding=(0, 0)):
    return ops.conv2d_forward(x, w[:, :, ::-1, ::-1], stride, padding)


def _no_stride(x, w, stride=(1, 1), padding=(0, 0)):
    return ops.conv2d_forward(x, w, (1, 1), padding)


def _neighbours(x, w, stride=(1, 1), padding=(0, 0)):
    """As many outputs as with the stride, but windows that stand side by side."""
    P, Q = ops.conv2d_output_size(x.shape[2:], w.shape[2:], stride, padding)
    return ops.conv2d_forward(x, w, (1, 1), padding)[:, :, :P, :Q]


def _last_channel(x, w, stride=(1, 1), padding=(0, 0)):
    return ops.conv2d_forward(x[:, -1:], w[:, -1:], stride, padding)


def _weight_no_padding(g, x, kernel, stride=(1, 1), padding=(0, 0)):
    """The taps that fall outside the array are left out."""
    short = ops.conv2d_output_size(x.shape[2:], kernel, stride, (0, 0))
    return ops.conv2d_backward_weight(g[:, :, : short[0], : short[1]], x, kernel, stride)


def _weight_mean(g, x, kernel, stride=(1, 1), padding=(0, 0)):
    return ops.conv2d_backward_weight(g, x, kernel, stride, padding) / len(x)


def _weight_neighbours(g, x, kernel, stride=(1, 1), padding=(0, 0)):
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    reach = [n + k - 1 for n, k in zip(g.shape[2:], kernel)]
    return ops.conv2d_backward_weight(g, padded[:, :, : reach[0], : reach[1]], kernel)


def _input_unflipped(g, w, size, stride=(1, 1), padding=(0, 0)):
    return ops.conv2d_backward_input(g, w[:, :, ::-1, ::-1], size, stride, padding)


def _input_uncut(g, w, size, stride=(1, 1), padding=(0, 0)):
    """The gradient of the padded input, cut at the wrong place or not at all."""
    whole = tuple(n + 2 * p for n, p in zip(size, padding))
    return ops.conv2d_backward_input(g, w, whole, stride)


def _input_corner(g, w, size, stride=(1, 1), padding=(0, 0)):
    return _input_uncut(g, w, size, stride, padding)[:, :, : size[0], : size[1]]


def _input_neighbours(g, w, size, stride=(1, 1), padding=(0, 0)):
    padded = np.zeros((len(g), w.shape[1], *(n + 2 * p for n, p in zip(size, padding))))
    reach = [n + k - 1 for n, k in zip(g.shape[2:], w.shape[2:])]
    padded[:, :, : reach[0], : reach[1]] = ops.conv2d_backward_input(g, w, reach)
    return padded[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]


def _input_overwritten(g, w, size, stride=(1, 1), padding=(0, 0)):
    """Taps that meet at one entry overwrite each other."""
    (sh, sw), (P, Q) = stride, g.shape[2:]
    padded = np.zeros((len(g), w.shape[1], *(n + 2 * p for n, p in zip(size, padding))))
    for a, b in np.ndindex(*w.shape[2:]):
        share = np.einsum("kc,nkpq->ncpq", w[:, :, a, b], g)
        padded[:, :, a : a + sh * (P - 1) + 1 : sh, b : b + sw * (Q - 1) + 1 : sw] = share
    return padded[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]


FORWARD_FORMS = [
    ("the padding is forgotten", _no_padding),
    ("the padding is forgotten, but for the size: windows begin at the corner of the image", _unshifted),
    ("every sample gets the result of the first", _first_sample(ops.conv2d_forward)),
    ("the stride is forgotten", _no_stride),
    ("the output has the right size, but its windows do not move by the stride", _neighbours),
    ("rows and columns of the padding are exchanged", _pad_swapped),
    ("rows and columns of the stride are exchanged", _stride_swapped),
    ("the filters are flipped: that is convolution in the mathematician's sense", _true_convolution),
    ("only the last channel counts: channels are overwritten, not summed", _last_channel),
]
WEIGHT_FORMS = [
    ("the padding is forgotten", _weight_no_padding),
    ("the mean over the batch where the sum belongs (a 1/N too many)", _weight_mean),
    ("windows that do not move by the stride", _weight_neighbours),
]
INPUT_FORMS = [
    ("the filters are flipped once too often", _input_unflipped),
    ("every sample gets the result of the first", _first_sample(ops.conv2d_backward_input)),
    ("the padding is not cut off", _input_uncut),
    ("the padding is cut off at the far end only", _input_corner),
    ("windows that do not move by the stride", _input_neighbours),
    ("taps that meet at one entry overwrite each other: = where += belongs", _input_overwritten),
]
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
            {"values": _sizes([_FIRST, *_SHAPES]), "stride and padding": _sizes([*_STRIDED, *_PADDED])},
            forms=[
                ("the padding is forgotten", lambda n, k, s, p: ops.conv2d_output_size(n, k, s, (0, 0))),
                ("the stride is forgotten", lambda n, k, s, p: ops.conv2d_output_size(n, k, (1, 1), p)),
                (
                    "padding is counted on one side only",
                    lambda n, k, s, p: [(m + q - j) // t + 1 for m, j, t, q in zip(n, k, s, p)],
                ),
                (
                    "the + 1 is missing",
                    lambda n, k, s, p: [i - 1 for i in ops.conv2d_output_size(n, k, s, p)],
                ),
            ],
        ),
        Part("conv2d_output_size: refuses what does not fit", 2, _refuses, hidden=True),
        *parts_of(
            ops.conv2d_forward,
            {"values": 8, "other shapes": 7, "stride": 7, "padding": 7, DTYPE: 3},
            {kind: _forward(sizes) for kind, sizes in KINDS.items()},
            forms=FORWARD_FORMS,
        ),
        *parts_of(
            ops.conv2d_backward_weight,
            _GRADIENT_POINTS,
            {kind: _gradient(sizes, True) for kind, sizes in KINDS.items()},
            forms=WEIGHT_FORMS,
        ),
        *parts_of(
            ops.conv2d_backward_input,
            _GRADIENT_POINTS,
            {kind: _gradient(sizes, False) for kind, sizes in KINDS.items()},
            forms=INPUT_FORMS,
        ),
    ),
)
