"""The CUDA backend: its own lines on a stand-in for CuPy, and every kernel through NVRTC, as CuPy would compile it."""

import ctypes
import importlib.util
import pickle
import sys
import types
from copy import deepcopy
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
from helpers_cuda import HostArrays

from minisvdd import DeepSVDD, load_dataset
from minisvdd.backends import CudaBackend, KernelError, backend_problems, cuda, get_backend
from minisvdd.backends.kernel import kernel_folder
from minisvdd.gradcheck import check_library
from minisvdd.ops import linear_forward

_PROBLEM = backend_problems()["emulator"]
needs_emulator = pytest.mark.skipif(bool(_PROBLEM), reason=str(_PROBLEM))


@pytest.fixture
def backend(monkeypatch):
    """A CudaBackend whose CuPy is `tests/support/fake_cupy.py`."""
    import fake_cupy

    fake_cupy.install(monkeypatch)
    yield get_backend("cuda")
    cuda._function.cache_clear()
    cuda._module.cache_clear()


def test_precision_goes_with_the_backend(backend, monkeypatch):
    assert (backend.label, get_backend("cuda:tf32").label) == ("cuda", "cuda:tf32")
    assert pickle.loads(pickle.dumps(CudaBackend("tf32"))).precision == "tf32"
    assert backend.has_tf32
    monkeypatch.setattr(backend.cupy.cuda.Device, "compute_capability", "75")
    assert not CudaBackend("tf32").has_tf32  # Turing: convolutions run on the other rungs


@pytest.mark.slow
@needs_emulator
@pytest.mark.parametrize(
    "name", ["BatchNorm", "LeakyReLU", "MaxPool2D", "Sequential", "SoftBoundary", "SoftmaxCrossEntropy"]
)
def test_gradients(name, backend):
    for report in check_library(name, backend):
        assert report.passed


@pytest.mark.slow
@needs_emulator
def test_captured_training_follows_numpy(backend):
    """Streams, captures, graphs and memory pools: two models side by side, from pre-training to scores.

    With a radius, which the host finds anew every second epoch; without one: tests/backends/test_device.py.
    """
    digits = load_dataset("digits")
    data = [digits.one_class(c).train[:n] for c, n in ((0, 16), (1, 21))]
    models = {}
    for where in ("numpy", backend):
        options = {"pretrain_epochs": 2, "epochs": 4, "batch_size": 8, "radius_every": 2, "learning_rate": 1e-3}
        options |= {"network": "digits_lenet", "preprocessing": None, "backend": where, "verbose": 0}
        models[where] = [DeepSVDD("soft-boundary", **options) for _ in data]
        for trainings in zip_longest(*(model.trainings(images) for model, images in zip(models[where], data))):
            while not all(training.is_done for training in trainings):
                for training in trainings:
                    training.finish_epoch()
                    training.start_epoch()
    for expected, got, images in zip(models["numpy"], models[backend], data):
        np.testing.assert_allclose(got.history_["loss"], expected.history_["loss"], rtol=1e-3)
        np.testing.assert_allclose(got.anomaly_score(images), expected.anomaly_score(images), rtol=1e-2, atol=1e-3)


@needs_emulator
def test_all_kernels_load(backend):
    messages = []
    backend.prepare(messages.append)
    assert messages == ["loading CUDA kernels (the first time compiles them)..."]


@needs_emulator
def test_arrays_of_the_host_are_refused(backend):
    x = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match=r"matmul\w+: a must be a fake_cupy\.ndarray, got ndarray of float32"):
        backend.launch("matmul", (x,) * 3 + (1,) * 7, threads=1)


@needs_emulator
def test_host_arrays_go_to_the_device_and_back(backend, rng):
    """What the tests of operations run with where there is a GPU."""
    x, weight = rng.standard_normal((4, 5)), rng.standard_normal((3, 5))
    np.testing.assert_allclose(linear_forward.on(HostArrays())(x, weight), x @ weight.T)


@pytest.mark.parametrize(("kept", "left"), [(1, 1), (2, 0)])
def test_a_capture_finds_the_memory_that_earlier_runs_have_left(kept, left, backend, monkeypatch):
    """One byte is free: what CuPy keeps is given back if it is more."""
    monkeypatch.setattr(backend.cupy.get_default_memory_pool(), "kept", kept)
    with backend.stream(), backend.capture():
        pass
    assert backend.cupy.get_default_memory_pool().free_bytes() == left


@pytest.mark.parametrize("shape", [2**30 + 1, (2**15, 2**15 + 1)])
def test_arrays_that_kernels_cannot_count_are_refused(shape, backend):
    with pytest.raises(ValueError, match=r"numbers, more than the 1073741824 that kernels count: use smaller batches$"):
        backend.empty(shape, np.float32)


def test_without_cupy_and_without_gpu(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(KernelError, match=r'needs CuPy, which is not installed: pip install "minisvdd\[cuda12\]"'):
        get_backend("cuda")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    for available, problem in ((False, "backend 'cuda' finds no NVIDIA GPU or driver"), (True, "None")):
        monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(is_available=lambda answer=available: answer))
        assert str(cuda.missing()).startswith(problem)


# NVRTC, from the wheels nvidia-cuda-nvrtc or nvidia-cuda-nvrtc-cu12


def find_nvrtc():
    """The library, or None."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in spec.submodule_search_locations] if spec else []
    found = [library for folder in folders for library in sorted(folder.glob("*/lib/libnvrtc.so.1?"))]
    return found[-1] if found else None


NVRTC = find_nvrtc()


class Program:
    """One compilation; `log` says what went wrong."""

    def __init__(self, library, source, name):
        self.library, self.handle = library, ctypes.c_void_p()
        self._call("CreateProgram", ctypes.byref(self.handle), source.encode(), name.encode(), 0, None, None)

    def _call(self, function, *args):
        status = getattr(self.library, f"nvrtc{function}")(*args)
        assert status == 0, f"nvrtc{function}: status {status}\n{self.log() if function == 'CompileProgram' else ''}"

    def compile(self, options, names):
        for name in names:
            self._call("AddNameExpression", self.handle, name.encode())
        self._call(
            "CompileProgram", self.handle, len(options), (ctypes.c_char_p * len(options))(*map(str.encode, options))
        )
        for name in names:
            lowered = ctypes.c_char_p()
            self._call("GetLoweredName", self.handle, name.encode(), ctypes.byref(lowered))
            assert lowered.value
        size = ctypes.c_size_t()
        self._call("GetCUBINSize", self.handle, ctypes.byref(size))
        return size.value

    def log(self):
        size = ctypes.c_size_t()
        self.library.nvrtcGetProgramLogSize(self.handle, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self.library.nvrtcGetProgramLog(self.handle, text)
        return text.value.decode()


def test_prepare_compiles_every_kernel_of_every_file(monkeypatch):
    compiled, messages = set(), []
    monkeypatch.setattr(cuda, "_function", lambda path, instance: compiled.add((path.name, instance)))
    cuda.CudaBackend.prepare(None, messages.append)
    files = {path.name: cuda.instances(path) for path in kernel_folder().glob("*.cu")}
    assert compiled == {(name, instance) for name, instances in files.items() for instance in instances}
    assert len(files) > 8
    assert len(messages) == 1


@pytest.mark.slow
@pytest.mark.skipif(NVRTC is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90"])
@pytest.mark.parametrize("path", sorted(kernel_folder().glob("*.cu")), ids=lambda path: path.stem)
def test_nvrtc_compiles_every_kernel_with_the_options_that_cupy_gets(path, architecture):
    program = Program(ctypes.CDLL(str(NVRTC)), cuda.source(path), path.name)
    assert program.compile([*cuda.COMPILE_OPTIONS, f"-arch={architecture}"], cuda.instances(path)) > 0


@needs_emulator
def test_models_and_the_backend_are_pickled_as_a_name_and_numpys_arrays(backend):
    """So joblib's processes and `GridSearchCV(n_jobs=2)` take them; a module or an array of the device cannot be."""
    assert isinstance(pickle.loads(pickle.dumps(backend)), CudaBackend)
    assert deepcopy(backend) is backend
    X = load_dataset("digits").one_class(3).train[:16]
    model = DeepSVDD(network="digits_lenet", pretrain_epochs=1, epochs=1, batch_size=8, verbose=0, backend=backend)
    model.fit(X)
    content = pickle.dumps(model)
    assert b"fake_cupy" not in content
    assert b"cupy" not in content.replace(b"minisvdd", b"")
    for other in (pickle.loads(content), deepcopy(model)):
        for name, array in other.network_.params.items():
            assert isinstance(array, backend.array_type)
            assert array is not model.network_.params[name]
            np.testing.assert_array_equal(backend.to_numpy(array), backend.to_numpy(model.network_.params[name]))
        np.testing.assert_array_equal(other.anomaly_score(X), model.anomaly_score(X))
