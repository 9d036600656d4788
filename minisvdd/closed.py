"""The students' package: files that would show a solution are kept in one packed file, and run from there.

`minisvdd course export --for-students` writes such a package (`minisvdd.course.handouts.students`). In it, a module
such as `minisvdd/ops/linear.py` has the two lines

    from minisvdd.closed import run
    run(__name__, globals())

and does what it always did. Its lines stand in no file and come with no traceback. This keeps solutions from whoever
does not look for them; it is no lock, since a program that grades at home must have what it compares with.
"""

import json
import zlib
from functools import cache
from pathlib import Path

ANSWERS = Path(__file__).with_name("answers")


def is_students_package() -> bool:
    """Whether this package was made for students."""
    return ANSWERS.is_file()


def check_is_teachers(what: str) -> None:
    """Raise ValueError in the students' package."""
    if is_students_package():
        raise ValueError(f"{what}: not in the students' package, which grades and shows no solution; ask your teacher")


def packed(sources: dict[str, str]) -> bytes:
    """The content of the file `answers`: sources by module."""
    return zlib.compress(json.dumps(sources).encode(), 9)


def run(module: str, names: dict) -> None:
    """Execute the lines of a module, as importing it would."""
    exec(compile(_sources()[module], f"<{module}>", "exec"), names)


def source(module: str) -> str:
    """The text of a module that is kept closed."""
    return _sources()[module]


@cache
def _sources() -> dict[str, str]:
    return json.loads(zlib.decompress(ANSWERS.read_bytes()))
