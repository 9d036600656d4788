"""Workers that end with the process that started them, however it ends, and from their first moment.

A process that is killed cannot tell its workers. Left to themselves, joblib's work on through the queue, and then wait
for more, with all their memory. So each of them looks for itself, four times a second, whether its parent is there.

This file imports little: it is the first that a worker loads, and what a worker loads before it looks takes time.
"""

import os
import signal
import threading
import time

_PAUSE = 0.25  # seconds


def tie_to(parent: int) -> None:
    """In a worker, before anything else: end it as soon as the process `parent`, which started it, has gone.

    And at once by Ctrl-C, which reaches parent and workers alike: joblib ends them with the program `pgrep`, and where
    that is missing (small containers) the parent would wait for them to work through all cells.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as `nohup` has it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _end_without(parent)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while True:
        time.sleep(_PAUSE)
        _end_without(parent)


def _end_without(parent: int) -> None:
    if os.getppid() != parent:  # an orphan is given to another process; it may be one already when this begins
        os._exit(1)
