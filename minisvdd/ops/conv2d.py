"""Two-dimensional convolution (cross-correlation, as everybody in the field writes it) and its two gradients.

With input x (N, C, H, W), filters w (K, C, kh, kw), stride s and zero padding p:

    y[n,k,i,j] = sum_{c,a,b}  w[k,c,a,b] * x_pad[n,c, s i + a, s j + b]                                      (forward)

Let G = dL/dy. Each w[k,c,a,b] multiplies x_pad[n,c,s i+a,s j+b] in y[n,k,i,j], hence

    dL/dw[k,c,a,b] = sum_{n,i,j}  G[n,k,i,j] * x_pad[n,c, s i + a, s j + b]                                  (weight)

and each x_pad[n,c,u,v] meets w[k,c,a,b] wherever s i + a = u and s j + b = v:

    dL/dx_pad[n,c,u,v] = sum_{k,a,b}  w[k,c,a,b] * G_s[n,k, u - a, v - b]                                    (input)

where G_s is G with s - 1 zeros put between its entries. That is again a convolution of stride 1: of G_s, padded by
(k - 1 - p), with the filters flipped in space and with their two channel axes exchanged.

All three run as matrix products. `conv2d_forward` and `conv2d_backward_weight` choose between

* *all taps at once* (im2col): the patches under the filter become the columns of a matrix (C kh kw, positions), which
  the filters (K, C kh kw) multiply. The plainest way, for every stride; it copies every input number kh kw times.
* *strips*, in `minisvdd.ops.strips`: hardly any copies, a few products with zero. For few channels, stride 1.
* *Winograd* along the rows, in `minisvdd.ops.winograd`: fewer multiplications. For many channels, stride 1.
* *one row at a time*, for the weight: only the kw neighbours within a row are laid out, (C kw, W_out N). Multiplied by
  the rows of G that they reach, (K kh, W_out N), they give their share of all taps. It copies kh times less.

Blocks of rows, columns or images keep the copies in the cache and are what the threads share.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..threads import run
from ..workspace import empty, scratch
from . import conv2d_launch
from .layout import from_batch_last, to_batch_last
from .strips import strips_forward
from .winograd import winograd_backward_weight, winograd_forward, winograd_pays

# Bytes of one block of patches. Smaller ones would stay in the second-level cache, but threads need large pieces.
_BLOCK_BYTES = 1 << 22
_ROW_BLOCK_BYTES = 1 << 22  # one row at a time: patches and shares together
_COLUMN_BLOCKS = 2


def conv2d_output_size(
    size: tuple[int, int], kernel_size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[int, int]:
    """Rows and columns of the output: floor((size + 2 padding - kernel) / stride) + 1 each way.

    Raises ValueError when the kernel is larger than the padded input.
    """
    if any(n + 2 * p < k for n, k, p in zip(size, kernel_size, padding)):
        raise ValueError(f"kernel_size={kernel_size} is larger than the input {tuple(size)} with padding={padding}")
    return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel_size, stride, padding))


def conv2d_forward(backend, x, weight, stride=(1, 1), padding=(0, 0)):
    """y = x * w.  x: (N, C, H, W), weight: (K, C, kh, kw), returns (N, K, H_out, W_out)."""
    if not backend.runs_numpy:
        y = backend.empty(
            (len(x), len(weight), *conv2d_output_size(x.shape[2:], weight.shape[2:], stride, padding)), x.dtype
        )
        conv2d_launch.forward(backend, x, weight, y, stride, padding)
        return y
    out_size = conv2d_output_size(x.shape[2:], weight.shape[2:], stride, padding)
    y = empty((len(weight), *out_size, len(x)), np.result_type(x, weight))
    way = forward_way(weight.shape, stride)
    if way == "winograd":
        winograd_forward(to_batch_last(x), weight, padding, y)
    elif way == "strips":
        strips_forward(to_batch_last(x), weight, padding, y)
    else:
        _forward_all_taps(_pad_batch_last(x, padding), weight, stride, y)
    return from_batch_last(y)


def conv2d_backward_weight(backend, grad_output, x, kernel_size, stride=(1, 1), padding=(0, 0), out=None):
    """dL/dw = G (as K x positions) times the transposed patches.  Returns (K, C, kh, kw).

    out: where a kernel writes it; None for a new array.
    """
    if not backend.runs_numpy:
        shape = (grad_output.shape[1], x.shape[1], *kernel_size)
        grad_weight = backend.empty(shape, x.dtype) if out is None else out
        conv2d_launch.backward_weight(backend, grad_output, x, grad_weight, stride, padding)
        return grad_weight
    K, C = grad_output.shape[1], x.shape[1]
    margin = tuple(k - 1 - p for k, p in zip(kernel_size, padding))
    if stride == (1, 1) and K * kernel_size[0] < C and min(margin) >= 0:
        # x and G have like roles in the sum, but for the sign of (a, b): patches of the one with few channels cost less
        swapped = conv2d_backward_weight(backend, x, grad_output, kernel_size, stride, margin)
        return np.ascontiguousarray(swapped.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
    grad = to_batch_last(grad_output)
    way = weight_way((K, C, *kernel_size), stride)
    if way == "winograd":
        return winograd_backward_weight(grad, to_batch_last(x), kernel_size, padding)
    if way == "row at a time":
        return _backward_weight_by_row(grad, to_batch_last(x), kernel_size, padding)
    return _backward_weight_all_taps(grad, _pad_batch_last(x, padding), kernel_size, stride)


def conv2d_backward_input(backend, grad_output, weight, input_size, stride=(1, 1), padding=(0, 0)):
    """dL/dx: the spread-out, padded G convolved with the flipped filters.  Returns (N, C, *input_size)."""
    if not backend.runs_numpy:
        grad_input = backend.empty((len(grad_output), weight.shape[1], *input_size), grad_output.dtype)
        conv2d_launch.backward_input(backend, grad_output, weight, grad_input, stride, padding)
        return grad_input
    flipped = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    margin = tuple(k - 1 - p for k, p in zip(weight.shape[2:], padding))
    if stride == (1, 1) and min(margin) >= 0:  # nothing to spread, and nothing to cut off
        return conv2d_forward(backend, grad_output, flipped, padding=margin)
    return conv2d_forward(backend, _spread(grad_output, weight.shape[2:], input_size, stride, padding), flipped)


def forward_way(weight_shape: tuple[int, ...], stride: tuple[int, int]) -> str:
    """How the forward pass (and the input gradient) is computed: "winograd", "strips" or "all taps"."""
    if stride != (1, 1):
        return "all taps"
    return "winograd" if winograd_pays(weight_shape) else "strips"


def weight_way(weight_shape: tuple[int, ...], stride: tuple[int, int]) -> str:
    """How the gradient of the weight is computed: "winograd", "row at a time" or "all taps".

    One row at a time copies C kw numbers of x and K kh of G per position: it pays unless K is much the larger one.
    Measured on 5x5 filters with 1 to 128 channels; a stride would throw most of its products away.
    """
    K, C, _, kw = weight_shape
    if stride != (1, 1):
        return "all taps"
    if winograd_pays(weight_shape):
        return "winograd"
    return "row at a time" if C * kw >= K else "all taps"


# All taps at once


def _forward_all_taps(padded, weight, stride, y):
    """Write the convolution of padded (C, H, W, N) into y (K, H_out, W_out, N)."""
    K, _, out_w, N = y.shape
    filters, rows_of_y = weight.reshape(K, -1), y.reshape(K, -1)

    def work(blocks):
        with scratch() as empty:
            for rows, patches in _unfold(padded, weight.shape[2:], stride, blocks, empty):
                np.matmul(filters, patches, out=rows_of_y[:, rows.start * out_w * N : rows.stop * out_w * N])

    run(work, _row_blocks(y.shape, weight[0].size * y.itemsize))


def _backward_weight_all_taps(grad, padded, kernel_size, stride):
    """Each block of rows gives its share of the sum over positions."""
    (K, _, out_w, N), C = grad.shape, len(padded)
    rows_of_grad = grad.reshape(K, -1)
    blocks = _row_blocks(grad.shape, C * kernel_size[0] * kernel_size[1] * padded.itemsize)
    shares = {}

    def work(some_blocks):
        with scratch() as empty:
            for rows, patches in _unfold(padded, kernel_size, stride, some_blocks, empty):
                # The long side first: BLAS is twice as fast for this tall product as for its transpose, the flat one.
                # And np.dot: for products of less than 500 numbers, `@` keeps Python's lock.
                part = rows_of_grad[:, rows.start * out_w * N : rows.stop * out_w * N]
                shares[rows.start] = np.dot(patches, part.T)

    run(work, blocks)
    total = sum(shares[rows.start] for rows in blocks)
    return total.T.reshape(K, C, *kernel_size)


def _row_blocks(y_shape, patch_bytes):
    """Cut the output's rows so that the patches of a block fill _BLOCK_BYTES (but no finer than single rows)."""
    _, out_h, out_w, N = y_shape
    count = max(1, _BLOCK_BYTES // max(1, patch_bytes * out_w * N))
    return [slice(first, min(first + count, out_h)) for first in range(0, out_h, count)]


def _unfold(padded, kernel_size, stride, blocks, empty):
    """Yield (rows of the output, patches (C kh kw, rows * W_out * N)) for each block of rows: im2col.

    The matrix is overwritten when the next one is asked for.
    """
    windows = sliding_window_view(padded, kernel_size, axis=(1, 2))[:, :: stride[0], :: stride[1]]
    windows = windows.transpose(0, 4, 5, 1, 2, 3)  # (C, kh, kw, H_out, W_out, N)
    buffer = None
    for rows in blocks:
        view = windows[:, :, :, rows]
        if buffer is None or buffer.shape != view.shape:
            buffer = empty(view.shape, padded.dtype)
        np.copyto(buffer, view)
        yield rows, buffer.reshape(-1, view[0, 0, 0].size)


# One row at a time


def _backward_weight_by_row(grad, x, kernel_size, padding):
    """dL/dw: the taps that led from an input row to kh rows of the output take those rows of G times its patches."""
    (K, _, out_w, N), C, (kh, kw) = grad.shape, len(x), kernel_size
    dtype = np.result_type(grad, x)
    sums = {}

    def work(blocks):
        for columns in blocks:
            total, product = np.zeros((2, C * kw, K * kh), dtype)
            with scratch() as empty:
                for rows, patches in _unfold_rows(x, columns, kw, padding[1], rows_at_once, empty):
                    with scratch():
                        reached_grad = _reached(grad[:, :, columns], rows, kh, padding[0], empty)
                        total += np.dot(patches.reshape(C * kw, -1), reached_grad.reshape(K * kh, -1).T, out=product)
            sums[columns.start] = total

    rows_at_once, column_blocks = _row_and_column_blocks(x.shape[1], out_w, (C * kw + K * kh) * N * dtype.itemsize)
    run(work, column_blocks)
    total = sum(sums[columns.start] for columns in column_blocks).reshape(C, kw, K, kh)
    return np.ascontiguousarray(total.transpose(2, 0, 3, 1))


def _reached(grad, rows, kh, padding, empty):
    """Rows of grad (K, H_out, columns, N) that these input rows reach by each tap: (K, kh, rows, columns, N)."""
    K, out_h, *rest = grad.shape
    result = empty((K, kh, rows.stop - rows.start, *rest), grad.dtype)
    for a in range(kh):
        reached, used = _rows_reached(rows, padding - a, out_h)
        result[:, a, : used.start] = 0
        result[:, a, used] = grad[:, reached]
        result[:, a, used.stop :] = 0
    return result


def _rows_reached(rows, shift, out_h):
    """Input row u reaches output row u + shift, if there is one: those output rows, and which of `rows` reach them."""
    first = min(max(rows.start + shift, 0), out_h)
    stop = max(first, min(rows.stop + shift, out_h))
    start = min(max(first - shift - rows.start, 0), rows.stop - rows.start)
    return slice(first, stop), slice(start, start + stop - first)


def _unfold_rows(x, columns, kw, padding, rows_at_once, empty):
    """Yield (rows, patches (C, kw, rows, columns, N)) for all rows of x (C, H, W, N): im2col along the rows only."""
    C, H, W, N = x.shape
    count, left = columns.stop - columns.start, columns.start - padding
    first, stop = (min(max(edge, 0), W) for edge in (left, left + count + kw - 1))
    # what these columns see of the rows, with zeros beyond the image
    strip = empty((C, min(rows_at_once, H), count + kw - 1, N), x.dtype)
    strip[...] = 0
    windows = sliding_window_view(strip, count, axis=2).transpose(0, 2, 1, 4, 3)  # (C, kw, rows, columns, N)
    buffer = empty(windows.shape, x.dtype)
    for top in range(0, H, rows_at_once):
        rows = slice(top, min(top + rows_at_once, H))
        used = slice(0, rows.stop - top)
        strip[:, used, first - left : stop - left] = x[:, rows, first:stop]
        np.copyto(buffer[:, :, used], windows[:, :, used])
        yield rows, buffer if used.stop == buffer.shape[2] else np.ascontiguousarray(buffer[:, :, used])


def _row_and_column_blocks(rows, out_w, column_bytes):
    """Rows at once, and blocks of columns: several, so that threads find work, and together about _ROW_BLOCK_BYTES."""
    columns = max(1, min(_ROW_BLOCK_BYTES // max(1, column_bytes), -(-out_w // _COLUMN_BLOCKS)))
    rows_at_once = max(1, min(rows, _ROW_BLOCK_BYTES // max(1, columns * column_bytes)))
    return rows_at_once, [slice(first, min(first + columns, out_w)) for first in range(0, out_w, columns)]


def _pad_batch_last(x, padding):
    """Zero-padded copy of x as (C, H + 2 ph, W + 2 pw, N); without padding no more than a view where x allows it."""
    if padding == (0, 0):
        return to_batch_last(x)
    (ph, pw), (N, C, H, W) = padding, x.shape
    padded = empty((C, H + 2 * ph, W + 2 * pw, N), x.dtype)
    padded[...] = 0
    padded[:, ph : ph + H, pw : pw + W] = x.transpose(1, 2, 3, 0)
    return padded


def _spread(grad_output, kernel_size, input_size, stride, padding):
    """G with stride - 1 zeros between its entries and k - 1 - p around: a convolution then restores `input_size`.

    Entry (i, j) of G goes to row s i + (kh - 1 - ph): negative for a padding wider than the kernel reaches; what falls
    outside belongs to padding that no input entry sees, and is cut off.
    """
    N, K, out_h, out_w = grad_output.shape
    size = [n + k - 1 for n, k in zip(input_size, kernel_size)]
    spread = empty((K, *size, N), grad_output.dtype)
    spread[...] = 0
    target, source = zip(
        *(
            _landing(count, s, k - 1 - p, length)
            for count, s, k, p, length in zip((out_h, out_w), stride, kernel_size, padding, size)
        )
    )
    spread[(slice(None), *target)] = grad_output.transpose(1, 2, 3, 0)[(slice(None), *source)]
    return from_batch_last(spread)


def _landing(count, stride, offset, length):
    """Slices (target, source): which of `count` entries land inside `length` at stride * i + offset, and where."""
    first = max(0, -(offset // stride)) if offset < 0 else 0
    last = min(count - 1, (length - 1 - offset) // stride)
    start = stride * first + offset
    return slice(start, stride * last + offset + 1, stride), slice(first, last + 1)
