"""The paper's networks against the golden files that torch wrote: needs no torch (see golden/make.py)."""

import re
from types import SimpleNamespace

import make
import numpy as np
import pytest

from minisvdd import ops
from minisvdd.backends import HostBackend
from minisvdd.nn.layers import BatchNorm, Conv2D, LeakyReLU
from minisvdd.nn.losses import MeanSquaredError, OneClass
from minisvdd.nn.networks import make_autoencoder, make_encoder
from minisvdd.nn.optim import Adam

# Measured: 2e-14, after ten steps of Adam too. Weights that differ by 1e-14 end at most 30 times as far apart, because
# nearly all gradients are far above Adam's epsilon, where a step is smooth in g. A bound of 1e-8 would be too wide: the
# losses without weight decay differ by 2e-9 only.
TOLERANCE = 1e-10
FORMULA_TOLERANCE = 1e-14  # weights and images come from integer arithmetic: only their checksums round


def build(name, kind, backend="numpy"):
    """Our network with the golden weights, float64."""
    network = (make_encoder if kind == "encoder" else make_autoencoder)(name, make.INPUT_SHAPES[name])
    network.build(make.INPUT_SHAPES[name], np.random.default_rng(0), np.float64, backend)
    for label, param in network.params.items():
        param[...] = make.weight(label, param.shape)
    return network


def minisvdd_side(name, kind, network, weight_decay=make.WEIGHT_DECAY):
    """Our network, loss and optimiser in the form that `make.describe` asks for."""
    optimizer = Adam(network, make.LEARNING_RATE, weight_decay)
    last = {}

    def train_pass(x):
        output = network.forward(x, training=True)
        loss, grad, _ = OneClass(make.center(name))(output) if kind == "encoder" else MeanSquaredError()(output, x)
        last["grad_input"] = network.backward(grad)
        return loss, output

    return SimpleNamespace(
        weights=lambda: network.params,
        train_pass=train_pass,
        gradients=lambda: {**network.grads, "input": last["grad_input"]},
        statistics=lambda: network.buffers,
        step=optimizer.step,
        evaluate=network.forward,
    )


def deviations(content, golden):
    """Largest difference of each array, relative to its largest magnitude."""
    assert content.keys() == golden.keys()
    return {
        name: np.abs(content[name] - expected).max() / np.abs(expected).max()
        if content[name].shape == expected.shape
        else np.inf
        for name, expected in golden.items()
    }


def too_far(name, kind, network, **options):
    """Names of the arrays in which `network` leaves the golden file, with their deviations."""
    with np.load(make.FOLDER / f"{name}_{kind}.npz") as archive:
        golden = {key: archive[key] for key in archive.files if key != "torch_version"}
    found = deviations(make.describe(name, minisvdd_side(name, kind, network, **options)), golden)
    formula = re.compile("image|center|weight/")
    bounds = {key: FORMULA_TOLERANCE if formula.match(key) else TOLERANCE for key in found}
    return {key: float(value) for key, value in found.items() if not value <= bounds[key]}


# the formulas themselves on the smallest images alone: those of the other networks are the same ones
PLAIN = [(name, kind, "plain") for name, kind in make.CASES if name == "mnist_lenet"]


@pytest.mark.parametrize(("name", "kind", "backend"), [*PLAIN, *((*case, "numpy") for case in make.CASES)])
def test_agrees_with_torch(name, kind, backend):
    assert too_far(name, kind, build(name, kind, backend)) == {}


def test_files_are_small():
    assert sum(path.stat().st_size for path in make.FOLDER.glob("*.npz")) < 200_000


# The golden files are worth something only if they notice mistakes. Each of these was planted in a correct network.


def set_everywhere(kind_of_layer, **attributes):
    """A mistake that gives all layers of one kind a wrong constant."""

    def plant(network):
        for layer in network.flat_layers():
            if type(layer) is kind_of_layer:
                vars(layer).update(attributes)

    return plant


def pad_decoder_wrongly(network):
    """Padding 2, 2, 0 in place of 2, 1, 2 keeps every image at 28x28 in the end: no error but a wrong network."""
    *_, middle, last = (layer for layer in network.flat_layers() if type(layer) is Conv2D)
    middle.padding, last.padding = (2, 2), (0, 0)


def statistics_that_do_not_depend_on_x(grad_output, x_hat, scale):
    """In the place of `batchnorm_backward`."""
    return ops.batchnorm_backward_fixed(grad_output, scale)


MISTAKES = {  # the mistake, and an array that has to show it
    "batch norm's epsilon is torch's default": (set_everywhere(BatchNorm, epsilon=1e-5), "output"),
    "leaky slope of the authors' code": (set_everywhere(LeakyReLU, slope=0.01), "output"),
    "running statistics move too slowly": (set_everywhere(BatchNorm, momentum=0.01), "trained/output"),
    "decoder's padding": (pad_decoder_wrongly, "output"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_notices(mistake):
    plant, array = MISTAKES[mistake]
    network = build("mnist_lenet", "autoencoder")
    plant(network)
    assert array in too_far("mnist_lenet", "autoencoder", network)


def test_notices_that_the_backward_of_batch_norm_is_the_evaluation_one():
    backend = HostBackend(readings={"batchnorm_backward": statistics_that_do_not_depend_on_x})
    found = too_far("mnist_lenet", "autoencoder", build("mnist_lenet", "autoencoder", backend))
    assert "gradient/0.0.weight" in found
    assert "output" not in found


@pytest.mark.parametrize("kind", ["encoder", "autoencoder"])
def test_notices_missing_weight_decay(kind):
    found = too_far("mnist_lenet", kind, build("mnist_lenet", kind), weight_decay=0.0)
    assert "losses" in found
    assert "output" not in found
