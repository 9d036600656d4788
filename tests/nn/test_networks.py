"""The networks by name: for images of every size there is one, its decoder mirrors it, and nothing has a bias."""

import numpy as np
import pytest
from layer_table import LAYERS

from minisvdd import nn
from minisvdd.nn.networks import ARCHITECTURES
from minisvdd.svdd.autoencoder import Autoencoder

SHAPES = [
    (1, 8, 8), (3, 9, 8), (1, 15, 40), (3, 16, 17), (1, 31, 31), (3, 33, 32), (1, 63, 47), (3, 64, 64), (1, 65, 127),
    (3, 100, 90), (1, 129, 200), (3, 255, 131), (1, 256, 256), (1, 300, 280), (2, 21, 13),
]  # fmt: skip
LADDER = {name: spec for name, spec in ARCHITECTURES.items() if spec.least_side is not None}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_network_for_a_shape_has_a_decoder_that_makes_this_shape(shape):
    name, rng = nn.network_for(shape), np.random.default_rng(0)
    encoder, decoder = nn.make_encoder(name, shape), nn.make_decoder(name, shape)
    features = encoder.build(shape, rng)
    assert features == (ARCHITECTURES[name].features,)
    assert decoder.build(features, rng) == shape
    assert not encoder.has_bias_like
    assert not encoder.is_bounded
    assert not decoder.has_bias_like
    assert decoder.output_range == (0, 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_last_map_keeps_a_middling_short_side(shape):
    spec = ARCHITECTURES[nn.network_for(shape)]
    side = min(shape[1:]) // 2 ** len(spec.channels)
    assert {0: 2, 16: 4}.get(spec.least_side, 6) <= side < 12


def test_each_rung_begins_where_the_one_below_ends():
    for name, spec in LADDER.items():
        least = max(8, spec.least_side)
        assert nn.network_for((2, least, 999)) == nn.network_for((2, 999, least)) == name
        assert least == 8 or nn.network_for((2, least - 1, 999)) != name


@pytest.mark.parametrize("shape", [(1, 9, 11), (3, 33, 34), (1, 49, 51)], ids=str)
def test_an_odd_decoder_learns_also_its_last_row_and_column(shape):
    """Images with a bright last row and column: after a few steps the reconstruction is bright there."""
    rng = np.random.default_rng(0)
    X = 0.1 * rng.random((12, *shape), np.float32)
    X[:, :, -1] = X[:, :, :, -1] = 0.9
    model = Autoencoder(epochs=30, learning_rate=1e-2, batch_size=4, preprocessing=None, verbose=0).fit(X)
    seen = model.reconstruct(X)
    assert seen.shape == X.shape
    assert model.history_["loss"][-1] < 0.5 * model.history_["loss"][0]
    assert min(seen[:, :, -1].mean(), seen[:, :, :, -1].mean()) > 2 * seen[:, :, :-1, :-1].mean()


def test_what_a_chain_can_produce_is_what_its_last_layer_but_movers_can():
    sigmoid = [nn.Linear(4), nn.Sigmoid(), nn.Reshape((1, 2, 2))]
    assert nn.Sequential([*sigmoid, nn.Upsample(2)]).output_range == (0, 1)
    assert nn.Sequential([nn.Sequential(sigmoid), nn.MaxPool2D(2), nn.Flatten()]).output_range == (0, 1)
    assert nn.Sequential([nn.Sigmoid(), nn.Linear(4)]).output_range is None
    assert nn.Sequential([nn.Linear(4), nn.Tanh()]).output_range == (-1, 1)
    assert nn.Sequential([nn.Linear(4), nn.ReLU()]).output_range == (0, np.inf)
    assert nn.Sequential([nn.Linear(4), nn.LeakyReLU()]).output_range is None


def test_every_layer_stays_in_the_range_it_names():
    """Of layers that move values about: in the range of what comes in."""
    rng = np.random.default_rng(0)
    for make, shape in LAYERS:
        layer, x = make(), 5 * rng.standard_normal((4, *shape))
        layer.build(shape, rng, np.float64)
        if layer.output_range is not None:
            low, high = (x.min(), x.max()) if layer.output_range == "input" else layer.output_range
            y = layer.forward(x)
            assert low <= y.min()
            assert y.max() <= high


def test_evaluation_takes_fewer_of_large_images():
    sizes = [nn.evaluation_batch((3, side, side)) for side in (8, 32, 33, 64, 256, 10000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == sizes[1] == 500
    assert sizes[-1] == 1
    assert all(500 % size == 0 for size in sizes)


@pytest.mark.parametrize(
    ("name", "least"), [("digits_lenet", 4), ("small_lenet", 4), ("lenet_48", 8), ("lenet_96", 16), ("lenet_192", 32)]
)
def test_images_that_are_too_small_are_told_the_least_side(name, least):
    nn.make_encoder(name, (1, least, 2 * least)).build((1, least, 2 * least), np.random.default_rng(0))
    message = f"X has images of {2 * least}x{least - 1}: network '{name}' needs sides of at least {least} pixels: "
    for make in (nn.make_encoder, nn.make_decoder):
        with pytest.raises(ValueError, match=message):
            make(name, (1, 2 * least, least - 1))
