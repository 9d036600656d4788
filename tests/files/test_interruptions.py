"""Processes that are killed, or stopped by Ctrl-C, inside a save, a download or a grid: what is there stays whole.

Trainings are in `test_checkpoint.py`, a grid that is killed and resumed in `test_grid.py`.
"""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from helpers_data import gtsrb_test_files, gtsrb_training_files, zip_bytes
from helpers_http import Server
from helpers_processes import MAIN, python, wait_until
from trainer_properties import digits, small_model

from minisvdd import load_model
from minisvdd.experiments.grid import cells_of, read_cell, read_grid, read_scores
from minisvdd.files import atomic as files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX does"),
]


# --- A save ---

# Saves a model over an old one in a child process for each moment, which is killed then: by the system once so many
# bytes of a file are written, or by itself right before or after a step of the save.
_KILLED_SAVES = """
import os, resource, signal, sys
from pathlib import Path
from minisvdd import load_model
from minisvdd.files import atomic as files
from minisvdd.experiments.grid import cells_of, read_cell, read_grid, read_scores

old, new, out = map(Path, sys.argv[1:])
model = load_model(new)

def die_at(moment):
    kind, _, what = moment.partition(" ")
    if kind == "bytes":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(what), int(what)))
        return
    step = getattr(os, what)
    def killed(*arguments):
        if kind == "after":
            step(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(os, what, killed)

size = new.stat().st_size
moments = [f"bytes {n}" for n in (0, 100, size // 2, size - 1)]
moments += [f"{when} {step}" for step in ("fsync", "chmod", "replace") for when in ("before", "after")]
for number, moment in enumerate(moments):
    folder = out / str(number)
    folder.mkdir()
    (folder / "model.npz").write_bytes(old.read_bytes())
    child = os.fork()
    if child == 0:
        die_at(moment)
        model.save(folder / "model.npz")
        os._exit(0)
    print(number, moment, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sep=",")
"""


@pytest.fixture(scope="module")
def two_models(tmp_path_factory):
    """Files of two different models."""
    folder = tmp_path_factory.mktemp("models")
    for seed in range(2):
        small_model(epochs=1, random_state=seed).fit(digits().train[:64]).save(folder / f"{seed}.npz")
    return folder / "0.npz", folder / "1.npz"


def test_a_save_that_is_killed_leaves_the_old_model_or_the_new_one(two_models, tmp_path):
    old, new = (path.read_bytes() for path in two_models)
    output, error = python(_KILLED_SAVES, *two_models, tmp_path, start_new_session=True).communicate(timeout=120)
    rows = [line.split(",") for line in output.splitlines()]
    assert len(rows) == 10, error
    left_behind = 0
    for number, moment, status in rows:
        assert int(status) == (-signal.SIGXFSZ if moment.startswith("bytes") else -signal.SIGKILL), moment
        folder = tmp_path / number
        assert (folder / "model.npz").read_bytes() == (new if moment == "after replace" else old), moment
        others = [path for path in folder.iterdir() if path.name != "model.npz"]
        assert len(others) == (moment != "after replace"), moment
        left_behind += len(others)

        load_model(two_models[1]).save(folder / "model.npz")  # what is left does not disturb the next save, and goes
        assert (folder / "model.npz").read_bytes() == new
        assert [path.name for path in folder.iterdir()] == ["model.npz"], moment
    assert left_behind == 9


def test_only_abandoned_temporary_files_are_removed(tmp_path):
    old = time.time() - 2 * 3600
    names = [".a.npz.old", "a.minisvdd-tmp", "notes.tmp", ".hidden"]
    for name in names:
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (old, old))
    (tmp_path / ".folder.minisvdd-tmp").mkdir()
    os.utime(tmp_path / ".folder.minisvdd-tmp", (old, old))
    (tmp_path / ".other.json.x1.minisvdd-tmp").write_text("of a killed process")
    os.utime(tmp_path / ".other.json.x1.minisvdd-tmp", (old, old))
    names += [f".mine.npz.{files._writer()}.x1.minisvdd-tmp", ".theirs.npz.0123abcd-7.x1.minisvdd-tmp"]
    for name in names[-2:]:  # of a process that lives, this one, and of another machine, which nobody here can ask
        (tmp_path / name).write_text("just begun")
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    (tmp_path / f".gone.npz.{files._machine()}-{gone.pid}.x1.minisvdd-tmp").write_text("just begun")
    files.write_json(tmp_path / "a.json", 1)
    left = sorted([*names, ".folder.minisvdd-tmp", "a.json"])
    assert sorted(path.name for path in tmp_path.iterdir()) == left


@pytest.mark.parametrize("step", ["mkstemp", "fdopen", "fsync", "chmod", "replace"])
def test_ctrl_c_at_each_step_of_a_save_leaves_nothing_behind(step, two_models, tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    path.write_bytes(two_models[0].read_bytes())
    model = load_model(two_models[1])

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.tempfile if step == "mkstemp" else files.os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.save(path)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]
    assert path.read_bytes() == two_models[0].read_bytes()


# --- A download ---

_FETCH = """
import sys
from minisvdd import cli
from minisvdd.data import download
download.SOURCES["gtsrb"] = download.SOURCES["gtsrb"]._replace(urls=(sys.argv[1],))
sys.exit(cli.main(["data", "fetch", "gtsrb", "--quiet", "--data-dir", sys.argv[2]]))
"""


@pytest.fixture(scope="module")
def archives():
    rng = np.random.default_rng(0)
    test, classes = gtsrb_test_files(rng)
    parts = {"Training_Images": gtsrb_training_files(rng), "Test_Images": test, "Test_GT": classes}
    return {f"GTSRB_Final_{name}.zip": zip_bytes(files) for name, files in parts.items()}


def test_a_download_that_is_stopped_goes_on_where_it_was(archives, tmp_path):
    """The server falls silent in the middle of a file: then the process is stopped, by kill -9 and by Ctrl-C."""
    server, folder, names = Server(archives), tmp_path / "gtsrb", list(archives)
    server.faults = [None, "stall", None, "stall"]
    half = {name: len(archives[name]) // 2 for name in names}
    goes_on = "minisvdd: error: interrupted: the same command goes on where it was\n"
    for at, signals, status, words in (1, signal.SIGKILL, -signal.SIGKILL, ""), (2, signal.SIGINT, 130, goes_on):
        process, name = python(_FETCH, server.url, tmp_path, start_new_session=True), names[at]
        part = folder / f"{name}.part"
        wait_until(lambda part=part, size=half[name]: part.exists() and part.stat().st_size == size, 60)
        process.send_signal(signals)
        _, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (status, words)
        assert sorted(p.name for p in folder.iterdir()) == sorted([*names[:at], part.name])
        assert all((folder / whole).read_bytes() == archives[whole] for whole in names[:at])
        assert part.read_bytes() == archives[name][: half[name]]

    again = python(_FETCH, server.url, tmp_path, start_new_session=True)
    assert again.communicate(timeout=60)[1] == ""
    server.close()
    assert again.returncode == 0
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == archives
    went_on = [(names[1], half[names[1]], None), (names[2], None, "stall"), (names[2], half[names[2]], None)]
    assert server.requests[2:] == went_on, "no byte is fetched twice"


# --- A grid ---

_GRID = ["experiment", "table1-digits", "--methods", "one-class", "--classes", "3", "8", "--seeds", "4", "--quiet"]


def group_is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_in_a_grid_is_one_line_and_leaves_whole_cells_and_no_process(jobs, tmp_path):
    """A terminal sends Ctrl-C to all processes of the command at once."""
    process = python(MAIN, *_GRID, "--jobs", jobs, "--out", tmp_path, start_new_session=True)
    wait_until(lambda: list(tmp_path.rglob("cells/*/*/*.json")), 60)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == "minisvdd: error: interrupted: the same command goes on with the first unfinished cell\n"
    wait_until(lambda: group_is_gone(process.pid), 60)
    grid = read_grid(tmp_path)
    finished = [cell for cell in cells_of(grid, ["dcae", *grid.methods]) if read_cell(cell, tmp_path)]
    assert 0 < len(finished) < 16
    assert all(len(read_scores(cell, tmp_path)) for cell in finished)


def workers_of(pid):
    """joblib's processes among the children of a process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"popen_loky" in (folder / "cmdline").read_bytes():
                yield folder.name


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="sees processes as Linux shows them")
@pytest.mark.parametrize("moment", ["its workers are born", "a cell is done"])
def test_workers_of_a_killed_grid_end(moment, tmp_path):
    """kill -9 reaches the main process alone; joblib's workers, left to themselves, would wait for work for ever."""
    process = python(MAIN, *_GRID, "--jobs", 2, "--out", tmp_path, start_new_session=True)
    born = moment == "its workers are born"
    wait_until(lambda: len(set(workers_of(process.pid))) == 2 if born else cells_in(tmp_path), 60)
    process.kill()
    process.wait()
    wait_until(lambda: group_is_gone(process.pid), 10)  # a second, where nobody else is at work
    process.communicate()


def cells_in(folder):
    """The cells that a grid has finished."""
    return list(folder.rglob("cells/*/*/*.json"))
