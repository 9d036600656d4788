"""The clock of a submission: waiting for a processor is not counted, sleeping is."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from minisvdd.course import clock, get_assignment, skeleton
from minisvdd.course.grader.grading import grade_source
from minisvdd.course.grader.sandbox import Limits

LINEAR = get_assignment("linear")
SOLUTION = skeleton(LINEAR, solution=True)
BODY = "    return x @ weight.T\n"
needs_counts = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the system counts no waiting")


@pytest.fixture
def waited(monkeypatch):
    """Seconds by file, in place of the system's; the wall's clock shows 100 and more with each reading."""
    seconds = {"/proc/12/schedstat": 1.0, "/proc/thread-self/schedstat": 0.5}
    wall = iter(range(100, 200))
    monkeypatch.setattr(clock, "_seconds_waited", lambda path: seconds.get(path, 0.0))
    monkeypatch.setattr(clock.time, "monotonic", lambda: next(wall))
    return seconds


def test_what_both_waited_is_taken_off(waited):
    own = clock.Clock(12)
    assert own.now() == 100 - 1.5
    waited["/proc/12/schedstat"] = 1.75
    assert own.now() == 101 - 2.25
    waited["/proc/thread-self/schedstat"] = 1.5
    assert own.now() == 102 - 3.25


def test_who_has_ended_keeps_what_he_waited(waited):
    own = clock.Clock(12)
    own.now()
    del waited["/proc/12/schedstat"]
    assert own.now() == 101 - 1.5


def test_the_system_is_not_asked_for_every_message(monkeypatch):
    asked = []
    monkeypatch.setattr(clock, "_seconds_waited", lambda path: asked.append(path) or 0.0)
    own, end = clock.Clock(os.getpid()), time.monotonic() + 0.1
    readings = 0
    while time.monotonic() < end:
        own.now()
        readings += 1
    assert 2 <= len(asked) <= 2 * 6
    assert readings > len(asked)


def test_where_nothing_is_counted_it_is_the_wall_s(waited):
    waited.clear()
    own = clock.Clock(12)
    assert [own.now(), own.now()] == [100, 101]


def test_a_file_that_counts_nothing_says_that_nobody_waited():
    assert clock._seconds_waited("/proc/-1/schedstat") == clock._seconds_waited("/dev/null") == 0.0


@needs_counts
@pytest.mark.slow
def test_a_busy_machine_costs_no_points():
    """A call of 0.3 s beside five other programs on the same core, with a limit of 0.6 s."""
    busy = "import time\n    start, end = time.monotonic(), time.process_time() + 0.3\n"
    busy += "    while time.process_time() < end: pass\n    print(time.monotonic() - start)"
    slow = SOLUTION.replace(BODY, f"    {busy}\n{BODY}", 1)
    assert slow != SOLUTION
    values = replace(LINEAR, parts=tuple(part for part in LINEAR.parts if part.name == "linear_forward: values"))
    command, others, cores = [sys.executable, "-c", "while True: pass"], [], os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})  # and what is started from here
        for _ in range(5):
            others.append(subprocess.Popen(command, start_new_session=True))
        grade = grade_source(slow.encode(), "linear.py", values, limits=Limits(call_seconds=0.6, total_seconds=30.0))
    finally:
        os.sched_setaffinity(0, cores)
        for process in others:
            process.kill()
            process.wait()
    assert [part.message for part in grade.parts if part.message] == []
    assert float(grade.output) > 0.6  # by the wall's clock it would have been too late


@pytest.mark.slow
def test_who_sleeps_uses_his_time_up():
    asleep = "import time\n" + "".join(f"def {one.name}(*a):\n    time.sleep(60)\n" for one in LINEAR.functions)
    started = time.monotonic()
    grade = grade_source(asleep.encode(), "linear.py", LINEAR, limits=Limits(call_seconds=0.5, total_seconds=1.2))
    assert time.monotonic() - started < 30
    said = [part.message for part in grade.parts if part.name.endswith(": values")]
    assert said[0] == said[1] == "no result after 0.5 s: an endless loop?"
    assert "the rest of 1.2 s in all: an endless loop?" in said[2]
