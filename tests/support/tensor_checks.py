"""The convolutions on tensor cores against the formula in float64: how accurate each rung must be, and on which sizes.

`test_tensor.py` runs the checks on the kernels as they are, `kernel_mutants.py` on kernels with a planted error.
"""

import numpy as np
from references import draw

from minisvdd import ops
from minisvdd.ops.conv2d import launch

# norm of the error / norm of the result: (at least, at most) for forward and input gradient, for the weight gradient
ERRORS = {
    "tensor": ((0, 5e-7), (0, 9e-7)),
    "corrected": ((0, 1e-6), (0, 1e-6)),
    "tf32": ((1e-4, 4e-4), (1e-4, 4e-4)),
}
# (N, C, H, W), K: layers whose forward and weight gradient fit. Two images in a piece and one left over, several groups
# of filters; several pieces of an image, several chunks of channels, wider than high; the least of everything.
LAYERS = [((3, 8, 8, 8), 128), ((2, 16, 8, 24), 32), ((1, 8, 4, 8), 32)]
# the same for the input gradient, which is a convolution from K to C channels
INPUT_LAYERS = [((3, 128, 8, 8), 8), ((2, 32, 8, 24), 16), ((1, 32, 4, 8), 8)]
_PLACE = (1, 1), (2, 2)  # stride and padding


def error(got, exact):
    """Norm of the error by the norm of the result."""
    assert got.dtype == np.float32
    assert got.shape == exact.shape
    return np.linalg.norm(got.astype(np.float64) - exact) / np.linalg.norm(exact)


def check(got, exact, rung, what, of_weight=False):
    """Is the error as large as that rung's may be?"""
    least, most = ERRORS[rung][of_weight]
    found = error(got, exact)
    assert least <= found <= most, f"{what}, rung {rung}: error {found:.1e}, expected {least:.0e} to {most:.0e}"


def drawn_layer(rng, shape, K):
    """x, weight and the gradient of the output, float32."""
    x, weight = draw(rng, shape, np.float32), draw(rng, (K, shape[1], 5, 5), np.float32) / 20
    return x, weight, draw(rng, (shape[0], K, *shape[2:]), np.float32)


def exactly(*arrays):
    """In float64."""
    return [array.astype(np.float64) for array in arrays]


def forward(backend, shape, K, rung, rng):
    """The convolution, alone and with its statistics."""
    x, weight, _ = drawn_layer(rng, shape, K)
    exact = ops.conv2d_forward(*exactly(x, weight), *_PLACE)
    check(launch.forward(backend, x, weight, *_PLACE, rung), exact, rung, "forward")
    y, mean, variance = launch.forward_statistics(backend, x, weight, *_PLACE, rung)
    check(y, exact, rung, "forward with statistics")
    np.testing.assert_allclose(mean, y.mean((0, 2, 3), np.float64), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, y.var((0, 2, 3), np.float64), rtol=1e-5)


def backward_input(backend, shape, K, rung, rng):
    """The input gradient."""
    _, weight, grad = drawn_layer(rng, shape, K)
    exact = ops.conv2d_backward_input(*exactly(grad, weight), shape[2:], *_PLACE)
    got = launch.backward_input(backend, grad, weight, shape[2:], *_PLACE, rung)
    check(got, exact, rung, "input gradient")


def backward_weight(backend, shape, K, rung, rng):
    """The weight gradient."""
    x, _, grad = drawn_layer(rng, shape, K)
    exact = ops.conv2d_backward_weight(*exactly(grad, x), (5, 5), *_PLACE)
    got = launch.backward_weight(backend, grad, x, (5, 5), *_PLACE, rung)
    check(got, exact, rung, "weight gradient", of_weight=True)


def check_conv2d_tensor(backend, rng):
    """All that conv2d_tensor.cu holds."""
    for rung, layer, input_layer in zip(("corrected", "tensor"), LAYERS, INPUT_LAYERS):
        backward_weight(backend, *layer, rung, rng)
        forward(backend, *layer, rung, rng)
        backward_input(backend, *input_layer, rung, rng)
    forward(backend, *LAYERS[2], "tf32", rng)
