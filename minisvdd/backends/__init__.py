"""Where arrays live and how a kernel starts. Knows no operation: those are in `minisvdd.ops`."""

from .host import NUMPY, NumpyBackend

__all__ = ["NUMPY", "NumpyBackend", "available_backends", "get_backend"]

_BACKENDS = {"numpy": NUMPY}


def available_backends() -> list[str]:
    """Names that `get_backend` accepts on this machine."""
    return list(_BACKENDS)


def get_backend(backend) -> NumpyBackend:
    """Return the backend of that name; a backend object passes through unchanged.

    Raises ValueError for a name that this installation does not know.
    """
    if isinstance(backend, NumpyBackend):
        return backend
    if backend not in _BACKENDS:
        raise ValueError(f"backend={backend!r} is not available; expected one of {available_backends()}")
    return _BACKENDS[backend]
