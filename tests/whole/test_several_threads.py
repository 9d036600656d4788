"""One fitted model in the hands of several threads: scoring writes nothing into it, on any backend."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from trainer_properties import digits

from minisvdd import AnoGAN, Autoencoder, DeepSVDD, IsolationForest, KernelDensity, OneClassSVM, SoftmaxClassifier
from minisvdd.backends import EmulatorBackend, available_backends
from minisvdd.nn import BatchNorm, LeakyReLU, Linear, Sequential

pytestmark = pytest.mark.slow

_NETWORK = {"network": "digits_lenet", "preprocessing": "gcn-l1", "epochs": 1, "batch_size": 16, "verbose": 0}
ESTIMATORS = {
    "DeepSVDD": (DeepSVDD, {**_NETWORK, "pretrain_epochs": 0}),
    "Autoencoder": (Autoencoder, _NETWORK),
    "AnoGAN": (AnoGAN, {"latent_dim": 8, "epochs": 1, "batch_size": 16, "search_steps": 6, "verbose": 0}),
    "SoftmaxClassifier": (
        SoftmaxClassifier,
        {"channels": (4, 4), "kernel_size": 3, "hidden": 8, "epochs": 1, "augment": False, "verbose": 0},
    ),
}
BACKENDS = [name for name in available_backends() if name != "cuda"]


def place(name):
    """The emulator without its checker, which only costs time here."""
    return EmulatorBackend(check=False) if name == "emulator" else name


def scores(model, X):
    return model.predict_proba(X) if isinstance(model, SoftmaxClassifier) else model.anomaly_score(X)


def arrays(model):
    """Copies of all that a fitted network holds."""
    network = model.network_
    named = {**network.arrays, **network.grads}
    return {name: np.array(network.backend.to_numpy(array)) for name, array in named.items()}


def in_threads(work, parts):
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(work, parts))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_threads_get_the_scores_of_one_thread_and_leave_the_model_alone(name, backend):
    (estimator, arguments), split = ESTIMATORS[name], digits()
    model = estimator(**arguments, backend=place(backend)).fit(split.train[:40], np.arange(40) % 2)
    parts = [split.test[first : first + 8] for first in (0, 8, 24)]
    right, before = [scores(model, part) for part in parts], arrays(model)
    for found, expected in zip(in_threads(lambda part: scores(model, part), parts * 2), right * 2):
        np.testing.assert_array_equal(found, expected)
    after = arrays(model)
    assert after.keys() == before.keys()
    assert all(after[key].tobytes() == array.tobytes() for key, array in before.items())


@pytest.mark.parametrize("estimator", [OneClassSVM, KernelDensity, IsolationForest])
def test_baselines(estimator):
    split = digits()
    model = estimator().fit(split.train)
    parts = [split.test[first : first + 50] for first in (0, 50, 100)]
    for found, part in zip(in_threads(model.anomaly_score, parts), parts):
        np.testing.assert_array_equal(found, model.anomaly_score(part))


@pytest.mark.parametrize("backend", BACKENDS)
def test_trainings_side_by_side_are_those_one_after_the_other(backend):
    """Threads that train share the emulated device, its libraries and the helpers of the NumPy operations."""
    X = digits().train[:24]

    def losses(seed):
        arguments = {**_NETWORK, "pretrain_epochs": 1, "threshold": "nu", "backend": place(backend)}
        model = DeepSVDD(**arguments, random_state=seed).fit(X)
        return model.history_["loss"], model.anomaly_score(X).tobytes()

    assert in_threads(losses, [0, 1, 2]) == [losses(seed) for seed in range(3)]


def test_a_capture_records_its_own_thread_alone():
    if "emulator" not in BACKENDS:
        pytest.skip("the emulator needs a C++ compiler")
    backend = EmulatorBackend(check=False)
    network = Sequential([Linear(3), BatchNorm(), LeakyReLU()])
    network.build((4,), np.random.default_rng(0), backend=backend)
    x = np.ones((5, 4), np.float32)
    expected = network.forward(x).copy()
    with backend.capture() as graph:
        (found,) = in_threads(network.forward, [x])
        recorded = network.forward(x)
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(recorded).all(), "a captured launch has not run yet"
    graph.launch()
    np.testing.assert_array_equal(recorded, expected)


def test_a_twin_has_the_same_arrays_and_a_life_of_its_own(rng):
    network = Sequential([Linear(3), BatchNorm(), LeakyReLU()])
    network.build((4,), rng)
    twin = network.twin()
    assert all(twin.params[name] is array for name, array in network.params.items())
    assert all(twin.buffers[name] is array for name, array in network.buffers.items())
    x = rng.standard_normal((5, 4)).astype(np.float32)
    twin.freeze_statistics()
    twin.forward(x, training=True)
    twin.backward(np.ones((5, 3), np.float32))
    assert not network.grads
    with pytest.raises(RuntimeError, match="before forward"):
        network.backward(np.ones((5, 3), np.float32))
    before = network.buffers["1.running_mean"].copy()
    network.forward(x, training=True)
    assert (network.buffers["1.running_mean"] != before).any(), "only the twin's statistics are frozen"
