"""Mistakes of a known form are called by their name, and nothing else is."""

import numpy as np
import pytest

from minisvdd.course.forms import name_of_error

X = np.random.default_rng(0).standard_normal((3, 4))
RIGHT = np.random.default_rng(1).standard_normal((3, 4))
IMAGES = np.random.default_rng(2).standard_normal((3, 2, 4, 5))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (-RIGHT, "looks like: negated"),
        (2 * RIGHT, "looks like: times 2"),
        (RIGHT.T, "looks like: transposed"),
        (0 * RIGHT, "looks like: all zeros"),
        (RIGHT / 3, "the batch size"),
        (np.where(RIGHT > 0, np.nan, RIGHT), "some entries are not finite"),
        (np.where(RIGHT > 0, np.inf, RIGHT), "some entries are not finite"),
    ],
    ids=["negated", "doubled", "transposed", "zeros", "divided", "nan", "inf"],
)
def test_what_is_known_of_any_array(given, words):
    assert words in name_of_error(given, RIGHT, (X,))


@pytest.mark.parametrize(
    "given", [np.random.default_rng(5).standard_normal((3, 4)), RIGHT[:2], RIGHT.T[:, :2], np.ones((4, 3)), RIGHT[0]]
)
def test_what_has_no_form_has_no_name(given):
    assert name_of_error(given, RIGHT, (X,)) is None


@pytest.mark.parametrize(
    ("count", "name"), [(3, "the batch size"), (20, "positions H W"), (60, "values per channel N H W"), (6, "entries")]
)
def test_counts_of_images_are_known(count, name):
    right = np.random.default_rng(1).standard_normal(6)
    assert name in name_of_error(right / count, right, (IMAGES,))
    assert name in name_of_error(right / count, right, (0.5, np.float64(2), IMAGES)), "the first array counts"


@pytest.mark.parametrize(
    ("factor", "words"),
    [(-1, "negated"), (2, "times 2: added twice, or a missing 1/2"), (0.5, "times 1/2"), (1.7, None), (-2, None)],
)
def test_single_numbers(factor, words):
    found = name_of_error(np.asarray(factor * 0.7), np.asarray(0.7), ())
    assert found is None if words is None else found.startswith(f"looks like: {words}")


def test_single_numbers_without_a_ratio():
    assert name_of_error(np.asarray(1.0), np.asarray(0.0), ()) is None
    assert name_of_error(np.asarray(6), np.asarray(3), ()) is None, "counts are no quantities"


def sum_of(x, y):
    return x + y


def test_own_forms_come_first_and_are_made_from_the_arguments():
    forms = [("the mean, not the sum", lambda x, y: (x + y) / 2), ("the difference", lambda x, y: x - y)]
    assert name_of_error((X + RIGHT) / 2, X + RIGHT, (X, RIGHT), forms) == "looks like: the mean, not the sum"
    assert name_of_error(X - RIGHT, X + RIGHT, (X, RIGHT), forms) == "looks like: the difference"
    assert name_of_error(X - RIGHT + 1e-3, X + RIGHT, (X, RIGHT), forms) is None


def test_a_form_sees_copies_and_may_fail():
    def spoils(x):
        x *= 0
        raise ValueError("not with these arguments")

    before = X.copy()
    assert name_of_error(-RIGHT, RIGHT, (X,), [("spoiled", spoils)]) == "looks like: negated"
    np.testing.assert_array_equal(X, before)


def test_a_form_of_several_results_is_compared_with_the_one_that_is_looked_at():
    forms = [("both exchanged", lambda x: (x + 1, x + 2))]
    assert name_of_error(X + 2, X, (X,), forms, output=1) == "looks like: both exchanged"
    assert name_of_error(X + 2, X, (X,), forms, output=0) != "looks like: both exchanged"


def test_a_form_that_is_not_finite_or_of_another_shape_is_none():
    forms = [("nan", lambda x: x * np.nan), ("a row", lambda x: x[0])]
    assert name_of_error(X * np.nan, RIGHT, (X,), forms) == (
        "some entries are not finite: a division by zero, an overflow, or the root of a negative number?"
    )
    assert name_of_error(X[0], RIGHT, (X,), forms) == "looks like: a row"


def test_a_form_that_is_right_for_these_arguments_is_never_named():
    near = RIGHT * (1 + 1e-7)
    forms = [("the right thing", lambda x: RIGHT), ("nearly so", lambda x: RIGHT * (1 + 1e-9))]
    found = name_of_error(near, RIGHT, (X,), forms)
    assert found.startswith("looks like: right to 7 digits: something is computed in single precision")
    assert name_of_error(RIGHT.astype(np.float32), RIGHT, (X,), forms).startswith("looks like: right to ")
    assert name_of_error(near, RIGHT, (X,), [("off by 1e-7", lambda x: near)]) == "looks like: off by 1e-7"


@pytest.mark.parametrize("error", [1e-4, 2e-5])
def test_what_is_further_off_than_rounding_is_no_single_precision(error):
    assert "single" not in (name_of_error(RIGHT * (1 + error), RIGHT, (X,)) or "")
    assert "single" not in (name_of_error(RIGHT + error * X, RIGHT, (X,)) or "")


TERMS = [
    ("X", lambda x: x),
    ("the mean of X", lambda x: x.mean(axis=0)),
    ("X^2", lambda x: x**2),
    ("a row", lambda x: x[0, :2]),
]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (-X, "the error is -1 times the term X"),
        (2 * X.mean(axis=0) + 0 * X, "the error is 2 times the term the mean of X"),
        (-X + 0.5 * X**2, "the error is -1 times the term X and 0.5 times the term X^2"),
        (X**2 / 3, "the error is 0.3333 times the term X^2"),
        (0.7213 * X, None),
        (X**3, None),
        (X + 1e-6 * X**3, None),
    ],
    ids=["one", "broadcast", "two", "a count", "no simple factor", "another term", "nearly"],
)
def test_an_error_without_a_form_is_looked_for_among_the_terms(error, words):
    found = name_of_error(RIGHT + error, RIGHT, (X,), terms=TERMS)
    assert found == (None if words is None else f"looks like: {words}")


def test_the_right_numbers_in_another_shape():
    assert "in the shape (12, 1) where (12,) belongs" in name_of_error(X.reshape(-1, 1), X.ravel(), (X,))
    assert name_of_error(-X.reshape(-1, 1), X.ravel(), (X,)) is None
