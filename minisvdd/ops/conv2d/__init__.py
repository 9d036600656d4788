"""Two-dimensional convolution (cross-correlation, as everybody in the field writes it) and its two gradients.

With input x (N, C, H, W), filters w (K, C, kh, kw), stride s and zero padding p:

    y[n,k,i,j] = sum_{c,a,b}  w[k,c,a,b] * x_pad[n,c, s i + a, s j + b]                                      (forward)

Let G = dL/dy. Each w[k,c,a,b] multiplies x_pad[n,c,s i+a,s j+b] in y[n,k,i,j], hence

    dL/dw[k,c,a,b] = sum_{n,i,j}  G[n,k,i,j] * x_pad[n,c, s i + a, s j + b]                                  (weight)

and each x_pad[n,c,u,v] meets w[k,c,a,b] wherever s i + a = u and s j + b = v:

    dL/dx_pad[n,c,u,v] = sum_{k,a,b}  w[k,c,a,b] * G_s[n,k, u - a, v - b]                                    (input)

where G_s is G with s - 1 zeros put between its entries. That is again a convolution of stride 1: of G_s, padded by
(k - 1 - p), with the filters flipped in space and with their two channel axes exchanged. (Where that is negative, G_s
is cut; rows of x_pad that the last window leaves over take as many more zeros behind G_s.)
"""

import numpy as np

from ..operation import Operation, expect_shape

Pair = tuple[int, int]


def conv2d_output_size(size: Pair, kernel_size: Pair, stride: Pair, padding: Pair) -> Pair:
    """Rows and columns of the output: floor((size + 2 padding - kernel) / stride) + 1 each way.

    Raises ValueError when the kernel is larger than the padded input.
    """
    #: refuse a kernel that does not fit
    if any(n + 2 * p < k for n, k, p in zip(size, kernel_size, padding)):
        raise ValueError(f"kernel_size={kernel_size} is larger than the input {tuple(size)} with padding={padding}")
    #: count the places of the kernel, for rows and for columns
    rows, columns = ((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel_size, stride, padding))
    return rows, columns


@Operation
def conv2d_forward(x: np.ndarray, weight: np.ndarray, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> np.ndarray:
    """y = x * w.  x: (N, C, H, W), weight: (K, C, kh, kw), returns (N, K, H_out, W_out)."""
    #: pad x with zeros
    (ph, pw), (sh, sw), (kh, kw) = padding, stride, weight.shape[2:]
    x_pad = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    #: the size of the output
    P, Q = conv2d_output_size(x.shape[2:], (kh, kw), stride, padding)
    y = np.zeros((len(x), len(weight), P, Q), np.result_type(x, weight))
    #: for each tap (a, b) of the filters: the entries of x that it meets, times its weights, summed over channels
    for a, b in np.ndindex(kh, kw):
        met = x_pad[:, :, a : a + sh * (P - 1) + 1 : sh, b : b + sw * (Q - 1) + 1 : sw]
        y += np.einsum("kc,ncpq->nkpq", weight[:, :, a, b], met)
    return y


@Operation
def conv2d_backward_weight(
    grad_output: np.ndarray, x: np.ndarray, kernel_size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> np.ndarray:
    """dL/dw = G (as K x positions) times the transposed patches.  Returns (K, C, kh, kw)."""
    #: pad x as in the forward pass
    (ph, pw), (sh, sw), (P, Q) = padding, stride, grad_output.shape[2:]
    x_pad = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    grad_weight = np.zeros((grad_output.shape[1], x.shape[1], *kernel_size), np.result_type(grad_output, x))
    #: each tap collects grad_output times the entries of x that it met, over samples and positions
    for a, b in np.ndindex(*kernel_size):
        met = x_pad[:, :, a : a + sh * (P - 1) + 1 : sh, b : b + sw * (Q - 1) + 1 : sw]
        grad_weight[:, :, a, b] = np.einsum("nkpq,ncpq->kc", grad_output, met)
    return grad_weight


@Operation
def conv2d_backward_input(
    grad_output: np.ndarray, weight: np.ndarray, input_size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> np.ndarray:
    """dL/dx: every entry of G goes back, times the weights, to the entries of x that it came from.

    input_size: (H, W).  Returns (N, C, H, W).
    """
    #: start from zeros, as large as the padded input
    (ph, pw), (sh, sw), (H, W), (P, Q) = padding, stride, input_size, grad_output.shape[2:]
    shape = (len(grad_output), weight.shape[1], H + 2 * ph, W + 2 * pw)
    grad_pad = np.zeros(shape, np.result_type(grad_output, weight))
    #: each tap sends grad_output times its weights back to the entries that it met: add, for several taps meet one
    for a, b in np.ndindex(*weight.shape[2:]):
        share = np.einsum("kc,nkpq->ncpq", weight[:, :, a, b], grad_output)
        grad_pad[:, :, a : a + sh * (P - 1) + 1 : sh, b : b + sw * (Q - 1) + 1 : sw] += share
    #: cut the padding off
    return grad_pad[:, :, ph : ph + H, pw : pw + W]


# What every reading refuses: NumPy would take one channel for as many as the filters have


@conv2d_forward.refuses
def expect_images(x: np.ndarray, weight: np.ndarray, *_: object, **__: object) -> None:
    """ValueError unless x are images of as many channels as the filters have."""
    expect_shape("x", x, ("N", weight.shape[1], "H", "W"), f"filters {tuple(weight.shape)}")


@conv2d_backward_weight.refuses
def _(
    grad_output: np.ndarray,
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    **_: object,
) -> None:
    size = conv2d_output_size(x.shape[2:], kernel_size, stride, padding)
    expect_shape("grad_output", grad_output, (len(x), "K", *size), f"images {tuple(x.shape)}")


@conv2d_backward_input.refuses
def _(
    grad_output: np.ndarray,
    weight: np.ndarray,
    input_size: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    **_: object,
) -> None:
    size = conv2d_output_size(input_size, weight.shape[2:], stride, padding)
    expect_shape("grad_output", grad_output, ("N", len(weight), *size), f"filters {tuple(weight.shape)}")
