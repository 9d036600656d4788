"""Reading files of which nothing is believed: in pieces, up to a limit, and every failure is a one-line DataError.

The readers of arrays (`minisvdd.files.arrays`) and of data sets (`minisvdd.data.readers`) take a path (also one inside
a zip archive, `zipfile.Path`) or an open, seekable binary stream. Nothing is allocated on the word of a header: memory
grows only with bytes that are really there. Compressed bytes are really there, too, but a bomb of zeros becomes a
thousand times as many: beyond 16 MB nothing may expand more than 200-fold.
"""

import csv
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import DataError, one_line

CHUNK = 1 << 20
_HARMLESS, _LARGEST_RATIO = 1 << 24, 200
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}

# What gzip, zlib, zipfile, tarfile, csv and NumPy (which tokenizes its headers) raise on damaged bytes.
DAMAGE = (
    OSError, EOFError, ValueError, LookupError, OverflowError, SyntaxError, RuntimeError, MemoryError,
    struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, csv.Error, tokenize.TokenError,
)  # fmt: skip
# The same, and what Python raises on a description that makes no sense.
NONSENSE = (*DAMAGE, TypeError, AttributeError, ArithmeticError)


@contextmanager
def data_errors(name):
    """Turn every failure to read the file `name` into a one-line DataError."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except DAMAGE as error:
        raise DataError(f"{name}: damaged or unreadable: {one_line(error)}") from error


def open_regular(path) -> BinaryIO:
    """Open a regular file for reading. DataError for anything else: a pipe would wait, a device never end.

    OSError when it is missing, or behind a loop of symbolic links.
    """
    try:
        stream = open(path, "rb", opener=_open_at_once)  # noqa: SIM115  (the caller closes it)
    except IsADirectoryError:
        raise DataError(f"{path}: expected a regular file, found a folder") from None
    kind = stat.S_IFMT(os.fstat(stream.fileno()).st_mode)
    if kind != stat.S_IFREG:
        stream.close()
        raise DataError(f"{path}: expected a regular file, found {_KINDS.get(kind, 'something else')}")
    return stream


def _open_at_once(path, flags):
    """As `open` does, but without waiting for somebody to write into a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_text(path, limit: int = 1 << 24) -> str:
    """A regular file of text, without the byte order mark that it may begin with. Errors as of `opened`."""
    with opened(Path(path)) as (stream, name):
        return read_all(stream, limit, name).decode("utf-8-sig")


@contextmanager
def opened(source, name=None) -> Iterator[tuple[BinaryIO, object]]:
    """Yield (stream, name) of a path or of an open binary stream; `name` is what errors call it.

    DataError for what is no regular file, for a member of an archive that is a bomb, and for every failure inside.
    """
    path = Path(source) if isinstance(source, str) else source
    name = name or (path if hasattr(path, "open") else getattr(source, "name", "<stream>"))
    with data_errors(name):
        if isinstance(path, zipfile.Path):
            if not path.is_file():
                raise FileNotFoundError
            info = path.root.getinfo(path.at)
            refuse_bomb(info.file_size, info.compress_size, name)
            with path.open("rb") as stream:
                yield stream, name
        elif hasattr(path, "open"):
            with open_regular(path) as stream:
                yield stream, name
        else:
            yield source, name


def open_zip(stream, name) -> zipfile.ZipFile:
    """A zip archive whose directory can be believed: every member once, and no two in the same bytes.

    A directory that lists one member of a gigabyte 60000 times would cost days. DataError, ValueError or BadZipFile.
    """
    archive = zipfile.ZipFile(stream)
    members = archive.infolist()
    if len({member.filename for member in members}) < len(members):
        raise DataError(f"{name}: expected every member once, found {len(members)} that share names")
    size = stream.seek(0, io.SEEK_END)
    packed = sum(member.compress_size for member in members)
    if packed > size:
        raise DataError(f"{name}: expected members in {size} bytes, found {packed} promised: damaged, or overlapping")
    refuse_bomb(sum(member.file_size for member in members), size, name)
    return archive


class Expanding(io.RawIOBase):
    """A decompressor that stops at a bomb: beyond 16 MB it gives at most 200 times the compressed bytes.

    stream: what decompresses.   compressed: bytes of the file behind it.   name: what errors call it.
    """

    def __init__(self, stream, compressed: int, name) -> None:
        self._stream, self._compressed, self._name, self._given = stream, compressed, name, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; DataError once the sum of all is no data's."""
        if size < 0:
            return self.readall()
        content = self._stream.read(min(size, CHUNK))
        self._given += len(content)
        self.refuse_bomb(self._given)
        return content

    def refuse_bomb(self, expanded: int) -> None:
        """DataError if so many bytes are no data's."""
        refuse_bomb(expanded, self._compressed, self._name)


def expanded(stream, name):
    """A stream from its beginning, decompressed if its first bytes are gzip's; DataError, on reading, for a bomb."""
    stream.seek(0)
    is_gzip = stream.read(2) == b"\x1f\x8b"
    compressed = stream.seek(0, io.SEEK_END) if is_gzip else 0
    stream.seek(0)
    return Expanding(gzip.GzipFile(fileobj=stream), compressed, name) if is_gzip else stream


def read_up_to(stream, size):
    """At most `size` bytes, in chunks: stream.read(size) would reserve `size` bytes at once."""
    content = bytearray()
    while len(content) < size and (chunk := stream.read(min(CHUNK, size - len(content)))):
        content += chunk
    return content


def read_all(stream, limit, name) -> bytearray:
    """All bytes of a file that cannot sensibly be larger than `limit`: a bomb in an archive is not unpacked further."""
    content = read_up_to(stream, limit + 1)
    if len(content) > limit:
        raise DataError(f"{name}: expected at most {limit} bytes, found more")
    return content


def refuse_bomb(expanded, compressed, name):
    """No data compress as well as a bomb of zeros does (1032 to 1); what is small may: it does no harm."""
    if expanded > _HARMLESS and expanded > _LARGEST_RATIO * compressed:
        raise DataError(
            f"{name}: {compressed} compressed bytes promise {expanded}: damaged, or made to fill the memory"
        )


def read_promised(stream, size, name):
    """Exactly `size` bytes, and nothing after them."""
    content = read_up_to(stream, size)
    if len(content) < size:
        raise DataError(f"{name}: truncated: expected {size} bytes after the header, found {len(content)}")
    if stream.read(1):
        raise DataError(f"{name}: expected {size} bytes after the header, found more")
    return content
