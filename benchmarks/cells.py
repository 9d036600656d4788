"""What benchmarks do that compare protocols: the cells of each, on the same data, from the same draws."""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Difference:
    """The mean difference of pairs, in which each class counts once, and its standard error: `difference_of`.

    by_class: {class: its mean}.   over: "seeds" of these same classes, or "classes" where each has but one pair.
    borrowed: the classes with one pair among others with several.   for_half_a_point: how many pairs would show it.
    """

    mean: float
    error: float
    over: str
    pairs: int
    by_class: dict[str, float]
    borrowed: tuple[str, ...] = ()
    for_half_a_point: int | None = None


def pairs_of(
    ours: Mapping[tuple[str, int], float], base: Mapping[tuple[str, int], float]
) -> dict[str, list[tuple[float, float]]]:
    """{class: [(ours, base), ...]} of the AUCs of each (class, seed) that both have."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for key in sorted(ours.keys() & base.keys()):
        pairs.setdefault(key[0], []).append((ours[key], base[key]))
    return pairs


def levels_of(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, float]:
    """{class: the mean of ours over its pairs}."""
    return {name: float(np.mean([ours for ours, _ in of_class])) for name, of_class in pairs.items()}


def gains_of(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, float]:
    """{class: the mean of ours less base over its pairs}."""
    return {name: float(np.mean([ours - base for ours, base in of_class])) for name, of_class in pairs.items()}


def difference_of(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> Difference | None:
    """The mean of ours less base over the pairs of `pairs_of`; None where a single pair shows no deviation.

    Would other seeds of these same classes show it? The classes are all of the data set, or those that were chosen:
    no draws, and how much they differ from each other is no error. So of k classes with n_c pairs, whose differences
    have the deviation s_c around their class's mean,

        SE^2 = sum_c s_c^2 / n_c / k^2 = mean_c s_c^2 / N    for N pairs, n_c = N / k of each class:

    mean_c s_c^2 / 0.25^2 pairs bring it to a quarter, with which half a point is two standard errors. A class with one
    pair has no s_c and borrows that of the others, pooled. Where no class has two, the deviation is that of the class
    means, which answers another question: would other classes show it?
    """
    differences = {name: np.array([ours - base for ours, base in of_class]) for name, of_class in pairs.items()}
    by_class, count = gains_of(pairs), sum(map(len, pairs.values()))
    several = {name: float(values.var(ddof=1)) for name, values in differences.items() if len(values) > 1}
    if several:
        weights = [len(differences[name]) - 1 for name in several]
        pooled = float(np.average(list(several.values()), weights=weights))
        variances = {name: several.get(name, pooled) for name in differences}
        error = math.sqrt(sum(variances[name] / len(differences[name]) for name in differences)) / len(differences)
        wanted = math.ceil(float(np.mean(list(variances.values()))) / 0.25**2)
        borrowed = tuple(name for name in differences if name not in several)
        return Difference(float(np.mean(list(by_class.values()))), error, "seeds", count, by_class, borrowed, wanted)
    if len(by_class) < 2:
        return None
    return Difference(*mean_and_error(list(by_class.values())), "classes", count, by_class)


def mean_and_error(draws: Sequence[float]) -> tuple[float, float]:
    """Of two or more independent draws of one thing: their mean, and its standard error s / sqrt(n), n - 1 in s."""
    return float(np.mean(draws)), float(np.std(draws, ddof=1)) / math.sqrt(len(draws))


def rounded(value: float) -> float:
    """To a thousandth of a point."""
    return round(float(value), 3)


def rounded_mean(by_class: Mapping[str, float]) -> float | None:
    """The mean over classes; None of no class."""
    return rounded(np.mean(list(by_class.values()))) if by_class else None
