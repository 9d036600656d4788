"""Arrays in files: whatever the bytes are, an array or one line; what was written comes back."""

import numpy as np
import pytest
from helpers_data import npy_bytes, npy_promising, npz_bytes, one_line_error, zip_bytes

from minisvdd import DataError
from minisvdd.files.arrays import (
    array_names,
    arrays_under,
    listed,
    read_array,
    read_arrays,
    read_described,
    write_arrays,
    write_described,
)


@pytest.mark.parametrize("compressed", [False, True])
def test_what_was_written_comes_back(compressed, tmp_path):
    arrays = {"a/scalar": np.float64(2), "a/empty": np.zeros((0, 3)), "words": np.array(["ν", "c"])}
    write_arrays(tmp_path / "new folder" / "x.npz", arrays, compressed)
    found = read_arrays(tmp_path / "new folder" / "x.npz")
    assert list(found) == array_names(tmp_path / "new folder" / "x.npz") == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert list(arrays_under("a/", found)) == ["scalar", "empty"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy_bytes(np.zeros((5, 4)))[:-1], ["truncated", "160 bytes", "159"]),
        (npy_bytes(np.zeros((5, 4))) + b"x", ["found more"]),
        (npy_promising("(1000000, 1000000)", data=bytes(80)), ["truncated", "found 80"]),
        (zip_bytes({"X.npy": npy_promising("(1000000, 1000000)", data=bytes(80))}), ["truncated", "found 80"]),
        (npy_bytes(np.zeros((2, 2), complex)), ["complex128"]),
        (npz_bytes(Y=np.zeros((2, 2))), ["expected an array X", "found Y"]),
        (b"hello world", [".npz or .npy", "hello"]),
        (npz_bytes(X=np.zeros((2, 2)))[:-30], []),
    ],
)
def test_refusals(content, words, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    one_line_error(lambda: read_array(path), path, *words)


def test_names_in_a_message_are_few_and_printable():
    assert listed([]) == "none"
    assert listed("abcdefghij") == "a, b, c, d, e, f, g, h, i, j"
    assert listed("abcdefghijk") == "a, b, c, d, e, f, g, h, i, j, ..."
    assert listed(["a\nb"]) == "'a\\nb'"


@pytest.mark.parametrize("array", [np.array(["a", None], object), np.array([b"a"]), np.array(["2020-01-01"], "M8[D]")])
def test_what_would_not_be_read_again_is_not_written(tmp_path, array):
    with pytest.raises(ValueError, match="array 'x' has dtype"):
        write_arrays(tmp_path / "x.npz", {"x": array})
    assert list(tmp_path.iterdir()) == []


def test_arrays_with_their_description(tmp_path):
    """Back as they were; what is another file, makes no sense or is not finite is named, the file first."""

    def check(description):
        if description["kind"] != "of ours":
            raise DataError("another kind")

    path, arrays = tmp_path / "x.npz", {"a": np.arange(3), "b": np.ones(2)}
    write_described(path, "about", {"kind": "of ours"}, arrays)
    description, found = read_described(path, "about", "thing", check)
    assert description == {"kind": "of ours"}
    assert {name: array.tolist() for name, array in found.items()} == {"a": [0, 1, 2], "b": [1, 1]}
    for entry, value, words in (
        ("other", {"kind": "of ours"}, f"^{path}: not a thing: expected a .npz file with an entry 'about'$"),
        ("about", {"kind": "of yours"}, "^another kind$"),
        ("about", ["kind"], f"^{path}: damaged, or not a thing: "),
        ("about", {}, f"^{path}: damaged, or not a thing: "),
    ):
        write_described(path, entry, value, arrays)
        with pytest.raises(DataError, match=words):
            read_described(path, "about", "thing", check)
    write_described(path, "about", {"kind": "of ours"}, {**arrays, "b": np.array([1, np.nan])})
    with pytest.raises(DataError, match=f"^{path}: damaged: array b holds values that are NaN or infinite$"):
        read_described(path, "about", "thing", check)
