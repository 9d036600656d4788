"""The NumPy backend: arrays are `numpy.ndarray`, operations are the NumPy lines of `minisvdd.ops`."""

import numpy as np


class NumpyBackend:
    """Arrays in host memory. `runs_numpy` is what an operation asks before it takes its NumPy lines."""

    name = "numpy"
    runs_numpy = True

    def asarray(self, array: np.ndarray, dtype=None) -> np.ndarray:
        """Bring a NumPy array to where this backend computes (here: nothing to do but the dtype)."""
        return np.asarray(array, dtype=dtype)

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        """Bring an array of this backend back to host memory."""
        return np.asarray(array)

    def write(self, array: np.ndarray, values) -> None:
        """Copy values from host memory into an existing array, whose place in memory stays."""
        array[...] = values

    def synchronize(self) -> None:
        """Wait until everything started so far has finished (here: it always has)."""

    def __repr__(self) -> str:
        return "NumpyBackend()"

    def __deepcopy__(self, memo) -> "NumpyBackend":
        return self  # a backend is a place, not a value: copies of a layer stay in the same place


NUMPY = NumpyBackend()
