"""JSON values are held to tables of what is expected; errors name the place."""

import pytest

from minisvdd.errors import DataError
from minisvdd.files.records import (
    ANY,
    FRACTION,
    TEXT,
    TRUTH,
    either,
    list_of,
    number,
    one_of,
    optional,
    parse_json,
    read_json,
    record,
    table_of,
    whole,
)

NOTHING = [None, True, "x", [], {}, 1.5, -1, 10**400, float("nan"), float("inf")]


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (number(), [0, -1.5, 10**300], [None, True, "1", [], 10**400, float("nan"), float("inf"), -float("inf")]),
        (number(0, 2), [0, 2, 0.5], [-1e-9, 2.1]),
        (whole(1), [1, 10**30], [0, 1.0, True, "1", None]),
        (FRACTION, [0, 1, 0.5], [1.01, -0.1, False]),
        (TEXT, ["", "x"], [1, None, ["x"]]),
        (TRUTH, [True, False], [0, 1, None, "true"]),
        (ANY, NOTHING, []),
        (one_of(("a", "b")), ["a"], ["c", None, ["a"], {}]),
        (optional(TEXT), [None, "x"], [1]),
        (either(FRACTION, list_of(FRACTION, least=1)), [0.5, [0.5, 1]], [[], 2, [2], [[0.5]], "x"]),
        (list_of(whole(), distinct=True), [[], [1, 2]], [[1, 1], [1, "x"], {"a": 1}, None]),
        (table_of(number()), [{}, {"a": 1}], [{"a": "x"}, [1], None]),
        (record(a=TEXT, b=optional(whole())), [{"a": "x"}, {"a": "", "b": None, "c": 5}], [{}, {"a": 1}, [], None]),
        (record(a=TEXT, b=optional(whole())), [{"a": "x", "b": 1}], [{"a": "x", "b": "y"}]),
    ],
)
def test_kinds(check, good, bad):
    for value in good:
        check(value, "value")
    for value in bad:
        with pytest.raises(ValueError, match="value"):
            check(value, "value")


def test_errors_name_the_place_and_what_was_expected():
    check = record(auc=table_of(list_of(FRACTION)))
    with pytest.raises(ValueError, match=r"^cell: auc\['trained'\]\[1\] is 2, expected a finite number >= 0 and <= 1$"):
        check({"auc": {"trained": [0.5, 2]}}, "cell")
    with pytest.raises(ValueError, match=r"^cell: auc is missing$"):
        check({}, "cell")


def test_numbers_that_are_no_json_are_null():
    assert parse_json("[NaN, Infinity, -Infinity, 1]") == [None, None, None, 1]


def test_what_is_no_json_is_one_line_that_names_the_file(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("\ufeff[1]", encoding="utf-8")  # a byte order mark, as some editors write it
    assert read_json(path) == [1]
    for content in (b"", b"{", b"[" * 100_000, b"[" * 300 + b"]" * 300, b"\xff", b"9" * 5000, b'"' + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.json: "):
            read_json(path)
    path.write_bytes(b"1" * 11)
    with pytest.raises(DataError, match="at most 10 bytes"):
        read_json(path, limit=10)
