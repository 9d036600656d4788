"""The command as a whole: exit status, one line for every mistake, help that loads nothing."""

import os
import re
import signal
import threading
import warnings
from pathlib import Path

import pytest
from helpers_cli import run
from helpers_processes import MAIN, python

import minisvdd
from minisvdd import interrupt
from minisvdd.cli.main import COMMANDS

pytestmark = pytest.mark.slow

_LOADED = """
import sys
from minisvdd.cli import main
try:
    main(sys.argv[1:])
finally:
    slow = {"sklearn", "scipy", "joblib", "matplotlib", "PIL", "threadpoolctl"} & set(sys.modules)
    print("loaded:", *sorted(name for name in sys.modules if name.startswith("minisvdd.cli")), *slow)
"""


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """No data set anywhere."""
    monkeypatch.delenv("MINISVDD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--data", "mnist"], ["mnist", "minisvdd data fetch mnist"]),
        (["train", "--data", "mnist", "--data-dir", "/nowhere"], ["/nowhere"]),
        (["train", "--data", "fashion"], ["fashion", "digits"]),
        (["train", "--data", "/nowhere/x.npz"], ["/nowhere/x.npz", "no such file"]),
        (["train", "--normal-class", "12"], ["--normal-class 12: ", "0, 1, 2"]),
        (["train", "--nu", "0"], ["--nu 0.0", "(0, 1]"]),
        (["train", "--seed", "-1"], ["--seed -1"]),
        (["train", "--backend", "abacus"], ["abacus", "numpy"]),
        (["train", "--check-kernels"], ["--check-kernels", "--backend emulator", "numpy"]),
        (["gradcheck", "--check-kernels", "--backend", "cuda"], ["--check-kernels", "--backend emulator", "cuda"]),
        (["train", "--network", "mnist_lenet"], ["mnist_lenet", "28x28"]),
        (["score", "/nowhere/m.npz", "/nowhere/x.npy"], ["/nowhere/m.npz", "no such file"]),
        (["gradcheck", "--layer", "Convolution"], ["Convolution", "Conv2D"]),
        (["bench", "--workload", "imagenet"], ["imagenet", "mnist encoder"]),
        (["bench", "--threads", "0"], ["--threads 0"]),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("minisvdd: error: ")
    assert all(word in captured.err for word in words), captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["train", "--objective", "three-class"],
        ["train", "--seed", "x"],
        ["score"],
        ["experiment"],
        ["data"],
        ["data", "fetch"],
        ["data", "fetch", "digits"],
    ],
)
def test_wrong_usage_is_status_2(arguments):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("minisvdd.data.datasets.load_dataset", interrupt)
    assert run("train") == 130
    assert capsys.readouterr().err == "minisvdd: error: interrupted: --resume goes on from the last checkpoint\n"
    assert run("train", "--checkpoint-every", 0) == 130
    assert capsys.readouterr().err == "minisvdd: error: interrupted\n"


_SLOW = """
import sys, time
sys.argv = ["minisvdd", "train", "--out", sys.argv[1]]
from minisvdd.__main__ import command
def slow(event, arguments):
    if event == "import" and arguments[0] in ("numpy", "sklearn"):
        print("loading", flush=True)
        time.sleep(30)
sys.addaudithook(slow)
command()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="sends signals as POSIX does")
def test_ctrl_c_while_packages_load_is_one_line(tmp_path):
    """Inside an import an exception may get lost, or end in pages."""
    process = python(_SLOW, tmp_path, start_new_session=True)
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "minisvdd: error: interrupted\n")


def handled(before, action):
    """What handles Ctrl-C after `action`, where `before` did."""
    kept = signal.signal(signal.SIGINT, before)
    try:
        action()
        return signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, kept)


def test_a_command_that_has_done_its_work_takes_ctrl_c_unless_somebody_has():
    def end():
        interrupt.ends_with(0)

    assert handled(signal.default_int_handler, end) is not signal.default_int_handler
    assert handled(signal.SIG_IGN, end) is signal.SIG_IGN


def test_ctrl_c_stays_as_it_is_in_a_thread_which_may_not_change_it():
    seen = []

    def work():
        with interrupt.ends_at_once():
            seen.append(signal.getsignal(signal.SIGINT))
        interrupt.ends_with(0)
        seen.append(signal.getsignal(signal.SIGINT))

    def start_and_wait():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert handled(signal.default_int_handler, start_and_wait) is signal.default_int_handler
    assert seen == [signal.default_int_handler] * 2


def test_ctrl_c_is_left_to_whoever_has_taken_it(monkeypatch):
    """A program that calls `main` and handles the signal itself finds its handler in force, and in place afterwards."""

    def mine(number, frame):
        pass

    def info():
        assert run("info") == 0

    seen = []
    monkeypatch.setattr("minisvdd.cli.info.versions", lambda: seen.append(signal.getsignal(signal.SIGINT)) or {})
    for handler in (mine, signal.default_int_handler):  # the second as always: what runs behind may ignore Ctrl-C
        assert [handled(handler, info), seen[-1]] == [handler] * 2


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (MemoryError("Unable to allocate 9 GiB"), 2, ["not enough memory: Unable to allocate 9 GiB", "fewer samples"]),
        (NotImplementedError("paint has no kernel"), 2, ["paint has no kernel"]),
        (KeyError("x"), 70, ["unexpected KeyError in cli", "info.py, line", "'x'", "MINISVDD_TRACEBACK=1"]),
        (AttributeError("no y"), 70, ["unexpected AttributeError", "no y", "a fault of minisvdd"]),
        (RuntimeError("a\nb"), 70, ["unexpected RuntimeError", "a b"]),
        (RecursionError(), 70, ["unexpected RecursionError"]),
    ],
)
def test_every_failure_is_one_line(error, status, words, monkeypatch, capsys):
    """A user's mistake says what to do; a mistake of ours says that it is ours, and where."""

    def fail():
        raise error

    monkeypatch.delenv("MINISVDD_TRACEBACK", raising=False)
    monkeypatch.setattr("minisvdd.cli.info.versions", fail)
    assert run("info") == status
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert all(word in err for word in words), err
    monkeypatch.setenv("MINISVDD_TRACEBACK", "1")
    assert run("info") == status
    full = capsys.readouterr().err
    assert full.startswith("Traceback")
    assert full.endswith(err)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="closes descriptors as POSIX does")
@pytest.mark.parametrize("closed", [[1], [2], [0, 1, 2]])
def test_closed_streams_are_no_reason_to_fail(closed, tmp_path):
    """`>&-`: nobody reads, and no file that is opened later may be taken for a stream."""
    code = f"import os; [os.close(n) for n in {closed}]; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    command = f"{MAIN.replace('sys.argv[1:]', repr(['info', '--data-dir', str(tmp_path)]))}"
    process = python(f"import sys; {code}", command)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert (1 in closed) == (out == "")
    assert err == ""


def test_divergence_is_status_1(monkeypatch, capsys):
    def diverge(*args, **kwargs):
        raise FloatingPointError("training diverged: the loss is nan in epoch 3")

    monkeypatch.setattr("minisvdd.cli.train.train_and_evaluate", diverge)
    assert run("train") == 1
    assert "epoch 3" in capsys.readouterr().err


def test_warnings_are_one_line(monkeypatch, capsys):
    def warn():
        warnings.warn("this network can collapse", stacklevel=1)
        return {}

    monkeypatch.setattr("minisvdd.cli.info.versions", warn)
    assert run("info") == 0
    assert capsys.readouterr().err == "minisvdd: UserWarning: this network can collapse\n"


def test_counts_below_1_are_refused_and_1_is_not(tmp_path, capsys):
    for jobs in (-1, 0):
        assert run("grade", "--class", tmp_path, "--jobs", jobs) == 2
        assert f"--jobs {jobs}: expected an integer >= 1" in capsys.readouterr().err
    assert run("grade", "--class", tmp_path, "--jobs", 1) == 2
    assert "no submission: expected files such as ada.py" in capsys.readouterr().err


def test_an_assignment_goes_into_a_folder_of_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("assignment", "linear") == 0
    files = capsys.readouterr().out.splitlines()
    assert {Path(file).parent for file in files} == {Path("assignments") / "linear"}
    assert all(Path(file).is_file() for file in files)


def test_help_lists_every_command_and_loads_none():
    """Whoever asks for help does not wait for files that only a command needs, nor for scikit-learn and matplotlib."""
    done = python(_LOADED, "--help")
    out, err = done.communicate(timeout=60)
    assert done.returncode == 0, err
    text, loaded = out.split("loaded:")
    assert all(re.search(rf"^    {name}\b", text, re.MULTILINE) for name in COMMANDS)
    assert loaded.split() == ["minisvdd.cli", "minisvdd.cli.main"]


def test_the_version_comes_at_once():
    done = python(_LOADED, "--version")
    out, err = done.communicate(timeout=60)
    assert done.returncode == 0, err
    assert out.split() == ["minisvdd", minisvdd.__version__, "loaded:", "minisvdd.cli", "minisvdd.cli.main"]
