"""What conftest.py promises: quick tests are those that are not slow, and Hypothesis draws anew when asked to."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_processes import environment

TESTS = Path(__file__).parents[1]
SAMPLE = """
import pytest
from hypothesis import settings

@pytest.mark.slow
def test_slow():
    print("slow ran")

def test_profile():
    print("derandomized:", settings().derandomize, "deadline:", settings().deadline)
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path):
    """Run the sample under our conftest: (exit status, output)."""
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    shutil.copy(TESTS / "conftest.py", tmp_path)

    def run(profile, *options):
        command = [sys.executable, "-m", "pytest", "-q", "-s", "-c", TESTS.parent / "pyproject.toml", tmp_path]
        variables = {**environment(TESTS / "support"), "MINISVDD_HYPOTHESIS": profile}
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", *options], capture_output=True, text=True, env=variables
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_profile_is_that_of_the_variable(run):
    status, output = run("ci")
    assert status == 0, output
    assert "derandomized: True deadline: None" in output
    assert "slow ran" in output
    assert "derandomized: False deadline: None" in run("nightly")[1]


def test_the_option_overrides_the_variable_and_quick_is_what_is_not_slow(run):
    status, output = run("ci", "--hypothesis-profile", "nightly", "-m", "quick")
    assert status == 0, output
    assert "derandomized: False deadline: None" in output
    assert "1 passed, 1 deselected" in output
    assert "slow ran" not in output


def test_an_unknown_profile_is_one_line(run):
    status, output = run("often")
    assert status == 4
    assert "MINISVDD_HYPOTHESIS='often': expected one of ci, nightly" in output
    assert "Traceback" not in output
