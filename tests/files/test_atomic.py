"""Writing by what is there already: a pipe is written into, a link followed, permissions stay; JSON is JSON."""

import json
import os
import stat
import threading

import numpy as np
import pytest

from minisvdd.errors import DataError
from minisvdd.files.arrays import read_array, write_arrays
from minisvdd.files.atomic import atomic_write, write_json, write_new

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes and links")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, text):
    with atomic_write(path) as file:
        file.write(text)


def test_a_pipe_stays_a_pipe_and_gets_the_content(tmp_path):
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write(pipe, "all of it")
    reader.join()
    assert received == ["all of it"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_a_device_is_written_into():
    write("/dev/null", "x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    if os.path.exists("/dev/full"):
        with pytest.raises(DataError, match="/dev/full: cannot be written: No space left"):
            write_arrays("/dev/full", {"X": np.zeros(9)})


@pytest.mark.parametrize("target_exists", [True, False])
def test_behind_a_link_the_target_is_replaced(tmp_path, target_exists):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real.npz", tmp_path / "link.npz"
    if target_exists:
        target.write_text("old")
    link.symlink_to(target)
    write_arrays(link, {"X": np.arange(3.0)})
    assert link.is_symlink()
    np.testing.assert_array_equal(read_array(target), np.arange(3.0))
    assert names(target.parent) == ["real.npz"]


def test_permissions_stay_and_new_files_have_the_usual_ones(tmp_path):
    private, shared, new = (tmp_path / name for name in ("private", "shared", "new"))
    for path, mode in ((private, 0o600), (shared, 0o664)):
        path.write_text("old")
        path.chmod(mode)
        write(path, "new")
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert path.read_text() == "new"
    (tmp_path / "usual").touch()
    write(new, "x")
    assert new.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_cannot_be_written_is_named(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (loop, tmp_path):
        with pytest.raises(DataError, match=f"{path}: cannot be written"):
            write(path, "x")
    assert names(tmp_path) == ["loop"]


def test_nobody_s_work_is_replaced_by_new_files(tmp_path):
    texts = {tmp_path / "new" / "a": "one", tmp_path / "b": "two"}
    write_new(texts, "choose another folder")
    write_new(texts, "choose another folder")  # the same once more
    assert {path: path.read_text() for path in texts} == texts
    (tmp_path / "b").write_text("mine")
    words = f"^{tmp_path / 'b'}: exists already, and may hold somebody's work: choose another folder$"
    with pytest.raises(DataError, match=words):
        write_new({tmp_path / "c": "three", **texts}, "choose another folder")
    assert (names(tmp_path), (tmp_path / "b").read_text()) == (["b", "new"], "mine")


def test_json_is_laid_out_for_readers(tmp_path):
    write_json(tmp_path / "x.json", {"a": [1, "ä"]})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "a": [\n    1,\n    "ä"\n  ]\n}\n'


def test_json_knows_no_infinity(tmp_path):
    def refuse(token):
        raise AssertionError(token)

    value = {"a": float("nan"), "b": [np.float64("inf"), (1.5, -float("inf"))], "c": {"d": None, "e": True}}
    write_json(tmp_path / "x.json", value)
    found = json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse)
    assert found == {"a": None, "b": [None, [1.5, None]], "c": {"d": None, "e": True}}
