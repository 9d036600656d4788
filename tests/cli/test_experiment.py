"""`minisvdd experiment`: what `report` prints, and when it draws figure 4; all methods on data of one's own."""

import time

import numpy as np
import pytest
from helpers_cli import run
from helpers_pictures import put_tiles
from PIL import Image
from sklearn.metrics import roc_auc_score

from minisvdd import KernelDensity, load_dataset
from minisvdd.attack.adversarial import STOP_SIGNS
from minisvdd.experiments.grid import make_grid
from minisvdd.export.comparison import split_file, write_split
from minisvdd.svdd.preprocessing import preprocessing_for

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("found", ["figure", None])
@pytest.mark.parametrize("attacked", [True, False])
def test_figure_4_is_drawn_of_attacked_stop_signs_alone(attacked, found, monkeypatch, capsys, tmp_path):
    """found: what there is to draw; None as long as its cell is not computed."""
    saved = []
    monkeypatch.setattr("minisvdd.cli.experiment.write_report", lambda folder: ("| table |", ["report.md"]))
    monkeypatch.setattr("minisvdd.cli.experiment.figure_4", lambda folder: found)
    monkeypatch.setattr("minisvdd.cli.experiment.save_figure", lambda *arguments: saved.append(arguments))
    if attacked:
        (tmp_path / STOP_SIGNS).write_bytes(b"")
    assert run("experiment", "report", tmp_path) == 0
    drawn = attacked and found is not None
    assert saved == ([("figure", tmp_path / "figure4.png")] if drawn else [])
    names = "report.md, figure4.png" if drawn else "report.md"
    assert capsys.readouterr().out == f"| table |\nwritten: {names} in {tmp_path}\n"


QUICK = ("--seeds", 2, "--epochs", 1, "--pretrain-epochs", 1, "--quiet")


def samples(kind):
    rng = np.random.default_rng(0)
    shape = (4,) if kind == "features" else (1, 8, 8)
    return rng.random((50, *shape)).astype(np.float32), np.array(["fine"] * 40 + ["bent", "worn"] * 5)


@pytest.mark.parametrize("kind", ["features", "images"])
def test_all_methods_on_data_of_one_s_own(kind, tmp_path, capsys):
    """Without a split for testing; a second run computes nothing again."""
    X, y = samples(kind)
    np.savez(tmp_path / "mine.npz", X=X, y=y)
    arguments = ("experiment", "own", "--data", tmp_path / "mine.npz", "--normal-class", "fine", *QUICK)
    assert run(*arguments, "--out", tmp_path / "out") == 0
    text = capsys.readouterr().out
    rows = {line.split("|")[1].strip(): line.split("|") for line in text.splitlines() if line.startswith("| ")}
    assert next(iter(rows)) == "method"
    assert set(rows) - {"method"} == {"one-class", "soft-boundary", "dcae", "oc-svm", "kde", "isolation-forest"}
    means = [float(row[2].split("±")[0]) for name, row in rows.items() if name != "method"]
    assert means == sorted(means, reverse=True)
    assert "10 normal and 10 anomalous samples" in text
    assert Image.open(tmp_path / "out/comparison.png").size[0] > 400
    cells = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/cells").rglob("*.json")}
    assert len(cells) == 2 + 4 + 2 + 1 + 1 + 2
    model = KernelDensity(preprocessing=preprocessing_for(X.shape[1:]), threshold="nu")
    split = load_dataset(str(tmp_path / "mine.npz")).one_class("fine")
    auc = roc_auc_score(split.is_anomaly, model.fit(split.train).anomaly_score(split.test))
    assert f"| kde | {100 * auc:.1f} |" in text

    assert run("experiment", "report", tmp_path / "out") == 0
    assert capsys.readouterr().out == text
    assert run(*arguments, "--out", tmp_path / "out", "--methods", "kde", "oc-svm") == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out/cells").rglob("*.json")} == cells


def test_a_folder_of_pictures_of_one_s_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    put_tiles(tmp_path / "tiles")
    assert run("experiment", "own", "--data", "tiles", "--methods", "kde", "one-class", *QUICK) == 0
    assert "# Methods on tiles, normal class good" in capsys.readouterr().out
    assert (tmp_path / "runs/own-tiles-good/comparison.md").exists()


def test_an_experiment_that_is_refused_leaves_the_one_before_as_it_was(tmp_path, capsys):
    X, y = samples("features")
    np.savez(tmp_path / "mine.npz", X=X, y=y)
    words = ("experiment", "own", "--data", tmp_path / "mine.npz", "--out", tmp_path / "out", "--quiet")
    few = ("--seeds", 1, "--methods", "kde")
    for refused in (("--seeds", 100_001), ("--seeds", 1, "--backend", "nonsense")):
        assert run(*words, "--normal-class", "fine", *refused) == 2
        assert not (tmp_path / "out").exists()
    assert run(*words, "--normal-class", "fine", *few) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    for refused in (("--seeds", 100_001), ("--seeds", 1, "--backend", "nonsense"), ("--methods", "anogan")):
        assert run(*words, "--normal-class", "bent", *refused) == 2
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    capsys.readouterr()
    assert run("experiment", "report", tmp_path / "out") == 0
    assert "normal class fine" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["features", "images"])
def test_the_split_that_a_grid_is_made_for_is_the_one_in_its_file(kind, tmp_path):
    X, y = samples(kind)
    np.savez(tmp_path / "mine.npz", X=X, y=y)
    path, dataset = split_file(load_dataset(str(tmp_path / "mine.npz")).one_class("fine"), "mine.npz", tmp_path)
    grid = make_grid(str(path), methods=["kde"], dataset=dataset)
    write_split(path, dataset)
    assert make_grid(str(path), methods=["kde"]) == grid


def test_a_scheduler_that_is_none_is_named(tmp_path, capsys):
    pytest.importorskip("distributed", reason="needs the extra `distributed`")
    X, y = samples("features")
    np.savez(tmp_path / "mine.npz", X=X, y=y)
    arguments = ("--data", tmp_path / "mine.npz", "--normal-class", "fine", "--methods", "kde", "--scheduler", "foo")
    assert run("experiment", "own", *arguments, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("minisvdd: error: --scheduler foo: ")
    assert error.endswith(": expected a Dask scheduler's tcp://HOST:PORT")


def test_no_stop_sign_is_attacked_for_a_grid_that_cannot_be(tmp_path, monkeypatch, capsys):
    def attack(*arguments, **options):
        raise AssertionError("attacked")

    monkeypatch.setattr("minisvdd.cli.experiment.load_dataset", attack)
    for words in (("--jobs", 0), ("--seeds", 0), ("--methods", "svm"), ("--budget", -1), ("--precision", "tf32")):
        assert run("experiment", "table2-gtsrb", *words, "--out", tmp_path / "out") == 2
        assert capsys.readouterr().err.startswith(f"minisvdd: error: {words[0]} {words[1]}")


def test_the_attack_on_stop_signs_is_part_of_the_budget(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("minisvdd.cli.experiment.load_dataset", lambda *arguments: None)
    monkeypatch.setattr("minisvdd.cli.experiment.adversaries_of", lambda *arguments, **options: time.sleep(60))
    started = time.time()
    assert run("experiment", "table2-gtsrb", "--budget", 1, "--out", tmp_path / "out") == 0
    assert time.time() - started < 20
    error = "minisvdd: --budget 1: spent before classifier and attack are finished: expected more seconds\n"
    assert capsys.readouterr().err == error


def test_a_table_with_other_epochs_says_so(tmp_path, capsys):
    """Milestones stay at their share of the epochs; cells of another number of epochs are other cells."""
    few = ("experiment", "table1-digits", "--methods", "one-class", "--classes", 3, "--out", tmp_path, *QUICK)
    assert run(*few, "--batch-size", 64) == 0
    text = capsys.readouterr().out
    assert "2 of 2 cells are finished. Other than in the protocol: pretrain_epochs 1 instead of 100, " in text
    assert "milestones (1) instead of (80), " in text
    assert "batch_size 64 instead of 32." in text
    assert run(*few, "--epochs", 2) == 0
    assert "epochs 2 instead of 100" in capsys.readouterr().out
    assert len(list((tmp_path / "cells/one-class/3").iterdir())) == 4
    assert run(*few, "--epochs", -1) == 2
    assert capsys.readouterr().err.endswith("--epochs -1: expected an integer >= 0\n")


def test_a_table_with_a_choice_of_the_first_scripts_says_so(tmp_path, capsys):
    few = ("experiment", "table1-digits", "--classes", 3, "--out", tmp_path, *QUICK)
    assert run(*few, "--methods", "dcae", "--with", "affine", "gain", "fixed-batches") == 0
    changes = "affine True instead of False, gain 1.41414 instead of 1, batches fixed instead of shuffled."
    assert changes in capsys.readouterr().out
    assert run(*few, "--methods", "dcae", "kde", "--with", "affine", "quantile") == 2
    assert capsys.readouterr().err == "minisvdd: error: --with quantile: has no effect on dcae, kde\n"


def test_a_table_by_its_protocol_says_nothing_of_it(tmp_path, capsys):
    table = ("experiment", "table1-digits", "--methods", "kde", "--classes", 3, "--out", tmp_path, "--quiet")
    assert run(*table) == 0
    assert "Other than" not in capsys.readouterr().out


def test_methods_need_labels_to_be_compared_by(tmp_path, capsys):
    X, y = samples("features")
    np.save(tmp_path / "mine.npy", X)
    np.savez(tmp_path / "one.npz", X=X, y=["fine"] * 50)
    np.savez(tmp_path / "fine.npz", x_train=X, y_train=y, x_test=X[:9], y_test=y[:9])
    np.savez(tmp_path / "mine.npz", X=X, y=y)
    for arguments, message in (
        (("mine.npy",), "mine.npy: expected test samples with labels, to compare methods by: it has none"),
        (("one.npz",), "one.npz: expected test samples with labels"),
        (("fine.npz", "--normal-class", "fine"), "expected normal and anomalous test samples, found 9 normal ones"),
        (("mine.npz",), "expected one of mine.npz's classes: bent (5 training samples)"),
        (("mine.npz", "--normal-class", "fine", "--methods", "svm"), "--methods svm: expected some of one-class, "),
        (("mine.npz", "--normal-class", "fine", "--seeds", 0), "--seeds 0: expected an integer >= 1"),
        (("mine.npz", "--normal-class", "fine", "--jobs", 0), "--jobs 0: expected an integer >= 1"),
        (("mine.npz", "--normal-class", "fine", "--jobs", -3), "--jobs -3: expected an integer >= 1"),
        (("mine.npz", "--normal-class", "fine", "--budget", 0), "--budget 0.0: expected seconds > 0"),
        (
            ("mine.npz", "--normal-class", "fine", "--methods", "one-class", "anogan"),
            "--methods anogan: network='small_dcgan' expects images (N, C, H, W), got samples of shape (4,): leave it",
        ),
    ):
        done = run("experiment", "own", "--data", tmp_path / arguments[0], *arguments[1:], "--out", tmp_path / "out")
        assert done == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
