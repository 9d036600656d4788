"""The assignment `collapse`: make it, detect it, and say what is to blame."""

from functools import partial

import numpy as np

from ...assignment import Assignment, Part, Source
from ...evidence import consistent
from ...grader.checks import Case, Wrong, as_numbers, check_refused, check_word, results_of
from . import collapse_solution as plain

_HANDOUT = """
A collapsed network has the best loss of all, and its AUC may even look well. You first build collapsed networks by
hand, from a bias and from a bounded activation; whoever has done that will not ask again why Deep SVDD has neither.
Then you write a detector that tells collapse from what only looks like it, and at last one that names the cause.

The networks are  phi(x) = W2 s(W1 x + b),  a sample x is a row of X, and the loss is the mean of ||phi(x_i) - c||^2
over the samples. `blame` returns one of these words, exactly:

    "zero weights, c = 0"   "trainable centre"   "bias"   "bounded activation"   "weight decay"

Draw the outputs in the plane before you write `verdict`: healthy ones, a point far from c, a line, twenty copies of one
sample. Which numbers change from one picture to the other, and which only seem to?
"""

_BY_BIAS, _BY_SATURATION, _PULL = plain.constant_by_bias, plain.constant_by_saturation, plain.pull_on_weights
_SPECTRUM, _VERDICT, _BLAME = plain.spectrum, plain.verdict, plain.blame
_NEAR = 1e-9


# Making it


def _arrays(given, shapes):
    """The weights that were returned, as arrays of these shapes."""
    results = results_of(given, [f"{name} {shape}" for name, shape in shapes.items()])
    arrays = [as_numbers(array) for array in results]
    for array, (name, shape) in zip(arrays, shapes.items()):
        if array is None or array.shape != shape:
            raise Wrong(f"{name} has shape {getattr(array, 'shape', None)}: expected {shape}")
        if not np.isfinite(array).all():
            raise Wrong(f"{name} has entries that are not finite")
    return [array.astype(np.float64) for array in arrays]


def _must_be(outputs, center, ways, what):
    """Raise Wrong unless all outputs are the centre.  ways: pairs (name, the constant that the mistake gives)."""
    size = np.abs(center).max()
    spread = np.abs(outputs - outputs[0]).max()
    worst = np.abs(outputs - center).max()
    if worst <= _NEAR * size:
        return
    text = f"phi is {_words(outputs[0])} for the first sample, expected c = {_words(center)}; largest error {worst:.3g}"
    if spread > 1e-6 * max(size, np.abs(outputs).max()):
        raise Wrong(f"{text}\nthe outputs still depend on x, by {spread:.3g}: {what}")
    for name, constant in ways:
        if np.allclose(outputs, constant, rtol=1e-6, atol=1e-9):
            raise Wrong(f"{text}\nlooks like: {name}")
    raise Wrong(f"{text}\nthe outputs are constant, but not c")


def _words(vector):
    return "(" + ", ".join(f"{v:.4g}" for v in vector) + ")"


def _by_bias(sizes, slopes):
    def check(student, rng):
        for (D, H, p), slope in zip(sizes, slopes):
            c = rng.uniform(0.3, 2.0, p) * rng.choice([-1.0, 1.0], p)
            c[1:2] *= p < 3  # a coordinate that is exactly 0
            given = student.call(_BY_BIAS.__name__, D, H, c, slope)
            W1, b, W2 = _arrays(given, {"W1": (H, D), "b": (H,), "W2": (p, H)})
            X = 100 * rng.standard_normal((20, D))
            a = X @ W1.T + b
            v = np.where(b > 0, b, slope * b)
            ways = [
                ("zero everywhere: with the weights, b or W2 vanished too", 0 * c),
                ("W2 = c v^T is not divided by ||v||^2", c * (v @ v)),
                ("divided by ||v||, where ||v||^2 belongs", c * np.sqrt(v @ v)),
                ("v is taken for b: the activation comes in between", c * (b @ v) / (b @ b) if b.any() else c),
            ]
            _must_be(np.where(a > 0, a, slope * a) @ W2.T, c, ways, "a hidden layer with W1 = 0 does not look at it")

    return check


def _samples(rng, n, D, feature, sign, least):
    """Samples of which one feature alone has one sign; its smallest value is `least`."""
    X = 30 * rng.standard_normal((n, D))
    X[0], X[1] = np.abs(X[0]), -np.abs(X[1])
    X[:, feature] = least * (1 + rng.gamma(1.0, 3.0, n))
    X[int(rng.integers(n)), feature] = least
    X[:, feature] *= sign
    return X


def _by_saturation(cases):
    """The check.  cases: (n, D, H, p, sign, least)."""

    def check(student, rng):
        for n, D, H, p, sign, least in cases:
            X = _samples(rng, n, D, int(rng.integers(D)), sign, least)
            c = rng.uniform(0.3, 2.0, p) * rng.choice([-1.0, 1.0], p)
            W1, W2 = _arrays(student.call(_BY_SATURATION.__name__, X, H, c), {"W1": (H, D), "W2": (p, H)})
            h = np.tanh(X @ W1.T)
            ways = [
                ("zero everywhere: W1 or W2 is 0, and tanh(0) = 0", 0 * c),
                ("W2 = c v^T is not divided by ||v||^2", H * c),
                ("divided by the square root of the number of units", np.sqrt(H) * c),
                ("the wrong sign: units that saturate at -1", -c),
            ]
            low = np.abs(h).min(axis=0)
            what = "no unit is the same for all samples"
            if (np.sign(h) == np.sign(h[0])).all():
                what = (
                    f"the least saturated answers are {_words(low[:3])}: the sample nearest to 0 needs larger weights"
                )
            elif not ((X * sign > 0).all(axis=0) @ np.abs(W1).T).any():
                what = "the feature that was chosen has both signs among the samples"
            _must_be(h @ W2.T, c, ways, what)

    return check


def _refuses(student, rng):
    X = rng.standard_normal((8, 3))
    X[0], X[1] = np.abs(X[0]), -np.abs(X[1])
    asked = partial(student.call, _BY_SATURATION.__name__, X, 2, np.ones(2))
    check_refused(asked, "no feature has one sign in all samples")


# Why descent goes there


def _pulls(*sizes):
    def cases(rng):
        for n, p, at_zero in sizes:
            yield Case((rng.standard_normal((n, p)) + 0.5, np.zeros(p) if at_zero else rng.standard_normal(p)))

    return cases


def _mean_of(product):
    return lambda phi, c: product(phi, c).sum(axis=1).mean()


_PULL_FORMS = [
    ("the factor 2 is missing", _mean_of(lambda phi, c: (phi - c) * phi)),
    ("the 1/n is missing", lambda phi, c: 2 * ((phi - c) * phi).sum()),
    (
        "the mean over all n p entries, where the coordinates are to be summed",
        lambda phi, c: 2 * ((phi - c) * phi).mean(),
    ),
    ("2 J: phi - c twice, where phi belongs once", _mean_of(lambda phi, c: 2 * (phi - c) ** 2)),
    ("J itself", _mean_of(lambda phi, c: (phi - c) ** 2)),
    ("the wrong sign", _mean_of(lambda phi, c: 2 * (c - phi) * phi)),
    ("c, where phi belongs", _mean_of(lambda phi, c: 2 * (phi - c) * c)),
    ("the centre is not subtracted", _mean_of(lambda phi, c: 2 * phi * phi)),
    ("of the mean output, not the mean of all outputs'", lambda phi, c: 2 * (phi.mean(axis=0) - c) @ phi.mean(axis=0)),
]


# Detecting it


def _cloud(rng, n, widths, at=0.0):
    """Outputs of these widths in directions that are drawn, around a point at a distance of about `at`."""
    p = len(widths)
    turn = np.linalg.qr(rng.standard_normal((p, p)))[0]
    base = np.linalg.qr(rng.standard_normal((n, p)))[0]
    base = np.linalg.qr(base - base.mean(axis=0))[0]  # orthonormal and centred: the widths are exact
    return np.sqrt(n) * base * np.asarray(widths) @ turn.T + at * rng.choice([-1.0, 1.0], p)


def _spectra(*cases):
    return lambda rng: [Case((_cloud(rng, n, widths, at),)) for n, widths, at in cases]


def _values_of(outputs, scale=1.0, axis=0):
    centred = outputs - (outputs.mean(axis=axis, keepdims=True) if axis is not None else 0)
    return np.linalg.svd(centred, compute_uv=False) * scale


_SPECTRUM_FORMS = [
    ("the mean output is not subtracted", lambda o: _values_of(o, len(o) ** -0.5, None)),
    ("not divided by sqrt(n)", lambda o: _values_of(o)),
    ("divided by n, where sqrt(n) belongs", lambda o: _values_of(o, 1 / len(o))),
    ("divided by sqrt(n - 1)", lambda o: _values_of(o, (len(o) - 1) ** -0.5)),
    ("squares: the eigenvalues of the covariance", lambda o: _values_of(o, len(o) ** -0.5) ** 2),
    ("in ascending order", lambda o: _values_of(o, len(o) ** -0.5)[::-1]),
    ("centred over the coordinates of each sample", lambda o: _values_of(o, len(o) ** -0.5, 1)),
    ("standard deviations of the coordinates, not of the directions", lambda o: np.sort(o.std(axis=0))[::-1]),
    ("standard deviations of the coordinates, not of the directions", lambda o: o.std(axis=0)),
]


def _scenes(rng, which):
    """(before, after, verdict, what it is) of networks that collapsed, or did not."""
    n = int(rng.integers(20, 40))
    start = _cloud(rng, n, [1.0, 0.7, 0.4], 0.5)
    spot = [0.02, 0.015, 0.01]
    usual = [
        ("healthy", start, _cloud(rng, n, [0.2, 0.1, 0.06], 1.0), "a network that draws its samples together"),
        ("healthy", start, _cloud(rng, n, [0.045, 0.03, 0.02], 1.0), "a network that draws its samples close together"),
        ("point", start, _cloud(rng, n, spot, 1.0), "all outputs in one point"),
    ]
    line = [
        ("line", start, _cloud(rng, n, [0.5, 0.0035, 0.0003], 1.0), "all outputs on a line"),
        (
            "line",
            _cloud(rng, n, [1.0, 0.5]),
            _cloud(rng, n, [0.4, 0.0004], 1.0),
            "outputs of two coordinates on a line",
        ),
        ("healthy", start, _cloud(rng, n, [0.5, 0.0075, 0.0005], 1.0), "all outputs in a plane"),
        ("point", start, _cloud(rng, n, [0.02, 1e-6, 1e-7], 1.0), "a point that is drawn out a little"),
        ("healthy", _cloud(rng, n, [10.0, 0.05]), _cloud(rng, n, [3.0, 0.02]), "a line before training already"),
        ("healthy", _cloud(rng, n, [1.0]), _cloud(rng, n, [0.3], 2.0), "outputs of one coordinate"),
    ]
    far = _cloud(rng, n, [1.0, 0.7, 0.4], 300.0)
    odd = [
        ("healthy", far, _cloud(rng, n, [0.6, 0.3, 0.2], 300.0), "outputs far from 0, as far apart as before"),
        ("point", start, _cloud(rng, n, spot, 0.0), "one point at 0"),
        ("point", far, _cloud(rng, n, spot, 0.01), "one point, near 0 after training"),
        ("healthy", _copies(rng, 1.0), _copies(rng, 0.4), "many copies of few samples"),
        ("point", _copies(rng, 1.0), _copies(rng, 0.004), "many copies of few samples, in one point"),
        ("healthy", 1e-6 * start, 1e-6 * _cloud(rng, n, [0.5, 0.3, 0.2]), "small outputs, before as after"),
        ("point", 1e-6 * start, 1e-6 * _cloud(rng, n, spot, 1.0), "small outputs, in one point"),
        ("healthy", 1e4 * start, 1e4 * _cloud(rng, n, [0.5, 0.3, 0.2]), "large outputs, before as after"),
        ("point", 1e4 * start, 1e4 * _cloud(rng, n, spot, 1.0), "large outputs, in one point"),
        ("healthy", start, _cloud(rng, n, [4.0, 2.0, 1.0], 1.0), "outputs further apart than before"),
    ]
    ball = _cloud(rng, n, [1.0, 1.0, 1.0], 0.5)  # S is 1.73: the limit lies at 0.052
    limit = [
        ("healthy", ball, _cloud(rng, n, [0.052, 0.02, 0.013], 1.0), "S a tenth above the limit"),
        ("point", ball, _cloud(rng, n, [0.046, 0.008, 0.003], 1.0), "S a tenth below the limit"),
    ]
    scenes = {"usual": usual, "line": line, "odd": odd, "limit": limit}[which]
    return [scenes[i] for i in rng.permutation(len(scenes))]


def _copies(rng, scale):
    """Thirty outputs, twenty-five of them the same."""
    few = scale * rng.standard_normal((6, 2))
    few[1:3] = scale * np.array([[1.0, 0.3], [-0.8, 0.6]])
    return few[np.r_[np.zeros(25, int), 1:6]]


def _verdicts(which):
    def check(student, rng):
        for right, before, after, what in _scenes(rng, which):
            given = student.call(_VERDICT.__name__, before, after)
            first, last = (_words(_values_of(outputs, len(outputs) ** -0.5)) for outputs in (before, after))
            seen = f"\n(before and after {before.shape}, singular values {first} before, {last} after)"
            check_word(given, right, what, seen)

    return check


# Explaining it


def _act(name, a):
    return {"leaky relu": np.where(a > 0, a, 0.1 * a), "tanh": np.tanh(a), "sigmoid": 1 / (1 + np.exp(-a))}[name]


class _Runs:
    """Trained networks that collapsed, one method for each cause; each returns the arguments of `blame`.

    sign: of all coordinates of c; 0: both occur.   size: of c.   one_zero: whether one coordinate of c is 0.
    """

    def __init__(self, rng, sign=0, size=1.0, one_zero=False):
        D, H, p, n = 4, 5, 3, 20
        self.rng, self.size, self.shape = rng, size, (D, H, p, n)
        self.X = np.abs(rng.standard_normal((n, D))) + 0.2  # positive: as pixels are
        self.c = size * rng.uniform(0.3, 1.0, p) * (sign or rng.permutation([-1.0, 1.0, rng.choice([-1.0, 1.0])]))
        self.c[0] *= not one_zero

    def small(self, *shape):
        """What training left of weights that vanish."""
        return 1e-5 * self.size * self.rng.standard_normal(shape)

    def towards_c(self, h):
        """The second layer that takes the hidden units' mean to c, nearly."""
        v = h.mean(axis=0)
        return np.outer(self.c, v) / (v @ v) * (1 + self.rng.uniform(5e-4, 1e-3) * self.rng.choice([-1.0, 1.0]))

    def zero(self, activation="leaky relu", bias=False):
        """c = 0 and all weights vanish."""
        D, H, p, _ = self.shape
        c = 0 * self.c
        return self.small(H, D), self.small(H) if bias else None, self.small(p, H), self.X, activation, c, c.copy()

    def centre(self, activation="leaky relu", bias=False):
        """c was trained, and ran to 0 with the weights."""
        D, H, p, _ = self.shape
        W1, b, W2 = self.small(H, D), self.small(H) if bias else None, self.small(p, H)
        return W1, b, W2, self.X, activation, self.c, self.small(p)

    def bias(self, activation="leaky relu", negative=2):
        """W1 vanishes, b does not, of which so many entries are negative."""
        D, H, _, _ = self.shape
        W1, b = self.small(H, D), self.rng.uniform(0.2, 0.6, H) * np.where(np.arange(H) < negative, -1.0, 1.0)
        W2 = self.towards_c(_act(activation, self.X @ W1.T + b))
        return W1, b, W2, self.X, activation, self.c, self.c.copy()

    def saturated(self, activation="tanh", bias=False):
        """All units are at their bound for all samples."""
        D, H, _, _ = self.shape
        W1, b = self.rng.uniform(20, 40, (H, D)), self.small(H) if bias else None
        W2 = self.towards_c(_act(activation, self.X @ W1.T))
        return W1, b, W2, self.X, activation, self.c, self.c.copy()

    def half(self):
        """Sigmoid with vanishing weights: 1/2 for everybody."""
        D, H, _, _ = self.shape
        W1 = self.small(H, D)
        W2 = self.towards_c(_act("sigmoid", self.X @ W1.T))
        return W1, None, W2, self.X, "sigmoid", self.c, self.c.copy()

    def decay(self, activation="leaky relu", bias=False):
        """All weights vanish, c is somewhere else."""
        D, H, p, _ = self.shape
        W1, b, W2 = self.small(H, D), self.small(H) if bias else None, self.small(p, H)
        return W1, b, W2, self.X, activation, self.c, self.c.copy()


_ZERO, _CENTRE, _BIAS = "zero weights, c = 0", "trainable centre", "bias"
_BOUNDED, _DECAY = "bounded activation", "weight decay"
CAUSES = (_ZERO, _CENTRE, _BIAS, _BOUNDED, _DECAY)


def _trained(rng, which):
    """(cause, arguments, what the network is)."""

    def new(*settings, **more):
        return _Runs(rng, *settings, **more)

    runs = {
        "zero": [
            (_ZERO, new().zero(), "c = 0, no bias, leaky ReLU"),
            (_ZERO, new().zero("tanh", bias=True), "c = 0, tanh, a bias that is 0"),
            (_CENTRE, new(1).centre(), "c ran to 0 with the weights"),
            (
                _CENTRE,
                new(-1, 1e-3, True).centre("tanh", bias=True),
                "c, which was small, ran to 0, tanh, a bias that is 0",
            ),
            (_BIAS, new(-1).bias(), "W1 vanished, b did not, outputs at c"),
        ],
        "constant": [
            (_BIAS, new(1).bias(), "W1 vanished, b did not, leaky ReLU, outputs at c"),
            (_BIAS, new(-1, 0.01).bias(negative=5), "W1 vanished, b did not, leaky ReLU, outputs at c, which is small"),
            (_BIAS, new(one_zero=True).bias("tanh"), "W1 vanished, b did not, tanh far from its bounds, outputs at c"),
            (_BOUNDED, new().saturated("tanh"), "tanh, saturated, no bias, outputs at c"),
            (_BOUNDED, new(-1).saturated("tanh", bias=True), "tanh, saturated, a bias that is 0, outputs at c"),
            (_BOUNDED, new(one_zero=True).saturated("sigmoid"), "sigmoid, saturated, outputs at c"),
            (_BOUNDED, new(-1).half(), "sigmoid whose weights vanished: 1/2 for everybody, outputs at c"),
        ],
        "decay": [
            (_DECAY, new(1).decay(), "all weights vanished, outputs at 0, c is not"),
            (_DECAY, new(-1).decay("tanh", bias=True), "all weights and the bias vanished, outputs at 0, c is not"),
            (_DECAY, new(one_zero=True).decay(), "all weights vanished, one coordinate of c is 0, others are not"),
            (_DECAY, new(0, 0.01).decay(), "all weights vanished, outputs at 0, c is small, but not 0"),
            (_DECAY, new().decay("sigmoid"), "sigmoid whose weights vanished, W2 as well: outputs at 0, c is not"),
            (_ZERO, new().zero(), "c = 0, no bias, leaky ReLU"),
            (_BOUNDED, new(one_zero=True).half(), "sigmoid whose weights vanished: 1/2 for everybody, outputs at c"),
        ],
    }[which]
    return [runs[i] for i in rng.permutation(len(runs))]


def _blames(which):
    def check(student, rng):
        for right, arguments, what in _trained(rng, which):
            check_word(student.call(_BLAME.__name__, *arguments), right, what)

    return check


def _part(op, name, points, check, hidden=True, form=False):
    return Part(f"{op.__name__}: {name}", points, check, hidden, form)


ASSIGNMENT = Assignment(
    name="collapse",
    title="Collapse: make it, detect it, explain it",
    reading="section 3.3 of the paper, Propositions 1 to 3",
    handout=_HANDOUT,
    goals=(
        "build the trivial solutions of Propositions 2 and 3 by hand, and say why descent finds that of Proposition 1",
        "tell collapse from what looks like it: outputs far from 0, copies of one sample, another scale",
        "say which ingredient of a network let it collapse, and which others did no harm",
    ),
    hours="3",
    lectures=("07_collapse#Proposition 1: the centre", "07_collapse#What the AUC does not see"),
    without_forward="""
No function needs another one, but `verdict`, which is short with `spectrum`. Begin with the numbers: `pull_on_weights`
is one line, and `spectrum` two.
""",
    derivation=plain,
    derivation_until="What follows",
    functions=(
        Source(_BY_BIAS),
        Source(_BY_SATURATION),
        Source(_PULL),
        Source(_SPECTRUM),
        Source(_VERDICT),
        Source(_BLAME),
    ),
    parts=(
        _part(_BY_BIAS, "every input to c", 8, _by_bias([(4, 5, 2), (3, 2, 3)], [0.1, 0.2]), False),
        _part(_BY_BIAS, "one unit, other slopes", 8, _by_bias([(6, 1, 4), (1, 3, 1), (2, 7, 2)], [0.0, 0.5, 0.01])),
        _part(_BY_SATURATION, "all samples to c", 8, _by_saturation([(8, 4, 3, 2, 1.0, 0.5)]), False),
        _part(
            _BY_SATURATION,
            "negative and small features",
            8,
            _by_saturation([(30, 5, 2, 3, -1.0, 0.4), (12, 3, 1, 1, 1.0, 1e-3), (9, 1, 4, 2, -1.0, 1e-4)]),
        ),
        _part(_BY_SATURATION, "refuses features of both signs", 2, _refuses, form=True),
        _part(_PULL, "values", 6, consistent(_PULL, _pulls((5, 3, False)), _PULL_FORMS), False),
        _part(
            _PULL,
            "c = 0, other sizes",
            6,
            consistent(_PULL, _pulls((7, 2, True), (1, 4, False), (9, 1, False)), _PULL_FORMS),
        ),
        _part(_SPECTRUM, "values", 6, consistent(_SPECTRUM, _spectra((7, [1.5, 0.5], 1.0)), _SPECTRUM_FORMS), False),
        _part(
            _SPECTRUM,
            "far from 0, other sizes",
            6,
            consistent(
                _SPECTRUM,
                _spectra((12, [2.0, 1.0, 0.1], 50.0), (5, [0.3], 2.0), (30, [3, 2, 1, 0.5], 0.0)),
                _SPECTRUM_FORMS,
            ),
        ),
        _part(_VERDICT, "a point, or healthy", 6, _verdicts("usual"), False),
        _part(_VERDICT, "a line", 6, _verdicts("line")),
        _part(_VERDICT, "far from 0, copies, other scales", 5, _verdicts("odd")),
        _part(_VERDICT, "the limit, from both sides", 3, _verdicts("limit")),
        _part(_BLAME, "c = 0, a trained c", 6, _blames("zero"), False),
        _part(_BLAME, "a bias or a bounded activation", 8, _blames("constant")),
        _part(_BLAME, "weight decay", 8, _blames("decay")),
    ),
)
