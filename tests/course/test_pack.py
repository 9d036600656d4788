"""The archives as Gradescope uses them, and the wheel that they bring along."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minisvdd.cli.main import main
from minisvdd.course import get_assignment, skeleton
from minisvdd.course.handouts import wheel
from minisvdd.course.handouts.pack import autograder_archive
from minisvdd.errors import DataError

pytestmark = pytest.mark.slow

LOSS = get_assignment("one-class-loss")
SOLUTION = skeleton(LOSS, solution=True)
UNTAGGED = SOLUTION.partition("\n")[2]
NO_MEAN = SOLUTION.replace("distances.mean(", "distances.sum(")
PACKAGES = str(Path(np.__file__).parents[1])


def lay_out(root, files, assignment=LOSS):
    """The folders that Gradescope makes."""
    for folder in ("source", "submission", "results"):
        (root / folder).mkdir()
    with zipfile.ZipFile(io.BytesIO(autograder_archive(assignment, 7))) as archive:
        archive.extractall(root / "source")
    for name, content in files.items():
        (root / "submission" / name).parent.mkdir(exist_ok=True, parents=True)
        (root / "submission" / name).write_text(content)


def run_autograder(root, python=sys.executable, path=None):
    """results.json of a submission."""
    environment = {
        "PATH": os.environ["PATH"],
        "AUTOGRADER_ROOT": str(root),
        "MINISVDD_PYTHON": str(python),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p) if path is None else path,
    }
    command = ["bash", root / "source" / "run_autograder"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return json.loads((root / "results" / "results.json").read_text())


@pytest.mark.parametrize(
    ("files", "score", "words"),
    [
        ({"one_class_loss.py": NO_MEAN}, 60, "public parts"),
        ({"loss.py": SOLUTION}, 100, "public parts"),
        ({"a_helper.py": "x = 1\n", "hw.py": SOLUTION}, 100, "hw.py was chosen, not a_helper.py"),
        ({"a.py": "x = 1\n", "my/one_class_loss.py": UNTAGGED}, 100, "one_class_loss.py was chosen, not a.py"),
        ({"hw.py": UNTAGGED, ".ipynb_checkpoints/hw-checkpoint.py": "x = 1\n"}, 100, "public parts"),
        ({"one_class_loss.pdf": "x"}, 0, "hand in one_class_loss.py; found: one_class_loss.pdf"),
        ({}, 0, "nothing handed in: expected one_class_loss.py"),
    ],
)
def test_the_autograder_runs_as_gradescope_runs_it(files, score, words, tmp_path):
    lay_out(tmp_path, files)
    results = run_autograder(tmp_path)
    assert results["score"] == score
    assert words in results["output"]


def test_a_packed_variant_is_the_one_that_is_handed_out_and_graded(tmp_path, capsys):
    seed = next(seed for seed in range(20) if get_assignment("maxpool", seed).rule.startswith("the last of several"))
    arguments = ["pack", "maxpool", "--variant", str(seed), "--seed", "7", "--out", str(tmp_path / "archives")]
    assert main(["assignment", *arguments]) == 0
    with zipfile.ZipFile(tmp_path / "archives" / "maxpool-student.zip") as archive:
        assert "the last of several tied entries" in archive.read("maxpool/maxpool.md").decode()
    with zipfile.ZipFile(tmp_path / "archives" / "maxpool-autograder.zip") as archive:
        assert f"VARIANT={seed}\n" in archive.read("assignment.env").decode()
    for folder, variant in (("mine", seed), ("usual", None)):
        (tmp_path / folder).mkdir()
        source = skeleton(get_assignment("maxpool", variant), solution=True)
        lay_out(tmp_path / folder, {"maxpool.py": source}, get_assignment("maxpool", seed))
    assert run_autograder(tmp_path / "mine")["score"] == 100
    usual = run_autograder(tmp_path / "usual")
    assert 0 < usual["score"] < 100
    assert "this is the other variant" in json.dumps(usual)


def test_results_are_there_when_the_grader_itself_fails(tmp_path):
    lay_out(tmp_path, {"one_class_loss.py": SOLUTION})
    assert run_autograder(tmp_path)["score"] == 100  # and what an earlier run left is not taken for this one's
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 137\n")
    python.chmod(0o755)
    results = run_autograder(tmp_path, python)
    assert results["score"] == 0
    assert "The grader itself failed (exit status 137): no fault of your submission." in results["output"]


def test_the_archive_installs_and_grades(tmp_path):
    """setup.sh as it stands, with an `apt-get` that does nothing and without a network; then the installed grader."""
    lay_out(tmp_path, {"one_class_loss.py": SOLUTION})
    programs = {"apt-get": "exit 0", "python3": f'exec "{sys.executable}" "$@"'}
    (tmp_path / "bin").mkdir()
    for name, line in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "MINISVDD_VENV": str(tmp_path / "venv"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
    }
    command = ["bash", tmp_path / "source" / "setup.sh"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results = run_autograder(tmp_path, tmp_path / "venv" / "bin" / "python", path=PACKAGES)
    assert results["score"] == 100
    assert (tmp_path / "venv" / "bin" / "minisvdd").is_file()


def test_the_wheel_is_the_same_bit_for_bit():
    assert wheel.build_wheel() == wheel.build_wheel()


def test_an_installed_package_makes_the_same_wheel(tmp_path):
    name, data = wheel.build_wheel()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import sys; from minisvdd.course.handouts.wheel import build_wheel, package_files; "
        "files = package_files(); name, _ = build_wheel(); print(name, len(files))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == [name, str(len(wheel.package_files()))], done.stderr


def test_without_a_checkout_and_without_pip_it_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(wheel, "PACKAGE", tmp_path / "minisvdd")
    monkeypatch.setattr(wheel, "__version__", "9.9")
    with pytest.raises(DataError, match=r"no wheel can be built: .*pass --wheel FILE, or --install SPEC"):
        wheel.build_wheel()
