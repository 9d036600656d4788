"""The command as a whole: exit status, one line for every mistake, help that loads nothing."""

import re
import warnings
from pathlib import Path

import pytest
from helpers_cli import run
from helpers_processes import python

import minisvdd
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
        (["train", "--normal-class", "12"], ["normal_class='12'", "0, 1, 2"]),
        (["train", "--nu", "0"], ["nu=0.0", "(0, 1]"]),
        (["train", "--seed", "-1"], ["random_state=-1"]),
        (["train", "--backend", "abacus"], ["abacus", "numpy"]),
        (["train", "--check-kernels"], ["--check-kernels", "--backend emulator", "numpy"]),
        (["gradcheck", "--check-kernels", "--backend", "cuda"], ["--check-kernels", "--backend emulator", "cuda"]),
        (["train", "--network", "mnist_lenet"], ["mnist_lenet", "28x28"]),
        (["score", "/nowhere/m.npz", "/nowhere/x.npy"], ["/nowhere/m.npz", "no such file"]),
        (["gradcheck", "--layer", "Convolution"], ["Convolution", "Conv2D"]),
        (["bench", "--workload", "imagenet"], ["imagenet", "mnist encoder"]),
        (["bench", "--threads", "0"], ["threads=0"]),
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

    monkeypatch.setattr("minisvdd.cli.train.load_dataset", interrupt)
    assert run("train") == 130
    assert capsys.readouterr().err == "minisvdd: error: interrupted\n"


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
        assert f"--jobs {jobs}: expected a number >= 1" in capsys.readouterr().err
    assert run("grade", "--class", tmp_path, "--jobs", 1) == 2
    assert "no .py or .cu file" in capsys.readouterr().err


def test_an_assignment_goes_into_a_folder_of_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("assignment", "linear") == 0
    files = capsys.readouterr().out.split()
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
