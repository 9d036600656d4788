"""The mutation test of the kernels: a fixed sample, one that changes daily, and the published outcome of all."""

import json
from pathlib import Path

import kernel_mutants as mutation
import pytest
import recorded_mutants as recorded

from minisvdd.backends.building import cache_folder
from minisvdd.backends.kernel import kernel_folder

PUBLISHED = Path(__file__).with_name("kernel_mutants.json")
pytestmark = pytest.mark.compiler

# One edit of each kind that matters, in the files that build fastest: (file, kind, what the line holds)
SAMPLE = [
    ("pooling", "comparison", "if (candidate > value)"),
    ("pooling", "axis", "const T* window = x"),
    ("pooling", "guard", "if (i < cells)"),
    ("fused", "product", "window.grad = y[o] > T(0)"),
    ("fused", "logic", "p < P && q < Q"),
    ("batchnorm", "sum", "T delta = other.mean - mean"),
    ("batchnorm", "barrier", "__syncthreads();"),
    ("batchnorm", "guard", "if (threadIdx.x) return;"),
    ("conv2d_rows", "axis", "u < Patch::H"),
    ("activations", "logic", "is_aligned(a) && is_aligned(y)"),
    ("upsample", "axis", "y + first_copy(i, W, sh)"),
    ("linear", "sum", "a_tile[of_a.line"),
    ("losses", "product", "factor * difference"),
    ("adam", "barrier", "__syncthreads();"),
]


def pick(file, kind, text):
    """The first mutant of that kind on a line that holds the text."""
    source = mutation.with_headers(kernel_folder(), file)
    mutants = (m for m in mutation.places(kernel_folder(), file) if m.kind == kind)
    return next((m for m in mutants if text in mutation.line_of(source, m)[0]), None)


def not_killed(mutants):
    """Run them; those that a check of the kernels does not notice. What is not edited comes from the usual cache."""
    cache = cache_folder().parents[1]
    results = mutation.run_all(mutants, kernel_folder(), jobs=2, cache=cache, report=lambda line: None)
    return [result for result in results if result["outcome"] != "killed"]


def published():
    return json.loads(PUBLISHED.read_text())["results"]


@pytest.mark.slow
def test_sample_is_killed():
    mutants = [pick(*place) for place in SAMPLE]
    assert None not in mutants
    assert not_killed(mutants) == []


@pytest.mark.slow
def test_two_of_the_published_are_killed_today_as_well():
    seed = recorded.seed_of_today()
    rows = recorded.sample(published(), 2, seed)
    mutants = mutation.find(kernel_folder(), rows)
    assert len(mutants) == len(rows) == 2, recorded.how_to_repeat(seed)
    assert not_killed(mutants) == [], recorded.how_to_repeat(seed)


def test_published_outcome():
    """At least 60 mutants that compile, of all files; every survivor is explained."""
    valid = [result for result in published() if result["outcome"] != "invalid"]
    assert len(valid) >= 60
    assert {result["file"] for result in valid} >= {f"{file}.cu" for file in mutation._SHARES}
    assert [result for result in valid if result["outcome"] == "survived" and not result["why"]] == []


def test_published_lines_still_stand():
    """Otherwise their outcomes say nothing of the kernels as they are: `kernel_mutants.py --renew --out ...`."""
    assert recorded.stale(published(), lambda file: mutation.text_of(kernel_folder(), file)) == []


def test_renewal_draws_as_many_as_are_gone():
    rows = [row for row in published() if row["outcome"] == "killed"]
    gone = [{**rows[0], "before": "no line reads so"}, {**rows[-1], "before": "nor so"}]
    mutants = mutation.renewal(kernel_folder(), [*rows[1:-1], *gone])
    assert [f"{mutant.file}.cu" for mutant in mutants] == [row["file"] for row in gone]


def test_more_mutants_of_a_function_are_new_ones_and_its_own():
    of_two = mutation.of_functions(kernel_folder(), "fused", ["window_at", "sums_of_channel"], 30, published())
    source, known = mutation.with_headers(kernel_folder(), "fused"), {recorded.key(row) for row in published()}
    first, last = (source.index(text) for text in ("WindowGradient<T> window_at(", "// The window of this thread."))
    assert len(of_two) == 30
    assert all(first < mutant.start < last for mutant in of_two)
    assert not known & {recorded.key(mutation.described(source, mutant)) for mutant in of_two}


def test_edits_stay_inside_functions():
    for file in mutation._SHARES:
        source = mutation.with_headers(kernel_folder(), file)
        for mutant in mutation.places(kernel_folder(), file):
            line, edited = mutation.line_of(source, mutant)
            assert source[mutant.start :].startswith(mutant.text)
            assert edited != line
            assert not line.startswith(("//", "#", "static_assert")), line
