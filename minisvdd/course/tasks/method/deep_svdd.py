"""The assignment `deep-svdd`: centre, batches, the training loop, and the score."""

import numpy as np

from ....nn import batches
from ....svdd import center
from ....svdd.plain import anomaly_score
from ...assignment import Assignment, Part, Source
from ...grader.checks import Case, Wrong, check_untouched, difference, values
from ...grader.recording import Log, RecordedLoss, RecordedNetwork, RecordedOptimizer, as_arguments
from ...grader.sandbox import SubmissionError
from . import deep_svdd_loop
from . import deep_svdd_solution as plain
from .deep_svdd_loop import same, seed

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

_CENTER_OP = center.move_from_zero
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


def _untouched(student, rng):
    for case in _centers(rng, "sign"):
        _, after = student.sandbox.call(_CENTER_OP.__name__, *case.arguments)
        check_untouched(_CENTER_OP, case.arguments, after)


def _mean(student, rng):
    for N in (7, 1):
        log = Log()
        network, X = RecordedNetwork(log, 3, rng), rng.standard_normal((N, 3))
        (stand_in,), table = as_arguments(network)
        given = student.sandbox.call("mean_output", stand_in, X, remotes=table)[0]
        if log.of("forward"):
            raise Wrong("the network was used in training mode: the centre belongs to the network that will score")
        y = network.outputs(X)
        forms = [
            ("the mean over the coordinates, not over the samples", lambda *_, y=y: y.mean(axis=1)),
            ("one mean of all numbers: every coordinate has its own", lambda *_, y=y: y.mean()),
            ("the sum over the samples, not divided by their number", lambda *_, y=y: y.sum(axis=0)),
            ("the median of the samples", lambda *_, y=y: np.median(y, axis=0)),
            ("the output of the last sample alone", lambda *_, y=y: y[-1]),
            ("the output of the first sample alone", lambda *_, y=y: y[0]),
        ]
        same(given, y.mean(axis=0), "the mean output", f"X {X.shape}", forms)


def _in_double(student, rng):
    """The outputs of a network in float32 are averaged in float64."""
    network, X = RecordedNetwork(Log(), 3, rng, dtype=np.float32), rng.standard_normal((50, 3))
    (stand_in,), table = as_arguments(network)
    given = student.sandbox.call("mean_output", stand_in, X, remotes=table)[0]
    if getattr(given, "dtype", None) == np.float32:
        raise Wrong("the mean of a network's float32 outputs is float32: it is asked for in float64")
    right = network.outputs(X).mean(axis=0)  # in float32: outputs depend, by rounding, on how many samples go together
    same(given, right, "the mean output of a network in float32", f"X {X.shape}")


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
    for n, size in ((10, 4), (9, 4), (5, 4), (6, 6), (1, 4)):
        given, right = student.call("fixed_batches", n, size), batches.fixed_batches(n, size)
        if not isinstance(given, list | tuple) or not all(isinstance(batch, slice) for batch in given):
            raise Wrong(f"returned {given!r:.80}: expected a list of slices")
        if [range(n)[batch] for batch in given] != [range(n)[batch] for batch in right]:
            single = " A single sample that is left over joins the batch before it." if n % size == 1 < n else ""
            raise Wrong(f"fixed_batches({n}, {size}) is {given}: expected {right}.{single}")


def _partition(student, rng):
    for n, size in ((10, 4), (12, 3), (5, 8)):
        parts = _flat(student.call("shuffled_batches", n, size, seed(rng)), n)
        if max(map(len, parts)) > size + 1:
            raise Wrong(f"a batch of {max(map(len, parts))} samples: expected batch_size={size} of them")
        together = np.concatenate(parts)
        missing = sorted(set(range(n)) - set(together.tolist()))
        if missing:
            rest = f"the last {n % size} of n = {n}" if len(missing) == n % size else f"{missing[:5]}"
            raise Wrong(f"samples are left out: {rest} (n={n}, batch_size={size}). Is the incomplete batch dropped?")
        if len(together) != n:
            raise Wrong(f"{len(together)} indices for n={n} samples: some are drawn more than once (with replacement?)")


def _sizes(student, rng):
    for n, size in ((10, 4), (9, 4), (5, 4), (13, 6), (1, 4), (6, 6)):
        given = [len(part) for part in _flat(student.call("shuffled_batches", n, size, seed(rng)), n)]
        right = [len(range(n)[batch]) for batch in batches.fixed_batches(n, size)]
        if given != right:
            single = " A single sample that is left over must join the batch before it." if given[-1] == 1 else ""
            raise Wrong(f"batches of {given} samples: expected {right} (n={n}, batch_size={size}).{single}")


def _shuffled(student, rng):
    one, two = seed(rng), seed(rng)
    given = [_flat(student.call("shuffled_batches", 40, 10, s), 40) for s in (one, one, two)]
    if any(sorted(map(len, parts)) != [10] * 4 for parts in given):
        raise Wrong(f"batches of {[len(part) for part in given[0]]} samples: expected 4 of 10")
    first, again, other = map(np.concatenate, given)
    if np.array_equal(first, np.arange(40)):
        raise Wrong("the samples are not shuffled: they come in the order 0, 1, 2, ...")
    if not np.array_equal(first, again):
        raise Wrong("the same generator gave another order: take all randomness from rng, none from np.random")
    if len(set(first.tolist())) < 40:
        raise Wrong("some samples are drawn more than once, others never: shuffle, do not draw with replacement")
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
    for i, (details, y, batch) in enumerate(zip(log.of("loss"), log.of("forward"), cut)):
        if not np.array_equal(details["y"], y["y"]) or not np.array_equal(details["x"], X[batch]):
            raise Wrong(f"in batch {i} the loss did not get the outputs and the inputs of this batch, loss(outputs, x)")
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
    same(given, (losses * sizes).sum() / sizes.sum(), "the mean loss", f"batches of {sizes.tolist()}", forms)


# The score


def _score(student, rng):
    for n, squared in ((6, 0.0), (1, 1.7), (4, 0.3)):
        log = Log()
        network, X, c = RecordedNetwork(log, 3, rng), rng.standard_normal((n, 3)), rng.standard_normal(4)
        (stand_in,), table = as_arguments(network)
        given = student.sandbox.call("anomaly_score", stand_in, X, c, squared, remotes=table)[0]
        y = network.outputs(X)
        d = ((y - c) ** 2).sum(axis=1)
        if log.of("forward"):
            raise Wrong("the network was used in training mode")
        forms = [
            ("the distance is not squared", lambda *_, d=d, s=squared: np.sqrt(d) - s),
            ("the sign of scikit-learn: here larger is more anomalous", lambda *_, d=d, s=squared: s - d),
            ("R^2 is not subtracted", lambda *_, d=d: d),
            ("R is subtracted where R^2 belongs", lambda *_, d=d, s=squared: d - np.sqrt(s)),
            ("the mean over the coordinates", lambda *_, d=d, s=squared: d / 4 - s),
            ("distance less radius, where both are to be squared", lambda *_, d=d, s=squared: np.sqrt(d) - np.sqrt(s)),
            ("R^4 is subtracted: `radius_squared` is squared already", lambda *_, d=d, s=squared: d - s**2),
            ("R^2 is added", lambda *_, d=d, s=squared: d + s),
            ("divided by R^2, not less R^2", lambda *_, d=d, s=squared: d / s),
            ("samples inside the sphere get 0: the score is below 0 there", lambda *_, d=d, s=squared: (
                np.maximum(0, d - s))),
            ("the distance from 0, not from the centre", lambda *_, y=y, s=squared: (y**2).sum(axis=1) - s),
            ("scores are rescaled by those of other samples: each depends on its own sample alone", lambda *_, d=d: (
                (d - d.min()) / max(d.max() - d.min(), 1e-12))),
            ("scores are standardised by those of other samples: each depends on its own sample alone",
                lambda *_, d=d: (d - d.mean()) / d.std()),
            ("one number for all samples", lambda *_, d=d, s=squared: d.sum() - s),
        ]  # fmt: skip
        same(given, d - squared, "the scores", f"X {X.shape}, radius_squared={squared}", forms)


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
        deep_svdd_loop.MEAN_OUTPUT,
        Source(batches.fixed_batches),
        Source(batches.shuffled_batches),
        Source(plain.train_epoch),
        Source(plain.train_deep_svdd),
        Source(anomaly_score),
    ),
    parts=(
        _part("move_from_zero: values", 4, _center_part("values"), False),
        _part("move_from_zero: zero itself", 4, _center_part("zero")),
        _part("move_from_zero: signs", 3, _center_part("sign")),
        Part("move_from_zero: center stays as it is", 1, _untouched, True, form=True),
        _part("mean_output: values", 5, _mean, False),
        _part("mean_output: in float64", 1, _in_double),
        _part("fixed_batches: values", 4, _slices, False),
        _part("shuffled_batches: every sample once", 5, _partition, False),
        _part("shuffled_batches: sizes", 3, _sizes),
        _part("shuffled_batches: shuffled by rng", 4, _shuffled),
        _part("train_epoch: forward, loss, backward, step", 8, _order, False),
        _part("train_epoch: each batch, and its gradient as it is", 6, _each_batch),
        _part("train_epoch: mean loss", 6, _mean_loss),
        _part("train_deep_svdd: centre", 8, deep_svdd_loop.center_rule, False),
        _part("train_deep_svdd: epochs, the loss falls", 5, deep_svdd_loop.epochs),
        _part("train_deep_svdd: every epoch shuffled anew", 4, deep_svdd_loop.shuffled),
        _part("train_deep_svdd: gradient of eq. (4)", 7, deep_svdd_loop.descends),
        _part("train_deep_svdd: better than before training", 2, deep_svdd_loop.improves),
        _part("train_deep_svdd: radius", 5, deep_svdd_loop.radius),
        _part("train_deep_svdd: radius, nu n whole up to rounding", 1, deep_svdd_loop.whole_count),
        _part("train_deep_svdd: alternation, eq. (3)", 6, deep_svdd_loop.alternates),
        _part("anomaly_score: values", 8, _score),
    ),
)
