"""Reading files of which nothing is believed: in pieces, up to a limit, and every failure is a one-line DataError.

The readers of arrays (`minisvdd.files.arrays`) and of data sets (`minisvdd.data.readers`) take a path (also one inside
a zip archive, `zipfile.Path`) or an open, seekable binary stream. Nothing is allocated on the word of a header: memory
grows only with bytes that are really there.
"""

import csv
import lzma
import struct
import tarfile
import tokenize
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataError, one_line

CHUNK = 1 << 20
_HARMLESS, _LARGEST_RATIO = 1 << 28, 200

# What gzip, zlib, zipfile, tarfile, csv and NumPy (which tokenizes its headers) raise on damaged bytes.
DAMAGE = (
    OSError, EOFError, ValueError, LookupError, OverflowError, SyntaxError, RuntimeError, MemoryError,
    struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, csv.Error, tokenize.TokenError,
)  # fmt: skip


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


@contextmanager
def opened(source, name=None):
    """Yield (stream, name) of a path or of an open binary stream; `name` is what errors call it."""
    path = Path(source) if isinstance(source, str) else source
    name = name or (path if hasattr(path, "open") else getattr(source, "name", "<stream>"))
    with data_errors(name):
        if hasattr(path, "open"):
            with path.open("rb") as stream:
                yield stream, name
        else:
            yield source, name


def read_up_to(stream, size):
    """At most `size` bytes, in chunks: stream.read(size) would reserve `size` bytes at once."""
    content = bytearray()
    while len(content) < size and (chunk := stream.read(min(CHUNK, size - len(content)))):
        content += chunk
    return content


def read_all(stream, limit, name):
    """All bytes of a file that cannot sensibly be larger than `limit`: a bomb in an archive is not unpacked further."""
    content = read_up_to(stream, limit + 1)
    if len(content) > limit:
        raise DataError(f"{name}: expected at most {limit} bytes, found more")
    return bytes(content)


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
