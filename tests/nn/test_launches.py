"""How many kernels a training step starts: on a small network a launch costs more than what most of them do."""

from functools import partial

import numpy as np
import pytest

from minisvdd.backends.emulator import EmulatorBackend
from minisvdd.nn.losses import MeanSquaredError, OneClass, SoftBoundary
from minisvdd.nn.networks import make_autoencoder, make_encoder
from minisvdd.nn.optim import Adam
from minisvdd.nn.steps import DeviceSteps

pytestmark = pytest.mark.compiler


class Counting(EmulatorBackend):
    """An emulator that counts launches, by whatever operation."""

    launches = 0

    def _start(self, *launch):
        self.launches += 1
        super()._start(*launch)


def launches_of_a_step(make, name, shape, loss):
    """Of a training whose parameters share one array, when all that is done once has been done."""
    backend = Counting(check=False)
    network = make(name, shape)
    network.build(shape, np.random.default_rng(0), backend=backend)
    X = np.random.default_rng(1).random((6, *shape), np.float32)
    center = np.ones(network.output_shape, np.float32)
    steps = DeviceSteps(network, LOSSES[loss](center, backend), Adam(network, 1e-4, 1e-6), X, 3, captured=False)
    for _ in range(2):
        before = backend.launches
        steps.start([np.arange(3), np.arange(3, 6)])
        assert np.isfinite(steps.finish()[0]).all()
    return (backend.launches - before) / 2


LOSSES = {
    "one-class": OneClass,
    "soft-boundary": lambda center, backend: SoftBoundary(center, 0.1, backend=backend),
    "reconstruction": lambda center, backend: MeanSquaredError(backend),
}


@pytest.mark.parametrize(
    ("make", "name", "shape", "loss", "most"),
    [
        (make_encoder, "mnist_lenet", (1, 28, 28), "one-class", 22),
        (make_encoder, "mnist_lenet", (1, 28, 28), "soft-boundary", 22),
        (make_autoencoder, "mnist_lenet", (1, 28, 28), "reconstruction", 63),
    ],
)
def test_launches_of_a_step(make, name, shape, loss, most):
    assert launches_of_a_step(make, name, shape, loss) <= most


@pytest.mark.parametrize(
    ("make", "loss", "most"), [(make_encoder, "one-class", 22), (make_autoencoder, "reconstruction", 77)]
)
def test_launches_of_a_step_with_scale_and_shift(make, loss, most):
    """As the protocol `authors-theano` trains: more where batch norm stands alone, as in the decoder."""
    assert launches_of_a_step(partial(make, affine=True), "mnist_lenet", (1, 28, 28), loss) <= most
