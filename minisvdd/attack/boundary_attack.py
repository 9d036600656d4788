"""The Boundary Attack (Brendel, Rauber, Bethge, ICLR 2018): adversarial images from a classifier's decisions alone.

Nothing is asked of the opponent but `predict(images) -> labels`: no gradient, no probability. The attack starts at any
image that is classified as wished, however far from the original, and walks along the boundary of that class toward it.

One step. x is the original, y the present adversarial image, d = ||y - x|| and u = (y - x) / d. For a Gaussian image g

    w = delta d (g - <g, u> u) / ||g - <g, u> u||      orthogonal to u, of length delta d
    s = x + (d u + w) / sqrt(1 + delta^2)              on the sphere of radius d around x, since ||d u + w||^2 =
                                                       d^2 + delta^2 d^2: the orthogonal step
    y' = clip(x + (1 - epsilon) (s - x), 0, 1)         the step toward the original

||s - x|| = d, hence ||y' - x|| <= (1 - epsilon) d: clipping is the projection onto the box, a convex set that holds x,
and projections never move a point further away from one inside. y' takes y's place if it is adversarial.

How large should the steps be? Near y let the boundary be a hyperplane with y on it, and let theta be the angle between
u and its normal v, in n dimensions. Then <w, v> = delta d sin(theta) z / sqrt(n) with z standard normal, and to second
order y' lies on the adversarial side if

    a z - a^2 / 2 > e,     a = delta sqrt(n) / tan(theta),   e = epsilon n / tan(theta)^2

(the term a^2 / 2 is what returning to the sphere costs). A step of size e succeeds with probability Q(k), k = (a^2 / 2
+ e) / a. For given k, e = a k - a^2 / 2 is largest at a = k, and the mean gain per query, Q(k) k^2 / 2, at k = 1.19.
There an orthogonal step alone stays adversarial with probability Q(a / 2) = 0.28, and both together with Q(k) = 0.12.
Neither theta nor n is known, but these two rates can be seen, and each step size is adapted to its own: log delta
moves by RATE (1 - 0.28) when an orthogonal step alone stays adversarial and by -0.28 RATE when not, so that it rests
where the rate is 0.28, and log epsilon likewise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..files.progress import Progress
from ..validation import check_number

SPHERE_ACCEPTANCE, STEP_ACCEPTANCE = 0.28, 0.12
# How fast log delta and log epsilon follow the acceptance rates, and how often an orthogonal step is tried alone.
RATE, SPHERE_EVERY = 0.15, 5
_LARGEST_DELTA, _LARGEST_EPSILON = 1.0, 0.5


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What became of n images.

    adversarials: like the images; where the attack failed, the original itself.   success: (n,) bool.
    distances: (n,) L2 distance to the original, infinite where the attack failed.   start_distances: (n,) at the start.
    predicted: (n,) what the opponent says of `adversarials`.   queries: (n,) images that it was asked about.
    curve_queries, curve_distances: (T, n): queries so far and the distance reached, on the way.
    """

    adversarials: np.ndarray
    success: np.ndarray
    distances: np.ndarray
    start_distances: np.ndarray
    predicted: np.ndarray
    queries: np.ndarray
    curve_queries: np.ndarray
    curve_distances: np.ndarray


def boundary_attack(
    predict: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    rng: np.random.Generator,
    targets: np.ndarray | None = None,
    starts: np.ndarray | None = None,
    queries: int = 10_000,
    start_queries: int = 500,
    tolerance: float = 1e-7,
    verbose: int = 0,
) -> AttackResult:
    """Move every image as little as possible so that `predict` no longer gives its label, or gives its target.

    predict: any callable from (m, ...) images to (m,) labels; it gets copies, and may work in place.   images: (n, ...)
    floats in [0, 1].   labels: (n,) true labels.   targets: (n,) labels to reach, else any other label will do.
    starts: (k, ...) images among which an adversarial starting point is drawn at random, else uniform noise.
    queries: largest number of images of one attack that `predict` is asked about, the search for a start (at most
    `start_queries`) included.
    tolerance: an image is finished early once its step toward the original is a smaller fraction of the distance.

    An image that is adversarial as it is stays as it is, at distance 0. Every image has a random generator of its own,
    drawn from `rng`: same seed, same images; and only unfinished images are asked about.
    Raises ValueError for images outside [0, 1], shapes that do not fit together, a target that is the true label.
    """
    images, labels, targets, starts = _checked(images, labels, targets, starts)
    check_number(queries, "queries", 1, integer=True)
    check_number(start_queries, "start_queries", 1, integer=True)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng={rng!r}: expected a numpy.random.Generator, such as numpy.random.default_rng(0)")
    walk = _Walk(
        predict, images, labels, targets, [np.random.default_rng(s) for s in rng.integers(2**62, size=len(images))]
    )
    walk.ask_originals()
    walk.find_starts(starts, min(start_queries, queries))
    start_distances = walk.distances.copy()
    curve_queries, curve_distances = _curve_of(walk, queries, tolerance, verbose)
    return AttackResult(
        walk.points,
        np.isfinite(walk.distances),
        walk.distances,
        start_distances,
        walk.point_labels,
        walk.queries,
        curve_queries,
        curve_distances,
    )


def _curve_of(walk, queries, tolerance, verbose):
    """Go all walks to their ends. Returns queries and distances of every image, (c, n) each, on the way."""
    progress = Progress("boundary attack, query", queries, verbose)
    checkpoints = set(np.geomspace(1, max(queries, 2), 120).astype(int))
    curve = [(walk.queries.copy(), walk.distances.copy())]
    step = 0
    while len(active := walk.active(queries, tolerance)):
        walk.step(active, try_sphere=step % SPHERE_EVERY == 0)
        step += 1
        if step in checkpoints:
            curve.append((walk.queries.copy(), walk.distances.copy()))
            progress.update(int(walk.queries.max()), f"median L2 {np.median(walk.distances):.3g}")
    curve.append((walk.queries.copy(), walk.distances.copy()))
    progress.update(queries, f"median L2 {np.median(walk.distances):.3g}")
    return tuple(np.stack(values) for values in zip(*curve))


@dataclass(eq=False)
class _Walk:
    """All images' walks. `points` are always images that `predict` was asked about, and `point_labels` its answers."""

    predict: Callable
    originals: np.ndarray
    labels: np.ndarray
    targets: np.ndarray | None
    generators: list
    points: np.ndarray = field(init=False)

    def __post_init__(self):
        n = len(self.originals)
        self.points = self.originals.copy()
        self.distances = np.full(n, np.inf)
        self.queries = np.zeros(n, int)
        self.delta, self.epsilon = np.full(n, 0.1), np.full(n, 0.1)

    def ask(self, candidates, rows):
        """Labels that `predict` gives to candidates of the images `rows`, and whether those are adversarial."""
        answer = np.asarray(self.predict(candidates.copy()))
        if answer.shape != (len(candidates),):
            raise ValueError(
                f"predict returned shape {answer.shape} for {len(candidates)} images: expected one label each"
            )
        np.add.at(self.queries, rows, 1)
        wished = answer != self.labels[rows] if self.targets is None else answer == self.targets[rows]
        return answer, wished

    def accept(self, candidates, answer, rows):
        """Take candidates as the present points of the images `rows`."""
        self.points[rows], self.point_labels[rows] = candidates, answer
        self.distances[rows] = _norms(candidates - self.originals[rows].astype(np.float64))

    def ask_originals(self):
        """An image that is adversarial already needs no attack."""
        rows = np.arange(len(self.originals))
        self.point_labels, wished = self.ask(self.originals, rows)
        self.distances[wished] = 0.0

    def find_starts(self, starts, most):
        """Draw an adversarial starting point for every image, from `starts` without repetition or from noise."""
        orders = None if starts is None else [generator.permutation(len(starts)) for generator in self.generators]
        tries = most - 1 if starts is None else min(most - 1, len(starts))
        for attempt in range(tries):
            rows = np.flatnonzero(np.isinf(self.distances))
            if not len(rows):
                return
            if starts is None:
                shape, dtype = self.originals.shape[1:], self.originals.dtype
                candidates = np.stack([self.generators[i].random(shape, dtype) for i in rows])
            else:
                candidates = starts[[orders[i][attempt] for i in rows]]
            answer, wished = self.ask(candidates, rows)
            self.accept(candidates[wished], answer[wished], rows[wished])

    def active(self, queries, tolerance):
        """Images with a start that may be asked about once more and are not finished."""
        walking = np.isfinite(self.distances) & (self.distances > 0) & (self.epsilon > tolerance)
        return np.flatnonzero(walking & (self.queries < queries - 1))

    def step(self, rows, try_sphere):
        """One query for every image in `rows`, or two with `try_sphere`: the module's docstring derives the step."""
        x = self.originals[rows].astype(np.float64)
        on_sphere = orthogonal_step(x, self.points[rows], self.delta[rows], [self.generators[i] for i in rows])
        closer = x + _column(1 - self.epsilon[rows], x) * (on_sphere - x)
        candidates = np.clip(closer, 0, 1).astype(self.originals.dtype)
        if try_sphere:
            sphere = np.clip(on_sphere, 0, 1).astype(self.originals.dtype)
            answer, wished = self.ask(np.concatenate([candidates, sphere]), np.concatenate([rows, rows]))
            _adapt(self.delta, rows, wished[len(rows) :], SPHERE_ACCEPTANCE, _LARGEST_DELTA)
            answer, wished = answer[: len(rows)], wished[: len(rows)]
        else:
            answer, wished = self.ask(candidates, rows)
        _adapt(self.epsilon, rows, wished, STEP_ACCEPTANCE, _LARGEST_EPSILON)
        wished = wished & (_norms(candidates - x) < self.distances[rows])  # rounding must not lead away
        self.accept(candidates[wished], answer[wished], rows[wished])


def orthogonal_step(originals: np.ndarray, points: np.ndarray, delta: np.ndarray, generators: list) -> np.ndarray:
    """A random step of relative length `delta` from each point on the sphere around its original, back on the sphere.

    originals, points: (m, ...), delta: (m,), generators: m Generators. Returns float64, like originals.
    """
    away = points - originals
    noise = np.stack([generator.standard_normal(originals.shape[1:]) for generator in generators])
    inner = (noise * away).sum(axis=tuple(range(1, away.ndim)))
    noise -= _column(inner / _norms(away) ** 2, away) * away
    noise *= _column(delta * _norms(away) / _norms(noise), away)
    return originals + (away + noise) / np.sqrt(1 + _column(delta, away) ** 2)


def _adapt(step_sizes, rows, accepted, target, largest):
    moved = step_sizes[rows] * np.exp(RATE * (accepted - target))
    step_sizes[rows] = np.minimum(moved, largest)


def _norms(x):
    return np.sqrt(np.square(x).sum(axis=tuple(range(1, x.ndim))))


def _column(values, like):
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _checked(images, labels, targets, starts):
    images = np.asarray(images)
    if images.dtype.kind != "f" or images.ndim < 2 or not len(images):
        raise ValueError(f"images: expected floats (n, ...), found {images.dtype} {images.shape}")
    named = [("images", images)]
    if starts is not None:
        starts = np.asarray(starts, images.dtype)
        if starts.shape[1:] != images.shape[1:] or not len(starts):
            raise ValueError(f"starts have shape {starts.shape}: expected (k, *{images.shape[1:]}) with k >= 1")
        named.append(("starts", starts))
    for name, array in named:
        if not (array.min() >= 0 and array.max() <= 1):  # also refuses NaN
            raise ValueError(f"{name}: expected values in [0, 1], found {array.min()} to {array.max()}")
    labels = np.asarray(labels)
    targets = None if targets is None else np.asarray(targets)
    for name, given in (("labels", labels), ("targets", targets)):
        if given is not None and given.shape != (len(images),):
            raise ValueError(f"{name} have shape {given.shape}: expected one for each of {len(images)} images")
    if targets is not None and (targets == labels).any():
        raise ValueError(f"targets: image {np.argmax(targets == labels)} has its own label as target")
    return images, labels, targets, starts
