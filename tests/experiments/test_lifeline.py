"""A worker ends with the process that started it: whole grids are killed in `files/test_interruptions.py`."""

import os

import pytest
from helpers_processes import python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX does")

_TIED = """
import os, signal, sys, time
from minisvdd.experiments.running.lifeline import tie_to
signal.signal(signal.SIGINT, getattr(signal, sys.argv[2]))
tie_to(os.getppid() + int(sys.argv[1]))
print(signal.getsignal(signal.SIGINT).name)
"""

_PARENT = """
import os, time
from minisvdd.experiments.running.lifeline import tie_to
parent = os.getpid()
if os.fork() == 0:
    tie_to(parent)
    print("tied", flush=True)
    time.sleep(60)
time.sleep(60)
"""


@pytest.mark.parametrize(("before", "after"), [("SIG_IGN", "SIG_IGN"), ("default_int_handler", "SIG_DFL")])
def test_a_worker_lives_beside_its_parent_and_ends_by_ctrl_c_unless_that_is_ignored(before, after):
    process = python(_TIED, 0, before)
    assert process.communicate(timeout=60) == (f"{after}\n", "")
    assert process.returncode == 0


def test_a_worker_whose_parent_has_gone_before_ends_at_once():
    process = python(_TIED, 1, "SIG_DFL")
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 1


def test_a_worker_ends_soon_after_its_parent():
    process = python(_PARENT)
    assert process.stdout.readline() == "tied\n"
    process.kill()
    process.communicate(timeout=10)  # until nobody holds the pipes any more: a quarter of a second on an idle machine
