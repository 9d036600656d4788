"""Batch norm, fast: a channel passes through the cache once, not four times, and threads share the channels."""

from functools import lru_cache
from typing import Any

import numpy as np

from ...backends.threads import run
from ...backends.types import Blocks
from ...backends.workspace import empty
from ..layout import channel_blocks, channel_rows, from_channel_rows
from . import batchnorm_backward, batchnorm_forward, batchnorm_forward_batch, inverse_deviation

_PIECE = 4096  # numbers that `row_products` adds up one after the other


@batchnorm_forward.fast
def _(x: np.ndarray, mean: np.ndarray, variance: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    scale = inverse_deviation(variance, epsilon)
    rows = channel_rows(x)
    x_hat = empty(rows.shape, np.result_type(x, mean, scale))

    def work(blocks: Blocks) -> None:
        for block in blocks:
            np.subtract(rows[block], mean[block, None], out=x_hat[block])
            x_hat[block] *= scale[block, None]

    run(work, *channel_blocks(rows))
    return from_channel_rows(x_hat, x.shape), scale


@batchnorm_forward_batch.fast
def _(x: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rows = channel_rows(x)
    x_hat = empty(rows.shape, rows.dtype)
    scale, mean, variance = np.empty((3, len(rows)), x.dtype)

    def work(blocks: Blocks) -> None:
        for block in blocks:
            centered = x_hat[block]
            scale[block], mean[block], variance[block] = center_rows(rows[block], centered, epsilon)
            centered *= scale[block, None]

    run(work, *channel_blocks(rows))
    return from_channel_rows(x_hat, x.shape), scale, mean, variance


@batchnorm_backward.fast
def _(grad_output: np.ndarray, x_hat: np.ndarray, scale: np.ndarray) -> np.ndarray:
    grad, normal = channel_rows(grad_output), channel_rows(x_hat)
    grad_input = empty(grad.shape, np.result_type(grad, normal))

    def work(blocks: Blocks) -> None:
        for block in blocks:
            g, h, result = grad[block], normal[block], grad_input[block]
            mean_g = (row_sums(g) / g.shape[1])[:, None]
            mean_gh = (row_products(g, h) / g.shape[1])[:, None]
            np.multiply(h, -mean_gh, out=result)
            result += g
            result -= mean_g
            result *= scale[block, None]

    run(work, *channel_blocks(grad))
    return from_channel_rows(grad_input, x_hat.shape)


def center_rows(rows: np.ndarray, centered: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write rows - mean into `centered`; returns scale, mean and variance of every row (a channel)."""
    mean = row_sums(rows) / rows.shape[1]
    np.subtract(rows, mean[:, None], out=centered)
    variance = row_products(centered, centered) / rows.shape[1]
    return 1 / np.sqrt(variance + epsilon), mean, variance


def row_sums(rows: np.ndarray) -> np.ndarray:
    """Sum of each row: a product with ones adds faster than np.sum."""
    return np.dot(rows, _ones(rows.shape[1], rows.dtype))  # np.dot, not `@`, which keeps Python's lock here


@lru_cache(maxsize=8)
def _ones(count: int, dtype: np.dtype[Any]) -> np.ndarray:
    return np.ones(count, dtype)


def row_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum of a b along each row (without conjugation, for the complex step).

    einsum does all rows in one call, without Python's lock. It adds up one number after the other, so that rounding
    errors grow with their number: hence pieces.
    """
    whole = a.shape[1] // _PIECE * _PIECE
    pieces = [rows[:, :whole].reshape(len(rows), -1, _PIECE) for rows in (a, b)]
    sums = np.einsum("cpi,cpi->cp", *pieces).sum(axis=1)
    return sums if whole == a.shape[1] else sums + np.einsum("ci,ci->c", a[:, whole:], b[:, whole:])
