"""The convolution's rungs on tensor cores: as accurate as they claim, on every size that fits, and only there."""

import numpy as np
import pytest
import tensor_checks as checks

from minisvdd import ops
from minisvdd.backends.emulator import EmulatorBackend
from minisvdd.ops.conv2d import launch_tensor
from minisvdd.ops.conv2d.launch_tensor import RUNGS, fits

pytestmark = pytest.mark.compiler
KIND = (5, 5), (1, 1), (2, 2)  # filters, stride, padding


@pytest.fixture
def emulator():
    return EmulatorBackend()


@pytest.fixture
def unchecked():
    """The emulator as fast as it can, for layers of real size."""
    return EmulatorBackend(check=False)


@pytest.mark.slow
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("layer", checks.LAYERS, ids=str)
def test_forward_and_weight_gradient(layer, rung, emulator, rng):
    checks.forward(emulator, *layer, rung, rng)
    checks.backward_weight(emulator, *layer, rung, rng)


@pytest.mark.slow
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("layer", checks.INPUT_LAYERS, ids=str)
def test_input_gradient(layer, rung, emulator, rng):
    checks.backward_input(emulator, *layer, rung, rng)


def convolve_without_fresh_sums(backend, x, weight, products):
    """y, each sum from its first product to its last on the tensor core."""
    (N, C, H, W), K = x.shape, len(weight)
    filters, y = np.empty_like(weight), np.full((N, K, H, W), np.nan, np.float32)
    backend.launch("conv2d_filters", (weight, filters, C, K, False), threads=weight.size)
    sizes = launch_tensor.Tensor(C, K, H, W, 1, 8, products)
    backend.launch(
        "conv2d_forward",
        (x, filters, y, N),
        grid=(sizes.pieces(N) * sizes.blocks_per_piece,),
        block=(sizes.threads,),
        rung="tensor",
        sizes=f"{str(sizes).removesuffix('>')}, false>",
    )
    return y


@pytest.mark.slow
@pytest.mark.parametrize(("rung", "least"), [("tensor", 3e-6), ("corrected", 2e-6)])
def test_fresh_sums_are_needed(rung, least, unchecked, rng):
    """Tensor cores cut sums off: 800 products in one sum lose what float32 could hold, and few at a time do not."""
    x, weight, _ = checks.drawn_layer(rng, (1, 32, 16, 16), 64)
    exact = ops.conv2d_forward(*checks.exactly(x, weight), *KIND[1:])
    stale = checks.error(convolve_without_fresh_sums(unchecked, x, weight, RUNGS[rung]), exact)
    fresh = checks.error(launch_tensor.forward(unchecked, x, weight, rung), exact)
    assert fresh <= checks.ERRORS[rung][0][1]
    assert stale > max(least, 5 * fresh)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "K"), [((2, 32, 16, 16), 64), ((2, 64, 8, 8), 128)], ids=["cifar10 2", "cifar10 3"])
def test_layers_of_the_cifar10_network(shape, K, unchecked, rng):
    checks.forward(unchecked, shape, K, "corrected", rng)
    checks.backward_weight(unchecked, shape, K, "corrected", rng)
    checks.backward_input(unchecked, shape, K, "corrected", rng)


@pytest.mark.slow
def test_order_of_threads_and_blocks_does_not_change_a_bit(rng):
    (shape, K), (input_shape, input_K) = checks.LAYERS[1], checks.INPUT_LAYERS[1]
    x, weight, grad = checks.drawn_layer(rng, shape, K)
    _, input_weight, input_grad = checks.drawn_layer(rng, input_shape, input_K)
    results = []
    for seed in (0, 1, 2):
        backend = EmulatorBackend(seed=seed)
        results.append(
            [
                *launch_tensor.forward_statistics(backend, x, weight),
                launch_tensor.backward_weight(backend, grad, x),
                launch_tensor.backward_input(backend, input_grad, input_weight),
            ]
        )
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_nan_and_infinity_are_not_lost(emulator, rng):
    """The GPU's own NaN has all bits set: rounding it by arithmetic would turn it into -0."""
    x, weight, grad = checks.drawn_layer(rng, *checks.LAYERS[2])
    x[0, 3, 1, 4] = np.array(0x7FFFFFFF, np.uint32).view(np.float32)
    grad[0, 5, 2, 2] = np.inf
    for rung in RUNGS:
        y = launch_tensor.forward(emulator, x, weight, rung)
        assert np.isnan(y[:, :, :4, 2:7]).all()
        assert not np.isnan(y[:, :, :, 7:]).any()
        assert not np.isfinite(launch_tensor.backward_weight(emulator, grad, x, rung)[5]).any()


@pytest.mark.slow
def test_the_weight_gradient_is_written_where_it_is_wanted(emulator, rng):
    x, weight, grad = checks.drawn_layer(rng, *checks.LAYERS[2])
    wanted = launch_tensor.backward_weight(emulator, grad, x)
    buffer = np.full(weight.size + 4, np.nan, np.float32)
    out = buffer[1 : 1 + weight.size].reshape(weight.shape)  # aligned for no pack
    assert launch_tensor.backward_weight(emulator, grad, x, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    assert np.isnan(buffer[[0, -3, -2, -1]]).all()


def test_what_fits(emulator):
    def fit(C=32, K=64, size=(16, 16), kernel=(5, 5), stride=(1, 1), padding=(2, 2), dtype=np.float32):
        operations = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")
        return [fits(emulator, name, C, K, size, kernel, stride, padding, dtype) for name in operations]

    assert fit() == fit(64, 128, (8, 8)) == [True, True, True]
    assert fit(C=8) == [True, False, True]  # groups of 32 results, and in the input gradient these are C
    assert fit(K=8) == [False, True, False]
    for other in (
        {"C": 3},
        {"C": 36, "K": 36},
        {"size": (16, 12)},
        {"size": (4, 256)},
        {"kernel": (3, 3)},
        {"stride": (2, 2)},
        {"padding": (0, 0)},
        {"dtype": np.float64},
    ):
        assert fit(**other) == [False, False, False], other
    assert fits(emulator, "conv2d_forward", 32, 64, (16, 16), *map(list, KIND))
    with pytest.raises(ValueError, match="operation='conv2d' is unknown; expected one of"):
        fits(emulator, "conv2d", 32, 64, (16, 16), *KIND)
    emulator.has_tf32 = False  # a GPU before Ampere
    assert fit() == [False, False, False]


def test_sizes_that_do_not_fit_are_named(emulator, rng):
    x, weight, grad = checks.drawn_layer(rng, (1, 3, 8, 8), 32)
    said = r"need channels in groups of 8 and 32, rows of a multiple of 8 pixels.*got \(1, {}, 8, 8\) and \({}"
    with pytest.raises(ValueError, match="conv2d_forward: rungs .*" + said.format(3, "32, 3, 5, 5")):
        launch_tensor.forward(emulator, x, weight)
    with pytest.raises(ValueError, match="conv2d_backward_input: rungs .*" + said.format(32, "32, 3, 5, 5")):
        launch_tensor.backward_input(emulator, grad, weight)
    with pytest.raises(ValueError, match="conv2d_backward_weight: rungs .*" + said.format(32, "1, 3, 8, 8")):
        launch_tensor.backward_weight(emulator, grad, x)


def test_the_pieces_cover_every_layer_that_fits():
    """Whole warps, shared memory enough, and the images exactly once: for all sizes that a network may have."""
    for C in (8, 32, 128):
        for K in (32, 96, 128):
            for H in range(1, 40):
                for W in range(8, 136, 8):
                    sizes = launch_tensor._convolution(C, K, H, W)
                    if sizes is not None:
                        assert sizes.threads % 32 == 0
                        assert 0 < sizes.threads <= 512
                        assert sizes.shared <= 48 * 1024
                        assert (sizes.pieces(5) - 1) * sizes.images * sizes.rows < 5 * H
                        assert sizes.pieces(5) * sizes.images * sizes.rows >= 5 * H
                    weights = launch_tensor._weight_gradient(C, K, H, W)
                    if weights is not None:
                        assert weights.threads <= 1024
                        assert weights.shared <= 48 * 1024
                        assert H % weights.rows == 0
                        assert weights.grid(1)[1] <= H // weights.rows
    assert launch_tensor._convolution(32, 64, 16, 16)[4:6] == (1, 8)
    assert launch_tensor._convolution(64, 128, 8, 8)[4:6] == (2, 8)
    assert launch_tensor._weight_gradient(32, 64, 16, 16).grid(200) == (4, 33)
    assert launch_tensor._weight_gradient(64, 128, 8, 8).grid(200) == (16, 8)


def test_precision_is_a_choice_of_the_backend(emulator):
    assert launch_tensor.default_rung(emulator) == "corrected"
    short = EmulatorBackend(precision="tf32")
    assert launch_tensor.default_rung(short) == "tf32"
    assert (repr(emulator), repr(short)) == ("EmulatorBackend()", "EmulatorBackend(precision='tf32')")
    with pytest.raises(ValueError, match=r"precision='half' is not available; expected one of \['float32', 'tf32'\]"):
        EmulatorBackend(precision="half")


def test_views_that_begin_anywhere_are_refused(emulator, rng):
    """The kernels load packs of 16 bytes: an error of one line, not of the device."""
    x, weight, _ = checks.drawn_layer(rng, *checks.LAYERS[2])
    view = np.empty(x.size + 1, np.float32)[1:].reshape(x.shape)
    with pytest.raises(TypeError, match="conv2d_forward_7_tensor: x must begin at a multiple of 16 bytes"):
        launch_tensor.forward(emulator, view, weight)
