"""`run_grid`: the cells that a folder does not hold yet, computed on processes, on a Dask cluster, or side by side."""

import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from itertools import chain, product
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import LokyBackend
from threadpoolctl import threadpool_limits

from ...backends import get_backend
from ...errors import CollapseWarning, DataError, TrainingWarning
from ...files.atomic import atomic_write, locked, write_json
from ...files.checkpoint import Checkpoint
from ...files.progress import Progress
from ...validation import check_number
from ..experiments import left_out_by, run, versions
from ..grid import GRID_FILE, Cell, Grid, cells_of, dataset_by_name, is_finished, protocol_of, setting_of, with_earlier
from ..methods import METHODS
from .budget import Budget, OutOfTime, until
from .lifeline import tie_to

_EVERY = 10  # epochs between checkpoints; within a budget one after each, so that a short budget is not lost
_AT_THE_END = 1_000_000_000  # epochs: side by side they are written when the budget ends, not in between
# What becomes of cells that a budget's end finds under way.
_BEGUN = (
    "a training goes on from its last epoch, all else begins anew: what takes longer than the budget is never finished"
)
_CELL = "experiment, cell"  # what progress counts
_ELSEWHERE = math.inf  # seconds of a cell that another run has under way
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
    budget: Budget | float | None = None,
) -> int:
    """Compute the cells that `out` does not hold yet (resume=False: all); returns how many are left.

    On `jobs` processes or a Dask `scheduler`. On a backend with kernels of its own, side by side in each of `jobs`
    processes, which share the device: while one prepares a cell on the host, the others keep the device busy.
    budget: seconds after which it ends, or a Budget that has begun; every finished cell is a file, the same call goes
    on with the others.

    A cell in training goes on from its last checkpoint, too. Side by side there are such of cells that the budget's end
    finds between two epochs.

    Several runs may share a folder: each looks again before a cell whether it is there by now, and leaves those that
    another run has under way for the end. Where folders cannot be locked, and side by side on a device, cells under way
    are computed by both, to the same result.

    A damaged cell is named and computed again; a damaged grid.json is a DataError. Pre-training goes first, since Deep
    SVDD's cells start from its weights.
    """
    check_number(jobs, "jobs", 1, integer=True)
    out, allowed = Path(out), budget if isinstance(budget, Budget) else Budget(budget)
    needs_weights = any(METHODS[name].pretrained for name in grid.methods)
    methods = grid.methods if "dcae" in grid.methods or not needs_weights else ("dcae", *grid.methods)
    beside = not (get_backend(grid.backend).runs_numpy or scheduler)  # before anything is written: it may be missing
    with locked(out):  # several processes may compute parts of one table
        write_json(out / GRID_FILE, asdict(with_earlier(grid, out)))
    todo = [cell for cell in cells_of(grid, methods) if not (resume and is_finished(cell, out, verbose))]
    if not resume:
        for cell in todo:
            _checkpoint(cell, out).remove()
    if not beside:
        finished = _on_processes(grid, todo, out.resolve(), data_dir, allowed, jobs, scheduler, verbose, resume)
    elif jobs == 1:
        finished = _side_by_side(grid, todo, out.resolve(), data_dir, allowed, verbose, resume=resume)
    else:
        finished = _in_shares(grid, todo, out.resolve(), data_dir, allowed, jobs, verbose, resume)
    left = len(todo) - sum(1 for _ in finished)
    if left and verbose:
        print(f"minisvdd: the budget is spent, {left} of {len(todo)} cells are left; {_BEGUN}", file=sys.stderr)
    return left


def _named(cell: Cell) -> str:
    return f"{cell.method} {cell.normal_class}"


def _phases(todo: list[Cell]) -> list[list[Cell]]:
    """Pre-training, and whatever needs none; then what starts from its weights."""
    return [[cell for cell in todo if METHODS[cell.method].pretrained == later] for later in (False, True)]


# On processes


def _on_processes(grid, todo, out, data_dir, budget, jobs, scheduler, verbose=0, resume=True) -> Iterator[Cell]:
    """Yields each cell when it is finished; last, in each phase, those that another run had under way."""
    progress, done, elsewhere = Progress(_CELL, len(todo), verbose), 0, []
    with _workers(jobs, scheduler):
        for phase, alone in product(_phases(todo), (True, False)):
            cells, elsewhere = phase if alone else elsewhere, []
            calls = (
                delayed(run_cell)(grid, cell, str(out), data_dir, budget.end, resume, alone)
                for cell in cells
                if budget.allows(cell.method)
            )
            for cell, seconds in Parallel(return_as="generator_unordered", pre_dispatch="n_jobs")(calls):
                if seconds == _ELSEWHERE:
                    elsewhere.append(cell)
                elif seconds is not None:
                    budget.note(cell.method, seconds)
                    done += 1
                    progress.update(done, _named(cell))
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


def run_cell(
    grid: Grid,
    cell: Cell,
    out: str,
    data_dir=None,
    end: float | None = None,
    resume: bool = True,
    alone: bool = False,
) -> tuple[Cell, float | None]:
    """Compute one cell of the grid and write its file. Returns it with its seconds; None when time was up before.

    Its trainings go on from their checkpoints, which lie beside that file until it is written. One BLAS thread, so that
    sums come out the same however many cells run side by side.
    resume: whether nothing is to be done for a cell that is finished by now.   alone: whether a cell that another run
    computes is left to it; its seconds are infinite then.
    """
    started, checkpoint = time.time(), _checkpoint(cell, out, _EVERY if end is None else 1)
    with _claimed(cell, out) as is_free:
        if resume and alone and not is_free:
            return cell, _ELSEWHERE
        if resume and is_finished(cell, out, verbose=0):
            return cell, time.time() - started
        try:
            with until(end), _computing():
                result = run(_steps(grid, cell, out, data_dir, checkpoint))
        except OutOfTime:
            return cell, None
        _write(cell, out, result, time.time() - started)
        checkpoint.remove()
    return cell, time.time() - started


@contextmanager
def _claimed(cell, out):
    """Inside, other runs find the cell under way; whether none had it before."""
    folder = cell.checkpoint_path(out)
    with locked(folder, wait=False) as is_free:
        try:
            yield is_free
        finally:
            if is_free:
                with suppress(OSError):  # there are checkpoints in it, or it is gone with them
                    folder.rmdir()


def _checkpoint(cell, out, every=1):
    return Checkpoint(cell.checkpoint_path(out), every, resume=True)


@contextmanager
def _computing():
    with threadpool_limits(1), warnings.catch_warnings():
        for category in (CollapseWarning, TrainingWarning):
            warnings.simplefilter("ignore", category)  # the result lists the signs of collapse, and the AUC before
        yield


def _steps(grid, cell, out, data_dir, checkpoint):
    """A generator of the cell's trainings, none for a method without; returns its result.

    From the beginning where the checkpoints are damaged or of another version.
    """
    try:
        return (yield from _steps_from(grid, cell, out, data_dir, checkpoint))
    except DataError:
        if not any(checkpoint.folder.glob("*.npz")):
            raise
    checkpoint.remove()
    return (yield from _steps_from(grid, cell, out, data_dir, checkpoint))


def _steps_from(grid, cell, out, data_dir, checkpoint):
    split, protocol = dataset_by_name(grid.data, data_dir).one_class(cell.normal_class), protocol_of(grid, cell)
    setting = replace(setting_of(grid, cell, out), checkpoint=checkpoint)
    result = yield from METHODS[cell.method].steps(split, protocol, setting)
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
        self.cell, self.started, self.checkpoint = cell, time.time(), _checkpoint(cell, out, _AT_THE_END)
        self.steps, self.training = _steps(grid, cell, out, data_dir, self.checkpoint), None

    def result(self):
        """Go on to the next training, when there is none or it is done; the result after the last one, else None."""
        while self.training is None or self.training.is_done:
            try:
                self.training = next(self.steps)
            except StopIteration as end:
                return end.value
        return None

    def keep(self):
        """For a run that goes on."""
        if self.training is not None:
            self.training.keep()


def _side_by_side(grid, todo, out, data_dir, budget, verbose=0, share=None, resume=True) -> Iterator[Cell]:
    """An epoch of each of up to `AT_ONCE` cells at a time, started all before the first is waited for.

    Yields each cell when it is finished. A cell takes as long as those beside it make it: when the budget ends, or is
    too short for another epoch of all, those under way are kept as checkpoints.

    share: what progress counts where this process is one of several.
    """
    running: list[_Running] = []
    progress = Progress(share or _CELL, len(todo), verbose, is_alone=share is None)
    with _computing():
        try:
            yield from _rounds(grid, todo, out, data_dir, budget, progress, running, resume)
        except OutOfTime:
            for one in running:
                one.keep()


def _rounds(grid, todo, out, data_dir, budget, progress, running, resume) -> Iterator[Cell]:
    """Epoch after epoch of those in `running`, which others join as they are finished. OutOfTime: `_epoch`."""
    done, seconds = 0, 0.0
    for phase in _phases(todo):
        waiting = phase[::-1]
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                cell = waiting.pop()
                if resume and is_finished(cell, out, verbose=0):  # by another run, since this one looked
                    done += 1
                    yield cell
                else:
                    running.append(_Running(grid, cell, out, data_dir))
            for one in list(running):
                with until(budget.end):
                    result = one.result()
                if result is not None:
                    _write(one.cell, out, result, time.time() - one.started)
                    one.checkpoint.remove()
                    running.remove(one)
                    done += 1
                    progress.update(done, _named(one.cell))
                    yield one.cell
            if running:
                seconds = _epoch(running, budget, seconds)
                progress.update(done, *_how_far([one.training for one in running]))


def _epoch(running, budget, seconds) -> float:
    """One epoch of each, all started before the first is waited for; returns how long that took.

    OutOfTime when the budget ends, or might before they do: those before took so many `seconds`.
    """
    started = time.time()
    if not budget.has(1.5 * seconds):
        raise OutOfTime
    for one in running:
        with until(budget.end):
            one.training.start_epoch()
    for one in running:
        with until(budget.end):
            one.training.finish_epoch()
    return time.time() - started


def _how_far(trainings) -> tuple[str, float]:
    """A note on trainings under way, and how many whole ones their epochs make."""
    epochs, planned = (sum(counts) for counts in zip(*((one.epoch, one.plan.epochs) for one in trainings)))
    note = f"{len(trainings)} in training, {epochs} of their {planned} epochs"
    return note, sum(one.epoch / one.plan.epochs for one in trainings)


def _in_shares(grid, todo, out, data_dir, budget, jobs, verbose=0, resume=True) -> Iterator[Cell]:
    """Side by side in each of several processes, which say themselves how far they are.

    Yields the cells of a share when all of them are finished.
    """
    shares = _shares(todo, jobs)
    with _workers(jobs, scheduler=None):
        calls = (
            delayed(_finish)(grid, share, out, data_dir, budget, verbose, f"process {i} of {len(shares)}, cell", resume)
            for i, share in enumerate(shares, 1)
        )
        for finished in Parallel(return_as="generator_unordered")(calls):
            yield from finished


def _shares(todo: list[Cell], count: int) -> list[list[Cell]]:
    """As many lists, or fewer: all cells of a class and seed in one, since they start from one autoencoder."""
    groups: dict[tuple[str, int | None], list[Cell]] = {}
    for cell in todo:
        groups.setdefault((cell.normal_class, cell.seed), []).append(cell)
    dealt = list(groups.values())
    return [list(chain.from_iterable(dealt[first::count])) for first in range(min(count, len(dealt)))]


def _finish(*arguments) -> list[Cell]:
    return list(_side_by_side(*arguments))
