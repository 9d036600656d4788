"""What a report's files look like: JSON with a cell on each line, the table of the stages of training."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import run
from helpers_grid import run_grid, tiny_grid

from minisvdd.experiments.grid import cells_of, read_cell, read_grid
from minisvdd.experiments.report import write_report, write_stages

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
