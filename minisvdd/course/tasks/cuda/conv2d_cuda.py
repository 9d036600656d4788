"""The assignment `conv2d-cuda`: the three kernels of convolution, graded on the emulator."""

import re

import numpy as np

from ....ops import conv2d as ops
from ...assignment import Assignment, Part
from ...grader.checks import Case, Student, Wrong, compare
from ...grader.sandbox import SubmissionError
from ...handouts.cuda_source import plain_kernel
from ..layers import conv2d
from .conv2d_cuda_mistakes import FORMS
from .one_kernel import only
from .written import check_no_int, check_written

_HANDOUT = """
One thread computes one entry of the result and gathers its whole sum: no atomics, no shared memory. Begin with the
forward kernel: turn the thread's number into (n, k, p, q), then loop over channels and taps.

No GPU is needed. The grader compiles your file with the system's C++ compiler and runs it on an emulator that watches
every access: reads and writes out of bounds, races between threads and forgotten entries are reported with the line.
Your own `printf` is welcome while you search.
"""

_SIZES = ("N", "C", "H", "W", "K", "P", "Q", "kh", "kw", "sh", "sw", "ph", "pw")
_FORWARD, _WEIGHT, _INPUT = "conv2d_forward", "conv2d_backward_weight", "conv2d_backward_input"


def _launch(student, name, arrays, result, sizes, grid, block):
    """What one launch makes of `result`. A kernel that compiles is not held back by another one that does not."""
    numbers = [sizes[parameter.name] for parameter in plain_kernel(name).parameters if not parameter.is_array]
    arguments = [*(a.astype(result.dtype) for a in arrays), result, *numbers]
    try:
        return student.call(name, arguments, (grid,), (block,))[2]
    except SubmissionError as error:
        if error.kind != "load":
            raise
    alone = Student(student.sandbox.variant(lambda source: only(source, name)))
    return alone.call(name, arguments, (grid,), (block,))[2]


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
    """The check of one kernel, on three blocks or more. Without `spare` there are as many threads as entries."""
    op = getattr(ops, name)

    def check(student, rng):
        for operations in _cases(rng, kind):
            arguments, arrays, sizes = operations[name]
            right = op(*arguments).astype(dtype)
            grid, block = _with_idle_threads(right.size) if spare else _exactly(right.size)

            def run(before, arrays=arrays, sizes=sizes, right=right, grid=grid, block=block):
                return _launch(student, name, arrays, np.full(right.shape, before, dtype), sizes, grid, block)

            try:
                given = run(np.nan)
            except SubmissionError as error:
                raise Wrong("\n".join([str(error), *_reasons(str(error), block, right.size)])) from None
            check_written(name, given, right, run)
            check_no_int(given, right)
            compare(given, right, "the result", Case(arguments), op, forms=FORMS[name])

    return check


def _exactly(size):
    """(blocks, threads of each) for as many threads as entries: the largest blocks of which there are three or more."""
    block = max(n for n in range(1, min(256, max(1, size // 3)) + 1) if size % n == 0)
    return size // block, block


def _with_idle_threads(size):
    """As on every real launch: the last block that works has idle threads, and one more block has nothing to do."""
    block = next(n for n in (32, 64, 48, 80) if size % n)
    return -(-size // block) + 1, block


_THREAD = re.compile(r"block \((\d+),0,0\) thread \((\d+),0,0\) writes.*written by thread (\d+) of another block")
_OUTSIDE = re.compile(r"out of bounds: block \((\d+),0,0\) thread \((\d+),0,0\)")


def _reasons(message, block, size):
    """What a report of the emulator looks like."""
    race, outside = _THREAD.search(message), _OUTSIDE.search(message)
    if race and race[2] == race[3]:
        yield "looks like: the block's index is forgotten: i = blockIdx.x * blockDim.x + threadIdx.x"
    if outside and int(outside[1]) * block + int(outside[2]) == size:
        yield "looks like: one thread too many: > where >= belongs in the guard, or no guard (if (i >= ...) return;)"
    elif outside and int(outside[1]) * block + int(outside[2]) > size:
        yield "looks like: no guard for the threads beyond the last entry (if (i >= ...) return;)"
    if "must be float32, got float64" in message:
        yield "looks like: a kernel for float alone: T, the type of its template, is float or double"
    if "barrier divergence" in message:
        yield "looks like: a barrier that some threads never reach: __syncthreads() behind the guard's return"


def _parts(name, points):
    values, shapes, stride, padding, guard, single = points
    return (
        Part(f"{name}: values", values, _check(name, "values")),
        Part(f"{name}: other shapes", shapes, _check(name, "other shapes"), True),
        Part(f"{name}: stride", stride, _check(name, "stride"), True),
        Part(f"{name}: padding", padding, _check(name, "padding"), True),
        Part(f"{name}: more threads than entries", guard, _check(name, "values", spare=True)),
        Part(f"{name}: float32", single, _check(name, "other shapes", dtype=np.float32), True),
    )


ASSIGNMENT = Assignment(
    name="conv2d-cuda",
    title="Convolution as CUDA kernels",
    reading="the assignment conv2d for the formulas, `kernels/README.md` for the emulator",
    handout=_HANDOUT,
    goals=(
        "find out from block and thread which entry a thread has to compute",
        "turn a scattering backward pass into a gathering one, so that no two threads write one entry",
        "guard the threads that have nothing to do",
    ),
    hours="3 to 4",
    lectures=("13_cuda#Threads, blocks, warps", "13_cuda#Races and barriers"),
    without_forward="""
The three kernels do not need each other, but they are compiled together: leave a kernel that you do not have empty, not
broken. Index first: a kernel that writes n, k, p or q to its entry shows whether the thread's number is taken apart
rightly. The formulas are those of the assignment conv2d.
""",
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
