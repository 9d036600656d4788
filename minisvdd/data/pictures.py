"""One picture: a PNG, JPEG, BMP, GIF, TIFF, PGM or PPM file, read by Pillow, as an array of 8 bits.

    inspect(path)                           size and whether it is grey, by its header alone
    read_picture(path, (64, 64), "grey")    (1, 64, 64) uint8

A file is decoded, made smaller and forgotten: of a folder of large photographs, one at a time is in memory. What is in
it decides, not its name. Of one pixel the value becomes

    16 bits (or 12, in a TIFF file)  v -> round(v 255 / 65535), by the largest value of that depth, never clipped
    transparent                      laid on white, as a page shows it; the colour below transparency is anybody's guess
    palette, CMYK, black and white   the colours that they mean
    turned, by its EXIF orientation  as a viewer shows it

and with `size` the picture is resized to it by averaging (Pillow's antialiased bilinear filter); its proportions are
those of `size` then. Animations and files of several pages are refused: which of their pictures is meant is not ours to
say. (A JPEG file with a second picture for depth or brightness, as telephones write them, counts as its first.)
"""

import math
import os
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ..errors import DataError, one_line
from ..files.arrays import listed
from ..files.streams import DAMAGE

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm")
COLORS = ("auto", "grey", "rgb")
MAX_PIXELS = 1 << 26
_HARMLESS, _EXPANSION = 1 << 22, 1032  # that of deflate, which packs tightest
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM")
_GREY_MODES = ("1", "L", "LA", "La")
_DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF: those that exchange width and height
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF tags, and a value of the second
# Pillow's readers are many, and on damaged bytes each fails in its own way.
_DAMAGE = (
    *DAMAGE, TypeError, AttributeError, ArithmeticError, AssertionError,
    Image.DecompressionBombWarning, Image.DecompressionBombError,
)  # fmt: skip


class Header(NamedTuple):
    """What a picture says of itself: its size as a viewer shows it, and whether it has no colours."""

    height: int
    width: int
    is_grey: bool


def inspect(path) -> Header:
    """Size and kind of a picture, by its header alone. Raises DataError as `read_picture` does."""
    with _opened(path) as image:
        width, height = image.size
        # TIFF's reader has turned the size already; PNG's decodes the whole picture to look for EXIF behind it.
        if image.format in ("JPEG", "MPO") or (image.format == "PNG" and _png_has_exif(path)):
            turned = image.getexif().get(_ORIENTATION) in _TURNED
            width, height = (height, width) if turned else (width, height)
        return Header(height, width, _is_grey(image))


def _png_has_exif(path):
    """Whether some chunk of the file is EXIF, before the pixels or behind them."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"eXIf":
                return True
            file.seek(length + 4, os.SEEK_CUR)  # behind its data and their checksum
    return False


def read_picture(path, size: tuple[int, int] | None = None, color: str = "rgb") -> np.ndarray:
    """One picture as uint8, (1, H, W) for color="grey" or (3, H, W) for "rgb".

    path: of a file.   size: (H, W) to resize to; None leaves it as it is.
    Raises DataError, in one line that names the file, for one that is missing, damaged or cut short, no picture or not
    one alone, larger than 2^26 pixels or than so small a file can be, or of numbers whose white is unknown.
    """
    with _opened(path) as image:
        if size is not None:
            image.draft(None, 2 * (2 * max(size),))  # JPEG: decode at 1/2, 1/4 or 1/8 where that is enough
        _match_transparency(image)
        turned = ImageOps.exif_transpose(image)
        flat = _eight_bits(turned, *_black_and_white(image)).convert("L" if color == "grey" else "RGB")
        if size is not None:
            flat = flat.resize(size[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(flat)
        return pixels[None].copy() if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def check_size(size) -> tuple[int, int] | None:
    """(H, W) of a side, a pair of them, or the text of either ("64", "48x64"); None for None.

    Raises ValueError for anything else.
    """
    if size is None:
        return None
    parts = size.lower().split("x") if isinstance(size, str) else size if isinstance(size, tuple | list) else [size]
    try:
        sides = [int(part) for part in parts]
        if any(side != float(part) or isinstance(part, bool) for side, part in zip(sides, parts)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        sides = []
    height, width = (sides * 2)[:2] if len(sides) in (1, 2) else (0, 0)
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"size={size!r}: expected a side such as 64, or height and width such as '48x64'")
    return height, width


def check_color(color) -> None:
    """ValueError for another word than "auto", "grey" or "rgb"."""
    if color not in COLORS:
        raise ValueError(f"color={color!r}: expected one of {', '.join(COLORS)}")


@contextmanager
def _opened(path) -> Iterator[Image.Image]:
    """The picture of a regular file, its header read and found harmless; every failure is a one-line DataError."""
    path, name = Path(path), listed([str(path)])
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe or a device may wait for ever
            raise DataError(f"{name}: expected a file, found something else (a folder, a pipe or a device)")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with path.open("rb") as stream, Image.open(stream, formats=_FORMATS) as image:
                _check_header(image, name, os.fstat(stream.fileno()).st_size)
                yield image
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{name}: damaged, or no picture of the formats {', '.join(_FORMATS)}") from None
    except _DAMAGE as error:
        raise DataError(f"{name}: damaged or unreadable: {one_line(error)}") from error


def _check_header(image, name, size):
    pixels_in_a_byte = 8 if image.mode in ("1", "P") else 1
    most = min(MAX_PIXELS, max(_HARMLESS, _EXPANSION * pixels_in_a_byte * size))
    if math.prod(image.size) > most:
        found = f"found {image.width} x {image.height} in {size} bytes"
        raise DataError(f"{name}: expected at most {most} pixels, {found}")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise DataError(f"{name}: expected one picture, found several (an animation, or pages): save the one you mean")
    if image.mode not in (*_GREY_MODES, *_DEEP_MODES, *_COLOUR_MODES):
        raise DataError(f"{name}: expected pixels of 8 or 16 bits, found Pillow's mode {image.mode}: its white is open")
    if image.mode == "I" and image.format == "TIFF":
        raise DataError(f"{name}: expected pixels of 8 or 16 bits, found 32: their white is open")


def _is_grey(image):
    if image.mode == "P":
        colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
        return bool((colours == colours[:, :1]).all())
    return image.mode in (*_GREY_MODES, *_DEEP_MODES)


def _match_transparency(image):
    """Pillow brings grey of 2 or 4 bits and colours of 16 to 8, but not the value of them that is transparent."""
    value, kind = image.info.get("transparency"), image.tile[0].args if image.format == "PNG" and image.tile else None
    if isinstance(value, int) and kind in ("L;2", "L;4"):
        most = 2 ** int(kind[-1]) - 1
        image.info["transparency"] = (value & most) * (255 // most)
    if isinstance(value, tuple) and kind == "RGB;16B":
        image.info["transparency"] = tuple(part >> 8 for part in value)


def _black_and_white(image):
    """The values of black and white, for the modes of more than 8 bits. Pillow turns a negative of 8 bits itself."""
    tags = image.tag_v2 if image.format == "TIFF" else {}
    ends = 0, 2 ** tags.get(_BITS_PER_SAMPLE, (16,))[0] - 1
    return ends[::-1] if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else ends


def _eight_bits(image, black, white):
    if image.mode in _DEEP_MODES:
        values = np.asarray(image).astype(np.float64)
        values[values == image.info.get("transparency")] = white
        return Image.fromarray(np.clip(np.rint((values - black) * (255 / (white - black))), 0, 255).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image
