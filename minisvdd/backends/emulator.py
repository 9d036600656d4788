"""The emulator backend: our CUDA kernels on the CPU, built by the system's C++ compiler and checked while they run.

Arrays are NumPy arrays. `kernels/cuda_on_cpu.h` says how a kernel file becomes ordinary C++. Every file is built in two
ways: with the compiler's reports of each load and store, for the checker and the counters, and without, for speed.
A kernel that is specialised by sizes becomes a library of its own when it is first launched.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..errors import one_line
from ..places import cache_folder as users_cache
from .device import KernelBackend
from .kernel import TEMPLATE_TYPES, Kernel, KernelError, is_aligned, kernel_folder, read_kernels
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
# Its longjmp between stacks is what fortified code takes for an attack. And nobody asks for its lines: with them, every
# library would be half a megabyte larger.
_RUNTIME_FLAGS = ["-O2", "-U_FORTIFY_SOURCE", "-g0"]
# Hidden symbols: shared arrays of template kernels would otherwise be one and the same in both libraries of a file.
_KERNEL_FLAGS = ["-fvisibility=hidden"]
_CHECKED_FLAGS = ["-O1", "-fno-tree-sra", "-fsanitize=thread", "-fsanitize=bounds,alignment"]
_FAST_FLAGS = ["-O2"]
_SCRATCH, _ABANDONED = ".build-", 3600  # seconds


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
    precision: of products, "float32" or "tf32": see `KernelBackend`.
    """

    name = "emulator"
    array_type = np.ndarray

    def __init__(self, check: bool = True, count: bool = False, seed: int = 0, precision: str = "float32") -> None:
        super().__init__(precision)
        if problem := missing():
            raise KernelError(problem)
        self.check, self.count, self.seed = check, count, seed
        self.last_counts: LaunchCounts | None = None

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

    def packed(self, array: np.ndarray) -> np.ndarray:
        """The array, copied if a kernel may not read it 16 bytes at a time."""
        if is_aligned(array):
            return self.dense(array)
        self._refuse_in_capture("copying an array without a kernel")
        return np.array(array)

    def _empty(self, shape: int | Shape, dtype: DTypeLike) -> np.ndarray:
        """NaN (or -1) until it does, so that a forgotten entry shows."""
        dtype = np.dtype(dtype)
        return np.full(shape, {"f": np.nan, "i": -1}.get(dtype.kind, 0), dtype)

    def prepare(self, report: Callable[[str], object] = lambda message: None) -> None:
        """Build what is not in the cache folder yet."""
        paths, checked = _kernel_files(), self.check or self.count
        if not all(_kept(_name(path, checked), ".so") for path in paths):
            report("building kernels (once)...")
        _build_all(paths, checked)

    @contextmanager
    def capture(self) -> Iterator["EmulatorGraph"]:
        if self._recording is not None:
            raise KernelError("a capture inside a capture")
        graph = EmulatorGraph()
        before = _capture.set((self, graph))
        try:
            yield graph
        finally:
            _capture.reset(before)

    @property
    def _recording(self) -> "EmulatorGraph | None":
        """What this thread captures on this backend; other threads' launches run meanwhile."""
        backend, graph = _capture.get()
        return graph if backend is self else None

    def _refuse_in_capture(self, what: str) -> None:
        if self._recording is not None:
            raise KernelError(f"{what} cannot be captured: a graph holds kernel launches only")

    def _start(self, kernel: Kernel, values: list[Any], grid: Shape, block: Shape, shared: int) -> None:
        launch, graph = _Launch(self, kernel, values, grid, block, shared), self._recording
        if graph is not None:
            graph.launches.append(launch)
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


_capture: ContextVar[tuple[EmulatorBackend | None, EmulatorGraph | None]] = ContextVar(
    "minisvdd_capture", default=(None, None)
)
# The emulated device, of which there is one: its state is plain C, and ctypes gives up Python's lock.
_device, _builder = threading.Lock(), threading.Lock()
if hasattr(os, "register_at_fork"):  # a child must not be born in the middle of a launch of another thread
    os.register_at_fork(before=_device.acquire, after_in_parent=_device.release, after_in_child=_device.release)


class _Launch:
    """A launch with everything that C needs laid out, so that it can run again and again."""

    def __init__(
        self, backend: EmulatorBackend, kernel: Kernel, values: list[Any], grid: Shape, block: Shape, shared: int
    ) -> None:
        self.backend, self.kernel, self.values = backend, kernel, values  # `values` keeps the arrays alive
        self.count = backend.count
        checked = backend.check or backend.count
        self.library = _load(kernel.path, checked, kernel.instance() if kernel.sizes else "")
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
        with _device:
            if self.library.emulator_launch(*self._arguments):
                message = self.library.emulator_message().decode()
                raise KernelError(f"{self.kernel.name} ({_place(self.library, self.kernel)}): {message}")
            if self.count:
                counts = self.library.emulator_counts().contents
                names = LaunchCounts.__annotations__
                self.backend.last_counts = LaunchCounts(*(getattr(counts, name) for name in names))


def _symbol(name: str, scalar: DTypeLike | None) -> str:
    return f"entry_{name}" + (f"_{TEMPLATE_TYPES[np.dtype(scalar)]}" if scalar is not None else "")


def _place(library: ctypes.CDLL, kernel: Kernel) -> str:
    """file:line of the failure: reported by the runtime, or looked up from the address of the instruction."""
    file, offset = library.emulator_file(), library.emulator_code_offset()
    if file is not None:
        return f"{Path(file.decode()).name}:{library.emulator_line()}"
    return (offset and look_up(library._name, offset)) or f"{kernel.path.name}:?"


def look_up(library: str, offset: int) -> str | None:
    """file:line of an instruction of a built library; None where that cannot be told."""
    if not shutil.which("addr2line"):
        return None
    command = ["addr2line", "-i", "-e", library, hex(offset)]
    for found in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
        name = Path(found).name  # what stands before it may hold anything, spaces too
        if not name.startswith("cuda_on_cpu"):
            return name.partition(" (discriminator")[0]
    return None


# Building


def _load(path: Path, checked: bool, instance: str = "") -> ctypes.CDLL:
    with _builder:  # several threads that need it first build it once
        return _loaded(path, checked, instance)


@cache
def _loaded(path: Path, checked: bool, instance: str) -> ctypes.CDLL:
    if path.parent == kernel_folder():  # the first of our own kernels: build all of them, side by side
        _build_all(_kernel_files(), checked)
    if read_kernels.__wrapped__(path) != read_kernels(path):
        raise KernelError(f"{path.name} has changed since this process read it: start again")
    built = _build(path, checked, instance) if instance else _build(path, checked)
    try:
        library = ctypes.CDLL(str(built))
    except OSError as error:
        raise KernelError(f"{built}: cannot be loaded: {one_line(error)}") from error
    library.emulator_message.restype = library.emulator_file.restype = ctypes.c_char_p
    library.emulator_code_offset.restype = ctypes.c_uint64
    library.emulator_counts.restype = ctypes.POINTER(_Counts)
    return library


def _kernel_files() -> list[Path]:
    """Our files, without those that hold nothing but kernels specialised by sizes."""
    return [path for path in sorted(kernel_folder().glob("*.cu")) if _exports(path)]


def _build_all(paths: list[Path], checked: bool) -> None:
    missing_ones = [path for path in paths if not _kept(_name(path, checked), ".so")]
    if missing_ones:
        runtime()  # before the others, which would all begin with it
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda path: _build(path, checked), missing_ones))


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


def _build(path: Path, checked: bool = True, instance: str = "") -> Path:
    """Build the library of a kernel file, or of one instance with its sizes, unless it is there."""
    exports, flags = _exports(path, instance), _kernel_flags(checked)
    return _make(_name(path, checked, instance), ".so", lambda scratch: _compile(path, exports, flags, scratch))


def _exports(path: Path, instance: str = "") -> dict[str, str]:
    """The C++ names of what a library offers, by the symbol that Python looks for."""
    if instance:
        return {_symbol(instance.partition("<")[0], None): instance}
    kernels = read_kernels(path).values()
    return {_symbol(kernel.name, s): kernel.instance(s) for kernel in kernels for s in kernel.scalar_types}


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


def _make(name: str, suffix: str, build: Callable[[Path], Path]) -> Path:
    """`_kept`, built first where there is none; at once, since another process may build too."""
    kept, folder = _kept(name, suffix), cache_folder()
    if kept is not None:
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
        built = build(Path(scratch))
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
    lines += [f"EMULATOR_EXPORT({symbol}, {name})" for symbol, name in exports.items()]
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
