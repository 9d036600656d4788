"""The backends in host memory: "plain" runs the formulas of `minisvdd.ops` as they stand, "numpy" their fast
readings."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .types import DeviceArray


class Backend:
    """Where arrays live and which reading of an operation runs (`minisvdd.ops.operation`).

    name: "plain", "numpy", "emulator" or "cuda".   runs_numpy: whether arrays are NumPy's and operations NumPy lines.
    readings: functions of a reader's own that take the place of the operations of these names; most often none.
    """

    name: str
    runs_numpy = True
    readings: Mapping[str, Callable[..., Any]] = {}

    def asarray(self, array: Any, dtype: DTypeLike | None = None) -> DeviceArray:
        """Bring a NumPy array to where this backend computes."""
        raise NotImplementedError

    def to_numpy(self, array: DeviceArray) -> np.ndarray:
        """Bring an array of this backend back to host memory."""
        raise NotImplementedError

    def write(self, array: DeviceArray, values: Any) -> None:
        """Copy values from host memory into an existing array, whose place in memory stays."""
        array[...] = values

    def stream(self) -> AbstractContextManager[Any]:
        """A new queue of work, as a context manager: what starts inside runs in order, beside other queues.

        In host memory there is one queue only.
        """
        return nullcontext()

    def synchronize(self) -> None:
        """Wait until everything started so far has finished."""

    @property
    def label(self) -> str:
        """The name, with what else changes results: what `get_backend` takes and reports record."""
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __deepcopy__(self, memo: Any) -> "Backend":
        return self  # a backend is a place, not a value: copies of a layer stay in the same place


class HostBackend(Backend):
    """NumPy arrays in host memory.

    name: "plain" for the formulas, "numpy" for their fast readings where there are any.   readings: see `Backend`.

    >>> from minisvdd.ops import tanh_forward
    >>> mine = HostBackend("numpy", {"tanh_forward": lambda x: x / (1 + abs(x))})
    >>> x = np.array([1.0, 3.0])
    >>> tanh_forward.on(mine)(x)
    array([0.5 , 0.75])
    """

    def __init__(self, name: str = "numpy", readings: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self.name, self.readings = name, dict(readings or {})

    def asarray(self, array: Any, dtype: DTypeLike | None = None) -> np.ndarray:
        return np.asarray(array, dtype=dtype)

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        return np.asarray(array)

    def __repr__(self) -> str:
        return f"HostBackend({self.name!r})"


PLAIN, NUMPY = HostBackend("plain"), HostBackend("numpy")
