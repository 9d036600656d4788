"""The rungs of the convolution that use tensor cores: how `kernels/conv2d_tensor.cu` divides a layer among blocks.

The kernels are specialised by a struct of sizes, which the layer determines, not the size of the batch. Nothing depends
on the card at hand: another division of the work would add up in another order, and so round in another way.
"""

import math
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from ...backends.device import KernelBackend
from ...backends.types import DeviceArray
from ..batchnorm.launch import merge_moments
from . import Pair

#: The rungs by name, and what kernels/tensor_core.h calls their products.
RUNGS = {"tensor": "TF32x3", "corrected": "CORRECTED", "tf32": "TF32"}
_SIDE, _STRIDE, _PADDING = (5, 5), (1, 1), (2, 2)  # of the filters: what the kernels are written for
_DEPTH, _FILTERS = 8, 32  # channels and filters come in groups of so many
_POSITIONS, _WEIGHT_POSITIONS = 128, 64  # the most of a block's piece
_MOST_SHARED = 48 * 1024  # bytes that a block may have
_WEIGHT_BLOCKS = 132  # wanted: one for each multiprocessor of a large GPU
_OPERATIONS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")


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
    def shared(self) -> int:
        """Bytes: pixels and filters, both twice, and what the statistics need."""
        numbers = 2 * (_patch(self.images, self.rows, self.W) + _DEPTH * 5 * _FILTERS) + self.threads
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
        return blocks, max(1, min(_WEIGHT_BLOCKS // blocks, pieces))

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


Sizes = TypeVar("Sizes", Tensor, TensorWeight)


def _free_of_conflicts(n: int) -> int:
    """As in `kernels/conv2d_tensor.h`."""
    return (n + 7) // 16 * 16 + 8


def _patch(images: int, rows: int, W: int) -> int:
    """Numbers of 8 channels of a piece with its margin."""
    return _DEPTH * _free_of_conflicts(images * (rows + 4) * (W + 4) + 4)


def _convolution(C: int, K: int, H: int, W: int, products: str = "TF32x3") -> Tensor | None:
    """How a convolution is divided; None where the sizes do not fit. Few filters: small pieces, so more blocks."""
    if C % _DEPTH or K % _FILTERS or W % 8:
        return None
    rows = [rows for rows in range(1, H + 1) if H % rows == 0 and rows * W % 32 == 0 and rows * W <= _POSITIONS]
    for most in reversed(rows):
        images = max(1, min(_POSITIONS // (H * W), K // 64)) if most == H else 1
        sizes = Tensor(C, K, H, W, images, most, products)
        if sizes.shared <= _MOST_SHARED:
            return sizes
    return None


def _weight_gradient(C: int, K: int, H: int, W: int, products: str = "TF32x3") -> TensorWeight | None:
    if C % _DEPTH or K % _FILTERS or W % 8:
        return None
    groups = 4 if K % 64 == 0 and W <= 16 else 2  # wider rows need registers that 4 groups do not leave
    for rows in range(min(H, _WEIGHT_POSITIONS // W), 0, -1):
        sizes = TensorWeight(C, K, H, W, groups, rows, products)
        if H % rows == 0 and sizes.shared <= _MOST_SHARED:
            return sizes
    return None


def fits(
    backend: KernelBackend,
    operation: str,
    C: int,
    K: int,
    size: Pair,
    kernel_size: Pair,
    stride: Pair = _STRIDE,
    padding: Pair = _PADDING,
    dtype: DTypeLike = np.float32,
) -> bool:
    """Can the rungs of this file run an operation of a layer from C to K channels on images of that size, there?

    operation: conv2d_forward (its fusion with statistics too), conv2d_backward_input or conv2d_backward_weight.
    """
    if operation not in _OPERATIONS:
        raise ValueError(f"operation={operation!r} is unknown; expected one of {list(_OPERATIONS)}")
    kind = tuple(map(tuple, (kernel_size, stride, padding)))
    if kind != (_SIDE, _STRIDE, _PADDING) or np.dtype(dtype) != np.float32 or not backend.has_tf32:
        return False
    if operation == "conv2d_backward_weight":
        return _weight_gradient(C, K, *size) is not None
    return _convolution(*((C, K) if operation == "conv2d_forward" else (K, C)), *size) is not None


def default_rung(backend: KernelBackend) -> str:
    """The rung for layers that fit: float32's accuracy, unless the backend was asked for TF32."""
    return "tf32" if backend.precision == "tf32" else "corrected"


def forward(backend: KernelBackend, x: DeviceArray, weight: DeviceArray, rung: str = "corrected") -> DeviceArray:
    """`conv2d_forward` with stride 1 and padding 2."""
    N, C, H, W = x.shape
    sizes = _required("conv2d_forward", _convolution(C, len(weight), H, W, RUNGS[rung]), x, weight)
    y = backend.empty((N, sizes.K, H, W), x.dtype)
    _launch(backend, "conv2d_forward", sizes, x, weight, False, y)
    return y


def backward_input(
    backend: KernelBackend, grad_output: DeviceArray, weight: DeviceArray, rung: str = "corrected"
) -> DeviceArray:
    """`conv2d_backward_input` with stride 1 and padding 2: a convolution from K to C channels."""
    N, K, H, W = grad_output.shape
    sizes = _convolution(K, weight.shape[1], H, W, RUNGS[rung])
    sizes = _required("conv2d_backward_input", sizes, grad_output, weight)
    grad_input = backend.empty((N, sizes.K, H, W), grad_output.dtype)
    _launch(backend, "conv2d_forward", sizes, grad_output, weight, True, grad_input)
    return grad_input


def forward_statistics(
    backend: KernelBackend, x: DeviceArray, weight: DeviceArray, rung: str = "corrected"
) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    """The convolution, and its mean and (biased) variance per channel, taken while it is still in registers."""
    N, C, H, W = x.shape
    sizes = _required("conv2d_forward", _convolution(C, len(weight), H, W, RUNGS[rung]), x, weight)
    y = backend.empty((N, sizes.K, H, W), x.dtype)
    means, squares = (backend.empty((sizes.pieces(N), sizes.K), x.dtype) for _ in range(2))
    counts = backend.empty(sizes.pieces(N), np.int32)
    _launch(backend, "conv2d_moments", sizes, x, weight, False, y, means, squares, counts)
    return y, *merge_moments(backend, means, squares, counts)


def _launch(
    backend: KernelBackend,
    operation: str,
    sizes: Tensor,
    x: DeviceArray,
    weight: DeviceArray,
    flipped: bool,
    *results: DeviceArray,
) -> None:
    """Lay the filters out for the lanes, then convolve."""
    filters = backend.empty(weight.shape, weight.dtype)
    layout = (backend.dense(weight), filters, sizes.C, sizes.K, flipped)
    backend.launch("conv2d_filters", layout, threads=weight.size)
    backend.launch(
        operation,
        (backend.dense(x), filters, *results, len(x)),
        grid=(sizes.pieces(len(x)) * sizes.blocks_per_piece,),
        block=(sizes.threads,),
        rung="tensor",
        sizes=str(sizes),
    )


def backward_weight(
    backend: KernelBackend,
    grad_output: DeviceArray,
    x: DeviceArray,
    rung: str = "corrected",
    out: DeviceArray | None = None,
) -> DeviceArray:
    """`conv2d_backward_weight` for 5 x 5 filters, stride 1 and padding 2. out: where the kernel writes."""
    (N, C, H, W), K = x.shape, grad_output.shape[1]
    sizes = _weight_gradient(C, K, H, W, RUNGS[rung])
    sizes = _required("conv2d_backward_weight", sizes, grad_output, x)
    grid, taps = sizes.grid(N), math.prod(_SIDE)
    partials = backend.empty((grid[1], taps, K, C), x.dtype)
    grad_weight = backend.empty((K, C, *_SIDE), x.dtype) if out is None else out
    args = (backend.dense(grad_output), backend.dense(x), partials, N)
    backend.launch("conv2d_backward_weight", args, grid=grid, block=(sizes.threads,), rung="tensor", sizes=str(sizes))
    backend.launch("conv2d_sum_taps", (partials, grad_weight, K * C, grid[1]), threads=grad_weight.size)
    return grad_weight


def _required(operation: str, sizes: Sizes | None, *arrays: DeviceArray) -> Sizes:
    """The sizes themselves; ValueError where there are none."""
    if sizes is None:
        shapes = " and ".join(str(array.shape) for array in arrays)
        raise ValueError(
            f"{operation}: rungs {list(RUNGS)} need channels in groups of {_DEPTH} and {_FILTERS}, rows of a multiple "
            f"of 8 pixels and small pieces of them, got {shapes}"
        )
    return sizes
