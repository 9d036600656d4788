"""A sample of the mutation test of the Python code, and the published outcome of the whole one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from edits import edits
from equivalent import EQUIVALENT

FOLDER = Path(__file__).parent
PUBLISHED = FOLDER / "python_mutants.json"


def test_published_outcome():
    """At least 200 mutants in all files that compute; 95 % of those that change anything are killed."""
    published = json.loads(PUBLISHED.read_text())
    results = published["results"]
    assert len(results) >= 200
    assert {"ops/conv2d/__init__.py", "ops/losses.py", "svdd/radius.py", "svdd/center.py"} <= {
        result["file"] for result in results
    }
    killed = [result for result in results if result["outcome"] == "killed"]
    survived = [result for result in results if result["outcome"] == "survived"]
    assert len(killed) >= 0.95 * (len(killed) + len(survived)), survived
    assert published["share_killed"] == round(len(killed) / (len(killed) + len(survived)), 4)
    for result in results:
        if result["outcome"] == "equivalent":
            assert result["by"] == EQUIVALENT[result["file"], result["after"]]


@pytest.mark.skipif(sys.platform == "win32", reason="mutants run in forked processes")
def test_sample_is_killed(tmp_path):
    """The whole machinery, on the quickest files: copies, edits, test runs and their record."""
    out, command = tmp_path / "out.json", [sys.executable, FOLDER / "python_mutants.py", "--out", tmp_path / "out.json"]
    kinds = ["sum", "product", "comparison", "statement"]
    files = ["ops/contrast.py", "ops/upsample.py"]
    done = subprocess.run([*command, "--files", *files, "--kinds", *kinds], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(out.read_text())["results"]
    assert {result["file"] for result in results} == set(files)
    assert {result["outcome"] for result in results} == {"killed"}
    assert all(result["by"].startswith("tests/") for result in results)


SOURCE = b'''
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
