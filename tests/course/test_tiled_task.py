"""`conv2d-tiled`: values, races, traffic and bank conflicts, by kernels that are compiled together and run here."""

import re

import mistakes_tiled as mistaken
import numpy as np
import pytest
from helpers_course import planted
from kernels_here import KernelsHere

from minisvdd.backends import backend_problems
from minisvdd.course import get_assignment, skeleton
from minisvdd.course.grader.checks import Student
from minisvdd.course.grader.grading import grade_parts, grade_source
from minisvdd.course.tasks.cuda import conv2d_tiled_costs as costs

ASSIGNMENT = get_assignment("conv2d-tiled")
SOLUTION = skeleton(ASSIGNMENT, solution=True)
PLANTED = [*mistaken.WRONG, *mistaken.COSTLY]
SHAPES = [(1, 3, 36, 35, 2, 5, 4), (1, 2, 37, 21, 1, 3, 7), (2, 1, 16, 16, 1, 1, 1), (1, 1, 5, 4, 3, 2, 4)]

pytestmark = [
    pytest.mark.compiler,
    pytest.mark.skipif(bool(backend_problems()["emulator"]), reason="no compiler for the emulator"),
]


def messages_of(parts):
    return {part.name.partition(": ")[2]: part.message for part in parts if part.message}


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """All kernels of this file by the words for them, compiled at once."""
    sources = {words: planted(SOLUTION, edits) for words, edits, *_ in (*PLANTED, *mistaken.RIGHT)}
    return KernelsHere({"the solution": SOLUTION, **sources}, tmp_path_factory.mktemp("kernels"))


def graded(kernels, words, seed=0):
    return grade_parts(ASSIGNMENT, Student(kernels.sandbox(words)), seed, b"")


@pytest.mark.parametrize(
    ("words", "seed"),
    [*(("the solution", seed) for seed in range(3)), *((words, 1) for words, _ in mistaken.RIGHT)],
)
def test_right_kernels_get_all_points(kernels, words, seed):
    parts = graded(kernels, words, seed)
    assert messages_of(parts) == {}
    assert sum(part.score for part in parts) == 100


@pytest.mark.parametrize(("words", "edits", "parts", "said"), PLANTED, ids=[row[0] for row in PLANTED])
def test_planted_mistakes_lose_their_parts_and_are_named(kernels, words, edits, parts, said):
    messages = messages_of(graded(kernels, words))
    assert set(messages) == set(parts)
    assert said in "\n".join(messages.values())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_model_s_costs_are_those_that_the_emulator_counts(kernels, shape):
    N, C, H, W, K, kh, kw = shape
    x, weight = np.ones((N, C, H, W), np.float32), np.ones((K, C, kh, kw), np.float32)
    s = costs.Sizes(x, weight)
    y = np.zeros((N, K, s.P, s.Q), np.float32)
    arguments = [x, weight, y, C, H, W, K, kh, kw]
    for words, cost in (("the solution", costs.tiled(s)), ("no tile at all", costs.untiled(s))):
        counts = kernels.sandbox(words).call("conv2d_tiled", arguments, s.grid, (16, 16), True)[0][1]
        assert [counts[key] for key in ("global_loads", "global_stores", "transactions")] == list(cost.values())


def test_the_message_says_what_was_counted_beside_the_model_s(kernels):
    message = messages_of(graded(kernels, "taps from global memory"))[mistaken.NEAR]
    used, model, untiled, most = map(
        int,
        re.search(
            r"(\d+) sectors of global memory: the model solution moves (\d+), a kernel without a tile (\d+); "
            r"at most (\d+)",
            message,
        ).groups(),
    )
    assert model < most < used < untiled
    assert most == int(1.5 * model)


def test_the_skeleton_has_the_head_of_its_own_and_no_solution():
    for level in ("guided", "plain", "scratch"):
        text = skeleton(ASSIGNMENT, level)
        assert (
            "void conv2d_tiled(const T* x, const T* weight, T* y, int C, int H, int W, int K, int kh, int kw) {" in text
        )
        assert "__syncthreads" not in text.partition("BEGIN SOLUTION")[2]
        assert "(sh, sw)" not in text
        assert ("// wait until all have loaded" in text) == (level == "guided")


@pytest.mark.slow
def test_in_the_cage_the_points_are_the_same():
    """As those that it loses here; all of them for the model solution: `test_mistakes.py`."""
    edits = {words: edits for words, edits, *_ in PLANTED}["no tile at all"]
    grade = grade_source(planted(SOLUTION, edits).encode(), ASSIGNMENT.filename, ASSIGNMENT, 5)
    assert grade.score == 40
    assert grade.tried == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edits", "parts", "said"),
    [
        (mistaken.FLOAT_ALONE, mistaken.VALUES, "a kernel for float alone"),
        (mistaken.KEPT, mistaken.ALL, "writes a variable that is neither its own nor shared"),
        ([("    // END SOLUTION", "    }\n    // END SOLUTION")], mistaken.ALL, "does not compile: conv2d_tiled.cu:"),
    ],
    ids=["float alone", "kept in a variable of the program", "does not compile"],
)
def test_files_that_are_another_kind_of_wrong(edits, parts, said):
    grade = grade_source(planted(SOLUTION, edits).encode(), ASSIGNMENT.filename, ASSIGNMENT)
    assert set(messages_of(grade.parts)) == set(parts)
    assert said in "\n".join(part.message for part in grade.parts)


@pytest.mark.parametrize("level", ["guided", "plain", "scratch"])
def test_an_empty_kernel_gets_nothing(tmp_path, level):
    """Who moves nothing has no traffic; costs count for right results only."""
    empty = KernelsHere({"empty": skeleton(ASSIGNMENT, level)}, tmp_path)
    assert sum(part.score for part in grade_parts(ASSIGNMENT, Student(empty.sandbox("empty")), 0, b"")) == 0
