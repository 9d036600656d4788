"""The emulator backend: our CUDA kernels on the CPU, built by the system's C++ compiler and checked while they run.

Arrays are NumPy arrays. `kernels/cuda_on_cpu.h` says how a kernel file becomes ordinary C++.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from .host import NumpyBackend
from .kernel import (
    TEMPLATE_TYPES,
    Kernel,
    KernelError,
    check_geometry,
    find_kernel,
    kernel_folder,
    read_kernels,
)

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
_KERNEL_FLAGS = ["-O1", "-fsanitize=thread", "-fsanitize=bounds"]


@dataclass(frozen=True)
class LaunchCounts:
    """What one launch did. transactions: 32-byte sectors, summed over warps; worst_bank_conflict: 1 is none."""

    global_loads: int
    global_stores: int
    shared_loads: int
    shared_stores: int
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


class EmulatorBackend(NumpyBackend):
    """Runs the kernels of `kernels/` on NumPy arrays. `check` finds errors, `count` fills `last_counts` as well.

    seed: 0 runs the threads of a block in order; another number shuffles them and starts at a random block.
    """

    name = "emulator"
    runs_numpy = False

    def __init__(self, check: bool = True, count: bool = False, seed: int = 0):
        self.check, self.count, self.seed = check, count, seed
        self.last_counts: LaunchCounts | None = None

    def dense(self, array: np.ndarray) -> np.ndarray:
        """The array, copied if it is not contiguous: kernels index plain memory."""
        return np.ascontiguousarray(array)

    def empty(self, shape, dtype) -> np.ndarray:
        """An array for a kernel to fill; NaN (or -1) until it does, so that a forgotten entry shows."""
        dtype = np.dtype(dtype)
        return np.full(shape, np.nan if dtype.kind == "f" else dtype.type(0) - dtype.type(dtype.kind == "i"), dtype)

    def launch(self, operation: str, args, grid=None, block=(256,), threads=None, shared=0, rung=None) -> None:
        """Run the kernel of an operation; `threads` instead of `grid`: as many blocks as that many threads need."""
        if grid is None:
            grid = (-(-threads // int(np.prod(block))),)
        self.run(find_kernel(operation, rung), args, grid, block, shared)

    def run(self, kernel: Kernel, args, grid, block, shared=0) -> None:
        """Run one kernel; KernelError reports what the checker found, with source line, block and thread."""
        values = kernel.check(args, np.ndarray)
        grid, block = check_geometry(kernel.name, grid, block, shared)
        library = _load(kernel.path)
        symbol = getattr(library, _symbol(kernel.name, kernel.scalar_type(values)))
        arrays = [v for v in values if isinstance(v, np.ndarray)]
        boxes = [np.array([v.ctypes.data if isinstance(v, np.ndarray) else v]) for v in values]
        failed = library.emulator_launch(
            symbol,
            (ctypes.c_void_p * len(boxes))(*[b.ctypes.data for b in boxes]),
            (ctypes.c_uint * 6)(*grid, *block),
            shared,
            (ctypes.c_void_p * len(arrays))(*[a.ctypes.data for a in arrays]),
            (ctypes.c_uint64 * len(arrays))(*[a.nbytes for a in arrays]),
            (ctypes.c_uint64 * len(arrays))(*[a.itemsize for a in arrays]),
            len(arrays),
            ctypes.c_uint64(self.seed),
            int(self.check or self.count),
            int(self.count),
        )
        if failed:
            raise KernelError(f"{kernel.name} ({_place(library, kernel)}): {library.emulator_message().decode()}")
        counts = library.emulator_counts().contents
        self.last_counts = LaunchCounts(*(getattr(counts, name) for name, _ in _Counts._fields_))

    def __repr__(self) -> str:
        return "EmulatorBackend()"


def _symbol(name, scalar):
    return f"entry_{name}" + (f"_{TEMPLATE_TYPES[np.dtype(scalar)]}" if scalar is not None else "")


def _place(library, kernel):
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
def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(_build(path)))
    library.emulator_message.restype = ctypes.c_char_p
    library.emulator_code_offset.restype = ctypes.c_uint64
    library.emulator_counts.restype = ctypes.POINTER(_Counts)
    return library


def cache_folder() -> Path:
    """Where built libraries are kept: minisvdd/emulator in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "minisvdd" / "emulator"


def _build(path: Path) -> Path:
    """Build the library of a kernel file, unless one of the same sources, flags and compiler is there."""
    compiler = find_compiler()
    if compiler is None:
        raise KernelError("the emulator needs a C++ compiler: install g++ or clang++, or name one in $CXX")
    folder = kernel_folder()
    headers = [folder / "cuda_on_cpu.h", folder / "cuda_on_cpu_runtime.h"]
    included = sorted(path.parent.glob("*.h"))  # whichever of them the file includes
    parts = [compiler, *_FLAGS, *_RUNTIME_FLAGS, *_KERNEL_FLAGS, *(p.read_text() for p in [path, *headers, *included])]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    target = cache_folder() / f"{path.stem}-{digest}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            _compile(compiler, path, headers, Path(scratch)).replace(target)  # at once: another process may build too
    return target


def _compile(compiler, path, headers, scratch):
    unit, kernels, runtime, library = (scratch / n for n in ("unit.cpp", "kernels.o", "runtime.o", "kernels.so"))
    lines = [f'#include "{headers[0]}"', f'#include "{path.resolve()}"']
    for kernel in read_kernels(path).values():
        for scalar in TEMPLATE_TYPES if kernel.is_template else [None]:
            lines.append(f"EMULATOR_EXPORT({_symbol(kernel.name, scalar)}, {kernel.instance(scalar)})")
    unit.write_text("\n".join(lines) + "\n")
    _run_compiler([compiler, *_FLAGS, *_KERNEL_FLAGS, "-c", str(unit), "-o", str(kernels)], path)
    _run_compiler([compiler, *_FLAGS, *_RUNTIME_FLAGS, "-x", "c++", "-c", str(headers[1]), "-o", str(runtime)], path)
    _run_compiler([compiler, "-shared", "-o", str(library), str(kernels), str(runtime)], path)
    return library


def _run_compiler(command, path):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        errors = re.findall(r"[^\n/]+:\d+:\d+: (?:fatal )?error: [^\n]+", result.stderr)
        raise KernelError(f"{path.name} does not compile: {errors[0] if errors else result.stderr.strip()}")
