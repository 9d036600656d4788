"""A teacher's folder as it comes out of course systems: everybody has a row, and nobody stops the others."""

import csv
import json
import os

import pytest
from helpers_cli import run

from minisvdd.course import get_assignment, skeleton
from minisvdd.course.classroom import find_submissions, grade_class, read_roster
from minisvdd.course.classroom import grading as class_grading
from minisvdd.course.classroom.choosing import choose, tags
from minisvdd.course.classroom.likeness import Pair
from minisvdd.course.classroom.notebook import script_of
from minisvdd.course.classroom.results import cell, write_results
from minisvdd.course.classroom.statistics import as_text, reason, statistics
from minisvdd.course.classroom.submissions import Submission, files_of, left_out
from minisvdd.course.grader import grading
from minisvdd.course.grader.grading import Grade, PartResult
from minisvdd.course.grader.output import clean, clean_name
from minisvdd.errors import DataError

LOSS, CUDA = get_assignment("one-class-loss"), get_assignment("conv2d-cuda")
SOLUTION = skeleton(LOSS, solution=True)
UNTAGGED = SOLUTION.partition("\n")[2]
RIGHT = "one_class_loss.py"
APPLE = b"\0\5\x16\7\0\2\0\0Mac OS X"


def notebook(*cells):
    return json.dumps({"cells": [{"cell_type": "code", "source": text} for text in cells], "nbformat": 4})


def fill(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def table(folder):
    with open(folder / "grades.csv", encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


# Whose is what


def test_what_systems_leave_lying_about_is_nobody(tmp_path):
    fill(
        tmp_path,
        {
            "ann/one_class_loss.py": SOLUTION,
            "ann/._one_class_loss.py": APPLE,
            "ann/.ipynb_checkpoints/one_class_loss-checkpoint.py": "x = 1",
            "ann/__pycache__/one_class_loss.pyc": b"\0",
            "__MACOSX/ann/._one_class_loss.py": APPLE,
            "__macosx/._bob.py": APPLE,
            ".ipynb_checkpoints/bob.py": "x = 1",
            "._bob.py": APPLE,
            ".DS_Store": b"\0",
            "Thumbs.db": b"\0",
            "bob.py": SOLUTION,
        },
    )
    found = find_submissions(tmp_path)
    assert list(found) == ["ann", "bob"]
    assert [path.name for path in found["ann"].files] == [RIGHT]


def test_everybody_else_has_a_row(tmp_path):
    fill(
        tmp_path,
        {
            "ann.PY": SOLUTION,
            "ben.txt": SOLUTION,
            "cleo.ipynb": notebook(SOLUTION),
            "dan.pdf": b"%PDF",
            "eve/hw1/deep/linear.py": SOLUTION,
            "fay/notes.md": "nothing",
            "list.csv": "ann",
        },
    )
    (tmp_path / "gus").mkdir()
    assert list(find_submissions(tmp_path)) == ["ann", "ben", "cleo", "dan", "eve", "fay", "gus"]
    assert left_out(tmp_path) == ["list.csv"]


def test_two_entries_of_one_name_are_two_rows(tmp_path):
    fill(tmp_path, {"ann.py": "x = 1", "ann/final.py": SOLUTION, "bob.py": "x = 1", "bob.cu": "x"})
    found = find_submissions(tmp_path)
    assert {name: one.files[0].name for name, one in found.items()} == {
        "ann": "final.py",
        "ann.py": "ann.py",
        "bob.cu": "bob.cu",
        "bob.py": "bob.py",
    }
    assert all("more than one entry" in one.notes[0] for one in found.values())


def test_an_empty_or_missing_folder_says_so(tmp_path):
    with pytest.raises(DataError, match=r"no submission: expected files such as ada\.py"):
        find_submissions(tmp_path)
    with pytest.raises(DataError, match="expected a folder of submissions"):
        find_submissions(tmp_path / "none")


def test_a_folder_may_be_called_anything_and_names_that_look_the_same_are_told_apart(tmp_path):
    fill(tmp_path, {"ann.md/x.py": "x = 1", "b\x01.py": "x = 1", "b\x02.py": "x = 1"})
    assert list(find_submissions(tmp_path)) == ["ann.md", "b\ufffd", "b\ufffd (2)"]


def test_links_pipes_and_devices_are_not_read(tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_text("PASSWORD = 1 !")
    folder = fill(tmp_path / "class", {"ann.py": SOLUTION, "copy/mine.py": "x = 1"})
    (folder / "spy.py").symlink_to(secret)
    (folder / "copycat.py").symlink_to(folder / "ann.py")
    (folder / "far").symlink_to(tmp_path)
    (folder / "zero.py").symlink_to("/dev/zero")
    (folder / "gone.py").symlink_to("nowhere")
    (folder / "copy" / RIGHT).symlink_to(folder / "ann.py")
    os.mkfifo(folder / "pipe.py")
    grades = grade_class(folder, LOSS)
    assert {name: grade.score for name, grade in grades.items()} == {
        **dict.fromkeys(["copy", "copycat", "far", "gone", "pipe", "spy", "zero"], 0),
        "ann": 100,
    }
    assert "spy.py is a link: not read" in grades["spy"].problem
    assert "PASSWORD" not in str(grades)
    assert "pipe.py is no file, but a pipe" in grades["pipe"].problem
    assert "one_class_loss.py is a link: not read" in grades["copy"].notes


def test_a_link_that_comes_after_the_look_into_the_folder_is_not_followed(tmp_path):
    fill(tmp_path, {"secret.py": SOLUTION})
    (tmp_path / RIGHT).symlink_to(tmp_path / "secret.py")
    with pytest.raises(DataError, match=rf"^{RIGHT}: cannot be read"):
        choose(Submission("ann", [tmp_path / RIGHT]), LOSS)


def test_a_student_s_own_folder_may_be_named_through_a_link(tmp_path):
    fill(tmp_path, {"ann/one_class_loss.py": SOLUTION})
    (tmp_path / "link").symlink_to(tmp_path / "ann")
    assert choose(files_of(tmp_path / "link"), LOSS).filename == RIGHT


def test_the_assignment_is_told_by_what_can_be_a_source(tmp_path):
    text = "# minisvdd assignment: adam\n"
    assert tags(files_of(fill(tmp_path, {"a.pdf": text, "b.txt": text, "c.ipynb": notebook(text)}))) == ["adam", "adam"]


@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
def test_a_single_submission_is_a_regular_file(name, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="expected a regular file"):
        grading.read_submission(tmp_path / name)


def test_folders_without_end_are_left_at_some_depth(tmp_path):
    fill(tmp_path, {"ann/" + "d/" * 20 + RIGHT: SOLUTION, **{f"bob/{i}.py": "x = 1" for i in range(300)}})
    found = find_submissions(tmp_path)
    assert found["ann"].files == []
    assert "deeper than" in found["ann"].notes[0]
    assert len(found["bob"].files) == 200
    assert "more than 200 files" in found["bob"].notes[0]


# Which file


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ({RIGHT: SOLUTION, "a.py": "x = 1"}, RIGHT),
        ({"One-Class-Loss.PY": UNTAGGED, "a.py": "x = 1"}, "One-Class-Loss.PY"),
        ({"one_class_loss (1).py": UNTAGGED, "helper.py": "x = 1"}, "one_class_loss (1).py"),
        ({"one_class_loss.py.txt": UNTAGGED, "helper.py": "x = 1"}, "one_class_loss.py.txt"),
        ({"a_helper.py": "x = 1", "hw3.py": SOLUTION}, "hw3.py"),
        ({"a_helper.py": "x = 1", "hw3.py": "\ufeff" + SOLUTION}, "hw3.py"),
        ({"a.py": "# minisvdd assignment: adam\n", "b.py": UNTAGGED}, "b.py"),
        ({"a.py": "x = 1", "my/one_class_loss.py": UNTAGGED}, RIGHT),
        ({"b/one_class_loss.py": "x = 1", RIGHT: UNTAGGED}, RIGHT),
        ({"one_class_loss.cu": "x", "z.py": UNTAGGED}, "z.py"),
        ({"plot.ipynb": notebook("x = 1"), "z.py": UNTAGGED}, "z.py"),
        ({"readme.txt": "hello", "z.ipynb": notebook(UNTAGGED)}, "z.ipynb"),
        ({"readme.txt": "hello", "z.txt": SOLUTION}, "z.txt"),
    ],
)
def test_the_file_with_the_right_name_or_tag_is_graded_and_marked(files, chosen, tmp_path):
    choice = choose(files_of(fill(tmp_path, files)), LOSS)
    assert choice.filename == chosen
    assert "one_class_loss(" in choice.source.decode()
    if sum(name.endswith((".py", ".ipynb", ".txt", ".PY")) for name in files) > 1:
        assert f"{chosen} was chosen, not " in choice.notes[0]


@pytest.mark.parametrize(
    ("assignment", "files", "message"),
    [
        (LOSS, {}, "nothing handed in: expected one_class_loss.py"),
        (LOSS, {"a.pdf": "x", "b.doc": "x"}, "hand in one_class_loss.py; found: a.pdf, b.doc"),
        (LOSS, {"all.zip": "x"}, "found: all.zip (hand in one_class_loss.py itself, not an archive of it)"),
        (LOSS, {"conv2d_cuda.cu": "x"}, "(this assignment is in Python, not in CUDA)"),
        (CUDA, {"conv2d.py": "x"}, "hand in conv2d_cuda.cu; found: conv2d.py (this assignment is in CUDA, not"),
        (CUDA, {"conv2d.ipynb": "x"}, "hand in conv2d_cuda.cu; found: conv2d.ipynb"),
        (LOSS, {"a.ipynb": "no JSON"}, "a.ipynb: no notebook of format 4"),
        (LOSS, {"a.ipynb": "[" * 100000}, "a.ipynb: no notebook of format 4"),
        (LOSS, {RIGHT: "#" * (1 << 20) + "##"}, "larger than 1 MB"),
    ],
)
def test_what_cannot_be_graded_says_what_was_expected(assignment, files, message, tmp_path):
    with pytest.raises(DataError) as caught:
        choose(files_of(fill(tmp_path, files)), assignment)
    assert message in str(caught.value)


# Notebooks


def graded(text, **options):
    return grading.grade_source(text, "x.py", LOSS, **options)


def test_a_notebook_is_its_cells_of_code_without_jupyter_s_own():
    cells = [
        "%matplotlib inline\nimport numpy as np\n!pip install minisvdd\nimport nowhere_to_be_found as plt",
        "%%bash\nrm -rf /",
        SOLUTION,
        "squared_distances?",
        "plt.plot([1, 2])\nfiles = !ls",
        "def unfinished(:",
        "%%time\nprint(squared_distances(np.ones((2, 3)), np.zeros(3)))",
    ]
    source, notes = script_of(notebook(*cells).encode(), "a.ipynb")
    assert "a = 1" not in source.decode()
    said = "\n".join(notes)
    for words in ("cell 1: %matplotlib inline was left out", "!pip install", "cell 2 was left out: %%bash", "cell 6"):
        assert words in said
    compile(source, "x", "exec")
    assert "rm -rf" not in source.decode()


@pytest.mark.slow
def test_a_notebook_gets_the_points_of_its_script():
    cells = [
        "import nowhere_to_be_found as plt",
        SOLUTION,
        "%timeit plt.plot()\nopen('data.csv').read()",
        "assert False",
    ]
    source, _ = script_of(notebook(*cells).encode(), "a.ipynb")
    result = graded(source)
    assert result.score == 100
    assert "cell 3" in result.output


@pytest.mark.slow
def test_what_a_definition_evaluates_costs_it_alone():
    """Defaults, annotations, decorators and base classes are computed there and then; an exit is one cell's."""
    cells = [
        "import matplotlib.pyplot as plt\nimport nowhere_to_be_found as torch\nfrom nowhere_to_be_found import Tensor",
        "def show(image, cmap=plt.cm.gray):\n    plt.imshow(image)",
        "data = open('data.csv').read()\ndef rows(n=len(data)): ...",
        "class Net(torch.nn.Module): ...\n@torch.compile\ndef fast(x): ...\ndef typed(x: Tensor[1]) -> data: ...",
        "import sys; sys.exit()",
        SOLUTION,
    ]
    source, _ = script_of(notebook(*cells).encode(), "a.ipynb")
    result = graded(source)
    assert (result.score, result.problem) == (100, "")


@pytest.mark.slow
def test_an_import_that_a_notebook_does_not_use_is_no_attempt_at_anything():
    source, _ = script_of(notebook("import nowhere_to_be_found.pyplot as plt", SOLUTION).encode(), "a.ipynb")
    result = graded(source)
    assert (result.score, result.tried) == (100, [])


def test_definitions_of_a_notebook_are_there_whatever_they_evaluate():
    cells = [
        "import math",
        "def area(r: float, *, k=math.pi) -> float:\n    return k * r**2",
        "class A: b = 1",
        "def f(*x): ...",
    ]
    names = {}
    exec(script_of(notebook(*cells).encode(), "a.ipynb")[0], names)
    assert (names["area"](2, k=3), names["A"].b, names["f"](1)) == (12, 1, None)


def test_lines_of_a_notebook_may_come_as_a_list_and_text_is_no_code():
    cells = [{"cell_type": "markdown", "source": "# Title"}, {"cell_type": "code", "source": ["x = 1\n", "y = 2"]}]
    source, notes = script_of(json.dumps({"cells": cells}).encode("utf-8-sig"), "a.ipynb")
    names = {}
    exec(source, names)
    assert (names["x"], names["y"], notes) == (1, 2, ())


# One student's trouble


@pytest.mark.slow
def test_nobody_stops_the_class(tmp_path, monkeypatch, capsys):
    folder = fill(
        tmp_path / "in",
        {
            "ann.py": SOLUTION,
            "bom.py": b"\xef\xbb\xbf" + SOLUTION.replace("\n", "\r\n").encode(),
            "zoe/helper.py": "x = 1",
            "zoe/one_class_loss (1).py": SOLUTION,
            "note/hw.ipynb": notebook(SOLUTION),
            "=cmd|'!A0.py": SOLUTION,
            "crash.py": "x = 1",
            "doc/a.docx": b"PK",
        },
    )
    (folder / "empty").mkdir()
    latin = os.fsencode(folder) + b"/Jos\xe9.py"
    with open(latin, "wb") as file:
        file.write(SOLUTION.encode())
    ask = class_grading.choose

    def fails(submission, assignment):
        if submission.name == "crash":
            raise RecursionError("deep")
        return ask(submission, assignment)

    monkeypatch.setattr(class_grading, "choose", fails)
    (tmp_path / "list.txt").write_text("ann\nzoe\nMax\nJosé\n", encoding="utf-8")
    arguments = ("--assignment", "one-class-loss", "--out", tmp_path / "out", "--roster", tmp_path / "list.txt")
    assert run("grade", "--class", folder, *arguments) == 0
    rows = table(tmp_path / "out")
    formula = "'=cmd|'!A0"
    full = {"ann", "bom", "zoe", "note", "Jos\\xe9", formula}
    assert {name: float(row["total"]) for name, row in rows.items()} == {
        **dict.fromkeys(full, 100),
        **dict.fromkeys(["crash", "doc", "empty", "Max", "José"], 0),
    }
    assert "one_class_loss (1).py was chosen, not helper.py" in rows["zoe"]["notes"]
    assert (
        "the grader itself failed, which is no fault of the submission: RecursionError: deep" in rows["crash"]["notes"]
    )
    assert "nothing handed in" in rows["Max"]["notes"]
    assert "not on the list of the class" in rows["bom"]["notes"]
    for row in rows.values():
        results = json.loads((tmp_path / "out" / row["results"]).read_text(encoding="utf-8"))
        assert results["score"] == float(row["total"])
    text = capsys.readouterr().out
    assert "11 students" in text
    assert "5 with nothing that could be graded" in text


def test_grades_are_written_as_they_come(tmp_path, monkeypatch):
    folder = fill(tmp_path / "in", {f"{name}.py": "x = 1" for name in "abc"})

    def killed_at_c(source, filename, *rest):
        if filename == "c.py":
            raise KeyboardInterrupt
        return grading.failed(LOSS, filename, "no")

    monkeypatch.setattr(class_grading, "grade_source", killed_at_c)
    command = ("grade", "--class", folder, "--assignment", "one-class-loss", "--jobs", 1, "--out", tmp_path / "out")
    fill(tmp_path / "out", {"parts.json": "[]", "grades.csv": "of an earlier run\n"})
    assert run(*command) == 130
    assert set(table(tmp_path / "out")) == {"a", "b"}
    assert not (tmp_path / "out" / "parts.json").exists()  # that of another run would be no part of these grades
    assert {path.name for path in (tmp_path / "out" / "results").iterdir()} == {"a.json", "b.json"}


def test_results_of_who_is_not_there_any_more_go(tmp_path, monkeypatch):
    """Those that the grader wrote itself, and nothing else."""

    def graded(source, filename, *rest):
        return grading.failed(LOSS, filename, "no")

    monkeypatch.setattr(class_grading, "grade_source", graded)
    folder, out = fill(tmp_path / "in", {f"{name}.py": "x = 1" for name in "ab"}), tmp_path / "out"
    command = ("grade", "--class", folder, "--assignment", "one-class-loss", "--jobs", 1, "--out", out)
    assert run(*command) == 0
    fill(out / "results", {"mine.json": "{}"})
    (folder / "b.py").unlink()
    assert run(*command) == 0
    assert {path.name for path in (out / "results").iterdir()} == {"a.json", "mine.json"}
    assert set(table(out)) == {"a"}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1"])
def test_no_cell_is_a_formula(text):
    assert cell(text).startswith("'")


def test_names_can_always_be_printed():
    assert clean_name("Jos\udce9") == "Jos\\xe9"
    shown = "a ?[2Jb??gnp.exe".replace("?", "\N{REPLACEMENT CHARACTER}")
    assert clean_name("a\n\x1b[2Jb\r\u202egnp.exe") == shown
    assert clean("\x9b31m\ud800\U0001f393") == "\N{REPLACEMENT CHARACTER}31m\N{REPLACEMENT CHARACTER}\U0001f393"


# Tables


def of_parts(*scores, message="looks like: the sign", **more):
    parts = [
        PartResult(f"f: {i}", 10, score, i > 0, "" if score == 10 else message, 0) for i, score in enumerate(scores)
    ]
    return Grade("one-class-loss", "f.py", parts, 0, **more)


def test_statistics_count_those_whose_work_could_be_graded():
    grades = {"ann": of_parts(10, 5), "ben": of_parts(10, 0), "cleo": of_parts(0, 0, problem="nothing handed in")}
    assert statistics(grades) == [
        {"part": "f: 0", "points": 10, "hidden": False, "passed": 2, "students": 2, "mean": 1, "reasons": []},
        {"part": "f: 1", "points": 10, "hidden": True, "passed": 0, "students": 2, "mean": 0.25,
         "reasons": [("the sign", 2)]},
    ]  # fmt: skip
    assert statistics({"cleo": grades["cleo"]}) == []
    text = as_text(grades)
    assert "3 students, mean 8.3 of 20; 1 with nothing that could be graded" in text
    assert "to look at" not in text
    assert "to look at\nann: chosen" in as_text({"ann": of_parts(1, 1, notes=("chosen",))})
    assert len(reason("looks like: " + "x" * 300)) == len(reason("x" * 300)) == 100
    assert reason("y[1, 2]: expected 3, got 4") == "y differs, of no known form"


def test_the_table_of_the_class(tmp_path):
    grades = {"ann": of_parts(10, 5, notes=("b", "c"), tried=["x"]), "ben": of_parts(0, 0, problem="a")}
    pairs = [Pair("ann", name, 0.9) for name in ("ben", "p", "q", "r")] + [Pair("s", "ann", 0.86)]
    write_results(tmp_path, grades, pairs)
    assert (tmp_path / "grades.csv").read_bytes().decode() == (
        "student,total,public,f: 0,f: 1,file,results,alike,notes\n"
        "ann,15,10,10,5,f.py,results/ann.json,ben 90%; p 90%; q 90%; and 2 more,b; c; tried: x\n"
        "ben,0,0,0,0,f.py,results/ben.json,ann 90%,a\n"
    )
    assert "and 5 pairs more" in as_text(grades, [*pairs] * 5)


# The list of the class


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"ada\nben\n", ["ada", "ben"]),
        (b"\xef\xbb\xbfAda Lovelace\r\n\r\nIda Rhodes\r\n", ["Ada Lovelace", "Ida Rhodes"]),
        (b"Lovelace, Ada\nRhodes, Ida\n", ["Ada Lovelace", "Ida Rhodes"]),
        (b"Student ID;First name;Last name\n7;Ada;Lovelace\n8;Ida;Rhodes\n", ["7", "8"]),
        (b"First Name,Last Name,SID,Email,Sections\nAda,Lovelace,7,ada@x.org,A\n", ["7"]),
        (b"First Name,Surname\nAda,Lovelace\n", ["Ada Lovelace"]),
        (b"name,group\nM\xfcller,1\n", ["Müller"]),
        (b"Login\nada\nben\n", ["ada", "ben"]),
        (b"Login\rada\rben\r", ["ada", "ben"]),
        (b"student7@x.org,Ada\nben@x.org,Ben\n", ["student7@x.org", "ben@x.org"]),
        (b"Ida Rhodes\nSidney Poitier\n", ["Ida Rhodes", "Sidney Poitier"]),
        (b"Sid Vicious\nUserine Ng\nIdris Elba\n", ["Sid Vicious", "Userine Ng", "Idris Elba"]),
        (b"SIS Login ID,Student-Name,E-mail address\n7,Ada,a@x.org\n", ["7"]),
        (b"Full_name,Sections\nAda,A\n", ["Ada"]),
        (b"Smith, Ann\nSmith, Ben\nSmith, Cy\nCher\n", ["Ann Smith", "Ben Smith", "Cy Smith", "Cher"]),
        (b"Ada Lovelace\nRhodes, Ida\n", ["Ada Lovelace", "Ida Rhodes"]),
        (b"Ann\nAnn\nAnn\n", ["Ann", "Ann (Ann)", "Ann (Ann) (2)"]),
    ],
)
def test_a_list_is_lines_or_a_table(text, shown, tmp_path):
    (tmp_path / "list").write_bytes(text)
    assert list(read_roster(tmp_path / "list")) == shown


def test_names_match_as_course_systems_spell_them(tmp_path):
    (tmp_path / "list").write_text("First Name,Last Name,Email\nAda,Lovelace,al7@x.org\nAda,Müller,am@x.org\n", "utf-8")
    roster = read_roster(tmp_path / "list")
    for name, missing in [
        ("al7", "am@x.org"),
        ("lovelace_ada", "am@x.org"),
        ("Ada-MULLER", "al7@x.org"),
        ("Ada", None),
    ]:
        folder = fill(tmp_path / name, {f"{name}.py": "x = 1"})
        found = class_grading.matched(find_submissions(folder), roster)
        expected = {"al7@x.org", "am@x.org"} if missing is None else {missing}
        assert found.keys() - {name} == expected
        assert found[name].notes == (["not on the list of the class"] if missing is None else [])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ada Lovelace\n", "Lovelace, Ada"),
        ("Ada Augusta Lovelace\n", "Lovelace Ada Augusta"),
        ('Name,Email\n"Lovelace, Ada",\n', "Ada Lovelace"),
        ("Lovelace, Ada\n", "Ada Lovelace_12345_assignsubmission_file_"),
        ("Lovelace, Ada\n", "lovelaceada_12_345_linear"),
        ("Ada Lovelace\n", "adalovelace_LATE_12_345_linear-2"),
        ("Ada Lovelace,ada\n", "ada"),
    ],
)
def test_the_order_of_a_name_and_what_course_systems_put_behind_it_do_not_matter(text, name, tmp_path):
    (tmp_path / "list").write_text(text, "utf-8")
    found = class_grading.matched(
        find_submissions(fill(tmp_path / "in", {f"{name}/linear.py": "x = 1"})), read_roster(tmp_path / "list")
    )
    assert (list(found), found[name].notes) == ([name], [])


def test_two_students_whose_names_are_each_others(tmp_path):
    (tmp_path / "list").write_text("Lee Ann\nAnn Lee\n")
    folder = fill(tmp_path / "in", {"Ann Lee.py": "x = 1"})
    found = class_grading.matched(find_submissions(folder), read_roster(tmp_path / "list"))
    assert (list(found), found["Ann Lee"].notes) == (["Ann Lee", "Lee Ann"], [])


def test_what_lies_beside_the_submissions_is_nobody(tmp_path):
    fill(tmp_path, {"ada/linear.py": "x = 1", "students.txt": "ada", "grades/grades.csv": "x"})
    assert list(find_submissions(tmp_path, [tmp_path / "students.txt", tmp_path / "grades"])) == ["ada"]


@pytest.mark.parametrize("content", [None, b"", b"\n \n"])
def test_a_list_without_names_is_refused(content, tmp_path):
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    with pytest.raises(DataError, match="list: "):
        read_roster(tmp_path / "list")


# What the file was most likely meant to be


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (f"<<<<<<< HEAD\n{UNTAGGED}=======\nx = 1\n>>>>>>> main\n", "line 1 is a conflict mark of git"),
        ("// my kernel\nvoid f() {}", "this looks like C++ or CUDA: this assignment is written in Python"),
        ("import numpy as np\n%matplotlib inline\n", "line 2 is a command of Jupyter's"),
        (SOLUTION.encode("utf-16"), "no plain text in UTF-8"),
        (notebook(SOLUTION), None),
        (
            SOLUTION.replace("def one_class_loss(", "def one_clas_loss("),
            "defines one_clas_loss: is one_class_loss meant?",
        ),
    ],
)
@pytest.mark.slow
def test_advice_below_the_error(text, advice):
    result = graded(text if isinstance(text, bytes) else text.encode())
    messages = "\n".join(part.message for part in result.parts)
    assert result.score < 100
    assert advice is None or advice in messages


@pytest.mark.compiler
@pytest.mark.slow
def test_python_handed_in_for_cuda_says_so():
    result = grading.grade_source(b"import numpy as np\ndef f(x):\n    return x\n", "conv2d_cuda.cu", CUDA)
    assert "this looks like Python" in result.parts[0].message
