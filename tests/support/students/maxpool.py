# minisvdd assignment: maxpool
import numpy as np


def maxpool_forward(x, kernel_size, stride):
    (kh, kw), (sh, sw) = kernel_size, stride
    N, C, H, W = x.shape
    P, Q = (H - kh) // sh + 1, (W - kw) // sw + 1
    y = np.empty((N, C, P, Q), x.dtype)
    winner = np.empty((N, C, P, Q), np.int64)
    for i in range(P):
        for j in range(Q):
            # the window of the output (i, j), flattened in reading order
            window = x[:, :, sh * i : sh * i + kh, sw * j : sw * j + kw].reshape(N, C, kh * kw)
            # the first of its largest entries, and its value
            winner[:, :, i, j] = window.argmax(axis=2)
            y[:, :, i, j] = window.max(axis=2)
    return y, winner


def maxpool_backward(grad_output, winner, input_shape, kernel_size, stride):
    kw, (sh, sw) = kernel_size[1], stride
    grad_input = np.zeros(input_shape, grad_output.dtype)
    # each window sends its gradient to its winner: add, for windows may overlap
    for n, c, i, j in np.ndindex(*grad_output.shape):
        a, b = divmod(int(winner[n, c, i, j]), kw)
        grad_input[n, c, sh * i + a, sw * j + b] += grad_output[n, c, i, j]
    return grad_input
