"""`minisvdd info`: what is installed and found."""

from pathlib import Path

import pytest
from helpers_cli import run

from minisvdd import DataError
from minisvdd.data.datasets import data_bases
from minisvdd.places import cache_folder

pytestmark = pytest.mark.slow


def test_info(capsys, tmp_path):
    assert run("info", "--data-dir", tmp_path) == 0
    out = capsys.readouterr().out
    for word in ("minisvdd", "numpy", "backends", "submissions", "digits", "mnist", "cifar10", "gtsrb", str(tmp_path)):
        assert word in out


def test_the_cache_lies_where_the_user_wants_it_else_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert cache_folder() == tmp_path / "elsewhere/minisvdd"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == tmp_path / ".cache/minisvdd"


def homeless():
    """`Path.home` of a user whom the system does not know."""
    raise RuntimeError("Could not determine home directory.")


def test_a_user_without_a_home_is_told_only_where_it_matters(monkeypatch, tmp_path, capsys):
    """Containers run under numbers that nobody has given a home."""
    for name in ("HOME", "XDG_CACHE_HOME", "MINISVDD_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert run("info") == 0
    assert data_bases(tmp_path) == [tmp_path]
    assert data_bases() == []
    capsys.readouterr()
    for command in (["train", "--data", "mnist"], ["data", "fetch", "mnist"]):
        assert run(*command) == 2
        assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(DataError, match="this user has no home folder for the cache: set XDG_CACHE_HOME"):
        cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "minisvdd" == data_bases()[0]
