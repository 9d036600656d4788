"""How the convolution kernels of `kernels/conv2d.cu` are started: rung, number of blocks, each block's piece of work.

Every function takes `rung`, the name of a rung; without one it takes the fastest that fits the sizes (`choices`). The
rungs `rows`, `tensor` and `corrected` have kernels, and a division of the work, of their own (`launch_rows`,
`launch_tensor`).
"""

import math
from typing import TypedDict, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from ...backends.device import KernelBackend
from ...backends.kernel import MAX_SHARED
from ...backends.types import DeviceArray, Shape
from ..batchnorm.launch import Moments, channel_moments, merge_moments
from ..reductions import sum_partials
from . import (
    Pair,
    choices,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
    conv2d_output_size,
    launch_rows,
    launch_tensor,
)
from .launch_rows import even

# What kernels/conv2d.h fixes: threads that share a piece's positions, results per thread.
_HALO_THREADS, _HALO_POSITIONS, _HALO_FILTERS = 64, 4, 8
_HALO_SUMS = 64  # numbers of shared memory in which a block adds up statistics, besides what a launch asks for
_MOST_TAPS = 768  # of a filter whose gradient has a thread per tap: for as many a multiprocessor has the registers
_SHARED = 24 * 1024  # bytes that a block should have: several blocks then share a multiprocessor
WANTED_BLOCKS = 512  # enough for every multiprocessor of a large GPU


class _Piece(TypedDict):
    """The halo rung's piece of work.

    args: what the kernel is told of it. groups: of filters, in a block. pieces: how many there are. shared: bytes.
    """

    args: Shape
    groups: int
    pieces: int
    shared: int


class _WeightPiece(TypedDict):
    """The same for the weight gradient.  shares: threads that share the positions of one tap."""

    args: Shape
    grid: Shape
    block: Shape
    shared: int
    shares: int


AnyPiece = TypeVar("AnyPiece", _Piece, _WeightPiece)


@conv2d_forward.launch
def forward(
    backend: KernelBackend,
    x: DeviceArray,
    weight: DeviceArray,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    rung: str | None = None,
) -> DeviceArray:
    y = _empty_output(backend, x, weight, stride, padding)
    sizes = _sizes(x, y, weight.shape[2:], stride, padding)
    piece = _piece(len(x), y.shape[2:], x.shape[1], len(weight), weight.shape[2:], stride, x.itemsize)
    _convolve(backend, "conv2d_forward", (x, weight, y), sizes, y, y.shape[1], piece, rung)
    return y


@conv2d_backward_input.launch
def backward_input(
    backend: KernelBackend,
    grad_output: DeviceArray,
    weight: DeviceArray,
    input_size: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    rung: str | None = None,
) -> DeviceArray:
    """A convolution of stride 1 from K to C channels, of G spread by the stride."""
    N, C = len(grad_output), weight.shape[1]
    grad_input = backend.empty((N, C, *input_size), grad_output.dtype)
    sizes = _sizes(grad_input, grad_output, weight.shape[2:], stride, padding)
    piece = _piece(N, input_size, len(weight), C, weight.shape[2:], (1, 1), grad_input.itemsize)
    _convolve(backend, "conv2d_backward_input", (grad_output, weight, grad_input), sizes, grad_input, C, piece, rung)
    return grad_input


def _empty_output(
    backend: KernelBackend, x: DeviceArray, weight: DeviceArray, stride: Pair, padding: Pair
) -> DeviceArray:
    size = conv2d_output_size(x.shape[2:], weight.shape[2:], stride, padding)
    return backend.empty((len(x), len(weight), *size), x.dtype)


def _convolve(
    backend: KernelBackend,
    operation: str,
    arrays: tuple[DeviceArray, ...],
    sizes: Shape,
    result: DeviceArray,
    filters: int,
    piece: _Piece | None,
    rung: str | None,
) -> None:
    """Start a rung of one of the two operations that compute `filters` results per position."""
    rung = rung or _default(backend, operation, sizes, result.dtype, piece is not None)
    if rung == "rows":
        launch_rows.convolve(backend, operation, arrays, sizes)
        return
    if rung in launch_tensor.RUNGS:
        launch_tensor.convolve(backend, operation, arrays, sizes, rung)
        return
    positions = result.size // filters
    args = (*map(backend.dense, arrays[:2]), result, *sizes)
    if rung == "halo":
        halo = _check_piece(operation, piece)
        grid, block, shared = _halo_geometry(halo, filters)
        backend.launch(operation, (*args, *halo["args"]), grid=grid, block=block, shared=shared, rung=rung)
    elif rung in ("tiled", "register_blocked"):
        tile = 16 if rung == "tiled" else 64
        backend.launch(operation, args, grid=(-(-positions // tile), -(-filters // tile)), rung=rung)
    else:
        backend.launch(operation, args, threads=result.size, rung=rung)


def _default(backend: KernelBackend, operation: str, sizes: Shape, dtype: DTypeLike, halo_fits: bool) -> str:
    """The rung that was the fastest where it was measured, else the highest, of those that fit."""
    rungs = ["naive", "coalesced", "tiled", "register_blocked"]
    if halo_fits:
        rungs.append("halo")
    if launch_rows.pays(sizes) and launch_rows.fits(sizes, dtype):
        rungs.append("rows")
    rungs += launch_tensor.rungs(backend, operation, sizes, dtype)
    return choices.fastest(operation, sizes, rungs)


def forward_moments(
    backend: KernelBackend,
    x: DeviceArray,
    weight: DeviceArray,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    rung: str | None = None,
) -> tuple[DeviceArray, Moments]:
    """The convolution y and the moments of its channels, taken before y leaves the multiprocessors.

    rung: one that can do that: "halo", "rows" and those on tensor cores. Where none fits, one follows the other.
    """
    K = len(weight)
    y = _empty_output(backend, x, weight, stride, padding)
    sizes = _sizes(x, y, weight.shape[2:], stride, padding)
    rung = rung or _default(backend, "conv2d_forward", sizes, x.dtype, False)
    if rung in launch_tensor.RUNGS:
        return y, Moments(*launch_tensor.moments(backend, x, weight, y, sizes, rung), y.size // K)
    if rung == "rows":
        return y, Moments(*launch_rows.moments(backend, x, weight, y, sizes), y.size // K)
    piece = _piece(len(x), y.shape[2:], x.shape[1], K, weight.shape[2:], stride, x.itemsize)
    if piece is None:
        y = forward(backend, x, weight, stride, padding)
        return y, channel_moments(backend, y)
    grid, block, shared = _halo_geometry(piece, K)
    means, squares = (backend.empty((grid[0], K), x.dtype) for _ in range(2))
    counts = backend.empty(grid[0], np.int32)
    arrays = (backend.dense(x), backend.dense(weight), y, means, squares, counts)
    args = (*arrays, *sizes, *piece["args"])
    backend.launch("conv2d_moments", args, grid=grid, block=block, shared=shared, rung="halo")
    return y, Moments(means, squares, counts, y.size // K)


def forward_statistics(
    backend: KernelBackend,
    x: DeviceArray,
    weight: DeviceArray,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    rung: str | None = None,
) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    """The convolution y and its mean and (biased) variance per channel."""
    y, moments = forward_moments(backend, x, weight, stride, padding, rung)
    return y, *merge_moments(backend, moments)


@conv2d_backward_weight.launch
def backward_weight(
    backend: KernelBackend,
    grad_output: DeviceArray,
    x: DeviceArray,
    kernel_size: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    rung: str | None = None,
    out: DeviceArray | None = None,
) -> DeviceArray:
    """out: where the kernel writes; None for a new array."""
    K, C = grad_output.shape[1], x.shape[1]
    grad_weight = backend.empty((K, C, *kernel_size), x.dtype) if out is None else out
    sizes = _sizes(x, grad_output, kernel_size, stride, padding)
    taps, positions = grad_weight[0].size, grad_output.size // K
    piece = _weight_piece(grad_output, C, kernel_size, stride)
    rung = rung or _default(backend, "conv2d_backward_weight", sizes, x.dtype, piece is not None)
    if rung == "rows":
        launch_rows.weight_gradient(backend, grad_output, x, grad_weight, sizes)
        return grad_weight
    if rung in launch_tensor.RUNGS:
        launch_tensor.weight_gradient(backend, grad_output, x, grad_weight, sizes, rung)
        return grad_weight
    inputs = (backend.dense(grad_output), backend.dense(x))
    if rung in ("naive", "coalesced"):
        threads = grad_weight.size * (32 if rung == "coalesced" else 1)
        backend.launch("conv2d_backward_weight", (*inputs, grad_weight, *sizes), threads=threads, rung=rung)
        return grad_weight
    if rung == "halo":
        halo = _check_piece("conv2d_backward_weight", piece)
        grid, block, shared, extra = halo["grid"], halo["block"], halo["shared"], halo["args"]
        count = grid[0] * halo["shares"]
    else:
        tile = 16 if rung == "tiled" else 64
        tiles = -(-taps // tile), -(-K // tile)
        count = max(1, min(WANTED_BLOCKS // math.prod(tiles), positions // 256))
        grid, block, shared, extra = (*tiles, count), (256,), 0, ()
    partials = backend.empty((count, *grad_weight.shape), x.dtype)
    args = (*inputs, partials, *sizes, *extra)
    backend.launch("conv2d_backward_weight", args, grid=grid, block=block, shared=shared, rung=rung)
    sum_partials(backend, partials, grad_weight, 1.0)
    return grad_weight


def _sizes(x: DeviceArray, y: DeviceArray, kernel_size: Pair, stride: Pair, padding: Pair) -> Shape:
    """The list of sizes that all these kernels take: N C H W, K P Q, and the filters' sizes."""
    return (*x.shape, *y.shape[1:], *kernel_size, *stride, *padding)


def _tile(N: int, size: Pair, positions: int) -> tuple[int, int, int]:
    """A piece of the output of about that many positions: whole images where they are small, else rows of one."""
    tile_q = even(size[1], 32)
    tile_p = even(size[0], max(1, positions // tile_q))
    tile_n = min(N, positions // (tile_q * tile_p)) if (tile_p, tile_q) == tuple(size) else 1
    return tile_n, tile_p, tile_q


def _patch(tile: tuple[int, int, int], kernel_size: Pair, stride: Pair) -> int:
    """Numbers of one channel of the input that a piece of the output looks at."""
    return tile[0] * math.prod((t - 1) * s + k for t, s, k in zip(tile[1:], stride, kernel_size))


def _pieces(N: int, size: Pair, tile: tuple[int, int, int]) -> int:
    return math.prod(-(-total // part) for total, part in zip((N, *size), tile))


def _piece(
    N: int, size: Pair, channels: int, filters: int, kernel_size: Pair, stride: Pair, itemsize: int
) -> _Piece | None:
    """The halo rung's piece of work, for `filters` results at each position; None if it exceeds shared memory."""
    tile = _tile(N, size, _HALO_THREADS * _HALO_POSITIONS)
    groups = min(4, -(-filters // _HALO_FILTERS))
    pitch = groups * _HALO_FILTERS + 16 // itemsize
    channel_bytes = itemsize * (_patch(tile, kernel_size, stride) + math.prod(kernel_size) * pitch)
    if channel_bytes > MAX_SHARED - _HALO_SUMS * itemsize:
        return None
    chunk = even(channels, max(1, _SHARED // channel_bytes))
    return {"args": (*tile, chunk), "groups": groups, "pieces": _pieces(N, size, tile), "shared": chunk * channel_bytes}


def _halo_geometry(piece: _Piece, filters: int) -> tuple[Pair, tuple[int], int]:
    grid = piece["pieces"], -(-filters // (piece["groups"] * _HALO_FILTERS))
    return grid, (piece["groups"] * _HALO_THREADS,), piece["shared"]


def _weight_piece(grad_output: DeviceArray, C: int, kernel_size: Pair, stride: Pair) -> _WeightPiece | None:
    """The same for the weight gradient, whose blocks have a thread (or several) per tap; None if that does not fit."""
    (N, K, *size), itemsize, taps = grad_output.shape, grad_output.itemsize, math.prod(kernel_size)
    tile = _tile(N, size, 256)
    positions, patch = math.prod(tile), _patch(tile, kernel_size, stride)
    fixed = positions * (_HALO_FILTERS * itemsize + 16) + -(-positions // 4) * 16
    if taps > _MOST_TAPS or fixed + itemsize * patch > MAX_SHARED:
        return None
    chunk = even(C, max(1, min(128 // taps, (_SHARED - fixed) // (itemsize * patch))))
    shares = max(1, min(128 // (chunk * taps), positions))
    columns, filters, pieces = -(-C // chunk), -(-K // _HALO_FILTERS), _pieces(N, size, tile)
    splits = max(1, min(WANTED_BLOCKS // (columns * filters * shares), pieces))
    return {
        "args": (*tile, chunk, pieces, shares),
        "grid": (splits, columns, filters),
        "block": (-(-chunk * taps * shares // 32) * 32,),
        "shared": fixed + itemsize * chunk * patch,
        "shares": shares,
    }


def _check_piece(operation: str, piece: AnyPiece | None) -> AnyPiece:
    """The piece itself; ValueError where there is none."""
    if piece is None:
        what = "more shared memory or threads than a block has"
        raise ValueError(f"{operation}: rung 'halo' needs {what}; use 'register_blocked'")
    return piece
