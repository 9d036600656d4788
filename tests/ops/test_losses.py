"""Losses: values one sample at a time, gradients by central differences, the far ends, the kinks."""

import math

import numpy as np
import pytest
from references import draw, scattered, tolerance

from minisvdd.gradcheck import check_library, check_loss
from minisvdd.nn import losses
from minisvdd.ops import losses as ops

NAMES = ["OneClass", "SoftBoundary", "MeanSquaredError", "AbsoluteError", "SoftmaxCrossEntropy", "BinaryCrossEntropy"]


@pytest.mark.parametrize("name", NAMES)
def test_gradient(name, backend):
    for report in check_library(name, backend):
        assert report.raise_if_failed().error < 1e-7


def test_one_class_is_the_mean_squared_distance(backend, rng):
    outputs, center = draw(rng, (5, 3)), draw(rng, 3)
    distances = [sum((outputs[i, j] - center[j]) ** 2 for j in range(3)) for i in range(5)]
    value, _, per_sample = losses.OneClass(center, backend)(outputs)
    assert value == pytest.approx(sum(distances) / 5)
    np.testing.assert_allclose(per_sample, distances)
    np.testing.assert_allclose(ops.squared_distances.on(backend)(outputs, center), distances)


def test_soft_boundary_value_and_kink(backend):
    """Points at distance 1, 2 and 3 from the centre, radius 2: one outside, one exactly on the sphere."""
    outputs, center = np.array([[1.0, 0], [0, 2], [3, 0]]), np.zeros(2)
    value, grad, per_sample = losses.SoftBoundary(center, nu=0.5, radius_squared=4.0, backend=backend)(outputs)
    assert value == pytest.approx(4 + (9 - 4) / (0.5 * 3))
    np.testing.assert_allclose(grad, [[0, 0], [0, 0], [2 * 3 / (0.5 * 3), 0]])
    np.testing.assert_allclose(per_sample, [1, 4, 9])


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
        value, grad, _ = losses.SoftmaxCrossEntropy(backend)(logits, np.array([0, 0]))
        other, *_ = losses.BinaryCrossEntropy(backend)(logits, np.array([[1.0, 0], [1, 0]]))
    assert value == pytest.approx(1e4)
    assert other == pytest.approx(5e3)
    assert np.isfinite(grad).all()


def test_float32_stays_float32(backend, rng):
    outputs, targets = draw(rng, (4, 3), np.float32), draw(rng, (4, 3), np.float32)
    center = targets[0]
    for value, grad, per_sample in (
        losses.OneClass(center, backend)(outputs),
        losses.SoftBoundary(center, 0.1, 0.5, backend)(outputs),
        losses.MeanSquaredError(backend)(outputs, targets),
        losses.AbsoluteError(backend)(outputs, targets),
        losses.SoftmaxCrossEntropy(backend)(outputs, np.array([0, 1, 2, 0])),
        losses.BinaryCrossEntropy(backend)(outputs, targets),
    ):
        assert grad.dtype == np.float32
        assert len(per_sample) == 4
        assert np.shape(value) == ()
        assert np.asarray(value).dtype == np.float64


SIZES = [(5, 3), (1, 1), (3, 2, 5, 7), (130, 33)]


@pytest.mark.parametrize("rung", ["naive", "block"])
@pytest.mark.parametrize("n", [1, 5, 31, 300])
def test_rungs_of_the_second_stage(n, rung, backend, dtype, rng):
    if backend.runs_numpy:
        pytest.skip("rungs are those of kernels")
    x = draw(rng, (n,), dtype) ** 2
    assert ops.scaled_sum(backend, x, 0.5, rung) == pytest.approx(0.5 * x.sum(dtype=np.float64))
    outputs, center = draw(rng, (n, 3), dtype), np.zeros(3, dtype)
    value, *_ = ops.soft_boundary(backend, outputs, center, 2.0, 2 / n, rung)
    assert value == pytest.approx(ops.soft_boundary_loss(outputs, center, 2.0, 2 / n)[0], rel=1e-6)


@pytest.mark.parametrize("rung", ["naive", "warp"])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_rungs_of_distances(shape, rung, backend, dtype, rng):
    if backend.runs_numpy:
        pytest.skip("rungs are those of kernels")
    y, t = scattered(draw(rng, shape, dtype)), draw(rng, shape, dtype)
    difference = (y - t).reshape(len(y), -1)
    for operation, expected in (("squared", (difference**2).sum(axis=1)), ("absolute", abs(difference).sum(axis=1))):
        got = ops.distances(backend, f"{operation}_distances", y, t, rung)
        np.testing.assert_allclose(got, expected, **tolerance(dtype))


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_backends_agree(shape, backend, dtype, rng):
    y, t = scattered(draw(rng, shape, dtype)), draw(rng, shape, dtype)
    y.flat[::3] = t.flat[::3]  # differences of exactly 0
    rows, labels = y.reshape(len(y), -1), rng.integers(y[0].size, size=len(y))
    for loss, args in (
        (ops.one_class_loss, (rows, t.reshape(len(t), -1)[0])),
        (ops.soft_boundary_loss, (rows, t.reshape(len(t), -1)[0], float(y[0].size), 0.3)),
        (ops.mean_squared_error, (y, t)),
        (ops.absolute_error, (y, t)),
        (ops.softmax_cross_entropy, (rows, labels)),
        (ops.binary_cross_entropy, (y, abs(np.tanh(t)))),
    ):
        value, grad, each = loss.on(backend)(*args)
        wanted_value, wanted_grad, wanted_each = loss(*args)
        np.testing.assert_allclose(each, wanted_each, rtol=1e-4)
        assert value == pytest.approx(wanted_value, rel=1e-5)
        assert grad.dtype == dtype
        assert grad.shape == args[0].shape
        np.testing.assert_allclose(grad, wanted_grad, **tolerance(dtype))


def test_one_target_for_all(backend, dtype, rng):
    logits = draw(rng, (4, 3), dtype)
    value, grad, _ = ops.binary_cross_entropy.on(backend)(logits, 1.0)
    expected_value, expected_grad, _ = ops.binary_cross_entropy(logits, np.ones((4, 3), dtype))
    assert value == pytest.approx(expected_value, rel=1e-6)
    np.testing.assert_allclose(grad, expected_grad, **tolerance(dtype))


def test_targets_of_another_shape_are_refused(backend, rng):
    y = draw(rng, (4, 3))
    for loss, targets in (
        (ops.mean_squared_error, draw(rng, (4, 2))),
        (ops.absolute_error, draw(rng, (3, 3))),
        (ops.one_class_loss, draw(rng, 2)),
        (ops.binary_cross_entropy, draw(rng, (3, 3))),
        (ops.softmax_cross_entropy, np.zeros(5, int)),
        (ops.softmax_cross_entropy, np.zeros((4, 1), int)),  # these NumPy would broadcast
        (ops.binary_cross_entropy, draw(rng, 3)),
        (ops.mean_squared_error, draw(rng, (4, 1))),
    ):
        with pytest.raises(ValueError, match="targets have shape"):
            loss.on(backend)(y, targets)


@pytest.mark.parametrize("label", [4, -1])
def test_a_label_that_is_no_class(label, backend, rng):
    logits, labels = draw(rng, (3, 4)), np.array([0, label, 1])
    if backend.runs_numpy:
        with pytest.raises(IndexError, match=r"labels from .*: expected integers in 0\.\.3"):
            ops.softmax_cross_entropy.on(backend)(logits, labels)
    else:
        assert np.isnan(ops.softmax_cross_entropy.on(backend)(logits, labels)[0])


def test_kinks_are_counted(backend):
    """L1 where output and target agree: no derivative, and the 0 of our gradient lies between the slopes -1 and 1."""
    targets = np.array([[1.0, 2, 3], [4, 5, 6]])
    outputs = targets + [[0, 1, -1], [2, 0, 1]]
    report = check_loss(losses.AbsoluteError(backend), outputs, targets)
    assert report.passed
    assert report.arrays[0].kinks == 2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((0.0, 1.0), "nu=0"),
        ((1.5, 1.0), "nu=1.5"),
        ((True, 1.0), "nu=True"),
        ((0.1, -1.0), "radius_squared=-1"),
        ((0.1, np.nan), "radius_squared=nan"),
        ((0.1, np.inf), "radius_squared=inf"),
    ],
)
def test_bad_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        losses.SoftBoundary(np.zeros(2), *arguments)


def test_the_soft_boundary_begins_with_radius_0(rng):
    """Without a radius every sample is outside."""
    outputs, center = rng.standard_normal((4, 3)), np.zeros(3)
    assert losses.SoftBoundary(center, 0.5)(outputs)[0] == losses.SoftBoundary(center, 0.5, 0.0)(outputs)[0]
    assert losses.SoftBoundary(center, 0.5)(outputs)[0] == pytest.approx((outputs**2).sum() / (0.5 * 4))
