"""Batch norm, 2x2 max-pool and leaky ReLU in one: what follows every convolution of the paper's encoders.

The paper writes conv -> batch norm -> leaky ReLU -> max-pool. Leaky ReLU and x -> (x - mu) r, r > 0, never decrease, in
floating point too, so the largest of four values stays the largest:

    max_i f((x_i - mu) r)  =  f((max_i x_i - mu) r)        to the last bit

Only the statistics need all of x; the rest is done on a quarter of the numbers, and x_hat is never written.

Backward, with the m values of a channel, p the pooled x_hat and G = dL/dy:

    g = G f'(p) for the winner of each window, 0 for the other three
    dL/dx = r (g - mean(g) - x_hat mean(g x_hat))          (`minisvdd.ops.batchnorm`)

Since x_hat of a winner is p, both means are sums over the pooled arrays, divided by m. With x_hat = (x - mu) r,

    dL/dx = a x + b  everywhere,  and + r g at the winners,      a = -r^2 mean(g x_hat),  b = -r mean(g) - a mu

Where entries of a window tie, the first in reading order wins, as in `minisvdd.ops.pooling`.
"""

import numpy as np

from ..backends.threads import run
from ..backends.workspace import empty, scratch
from .batchnorm import center_rows, row_products, row_sums
from .layout import channel_blocks, from_batch_last, to_batch_last


def norm_pool_forward_batch(x, slope, epsilon):
    """With the statistics of the batch.  x: (N, C, H, W).

    Returns y, the pooled x_hat p and the winners (index 2 a + b in each window), all (N, C, H // 2, W // 2), and
    scale r, mean, variance, each (C,).
    """
    images = to_batch_last(x)
    C, H, W, N = images.shape
    rows = images.reshape(C, -1)
    y, pooled = (empty((C, H // 2, W // 2, N), x.dtype) for _ in range(2))
    winner = empty(y.shape, np.uint8)
    scale, mean, variance = np.empty((3, C), x.dtype)

    def work(blocks):
        for block in blocks:
            with scratch() as empty:
                centered = empty(rows[block].shape, x.dtype)
                scale[block], mean[block], variance[block] = center_rows(rows[block], centered, epsilon)
                _largest_of_four(centered.reshape(-1, H, W, N), pooled[block], winner[block])
                pooled[block] *= scale[block, None, None, None]
                _leaky_relu(pooled[block], slope, y[block])

    run(work, *channel_blocks(rows))
    return *map(from_batch_last, (y, pooled, winner)), scale, mean, variance


def norm_pool_forward(x, mean, scale, slope, training):
    """With given statistics: y, and with `training` also p and the winners."""
    images = to_batch_last(x)
    C, H, W, N = images.shape
    y = empty((C, H // 2, W // 2, N), x.dtype)
    pooled = empty(y.shape, x.dtype) if training else y
    winner = empty(y.shape, np.uint8) if training else None

    def work(blocks):
        for block in blocks:
            _largest_of_four(images[block], pooled[block], winner[block] if training else None)
            pooled[block] -= mean[block, None, None, None]
            pooled[block] *= scale[block, None, None, None]
            _leaky_relu(pooled[block], slope, y[block])

    run(work, *channel_blocks(images.reshape(C, -1)))
    return from_batch_last(y), from_batch_last(pooled), None if winner is None else from_batch_last(winner)


def norm_pool_backward(grad_output, x, pooled, winner, slope, scale, mean=None):
    """dL/dx.  mean: of the batch, or None when the statistics were constants: then dL/dx = r g."""
    images, p, winner, grad = map(to_batch_last, (x, pooled, winner, grad_output))
    C, H, W, N = images.shape
    grad_input = empty(images.shape, np.result_type(grad, images))

    def work(blocks):
        for block in blocks:
            with scratch() as empty:
                r = scale[block, None, None, None]
                g = empty(p[block].shape, grad.dtype)  # times r
                np.greater(p[block], 0, out=g)  # as 1 and 0
                g *= (1 - slope) * r
                g += slope * r
                g *= grad[block]
                result = grad_input[block]
                if mean is None:
                    result[...] = 0
                else:
                    a, b = _through_statistics(g, p[block], scale[block], mean[block], H * W * N)
                    np.multiply(images[block], a[:, None, None, None], out=result)
                    result += b[:, None, None, None]
                share = empty(g.shape, g.dtype)
                for index, target in enumerate(_entries(result)):
                    np.equal(winner[block], index, out=share)  # as 1 and 0
                    share *= g
                    target += share

    run(work, *channel_blocks(images.reshape(C, -1)))
    return from_batch_last(grad_input)


def _through_statistics(g, p, scale, mean, count):
    """a and b of every channel, (C,), from g times r."""
    g, p = g.reshape(len(g), -1), p.reshape(len(p), -1)
    a = -scale * (row_products(g, p) / count)
    return a, -(row_sums(g) / count) - a * mean


def _entries(images):
    """The four entries of all windows, in reading order: views (C, H // 2, W // 2, N)."""
    h, w = images.shape[1] // 2 * 2, images.shape[2] // 2 * 2
    return [images[:, a:h:2, b:w:2] for a in range(2) for b in range(2)]


def _largest_of_four(images, largest, winner=None):
    """Write the maximum of every window, and the index of the first entry that attains it: pairs in a row first."""
    h, w = largest.shape[1:3]
    left, right = images[:, : 2 * h, 0 : 2 * w : 2], images[:, : 2 * h, 1 : 2 * w : 2]
    with scratch() as empty:
        larger = np.maximum(left, right, out=empty(left.shape, images.dtype))
        upper, lower = larger[:, 0::2], larger[:, 1::2]
        np.maximum(upper, lower, out=largest)
        if winner is None:
            return
        entry = empty(left.shape, np.uint8)  # 0 or 1 in the upper row, 2 or 3 in the lower one
        np.greater(right, left, out=entry.view(bool))
        upper_entry, lower_entry = entry[:, 0::2], entry[:, 1::2]
        lower_entry += 2
        is_lower = np.greater(lower, upper, out=empty(largest.shape, bool))
        np.multiply(lower_entry, is_lower, out=winner)
        np.maximum(winner, upper_entry, out=winner)


def _leaky_relu(p, slope, y):
    """y = max(p, slope p), also in place."""
    with scratch() as empty:
        scaled = np.multiply(p, slope, out=empty(p.shape, p.dtype))
        np.maximum(p, scaled, out=y)
