"""Max-pooling in which the last of several tied entries wins.

    y[n,c,i,j] = max over (a, b) of x[n,c, s i + a, s j + b]
    dL/dx[u] = sum of G over the windows that u wins            (a window passes its whole gradient to one entry)

Where several entries of a window tie, the last in reading order wins, in forward and in backward: the gradient of a
window is then never counted twice, and any choice among the tied entries is a subgradient.
"""

import sys
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ....ops import pooling as ops
from ...assignment import Source
from ...variants import versions
from ..layers import maxpool as task

Pair = tuple[int, int]


def maxpool_forward(x: np.ndarray, kernel_size: Pair, stride: Pair) -> tuple[np.ndarray, np.ndarray]:
    """x: (N, C, H, W).  Returns y (N, C, H_out, W_out) and `winner`, the index a * kw + b of each window's maximum.

    Where entries tie, the last one in reading order is the winner.
    """
    #: every stride-th window, its entries in reading order
    windows = sliding_window_view(x, kernel_size, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    windows = windows.reshape(*windows.shape[:4], -1)
    #: the largest entry of each; the last that attains it is the first of the entries read backwards
    return windows.max(axis=-1), windows.shape[-1] - 1 - windows[..., ::-1].argmax(axis=-1)


_CONTRACT = """
The largest entry of each window of each channel, and which one it was.

Window (i, j) has kernel_size = (kh, kw) entries and begins at row sh i, column sw j, where stride = (sh, sw). Only
windows that lie wholly inside the image count; they may overlap, and leave a rest. There is no padding.
Entry (a, b) of a window has the index a kw + b. Where several entries tie, the one with the largest index wins.

x: (N, C, H, W).   Returns y (N, C, P, Q) and winner (N, C, P, Q): the index of the winning entry, as integers.
"""
_STANDARD = replace(task.ASSIGNMENT, rule="the first of several tied entries in reading order wins")
_LAST = replace(
    _STANDARD,
    rule="the last of several tied entries in reading order wins",
    handout=_STANDARD.handout.replace(
        "Where entries tie, the first\nin reading", "Where entries tie, the last\nin reading"
    ),
    derivation=sys.modules[__name__],
    derivation_until=None,
    functions=(Source(maxpool_forward, contract=_CONTRACT), Source(ops.maxpool_backward)),
    parts=task.parts_with(maxpool_forward, ("the first of the tied entries wins, not the last", ops.maxpool_forward)),
)
VERSIONS = versions(_STANDARD, _LAST)
