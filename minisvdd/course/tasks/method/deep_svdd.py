"""The assignment `deep-svdd`: centre, batches, the training loop, and the score."""

import numpy as np
from sklearn.metrics import roc_auc_score

from ....nn import batches
from ....svdd import center
from ....svdd.plain import anomaly_score
from ....svdd.radius import exact_radius_squared
from ...assignment import Assignment, Part, Source
from ...grader.checks import Case, Wrong, compare, difference, values
from ...grader.recording import Log, RecordedLoss, RecordedNetwork, RecordedOptimizer, as_arguments
from ...grader.sandbox import SubmissionError
from ...grader.wire import Seed
from . import deep_svdd_solution as plain

_HANDOUT = """
The whole method in seven short functions. `network` and `optimizer` are given: a network has
`forward(x, training=False)` and `backward(grad_output)`, the optimiser has `step()`. The grader sees every call that
your loop makes, in order.

At home, try the loop with real objects. The grader has no library for you to import, so put this where only you run it,
at the end of the file:

    if __name__ == "__main__":
        from minisvdd import nn
        network = nn.Sequential([nn.Linear(16), nn.LeakyReLU(0.1), nn.Linear(4)])
        network.build((64,), np.random.default_rng(0), dtype=np.float64)
        optimizer = nn.Adam(network, 0.01)

A loop that forgets to call `backward`, or whose loss is scaled wrongly, still prints numbers that fall or scores that
rank well by luck: look at what training adds to the network as it was drawn.
"""

_CENTER_OP, _MEAN_OP = center.move_from_zero, center.mean_output
_EPSILON = 0.1


# The centre


def _centers(rng, kind):
    if kind == "zero":
        return [Case((np.array([0.0, 0.5, -0.0, 0.05]), _EPSILON)), Case((np.zeros(3), 0.2))]
    if kind == "sign":
        return [Case((np.array([-0.01, 0.01, -0.099, -3.0]), _EPSILON)), Case((-0.05 * rng.random(4), 0.1))]
    return [Case((np.array([0.05, 2.0, -1.0, 0.3, 0.1]), _EPSILON)), Case((0.3 * rng.random(6) + 0.01, 0.15))]


_CENTER_FORMS = [
    ("coordinates of exactly 0 stay at 0 (np.sign(0) is 0)", lambda c, e: np.where(np.abs(c) < e, np.sign(c) * e, c)),
    ("negative coordinates lose their sign", lambda c, e: np.where(np.abs(c) < e, e, c)),
    ("all coordinates are moved, not only those near 0", lambda c, e: c + np.where(c < 0, -e, e)),
    ("the centre is returned as it is", lambda c, e: c),
    ("np.maximum: every negative coordinate becomes epsilon", lambda c, e: np.maximum(c, e)),
]


def _mean(student, rng):
    for N in (7, 1):
        log = Log()
        network, X = RecordedNetwork(log, 3, rng), rng.standard_normal((N, 3))
        (stand_in,), table = as_arguments(network)
        given = student.sandbox.call("mean_output", stand_in, X, remotes=table)[0]
        if log.of("forward"):
            raise Wrong("the network was used in training mode: the centre belongs to the network that will score")
        _same(given, network.outputs(X).mean(axis=0), "the mean output", f"X {X.shape}")


# Batches


def _flat(given, n):
    """The submission's batches as index arrays."""
    if not isinstance(given, list | tuple) or not given:
        raise Wrong(f"returned {type(given).__name__}: expected a list of index arrays")
    indices = [np.arange(n)[b] if isinstance(b, slice) else np.asarray(b) for b in given]
    if any(i.ndim != 1 or i.dtype.kind not in "iu" for i in indices):
        raise Wrong("every batch must be a one-dimensional array of indices")
    return indices


def _slices(student, rng):
    for n, size in ((10, 4), (9, 4), (6, 6), (1, 4)):
        given, right = student.call("fixed_batches", n, size), batches.fixed_batches(n, size)
        if not isinstance(given, list | tuple) or not all(isinstance(batch, slice) for batch in given):
            raise Wrong(f"returned {given!r:.80}: expected a list of slices")
        if [range(n)[batch] for batch in given] != [range(n)[batch] for batch in right]:
            single = " A single sample that is left over joins the batch before it." if n % size == 1 < n else ""
            raise Wrong(f"fixed_batches({n}, {size}) is {given}: expected {right}.{single}")


def _partition(student, rng):
    for n, size in ((10, 4), (12, 3), (5, 8)):
        parts = _flat(student.call("shuffled_batches", n, size, _seed(rng)), n)
        together = np.concatenate(parts)
        missing = sorted(set(range(n)) - set(together.tolist()))
        if missing:
            rest = f"the last {n % size} of n = {n}" if len(missing) == n % size else f"{missing[:5]}"
            raise Wrong(f"samples are left out: {rest} (n={n}, batch_size={size}). Is the incomplete batch dropped?")
        if len(together) != n:
            raise Wrong(f"{len(together)} indices for n={n} samples: some are drawn more than once (with replacement?)")


def _sizes(student, rng):
    for n, size in ((10, 4), (9, 4), (13, 6), (1, 4), (6, 6)):
        given = [len(part) for part in _flat(student.call("shuffled_batches", n, size, _seed(rng)), n)]
        right = [len(range(n)[batch]) for batch in batches.fixed_batches(n, size)]
        if given != right:
            single = " A single sample that is left over must join the batch before it." if given[-1] == 1 else ""
            raise Wrong(f"batches of {given} samples: expected {right} (n={n}, batch_size={size}).{single}")


def _shuffled(student, rng):
    seed = _seed(rng)
    first, again, other = (
        np.concatenate(_flat(student.call("shuffled_batches", 40, 10, s), 40)) for s in (seed, seed, _seed(rng))
    )
    if np.array_equal(first, np.arange(40)):
        raise Wrong("the samples are not shuffled: they come in the order 0, 1, 2, ...")
    if not np.array_equal(first, again):
        raise Wrong("the same generator gave another order: take all randomness from rng, none from np.random")
    if np.array_equal(first, other):
        raise Wrong("another generator gave the same order: is a seed set inside the function?")


# One epoch


def _epoch(student, rng, sizes=(4, 4, 2)):
    """Let the submission train one epoch; returns what is needed to judge it.

    Older handouts had losses of two results: where three are too many, the same epoch is trained with two.
    """
    state = rng.bit_generator.state
    try:
        return _recorded_epoch(student, rng, sizes, 3)
    except SubmissionError as error:
        if "too many values to unpack (expected 2" not in str(error):
            raise
    rng.bit_generator.state = state
    return _recorded_epoch(student, rng, sizes, 2)


def _recorded_epoch(student, rng, sizes, results):
    log = Log()
    network, target = RecordedNetwork(log, 3, rng), rng.standard_normal(4)
    optimizer, loss = RecordedOptimizer(log, network), RecordedLoss(log, target, results)
    X = rng.standard_normal((sum(sizes), 3))
    cut = np.split(rng.permutation(len(X)), np.cumsum(sizes)[:-1])
    (a, b, c), table = as_arguments(network, loss, optimizer)
    given = student.sandbox.call("train_epoch", a, b, c, X, cut, remotes=table)[0]
    return given, log, X, cut


def _order(student, rng):
    _, log, _, cut = _epoch(student, rng)
    names, once = log.names(), ["forward", "loss", "backward", "step"]
    if names == once * len(cut):
        return
    for name, message in (
        ("backward", "backward is never called: the weights have no gradient to follow"),
        ("step", "the optimiser's step is never called: nothing is learnt"),
        ("forward", "forward(x, training=True) is never called: in evaluation mode nothing is kept for backward"),
        ("loss", "the loss is never called"),
    ):
        if name not in names:
            raise Wrong(message)
    if names.count("step") == 1 < len(cut) or names.count("backward") == 1 < len(cut):
        raise Wrong(f"one {'step' if names.count('step') == 1 else 'backward'} for {len(cut)} batches: once per batch")
    raise Wrong(f"for each batch expected forward, loss, backward, step; got {', '.join(names[:8])} ...")


def _each_batch(student, rng):
    _, log, X, cut = _epoch(student, rng)
    seen = [details["x"] for details in log.of("forward")]
    for i, batch in enumerate(cut):
        if i >= len(seen) or not np.array_equal(seen[i], X[batch]):
            raise Wrong(
                f"batch {i} of {len(cut)} did not go through forward(x, training=True) as X[batch], in its turn"
            )
    if len(log.of("backward")) != len(cut):
        raise Wrong(f"{len(log.of('backward'))} backward passes for {len(cut)} batches")
    for details, given in zip(log.of("loss"), log.of("backward")):
        text = difference(given["grad_output"], details["grad"], "the gradient handed to backward")
        if text:
            raise Wrong(f"{text}\nit must be what the loss returned, as it is")


def _mean_loss(student, rng):
    given, log, _, cut = _epoch(student, rng, (5, 5, 1))
    losses = np.array([details["value"] for details in log.of("loss")])
    sizes = np.array([len(batch) for batch in cut])
    if len(losses) != len(sizes):
        raise Wrong(f"the loss was called {len(losses)} times for {len(sizes)} batches")
    forms = [
        ("the mean over batches, not over samples: they differ in size", lambda *_: losses.mean()),
        ("the loss of the last batch", lambda *_: losses[-1]),
        ("the sum over batches", lambda *_: losses.sum()),
        ("the sum over samples, not divided by their number", lambda *_: (losses * sizes).sum()),
        ("divided by the number of batches", lambda *_: (losses * sizes).sum() / len(losses)),
    ]
    _same(given, (losses * sizes).sum() / sizes.sum(), "the mean loss", f"batches of {sizes.tolist()}", forms)


# The whole loop


def _sheet(rng, n=92, n_test=150):
    """Normal samples lie near a plane in eight dimensions, anomalies anywhere: (X, X_test, which are anomalies)."""
    plane = rng.standard_normal((2, 8))
    normal = rng.standard_normal((n + n_test, 2)) @ plane + 0.1 * rng.standard_normal((n + n_test, 8))
    anywhere = normal.std() * rng.standard_normal((n_test, 8))
    test = np.concatenate([normal[n:], anywhere])
    return 1 + normal[:n], 1 + test, np.arange(2 * n_test) >= n_test


class _Run:
    """One recorded training run of the submission's `train_deep_svdd`, on points near a plane (`_sheet`)."""

    def __init__(self, student, rng, objective, epochs=6, nu=0.1, radius_every=2, move_most=False):
        self.X, self.test, self.is_anomaly = _sheet(rng)
        self.log = Log()
        self.network = RecordedNetwork(self.log, self.X.shape[1], rng)
        self.nu, self.epochs, self.objective, self.every = nu, epochs, objective, radius_every
        self.start = self.network.outputs(self.X)
        mean = self.start.mean(axis=0)
        self.epsilon = 1.01 * float(np.sort(np.abs(mean))[-2]) if move_most else _EPSILON
        self.right_center = self.used_center = center.move_from_zero(mean, self.epsilon)
        self.auc_before = self._auc()
        (a, b), table = as_arguments(self.network, RecordedOptimizer(self.log, self.network))
        options = (objective, nu, epochs, 32, radius_every, self.epsilon, _seed(rng))
        given = student.sandbox.call("train_deep_svdd", a, b, self.X, *options, remotes=table)[0]
        if not isinstance(given, tuple | list) or len(given) != 3:
            raise Wrong("expected the tuple (center, radius_squared, losses)")
        self.center, self.radius_squared, self.losses = given
        # A wrong centre costs its own part; what is built on it is judged with the submission's own.
        self.used_center = self.center if _is_point(self.center, self.right_center) else self.right_center
        self.auc_after = self._auc()

    def _auc(self):
        scores = ((self.network.outputs(self.test) - self.used_center) ** 2).sum(axis=1)
        return roc_auc_score(self.is_anomaly, scores)

    def batches(self):
        """(outputs, gradient handed to backward) of every step."""
        forward, backward = self.log.of("forward"), self.log.of("backward")
        if len(forward) != len(backward) or not forward:
            raise Wrong(f"{len(forward)} forward passes in training mode, {len(backward)} backward passes: one for one")
        return [(f["y"], b["grad_output"]) for f, b in zip(forward, backward)]


def _is_point(given, like):
    """Whether this is an array that could be a centre."""
    return (
        isinstance(given, np.ndarray)
        and given.shape == like.shape
        and given.dtype.kind == "f"
        and np.isfinite(given).all()
    )


def _center_rule(student, rng):
    run = _Run(student, rng, "one-class", epochs=2, move_most=True)
    forms = [
        (
            "the mean output after training: the centre is fixed before",
            lambda *_: center.move_from_zero(run.network.outputs(run.X).mean(axis=0), run.epsilon),
        ),
        ("the mean output as it is: coordinates near 0 were not moved", lambda *_: run.start.mean(axis=0)),
        ("the mean of the data, not of the outputs", lambda *_: run.X.mean(axis=0)),
        (
            "zero: the output of a network without weights, which Proposition 1 warns of",
            lambda *_: 0 * run.right_center,
        ),
        ("negative coordinates lost their sign", lambda *_: _CENTER_FORMS[1][1](run.start.mean(axis=0), run.epsilon)),
        ("the output of the first sample alone", lambda *_: center.move_from_zero(run.start[0], run.epsilon)),
    ]
    _same(run.center, run.right_center, "the centre", f"X {run.X.shape}", forms)


def _epochs(student, rng):
    run = _Run(student, rng, "one-class")
    seen = sum(len(y) for y, _ in run.batches())
    if seen != run.epochs * len(run.X):
        raise Wrong(f"{seen} samples went through the network: expected {run.epochs} epochs of {len(run.X)}")
    losses = np.asarray(run.losses)
    if losses.shape != (run.epochs,) or losses.dtype.kind != "f":
        raise Wrong(f"expected a list of {run.epochs} losses, one per epoch")
    per_step = [float(((y - run.used_center) ** 2).sum(axis=1).mean()) for y, _ in run.batches()]
    if not losses[-1] < 0.8 * losses[0]:
        raise Wrong(f"the loss does not fall: {losses[0]:.4g} in the first epoch, {losses[-1]:.4g} in the last")
    if not min(per_step) * 0.999 <= losses.min() <= losses.max() <= max(per_step) * 1.001:
        raise Wrong("the losses are not those of the batches: expected the mean of eq. (4) over each epoch")


def _descends(student, rng):
    """Every gradient must be that of eq. (4) for its batch, and training must beat the network as it was drawn."""
    run = _Run(student, rng, "one-class")
    for y, given in run.batches():
        right = 2 / len(y) * (y - run.used_center)
        text = difference(given, right, "dJ/dphi")
        if text:
            _explain_gradient(text, given, y, run)
    if run.log.names().count("step") != len(run.batches()):
        raise Wrong("expected one step of the optimiser for each backward pass")


def _explain_gradient(text, given, y, run):
    forms = [
        ("the wrong sign: outputs are pushed away from the centre", lambda *_: -2 / len(y) * (y - run.used_center)),
        ("the 1/N is missing", lambda *_: 2 * (y - run.used_center)),
        ("the factor 2 is missing", lambda *_: (y - run.used_center) / len(y)),
        ("the centre is 0", lambda *_: 2 / len(y) * y),
        ("the centre moves: each batch has its own mean", lambda *_: 2 / len(y) * (y - y.mean(axis=0))),
        ("divided by n of the whole set, not of the batch", lambda *_: 2 / len(run.X) * (y - run.used_center)),
        ("the centre is not moved from 0", lambda *_: 2 / len(y) * (y - run.start.mean(axis=0))),
    ]
    right = 2 / len(y) * (y - run.used_center)
    compare(given, right, "dJ/dphi", Case(()), _TRAIN, forms=forms)
    raise Wrong(text)


def _improves(student, rng):
    run = _Run(student, rng, "one-class", epochs=10)
    if not run.auc_after > run.auc_before + 0.03:
        raise Wrong(
            f"training adds nothing: test AUC {100 * run.auc_after:.1f} % after it, {100 * run.auc_before:.1f} % before"
        )


def _radius(student, rng):
    run = _Run(student, rng, "soft-boundary", epochs=5, nu=0.2)
    d = ((run.network.outputs(run.X) - run.used_center) ** 2).sum(axis=1)
    last = ((run.log.of("forward")[-1]["y"] - run.used_center) ** 2).sum(axis=1) if run.log.of("forward") else d
    forms = [
        ("an interpolated quantile", lambda *_: np.quantile(d, 1 - run.nu)),
        ("R, where R^2 is asked for", lambda *_: np.sqrt(exact_radius_squared(d, run.nu))),
        ("the distances of the last batch alone", lambda *_: exact_radius_squared(last, run.nu)),
        ("the radius was not solved for after the last epoch", lambda *_: _last_solved(run)),
        ("counted from the smallest distance", lambda *_: np.sort(d)[int(run.nu * len(d))]),
    ]
    _same(run.radius_squared, exact_radius_squared(d, run.nu), "R^2", f"nu={run.nu}, n={len(d)}", forms)


def _last_solved(run):
    """R^2 as an evaluation over the whole set last gave it before the end of training."""
    names = run.log.names()
    end = max(i for i, name in enumerate(names) if name == "step")
    whole = [e["y"] for name, e in run.log.events[:end] if name == "evaluate" and len(e["y"]) == len(run.X)]
    return exact_radius_squared(((whole[-1] - run.used_center) ** 2).sum(axis=1), run.nu)


def _alternates(student, rng):
    """Soft-boundary gradients, with the R^2 of the weights at the start of epochs 0, k, 2k, ..."""
    run = _Run(student, rng, "soft-boundary", epochs=5, nu=0.2)
    steps, rest = divmod(len(run.batches()), run.epochs)
    if rest or not steps:
        raise Wrong(f"{len(run.batches())} steps in {run.epochs} epochs: expected as many in each")
    solved = _solved_after(run)
    for i, (y, given) in enumerate(run.batches()):
        epoch = i // steps // run.every * run.every
        if epoch * steps not in solved:
            raise Wrong(f"R^2 was not solved for over the whole of X at the start of epoch {epoch}")
        squared = solved[epoch * steps]
        outside = ((y - run.used_center) ** 2).sum(axis=1) > squared
        right = 2 / (run.nu * len(y)) * outside[:, None] * (y - run.used_center)
        text = difference(given, right, f"dJ/dphi in step {i}")
        if text:
            raise Wrong(f"{text}\nexpected the gradient of eq. (3) with R^2 = {squared:.4g}, that of epoch {epoch}")


def _solved_after(run):
    """R^2 by the number of steps taken when the whole of X went through the network in evaluation mode."""
    solved, steps = {}, 0
    for name, details in run.log.events:
        steps += name == "backward"
        if name == "evaluate" and len(details["y"]) == len(run.X):
            solved[steps] = exact_radius_squared(((details["y"] - run.used_center) ** 2).sum(axis=1), run.nu)
    return solved


# The score


def _score(student, rng):
    for n, squared in ((6, 0.0), (1, 1.7), (4, 0.3)):
        log = Log()
        network, X, c = RecordedNetwork(log, 3, rng), rng.standard_normal((n, 3)), rng.standard_normal(4)
        (stand_in,), table = as_arguments(network)
        given = student.sandbox.call("anomaly_score", stand_in, X, c, squared, remotes=table)[0]
        d = ((network.outputs(X) - c) ** 2).sum(axis=1)
        if log.of("forward"):
            raise Wrong("the network was used in training mode")
        forms = [
            ("the distance is not squared", lambda *_, d=d, s=squared: np.sqrt(d) - s),
            ("the sign of scikit-learn: here larger is more anomalous", lambda *_, d=d, s=squared: s - d),
            ("R^2 is not subtracted", lambda *_, d=d: d),
            ("R is subtracted where R^2 belongs", lambda *_, d=d, s=squared: d - np.sqrt(s)),
            ("the mean over the coordinates", lambda *_, d=d, s=squared: d / 4 - s),
        ]
        _same(given, d - squared, "the scores", f"X {X.shape}, radius_squared={squared}", forms)


def _same(given, right, label, where, forms=()):
    """`compare` for results that depend on more than the arguments: forms take none of them."""
    compare(given, right, f"{label} ({where})", Case(()), _TRAIN, forms=forms)


def _seed(rng):
    return Seed(int(rng.integers(1 << 31)))


_TRAIN = plain.train_deep_svdd


def _part(name, points, check, hidden=True):
    return Part(name, points, check, hidden)


def _center_part(kind):
    return values(_CENTER_OP, lambda rng: _centers(rng, kind), forms=_CENTER_FORMS)


ASSIGNMENT = Assignment(
    name="deep-svdd",
    title="Deep SVDD: the training loop",
    reading="sections 3.1 and 3.2 of the paper, eq. (3), (4) and (5)",
    handout=_HANDOUT,
    goals=(
        "write a training loop, and say in which mode and order its calls come",
        "put centre, radius, batches and losses together into Deep SVDD as the paper trains it",
        "tell what training added from what the random network could do already",
    ),
    hours="3",
    lectures=("06_deep_svdd", "07_collapse#Proposition 1: the centre"),
    without_forward="""
The helpers are graded by themselves, and so is `anomaly_score`, for which no training is needed. Write `train_epoch`
before `train_deep_svdd`; for "one-class" first, whose radius is asked for only after the last epoch.
""",
    derivation=plain,
    derivation_until="What follows",
    functions=(
        Source(_CENTER_OP),
        Source(_MEAN_OP, instead=(("nn.outputs(network, X)", "network.forward(X, training=False)"),)),
        Source(batches.fixed_batches),
        Source(batches.shuffled_batches),
        Source(plain.train_epoch),
        Source(plain.train_deep_svdd),
        Source(anomaly_score),
    ),
    parts=(
        _part("move_from_zero: values", 4, _center_part("values"), False),
        _part("move_from_zero: zero itself", 5, _center_part("zero")),
        _part("move_from_zero: signs", 3, _center_part("sign")),
        _part("mean_output: values", 6, _mean, False),
        _part("fixed_batches: values", 4, _slices, False),
        _part("shuffled_batches: every sample once", 5, _partition, False),
        _part("shuffled_batches: sizes", 3, _sizes),
        _part("shuffled_batches: shuffled by rng", 4, _shuffled),
        _part("train_epoch: forward, loss, backward, step", 8, _order, False),
        _part("train_epoch: each batch, and its gradient as it is", 6, _each_batch),
        _part("train_epoch: mean loss", 6, _mean_loss),
        _part("train_deep_svdd: centre", 8, _center_rule, False),
        _part("train_deep_svdd: epochs, the loss falls", 6, _epochs),
        _part("train_deep_svdd: gradient of eq. (4)", 8, _descends),
        _part("train_deep_svdd: better than before training", 4, _improves),
        _part("train_deep_svdd: radius", 6, _radius),
        _part("train_deep_svdd: alternation, eq. (3)", 6, _alternates),
        _part("anomaly_score: values", 8, _score),
    ),
)
