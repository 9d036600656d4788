"""Convolution: the plain loops, the adjoint, and what makes it a convolution."""

import itertools

import numpy as np
import pytest
import references as ref
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from references import CONV_CASES, draw, scattered, tolerance

from minisvdd.backends import NUMPY, EmulatorBackend
from minisvdd.ops import conv2d
from minisvdd.ops.conv2d import fast, strips, winograd


@pytest.mark.parametrize("case", CONV_CASES, ids=str)
def test_equals_the_plain_loops(case, backend, dtype, rng):
    shape, filters, kernel, stride, padding = case
    x, weight = draw(rng, shape, dtype), draw(rng, (filters, shape[1], *kernel), dtype)
    expected = ref.conv2d_forward(x, weight, stride, padding)
    grad_output = draw(rng, expected.shape, dtype)
    expected_x, expected_weight = ref.conv2d_backward(grad_output, x, weight, stride, padding)

    y = conv2d.conv2d_forward.on(backend)(x, weight, stride, padding)
    grad_x = conv2d.conv2d_backward_input.on(backend)(grad_output, weight, shape[2:], stride, padding)
    grad_weight = conv2d.conv2d_backward_weight.on(backend)(grad_output, x, kernel, stride, padding)
    for got, wanted in ((y, expected), (grad_x, expected_x), (grad_weight, expected_weight)):
        assert got.dtype == dtype
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, **tolerance(dtype))


STRIDE_1 = [
    *(case for case in CONV_CASES if case[3] == (1, 1)),
    ((3, 2, 5, 9), 3, (5, 5), (1, 1), (2, 2)),
    ((2, 3, 6, 3), 1, (2, 5), (1, 1), (0, 1)),
    ((70, 1, 4, 5), 2, (3, 3), (1, 1), (1, 3)),
    ((1, 2, 1, 4), 5, (1, 3), (1, 1), (2, 0)),
]
WAYS = [("winograd", "winograd"), ("strips", "all taps"), ("all taps", "all taps")]


@pytest.mark.parametrize("ways", WAYS, ids=str)
@pytest.mark.parametrize("case", STRIDE_1, ids=str)
def test_every_way_equals_the_plain_loops(case, ways, dtype, rng, monkeypatch):
    """Whatever the number of channels, by which the operation chooses."""
    if "winograd" in ways and case[2][1] not in winograd.SIZES:
        pytest.skip("no Winograd for filters of this width")
    monkeypatch.setattr(fast, "forward_way", lambda *_: ways[0])
    monkeypatch.setattr(fast, "weight_way", lambda *_: ways[1])
    test_equals_the_plain_loops(case, NUMPY, dtype, rng)


def test_the_ways_are_chosen_by_channels_and_stride():
    assert fast.forward_way((64, 32, 5, 5), (1, 1)) == fast.weight_way((64, 32, 5, 5), (1, 1)) == "winograd"
    assert fast.forward_way((64, 32, 4, 4), (1, 1)) == "strips"  # there is no Winograd of width 4
    assert fast.forward_way((8, 1, 5, 5), (1, 1)) == "strips"
    assert fast.weight_way((8, 1, 5, 5), (1, 1)) == "all taps"
    assert fast.forward_way((64, 32, 5, 5), (2, 2)) == fast.weight_way((64, 32, 5, 5), (1, 2)) == "all taps"


@pytest.mark.parametrize("channels", [(1, 8), (8, 1), (16, 32), (32, 3), (64, 128)], ids=str)
def test_float32_is_accurate_to_1e_5(channels, backend, rng):
    """Sizes of the paper's networks: sums of thousands of numbers, in float32, against NumPy's in float64."""
    (C, K), N = channels, 40
    if backend.name == "emulator":
        backend, N = EmulatorBackend(check=False), 2  # the checker's place is at the small sizes
    side = 8 if K * C > 1000 else 16
    x, weight, grad = draw(rng, (N, C, side, side)), draw(rng, (K, C, 5, 5)), draw(rng, (N, K, side, side))

    def all_three(backend, dtype):
        a, b, g = (array.astype(dtype) for array in (x, weight, grad))
        yield conv2d.conv2d_forward.on(backend)(a, b, padding=(2, 2))
        yield conv2d.conv2d_backward_weight.on(backend)(g, a, (5, 5), padding=(2, 2))
        yield conv2d.conv2d_backward_input.on(backend)(g, b, (side, side), padding=(2, 2))

    for got, exact in zip(all_three(backend, np.float32), all_three(NUMPY, np.float64)):
        assert np.linalg.norm(got - exact) <= 1e-5 * np.linalg.norm(exact)


def test_weight_gradient_of_few_filters_on_many_channels(backend, rng):
    """Here the patches are taken from G, and the result is flipped back."""
    x, grad_output = draw(rng, (2, 11, 6, 5)), draw(rng, (2, 2, 5, 4))
    _, expected = ref.conv2d_backward(grad_output, x, np.zeros((2, 11, 4, 4)), (1, 1), (1, 1))
    got = conv2d.conv2d_backward_weight.on(backend)(grad_output, x, (4, 4), padding=(1, 1))
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)


def test_memory_order_does_not_matter(backend, rng):
    x, weight, grad_output = draw(rng, (2, 3, 5, 6)), draw(rng, (4, 3, 3, 3)), draw(rng, (2, 4, 3, 4))
    messy_x, messy_weight, messy_grad = scattered(x), scattered(weight), scattered(grad_output)
    kernel = (3, 3)
    np.testing.assert_allclose(
        conv2d.conv2d_forward.on(backend)(messy_x, messy_weight),
        conv2d.conv2d_forward.on(backend)(x, weight),
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        conv2d.conv2d_backward_weight.on(backend)(messy_grad, messy_x, kernel),
        conv2d.conv2d_backward_weight.on(backend)(grad_output, x, kernel),
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        conv2d.conv2d_backward_input.on(backend)(messy_grad, messy_weight, (5, 6)),
        conv2d.conv2d_backward_input.on(backend)(grad_output, weight, (5, 6)),
        rtol=1e-12,
    )


def test_blocks_of_rows_give_the_same_sums(backend, rng, monkeypatch):
    """However few rows fit into the cache, and also when the last block is a short one."""
    x, weight, grad_output = draw(rng, (2, 3, 9, 6)), draw(rng, (4, 3, 3, 3)), draw(rng, (2, 4, 7, 4))
    whole = (
        conv2d.conv2d_forward.on(backend)(x, weight),
        conv2d.conv2d_backward_weight.on(backend)(grad_output, x, (3, 3)),
    )
    row_bytes = 3 * 9 * 4 * 2 * 8
    for rows, ways in itertools.product((1, 2, 3), WAYS):
        monkeypatch.setattr(fast, "_BLOCK_BYTES", rows * row_bytes)
        monkeypatch.setattr(winograd, "_BATCH", rows)
        monkeypatch.setattr(strips, "_BATCH", rows)
        monkeypatch.setattr(strips, "_BLOCK_BYTES", rows)
        monkeypatch.setattr(fast, "forward_way", lambda *_, way=ways[0]: way)
        monkeypatch.setattr(fast, "weight_way", lambda *_, way=ways[1]: way)
        np.testing.assert_allclose(conv2d.conv2d_forward.on(backend)(x, weight), whole[0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(
            conv2d.conv2d_backward_weight.on(backend)(grad_output, x, (3, 3)), whole[1], rtol=1e-10, atol=1e-12
        )


sizes, small = st.integers(1, 7), st.integers(1, 3)


@settings(max_examples=60)
@given(
    st.tuples(small, small, sizes, sizes), small, st.tuples(small, small), st.tuples(small, small),
    st.tuples(st.integers(0, 4), st.integers(0, 4)),
)  # fmt: skip
def test_both_gradients_are_adjoints(shape, filters, kernel, stride, padding):
    """<A x, y> = <x, A'y>, exact whatever the sizes: once with A = x -> x*w, once with A = w -> x*w."""
    assume(all(n + 2 * p >= k for n, k, p in zip(shape[2:], kernel, padding)))
    rng = np.random.default_rng(0)
    x, weight = draw(rng, shape), draw(rng, (filters, shape[1], *kernel))
    Ax = conv2d.conv2d_forward.on(NUMPY)(x, weight, stride, padding)
    y = draw(rng, Ax.shape)
    left = (Ax * y).sum()
    grad_x = conv2d.conv2d_backward_input.on(NUMPY)(y, weight, shape[2:], stride, padding)
    grad_weight = conv2d.conv2d_backward_weight.on(NUMPY)(y, x, kernel, stride, padding)
    scale = np.linalg.norm(Ax) * np.linalg.norm(y)
    assert abs(left - (x * grad_x).sum()) <= 1e-13 * scale
    assert abs(left - (weight * grad_weight).sum()) <= 1e-13 * scale


def test_shifted_image_gives_shifted_output(backend, rng):
    x, weight = draw(rng, (1, 2, 8, 8)), draw(rng, (3, 2, 3, 3))
    y = conv2d.conv2d_forward.on(backend)(x, weight)
    shifted = conv2d.conv2d_forward.on(backend)(np.roll(x, (1, 2), axis=(2, 3)), weight)
    np.testing.assert_allclose(shifted[:, :, 1:, 2:], y[:, :, :-1, :-2], rtol=1e-12)


def test_permuted_batch_gives_permuted_output(backend, rng):
    x, weight, order = draw(rng, (4, 2, 5, 5)), draw(rng, (3, 2, 3, 3)), [2, 0, 3, 1]
    y = conv2d.conv2d_forward.on(backend)(x, weight)
    np.testing.assert_allclose(conv2d.conv2d_forward.on(backend)(x[order], weight), y[order], rtol=1e-12, atol=1e-13)


def test_kernel_larger_than_the_padded_input_is_refused(backend, rng):
    with pytest.raises(
        ValueError, match=r"kernel_size=\(5, 3\) is larger than the input \(2, 4\) with padding=\(1, 0\)"
    ):
        conv2d.conv2d_output_size((2, 4), (5, 3), (1, 1), (1, 0))
    with pytest.raises(ValueError, match="larger than the input"):
        conv2d.conv2d_forward.on(backend)(draw(rng, (1, 1, 2, 2)), draw(rng, (1, 1, 3, 3)))


SIZES = pytest.mark.parametrize("count", [1, 7, 28])
BATCHES = pytest.mark.parametrize("N", [1, 200, 600])
BYTES = pytest.mark.parametrize("bytes_each", [4, 1000, 10**5, 10**7])


@SIZES
@BATCHES
@BYTES
def test_blocks_of_patches_bound_the_memory(count, N, bytes_each):
    """4 MB and the part of a row that makes blocks equal; the rows of all blocks are the image's, in order."""
    blocks = fast._row_blocks((16, count, 28, N), bytes_each)
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(count))
    _check_lengths([block.stop - block.start for block in blocks], 28 * N * bytes_each, 4 << 20)


@SIZES
@BATCHES
@BYTES
def test_blocks_of_strips_and_images_bound_the_memory(count, N, bytes_each):
    """8 MB and the part of a strip that makes blocks equal; each strip of each image is in one block."""
    seen = np.zeros((count, N), int)
    for columns, images in (blocks := strips._blocks(count, N, bytes_each)):
        seen[columns, images] += 1
        assert images.stop - images.start <= 256
    assert (seen == 1).all()
    lengths = [columns.stop - columns.start for columns, images in blocks if images.start == 0]
    _check_lengths(lengths, min(N, 256) * bytes_each, 8 << 20)


def _check_lengths(lengths, bytes_each, most):
    """Below an eighth of the limit one thread does it all; beyond, two threads get equal shares if they can."""
    count = sum(lengths)
    assert (len(lengths) == 1) == (count * bytes_each <= most // 8 or count == 1)
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) == 1 or (max(lengths) - 1) * bytes_each < most
    assert len(lengths) in (1, count) or len(lengths) % 2 == 0


def test_strips_are_short_from_four_filters_on():
    assert [strips._outputs(K) for K in (1, 3, 4, 64)] == [4, 4, 2, 2]
