"""The ladders' promise, counted: down a ladder the loads fall, and a fusion moves fewer bytes."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_benchmarks import load_benchmark
from helpers_processes import environment

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.compiler


@pytest.fixture(scope="module")
def rungs():
    return load_benchmark("rungs")


@pytest.fixture(scope="module")
def quick_rows(tmp_path_factory):
    """What the script writes in its quick size."""
    out = tmp_path_factory.mktemp("rungs") / "rungs.json"
    command = [sys.executable, ROOT / "benchmarks" / "rungs.py", "--quick", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())["rows"]


def ladders(rows):
    """The rows of each (layer, operation), in the order of the rungs."""
    for key, group in itertools.groupby(rows, lambda row: (row["layer"], row["operation"])):
        yield key, list(group)


def check_falling(rows):
    for (layer, operation), ladder in ladders(rows):
        where = f"{operation} on {layer}"
        assert len(ladder) >= 2, where
        for upper, lower in itertools.pairwise(ladder):
            if lower["rung"] in ("tensor", "corrected", "tf32"):
                check_tensor_cores(upper, lower, where)
                continue
            if lower["rung"] == "rows":  # what lies in registers need not be loaded from shared memory again
                assert lower["shared_loads"] < 0.6 * upper["shared_loads"], where
                assert lower["loads"] + lower["shared_loads"] < 0.6 * (upper["loads"] + upper["shared_loads"]), where
                continue
            if (operation, lower["rung"]) == ("matmul", "split"):
                continue  # not for fewer loads: see below
            # where a rung makes the same loads, it makes them in fuller transactions, or with more threads
            assert lower["loads"] < upper["loads"] * 1.001, f"{where}: {upper['rung']} -> {lower['rung']}"
            fewer = lower["loads"] < 0.99 * upper["loads"]
            denser = lower["bytes"] < 0.99 * upper["bytes"]
            more_threads = operation == "conv2d_backward_weight" and lower["rung"] == "coalesced"
            assert fewer or denser or more_threads, f"{where}: {upper['rung']} -> {lower['rung']}"


def check_tensor_cores(upper, lower, where):
    """They share numbers among the lanes of a warp; `corrected` saves instructions only, `tf32` half the filters."""
    counted = ("loads", "stores", "bytes", "shared_loads")
    if lower["rung"] == "tensor":
        assert lower["shared_loads"] < 0.6 * upper["shared_loads"], where
    elif lower["rung"] == "corrected" or lower["operation"] == "conv2d_backward_weight":
        assert [lower[name] for name in counted] == [upper[name] for name in counted], where
    else:
        assert all(lower[name] < upper[name] for name in counted), where
    assert lower["bank_conflict"] == 1, where


def test_loads_fall_down_every_ladder(quick_rows):
    check_falling(quick_rows)


def test_loads_fall_in_the_published_figures():
    check_falling(json.loads((ROOT / "benchmarks" / "results" / "rungs.json").read_text())["rows"])


def test_counts_are_those_of_the_formulas(rungs):
    """Square matrices of whole tiles: 2 inner loads per output, 2 inner / 16 tiled, / 64 register-blocked ..."""
    rungs.PRODUCTS["square"] = (64, 64, 64)
    backend = rungs.CountingBackend()
    cases = rungs.product_cases(backend, rungs.np.random.default_rng(0), "square")
    counted = {rung: rungs.count(backend, outputs, call) for _, rung, outputs, call in cases}
    del rungs.PRODUCTS["square"]
    assert {rung: row["loads"] for rung, row in counted.items()} == {
        "naive": 128, "coalesced": 128, "tiled": 128 / 16, "register_blocked": 128 / 64, "split": 128 / 8,
        "quarters": 128 / 32,
    }  # fmt: skip
    assert counted["tiled"]["shared_loads"] == 128
    assert counted["register_blocked"]["shared_loads"] == counted["quarters"]["shared_loads"] == 128 / 16
    assert counted["register_blocked"]["bank_conflict"] == counted["split"]["bank_conflict"] == 1
    assert counted["split"]["shared_loads"] < 128 / 3  # 2 packs for 4 k, and the shares of four threads
    assert counted["split"]["barriers"] == 3 < counted["quarters"]["barriers"] == 4 < counted["tiled"]["barriers"]
    assert counted["coalesced"]["sectors_per_request"] < 4 < counted["naive"]["sectors_per_request"]


def test_tensor_cores_filters_are_made_once_for_a_batch(rungs, monkeypatch):
    """An image in a batch of 200 pays a 200th: two parts of each filter's number beside the layer's own outputs."""
    monkeypatch.setitem(rungs.CONVOLUTIONS, "small", (1, 8, 8, 32))
    backend = rungs.CountingBackend()
    cases = rungs.convolution_cases(backend, rungs.np.random.default_rng(0), "small")
    found = {(operation, rung): (outputs, call) for operation, rung, outputs, call in cases}
    assert ("conv2d_backward_input", "corrected") not in found  # 8 results are no group of 32
    outputs, call = found["conv2d_forward", "corrected"]
    row = rungs.count(backend, outputs, call)
    assert row["launches"] == ["conv2d_filters_1_by_lane", "conv2d_forward_7_tensor"]
    filters = 32 * 8 * 25
    stores_of_outputs = row["stores"] * outputs - 2 * filters / 200
    assert stores_of_outputs == pytest.approx(round(stores_of_outputs))
    assert 0 < stores_of_outputs <= outputs


def test_every_rung_that_fits_is_counted(rungs):
    published = json.loads((ROOT / "benchmarks" / "results" / "rungs.json").read_text())["rows"]
    counted = {(row["layer"], row["operation"], row["rung"]) for row in published}
    for name in rungs.CONVOLUTIONS:
        cases = rungs.convolution_cases(rungs.CountingBackend(), rungs.np.random.default_rng(0), name)
        assert {(name, operation, rung) for operation, rung, *_ in cases} <= counted
    for layer in ("cifar10 2", "gtsrb 3"):
        assert (layer, "conv2d_forward", "corrected") in counted


def test_table_is_that_of_the_published_figures(rungs):
    rows = json.loads((ROOT / "benchmarks" / "results" / "rungs.json").read_text())["rows"]
    assert rungs.table(rows) in (ROOT / "kernels" / "README.md").read_text()


def test_table_replaces_what_stands_between_the_markers(rungs, quick_rows, tmp_path):
    path = tmp_path / "table.md"
    path.write_text(f"before\n{rungs.MARKERS[0]}\nold\n{rungs.MARKERS[1]}\nafter\n")
    rungs.write_table(path, quick_rows)
    text = path.read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| halo | mnist 2 |" in text
    path.write_text("no markers")
    with pytest.raises(ValueError, match="expected each of the markers"):
        rungs.write_table(path, quick_rows)
