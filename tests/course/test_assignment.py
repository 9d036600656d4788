"""What an assignment is, how a file is recognised, what a class's table and an archive say: small and quick."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_processes import environment
from in_process import grade_here

from minisvdd.cli.main import main
from minisvdd.course.assignment import Assignment, Part
from minisvdd.course.catalog import NAMES, assignment_of, get_assignment
from minisvdd.course.handouts.handout import handout
from minisvdd.course.handouts.pack import write_archives
from minisvdd.course.handouts.reading import docstring_of
from minisvdd.course.handouts.skeleton import LEVELS, skeleton


def drawn(part, seed):
    return part.generator(seed).random()


def test_public_inputs_are_the_same_for_everybody_and_hidden_ones_are_the_teacher_s():
    public, hidden = (Part("f: values", 1, print, hidden=hidden) for hidden in (False, True))
    assert drawn(public, 1) == drawn(public, 2)
    assert drawn(hidden, 1) != drawn(hidden, 2)
    assert drawn(hidden, 1) == drawn(hidden, 1)
    assert drawn(hidden, 1) != drawn(Part("f: others", 1, print, hidden=True), 1)
    assert public.function == "f"


@pytest.mark.parametrize(
    "command",
    [
        ["grade", "{folder}/linear.py", "--seed", "-1"],
        ["grade", "--class", "{folder}", "--assignment", "linear", "--seed", "-1"],
        ["assignment", "linear", "--out", "{folder}/out", "--notebook", "nbgrader", "--solution", "--seed", "-1"],
        ["assignment", "pack", "linear", "--out", "{folder}/out", "--seed", "-1"],
        ["assignment", "maxpool", "--out", "{folder}/out", "--variant", "-1"],
        ["grade", "{folder}/linear.py", "--assignment", "maxpool", "--variant", "-1"],
    ],
)
def test_a_seed_is_no_negative_number(command, tmp_path, capsys):
    """Nothing could be drawn from it, which would be taken for what a right solution gives."""
    (tmp_path / "linear.py").write_text(skeleton(get_assignment("linear"), solution=True))
    assert main([word.format(folder=tmp_path) for word in command]) == 2
    option = "--variant" if "--variant" in command else "--seed"
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"minisvdd: error: {option} -1: expected an integer >= 0"
    assert not (tmp_path / "out").exists()


def test_the_grader_s_own_errors_are_not_the_student_s():
    linear = get_assignment("linear")
    with pytest.raises(ValueError, match="seed=-1: expected an integer >= 0"):
        grade_here(skeleton(linear, solution=True), linear, seed=-1)


def test_formulas_end_where_the_assignment_says():
    class Derivation:
        """First.

        Second.

        Third.
        """

    def assignment(until):
        return Assignment("a", "A", "r", "h", (), (), derivation=Derivation, derivation_until=until)

    assert assignment(None).formulas() == "First.\n\nSecond.\n\nThird."
    assert assignment("Third").formulas() == "First.\n\nSecond."
    with pytest.raises(ValueError, match=r"no paragraph of .* begins with 'Fourth'"):
        assignment("Fourth").formulas()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_recognised_by_its_first_line_or_its_name(name):
    assignment = get_assignment(name)
    assert assignment_of(Path("homework.py"), assignment.tag("#").encode() + b"\nx = 1\n") is assignment
    assert assignment_of(Path(assignment.filename), b"x = 1\n") is assignment
    with pytest.raises(ValueError, match=r"homework\.py: cannot tell which assignment"):
        assignment_of(Path("homework.py"), b"x = 1\n")


@pytest.mark.parametrize("level", LEVELS)
def test_a_handout_says_what_is_allowed_and_how_much_is_given(level):
    texts = {name: handout(get_assignment(name), level) for name in ("linear", "conv2d-cuda")}
    assert "Only NumPy and the standard library can be imported" in texts["linear"]
    assert "The file needs no `#include`, and none is allowed" in texts["conv2d-cuda"]
    for text in texts.values():
        assert "Keep the names and the order of the arguments." in text
    assert "- `linear_forward(x, weight)`" in texts["linear"]
    assert "- the kernel `" in texts["conv2d-cuda"]
    assert len({handout(get_assignment("linear"), other) for other in LEVELS}) == len(LEVELS)


def test_archives_lie_where_the_paths_say(tmp_path):
    paths = write_archives(get_assignment("linear"), tmp_path / "out", "plain", seed=3)
    assert [path.name for path in paths] == ["linear-student.zip", "linear-autograder.zip"]
    assert all(path.parent == tmp_path / "out" and path.stat().st_size > 500 for path in paths)


def test_points_add_up():
    for name in NAMES:
        assignment = get_assignment(name)
        assert assignment.points == np.sum([part.points for part in assignment.parts]) == 100


@pytest.mark.parametrize("name", NAMES)
def test_formulas_are_read_from_the_files(name):
    """`python -OO` keeps no docstrings in memory."""
    assignment = get_assignment(name)
    in_memory = inspect.getdoc(assignment.derivation)
    assert docstring_of(assignment.derivation) == in_memory
    assert in_memory.startswith(assignment.formulas())


@pytest.mark.slow
def test_handouts_are_written_by_a_python_without_docstrings(tmp_path):
    command = ["-m", "minisvdd", "assignment", "linear", "--out"]
    for options, folder in (([], "plain"), (["-OO"], "without")):
        done = subprocess.run([sys.executable, *options, *command, tmp_path / folder], env=environment())
        assert done.returncode == 0
    written = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("plain", "without")]
    assert len(written[0]) == 2
    assert written[0] == written[1]
