"""Losses as callables: `value, grad_output, per_sample = loss(outputs, targets)`. Formulas: `minisvdd.ops.losses`.

value: J, one number (on a kernel backend an array () on the device).   grad_output: dJ/doutputs.
per_sample: (N,) numbers, one for each sample, of which J is the mean (binary cross-entropy: divided by the
entries of a sample; soft-boundary: which J is made of).
"""

from typing import Protocol

import numpy as np

from .. import ops
from ..backends import NUMPY, Backend
from ..validation import check_number
from .layer import Array, has_kernels


class Loss(Protocol):
    """What a training step asks of a loss; `per_sample` may be None."""

    def __call__(self, outputs: Array, targets: Array, /) -> tuple[Array, Array, Array | None]: ...


class OneClass:
    """One-Class Deep SVDD, eq. (4) without weight decay: the mean squared distance to the centre."""

    def __init__(self, center: Array, backend: Backend = NUMPY) -> None:
        self.center, self.backend = center, backend

    def __call__(self, outputs: Array, targets: Array = None) -> tuple[Array, Array, Array]:
        """outputs: (N, p). Returns (J, dJ/doutputs, d); d are the squared distances (N,).  targets: not looked at."""
        return ops.one_class_loss.on(self.backend)(outputs, self.center)


class SoftBoundary:
    """Soft-boundary Deep SVDD, eq. (3) without weight decay. `radius_squared` is R^2; set it between calls."""

    def __init__(self, center: Array, nu: float, radius_squared: float = 0.0, backend: Backend = NUMPY) -> None:
        check_number(nu, "nu", 0, 1, low_open=True)
        check_number(radius_squared, "radius_squared", 0)
        self.center, self.nu, self.backend = center, float(nu), backend
        self._on_device = backend.zeros((), np.float64) if has_kernels(backend) else None
        self.radius_squared = radius_squared

    @property
    def radius_squared(self) -> float:
        """R^2. A kernel backend has a copy on the device, where captured steps look for it."""
        return self._radius_squared

    @radius_squared.setter
    def radius_squared(self, value: float) -> None:
        self._radius_squared = value
        if self._on_device is not None:
            self.backend.write(self._on_device, value)

    @property
    def state(self) -> dict[str, float]:
        """What changes while training, as plain JSON values: what a checkpoint holds of a loss."""
        return {"radius_squared": self.radius_squared}

    @state.setter
    def state(self, values: dict[str, float]) -> None:
        self.radius_squared = float(values["radius_squared"])

    def __call__(self, outputs: Array, targets: Array = None) -> tuple[Array, Array, Array]:
        """outputs: (N, p). Returns (J, dJ/doutputs, d); d are the squared distances (N,).  targets: not looked at."""
        radius_squared = self._radius_squared if self._on_device is None else self._on_device
        return ops.soft_boundary_loss.on(self.backend)(outputs, self.center, radius_squared, self.nu)


class _Stateless:
    """A loss without parameters of its own."""

    def __init__(self, backend: Backend = NUMPY) -> None:
        self.backend = backend


class MeanSquaredError(_Stateless):
    """Reconstruction error of the DCAE: summed over pixels, averaged over images."""

    def __call__(self, outputs: Array, targets: Array) -> tuple[Array, Array, Array]:
        """outputs, targets: (N, ...) of one shape. Returns (J, dJ/doutputs, ||y_i - t_i||^2)."""
        return ops.mean_squared_error.on(self.backend)(outputs, targets)


class AbsoluteError(_Stateless):
    """L1 distance, summed over entries, averaged over samples: AnoGAN's residual and feature-matching losses."""

    def __call__(self, outputs: Array, targets: Array) -> tuple[Array, Array, Array]:
        """outputs, targets: (N, ...) of one shape. Returns (J, dJ/doutputs, ||y_i - t_i||_1)."""
        return ops.absolute_error.on(self.backend)(outputs, targets)


class SoftmaxCrossEntropy(_Stateless):
    """Classification loss on logits."""

    def __call__(self, logits: Array, labels: Array) -> tuple[Array, Array, Array]:
        """logits: (N, K), labels: (N,) integers. Returns (J, dJ/dlogits, the samples' cross-entropies)."""
        return ops.softmax_cross_entropy.on(self.backend)(logits, labels)


class BinaryCrossEntropy(_Stateless):
    """Loss of a GAN's discriminator (targets 1 for real, 0 for generated) and, with targets 1, of its generator."""

    def __call__(self, logits: Array, targets: Array) -> tuple[Array, Array, Array]:
        """logits, targets: (N, ...) of one shape. Returns (J, dJ/dlogits, each sample's sum over its entries (N,))."""
        return ops.binary_cross_entropy.on(self.backend)(logits, targets)
