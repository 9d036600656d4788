"""Which assignment a file belongs to: its first line says so, or its name."""

from pathlib import Path

import pytest

from minisvdd.course import NAMES, get_assignment
from minisvdd.course.catalog import assignment_of


@pytest.mark.parametrize("name", NAMES)
def test_assignments_by_name(name):
    assert get_assignment(name).name == name
    assert assignment_of(Path(get_assignment(name).filename), b"").name == name


@pytest.mark.parametrize(
    ("file", "source", "name"),
    [
        ("homework.py", b"# minisvdd assignment: one-class-loss\nx = 1\n", "one-class-loss"),
        ("homework.cu", b"// minisvdd assignment: conv2d-cuda (guided)\n", "conv2d-cuda"),
        ("adam.py", b"# minisvdd assignment: one-class-loss\n", "one-class-loss"),
        ("one_class_loss.py", b"x = 1\n# minisvdd assignment: adam\n", "one-class-loss"),
        ("one-class-loss.py", b"\xff\xfe", "one-class-loss"),
    ],
)
def test_the_first_line_counts_more_than_the_name(file, source, name):
    assert assignment_of(Path(file), source).name == name


@pytest.mark.parametrize(("file", "source"), [("homework.py", b""), ("adam.py", b"# minisvdd assignment: knitting\n")])
def test_what_cannot_be_told_is_asked_for(file, source):
    with pytest.raises(ValueError, match=f"{file}: cannot tell which assignment this is; name it with --assignment"):
        assignment_of(Path(file), source)


def test_an_unknown_name():
    with pytest.raises(ValueError, match=r"assignment='knitting': expected one of .*one-class-loss"):
        get_assignment("knitting")
