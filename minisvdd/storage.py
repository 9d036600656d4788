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
import zipfile
import zlib

import numpy as np

from . import __version__, layers
from .anogan import AnoGAN
from .autoencoder import Autoencoder
from .backends import NumpyBackend, get_backend
from .classifier import SoftmaxClassifier
from .detector import Detector
from .errors import DataError
from .files import atomic_write
from .networks import Sequential
from .preprocessing import make_preprocessing
from .svdd import DeepSVDD
from .validation import check_fitted

FORMAT_VERSION = 1
_FORMAT = "minisvdd model"
_CLASSES = {cls.__name__: cls for cls in (DeepSVDD, Autoencoder, AnoGAN, SoftmaxClassifier)}
# Fitted attributes that are plain JSON values, by class; arrays are stored as arrays.
_PLAIN_ATTRIBUTES = ("radius_", "offset_", "history_", "n_features_in_", "figures_")
# What a decompressor or parser may raise on a damaged file.
_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, EOFError, OSError, MemoryError)


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
    with atomic_write(path, "wb") as file:
        np.savez(file, **arrays)


def load_model(path, backend="numpy") -> Detector:
    """The model that `save_model` wrote; it scores bit for bit like the one that was saved (on the same backend).

    Raises DataError, in one line that names the file, when it is missing, damaged, no model, or of a newer format.
    """
    description, arrays = _read(path)
    try:
        return _rebuild(description, arrays, get_backend(backend))
    except _DAMAGED as error:
        raise DataError(f"{path}: this model's description and arrays do not fit together: {error}") from error


def _read(path):
    try:
        archive = np.load(path, allow_pickle=False)
        if "minisvdd" not in getattr(archive, "files", ()):
            raise DataError(f"{path}: not a minisvdd model: expected a .npz file with an entry 'minisvdd'")
        with archive:
            description = json.loads(bytes(archive["minisvdd"]))
            _check_format(path, description)
            return description, {name: archive[name] for name in archive.files if name != "minisvdd"}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: expected a saved model (.npz)") from None
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"{path}: damaged, or not a minisvdd model: {error}") from error


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
    model.input_shape_ = tuple(description["input_shape"])
    for name in set(_PLAIN_ATTRIBUTES) & set(description["attributes"]):
        setattr(model, name, description["attributes"][name])
    model.preprocessing_ = make_preprocessing(params["preprocessing"], backend)
    model.preprocessing_.constants = _under("constants/", arrays)
    if "center" in arrays:
        model.center_, model.autoencoder_ = arrays["center"], None
    if "classes" in arrays:
        model.classes_ = arrays["classes"]
    if "start" in arrays:
        model.start_ = arrays["start"]
    model.network_ = network_from_config(description["network"])
    # The drawn weights are replaced at once; the generator only satisfies `build`.
    network_input_shape = description.get("network_input_shape", model.input_shape_)
    model.network_.build(network_input_shape, np.random.default_rng(0), backend=backend)
    model.network_.load_arrays(_under("network/", arrays))
    if isinstance(model, AnoGAN) and model.generator_.output_shape != model.input_shape_:
        raise ValueError(f"the generator makes images {model.generator_.output_shape}, expected {model.input_shape_}")
    return model


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


def _under(prefix, arrays):
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


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
