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


@pytest.mark.compiler
def test_ladder_prints_a_table_and_says_that_the_emulators_times_mean_nothing(capsys, tmp_path):
    assert run("bench", "--ladder", "--backend", "emulator", "--out", tmp_path / "ladder.json") == 0
    out = capsys.readouterr().out
    assert "| layer | operation | naive | coalesced |" in out
    assert "| small | backward weight |" in out
    assert "say nothing about a GPU" in out
    result = json.loads((tmp_path / "ladder.json").read_text())
    assert not result["is_meaningful"]
    assert all(row["ms"]["naive"] > 0 for row in result["ladder"])


def test_ladder_needs_kernels(capsys):
    assert run("bench", "--ladder") == 2
    assert "--backend cuda or emulator" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("workload", "nonsense"), ("precision", "tf32"), ("vs", "torch"), ("threads", 7), ("rounds", 1)],
)
def test_ladder_refuses_options_of_training_steps(capsys, option, value):
    assert run("bench", "--ladder", "--backend", "emulator", f"--{option}", value) == 2
    assert capsys.readouterr().err == f"minisvdd: error: --{option}: bench --ladder takes --backend, --out\n"


def test_help_says_what_the_ladder_times(capsys):
    with pytest.raises(SystemExit):
        run("bench", "--help")
    assert "kernels of the convolution and of the matrix product" in " ".join(capsys.readouterr().out.split())
