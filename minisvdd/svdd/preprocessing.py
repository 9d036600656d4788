"""Pre-processing of samples (paper, section 4.2), with constants taken from the training samples of the normal class.

A pre-processing object learns its constants in `fit` and applies them, unchanged, to every later sample: the minimum
and maximum of test images would tell the detector about the test set. It is saved with the model
(`minisvdd.svdd.storage`).
"""

from collections.abc import Iterator, Mapping

import numpy as np

from .. import ops
from ..backends import NUMPY, Backend

# Samples transformed at a time: bounds the float64 temporaries of a large data set.
_CHUNK = 4096


class Preprocessing:
    """Base class, and the pre-processing that does nothing.  X: float32, (n, C, H, W) or (n, D), before and after.

    name: the value of the estimators' argument `preprocessing`.   constants: arrays by name, learnt by `fit`.
    backend: where it computes; samples come from host memory and go back there.
    """

    name: str | None = None

    def __init__(self, backend: Backend = NUMPY) -> None:
        self.backend = backend
        self.constants: Mapping[str, np.ndarray | np.float64] = {}

    def fit(self, X: np.ndarray) -> "Preprocessing":
        """Learn the constants from training samples."""
        return self

    def constant_shapes(self, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Shapes of the constants, by name, for samples of this shape."""
        return {}

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Apply them; X itself is left alone."""
        return X

    def fit_transform(self, X: np.ndarray) -> np.ndarray:
        """`fit(X).transform(X)`."""
        return self.fit(X).transform(X)


class ContrastNormalization(Preprocessing):
    """GCN-L1 per image, then min-max scaling by the extremes over all training images ("gcn-l1").

        x -> (z - min) / (max - min),   z = (x - mean(x)) / mean |x - mean(x)|

    Training images land in [0, 1]; others may fall outside.
    """

    name = "gcn-l1"

    def fit(self, X: np.ndarray) -> "Preprocessing":
        extremes = [(z.min(), z.max()) for z in self._contrast_chunks(X)]
        lows, highs = zip(*extremes)
        self.constants = {"minimum": np.float64(min(lows)), "maximum": np.float64(max(highs))}
        return self

    def constant_shapes(self, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"minimum": (), "maximum": ()}

    def transform(self, X: np.ndarray) -> np.ndarray:
        low = self.constants["minimum"]
        # All training images of one colour: there is no range to scale by, and z is 0 everywhere.
        span = self.constants["maximum"] - low or 1.0
        scaled = np.empty(X.shape, np.float32)
        for start, z in zip(range(0, len(X), _CHUNK), self._contrast_chunks(X)):
            scaled[start : start + len(z)] = (z - low) / span
        return scaled

    def _contrast_chunks(self, X: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(X), _CHUNK):
            chunk = self.backend.asarray(X[start : start + _CHUNK])
            yield self.backend.to_numpy(ops.contrast_normalize.on(self.backend)(chunk))


class Standardization(Preprocessing):
    """Mean 0 and standard deviation 1 per feature over the training samples ("standardize"): for (n, D) data.

    A feature that is constant in training is only centred.
    """

    name = "standardize"

    def fit(self, X: np.ndarray) -> "Preprocessing":
        std = X.std(axis=0, dtype=np.float64)
        self.constants = {"mean": X.mean(axis=0, dtype=np.float64), "std": np.where(std > 0, std, 1.0)}
        return self

    def constant_shapes(self, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"mean": input_shape, "std": input_shape}

    def transform(self, X: np.ndarray) -> np.ndarray:
        scaled = np.empty(X.shape, np.float32)
        for start in range(0, len(X), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            scaled[chunk] = (X[chunk] - self.constants["mean"]) / self.constants["std"]
        return scaled


_CLASSES = {cls.name: cls for cls in (Preprocessing, ContrastNormalization, Standardization)}


def make_preprocessing(
    name: str | None, backend: Backend = NUMPY, input_shape: tuple[int, ...] | None = None
) -> Preprocessing:
    """The pre-processing of that name, not yet fitted. ValueError names the known ones.

    input_shape: of one sample, by which "auto" chooses: GCN-L1 for images, standardisation for features.
    """
    if name == "auto" and input_shape is not None:
        name = _made_for(input_shape)
    if not isinstance(name, str | None) or name not in _CLASSES:
        known = [*_CLASSES, *(["auto"] if input_shape is not None else [])]
        raise ValueError(f"preprocessing={name!r}: expected one of {known}")
    return _CLASSES[name](backend)


def preprocessing_for(X: np.ndarray) -> str:
    """The name of the pre-processing made for such samples: GCN-L1 for images, standardisation for features."""
    return _made_for(X.shape[1:])


def _made_for(input_shape: tuple[int, ...]) -> str:
    return "standardize" if len(input_shape) == 1 else "gcn-l1"
