"""What benchmarks do that compare protocols: the cells of each, on the same data, from the same draws."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import add_data, at_least_one

from minisvdd.experiments.grid import Grid, cells_of, make_grid, read_cell
from minisvdd.experiments.protocols import Protocol
from minisvdd.experiments.running.run import run_grid
from minisvdd.files.names import safe_name


def add_cells(parser: argparse.ArgumentParser, protocol: str, folder: str) -> None:
    """Options for data, seeds, and how cells are computed.  protocol, folder: the defaults."""
    add_data(parser)
    parser.add_argument("--protocol", default=protocol)
    parser.add_argument("--seeds", type=at_least_one, default=3, help="number of seeds, from 0")
    parser.add_argument("--folder", default=folder, help="where cells are kept (default: %(default)s)")
    parser.add_argument("--jobs", type=at_least_one, default=1, help="cells computed side by side")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="for each choice")


def run_in(out: Path, arguments: argparse.Namespace, protocol: Protocol, methods: tuple[str, ...]) -> Grid:
    """Compute in this folder what it lacks of the cells under this protocol, and return their grid."""
    grid = make_grid(
        arguments.data,
        methods=methods,
        classes=arguments.classes,
        seeds=arguments.seeds,
        protocol=arguments.protocol,
        data_dir=arguments.data_dir,
        settings=protocol,
        backend=arguments.backend,
    )
    run_grid(grid, out, jobs=arguments.jobs, data_dir=arguments.data_dir, budget=arguments.budget)
    return grid


def computed(
    arguments: argparse.Namespace, name: str, protocol: Protocol, methods: tuple[str, ...]
) -> dict[tuple[str, str, int], float]:
    """{(method, class, seed): test AUC in %} of the finished cells under this protocol, which FOLDER/NAME keeps."""
    out = Path(arguments.folder) / safe_name(name)
    grid = run_in(out, arguments, protocol, methods)
    found = {(c.method, c.normal_class, c.seed): read_cell(c, out) for c in cells_of(grid)}
    return {key: 100 * value["auc"]["trained"] for key, value in found.items() if value is not None}


def mean_and_error(differences: Sequence[float]) -> tuple[float, float]:
    """Of two or more differences: their mean, and its standard error s / sqrt(n), with n - 1 in s."""
    return float(np.mean(differences)), float(np.std(differences, ddof=1)) / math.sqrt(len(differences))


def pairs_for_half_a_point(count: int, error: float) -> int:
    """How many pairs show half a point, of `count` pairs' standard error: those that bring it to a quarter."""
    return math.ceil(count * (error / 0.25) ** 2)


def rounded(value: float) -> float:
    """To a thousandth of a point."""
    return round(float(value), 3)
