"""Help with tests of the CUDA backend and of the emulator."""

import shutil
from types import SimpleNamespace

import numpy as np

from minisvdd.backends import building
from minisvdd.backends.cuda import CudaBackend
from minisvdd.backends.kernel import check_geometry


class HostArrays(CudaBackend):
    """CUDA kernels on NumPy arrays: each launch copies its arrays to the device and back.

    So the tests of an operation, which compute with NumPy on what it returns, hold for the GPU as they stand.
    """

    def asarray(self, array, dtype=None):
        return np.asarray(array, dtype=dtype)

    def to_numpy(self, array):
        return np.asarray(array)

    def dense(self, array):
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)

    def empty(self, shape, dtype):
        return np.empty(shape, dtype)

    def zeros(self, shape, dtype):
        return np.zeros(shape, dtype)

    def run(self, kernel, args, grid, block, shared=0):
        values = kernel.check(args, np.ndarray)
        with self.cupy.cuda.using_allocator(None):  # no pool: compute-sanitizer then sees where each array ends
            on_device = [self.cupy.asarray(v) if isinstance(v, np.ndarray) else v for v in values]
        self._start(kernel, on_device, *check_geometry(kernel.name, grid, block, shared), shared)
        for host, device in zip(values, on_device):
            if isinstance(host, np.ndarray):
                host[...] = self.cupy.asnumpy(device)


def recording_backend():
    """A backend of NumPy arrays that launches nothing, and the list of how it was asked to: rung, grid, threads ..."""
    launches = []
    arrays = {"dense": np.asarray, "asarray": np.asarray, "empty": np.empty, "zeros": np.zeros}
    return SimpleNamespace(**arrays, launch=lambda *_, **how: launches.append(how)), launches


def cache_without_kernels(folder, monkeypatch):
    """A new cache of the emulator's in that folder, with its runtime only: that takes seconds to build."""
    runtime = building.runtime()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    building.cache_folder().mkdir(parents=True)
    shutil.copy(runtime, building.cache_folder())
