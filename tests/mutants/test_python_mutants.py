"""The mutation test of the Python code: its machinery, a sample that changes daily, the published outcome of all."""

import json
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import python_mutants as mutation
import recorded_mutants as recorded
from edits import edits
from equivalent import EQUIVALENT
from tests_of_files import TESTS, WITHOUT_MUTANTS

FOLDER = Path(__file__).parent
PUBLISHED = FOLDER / "python_mutants.json"
forks = pytest.mark.skipif(sys.platform == "win32", reason="mutants run in forked processes")


def run(*arguments):
    """The script as a process."""
    command = [sys.executable, FOLDER / "python_mutants.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_published_outcome():
    """At least 400 mutants in 50 files; 95 % of those that change anything are killed."""
    published = json.loads(PUBLISHED.read_text())
    results = published["results"]
    assert len(results) >= 400
    files = {result["file"] for result in results}
    assert len(files) >= 50
    assert files <= TESTS.keys()
    killed = [result for result in results if result["outcome"] == "killed"]
    survived = [result for result in results if result["outcome"] == "survived"]
    assert len(killed) >= 0.95 * (len(killed) + len(survived)), survived
    assert published["share_killed"] == round(len(killed) / (len(killed) + len(survived)), 4)
    for result in results:
        if result["outcome"] == "equivalent":
            assert result["by"] == EQUIVALENT[mutation.reason_key(result)]


def test_published_lines_still_stand():
    """Otherwise their outcomes say nothing of the code as it is: `python_mutants.py --renew --out ...`."""
    assert recorded.stale(mutation.load(PUBLISHED), mutation.text_of) == []


def test_reasons_are_those_of_published_survivors():
    """A reason for a line that is gone is deleted."""
    equivalent = {mutation.reason_key(row) for row in mutation.load(PUBLISHED) if row["outcome"] == "equivalent"}
    assert EQUIVALENT.keys() - equivalent == set()


@forks
@pytest.mark.slow
@pytest.mark.compiler  # an edit of a launch is seen by the emulator alone
def test_three_of_the_published_are_killed_today_as_well():
    seed = recorded.seed_of_today()
    done = run("--sample", 3, "--seed", seed, "--slowest", 5, "--out", PUBLISHED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"3 of 3 killed: {recorded.how_to_repeat(seed)}" in done.stdout


def test_samples_change_with_the_seed_alone():
    rows = mutation.load(PUBLISHED)
    samples = [recorded.sample(rows, 10, seed, slowest=5) for seed in ("2026-01-01", "2026-01-01", "2026-01-02")]
    assert samples[0] == samples[1] != samples[2]
    assert all(row["outcome"] == "killed" and row["seconds"] <= 5 for row in samples[0])
    assert len({recorded.key(row) for row in samples[0]}) == 10


def test_every_file_has_tests_or_a_reason_why_not():
    files = {path.relative_to(mutation.ROOT / "minisvdd").as_posix() for path in mutation.ROOT.glob("minisvdd/**/*.py")}
    assert TESTS.keys() - files == set(), "files that are gone"
    others = {file: [p for p in WITHOUT_MUTANTS if fnmatch(file, p)] for file in files - TESTS.keys()}
    assert [file for file, patterns in others.items() if not patterns] == []
    assert WITHOUT_MUTANTS.keys() - {pattern for patterns in others.values() for pattern in patterns} == set()
    tests = {test for tests in TESTS.values() for test in tests}
    assert [test for test in tests if not (mutation.ROOT / "tests" / test).is_file()] == []


@forks
@pytest.mark.slow
def test_sample_is_killed(tmp_path):
    """The whole machinery, on quick files: copies, edits, test runs and their record."""
    out = tmp_path / "out.json"
    kinds = ["sum", "product", "comparison", "statement"]
    files = ["svdd/plain.py", "data/split.py"]
    done = run("--out", out, "--files", *files, "--kinds", *kinds)
    assert done.returncode == 0, done.stdout + done.stderr
    results = mutation.load(out)
    assert {result["file"] for result in results} == set(files)
    assert {result["kind"] for result in results} == set(kinds)
    assert {result["outcome"] for result in results} == {"killed"}
    assert all(result["by"].startswith("tests/") for result in results)


@forks
@pytest.mark.slow
def test_renewal_replaces_what_no_longer_stands(tmp_path):
    """One row of a file is stale, one of another that is not asked for, one of a file that is gone."""
    out, file = tmp_path / "out.json", "data/split.py"
    outcome = {"outcome": "killed", "by": "by hand", "seconds": 0}
    old = [{**mutant.describe(), **outcome} for mutant in mutation.drawn(file)[:6]]
    stale = {**old[0], "before": "no line reads so"}
    other = {**old[0], "file": "ops/losses.py", "before": "nor so"}
    mutation.save(out, [stale, *old[1:], other, {**other, "file": "gone.py"}])
    done = run("--renew", "--files", file, "--out", out)
    assert not done.stderr, done.stderr  # whether the one that it draws is killed is no matter here
    new = mutation.load(out)
    assert [row for row in new if row["file"] != file] == [other]
    assert len([row for row in new if row["file"] == file]) == len(old)
    assert recorded.stale(new, mutation.text_of) == [other]
    assert all(row in new for row in old[1:])
    assert run("--renew", "--files", file, "--out", out).returncode == 0
    assert mutation.load(out) == new, "there was nothing left to do"
    assert run("--drop", "--out", out).returncode == 0
    assert mutation.load(out) == [row for row in new if row["file"] == file]


def test_a_line_that_has_moved_is_found():
    row = {"line": 4, "before": "x += 1"}
    assert recorded.line_of(row, "x += 1\n\n\n\nx += 1\ny\n") == 5
    assert recorded.line_of(row, "nothing") == 4


LAUNCHES = b"""
@Operation
def double(x):
    return 2 * x

@double.launch
def _(backend, x):
    return started(backend, x)

def by_name(backend, x):
    backend.launch("double", (x,))

def both(backend, x):
    if not backend.runs_numpy:
        return by_name(backend, x)
    return double(x)
"""


def test_lines_that_run_on_kernel_backends_only():
    lines = LAUNCHES.decode().splitlines()
    of_kernels = [lines[number - 1].strip() for number in sorted(mutation.lines_for_kernels(LAUNCHES))]
    assert of_kernels == [
        "def _(backend, x):",
        "return started(backend, x)",
        "def by_name(backend, x):",
        'backend.launch("double", (x,))',
        "return by_name(backend, x)",
    ]


SOURCE = b'''
T = TypeVar("T", bound=int)
if TYPE_CHECKING:
    from typing import Any as Any
def f(a: int, b=2) -> int:
    """Docstring with 3 + 4."""
    if a < b and b:
        raise ValueError(f"a={a} + 1")
    values[0] = g(a, b, key=a + b)
    a -= 1
    return -a * b[1:] if not b else max(a, 7)
'''


def test_edits_compile_and_differ():
    changed = [edit.apply(SOURCE).decode() for edit in edits(SOURCE)]
    assert len(set(changed)) == len(changed)
    for text in changed:
        compile(text, "mutant", "exec")
        assert "Docstring with 3 + 4." in text
        assert 'f"a={a} + 1"' in text
        assert "a: int" in text
        assert 'T = TypeVar("T", bound=int)\nif TYPE_CHECKING:\n' in text


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("number", "def f(a: int, b=3) -> int:"),
        ("comparison", "if a <= b and b:"),
        ("logic", "if a < b or b:"),
        ("dropped", "if ((a < b)):"),
        ("condition", "if not (a < b and b):"),
        ("statement", "pass"),
        ("arguments", "values[0] = g(b, a, key=a + b)"),
        ("keyword", "values[0] = g(a, b)"),
        ("sum", "a += 1"),
        ("product", "return -a / b[1:] if not b else max(a, 7)"),
        ("bound", "return -a * b[:] if not b else max(a, 7)"),
        ("sign", "return (a) * b[1:] if not b else max(a, 7)"),
        ("function", "return -a * b[1:] if not b else min(a, 7)"),
    ],
)
def test_kinds_of_edits(kind, after):
    assert (kind, after) in [(edit.kind, edit.lines(SOURCE)[2]) for edit in edits(SOURCE)]
