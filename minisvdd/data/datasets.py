"""Data sets: scikit-learn's digits, MNIST, CIFAR-10, GTSRB, files and folders of the user's own.

    split = load_dataset("mnist").one_class(3)      # train on threes; split.is_anomaly marks the other test digits

Files are sought in `data_dir`, then `$MINISVDD_DATA`, then the cache folder, in each of them also in a sub-folder of
the data set's name; files and folders of the user's own first where the path says. They stay under their official names
and are never unpacked or changed.
"""

import os
import tarfile
import zipfile
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import DataError
from ..files.streams import CHUNK, data_errors, expanded, open_regular, open_zip, opened
from ..places import cache_folder
from . import own
from .folders import load_folder
from .readers import CIFAR_BATCH, cut_sign, read_cifar10, read_idx, read_image, read_sign_table
from .split import Dataset, class_index

# SHA-256 of the decompressed content: a .gz file's own checksum changes when it is compressed anew.
MNIST_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

# MD5, as published with the data set; the last file holds the test images.
CIFAR10_FILES = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"

DIGIT_CLASSES = tuple("0123456789")
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GTSRB_CLASSES = (
    "speed-limit-20", "speed-limit-30", "speed-limit-50", "speed-limit-60", "speed-limit-70", "speed-limit-80",
    "end-of-speed-limit-80", "speed-limit-100", "speed-limit-120", "no-overtaking", "no-overtaking-for-trucks",
    "right-of-way", "priority-road", "yield", "stop", "no-vehicles", "no-trucks", "no-entry", "danger", "curve-left",
    "curve-right", "double-curve", "bumpy-road", "slippery-road", "road-narrows-right", "road-works", "traffic-lights",
    "pedestrians", "children", "bicycles", "ice-or-snow", "wild-animals", "end-of-all-limits", "turn-right",
    "turn-left", "straight-only", "straight-or-right", "straight-or-left", "keep-right", "keep-left", "roundabout",
    "end-of-no-overtaking", "end-of-no-overtaking-for-trucks",
)  # fmt: skip


def load_dataset(
    name: str,
    data_dir=None,
    *,
    classes=None,
    verify: bool = True,
    size=None,
    color: str = "auto",
    skip_damaged: bool = False,
    columns=None,
    verbose: int = 0,
) -> Dataset:
    """Load "digits", "mnist", "cifar10", "gtsrb", or your own: an .npz, .npy or .csv file, a folder of pictures.

    data_dir: first folder to look in, before $MINISVDD_DATA and the cache folder; for data of your own after the
    working folder, unless `name` is absolute.
    classes: for gtsrb, load only these (names or numbers); reading all 50000 signs takes a while.
    verify: require the official checksums of MNIST and CIFAR-10.
    size, color, skip_damaged, verbose: of pictures in a folder, as in `load_images`.
    columns: of a .csv file with a line of names, the features to take, in this order (default: all but labels and what
    merely numbers the rows); a model's `feature_names_in_`.

    `minisvdd.data.own` says which arrays an .npz may hold, `minisvdd.data.folders` how a folder may be laid out.
    Raises DataError when files are missing, damaged or not the official ones, ValueError for an unknown name or class.

    >>> split = load_dataset("digits").one_class(3)
    >>> split.train.shape, split.test.shape  # the threes to train on; all digits to test
    ((92, 1, 8, 8), (896, 1, 8, 8))
    >>> split.is_anomaly.shape
    (896,)
    """
    name = str(name)
    if classes is not None and name != "gtsrb":
        raise ValueError(f"classes={classes!r}: only gtsrb can be loaded in part, not {name}")
    pictures = {"size": size, "color": color, "skip_damaged": skip_damaged}
    path = None if name in DATASETS else own_path(name, data_dir)
    if path is not None and path.is_dir():
        return load_folder(path, **pictures, verbose=verbose)
    if given := [key for key, value in pictures.items() if value not in (None, False, "auto")]:
        raise ValueError(f"{given[0]}={pictures[given[0]]!r}: only for folders of pictures, not for {name}")
    if path is not None:
        return own.load_file(path, columns)
    if name == "digits":
        return _load_digits()
    options = {"classes": classes} if name == "gtsrb" else {"verify": verify}
    unreadable = []
    for folder in _places(name, data_dir):
        try:
            if folder.is_dir() and (dataset := _LOADERS[name](folder, **options)) is not None:
                return dataset
        except _Unreadable as error:
            unreadable.append(error)
    if unreadable:
        raise unreadable[0]
    looked_in = ", ".join(map(str, data_bases(data_dir))) or "any folder (no home folder, no $MINISVDD_DATA)"
    raise DataError(f"{name}: not found in {looked_in}: download it with `minisvdd data fetch {name}`")


def own_path(name: str, data_dir=None) -> Path:
    """Where a file or folder of the user's own lies: where the path says, else in the folders of data sets.

    Raises DataError where nothing is, and for a file of another kind; ValueError for a name that is no path.
    """
    path = Path(name)
    bases = data_bases(data_dir)
    found = _first_place(path, bases) if name else None
    is_file = path.suffix.lower() in own.ENDINGS
    if found is not None and (found.is_dir() or is_file):
        return found
    if found is None and (is_file or len(path.parts) > 1):
        beside = "" if path.is_absolute() else f" here, nor in {', '.join(map(str, bases))}"
        raise DataError(f"{name}: no such file{'' if is_file else ' or folder'}{beside}")
    expected = f"{', '.join(DATASETS)}, an {', '.join(own.ENDINGS[:-1])} or {own.ENDINGS[-1]} file, or a folder"
    raise ValueError(f"name={name!r}: expected {expected} of pictures")


def sample_path(name: str, data_dir=None) -> Path:
    """Where samples to score lie, of any kind, in the order of `own_path`; `name` itself where nothing is.

    Raises DataError when `data_dir` is given but no folder.
    """
    return _first_place(Path(name), data_bases(data_dir)) or Path(name)


def _first_place(path, bases):
    places = [path] if path.is_absolute() else [path, *(base / path for base in bases)]
    return next((place for place in places if place.exists()), None)


def find_dataset(name: str, data_dir=None) -> Path | None:
    """The first folder in which files of this data set lie, without reading them; None if there is none."""
    for folder in _places(name, data_dir):
        if any(any(folder.glob(pattern)) for pattern in _FILES_OF[name]):
            return folder
    return None


def _places(name, data_dir):
    return [folder for base in data_bases(data_dir) for folder in (base, base / name)]


def data_bases(data_dir=None) -> list[Path]:
    """The folders in which data sets are sought, in order. Raises DataError when `data_dir` is given but no folder."""
    if data_dir is not None and not Path(data_dir).is_dir():
        raise DataError(f"{data_dir}: no such folder")
    given = [Path(base) for base in (data_dir, os.environ.get("MINISVDD_DATA")) if base]
    with suppress(DataError):  # a user without a home folder
        return [*given, cache_folder()]
    return given


# --- The loaders: one per data set; a folder without the data set gives None ------------------------------------------


def _load_digits():
    """Within each class, images go alternately to training and test: half each, always the same."""
    from sklearn.datasets import load_digits  # takes a second, which other data sets need not pay

    bunch = load_digits()
    images, labels = bunch.images.astype(np.uint8)[:, None], bunch.target
    is_train = np.zeros(len(labels), bool)
    for label in range(10):
        is_train[np.flatnonzero(labels == label)[::2]] = True
    return Dataset(
        "digits", images[is_train], labels[is_train], images[~is_train], labels[~is_train], DIGIT_CLASSES, white=16.0
    )


def _load_mnist(folder, verify):
    paths = {}
    for file in MNIST_FILES:
        spellings = [
            folder / (name + ending) for name in (file, file.replace("-idx", ".idx")) for ending in ("", ".gz")
        ]
        paths[file] = next((path for path in spellings if path.is_file()), None)
    if not _is_complete(folder, "mnist", paths):
        return None
    arrays = [read_idx(paths[file], sha256 if verify else None) for file, sha256 in MNIST_FILES.items()]
    for images, labels, path in zip(arrays[::2], arrays[1::2], list(paths.values())[::2]):
        if images.ndim != 3 or labels.shape != images.shape[:1] or not images.dtype == labels.dtype == np.uint8:
            raise DataError(
                f"{path}: expected uint8 images (n, H, W) with n labels, "
                f"found {images.dtype} {images.shape} and {labels.dtype} labels {labels.shape}"
            )
        if labels.size and labels.max() > 9:
            raise DataError(f"{path}: expected labels 0 to 9, found {labels.max()}")
    train_images, train_labels, test_images, test_labels = arrays
    return Dataset("mnist", train_images[:, None], train_labels, test_images[:, None], test_labels, DIGIT_CLASSES)


def _load_cifar10(folder, verify):
    checksums = CIFAR10_FILES if verify else dict.fromkeys(CIFAR10_FILES)
    for place in (folder, folder / "cifar-10-batches-bin"):
        paths = {file: place / file if (place / file).is_file() else None for file in checksums}
        if _is_complete(place, "cifar10", paths):
            return _cifar10([read_cifar10(paths[file], md5) for file, md5 in checksums.items()])
    archive_path = folder / CIFAR10_ARCHIVE
    if not archive_path.is_file():
        return None
    batches = dict.fromkeys(checksums)
    with (
        opened(archive_path) as (stream, _),
        tarfile.open(fileobj=expanded(stream, archive_path), mode="r|", tarinfo=_Header) as archive,
    ):
        for member in archive:
            file = PurePosixPath(member.name).name
            if file in checksums and member.isfile():
                content = archive.extractfile(member)
                batches[file] = read_cifar10(content, checksums[file], name=f"{archive_path}: {file}")
    if not _is_complete(archive_path, "cifar10", batches):
        raise DataError(f"{archive_path}: expected CIFAR-10's binary version, found no data_batch_1.bin")
    return _cifar10(list(batches.values()))


class _Header(tarfile.TarInfo):
    """What an archive says of a member: a batch is no larger than it is, all else small, and nothing sparse."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        member = super().frombuf(buf, encoding, errors)
        limit = CIFAR_BATCH if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else CHUNK
        if member.size > limit or member.type == tarfile.GNUTYPE_SPARSE:
            raise ValueError(f"{member.name}: expected a batch of CIFAR-10, found {member.size} bytes")
        return member


def _cifar10(batches):
    images, labels = zip(*batches)
    train_images, train_labels = np.concatenate(images[:-1]), np.concatenate(labels[:-1])
    return Dataset("cifar10", train_images, train_labels, images[-1], labels[-1], CIFAR10_CLASSES)


def _is_complete(place, name, found):
    """Whether everything was found, nothing was (False), or, as a DataError, only some."""
    missing = [file for file, value in found.items() if value is None]
    if missing and len(missing) < len(found):
        raise DataError(f"{place}: {name} is incomplete: expected {len(found)} files, no {', '.join(missing)}")
    return not missing


class _Unreadable(DataError):  # noqa: N818
    """An archive that looks like a part of a data set: it matters only where no readable one has the data."""


def _load_gtsrb(folder, classes):
    """GTSRB in official layout, or with Train.csv and Test.csv; unpacked or in zip archives, each part on its own.

    Images listed in a Train.csv or Test.csv may be cut to the region of interest already (`cut_sign`).
    """
    wanted = range(43) if classes is None else sorted({class_index(GTSRB_CLASSES, name, "classes") for name in classes})
    with ExitStack() as stack:
        archives, unreadable = _open_archives(folder, stack)
        roots = [folder, *archives]
        parts = {"Training": _training_tables(roots, wanted), "Test": _test_tables(roots)}
        if unreadable and not all(parts.values()):
            raise _Unreadable(str(unreadable[0]))
        if not any(parts.values()):
            return None
        for part, tables in parts.items():
            if not tables:
                raise DataError(f"{folder}: gtsrb is incomplete: no GTSRB_Final_{part}_Images.zip, nor its content")
        return Dataset("gtsrb", *_signs(parts["Training"], wanted), *_signs(parts["Test"], wanted), GTSRB_CLASSES)


def _open_archives(folder, stack):
    """The zip archives in a folder that may hold signs, open until the stack is closed; and why others cannot be."""
    archives, unreadable = [], []
    for path in sorted(folder.glob("[!.]*.zip")):  # a Mac leaves a ._NAME.zip beside every NAME.zip
        if any(word in path.name.lower() for word in ("gtsrb", "train", "test")):
            try:
                with data_errors(path):
                    stream = stack.enter_context(open_regular(path))
                    archives.append(zipfile.Path(stack.enter_context(open_zip(stream, path))))
            except DataError as error:
                unreadable.append(error)
    return archives, unreadable


def _training_tables(roots, wanted):
    """List of (table, folder of its images); the official layout is preferred to Train.csv."""
    for images in _folders(roots, "Final_Training/Images"):
        folders = [(label, images / f"{label:05d}") for label in wanted]
        return [(folder / f"GT-{label:05d}.csv", folder) for label, folder in folders if folder.is_dir()]
    return [(root / "Train.csv", root) for root in roots if (root / "Train.csv").is_file()][:1]


def _test_tables(roots):
    """The official test images come with a table without classes; the one with classes is an archive of its own."""
    for images in _folders(roots, "Final_Test/Images"):
        places = [images, *roots, *(root / "GTSRB" for root in roots)]
        tables = [place / "GT-final_test.csv" for place in places if (place / "GT-final_test.csv").is_file()]
        for table in tables:
            if all(sign.label is not None for sign in read_sign_table(table)):
                return [(table, images)]
        raise DataError(f"{images}: no table with the classes of the test images: expected GTSRB_Final_Test_GT.zip")
    return [(root / "Test.csv", root) for root in roots if (root / "Test.csv").is_file()][:1]


def _folders(roots, inner):
    candidates = [root / prefix for root in roots for prefix in (f"GTSRB/{inner}", inner)]
    return [folder for folder in candidates if folder.is_dir()]


def _signs(tables, wanted):
    images, labels = [], []
    for table, folder in tables:
        may_be_cut = table.name in ("Train.csv", "Test.csv")
        for sign in read_sign_table(table):
            if sign.label not in range(43):
                raise DataError(f"{table}: expected a ClassId from 0 to 42, found {sign.label} for {sign.file}")
            if sign.label in wanted:
                image = read_image(_inside(folder, sign.file))
                with data_errors(f"{table}: {sign.file}"):
                    images.append(cut_sign(image, sign, may_be_cut=may_be_cut))
                labels.append(sign.label)
    return np.array(images, np.uint8).reshape(-1, 3, 32, 32), np.array(labels, np.uint8)


def _inside(folder, file):
    """folder / file; DataError when a symbolic link on the way leads out of the folder that the table describes."""
    path = folder / file
    with data_errors(path):  # a loop of links
        if isinstance(path, Path) and not path.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{path}: a symbolic link that leads out of {folder}: expected an image in it")
    return path


_LOADERS = {"mnist": _load_mnist, "cifar10": _load_cifar10, "gtsrb": _load_gtsrb}
_FILES_OF = {
    "mnist": ("train-images*",),
    "cifar10": ("data_batch_1.bin", "cifar-10-batches-bin", CIFAR10_ARCHIVE),
    "gtsrb": ("GTSRB*", "gtsrb*.zip", "Final_Training", "Train.csv"),
}
DATASETS = ("digits", *_LOADERS)
