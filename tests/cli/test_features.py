"""Tables of features from training to report: the same numbers in every file, columns known by their names."""

import csv

import numpy as np
import pytest
from helpers_cli import FEW, run
from sklearn.metrics import roc_auc_score

from minisvdd import DeepSVDD, load_model

pytestmark = pytest.mark.slow
NAMES = ("height", "width", "stamp")


@pytest.fixture(name="X")
def normal_samples():
    return np.random.default_rng(0).normal(size=(120, 3)) * [1, 20, 20] + [0, 5, 1.7e9]


def write_csv(path, columns):
    """columns: values by name."""
    rows = zip(*columns.values())
    path.write_text("\n".join([",".join(columns), *(",".join(str(x.item()) for x in row) for row in rows)]))
    return path


def by_name(X):
    return dict(zip(NAMES, X.T))


def train(path, folder):
    assert run("train", "--data", path, "--quiet", *FEW, "--out", folder) == 0
    return folder / "model.npz"


def scores(model, path):
    out = path.with_suffix(".scores.csv")
    assert run("score", model, path, "--out", out) == 0
    with out.open() as file:
        return np.array([float(row["anomaly_score"]) for row in csv.DictReader(file)])


def test_the_same_table_makes_the_same_model_from_every_file_and_in_python(X, tmp_path):
    np.savez(tmp_path / "mine.npz", X=X)
    np.save(tmp_path / "mine.npy", X)
    paths = [write_csv(tmp_path / "mine.csv", by_name(X)), tmp_path / "mine.npz", tmp_path / "mine.npy"]
    models = [train(path, tmp_path / path.suffix[1:]) for path in paths]
    by_hand = DeepSVDD(**{**load_model(models[0]).get_params(), "verbose": 0}).fit(X)
    expected = by_hand.anomaly_score(X)
    for model, path in zip(models, paths):
        np.testing.assert_array_equal(scores(model, path), expected)
        assert load_model(model).offset_ == by_hand.offset_


def test_what_lies_behind_an_offset_is_seen(tmp_path):
    """Seconds in time stamps, between which float32 has no numbers."""
    rng = np.random.default_rng(0)
    normal = np.stack([1.7e9 + 20 * rng.normal(size=200), rng.normal(size=200)], axis=1)
    anomalous = normal[:50] + [300, 0]
    np.savez(tmp_path / "x.npz", x_train=normal[:150], x_test=np.concatenate([normal[150:], anomalous]))
    model = load_model(train(tmp_path / "x.npz", tmp_path / "out"))
    found = model.anomaly_score(np.concatenate([normal[150:], anomalous]))
    assert roc_auc_score(np.arange(100) >= 50, found) > 0.95


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_whole_numbers_are_the_same_features_in_every_type(dtype, tmp_path):
    """Only images in uint8 have a white to be divided by."""
    whole = np.random.default_rng(0).integers(0, 200, (80, 4))
    model = train(write_csv(tmp_path / "mine.csv", dict(zip("abcd", whole.T))), tmp_path / "csv")
    np.save(tmp_path / "new.npy", whole.astype(dtype))
    np.testing.assert_array_equal(scores(model, tmp_path / "new.npy"), scores(model, tmp_path / "mine.csv"))
    other = train(tmp_path / "new.npy", tmp_path / "npy")
    np.testing.assert_array_equal(scores(other, tmp_path / "mine.csv"), scores(model, tmp_path / "mine.csv"))


def test_columns_are_scored_by_their_names(X, tmp_path, capsys):
    model = train(write_csv(tmp_path / "mine.csv", by_name(X)), tmp_path / "out")
    for named in (load_model(model), load_model(model).autoencoder_):
        assert named.feature_names_in_.tolist() == list(NAMES)
    capsys.readouterr()
    expected = scores(model, tmp_path / "mine.csv")
    assert capsys.readouterr().err == ""
    columns = by_name(X)
    others = {name: columns[name] for name in reversed(NAMES)} | {"id": np.arange(200, 320), "note": X[:, 0] * 2}
    moved = write_csv(tmp_path / "moved.csv", others)
    np.testing.assert_array_equal(scores(model, moved), expected)
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2
    assert "moved.csv: the model was not trained on 'id', 'note', left out" in err[0]
    assert "another order" in err[1]
    del others["width"]
    assert run("score", model, write_csv(tmp_path / "fewer.csv", others)) == 2
    err = capsys.readouterr().err
    assert "fewer.csv: expected columns 'width'" in err
    assert err.count("\n") == 1


def test_a_report_takes_columns_by_their_names(X, tmp_path, capsys):
    X[7, 1] = 5000
    model = train(write_csv(tmp_path / "mine.csv", by_name(X)), tmp_path / "out")
    moved = write_csv(tmp_path / "moved.csv", dict(reversed(by_name(X).items())))
    np.save(tmp_path / "new.npy", X)
    for data in (moved, tmp_path / "new.npy"):
        assert run("report", model, "--data", data, "--out", tmp_path / "r.html") == 0
        assert "width = 5000 (" in (tmp_path / "r.html").read_text(encoding="utf-8"), (
            "a file without names has the model's"
        )
    assert "another order" in capsys.readouterr().err
    write_csv(tmp_path / "mine.csv", dict(reversed(by_name(X).items())))  # that of the training, written anew
    assert run("report", tmp_path / "out") == 0
    assert "width = 5000 (" in (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "another order" in capsys.readouterr().err
    assert run("report", model, "--data", write_csv(tmp_path / "new.csv", {"a": X[:, 0], "width": X[:, 1]})) == 2
    assert "new.csv: expected columns 'height', 'stamp'" in capsys.readouterr().err


@pytest.mark.parametrize(("first", "then"), [(0, 200), (200, 0)])
def test_an_id_is_a_feature_in_scoring_where_it_was_one_in_training(first, then, X, tmp_path):
    """Whether it merely counts the rows is asked of the table of the training alone."""
    model = train(write_csv(tmp_path / "mine.csv", {"id": np.arange(first, first + 120), **by_name(X)}), tmp_path / "o")
    new = write_csv(tmp_path / "new.csv", {"id": np.arange(then, then + 120), **by_name(X)})
    columns = [*([np.arange(then, then + 120.0)] if first else []), *X.T]
    np.save(tmp_path / "new.npy", np.stack(columns, axis=1))
    np.testing.assert_array_equal(scores(model, new), scores(model, tmp_path / "new.npy"))


def test_files_and_models_without_names_go_by_places(X, tmp_path, capsys):
    named = write_csv(tmp_path / "mine.csv", by_name(X))
    np.save(tmp_path / "mine.npy", X)
    np.savetxt(tmp_path / "bare.csv", X, "%.17g", ",")
    models = [train(path, tmp_path / path.name.replace(".", "-")) for path in (named, tmp_path / "mine.npy")]
    assert not hasattr(load_model(models[1]), "feature_names_in_")
    capsys.readouterr()
    expected = scores(models[0], named)
    for model in models:
        for path in (named, tmp_path / "mine.npy", tmp_path / "bare.csv"):
            np.testing.assert_array_equal(scores(model, path), expected)
            expects_names = model == models[0] and path.name == "bare.csv"  # which a .csv may have
            note = "its columns have no names, and are taken for 'height', 'width', 'stamp' by their places\n"
            assert capsys.readouterr().err == (f"minisvdd: {path}: {note}" if expects_names else "")


def test_names_that_are_not_distinct_are_no_names(X, tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("a,a,b\n" + "\n".join(",".join(map(str, row)) for row in X.tolist()))
    assert run("train", "--data", tmp_path / "mine.csv", *FEW, "--out", tmp_path / "out") == 0
    assert "several columns are called 'a'" in capsys.readouterr().err
    assert not hasattr(load_model(tmp_path / "out/model.npz"), "feature_names_in_")


def test_it_is_said_what_the_first_line_is_taken_for(X, tmp_path, capsys):
    rows = "\n".join(",".join(map(str, row)) for row in X.tolist())
    for first, words in (("0,1,2", "names of columns"), ("2019,2020,2021", "numbers of a sample")):
        (tmp_path / "mine.csv").write_text(f"{first}\n{rows}\n")
        assert run("train", "--data", tmp_path / "mine.csv", *FEW, "--out", tmp_path / "out") == 0
        assert f"mine.csv: the first line, {first}, is taken for {words}" in capsys.readouterr().err
    model = train(write_csv(tmp_path / "ok.csv", by_name(X)), tmp_path / "named")
    capsys.readouterr()
    scores(model, tmp_path / "mine.csv")
    assert "the first line, 2019,2020,2021, is taken for numbers" in capsys.readouterr().err
