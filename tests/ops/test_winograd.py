"""Winograd's matrices: exact, and good enough in float32. That the convolution is right is in test_conv2d.py."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from minisvdd.backends import NUMPY
from minisvdd.ops.conv2d import conv2d_forward, winograd
from minisvdd.ops.conv2d.winograd import SIZES, cook_toom, winograd_backward_weight, winograd_forward, winograd_pays


@pytest.mark.parametrize(("m", "r"), [(1, 1), (1, 5), (2, 3), (4, 3), (2, 5), (4, 5), (5, 4), (6, 3)])
def test_the_matrices_are_exact(m, r):
    """y_q = sum_s g_s d_{q+s} for all g and d: both sides are bilinear, so the coefficients of g_s d_u must agree."""
    a, g, b = cook_toom(m, r)
    n = m + r - 1
    assert (len(a), len(g), len(b)) == (m, n, n)
    for q, s, u in product(range(m), range(r), range(n)):
        coefficient = sum(a[q][i] * g[i][s] * b[i][u] for i in range(n))
        assert isinstance(coefficient, Fraction)
        assert coefficient == (u == q + s)


def test_the_input_transform_has_entries_near_one():
    for r in SIZES:
        for row in cook_toom(4, r)[2]:
            assert Fraction(1, 2) < max(map(abs, row)) < 2


# channels in, side, channels out: all layers of the paper's networks for which it is chosen
LAYERS = [(16, 16, 32), (32, 16, 16), (32, 8, 64), (64, 8, 32), (32, 16, 64), (64, 16, 32), (64, 8, 128), (128, 8, 64)]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_float32_is_accurate_to_1e_5_on_the_layers_of_the_paper(layer, rng):
    C, side, K = layer
    assert winograd_pays((K, C, 5, 5))
    x, grad = rng.standard_normal((C, side, side, 10)), rng.standard_normal((K, side, side, 10))
    weight = rng.standard_normal((K, C, 5, 5))

    def both(dtype):
        y = np.empty(grad.shape, dtype)
        winograd_forward(x.astype(dtype), weight.astype(dtype), (2, 2), y)
        return y, winograd_backward_weight(grad.astype(dtype), x.astype(dtype), (5, 5), (2, 2))

    for got, exact in zip(both(np.float32), both(np.float64)):
        assert got.dtype == np.float32
        assert np.linalg.norm(got - exact) <= 1e-5 * np.linalg.norm(exact)


def test_complex_numbers_pass_through():
    """The complex step needs that: the transforms are real and linear."""
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 16, 6, 7, 3)), rng.standard_normal((16, 16, 3, 3))
    parts, whole = np.empty((2, 16, 6, 7, 3)), np.empty((16, 6, 7, 3), complex)
    for real, y in zip(x, parts):
        winograd_forward(real, weight, (1, 1), y)
    winograd_forward(x[0] + 1j * x[1], weight, (1, 1), whole)
    np.testing.assert_allclose(whole, parts[0] + 1j * parts[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("out_h", "N"), [(10, 1), (10, 64), (1, 3), (7, 65), (3, 200)])
def test_blocks_are_at_least_two_where_the_output_can_be_cut(out_h, N):
    blocks = winograd._blocks(out_h, N)
    seen = np.zeros((out_h, N), int)
    for rows, images in blocks:
        seen[rows, images] += 1
        assert images.stop - images.start <= 64
    assert (seen == 1).all()
    assert len(blocks) >= 2 or (out_h == 1 and N <= 64)


def test_images_of_all_sizes_do_not_fill_the_memory(rng):
    weight = rng.standard_normal((16, 16, 3, 3)).astype(np.float32)
    for width in range(4, 104):
        conv2d_forward.on(NUMPY)(np.ones((1, 16, 3, width), np.float32), weight)
    assert winograd._row_transforms.cache_info().currsize <= 64
