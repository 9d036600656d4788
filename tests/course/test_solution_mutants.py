"""Every small mistake in a model solution costs points: a sample today, and the record of all."""

import json

import pytest
import solution_mutants as mutation
from solution_equivalents import EQUIVALENT

from minisvdd.backends import backend_problems
from minisvdd.course import NAMES

RECORD = json.loads(mutation.PUBLISHED.read_text())


def test_no_survivor_is_without_a_reason():
    """All mutants of the assignments: killed, or they change nothing that is asked for."""
    assert len(RECORD) >= 14
    assert RECORD.keys() <= set(NAMES)
    for name, row in RECORD.items():
        assert row["mutants"] == row["killed"] + len(row["others"]), name
        assert row["killed"] >= 0.9 * row["mutants"] > 15, name
        for other in row["others"]:
            assert other["outcome"] == "equivalent", other
            assert other["why"] == EQUIVALENT[other["after"]]


def test_reasons_are_those_of_recorded_survivors():
    """A reason for a line that is gone is deleted."""
    assert EQUIVALENT.keys() == {other["after"] for row in RECORD.values() for other in row["others"]}


@pytest.mark.parametrize("name", [name for name in mutation.PYTHON if name in RECORD])
def test_the_record_is_of_today_s_solutions(name):
    """Otherwise: `python tests/course/solution_mutants.py --only NAME --out tests/course/solution_mutants.json`."""
    assert len(mutation.mutants(name)) == RECORD[name]["mutants"]


@pytest.mark.slow
def test_a_sample_loses_points():
    """The same two of each assignment, with one seed."""
    for mutant in mutation.sample(2, 1):
        if mutant.assignment in RECORD and not mutation.reason(mutant.row):
            assert mutation.verdict(mutant, seeds=(5,))[0] == "killed", mutant.row


@pytest.mark.slow
def test_another_sample_loses_points():
    for mutant in mutation.sample(12, 2):
        if mutant.assignment in RECORD and not mutation.reason(mutant.row):
            assert mutation.verdict(mutant)[0] == "killed", mutant.row


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize("name", ["conv2d-cuda", "conv2d-tiled"])
def test_a_sample_of_kernels_loses_points(name):
    if problem := backend_problems()["emulator"]:
        pytest.skip(problem)
    import kernel_solution_mutants

    rows = kernel_solution_mutants.graded(name, count=12)
    assert [row for row in rows if row["outcome"] == "survived"] == []
    assert len(rows) >= 12


def test_what_is_graded_here_is_what_mutants_are_made_of():
    """An edit that changes nothing survives: it is not the harness that takes the points."""
    mutant = mutation.mutants("maxpool")[0]
    same = mutation.Mutant("maxpool", mutant.source, mutation.Edit("none", mutant.edit.start, mutant.edit.start, ""))
    assert mutation.verdict(same) == ("survived", "")
