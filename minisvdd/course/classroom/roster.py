"""The list of a class: whoever is on it has a row, whether something was handed in or not."""

import csv
import re
import unicodedata
from pathlib import Path

from ...errors import DataError
from ..grader.output import clean_name
from .submissions import Submission

# Headings of the columns that tell students apart; first and last names do only together.
_TELLS = re.compile(r"(student|login|user|name$|full ?name|sid|id|e-?mail)", re.IGNORECASE)
_FIRST = re.compile(r"(first|given) ?name$", re.IGNORECASE)
_LAST = re.compile(r"(last|family) ?name$|surname$", re.IGNORECASE)


def read_roster(path) -> dict[str, tuple[str, ...]]:
    """The students of a class: the name to be shown, and all names under which a submission may lie.

    A line a student (`Ada Lovelace`, or `Lovelace, Ada`); or a table (CSV) with a line of headings, such as
    `Login,First name,Last name,Email`.   Raises DataError, naming the file.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # as older spreadsheets write it
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), _dialect(text))]
    except csv.Error as error:
        raise DataError(f"{path}: no table of names: {error}") from error
    students = {}
    for names in _of_table([row for row in rows if any(row)]):
        shown = clean_name(names[0])
        students[shown if shown not in students else f"{shown} ({names[-1]})"] = names
    if not students:
        raise DataError(f"{path}: no name in it: expected a line for each student, or a table with headings")
    return students


def matched(submissions: dict[str, Submission], roster: dict[str, tuple[str, ...]]) -> dict[str, Submission]:
    """The submissions, and an empty one for each student of the roster who is missing; without a roster, as they are.

    A note marks who is not on it. Names match up to capitals, accents, spaces, hyphens and underscores.
    """
    if not roster:
        return submissions
    known = {_plain(name) for names in roster.values() for name in names}
    here = {name for student in submissions.values() for name in _names_of(student)}
    students = dict(submissions)
    for student in submissions.values():
        if not _names_of(student) & known:
            student.notes.append("not on the list of the class")
    for shown, names in roster.items():
        if not {_plain(name) for name in names} & here:
            free = shown if shown not in students else f"{shown} (of the list)"
            students[free] = Submission(free)
    return students


def _dialect(text):
    """A table's separator: the one that stands most often in the first line."""
    first = text.partition("\n")[0]
    return type("table", (csv.excel,), {"delimiter": max(",;\t", key=first.count)})


def _of_table(rows):
    """The names of each student."""
    heading = rows[0] if rows else []
    columns = [i for i, cell in enumerate(heading) if _TELLS.match(cell)]
    first, last = (next((i for i, cell in enumerate(heading) if of.match(cell)), None) for of in (_FIRST, _LAST))
    both = first is not None and last is not None
    if not (columns or both) or any("@" in cell for cell in heading) or len(rows) == 1:
        logins = [i for i in range(1, len(heading)) if any(sign in heading[i] for sign in "@0123456789")]
        both = all(len(row) == 2 and not re.search(r"[@\d]", "".join(row)) for row in rows)
        columns, first, last = [] if both else [0, *logins], 1, 0  # no headings: `Lovelace, Ada`, or a login first
    else:
        rows = rows[1:]
    for row in rows:
        cells = [row[i] if i < len(row) else "" for i in range(max(len(heading), 2))]
        names = [cells[i] for i in columns] + ([f"{cells[first]} {cells[last]}"] if both else [])
        names += [f"{cells[last]} {cells[first]}"] if both else []
        names += [name.partition("@")[0] for name in names if "@" in name]
        if any(name.strip() for name in names):
            yield tuple(name.strip() for name in names if name.strip())


def _names_of(submission):
    """How a student's folder or file may be called on the list: `ann`, or `ann.py` where there is `ann/` as well."""
    return {_plain(submission.name), _plain(submission.name.removesuffix(".py").removesuffix(".cu"))} - {""}


def _plain(name):
    letters = unicodedata.normalize("NFKD", name).casefold()
    return re.sub(r"[\s,_-]+", "", "".join(letter for letter in letters if not unicodedata.combining(letter)))
