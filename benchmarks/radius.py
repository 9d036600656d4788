"""Soft-boundary Deep SVDD under another rule for the radius, in pairs: the cells of a grid, and each with that rule.

    python benchmarks/radius.py --data mnist --protocol authors-theano --seeds 1 --nus 0.1    the committed result
    python benchmarks/radius.py --quick                                                       digits: does it run?

The rules (`minisvdd.svdd.radius`) differ in R^2 only, hence in which samples get a gradient. Every pair starts from the
grid's autoencoder, on the training samples that it kept, with one draw of weights and batches. A row: class, seed, nu,
rule, test AUC in % at each stage, R at the end; a grid's own cell first. The grid is kept in --folder and not computed
again.
"""

from dataclasses import replace
from pathlib import Path

from cells import add_cells, rounded, run_in
from common import make_parser, parse, write_rows
from joblib import Parallel, delayed

from minisvdd import load_dataset, load_model
from minisvdd.experiments.experiments import kept_by, train_and_evaluate
from minisvdd.experiments.grid import cells_of, read_cell
from minisvdd.experiments.methods import draw_of
from minisvdd.experiments.protocols import get_protocol
from minisvdd.svdd.radius import RADIUS_RULES

METHOD = "soft-boundary"


def main():
    """Compute the grid where it is not there, then its pairs, and write all rows."""
    arguments = _arguments()
    protocol = get_protocol(arguments.protocol, arguments.data)
    if arguments.quick:
        protocol = replace(protocol, pretrain_epochs=2, epochs=16, batch_size=32, first_filters="random")
    grid = run_in(Path(arguments.folder), arguments, protocol, (METHOD,))
    dataset = load_dataset(arguments.data, arguments.data_dir)
    cells = [cell for cell in cells_of(grid) if cell.nu in arguments.nus and read_cell(cell, arguments.folder)]
    pairs = Parallel(n_jobs=arguments.jobs)(
        delayed(_pair)(dataset.one_class(cell.normal_class), protocol, cell, arguments) for cell in cells
    )
    rows = [row for pair in pairs for row in pair]
    write_rows(arguments.out, rows, data=dataset.name, protocol=arguments.protocol, seeds=arguments.seeds)


def _pair(split, protocol, cell, arguments):
    """The cell's row, and that of the same training with the other rule."""
    folder = Path(arguments.folder)
    _, result = train_and_evaluate(
        kept_by(protocol, split, draw_of(cell.seed, cell.normal_class, "dcae")),
        replace(protocol, radius_update=arguments.rule, held_out=0.0),
        objective=METHOD,
        nu=cell.nu,
        seed=draw_of(cell.seed, cell.normal_class, METHOD),
        backend=arguments.backend,
        autoencoder=load_model(cell.autoencoder_path(folder), arguments.backend),
        verbose=0,
    )
    results = {protocol.radius_update: read_cell(cell, folder), arguments.rule: result}
    start = {"normal_class": cell.normal_class, "seed": cell.seed, "nu": cell.nu}
    rows = []
    for rule, value in results.items():
        auc = {stage: rounded(100 * fraction) for stage, fraction in value["auc"].items()}
        rows.append(start | {"rule": rule, "auc": auc, "radius": rounded(value["radius"])})
        print(rows[-1], flush=True)
    return rows


def _arguments():
    parser = make_parser(
        __doc__, quick="the digits' threes, R by the last batch", out="benchmarks/results/radius-mnist.json"
    )
    add_cells(parser, "authors-theano", "runs/radius")
    parser.add_argument("--rule", default="exact", choices=list(RADIUS_RULES), help="the other one (%(default)s)")
    parser.add_argument("--nus", type=float, nargs="+", default=[0.01, 0.1])
    return parse(parser, data="digits", classes=["3"], seeds=1, rule="last-batch")


if __name__ == "__main__":
    main()
