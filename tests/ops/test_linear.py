"""Linear map and bias: the plain sums, and the adjoint."""

import numpy as np
import pytest
from helpers_cuda import recording_backend
from references import draw, scattered, tolerance

from minisvdd.ops import linear


@pytest.mark.parametrize(("N", "D", "K"), [(4, 5, 3), (1, 1, 1), (1, 6, 2), (7, 1, 3)])
def test_equals_the_plain_sums(N, D, K, backend, dtype, rng):
    x, weight, grad_output = draw(rng, (N, D), dtype), draw(rng, (K, D), dtype), draw(rng, (N, K), dtype)
    y, grad_x, grad_weight = np.zeros((N, K)), np.zeros((N, D)), np.zeros((K, D))
    for n, k, d in np.ndindex(N, K, D):
        y[n, k] += weight[k, d] * x[n, d]
        grad_x[n, d] += grad_output[n, k] * weight[k, d]
        grad_weight[k, d] += grad_output[n, k] * x[n, d]
    for inputs in (x, scattered(x)):
        pairs = [
            (linear.linear_forward.on(backend)(inputs, weight), y),
            (linear.linear_backward_input.on(backend)(grad_output, weight), grad_x),
            (linear.linear_backward_weight.on(backend)(grad_output, inputs), grad_weight),
        ]
        for got, wanted in pairs:
            assert got.dtype == dtype
            np.testing.assert_allclose(got, wanted, **tolerance(dtype))


def test_adjoints(backend, rng):
    x, weight, y = draw(rng, (4, 5)), draw(rng, (3, 5)), draw(rng, (4, 3))
    left = (linear.linear_forward.on(backend)(x, weight) * y).sum()
    np.testing.assert_allclose(left, (x * linear.linear_backward_input.on(backend)(y, weight)).sum(), rtol=1e-12)
    np.testing.assert_allclose(left, (weight * linear.linear_backward_weight.on(backend)(y, x)).sum(), rtol=1e-12)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5, 4)], ids=str)
def test_bias(shape, backend, dtype, rng):
    y, bias, grad_output = draw(rng, shape, dtype), draw(rng, 3, dtype), draw(rng, shape, dtype)
    shifted, grad_bias = linear.bias_forward.on(backend)(y, bias), linear.bias_backward.on(backend)(grad_output)
    assert shifted.dtype == grad_bias.dtype == dtype
    for k in range(3):
        np.testing.assert_allclose(shifted[:, k], y[:, k] + bias[k], **tolerance(dtype))
        np.testing.assert_allclose(grad_bias[k], grad_output[:, k].sum(), **tolerance(dtype))


@pytest.mark.parametrize(
    ("shape", "rung", "grid"),
    [
        ((64, 1023), "split", (128, 8)),
        ((1024, 64), "quarters", (2, 32)),
        ((4096, 263), "quarters", (9, 128)),
        ((264, 4096), "register_blocked", (64, 5)),
    ],
)
def test_the_size_of_the_result_decides_which_rung_is_launched(shape, rung, grid):
    """Of 64 x 64 pieces there are two for each multiprocessor, or of smaller ones enough."""
    backend, launches = recording_backend()
    linear.matmul(backend, np.ones((shape[0], 1)), np.ones((1, shape[1])))
    [how] = launches
    assert (how["rung"], how["grid"]) == (rung, grid)
