"""The assignment `anogan-search`: descend to the generated image that is most like a given one."""

import numpy as np

from ...assignment import Assignment, Part, Source
from ...evidence import consistent
from ...grader.checks import Case, Wrong, check_untouched
from ...grader.sandbox import remote
from ...grader.wire import Seed
from . import anogan_search_mistakes as mistakes
from . import anogan_search_solution as plain
from .anogan_search_mistakes import seeded

_HANDOUT = """
AnoGAN asks of an image: how well can a generator that has only seen normal ones imitate it? The answer is a search for
the point z whose image g(z) is most like x, through a network whose weights stay as they are. You write the loss, its
gradient, the rule that ends a search, the search, and the score.

The networks are given to you as objects: `forward(v)` is the network, `vjp(v, gradient)` its backward pass at v, a
vector-Jacobian product. You need nothing else of them, neither layers nor weights. They take N rows at once.

**Check yourself.** Before you search, compare your gradient with differences of your loss: for a few random z and each
coordinate j, (L(z + h e_j) - L(z - h e_j)) / 2h with h = 1e-6. They agree to six digits or more, unless an entry of
y - x or f(y) - f(x) changes its sign between the two points: there is a kink, move z a little. A network of your own,
such as g(z) = tanh(A z) with vjp(z, G) = (G (1 - tanh(A z)^2)) A, is all you need for that. The gradient itself is to
be computed by `vjp`: differences need 2 d forward passes for what one backward pass gives.
"""

_LOSS, _GRADIENT, _STOP, _SEARCH, _SCORE = (
    plain.search_loss,
    plain.search_gradient,
    plain.when_to_stop,
    plain.latent_search,
    plain.anogan_score,
)
_METHODS = ("forward", "vjp")


class _Network:
    """tanh(B tanh(A v + b)), rows in, rows of another shape out; counts the backward passes."""

    def __init__(self, rng, n_in, hidden, shape, words):
        n_out = int(np.prod(shape))
        self.A = rng.standard_normal((hidden, n_in)) / np.sqrt(n_in)
        self.b = 0.3 * rng.standard_normal(hidden)
        self.B = 1.5 * rng.standard_normal((n_out, hidden)) / np.sqrt(hidden)
        self.shape, self.words, self.passes = shape, words, 0

    def _inner(self, v):
        hidden = np.tanh(_rows(np.asarray(v, np.float64).reshape(len(v), -1), self.A) + self.b)
        return hidden, np.tanh(_rows(hidden, self.B))

    def forward(self, v):
        """(N, ...) -> (N, *shape)."""
        return self._inner(v)[1].reshape(len(v), *self.shape)

    def vjp(self, v, gradient):
        """The gradient with respect to v, where `gradient` is that with respect to the output."""
        hidden, out = self._inner(v)
        self.passes += 1
        inner = (np.asarray(gradient).reshape(out.shape) * (1 - out**2)) @ self.B
        return ((inner * (1 - hidden**2)) @ self.A).reshape(np.shape(v))

    def __repr__(self):
        return self.words


def _rows(v, A):
    """A v for every row, bit for bit the same alone and in any batch, which a matrix product does not promise."""
    return (v[:, None, :] * A).sum(axis=2)


def _networks(rng, d, shape, p):
    return (
        _Network(rng, d, 7, shape, f"({d},) -> {shape}"),
        _Network(rng, int(np.prod(shape)), 9, (p,), f"{shape} -> ({p},)"),
    )


# How a submission is asked


class _Asked:
    """The student, whose functions get networks that stay here."""

    def __init__(self, student, by_vjp=False):
        self.student, self.by_vjp = student, by_vjp

    def call(self, name, *arguments):
        """What the function returns; its arrays must not have been changed where `untouched` asks."""
        given, self.after = self.both(name, *arguments)
        return given

    def both(self, name, *arguments):
        """(what it returns, its arguments afterwards)."""
        table, sent, networks = {}, [], [a for a in arguments if isinstance(a, _Network)]
        for argument in arguments:
            if isinstance(argument, _Network):
                argument, entry = remote(argument, len(table) + 1, _METHODS)
                table |= entry
            sent.append(argument)
        before = [network.passes for network in networks]
        given = self.student.sandbox.call(name, *sent, remotes=table)
        if self.by_vjp and networks[0].passes == before[0]:
            raise Wrong("the generator's vjp was never called: the gradient comes from its backward pass")
        return given


def _check(op, cases, forms, outputs=("the result",), pick=None, by_vjp=False):
    compare_all = consistent(seeded(op), cases, forms, outputs, pick)
    return lambda student, rng: compare_all(_Asked(student, by_vjp), rng)


# Inputs


def _batch(rng, N, d, shape, p):
    """generator, features, z, x: the images are other ones than those of z."""
    g, f = _networks(rng, d, shape, p)
    return g, f, rng.standard_normal((N, d)), np.tanh(rng.standard_normal((N, *shape)))


def _at(*sizes, weights=(0.1,)):
    """Cases for loss and gradient."""

    def cases(rng):
        for N, d, shape, p in sizes:
            for a in weights:
                yield Case((*_batch(rng, N, d, shape, p), a))

    return cases


def _met(rng):
    """Images that are met, wholly or in a half of their entries: the derivative of |u| at 0 is 0."""
    for a in (0.1, 0.6):
        g, f, z, x = _batch(rng, 3, 4, (2, 5), 6)
        y = g.forward(z)
        x[0], x[1, 0] = y[0], y[1, 0]
        yield Case((g, f, z, x, a))


def _curves(rng):
    """Losses of single images: falling ones with noise, that stall in different windows, or never."""
    for window, tolerance, T, speed in (
        (5, 0.05, 31, 0.9),
        (4, 0.1, 26, 0.97),
        (6, 0.02, 35, 0.8),
        (7, 0.3, 20, 0.995),
    ):
        curve = 2 + 8 * speed ** np.arange(T + 1.0) + 0.2 * rng.standard_normal(T + 1)
        yield Case((curve, window, tolerance))
    yield Case((10 * 0.9 ** np.arange(24.0), 5, 0.1))  # never


def _special_curves(rng):
    """What fell within a window and rose again; no whole window; the last step ends a window."""
    curve = 10 - 0.01 * np.arange(21.0)
    curve[[3, 8, 13]] = 7, 4, 2
    yield Case((curve, 5, 0.1))
    yield Case((np.r_[10, 9.8, 9.5, 9.2, 9, 7, 6, 5, 4 - rng.uniform(0, 1, 5)], 4, 0.105))
    yield Case((np.r_[8, 7, 7, 6, np.full(8, 6.0)], 3, 0.25))  # just enough to go on, once
    yield Case((rng.uniform(1, 2, 5), 6, 0.1))
    yield Case((rng.uniform(3, 3.01, 7), 6, 0.1))
    yield Case((np.r_[np.linspace(9, 5, 7), np.full(8, 5.0)], 6, 0.01))


def _searches(rng, count, sizes, options, wanted):
    """Cases for the search, drawn until they are `wanted` by (steps, converged, losses of each step)."""
    found = 0
    for _ in range(200):
        (N, d, shape, p), (a, steps, rate, window, tolerance) = sizes, options
        g, f, z, x = _batch(rng, N, d, shape, p)
        arguments = g, f, x, z, a, steps, rate, window, tolerance
        if wanted(plain.latent_search(*arguments), arguments):
            found += 1
            yield Case(arguments)
        if found == count:
            return
    raise RuntimeError("no such search was drawn")


def _one_step(rng):
    yield from _searches(rng, 2, (4, 3, (2, 5), 6), (0.1, 1, 0.05, 10, 0.01), _better_than_the_start)


def _better_than_the_start(found, arguments):
    """One step was better for every image: with another step the result is another one."""
    g, f, x, z, a = arguments[:5]
    return (found[1] < plain.search_loss(g, f, z, x, a) - 1e-3).all()


def _long(rng):
    """No image stops early, and the best step is the last one for some of them only."""
    yield from _searches(rng, 2, (5, 4, (3, 2), 6), (0.1, 23, 0.3, 40, 0.01), _best_before_the_end)


def _best_before_the_end(found, arguments):
    g, f, x, z, a, steps, rate, window, tolerance = arguments
    shorter = plain.latent_search(g, f, x, z, a, steps - 1, rate, window, tolerance)
    return (shorter[1] == found[1]).any() and (shorter[1] != found[1]).any()


def _stopping(rng):
    """Images that stop in different windows, and some that do not."""
    yield from _searches(rng, 2, (6, 4, (3, 2), 5), (0.2, 34, 0.05, 8, 0.08), _stop_apart)


def _stop_apart(found, arguments):
    steps, converged = found[2:]
    return converged.any() and not converged.all() and len(set(steps)) > 2 and _clear(steps, arguments)


def _clear(steps, arguments):
    """Rounding decides nothing: no image is at the edge of the rule."""
    tolerance = arguments[-1]
    return all((plain.latent_search(*arguments[:-1], tolerance + shift)[2] == steps).all() for shift in (-1e-6, 1e-6))


def _scores(*rows, steps=12, window=30, tolerance=0.01):
    """Cases for the score: (starts, sizes)."""

    def cases(rng):
        for starts, (N, d, shape, p) in rows:
            g, f, _, x = _batch(rng, N, d, shape, p)
            yield Case((g, f, x, d, starts, Seed(int(rng.integers(1 << 30))), 0.1, steps, 0.1, window, tolerance))

    return cases


def _untouched(student, rng):
    """z and x are what they were, and still the search found something."""
    (case,) = list(_one_step(rng))[:1]
    given, after = _Asked(student).both(_SEARCH.__name__, *case.arguments)
    found = plain.latent_search(*case.arguments)
    if not isinstance(given, tuple | list) or len(given) != 4 or not np.allclose(np.asarray(given[1]), found[1]):
        raise Wrong("the search is wrong: only a right one gets points for what it leaves alone")
    check_untouched(_SEARCH, case.arguments, after)


_FOUND = ("the points", "the losses", "the steps", "converged")
_SMALL, _OTHERS = (4, 3, (2, 5), 6), ((1, 5, (3, 4), 2), (6, 2, (4, 3), 5), (3, 4, (1, 6), 8))


def _part(op, name, points, cases, forms, hidden=True, pick=None):
    outputs = _FOUND if op is _SEARCH else ("the steps", "converged") if op is _STOP else ("the result",)
    check = _check(op, cases, forms, outputs, pick, by_vjp=op in (_GRADIENT, _SEARCH, _SCORE))
    return Part(f"{op.__name__}: {name}", points, check, hidden)


ASSIGNMENT = Assignment(
    name="anogan-search",
    title="AnoGAN: the search for an image's nearest likeness",
    reading="Schlegl et al., Unsupervised Anomaly Detection with Generative Adversarial Networks (2017), section 2.2",
    handout=_HANDOUT,
    goals=(
        "differentiate a loss with respect to an input, through networks of which only a backward pass is known",
        "write an iterative search whose result for one image depends on no other image of the batch",
        "say what a score is that a search has found, and what more starts change",
    ),
    hours="2 to 3",
    lectures=("12_anogan#The search for $z$", "12_anogan#Many searches at once"),
    without_forward="""
Loss, gradient and stopping rule do not need each other. The search uses all three: without a gradient, write it with
one of differences; it earns nothing, but shows whether the rest works. The score uses the search; write it as a loop.
""",
    derivation=plain,
    functions=tuple(Source(op) for op in (_LOSS, _GRADIENT, _STOP, _SEARCH, _SCORE)),
    parts=(
        _part(_LOSS, "values", 6, _at(_SMALL), mistakes.LOSS, False),
        _part(_LOSS, "other shapes and weights", 6, _at(*_OTHERS, weights=(0.3, 0.0, 1.0)), mistakes.LOSS),
        _part(_GRADIENT, "values", 12, _at(_SMALL), mistakes.GRADIENT, False),
        _part(_GRADIENT, "other shapes", 8, _at(*_OTHERS, weights=(0.3,)), mistakes.GRADIENT),
        _part(_GRADIENT, "pixels alone, features alone", 2, _at(_SMALL, weights=(0.0, 1.0)), mistakes.GRADIENT),
        _part(_GRADIENT, "images that are met", 2, _met, mistakes.GRADIENT),
        _part(_STOP, "values", 8, _curves, mistakes.STOP, False),
        _part(_STOP, "short, uneven and last windows", 6, _special_curves, mistakes.STOP),
        _part(_SEARCH, "one step", 8, _one_step, mistakes.SEARCH, False, 0),
        _part(_SEARCH, "the best of many steps", 10, _long, mistakes.SEARCH, True, 1),
        _part(_SEARCH, "its point", 4, _long, mistakes.SEARCH, True, 0),
        _part(_SEARCH, "each image stops by itself", 8, _stopping, mistakes.SEARCH, True, 2),
        _part(_SEARCH, "losses of images that stop", 4, _stopping, mistakes.SEARCH, True, 1),
        _part(_SEARCH, "converged or not", 3, _stopping, mistakes.SEARCH, True, 3),
        Part("latent_search: arguments stay as they came", 3, _untouched, True, form=True),
        _part(_SCORE, "one start", 3, _scores((1, (4, 3, (2, 5), 6))), mistakes.SCORE, False),
        _part(
            _SCORE,
            "the best of several starts",
            7,
            _scores((4, (5, 3, (2, 4), 6)), (3, (2, 4, (3, 2), 5)), steps=20, window=5, tolerance=0.1),
            mistakes.SCORE,
        ),
    ),
)
