"""A mark in every picture that minisvdd makes: a text beside the pixels, which no viewer shows.

By it a picture of ours is known wherever it lies. It is never taken for data (`minisvdd.data.folders`), and of an
earlier call's pictures those of ours can be removed, and nobody else's.
"""

import os
from contextlib import suppress
from pathlib import Path

from ..errors import DataError
from .arrays import listed
from .streams import open_regular

HEAT_MAP = "heat map"
_SOFTWARE = "Software"  # the PNG keyword for what has made a picture
_HEAD = 512  # bytes, in which the mark lies: it is written before the pixels


def mark(kind: str = "picture") -> dict[str, str]:
    """The text that goes into a PNG file, as matplotlib and Pillow take it."""
    return {_SOFTWARE: f"minisvdd {kind}"}


def is_marked(path, kind: str = "") -> bool:
    """Whether it is a picture that minisvdd has made, of this kind or, by default, of any; False for what is none."""
    if not str(path).lower().endswith(".png"):
        return False
    with suppress(OSError, DataError), open_regular(path) as stream:
        return f"tEXt{_SOFTWARE}\0minisvdd {kind}".encode() in stream.read(_HEAD)
    return False


def check_free_of_pictures(folder, endings: tuple[str, ...], option: str) -> None:
    """ValueError, naming the option, for a folder that holds pictures of others: ours could replace one of them.

    endings: of pictures. A folder that is not there yet is free.
    """
    folder = Path(folder)
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    pictures = [name for name in names if name.lower().endswith(endings) and not name.startswith(".")]
    if others := [name for name in pictures if not is_marked(folder / name)]:
        raise ValueError(
            f"{option} {folder}: holds pictures that minisvdd has not made, such as {listed(others[:1])}: "
            "give a folder of its own"
        )
