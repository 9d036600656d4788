"""The package for students: it grades at home, with the same parts and the same words, and shows no solution.

Closed (`minisvdd.closed`) is whatever tells one: the files of the plain readings that are assigned, with the other
readings beside them; the assignments themselves, which know mistakes and what is right; and every other file in which
a line of a model solution stands. Model solutions in CUDA are left out, and kernels that are assigned keep their heads
only. So are the lectures, which derive all formulas and whose exercises have solutions: the teacher hands them out.
"""

import re
import sys
from pathlib import Path

from ...closed import check_is_teachers, packed
from ...files.atomic import atomic_write
from ...version import __version__
from ..assignment import Assignment
from ..catalog import NAMES, get_assignment
from . import cuda_source
from .skeleton import LEVELS, skeleton
from .wheel import package_files, wheel_of

# From this length on a line of a solution says how it is done: `return y` does not, nor does a loop in C++.
LONGEST = {".py": 20, ".cu": 30, ".h": 30}
_STUB = '"""Closed in the package for students."""\n\nfrom minisvdd.closed import run\n\nrun(__name__, globals())\n'
_KERNEL = re.compile(r"(?:template\s*<typename T>\s*)?__global__\s+void\s+[^{;]*\{")


def export(folder) -> tuple[Path, list[str]]:
    """Write the students' wheel into `folder`; returns its path, and the files that are closed or left out."""
    name, content, hidden = students_wheel()
    path = Path(folder) / name
    with atomic_write(path, "wb") as file:
        file.write(content)
    return path, hidden


def students_wheel() -> tuple[str, bytes, list[str]]:
    """(name, content, hidden files) of the students' wheel. Raises ValueError when this is one already."""
    check_is_teachers("course export")
    everything = package_files()
    files, answers, hidden = {}, {}, []
    told = {".py": solution_lines("python"), ".cu": solution_lines("cuda")}
    of_solutions = _files_of_solutions()
    for name, content in everything.items():
        suffix = Path(name).suffix
        lines = told.get(".cu" if suffix == ".h" else suffix, ())
        shows = name in of_solutions or any(line in content.decode() for line in lines)
        if name.startswith("minisvdd/lectures/") or (shows and suffix == ".h"):
            hidden.append(name)
        elif not shows:
            files[name] = content
        elif suffix == ".py":
            hidden.append(name)
            answers[_module(name)] = content.decode()
            files[name] = _STUB.encode()
        else:
            hidden.append(name)
            if name.startswith("minisvdd/kernels/"):
                files[name] = _heads(content.decode()).encode()
    files["minisvdd/answers"] = packed(answers)
    return *wheel_of(files, f"{__version__}+students"), hidden


def solution_lines(language: str) -> set[str]:
    """The lines of all model solutions that tell something: not those of a skeleton, imports, or short ones."""
    lines = set()
    for assignment in map(get_assignment, NAMES):
        if assignment.language == language:
            lines |= _told_by(assignment)
    return lines


def _told_by(assignment: Assignment):
    given = {line.strip() for level in LEVELS for line in skeleton(assignment, level).splitlines()}
    longest = LONGEST[Path(assignment.filename).suffix]
    lines = {line.strip() for line in skeleton(assignment, solution=True).splitlines()} - given
    return {line for line in lines if len(line) > longest and not line.startswith(("#", "//", "import ", "from "))}


def _files_of_solutions():
    """The files, as a wheel names them, that are closed whatever their lines say."""
    found = {name for name in package_files() if name.startswith("minisvdd/course/tasks/") and "__init__" not in name}
    for assignment in map(get_assignment, NAMES):
        for source in assignment.functions:
            module = source.op.__module__
            found.add(_file(module))
            if hasattr(sys.modules[module], "__path__"):  # a folder: its other readings lie beside it
                found |= {name for name in package_files() if name.startswith(module.replace(".", "/") + "/")}
        for kernel in assignment.kernels if assignment.language == "cuda" else ():
            lent = cuda_source.lender(assignment, kernel)
            if lent:
                path = lent.path
                found |= {f"minisvdd/kernels/{path.name}", f"minisvdd/kernels/{path.with_suffix('.h').name}"}
    return found


def _file(module):
    folder = hasattr(sys.modules[module], "__path__")
    return module.replace(".", "/") + ("/__init__.py" if folder else ".py")


def _module(name):
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _heads(text):
    """A kernel file without what its kernels do: a program that wanted to run them stops at the first line."""
    heads = "\n".join(f"{head[0].rstrip()}\n}}" for head in _KERNEL.finditer(text))
    return f"#error these kernels are not in the package for students\n{heads}\n"
