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

from typing import TYPE_CHECKING, Any

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .activations import is_positive as is_positive
    from .activations import leaky_relu_backward as leaky_relu_backward
    from .activations import leaky_relu_forward as leaky_relu_forward
    from .activations import sigmoid_backward as sigmoid_backward
    from .activations import sigmoid_forward as sigmoid_forward
    from .activations import tanh_backward as tanh_backward
    from .activations import tanh_forward as tanh_forward
    from .adam import adam_update as adam_update
    from .adam import adam_update_flat as adam_update_flat
    from .adam import sgd_update as sgd_update
    from .batchnorm import affine_backward as affine_backward
    from .batchnorm import affine_forward as affine_forward
    from .batchnorm import batch_statistics as batch_statistics
    from .batchnorm import batchnorm_backward as batchnorm_backward
    from .batchnorm import batchnorm_backward_fixed as batchnorm_backward_fixed
    from .batchnorm import batchnorm_forward as batchnorm_forward
    from .batchnorm import batchnorm_forward_batch as batchnorm_forward_batch
    from .batchnorm import inverse_deviation as inverse_deviation
    from .batchnorm import running_update as running_update
    from .contrast import contrast_normalize as contrast_normalize
    from .contrast import contrast_normalize_backward as contrast_normalize_backward
    from .conv2d import conv2d_backward_input as conv2d_backward_input
    from .conv2d import conv2d_backward_weight as conv2d_backward_weight
    from .conv2d import conv2d_forward as conv2d_forward
    from .linear import bias_backward as bias_backward
    from .linear import bias_forward as bias_forward
    from .linear import linear_backward_input as linear_backward_input
    from .linear import linear_backward_weight as linear_backward_weight
    from .linear import linear_forward as linear_forward
    from .losses import absolute_distances as absolute_distances
    from .losses import absolute_error as absolute_error
    from .losses import binary_cross_entropy as binary_cross_entropy
    from .losses import mean_squared_error as mean_squared_error
    from .losses import one_class_loss as one_class_loss
    from .losses import soft_boundary_loss as soft_boundary_loss
    from .losses import softmax_cross_entropy as softmax_cross_entropy
    from .losses import squared_distances as squared_distances
    from .norm_act_pool import Affine as Affine
    from .norm_act_pool import affine_act_pool_backward as affine_act_pool_backward
    from .norm_act_pool import encoder_module_forward as encoder_module_forward
    from .norm_act_pool import norm_act_pool_backward as norm_act_pool_backward
    from .norm_act_pool import norm_act_pool_evaluate as norm_act_pool_evaluate
    from .norm_act_pool import norm_act_pool_forward as norm_act_pool_forward
    from .operation import Operation
    from .pooling import maxpool_backward as maxpool_backward
    from .pooling import maxpool_forward as maxpool_forward
    from .pooling import pad_backward as pad_backward
    from .pooling import pad_forward as pad_forward
    from .upsample import upsample_backward as upsample_backward
    from .upsample import upsample_forward as upsample_forward

_HOMES = {
    ".activations": "leaky_relu_forward is_positive leaky_relu_backward "
    "sigmoid_forward sigmoid_backward tanh_forward tanh_backward",
    ".adam": "adam_update adam_update_flat sgd_update",
    ".batchnorm": "batch_statistics inverse_deviation batchnorm_forward batchnorm_forward_batch batchnorm_backward "
    "batchnorm_backward_fixed affine_forward affine_backward running_update",
    ".contrast": "contrast_normalize contrast_normalize_backward",
    ".conv2d": "conv2d_forward conv2d_backward_weight conv2d_backward_input",
    ".linear": "linear_forward linear_backward_input linear_backward_weight bias_forward bias_backward",
    ".losses": "squared_distances one_class_loss soft_boundary_loss mean_squared_error absolute_distances "
    "absolute_error softmax_cross_entropy binary_cross_entropy",
    ".norm_act_pool": "encoder_module_forward norm_act_pool_evaluate norm_act_pool_forward norm_act_pool_backward "
    "affine_act_pool_backward Affine",
    ".pooling": "maxpool_forward maxpool_backward pad_forward pad_backward",
    ".upsample": "upsample_forward upsample_backward",
}
__getattr__, __dir__, _NAMES = lazy_names(__name__, _HOMES)
__all__ = ["all_operations", *_NAMES]


def all_operations() -> dict[str, "Operation[..., Any]"]:
    """Every operation of the library by name."""
    from .operation import Operation

    found = {name: __getattr__(name) for names in _HOMES.values() for name in names.split()}
    return {name: value for name, value in found.items() if isinstance(value, Operation)}
