"""Known mistakes of `anogan-search`: pairs (its name, a function that makes it)."""

from collections.abc import Callable
from functools import wraps

import numpy as np

from ...grader.wire import Seed
from . import anogan_search_solution as plain


def seeded(op: Callable) -> Callable:
    """The function where a Seed stands for a generator of random numbers."""

    @wraps(op)
    def drawn(*arguments):
        return op(*(np.random.default_rng(a.value) if isinstance(a, Seed) else a for a in arguments))

    return drawn


def _sums(values):
    return np.abs(values).reshape(len(values), -1).sum(axis=1)


def _loss_of(combine):
    """A mistaken loss from y - x and f(y) - f(x)."""

    def mistaken(g, f, z, x, a):
        y = g.forward(z)
        return combine(y - x, f.forward(y) - f.forward(x), a)

    return mistaken


LOSS = [
    (
        "the weights are exchanged: 1 - a belongs to the pixels",
        _loss_of(lambda r, s, a: a * _sums(r) + (1 - a) * _sums(s)),
    ),
    ("the pixels' weight 1 - a is missing", _loss_of(lambda r, s, a: _sums(r) + a * _sums(s))),
    ("the features are left out", _loss_of(lambda r, s, a: (1 - a) * _sums(r))),
    ("the features' weight a is missing", _loss_of(lambda r, s, a: (1 - a) * _sums(r) + _sums(s))),
    ("neither term has its weight", _loss_of(lambda r, s, a: _sums(r) + _sums(s))),
    ("squares, where absolute values belong", _loss_of(lambda r, s, a: (1 - a) * _sums(r**2) + a * _sums(s**2))),
    (
        "Euclidean norms, where the sum of absolute values belongs",
        _loss_of(lambda r, s, a: (1 - a) * _sums(r**2) ** 0.5 + a * _sums(s**2) ** 0.5),
    ),
    (
        "means over the entries, where sums belong",
        _loss_of(lambda r, s, a: (1 - a) * _sums(r) / r[0].size + a * _sums(s) / s[0].size),
    ),
    (
        "the sum over the batch, too: every image has a loss of its own",
        _loss_of(lambda r, s, a: (1 - a) * np.abs(r).sum() + a * np.abs(s).sum()),
    ),
    (
        "the mean over the batch: every image has a loss of its own",
        _loss_of(lambda r, s, a: ((1 - a) * _sums(r) + a * _sums(s)).mean()),
    ),
    (
        "sums without absolute values: what is too light hides what is too dark",
        _loss_of(lambda r, s, a: (1 - a) * r.sum(axis=(1, 2)) + a * s.sum(axis=1)),
    ),
    (
        "the features of the difference, where the difference of the features belongs",
        lambda g, f, z, x, a: (1 - a) * _sums(g.forward(z) - x) + a * _sums(f.forward(x - g.forward(z))),
    ),
]


def _gradient_of(grad_y):
    """A mistaken gradient: dL/dy from (features, y, x, s, t, a)."""

    def mistaken(g, f, z, x, a):
        y = g.forward(z)
        s, t = np.sign(y - x), np.sign(f.forward(y) - f.forward(x))
        return g.vjp(z, grad_y(f, y, x, s, t, a))

    return mistaken


def _right(f, y, x, s, t, a):
    return (1 - a) * s + f.vjp(y, a * t)


GRADIENT = [
    ("it points the other way: y is g(z), and s = sign(y - x)", _gradient_of(lambda *v: -_right(*v))),
    ("the way through the features is left out", _gradient_of(lambda f, y, x, s, t, a: (1 - a) * s)),
    ("the direct way is left out", _gradient_of(lambda f, y, x, s, t, a: f.vjp(y, a * t))),
    ("the weights are exchanged", _gradient_of(lambda f, y, x, s, t, a: a * s + f.vjp(y, (1 - a) * t))),
    ("the pixels' weight 1 - a is missing", _gradient_of(lambda f, y, x, s, t, a: s + f.vjp(y, a * t))),
    ("the features' weight a is missing", _gradient_of(lambda f, y, x, s, t, a: (1 - a) * s + f.vjp(y, t))),
    ("a is applied twice to the features", _gradient_of(lambda f, y, x, s, t, a: (1 - a) * s + a * f.vjp(y, a * t))),
    (
        "the features' vjp is taken at x: the chain rule wants it at y = g(z)",
        _gradient_of(lambda f, y, x, s, t, a: (1 - a) * s + f.vjp(x, a * t)),
    ),
    (
        "t = sign(f(x) - f(y)) has the other sign than s = sign(y - x)",
        _gradient_of(lambda f, y, x, s, t, a: (1 - a) * s - f.vjp(y, a * t)),
    ),
    (
        "s = sign(x - y) has the other sign than t = sign(f(y) - f(x))",
        _gradient_of(lambda f, y, x, s, t, a: -(1 - a) * s + f.vjp(y, a * t)),
    ),
    (
        "differences, where their signs belong: the gradient of squares",
        lambda g, f, z, x, a: g.vjp(
            z,
            (1 - a) * (g.forward(z) - x) + f.vjp(g.forward(z), a * (f.forward(g.forward(z)) - f.forward(x))),
        ),
    ),
    ("the gradient of the mean over the batch", lambda g, f, z, x, a: plain.search_gradient(g, f, z, x, a) / len(z)),
    (
        "the gradient of the mean over the pixels",
        lambda g, f, z, x, a: plain.search_gradient(g, f, z, x, a) / x[0].size,
    ),
    (
        "the gradient of all losses' sum, the same for every image",
        lambda g, f, z, x, a: np.broadcast_to(plain.search_gradient(g, f, z, x, a).sum(axis=0), z.shape),
    ),
]


def _stops(fell, best=np.minimum.accumulate, at=lambda t, window: t % window == 0):
    """Mistaken rules: when it stops by (best before, best now, tolerance)."""

    def mistaken(losses, window, tolerance):
        curve = best(losses)
        for t in range(1, len(losses)):
            if t >= window and at(t, window) and fell(curve[t - window], curve[t], tolerance):
                return t, True
        return len(losses) - 1, False

    return mistaken


def _little(before, now, tolerance):
    return before - now < tolerance * before


STOP = [
    ("the losses themselves, not the best so far", _stops(_little, best=lambda losses: losses)),
    ("tolerance as it is: it is a share of the loss", _stops(lambda b, n, tolerance: b - n < tolerance)),
    ("a share of the loss at the window's end, not at its beginning", _stops(lambda b, n, tol: b - n < tol * n)),
    ("asked at every step, not only at the end of a window", _stops(_little, at=lambda t, window: True)),
    (
        "compared with the start, not with the window's beginning",
        lambda losses, window, tolerance: next(
            (
                (t, True)
                for t in range(window, len(losses), window)
                if _little(losses[0], losses[: t + 1].min(), tolerance)
            ),
            (len(losses) - 1, False),
        ),
    ),
    ("it stops where the loss still falls: > where < belongs", _stops(lambda b, n, tol: not _little(b, n, tol))),
    (
        "one step is compared with the one before, where a window belongs",
        lambda losses, window, tolerance: next(
            (
                (t, True)
                for t in range(1, len(losses))
                if _little(np.min(losses[:t]), np.min(losses[: t + 1]), tolerance)
            ),
            (len(losses) - 1, False),
        ),
    ),
    (
        "one step too many: losses has the start, too",
        lambda *v: (plain.when_to_stop(*v)[0] + 1, plain.when_to_stop(*v)[1]),
    ),
    ("it never stops before the last step", lambda losses, window, tolerance: (len(losses) - 1, False)),
]


def _searched(step, best=True, together=None):
    """Mistaken searches: another step, the last point instead of the best, stops of all images together."""

    def mistaken(g, f, x, z, a, steps, rate, window, tolerance):
        state = [np.zeros(z.shape), np.zeros(z.shape)]
        points, losses = [z], [plain.search_loss(g, f, z, x, a)]
        for t in range(1, steps + 1):
            points.append(step(points[-1], plain.search_gradient(g, f, points[-1], x, a), state, t, rate))
            losses.append(plain.search_loss(g, f, points[-1], x, a))
        points, losses = np.array(points), np.array(losses)
        ends = [plain.when_to_stop(curve, window, tolerance) for curve in losses.T]
        taken, converged = (np.array(column) for column in zip(*ends))
        if together is not None:
            taken = np.full(len(z), together(taken))
        rows = np.arange(len(z))
        place = np.array([losses[: t + 1, i].argmin() if best else t for i, t in enumerate(taken)])
        return points[place, rows], losses[place, rows], taken, converged

    return mistaken


def _adam(corrected=True, beta1=0.9, beta2=0.999, sign=-1, late=0):
    def step(z, h, state, t, rate):
        m, v = state[0], state[1] = beta1 * state[0] + (1 - beta1) * h, beta2 * state[1] + (1 - beta2) * h**2
        if corrected:
            m, v = m / (1 - beta1 ** (t + late)), v / (1 - beta2 ** (t + late))
        return z + sign * rate * m / (np.sqrt(v) + 1e-8)

    return step


SEARCH = [
    ("gradient descent, where Adam belongs", _searched(lambda z, h, state, t, rate: z - rate * h)),
    ("Adam without the bias correction", _searched(_adam(corrected=False))),
    ("Adam's first step counts as 2: t begins with 1", _searched(_adam(late=1))),
    ("it climbs: the step is subtracted", _searched(_adam(sign=1))),
    ("beta1 = 0.5, as in the training of the networks", _searched(_adam(beta1=0.5))),
    ("the last point, where the best one counts", _searched(_adam(), best=False)),
    ("all images stop when the first one does", _searched(_adam(), together=np.min)),
    ("all images go on until the last one stops", _searched(_adam(), together=np.max)),
    ("no image stops early", lambda *v: (*plain.latent_search(*v[:-1], -1.0)[:3], plain.latent_search(*v)[3])),
    (
        "the start itself: nothing is searched",
        lambda g, f, x, z, a, *rest: plain.latent_search(g, f, x, z, a, 0, *rest[1:]),
    ),
    ("one step too few", lambda g, f, x, z, a, steps, *rest: plain.latent_search(g, f, x, z, a, steps - 1, *rest)),
    ("one step too many", lambda g, f, x, z, a, steps, *rest: plain.latent_search(g, f, x, z, a, steps + 1, *rest)),
]


def _scored(combine=lambda losses: losses.min(axis=0), draw=lambda rng, starts, d: rng.standard_normal((starts, d))):
    """Mistaken scores: starts drawn otherwise, or losses of all starts (starts, N) put together otherwise."""

    @seeded
    def mistaken(g, f, x, d, starts, rng, *options):
        losses = [
            plain.latent_search(g, f, x, np.broadcast_to(point, (len(x), d)), *options)[1]
            for point in draw(rng, starts, d)
        ]
        return combine(np.array(losses))

    return mistaken


@seeded
def _own_starts(g, f, x, d, starts, rng, *options):
    return np.min(
        [plain.latent_search(g, f, x, rng.standard_normal((len(x), d)), *options)[1] for _ in range(starts)], axis=0
    )


@seeded
def _one_after_another(g, f, x, d, starts, rng, *options):
    rows = [
        [plain.latent_search(g, f, x[i : i + 1], rng.standard_normal((1, d)), *options)[1][0] for _ in range(starts)]
        for i in range(len(x))
    ]
    return np.min(rows, axis=1)


SCORE = [
    ("the mean over the starts, where the best one counts", _scored(lambda losses: losses.mean(axis=0))),
    ("the worst start, where the best one counts", _scored(lambda losses: losses.max(axis=0))),
    ("the first start alone", _scored(lambda losses: losses[0])),
    ("the last start alone", _scored(lambda losses: losses[-1])),
    (
        "the best over all images, too: every image has a score of its own",
        _scored(lambda losses: np.full(losses.shape[1], losses.min())),
    ),
    ("negative: anomalies have larger scores", _scored(lambda losses: -losses.min(axis=0))),
    ("every image begins at starts of its own: its score then depends on its place in the batch", _own_starts),
    ("every image begins at starts of its own: its score then depends on its place in the batch", _one_after_another),
    ("uniform starts: rng.standard_normal", _scored(draw=lambda rng, starts, d: rng.random((starts, d)))),
    (
        "the random numbers in another order: standard_normal((starts, latent_dim))",
        _scored(draw=lambda rng, starts, d: rng.standard_normal((d, starts)).T),
    ),
    ("starts at 0", _scored(draw=lambda rng, starts, d: np.zeros((1, d)))),
]
