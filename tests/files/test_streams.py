"""Reading no more than what is there: streams in pieces, limits, names in errors."""

import copy
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers_data import npy_bytes, npz_bytes, one_line_error

from minisvdd import load_model
from minisvdd.data.download import _check_zip
from minisvdd.data.own import read_samples
from minisvdd.data.readers import read_idx, read_image, read_sign_table
from minisvdd.errors import DataError
from minisvdd.files.arrays import array_names, read_array, read_arrays
from minisvdd.files.records import read_json
from minisvdd.files.streams import CHUNK, Expanding, read_all, read_promised, read_text, read_up_to, refuse_bomb


class Slow(io.BytesIO):
    """A stream that gives at most 1000 bytes at a time, and remembers the most it was asked for."""

    largest = 0

    def read(self, size=-1):
        self.largest = max(self.largest, size)
        return super().read(min(size, 1000))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5])
def test_exactly_so_many_bytes_are_taken(size):
    stream = io.BytesIO(bytes(2 * CHUNK + 20))
    assert len(read_up_to(stream, size)) == size
    assert stream.tell() == size


def test_pieces_are_put_together_and_no_request_is_large():
    stream = Slow(b"0123456789" * 500)
    assert read_up_to(stream, 1 << 40) == b"0123456789" * 500
    assert stream.largest == CHUNK


def test_a_limit_is_not_passed():
    assert read_all(io.BytesIO(bytes(7)), 7, "file") == bytes(7)
    stream = io.BytesIO(bytes(100))
    with pytest.raises(DataError, match="file: expected at most 7 bytes, found more"):
        read_all(stream, 7, "file")
    assert stream.tell() == 8


def test_a_promise_is_kept_to_the_byte():
    assert read_promised(io.BytesIO(bytes(7)), 7, "file") == bytes(7)
    with pytest.raises(DataError, match="truncated: expected 8 bytes after the header, found 7"):
        read_promised(io.BytesIO(bytes(7)), 8, "file")
    with pytest.raises(DataError, match="expected 6 bytes after the header, found more"):
        read_promised(io.BytesIO(bytes(7)), 6, "file")


@pytest.mark.parametrize(
    ("expanded", "compressed", "refused"),
    [
        (1 << 24, 1, False),
        ((1 << 24) + 1, 1, True),
        (1 << 30, (1 << 30) // 200, True),
        (1 << 30, (1 << 30) // 200 + 1, False),
    ],
)
def test_bombs_are_large_and_well_packed(expanded, compressed, refused):
    if refused:
        with pytest.raises(DataError, match=f"file: {compressed} compressed bytes promise {expanded}"):
            refuse_bomb(expanded, compressed, "file")
    else:
        refuse_bomb(expanded, compressed, "file")


# What may be opened


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes and devices")
def test_only_regular_files_are_opened_and_nobody_waits(tmp_path):
    pipe, loop, link = tmp_path / "pipe", tmp_path / "loop", tmp_path / "link"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    link.symlink_to(pipe)
    for path, what in ((pipe, "a pipe"), (link, "a pipe"), (tmp_path, "a folder"), (Path("/dev/zero"), "a device")):
        for read in (read_text, read_idx, read_image, read_samples, read_sign_table, load_model, read_json):
            one_line_error(lambda path=path, read=read: read(path), path, f"expected a regular file, found {what}")
    for read in (read_text, read_idx, load_model):
        one_line_error(lambda read=read: read(loop), loop, "symbolic links")
    (tmp_path / "file").write_text("x")
    link.unlink()
    link.symlink_to("file")
    assert read_text(link) == "x"


# Archives


def zip_with_entries(content, count, names):
    """An archive with one member, and a directory that lists it `count` times, under these names."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.npy", content)
        (member,) = archive.infolist()
        archive.filelist = [copy.copy(member) for _ in range(count)]
        for entry, name in zip(archive.filelist, names):
            entry.filename = entry.orig_filename = name
    return stream.getvalue()


def test_a_directory_that_lists_one_member_many_times_is_refused(tmp_path):
    content = npy_bytes(np.random.default_rng(0).random(10_000))
    path = tmp_path / "x.npz"
    for names, words in ((["0.npy"] * 60, "every member once"), ([f"{k}.npy" for k in range(60)], "overlapping")):
        path.write_bytes(zip_with_entries(content, 60, names))
        for read in (read_arrays, read_array, array_names, lambda path: _check_zip(path, "0.npy")):
            one_line_error(lambda read=read: read(path), path, words)
    path.write_bytes(zip_with_entries(content, 1, ["0.npy"]))
    assert list(read_arrays(path)) == ["0"]


def test_many_members_that_each_expand_a_little_are_a_bomb_together(tmp_path):
    """100 members of 1 MB of zeros, 1 kB each: read as a whole they must not become 100 MB."""
    path = tmp_path / "x.npz"
    path.write_bytes(npz_bytes(compressed=True, **{f"a{k}": np.zeros(1 << 17) for k in range(100)}))
    one_line_error(lambda: read_arrays(path), path, "promise", "made to fill the memory")
    one_line_error(lambda: load_model(path), path, "promise")
    path.write_bytes(npz_bytes(compressed=True, a=np.zeros(1 << 17)))
    assert len(read_arrays(path)["a"]) == 1 << 17


def test_a_decompressor_stops_at_a_bomb():
    class Zeros:
        given = 0

        def read(self, size):
            self.given += size
            return bytes(size)

    zeros = Zeros()
    with pytest.raises(DataError, match=r"x\.gz: 5 compressed bytes promise"):
        Expanding(zeros, 5, "x.gz").read()
    assert zeros.given <= (1 << 24) + CHUNK
    assert len(read_up_to(Expanding(io.BytesIO(bytes(1 << 25)), 1 << 20, "x"), 1 << 30)) == 1 << 25
