"""Checks of what users hand over: what passes, and one line that names the argument where something does not."""

import re

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from minisvdd.validation import (
    check_choice,
    check_fitted,
    check_flag,
    check_generator,
    check_kinds,
    check_number,
    check_numbers,
    check_test_samples,
    check_training_samples,
)


class Estimator(BaseEstimator):
    """Any estimator."""


@pytest.fixture
def of_images():
    """An estimator that was trained on images."""
    estimator = Estimator()
    check_training_samples(estimator, np.zeros((3, 1, 4, 5)))
    return estimator


@pytest.fixture
def of_features():
    estimator = Estimator()
    check_training_samples(estimator, np.zeros((3, 4)))
    return estimator


@pytest.mark.parametrize("shape", [(3, 1, 4, 5), (2, 3, 1, 1), (5, 8, 3, 3)])
@pytest.mark.parametrize(("dtype", "white"), [(np.float64, 1), (np.float32, 1), (np.uint8, 255), (bool, 1), (int, 1)])
def test_images_become_float32_and_uint8_is_scaled(shape, dtype, white):
    estimator, X = Estimator(), np.full(shape, white, dtype)
    checked = check_training_samples(estimator, X)
    assert (checked.dtype, checked.shape, estimator.input_shape_) == (np.float32, shape, shape[1:])
    assert (checked == 1).all()
    np.testing.assert_array_equal(X, white)
    assert (check_test_samples(estimator, X) == 1).all()


@pytest.mark.parametrize("shape", [(4, 3), (4, 1, 5, 5)])
@pytest.mark.parametrize("dtype", ["datetime64[s]", "timedelta64[s]", "U8", "S8"])
def test_what_numpy_could_make_numbers_of_is_refused(shape, dtype):
    trained, X = Estimator(), np.ones(shape, int)
    check_training_samples(trained, X)
    for samples in (X.astype(dtype), list(X.astype(dtype))):
        for estimator, check in ((Estimator(), check_training_samples), (trained, check_test_samples)):
            with pytest.raises(TypeError, match=r"X has dtype .*: expected real numbers, found (dates|durations|text)"):
                check(estimator, samples)


@pytest.mark.parametrize("shape", [(4, 3), (4, 1, 5, 5)])
def test_masked_values_are_refused(shape):
    trained, X = Estimator(), np.ma.array(np.ones(shape))
    np.testing.assert_array_equal(check_training_samples(trained, X), np.ones(shape))
    X[1, 0] = X[2, 0] = np.ma.masked
    count = int(X.mask.sum())
    for check in (lambda: check_training_samples(Estimator(), X), lambda: check_test_samples(trained, X)):
        with pytest.raises(ValueError, match=f"X has {count} masked values: fill or drop them"):
            check()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, bool])
def test_features_keep_their_precision_and_their_scale(dtype):
    estimator, X = Estimator(), np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype) * dtype(1)
    for checked in (check_training_samples(estimator, X), check_test_samples(estimator, X)):
        assert checked.dtype == (np.float32 if dtype == np.float32 else np.float64)
        np.testing.assert_array_equal(checked, X)
    times = 1.7e9 + np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(check_training_samples(Estimator(), times), times)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ((5, 8, 9), (1, 8, 9)),
        ((5, 8, 9, 1), (1, 8, 9)),
        ((5, 8, 9, 3), (3, 8, 9)),
        ((5, 4, 4, 3), (3, 4, 4)),
        ((5, 1, 8, 9), (1, 8, 9)),
        ((5, 3, 8, 9), (3, 8, 9)),
        ((5, 3, 8, 3), (3, 8, 3)),
        ((5, 4, 8, 9), (4, 8, 9)),
        ((5, 64, 4, 4), (64, 4, 4)),
    ],
)
def test_images_come_in_any_common_layout_to_training_and_to_scoring(given, taken, rng):
    estimator, X = Estimator(), rng.random(given, np.float32)
    checked = check_training_samples(estimator, X)
    assert estimator.input_shape_ == taken
    channels = np.moveaxis(X, -1, 1) if given[-1] == taken[0] and given[1] != taken[0] else X
    np.testing.assert_array_equal(checked, channels.reshape(5, *taken))
    np.testing.assert_array_equal(check_test_samples(estimator, X), checked)
    np.testing.assert_array_equal(check_test_samples(estimator, checked), checked)
    np.testing.assert_array_equal(check_test_samples(estimator, np.moveaxis(checked, 1, -1)), checked)
    assert check_test_samples(estimator, X[:0]).shape == (0, *taken)


def test_no_features_to_score_are_no_error(of_features):
    assert check_test_samples(of_features, np.empty((0, 4))).shape == (0, 4)


def test_float32_images_are_not_copied(of_images):
    X = np.zeros((3, 1, 4, 5), np.float32)
    assert check_training_samples(Estimator(), X) is X
    assert check_test_samples(of_images, X) is X


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        (np.zeros((9, 8, 3)), ValueError, r"X has shape \(9, 8, 3\): one image .* X\[None\].* X\[:, None\]"),
        (np.zeros((9, 8, 8, 2)), ValueError, r"channels first: np.moveaxis\(X, -1, 1\)$"),
        (np.zeros((9, 8, 8, 4)), ValueError, r"np.moveaxis\(X\[..., :3\], -1, 1\), without transparency$"),
        (np.zeros((2, 1, 3, 4, 1)), ValueError, r"expected images \(n, C, H, W\), \(n, H, W\) or features \(n, D\)"),
        (np.zeros((2, 0, 3, 4)), ValueError, r"X has shape \(2, 0, 3, 4\)"),
        (np.zeros((0, 1, 3, 4)), ValueError, r"X has shape \(0, 1, 3, 4\)"),
        (np.zeros((1, 1, 3, 4)), ValueError, "1 sample: one-class learning needs at least 2"),
        (np.zeros((1, 3)), ValueError, "1 sample"),
        (np.zeros((2, 1, 3, 4), complex), TypeError, "X has dtype complex128: expected real numbers"),
        (np.full((2, 1, 3, 4), "a"), TypeError, "X has dtype <U1: expected real numbers"),
    ],
    ids=str,
)
def test_wrong_training_samples(X, error, words):
    with pytest.raises(error, match=words):
        check_training_samples(Estimator(), X)


def test_the_first_bad_value_is_named_wherever_its_block():
    for bad in (np.nan, np.inf, -np.inf):
        X = np.zeros((9000, 1, 2, 3), np.float32)
        X[4097, 0, 1, 2] = X[8999, 0, 0, 0] = bad
        with pytest.raises(ValueError, match=r"X contains 2 values .* the first at index \(4097, 0, 1, 2\)$"):
            check_training_samples(Estimator(), X)
    with pytest.raises(ValueError, match=r"X contains 1 values .* the first at index \(1, 0\)$"):
        check_training_samples(Estimator(), np.array([[0.0], [np.nan], [1.0]]))
    for shape in ((2, 1, 1, 1), (2, 3)):
        with pytest.raises(ValueError, match="too large for float32"):
            check_training_samples(Estimator(), np.full(shape, 1e300))


def test_bad_values_are_counted_from_the_beginning_of_the_larger_array(of_images):
    X = np.zeros((2, 1, 4, 5))
    X[1, 0, 3, 4] = np.nan
    with pytest.raises(ValueError, match=r"index \(501, 0, 3, 4\)$"):
        check_test_samples(of_images, X, first=500)
    with pytest.raises(ValueError, match=r"index \(1, 0, 3, 4\)$"):
        check_test_samples(of_images, X)


def test_test_samples_have_the_shape_of_the_training_samples(of_images, of_features):
    assert check_test_samples(of_images, np.ones((1, 1, 4, 5), int)).dtype == np.float32
    assert check_test_samples(of_features, np.ones((1, 4), int)).dtype == np.float64
    for X in (np.zeros((2, 1, 5, 4)), np.zeros((2, 20)), np.zeros((2, 4))):
        with pytest.raises(
            ValueError, match=r"X has shape \(2, .*\): the model was trained on samples of shape \(1, 4"
        ):
            check_test_samples(of_images, X)
    with pytest.raises(
        ValueError, match=r"X has shape \(2, 1, 2, 2\): the model was trained on samples of shape \(4,\)"
    ):
        check_test_samples(of_features, np.zeros((2, 1, 2, 2)))
    with pytest.raises(ValueError, match=r"3 features.* 4 features"):
        check_test_samples(of_features, np.zeros((2, 3)))
    color = Estimator()
    check_training_samples(color, np.zeros((2, 3, 4, 5)))
    with pytest.raises(ValueError, match=r"X has shape \(3, 4, 5\).*one sample alone\? hand over X\[None\]$"):
        check_test_samples(color, np.zeros((3, 4, 5)))


def test_generators_and_seeds():
    first, second = check_generator(3), check_generator(np.int64(3))
    assert first.random() == second.random() != check_generator(4).random()
    assert check_generator(0).random() == np.random.default_rng(0).random()
    assert check_generator(first) is first
    assert check_generator(None).random() != check_generator(None).random()
    for wrong in (-1, "0", 1.5, np.random.RandomState(0)):
        with pytest.raises(ValueError, match="random_state="):
            check_generator(wrong)


@pytest.mark.parametrize("values", [[0, 1], (False, True), np.array([0.0, 1.0]), np.array([False, 1], object)])
def test_kinds_are_truths_or_zeros_and_ones(values):
    kinds = check_kinds(values, 2)
    assert (kinds.dtype, kinds.tolist()) == (bool, [False, True])


_NO_KINDS = ([0, -1], [1, 2], [0.5, 1], ["0", "1"], [None, 1], [np.nan, 0], [0], [[0, 1]], 1, None)


@pytest.mark.parametrize("wrong", _NO_KINDS)
def test_other_kinds_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=r"^mine(\[\d\]| has shape).*: expected (True or 1 for an anomaly|\(2,\))"):
        check_kinds(wrong, 2, "mine")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((), "rates=(): expected a sequence of numbers, at least one"),
        (None, "rates=None: expected a sequence"),
        ("12", "rates='12': expected a sequence"),
        (3.0, "rates=3.0: expected a sequence"),
        ([1, 0], "rates[1]=0: expected a number > 0"),
        (np.array([1, np.inf]), "rates[1]=np.float64(inf): expected a number > 0, and finite"),
        (["a"], "rates[0]='a': expected a number > 0"),
    ],
)
def test_sequences_of_numbers_name_the_entry(values, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        check_numbers(values, "rates", 0, low_open=True)
    check_numbers([1, 2.5, np.float32(3)], "rates", 0, low_open=True)
    check_numbers(np.array([1, 2]), "rates", 0, low_open=True)


@pytest.mark.parametrize(
    ("value", "options", "fits"),
    [
        (0, {"low": 0}, True),
        (0, {"low": 0, "low_open": True}, False),
        (1e-9, {"low": 0, "low_open": True}, True),
        (-1e-9, {"low": 0}, False),
        (1, {"low": 0, "high": 1}, True),
        (np.float32(0.5), {"low": 0, "high": 1}, True),
        (1.001, {"low": 0, "high": 1}, False),
        (float("nan"), {"low": 0}, False),
        (float("inf"), {"low": 0}, False),
        (2, {"low": 1, "integer": True}, True),
        (np.int64(2), {"low": 1, "integer": True}, True),
        (2.0, {"low": 1, "integer": True}, False),
        (True, {"low": 0}, False),
        (True, {"low": 0, "integer": True}, False),
        ("1", {"low": 0}, False),
        (None, {"low": 0}, False),
    ],
)
def test_numbers_in_their_range(value, options, fits):
    if fits:
        check_number(value, "nu", **options)
    else:
        with pytest.raises(ValueError, match=r"^nu=.*: expected a"):
            check_number(value, "nu", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"low": 0}, "a number >= 0"),
        ({"low": 0, "low_open": True}, "a number > 0"),
        ({"low": 0, "high": 1}, "a number in [0, 1]"),
        ({"low": 0, "high": 1, "low_open": True}, "a number in (0, 1]"),
        ({"low": 1, "integer": True}, "an integer >= 1"),
        ({"low": 1, "high": 5, "integer": True}, "an integer in [1, 5]"),
    ],
)
def test_the_range_in_words(options, words):
    with pytest.raises(ValueError) as caught:
        check_number(-2, "k", **options)
    assert str(caught.value) == f"k=-2: expected {words}"


@pytest.mark.parametrize("value", ["c", "", None, 1, True, ["a"], {"a": 1}, np.array(["a", "b"])], ids=repr)
def test_what_is_none_of_the_choices_is_named(value):
    for choices in (("a", "b"), {"a": 1, "b": 2}):
        check_choice("a", "letter", choices)
        with pytest.raises(ValueError, match=r"^letter=.*: expected one of \['a', 'b'\]$"):
            check_choice(value, "letter", choices)
    check_choice(None, "letter", ("a", None))


@pytest.mark.parametrize("value", [0, 1, 1.0, "True", None, [True], np.array([True, False])], ids=repr)
def test_a_flag_is_true_or_false(value):
    for flag in (True, False, np.True_):
        check_flag(flag, "flag")
    with pytest.raises(ValueError, match=r"^flag=.*: expected True or False$"):
        check_flag(value, "flag")


def test_fitted_estimators_have_a_threshold_or_classes():
    estimator = Estimator()
    with pytest.raises(NotFittedError, match="this Estimator is not fitted yet"):
        check_fitted(estimator)
    for name in ("offset_", "classes_"):
        estimator = Estimator()
        setattr(estimator, name, 0)
        check_fitted(estimator)
