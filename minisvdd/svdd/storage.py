"""Saved models: one .npz file with arrays and a JSON text, no pickle, so that loading one runs no code from it.

    minisvdd      the JSON text as UTF-8 bytes: format, version, class, arguments of the fit, layers, history
    network/...   parameters and running statistics under the network's own names, such as network/0.weight
    constants/... of the pre-processing
    center, ...   arrays that a class keeps beside them, by its `_state`
    autoencoder/...  the same again for the autoencoder of Deep SVDD's pre-training, unless it is left out

W, R and c are all that scores (paper, section 3.1); no training samples are kept. The autoencoder is there to say where
an anomaly is (`minisvdd.svdd.explain`), which it does better than anything that W, R and c can say.

This module knows no class. A class that can be saved says so, and has three methods:

    @storable
    class Mine(BaseEstimator):              # a network_, a preprocessing_ and an input_shape_ once fitted
        def _state(self): ...               # -> (values, arrays): plain JSON by attribute, arrays by name in the file
        def _set_state(self, values, arrays): ...           # takes them back; ValueError for what does not fit
        def _try(self, X): ...              # all that a fitted model does with samples; ValueError if it cannot

A file is believed only as far as its bytes justify. What a class needs must be there, of the kind and shape that it
says (`restore_values`, `saved_array`); a network may have no more numbers than the file, and must not make one sample
larger or dearer than `_check_cost` permits, which holds for saving, too; and before `load_model` returns, the model has
scored a sample of zeros and could be saved again.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from sklearn.base import BaseEstimator

from .. import nn
from ..backends import Backend, get_backend
from ..errors import DataError, one_line
from ..files.arrays import arrays_under, read_described, write_described
from ..files.atomic import json_text
from ..files.records import TEXT, Check, list_of, number, optional, record, table_of
from ..files.streams import NONSENSE
from ..validation import check_fitted, check_generator, fitted_params, note_params
from ..version import __version__
from .preprocessing import Preprocessing, make_preprocessing

FORMAT_VERSION = 1
_FORMAT, _ENTRY = "minisvdd model", "minisvdd"
_CLASSES: dict[str, Callable[..., Storable]] = {}  # by the names in files

# No score of float32 outputs is larger: (2 * 3.4e38)^2 for each of 2^24 of them is 8e84.
SCORE = number(-1e90, 1e90)
HISTORY = optional(table_of(list_of(optional(number()))))

# One sample between two layers may have so many numbers (an image of 3x1024x1024), or as many as the file itself.
# So many products of two numbers may be summed for it, over windows of such a size: seconds.
_HARMLESS_SAMPLE, _MOST_PRODUCTS, _LARGEST_WINDOW = 3 << 20, 1 << 33, 1 << 16
_LARGEST_INPUT = 1 << 24  # of a whole image, which may be cut into patches before

Class = TypeVar("Class", bound=type)
Values = dict[str, Any]  # plain JSON
Arrays = dict[str, np.ndarray]


class Storable(Protocol):
    """What a class that can be saved has, once it is fitted."""

    network_: nn.Sequential
    preprocessing_: Preprocessing
    input_shape_: tuple[int, ...]
    n_features_in_: int  # where samples are features
    feature_names_in_: np.ndarray  # where they have names

    def get_params(self, deep: bool = True) -> dict[str, Any]: ...
    def _state(self) -> tuple[Values, Arrays]: ...
    def _set_state(self, values: Values, arrays: Arrays) -> None: ...
    def _try(self, X: np.ndarray) -> None: ...


def storable(cls: Class) -> Class:
    """Class decorator: `save_model` takes models of this class, and `load_model` finds the class by its name."""
    _CLASSES[cls.__name__] = cls
    return cls


def save_model(model: Storable, path: str | Path) -> None:
    """Write a fitted model to `path`, replacing an older file only once the new one is complete.

    Raises NotFittedError before `fit`, ValueError for a class that is not `storable` and for a network with layers
    that are not minisvdd's own, or that costs more than `load_model` would believe.
    """
    description, arrays = describe(model)
    _check_sample(model.input_shape_, _LARGEST_INPUT)
    _check_cost(
        network_from_config(description["network"]), model.network_.input_shape, sum(a.size for a in arrays.values())
    )
    write_described(path, _ENTRY, description, arrays)


def can_be_saved(model: object) -> bool:
    """Whether `save_model` takes it: a fitted model of a class marked as storable, its layers minisvdd's own."""
    own = _CLASSES.get(type(model).__name__) is type(model) and hasattr(model, "network_")
    return own and all(map(_is_own, model.network_.flat_layers()))  # type: ignore[attr-defined]


def describe(model: Storable) -> tuple[Values, Arrays]:
    """The model as plain JSON and arrays by name, which `rebuild` takes back. Errors: as `save_model`."""
    name = type(model).__name__
    if _CLASSES.get(name) is not type(model):
        raise ValueError(f"{name} cannot be saved: expected a class that is marked as storable")
    check_fitted(model)
    _check_own_layers(model.network_)
    values, arrays = model._state()
    if hasattr(model, "n_features_in_"):  # what scikit-learn notes of features, whatever the class
        values = {**values, "n_features_in_": model.n_features_in_}
    if hasattr(model, "feature_names_in_"):
        values = {**values, "feature_names_in_": [str(feature) for feature in model.feature_names_in_]}
    description = {
        "format": _FORMAT,
        "format_version": FORMAT_VERSION,
        "library_version": __version__,
        "class": name,
        "params": {name: _as_json(value) for name, value in fitted_params(model).items()},
        "network": model.network_.config(),
        "input_shape": list(model.input_shape_),
        "attributes": values,
    }
    # AnoGAN's network turns z into an image, then a logit; that of large images sees patches
    if model.network_.input_shape != model.input_shape_:
        description["network_input_shape"] = list(model.network_.input_shape)
    backend = model.network_.backend
    weights = {f"network/{name}": backend.to_numpy(a) for name, a in model.network_.arrays.items()}
    constants = {f"constants/{name}": np.asarray(value) for name, value in model.preprocessing_.constants.items()}
    return description, {**weights, **constants, **arrays}


def load_model(path: str | Path, backend: str | Backend = "numpy") -> BaseEstimator:
    """The model that `save_model` wrote; it scores bit for bit like the one that was saved (on the same backend).

    Raises DataError, in one line that names the file, when it is missing, damaged, no model, or of a newer format;
    ValueError for an unknown backend, KernelError for one that is missing here, or fails.

    >>> import tempfile
    >>> from minisvdd import Autoencoder
    >>> X = np.random.default_rng(0).normal(size=(60, 4))
    >>> model = Autoencoder(epochs=1, verbose=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model.npz")
    ...     same = load_model(f"{folder}/model.npz")
    >>> bool((same.anomaly_score(X) == model.anomaly_score(X)).all())
    True
    """
    runs_on = get_backend(backend)  # what is amiss with it is no fault of the file
    description, arrays = read_described(path, _ENTRY, _FORMAT, partial(_check_format, path))
    try:
        return rebuild(description, arrays, runs_on)
    except NONSENSE as error:
        from ..backends import KernelError  # only now: no other backend needs kernels

        if isinstance(error, KernelError):
            raise
        raise DataError(
            f"{path}: this model's description and arrays do not fit together: {one_line(error)}"
        ) from error


def _check_format(path: str | Path, description: Any) -> None:
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise DataError(f"{path}: not a minisvdd model: its description does not say {_FORMAT!r}")
    version = description.get("format_version")
    if type(version) is not int or version < 1:
        raise ValueError(f"format_version is {version!r:.60}, expected a whole number >= 1")
    if version > FORMAT_VERSION:
        raise DataError(
            f"{path}: written in model format {version} by minisvdd {description.get('library_version')}, "
            f"this version reads formats up to {FORMAT_VERSION}: upgrade minisvdd"
        )


def rebuild(description: Values, arrays: Arrays, backend: Backend) -> Storable:
    """The model that `describe` described. Raises ValueError and the like for what does not fit together."""
    params: Values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in description["params"].items()
    }
    for name in ("network", "decoder"):
        if isinstance(params.get(name), dict):
            params[name] = network_from_config(params[name])
    model = _class_named(description["class"])(**{**params, "backend": backend.label})
    note_params(model)
    check_generator(params.get("random_state"))
    model.input_shape_ = _shape(description["input_shape"])
    model.preprocessing_ = make_preprocessing(params["preprocessing"], backend, model.input_shape_)
    model.preprocessing_.constants = {
        name: saved_array(arrays, f"constants/{name}", shape)
        for name, shape in model.preprocessing_.constant_shapes(model.input_shape_).items()
    }
    _check_sample(model.input_shape_, _LARGEST_INPUT)
    model.network_ = network_from_config(description["network"])
    network_input_shape = _shape(description.get("network_input_shape", model.input_shape_))
    numbers = sum(array.size for array in arrays.values())
    _check_cost(network_from_config(description["network"]), network_input_shape, numbers)
    model.network_.build(network_input_shape, _Zeros(numbers), backend=backend)
    model.network_.load_arrays(_of_numbers(arrays_under("network/", arrays)))
    values = description["attributes"]
    _restore_features(model, values)
    model._set_state(values, arrays)
    check_fitted(model)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zeros have no names, and are no sample of anything
        model._try(np.zeros((1, *model.input_shape_), np.float32))
    json_text(describe(model)[0])
    return model


def _restore_features(model: Storable, values: Values) -> None:
    """What scikit-learn notes of features: how many there are, and their names where they have some."""
    if (count := values.get("n_features_in_")) is not None:
        if (count,) != model.input_shape_:
            raise ValueError(f"n_features_in_ is {count!r:.60}, expected samples {model.input_shape_}")
        model.n_features_in_ = count
    if (names := values.get("feature_names_in_")) is not None:
        list_of(TEXT)(names, "feature_names_in_")
        if (len(names),) != model.input_shape_:
            raise ValueError(f"feature_names_in_ has {len(names)} names, expected samples {model.input_shape_}")
        model.feature_names_in_ = np.array(names, dtype=object)


def _check_cost(network: nn.Sequential, input_shape: tuple[int, ...], numbers: int) -> None:
    """ValueError for a network, not yet built, that asks for more numbers than a file has, or for a sample too dear.

    It is built layer by layer, and dropped, so that nothing is allocated that the layers before do not justify.
    """
    zeros, shape, products = _Zeros(numbers), input_shape, 0
    _check_sample(shape, numbers)
    for layer in network.flat_layers():
        before, drawn = shape, zeros.left
        shape = layer.build(shape, zeros)
        for around in (before, shape) if hasattr(layer, "padding") else (shape,):
            _check_sample(_padded(around, layer), numbers)
        arrays = sum(array.size for array in layer.arrays.values())
        zeros.take(arrays - (drawn - zeros.left))
        window = math.prod(getattr(layer, "kernel_size", ()))
        weight = layer.params.get("weight", np.zeros(0))
        products += (weight.size if weight.ndim > 1 else window * shape[0]) * math.prod(shape[1:])
        if window > _LARGEST_WINDOW or products > _MOST_PRODUCTS:
            raise ValueError(f"{type(layer).__name__}: a sample takes {products} products, over windows of {window}")
        layer.params.clear()
        layer.buffers.clear()


def _padded(shape: tuple[int, ...], layer: nn.Layer) -> tuple[int, ...]:
    """The shape of a sample with the border of zeros that a layer may put around it."""
    margins = getattr(layer, "padding", (0, 0))
    windows = getattr(layer, "kernel_size", (0, 0)) if getattr(layer, "ceil_mode", False) else (0, 0)
    return (*shape[:-2], *(n + 2 * p + k for n, p, k in zip(shape[-2:], margins, windows)))


def _check_sample(shape: tuple[int, ...], numbers: int) -> None:
    if math.prod(shape) > (largest := max(_HARMLESS_SAMPLE, numbers)):
        raise ValueError(f"a sample of shape {shape} has {math.prod(shape)} numbers, expected at most {largest}")


def _of_numbers(arrays: Arrays) -> Arrays:
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise ValueError(f"array {name!r} has dtype {array.dtype}, expected floating-point numbers")
    return arrays


def _class_named(name: str) -> Callable[..., Storable]:
    """The class that files call so. One that the library offers is registered as soon as its module is loaded."""
    package = importlib.import_module(__package__.partition(".")[0])
    if name in package.__all__:
        getattr(package, name)
    if not isinstance(name, str) or name not in _CLASSES:
        raise ValueError(f"class {name!r} is not one of minisvdd's")
    return _CLASSES[name]


class _Zeros(np.random.Generator):
    """Stands in for the generator of `build`, whose draws are replaced at once by the `limit` numbers of a file.

    A description that asks for more numbers is refused before anything is allocated for them.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(np.random.PCG64(0))
        self.left = limit

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        self.take(math.prod(size))
        return np.broadcast_to(0.0, size)

    def take(self, count: int) -> None:
        """So many of the file's numbers have found their place."""
        self.left -= count
        if self.left < 0:
            raise ValueError("the layers have more parameters than the file has numbers")


def _shape(value: Sequence[int]) -> tuple[int, ...]:
    if not all(isinstance(size, int) and size > 0 for size in value):
        raise ValueError(f"shape {value!r}: expected whole numbers > 0")
    return tuple(value)


# What the classes' own methods are made of


def saved_values(model: object, *names: str) -> Values:
    """Those attributes that a model has, by name: saved on the way, by `on_stage`, it lacks a history."""
    return {name: getattr(model, name) for name in names if hasattr(model, name)}


def restore_values(model: object, values: Values, **checks: Check) -> None:
    """Set attributes from a file, each checked (`minisvdd.files.records`); null and what is missing are not set.

    Raises ValueError, naming the attribute, for anything else than what is expected.
    """
    record(**checks)(values, "attributes")
    for name in checks:
        if values.get(name) is not None:
            setattr(model, name, values[name])


def saved_array(arrays: Arrays, name: str, shape: tuple[int, ...], kinds: str = "f") -> np.ndarray:
    """The array of that name; ValueError when it is missing, of another shape or of none of NumPy's kinds of dtypes."""
    if name not in arrays:
        raise ValueError(f"array {name!r} is missing")
    array = arrays[name]
    if array.shape != shape or array.dtype.kind not in kinds:
        expected = "floating-point numbers" if kinds == "f" else "labels"
        raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}, expected {shape}, {expected}")
    return array


def network_from_config(config: Values) -> nn.Sequential:
    """The Sequential, not yet built, that `Sequential.config()` describes. ValueError for an unknown layer."""
    return nn.Sequential([_layer_from_config(name, arguments) for name, arguments in config["layers"]])


def _layer_from_config(name: str, arguments: Values) -> nn.Layer:
    if name == "Sequential":
        return network_from_config(arguments)
    cls = getattr(nn, name, None)
    if not (isinstance(cls, type) and issubclass(cls, nn.Layer)) or cls in (nn.Layer, nn.Sequential):
        raise ValueError(f"layer {name!r} is not one of minisvdd's")
    return cls(**arguments)


def _check_own_layers(network: nn.Sequential) -> None:
    for index, layer in enumerate(network.flat_layers()):
        if not _is_own(layer):
            raise ValueError(
                f"layer {index} ({type(layer).__name__}) is not one of minisvdd's: a file without code cannot hold it"
            )


def _is_own(layer: nn.Layer) -> bool:
    return getattr(nn, type(layer).__name__, None) is type(layer)


def _as_json(value: Any) -> Any:
    """A constructor argument as JSON; what only training needed becomes null: a generator, an autoencoder, a decoder
    with layers of your own, which no file could give back."""
    if isinstance(value, nn.Sequential):
        return value.config() if all(map(_is_own, value.flat_layers())) else None
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_as_json(one) for one in value]
    if isinstance(value, np.random.Generator | BaseEstimator):
        return None
    if isinstance(value, Backend):
        return value.name
    return value if isinstance(value, str | int | float | None) else str(value)
