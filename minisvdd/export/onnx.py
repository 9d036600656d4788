"""A fitted detector as an ONNX file, for programs that know neither minisvdd nor Python.

    X -> pre-processing -> network -> anomaly_score -> is_anomaly         (score > threshold)

Each layer is one entry of `_LAYERS`: a node of ONNX with the layer's arrays. Batch norm uses its running statistics, as
in scoring. Pre-processing and distances are in double precision, as here, the network in single precision.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn
from ..files.atomic import atomic_write
from ..ops.pooling import pool_margins
from ..svdd.autoencoder import Autoencoder
from ..svdd.svdd import DeepSVDD
from ..validation import check_fitted, fitted_params
from ..version import __version__

_OPSET, _IR_VERSION = 17, 8  # of 2022: what reads ONNX today reads those


def export_onnx(model: DeepSVDD | Autoencoder, path: str | Path) -> None:
    """Write a fitted DeepSVDD or Autoencoder to `path`.

    The graph takes X as `fit` did, not yet pre-processed: images (N, C, H, W) in float32, features (N, D) in float64,
    of which float32 would lose the digits behind a large offset. It gives

        anomaly_score   (N,) float64, as `model.anomaly_score`; of soft-boundary, R^2 is subtracted
        is_anomaly      (N,) bool, whether the score exceeds the threshold: where `model.predict` says -1
        embedding       (N, p) float32, the outputs of the encoder
        reconstruction  X's shape, float32, pre-processed scale: of an Autoencoder only

    The threshold, R^2, the names of the features (a JSON list) and what else a reader may want to know are in the
    file's metadata.

    Raises ImportError without the package onnx, NotFittedError before `fit`, and ValueError for another kind of model,
    one that cuts images into patches, or a layer that is none of minisvdd's; nothing is written then.
    """
    onnx = _package()
    if not isinstance(model, DeepSVDD | Autoencoder):
        raise ValueError(f"{type(model).__name__} cannot be exported: expected a DeepSVDD or an Autoencoder")
    check_fitted(model)
    if model.network_.input_shape != model.input_shape_:
        whole, part = tuple(model.input_shape_), tuple(model.network_.input_shape)
        raise ValueError(f"samples {whole} are cut into {part} for the network, which cannot be exported: fit without")
    with atomic_write(path, "wb") as file:
        file.write(_proto(model, onnx).SerializeToString())


def _package() -> Any:
    try:
        import onnx
    except ImportError:
        raise ImportError('ONNX files need the package onnx: pip install "minisvdd[onnx]"') from None
    return onnx


class _Graph:
    """Nodes and constants, each value under a name of its own."""

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: Any, name: str | None = None, **attributes: Any) -> str:
        """The name of what the operator makes of these: names of values, or arrays."""
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        name = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(self._onnx.helper.make_node(operator, names, [name], **attributes))
        return name

    def cast(self, value: str, dtype: type) -> str:
        """The same numbers in another precision."""
        return self.add("Cast", value, to=self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def _proto(model: Any, onnx: Any) -> Any:
    """The whole file."""
    graph = _Graph(onnx)
    types, numbers = onnx.TensorProto, model.input_shape_
    ready = _PREPROCESSINGS[model.preprocessing_.name](graph, model.preprocessing_.constants)
    is_autoencoder = isinstance(model, Autoencoder)
    encoder, *decoder = model.network_.layers if is_autoencoder else [model.network_]
    embedding, probe = _network(graph, encoder, ready, _zeros(model.network_.backend, numbers))
    outputs = {"embedding": (embedding, types.FLOAT, probe.shape[1:])}
    reference: Any
    if is_autoencoder:
        reference, _ = _network(graph, decoder[0], embedding, probe)
        outputs["reconstruction"] = (reference, types.FLOAT, numbers)
        difference = graph.add("Flatten", graph.cast(graph.add("Sub", ready, reference), np.float64), axis=1)
    else:
        difference = graph.add("Sub", graph.cast(embedding, np.float64), model.center_)
    squares = graph.add("Mul", difference, difference)
    score = graph.add("ReduceSum", squares, np.array([1]), keepdims=0)
    if fitted_params(model).get("objective") == "soft-boundary":
        score = graph.add("Sub", score, np.float64(model.radius_**2))
    outputs["anomaly_score"] = (score, types.DOUBLE, ())
    outputs["is_anomaly"] = (graph.add("Greater", score, np.float64(-model.offset_)), types.BOOL, ())
    for name, (value, _, _) in outputs.items():
        graph.add("Identity", value, name=name)

    described = onnx.helper.make_tensor_value_info
    proto = onnx.helper.make_graph(
        graph.nodes,
        type(model).__name__,
        [described("X", types.FLOAT if len(numbers) > 1 else types.DOUBLE, ["N", *numbers])],
        [described(name, kind, ["N", *shape]) for name, (_, kind, shape) in outputs.items()],
        graph.constants,
    )
    whole = onnx.helper.make_model(
        proto,
        producer_name="minisvdd",
        producer_version=__version__,
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.helper.set_model_props(whole, _metadata(model))
    onnx.checker.check_model(whole)
    return whole


def _metadata(model: Any) -> dict[str, str]:
    known = {
        "class": type(model).__name__,
        "threshold": float(-model.offset_),
        "preprocessing": model.preprocessing_.name,
        "objective": fitted_params(model).get("objective"),
        "radius_squared": model.radius_**2 if hasattr(model, "radius_") else None,
        "feature_names": json.dumps(list(model.feature_names_in_)) if hasattr(model, "feature_names_in_") else None,
    }
    return {name: str(value) for name, value in known.items() if value is not None}


def _zeros(backend: Any, shape: tuple[int, ...]) -> Any:
    return backend.asarray(np.zeros((1, *shape), np.float32))


# Pre-processing: X -> the samples that the network sees


def _unchanged(graph: _Graph, constants: Any) -> str:
    return graph.cast("X", np.float32)


def _standardized(graph: _Graph, constants: Any) -> str:
    centered = graph.add("Sub", graph.cast("X", np.float64), constants["mean"])
    return graph.cast(graph.add("Div", centered, constants["std"]), np.float32)


def _contrast_normalized(graph: _Graph, constants: Any) -> str:
    """GCN-L1 as in `minisvdd.ops.contrast`, step by step with the same roundings, then min-max scaling."""
    flat = graph.cast(graph.add("Flatten", "X", axis=1), np.float64)
    mean = graph.add("ReduceMean", flat, axes=[1])
    centered = graph.cast(graph.cast(graph.add("Sub", flat, mean), np.float32), np.float64)
    deviation = graph.add("ReduceMean", graph.add("Abs", centered), axes=[1])
    largest = graph.add("ReduceMax", graph.add("Abs", flat), axes=[1])
    has_contrast = graph.add("Greater", deviation, graph.add("Mul", largest, np.float64(np.finfo(np.float32).eps)))
    scale = graph.add("Where", has_contrast, graph.add("Reciprocal", deviation), np.float64(0))
    z = graph.cast(graph.add("Mul", centered, scale), np.float32)
    return graph.add("Reshape", _min_max_scaled(graph, constants, z), graph.add("Shape", "X"))


def _min_max_scaled(graph: _Graph, constants: Any, z: str = "X") -> str:
    low = np.float64(constants["minimum"])
    span = np.float64(constants["maximum"] - low or 1.0)
    return graph.cast(graph.add("Div", graph.add("Sub", graph.cast(z, np.float64), low), span), np.float32)


_PREPROCESSINGS: dict[str | None, Callable[[_Graph, Any], str]] = {
    None: _unchanged,
    "standardize": _standardized,
    "gcn-l1": _contrast_normalized,
    "min-max": _min_max_scaled,
}


# Layers: `x` is the name of the input, `a` has the layer's arrays, `size` the rows and columns of its input


def _network(graph: _Graph, layer: Any, x: str, probe: Any) -> tuple[str, Any]:
    """The names of a layer's output, and that output for the sample `probe`, whose shape the next layer needs."""
    if isinstance(layer, nn.Sequential):
        for inner in layer.layers:
            x, probe = _network(graph, inner, x, probe)
        return x, probe
    if type(layer) not in _LAYERS:
        known = ", ".join(kind.__name__ for kind in _LAYERS)
        raise ValueError(f"{type(layer).__name__} has no form in ONNX: expected {known} or a Sequential of them")
    to_numpy = layer.backend.to_numpy
    arrays = {name: to_numpy(v).astype(np.float32) for name, v in layer.arrays.items()}
    return _LAYERS[type(layer)](graph, layer, x, arrays, probe.shape[2:]), layer.forward(probe)


def _linear(graph: _Graph, layer: Any, x: str, a: Any, size: Any) -> str:
    y = graph.add("MatMul", x, a["weight"].T)
    return graph.add("Add", y, a["bias"]) if layer.bias else y


def _convolution(operator: str) -> Callable[..., str]:
    def node(graph: _Graph, layer: Any, x: str, a: Any, size: Any) -> str:
        more = {"output_padding": layer.output_padding} if hasattr(layer, "output_padding") else {}
        return graph.add(operator, x, *a.values(), strides=layer.stride, pads=(*layer.padding, *layer.padding), **more)

    return node


def _batch_norm(graph: _Graph, layer: Any, x: str, a: Any, size: Any) -> str:
    mean, variance = a["running_mean"], a["running_var"]
    scale, shift = a.get("weight", np.ones_like(mean)), a.get("bias", np.zeros_like(mean))
    return graph.add("BatchNormalization", x, scale, shift, mean, variance, epsilon=layer.epsilon)


def _max_pool(graph: _Graph, layer: Any, x: str, a: Any, size: Any) -> str:
    """Its border said in full, so that `ceil_mode` is not needed, which readers take differently."""
    margins = pool_margins(size, layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
    (top, bottom), (left, right) = margins
    where = {"kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": (top, left, bottom, right)}
    return graph.add("MaxPool", x, **where)


def _upsample(graph: _Graph, layer: Any, x: str, a: Any, size: Any) -> str:
    scales = np.array([1, 1, *layer.scale], np.float32)
    return graph.add(
        "Resize", x, "", scales, mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"
    )


_LAYERS: dict[type, Callable[..., str]] = {
    nn.Linear: _linear,
    nn.Conv2D: _convolution("Conv"),
    nn.ConvTranspose2D: _convolution("ConvTranspose"),
    nn.BatchNorm: _batch_norm,
    nn.LeakyReLU: lambda graph, layer, x, a, size: graph.add("LeakyRelu", x, alpha=layer.slope),
    nn.ReLU: lambda graph, layer, x, a, size: graph.add("Relu", x),
    nn.Sigmoid: lambda graph, layer, x, a, size: graph.add("Sigmoid", x),
    nn.Tanh: lambda graph, layer, x, a, size: graph.add("Tanh", x),
    nn.MaxPool2D: _max_pool,
    nn.Upsample: _upsample,
    nn.Reshape: lambda graph, layer, x, a, size: graph.add("Reshape", x, np.array([0, *layer.shape])),
    nn.Flatten: lambda graph, layer, x, a, size: graph.add("Flatten", x, axis=1),
}
