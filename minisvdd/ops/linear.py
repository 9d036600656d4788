"""Linear map and the bias that may follow a linear map or a convolution.

y = x W^T,  y[n,k] = sum_d W[k,d] x[n,d]        with G = dL/dy:
dL/dx[n,d] = sum_k G[n,k] W[k,d]                 each y[n,k] depends on x[n,d] through W[k,d]
dL/dW[k,d] = sum_n G[n,k] x[n,d]                 the same W[k,d] serves every sample
"""

from typing import TYPE_CHECKING

import numpy as np

from ..backends.threads import one_blas_thread
from ..backends.types import DeviceArray
from .operation import Operation, expect_shape

if TYPE_CHECKING:
    from ..backends.device import KernelBackend


@Operation
def linear_forward(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """y = x W^T.  x: (N, D), weight: (K, D), returns (N, K)."""
    #: multiply every sample with every row of the weight matrix
    return x @ weight.T


@Operation
def linear_backward_input(grad_output: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """dL/dx = G W.  Returns (N, D)."""
    #: x[n,d] reaches every y[n,k] through W[k,d]: sum over k
    return grad_output @ weight


@Operation
def linear_backward_weight(grad_output: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dL/dW = G^T x.  Returns (K, D)."""
    #: W[k,d] serves every sample: sum over n
    return grad_output.T @ x


@Operation
def bias_forward(y: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """y + b, one b per feature (N, K) or per channel (N, K, H, W).  bias: (K,)."""
    #: shape the bias so that it is added along axis 1, for (N, K) and (N, K, H, W)
    return y + bias.reshape(-1, *[1] * (y.ndim - 2))


@Operation
def bias_backward(grad_output: np.ndarray) -> np.ndarray:
    """dL/db[k] = sum of G over all that b[k] was added to.  Returns (K,)."""
    #: sum over every axis but the one of the bias
    return grad_output.sum(axis=tuple(axis for axis in range(grad_output.ndim) if axis != 1))


# What every reading refuses: NumPy would take one feature for many, and the messages of its products name no argument


@linear_forward.refuses
def _(x: np.ndarray, weight: np.ndarray) -> None:
    expect_shape("x", x, ("N", weight.shape[1]), f"weight {tuple(weight.shape)}")


@bias_forward.refuses
def _(y: np.ndarray, bias: np.ndarray) -> None:
    expect_shape("y", y, ("N", len(bias), *"HW"[: y.ndim - 2]), f"{len(bias)} biases")


# Fast readings: the transposed products, (W x^T)^T, so that the batch lies last in memory (see `minisvdd.ops`).
# They keep to one BLAS thread: after a product, BLAS's own threads wait for the next one at full speed and would take
# the cores from the convolutions around these small products; and the results would depend on their number.


@linear_forward.fast
def _(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    with one_blas_thread():
        return (weight @ x.T).T


@linear_backward_input.fast
def _(grad_output: np.ndarray, weight: np.ndarray) -> np.ndarray:
    with one_blas_thread():
        return (weight.T @ grad_output.T).T


@linear_backward_weight.fast
def _(grad_output: np.ndarray, x: np.ndarray) -> np.ndarray:
    with one_blas_thread():
        return grad_output.T @ x


# Launches. out: where a kernel writes a gradient; None for a new array.


@linear_forward.launch
def _(backend: "KernelBackend", x: DeviceArray, weight: DeviceArray) -> DeviceArray:
    return matmul(backend, x, weight, transpose_b=True)


@linear_backward_input.launch
def _(backend: "KernelBackend", grad_output: DeviceArray, weight: DeviceArray) -> DeviceArray:
    return matmul(backend, grad_output, weight)


@linear_backward_weight.launch
def _(
    backend: "KernelBackend", grad_output: DeviceArray, x: DeviceArray, out: DeviceArray | None = None
) -> DeviceArray:
    return matmul(backend, grad_output, x, transpose_a=True, out=out)


@bias_forward.launch
def _(backend: "KernelBackend", y: DeviceArray, bias: DeviceArray) -> DeviceArray:
    shifted = backend.empty(y.shape, y.dtype)
    positions = y.size // (y.shape[0] * y.shape[1])
    args = (backend.dense(y), backend.dense(bias), shifted, y.size, y.shape[1], positions)
    backend.launch("bias_forward", args, threads=y.size)
    return shifted


@bias_backward.launch
def _(backend: "KernelBackend", grad_output: DeviceArray, out: DeviceArray | None = None) -> DeviceArray:
    N, K = grad_output.shape[:2]
    grad_bias = backend.empty(K, grad_output.dtype) if out is None else out
    args = (backend.dense(grad_output), grad_bias, N, K, grad_output.size // (N * K))
    backend.launch("bias_backward", args, grid=(K,))
    return grad_bias


def matmul(
    backend: "KernelBackend",
    a: DeviceArray,
    b: DeviceArray,
    transpose_a: bool = False,
    transpose_b: bool = False,
    rung: str | None = None,
    out: DeviceArray | None = None,
) -> DeviceArray:
    """The kernel's a b, of transposed matrices on request: those only exchange the strides it reads with.

    Without `rung`: register-blocked, unless the result has too few pieces of 64 x 64 to occupy a GPU twice; then
    "quarters" of these, or, of even smaller results, "split".
    """
    a_row, a_column = (1, a.shape[1]) if transpose_a else (a.shape[1], 1)
    b_row, b_column = (1, b.shape[1]) if transpose_b else (b.shape[1], 1)
    rows, inner = a.shape[::-1] if transpose_a else a.shape
    columns = b.shape[0] if transpose_b else b.shape[1]
    c = backend.empty((rows, columns), a.dtype) if out is None else out
    args = (backend.dense(a), backend.dense(b), c, rows, columns, inner, a_row, a_column, b_row, b_column)
    rung = rung or _default_rung(c.size)
    tile = {"tiled": 16, "register_blocked": 64, "split": 8, "quarters": 32}.get(rung)
    if tile:
        block = (64,) if rung == "quarters" else (256,)
        backend.launch("matmul", args, grid=(-(-columns // tile), -(-rows // tile)), block=block, rung=rung)
    else:
        backend.launch("matmul", args, threads=c.size, rung=rung)
    return c


def _default_rung(results: int) -> str:
    """Of the matrix product, by the size of its result; a large GPU has 132 multiprocessors."""
    if results >= 2 * 132 * 64 * 64:
        return "register_blocked"
    return "quarters" if results >= 64 * 32 * 32 else "split"
