"""Arrays in .npz and .npy files: written atomically, read without pickle and without trust in a header."""

import hashlib
import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, one_line
from .atomic import atomic_write, json_text
from .records import parse_json
from .streams import CHUNK, NONSENSE, open_zip, opened, read_promised, read_up_to, refuse_bomb

_KINDS = "buifU"  # of dtypes, by NumPy's letters: truth, numbers, text
# What minisvdd writes itself is hardly ever compressed: nothing that is read as a whole may expand more than this.
_LARGEST_RATIO, _HARMLESS = 20, 1 << 24


def write_arrays(path, arrays: dict[str, np.ndarray], compressed: bool = False) -> None:
    """Write an .npz file, atomically. Raises DataError, naming the path, when it cannot be written.

    ValueError for arrays that the readers below refuse: of objects (NumPy would pickle them), bytes, dates.
    It is put together in memory: a zip file that was begun on a full disk complains once more when it is forgotten.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in _KINDS:
            raise ValueError(f"array {name!r} has dtype {array.dtype}: expected numbers or text, to be read again")
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    with atomic_write(path, "wb") as file:
        file.write(buffer.getbuffer())


def content_hash(*arrays: np.ndarray, text: str = "") -> str:
    """SHA-256 of arrays with their dtypes and shapes, and of a text that goes with them."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    digest.update(text.encode())
    return digest.hexdigest()


def listed(names, most: int = 10) -> str:
    """The first names of a damaged file's arrays in an error message: printable, on one line."""
    names = [name if name.isprintable() else repr(name) for name in names]
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])]) or "none"


def array_names(source) -> list[str]:
    """Names of the arrays in an .npz file; an .npy file is treated like one that holds only "X"."""
    with opened(source) as (stream, name):
        if _is_npy(stream, name):
            return ["X"]
        with open_zip(stream, name) as archive:
            return [member.removesuffix(".npy") for member in archive.namelist()]


def read_array(source, key: str = "X", empty: bool = False) -> np.ndarray:
    """Read one array of samples from an .npz file, or an .npy file, without ever unpickling anything.

    empty: whether the array may be without axes, or without entries.
    Raises DataError for a missing key, an object array (it would need pickle) or a damaged file.
    """
    with opened(source) as (stream, name):
        if _is_npy(stream, name):
            return _parse_npy(stream, name, empty)
        with open_zip(stream, name) as archive:
            members = {member.removesuffix(".npy"): member for member in archive.namelist()}
            if key not in members:
                raise DataError(f"{name}: expected an array {key}, found {listed(members)}")
            with _opened_member(archive, members[key], f"{name}: {listed([key])}") as inner:
                return _parse_npy(inner, f"{name}: {listed([key])}", empty)


def read_arrays(source) -> dict[str, np.ndarray]:
    """All arrays of an .npz file that minisvdd wrote, of any shape. Errors as in `read_array`."""
    with opened(source) as (stream, name):
        if _is_npy(stream, name):
            return {"X": _parse_npy(stream, name, empty=True)}
        arrays = {}
        with open_zip(stream, name) as archive:
            size = stream.seek(0, io.SEEK_END)
            expanded = sum(member.file_size for member in archive.infolist())
            if expanded > max(_HARMLESS, _LARGEST_RATIO * size):
                raise DataError(f"{name}: {size} bytes promise {expanded}: damaged, or made to fill the memory")
            for member in archive.namelist():
                key = member.removesuffix(".npy")
                with _opened_member(archive, member, f"{name}: {listed([key])}") as inner:
                    arrays[key] = _parse_npy(inner, f"{name}: {listed([key])}", empty=True)
        return arrays


def write_described(path, entry: str, description: Any, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz file of arrays and, as JSON under the name `entry`, what they are. Errors as of `write_arrays`."""
    write_arrays(path, {**arrays, entry: np.frombuffer(json_text(description).encode(), np.uint8)})


def read_described(
    path, entry: str, kind: str, check: Callable[[Any], None]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(description, arrays) that `write_described` wrote; `check` refuses a description.

    kind: of file, as errors call it. Raises DataError, naming the file, for another one, for what is damaged, and for
    arrays that hold NaN or infinity.
    """
    arrays = read_arrays(Path(path))
    if entry not in arrays:
        raise DataError(f"{path}: not a {kind}: expected a .npz file with an entry {entry!r}")
    try:
        description = parse_json(bytes(arrays.pop(entry)))
        check(description)
    except DataError:
        raise
    except NONSENSE as error:
        raise DataError(f"{path}: damaged, or not a {kind}: {one_line(error)}") from error
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{path}: damaged: array {listed([name])} holds values that are NaN or infinite")
    return description, arrays


def arrays_under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those whose names begin with the prefix, under the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _opened_member(archive, member, name):
    """A member in one of the two forms that NumPy writes: bzip2 and LZMA expand without any useful bound."""
    info = archive.getinfo(member)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{name}: expected an array that is stored or deflated, found {info.compress_type}")
    refuse_bomb(info.file_size, info.compress_size, name)
    return archive.open(info)


def _is_npy(stream, name):
    stream.seek(0)
    magic = stream.read(6)
    stream.seek(0)
    if magic != b"\x93NUMPY" and magic[:2] != b"PK":
        raise DataError(f"{name}: expected an .npz or .npy file, found a file that begins with {magic!r}")
    return magic[:2] != b"PK"


def _parse_npy(stream, name, empty=False):
    """numpy.load reserves memory for the shape that the header promises; this reads what is there."""
    shape, fortran_order, dtype = _npy_header(stream, name)
    if dtype.kind not in _KINDS:
        raise DataError(f"{name}: expected numbers, found dtype {dtype} (object arrays are refused: they need pickle)")
    if min(shape, default=0) <= 0 and not empty:
        raise DataError(f"{name}: expected an array of samples, found shape {shape}")
    data = read_promised(stream, math.prod(shape) * dtype.itemsize, name)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


def _npy_header(stream, name):
    """(shape, fortran_order, dtype). NumPy's own reader reserves memory for as long a header as the file promises."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{name}: expected version 1.0 or 2.0 of the .npy format, found {version}")
    parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    size = bytes(read_up_to(stream, 2 if version == (1, 0) else 4))
    length = min(int.from_bytes(size, "little"), CHUNK)  # NumPy refuses headers of more than 10000 characters
    return parse(io.BytesIO(size + read_up_to(stream, length)))
