"""`minisvdd experiment report`: what it prints, and when it draws figure 4."""

import pytest
from helpers_cli import run

from minisvdd.attack.adversarial import STOP_SIGNS

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
