"""Python scripts, each in a process of its own that is forked from one which has imported the large packages already.

Importing them takes longer than many a script. Where that is not safe, on anything but Linux, `python` runs each anew.
"""

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_IMPORTED = ("matplotlib.pyplot", "sklearn.metrics", "minisvdd.svdd")


class Starter:
    """Runs scripts, one at a time, in the environment that it is given."""

    def __init__(self, environment: dict[str, str]):
        self.environment = environment
        self.process = None
        if sys.platform == "linux":
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.process = subprocess.Popen([sys.executable, __file__], env=environment, text=True, **pipes)

    def run(self, script: Path, *arguments, seconds: int = 300) -> subprocess.CompletedProcess:
        """As subprocess.run does it, with text for its output; after so many seconds it is killed."""
        command = [str(script), *map(str, arguments)]
        if self.process is None:
            options = {"env": self.environment, "capture_output": True, "text": True, "timeout": seconds}
            return subprocess.run([sys.executable, *command], **options)
        print(json.dumps([seconds, *command]), file=self.process.stdin, flush=True)
        return subprocess.CompletedProcess(command, **json.loads(self.process.stdout.readline()))

    def close(self):
        """End the process that starts the others."""
        if self.process is not None:
            self.process.communicate()


def _serve():
    """For every line that comes in, fork a process, wait for it, and answer with a line."""
    for name in _IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        seconds, *command = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if not child:
                with open(os.devnull) as nothing:
                    for number, file in enumerate((nothing, out, err)):
                        os.dup2(file.fileno(), number)
                return _become(command, seconds)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            texts = [file.seek(0) or file.read().decode() for file in (out, err)]
        print(json.dumps({"returncode": status, "stdout": texts[0], "stderr": texts[1]}), flush=True)


def _become(command, seconds):
    """This process ends as `python *command` does: with the script's status, and after what `atexit` has to do."""
    signal.alarm(seconds)
    sys.argv, sys.path[0] = command, str(Path(command[0]).parent)
    runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    _serve()
