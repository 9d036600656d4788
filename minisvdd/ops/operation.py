"""An operation is its formula; fast NumPy lines and a kernel's launch are other readings of it."""

import sys
from collections.abc import Callable
from functools import partial, update_wrapper
from importlib import import_module
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from ..backends.device import KernelBackend
    from ..backends.host import Backend

P = ParamSpec("P")  # the formula's arguments
R = TypeVar("R")  # what it returns


class Operation(Generic[P, R]):
    """A function given by its formula in plain NumPy. Its readings must give the same numbers.

    >>> import numpy as np
    >>> from minisvdd.backends import NUMPY
    >>> @Operation
    ... def leaky_relu(x, slope):                     # the formula: what lectures, homework and debuggers call
    ...     return np.where(x > 0, x, slope * x)
    >>> @leaky_relu.fast
    ... def _(x, slope):                              # the same numbers, quicker
    ...     return np.maximum(x, slope * x)
    >>> @leaky_relu.launch
    ... def _(backend, x, slope): ...                 # the same numbers by a kernel of `kernels/`
    >>> x = np.array([-2.0, 3.0])
    >>> leaky_relu(x, 0.5), leaky_relu.on(NUMPY)(x, 0.5)
    (array([-1.,  3.]), array([-1.,  3.]))
    >>> @leaky_relu.refuses                           # what has no result, in no reading
    ... def _(x, slope):
    ...     if not 0 <= slope <= 1:
    ...         raise ValueError(f"slope={slope}: expected a number in [0, 1]")

    `operation(...)` is the formula; `operation.on(backend)(...)` the reading that the backend asks for. Where the
    formula has a folder, the other readings are its files `fast.py` and `launch.py`, loaded when they are first needed.
    """

    __name__: str

    def __init__(self, formula: Callable[P, R]) -> None:
        self.plain = formula
        self._readings: dict[str, Callable[..., R]] = {}
        self._check: Callable[..., None] | None = None
        update_wrapper(self, formula)

    def __call__(self, *args: P.args, **options: P.kwargs) -> R:
        return self._checked(self.plain, *args, **options)

    def fast(self, function: Callable[P, R]) -> Callable[P, R]:
        """Register the reading of the backend "numpy": the arguments of the formula."""
        self._readings["fast"] = function
        return function

    def launch(
        self, function: Callable[Concatenate["KernelBackend", P], R]
    ) -> Callable[Concatenate["KernelBackend", P], R]:
        """Register the reading of kernel backends: `backend`, then the arguments of the formula."""
        self._readings["launch"] = function
        return function

    def refuses(self, check: Callable[..., None]) -> Callable[..., None]:
        """Register what comes before every reading: a ValueError for arguments that have no result.

        NumPy would broadcast many of them, and a kernel read past the end of an array.
        """
        self._check = check
        return check

    def _checked(self, reading: Callable[..., R], *args: Any, **options: Any) -> R:
        if self._check:
            self._check(*args, **options)
        return reading(*args, **options)

    def on(self, backend: "Backend") -> Callable[P, R]:
        """The reading for a backend, called with the formula's arguments, which it refuses like any other.

        A function of a reader's own (`HostBackend.readings`) comes first. "plain" takes the formula; "numpy" the fast
        reading where there is one; a backend of kernels its launch. NotImplementedError when it has none.
        """
        reading = self._reading_on(backend)
        return partial(self._checked, reading) if self._check else reading

    def _reading_on(self, backend: "Backend") -> Callable[..., R]:
        if self.__name__ in backend.readings:
            return backend.readings[self.__name__]
        if backend.name == "plain":
            return self.plain
        if backend.runs_numpy:
            return self.reading("fast") or self.plain
        launch = self.reading("launch")
        if launch is None:
            raise NotImplementedError(f"{self.__name__} has no kernel: backend {backend.name!r} cannot run it")
        return partial(launch, backend)

    def reading(self, kind: str) -> Callable[..., R] | None:
        """The reading "fast" or "launch" itself, or None."""
        if kind not in self._readings and hasattr(sys.modules[self.__module__], "__path__"):
            import_module(f"{self.__module__}.{kind}")
        return self._readings.get(kind)

    def __reduce__(self) -> str:
        return self.__name__  # pickled by its name, as a function is

    def __repr__(self) -> str:
        return f"<operation {self.__name__}>"


def expect_shape(name: str, array: Any, expected: tuple[int | str, ...], among: str) -> None:
    """ValueError, in words, unless the array has that shape, in which a letter stands for any length.

    among: what the shape follows from, as "filters (8, 3, 3, 3)".
    """
    shape = tuple(array.shape)
    if len(shape) != len(expected) or any(e not in (n, str(e)) for n, e in zip(shape, expected)):
        raise ValueError(f"{name} has shape {shape}: expected ({', '.join(map(str, expected))}) for {among}")
