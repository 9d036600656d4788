"""The figure of docs/reproduction.md: how far each column of table 1 is from the paper's, under each protocol.

    python benchmarks/reproduction_plot.py                from benchmarks/results, into reproduction.png there

A dot is the mean difference over the classes, its bar two standard errors; a dot is filled if the column has all ten
classes. The tables are those of `reproduction.py`.
"""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from common import make_parser
from reproduction import TABLES, columns_of, in_order, printed

from minisvdd.experiments.paper import TABLE_1, distance_from

RESULTS = Path(__file__).parent / "results"
COLOURS = {"paper": "#888888", "authors-code": "#d95f02", "authors-theano": "#1f77b4", "best": "#2ca02c"}


def main():
    """Draw the picture and write it."""
    arguments = make_parser(__doc__, out=str(RESULTS / "reproduction.png")).parse_args()
    matplotlib.use("agg")
    rows = {data: rows_of(data, RESULTS) for data in TABLES}
    heights = [len(lines) for lines in rows.values()]
    fig, axes = plt.subplots(len(rows), 1, figsize=(7.2, 0.19 * sum(heights) + 1.6), height_ratios=heights)
    for axis, (data, lines) in zip(axes, rows.items()):
        draw(axis, data, lines)
    axes[-1].set_xlabel("AUC in %, ours minus the paper's, mean over the classes", fontsize=9)
    fig.tight_layout()
    fig.savefig(arguments.out, dpi=110)


def rows_of(data, results):
    """[(method, protocol, distance, whether it has all classes)] in the order of the page."""
    rows = []
    for method, protocol, column in in_order(data, columns_of(results, data)):
        distance = distance_from(column, printed(data, method, column))
        rows.append((method, protocol, distance, len(column) == len(TABLE_1[data])))
    return rows


def draw(axis, data, rows):
    """One data set: a line for each column and protocol."""
    for place, (_, protocol, distance, complete) in enumerate(rows):
        colour = COLOURS.get(protocol.split(",")[0], "#9467bd")
        axis.errorbar(
            distance.difference, place, xerr=2 * distance.standard_error, fmt="o", ms=4, color=colour, elinewidth=1,
            mfc=colour if complete else "white",
        )  # fmt: skip
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_title(data, fontsize=9)
    labels = [f"{method}, {protocol}" for method, protocol, *_ in rows]
    axis.set_yticks(range(len(rows)), labels, fontsize=7)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(axis="x", alpha=0.25)


if __name__ == "__main__":
    main()
