"""`minisvdd score`: what the model says, as CSV; every mistake names its file."""

import csv
import json

import numpy as np
import pytest
from helpers_cli import FEW, run
from helpers_pictures import put_tiles
from PIL import Image
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
    words = ("--data", tmp_path / "x.npy", "--threshold", "nu", "--quiet", *FEW)
    assert run("train", *words, "--out", tmp_path / "out") == 0
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


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """A data set in MVTec's layout and the folder of a model trained on it."""
    folder = tmp_path_factory.mktemp("tiles")
    data = put_tiles(folder / "tiles", train=12, good=4, bad=4)
    arguments = ("--size", "8x12", "--color", "grey", "--quiet", *FEW, "--checkpoint-every", 0)
    assert run("train", "--data", data, *arguments, "--out", folder / "run") == 0
    return data, folder / "run"


def test_a_folder_is_read_as_in_the_training_and_sorted_worst_first(tiles, tmp_path, capsys):
    data, folder = tiles
    assert load_model(folder / "model.npz").input_shape_ == (1, 8, 12)
    assert run("score", folder / "model.npz", data, "--out", tmp_path / "scores.csv") == 0
    out, err = capsys.readouterr()
    assert "its 8 test pictures are scored" in err
    rows = rows_of(tmp_path / "scores.csv")
    assert list(rows[0]) == ["file", "anomaly_score", "p_value", "prediction"]
    assert sorted(row["file"] for row in rows) == sorted(
        f"test/{c}/{k}.png" for c in ("good", "crack") for k in range(4)
    )
    scores = [float(row["anomaly_score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert "AUC " in out
    assert "4 normal (good) and 4 anomalous" in out
    result = json.loads((folder / "result.json").read_text())
    assert f"AUC {100 * result['auc']['trained']:.2f} %" in out
    alone = tmp_path / "one.csv"
    assert run("score", folder / "model.npz", data / rows[0]["file"], "--out", alone) == 0
    assert float(rows_of(alone)[0]["anomaly_score"]) == pytest.approx(scores[0], rel=1e-5)


def test_labels_of_the_samples_give_an_auc_on_stderr_beside_a_table_on_stdout(tiles, tmp_path, capsys):
    data, folder = tiles
    assert run("score", folder / "model.npz", data / "test", "--normal-class", "CRACK") == 0
    out, err = capsys.readouterr()
    assert out.startswith("file,anomaly_score,p_value,prediction\n")
    assert "AUC" not in out
    assert "4 normal (crack) and 4 anomalous" in err
    assert run("score", folder / "model.npz", data / "test" / "good") == 0
    assert "AUC" not in capsys.readouterr().err
    (tmp_path / "model.npz").write_bytes((folder / "model.npz").read_bytes())  # without the result beside it
    assert run("score", tmp_path / "model.npz", data / "test") == 0
    assert "labels crack, good: give --normal-class" in capsys.readouterr().err
    assert run("score", tmp_path / "model.npz", data / "test", "--normal-class", "bad") == 2
    assert "--normal-class='bad': expected one of crack, good" in capsys.readouterr().err
    assert run("score", tmp_path / "model.npz", data / "test" / "good", "--normal-class", "good") == 2
    assert "has no labels" in capsys.readouterr().err


def test_damaged_pictures_stop_the_scoring_unless_told_otherwise(tiles, tmp_path, capsys):
    _, folder = tiles
    Image.new("L", (9, 9)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert run("score", folder / "model.npz", tmp_path) == 2
    assert "bad.png" in capsys.readouterr().err
    assert run("score", folder / "model.npz", tmp_path, "--skip-damaged") == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 2
    assert "1 pictures are left out" in err
    (tmp_path / "empty").mkdir()
    assert run("score", folder / "model.npz", tmp_path / "empty") == 2
    assert "found none" in capsys.readouterr().err


def test_no_samples_give_an_empty_table(trained, tmp_path, capsys):
    np.save(tmp_path / "none.npy", np.zeros((0, 1, 8, 8)))
    assert run("score", trained / "model.npz", tmp_path / "none.npy") == 0
    assert capsys.readouterr().out == "index,anomaly_score,p_value,prediction\n"


def test_a_table_of_features_is_scored_in_its_own_order(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = [f"{a:.6f};{b:.6f};{'ok' if k < 30 else 'odd'}" for k, (a, b) in enumerate(rng.normal(size=(40, 2)))]
    (tmp_path / "mine.csv").write_text("\n".join(["u;v;label", *rows]))
    words = ("--data", tmp_path / "mine.csv", "--normal-class", "ok", "--quiet", *FEW)
    assert run("train", *words, "--out", tmp_path) == 0
    out = capsys.readouterr().out
    assert "7 of its 30 normal samples are held back for testing" in out
    assert "mine.csv, normal class ok: 23 training and 17 test samples" in out
    assert run("score", tmp_path / "model.npz", tmp_path / "mine.csv") == 0
    captured = capsys.readouterr()
    assert [line.split(",")[0] for line in captured.out.splitlines()[1:]] == [str(k) for k in range(40)]
    assert "30 normal (ok) and 10 anomalous" in captured.err


def test_p_values_are_those_of_the_model(tiles, tmp_path):
    """And a picture is beyond the threshold where its p-value is at most the rate of false alarms."""
    data, _ = tiles
    arguments = ("--size", 8, "--false-alarm-rate", 0.3, "--quiet", *FEW, "--checkpoint-every", 0, "--out", tmp_path)
    assert run("train", "--data", data, *arguments) == 0
    for rate in (0.3, 0.6):
        out = tmp_path / f"{rate}.csv"
        assert run("score", tmp_path / "model.npz", data, "--false-alarm-rate", rate, "--out", out) == 0
        rows = rows_of(out)
        p_values = [float(row["p_value"]) for row in rows]
        assert p_values == sorted(p_values)
        assert [int(row["prediction"]) for row in rows] == [-1 if p <= rate else 1 for p in p_values]


def test_samples_are_sought_in_the_folders_of_data_sets(trained, tmp_path, monkeypatch, capsys):
    """Files, pictures and folders alike."""
    model, base = trained / "model.npz", tmp_path / "base"
    (base / "new").mkdir(parents=True)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    np.save(base / "new.npy", digits("6").test[:3])
    for path in (base / "one.png", base / "new" / "two.png"):
        Image.new("L", (8, 8)).save(path)
    for name, rows in (("new.npy", 3), ("one.png", 1), ("new", 1)):
        monkeypatch.delenv("MINISVDD_DATA", raising=False)
        assert run("score", model, name) == 2
        assert f"{name}: no such file" in (error := capsys.readouterr().err)
        assert error.count("\n") == 1
        assert run("score", model, name, "--data-dir", base) == 0
        assert capsys.readouterr().out.count("\n") == 1 + rows
        monkeypatch.setenv("MINISVDD_DATA", str(base))
        assert run("score", model, name) == 0
        assert capsys.readouterr().out.count("\n") == 1 + rows


def test_skip_damaged_is_for_pictures(trained, tmp_path, capsys):
    np.save(tmp_path / "new.npy", digits("6").test[:3])
    assert run("score", trained / "model.npz", tmp_path / "new.npy", "--skip-damaged") == 2
    assert "--skip-damaged: only for folders of pictures, not for " in capsys.readouterr().err
