"""What the backends of kernels share: the launch, and what a training loop asks of a device.

A launch is checked the same way on both: argument types (`Kernel.check`), grid and block (`check_geometry`). They
differ in `_start`, the one line that knows CuPy or ctypes.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from .host import Backend
from .kernel import Kernel, check_geometry, find_kernel
from .types import DeviceArray, Shape


class Graph(Protocol):
    """What `KernelBackend.capture` recorded."""

    def launch(self) -> None:
        """Run all launches of the capture."""


class KernelBackend(Backend):
    """Base class of the emulator and of CUDA: operations launch their kernels, arrays are contiguous."""

    runs_numpy = False
    array_type: type[DeviceArray]

    def launch(
        self,
        operation: str,
        args: Sequence[Any],
        grid: Sequence[int] | None = None,
        block: Sequence[int] = (256,),
        threads: int = 0,
        shared: int = 0,
        rung: str | None = None,
    ) -> None:
        """Run the kernel of an operation; `threads` instead of `grid`: as many blocks as that many threads need.

        rung: one of the operation's ladder by name; None for the highest.
        """
        if grid is None:
            grid = (-(-threads // int(np.prod(block))),)
        self.run(find_kernel(operation, rung), args, grid, block, shared)

    def run(
        self, kernel: Kernel, args: Sequence[Any], grid: Sequence[int], block: Sequence[int], shared: int = 0
    ) -> None:
        """Run one kernel. TypeError and ValueError name what does not fit its signature or the device."""
        values = kernel.check(args, self.array_type)
        grid, block = check_geometry(kernel.name, grid, block, shared)
        self._start(kernel, values, grid, block, shared)

    def _start(self, kernel: Kernel, values: list[Any], grid: Shape, block: Shape, shared: int) -> None:
        raise NotImplementedError

    def dense(self, array: DeviceArray) -> DeviceArray:
        """The array, copied if it is not contiguous: kernels index plain memory."""
        raise NotImplementedError

    def empty(self, shape: int | Shape, dtype: DTypeLike) -> DeviceArray:
        """An array for a kernel to fill."""
        raise NotImplementedError

    def zeros(self, shape: int | Shape, dtype: DTypeLike) -> DeviceArray:
        """An array of zeros."""
        return self.asarray(np.zeros(shape, dtype))

    def write(self, array: DeviceArray, values: Any) -> None:
        """Copy values from host memory into an existing array, whose place in memory stays."""
        array[...] = self.asarray(np.asarray(values, array.dtype))

    def prepare(self, report: Callable[[str], object] = lambda message: None) -> None:
        """Build or load every kernel now; `report` is told when that takes a while."""
        raise NotImplementedError

    def capture(self) -> AbstractContextManager[Graph]:
        """Context manager: launches inside are not run but recorded, with their arrays.

        It gives an object whose `launch()` runs them all. Every launch then works on the same arrays, so what changes
        from one to the next (step count, learning rate, radius) must lie in device memory. Inside, nothing may be read
        back to the host.
        """
        raise NotImplementedError
