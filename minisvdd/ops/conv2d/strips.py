"""Convolution by strips: a small matrix for a few neighbouring outputs, and almost no copies.

Laying out the patches of a convolution (im2col) writes every input number kh kw times, which for few channels takes
far longer than the product. Here the image is cut into strips: columns that a few neighbouring outputs of a row see,

    y[k, i, j + q] = sum_{a, c, u} T[(k, q), (a, c, u)] x_pad[c, i + a, j + u]
    T[(k, q), (a, c, u)] = w[k, c, a, u - q],  0 where u - q is no tap

with q = 0 ... outputs - 1 and u = 0 ... outputs + kw - 2. A strip lies in memory as (H, C, u, N): the kh rows that
output row i needs are one contiguous matrix (kh C u, N), and the matrix of the next output row begins one row further.
With 5x5 filters and two outputs every number is copied 3 times, not 25, and one multiplication in six is by zero.
"""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...backends.threads import run
from ...backends.workspace import scratch
from ..layout import block_count, equal_parts, overlap, strided
from . import Pair

_FEW_FILTERS = 4
_BATCH = 256  # images of one block
# Most bytes of the strips and products of one block. Smaller ones would stay in the cache better, but a thread that
# needs Python's lock every few microseconds mostly waits for it.
_BLOCK_BYTES = 1 << 23


def strips_forward(x: np.ndarray, weight: np.ndarray, padding: Pair, y: np.ndarray) -> None:
    """Write the convolution of x (C, H, W, N) with stride 1 into y (K, H_out, W_out, N)."""
    (K, C, kh, kw), (_, out_h, out_w, N), (ph, pw) = weight.shape, y.shape, padding
    outputs = _outputs(K)
    filters, count, width = _filters(weight, outputs).astype(y.dtype), -(-out_w // outputs), outputs + kw - 1
    height = x.shape[1] + 2 * ph

    def work(blocks: Iterator[tuple[slice, slice]]) -> None:
        for some, images in blocks:
            g, n = some.stop - some.start, images.stop - images.start
            with scratch() as take:
                strips = take((g, height, C, width, n), y.dtype)
                strips[:, :ph] = strips[:, height - ph :] = 0
                _cut(x[..., images], outputs * some.start - pw, outputs, strips[:, ph : height - ph])
                result = take((g, out_h, K * outputs, n), y.dtype)
                np.matmul(filters, _overlapping_rows(strips, kh), out=result)
                result = result.reshape(g, out_h, K, outputs, n).transpose(2, 1, 0, 3, 4)
                _write(result, y[:, :, some.start * outputs : some.stop * outputs, images])

    run(work, _blocks(count, N, (height * C * width + out_h * K * outputs) * y.itemsize))


def _write(result: np.ndarray, y: np.ndarray) -> None:
    """result (K, H_out, strips, outputs, N) into y (K, H_out, columns, N), which may lack columns of the last strip."""
    K, out_h, _, outputs, N = result.shape
    whole = y.shape[2] // outputs
    y[:, :, : whole * outputs].reshape(K, out_h, whole, outputs, N)[...] = result[:, :, :whole]
    if rest := y.shape[2] - whole * outputs:
        y[:, :, -rest:] = result[:, :, -1, :rest]


def _blocks(count: int, N: int, strip_bytes: int) -> list[tuple[slice, slice]]:
    """(strips, images) of the blocks."""
    images = equal_parts(N, -(-N // _BATCH))
    parts = block_count(count * strip_bytes * min(N, _BATCH), _BLOCK_BYTES)
    return [(some, part) for part in images for some in equal_parts(count, parts)]


def _outputs(K: int) -> int:
    """Outputs of a strip: more would multiply more zeros, fewer copy more and make the product flat.

    Measured with 5x5 filters: 2 is best from 4 filters on, 4 for fewer.
    """
    return 2 if K >= _FEW_FILTERS else 4


def _filters(weight: np.ndarray, outputs: int) -> np.ndarray:
    """T: (K outputs, kh C (outputs + kw - 1))."""
    K, C, kh, kw = weight.shape
    T = np.zeros((K, outputs, kh, C, outputs + kw - 1), weight.dtype)
    for q in range(outputs):
        T[:, q, :, :, q : q + kw] = weight.transpose(0, 2, 1, 3)
    return T.reshape(K * outputs, -1)


def _cut(x: np.ndarray, left: int, step: int, strips: np.ndarray) -> None:
    """Copy x (C, H, W, N) into strips (count, H, C, width, N); strip s begins at column left + s step of the image.

    Strips inside the image are one view of it; columns that lie beside it are zeros.
    """
    (C, H, W, N), (count, _, _, width, _) = x.shape, strips.shape
    first = min(max(0, -(left // step)), count)  # the first strip that does not begin left of the image
    stop = min(max(first, (W - width - left) // step + 1), count)  # and the first that ends right of it
    if first < stop:
        channel, row, column, image = x.strides
        view = x[:, :, left + first * step :]
        shape = stop - first, H, C, width, N
        np.copyto(strips[first:stop], as_strided(view, shape, (step * column, row, channel, column, image)))
    for s in (*range(first), *range(stop, count)):
        inside, seen = overlap(left + s * step, left + s * step + width, W)
        strips[s, :, :, : inside.start] = strips[s, :, :, inside.stop :] = 0
        strips[s, :, :, inside] = x[:, :, seen].transpose(1, 0, 2, 3)


def _overlapping_rows(strips: np.ndarray, kh: int) -> np.ndarray:
    """The kh rows under the filter as one axis: (strips, H_out, kh C width, N), a view."""
    count, height, C, width, N = strips.shape
    strip, row, _, number, image = strips.strides
    return strided(strips, (count, height - kh + 1, kh * C * width, N), (strip, row, number, image))
