"""Commands as processes of their own, of the package that is tested, wherever it lies."""

import os
import signal
import subprocess
import sys
import time

# `python -c` looks into the current folder first, where another copy of the package may lie.
_NOT_HERE = "import sys; sys.path = [folder for folder in sys.path if folder]\n"
MAIN = "import sys; from minisvdd.cli import main; sys.exit(main(sys.argv[1:]))"


def environment(*folders):
    """This process's environment, with what it can import, and these folders before it, for its children."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, folders), *filter(None, sys.path)])}


def python(code, *arguments, **options):
    """Python code as a process that writes into pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", _NOT_HERE + code, *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts what runs in the background with Ctrl-C ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()
