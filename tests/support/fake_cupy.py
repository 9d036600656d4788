"""The small part of CuPy that minisvdd uses, on NumPy arrays and the emulator: so that `cuda.py` runs without a GPU.

It is strict where CuPy is: an array is not a NumPy array and takes none, arithmetic and copies to the host are refused
inside a capture, a captured launch does not run before the graph is launched, and it uses the memory pool that was in
force. And it is as late as a GPU may be: work on a stream is done when somebody waits for that stream, no sooner. What
another stream reads before is not there yet: numbers are NaN, integers -1. Arrays of a memory pool that has gone can
only be dropped.
"""

import sys
import threading
import weakref
from collections import deque
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace

import numpy as np

from minisvdd.backends import cuda as backend
from minisvdd.backends.emulator import EmulatorBackend
from minisvdd.backends.kernel import KernelError, kernel_folder, read_kernels


class _State(threading.local):
    """What a thread has opened."""

    def __init__(self):
        self.streams, self.pools, self.recording = [], [], None


_state = _State()
_EMULATOR = EmulatorBackend(check=False)
_device = threading.RLock()


def _later(work):
    """Do it when somebody waits for the current stream."""
    get_current_stream().queue.append(work)


def _filled(values, compute):
    """A new array that will hold what `compute` returns.  values: an array of its shape and type."""
    new = ndarray(_EMULATOR.empty(values.shape, values.dtype))
    _later(lambda: np.copyto(new.values, compute()))
    return new


class ndarray:  # noqa: N801
    """An array on the device: no NumPy function takes it."""

    __array_ufunc__ = __hash__ = None

    def __init__(self, values, pool=None):
        """pool: a weak reference to the memory pool that the array lies in."""
        self._values, self._pool = np.asarray(values), pool

    @property
    def values(self):
        """Its memory; RuntimeError where that went with a memory pool."""
        if self._pool is not None and self._pool() is None:
            raise RuntimeError("the array's memory has gone with its pool")
        return self._values

    def __array__(self, *args, **kwargs):
        raise TypeError("implicit conversion of a device array to a NumPy array")

    shape = property(lambda self: self.values.shape)
    size = property(lambda self: self.values.size)
    ndim = property(lambda self: self.values.ndim)
    dtype = property(lambda self: self.values.dtype)
    itemsize = property(lambda self: self.values.itemsize)
    flags = property(lambda self: self.values.flags)
    strides = property(lambda self: self.values.strides)

    nbytes = property(lambda self: self.values.nbytes)
    data = property(lambda self: self)
    ptr = property(lambda self: self.values.ctypes.data)

    def memset_async(self, value, size):
        assert size <= self.nbytes

    def copy_from_device_async(self, source, size):
        assert size <= min(self.nbytes, source.nbytes)

    def __len__(self):
        return len(self.values)

    def __float__(self):
        return float(asnumpy(self))

    def __getitem__(self, key):
        if isinstance(key, np.ndarray):
            raise TypeError("a NumPy array as the index of a device array")
        return ndarray(self.values[key], self._pool)

    def __setitem__(self, key, other):
        _refuse_in_capture("a copy")
        if isinstance(other, np.ndarray):
            raise TypeError("a NumPy array for a device array: asarray comes first")
        target, source = self.values[key], other.values if isinstance(other, ndarray) else other
        if np.ndim(target) == 0:
            target = self.values[key if isinstance(key, slice | type(...)) else slice(key, key + 1)]
        _later(lambda: np.copyto(target, source))

    def __eq__(self, other):
        _refuse_in_capture("arithmetic without a kernel of ours")
        return _filled(np.empty(self.shape, bool), lambda: self.values == other.values)

    def __gt__(self, number):
        _refuse_in_capture("arithmetic without a kernel of ours")
        return _filled(np.empty(self.shape, bool), lambda: self.values > number)

    def all(self):
        return _filled(np.empty((), bool), lambda: self.values.all())

    def __bool__(self):
        return bool(asnumpy(self))

    def copy(self):
        _refuse_in_capture("a copy without a kernel of ours")
        return _filled(self.values, lambda: self.values)

    def reshape(self, *shape):
        return ndarray(self.values.reshape(*shape, copy=False), self._pool)

    def view(self, dtype):
        return ndarray(self.values.view(dtype), self._pool)

    def astype(self, dtype):
        return _filled(np.empty(self.shape, dtype), lambda: self.values.astype(dtype))

    def __deepcopy__(self, memo):
        return self.copy()


def _refuse_in_capture(what):
    if _state.recording is not None:
        raise RuntimeError(f"{what} inside a capture")


def is_available():
    return True


def asarray(array, dtype=None):
    if isinstance(array, ndarray):
        return array if dtype is None or array.dtype == dtype else array.astype(dtype)
    _refuse_in_capture("a copy from the host")
    values = np.array(array, dtype=dtype)  # always other memory
    return _filled(values, lambda: values)


def asnumpy(array):
    _refuse_in_capture("a copy to the host")
    get_current_stream().synchronize()
    return array.values.copy()


def ascontiguousarray(array):
    return array if array.flags.c_contiguous else _filled(array.values, lambda: array.values)


def empty(shape, dtype):
    return ndarray(_EMULATOR.empty(shape, dtype), weakref.ref(_state.pools[-1]) if _state.pools else None)


def zeros(shape, dtype):
    allocated = empty(shape, dtype)
    fill = lambda: allocated.values.fill(0)  # noqa: E731
    _later(fill) if _state.recording is None else _state.recording.append(fill)
    return allocated


class RawModule:
    """Finds the kernel file by its source, as NVRTC would compile it, and starts its kernels on the emulator."""

    def __init__(self, code, options, name_expressions):
        assert options == backend.COMPILE_OPTIONS
        self.path = next(path for path in kernel_folder().glob("*.cu") if backend.source(path) == code)
        self.names = set(name_expressions)

    def get_function(self, name):
        assert name in self.names
        name, _, arguments = name.partition("<")
        kernel = read_kernels(self.path)[name]
        if kernel.template == "S":
            kernel = kernel.specialised(arguments.removesuffix(">"))

        def start(grid, block, args, shared_mem=0):
            plain = [arg.values if isinstance(arg, ndarray) else arg for arg in args]
            run = lambda: _EMULATOR.run(kernel, plain, grid, block, shared_mem)  # noqa: E731
            _later(run) if _state.recording is None else _state.recording.append(run)

        return start


class Stream:
    def __init__(self, non_blocking=False):
        self.non_blocking, self.queue = non_blocking, deque()

    def __enter__(self):
        _state.streams.append(self)
        return self

    def __exit__(self, *exception):
        assert _state.streams.pop() is self

    def synchronize(self):
        _refuse_in_capture("synchronize")
        with _device:
            while self.queue:
                self.queue.popleft()()

    def begin_capture(self):
        assert self is get_current_stream()
        assert self.non_blocking, "the default stream cannot be captured"
        assert _state.recording is None
        _state.recording = []

    def end_capture(self):
        graph, _state.recording = Graph(_state.recording), None
        return graph


class Graph:
    def __init__(self, launches):
        self.launches = launches

    def launch(self, stream):
        assert isinstance(stream, Stream)
        stream.queue.extend(self.launches)


class MemoryPool:
    def malloc(self, size):
        raise NotImplementedError("only handed to using_allocator")


@contextmanager
def using_allocator(malloc):
    _state.pools.append(malloc.__self__ if malloc else MemoryPool())
    yield
    _state.pools.pop()


class Event:
    def record(self):
        pass

    def synchronize(self):
        pass


class Device:
    id = 0
    attributes = {"L2CacheSize": 1 << 20, "MultiProcessorCount": 100, "ClockRate": 1_000_000}
    compute_capability = "90"


_DEFAULT_STREAM = Stream()


def get_current_stream():
    return _state.streams[-1] if _state.streams else _DEFAULT_STREAM


__version__ = "0"
_ticks = count(1)
cuda = SimpleNamespace(
    Stream=Stream,
    MemoryPool=MemoryPool,
    Event=Event,
    Device=Device,
    using_allocator=using_allocator,
    get_current_stream=get_current_stream,
    compiler=SimpleNamespace(CompileException=KernelError),
    get_elapsed_time=lambda start, end: 1000.0 / next(_ticks),
    runtime=SimpleNamespace(
        getDeviceProperties=lambda device: {"name": b"stand-in"}, driverGetVersion=lambda: 0, memGetInfo=lambda: (1, 2)
    ),
)


class _DefaultPool:
    """What CuPy's own pool keeps: as much as a test says."""

    kept = 0

    def free_bytes(self):
        return self.kept

    def free_all_blocks(self):
        _refuse_in_capture("a wait for the device")
        self.kept = 0


_default_pool = _DefaultPool()


def get_default_memory_pool():
    return _default_pool


def install(monkeypatch):
    """Let `import cupy` find this module."""
    monkeypatch.setitem(sys.modules, "cupy", sys.modules[__name__])
    monkeypatch.setattr(backend, "missing", lambda: None)
    backend._function.cache_clear()
    backend._module.cache_clear()
