"""Who wrote alike: copies in disguise are found, independent answers and short ones are not."""

import ast
from pathlib import Path

import pytest

from minisvdd.course import LEVELS, NAMES, get_assignment, skeleton
from minisvdd.course.classroom import alike
from minisvdd.course.classroom.likeness import MODEL, SMALLEST, Pair, pieces
from minisvdd.course.classroom.likeness import likeness as share_of
from minisvdd.course.classroom.results import write_results
from minisvdd.course.classroom.statistics import as_text
from minisvdd.course.grader.grading import failed

STUDENTS = Path(__file__).parents[1] / "support" / "students"


def grades(assignment, **texts):
    return {name: failed(assignment, "x", "", source=text.encode()) for name, text in texts.items()}


def pairs(assignment, **texts):
    return {frozenset((pair.one, pair.other)): pair.share for pair in alike(grades(assignment, **texts), assignment)}


def own(name):
    """A solution that is not cut from the library."""
    return (STUDENTS / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")


class Disguise(ast.NodeTransformer):
    """Every name that functions give is another one; types and docstrings are gone."""

    def __init__(self, tree):
        inside = [node for function in ast.walk(tree) if isinstance(function, FUNCTION) for node in ast.walk(function)]
        names = {node.id for node in inside if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        names |= {node.arg for node in inside if isinstance(node, ast.arg)}
        self.names = {name: f"value{number}" for number, name in enumerate(sorted(names))}

    def visit_Name(self, node):
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_arg(self, node):
        node.arg, node.annotation = self.names.get(node.arg, node.arg), None
        return node

    def visit_FunctionDef(self, node):
        node.returns = None
        if ast.get_docstring(node):
            node.body = node.body[1:]
        return self.generic_visit(node)


FUNCTION = ast.FunctionDef


def disguised(text):
    tree = ast.parse(text)
    tree = Disguise(tree).visit(tree)
    tree.body = [*reversed(tree.body)]  # and the functions stand in another order
    return ast.unparse(ast.fix_missing_locations(tree))


@pytest.mark.parametrize("name", ["conv2d", "maxpool", "batchnorm", "soft-boundary-radius", "deep-svdd"])
def test_a_copy_with_other_names_order_and_comments_is_found(name):
    assignment, text = get_assignment(name), own(name)
    copy = disguised(text)
    same = set(copy.splitlines()) & {line for line in text.splitlines() if len(line) > 30}
    assert len(same) <= 3, "a disguise"
    assert pairs(assignment, ann=text, ben=copy, cleo="x = 1")[frozenset(("ann", "ben"))] > 0.97


def test_the_model_solution_is_found_in_disguise():
    for name in ("conv2d", "batchnorm", "deep-svdd"):
        assignment = get_assignment(name)
        copy = disguised(skeleton(assignment, solution=True))
        assert pairs(assignment, ben=copy)[frozenset(("ben", MODEL))] > 0.97


def test_reordered_statements_count_as_what_they_are():
    one = "def f(x, y):\n    a = x * 2 + np.exp(y)\n    b = -x[0]\n    c = x.sum(axis=1)\n    return a, b, c\n"
    lines = one.splitlines()
    other = "\n".join([lines[0], lines[3], lines[1], lines[2], lines[4]])
    assert share_of(pieces(one), pieces(other)) == 1
    assert pieces(one.replace("2", "3")) != pieces(one)


# Solutions of other people's making: by the layout of their arrays, and as loops.
INDEPENDENT = """
import numpy as np

def conv2d_output_size(size, kernel_size, stride=(1, 1), padding=(0, 0)):
    out = []
    for axis in range(2):
        room = size[axis] + 2 * padding[axis] - kernel_size[axis]
        if room < 0:
            raise ValueError("too large")
        out.append(room // stride[axis] + 1)
    return tuple(out)

def columns(x, kernel, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding[0], padding[0]), (padding[1], padding[1])))
    P = (x.shape[2] - kernel[0]) // stride[0] + 1
    Q = (x.shape[3] - kernel[1]) // stride[1] + 1
    rows = []
    for p in range(P):
        for q in range(Q):
            top, left = p * stride[0], q * stride[1]
            rows.append(x[:, :, top:top + kernel[0], left:left + kernel[1]].reshape(len(x), -1))
    return np.stack(rows, axis=1), P, Q

def conv2d_forward(x, weight, stride=(1, 1), padding=(0, 0)):
    rows, P, Q = columns(x, weight.shape[2:], stride, padding)
    y = rows @ weight.reshape(len(weight), -1).T
    return np.moveaxis(y, 2, 1).reshape(len(x), len(weight), P, Q)

def conv2d_backward_weight(grad_output, x, kernel_size, stride=(1, 1), padding=(0, 0)):
    rows, P, Q = columns(x, kernel_size, stride, padding)
    g = grad_output.reshape(*grad_output.shape[:2], -1)
    return np.einsum("nkp,npd->kd", g, rows).reshape(g.shape[1], x.shape[1], *kernel_size)

def conv2d_backward_input(grad_output, weight, input_size, stride=(1, 1), padding=(0, 0)):
    H, W = input_size[0] + 2 * padding[0], input_size[1] + 2 * padding[1]
    whole = np.zeros((len(grad_output), weight.shape[1], H, W))
    for n, k, p, q in np.ndindex(grad_output.shape):
        top, left = p * stride[0], q * stride[1]
        whole[n, :, top:top + weight.shape[2], left:left + weight.shape[3]] += grad_output[n, k, p, q] * weight[k]
    return whole[:, :, padding[0]:padding[0] + input_size[0], padding[1]:padding[1] + input_size[1]]
"""


def test_independent_answers_are_not_alike():
    assignment = get_assignment("conv2d")
    given = [skeleton(assignment, level) for level in LEVELS]
    other = pieces(INDEPENDENT, "python", given)
    assert other.total() > SMALLEST
    assert share_of(pieces(own("conv2d"), "python", given), other) < 0.3
    assert pairs(assignment, ann=INDEPENDENT, ben="x = 1") == {}
    for name in ("maxpool", "batchnorm", "soft-boundary-radius"):  # ours and the library's
        assignment = get_assignment(name)
        given = [skeleton(assignment, level) for level in LEVELS]
        model = pieces(skeleton(assignment, solution=True), "python", given)
        assert share_of(pieces(own(name), "python", given), model) < 0.65
        assert frozenset(("ann", MODEL)) not in pairs(assignment, ann=own(name))


@pytest.mark.parametrize("name", ["linear", "leaky-relu", "one-class-loss", "adam"])
def test_short_answers_are_never_alike(name):
    assignment = get_assignment(name)
    text = skeleton(assignment, solution=True)
    assert pairs(assignment, ann=text, ben=text) == {}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", LEVELS)
def test_what_is_handed_out_does_not_count(name, level):
    assignment = get_assignment(name)
    text = skeleton(assignment, level)
    assert pieces(text, assignment.language, [text]).total() == 0
    assert pairs(assignment, ann=text, ben=text) == {}


def test_kernels_are_compared_word_by_word():
    assignment = get_assignment("conv2d-cuda")
    text = skeleton(assignment, solution=True)
    copy = text.replace("sum", "acc").replace("  ", " ").replace(";\n", ";  // mine\n\n")
    found = pairs(assignment, ann=copy, ben=INDEPENDENT)
    assert found[frozenset(("ann", MODEL))] == 1
    assert len(found) == 1


@pytest.mark.parametrize("text", ["def f(:", "(" * 5000, "x = " + "-" * 50000 + "1", "\0", "#" * 200000])
def test_what_cannot_be_read_is_alike_to_nothing(text):
    assignment = get_assignment("conv2d")
    assert pairs(assignment, ann=text, ben=text) == {}


def test_the_report_says_what_it_is(tmp_path):
    assignment = get_assignment("conv2d")
    of_class, found = grades(assignment, ann=own("conv2d"), ben="x = 1"), [Pair("ann", "ben", 0.93)]
    text = as_text(of_class, found)
    assert "read both before you think anything of it" in text
    assert "  93%  ann, ben" in text
    write_results(tmp_path, of_class, found)
    assert ",ben 93%," in (tmp_path / "grades.csv").read_text(encoding="utf-8").splitlines()[1]
