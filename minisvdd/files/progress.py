"""Progress of long work on stderr: one updated line on a terminal, a plain line every few seconds otherwise."""

import sys
import time
from typing import TextIO

_SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Report how far `total` steps of `label` have come, with the time left.

    verbose: 0 keeps silent. stream: where to write, stderr by default. Where there is none (a service), or it can no
    longer be written to, it keeps silent, too: no work is lost for want of a reader.
    is_alone: False where several processes write to one terminal, where each would update the others' line.
    """

    def __init__(
        self, label: str, total: int, verbose: int = 1, stream: TextIO | None = None, *, is_alone: bool = True
    ):
        self.label, self.total, self.verbose = label, total, verbose
        self.stream: TextIO | None = stream if stream is not None else sys.stderr
        self._updates_line = is_alone and bool(self._of_stream("isatty"))
        self._start = self._last = time.monotonic()
        self._width = 0

    def update(self, done: int, note: str = "", under_way: float = 0.0) -> None:
        """Say that `done` steps are finished; `note` follows the count (a loss, a rate).

        under_way: what is done of others, in steps; it counts for the time left.
        """
        now = time.monotonic()
        finished = done >= self.total
        pause = 0.1 if self._updates_line else _SECONDS_BETWEEN_LINES
        if not self.verbose or self.stream is None or (now - self._last < pause and not finished):
            return
        self._last = now
        elapsed, far = now - self._start, done + under_way
        left = elapsed / (far or 1) * (self.total - far)
        text = f"{self.label} {done}/{self.total}  {note}  "
        text += f"{_clock(elapsed)} in all" if finished else f"{_clock(left)} left"
        if self._updates_line:
            self._of_stream("write", "\r" + text.ljust(self._width) + ("\n" if finished else ""))
            self._width = len(text)
        else:
            self._of_stream("write", text + "\n")
        self._of_stream("flush")

    def _of_stream(self, method: str, *arguments: str) -> object:
        """Call a method that the stream may lack; one that fails ends the report."""
        try:
            return getattr(self.stream, method, lambda *_: None)(*arguments)
        except (OSError, ValueError):  # its reader has gone, or it is closed
            self.stream = None
            return None


def _clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
