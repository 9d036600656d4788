"""Linear map and the bias that may follow a linear map or a convolution.

    y = x W^T,  y[n,k] = sum_d W[k,d] x[n,d]        with G = dL/dy:
    dL/dx[n,d] = sum_k G[n,k] W[k,d]                 each y[n,k] depends on x[n,d] through W[k,d]
    dL/dW[k,d] = sum_n G[n,k] x[n,d]                 the same W[k,d] serves every sample

The NumPy lines compute the transposed products, (W x^T)^T, so that the batch lies last in memory (see `minisvdd.ops`).
They keep to one BLAS thread: after a product, BLAS's own threads wait for the next one at full speed and would take
the cores from the convolutions around these small products; and the results would depend on their number.
"""

from ..threads import one_blas_thread


def linear_forward(backend, x, weight):
    """y = x W^T.  x: (N, D), weight: (K, D), returns (N, K)."""
    with one_blas_thread():
        return (weight @ x.T).T


def linear_backward_input(backend, grad_output, weight):
    """dL/dx = G W.  Returns (N, D)."""
    with one_blas_thread():
        return (weight.T @ grad_output.T).T


def linear_backward_weight(backend, grad_output, x):
    """dL/dW = G^T x.  Returns (K, D)."""
    with one_blas_thread():
        return grad_output.T @ x


def bias_forward(backend, y, bias):
    """y + b, one b per feature (N, K) or per channel (N, K, H, W).  bias: (K,)."""
    return y + bias.reshape(-1, *[1] * (y.ndim - 2))


def bias_backward(backend, grad_output):
    """dL/db[k] = sum of G over all that b[k] was added to.  Returns (K,)."""
    return grad_output.sum(axis=tuple(axis for axis in range(grad_output.ndim) if axis != 1))
