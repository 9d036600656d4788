"""The kernels specialised by sizes, for the convolutions of the paper's networks: what a GPU will be asked for."""

from pathlib import Path

from minisvdd.ops.conv2d import launch_rows, launch_tensor

# (C, K, side, padding): encoders and decoders for MNIST, CIFAR-10 and GTSRB; filters are 5 x 5
LAYERS = [
    (1, 8, 28, 2), (8, 4, 14, 2), (2, 4, 8, 2), (4, 8, 16, 1), (8, 1, 28, 2),
    (3, 32, 32, 2), (32, 64, 16, 2), (64, 128, 8, 2),
    (8, 128, 4, 2), (128, 64, 8, 2), (64, 32, 16, 2), (32, 3, 32, 2),
    (3, 16, 32, 2), (16, 32, 16, 2), (32, 64, 8, 2),
]  # fmt: skip


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
