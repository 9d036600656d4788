"""A test set with adversarial images: a classifier of ours, the Boundary Attack on it, and table 2's data file.

    OUT/classifier.npz    the opponent, trained on all classes
    OUT/adversarial.npz   originals, their adversarial images and the way there
    OUT/stop-signs.npz    table 2: x_train, x_test with labels "stop" and "adversarial", as `load_dataset` reads it

Classifier and attack are kept with the settings and a hash of the data that they were made with, and made again only
for others, or where a file does not say which data that was.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..backends import Backend
from ..data.datasets import load_dataset
from ..data.readers import to_float
from ..data.split import Dataset, class_index
from ..errors import DataError
from ..experiments.grid import cells_of, read_cell, read_grid, read_scores
from ..files.arrays import content_hash, read_array, write_arrays
from ..files.streams import data_errors
from ..svdd.storage import load_model
from .boundary_attack import AttackResult, boundary_attack
from .classifier import SoftmaxClassifier
from .plots import plot_outlined

_DIGITS = {"channels": (16, 32), "kernel_size": 3, "hidden": 64, "epochs": 15, "milestones": (12,), "augment": False}
# Signs that are their own mirror image, and pairs that are each other's (curves, turns, lanes to keep to).
_MIRRORED_SIGNS = [(k, k) for k in (11, 12, 13, 15, 17, 18, 22, 26, 30, 35)] + [(19, 20), (33, 34), (36, 37), (38, 39)]
_SIGNS = {"channels": (32, 64, 128), "hidden": 256, "epochs": 24, "milestones": (17, 22), "mirrors": _MIRRORED_SIGNS}
# By data set: arguments of the classifier, the class that is attacked, how many images, queries for each.
SETTINGS = {
    "gtsrb": (_SIGNS, "stop", 20, 10_000),
    "digits": (_DIGITS, "3", 20, 1_000),
}
ADVERSARIAL, STOP_SIGNS = "adversarial", "stop-signs.npz"


@dataclass(frozen=True, eq=False)
class Adversaries(AttackResult):
    """The outcome of an attack on test images of one class.

    originals: (n, C, H, W) float32 in [0, 1], as `adversarials`.   indices: (n,) their places in the test set.
    """

    originals: np.ndarray
    indices: np.ndarray

    def summary(self) -> dict:
        """Figures of the attack as plain values; distances of failed attacks are infinite."""
        median = {name: float(np.median(getattr(self, name))) for name in ("start_distances", "distances", "queries")}
        return {
            "images": len(self.originals),
            "misclassified": int(self.success.sum()),
            "median_l2_start": median["start_distances"],
            "median_l2": median["distances"],
            "ratio": median["start_distances"] / median["distances"],
            "median_queries": median["queries"],
            "total_queries": int(self.queries.sum()),
            "l2": [round(float(d), 4) for d in self.distances],
            "indices": self.indices.tolist(),
        }


# Kinds of dtypes and axes of each array in a file.
_AXES = {
    "originals": ("f", "nCHW"),
    "adversarials": ("f", "nCHW"),
    "indices": ("iu", "n"),
    "predicted": ("iu", "n"),
    "success": ("b", "n"),
    "start_distances": ("f", "n"),
    "distances": ("f", "n"),
    "queries": ("iu", "n"),
    "curve_queries": ("iu", "Tn"),
    "curve_distances": ("f", "Tn"),
}


def trained_classifier(
    dataset: Dataset, path, *, backend: str | Backend = "numpy", seed: int = 0, verbose: int = 1, **changes
) -> SoftmaxClassifier:
    """The classifier of this data set kept in `path`, trained first when it is missing, of other settings or data.

    backend: where it trains and predicts; a kept one is taken from any.   changes: arguments of SoftmaxClassifier that
    differ from `SETTINGS`. Raises ValueError without labels.
    """
    if dataset.train_labels is None:
        raise ValueError(f"data={dataset.name!r}: expected labelled training images")
    arguments = {**SETTINGS.get(dataset.name, ({},))[0], **changes}
    model = SoftmaxClassifier(**arguments, backend=backend, random_state=seed, verbose=verbose)
    kept = _again_if_damaged(path, lambda: load_model(path, backend))
    data_hash = content_hash(dataset.train_images, dataset.train_labels, text=f"white {dataset.white}")
    trained_on = getattr(kept, "data_hash_", None)
    if isinstance(kept, SoftmaxClassifier) and (_settings(kept), trained_on) == (_settings(model), data_hash):
        return kept
    model.fit(to_float(dataset.train_images, dataset.white), dataset.train_labels)
    model.data_hash_ = data_hash
    model.save(path)
    return model


def attack_class(
    dataset: Dataset,
    classifier: SoftmaxClassifier,
    target_class: str,
    *,
    count: int = 20,
    queries: int = 10_000,
    start: str = "images",
    seed: int = 0,
    verbose: int = 1,
) -> Adversaries:
    """Attack `count` test images of one class, drawn at random among those that the classifier recognises.

    start: "images", test images of other classes, or "noise", uniform noise taken for another class.
    Raises ValueError when there are fewer images than `count`.
    """
    if start not in ("images", "noise"):
        raise ValueError(f"start={start!r}: expected 'images' or 'noise'")
    label = class_index(dataset.class_names, target_class, "target_class")
    rng = np.random.default_rng(seed)
    test = to_float(dataset.test_images, dataset.white)
    own = np.flatnonzero(dataset.test_labels == label)
    recognised = own[classifier.predict(test[own]) == label]
    if len(recognised) < count:
        raise ValueError(f"count={count}: the classifier recognises {len(recognised)} test images of {target_class!r}")
    indices = rng.permutation(recognised)[:count]
    result = boundary_attack(
        classifier.predict,
        test[indices],
        dataset.test_labels[indices],
        starts=test[dataset.test_labels != label] if start == "images" else None,
        queries=queries,
        rng=rng,
        verbose=verbose,
    )
    return Adversaries(**vars(result), originals=test[indices], indices=indices)


def kept_attack(path, settings: dict, make) -> Adversaries:
    """The attack kept in `path` if it was made with these `settings`, else `make()`, which is kept then."""
    text = json.dumps(settings, sort_keys=True)
    if (kept := _again_if_damaged(path, lambda: _read_attack(path, text))) is not None:
        return kept
    made = make()
    arrays = {name: getattr(made, name) for name in _AXES}
    write_arrays(path, {"settings": np.array([text]), **arrays}, compressed=True)
    return made


def _read_attack(path, settings):
    """The attack in a file; None if it was made with other settings. DataError for one that cannot be drawn."""
    with data_errors(path):
        if str(read_array(path, "settings").ravel()[0]) != settings:
            return None
        arrays, sizes = {name: read_array(path, name) for name in _AXES}, {}
        for name, (kinds, axes) in _AXES.items():
            array = arrays[name]
            expected = tuple(sizes.setdefault(axis, size) for axis, size in zip(axes, array.shape))
            if array.dtype.kind not in kinds or array.ndim != len(axes) or array.shape != expected:
                raise DataError(f"{path}: {name} has shape {array.shape} and dtype {array.dtype}: expected {axes}")
        for name in ("originals", "adversarials"):
            if not np.isfinite(arrays[name]).all():
                raise DataError(f"{path}: {name} holds values that are NaN or infinite")
        return Adversaries(**arrays)


def _again_if_damaged(path, read):
    """What `read` returns; None where there is nothing to read, or nothing whole, which is said then."""
    if not Path(path).exists():
        return None
    try:
        return read()
    except DataError as error:
        print(f"minisvdd: {error}; made again", file=sys.stderr)
        return None


def adversaries_of(
    dataset: Dataset, out, *, target_class=None, count=None, queries=None, backend="numpy", seed=0, verbose=1
):
    """Classifier and attack of a data set, kept in the folder `out`. None: as in `SETTINGS`.

    Returns the classifier, the `Adversaries` and a dict of figures: accuracy, distances, seconds (0 for what was kept).
    """
    _, default_class, default_count, default_queries = SETTINGS.get(dataset.name, ({}, None, 20, 10_000))
    if (target_class := target_class or default_class) is None:
        raise ValueError(f"target_class=None: expected one of {dataset.name}'s {', '.join(dataset.class_names)}")
    class_index(dataset.class_names, target_class, "target_class")  # an unknown class must not cost a training
    started = time.perf_counter()
    path = Path(out) / "classifier.npz"
    classifier = trained_classifier(dataset, path, backend=backend, seed=seed, verbose=verbose)
    trained = time.perf_counter()
    arguments = {"count": count or default_count, "queries": queries or default_queries, "seed": seed}
    made_of = {"data": dataset.name, "train_sha256": classifier.data_hash_, "test_sha256": _test_hash(dataset)}
    settings = {**made_of, "class": target_class, **arguments, "classifier": _settings(classifier)}
    found = kept_attack(
        Path(out) / "adversarial.npz",
        settings,
        lambda: attack_class(dataset, classifier, target_class, **arguments, verbose=verbose),
    )
    attacked = time.perf_counter()
    test = to_float(dataset.test_images, dataset.white)
    figures = {
        **settings,
        "test_accuracy": float(classifier.score(test, dataset.test_labels)),
        "seconds_classifier": round(trained - started, 3),
        "seconds_attack": round(attacked - trained, 3),
        **found.summary(),
    }
    return classifier, found, figures


def _test_hash(dataset):
    """Of the images that are attacked, and of what their labels stand for."""
    names = json.dumps([dataset.class_names, dataset.white])
    return content_hash(dataset.test_images, dataset.test_labels, text=names)


def write_stop_signs(dataset: Dataset, adversaries: Adversaries, path, target_class: str = "stop") -> Path:
    """Table 2's data: training images of one class; its test images and the adversarial ones as anomalies.

    Raises ValueError when an attack failed: an image that is not adversarial must not count as one.
    """
    if not adversaries.success.all():
        raise ValueError(f"{int((~adversaries.success).sum())} attacks failed: give them more queries")
    split = dataset.one_class(target_class)
    normal = split.test[~split.is_anomaly]
    labels = [split.normal_class] * len(normal) + [ADVERSARIAL] * len(adversaries.adversarials)
    arrays = {
        "x_train": split.train,
        "y_train": np.full(len(split.train), split.normal_class),
        "x_test": np.concatenate([normal, adversaries.adversarials]),
        "y_test": np.array(labels),
    }
    write_arrays(path, arrays, compressed=True)
    return Path(path)


def figure_4(out):
    """Figure 4 from the grid in `out`: the test images most anomalous to One-Class, adversarial ones outlined.

    None when the grid does not hold that cell (yet).
    """
    grid = read_grid(out)
    cells = cells_of(grid, ["one-class"]) if "one-class" in grid.methods else []
    if not cells or read_cell(cells[0], out) is None:
        return None
    split = load_dataset(grid.data).one_class(cells[0].normal_class)
    return plot_outlined(split.test, read_scores(cells[0], out), split.is_anomaly)


def _settings(model):
    """What the trained weights depend on, as JSON values."""
    return json.loads(json.dumps({k: v for k, v in model.get_params().items() if k not in ("verbose", "backend")}))
