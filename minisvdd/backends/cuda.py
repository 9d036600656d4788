"""The CUDA backend: the same kernels on an NVIDIA GPU, through CuPy."""

import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..errors import one_line
from .device import KernelBackend
from .kernel import Kernel, KernelError, kernel_folder, read_kernels
from .types import DeviceArray, Shape

_EXTRA = 'pip install "minisvdd[cuda12]" (CUDA 12) or "minisvdd[cuda13]" (CUDA 13)'
# Headers lie beside the kernels.
COMPILE_OPTIONS = ("-std=c++17", f"-I{kernel_folder()}")


def missing() -> str | None:
    """What this machine lacks for the CUDA backend, in one line; None when it can run."""
    if importlib.util.find_spec("cupy") is None:
        return f"backend 'cuda' needs CuPy, which is not installed: {_EXTRA}"
    import cupy  # only now: a library without a GPU must not pay for it

    if not cupy.is_available():
        return f"backend 'cuda' finds no NVIDIA GPU or driver (CuPy is installed; it comes with {_EXTRA})"
    return None


class CudaBackend(KernelBackend):
    """Arrays are `cupy.ndarray`; KernelError says what is missing when there is no CuPy or no GPU.

    precision: of products, "float32" or "tf32": see `KernelBackend`.
    """

    name = "cuda"

    def __init__(self, precision: str = "float32") -> None:
        super().__init__(precision)
        if problem := missing():
            raise KernelError(problem)
        import cupy

        self.cupy, self.array_type = cupy, cupy.ndarray
        self.has_tf32 = int(cupy.cuda.Device().compute_capability) >= 80  # Ampere and later

    def __reduce__(self) -> tuple[Any, ...]:
        return CudaBackend, (self.precision,)  # a place: CuPy is found again where the pickle is read

    def asarray(self, array: Any, dtype: DTypeLike | None = None) -> DeviceArray:
        return self.cupy.asarray(array, dtype=dtype)

    def to_numpy(self, array: DeviceArray) -> np.ndarray:
        host: np.ndarray = self.cupy.asnumpy(array)
        return host

    def dense(self, array: DeviceArray) -> DeviceArray:
        """The array, copied if it is not contiguous."""
        return array if array.flags.c_contiguous else self.cupy.ascontiguousarray(array)

    def _empty(self, shape: int | Shape, dtype: DTypeLike) -> DeviceArray:
        return self.cupy.empty(shape, dtype)

    def zeros(self, shape: int | Shape, dtype: DTypeLike) -> DeviceArray:
        return self.cupy.zeros(shape, dtype)  # on the device: a copy from the host could not be captured

    def _start(self, kernel: Kernel, values: list[Any], grid: Shape, block: Shape, shared: int) -> None:
        function = _function(kernel.path, kernel.instance(kernel.scalar_type(values)))
        function(grid, block, tuple(values), shared_mem=shared)

    def prepare(self, report: Callable[[str], object] = lambda message: None) -> None:
        """Compile what CuPy does not find in its cache on disk, several files at a time."""
        report("loading CUDA kernels (the first time compiles them)...")
        with ThreadPoolExecutor() as pool:
            list(pool.map(_load, sorted(kernel_folder().glob("*.cu"))))

    def stream(self) -> Any:
        return self.cupy.cuda.Stream(non_blocking=True)

    @contextmanager
    def capture(self) -> Iterator["CudaGraph"]:
        stream = self.cupy.cuda.get_current_stream()
        # A graph keeps no array alive: its arrays come from a pool of its own, which lives as long as the graph.
        graph = CudaGraph(stream, self.cupy.cuda.MemoryPool())
        self._make_room()
        with self.cupy.cuda.using_allocator(graph.pool.malloc):
            stream.begin_capture()
            try:
                yield graph
            finally:
                graph.graph = stream.end_capture()

    def _make_room(self) -> None:
        """Give back what CuPy's own pool has kept of earlier runs, where it is more than the device has left.

        A capture needs as much once more, and its pool cannot take it from the other.
        """
        pool = self.cupy.get_default_memory_pool()
        free, _ = self.cupy.cuda.runtime.memGetInfo()
        if pool.free_bytes() > free:
            pool.free_all_blocks()  # waits for the device

    def synchronize(self) -> None:
        self.cupy.cuda.get_current_stream().synchronize()


class CudaGraph:
    """A captured graph, the stream it runs on and the memory of the arrays that it works with."""

    def __init__(self, stream: Any, pool: Any) -> None:
        self.stream, self.pool = stream, pool
        self.graph: Any = None

    def launch(self) -> None:
        """Start all launches of the capture on its stream; does not wait for them."""
        self.graph.launch(self.stream)


def _load(path: Path) -> None:
    for instance in instances(path):
        _function(path, instance)


@cache
def _function(path: Path, instance: str) -> Any:
    """A kernel's instance. What is specialised by sizes is a module of its own, compiled when it is first wanted."""
    import cupy

    together = tuple(instances(path))
    try:
        return _module(path, together if instance in together else (instance,)).get_function(instance)
    except cupy.cuda.compiler.CompileException as error:
        raise KernelError(f"{path.name}: {instance} does not compile: {one_line(error)}") from error


@cache
def _module(path: Path, names: tuple[str, ...]) -> Any:
    """Compiled once per process; CuPy keeps the result on disk."""
    import cupy

    return cupy.RawModule(code=source(path), options=COMPILE_OPTIONS, name_expressions=names)


def source(path: Path) -> str:
    """What NVRTC compiles. The last line makes CuPy's cache, which knows this text only, see a changed header."""
    headers = "".join(header.read_text(encoding="utf-8") for header in sorted(path.parent.glob("*.h")))
    return f"{path.read_text(encoding='utf-8')}// headers: {hashlib.sha256(headers.encode()).hexdigest()}\n"


def instances(path: Path) -> list[str]:
    """The C++ names of all kernels of a file, templates for both scalar types; not those specialised by sizes."""
    return [kernel.instance(scalar) for kernel in read_kernels(path).values() for scalar in kernel.scalar_types]
