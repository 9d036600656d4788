"""The students' package: it grades as the teacher's does, and no command and no file of it shows a solution."""

import ast
import os
import re
import subprocess
import sys
import traceback
import zipfile
from pathlib import Path

import mistakes_tiled
import pytest
from helpers_course import planted

from minisvdd import closed
from minisvdd.backends.building import find_compiler
from minisvdd.course import NAMES, get_assignment, skeleton
from minisvdd.course.grader.grading import grade
from minisvdd.course.grader.output import as_text
from minisvdd.course.handouts.students import LONGEST, export, solution_lines

KERNELS = [name for name in NAMES if get_assignment(name).language == "cuda"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the package as pip unpacks it."""
    folder = tmp_path_factory.mktemp("students")
    wheel, _ = export(folder)
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        archive.extractall(folder / "site")
    return folder / "site"


def minisvdd(site, *words):
    return python(site, "-m", "minisvdd", *words)


def python(site, *words):
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, *map(str, words)], env=environment, cwd=site.parent, capture_output=True, text=True
    )


def without_time(text):
    """Lines without seconds, and without the folder of a sandbox in a warning."""
    text = re.sub(r"/\S*minisvdd-grade-\S*/", "", text)
    return [line.partition(" (")[0] if line.startswith("public ") else line for line in text.splitlines()]


def wrong(assignment):
    """The model solution with its last operator changed; a kernel that reads too much."""
    text = skeleton(assignment, solution=True)
    if assignment.name == "conv2d-tiled":
        return planted(text, mistakes_tiled.COSTLY[0][1])
    if assignment.language == "cuda":
        return "-=".join(text.rsplit("+=", 1))
    tree, others = ast.parse(text), {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and type(node.op) in others]
    last = max(found, key=lambda node: (node.lineno, node.col_offset))
    last.op = others[type(last.op)]()
    return f"{assignment.tag('#')}\n{ast.unparse(tree)}\n"


GRADES = """
import sys
from minisvdd.cli.main import main
for path in sys.argv[1:]:
    print(f"{main(['grade', path, '--seed', '5'])}\\0", end="", flush=True)
"""


@pytest.fixture(scope="module")
def said(site, tmp_path_factory):
    """Of each assignment a file with a mistake, and what the package says of it and returns: one process for all."""
    folder, files = tmp_path_factory.mktemp("wrong"), {}
    for name in (name for name in NAMES if name not in KERNELS or find_compiler()):
        files[name] = folder / get_assignment(name).filename
        files[name].write_text(wrong(get_assignment(name)), encoding="utf-8")
    done = python(site, "-c", GRADES, *files.values())
    assert done.returncode == 0, done.stderr
    return {name: (path, *text.rsplit("\n", 1)) for (name, path), text in zip(files.items(), done.stdout.split("\0"))}


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.compiler if n in KERNELS else ()) for n in NAMES])
def test_it_grades_with_the_same_points_and_words(name, said):
    """Also those that are right: most parts of each file are."""
    path, text, code = said[name]
    teachers = grade(path, seed=5)
    assert 40 <= teachers.score < 100
    assert without_time(text) == without_time(as_text(teachers))
    assert code == "1"


@pytest.mark.slow
def test_a_right_file_gets_full_points(site, tmp_path):
    """By the command."""
    path = tmp_path / "warm_up.py"
    path.write_text(skeleton(get_assignment("warm-up"), solution=True), encoding="utf-8")
    done = minisvdd(site, "grade", path, "--seed", 5)
    assert "total 100 / 100" in done.stdout
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("assignment", "linear", "--solution"),
        ("assignment", "conv2d-cuda", "--solution"),
        ("assignment", "linear", "--level", "guided"),
        ("assignment", "pack", "linear"),
        ("course", "export", "--for-students", "again"),
        ("lectures", "lectures"),
    ],
)
def test_no_command_shows_a_solution(words, site):
    done = minisvdd(site, *words)
    assert done.returncode == 2
    assert "not in the students' package, which grades and shows no solution; ask your teacher" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_no_file_shows_a_line_of_a_solution(site):
    told = {suffix: solution_lines("python" if suffix == ".py" else "cuda") for suffix in LONGEST}
    assert len(told[".py"]) > 50
    assert len(told[".cu"]) > 5
    for path in site.rglob("*"):
        text = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
        shown = [line for lines in told.values() for line in lines if line in text]
        shown = [line for line in shown if path.suffix == ".py" or len(line) > LONGEST[".cu"]]
        assert shown == [], path
    assert not list(site.glob("minisvdd/lectures/*"))
    assert not list(site.rglob("conv2d_cuda.cu"))


@pytest.mark.slow
@pytest.mark.parametrize("option", ["-O", "-I"])
def test_python_s_own_tools_show_no_line(option, site):
    code = f"""
import sys; sys.path.insert(0, {str(site)!r})
import inspect, traceback
from minisvdd.ops import linear
for thing in (linear.linear_forward, linear.linear_forward.plain, linear.linear_forward.reading("fast")):
    try:
        print(inspect.getsource(thing))
    except (OSError, TypeError):
        pass
try:
    linear.linear_forward(1, 2)
except AttributeError:
    traceback.print_exc(file=sys.stdout)
"""
    done = subprocess.run([sys.executable, option, "-c", code], capture_output=True, text=True, cwd=site)
    assert done.returncode == 0, done.stderr
    assert "AttributeError" in done.stdout
    assert "weight.T" not in done.stdout
    assert "weight @" not in done.stdout


@pytest.mark.slow
def test_the_library_works_in_it(site):
    assert minisvdd(site, "gradcheck", "--layer", "BatchNorm").returncode == 0
    assert minisvdd(site, "assignment", "list").stdout.split()[0] == NAMES[0]
    version = next(site.glob("minisvdd-*.dist-info")).name
    assert version.endswith("+students.dist-info"), "pip tells it from the teacher's"


def test_a_closed_module_runs_as_it_did_without_its_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(closed, "ANSWERS", tmp_path / "answers")
    assert not closed.is_students_package()
    closed.check_is_teachers("this")
    closed.ANSWERS.write_bytes(closed.packed({"some.module": '"""Text."""\ndef secret(): return 1 / 0\n'}))
    assert closed.is_students_package()
    with pytest.raises(ValueError, match="this: not in the students' package"):
        closed.check_is_teachers("this")
    assert b"secret" not in closed.ANSWERS.read_bytes()
    names = {}
    closed._sources.cache_clear()
    closed.run("some.module", names)
    closed._sources.cache_clear()
    assert names["__doc__"] == "Text."
    with pytest.raises(ZeroDivisionError) as caught:
        names["secret"]()
    assert traceback.extract_tb(caught.value.__traceback__)[-1][:] == ("<some.module>", 2, "secret", "")


@pytest.mark.slow
def test_it_is_the_same_bit_for_bit(site, tmp_path):
    (first,) = site.parent.glob("*.whl")
    assert Path(export(tmp_path)[0]).read_bytes() == first.read_bytes()
