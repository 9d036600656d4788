"""Benchmarks run, in their quick size, and write what they promise."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(script, *arguments):
    """A benchmark as a process; returns its standard output."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, ROOT / "benchmarks" / script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_classes_writes_a_table_and_goes_on_where_it_stopped(tmp_path):
    table = run("classes.py", "--quick", "--out", tmp_path)
    name = "digits-quick-one-class-nu0.1-seed0"
    assert (tmp_path / f"{name}.md").read_text() in table
    results = json.loads((tmp_path / f"{name}.json").read_text())
    assert [result["normal_class"] for result in results] == ["0", "1"]
    assert all({"random", "pretrained", "autoencoder", "trained"} == set(result["auc"]) for result in results)

    kept = tmp_path / name / "1.json"
    kept.write_text(json.dumps({**results[1], "seconds": -1}))
    (tmp_path / name / "0.json").unlink()
    run("classes.py", "--quick", "--out", tmp_path)
    again = json.loads((tmp_path / f"{name}.json").read_text())
    assert again[1]["seconds"] == -1
    assert again[0]["auc"] == results[0]["auc"]


def test_step_quick_writes_times(tmp_path):
    run("step.py", "--quick", "--threads", 1, "--out", tmp_path / "step.json")
    result = json.loads((tmp_path / "step.json").read_text())
    assert [row["workload"] for row in result["rows"]] == ["mnist encoder"]
    assert result["rows"][0]["ms"]["minisvdd"] > 0


def test_ops_quick_measures_every_kind_of_operation(tmp_path):
    run("ops.py", "--quick", "--out", tmp_path / "ops.json")
    text = (tmp_path / "ops.json").read_text()
    assert all(name in text for name in ("conv2d_forward", "batchnorm", "maxpool_backward", "adam_update"))


def test_tricks_quick_measures_every_trick_with_and_without(tmp_path):
    run("tricks.py", "--quick", "--threads", 1, "--out", tmp_path / "tricks.json")
    result = json.loads((tmp_path / "tricks.json").read_text())
    assert {"winograd", "strips", "fusion", "workspace", "threads"} < result["tricks"].keys()
    for trick in result["tricks"].values():
        assert set(trick["mnist encoder"]) == {"with", "without"}
        assert min(trick["mnist encoder"].values()) > 0


def test_the_table_of_tricks_is_that_of_the_results(tmp_path):
    text = (ROOT / "benchmarks" / "README.md").read_text()
    spec = importlib.util.spec_from_file_location("tricks", ROOT / "benchmarks" / "tricks.py")
    tricks = importlib.util.module_from_spec(spec)
    sys.modules["tricks"] = tricks  # dataclasses look their module up
    spec.loader.exec_module(tricks)
    result = json.loads((ROOT / "benchmarks" / "results" / "tricks.json").read_text())
    assert tricks.with_table(text, result) == text
    assert tricks.table(result).count("|") > 50
