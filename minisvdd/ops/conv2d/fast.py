"""Convolution, fast: each of its three sums as matrix products.

`conv2d_forward` and `conv2d_backward_weight` choose between

* *all taps at once* (im2col): the patches under the filter become the columns of a matrix (C kh kw, positions), which
  the filters (K, C kh kw) multiply. The plainest way, for every stride; it copies every input number kh kw times.
  For the weight and stride 1, two neighbouring outputs share a patch that is wider: fewer copies.
* *strips*, in `strips.py`: hardly any copies, a few products with zero. For few channels, stride 1, forward.
* *Winograd* along the rows, in `winograd.py`: fewer multiplications. For many channels, stride 1.

Blocks of rows, columns or images keep the copies in the cache and are what the threads share. The input gradient is a
convolution again, with a stride one for each of its phases (`phases.py`).
"""

import numpy as np

from ...backends.threads import run
from ...backends.types import Blocks, Shape, Take
from ...backends.workspace import empty, scratch
from ..layout import block_count, equal_parts, from_batch_last, strided, to_batch_last
from . import Pair, conv2d_backward_input, conv2d_backward_weight, conv2d_forward, conv2d_output_size
from .phases import backward_input_by_phases
from .strips import strips_forward
from .winograd import winograd_backward_weight, winograd_forward, winograd_pays

# Bytes of one block of patches. Smaller ones would stay in the second-level cache, but threads need large pieces.
_BLOCK_BYTES = 1 << 22


@conv2d_forward.fast
def forward(x: np.ndarray, weight: np.ndarray, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> np.ndarray:
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


@conv2d_backward_weight.fast
def backward_weight(
    grad_output: np.ndarray, x: np.ndarray, kernel_size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> np.ndarray:
    grad, images, (K, C) = to_batch_last(grad_output), to_batch_last(x), (grad_output.shape[1], x.shape[1])
    margin = _window_margin(kernel_size, padding)
    if weight_way((K, C, *kernel_size), stride) == "winograd":
        grad_weight = winograd_backward_weight(grad, images, kernel_size, padding)
    elif stride == (1, 1) and K < C and min(margin) >= 0:
        # x and G have like roles in the sum, but for the sign of (a, b): patches of the one with few channels cost less
        swapped = _backward_weight_all_taps(images, _padded(grad, margin), kernel_size, stride)
        grad_weight = swapped.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    else:
        grad_weight = _backward_weight_all_taps(grad, _padded(images, padding), kernel_size, stride)
    return np.ascontiguousarray(grad_weight)


@conv2d_backward_input.fast
def backward_input(
    grad_output: np.ndarray, weight: np.ndarray, input_size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> np.ndarray:
    margin = _window_margin(weight.shape[2:], padding)
    if stride == (1, 1) and min(margin) >= 0:  # the padding of the forward routines does for the window of G
        return forward(grad_output, weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1], padding=margin)
    return backward_input_by_phases(forward, grad_output, weight, input_size, stride, padding)


def _window_margin(kernel_size: Pair, padding: Pair) -> Pair:
    """What to pad G with for the convolution that leads back to the input, or to the weight."""
    rows, columns = (k - 1 - p for k, p in zip(kernel_size, padding))
    return rows, columns


def forward_way(weight_shape: Shape, stride: Pair) -> str:
    """How the forward pass (and the input gradient) is computed: "winograd", "strips" or "all taps"."""
    if stride != (1, 1):
        return "all taps"
    return "winograd" if winograd_pays(weight_shape) else "strips"


def weight_way(weight_shape: Shape, stride: Pair) -> str:
    """How the gradient of the weight is computed: "winograd" or "all taps"."""
    return "winograd" if stride == (1, 1) and winograd_pays(weight_shape) else "all taps"


# All taps at once


def _forward_all_taps(padded: np.ndarray, weight: np.ndarray, stride: Pair, y: np.ndarray) -> None:
    """Write the convolution of padded (C, H, W, N) into y (K, H_out, W_out, N)."""
    K, _, out_w, N = y.shape
    filters, rows_of_y = weight.reshape(K, -1), y.reshape(K, -1)

    def work(blocks: Blocks) -> None:
        for rows in blocks:
            with scratch() as take:
                patches = _unfold(padded, rows, weight.shape[2:], stride, take)
                np.matmul(filters, patches, out=rows_of_y[:, rows.start * out_w * N : rows.stop * out_w * N])

    run(work, _row_blocks(y.shape, weight[0].size * y.itemsize))


def _backward_weight_all_taps(grad: np.ndarray, padded: np.ndarray, kernel_size: Pair, stride: Pair) -> np.ndarray:
    """Each block of rows gives its share of the sum over positions.

    With stride 1, two neighbouring outputs have one patch that is wider, as in `strips.py`: fewer copies and a larger
    product, in which some sums are of no use.
    """
    (K, _, out_w, N), C, (kh, kw) = grad.shape, len(padded), kernel_size
    outputs = _outputs_of_patch(out_w, stride)
    width, strips = outputs + kw - 1, out_w // outputs
    by_output = grad.reshape(K, len(grad[0]), strips, outputs, N).transpose(0, 3, 1, 2, 4)
    blocks = _row_blocks((K, len(grad[0]), strips, N), C * kh * width * padded.itemsize)
    shares: dict[int, np.ndarray] = {}

    def work(some_blocks: Blocks) -> None:
        for rows in some_blocks:
            with scratch() as take:
                patches = _unfold(padded, rows, (kh, width), (stride[0], stride[1] * outputs), take)
                part = by_output[:, :, rows]
                if outputs > 1:
                    copy = take(part.shape, part.dtype)
                    np.copyto(copy, part)
                    part = copy
                # The long side first: BLAS is twice as fast for this tall product as for its transpose, the flat one.
                # And np.dot: for products of less than 500 numbers, `@` keeps Python's lock.
                shares[rows.start] = np.dot(patches, part.reshape(K * outputs, -1).T)

    run(work, blocks)
    zero = np.zeros((), np.result_type(grad, padded))
    total = sum((shares[rows.start] for rows in blocks), zero).reshape(C, kh, width, K, outputs)
    # tap b of output q lies in column b + q of the strip
    return sum((total[:, :, q : q + kw, :, q] for q in range(outputs)), zero).transpose(3, 0, 1, 2)


def _outputs_of_patch(out_w: int, stride: Pair) -> int:
    """Four were no faster than two, measured with 5x5 filters on 1 to 32 channels."""
    return 2 if stride == (1, 1) and out_w % 2 == 0 else 1


def _row_blocks(y_shape: Shape, patch_bytes: int) -> list[slice]:
    """Cut the output's rows so that the patches of a block fill _BLOCK_BYTES (but no finer than single rows)."""
    _, out_h, out_w, N = y_shape
    return equal_parts(out_h, block_count(out_h * out_w * N * patch_bytes, _BLOCK_BYTES))


def _unfold(padded: np.ndarray, rows: slice, kernel_size: Pair, stride: Pair, take: Take) -> np.ndarray:
    """Patches under the filter for these rows of the output, (C kh kw, rows W_out N), of (C, H, W, N): im2col."""
    (C, _, width, N), (kh, kw), count = padded.shape, kernel_size, rows.stop - rows.start
    channel, row, column, image = padded.strides
    shape = C, kh, kw, count, (width - kw) // stride[1] + 1, N
    strides = channel, row, column, stride[0] * row, stride[1] * column, image
    patches = take(shape, padded.dtype)
    np.copyto(patches, strided(padded, shape, strides, stride[0] * row * rows.start))
    return patches.reshape(C * kh * kw, -1)


def _padded(x: np.ndarray, padding: Pair) -> np.ndarray:
    """x (C, H, W, N) with zeros around, (C, H + 2 ph, W + 2 pw, N); x itself without padding."""
    if padding == (0, 0):
        return x
    (ph, pw), (C, H, W, N) = padding, x.shape
    padded = empty((C, H + 2 * ph, W + 2 * pw, N), x.dtype)
    padded[:, :ph] = padded[:, ph + H :] = 0
    padded[:, :, :pw] = padded[:, :, pw + W :] = 0
    padded[:, ph : ph + H, pw : pw + W] = x
    return padded
