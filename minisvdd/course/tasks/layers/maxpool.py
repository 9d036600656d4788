"""The assignment `maxpool`: forward with the winners of the windows, and the gradient that goes to them alone."""

import numpy as np

from ....ops import pooling as ops
from ...assignment import Assignment, Part, Source
from ...grader.checks import Case, compare
from ...parts import DTYPE, parts_of

_HANDOUT = """
A window passes on its largest entry, and its whole gradient goes back to that entry alone. Where entries tie, the first
in reading order wins, in both directions: a gradient that goes to every tied entry is counted several times.

Windows may overlap (a stride below the kernel), and they may leave rows and columns at the edge that none of them sees.
"""

# (N, C, H, W), kernel, stride. In the first, no two sizes agree (but for the stride, which is the kernel's).
_FIRST = [((5, 1, 8, 18), (2, 3), (2, 3))]
_SHAPES = [((1, 2, 7, 5), (2, 2), (2, 2)), ((3, 2, 4, 11), (3, 2), (3, 2)), ((1, 2, 3, 4), (1, 1), (1, 1))]
_OVERLAPPING = [((3, 1, 9, 10), (2, 1), (3, 4)), ((2, 3, 8, 6), (4, 3), (2, 1)), ((1, 2, 4, 6), (3, 2), (1, 1))]
_TIED = [((2, 3, 6, 8), (3, 2), (3, 2)), ((3, 1, 7, 5), (3, 2), (2, 1))]
_OUTPUTS = ("y", "winner")
_Y, _WINNER = 0, 1


def _draw(rng, shape, tied=False):
    """Entries of both signs, more of them negative, so that many a window has no positive one."""
    return rng.integers(0, 2, shape).astype(np.float64) if tied else rng.standard_normal(shape) - 0.5


def _forward(sizes, tied=False):
    return lambda rng: [Case((_draw(rng, shape, tied), kernel, stride)) for shape, kernel, stride in sizes]


def _backward(sizes):
    def cases(rng):
        for shape, *window in sizes:
            x = _draw(rng, shape)
            y, winner = ops.maxpool_forward(x, *window)
            grad_output = rng.standard_normal(y.shape)
            yield Case(
                (grad_output, winner.astype(np.int64), shape, *window),
                own_forward=lambda s, window=window: lambda v: s.call("maxpool_forward", v, *window)[0],
                reference=lambda v, window=window: ops.maxpool_forward(v, *window)[0],
                known=tuple(lambda v, f=f, window=window: f(v, *window)[0] for _, f in _FORWARD_FORMS),
                point=x,
                grad_output=grad_output,
            )

    return cases


def _tied_gradient(forward):
    """Forward and backward of the submission, one after the other, on inputs full of ties, won as `forward` says."""
    return lambda student, rng: _check_tied_gradient(forward, student, rng)


def _check_tied_gradient(forward, student, rng):
    for shape, *window in _TIED:
        x = _draw(rng, shape, tied=True)
        y, winner = forward(x, *window)
        grad_output = rng.standard_normal(y.shape)
        given = student.call("maxpool_forward", x, *window)
        own = given[1] if isinstance(given, tuple | list) and len(given) == 2 else None
        usable = _names_maxima(own, x, y, *window)  # winners of another kind cost their own parts alone
        arguments = (grad_output, own if usable else winner.astype(np.int64), shape, *window)
        right = ops.maxpool_backward(grad_output, winner, shape, *window)
        forms = [
            ("the gradient goes to all entries that tie", lambda *_, x=x, y=y, w=window: _to_all_ties(x, y, _[0], *w)),
            ("the last of the tied entries takes the gradient", lambda *_, x=x, w=window: _to_last_tie(x, _[0], *w)),
            *_BACKWARD_FORMS,
        ]
        compare(student.call("maxpool_backward", *arguments), right, "the result", Case(arguments), _OP, forms=forms)


def _names_maxima(winner, x, y, kernel, stride):
    """Whether these are winners in the window, and each of them is a largest entry, the first or another."""
    if not isinstance(winner, np.ndarray) or winner.shape != y.shape or winner.dtype.kind not in "iu":
        return False
    inside = (winner >= 0) & (winner < kernel[0] * kernel[1])
    return bool(inside.all()) and np.array_equal(_entries(x, winner, kernel, stride), y)


_OP = ops.maxpool_backward


def _to_all_ties(x, y, grad_output, kernel, stride):
    grad_input = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(*y.shape):
        rows = slice(stride[0] * i, stride[0] * i + kernel[0])
        columns = slice(stride[1] * j, stride[1] * j + kernel[1])
        grad_input[n, c, rows, columns] += (x[n, c, rows, columns] == y[n, c, i, j]) * grad_output[n, c, i, j]
    return grad_input


def _to_last_tie(x, grad_output, kernel, stride):
    winner = _last_winner(x, kernel, stride)[1]
    return ops.maxpool_backward(grad_output, winner, x.shape, kernel, stride)


def _last_winner(x, kernel, stride):
    """Winners of the array read backwards."""
    (kh, kw), (sh, sw) = kernel, stride
    size = ops.maxpool_forward(x, kernel, stride)[0].shape
    y, winner = np.empty(size), np.empty(size, np.int64)
    for i, j in np.ndindex(*size[2:]):
        window = x[:, :, sh * i : sh * i + kh, sw * j : sw * j + kw].reshape(*size[:2], -1)
        winner[:, :, i, j] = kh * kw - 1 - window[..., ::-1].argmax(axis=2)
        y[:, :, i, j] = window.max(axis=2)
    return y, winner


def _exchanged(x, kernel, stride):
    """Rows and columns of kernel and stride exchanged."""
    return ops.maxpool_forward(x, kernel[::-1], stride[::-1])


def _column_first(x, kernel, stride):
    turned = ops.maxpool_forward(x.swapaxes(2, 3), kernel[::-1], stride[::-1])
    return tuple(array.swapaxes(2, 3) for array in turned)


def _with_winner(change):
    """The right maxima, and winners (a, b) of window (i, j) in an image of W columns that are counted otherwise."""

    def mistaken(x, kernel, stride):
        y, winner = ops.maxpool_forward(x, kernel, stride)
        a, b = np.divmod(winner.astype(np.int64), kernel[1])
        i, j = np.indices(y.shape[2:], sparse=True)
        return y, change(a, b, i * stride[0] + a, j * stride[1] + b, kernel, x.shape)

    return mistaken


def _mean(x, kernel, stride):
    _, winner = ops.maxpool_forward(x, kernel, stride)
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    return windows.mean(axis=(4, 5)), winner


def _relu_first(x, kernel, stride):
    y, winner = ops.maxpool_forward(x, kernel, stride)
    return np.maximum(y, 0), winner


def _smallest(x, kernel, stride):
    y, winner = ops.maxpool_forward(-x, kernel, stride)
    return -y, winner


def _entries(x, winner, kernel, stride):
    """The entries of x that these winners name."""
    n, c, i, j = np.indices(winner.shape, sparse=True)
    a, b = np.divmod(winner.astype(np.int64), kernel[1])
    return x[n, c, stride[0] * i + a, stride[1] * j + b]


def _of_magnitude(signed):
    """The entry of largest magnitude wins; `signed` says whether it keeps its sign."""

    def mistaken(x, kernel, stride):
        y, winner = ops.maxpool_forward(np.abs(x), kernel, stride)
        return (_entries(x, winner, kernel, stride) if signed else y), winner

    return mistaken


def _incomplete_too(x, kernel, stride):
    """A window for every start that lies in the image, though it reach over the edge."""
    sizes = [-(-(n - k) // s) + 1 for n, k, s in zip(x.shape[2:], kernel, stride)]
    more = [(0, max(0, (m - 1) * s + k - n)) for m, n, k, s in zip(sizes, x.shape[2:], kernel, stride)]
    return ops.maxpool_forward(np.pad(x, [(0, 0), (0, 0), *more], constant_values=-np.inf), kernel, stride)


def _over_channels(x, kernel, stride):
    y, winner = ops.maxpool_forward(x, kernel, stride)
    return np.broadcast_to(y.max(axis=1, keepdims=True), y.shape), winner


_FORWARD_FORMS = [
    ("the last of the tied entries wins, not the first", _last_winner),
    ("winner counts down the columns, not along the rows", _column_first),
    (
        "winner counts in the whole image (row W + column, as PyTorch's return_indices): it is asked for in the window",
        _with_winner(lambda a, b, u, v, kernel, shape: u * shape[3] + v),
    ),
    ("winner is the row in the window alone", _with_winner(lambda a, b, u, v, kernel, shape: a)),
    ("winner is the column in the window alone", _with_winner(lambda a, b, u, v, kernel, shape: b)),
    ("winner counts from 1", _with_winner(lambda a, b, u, v, kernel, shape: a * kernel[1] + b + 1)),
    (
        "winner is a * kh + b: a row of the window has kw entries",
        _with_winner(lambda a, b, u, v, kernel, shape: a * kernel[0] + b),
    ),
    ("windows move by the kernel, not by the stride", lambda x, k, s: ops.maxpool_forward(x, k, k)),
    ("the stride of the rows is used for rows and columns", lambda x, k, s: ops.maxpool_forward(x, k, (s[0], s[0]))),
    ("the stride of the columns is used for rows and columns", lambda x, k, s: ops.maxpool_forward(x, k, (s[1], s[1]))),
    ("the stride is forgotten", lambda x, k, s: ops.maxpool_forward(x, k, (1, 1))),
    ("rows and columns of the stride are exchanged", lambda x, k, s: ops.maxpool_forward(x, k, s[::-1])),
    ("rows and columns of the kernel are exchanged", lambda x, k, s: ops.maxpool_forward(x, k[::-1], s)),
    ("rows and columns of kernel and stride are exchanged", _exchanged),
    ("incomplete windows at the edge are kept: rows and columns that are left over belong to none", _incomplete_too),
    ("the mean of the window, not its maximum", _mean),
    ("the smallest entry of the window, not the largest", _smallest),
    ("the entry of largest magnitude wins: compare the entries themselves", _of_magnitude(True)),
    ("the largest magnitude, without its sign", _of_magnitude(False)),
    ("a maximum that starts at 0, which negative windows never reach", _relu_first),
    ("the maximum over the channels as well: every channel has its own", _over_channels),
]


def _overwritten(grad_output, winner, shape, kernel, stride):
    grad_input = np.zeros(shape)
    for n, c, i, j in np.ndindex(*grad_output.shape):
        a, b = divmod(int(winner[n, c, i, j]), kernel[1])
        grad_input[n, c, stride[0] * i + a, stride[1] * j + b] = grad_output[n, c, i, j]
    return grad_input


def _all_of_window(grad_output, winner, shape, kernel, stride):
    grad_input = np.zeros(shape)
    for a, b in np.ndindex(*kernel):
        same = np.full(winner.shape, a * kernel[1] + b)
        grad_input += ops.maxpool_backward(grad_output, same, shape, kernel, stride)
    return grad_input


def _mean_of_window(*arguments):
    return _all_of_window(*arguments) / np.prod(arguments[3])


def _rows_for_columns(grad_output, winner, shape, kernel, stride):
    """divmod with the wrong side of the kernel."""
    grad_input = np.zeros(shape)
    for n, c, i, j in np.ndindex(*grad_output.shape):
        a, b = divmod(int(winner[n, c, i, j]), kernel[0])
        grad_input[n, c, stride[0] * i + a, stride[1] * j + b] += grad_output[n, c, i, j]
    return grad_input


def _winner_of_image(grad_output, winner, shape, kernel, stride):
    """`winner` taken for a position in the whole image."""
    grad_input = np.zeros((*shape[:2], shape[2] * shape[3]))
    n, c = np.indices(shape[:2], sparse=True)
    np.add.at(
        grad_input, (n[..., None], c[..., None], winner.reshape(*shape[:2], -1)), grad_output.reshape(*shape[:2], -1)
    )
    return grad_input.reshape(shape)


def _moved_by(change):
    """Windows that stand where another stride, or the kernel, puts them."""

    def mistaken(grad_output, winner, shape, kernel, stride):
        return ops.maxpool_backward(grad_output, winner, shape, kernel, change(kernel, stride))

    return mistaken


_BACKWARD_FORMS = [
    ("windows that overlap overwrite each other: = where += belongs", _overwritten),
    ("the gradient goes to the whole window, not to its winner", _all_of_window),
    ("the gradient is spread evenly, as for mean-pooling", _mean_of_window),
    ("rows and columns of `winner` are mixed up", _rows_for_columns),
    ("`winner` is taken for a position in the whole image: it counts in the window, a * kw + b", _winner_of_image),
    ("windows move by the kernel, not by the stride", _moved_by(lambda kernel, stride: kernel)),
    ("the stride of the rows is used for rows and columns", _moved_by(lambda kernel, stride: (stride[0], stride[0]))),
    (
        "the stride of the columns is used for rows and columns",
        _moved_by(lambda kernel, stride: (stride[1], stride[1])),
    ),
    ("rows and columns of the stride are exchanged", _moved_by(lambda kernel, stride: stride[::-1])),
    ("the stride is forgotten", _moved_by(lambda kernel, stride: (1, 1))),
    ("grad_output is left out: winners get 1", lambda g, *rest: ops.maxpool_backward(np.ones_like(g), *rest)),
    ("the first entry of every window gets the gradient", lambda g, w, *rest: ops.maxpool_backward(g, 0 * w, *rest)),
    ("every sample gets the result of the first", lambda *a: np.broadcast_to(ops.maxpool_backward(*a)[:1], a[2])),
]


def parts_with(forward, *forms):
    """The parts, for a forward pass in which ties are won as `forward` says.  forms: further known mistakes."""
    return (
        *parts_of(
            forward,
            {"values": 8, "other shapes": 6, "overlapping windows": 8, "winner": 12, "ties": 10, DTYPE: 6},
            {
                "values": _forward(_FIRST),
                "other shapes": _forward(_SHAPES),
                "overlapping windows": _forward(_OVERLAPPING),
                "winner": _forward(_FIRST + _OVERLAPPING),
                "ties": _forward(_TIED, tied=True),
            },
            outputs=_OUTPUTS,
            pick={"values": _Y, "other shapes": _Y, "overlapping windows": _Y, "winner": _WINNER, "ties": _WINNER},
            forms=[*forms, *_FORWARD_FORMS],
        ),
        *parts_of(
            ops.maxpool_backward,
            {"values": 12, "other shapes": 10, "overlapping windows": 12, DTYPE: 6},
            {
                "values": _backward(_FIRST),
                "other shapes": _backward(_SHAPES),
                "overlapping windows": _backward(_OVERLAPPING),
            },
            forms=_BACKWARD_FORMS,
        ),
        Part("maxpool_backward: ties", 10, _tied_gradient(forward), hidden=True),
    )


ASSIGNMENT = Assignment(
    name="maxpool",
    title="Max-pooling and the way back",
    reading="section 4.1 of the paper, for the networks that use it",
    handout=_HANDOUT,
    goals=(
        "say where the gradient of a maximum goes, also where entries tie",
        "add up what comes back from windows that overlap, and know why `+=` with an array of indices does not",
    ),
    hours="1 to 2",
    lectures=("04_layers#Max-pooling",),
    without_forward="""
`maxpool_backward` gets winners that the grader made: it can earn all its points though `maxpool_forward` is empty.
Begin with windows that do not overlap.
""",
    derivation=ops,
    derivation_until="Windows that reach over",
    functions=(Source(ops.maxpool_forward), Source(ops.maxpool_backward)),
    parts=parts_with(ops.maxpool_forward),
)
