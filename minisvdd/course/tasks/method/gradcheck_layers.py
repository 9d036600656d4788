"""Layers to be checked by the assignment `gradcheck`: right backward passes, and wrong ones of three kinds.

    plain     a factor, a sign, a missing term, a matrix where its transpose belongs: wrong almost everywhere
    places    wrong only at a border, where windows overlap, on one side of a kink, in one sample
    uniform   right wherever grad_output is the same number everywhere: whoever checks with ones cannot see it

A layer maps x to y; its backward pass maps G = dL/dy and x to dL/dx. Weights are numbers that the layer has.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STEP = 6e-6  # of the differences, where kinks are looked for
_MOST_CALLS = 20000

Pass = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Layer:
    """A layer, a point to check it at, a point where it has kinks (None: it has none), and wrong backward passes.

    wrong: triples (kind, what is wrong, backward).
    """

    name: str
    forward: Callable[[np.ndarray], np.ndarray]
    backward: Pass
    x: np.ndarray
    wrong: tuple[tuple[str, str, Pass], ...]
    kinked: np.ndarray | None = None

    def of_kind(self, kind: str) -> list[tuple[str, Pass]]:
        """(what is wrong, backward) for the wrong passes of this kind."""
        return [(what, backward) for its, what, backward in self.wrong if its == kind]


def draw_layers(rng: np.random.Generator) -> list[Layer]:
    """All of them, with weights and points drawn anew, in any order."""
    makers = [_linear, _weights, _norm, _conv, _pool, _leaky, _softmax, _unit, _distances, _upsample, _tanh, _centred]
    return [makers[i](rng) for i in rng.permutation(len(makers))]


def _linear(rng):
    W = rng.standard_normal((4, 4))
    return Layer(
        "linear, for its input",
        lambda x: x @ W.T,
        lambda G, x: G @ W,
        rng.standard_normal((3, 4)),
        (
            ("plain", "a mean over the batch", lambda G, x: G @ W / len(x)),
            ("plain", "the matrix not transposed", lambda G, x: G @ W.T),
            ("uniform", "G averaged over the outputs", lambda G, x: G.mean(axis=1, keepdims=True) * W.sum(axis=0)),
        ),
    )


def _weights(rng):
    x = rng.standard_normal((5, 3))
    return Layer(
        "linear, for its weights",
        lambda W: x @ W.T,
        lambda G, W: G.T @ x,
        rng.standard_normal((3, 3)),
        (
            ("plain", "a mean over the batch", lambda G, W: G.T @ x / len(x)),
            ("plain", "transposed", lambda G, W: x.T @ G),
            ("places", "the last sample is left out", lambda G, W: G[:-1].T @ x[:-1]),
            ("uniform", "G averaged over the batch", lambda G, W: np.outer(G.mean(axis=0), x.sum(axis=0))),
        ),
    )


def _norm(rng):
    def parts(x):
        r = 1 / np.sqrt(x.var(axis=0) + 1e-3)
        return r, (x - x.mean(axis=0)) * r

    def without(mean=True, product=True):
        def backward(G, x):
            r, x_hat = parts(x)
            return r * (G - mean * G.mean(axis=0) - product * x_hat * (G * x_hat).mean(axis=0))

        return backward

    return Layer(
        "batch norm",
        lambda x: parts(x)[1],
        without(),
        rng.standard_normal((6, 3)),
        (
            ("plain", "the way through the mean is missing", without(mean=False)),
            ("uniform", "the way through the variance is missing", without(product=False)),
            ("uniform", "zero everywhere", lambda G, x: np.zeros_like(x)),
        ),
    )


_STRIDE = 2


def _conv(rng):
    """Windows of 3 with stride 2 and one zero on each side of rows of 8: the last entry is in one window less."""
    w = (rng.permutation([0.5, 1.0, 1.5]) + rng.uniform(-0.1, 0.1, 3)) * rng.choice([-1.0, 1.0], 3)

    def forward(x):
        padded = np.pad(x, [(0, 0), (1, 1)])
        return np.stack([padded[:, i : i + 3] @ w for i in range(0, x.shape[1], _STRIDE)], axis=1)

    def spread(G, x, weights, step=_STRIDE, add=True):
        padded = np.zeros((len(x), x.shape[1] + 2))
        for i in range(G.shape[1]):
            window = slice(step * i, step * i + 3)
            padded[:, window] = add * padded[:, window] + G[:, i : i + 1] * weights
        return padded[:, 1:-1]

    def at_border(G, x):
        grad = spread(G, x, w)
        grad[:, 0] = 0
        return grad

    return Layer(
        "convolution of rows, stride 2",
        forward,
        lambda G, x: spread(G, x, w),
        rng.standard_normal((2, 8)),
        (
            ("plain", "filters flipped once too often", lambda G, x: spread(G, x, w[::-1])),
            ("plain", "the stride is forgotten", lambda G, x: spread(G, x, w, step=1)),
            ("places", "overlapping windows overwrite each other", lambda G, x: spread(G, x, w, add=False)),
            ("places", "nothing for the border", at_border),
            ("uniform", "G averaged over the row", lambda G, x: spread(0 * G + G.mean(axis=1, keepdims=True), x, w)),
        ),
    )


def _pool(rng):
    def winners(x):
        return [(i, i + x[:, i : i + 3].argmax(axis=1)) for i in range(0, x.shape[1] - 2, 2)]

    def backward(G, x, add=True, at=None):
        grad, rows = np.zeros_like(x), np.arange(len(x))
        for i, winner in winners(x):
            place = winner if at is None else i + at
            grad[rows, place] = add * grad[rows, place] + G[:, i // 2]
        return grad

    x = rng.permutation(14).reshape(2, 7) / 7.0
    x[0, 2] = 3.0  # wins in two windows
    kinked = x.copy()
    kinked[1, 4:6] = 3.0
    return Layer(
        "max pooling of rows, windows of 3, stride 2",
        lambda x: np.stack([x[:, i : i + 3].max(axis=1) for i in range(0, x.shape[1] - 2, 2)], axis=1),
        backward,
        x,
        (
            ("plain", "to the first entry of each window", lambda G, x: backward(G, x, at=0)),
            ("places", "whoever wins twice gets one gradient", lambda G, x: backward(G, x, add=False)),
            ("uniform", "G averaged over the row", lambda G, x: backward(0 * G + G.mean(axis=1, keepdims=True), x)),
        ),
        kinked,
    )


def _leaky(rng):
    x = rng.uniform(0.2, 1.5, (3, 5)) * rng.permuted(np.repeat([1.0, -1.0], [7, 8])).reshape(3, 5)
    kinked = x.copy()
    kinked[0, 1] = kinked[2, 3] = 0.0
    return Layer(
        "leaky ReLU",
        lambda x: np.where(x > 0, x, 0.2 * x),
        lambda G, x: np.where(x > 0, 1.0, 0.2) * G,
        x,
        (
            ("plain", "both sides exchanged", lambda G, x: np.where(x > 0, 0.2, 1.0) * G),
            ("places", "the slope is squared", lambda G, x: np.where(x > 0, 1.0, 0.04) * G),
            ("uniform", "G averaged over the batch", lambda G, x: np.where(x > 0, 1.0, 0.2) * G.mean(axis=0)),
        ),
        kinked,
    )


def _softmax(rng):
    def p(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    return Layer(
        "softmax",
        p,
        lambda G, x: p(x) * (G - (G * p(x)).sum(axis=1, keepdims=True)),
        rng.standard_normal((3, 4)),
        (
            ("plain", "the sum in the denominator is forgotten", lambda G, x: p(x) * G),
            ("plain", "negated", lambda G, x: p(x) * ((G * p(x)).sum(axis=1, keepdims=True) - G)),
            ("uniform", "a plain mean of G", lambda G, x: p(x) * (G - G.mean(axis=1, keepdims=True))),
        ),
    )


def _unit(rng):
    def norms(x):
        return np.sqrt((x * x).sum(axis=1, keepdims=True))

    def backward(G, x, share=1.0):
        y = x / norms(x)
        return (G - share * y * (y * G).sum(axis=1, keepdims=True)) / norms(x)

    return Layer(
        "rows of length 1",
        lambda x: x / norms(x),
        backward,
        rng.standard_normal((4, 3)) + np.sign(rng.standard_normal((4, 3))),
        (
            ("plain", "the way through the length is missing", lambda G, x: backward(G, x, 0.0)),
            ("plain", "half of the way through the length", lambda G, x: backward(G, x, 0.5)),
            ("uniform", "G averaged over all", lambda G, x: backward(0 * G + G.mean(), x)),
        ),
    )


def _distances(rng):
    c = rng.standard_normal(3)
    return Layer(
        "squared distances to a centre",
        lambda x: ((x - c) ** 2).sum(axis=1),
        lambda G, x: 2 * G[:, None] * (x - c),
        rng.standard_normal((5, 3)),
        (
            ("plain", "the factor 2 is missing", lambda G, x: G[:, None] * (x - c)),
            ("plain", "the centre is not subtracted", lambda G, x: 2 * G[:, None] * x),
            ("uniform", "G averaged over the batch", lambda G, x: 2 * G.mean() * (x - c)),
        ),
    )


def _upsample(rng):
    def backward(G, x):
        return G.reshape(*x.shape, 2).sum(axis=2)

    def last(G, x):
        grad = backward(G, x)
        grad[:, -1] -= G[:, -1]
        return grad

    return Layer(
        "every entry twice",
        lambda x: x.repeat(2, axis=1),
        backward,
        rng.standard_normal((3, 4)),
        (
            ("plain", "the mean of both copies", lambda G, x: backward(G, x) / 2),
            ("places", "the last copy is left out", last),
            ("uniform", "twice the first copy", lambda G, x: 2 * G[:, ::2]),
        ),
    )


def _tanh(rng):
    x = rng.uniform(0.3, 1.5, (3, 4)) * rng.choice([-1.0, 1.0], (3, 4))
    x[1, :2] = 0.5, -1.1  # on either side of the border that one mistake draws
    return Layer(
        "tanh",
        np.tanh,
        lambda G, x: G * (1 - np.tanh(x) ** 2),
        x,
        (
            ("plain", "the square is forgotten", lambda G, x: G * (1 - np.tanh(x))),
            ("places", "nothing where the function is flat", lambda G, x: G * (1 - np.tanh(x) ** 2) * (abs(x) < 0.8)),
            ("uniform", "G in another order", lambda G, x: G[::-1] * (1 - np.tanh(x) ** 2)),
        ),
    )


def _centred(rng):
    return Layer(
        "the mean of the batch subtracted",
        lambda x: x - x.mean(axis=0),
        lambda G, x: G - G.mean(axis=0),
        rng.standard_normal((5, 2)),
        (
            ("plain", "the way through the mean is missing", lambda G, x: G.copy()),
            ("uniform", "the first sample, where the mean belongs", lambda G, x: G - G[:1]),
            ("uniform", "zero everywhere", lambda G, x: np.zeros_like(x)),
        ),
    )


# Functions with kinks, by where those are


def _bent(x):
    return np.where(x > 0, x, 0.1 * x)


def _curved(x):
    return 10 * x**2


def kink_cases(rng, hidden):
    """(function, x) with kinks at the entries of x that are 0, or nearer to 0 than h."""
    x = rng.uniform(0.3, 1.0, (2, 4)) * rng.choice([-1.0, 1.0], (2, 4))
    x[0, 1] = x[1, 3] = 0.0
    yield _bent, x
    if not hidden:
        yield np.tanh, x
        return
    near = x.copy()
    near[0, 0], near[1, 0], near[1, 1] = 0.1 * STEP, -0.2 * STEP, 5 * STEP
    yield _bent, near
    yield (lambda v: -_bent(v)), x.astype(np.float32)
    yield _curved, x
    yield (lambda v: np.abs(v - 0.25).sum(axis=1)), np.where(np.abs(x) > 0.6, 0.25, x)
    yield (lambda v: 1e3 * v**2 + v**3), 100 * x
    yield (lambda v: 1e-4 * _bent(v)), x
    yield (lambda v: np.stack([v.sum(), 0.05 * _bent(v).sum()])), x


def is_kink(f, x, h):
    """Where an output bends: the definition, for all entries at once."""
    units = h * np.eye(x.size).reshape(x.size, *x.shape)
    above, below = (np.array([(f(x + s * e) - f(x)).ravel() / h for e in units]) for s in (1, -1))
    largest = max(np.abs(above).max(), np.abs(below).max())
    return (np.abs(above + below).max(axis=1) > 1e-3 * largest).reshape(x.shape)


# What the submission may call


class Function:
    """A function of one array, which notes what it was given."""

    methods = ("__call__",)

    def __init__(self, function, shape):
        self.function, self.shape, self.dtypes, self.calls = function, shape, set(), 0

    def __call__(self, x):
        x = _array(x, self.shape, "the function")
        self.dtypes.add(x.dtype)
        self.calls += 1
        if self.calls > _MOST_CALLS:
            raise ValueError("called too often")
        return self.function(x.astype(np.float64))


class Backward:
    """A backward pass, which notes each grad_output."""

    methods = ("__call__",)

    def __init__(self, backward, x, output):
        self.backward, self.shapes, self.given = backward, (x.shape, output.shape), []

    def __call__(self, grad_output, x):
        grad_output = _array(grad_output, self.shapes[1], "backward", "grad_output")
        self.given.append(grad_output.copy())
        return self.backward(grad_output.astype(np.float64), _array(x, self.shapes[0], "backward").astype(np.float64))


class Layers:
    """Several layers, by their numbers."""

    methods = ("forward", "backward")

    def __init__(self, layers, backwards, inputs):
        self.layers, self.backwards, self.inputs, self.calls, self.uniform = layers, backwards, inputs, 0, True

    def forward(self, i, x):
        """The output of layer i."""
        return self.layers[self._number(i)].forward(self._input(i, x))

    def backward(self, i, grad_output, x):
        """What layer i says of dL/dx."""
        shape = self.layers[self._number(i)].forward(self.inputs[i]).shape
        G = _array(grad_output, shape, "layers.backward", "grad_output").astype(np.float64)
        self.uniform = self.uniform and np.unique(G).size == 1
        return self.backwards[i](G, self._input(i, x))

    def _number(self, i):
        self.calls += 1
        if self.calls > _MOST_CALLS:
            raise ValueError("called too often")
        if not isinstance(i, int | np.integer) or not 0 <= i < len(self.layers):
            raise ValueError(f"there is no layer {i!r:.20}: expected a number from 0 to {len(self.layers) - 1}")
        return int(i)

    def _input(self, i, x):
        return _array(x, self.inputs[i].shape, "the layer").astype(np.float64)


def _array(value, shape, who, name="x"):
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.shape != shape:
        raise ValueError(f"{who} got {name} of shape {array.shape}: expected {shape}")
    return array
