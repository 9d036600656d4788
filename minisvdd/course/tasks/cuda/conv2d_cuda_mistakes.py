"""Known mistakes of kernels, on top of those in the formulas: entries that are looked for in the wrong place."""

import itertools

import numpy as np

from ....ops import conv2d as ops
from ..layers import conv2d_mistakes


def _laid_out(array, inner):
    """The array as it is read at ((i inner[0] + j) inner[1] + u) inner[2] + v; ValueError where that is outside."""
    i, j, u, v = np.indices(array.shape, sparse=True)
    index = ((i * inner[0] + j) * inner[1] + u) * inner[2] + v
    if index.max() >= array.size:
        raise ValueError("out of bounds")
    return array.ravel()[index]


def _misread(op, position, name, letters):
    """Forms: one of the arguments is read with sizes that are mixed up."""
    a, b, r, s = letters
    for sizes in itertools.product((b, a), (r, s), (s, r)):
        if sizes != (b, r, s):

            def mistaken(*arguments, sizes=sizes):
                arguments = list(arguments)
                size = dict(zip(letters, arguments[position].shape))
                arguments[position] = _laid_out(arguments[position], [size[letter] for letter in sizes])
                return op(*arguments)

            wrong, right = (f"((i {b} + j) {r} + u) {s} + v" for b, r, s in (sizes, (b, r, s)))
            yield f"`{name}` is read at {wrong}, where {right} belongs", mistaken


def _written(op, letters):
    """Forms: the thread's number is taken apart in another order than the result's."""
    for order in itertools.permutations(range(4)):
        if order != (0, 1, 2, 3):
            taken, right = (", then by ".join(letters[axis] for axis in reversed(o)) for o in (order, range(4)))
            yield (
                f"the thread's number is divided by {taken}, where {right} belongs",
                lambda *arguments, order=order: _reordered(op(*arguments), order),
            )


def _reordered(right, order):
    return right.transpose(order).reshape(right.shape)


FORMS = {
    "conv2d_forward": [
        *conv2d_mistakes.FORWARD_FORMS,
        *_misread(ops.conv2d_forward, 0, "x", ("N", "C", "H", "W")),
        *_misread(ops.conv2d_forward, 1, "weight", ("K", "C", "kh", "kw")),
        *_written(ops.conv2d_forward, ("N", "K", "P", "Q")),
    ],
    "conv2d_backward_weight": [
        *conv2d_mistakes.WEIGHT_FORMS,
        *_misread(ops.conv2d_backward_weight, 0, "grad_output", ("N", "K", "P", "Q")),
        *_misread(ops.conv2d_backward_weight, 1, "x", ("N", "C", "H", "W")),
        *_written(ops.conv2d_backward_weight, ("K", "C", "kh", "kw")),
    ],
    "conv2d_backward_input": [
        *conv2d_mistakes.INPUT_FORMS,
        *_misread(ops.conv2d_backward_input, 0, "grad_output", ("N", "K", "P", "Q")),
        *_misread(ops.conv2d_backward_input, 1, "weight", ("K", "C", "kh", "kw")),
        *_written(ops.conv2d_backward_input, ("N", "C", "H", "W")),
    ],
}
