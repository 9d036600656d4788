"""The rungs of the convolution that use tensor cores: how `kernels/conv2d_tensor.cu` divides a layer among blocks.

The kernels are specialised by a struct of sizes, which the layer determines, not the size of the batch. Nothing depends
on the card at hand: another division of the work would add up in another order, and so round in another way.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ...backends.device import KernelBackend
from ...backends.kernel import MAX_SHARED
from ...backends.types import DeviceArray, Shape
from . import Pair

#: The rungs by name, and what kernels/tensor_core.h calls their products.
RUNGS = {"tensor": "TF32x3", "corrected": "CORRECTED", "tf32": "TF32"}
_SIDE, _STRIDE, _PADDING = (5, 5), (1, 1), (2, 2)  # of the filters: what the kernels are written for
_DEPTH, _FILTERS = 8, 32  # channels and filters come in groups of so many
_POSITIONS, _WEIGHT_POSITIONS = 128, 64  # the most of a block's piece
_WEIGHT_BLOCKS = 132  # wanted, of 4 groups: one for each multiprocessor of a large GPU; smaller ones share it


class Tensor(NamedTuple):
    """The struct of that name in `kernels/conv2d_tensor.h`: a convolution of C with K channels, and a block's piece."""

    C: int
    K: int
    H: int
    W: int
    images: int
    rows: int
    products: str

    def pieces(self, N: int) -> int:
        """How many the images make."""
        return -(-N // self.images) * (self.H // self.rows)

    @property
    def blocks_per_piece(self) -> int:
        return self.K // _FILTERS

    @property
    def threads(self) -> int:
        return self.images * self.rows * self.W

    @property
    def parts(self) -> int:
        """Of a filter's number: big and rest, or big alone."""
        return 1 if self.products == "TF32" else 2

    @property
    def shared(self) -> int:
        """Bytes: pixels and filters, both twice, and what the statistics need."""
        numbers = 2 * (_patch(self.images, self.rows, self.W) + _DEPTH * 5 * _FILTERS * self.parts) + self.threads
        return 4 * numbers

    def __str__(self) -> str:
        return f"Tensor<{', '.join(map(str, self))}>"


class TensorWeight(NamedTuple):
    """The same for the weight gradient. groups: of 16 filters, in a block."""

    C: int
    K: int
    H: int
    W: int
    groups: int
    rows: int
    products: str

    def grid(self, N: int) -> Pair:
        """Blocks: channels and filters, parts of the batch."""
        blocks, pieces = self.C // _DEPTH * (self.K // (16 * self.groups)), N * (self.H // self.rows)
        return blocks, max(1, min(_WEIGHT_BLOCKS * (4 // self.groups) // blocks, pieces))

    @property
    def threads(self) -> int:
        return 32 * 5 * self.groups

    @property
    def shared(self) -> int:
        """Bytes: pixels and gradients, both twice."""
        gradients = 16 * self.groups * _free_of_conflicts(self.rows * self.W)
        return 4 * 2 * (_patch(1, self.rows, self.W) + gradients)

    def __str__(self) -> str:
        return f"TensorWeight<{', '.join(map(str, self))}>"


def _free_of_conflicts(n: int) -> int:
    """As in `kernels/conv2d_tensor.h`."""
    return (n + 7) // 16 * 16 + 8


def _patch(images: int, rows: int, W: int) -> int:
    """Numbers of 8 channels of a piece with its margin."""
    return _DEPTH * _free_of_conflicts(images * (rows + 4) * (W + 4) + 4)


@cache
def _convolution(C: int, K: int, H: int, W: int, products: str = "TF32x3") -> Tensor | None:
    """How a convolution is divided; None where the sizes do not fit. Few filters: small pieces, so more blocks."""
    if C % _DEPTH or K % _FILTERS or W % 8:
        return None
    rows = [rows for rows in range(1, H + 1) if H % rows == 0 and rows * W % 32 == 0 and rows * W <= _POSITIONS]
    for most in reversed(rows):
        images = max(1, min(_POSITIONS // (H * W), K // _FILTERS)) if most == H else 1
        sizes = Tensor(C, K, H, W, images, most, products)
        if sizes.shared <= MAX_SHARED:
            return sizes
    return None


@cache
def _weight_gradient(C: int, K: int, H: int, W: int, products: str = "TF32x3") -> TensorWeight | None:
    if C % _DEPTH or K % _FILTERS or W % 8:
        return None
    groups = 4 if K % 64 == 0 and W <= 16 else 2  # wider rows need registers that 4 groups do not leave
    for rows in range(min(H, _WEIGHT_POSITIONS // W), 0, -1):
        sizes = TensorWeight(C, K, H, W, groups, rows, products)
        if H % rows == 0 and sizes.shared <= MAX_SHARED:
            return sizes
    return None


def rungs(backend: KernelBackend, operation: str, sizes: Shape, dtype: DTypeLike) -> list[str]:
    """Those of this file that can run it there, with the accuracy that the backend was asked for; the fastest last."""
    if not backend.has_tf32 or not fits(operation, sizes, dtype):
        return []
    return ["tensor", "corrected", *(["tf32"] if backend.precision == "tf32" else [])]


def fits(operation: str, sizes: Shape, dtype: DTypeLike) -> bool:
    """Can the rungs compute it?  sizes: as the other rungs' kernels take them."""
    return np.dtype(dtype) == np.float32 and _division(operation, sizes) is not None


def _division(operation: str, sizes: Shape, products: str = "TF32x3") -> Tensor | TensorWeight | None:
    """How the work is divided; None where the kernels cannot do it. The input gradient is a convolution from K to C."""
    _, C, H, W, K, *_, kh, kw, sh, sw, ph, pw = sizes
    if ((kh, kw), (sh, sw), (ph, pw)) != (_SIDE, _STRIDE, _PADDING):
        return None
    if operation == "conv2d_backward_weight":
        return _weight_gradient(C, K, H, W, products)
    channels = (K, C) if operation == "conv2d_backward_input" else (C, K)
    return _convolution(*channels, H, W, products)


def _required(operation: str, sizes: Shape, dtype: DTypeLike, rung: str) -> Any:
    """`_division`; ValueError where there is none."""
    division = _division(operation, sizes, RUNGS[rung]) if np.dtype(dtype) == np.float32 else None
    if division is None:
        _, C, H, W, K, *_, kh, kw, sh, sw, ph, pw = sizes
        raise ValueError(
            f"{operation}: rung {rung!r} needs float32, 5 x 5 filters, stride 1, padding 2, groups of {_DEPTH} "
            f"channels and {_FILTERS} results, rows of 8, 16, ... pixels that fit into a block; got {np.dtype(dtype)}, "
            f"filters {(kh, kw)}, stride {(sh, sw)}, padding {(ph, pw)}, {C} and {K} channels, images {(H, W)}"
        )
    return division


def convolve(
    backend: KernelBackend, operation: str, arrays: tuple[DeviceArray, ...], sizes: Shape, rung: str = "corrected"
) -> None:
    """`conv2d_forward` (x, weight, y) or `conv2d_backward_input` (G, weight, dL/dx)."""
    division = _required(operation, sizes, arrays[0].dtype, rung)
    images, weight, result = arrays
    flipped = operation == "conv2d_backward_input"
    _launch(backend, "conv2d_forward", division, images, weight, flipped, (result,))


def moments(
    backend: KernelBackend, x: DeviceArray, weight: DeviceArray, y: DeviceArray, sizes: Shape, rung: str = "corrected"
) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    """The forward, and for each piece the means, the sums of squared deviations and the number of its outputs."""
    division = _required("conv2d_moments", sizes, x.dtype, rung)
    pieces, K = division.pieces(len(x)), len(weight)
    means, squares = (backend.empty((pieces, K), x.dtype) for _ in range(2))
    counts = backend.empty(pieces, np.int32)
    _launch(backend, "conv2d_moments", division, x, weight, False, (y, means, squares, counts))
    return means, squares, counts


def _launch(
    backend: KernelBackend,
    operation: str,
    division: Tensor,
    x: DeviceArray,
    weight: DeviceArray,
    flipped: bool,
    results: tuple[DeviceArray, ...],
) -> None:
    """Split the filters and lay them out for the lanes, then convolve."""
    filters = by_lane(backend, weight, division, flipped)
    args = (backend.packed(x), filters, *results, len(x))
    grid, block = (division.pieces(len(x)) * division.blocks_per_piece,), (division.threads,)
    backend.launch(operation, args, grid=grid, block=block, rung="tensor", sizes=str(division))


def by_lane(backend: KernelBackend, weight: DeviceArray, division: Tensor, flipped: bool) -> DeviceArray:
    """The filters as `conv2d_filters` in `kernels/conv2d_tensor.cu` lays them out."""
    filters = backend.empty(weight.size * division.parts, weight.dtype)
    args = (backend.dense(weight), filters, flipped)
    backend.launch("conv2d_filters", args, threads=weight.size, sizes=str(division))
    return filters


def weight_gradient(
    backend: KernelBackend,
    grad_output: DeviceArray,
    x: DeviceArray,
    grad_weight: DeviceArray,
    sizes: Shape,
    rung: str = "corrected",
) -> None:
    """`conv2d_backward_weight`: sums over parts of the batch, and their sum."""
    division = _required("conv2d_backward_weight", sizes, x.dtype, rung)
    grid, filters = division.grid(len(x)), division.C * division.K
    partials = backend.empty((grid[1], math.prod(_SIDE), filters), x.dtype)
    args = (backend.packed(grad_output), backend.packed(x), partials, len(x))
    block = (division.threads,)
    backend.launch("conv2d_backward_weight", args, grid=grid, block=block, rung="tensor", sizes=str(division))
    backend.launch("conv2d_sum_taps", (partials, grad_weight, filters, grid[1]), threads=grad_weight.size)
