"""Linear map and the bias that may follow a linear map or a convolution.

    y = x W^T,  y[n,k] = sum_d W[k,d] x[n,d]        with G = dL/dy:
    dL/dx[n,d] = sum_k G[n,k] W[k,d]                 each y[n,k] depends on x[n,d] through W[k,d]
    dL/dW[k,d] = sum_n G[n,k] x[n,d]                 the same W[k,d] serves every sample

The NumPy lines compute the transposed products, (W x^T)^T, so that the batch lies last in memory (see `minisvdd.ops`).
They keep to one BLAS thread: after a product, BLAS's own threads wait for the next one at full speed and would take
the cores from the convolutions around these small products; and the results would depend on their number.
"""

from ..backends.threads import one_blas_thread


def linear_forward(backend, x, weight):
    """y = x W^T.  x: (N, D), weight: (K, D), returns (N, K)."""
    if not backend.runs_numpy:
        return _matmul(backend, x, weight, transpose_b=True)
    with one_blas_thread():
        return (weight @ x.T).T


def linear_backward_input(backend, grad_output, weight):
    """dL/dx = G W.  Returns (N, D)."""
    if not backend.runs_numpy:
        return _matmul(backend, grad_output, weight)
    with one_blas_thread():
        return (weight.T @ grad_output.T).T


def linear_backward_weight(backend, grad_output, x, out=None):
    """dL/dW = G^T x.  Returns (K, D).  out: where a kernel writes it; None for a new array."""
    if not backend.runs_numpy:
        return _matmul(backend, grad_output, x, transpose_a=True, out=out)
    with one_blas_thread():
        return grad_output.T @ x


def bias_forward(backend, y, bias):
    """y + b, one b per feature (N, K) or per channel (N, K, H, W).  bias: (K,)."""
    if not backend.runs_numpy:
        shifted = backend.empty(y.shape, y.dtype)
        positions = y.size // (y.shape[0] * y.shape[1])
        args = (backend.dense(y), backend.dense(bias), shifted, y.size, y.shape[1], positions)
        backend.launch("bias_forward", args, threads=y.size)
        return shifted
    return y + bias.reshape(-1, *[1] * (y.ndim - 2))


def bias_backward(backend, grad_output, out=None):
    """dL/db[k] = sum of G over all that b[k] was added to.  Returns (K,).  out: where a kernel writes it."""
    if not backend.runs_numpy:
        N, K = grad_output.shape[:2]
        grad_bias = backend.empty(K, grad_output.dtype) if out is None else out
        args = (backend.dense(grad_output), grad_bias, N, K, grad_output.size // (N * K))
        backend.launch("bias_backward", args, grid=(K,))
        return grad_bias
    return grad_output.sum(axis=tuple(axis for axis in range(grad_output.ndim) if axis != 1))


def _matmul(backend, a, b, transpose_a=False, transpose_b=False, rung=None, out=None):
    """The kernel's a b, of transposed matrices on request: those only exchange the strides it reads with.

    Without `rung`: register-blocked, unless the result has too few pieces of 64 x 64 to occupy a GPU.
    """
    a_row, a_column = (1, a.shape[1]) if transpose_a else (a.shape[1], 1)
    b_row, b_column = (1, b.shape[1]) if transpose_b else (b.shape[1], 1)
    rows, inner = a.shape[::-1] if transpose_a else a.shape
    columns = b.shape[0] if transpose_b else b.shape[1]
    c = backend.empty((rows, columns), a.dtype) if out is None else out
    args = (backend.dense(a), backend.dense(b), c, rows, columns, inner, a_row, a_column, b_row, b_column)
    rung = rung or ("register_blocked" if c.size >= 64 * 64 * 64 else "tiled")
    tile = {"tiled": 16, "register_blocked": 64}.get(rung)
    if tile:
        backend.launch("matmul", args, grid=(-(-columns // tile), -(-rows // tile)), rung=rung)
    else:
        backend.launch("matmul", args, threads=c.size, rung=rung)
    return c
