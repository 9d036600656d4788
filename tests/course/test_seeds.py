"""The model solution of every assignment in Python passes with every seed: graded in this process, many seeds at once.

python tests/course/test_seeds.py --seeds 3000 [NAME ...]
"""

import argparse

import pytest
from in_process import grade_here

from minisvdd.course import NAMES, get_assignment, skeleton

PYTHON = [name for name in NAMES if get_assignment(name).language == "python"]
QUICK = 5


def failures(name, seeds):
    """(seed, part, message) of every part that the model solution does not pass."""
    assignment = get_assignment(name)
    source = skeleton(assignment, solution=True)
    grades = ((seed, grade_here(source, assignment, seed)) for seed in seeds)
    return [(seed, part.name, part.message) for seed, grade in grades for part in grade.parts if not part.passed]


@pytest.mark.slow
@pytest.mark.parametrize("name", PYTHON)
def test_the_model_solution_passes_with_every_seed(name):
    assert failures(name, range(QUICK)) == []


@pytest.mark.parametrize("seed", [369, 1053])
def test_a_channel_that_hardly_varies_is_no_wrong_gradient(seed):
    """With a small variance epsilon counts, and the gradient along x_hat is not quite 0."""
    assert failures("batchnorm", [seed]) == []


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=PYTHON)
    parser.add_argument("--seeds", type=int, default=3000)
    options = parser.parse_args()
    for name in options.names:
        found = failures(name, range(options.seeds))
        print(f"{name}: {len(found)} parts of {options.seeds} seeds not passed", *found[:5], sep="\n  ", flush=True)
