"""What an error says: one line, printable, short, with its beginning and its end."""

import pickle

import numpy as np
import pytest

from minisvdd import DataError, cli, load_dataset
from minisvdd.errors import LONGEST, one_line


def test_a_short_message_stays_as_it_is():
    assert one_line("x.npz: expected 3, found 4 – nothing else") == "x.npz: expected 3, found 4 – nothing else"
    assert one_line(ValueError("two\n   lines\t")) == "two lines"
    assert one_line(KeyError()) == "KeyError"
    assert one_line(OSError(28, "No space left on device")) == "No space left on device"


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1, 100_000])
def test_a_long_message_loses_its_middle(length):
    text = one_line("data/x.npz: ".ljust(length - 16, "z") + "expected numbers")
    assert len(text) == LONGEST
    assert text.startswith("data/x.npz: ")
    assert text.endswith("expected numbers")
    assert (" ... " in text) == (length > LONGEST)


def test_what_would_clear_a_terminal_is_spelt_out():
    """Names in archives, and file names that are no UTF-8 (Python gives those bytes as lone surrogates)."""
    text = one_line("\x1b[2J\x1b[Hall is well\x00 \udcff")
    assert text == "\\x1b[2J\\x1b[Hall is well\\x00 \\udcff"
    assert one_line(text) == text


def test_every_data_error_is_one_line():
    error = DataError("x.npz: " + "name\n" * 10_000 + "!")
    assert len(str(error)) == LONGEST
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_long_names_in_a_file_do_not_flood_the_terminal(tmp_path, capsys):
    path = tmp_path / "x.npz"
    np.savez(path, **{"n" * 60_000: np.zeros(3)})
    with pytest.raises(DataError, match=r"x\.npz: expected an array") as caught:
        load_dataset(str(path))
    assert len(str(caught.value)) <= LONGEST
    labels = np.array(["a" * 10_000, "b" * 10_000] * 5)
    np.savez(path, X=np.zeros((10, 3)), y=labels)
    assert cli.main(["train", "--data", str(path), "--normal-class", "c", "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert len(line) <= LONGEST + len("minisvdd: error: ")
