"""Kernels of many submissions, compiled in one file and run in this process: for kernels that we wrote."""

import re
from pathlib import Path

from minisvdd.backends.counting import counted
from minisvdd.backends.emulator import EmulatorBackend
from minisvdd.backends.kernel import KernelError, read_kernels
from minisvdd.course.grader.sandbox import SubmissionError


class KernelsHere:
    """One kernel of each of several files.  sources: text of a file by the words for it.   name: the kernel's."""

    def __init__(self, sources: dict[str, str], name: str, folder: Path):
        self.numbers = {words: i for i, words in enumerate(sources)}
        path = folder / f"{name}_together.cu"
        path.write_text("\n".join(_numbered(text, name, i) for i, text in enumerate(sources.values())))
        self.name, self.kernels = name, read_kernels(path)

    def sandbox(self, words: str) -> "Launcher":
        """What stands for the sandbox of that submission."""
        return Launcher(self.kernels[f"{self.name}_{self.numbers[words]}"])


def _numbered(text, name, i):
    """The kernel, from its template on, under a number."""
    assert text.count(f"void {name}(") == 1
    return re.sub(rf"void {name}\(", f"void {name}_{i}(", text[text.index("template") :])


class Launcher:
    """A sandbox that launches one kernel, whatever its name, in this process."""

    def __init__(self, kernel):
        self.kernel, self.backend = kernel, EmulatorBackend()

    def call(self, name, arguments, grid, block, count=False):
        """The arguments after the launch, or (arguments, counts); and nothing."""
        try:
            if count:
                return counted(self.kernel, arguments, grid, block), ()
            self.backend.run(self.kernel, arguments, grid, block)
        except (KernelError, TypeError) as error:
            raise SubmissionError("exception", str(error)) from error
        return list(arguments), ()
