"""`minisvdd data fetch`: progress on stderr, the folder on standard output."""

import pytest
from helpers_cli import run

pytestmark = pytest.mark.slow


def test_fetch_reports_progress_and_prints_the_folder(monkeypatch, capsys, tmp_path):
    def fetch(name, data_dir, on_progress, on_wait):
        on_progress(1 << 20, 2 << 20)
        on_progress(2 << 20, 2 << 20)
        on_wait("http://one: busy; once more in 1 s")
        return tmp_path / name

    monkeypatch.setattr("minisvdd.cli.data.fetch", fetch)
    assert run("data", "fetch", "mnist", "--data-dir", tmp_path) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "mnist")
    assert captured.err.count("download, MB") == 1, "the end, and nothing more often than every few seconds"
    assert "download, MB 2/2 " in captured.err
    assert captured.err.endswith("\nhttp://one: busy; once more in 1 s\n")
