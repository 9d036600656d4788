"""The emulator backend: our CUDA kernels on the CPU, built by the system's C++ compiler and checked while they run.

Arrays are NumPy arrays. `kernels/cuda_on_cpu.h` says how a kernel file becomes ordinary C++. Every file is built in two
ways: with the compiler's reports of each load and store, for the checker and the counters, and without, for speed.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .device import KernelBackend
from .kernel import TEMPLATE_TYPES, Kernel, KernelError, kernel_folder, read_kernels
from .types import Shape

_FLAGS = [
    "-std=c++17",
    "-g1",
    "-gdwarf-4",
    "-fPIC",
    "-fno-strict-aliasing",
    "-fno-extern-tls-init",
    "-Wno-unknown-pragmas",
]
_RUNTIME_FLAGS = ["-O2", "-U_FORTIFY_SOURCE"]  # its longjmp between stacks is what fortified code takes for an attack
# Hidden symbols: shared arrays of template kernels would otherwise be one and the same in both libraries of a file.
_KERNEL_FLAGS = ["-fvisibility=hidden"]
_CHECKED_FLAGS = ["-O1", "-fno-tree-sra", "-fsanitize=thread", "-fsanitize=bounds"]
_FAST_FLAGS = ["-O2"]


@dataclass(frozen=True)
class LaunchCounts:
    """What one launch did.

    requests: instructions of a warp that touch global memory; transactions: the 32-byte sectors which they need.
    worst_bank_conflict: 1 is none. barriers: threads that came to one.
    """

    global_loads: int
    global_stores: int
    shared_loads: int
    shared_stores: int
    requests: int
    transactions: int
    worst_bank_conflict: int
    barriers: int


class _Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in LaunchCounts.__annotations__]


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


class EmulatorBackend(KernelBackend):
    """Runs the kernels of `kernels/` on NumPy arrays.

    check: watch every load and store, and raise KernelError for what is wrong with them; False is many times faster.
    count: check, and fill `last_counts` as well.
    seed: 0 runs the threads of a block in order; another number shuffles them and starts at a random block.
    """

    name = "emulator"
    array_type = np.ndarray

    def __init__(self, check: bool = True, count: bool = False, seed: int = 0) -> None:
        if problem := missing():
            raise KernelError(problem)
        self.check, self.count, self.seed = check, count, seed
        self.last_counts: LaunchCounts | None = None
        self._recording: EmulatorGraph | None = None

    def asarray(self, array: Any, dtype: DTypeLike | None = None) -> np.ndarray:
        return np.asarray(array, dtype=dtype)

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        self._refuse_in_capture("copying an array to the host")
        return np.asarray(array)

    def write(self, array: np.ndarray, values: Any) -> None:
        self._refuse_in_capture("copying an array from the host")
        array[...] = values

    def dense(self, array: np.ndarray) -> np.ndarray:
        """The array, copied if it is not contiguous: kernels index plain memory."""
        if array.flags.c_contiguous:
            return array
        self._refuse_in_capture("copying an array without a kernel")
        return np.ascontiguousarray(array)

    def empty(self, shape: int | Shape, dtype: DTypeLike) -> np.ndarray:
        """An array for a kernel to fill; NaN (or -1) until it does, so that a forgotten entry shows."""
        dtype = np.dtype(dtype)
        return np.full(shape, {"f": np.nan, "i": -1}.get(dtype.kind, 0), dtype)

    def prepare(self, report: Callable[[str], object] = lambda message: None) -> None:
        """Build what is not in the cache folder yet."""
        paths, checked = _kernel_files(), self.check or self.count
        if not all(_target(path, checked).exists() for path in paths):
            report("building kernels (once)...")
        _build_all(paths, checked)

    def stream(self) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def capture(self) -> Iterator["EmulatorGraph"]:
        if self._recording is not None:
            raise KernelError("a capture inside a capture")
        graph = self._recording = EmulatorGraph()
        try:
            yield graph
        finally:
            self._recording = None

    def _refuse_in_capture(self, what: str) -> None:
        if self._recording is not None:
            raise KernelError(f"{what} cannot be captured: a graph holds kernel launches only")

    def _start(self, kernel: Kernel, values: list[Any], grid: Shape, block: Shape, shared: int) -> None:
        launch = _Launch(self, kernel, values, grid, block, shared)
        if self._recording is not None:
            self._recording.launches.append(launch)
        else:
            launch()


class EmulatorGraph:
    """Recorded launches; they hold the arrays that they work with."""

    def __init__(self) -> None:
        self.launches: list[_Launch] = []

    def launch(self) -> None:
        """Run all launches in the order of the capture."""
        for launch in self.launches:
            launch()


class _Launch:
    """A launch with everything that C needs laid out, so that it can run again and again."""

    def __init__(
        self, backend: EmulatorBackend, kernel: Kernel, values: list[Any], grid: Shape, block: Shape, shared: int
    ) -> None:
        self.backend, self.kernel, self.values = backend, kernel, values  # `values` keeps the arrays alive
        self.count = backend.count
        checked = backend.check or backend.count
        self.library = _load(kernel.path, checked)
        symbol = getattr(self.library, _symbol(kernel.name, kernel.scalar_type(values)))
        arrays = [v for v in values if isinstance(v, np.ndarray)] if checked else []
        boxes = [np.array(v.ctypes.data if isinstance(v, np.ndarray) else v) for v in values]
        self._boxes = boxes
        self._arguments = (
            symbol,
            (ctypes.c_void_p * len(boxes))(*[b.ctypes.data for b in boxes]),
            (ctypes.c_uint * 6)(*grid, *block),
            shared,
            (ctypes.c_void_p * len(arrays))(*[a.ctypes.data for a in arrays]),
            (ctypes.c_uint64 * len(arrays))(*[a.nbytes for a in arrays]),
            (ctypes.c_uint64 * len(arrays))(*[a.itemsize for a in arrays]),
            len(arrays),
            ctypes.c_uint64(backend.seed),
            int(checked),
            int(backend.count),
        )

    def __call__(self) -> None:
        if self.library.emulator_launch(*self._arguments):
            message = self.library.emulator_message().decode()
            raise KernelError(f"{self.kernel.name} ({_place(self.library, self.kernel)}): {message}")
        if self.count:
            counts = self.library.emulator_counts().contents
            self.backend.last_counts = LaunchCounts(*(getattr(counts, name) for name in LaunchCounts.__annotations__))


def _symbol(name: str, scalar: DTypeLike | None) -> str:
    return f"entry_{name}" + (f"_{TEMPLATE_TYPES[np.dtype(scalar)]}" if scalar is not None else "")


def _place(library: ctypes.CDLL, kernel: Kernel) -> str:
    """file:line of the failure: reported by the runtime, or looked up from the address of the instruction."""
    line, offset = library.emulator_line(), library.emulator_code_offset()
    if line or not offset or not shutil.which("addr2line"):
        return f"{kernel.path.name}:{line or '?'}"
    command = ["addr2line", "-i", "-e", library._name, hex(offset)]
    for found in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
        if "cuda_on_cpu" not in found:
            return Path(found.split(" ")[0]).name
    return kernel.path.name


# Building


@cache
def _load(path: Path, checked: bool) -> ctypes.CDLL:
    if path.parent == kernel_folder():  # the first of our own kernels: build all of them, side by side
        _build_all(_kernel_files(), checked)
    if read_kernels.__wrapped__(path) != read_kernels(path):
        raise KernelError(f"{path.name} has changed since this process read it: start again")
    library = ctypes.CDLL(str(_build(path, checked)))
    library.emulator_message.restype = ctypes.c_char_p
    library.emulator_code_offset.restype = ctypes.c_uint64
    library.emulator_counts.restype = ctypes.POINTER(_Counts)
    return library


def _kernel_files() -> list[Path]:
    return sorted(kernel_folder().glob("*.cu"))


def _build_all(paths: list[Path], checked: bool) -> None:
    missing_ones = [path for path in paths if not _target(path, checked).exists()]
    if missing_ones:
        _runtime()  # before the others, which would all begin with it
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda path: _build(path, checked), missing_ones))


def cache_folder() -> Path:
    """Where built libraries are kept: minisvdd/emulator in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "minisvdd" / "emulator"


def _headers() -> list[Path]:
    return [kernel_folder() / "cuda_on_cpu.h", kernel_folder() / "cuda_on_cpu_runtime.h"]


def _digest(*parts: str) -> str:
    texts = [_compiler(), *_FLAGS, *_RUNTIME_FLAGS, *(h.read_text(encoding="utf-8") for h in _headers()), *parts]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _target(path: Path, checked: bool) -> Path:
    """The library of a kernel file: its name tells sources, flags and compiler."""
    texts = [
        file.read_text(encoding="utf-8") for file in (path, *sorted(path.parent.glob("*.h")))
    ]  # it may include any of them
    return cache_folder() / f"{path.stem}-{_digest(*texts, *_kernel_flags(checked))}.so"


def _kernel_flags(checked: bool) -> list[str]:
    return [*_KERNEL_FLAGS, *(_CHECKED_FLAGS if checked else _FAST_FLAGS)]


def _build(path: Path, checked: bool = True) -> Path:
    """Build the library of a kernel file, unless it is there."""
    return _make(_target(path, checked), lambda scratch: _compile(path, _kernel_flags(checked), scratch))


def _runtime() -> Path:
    """The emulator's own code, which all libraries share."""
    return _make(cache_folder() / f"runtime-{_digest()}.o", _compile_runtime)


def _make(target: Path, build: Callable[[Path], Path]) -> Path:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            build(Path(scratch)).replace(target)  # at once: another process may build too
    return target


def _compile_runtime(scratch: Path) -> Path:
    source, target = _headers()[1], scratch / "runtime.o"
    _run_compiler([*_FLAGS, *_RUNTIME_FLAGS, "-x", "c++", "-c", str(source), "-o", str(target)], source)
    return target


def _compile(path: Path, flags: list[str], scratch: Path) -> Path:
    unit, kernels, library = (scratch / n for n in ("unit.cpp", "kernels.o", "kernels.so"))
    lines = [f'#include "{_headers()[0]}"', f'#include "{path.resolve()}"']
    for kernel in read_kernels(path).values():
        for scalar in kernel.scalar_types:
            lines.append(f"EMULATOR_EXPORT({_symbol(kernel.name, scalar)}, {kernel.instance(scalar)})")
    unit.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _run_compiler([*_FLAGS, *flags, "-c", str(unit), "-o", str(kernels)], path)
    _run_compiler(["-shared", "-o", str(library), str(kernels), str(_runtime())], path)
    return library


def _run_compiler(arguments: list[str], path: Path) -> None:
    result = subprocess.run([_compiler(), *arguments], capture_output=True, text=True)
    if result.returncode:
        errors = re.findall(r"[^\n/]+:\d+:\d+: (?:fatal )?error: [^\n]+", result.stderr)
        raise KernelError(f"{path.name} does not compile: {errors[0] if errors else result.stderr.strip()}")
