"""Tables of features in .csv files: a row is a sample, a column a feature; one column, by its name, may be the labels.

Separated by comma, semicolon or tab; with or without a line of names; UTF-8 with or without a byte order mark, or
UTF-16 as spreadsheets write it. Every cell but the labels is a number with a decimal point; which one is not is said by
row and column.
"""

import codecs
import csv
import io
import math
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..files.streams import opened, read_all
from .readers import LARGEST

LABEL_COLUMNS = ("class", "label", "labels", "y", "target")
_MAX_BYTES = 1 << 28  # larger ones are slow to read as text: .npy holds them in an eighth of the memory
_DELIMITERS = (",", ";", "\t")
_COUNTERS = ("", "index", "id", "unnamed: 0")  # names of columns that may merely count the rows


class Table(NamedTuple):
    """features: (n, D) float64; labels: (n,) strings or whole numbers, or None; notes: what was left out.

    names: of the D columns, or None.
    """

    features: np.ndarray
    labels: np.ndarray | None
    notes: tuple[str, ...]
    names: tuple[str, ...] | None = None


def read_table(source) -> Table:
    """Read a .csv file. Raises DataError, naming row and column, for a cell that is no finite number, a row of another
    length, or two columns of labels.
    """
    with opened(source) as (stream, name):
        text = _decoded(read_all(stream, _MAX_BYTES, name))
        lines = io.StringIO(text, newline="")
        reader = csv.reader(lines, delimiter=_delimiter(text), skipinitialspace=True, strict=True)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
        if not rows:
            raise DataError(f"{name}: expected a table, found no row")
        width = len(rows[0][1])
        for number, row in rows:
            if len(row) != width:
                raise DataError(f"{name}: row {number}: expected {width} cells, as in the first row, found {len(row)}")
        columns = [cell.strip() for cell in rows.pop(0)[1]] if _is_header(rows[0][1]) else None
        if not rows:
            raise DataError(f"{name}: expected rows below the names of the columns, found none")
        return _table(rows, columns, width, name)


def _table(rows, columns, width, name):
    shown = [repr(column) for column in columns] if columns else [str(k + 1) for k in range(width)]
    label_at = [k for k, column in enumerate(columns or ()) if column.lower() in LABEL_COLUMNS]
    if len(label_at) > 1:
        raise DataError(f"{name}: expected one column of labels, found {', '.join(shown[k] for k in label_at)}")
    labels = _labels(rows, label_at[0], f"{name}: column {shown[label_at[0]]}") if label_at else None
    kept = [k for k in range(width) if k not in label_at]
    counters = [k for k in kept if columns and columns[k].lower() in _COUNTERS and _counts(rows, k)]
    kept = [k for k in kept if k not in counters]
    if not kept:
        raise DataError(f"{name}: expected columns of features, found none")
    notes = [f"{name}: column {shown[k]} counts the rows and is left out" for k in counters]
    names = tuple(columns[k] for k in kept) if columns else None
    return Table(_numbers(rows, kept, shown, name), labels, tuple(notes), names)


def _decoded(content):
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _delimiter(text):
    """The one that cuts the first line into most cells."""
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    return max(_DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))


def _is_header(row):
    """Whether the first row holds names: no number among them, one of the label columns' names, or 0, 1, 2, ..."""
    cells = [cell.strip() for cell in row]
    if any(cell.lower() in LABEL_COLUMNS for cell in cells) or not any(_is_number(cell) for cell in cells):
        return True
    numbers = [cell for cell in cells if cell]
    return len(numbers) > 1 and numbers == [str(k) for k in range(len(numbers))]


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _labels(rows, column, name):
    """Text as it stands there, or whole numbers where all are: 1 and 1.0 are one class."""
    cells = [row[column].strip() for _, row in rows]
    for (number, _), cell in zip(rows, cells):
        if not cell:
            raise DataError(f"{name}: row {number}: expected a label, found an empty cell")
    numbers = [float(cell) if _is_number(cell) else math.nan for cell in cells]
    if all(number.is_integer() and abs(number) < 2**53 for number in numbers):  # neither NaN nor infinity is one
        return np.array(numbers, np.int64)
    return np.array(cells)


def _counts(rows, column):
    """Whether a column holds 0, 1, 2, ... or 1, 2, 3, ..."""
    cells = [row[column].strip() for _, row in rows]
    return any(cells == [str(first + k) for k in range(len(cells))] for first in (0, 1))


def _numbers(rows, kept, shown, name):
    values = np.empty((len(rows), len(kept)))
    for place, (number, row) in enumerate(rows):
        try:
            values[place] = [float(row[k]) for k in kept]
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
