"""Two-dimensional convolution (cross-correlation, as everybody in the field writes it) and its two gradients.

With input x (N, C, H, W), filters w (K, C, kh, kw), stride s and zero padding p:

    y[n,k,i,j] = sum_{c,a,b}  w[k,c,a,b] * x_pad[n,c, s i + a, s j + b]                                      (forward)

Let G = dL/dy. Each w[k,c,a,b] multiplies x_pad[n,c,s i+a,s j+b] in y[n,k,i,j], hence

    dL/dw[k,c,a,b] = sum_{n,i,j}  G[n,k,i,j] * x_pad[n,c, s i + a, s j + b]                                  (weight)

and each x_pad[n,c,u,v] meets w[k,c,a,b] wherever s i + a = u and s j + b = v:

    dL/dx_pad[n,c,u,v] = sum_{k,a,b}  w[k,c,a,b] * G_s[n,k, u - a, v - b]                                    (input)

where G_s is G with s - 1 zeros put between its entries. That is again a convolution of stride 1: of G_s, padded by
(k - 1 - p), with the filters flipped in space and with their two channel axes exchanged.

Both products run as matrix products over patches: `unfold_by_rows` lays the patches under the filter side by side as
the columns of a matrix (C kh kw, positions), a few rows of the output at a time, so that it stays in the cache.
"""

from collections.abc import Iterator

import numpy as np

from .layout import from_batch_last, to_batch_last

# Bytes of one block of patches: about what a core's second-level cache holds beside the product's other operands.
_BLOCK_BYTES = 1 << 20


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
        _launch(backend, "conv2d_forward", (x, weight, y), x, y, weight.shape[2:], stride, padding)
        return y
    K, _, *kernel_size = weight.shape
    out_h, out_w = conv2d_output_size(x.shape[2:], kernel_size, stride, padding)
    y = np.empty((K, out_h, out_w, len(x)), np.result_type(x, weight))
    filters = weight.reshape(K, -1)
    for rows, patches in unfold_by_rows(x, kernel_size, stride, padding):
        y[:, rows] = (filters @ patches).reshape(K, -1, out_w, len(x))
    return from_batch_last(y)


def conv2d_backward_weight(backend, grad_output, x, kernel_size, stride=(1, 1), padding=(0, 0)):
    """dL/dw = G (as K x positions) times the transposed patches.  Returns (K, C, kh, kw)."""
    if not backend.runs_numpy:
        grad_weight = backend.empty((grad_output.shape[1], x.shape[1], *kernel_size), x.dtype)
        arrays = (grad_output, x, grad_weight)
        _launch(backend, "conv2d_backward_weight", arrays, x, grad_output, kernel_size, stride, padding)
        return grad_weight
    K, C = grad_output.shape[1], x.shape[1]
    grad = to_batch_last(grad_output)
    grad_weight = np.zeros((K, C * kernel_size[0] * kernel_size[1]), np.result_type(grad, x))
    for rows, patches in unfold_by_rows(x, kernel_size, stride, padding):
        grad_weight += grad[:, rows].reshape(K, -1) @ patches.T
    return grad_weight.reshape(K, C, *kernel_size)


def conv2d_backward_input(backend, grad_output, weight, input_size, stride=(1, 1), padding=(0, 0)):
    """dL/dx: the spread-out, padded G convolved with the flipped filters.  Returns (N, C, *input_size)."""
    if not backend.runs_numpy:
        grad_input = backend.empty((len(grad_output), weight.shape[1], *input_size), grad_output.dtype)
        arrays = (grad_output, weight, grad_input)
        _launch(backend, "conv2d_backward_input", arrays, grad_input, grad_output, weight.shape[2:], stride, padding)
        return grad_input
    spread = _spread(grad_output, weight.shape[2:], input_size, stride, padding)
    flipped = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    return conv2d_forward(backend, spread, flipped)


def unfold_by_rows(x, kernel_size, stride, padding) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows of the output, patches (C kh kw, rows * W_out * N)): im2col, block by block.

    The block is overwritten when the next one is asked for: use it or copy it.
    """
    kh, kw = kernel_size
    (stride_h, stride_w), N, C = stride, x.shape[0], x.shape[1]
    out_h, out_w = conv2d_output_size(x.shape[2:], kernel_size, stride, padding)
    padded = _pad_batch_last(x, padding)
    row_bytes = C * kh * kw * out_w * N * padded.itemsize
    block = max(1, min(out_h, _BLOCK_BYTES // max(1, row_bytes)))
    buffer = np.empty((C, kh, kw, block, out_w, N), padded.dtype)
    for first in range(0, out_h, block):
        rows = slice(first, min(first + block, out_h))
        count = rows.stop - rows.start
        patches = buffer if count == block else np.empty((C, kh, kw, count, out_w, N), padded.dtype)
        for a in range(kh):
            top = first * stride_h + a
            row_slice = slice(top, top + (count - 1) * stride_h + 1, stride_h)
            for b in range(kw):
                patches[:, a, b] = padded[:, row_slice, b : b + (out_w - 1) * stride_w + 1 : stride_w]
        yield rows, patches.reshape(C * kh * kw, -1)


def _pad_batch_last(x, padding):
    """Zero-padded copy of x as (C, H + 2 ph, W + 2 pw, N); without padding no more than a view where x allows it."""
    if padding == (0, 0):
        return to_batch_last(x)
    (ph, pw), (N, C, H, W) = padding, x.shape
    padded = np.zeros((C, H + 2 * ph, W + 2 * pw, N), x.dtype)
    padded[:, ph : ph + H, pw : pw + W] = x.transpose(1, 2, 3, 0)
    return padded


def _spread(grad_output, kernel_size, input_size, stride, padding):
    """G with stride - 1 zeros between its entries and k - 1 - p around: a convolution then restores `input_size`.

    Entry (i, j) of G goes to row s i + (kh - 1 - ph): negative for a padding wider than the kernel reaches; what falls
    outside belongs to padding that no input entry sees, and is cut off.
    """
    N, K, out_h, out_w = grad_output.shape
    size = [n + k - 1 for n, k in zip(input_size, kernel_size)]
    spread = np.zeros((K, *size, N), grad_output.dtype)
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


def _launch(backend, operation, arrays, x, y, kernel_size, stride, padding):
    """Start one of the three kernels: they take two arrays, the result, and the same list of sizes."""
    *inputs, result = arrays
    sizes = (*x.shape, *y.shape[1:], *kernel_size, *stride, *padding)
    backend.launch(operation, (*map(backend.dense, inputs), result, *sizes), threads=result.size)
