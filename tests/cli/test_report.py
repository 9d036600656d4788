"""`minisvdd report`: from what a training left to a page, for every kind of data; what is missing is said."""

import json
import shutil

import numpy as np
import pytest
from helpers_cli import run
from helpers_pictures import put_tiles
from PIL import Image

from minisvdd import load_model
from minisvdd.experiments import protocols

pytestmark = pytest.mark.slow

QUICK = ("--quiet", "--epochs", 2, "--pretrain-epochs", 2, "--checkpoint-every", 0)


def report_of(folder, *arguments):
    """The page that the command writes, and what it prints on stdout."""
    assert run("report", folder, *arguments) == 0
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_folder_of_pictures_from_another_working_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiles = put_tiles(tmp_path / "tiles")
    (tiles / "test" / "crack" / "damaged.png").write_bytes(b"no picture")
    (tiles / "test" / "crack" / "0.png").rename(tiles / "test" / "crack" / "<b>&'ä.png")
    Image.new("RGB", (30, 20)).save(tiles / "train" / "good" / "other.jpg")
    assert run("train", "--data", "tiles", "--skip-damaged", "--out", "out", *QUICK) == 0
    source = json.loads((tmp_path / "out/result.json").read_text())["source"]
    assert source == {
        "data": str(tiles), "data_dir": None, "skip_damaged": True, "size": None, "color": "auto"
    }  # fmt: skip
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    content = report_of(tmp_path / "out")
    assert "test/crack/1.png" in content
    assert "&lt;b&gt;&amp;&#x27;ä.png" in content
    assert "4 normal and 4 anomalous" in content
    out, err = capsys.readouterr()
    assert out.startswith(f"report    {tmp_path / 'out' / 'report.html'} (")
    assert "damaged.png" in err


def test_features_of_a_table_name_row_and_column(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'worn' if k >= 60 else 'fine'}" for k, (a, b) in enumerate(rng.normal(size=(70, 2)))]
    rows[65] = "99,0,worn"
    (tmp_path / "pumps.csv").write_text("heat & <noise>,flow,class\n" + "\n".join(rows))
    out = tmp_path / "out"
    assert run("train", "--data", tmp_path / "pumps.csv", "--normal-class", "fine", "--out", out, *QUICK) == 0
    content = report_of(out)
    assert "heat &amp; &lt;noise&gt; = 99" in content
    assert "<td>sample 65</td>" in content, "by its row in the table, not its place among the test samples"
    assert "15 of its 60 normal samples are held back" in content


def test_unlabelled_arrays_show_the_samples_of_training(tmp_path):
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).random((50, 8, 8)))
    assert run("train", "--data", tmp_path / "mine.npy", "--out", tmp_path / "out", *QUICK) == 0
    content = report_of(tmp_path / "out")
    assert "There are no test samples" in content
    assert "50 training samples" in content


def test_digits_and_how_many_are_shown(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    few, many = (report_of(folder, "--shown", shown) for shown in (2, 30))
    auc = json.loads((folder / "result.json").read_text())["auc"]["trained"]
    for content in (few, many):
        assert f"<b>{100 * auc:.1f} %</b>" in content
    assert few.count("<img") < 30 < many.count("<img")
    assert few.count('<img class="small"') == 2 * 2 * (few.count('<div class="samples">'))


def test_other_data_than_those_of_the_training(trained, tmp_path, capsys):
    images = np.random.default_rng(0).random((9, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "new.npz", X=images, y=["6"] * 5 + ["odd"] * 4)
    out = tmp_path / "deep" / "page.html"
    model = trained / "model.npz"
    assert run("report", model, "--data", tmp_path / "new.npz", "--out", out) == 0
    content = out.read_text(encoding="utf-8")
    assert "<h1>new.npz</h1>" in content
    assert "5 normal and 4 anomalous" in content
    assert f"score {load_model(model).anomaly_score(images).max():.4g}" in content
    np.save(tmp_path / "new.npy", images)
    assert run("report", model, "--data", tmp_path / "new.npy", "--out", out) == 0
    assert "The samples are unlabelled" in out.read_text(encoding="utf-8")
    assert not (trained / "report.html").exists()


def test_a_model_alone_needs_data(trained, tmp_path, capsys):
    shutil.copy(trained / "model.npz", tmp_path)
    assert run("report", tmp_path) == 2
    assert "no result.json beside it says which data it was trained on: give --data" in capsys.readouterr().err
    assert run("report", tmp_path, "--data", "digits", "--normal-class", "6") == 0
    assert "normal class 6" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "result.json"),
        (b"[]", "expected values by name"),
        (b'{"source": {"data": 3}}', "data is 3, expected a text"),
        (b'{"source": {"data": "digits", "skip_damaged": false}, "auc": {"trained": "<b>"}}', "auc['trained']"),
        (b'{"source": {"data": "/no/such.npz", "skip_damaged": false}}', "/no/such.npz: no such file"),
        (b'{"source": {"data": "digits", "skip_damaged": false}, "normal_class": "x"}', "normal_class"),
        (b"\xff\xfe", "result.json"),
    ],
)
def test_a_damaged_result_is_one_line(trained, content, message, tmp_path, capsys):
    shutil.copy(trained / "model.npz", tmp_path)
    (tmp_path / "result.json").write_bytes(content)
    assert run("report", tmp_path) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_missing_or_damaged_models_and_samples_that_do_not_fit(trained, tmp_path, capsys):
    assert run("report", tmp_path) == 2
    assert "model.npz" in capsys.readouterr().err
    (tmp_path / "model.npz").write_bytes(b"x" * 100)
    assert run("report", tmp_path) == 2
    assert "model.npz" in capsys.readouterr().err
    np.save(tmp_path / "other.npy", np.zeros((4, 9, 9)))
    assert run("report", trained, "--data", tmp_path / "other.npy") == 2
    assert "other.npy: " in capsys.readouterr().err
    assert run("report", trained, "--shown", 0) == 2
    assert "--shown 0: expected an integer >= 1" in capsys.readouterr().err


def test_another_class_of_the_training_s_data_is_refused(tmp_path, capsys):
    """Its test samples would be among those that the model was trained on. The same class in other letters is none."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", X=rng.normal(size=(80, 3)), y=["fine"] * 50 + ["bent"] * 30)
    arguments = ("--data", tmp_path / "mine.npz", "--normal-class", "fine", "--out", tmp_path / "out")
    assert run("train", *arguments, *QUICK) == 0
    for data in ((), ("--data", tmp_path / "mine.npz")):
        capsys.readouterr()
        assert run("report", tmp_path / "out", "--normal-class", "BENT", *data) == 2
        err = capsys.readouterr().err
        assert "mine.npz: --normal-class bent: the model was trained on class fine of these data" in err
        assert err.count("\n") == 1
        assert not (tmp_path / "out" / "report.html").exists()
    assert "data has changed" not in report_of(tmp_path / "out", "--normal-class", "Fine")


def test_which_test_label_is_normal_may_be_said_anew_where_training_samples_have_none(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "mine.npz", x_train=X, x_test=X[:20], y_test=["a"] * 15 + ["b"] * 5)
    arguments = ("--data", tmp_path / "mine.npz", "--normal-class", "a", "--out", tmp_path / "out")
    assert run("train", *arguments, *QUICK) == 0
    assert "15 normal and 5 anomalous" in report_of(tmp_path / "out")
    content = report_of(tmp_path / "out", "--normal-class", "b")
    assert "5 normal and 15 anomalous" in content
    assert "data has changed" not in content


def test_samples_that_a_protocol_leaves_out_are_no_change(tmp_path, monkeypatch):
    changed = {**protocols._EXCEPTIONS["quick", "digits"], "held_out": 0.25}
    monkeypatch.setitem(protocols._EXCEPTIONS, ("quick", "digits"), changed)
    assert run("train", "--data", "digits", "--normal-class", 3, "--out", tmp_path, *QUICK) == 0
    path = tmp_path / "result.json"
    result = json.loads(path.read_text())
    assert (result["n_train"], result["n_left_out"]) == (69, 23)
    assert "data has changed" not in report_of(tmp_path)
    path.write_text(json.dumps({**result, "n_train": 60}))
    assert "the data has changed: 83 training samples then, 92 now" in report_of(tmp_path)


def test_it_says_when_the_data_has_changed(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "mine.npz", x_train=X, x_test=X[:20])
    assert run("train", "--data", tmp_path / "mine.npz", "--out", tmp_path / "out", *QUICK) == 0
    np.savez(tmp_path / "mine.npz", x_train=X, x_test=X[:30])
    assert "the data has changed: 20 test samples then, 30 now" in report_of(tmp_path / "out")


def test_samples_of_the_training_are_not_tested_with_after_rows_were_shuffled(tmp_path, capsys):
    """Which rows are held back is drawn by their places."""
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'ok' if k < 50 else 'bad'}" for k, (a, b) in enumerate(rng.normal(size=(60, 2)))]
    table = tmp_path / "g.csv"
    table.write_text("\n".join(["a,b,label", *rows]))
    arguments = ("--data", table, "--normal-class", "ok", "--out", tmp_path / "out")
    assert run("train", *arguments, *QUICK) == 0
    assert "data has changed" not in report_of(tmp_path / "out")
    (tmp_path / "out" / "report.html").unlink()
    table.write_text("\n".join(["a,b,label", *rng.permutation(rows)]))
    capsys.readouterr()
    assert run("report", tmp_path / "out") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"minisvdd: error: {table}: the data has changed since the training")
    assert error.endswith("give other samples by --data, or train again")
    assert not (tmp_path / "out" / "report.html").exists()
    path = tmp_path / "out" / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": None}))
    report_of(tmp_path / "out")  # a result from before has no hashes


def test_other_samples_of_training_alone_are_said(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "mine.npz", x_train=X[:40], x_test=X[40:])
    assert run("train", "--data", tmp_path / "mine.npz", "--out", tmp_path / "out", *QUICK) == 0
    np.savez(tmp_path / "mine.npz", x_train=X[:40] + 1, x_test=X[40:])
    assert "the data has changed: its training samples are others than then" in report_of(tmp_path / "out")


def test_data_is_sought_where_the_training_sought_it(tmp_path, monkeypatch, capsys):
    """In the working folder, --data-dir, $MINISVDD_DATA, before it is asked whether it is the training's."""
    rng = np.random.default_rng(0)
    base, cwd = tmp_path / "base", tmp_path / "cwd"
    base.mkdir()
    cwd.mkdir()
    monkeypatch.chdir(cwd)
    np.savez(base / "mine.npz", X=rng.normal(size=(80, 3)), y=["fine"] * 50 + ["bent"] * 30)
    np.savez(base / "other.npz", X=rng.normal(size=(9, 3)), y=["fine"] * 5 + ["bent"] * 4)
    words = ("--data", "mine.npz", "--data-dir", base, "--normal-class", "fine", "--out", "out")
    assert run("train", *words, *QUICK) == 0
    out = cwd / "out"
    assert run("report", out, "--data", "mine.npz") == 2
    assert "mine.npz: no such file" in capsys.readouterr().err
    assert run("report", out, "--data", "mine.npz", "--data-dir", tmp_path / "absent") == 2
    assert "absent: no such folder" in capsys.readouterr().err
    same = report_of(out)
    for place in ("--data-dir", "MINISVDD_DATA"):
        found = ("--data-dir", base) if place == "--data-dir" else ()
        monkeypatch.setenv("MINISVDD_DATA", "" if found else str(base))
        assert "held back" in same
        assert "held back" in report_of(out, "--data", "mine.npz", *found), "those of the training"
        assert "5 normal and 4 anomalous" in report_of(out, "--data", "other.npz", *found)
        assert run("report", out, "--data", "other.npz", "--skip-damaged", *found) == 2
        assert "--skip-damaged: only for folders of pictures, not for " in capsys.readouterr().err


def test_the_option_is_named_behind_the_data(trained, tmp_path, capsys):
    shutil.copy(trained / "model.npz", tmp_path)
    assert run("report", tmp_path, "--data", "digits", "--normal-class", "x") == 2
    assert "error: digits: --normal-class x: expected " in capsys.readouterr().err
