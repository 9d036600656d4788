"""Saved models: one .npz file with arrays and a JSON text, no pickle, so that loading one runs no code from it.

    minisvdd      the JSON text as UTF-8 bytes: format, version, class, constructor arguments, layers, history
    network/...   parameters and running statistics under the network's own names, such as network/0.weight
    center        c (DeepSVDD)
    start         where the latent search starts (AnoGAN)
    classes       labels (SoftmaxClassifier)
    constants/... of the pre-processing

W, R and c are the whole model (paper, section 3.1): neither training samples nor a pre-training autoencoder is kept.
"""

import json
import math
from pathlib import Path

import numpy as np

from ..attack.classifier import SoftmaxClassifier
from ..backends import NumpyBackend, get_backend
from ..data.readers import DAMAGE, arrays_under, read_arrays
from ..errors import DataError, one_line
from ..files.atomic import write_arrays
from ..nn import layers
from ..nn.networks import Sequential
from ..rivals.anogan import AnoGAN
from ..validation import check_fitted
from ..version import __version__
from .autoencoder import Autoencoder
from .detector import Detector
from .preprocessing import make_preprocessing
from .svdd import DeepSVDD

FORMAT_VERSION = 1
_FORMAT = "minisvdd model"
_CLASSES = {cls.__name__: cls for cls in (DeepSVDD, Autoencoder, AnoGAN, SoftmaxClassifier)}
# Fitted attributes that are plain JSON values, by class; arrays are stored as arrays.
_PLAIN_ATTRIBUTES = ("radius_", "offset_", "history_", "n_features_in_", "diagnostics_")
_RENAMED = {"figures_": "diagnostics_"}  # what older files call it
# What a decompressor or parser may raise on a damaged file, and Python on a description that makes no sense.
_DAMAGED = (*DAMAGE, TypeError, AttributeError, ArithmeticError)


def save_model(model: Detector, path) -> None:
    """Write a fitted model to `path`, replacing an older file only once the new one is complete.

    Raises NotFittedError before `fit`, ValueError for a network with layers that are not minisvdd's own.
    """
    check_fitted(model)
    _check_own_layers(model.network_)
    description = {
        "format": _FORMAT,
        "format_version": FORMAT_VERSION,
        "library_version": __version__,
        "class": type(model).__name__,
        "params": {name: _plain(value) for name, value in model.get_params(deep=False).items()},
        "network": model.network_.config(),
        "input_shape": list(model.input_shape_),
        "attributes": {name: getattr(model, name) for name in _PLAIN_ATTRIBUTES if hasattr(model, name)},
    }
    if model.network_.input_shape != model.input_shape_:  # AnoGAN: its network turns z into an image, then a logit
        description["network_input_shape"] = list(model.network_.input_shape)
    backend = model.network_.backend
    arrays = {f"network/{name}": backend.to_numpy(a) for name, a in _arrays(model.network_).items()}
    arrays |= {f"constants/{name}": value for name, value in model.preprocessing_.constants.items()}
    if hasattr(model, "center_"):
        arrays["center"] = model.center_
    if hasattr(model, "classes_"):
        arrays["classes"] = model.classes_
    if hasattr(model, "start_"):
        arrays["start"] = model.start_
    arrays["minisvdd"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    write_arrays(path, arrays)


def load_model(path, backend="numpy") -> Detector:
    """The model that `save_model` wrote; it scores bit for bit like the one that was saved (on the same backend).

    Raises DataError, in one line that names the file, when it is missing, damaged, no model, or of a newer format.
    """
    description, arrays = _read(path)
    try:
        return _rebuild(description, arrays, get_backend(backend))
    except _DAMAGED as error:
        raise DataError(
            f"{path}: this model's description and arrays do not fit together: {one_line(error)}"
        ) from error


def _read(path):
    arrays = read_arrays(Path(path))
    if "minisvdd" not in arrays:
        raise DataError(f"{path}: not a minisvdd model: expected a .npz file with an entry 'minisvdd'")
    try:
        description = json.loads(bytes(arrays.pop("minisvdd")))
        _check_format(path, description)
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"{path}: damaged, or not a minisvdd model: {one_line(error)}") from error
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{path}: damaged: array {name!r} holds values that are NaN or infinite")
    return description, arrays


def _check_format(path, description):
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise DataError(f"{path}: not a minisvdd model: its description does not say {_FORMAT!r}")
    version = description["format_version"]
    if version > FORMAT_VERSION:
        raise DataError(
            f"{path}: written in model format {version} by minisvdd {description.get('library_version')}, "
            f"this version reads formats up to {FORMAT_VERSION}: upgrade minisvdd"
        )


def _rebuild(description, arrays, backend):
    params = {name: tuple(value) if isinstance(value, list) else value for name, value in description["params"].items()}
    for name in ("network", "decoder"):
        if isinstance(params.get(name), dict):
            params[name] = network_from_config(params[name])
    model = _CLASSES[description["class"]](**{**params, "backend": backend.name})
    if isinstance(model, Detector):
        model._check_parameters()
    model.input_shape_ = _shape(description["input_shape"])
    attributes = {_RENAMED.get(name, name): value for name, value in description["attributes"].items()}
    for name in set(_PLAIN_ATTRIBUTES) & set(attributes):
        setattr(model, name, attributes[name])
    model.preprocessing_ = make_preprocessing(params["preprocessing"], backend, model.input_shape_)
    model.preprocessing_.constants = arrays_under("constants/", arrays)
    if "center" in arrays:
        model.center_, model.autoencoder_ = arrays["center"], None
    if "classes" in arrays:
        model.classes_ = arrays["classes"]
    if "start" in arrays:
        model.start_ = arrays["start"]
    model.network_ = network_from_config(description["network"])
    network_input_shape = _shape(description.get("network_input_shape", model.input_shape_))
    weights = arrays_under("network/", arrays)
    model.network_.build(network_input_shape, _Zeros(sum(a.size for a in weights.values())), backend=backend)
    model.network_.load_arrays(weights)
    if "center" in arrays and model.center_.shape != model.network_.output_shape:
        raise ValueError(f"center has shape {model.center_.shape}, expected {model.network_.output_shape}")
    if "start" in arrays and model.start_.shape != network_input_shape:
        raise ValueError(f"start has shape {model.start_.shape}, expected {network_input_shape}")
    if isinstance(model, Autoencoder) and model.network_.output_shape != model.input_shape_:
        raise ValueError(f"the network makes samples {model.network_.output_shape}, expected {model.input_shape_}")
    if isinstance(model, AnoGAN) and model.generator_.output_shape != model.input_shape_:
        raise ValueError(f"the generator makes images {model.generator_.output_shape}, expected {model.input_shape_}")
    _check_attributes(model)
    model.preprocessing_.transform(np.zeros((1, *model.input_shape_), np.float32))  # its constants are there and fit
    return model


class _Zeros(np.random.Generator):
    """Stands in for the generator of `build`, whose draws are replaced at once by the `limit` numbers of a file.

    A description that asks for more numbers is refused before anything is allocated for them.
    """

    def __init__(self, limit):
        super().__init__(np.random.PCG64(0))
        self.left = limit

    def uniform(self, low=0.0, high=1.0, size=None):
        self.left -= math.prod(size)
        if self.left < 0:
            raise ValueError("the layers have more parameters than the file has numbers")
        return np.broadcast_to(0.0, size)


def _shape(value):
    if not all(isinstance(size, int) and size > 0 for size in value):
        raise ValueError(f"shape {value!r}: expected whole numbers > 0")
    return tuple(value)


def _check_attributes(model):
    check_fitted(model)
    for name in ("radius_", "offset_"):
        value = getattr(model, name, 0.0)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}, expected a finite number")
    if not isinstance(getattr(model, "history_", {}), dict):
        raise ValueError("history_: expected lists by name")
    if hasattr(model, "n_features_in_") and (model.n_features_in_,) != model.input_shape_:
        raise ValueError(f"n_features_in_ is {model.n_features_in_!r}, expected that of samples {model.input_shape_}")


def network_from_config(config: dict) -> Sequential:
    """The Sequential, not yet built, that `Sequential.config()` describes. ValueError for an unknown layer."""
    return Sequential([_layer_from_config(name, arguments) for name, arguments in config["layers"]])


def _layer_from_config(name, arguments):
    if name == "Sequential":
        return network_from_config(arguments)
    cls = getattr(layers, name, None)
    if not (isinstance(cls, type) and issubclass(cls, layers.Layer)):
        raise ValueError(f"layer {name!r} is not one of minisvdd's")
    return cls(**arguments)


def _check_own_layers(network):
    for index, layer in enumerate(network.flat_layers()):
        if getattr(layers, type(layer).__name__, None) is not type(layer):
            raise ValueError(
                f"layer {index} ({type(layer).__name__}) is not one of minisvdd's: a file without code cannot hold it"
            )


def _arrays(network):
    return {**network.params, **network.buffers}


def _plain(value):
    """A constructor argument as JSON; what only training needed (a generator, an autoencoder) becomes null."""
    if isinstance(value, Sequential):
        return value.config()
    if isinstance(value, np.ndarray | np.generic | tuple):
        return np.asarray(value).tolist()
    if isinstance(value, np.random.Generator | Detector):
        return None
    if isinstance(value, NumpyBackend):
        return value.name
    return value if isinstance(value, str | int | float | list | None) else str(value)
