"""What the backends of kernels share: the launch, and what a training loop asks of a device.

A launch is checked the same way on both: argument types (`Kernel.check`), grid and block (`check_geometry`). They
differ in `_start`, the one line that knows CuPy or ctypes.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from .host import Backend
from .kernel import Kernel, check_geometry, find_kernel, is_aligned
from .types import DeviceArray, Shape


class Graph(Protocol):
    """What `KernelBackend.capture` recorded."""

    def launch(self) -> None:
        """Run all launches of the capture."""


PRECISIONS = ("float32", "tf32")
# Kernels count in 32 bits, and a loop in steps of all threads must not step over their end.
MOST_NUMBERS = 2**30


class KernelBackend(Backend):
    """Base class of the emulator and of CUDA: operations launch their kernels, arrays are contiguous.

    precision: how float32 arrays are multiplied. "float32": with float32's accuracy, on whichever units of the GPU; the
    norm of a convolution's error is below 1e-6 of that of its result. "tf32": convolutions on tensor cores may round
    their operands to TF32, 11 significant bits; less work, and an error of 3e-4. Sums are float32 either way, and
    float64 arrays are never rounded.
    """

    runs_numpy = False
    array_type: type[DeviceArray]
    has_tf32 = True  # tensor cores that multiply TF32 and bfloat16

    def __init__(self, precision: str = "float32") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision={precision!r} is not available; expected one of {list(PRECISIONS)}")
        self.precision = precision

    @property
    def label(self) -> str:
        return self.name if self.precision == "float32" else f"{self.name}:{self.precision}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.precision == 'float32' else f'precision={self.precision!r}'})"

    def launch(
        self,
        operation: str,
        args: Sequence[Any],
        grid: Sequence[int] | None = None,
        block: Sequence[int] = (256,),
        threads: int = 0,
        shared: int = 0,
        rung: str | None = None,
        sizes: str | None = None,
    ) -> None:
        """Run the kernel of an operation; `threads` instead of `grid`: as many blocks as that many threads need.

        rung: one of the operation's ladder by name; None for the highest. sizes: of a kernel that is specialised by
        them, the C++ struct that holds them, such as "Rows<1, 8, 28, 28>".
        """
        if grid is None:
            grid = (-(-threads // int(np.prod(block))),)
        kernel = find_kernel(operation, rung)
        self.run(kernel if sizes is None else kernel.specialised(sizes), args, grid, block, shared)

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

    def packed(self, array: DeviceArray) -> DeviceArray:
        """The array, copied if a kernel may not read it 16 bytes at a time."""
        dense = self.dense(array)
        return dense if is_aligned(dense) else dense.copy()

    def empty(self, shape: int | Shape, dtype: DTypeLike) -> DeviceArray:
        """An array for a kernel to fill. ValueError for more numbers than kernels count."""
        if (numbers := math.prod(shape) if isinstance(shape, tuple) else shape) > MOST_NUMBERS:
            raise ValueError(
                f"an array {shape} has {numbers} numbers, more than the {MOST_NUMBERS} that kernels count: use smaller "
                "batches"
            )
        return self._empty(shape, dtype)

    def _empty(self, shape: int | Shape, dtype: DTypeLike) -> DeviceArray:
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
