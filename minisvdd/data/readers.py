"""Readers of data sets, one function per format: IDX, CIFAR-10 binary, PPM and PNG, GTSRB's tables; arrays as samples.

A reader takes a path (also one inside a zip archive, `zipfile.Path`) or an open, seekable binary stream. Whatever the
bytes are, it returns arrays or raises `DataError` with one line that names the file and says what was expected and
what was found (`minisvdd.files.streams` has the means).
"""

import csv
import hashlib
import io
import math
import re
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..errors import DataError
from ..files.streams import CHUNK, Expanding, expanded, opened, read_all, read_promised, read_up_to, refuse_bomb
from ..validation import LARGEST

# --- IDX (MNIST) ------------------------------------------------------------------------------------------------------

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(source, sha256: str | None = None) -> np.ndarray:
    """Read an IDX file, gzipped or not (recognised by its content): MNIST's format.

    Layout: 00 00 <type> <number of dimensions>, the dimensions as big-endian uint32, the items in row-major order.
    sha256: expected checksum of the *decompressed* content. Returns an array of the file's type and shape.
    Raises DataError for another format, a size that differs from the header's, a damaged gzip or another checksum.
    """
    with opened(source) as (stream, name):
        stream = expanded(stream, name)
        head = bytes(read_up_to(stream, 4))
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES or head[3] == 0:
            raise DataError(f"{name}: not an IDX file: expected 00 00 <type> <dimensions>, found '{head.hex(' ')}'")
        sizes = bytes(read_up_to(stream, 4 * head[3]))
        if len(sizes) < 4 * head[3]:
            raise DataError(f"{name}: truncated: expected a header with {head[3]} dimensions, found {len(sizes)} bytes")
        shape = struct.unpack(f">{head[3]}I", sizes)
        dtype = np.dtype(_IDX_TYPES[head[2]])
        size = math.prod(shape) * dtype.itemsize
        if isinstance(stream, Expanding):
            stream.refuse_bomb(size)  # before it expands
        data = read_promised(stream, size, name)
        if sha256 is not None:
            digest = hashlib.sha256(head + sizes)
            digest.update(data)
            _require_checksum(digest, sha256, name)
        return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _require_checksum(digest, expected, name):
    if digest.hexdigest() != expected:
        kind = digest.name.upper()
        found = digest.hexdigest()
        raise DataError(f"{name}: not the official content: expected {kind} {expected[:16]}..., found {found[:16]}...")


# --- CIFAR-10, binary version -----------------------------------------------------------------------------------------

_CIFAR_RECORD = 1 + 3 * 32 * 32
CIFAR_BATCH = 10_000 * _CIFAR_RECORD  # bytes of each official file


def read_cifar10(source, md5: str | None = None, name: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read one file of CIFAR-10's binary version: records of a label byte and 3072 pixels (planes R, G, B).

    md5: expected checksum of the file; name: what errors call a stream. Returns images (n, 3, 32, 32) and labels (n,),
    both uint8. Raises DataError for a size that is no multiple of 3073 bytes or more than an official file has, a label
    above 9 or another checksum.
    """
    with opened(source, name) as (stream, name):
        content = read_all(stream, CIFAR_BATCH, name)
        if not content or len(content) % _CIFAR_RECORD:
            raise DataError(f"{name}: expected CIFAR-10 records of {_CIFAR_RECORD} bytes, found {len(content)} bytes")
        if md5 is not None:
            _require_checksum(hashlib.md5(content, usedforsecurity=False), md5, name)
        records = np.frombuffer(content, np.uint8).reshape(-1, _CIFAR_RECORD)
        labels = records[:, 0].copy()
        if labels.max() > 9:
            raise DataError(
                f"{name}: expected labels 0 to 9, found {labels.max()} in record {labels.argmax()}: not CIFAR-10"
            )
        return records[:, 1:].reshape(-1, 3, 32, 32), labels


# --- PPM and PNG (GTSRB) ----------------------------------------------------------------------------------------------

_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"  # white space and comments
_PPM_HEADER = re.compile(rb"P6" + 3 * (_GAP + rb"(\d{1,9})") + rb"\s")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")  # 8 bits a channel or fewer
_MAX_PIXELS = 1 << 24  # 16 megapixels: 50 MB
_MAX_IMAGE_BYTES = 3 * _MAX_PIXELS + CHUNK  # a header with long comments


def read_image(source) -> np.ndarray:
    """Read a PPM (P6, 8-bit) or PNG image (recognised by content) as (H, W, 3) uint8; transparency is dropped.

    Raises DataError for another format, a truncated image, more than 8 bits a channel or 2^24 pixels. Of a PPM file
    that holds several images the first one is read, as the format's definition has it.
    """
    with opened(source) as (stream, name):
        content = read_all(stream, _MAX_IMAGE_BYTES, name)
        if content.startswith(b"P6"):
            return _parse_ppm(content, name)
        if content.startswith(_PNG_MAGIC):
            return _parse_png(content, name)
        raise DataError(
            f"{name}: expected a PPM (P6) or PNG image, found a file that begins with {bytes(content[:8])!r}"
        )


def _parse_ppm(content, name):
    header = _PPM_HEADER.match(content)
    if header is None:
        raise DataError(f"{name}: expected a PPM header 'P6 <width> <height> 255', found {bytes(content[:20])!r}")
    width, height, largest = map(int, header.groups())
    if width * height == 0 or largest != 255:
        raise DataError(f"{name}: expected an 8-bit PPM image, found {width} x {height} with maximum {largest}")
    size = 3 * width * height
    pixels = memoryview(content)[header.end() : header.end() + size]
    if len(pixels) < size:
        raise DataError(f"{name}: truncated: {width} x {height} pixels need {size} bytes, found {len(pixels)}")
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3).copy()


def _parse_png(content, name):
    with _image(content) as image:
        if image.mode not in _PNG_MODES or math.prod(image.size) > _MAX_PIXELS:
            size = f"{image.width} x {image.height}"
            raise DataError(f"{name}: expected an 8-bit PNG of ordinary size, found mode {image.mode}, {size}")
        refuse_bomb(3 * math.prod(image.size), len(content), name)
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _image(content):
    try:
        return Image.open(io.BytesIO(content), formats=["PNG"])
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


# --- Samples ----------------------------------------------------------------------------------------------------------


def as_samples(array: np.ndarray, name) -> np.ndarray:
    """Bring samples into (n, D), float64 or float32, or (n, C, H, W), uint8 or float32. Errors call them `name`.

    (n, H, W) becomes (n, 1, H, W); (n, H, W, C) with 1 or 3 channels is moved to channels first. uint8 images stay as
    they are; booleans become 0 and 1; other integers are accepted as features but not as images, whose scale they leave
    open. Features are float64, but float32 where they are stored so: as `minisvdd.validation` keeps them, an offset
    must not cost the digits behind it before pre-processing takes it away.
    Raises DataError for another shape, one that can be read in two ways, another dtype, NaN, infinity, and what is too
    large for float32.
    """
    array = np.ascontiguousarray(_channels_first(array, name))
    if array.ndim == 4 and array.dtype == np.uint8:
        return array
    if array.dtype.kind not in ("bf" if array.ndim == 4 else "biuf"):
        raise DataError(f"{name}: expected uint8 (0 to 255) or floating-point samples, found dtype {array.dtype}")
    is_single = array.dtype.kind == "f" and array.dtype.itemsize == 4
    with np.errstate(over="ignore"):
        array = array.astype(np.float32 if array.ndim == 4 or is_single else np.float64)
    fits = (array >= -LARGEST) & (array <= LARGEST)
    if not fits.all():
        first = np.argwhere(~fits)[0][0]
        raise DataError(
            f"{name}: expected finite float32 values, found {np.count_nonzero(~fits)} "
            f"that are NaN or infinite there, first in sample {first}"
        )
    return array


def _channels_first(array, name):
    """Second axis the channels. Where two readings are possible, the user decides, not we."""
    if array.ndim == 2:
        return array
    if array.ndim == 3 and array.shape[2] not in (1, 3):
        return array[:, None]
    if array.ndim == 4:
        first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
        if last and not first:
            return np.moveaxis(array, 3, 1)
        few_channels = array.shape[1] < min(array.shape[2:])
        if not last and (first or few_channels):
            return array
    expected = "(n, D), (n, H, W) or (n, C, H, W)"
    if array.ndim in (3, 4):
        raise DataError(f"{name}: shape {array.shape} is ambiguous: cannot tell its channels; expected {expected}")
    raise DataError(f"{name}: expected samples of shape {expected}, found {array.shape}")


def to_float(samples: np.ndarray, white: float = 255.0) -> np.ndarray:
    """uint8 images divided by the value of white, as float32; floating-point samples as they are.

    Features have no white: in uint8 they are numbers like others, and become float64.
    """
    if samples.dtype != np.uint8:
        return samples
    if samples.ndim < 3:
        return samples.astype(np.float64)
    return samples.astype(np.float32) / np.float32(white)


# --- GTSRB's tables ---------------------------------------------------------------------------------------------------


_MAX_TABLE_BYTES = 1 << 25  # the largest official table has 0.6 MB
_MAX_SIDE = 1 << 16  # pixels


class Sign(NamedTuple):
    """A row of a GTSRB table: image file, size (width, height) of the original image, region of interest, class."""

    file: str
    size: tuple[int, int]
    region: tuple[int, int, int, int]  # x1, y1, x2, y2: image[y1:y2, x1:x2], x is the column
    label: int | None


def read_sign_table(source) -> list[Sign]:
    """Read a GTSRB annotation table: Filename (or Path), Width, Height, Roi.X1, .Y1, .X2, .Y2, and ClassId if known.

    Columns are found by name; semicolons or commas separate them. Raises DataError, naming the line, for a missing
    column, a non-number, a region outside the image or a file name that leads out of the table's folder.
    """
    with opened(source) as (stream, name):
        lines = read_all(stream, _MAX_TABLE_BYTES, name).decode("utf-8-sig").splitlines()
        table = csv.DictReader(lines, delimiter=";" if lines and ";" in lines[0] else ",")
        file_column = "Path" if "Path" in (table.fieldnames or ()) else "Filename"
        columns = (file_column, "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2")
        if missing := [column for column in columns if column not in (table.fieldnames or ())]:
            raise DataError(f"{name}: not a GTSRB table: no column {missing[0]}")
        return [_parse_sign(row, columns, f"{name}, line {table.line_num}") for row in table]


def _whole(cell):
    """As Python reads it, but for 1_000. ValueError, or TypeError for a cell that is missing."""
    if "_" in cell:
        raise ValueError(cell)
    return int(cell)


def _parse_sign(row, columns, name):
    file = row[columns[0]] or ""
    try:
        width, height, *region = (_whole(row[column]) for column in columns[1:])
        label = _whole(row["ClassId"]) if "ClassId" in row else None
    except (TypeError, ValueError):
        raise DataError(f"{name}: expected whole numbers, found {list(row.values())}") from None
    x1, y1, x2, y2 = region
    if max(width, height) > _MAX_SIDE:
        raise DataError(f"{name}: expected an image of at most {_MAX_SIDE} pixels a side, found {width} x {height}")
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise DataError(f"{name}: region of interest {tuple(region)} is not inside {width} x {height} pixels")
    if not file or Path(file).is_absolute() or ".." in Path(file).parts:
        raise DataError(f"{name}: expected a file name in the table's folder, found {file!r}")
    return Sign(file, (width, height), tuple(region), label)


def cut_sign(image: np.ndarray, sign: Sign, may_be_cut: bool = False) -> np.ndarray:
    """Cut the region of interest and resize it (bilinear): (H, W, 3) uint8 -> (3, 32, 32) uint8.

    Where the image was resized after annotation, the region is scaled by actual / annotated size, to fractions of a
    pixel. The region is cut first, so that no pixel outside it leaks in through the interpolation.
    may_be_cut: take an image that is exactly as large as its region, and not as the annotated size, for one that was
    cut already. Only for archives that hold such images: a resized image can have that size by chance.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = sign.region
    if may_be_cut and (width, height) == (x2 - x1, y2 - y1):
        box = (0, 0, width, height)
    else:
        scale_x, scale_y = width / sign.size[0], height / sign.size[1]
        box = (x1 * scale_x, y1 * scale_y, min(x2 * scale_x, width), min(y2 * scale_y, height))
    left, top = math.floor(box[0]), math.floor(box[1])
    cut = Image.fromarray(image).crop((left, top, math.ceil(box[2]), math.ceil(box[3])))
    inside = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    return np.asarray(cut.resize((32, 32), Image.Resampling.BILINEAR, box=inside)).transpose(2, 0, 1)
