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
  For the weight and stride 1, up to four neighbouring outputs share a patch that is wider: fewer copies.
* *strips*, in `minisvdd.ops.conv2d.strips`: hardly any copies, a few products with zero. For few channels, stride 1.
* *Winograd* along the rows, in `minisvdd.ops.conv2d.winograd`: fewer multiplications. For many channels, stride 1.
* *one row at a time*, for the weight: only the kw neighbours within a row are laid out, (C kw, W_out N). Multiplied by
  the rows of G that they reach, (K kh, W_out N), they give their share of all taps. It copies kh times less.

Blocks of rows, columns or images keep the copies in the cache and are what the threads share.
"""

from functools import partial

import numpy as np

from ...backends.threads import run
from ...backends.workspace import empty, scratch
from ..layout import block_count, equal_parts, from_batch_last, overlap, strided, to_batch_last
from . import launch as conv2d_launch
from .phases import backward_input_by_phases
from .strips import strips_forward
from .winograd import winograd_backward_weight, winograd_forward, winograd_pays

# Bytes of one block of patches. Smaller ones would stay in the second-level cache, but threads need large pieces.
_BLOCK_BYTES = 1 << 22
_COLUMN_BLOCK_BYTES = 1 << 23  # one row at a time: patches and the rows of G together
_BATCH = 256  # images of one of these blocks


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
        _forward_all_taps(_padded(to_batch_last(x), padding), weight, stride, y)
    return from_batch_last(y)


def conv2d_backward_weight(
    backend, grad_output, x, kernel_size, stride=(1, 1), padding=(0, 0), out=None, deferred=None
):
    """dL/dw = G (as K x positions) times the transposed patches.  Returns (K, C, kh, kw).

    out: where a kernel writes it; None for a new array.
    deferred: of `minisvdd.backends.threads.deferring`: the NumPy lines may fill the array later.
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
        swapped = conv2d_backward_weight(backend, x, grad_output, kernel_size, stride, margin, deferred=deferred)
        return swapped.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    grad, x = to_batch_last(grad_output), to_batch_last(x)
    grad_weight = np.empty((K, C, *kernel_size), np.result_type(grad, x))
    way = weight_way(grad_weight.shape, stride)
    if way == "winograd":
        work, blocks, add_up = winograd_backward_weight(grad, x, kernel_size, padding)
    elif way == "row at a time":
        work, blocks, add_up = _backward_weight_by_row(grad, x, kernel_size, padding)
    else:
        work, blocks, add_up = _backward_weight_all_taps(grad, _padded(x, padding), kernel_size, stride)
    if deferred is None:
        run(work, blocks)
        grad_weight[...] = add_up()
    else:
        deferred.run(work, blocks, lambda: np.copyto(grad_weight, add_up()))
    return grad_weight


def conv2d_backward_input(backend, grad_output, weight, input_size, stride=(1, 1), padding=(0, 0)):
    """dL/dx: G convolved with the flipped filters, phase by phase of the stride.  Returns (N, C, *input_size).

    `minisvdd.ops.conv2d.phases` has the derivation for strides.
    """
    if not backend.runs_numpy:
        grad_input = backend.empty((len(grad_output), weight.shape[1], *input_size), grad_output.dtype)
        conv2d_launch.backward_input(backend, grad_output, weight, grad_input, stride, padding)
        return grad_input
    margin = tuple(k - 1 - p for k, p in zip(weight.shape[2:], padding))
    if stride == (1, 1) and min(margin) >= 0:  # the padding of the forward routines does for the window of G
        return conv2d_forward(backend, grad_output, weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1], padding=margin)
    convolve = partial(conv2d_forward, backend)
    return backward_input_by_phases(convolve, grad_output, weight, input_size, stride, padding)


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
        for rows in blocks:
            with scratch() as empty:
                patches = _unfold(padded, rows, weight.shape[2:], stride, empty)
                np.matmul(filters, patches, out=rows_of_y[:, rows.start * out_w * N : rows.stop * out_w * N])

    run(work, _row_blocks(y.shape, weight[0].size * y.itemsize))


def _backward_weight_all_taps(grad, padded, kernel_size, stride):
    """Each block of rows gives its share of the sum over positions.

    With stride 1, several neighbouring outputs have one patch that is wider, as in `minisvdd.ops.conv2d.strips`: fewer
    copies and a larger product, in which some sums are of no use.

    Returns (work, blocks): what `minisvdd.backends.threads.run` takes, and add_up(), which gives dL/dw afterwards.
    """
    (K, _, out_w, N), C, (kh, kw) = grad.shape, len(padded), kernel_size
    outputs = _outputs_at_once(K, out_w) if stride == (1, 1) else 1
    width, strips = outputs + kw - 1, out_w // outputs
    by_output = grad.reshape(K, -1, strips, outputs, N).transpose(0, 3, 1, 2, 4)
    blocks = _row_blocks((K, len(grad[0]), strips, N), C * kh * width * padded.itemsize)
    shares = {}

    def work(some_blocks):
        for rows in some_blocks:
            with scratch() as empty:
                patches = _unfold(padded, rows, (kh, width), (stride[0], stride[1] * outputs), empty)
                part = by_output[:, :, rows]
                if outputs > 1:
                    copy = empty(part.shape, part.dtype)
                    np.copyto(copy, part)
                    part = copy
                # The long side first: BLAS is twice as fast for this tall product as for its transpose, the flat one.
                # And np.dot: for products of less than 500 numbers, `@` keeps Python's lock.
                shares[rows.start] = np.dot(patches, part.reshape(K * outputs, -1).T)

    def add_up():
        total = sum(shares[rows.start] for rows in blocks).reshape(C, kh, width, K, outputs)
        # tap b of output q lies in column b + q of the strip
        return sum(total[:, :, q : q + kw, :, q] for q in range(outputs)).transpose(3, 0, 1, 2)

    return work, blocks, add_up


def _outputs_at_once(K, out_w):
    """Measured with 5x5 filters and 8 to 32 of them: up to 64 numbers of G at once pay."""
    return next(q for q in (4, 2, 1) if q == 1 or (q * K <= 64 and out_w % q == 0))


def _row_blocks(y_shape, patch_bytes):
    """Cut the output's rows so that the patches of a block fill _BLOCK_BYTES (but no finer than single rows)."""
    _, out_h, out_w, N = y_shape
    return equal_parts(out_h, block_count(out_h * out_w * N * patch_bytes, _BLOCK_BYTES))


def _unfold(padded, rows, kernel_size, stride, empty):
    """Patches under the filter for these rows of the output, (C kh kw, rows W_out N), of (C, H, W, N): im2col."""
    (C, _, width, N), (kh, kw), count = padded.shape, kernel_size, rows.stop - rows.start
    channel, row, column, image = padded.strides
    shape = C, kh, kw, count, (width - kw) // stride[1] + 1, N
    strides = channel, row, column, stride[0] * row, stride[1] * column, image
    patches = empty(shape, padded.dtype)
    np.copyto(patches, strided(padded, shape, strides, stride[0] * row * rows.start))
    return patches.reshape(C * kh * kw, -1)


def _padded(x, padding):
    """x (C, H, W, N) with zeros around, (C, H + 2 ph, W + 2 pw, N); x itself without padding."""
    if padding == (0, 0):
        return x
    (ph, pw), (C, H, W, N) = padding, x.shape
    padded = empty((C, H + 2 * ph, W + 2 * pw, N), x.dtype)
    padded[:, :ph] = padded[:, ph + H :] = 0
    padded[:, :, :pw] = padded[:, :, pw + W :] = 0
    padded[:, ph : ph + H, pw : pw + W] = x
    return padded


# One row at a time


def _backward_weight_by_row(grad, x, kernel_size, padding):
    """The taps that led from an input row to kh rows of the output take those rows of G times its patches.

    Returns (work, blocks): what `minisvdd.backends.threads.run` takes, and add_up(), which gives dL/dw afterwards.
    """
    (K, _, out_w, N), (C, H, _, _), (kh, kw) = grad.shape, x.shape, kernel_size
    blocks = _column_blocks(out_w, N, (C * kw + K * kh) * H * x.itemsize)
    shares = {}

    def work(some_blocks):
        for index in some_blocks:
            columns, images = blocks[index]
            with scratch() as empty:
                patches = _unfold_rows(x[..., images], columns, kw, padding[1], empty)
                reached = _reached(grad[:, :, columns, images], H, kh, padding[0], empty)
                shares[index] = np.dot(patches, reached.T)

    def add_up():
        return sum(shares[index] for index in range(len(blocks))).reshape(C, kw, K, kh).transpose(2, 0, 3, 1)

    return work, range(len(blocks)), add_up


def _column_blocks(out_w, N, bytes_each):
    """(columns, images) of the blocks."""
    images = equal_parts(N, -(-N // _BATCH))
    parts = block_count(out_w * min(N, _BATCH) * bytes_each, _COLUMN_BLOCK_BYTES)
    return [(columns, part) for part in images for columns in equal_parts(out_w, parts)]


def _unfold_rows(x, columns, kw, padding, empty):
    """im2col along the rows of x (C, H, W, N) only, for these columns of the output: (C kw, H columns N)."""
    (C, H, W, N), count, left = x.shape, columns.stop - columns.start, columns.start - padding
    inside, seen = overlap(left, left + count + kw - 1, W)
    strip = empty((C, H, count + kw - 1, N), x.dtype)  # what these columns see of the rows, zeros beyond the image
    strip[:, :, : inside.start] = strip[:, :, inside.stop :] = 0
    strip[:, :, inside] = x[:, :, seen]
    channel, row, column, image = strip.strides
    patches = empty((C, kw, H, count, N), x.dtype)
    np.copyto(patches, strided(strip, patches.shape, (channel, column, row, column, image)))
    return patches.reshape(C * kw, -1)


def _reached(grad, H, kh, padding, empty):
    """Row u + padding - a of grad (K, H_out, columns, N), or zeros, for tap a and input row u: (K kh, H columns N)."""
    K, out_h, *rest = grad.shape
    first = padding - (kh - 1)
    inside, seen = overlap(first, first + H + kh - 1, out_h)
    rows = empty((K, H + kh - 1, *rest), grad.dtype)
    rows[:, : inside.start] = rows[:, inside.stop :] = 0
    rows[:, inside] = grad[:, seen]
    channel, row, column, image = rows.strides
    reached = empty((K, kh, H, *rest), grad.dtype)
    np.copyto(reached, strided(rows, reached.shape, (channel, -row, row, column, image), (kh - 1) * row))
    return reached.reshape(K * kh, -1)
