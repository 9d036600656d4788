"""The list of a class: whoever is on it has a row, whether something was handed in or not."""

import csv
import re
import unicodedata
from collections import Counter
from pathlib import Path

from ...errors import DataError
from ..grader.output import clean_name
from .submissions import Submission, free_name

# Headings of the columns that tell students apart, without blanks; first and last names do only together.
_TELLS = re.compile(r"(sis)?(student|login|user|full)?(s?id|(id)?number|name|login|user|userid|e?mail(address)?)?")
_FIRST, _LAST = re.compile(r"(first|given)name"), re.compile(r"(last|family)name|surname")
# What course systems put behind the name of a student, or of a file: Moodle, then Canvas.
_BEHIND = re.compile(r"_\d+_assignsubmission.*|(_late)?_\d+_\d+_.*", re.IGNORECASE)


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
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=_separator(text))]
    except csv.Error as error:
        raise DataError(f"{path}: no table of names: {error}") from error
    students = {}
    for names in _of_table([row for row in rows if any(row)]):
        shown = clean_name(names[0])
        students[free_name(shown if shown not in students else f"{shown} ({names[-1]})", students)] = names
    if not students:
        raise DataError(f"{path}: no name in it: expected a line for each student, or a table with headings")
    return students


def matched(submissions: dict[str, Submission], roster: dict[str, tuple[str, ...]]) -> dict[str, Submission]:
    """The submissions, and an empty one for each student of the roster who is missing; without a roster, as they are.

    A note marks who is not on it. Names match up to capitals, accents, spaces, hyphens, underscores and, where this is
    nobody else's name, the order of their words.
    """
    if not roster:
        return submissions
    exact = Counter(_plain(name) for names in roster.values() for name in set(names))
    spellings = {shown: _spellings(names, exact) for shown, names in roster.items()}
    known = set().union(*spellings.values())
    here = {name for student in submissions.values() for name in _names_of(student)}
    students = dict(submissions)
    for student in submissions.values():
        if not _names_of(student) & known:
            student.notes.append("not on the list of the class")
    for shown in roster:
        if not spellings[shown] & here:
            free = shown if shown not in students else f"{shown} (of the list)"
            students[free] = Submission(free)
    return students


def _spellings(names, exact):
    """How a student's names may be written: as they are, or with their last words first."""
    own = {_plain(name) for name in names}
    words = [re.split(r"[\s,]+", name.strip(" ,")) for name in names]
    turned = {_plain(" ".join(parts[k:] + parts[:k])) for parts in words for k in range(1, len(parts))}
    return own | {name for name in turned if name not in exact}


def _separator(text):
    """Of a table's cells: the one that stands most often in the first line."""
    return max(",;\t", key=text.partition("\n")[0].count)


def _of_table(rows):
    """The names of each student."""
    heading = [re.sub(r"[\s_.-]+", "", cell).casefold() for cell in rows[0]] if rows else []
    columns = [i for i, cell in enumerate(heading) if cell and _TELLS.fullmatch(cell)]
    first, last = (next((i for i, cell in enumerate(heading) if of.fullmatch(cell)), None) for of in (_FIRST, _LAST))
    both = first is not None and last is not None
    has_heading = (columns or both) and len(rows) > 1
    for row in rows[1:] if has_heading else rows:
        names = _of_row(row, columns, (first, last) if both else ()) if has_heading else _without_heading(row)
        names += [name.partition("@")[0] for name in names if "@" in name]
        if names := [name for name in names if name]:
            yield tuple(names)


def _of_row(row, columns, first_and_last):
    """The cells of a row in these columns, and its first and last name in both orders."""
    cells = [row[i] if i < len(row) else "" for i in range(max([*columns, *first_and_last]) + 1)]
    first, last = ([cells[i]] if cells[i] else [] for i in first_and_last) if first_and_last else ([], [])
    return [cells[i] for i in columns] + [" ".join(first + last), " ".join(last + first)]


def _without_heading(row):
    """`Lovelace, Ada`; or a name or a login, and logins behind it."""
    name, *others = [cell for cell in row if cell]
    if len(others) == 1 and not re.search(r"[@\d]", name + others[0]):
        return [f"{others[0]} {name}", f"{name} {others[0]}"] + [other for other in others if other.islower()]
    return [name, *(other for other in others if re.search(r"[@\d]", other))]


def _names_of(submission):
    """How a student's folder or file may be called on the list: `ann`, or `ann.py` where there is `ann/` as well."""
    name = submission.name
    return {_plain(one) for one in (name, name.removesuffix(".py").removesuffix(".cu"), _BEHIND.sub("", name))} - {""}


def _plain(name):
    letters = unicodedata.normalize("NFKD", name).casefold()
    return re.sub(r"[\s,_-]+", "", "".join(letter for letter in letters if not unicodedata.combining(letter)))
