"""The command `minisvdd experiment`: run a grid of table 1 or 2, or of your own data, and report on one."""

import argparse
import sys
from pathlib import Path

from ..attack.adversarial import STOP_SIGNS, adversaries_of, figure_4, write_stop_signs
from ..backends import get_backend
from ..data.datasets import load_dataset
from ..experiments.figures import save_grid_examples
from ..experiments.grid import make_grid
from ..experiments.methods import METHODS as ALL_METHODS
from ..experiments.methods import check_shape
from ..experiments.paper import METHODS
from ..experiments.plots import save_figure
from ..experiments.protocols import adjusted, get_protocol
from ..experiments.report import write_report, write_stages
from ..experiments.running.budget import Budget, OutOfTime, until
from ..experiments.running.run import run_grid
from ..export.comparison import METHODS as OWN_METHODS
from ..export.comparison import SLOW, is_comparison, split_file, write_comparison, write_split
from ..files.names import safe_name
from . import options

# Table: (data set, default protocol).
TABLES = {
    "table1-digits": ("digits", "quick"),
    "table1-mnist": ("mnist", "paper"),
    "table1-cifar10": ("cifar10", "paper"),
    "table2-gtsrb": ("gtsrb", "paper"),
}


def add_experiment(experiment: argparse.ArgumentParser) -> None:
    """Add the command's tables and actions, each with its options, to its parser."""
    tables = experiment.add_subparsers(required=True, metavar="TABLE")
    for name, (data, protocol) in TABLES.items():
        _add_table(tables, name, data, protocol)
    _add_own(tables)
    report = tables.add_parser("report", help="print and write the tables of an experiment's folder")
    report.add_argument("folder", metavar="DIR", help="folder of an experiment")
    report.set_defaults(run=_report)
    stages = tables.add_parser("stages", help="what each stage of training brings to Deep SVDD: a table by class")
    stages.add_argument("folder", metavar="DIR", help="folder of an experiment")
    options.add_objective(stages)
    stages.set_defaults(run=_stages)
    figures = tables.add_parser(
        "figures",
        help="figures 2 and 3: each class's most normal and most anomalous test images",
    )
    figures.add_argument("folder", metavar="DIR", help="folder of an experiment")
    figures.add_argument("--methods", nargs="+", metavar="NAME", help="(default: all of the experiment)")
    figures.add_argument("--classes", nargs="+", metavar="CLASS", help="(default: all of the experiment)")
    options.add_seed(figures)
    figures.add_argument("--columns", type=int, default=8, help="images at each side")
    options.add_data_dir(figures)
    figures.set_defaults(run=_figures)


def _add_own(tables):
    own = tables.add_parser("own", help="all methods on your own data: a table of AUC, and all ROC curves")
    own.add_argument("--data", required=True, help="labelled, as `minisvdd train` takes it")
    own.add_argument("--normal-class", help="class taken as normal: name or index (default: the only one of training)")
    usual = ", ".join(name for name in OWN_METHODS if name not in SLOW)
    own.add_argument(
        "--methods", nargs="+", metavar="NAME", help=f"some of {', '.join(OWN_METHODS)} (default: {usual})"
    )
    own.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    options.add_protocol(own, "quick")
    options.add_schedule(own)
    options.add_pictures(own)
    options.add_skip_damaged(own)
    _add_running(own, "runs/own-NAME-CLASS")
    # Here all normal samples train: an AUC needs no threshold.
    own.set_defaults(run=_run_own, threshold="nu", false_alarm_rate=options.FALSE_ALARM_RATE, patch_size="auto")


def _add_table(tables, name, data, protocol):
    table = tables.add_parser(name, help=f"{name[:5]} {name[5]} on {data}")
    table.add_argument("--methods", nargs="+", metavar="NAME", help=f"some of {', '.join(METHODS)} (default: all)")
    table.add_argument("--classes", nargs="+", metavar="NAME", help="normal classes (default: all)")
    table.add_argument("--seeds", type=int, default=10, help="number of seeds, from 0")
    options.add_protocol(table, protocol)
    options.add_schedule(table)
    if data == "gtsrb":
        table.add_argument("--queries", type=int, help="of the Boundary Attack per image, if not as `minisvdd attack`")
    _add_running(table, f"runs/{name}")
    table.set_defaults(run=_run, data=data, out=f"runs/{name}")


def _add_running(table, folder):
    """How the cells of a grid are computed, and where they are kept."""
    table.add_argument("--jobs", type=int, default=1, help="processes on this machine; on a GPU each has many cells")
    table.add_argument("--scheduler", metavar="tcp://...", help="Dask cluster; its workers must see --out and the data")
    options.add_backend(table)
    options.add_precision(table)
    table.add_argument("--budget", type=float, metavar="SECONDS", help="end before then, with all finished cells")
    options.add_data_dir(table)
    table.add_argument("--out", help=f"folder for cells and reports (default: {folder})")
    table.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep finished cells of the same configuration",
    )
    options.add_quiet(table)
    table.set_defaults(goes_on="the same command goes on with the first unfinished cell")


def _check(arguments, methods):
    """Refuse before any work, by the options' names, what no cell can be computed with; returns the budget, begun."""
    options.check_counts(arguments, "jobs", "seeds")
    if unknown := [name for name in arguments.methods or () if name not in methods]:
        raise ValueError(f"--methods {unknown[0]}: expected some of {', '.join(methods)}")
    options.check_choices(arguments, arguments.methods or METHODS)
    options.backend_label(arguments)
    return Budget(arguments.budget)


def _run(arguments):
    budget = _check(arguments, ALL_METHODS)
    settings = adjusted(get_protocol(arguments.protocol, arguments.data), **options.schedule_of(arguments))
    data = arguments.data
    if data == "gtsrb":
        try:
            with until(budget.end):
                data = _stop_signs(arguments)
        except OutOfTime:
            spent = "spent before classifier and attack are finished: expected more seconds"
            print(f"minisvdd: --budget {arguments.budget:g}: {spent}", file=sys.stderr)
            return 0
    grid = make_grid(
        data,
        methods=arguments.methods,
        classes=arguments.classes,
        seeds=arguments.seeds,
        protocol=arguments.protocol,
        data_dir=arguments.data_dir,
        settings=settings,
        backend=options.backend_label(arguments),
    )
    return _run_grid(grid, arguments, arguments.out, budget)


def _run_grid(grid, arguments, out, budget):
    run_grid(
        grid,
        out,
        jobs=arguments.jobs,
        scheduler=arguments.scheduler,
        data_dir=arguments.data_dir,
        resume=arguments.resume,
        verbose=options.verbosity(arguments),
        budget=budget,
    )
    return _print_report(out)


def _run_own(arguments):
    budget = _check(arguments, OWN_METHODS)
    wanted = arguments.methods or [name for name in OWN_METHODS if name not in SLOW]
    dataset = options.load(arguments)
    split = dataset.one_class(arguments.normal_class)
    for name in wanted:
        check_shape(OWN_METHODS[name], split.train.shape[1:])
    options.print_notes(split.notes)
    out = Path(arguments.out or Path("runs") / safe_name(f"own-{dataset.name}-{split.normal_class}"))
    options.check_out(arguments, out)
    settings = options.protocol_of(arguments, arguments.data, split.train.shape)
    path, dataset = split_file(split, dataset.name, out)
    grid = make_grid(
        str(path.resolve()),
        dataset=dataset,
        methods=[OWN_METHODS[name] for name in wanted],
        seeds=arguments.seeds,
        protocol=arguments.protocol,
        settings=settings,
        backend=options.backend_label(arguments),
    )
    get_backend(grid.backend)  # last of what may be refused: only now is an earlier experiment's split replaced
    write_split(path, dataset)
    return _run_grid(grid, arguments, out, budget)


def _stop_signs(arguments):
    """Table 2's test set does not exist until a classifier has been attacked: the file that holds it."""
    options.check_counts(arguments, "queries")
    dataset, verbose = load_dataset("gtsrb", arguments.data_dir), options.verbosity(arguments)
    backend = options.start_backend(arguments.backend)
    _, adversaries, _ = adversaries_of(
        dataset, arguments.out, queries=arguments.queries, backend=backend, verbose=verbose
    )
    return str(write_stop_signs(dataset, adversaries, Path(arguments.out) / STOP_SIGNS))


def _report(arguments):
    return _print_report(arguments.folder)


def _stages(arguments):
    markdown, name = write_stages(arguments.folder, arguments.objective)
    print(markdown)
    print(f"written: {name} in {arguments.folder}")
    return 0


def _figures(arguments):
    options.check_counts(arguments, "columns")
    paths = save_grid_examples(
        arguments.folder,
        arguments.methods,
        arguments.classes,
        seed=arguments.seed,
        columns=arguments.columns,
        data_dir=arguments.data_dir,
    )
    print(f"written: {', '.join(str(path) for path in paths)}")
    return 0


def _print_report(folder):
    markdown, paths = write_comparison(folder) if is_comparison(folder) else write_report(folder)
    if (Path(folder) / STOP_SIGNS).is_file() and (figure := figure_4(folder)) is not None:
        save_figure(figure, Path(folder) / "figure4.png")
        paths.append("figure4.png")
    print(markdown)
    print(f"written: {', '.join(str(path) for path in paths)} in {Path(folder)}")
    return 0
