"""The input gradient of a strided convolution without multiplying zeros: one small convolution for each phase.

With stride s, padding p and rows only, for brevity, y[i] = sum_a w[a] x_pad[s i + a] has the gradient

    dL/dx[u] = sum over all a, i with s i + a = u + p  of  w[a] G[i]

For a given u only the taps a = r, r + s, r + 2s, ... take part, where r = (u + p) mod s is the *phase* of u: with
u + p = s v + r and a = r + s m there remains i = v - m,

    dL/dx[s v + r - p] = sum_m  w[r + s m] G[v - m]

an ordinary convolution of stride 1 of G with every s-th tap, flipped. The s_h s_w phases interleave to the whole
gradient. Putting s - 1 zeros between the entries of G, as the formula in `minisvdd.ops.conv2d` has it, would multiply
s_h s_w times as many numbers, most of them zeros. The same lines are the forward pass of a transposed convolution.
"""

from collections.abc import Callable

import numpy as np

from ...backends.workspace import empty
from ..layout import from_batch_last, overlap, to_batch_last
from . import Pair


def backward_input_by_phases(
    convolve: Callable[[np.ndarray, np.ndarray], np.ndarray],
    grad_output: np.ndarray,
    weight: np.ndarray,
    input_size: Pair,
    stride: Pair,
    padding: Pair,
) -> np.ndarray:
    """dL/dx (N, C, *input_size) for G (N, K, H_out, W_out), weight (K, C, kh, kw).

    convolve(x, weight): the convolution of stride 1 without padding.
    """
    grad, (N, C) = to_batch_last(grad_output), (len(grad_output), weight.shape[1])
    grad_input = empty((C, *input_size, N), np.result_type(grad_output, weight))
    rows, columns = (
        [_phase(r, *sizes) for r in range(sizes[0])] for sizes in zip(stride, padding, weight.shape[2:], input_size)
    )
    for rows_of_x, row_taps, row_window in rows:
        for columns_of_x, column_taps, column_window in columns:
            part = grad_input[:, rows_of_x, columns_of_x]
            taps = weight[:, :, row_taps, column_taps]
            if taps.size and part.size:
                flipped = taps.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
                window = from_batch_last(_window(grad, row_window, column_window))
                part[...] = to_batch_last(convolve(window, flipped))
            else:  # a stride larger than the filter passes over these entries
                part[...] = 0
    return from_batch_last(grad_input)


def _phase(r: int, stride: int, padding: int, kernel_size: int, input_size: int) -> tuple[slice, slice, Pair]:
    """Along one axis: the entries u of x in phase r, their taps, and the (first, stop) entries of G that they see."""
    first = (r - padding) % stride
    count = len(range(first, input_size, stride))
    taps = len(range(r, kernel_size, stride))
    v = (first + padding - r) // stride
    return slice(first, None, stride), slice(r, None, stride), (v - taps + 1, v + count)


def _window(grad: np.ndarray, rows: Pair, columns: Pair) -> np.ndarray:
    """grad (K, H, W, N) from (first, stop) of its rows and columns, with zeros where these lie outside."""
    K, H, W, N = grad.shape
    if rows == (0, H) and columns == (0, W):
        return grad
    window = empty((K, rows[1] - rows[0], columns[1] - columns[0], N), grad.dtype)
    row_target, row_source = overlap(*rows, H)
    column_target, column_source = overlap(*columns, W)
    window[...] = 0
    window[:, row_target, column_target] = grad[:, row_source, column_source]
    return window
