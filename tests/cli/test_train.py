"""`minisvdd train`: what it prints, what it writes, with data of the library and of your own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers_cli import FEW, TRAINED_FILES, run
from helpers_pictures import put_tiles
from PIL import Image

from minisvdd import load_dataset, load_model
from minisvdd.nn.networks import network_for
from minisvdd.svdd.conformal import false_alarm_interval

pytestmark = pytest.mark.slow


def test_train_writes_model_result_and_pictures(trained):
    assert sorted(path.name for path in trained.iterdir()) == TRAINED_FILES
    result = json.loads((trained / "result.json").read_text())
    assert result["normal_class"] == "6"
    assert result["data"] == "digits"
    assert result["auc"]["trained"] > 0.97
    assert result["auc"]["trained"] > result["auc"]["random"]
    assert {"random", "pretrained", "autoencoder", "trained"} == set(result["auc"])
    assert result["signs_of_collapse"] == []


def test_train_says_which_false_alarms_to_expect_and_how_many_it_sees(tmp_path, capsys):
    normal, other = np.random.default_rng(0).normal(size=(500, 3)), np.full((10, 3), 9.0)
    labels = {"y_train": np.zeros(200, int), "y_test": np.repeat([0, 1], [300, 10])}
    np.savez(tmp_path / "mine.npz", x_train=normal[:200], x_test=np.concatenate([normal[200:], other]), **labels)
    arguments = ("--data", tmp_path / "mine.npz", "--quiet", *FEW, "--out", tmp_path / "out")
    assert run("train", *arguments, "--false-alarm-rate", 0.1, "--normal-class", "0") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("false alarms"))
    model = load_model(tmp_path / "out/model.npz")
    seen = (model.predict(normal[200:]) == -1).mean()
    low, high = false_alarm_interval(39, 0.1, 300)
    assert line == (
        f"false alarms  {100 * seen:.1f} % of 300 new normal samples (10.0 % asked; between {100 * low:.0f} and "
        f"{100 * high:.0f} % are to be expected of 39 held-out samples)"
    )
    result = json.loads((tmp_path / "out/result.json").read_text())["threshold"]
    assert result == {"kind": "holdout", "seen": seen, "of": 300, "asked": 0.1, "held_out": 39, "expected": [low, high]}
    assert (model.false_alarm_rate, model.refit) == (0.1, False)

    np.save(tmp_path / "mine.npy", normal[:200])
    arguments = ("--data", tmp_path / "mine.npy", "--quiet", *FEW, "--out", tmp_path / "out")
    assert run("train", *arguments, "--refit") == 0
    low, high = false_alarm_interval(39, 0.05)
    expected = f"5.0 % asked; between {100 * low:.0f} and {100 * high:.0f} % are to be expected of 39 held-out samples"
    assert f"false alarms  {expected}\n" in capsys.readouterr().out
    assert load_model(tmp_path / "out/model.npz").refit
    np.save(tmp_path / "mine.npy", normal[:20])
    assert run("train", *arguments, "--threshold", "holdout") == 2
    assert "38 normal samples" in capsys.readouterr().err


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
    assert sorted(path.name for path in folder.iterdir()) == TRAINED_FILES


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old releases of a dependency emit some under pytest
def test_quiet_means_nothing_on_stderr(tmp_path, capsys):
    arguments = ("train", "--objective", "soft-boundary", "--nu", "0.2", "--seed", "3", "--normal-class", "1")
    some = ("--pretrain-epochs", 10, "--epochs", 40)
    assert run(*arguments, *some, "--quiet", "--out", tmp_path) == 0
    assert capsys.readouterr().err == ""
    model = load_model(tmp_path / "model.npz")
    assert (model.objective, model.nu, model.random_state) == ("soft-boundary", 0.2, 3)


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


def test_notes_on_the_data_are_seen_with_quiet_too(tmp_path, capsys):
    """What is left out changes the result; progress does not."""
    tiles = put_tiles(tmp_path / "tiles")
    (tiles / "train" / "good" / "damaged.png").write_bytes(b"no picture")
    arguments = ("--data", tiles, "--skip-damaged", "--quiet")
    assert run("train", *arguments, "--checkpoint-every", 0, *FEW, "--out", tmp_path / "out") == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if "Warning" not in line]
    assert len(notes) == 1
    assert "1 pictures are left out" in notes[0]
    assert "damaged.png" in notes[0]
    few = ("--methods", "kde", "--seeds", 1, "--out", tmp_path / "own")
    assert run("experiment", "own", *arguments, *few) == 0
    assert "1 pictures are left out" in capsys.readouterr().err


def test_no_page_of_an_earlier_run_stays_beside_another_model(tmp_path, capsys):
    """Pictures and report that the new data do not make go; whatever is not ours stays; a failed run takes nothing."""
    out = tmp_path / "out"
    assert run("train", "--quiet", *FEW, "--out", out) == 0
    assert run("report", out) == 0
    others = {"notes.txt": "mine", "scores-old.png": "mine"}
    for name, content in others.items():
        (out / name).write_text(content)
    (out / "kept").mkdir()
    before = {path.name for path in out.iterdir()}
    assert {"examples.png", "scores.png", "training.png", "report.html"} < before
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(100, 3)))
    arguments = ("--data", tmp_path / "mine.npy", "--quiet", *FEW, "--out", out)
    assert run("train", *arguments, "--batch-size", 100, "--learning-rate", 1e30) != 0
    assert {path.name for path in out.iterdir()} - {"checkpoint"} == before
    assert run("train", *arguments) == 0
    assert {path.name for path in out.iterdir()} == {*others, "kept", "model.npz", "result.json", "training.png"}


def test_unlabelled_samples_of_your_own(tmp_path, capsys):
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(100, 3)))
    assert run("train", "--data", tmp_path / "mine.npy", "--quiet", *FEW, "--out", tmp_path / "out") == 0
    assert "no test AUC: the data has no test samples" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.npz", "result.json", "training.png"]


@pytest.mark.parametrize(
    ("arrays", "counts"),
    [
        ({"X": 9, "y": ["crack", "good", "good"] * 3}, "crack (3 training samples), good (6 training samples)"),
        ({"x_train": 4, "y_train": [1, -1, 1, 1]}, "-1 (1 training samples), 1 (3 training samples)"),
        ({"X": 6, "y": [0, 1, 2, 3, 4, 5]}, "0 (1 training samples), 1 (1 training samples), 2"),
        ({"x_train": 4, "x_test": 3, "y_test": [3, 3, 5]}, "3 (2 test samples), 5 (1 test samples)"),
    ],
)
def test_the_normal_class_of_your_own_data_is_never_guessed(arrays, counts, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("mine.npz", **{k: rng.normal(size=(v, 3)) if isinstance(v, int) else v for k, v in arrays.items()})
    assert run("train", "--data", "mine.npz") == 2
    assert f"--normal-class: expected one of mine.npz's classes: {counts}" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_pictures(tmp_path, capsys, monkeypatch):
    """Of three sizes and two kinds, by a relative name, with a damaged one among them."""
    monkeypatch.chdir(tmp_path)
    tiles = put_tiles(tmp_path / "tiles")
    Image.new("L", (30, 20), 128).save(tiles / "train" / "good" / "other.jpg")
    (tiles / "train" / "good" / "damaged.png").write_bytes(b"no picture")
    (tiles / "train" / "good" / "Thumbs.db").write_bytes(b"no picture")
    assert run("train", "--data", "tiles") == 2
    assert "damaged.png: damaged" in capsys.readouterr().err
    assert run("train", "--data", "tiles", "--skip-damaged", "--checkpoint-every", 0, *FEW) == 0
    out, err = capsys.readouterr()
    assert "tiles, normal class good: 13 training and 8 test samples" in out
    assert "test AUC" in out
    assert "resized to 16x16" in err
    assert "damaged.png" in err
    folder = tmp_path / "runs" / "tiles-good-one-class-seed0"
    assert load_model(folder / "model.npz").input_shape_ == (3, 16, 16)
    assert len(json.loads((folder / "result.json").read_text())["notes"]) == 2


def test_unlabelled_test_samples_are_called_so(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", x_train=rng.normal(size=(30, 3)), x_test=rng.normal(size=(9, 3)), strange=[1])
    assert run("train", "--data", tmp_path / "mine.npz", *FEW, "--out", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    assert "no test AUC: the 9 test samples are unlabelled" in out
    assert "left alone: strange" in err


def test_labels_do_not_decide_where_files_are_written(tmp_path, monkeypatch):
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    monkeypatch.chdir(home)
    X, y = np.random.default_rng(0).random((40, 4)), np.array(["../../../evil", "/abs"] * 20)
    np.savez("found.npz", x_train=X, y_train=y, x_test=X, y_test=y)
    for number, name in enumerate(("../../../evil", "/abs"), 1):
        words = ("--data", "found.npz", "--normal-class", name, "--quiet", "--checkpoint-every", 0)
        assert run("train", *words, *FEW) == 0
        assert len(list((home / "runs").iterdir())) == number
    assert {path.name for path in tmp_path.iterdir()} == {"a"}
    assert {path.name for path in home.iterdir()} == {"found.npz", "runs"}


OWN = """
import numpy as np

CALLS = []


def conv2d_forward(x, weight, stride=(1, 1), padding=(0, 0)):
    CALLS.append(x.shape)
    print("mine", end=" ")
    (ph, pw), (kh, kw), N = padding, weight.shape[2:], len(x)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    return np.einsum("ncpqab,kcab->nkpq", windows, weight, optimize=True)
"""


@pytest.mark.parametrize("backend", ["plain", "numpy"])
def test_train_with_a_convolution_of_one_s_own(backend, tmp_path, capsys):
    """It is used, and the detector is as good as with the library's: the same numbers but for rounding."""
    split = load_dataset("digits").one_class("3")
    arrays = {"x_train": split.train[:60], "x_test": split.test[:200], "y_test": split.is_anomaly[:200].astype(int)}
    np.savez(tmp_path / "threes.npz", **arrays, y_train=np.zeros(60, int))
    file = tmp_path / "my_conv2d.py"
    file.write_text(OWN)
    results = []
    for name, options in (("own", ["--ops", file]), ("ours", [])):
        where = ("--data", tmp_path / "threes.npz", "--backend", backend, "--out", tmp_path / name)
        assert run("train", *where, "--pretrain-epochs", 5, "--epochs", 10, "--quiet", *options) == 0
        out = capsys.readouterr().out
        assert ("mine" in out) == ("calls of your operations: conv2d_forward " in out) == (name == "own")
        results.append(json.loads((tmp_path / name / "result.json").read_text()))
    for stage, auc in results[0]["auc"].items():
        assert auc == pytest.approx(results[1]["auc"][stage], abs=0.02), stage


def test_epochs_batches_and_rate_of_one_s_own(tmp_path, capsys):
    """The result records what was used; the model has it, with milestones at their fraction of the epochs."""
    given = {"epochs": 3, "pretrain_epochs": 0, "batch_size": 16, "learning_rate": 0.01}
    words = [word for name, value in given.items() for word in ("--" + name.replace("_", "-"), value)]
    assert run("train", *words, "--quiet", "--out", tmp_path) == 0
    result, model = json.loads((tmp_path / "result.json").read_text()), load_model(tmp_path / "model.npz")
    assert given.items() <= result.items()
    assert given.items() <= model.get_params().items()
    assert (result["milestones"], model.milestones) == ([2], (2,))
    assert len(model.history_["epoch"]) == 3
    for option, value, expected in (
        ("--epochs", -1, "an integer >= 0"),
        ("--batch-size", 1, "an integer >= 2"),
        ("--learning-rate", 0, "a number > 0"),
    ):
        assert run("train", option, value, "--quiet", "--out", tmp_path / "no") == 2
        assert f"error: {option} {value}" in (error := capsys.readouterr().err)
        assert error.endswith(f": expected {expected}\n")


def test_training_that_does_harm_is_said(trained, tmp_path, capsys):
    """By the test AUC where there are labels, else by a radius that has hardly shrunk; nothing of a good training."""
    np.save(tmp_path / "threes.npy", load_dataset("digits").one_class("3").train)
    few = ("--quiet", "--pretrain-epochs", 0, "--epochs", 1)
    assert run("train", "--data", tmp_path / "threes.npy", "--out", tmp_path / "short", *few) == 0
    assert "TrainingWarning: training has hardly begun: the radius is still 0." in capsys.readouterr().err
    result = json.loads((tmp_path / "short" / "result.json").read_text())
    assert len(result["signs_of_harm"]) == 1
    assert json.loads((trained / "result.json").read_text())["signs_of_harm"] == []


def test_a_training_that_needs_too_much_memory_is_refused_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minisvdd.nn.batches.available_bytes", lambda: 21 << 20)
    assert run("train", "--batch-size", 92, "--quiet", "--out", tmp_path) == 2
    assert "batch_size=73: a training step on so many samples (1, 8, 8) takes about 0.0 GB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "options", "patch"), [((16, 16), ("--patch-size", 8), (1, 8, 8)), ((260, 40), (), (1, 64, 40))]
)
def test_patches_of_large_images_or_of_a_size_asked_for(shape, options, patch, tmp_path, capsys):
    """The network is made for what it sees."""
    np.save(tmp_path / "images.npy", np.random.default_rng(0).random((12, *shape), np.float32))
    few = ("--epochs", 1, "--pretrain-epochs", 1, "--quiet", "--checkpoint-every", 0)
    assert run("train", "--data", tmp_path / "images.npy", "--out", tmp_path / "run", *few, *options) == 0
    model = load_model(tmp_path / "run" / "model.npz")
    assert (model.network_.input_shape, model.input_shape_) == (patch, (1, *shape))
    assert model.network == network_for(patch)
    assert run("train", "--patch-size", 7, "--quiet", "--out", tmp_path) == 2
    assert "--patch-size 7: expected an integer >= 8" in capsys.readouterr().err


def test_choices_of_the_first_scripts_on_top_of_a_protocol(tmp_path, capsys):
    few = ("--epochs", 1, "--pretrain-epochs", 1, "--quiet", "--checkpoint-every", 0, "--out", tmp_path / "run")
    assert run("train", *few, "--with", "affine", "statistics") == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["affine"], result["statistics"], result["gain"]) == (True, "running", 1.0)
    assert run("train", *few, "--with", "quantile") == 2
    assert capsys.readouterr().err.endswith("error: --with quantile: has no effect on one-class\n")


def test_patches_are_not_for_features(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((40, 3)))
    assert run("train", "--data", tmp_path / "x.npy", "--patch-size", 8, "--out", tmp_path / "run") == 2
    assert "--patch-size 8: only for images, not for the features of --data x.npy" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
