"""Max-pooling.

    y[n,c,i,j] = max over (a, b) of x[n,c, s i + a, s j + b]
    dL/dx[u] = sum of G over the windows that u wins            (a window passes its whole gradient to one entry)

Where several entries of a window tie, the first in reading order wins, in forward and in backward: the gradient of a
window is then never counted twice, and any choice among the tied entries is a subgradient.
"""

import numpy as np


def maxpool_forward(backend, x, kernel_size, stride):
    """x: (N, C, H, W).  Returns y (N, C, H_out, W_out) and `winner`, the index a * kw + b of each window's maximum.

    The maximum first, then the first entry that equals it: both are comparisons of whole arrays, without a branch.
    """
    if not backend.runs_numpy:
        N, C, H, W = x.shape
        (kh, kw), (sh, sw) = kernel_size, stride
        P, Q = (H - kh) // sh + 1, (W - kw) // sw + 1
        y, winner = backend.empty((N, C, P, Q), x.dtype), backend.empty((N, C, P, Q), np.int32)
        args = (backend.dense(x), y, winner, N * C, H, W, P, Q, kh, kw, sh, sw)
        backend.launch("maxpool_forward", args, threads=y.size)
        return y, winner
    windows = list(_windows(x, kernel_size, stride))
    y = windows[0].copy(order="K")
    for candidate in windows[1:]:
        np.maximum(y, candidate, out=y)
    winner = np.zeros_like(y, dtype=np.uint8 if len(windows) <= 256 else np.int32)
    undecided = np.ones_like(y, dtype=bool)
    for index, candidate in enumerate(windows):
        wins = (candidate == y) & undecided
        undecided &= ~wins
        winner += wins * winner.dtype.type(index)
    return y, winner


def maxpool_backward(backend, grad_output, winner, input_shape, kernel_size, stride):
    """Send each entry of G to the entry of x that won its window.  Returns an array of `input_shape` (N, C, H, W)."""
    if not backend.runs_numpy:
        N, C, H, W = input_shape
        grad_input = backend.empty(input_shape, grad_output.dtype)
        sizes = (N * C, H, W, *grad_output.shape[2:], *kernel_size, *stride)
        args = (backend.dense(grad_output), backend.dense(winner), grad_input, *sizes)
        backend.launch("maxpool_backward", args, threads=grad_input.size)
        return grad_input
    N, C, H, W = input_shape
    grad_input = np.zeros((C, H, W, N), grad_output.dtype).transpose(3, 0, 1, 2)
    for index, target in enumerate(_windows(grad_input, kernel_size, stride)):
        target += grad_output * (winner == index)
    return grad_input


def _windows(x, kernel_size, stride):
    """Yield, for each position (a, b) inside the window, the view x[..., s i + a, s j + b] over all windows (i, j)."""
    (kh, kw), (sh, sw) = kernel_size, stride
    out_h, out_w = (x.shape[2] - kh) // sh + 1, (x.shape[3] - kw) // sw + 1
    for a in range(kh):
        for b in range(kw):
            yield x[:, :, a : a + (out_h - 1) * sh + 1 : sh, b : b + (out_w - 1) * sw + 1 : sw]
