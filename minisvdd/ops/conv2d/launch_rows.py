"""The rung `rows` of the convolution: how `kernels/conv2d_rows.cu` divides a layer's work among blocks and threads.

The kernels are specialised by a struct of sizes. The sizes of the arrays alone determine it, and the number of blocks
over which a weight gradient's sum is split: never the card at hand, since another division rounds in another way.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ...backends.device import KernelBackend
from ...backends.kernel import MAX_SHARED
from ...backends.types import DeviceArray, Shape
from ..reductions import sum_partials

_LEFT = 4  # columns of zeros beside the images: as many as the widest padding
_LARGEST_SIDE = 7  # of a filter: the loops over its taps are unrolled
_SHARED_NUMBERS = MAX_SHARED // 4
_LARGE = 64  # a layer of C K >= 64 pairs of channels keeps the GPU busy with fewer, fuller threads
# Of the weight gradient: blocks, 2 for each multiprocessor of a large GPU, and what a block should have at least:
# positions, or positions times the pairs of channels that it adds up at each.
_BLOCKS, _POSITIONS, _PRODUCTS = 264, 392, 12544


class Layer(NamedTuple):
    """A convolution of stride 1 from C channels of H x W to K of P x Q, with square filters."""

    C: int
    K: int
    H: int
    W: int
    side: int
    padding: int

    @property
    def P(self) -> int:  # noqa: N802
        return self.H + 2 * self.padding - self.side + 1

    @property
    def Q(self) -> int:  # noqa: N802
        return self.W + 2 * self.padding - self.side + 1


class Rows(NamedTuple):
    """The struct of that name in `kernels/conv2d_rows.h`, where its numbers are explained."""

    layer: Layer
    images: int
    tile: int
    rows: int
    columns: int
    filters: int
    groups: int
    shares: int
    chunk: int

    @property
    def owners(self) -> int:
        """Threads of one share and one group of filters."""
        return self.images * (self.tile // self.rows) * _parts(self.layer.Q, self.columns)

    @property
    def threads(self) -> int:
        """In a block."""
        return _round_up(self.owners * self.groups * self.shares, 32)

    @property
    def summed(self) -> int:
        """Numbers in shared memory when its threads' sums meet: of all shares, or of a filter over all positions."""
        filters = self.groups * self.filters
        shares = (self.shares - 1) * self.owners * filters * self.rows * self.columns
        return max(shares, filters * (self.owners + 1))

    def grid(self, N: int) -> tuple[int, int]:
        """Blocks: tiles of all images, parts of the filters."""
        tiles = _parts(N, self.images) * _parts(self.layer.P, self.tile)
        return tiles, _parts(self.layer.K, self.groups * self.filters)

    def __str__(self) -> str:
        return _cpp(self)


class RowsOfWeights(NamedTuple):
    """The same for the weight gradient."""

    layer: Layer
    images: int
    tile: int
    filters: int
    groups: int
    shares: int
    chunk: int

    @property
    def threads(self) -> int:
        """In a block."""
        return _round_up(self.chunk * self.layer.side * self.groups * self.shares, 32)

    @property
    def summed(self) -> int:
        """Numbers in shared memory when its threads' sums meet."""
        return self.shares * self.groups * self.filters * self.chunk * self.layer.side**2

    def grid(self, N: int) -> tuple[int, int, int]:
        """Blocks: splits of the sum, chunks of channels, parts of the filters."""
        layer, tiles = self.layer, _parts(N, self.images) * _parts(self.layer.P, self.tile)
        chunks, parts = _parts(layer.C, self.chunk), _parts(layer.K, self.groups * self.filters)
        positions = min(_POSITIONS, _parts(_PRODUCTS, self.chunk * self.groups * self.filters))
        splits = min(_BLOCKS // (chunks * parts), N * layer.P * layer.Q // positions, tiles)
        return max(1, splits), chunks, parts

    def __str__(self) -> str:
        return _cpp(self)


def _cpp(struct: Rows | RowsOfWeights) -> str:
    layer, *others = struct
    return f"{type(struct).__name__}<{', '.join(map(str, (*layer, *others)))}>"


def _parts(total: int, part: int) -> int:
    return -(-total // part)


def _round_up(n: int, multiple: int) -> int:
    return _parts(n, multiple) * multiple


def even(total: int, most: int) -> int:
    """The length of equal parts of `total`, none longer than `most`."""
    return _parts(total, _parts(total, max(1, most)))


def _divisor(n: int, most: int) -> int:
    """The largest divisor of n that is at most `most`, and at least 1."""
    return max(d for d in range(1, max(1, min(n, most)) + 1) if n % d == 0)


def layer_of(operation: str, sizes: Shape) -> Layer:
    """The convolution of stride 1 that an operation is: the input gradient is one from K to C channels."""
    _, C, H, W, K, P, Q, side, _, _, _, padding, _ = sizes
    if operation == "conv2d_backward_input":
        return Layer(K, C, P, Q, side, side - 1 - padding)
    return Layer(C, K, H, W, side, padding)


def fits(sizes: Shape, dtype: DTypeLike) -> bool:
    """Can the rung compute this convolution and its gradients?  sizes: as the other rungs' kernels take them."""
    *_, kh, kw, sh, sw, ph, pw = sizes
    plain = np.dtype(dtype) == np.float32 and (sh, sw) == (1, 1) and kh == kw <= _LARGEST_SIDE and ph == pw
    if not plain or not 0 <= ph <= _LEFT or not 0 <= kh - 1 - ph <= _LEFT:
        return False
    forward, gradient = (layer_of(f"conv2d_{which}", sizes) for which in ("forward", "backward_input"))
    structs = rows(forward), rows(gradient), rows_of_weights(forward)
    return all(max(_staged(s), s.summed) <= _SHARED_NUMBERS and s.threads <= 1024 for s in structs)


def _check(operation: str, sizes: Shape, dtype: DTypeLike) -> None:
    if not fits(sizes, dtype):
        *_, kh, kw, sh, sw, ph, pw = sizes
        raise ValueError(
            f"{operation}: rung 'rows' needs float32, stride 1, square filters of at most {_LARGEST_SIDE} x "
            f"{_LARGEST_SIDE}, padding of at most {_LEFT} and rows that fit into a block; got {np.dtype(dtype)}, "
            f"stride {(sh, sw)}, filters {(kh, kw)}, padding {(ph, pw)}, images {sizes[2:4]}"
        )


def pays(sizes: Shape) -> bool:
    """Is the rung meant for it: 5 x 5 filters, images of even width? Each layer costs a compilation."""
    _, _, _, W, _, _, Q, kh, *_ = sizes
    return kh == 5 and W % 2 == Q % 2 == 0


def convolve(backend: KernelBackend, operation: str, arrays: tuple[DeviceArray, ...], sizes: Shape) -> None:
    """`conv2d_forward` (x, weight, y) or `conv2d_backward_input` (G, weight, dL/dx)."""
    N = sizes[0]
    _check(operation, sizes, arrays[0].dtype)
    _launch(backend, operation, rows(layer_of(operation, sizes)), N, (*arrays, N))


def moments(
    backend: KernelBackend, x: DeviceArray, weight: DeviceArray, y: DeviceArray, sizes: Shape
) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    """The forward, and for each block the means, the sums of squared deviations and the number of its outputs."""
    _check("conv2d_moments", sizes, x.dtype)
    struct = rows(layer_of("conv2d_moments", sizes))
    blocks, K = struct.grid(len(x))[0], len(weight)
    means, squares = (backend.empty((blocks, K), x.dtype) for _ in range(2))
    counts = backend.empty(blocks, np.int32)
    _launch(backend, "conv2d_moments", struct, len(x), (x, weight, y, means, squares, counts, len(x)))
    return means, squares, counts


def weight_gradient(
    backend: KernelBackend, grad_output: DeviceArray, x: DeviceArray, grad_weight: DeviceArray, sizes: Shape
) -> None:
    """`conv2d_backward_weight`: sums over parts of the positions, and their sum."""
    _check("conv2d_backward_weight", sizes, x.dtype)
    struct, N = rows_of_weights(layer_of("conv2d_backward_weight", sizes)), len(x)
    partials = backend.empty((struct.grid(N)[0], *grad_weight.shape), x.dtype)
    _launch(backend, "conv2d_backward_weight", struct, N, (grad_output, backend.packed(x), partials, N))
    sum_partials(backend, partials, grad_weight, 1.0)


def _launch(
    backend: KernelBackend, operation: str, struct: Rows | RowsOfWeights, N: int, args: tuple[DeviceArray, ...]
) -> None:
    images, second, *others = args
    args = (backend.packed(images), backend.dense(second), *others)
    backend.launch(operation, args, grid=struct.grid(N), block=(struct.threads,), rung="rows", sizes=str(struct))


@cache
def rows(layer: Layer) -> Rows:
    """How blocks and threads share the forward or the input gradient of a layer.

    Large layers: 8 x 8 results in a thread, 64 threads; where few channels come in, 8 x 4 and 128. Small ones: less for
    each of 128 threads, and where filters are few, threads that share the channels. Images of few positions and many
    channels: `_few_positions`.
    """
    C, K = layer.C, layer.K
    if layer.P * layer.Q <= 16 and C >= _LARGE:
        return _few_positions(layer)
    large = C * K >= _LARGE
    columns = 8 if large and layer.Q % 8 == 0 and C > 4 else 4
    filters = K if K <= 4 else 4 if K < 16 else 8
    shares = min(C, 8 if K == 1 else 4) if K <= 4 and not large else 1
    across, parts = _parts(layer.Q, columns), _parts(K, filters)
    groups = min(parts, 4 if C <= 4 or layer.P * across < 16 else 2)
    owners = (64 if columns == 8 or (shares > 1 and K > 1) else 128) // groups
    tile = even(layer.P, owners // across)
    images = max(1, owners // (tile * across)) if tile == layer.P else 1
    row_count = _divisor(tile, 7) if K == 1 and shares > 1 else 1
    chunk = C if C <= 8 else even(C, 8 if K <= 4 else 4)
    struct = Rows(layer, min(images, 8), tile, row_count, columns, filters, groups, shares, chunk)
    while struct.chunk > 1 and _staged(struct) > _SHARED_NUMBERS * 2 // 3:
        struct = struct._replace(chunk=even(C, struct.chunk - 1))
    return struct._replace(shares=min(shares, struct.chunk))


def _few_positions(layer: Layer) -> Rows:
    """Two images in a block, and many threads that share the channels: there is little else to share."""
    filters = min(layer.K, 4)
    groups = min(2, _parts(layer.K, filters))
    struct = Rows(layer, 2, layer.P, 1, 4, filters, groups, 1, 16)
    while _staged(struct) > _SHARED_NUMBERS:
        struct = struct._replace(chunk=struct.chunk // 2)
    most = 1 + _SHARED_NUMBERS // struct._replace(shares=2).summed  # the first share keeps its sums in registers
    return struct._replace(shares=_divisor(struct.chunk, most))


@cache
def rows_of_weights(layer: Layer) -> RowsOfWeights:
    """The same for the weight gradient: as many filters and rows of taps as make a few hundred threads.

    The threads that are left over share the rows of a tile, which is as large as shared memory allows.
    """
    C, K, side, P = layer.C, layer.K, layer.side, layer.P
    chunk = even(C, 8)
    filters = 2 if K <= 8 else 4 if K <= 32 else 8
    groups = min(_parts(K, filters), max(1, 160 // (chunk * side)), 8)
    struct = RowsOfWeights(layer, 1, 1, filters, groups, 1, chunk)
    while _staged(struct) > _SHARED_NUMBERS and (groups > 1 or struct.chunk > 1):
        groups = _parts(groups, 2)
        struct = struct._replace(groups=groups, chunk=even(C, struct.chunk // 2))
    chunk = struct.chunk
    tiles = [struct._replace(tile=t) for t in range(1, P + 1) if P % t == 0]
    tiles += [struct._replace(tile=P, images=n) for n in (2, 4) if P * layer.Q * n <= 128]
    struct = max(
        (s for s in tiles if _staged(s) <= _SHARED_NUMBERS * 2 // 3), key=lambda s: s.images * s.tile, default=struct
    )
    threads = 256 if C * K >= _LARGE else 576
    most = min(16, threads // (chunk * side * groups), _SHARED_NUMBERS // struct.summed)
    shares = _divisor(struct.images * struct.tile, most)
    return struct._replace(shares=shares)


def _staged(struct: Rows | RowsOfWeights) -> int:
    """At least as many numbers as a block has in shared memory while it works: pixels, and weights or gradients.

    How a layer is divided goes by this; when the block's sums meet, they have the same memory: `summed`.
    """
    layer, chunk, filters = struct.layer, struct.chunk, struct.groups * struct.filters
    pitch = 4 * (_parts(_LEFT + layer.W, 4) | 1)
    pixels = chunk * (struct.images * (struct.tile + layer.side - 1) * pitch + 40)
    if isinstance(struct, Rows):
        return pixels + chunk * layer.side**2 * (filters + (4 if struct.filters % 4 == 0 else 0))
    return pixels + filters * (struct.images * struct.tile * _round_up(layer.Q, 4) + 4)
