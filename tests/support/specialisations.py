"""The kernels specialised by sizes, for the convolutions of the paper's networks: what a GPU will be asked for.

Not of the networks for images of any size: their layers have no sizes before there are images.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from minisvdd.nn.layers import Conv2D
from minisvdd.nn.networks import ARCHITECTURES, make_autoencoder
from minisvdd.ops.conv2d import launch_rows, launch_tensor


def _convolutions(name: str) -> Iterator[tuple[int, int, int, int]]:
    """(C, K, side, padding) of an encoder and its decoder, filters of 5 x 5."""
    shape = ARCHITECTURES[name].input_shape
    for layer in make_autoencoder(name, shape).flat_layers():
        before, shape = shape, layer.build(shape, np.random.default_rng(0))
        if isinstance(layer, Conv2D) and layer.kernel_size == (5, 5):
            yield before[0], layer.out_channels, before[1], layer.padding[0]


NETWORKS = [name for name, architecture in ARCHITECTURES.items() if architecture.input_shape]
LAYERS = list(dict.fromkeys(layer for name in NETWORKS for layer in _convolutions(name)))
SPECIALISED = ("conv2d_rows.cu", "conv2d_tensor.cu")


def specialisations(path: Path, architecture: str = "sm_90") -> set[tuple[str, str]]:
    """(kernel, sizes) of a kernel file; for a GPU without TF32, none that need it."""
    if path.name == "conv2d_tensor.cu" and architecture != "sm_75":
        return _TENSOR
    return _ROWS if path.name == "conv2d_rows.cu" else set()


def _rows():
    found = set()
    for C, K, side, padding in LAYERS:
        layer = launch_rows.Layer(C, K, side, side, 5, padding)
        gradient = launch_rows.Layer(K, C, layer.P, layer.Q, 5, 4 - padding)
        found |= {
            ("conv2d_forward_6_rows", str(launch_rows.rows(layer))),
            ("conv2d_moments_2_rows", str(launch_rows.rows(layer))),
            ("conv2d_backward_input_6_rows", str(launch_rows.rows(gradient))),
            ("conv2d_backward_weight_6_rows", str(launch_rows.rows_of_weights(layer))),
        }
    return found


def _tensor():
    found = set()
    for C, K, side, padding in LAYERS:
        for operation in ("forward", "backward_input", "backward_weight"):
            sizes = (200, C, side, side, K, side, side, 5, 5, 1, 1, padding, padding)
            for products in launch_tensor.RUNGS.values():
                division = launch_tensor._division(f"conv2d_{operation}", sizes, products)
                if division is not None:
                    kernel = "backward_weight" if operation == "backward_weight" else "forward"
                    found.add((f"conv2d_{kernel}_7_tensor", str(division)))
                    if kernel == "forward":
                        found.add(("conv2d_filters_1_by_lane", str(division)))
                if division is not None and operation == "forward":
                    found.add(("conv2d_moments_7_tensor", str(division)))
    return found


_ROWS, _TENSOR = _rows(), _tensor()
