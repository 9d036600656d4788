"""Every layer of the library, as tests make them: one table, so that a new layer is missed by none of them."""

from minisvdd.nn import layers
from minisvdd.nn.layers import (
    BatchNorm,
    Conv2D,
    ConvTranspose2D,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2D,
    ReLU,
    Reshape,
    Sigmoid,
    Tanh,
    Upsample,
)
from minisvdd.nn.networks import Sequential

IMAGE, FEATURES = (2, 6, 5), (5,)

# how to make one, and the shape of a sample
LAYERS = [
    (lambda: Linear(3, bias=True), FEATURES),
    (lambda: Conv2D(3, 3, padding=1, bias=True), IMAGE),
    (lambda: ConvTranspose2D(3, 3, stride=2, bias=True), IMAGE),
    (lambda: BatchNorm(affine=True), IMAGE),
    (lambda: BatchNorm(), FEATURES),
    (lambda: LeakyReLU(), IMAGE),
    (lambda: ReLU(), FEATURES),
    (lambda: Sigmoid(), FEATURES),
    (lambda: Tanh(), IMAGE),
    (lambda: MaxPool2D(2), IMAGE),
    (lambda: MaxPool2D(3, 2, padding=1, ceil_mode=True), IMAGE),
    (lambda: Upsample(2), IMAGE),
    (lambda: Upsample((2, 3)), IMAGE),
    (lambda: Reshape((5, -1)), IMAGE),
    (lambda: Flatten(), IMAGE),
    (lambda: Sequential([Conv2D(3, 3), BatchNorm(), LeakyReLU(), MaxPool2D(2), Flatten(), Linear(2)]), IMAGE),
]

# those whose output is linear in the input
LINEAR_LAYERS = [
    (lambda: Upsample(2), IMAGE),
    (lambda: Upsample((2, 3)), IMAGE),
    (lambda: Reshape((5, -1)), IMAGE),
    (lambda: Linear(3), FEATURES),
    (lambda: Conv2D(3, (3, 2), stride=2, padding=1), IMAGE),
    (lambda: ConvTranspose2D(3, (3, 2), stride=2, padding=1, output_padding=1), IMAGE),
]


def layer_classes() -> set[type]:
    """The classes of all layers, Sequential among them."""
    found = {value for value in vars(layers).values() if isinstance(value, type) and issubclass(value, Layer)}
    return (found | {Sequential}) - {Layer}


def classes_in(network: Sequential) -> set[type]:
    """The classes of a network and of all layers inside of it, however deep."""
    inside = [classes_in(layer) if isinstance(layer, Sequential) else {type(layer)} for layer in network.layers]
    return {type(network)}.union(*inside)
