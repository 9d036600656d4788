"""The checks of `train_deep_svdd`: one recorded run of the submission's loop, judged step by step."""

import numpy as np

from ....nn import batches
from ....svdd import center
from ....svdd.radius import exact_radius_squared
from ...assignment import Source
from ...by_itself import by_itself
from ...grader.checks import Case, Wrong, compare, difference, results_of
from ...grader.recording import Log, RecordedNetwork, RecordedOptimizer, as_arguments
from ...grader.wire import Seed
from . import deep_svdd_solution as plain

BATCH_SIZE = 32
_EPSILON = 0.1
_ROUNDING = 1e-9  # of R^2: so near to it a distance may lie on either side
_TRAIN = plain.train_deep_svdd
MEAN_OUTPUT = Source(center.mean_output, instead=(("nn.outputs(network, X)", "network.forward(X, training=False)"),))


def same(given, right, label, where, forms=()):
    """`compare` for results that depend on more than the arguments: forms take none of them."""
    compare(given, right, f"{label} ({where})", Case(()), _TRAIN, forms=forms)


def seed(rng):
    """A generator for the submission."""
    return Seed(int(rng.integers(1 << 31)))


# A mistake in a helper costs the helper's own parts: the loop is judged with the library's helpers, too

_EPOCH = Source(
    plain.train_epoch,
    instead=(
        ("value, grad_output, _ = loss(network", "value, grad_output = loss(network"),
        ("training=True), x)", "training=True), x)[:2]"),  # older handouts had losses of two results
    ),
)
_HELPERS = (
    Source(center.move_from_zero),
    MEAN_OUTPUT,
    Source(batches.fixed_batches),
    Source(batches.shuffled_batches),
    _EPOCH,
)


def _by_itself(check):
    return by_itself(check, _HELPERS)


# One run


def _sheet(rng, n, n_test=150):
    """Normal samples lie near a plane in eight dimensions, anomalies anywhere: (X, X_test, which are anomalies)."""
    plane = rng.standard_normal((2, 8))
    normal = rng.standard_normal((n + n_test, 2)) @ plane + 0.1 * rng.standard_normal((n + n_test, 8))
    anywhere = normal.std() * rng.standard_normal((n_test, 8))
    test = np.concatenate([normal[n:], anywhere])
    return 1 + normal[:n], 1 + test, np.arange(2 * n_test) >= n_test


class _Run:
    """One recorded training run of the submission's `train_deep_svdd`, on points near a plane (`_sheet`)."""

    def __init__(
        self, student, rng, objective, epochs=6, nu=0.1, radius_every=2, n=92, move_most=False, learning_rate=0.01
    ):
        self.X, self.test, self.is_anomaly = _sheet(rng, n)
        self.log = Log()
        self.network = RecordedNetwork(self.log, self.X.shape[1], rng)
        self.nu, self.epochs, self.objective, self.every = nu, epochs, objective, radius_every
        self.start = self.network.outputs(self.X)
        mean = self.start.mean(axis=0)
        self.epsilon = 1.01 * float(np.sort(np.abs(mean))[-2]) if move_most else _EPSILON
        self.right_center = self.used_center = center.move_from_zero(mean, self.epsilon)
        self.before = self._scores()
        optimizer = RecordedOptimizer(self.log, self.network, learning_rate)
        (a, b), table = as_arguments(self.network, optimizer)
        options = (objective, nu, epochs, BATCH_SIZE, radius_every, self.epsilon, seed(rng))
        given = student.sandbox.call("train_deep_svdd", a, b, self.X, *options, remotes=table)[0]
        self.center, self.radius_squared, self.losses = results_of(given, ("center", "radius_squared", "losses"))
        # A wrong centre costs its own part; what is built on it is judged with the submission's own.
        self.used_center = self.center if _is_point(self.center, self.right_center) else self.right_center
        self.after = self._scores()
        if not np.isfinite(self.after).all():
            raise Wrong("after training the outputs of the network are not finite")

    def _scores(self):
        return self.distances(self.network.outputs(self.test))

    def distances(self, outputs):
        """Squared distances to the centre in use."""
        return ((outputs - self.used_center) ** 2).sum(axis=1)

    def batches(self):
        """(outputs, gradient handed to backward) of every step."""
        return [(forward["y"], gradient) for forward, gradient in self._steps()]

    def rows(self):
        """The samples of every step, as their indices in X."""
        number = {row.tobytes(): i for i, row in enumerate(self.X)}
        return [[number.get(row.tobytes(), -1) for row in forward["x"]] for forward, _ in self._steps()]

    def _steps(self):
        """(forward pass in training mode, gradient) of every backward pass."""
        steps, last = [], None
        for name, details in self.log.events:
            if name == "forward":
                last = details
            elif name == "backward":
                if last is None:
                    raise Wrong("a backward pass without a forward pass in training mode before it")
                steps.append((last, details["grad_output"]))
                last = None
        if not steps:
            raise Wrong("there is no backward pass: nothing is trained")
        return steps

    def only_for_outputs(self):
        """Forward passes in training mode that no backward pass follows: (before training, later)."""
        names = [name for name in self.log.names() if name in ("forward", "backward")]
        first = next((i for i, name in enumerate(names) if name == "backward"), len(names))
        unused = [i for i, pair in enumerate(zip(names, [*names[1:], "forward"])) if pair == ("forward", "forward")]
        return sum(i < first for i in unused), sum(i >= first for i in unused)

    def moving_centers(self):
        """For every step the mean output when all of X was last evaluated: a centre that moves."""
        means = [(taken, center.move_from_zero(y.mean(axis=0), self.epsilon)) for taken, y in self.whole_outputs()]
        means.insert(0, (0, self.right_center))
        return [[mean for taken, mean in means if taken <= i][-1] for i in range(len(self._steps()))]

    def whole_outputs(self):
        """(steps taken before, outputs) whenever all of X went through the network as it is evaluated, in any parts."""
        number, found, steps, seen = {row.tobytes(): i for i, row in enumerate(self.X)}, [], 0, {}
        for name, details in self.log.events:
            if name == "step":
                steps, seen = steps + 1, {}
            if name == "evaluate":
                seen |= {number.get(row.tobytes(), -1): y for row, y in zip(details["x"], details["y"])}
                if all(i in seen for i in range(len(self.X))):
                    found.append((steps, np.array([seen[i] for i in range(len(self.X))])))
                    seen = {}
        return found


def _is_point(given, like):
    """Whether this is an array that could be a centre."""
    return (
        isinstance(given, np.ndarray)
        and given.shape == like.shape
        and given.dtype.kind == "f"
        and np.isfinite(given).all()
    )


# The centre


def _sign_lost(mean, epsilon):
    return np.where(np.abs(mean) < epsilon, epsilon, mean)


@_by_itself
def center_rule(student, rng):
    """The mean output before training, moved from zero."""
    run = _Run(student, rng, "one-class", epochs=2, move_most=True)
    if run.only_for_outputs()[0]:
        raise Wrong(
            "the network was used in training mode before training: the centre belongs to the network that scores"
        )
    mean, moved = run.start.mean(axis=0), center.move_from_zero
    forms = [
        (
            "the mean output after training: the centre is fixed before",
            lambda *_: moved(run.network.outputs(run.X).mean(axis=0), run.epsilon),
        ),
        ("the mean output as it is: coordinates near 0 were not moved", lambda *_: mean),
        ("the mean of the data, not of the outputs", lambda *_: run.X.mean(axis=0)),
        (
            "zero: the output of a network without weights, which Proposition 1 warns of",
            lambda *_: 0 * run.right_center,
        ),
        ("negative coordinates lost their sign", lambda *_: _sign_lost(mean, run.epsilon)),
        ("the output of the first sample alone", lambda *_: moved(run.start[0], run.epsilon)),
        (
            "the mean output of the first batch alone",
            lambda *_: moved(run.start[:BATCH_SIZE].mean(axis=0), run.epsilon),
        ),
        ("moved by 0.1, not by center_epsilon", lambda *_: moved(mean, 0.1)),
        ("the median of the outputs, not their mean", lambda *_: moved(np.median(run.start, axis=0), run.epsilon)),
        *(
            (
                "the mean output of a later epoch: the centre is fixed before training",
                lambda *_, y=y: moved(y.mean(axis=0), run.epsilon),
            )
            for steps, y in run.whole_outputs()
            if steps
        ),
    ]
    same(run.center, run.right_center, "the centre", f"X {run.X.shape}", forms)


# Epochs and batches


@_by_itself
def epochs(student, rng):
    """So many epochs over all of X, and the losses that are returned."""
    run = _Run(student, rng, "one-class")
    seen = sum(len(y) for y, _ in run.batches())
    if seen != run.epochs * len(run.X):
        raise Wrong(f"{seen} samples went through the network: expected {run.epochs} epochs of {len(run.X)}")
    d = [run.distances(y).mean() for y, _ in run.batches()]
    moving = [((y - c) ** 2).sum(axis=1).mean() for (y, _), c in zip(run.batches(), run.moving_centers())]
    _check_losses(run, d, "eq. (4)", moving)
    losses = np.asarray(run.losses)
    if not losses[-1] < 0.8 * losses[0]:
        raise Wrong(f"the loss does not fall: {losses[0]:.4g} in the first epoch, {losses[-1]:.4g} in the last")


def _check_losses(run, of_batch, equation, moving=None):
    """The epochs' losses are means over samples of the batches' losses.  moving: those to a centre that moves."""
    losses = np.asarray(run.losses)
    if losses.shape != (run.epochs,) or losses.dtype.kind != "f":
        raise Wrong(f"expected a list of {run.epochs} losses, one per epoch")
    per_epoch, rest = divmod(len(of_batch), run.epochs)
    if rest or not per_epoch:
        raise Wrong(f"{len(of_batch)} steps in {run.epochs} epochs: expected as many in each")
    values = np.array(of_batch).reshape(run.epochs, per_epoch)
    sizes = np.array([len(y) for y, _ in run.batches()]).reshape(values.shape)
    forms = [
        ("the mean over batches, not over samples: they differ in size", lambda *_: values.mean(axis=1)),
        ("the loss of the last batch", lambda *_: values[:, -1]),
        ("the sum over batches", lambda *_: values.sum(axis=1)),
        ("the sum over samples, not divided by their number", lambda *_: (values * sizes).sum(axis=1)),
    ]
    if moving is not None:
        other = np.reshape(moving, values.shape)
        forms.append(("distances to a centre that moves", lambda *_: (other * sizes).sum(axis=1) / sizes.sum(axis=1)))
    right = (values * sizes).sum(axis=1) / sizes.sum(axis=1)
    same(losses, right, "the losses", f"{equation}, a mean over the samples of an epoch", forms)


@_by_itself
def shuffled(student, rng):
    """Every epoch takes each sample once, in batches of the right sizes, in an order of its own that comes from rng."""
    state = rng.bit_generator.state
    run = _Run(student, rng, "one-class", epochs=3)
    orders = _orders(run)
    if any(order == sorted(order) for order in orders):
        raise Wrong("the samples are not shuffled: they come in the order 0, 1, 2, ...")
    if len({tuple(order) for order in orders}) < len(orders):
        raise Wrong("the same batches in every epoch: shuffle anew at the start of each")
    rng.bit_generator.state = state
    again, other = (
        _orders(_Run(student, rng, "one-class", epochs=1)),
        _orders(_Run(student, rng, "one-class", epochs=1)),
    )
    if again[0] != orders[0]:
        raise Wrong("the same generator gave another order: take all randomness from rng, none from np.random")
    if other[0] == orders[0]:
        raise Wrong("another generator gave the same order: is a seed set inside the function?")


def _orders(run):
    """The samples' numbers in the order of each epoch."""
    steps, n = run.rows(), len(run.X)
    sizes = [len(range(n)[batch]) for batch in batches.fixed_batches(n, BATCH_SIZE)]
    if sorted(map(len, steps)) != sorted(sizes * run.epochs):
        seen = [len(step) for step in steps[: len(sizes)]]
        raise Wrong(
            f"{len(steps)} batches, the first of {seen} samples: expected {sizes} in each of {run.epochs} epochs"
        )
    together = [i for step in steps for i in step]
    orders = [together[start : start + n] for start in range(0, len(together), n)]
    if any(sorted(order) != list(range(n)) for order in orders):
        raise Wrong("an epoch takes some samples more than once and leaves others out")
    return orders


# One-class


@_by_itself
def descends(student, rng):
    """Every gradient must be that of eq. (4) for its batch."""
    _check_gradients(_Run(student, rng, "one-class"))


def _check_gradients(run):
    for i, (y, given) in enumerate(run.batches()):
        right = 2 / len(y) * (y - run.used_center)
        if difference(given, right, "dJ/dphi"):
            forms = _gradient_forms(y, run, np.ones(len(y)), len(y), run.moving_centers()[i])
            compare(given, right, "dJ/dphi", Case(()), _TRAIN, forms=forms)
    if run.log.names().count("step") != len(run.batches()):
        raise Wrong("expected one step of the optimiser for each backward pass")


def _gradient_forms(y, run, weight, share, moving):
    """Mistakes in 2 / share sum_i weight_i (phi_i - c), as forms without arguments.  moving: c, if it moves."""
    weight, n = weight[:, None], len(run.X) * share / len(y)
    pull = weight * (y - run.used_center)
    return [
        ("the wrong sign: outputs are pushed away from the centre", lambda *_: -2 / share * pull),
        ("the 1/N is missing", lambda *_: 2 * len(y) / share * pull),
        ("the factor 2 is missing", lambda *_: pull / share),
        ("the factor 2 and the 1/N are missing", lambda *_: pull * len(y) / share),
        ("the centre is 0", lambda *_: 2 / share * weight * y),
        ("the centre moves: each batch has its own mean", lambda *_: 2 / share * weight * (y - y.mean(axis=0))),
        ("divided by n of the whole set, not of the batch", lambda *_: 2 / n * pull),
        ("the centre moves: it is the mean output of the network as it is, not as it was before training", lambda *_: (
            2 / share * weight * (y - moving))),
        ("the centre is not the one that is returned", lambda *_: 2 / share * weight * (y - run.right_center)),
        ("the centre is not moved from 0", lambda *_: 2 / share * weight * (y - run.start.mean(axis=0))),
        ("divided by the number of coordinates as well", lambda *_: 2 / share / y.shape[1] * pull),
        ("the gradient of the distance, not of its square", lambda *_: (
            pull / np.sqrt(run.distances(y))[:, None] * 2 / share / 2)),
    ]  # fmt: skip


@_by_itself
def improves(student, rng):
    """Training by the right gradients ranks better than the network as it was drawn."""
    run = _Run(student, rng, "one-class", epochs=10)
    _check_gradients(run)
    from sklearn.metrics import roc_auc_score  # not above: who lists the assignments need not wait for scikit-learn

    before, after = (roc_auc_score(run.is_anomaly, scores) for scores in (run.before, run.after))
    if not after > before + 0.03:
        raise Wrong(f"training adds nothing: test AUC {100 * after:.1f} % after it, {100 * before:.1f} % before")


# Soft-boundary


@_by_itself
def radius(student, rng):
    """R^2 of the trained network, for both objectives."""
    for objective, nu, n in (("soft-boundary", 0.15, 92), ("one-class", 0.25, 92)):
        run = _Run(student, rng, objective, epochs=3, nu=nu, n=n)
        if run.only_for_outputs()[1]:
            raise Wrong("the network was used in training mode for R^2: it belongs to the network that scores")
        d = run.distances(run.network.outputs(run.X))
        label = f"R^2 for {objective}"
        same(run.radius_squared, exact_radius_squared(d, nu), label, f"nu={nu}, n={len(d)}", _radius_forms(run, d))


@_by_itself
def whole_count(student, rng):
    """0.29 * 100 = 28.999999999999996 counts as 29."""
    run = _Run(student, rng, "one-class", epochs=1, nu=0.29, n=100)
    d = run.distances(run.network.outputs(run.X))
    forms = [("nu n is 28.999999999999996 here, and counts as 29", lambda *_: np.sort(d)[::-1][28])]
    same(run.radius_squared, exact_radius_squared(d, run.nu), "R^2", "nu=0.29, n=100", forms + _radius_forms(run, d))


def _radius_forms(run, d):
    last = run.distances(run.log.of("forward")[-1]["y"]) if run.log.of("forward") else d
    ordered, nu, n = np.sort(d)[::-1], run.nu, len(d)
    forms = [
        ("an interpolated quantile", lambda *_: np.quantile(d, 1 - nu)),
        ("the quantile that lies nearest", lambda *_: np.quantile(d, 1 - nu, method="nearest")),
        ("R, where R^2 is asked for", lambda *_: np.sqrt(exact_radius_squared(d, nu))),
        ("the distances of the last batch alone", lambda *_: exact_radius_squared(last, nu)),
        ("counted from the smallest distance", lambda *_: ordered[::-1][int(nu * n)]),
        ("nu n is rounded to the nearest number, not down", lambda *_: ordered[round(nu * n)]),
        ("one place too early in the order: d_(floor(nu n))", lambda *_: ordered[int(nu * n) - 1]),
        ("one place too late in the order", lambda *_: ordered[int(nu * n) + 1]),
        ("the largest distance", lambda *_: d.max()),
        ("zero: R^2 is solved for after training for both objectives", lambda *_: np.zeros(())),
    ]  # fmt: skip
    taken = run.log.names().count("step")
    forms += [
        (
            "the radius was not solved for after the last epoch: it is that of an earlier one",
            lambda *_, y=y: exact_radius_squared(run.distances(y), nu),
        )
        for steps, y in run.whole_outputs()
        if steps < taken
    ]
    return forms


@_by_itself
def alternates(student, rng):
    """Soft-boundary gradients, with the R^2 of the weights at the start of epochs 0, k, 2k, ..., and the losses."""
    run = _Run(student, rng, "soft-boundary", epochs=7, nu=0.15, radius_every=3)
    steps, rest = divmod(len(run.batches()), run.epochs)
    if rest or not steps:
        raise Wrong(f"{len(run.batches())} steps in {run.epochs} epochs: expected as many in each")
    solved = {taken: exact_radius_squared(run.distances(y), run.nu) for taken, y in run.whole_outputs()}
    of_batch = []
    for i, (y, given) in enumerate(run.batches()):
        epoch = i // steps // run.every * run.every
        if epoch * steps not in solved:
            raise Wrong(
                f"R^2 was not solved for over the whole of X, in evaluation mode, at the start of epoch {epoch}"
            )
        squared = solved[epoch * steps]
        excess = run.distances(y) - squared
        outside = _outside(excess, squared, given)
        right = 2 / (run.nu * len(y)) * outside[:, None] * (y - run.used_center)
        text = difference(given, right, f"dJ/dphi in step {i}")
        if text:
            _explain_soft(text, given, right, i, y, run, squared, solved, epoch)
        of_batch.append(squared + np.maximum(0, excess).sum() / (run.nu * len(y)))
    _check_losses(run, of_batch, "eq. (3)")


def _outside(excess, squared, given):
    """Which samples lie outside.  given: the submission's gradient, which has the say where rounding has.

    R^2 is the distance of one sample, which another order of summation puts on either side of the sphere.
    """
    on_sphere = np.abs(excess) <= _ROUNDING * squared
    pulled = given.any(axis=1) if given.ndim == 2 and len(given) == len(excess) else False
    return np.where(on_sphere, pulled, excess > 0)


def _explain_soft(text, given, right, step, y, run, squared, solved, epoch):
    d, nu, share = run.distances(y), run.nu, run.nu * len(y)

    def pull(of_radius, weight=2 / share):
        return lambda *_: weight * (d > of_radius)[:, None] * (y - run.used_center)

    forms = [
        ("R where R^2 belongs", pull(np.sqrt(squared))),
        ("R^4 where R^2 belongs", pull(squared**2)),
        ("nu is forgotten", pull(squared, 2 / len(y))),
        ("divided by nu n of the whole set, not of the batch", pull(squared, 2 / (nu * len(run.X)))),
        ("multiplied by nu where a division belongs", pull(squared, 2 * nu / len(y))),
        ("the mean over the samples outside: the sum over them, divided by nu N, belongs there", pull(
            squared, 2 / max(1, int((d > squared).sum())))),
        ("samples inside the sphere are pulled, too: max(0, .) is missing", pull(-1.0)),
        ("samples inside the sphere are pulled, too, by the gradient of eq. (4)", pull(-1.0, 2 / len(y))),
        ("the hinge is squared", lambda *_: 2 * np.maximum(0, d - squared)[:, None] * pull(squared)()),
        ("R^2 is solved for in every batch, from the batch alone", pull(exact_radius_squared(d, nu))),
        ("R^2 is an interpolated quantile", pull(_quantile_at(run, epoch))),
        ("the centre moves, and the radius with it", lambda *_: _with_moving_center(y, run, step, epoch, share)),
        *_gradient_forms(y, run, (d > squared).astype(float), share, run.moving_centers()[step]),
        *((f"R^2 is that after {taken} steps", pull(other)) for taken, other in solved.items()),
    ]  # fmt: skip
    place = f"dJ/dphi ({text.partition(':')[0]}, R^2 = {squared:.4g}, that of epoch {epoch})"
    compare(given, right, place, Case(()), _TRAIN, forms=forms)
    raise Wrong(f"{text}\nexpected the gradient of eq. (3) with R^2 = {squared:.4g}, that of epoch {epoch}")


def _outputs_at(run, epoch):
    """The outputs for X when R^2 was solved for in this epoch."""
    per_epoch = len(run.batches()) // run.epochs
    return next(y for taken, y in run.whole_outputs() if taken == epoch * per_epoch)


def _quantile_at(run, epoch):
    return np.quantile(run.distances(_outputs_at(run, epoch)), 1 - run.nu)


def _with_moving_center(y, run, step, epoch, share):
    """The gradient where centre and radius are always those of the network as it is."""
    c = run.moving_centers()[step]
    squared = exact_radius_squared(((_outputs_at(run, epoch) - c) ** 2).sum(axis=1), run.nu)
    return 2 / share * (((y - c) ** 2).sum(axis=1) > squared)[:, None] * (y - c)
