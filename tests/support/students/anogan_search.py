# minisvdd assignment: anogan-search
"""As a student might hand it in, image by image, with Adam and the rule inside the loop."""

import numpy as np


def search_loss(g, f, z, x, a):
    y = g.forward(z)
    return [(1 - a) * abs(p - q).sum() + a * abs(u - v).sum() for p, q, u, v in zip(x, y, f.forward(x), f.forward(y))]


def search_gradient(g, f, z, x, a):
    rows = []
    for i in range(len(z)):
        point, image = z[i : i + 1], x[i : i + 1]
        y = g.forward(point)
        back = f.vjp(y, np.sign(f.forward(y) - f.forward(image)))
        rows.append(g.vjp(point, a * back - (1 - a) * np.sign(image - y))[0])
    return np.stack(rows)


def when_to_stop(losses, window, tolerance):
    best, before = np.inf, None
    for t, loss in enumerate(losses):
        best = min(best, loss)
        if t % window == 0:
            if before is not None and (before - best) / before < tolerance:
                return t, True
            before = best
    return t, False


def one(g, f, image, point, a, steps, rate, window, tolerance):
    point, m, v, losses, points = point.copy(), 0.0, 0.0, [], []
    for t in range(steps + 1):
        points.append(point)
        losses.append(search_loss(g, f, point, image, a)[0])
        stop, converged = when_to_stop(losses, window, tolerance)
        if converged or t == steps:
            break
        h = search_gradient(g, f, point, image, a)
        m += 0.1 * (h - m)
        v += 0.001 * (h * h - v)
        point = point - rate * m / (1 - 0.9 ** (t + 1)) / ((v / (1 - 0.999 ** (t + 1))) ** 0.5 + 1e-8)
    best = int(np.argmin(losses))
    return points[best][0], losses[best], stop, converged


def latent_search(g, f, x, z, *options):
    rows = [one(g, f, x[i : i + 1], z[i : i + 1], *options) for i in range(len(x))]
    return [np.array(column) for column in zip(*rows)]


def anogan_score(g, f, x, d, starts, rng, *options):
    best = np.full(len(x), np.inf)
    for start in rng.standard_normal((starts, d)):
        best = np.minimum(best, latent_search(g, f, x, np.array([start] * len(x)), *options)[1])
    return best
