"""GCN-L1, min-max scaling by the training set, standardisation."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainer_properties import digits

from minisvdd.backends import NUMPY
from minisvdd.data.datasets import load_dataset
from minisvdd.ops.contrast import contrast_normalize, contrast_normalize_backward
from minisvdd.svdd.preprocessing import make_preprocessing, preprocessing_for


def plain_gcn(image):
    """Reference: one image, one line after the other."""
    centered = image.astype(np.float64) - image.mean(dtype=np.float64)
    return centered / np.abs(centered).mean()


def test_contrast_equals_the_formula_on_every_image():
    X = np.random.default_rng(0).random((5, 3, 7, 6), dtype=np.float32)
    expected = np.stack([plain_gcn(x) for x in X])
    np.testing.assert_allclose(contrast_normalize.on(NUMPY)(X), expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=50)
@given(st.floats(0.01, 100), st.floats(-10, 10))
def test_contrast_ignores_brightness_and_contrast(a, b):
    X = np.random.default_rng(1).random((3, 1, 8, 8))
    np.testing.assert_allclose(
        contrast_normalize.on(NUMPY)(a * X + b),
        contrast_normalize.on(NUMPY)(X),
        rtol=1e-3,
        atol=1e-3 * (1 + abs(b) / a / 50),
    )


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1.0, 255.0])
def test_an_image_of_one_colour_becomes_zero(value):
    X = np.full((2, 3, 28, 28), value, np.float32)
    np.testing.assert_array_equal(contrast_normalize.on(NUMPY)(X), 0)


def test_training_images_fill_the_unit_interval_and_others_may_leave_it():
    split = digits()
    gcn = make_preprocessing("gcn-l1")
    train = gcn.fit_transform(split.train)
    assert train.min() == pytest.approx(0, abs=1e-6)
    assert train.max() == pytest.approx(1, abs=1e-6)
    test = gcn.transform(split.test)
    assert test.min() < 0 or test.max() > 1
    assert train.dtype == test.dtype == np.float32


def test_transform_works_in_chunks_and_leaves_its_input_alone():
    X = np.random.default_rng(0).random((5000, 1, 4, 4), dtype=np.float32)
    copy = X.copy()
    gcn = make_preprocessing("gcn-l1").fit(X)
    np.testing.assert_array_equal(gcn.transform(X)[4990:], gcn.transform(X[4990:]))
    np.testing.assert_array_equal(X, copy)


def test_training_images_of_one_colour_do_not_divide_by_zero():
    X = np.ones((4, 1, 5, 5), np.float32)
    np.testing.assert_array_equal(make_preprocessing("gcn-l1").fit_transform(X), 0)


def test_standardize_by_the_training_set():
    rng = np.random.default_rng(0)
    X = rng.normal(3, 5, size=(400, 4)).astype(np.float32)
    X[:, 2] = 7
    scaler = make_preprocessing("standardize").fit(X)
    Z = scaler.transform(X)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(Z.std(axis=0), [1, 1, 0, 1], atol=1e-5)
    np.testing.assert_allclose(scaler.transform(X + 1)[:, 2], 1)


def test_unknown_name():
    with pytest.raises(ValueError, match=r"preprocessing='zca'.*gcn-l1"):
        make_preprocessing("zca")


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("MINISVDD_DATA"), reason="$MINISVDD_DATA is not set")
def test_extremes_of_mnist_class_0_are_the_papers_check_value():
    gcn = make_preprocessing("gcn-l1").fit(load_dataset("mnist").one_class(0).train)
    assert gcn.constants["minimum"] == pytest.approx(-0.88266, abs=5e-6)
    assert gcn.constants["maximum"] == pytest.approx(9.00155, abs=5e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1 / 3, 1e9 + 0.1, 1e-30])
def test_a_feature_that_is_constant_is_only_centred(rng, constant):
    """Though the deviation of n times 0.1 is not 0 in floating point."""
    X = rng.standard_normal((150, 3))
    X[:, 1] = constant
    standardize = make_preprocessing("standardize").fit(X)
    near = X + np.array([0, 1e-12 * abs(constant), 0])
    for samples in (X, near, X.astype(np.float32)):
        assert np.abs(standardize.transform(samples)[:, 1]).max() <= 1e-7 * abs(constant)
    sums = np.c_[np.full(150, 0.3), X[:, 0]]
    sums[::2, 0] = 0.1 + 0.2  # which is not 0.3
    assert np.abs(make_preprocessing("standardize").fit_transform(sums)[:, 0]).max() < 1e-15


def test_constants_of_single_precision_data_are_computed_in_double(rng):
    X = (1e4 + rng.standard_normal((5001, 2))).astype(np.float32)
    constants = make_preprocessing("standardize").fit(X).constants
    np.testing.assert_array_equal(constants["mean"], X.astype(np.float64).mean(axis=0))
    np.testing.assert_allclose(constants["std"], X.astype(np.float64).std(axis=0), rtol=1e-12)


def test_trained_on_one_colour_there_is_no_range_to_scale_by(rng):
    """Later images are then normalised in contrast and left as they are."""
    fitted, x = make_preprocessing("gcn-l1").fit(np.full((3, 1, 4, 4), 0.5, np.float32)), rng.random((2, 1, 4, 4))
    np.testing.assert_allclose(fitted.transform(x), contrast_normalize.on(NUMPY)(x), rtol=1e-6)


def test_auto_goes_by_the_shape_of_a_sample():
    assert make_preprocessing("auto", input_shape=(5,)).name == "standardize"
    assert make_preprocessing("auto", input_shape=(1, 4, 4)).name == "gcn-l1"
    with pytest.raises(ValueError, match="preprocessing='auto'"):
        make_preprocessing("auto")  # there is no shape to go by


def test_the_pre_processing_made_for_samples():
    assert preprocessing_for((5,)) == "standardize"
    assert preprocessing_for((1, 4, 4)) == "gcn-l1"


@pytest.mark.parametrize("name", [None, "gcn-l1", "standardize"])
def test_backward_is_the_adjoint_of_what_a_small_change_does(name, rng):
    """<G, transform(x + h) - transform(x - h)> = <backward(G, x), 2 h>, with constants other than 0 and 1."""
    shape = (5, 7) if name == "standardize" else (5, 2, 4, 3)
    fitted = make_preprocessing(name).fit(rng.normal(3, 2, (30, *shape[1:])).astype(np.float32))
    X, G = rng.normal(3, 2, shape).astype(np.float32), rng.standard_normal(shape)
    h = (1e-3 * rng.standard_normal(shape)).astype(np.float32)
    change = fitted.transform(X + h).astype(np.float64) - fitted.transform(X - h)
    assert (G * change).sum() == pytest.approx((fitted.backward(G, X) * 2 * h).sum(), rel=1e-2)


def test_backward_without_a_range_to_scale_by(rng):
    fitted, x = make_preprocessing("gcn-l1").fit(np.full((3, 1, 4, 4), 0.5, np.float32)), rng.random((2, 1, 4, 4))
    G = rng.standard_normal(x.shape)
    np.testing.assert_allclose(fitted.backward(G, x), contrast_normalize_backward(G, x))
