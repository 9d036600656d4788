"""Pre-processing of samples (paper, section 4.2), with constants taken from the training samples of the normal class.

A pre-processing object learns its constants in `fit` and applies them, unchanged, to every later sample: the minimum
and maximum of test images would tell the detector about the test set. It is saved with the model
(`minisvdd.svdd.storage`).
"""

import math
import warnings
from collections.abc import Iterator, Mapping

import numpy as np

from .. import ops
from ..backends import NUMPY, Backend
from ..errors import RangeWarning
from ..validation import check_choice, is_constant

# Numbers, and samples, transformed at a time: bound the float64 temporaries of a large data set.
_NUMBERS, _SAMPLES = 1 << 24, 4096
_UNSCALED = 2.0  # images reach 1 by custom; beyond this nobody has scaled them
_BEYOND = 0.05  # of its width: what rounding, or a test image that is a little brighter, may be outside of a range
_COARSE = 0.01  # of a feature's standard deviation: the largest step between two float32 that does no harm


class Preprocessing:
    """Base class, and the pre-processing that does nothing.

    X: (n, C, H, W), float32, or (n, D), float32 or float64, before; float32 after.

    name: the value of the estimators' argument `preprocessing`.   constants: arrays by name, learnt by `fit`.
    backend: where it computes; samples come from host memory and go back there.
    """

    name: str | None = None

    def __init__(self, backend: Backend = NUMPY) -> None:
        self.backend = backend
        self.constants: Mapping[str, np.ndarray | np.float64] = {}

    def fit(self, X: np.ndarray) -> "Preprocessing":
        """Learn the constants from training samples."""
        _warn_of_offsets(X)
        return self

    def constant_shapes(self, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Shapes of the constants, by name, for samples of this shape."""
        return {}

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Apply them; X itself is left alone."""
        return X.astype(np.float32, copy=False)

    def backward(self, grad: np.ndarray, X: np.ndarray) -> np.ndarray:
        """dL/dX from dL/d(transform(X)): the chain rule through `transform`, with the constants as they are."""
        return grad

    def fit_transform(self, X: np.ndarray) -> np.ndarray:
        """`fit(X).transform(X)`."""
        return self.fit(X).transform(X)


class MinMax(Preprocessing):
    """Scaled by the extremes over all training images ("min-max"): they land in [0, 1], others may fall outside.

    x -> (x - min) / (max - min)
    """

    name = "min-max"

    def fit(self, X: np.ndarray) -> "Preprocessing":
        extremes = [(z.min(), z.max()) for z in self._values(X)]
        lows, highs = zip(*extremes)
        self.constants = {"minimum": np.float64(min(lows)), "maximum": np.float64(max(highs))}
        return self

    def constant_shapes(self, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"minimum": (), "maximum": ()}

    def transform(self, X: np.ndarray) -> np.ndarray:
        low, span = self.constants["minimum"], self._span()
        scaled = np.empty(X.shape, np.float32)
        for chunk, z in zip(_chunks(X), self._values(X)):
            scaled[chunk] = (z - low) / span
        return scaled

    def backward(self, grad: np.ndarray, X: np.ndarray) -> np.ndarray:
        return grad / self._span()

    def _span(self) -> float:
        """max - min. All training images of one colour: there is no range to scale by, and z is 0 everywhere."""
        return float(self.constants["maximum"] - self.constants["minimum"]) or 1.0

    def _values(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """What is scaled, chunk by chunk."""
        return (X[chunk] for chunk in _chunks(X))


class ContrastNormalization(MinMax):
    """GCN-L1 per image, then min-max scaling by the extremes over all training images ("gcn-l1").

    x -> (z - min) / (max - min),   z = (x - mean(x)) / mean |x - mean(x)|
    """

    name = "gcn-l1"

    def backward(self, grad: np.ndarray, X: np.ndarray) -> np.ndarray:
        """(z - min) / span passes dL/dz = grad / span on; `minisvdd.ops.contrast` derives the rest."""
        return ops.contrast_normalize_backward(grad / self._span(), X)

    def _values(self, X: np.ndarray) -> Iterator[np.ndarray]:
        for chunk in _chunks(X):
            x = self.backend.asarray(X[chunk])
            yield self.backend.to_numpy(ops.contrast_normalize.on(self.backend)(x))


class Standardization(Preprocessing):
    """Mean 0 and standard deviation 1 per feature over the training samples ("standardize"): for (n, D) data.

    A feature that is constant in training is only centred.
    """

    name = "standardize"

    def fit(self, X: np.ndarray) -> "Preprocessing":
        std = np.where(is_constant(X), 1.0, X.std(axis=0, dtype=np.float64))
        self.constants = {"mean": X.mean(axis=0, dtype=np.float64), "std": std}
        return self

    def constant_shapes(self, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"mean": input_shape, "std": input_shape}

    def transform(self, X: np.ndarray) -> np.ndarray:
        scaled = np.empty(X.shape, np.float32)
        for chunk in _chunks(X):
            scaled[chunk] = (X[chunk] - self.constants["mean"]) / self.constants["std"]
        return scaled

    def backward(self, grad: np.ndarray, X: np.ndarray) -> np.ndarray:
        return grad / self.constants["std"]


_CLASSES = {cls.name: cls for cls in (Preprocessing, ContrastNormalization, MinMax, Standardization)}


def make_preprocessing(
    name: str | None, backend: Backend = NUMPY, input_shape: tuple[int, ...] | None = None
) -> Preprocessing:
    """The pre-processing of that name, not yet fitted. ValueError names the known ones.

    input_shape: of one sample, by which "auto" chooses: GCN-L1 for images, standardisation for features.
    """
    check_choice(name, "preprocessing", [*_CLASSES, *(["auto"] if input_shape is not None else [])])
    if name == "auto" and input_shape is not None:
        name = preprocessing_for(input_shape)
    return _CLASSES[name](backend)


def preprocessing_for(input_shape: tuple[int, ...]) -> str:
    """The name of the pre-processing made for such samples: GCN-L1 for images, standardisation for features."""
    return "standardize" if len(input_shape) == 1 else "gcn-l1"


def _chunks(X: np.ndarray) -> list[slice]:
    size = max(1, min(_SAMPLES, _NUMBERS // max(1, math.prod(X.shape[1:]))))
    return [slice(start, start + size) for start in range(0, len(X), size)]


# Samples and what computes with them: do their ranges fit together?


def warn_of_range(X: np.ndarray, name: str | None, output_range: object = None, what: str = "decoder") -> None:
    """RangeWarning when pre-processed training samples do not fit to what is to compute with them.

    output_range: (low, high), what `what` can produce (`Layer.output_range`): a sigmoid that is to reproduce 0 to 255
    can but saturate at 1. None, or another word, where nothing is to be reproduced: then images beyond 2 that no
    pre-processing scales, since learning rates and kernel widths are made for [0, 1].   name: of the pre-processing.
    """
    low, high = output_range if isinstance(output_range, tuple) else (-math.inf, math.inf)
    least, most = float(X.min()), float(X.max())
    slack = _BEYOND * (high - low) if math.isfinite(high - low) else 0.0
    after, images = f"after preprocessing={name!r}", "images in [0, 1], or preprocessing='gcn-l1'"
    if least < low - slack or most > high + slack:
        sentence = (
            f"X {after} reaches from {least:.3g} to {most:.3g}, the {what}'s outputs only from {low:g} to {high:g}: "
            f"expected {images if X.ndim == 4 else 'another last layer, or scaled features'}"
        )
    elif name is None and X.ndim == 4 and not isinstance(output_range, tuple) and most > _UNSCALED:
        sentence = f"X has values up to {most:.4g} {after}: expected {images}"
    else:
        return
    warnings.warn(sentence, RangeWarning, stacklevel=3)


def _warn_of_offsets(X: np.ndarray) -> None:
    """RangeWarning for features that vary by less than float32 can tell apart where they lie.

    Between two neighbouring float32 near x lie about eps |x|: 128 for time stamps of 1.7e9, and all seconds of a minute
    are one number.
    """
    if X.ndim != 2:
        return
    step, spread = np.finfo(np.float32).eps * np.abs(X).max(axis=0), X.std(axis=0, dtype=np.float64)
    lost = np.flatnonzero(~is_constant(X) & (step > _COARSE * spread))
    if len(lost):
        j = lost[0]
        warnings.warn(
            f"X: feature {j} varies by {spread[j]:.3g} around {X[:, j].mean(dtype=np.float64):.6g}, where float32 "
            f"counts in steps of {step[j]:.2g}: use preprocessing='standardize', or take its mean away",
            RangeWarning,
            stacklevel=2,
        )
