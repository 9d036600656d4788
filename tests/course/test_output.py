"""What comes out: table, results.json, JUnit XML, archives for Gradescope, class grading, and the two commands."""

import csv
import io
import json
import subprocess
import xml.etree.ElementTree as ElementTree
import zipfile

import pytest

import minisvdd
from minisvdd import cli
from minisvdd.course import LEVELS, NAMES, get_assignment, grade, skeleton
from minisvdd.course.classroom import grade_class, statistics
from minisvdd.course.handouts.pack import autograder_archive, student_archive
from minisvdd.errors import DataError

pytestmark = pytest.mark.slow

LOSS = get_assignment("one-class-loss")
SOLUTION = skeleton(LOSS, solution=True)
NO_SQUARE = SOLUTION.replace("(difference * difference).sum(axis=1)", "np.sqrt((difference * difference).sum(axis=1))")
NO_MEAN = SOLUTION.replace("distances.mean(", "distances.sum(")
NOISY = SOLUTION.replace("import numpy as np", "import numpy as np\nprint('\\x1b[31m\\x00 red <&>')")


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture
def submission(tmp_path):
    path = tmp_path / "one_class_loss.py"
    path.write_text(NO_MEAN)
    return path


def test_grade_prints_a_table_and_writes_both_files(submission, tmp_path, capsys):
    assert run("grade", submission, "--json", tmp_path / "r.json", "--junit", tmp_path / "j.xml") == 1
    text = capsys.readouterr().out
    assert "one_class_loss: value                               public      0 / 15  -" in text
    assert "looks like: the 1/N is missing: a sum where the mean belongs" in text
    assert "public 30 / 45, total 60 / 100" in text

    results = json.loads((tmp_path / "r.json").read_text())
    assert results["score"] == 60
    assert results["stdout_visibility"] == "hidden"
    assert {test["visibility"] for test in results["tests"]} == {"visible", "after_published"}
    assert results["extra_data"]["public_score"] == 30
    hidden = [test for test in results["tests"] if test["visibility"] == "after_published"]
    assert sum(test["max_score"] for test in hidden) == 55
    for test in results["tests"]:
        assert set(test) == {"number", "name", "score", "max_score", "status", "output", "visibility"}
        assert (test["status"] == "passed") == (test["score"] == test["max_score"])

    suite = ElementTree.parse(tmp_path / "j.xml").getroot().find("testsuite")
    cases = suite.findall("testcase")
    assert int(suite.get("tests")) == len(cases) == len(LOSS.parts)
    failures = [case for case in cases if case.find("failure") is not None]
    assert int(suite.get("failures")) == len(failures) == 4
    assert failures[0].get("classname") == "one-class-loss.one_class_loss"
    assert "the 1/N is missing" in failures[0].find("failure").text


def test_full_points_are_exit_status_0(tmp_path, capsys):
    path = tmp_path / "mine.py"  # its first line says which assignment it is
    path.write_text(SOLUTION)
    assert run("grade", path, "--seed", 5) == 0
    assert "total 100 / 100" in capsys.readouterr().out


def test_control_characters_reach_neither_terminal_nor_xml(tmp_path, capsys):
    path = tmp_path / "noisy.py"
    path.write_text(NOISY)
    assert run("grade", path, "--junit", tmp_path / "j.xml") == 0
    assert "\x1b" not in capsys.readouterr().out
    assert "red <&>" in ElementTree.parse(tmp_path / "j.xml").getroot().find("testsuite/system-out").text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grade", "absent.py", "--assignment", "linear"), "absent.py: cannot be read"),
        (("grade", "what.py"), "what.py: cannot tell which assignment this is; name it with --assignment"),
        (("grade", "--class", "nowhere"), "nowhere: expected a folder of submissions"),
        (("grade", "--class", ".", "--json", "r.json"), "with --class use --out"),
        (("grade", "what.py", "--out", "x"), "--out goes with --class"),
        (("assignment", "quantum"), "assignment='quantum': expected one of warm-up, linear"),
        (("assignment", "pack", "linear", "--wheel", "what.py"), "what.py: expected a wheel"),
        (("assignment", "pack"), "assignment='pack': expected one of"),
    ],
)
def test_bad_usage_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "what.py").write_text("x = 1\n")
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_without_a_compiler_the_kernel_assignment_says_so(tmp_path, monkeypatch, capsys):
    path = tmp_path / "conv2d_cuda.cu"
    path.write_text(skeleton(get_assignment("conv2d-cuda")))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert run("grade", path) == 2
    assert "conv2d-cuda needs a C++ compiler: install g++" in capsys.readouterr().err


def test_a_missing_submission_still_gives_gradescope_its_file(tmp_path):
    assert run("grade", tmp_path / "no.py", "--assignment", "linear", "--json", tmp_path / "r.json") == 1
    results = json.loads((tmp_path / "r.json").read_text())
    assert results["score"] == 0
    assert "cannot be read" in results["output"]


@pytest.mark.parametrize("options", [("--assignment", "conv2d-cuda"), ()])
def test_a_grader_that_fails_says_so_in_results_json(options, tmp_path, monkeypatch, capsys):
    """Here for want of a compiler; the teacher reads the error, the student that it is no fault of the submission."""
    path = tmp_path / "conv2d_cuda.cu"
    path.write_text("x")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert run("grade", path, *options, "--json", tmp_path / "r.json") == 2
    assert "needs a C++ compiler" in capsys.readouterr().err
    results = json.loads((tmp_path / "r.json").read_text())
    assert results["score"] == 0
    assert results["output"].startswith("The grader failed, which is no fault of the submission: conv2d-cuda needs")


@pytest.mark.parametrize("name", NAMES)
def test_assignment_writes_skeleton_and_handout(name, tmp_path, capsys):
    assert run("assignment", name, "--out", tmp_path, "--level", "guided") == 0
    assignment = get_assignment(name)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([assignment.filename, assignment.handout_name])
    assert (tmp_path / assignment.filename).read_text() == skeleton(assignment, "guided")


def test_assignment_overwrites_nobody_s_work(tmp_path, capsys):
    assert run("assignment", "adam", "--out", tmp_path) == 0
    assert run("assignment", "adam", "--out", tmp_path) == 0  # nothing was changed
    (tmp_path / "adam.py").write_text("my work")
    assert run("assignment", "adam", "--out", tmp_path) == 2
    assert (tmp_path / "adam.py").read_text() == "my work"


def test_assignment_list_names_all(capsys):
    assert run("assignment", "list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(NAMES)


# Archives


def contents(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {entry.filename: (entry, archive.read(entry)) for entry in archive.infolist()}


@pytest.mark.parametrize("name", NAMES)
def test_archives_hold_named_files_and_no_solution(name):
    assignment = get_assignment(name)
    student, autograder = student_archive(assignment), autograder_archive(assignment, 7)
    assert set(contents(student)) == {f"{name}/{assignment.filename}", f"{name}/{assignment.handout_name}"}
    wheel = f"minisvdd-{minisvdd.__version__}-py3-none-any.whl"
    assert set(contents(autograder)) == {"setup.sh", "run_autograder", "assignment.env", wheel}
    solution = skeleton(assignment, solution=True).splitlines()
    given = {line for level in LEVELS for line in skeleton(assignment, level).splitlines()}
    secret = [line.strip() for line in solution if line not in given and len(line.strip()) > 12]
    assert secret
    scripts = [pair for name, pair in contents(autograder).items() if name != wheel]
    for entry, data in [*contents(student).values(), *scripts]:
        assert not entry.filename.endswith((".pyc", ".so"))
        assert "__pycache__" not in entry.filename
        assert [line for line in secret if line in data.decode()] == []


def test_archives_are_the_same_bit_for_bit_and_scripts_can_run():
    assert autograder_archive(LOSS, 7) == autograder_archive(LOSS, 7)
    for name in ("setup.sh", "run_autograder"):
        entry, data = contents(autograder_archive(LOSS, 7))[name]
        assert entry.external_attr >> 16 & 0o111
        assert data.startswith(b"#!/usr/bin/env bash\n")
        assert subprocess.run(["bash", "-n"], input=data).returncode == 0
    assert 'pip" install --no-cache-dir "$(dirname "$0")/minisvdd-' in data_of("setup.sh")
    assert "g++" in contents(autograder_archive(get_assignment("conv2d-cuda"), 7))["setup.sh"][1].decode()


def data_of(name, **options):
    return contents(autograder_archive(LOSS, 7, **options))[name][1].decode()


def test_a_wheel_goes_in_only_when_named(tmp_path):
    wheel = tmp_path / "minisvdd-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    found = contents(autograder_archive(LOSS, 7, wheel))
    assert found[wheel.name][1] == b"wheel"
    assert wheel.name in found["setup.sh"][1].decode()
    assert 'pip" install --no-cache-dir git+https://example.org/x' in data_of(
        "setup.sh", requirement="git+https://example.org/x"
    )
    with pytest.raises(DataError, match="cannot be read"):
        autograder_archive(LOSS, 7, tmp_path / "minisvdd-9-py3-none-any.whl")


# A class


@pytest.fixture
def classroom(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    for student, text in {"ada": SOLUTION, "ben": NO_MEAN, "cleo": NO_MEAN, "dan": NO_SQUARE}.items():
        (folder / f"{student}.py").write_text(text)
    (folder / "eve").mkdir()
    (folder / "eve" / "one_class_loss.py").write_text("import os; os._exit(0)")
    (folder / "notes.md").write_text("no submission")
    return folder


def test_a_class_is_graded_in_parallel(classroom, tmp_path, capsys):
    assert run("grade", "--class", classroom, "--jobs", 2, "--out", tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "5 students, mean " in text
    assert "2 x the 1/N is missing: a sum where the mean belongs" in text
    assert "1 x the distance is not squared" in text
    with open(tmp_path / "out" / "grades.csv") as file:
        rows = {row["student"]: float(row["total"]) for row in csv.DictReader(file)}
    assert rows == {"ada": 100, "ben": 60, "cleo": 60, "dan": 30, "eve": 0}
    hardest = json.loads((tmp_path / "out" / "parts.json").read_text())
    assert {row["part"]: row["passed"] for row in hardest}["one_class_loss: value"] == 1
    for student, total in rows.items():
        assert json.loads((tmp_path / "out" / "results" / f"{student}.json").read_text())["score"] == total


def test_class_grades_do_not_depend_on_the_number_of_jobs(classroom):
    one, three = (grade_class(classroom, jobs=jobs) for jobs in (1, 3))
    assert {s: [p.message for p in g.parts] for s, g in one.items()} == {
        s: [p.message for p in g.parts] for s, g in three.items()
    }
    assert statistics(one) == statistics(three)
    assert one["ben"].score == grade(classroom / "ben.py").score
