"""The assignment `conv2d-cuda`: the three kernels of convolution, graded on the emulator."""

import numpy as np

from ....ops import conv2d as ops
from ...assignment import Assignment, Part
from ...grader.checks import Case, Wrong, compare
from ...grader.sandbox import SubmissionError
from ...handouts.cuda_source import plain_kernel
from ..layers import conv2d, conv2d_mistakes

_HANDOUT = """
One thread computes one entry of the result and gathers its whole sum: no atomics, no shared memory. Begin with the
forward kernel: turn the thread's number into (n, k, p, q), then loop over channels and taps.

No GPU is needed. The grader compiles your file with the system's C++ compiler and runs it on an emulator that watches
every access: reads and writes out of bounds, races between threads and forgotten entries are reported with the line.
The file needs no `#include`, and none is allowed.
"""

_SIZES = ("N", "C", "H", "W", "K", "P", "Q", "kh", "kw", "sh", "sw", "ph", "pw")
_FORWARD, _WEIGHT, _INPUT = "conv2d_forward", "conv2d_backward_weight", "conv2d_backward_input"
_FORMS = {
    _FORWARD: conv2d_mistakes.FORWARD_FORMS,
    _WEIGHT: conv2d_mistakes.WEIGHT_FORMS,
    _INPUT: conv2d_mistakes.INPUT_FORMS,
}


def _launch(student, name, arrays, result_shape, sizes, grid, block, dtype):
    """The result of one launch: NaN where the kernel wrote nothing."""
    result = np.full(result_shape, np.nan, dtype)
    numbers = [sizes[parameter.name] for parameter in plain_kernel(name).parameters if not parameter.is_array]
    arguments = [*(a.astype(dtype) for a in arrays), result, *numbers]
    return student.call(name, arguments, (grid,), (block,))[2]


def _cases(rng, kind):
    """Per operation: (arguments of the NumPy operation, arrays, sizes)."""
    for size in conv2d.KINDS[kind]:
        kernel, stride, padding = size[2:]
        x, w, g = conv2d.draw(rng, *size)
        sizes = dict(zip(_SIZES, (*x.shape, *g.shape[1:], *kernel, *stride, *padding)))
        yield {
            _FORWARD: ((x, w, stride, padding), (x, w), sizes),
            _WEIGHT: ((g, x, kernel, stride, padding), (g, x), sizes),
            _INPUT: ((g, w, x.shape[2:], stride, padding), (g, w), sizes),
        }


def _check(name, kind, spare=False, dtype=np.float64):
    """The check of one kernel. Without `spare` there are exactly as many threads as entries of the result."""
    op = getattr(ops, name)

    def check(student, rng):
        for operations in _cases(rng, kind):
            arguments, arrays, sizes = operations[name]
            right = op(*arguments).astype(dtype)
            block = min(64, right.size) if spare else _divisor(right.size)
            grid = -(-right.size // block) + spare
            given = _launch(student, name, arrays, right.shape, sizes, grid, block, dtype)
            if isinstance(given, np.ndarray) and np.isnan(given).all():
                raise Wrong(f"{name} wrote no entry of its result")
            if isinstance(given, np.ndarray) and np.isnan(given).any():
                index = tuple(int(i) for i in np.argwhere(np.isnan(given))[0])
                raise Wrong(f"{name} did not write entry {list(index)} of its result, or computed NaN there")
            compare(given, right, "the result", Case(arguments), op, forms=_FORMS[name])

    return check


def _divisor(size):
    """The largest number of threads, up to 256, that divides the size."""
    return max(n for n in range(1, 257) if size % n == 0)


def _guard(name):
    """More threads than entries, as on every real launch: the last ones must do nothing."""
    check = _check(name, "values", spare=True)

    def guarded(student, rng):
        try:
            check(student, rng)
        except SubmissionError as error:
            if "out of bounds" in str(error):
                raise Wrong(
                    f"{error}\nlooks like: no guard for the threads beyond the last entry (if (i >= ...) return;)"
                ) from None
            raise

    return guarded


def _parts(name, points):
    values, shapes, stride, padding, guard, single = points
    return (
        Part(f"{name}: values", values, _check(name, "values")),
        Part(f"{name}: other shapes", shapes, _check(name, "other shapes"), True),
        Part(f"{name}: stride", stride, _check(name, "stride"), True),
        Part(f"{name}: padding", padding, _check(name, "padding"), True),
        Part(f"{name}: more threads than entries", guard, _guard(name)),
        Part(f"{name}: float32", single, _check(name, "other shapes", dtype=np.float32), True),
    )


ASSIGNMENT = Assignment(
    name="conv2d-cuda",
    title="Convolution as CUDA kernels",
    reading="the assignment conv2d for the formulas, kernels/README.md for the emulator",
    handout=_HANDOUT,
    derivation=ops,
    functions=(),
    kernels=(_FORWARD, _WEIGHT, _INPUT),
    language="cuda",
    parts=(
        *_parts(_FORWARD, (10, 6, 6, 6, 4, 2)),
        *_parts(_WEIGHT, (10, 6, 6, 6, 3, 2)),
        *_parts(_INPUT, (10, 6, 6, 6, 3, 2)),
    ),
)
