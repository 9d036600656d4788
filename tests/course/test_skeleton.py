"""Skeletons come from the library's sources, hold no solution, and the plain training loop is the estimator's."""

import ast
import inspect
import re

import numpy as np
import pytest

from minisvdd import DeepSVDD
from minisvdd.course import LEVELS, NAMES, get_assignment, skeleton
from minisvdd.course.handout import handout
from minisvdd.course.solutions import deep_svdd as plain
from minisvdd.nn.layers import LeakyReLU, Linear
from minisvdd.nn.networks import Sequential
from minisvdd.nn.optim import Adam

PYTHON = [name for name in NAMES if name != "conv2d-cuda"]


def functions(source):
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", PYTHON)
def test_signatures_and_docstrings_are_the_library_s(name):
    assignment = get_assignment(name)
    written = functions(skeleton(assignment))
    assert list(written) == [source.name for source in assignment.functions]
    for source in assignment.functions:
        node = written[source.name]
        parameters = [name for name in inspect.signature(source.op).parameters if name != "backend"]
        assert [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)] == parameters
        assert ast.get_docstring(node) == inspect.getdoc(source.op)


@pytest.mark.parametrize("name", PYTHON)
@pytest.mark.parametrize("level", LEVELS)
def test_every_body_is_an_exception_between_markers(name, level):
    source = skeleton(get_assignment(name), level)
    for function in functions(source).values():
        (statement,) = function.body[1:]
        assert isinstance(statement, ast.Raise)
        assert statement.exc.func.id == "NotImplementedError"
    assert source.count("# BEGIN SOLUTION") == source.count("# END SOLUTION") == len(functions(source))
    steps = re.findall(r"^    # (?!BEGIN|END)", source, re.MULTILINE)
    assert bool(steps) == (level == "guided")


@pytest.mark.parametrize("name", PYTHON)
def test_markers_as_nbgrader_and_otter_read_them(name):
    """nbgrader looks for the words anywhere in a line, Otter for `# BEGIN SOLUTION` after the indentation.

    Removing what lies between the markers of the teacher's version leaves the student's, apart from its exception.
    """
    assignment = get_assignment(name)
    kept, inside = [], False
    for line in skeleton(assignment, solution=True).splitlines():
        if re.match(r"\s*# END SOLUTION$", line):
            inside = False
        if not inside:
            kept.append(line)
        if re.match(r"\s*# BEGIN SOLUTION$", line):
            inside = True
    student = [line for line in skeleton(assignment).splitlines() if "raise NotImplementedError" not in line]
    assert kept == student


@pytest.mark.parametrize("name", NAMES)
def test_levels_give_less_and_less(name):
    guided, basic, scratch = (skeleton(get_assignment(name), level) for level in LEVELS)
    assert len(guided) > len(basic) > len(scratch)
    with pytest.raises(ValueError, match="level='easy': expected one of"):
        skeleton(get_assignment(name), "easy")


def test_kernels_have_the_library_s_parameters_and_no_body():
    from minisvdd.backends.kernel import find_kernel

    assignment = get_assignment("conv2d-cuda")
    source = skeleton(assignment)
    for name in assignment.kernels:
        head = re.search(rf"__global__ void {name}\(([^)]*)\)", source)[1]
        assert [text.split()[-1].lstrip("*") for text in head.split(",")] == [
            parameter.name for parameter in find_kernel(name, "naive").parameters
        ]
    assert "sum" not in source.partition("template")[2]


@pytest.mark.parametrize("name", NAMES)
def test_handout_lists_functions_and_points(name):
    assignment = get_assignment(name)
    text = handout(assignment)
    assert assignment.points == 100
    for part in assignment.parts:
        assert f"| {part.name} | {part.points} |" in text
    for written in [source.name for source in assignment.functions] or assignment.kernels:
        assert f"`{written}" in text
    assert len({part.name for part in assignment.parts}) == len(assignment.parts)
    assert any(part.hidden for part in assignment.parts)
    assert not all(part.hidden for part in assignment.parts)


class Precise(DeepSVDD):
    """In float64: rounding to float32 would decide whether the sample on the sphere is inside."""

    _dtype = np.float64


@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_the_plain_training_loop_is_the_estimator(objective):
    X = np.random.default_rng(0).standard_normal((50, 6), np.float32)
    settings = {"nu": 0.2, "epochs": 7, "batch_size": 16, "radius_every": 3, "center_epsilon": 0.1}

    def network():
        return Sequential([Linear(8), LeakyReLU(0.1), Linear(3)])

    model = Precise(
        objective=objective, network=network(), pretrain_epochs=0, milestones=(), learning_rate=0.01, weight_decay=0.0,
        preprocessing=None, random_state=5, verbose=0, **settings,
    ).fit(X)  # fmt: skip
    rng, own = np.random.default_rng(5), network()
    own.build((6,), rng, np.float64)
    data = X.astype(np.float64)
    optimizer = Adam(own, 0.01)
    center, radius_squared, losses = plain.train_deep_svdd(own, optimizer, data, objective, rng=rng, **settings)
    np.testing.assert_allclose(center, model.center_, rtol=1e-12)
    np.testing.assert_allclose(losses, model.history_["loss"], rtol=1e-12)
    np.testing.assert_allclose(radius_squared, model.radius_**2, rtol=1e-12)
    scored = radius_squared if objective == "soft-boundary" else 0.0
    found = plain.anomaly_score(own, data, center, scored)
    np.testing.assert_allclose(found, model.anomaly_score(X), rtol=1e-12, atol=1e-12)
