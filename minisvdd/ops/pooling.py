"""Max-pooling.

    y[n,c,i,j] = max over (a, b) of x[n,c, s i + a, s j + b]
    dL/dx[u] = sum of G over the windows that u wins            (a window passes its whole gradient to one entry)

Where several entries of a window tie, the first in reading order wins, in forward and in backward: the gradient of a
window is then never counted twice, and any choice among the tied entries is a subgradient.

Windows that reach over the edge see a border of -inf there, which is larger than nothing: pooling with padding is
`pad_forward`, then pooling without. Its adjoint, `pad_backward`, cuts the border off again. With p rows of it above and
below, H rows, and windows of k rows every s rows there are

    P = floor((H + 2 p - k) / s) + 1 windows,     or ceil(...) + 1 (`ceil_mode`), but none that starts below the image.

For 2 p <= k each of them holds an entry of x: the first ends at row k - 1 - p >= 0, the last starts above row H.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..backends.threads import run
from ..backends.types import Blocks, DeviceArray
from ..backends.workspace import empty, scratch
from .layout import channel_blocks, from_batch_last, to_batch_last
from .operation import Operation

if TYPE_CHECKING:
    from ..backends.device import KernelBackend


@Operation
def maxpool_forward(
    x: np.ndarray, kernel_size: tuple[int, int], stride: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """x: (N, C, H, W).  Returns y (N, C, H_out, W_out) and `winner`, the index a * kw + b of each window's maximum."""
    #: every stride-th window, its entries in reading order
    windows = sliding_window_view(x, kernel_size, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    windows = windows.reshape(*windows.shape[:4], -1)
    #: the largest entry of each, and the index of the first that attains it
    return windows.max(axis=-1), windows.argmax(axis=-1)


@Operation
def maxpool_backward(
    grad_output: np.ndarray,
    winner: np.ndarray,
    input_shape: tuple[int, ...],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
) -> np.ndarray:
    """Send each entry of G to the entry of x that won its window.  Returns an array of `input_shape` (N, C, H, W)."""
    (N, C, P, Q), grad_input = grad_output.shape, np.zeros(input_shape, grad_output.dtype)
    #: the winner of window (i, j) lies at row s i + a, column s j + b
    n, c, i, j = np.indices((N, C, P, Q), sparse=True)
    a, b = np.divmod(winner, kernel_size[1])
    #: each window sends its gradient to its winner: add, for windows may overlap
    np.add.at(grad_input, (n, c, stride[0] * i + a, stride[1] * j + b), grad_output)
    return grad_input


Margins = tuple[tuple[int, int], tuple[int, int]]  # (rows above, below), (columns left, right)


def pool_margins(
    size: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    ceil_mode: bool = False,
) -> Margins:
    """The border around an image of that size (rows, columns) in which its windows, and no others, find room.

    Raises ValueError when there is room for none.
    """
    margins = []
    for n, k, s, p in zip(size, kernel_size, stride, padding):
        gaps = n + 2 * p - k + (s - 1 if ceil_mode else 0)
        if gaps < 0:
            raise ValueError(f"kernel_size={kernel_size} is larger than the input {tuple(size)} with padding={padding}")
        last = min(gaps // s, (n + p - 1) // s) * s - p  # the row in which the last window starts
        margins.append((p, max(0, last + k - n)))
    return margins[0], margins[1]


@Operation
def pad_forward(x: np.ndarray, margins: Margins, value: float = -np.inf) -> np.ndarray:
    """x: (N, C, H, W) inside a border of that value.  Returns (N, C, top + H + bottom, left + W + right)."""
    return np.pad(x, ((0, 0), (0, 0), *margins), constant_values=value)


@Operation
def pad_backward(grad_output: np.ndarray, margins: Margins) -> np.ndarray:
    """dL/dx: G without the border."""
    (top, bottom), (left, right) = margins
    P, Q = grad_output.shape[2:]
    return grad_output[:, :, top : P - bottom, left : Q - right].copy()


@maxpool_forward.refuses
def _(x: np.ndarray, kernel_size: tuple[int, int], stride: tuple[int, int], **_: object) -> None:
    """An image that is smaller than a window; a reading may make an empty one of it."""
    pool_margins((x.shape[2], x.shape[3]), kernel_size, stride, (0, 0))


# Fast readings


@maxpool_forward.fast
def _(x: np.ndarray, kernel_size: tuple[int, int], stride: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A later entry takes over only where it is strictly larger. Indices grow, so `winner` is the largest that took
    over: comparisons and maxima of whole arrays, without a branch.
    """
    images = to_batch_last(x)
    (C, _, _, N), (out_h, out_w) = images.shape, _output_size(images, kernel_size, stride)
    y = empty((C, out_h, out_w, N), x.dtype)
    winner = empty(y.shape, np.uint8 if kernel_size[0] * kernel_size[1] <= 256 else np.int32)
    winner[...] = 0

    def work(blocks: Blocks) -> None:
        for block in blocks:
            best, index_of_best = y[block], winner[block]
            with scratch() as take:
                larger = take(best.shape, bool)
                for index, candidate in enumerate(_windows(images[block], kernel_size, stride)):
                    if index == 0:
                        best[...] = candidate
                        continue
                    np.greater(candidate, best, out=larger)
                    np.maximum(candidate, best, out=best)
                    np.maximum(index_of_best, larger * winner.dtype.type(index), out=index_of_best)

    run(work, *channel_blocks(images.reshape(C, -1)))
    return from_batch_last(y), from_batch_last(winner)


@maxpool_backward.fast
def _(
    grad_output: np.ndarray,
    winner: np.ndarray,
    input_shape: tuple[int, ...],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
) -> np.ndarray:
    N, C, H, W = input_shape
    grad, winner = to_batch_last(grad_output), to_batch_last(winner)
    grad_input = empty((C, H, W, N), grad.dtype)
    grad_input[...] = 0
    disjoint = all(s >= k for s, k in zip(stride, kernel_size))  # then nothing needs to be added up

    def work(blocks: Blocks) -> None:
        for block in blocks:
            with scratch() as take:
                won, share = take(grad[block].shape, bool), take(grad[block].shape, grad.dtype)
                for index, target in enumerate(_windows(grad_input[block], kernel_size, stride)):
                    np.equal(winner[block], index, out=won)
                    np.copyto(share, won)  # as 1 and 0
                    np.multiply(share, grad[block], out=target if disjoint else share)
                    if not disjoint:
                        target += share

    run(work, *channel_blocks(grad_input.reshape(C, -1)))
    return from_batch_last(grad_input)


@pad_forward.fast
def _(x: np.ndarray, margins: Margins, value: float = -np.inf) -> np.ndarray:
    images, ((top, bottom), (left, right)) = to_batch_last(x), margins
    C, H, W, N = images.shape
    y = empty((C, top + H + bottom, left + W + right, N), x.dtype)

    def work(blocks: Blocks) -> None:
        for block in blocks:
            y[block] = value
            y[block, top : top + H, left : left + W] = images[block]

    run(work, *channel_blocks(y.reshape(C, -1)))
    return from_batch_last(y)


def _output_size(images: np.ndarray, kernel_size: tuple[int, int], stride: tuple[int, int]) -> tuple[int, int]:
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(images.shape[1:3], kernel_size, stride))
    return rows, columns


def _windows(images: np.ndarray, kernel_size: tuple[int, int], stride: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield, for each position (a, b) inside the window, the view images[:, s i + a, s j + b] over all windows."""
    (kh, kw), (sh, sw) = kernel_size, stride
    out_h, out_w = (images.shape[1] - kh) // sh + 1, (images.shape[2] - kw) // sw + 1
    for a in range(kh):
        for b in range(kw):
            yield images[:, a : a + (out_h - 1) * sh + 1 : sh, b : b + (out_w - 1) * sw + 1 : sw]


# Launches


@maxpool_forward.launch
def _(
    backend: "KernelBackend",
    x: DeviceArray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    rung: str | None = "pairs",
) -> tuple[DeviceArray, DeviceArray]:
    """Rung "pairs": two results per thread."""
    N, C, H, W = x.shape
    (kh, kw), (sh, sw) = kernel_size, stride
    P, Q = (H - kh) // sh + 1, (W - kw) // sw + 1
    y, winner = backend.empty((N, C, P, Q), x.dtype), backend.empty((N, C, P, Q), np.int32)
    args = (backend.dense(x), y, winner, N * C, H, W, P, Q, kh, kw, sh, sw)
    backend.launch("maxpool_forward", args, threads=-(-y.size // 2) if rung == "pairs" else y.size, rung=rung)
    return y, winner


@maxpool_backward.launch
def _(
    backend: "KernelBackend",
    grad_output: DeviceArray,
    winner: DeviceArray,
    input_shape: tuple[int, ...],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    rung: str | None = None,
) -> DeviceArray:
    """Without `rung`, one thread per window where windows do not overlap."""
    N, C, H, W = input_shape
    grad_input = backend.empty(input_shape, grad_output.dtype)
    sizes = (N * C, H, W, *grad_output.shape[2:], *kernel_size, *stride)
    rung = rung or ("pairs" if all(s >= k for s, k in zip(stride, kernel_size)) else "naive")
    threads = N * C * -(-H // stride[0]) * -(-W // stride[1]) if rung != "naive" else grad_input.size
    winner = backend.dense(backend.asarray(winner, np.int32))
    args = (backend.dense(grad_output), winner, grad_input, *sizes)
    backend.launch("maxpool_backward", args, threads=threads, rung=rung)
    return grad_input


@pad_forward.launch
def _(backend: "KernelBackend", x: DeviceArray, margins: Margins, value: float = -np.inf) -> DeviceArray:
    (N, C, H, W), ((top, bottom), (left, right)) = x.shape, margins
    y = backend.empty((N, C, top + H + bottom, left + W + right), x.dtype)
    args = (backend.dense(x), y, value, N * C, H, W, *y.shape[2:], top, left)
    backend.launch("pad_forward", args, threads=y.size)
    return y


@pad_backward.launch
def _(backend: "KernelBackend", grad_output: DeviceArray, margins: Margins) -> DeviceArray:
    (N, C, P, Q), ((top, bottom), (left, right)) = grad_output.shape, margins
    grad_input = backend.empty((N, C, P - top - bottom, Q - left - right), grad_output.dtype)
    args = (backend.dense(grad_output), grad_input, N * C, *grad_input.shape[2:], P, Q, top, left)
    backend.launch("pad_backward", args, threads=grad_input.size)
    return grad_input
