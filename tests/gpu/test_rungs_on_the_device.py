"""Every rung of every ladder on the GPU, with the checks that the emulator passes. Other tests marked `gpu` are those
of operations, layers and training with the parameter `cuda`."""

import kernel_checks as checks
import numpy as np
import pytest
import tensor_checks
from helpers_cuda import HostArrays
from specialisations import LAYERS

from minisvdd.backends import backend_problems
from minisvdd.ops import conv2d_backward_weight
from minisvdd.ops.conv2d import launch as conv2d_launch
from minisvdd.ops.conv2d.launch_tensor import RUNGS

_PROBLEM = backend_problems()["cuda"]
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(_PROBLEM), reason=str(_PROBLEM))]


@pytest.mark.parametrize("file", checks.FILE_CHECKS)
def test_rungs(file, rng):
    checks.FILE_CHECKS[file](HostArrays(), rng)


@pytest.mark.parametrize(("size", "offset"), [(1, 0), (67, 1), (70, 3), (5000, 0)])
def test_activations(size, offset, dtype, rng):
    checks.pointwise(HostArrays(), size, dtype, rng, offset)


@pytest.mark.parametrize(("shape", "scale"), [((2, 3, 4, 5), (2, 2)), ((2, 1, 3, 2), (1, 3))])
def test_up_sampling(shape, scale, dtype, rng):
    checks.up_sampling(HostArrays(), shape, scale, dtype, rng)


def test_same_sums_in_every_run(rng):
    """No kernel adds by atomics: two runs of a large batch agree to the bit."""
    backward_weight = conv2d_backward_weight.on(HostArrays())
    x, grad = (rng.standard_normal((200, C, 28, 28)).astype(np.float32) for C in (3, 8))
    first, second = (backward_weight(grad, x, (5, 5), padding=(2, 2)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_rows_at_full_size(layer, rng):
    """The paper's layers at the batch of training: the rung `halo`, within rounding; and twice the same bits."""
    C, K, side, padding = layer
    backend, where = HostArrays(), ((1, 1), (padding, padding))
    x = rng.standard_normal((200, C, side, side)).astype(np.float32)
    weight = rng.standard_normal((K, C, 5, 5)).astype(np.float32)
    y = conv2d_launch.forward(backend, x, weight, *where, "halo")
    for launch, inputs in (
        (conv2d_launch.forward, (x, weight)),
        (conv2d_launch.backward_input, (y, weight, (side, side))),
        (conv2d_launch.backward_weight, (y, x, (5, 5))),
    ):
        wanted, first, second = (launch(backend, *inputs, *where, rung) for rung in ("halo", "rows", "rows"))
        np.testing.assert_array_equal(first, second)
        assert np.abs(first - wanted).max() < 1e-5 * np.abs(wanted).max(), launch.__name__
    wanted, first, second = (
        conv2d_launch.forward_statistics(backend, x, weight, *where, rung) for rung in ("halo", "rows", "rows")
    )
    for ours, again, halo in zip(first, second, wanted):
        np.testing.assert_array_equal(ours, again)
        assert np.abs(ours - halo).max() < 1e-4 * np.abs(halo).max()


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize(("shape", "K"), [((200, 32, 16, 16), 64), ((200, 64, 8, 8), 128)], ids=str)
def test_tensor_cores_with_whole_batches(shape, K, rng, rung):
    """As accurate as on the emulator, whose sums are cut off in the same way; and two runs agree to the bit."""
    backend = HostArrays()
    for check in (tensor_checks.forward, tensor_checks.backward_input, tensor_checks.backward_weight):
        check(backend, shape, K, rung, rng)
    x, _, grad = tensor_checks.drawn_layer(rng, shape, K)
    first, second = (conv2d_launch.backward_weight(backend, grad, x, (5, 5), (1, 1), (2, 2), rung) for _ in range(2))
    np.testing.assert_array_equal(backend.to_numpy(first), backend.to_numpy(second))
