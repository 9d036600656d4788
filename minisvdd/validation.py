"""Checks of what users hand to the estimators: each failure names the argument and what was expected.

Readers of data and layers check their arguments here, too: scikit-learn, which takes long to load, comes when an
estimator is checked.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

_BLOCK = 1 << 22  # numbers looked at in one go
_COLORS = (1, 3)  # channels of an image by which a last axis is known as that of the channels
LARGEST = float(np.finfo(np.float32).max)  # in which networks compute
_ROUNDING = 4 * float(np.finfo(np.float64).eps)  # how far apart numbers are, over the largest, that are one number
_NO_NUMBERS = {"M": "dates", "m": "durations", "U": "text", "S": "text"}  # by NumPy's letters for dtypes
Seed = int | np.random.Generator | None


def check_training_samples(estimator: Any, X: ArrayLike) -> np.ndarray:
    """X as an array (n, C, H, W), float32, or (n, D), n >= 2; notes the shape of a sample in `estimator.input_shape_`
    and the arguments of this fit.

    Images may come as `as_images` reads them. Features stay float64 where they are: an offset must not cost the digits
    behind it before pre-processing takes it away. Raises ValueError for fewer samples, a wrong number of axes, an empty
    axis, NaN or infinity, masked values, TypeError for text, dates, other non-numbers and sparse matrices.
    """
    _refuse_what_is_no_number(X)
    are_images = np.asarray(X).ndim > 2
    X = as_images(X) if are_images else _as_features(estimator, X)
    if 0 in X.shape:
        raise ValueError(f"X has shape {X.shape}: expected images (n, C, H, W) or features (n, D), none of them 0")
    _check_finite(X)
    if len(X) < 2:
        # "sample" and the number are what scikit-learn's conventions ask of this message.
        raise ValueError(f"X has 1 sample: one-class learning needs at least 2 (shape {X.shape})")
    forget_fit(estimator, () if are_images else ("n_features_in_", "feature_names_in_"))
    note_params(estimator)
    estimator.input_shape_ = X.shape[1:]
    return X


def note_params(estimator: Any) -> None:
    """Keep the arguments that an estimator is fitted with: `set_params` changes those of the next `fit` alone."""
    estimator._fitted_params = estimator.get_params(deep=False)


def fitted_params(estimator: Any) -> dict[str, Any]:
    """The arguments that an estimator was fitted with; today's where it was fitted by a version that kept none."""
    params: dict[str, Any] = getattr(estimator, "_fitted_params", None) or estimator.get_params(deep=False)
    return params


def forget_fit(estimator: Any, but: Sequence[str] = ()) -> None:
    """Remove what an earlier `fit` has left, by scikit-learn's sign of it, `but` what was noted of the new samples."""
    for name in [name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")]:
        if name not in but:
            delattr(estimator, name)


def check_test_samples(estimator: Any, X: ArrayLike, first: int = 0) -> np.ndarray:
    """X as an array of samples like those that `estimator` was trained on, in any layout that training takes.

    first: index of X's first sample in a larger array, which errors count by. There may be no samples at all; for
    other errors see training.
    """
    _refuse_what_is_no_number(X)
    expected = estimator.input_shape_
    if len(expected) == 1 and np.asarray(X).ndim <= 2:
        X = _as_features(estimator, X, reset=False, ensure_min_samples=0)
    else:
        X = _scaled(_like(np.asarray(X), expected))
    _check_finite(X, first)
    return X


def _refuse_what_is_no_number(X: ArrayLike) -> None:
    """ValueError for masked values, which lie in the array as any others; TypeError for text, dates and durations.

    NumPy and scikit-learn make numbers of all of them, of a missing date -2^63. Objects are theirs to look at.
    """
    if isinstance(X, np.ma.MaskedArray) and (masked := int(np.ma.getmaskarray(X).sum())):
        raise ValueError(f"X has {masked} masked values: fill or drop them")
    dtype = X.dtype if hasattr(X, "dtype") else np.asarray(X).dtype
    if (kind := getattr(dtype, "kind", "")) in _NO_NUMBERS:
        raise TypeError(f"X has dtype {dtype}: expected real numbers, found {_NO_NUMBERS[kind]}")


def _as_features(estimator: Any, X: ArrayLike, **options: Any) -> np.ndarray:
    """By scikit-learn, but for its check of finiteness, which does not say where the bad value is."""
    from sklearn.utils.validation import validate_data

    features: np.ndarray = validate_data(
        estimator, X, ensure_all_finite=False, dtype=(np.float64, np.float32), **options
    )
    return features


def as_images(X: ArrayLike) -> np.ndarray:
    """Images in any common layout as (n, C, H, W), float32; uint8 is divided by 255, booleans become 0 and 1.

    (n, H, W) are gray images; (n, H, W, C) with 1 or 3 channels is moved to channels first, unless it can be read so
    already: a second axis of 1 or 3, or sides below 4. ValueError, with the remedy, for a shape that could mean two
    things or nothing.

    >>> as_images(np.zeros((5, 28, 20))).shape, as_images(np.zeros((5, 28, 20, 3))).shape
    ((5, 1, 28, 20), (5, 3, 28, 20))
    """
    return _scaled(_channels_first(np.asarray(X)))


def _channels_first(X: np.ndarray) -> np.ndarray:
    shape = X.shape
    if X.ndim == 3:
        if shape[2] in _COLORS:
            raise ValueError(f"X has shape {shape}: one image (H, W, C)? hand over X[None]; gray images? X[:, None]")
        return X[:, None]
    if X.ndim != 4:
        raise ValueError(f"X has shape {shape}: expected images (n, C, H, W), (n, H, W) or features (n, D)")
    _, first, second, last = shape
    if first in _COLORS or min(first, second) < 4:
        return X
    if last in _COLORS:
        return np.moveaxis(X, -1, 1)
    if last in (2, 4) and min(first, second) >= 8:
        remedy = "np.moveaxis(X, -1, 1)" if last == 2 else "np.moveaxis(X[..., :3], -1, 1), without transparency"
        raise ValueError(f"X has shape {shape}: images (n, H, W, C)? expected channels first: {remedy}")
    return X


def _like(X: np.ndarray, expected: tuple[int, ...]) -> np.ndarray:
    """X with samples of the expected shape, if it comes in a layout that training would have taken so."""
    if X.shape[1:] == expected:
        return X
    if len(expected) == 3 and X.ndim == 3 and (1, *X.shape[1:]) == expected:
        return X[:, None]
    if len(expected) == 3 and X.ndim == 4 and (X.shape[3], *X.shape[1:3]) == expected:
        return np.moveaxis(X, -1, 1)
    one = "; one sample alone? hand over X[None]" if X.shape == expected else ""
    raise ValueError(f"X has shape {X.shape}: the model was trained on samples of shape {expected}{one}")


def _scaled(X: np.ndarray) -> np.ndarray:
    """float32, with white at 1 for uint8: the one integer type whose white is known."""
    if not (np.issubdtype(X.dtype, np.number) or X.dtype == bool) or np.iscomplexobj(X):
        raise TypeError(f"X has dtype {X.dtype}: expected real numbers")
    if X.dtype != np.uint8 or X.ndim < 3:
        with np.errstate(over="ignore"):  # what is too large for float32 is infinite there, and found so
            return X.astype(np.float32, copy=False)
    scaled = X.astype(np.float32)
    scaled /= 255
    return scaled


def _check_finite(X: np.ndarray, first: int = 0) -> None:
    """Block by block, so that a memory-mapped array is not doubled."""
    block = max(1, _BLOCK // max(1, X[:1].size))
    places = [
        (start + int(index[0]), *map(int, index[1:]))
        for start in range(0, len(X), block)
        for index in np.argwhere(~(np.abs(X[start : start + block]) <= LARGEST))
    ]
    if places:
        row, *rest = places[0]
        raise ValueError(
            f"X contains {len(places)} values that are NaN, infinite or too large for float32, "
            f"the first at index {(first + row, *rest)}"
        )


def is_constant(X: np.ndarray) -> np.ndarray:
    """Which features are the same number in all samples, up to rounding in float64.  X: (n, D); returns (D,) bool.

    The standard deviation does not tell: that of n numbers 0.1 is about 1e-17, since their mean is rounded.
    """
    low, high = X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
    constant: np.ndarray = high - low <= _ROUNDING * np.maximum(np.abs(low), np.abs(high))
    return constant


def check_kinds(values: ArrayLike, n: int, name: str = "is_anomaly") -> np.ndarray:
    """Which of n samples are anomalous, (n,) bool, from True and False or 1 and 0.

    Other numbers are refused: in scikit-learn's labels -1 is an anomaly, in other code 1 is, and a guess would be
    wrong without a sign of it. Raises ValueError, naming the argument and the first such value, or the shape.

    >>> check_kinds([0, 1, True], 3)
    array([False,  True,  True])
    """
    kinds = check_length(values, n, name)
    for k, value in enumerate(kinds.tolist()):
        if not (isinstance(value, bool | int | float) and value in (0, 1)):
            raise ValueError(f"{name}[{k}] is {value!r}: expected True or 1 for an anomaly, False or 0 for normal")
    return kinds.astype(bool)


def check_length(values: ArrayLike, n: int, name: str) -> np.ndarray:
    """The values as an array (n,), one of each sample. Raises ValueError, naming the argument, for another shape."""
    try:
        array = np.asarray(values)
    except ValueError:  # lists of several lengths
        raise ValueError(f"{name}: expected shape ({n},), one value a sample") from None
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape}: expected ({n},), one value a sample")
    return array


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
    """Raise ValueError, naming the argument and its range, unless low <= value <= high (low < value if low_open).

    Infinity is in no range.
    """
    kind = int | np.integer if integer else int | float | np.integer | np.floating
    inside = isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high and value < np.inf
    if not inside or (low_open and value == low):
        expected = f"{'an integer' if integer else 'a number'} in {'(' if low_open else '['}{low}, {high}]"
        if high == np.inf:
            expected = f"{'an integer' if integer else 'a number'} {'>' if low_open else '>='} {low}"
            expected += ", and finite" if value is not None and value == np.inf else ""
        raise ValueError(f"{name}={value!r}: expected {expected}")


def check_choice(value: object, name: str, choices: Iterable[str | None]) -> None:
    """Raise ValueError, naming the argument and the choices, unless it is one of them."""
    choices = list(choices)
    if not isinstance(value, str | None) or value not in choices:
        raise ValueError(f"{name}={value!r}: expected one of {choices}")


def check_flag(value: object, name: str) -> None:
    """Raise ValueError, naming the argument, unless it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={value!r}: expected True or False")


def check_numbers(values: Any, name: str, low: float, high: float = np.inf, low_open: bool = False) -> None:
    """Raise ValueError, naming argument and entry, unless it is a sequence of one or more that `check_number` takes."""
    if not _is_sequence(values) or not len(values):
        raise ValueError(f"{name}={values!r}: expected a sequence of numbers, at least one")
    for k, value in enumerate(values):
        check_number(value, f"{name}[{k}]", low, high, low_open)


def _is_sequence(values: object) -> bool:
    if isinstance(values, np.ndarray):
        return values.ndim == 1
    return isinstance(values, Sequence) and not isinstance(values, str)


def check_milestones(milestones: Sequence[int], name: str = "milestones") -> None:
    """Raise ValueError, naming the argument, unless they are a sequence of epochs >= 0."""
    number = int | float | np.integer | np.floating
    if not _is_sequence(milestones) or not all(isinstance(m, number) and m >= 0 for m in milestones):
        raise ValueError(f"{name}={milestones!r}: expected a sequence of epochs >= 0, such as (150,)")


def check_fitted(estimator: object) -> None:
    """Raise scikit-learn's NotFittedError, in words, before `fit`."""
    if not (hasattr(estimator, "offset_") or hasattr(estimator, "classes_")):  # a threshold, or a classifier's labels
        from sklearn.exceptions import NotFittedError

        raise NotFittedError(f"this {type(estimator).__name__} is not fitted yet: call fit(X) first")
