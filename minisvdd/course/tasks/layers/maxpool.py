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

# (N, C, H, W), kernel, stride
_FIRST = [((2, 3, 4, 6), (2, 2), (2, 2))]
_SHAPES = [((1, 1, 7, 5), (2, 2), (2, 2)), ((3, 2, 3, 9), (3, 2), (3, 2)), ((1, 2, 3, 4), (1, 1), (1, 1))]
_OVERLAPPING = [((2, 2, 7, 6), (3, 2), (2, 1)), ((1, 2, 3, 5), (3, 3), (1, 1)), ((2, 1, 8, 9), (2, 1), (3, 4))]
_TIED = [((2, 2, 6, 6), (2, 2), (2, 2)), ((2, 1, 5, 5), (3, 3), (1, 1))]
_OUTPUTS = ("y", "winner")


def _draw(rng, shape, tied=False):
    return rng.integers(0, 2, shape).astype(np.float64) if tied else rng.standard_normal(shape)


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
                point=x,
                grad_output=grad_output,
            )

    return cases


def _tied_gradient(student, rng):
    """Forward and backward of the submission, one after the other, on inputs full of ties."""
    for shape, *window in _TIED:
        x = _draw(rng, shape, tied=True)
        y, winner = ops.maxpool_forward(x, *window)
        grad_output = rng.standard_normal(y.shape)
        given = student.call("maxpool_forward", x, *window)
        own = given[1] if isinstance(given, tuple | list) and len(given) == 2 else None
        usable = isinstance(own, np.ndarray) and own.shape == winner.shape and own.dtype.kind in "iu"
        arguments = (grad_output, own if usable else winner.astype(np.int64), shape, *window)
        right = ops.maxpool_backward(grad_output, winner, shape, *window)
        forms = [
            ("the gradient goes to all entries that tie", lambda *_, x=x, y=y, w=window: _to_all_ties(x, y, _[0], *w)),
            ("the last of the tied entries takes the gradient", lambda *_, x=x, w=window: _to_last_tie(x, _[0], *w)),
        ]
        compare(student.call("maxpool_backward", *arguments), right, "the result", Case(arguments), _OP, forms=forms)


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


def _column_first(x, kernel, stride):
    turned = ops.maxpool_forward(x.swapaxes(2, 3), kernel[::-1], stride[::-1])
    return tuple(array.swapaxes(2, 3) for array in turned)


def _stride_of_kernel(x, kernel, stride):
    return ops.maxpool_forward(x, kernel, kernel)


def _mean(x, kernel, stride):
    _, winner = ops.maxpool_forward(x, kernel, stride)
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    return windows.mean(axis=(4, 5)), winner


def _relu_first(x, kernel, stride):
    y, winner = ops.maxpool_forward(x, kernel, stride)
    return np.maximum(y, 0), winner


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
    parts=(
        *parts_of(
            ops.maxpool_forward,
            {"values": 12, "other shapes": 10, "overlapping windows": 12, "ties": 10, DTYPE: 6},
            {
                "values": _forward(_FIRST),
                "other shapes": _forward(_SHAPES),
                "overlapping windows": _forward(_OVERLAPPING),
                "ties": _forward(_TIED, tied=True),
            },
            outputs=_OUTPUTS,
            forms=[
                ("the last of the tied entries wins, not the first", _last_winner),
                ("winner counts down the columns, not along the rows", _column_first),
                ("windows move by the kernel, not by the stride", _stride_of_kernel),
                ("the mean of the window, not its maximum", _mean),
                ("a maximum that starts at 0, which negative windows never reach", _relu_first),
            ],
        ),
        *parts_of(
            ops.maxpool_backward,
            {"values": 12, "other shapes": 10, "overlapping windows": 12, DTYPE: 6},
            {
                "values": _backward(_FIRST),
                "other shapes": _backward(_SHAPES),
                "overlapping windows": _backward(_OVERLAPPING),
            },
            forms=[
                ("windows that overlap overwrite each other: = where += belongs", _overwritten),
                ("the gradient goes to the whole window, not to its winner", _all_of_window),
                ("the gradient is spread evenly, as for mean-pooling", _mean_of_window),
                ("rows and columns of `winner` are mixed up", _rows_for_columns),
            ],
        ),
        Part("maxpool_backward: ties", 10, _tied_gradient, hidden=True),
    ),
)
