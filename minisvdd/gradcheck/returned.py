"""What somebody's function returns: whether it is what the check can work on, and its form."""

import numpy as np

from .report import ContractCheck


def one_array(value, who: str):
    """The value. TypeError where it cannot be one array: a forgotten return, or several results."""
    if value is None:
        raise TypeError(f"{who} returned None: is a return missing?")
    if isinstance(value, tuple):
        raise TypeError(f"{who} returned a tuple of {len(value)}: expected one array")
    return value


def loss_results(result) -> tuple:
    """(value, grad, ...) of a loss. TypeError where it returned anything else."""
    if result is None:
        raise TypeError("the loss returned None: is a return missing?")
    if not isinstance(result, tuple | list) or len(result) < 2:
        raise TypeError(f"the loss returned a {type(result).__name__}: expected value, grad[, per_sample]")
    one_array(result[0], "the loss, as its value,")
    one_array(result[1], "the loss, as its gradient,")
    return tuple(result)


def value_form(value, again) -> list[ContractCheck]:
    """The value that is differentiated: one real number, in double precision, and the same when asked again."""
    first, second = np.asarray(value), np.asarray(again)
    single = first.dtype.kind == "f" and first.dtype.itemsize < 8
    detail = f"shape {first.shape}" if first.ndim else f"{first.dtype}, which is not real"
    return [
        ContractCheck("the value is one number", is_number(first), detail),
        ContractCheck("the value is in float64", not single, f"{first.dtype}, not float64"),
        ContractCheck("the value is the same twice", same_bits(first, second), "is it random?"),
    ]


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays of one dtype are the same, bit for bit: NaN equals NaN, and 0 is not -0."""
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def is_number(value) -> bool:
    """Whether it is one real number."""
    return np.ndim(value) == 0 and np.asarray(value).dtype.kind in "biuf"


def gradient_form(name: str, grad: np.ndarray, like: np.ndarray) -> list[ContractCheck]:
    """Shape and dtype of a gradient must be those of its array."""
    same_shape = grad.shape == like.shape
    shape = ContractCheck(f"the gradient of {name} has its shape", same_shape, f"{grad.shape}, not {like.shape}")
    return [shape, dtype_check(f"the gradient of {name}", grad, like.dtype)]


def dtype_check(what: str, array: np.ndarray, dtype) -> ContractCheck:
    """An array must have the dtype of what it was computed from."""
    return ContractCheck(f"{what} keeps the dtype", array.dtype == dtype, f"{array.dtype}, not {dtype}")
