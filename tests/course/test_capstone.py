"""The capstone: operations of a student's own carry a network, are checked together and train; wrong files are told."""

import numpy as np
import pytest
from helpers_course import changed, full_points, results, right

from minisvdd.backends import PLAIN
from minisvdd.course import get_assignment, skeleton
from minisvdd.course.grader.grading import grade_source
from minisvdd.course.grader.sandbox import Limits
from minisvdd.course.tasks.capstone import network

NAME = "capstone"
PARTS = get_assignment(NAME).parts
GRADIENTS, LOSS, BETTER, NEAR = (part.name for part in PARTS if part.function == "network")
OF_NETWORK = (GRADIENTS, LOSS, BETTER, NEAR)


def alone(*names):
    return tuple(f"{name}: by itself" for name in names)


STEP = "param -= learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)"
# (mistake, changes, parts that lose all their points, parts that lose some, words of the feedback)
WRONG = [
    (
        "input gradient negated",
        [("padded[:, :, ph : ph + H, pw : pw + W].copy()", "-padded[:, :, ph : ph + H, pw : pw + W]")],
        (*alone("conv2d_backward_input"), GRADIENTS),
        (LOSS,),
        "not as its formula, on the network's own arrays: conv2d_backward_input",
    ),
    (
        "weight gradient of the first sample only",
        [('np.einsum("nkpq,ncpq->kc", grad_output, met)', 'np.einsum("nkpq,ncpq->kc", grad_output[:1], met[:1])')],
        (*alone("conv2d_backward_weight"), GRADIENTS),
        (LOSS,),
        "0.weight: backward says",
    ),
    (
        "filters flipped, forward and backward",
        [("weight[:, :, a, b], met", "weight[:, :, kh - 1 - a, kw - 1 - b], met")],
        alone("conv2d_forward"),
        (LOSS,),
        "flipped",
    ),
    (
        "batch norm's gradient without its ways through the statistics",
        [("(grad_output - mean_g - x_hat * mean_gx)", "grad_output")],
        (GRADIENTS,),
        alone("batchnorm_backward"),
        "along a direction, the loss changes by",
    ),
    (
        "unbiased variance",
        [("x.var(axis=axes)", "x.var(axis=axes, ddof=1)")],
        (*alone("batch_statistics"), GRADIENTS),
        (LOSS,),
        "batch_statistics",
    ),
    (
        "gradient to the wrong entry of the window",
        [("a, b = divmod(int(winner[n, c, i, j]), kw)", "a, b = 0, 0")],
        (*alone("maxpool_backward"), GRADIENTS),
        (LOSS,),
        "maxpool_backward",
    ),
    (
        "plain ReLU in backward",
        [("np.where(positive, grad_output, slope * grad_output)", "grad_output * positive")],
        (GRADIENTS,),
        (*alone("leaky_relu_backward"), LOSS),
        "the gradient of plain ReLU",
    ),
    (
        "linear weight gradient divided by the batch",
        [("grad_output.T @ x", "grad_output.T @ x / len(x)")],
        (GRADIENTS,),
        (*alone("linear_backward_weight"), LOSS),
        "the mean over the batch where the sum belongs",
    ),
    (
        "the loss without its 2",
        [("grad = 2 / len(outputs)", "grad = 1 / len(outputs)")],
        (GRADIENTS,),
        (*alone("one_class_loss"), LOSS),
        "one_class_loss",
    ),
    (
        "uphill",
        [(STEP, STEP.replace("-=", "+="))],
        (LOSS, BETTER),
        alone("adam_update"),
        "the mean loss of an epoch was",
    ),
    (
        "Adam that changes a copy",
        [(STEP, STEP.replace("param -=", "param = param -"))],
        (LOSS, BETTER, NEAR),
        alone("adam_update"),
        "with the same weights and batches the formulas reach",
    ),
    (
        "the score is a distance from the centre's negative",
        [("return ((outputs - center) ** 2).sum(axis=1)", "return -((outputs - center) ** 2).sum(axis=1)")],
        (*alone("squared_distances"), BETTER, NEAR),
        (LOSS, GRADIENTS, *alone("one_class_loss")),
        "before training",
    ),
    (
        "a result of another shape",
        [("return x @ weight.T", "return (x @ weight.T)[:, :1]")],
        (*alone("linear_forward"), *OF_NETWORK),
        (),
        "linear_forward has shape",
    ),
    (
        "an exception",
        [("return grad_output @ weight", "return grad_output @ weights")],
        (*alone("linear_backward_input"), *OF_NETWORK),
        (),
        "NameError",
    ),
    (
        "not finite",
        [("return x.mean(axis=axes), x.var(axis=axes)", "return x.mean(axis=axes) / 0, x.var(axis=axes)")],
        (*alone("batch_statistics"), *OF_NETWORK),
        (),
        "not finite",
    ),
    (
        "an input that is destroyed",
        [("return x @ weight.T", "y = x @ weight.T\n    x *= 0.0\n    return y")],
        (GRADIENTS,),
        (*alone("linear_forward"), LOSS),
        "linear_forward: x was changed by the call",
    ),
    (
        "winners that are no integers",
        [("return y, winner", "return y, winner.astype(float)")],
        OF_NETWORK,
        (),
        "maxpool_forward is float64: expected integers, which can be indices",
    ),
    (
        "one number where two are asked for",
        [("return y, winner", "return y")],
        (*alone("maxpool_forward"), *OF_NETWORK),
        (),
        "expected a tuple of 2",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("mistake", "changes", "none", "some", "words"), WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_file_loses_what_it_spoils(mistake, changes, none, some, words):
    found = results(NAME, changed(NAME, changes))
    scores = {part.name: part.score / part.points for part in found}
    assert [name for name in none if scores[name]] == []
    assert [name for name in some if not 0 <= scores[name] < 1] == []
    untouched = [part.name for part in PARTS if part.function != "network" and part.name not in (*none, *some)]
    assert [name for name in untouched if scores[name] < 1] == []
    assert words in "\n".join(part.message for part in found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 5])
def test_right_files_get_full_points(seed):
    full_points(NAME, seed)


def only(*names):
    """The right file with some of its functions alone."""
    pieces = ("\n" + right(NAME)).split("\ndef ")
    return pieces[0] + "\nimport numpy as np\n" + "".join(f"\ndef {p}" for p in pieces[1:] if p.split("(")[0] in names)


LINEAR = ("linear_forward", "linear_backward_input", "linear_backward_weight")


def test_a_file_may_grow():
    """Linear alone: its own points, and its share of the network's; with each function more there are more."""
    found = results(NAME, only(*LINEAR))
    scores = {part.name: part.score for part in found}
    assert sum(score for name, score in scores.items() if not name.startswith("network")) == 6
    share = [scores[part.name] / part.points for part in PARTS if part.name in OF_NETWORK]
    assert all(0.05 < each < 0.2 for each in share)
    assert "the library's, for yours is missing: conv2d_forward, " in found[-1].message
    more = results(NAME, only(*LINEAR, "one_class_loss", "squared_distances", "adam_update"))
    assert sum(part.score for part in more) > 10 + sum(scores.values())


@pytest.mark.slow
def test_what_is_not_written_yet_is_the_library_s():
    """As missing, and not as an exception would be: the network runs."""
    unwritten = changed(NAME, [("return x @ weight.T", 'raise NotImplementedError("linear_forward")')])
    left_out = changed(NAME, [("def linear_forward", "def my_linear")])

    def network_scores(source):
        return [part.score for part in results(NAME, source) if part.name in OF_NETWORK]

    assert min(network_scores(left_out)) > 0
    with_raise = grade_source(unwritten.encode(), "capstone.py", get_assignment(NAME), 0, Limits(20.0, 60.0))
    assert [part.score for part in with_raise.parts if part.name in OF_NETWORK] == network_scores(left_out)


@pytest.mark.slow
def test_a_file_that_never_ends_loses_its_network_alone():
    source = changed(NAME, [("return x @ weight.T", "while True: pass")])
    grade = grade_source(source.encode(), "capstone.py", get_assignment(NAME), 0, Limits(0.5, 10.0))
    scores = {part.name: part.score for part in grade.parts}
    assert scores["conv2d_forward: by itself"] == 5
    assert all(scores[name] == 0 for name in (*OF_NETWORK, "linear_forward: by itself"))


def test_the_empty_skeleton_earns_nothing():
    assert sum(part.score for part in results(NAME, skeleton(get_assignment(NAME)))) == 0


def test_the_network_s_gradients_are_right_on_the_formulas():
    for name, analytic, numeric in network.gradients_apart(PLAIN, np.random.default_rng(0)):
        assert analytic == pytest.approx(numeric, rel=1e-6), name
