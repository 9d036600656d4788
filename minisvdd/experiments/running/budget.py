"""A run that ends before a given time, with all that it has finished: cells are files, and only whole ones are written.

A cell is not begun when the longest one of its method so far would not be done in time. One that takes longer still is
stopped where it is, by the system's alarm where there is one (not on Windows, nor in other threads than the first).
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_FOR_THE_REPORT = 2.0  # seconds; of short budgets a tenth


class OutOfTime(Exception):  # noqa: N818  (no failure)
    """The budget is spent; what was being computed is left."""


class Budget:
    """Seconds from now on; None for no end."""

    def __init__(self, seconds: float | None = None) -> None:
        if seconds is not None and not seconds > 0:
            raise ValueError(f"budget={seconds!r}: expected seconds > 0")
        self.end = None if seconds is None else time.time() + seconds - min(_FOR_THE_REPORT, seconds / 10)
        self._longest: dict[str, float] = {}

    def allows(self, method: str) -> bool:
        """Whether a cell of this method, if it takes no longer than the longest one yet, will be done in time."""
        return self.has(self._longest.get(method, 0.0))

    def has(self, seconds: float) -> bool:
        """Whether so many seconds are left."""
        return self.end is None or time.time() + seconds < self.end

    def note(self, method: str, seconds: float) -> None:
        """A cell of this method has taken so long."""
        self._longest[method] = max(seconds, self._longest.get(method, 0.0))


@contextmanager
def until(end: float | None) -> Iterator[None]:
    """Raise OutOfTime when the time `end` (of `time.time`) comes: in the block, or before it where it has come."""
    if end is not None and time.time() >= end:
        raise OutOfTime
    if end is None or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(end - time.time(), 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
