"""Gradient checks of everything in minisvdd: several cases for each layer, loss and network.

Sizes are odd and unequal on purpose: a mistake in rows and columns, or in N and K, then cannot hide behind symmetry.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import ops
from ..backends import NUMPY, get_backend
from ..nn import losses
from ..nn.layers import (
    BatchNorm,
    Conv2D,
    ConvTranspose2D,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2D,
    ReLU,
    Reshape,
    Sigmoid,
    Tanh,
    Upsample,
)
from ..nn.networks import ARCHITECTURES, NETWORKS, Sequential, make_autoencoder, make_encoder
from ..rivals.dcgan import GAN_ARCHITECTURES, make_gan
from ..rivals.latent import search_loss
from .check import check_gradient, check_gradients, check_loss
from .report import GradcheckReport


@dataclass(frozen=True)
class Case:
    """One check of the library: `case.check()` returns its report."""

    name: str
    check: Callable[..., GradcheckReport]


def library_cases() -> dict[str, list[Case]]:
    """All cases by the name of their layer class, loss class, operation without a layer, or network."""
    cases = {name: [_layer_case(*args) for args in rows] for name, rows in _layers().items()}
    cases |= {name: [_loss_case(name, *args) for args in rows] for name, rows in _losses().items()}
    cases["contrast_normalize"] = [_contrast_case(*row) for row in (("images", (3, 2, 7, 6)), ("features", (4, 9)))]
    cases |= {name: _network_cases(name) for name in NETWORKS}
    return cases | {name: _gan_cases(name) for name in GAN_ARCHITECTURES}


def check_library(names: str | list[str] | None = None, backend="numpy") -> list[GradcheckReport]:
    """Run the cases of these names (default: of all), in order.

    Raises ValueError that lists the names for one that is unknown, and for a backend that is not available.
    """
    backend, cases = get_backend(backend), library_cases()
    names = list(cases) if names is None else [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in cases]
    if unknown:
        raise ValueError(f"nothing to check is called {unknown[0]!r}; expected one of {', '.join(cases)}")
    return [case.check(backend=backend) for name in names for case in cases[name]]


def _layers():
    """Rows (description, layer factory, shape of one sample, batch size) by layer name."""
    image = (2, 7, 6)
    return {
        "Linear": [
            ("", lambda: Linear(3), (5,), 4),
            ("bias", lambda: Linear(3, bias=True), (5,), 4),
            ("square, batch of one", lambda: Linear(4), (4,), 1),
        ],
        "Conv2D": [
            ("", lambda: Conv2D(3, 3), image, 2),
            ("5x5 same", lambda: Conv2D(3, 5, padding="same"), image, 3),
            ("uneven, bias", lambda: Conv2D(3, (3, 2), stride=(2, 1), padding=(0, 2), bias=True), image, 2),
            ("stride > kernel", lambda: Conv2D(2, 2, stride=3), image, 2),
            ("padding > kernel", lambda: Conv2D(2, 1, stride=2, padding=3), image, 2),
            ("1x1, batch of one", lambda: Conv2D(3, 1), image, 1),
        ],
        "ConvTranspose2D": [
            ("", lambda: ConvTranspose2D(3, 3), (2, 4, 3), 2),
            ("stride 2", lambda: ConvTranspose2D(3, 4, stride=2, padding=1), (2, 4, 3), 2),
            (
                "uneven, bias",
                lambda: ConvTranspose2D(3, (3, 2), (2, 3), (1, 0), output_padding=(1, 2), bias=True),
                (2, 4, 3),
                2,
            ),
        ],
        "BatchNorm": [
            ("features", BatchNorm, (3,), 8),
            ("features, affine", lambda: BatchNorm(affine=True), (3,), 8),
            ("images", BatchNorm, (3, 4, 3), 2),
            ("images, affine, one sample", lambda: BatchNorm(affine=True), (3, 4, 3), 1),
        ],
        "LeakyReLU": [("", LeakyReLU, image, 2), ("slope 0.3", lambda: LeakyReLU(0.3), (5,), 4)],
        "ReLU": [("", ReLU, image, 2)],
        "Sigmoid": [("", Sigmoid, (5,), 4)],
        "Tanh": [("", Tanh, (5,), 4)],
        "MaxPool2D": [
            ("", MaxPool2D, (2, 7, 6), 2),
            ("overlapping", lambda: MaxPool2D(3, stride=2), (2, 7, 6), 2),
            ("stride > kernel", lambda: MaxPool2D((2, 1), stride=(3, 2)), (2, 7, 6), 2),
            ("padding", lambda: MaxPool2D((3, 2), stride=2, padding=1), (2, 7, 6), 2),
            ("ceil_mode", lambda: MaxPool2D((2, 3), stride=(2, 3), ceil_mode=True), (2, 7, 5), 2),
        ],
        "Upsample": [("", Upsample, (2, 3, 4), 2), ("1 x 3", lambda: Upsample((1, 3)), (2, 3, 4), 2)],
        "Reshape": [("", lambda: Reshape((2, 3, 2)), (12,), 3)],
        "Flatten": [("", Flatten, (2, 3, 4), 3)],
        "Sequential": [
            (
                "nested, biases",
                lambda: Sequential([Linear(6, bias=True), Sequential([BatchNorm(affine=True), Tanh()]), Linear(2)]),
                (5,),
                6,
            )
        ],
    }


def _losses():
    """Rows (description, loss factory (backend, rng) -> loss, shape of outputs, targets factory or None) by name."""

    def center(rng):
        return rng.standard_normal(4)

    def like(shape):
        return lambda rng: rng.standard_normal(shape)

    return {
        "OneClass": [("", lambda b, rng: losses.OneClass(b.asarray(center(rng)), b), (6, 4), None)],
        "SoftBoundary": [
            ("some outside", lambda b, rng: losses.SoftBoundary(b.asarray(center(rng)), 0.1, 8.0, b), (6, 4), None),
            ("radius 0", lambda b, rng: losses.SoftBoundary(b.asarray(center(rng)), 1.0, 0.0, b), (6, 4), None),
        ],
        "MeanSquaredError": [
            ("features", lambda b, rng: losses.MeanSquaredError(b), (5, 4), like((5, 4))),
            ("images", lambda b, rng: losses.MeanSquaredError(b), (3, 2, 4, 3), like((3, 2, 4, 3))),
        ],
        "AbsoluteError": [("", lambda b, rng: losses.AbsoluteError(b), (3, 2, 4, 3), like((3, 2, 4, 3)))],
        "SoftmaxCrossEntropy": [
            ("", lambda b, rng: losses.SoftmaxCrossEntropy(b), (6, 4), lambda rng: rng.integers(4, size=6))
        ],
        "BinaryCrossEntropy": [
            ("hard", lambda b, rng: losses.BinaryCrossEntropy(b), (6, 1), lambda rng: rng.integers(2, size=(6, 1))),
            ("soft", lambda b, rng: losses.BinaryCrossEntropy(b), (6, 3), lambda rng: rng.uniform(size=(6, 3))),
        ],
    }


def _layer_case(description, make, sample_shape, batch):
    def check(backend=NUMPY):
        rng = np.random.default_rng(0)
        layer = make()
        layer.build(sample_shape, rng, dtype=np.float64, backend=backend)
        return check_gradients(layer, rng.standard_normal((batch, *sample_shape)))

    return Case(description or "default", check)


def _loss_case(name, description, make, shape, make_targets):
    def check(backend=NUMPY):
        rng, backend = np.random.default_rng(0), get_backend(backend)
        loss = make(backend, rng)
        if not backend.runs_numpy:
            loss = _on_host(loss, backend)
        targets = [] if make_targets is None else [make_targets(rng)]
        return check_loss(loss, rng.standard_normal(shape), *targets)

    return Case(description or name, check)


def _contrast_case(description, shape):
    """<w, z(x)> of the contrast normalisation. z is in float32 whatever x is: a large step, and its error passes.

    Every x is at least that step from its image's mean, the kink, so that z is smooth between x - h and x + h.
    """

    def check(backend=NUMPY):
        rng, backend = np.random.default_rng(0), get_backend(backend)
        weights, x = rng.standard_normal(shape), rng.standard_normal(shape)
        x += 0.2 * np.sign(x - x.reshape(len(x), -1).mean(axis=1).reshape(-1, *[1] * (x.ndim - 1)))

        def contrast(x):
            z = ops.contrast_normalize.on(backend)(backend.asarray(x))
            return np.sum(weights * backend.to_numpy(z), dtype=np.float64)

        def gradient(x):
            back = ops.contrast_normalize_backward.on(backend)
            return backend.to_numpy(back(backend.asarray(weights), backend.asarray(x)))

        report = check_gradient(contrast, gradient, x, step=1e-2, tolerance=1e-3)
        report.title = f"contrast_normalize on x {x.shape}"
        return report

    return Case(description, check)


def _on_host(loss, backend):
    """The loss as a function of NumPy arrays."""

    def on_host(*arrays):
        value, grad, per_sample = loss(*map(backend.asarray, arrays))
        return float(value), backend.to_numpy(grad), None if per_sample is None else backend.to_numpy(per_sample)

    on_host.__name__ = type(loss).__name__
    return on_host


def _network_cases(name):
    spec = ARCHITECTURES.get(name)
    sample_shape = (7,) if spec is None else spec.input_shape or (1, *_sides(spec))
    batch = 6 if spec is None else 2  # features are all that batch norm of the perceptron averages over

    def case(kind, make):
        def check(backend=NUMPY):
            rng = np.random.default_rng(0)
            network = make(name, sample_shape)
            network.build(sample_shape, rng, dtype=np.float64, backend=backend)
            x = rng.uniform(size=(batch, *sample_shape))
            report = check_gradients(network, x, max_entries=2, directions=1)
            report.title = f"{name} {kind} on x {x.shape}"
            return report

        return Case(kind, check)

    return [case("encoder", make_encoder), case("autoencoder", make_autoencoder)]


def _sides(spec):
    """An odd and an even one, on which the last map is 2x2: on a single pixel, batch norm would see the batch alone."""
    return 2 * 2 ** len(spec.channels) + 1, 2 * 2 ** len(spec.channels)


def _gan_cases(name):
    """Generator and discriminator as one network, z -> logit; and the loss of the latent search as a function of z."""
    sample_shape = GAN_ARCHITECTURES[name].input_shape or (2, 8, 12)

    def build(backend):
        rng = np.random.default_rng(0)
        network = make_gan(name, sample_shape, latent_dim=5)
        network.build((5,), rng, dtype=np.float64, backend=backend)
        for _ in range(20):  # statistics other than (0, 1): with those, all is so near 0 that every step crosses kinks
            network.forward(rng.standard_normal((4, 5)), training=True)
        return network, rng

    def check_network(backend=NUMPY):
        network, rng = build(backend)
        report = check_gradients(network, rng.standard_normal((3, 5)), max_entries=2, directions=1)
        report.title = f"{name} generator and discriminator on z (3, 5)"
        return report

    def check_search(backend=NUMPY):
        network, rng = build(backend)
        generator, features, _ = network.layers
        network.freeze_statistics()
        x = rng.uniform(-1, 1, size=(3, *sample_shape))
        weights = rng.standard_normal(3)  # not ones: a gradient that mixes up the images must not pass

        def loss(z):
            return weights @ search_loss(generator, features, z, x, features.forward(x))[0]

        def gradient(z):
            return weights[:, None] * search_loss(generator, features, z, x, features.forward(x))[1]

        report = check_gradient(loss, gradient, rng.standard_normal((3, 5)), tolerance=1e-5)
        report.title = f"{name} latent search on z (3, 5)"
        return report

    return [Case("generator and discriminator", check_network), Case("latent search", check_search)]
