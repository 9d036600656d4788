"""`minisvdd score`: what the model says, as CSV; every mistake names its file."""

import csv

import numpy as np
import pytest
from helpers_cli import run
from trainer_properties import digits

from minisvdd import load_model

pytestmark = pytest.mark.slow


def test_score_writes_what_the_model_says(trained, tmp_path, capsys):
    test = digits("6").test
    np.savez(tmp_path / "images.npz", images=test)
    assert run("score", trained / "model.npz", tmp_path / "images.npz", "--out", tmp_path / "scores.csv") == 0
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    model = load_model(trained / "model.npz")
    np.testing.assert_array_equal([float(row["anomaly_score"]) for row in rows], model.anomaly_score(test))
    np.testing.assert_array_equal([int(row["prediction"]) for row in rows], model.predict(test))
    beyond = (model.predict(test) == -1).sum()
    assert capsys.readouterr().out == f"{len(test)} scores, {beyond} beyond the threshold: {tmp_path / 'scores.csv'}\n"
    assert run("score", trained / "model.npz", tmp_path / "images.npz") == 0
    assert capsys.readouterr().out == (tmp_path / "scores.csv").read_text()


def test_the_rate_of_false_alarms_can_be_moved_when_scoring(trained, tmp_path, capsys):
    """By the scores that the model keeps; the p-values stay, and each decision is one of them."""
    test = digits("6").test
    np.save(tmp_path / "images.npy", test)
    model, columns = load_model(trained / "model.npz"), {}
    for rate in (0.05, 0.2):
        assert run("score", trained / "model.npz", tmp_path / "images.npy", "--false-alarm-rate", rate) == 0
        rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        p = np.array([float(row["p_value"]) for row in rows])
        columns[rate] = p
        np.testing.assert_array_equal([int(row["prediction"]) == -1 for row in rows], p <= rate)
    np.testing.assert_array_equal(columns[0.05], columns[0.2])
    np.testing.assert_array_equal(columns[0.05], model.p_value(test))
    assert run("score", trained / "model.npz", tmp_path / "images.npy", "--false-alarm-rate", "0.001") == 2
    assert "999 normal samples" in capsys.readouterr().err


def test_a_model_without_held_out_samples_has_no_p_values(tmp_path, capsys):
    X = np.random.default_rng(0).normal(size=(60, 3))
    np.save(tmp_path / "x.npy", X)
    assert run("train", "--data", tmp_path / "x.npy", "--threshold", "nu", "--quiet", "--out", tmp_path / "out") == 0
    assert "nothing is promised" in capsys.readouterr().out
    assert run("score", tmp_path / "out/model.npz", tmp_path / "x.npy") == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["p_value"] for row in rows} == {""}
    assert run("score", tmp_path / "out/model.npz", tmp_path / "x.npy", "--false-alarm-rate", "0.1") == 2
    assert "calibrate" in capsys.readouterr().err


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


def test_heat_maps_of_a_folders_own(trained, tmp_path, capsys):
    np.save(tmp_path / "images.npy", digits("6").test[:4])
    scored = ("score", trained / "model.npz", tmp_path / "images.npy", "--out", tmp_path / "scores.csv")
    assert run(*scored, "--heatmaps", tmp_path / "maps") == 0
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == [f"{i}.png" for i in range(4)]
    assert "4 heat maps" in capsys.readouterr().err
    assert run(*scored, "--heatmaps", tmp_path / "scores.csv") == 2
    assert "scores.csv" in capsys.readouterr().err
