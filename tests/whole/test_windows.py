"""What Windows lacks is missing here: every command but `grade` works all the same.

The standard library and other packages still find a POSIX system, so only names are taken away that are ours to avoid.
"""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from helpers_processes import environment

pytestmark = pytest.mark.slow

WITHOUT = """
import os, sys, warnings

for module in ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty"):
    sys.modules[module] = None  # importing it is a ModuleNotFoundError
for name in ("fork", "forkpty", "getuid", "geteuid", "getgid", "setuid", "setgid", "setgroups", "getpgid", "killpg",
             "setsid", "sysconf", "sched_getaffinity", "set_blocking", "chown", "getloadavg", "O_NOFOLLOW", "mkfifo",
             "nice", "statvfs"):
    if hasattr(os, name):
        delattr(os, name)
# a file of text is never read in the encoding that the system happens to have
warnings.filterwarnings("error", category=EncodingWarning, module="minisvdd")
from minisvdd.cli import main

"""
ONE = "sys.exit(main(sys.argv[1:]))"
# Each argument is a command; between what they print stands its status.
ALL = """
for command in sys.argv[1:]:
    try:
        status = main(command.split("|"))
    except SystemExit as end:  # as after --help
        status = end.code or 0
    for stream in (sys.stdout, sys.stderr):
        print(f"<<{status}>>", file=stream, flush=True)
"""
COMMANDS = [
    ["train", "--protocol", "quick", "--data", "данные.npz", "--normal-class", "0", "--out", "модель"],
    *map(
        str.split,
        [
            "info",
            "train --quiet --protocol quick --out digits",
            "score модель/model.npz данные.npz",
            "gradcheck --layer MaxPool2D",
            "assignment list",
            "assignment batchnorm --out handout",
            "assignment pack linear --wheel minisvdd-0.1.0-py3-none-any.whl",
            "experiment table1-digits --seeds 1 --methods kde one-class --classes 3 --out experiment --protocol quick",
            "attack --help",
            "data --help",
        ],
    ),
    ["bench", "--workload", "mnist encoder", "--rounds", "1"],
]


def without(code, *arguments, cwd):
    """Commands with a pipe's encoding on Windows."""
    return subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", WITHOUT + code, *map(str, arguments)],
        cwd=cwd, env={**environment(), "PYTHONIOENCODING": "cp1252"}, capture_output=True, text=True, encoding="cp1252",
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny data set, whose name no western code page knows."""
    folder, rng = tmp_path_factory.mktemp("windows"), np.random.default_rng(0)
    x, y = rng.random((60, 5)), np.arange(60) % 2
    np.savez(folder / "данные.npz", x_train=x[y == 0], x_test=x, y_test=y)
    return folder


def test_works_all_the_same(folder):
    """All commands, one after the other in one process; the first trains the detector that others read."""
    (folder / "minisvdd-0.1.0-py3-none-any.whl").touch()
    done = without(ALL, *map("|".join, COMMANDS), cwd=folder)
    printed, complaints = (re.split(r"<<(.*)>>\n", text) for text in (done.stdout, done.stderr))
    assert done.returncode == 0, done.stdout + done.stderr
    for command, out, status, err in zip(COMMANDS, printed[::2], printed[1::2], complaints[::2], strict=False):
        assert status == "0", f"{command}: {out}{err}"
        assert out, command
    assert len(printed) == len(complaints) == 2 * len(COMMANDS) + 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["grade linear.py --assignment linear", "gradcheck --backend emulator"])
def test_refuses_in_one_line_what_needs_posix(command, folder):
    (folder / "linear.py").write_text("", encoding="utf-8")
    done = without(ONE, *command.split(), cwd=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert "Linux or macOS" in line


def test_the_names_are_really_missing(folder):
    done = without("import resource", cwd=folder)
    assert done.returncode == 1
    assert "resource" in done.stderr
    assert hasattr(os, "fork") == (os.name == "posix")
