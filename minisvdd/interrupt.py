"""What Ctrl-C does to a command: while it loads and while it ends, one line at once; while it works, KeyboardInterrupt.

An exception may get lost in the middle of an import, or come out of it as pages; and nothing has begun by then that
would have to be tidied up. Somebody else's decision about Ctrl-C (`nohup`, a program that calls us) is left alone.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = "minisvdd: error: interrupted"
INTERRUPTED_STATUS = 130


@contextmanager
def ends_at_once() -> Iterator[None]:
    """Inside, Ctrl-C says so in one line and ends the process."""
    with _handled_by(_end):
        yield


@contextmanager
def raises() -> Iterator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt, as Python has it."""
    with _handled_by(signal.default_int_handler):
        yield


def ends_with(status: int) -> None:
    """From now on Ctrl-C ends the process with this status, without a word: it has done its work."""
    if _is_ours_to_say():
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(status))


def _end(number: int, frame: Any) -> None:
    os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(INTERRUPTED_STATUS)


@contextmanager
def _handled_by(handler: Callable[[int, Any], Any]) -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    if not _is_ours_to_say():
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _is_ours_to_say() -> bool:
    if signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, _end):
        return False
    try:
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))  # only the main thread may
    except ValueError:
        return False
    return True
