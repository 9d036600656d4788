"""The assignment `capstone`: the student's own operations carry a network, and train Deep SVDD on digits."""

from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np

from ....ops.batchnorm import all_but_channel, per_channel
from ...assignment import Assignment, Part
from ...grader.checks import Student, Wrong
from ...grader.sandbox import SubmissionError
from ..layers import adam, batchnorm, conv2d, leaky_relu, linear, maxpool, one_class_loss
from . import network

_HANDOUT = """
Everything that you have written comes together. Put your functions into one file, and a network of convolutions, batch
norm, leaky ReLU, max-pooling and a linear map runs on them; it is trained as One-Class Deep SVDD on real digits, with
your loss and your Adam.

Begin with what you have. A function that is missing, or still raises NotImplementedError, is the library's, and the
network runs all the same: hand in two functions today, and four tomorrow. On your own machine

    minisvdd gradcheck --ops capstone.py
    minisvdd train --ops capstone.py
    minisvdd train --ops capstone.py --data mnist

check each function and the whole network, and train on the digits that come with scikit-learn, or on MNIST where you
have it; the last line says which of your functions were really called. Only for these commands may your file read
files or import what you like: the grader lets it import NumPy and the standard library.

All of it is graded within 14 seconds of your functions' time. A convolution in loops over pixels alone is too slow for
that; one that loops over the taps of the filters is not.

The written part is for a person to read: the three questions of the capstone on the page of written questions, on two
pages at most, with the numbers of your own runs.
"""

_PIECES = [module.ASSIGNMENT for module in (conv2d, maxpool, batchnorm, leaky_relu, linear, one_class_loss, adam)]
_POINTS = {
    "conv2d_forward": 5,
    "conv2d_backward_weight": 6,
    "conv2d_backward_input": 7,
    "maxpool_forward": 4,
    "maxpool_backward": 4,
    "batch_statistics": 3,
    "batchnorm_forward": 3,
    "batchnorm_backward": 6,
    "leaky_relu_forward": 2,
    "leaky_relu_backward": 2,
    "linear_forward": 2,
    "linear_backward_input": 2,
    "linear_backward_weight": 2,
    "squared_distances": 2,
    "one_class_loss": 3,
    "adam_update": 5,
}
_SIZE = {"conv2d_output_size": 2}  # no operation of its own: convolutions may call it
_SOURCES = {source.name: source for piece in _PIECES for source in piece.functions}
_GAIN, _NEAR, _NORMAL, _OTHERS = 0.05, 0.02, 80, 120


def _of_pieces(function):
    """The check of one function: all that its own assignment asks for, but for dtypes; part of it, part of the points.

    Inputs are the same for everybody: they were hidden in that assignment. Half of the points where all is right but
    an argument is not what it was before the call.
    """
    parts = [part for piece in _PIECES for part in piece.parts if part.function == function and not part.form]
    total = sum(part.points for part in parts)

    def check(student, rng):
        earned, first = 0.0, None
        watched = _Watched(student.sandbox)
        for part in parts:
            try:
                part.check(watched, part.generator(0))
                earned += part.points
            except Wrong as wrong:
                earned += wrong.fraction * part.points
                first = first or (part, wrong)
            except SubmissionError as error:
                if error.kind == "missing":
                    raise
                first = first or (part, error)
        if first:
            raise Wrong(f"{first[0].name.partition(': ')[2]}: {first[1]}", earned / total)
        if watched.changed:
            raise Wrong(watched.changed, 0.5)

    return check


class _Watched(Student):
    """Notes, in `changed`, the first argument that a call changed and should not have."""

    changed = None

    def call(self, name, *arguments):
        given = super().call(name, *arguments)
        self.changed = self.changed or network.changed_argument(name, arguments, self.after)
        return given


def _credit(own):
    """Raise Wrong, with points for the share that is the student's and right, unless all of it is."""
    right = [name for name in own.names if own.calls[name] and name not in own.wrong]
    share = sum(map(_POINTS.get, right)) / sum(map(_POINTS.get, own.names))
    if share < 1:
        absent = [name for name in own.names if not own.calls[name]]
        lines = [f"{share:.0%} of the network is yours and right"]
        lines += [f"the library's, for yours is missing: {', '.join(absent)}"] if absent else []
        raise Wrong("\n".join([*lines, *_suspects(own)]), share)


def _suspects(own):
    return [f"not as its formula, on the network's own arrays: {text}" for text in own.wrong.values()]


_DIFFERENTIATED = [name for name in _POINTS if name not in ("adam_update", "squared_distances")]


def _gradients(student, rng):
    """Of the whole network, in float64, against differences of its own loss."""
    own = network.Own(student, _DIFFERENTIATED)
    for name, analytic, numeric in network.gradients_apart(own.backend, rng):
        if abs(analytic - numeric) > 1e-5 * max(abs(analytic), abs(numeric), 1e-3):
            text = f"{name}: backward says {analytic:.6g} along a direction, the loss changes by {numeric:.6g}"
            raise Wrong("\n".join([text, *_suspects(own)]))
    _credit(own)


# Training: once for a submission, looked at by three parts

_TRAINED: WeakKeyDictionary = WeakKeyDictionary()


class _Run:
    """The same training twice, on the submission's operations and on the formulas."""

    def __init__(self, student, rng):
        self.digits, self.is_odd, self.seed, (losses, before, after) = _task(int(rng.integers(1 << 31)))
        self.before, self.best, self.fall = self.auc(before), self.auc(after), losses[0] - losses[-1]
        self.own, self.problem = network.Own(student, _POINTS), None
        try:
            self.losses, _, scores = network.train(self.digits, self.seed, self.own.backend)
            self.trained = self.auc(scores)
        except (Wrong, SubmissionError) as error:
            self.problem = error

    def auc(self, scores):
        """Of scores of the test images."""
        return _auc(self.is_odd, scores)


@lru_cache(4)  # all of a class have the same
def _task(seed):
    """Digits, one of them normal, and a seed from which the formulas gain: (digits, is odd, seed, their training)."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, *network.SHAPE)
    while True:
        normal, seed = int(rng.integers(10)), int(rng.integers(1 << 31))
        inside, outside = (rng.permutation(np.flatnonzero(where)) for where in (labels == normal, labels != normal))
        count = 3 * network.BATCH
        test = np.r_[inside[count : count + _NORMAL], outside[:_OTHERS]]
        digits, is_odd = (images[inside[:count]], images[test]), labels[test] != normal
        result = network.train(digits, seed)
        if _auc(is_odd, result[2]) > _auc(is_odd, result[1]) + _GAIN:
            return digits, is_odd, seed, result


def _auc(is_odd, scores):
    from sklearn.metrics import roc_auc_score  # not above: who lists the assignments need not wait for scikit-learn

    return float(roc_auc_score(is_odd, scores))


def _trained(student, rng):
    if student not in _TRAINED:
        _TRAINED[student] = _Run(student, rng)
    run = _TRAINED[student]
    if run.problem:
        raise run.problem
    return run


def _loss_falls(student, rng):
    run = _trained(student, rng)
    if run.losses[0] - run.losses[-1] < run.fall / 2:
        text = f"the mean loss of an epoch was {run.losses[0]:.4g} at first and {run.losses[-1]:.4g} at last"
        raise Wrong(f"{text}: with the formulas it falls by {run.fall:.4g}")
    _credit(run.own)


def _better(student, rng):
    run = _trained(student, rng)
    if run.trained < run.before + (run.best - run.before) / 2:
        raise Wrong(
            f"AUC {run.trained:.3f}, before training {run.before:.3f}: the library's operations reach {run.best:.3f}"
        )
    _credit(run.own)


def _near(student, rng):
    run = _trained(student, rng)
    if abs(run.trained - run.best) > _NEAR:
        raise Wrong(f"AUC {run.trained:.3f}: with the same weights and batches the formulas reach {run.best:.3f}")
    _credit(run.own)


ASSIGNMENT = Assignment(
    name="capstone",
    title="Capstone: Deep SVDD on operations of your own",
    reading="the whole paper; section 4.2 for what the AUC is compared with",
    handout=_HANDOUT,
    goals=(
        "build a network of which you have written every line that computes",
        "find the one function that spoils a network, from what its gradients and its AUC say",
        "say what training has added, compared with what, and how sure you are",
    ),
    hours="8",
    lectures=("06_deep_svdd", "10_mnist_cifar"),
    without_forward="""
No function has to be there: the library's formula stands in for what is missing, and the network's parts give the share
of their points that is yours. Begin with the linear map and the loss.
""",
    derivation=network,
    helpers=(all_but_channel, per_channel),
    functions=tuple(_SOURCES[name] for name in _SIZE | _POINTS),
    parts=(
        *(Part(f"{name}: by itself", points, _of_pieces(name)) for name, points in (_SIZE | _POINTS).items()),
        Part("network: gradients in float64", 12, _gradients),
        Part("network: trains on your operations", 10, _loss_falls, True),
        Part("network: AUC better than before training", 8, _better, True),
        Part("network: AUC as with the formulas", 10, _near, True),
    ),
)
