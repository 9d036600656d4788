"""Global contrast normalisation: the plain sums, its invariances, one-coloured images, every rung."""

import numpy as np
import pytest
from references import draw, scattered

from minisvdd.ops import contrast


@pytest.mark.parametrize("shape", [(3, 1, 5, 7), (2, 3, 16, 11), (1, 2), (4, 1, 1, 1)], ids=str)
def test_equals_the_plain_sums(shape, backend, dtype, rng):
    x = 3 + draw(rng, shape, dtype)
    z = contrast.contrast_normalize.on(backend)(scattered(x))
    assert z.dtype == np.float32
    assert z.shape == shape
    for image, normal in zip(x.astype(np.float64), z):
        deviation = sum(abs(v - image.mean()) for v in image.flat) / image.size
        expected = (image - image.mean()) / deviation if image.size > 1 else np.zeros(image.shape)
        np.testing.assert_allclose(normal, expected, rtol=1e-5, atol=1e-5)


def test_brightness_and_contrast_do_not_matter(backend, rng):
    x = draw(rng, (4, 2, 6, 5))
    z, other = (contrast.contrast_normalize.on(backend)(images) for images in (x, 0.3 * x + 7))
    np.testing.assert_allclose(z, other, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(z.reshape(4, -1).mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.abs(z.reshape(4, -1)).mean(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("colour", [0, 0.1, 1 / 3, -7, 1e4])
def test_images_of_one_colour_become_0(colour, backend, dtype):
    np.testing.assert_array_equal(contrast.contrast_normalize.on(backend)(np.full((2, 1, 7, 9), colour, dtype)), 0)


def test_contrast_below_rounding_is_no_contrast(backend):
    """One pixel differs by the last bit of 1e4: that is how rounding looks. The same by 1 % is a picture."""
    x = np.full((2, 1, 6, 6), 1e4, np.float32)
    x[0, 0, 2, 3] = np.nextafter(np.float32(1e4), np.float32(2e4))
    x[1, 0, 2, 3] *= 1.01
    z = contrast.contrast_normalize.on(backend)(x)
    np.testing.assert_array_equal(z[0], 0)
    assert np.abs(z[1]).mean() == pytest.approx(1, rel=1e-3)


def test_the_smallest_integer_is_one_colour_too(backend):
    """In int8 the magnitude of -128 is -128."""
    np.testing.assert_array_equal(contrast.contrast_normalize.on(backend)(np.full((1, 1, 4, 4), -128, np.int8)), 0)


def test_integers(backend, rng):
    x = rng.integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
    expected = contrast.contrast_normalize(x)
    np.testing.assert_allclose(contrast.contrast_normalize.on(backend)(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rung", ["naive", "block"])
def test_rungs(rung, backend, dtype, rng):
    if backend.runs_numpy:
        pytest.skip("rungs are those of kernels")
    x = draw(rng, (3, 2, 9, 11), dtype)
    got = contrast.contrast_normalize.on(backend)(x, rung=rung)
    np.testing.assert_allclose(got, contrast.contrast_normalize(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 1, 5, 7), (2, 3, 4, 3), (2, 9)], ids=str)
def test_backward_equals_the_complex_step(shape, backend, rng):
    """z is analytic where no x_i is the mean: dz/dx_j = Im z(x + i h e_j) / h, exact to rounding."""
    x, G = rng.standard_normal(shape), rng.standard_normal(shape)

    def normalized(image):
        centered = image - image.mean()
        return centered / (np.sign(centered.real) * centered).mean()

    expected = np.zeros(shape)
    for index in np.ndindex(shape):
        moved = x[index[0]].astype(complex)
        moved[index[1:]] += 1e-30j
        expected[index] = (G[index[0]] * normalized(moved).imag).sum() / 1e-30
    back = contrast.contrast_normalize_backward.on(backend)
    np.testing.assert_allclose(backend.to_numpy(back(G, x)), expected, rtol=1e-6, atol=1e-6)


def test_backward_does_not_answer_to_brightness_and_contrast(backend, dtype, rng):
    x, G = draw(rng, (4, 2, 6, 5), dtype), draw(rng, (4, 2, 6, 5), dtype)
    grad = backend.to_numpy(contrast.contrast_normalize_backward.on(backend)(G, x)).reshape(4, -1)
    assert grad.dtype == dtype
    size = np.abs(grad).sum(axis=1)
    assert (np.abs(grad.sum(axis=1)) < 1e-5 * size).all()
    assert (np.abs((grad * x.reshape(4, -1)).sum(axis=1)) < 1e-5 * size).all()


def test_backward_of_images_of_one_colour_is_0(backend):
    x = np.full((2, 1, 7, 9), 1 / 3, np.float32)
    back = contrast.contrast_normalize_backward.on(backend)
    np.testing.assert_array_equal(backend.to_numpy(back(np.ones_like(x), x)), 0)
