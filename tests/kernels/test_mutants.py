"""A sample of the mutation test of the kernels, and the published outcome of the whole one."""

import json
from pathlib import Path

import kernel_mutants as mutation
import pytest

from minisvdd.backends.emulator import cache_folder, find_compiler
from minisvdd.backends.kernel import kernel_folder

PUBLISHED = Path(__file__).with_name("kernel_mutants.json")
pytestmark = pytest.mark.skipif(find_compiler() is None, reason="the emulator needs a C++ compiler")

# One edit of each kind that matters, in the files that build fastest: (file, kind, what the line holds)
SAMPLE = [
    ("pooling", "comparison", "if (candidate > value)"),
    ("pooling", "axis", "const T* window = x"),
    ("pooling", "guard", "if (i < cells)"),
    ("fused", "product", "window.grad = y[o] > T(0)"),
    ("fused", "logic", "if (p < P && q < Q)"),
    ("batchnorm", "sum", "T delta = other.mean - mean"),
    ("batchnorm", "barrier", "__syncthreads();"),
    ("batchnorm", "guard", "if (threadIdx.x) return;"),
]


def pick(file, kind, text):
    """The first mutant of that kind on a line that holds the text."""
    source = mutation.with_headers(kernel_folder(), file)
    mutants = (m for m in mutation.places(kernel_folder(), file) if m.kind == kind)
    return next((m for m in mutants if text in mutation.line_of(source, m)[0]), None)


def test_sample_is_killed():
    mutants = [pick(*place) for place in SAMPLE]
    assert None not in mutants
    results = mutation.run_all(
        mutants, kernel_folder(), jobs=2, cache=cache_folder().parents[1], report=lambda line: None
    )
    assert [result for result in results if result["outcome"] != "killed"] == []


def test_published_outcome():
    """At least 60 mutants that compile; 95 % of those that change anything are killed; every survivor is explained."""
    published = json.loads(PUBLISHED.read_text())["results"]
    valid = [result for result in published if result["outcome"] != "invalid"]
    assert len(valid) >= 60
    assert {result["file"] for result in valid} >= {"conv2d.cu", "pooling.cu", "batchnorm.cu"}
    survivors = [result for result in valid if result["outcome"] == "survived"]
    unexplained = [result for result in survivors if not result["why"]]
    assert len(unexplained) <= 0.05 * (len(valid) - len(survivors) + len(unexplained)), unexplained


def test_edits_stay_inside_functions():
    for file in mutation._SHARES:
        source = mutation.with_headers(kernel_folder(), file)
        for mutant in mutation.places(kernel_folder(), file):
            line, edited = mutation.line_of(source, mutant)
            assert source[mutant.start :].startswith(mutant.text)
            assert edited != line
            assert not line.startswith(("//", "#", "static_assert")), line
