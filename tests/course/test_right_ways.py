"""Right in other ways than the model solution: full points."""

import mistakes
import pytest
from in_process import grade_here

from minisvdd.backends import backend_problems
from minisvdd.course import get_assignment, skeleton
from minisvdd.course.grader.grading import grade_source
from minisvdd.course.grader.sandbox import Limits
from minisvdd.course.tasks.cuda.one_kernel import only

_SORTED = "return float(np.sort(squared_distances)[::-1][outside])"
_WHOLE = "((network.forward(X, training=False) - center) ** 2).sum(axis=1)"
_OF_A_BATCH = "distances = (difference**2).sum(axis=1)\n        if"
PATIENT = Limits(call_seconds=20.0, total_seconds=60.0, start_seconds=60.0)
WAYS = [
    ("soft-boundary-radius", "R first", _SORTED, "return np.sqrt(np.sort(squared_distances)[::-1][outside]) ** 2"),
    (
        "soft-boundary-radius",
        "an array without axes",
        _SORTED,
        "return np.array(np.sort(squared_distances)[::-1][outside])",
    ),
    (
        "soft-boundary-radius",
        "the quantile that is an order statistic",
        _SORTED,
        'return np.quantile(squared_distances, 1 - nu if nu < 1 else 0, method="inverted_cdf")',
    ),
    (
        "deep-svdd",
        "the radius from outputs in batches",
        _WHOLE,
        "np.concatenate([((network.forward(X[b]) - center) ** 2).sum(axis=1) for b in fixed_batches(len(X), 17)])",
    ),
    ("deep-svdd", "the radius from one sample at a time", _WHOLE, (
        "np.array([((network.forward(x[None])[0] - center) ** 2).sum() for x in X])"
    )),
    # rounding puts the sample whose distance is R^2 on either side of the sphere
    ("deep-svdd", "distances by a root and its square", _OF_A_BATCH, _OF_A_BATCH.replace(
        "(difference**2).sum(axis=1)", "np.linalg.norm(difference, axis=1) ** 2"
    )),
    ("deep-svdd", "distances by three products", _OF_A_BATCH, _OF_A_BATCH.replace(
        "(difference**2).sum(axis=1)", "(outputs**2).sum(axis=1) - 2 * outputs @ center + center @ center"
    )),
    ("conv2d", "filters turned into a matrix", 'np.einsum("kc,ncpq->nkpq", weight[:, :, a, b], met)', (
        "(weight[:, :, a, b] @ met.reshape(len(x), -1, P * Q)).reshape(y.shape)"
    )),
    ("maxpool", "winners as they are printed", "winner = np.empty((N, C, P, Q), np.int64)", (
        "winner = np.empty((N, C, P, Q), np.uint8)"
    )),
]  # fmt: skip


@pytest.mark.parametrize(("name", "way", "old", "new"), WAYS, ids=[f"{way[0]}: {way[1]}" for way in WAYS])
def test_another_right_way(name, way, old, new):
    assignment = get_assignment(name)
    source = mistakes.right_submission(assignment.filename)
    assert old in source
    for seed in (3, 6):
        grade = grade_here(source.replace(old, new), assignment, seed)
        assert [part.message for part in grade.parts if part.message] == []


def test_a_helper_s_mistake_does_not_cost_the_loop():
    """Points for the loop that calls it, and a word why."""
    source = mistakes.right_submission("deep_svdd.py").replace(
        "network.forward(x, training=True)", "network.forward(x)"
    )
    grade = grade_here(source, get_assignment("deep-svdd"), 3)
    lost = {part.name.partition(":")[0] for part in grade.parts if not part.passed}
    assert lost == {"train_epoch"}
    assert "not its own mistake: with a right move_from_zero" in "".join(part.message for part in grade.parts)


BROKEN = """// a kernel with a comment: { and "
template <typename T>
__global__ void first(const T* x) {
    if (x) {
}

template <typename T>
__global__ void second(const T* x) {
    int i = 0;  // }
}

__device__ int helper() { return 1; }
__global__ void third(int n) { helper(); }
"""


@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_one_kernel_of_a_file(name):
    """The others' bodies are empty, and lines keep their numbers; an open brace ends where the next kernel begins."""
    lines = only(BROKEN.encode(), name).decode().splitlines()
    assert len(lines) >= len(BROKEN.splitlines()) - 1
    assert [lines.index(line) for line in lines if f"void {name}(" in line] == [
        BROKEN.splitlines().index(line) for line in BROKEN.splitlines() if f"void {name}(" in line
    ]
    kept = {"first": "if (x) {", "second": "int i = 0;  // }", "third": "helper(); }"}
    text = "\n".join(lines)
    assert [kernel for kernel, body in kept.items() if body in text] == [name]
    if name != "first":
        assert text.count("{") - text.count("{ and") == text.count("}") - text.count("// }")


@pytest.mark.slow
@pytest.mark.compiler
def test_a_kernel_may_print():
    if problem := backend_problems()["emulator"]:
        pytest.skip(problem)
    assignment = get_assignment("conv2d-cuda")
    source = skeleton(assignment, solution=True)
    source = source.replace(
        "    y[i] = sum;", '    if (i == 2) printf("sum %d: %g\\n", i, (double)sum);\n    y[i] = sum;'
    )
    grade = grade_source(source.encode(), assignment.filename, assignment, 0, PATIENT)
    assert [part.message for part in grade.parts if part.message] == []
    assert grade.output.startswith("sum 2: ")
