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
        ".cuda": "CudaBackend",
        ".device": "KernelBackend",
        ".emulator": "EmulatorBackend",
        ".kernel": "KernelError",
    },
)


def backend_problems() -> dict[str, str | None]:
    """Every backend by name, with what this machine lacks for it; None for those that can run."""
    from . import building, cuda

    return {"plain": None, "numpy": None, "emulator": building.missing(), "cuda": cuda.missing()}


def available_backends() -> list[str]:
    """The backends that can run on this machine."""
    return [name for name, problem in backend_problems().items() if problem is None]


def get_backend(backend: str | Backend) -> Backend:
    """Return the backend of that name; a backend object passes through unchanged.

    "emulator:tf32" and "cuda:tf32" are these backends with another precision of products (`KernelBackend`).
    Raises ValueError for a name that does not exist, KernelError, in one line, when a GPU or compiler is missing.
    """
    if isinstance(backend, Backend):
        return backend
    name, colon, precision = (backend if isinstance(backend, str) else "").partition(":")
    if name not in NAMES or (colon and name in ("plain", "numpy")):
        raise ValueError(f"backend={backend!r} is not available; expected one of {list(NAMES)}")
    if name in ("plain", "numpy"):
        return PLAIN if name == "plain" else NUMPY
    module = import_module(f"{__name__}.{name}")
    kind: type[KernelBackend] = module.EmulatorBackend if name == "emulator" else module.CudaBackend
    return kind(precision=precision) if colon else kind()
