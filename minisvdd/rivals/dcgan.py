"""Generator and discriminator of AnoGAN, after DCGAN (Radford, Metz & Chintala, 2016).

    generator       z -> dense -> (C_0, s, s) -> [batch norm, leaky ReLU, transposed convolution x2] ... -> tanh
    discriminator   image -> [convolution / 2, batch norm, leaky ReLU] ... -> features -> dense -> one logit

Every (transposed) convolution is 4x4 with stride 2 and padding 1: it halves or doubles the sides exactly. Biases and
affine batch norm stand where the paper's one-class networks must not have them: a GAN has no centre to collapse to.
"""

from dataclasses import dataclass

from ..nn.layers import BatchNorm, Conv2D, ConvTranspose2D, Flatten, Layer, LeakyReLU, Linear, Reshape, Tanh
from ..nn.networks import Sequential, check_images
from ..validation import check_choice

SLOPE = 0.2
_HALVING = {"kernel_size": 4, "stride": 2, "padding": 1}


@dataclass(frozen=True)
class GanArchitecture:
    """channels: of the generator from its start to its last hidden layer; the discriminator's are the reverse.

    sides: multiples of 2^len(channels), such as 28 = 7 * 2^2.   input_shape: (C, H, W), None for any.
    """

    channels: tuple[int, ...]
    input_shape: tuple[int, int, int] | None = None


GAN_ARCHITECTURES = {
    "mnist_dcgan": GanArchitecture((64, 32), (1, 28, 28)),
    "cifar10_dcgan": GanArchitecture((128, 64, 32), (3, 32, 32)),
    # ours: for the embedded 8x8 digits, and for any images whose sides are multiples of 4
    "small_dcgan": GanArchitecture((32, 16)),
}


def make_gan(name: str, input_shape: tuple[int, ...], latent_dim: int) -> Sequential:
    """Sequential([generator, features, head]), not yet built; its input is z (latent_dim,), its output one logit.

    The first part is the generator, the other two are the discriminator: its features f(x) (all but the last layer,
    flattened) and the dense layer from them to the logit.
    input_shape: (C, H, W) of an image. ValueError for an unknown name or a shape the network is not made for.
    """
    channels, start = _sizes(name, input_shape)
    return Sequential([_generator(channels, start, input_shape[0]), _features(channels), _head()])


def gan_for(input_shape: tuple[int, ...]) -> str:
    """The name of the networks made for images of this shape."""
    for name, spec in GAN_ARCHITECTURES.items():
        if spec.input_shape == tuple(input_shape):
            return name
    return "small_dcgan"


def _generator(channels, start, image_channels):
    layers: list[Layer] = [Linear(channels[0] * start[0] * start[1]), Reshape((channels[0], *start))]
    for width in channels[1:]:
        layers += [BatchNorm(affine=True), LeakyReLU(SLOPE), ConvTranspose2D(width, **_HALVING)]
    layers += [BatchNorm(affine=True), LeakyReLU(SLOPE), ConvTranspose2D(image_channels, **_HALVING, bias=True), Tanh()]
    return Sequential(layers)


def _features(channels):
    """No batch norm on the pixels' own layer, as in DCGAN; a layer that batch norm follows needs no bias of its own."""
    first, *others = reversed(channels)
    layers: list[Layer] = [Conv2D(first, **_HALVING, bias=True), LeakyReLU(SLOPE)]
    for width in others:
        layers += [Conv2D(width, **_HALVING), BatchNorm(affine=True), LeakyReLU(SLOPE)]
    return Sequential([*layers, Flatten()])


def _head():
    return Sequential([Linear(1, bias=True)])


def _sizes(name, input_shape):
    """Channels, and rows and columns that the generator starts from."""
    check_choice(name, "network", GAN_ARCHITECTURES)
    spec = GAN_ARCHITECTURES[name]
    check_images(name, spec.input_shape, input_shape, "small_dcgan")
    factor = 2 ** len(spec.channels)
    if any(side % factor for side in input_shape[1:]):
        raise ValueError(
            f"images of {input_shape[1]}x{input_shape[2]}: network={name!r} needs sides that are multiples of {factor}"
        )
    return spec.channels, tuple(side // factor for side in input_shape[1:])
