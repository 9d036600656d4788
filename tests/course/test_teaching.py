"""The teacher's page: its commands run as they stand there, and its example is what the grader says."""

import re
import shlex
from pathlib import Path

import pytest

import minisvdd
from minisvdd import cli
from minisvdd.course import NAMES, get_assignment, grade, skeleton
from minisvdd.course.grader.sandbox import Limits

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "teaching.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
FORGOTTEN = ("(grad_output - mean_g - x_hat * mean_gx)", "(grad_output - x_hat * mean_gx)")


def test_commands_run_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    solution = skeleton(get_assignment("batchnorm"), solution=True)
    Path("submissions/ben").mkdir(parents=True)
    Path("submissions/ada.py").write_text(solution)
    Path("submissions/ben/batchnorm.py").write_text(solution.replace(*FORGOTTEN))
    Path("students.txt").write_text("ada\nben\ncleo\n", encoding="utf-8")
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "minisvdd"
        status = cli.main(arguments)
        text = capsys.readouterr().out
        assert status == (1 if command.endswith("grade handout/batchnorm.py") else 0), text
        if command.endswith("teacher/batchnorm.py"):
            assert "total 100 / 100" in text
    assert "\ncleo," in Path("grades/grades.csv").read_text(encoding="utf-8")
    assert [path.name for path in Path("students").iterdir()] == [
        f"minisvdd-{minisvdd.__version__}+students-py3-none-any.whl"
    ]
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"grades/grades.csv", "grades/parts.json", "grades/results/ben.json", "results.json", "junit.xml"} <= written
    assert {"archives/batchnorm-student.zip", "archives/batchnorm-autograder.zip", "handout/batchnorm.md"} <= written


def test_the_example_is_what_the_grader_says(tmp_path):
    path = tmp_path / "batchnorm.py"
    path.write_text(skeleton(get_assignment("batchnorm"), solution=True).replace(*FORGOTTEN))
    part = next(part for part in grade(path).parts if part.name == "batchnorm_backward: values")
    shown = re.search(r"```\nbatchnorm_backward: values\n(.*?)```", PAGE, re.DOTALL)[1]
    assert [line.strip() for line in shown.splitlines()] == part.message.splitlines()


def test_the_table_lists_all_assignments_and_the_limits_are_those_of_the_code():
    assert re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE) == list(NAMES)
    limits = Limits()
    text = " ".join(PAGE.split())
    assert f"{limits.call_seconds:g} seconds a call and {limits.total_seconds:g} in all" in text
    assert f"{limits.memory >> 30} GB of memory, files of {limits.file_bytes >> 20} MB" in text
