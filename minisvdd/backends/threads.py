"""Threads for the NumPy operations: how many, and one way to use them.

NumPy releases Python's lock inside matrix products and inside operations on large arrays, so ordinary Python threads
compute at the same time. An operation cuts its work into blocks that do not depend on each other (rows of an image,
channels) and calls `run(work, blocks)`. The blocks depend only on the shapes, never on the number of threads, and what
is summed over blocks is summed in their order: results are the same, bit for bit, with 1 thread and with 16.

The BLAS library behind NumPy has threads of its own. While ours are at work it must not start any: two times two
threads on two cores wait for each other, and products cut differently round differently. `one_blas_thread` sees to it.
"""

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar, final

from threadpoolctl import ThreadpoolController

# What `use_threads` asked for; None: the default. Helper threads are born with 1, so that nested calls stay in them.
_chosen: ContextVar[int | None] = ContextVar("minisvdd_threads", default=None)
_MOST = 256
Block = TypeVar("Block")
Work = Callable[[Iterator[Block]], None]


def thread_count() -> int:
    """Threads that an operation may use: what `use_threads` says, else $MINISVDD_NUM_THREADS, else the usable cores.

    $OMP_NUM_THREADS, by which joblib tells its workers to share the cores, limits the default. It is not ours, so a
    value that says nothing here ("auto", 0, more than 256) limits nothing.
    Raises ValueError when $MINISVDD_NUM_THREADS is no whole number from 1 to 256.
    """
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    return _from_environment() or min(usable_cores(), _openmp_limit())


@contextmanager
def use_threads(n: int) -> Iterator[None]:
    """Inside the `with` block, operations of this thread use at most n threads. ValueError unless 1 <= n <= 256."""
    token = _chosen.set(_check(n, "n"))
    try:
        yield
    finally:
        _chosen.reset(token)


def run(work: Work[Block], blocks: Iterable[Block], most: int | None = None) -> None:
    """Call `work(iterator over blocks)` in several threads at once; together they see every block exactly once.

    `work` makes its scratch arrays, then loops over what the iterator hands out: a slower thread takes fewer blocks.
    Blocks may be done in any order. The first exception of any thread is raised, after all have stopped.
    most: threads that are worth their while here; None for as many as there are.
    """
    blocks = list(blocks)
    shared = iter(blocks)  # a list iterator never hands out the same entry twice: Python's lock protects next()
    with one_blas_thread():
        tasks = _ask_for_help(work, shared, min(most or _MOST, len(blocks)) - 1)
        try:
            work(shared)
        finally:
            _end(tasks)
    _raise_errors(tasks)


class _Task:
    """`work(shared)`, for one of the threads that help."""

    def __init__(self, work: Work[Any], shared: Iterator[Any]) -> None:
        self.work, self.shared = work, shared
        self.error: BaseException | None = None
        self._claim, self._done = threading.Lock(), threading.Lock()
        self._done.acquire()

    def do(self) -> None:
        """In a helper, unless it is too late: the first to claim a task decides whether it is done."""
        if self._claim.acquire(blocking=False):
            try:
                self.work(self.shared)
            except BaseException as error:
                self.error = error
            self._done.release()

    def end(self) -> None:
        """Wait if a helper has begun; else nobody will: there is nothing left to do. May be called again."""
        if self._claim.acquire(blocking=False):
            self._done.release()
        with self._done:
            pass


def _ask_for_help(work: Work[Block], shared: Iterator[Block], most: int) -> list[_Task]:
    """Give `work(shared)` to other threads, at most so many; returns a task for each."""
    wanted = min(thread_count() - 1, most) if most > 0 else 0  # nobody is counted for a single block
    tasks = [_Task(work, shared) for _ in range(wanted)]
    _helpers.grow(len(tasks))
    for task in tasks:
        _helpers.tasks.put(task)
    return tasks


def _end(tasks: list[_Task]) -> None:
    for task in tasks:
        task.end()


def _raise_errors(tasks: list[_Task]) -> None:
    for task in tasks:
        if task.error is not None:
            raise task.error


@final
class _Helpers:
    """The threads that help, as many as were ever of use at once, and their one queue.

    (A `ThreadPoolExecutor` takes longer to ask.)
    """

    def __init__(self) -> None:
        self.tasks: SimpleQueue[_Task] = SimpleQueue()
        self.count, self._lock = 0, threading.Lock()

    def grow(self, count: int) -> None:
        """So many threads, at least."""
        if count <= self.count:
            return
        with self._lock:
            while self.count < count:
                self.count += 1
                name = f"minisvdd_{self.count}"
                threading.Thread(target=_help, args=(self.tasks,), name=name, daemon=True).start()


_helpers = _Helpers()


def _help(tasks: SimpleQueue[_Task]) -> None:
    _chosen.set(1)  # what a task runs stays in its thread
    while True:
        tasks.get().do()


def one_blas_thread() -> "_Blas":
    """Keep BLAS to one thread until every such block, in whatever thread, has ended; then restore its setting."""
    return _blas


def usable_cores() -> int:
    """Cores that this process may use: its affinity mask, or fewer where a cgroup (a container) grants less time."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cgroup_cores())))


@cache
def _cgroup_cores(root: str = "/sys/fs/cgroup", membership: str = "/proc/self/cgroup") -> float:
    """The smallest quota/period of cgroup v2 `cpu.max` from this process's group up to the root; inf without one."""
    cores = math.inf
    try:
        path = next(
            line[3:].strip()
            for line in Path(membership).read_text(encoding="utf-8").splitlines()
            if line.startswith("0::")
        )
    except (OSError, StopIteration):
        return cores
    group = Path(root) / path.lstrip("/")
    for folder in (group, *group.parents):
        try:
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
            cores = min(cores, int(quota) / int(period))
        except (OSError, ValueError):  # no such file, or "max": no limit here
            pass
    return cores


def _from_environment() -> int | None:
    name, text = "MINISVDD_NUM_THREADS", os.environ.get("MINISVDD_NUM_THREADS")
    if not text:
        return None
    try:
        return _check(int(text), name)
    except ValueError:
        raise ValueError(f"{name}={text!r}: expected a whole number from 1 to {_MOST}") from None


def _openmp_limit() -> int:
    """Of all programs with threads; it may list a number for each level of nesting, of which the first counts."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(int(first), _MOST) if first.isdecimal() and int(first) > 0 else _MOST


def _check(n: int, name: str) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= _MOST:
        raise ValueError(f"{name}={n!r}: expected a whole number from 1 to {_MOST}")
    return n


@cache
def _blas_libraries() -> list[Any]:
    return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]


def _set_blas_threads(settings: list[tuple[Any, int]]) -> None:
    for library, count in settings:
        library.set_num_threads(count)


@final
class _Blas:
    """Counts the blocks that run. (No generator: a training step enters dozens of these, and one takes longer.)"""

    def __init__(self) -> None:
        self.lock, self.users = threading.Lock(), 0
        self.saved: list[tuple[Any, int]] = []

    def __enter__(self) -> None:
        with self.lock:
            if self.users == 0:
                self.saved = [(library, library.num_threads) for library in _blas_libraries()]
                _set_blas_threads([(library, 1) for library, _ in self.saved])
            self.users += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                _set_blas_threads(self.saved)


_blas = _Blas()


def _after_fork() -> None:
    """A forked child has this module but none of its threads: it starts with new ones and a lock nobody holds."""
    _helpers.__init__()
    _blas.__init__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
