"""The CUDA backend: the same kernels on an NVIDIA GPU, through CuPy. Untested so far: no GPU has run it yet."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from .host import NumpyBackend
from .kernel import TEMPLATE_TYPES, KernelError, check_geometry, find_kernel, read_kernels

_EXTRA = 'pip install "minisvdd[cuda12]"'


class CudaBackend(NumpyBackend):
    """Arrays are `cupy.ndarray`; KernelError says what is missing when there is no CuPy or no GPU."""

    name = "cuda"
    runs_numpy = False

    def __init__(self):
        if importlib.util.find_spec("cupy") is None:
            raise KernelError(f"backend 'cuda' needs CuPy, which is not installed: {_EXTRA}")
        import cupy  # only now: a library without a GPU must not pay for it

        if not cupy.is_available():
            raise KernelError(f"backend 'cuda' finds no NVIDIA GPU or driver (CuPy is installed; extra: {_EXTRA})")
        self.cupy = cupy

    def asarray(self, array, dtype=None):
        return self.cupy.asarray(array, dtype=dtype)

    def to_numpy(self, array) -> np.ndarray:
        return self.cupy.asnumpy(array)

    def dense(self, array):
        """The array, copied if it is not contiguous."""
        return self.cupy.ascontiguousarray(array)

    def empty(self, shape, dtype):
        """An array for a kernel to fill."""
        return self.cupy.empty(shape, dtype)

    def launch(self, operation: str, args, grid=None, block=(256,), threads=None, shared=0, rung=None) -> None:
        """Start the kernel of an operation, exactly as `EmulatorBackend.launch` does."""
        kernel = find_kernel(operation, rung)
        values = kernel.check(args, self.cupy.ndarray)
        if grid is None:
            grid = (-(-threads // int(np.prod(block))),)
        grid, block = check_geometry(kernel.name, grid, block, shared)
        function = _module(kernel.path).get_function(kernel.instance(kernel.scalar_type(values)))
        function(grid, block, tuple(values), shared_mem=shared)

    def __repr__(self) -> str:
        return "CudaBackend()"


@cache
def _module(path: Path):
    """Compiled once per process; CuPy keeps the result on disk."""
    import cupy

    instances = [
        kernel.instance(scalar)
        for kernel in read_kernels(path).values()
        for scalar in (TEMPLATE_TYPES if kernel.is_template else [np.float32])
    ]
    return cupy.RawModule(code=path.read_text(), options=("-std=c++17", f"-I{path.parent}"), name_expressions=instances)
