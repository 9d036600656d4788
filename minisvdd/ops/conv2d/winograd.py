"""Winograd's convolution along the rows of an image: fewer multiplications, by arithmetic on polynomials.

F(m, r) computes m neighbouring outputs of a filter of r taps from n = m + r - 1 inputs with n multiplications, not m r:

    y_q = sum_s g_s d_{q+s}    (q < m)     is     y = A^T [ (G g) * (B^T d) ]      (* entry by entry)

Where the matrices come from (Cook and Toom). A polynomial of degree < n is known from its values at n points. For the
product of g(t) = sum_s g_s t^s and h(t) = sum_q h_q t^q, of degree m + r - 2 = n - 1, that means: evaluate g and h at n
points, multiply the values, interpolate. With V_k the matrix whose rows are (1, p, ..., p^(k-1)) for the points p, and
(0, ..., 0, 1) for the point "infinity" (the leading coefficient),

    g h = V_n^-1 [ (V_r g) * (V_m h) ]

For a fixed g this is a linear map of h, the matrix T(g) with T[u, q] = g_{u-q}. A correlation is its transpose,
y_q = sum_u T[u, q] d_u, and transposing the product of matrices gives

    y = V_m^T [ (V_r g) * (V_n^-T d) ]       so     A^T = V_m^T,    G = V_r,    B^T = V_n^-T

A factor can be moved from a row of B^T to the same row of G; we move powers of two, so that B^T has entries near 1.

The columns of the filter stay as they are: for output row i and each of the n values b,

    M[b, k, i] = sum_{a,c} W[b, k, a, c] V[b, c, i + a]         V = B^T x along the rows,  W = G w along the rows

a matrix product over the kh C numbers (a, c), and y = A^T M. With 5 x 5 filters and m = 4 that takes 10 multiplications
for an output, where the definition takes 25. (Doing the same along the columns leaves 4. But then V and M have four
times the numbers of x and y, not twice; moving them costs what the products save, and rounding errors grow.)

All tiles of a row are transformed by one matrix product: the matrix holds B^T once for every tile, shifted by m, and
without the columns that meet only padding. The gradient of the weight runs the same way backwards: with G_y = dL/dy,

    dL/dM = A G_y,    dL/dW[b, k, a, c] = sum_i dL/dM[b, k, i] V[b, c, i + a],    dL/dw = G^T dL/dW
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ...backends.threads import one_blas_thread, run
from ...backends.types import Shape, Take
from ...backends.workspace import empty, scratch
from ..layout import equal_parts, strided
from . import Pair

Matrix = list[list[Fraction]]

# Small numbers and their inverses, with both signs: powers of them stay near 1, so that little is lost to rounding.
_POINTS = (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2))
_TILE = 4
SIZES = (3, 5)  # filter widths that `winograd_pays` considers: those for which there are points, and a use
_LEAST_CHANNELS = 8
_BATCH = 64  # images of one block


def winograd_pays(weight_shape: Shape) -> bool:
    """For stride 1, whether the products saved, in proportion to K C, outweigh the transforms, in proportion to K + C.

    Measured with 5x5 filters on 3 to 128 channels: from K = C = 16 on it wins, for K or C below 8 it loses.
    """
    K, C, _, kw = weight_shape
    return kw in SIZES and K * C >= _LEAST_CHANNELS * (K + C)


@cache
def cook_toom(m: int, r: int) -> tuple[Matrix, Matrix, Matrix]:
    """A^T (m, n), G (n, r) and B^T (n, n) as lists of rows of exact fractions; n = m + r - 1 <= 8."""
    n = m + r - 1
    points = [Fraction(p) for p in _POINTS[: n - 1]]

    def evaluation(k: int) -> Matrix:
        return [[p**power for power in range(k)] for p in points] + [[Fraction(int(j == k - 1)) for j in range(k)]]

    inverse = _inverse(evaluation(n))
    b_transposed, g = [list(row) for row in zip(*inverse)], evaluation(r)
    for i in range(n):
        scale = Fraction(2) ** round(math.log2(max(abs(entry) for entry in b_transposed[i])))
        b_transposed[i] = [entry / scale for entry in b_transposed[i]]
        g[i] = [entry * scale for entry in g[i]]
    return [list(row) for row in zip(*evaluation(m))], g, b_transposed


def _inverse(matrix: Matrix) -> Matrix:
    """Gauss-Jordan, exact for fractions."""
    n = len(matrix)
    rows = [[*row, *(Fraction(int(i == j)) for j in range(n))] for i, row in enumerate(matrix)]
    for i in range(n):
        pivot = next(k for k in range(i, n) if rows[k][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [entry / rows[i][i] for entry in rows[i]]
        for k in range(n):
            if k != i:
                rows[k] = [a - rows[k][i] * b for a, b in zip(rows[k], rows[i])]
    return [row[n:] for row in rows]


@lru_cache(maxsize=64)  # more shapes than a network has layers; without a bound, images of all sizes would fill memory
def _row_transforms(
    width: int, out_w: int, kw: int, padding: int, dtype: np.dtype[Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """A^T for a whole row (out_w, n tiles), G (n, kw), B^T for a whole row (n tiles, width), and the number of tiles.

    Of the n tiles rows, those of one b stand together, because the products of one b need them together.
    """
    a_transposed, g, b_transposed = (np.array(rows, float) for rows in cook_toom(_TILE, kw))
    n, tiles = len(g), -(-out_w // _TILE)
    into, out = np.zeros((n, tiles, width)), np.zeros((out_w, n, tiles))
    for tile in range(tiles):
        for column in range(n):
            u = _TILE * tile + column - padding
            if 0 <= u < width:
                into[:, tile, u] = b_transposed[:, column]
        for q in range(min(_TILE, out_w - _TILE * tile)):
            out[_TILE * tile + q, :, tile] = a_transposed[q]
    return out.reshape(out_w, -1).astype(dtype), g.astype(dtype), into.reshape(-1, width).astype(dtype), tiles


def winograd_forward(x: np.ndarray, weight: np.ndarray, padding: Pair, y: np.ndarray) -> None:
    """Write the convolution of x (C, H, W, N) with stride 1 into y (K, H_out, W_out, N)."""
    (K, C, kh, kw), (_, out_h, out_w, N) = weight.shape, y.shape
    back, g, _, tiles = _row_transforms(x.shape[2], out_w, kw, padding[1], y.dtype)
    n = len(g)
    filters = empty((n, K, kh * C), y.dtype)
    with one_blas_thread():
        np.matmul(g, weight.transpose(3, 0, 2, 1).reshape(kw, -1), out=filters.reshape(n, -1))

    def work(blocks: Iterator[tuple[slice, slice]]) -> None:
        for rows, images in blocks:
            with scratch() as take:
                V = _transformed(x, rows, images, (kh, kw), padding, out_w, y.dtype, take)
                M = take((K, len(V), n, V.shape[-1]), y.dtype)
                np.matmul(filters, V, out=M.transpose(1, 2, 0, 3))
                np.matmul(back, M.reshape(K, len(V), n * tiles, -1), out=y[:, rows, :, images])

    run(work, _blocks(out_h, N))


def winograd_backward_weight(grad: np.ndarray, x: np.ndarray, kernel_size: Pair, padding: Pair) -> np.ndarray:
    """dL/dw (K, C, kh, kw) from grad (K, H_out, W_out, N) and x (C, H, W, N), stride 1."""
    (K, out_h, out_w, N), C, (kh, kw) = grad.shape, len(x), kernel_size
    dtype = np.result_type(grad, x)
    back, g, _, tiles = _row_transforms(x.shape[2], out_w, kw, padding[1], dtype)
    n, blocks = len(g), _blocks(out_h, N)
    sums: dict[int, np.ndarray] = {}
    spread = np.ascontiguousarray(back.T)

    def work(some_blocks: Iterator[int]) -> None:
        for index in some_blocks:
            rows, images = blocks[index]
            with scratch() as take:
                V = _transformed(x, rows, images, kernel_size, padding, out_w, dtype, take)
                part = grad[:, rows, :, images]
                M = np.matmul(spread, part, out=take((K, len(V), n * tiles, part.shape[-1]), dtype))
                M = M.reshape(K, len(V), n, -1).transpose(1, 2, 3, 0)
                sums[index], share = np.zeros((n, kh * C, K), dtype), take((n, kh * C, K), dtype)
                for V_row, M_row in zip(V, M):
                    sums[index] += np.matmul(V_row, M_row, out=share)

    run(work, range(len(blocks)))
    total = sum((sums[index] for index in range(len(blocks))), np.zeros((), dtype))
    with one_blas_thread():
        return (g.T @ total.reshape(n, -1)).reshape(kw, kh, C, K).transpose(3, 2, 1, 0)


def _transformed(
    x: np.ndarray,
    rows: slice,
    images: slice,
    kernel_size: Pair,
    padding: Pair,
    out_w: int,
    dtype: np.dtype[Any],
    take: Take,
) -> np.ndarray:
    """V for these rows of the output: (rows, n, kh C, tiles images), a view in which the rows overlap."""
    (C, H, W, _), (kh, kw), ph = x.shape, kernel_size, padding[0]
    _, _, into, tiles = _row_transforms(W, out_w, kw, padding[1], dtype)
    n, count, top = len(into) // tiles, rows.stop - rows.start, rows.start - ph
    total, batch = count + kh - 1, images.stop - images.start
    first, stop = (min(max(edge - top, 0), total) for edge in (0, H))  # the rows of V that lie in the image
    part = x[:, top + first : top + stop, :, images].transpose(1, 0, 2, 3)
    V = take((total, C, n, tiles * batch), dtype)
    V[:first] = 0
    V[stop:] = 0
    np.matmul(into, part, out=V[first:stop].reshape(stop - first, C, len(into), batch))
    row, channel, b, column = V.strides
    # (a, c) -> one axis: row i + a begins where the C channels of row i + a - 1 end
    return strided(V, (count, n, kh * C, V.shape[-1]), (row, b, channel, column))


def _blocks(out_h: int, N: int) -> list[tuple[slice, slice]]:
    """(rows, images) of the blocks: an even number of groups of images, or two of rows when the images are few.

    Neighbouring groups of rows would both transform the rows that both see.
    """
    images = equal_parts(N, 2 * -(-N // (2 * _BATCH)) if N >= _BATCH else 1)
    return [(rows, part) for part in images for rows in equal_parts(out_h, 2 if len(images) == 1 else 1)]
