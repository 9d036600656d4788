"""The latent search of AnoGAN (Schlegl et al. 2017): how far is an image from the nearest one that a generator makes?

For an image x, a generator g and features f, both trained and fixed, the score of x is what a search finds of

    min over z of  L(z) = (1 - a) ||x - g(z)||_1 + a ||f(x) - f(g(z))||_1 ,      0 <= a <= 1 .

||.||_1 is the sum of the absolute values of all entries of one image. |u| has the derivative sign(u), and 0 at 0.

`generator` and `features` are objects with two methods, for N points or images at once, row by row:

    forward(v)          g(v)
    vjp(v, gradient)    J(v)^T gradient: dL/dv, when `gradient` is dL/dg at g(v)

The search is Adam (beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8), entry by entry, so that images of a batch do not
influence each other. With the gradient h of step t = 1, 2, ...

    m = 0.9 m + 0.1 h,        v = 0.999 v + 0.001 h^2,
    z = z - rate * (m / (1 - 0.9^t)) / (sqrt(v / (1 - 0.999^t)) + epsilon).

It has converged when the best loss so far fell, within the last `window` steps, by less than `tolerance` of itself.
"""

import numpy as np


def search_loss(generator, features, z: np.ndarray, x: np.ndarray, a: float) -> np.ndarray:
    """L(z) = (1 - a) ||x - g(z)||_1 + a ||f(x) - f(g(z))||_1 for every image.

    z: (N, d).   x: (N, H, W).   features.forward: (N, H, W) -> (N, p).   Returns (N,).
    """
    #: the images that the points make, and what the features say of both
    y = generator.forward(z)
    mismatch = features.forward(y) - features.forward(x)
    #: both distances, summed over all entries of one image
    return (1 - a) * np.abs(y - x).sum(axis=(1, 2)) + a * np.abs(mismatch).sum(axis=1)


def search_gradient(generator, features, z: np.ndarray, x: np.ndarray, a: float) -> np.ndarray:
    """dL/dz of every image's own loss, by the chain rule.

    y = g(z) reaches the loss by two ways, directly and through f. With s = sign(y - x), t = sign(f(y) - f(x)):

        dL/dy = (1 - a) s + a J_f(y)^T t,        dL/dz = J_g(z)^T dL/dy .

    z: (N, d).   x: (N, H, W).   Returns (N, d): row i is the gradient of loss i alone.
    """
    #: forward
    y = generator.forward(z)
    mismatch = features.forward(y) - features.forward(x)
    #: the direct way, and the one through the features
    grad_y = (1 - a) * np.sign(y - x) + features.vjp(y, a * np.sign(mismatch))
    #: back through the generator
    return generator.vjp(z, grad_y)


def when_to_stop(losses: np.ndarray, window: int, tolerance: float) -> tuple[int, bool]:
    """After how many steps the search of one image stops, and whether it has converged.

    B_t is the smallest of L_0, ..., L_t. Whenever another `window` steps are done, at t = window, 2 window, ..., the
    search stops if B_(t - window) - B_t < tolerance B_(t - window). Otherwise it ends with the last step.

    losses: (T + 1,), L_0, ..., L_T, at the start and after every step.   Returns (steps, converged).
    """
    #: the best loss so far, at every step
    best = np.minimum.accumulate(losses)
    #: the first window in which it hardly fell
    for t in range(window, len(losses), window):
        if best[t - window] - best[t] < tolerance * best[t - window]:
            return t, True
    #: none
    return len(losses) - 1, False


def latent_search(
    generator,
    features,
    x: np.ndarray,
    z: np.ndarray,
    a: float,
    steps: int,
    learning_rate: float,
    window: int,
    tolerance: float,
) -> tuple:
    """At most `steps` steps of Adam for each image, from z on; each stops by itself, as `when_to_stop` says.

    The best point counts, not the last one; the start is a point, too.

    x: (N, H, W).   z: (N, d), which stays as it came.
    Returns the best points (N, d), their losses (N,), steps taken (N,), and whether it has converged (N,).
    """
    #: the best so far of each image, and who is still searching
    found, best = z.copy(), np.full(len(z), np.inf)
    taken, searching = np.zeros(len(z), int), np.ones(len(z), bool)
    before = best
    #: Adam's moments
    m, v = np.zeros(z.shape), np.zeros(z.shape)
    for t in range(steps + 1):
        #: look at the points; keep what is better
        losses = search_loss(generator, features, z, x, a)
        better = searching & (losses < best)
        found[better], best[better] = z[better], losses[better]
        taken[searching] = t
        #: at the end of a window, those stop whose best loss hardly fell
        if t % window == 0:
            if t > 0:
                searching &= before - best >= tolerance * before
            before = best.copy()
        #: one step
        if t < steps:
            h = search_gradient(generator, features, z, x, a)
            m, v = 0.9 * m + 0.1 * h, 0.999 * v + 0.001 * h**2
            z = z - learning_rate * (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8)
    return found, best, taken, ~searching


def anogan_score(
    generator,
    features,
    x: np.ndarray,
    latent_dim: int,
    starts: int,
    rng: np.random.Generator,
    a: float,
    steps: int,
    learning_rate: float,
    window: int,
    tolerance: float,
) -> np.ndarray:
    """The smallest loss that `latent_search` finds from several starts: larger for images that nobody can generate.

    The starts are the rows of one draw, rng.standard_normal((starts, latent_dim)). All images begin at the same ones,
    so that the score of an image depends on no other image.

    x: (N, H, W).   Returns (N,).
    """
    #: one draw for all
    points = rng.standard_normal((starts, latent_dim))
    #: from each of them, the search for all images
    losses = [
        latent_search(generator, features, x, np.tile(point, (len(x), 1)), a, steps, learning_rate, window, tolerance)[
            1
        ]
        for point in points
    ]
    #: the best of them
    return np.min(losses, axis=0)
