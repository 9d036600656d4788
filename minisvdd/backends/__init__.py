"""Where arrays live and how a kernel starts. Knows no operation: those are in `minisvdd.ops`."""

from . import cuda, emulator
from .cuda import CudaBackend
from .device import KernelBackend
from .emulator import EmulatorBackend
from .host import NUMPY, NumpyBackend
from .kernel import KernelError

__all__ = [
    "NUMPY",
    "EmulatorBackend",
    "KernelBackend",
    "KernelError",
    "NumpyBackend",
    "available_backends",
    "backend_problems",
    "get_backend",
]


def backend_problems() -> dict[str, str | None]:
    """Every backend by name, with what this machine lacks for it; None for those that can run."""
    return {"numpy": None, "emulator": emulator.missing(), "cuda": cuda.missing()}


def available_backends() -> list[str]:
    """The backends that can run on this machine."""
    return [name for name, problem in backend_problems().items() if problem is None]


def get_backend(backend) -> NumpyBackend:
    """Return the backend of that name; a backend object passes through unchanged.

    Raises ValueError for a name that does not exist, KernelError, in one line, when a GPU or compiler is missing.
    """
    if isinstance(backend, NumpyBackend):
        return backend
    backends = {"numpy": lambda: NUMPY, "emulator": EmulatorBackend, "cuda": CudaBackend}
    if not isinstance(backend, str) or backend not in backends:
        raise ValueError(f"backend={backend!r} is not available; expected one of {list(backends)}")
    return backends[backend]()
