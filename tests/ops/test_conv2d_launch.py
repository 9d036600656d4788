"""How convolution kernels are cut into pieces: everything once, within the shared memory and threads of a block."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisvdd.ops.conv2d import launch

pairs = st.tuples(st.integers(1, 7), st.integers(1, 7))
sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))


def parts(total, length):
    return -(-total // length)


def test_the_input_under_a_piece():
    """Rows and columns of the input that 2 x 3 x 5 outputs look at, by hand."""
    assert launch._patch((2, 3, 5), (5, 5), (1, 1)) == 2 * 7 * 9
    assert launch._patch((2, 3, 5), (3, 1), (2, 4)) == 2 * 7 * 17
    assert launch._patch((1, 1, 1), (4, 6), (9, 9)) == 4 * 6


@settings(max_examples=200)
@given(N=st.integers(1, 300), size=sizes, positions=st.sampled_from([256, 64]))
def test_tiles_are_whole_small_images_or_rows_of_one(N, size, positions):
    tile_n, *tile = launch._tile(N, size, positions)
    assert tile_n * math.prod(tile) <= positions
    assert all(1 <= part <= whole for part, whole in zip((tile_n, *tile), (N, *size)))
    assert tile_n == 1 or tuple(tile) == size
    if math.prod(size) <= positions and size[1] <= 32:
        assert tuple(tile) == size
        assert tile_n == N or (tile_n + 1) * math.prod(size) > positions, "as many images as fit"
    assert launch._pieces(N, size, (tile_n, *tile)) == math.prod(map(parts, (N, *size), (tile_n, *tile)))


@settings(max_examples=300)
@given(
    N=st.integers(1, 300), size=sizes, channels=st.integers(1, 130), filters=st.integers(1, 130),
    kernel=pairs, stride=st.tuples(st.integers(1, 3), st.integers(1, 3)), itemsize=st.sampled_from([4, 8]),
)  # fmt: skip
def test_pieces_fit_into_a_block(N, size, channels, filters, kernel, stride, itemsize):
    piece = launch._piece(N, size, channels, filters, kernel, stride, itemsize)
    if piece is None:
        return
    *tile, chunk = piece["args"]
    (pieces, columns), (threads,), shared = launch._halo_geometry(piece, filters)
    assert 1 <= chunk <= channels
    assert 1 <= threads <= 1024
    assert shared <= 48 * 1024
    assert chunk == 1 or shared <= 24 * 1024
    # the patch of the input and the filters' taps of every channel of the chunk
    assert shared >= chunk * itemsize * (launch._patch(tile, kernel, stride) + math.prod(kernel) * min(filters, 8))
    assert pieces == launch._pieces(N, size, tile)
    assert columns * piece["groups"] * 8 >= filters > (columns - 1) * piece["groups"] * 8
    if chunk < channels:  # one channel more in each chunk would need more than it should
        assert shared // chunk * (parts(channels, parts(channels, chunk) - 1)) > 24 * 1024


class Gradient:
    """What `_weight_piece` asks an array for."""

    def __init__(self, shape, itemsize):
        self.shape, self.itemsize = shape, itemsize


@settings(max_examples=300)
@given(
    N=st.integers(1, 300), K=st.integers(1, 130), size=sizes, C=st.integers(1, 130),
    kernel=pairs, stride=st.tuples(st.integers(1, 3), st.integers(1, 3)), itemsize=st.sampled_from([4, 8]),
)  # fmt: skip
def test_pieces_of_the_weight_gradient_fit_into_a_block(N, K, size, C, kernel, stride, itemsize):
    piece = launch._weight_piece(Gradient((N, K, *size), itemsize), C, kernel, stride)
    taps = math.prod(kernel)
    if piece is None:
        return
    *tile, chunk, pieces, shares = piece["args"]
    splits, columns, filters = piece["grid"]
    (threads,), shared, patch = piece["block"], piece["shared"], launch._patch(tile, kernel, stride)
    fixed = shared - itemsize * chunk * patch
    assert 1 <= chunk <= C
    assert shared <= 48 * 1024
    assert chunk == 1 or (shared <= 24 * 1024 and chunk * taps <= 128)
    assert fixed >= math.prod(tile) * 8 * itemsize, "a piece of G for eight filters"
    assert chunk * taps * shares <= threads <= 1024
    assert threads % 32 == 0
    assert shares == 1 or (chunk * taps * shares <= 128 and shares <= math.prod(tile))
    assert shares == math.prod(tile) or chunk * taps * (shares + 1) > 128, "no thread without work"
    assert columns == parts(C, chunk)
    assert filters == parts(K, 8)
    assert pieces == launch._pieces(N, size, tile)
    assert 1 <= splits <= pieces
    assert splits == 1 or splits * columns * filters * shares <= 512
    if chunk < C:
        longer = parts(C, parts(C, chunk) - 1)
        assert longer * taps > 128 or fixed + itemsize * longer * patch > 24 * 1024


@pytest.mark.parametrize("kernel", [(33, 33), (200, 2)])
def test_what_fits_no_block_is_refused(kernel):
    assert launch._weight_piece(Gradient((2, 3, 40, 40), 8), 3, kernel, (1, 1)) is None
    assert launch._piece(2, (40, 40), 3, 8, (33, 33), (3, 3), 8) is None
    with pytest.raises(ValueError, match="conv2d_forward: rung 'halo'"):
        launch._check_piece("conv2d_forward", None)
