"""Who computes nothing of an assignment gets next to nothing: one line per function, the luckiest for each of them."""

import re
from dataclasses import replace

import pytest
from helpers_course import most_by_nonsense
from kernels_here import KernelsHere

from minisvdd.backends import backend_problems
from minisvdd.course import NAMES, get_assignment, skeleton
from minisvdd.course.grader.checks import Student
from minisvdd.course.grader.grading import grade_parts

pytestmark = pytest.mark.slow

PYTHON = [name for name in NAMES if get_assignment(name).language == "python"]
CUDA = [name for name in NAMES if name not in PYTHON]
MOST = 10
LINES = {
    "the sum of everything": "return sum(np.sum(x) for x in a if isinstance(x, np.ndarray))",
    "zero": "return 0.0",
    "one": "return 1.0",
    "nothing": "return None",
    "zeros": "return np.zeros_like(a[0])",
    "ones": "return np.ones_like(a[0])",
    "three times the first": "return 3 * a[0]",
    "the first": "return a[0]",
    "the first, negated": "return -a[0]",
    "the last": "return a[-1]",
    "the largest": "return np.max(a[0])",
    "the first of the first": "return a[0][0]",
    "its mean": "return a[0].mean(axis=0)",
    "random": "return np.random.default_rng(0).standard_normal(np.shape(a[0]))",
    "random in float32": "return np.random.default_rng(0).standard_normal(np.shape(a[0])).astype(np.float32)",
    "a matrix of one number": "return np.full((len(a[0]), len(a[1])), a[0].sum(), a[0].dtype)",
    "a vector of one number": "return np.full(a[0].shape[1], a[0].sum(), a[0].dtype)",
    "a number, ones": "return a[0].sum(), np.ones_like(a[0])",
    "a number, ones, ones": "return 0.0, np.ones_like(a[0]), np.ones(len(a[0]))",
    "two of three times": "return 3 * a[0], 3 * a[1]",
    "three of its own": "return a[0], a[0].sum(axis=0), a[0].sum(axis=0)",
    "refused": "raise ValueError('no')",
    "something in place": "a[0][...] = 0; a[2][...] = 1; a[3][...] = 1",
    "a step without moments": "a[0][...] -= a[1]",
    "one slice": "return [slice(0, a[0])]",
    "one batch, shuffled": "return [a[2].permutation(a[0])]",
    "the first of the first, or refused": "if not 0 < a[-1] <= 1: raise ValueError('no')\n    return a[0][0]",
    "the largest, or refused": "if not 0 < a[-1] <= 1: raise ValueError('no')\n    return max(a[0])",
}


@pytest.mark.parametrize("name", PYTHON)
def test_no_nonsense_of_one_line_per_function_earns_more_than_ten_points(name):
    assert most_by_nonsense(name, LINES.values(), 5) <= MOST


SIZES = {"y": "N * K * P * Q", "grad_weight": "K * C * kh * kw", "grad_input": "N * C * H * W"}
ENTRY = "int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < {size}) "
TILED = (
    "int P = H - kh + 1, Q = W - kw + 1, p = 16 * blockIdx.y + threadIdx.y, q = 16 * blockIdx.x + threadIdx.x;"
    " int i = (blockIdx.z * P + p) * Q + q; if (p < P && q < Q) "
)
KERNEL_LINES = {
    "nothing": ";",
    "zeros, unguarded": "{out}[blockIdx.x * blockDim.x + threadIdx.x] = 0;",
    "the first entry": "if (!(blockIdx.x + blockIdx.y + blockIdx.z + threadIdx.x + threadIdx.y)) {out}[0] = 1;",
    "zeros": "{entry}{out}[i] = 0;",
    "ones": "{entry}{out}[i] = 1;",
    "its own number": "{entry}{out}[i] = i;",
    "a product": "{entry}{out}[i] = {one}[0] * {other}[0];",
    "more of what is there": "{entry}{out}[i] += {one}[0] * {other}[0];",
    "three times the first": "{entry}{out}[i] = 3 * {one}[i % (C * kh * kw)];",
    "the second": "{entry}{out}[i] = {other}[i % (C * kh * kw)];",
    "a product of entries": "{entry}{out}[i] = {one}[i % (C * kh * kw)] * {other}[i % (C * kh * kw)];",
    "a barrier and zeros": "__syncthreads(); {entry}{out}[i] = 0;",
}


def heads(assignment):
    """(name, its head up to the brace, result, the two arrays that are given) of every kernel to write."""
    text = skeleton(assignment, "scratch")
    for name in assignment.kernels:
        head = re.search(rf"template <typename T>\n__global__ void {name}\(.*?\) {{", text, re.DOTALL)[0]
        one, other = re.findall(r"const T\* (\w+)", head)
        yield name, head, re.search(r"(?<!const )T\* (\w+)", head)[1], one, other


@pytest.mark.compiler
@pytest.mark.skipif(bool(backend_problems()["emulator"]), reason="no compiler for the emulator")
@pytest.mark.parametrize("name", CUDA)
def test_no_kernel_of_one_line_earns_more_than_ten_points(name, tmp_path):
    """Also who writes every entry, in bounds and without races, and moves next to nothing."""
    assignment, total = get_assignment(name), 0.0
    for kernel, head, out, one, other in heads(assignment):
        entry = TILED if kernel == "conv2d_tiled" else ENTRY.format(size=SIZES[out])
        sources = {
            words: head + line.format(entry=entry, out=out, one=one, other=other) + "}\n"
            for words, line in KERNEL_LINES.items()
        }
        here = KernelsHere(sources, tmp_path)
        asked = replace(assignment, parts=tuple(part for part in assignment.parts if part.function == kernel))
        graded = {words: grade_parts(asked, Student(here.sandbox(words)), 5, b"") for words in sources}
        total += max(sum(part.score for part in parts) for parts in graded.values())
        assert all(": expected " in part.message or "no tile" in part.message for part in graded["ones"])  # it ran
    assert total <= MOST, total
