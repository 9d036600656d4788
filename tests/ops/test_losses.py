"""Losses: values one sample at a time, gradients by central differences, the far ends, the kinks."""

import math

import numpy as np
import pytest
from references import draw

from minisvdd import losses
from minisvdd.gradcheck import check_library, check_loss
from minisvdd.ops import losses as ops

NAMES = ["OneClass", "SoftBoundary", "MeanSquaredError", "AbsoluteError", "SoftmaxCrossEntropy", "BinaryCrossEntropy"]


@pytest.mark.parametrize("name", NAMES)
def test_gradient(name, backend):
    for report in check_library(name, backend):
        assert report.raise_if_failed().error < 1e-7


def test_one_class_is_the_mean_squared_distance(backend, rng):
    outputs, center = draw(rng, (5, 3)), draw(rng, 3)
    distances = [sum((outputs[i, j] - center[j]) ** 2 for j in range(3)) for i in range(5)]
    value, _ = losses.OneClass(center, backend)(outputs)
    assert value == pytest.approx(sum(distances) / 5)
    np.testing.assert_allclose(ops.squared_distances(backend, outputs, center), distances)


def test_soft_boundary_value_and_kink(backend):
    """Points at distance 1, 2 and 3 from the centre, radius 2: one outside, one exactly on the sphere."""
    outputs, center = np.array([[1.0, 0], [0, 2], [3, 0]]), np.zeros(2)
    value, grad = losses.SoftBoundary(center, nu=0.5, radius_squared=4.0, backend=backend)(outputs)
    assert value == pytest.approx(4 + (9 - 4) / (0.5 * 3))
    np.testing.assert_allclose(grad, [[0, 0], [0, 0], [2 * 3 / (0.5 * 3), 0]])


def test_reconstruction_errors_sum_over_pixels_and_average_over_images(backend, rng):
    y, t = draw(rng, (3, 2, 4, 5)), draw(rng, (3, 2, 4, 5))
    squares = sum((y[i] - t[i]) ** 2 for i in range(3)).sum() / 3
    assert losses.MeanSquaredError(backend)(y, t)[0] == pytest.approx(squares)
    assert losses.AbsoluteError(backend)(y, t)[0] == pytest.approx(sum(np.abs(y[i] - t[i]).sum() for i in range(3)) / 3)


def test_cross_entropies(backend, rng):
    logits, labels = draw(rng, (4, 3)), np.array([2, 0, 1, 1])
    expected = -sum(math.log(math.exp(z[k]) / sum(map(math.exp, z))) for z, k in zip(logits, labels)) / 4
    assert losses.SoftmaxCrossEntropy(backend)(logits, labels)[0] == pytest.approx(expected)
    targets = rng.uniform(size=(4, 3))
    pairs = [(1 / (1 + math.exp(-z)), t) for z, t in zip(logits.flat, targets.flat)]
    expected = -sum(t * math.log(s) + (1 - t) * math.log(1 - s) for s, t in pairs) / 12
    assert losses.BinaryCrossEntropy(backend)(logits, targets)[0] == pytest.approx(expected)


def test_huge_logits_neither_overflow_nor_warn(backend):
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, grad = losses.SoftmaxCrossEntropy(backend)(logits, np.array([0, 0]))
        other, _ = losses.BinaryCrossEntropy(backend)(logits, np.array([[1.0, 0], [1, 0]]))
    assert value == pytest.approx(1e4)
    assert other == pytest.approx(5e3)
    assert np.isfinite(grad).all()


def test_float32_stays_float32(backend, rng):
    outputs, targets = draw(rng, (4, 3), np.float32), draw(rng, (4, 3), np.float32)
    center = targets[0]
    for value, grad in (
        losses.OneClass(center, backend)(outputs),
        losses.SoftBoundary(center, 0.1, 0.5, backend)(outputs),
        losses.MeanSquaredError(backend)(outputs, targets),
        losses.AbsoluteError(backend)(outputs, targets),
        losses.SoftmaxCrossEntropy(backend)(outputs, np.array([0, 1, 2, 0])),
        losses.BinaryCrossEntropy(backend)(outputs, targets),
    ):
        assert grad.dtype == np.float32
        assert np.shape(value) == ()
        assert np.asarray(value).dtype == np.float64


def test_kinks_are_counted(backend):
    """L1 where output and target agree: no derivative, and the 0 of our gradient lies between the slopes -1 and 1."""
    targets = np.array([[1.0, 2, 3], [4, 5, 6]])
    outputs = targets + [[0, 1, -1], [2, 0, 1]]
    report = check_loss(losses.AbsoluteError(backend), outputs, targets)
    assert report.passed
    assert report.arrays[0].kinks == 2


@pytest.mark.parametrize(
    ("arguments", "word"), [((0.0, 1.0), "nu"), ((1.5, 1.0), "nu"), ((0.1, -1.0), "radius_squared")]
)
def test_bad_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        losses.SoftBoundary(np.zeros(2), *arguments)
