"""Benchmarks run, in their quick size, and write what they promise."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from forked import Starter
from helpers_benchmarks import load_benchmark
from helpers_processes import environment

from minisvdd import DeepSVDD, load_dataset, nn
from minisvdd.backends import NUMPY
from minisvdd.backends.workspace import Workspace
from minisvdd.course import NAMES
from minisvdd.experiments import ladder
from minisvdd.experiments.grid import cells_of, make_grid, read_cell
from minisvdd.experiments.protocols import get_protocol
from minisvdd.experiments.running.run import run_grid
from minisvdd.nn.batches import fixed_batches
from minisvdd.nn.losses import MeanSquaredError
from minisvdd.nn.networks import make_autoencoder
from minisvdd.ops.operation import Operation

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture(scope="module")
def run():
    """`run(script, *arguments)`: a benchmark as a process; returns its standard output."""
    starter = Starter(environment())

    def run(script, *arguments):
        done = starter.run(ROOT / "benchmarks" / script, *arguments, seconds=600)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    starter.close()


_PARTS = ("cells", "common", "gpu_torch")  # of scripts
SCRIPTS = sorted(path.name for path in (ROOT / "benchmarks").glob("*.py") if path.stem not in _PARTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_says_what_is_measured_and_where_it_goes(script, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [script, "--help"])
    with pytest.raises(SystemExit) as caught:
        load_benchmark(Path(script).stem).main()
    assert not caught.value.code
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {script}")
    assert "--out" in text


def test_a_run_that_was_stopped_leaves_the_rows_that_it_has(tmp_path, monkeypatch):
    common = load_benchmark("common")

    def measure(split):
        if split.normal_class == "5":
            raise KeyboardInterrupt
        yield {"normal_class": split.normal_class, "n": len(split.train)}

    parser = common.make_parser("What it does.", quick="less", out="never.json")
    common.add_data(parser, classes=["7"])
    out = tmp_path / "rows.json"
    monkeypatch.setattr("sys.argv", ["script", "--classes", "3", "4", "5", "--out", str(out)])
    arguments = common.parse(parser, classes=["9"])
    with pytest.raises(KeyboardInterrupt):
        common.class_by_class(load_dataset("digits"), measure, arguments, seeds=1)
    result = json.loads(out.read_text())
    assert list(result) == ["data", "seeds", "versions", "rows"]
    assert [row["normal_class"] for row in result["rows"]] == ["3", "4"]

    monkeypatch.setattr("sys.argv", ["script", "--quick", "--classes", "3"])
    assert common.parse(parser, classes=["9"]).classes == ["9"]


# A training step of MNIST's encoder on 200 images: its convolutions multiply and add 200 x 3 x 313600 times, of which
# no core does more than 200 in a nanosecond.
LEAST_MS = 200 * 3 * 313_600 / 200 / 1e6


def test_step_quick_writes_times(run, tmp_path):
    started = time.perf_counter()
    run("step.py", "--quick", "--threads", 1, "--out", tmp_path / "step.json")
    result = json.loads((tmp_path / "step.json").read_text())
    assert [row["workload"] for row in result["rows"]] == ["mnist encoder"]
    assert LEAST_MS < result["rows"][0]["ms"]["minisvdd"] < 1000 * (time.perf_counter() - started)


def test_budgets_quick_follows_the_attack_nearer(run, tmp_path):
    run("budgets.py", "--quick", "--out", tmp_path / "budgets.json")
    rows = json.loads((tmp_path / "budgets.json").read_text())["rows"]
    assert [row["start"] for row in rows] == ["images", "images", "noise", "noise"]
    for short, long in (rows[:2], rows[2:]):
        assert long["queries"] > short["queries"]
        assert long["median_l2"] < short["median_l2"]
    assert all(len(row["one-class"]) == len(row["isolation-forest"]) == 1 for row in rows)


def test_grading_quick_times_one_submission_and_a_class(run, tmp_path):
    run("grading.py", "--quick", "--out", tmp_path / "grading.json")
    alone, together = json.loads((tmp_path / "grading.json").read_text())["rows"]
    assert (alone["submissions"], alone["points"]) == (1, 100)
    assert together["submissions"] == 2
    assert 50 <= together["points"] < 100  # the mean of a right file and a wrong one
    assert 0 < alone["processor_s"] < 10


def test_the_teacher_s_page_says_what_was_measured():
    """And that is less than 10 s for an assignment, less than three minutes for a class of thirty."""
    rows = json.loads((ROOT / "benchmarks" / "results" / "grading.json").read_text())["rows"]
    alone, classes = ([row for row in rows if row["submissions"] == n] for n in (1, 30))
    assert {row["assignment"] for row in alone} == {row["assignment"] for row in classes} == set(NAMES)
    assert all(row["points"] == 100 for row in alone)
    slowest = max(row["wall_s"] for row in alone), max(row["wall_s"] for row in classes)
    assert slowest[0] < 10
    assert slowest[1] < 180
    dear = ("anogan-search", "capstone", "conv2d-cuda", "conv2d-tiled")
    spent = [[row["processor_s"] for row in classes if (row["assignment"] in dear) == which] for which in (False, True)]
    single = [row["processor_s"] for row in alone]
    page = " ".join((ROOT / "docs" / "teaching.md").read_text(encoding="utf-8").split())
    assert f"half of them wrong, take {min(spent[0]):.0f} to {max(spent[0]):.0f} s of processor time" in page
    assert f"`conv2d-tiled` {min(spent[1]):.0f} to {max(spent[1]):.0f} s" in page
    assert f"A single right one takes {min(single):.1f} to {max(single):.1f} s" in page
    assert f"no class took more than {slowest[1]:.0f} s, and no single one more than {slowest[0]:.1f} s" in page


def test_ops_quick_measures_every_kind_of_operation(run, tmp_path):
    run("ops.py", "--quick", "--out", tmp_path / "ops.json")
    text = (tmp_path / "ops.json").read_text()
    names = ("conv2d_forward", "encoder_module_forward", "batchnorm", "norm_act_pool_backward", "adam_update")
    assert all(name in text for name in names)


@pytest.mark.compiler
def test_gpu_quick_runs_on_the_emulator(run, tmp_path):
    """Everything but what needs a GPU or PyTorch on one."""
    run("gpu.py", "--backend", "emulator", "--quick", "--seeds", 3, "--out", tmp_path / "gpu.json")
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert result["device"] == "emulator (no GPU)"
    assert set(result["steps"][0]["ms"]) == {"minisvdd plain", "minisvdd graph"}
    operations = ["forward", "backward input", "backward weight"]
    assert [row["operation"] for row in result["convolutions"]["rows"]] == operations
    rungs = json.loads((tmp_path / "ladder.json").read_text())["ladder"][0]["ms"]
    assert {name for name, ms in rungs.items() if ms} >= {"naive", "coalesced", "tiled", "register_blocked", "halo"}
    assert len(result["grid"]["rounds"]) == 2
    assert result["grid"]["is_extrapolated"]
    assert result["grid"]["seconds_for_everything"] > 100 * result["grid"]["rounds"][0]["seconds"]
    assert not any(result["skipped"].values())
    assert result["tests"]["failures"] == []
    assert result["tests"]["counts"]["skipped"] > 5, "without a GPU; with one they pass"
    assert (tmp_path / "ladder.png").stat().st_size > 1000


@pytest.mark.compiler
def test_gpu_script_runs_its_cuda_lines_on_a_stand_in(tmp_path, monkeypatch):
    """Graphs, events, flushes, ceilings: times mean nothing here, but every line has been run once."""
    import fake_cupy

    gpu = load_benchmark("gpu")
    fake_cupy.install(monkeypatch)
    monkeypatch.setattr(gpu.gpu_torch, "version", lambda: None)
    monkeypatch.setattr(gpu, "measure_tests", lambda backend, budget, quick, note: note({"counts": {}}))
    monkeypatch.setattr("sys.argv", ["gpu.py", "--quick", "--out", str(tmp_path / "gpu.json")])
    gpu.main()
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert result["device"] == "stand-in"
    limits = result["convolutions"]["ceilings"]
    for row in result["convolutions"]["rows"]:
        seconds = row["ms"]["minisvdd"] / 1000
        assert row["fraction_of_memory"] == pytest.approx(row["bytes"] / seconds / limits["bytes_per_second"])
        assert row["fraction_of_arithmetic"] == pytest.approx(row["flops"] / seconds / limits["flops"])


@pytest.mark.compiler
def test_gpu_keeps_to_its_budget(run, tmp_path):
    run("gpu.py", "--backend", "emulator", "--quick", "--budget", 0, "--ladder", "--out", tmp_path / "gpu.json")
    result = json.loads((tmp_path / "ladder.json").read_text())
    assert len(result["skipped"]["ladder"]) == sum(map(len, _rungs(result)))
    assert not any(row["ms"] for row in result["ladder"])
    assert not (tmp_path / "gpu.json").exists(), "other parts were not asked for"


def _rungs(result):
    """Those that would have been measured, for every row."""
    return [
        ladder.PRODUCT_RUNGS if row["operation"] == "matmul" else ladder.CONVOLUTION_RUNGS for row in result["ladder"]
    ]


def test_what_ends_gpu_early_loses_nothing(tmp_path, monkeypatch):
    """Every figure is written at once; an error in one part does not keep the others from being measured."""
    gpu, backend = load_benchmark("gpu"), SimpleNamespace(name="emulator", prepare=lambda report: None)
    out = tmp_path / "gpu.json"

    def stopped(backend, budget, quick, note):
        note([{"workload": "first"}])
        assert json.loads(out.read_text())["steps"] == [{"workload": "first"}]
        raise RuntimeError("the device is gone")

    def rows(backend, quick, allows):
        yield {"layer": "small", "operation": "forward", "ms": {"naive": 2.0, "tiled": None, "rows": 1.0, "tf32": 0.5}}
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu, "measure_steps", stopped)
    monkeypatch.setattr(gpu.ladder, "measure", rows)
    monkeypatch.setattr(gpu, "EmulatorBackend", lambda check: backend)
    monkeypatch.setattr("sys.argv", ["gpu.py", "--backend", "emulator", "--only", "steps", "ladder", "--out", str(out)])
    with pytest.raises(KeyboardInterrupt):
        gpu.main()
    assert "the device is gone" in json.loads(out.read_text())["skipped"]["steps"][-1]
    page = tmp_path / "page.md"
    page.write_text("before\n{}\nold\n{}\nafter\n".format(*gpu.MARKERS))
    monkeypatch.setattr("sys.argv", ["gpu.py", "--only", "--table", str(page), "--out", str(out)])
    gpu.main()
    (row,) = [line for line in page.read_text().splitlines() if line.startswith("| small")]
    cells = [cell.strip() for cell in row.split("|")[3:-1]]
    assert dict(zip(ladder.CONVOLUTION_RUNGS, cells)) == {
        **dict.fromkeys(ladder.CONVOLUTION_RUNGS, "not measured"),
        "naive": "2000",
        "tiled": "–",
        "rows": "**1000**",
        "tf32": "500",
    }, "float32's accuracy is what counts"
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")


def test_published_steps_are_those_of_the_results():
    results = {row["workload"]: row["ms"] for row in load_benchmark("gpu").read(RESULTS / "gpu.json")["steps"]}
    text = (ROOT / "benchmarks" / "README.md").read_text()
    contenders = ("minisvdd plain", "minisvdd graph", "torch eager", "torch graph", "torch graph, TF32")
    for workload, ms in results.items():
        assert f"| {workload} | {' | '.join(f'{ms[name]:.2f}' for name in contenders)} |" in text


def test_the_summary_of_a_run_names_ratios_and_failures():
    gpu = load_benchmark("gpu")
    lines = list(gpu.summary({**gpu.read(RESULTS / "gpu.json"), "tests": {"counts": {"passed": 3}}}))
    assert lines[0].startswith("mnist encoder: 0.0937 ms, 19.3 x torch eager")
    assert lines[4] == "convolutions: at least 1.01 x cuDNN, float32 (cifar10 3 backward weight)"
    assert lines[5] == "tests: {'passed': 3}, failed: none"
    assert list(gpu.summary({})) == []


def test_outcomes_of_tests_are_read():
    outcome = load_benchmark("gpu").outcome
    text = "...F\nFAILED tests/a.py::test_b[cuda] - AssertionError: no\n1 failed, 3 passed, 9 deselected in 2.10s"
    assert outcome(text) == {"counts": {"failed": 1, "passed": 3}, "failures": ["tests/a.py::test_b[cuda]"]}
    assert outcome("....\n..")["output"] == ["....", ".."], "it did not come to its end"


def test_published_times_of_a_gpu_are_those_of_the_tables():
    """`kernels/README.md` is drawn from the results, which say on which card and with which code they were measured."""
    gpu = load_benchmark("gpu")
    measured, of_ladder = gpu.read(RESULTS / "gpu.json"), gpu.read(RESULTS / "ladder.json")
    text = (ROOT / "kernels" / "README.md").read_text()
    assert gpu.tables(measured, of_ladder) in text
    assert measured["device"] == of_ladder["device"]
    assert measured["date"] in text
    assert (RESULTS / "ladder.png").exists()


def test_radius_compares_the_rules_from_one_start(run, tmp_path):
    run("radius.py", "--quick", "--folder", tmp_path / "cells", "--out", tmp_path / "radius.json")
    rows = json.loads((tmp_path / "radius.json").read_text())["rows"]
    assert [(row["nu"], row["rule"]) for row in rows] == list(product((0.01, 0.1), ("authors-theano", "last-batch")))
    assert len({(row["auc"]["random"], row["auc"]["pretrained"]) for row in rows}) == 1
    for cell, other in zip(rows[::2], rows[1::2]):
        assert cell["auc"]["trained"] != other["auc"]["trained"]
        assert cell["radius"] != other["radius"]


def test_radius_compares_the_rules_on_the_samples_that_the_grid_kept(tmp_path, monkeypatch):
    """Of a protocol that holds some out: under the grid's own rule the partner is the cell, bit for bit."""
    radius = load_benchmark("radius")
    protocol = replace(get_protocol("quick", "digits"), held_out=0.4, pretrain_epochs=1, epochs=2, milestones=())
    arguments = SimpleNamespace(folder=tmp_path, rule=protocol.radius_update, backend="numpy")
    grid = make_grid("digits", methods=["soft-boundary"], classes=["3"], seeds=1, settings=protocol)
    run_grid(grid, tmp_path, verbose=0)
    cell = next(cell for cell in cells_of(grid) if cell.nu == 0.1)
    (row,) = radius._pair(load_dataset("digits").one_class("3"), protocol, cell, arguments)
    assert row["auc"] == {stage: round(100 * auc, 3) for stage, auc in read_cell(cell, tmp_path)["auc"].items()}


def test_shallow_measures_every_choice(run, tmp_path):
    run("shallow.py", "--quick", "--test-images", 300, "--out", tmp_path / "shallow.json")
    rows = json.loads((tmp_path / "shallow.json").read_text())["rows"]
    assert [row["normal_class"] for row in rows] == ["0"] * 4 + ["1"] * 4
    for row in rows:
        assert len(row["kde"]) == 10
        assert min(row["isolation_forest"]) > 50
        assert row["dimensions"] == 64 or row["pca"]


def test_collapse_is_told_from_what_is_none(run, tmp_path):
    run("collapse.py", "--quick", "--out", tmp_path / "collapse.json")
    rows = json.loads((tmp_path / "collapse.json").read_text())["rows"]
    assert [row["seen"] for row in rows] == [row["expected"] for row in rows] == ["healthy", "lost: alike", "idle"]


def test_the_mean_of_inverse_deviations_is_the_larger_scale(run, tmp_path):
    run("averages.py", "--quick", "--out", tmp_path / "averages.json")
    (row,) = json.loads((tmp_path / "averages.json").read_text())["rows"]
    assert 1 <= row["mean_ratio"] <= row["largest_ratio"] < 1.01
    assert row["auc"]["inverse deviations"] == pytest.approx(row["auc"]["variances"], abs=1)


def test_means_that_run_along_are_those_of_the_batches(monkeypatch):
    """Batches of two kinds in turn: E(1/sigma) by hand, and by the running means."""
    averages = load_benchmark("averages")
    monkeypatch.setattr(averages, "PASSES", 20)
    scale = np.repeat(np.tile([1, 1.5], 10), 20).astype(np.float32)
    X = scale[:, None, None, None] * np.random.default_rng(0).standard_normal((400, 1, 4, 4), np.float32)
    layers = [nn.Conv2D(1, 1), nn.BatchNorm(momentum=0.02), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(2)]
    model = DeepSVDD(network=nn.Sequential(layers), pretrain_epochs=0, epochs=1, milestones=(), preprocessing=None,
                     learning_rate=1e-9, threshold="nu", verbose=0).fit(X)  # fmt: skip
    h = model.network_.layers[0].forward(X)
    variances = np.array([h[batch].var() for batch in fixed_batches(400, 20)])
    ((mean,),) = averages.mean_inverse_deviations(model, X, 20)
    assert mean == pytest.approx(np.mean(variances**-0.5), rel=0.02)
    assert mean > 1.05 * variances.mean() ** -0.5


def test_choices_share_a_start(run, tmp_path):
    command = ("choices.py", "--quick", "--pretrainings", "paper", "authors", "--out", tmp_path / "choices.json")
    run(*command)
    rows = {row["choice"]: row for row in json.loads((tmp_path / "choices.json").read_text())["rows"]}
    assert len(rows) == 6
    assert rows["paper"]["auc"]["pretrained"] == rows["authors' schedule"]["auc"]["pretrained"]
    assert rows["paper"]["auc"]["pretrained"] != rows["centre in training mode"]["auc"]["pretrained"]
    assert "pretrained" not in rows["no pre-training"]["auc"]
    assert rows["paper"]["auc"]["autoencoder"] != rows["authors' pre-training"]["auc"]["autoencoder"]
    assert {row["pretrain_epochs"] for row in rows.values()} == {0, 2}


def test_choices_may_be_some_of_them_after_another_pre_training(run, tmp_path):
    command = ("choices.py", "--quick", "--pretrainings", "paper", "--out", tmp_path / "choices.json")
    command += ("--pretrain-epochs", "1", "--choices")
    run(*command, "paper")
    (row,) = json.loads((tmp_path / "choices.json").read_text())["rows"]
    (kept,) = (tmp_path / "choices-digits-quick").iterdir()
    assert row["pretrain_epochs"] == 1
    kept.write_text(json.dumps({"choice": "of an earlier run"}))
    run(*command, "paper", "authors' schedule")
    kept, new = json.loads((tmp_path / "choices.json").read_text())["rows"]
    assert kept["choice"] == "of an earlier run"
    assert new["auc"]["pretrained"] == row["auc"]["pretrained"], "the same start, made once more"


def test_a_choice_that_was_edited_and_changed_data_are_computed_anew(tmp_path, monkeypatch):
    choices, digits, folder = load_benchmark("choices"), load_dataset("digits"), tmp_path / "choices-digits-quick"
    monkeypatch.setattr(choices, "_measure", lambda *arguments: [{"choice": "paper", "run": len([*folder.glob("*")])}])
    command = [
        "choices.py",
        "--quick",
        "--pretrainings",
        "paper",
        "--choices",
        "paper",
        "--out",
        str(tmp_path / "o.json"),
    ]
    folder.mkdir()

    def kept(*options):
        monkeypatch.setattr("sys.argv", [*command, *options])
        choices.main()
        return json.loads((tmp_path / "o.json").read_text())["rows"][0]["run"]

    assert [kept(), kept(), kept("--objective", "soft-boundary"), kept("--epochs", "1"), kept()] == [0, 0, 1, 2, 0]
    assert kept("--pretrain-epochs", "1") == 3
    monkeypatch.setitem(choices.CHOICES["paper"], "paper", {"slope": 0.2})
    assert kept() == 4
    monkeypatch.setitem(choices.PRETRAININGS, "paper", {"pretrain_weight_decay": 0.5})
    assert kept() == 5
    monkeypatch.setattr(choices, "load_dataset", lambda *_: replace(digits, train_images=digits.train_images[::-1]))
    assert [kept(), kept()] == [6, 6]


def test_a_class_takes_what_the_others_gain_by():
    gains = {
        ("slope", "0.01"): {"1": 0.4, "3": 0.5, "8": -3.0},
        ("epochs", "20"): {"1": 0.2, "3": 0.3, "8": 0.2},
        ("epochs", "100"): {"1": 0.9, "3": 0.1, "8": 0.8},
    }
    choices_of = load_benchmark("best").choices_of
    assert choices_of("1", gains) == {"epochs": ("100", pytest.approx(0.45))}
    assert choices_of("3", gains) == {"epochs": ("100", pytest.approx(0.85))}
    assert choices_of("8", gains) == {"slope": ("0.01", pytest.approx(0.45)), "epochs": ("100", pytest.approx(0.5))}
    changed = {choice: {**gain, "8": 100.0} for choice, gain in gains.items()}
    assert choices_of("8", changed) == choices_of("8", gains)  # its own AUC plays no part


def test_a_choice_that_a_budget_ended_early_is_compared_with_its_like():
    """The choice is as the start, and has three seeds of the first class, one of the second, none of the third."""
    start = {(name, seed): 90.0 + 3 * seed + int(name) for name in "123" for seed in range(3)}
    rows = load_benchmark("best").rows_of({("start", ""): start, ("slope", "0.01"): dict([*start.items()][:4])})
    assert rows[0] == {
        "argument": "start",
        "value": "",
        "pairs": 9,
        "mean": 95,
        "by_class": {"1": 94, "2": 95, "3": 96},
    }
    assert (rows[1]["pairs"], rows[1]["by_class"], rows[1]["mean"]) == (4, {"1": 94, "2": 92}, 93)
    assert (rows[1]["gain"], rows[1]["standard_error"]) == (0, 0)
    assert [row["takes"] for row in rows[2:]] == [{}, {}, {}]
    found = {choice: {("dcae", *key): auc for key, auc in aucs.items()} for choice, aucs in
             {"nothing": start, "gain": dict([*start.items()][:4])}.items()}  # fmt: skip
    row = load_benchmark("ablation")._row("gain", "dcae", found)
    assert (row["mean"], row["difference"], row["standard_error"], row["pairs"]) == (93, 0, 0, 4)
    assert row["deviation_borrowed_by"] == ["2"]
    assert load_benchmark("best").rows_of({("start", ""): {}, ("slope", "0.01"): {}})[1]["mean"] is None


@pytest.mark.parametrize(("script", "n_rows"), [("best.py", 3 + 3), ("ablation.py", 4 * 2)])
def test_protocols_are_compared_on_the_same_draws(run, script, n_rows, tmp_path):
    run(script, "--quick", "--folder", tmp_path / "cells", "--out", tmp_path / "out.json")
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert len(rows) == n_rows
    assert "standard_error" in rows[2]
    if script == "ablation.py":
        assert rows[2]["standard_error_over"] == "seeds"
        assert np.mean([*rows[2]["by_class"].values()]) == pytest.approx(rows[2]["difference"], abs=1e-3)


def test_an_ablation_leaves_out_what_acts_on_none_of_its_methods():
    chosen = load_benchmark("ablation")._chosen
    names = ["gain", "quantile", "statistics", "a sixth held out"]
    assert list(chosen(names, ("dcae",))) == ["gain", "a sixth held out", "all of these"]
    assert list(chosen(names, ("dcae", "one-class"))) == ["gain", "statistics", "a sixth held out", "all of these"]
    assert list(chosen(["gain", "quantile"], ("one-class",))) == ["gain"]


def test_the_page_of_the_paper_s_numbers_is_that_of_the_results(tmp_path):
    reproduction, text = load_benchmark("reproduction"), (ROOT / "docs" / "reproduction.md").read_text()
    assert reproduction.with_tables(text, ROOT / "benchmarks" / "results") == text
    nothing = reproduction.with_tables(text, tmp_path)
    assert nothing.count("|") < text.count("|") - 200
    assert reproduction.with_tables(nothing, ROOT / "benchmarks" / "results") == text
    with pytest.raises(ValueError, match=r"no place for mnist columns: expected a line <!-- mnist columns -->$"):
        reproduction.with_tables("no table", tmp_path)


def test_the_figure_of_the_paper_s_numbers_has_every_row_of_the_page(run, tmp_path):
    run("reproduction_plot.py", "--out", tmp_path / "all.png")
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    results, text = ROOT / "benchmarks" / "results", (ROOT / "docs" / "reproduction.md").read_text()
    for data in ("mnist", "cifar10"):
        rows = load_benchmark("reproduction_plot").rows_of(data, results)
        page = text.partition(f"<!-- {data} columns -->")[2].partition("<!-- end -->")[0]
        assert [f"| {method} | {protocol} |" in page for method, protocol, *_ in rows] == [True] * len(rows)
        assert len(rows) == page.count("\n|") - 2


def report_of(folder, cells):
    """A table's report.json with cells of threes.  cells: (method, nu, seed, AUC)."""
    values = [
        {"config": {"method": method, "nu": nu, "seed": seed, "normal_class": "3"}, "auc": {"trained": auc}}
        for method, nu, seed, auc in cells
    ]
    (folder / "report.json").write_text(json.dumps({"cells": values}))
    return folder / "report.json"


def test_pairs_have_one_nu(tmp_path):
    reproduction, both = load_benchmark("reproduction"), [(0.01, 0, 0.5), (0.01, 1, 0.75), (0.1, 0, 1.0), (0.1, 1, 1.0)]
    ours = reproduction.cells_of(report_of(tmp_path, [("soft-boundary", *cell) for cell in both]))
    assert ours["soft-boundary, nu 0.01"] == {("3", 0): 50, ("3", 1): 75}
    assert ours["soft-boundary, nu 0.1"] == {("3", 0): 100, ("3", 1): 100}
    other = reproduction.cells_of(report_of(tmp_path, [("soft-boundary", 0.01, seed, 0.5) for seed in (0, 1)]))
    _, _, line = reproduction._pairs({"paper": other, "best": ours})
    assert line.startswith("| soft-boundary, nu 0.01 | `best` | `paper` | 2 | +12.5 ± 12.5 | ")
    rows = [
        {
            "nu": nu,
            "rule": rule,
            "normal_class": "3",
            "seed": seed,
            "auc": {"trained": 100 * auc - 5 * (rule == "exact")},
        }
        for (nu, seed, auc) in both
        for rule in ("line", "exact")
    ]
    lines = reproduction._radius("mnist", rows)[2:]
    assert [line.split("|")[1].strip() for line in lines[2::3]] == [f"exact minus line, nu {nu}" for nu in (0.01, 0.1)]
    assert [line.split("|")[2].strip() for line in lines] == [
        "62.5",
        "57.5",
        "-5.0 ± 0.0",
        "100.0",
        "95.0",
        "-5.0 ± 0.0",
    ]


def test_pairs_are_the_cells_that_two_tables_share(tmp_path):
    reproduction = load_benchmark("reproduction")
    ours = reproduction.cells_of(report_of(tmp_path, [("dcae", None, seed, seed / 8) for seed in (0, 1)]))
    assert ours == {"dcae": {("3", 0): 0, ("3", 1): 12.5}}
    assert reproduction.cells_of(tmp_path / "missing.json") == {}
    other = {"dcae": {("3", 1): 8.5, ("3", 0): 2.0, ("4", 0): 50}, "one-class": {("3", 0): 1}}
    *_, line = reproduction._pairs({"paper": ours, "best": other})
    assert line == "| dcae | `best` | `paper` | 2 | -1.0 ± 3.0 | 288 |"  # 2 (3 / 0.25)^2 pairs
    lines = [reproduction._pairs({"paper": {"dcae": base}, "best": {"dcae": {key: 1.0 for key in base}}})[-1]
             for base in ({("3", 0): 0.0, ("4", 0): 2.0}, {("3", 0): 0.0, ("3", 1): 2.0, ("4", 0): 2.0})]  # fmt: skip
    assert lines[0] == "| dcae | `best` | `paper` | 2 | +0.0 ± 1.0 (over classes) | - |"
    assert lines[1] == "| dcae | `best` | `paper` | 3 | -0.5 ± 0.9 (of 4 the others' deviation) | 32 |"


def as_pairs(differences):
    """Of {class: differences}, beside AUCs of zero: as `pairs_of` has them."""
    return {name: [(value, 0.0) for value in values] for name, values in differences.items()}


def test_how_much_classes_differ_is_no_error_of_their_mean():
    """What every class has more is no error; what the seeds of a class differ by is: simulated, and by hand."""
    difference_of = load_benchmark("cells").difference_of
    seeds = {"3": [1.0, 2.0, 3.0], "5": [4.0, 6.0], "8": [2.0, 2.0]}
    found = difference_of(as_pairs(seeds))
    assert (found.over, found.pairs, found.borrowed) == ("seeds", 7, ())
    assert found.mean == pytest.approx((2 + 5 + 2) / 3)
    assert found.error == pytest.approx(np.sqrt(1 / 3 + 2 / 2 + 0) / 3)
    assert found.for_half_a_point == 16  # (1 + 2 + 0) / 3 / 0.25^2
    apart = {name: np.add(values, 10 * int(name)) for name, values in seeds.items()}
    assert difference_of(as_pairs(apart)).error == pytest.approx(found.error)

    rng, of_class = np.random.default_rng(0), 3 * np.arange(4)
    draws = [difference_of(as_pairs({c: c + rng.standard_normal(3) for c in of_class})) for _ in range(2000)]
    assert np.mean([draw.error**2 for draw in draws]) == pytest.approx(np.var([draw.mean for draw in draws]), rel=0.1)


def test_a_class_with_one_seed_borrows_the_others_deviation():
    difference_of = load_benchmark("cells").difference_of
    found = difference_of(as_pairs({"3": [1.0, 2.0, 3.0], "5": [4.0, 6.0], "8": [2.0]}))
    pooled = (2 * 1 + 1 * 2) / 3
    assert (found.over, found.borrowed) == ("seeds", ("8",))
    assert found.error == pytest.approx(np.sqrt(1 / 3 + 2 / 2 + pooled) / 3)
    alone = difference_of(as_pairs({"3": [1.0], "5": [3.0]}))
    assert (alone.over, alone.error, alone.for_half_a_point) == ("classes", pytest.approx(1.0), None)
    assert difference_of(as_pairs({"3": [1.0]})) is None
    assert difference_of({}) is None


def test_the_rows_of_published_ablations_are_those_of_published_cells():
    """Of one; the cells of the others are not published."""
    ablation, cells_of = load_benchmark("ablation"), load_benchmark("reproduction").cells_of
    tables = {"nothing": "authors-theano", "a sixth held out": "held-out"}
    cells = {choice: cells_of(RESULTS / f"table1-mnist-{name}.json")["dcae"] for choice, name in tables.items()}
    aucs = {name: {("dcae", *key): auc for key, auc in found.items() if key[1] < 2} for name, found in cells.items()}
    published = json.loads((RESULTS / "ablation-mnist-held-out.json").read_text())["rows"]
    assert [ablation._row(name, "dcae", aucs) for name in tables] == published


def test_classes_that_one_table_lacks_come_from_another():
    ours = [{"dcae": {"3": 1, "4": 2}, "kde": {"3": 5}}, {"dcae": {"4": 3, "5": 4}, "kde": {"4": 6}}]
    together = load_benchmark("reproduction").together
    assert together(ours) == {"dcae": {"3": 1, "4": 2, "5": 4}}
    assert together(ours, ["kde"]) == {"kde": {"3": 5, "4": 6}}
    assert together(ours[:1]) == together([]) == {}


def test_tricks_quick_measures_every_trick_with_and_without(run, tmp_path):
    run("tricks.py", "--quick", "--threads", 1, "--out", tmp_path / "tricks.json")
    result = json.loads((tmp_path / "tricks.json").read_text())
    assert {"winograd", "strips", "fusion", "workspace", "threads", "all", "plain"} < result["tricks"].keys()
    for trick in result["tricks"].values():
        assert set(trick["mnist encoder"]) == {"with", "without"}
        assert min(trick["mnist encoder"].values()) > LEAST_MS


def test_the_table_of_tricks_is_that_of_the_results():
    tricks = load_benchmark("tricks")
    text = (ROOT / "benchmarks" / "README.md").read_text()
    result = json.loads((ROOT / "benchmarks" / "results" / "tricks.json").read_text())
    assert tricks.with_table(text, result) == text
    assert tricks.table(result).count("|") > 50


def gradients(backend, network, X):
    """Outputs and all gradients of a step in float64, from seed 0."""
    network.build(X.shape[1:], np.random.default_rng(0), np.float64, backend)
    workspace, loss = Workspace(), MeanSquaredError(network.backend)
    for _ in range(2):  # the second time in buffers that are used again
        with workspace:
            y = network.forward(X, training=True)
            network.backward(loss(y, X)[1], need_input=False)
            found = {"y": y.copy(), **{name: array.copy() for name, array in network.grads.items()}}
    return found


def test_a_step_without_a_trick_gives_the_same_numbers():
    """What is measured is the same function, computed another way; and every name that is replaced is there."""
    tricks, X = load_benchmark("tricks"), np.random.default_rng(1).random((6, 3, 32, 32))
    wanted = gradients("numpy", make_autoencoder("gtsrb_lenet", X.shape[1:]), X)
    for key, trick in tricks.TRICKS.items():
        with trick.without():
            found = gradients(trick.backend, make_autoencoder("gtsrb_lenet", X.shape[1:]), X)
        assert found.keys() == wanted.keys()
        for name, array in found.items():
            np.testing.assert_allclose(array, wanted[name], rtol=1e-8, atol=1e-9, err_msg=f"{key}: {name}")


def test_formulas_take_the_place_of_fast_readings_for_a_while():
    tricks, operation = load_benchmark("tricks"), Operation(lambda x: x)
    fast = operation.fast(lambda x: x + 1)
    with tricks.formulas(operation):
        assert operation.on(NUMPY)(1) == 1
    assert operation.on(NUMPY) is fast


def checkout(folder, bench, ms, peak_mb):
    """A folder whose bench module, in the file of that name, reports these figures."""
    file = folder / "minisvdd" / bench
    file.parent.mkdir(parents=True)
    for package in {file.parent, folder / "minisvdd"}:
        (package / "__init__.py").touch()
    row = {"ms": {"minisvdd": ms}, "peak_mb": {"minisvdd": peak_mb}}
    file.write_text(f"def measure(names, **options): return {{'rows': [{row}]}}\n")
    return folder


def test_compare_takes_each_bench_from_its_own_checkout(run, tmp_path):
    """Two layouts, the older one without a folder for experiments."""
    old = checkout(tmp_path / "old", "bench.py", 20, 100)
    new = checkout(tmp_path / "new", "experiments/bench.py", 15, 110)
    run("compare.py", old, new, "--turns", 3, "--workloads", "mnist scoring", "--out", tmp_path / "compared.json")
    (row,) = json.loads((tmp_path / "compared.json").read_text())["rows"]
    assert row["workload"] == "mnist scoring"
    assert row["ms"] == {"old": 20, "new": 15, "ratio": 0.75}
    assert row["peak_mb"] == {"old": 100, "new": 110, "ratio": 1.1}
    assert row["ms_of_turns"] == {"old": [20] * 3, "new": [15] * 3}


def test_compare_quick_measures_this_checkout_twice(run, tmp_path):
    text = run("compare.py", ROOT, ROOT, "--quick", "--threads", 1, "--out", tmp_path / "compared.json")
    (row,) = json.loads((tmp_path / "compared.json").read_text())["rows"]
    assert row["workload"] in text
    for unit in ("ms", "peak_mb"):
        assert row[unit]["ratio"] == pytest.approx(row[unit]["new"] / row[unit]["old"], rel=0.01)
        assert 0 < min(row[f"{unit}_of_turns"]["old"]) <= row[unit]["old"]


@pytest.mark.parametrize("folder", ["", "missing"])
def test_compare_says_which_folder_is_no_checkout(folder, tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "compare.py", tmp_path / folder, ROOT, "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 2
    message = done.stderr.splitlines()[-1]
    assert message.startswith("compare.py: error: ")
    assert str(tmp_path / folder) in message


def test_scale_writes_figures_and_a_plot(run, tmp_path):
    run("scale.py", "--largest", 6400, "--fits", 3, "--out", tmp_path / "s.json", "--plot", tmp_path / "s.png")
    result = json.loads((tmp_path / "s.json").read_text())
    assert [row["n"] for row in result["scoring"]] == [200, 400, 800, 1600, 3200, 6400]
    for row in result["scoring"] + result["training"]:
        assert row["file_mb"] == round(row["n"] * 64 * 4 / 2**20, 1)
        assert row["peak_mb"] < 16, "blocks of samples and a step's activations, however many samples there are"
    longest, shortest = result["scoring"][-1], result["scoring"][0]
    assert shortest["seconds"] < longest["seconds"] < 60, "32 times as many samples"
    assert longest["peak_mb"] < shortest["peak_mb"] + longest["file_mb"] + 8
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
