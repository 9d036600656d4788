"""Short names for types that many signatures have.

An array in host memory is `np.ndarray`, of whatever dtype its caller gave it: formulas take float32, float64 and, for
the complex step, complex128.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

DeviceArray = Any  # of a kernel backend: `np.ndarray` on the emulator, `cupy.ndarray` on a GPU; CuPy has no types
Shape = tuple[int, ...]
Blocks = Iterator[slice]  # what `threads.run` hands to the work of a thread
Take = Callable[[Shape, DTypeLike], np.ndarray]  # what `workspace.scratch` gives
