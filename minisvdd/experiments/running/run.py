"""`run_grid`: the cells that a folder does not hold yet, computed on processes, on a Dask cluster, or side by side."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import LokyBackend
from threadpoolctl import threadpool_limits

from ...backends import get_backend
from ...errors import CollapseWarning, TrainingWarning
from ...files.atomic import atomic_write, locked, write_json
from ...files.progress import Progress
from ...validation import check_number
from ..experiments import left_out_by, run, versions
from ..grid import GRID_FILE, Cell, Grid, cells_of, dataset_by_name, is_finished, protocol_of, setting_of, with_earlier
from ..methods import METHODS
from .budget import Budget, OutOfTime, until
from .lifeline import tie_to

AT_ONCE = 40  # trainings side by side on a device: measured on one H100, where more gain little


def run_grid(
    grid: Grid,
    out,
    *,
    jobs: int = 1,
    scheduler=None,
    data_dir=None,
    resume: bool = True,
    verbose: int = 1,
    budget: float | None = None,
) -> int:
    """Compute the cells that `out` does not hold yet (resume=False: all); returns how many are left.

    On `jobs` processes or a Dask `scheduler`. On a backend with kernels of its own, side by side in each of `jobs`
    processes, which share the device: while one prepares a cell on the host, the others keep the device busy.
    budget: seconds after which it ends; every finished cell is a file, the same call goes on with the others.

    A damaged cell is named and computed again; a damaged grid.json is a DataError. Pre-training goes first, since Deep
    SVDD's cells start from its weights.
    """
    check_number(jobs, "jobs", 1, integer=True)
    out, allowed = Path(out), Budget(budget)
    needs_weights = any(METHODS[name].pretrained for name in grid.methods)
    methods = grid.methods if "dcae" in grid.methods or not needs_weights else ("dcae", *grid.methods)
    with locked(out):  # several processes may compute parts of one table
        write_json(out / GRID_FILE, asdict(with_earlier(grid, out)))
    todo = [cell for cell in cells_of(grid, methods) if not (resume and is_finished(cell, out, verbose))]
    progress, done = Progress("experiment, cell", len(todo), verbose), 0
    if get_backend(grid.backend).runs_numpy or scheduler:
        finished = _on_processes(grid, todo, out.resolve(), data_dir, allowed, jobs, scheduler)
    elif jobs == 1:
        finished = _side_by_side(grid, todo, out.resolve(), data_dir, allowed)
    else:
        finished = _in_shares(grid, todo, out.resolve(), data_dir, allowed, jobs)
    for cell in finished:
        done += 1
        progress.update(done, f"{cell.method} {cell.normal_class}")
    if done < len(todo) and verbose:
        print(f"minisvdd: the budget is spent, {len(todo) - done} of {len(todo)} cells are left", file=sys.stderr)
    return len(todo) - done


def _phases(todo: list[Cell]) -> list[list[Cell]]:
    """Pre-training, and whatever needs none; then what starts from its weights."""
    return [[cell for cell in todo if METHODS[cell.method].pretrained == later] for later in (False, True)]


# On processes


def _on_processes(grid, todo, out, data_dir, budget, jobs, scheduler) -> Iterator[Cell]:
    """Yields each cell when it is finished."""
    with _workers(jobs, scheduler):
        for phase in _phases(todo):
            calls = (
                delayed(run_cell)(grid, cell, str(out), data_dir, budget.end)
                for cell in phase
                if budget.allows(cell.method)
            )
            for cell, seconds in Parallel(return_as="generator_unordered", pre_dispatch="n_jobs")(calls):
                if seconds is not None:
                    budget.note(cell.method, seconds)
                    yield cell


class _Workers(LokyBackend):
    """joblib's processes on this machine; none outlives this one."""

    def configure(self, *args, **options):
        return super().configure(*args, **options, initializer=tie_to, initargs=(os.getpid(),))


@contextmanager
def _workers(jobs, scheduler):
    """Processes on this machine, or those of a Dask cluster."""
    if scheduler is None:
        with parallel_config(backend=_Workers(), n_jobs=jobs):
            yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError(f"--scheduler: {error}: install the extra `distributed`") from error
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the error below says what their own lines would
    try:
        connected = Client(scheduler, timeout="10s")
    except (ValueError, TypeError, OSError) as error:  # no address, none of a scheduler, nobody there
        raise ValueError(f"--scheduler {scheduler}: {error}: expected a Dask scheduler's tcp://HOST:PORT") from error
    with connected as client, parallel_config(backend="dask", client=client):
        try:
            yield
        except Exception as error:
            if client.status == "running":
                raise
            raise ConnectionError(
                f"--scheduler {scheduler}: the Dask cluster was lost: run again to go on with the first unfinished cell"
            ) from error


def run_cell(grid: Grid, cell: Cell, out: str, data_dir=None, end: float | None = None) -> tuple[Cell, float | None]:
    """Compute one cell of the grid and write its file. Returns it with its seconds; None when time was up before.

    One BLAS thread, so that sums come out the same however many cells run side by side.
    """
    started = time.time()
    try:
        with until(end), _computing():
            steps = _steps(grid, cell, out, data_dir)
            _write(cell, out, run(steps), time.time() - started)
    except OutOfTime:
        return cell, None
    return cell, time.time() - started


@contextmanager
def _computing():
    with threadpool_limits(1), warnings.catch_warnings():
        for category in (CollapseWarning, TrainingWarning):
            warnings.simplefilter("ignore", category)  # the result lists the signs of collapse, and the AUC before
        yield


def _steps(grid, cell, out, data_dir):
    """A generator of the cell's trainings, none for a method without; returns its result."""
    split, protocol = dataset_by_name(grid.data, data_dir).one_class(cell.normal_class), protocol_of(grid, cell)
    result = yield from METHODS[cell.method].steps(split, protocol, setting_of(grid, cell, out))
    n_train = len(split.train) - left_out_by(protocol, len(split.train))
    return {**result, "n_train": n_train, "n_test": len(split.test)}


def _write(cell, out, result, seconds):
    with atomic_write(cell.scores_path(out), "wb") as file:
        np.save(file, np.asarray(result.pop("scores"), np.float64))
    finished = {
        "config": cell.config,
        "config_sha256": cell.hash,
        **result,
        "seconds": round(seconds, 3),
        "versions": versions(),
    }
    write_json(cell.path(out), finished)


# Side by side


class _Running:
    """A cell whose trainings are under way."""

    def __init__(self, grid, cell, out, data_dir):
        self.cell, self.started = cell, time.time()
        self.steps, self.training = _steps(grid, cell, out, data_dir), None

    def result(self):
        """Go on to the next training, when there is none or it is done; the result after the last one, else None."""
        while self.training is None or self.training.is_done:
            try:
                self.training = next(self.steps)
            except StopIteration as end:
                return end.value
        return None


def _side_by_side(grid, todo, out, data_dir, budget) -> Iterator[Cell]:
    """An epoch of each of up to `AT_ONCE` cells at a time, started all before the first is waited for.

    Yields each cell when it is finished. A cell takes as long as those beside it make it: when the budget ends, what is
    under way is left.
    """
    with _computing():
        for phase in _phases(todo):
            yield from _phase_side_by_side(grid, phase, out, data_dir, budget)


def _phase_side_by_side(grid, phase, out, data_dir, budget):
    waiting, running = phase[::-1], []
    while waiting or running:
        while waiting and len(running) < AT_ONCE and budget.lasts:
            running.append(_Running(grid, waiting.pop(), out, data_dir))
        if not budget.lasts:
            return
        for one in list(running):
            if (result := one.result()) is not None:
                _write(one.cell, out, result, time.time() - one.started)
                running.remove(one)
                yield one.cell
        for one in running:
            one.training.start_epoch()
        for one in running:
            one.training.finish_epoch()


def _in_shares(grid, todo, out, data_dir, budget, jobs) -> Iterator[Cell]:
    """Side by side in each of several processes. Yields the cells of a share when all of them are finished."""
    with _workers(jobs, scheduler=None):
        calls = (delayed(_finish)(grid, share, out, data_dir, budget) for share in _shares(todo, jobs))
        for finished in Parallel(return_as="generator_unordered")(calls):
            yield from finished


def _shares(todo: list[Cell], count: int) -> list[list[Cell]]:
    """As many lists, or fewer: all cells of a class and seed in one, since they start from one autoencoder."""
    groups: dict[tuple[str, int | None], list[Cell]] = {}
    for cell in todo:
        groups.setdefault((cell.normal_class, cell.seed), []).append(cell)
    dealt = list(groups.values())
    return [list(chain.from_iterable(dealt[first::count])) for first in range(min(count, len(dealt)))]


def _finish(grid, share, out, data_dir, budget) -> list[Cell]:
    return list(_side_by_side(grid, share, out, data_dir, budget))
