"""The grid of experiments: complete, resumable after kill -9, never mixed, the same on a Dask cluster."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_data import one_line_error
from helpers_grid import TINY, TINY_GAN, aucs, cell_files, tiny_grid
from helpers_processes import environment
from sklearn.metrics import roc_auc_score

from minisvdd import cli, load_dataset, load_model
from minisvdd.errors import DataError
from minisvdd.experiments.experiments import area_under_roc, autoencoder_of, kept_by, train_and_evaluate
from minisvdd.experiments.grid import cells_of, dataset_by_name, make_grid, read_cell, read_grid, read_scores
from minisvdd.experiments.methods import draw_of
from minisvdd.experiments.protocols import get_shallow_protocol
from minisvdd.experiments.report import collect, write_report
from minisvdd.experiments.running import run as run_module
from minisvdd.experiments.running.run import run_grid

pytestmark = pytest.mark.slow

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("grid")
    run_grid(tiny_grid(), out, verbose=0)
    return out


def test_every_cell_says_how_it_was_made(finished):
    grid = read_grid(finished)
    assert grid == tiny_grid()
    for cell in cells_of(grid):
        value = read_cell(cell, finished)
        assert value["config"]["seed"] == cell.seed
        assert value["config"]["data_sha256"] == grid.data_hash
        assert {"minisvdd", "numpy"} <= set(value["versions"])
        assert value["seconds"] > 0
        assert 0 <= value["auc"]["trained"] <= 1
        assert cell.hash in cell.path(finished).name
    assert {"random", "pretrained", "trained"} <= set(value["auc"])


def test_every_cell_keeps_the_scores_behind_its_auc(finished):
    is_anomaly = load_dataset("digits").one_class("8").is_anomaly
    for cell in (c for c in cells_of(read_grid(finished)) if c.normal_class == "8"):
        auc = roc_auc_score(is_anomaly, read_scores(cell, finished))
        assert auc == read_cell(cell, finished)["auc"]["trained"]


def test_scores_that_are_missing_or_damaged_are_named(tmp_path):
    grid = tiny_grid(methods=["isolation-forest"], classes=["3"], seeds=1)
    run_grid(grid, tmp_path, verbose=0)
    (cell,) = cells_of(grid)
    path = cell.scores_path(tmp_path)
    for damage in (b"", b"no array", path.read_bytes()[:-100]):
        path.write_bytes(damage)
        with pytest.raises(DataError, match=path.name):
            read_scores(cell, tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="--no-resume"):
        read_scores(cell, tmp_path)


def test_a_grid_has_all_classes_and_methods_unless_told_otherwise():
    grid = make_grid("digits", seeds=1)
    assert grid.classes == tuple("0123456789")
    assert len(grid.methods) == 7
    assert {cell.normal_class for cell in cells_of(grid)} == set(grid.classes)


def test_all_methods(tmp_path):
    run_grid(tiny_grid(methods=None, classes=["3"], seeds=1), tmp_path, verbose=0)
    grid, entries, done, total = collect(tmp_path)
    assert done == total == 9
    assert entries["3", "oc-svm"].n == 10
    assert entries["3", "kde"].n == 1
    assert {entry.nu for (_, column), entry in entries.items() if column in ("oc-svm", "soft-boundary")} <= {0.01, 0.1}
    supervised, honest = entries["3", "oc-svm"], entries["3", "oc-svm, gamma without labels"]
    assert supervised.mean > honest.mean > 80
    assert len(grid.methods) == 7
    [anogan], [one_class], soft_boundary = (cells_of(grid, [name]) for name in ("anogan", "one-class", "soft-boundary"))
    scores = read_scores(anogan, tmp_path)
    assert np.isfinite(scores).sum() == TINY_GAN.test_images < len(scores)
    assert 0 <= read_cell(anogan, tmp_path)["converged"] <= 1
    # d - R^2 for the one, d for the other
    assert read_scores(soft_boundary[0], tmp_path).min() < 0 < read_scores(one_class, tmp_path).min()
    radius = {cell.nu: read_cell(cell, tmp_path)["radius"] for cell in soft_boundary}
    assert radius[0.01] > radius[0.1], "the more may lie outside, the smaller"


def test_both_trainings_of_a_seed_hold_out_the_same_samples(tmp_path):
    protocol = replace(TINY, held_out=0.2)
    grid = replace(tiny_grid(methods=["dcae", "one-class"], classes=["3"], seeds=1), protocol=protocol)
    run_grid(grid, tmp_path, verbose=0)
    split = load_dataset("digits").one_class("3")
    (path,) = (tmp_path / "autoencoders").rglob("*.npz")
    seen = kept_by(protocol, split, draw_of(0, "3", "dcae")).train
    extremes = load_model(path).preprocessing_.constants
    expected = autoencoder_of(protocol, split, 0, epochs=0).fit(seen).preprocessing_.constants
    assert extremes == expected
    dcae, one_class = (read_cell(cell, tmp_path) for cell in cells_of(grid))
    model = train_and_evaluate(replace(split, train=seen), replace(protocol, held_out=0.0), verbose=0,
                               seed=draw_of(0, "3", "one-class"), autoencoder=load_model(path))[0]  # fmt: skip
    assert one_class["auc"]["trained"] == pytest.approx(area_under_roc(model, split), abs=1e-6)
    assert dcae["auc"]["trained"] == pytest.approx(area_under_roc(load_model(path), split), abs=1e-6)
    assert dcae["n_train"] == one_class["n_train"] == len(seen) < len(split.train)


def test_shallow_methods_have_settings_of_their_own_too(tmp_path):
    """Cells of others are other cells; the folder knows them."""
    settings = replace(get_shallow_protocol("quick", "digits"), width="largest")
    grids = [tiny_grid(methods=["kde"], **changes) for changes in ({}, {"shallow_settings": settings})]
    assert [grid.shallow_protocol.width for grid in grids] == ["grid", "largest"]
    assert not {cell.hash for cell in cells_of(grids[0])} & {cell.hash for cell in cells_of(grids[1])}
    run_grid(grids[1], tmp_path, verbose=0)
    assert read_grid(tmp_path) == grids[1]


def test_settings_that_came_later_name_a_cell_only_where_they_are_not_their_defaults():
    """A folder from before they were there still has the cells of these defaults."""
    before = [cell.config["protocol"] for cell in cells_of(tiny_grid(methods=["kde", "one-class"], seeds=1))]
    later = {"held_out", "pca", "width", "nus"}
    assert not any(later & config.keys() for config in before)
    grid = replace(tiny_grid(methods=["one-class"], seeds=1), protocol=replace(TINY, held_out=0.2))
    assert {cell.config["protocol"]["held_out"] for cell in cells_of(grid)} == {0.2}


def test_shared_pretraining_is_the_one_that_deep_svdd_would_do(finished):
    grid = tiny_grid()
    cell = next(c for c in cells_of(grid, ["one-class"]) if (c.normal_class, c.seed) == ("3", 1))
    shared = read_cell(cell, finished)["auc"]
    seeds = {method: draw_of(1, "3", method) for method in ("dcae", "one-class")}
    split = load_dataset("digits").one_class("3")
    alone = {name: train_and_evaluate(split, TINY, seed=seed, verbose=0)[1]["auc"] for name, seed in seeds.items()}
    assert shared["pretrained"] == pytest.approx(alone["dcae"]["pretrained"], abs=1e-6)
    assert shared["random"] == pytest.approx(alone["one-class"]["random"], abs=1e-6)
    dcae = read_cell(next(c for c in cells_of(grid, ["dcae"]) if (c.normal_class, c.seed) == ("3", 1)), finished)
    assert dcae["auc"]["trained"] == shared["autoencoder"]
    weights = load_model(cell.autoencoder_path(finished))
    _, again = train_and_evaluate(split, TINY, nu=0.1, seed=seeds["one-class"], verbose=0, autoencoder=weights)
    assert again["auc"] == pytest.approx(shared, abs=1e-6)
    assert again["radius"] == pytest.approx(read_cell(cell, finished)["radius"], rel=1e-4)


def test_finished_cells_are_kept_unless_told_otherwise(finished):
    files = {path: path.stat().st_mtime_ns for path in cell_files(finished)}
    before = aucs(finished)
    run_grid(tiny_grid(), finished, verbose=0)
    assert {path: path.stat().st_mtime_ns for path in cell_files(finished)} == files
    run_grid(tiny_grid(), finished, resume=False, verbose=0)
    assert all(path.stat().st_mtime_ns > before_ns for path, before_ns in files.items())
    assert aucs(finished) == before


_RUN = """
import sys, helpers_grid
helpers_grid.run_grid(helpers_grid.tiny_grid(), sys.argv[1], jobs=int(sys.argv[2]))
"""


def start(out, jobs):
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(out), str(jobs)],
        env=environment(),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_kill_9_in_the_middle_and_start_again(finished, tmp_path):
    process = start(tmp_path, 1)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("cells/*/*/*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.read_bytes() for path in cell_files(tmp_path)}
    assert 2 <= len(kept) < len(cell_files(finished))
    assert run_grid(tiny_grid(), tmp_path, jobs=2, verbose=0) == 0
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert aucs(tmp_path) == aucs(finished)


def test_a_grid_from_before_anogan_is_still_read(tmp_path):
    grid = make_grid("digits", methods=["kde"], classes=["3"], seeds=1)
    run_grid(grid, tmp_path, verbose=0)
    value = json.loads((tmp_path / "grid.json").read_text())
    del value["gan_protocol"]
    (tmp_path / "grid.json").write_text(json.dumps(value))
    assert read_grid(tmp_path) == grid


def test_another_configuration_is_not_mixed_in(tmp_path):
    methods, classes = ["isolation-forest", "dcae"], ["3"]
    run_grid(tiny_grid(methods=methods, classes=classes, seeds=1), tmp_path, verbose=0)
    first, old = aucs(tmp_path), cell_files(tmp_path)
    longer = tiny_grid(methods=methods, classes=classes, seeds=1, settings=replace(TINY, pretrain_epochs=4))
    assert sum(read_cell(cell, tmp_path) is not None for cell in cells_of(longer)) == 1, "trees need no protocol"
    run_grid(longer, tmp_path, verbose=0)
    assert len(cell_files(tmp_path)) == len(old) + 1
    assert aucs(tmp_path)["3", "dcae"] != first["3", "dcae"]
    assert aucs(tmp_path)["3", "dcae"].n == 1


def test_a_data_file_may_be_moved_but_not_changed(tmp_path):
    rng, places = np.random.default_rng(0), [tmp_path / "here" / "own.npz", tmp_path / "there" / "own.npz"]
    samples = {"x_train": rng.random((20, 4)), "y_train": np.zeros(20), "x_test": rng.random((9, 4))}
    for place in places:
        place.parent.mkdir()
        np.savez(place, **samples, y_test=np.arange(9) % 2)

    def hashes(place):
        return [cell.hash for cell in cells_of(make_grid(str(place), methods=["kde"], classes=["0"], seeds=1))]

    assert hashes(places[0]) == hashes(places[1])
    np.savez(places[1], **samples, y_test=np.arange(9) % 3 > 0)
    assert hashes(places[0]) != hashes(places[1])


def test_names_of_classes_do_not_decide_where_cells_lie(tmp_path):
    rng, classes = np.random.default_rng(0), ["../../../evil", "/abs", "a/b", "a_b", ""]
    X, y = rng.random((40, 4)), np.array(classes * 8)
    path, out = str(tmp_path / "found.npz"), tmp_path / "here" / "out"
    np.savez(path, x_train=X, y_train=y, x_test=X, y_test=y)
    run_grid(make_grid(path, methods=["isolation-forest"], seeds=1), out, verbose=0)
    assert len(cell_files(out)) == len(classes)
    assert {path.name for path in tmp_path.iterdir()} == {"found.npz", "here"}
    assert len({path.parent.name for path in cell_files(out)}) == len(classes)


def test_a_table_may_be_computed_piece_by_piece(tmp_path):
    """Methods, classes and seeds add up; the report says where seeds are missing. Other settings start a new table."""
    run_grid(tiny_grid(methods=["one-class"], classes=["3"], seeds=1), tmp_path, verbose=0)
    run_grid(tiny_grid(methods=["isolation-forest", "kde"], seeds=2), tmp_path, verbose=0)
    assert read_grid(tmp_path) == tiny_grid(methods=["kde", "isolation-forest", "one-class"], seeds=2)
    markdown, _ = write_report(tmp_path)
    assert "over 2 seeds (kde: one run). 7 of 10 cells are finished; one-class: 1 seed." in markdown
    assert not any(method in markdown for method in ("oc-svm", "soft-boundary", "anogan")), "nobody asked for them"
    one_seed = collect(tmp_path)[1]["3", "one-class"].mean
    assert f"| {one_seed:.1f} |" in markdown, "no deviation of a single value"
    other = tiny_grid(methods=["kde"], settings=replace(TINY, epochs=3))
    run_grid(other, tmp_path, verbose=0)
    assert read_grid(tmp_path) == other


def test_a_damaged_cell_is_named_by_the_report_and_computed_again_by_a_run(tmp_path, capsys):
    grid = tiny_grid(methods=["isolation-forest"], classes=["3"], seeds=2)
    run_grid(grid, tmp_path, verbose=0)
    before, path = aucs(tmp_path), cell_files(tmp_path)[0]
    good = json.loads(path.read_text())
    impossible = [json.dumps({**good, "auc": {"trained": value}}) for value in (1.5, -0.1, [], [0.9, None], "high")]
    impossible += [json.dumps({**good, "auc": {**good["auc"], "random": "high"}})]
    impossible += [json.dumps({name: value for name, value in good.items() if name != lost}) for lost in good]
    impossible.remove(json.dumps({name: value for name, value in good.items() if name != "config_sha256"}))
    for name, value in (("seconds", "x"), ("versions", None), ("versions", {"numpy": []}), ("n_test", 0.5)):
        impossible.append(json.dumps({**good, name: value}))
    impossible += [json.dumps({**good, "signs_of_collapse": 1}), json.dumps({**good, "auc": {"trained": float("nan")}})]
    for damage in ('{"config": ', "[]", '{"config": {}, "auc": {}}', *impossible):
        path.write_text(damage)
        with pytest.raises(DataError, match=path.name) as caught:
            collect(tmp_path)
        assert "\n" not in str(caught.value)
    run_grid(grid, tmp_path)
    told = capsys.readouterr().err
    assert path.name in told
    assert "cell 1/1" in told
    assert aucs(tmp_path) == before


def test_damaged_scores_are_computed_again_before_figures_want_them(tmp_path, capsys):
    grid = tiny_grid(methods=["isolation-forest"], classes=["3"], seeds=1)
    run_grid(grid, tmp_path, verbose=0)
    (cell,) = cells_of(grid)
    whole = cell.scores_path(tmp_path).read_bytes()
    for damage in (whole[:-8], b"", whole.replace(b"896", b"895")[:-8]):
        cell.scores_path(tmp_path).write_bytes(damage)
        run_grid(grid, tmp_path)
        assert cell.scores_path(tmp_path).name in capsys.readouterr().err
        assert cell.scores_path(tmp_path).read_bytes() == whole


OPTIONAL = {"gan_protocol", "shallow_protocol", "backend"}  # folders from before these were there


def test_a_damaged_grid_file_is_refused_in_one_line_before_any_work(tmp_path, capsys):
    """Not replaced: the other classes of the table stand in it."""
    grid = tiny_grid(methods=["isolation-forest"], classes=["3"], seeds=1)
    run_grid(grid, tmp_path, verbose=0)
    path = tmp_path / "grid.json"
    good = json.loads(path.read_text())
    changes = [
        {"methods": ["unknown"]}, {"methods": ""}, {"methods": []}, {"methods": ["kde", "kde"]}, {"classes": []},
        {"classes": [3]}, {"classes": "3"}, {"seeds": "x"}, {"seeds": 10_000_000}, {"seeds": 0}, {"seeds": True},
        {"data": None}, {"protocol_name": 3}, {"protocol": {"epochs": "x"}}, {"protocol": {"surprise": 1}},
        {"protocol": [1]}, {"gan_protocol": {"epochs": -1}}, {"data_hash": None},
        {"shallow_protocol": {"apart": 2}}, {"shallow_protocol": {"width": "wide"}}, {"backend": 3},
    ]  # fmt: skip
    texts = [json.dumps({**good, **change}) for change in changes]
    texts += [json.dumps({k: v for k, v in good.items() if k != lost}) for lost in set(good) - OPTIONAL]
    for text in (*texts, "[]", "{", "", "\0"):
        path.write_text(text)
        for call in (lambda: read_grid(tmp_path), lambda: collect(tmp_path), lambda: run_grid(grid, tmp_path)):
            one_line_error(call, path)
        assert path.read_text() == text
    assert cli.main(["experiment", "report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_class_that_has_no_auc_is_refused_before_any_work(tmp_path):
    X = np.random.default_rng(0).random((60, 8, 8)).astype(np.float32)
    y = np.array(["a", "b", "c"] * 20)
    path = str(tmp_path / "rare.npz")
    np.savez(path, x_train=X, y_train=y, x_test=X[y != "c"], y_test=y[y != "c"])  # "c" is never tested
    one_line_error(lambda: make_grid(path, methods=["kde"]), "classes='c'", "no AUC", error=ValueError)
    assert make_grid(path, methods=["kde"], classes=["a", "b"]).classes == ("a", "b")
    np.savez(path, x_train=X, y_train=y, x_test=X[y == "c"], y_test=y[y == "c"])
    one_line_error(lambda: make_grid(path, methods=["kde"], classes=["c"]), "classes='c'", error=ValueError)
    few = np.arange(40) < 2  # two anomalies: some tenths of the test samples hold none of them
    labels = np.where(few, "a", "b")
    np.savez(path, x_train=X[:40], y_train=labels, x_test=X[:40], y_test=labels)
    one_line_error(lambda: make_grid(path, methods=["oc-svm"], classes=["b"]), "oc-svm", "of 40", error=ValueError)
    assert make_grid(path, methods=["kde"], classes=["b"]).methods == ("kde",)


def test_the_report_shows_signs_of_collapse(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "grid")
    out = tmp_path / "grid"
    assert "collapse" not in write_report(out)[0]
    cell = next(c for c in cells_of(read_grid(out)) if c.method == "one-class")
    value = read_cell(cell, out)
    cell.path(out).write_text(json.dumps({**value, "signs_of_collapse": ["the radius fell to 0.001"]}))
    markdown, _ = write_report(out)
    (row,) = [line for line in markdown.splitlines() if line.startswith(f"| {cell.normal_class} ") and "**c**" in line]
    assert row.count("**c**") == 1
    assert f"one-class on {cell.normal_class} (1 of " in markdown
    assert "$^c$" in (out / "report.tex").read_text()
    rows = list(csv.DictReader((out / "report.csv").open()))
    assert [(r["normal_class"], r["method"]) for r in rows if r["collapsed"] != "0"] == [
        (cell.normal_class, "one-class")
    ]


def test_data_of_another_shape_are_other_data(tmp_path):
    """The same bytes as features and as images."""
    rng = np.random.default_rng(0)
    train, test, labels = rng.random((20, 4)), rng.random((9, 4)), {"y_train": np.zeros(20), "y_test": np.arange(9) % 2}
    np.savez(tmp_path / "features.npz", x_train=train, x_test=test, **labels)
    np.savez(tmp_path / "images.npz", x_train=train.reshape(20, 1, 2, 2), x_test=test.reshape(9, 1, 2, 2), **labels)
    features, images = (
        make_grid(str(tmp_path / name), methods=["kde"], classes=["0"]) for name in ("features.npz", "images.npz")
    )
    assert features.data_hash != images.data_hash


def test_classes_with_other_names_are_other_data(tmp_path):
    """Labels 0, 1, 2 that ought to have been 1, 2, 3: class "1" must not take the cells of what is "2" now."""
    labels = np.repeat([0, 1, 2], 12)
    X = (np.array([[0, 0], [4, 0], [0, 1]])[labels] + np.random.default_rng(0).normal(size=(36, 2))).astype(np.float32)

    def auc(shift, out):
        np.savez(tmp_path / "own.npz", x_train=X, y_train=labels + shift, x_test=X[::-1], y_test=labels[::-1] + shift)
        dataset_by_name.cache_clear()
        grid = make_grid(str(tmp_path / "own.npz"), methods=["kde"], classes=["1"], seeds=1)
        run_grid(grid, tmp_path / out, verbose=0)
        return read_cell(cells_of(grid)[0], tmp_path / out)["auc"]["trained"]

    before = auc(0, "here")
    assert auc(1, "here") == auc(1, "elsewhere") != before
    assert auc(0, "here") == before


def test_cells_of_the_named_data_sets_are_still_those_of_published_results():
    published = json.loads((RESULTS / "table1-digits.json").read_text())
    grid = make_grid("digits", seeds=3)
    assert grid.data_hash == published["grid"]["data_hash"]
    assert {cell.hash for cell in cells_of(grid)} == {cell["config_sha256"] for cell in published["cells"]}


def test_a_cell_of_anogan_holds_the_share_of_searches_that_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("minisvdd.rivals.latent.WINDOW", 2)
    monkeypatch.setattr("minisvdd.rivals.latent.TOLERANCE", 2)  # no loss falls by more than itself
    run_grid(tiny_grid(methods=["anogan"], classes=["3"], seeds=1), tmp_path, verbose=0)
    [path] = cell_files(tmp_path)
    assert json.loads(path.read_text())["converged"] == 1


def test_lost_weights_are_trained_again(tmp_path):
    grid = tiny_grid(methods=["one-class"], classes=["3"], seeds=1)
    run_grid(grid, tmp_path, verbose=0)
    before = aucs(tmp_path)
    next(tmp_path.rglob("autoencoders/*/*.npz")).write_bytes(b"no model")
    next(tmp_path.rglob("one-class/*/*.json")).unlink()
    run_grid(grid, tmp_path, verbose=0)
    assert aucs(tmp_path) == before


def test_a_dask_cluster_of_two_processes_gives_the_same_table(finished, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra `distributed`")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        run_grid(tiny_grid(), tmp_path, scheduler=cluster.scheduler_address, verbose=0)
    assert aucs(tmp_path) == aucs(finished)


def test_report_formats(finished):
    markdown, names = write_report(finished)
    assert all((finished / name).stat().st_size > 100 for name in names)
    assert "8 of 8 cells" in markdown
    of_methods, before_training = markdown.split("epoch 0")
    assert "average rank" in of_methods
    assert "average rank" not in before_training
    assert (finished / "report.png").read_bytes().startswith(b"\x89PNG")
    assert (finished / "report.tex").read_text().count(r"\\") == 3
    assert (finished / "report.tex").read_text().endswith("\\end{tabular}\n")
    entries = aucs(finished)
    rows = list(csv.DictReader((finished / "report.csv").open()))
    assert len(rows) == len(entries)
    assert float(rows[0]["auc_mean"]) == pytest.approx(entries["3", "isolation-forest"].mean, abs=1e-3)
    assert f"{entries['3', 'isolation-forest'].mean:.1f} ±" in markdown


def test_report_json_holds_the_cells(finished):
    write_report(finished)
    value = json.loads((finished / "report.json").read_text())
    grid = read_grid(finished)
    assert value["grid"]["data_hash"] == grid.data_hash
    cells = {(c["config"]["method"], c["config"]["normal_class"], c["config"]["seed"]): c for c in value["cells"]}
    assert len(cells) == len(cells_of(grid))
    for cell in cells_of(grid):
        assert cells[cell.method, cell.normal_class, cell.seed]["auc"] == read_cell(cell, finished)["auc"]


def test_command_line(tmp_path, capsys):
    arguments = ["table1-digits", "--methods", "kde", "--classes", "3", "8", "--quiet", "--out", str(tmp_path)]
    assert cli.main(["experiment", *arguments, "--resume"]) == 0
    table = capsys.readouterr().out
    assert "| 3 |" in table
    assert cli.main(["experiment", "report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == table
    assert json.loads((tmp_path / "grid.json").read_text())["protocol_name"] == "quick"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["table1-digits", "--methods", "kde", "svm"], ["--methods svm", "oc-svm"]),
        (["table1-digits", "--classes", "eleven"], ["--classes eleven"]),
        (["table1-digits", "--seeds", "0"], ["--seeds 0"]),
        (["table1-mnist", "--data-dir", "/nowhere"], ["/nowhere"]),
        (["report", "/nowhere"], ["/nowhere", "grid.json"]),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["experiment", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert all(word in error for word in words), error


def test_processes_that_share_a_folder_all_get_into_its_table(tmp_path, monkeypatch):
    """Each reads grid.json, adds its own class and writes it again: with nobody else in between."""
    write = run_module.write_json

    def write_slowly(path, value):
        if path.name == "grid.json":
            time.sleep(0.05)  # time enough for others to have read the old file
        write(path, value)

    monkeypatch.setattr(run_module, "write_json", write_slowly)
    monkeypatch.setattr(run_module, "cells_of", lambda *_: [])
    grids = [tiny_grid(methods=["isolation-forest"], classes=[name]) for name in "0123"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda grid: run_grid(grid, tmp_path, verbose=0), grids))
    assert sorted(read_grid(tmp_path).classes) == ["0", "1", "2", "3"]
    assert [path.name for path in tmp_path.iterdir()] == ["grid.json"], "no lock is left lying about"


def test_a_lost_dask_cluster_is_one_line(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs the extra `distributed`")

    class Lost:
        """A client whose scheduler went away on the way."""

        status = "closed"

        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    def fail(*_, **__):
        raise AttributeError("'NoneType' object has no attribute 'ncores'")

    monkeypatch.setattr(distributed, "Client", Lost)
    monkeypatch.setattr(run_module, "parallel_config", lambda **_: nullcontext())
    monkeypatch.setattr(run_module, "Parallel", fail)
    with pytest.raises(ConnectionError, match=r"--scheduler tcp://x:1: the Dask cluster was lost: run again") as error:
        run_grid(tiny_grid(), tmp_path, scheduler="tcp://x:1", verbose=0)
    assert "\n" not in str(error.value)
