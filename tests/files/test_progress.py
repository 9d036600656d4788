"""Progress: one line that is written anew on a terminal, now and then a plain line elsewhere, the time that is left."""

import io

import pytest

from minisvdd.files import progress as module
from minisvdd.files.progress import Progress


class Terminal(io.StringIO):
    """A stream with somebody before it."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when the test says so."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


def test_one_line_is_rewritten_on_a_terminal():
    stream = Terminal()
    progress = Progress("epoch", 3, stream=stream)
    for epoch in (1, 2, 3):
        progress.update(epoch, "loss 0.5")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.rsplit("\r", 1)[1].startswith("epoch 3/3  loss 0.5")


def test_a_terminal_is_written_to_ten_times_a_second_at_most(clock):
    stream = Terminal()
    progress = Progress("epoch", 100, stream=stream)
    for done, now in ((1, 100.05), (2, 100.1001), (3, 100.15), (4, 100.2002)):
        clock.now = now
        progress.update(done)
    assert [line.split()[1] for line in stream.getvalue().split("\r")[1:]] == ["2/100", "4/100"]


def test_one_of_several_processes_writes_plain_lines_on_a_terminal_too(clock):
    stream = Terminal()
    progress = Progress("process 1 of 2, epoch", 3, stream=stream, is_alone=False)
    for epoch in (1, 2, 3):
        clock.now += 6
        progress.update(epoch)
    assert [line.split("  ")[0] for line in stream.getvalue().splitlines()] == [
        f"process 1 of 2, epoch {epoch}/3" for epoch in (1, 2, 3)
    ]
    assert "\r" not in stream.getvalue()


def test_a_shorter_line_covers_a_longer_one(clock):
    stream = Terminal()
    progress = Progress("epoch", 10, stream=stream)
    for done, note in ((1, "a long note"), (2, "")):
        clock.now += 1
        progress.update(done, note)
    _, first, second = stream.getvalue().split("\r")
    assert len(first) == len(second)


def test_plain_lines_elsewhere_every_five_seconds_and_at_the_end(clock):
    stream = io.StringIO()
    progress = Progress("epoch", 12, stream=stream)
    for epoch in range(1, 13):
        clock.now += 1
        progress.update(epoch)
    assert stream.getvalue().splitlines() == [
        "epoch 5/12    7.0 s left",
        "epoch 10/12    2.0 s left",
        "epoch 12/12    12.0 s in all",
    ]


def test_minutes(clock):
    stream = io.StringIO()
    progress = Progress("epoch", 4, stream=stream)
    for done, now in ((0, 160), (1, 225), (2, 220 + 105.5), (4, 159.96 + 3600)):
        clock.now = now
        progress.update(done, "n")
    assert stream.getvalue().splitlines() == [
        "epoch 0/4  n  4 min 00 s left",
        "epoch 1/4  n  6 min 15 s left",
        "epoch 2/4  n  3 min 45 s left",
        "epoch 4/4  n  60 min 59 s in all",
    ]


def test_silence():
    stream = io.StringIO()
    Progress("epoch", 1, verbose=0, stream=stream).update(1)
    assert stream.getvalue() == ""


def test_stderr_is_where_it_goes(capsys):
    Progress("epoch", 1).update(1)
    captured = capsys.readouterr()
    assert captured.err.startswith("epoch 1/1")
    assert captured.out == ""


def test_no_stream_no_progress(monkeypatch):
    """A service has no standard error: Python's is None."""
    monkeypatch.setattr(module.sys, "stderr", None)
    Progress("epoch", 1).update(1)


class Broken(io.StringIO):
    """Its reader has gone."""

    tries = 0

    def write(self, text):
        self.tries += 1
        raise BrokenPipeError


def test_a_stream_that_breaks_ends_the_report_and_not_the_work():
    stream = Broken()
    progress = Progress("epoch", 3, stream=stream)
    for epoch in (3, 3):
        progress.update(epoch)
    assert stream.tries == 1
    closed = io.StringIO()
    closed.close()
    Progress("epoch", 1, stream=closed).update(1)
