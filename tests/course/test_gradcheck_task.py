"""The assignment `gradcheck`: right lines pass, each mistake costs its parts and is named, nonsense earns nothing."""

import numpy as np
import pytest
from helpers_course import full_points, judge, most_by_nonsense
from mistakes import parts

from minisvdd.course.tasks.method import gradcheck_solution as plain
from minisvdd.course.tasks.method.gradcheck_layers import draw_layers

STEP, NUMERIC, KINKS = "best_step", "numeric_gradient", "kinks"
ERROR, CHECK, WRONG = "relative_error", "check_gradient", "wrong_layers"
PLAIN, PLACES = "factors, signs, terms, transposes", "wrong in places: borders, strides, overlaps"
UNIFORM, ON_KINKS = "right for a uniform grad_output", "kinks are no mistakes"
ALL = (PLAIN, PLACES, UNIFORM, ON_KINKS)
G, RIGHT, LEFT_OUT = "a random grad_output", "errors of right and wrong gradients", "kinks are left out"
CURVES = "near ones, curves, slopes of 0"


DRAWN = "rng.normal(size=output.shape)"
DIFFERENCE = "(up - down)).sum() / (2 * h)"
MISTAKES = [
    (
        "the step of one-sided differences",
        [("math.cbrt(3 * epsilon * abs(value) / abs(third))", "math.sqrt(2 * epsilon * abs(value) / abs(third))")],
        parts(STEP, "values", "large losses, single precision, signs"),
        "the root of one-sided differences",
    ),
    (
        "the step's signs",
        [("abs(value) / abs(third)", "value / third")],
        parts(STEP, "large losses, single precision, signs"),
        "the sign of L or L''' is kept",
    ),
    (
        "a one-sided difference",
        [("down = function(moved(x, index, -h))", "down = function(moved(x, index, 0))"), ("/ (2 * h)", "/ h")],
        parts(NUMERIC, "values", "other shapes", "in double precision", "x stays as it is") + parts(WRONG, *ALL),
        "a one-sided difference: (L(x + h) - L(x)) / h has an error of order h",
    ),
    (
        "divided by h",
        [(DIFFERENCE, "(up - down)).sum() / h")],
        parts(NUMERIC, "values", "other shapes", "in double precision", "x stays as it is")
        + parts(CHECK, G, RIGHT, LEFT_OUT)
        + parts(WRONG, *ALL),
        "from x - h to x + h the way is 2 h",
    ),
    (
        "in single precision",
        [("np.array(x, dtype=float)", "np.array(x, dtype=np.float32)")],
        parts(NUMERIC, "values", "other shapes", "in double precision", "x stays as it is")
        + parts(KINKS, "values", CURVES)
        + parts(CHECK, G, RIGHT, LEFT_OUT)
        + parts(WRONG, *ALL),
        "single precision",
    ),
    (
        "in the precision of x",
        [("np.array(x, dtype=float)", "np.array(x)")],
        parts(NUMERIC, "in double precision") + parts(KINKS, CURVES),
        "the function was called with float32",
    ),
    (
        "x moved in place",
        [("other = np.array(x, dtype=float)", "other = x")],
        parts(NUMERIC, "values", "other shapes", "in double precision", "x stays as it is")
        + parts(KINKS, "values", CURVES)
        + parts(CHECK, G, RIGHT, LEFT_OUT)
        + parts(WRONG, *ALL),
        "the step back begins at x + h and ends at x",
    ),
    (
        "moved there and back, in place",
        [
            ("        up = function(moved(x, index, h))\n", "        x[index] += h\n        up = function(x)\n"),
            (
                "        down = function(moved(x, index, -h))\n",
                "        x[index] -= 2 * h\n        down = function(x)\n        x[index] += h\n",
            ),
        ],
        parts(NUMERIC, "in double precision", "x stays as it is"),
        "x was changed by the call",
    ),
    (
        "checked with ones",
        [(DRAWN, "np.ones(output.shape)")],
        parts(CHECK, G, RIGHT) + parts(WRONG, *ALL),
        "grad_output is 1 everywhere",
    ),
    (
        "checked with one random number",
        [(DRAWN, "np.full(output.shape, rng.normal())")],
        parts(CHECK, G, RIGHT) + parts(WRONG, *ALL),
        "many a wrong gradient passes with that",
    ),
    (
        "a generator of its own",
        [(DRAWN, "np.random.default_rng(0).normal(size=output.shape)")],
        parts(CHECK, G),
        "another generator gave the same grad_output",
    ),
    (
        "randomness from elsewhere",
        [(DRAWN, "np.random.normal(size=output.shape)")],
        parts(CHECK, G),
        "the same generator gave another grad_output",
    ),
    (
        "positive numbers alone",
        [(DRAWN, "rng.random(output.shape)")],
        parts(CHECK, G),
        "grad_output is positive everywhere",
    ),
    (
        "kinks are not left out",
        [("bad = kinks(forward, x, h)", "bad = np.zeros(x.shape, bool)")],
        parts(CHECK, LEFT_OUT) + parts(WRONG, ON_KINKS),
        "is right",
    ),
    (
        "an entry's own slope as its measure",
        [
            ("tolerance * max(abs(right).max(), abs(left).max())", "tolerance * abs(right).max(axis=1)"),
        ],
        parts(KINKS, CURVES),
        "rounding is no kink where the slope is 0",
    ),
    (
        "any difference is a kink",
        [("tolerance * max(abs(right).max(), abs(left).max())", "1e-9")],
        parts(KINKS, "values", CURVES) + parts(CHECK, RIGHT) + parts(WRONG, *ALL),
        "slopes of a curved function differ a little",
    ),
    (
        "an absolute error",
        [("return abs(analytic - numeric).max() / size", "return abs(analytic - numeric).max()")],
        parts(ERROR, "values", "small and large gradients", "zeros, not finite, other shapes")
        + parts(CHECK, RIGHT, LEFT_OUT),
        "not relative: the difference itself",
    ),
    (
        "each entry by its own size",
        [
            (
                "return abs(analytic - numeric).max() / size",
                "return (abs(analytic - numeric) / np.maximum(abs(analytic), abs(numeric))).max()",
            )
        ],
        parts(ERROR, "values", "small and large gradients") + parts(CHECK, RIGHT, LEFT_OUT),
        "small ones are rounding alone",
    ),
    (
        "a floor under the scale",
        [("abs(numeric).max())\n    if size", "abs(numeric).max(), 1e-8)\n    if size")],
        parts(ERROR, "small and large gradients"),
        "a floor of 1e-8 under the scale",
    ),
    (
        "what is not a number passes",
        [
            ("return abs(analytic - numeric).max() / size", "return np.nanmax(abs(analytic - numeric)) / size"),
            ("if not np.all(np.isfinite(analytic)) or not np.all(np.isfinite(numeric)):", "if False:"),
        ],
        parts(ERROR, "zeros, not finite, other shapes") + parts(CHECK, RIGHT),
        "expected inf",
    ),
    (
        "shapes that NumPy makes fit",
        [("if analytic.shape != numeric.shape:", "if False:")],
        parts(ERROR, "zeros, not finite, other shapes"),
        "expected inf",
    ),
    (
        "only the first entries are looked at",
        [("if error > 1e-6:", "if error > 1e-6 and i < 4:")],
        parts(WRONG, *ALL),
        "was not found",
    ),
    (
        "too strict",
        [("if error > 1e-6:", "if error > 1e-13:")],
        parts(WRONG, *ALL),
        "it is right",
    ),
]


@pytest.mark.parametrize("seed", [0, 20261])
def test_right_lines_get_full_points(seed):
    full_points("gradcheck", seed)


@pytest.mark.parametrize(("mistake", "changes", "lost", "words"), MISTAKES, ids=[mistake[0] for mistake in MISTAKES])
def test_planted_mistake(mistake, changes, lost, words):
    judge("gradcheck", changes, lost, words)


def test_nonsense_earns_nothing():
    bodies = [
        "return 0",
        "return 1.0",
        "return 1e-5",
        "return np.inf",
        "return np.inf, 0",
        "return 0.0, 0",
        "return []",
    ]
    bodies += ["return list(range(8))", "return np.zeros(a[1].shape)", "return a[1]", "return a[1] > 0", "return None"]
    bodies += ["return a[1] == 0", "return abs(a[0] - a[1]).max()", "return [0, 1, 2, 3]", "return a[0](a[1])"]
    bodies += ["return abs(a[1]) < 1e-3", "return 0.5, 0", "return np.ones_like(a[1])"]
    assert most_by_nonsense("gradcheck", bodies) <= 10


def error_of(layer, backward, G):
    numeric = plain.numeric_gradient(layer.forward, layer.x, G, 6e-6)
    return plain.relative_error(backward(G, layer.x), numeric)


def test_layers_are_right_or_wrong_beyond_doubt():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        for layer in draw_layers(rng):
            G = rng.standard_normal(layer.forward(layer.x).shape)
            assert error_of(layer, layer.backward, G) < 1e-7
            assert not plain.kinks(layer.forward, layer.x, 6e-6).any()
            for _, what, backward in layer.wrong:
                assert error_of(layer, backward, G) > 1e-3, (seed, layer.name, what)


def test_checks_with_ones_cannot_see_what_is_right_for_ones():
    for layer in draw_layers(np.random.default_rng(3)):
        G = np.full(layer.forward(layer.x).shape, 0.7)
        for what, backward in layer.of_kind("uniform"):
            assert np.allclose(backward(G, layer.x), layer.backward(G, layer.x), atol=1e-3), (layer.name, what)
        assert layer.of_kind("uniform")
        assert layer.of_kind("plain")


def test_kinked_points_have_kinks():
    layers = [layer for layer in draw_layers(np.random.default_rng(4)) if layer.kinked is not None]
    assert [int(plain.kinks(layer.forward, layer.kinked, 6e-6).sum()) for layer in layers] == [2, 2]
