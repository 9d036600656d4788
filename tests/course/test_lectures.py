"""`minisvdd lectures`: all of them, as they are; notebooks that run in a folder with nothing else in it."""

import json

import pytest
from helpers_cli import run

from minisvdd import DataError
from minisvdd.course.handouts.lectures import copy_lectures, notebook
from minisvdd.places import shipped

LECTURES = shipped("lectures")
SCRIPTS = sorted(path.relative_to(LECTURES) for path in LECTURES.rglob("[0-9]*.py"))


def test_copies_lectures_and_solutions(tmp_path, capsys):
    assert run("lectures", tmp_path) == 0
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")) == SCRIPTS
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / script) for script in SCRIPTS]
    for script in SCRIPTS:
        assert (tmp_path / script).read_bytes() == (LECTURES / script).read_bytes()
    assert run("lectures", tmp_path) == 0  # once more: nothing has changed


def test_nobody_s_work_is_written_over(tmp_path):
    (tmp_path / "15_from_score_to_decision.py").write_text("my notes")
    with pytest.raises(DataError, match=r"15_from_score_to_decision\.py: exists already, and may hold somebody's work"):
        copy_lectures(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_notebooks_are_those_of_jupytext(tmp_path):
    jupytext = pytest.importorskip("jupytext", reason="needs the extra `docs`")
    nbformat = pytest.importorskip("nbformat")
    for path in copy_lectures(tmp_path, as_notebooks=True):
        ours = nbformat.read(path, as_version=4)
        nbformat.validate(ours)
        theirs = jupytext.read(LECTURES / path.relative_to(tmp_path).with_suffix(".py"), fmt="py:percent")
        assert [(c.cell_type, c.source) for c in ours.cells] == [(c.cell_type, c.source) for c in theirs.cells], path


def test_cells_of_text_and_code():
    cells = json.loads(notebook("# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1  # one\n\n# a remark\ny = 2\n"))[
        "cells"
    ]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code"]
    assert "".join(cells[0]["source"]) == "# Title\n\ntext"
    assert "".join(cells[1]["source"]) == "x = 1  # one\n\n# a remark\ny = 2"


@pytest.mark.slow
def test_a_notebook_runs_where_nothing_else_is(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs the extra `docs`")
    nbformat = pytest.importorskip("nbformat")
    copy_lectures(tmp_path / "notebooks", as_notebooks=True)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("MINISVDD_QUICK", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    found = nbformat.read(tmp_path / "notebooks" / "02_backprop.ipynb", as_version=4)
    resources = {"metadata": {"path": str(tmp_path / "empty")}}
    nbclient.NotebookClient(found, kernel_name="python3", resources=resources).execute()
    printed = "".join(output.get("text", "") for output in found.cells[-1].outputs)  # a kernel sends lines in pieces
    assert printed.endswith("checks, all passed\n")
    assert any("image/png" in output.get("data", {}) for cell in found.cells for output in cell.get("outputs", []))
    assert list((tmp_path / "empty").iterdir()) == []
