"""Skeletons are cut from plain readings and hold nothing else of the library; the plain loop is the estimator's."""

import ast
import inspect
import re
import sys

import numpy as np
import pytest

from minisvdd import DeepSVDD
from minisvdd.course import LEVELS, NAMES, get_assignment, skeleton
from minisvdd.course.assignment import Assignment, Source
from minisvdd.course.handouts.contracts import CONTRACTS, contract
from minisvdd.course.handouts.handout import handout
from minisvdd.course.handouts.reading import Reading
from minisvdd.course.tasks.method import deep_svdd_solution as plain
from minisvdd.nn.layer import Network
from minisvdd.nn.layers import LeakyReLU, Linear
from minisvdd.nn.networks import Sequential
from minisvdd.nn.optim import Adam
from minisvdd.ops import batchnorm, losses
from minisvdd.places import shipped
from minisvdd.svdd.plain import anomaly_score

PYTHON = [name for name in NAMES if get_assignment(name).language == "python"]
MACHINERY = re.compile(
    r"\b(?:backends?|deferred|deferring|workspaces?|NUMPY|accumulator|Operation)\b|\bscratch\(|\bout\s*[=:]"
)
MODULES = re.compile(r"\bminisvdd\.\w+|\b(scipy|sklearn|matplotlib|cupy|torch|threadpoolctl)\b")


def functions(source):
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def written(assignment, source):
    """The functions to write, less those that are given."""
    given = {helper.__name__ for helper in assignment.helpers}
    return {name: node for name, node in functions(source).items() if name not in given}


@pytest.mark.parametrize("name", PYTHON)
def test_signatures_and_docstrings_are_the_library_s(name):
    assignment = get_assignment(name)
    nodes = written(assignment, skeleton(assignment, "guided"))
    assert list(nodes) == [source.name for source in assignment.functions]
    for source in assignment.functions:
        arguments = nodes[source.name].args
        assert [argument.arg for argument in arguments.args] == list(inspect.signature(source.op).parameters)
        assert ast.get_docstring(nodes[source.name]) == inspect.getdoc(source.op)


@pytest.mark.parametrize("solution", [False, True], ids=["student", "teacher"])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_library_s_machinery_is_handed_out(name, level, solution):
    """No backends, no arrays to write into, no module that a student may not import, but for what he tries at home."""
    assignment = get_assignment(name)
    at_home = re.compile(r"^    if __name__ == .__main__.:\n(        .*\n)+", re.MULTILINE)
    for text in (skeleton(assignment, level, solution), at_home.sub("", handout(assignment, level))):
        assert MACHINERY.findall(text) == []
        assert MODULES.findall(text) == []


@pytest.mark.parametrize("text", ["out=None", "out: a row", "a workspace", "kernel backend", "empty = scratch()"])
def test_words_of_the_machinery_are_found(text):
    assert MACHINERY.search(text)
    assert not MACHINERY.search("from scratch, without an order, out of bounds")


@pytest.mark.parametrize("name", PYTHON)
def test_a_student_s_file_loads_with_numpy_and_the_standard_library(name):
    for solution in (False, True):
        source = skeleton(get_assignment(name), solution=solution)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert module.partition(".")[0] in {"numpy", *sys.stdlib_module_names}
        exec(compile(source, name, "exec"), {})


@pytest.mark.parametrize("name", PYTHON)
@pytest.mark.parametrize("level", LEVELS)
def test_every_body_is_an_exception_between_markers(name, level):
    assignment = get_assignment(name)
    source = skeleton(assignment, level)
    nodes = written(assignment, source)
    for function in nodes.values():
        (statement,) = function.body[1:]
        assert isinstance(statement, ast.Raise)
        assert statement.exc.func.id == "NotImplementedError"
    assert source.count("# BEGIN SOLUTION") == source.count("# END SOLUTION") == len(nodes)
    bodies = re.findall(r"# BEGIN SOLUTION\n(.*?) *# END SOLUTION", source, re.DOTALL)
    for body in bodies:
        assert bool(re.search(r"^    # ", body, re.MULTILINE)) == (level == "guided")


def test_types_of_the_library_s_own_are_left_out():
    """What a student's file cannot import: `network: nn.Network` becomes `network`; NumPy's types stay."""
    (score,) = [source for source in get_assignment("deep-svdd").functions if source.op is anomaly_score]
    assert inspect.signature(anomaly_score).parameters["network"].annotation is Network
    assert score.reading.head == [
        "def anomaly_score(network, X: np.ndarray, c: np.ndarray, R2: float = 0.0) -> np.ndarray:"
    ]


def test_helpers_that_are_not_asked_for_are_given():
    for level in LEVELS:
        source = skeleton(get_assignment("batchnorm"), level)
        head = source.partition("def batch_statistics")[0]
        assert "return values.reshape(" in head
        assert "NotImplementedError" not in head


def test_imports_that_would_tell_the_solution_stand_between_the_markers():
    student, teacher = (skeleton(get_assignment("maxpool"), solution=solution) for solution in (False, True))
    assert "sliding_window_view" not in student
    assert re.search(r"# BEGIN SOLUTION\n    from numpy.lib.stride_tricks import sliding_window_view\n", teacher)


def of(*sources):
    """An assignment that asks for these functions."""
    return Assignment("mine", "Mine", "the paper", "", sources, (), derivation=losses)


def test_what_a_student_s_file_would_lack_is_refused():
    with pytest.raises(ValueError, match=r"batchnorm_forward_batch uses batch_statistics of the library: ask for it"):
        skeleton(of(Source(batchnorm.batchnorm_forward_batch)))
    with pytest.raises(ValueError, match="one_class_loss uses accumulator of the library"):
        skeleton(of(Source(losses.squared_distances), Source(losses.one_class_loss)), solution=True)
    with pytest.raises(ValueError, match=r"one_class_loss has no 'np\.quantile'"):
        skeleton(of(Source(losses.one_class_loss, instead=(("np.quantile", "np.max"),))))
    with pytest.raises(ValueError, match="undocumented has no docstring"):
        Reading(undocumented)


def undocumented():
    return 1


@pytest.mark.parametrize("name", PYTHON)
def test_markers_as_nbgrader_and_otter_read_them(name):
    """nbgrader looks for the words anywhere in a line, Otter for `# BEGIN SOLUTION` after the indentation.

    Removing what lies between the markers of the teacher's version leaves the student's, apart from its exception.
    """
    assignment = get_assignment(name)
    kept, inside = [], False
    for line in below_its_opening(skeleton(assignment, solution=True)):
        if re.match(r"\s*# END SOLUTION$", line):
            inside = False
        if not inside:
            kept.append(line)
        if re.match(r"\s*# BEGIN SOLUTION$", line):
            inside = True
    lines = below_its_opening(skeleton(assignment))
    assert kept == [line for line in lines if "raise NotImplementedError" not in line]


def below_its_opening(source):
    """The lines of a file from its first import on."""
    lines = source.splitlines()
    return lines[next(i for i, line in enumerate(lines) if re.match("import|from", line)) :]


@pytest.mark.parametrize("name", NAMES)
def test_levels_give_less_and_less(name):
    """Steps and formulas, formulas, neither. What the teacher gets is of no level."""
    assignment = get_assignment(name)
    guided, plain, scratch = (skeleton(assignment, level) for level in LEVELS)
    steps = [len(re.findall(r"^    (?:#|//) [a-z]", text, re.MULTILINE)) for text in (guided, plain, scratch)]
    assert steps[0] > steps[1] == steps[2]
    assert assignment.formulas().splitlines()[-1] in plain
    assert assignment.formulas().splitlines()[-1] not in scratch
    teachers = skeleton(assignment, "guided", solution=True)
    assert "level" not in teachers.partition("\n\n")[0]
    assert "the teacher's version" in teachers
    with pytest.raises(ValueError, match="level='easy': expected one of"):
        skeleton(assignment, "easy")


# What is handed out must not say: plumbing of the library, and at the level "scratch" what is to be derived.
PLUMBING = (
    "phase by phase",
    "subpixel",
    "minisvdd.ops",
    "minisvdd/ops",
    "pad_forward",
    "ceil_mode",
    "other code",
)
DERIVED = {
    "a gradient of the linear layer": r"dL/d\w+ = |G\^T|\bG W\b|G x\b|\.T @",
    "the input gradient of a convolution": r"flipped filters|flip the|G_s|zeros put between|u - a|\(k - 1 - p\)",
    "the terms of batch norm": r"mean\(g|m ?\^-1|dL/dv|x_hat mean|r g\b|sum G",
    "the derivative of a kink": r"1 if|else slope|slope G|G \(",
    "the gradient of a loss": r"2 ?/ ?N|\b2 \((?:phi|outputs)|2 ?/ ?\(nu|1/\(nu N\) if|dJ/dphi_i = |dJ/dd",
    "the order of the radius": r"d_\(|floor|sort|order statistic",
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_no_plumbing_is_handed_out(name, level):
    assignment = get_assignment(name)
    for text in (skeleton(assignment, level), handout(assignment, level)):
        assert [word for word in PLUMBING if word in text] == []
        assert max(map(len, text.splitlines())) <= 121


@pytest.mark.parametrize("name", NAMES)
def test_scratch_gives_nothing_away_that_is_to_be_derived(name):
    """`plain` gives what `scratch` must not: the words that are looked for are those of the formulas."""
    text = skeleton(get_assignment(name), "scratch")
    assert {what: re.findall(given, text) for what, given in DERIVED.items() if re.search(given, text)} == {}


def test_the_words_that_are_looked_for_are_those_of_the_formulas():
    plain = "\n".join(skeleton(get_assignment(name)) for name in NAMES)
    assert [what for what, given in DERIVED.items() if not re.search(given, plain)] == []


@pytest.mark.parametrize("name", PYTHON)
def test_scratch_defines_what_it_speaks_of(name):
    """Functions in backticks are in the file, every argument is explained, and each text says what is returned."""
    assignment = get_assignment(name)
    nodes = functions(skeleton(assignment, "scratch"))
    explained = " ".join(ast.get_docstring(node) for node in nodes.values())
    for source in assignment.functions:
        text = ast.get_docstring(nodes[source.name])
        assert re.search(r"Returns|Raises|return", text), source.name
        for argument in inspect.signature(source.op).parameters:
            assert re.search(rf"\b{argument}\b", explained), f"{source.name}: {argument}"
        for word in re.findall(r"`(\w+)`", text):
            assert word in nodes or word in inspect.signature(source.op).parameters, f"{source.name}: {word}"
        assert not re.search(r"\) above\b|\bas above\b", text)


def test_contracts_fit_into_a_line():
    for name in CONTRACTS:
        assert max(map(len, contract(name, "scratch"))) <= 120, name


@pytest.mark.parametrize("name", NAMES)
def test_guided_has_its_steps(name):
    source = skeleton(get_assignment(name), "guided")
    bodies = re.findall(r"(?:#|//) BEGIN SOLUTION\n(.*?) *(?:#|//) END SOLUTION", source, re.DOTALL)
    assert all(re.search(r"^    (?:#|//) \w", body, re.MULTILINE) for body in bodies)
    assert "//:" not in source
    assert "#:" not in source


@pytest.mark.parametrize("name", PYTHON)
def test_no_docstring_stands_twice(name):
    source = skeleton(get_assignment(name), solution=True)
    for node in functions(source).values():
        assert source.count(ast.get_docstring(node).partition("\n")[0]) == 1


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_a_handout_says_what_a_student_asks_first(name, level):
    """What it is good for, how long it takes, what to read, how exact, what if stuck, who may help."""
    assignment, text = get_assignment(name), handout(get_assignment(name), level)
    assert len(assignment.goals) >= 2
    assert re.fullmatch(r"[\d.]+( to [\d.]+)?", assignment.hours)
    for what in (
        "Afterwards you can",
        "**Time:** about",
        "**If you are stuck.**",
        "## Working together",
    ):
        assert what in text
    for tolerance in ("1e-8", "1e-4"):
        assert tolerance in text
    assert assignment.lectures
    for lecture in assignment.lectures:
        stem, _, section = lecture.partition("#")
        script = (shipped("lectures") / f"{stem}.py").read_text(encoding="utf-8")
        assert f"`lectures/{stem}.py`" in text
        assert not section or re.search(rf"^# ##+ {re.escape(section)}$", script, re.MULTILINE), lecture


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
        preprocessing=None, random_state=5, verbose=0, threshold="nu", **settings,
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
    found = anomaly_score(own, data, center, scored)
    np.testing.assert_allclose(found, model.anomaly_score(X), rtol=1e-12, atol=1e-12)
