"""Every assignment: right lines get full points, the skeleton none, a planted mistake costs what it should."""

import mistakes
import mistakes_cases
import mistakes_training
import pytest
from helpers_course import in_time, lost, messages, planted, wrong_functions
from in_process import grade_here
from kernels_here import KernelsHere

from minisvdd.backends import backend_problems
from minisvdd.course import LEVELS, NAMES, get_assignment, skeleton
from minisvdd.course.grader.checks import Student
from minisvdd.course.grader.grading import Grade, grade_parts, grade_source
from minisvdd.course.grader.sandbox import Limits
from minisvdd.course.parts import DTYPE

pytestmark = pytest.mark.slow

PLANTED = {**mistakes.MISTAKES, **mistakes_training.MISTAKES}
ELSEWHERE = (
    "gradcheck",
    "collapse",
    "threshold",
    "anogan-search",
    "capstone",
    "conv2d-tiled",
)  # each in a file of its own
CASES = [(name, *mistake) for name in NAMES if name not in ELSEWHERE for mistake in PLANTED[name]]
OWN = [(name, *mistake) for name, planted in mistakes_cases.MISTAKES.items() for mistake in planted]
IN_THE_CAGE = ("does not compile", "includes a header", "no check of the edge")  # and one that fails while it runs
PYTHON = [name for name in NAMES if get_assignment(name).language == "python"]
CUDA = "conv2d-cuda"
PATIENT = Limits(call_seconds=20.0, total_seconds=60.0, start_seconds=60.0)  # a busy machine must not fail a test


def run(name, source, seed=0):
    if get_assignment(name).language == "cuda" and (problem := backend_problems()["emulator"]):
        pytest.skip(problem)
    assignment = get_assignment(name)
    return grade_source(source.encode(), assignment.filename, assignment, seed, PATIENT)


def right(name):
    """The file that mistakes are planted in: a student's own lines; for kernels, the model solution."""
    assignment = get_assignment(name)
    return mistakes.right_submission(assignment.filename) if name in PYTHON else skeleton(assignment, solution=True)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """The model solution in CUDA and files with a mistake, compiled at once."""
    if problem := backend_problems()["emulator"]:
        pytest.skip(problem)
    changes = {case[1]: case[2] for case in (*CASES, *OWN) if case[0] == CUDA and case[1] not in IN_THE_CAGE}
    sources = {mistake: planted(right(CUDA), edits) for mistake, edits in changes.items()}
    return KernelsHere({"": right(CUDA), **sources}, tmp_path_factory.mktemp("kernels"))


def grade_of(name, mistake, changes, request, seed=0):
    """Of our own lines, which need no cage, and are graded much faster without."""
    if name in PYTHON:
        return grade_here(planted(right(name), changes), get_assignment(name), seed)
    if mistake in IN_THE_CAGE:
        return run(name, planted(right(name), changes), seed)
    assignment, here = get_assignment(name), request.getfixturevalue("kernels").sandbox(mistake)
    return Grade(name, assignment.filename, grade_parts(assignment, Student(here), seed, b""), seed)


@pytest.mark.parametrize("name", NAMES)
def test_model_solution_gets_full_points(name):
    """In the cage; with other seeds: `test_seeds.py`, and for kernels below and in `test_tiled_task.py`."""
    with in_time(10):
        grade = run(name, skeleton(get_assignment(name), solution=True), 20261)
    assert [part.message for part in grade.parts if part.message] == []
    assert grade.score == grade.points == 100
    assert grade.tried == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_a_student_s_own_words_get_full_points(name, request):
    """Other lines than the model solution's; and losses of two results, value and gradient, as older handouts asked."""
    grade = grade_of(name, "", [], request, 7)
    assert [part.message for part in grade.parts if part.message] == []
    assert grade.score == 100


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("capstone", "conv2d-tiled")])
def test_untouched_skeleton_gets_nothing(name):
    grade = run(name, skeleton(get_assignment(name), LEVELS[NAMES.index(name) % 3]))
    assert grade.score == 0
    assert all(part.message for part in grade.parts)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_at_least_six_mistakes_are_planted(name):
    assert len({mistake[0] for mistake in PLANTED[name]}) >= 6


@pytest.mark.parametrize(
    ("name", "mistake", "changes", "wrong", "words"), CASES, ids=[f"{case[0]}: {case[1]}" for case in CASES]
)
def test_planted_mistake(name, mistake, changes, wrong, words, request):
    grade = grade_of(name, mistake, changes, request)
    assert set(lost(grade.parts)) == with_form(wrong, grade)
    assert words in messages(grade.parts)


@pytest.mark.parametrize(
    ("name", "mistake", "changes", "function", "words"), OWN, ids=[f"{case[0]}: {case[1]}" for case in OWN]
)
def test_a_mistake_costs_its_own_function_alone_and_is_named(name, mistake, changes, function, words, request):
    grade = grade_of(name, mistake, changes, request)
    assert wrong_functions(grade.parts) == {function}
    assert words in messages(grade.parts)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        (
            "one-class-loss",
            [
                ("squared_distances(outputs, center).mean()", "((outputs - center) ** 2).mean()"),
                ("2 / len(outputs)", "2 / outputs.size"),
            ],
            "the mean over all N p entries, where the coordinates are to be summed",
        ),
        (
            "soft-boundary-radius",
            [("grad = 2 / (nu * N) * outside", "grad = 2 / (nu * N * len(center)) * outside")],
            "divided by the number of coordinates as well",
        ),
    ],
)
def test_a_mistake_has_one_name_in_public_and_hidden_parts(name, changes, words, request):
    """Sizes that tell it from its neighbours: with two coordinates a mean over them is half of their sum."""
    found = [part.message for part in grade_of(name, "", changes, request).parts if "looks like: " in part.message]
    assert len(found) > 2
    assert all(words in message for message in found), found


def test_ten_of_them_in_each_assignment():
    assert all(len(planted) >= 10 for planted in mistakes_cases.MISTAKES.values())


def with_form(names, grade):
    """Parts that lose points: a function whose values are wrong has none for dtype and form either."""
    wrong = {name.partition(":")[0] for name in names if name.partition(": ")[2] in ("values", "value", "gradient")}
    return {*names, *(part.name for part in grade.parts if DTYPE in part.name and part.name.partition(":")[0] in wrong)}


def test_an_error_that_follows_from_another_costs_half():
    source = right("linear").replace("return x @ weight.T", "return 2 * x @ weight.T")
    grade = run("linear", source.replace("return grad_output @ weight", "return 2 * grad_output @ weight"))
    scores = {part.name: part.score / part.points for part in grade.parts}
    assert scores["linear_forward: values"] == 0
    assert scores["linear_backward_input: values"] == 0.5
    assert scores["linear_backward_weight: values"] == 1


SINGLE = {
    "linear": ("return x @ weight.T", "return (x.astype('f4') @ weight.T.astype('f4')).astype(x.dtype)"),
    "leaky-relu": ("return np.where(x > 0, x, slope * x)", "return np.where(x > 0, x, slope * x).astype(np.float32)"),
    "one-class-loss": ("** 2).sum(axis=1)", "** 2).sum(axis=1, dtype=np.float32)"),
    "adam": ("g = grad + weight_decay * param", "g = (grad + weight_decay * param).astype(np.float32)"),
    "batchnorm": ("mean_g = grad_output.mean(", "mean_g = grad_output.astype(np.float32).mean("),
}


@pytest.mark.parametrize("name", SINGLE)
def test_single_precision_costs_half_and_is_called_by_its_name(name):
    """Values get half of their points, the form of the answer all of them."""
    old, new = SINGLE[name]
    assert old in right(name)
    grade = grade_here(right(name).replace(old, new), get_assignment(name), 7)
    wrong = [part for part in grade.parts if not part.passed]
    assert wrong
    for part in wrong:
        assert part.score == part.points / 2, part
        assert "something is computed in single precision" in part.message


IN_SINGLE = """

def _in_single(function):
    def cast(value, dtype):
        if isinstance(value, tuple):
            return tuple(cast(v, dtype) for v in value)
        return value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value

    return lambda *arguments: cast(function(*(cast(value, np.float32) for value in arguments)), np.float64)
"""


@pytest.mark.parametrize("name", ["linear", "leaky-relu", "one-class-loss", "batchnorm", "conv2d", "warm-up"])
def test_every_part_on_values_sees_single_precision(name):
    """None has inputs so kind that float32 is right to more digits there than float64 has to be."""
    functions = [function.name for function in get_assignment(name).functions]
    source = right(name) + IN_SINGLE + "".join(f"\n{function} = _in_single({function})" for function in functions)
    full = {part.name for part in grade_here(source, get_assignment(name), 7).parts if part.passed}
    integers = {part for part in full if part.startswith("conv2d_output_size")}
    assert full - integers <= {"batchnorm_backward: no pull along 1 and x_hat"}


def test_a_step_from_wrong_moments_gets_half_and_what_is_wrong_with_them_is_said():
    source = right("adam").replace("(1 - beta1) * g", "g")
    parts = {part.name: part for part in grade_here(source, get_assignment("adam")).parts}
    step = parts["adam_update: a later step"]
    assert step.score == step.points / 2
    assert "the factor 1 - beta1 is forgotten" in step.message
    assert parts["adam_update: first moment"].score == 0
    assert parts["adam_update: second moment"].passed


def test_the_maxima_count_though_the_winners_are_wrong():
    """And the other way round: who finds the winners of windows whose mean is returned has the points for them."""
    for change in (("window.argmax(", "window.argmin("), ("window.max(", "window.mean(")):
        assert change[0] in right("maxpool")
        parts = grade_here(right("maxpool").replace(*change), get_assignment("maxpool"), 7).parts
        assert sum(part.score for part in parts if part.name.startswith("maxpool_forward")) == 22


def test_feedback_has_index_both_numbers_and_diagnosis():
    grade = run("linear", right("linear").replace("return grad_output @ weight", "return -(grad_output @ weight)"))
    message = next(part.message for part in grade.parts if not part.passed)
    first, where, own, diagnosis = message.splitlines()
    assert first.startswith("the result[0, 0]: expected ")
    assert first.endswith("(12 of 12 entries differ)")
    expected, got = (float(first.split(word)[1].split()[0].strip(",")) for word in ("expected ", "got "))
    assert expected == -got
    assert where == "(grad_output (4, 2), weight (2, 3))"
    assert own == f"finite differences of your own forward pass give {expected:g} there"
    assert diagnosis == "looks like: negated"


def test_one_seed_one_grade():
    source = right("conv2d").replace("+ 1 : sw] += share", "+ 1 : sw] = share")
    first, again, other = (run("conv2d", source, seed) for seed in (3, 3, 4))
    assert [p.message for p in first.parts] == [p.message for p in again.parts]
    assert [p.message for p in first.parts] != [p.message for p in other.parts]
    public = [[p.message for p in grade.parts if not p.hidden] for grade in (first, other)]
    assert public[0] == public[1]


@pytest.mark.parametrize(
    "body",
    [
        "return np.zeros_like(a[0])",
        "return a[0]",
        "return 0.0, np.zeros_like(a[0])",
        "return 0.0, np.zeros_like(a[0]), np.zeros(len(a[0]))",
    ],
)
@pytest.mark.parametrize("name", PYTHON)
def test_nothing_computed_is_no_points(name, body):
    assignment = get_assignment(name)
    source = "import numpy as np\n" + "\n".join(f"def {f.name}(*a):\n    {body}" for f in assignment.functions)
    assert grade_here(source, assignment).score == 0
