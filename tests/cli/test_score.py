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
