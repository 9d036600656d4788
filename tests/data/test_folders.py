"""Folders of pictures: layouts, names and their order, what is left alone, sizes and colours chosen and said."""

import os
import warnings

import numpy as np
import pytest
from helpers_data import one_line_error
from matplotlib.figure import Figure
from PIL import Image

from minisvdd import DataError, load_dataset, load_images
from minisvdd.data.folders import read_folder
from minisvdd.experiments.plots import save_figure


def put(folder, names, size=(8, 8), mode="L"):
    """Pictures of one colour each, which says its place among `names`: 10, 20, ..."""
    for k, name in enumerate(names, 1):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size[::-1], 10 * k if mode == "L" else (10 * k, 0, 0)).save(path)
    return folder


def values(images):
    return [int(image.flat[0]) for image in images]


# --- load_images ---


def test_natural_order_in_all_folders(tmp_path):
    names = ("a2.png", "a10.png", "B1.png", "b2.jpg", "c/1.PNG", "c/02.png", "c/2.png", "ä 日本.bmp")
    put(tmp_path, names)
    images, found = load_images(tmp_path)
    assert found == ("a2.png", "a10.png", "B1.png", "b2.jpg", "c/1.PNG", "c/02.png", "c/2.png", "ä 日本.bmp")
    assert images.shape == (8, 1, 8, 8)
    assert images.dtype == np.uint8
    assert values(images) == pytest.approx([10 * k for k in range(1, 9)], abs=1)
    again, _ = load_images(str(tmp_path))
    np.testing.assert_array_equal(again, images)


def test_what_is_no_picture_is_left_alone(tmp_path):
    put(tmp_path, ["1.png", "2.png"])
    junk = ("Thumbs.db", ".DS_Store", "._1.png", ".hidden.png", "__MACOSX/1.png", ".git/1.png", "notes.txt", "x.npz")
    for name in junk:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "ground_truth").mkdir()
    put(tmp_path / "ground_truth", ["mask.png"])
    (tmp_path / "empty").mkdir()
    assert load_images(tmp_path)[1] == ("1.png", "2.png")


def test_pictures_of_other_formats_are_said(tmp_path):
    for name in ("1.webp", "2.HEIC"):
        (tmp_path / name).write_bytes(b"whatever")
    one_line_error(lambda: load_images(tmp_path), "found none but 2 pictures of other formats: 1.webp, 2.HEIC")
    put(tmp_path, ["3.png"])
    with pytest.warns(UserWarning, match="left alone: 2 pictures of other formats"):
        assert load_images(tmp_path)[1] == ("3.png",)
    assert len(load_dataset(str(tmp_path)).notes) == 1


@pytest.mark.parametrize("place", ["1.png", "runs/one/1.png"])
def test_pictures_that_minisvdd_has_made_are_no_data(place, tmp_path):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    save_figure(Figure(), tmp_path / place)
    one_line_error(lambda: load_images(tmp_path), f"found none but 1 pictures that minisvdd has made: {place}")
    put(tmp_path, ["2.png"])
    with pytest.warns(UserWarning, match=f"left alone: 1 pictures that minisvdd has made: {place}"):
        assert load_images(tmp_path)[1] == ("2.png",)
    assert load_dataset(str(tmp_path)).class_names == ()
    put(tmp_path / "classes", ["good/1.png", "crack/2.png"])
    save_figure(Figure(), tmp_path / "classes" / "runs" / "scores.png")
    assert load_dataset(str(tmp_path / "classes")).class_names == ("crack", "good")


def test_folders_without_pictures(tmp_path):
    one_line_error(lambda: load_images(tmp_path), tmp_path, "expected pictures", "found none")
    one_line_error(lambda: load_images(tmp_path / "absent"), "absent", "no such folder")
    (tmp_path / "a.txt").write_text("x")
    one_line_error(lambda: load_images(tmp_path / "a.txt"), "a.txt", "no such folder")


def test_symbolic_links(tmp_path):
    put(tmp_path / "elsewhere", ["2.png", "deep/3.png"])
    put(tmp_path / "here", ["1.png"])
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here" / "0.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    (tmp_path / "here" / "dangling.txt").symlink_to("nowhere")
    assert load_images(tmp_path / "here")[1] == ("0.png", "1.png", "linked/2.png", "linked/deep/3.png")
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(tmp_path / "elsewhere")
    one_line_error(lambda: load_images(tmp_path / "here"), "deep/back", "a folder that it lies in")
    (tmp_path / "elsewhere" / "deep" / "back").unlink()
    (tmp_path / "here" / "loop.png").symlink_to("loop.png")
    one_line_error(lambda: load_images(tmp_path / "here"), "loop.png")
    (tmp_path / "here" / "loop.png").unlink()
    (tmp_path / "here" / "gone.png").symlink_to("nowhere.png")
    one_line_error(lambda: load_images(tmp_path / "here"), "gone.png", "no such file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_among_the_pictures(tmp_path):
    put(tmp_path, ["1.png"])
    os.mkfifo(tmp_path / "2.png")
    one_line_error(lambda: load_images(tmp_path), "2.png", "a pipe")


def test_a_name_that_is_no_utf8(tmp_path):
    put(tmp_path, ["1.png"])
    try:
        os.rename(tmp_path / "1.png", os.fsencode(tmp_path) + b"/caf\xe9.png")
    except OSError:
        pytest.skip("this file system wants UTF-8")
    (name,) = load_images(tmp_path)[1]
    assert name == "caf\ufffd.png"
    name.encode("utf-8")


def test_damaged_pictures_are_named_or_left_out(tmp_path):
    put(tmp_path, ["1.png", "2.png", "3.png", "4.png"], size=(40, 40))
    (tmp_path / "2.png").write_bytes(b"no picture")
    content = (tmp_path / "3.png").read_bytes()
    for size in (None, 16):
        (tmp_path / "3.png").write_bytes(content[: len(content) // 2])
        one_line_error(lambda s=size: load_images(tmp_path, s), "2.png", "damaged")
        with pytest.warns(UserWarning, match=r"left out: .*png") as caught:
            images, names = load_images(tmp_path, size, skip_damaged=True)
        assert names == ("1.png", "4.png")
        assert values(images) == [10, 40]
        told = " ".join(str(warning.message) for warning in caught)
        assert "2.png" in told
        assert "3.png" in told
    for name in ("1.png", "4.png"):
        (tmp_path / name).unlink()
    one_line_error(lambda: load_images(tmp_path, skip_damaged=True), "none of the other pictures")


def test_errors_are_one_line_whatever_a_file_is_called(tmp_path):
    try:
        (tmp_path / "a\nb.png").write_bytes(b"no picture")
    except OSError:
        pytest.skip("this file system has no such names")
    one_line_error(lambda: load_images(tmp_path), r"a\nb.png", "damaged")
    with pytest.raises(DataError) as caught:
        load_images(tmp_path, skip_damaged=True)
    assert "\n" not in str(caught.value)


# --- Size and colour ---


@pytest.mark.parametrize(
    ("sizes", "size", "expected"),
    [
        ([(8, 12)], None, (8, 12)),
        ([(256, 4)], None, (256, 4)),
        ([(8, 12)], 16, (16, 16)),
        ([(8, 12)], (4, 6), (4, 6)),
        ([(8, 12)], "4x6", (4, 6)),
    ],
)
def test_one_size_is_kept_and_a_given_one_taken_in_silence(tmp_path, sizes, size, expected):
    put(tmp_path, ["1.png", "2.png"], sizes[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_images(tmp_path, size)[0].shape[2:] == expected


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(50, 50)] * 2, (48, 48)),
        ([(30, 40), (34, 50), (100, 90)], (32, 48)),
        ([(512, 512)] * 2, (256, 256)),
        ([(1000, 700)] * 2, (256, 176)),
        ([(3, 5)] * 2, (16, 16)),
    ],
)
def test_a_size_that_is_chosen_is_said(tmp_path, sizes, expected):
    for k, size in enumerate(sizes):
        put(tmp_path, [f"{k}.png"], size)
    with pytest.warns(UserWarning, match=f"resized to {expected[0]}x{expected[1]}.*--size"):
        assert load_images(tmp_path)[0].shape[2:] == expected


def test_grey_only_if_all_are(tmp_path):
    put(tmp_path, ["1.png", "2.png"])
    assert load_images(tmp_path)[0].shape[1] == 1
    assert load_images(tmp_path, color="rgb")[0].shape[1] == 3
    put(tmp_path, ["3.png"], mode="RGB")
    assert load_images(tmp_path)[0].shape[1] == 3
    assert values(load_images(tmp_path, color="grey")[0]) == [10, 20, 3]
    one_line_error(lambda: load_images(tmp_path, color="gray"), "color='gray'", "auto, grey, rgb", error=ValueError)
    one_line_error(lambda: load_images(tmp_path, size=0), "size=0", error=ValueError)


def test_more_than_the_memory_holds_is_refused_before_it_is_read(tmp_path, monkeypatch):
    put(tmp_path, ["1.png"])
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:-30])  # never read
    monkeypatch.setattr("minisvdd.data.folders.available_bytes", lambda: 1 << 20)
    one_line_error(lambda: load_images(tmp_path, 2048), "2 pictures of 1x2048x2048", "smaller size")


# --- Layouts ---


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Train", "TEST"), ("training", "val")])
def test_mvtec_layout(tmp_path, train, test):
    put(tmp_path / "tiles", [f"{train}/good/{k}.png" for k in range(5)])
    put(tmp_path / "tiles", [f"{test}/good/0.png", f"{test}/crack/0.png", f"{test}/crack/1.png"])
    put(tmp_path / "tiles", ["ground_truth/crack/0_mask.png", f"{test}/ground_truth/0.png"])
    dataset = load_dataset(str(tmp_path / "tiles"))
    assert (dataset.name, dataset.class_names, dataset.notes) == ("tiles", ("crack", "good"), ())
    split = dataset.one_class()
    assert (split.normal_class, split.train.shape) == ("good", (5, 1, 8, 8))
    assert split.test_names == (f"{test}/crack/0.png", f"{test}/crack/1.png", f"{test}/good/0.png")
    np.testing.assert_array_equal(split.is_anomaly, [True, True, False])
    assert split.train_names[0] == f"{train}/good/0.png"
    np.testing.assert_allclose(split.train[:, 0, 0, 0], np.float32(range(10, 60, 10)) / 255)


def test_flat_folders(tmp_path):
    put(tmp_path / "flat", ["1.png", "2.png"])
    split = load_dataset(str(tmp_path / "flat")).one_class()
    assert (len(split.train), split.test, split.is_anomaly) == (2, None, None)
    put(tmp_path / "two", ["train/1.png", "test/1.png", "test/2.png"])
    split = load_dataset(str(tmp_path / "two")).one_class()
    assert (len(split.train), len(split.test), split.is_anomaly) == (1, 2, None)


def test_folders_of_classes(tmp_path):
    put(tmp_path, [f"good/{k}.png" for k in range(8)] + ["crack/1.png", "crack/deep/2.png"])
    dataset = load_dataset(str(tmp_path))
    one_line_error(dataset.one_class, "crack (2 training samples), good (8", error=ValueError)
    split = dataset.one_class("good")
    assert (len(split.train), int(split.is_anomaly.sum()), int((~split.is_anomaly).sum())) == (6, 2, 2)
    assert "crack/deep/2.png" in split.test_names


def test_training_pictures_of_several_classes_or_none_ask_for_the_normal_one(tmp_path):
    put(tmp_path / "a", ["train/good/1.png", "train/bad/1.png", "test/good/1.png"])
    put(tmp_path / "b", ["train/1.png", "train/2.png", "test/good/1.png", "test/bad/1.png"])
    one_line_error(load_dataset(str(tmp_path / "a")).one_class, "bad (1 training and 0 test", error=ValueError)
    dataset = load_dataset(str(tmp_path / "b"))
    one_line_error(dataset.one_class, "bad (1 test samples), good (1", error=ValueError)
    np.testing.assert_array_equal(dataset.one_class("good").is_anomaly, [True, False])


def test_layouts_that_leave_open_what_is_meant(tmp_path):
    def refuse(names, *words):
        folder = put(tmp_path / str(len(list(tmp_path.iterdir()))), names)
        one_line_error(lambda: load_dataset(str(folder)), folder, *words)

    refuse(["1.png", "good/2.png"], "found both", "1.png beside good")
    refuse(["train/1.png", "train/good/1.png"], "found both")
    refuse(["test/1.png"], "expected a folder train beside test")
    refuse(["bus/1.png", "car/1.png", "train/1.png"], "classes alone", "bus, car, train")
    if not (tmp_path / "0" / "GOOD").exists():  # upper and lower case are two folders here
        refuse(["train/1.png", "Train/2.png"], "expected one folder train", "Train")
    refuse(["bottle/train/good/1.png", "cable/train/good/1.png"], "bottle", "expected one data set")


def test_pictures_beside_train_and_test_are_said(tmp_path):
    put(tmp_path, ["train/1.png", "test/1.png", "preview.png", "extra/1.png"])
    assert "2 pictures outside train and test are left alone" in load_dataset(str(tmp_path)).notes[0]


def test_test_pictures_are_read_as_those_of_the_training(tmp_path):
    put(tmp_path, ["train/1.png", "train/2.png"], (12, 16))
    put(tmp_path, ["test/1.png"], (40, 40), "RGB")
    dataset = load_dataset(str(tmp_path))
    assert dataset.test_images.shape == (1, 1, 12, 16)
    put(tmp_path, ["train/3.png"], (24, 32), "RGB")
    dataset = load_dataset(str(tmp_path), size="8x4", color="grey")
    assert dataset.train_images.shape == (3, 1, 8, 4)


# --- To score ---


def test_pictures_to_score_are_read_in_the_shape_of_the_model(tmp_path):
    put(tmp_path, ["good/1.png", "bad/1.png", "bad/2.png"], (20, 30), "RGB")
    pictures = read_folder(tmp_path, (1, 8, 12))
    assert pictures.images.shape == (3, 1, 8, 12)
    assert pictures.names == ("bad/1.png", "bad/2.png", "good/1.png")
    assert pictures.labels.tolist() == ["bad", "bad", "good"]
    assert read_folder(tmp_path, (3, 4, 4)).images.shape == (3, 3, 4, 4)
    alone = read_folder(tmp_path / "good" / "1.png", (3, 20, 30))
    assert (alone.names, alone.labels, alone.images.shape) == (("1.png",), None, (1, 3, 20, 30))
    one_line_error(lambda: read_folder(tmp_path, (5,)), tmp_path, "(5,)")


def test_of_a_whole_data_set_the_test_pictures_are_scored(tmp_path):
    put(tmp_path, ["train/good/1.png", "test/good/1.png", "test/bad/1.png"])
    pictures = read_folder(tmp_path, (1, 8, 8))
    assert pictures.names == ("test/bad/1.png", "test/good/1.png")
    assert "its 2 test pictures are scored" in pictures.notes[0]
    assert read_folder(tmp_path / "test", (1, 8, 8)).names == ("bad/1.png", "good/1.png")
