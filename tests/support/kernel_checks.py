"""Every rung of the kernels of convolution, matrix product, pooling, batch norm and activations against the formula.

A check raises AssertionError (other numbers than the formula's) or KernelError (the emulator saw an error).
`test_rungs.py` runs them on the kernels as they are, `kernel_mutants.py` on kernels with a planted error.
"""

from itertools import product
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
from references import CONV_CASES, POOL_CASES, draw, scattered, tolerance
from tensor_checks import check_conv2d_tensor

from minisvdd import ops
from minisvdd.backends.counting import at_a_sector
from minisvdd.backends.emulator import EmulatorBackend
from minisvdd.ops import device_log, linear
from minisvdd.ops import losses as loss_launches
from minisvdd.ops.batchnorm import all_but_channel
from minisvdd.ops.batchnorm import launch as batchnorm_launch
from minisvdd.ops.conv2d import launch as conv2d_launch
from minisvdd.ops.conv2d import launch_rows
from minisvdd.ops.norm_act_pool import launch as norm_act_pool_launch
from minisvdd.ops.reductions import sum_partials

CONV_RUNGS = ("naive", "coalesced", "tiled", "register_blocked", "halo")
# besides the odd ones: several tiles and groups of filters; pieces of many images, with a rest; pieces of one image's
# rows; several chunks of channels
MORE_CONV_CASES = [
    ((3, 9, 9, 8), 37, (5, 5), (1, 1), (2, 2)),
    ((19, 1, 4, 4), 9, (2, 2), (1, 1), (0, 1)),
    ((1, 2, 20, 37), 5, (3, 3), (1, 1), (1, 1)),
    ((2, 12, 9, 9), 3, (5, 5), (2, 2), (2, 2)),
]
# (N, C, H, W), K, side, padding, for the rung `rows`. Small ones with everything odd: rows of single numbers, of pairs
# and of packs; heights in unequal parts, whole images together, a rest of the batch, of the channels, of the filters;
# threads that share channels and that have several rows. Then the layers of the paper's networks.
ROWS_CASES = [
    ((2, 3, 9, 7), 5, 3, 1),
    ((3, 9, 5, 6), 17, 5, 4),
    ((2, 8, 27, 24), 1, 5, 2),
    ((1, 3, 17, 14), 6, 5, 2),
    ((7, 10, 4, 8), 9, 5, 2),
    ((1, 8, 10, 24), 16, 5, 2),
]
ROWS_LAYERS = {
    "mnist 1": ((3, 1, 28, 28), 8, 5, 2),
    "mnist 2": ((3, 8, 14, 14), 4, 5, 2),
    "mnist decoder 1": ((7, 2, 8, 8), 4, 5, 2),
    "mnist decoder 2": ((1, 4, 16, 16), 8, 5, 1),
    "mnist decoder 3": ((1, 8, 28, 28), 1, 5, 2),
    "cifar10 1": ((1, 3, 32, 32), 32, 5, 2),
}
BORDERS = [((2, 3, 4, 5), ((1, 2), (0, 3))), ((1, 2, 3, 2), ((0, 0), (2, 0))), ((2, 1, 1, 1), ((3, 1), (1, 1)))]
MORE_POOL_CASES = [((3, 2, 5, 8), (2, 2), (2, 2)), ((2, 1, 5, 7), (2, 1), (3, 2)), ((9, 8, 4, 4), (2, 2), (2, 2))]
FUSED_CASES = [
    # (N, C, H, W), window, slope
    ((2, 3, 8, 8), (2, 2), 0.1),
    ((3, 2, 7, 5), (2, 2), 0.0),
    ((2, 2, 7, 8), (3, 2), 0.2),
    ((33, 3, 9, 8), (2, 2), 0.1),
    ((2, 1, 4, 6), (1, 3), 0.5),
    ((20, 2, 12, 6), (1, 3), 0.1),  # several blocks of threads, and many more rows of windows than columns
]
BATCHNORM_SHAPES = [(5, 3), (2, 3, 7, 11), (9, 2, 4, 8), (2, 1, 1, 1), (40, 3, 16, 16), (1, 2, 3, 6)]
BIAS_SHAPES = [(5, 3), (2, 3, 7, 11), (130, 2, 3, 1)]
LOSS_SHAPES = [(5, 3), (1, 1), (3, 2, 5, 7), (9, 33), (300, 3)]
OPTIMISER_SIZES = [(7, 1), (3, 40), (600, 2100), (5, 0), (1027, 9)]  # parameters, numbers that the loss may pull at
# (N, C, H, W), scale, and where arrays begin. Odd and even widths, scales with and without packs; several blocks
UP_SAMPLINGS = [
    ((2, 3, 4, 5), (2, 2), 0),
    ((1, 1, 1, 1), (3, 2), 0),
    ((2, 1, 3, 2), (1, 3), 0),
    ((2, 3, 3, 6), (2, 2), 0),
    ((2, 3, 3, 6), (2, 2), 1),
    ((3, 5, 7, 8), (3, 2), 2),
    ((3, 5, 9, 8), (1, 2), 0),
    ((1, 2, 5, 4), (2, 1), 0),
    ((1, 2, 5, 4), (2, 4), 0),
]
PARTIAL_SUMS = [(1, 1), (9, 40), (33, 7), (150, 65)]  # how many, of how many sums
# the last: more k than a block of the "split" rung asks for at once, with a rest that is no whole pack
MATRIX_SIZES = [(1, 1, 1), (17, 33, 5), (16, 16, 16), (3, 40, 18), (70, 9, 67), (64, 8, 64), (9, 259, 10)]


def close(got, wanted, terms=1, **where):
    """Equal within what rounding does to sums of that many terms."""
    assert got.dtype == wanted.dtype, where
    limits = tolerance(wanted.dtype)
    np.testing.assert_allclose(got, wanted, limits["rtol"], limits["atol"] * max(1, terms) ** 0.5, err_msg=str(where))


def few_blocks():
    """Inside the block, small arrays in few blocks, as large ones on a GPU that has no more."""
    return patch.object(conv2d_launch, "WANTED_BLOCKS", 1)


def convolution(backend, case, dtype, rng):
    """Forward and both gradients, all rungs, and the forward with statistics."""
    shape, K, kernel, stride, padding = case
    x, weight = draw(rng, shape, dtype), draw(rng, (K, shape[1], *kernel), dtype)
    y = ops.conv2d_forward(x, weight, stride, padding)
    grad = draw(rng, y.shape, dtype)
    grad_x = ops.conv2d_backward_input(grad, weight, shape[2:], stride, padding)
    grad_weight = ops.conv2d_backward_weight(grad, x, kernel, stride, padding)
    for rung in CONV_RUNGS:
        for launch, inputs, wanted in (
            (conv2d_launch.forward, (x, weight), y),
            (conv2d_launch.backward_input, (grad, weight, shape[2:]), grad_x),
            (conv2d_launch.backward_weight, (grad, x, kernel), grad_weight),
        ):
            got = launch(backend, *inputs, stride, padding, rung)
            close(got, wanted, grad.size // K, rung=rung, launch=launch.__name__, case=case)
    with few_blocks():  # each block then works on many pieces
        got = conv2d_launch.backward_weight(backend, grad, x, kernel, stride, padding, "halo")
        close(got, grad_weight, grad.size // K, case=case)
    if y.size > y.shape[1]:
        got = conv2d_launch.forward_statistics(backend, x, weight, stride, padding)
        for ours, formulas in zip(got, (y, *ops.batch_statistics(y))):
            close(ours, formulas, 100, case=case)


def rows(backend, case, rng):
    """The rung `rows`: forward, both gradients, and the forward with statistics, from arrays that begin anywhere."""
    shape, K, side, padding = case
    dtype, where = np.float32, ((1, 1), (padding, padding))
    x, weight = _misaligned(draw(rng, shape, dtype)), _misaligned(draw(rng, (K, shape[1], side, side), dtype))
    y = ops.conv2d_forward(x, weight, *where)
    grad = _misaligned(draw(rng, y.shape, dtype))
    terms = grad.size // K
    for launch, inputs, wanted in (
        (conv2d_launch.forward, (x, weight), y),
        (
            conv2d_launch.backward_input,
            (grad, weight, shape[2:]),
            ops.conv2d_backward_input(grad, weight, shape[2:], *where),
        ),
        (
            conv2d_launch.backward_weight,
            (grad, x, (side, side)),
            ops.conv2d_backward_weight(grad, x, (side, side), *where),
        ),
    ):
        close(launch(backend, *inputs, *where, "rows"), wanted, terms, launch=launch.__name__, case=case)
    with patch.object(launch_rows, "_BLOCKS", 1):  # a block then adds up many tiles
        close(conv2d_launch.backward_weight(backend, grad, x, (side, side), *where, "rows"), wanted, terms, case=case)
    got = conv2d_launch.forward_statistics(backend, x, weight, *where, "rows")
    for ours, formulas in zip(got, (y, *ops.batch_statistics(y))):
        close(ours, formulas, 100, case=case)


def offset_by(offset, array):
    """The same numbers, so many of them behind a multiple of 16 bytes."""
    whole = np.empty(array.size + 4 + offset, array.dtype)
    start = (-whole.ctypes.data % 16) // array.itemsize + offset
    view = whole[start : start + array.size].reshape(array.shape)
    view[...] = array
    return view


def _misaligned(array):
    """The same numbers, 4 bytes behind a multiple of 16."""
    return offset_by(1, array)


def matrix_product(backend, sizes, dtype, rng):
    """All rungs, with and without transposed operands."""
    rows, inner, columns = sizes
    a, b = draw(rng, (rows, inner), dtype), draw(rng, (inner, columns), dtype)
    for rung in ("naive", "coalesced", "tiled", "register_blocked", "split", "quarters"):
        close(linear.matmul(backend, a, b, rung=rung), a @ b, inner, rung=rung)
        swapped = linear.matmul(backend, a.T.copy(), b.T.copy(), transpose_a=True, transpose_b=True, rung=rung)
        close(swapped, a @ b, inner, rung=rung)


def bias(backend, shape, dtype, rng):
    """Forward and backward, all rungs."""
    x, b = draw(rng, shape, dtype), draw(rng, shape[1], dtype)
    close(ops.bias_forward.on(backend)(x, b), ops.bias_forward(x, b))
    sizes = shape[0], shape[1], x.size // (shape[0] * shape[1])
    for rung in ("naive", "shuffles"):
        total = backend.empty(shape[1], dtype)
        backend.launch("bias_backward", (x, total, *sizes), grid=(shape[1],), rung=rung)
        close(total, ops.bias_backward(x), x.size, rung=rung)


def max_pool(backend, case, dtype, rng, tied):
    """Forward and backward, all rungs that the case allows."""
    shape, kernel, stride = case
    x = draw(rng, shape, dtype)
    x = np.sign(x) if tied else x
    y, winner = ops.maxpool_forward(x, kernel, stride)
    grad = draw(rng, y.shape, dtype)
    wanted = ops.maxpool_backward(grad, winner, shape, kernel, stride)
    disjoint = all(s >= k for s, k in zip(stride, kernel))
    forward, backward = ops.maxpool_forward.reading("launch"), ops.maxpool_backward.reading("launch")
    for rung in ("naive", "registers", "pairs"):
        got, got_winner = forward(backend, x, kernel, stride, rung)
        np.testing.assert_array_equal(got, y, err_msg=rung)
        np.testing.assert_array_equal(got_winner, winner, err_msg=rung)
    for rung in ("naive", "windows", "pairs") if disjoint else ("naive",):
        close(backward(backend, grad, got_winner, shape, kernel, stride, rung), wanted, rung=rung)


def batch_norm(backend, shape, dtype, rng):
    """Statistics, means, normalise, backward, running statistics: all rungs."""
    x, grad, C = 20 + 3 * draw(rng, shape, dtype), 1 + draw(rng, shape, dtype), shape[1]
    mean, variance = ops.batch_statistics(x)
    x_hat, scale = ops.batchnorm_forward(x, mean, variance, 1e-4)
    axes, statistics = all_but_channel(x), ops.batch_statistics.reading("launch")
    wanted_means = np.stack([grad.mean(axis=axes), (grad * x_hat).mean(axis=axes)])
    for rung in ("naive", "shuffles", "split"):
        for got, wanted in zip(statistics(backend, x, rung), (mean, variance)):
            close(got, wanted, 10, rung=rung)
        close(batchnorm_launch.channel_means(backend, grad, x_hat, rung), wanted_means, 10, rung=rung)
    wanted = ops.batchnorm_backward(grad, x_hat, scale)
    result, sizes = backend.empty(shape, dtype), (x.size, C, x.size // (len(x) * C))
    for rung in ("naive", "vectorised"):
        close(batchnorm_launch.channel_scale(backend, x, mean, scale, rung), x_hat, 10, rung=rung)
        args = (grad, x_hat, scale, wanted_means, result, *sizes)
        backend.launch("batchnorm_backward", args, threads=x.size, rung=rung)
        close(result, wanted, 10, rung=rung)
    close(ops.inverse_deviation.on(backend)(variance, 1e-4), scale)
    wanted, got = np.repeat(draw(rng, (1, C), dtype), 2, axis=0)
    ops.running_update(wanted, mean, 0.1, 1.5)
    ops.running_update.on(backend)(got, mean, 0.1, 1.5)
    close(got, wanted)
    finished_statistics(backend, x, dtype, rng)


def finished_statistics(backend, x, dtype, rng):
    """From the moments of one share and of many unequal ones: mean, variance, scale and both running statistics."""
    C, total = x.shape[1], x.size // x.shape[1]
    if total < 2:
        return
    rows = np.moveaxis(x, 1, 0).reshape(C, total)
    for cuts in (
        [],
        [(total + 2) // 3],
        range(1, total, max(1, total // 300)),
    ):  # more shares than a block has threads, too
        parts = np.split(rows, cuts, axis=1)
        means, counts = (
            np.stack([part.mean(axis=1) for part in parts]),
            np.array([part.shape[1] for part in parts], "i"),
        )
        squares = np.stack([((part - mean[:, None]) ** 2).sum(axis=1) for part, mean in zip(parts, means)])
        moments = batchnorm_launch.Moments(*(np.ascontiguousarray(a) for a in (means, squares, counts)), total)
        mean, variance = ops.batch_statistics(x)
        running = draw(rng, (2, C), dtype)
        moved = np.stack([0.9 * running[0] + 0.1 * mean, 0.9 * running[1] + 0.1 * variance * total / (total - 1)])
        got = batchnorm_launch.finish_statistics(backend, moments, 1e-4, (*running, 0.1))
        for ours, wanted in zip(got, (mean, variance, ops.inverse_deviation(variance, 1e-4))):
            close(ours, wanted, 10, shares=len(counts))
        close(running, moved.astype(dtype), 10, shares=len(counts))
        for ours, wanted in zip(batchnorm_launch.merge_moments(backend, moments), (mean, variance)):
            close(ours, wanted, 10, shares=len(counts))


def normalize_pool(backend, case, dtype, rng):
    """The fusion and its backward, all rungs."""
    shape, kernel, slope = case
    x = 1 + 2 * draw(rng, shape, dtype)
    mean, variance = ops.batch_statistics(x)
    scale = ops.inverse_deviation(variance, 1e-4)
    y, winner = ops.norm_act_pool_forward(x, mean, scale, slope, kernel)
    grad = draw(rng, y.shape, dtype)
    for rung in ("windows", "pairs"):
        got, got_winner = norm_act_pool_launch.forward(backend, x, mean, scale, slope, kernel, rung=rung)
        np.testing.assert_array_equal(got_winner, winner, err_msg=rung)
        close(got, y, rung=rung)
    for rung, fixed in product(("windows", "pairs", "packs"), (False, True)):
        args = (mean, scale, slope, kernel, fixed)
        wanted = ops.norm_act_pool_backward(grad, x, y, winner, *args)
        got = norm_act_pool_launch.backward(backend, grad, x, y, got_winner, *args, rung=rung)
        close(got, wanted, 10, rung=rung)
    affine = ops.Affine(draw(rng, shape[1], dtype), draw(rng, shape[1], dtype))
    affine.weight[-1] = 0
    y, winner = ops.norm_act_pool_forward(x, mean, scale, slope, kernel, affine)
    got, got_winner = norm_act_pool_launch.forward(backend, x, mean, scale, slope, kernel, affine)
    np.testing.assert_array_equal(got_winner, winner)
    close(got, y)
    for fixed in (False, True):
        args = (grad, x, y, winner, mean, scale, affine.weight, slope, kernel, fixed)
        wanted = ops.affine_act_pool_backward(*args)
        for ours, theirs in zip(norm_act_pool_launch.affine_backward(backend, *args), wanted):
            close(ours, theirs, 10, fixed=fixed)


def pointwise(backend, size, dtype, rng, offset=0):
    """Activations, both rungs; `offset` makes arrays begin anywhere but at a multiple of 16 bytes."""
    x, grad = (draw(rng, size + offset, dtype)[offset:] for _ in range(2))
    positive = np.zeros(size + offset, bool)[offset:]
    positive[...] = x > 0
    sigmoid, tanh = ops.sigmoid_forward(x), ops.tanh_forward(x)
    cases = {
        ops.leaky_relu_forward: ((x,), (0.1,)),
        ops.leaky_relu_backward: ((grad, positive), (0.1,)),
        ops.sigmoid_forward: ((x,), ()),
        ops.sigmoid_backward: ((grad, sigmoid), ()),
        ops.tanh_forward: ((x,), ()),
        ops.tanh_backward: ((grad, tanh), ()),
    }
    for operation, (arrays, factors) in cases.items():
        for rung in ("naive", "vectorised"):
            result = backend.empty(size + offset, dtype)[offset:]
            backend.launch(operation.__name__, (*arrays, result, *factors, size), threads=size, rung=rung)
            close(result, operation(*arrays, *factors), operation=operation, rung=rung)
    np.testing.assert_array_equal(ops.is_positive.on(backend)(x), positive)


def up_sampling(backend, shape, scale, dtype, rng, offset=0):
    """Forward and backward, both rungs, bit for bit the same; `offset`: where the arrays begin, in numbers."""
    x = offset_by(offset, draw(rng, shape, dtype))
    y = ops.upsample_forward(x, scale)
    grad = offset_by(offset, draw(rng, y.shape, dtype))
    forward, backward = ops.upsample_forward.reading("launch"), ops.upsample_backward.reading("launch")
    naive = backward(backend, grad, scale, "naive")
    close(naive, ops.upsample_backward(grad, scale))
    sizes = shape[0] * shape[1], *shape[2:], *scale
    for rung in ("naive", "vectorised"):
        np.testing.assert_array_equal(forward(backend, x, scale, rung), y, err_msg=rung)
        np.testing.assert_array_equal(backward(backend, grad, scale, rung), naive, err_msg=rung)
        for threads in (x.size, 1):  # the grid of the launch above, a larger and a smaller one
            if rung == "vectorised":
                copies, sums = (offset_by(offset, np.full_like(a, np.nan)) for a in (y, x))
                backend.launch("upsample_forward", (x, copies, *sizes), threads=threads, block=(32,), rung=rung)
                backend.launch("upsample_backward", (grad, sums, *sizes), threads=threads, block=(32,), rung=rung)
                np.testing.assert_array_equal(copies, y)
                np.testing.assert_array_equal(sums, naive)


def border(backend, shape, margins, dtype, rng):
    """Around images, and off again."""
    x = draw(rng, shape, dtype)
    y = ops.pad_forward(x, margins)
    grad = draw(rng, y.shape, dtype)
    close(ops.pad_forward.on(backend)(x, margins), y)
    close(ops.pad_backward.on(backend)(grad, margins), ops.pad_backward(grad, margins))


def vector_traffic(rng):
    """Where arrays allow it, the vectorised rungs load and store as little as they promise, instead of falling back."""
    backend = EmulatorBackend(count=True)
    x, grad, two, ones = (
        draw(rng, (2, 2, 8, 8), np.float32),
        draw(rng, (2, 2, 4, 4), np.float32),
        (2, 2),
        np.ones(2, "f"),
    )

    def expect(loads, stores):
        assert (backend.last_counts.global_loads, backend.last_counts.global_stores) == (loads, stores)

    n, pooled = x.size, grad.size
    _, winner = ops.maxpool_forward.reading("launch")(backend, x, two, two, "pairs")
    expect(pooled, 2 * pooled)  # two packs for two results
    ops.maxpool_backward.reading("launch")(backend, grad, winner, x.shape, two, two, "pairs")
    expect(2 * pooled, n / 2)
    y, winner = norm_act_pool_launch.forward(backend, x, ones, ones, 0.1, two, rung="pairs")
    expect(2 * pooled, 2 * pooled)  # mean and scale besides
    norm_act_pool_launch.forward(backend, x, ones, ones, 0.1, two, ops.Affine(ones, ones))
    expect(3 * pooled, 2 * pooled)  # scale and shift, too
    norm_act_pool_launch.backward(backend, grad, x, y, winner, ones, ones, 0.1, two, rung="pairs")
    expect(n / 2 + 5 * pooled + 2 * 2, n / 2)  # a block per channel adds up its partial sums, here two
    norm_act_pool_launch.backward(backend, grad, x, y, winner, ones, ones, 0.1, two, rung="packs")
    expect(n / 4 + 5 * pooled + 2 * 2, n / 4)
    norm_act_pool_launch.affine_backward(backend, grad, x, y, winner, ones, ones, ones, 0.1, two)
    expect(n / 4 + 5 * pooled + 2 * 2 + 2 * 256, n / 4 + 2 * 2)
    batchnorm_launch.channel_scale(backend, x, ones, ones, "vectorised")
    expect(3 * n / 4, n / 4)
    args = (x, x, ones, np.ones((2, 2), np.float32), backend.empty(x.shape, np.float32), n, 2, 64)
    backend.launch("batchnorm_backward", args, threads=n, rung="vectorised")
    expect(5 * n / 4, n / 4)
    ops.leaky_relu_forward.on(backend)(x, 0.1)
    expect(n / 4, n / 4)
    ops.leaky_relu_backward.on(backend)(x, x > 0, 0.1)
    expect(n / 2, n / 4)


def up_sampling_traffic(rng, dtype=np.float32):
    """Packs wherever x is made twice as wide and both arrays allow it; otherwise a load and a store per copy."""
    backend, size = EmulatorBackend(count=True), 16 // np.dtype(dtype).itemsize
    half = size // 2
    for shape, scale, offset_x, offset_y in (
        ((3, 3, 6), (2, 2), 0, 0),
        ((3, 3, 6), (3, 2), half, 0),  # half a pack is loaded from x
        ((3, 3, 6), (2, 2), 1, 0),
        ((3, 3, 6), (2, 2), 0, half),
        ((3, 3, 5), (2, 2), 0, 0),
        ((3, 3, 6), (2, 4), 0, 0),
        ((3, 3, 6), (2, 1), 0, 0),
    ):
        planes, H, W = shape
        x = offset_by(offset_x, draw(rng, shape, dtype))
        y = offset_by(offset_y, np.empty((planes, H * scale[0], W * scale[1]), dtype))
        packed = scale[1] == 2 and W % half == offset_x % half == offset_y == 0
        small, large = (x.size // half, y.size // size) if packed else (y.size, y.size)
        backend.launch("upsample_forward", (x, y, *shape, *scale), threads=x.size)
        assert (backend.last_counts.global_loads, backend.last_counts.global_stores) == (small, large), shape
        small = small if packed else x.size
        backend.launch("upsample_backward", (y, x, *shape, *scale), threads=x.size)
        assert (backend.last_counts.global_loads, backend.last_counts.global_stores) == (large, small), shape


def optimiser_traffic(rng):
    """Adam's vectorised rung moves packs, and single numbers behind the last one or where one array is no multiple."""
    backend = EmulatorBackend(count=True)
    for n, shifted in ((64, None), (67, None), *((64, which) for which in range(4))):
        arrays = [offset_by(int(k == shifted), abs(draw(rng, n, np.float32))) for k in range(4)]
        flat = SimpleNamespace(params=arrays[0], grads=arrays[1], decayed=n)
        count = device_log.StepCount(*np.zeros((2, 1), np.int32))
        factors = (None, np.array([0.1]), count, 0.9, 0.99, 1e-3, 0.5)
        for rung in ("naive", "vectorised"):
            ops.adam_update_flat(backend, flat, *arrays[2:], *factors, rung=rung)
            moved = n // 4 + n % 4 if rung == "vectorised" and shifted is None else n
            loads, stores = 4 * moved + 2 * 256, 3 * moved + 1  # besides: each thread's step and rate, the next step
            assert (backend.last_counts.global_loads, backend.last_counts.global_stores) == (loads, stores), (n, rung)


def split_traffic(rng):
    """The matrix product's split rung reads whole packs from shared memory, and none behind the last k."""
    backend = EmulatorBackend(count=True)
    linear.matmul(backend, draw(rng, (8, 64), np.float32), draw(rng, (64, 8), np.float32), rung="split")
    results, packs = 64, 64 / 4
    assert backend.last_counts.shared_loads == results * 2 * packs + 3 * results  # four threads' sums become one


def pieces_traffic(rng):
    """A block of the matrix product loads its pieces along memory, in as few transactions, however its operands lie."""
    backend = EmulatorBackend(count=True)
    a, b, c = (at_a_sector(draw(rng, (64, 64), np.float32)) for _ in range(3))
    for rung in ("tiled", "register_blocked", "split", "quarters"):
        transactions = set()
        for swap_a, swap_b in product((False, True), repeat=2):
            linear.matmul(backend, a, b, swap_a, swap_b, rung, out=c)
            transactions.add(backend.last_counts.transactions)
        assert len(transactions) == 1, (rung, transactions)


def no_packs_of_misaligned_arrays(rng):
    """One array that begins beside a multiple of 16 bytes is enough: a GPU refuses to load a pack from there.

    The CPU beneath the emulator may let it pass, with the right numbers: what tells is the count of loads.
    """
    backend, n = EmulatorBackend(count=True), 64
    whole = {
        "grad": draw(rng, n + 1, np.float32),
        "positive": draw(rng, n + 1) > 0,
        "result": np.empty(n + 1, np.float32),
    }
    for shifted in (None, *whole):
        arrays = [array[1:] if name == shifted else array[:n] for name, array in whole.items()]
        backend.launch("leaky_relu_backward", (*arrays, 0.1, n), threads=n, rung="vectorised")
        loads = 2 * n if shifted else 2 * n / 4
        assert backend.last_counts.global_loads == loads, shifted
    for shifted in (None, "grad", "result"):
        x, y = (whole[name][1:] if name == shifted else whole[name][:n] for name in ("grad", "result"))
        backend.launch("tanh_forward", (x, y, n), threads=n, rung="vectorised")
        assert backend.last_counts.global_loads == (n if shifted else n / 4), shifted


def losses(backend, shape, dtype, rng):
    """Value, gradient and each sample's share; distances alone; all rungs. Some differences are exactly 0."""
    y, t = scattered(draw(rng, shape, dtype)), draw(rng, shape, dtype)
    y.flat[::3] = t.flat[::3]
    rows, center = y.reshape(len(y), -1), t.reshape(len(t), -1)[0]
    radius_squared = 1.01 * float(np.median(ops.squared_distances(rows, center)))
    for loss, args in (
        (ops.one_class_loss, (rows, center)),
        (ops.soft_boundary_loss, (rows, center, radius_squared, 0.3)),
        (ops.mean_squared_error, (y, t)),
        (ops.absolute_error, (y, t)),
        (ops.softmax_cross_entropy, (rows, rng.integers(rows.shape[1], size=len(y)))),
        (ops.binary_cross_entropy, (y, abs(np.tanh(t)))),
        (ops.binary_cross_entropy, (y, dtype(1))),
    ):
        for got, wanted in zip(loss.on(backend)(*args), loss(*args)):
            close(np.asarray(got, dtype), np.asarray(wanted, dtype), 10, loss=loss, shape=shape)
    for rung in ("naive", "warp"):
        for name, function in (("squared", np.square), ("absolute", np.abs)):
            wanted = function(y - t).reshape(len(y), -1).sum(axis=1)
            close(loss_launches.distances(backend, f"{name}_distances", y, t, rung), wanted, 10, rung=rung)
    each = ops.squared_distances(rows, center)
    for rung in ("naive", "block"):
        total = loss_launches.scaled_sum(backend, each, 0.5, rung)
        np.testing.assert_allclose(total, 0.5 * each.sum(dtype=np.float64), rtol=1e-12, err_msg=rung)
        value, *_ = loss_launches.soft_boundary(backend, rows, center, radius_squared, 0.3, rung)
        np.testing.assert_allclose(value, ops.soft_boundary_loss(rows, center, radius_squared, 0.3)[0], rtol=1e-5)


def optimiser_steps(backend, n, pulls, dtype, rng):
    """All parameters at once, with and without a log, both rungs; one array of them, and momentum; three steps.

    pulls: how many numbers the loss pulls at, of which the last is not 0 in every step but the second; 0: not told.
    """
    betas, epsilon, decay, decayed, batch = (0.8, 0.95), 1e-3, 0.5, n // 2, 5
    start, rate = draw(rng, n, dtype), np.array([0.1])
    flats = [
        SimpleNamespace(
            rung=rung,
            logs=logs,
            decayed=decayed,
            params=offset_by(offset, start),
            grads=offset_by(offset, np.empty(n, dtype)),
            moments=[offset_by(offset, np.zeros(n, dtype)) for _ in range(2)],
            values=np.zeros(4),
            shares=np.full(4 * batch, -1, dtype),
            count=device_log.StepCount(*np.full((2, 1), 3, np.int32)),
        )
        for logs in (False, True)
        for rung, offset in (("naive", 0), ("vectorised", 0), ("vectorised", 1))
    ]
    moments = np.zeros((2, n), dtype)
    wanted, velocity, got, got_velocity = start.copy(), np.zeros(n, dtype), start.copy(), np.zeros(n, dtype)
    plain = start.copy()
    for step in range(3):
        grad, samples, pull = draw(rng, n, dtype), draw(rng, batch, dtype), np.zeros(pulls, dtype) if pulls else None
        if pulls and step != 1:
            pull[-1] = 1e-3
        factors, decays = (0.1, *betas, epsilon), pulls == 0 or step != 1
        for part, weight_decay in ((slice(0, decayed), decay if decays else 0.0), (slice(decayed, n), 0.0)):
            arrays = (plain[part], grad[part], moments[0, part], moments[1, part])
            ops.adam_update(*arrays, step + 4, *factors, weight_decay)
        for flat in flats:
            flat.grads[...] = grad
            log = None
            if flat.logs:
                first, value = np.array([2], np.int32), np.array(step + 0.5)
                log = device_log.StepLog(first, value, samples, flat.values, flat.shares, batch)
                device_log.begin_step(backend, flat.count)
            else:  # told before each step, instead
                flat.count = device_log.StepCount(np.zeros(1, np.int32), np.array([step + 3], np.int32))
            args = (*flat.moments, pull, rate, flat.count, *betas, epsilon, decay, log, flat.rung)
            ops.adam_update_flat(backend, flat, *args)
            close(flat.params, plain, 10, step=step, rung=flat.rung)
            close(np.stack(flat.moments), moments, 10, step=step, rung=flat.rung)
            for array, naive in zip((flat.params, *flat.moments), (flats[0].params, *flats[0].moments)):
                np.testing.assert_array_equal(array, naive, err_msg=flat.rung)
            assert flat.count.done[0] == step + 4
            if flat.logs:
                np.testing.assert_array_equal(flat.shares.reshape(4, batch)[step + 1], samples)
        ops.sgd_update(wanted, grad, velocity, 0.1, 0.9, 0.2)
        ops.sgd_update.on(backend)(got, grad, got_velocity, 0.1, 0.9, 0.2)
        close(got, wanted, 10)
    for flat in flats[len(flats) // 2 :]:
        np.testing.assert_array_equal(flat.values, [0, 0.5, 1.5, 2.5])
        np.testing.assert_array_equal(flat.shares[:batch], -1)
    wanted, first, second = start.copy(), *np.zeros((2, n), dtype)
    ops.adam_update.on(backend)(wanted, grad, first, second, 3, 0.1, *betas, epsilon, decay)
    plain, first, second = start.copy(), *np.zeros((2, n), dtype)
    ops.adam_update(plain, grad, first, second, 3, 0.1, *betas, epsilon, decay)
    close(wanted, plain, 10)


def partial_sums(backend, count, n, dtype, rng):
    """Both rungs, and the one that is taken for so many."""
    partials = draw(rng, (count, n), dtype)
    for rung in ("tiled", "warps", None):
        result = backend.empty(n, dtype)
        sum_partials(backend, partials, result, 0.25, rung)
        close(result, 0.25 * partials.sum(axis=0), count, rung=rung)


def device_batches(backend, shape, dtype, rng):
    """The batch of a step, and the copy of an array."""
    X, order = draw(rng, shape, dtype), rng.permutation(shape[0]).astype(np.int32)
    count = device_log.StepCount(np.array([7], np.int32), np.array([-1], np.int32))
    batch, rows = 3, 2
    got = device_log.gather_batch(backend, X, order, count, np.array([5], np.int32), batch, rows)
    np.testing.assert_array_equal(got, X[order[2 * batch : 2 * batch + rows]])
    assert count.before[0] == 7
    target = np.zeros_like(X)
    device_log.copy(backend, X, target)
    np.testing.assert_array_equal(target, X)


def every_kernel(backend, dtype, rng):
    """Each check on its smallest cases: between them they launch every kernel of these files."""
    convolution(backend, CONV_CASES[1], dtype, rng)
    matrix_product(backend, MATRIX_SIZES[1], dtype, rng)
    bias(backend, (2, 3, 2, 1), dtype, rng)
    max_pool(backend, MORE_POOL_CASES[0], dtype, rng, tied=False)
    border(backend, *BORDERS[0], dtype, rng)
    batch_norm(backend, BATCHNORM_SHAPES[1], dtype, rng)
    normalize_pool(backend, FUSED_CASES[0], dtype, rng)
    pointwise(backend, 9, dtype, rng)
    up_sampling(backend, *UP_SAMPLINGS[2][:2], dtype, rng)
    if dtype == np.float32:
        rows(backend, ROWS_CASES[0], rng)
    losses(backend, LOSS_SHAPES[0], dtype, rng)
    optimiser_steps(backend, *OPTIMISER_SIZES[0], dtype, rng)
    device_batches(backend, (9, 2, 3), dtype, rng)
    partial_sums(backend, *PARTIAL_SUMS[1], dtype, rng)


# All checks of one file, in float32, for `kernel_mutants.py`


def check_conv2d(backend, rng):
    """All that conv2d.cu holds."""
    for case in [*CONV_CASES, *MORE_CONV_CASES]:
        convolution(backend, case, np.float32, rng)


def check_conv2d_rows(backend, rng):
    """All that conv2d_rows.cu holds."""
    for case in ROWS_CASES:
        rows(backend, case, rng)


def check_pooling(backend, rng):
    """All that pooling.cu holds."""
    vector_traffic(rng)
    for case in [*POOL_CASES, *MORE_POOL_CASES]:
        for tied in (False, True):
            max_pool(backend, case, np.float32, rng, tied)
    for shape, margins in BORDERS:
        border(backend, shape, margins, np.float32, rng)


def check_batchnorm(backend, rng):
    """All that batchnorm.cu holds."""
    vector_traffic(rng)
    for shape in BATCHNORM_SHAPES:
        batch_norm(backend, shape, np.float32, rng)


def check_fused(backend, rng):
    """All that fused.cu holds."""
    vector_traffic(rng)
    for case in FUSED_CASES:
        normalize_pool(backend, case, np.float32, rng)


def check_activations(backend, rng):
    """All that activations.cu holds."""
    vector_traffic(rng)
    no_packs_of_misaligned_arrays(rng)
    for size, offset in [(67, 0), (256, 0), (67, 1), (3, 0)]:
        pointwise(backend, size, np.float32, rng, offset)


def check_upsample(backend, rng):
    """All that upsample.cu holds."""
    up_sampling_traffic(rng)
    for shape, scale, offset in UP_SAMPLINGS:
        up_sampling(backend, shape, scale, np.float32, rng, offset)


def check_linear(backend, rng):
    """All that linear.cu holds."""
    split_traffic(rng)
    pieces_traffic(rng)
    for sizes in MATRIX_SIZES:
        matrix_product(backend, sizes, np.float32, rng)
    for shape in BIAS_SHAPES:
        bias(backend, shape, np.float32, rng)


def check_losses(backend, rng):
    """All that losses.cu holds."""
    for shape in LOSS_SHAPES:
        losses(backend, shape, np.float32, rng)


def check_adam(backend, rng):
    """All that adam.cu holds."""
    optimiser_traffic(rng)
    for n, pulls in OPTIMISER_SIZES:
        optimiser_steps(backend, n, pulls, np.float32, rng)


def check_steps(backend, rng):
    """All that steps.cu holds."""
    for shape in [(9, 2, 3), (9, 5, 37)]:
        device_batches(backend, shape, np.float32, rng)


def check_reductions(backend, rng):
    """All that reductions.cu holds."""
    for count, n in PARTIAL_SUMS:
        partial_sums(backend, count, n, np.float32, rng)


FILE_CHECKS = {
    "conv2d": check_conv2d,
    "conv2d_rows": check_conv2d_rows,
    "conv2d_tensor": check_conv2d_tensor,
    "pooling": check_pooling,
    "batchnorm": check_batchnorm,
    "fused": check_fused,
    "activations": check_activations,
    "upsample": check_upsample,
    "linear": check_linear,
    "losses": check_losses,
    "adam": check_adam,
    "steps": check_steps,
    "reductions": check_reductions,
}
