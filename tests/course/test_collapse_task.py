"""The assignment `collapse`: right lines pass, each mistake costs its parts and is named, nonsense earns nothing."""

import numpy as np
import pytest
from helpers_course import full_points, judge, most_by_nonsense
from mistakes import parts

from minisvdd import nn, ops
from minisvdd.course.tasks.method import collapse as task
from minisvdd.course.tasks.method import collapse_solution as plain

BIAS, SATURATION, PULL = "constant_by_bias", "constant_by_saturation", "pull_on_weights"
SPECTRUM, VERDICT, BLAME = "spectrum", "verdict", "blame"
BIASED = ("every input to c", "one unit, other slopes")
SATURATED = ("all samples to c", "negative and small features")
SIZES, FAR = "c = 0, other sizes", "far from 0, other sizes"
POINT, LINE, ODD = "a point, or healthy", "a line", "far from 0, copies, other scales"
LIMIT = "the limit, from both sides"
ZERO, CONSTANT, DECAY = "c = 0, a trained c", "a bias or a bounded activation", "weight decay"


SPREAD = "    first, last = spectrum(before), spectrum(after)\n"
CONTRAST = "contrast = np.linalg.norm(last) / np.linalg.norm(first)"
WITHOUT = "if b is not None and np.linalg.norm(activate(activation, a) @ W2.T, axis=1).max() < 0.1 * size:"
MEDIANS = "np.median(abs({0} - np.median({0}, axis=0)))"
ROOT = "np.sqrt(np.maximum(values, 0))[::-1]"
MISTAKES = [
    (
        "the largest width alone",
        [(CONTRAST, "contrast = last[0] / first[0]")],
        parts(VERDICT, LIMIT),
        "S a tenth below the limit",
    ),
    (
        "the mean of the widths",
        [(CONTRAST, "contrast = last.mean() / first.mean()")],
        parts(VERDICT, LIMIT),
        "S a tenth above the limit",
    ),
    (
        "not divided by the length",
        [("v[None, :] / np.sum(v**2)", "v[None, :]")],
        parts(BIAS, *BIASED),
        "W2 = c v^T is not divided by ||v||^2",
    ),
    (
        "divided by the length, not its square",
        [("/ np.sum(v**2)", "/ np.linalg.norm(v)")],
        parts(BIAS, *BIASED),
        "divided by ||v||, where ||v||^2 belongs",
    ),
    (
        "the activation forgotten",
        [("b = np.arange(1.0, hidden + 1)", "b = -np.arange(1.0, hidden + 1)"), ("slope * b)", "b)")],
        parts(BIAS, *BIASED),
        "v is taken for b: the activation comes in between",
    ),
    (
        "weights that are not zero",
        [("W1 = np.zeros((hidden, features))\n    b", "W1 = np.full((hidden, features), 0.01)\n    b")],
        parts(BIAS, *BIASED),
        "the outputs still depend on x",
    ),
    (
        "no bias at all",
        [("b = np.arange(1.0, hidden + 1)", "b = np.zeros(hidden)"), ("np.sum(v**2)", "max(np.sum(v**2), 1)")],
        parts(BIAS, *BIASED),
        "zero everywhere",
    ),
    (
        "weights that do not know the smallest feature",
        [("25 / np.abs(column).min()", "100")],
        parts(SATURATION, SATURATED[1]),
        "the sample nearest to 0 needs larger weights",
    ),
    (
        "positive features alone",
        [("(column > 0).all() or (column < 0).all()", "(column > 0).all()")],
        parts(SATURATION, SATURATED[1]),
        "there is no such feature",
    ),
    (
        "the sign of the bound forgotten",
        [("center * np.sign(column[0])", "center")],
        parts(SATURATION, SATURATED[1]),
        "units that saturate at -1",
    ),
    (
        "any feature",
        [("(column > 0).all() or (column < 0).all()", "k == 0")],
        parts(SATURATION, *SATURATED, "refuses features of both signs"),
        "the feature that was chosen has both signs among the samples",
    ),
    (
        "the factor 2",
        [("2 * np.mean(products)", "np.mean(products)")],
        parts(PULL, "values", SIZES),
        "the factor 2 is missing",
    ),
    (
        "the loss instead",
        [("np.dot(phi - center, phi)", "np.dot(phi - center, phi - center)")],
        parts(PULL, "values", SIZES),
        "2 J: phi - c twice, where phi belongs once",
    ),
    (
        "not centred",
        [("centred = outputs - outputs.mean(axis=0)", "centred = outputs")],
        parts(SPECTRUM, "values", FAR) + parts(VERDICT, POINT, LINE, ODD, LIMIT),
        "the mean output is not subtracted",
    ),
    (
        "eigenvalues",
        [(ROOT, "values[::-1]")],
        parts(SPECTRUM, "values", FAR) + parts(VERDICT, POINT, LINE, LIMIT),
        "squares: the eigenvalues of the covariance",
    ),
    (
        "n - 1",
        [("centred.T @ centred / n", "centred.T @ centred / (n - 1)")],
        parts(SPECTRUM, "values", FAR),
        "divided by sqrt(n - 1)",
    ),
    (
        "ascending",
        [(ROOT, "np.sqrt(np.maximum(values, 0))")],
        parts(SPECTRUM, "values", FAR) + parts(VERDICT, LINE),
        "in ascending order",
    ),
    (
        "deviations of the coordinates",
        [(ROOT, "np.sort(outputs.std(axis=0))[::-1]")],
        parts(SPECTRUM, "values", FAR) + parts(VERDICT, LINE),
        "standard deviations of the coordinates, not of the directions",
    ),
    (
        "spread over the mean, without the network before",
        [(CONTRAST, "contrast = np.linalg.norm(last) / np.linalg.norm(after.mean(axis=0))")],
        parts(VERDICT, ODD),
        "in one point: expected 'point', got 'healthy'",
    ),
    (
        "an absolute threshold",
        [("/ np.linalg.norm(first)\n", "\n")],
        parts(VERDICT, ODD, LIMIT),
        "small outputs, before as after",
    ),
    (
        "exact rank",
        [
            (SPREAD, SPREAD + "    if np.linalg.matrix_rank(after - after[0]) == 0:\n        return 'point'\n"),
            ("contrast < 0.03", "contrast < 1e-12"),
        ],
        parts(VERDICT, POINT, LINE, ODD, LIMIT),
        "all outputs in one point",
    ),
    (
        "a line that was one before",
        [("first[1] / first[0] >= 0.01 and ", "")],
        parts(VERDICT, LINE),
        "a line before training already",
    ),
    (
        "median distance",
        [(CONTRAST, f"contrast = {MEDIANS.format('after')} / {MEDIANS.format('before')}")],
        parts(VERDICT, ODD, LIMIT),
        "many copies of few samples",
    ),
    (
        "a bias that is there, whatever it does",
        [(WITHOUT, "if b is not None:")],
        parts(BLAME, CONSTANT),
        "tanh, saturated, a bias that is 0",
    ),
    (
        "a bounded activation, whatever it does",
        [
            (
                "    if size < 1e-8",
                "    if activation != 'leaky relu':\n        return 'bounded activation'\n    if size < 1e-8",
            )
        ],
        parts(BLAME, ZERO, CONSTANT, DECAY),
        "tanh far from its bounds",
    ),
    (
        "zero weights for zero outputs",
        [('return "weight decay"', 'return "zero weights, c = 0"')],
        parts(BLAME, DECAY),
        "expected 'weight decay', got 'zero weights, c = 0'",
    ),
    (
        "one coordinate for all of c",
        [("if size < 1e-8:", "if np.abs(center).min() < 1e-8:")],
        parts(BLAME, CONSTANT, DECAY),
        "got 'zero weights, c = 0'",
    ),
    (
        "the moved centre unseen",
        [("np.linalg.norm(center - center_before) > 1e-3 *", "0 >")],
        parts(BLAME, ZERO),
        "c ran to 0 with the weights",
    ),
]


@pytest.mark.parametrize("seed", [0, 20261])
def test_right_lines_get_full_points(seed):
    full_points("collapse", seed)


@pytest.mark.parametrize(("mistake", "changes", "lost", "words"), MISTAKES, ids=[mistake[0] for mistake in MISTAKES])
def test_planted_mistake(mistake, changes, lost, words):
    judge("collapse", changes, lost, words)


def test_nonsense_earns_nothing():
    bodies = [f"return {word!r}" for word in ("point", "line", "healthy", *task.CAUSES)]
    bodies += ["return 0.0", "return None", "return np.zeros(a[0].shape[1])", "return a[0].std(axis=0)"]
    bodies += [
        "return np.zeros((a[1], a[0])), np.ones(a[1]), np.zeros((len(a[2]), a[1]))",
        "return (a[0] * a[0]).sum()",
    ]
    bodies += ["return np.zeros((a[1], a[0].shape[1])), np.zeros((len(a[2]), a[1]))", "raise ValueError"]
    assert most_by_nonsense("collapse", bodies) <= 2


def test_the_pull_is_that_of_every_layer():
    """Euler's theorem, on a network of the library."""
    rng = np.random.default_rng(0)
    network = nn.Sequential([nn.Linear(6), nn.LeakyReLU(0.1), nn.Linear(4), nn.LeakyReLU(0.1), nn.Linear(3)])
    network.build((5,), rng, dtype=np.float64)
    center = rng.standard_normal(3)
    outputs = network.forward(rng.standard_normal((20, 5)), training=True)
    network.backward(ops.one_class_loss(outputs, center)[1])
    for name, weight in network.params.items():
        assert np.isclose((weight * network.grads[name]).sum(), plain.pull_on_weights(outputs, center), rtol=1e-10)


def test_widths_add_up_to_the_spread():
    outputs = np.random.default_rng(1).standard_normal((30, 4)) + 7
    squared = ((outputs - outputs.mean(axis=0)) ** 2).sum(axis=1).mean()
    assert np.isclose((plain.spectrum(outputs) ** 2).sum(), squared)


def test_runs_are_what_they_are_called():
    """All runs but those of weight decay end at their centre; all are constant, and all causes occur."""
    seen = set()
    for which in ("zero", "constant", "decay"):
        for cause, (W1, b, W2, X, activation, _, center), what in task._trained(np.random.default_rng(2), which):
            outputs = task._act(activation, X @ W1.T + (0 if b is None else b)) @ W2.T
            assert np.ptp(outputs, axis=0).max() < 1e-4, what
            assert (np.abs(outputs - center).max() < 2e-3) == (cause != "weight decay"), what
            seen.add(cause)
    assert seen == set(task.CAUSES)
