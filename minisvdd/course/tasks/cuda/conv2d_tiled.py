"""The assignment `conv2d-tiled`: a convolution that loads each tile once, graded by values and by what it costs."""

import numpy as np

from ....ops import conv2d as ops
from ...assignment import Assignment, Part
from ...grader.checks import Case, Wrong, compare
from ...grader.sandbox import SubmissionError
from . import conv2d_tiled_costs as costs
from .conv2d_tiled_mistakes import FORMS, reason_of_conflict, reason_of_error, reason_of_gaps, reason_of_traffic
from .written import check_no_int, check_written

_HANDOUT = """
In `conv2d-cuda` every thread reads its window from global memory; neighbours read nearly the same numbers again. Here
the 256 threads of a block load the tile that they need together, once, into shared memory: the 16 x 16 entries under
their outputs and the halo around them, as far as the windows reach. The grader counts what that saves.

**Traffic** is the number of sectors of 32 bytes that the warps fetch and store. A kernel without a tile needs about ten
times as many as the model solution. Half of the untiled traffic is the first mark, one and a half times the model's the
second; for that one, ask who else reads the filter's taps, and how often y is touched.

**Bank conflicts** cost time inside shared memory, when the tile is filled as when it is read. The worst request counts:
1 is none. A warp is two rows of 16 threads, and the length of the tile's rows in memory is yours to choose: it may be
longer than what you fill. The emulator takes for one request what the lanes of a warp do when they come to an
instruction for the m-th time since the last barrier: a lane that left out a turn is counted with the wrong ones.

Points for costs are given for right results only, and those for conflicts only to who keeps a tile.

No GPU is needed: the emulator counts, and reports races (a forgotten `__syncthreads()`), memory that nobody has written
and accesses out of bounds with their line. Shared memory is declared in the kernel, `__shared__ T name[rows][length];`,
with sizes that are known to the compiler. Draw one block's tile on paper first, with its halo, at the image's edge.
"""

NAME = "conv2d_tiled"
_BLOCK = (costs.SIDE, costs.SIDE)
_HALF, _CLOSE = 0.5, 1.5  # of the traffic without a tile, of the model's

# (N, C, H, W, K, kh, kw), no two of one case alike where that can be
_SIZES = {
    "one channel": lambda rng: [(1, 1, 34, 20, 1, 3, 5)],
    "channels": lambda rng: [(1, 3, 20, 34, 1, 5, 4), (1, 5, 18, 21, 1, 2, 6)],
    "samples and filters": lambda rng: [(3, 2, 20, 35, 4, 5, 4), (2, 3, 35, 19, 5, 4, 1)],
    "odd sizes": lambda rng: [
        (2, 4, *(int(side) for side in rng.choice(np.arange(23, 47), 2, replace=False)), 3, 5, 6),
        (1, 2, 7, 9, 3, 4, 5),
        (2, 1, 19, 6, 3, 4, 5),
        (3, 2, 5, 4, 6, 5, 4),
    ],
    "windows": lambda rng: [
        (1, 2, 25, 40, 3, 7, 7),
        (2, 3, 33, 37, 4, 1, 1),
        (1, 3, 18, 36, 2, 1, 7),
        (1, 2, 38, 20, 3, 7, 1),
    ],
}
_COUNTED = ((1, 3, 36, 35, 2, 5, 4), (2, 4, 18, 36, 3, 3, 5))  # all tiles are whole: no lane of a load is idle


def _right(x, weight):
    return ops.conv2d_forward(x, weight, (1, 1), (0, 0))


def _drawn(rng, sizes, dtype):
    N, C, H, W, K, kh, kw = sizes
    return rng.standard_normal((N, C, H, W)).astype(dtype), rng.standard_normal((K, C, kh, kw)).astype(dtype)


def _launch(student, x, weight, before, count=False):
    """(the result of one launch, what it cost)."""
    s = costs.Sizes(x, weight)
    y = np.full((s.N, s.K, s.P, s.Q), before, x.dtype)
    arguments = [x, weight, y, s.C, s.H, s.W, s.K, s.kh, s.kw]
    try:
        given = student.call(NAME, arguments, s.grid, _BLOCK, *([True] if count else []))
    except SubmissionError as error:
        reason = reason_of_error(str(error))
        raise Wrong(f"{error}\n{reason}") if reason else error from None
    arguments, counts = given if count else (given, {})
    return arguments[2], counts


def _values(kind):
    def check(student, rng):
        for sizes in _SIZES[kind](rng):
            x, weight = _drawn(rng, sizes, np.float64)
            _compare(student, x, weight, _launch(student, x, weight, np.nan)[0])

    return check


def _compare(student, x, weight, given):
    right = _right(x, weight)
    try:
        check_written(NAME, given, right, lambda before: _launch(student, x, weight, before)[0])
    except Wrong as wrong:
        raise Wrong(f"{wrong}{reason_of_gaps(given)}") from None
    check_no_int(given, right)
    compare(given, right, "y", Case((x, weight)), _right, forms=FORMS)


def _counted(student, rng):
    """(sizes, counts) of launches whose results are right."""
    for sizes in _COUNTED:
        x, weight = _drawn(rng, sizes, np.float32)
        given, counts = _launch(student, x, weight, np.nan, count=True)
        _compare(student, x, weight, given)
        yield costs.Sizes(x, weight), counts


def _traffic(limit):
    """limit: (the model's sectors, those without a tile) -> at most so many."""

    def check(student, rng):
        for s, counts in _counted(student, rng):
            model, untiled, used = costs.tiled(s)["sectors"], costs.untiled(s)["sectors"], counts["transactions"]
            if used > limit(model, untiled):
                raise Wrong(
                    f"{used} sectors of global memory: the model solution moves {model}, a kernel without a tile "
                    f"{untiled}; at most {int(limit(model, untiled))} get the points ({_words(s)})\n"
                    + reason_of_traffic(s, counts)
                )

    return check


def _conflicts(most):
    def check(student, rng):
        for s, counts in _counted(student, rng):
            _check_tile(s, counts)
            worst = counts["worst_bank_conflict"]
            if worst > most:
                raise Wrong(
                    f"the worst request of a warp has {worst} different words in one bank of shared memory: the model "
                    f"solution has 1, at most {most} get the points ({_words(s)})\n{reason_of_conflict(worst)}"
                )

    return check


def _check_tile(s, counts):
    model, untiled = costs.tiled(s)["sectors"], costs.untiled(s)["sectors"]
    if counts["transactions"] > _HALF * untiled:
        raise Wrong(
            f"no tile, no conflicts: {counts['transactions']} sectors of global memory, where the model solution moves "
            f"{model} and a kernel without a tile {untiled}"
        )


def _words(s):
    return f"x {(s.N, s.C, s.H, s.W)}, weight {(s.K, s.C, s.kh, s.kw)}, float32"


ASSIGNMENT = Assignment(
    name="conv2d-tiled",
    title="Convolution with a tile in shared memory",
    reading="`kernels/README.md` for the emulator and its counts",
    handout=_HANDOUT,
    goals=(
        "load a tile with its halo by all threads of a block, whatever the sizes, with barriers where they belong",
        "predict how many sectors a warp's load costs, and how often a number is fetched",
        "lay an array out in shared memory so that no two lanes meet in a bank",
    ),
    hours="4",
    lectures=("13_cuda#What limits a kernel", "13_cuda#The ladder", "13_cuda#Races and barriers"),
    without_forward="""
A kernel without a tile, one thread for each output, earns the points for values: begin with it, on the grid as given.
Then let the threads load the 16 x 16 entries under their outputs, with a barrier behind, and read the rest from global
memory; then the halo, the channels, the taps. Run the grader after each step: it says what it counted.
""",
    derivation=costs,
    functions=(),
    kernels=(NAME,),
    language="cuda",
    parts=(
        Part(f"{NAME}: one channel", 8, _values("one channel")),
        Part(f"{NAME}: several channels", 8, _values("channels"), True),
        Part(f"{NAME}: samples and filters", 8, _values("samples and filters"), True),
        Part(f"{NAME}: odd sizes", 8, _values("odd sizes"), True),
        Part(f"{NAME}: windows of other sizes", 8, _values("windows"), True),
        Part(f"{NAME}: half of the untiled traffic", 20, _traffic(lambda model, untiled: _HALF * untiled), True),
        Part(f"{NAME}: traffic near the model's", 15, _traffic(lambda model, untiled: _CLOSE * model), True),
        Part(f"{NAME}: at most two words in a bank", 10, _conflicts(2), True),
        Part(f"{NAME}: no bank conflict", 15, _conflicts(1), True),
    ),
)
