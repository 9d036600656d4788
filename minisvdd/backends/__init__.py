"""Where arrays live and how a kernel starts. Knows no operation: those are in `minisvdd.ops`.

The compiler, the emulator and CuPy are loaded only when a backend of kernels is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ..lazy import lazy_names
from .host import NUMPY, PLAIN, Backend, HostBackend

if TYPE_CHECKING:
    from .cuda import CudaBackend
    from .device import KernelBackend
    from .emulator import EmulatorBackend
    from .kernel import KernelError

__all__ = [
    "NUMPY",
    "PLAIN",
    "Backend",
    "CudaBackend",
    "EmulatorBackend",
    "HostBackend",
    "KernelBackend",
    "KernelError",
    "available_backends",
    "backend_problems",
    "get_backend",
]
NAMES = ("plain", "numpy", "emulator", "cuda")
__getattr__, __dir__, _LATER = lazy_names(
    __name__,
    {
        "CudaBackend": ".cuda",
        "EmulatorBackend": ".emulator",
        "KernelBackend": ".device",
        "KernelError": ".kernel",
    },
)


def backend_problems() -> dict[str, str | None]:
    """Every backend by name, with what this machine lacks for it; None for those that can run."""
    from . import cuda, emulator

    return {"plain": None, "numpy": None, "emulator": emulator.missing(), "cuda": cuda.missing()}


def available_backends() -> list[str]:
    """The backends that can run on this machine."""
    return [name for name, problem in backend_problems().items() if problem is None]


def get_backend(backend: str | Backend) -> Backend:
    """Return the backend of that name; a backend object passes through unchanged.

    Raises ValueError for a name that does not exist, KernelError, in one line, when a GPU or compiler is missing.
    """
    if isinstance(backend, Backend):
        return backend
    if not isinstance(backend, str) or backend not in NAMES:
        raise ValueError(f"backend={backend!r} is not available; expected one of {list(NAMES)}")
    if backend in ("plain", "numpy"):
        return PLAIN if backend == "plain" else NUMPY
    module = import_module(f"{__name__}.{backend}")
    kind: type[Backend] = module.EmulatorBackend if backend == "emulator" else module.CudaBackend
    return kind()
