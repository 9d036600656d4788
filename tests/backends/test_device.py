"""Everything that trains or scores does so on a device: on the emulator, on a stand-in for CuPy, and on a GPU.

The stand-in (`tests/support/fake_cupy.py`) refuses to mix arrays of host and device, and does work on a stream only
when somebody waits for that stream: what is read too early is NaN.
"""

import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
from trainer_properties import digits

from minisvdd import AnoGAN, Autoencoder, DeepSVDD, SoftmaxClassifier, ops
from minisvdd.attack.boundary_attack import boundary_attack
from minisvdd.backends import EmulatorBackend, backend_problems, cuda, get_backend
from minisvdd.backends.captured import Captured, Evaluation, padded
from minisvdd.files.checkpoint import Checkpoint
from minisvdd.nn import BatchNorm, LeakyReLU, Linear, Sequential, init, outputs, outputs_in_parts
from minisvdd.nn.batches import evaluation_batch
from minisvdd.nn.networks import make_autoencoder
from minisvdd.nn.training import Plan
from minisvdd.rivals import latent
from minisvdd.rivals.dcgan import GAN_ARCHITECTURES, GanArchitecture, make_gan
from minisvdd.rivals.game import AdversarialTraining

_PROBLEM = backend_problems()["cuda"]
_GPU = [pytest.mark.gpu, pytest.mark.skipif(bool(_PROBLEM), reason=str(_PROBLEM))]
needs_compiler = pytest.mark.compiler
_NETWORK = {"network": "digits_lenet", "preprocessing": "gcn-l1", "epochs": 3, "batch_size": 8, "verbose": 0}
_GAN = {
    "network": "narrow_dcgan",
    "latent_dim": 6,
    "epochs": 3,
    "batch_size": 6,
    "search_learning_rate": 0.1,
    "verbose": 0,
}
ESTIMATORS = {
    "DeepSVDD": (DeepSVDD, {**_NETWORK, "pretrain_epochs": 1, "threshold": "nu"}),
    "Autoencoder": (Autoencoder, {**_NETWORK, "threshold": "nu"}),
    "AnoGAN": (AnoGAN, {**_GAN, "search_steps": 2, "threshold": "nu"}),
    "SoftmaxClassifier": (
        SoftmaxClassifier,
        {"channels": (4, 4), "kernel_size": 3, "hidden": 8, "epochs": 3, "batch_size": 8, "verbose": 0},
    ),
}
X, y = digits().train[:14], np.arange(14) % 2


@pytest.fixture(autouse=True)
def narrow_dcgan(monkeypatch):
    """A quarter of small_dcgan's channels: the emulator's time grows with them."""
    monkeypatch.setitem(GAN_ARCHITECTURES, "narrow_dcgan", GanArchitecture((8, 4)))


PLACES = {"emulator": needs_compiler, "stand-in": needs_compiler, "cuda": _GPU}


@pytest.fixture(params=[pytest.param(place, marks=marks) for place, marks in PLACES.items()])
def device(request):
    if request.param == "stand-in":
        return request.getfixturevalue("stand_in")
    return EmulatorBackend(check=False) if request.param == "emulator" else get_backend("cuda")


def estimators(*names, emulator):
    """Parameters `name` and `device`: all on the stand-in and on a GPU, some on the emulator, which forgives more."""
    pairs = [(name, place) for name in names for place in PLACES if place != "emulator" or name in emulator]
    cases = [pytest.param(name, place, marks=PLACES[place], id=f"{place}-{name}") for name, place in pairs]
    return pytest.mark.parametrize(("name", "device"), cases, indirect=["device"])


@pytest.fixture
def stand_in(monkeypatch):
    import fake_cupy

    fake_cupy.install(monkeypatch)
    yield get_backend("cuda")
    cuda._function.cache_clear()
    cuda._module.cache_clear()


@pytest.fixture
def short_windows(monkeypatch):
    """Some images converge in a few steps, the others go on."""
    monkeypatch.setattr(latent, "WINDOW", 3)
    monkeypatch.setattr(latent, "TOLERANCE", 0.02)


def fitted(name, backend, **options):
    estimator, arguments = ESTIMATORS[name]
    return estimator(**{**arguments, **options}, backend=backend).fit(X, y)


def scores(model):
    return model.predict_proba(X) if isinstance(model, SoftmaxClassifier) else model.anomaly_score(X)


@pytest.mark.slow
@pytest.mark.usefixtures("short_windows")
def test_anogan_trains_and_searches_as_on_the_host(device):
    """Several windows, in which some images leave, and an incomplete batch."""
    on_host, on_device = (fitted("AnoGAN", place, search_steps=7) for place in ("numpy", device))
    for curve in ("discriminator_loss", "generator_loss"):
        np.testing.assert_allclose(on_device.history_[curve], on_host.history_[curve], rtol=1e-4)
    expected, got = on_host.search(X), on_device.search(X)
    np.testing.assert_allclose(got.losses, expected.losses, rtol=5e-5)
    np.testing.assert_array_equal(got.steps, expected.steps)
    np.testing.assert_array_equal(got.converged, expected.converged)
    assert len(np.unique(got.steps)) > 1, "an image left before the others"
    np.testing.assert_array_equal(on_device.search(X).losses, got.losses)


@pytest.mark.slow
def test_a_game_whose_learning_rate_falls(device):
    """Captured turns look for it on the device."""
    losses = []
    for place in (get_backend("numpy"), device):
        network = make_gan("small_dcgan", (1, 8, 8), 3)
        network.build((3,), np.random.default_rng(0), backend=place)
        plan = Plan(epochs=4, learning_rate=1e-2, milestones=(3,), batch_size=4)
        training = AdversarialTraining(network, None, 2 * X[:4] - 1, plan, np.random.default_rng(1)).run()
        after = network.layers[0].forward(place.asarray(np.ones((2, 3), np.float32)))
        losses.append((training.history["generator_loss"], place.to_numpy(after).ravel()))
    for got, expected in zip(losses[1], losses[0]):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_classifier_and_its_attack_as_on_the_host(device):
    """New images and targets in every epoch; queries in batches of falling size; the same answers, so the same walk."""
    on_host, on_device = fitted("SoftmaxClassifier", "numpy"), fitted("SoftmaxClassifier", device)
    np.testing.assert_allclose(on_device.history_["loss"], on_host.history_["loss"], rtol=1e-4)
    walks = [
        boundary_attack(m.predict, X[:6], m.predict(X[:6]), starts=X[6:], rng=np.random.default_rng(0), queries=40)
        for m in (on_host, on_device)
    ]
    np.testing.assert_array_equal(walks[0].predicted, walks[1].predicted)
    np.testing.assert_array_equal(walks[0].queries, walks[1].queries)
    np.testing.assert_allclose(walks[0].distances, walks[1].distances)


@pytest.mark.slow
@estimators(*ESTIMATORS, emulator=["DeepSVDD", "SoftmaxClassifier"])
def test_a_second_run_copies_and_pickles_score_alike(name, device):
    """joblib's processes and `GridSearchCV` send models; a captured graph stays where it is."""
    model, again = (fitted(name, device, epochs=2) for _ in range(2))
    expected = scores(model)
    assert scores(again).tobytes() == expected.tobytes()
    for other in (pickle.loads(pickle.dumps(model)), deepcopy(model)):
        np.testing.assert_array_equal(scores(other), expected)
        np.testing.assert_array_equal(scores(other), expected)
        for key, array in other.network_.params.items():
            assert array is not model.network_.params[key]


@pytest.mark.slow
@estimators("AnoGAN", "SoftmaxClassifier", "DeepSVDD", emulator=["SoftmaxClassifier", "DeepSVDD"])
def test_a_training_that_goes_on_from_a_checkpoint_ends_alike(name, device, tmp_path):
    estimator, arguments = ESTIMATORS[name]
    fits = [lambda m, **o: m.fit(X, **o), lambda m, **o: m.fit(X, y, **o)][name == "SoftmaxClassifier"]
    whole = fits(estimator(**arguments, backend=device))
    path = tmp_path / "checkpoint.npz"

    model = estimator(**arguments, backend=device)
    kept = Checkpoint(path, every=1)
    trainings = model.trainings(X, y, kept) if name == "SoftmaxClassifier" else model.trainings(X, checkpoint=kept)
    for training in trainings:
        while not training.is_done and training.epoch < 2:
            training.start_epoch()
            training.finish_epoch()
        if not training.is_done:
            break  # in the last training, after its second epoch
    again = fits(estimator(**arguments, backend=device), checkpoint=Checkpoint(path, every=1, resume=True))
    np.testing.assert_array_equal(scores(again), scores(whole))


@pytest.mark.slow
@pytest.mark.usefixtures("short_windows")
@estimators("DeepSVDD", "AnoGAN", emulator=["DeepSVDD"])
def test_threads_and_streams_do_not_meet(name, device):
    """Each training and each search on a stream of its own, in two threads: as one after the other."""

    def work(seed):
        return scores(fitted(name, device, random_state=seed, epochs=2)).tobytes()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [work(seed) for seed in range(2)]


MORE = {
    "soft-boundary": {"objective": "soft-boundary", "radius_every": 1},
    "the authors' radius": {"objective": "soft-boundary", "radius_update": "authors-theano"},
    "fixed batches, not of all samples": {"batches": "fixed"},
    "running statistics": {"statistics": "running"},
    "a dictionary": {"first_filters": "dictionary", "gain": 1.4, "affine": True},
    "held-out samples, and once more": {"threshold": "holdout", "refit": True},
}


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", MORE)
def test_whatever_is_asked_for_follows_numpy(name, stand_in, monkeypatch):
    monkeypatch.setattr(init, "_STEPS", 50)  # of learning a dictionary, which is the host's work
    images = digits().train[:45]
    options = {**ESTIMATORS["DeepSVDD"][1], "epochs": 2, "batch_size": 14, "false_alarm_rate": 0.1, **MORE[name]}
    on_host, on_device = (DeepSVDD(**options, backend=place).fit(images) for place in ("numpy", stand_in))
    np.testing.assert_allclose(on_device.history_["loss"], on_host.history_["loss"], rtol=1e-3)
    np.testing.assert_allclose(on_device.anomaly_score(images), on_host.anomaly_score(images), rtol=0.02, atol=1e-3)
    for other in (pickle.loads(pickle.dumps(on_device)), deepcopy(on_device)):  # nothing lies where graphs have been
        np.testing.assert_array_equal(other.anomaly_score(images), on_device.anomaly_score(images))


@pytest.mark.slow
@needs_compiler
def test_where_it_is_follows_numpy(stand_in):
    models = [fitted("DeepSVDD", place) for place in ("numpy", stand_in)]
    for method in ("gradient", "exchange", "residual"):
        expected, got = (model.explain(X[:3], method=method) for model in models)
        np.testing.assert_allclose(got, expected, rtol=0.02, atol=0.01 * np.abs(expected).max())


@pytest.mark.slow
@needs_compiler
def test_weights_and_networks_go_from_the_device_to_the_host(stand_in):
    """Nothing of the device is left in them."""
    options = ESTIMATORS["DeepSVDD"][1]
    autoencoder = fitted("Autoencoder", stand_in)
    models = [DeepSVDD(**options, backend=place, autoencoder=autoencoder).fit(X) for place in ("numpy", stand_in)]
    np.testing.assert_allclose(*(model.anomaly_score(X) for model in models), rtol=0.02)
    options = options | {"network": models[1].network_, "pretrain_epochs": 0}
    again, drawn = (DeepSVDD(**{**options, **more}).fit(X) for more in ({}, {"network": "digits_lenet"}))
    np.testing.assert_array_equal(again.anomaly_score(X), drawn.anomaly_score(X))


# Evaluation through graphs


def small(backend):
    network = Sequential([Linear(4), BatchNorm(), LeakyReLU(), Linear(3)])
    network.build((5,), np.random.default_rng(0), backend=backend)
    return network


@pytest.mark.parametrize("n", [1, 2, 499, 500, 501, 1100, 9000])
def test_evaluation_gives_what_a_plain_pass_gives(n, device, rng):
    """Twice and three times, since the first run is plain, the second captured; rows behind the batch do no harm."""
    network, rows = small(device), rng.standard_normal((n, 5)).astype(np.float32)
    expected = device.to_numpy(network.forward(device.asarray(rows)))
    network.evaluation = None
    outputs(network, np.full((n, 5), np.nan, np.float32))
    for _ in range(3):
        np.testing.assert_allclose(outputs(network, rows), expected, rtol=1e-6, atol=1e-7)
    first, again = outputs(network, rows), outputs(network, rows)
    assert first.tobytes() == again.tobytes()
    parts = list(outputs_in_parts(network, rows))
    assert [part.start for part, _ in parts] == list(range(0, n, evaluation_batch((5,))))
    np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), first)


def test_python_runs_twice_and_then_the_graph_alone(device, rng):
    values, calls, work = rng.standard_normal((5, 37)).astype(np.float32), [], Captured(device)
    x = device.zeros(37, np.float32)

    def function():
        calls.append("")
        return ops.leaky_relu_forward.on(device)(x, 0.1)

    with device.stream():
        for row in values:
            x[...] = device.asarray(row)
            y = work(function)
            device.synchronize()
            np.testing.assert_allclose(device.to_numpy(y), np.where(row > 0, row, 0.1 * row), rtol=1e-6)
    assert len(calls) == 2


def test_an_evaluation_sees_new_weights(device, rng):
    """Changed in place, by a training, or replaced, by a file."""
    network, rows = small(device), rng.standard_normal((6, 5)).astype(np.float32)
    for _ in range(3):
        before = outputs(network, rows)
    device.write(network.params["3.weight"], 2 * device.to_numpy(network.params["3.weight"]))
    np.testing.assert_allclose(outputs(network, rows), 2 * before, rtol=1e-6)
    saved = {name: device.to_numpy(a) for name, a in network.arrays.items()}
    network.load_arrays({**saved, "3.weight": saved["3.weight"] / 4})
    for _ in range(3):
        np.testing.assert_allclose(outputs(network, rows), before / 2, rtol=1e-6)


def test_images_in_and_out(device):
    """An autoencoder's outputs are images; the last batch is a small one."""
    network = make_autoencoder("digits_lenet", (1, 8, 8))
    network.build((1, 8, 8), np.random.default_rng(0), backend=device)
    images = X.reshape(-1, 1, 8, 8)
    expected = device.to_numpy(network.forward(device.asarray(images)))
    for _ in range(3):
        np.testing.assert_allclose(outputs(network, images), expected, rtol=1e-5, atol=1e-6)


class Doubled(Linear):
    """A layer of somebody else, who computes with the backend's arrays as they come."""

    def forward(self, x, training=False):
        return self.backend.asarray(2 * self.backend.to_numpy(super().forward(x, training)))


def test_what_is_not_ours_is_not_captured(device, rng):
    network, rows = Sequential([Doubled(3)]), rng.standard_normal((4, 5)).astype(np.float32)
    network.build((5,), np.random.default_rng(0), backend=device)
    expected = 2 * rows @ device.to_numpy(network.params["0.weight"]).T
    for _ in range(3):
        np.testing.assert_allclose(outputs(network, rows), expected, rtol=1e-5)
    assert network.evaluation is None


def test_several_threads_share_a_networks_graphs(device, rng):
    network, parts = small(device), [rng.standard_normal((n, 5)).astype(np.float32) for n in (7, 8, 5, 7)]
    right = [outputs(network, rows).tobytes() for rows in parts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda rows: outputs(network, rows).tobytes(), parts * 30))
    assert found == right * 30


@needs_compiler
def test_the_host_waits_once_for_many_batches(stand_in, monkeypatch, rng):
    network, rows = small(stand_in), rng.standard_normal((7900, 5)).astype(np.float32)
    waits, asnumpy = [], stand_in.cupy.asnumpy
    monkeypatch.setattr(stand_in.cupy, "asnumpy", lambda array: waits.append(array) or asnumpy(array))
    outputs(network, rows)
    assert len(waits) == 1
    outputs(network, np.concatenate([rows, rows]))
    assert len(waits) == 3, "16 batches at a time: results of any number need not fit on the device"


@needs_compiler
def test_few_graphs_serve_all_sizes(device, rng):
    network, evaluation = small(device), Evaluation(device)
    for n in range(1, 120):
        rows = rng.standard_normal((n, 5)).astype(np.float32)
        got = evaluation(network.forward, list(network.params.values()), rows, 500)
        assert got.shape == (n, 3)
    assert len(evaluation._batches) == 8
    assert len({padded(n, 500) for n in range(1, 501)}) <= 32
    assert all(n <= padded(n, 500) <= max(n, 1.25 * n) for n in range(1, 501))


@needs_compiler
def test_the_stand_in_is_late(stand_in):
    """Otherwise it would prove nothing."""
    with stand_in.stream():
        array = stand_in.asarray(np.ones(3, np.float32))
    assert np.isnan(stand_in.to_numpy(array)).all(), "nobody has waited for that stream"
    for refused in (lambda: array.__setitem__(slice(None), np.ones(3)), lambda: array[np.ones(3, bool)]):
        with pytest.raises(TypeError, match="NumPy array"):
            refused()


@pytest.mark.slow
@needs_compiler
def test_a_training_whose_stream_is_not_waited_for_is_noticed(stand_in, monkeypatch):
    monkeypatch.setattr(type(stand_in), "synchronize", lambda self: None)
    with pytest.raises((FloatingPointError, ValueError)):
        fitted("DeepSVDD", stand_in)
