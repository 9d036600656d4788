"""Captured training steps: bit for bit the plain loop, on fixed memory, alone and side by side."""

from itertools import zip_longest

import numpy as np
import pytest

from minisvdd import DeepSVDD, load_dataset
from minisvdd.backends import EmulatorBackend, KernelError, backend_problems, get_backend
from minisvdd.nn.batches import shuffled_batches
from minisvdd.nn.layers import (
    BatchNorm,
    Conv2D,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2D,
    Reshape,
    Sigmoid,
    Tanh,
    Upsample,
)
from minisvdd.nn.losses import MeanSquaredError, SoftBoundary
from minisvdd.nn.networks import Sequential
from minisvdd.nn.optim import Adam
from minisvdd.nn.steps import DeviceSteps
from minisvdd.nn.training import Plan, Training, train_epoch

_PROBLEMS = backend_problems()
X = load_dataset("digits").train_images[:22].astype(np.float32) / 16
PLAN = Plan(epochs=3, learning_rate=1e-2, milestones=(2,), weight_decay=1e-3, batch_size=8)


@pytest.fixture(
    params=[
        pytest.param(
            name, marks=[pytest.mark.gpu] * (name == "cuda") + [pytest.mark.skipif(bool(why), reason=str(why))]
        )
        for name, why in _PROBLEMS.items()
        if name not in ("plain", "numpy")
    ]
)
def device(request):
    """Every backend of kernels; the emulator without its checker, whose place is in the tests of single operations."""
    return EmulatorBackend(check=False) if request.param == "emulator" else get_backend(request.param)


def network(backend, seed=0):
    """Every kind of layer, biases and affine batch norm included, so that nothing escapes a capture."""
    layers = [
        Conv2D(3, 3, padding="same", bias=True), BatchNorm(affine=True), LeakyReLU(), MaxPool2D(2),
        Conv2D(4, 3, padding="same"), BatchNorm(), LeakyReLU(0.2), MaxPool2D(2),
        Flatten(), Linear(5, bias=True), BatchNorm(), Tanh(), Linear(16), Reshape((4, 2, 2)), Upsample(4),
        Conv2D(1, 5, padding=2), Sigmoid(),
    ]  # fmt: skip
    built = Sequential(layers)
    built.build(X.shape[1:], np.random.default_rng(seed), backend=backend)
    return built


def arrays(trained):
    """All parameters and running statistics, on the host."""
    return {name: trained.backend.to_numpy(a).copy() for name, a in trained.arrays.items()}


def training(built, seed=0, samples=X, **options):
    """Of an autoencoder with that network."""
    rng = np.random.default_rng(seed)
    return Training(built, MeanSquaredError(built.backend), samples, PLAN, rng, **options)


def trained(backend, captured, seed=0):
    built = network(backend, seed)
    one = training(built, seed)
    one.steps.captured = captured
    history = one.run().history
    return arrays(built), history["loss"]


def side_by_side(trainings):
    """Each on a stream of its own: one epoch of each in turn."""
    while not all(each.is_done for each in trainings):
        for each in trainings:
            each.finish_epoch()
            each.start_epoch()


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_captured_steps_equal_plain_steps_bit_for_bit(device):
    plain, plain_losses = trained(device, captured=False)
    captured, captured_losses = trained(device, captured=True)
    assert_same(plain, captured)
    assert plain_losses == captured_losses
    assert captured_losses[-1] < captured_losses[0]


def test_steps_on_the_device_equal_the_loop_over_host_batches(device):
    """The reference: batches cut by NumPy, one launch after the other, one Adam launch per array.

    To the bit on the emulator; nvcc may fuse multiplication and addition differently in the two kernels of Adam.
    """
    host, rng = network(device), np.random.default_rng(0)
    optimizer = Adam(host, PLAN.learning_rate, PLAN.weight_decay, flat=False)
    losses = []
    for epoch in range(PLAN.epochs):
        optimizer.learning_rate = PLAN.learning_rate * (0.1 if epoch >= 2 else 1)
        losses.append(train_epoch(host, MeanSquaredError(device), optimizer, X, shuffled_batches(len(X), 8, rng)))
    captured, captured_losses = trained(device, captured=True)
    if device.name == "emulator":
        assert_same(arrays(host), captured)
        assert losses == captured_losses
    np.testing.assert_allclose(losses, captured_losses, rtol=1e-5)


def test_training_follows_numpy(device):
    """By its losses: the bias before batch norm has gradient 0, which Adam makes steps of from rounding alone."""
    _, on_host = trained(get_backend("numpy"), captured=False)
    _, on_device = trained(device, captured=True)
    np.testing.assert_allclose(on_device, on_host, rtol=1e-4)


@pytest.mark.skipif(bool(_PROBLEMS["emulator"]), reason=str(_PROBLEMS["emulator"]))
def test_a_captured_step_allocates_nothing_and_starts_no_layer(monkeypatch):
    device = EmulatorBackend(check=False)
    built, loss, rng = network(device), MeanSquaredError(device), np.random.default_rng(0)
    steps = DeviceSteps(built, loss, Adam(built), X, 8)
    for _ in range(2):  # the batches of 8 and of 6 have then been captured
        steps.start(shuffled_batches(len(X), 8, rng))
    for place in (built, device):
        for name in ("forward", "backward", "empty", "zeros", "run"):
            monkeypatch.setattr(
                place, name, lambda *args, name=name, **options: pytest.fail(f"{name} was called"), raising=False
            )
    before = arrays(built)
    steps.start(shuffled_batches(len(X), 8, rng))
    losses, samples = steps.finish()
    assert len(losses) == 3
    assert [len(shares) for shares in samples] == [8, 8, 6]
    np.testing.assert_allclose([shares.mean() for shares in samples], losses, rtol=1e-6)
    assert all(not np.array_equal(before[name], after) for name, after in arrays(built).items() if "weight" in name)


def test_side_by_side_equals_one_after_the_other_bit_for_bit(device):
    alone = [trained(device, captured=True, seed=seed)[0] for seed in range(3)]
    networks = [network(device, seed) for seed in range(3)]
    side_by_side([training(built, seed) for seed, built in enumerate(networks)])
    for built, expected in zip(networks, alone):
        assert_same(arrays(built), expected)


def test_models_fitted_side_by_side_equal_those_fitted_alone(device):
    """Pre-training and radius included, on classes of different sizes."""
    digits = load_dataset("digits")
    data = [digits.one_class(c).train[:n] for c, n in ((0, 10), (1, 13))]

    def model():
        options = {"pretrain_epochs": 1, "epochs": 3, "batch_size": 7, "radius_every": 2, "learning_rate": 1e-3}
        options["threshold"] = "nu"
        options |= {"network": "digits_lenet", "preprocessing": None, "backend": device, "verbose": 0}
        return DeepSVDD("soft-boundary", **options)

    alone = [model().fit(images) for images in data]
    together = [model() for _ in data]
    for trainings in zip_longest(*(each.trainings(images) for each, images in zip(together, data))):
        side_by_side(trainings)
    for first, second, images in zip(alone, together, data):
        assert first.history_["loss"] == second.history_["loss"]
        assert first.radius_ == second.radius_
        np.testing.assert_array_equal(first.anomaly_score(images), second.anomaly_score(images))


@pytest.mark.skipif(bool(_PROBLEMS["emulator"]), reason=str(_PROBLEMS["emulator"]))
def test_what_a_graph_cannot_hold_is_refused():
    device = EmulatorBackend()
    x = np.ones((3, 4), np.float32)
    with device.capture():
        for act in (
            lambda: device.to_numpy(x),
            lambda: device.write(x, 1),
            lambda: device.dense(x.T),
            lambda: device.capture().__enter__(),
        ):
            with pytest.raises(KernelError, match="captur"):
                act()
    device.to_numpy(x)


def test_divergence_is_reported_as_on_the_host(device):
    with (
        pytest.raises(FloatingPointError, match=r"training diverged in epoch 1, the loss is "),
        np.errstate(all="ignore"),
    ):
        training(network(device), samples=np.where(X > 0.5, np.nan, X)).run()


def test_a_sphere_that_holds_all_samples_leaves_the_weights_alone(device):
    """Captured, too: weight decay rests while nobody is outside, and is back when the radius is smaller again."""
    plan = Plan(epochs=4, learning_rate=1e-2, weight_decay=1e-3, batch_size=8)

    def run(shrinks_in, captured):
        built = Sequential([Flatten(), Linear(6), LeakyReLU(), Linear(3)])
        built.build(X.shape[1:], np.random.default_rng(0), backend=device)
        loss = SoftBoundary(device.asarray(np.ones(3, np.float32)), 0.1, 1e9, device)

        def set_radius(training):
            loss.radius_squared = 1e9 if training.epoch < shrinks_in else 0.0

        before, rng = arrays(built), np.random.default_rng(0)
        one = Training(built, loss, X, plan, rng, before_epoch=set_radius)
        one.steps.captured = captured
        one.run()
        return before, arrays(built)

    for captured in (False, True):
        assert_same(*run(4, captured))
    (before, plain), (_, graphs) = (run(3, captured) for captured in (False, True))
    assert_same(plain, graphs)
    assert not any(np.array_equal(plain[name], before[name]) for name in plain)
