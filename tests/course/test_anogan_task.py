"""`anogan-search`: right in other words, planted mistakes by name, and the same search as the library's."""

import numpy as np
import pytest
from helpers_course import messages, planted, wrong_functions
from in_process import grade_here
from mistakes import right_submission

from minisvdd.course import get_assignment, skeleton
from minisvdd.course.tasks.rivals import anogan_search_solution as plain
from minisvdd.rivals import latent
from minisvdd.rivals.dcgan import gan_for, make_gan

ASSIGNMENT = get_assignment("anogan-search")
SOLUTION = skeleton(ASSIGNMENT, solution=True)
LOSS, GRADIENT, STOP, SEARCH, SCORE = (source.name for source in ASSIGNMENT.functions)

_LOSS_LINE = "return (1 - a) * np.abs(y - x).sum(axis=(1, 2)) + a * np.abs(mismatch).sum(axis=1)"
_GRADIENT_LINE = "grad_y = (1 - a) * np.sign(y - x) + features.vjp(y, a * np.sign(mismatch))"
_STOP_LINE = "if best[t - window] - best[t] < tolerance * best[t - window]:"
_SEARCH_LINE = "searching &= before - best >= tolerance * before"
_STEP = "z = z - learning_rate * (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8)"
_DRAW = "points = rng.standard_normal((starts, latent_dim))"
# (words, edits, functions that lose points, what is said)
MISTAKES = [
    (
        "squares",
        [
            (
                _LOSS_LINE,
                _LOSS_LINE.replace("np.abs(y - x)", "((y - x) ** 2)").replace("np.abs(mismatch)", "(mismatch**2)"),
            )
        ],
        (LOSS, SEARCH, SCORE),
        "squares, where absolute values",
    ),
    ("means", [(_LOSS_LINE, _LOSS_LINE.replace(".sum", ".mean"))], (LOSS, SEARCH, SCORE), "means over the entries"),
    (
        "weights exchanged",
        [
            (
                _LOSS_LINE,
                _LOSS_LINE.replace("(1 - a)", "A").replace("a * np.abs(m", "(1 - a) * np.abs(m").replace("A *", "a *"),
            )
        ],
        (LOSS, SEARCH, SCORE),
        "the weights are exchanged",
    ),
    (
        "no features in the gradient",
        [(_GRADIENT_LINE, "grad_y = (1 - a) * np.sign(y - x)")],
        (GRADIENT, SEARCH, SCORE),
        "the way through the features is left out",
    ),
    (
        "sign",
        [(_GRADIENT_LINE, _GRADIENT_LINE.replace("np.sign(y - x)", "np.sign(x - y)"))],
        (GRADIENT, SEARCH, SCORE),
        "s = sign(x - y) has the other sign",
    ),
    (
        "features' vjp at x",
        [(_GRADIENT_LINE, _GRADIENT_LINE.replace("vjp(y,", "vjp(x,"))],
        (GRADIENT, SEARCH, SCORE),
        "taken at x",
    ),
    (
        "the gradient of squares",
        [(_GRADIENT_LINE, "grad_y = (1 - a) * (y - x) + features.vjp(y, a * mismatch)")],
        (GRADIENT, SEARCH, SCORE),
        "the gradient of squares",
    ),
    (
        "mean over the batch",
        [("return generator.vjp(z, grad_y)", "return generator.vjp(z, grad_y) / len(z)")],
        (GRADIENT, SEARCH, SCORE),
        "the gradient of the mean over the batch",
    ),
    (
        "a tolerance that is no share",
        [(_STOP_LINE, "if best[t - window] - best[t] < tolerance:")],
        (STOP,),
        "tolerance as it is",
    ),
    (
        "the losses themselves",
        [("best = np.minimum.accumulate(losses)", "best = losses")],
        (STOP,),
        "not the best so far",
    ),
    (
        "asked at every step",
        [("range(window, len(losses), window)", "range(window, len(losses))")],
        (STOP,),
        "asked at every step",
    ),
    (
        "gradient descent",
        [(_STEP, "z = z - learning_rate * h")],
        (SEARCH, SCORE),
        "gradient descent, where Adam belongs",
    ),
    (
        "no bias correction",
        [(_STEP, "z = z - learning_rate * m / (np.sqrt(v) + 1e-8)")],
        (SEARCH, SCORE),
        "without the bias correction",
    ),
    (
        "the last point",
        [("better = searching & (losses < best)", "better = searching")],
        (SEARCH, SCORE),
        "the last point, where the best one counts",
    ),
    (
        "all stop together",
        [(_SEARCH_LINE, "searching &= (before - best >= tolerance * before).all()")],
        (SEARCH, SCORE),
        "all images stop when the first one does",
    ),
    (
        "z changes in place",
        [("found, best = z.copy()", "found, best = z"), ("z = z - learning_rate", "z -= learning_rate")],
        (SEARCH,),
        "was changed by the call",
    ),
    (
        "starts of its own",
        [("np.tile(point, (len(x), 1))", "rng.standard_normal(np.shape(point) and (len(x), latent_dim))")],
        (SCORE,),
        None,
    ),
    (
        "the mean over the starts",
        [("return np.min(losses, axis=0)", "return np.mean(losses, axis=0)")],
        (SCORE,),
        "the mean over the starts",
    ),
    (
        "another order of the random numbers",
        [(_DRAW, "points = rng.standard_normal((latent_dim, starts)).T")],
        (SCORE,),
        "in another order",
    ),
]


DIFFERENCES = """
    steps, loss = 1e-7 * np.eye(z.shape[1]), lambda z: search_loss(generator, features, z, x, a)
    return np.stack([(loss(z + e) - loss(z - e)) / 2e-7 for e in steps], axis=1)
"""


@pytest.mark.parametrize("seed", range(4))
def test_right_in_other_words(seed):
    grade = grade_here(right_submission(ASSIGNMENT.filename), ASSIGNMENT, seed)
    assert [part.message for part in grade.parts if part.message] == []
    assert grade.score == 100


@pytest.mark.parametrize(("words", "edits", "functions", "said"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_planted_mistakes_are_named(words, edits, functions, said):
    grade = grade_here(planted(SOLUTION, edits), ASSIGNMENT, 11)
    assert wrong_functions(grade.parts) == set(functions)
    assert said is None or said in messages(grade.parts)


def test_differences_are_no_gradient():
    """They are nearly as exact, and what they cost is the point of a backward pass."""
    text = SOLUTION.replace("    return generator.vjp(z, grad_y)", DIFFERENCES)
    grade = grade_here(text, ASSIGNMENT)
    assert GRADIENT in wrong_functions(grade.parts)
    assert "vjp was never called" in messages(grade.parts)


class _Adapter:
    """A network of the library as the assignment has it."""

    def __init__(self, network):
        self.network = network

    def forward(self, v):
        return self._shaped(self.network.forward(v.reshape(len(v), *self.network.input_shape), training=True))

    def vjp(self, v, gradient):
        out = self.network.forward(v.reshape(len(v), *self.network.input_shape), training=True)
        return self.network.backward(gradient.reshape(out.shape), need_params=False).reshape(v.shape)

    def _shaped(self, out):
        return out[:, 0] if out.ndim == 4 else out


def test_the_search_is_the_library_s(monkeypatch):
    """On a network of its own, with its window and tolerance."""
    rng = np.random.default_rng(3)
    network = make_gan(gan_for((1, 8, 8)), (1, 8, 8), 4)
    network.build((4,), rng)
    network.freeze_statistics()
    generator, features, _ = network.layers
    x = np.tanh(rng.standard_normal((3, 1, 8, 8))).astype(np.float32)
    z = rng.standard_normal((3, 4)).astype(np.float32)
    monkeypatch.setattr(latent, "WINDOW", 5)
    monkeypatch.setattr(latent, "TOLERANCE", 0.04)
    wanted = latent.search(generator, features, x, z, steps=22, learning_rate=0.05, feature_weight=0.1)
    points, losses, steps, converged = plain.latent_search(
        _Adapter(generator), _Adapter(features), x[:, 0], z, 0.1, 22, 0.05, 5, 0.04
    )
    np.testing.assert_allclose(losses, wanted.losses, rtol=1e-3)
    np.testing.assert_allclose(points, wanted.z, atol=1e-2)
    np.testing.assert_array_equal(steps, wanted.steps)
    np.testing.assert_array_equal(converged, wanted.converged)
