"""Reading no more than what is there: streams in pieces, limits, names in errors."""

import io

import pytest

from minisvdd.errors import DataError
from minisvdd.files.streams import CHUNK, read_all, read_promised, read_up_to, refuse_bomb


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
