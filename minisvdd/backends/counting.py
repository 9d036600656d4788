"""What one launch costs on the emulator, the same whatever place in memory its arrays have."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .emulator import EmulatorBackend
from .kernel import Kernel

_ALIGNMENT = 64  # bytes; a GPU's own arrays begin at 256, and a sector is 32


def at_a_sector(array: np.ndarray) -> np.ndarray:
    """A copy whose first number lies at the beginning of a sector, as on a GPU."""
    memory = np.empty(array.nbytes + _ALIGNMENT, np.uint8)
    copy = memory[-memory.ctypes.data % _ALIGNMENT :][: array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def counted(
    kernel: Kernel, arguments: Sequence[Any], grid: Sequence[int], block: Sequence[int]
) -> tuple[list[Any], dict[str, int]]:
    """The arguments after a launch, in copies, and its `LaunchCounts` as a dictionary."""
    backend = EmulatorBackend(count=True)
    copies = [at_a_sector(a) if isinstance(a, np.ndarray) else a for a in arguments]
    backend.run(kernel, copies, grid, block)
    return copies, dict(vars(backend.last_counts))
