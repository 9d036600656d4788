"""Nearest-neighbour up-sampling by a whole factor: every pixel becomes a block of s x s copies.

y[n,c,i,j] = x[n,c, i // s, j // s]
dL/dx[n,c,u,v] = sum of G over the block of copies of x[n,c,u,v]
"""

from .layout import from_batch_last, to_batch_last


def upsample_forward(backend, x, scale):
    """x: (N, C, H, W) -> (N, C, s H, s W)."""
    if not backend.runs_numpy:
        N, C, H, W = x.shape
        y = backend.empty((N, C, H * scale[0], W * scale[1]), x.dtype)
        backend.launch("upsample_forward", (backend.dense(x), y, N * C, H, W, *scale), threads=y.size)
        return y
    return from_batch_last(to_batch_last(x).repeat(scale[0], axis=1).repeat(scale[1], axis=2))


def upsample_backward(backend, grad_output, scale):
    """(N, C, s H, s W) -> (N, C, H, W)."""
    if not backend.runs_numpy:
        N, C, P, Q = grad_output.shape
        H, W = P // scale[0], Q // scale[1]
        grad_input = backend.empty((N, C, H, W), grad_output.dtype)
        args = (backend.dense(grad_output), grad_input, N * C, H, W, *scale)
        backend.launch("upsample_backward", args, threads=grad_input.size)
        return grad_input
    grad = to_batch_last(grad_output)
    C, H, W, N = grad.shape
    blocks = grad.reshape(C, H // scale[0], scale[0], W // scale[1], scale[1], N)
    return from_batch_last(blocks.sum(axis=(2, 4)))
