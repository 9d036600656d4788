"""A sentence below the error of a file that cannot be run: what it was most likely meant to be."""

import pytest

from minisvdd.course import NAMES, get_assignment, skeleton
from minisvdd.course.grader.advice import advised
from minisvdd.course.grader.grading import grade

SYNTAX = "loading linear.py raised SyntaxError: invalid syntax in line 1: x"
COMPILER = "linear.cu:3: error: expected unqualified-id"
MISSING = "there is no function linear_forward"


@pytest.mark.parametrize(
    ("language", "message", "text", "advice"),
    [
        (
            "python",
            SYNTAX,
            "x = 1\n<<<<<<< HEAD\ny = 1\n=======\ny = 2\n>>>>>>> b\n",
            "line 2 is a conflict mark of git: ",
        ),
        ("cuda", COMPILER, "<<<<<<< HEAD\nint y;\n=======\nint x;\n>>>>>>> b\n", "line 1 is a conflict mark of git: "),
        ("python", SYNTAX, "x = '''\n=======\n'''\n(", None),
        ("python", SYNTAX, '{\n "cells": [', "this is a notebook (.ipynb) under another name"),
        ("python", SYNTAX, "{'a': 1", None),
        ("python", SYNTAX, "// my solution\nvoid f() {}", "this looks like C++ or CUDA"),
        ("python", SYNTAX, "\n  /* mine */", "this looks like C++ or CUDA"),
        ("python", SYNTAX, "template <typename T>\n__global__ void f()", "this looks like C++ or CUDA"),
        ("cuda", COMPILER, "import numpy as np\n", "this looks like Python"),
        ("cuda", "#minisvdd (line 1) is not allowed", "# minisvdd assignment: linear\n", "this looks like Python"),
        ("python", SYNTAX, "import numpy\n%matplotlib inline", "line 2 is a command of Jupyter's"),
        ("python", SYNTAX, "\n  !pip install x", "line 2 is a command of Jupyter's"),
        ("python", SYNTAX, "x = (1\n", None),
        ("python", "loading linear.py raised ValueError: x", "// mine", None),
        ("python", "the result[0]: expected 1, got 2", "<<<<<<< a\n>>>>>>> b", None),
        (
            "python",
            MISSING,
            "x = 1\n\ndef linear_foward(x):\n    pass",
            "line 3 defines linear_foward: is linear_forward m",
        ),
        (
            "python",
            MISSING,
            "class A:\n    def linear_forward(x): pass",
            "line 2 defines linear_forward, but inside of som",
        ),
        ("python", MISSING, "def linear_forward(x): pass\ndel linear_forward", None),
        ("python", MISSING, "def something_else(x): pass", None),
        ("python", MISSING, "", None),
        ("cuda", MISSING, "__global__ void linear_forwards(int x) {", "line 1 defines linear_forwards"),
    ],
)
def test_what_was_meant(language, message, text, advice):
    assignment = get_assignment("linear" if language == "python" else "conv2d-cuda")
    first, _, said = advised(message, text.encode(), assignment).partition("\n")
    assert first == message
    assert said == "" if advice is None else said.startswith(advice)


def test_another_encoding_is_named():
    assert "save it again as UTF-8" in advised(SYNTAX, "x = 1".encode("utf-16"), get_assignment("linear"))


def test_only_the_beginning_is_searched_for_names():
    text = b"def linear_foward(): pass"
    assert "\n" in advised(MISSING, b"#" * 100000 + b"\n" + text, get_assignment("linear"))
    assert "\n" not in advised(MISSING, b"#" * 200000 + b"\n" + text, get_assignment("linear"))


@pytest.mark.parametrize("name", NAMES)
def test_what_the_assignment_asks_for_is_not_meant_for_something_else(name):
    """`linear_backward_input` is near to `linear_backward_weight`: renamed, it would lose its own points."""
    assignment = get_assignment(name)
    for missing in {part.function for part in assignment.parts}:
        text = skeleton(assignment).replace(missing, "missing_one").encode()
        message = f"there is no function {missing}"
        assert advised(message, text, assignment) == message


def test_a_file_that_names_another_assignment_says_so(tmp_path):
    file = tmp_path / "linear.py"
    file.write_text(skeleton(get_assignment("linear"), solution=True))
    assert grade(file, "linear").notes == ()
    assert grade(file, "leaky-relu").notes == ("its first line says that it is of the assignment linear",)
