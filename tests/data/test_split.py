"""A data set split into one class and the rest: which class is normal is never guessed."""

import numpy as np
import pytest
from helpers_data import one_line_error

from minisvdd.data.split import Dataset, Split, class_index
from minisvdd.experiments.grid import make_grid


def toy(train_labels=(0, 1, 0, 2), test_labels=(2, 0, 1), names=("cat", "dog", "ship", "none")):
    train = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1) * 51
    test = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
    as_array = [None if labels is None else np.array(labels) for labels in (train_labels, test_labels)]
    return Dataset("toy", train, as_array[0], test, as_array[1], names)


@pytest.mark.parametrize("normal_class", ["cat", "CAT", 0, "0", np.int64(0)])
def test_one_class_trains_on_one_class_and_tests_on_all(normal_class):
    split = toy().one_class(normal_class)
    np.testing.assert_array_equal(split.train, np.float32([0, 0.4]).reshape(2, 1, 1, 1))
    assert split.train.dtype == split.test.dtype == np.float32
    assert len(split.test) == 3
    np.testing.assert_array_equal(split.is_anomaly, [True, False, True])
    np.testing.assert_array_equal(split.test_labels, [2, 0, 1])
    assert split.normal_class == "cat"
    assert split.notes == ()


@pytest.mark.parametrize("normal_class", ["bird", 4, -1, "1.0", True, ""])
def test_unknown_class_lists_those_that_exist(normal_class):
    one_line_error(lambda: toy().one_class(normal_class), repr(normal_class), "cat, dog, ship, none", error=ValueError)


def test_class_without_training_images():
    one_line_error(lambda: toy().one_class("none"), "'none'", "no training images", error=ValueError)


def test_missing_labels():
    split = toy(None, None, ()).one_class()
    assert (len(split.train), split.is_anomaly, split.normal_class) == (4, None, "all")
    one_line_error(lambda: toy(None, None, ()).one_class("cat"), "has no labels", error=ValueError)
    one_line_error(lambda: toy().one_class(), "normal_class=None", "cat (2 training", error=ValueError)
    only_test = toy(None).one_class("cat")
    assert len(only_test.train) == 4
    np.testing.assert_array_equal(only_test.is_anomaly, [True, False, True])


def test_floating_point_samples_are_not_scaled():
    dataset = Dataset("toy", np.full((2, 3), 7, np.float32), None, None, None, ())
    assert dataset.one_class().train.max() == 7
    assert dataset.one_class().test is None


def test_features_have_no_white():
    """Whatever their dtype: 51 is 51."""
    X = np.full((4, 3), 51, np.uint8)
    split = Dataset("toy", X, np.array([0, 0, 0, 1]), X, np.array([0, 0, 1, 1]), ("a", "b")).one_class("a")
    for part in (split.train, split.test, Dataset("toy", X, None, None, None, ()).one_class().train):
        assert (part.min(), part.max(), part.dtype) == (51, 51, np.float64)


def test_a_choice_lists_the_classes_with_their_counts():
    words = ("toy's classes", "cat (2 training and 1 test samples)", "none (0 training and 0 test samples)")
    one_line_error(lambda: toy().one_class(), *words, error=ValueError)
    one_line_error(lambda: toy(None).one_class(), "cat (1 test samples)", error=ValueError)
    many = Dataset("many", np.zeros((99, 1)), np.arange(99), None, None, tuple(f"a{k}" for k in range(99)))
    message = one_line_error(lambda: many.one_class(), "and 69 more", error=ValueError)
    assert message.endswith("a29 (1 training samples) and 69 more")
    strange = toy(names=("cat\nfish", "dog", "ship", "none"))
    one_line_error(lambda: strange.one_class(), r"cat\nfish", error=ValueError)


def test_the_only_class_of_the_training_samples_needs_no_name():
    split = toy(train_labels=(1, 1, 1, 1)).one_class()
    assert (split.normal_class, len(split.train)) == ("dog", 4)
    np.testing.assert_array_equal(split.is_anomaly, [True, True, False])
    lonely = toy(train_labels=(3, 3, 3, 3)).one_class()
    assert lonely.is_anomaly.all()
    assert any("no test sample is of the normal class none" in note for note in lonely.notes)


def labelled(counts):
    """Samples 0, 1, 2, ... of classes a, b, ... in turn, without test samples."""
    labels = np.repeat(np.arange(len(counts)), counts)
    X = np.arange(len(labels), dtype=np.float32)[:, None]
    names = tuple(f"{k}.png" for k in range(len(labels)))
    return Dataset("own", X, labels, None, None, tuple("abcdef"[: len(counts)]), train_names=names)


@pytest.mark.parametrize("counts", [(40, 10), (7, 1, 2), (3, 1), (1, 5)])
def test_without_test_samples_the_other_classes_and_a_quarter_of_the_normal_ones_test(counts):
    split, again = (labelled(counts).one_class("a") for _ in range(2))
    n = counts[0]
    assert len(split.train) == n - n // 4
    assert int((~split.is_anomaly).sum()) == n // 4
    assert int(split.is_anomaly.sum()) == sum(counts[1:])
    np.testing.assert_array_equal(np.sort(np.concatenate([split.train, split.test])[:, 0]), np.arange(sum(counts)))
    np.testing.assert_array_equal(split.is_anomaly, split.test[:, 0] >= n)
    np.testing.assert_array_equal(split.test_labels > 0, split.is_anomaly)
    for names, samples in ((split.train_names, split.train), (split.test_names, split.test)):
        assert names == tuple(f"{int(value)}.png" for value in samples[:, 0])
    assert f"{n // 4} of its {n} normal samples are held back" in split.notes[-1]
    np.testing.assert_array_equal(split.test, again.test)


def test_one_class_alone_keeps_all_its_samples():
    split = labelled((6,)).one_class()
    assert (len(split.train), split.test, split.notes) == (6, None, ())


def test_names_follow_their_samples():
    X, y = np.arange(4.0)[:, None], np.array([0, 1, 0, 1])
    dataset = Dataset("own", X, y, X, y, ("a", "b"), train_names=tuple("wxyz"), test_names=tuple("WXYZ"))
    split = dataset.one_class("b")
    assert (split.train_names, split.test_names) == (("x", "z"), ("W", "X", "Y", "Z"))


# --- Names of classes ---


def test_a_name_as_it_is_written_goes_first():
    names = ("A", "a", " a", "Bee", "0")
    assert [class_index(names, name) for name in names] == [0, 1, 2, 3, 4]
    assert class_index(names, "BEE ") == 3
    one_line_error(lambda: class_index(names, "A "), "could be any of A, a,  a", error=ValueError)
    assert class_index(("STRASSE", "x"), "straße") == 0
    assert class_index(("cafe\u0301", "x"), "caf\u00e9") == 0


def test_classes_that_differ_in_case_alone_stay_two(tmp_path):
    X, y = np.random.default_rng(0).random((40, 4)).astype(np.float32), np.array(["A", "a"] * 20)
    path = str(tmp_path / "letters.npz")
    np.savez(path, x_train=X, y_train=y, x_test=X, y_test=y)
    assert make_grid(path, methods=["kde"]).classes == ("A", "a")
    assert make_grid(path, methods=["kde"], classes=["a"]).classes == ("a",)


def test_a_split_of_one_s_own_takes_zeros_and_ones():
    X = np.zeros((3, 2), np.float32)
    assert Split(X, X, [0, 1, 1], "a", None).is_anomaly.tolist() == [False, True, True]
    for test, kinds, message in (
        (X, [1, -1, 1], "is_anomaly[1] is -1: expected True or 1"),
        (None, [True], "is_anomaly has shape (1,): expected (0,)"),
    ):
        one_line_error(lambda test=test, kinds=kinds: Split(X, test, kinds, "a", None), message, error=ValueError)


def test_samples_held_back_are_called_by_their_number_among_all():
    X, y = np.arange(24, dtype=np.float32)[:, None], np.arange(24) % 3 // 2
    split = Dataset("own", X, y, None, None, ("a", "b"), feature_names=("height",)).one_class("a")
    assert split.test_names == tuple(f"sample {value:.0f}" for value in split.test[:, 0])
    assert split.train_names is None
    assert split.feature_names == ("height",)
    assert Dataset("own", X, y, X, y, ("a", "b"), feature_names=("height",)).one_class("a").feature_names == ("height",)


def test_the_same_samples_are_held_back_in_every_version():
    """By their places: a report of a training, perhaps by an earlier version, tests with those that it left out."""
    X, y = np.arange(24, dtype=np.float32)[:, None], np.arange(24) % 3 // 2
    split = Dataset("own", X, y, None, None, ("a", "b")).one_class("a")
    assert split.test[~split.is_anomaly, 0].tolist() == [3, 4, 15, 16]
