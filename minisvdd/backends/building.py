"""Kernel files built as C++ by the system's compiler, each library kept in the user's cache folder from then on.

A library's name tells all that went into it: sources, headers, flags, compiler and sizes. Several processes may build
at once; what one that was killed leaves is removed later.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from ..errors import one_line
from ..places import cache_folder as users_cache
from .kernel import TEMPLATE_TYPES, KernelError, kernel_folder, read_kernels

_FLAGS = [
    "-std=c++17",
    "-g1",
    "-gdwarf-4",
    "-fPIC",
    "-fno-strict-aliasing",
    "-fno-extern-tls-init",
    "-Wno-unknown-pragmas",
]
# Its longjmp between stacks is what fortified code takes for an attack. And nobody asks for its lines: with them, every
# library would be half a megabyte larger.
_RUNTIME_FLAGS = ["-O2", "-U_FORTIFY_SOURCE", "-g0"]
# Hidden symbols: shared arrays of template kernels would otherwise be one and the same in both libraries of a file.
_KERNEL_FLAGS = ["-fvisibility=hidden"]
_CHECKED_FLAGS = ["-O1", "-fno-tree-sra", "-fsanitize=thread", "-fsanitize=bounds,alignment"]
_FAST_FLAGS = ["-O2"]
_SCRATCH, _ABANDONED = ".build-", 3600  # seconds


def find_compiler() -> str | None:
    """The C++ compiler: $CXX, g++ or clang++."""
    return next(
        (found for name in (os.environ.get("CXX"), "g++", "clang++") if name and (found := shutil.which(name))), None
    )


def _compiler() -> str:
    """`find_compiler`; KernelError where there is none."""
    found = find_compiler()
    if found is None:
        raise KernelError(missing())
    return found


def missing() -> str | None:
    """What this machine lacks for the emulator, in one line; None when it can run."""
    if not hasattr(os, "fork"):
        return "the emulator needs Linux or macOS (on Windows: WSL)"
    if find_compiler() is None:
        return "the emulator needs a C++ compiler: install g++ or clang++, or name one in $CXX"
    return None


def build_all(checked: bool, report: Callable[[str], object] = lambda message: None) -> None:
    """Build the libraries of our own kernel files that are not in the cache folder yet, side by side.

    report: told before, if there is anything to build.
    """
    paths = [path for path in _kernel_files() if not _kept(_name(path, checked), ".so")]
    if paths:
        report("building kernels (once)...")
        runtime()  # before the others, which would all begin with it
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda path: build(path, checked), paths))


def _kernel_files() -> list[Path]:
    """Our files, without those that hold nothing but kernels specialised by sizes."""
    return [path for path in sorted(kernel_folder().glob("*.cu")) if _exports(path)]


def cache_folder() -> Path:
    """Where built libraries are kept: minisvdd/emulator in the user's cache folder."""
    return users_cache() / "emulator"


def _headers() -> list[Path]:
    """The emulator's own: the kernels' side, the runtime, and what they include."""
    first = [kernel_folder() / "cuda_on_cpu.h", kernel_folder() / "cuda_on_cpu_runtime.h"]
    return first + [path for path in sorted(kernel_folder().glob("cuda_on_cpu*.h")) if path not in first]


def _digest(*parts: str) -> str:
    texts = [_compiler(), *_FLAGS, *_RUNTIME_FLAGS, *(h.read_text(encoding="utf-8") for h in _headers()), *parts]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _name(path: Path, checked: bool, instance: str = "") -> str:
    """The name of a kernel file's library tells sources, flags, compiler and, for a library of one, the instance."""
    headers = {header for folder in (path.parent, kernel_folder()) for header in folder.glob("*.h")}
    files = (path, *sorted(headers))  # it may include any of them
    texts = [file.read_text(encoding="utf-8") for file in files]
    return f"{path.stem}-{_digest(*texts, *_kernel_flags(checked), instance)}"


def _kernel_flags(checked: bool) -> list[str]:
    return [*_KERNEL_FLAGS, *(_CHECKED_FLAGS if checked else _FAST_FLAGS)]


def build(path: Path, checked: bool = True, instance: str = "") -> Path:
    """Build the library of a kernel file, or of one instance with its sizes, unless it is there."""
    exports, flags = _exports(path, instance), _kernel_flags(checked)
    return _make(_name(path, checked, instance), ".so", lambda scratch: _compile(path, exports, flags, scratch))


def symbol(name: str, scalar: DTypeLike | None) -> str:
    """What a library calls a kernel, and of a template its instance for that type of numbers."""
    return f"entry_{name}" + (f"_{TEMPLATE_TYPES[np.dtype(scalar)]}" if scalar is not None else "")


def _exports(path: Path, instance: str = "") -> dict[str, str]:
    """The C++ names of what a library offers, by the symbol that Python looks for."""
    if instance:
        return {symbol(instance.partition("<")[0], None): instance}
    kernels = read_kernels(path).values()
    return {symbol(kernel.name, s): kernel.instance(s) for kernel in kernels for s in kernel.scalar_types}


def runtime() -> Path:
    """The emulator's own code, which all libraries share."""
    return _make(f"runtime-{_digest()}", ".o", _compile_runtime)


def _kept(name: str, suffix: str) -> Path | None:
    """The file of that name in the cache; its name ends with the hash of its bytes.

    One that a failing disk or a crash of the machine has cut short is removed: to load it would be a bus error.
    """
    for path in sorted(cache_folder().glob(f"{name}-*{suffix}")):
        if path.stem == f"{name}-{_hash_of(path)}":
            return path
        with suppress(OSError):
            path.unlink()
    return None


def _make(name: str, suffix: str, make: Callable[[Path], Path]) -> Path:
    """`_kept`, built first where there is none; at once, since another process may build too."""
    kept, folder = _kept(name, suffix), cache_folder()
    if kept is not None:
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
        built = make(Path(scratch))
        with built.open("rb") as file:
            os.fsync(file.fileno())  # the name must not reach the disk before the bytes
        return built.replace(folder / f"{name}-{_hash_of(built)}{suffix}")


def _hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _remove_abandoned(folder: Path) -> None:
    """Scratch folders of builds that were killed: no build takes an hour."""
    for scratch in folder.glob(f"{_SCRATCH}*"):
        with suppress(OSError):
            if time.time() - scratch.stat().st_mtime > _ABANDONED:
                shutil.rmtree(scratch, ignore_errors=True)


def _compile_runtime(scratch: Path) -> Path:
    source, target = _headers()[1], scratch / "runtime.o"
    _run_compiler([*_FLAGS, *_RUNTIME_FLAGS, "-x", "c++", "-c", str(source), "-o", str(target)], source)
    return target


def _compile(path: Path, exports: dict[str, str], flags: list[str], scratch: Path) -> Path:
    unit, kernels, library = (scratch / n for n in ("unit.cpp", "kernels.o", "kernels.so"))
    lines = [f'#include "{_headers()[0]}"', f'#include "{path.resolve()}"']
    lines += [f"EMULATOR_EXPORT({entry}, {name})" for entry, name in exports.items()]
    unit.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _run_compiler([*_FLAGS, *flags, f"-I{kernel_folder()}", "-c", str(unit), "-o", str(kernels)], path)
    _run_compiler(["-shared", "-o", str(library), str(kernels), str(runtime())], path)
    return library


def first_error(said: str) -> str | None:
    """The first line of a compiler's words that tells an error: file, line, column, what is wrong."""
    found = re.search(r"[^\n/]+:\d+:\d+: (?:fatal )?error: [^\n]+", said)
    return found[0] if found else None


def _run_compiler(arguments: list[str], path: Path) -> None:
    compiler, written = _compiler(), Path(arguments[arguments.index("-o") + 1])
    try:
        result = subprocess.run([compiler, *arguments], capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise KernelError(f"{path.name}: the compiler {compiler} cannot be run: {one_line(error)}") from error
    if result.returncode:
        said = first_error(result.stderr) or " ".join(result.stderr.split()) or f"exit status {result.returncode}"
        raise KernelError(f"{path.name} does not compile: {said:.300}")
    if not written.is_file() or not written.stat().st_size:
        raise KernelError(f"{path.name}: the compiler {compiler} reported no error, but wrote no {written.name}")
