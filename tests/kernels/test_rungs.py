"""Every rung of every ladder equals the formula, in both precisions, on odd sizes; none is left out or needs luck."""

import re

import kernel_checks as checks
import numpy as np
import pytest
from references import CONV_CASES, POOL_CASES, draw

from minisvdd.backends.emulator import EmulatorBackend
from minisvdd.backends.kernel import kernel_folder, read_kernels
from minisvdd.nn.layers import BatchNorm, Conv2D, LeakyReLU, MaxPool2D, ReLU
from minisvdd.nn.networks import Sequential
from minisvdd.ops import linear
from minisvdd.ops.batchnorm import batch_statistics
from minisvdd.ops.batchnorm.launch import channel_means, channel_moments, finish_statistics
from minisvdd.ops.conv2d import launch as conv2d_launch
from minisvdd.ops.device_log import StepCount, gather_batch
from minisvdd.ops.losses import mean_squared_error
from minisvdd.ops.norm_act_pool import launch as norm_act_pool_launch
from minisvdd.ops.reductions import sum_partials
from minisvdd.rivals.operations import take_rows

pytestmark = pytest.mark.compiler
FILES = (
    "conv2d",
    "linear",
    "batchnorm",
    "pooling",
    "activations",
    "upsample",
    "fused",
    "reductions",
    "losses",
    "adam",
    "steps",
    "conv2d_rows",
)


class Recorder(EmulatorBackend):
    """An emulator that remembers which kernels it ran."""

    def __init__(self):
        super().__init__()
        self.launched = set()

    def run(self, kernel, args, grid, block, shared=0):
        super().run(kernel, args, grid, block, shared)
        self.launched.add((kernel.name, kernel.scalar_type(args)))


@pytest.fixture
def emulator():
    return EmulatorBackend()


@pytest.mark.parametrize("case", [*CONV_CASES, *checks.MORE_CONV_CASES], ids=str)
def test_convolution(case, emulator, dtype, rng):
    checks.convolution(emulator, case, dtype, rng)


@pytest.mark.parametrize("case", checks.ROWS_CASES, ids=str)
def test_convolution_by_rows(case, emulator, rng):
    checks.rows(emulator, case, rng)


@pytest.mark.slow
@pytest.mark.parametrize("layer", checks.ROWS_LAYERS)
def test_convolution_by_rows_on_the_papers_layers(layer, emulator, rng):
    checks.rows(emulator, checks.ROWS_LAYERS[layer], rng)


@pytest.mark.parametrize(
    "case",
    [((2, 1, 8, 8), 48, 5, 2), ((2, 64, 16, 1), 64, 3, 1)],
    ids=["rows of filters", "channels"],
)
def test_as_many_threads_share_a_sum_as_shared_memory_has_room_for(case, emulator, rng):
    checks.rows(emulator, case, rng)


def test_rows_of_an_image_are_the_same_in_every_batch(emulator, rng):
    """Bit for bit, wherever the image stands among those of a block."""
    shape, K, side, padding = (7, 10, 4, 8), 9, 5, 2
    x, weight = draw(rng, shape, np.float32), draw(rng, (K, shape[1], side, side), np.float32)
    y = conv2d_launch.forward(emulator, x, weight, (1, 1), (padding, padding), "rows")
    for n in range(len(x)):
        alone = conv2d_launch.forward(emulator, x[n : n + 1], weight, (1, 1), (padding, padding), "rows")
        np.testing.assert_array_equal(alone[0], y[n])


@pytest.mark.parametrize(
    ("dtype", "kernel", "stride", "padding"),
    [
        (np.float64, (3, 3), (1, 1), (1, 1)),
        (np.float32, (3, 3), (2, 1), (1, 1)),
        (np.float32, (3, 1), (1, 1), (1, 1)),
        (np.float32, (9, 9), (1, 1), (4, 4)),
        (np.float32, (3, 3), (1, 1), (1, 2)),
        (np.float32, (5, 5), (1, 1), (5, 5)),
    ],
)
def test_what_does_not_fit_into_rows_is_refused(dtype, kernel, stride, padding, emulator, rng):
    x, weight = draw(rng, (2, 1, 12, 12), dtype), draw(rng, (3, 1, *kernel), dtype)
    where = "got " + re.escape(f"{np.dtype(dtype)}, stride {stride}, filters {kernel}, padding {padding}")
    y = conv2d_launch.forward(emulator, x, weight, stride, padding)
    for launch, inputs in (
        (conv2d_launch.forward, (x, weight)),
        (conv2d_launch.forward_statistics, (x, weight)),
        (conv2d_launch.backward_input, (y, weight, (12, 12))),
        (conv2d_launch.backward_weight, (y, x, kernel)),
    ):
        with pytest.raises(ValueError, match=f"^conv2d_[a-z_]*: rung 'rows' needs float32, stride 1, .* {where}"):
            launch(emulator, *inputs, stride, padding, rung="rows")


@pytest.mark.parametrize("sizes", checks.MATRIX_SIZES, ids=str)
def test_matrix_product(sizes, emulator, dtype, rng):
    checks.matrix_product(emulator, sizes, dtype, rng)


@pytest.mark.parametrize("shape", checks.LOSS_SHAPES, ids=str)
def test_losses(shape, emulator, dtype, rng):
    checks.losses(emulator, shape, dtype, rng)


@pytest.mark.parametrize(("n", "pulls"), checks.OPTIMISER_SIZES)
def test_optimiser_steps(n, pulls, emulator, dtype, rng):
    checks.optimiser_steps(emulator, n, pulls, dtype, rng)


@pytest.mark.parametrize(("count", "n"), checks.PARTIAL_SUMS)
def test_partial_sums(count, n, emulator, dtype, rng):
    checks.partial_sums(emulator, count, n, dtype, rng)


@pytest.mark.parametrize("shape", [(9, 2, 3), (9, 5, 37)], ids=str)
def test_device_batches(shape, emulator, dtype, rng):
    checks.device_batches(emulator, shape, dtype, rng)


@pytest.mark.parametrize("shape", checks.BIAS_SHAPES, ids=str)
def test_bias(shape, emulator, dtype, rng):
    checks.bias(emulator, shape, dtype, rng)


@pytest.mark.parametrize("tied", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("case", [*POOL_CASES, *checks.MORE_POOL_CASES], ids=str)
def test_max_pool(case, tied, emulator, dtype, rng):
    checks.max_pool(emulator, case, dtype, rng, tied)


@pytest.mark.parametrize("case", checks.BORDERS, ids=str)
def test_border(case, emulator, dtype, rng):
    checks.border(emulator, *case, dtype, rng)


@pytest.mark.parametrize("shape", checks.BATCHNORM_SHAPES, ids=str)
def test_batch_norm(shape, emulator, dtype, rng):
    checks.batch_norm(emulator, shape, dtype, rng)


@pytest.mark.parametrize("case", checks.FUSED_CASES, ids=str)
def test_normalize_pool(case, emulator, dtype, rng):
    checks.normalize_pool(emulator, case, dtype, rng)


@pytest.mark.parametrize(("size", "offset"), [(1, 0), (67, 0), (256, 0), (67, 1), (70, 3)])
def test_activations(size, offset, emulator, dtype, rng):
    checks.pointwise(emulator, size, dtype, rng, offset)


@pytest.mark.parametrize(("shape", "scale", "offset"), checks.UP_SAMPLINGS, ids=str)
def test_up_sampling(shape, scale, offset, emulator, dtype, rng):
    checks.up_sampling(emulator, shape, scale, dtype, rng, offset)


def test_vectorised_rungs_do_not_fall_back(rng):
    checks.vector_traffic(rng)
    for scalar in (np.float32, np.float64):
        checks.up_sampling_traffic(rng, scalar)
    checks.optimiser_traffic(rng)
    checks.split_traffic(rng)
    checks.pieces_traffic(rng)


def test_packs_are_for_aligned_arrays(rng):
    checks.no_packs_of_misaligned_arrays(rng)


def test_no_kernel_is_left_out(dtype, rng):
    """A new rung that no check launches: whichever tests run, and in which order."""
    recorder = Recorder()
    checks.every_kernel(recorder, dtype, rng)
    kernels = [kernel for file in FILES for kernel in read_kernels(kernel_folder() / f"{file}.cu").values()]
    wanted = {kernel.name for kernel in kernels if kernel.template != "S" or dtype == np.float32}
    assert wanted - {name for name, scalar in recorder.launched if scalar in (dtype, None)} == set()


def ended_step(backend):
    """What the launches leave that end passes and steps: always from the same numbers."""
    rng = np.random.default_rng(0)
    x, y, grad, a = (draw(rng, shape, np.float32) for shape in ((9, 3, 16, 16), (9, 3, 8, 8), (9, 3, 8, 8), (70, 300)))
    running = draw(rng, (2, 3), np.float32)
    finished = finish_statistics(backend, channel_moments(backend, x), 1e-4, (*running, 0.1))
    winner = np.zeros(y.shape, np.uint8)
    where = backend, grad, x, y, winner, *finished[::2]
    passed = norm_act_pool_launch.backward(*where, 0.1, (2, 2))
    passed_affine = norm_act_pool_launch.affine_backward(*where, np.array([1, -1, 2], np.float32), 0.1, (2, 2))
    value, pulled, each = mean_squared_error.on(backend)(x, np.zeros_like(x))
    product = linear.matmul(backend, a, a, transpose_b=True, rung="split")
    total = np.empty(300, np.float32)
    sum_partials(backend, a, total, 1.0)
    return [*finished, running, passed, *passed_affine, value, pulled, each, product, total]


def test_order_of_threads_and_blocks_does_not_change_a_bit(rng):
    """No rung adds by atomics: weight gradient, statistics, means and all later sums are the same in every order."""
    x, grad = draw(rng, (9, 3, 8, 8), np.float32), draw(rng, (9, 9, 8, 8), np.float32)
    rungs, results = (*checks.CONV_RUNGS, "rows"), []
    for seed in (0, 1, 2):
        backend = EmulatorBackend(seed=seed)
        where = (5, 5), (1, 1), (2, 2)
        weights = [conv2d_launch.backward_weight(backend, grad, x, *where, rung) for rung in rungs]
        weights += conv2d_launch.forward_statistics(backend, x, weights[0], *where[1:], "rows")
        statistics = batch_statistics.on(backend)(grad)
        results.append([*weights, *statistics, channel_means(backend, grad, grad), *ended_step(backend)])
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


def test_statistics_survive_a_large_mean(emulator, rng):
    """Mean 1000, deviation 1, float32: squares minus squared mean would keep one digit or none."""
    x = (1000 + draw(rng, (8, 2, 16, 16))).astype(np.float32)
    exact = x.astype(np.float64).var(axis=(0, 2, 3))
    for rung in ("shuffles", "split"):
        _, variance = batch_statistics.reading("launch")(emulator, x, rung)
        np.testing.assert_allclose(variance, exact, rtol=1e-4)
    weight = np.ones((2, 2, 1, 1), np.float32) * np.eye(2, dtype=np.float32)[:, :, None, None]
    variance = conv2d_launch.forward_statistics(emulator, x, weight)[2]
    np.testing.assert_allclose(variance, exact, rtol=1e-4)


def test_piece_too_large_for_shared_memory(emulator, rng):
    """Stride 40: the default takes another rung, and the halo rung asked for by name says why not."""
    x, weight = draw(rng, (1, 1, 330, 330)), draw(rng, (1, 1, 1, 1))
    y = conv2d_launch.forward(emulator, x, weight, (40, 40))
    np.testing.assert_allclose(y, x[:, :, ::40, ::40] * weight)
    with pytest.raises(ValueError, match="conv2d_forward: rung 'halo' needs more shared memory"):
        conv2d_launch.forward(emulator, x, weight, (40, 40), rung="halo")


@pytest.mark.parametrize(("kernel", "stride", "out", "filters"), [(15, 4, 32, 24), (13, 5, 24, 32)])
def test_a_piece_leaves_room_for_the_statistics_of_its_block(kernel, stride, out, filters):
    """64 numbers of shared memory beside those of the launch (`filter_sums` in kernels/conv2d.h)."""
    assert conv2d_launch._piece(8, (out, out), 3, filters, (kernel, kernel), (stride, stride), 4) is None


@pytest.mark.parametrize("side", [27, 28, 32])
def test_a_filter_of_more_taps_than_a_block_has_registers_for(side, rng):
    """A thread for each tap: 768 of them at most; larger filters take another rung, which is no worse for them."""
    grad, backend = draw(rng, (2, 1, 2, 2)), EmulatorBackend(check=False)
    piece = conv2d_launch._weight_piece(grad, 1, (side, side), (1, 1))
    assert (piece is None) == (side**2 > 768)
    x = draw(rng, (2, 1, side + 1, side + 1))
    got = conv2d_launch.backward_weight(backend, grad, x, (side, side))
    expected = sum(
        np.einsum("nij,n->ij", x[:, 0, p : p + side, q : q + side], grad[:, 0, p, q]) for p in (0, 1) for q in (0, 1)
    )
    np.testing.assert_allclose(got[0, 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("operation", ["gather_batch", "take_rows"])
def test_data_may_have_more_numbers_than_an_integer_counts(operation, tmp_path):
    """Images of 1024 x 1024, as a file that is mostly a hole: the last one begins behind the 2^31-th number."""
    emulator = EmulatorBackend(check=False)  # a check would keep notes on all of them
    rows, D = 2**11 + 1, 2**20
    X = np.memmap(tmp_path / "X", np.float32, "w+", shape=(rows, D))
    X[-1, :3] = 1, 2, 3
    order = np.array([rows - 1], np.int32)
    if operation == "take_rows":
        got = take_rows.on(emulator)(X, order)
    else:
        count = StepCount(*np.zeros((2, 1), np.int32))
        got = gather_batch(emulator, X, order, count, np.zeros(1, np.int32), 1, 1)
    assert got.shape == (1, D)
    np.testing.assert_array_equal(got[0, :4], [1, 2, 3, 0])


@pytest.mark.parametrize("activation", [LeakyReLU(0.1), ReLU()], ids=repr)
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_fused_module_equals_its_layers(affine, frozen, activation, rng):
    """Outputs, gradients and running statistics of two modules, with NumPy's layers one after the other."""
    results = []
    x, grad = draw(rng, (5, 2, 9, 8)), draw(rng, (5, 3, 2, 2))
    for backend in ("numpy", "emulator"):
        layers = []
        for _ in range(2):
            layers += [Conv2D(3, 3, padding=1), BatchNorm(affine), type(activation)(), MaxPool2D(2)]
        network = Sequential(layers)
        network.build((2, 9, 8), np.random.default_rng(1), np.float64, backend)
        for norm in layers[1::4] if affine else []:
            norm.params["weight"][...], norm.params["bias"][...] = (1.2, 0.0, -0.4), (0.3, -0.2, 0.1)
        network.freeze_statistics(frozen)
        y = network.forward(x, training=True)
        grad_x = network.backward(grad)
        evaluated = network.forward(x)
        results.append({"y": y, "x": grad_x, "evaluated": evaluated, **network.grads, **network.buffers})
        with pytest.raises(RuntimeError, match="backward before forward"):
            network.backward(grad)
    assert results[0].keys() == results[1].keys()
    for name, wanted in results[0].items():
        np.testing.assert_allclose(results[1][name], wanted, rtol=1e-9, atol=1e-11, err_msg=name)
