"""Odd places to run in: non-ASCII paths, no HOME, no display, locale C; `test_package.py` has read-only folders."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers_processes import MAIN, environment

pytestmark = pytest.mark.slow


def minisvdd(*arguments, cwd, remove=(), **variables):
    """Run the command in `cwd` with another environment; returns its standard output."""
    inherited = {name: value for name, value in os.environ.items() if name not in remove}
    inherited["PYTHONPATH"] = environment()["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, arguments)],
        cwd=cwd, env={**inherited, **variables}, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tiny labelled data set that trains in a moment."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "mine.npz"
    x, y = rng.random((60, 5)), np.arange(60) % 2
    np.savez(path, x_train=x[y == 0], x_test=x, y_test=y)
    return path


TRAIN = ("train", "--quiet", "--protocol", "quick", "--normal-class", "0", "--data")


def test_paths_that_are_not_ascii(data, tmp_path):
    folder = tmp_path / "données 数据 ü"
    folder.mkdir()
    shutil.copy(data, folder / "mïne.npz")
    printed = minisvdd(*TRAIN, folder / "mïne.npz", "--out", folder / "modèle", cwd=folder, LC_ALL="C")
    assert "modèle" in printed
    np.save(folder / "x.npy", np.zeros((3, 5)))
    minisvdd("score", folder / "modèle/model.npz", "x.npy", "--out", "résultats.csv", cwd=folder, LC_ALL="C")
    assert len((folder / "résultats.csv").read_text().splitlines()) == 4


def test_without_home_display_or_any_variable_of_a_desktop(data, tmp_path):
    remove = [name for name in os.environ if name not in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")]
    minisvdd(*TRAIN, data, "--out", tmp_path, cwd=tmp_path, remove=remove)
    assert {"model.npz", "result.json"} <= {path.name for path in tmp_path.iterdir()}
    assert list(tmp_path.glob("*.png"))


def test_a_home_and_a_display_that_do_not_exist(data, tmp_path):
    odd = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "", "DISPLAY": ":99", "MPLBACKEND": "TkAgg"}
    minisvdd(*TRAIN, data, "--out", tmp_path, cwd=tmp_path, **odd)
    assert list(tmp_path.glob("*.png"))


@pytest.mark.skipif(sys.platform == "win32", reason="pipes as POSIX has them")
def test_a_reader_that_has_seen_enough():
    """`minisvdd info | head -1`: no message, and the status that a shell gives to what SIGPIPE ends."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", MAIN, "info"], stdout=write, stderr=subprocess.PIPE, env=environment())
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
