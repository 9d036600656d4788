"""Methods x classes x seeds: every finished cell is a file, so that a killed run goes on where it stopped.

    OUT/grid.json                                         what the present grid consists of
    OUT/cells/METHOD/CLASS/nuNU-seedSEED-HASH.json        one cell: config, result, seconds, versions
    OUT/cells/METHOD/CLASS/nuNU-seedSEED-HASH.checkpoint/ how far its trainings are, until it is finished
    OUT/scores/METHOD/CLASS/nuNU-seedSEED-HASH.npy        its anomaly scores of the test samples, for figures
    OUT/autoencoders/CLASS/seedSEED-HASH.npz              pre-trained weights that several cells share

HASH is that of the cell's configuration (data, protocol, seed, ...), so cells of another configuration are never taken
for present ones. With a Dask cluster, all workers must see OUT and the data under the same paths.
"""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from ..data.datasets import DATASETS, load_dataset
from ..data.split import Dataset, class_index
from ..errors import DataError
from ..files.arrays import content_hash, read_array
from ..files.names import safe_name
from ..files.records import (
    ANY,
    FRACTION,
    TEXT,
    either,
    list_of,
    number,
    one_of,
    optional,
    read_json,
    record,
    table_of,
    whole,
)
from ..files.streams import data_errors
from ..validation import check_number
from .methods import METHODS, Setting, check_shape, check_tested, draw_of
from .paper import METHODS as PAPER_METHODS
from .protocols import (
    GanProtocol,
    Protocol,
    ShallowProtocol,
    get_gan_protocol,
    get_protocol,
    get_shallow_protocol,
)

GRID_FILE = "grid.json"
_MOST_CELLS = 100_000
# Settings that folders from before do not know: cells without them are still those of their defaults.
_LATER = ("held_out", "pca", "width", "nus")
_AUC = either(FRACTION, list_of(FRACTION, least=1))
# What the files of a grid must hold: see `minisvdd.files.records`. A cell has what its method adds, too.
_CELL = record(
    config=table_of(ANY),
    auc=record(trained=_AUC),
    n_train=whole(1),
    n_test=whole(1),
    seconds=number(0),
    versions=table_of(TEXT),
    radius=optional(number(0)),
    signs_of_collapse=optional(list_of(TEXT)),
    converged=optional(FRACTION),
    n_scored=optional(whole(1)),
)
_GRID = record(
    data=TEXT,
    protocol_name=TEXT,
    data_hash=TEXT,
    classes=list_of(TEXT, least=1, distinct=True),
    methods=list_of(one_of(tuple(METHODS)), least=1, distinct=True),
    seeds=whole(1),
    protocol=table_of(ANY),
    gan_protocol=optional(table_of(ANY)),
    shallow_protocol=optional(table_of(ANY)),
    backend=optional(TEXT),
)
_LIKE = {bool: one_of((False, True)), int: whole(0), float: number(0), str: TEXT, tuple: list_of(number())}


@dataclass(frozen=True)
class Grid:
    """What to compute. data: a name or file as `load_dataset` takes it; data_hash: SHA-256 of its arrays,
    and of the names of classes that are not those of a named data set.

    backend: what networks are trained on.
    """

    data: str
    protocol_name: str
    protocol: Protocol
    data_hash: str
    classes: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: int
    gan_protocol: GanProtocol
    shallow_protocol: ShallowProtocol = field(default_factory=ShallowProtocol)
    backend: str = "numpy"

    def __post_init__(self):
        if len(self.classes) * len(self.methods) * self.seeds > _MOST_CELLS:
            raise ValueError(f"seeds={self.seeds}: expected at most {_MOST_CELLS} cells in a grid")


@dataclass(frozen=True)
class Cell:
    """One cell: `config` says all that its result depends on."""

    method: str
    normal_class: str
    nu: float | None
    seed: int | None
    config: dict

    @property
    def hash(self) -> str:
        """Twelve digits of the SHA-256 of the configuration."""
        return short_hash(self.config)

    def path(self, out) -> Path:
        """Where the finished cell lies under the folder `out`."""
        return self._path(out, "cells", ".json")

    def scores_path(self, out) -> Path:
        """Where the anomaly scores of the test samples lie."""
        return self._path(out, "scores", ".npy")

    def checkpoint_path(self, out) -> Path:
        """The folder of its trainings' checkpoints."""
        return self._path(out, "cells", ".checkpoint")

    def _path(self, out, folder, suffix):
        labels = (("nu", self.nu), ("seed", self.seed))
        parts = [f"{label}{value:g}" for label, value in labels if value is not None]
        name = "-".join([*parts, self.hash]) + suffix
        return Path(out) / folder / self.method / safe_name(self.normal_class) / name

    def autoencoder_path(self, out) -> Path:
        """Where the weights lie that the cells of this class, seed and protocol share."""
        shared = {name: value for name, value in self.config.items() if name not in ("method", "nu")}
        return Path(out) / "autoencoders" / safe_name(self.normal_class) / f"seed{self.seed}-{short_hash(shared)}.npz"


def setting_of(grid: Grid, cell: Cell, out) -> Setting:
    """What a cell is computed with, beside samples and protocol."""
    draws = {"seed": cell.method, "weights_seed": "dcae"}
    if cell.seed is not None:
        draws = {name: draw_of(cell.seed, cell.normal_class, method) for name, method in draws.items()}
    else:
        draws = dict.fromkeys(draws)
    return Setting(cell.nu, weights=cell.autoencoder_path(out), backend=grid.backend, **draws)


def make_grid(
    data: str,
    *,
    methods=None,
    classes=None,
    seeds: int = 10,
    protocol="quick",
    data_dir=None,
    settings=None,
    gan_settings=None,
    shallow_settings=None,
    backend: str = "numpy",
    dataset: Dataset | None = None,
) -> Grid:
    """A grid on a data set. methods, classes: None for all, of the methods those of the paper's tables.

    settings, gan_settings, shallow_settings: a Protocol, a GanProtocol and a ShallowProtocol instead of the named ones.
    backend: of networks.   dataset: what the file `data` will hold, where it is not written yet.

    Raises ValueError for an unknown method, class or protocol, for a method that takes no such samples, and for a class
    that has no AUC since all or none of the test samples are of it; DataError when the data cannot be read.
    """
    for name in methods or ():
        if name not in METHODS:
            raise ValueError(f"methods={name!r}: expected some of {', '.join(METHODS)}")
    check_number(seeds, "seeds", 1, integer=True)
    settings = settings or get_protocol(protocol, Path(data).stem)
    gan_settings = gan_settings or get_gan_protocol(protocol, Path(data).stem)
    dataset = dataset or dataset_by_name(data, data_dir)
    if dataset.test_labels is None or dataset.train_labels is None:
        raise ValueError(f"data={data!r}: expected labelled training and test samples")
    known = [dataset.class_names[i] for i in np.unique(dataset.train_labels)]
    wanted = [dataset.class_names[class_index(dataset.class_names, name, "classes")] for name in classes or known]
    chosen = tuple(name for name in METHODS if name in (PAPER_METHODS if methods is None else methods))
    wanted = tuple(dict.fromkeys(wanted))
    _check_computable(chosen, wanted, dataset, gan_settings)
    return Grid(
        data,
        protocol,
        settings,
        hash_of_data(data, dataset),
        wanted,
        chosen,
        int(seeds),
        gan_settings,
        shallow_settings or get_shallow_protocol(protocol, Path(data).stem),
        backend,
    )


def _check_computable(methods, classes, dataset, gan_settings):
    """ValueError for a method that takes no such samples, and for a class that has no AUC among them."""
    for name in methods:
        check_shape(name, dataset.train_images.shape[1:])
    for normal_class in classes:
        is_anomaly = dataset.test_labels != dataset.class_names.index(normal_class)
        for name in methods:
            try:
                check_tested(name, is_anomaly, gan_settings)
            except ValueError as error:
                raise ValueError(f"classes={normal_class!r}: {error}: leave out this class or this method") from None


def cells_of(grid: Grid, methods=None) -> list[Cell]:
    """All cells of the grid (or of some of its methods), in the table's order."""
    cells = []
    for name in methods or grid.methods:
        method = METHODS[name]
        wanted = getattr(getattr(grid, method.protocol), "nus", method.nus)
        nus = [nu for nu in method.nus if nu is None or nu in wanted]
        seeds = range(grid.seeds) if method.seeded else (None,)
        cells += [Cell(name, *where, _config_of(grid, name, *where)) for where in product(grid.classes, nus, seeds)]
    return cells


def _config_of(grid, name, normal_class, nu, seed):
    """All that the result of a cell depends on, as plain JSON values."""
    method = METHODS[name]
    config = {
        "data": Path(grid.data).name,  # a file's content counts, not the folder it lies in
        "data_sha256": grid.data_hash,
        "normal_class": normal_class,
        "method": name,
        "nu": nu,
        "seed": seed,
        "protocol": _settings_of(getattr(grid, method.protocol)),
    }
    if method.trains:
        config["backend"] = grid.backend
    if method.seeded:
        config["drawn_from"] = ["seed", "class", "method"]
    return json.loads(json.dumps(config))


def _settings_of(protocol):
    """A protocol's values by name; those that came later only where they are not their defaults."""
    defaults = {one.name: one.default for one in fields(protocol)}
    return {name: value for name, value in asdict(protocol).items() if name not in _LATER or value != defaults[name]}


def with_earlier(grid, out):
    """The grid with the methods, classes and seeds of earlier runs in `out`: a table may be computed piece by piece."""
    if not (out / GRID_FILE).exists():
        return grid
    earlier = read_grid(out)
    if replace(earlier, data=grid.data, classes=grid.classes, methods=grid.methods, seeds=grid.seeds) != grid:
        return grid  # of another configuration
    methods = tuple(name for name in METHODS if name in (*earlier.methods, *grid.methods))
    classes = tuple(dict.fromkeys((*earlier.classes, *grid.classes)))
    return replace(grid, methods=methods, classes=classes, seeds=max(earlier.seeds, grid.seeds))


def protocol_of(grid: Grid, cell: Cell) -> Protocol | GanProtocol | ShallowProtocol:
    """The part of the grid's protocol that the cell's method follows."""
    return getattr(grid, METHODS[cell.method].protocol)


def read_cell(cell: Cell, out) -> dict | None:
    """The finished cell, or None if there is no file. DataError, naming the file, when it is damaged."""
    path = cell.path(out)
    if not path.exists():
        return None
    again = "run the experiment again to replace it"
    try:
        value = read_json(path)
        with data_errors(path):
            _CELL(value, "cell")
            table_of(_AUC)(value["auc"], "auc")
    except DataError as error:
        raise DataError(f"{error}: {again}") from error
    if value["config"] != cell.config:
        raise DataError(f"{path}: holds another configuration than its name says: {again}")
    return value


def read_scores(cell: Cell, out) -> np.ndarray:
    """Anomaly scores of all test samples, (n,) float64. DataError, naming the file, when it is missing or damaged."""
    path = cell.scores_path(out)
    try:
        scores = read_array(path)
    except DataError as error:
        raise DataError(f"{error}: run the experiment with --no-resume to compute this cell again") from error
    if scores.ndim != 1 or scores.dtype != np.float64:
        raise DataError(f"{path}: has shape {scores.shape} and dtype {scores.dtype}: expected (n,) float64")
    return scores


def read_grid(out) -> Grid:
    """The grid that was last run in `out`. DataError when there is none, or its file is damaged."""
    path = Path(out) / GRID_FILE
    if not path.exists():
        raise DataError(f"{path}: no such file: expected the folder of an experiment")
    value = read_json(path)
    with data_errors(path):
        _GRID(value, "grid")
        # folders of grids without AnoGAN, from before it was there, lack its protocol
        names = value["protocol_name"], Path(value["data"]).stem
        gan = value.get("gan_protocol") or asdict(get_gan_protocol(*names))
        shallow = value.get("shallow_protocol") or asdict(get_shallow_protocol(*names))
        return Grid(
            value["data"],
            value["protocol_name"],
            _settings(Protocol, value["protocol"], "protocol"),
            value["data_hash"],
            tuple(value["classes"]),
            tuple(value["methods"]),
            value["seeds"],
            _settings(GanProtocol, gan, "gan_protocol"),
            _settings(ShallowProtocol, shallow, "shallow_protocol"),
            value.get("backend") or "numpy",
        )


def _settings(kind, values, name):
    """A protocol by its values in a file, each like its default: null only where that is None."""
    defaults = {one.name: one.default for one in fields(kind)}
    for key, value in values.items():
        if key not in defaults:
            raise ValueError(f"{name}: {key} is unknown")
        default = defaults[key]
        check = optional(either(TEXT, whole(1))) if default is None else _LIKE[type(default)]
        check(list(value) if isinstance(value, tuple) else value, f"{name}: {key}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def is_finished(cell: Cell, out, verbose: int) -> bool:
    """Whether its file is there and whole; a damaged one is named."""
    try:
        value = read_cell(cell, out)
        if value is not None and cell.scores_path(out).exists() and len(read_scores(cell, out)) != value["n_test"]:
            raise DataError(f"{cell.scores_path(out)}: expected {value['n_test']} scores")
        return value is not None
    except DataError as error:
        if verbose:
            print(f"minisvdd: {error}; computed again", file=sys.stderr)
        return False


def dataset_of(grid: Grid, data_dir=None) -> Dataset:
    """The data set that the grid was computed on. DataError when what lies there now is another one."""
    dataset = dataset_by_name(grid.data, data_dir)
    if hash_of_data(grid.data, dataset) != grid.data_hash:
        raise DataError(f"{grid.data}: these are not the data of the experiment (another SHA-256)")
    return dataset


@lru_cache(maxsize=1)
def dataset_by_name(name: str, data_dir) -> Dataset:
    """A data set; the last one stays in memory."""
    return load_dataset(name, data_dir)


def hash_of_data(name: str, dataset: Dataset) -> str:
    """Of its arrays; of data of the user's own also of the classes' names, which are what its labels stand for."""
    names = "" if name in DATASETS else json.dumps(dataset.class_names)
    arrays = (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
    return content_hash(*arrays, text=names)


def short_hash(value) -> str:
    """Twelve digits of the SHA-256 of a plain JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
