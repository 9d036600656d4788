"""The autoencoder: it learns to reconstruct, its score is the reconstruction error, its networks mirror each other."""

import numpy as np
import pytest
from trainer_properties import digits

from minisvdd import Autoencoder
from minisvdd.experiments.experiments import area_under_roc
from minisvdd.nn.layers import BatchNorm, Conv2D, Flatten, Linear, Reshape, Sigmoid
from minisvdd.nn.networks import NETWORKS, Sequential, make_autoencoder, make_decoder, make_encoder, network_for

QUICK = {
    "network": "digits_lenet",
    "epochs": 40,
    "learning_rate": 1e-3,
    "milestones": (30,),
    "batch_size": 32,
    "preprocessing": "gcn-l1",
    "threshold": "nu",
    "verbose": 0,
}


@pytest.fixture(scope="module")
def trained():
    return Autoencoder(**QUICK).fit(digits().train)


def test_it_learns_to_reconstruct_and_to_tell_classes_apart(trained):
    split = digits()
    untrained = Autoencoder(**{**QUICK, "epochs": 0}).fit(split.train)
    assert trained.history_["loss"][-1] < 0.2 * trained.history_["loss"][0]
    assert trained.anomaly_score(split.train).mean() < 0.2 * untrained.anomaly_score(split.train).mean()
    assert area_under_roc(trained, split) > 0.95
    assert area_under_roc(trained, split) > area_under_roc(untrained, split) + 0.05


def test_the_score_is_the_squared_reconstruction_error(trained):
    X = digits().test[:20]
    difference = trained.preprocessing_.transform(X) - trained.reconstruct(X)
    np.testing.assert_allclose(trained.anomaly_score(X), (difference**2).sum(axis=(1, 2, 3)), rtol=1e-5)


def test_threshold_leaves_nu_outside(trained):
    train = digits().train
    assert np.mean(trained.predict(train) == -1) == pytest.approx(0.1, abs=1 / len(train))


def test_the_threshold_lies_a_hair_beyond_the_quantile():
    """1e-5 of it, so that rounding does not put a training sample outside."""
    train = digits().train
    model = Autoencoder(**{**QUICK, "epochs": 0, "nu": 0.1}).fit(train)
    at_quantile = np.sort(model.anomaly_score(train))[-(len(train) // 10) - 1]
    assert -model.offset_ == pytest.approx(at_quantile * (1 + 1e-5), rel=2e-6)


def test_a_network_of_your_own_needs_a_decoder():
    encoder = Sequential([Flatten(), Linear(6)])
    with pytest.raises(ValueError, match="decoder"):
        Autoencoder(**{**QUICK, "network": encoder}).fit(digits().train)
    wrong = Sequential([Linear(60), Reshape((1, 6, 10))])
    with pytest.raises(ValueError, match=r"\(1, 6, 10\).*\(1, 8, 8\)"):
        Autoencoder(**{**QUICK, "network": encoder}, decoder=wrong).fit(digits().train)
    right = Sequential([Linear(64), Reshape((1, 8, 8))])
    own = Autoencoder(**{**QUICK, "network": encoder}, decoder=right).fit(digits().train)
    assert own.reconstruct(digits().test).shape == digits().test.shape


SHAPES = {
    "mnist_lenet": (1, 28, 28),
    "cifar10_lenet": (3, 32, 32),
    "gtsrb_lenet": (3, 32, 32),
    "cifar10_normed": (3, 32, 32),
    "gtsrb_small": (3, 32, 32),
    "digits_lenet": (1, 8, 8),
    "small_lenet": (3, 20, 24),
    "lenet_48": (3, 49, 60),
    "lenet_96": (1, 96, 99),
    "lenet_192": (3, 195, 192),
    "mlp": (7,),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_autoencoder_returns_the_shape_of_its_input(name):
    shape = SHAPES[name]
    network = make_autoencoder(name, shape)
    assert network.build(shape, np.random.default_rng(0)) == shape
    assert network.forward(np.ones((2, *shape), np.float32)).shape == (2, *shape)


@pytest.mark.parametrize(
    ("name", "channels", "features"),
    [("mnist_lenet", [8, 4], 32), ("cifar10_lenet", [32, 64, 128], 128), ("gtsrb_lenet", [16, 32, 64], 32)],
)
def test_encoders_are_those_of_the_paper(name, channels, features):
    """The paper's section 4 and supplement: 5x5 filters, no biases anywhere, batch norm without affine parameters."""
    network = make_encoder(name, SHAPES[name])
    assert network.build(SHAPES[name], np.random.default_rng(0)) == (features,)
    weights = [weight for weight in network.params.values() if weight.ndim == 4]
    assert [weight.shape[0] for weight in weights] == channels
    assert {weight.shape[2:] for weight in weights} == {(5, 5)}
    assert all(key.endswith("weight") for key in network.params)
    assert not network.has_bias_like
    assert not network.is_bounded


SHARED = {"gtsrb_lenet", "cifar10_normed", "gtsrb_small", "digits_lenet", "small_lenet"}


@pytest.mark.parametrize(
    ("name", "start", "channels"),
    [("cifar10_normed", [(8, 4, 4)], [128, 64, 32, 3]), ("gtsrb_small", [64, (1, 8, 8)], [32, 16, 3])],
)
def test_decoders_of_the_first_scripts_end_with_batch_norm(name, start, channels):
    decoder, rng = make_decoder(name, SHAPES[name], slope=0.01, affine=True), np.random.default_rng(0)
    decoder.build(make_encoder(name, SHAPES[name]).build(SHAPES[name], rng), rng)
    *layers, norm, last = decoder.layers
    assert (type(norm), norm.affine, type(last)) == (BatchNorm, True, Sigmoid)
    first = [layer.out_features if isinstance(layer, Linear) else layer.shape for layer in layers[: len(start)]]
    assert first == start
    assert [layer.out_channels for layer in layers if isinstance(layer, Conv2D)] == channels
    assert sum(isinstance(layer, BatchNorm) for layer in layers) == len(channels) - 1
    before = make_decoder("cifar10_lenet", SHAPES[name])
    assert not isinstance(before.layers[-2], BatchNorm), "as the paper has it, by all that it says"


@pytest.mark.parametrize("name", sorted({*NETWORKS} - SHARED))
def test_network_for_a_shape(name):
    assert network_for(SHAPES[name]) == name


def test_network_for_other_shapes():
    assert network_for((1, 8, 8)) == "digits_lenet"
    assert network_for((3, 20, 24)) == "small_lenet"
