"""Every rung of every ladder on the GPU, with the checks that the emulator passes. Other tests marked `gpu` are those
of operations, layers and training with the parameter `cuda`."""

import kernel_checks as checks
import numpy as np
import pytest
from helpers_cuda import HostArrays

from minisvdd.backends import backend_problems
from minisvdd.ops import conv2d_backward_weight

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
