"""`Sequential`, and the networks of the paper (section 4, and paper's supplement) as a table.

Encoders are of LeNet type: each module is conv -> batch norm -> leaky ReLU -> 2x2 max-pool, then one dense layer. No
biases anywhere, batch norm without affine parameters. A decoder mirrors its encoder, with up-sampling for max-pooling
and a sigmoid at the end.
"""

import math
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from ..backends import NUMPY, Backend, get_backend
from ..backends.types import Shape
from .fusion import fused
from .init import dictionary_filters
from .layer import Array, Layer
from .layers import BatchNorm, Conv2D, Flatten, LeakyReLU, Linear, MaxPool2D, ReLU, Reshape, Sigmoid, Upsample

_LARGEST_SAMPLE = 1 << 24


class Sequential(Layer):
    """Layers applied one after the other: f = f_L o ... o f_1.

    Backward is the chain rule read from the right: G_L = dL/dy,  G_{l-1} = backward_l(G_l),  dL/dx = G_0.
    `params`, `grads` and `buffers` gather those of the layers under names such as "0.weight".
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = tuple(layers)
        self.backend: Backend = NUMPY
        self._steps: list[Layer] = list(self.layers)  # as they are computed: `build` fuses some (`minisvdd.nn.fusion`)

    def build(
        self,
        input_shape: Shape,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        backend: str | Backend = NUMPY,
    ) -> Shape:
        """Build every layer on the output shape of the one before it; returns the shape of one output sample."""
        self.backend = get_backend(backend)
        shape = tuple(input_shape)
        _check_size(shape)
        for index, layer in enumerate(self.layers):
            try:
                shape = layer.build(shape, rng, dtype, self.backend)
                _check_size(shape)
            except ValueError as error:
                for part in self.flat_layers():
                    part.is_built = False  # some for these samples, others for those of an earlier build
                raise ValueError(f"layer {index}: {error}") from None
        self.input_shape, self.output_shape = tuple(input_shape), shape
        self._steps = fused(self.layers)
        return shape

    def forward(self, x: Array, training: bool = False) -> Array:
        if training:
            self.forget()  # where this pass fails half-way, backward must not go on with an earlier one
        for step in self._steps:
            x = step.forward(x, training)
        return x

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        for index, step in reversed(list(enumerate(self._steps))):
            grad_output = step.backward(grad_output, need_input=need_input or index > 0, need_params=need_params)
        return grad_output

    def _gather(self, kind: str) -> dict[str, Array]:
        return {
            f"{index}.{name}": array
            for index, layer in enumerate(self.layers)
            for name, array in getattr(layer, kind).items()
        }

    params = property(lambda self: self._gather("params"), doc="All parameters, by '<layer index>.<name>'.")
    grads = property(lambda self: self._gather("grads"), doc="All gradients, under the names of `params`.")
    buffers = property(lambda self: self._gather("buffers"), doc="All running statistics.")

    activations = property(lambda self: sum(layer.activations for layer in self.layers), doc="Of all its layers.")
    is_built = property(lambda self: all(layer.is_built for layer in self.layers))
    is_analytic = property(lambda self: all(layer.is_analytic for layer in self.layers))
    has_bias_like = property(lambda self: any(layer.has_bias_like for layer in self.layers))
    is_bounded = property(lambda self: any(layer.is_bounded for layer in self.layers))

    @property  # of the class for one layer; of a chain it follows from its last layers
    def output_range(self) -> tuple[float, float] | Literal["input"] | None:  # type: ignore[override]
        """That of the last layer which does more than move values about."""
        return next((layer.output_range for layer in reversed(self.layers) if layer.output_range != "input"), "input")

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Set parameters and buffers by name: all, or none.

        KeyError or ValueError name an array that is missing or misshapen.
        """
        found = {name: _array_like(old, arrays.get(name), name) for name, old in self.arrays.items()}
        for index, layer in enumerate(self.layers):
            mine = {n.split(".", 1)[1]: array for n, array in found.items() if n.split(".", 1)[0] == str(index)}
            if isinstance(layer, Sequential):
                layer.load_arrays(mine)
                continue
            for target in (layer.params, layer.buffers):
                target.update({name: layer.backend.asarray(mine[name]) for name in target})

    def astype(self, dtype: DTypeLike) -> "Sequential":
        for layer in self.layers:
            layer.astype(dtype)
        return self

    def freeze_statistics(self, frozen: bool = True) -> None:
        for layer in self.layers:
            layer.freeze_statistics(frozen)

    def kink_pattern(self) -> tuple[Any, ...]:
        return tuple(p for p in (step.kink_pattern() for step in self._steps) if p is not None)

    def forget(self) -> None:
        for step in self._steps:
            step.forget()

    def flat_layers(self) -> list[Layer]:
        """All layers in order, those of nested Sequentials included."""
        nested = (layer.flat_layers() if isinstance(layer, Sequential) else [layer] for layer in self.layers)
        return [layer for layers in nested for layer in layers]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self)  # the layers have all arrays

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def config(self) -> dict[str, Any]:
        return {"layers": [[type(layer).__name__, layer.config()] for layer in self.layers]}

    def __repr__(self) -> str:
        return "Sequential([\n" + "".join(f"    {layer!r},\n" for layer in self.layers) + "])"


def _array_like(old: Array, new: np.ndarray | None, name: str) -> np.ndarray:
    """The new array in the dtype of the old one, whose place it takes."""
    if new is None:
        raise KeyError(f"array '{name}' is missing")
    if new.shape != old.shape:
        raise ValueError(f"array '{name}' has shape {new.shape}, expected {old.shape}")
    return new.astype(old.dtype)


def _check_size(shape: Shape) -> None:
    """ValueError when one sample alone would take 64 MB: a mistake in the layers, or a damaged file."""
    if math.prod(shape) > _LARGEST_SAMPLE:
        raise ValueError(f"a sample of shape {shape} has more than {_LARGEST_SAMPLE} numbers")


@dataclass(frozen=True)
class Architecture:
    """An encoder and its decoder, by name in `ARCHITECTURES`.

    channels: filters of each encoder module.   features: dimension p of the output space (D for a multi-layer
    perceptron is inferred).   decoder_start: channels of the decoder's start (None: mirror with a dense layer), which
    is a square of side decoder_side.   decoder_norm: whether its last convolution is followed by batch norm, too.
    input_shape: of the only images it is made for.   least_side: or it is made for all whose shorter side is so long,
    until the next rung of the ladder begins.   hidden: features of a dense layer, with leaky ReLU, before the last one.
    """

    channels: tuple[int, ...]
    features: int
    kernel_size: int = 5
    decoder_start: int | None = None
    decoder_paddings: tuple[int, ...] = ()
    decoder_conv_at_start: bool = False
    input_shape: tuple[int, int, int] | None = None
    least_side: int | None = None
    hidden: int | None = None
    decoder_side: int = 4
    decoder_norm: bool = False


ARCHITECTURES = {
    # 32 -> 2x4x4 -> up -> conv 4 -> up -> conv 8 (padding 1: 16 -> 14) -> up -> conv 1
    "mnist_lenet": Architecture((8, 4), 32, 5, 2, (2, 1, 2), False, (1, 28, 28)),
    # 128 -> 8x4x4 -> conv 128 -> up -> conv 64 -> up -> conv 32 -> up -> conv 3
    "cifar10_lenet": Architecture((32, 64, 128), 128, 5, 8, (2, 2, 2, 2), True, (3, 32, 32)),
    "gtsrb_lenet": Architecture((16, 32, 64), 32, 5, 2, (2, 2, 2, 2), True, (3, 32, 32)),
    # those of the authors' first scripts: their decoders end with batch norm before the sigmoid
    "cifar10_normed": Architecture((32, 64, 128), 128, 5, 8, (2, 2, 2, 2), True, (3, 32, 32), decoder_norm=True),
    # 32 -> 64 = 1x8x8 -> conv 32 -> up -> conv 16 -> up -> conv 3
    "gtsrb_small": Architecture(
        (16, 32), 32, 5, 1, (2, 2, 2), True, (3, 32, 32), hidden=64, decoder_side=8, decoder_norm=True
    ),
    # ours, for images of any size, a ladder: the longer the side, the more modules, so that the last map keeps a side
    # of 6 to 11 (4 to 11 from 16 to 47, at most 3 below, 12 and more from 384), and the fewer filters where there are
    # many pixels
    "digits_lenet": Architecture((16, 32), 32, 3, least_side=0),
    "small_lenet": Architecture((16, 32), 32, 5, least_side=16),
    "lenet_48": Architecture((8, 16, 32), 32, 5, least_side=48),
    "lenet_96": Architecture((8, 16, 32, 32), 32, 5, least_side=96),
    "lenet_192": Architecture((8, 16, 32, 32, 32), 32, 5, least_side=192),
}
NETWORKS = (*ARCHITECTURES, "mlp")


def make_encoder(name: str, input_shape: Shape, slope: float = 0.1, affine: bool = False) -> Sequential:
    """The encoder phi of that name, not yet built. ValueError for an unknown name or a shape it is not made for.

    slope: of its leaky ReLUs.   affine: batch norm with trainable scale and shift, which the paper does without.
    """
    if name == "mlp":
        _check_features(input_shape)
        return Sequential([Linear(64), BatchNorm(affine), LeakyReLU(slope), Linear(32)])
    spec = _architecture(name, input_shape)
    module = partial(_encoder_module, kernel_size=spec.kernel_size, slope=slope, affine=affine)
    modules = [layer for channels in spec.channels for layer in module(channels)]
    hidden = [Linear(spec.hidden), LeakyReLU(slope)] if spec.hidden else []
    return Sequential([*modules, Flatten(), *hidden, Linear(spec.features)])


def make_decoder(name: str, input_shape: Shape, slope: float = 0.1, affine: bool = False) -> Sequential:
    """The decoder that turns the features of `make_encoder(name, input_shape)` back into samples of `input_shape`."""
    if name == "mlp":
        _check_features(input_shape)
        return Sequential([LeakyReLU(slope), Linear(64), BatchNorm(affine), LeakyReLU(slope), Linear(input_shape[0])])
    spec = _architecture(name, input_shape)
    if spec.decoder_start is None:
        return _dense_mirror(spec, input_shape, slope, affine)
    return _lenet_mirror(spec, spec.decoder_start, input_shape, slope, affine)


def make_autoencoder(name: str, input_shape: Shape, slope: float = 0.1, affine: bool = False) -> Sequential:
    """Sequential([encoder, decoder]): pre-training shares the encoder with Deep SVDD."""
    return Sequential([make(name, input_shape, slope, affine) for make in (make_encoder, make_decoder)])


def make_classifier(
    n_classes: int, channels: Sequence[int] = (16, 32, 64), kernel_size: int = 5, hidden: int = 128
) -> Sequential:
    """LeNet for labels: modules like an encoder's, a hidden dense layer, one logit per class.

    A classifier is no one-class learner: biases (here as batch norm's shift, and on the logits) and ReLU do no harm.
    """
    layers: list[Layer] = []
    for width in channels:
        layers += [Conv2D(width, kernel_size, padding="same"), BatchNorm(affine=True), ReLU(), MaxPool2D(2)]
    return Sequential(
        [*layers, Flatten(), Linear(hidden), BatchNorm(affine=True), ReLU(), Linear(n_classes, bias=True)]
    )


def start_weights(
    network: Sequential,
    X: np.ndarray | None,
    rng: np.random.Generator,
    gain: float = 1.0,
    first_filters: str = "random",
) -> None:
    """Change what `build` has drawn (`minisvdd.nn.init`): convolutions `gain` times as large, and the first filters.

    X: (n, C, H, W) pre-processed training samples, None for a decoder.   first_filters: "random", or "dictionary" or
    "mixed dictionary" for atoms of patches of X, as they are; ValueError for these where the first layer is no
    convolution.
    """
    layers, gain = network.flat_layers(), float(gain)  # a NumPy number would make float64 of the filters
    for layer in (layer for layer in layers if isinstance(layer, Conv2D) and gain != 1):
        layer.params["weight"] = layer.backend.asarray(gain * layer.backend.to_numpy(layer.params["weight"]))
    if X is not None and first_filters != "random":
        first = layers[0]
        if not isinstance(first, Conv2D):
            raise ValueError(
                f"first_filters={first_filters!r} needs a network that begins with Conv2D, found {first!r}"
            )
        mixed = first_filters == "mixed dictionary"
        filters = dictionary_filters(X, first.out_channels, first.kernel_size, _beside(rng), mixed)
        first.params["weight"] = first.backend.asarray(filters.astype(first.params["weight"].dtype))


def _beside(rng: np.random.Generator) -> np.random.Generator:
    """A generator of its own, so that `rng` goes on as if nothing had been drawn: decoder and batches stay the same."""
    return np.random.default_rng([int(word) for word in deepcopy(rng).integers(1 << 32, size=4)])


def _encoder_module(channels: int, kernel_size: int, slope: float, affine: bool) -> list[Layer]:
    return [Conv2D(channels, kernel_size, padding="same"), BatchNorm(affine), LeakyReLU(slope), MaxPool2D(2)]


def _lenet_mirror(spec: Architecture, start: int, input_shape: Shape, slope: float, affine: bool) -> Sequential:
    """The authors' decoder: features -> (start, side, side), then convolutions and up-samplings in turn.

    A dense layer makes as many numbers as the start has, where there are not as many features.
    """
    widths = (*reversed(spec.channels), input_shape[0])
    first = (start, spec.decoder_side, spec.decoder_side)
    layers: list[Layer] = [] if math.prod(first) == spec.features else [Linear(math.prod(first))]
    layers += [Reshape(first), LeakyReLU(slope)]
    for index, (channels, padding) in enumerate(zip(widths, spec.decoder_paddings)):
        if index > 0 or not spec.decoder_conv_at_start:
            layers.append(Upsample(2))
        layers.append(Conv2D(channels, spec.kernel_size, padding=padding))
        if index < len(widths) - 1:
            layers += [BatchNorm(affine), LeakyReLU(slope)]
    norm = [BatchNorm(affine)] if spec.decoder_norm else []
    return Sequential([*layers, *norm, Sigmoid()])


def _dense_mirror(spec: Architecture, input_shape: Shape, slope: float, affine: bool) -> Sequential:
    """A dense layer back to the last pooled size, then up-sampling and convolution once for each max-pool.

    Max-pooling halves a side and drops the odd row. On the way back 2 (n // 2) rows must become n: with padding p a
    filter of k rows makes n + 2 p - k + 1 of n, as many for k = 2 p + 1, and one more for k = 2 p.
    """
    C, *size = input_shape
    sizes = [[side // 2**level for side in size] for level in range(len(spec.channels) + 1)]
    start = (spec.channels[-1], *sizes.pop())
    layers: list[Layer] = [LeakyReLU(slope), Linear(math.prod(start)), Reshape(start)]
    for channels, wanted in zip((*reversed(spec.channels[:-1]), C), reversed(sizes)):
        kernel = tuple(spec.kernel_size + side % 2 for side in wanted)
        padding = tuple(k // 2 for k in kernel)
        layers += [BatchNorm(affine), LeakyReLU(slope), Upsample(2), Conv2D(channels, kernel, padding=padding)]
    return Sequential([*layers, Sigmoid()])


def _architecture(name: str, input_shape: Shape) -> Architecture:
    if name not in ARCHITECTURES:
        raise ValueError(f"network={name!r}: expected one of {list(NETWORKS)} or a Sequential of your own")
    spec = ARCHITECTURES[name]
    check_images(name, spec.input_shape, input_shape, "small_lenet", "; for (N, D) data use network='mlp'")
    if min(input_shape[1:]) < (least := 2 ** len(spec.channels)):  # each module halves a side
        given = "x".join(map(str, input_shape[1:]))
        raise ValueError(
            f"X has images of {given}: network {name!r} needs sides of at least {least} pixels: give larger ones, "
            "or a folder's pictures a larger size (--size)"
        )
    return spec


def check_images(name: str, made_for: Shape | None, input_shape: Shape, instead: str, of_features: str = "") -> None:
    """ValueError, naming the network, unless samples are images, of the height and width that it is made for, if any.

    instead: the network for other sizes.   of_features: what is said where the samples are no images.
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"network={name!r} expects images (N, C, H, W), got samples of shape {tuple(input_shape)}{of_features}"
        )
    if made_for and tuple(input_shape[1:]) != made_for[1:]:
        wanted, given = "x".join(map(str, made_for[1:])), "x".join(map(str, input_shape[1:]))
        raise ValueError(f"network={name!r} expects images of {wanted}, got {given}; use network={instead!r}")


def _check_features(input_shape: Shape) -> None:
    if len(input_shape) != 1:
        raise ValueError(f"network='mlp' expects features (N, D), got samples of shape {tuple(input_shape)}")


def network_for(input_shape: Shape) -> str:
    """The name of the network made for samples of this shape.

    >>> network_for((1, 28, 28)), network_for((3, 63, 100)), network_for((3, 200, 256)), network_for((7,))
    ('mnist_lenet', 'lenet_48', 'lenet_192', 'mlp')
    """
    if len(input_shape) == 1:
        return "mlp"
    for name, spec in ARCHITECTURES.items():
        if spec.input_shape == tuple(input_shape):
            return name
    rungs = {spec.least_side: name for name, spec in ARCHITECTURES.items() if spec.least_side is not None}
    return rungs[max(least for least in rungs if least <= min(input_shape[1:]))]
