"""CUDA submissions: one process compiles them, another one, in the cage, runs them on the emulator.

A compiled kernel is machine code. So nothing of it is loaded where the compiler can be started, and where it is loaded,
the kernel's walls stand, the library is imported already, and no program can be started.
"""

import os
import sys
from functools import partial
from pathlib import Path


def import_library(library: str):
    """The emulator, from the package `library`; its files need not be readable afterwards."""
    sys.path.insert(0, os.path.dirname(library))
    from minisvdd.backends import emulator

    return emulator


def programs() -> list[str]:
    """Folders that a compiler needs: those of the system, and where $CXX or g++ really lies."""
    building = sys.modules["minisvdd.backends.building"]
    found = os.path.realpath(building.find_compiler() or "/usr/bin/g++")
    prefix = os.path.dirname(os.path.dirname(found))
    return ["/usr", "/bin", "/lib", "/lib64", "/lib32", "/etc/alternatives", *([prefix] if prefix != "/" else [])]


def compiler():
    """`load` of the process that compiles: {kernel's name: None} once it is built, and has no forbidden word in it."""
    from minisvdd.backends import building
    from minisvdd.backends.kernel import KernelError, read_kernels
    from minisvdd.course.handouts.cuda_source import refusal_after_preprocessing

    def load(path):
        try:
            problem = refusal_after_preprocessing(path)
        except ValueError as error:
            problem = str(error)
        if problem:
            raise KernelError(problem)
        building.build(Path(path))
        return dict.fromkeys(read_kernels(Path(path)), print)

    return load


def launcher(path: str):
    """`load` of the process that runs them: the kernels by name. To be called before the cage is shut."""
    from minisvdd.backends import building, emulator
    from minisvdd.backends.counting import counted
    from minisvdd.backends.kernel import read_kernels

    backend, kernels, built = emulator.EmulatorBackend(), read_kernels(Path(path)), building.build(Path(path))
    building.build = lambda *_: built
    emulator.place = _place

    def run(kernel, arguments, grid, block, count=False):
        """The arguments afterwards; with `count`, those and what the launch has cost."""
        if count:
            return counted(kernel, arguments, grid, block)
        backend.run(kernel, arguments, grid, block)
        return list(arguments)

    return lambda _: {name: partial(run, kernel) for name, kernel in kernels.items()}


def _place(library, kernel):
    """The line of a failure where the emulator knows it; else the instruction, which the grader looks up."""
    return f"{kernel.path.name}:{library.emulator_line() or hex(library.emulator_code_offset())}"
