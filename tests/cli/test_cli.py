"""The command line as a user calls it: exit status, what it prints, what it writes, one line for every mistake."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from trainer_properties import digits

from minisvdd import cli, load_model
from minisvdd.cli.main import _show_warning

FILES = ["examples.png", "model.npz", "result.json", "scores.png", "training.png"]


def run(*arguments):
    """The exit status of the command, run in this process."""
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert run("train", "--quiet", "--normal-class", "6", "--out", folder) == 0
    return folder


def test_train_writes_model_result_and_pictures(trained):
    assert sorted(path.name for path in trained.iterdir()) == FILES
    result = json.loads((trained / "result.json").read_text())
    assert result["normal_class"] == "6"
    assert result["data"] == "digits"
    assert result["auc"]["trained"] > 0.97
    assert result["auc"]["trained"] > result["auc"]["random"]
    assert {"random", "pretrained", "autoencoder", "trained"} == set(result["auc"])
    assert result["signs_of_collapse"] == []


def test_main_job_as_a_process_in_an_empty_folder(tmp_path):
    """No arguments, no network, no display, no home: progress on stderr, the AUC on stdout, files under runs/."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-m", "minisvdd", "train"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "test AUC 9" in done.stdout
    assert "epoch 100/100" in done.stderr
    assert "\r" not in done.stderr
    folder = tmp_path / "runs" / "digits-3-one-class-seed0"
    assert sorted(path.name for path in folder.iterdir()) == FILES


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old releases of a dependency emit some under pytest
def test_quiet_means_nothing_on_stderr(tmp_path, capsys):
    arguments = ("train", "--objective", "soft-boundary", "--nu", "0.2", "--seed", "3", "--normal-class", "1")
    assert run(*arguments, "--quiet", "--out", tmp_path) == 0
    assert capsys.readouterr().err == ""
    model = load_model(tmp_path / "model.npz")
    assert (model.objective, model.nu, model.random_state) == ("soft-boundary", 0.2, 3)


def test_score_writes_what_the_model_says(trained, tmp_path, capsys):
    test = digits("6").test
    np.savez(tmp_path / "images.npz", images=test)
    assert run("score", trained / "model.npz", tmp_path / "images.npz", "--out", tmp_path / "scores.csv") == 0
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    model = load_model(trained / "model.npz")
    np.testing.assert_array_equal([float(row["anomaly_score"]) for row in rows], model.anomaly_score(test))
    np.testing.assert_array_equal([int(row["prediction"]) for row in rows], model.predict(test))
    capsys.readouterr()
    assert run("score", trained / "model.npz", tmp_path / "images.npz") == 0
    assert capsys.readouterr().out == (tmp_path / "scores.csv").read_text()


def test_features_of_your_own(tmp_path, capsys):
    """An .npz with x_train and labelled test samples trains the perceptron and prints an AUC."""
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(size=(300, 5)), rng.normal(4, 1, size=(100, 5))
    np.savez(
        tmp_path / "mine.npz",
        x_train=inside[:200],
        y_train=np.zeros(200, int),
        x_test=np.concatenate([inside[200:], outside]),
        y_test=np.repeat([0, 1], 100),
    )
    assert run("train", "--data", tmp_path / "mine.npz", "--quiet", "--out", tmp_path / "out") == 0
    assert "test AUC" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/result.json").read_text())["auc"]["trained"] > 0.95


def test_unlabelled_samples_of_your_own(tmp_path, capsys):
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(100, 3)))
    assert run("train", "--data", tmp_path / "mine.npy", "--quiet", "--out", tmp_path / "out") == 0
    assert "no test AUC" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.npz", "result.json", "training.png"]


def test_collapse_warnings_are_one_line(trained, capsys):
    _show_warning("this network can collapse", UserWarning, "file", 1)
    assert capsys.readouterr().err == "minisvdd: UserWarning: this network can collapse\n"


def test_gradcheck_of_one_layer(capsys):
    assert run("gradcheck", "--layer", "Linear", "--layer", "BatchNorm") == 0
    out = capsys.readouterr().out
    assert "gradcheck: Linear" in out
    assert "gradcheck: BatchNorm" in out
    assert out.splitlines()[-1].endswith("gradient checks passed")


def test_gradcheck_exits_1_for_a_wrong_gradient(monkeypatch, capsys):
    from minisvdd.ops import linear

    monkeypatch.setattr(linear, "linear_backward_weight", lambda backend, grad_output, x: -(grad_output.T @ x))
    assert run("gradcheck", "--layer", "Linear") == 1
    assert "negated" in capsys.readouterr().out


def test_bench_times_one_workload(capsys, tmp_path):
    arguments = ("bench", "--workload", "mnist encoder", "--rounds", "1", "--out", tmp_path / "bench.json")
    assert run(*arguments) == 0
    assert "mnist encoder" in capsys.readouterr().out
    assert json.loads((tmp_path / "bench.json").read_text())["rows"][0]["batch_size"] == 200


def test_info(capsys, tmp_path):
    assert run("info", "--data-dir", tmp_path) == 0
    out = capsys.readouterr().out
    for word in ("minisvdd", "numpy", "backends", "digits", "mnist", "cifar10", "gtsrb", str(tmp_path)):
        assert word in out


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
    "arguments", [[], ["paint"], ["train", "--objective", "three-class"], ["train", "--seed", "x"], ["score"]]
)
def test_wrong_usage_is_status_2(arguments):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2


def test_scoring_mistakes_name_the_file(trained, tmp_path, capsys):
    model = trained / "model.npz"
    cases = {
        "wrong.npy": np.zeros((3, 1, 28, 28), np.float32),
        "nan.npy": np.full((3, 1, 8, 8), np.nan, np.float32),
        "vector.npy": np.zeros(7, np.float32),
    }
    for name, array in cases.items():
        np.save(tmp_path / name, array)
        assert run("score", model, tmp_path / name) == 2
        error = capsys.readouterr().err
        assert name in error
        assert error.count("\n") == 1
    (tmp_path / "text.npy").write_text("no numbers")
    assert run("score", model, tmp_path / "text.npy") == 2
    assert run("score", tmp_path / "wrong.npy", tmp_path / "wrong.npy") == 2
    assert run("score", model, tmp_path / "missing.npy") == 2


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load_dataset", interrupt)
    assert run("train") == 130
    assert capsys.readouterr().err == "minisvdd: error: interrupted\n"


def test_divergence_is_status_1(monkeypatch, capsys):
    def diverge(*args, **kwargs):
        raise FloatingPointError("training diverged: the loss is nan in epoch 3")

    monkeypatch.setattr(cli, "train_and_evaluate", diverge)
    assert run("train") == 1
    assert "epoch 3" in capsys.readouterr().err


def test_fetch_reports_progress_and_prints_the_folder(monkeypatch, capsys, tmp_path):
    def fetch(name, data_dir, on_progress):
        on_progress(1 << 20, 2 << 20)
        on_progress(2 << 20, 2 << 20)
        return tmp_path / name

    monkeypatch.setattr(cli, "fetch", fetch)
    assert run("data", "fetch", "mnist", "--data-dir", tmp_path) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "mnist")
    assert "2/2" in captured.err
