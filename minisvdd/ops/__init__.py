"""Operations on plain arrays: the derivation, and under it the lines that compute it.

An operation is called with its arrays in a fixed order: `grad_output` before the saved input before the parameters.
Shapes are (N, C, H, W) for images and (N, D) for features. `conv2d_forward(x, weight)` is the formula and needs nothing
else; `conv2d_forward.on(backend)(x, weight)` is the same on a backend (`minisvdd.ops.operation`).

**Memory order.** Results of the fast readings have those shapes, but lie in memory with the batch last: (C, H, W, N).
A slice over channels, rows or columns is then a long contiguous run, which is what NumPy copies and adds fastest, and
a whole convolution becomes one matrix product per block of rows, without a single transposed copy. It is only a matter
of strides: `to_batch_last` and `from_batch_last` are views, and every operation accepts arrays in any order.

Each file is loaded when one of its operations is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .operation import Operation

_HOMES = {
    "activations": "leaky_relu_forward is_positive leaky_relu_backward "
    "sigmoid_forward sigmoid_backward tanh_forward tanh_backward",
    "adam": "adam_update sgd_update",
    "batchnorm": "batch_statistics inverse_deviation batchnorm_forward batchnorm_forward_batch batchnorm_backward "
    "batchnorm_backward_fixed affine_forward affine_backward running_update",
    "contrast": "contrast_normalize",
    "conv2d": "conv2d_forward conv2d_backward_weight conv2d_backward_input",
    "linear": "linear_forward linear_backward_input linear_backward_weight bias_forward bias_backward",
    "losses": "squared_distances one_class_loss soft_boundary_loss mean_squared_error absolute_distances "
    "absolute_error softmax_cross_entropy binary_cross_entropy",
    "norm_act_pool": "encoder_module_forward norm_act_pool_evaluate norm_act_pool_forward norm_act_pool_backward",
    "pooling": "maxpool_forward maxpool_backward",
    "upsample": "upsample_forward upsample_backward",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = ["all_operations", *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    operation = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = operation  # the next time Python finds it by itself
    return operation


def all_operations() -> dict[str, "Operation"]:
    """Every operation of the library by name."""
    return {name: getattr(import_module(f"{__name__}.{home}"), name) for name, home in _HOME_OF.items()}
