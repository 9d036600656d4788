"""Folders of pictures: which of them train, which test, and of what class they are, by the folders they lie in.

    DIR/train/good/*.png   DIR/test/good/*.png   DIR/test/crack/*.png       MVTec's layout: train is of one class
    DIR/train/*.png        DIR/test/*.png                                    without labels
    DIR/good/*.png         DIR/crack/*.png                                   classes, one of which is to be chosen
    DIR/*.png                                                                normal pictures alone

Below a class, folders may be nested. `train` and `test` may be written in other ways (`TRAIN`, `TEST`); masks in
`ground_truth`, hidden files, and files that are no pictures are left alone, and so are pictures that minisvdd has made,
which is said. Symbolic links are followed, but not round in a circle; a picture that is a pipe or a device is refused.
"""

import math
import os
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..backends.memory import available_bytes
from ..errors import DataError
from ..files.arrays import listed
from ..files.marks import is_marked
from ..files.progress import Progress
from .pictures import ENDINGS, Header, check_color, check_size, inspect, read_picture
from .split import Dataset, encode_labels

TRAIN = ("train", "training", "train_set", "trainset")
# Of several, the first is taken.
TEST = ("test", "testing", "test_set", "testset", "test_public", "val", "valid", "validation")
_MASKS = ("ground_truth", "groundtruth")
_FOREIGN = (".webp", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".dng", ".raw", ".svg", ".psd", ".exr", ".dcm")
_STEP, _LARGEST = 16, 256  # pixels: a side that we choose is a multiple of the one, and at most the other
_MEMORY = 1 << 34  # bytes, on systems that do not tell


class Found(NamedTuple):
    """A picture: its path, its name relative to the folder that was given, and the folder it lies in as its class."""

    path: Path
    name: str
    label: str | None


class Pictures(NamedTuple):
    """images: (n, C, H, W) uint8.   names: relative paths.   labels: (n,) strings or None.   notes: sentences."""

    images: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray | None
    notes: tuple[str, ...]


def load_images(
    folder, size=None, color: str = "auto", skip_damaged: bool = False, verbose: int = 0
) -> tuple[np.ndarray, tuple[str, ...]]:
    """All pictures in a folder and the folders below it, in the order of their names (2 before 10).

    size: a side or (H, W) to resize to; None keeps the pictures as they are when all have one size with sides of at
    most 256 that are multiples of 4, else chooses (their median, as multiples of 16) and says so by a warning.
    color: "grey", "rgb", or "auto": grey when all of them are.
    skip_damaged: leave out, with a warning, what cannot be read.   verbose: 1 shows progress.

    Returns images (n, C, H, W) uint8 and their names, paths relative to the folder. PNG, JPEG, BMP, GIF, TIFF, PGM and
    PPM, as `minisvdd.data.pictures` reads them. Raises DataError, naming the file, for one that cannot be read, and for
    a folder without pictures; ValueError for another size or color.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in (2, 10):
    ...         Image.new("L", (12, 8), number).save(f"{folder}/{number}.png")
    ...     images, names = load_images(folder)
    >>> images.shape, names
    ((2, 1, 8, 12), ('2.png', '10.png'))
    """
    found, notes = _find(Path(folder))
    pictures, _ = _read(found, None, size, color, skip_damaged, verbose)
    for note in (*notes, *pictures.notes):
        warnings.warn(note, UserWarning, stacklevel=2)
    return pictures.images, pictures.names


def load_folder(path: Path, size=None, color="auto", skip_damaged=False, verbose=0) -> Dataset:
    """The data set in a folder of one of the layouts above. Errors and arguments as in `load_images`.

    Size and colour are decided by the training pictures; those for testing are read in the same way.
    """
    training, testing, notes = _parts(path)
    train, test = _read(training, testing, size, color, skip_damaged, verbose)
    class_names, train_labels, test_labels = encode_labels(train.labels, test.labels if test else None, path)
    images, names = (test.images, test.names) if test else (None, None)
    notes = (*notes, *train.notes, *(test.notes if test else ()))
    name = path.resolve().name or "folder"
    return Dataset(
        name, train.images, train_labels, images, test_labels, class_names,
        train_names=train.names, test_names=names, notes=notes,
    )  # fmt: skip


def read_folder(path: Path, shape: tuple[int, ...], skip_damaged: bool = False) -> Pictures:
    """Pictures to score, as a model of samples (C, H, W) was trained on: of that size, grey for C = 1, else colours.

    path: one picture, or a folder; of a folder with training and test pictures, those for testing.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise DataError(f"{path}: expected samples of shape {shape}, which pictures do not have")
    found, notes = [Found(path, path.name, None)], ()
    if path.is_dir():
        training, testing, notes = _parts(path, need_training=False)
        found = testing or training
        if testing and training:
            notes = (*notes, f"{path}: its {len(testing)} test pictures are scored")
    pictures, _ = _read(found, None, shape[1:], "grey" if shape[0] == 1 else "rgb", skip_damaged, verbose=0)
    return pictures._replace(notes=(*notes, *pictures.notes))


def is_picture(path: Path) -> bool:
    """Whether a file's name ends as a picture's does."""
    return path.suffix.lower() in ENDINGS


# --- Which files ------------------------------------------------------------------------------------------------------


def _find(root):
    """(all pictures below a folder, in the natural order of their names; notes)."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    found = sorted(_walk(root, (), (os.path.realpath(root),)), key=lambda parts: tuple(map(_natural, parts)))
    foreign = [parts[-1] for parts in found if not is_picture(Path(parts[-1]))]
    ours = ["/".join(parts) for parts in found if is_marked(root.joinpath(*parts))]
    others = [
        f"{len(names)} pictures {what}: {listed(names, 3)}"
        for what, names in (("of other formats", foreign), ("that minisvdd has made", ours))
        if names
    ]
    left = set(ours)
    found = [parts for parts in found if is_picture(Path(parts[-1])) and "/".join(parts) not in left]
    if not found:
        beside = f" but {'; '.join(others)}" if others else ""
        raise DataError(f"{root}: expected pictures ({', '.join(ENDINGS)}), found none{beside}")
    notes = tuple(f"{root}: left alone: {other}" for other in others)
    return [Found(root.joinpath(*parts), _printable("/".join(parts)), None) for parts in found], notes


def _walk(folder, parts, above):
    """Relative paths, as tuples, of all pictures below `folder`; `above`: the real paths of the folders around them."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
    for entry in entries:
        if entry.name.startswith((".", "__MACOSX")):
            continue
        here = (*parts, entry.name)
        if os.path.isdir(entry.path):  # where entry.is_dir() raises for a link to itself, this is False
            real = os.path.realpath(entry.path)
            if real in above:
                raise DataError(f"{entry.path}: a symbolic link to a folder that it lies in: expected pictures")
            if entry.name.lower() not in _MASKS:
                yield from _walk(entry.path, here, (*above, real))
        elif os.path.splitext(entry.name)[1].lower() in (*ENDINGS, *_FOREIGN):
            yield here


def _natural(name):
    """Sorts 2 before 10, and upper case beside lower; names that differ only in that, or in zeros, by their letters."""
    pieces = re.split(r"([0-9]+)", name.casefold())
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces], name


def _printable(name):
    """A name as text that can be written anywhere, also where the file system's is no UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def _parts(root, need_training=True):
    """(training pictures, test pictures or None, notes), each picture with its class where folders name classes."""
    found, notes = _find(root)
    depth = len(root.parts)
    folders = dict.fromkeys(picture.path.parts[depth] for picture in found if len(picture.path.parts) > depth + 1)
    train, test = (_one_of(root, folders, names) for names in (TRAIN, TEST))
    if train is None and test is None:
        return _with_labels(root, found), None, notes
    if train is None and need_training:
        raise DataError(f"{root}: expected a folder train beside {test}, found {listed(folders)}")
    if test is None and len(folders) > 1:  # a class of vehicles may be called so
        raise DataError(f"{root}: expected a folder test beside {train}, or classes alone, found {listed(folders)}")
    inside = [p for p in found if p.path.parts[depth] in (train, test) and len(p.path.parts) > depth + 1]
    others = len(found) - len(inside)
    parts = [
        None if part is None else _with_labels(root / part, [p for p in inside if p.path.parts[depth] == part])
        for part in (train, test)
    ]
    if others:
        notes = (*notes, f"{root}: {others} pictures outside {train} and {test} are left alone")
    return *parts, notes


def _one_of(root, folders, names):
    """The folder that one of the names means, the first of them that is there."""
    for name in names:
        meant = [folder for folder in folders if folder.lower() == name]
        if len(meant) > 1:
            raise DataError(f"{root}: expected one folder {name}, found {listed(meant)}")
        if meant:
            return meant[0]
    return None


def _with_labels(root, found):
    """The pictures with the first folder below `root` as their class; without, where none lies in a folder."""
    depth = len(root.parts)
    inner = [picture.path.parts[depth:-1] for picture in found]
    if not any(inner):
        return found
    if not all(inner):
        alone, folder = found[inner.index(())], next(parts for parts in inner if parts)[0]
        raise DataError(
            f"{root}: expected pictures, or folders of them, found both: {listed([alone.name])} beside {folder}"
        )
    for parts in inner:
        if any(part.lower() in (*TRAIN, *TEST) for part in parts[1:]):
            raise DataError(f"{root / parts[0]}: has folders for training or test of its own: expected one data set")
    return [picture._replace(label=_printable(parts[0])) for picture, parts in zip(found, inner)]


# --- How they are read ------------------------------------------------------------------------------------------------


def _read(training, testing, size, color, skip_damaged, verbose):
    """Both parts as `Pictures`, read alike; the second is None where there is none."""
    check_color(color)
    size, notes = check_size(size), []
    if size is None or color == "auto":
        headers, training = _inspected(training, skip_damaged, notes)
        grey = all(header.is_grey for header in headers)
        color = color if color != "auto" else "grey" if grey else "rgb"
        if size is None:
            size, why = _chosen_size(headers)
            if why:
                notes.append(f"{why}: each is resized to {size[0]}x{size[1]}, unless a size is given (--size)")
    channels = 1 if color == "grey" else 3
    _check_memory(len(training) + len(testing or ()), (channels, *size))
    progress = Progress("pictures", len(training) + len(testing or ()), verbose)
    parts, done = [], 0
    for part in (training, testing):
        if part is None:
            parts.append(None)
            continue
        parts.append(_decoded(part, (channels, *size), skip_damaged, notes, progress, done))
        done += len(part)
        notes = []
    return parts


def _inspected(found, skip_damaged, notes):
    """Headers of all pictures that have one, and those pictures."""
    headers, kept, damaged = [], [], []
    for picture in found:
        try:
            headers.append(inspect(picture.path))
            kept.append(picture)
        except DataError as error:
            if not skip_damaged:
                raise
            damaged.append(str(error))
    _note_damaged(damaged, kept, notes)
    return headers, kept


def _decoded(found, shape, skip_damaged, notes, progress, done):
    images, kept, damaged = np.empty((len(found), *shape), np.uint8), [], []
    color = "grey" if shape[0] == 1 else "rgb"
    for place, picture in enumerate(found, 1):
        try:
            images[len(kept)] = read_picture(picture.path, shape[1:], color)
            kept.append(picture)
        except DataError as error:
            if not skip_damaged:
                raise
            damaged.append(str(error))
        progress.update(done + place)
    _note_damaged(damaged, kept, notes)
    labels = None if kept[0].label is None else np.array([picture.label for picture in kept])
    return Pictures(images[: len(kept)], tuple(picture.name for picture in kept), labels, tuple(notes))


def _note_damaged(damaged, kept, notes):
    if not kept:
        raise DataError(f"{damaged[0]}: and none of the other pictures can be read")
    if damaged:
        notes.append(f"{len(damaged)} pictures are left out: {listed(damaged, 3)}")


def _chosen_size(headers: list[Header]):
    """((H, W), why another than the pictures' own or "")."""
    sizes = {(header.height, header.width) for header in headers}
    height, width = (float(np.median([header[k] for header in headers])) for k in (0, 1))
    if len(sizes) == 1 and max(height, width) <= _LARGEST and height % 4 == width % 4 == 0:
        return (int(height), int(width)), ""
    scale = min(1.0, _LARGEST / max(height, width))
    size = tuple(max(_STEP, _STEP * round(side * scale / _STEP)) for side in (height, width))
    why = "the pictures have sizes of their own" if len(sizes) > 1 else f"the pictures have {height:g}x{width:g} pixels"
    return size, why


def _check_memory(count, shape):
    """Training takes them as float32: say now what would end in a killed process an hour later."""
    needed = 4 * count * math.prod(shape)
    there = available_bytes()
    if needed > (there := _MEMORY if there is None else there):
        raise DataError(
            f"{count} pictures of {'x'.join(map(str, shape))} take {needed / 2**30:.1f} GB of memory, more than is "
            f"free ({there / 2**30:.1f} GB): give a smaller size"
        )
