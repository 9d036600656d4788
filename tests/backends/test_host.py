"""The backends in host memory: arrays stay where they are, copies of a layer stay on one backend."""

import pickle
from copy import deepcopy

import numpy as np
import pytest

from minisvdd.backends import NUMPY, PLAIN, HostBackend, available_backends, backend_problems, get_backend
from minisvdd.nn import BatchNorm, Conv2D, Flatten, LeakyReLU, Linear, MaxPool2D, Sequential

MISSING = backend_problems()["emulator"]


@pytest.fixture(params=["plain", "numpy"])
def host(request):
    return get_backend(request.param)


def test_there_are_two(host):
    assert (get_backend("plain"), get_backend("numpy")) == (PLAIN, NUMPY)
    assert host.runs_numpy
    assert host.readings == {}
    assert repr(host) == f"HostBackend({host.name!r})"
    assert HostBackend().name == "numpy"


def test_arrays_come_and_go_without_a_copy(host):
    x = np.arange(3.0)
    assert host.asarray(x) is x
    assert host.to_numpy(x) is x
    assert host.asarray(x, np.float32).dtype == np.float32
    assert host.asarray([1, 2]).tolist() == host.to_numpy([1, 2]).tolist() == [1, 2]


@pytest.mark.parametrize(
    "name", ["plain", "numpy", pytest.param("emulator", marks=pytest.mark.skipif(bool(MISSING), reason=str(MISSING)))]
)
def test_write_keeps_the_place_in_memory(name):
    backend, array = get_backend(name), np.zeros((2, 3))
    backend.write(array, np.array([[1, 2, 3], [4, 5, 6]]))
    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]
    backend.write(array, 7)
    assert (array == 7).all()
    backend.synchronize()


@pytest.mark.parametrize("wrong", ["abacus", "", "NumPy", None, 3, ["numpy"], np.array(["numpy", "plain"])])
def test_what_is_no_backend_is_named(wrong):
    with pytest.raises(
        ValueError, match=r"^backend=.* is not available; expected one of \['plain', 'numpy', 'emulator'"
    ):
        get_backend(wrong)


@pytest.mark.skipif(bool(MISSING), reason=str(MISSING))
def test_a_label_tells_name_and_precision(host):
    for label, precision in (("emulator", "float32"), ("emulator:tf32", "tf32")):
        backend = get_backend(label)
        assert (backend.name, backend.precision, backend.label) == ("emulator", precision, label)
        assert pickle.loads(pickle.dumps(backend)).label == label
    assert get_backend("emulator:float32").label == "emulator"
    assert host.label == host.name
    with pytest.raises(ValueError, match=f"backend='{host.name}:tf32' is not available"):
        get_backend(f"{host.name}:tf32")
    for wrong in ("emulator:", "emulator:half"):
        with pytest.raises(ValueError, match=r"precision=.* is not available; expected one of \['float32', 'tf32'\]"):
            get_backend(wrong)


def test_a_backend_passes_through(host):
    assert get_backend(host) is host


def test_a_copy_of_a_backend_is_the_backend(host):
    assert deepcopy(host) is host
    assert deepcopy({"layer": [host]})["layer"][0] is host


def test_readings_belong_to_one_backend_and_are_copied():
    own = {"tanh_forward": abs}
    mine = HostBackend("numpy", own)
    own.clear()
    assert mine.readings == {"tanh_forward": abs}
    assert NUMPY.readings == {}


@pytest.mark.parametrize("name", [name for name in available_backends() if name != "cuda"])
def test_backends_and_networks_are_pickled(name, rng):
    backend = get_backend(name)
    assert pickle.loads(pickle.dumps(backend)).name == name
    network = Sequential([Conv2D(2, 3), BatchNorm(), LeakyReLU(), MaxPool2D(2), Flatten(), Linear(2)])
    network.build((1, 6, 6), rng, backend=backend)
    x = rng.standard_normal((3, 1, 6, 6)).astype(np.float32)
    network.forward(x, training=True)
    again = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(again.forward(x), network.forward(x))
    with pytest.raises(RuntimeError, match="before forward"):
        again.backward(np.ones((3, 2), np.float32))
