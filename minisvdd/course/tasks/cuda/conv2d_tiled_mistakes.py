"""Known mistakes of `conv2d-tiled`: in values, in what the emulator reports, and in what was counted."""

import re

import numpy as np

from ....ops import conv2d as ops
from ..layers import conv2d_mistakes
from .conv2d_tiled_costs import SIDE, Sizes, tiled, untiled


def _forward(x, weight):
    return ops.conv2d_forward(x, weight, (1, 1), (0, 0))


def _without_halo(x, weight):
    """Windows that end where the block's 16 x 16 entries end: what lies beyond counts as 0."""
    s = Sizes(x, weight)
    y = np.zeros((s.N, s.K, s.P, s.Q), x.dtype)
    for top in range(0, s.P, SIDE):
        for left in range(0, s.Q, SIDE):
            tile = np.zeros((s.N, s.C, SIDE - 1 + s.kh, SIDE - 1 + s.kw), x.dtype)
            inside = x[:, :, top : top + SIDE, left : left + SIDE]
            tile[:, :, : inside.shape[2], : inside.shape[3]] = inside
            place = y[:, :, top : top + SIDE, left : left + SIDE]
            place[...] = _forward(tile, weight)[:, :, : place.shape[2], : place.shape[3]]
    return y


def _one_tile(x, weight):
    """Every block works on the tile of the first one."""
    y = _forward(x, weight)
    return y[:, :, np.arange(y.shape[2]) % SIDE][:, :, :, np.arange(y.shape[3]) % SIDE]


def _taps(pick):
    """The taps are read at another channel or filter."""

    def mistaken(x, weight):
        chosen = np.empty_like(weight)
        for k, c in np.ndindex(weight.shape[:2]):
            chosen[k, c] = weight[pick(k, c)]
        return _forward(x, chosen)

    return mistaken


FORMS = [
    *((name, lambda x, w, form=form: form(x, w, (1, 1), (0, 0))) for name, form in conv2d_mistakes.FORWARD_FORMS),
    ("the halo is missing: what lies beyond the block's own 16 x 16 entries counts as 0", _without_halo),
    ("every block works on the tile of the first one: 16 blockIdx belongs to the tile's corner", _one_tile),
    ("every filter is the first one: k is forgotten", _taps(lambda k, c: (0, c))),
    ("every channel has the taps of the first one: c is forgotten", _taps(lambda k, c: (k, 0))),
    ("only the first channel counts", lambda x, w: _forward(x[:, :1], w[:, :1])),
    ("only the last channel counts: the sum begins anew in each", lambda x, w: _forward(x[:, -1:], w[:, -1:])),
]

_ERRORS = (
    (
        r"uninitialised: block \(.*\) thread \(0,0,0\) reads shared memory",
        "no __syncthreads() between loading the tile and reading it: the first thread reads before the others load",
    ),
    (
        r"uninitialised: .* reads shared memory",
        "a part of the tile, its halo or its last rows and columns, that no thread of the block loads",
    ),
    (
        r"data race: .* (reads shared memory.*written by|writes shared memory.*, read by)",
        "no __syncthreads() after the sums: a fast thread loads the next channel while a slow one still reads",
    ),
    (r"data race: .* writes shared memory.*written by", "two threads load the same entry of the tile"),
    (
        r"data race: .* writes an array argument.*of another block",
        "two blocks write the same output: blockIdx.x goes with columns, blockIdx.y with rows, blockIdx.z is n K + k",
    ),
    (
        r"data race: .* writes an array argument",
        "two threads of a block write the same output: threadIdx.x belongs to the column, threadIdx.y to the row",
    ),
    (
        r"barrier divergence",
        "__syncthreads() that some threads never reach: those without an output must load and wait like the others",
    ),
    (r"out of bounds: .* uses index", "a shared array that is too small: 15 + 7 rows and columns, 7 x 7 taps"),
    (
        r"out of bounds: .* (reads|writes) .* of an array argument",
        "no guard at the edge: tiles and blocks reach beyond the image, and beyond the outputs",
    ),
    (r"must be float32, got float64", "a kernel for float alone: T, the type of its template, is float or double"),
)


def reason_of_error(message: str) -> str:
    """What a report of the emulator looks like; "" where nobody knows."""
    return next((f"looks like: {text}" for pattern, text in _ERRORS if re.search(pattern, message)), "")


def reason_of_gaps(given: np.ndarray) -> str:
    """Which entries nobody has written; "" where that says nothing."""
    if np.isnan(given[:, :, :SIDE, :SIDE]).any():
        return ""
    return "\nlooks like: blocks look in the wrong place: blockIdx.x goes with columns, blockIdx.y with rows"


def reason_of_traffic(s: Sizes, counts: dict[str, int]) -> str:
    """Where too many sectors come from, by the exact number of loads and stores."""
    window, active = s.C * s.kh * s.kw, s.outputs
    everybody = s.grid[0] * s.grid[1] * s.grid[2] * SIDE * SIDE
    model, taps = tiled(s), s.grid[0] * s.grid[1] * s.grid[2] * window
    tile, own = model["loads"] - taps, _entries(s, SIDE, SIDE)
    found = []
    loads = counts["global_loads"]
    if not counts["shared_loads"]:
        found.append("nothing is kept in shared memory: every thread reads its whole window from global memory")
    elif loads in (tile + active * window, tile + everybody * window):
        found.append("every thread reads the taps from global memory: load them once, too")
    elif loads in (taps + active * window, taps + everybody * window):
        found.append("the taps are in shared memory, but not the tile")
    elif loads == _entries(s, SIDE + 6, SIDE + 6) + taps:
        found.append("every tile has 22 x 22 entries, whatever the window: 15 + kh rows and 15 + kw columns will do")
    elif loads - own - _beyond(s) in (taps, active * window):
        found.append(
            "the tile has no halo: what lies beyond 16 x 16 entries is read from global memory, by each thread"
        )
    elif loads == model["loads"]:
        found.append(
            "each number is loaded once, but neighbouring lanes ask for different rows: threadIdx.x is the column"
        )
    if counts["global_stores"] == s.C * s.outputs or loads - model["loads"] in (active * s.C, active * (s.C - 1)):
        found.append("y is read or written again for each channel: keep the sum in a variable, and store it once")
    if not found:
        found.append(
            f"{loads} loads by threads: the model solution makes {model['loads']}, an untiled one {untiled(s)['loads']}"
        )
        return found[0]
    return "looks like: " + "\nlooks like: ".join(found)


def reason_of_conflict(worst: int) -> str:
    """Which layout has such conflicts."""
    if worst > 2:
        return (
            "looks like: lanes of a warp go down a column of the tile, or its rows lie a multiple of 32 words apart: "
            "threadIdx.x must be the last index"
        )
    return (
        "looks like: the two rows of a warp meet in a bank, when the tile is filled or when it is read: both times let "
        "their words be 16 more than a multiple of 32 apart"
    )


def _entries(s, rows, columns):
    """Entries of all channels' tiles of that many rows and columns, within the image."""
    heights = sum(min(rows, s.H - top) for top in range(0, s.P, SIDE))
    widths = sum(min(columns, s.W - left) for left in range(0, s.Q, SIDE))
    return s.N * s.K * s.C * heights * widths


def _beyond(s):
    """How often threads need an entry beyond the 16 x 16 that lie under their block."""
    _, _, top, left, i, j = s.threads()
    active = (top + i < s.P) & (left + j < s.Q)
    needed = sum(int((active & ((i + a >= SIDE) | (j + b >= SIDE))).sum()) for a, b in np.ndindex(s.kh, s.kw))
    return s.C * needed
