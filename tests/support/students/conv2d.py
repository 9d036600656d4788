# minisvdd assignment: conv2d
import numpy as np


def conv2d_output_size(size, kernel_size, stride, padding):
    # refuse a kernel that does not fit
    if any(n + 2 * p < k for n, k, p in zip(size, kernel_size, padding)):
        raise ValueError(f"kernel_size={kernel_size} is larger than the input {size} with padding={padding}")
    # count the places of the kernel, for rows and for columns
    return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel_size, stride, padding))


def conv2d_forward(x, weight, stride=(1, 1), padding=(0, 0)):
    # pad x with zeros
    (ph, pw), (sh, sw), (kh, kw) = padding, stride, weight.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    # the size of the output
    P, Q = conv2d_output_size(x.shape[2:], (kh, kw), stride, padding)
    y = np.zeros((len(x), len(weight), P, Q), x.dtype)
    # for each tap (a, b) of the filters: the entries of x that it meets, times its weights, summed over channels
    for a in range(kh):
        for b in range(kw):
            met = padded[:, :, a : a + sh * (P - 1) + 1 : sh, b : b + sw * (Q - 1) + 1 : sw]
            y += np.einsum("kc,ncpq->nkpq", weight[:, :, a, b], met)
    return y


def conv2d_backward_weight(grad_output, x, kernel_size, stride=(1, 1), padding=(0, 0)):
    # pad x as in the forward pass
    (ph, pw), (sh, sw), (kh, kw) = padding, stride, kernel_size
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    P, Q = grad_output.shape[2:]
    grad_weight = np.zeros((grad_output.shape[1], x.shape[1], kh, kw), x.dtype)
    # each tap collects grad_output times the entries of x that it met, over samples and positions
    for a in range(kh):
        for b in range(kw):
            met = padded[:, :, a : a + sh * (P - 1) + 1 : sh, b : b + sw * (Q - 1) + 1 : sw]
            grad_weight[:, :, a, b] = np.einsum("nkpq,ncpq->kc", grad_output, met)
    return grad_weight


def conv2d_backward_input(grad_output, weight, input_size, stride=(1, 1), padding=(0, 0)):
    # start from zeros, as large as the padded input
    (ph, pw), (sh, sw), (kh, kw), (H, W) = padding, stride, weight.shape[2:], input_size
    P, Q = grad_output.shape[2:]
    shape = (len(grad_output), weight.shape[1], H + 2 * ph, W + 2 * pw)
    padded = np.zeros(shape, grad_output.dtype)
    # each tap sends grad_output times its weights back to the entries that it met: add, for several taps meet one
    for a in range(kh):
        for b in range(kw):
            share = np.einsum("kc,nkpq->ncpq", weight[:, :, a, b], grad_output)
            padded[:, :, a : a + sh * (P - 1) + 1 : sh, b : b + sw * (Q - 1) + 1 : sw] += share
    # cut the padding off
    return padded[:, :, ph : ph + H, pw : pw + W].copy()
