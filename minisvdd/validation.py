"""Checks of what users hand to the estimators: each failure names the argument and what was expected."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import validate_data

_BLOCK = 4096  # samples looked at in one go
Seed = int | np.random.Generator | None


def check_training_samples(estimator: Any, X: ArrayLike) -> np.ndarray:
    """X as a float32 array (n, D) or (n, C, H, W), n >= 2; notes the shape of a sample in `estimator.input_shape_`.

    Raises ValueError for fewer samples, a wrong number of axes, an empty axis, NaN or infinity, TypeError for
    non-numbers and sparse matrices.
    """
    are_images = np.asarray(X).ndim > 2
    X = _as_images(X) if are_images else validate_data(estimator, X, dtype=np.float32, **_OUR_OWN_CHECKS)
    _check_finite(X)
    if len(X) < 2:
        # "sample" and the number are what scikit-learn's conventions ask of this message.
        raise ValueError(f"X has 1 sample: one-class learning needs at least 2 (shape {X.shape})")
    _forget_fit(estimator, () if are_images else ("n_features_in_", "feature_names_in_"))
    estimator.input_shape_ = X.shape[1:]
    return X


def _forget_fit(estimator: Any, but: Sequence[str]) -> None:
    """Remove what an earlier `fit` has left, by scikit-learn's sign of it, `but` what was noted of the new samples."""
    for name in [name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")]:
        if name not in but:
            delattr(estimator, name)


def check_test_samples(estimator: Any, X: ArrayLike, first: int = 0) -> np.ndarray:
    """X as a float32 array of samples like those that `estimator` was trained on; errors as in training.

    first: index of X's first sample in a larger array, which errors count by.
    """
    expected = estimator.input_shape_
    if len(expected) == 1 and np.asarray(X).ndim <= 2:
        X = validate_data(estimator, X, reset=False, dtype=np.float32, **_OUR_OWN_CHECKS)
    else:
        shape = np.asarray(X).shape
        if shape[1:] != expected:
            raise ValueError(f"X has shape {shape}: the model was trained on samples of shape {expected}")
        X = _as_images(X)
    _check_finite(X, first)
    return X


# scikit-learn's own check of finiteness does not say where the bad value is.
_OUR_OWN_CHECKS = {"ensure_all_finite": False}


def _as_images(X: ArrayLike) -> np.ndarray:
    X = np.asarray(X)
    if not (np.issubdtype(X.dtype, np.number) or X.dtype == bool) or np.iscomplexobj(X):
        raise TypeError(f"X has dtype {X.dtype}: expected real numbers")
    if X.ndim != 4 or 0 in X.shape:
        raise ValueError(f"X has shape {X.shape}: expected images (n, C, H, W) or features (n, D), none of them 0")
    return X.astype(np.float32, copy=False)


def _check_finite(X: np.ndarray, first: int = 0) -> None:
    """Block by block, so that a memory-mapped array is not doubled."""
    places = [
        (start + int(index[0]), *map(int, index[1:]))
        for start in range(0, len(X), _BLOCK)
        for index in np.argwhere(~np.isfinite(X[start : start + _BLOCK]))
    ]
    if places:
        row, *rest = places[0]
        raise ValueError(
            f"X contains {len(places)} values that are NaN, infinite or too large for float32, "
            f"the first at index {(first + row, *rest)}"
        )


def check_generator(random_state: Seed) -> np.random.Generator:
    """A Generator from a seed (int or None), or the given Generator itself."""
    if random_state is None or isinstance(random_state, int | np.integer):
        if random_state is not None and random_state < 0:
            raise ValueError(f"random_state={random_state!r}: expected a seed >= 0")
        return np.random.default_rng(random_state)
    if isinstance(random_state, np.random.Generator):
        return random_state
    raise ValueError(f"random_state={random_state!r}: expected an int, None or a numpy.random.Generator")


def check_number(
    value: Any, name: str, low: float, high: float = np.inf, low_open: bool = False, integer: bool = False
) -> None:
    """Raise ValueError, naming the argument and its range, unless low <= value <= high (low < value if low_open)."""
    kind = int | np.integer if integer else int | float | np.integer | np.floating
    inside = isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high
    if not inside or (low_open and value == low):
        expected = f"{'an integer' if integer else 'a number'} in {'(' if low_open else '['}{low}, {high}]"
        if high == np.inf:
            expected = f"{'an integer' if integer else 'a number'} {'>' if low_open else '>='} {low}"
        raise ValueError(f"{name}={value!r}: expected {expected}")


def check_milestones(milestones: Sequence[int], name: str = "milestones") -> None:
    """Raise ValueError, naming the argument, unless they are a sequence of epochs >= 0."""
    if isinstance(milestones, int) or any(m < 0 for m in milestones):
        raise ValueError(f"{name}={milestones!r}: expected a sequence of epochs >= 0, such as (150,)")


def check_fitted(estimator: object) -> None:
    """Raise scikit-learn's NotFittedError, in words, before `fit`."""
    if not (hasattr(estimator, "offset_") or hasattr(estimator, "classes_")):  # a threshold, or a classifier's labels
        raise NotFittedError(f"this {type(estimator).__name__} is not fitted yet: call fit(X) first")
