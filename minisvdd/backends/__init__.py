"""Where arrays live and how a kernel starts. Knows no operation: those are in `minisvdd.ops`."""

from .cuda import CudaBackend
from .emulator import EmulatorBackend
from .host import NUMPY, NumpyBackend
from .kernel import KernelError

__all__ = ["NUMPY", "KernelError", "NumpyBackend", "available_backends", "get_backend"]

# Those that run every operation. `_IN_PROGRESS` have kernels for some; they start when asked for by name.
_BACKENDS = {"numpy": NUMPY}
_IN_PROGRESS = {"emulator": EmulatorBackend, "cuda": CudaBackend}


def available_backends() -> list[str]:
    """The backends on this machine that run every operation."""
    return list(_BACKENDS)


def get_backend(backend) -> NumpyBackend:
    """Return the backend of that name; a backend object passes through unchanged.

    Raises ValueError for a name that this installation does not know, KernelError when a GPU or compiler is missing.
    """
    if isinstance(backend, NumpyBackend):
        return backend
    if backend in _IN_PROGRESS:
        return _IN_PROGRESS[backend]()
    if backend not in _BACKENDS:
        raise ValueError(f"backend={backend!r} is not available; expected one of {available_backends()}")
    return _BACKENDS[backend]
