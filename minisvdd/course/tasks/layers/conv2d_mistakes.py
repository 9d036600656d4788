"""Known mistakes in a convolution and in its gradients: pairs (its name, a function that makes it)."""

import numpy as np

from ....ops import conv2d as ops

_forward, _weight, _input = ops.conv2d_forward, ops.conv2d_backward_weight, ops.conv2d_backward_input


# Several functions in one way


def _one_sample(op, which):
    """Every sample gets the result of this one."""

    def mistaken(*arguments):
        right = op(*arguments)
        return np.broadcast_to(right[which][None], right.shape)

    return mistaken


def _changed(op, change):
    """The operation on changed arguments."""
    return lambda *arguments: op(*change(*arguments))


def _rescaled(op, factor):
    return lambda *arguments: op(*arguments) * factor(*arguments)


def _axes(pair, i):
    return (pair[i], pair[i])


# Output size


def _sizes(rule):
    return lambda n, k, s, p: tuple(int(rule(*each)) for each in zip(n, k, s, p))


SIZE_FORMS = [
    ("the padding is forgotten", _sizes(lambda n, k, s, p: (n - k) // s + 1)),
    ("the stride is forgotten", _sizes(lambda n, k, s, p: n + 2 * p - k + 1)),
    ("padding is counted on one side only", _sizes(lambda n, k, s, p: (n + p - k) // s + 1)),
    ("the + 1 is missing", _sizes(lambda n, k, s, p: (n + 2 * p - k) // s)),
    ("rounded up: a last window that does not fit is counted", _sizes(lambda n, k, s, p: -((k - n - 2 * p) // s) + 1)),
    ("rounded to the nearest number, not down", _sizes(lambda n, k, s, p: round((n + 2 * p - k) / s) + 1)),
    ("the + 1 belongs behind the division: (n + 2p - k + 1) / s is another number", _sizes(
        lambda n, k, s, p: (n + 2 * p - k + 1) // s)),
    ("the number of windows side by side, n / s: the kernel is forgotten", _sizes(
        lambda n, k, s, p: (n + 2 * p - 1) // s + 1)),
    ("the stride of the rows is used for rows and columns", lambda n, k, s, p: ops.conv2d_output_size(
        n, k, _axes(s, 0), p)),
    ("the stride of the columns is used for rows and columns", lambda n, k, s, p: ops.conv2d_output_size(
        n, k, _axes(s, 1), p)),
    ("the padding of the rows is used for rows and columns", lambda n, k, s, p: ops.conv2d_output_size(
        n, k, s, _axes(p, 0))),
    ("the padding of the columns is used for rows and columns", lambda n, k, s, p: ops.conv2d_output_size(
        n, k, s, _axes(p, 1))),
    ("rows and columns of the output are exchanged", lambda *a: ops.conv2d_output_size(*a)[::-1]),
    ("rows and columns of the kernel are exchanged", lambda n, k, s, p: ops.conv2d_output_size(n, k[::-1], s, p)),
    ("rows and columns of the stride are exchanged", lambda n, k, s, p: ops.conv2d_output_size(n, k, s[::-1], p)),
    ("rows and columns of the padding are exchanged", lambda n, k, s, p: ops.conv2d_output_size(n, k, s, p[::-1])),
]  # fmt: skip


# Forward


def _padded(x, padding, **how):
    return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], **how)


def _unshifted(x, w, stride=(1, 1), padding=(0, 0)):
    """An output of the right size, but its windows begin at the corner of the image, not of the padding."""
    return _forward(np.pad(x, [(0, 0), (0, 0), *((0, 2 * p) for p in padding)]), w, stride)


def _neighbours(x, w, stride=(1, 1), padding=(0, 0)):
    """As many outputs as with the stride, but windows that stand side by side."""
    P, Q = ops.conv2d_output_size(x.shape[2:], w.shape[2:], stride, padding)
    return _forward(x, w, (1, 1), padding)[:, :, :P, :Q]


def _as_large(op):
    """The mistake `op`, in an array of the right size: what is too much is cut off, what is missing is zero."""

    def mistaken(x, w, stride=(1, 1), padding=(0, 0)):
        P, Q = ops.conv2d_output_size(x.shape[2:], w.shape[2:], stride, padding)
        y = op(x, w, stride, padding)[:, :, :P, :Q]
        return np.pad(y, [(0, 0), (0, 0), (0, P - y.shape[2]), (0, Q - y.shape[3])])

    return mistaken


def _pad_like(i):
    return lambda x, w, stride=(1, 1), padding=(0, 0): _forward(x, w, stride, _axes(padding, i))


def _border(mode):
    return lambda x, w, stride=(1, 1), padding=(0, 0): _forward(_padded(x, padding, mode=mode), w, stride)


def _filters(change):
    return _changed(_forward, lambda x, w, *how: (x, change(w), *how))


def _channels(which):
    return _changed(_forward, lambda x, w, *how: (x[:, which], w[:, which], *how))


def _stretched(x, w, stride=(1, 1), padding=(0, 0)):
    """Filters whose rows and columns are read in the wrong order from memory."""
    return _forward(x, w.swapaxes(2, 3).reshape(w.shape), stride, padding)


FORWARD_FORMS = [
    ("the padding is forgotten", lambda x, w, stride=(1, 1), padding=(0, 0): _forward(x, w, stride)),
    ("the padding is forgotten, but for the size: windows begin at the corner of the image", _unshifted),
    ("every sample gets the result of the first", _one_sample(_forward, 0)),
    ("every sample gets the result of the last", _one_sample(_forward, -1)),
    ("the stride is forgotten", lambda x, w, stride=(1, 1), padding=(0, 0): _forward(x, w, (1, 1), padding)),
    ("the output has the right size, but its windows do not move by the stride", _neighbours),
    ("the stride of the rows is used for rows and columns", lambda x, w, s=(1, 1), p=(0, 0): _forward(
        x, w, _axes(s, 0), p)),
    ("the stride of the columns is used for rows and columns", lambda x, w, s=(1, 1), p=(0, 0): _forward(
        x, w, _axes(s, 1), p)),
    ("the padding of the rows is used for rows and columns", _pad_like(0)),
    ("the padding of the columns is used for rows and columns", _pad_like(1)),
    ("the padding of the rows is used for rows and columns", _as_large(_pad_like(0))),
    ("the padding of the columns is used for rows and columns", _as_large(_pad_like(1))),
    ("rows and columns of the padding are exchanged", lambda x, w, s=(1, 1), p=(0, 0): _forward(x, w, s, p[::-1])),
    ("rows and columns of the stride are exchanged", lambda x, w, s=(1, 1), p=(0, 0): _forward(x, w, s[::-1], p)),
    ("the border repeats the edge of the image: zeros belong there", _border("edge")),
    ("the border mirrors the image: zeros belong there", _border("reflect")),
    ("the border is the image's other side: zeros belong there", _border("wrap")),
    ("the filters are flipped: that is convolution in the mathematician's sense", _filters(
        lambda w: w[:, :, ::-1, ::-1])),
    ("the filters are flipped in their rows", _filters(lambda w: w[:, :, ::-1])),
    ("the filters are flipped in their columns", _filters(lambda w: w[:, :, :, ::-1])),
    ("rows and columns of the filters are exchanged", _stretched),
    ("only the last channel counts: channels are overwritten, not summed", _channels(slice(-1, None))),
    ("only the first channel counts", _channels(slice(1))),
    ("the mean over the channels, where their sum belongs", _rescaled(_forward, lambda x, w, *_: 1 / x.shape[1])),
    ("the mean over the taps of a filter, where their sum belongs", _rescaled(
        _forward, lambda x, w, *_: 1 / np.prod(w.shape[2:]))),
    ("the mean over channels and taps, where their sum belongs", _rescaled(
        _forward, lambda x, w, *_: 1 / np.prod(w.shape[1:]))),
    ("divided by the batch size: samples have nothing to do with each other", _rescaled(
        _forward, lambda x, w, *_: 1 / len(x))),
    ("only the last tap of the filter counts: = where += belongs", _filters(
        lambda w: w * (np.arange(w[0, 0].size).reshape(w.shape[2:]) == w[0, 0].size - 1))),
    ("the last row of the filters is left out", _filters(
        lambda w: w * (np.arange(w.shape[2]) < w.shape[2] - 1)[:, None])),
    ("the last column of the filters is left out", _filters(lambda w: w * (np.arange(w.shape[3]) < w.shape[3] - 1))),
]  # fmt: skip


# Gradient of the weight


def _weight_no_padding(g, x, kernel, stride=(1, 1), padding=(0, 0)):
    """The taps that fall outside the array are left out."""
    short = ops.conv2d_output_size(x.shape[2:], kernel, stride, (0, 0))
    return _weight(g[:, :, : short[0], : short[1]], x, kernel, stride)


def _weight_unshifted(g, x, kernel, stride=(1, 1), padding=(0, 0)):
    return _weight(g, np.pad(x, [(0, 0), (0, 0), *((0, 2 * p) for p in padding)]), kernel, stride)


def _weight_neighbours(g, x, kernel, stride=(1, 1), padding=(0, 0)):
    padded = _padded(x, padding)
    reach = [n + k - 1 for n, k in zip(g.shape[2:], kernel)]
    return _weight(g, padded[:, :, : reach[0], : reach[1]], kernel)


def _samples(which):
    return _changed(_weight, lambda g, x, *how: (g[which], x[which], *how))


def _positions(change):
    return _changed(_weight, lambda g, *rest: (change(g), *rest))


def _only_output(i, j):
    def change(g):
        kept = np.zeros_like(g)
        kept[:, :, i, j] = g[:, :, i, j]
        return kept

    return _positions(change)


def _weight_border(mode):
    def mistaken(g, x, kernel, stride=(1, 1), padding=(0, 0)):
        return _weight(g, _padded(x, padding, mode=mode), kernel, stride)

    return mistaken


WEIGHT_FORMS = [
    ("the padding is forgotten", _weight_no_padding),
    ("the padding is forgotten, but for the size: windows begin at the corner of the image", _weight_unshifted),
    ("the mean over the batch where the sum belongs (a 1/N too many)", _rescaled(_weight, lambda g, *_: 1 / len(g))),
    ("the mean over the positions where the sum belongs", _rescaled(_weight, lambda g, *_: 1 / np.prod(g.shape[2:]))),
    ("the mean over samples and positions where the sum belongs", _rescaled(
        _weight, lambda g, *_: g.shape[1] / g.size)),
    ("only the first sample counts: gradients are summed over the batch", _samples(slice(1))),
    ("only the last sample counts: = where += belongs", _samples(slice(-1, None))),
    ("only the last position counts: = where += belongs", _only_output(-1, -1)),
    ("only the first position counts", _only_output(0, 0)),
    ("grad_output is left out of the sum", _positions(np.ones_like)),
    ("windows that do not move by the stride", _weight_neighbours),
    ("flipped in both directions", lambda *a: _weight(*a)[:, :, ::-1, ::-1]),
    ("rows and columns of grad_output are exchanged", _positions(lambda g: g.swapaxes(2, 3).reshape(g.shape))),
    ("the border repeats the edge of the image: zeros belong there", _weight_border("edge")),
    ("rows and columns of the stride are exchanged", lambda g, x, k, s=(1, 1), p=(0, 0): _weight(g, x, k, s[::-1], p)),
    ("rows and columns of the padding are exchanged", lambda g, x, k, s=(1, 1), p=(0, 0): _weight(g, x, k, s, p[::-1])),
    ("rows and columns of the result are exchanged", lambda *a: _weight(*a).swapaxes(2, 3)),
    ("filters and channels of the result are exchanged", lambda *a: _weight(*a).swapaxes(0, 1)),
]  # fmt: skip


# Gradient of the input


def _input_uncut(g, w, size, stride=(1, 1), padding=(0, 0)):
    """The gradient of the padded input, cut at the wrong place or not at all."""
    return _input(g, w, tuple(n + 2 * p for n, p in zip(size, padding)), stride)


def _input_minus_zero(g, w, size, stride=(1, 1), padding=(0, 0)):
    ph, pw = padding
    return _input_uncut(g, w, size, stride, padding)[:, :, ph:-ph, pw:-pw]


def _input_corner(g, w, size, stride=(1, 1), padding=(0, 0)):
    return _input_uncut(g, w, size, stride, padding)[:, :, : size[0], : size[1]]


def _cut(padded, size, padding):
    (H, W), (ph, pw) = size, padding
    return padded[:, :, ph : ph + H, pw : pw + W]


def _input_neighbours(g, w, size, stride=(1, 1), padding=(0, 0)):
    padded = np.zeros((len(g), w.shape[1], *(n + 2 * p for n, p in zip(size, padding))))
    reach = [n + k - 1 for n, k in zip(g.shape[2:], w.shape[2:])]
    padded[:, :, : reach[0], : reach[1]] = _input(g, w, reach)
    return _cut(padded, size, padding)


def _input_overwritten(g, w, size, stride=(1, 1), padding=(0, 0)):
    """Taps that meet at one entry overwrite each other."""
    (sh, sw), (P, Q) = stride, g.shape[2:]
    padded = np.zeros((len(g), w.shape[1], *(n + 2 * p for n, p in zip(size, padding))))
    for a, b in np.ndindex(*w.shape[2:]):
        share = np.einsum("kc,nkpq->ncpq", w[:, :, a, b], g)
        padded[:, :, a : a + sh * (P - 1) + 1 : sh, b : b + sw * (Q - 1) + 1 : sw] = share
    return _cut(padded, size, padding)


def _windows_overwritten(g, w, size, stride=(1, 1), padding=(0, 0)):
    """Windows that meet at one entry overwrite each other."""
    (sh, sw), (kh, kw) = stride, w.shape[2:]
    padded = np.zeros((len(g), w.shape[1], *(n + 2 * p for n, p in zip(size, padding))))
    for p, q in np.ndindex(*g.shape[2:]):
        share = np.tensordot(g[:, :, p, q], w, axes=(1, 0))
        padded[:, :, sh * p : sh * p + kh, sw * q : sw * q + kw] = share
    return _cut(padded, size, padding)


def _input_short(g, w, size, stride=(1, 1), padding=(0, 0)):
    """As large as the windows reach: what the stride leaves over at the far end is missing."""
    reach = [s * (n - 1) + k for s, n, k in zip(stride, g.shape[2:], w.shape[2:])]
    padded, (ph, pw) = _input(g, w, reach, stride), padding
    return padded[:, :, ph : reach[0] - ph, pw : reach[1] - pw]


def _input_between(g, w, size, stride=(1, 1), padding=(0, 0)):
    """Entries between the strides get the share of the output before them."""
    (sh, sw), (ph, pw), (P, Q) = stride, padding, g.shape[2:]
    result = np.zeros((len(g), w.shape[1], *size))
    for u, v in np.ndindex(*size):
        for a, b in np.ndindex(*w.shape[2:]):
            row, column = u + ph - a, v + pw - b
            if 0 <= row < sh * P and 0 <= column < sw * Q:
                result[:, :, u, v] += g[:, :, row // sh, column // sw] @ w[:, :, a, b]
    return result


def _given(change):
    return _changed(_input, lambda g, w, *rest: (*change(g, w), *rest))


INPUT_FORMS = [
    ("the filters are flipped once too often", _given(lambda g, w: (g, w[:, :, ::-1, ::-1]))),
    ("every sample gets the result of the first", _one_sample(_input, 0)),
    ("every sample gets the result of the last", _one_sample(_input, -1)),
    ("the padding is not cut off", _input_uncut),
    ("the padding is cut off at the far end only", _input_corner),
    ("cut by [p:-p], which leaves nothing where the padding is 0: -0 is 0, the beginning", _input_minus_zero),
    ("rows and columns that the stride leaves over at the far end are missing", _input_short),
    ("windows that do not move by the stride", _input_neighbours),
    ("taps that meet at one entry overwrite each other: = where += belongs", _input_overwritten),
    ("windows that meet at one entry overwrite each other: = where += belongs", _windows_overwritten),
    ("entries between the strides get a share of outputs that never met them: row % stride must be 0", _input_between),
    ("grad_output is left out of the sum", _given(lambda g, w: (np.ones_like(g), w))),
    ("the mean over the filters where their sum belongs", _rescaled(_input, lambda g, w, *_: 1 / len(w))),
    ("a 1/N too many: samples have nothing to do with each other", _rescaled(_input, lambda g, *_: 1 / len(g))),
    ("only the last filter counts: = where += belongs", _given(lambda g, w: (g[:, -1:], w[-1:]))),
    ("only the first filter counts", _given(lambda g, w: (g[:, :1], w[:1]))),
    ("rows and columns of the filters are exchanged", _given(lambda g, w: (g, w.swapaxes(2, 3).reshape(w.shape)))),
    ("rows and columns of grad_output are exchanged", _given(lambda g, w: (g.swapaxes(2, 3).reshape(g.shape), w))),
    ("filters and channels of the weight are exchanged", _given(lambda g, w: (g, w.swapaxes(0, 1).reshape(w.shape)))),
    ("rows and columns of the stride are exchanged", lambda g, w, n, s=(1, 1), p=(0, 0): _input(g, w, n, s[::-1], p)),
    ("rows and columns of the padding are exchanged", lambda g, w, n, s=(1, 1), p=(0, 0): _input(g, w, n, s, p[::-1])),
]  # fmt: skip
