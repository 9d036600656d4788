"""What Windows lacks is missing here: every command but `grade` works all the same.

The standard library and other packages still find a POSIX system, so only names are taken away that are ours to avoid.
"""

import os
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

sys.exit(main(sys.argv[1:]))
"""


def without(*arguments, cwd):
    """The command with a pipe's encoding on Windows."""
    return subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", WITHOUT, *map(str, arguments)],
        cwd=cwd, env={**environment(), "PYTHONIOENCODING": "cp1252"}, capture_output=True, text=True, encoding="cp1252",
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny data set, whose name no western code page knows, and a detector trained on it."""
    folder, rng = tmp_path_factory.mktemp("windows"), np.random.default_rng(0)
    x, y = rng.random((60, 5)), np.arange(60) % 2
    np.savez(folder / "данные.npz", x_train=x[y == 0], x_test=x, y_test=y)
    done = without("train", "--data", "данные.npz", "--normal-class", 0, "--out", "модель", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "info",
        "train --quiet --out digits",
        "score модель/model.npz данные.npz",
        "gradcheck --layer MaxPool2D",
        "assignment list",
        "assignment batchnorm --out handout",
        "assignment pack linear --wheel minisvdd-0.1.0-py3-none-any.whl",
        "experiment table1-digits --seeds 1 --methods kde one-class --classes 3 --out experiment --protocol quick",
        "bench --workload mnist_encoder --rounds 1",
        "attack --help",
        "data --help",
    ],
)
def test_works_all_the_same(command, folder):
    (folder / "minisvdd-0.1.0-py3-none-any.whl").touch()
    words = [word.replace("mnist_encoder", "mnist encoder") for word in command.split()]
    done = without(*words, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout


@pytest.mark.parametrize("command", ["grade linear.py --assignment linear", "gradcheck --backend emulator"])
def test_refuses_in_one_line_what_needs_posix(command, folder):
    (folder / "linear.py").write_text("", encoding="utf-8")
    done = without(*command.split(), cwd=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert "Linux or macOS" in line


def test_the_names_are_really_missing(folder):
    code = WITHOUT.replace("sys.exit(main(sys.argv[1:]))", "import resource")
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "resource" in done.stderr
    assert hasattr(os, "fork") == (os.name == "posix")
