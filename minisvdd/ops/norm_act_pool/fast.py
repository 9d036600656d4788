"""Batch norm, leaky ReLU and 2x2 max-pool, fast: the pool first, everything else on a quarter of the numbers.

`Sequential` takes these for windows of 2x2 only.
"""

import numpy as np
from numpy.typing import DTypeLike

from ...backends.threads import run
from ...backends.types import Blocks
from ...backends.workspace import empty, scratch
from ..batchnorm.fast import center_rows, row_products, row_sums
from ..conv2d import Pair
from ..conv2d.fast import forward as conv2d_forward_fast
from ..layout import channel_blocks, from_batch_last, to_batch_last
from . import encoder_module_forward, norm_act_pool_backward, norm_act_pool_evaluate, norm_act_pool_forward


@encoder_module_forward.fast
def _(
    x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Pair, epsilon: float, slope: float, window: Pair
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    h = conv2d_forward_fast(x, weight, stride, padding)
    images = to_batch_last(h)
    C, H, W, N = images.shape
    rows = images.reshape(C, -1)
    y, winner = _empty_pooled(images, np.uint8)
    mean, variance, scale = np.empty((3, C), h.dtype)

    def work(blocks: Blocks) -> None:
        for block in blocks:
            with scratch() as take:
                centered = take(rows[block].shape, h.dtype)
                scale[block], mean[block], variance[block] = center_rows(rows[block], centered, epsilon)
                _largest_of_four(centered.reshape(-1, H, W, N), y[block], winner[block])
                y[block] *= scale[block, None, None, None]
                _leaky_relu(y[block], slope)

    run(work, *channel_blocks(rows))
    return h, from_batch_last(y), from_batch_last(winner), mean, variance, scale


@norm_act_pool_forward.fast
def _(x: np.ndarray, mean: np.ndarray, scale: np.ndarray, slope: float, window: Pair) -> tuple[np.ndarray, np.ndarray]:
    images = to_batch_last(x)
    y, winner = _empty_pooled(images, np.uint8)
    _pool_and_norm(images, mean, scale, slope, y, winner)
    return from_batch_last(y), from_batch_last(winner)


@norm_act_pool_evaluate.fast
def _(x: np.ndarray, mean: np.ndarray, scale: np.ndarray, slope: float, window: Pair) -> np.ndarray:
    images = to_batch_last(x)
    (y,) = _empty_pooled(images)
    _pool_and_norm(images, mean, scale, slope, y)
    return from_batch_last(y)


@norm_act_pool_backward.fast
def _(
    grad_output: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    winner: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    slope: float,
    window: Pair,
    fixed: bool = False,
) -> np.ndarray:
    images, y, winner, grad = map(to_batch_last, (x, y, winner, grad_output))
    C, H, W, N = images.shape
    grad_input = empty(images.shape, np.result_type(grad, images))

    def work(blocks: Blocks) -> None:
        for block in blocks:
            with scratch() as take:
                r = scale[block, None, None, None]
                g = take(y[block].shape, grad.dtype)  # times r
                np.greater(y[block], 0, out=g)  # as 1 and 0
                g *= (1 - slope) * r
                g += slope * r
                g *= grad[block]
                result = grad_input[block]
                if fixed:
                    result[...] = 0
                else:
                    a, b = _through_statistics(g, grad[block], y[block], scale[block], mean[block], H * W * N)
                    np.multiply(images[block], a[:, None, None, None], out=result)
                    result += b[:, None, None, None]
                share = take(g.shape, g.dtype)
                for index, target in enumerate(_entries(result)):
                    np.equal(winner[block], index, out=share)  # as 1 and 0
                    share *= g
                    target += share

    run(work, *channel_blocks(images.reshape(C, -1)))
    return from_batch_last(grad_input)


def _empty_pooled(images: np.ndarray, *dtypes: DTypeLike) -> tuple[np.ndarray, ...]:
    """Arrays (C, H // 2, W // 2, N): one of the dtype of `images`, and one of each of these."""
    C, H, W, N = images.shape
    return tuple(empty((C, H // 2, W // 2, N), dtype) for dtype in (images.dtype, *dtypes))


def _pool_and_norm(
    images: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    slope: float,
    y: np.ndarray,
    winner: np.ndarray | None = None,
) -> None:
    """Fill y, and the winners where they are asked for."""

    def work(blocks: Blocks) -> None:
        for block in blocks:
            _largest_of_four(images[block], y[block], None if winner is None else winner[block])
            y[block] -= mean[block, None, None, None]
            y[block] *= scale[block, None, None, None]
            _leaky_relu(y[block], slope)

    run(work, *channel_blocks(images.reshape(len(images), -1)))


def _through_statistics(
    g: np.ndarray, grad: np.ndarray, y: np.ndarray, scale: np.ndarray, mean: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """a and b of every channel, (C,).  g: times r."""
    g, grad, y = (array.reshape(len(array), -1) for array in (g, grad, y))
    a = -scale * scale * (row_products(grad, y) / count)
    return a, -(row_sums(g) / count) - a * mean


def _entries(images: np.ndarray) -> list[np.ndarray]:
    """The four entries of all windows, in reading order: views (C, H // 2, W // 2, N)."""
    h, w = images.shape[1] // 2 * 2, images.shape[2] // 2 * 2
    return [images[:, a:h:2, b:w:2] for a in range(2) for b in range(2)]


def _largest_of_four(images: np.ndarray, largest: np.ndarray, winner: np.ndarray | None = None) -> None:
    """Write the maximum of every window, and the index of the first entry that attains it: pairs in a row first."""
    h, w = largest.shape[1:3]
    left, right = images[:, : 2 * h, 0 : 2 * w : 2], images[:, : 2 * h, 1 : 2 * w : 2]
    with scratch() as take:
        larger = np.maximum(left, right, out=take(left.shape, images.dtype))
        upper, lower = larger[:, 0::2], larger[:, 1::2]
        np.maximum(upper, lower, out=largest)
        if winner is None:
            return
        entry = take(left.shape, np.uint8)  # 0 or 1 in the upper row, 2 or 3 in the lower one
        np.greater(right, left, out=entry.view(bool))
        upper_entry, lower_entry = entry[:, 0::2], entry[:, 1::2]
        lower_entry += 2
        is_lower = np.greater(lower, upper, out=take(largest.shape, bool))
        np.multiply(lower_entry, is_lower, out=winner)
        np.maximum(winner, upper_entry, out=winner)


def _leaky_relu(p: np.ndarray, slope: float) -> None:
    """max(p, slope p), in place."""
    with scratch() as take:
        scaled = np.multiply(p, slope, out=take(p.shape, p.dtype))
        np.maximum(p, scaled, out=p)
