"""Kernels of many submissions, compiled in one file and run in this process: for kernels that we wrote."""

import re
import tempfile
from pathlib import Path

from minisvdd.backends.counting import counted
from minisvdd.backends.emulator import EmulatorBackend
from minisvdd.backends.kernel import KernelError, read_kernels
from minisvdd.course.grader.sandbox import SubmissionError


class KernelsHere:
    """The kernels of several files, each text once, under a number.  sources: text of a file by the words for it."""

    def __init__(self, sources: dict[str, str], folder: Path):
        self._names, numbers = {}, {}  # of each file: kernel's name -> that in the file of all
        for words, source in sources.items():
            self._names[words] = {}
            for text in re.split(r"^(?=template\b)", source, flags=re.MULTILINE)[1:]:
                name = re.search(r"void (\w+)\(", text)[1]
                self._names[words][name] = f"{name}_{numbers.setdefault(text, len(numbers))}"
        path = Path(tempfile.mkdtemp(dir=folder)) / "together.cu"  # a file is read once by its name
        path.write_text("\n".join(re.sub(r"void (\w+)\(", rf"void \1_{i}(", text) for text, i in numbers.items()))
        self._kernels = read_kernels(path)

    def sandbox(self, words: str) -> "Launcher":
        """What stands for the sandbox of that submission."""
        return Launcher({name: self._kernels[numbered] for name, numbered in self._names[words].items()})


class Launcher:
    """A sandbox that launches these kernels in this process."""

    def __init__(self, kernels: dict):
        self.kernels, self.backend = kernels, EmulatorBackend()

    def call(self, name, arguments, grid, block, count=False):
        """The arguments after the launch, or (arguments, counts); and nothing."""
        try:
            if count:
                return counted(self.kernels[name], arguments, grid, block), ()
            self.backend.run(self.kernels[name], arguments, grid, block)
        except (KernelError, TypeError) as error:
            raise SubmissionError("exception", str(error)) from error
        return list(arguments), ()
