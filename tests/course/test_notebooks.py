"""Assignments as notebooks: nbgrader and Otter can read them; the teacher's passes every check, the student's none."""

import ast
import json
import re
from dataclasses import replace
from itertools import accumulate

import pytest
from in_process import grade_here

from minisvdd.cli.main import main
from minisvdd.course import NAMES, get_assignment
from minisvdd.course.catalog import VARIED
from minisvdd.course.handouts.notebooks import FORMATS, notebook
from minisvdd.course.notebook_check import check, definitions

PYTHON = [name for name in NAMES if get_assignment(name).language == "python" and name != "capstone"]


def cells_of(text, kind="code"):
    return ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == kind]


def code_of(text):
    return "\n\n".join(cells_of(text))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", PYTHON)
def test_a_notebook_holds_the_functions_and_as_many_points_as_the_assignment(name, form):
    nbformat = pytest.importorskip("nbformat")
    assignment = get_assignment(name)
    for solution in (False, True):
        text = notebook(assignment, form, "guided", solution, seed=41)
        nbformat.validate(nbformat.reads(text, 4))
        source = code_of(text)
        written = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        given = [helper.__name__ for helper in assignment.helpers]
        assert written == [*given, *(one.name for one in assignment.functions)]
        assert ("NotImplementedError" in source) == (not solution)
        assert ("seed=41" in text) == solution
        assert "41" not in text or solution
    graded = [cell["metadata"].get("nbgrader", {}) for cell in json.loads(text)["cells"]]
    points = [role["points"] for role in graded if role.get("grade")] if form == "nbgrader" else []
    points = points or [int(number) for number in re.findall(r"^points: (\d+)$", source, re.MULTILINE)]
    assert sum(points) == assignment.points


def test_nbgrader_s_roles():
    """A solution cell is open and has no points; a graded cell is locked and has some; names are different."""
    for solution in (False, True):
        text = notebook(get_assignment("linear"), "nbgrader", solution=solution, seed=3)
        cells = [cell for cell in json.loads(text)["cells"] if "nbgrader" in cell["metadata"]]
        roles = [cell["metadata"]["nbgrader"] for cell in cells]
        assert len({role["grade_id"] for role in roles}) == len(roles) == 1 + 3 * 5
        for role, cell in zip(roles, cells):
            assert role["schema_version"] == 3
            assert role["cell_type"] == cell["cell_type"] == "code"
            assert ("points" in role) == role["grade"]
            assert role["solution"] + role["locked"] == 1
            hidden = re.search(r"### BEGIN HIDDEN TESTS\n.*seed=3.*\n### END HIDDEN TESTS", "".join(cell["source"]))
            assert bool(hidden) == (solution and role["grade_id"].endswith("-hidden"))


def test_nbgrader_s_own_validator_agrees():
    formats = pytest.importorskip("nbgrader.nbgraderformat")
    for name in PYTHON:
        formats.reads(notebook(get_assignment(name), "nbgrader", solution=True), 4)


def test_otter_s_cells_are_nested_rightly():
    raw = cells_of(notebook(get_assignment("linear"), "otter", solution=True, seed=3), "raw")
    words = [text.partition("\n")[0].removeprefix("# ") for text in raw]
    question = ["BEGIN QUESTION", "BEGIN SOLUTION", "END SOLUTION", "BEGIN TESTS", "END TESTS", "END QUESTION"]
    assert words == ["ASSIGNMENT CONFIG", *5 * question]
    source = code_of(notebook(get_assignment("linear"), "otter", solution=True, seed=3))
    assert source.count('check("linear", "bias_backward", seed=3)') == source.count("hidden: true") / 5 == 1
    assert cells_of(notebook(get_assignment("linear"), "otter"), "raw") == []


def test_what_cannot_be_made_is_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match=r"notebook='colab': expected one of \['nbgrader', 'otter'\]"):
        notebook(get_assignment("linear"), "colab")
    with pytest.raises(ValueError, match="check works in a notebook; for a file there is `minisvdd grade FILE`"):
        check("linear", "linear_forward")
    command = ["assignment", "linear", "--out", str(tmp_path), "--notebook", "nbgrader", "--solution"]
    assert main([*command, "--seed", "5"]) == 0
    assert (tmp_path / "linear.ipynb").read_text() == notebook(
        get_assignment("linear"), "nbgrader", solution=True, seed=5
    )
    assert main([*command, "--seed", "6"]) != 0
    assert "may hold somebody's work" in capsys.readouterr().err


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        *[(name, [], "notebooks are made of Python alone") for name in ("conv2d-cuda", "conv2d-tiled")],
        ("capstone", [], "has parts on all functions together, which no cell can check: use a file"),
        *[(name, ["--variant", "3"], "its variants are handed out as files, not as notebooks") for name in VARIED],
    ],
)
def test_what_is_no_notebook_is_refused_in_one_line(name, form, options, words, tmp_path, capsys):
    command = ["assignment", name, "--notebook", form, "--solution", "--out", str(tmp_path / "out"), *options]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"minisvdd: error: {name}: ")
    assert words in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", PYTHON)
def test_each_function_of_the_teacher_s_notebook_has_all_its_points(name):
    """As `check` takes it out of the cells: with what it needs, and nothing else."""
    assignment = get_assignment(name)
    cells = cells_of(notebook(assignment, "nbgrader", solution=True, seed=8))
    names = [source.name for source in assignment.functions]
    for function in names:
        parts = tuple(part for part in assignment.parts if part.function == function)
        graded = grade_here(definitions(cells, function, names), replace(assignment, parts=parts), 8)
        assert [part.message for part in graded.parts if part.message] == []


CELLS = [
    "import numpy as np\nimport matplotlib.pyplot as plt",
    "%matplotlib inline\nTWO = 2\nx = np.load('nowhere.npy')",
    "def twice(x):\n    return 3 * x",
    "def twice(x):\n    return TWO * x",
    "this is not Python",
    "plt.plot(x)",
    "def answer(x):\n    y = twice(x)\n    return np.sum(y)",
    "def other():\n    return open('/etc/passwd')",
]


def test_a_function_s_definition_takes_along_what_it_needs_and_nothing_else():
    """The last definition of each; no plot, no data that the notebook loads, no cell that fails."""
    source = definitions(CELLS, "answer")
    names = {}
    exec(source, names)
    assert names["answer"](4) == 8
    assert "matplotlib" not in source
    assert "other" not in source
    assert "3 * x" not in source
    assert "def other" in definitions(CELLS, "answer", ["other", "nowhere"])
    with pytest.raises(AssertionError, match="no cell that was run defines missing: run it, then check"):
        definitions(CELLS, "missing")


def test_cells_may_be_run_again_in_any_order():
    """What a definition needs stands above it, whichever of both was run last; two may need each other."""
    cells = ["def f(x: np.ndarray, by=TWO):\n    return by * g(x - 1) if x > 0 else 1", "import numpy as np"]
    cells += ["def g(x):\n    return f(x)", "TWO = 2", "TWO = 3"]
    names = {}
    exec(definitions(cells, "f"), names)
    assert names["f"](2) == 9


def run(texts, folder):
    """The cells of notebooks after they ran, all in one kernel, with what each of them wrote or raised."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    read = [nbformat.reads(text, 4) for text in texts]
    ends = list(accumulate(len(one.cells) for one in read))
    cells = [cell for one in read for cell in one.cells]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    whole = nbformat.v4.new_notebook(cells=cells, metadata=read[0].metadata)
    nbclient.NotebookClient(whole, timeout=120, allow_errors=True, resources={"metadata": {"path": folder}}).execute()
    pieces = [whole.cells[start:end] for start, end in zip([0, *ends], ends)]
    return [[cell for cell in piece if cell.cell_type == "code"] for piece in pieces]


def errors(cells):
    return [output["evalue"] for cell in cells for output in cell.outputs if output.output_type == "error"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), [("maxpool", "otter"), ("batchnorm", "nbgrader")])
def test_the_teacher_s_notebook_passes_and_the_student_s_fails_where_it_is_not_solved(name, form, tmp_path):
    """In one kernel, as when a student solves it after a first try."""
    assignment = get_assignment(name)
    both = notebook(assignment, form), notebook(assignment, form, solution=True, seed=8)
    students, teachers = run(both, str(tmp_path))
    assert [(cell.source, cell.outputs) for cell in teachers if cell.outputs] == []
    assert sum("check(" in cell.source for cell in teachers) == 2 * len(assignment.functions)

    failed = errors(students)
    assert len(failed) == len(assignment.functions)
    for function, message in zip(assignment.functions, failed):
        assert message.startswith(f"{function.name}: 0 of ")
        assert f"{function.name} is not implemented yet" in message


@pytest.mark.slow
def test_a_mistake_is_named_and_part_of_the_points_is_a_number(tmp_path):
    """What a check cell shows last is a number above 0 where nbgrader shall give part of the points."""
    text = notebook(get_assignment("batchnorm"), "nbgrader", solution=True, seed=8)
    text = text.replace("(grad_output - mean_g - x_hat * mean_gx)", "(grad_output - x_hat * mean_gx)")
    wrong = notebook(get_assignment("linear"), "nbgrader", solution=True, seed=8)
    wrong = wrong.replace("bias.reshape(-1, *[1] * (y.ndim - 2))", "bias.reshape(-1)")
    batchnorm, linear = run([text, wrong], str(tmp_path))
    messages = errors(batchnorm)
    assert {message.partition(" of ")[0] for message in messages} == {"batchnorm_backward: 0"}
    assert "looks like: the gradient through the mean is forgotten" in messages[0]
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in linear if "nbgrader" in cell.metadata}
    shown = [output for output in cells["bias_forward-hidden"].outputs if output.output_type == "execute_result"]
    if shown:
        assert 0 < float(shown[0]["data"]["text/plain"]) < 12
    else:
        assert errors([cells["bias_forward-hidden"]])
