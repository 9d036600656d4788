"""Tables of features in .csv files: a row is a sample, a column a feature; one column, by its name, may be the labels.

Separated by comma, semicolon or tab; with or without a line of names; UTF-8 with or without a byte order mark, or
UTF-16 as spreadsheets write it. Every cell but the labels is a number with a decimal point; which one is not is said by
row and column. Which column is taken as the labels is said, too; they are words or whole numbers.

A blank line is skipped; an empty cell is an error, lest rows be lost and their numbers shift.

Columns are known by their names where they have some: a model takes those that it was trained on, in whatever order and
company they stand. Whether the first line holds names is seen by it alone, and said where it could be otherwise.
"""

import codecs
import csv
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..files.arrays import listed
from ..files.streams import opened, read_all
from ..validation import LARGEST

LABEL_COLUMNS = ("class", "label", "labels", "y", "target")
_MAX_BYTES = 1 << 28  # larger ones are slow to read as text: .npy holds them in an eighth of the memory
_DELIMITERS = (",", ";", "\t")
# Names of columns that may merely number the rows: those that pandas gives an index, and those of people.
_NAMELESS, _COUNTERS = ("", "unnamed: 0"), ("index", "id")
_LONGEST_NAME, _SHOWN = 16, 40  # characters: of a number that may be a name; of a first line that is shown


class Table(NamedTuple):
    """features: (n, D) float64; labels: (n,) strings or whole numbers, or None; notes: what was decided on the way.

    names: of the D columns, or None.
    """

    features: np.ndarray
    labels: np.ndarray | None
    notes: tuple[str, ...]
    names: tuple[str, ...] | None = None


def read_table(source, columns: Sequence[str] | None = None) -> Table:
    """Read a .csv file.

    columns: names of the features to take, in this order, of a file whose columns have names (of one without, all are
    taken, with a note); None for all but the labels, and but those that merely count the rows.

    Raises DataError, naming row and column, for a cell that is no finite number, a row of another length, two columns
    of labels, or one of `columns` that is missing.
    """
    wanted = None if columns is None else [column.strip() for column in columns]
    with opened(source) as (stream, name):
        text = _decoded(read_all(stream, _MAX_BYTES, name), name)
        rows = _rows(text)
        if not rows:
            raise DataError(f"{name}: expected a table, found no row")
        width = len(rows[0][1])
        for number, row in rows:
            if len(row) != width:
                raise DataError(f"{name}: row {number}: expected {width} cells, as in the first row, found {len(row)}")
        cells = [cell.strip() for cell in rows[0][1]]
        is_header, doubt = _first_line(cells, rows[1:], wanted)
        rows = rows[is_header:]
        if not rows:
            raise DataError(f"{name}: expected rows below the names of the columns, found none")
        table = _table(rows, cells, wanted, name) if is_header else _without_names(rows, width, wanted, name)
        return table._replace(notes=(*(f"{name}: {note}" for note in doubt), *table.notes))


def _rows(text):
    """(number of its last line, cells) of each row. A blank line is none; empty cells, as of `,` and `""`, are one."""
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(lines, delimiter=_delimiter(text), skipinitialspace=True, strict=True)
    rows = ((reader.line_num, row) for row in reader)
    return [(number, row) for number, row in rows if len(row) > 1 or lines[number - 1].strip()]


def _without_names(rows, width, wanted, name):
    places = range(width)
    features = _numbers(rows, places, [str(k + 1) for k in places], name)
    if wanted is None:
        return Table(features, None, ())
    return Table(
        features, None, (f"{name}: its columns have no names, and are taken for {_quoted(wanted)} by their places",)
    )


def _table(rows, names, wanted, name):
    shown = [repr(column) for column in names]
    label_at = [k for k, column in enumerate(names) if column.lower() in LABEL_COLUMNS and column not in (wanted or ())]
    if len(label_at) > 1:
        raise DataError(f"{name}: expected one column of labels, found {', '.join(shown[k] for k in label_at)}")
    labels = _labels(rows, label_at[0], f"{name}: column {shown[label_at[0]]}") if label_at else None
    others = [k for k in range(len(names)) if k not in label_at]
    kept, notes = _all_features(rows, names, others) if wanted is None else _known_features(names, others, wanted, name)
    notes = [*(f"column {shown[k]} is taken as the labels" for k in label_at), *notes]
    if not kept:
        raise DataError(f"{name}: expected columns of features, found none")
    features = _numbers(rows, kept, shown, name)
    return Table(features, labels, tuple(f"{name}: {note}" for note in notes), tuple(names[k] for k in kept))


def _all_features(rows, names, others):
    """(places of the columns that do not merely count or number the rows, notes)."""
    found = {k: _numbering(rows, k, names[k]) for k in others}
    kept = [k for k in others if not found[k][0]]
    notes = [note for _, note in found.values() if note]
    if twice := _several([names[k] for k in kept]):
        notes.append(
            f"several columns are called {_quoted(twice)}: a model of them knows columns by their places alone"
        )
    return kept, notes


def _numbering(rows, column, name):
    """(whether a column is left out, a note): of one that by its name may number the rows, and does; no note of others.

    0, 1, 2, ... tell nothing. Other whole numbers, each there once, may: `index` and `id` stay then. An index
    of pandas, whose column has no name, has gaps where rows were dropped.
    """
    is_index = name.lower() in _NAMELESS
    if not is_index and name.lower() not in _COUNTERS:
        return False, None
    if _counts(rows, column):
        return True, f"column {name!r} counts the rows and is left out"
    if not _numbers_each(rows, column):
        return False, None
    what = "and is left out" if is_index else "with gaps or out of order: taken as a feature"
    return is_index, f"column {name!r} numbers the rows {what}"


def _known_features(names, others, wanted, name):
    """(places of the wanted columns, in their order, notes)."""
    if missing := [column for column in wanted if column not in names]:
        found = _quoted(names[k] for k in others)
        raise DataError(f"{name}: expected columns {_quoted(missing)}, as in the training, found {found}")
    if twice := [column for column in _several(names) if column in wanted]:
        raise DataError(f"{name}: expected one column {_quoted(twice)}, as in the training, found several")
    kept, notes = [names.index(column) for column in wanted], []
    if left := [names[k] for k in others if k not in kept]:
        notes.append(f"the model was not trained on {_quoted(left)}, left out")
    if kept != sorted(kept):
        notes.append("the columns stand in another order than in the training, and are taken by their names")
    return kept, notes


def _several(names):
    """Those names that are there more than once."""
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def _quoted(names):
    return listed([repr(name) for name in names])


def _decoded(content, name):
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: expected text in UTF-8 or UTF-16, found byte {content[error.start]:#04x} at {error.start}, as "
            'Windows encodings have: save it as "CSV UTF-8"'
        ) from None


def _delimiter(text):
    """The one that cuts the first line into most cells."""
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    return max(_DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))


def _first_line(cells, rest, wanted):
    """(whether the first line holds names, notes where that could be otherwise).

    It does with the names that are wanted, without any number, with one of the label columns' names, or when it counts:
    0, 1, 2, ... A sample can look like the last two. And names that are other numbers, such as years, look like one.
    """
    if (wanted and set(wanted) <= set(cells)) or not any(_is_number(cell) for cell in cells):
        return any(cells), []  # empty cells alone are a sample that is amiss
    others = [cell for cell in cells if cell and cell.lower() not in LABEL_COLUMNS]
    counts = len(others) > 1 and others == [str(k) for k in range(len(others))]
    has_label = any(cell.lower() in LABEL_COLUMNS for cell in cells)
    line = f"the first line, {_shortened(','.join(cells))}, is taken for"
    if counts or has_label:
        is_sure = counts and len(others) < len(cells)
        return True, [] if is_sure else [f"{line} names of columns; if it is a sample, write a line of names above it"]
    return False, [f"{line} numbers of a sample; names should not all be numbers"] if _like_names(cells, rest) else []


def _like_names(cells, rest):
    """Whether numbers may be names: whole ones in equal steps (years), or in a table that has no others."""
    if not all(cell.isdecimal() and len(cell) < _LONGEST_NAME for cell in cells):
        return False
    steps = set(np.diff([int(cell) for cell in cells]))
    if len(steps) == 1 and (len(cells) > 2 or steps == {1}) and min(steps) > 0:
        return True
    distinct = len(set(cells)) == len(cells)
    return bool(rest) and distinct and not any(cell.strip().isdecimal() for _, row in rest for cell in row)


def _shortened(text):
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _number(cell):
    """As Python reads it, but for 1_000, which is a number in programs alone. ValueError for anything else."""
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def _is_number(cell):
    try:
        _number(cell)
    except ValueError:
        return False
    return True


def _labels(rows, column, name):
    """Text as it stands there, or whole numbers where all are: 1 and 1.0 are one class. Others are no labels."""
    cells = [row[column].strip() for _, row in rows]
    for (number, _), cell in zip(rows, cells):
        if not cell:
            raise DataError(f"{name}: row {number}: expected a label, found an empty cell")
    numbers = [float(cell) if _is_number(cell) else math.nan for cell in cells]
    if all(number.is_integer() and abs(number) < 2**53 for number in numbers):  # neither NaN nor infinity is one
        return np.array(numbers, np.int64)
    fractions = [cell for cell, number in zip(cells, numbers) if math.isfinite(number) and not number.is_integer()]
    if fractions and all(map(_is_number, cells)):
        raise DataError(
            f"{name}: expected whole numbers or words as labels, found {fractions[0][:_SHOWN]}: "
            "if it is a feature, call it otherwise"
        )
    return np.array(cells)


def _counts(rows, column):
    """Whether a column holds 0, 1, 2, ... or 1, 2, 3, ..."""
    cells = [row[column].strip() for _, row in rows]
    return any(cells == [str(first + k) for k in range(len(cells))] for first in (0, 1))


def _numbers_each(rows, column):
    """Whether a column holds whole numbers, no two of them the same."""
    cells = [row[column].strip() for _, row in rows]
    numbers = {float(cell) if _is_number(cell) else math.nan for cell in cells}
    return len(numbers) == len(cells) and all(number.is_integer() for number in numbers)


def _numbers(rows, kept, shown, name):
    values = np.empty((len(rows), len(kept)))
    for place, (number, row) in enumerate(rows):
        try:
            values[place] = [_number(row[k]) for k in kept]
        except ValueError:
            values[place] = np.nan
        if not (np.abs(values[place]) <= LARGEST).all():
            _refuse_cell(row, kept, shown, f"{name}: row {number}")
    return values


def _refuse_cell(row, kept, shown, name):
    for k in kept:
        cell = row[k].strip()
        if not _is_number(cell) or not abs(float(cell)) <= LARGEST:
            hint = ": with a decimal point?" if _is_number(cell.replace(",", ".")) and "," in cell else ""
            hint = ": too large for float32" if _is_number(cell) and math.isfinite(float(cell)) else hint
            raise DataError(f"{name}, column {shown[k]}: expected a finite number, found {cell[:40]!r}{hint}")
