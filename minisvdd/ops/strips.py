"""Convolution by strips: a small matrix for a few neighbouring outputs, and almost no copies.

Laying out the patches of a convolution (im2col) writes every input number kh kw times, which for few channels takes
far longer than the product. Here the image is cut into strips: columns that a few neighbouring outputs of a row see,

    y[k, i, j + q] = sum_{a, c, u} T[(k, q), (a, c, u)] x_pad[c, i + a, j + u]
    T[(k, q), (a, c, u)] = w[k, c, a, u - q],  0 where u - q is no tap

with q = 0 ... outputs - 1 and u = 0 ... outputs + kw - 2. A strip lies in memory as (H, C, u, N): the kh rows that
output row i needs are one contiguous matrix (kh C u, N), and the matrix of the next output row begins one row further.
With 5x5 filters and two outputs every number is copied 3 times, not 25, and one multiplication in six is by zero.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..threads import run
from ..workspace import scratch

_FEW_FILTERS = 4
_BATCH = 256  # images of one block: a strip of them should stay in the cache


def strips_forward(x, weight, padding, y):
    """Write the convolution of x (C, H, W, N) with stride 1 into y (K, H_out, W_out, N)."""
    (K, C, kh, kw), (_, out_h, out_w, N) = weight.shape, y.shape
    outputs = _outputs(K)
    filters = _filters(weight, outputs).astype(y.dtype)

    def work(blocks):
        for columns, images in blocks:
            width, count = outputs + kw - 1, columns.stop - columns.start
            with scratch() as empty:
                strip = empty((x.shape[1] + 2 * padding[0], C, width, images.stop - images.start), y.dtype)
                _cut_strip(x[..., images], columns.start - padding[1], padding[0], strip)
                result = empty((out_h, K * outputs, strip.shape[-1]), y.dtype)
                np.matmul(filters, _overlapping_rows(strip, kh), out=result)
                result = result.reshape(out_h, K, outputs, -1)[:, :, :count]
                y[:, :, columns, images] = result.transpose(1, 0, 2, 3)

    columns = [slice(j, min(j + outputs, out_w)) for j in range(0, out_w, outputs)]
    run(work, [(part, slice(n, min(n + _BATCH, N))) for n in range(0, N, _BATCH) for part in columns])


def _outputs(K):
    """Outputs of a strip: more would multiply more zeros, fewer copy more and make the product flat.

    Measured with 5x5 filters: 2 is best from 4 filters on, 4 for fewer.
    """
    return 2 if K >= _FEW_FILTERS else 4


def _filters(weight, outputs):
    """T: (K outputs, kh C (outputs + kw - 1))."""
    K, C, kh, kw = weight.shape
    T = np.zeros((K, outputs, kh, C, outputs + kw - 1), weight.dtype)
    for q in range(outputs):
        T[:, q, :, :, q : q + kw] = weight.transpose(0, 2, 1, 3)
    return T.reshape(K * outputs, -1)


def _cut_strip(x, left, ph, strip):
    """Write columns left, left + 1, ... of x into strip (H + 2 ph, C, columns, N), with zeros beyond the image."""
    H, W = x.shape[1:3]
    first, stop = (min(max(edge, 0), W) for edge in (left, left + strip.shape[2]))
    strip[:ph] = strip[ph + H :] = 0
    strip[:, :, : first - left] = strip[:, :, stop - left :] = 0
    strip[ph : ph + H, :, first - left : stop - left] = x[:, :, first:stop].transpose(1, 0, 2, 3)


def _overlapping_rows(strip, kh):
    """The kh rows under the filter as one axis: (H_out, kh C columns, N), a view."""
    H, C, width, N = strip.shape
    row, _, number, image = strip.strides
    return as_strided(strip, (H - kh + 1, kh * C * width, N), (row, number, image))
