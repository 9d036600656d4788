"""Files of the user's own: every layout of arrays is understood in full or refused with the reason."""

import io
import shutil

import numpy as np
import pytest
from helpers_data import npy_bytes, npz_bytes, one_line_error, zip_bytes
from PIL import Image

from minisvdd.data.datasets import load_dataset
from minisvdd.data.own import read_samples
from minisvdd.data.readers import as_samples


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def written(tmp_path, content, name="file.bin"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def refusal(read, path, *words):
    one_line_error(lambda: read(path), path, *words)


# --- Samples to score ---


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 7), (5, 7)),
        ((5, 8, 9), (5, 1, 8, 9)),
        ((5, 1, 8, 9), (5, 1, 8, 9)),
        ((5, 3, 8, 9), (5, 3, 8, 9)),
        ((5, 8, 9, 3), (5, 3, 8, 9)),
        ((5, 8, 9, 1), (5, 1, 8, 9)),
        ((5, 4, 8, 9), (5, 4, 8, 9)),
    ],
)
def test_samples_layouts(tmp_path, rng, shape, expected):
    array = rng.random(shape, np.float32)
    samples = read_samples(written(tmp_path, npy_bytes(array))).samples
    assert samples.shape == expected
    assert samples.dtype == np.float32
    channels_last = len(shape) == 4 and shape[-1] in (1, 3)
    np.testing.assert_array_equal(samples, np.moveaxis(array, -1, 1) if channels_last else array.reshape(expected))


@pytest.mark.parametrize("shape", [(5, 3, 8, 3), (5, 1, 8, 1), (5, 8, 9, 4), (28, 28, 3), (28, 28, 1)])
def test_samples_ambiguous_shape(tmp_path, shape):
    refusal(read_samples, written(tmp_path, npy_bytes(np.zeros(shape, np.uint8))), "ambiguous", str(shape))


@pytest.mark.parametrize("shape", [(), (5,), (5, 0), (0, 0), (1, 2, 3, 4, 5)])
def test_samples_impossible_shape(tmp_path, shape):
    refusal(read_samples, written(tmp_path, npy_bytes(np.zeros(shape))), str(shape))


def test_samples_scale(tmp_path):
    assert read_samples(written(tmp_path, npy_bytes(np.full((2, 4, 4), 51, np.uint8)))).samples.max() == np.float32(0.2)
    for dtype in ("f2", "f4", "f8", "g", "i1", "u1", "i8", ">u2"):
        features = read_samples(written(tmp_path, npy_bytes(np.full((2, 4), 51, dtype)))).samples
        assert (features.max(), features.dtype) == (51, np.float32 if dtype == "f4" else np.float64)
    assert read_samples(written(tmp_path, npy_bytes(np.ones((2, 4), bool)))).samples.max() == 1
    assert (
        read_samples(written(tmp_path, npy_bytes(np.asfortranarray(np.arange(6.0).reshape(2, 3))))).samples[1, 0] == 3
    )
    assert read_samples(written(tmp_path, npy_bytes(np.arange(6, dtype=">f4").reshape(2, 3)))).samples[1, 2] == 5
    refusal(read_samples, written(tmp_path, npy_bytes(np.zeros((2, 4, 4), np.int64))), "uint8", "int64")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 3.5e38, -3.5e38])
@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 4)])
def test_samples_must_be_finite(tmp_path, value, shape):
    array = np.zeros(shape)
    array[3].flat[1] = array[5].flat[0] = value
    refusal(read_samples, written(tmp_path, npz_bytes(X=array)), "X", "found 2 that are NaN or infinite", "sample 3")


def test_no_samples_are_an_empty_array(tmp_path):
    assert read_samples(written(tmp_path, npy_bytes(np.zeros((0, 4))))).samples.shape == (0, 4)
    assert read_samples(written(tmp_path, npz_bytes(X=np.zeros((0, 8, 8)), y=[]))).samples.shape == (0, 1, 8, 8)


def test_samples_key(tmp_path):
    arrays = {"x_test": np.full((1, 2), 1.0), "Images": np.full((1, 2), 2.0)}
    for expected in (2, 1):
        found = read_samples(written(tmp_path, npz_bytes(**arrays, other=np.zeros(9))))
        assert found.samples.max() == expected
        assert "left alone: other" in found.notes[0]
        arrays.popitem()
    assert read_samples(written(tmp_path, npz_bytes(compressed=True, any=np.full((1, 2), 7.0)))).samples.max() == 7
    refusal(read_samples, written(tmp_path, npz_bytes(a=np.zeros((1, 2)), b=np.zeros((1, 2)))), "found a, b")
    refusal(read_samples, written(tmp_path, npz_bytes(X=np.zeros((1, 2)), data=np.zeros((1, 2)))), "both mean X")
    refusal(read_samples, written(tmp_path, zip_bytes({})), "found none")
    assert read_samples(io.BytesIO(npz_bytes(X=np.ones((1, 2))))).samples.shape == (1, 2)


@pytest.mark.parametrize(
    ("arrays", "labels"),
    [
        ({"X": 2, "y": ["good", "bad"]}, ["good", "bad"]),
        ({"x_test": 2, "Y_test": [1, -1]}, ["1", "-1"]),
        ({"X": 2}, None),
        ({"x_train": 3, "y_train": [0, 0, 0], "x_test": 2, "y_test": [0, 1]}, ["0", "1"]),
    ],
)
def test_labels_of_samples_to_score(tmp_path, arrays, labels):
    content = {name: np.zeros((value, 3)) if isinstance(value, int) else value for name, value in arrays.items()}
    found = read_samples(written(tmp_path, npz_bytes(**content)))
    assert len(found.samples) == 2
    assert (None if found.labels is None else found.labels.tolist()) == labels


def test_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    array = np.empty((1, 1), object)
    array[0, 0] = Bomb()
    content = npy_bytes(array, allow_pickle=True)
    refusal(read_samples, written(tmp_path, content), "pickle")
    refusal(read_samples, written(tmp_path, zip_bytes({"X.npy": content})), "pickle")
    assert not (tmp_path / "exploded").exists()


def test_samples_dtype():
    one_line_error(lambda: as_samples(np.zeros((2, 2), np.complex64), "my array"), "my array", "complex64")


# --- Data sets ---


def own(tmp_path, **arrays):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    return str(path)


def test_own_file_in_keras_form(tmp_path, rng):
    x = rng.integers(0, 256, (6, 8, 9), np.uint8)
    path = own(tmp_path, x_train=x, y_train=np.array([[3], [5], [3], [5], [5], [9]]), x_test=x[:2], y_test=[5, 7])
    dataset = load_dataset(path)
    assert dataset.class_names == ("3", "5", "7", "9")
    split = dataset.one_class(5)
    np.testing.assert_array_equal(split.train, x[[1, 3, 4], None].astype(np.float32) / 255)
    np.testing.assert_array_equal(split.is_anomaly, [False, True])
    assert split.normal_class == "5"
    one_line_error(lambda: dataset.one_class(7), "no training images", error=ValueError)
    one_line_error(lambda: dataset.one_class(0), "3, 5, 7, 9", error=ValueError)


@pytest.mark.parametrize(
    ("labels", "normal_class"),
    [([1, -1, 1, -1], 1), ([1.0, 0.0, 1.0, 0.0], "1"), (["cat", "dog"] * 2, "cat"), ([True, False] * 2, 1)],
)
def test_own_file_with_labels_of_any_kind(tmp_path, labels, normal_class):
    x = np.arange(8.0).reshape(4, 2)
    split = load_dataset(own(tmp_path, X=x, y=np.array(labels))).one_class(normal_class)
    np.testing.assert_array_equal(split.train, [[0, 1], [4, 5]])
    np.testing.assert_array_equal(split.test, [[2, 3], [6, 7]])
    assert split.is_anomaly.all()
    one_line_error(
        lambda: load_dataset(own(tmp_path, X=x, y=np.array(labels))).one_class(), "classes", error=ValueError
    )


def test_own_file_without_labels(tmp_path):
    np.save(tmp_path / "mine.npy", np.arange(8.0).reshape(4, 2))
    for path in (tmp_path / "mine.npy", own(tmp_path, X=np.arange(8.0).reshape(4, 2))):
        split = load_dataset(path).one_class()
        np.testing.assert_array_equal(split.train, np.arange(8).reshape(4, 2))
        assert (split.test, split.is_anomaly) == (None, None)


def test_own_file_refusals(tmp_path):
    x = np.zeros((4, 2))

    def refuse(*words, **arrays):
        path = own(tmp_path, **arrays)
        one_line_error(lambda: load_dataset(path), path, *words)

    refuse("x_train or X", "found a", a=x)
    refuse("y", "4 labels", "(3,)", X=x, y=[1, 2, 3])
    refuse("y_train", "whole numbers", x_train=x, y_train=[0.5, 1, 1, 1])
    refuse("y_train", "whole numbers", x_train=x, y_train=[np.nan, 1, 1, 1])
    refuse("y_train", "whole numbers", x_train=x, y_train=[1e300, 1, 1, 1])
    refuse("x_train's shape (2,)", "found (3,)", x_train=x, x_test=np.zeros((4, 3)))
    images = np.zeros((4, 5, 5))
    refuse("x_train's dtype float32", "found uint8", x_train=images, x_test=images.astype(np.uint8))
    refuse("both", x_train=x, y_train=[1, 2, 3, 4], x_test=x, y_test=list("abcd"))
    refuse("x_test", "NaN", x_train=x, x_test=np.full((4, 2), np.nan))
    refuse("pickle", X=np.array([[None]]))
    one_line_error(lambda: load_dataset("absent.npz"), "absent.npz", "no such file")


def test_features_of_training_and_test_may_differ_in_dtype(tmp_path):
    """They are numbers: only images in uint8 have another white than images of floating-point numbers."""
    x = np.arange(8).reshape(4, 2)
    for dtype in (np.uint8, np.float32, bool):
        split = load_dataset(own(tmp_path, x_train=x.astype(float), x_test=x.astype(dtype))).one_class()
        np.testing.assert_array_equal(split.test, x.astype(dtype))


def test_features_keep_what_lies_behind_an_offset(tmp_path):
    """Seconds in time stamps, between which float32 has no numbers."""
    stamps = 1.7e9 + np.arange(12.0).reshape(6, 2) / 8
    np.savetxt(tmp_path / "mine.csv", stamps, "%.17g", ",")
    np.save(tmp_path / "mine.npy", stamps)
    for path in (str(tmp_path / "mine.csv"), str(tmp_path / "mine.npy"), own(tmp_path, X=stamps)):
        np.testing.assert_array_equal(load_dataset(path).one_class().train, stamps)
        np.testing.assert_array_equal(read_samples(path).samples, stamps)


ROWS = {
    "X": 6,
    "x_train": 6,
    "x_test": 4,
    "y": [0, 0, 0, 0, 1, 1],
    "y_train": [0, 0, 0, 0, 1, 1],
    "y_test": [0, 1, 1, 2],
}


@pytest.mark.parametrize(
    ("names", "normal_class", "train", "test", "anomalies"),
    [
        (["X"], None, 6, None, None),
        (["X", "y"], 0, 3, 3, 2),
        (["x_train"], None, 6, None, None),
        (["x_train", "y_train"], "0", 3, 3, 2),
        (["x_train", "x_test"], None, 6, 4, None),
        (["x_train", "x_test", "y_test"], 1, 6, 4, 2),
        (["x_train", "y_train", "x_test"], 0, 4, 4, None),
        (["x_train", "y_train", "x_test", "y_test"], 0, 4, 4, 3),
    ],
)
def test_every_layout_of_arrays(tmp_path, names, normal_class, train, test, anomalies):
    """In any case of letters. Where there are labels, None is refused: nobody knows which of them is normal."""
    content = {name: np.zeros((ROWS[name], 3)) if isinstance(ROWS[name], int) else ROWS[name] for name in names}
    for spelled in (content, {name.upper(): array for name, array in content.items()}):
        dataset = load_dataset(own(tmp_path, **spelled))
        split = dataset.one_class(normal_class)
        assert len(split.train) == train
        assert (None if split.test is None else len(split.test)) == test
        assert (None if split.is_anomaly is None else int(split.is_anomaly.sum())) == anomalies
        if normal_class is not None:
            one_line_error(lambda d=dataset: d.one_class(), "mine.npz's classes: 0 (", error=ValueError)


def test_other_names_of_arrays(tmp_path):
    x, y = np.zeros((4, 3)), [0, 0, 1, 1]
    for names in (("images", "labels"), ("data", "target"), ("Data", "Targets"), ("features", "label")):
        assert load_dataset(own(tmp_path, **dict(zip(names, (x, y))))).class_names == ("0", "1")
    pairs = {"train_images": x, "train_labels": y, "test_images": x, "test_labels": y}
    assert len(load_dataset(own(tmp_path, **pairs)).test_labels) == 4
    np.savez(tmp_path / "mine.npz", x)
    assert load_dataset(str(tmp_path / "mine.npz")).train_images.shape == (4, 3)


def test_arrays_that_mean_nothing_are_named(tmp_path):
    x = np.zeros((4, 3))
    dataset = load_dataset(own(tmp_path, X=x, feature_names=np.array(["a", "b", "c"]), extra=x))
    assert "left alone: feature_names, extra" in dataset.notes[0]
    assert dataset.one_class().notes == dataset.notes


def test_arrays_that_leave_open_what_is_meant_are_refused(tmp_path):
    x, y = np.zeros((4, 3)), [0, 0, 1, 1]

    def refuse(*words, **arrays):
        path = own(tmp_path, **arrays)
        one_line_error(lambda: load_dataset(path), path, *words)

    refuse("X, images", "both mean X", X=x, images=x)
    refuse("x_train, y_train, x_test and y_test", "found of both", x_train=x, y=y)
    refuse("found of both", X=x, x_test=x)
    refuse("y_test", "expected x_test with it", x_train=x, y_test=y)
    refuse("x_train or X", x_test=x, y_test=y)


def test_floating_point_images_that_are_not_scaled_are_noticed(tmp_path):
    images = np.linspace(0, 255, 4 * 64).reshape(4, 8, 8)
    assert "from 0 to 255, not 0 to 1" in load_dataset(own(tmp_path, X=images)).notes[0]
    assert load_dataset(own(tmp_path, X=images / 255)).notes == ()
    assert load_dataset(own(tmp_path, X=images.astype(np.uint8))).notes == ()
    assert load_dataset(own(tmp_path, X=images.reshape(4, 64))).notes == ()


# --- Where they are sought ---


def test_own_files_and_folders_are_sought_here_then_where_data_sets_are(tmp_path, monkeypatch):
    places = [tmp_path / name for name in ("here", "argument", "environment", "cache/minisvdd")]
    for count, place in enumerate(places, 2):
        place.mkdir(parents=True)
        np.save(place / "mine.npy", np.zeros((count, 3)))
        Image.new("L", (8, 8), 16 * count).save(place / "1.png")
        (place / "tiles").mkdir()
        (place / "1.png").rename(place / "tiles" / "1.png")
    monkeypatch.chdir(places[0])
    monkeypatch.setenv("MINISVDD_DATA", str(places[2]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for count, place in enumerate(places, 2):
        assert len(load_dataset("mine.npy", places[1]).train_images) == count
        assert load_dataset("tiles", places[1]).train_images.max() == 16 * count
        (place / "mine.npy").unlink()
        shutil.rmtree(place / "tiles")
    message = one_line_error(lambda: load_dataset("mine.npy", places[1]), "mine.npy: no such file")
    assert all(str(place) in message for place in places[1:])
    assert ".png" not in message
    one_line_error(lambda: load_dataset("sub/tiles"), "sub/tiles: no such file or folder")
    one_line_error(lambda: load_dataset(""), "name=''", error=ValueError)
    one_line_error(lambda: load_dataset("tiles"), "name='tiles'", "a folder of pictures", error=ValueError)
    absent = tmp_path / "absent.npz"
    assert str(places[1]) not in one_line_error(lambda: load_dataset(absent, places[1]), "absent.npz: no such file")


def test_options_of_pictures_are_for_pictures(tmp_path):
    path = own(tmp_path, X=np.zeros((4, 3)))
    one_line_error(lambda: load_dataset(path, size=64), "size=64", "only for folders of pictures", error=ValueError)
    one_line_error(lambda: load_dataset("digits", color="grey"), "color='grey'", error=ValueError)
