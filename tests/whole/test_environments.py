"""Odd places to run in: installed from the sdist, read-only, non-ASCII paths, no HOME, no display, locale C."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_build import ROOT, build, copied_sources, unpacked
from helpers_processes import MAIN, environment

pytestmark = pytest.mark.slow


def minisvdd(*arguments, cwd, path=None, remove=(), **variables):
    """Run the command in `cwd` with another environment; returns its standard output."""
    inherited = {name: value for name, value in os.environ.items() if name not in remove}
    inherited["PYTHONPATH"] = str(path) if path else environment()["PYTHONPATH"]
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


TRAIN = ("train", "--quiet", "--normal-class", "0", "--data")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The library as the wheel built from the *sdist* installs it: what the archive forgets is missing here."""
    folder = tmp_path_factory.mktemp("sdist")
    sdist = build(copied_sources(folder / "source"), folder, "sdist")
    wheel = build(unpacked(sdist, folder / "unpacked"), folder, "wheel")
    return unpacked(wheel, folder / "site")


def test_the_wheel_of_the_sdist_is_complete(installed):
    wanted = {path.relative_to(ROOT) for path in (ROOT / "minisvdd").rglob("*") if path.suffix in (".py", ".cu")}
    wanted |= {Path("minisvdd/kernels") / path.name for path in (ROOT / "kernels").iterdir() if path.is_file()}
    found = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
    assert wanted <= found, sorted(wanted - found)


def test_installed_from_the_sdist_it_trains_and_scores(installed, data, tmp_path):
    minisvdd(*TRAIN, data, "--out", tmp_path, cwd=tmp_path, path=installed)
    np.save(tmp_path / "x.npy", np.zeros((3, 5)))
    scores = minisvdd("score", tmp_path / "model.npz", tmp_path / "x.npy", cwd=tmp_path, path=installed)
    assert len(scores.splitlines()) == 4


def test_installed_where_nothing_can_be_written(installed, data, tmp_path):
    """Neither byte code nor caches are needed beside the library: every folder of it is read-only."""
    site = tmp_path / "site"
    shutil.copytree(installed, site)
    before = sorted(site.rglob("*"))
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    out = tmp_path / "out"
    minisvdd(*TRAIN, data, "--out", out, cwd=site, path=site, PYTHONDONTWRITEBYTECODE="1")
    assert (out / "model.npz").exists()
    assert sorted(site.rglob("*")) == before
    for path in before:
        path.chmod(0o755)


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
