"""A data set, and its split for one-class learning: one class to train on, all test samples to score.

Which class is normal is never guessed. It may be left out where there is nothing to choose: without labels, or where
all training samples are of one class.
"""

import unicodedata
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..files.arrays import content_hash, listed
from ..validation import check_kinds
from .readers import to_float

_HELD_BACK = 4  # one in so many normal samples is kept for testing, where a data set has no test samples
_SHOWN = 30  # classes named in an error


@dataclass(frozen=True, eq=False)
class Split:
    """One class against the rest.

    train: (n, C, H, W), float32, or (n, D), float64 or float32, normal samples only; test: all test samples, or None.
    is_anomaly: (n_test,) bool, None where the test samples have no labels; test_labels: indices into `class_names`.
    train_names, test_names: the samples' files, or None; without files, samples held back for testing are called by
    their number among all: "sample 17".   notes: what was decided on the way, a sentence each.
    feature_names: of the D features, or None.
    is_anomaly may be given as 0 and 1. Raises ValueError where it does not fit `test`.
    """

    train: np.ndarray
    test: np.ndarray | None
    is_anomaly: np.ndarray | None
    normal_class: str
    test_labels: np.ndarray | None
    train_names: tuple[str, ...] | None = None
    test_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    feature_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.is_anomaly is not None:
            n = 0 if self.test is None else len(self.test)
            object.__setattr__(self, "is_anomaly", check_kinds(self.is_anomaly, n))

    def hashes(self) -> dict[str, str | None]:
        """SHA-256 of the training and of the test samples, in their order: by them the same split is known again."""
        return {
            "train": content_hash(self.train),
            "test": None if self.test is None else content_hash(self.test),
        }


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as they are stored, (n, C, H, W) or (n, D), mostly uint8; label k is `class_names[k]`.

    `white` is the value that uint8 images are divided by when a split is made; features and floating-point samples are
    left alone.
    train_names, test_names, notes, feature_names: as in `Split`.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray | None
    test_images: np.ndarray | None
    test_labels: np.ndarray | None
    class_names: tuple[str, ...]
    white: float = 255.0
    train_names: tuple[str, ...] | None = None
    test_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    feature_names: tuple[str, ...] | None = None

    def one_class(self, normal_class: int | str | None = None) -> Split:
        """Train on one class, test on all. normal_class: a name, or the number of a class that is not named by numbers.

        It may be left out without labels (all training samples are normal), and where all training samples are of one
        class. Without training labels it only says which test label is normal. With training labels, but without test
        samples, the samples of the other classes are the test samples, and with them a quarter of the normal ones,
        drawn by a fixed seed; `notes` says so.
        Raises ValueError for an unknown class, one without training images, or None where there is a choice: with the
        classes and how many samples each has.
        """
        if normal_class is None:
            normal_class = self.only_class()
            if normal_class is None:
                return self._split(self.train_images, None, "all", self.train_names)
        if not self.class_names:
            raise ValueError(f"normal_class={normal_class!r}: {self.name} has no labels, leave normal_class out")
        label = class_index(self.class_names, normal_class)
        if self.train_labels is None:
            return self._split(self.train_images, label, self.class_names[label], self.train_names)
        normal = self.train_labels == label
        if not normal.any():
            raise ValueError(f"normal_class={normal_class!r}: {self.name} has no training images of this class")
        if self.test_images is None and not normal.all():
            return self._held_back(label, normal)
        names = _chosen(self.train_names, normal)
        return self._split(self.train_images[normal], label, self.class_names[label], names)

    def only_class(self) -> str | None:
        """The class of all training samples, None without labels. Raises ValueError where there is a choice."""
        if not self.class_names:
            return None
        present = None if self.train_labels is None else np.unique(self.train_labels)
        if present is None or len(present) > 1:
            raise ValueError(f"normal_class=None: expected one of {self.name}'s classes: {self.described_classes()}")
        return self.class_names[present[0]]

    def described_classes(self) -> str:
        """The classes and how many samples each has: 'crack (40 training samples), good (190 training samples)'."""
        counts = []
        for kind, labels in (("training", self.train_labels), ("test", self.test_labels)):
            if labels is not None:
                counts.append((kind, np.bincount(labels, minlength=len(self.class_names))))
        described = [
            f"{name} ({' and '.join(f'{count[k]} {kind}' for kind, count in counts)} samples)"
            for k, name in enumerate(self.class_names[:_SHOWN])
        ]
        rest = len(self.class_names) - _SHOWN
        return listed(described, _SHOWN) + (f" and {rest} more" if rest > 0 else "")

    def _split(self, train, label, normal_class, train_names):
        test = None if self.test_images is None else to_float(self.test_images, self.white)
        is_anomaly = None if label is None or self.test_labels is None else self.test_labels != label
        notes = self.notes
        if is_anomaly is not None and len(is_anomaly) and is_anomaly.all():
            notes = (*notes, f"no test sample is of the normal class {listed([normal_class])}")
        known = (train_names, self.test_names, notes, self.feature_names)
        return Split(to_float(train, self.white), test, is_anomaly, normal_class, self.test_labels, *known)

    def _held_back(self, label, normal):
        """The split of samples that have labels, but no test samples among them."""
        own = np.flatnonzero(normal)
        is_test = ~normal
        count = len(own) // _HELD_BACK
        is_test[np.random.default_rng(0).permutation(own)[:count]] = True
        note = (
            f"{self.name} has no test samples of its own: {count} of its {len(own)} normal samples are held back for "
            f"testing, with the {int((~normal).sum())} samples of other classes"
        )
        return Split(
            to_float(self.train_images[~is_test], self.white),
            to_float(self.train_images[is_test], self.white),
            ~normal[is_test],
            self.class_names[label],
            self.train_labels[is_test],
            _chosen(self.train_names, ~is_test),
            _chosen(self.train_names or [f"sample {k}" for k in range(len(normal))], is_test),
            (*self.notes, note),
            self.feature_names,
        )


def class_index(class_names, wanted: int | str, argument: str = "normal_class") -> int:
    """Index of a class given by name or, where names are not numbers themselves, by number.

    A name as it is written goes first; then upper and lower case and blanks around it do not matter, as long as one
    class alone is left.   Raises ValueError for an unknown class: names the `argument` and lists the classes.
    """
    exact = str(wanted)
    if exact in class_names:
        return list(class_names).index(exact)
    names, text = [_folded(name) for name in class_names], _folded(exact)
    if names.count(text) == 1:
        return names.index(text)
    if text in names:
        several = [name for name in class_names if _folded(name) == text]
        raise ValueError(f"{argument}={wanted!r}: could be any of {listed(several)}: write it as it stands in the data")
    named_by_numbers = any(name.lstrip("-").isdecimal() for name in names)
    if text.isdecimal() and not named_by_numbers and int(text) < len(names):
        return int(text)
    numbers = "" if named_by_numbers else f", or a number from 0 to {len(names) - 1}"
    raise ValueError(f"{argument}={wanted!r}: expected one of {listed(class_names, 50)}{numbers}")


def encode_labels(train_labels, test_labels, name):
    """Number the labels that occur; their text is the class name, so that y = -1, 1 or "cat", "dog" are fine, too.

    train_labels, test_labels: (n,) whole numbers or strings, or None.   name: what errors call the data.
    Returns (class_names, train_labels, test_labels).
    """
    present = [labels for labels in (train_labels, test_labels) if labels is not None]
    if not present:
        return (), None, None
    if len({labels.dtype.kind for labels in present}) > 1:
        raise DataError(f"{name}: labels of training and test samples must both be numbers or both be strings")
    values = np.unique(np.concatenate(present))
    encoded = (None if labels is None else np.searchsorted(values, labels) for labels in (train_labels, test_labels))
    return tuple(str(value) for value in values), *encoded


def _folded(name):
    """Without blanks around it, in one case, and with "é" in one of the two ways that Unicode writes it."""
    return unicodedata.normalize("NFC", name.strip().casefold())


def _chosen(names, chosen):
    """Those names whose sample is chosen; None stays None."""
    return None if names is None else tuple(name for name, wanted in zip(names, chosen) if wanted)
