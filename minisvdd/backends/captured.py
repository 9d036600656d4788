"""Work on a device that is done again and again: captured once, then launched as one graph; and a network's evaluation.

A step of some fifty launches costs the host more time than the device, as long as the host starts each of them. So the
first run is plain (which also compiles the kernels), the second is captured, and every later one is a single call of
the driver. Layers and kernels know nothing of this.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .types import DeviceArray, Shape

if TYPE_CHECKING:
    from .device import KernelBackend

# Graphs of an evaluation that are kept, each with the memory of its activations: one for each size of a batch.
_MOST_GRAPHS = 8


class Captured:
    """Runs one function again and again: plainly, then captured, then from the graph; returns what it returned.

    The function has no arguments and works on arrays whose places in device memory stay: what changes from one run to
    the next lies in those. The next run overwrites the results of this one.
    """

    def __init__(self, backend: "KernelBackend") -> None:
        self.backend = backend
        self._has_run = False
        self._graph: Any = None
        self._result: Any = None

    def __call__(self, function: Callable[[], Any]) -> Any:
        if not self._has_run:
            self._has_run = True
            return function()
        if self._graph is None:
            with self.backend.capture() as graph:
                self._result = function()
            self._graph = graph
        self._graph.launch()
        return self._result


class Evaluation:
    """f(x) for batches of host memory, where f maps rows to rows, each by itself, on a device.

    Batches follow each other on a stream without a wait; the host waits once, for all results of a call. A batch is
    filled up with rows of zeros to one of few sizes (`padded`), so that few graphs serve batches of every size, and a
    batch of one size is always computed in the same way. Several threads may call: one at a time has the device.

    A copy or a pickle is an evaluation that has not captured anything yet.
    """

    def __init__(self, backend: "KernelBackend") -> None:
        self.backend, self._stream = backend, backend.stream()
        self._lock = threading.Lock()
        self._batches: OrderedDict[Shape, tuple[DeviceArray, Captured]] = OrderedDict()
        self._arrays: list[DeviceArray] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Evaluation, (self.backend,)

    def __call__(
        self,
        function: Callable[[DeviceArray], DeviceArray],
        arrays: Sequence[DeviceArray],
        X: np.ndarray,
        batch_size: int,
    ) -> np.ndarray:
        """function(X), in batches of that many rows.  arrays: what `function` reads besides; graphs hold their places.

        X: (n, ...) in host memory, n >= 1; the function gets float32. Returns a new array (n, ...).
        """
        results: DeviceArray = None
        with self._lock:
            self.backend.synchronize()  # what the caller wrote on another stream must have arrived
            self._forget_graphs_of_others(arrays)
            with self._stream:
                for start in range(0, len(X), batch_size):
                    rows = X[start : start + batch_size]
                    y = self._on_batch(function, rows, padded(len(rows), batch_size))
                    if results is None:
                        results = self.backend.empty((len(X), *y.shape[1:]), y.dtype)
                    results[start : start + len(rows)] = y[: len(rows)]
                return np.array(self.backend.to_numpy(results))

    def _forget_graphs_of_others(self, arrays: Sequence[DeviceArray]) -> None:
        """Of parameters, say, that have been loaded, cast or laid out anew since."""
        if len(arrays) != len(self._arrays) or any(new is not old for new, old in zip(arrays, self._arrays)):
            self._batches.clear()
            self._arrays = list(arrays)

    def _on_batch(self, function: Callable[[DeviceArray], DeviceArray], rows: np.ndarray, size: int) -> DeviceArray:
        """function(rows), and behind it results for what an earlier batch has left in the other rows."""
        shape = (size, *rows.shape[1:])
        if shape not in self._batches:
            if len(self._batches) == _MOST_GRAPHS:
                self.backend.synchronize()  # the graph may still be running
                self._batches.popitem(last=False)
            self._batches[shape] = self.backend.zeros(shape, np.float32), Captured(self.backend)
        self._batches.move_to_end(shape)
        x, work = self._batches[shape]
        x[: len(rows)] = self.backend.asarray(np.ascontiguousarray(rows, np.float32))
        return work(lambda: function(x))


def padded(rows: int, most: int) -> int:
    """The next number with two binary digits behind its first one, at most `most`: a quarter more at the worst.

    >>> [padded(rows, 500) for rows in (1, 7, 9, 36, 65, 200, 450)]
    [1, 7, 10, 40, 80, 224, 500]
    """
    step = 1 << max(0, rows.bit_length() - 3)
    return min(most, -(-rows // step) * step)
