"""Grids side by side on backends with kernels, and within a budget: the same cells, nothing lost."""

import time
from dataclasses import replace

import numpy as np
import pytest
from helpers_cli import run
from helpers_grid import TINY, tiny_grid
from helpers_processes import python
from joblib.externals.loky import get_reusable_executor
from sklearn.decomposition import MiniBatchDictionaryLearning

from minisvdd import load_dataset
from minisvdd.backends import backend_problems
from minisvdd.experiments.grid import cells_of, make_grid, read_cell, read_scores, setting_of
from minisvdd.experiments.methods import METHODS, draw_of
from minisvdd.experiments.protocols import GanProtocol, get_protocol
from minisvdd.experiments.running import run as run_module
from minisvdd.experiments.running.budget import Budget, OutOfTime, until
from minisvdd.experiments.running.run import run_grid
from minisvdd.nn.training import Training

DEEP = ["dcae", "soft-boundary", "one-class"]
_PROBLEM = backend_problems()["cuda"]
DEVICES = [
    pytest.param("emulator", marks=[pytest.mark.slow, pytest.mark.compiler]),
    pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(bool(_PROBLEM), reason=str(_PROBLEM))]),
]


def some_digits(path, n_train, n_test):
    """A file of so many threes and eights."""
    digits = load_dataset("digits")
    chosen = np.flatnonzero(np.isin(digits.train_labels, (3, 8)))[:n_train]
    tests = np.flatnonzero(np.isin(digits.test_labels, (3, 8)))[:n_test]
    arrays = {"x_train": digits.train_images[chosen], "y_train": digits.train_labels[chosen]}
    np.savez(path, **arrays, x_test=digits.test_images[tests], y_test=digits.test_labels[tests])
    return str(path)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return some_digits(tmp_path_factory.mktemp("data") / "few.npz", 80, 40)


@pytest.fixture(scope="module")
def very_few(tmp_path_factory):
    """The emulator takes its time."""
    return some_digits(tmp_path_factory.mktemp("data") / "very_few.npz", 24, 8)


def cells(grid, out):
    return {(c.method, c.normal_class, c.nu, c.seed): read_cell(c, out)["auc"] for c in cells_of(grid)}


def check_cells(settings, backend, data, tmp_path):
    """The same scores, but for rounding, and so the same AUC in all stages."""
    settings = replace(settings, pretrain_epochs=1, epochs=1, batch_size=8)
    aucs, scores = [], []
    for name in ("numpy", backend):
        classes = ["3"] if backend == "emulator" else ["3", "8"]
        grid = make_grid(data, methods=DEEP, classes=classes, seeds=1, settings=settings, backend=name)
        out = tmp_path / name
        assert run_grid(grid, out, verbose=0) == 0
        aucs.append(cells(grid, out))
        scores.append([read_scores(cell, out) for cell in cells_of(grid)])
    assert aucs[0].keys() == aucs[1].keys()
    for key, auc in aucs[0].items():
        assert aucs[1][key] == pytest.approx(auc, abs=1e-3), key
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-3)


@pytest.mark.parametrize("backend", ["plain", *DEVICES])
def test_every_backend_computes_the_same_cells(backend, very_few, tmp_path):
    check_cells(TINY, backend, very_few, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("backend", DEVICES)
def test_so_it_does_with_all_choices_of_the_first_scripts(backend, very_few, tmp_path, monkeypatch):
    """A dictionary, scale and shift, fixed batches, running statistics, a radius that begins as a quantile."""
    monkeypatch.setattr("minisvdd.nn.init._STEPS", 20)  # of the dictionary, which needs no device
    settings = replace(get_protocol("authors-theano", "digits"), milestones=())
    check_cells(settings, backend, very_few, tmp_path)


def test_the_same_cell_on_another_backend_is_another_configuration(few):
    grids = [make_grid(few, methods=["kde", "dcae"], seeds=1, backend=name) for name in ("numpy", "plain")]
    kde, dcae = ([{cell.hash for cell in cells_of(grid, [name])} for grid in grids] for name in ("kde", "dcae"))
    assert kde[0] == kde[1]
    assert not dcae[0] & dcae[1]


def test_side_by_side_is_what_one_after_the_other_computes(few, tmp_path, monkeypatch):
    """Bit for bit, on the NumPy backend, which needs no stream; also when only two cells run at a time."""
    grid = make_grid(few, methods=["kde", *DEEP], classes=["3", "8"], seeds=2, settings=TINY)
    run_grid(grid, tmp_path / "alone", verbose=0)
    monkeypatch.setattr(run_module, "AT_ONCE", 2)
    done = list(run_module._side_by_side(grid, cells_of(grid), tmp_path / "beside", None, Budget()))
    assert sorted(map(str, done)) == sorted(map(str, cells_of(grid)))
    assert cells(grid, tmp_path / "alone") == cells(grid, tmp_path / "beside")


def test_shares_of_several_processes_are_what_one_process_computes(few, tmp_path):
    grid = make_grid(few, methods=["kde", *DEEP], classes=["3", "8"], seeds=2, settings=TINY)
    run_grid(grid, tmp_path / "alone", verbose=0)
    done = list(run_module._in_shares(grid, cells_of(grid), tmp_path / "shared", None, Budget(), jobs=3))
    assert sorted(map(str, done)) == sorted(map(str, cells_of(grid)))
    assert cells(grid, tmp_path / "alone") == cells(grid, tmp_path / "shared")


def test_progress_side_by_side_tells_the_epochs(few, tmp_path, monkeypatch, capsys):
    """Cells of one length end together: until then their epochs are all that there is to tell."""
    monkeypatch.setattr("minisvdd.files.progress._SECONDS_BETWEEN_LINES", 0.0)
    grid = make_grid(few, methods=["dcae"], classes=["3", "8"], seeds=1, settings=replace(TINY, pretrain_epochs=3))
    list(run_module._side_by_side(grid, cells_of(grid), tmp_path, None, Budget(), 1))
    lines = [line.split("  ")[:2] for line in capsys.readouterr().err.splitlines()]
    notes = [f"2 in training, {epochs} of their 6 epochs" for epochs in (2, 4, 6)]
    assert lines[:3] == [["experiment, cell 0/2", note] for note in notes]
    assert lines[3:] == [["experiment, cell 1/2", "dcae 3"], ["experiment, cell 2/2", "dcae 8"]]


def test_every_share_tells_its_progress(few, tmp_path, capfd):
    get_reusable_executor().shutdown()  # those of earlier tests write where these have read
    grid = make_grid(few, methods=["kde"], classes=["3", "8"])
    list(run_module._in_shares(grid, cells_of(grid), tmp_path, None, Budget(), 2, 1))
    lines = {line.partition("  ")[0] for line in capfd.readouterr().err.splitlines()}
    assert {f"process {i} of 2, cell 1/1" for i in (1, 2)} <= lines


@pytest.mark.parametrize("count", [1, 3, 100])
def test_a_share_has_all_cells_of_a_class_and_seed(count):
    todo = cells_of(tiny_grid(methods=["kde", *DEEP], seeds=3))
    shares = run_module._shares(todo, count)
    assert sorted(str(cell) for share in shares for cell in share) == sorted(map(str, todo))
    groups = [{(cell.normal_class, cell.seed) for cell in share} for share in shares]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert len(shares) == min(count, 2 * (3 + 1))  # two classes; KDE has no seed


# Draws


def test_cells_of_one_draw_learn_its_dictionary_once(few, tmp_path, monkeypatch):
    """As drawn and as trained; and soft-boundary with either nu."""
    drawn, fit = [], MiniBatchDictionaryLearning.fit

    def counted(learning, X):
        drawn.append(learning.random_state)
        return fit(learning, X)

    monkeypatch.setattr(MiniBatchDictionaryLearning, "fit", counted)
    monkeypatch.setattr("minisvdd.nn.init._STEPS", 21)  # no other test's
    settings = replace(TINY, first_filters="dictionary")
    grid = make_grid(few, methods=DEEP, classes=["3"], seeds=2, settings=settings)
    assert run_grid(grid, tmp_path, verbose=0) == 0
    assert len(drawn) == len(set(drawn)) == 2 * len(DEEP)


def test_classes_methods_and_seeds_draw_independently():
    drawn = {draw_of(s, c, m) for s in range(20) for c in map(str, range(10)) for m in METHODS}
    assert len(drawn) == 20 * 10 * len(METHODS)
    bits = np.array([[draw_of(s, c, "one-class") >> k & 1 for k in range(32)] for s in range(50) for c in "0123456789"])
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / np.sqrt(bits.size)


def test_deep_svdd_and_the_autoencoder_draw_by_themselves(tmp_path):
    grid = tiny_grid(methods=["dcae", "one-class", "soft-boundary"])
    settings = {c.method: setting_of(grid, c, tmp_path) for c in cells_of(grid) if (c.normal_class, c.seed) == ("3", 1)}
    assert len({setting.seed for setting in settings.values()}) == 3
    assert {setting.weights_seed for setting in settings.values()} == {settings["dcae"].seed}
    assert len({setting.weights for setting in settings.values()}) == 1
    (tree,) = (c for c in cells_of(tiny_grid(seeds=1, classes=["3"])) if c.method == "isolation-forest")
    assert setting_of(grid, tree, tmp_path).seed == draw_of(0, "3", "isolation-forest")
    (kde,) = cells_of(tiny_grid(methods=["kde"], classes=["3"]))
    assert setting_of(grid, kde, tmp_path).seed is None


# Budgets


def test_a_budget_stops_between_cells_and_the_next_run_goes_on(few, tmp_path, capsys):
    grid = make_grid(few, methods=["dcae", "one-class"], classes=["3", "8"], seeds=3, settings=TINY)
    whole = tmp_path / "whole"
    run_grid(grid, whole, verbose=0)
    left, runs = 12, 0
    while left:
        started = time.time()
        budget = 0.5 * 1.2**runs  # a busy machine needs more for one cell
        before, left = left, run_grid(grid, tmp_path / "parts", budget=budget)
        assert time.time() - started < budget + 20, "far beyond the budget"
        assert sum(read_cell(cell, tmp_path / "parts") is not None for cell in cells_of(grid)) == 12 - left
        if left:
            assert f"the budget is spent, {left} of {before} cells are left" in capsys.readouterr().err
        else:
            assert "the budget is spent" not in capsys.readouterr().err
        runs += 1
        assert runs < 50
    assert cells(grid, whole) == cells(grid, tmp_path / "parts")


def test_a_cell_that_takes_too_long_is_left_where_it_is(few, tmp_path):
    settings = replace(TINY, pretrain_epochs=100_000)
    grid = make_grid(few, methods=["dcae"], classes=["3"], seeds=2, settings=settings)
    started = time.time()
    assert run_grid(grid, tmp_path, verbose=0, budget=1.0) == 2
    assert time.time() - started < 20
    assert not list(tmp_path.rglob("*.json.*")) + list((tmp_path / "cells").rglob("*.json"))


@pytest.fixture
def trained(monkeypatch):
    """How many epochs are trained from now on, and after how many the budget of a run ends."""
    counts = {"epochs": 0, "most": None}
    finish = Training.finish_epoch

    def counting(training):
        finish(training)
        counts["epochs"] += 1
        if counts["epochs"] == counts["most"]:
            raise OutOfTime

    monkeypatch.setattr(Training, "finish_epoch", counting)
    return counts


@pytest.mark.parametrize("method", ["dcae", "one-class", "anogan"])
def test_a_training_goes_on_where_the_budget_cut_it_off(method, few, tmp_path, trained, capsys):
    """Bit for bit; its checkpoints are gone with its last epoch."""
    small = GanProtocol(epochs=3, batch_size=32, latent_dim=8, search_steps=2, test_images=40)
    settings = replace(TINY, pretrain_epochs=3, epochs=3)
    grid = make_grid(few, methods=[method], classes=["3"], seeds=1, settings=settings, gan_settings=small)
    if method == "one-class":
        for name in ("whole", "parts"):
            run_grid(replace(grid, methods=("dcae",)), tmp_path / name, verbose=0)
    trained["epochs"] = 0
    run_grid(grid, tmp_path / "whole", verbose=0)
    planned = trained["epochs"]
    trained.update(epochs=0, most=2)
    while run_grid(grid, tmp_path / "parts", budget=600):
        assert "a training goes on from its last epoch, all else begins anew: what takes" in capsys.readouterr().err
        assert trained["epochs"] == trained["most"]
        trained["most"] += 2
    assert trained["epochs"] == planned
    assert cells(grid, tmp_path / "whole") == cells(grid, tmp_path / "parts")
    scores = [read_scores(cells_of(grid)[0], tmp_path / name) for name in ("whole", "parts")]
    np.testing.assert_array_equal(*scores)
    assert not list(tmp_path.rglob("*.checkpoint"))


@pytest.mark.parametrize(
    ("backend", "harm"),
    [
        *(("numpy", harm) for harm in ("damaged", "of another version", "not to be resumed")),
        pytest.param("emulator", "damaged", marks=pytest.mark.compiler),
    ],
)
def test_a_training_begins_anew_from_checkpoints_of_no_use(harm, backend, few, tmp_path, trained, monkeypatch):
    settings = replace(TINY, pretrain_epochs=3)
    grid = make_grid(few, methods=["dcae"], classes=["3"], seeds=1, settings=settings, backend=backend)
    trained["most"] = 2
    assert run_grid(grid, tmp_path, verbose=0, budget=600) == 1
    [path] = tmp_path.rglob("*.checkpoint/*")
    if harm == "damaged":
        path.write_bytes(path.read_bytes()[:-99])
    elif harm == "of another version":
        monkeypatch.setattr("minisvdd.files.checkpoint.__version__", "0.0.0")
    trained.update(epochs=0, most=None)
    assert run_grid(grid, tmp_path, verbose=0, resume=harm != "not to be resumed") == 0
    assert trained["epochs"] == 3
    assert not list(tmp_path.rglob("*.checkpoint"))


@pytest.mark.slow
@pytest.mark.compiler
def test_trainings_side_by_side_go_on_where_the_budget_ended(very_few, tmp_path, trained, monkeypatch):
    """By a clock on which an epoch takes ten seconds: the end is foreseen, and no epoch is trained twice."""
    settings = replace(TINY, pretrain_epochs=3)
    grid = make_grid(very_few, methods=["dcae"], classes=["3", "8"], seeds=1, settings=settings, backend="emulator")
    now, finish = [1e9], Training.finish_epoch

    def slow(training):
        finish(training)
        now[0] += 10

    monkeypatch.setattr(Training, "finish_epoch", slow)
    run_grid(grid, tmp_path / "whole", verbose=0)
    assert trained["epochs"] == 6
    monkeypatch.setattr(time, "time", lambda: now[0])
    trained["epochs"], left = 0, []
    while not left or left[-1]:
        left.append(run_grid(grid, tmp_path / "parts", verbose=0, budget=50))
        assert len(list(tmp_path.rglob("*.checkpoint"))) == left[-1]
    assert left == [2, 2, 0]  # an epoch of both each time
    assert trained["epochs"] == 6
    assert cells(grid, tmp_path / "whole") == cells(grid, tmp_path / "parts")


@pytest.mark.slow
@pytest.mark.compiler
def test_what_is_in_the_middle_of_an_epoch_is_not_kept(very_few, tmp_path, trained):
    """The end was not foreseen: the training that was waited for goes on, the other one begins anew."""
    settings = replace(TINY, pretrain_epochs=2)
    grid = make_grid(very_few, methods=["dcae"], classes=["3", "8"], seeds=1, settings=settings, backend="emulator")
    run_grid(grid, tmp_path / "whole", verbose=0)
    trained.update(epochs=0, most=3)
    assert run_grid(grid, tmp_path / "parts", verbose=0, budget=600) == 2
    assert len(list(tmp_path.rglob("*.checkpoint"))) == 1
    trained["most"] = None
    assert run_grid(grid, tmp_path / "parts", verbose=0) == 0
    assert trained["epochs"] == 3 + 0 + 2
    assert cells(grid, tmp_path / "whole") == cells(grid, tmp_path / "parts")


def test_a_budget_side_by_side(few, tmp_path):
    settings = replace(TINY, epochs=100_000)
    grid = make_grid(few, methods=["kde", "one-class"], classes=["3", "8"], seeds=1, settings=settings)
    done = list(run_module._side_by_side(grid, cells_of(grid), tmp_path, None, Budget(2.0)))
    assert {cell.method for cell in done} == {"kde"}
    assert {path.parts[-3] for path in tmp_path.rglob("cells/*/*/*.json")} == {"kde"}


@pytest.mark.parametrize("pause", [1.0, 60.0])
def test_a_budget_side_by_side_stops_between_results_and_in_one(pause, few, tmp_path, monkeypatch):
    """Many results, each of which takes its time, in what would be one round; or a single long one."""

    def slow(*arguments):
        time.sleep(pause)
        return METHODS["kde"].evaluate(*arguments)

    monkeypatch.setitem(METHODS, "isolation-forest", replace(METHODS["isolation-forest"], evaluate=slow))
    grid = make_grid(few, methods=["isolation-forest"], classes=["3", "8"], seeds=20)
    started = time.time()
    done = list(run_module._side_by_side(grid, cells_of(grid), tmp_path, None, Budget(1.5)))
    assert time.time() - started < 20
    assert len(done) <= 2
    assert sum(read_cell(cell, tmp_path) is not None for cell in cells_of(grid)) == len(done)


def test_a_budget_side_by_side_stops_in_an_epoch(few, tmp_path, monkeypatch):
    """As long as those of the emulator."""
    monkeypatch.setattr(Training, "finish_epoch", lambda training: time.sleep(60))
    grid = make_grid(few, methods=["dcae"], classes=["3", "8"], seeds=1, settings=TINY)
    started = time.time()
    assert not list(run_module._side_by_side(grid, cells_of(grid), tmp_path, None, Budget(1.0)))
    assert time.time() - started < 20


def test_a_budget_that_has_begun_goes_on(few, tmp_path, capsys):
    """What a command does before its grid is part of it."""
    budget = Budget(0.2)
    time.sleep(0.3)
    assert run_grid(make_grid(few, methods=["kde"], classes=["3"]), tmp_path, budget=budget) == 1
    assert "the budget is spent, 1 of 1 cells are left" in capsys.readouterr().err


def test_what_a_budget_allows(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    budget = Budget(50.0)
    assert budget.end == 148
    budget.note("slow", 30.0)
    budget.note("slow", 10.0)
    now[0] = 120.0
    assert (budget.allows("slow"), budget.allows("quick")) == (False, True)
    assert Budget().allows("anything")
    for wrong in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="budget="):
            Budget(wrong)


# Two runs of one table, which begin together: each prints the cells that it wrote.
RUN = """
import sys, time
from minisvdd.experiments.grid import make_grid
from minisvdd.experiments.protocols import get_protocol
from minisvdd.experiments.running import run
from dataclasses import replace
write, out = run._write, sys.argv[2]
run._write = lambda cell, *rest: (print(cell.method, cell.normal_class, cell.seed), write(cell, *rest))
settings = replace(get_protocol("quick", "digits"), pretrain_epochs=1, pretrain_milestones=(), epochs=1, milestones=())
grid = make_grid(sys.argv[1], methods=["one-class"], seeds=4, settings=settings)
open(f"{out}-{sys.argv[3]}", "w").close()
while not all(__import__("os").path.exists(f"{out}-{i}") for i in "01"):
    time.sleep(0.001)
sys.exit(run.run_grid(grid, out, verbose=0))
"""


@pytest.mark.slow
def test_two_runs_of_a_table_share_its_cells(few, tmp_path):
    pytest.importorskip("fcntl")
    runs = [python(RUN, few, tmp_path / "out", number) for number in (0, 1)]
    written = []
    for one in runs:
        output, error = one.communicate(timeout=300)
        assert one.returncode == 0, error
        written.append(output.split("\n")[:-1])
    assert all(written), "both have computed some"
    assert len({*written[0], *written[1]}) == 16
    assert len(written[0]) + len(written[1]) <= 16 + 2, "at most the last cell of each phase twice"
    assert not list((tmp_path / "out").rglob("*.checkpoint"))


def test_a_cell_is_left_to_the_run_that_has_it(few, tmp_path):
    pytest.importorskip("fcntl")
    grid = make_grid(few, methods=["kde"], classes=["3"])
    (cell,) = cells_of(grid)
    with run_module._claimed(cell, tmp_path) as is_free:
        assert is_free
        assert run_module.run_cell(grid, cell, str(tmp_path), alone=True) == (cell, np.inf)
        assert read_cell(cell, tmp_path) is None
        assert run_module.run_cell(grid, cell, str(tmp_path))[1] > 0, "rather twice than never"
    before = cell.path(tmp_path).stat().st_mtime_ns
    run_module.run_cell(grid, cell, str(tmp_path), alone=True)
    assert cell.path(tmp_path).stat().st_mtime_ns == before, "it is there"
    run_module.run_cell(grid, cell, str(tmp_path), resume=False)
    assert cell.path(tmp_path).stat().st_mtime_ns > before
    assert not cell.checkpoint_path(tmp_path).exists()


def test_side_by_side_looks_again_before_a_cell(few, tmp_path, monkeypatch):
    grid = make_grid(few, methods=["kde"], classes=["3", "8"])
    first, second = cells_of(grid)
    run_module.run_cell(grid, second, str(tmp_path))
    written, write = [], run_module._write
    monkeypatch.setattr(run_module, "_write", lambda cell, *rest: (written.append(cell), write(cell, *rest)))
    assert list(run_module._side_by_side(grid, [first, second], tmp_path, None, Budget())) == [second, first]
    assert written == [first]
    list(run_module._side_by_side(grid, [first, second], tmp_path, None, Budget(), resume=False))
    assert written == [first, first, second]


def test_a_cell_comes_with_its_seconds(few, tmp_path):
    """A budget goes by them: is there time for another one?"""
    grid = make_grid(few, methods=["kde"], classes=["3"])
    (cell,) = cells_of(grid)
    started = time.time()
    done, seconds = run_module.run_cell(grid, cell, str(tmp_path))
    assert done == cell
    assert 0 < seconds <= time.time() - started


def test_time_is_up_only_inside(few):
    with pytest.raises(OutOfTime), until(time.time() + 0.05):
        time.sleep(20)
    with pytest.raises(OutOfTime), until(time.time() - 1):
        pytest.fail("begun too late")
    with until(None), until(time.time() + 60):
        pass
    time.sleep(0.1)


def test_the_command_takes_backend_and_budget(tmp_path):
    words = ["table1-digits", "--methods", "kde", "--classes", "3", "--out", tmp_path]
    assert run("experiment", *words, "--backend", "plain", "--budget", "60") == 0
    assert run("experiment", *words, "--budget", "0") == 2
    assert run("experiment", *words, "--backend", "abacus") == 2


@pytest.mark.parametrize("jobs", [0, -3, 1.5, True])
def test_fewer_processes_than_one_are_refused(jobs, tmp_path):
    with pytest.raises(ValueError, match=rf"^jobs={jobs}: expected an integer >= 1$"):
        run_grid(tiny_grid(), tmp_path / "out", jobs=jobs, verbose=0)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((4,), r"expects images \(N, C, H, W\), got samples of shape \(4,\)"),
        ((1, 9, 8), "images of 9x8: .*multiples of 4"),
    ],
)
def test_a_grid_without_the_images_that_anogan_needs_is_refused(shape, words, tmp_path):
    X, y = np.random.default_rng(0).random((20, *shape)).astype(np.float32), np.arange(20) % 2
    np.savez(tmp_path / "mine.npz", x_train=X, y_train=y, x_test=X, y_test=y)
    with pytest.raises(ValueError, match=rf"^methods='anogan': .*{words}.*: leave it out$"):
        make_grid(str(tmp_path / "mine.npz"), methods=["kde", "anogan"])
    assert make_grid(str(tmp_path / "mine.npz"), methods=["kde"]).methods == ("kde",)
