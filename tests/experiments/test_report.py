"""What a report's files look like: JSON with a cell on each line, the stages of training, the table and its picture."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import run
from helpers_grid import TINY, TINY_GAN, aucs, cell_files, run_grid, tiny_grid
from matplotlib.container import ErrorbarContainer

from minisvdd import load_dataset
from minisvdd.experiments.grid import cells_of, make_grid, read_cell, read_grid
from minisvdd.experiments.methods import METHODS
from minisvdd.experiments.paper import TABLE_1, distance_from
from minisvdd.experiments.report import Entry, average_ranks, collect, plot_table, write_report, write_stages

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("grid")
    run_grid(tiny_grid(methods=["kde", "one-class"]), out, verbose=0)
    return out


def of_line(line):
    """The JSON value of a line in a list."""
    return json.loads(line.removesuffix(","))


def test_report_json_has_one_value_on_each_line(finished):
    write_report(finished)
    text = (finished / "report.json").read_text()
    value, lines = json.loads(text), text.splitlines()
    names = ['"versions": [', '"cells": [']
    starts = [lines.index(name) + 1 for name in names]
    assert lines[0] == "{"
    assert of_line("{" + lines[1].removesuffix(",") + "}") == {"grid": value["grid"]}
    for start, name in zip(starts, ("versions", "cells")):
        assert [of_line(line) for line in lines[start : start + len(value[name])]] == value[name]
    assert len(lines) == 8 + len(value["versions"]) + len(value["cells"])
    assert len(value["cells"]) == 2 + 2 * 2


def test_report_json_says_what_published_ones_say(finished):
    """Another layout, the same names: both are read by the same code."""
    write_report(finished)
    new, published = (
        json.loads(path.read_text()) for path in (finished / "report.json", RESULTS / "table1-digits.json")
    )
    assert new.keys() == published.keys()
    for method in ("kde", "one-class"):
        found = [next(c for c in report["cells"] if c["config"]["method"] == method) for report in (new, published)]
        assert found[0].keys() == found[1].keys()
        assert found[0]["config"].keys() == found[1]["config"].keys()


def test_report_json_of_nothing(tmp_path, finished):
    (tmp_path / "grid.json").write_bytes((finished / "grid.json").read_bytes())
    write_report(tmp_path)
    value = json.loads((tmp_path / "report.json").read_text())
    assert (value["cells"], value["versions"], value["cell_seconds"]) == ([], [], 0)


def rows_of(markdown):
    """{first column: numbers of the others} of a Markdown table, and its headings."""
    lines = [[text.strip() for text in line.strip("|").split("|")] for line in markdown.splitlines()]
    return {row[0]: row[1:] for row in lines[2:]}, lines[0]


def test_stages_are_those_of_the_cells(finished):
    markdown, name = write_stages(finished, "one-class")
    assert (finished / name).read_text() == markdown
    rows, headings = rows_of(markdown)
    assert headings[1:] == ["random weights", "pre-trained weights", "autoencoder (DCAE)", "one-class, trained"]
    cells = [cell for cell in cells_of(read_grid(finished), ["one-class"]) if cell.normal_class == "8"]
    for column, stage in enumerate(("random", "pretrained", "autoencoder", "trained")):
        auc = [100 * read_cell(cell, finished)["auc"][stage] for cell in cells]
        assert rows["8"][column] == f"{np.mean(auc):.1f} ± {np.std(auc):.1f}"
    assert rows.keys() == {"3", "8", "**mean**"}


def test_stages_stand_beside_the_paper_s(finished, monkeypatch):
    printed = {name: {"dcae": (81.0, 1.0), "one-class": (91.0, 2.0)} for name in ("3", "8")}
    monkeypatch.setattr("minisvdd.experiments.report.TABLES", {"digits": printed})
    rows, headings = rows_of(write_stages(finished, "one-class")[0])
    assert headings[-2:] == ["paper: DCAE", "paper: one-class"]
    assert rows["3"][-2:] == ["81.0 ± 1.0", "91.0 ± 2.0"]
    assert rows["**mean**"][-2:] == ["81.0", "91.0"]


def test_stages_command(finished, capsys):
    assert run("experiment", "stages", finished) == 0
    assert "| normal class | random weights |" in capsys.readouterr().out
    assert run("experiment", "stages", finished, "--objective", "soft-boundary") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--objective soft-boundary" in error
    assert "kde, one-class" in error


# How far from the paper


def test_the_distance_of_means_of_seeds_is_what_is_expected(rng):
    """Ten classes of the same thing, drawn n and ten times: the RMS distance averages to the expected one."""
    paper_mean, spread = rng.normal(90, 4, size=10), rng.uniform(0.3, 2, size=10)
    found, expected = [], []
    for _ in range(400):
        draws = paper_mean[:, None] + spread[:, None] * rng.normal(size=(10, 13))
        paper = {str(c): (draws[c, :10].mean(), draws[c, :10].std(ddof=1)) for c in range(10)}
        ours = {str(c): (draws[c, 10:].mean(), draws[c, 10:].std(ddof=1), 3) for c in range(10)}
        d = distance_from(ours, paper)
        found.append((d.rms**2, (d.difference / d.standard_error) ** 2))
        expected.append(d.expected**2)
    rms, ratio = np.mean(found, axis=0)
    assert rms == pytest.approx(np.mean(expected), rel=0.1)
    assert ratio == pytest.approx(1, rel=0.25)


def test_distance_in_numbers():
    paper = {"0": (98.0, 1.0), "1": (90.0, 2.0), "2": (70.0, 0.0)}
    ours = {"0": (99.0, 1.0, 4), "1": (87.0, 0.0, 1), "2": (72.0, np.nan, 1), "other": (1.0, 1.0, 2)}
    d = distance_from(ours, paper)
    assert (d.difference, d.correlation) == (0, pytest.approx(1))
    assert d.rms == pytest.approx(np.sqrt((1 + 9 + 4) / 3))
    assert d.expected == pytest.approx(np.sqrt((1 / 4 + 1 / 10 + 4 / 10 + 0) / 3))
    assert d.standard_error == pytest.approx(np.sqrt(0.75) / 3)
    assert np.isnan(distance_from({"0": (98.0, 1.0, 2)}, paper).correlation)
    with pytest.raises(ValueError, match="expected a class that the paper has"):
        distance_from({"other": (1.0, 1.0, 2)}, paper)


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_report_of_a_table_of_the_paper_says_how_far_it_is(tmp_path, seeds):
    digits = load_dataset("digits")
    split = {"x_train": digits.train_images[:300], "y_train": digits.train_labels[:300]}
    split |= {"x_test": digits.test_images[:300], "y_test": digits.test_labels[:300]}
    np.savez(tmp_path / "mnist.npz", **split)
    grid = make_grid(
        str(tmp_path / "mnist.npz"), methods=["kde", "isolation-forest"], classes=["1", "3", "8"], seeds=seeds
    )
    run_grid(grid, tmp_path / "out", verbose=0)
    markdown = write_report(tmp_path / "out")[0]
    _, entries, _, _ = collect(tmp_path / "out")
    row = next(line for line in markdown.splitlines() if line.startswith("| kde | ") and "±" in line)
    paper = {name: TABLE_1["mnist"][name]["kde"] for name in grid.classes}
    d = distance_from({name: (entries[name, "kde"].mean, 0.0, 1) for name in grid.classes}, paper)
    assert row == f"| kde | {d.difference:+.1f} ± 0.0 | {d.rms:.1f} | 0.0 | {d.correlation:.2f} |"
    words = "(± one standard error, of isolation-forest with the paper's deviations where there is but one seed):"
    assert (words in markdown) == (seeds == 1)
    assert ("(± one standard error):" in markdown) == (seeds == 2)


def test_a_single_seed_of_one_column_is_told_though_the_grid_has_more(tmp_path, monkeypatch):
    """The seed that is missing may be that of any cell."""
    printed = {name: {"kde": (81.0, 0.0), "isolation-forest": (91.0, 2.0)} for name in ("3", "8")}
    monkeypatch.setattr("minisvdd.experiments.report.TABLES", {"digits": printed})
    run_grid(tiny_grid(methods=["isolation-forest", "kde"]), tmp_path, verbose=0)
    assert "(± one standard error):" in write_report(tmp_path)[0]
    next(path for path in cell_files(tmp_path) if path.parent.parent.name == "isolation-forest").unlink()
    assert "(± one standard error, of isolation-forest with the paper's deviations where" in write_report(tmp_path)[0]


@pytest.mark.parametrize("epochs", [0, 1])
def test_there_are_no_pre_trained_weights_without_a_pre_training(epochs, tmp_path):
    settings = replace(TINY, pretrain_epochs=epochs, epochs=1)
    run_grid(tiny_grid(methods=["one-class"], seeds=1, classes=["3"], settings=settings), tmp_path, verbose=0)
    markdown, headings = write_report(tmp_path)[0], rows_of(write_stages(tmp_path, "one-class")[0])[1]
    assert "one-class, random weights" in markdown
    assert ("pre-trained" in markdown) == (epochs > 0)
    assert ("pre-trained" in (tmp_path / "report.csv").read_text()) == (epochs > 0)
    pretrained = ["pre-trained weights", "autoencoder (DCAE)"] if epochs else []
    assert headings[1:] == ["random weights", *pretrained, "one-class, trained"]


# What the table and its picture show


def test_a_report_of_an_unfinished_grid(tmp_path):
    run_grid(tiny_grid(methods=["kde"], seeds=1), tmp_path, verbose=0)
    cell_files(tmp_path)[0].unlink()
    markdown, _ = write_report(tmp_path)
    assert "1 of 2 cells" in markdown
    assert "| 3 | - |" in markdown


def test_a_nu_that_lacks_seeds_is_not_the_better_one(tmp_path):
    grid = tiny_grid(methods=["soft-boundary"], classes=["3"], settings=replace(TINY, pretrain_epochs=0, epochs=1))
    run_grid(grid, tmp_path, verbose=0)
    for lacking in cells_of(grid)[::2]:
        kept = lacking.path(tmp_path).read_bytes()
        lacking.path(tmp_path).unlink()
        entry = aucs(tmp_path)["3", "soft-boundary"]
        assert entry.nu != lacking.nu
        assert entry.n == 2
        lacking.path(tmp_path).write_bytes(kept)


def test_means_over_the_classes_that_all_methods_have(tmp_path, monkeypatch):
    """An unfinished table has no mean of all classes; what can be compared is that of the finished ones."""
    methods, classes = ("kde", "isolation-forest"), ["3", "5", "8"]
    run_grid(tiny_grid(methods=methods, classes=classes, seeds=1), tmp_path, verbose=0)
    numbers = {"3": (60.0, 70.0), "5": (62.0, 74.0), "8": (94.0, 84.0)}
    printed = {name: {"kde": (kde, 0.0), "isolation-forest": (trees, 1.0)} for name, (kde, trees) in numbers.items()}
    monkeypatch.setattr("minisvdd.experiments.report.TABLES", {"digits": printed})
    assert "mean of" not in write_report(tmp_path)[0]
    next(path for path in cell_files(tmp_path) if path.parts[-3:-1] == ("kde", "8")).unlink()
    entries, (markdown, _) = aucs(tmp_path), write_report(tmp_path)
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("|")]
    rows = {title: numbers for title, *numbers in rows}
    assert rows["**mean**"][0] == "-"
    assert "In parentheses: the paper." in markdown
    assert rows["paper: mean"] == ["72.0", "76.0"]
    assert rows["paper: average rank"] == ["1.7", "1.3"]
    ours = [(entries["3", method].mean + entries["5", method].mean) / 2 for method in methods]
    assert rows["mean of 3, 5"] == [f"{mean:.1f}" for mean in ours]
    assert rows["paper: mean of the same"] == ["61.0", "72.0"]
    assert rows["paper: average rank on the same"] == ["2.0", "1.0"]


def test_the_picture_of_a_table():
    """Dots in the order of the methods around each class, a dash at the paper's number, nothing cut off."""
    grid = tiny_grid(methods=None)
    rng = np.random.default_rng(0)
    entries = {
        (normal_class, method): Entry(*rng.uniform((85, 1), (98, 3)), 3, None, (rng.uniform(85, 98), 1.0))
        for normal_class in grid.classes
        for method in grid.methods
    }
    figure = plot_table(grid, entries)
    figure.canvas.draw()
    [axes], [legend] = figure.axes, figure.legends
    groups = [container for container in axes.containers if isinstance(container, ErrorbarContainer)]
    dots = {(c, m): xy for m, group in zip(grid.methods, groups) for c, xy in zip(grid.classes, group[0].get_xydata())}
    middle = {cell: x for cell, (x, _) in dots.items()}
    for place, normal_class in enumerate(grid.classes):
        middles = [middle[normal_class, method] for method in grid.methods]
        assert sorted(middles) == middles
        assert np.mean(middles) == pytest.approx(place)
        assert max(middles) - min(middles) < 1
    dashes = {tuple(np.round(point, 6)) for mark in axes.collections for point in np.asarray(mark.get_offsets())}
    for cell, entry in entries.items():
        assert dots[cell][1] == pytest.approx(entry.mean)
        assert (round(middle[cell], 6), round(entry.paper[0], 6)) in dashes
    low, high = axes.get_ylim()
    lowest = min(entry.mean - entry.std for entry in entries.values())
    assert lowest - 15 < low < lowest
    assert high == 100
    assert [text.get_text() for text in legend.get_texts()] == list(grid.methods)
    assert legend.get_window_extent().width <= figure.bbox.width


def test_one_seed_has_no_deviation(tmp_path):
    run_grid(tiny_grid(methods=["isolation-forest"], classes=["3"], seeds=1), tmp_path, verbose=0)
    assert "\nTest AUC in %, of 1 seed. 1 of 1 cells are finished.\n" in write_report(tmp_path)[0]


def test_methods_without_seeds_are_one_run_and_lack_none(tmp_path):
    run_grid(tiny_grid(methods=["kde", "oc-svm-no-labels"], classes=["3"]), tmp_path, verbose=0)
    words = "over 2 seeds (kde: one run; oc-svm-no-labels: one run). 2 of 2 cells are finished."
    assert words in write_report(tmp_path)[0]


def test_a_report_says_whether_anogan_converged(tmp_path):
    run_grid(tiny_grid(methods=["anogan"], classes=["3"], seeds=1), tmp_path, verbose=0)
    assert "anogan did not converge on 3, by this criterion" in write_report(tmp_path)[0]
    [path] = cell_files(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "converged": 0.6}))
    markdown, _ = write_report(tmp_path)
    assert "anogan converged, by this criterion" in markdown
    assert "(3 60 %)" in markdown
    assert f"{TINY_GAN.test_images} random" in markdown


def test_a_report_names_the_data_file_without_its_folder(tmp_path):
    rng = np.random.default_rng(0)
    samples = {"x_train": rng.random((20, 4)), "y_train": np.zeros(20), "x_test": rng.random((9, 4))}
    np.savez(tmp_path / "own.npz", **samples, y_test=np.arange(9) % 2)
    run_grid(make_grid(str(tmp_path / "own.npz"), methods=["kde"], classes=["0"], seeds=1), tmp_path, verbose=0)
    write_report(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["grid"]["data"] == "own.npz"


def test_marks_follow_the_rule():
    """More than 2 sqrt(s1^2 + s2^2) + 1 points: here 2 * 5 + 1 = 11."""
    assert not Entry(90.0, 3.0, 10, None, (79.1, 4.0)).differs
    assert Entry(90.0, 3.0, 10, None, (78.9, 4.0)).differs
    assert not Entry(90.0, 3.0, 10, None).differs


def test_a_single_seed_borrows_the_paper_s_deviation_for_its_mark(tmp_path, monkeypatch):
    """More than 2 sqrt(2) 4 + 1 = 12.3 points; kde draws nothing: more than 2 * 4 + 1 = 9."""
    assert not Entry(90.0, 0.0, 1, None, (78.0, 4.0)).differs
    assert Entry(90.0, 0.0, 1, None, (77.0, 4.0)).differs
    assert Entry(90.0, 0.0, 1, None, (80.0, 4.0), seeded=False).differs
    run_grid(tiny_grid(methods=["isolation-forest", "kde"], classes=["3"], seeds=1), tmp_path, verbose=0)
    ours = {method: entry.mean for (_, method), entry in collect(tmp_path)[1].items()}
    printed = {"3": {method: (mean - 10, 4.0) for method, mean in ours.items()}}
    monkeypatch.setattr("minisvdd.experiments.report.TABLES", {"digits": printed})
    assert {method: entry.differs for (_, method), entry in collect(tmp_path)[1].items()} == {
        "isolation-forest": False, "kde": True
    }  # fmt: skip
    assert (
        write_report(tmp_path)[0].count("**!** marks a difference of more than 2 combined standard deviations + 1 ")
        == 1
    )


def test_published_marks_are_those_of_the_published_numbers():
    for path in sorted(RESULTS.glob("table*.csv")):
        markdown, *_ = path.with_suffix(".md").read_text(encoding="utf-8").partition("\n| **mean**")
        rows, headings = rows_of(markdown[markdown.index("| normal class |") :])
        for row in csv.DictReader(path.open(encoding="utf-8")):
            paper = (float(row["paper_mean"]), float(row["paper_std"])) if row["paper_mean"] else None
            method = METHODS[row["method"].partition(",")[0]]
            entry = Entry(float(row["auc_mean"]), float(row["auc_std"]), int(row["n"]), None, paper, 0, method.seeded)
            assert entry.differs == bool(int(row["differs"])), (path.name, row)
            if row["method"] in headings:
                cell = rows[row["normal_class"]][headings.index(row["method"]) - 1]
                assert ("**!**" in cell) == entry.differs, (path.name, row)


def test_average_ranks():
    np.testing.assert_array_equal(average_ranks([[90, 80, 70], [60, 80, 60]]), [1.75, 1.5, 2.75])
    np.testing.assert_array_equal(average_ranks([[90, np.nan], [60, 80]]), [2, 1])
