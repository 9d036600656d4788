"""Batch norm, leaky ReLU and 2x2 max-pool, fast: the pool first, everything else on a quarter of the numbers.

`Sequential` takes these for windows of 2x2 only.
"""

import numpy as np
from numpy.typing import DTypeLike

from ...backends.threads import run
from ...backends.types import Blocks, Take
from ...backends.workspace import empty, scratch
from ..batchnorm.fast import center_rows, row_products, row_sums
from ..conv2d import Pair
from ..conv2d.fast import forward as conv2d_forward_fast
from ..layout import channel_blocks, from_batch_last, to_batch_last
from . import (
    Affine,
    affine_act_pool_backward,
    encoder_module_forward,
    norm_act_pool_backward,
    norm_act_pool_evaluate,
    norm_act_pool_forward,
)


@encoder_module_forward.fast
def _(
    x: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Pair,
    epsilon: float,
    slope: float,
    window: Pair,
    affine: Affine | None = None,
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
                if affine and (signs := _signs(affine, block)) is not None:
                    centered *= signs[:, None]
                _largest_of_four(centered.reshape(-1, H, W, N), y[block], winner[block])
                y[block] *= _per_image(scale[block])
                _finish(y[block], affine, block, slope)

    run(work, *channel_blocks(rows))
    return h, from_batch_last(y), from_batch_last(winner), mean, variance, scale


@norm_act_pool_forward.fast
def _(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, slope: float, window: Pair, affine: Affine | None = None
) -> tuple[np.ndarray, np.ndarray]:
    images = to_batch_last(x)
    y, winner = _empty_pooled(images, np.uint8)
    _pool_and_norm(images, mean, scale, slope, affine, y, winner)
    return from_batch_last(y), from_batch_last(winner)


@norm_act_pool_evaluate.fast
def _(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, slope: float, window: Pair, affine: Affine | None = None
) -> np.ndarray:
    images = to_batch_last(x)
    (y,) = _empty_pooled(images)
    _pool_and_norm(images, mean, scale, slope, affine, y)
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
                r = scale[block]
                g = _through_activation(grad[block], y[block], slope, _per_image(r), take)  # times r
                result, a, b = grad_input[block], 0 * r, 0 * r
                if not fixed:
                    a = -r * r * (row_products(_rows(grad[block]), _rows(y[block])) / (H * W * N))
                    b = -(row_sums(_rows(g)) / (H * W * N)) - a * mean[block]
                _write_gradient(result, a, images[block], b, g, winner[block], take)

    run(work, *channel_blocks(images.reshape(C, -1)))
    return from_batch_last(grad_input)


@affine_act_pool_backward.fast
def _(
    grad_output: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    winner: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    weight: np.ndarray,
    slope: float,
    window: Pair,
    fixed: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    images, y, winner, grad = map(to_batch_last, (x, y, winner, grad_output))
    C, H, W, N = images.shape
    grad_input = empty(images.shape, np.result_type(grad, images))
    grad_weight, grad_bias = np.empty((2, C), grad_input.dtype)

    def work(blocks: Blocks) -> None:
        for block in blocks:
            with scratch() as take:
                r, gain = scale[block], weight[block] * scale[block]
                g = _through_activation(grad[block], y[block], slope, 1, take)
                x_hat = _at_winners(images[block], winner[block], take)
                x_hat -= _per_image(mean[block])
                x_hat *= _per_image(r)
                grad_weight[block], grad_bias[block] = row_products(_rows(g), _rows(x_hat)), row_sums(_rows(g))
                result, a, b = grad_input[block], 0 * r, 0 * r
                if not fixed:
                    a = -gain * r * (grad_weight[block] / (H * W * N))
                    b = -gain * (grad_bias[block] / (H * W * N)) - a * mean[block]
                g *= _per_image(gain)
                _write_gradient(result, a, images[block], b, g, winner[block], take)

    run(work, *channel_blocks(images.reshape(C, -1)))
    return from_batch_last(grad_input), grad_weight, grad_bias


def _empty_pooled(images: np.ndarray, *dtypes: DTypeLike) -> tuple[np.ndarray, ...]:
    """Arrays (C, H // 2, W // 2, N): one of the dtype of `images`, and one of each of these."""
    C, H, W, N = images.shape
    return tuple(empty((C, H // 2, W // 2, N), dtype) for dtype in (images.dtype, *dtypes))


def _pool_and_norm(
    images: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    slope: float,
    affine: Affine | None,
    y: np.ndarray,
    winner: np.ndarray | None = None,
) -> None:
    """Fill y, and the winners where they are asked for."""

    def work(blocks: Blocks) -> None:
        for block in blocks:
            with scratch() as take:
                source, center = images[block], mean[block]
                if affine and (signs := _signs(affine, block)) is not None:
                    source = np.multiply(source, _per_image(signs), out=take(source.shape, source.dtype))
                    center = signs * center
                _largest_of_four(source, y[block], None if winner is None else winner[block])
                y[block] -= _per_image(center)
                y[block] *= _per_image(scale[block])
                _finish(y[block], affine, block, slope)

    run(work, *channel_blocks(images.reshape(len(images), -1)))


def _signs(affine: Affine, block: slice) -> np.ndarray | None:
    """The sign of w, with which x must be multiplied to rise where z does; None where that is 1 in all channels."""
    weight = affine.weight[block]
    signs = np.sign(weight.real).astype(weight.dtype)
    return None if (signs == 1).all() else signs


def _finish(y: np.ndarray, affine: Affine | None, block: slice, slope: float) -> None:
    """f(|w| y + b), in place: y has the sign of w."""
    if affine:
        weight = affine.weight[block]
        y *= _per_image(np.where(weight.real < 0, -weight, weight))
        y += _per_image(affine.bias[block])
    _leaky_relu(y, slope)


def _through_activation(
    grad: np.ndarray, y: np.ndarray, slope: float, factor: np.ndarray | float, take: Take
) -> np.ndarray:
    """G f' factor, without a branch."""
    g = take(y.shape, grad.dtype)
    np.greater(y, 0, out=g)  # as 1 and 0
    g *= (1 - slope) * factor
    g += slope * factor
    g *= grad
    return g


def _at_winners(images: np.ndarray, winner: np.ndarray, take: Take) -> np.ndarray:
    """The x of every window that won."""
    found, share = (take(winner.shape, images.dtype) for _ in range(2))
    found[...] = 0
    for index, entry in enumerate(_entries(images)):
        np.equal(winner, index, out=share)  # as 1 and 0
        share *= entry
        found += share
    return found


def _write_gradient(
    result: np.ndarray,
    a: np.ndarray,
    images: np.ndarray,
    b: np.ndarray,
    g: np.ndarray,
    winner: np.ndarray,
    take: Take,
) -> None:
    """a x + b everywhere, and + g at the winners.  a, b: (C,)."""
    np.multiply(images, _per_image(a), out=result)
    result += _per_image(b)
    share = take(g.shape, g.dtype)
    for index, target in enumerate(_entries(result)):
        np.equal(winner, index, out=share)  # as 1 and 0
        share *= g
        target += share


def _per_image(values: np.ndarray) -> np.ndarray:
    """(C,) against (C, H, W, N)."""
    return values[:, None, None, None]


def _rows(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


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
