import gzip
import itertools
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers_data import (
    REAL_DATA,
    SIGN_HEADER,
    cifar_files,
    gtsrb_test_files,
    gtsrb_training_files,
    idx_bytes,
    mnist_files,
    mutations,
    needs_data,
    one_line_error,
    png_bytes,
    tar_bytes,
    write_files,
    zip_bytes,
)

from minisvdd.data.datasets import GTSRB_CLASSES, find_dataset, load_dataset
from minisvdd.data.readers import read_image, read_sign_table
from minisvdd.errors import DataError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder, which does not exist yet; no other place to find data in."""
    monkeypatch.delenv("MINISVDD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "minisvdd"


# --- Digits ---


def test_digits():
    dataset = load_dataset("digits")
    assert dataset.train_images.shape == (901, 1, 8, 8)
    assert dataset.test_images.shape == (896, 1, 8, 8)
    halves = np.bincount(dataset.train_labels) - np.bincount(dataset.test_labels)
    assert set(halves) <= {0, 1}
    split = dataset.one_class(3)
    assert (split.train.min(), split.train.max()) == (0, 1)
    assert (~split.is_anomaly).sum() == (dataset.test_labels == 3).sum() == 91


def test_digits_halves_alternate_within_a_class():
    from sklearn.datasets import load_digits

    bunch, dataset = load_digits(), load_dataset("digits")
    threes = bunch.images[bunch.target == 3]
    np.testing.assert_array_equal(dataset.train_images[dataset.train_labels == 3][:, 0], threes[::2])
    np.testing.assert_array_equal(dataset.test_images[dataset.test_labels == 3][:, 0], threes[1::2])


# --- Where data is sought ---


def test_folders_in_order(tmp_path, rng, cache, monkeypatch):
    places = [tmp_path / "argument", tmp_path / "environment" / "mnist", cache / "mnist"]
    for count, place in enumerate(places, start=1):
        write_files(place, mnist_files(rng, n_train=10 * count))
    monkeypatch.setenv("MINISVDD_DATA", str(tmp_path / "environment"))
    assert len(load_dataset("mnist", places[0], verify=False).train_images) == 10
    assert len(load_dataset("mnist", verify=False).train_images) == 20
    monkeypatch.delenv("MINISVDD_DATA")
    assert len(load_dataset("mnist", verify=False).train_images) == 30


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "train-images-idx3-ubyte.gz"),
        ("cifar10", "data_batch_1.bin"),
        ("cifar10", "cifar-10-batches-bin/data_batch_1.bin"),
        ("gtsrb", "GTSRB_Final_Test_Images.zip"),
        ("gtsrb", "Train.csv"),
    ],
)
def test_one_file_tells_where_a_data_set_lies(name, file, tmp_path, cache):
    assert find_dataset(name, tmp_path) is None
    for folder in (cache / name, tmp_path / name, tmp_path):  # each is asked before those that were there
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"")
        assert find_dataset(name, tmp_path) == folder


@pytest.mark.parametrize("name", ["mnist", "cifar10", "gtsrb"])
def test_missing_data_says_where_it_looked_and_what_to_do(tmp_path, cache, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # names that leave room for each other
    Path("empty").mkdir()
    monkeypatch.setenv("MINISVDD_DATA", "nowhere")
    one_line_error(lambda: load_dataset(name, "empty"), "empty", "nowhere", cache, f"minisvdd data fetch {name}")
    one_line_error(lambda: load_dataset(name, "typo"), "typo", "no such folder")


def test_unknown_name():
    one_line_error(lambda: load_dataset("imagenet"), "imagenet", "digits, mnist, cifar10, gtsrb", error=ValueError)
    one_line_error(lambda: load_dataset("digits", classes=[1]), "classes", "gtsrb", error=ValueError)


# --- MNIST ---


@pytest.mark.parametrize("spelling", ["{}", "{}.gz", "dotted", "dotted.gz"])
def test_mnist_spellings(tmp_path, rng, spelling):
    files = mnist_files(rng)
    renamed = {}
    for name, content in files.items():
        new = spelling.format(name).replace("dotted", name.replace("-idx", ".idx"))
        renamed[new] = gzip.compress(content) if new.endswith(".gz") else content
    dataset = load_dataset("mnist", write_files(tmp_path, renamed), verify=False)
    expected = np.frombuffer(files["t10k-images-idx3-ubyte"][16:], np.uint8).reshape(20, 1, 28, 28)
    np.testing.assert_array_equal(dataset.test_images, expected)
    np.testing.assert_array_equal(dataset.train_labels, np.arange(40) % 10)
    split = dataset.one_class("7")
    assert (len(split.train), split.is_anomaly.sum()) == (4, 18)


def test_mnist_must_be_official_unless_told_otherwise(tmp_path, rng):
    write_files(tmp_path, mnist_files(rng))
    one_line_error(lambda: load_dataset("mnist", tmp_path), "train-images-idx3-ubyte", "official", "SHA256")


def test_mnist_incomplete_or_inconsistent(tmp_path, rng):
    files = mnist_files(rng)
    write_files(tmp_path, files)
    load = lambda: load_dataset("mnist", tmp_path, verify=False)  # noqa: E731
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(19, np.uint8)))
    one_line_error(load, "t10k-images", "(20, 28, 28)", "(19,)")
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(20, 10, np.uint8)))
    one_line_error(load, "labels 0 to 9", "found 10")
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(files["t10k-images-idx3-ubyte"])
    one_line_error(load, "t10k-images", "n labels")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    one_line_error(load, tmp_path, "incomplete", "no t10k-labels-idx1-ubyte")


# --- CIFAR-10 ---


@pytest.mark.parametrize("form", ["folder", "sub-folder", "archive"])
def test_cifar10_forms(tmp_path, rng, form):
    files = cifar_files(rng)
    if form == "folder":
        write_files(tmp_path, files)
    else:
        # The official archive does not hold the files in order.
        inner = {f"cifar-10-batches-bin/{name}": files[name] for name in reversed(files)} | {"x/readme.html": b"hello"}
        write_files(tmp_path, inner if form == "sub-folder" else {"cifar-10-binary.tar.gz": tar_bytes(inner)})
    dataset = load_dataset("cifar10", tmp_path, verify=False)
    first, last = (
        np.frombuffer(files[name], np.uint8).reshape(10, 3073) for name in ("data_batch_1.bin", "test_batch.bin")
    )
    assert dataset.train_images.shape == (50, 3, 32, 32)
    assert dataset.train_images.dtype == np.uint8
    np.testing.assert_array_equal(dataset.train_images[:10], first[:, 1:].reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(dataset.test_images, last[:, 1:].reshape(-1, 3, 32, 32))
    assert dataset.one_class("airplane").normal_class == dataset.one_class(0).normal_class == "airplane"


@pytest.mark.parametrize("archived", [False, True])
def test_cifar10_refusals(tmp_path, rng, archived):
    def load(files, verify=False):
        for old in tmp_path.glob("*.*"):
            old.unlink()
        write_files(tmp_path, {"cifar-10-binary.tar.gz": tar_bytes(files)} if archived else files)
        return load_dataset("cifar10", tmp_path, verify=verify)

    files = cifar_files(rng)
    one_line_error(lambda: load(files, verify=True), "data_batch_1.bin", "official", "MD5")
    one_line_error(lambda: load(files | {"data_batch_3.bin": b"short"}), "data_batch_3.bin", "3073", "found 5 bytes")
    del files["data_batch_2.bin"]
    one_line_error(lambda: load(files), "incomplete", "no data_batch_2.bin")


def test_cifar10_damaged_archive(tmp_path, rng):
    content = tar_bytes(cifar_files(rng, n=2))
    path = tmp_path / "cifar-10-binary.tar.gz"
    a_folder = tar_bytes({"data_batch_1.bin": None})
    for damaged in (content[: len(content) // 2], b"", b"hello", tar_bytes({"other.txt": b"hello"}), a_folder):
        path.write_bytes(damaged)
        one_line_error(lambda: load_dataset("cifar10", tmp_path, verify=False), path)


# --- GTSRB ---


@pytest.mark.parametrize("form", ["folders", "archives", "renamed archives", "classes unpacked"])
def test_gtsrb_forms(tmp_path, rng, form):
    train, (test, classes) = gtsrb_training_files(rng), gtsrb_test_files(rng)
    if form == "folders":
        write_files(tmp_path, train | test | classes)
    elif form == "classes unpacked":
        test["GTSRB/Final_Test/Images/GT-final_test.csv"] = classes["GT-final_test.csv"]
        write_files(tmp_path, {"gtsrb_train_subset.zip": zip_bytes(train), "gtsrb_test_subset.zip": zip_bytes(test)})
    else:
        names = ["GTSRB_Final_Training_Images.zip", "GTSRB_Final_Test_Images.zip", "GTSRB_Final_Test_GT.zip"]
        if form == "renamed archives":
            names = ["my-train.zip", "my-test.zip", "my-test-classes.zip"]
        write_files(tmp_path, dict(zip(names, map(zip_bytes, (train, test, classes)))))
        write_files(tmp_path, {"unrelated.zip": b"not an archive"})
    dataset = load_dataset("gtsrb", tmp_path)
    np.testing.assert_array_equal(dataset.train_labels, [1, 1, 1, 14, 14, 14])
    np.testing.assert_array_equal(dataset.test_labels, [14, 1, 2, 14])
    # Of every image exactly the region of interest is left, whose grey value tells the class.
    for images, labels in ((dataset.train_images, dataset.train_labels), (dataset.test_images, dataset.test_labels)):
        assert images.shape[1:] == (3, 32, 32)
        assert (images == 100 + labels[:, None, None, None]).all()
    split = dataset.one_class("stop")
    assert len(split.train) == 3
    np.testing.assert_array_equal(split.is_anomaly, [False, True, True, False])


def test_gtsrb_some_classes_only(tmp_path, rng):
    write_files(tmp_path, gtsrb_training_files(rng, labels=(1, 2, 14)) | {"damaged": b""})
    test, classes = gtsrb_test_files(rng)
    write_files(tmp_path, test | classes)
    (tmp_path / "GTSRB/Final_Training/Images/00001/GT-00001.csv").write_text("never read")
    dataset = load_dataset("gtsrb", tmp_path, classes=["stop", 2])
    assert set(dataset.train_labels) == {2, 14}
    np.testing.assert_array_equal(dataset.test_labels, [14, 2, 14])
    one_line_error(lambda: load_dataset("gtsrb", tmp_path, classes=["stopp"]), "classes='stopp'", error=ValueError)
    one_line_error(lambda: load_dataset("gtsrb", tmp_path), "GT-00001.csv", "not a GTSRB table")


def test_gtsrb_images_that_were_cut_already(tmp_path, rng):
    """Train.csv with a path per image: one image as annotated, one cut to its region; neither is cut wrongly."""
    whole = rng.integers(0, 256, (30, 50, 3), np.uint8)
    whole[5:20, 6:43] = 70
    table = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n" + "".join(
        f"50,30,6,5,43,20,14,Train/14/{name}.png\n" for name in ("whole", "cut")
    )
    ramp = np.arange(37, dtype=np.uint8)[None, :, None].repeat(15, axis=0).repeat(3, axis=2)
    files = {"Train.csv": table.encode(), "Train/14/whole.png": png_bytes(whole), "Train/14/cut.png": png_bytes(ramp)}
    test, classes = gtsrb_test_files(rng)
    write_files(tmp_path, {"train_roi.zip": zip_bytes(files), "test.zip": zip_bytes(test | classes)})
    images = load_dataset("gtsrb", tmp_path).train_images
    assert (images[0] == 70).all()
    assert images[1].min() == 0
    assert images[1].max() == 36
    # The official layout never holds such images: there a resized image may have the region's size by chance.
    write_files(tmp_path, gtsrb_training_files(rng, labels=(14,), per_class=1))
    write_files(tmp_path, {"GTSRB/Final_Training/Images/00014/00000_00000.ppm": b"P6 37 15 255\n" + ramp.tobytes()})
    assert load_dataset("gtsrb", tmp_path).train_images.min() > 0


def test_gtsrb_refusals(tmp_path, rng):
    train, (test, classes) = gtsrb_training_files(rng), gtsrb_test_files(rng)

    places = (tmp_path / str(k) for k in itertools.count())

    def load(files):
        return load_dataset("gtsrb", write_files(next(places), files))

    one_line_error(lambda: load(train), "incomplete", "GTSRB_Final_Test_Images.zip")
    one_line_error(lambda: load(test | classes), "incomplete", "GTSRB_Final_Training_Images.zip")
    one_line_error(lambda: load(train | test), "no table with the classes", "GTSRB_Final_Test_GT.zip")
    one_line_error(lambda: load({"gtsrb.zip": zip_bytes(train)[:-40]}), "gtsrb.zip")
    missing = dict(train)
    del missing["GTSRB/Final_Training/Images/00014/00000_00001.ppm"]
    archives = {"train.zip": zip_bytes(missing), "test.zip": zip_bytes(test | classes)}
    one_line_error(lambda: load(archives), "train.zip", "00014/00000_00001.ppm", "no such file")
    del missing["GTSRB/Final_Training/Images/00014/GT-00014.csv"]
    one_line_error(lambda: load(missing | test | classes), "GT-00014.csv", "no such file")
    image = "GTSRB/Final_Training/Images/00014/00000_00001.ppm"
    one_line_error(lambda: load(train | test | classes | {image: train[image][:-1]}), image, "truncated")
    one_line_error(lambda: load(train | test | classes | {image: b"hello"}), image, "PPM")
    wrong_class = {"GT-final_test.csv": f"{SIGN_HEADER};ClassId\n00000.ppm;50;30;6;5;43;20;43\n".encode()}
    one_line_error(lambda: load(train | test | wrong_class), "ClassId from 0 to 42", "found 43")


def test_gtsrb_beside_files_that_are_no_archives(tmp_path, rng):
    """What a Mac leaves, and an archive whose name happens to hold "test", also in the folder above."""
    train, (test, classes) = gtsrb_training_files(rng), gtsrb_test_files(rng)
    archives = {"gtsrb/train.zip": zip_bytes(train), "gtsrb/test.zip": zip_bytes(test | classes)}
    junk = dict.fromkeys(("latest.zip", "gtsrb/latest.zip", "gtsrb/._train.zip", ".test.zip"), b"\0\5\x16\7 no zip")
    folder = write_files(tmp_path / "whole", archives | junk)
    assert len(load_dataset("gtsrb", folder).train_images) == 6
    damaged = write_files(tmp_path / "damaged", archives | {"gtsrb/test.zip": archives["gtsrb/test.zip"][:-40]})
    one_line_error(lambda: load_dataset("gtsrb", damaged), damaged / "gtsrb/test.zip", "zip")
    only_junk = write_files(tmp_path / "junk", {"latest.zip": b"no zip"})
    one_line_error(lambda: load_dataset("gtsrb", only_junk), only_junk / "latest.zip")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes and links")
def test_gtsrb_images_and_archives_that_are_no_files(tmp_path, rng):
    test, classes = gtsrb_test_files(rng)
    folder = write_files(tmp_path / "data", gtsrb_training_files(rng) | test | classes)
    image = folder / "GTSRB/Final_Training/Images/00014/00000_00001.ppm"
    image.unlink()
    image.symlink_to(image)
    one_line_error(lambda: load_dataset("gtsrb", folder), image)
    image.unlink()
    os.mkfifo(image)
    one_line_error(lambda: load_dataset("gtsrb", folder), image, "expected a regular file, found a pipe")
    other = write_files(tmp_path / "other", gtsrb_training_files(rng))
    os.mkfifo(other / "test.zip")
    one_line_error(lambda: load_dataset("gtsrb", other), other / "test.zip", "found a pipe")


# --- Archives that promise more than they have ---


def tar_with(*headers, content=b""):
    """A gzipped tar file of these headers, each (name, type, size that it says), with `content` behind them."""
    parts = []
    for name, kind, size in headers:
        member = tarfile.TarInfo(name)
        member.type, member.size = kind, size
        parts.append(member.tobuf(tarfile.GNU_FORMAT))
    return gzip.compress(b"".join(parts) + content, 1)


@pytest.mark.parametrize(
    ("name", "kind", "size"),
    [
        ("data_batch_1.bin", tarfile.REGTYPE, 10_000 * 3073 + 1),
        ("other", tarfile.REGTYPE, 3 << 30),
        ("long", tarfile.GNUTYPE_LONGNAME, 1 << 25),
        ("pax", tarfile.XHDTYPE, 1 << 25),
        ("data_batch_1.bin", tarfile.GNUTYPE_SPARSE, 3073),
    ],
)
def test_cifar10_archives_with_members_that_no_batch_is(tmp_path, name, kind, size):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(tar_with((name, kind, size), content=bytes(1 << 16)))
    one_line_error(lambda: load_dataset("cifar10", tmp_path), path, "expected a batch of CIFAR-10", size)


def test_cifar10_batches_of_zeros_are_a_bomb(tmp_path):
    """Six batches of the official size, 180 MB of zeros in a file of 180 kB, are refused when 16 MB have come out."""
    path = tmp_path / "cifar-10-binary.tar.gz"
    files = {name: bytes(10_000 * 3073) for name in ("data_batch_1.bin", "data_batch_2.bin")}
    path.write_bytes(tar_bytes(files))
    message = one_line_error(lambda: load_dataset("cifar10", tmp_path, verify=False), path, "made to fill the memory")
    assert int(message.split("promise ")[1].split(":")[0]) < (1 << 24) + (2 << 20)


def test_gtsrb_has_43_class_names():
    assert len(set(GTSRB_CLASSES)) == 43
    assert GTSRB_CLASSES[14] == "stop"


@pytest.mark.slow
def test_mutated_archives(tmp_path, rng):
    test, classes = gtsrb_test_files(rng, labels=(14,))
    signs = zip_bytes(gtsrb_training_files(rng, labels=(14,), per_class=1) | test | classes)
    for name, file, content in (
        ("gtsrb", "gtsrb.zip", signs),
        ("cifar10", "cifar-10-binary.tar.gz", tar_bytes(cifar_files(rng, n=1))),
    ):
        folder = write_files(tmp_path / name, {file: content})
        assert len(load_dataset(name, folder, verify=False).train_images) > 0
        refusals = []
        for mutant in mutations(rng, content, 200):
            (folder / file).write_bytes(mutant)
            try:
                load_dataset(name, folder, verify=False)
            except DataError as error:
                refusals.append(str(error))
        assert len(refusals) > 60
        assert not [message for message in refusals if "\n" in message]


# --- Real data ---


def real(name, **options):
    try:
        return load_dataset(name, REAL_DATA, **options)
    except DataError as error:
        if "not found" in str(error):
            pytest.skip(str(error))
        raise


@pytest.mark.data
@needs_data
def test_real_mnist():
    dataset = real("mnist")
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert dataset.train_images.shape == (60000, 1, 28, 28)
    assert np.bincount(dataset.train_labels).tolist() == train
    assert np.bincount(dataset.test_labels).tolist() == test
    split = dataset.one_class(3)
    assert (len(split.train), split.is_anomaly.sum(), split.train.max()) == (6131, 8990, 1)


@pytest.mark.data
@needs_data
def test_real_cifar10():
    dataset = real("cifar10")
    assert np.bincount(dataset.train_labels).tolist() == [5000] * 10
    assert np.bincount(dataset.test_labels).tolist() == [1000] * 10
    assert dataset.train_images.nbytes == 50000 * 3072
    assert dataset.one_class("airplane").train.shape == (5000, 3, 32, 32)


@pytest.mark.data
@needs_data
def test_real_gtsrb():
    split = real("gtsrb", classes=["stop", "yield"]).one_class("stop")
    assert split.train.shape == (780, 3, 32, 32)
    assert (~split.is_anomaly).sum() == 270
    # Stop signs are red; the channels are in their places.
    red, green, blue = split.train.mean(axis=(0, 2, 3))
    assert red > max(green, blue)


@pytest.mark.data
@needs_data
def test_real_gtsrb_regions_agree_with_images_cut_by_others(tmp_path):
    """The same 780 signs, cut out of 32 x 32 copies by us and at original resolution before us."""
    for name in ("gtsrb_stop_train_roi_png.zip", "gtsrb_test_subset.zip"):
        path = Path(REAL_DATA) / "gtsrb" / name
        if not path.exists():
            pytest.skip(f"no {path}")
        (tmp_path / name).symlink_to(path)
    ours = real("gtsrb", classes=["stop"]).train_images.reshape(780, -1)
    theirs = load_dataset("gtsrb", tmp_path, classes=["stop"]).train_images.reshape(780, -1)
    assert ours.shape == theirs.shape
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(ours, theirs)) > 0.9


@pytest.mark.data
@needs_data
def test_real_signs_at_original_resolution_in_official_archives(tmp_path, rng):
    """Official archives of uncut PPM images give the same 780 signs as the images that were cut to their region."""
    source = Path(REAL_DATA) / "gtsrb" / "gtsrb_stop_train_roi_png.zip"
    if not source.exists():
        pytest.skip(f"no {source}")
    official, cut = tmp_path / "official", tmp_path / "cut"
    test, classes = (zip_bytes(files) for files in gtsrb_test_files(rng))
    archives = {"GTSRB_Final_Test_Images.zip": test, "GTSRB_Final_Test_GT.zip": classes}
    write_files(official, {"GTSRB_Final_Training_Images.zip": zip_bytes(_uncut(zipfile.Path(source), rng)), **archives})
    write_files(cut, {"train_roi.zip": source.read_bytes(), **archives})
    ours, theirs = (load_dataset("gtsrb", folder, classes=["stop"]).train_images for folder in (official, cut))
    assert len(ours) == 780
    np.testing.assert_array_equal(ours, theirs)


def _uncut(archive, rng):
    """The official files of one class: every image at its full size, its region of interest surrounded by noise."""
    folder = "GTSRB/Final_Training/Images/00014"
    rows, files = [SIGN_HEADER + ";ClassId"], {}
    for sign in read_sign_table(archive / "Train.csv"):
        width, height = sign.size
        x1, y1, x2, y2 = sign.region
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        image[y1:y2, x1:x2] = read_image(archive / sign.file)
        name = Path(sign.file).stem.removeprefix("00014_") + ".ppm"
        files[f"{folder}/{name}"] = f"P6 {width} {height} 255\n".encode() + image.tobytes()
        rows.append(f"{name};{width};{height};{x1};{y1};{x2};{y2};14")
    return files | {f"{folder}/GT-00014.csv": "\n".join(rows).encode()}
