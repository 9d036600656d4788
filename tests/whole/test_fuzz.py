"""Mutated files of every format give data or a DataError of one line, soon and in bounded memory (see `fuzz.py`)."""

import gzip
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from fuzz import all_targets, fuzz, inside_zip, mutate
from helpers_data import gtsrb_test_files, gtsrb_training_files, idx_bytes, npy_promising, one_line_error, write_files

from minisvdd import load_dataset, load_model
from minisvdd.data.readers import read_idx, read_image, read_sign_table
from minisvdd.errors import LONGEST
from minisvdd.files.arrays import read_array
from minisvdd.nn.layers import Flatten, Reshape, Upsample
from minisvdd.nn.networks import Sequential

pytestmark = pytest.mark.slow

MUTANTS = 120
FORMATS = (
    "IDX", "IDX, gzip", "CIFAR-10 binary", "PPM", "PNG", "picture, png", "picture, jpg", "picture, tif", "picture, gif",
    "picture, bmp", "picture, pgm", "GTSRB table", "CSV", "npy", "npz", "npz, deflated", "GTSRB zip", "CIFAR-10 tar.gz",
    "DeepSVDD model", "DeepSVDD model, images", "Autoencoder model", "AnoGAN model", "classifier", "grid cell",
    "grid file", "grid scores", "checkpoint autoencoder", "checkpoint svdd", "attack", "wire message", "CUDA source",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def targets(folder):
    found = {target.name: target for target in all_targets(folder)}
    assert tuple(found) == FORMATS
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_mutants_are_read_or_refused(name, targets, folder):
    result = fuzz(targets[name], folder, MUTANTS, np.random.default_rng([1, FORMATS.index(name)]))
    assert not result.findings, result.findings[:5]
    assert result.files == MUTANTS
    assert result.refused > MUTANTS // 5
    assert result.longest_message <= LONGEST


def test_the_fuzzer_itself_is_repeatable_and_finds_a_careless_reader(targets, folder):
    target = targets["npz"]
    first, second = (mutate(np.random.default_rng(3), target.content) for _ in range(2))
    assert first == second != target.content
    assert inside_zip(np.random.default_rng(3), target.content) == inside_zip(np.random.default_rng(3), target.content)
    careless = fuzz(
        type(target)("npy", targets["npy"].content, "careless.npy", np.load), folder, 100, np.random.default_rng(0)
    )
    assert len(careless.findings) > 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures through /proc")
def test_the_fuzzer_notices_a_greedy_reader_and_an_endless_one(targets, folder, monkeypatch):
    def greedy(path):
        return np.ones(100 << 20, np.uint8).sum()

    def endless(path):
        while True:
            pass

    for read, seconds, words in ((greedy, 8, "MB for"), (endless, 0.2, "more than 0.2 seconds")):
        monkeypatch.setattr("fuzz.SECONDS_LIMIT", seconds)
        target = type(targets["npy"])("npy", b"x", f"{read.__name__}.npy", lambda path: None)
        target.read = lambda path, read=read: None if path.read_bytes() == b"x" else read(path)
        (finding,) = fuzz(target, folder, 1, np.random.default_rng(1)).findings
        assert words in finding


# Bombs: small files that promise, or even hold, more than any memory


def test_a_bomb_of_zeros_is_refused_by_its_promise(tmp_path):
    """300 MB of zeros, compressed to 1.3 MB: the readers must not unpack them."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("X.npy", npy_promising("(1000000, 300)", "|u1", bytes(300_000_000)))
    one_line_error(lambda: read_array(path), path, "promise")
    one_line_error(lambda: load_model(path), path, "promise")
    header = idx_bytes(np.zeros((1, 1), np.uint8))[:4] + (10**6).to_bytes(4, "big") + (1000).to_bytes(4, "big")
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(header + bytes(1000)))
    one_line_error(lambda: read_idx(tmp_path / "bomb.gz"), "promise")


def test_compressions_without_a_useful_bound_are_refused(tmp_path):
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = tmp_path / "x.npz"
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("X.npy", npy_promising("(10,)", data=bytes(80)))
        one_line_error(lambda path=path: read_array(path), path, "stored or deflated")


def test_a_header_longer_than_the_file_reserves_nothing(tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\xff" + b"{'descr'")
    one_line_error(lambda: read_array(path), path)


_HUGE = """
import resource, sys
sys.path[:0] = {path!r}
from minisvdd import DataError, load_dataset
from minisvdd.data.readers import read_idx
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (128 << 20), resource.RLIM_INFINITY))
for read, file in ((read_idx, "images"), (load_dataset, "x.npy")):
    try:
        read(file)
    except DataError as error:
        print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space through /proc and RLIMIT_AS")
def test_promises_of_a_million_million_images_in_a_process_of_limited_memory(tmp_path):
    """Not even address space is asked for: 128 MB beyond the imports are enough."""
    (tmp_path / "images").write_bytes(bytes([0, 0, 8, 3]) + 3 * (10_000).to_bytes(4, "big") + bytes(1000))
    (tmp_path / "x.npy").write_bytes(npy_promising("(1000000000000, 1, 28, 28)", "<f4", bytes(1000)))
    code = _HUGE.format(path=sys.path)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("truncated") == 2, done.stdout + done.stderr


def test_networks_that_promise_gigabytes_are_refused_when_built():
    for layer in (Upsample(10**6), Reshape((-1, 1))):
        network = Sequential([layer, Flatten()])
        with pytest.raises(ValueError, match="numbers"):
            network.build((1, 10**5, 10**5), np.random.default_rng(0))
    with pytest.raises(ValueError, match="layer 0"):
        Sequential([Upsample(10**6)]).build((1, 8, 8), np.random.default_rng(0))


# Paths


def test_a_symbolic_link_out_of_the_folder_is_not_followed(tmp_path, rng):
    test, classes = gtsrb_test_files(rng)
    folder = write_files(tmp_path / "data", gtsrb_training_files(rng) | test | classes)
    load_dataset("gtsrb", folder)
    image = folder / "GTSRB/Final_Training/Images/00014/00000_00001.ppm"
    outside = tmp_path / "outside.ppm"
    image.rename(outside)
    image.symlink_to(outside)
    one_line_error(lambda: load_dataset("gtsrb", folder), image, "symbolic link")
    image.unlink()
    image.symlink_to(folder / "GTSRB/Final_Training/Images/00014/00000_00002.ppm")
    load_dataset("gtsrb", folder)


def test_a_data_set_behind_a_symbolic_link_is_read(tmp_path, rng):
    test, classes = gtsrb_test_files(rng)
    folder = write_files(tmp_path / "elsewhere", gtsrb_training_files(rng) | test | classes)
    (tmp_path / "link").symlink_to(folder)
    load_dataset("gtsrb", tmp_path / "link")


def test_enormous_numbers_in_a_table_of_signs(tmp_path):
    path = tmp_path / "GT.csv"
    columns = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
    path.write_text(columns + f"a.ppm;{10**400};{10**400};{10**399};0;{10**400};9;1\n")
    one_line_error(lambda: read_sign_table(path), path, "line 2", "pixels a side")


def test_an_endless_image_is_not_read_to_its_end():
    one_line_error(lambda: read_image(_Endless()), "at most")


class _Endless:
    """A stream like a bomb in an archive: it never ends."""

    name = "endless.ppm"

    def read(self, size=-1):
        return b"P6 1 1 255\n".ljust(size) if size > 0 else b""
