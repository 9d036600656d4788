"""`minisvdd bench`: a table on standard output, the same as JSON."""

import json

import pytest
from helpers_cli import run

pytestmark = pytest.mark.slow


def test_bench_times_one_workload(capsys, tmp_path):
    arguments = ("bench", "--workload", "mnist encoder", "--rounds", "1", "--out", tmp_path / "bench.json")
    assert run(*arguments) == 0
    assert "mnist encoder" in capsys.readouterr().out
    assert json.loads((tmp_path / "bench.json").read_text())["rows"][0]["batch_size"] == 200
