"""The emulator backend: our CUDA kernels on the CPU, built by the system's C++ compiler and checked while they run.

Arrays are NumPy arrays. `kernels/cuda_on_cpu.h` says how a kernel file becomes ordinary C++. Every file is built in two
ways (`building.py`): with the compiler's reports of each load and store, for the checker and the counters, and without,
for speed. A kernel that is specialised by sizes becomes a library of its own when it is first launched.
"""

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..errors import one_line
from . import building
from .device import KernelBackend
from .kernel import Kernel, KernelError, is_aligned, kernel_folder, read_kernels
from .types import Shape


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
        if problem := building.missing():
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
        building.build_all(self.check or self.count, report)

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
        symbol = getattr(self.library, building.symbol(kernel.name, kernel.scalar_type(values)))
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
                raise KernelError(f"{self.kernel.name} ({place(self.library, self.kernel)}): {message}")
            if self.count:
                counts = self.library.emulator_counts().contents
                names = LaunchCounts.__annotations__
                self.backend.last_counts = LaunchCounts(*(getattr(counts, name) for name in names))


def place(library: ctypes.CDLL, kernel: Kernel) -> str:
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


def _load(path: Path, checked: bool, instance: str = "") -> ctypes.CDLL:
    with _builder:  # several threads that need it first build it once
        return _loaded(path, checked, instance)


@cache
def _loaded(path: Path, checked: bool, instance: str) -> ctypes.CDLL:
    if path.parent == kernel_folder():  # the first of our own kernels: build all of them, side by side
        building.build_all(checked)
    if read_kernels.__wrapped__(path) != read_kernels(path):
        raise KernelError(f"{path.name} has changed since this process read it: start again")
    built = building.build(path, checked, instance)
    try:
        library = ctypes.CDLL(str(built))
    except OSError as error:
        raise KernelError(f"{built}: cannot be loaded: {one_line(error)}") from error
    library.emulator_message.restype = library.emulator_file.restype = ctypes.c_char_p
    library.emulator_code_offset.restype = ctypes.c_uint64
    library.emulator_counts.restype = ctypes.POINTER(_Counts)
    return library
