"""The convolution's rungs on tensor cores: as accurate as they claim, on every size that fits, and only there."""

import numpy as np
import pytest
import tensor_checks as checks
from references import draw

from minisvdd import ops
from minisvdd.backends.emulator import EmulatorBackend
from minisvdd.nn.layers import BatchNorm, Conv2D, LeakyReLU, MaxPool2D
from minisvdd.nn.networks import Sequential
from minisvdd.ops.conv2d import launch, launch_tensor
from minisvdd.ops.conv2d.launch_tensor import RUNGS

pytestmark = pytest.mark.compiler
KIND = (5, 5), (1, 1), (2, 2)  # filters, stride, padding


@pytest.fixture
def emulator():
    return EmulatorBackend()


@pytest.fixture
def unchecked():
    """The emulator as fast as it can, for layers of real size."""
    return EmulatorBackend(check=False)


def every_layer_and_rung(layers):
    """The smallest layer on every rung, each of the others on the default one and on another."""
    pairs = [(layers[0], "corrected"), (layers[0], "tf32"), (layers[1], "corrected"), (layers[1], "tensor")]
    return pytest.mark.parametrize(("layer", "rung"), [*pairs, *((layers[2], rung) for rung in RUNGS)], ids=str)


@every_layer_and_rung(checks.LAYERS)
def test_forward_and_weight_gradient(layer, rung, emulator, rng):
    checks.forward(emulator, *layer, rung, rng)
    checks.backward_weight(emulator, *layer, rung, rng)


@every_layer_and_rung(checks.INPUT_LAYERS)
def test_input_gradient(layer, rung, emulator, rng):
    checks.backward_input(emulator, *layer, rung, rng)


def convolve_without_fresh_sums(backend, x, weight, products):
    """y, each sum from its first product to its last on the tensor core."""
    (N, C, H, W), K = x.shape, len(weight)
    sizes, y = launch_tensor.Tensor(C, K, H, W, 1, 8, products), np.full((N, K, H, W), np.nan, np.float32)
    filters = launch_tensor.by_lane(backend, weight, sizes, False)
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
    fresh = checks.error(launch.forward(unchecked, x, weight, *KIND[1:], rung), exact)
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
                *launch.forward_statistics(backend, x, weight, *KIND[1:], "corrected"),
                launch.backward_weight(backend, grad, x, *KIND, "corrected"),
                launch.backward_input(backend, input_grad, input_weight, input_shape[2:], *KIND[1:], "corrected"),
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
        y = launch.forward(emulator, x, weight, *KIND[1:], rung)
        assert np.isnan(y[:, :, :4, 2:7]).all()
        assert not np.isnan(y[:, :, :, 7:]).any()
        assert not np.isfinite(launch.backward_weight(emulator, grad, x, *KIND, rung)[5]).any()


@pytest.mark.slow
def test_the_weight_gradient_is_written_where_it_is_wanted(emulator, rng):
    x, weight, grad = checks.drawn_layer(rng, *checks.LAYERS[2])
    wanted = launch.backward_weight(emulator, grad, x, *KIND, "corrected")
    buffer = np.full(weight.size + 4, np.nan, np.float32)
    out = buffer[1 : 1 + weight.size].reshape(weight.shape)  # aligned for no pack
    assert launch.backward_weight(emulator, grad, x, *KIND, "corrected", out) is out
    np.testing.assert_array_equal(out, wanted)
    assert np.isnan(buffer[[0, -3, -2, -1]]).all()


def sizes_of(C=32, K=64, size=(16, 16), kernel=(5, 5), stride=(1, 1), padding=(2, 2)):
    """As the launches pass them on; where the output has another size than the input, these rungs are out already."""
    return (2, C, *size, K, *size, *kernel, *stride, *padding)


def test_what_fits(emulator):
    operations = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")

    def fit(dtype=np.float32, **sizes):
        return [launch_tensor.fits(operation, sizes_of(**sizes), dtype) for operation in operations]

    assert fit() == fit(C=64, K=128, size=(8, 8)) == [True, True, True]
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
    assert launch_tensor.rungs(emulator, "conv2d_forward", sizes_of(), np.float32) == ["tensor", "corrected"]
    emulator.has_tf32 = False  # a GPU before Ampere
    assert launch_tensor.rungs(emulator, "conv2d_forward", sizes_of(), np.float32) == []


def test_sizes_that_do_not_fit_are_named(emulator, rng):
    x, weight, grad = checks.drawn_layer(rng, (1, 3, 8, 8), 32)
    said = ": rung 'tf32' needs float32, .*groups of 8 channels and 32 results.*; got float32, .*3 and 32 channels"
    with pytest.raises(ValueError, match="conv2d_forward" + said):
        launch.forward(emulator, x, weight, *KIND[1:], "tf32")
    with pytest.raises(ValueError, match="conv2d_moments" + said):
        launch.forward_statistics(emulator, x, weight, *KIND[1:], "tf32")
    with pytest.raises(ValueError, match="conv2d_backward_input" + said):
        launch.backward_input(emulator, grad, weight, (8, 8), *KIND[1:], "tf32")
    with pytest.raises(ValueError, match="conv2d_backward_weight" + said):
        launch.backward_weight(emulator, grad, x, *KIND, "tf32")
    x, weight, _ = (array.astype(np.float64) for array in checks.drawn_layer(rng, (1, 8, 8, 8), 32))
    with pytest.raises(ValueError, match=r"rung 'tensor' needs float32, .*; got float64"):
        launch.forward(emulator, x, weight, *KIND[1:], "tensor")


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


def launched(backend):
    """Names of the kernels that a module's forward and backward start by default, with their sizes."""
    names = []

    def run(kernel, args, grid, block, shared=0):
        names.append(kernel.instance(kernel.scalar_type(args)))

    backend.run = run
    x, weight = np.zeros((2, 32, 16, 16), np.float32), np.zeros((64, 32, 5, 5), np.float32)
    grad = launch.forward(backend, x, weight, *KIND[1:])
    launch.forward_statistics(backend, x, weight, *KIND[1:])
    launch.backward_input(backend, grad, weight, (16, 16), *KIND[1:])
    launch.backward_weight(backend, grad, x, *KIND)
    return [name for name in names if "Tensor" in name and "filters" not in name]


def test_precision_is_a_choice_of_the_backend():
    """Layers that are fastest on tensor cores run there, and their products are short only for those who ask."""
    accurate, short = EmulatorBackend(), EmulatorBackend(precision="tf32")
    assert (repr(accurate), repr(short)) == ("EmulatorBackend()", "EmulatorBackend(precision='tf32')")
    assert [name.split(", ")[-1] for name in launched(accurate)] == ["CORRECTED>>"] * 4
    assert [name.split(", ")[-1] for name in launched(short)] == ["TF32>>"] * 4
    with pytest.raises(ValueError, match=r"precision='half' is not available; expected one of \['float32', 'tf32'\]"):
        EmulatorBackend(precision="half")


@pytest.mark.slow
@pytest.mark.parametrize(("label", "tolerance"), [("emulator", 2e-6), ("emulator:tf32", 2e-3)])
def test_a_module_on_tensor_cores_is_the_one_on_numpy(label, tolerance, rng):
    """Convolution, statistics in its epilogue, normalisation and pooling, and all of their gradients."""
    x, grad = draw(rng, (5, 32, 8, 8), np.float32), draw(rng, (5, 32, 4, 4), np.float32)
    results = []
    for where in ("numpy", label):
        network = Sequential([Conv2D(32, 5, padding=2), BatchNorm(), LeakyReLU(0.1), MaxPool2D(2)])
        network.build(x.shape[1:], np.random.default_rng(1), np.float32, where)
        y = network.forward(x, training=True)
        results.append({"y": y, "x": network.backward(grad), **network.grads, **network.buffers})
    assert results[0].keys() == results[1].keys()
    for name, wanted in results[0].items():
        assert checks.error(np.asarray(results[1][name]), wanted.astype(np.float64)) < tolerance, name


@pytest.mark.slow
def test_views_that_begin_anywhere(emulator, rng):
    """The kernels load packs of 16 bytes: such a view is copied first."""
    x, weight, grad = checks.drawn_layer(rng, *checks.LAYERS[2])
    place = (*KIND[1:], "corrected")
    y, grad_weight = (
        launch.forward(emulator, x, weight, *place),
        launch.backward_weight(emulator, grad, x, (5, 5), *place),
    )
    x, weight, grad = (displaced(array) for array in (x, weight, grad))
    np.testing.assert_array_equal(launch.forward(emulator, x, weight, *place), y)
    np.testing.assert_array_equal(launch.backward_weight(emulator, grad, x, (5, 5), *place), grad_weight)


def displaced(array):
    """The same numbers at an address that is a multiple of 4 only."""
    view = np.empty(array.size + 1, array.dtype)[1:].reshape(array.shape)
    view[...] = array
    return view
