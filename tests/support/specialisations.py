"""The kernels specialised by sizes, for the convolutions of the paper's networks: what a GPU will be asked for."""

from pathlib import Path

from minisvdd.ops.conv2d import launch_rows

# (C, K, side, padding): encoders and decoders for MNIST, CIFAR-10 and GTSRB; filters are 5 x 5
LAYERS = [
    (1, 8, 28, 2), (8, 4, 14, 2), (2, 4, 8, 2), (4, 8, 16, 1), (8, 1, 28, 2),
    (3, 32, 32, 2), (32, 64, 16, 2), (64, 128, 8, 2),
    (128, 128, 4, 2), (128, 64, 8, 2), (64, 32, 16, 2), (32, 3, 32, 2),
    (3, 16, 32, 2), (16, 32, 16, 2), (32, 64, 8, 2),
]  # fmt: skip


def specialisations(path: Path) -> set[tuple[str, str]]:
    """(kernel, sizes) of a kernel file."""
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


_ROWS = _rows()
