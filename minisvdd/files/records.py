"""JSON files that are believed only as far as their values fit a table: names, and what is expected under each.

    CELL = record(auc=table_of(fraction), seconds=number(0), radius=optional(number(0)))
    CELL(read_json(path), "cell")       # ValueError: cell: seconds is 'x', expected a number >= 0

Such a table stands beside the code that writes the file. A check takes a value and what errors call it, and says
nothing or raises ValueError in one line.
"""

import json
import math
import sys
from collections.abc import Callable, Collection
from typing import Any

from .streams import data_errors, read_text

Check = Callable[[Any, str], None]
_MAX, _DEEPEST = sys.float_info.max, 200


def read_json(path, limit: int = 1 << 24) -> Any:
    """The value in a regular JSON file of at most `limit` bytes. DataError, naming it, when that cannot be had.

    NaN and infinity, which are no JSON, are read as null.
    """
    with data_errors(path):
        return parse_json(read_text(path, limit))


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text, NaN and infinity as null.

    ValueError or RecursionError for what is no JSON, or nested so deeply that no file of ours is.
    """
    value = json.loads(text, parse_constant=lambda constant: None)
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return value
    raise ValueError(f"lists in lists, more than {_DEEPEST} deep")


def _inside(value):
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """A finite number in [low, high]."""
    return _kind(
        f"a finite number{_within(low, high)}",
        lambda v: isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= _MAX and low <= v <= high,
    )


def whole(low: float = -math.inf, high: float = math.inf) -> Check:
    """An integer in [low, high]."""
    return _kind(
        f"a whole number{_within(low, high)}",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high,
    )


def one_of(values: Collection[Any]) -> Check:
    """One of these texts or numbers."""
    return _kind(f"one of {', '.join(map(str, values))}", lambda v: isinstance(v, str | int | float) and v in values)


def optional(check: Check) -> Check:
    """That, or null; in a record it may also be missing."""

    def checked(value: Any, name: str) -> None:
        if value is not None:
            check(value, name)

    checked.optional = True  # type: ignore[attr-defined]
    return checked


def either(first: Check, second: Check) -> Check:
    """What one of the two checks lets pass; errors are those of the second."""

    def checked(value: Any, name: str) -> None:
        try:
            first(value, name)
        except ValueError:
            second(value, name)

    return checked


def list_of(check: Check, least: int = 0, distinct: bool = False) -> Check:
    """A list of at least so many of them; `distinct`: no two alike."""

    def checked(value: Any, name: str) -> None:
        if not isinstance(value, list) or len(value) < least:
            raise _unexpected(value, name, f"a list of at least {least}" if least else "a list")
        for index, entry in enumerate(value):
            check(entry, f"{name}[{index}]")
        if distinct and len(set(value)) < len(value):
            raise _unexpected(value, name, "a list without repetitions")

    return checked


def table_of(check: Check) -> Check:
    """Any names with such values."""

    def checked(value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise _unexpected(value, name, "values by name")
        for key, entry in value.items():
            check(entry, f"{name}[{key!r}]")

    return checked


def record(**checks: Check) -> Check:
    """These names with these values; all but the `optional` ones must be there. Other names are left alone."""

    def checked(value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise _unexpected(value, name, "values by name")
        for key, check in checks.items():
            if key in value:
                check(value[key], f"{name}: {key}")
            elif not hasattr(check, "optional"):
                raise ValueError(f"{name}: {key} is missing")

    return checked


def _kind(expected: str, holds: Callable[[Any], bool]) -> Check:
    def checked(value: Any, name: str) -> None:
        if not holds(value):
            raise _unexpected(value, name, expected)

    return checked


def _within(low, high):
    bounds = [f" {sign} {bound:g}" for sign, bound in ((">=", low), ("<=", high)) if abs(bound) < math.inf]
    return " and".join(bounds)


def _unexpected(value, name, expected):
    return ValueError(f"{name} is {value!r:.60}, expected {expected}")


TEXT = _kind("a text", lambda value: isinstance(value, str))
TRUTH = _kind("true or false", lambda value: isinstance(value, bool))
ANY: Check = _kind("anything", lambda value: True)
FRACTION = number(0, 1)
