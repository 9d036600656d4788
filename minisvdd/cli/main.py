"""The command `minisvdd`. Exit status: 0 done, 1 a check failed, 2 bad usage or bad input (one line on stderr)."""

import argparse
import csv
import os
import sys
import warnings
from pathlib import Path

from ..backends import EmulatorBackend, KernelBackend, KernelError, backend_problems, get_backend
from ..data.datasets import DATASETS, data_bases, find_dataset, load_dataset
from ..data.download import fetch
from ..data.readers import read_samples
from ..errors import DataError
from ..experiments.bench import WORKLOADS, measure
from ..experiments.experiments import train_and_evaluate, versions
from ..experiments.plots import save_training_pictures
from ..experiments.protocols import PROTOCOLS, get_protocol
from ..files.atomic import atomic_write, check_writable, write_json
from ..files.checkpoint import Checkpoint
from ..files.progress import Progress
from ..gradcheck import check_library, library_cases
from ..nn.networks import NETWORKS
from ..svdd.storage import load_model
from ..svdd.svdd import OBJECTIVES
from ..version import __version__
from .attack import add_attack
from .course import add_course
from .experiment import add_experiment


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status. Everything that a user can get wrong ends in one line on stderr."""
    arguments = _parser().parse_args(argv)
    warnings.showwarning = _show_warning
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `minisvdd info | head -1`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return 141  # as a shell says it of SIGPIPE
    except (DataError, KernelError, ValueError, TypeError, OSError) as error:
        return _fail(str(error) or type(error).__name__, 2)
    except FloatingPointError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(message, status):
    print(f"minisvdd: error: {' '.join(message.split())}", file=sys.stderr)
    return status


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"minisvdd: {category.__name__}: {message}", file=sys.stderr)


def _parser():
    parser = argparse.ArgumentParser(
        prog="minisvdd", description="Deep one-class classification from first principles (Deep SVDD, ICML 2018)."
    )
    parser.add_argument("--version", action="version", version=f"minisvdd {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_score(commands)
    add_experiment(commands)
    add_attack(commands)
    _add_gradcheck(commands)
    add_course(commands)
    _add_data(commands)
    _add_bench(commands)
    info = commands.add_parser("info", help="versions, backends and data sets found")
    info.add_argument("--data-dir", help="folder to look for data sets in")
    info.set_defaults(run=_info)
    return parser


_BACKEND_HELP = "where operations run: numpy, cuda (our kernels on an NVIDIA GPU), emulator (the same on the CPU)"

_CHECK_HELP = "let the emulator watch every load and store: several times slower"


def _start_backend(name, check=False):
    """The backend of that name, its kernels built; says so on stderr when that takes a while."""
    backend = EmulatorBackend(check) if name == "emulator" else get_backend(name)
    if isinstance(backend, KernelBackend):
        backend.prepare(lambda message: print(message, file=sys.stderr))
    return backend


# minisvdd train


def _add_train(commands):
    train = commands.add_parser(
        "train",
        help="train Deep SVDD on one normal class, print the test AUC, save model and pictures",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    train.add_argument("--data", default="digits", help=f"{', '.join(DATASETS)}, or a .npz file of your own")
    train.add_argument("--normal-class", help="class taken as normal: index or name (default: 3; stop for gtsrb)")
    train.add_argument("--objective", choices=OBJECTIVES, default="one-class")
    train.add_argument("--nu", type=float, default=0.1, help="fraction of training samples that may lie outside")
    train.add_argument("--network", choices=NETWORKS, help="(default: the one made for the data)")
    train.add_argument("--backend", default="numpy", help=_BACKEND_HELP)
    train.add_argument("--check-kernels", action="store_true", help=_CHECK_HELP)
    train.add_argument("--protocol", choices=list(PROTOCOLS), default="quick", help="epochs, rates and weight decays")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--data-dir", help="folder with the data set (else $MINISVDD_DATA, else the cache folder)")
    train.add_argument("--out", help="folder for model and pictures (default: runs/DATA-CLASS-OBJECTIVE-seedSEED)")
    train.add_argument(
        "--checkpoint-every", type=int, default=10, metavar="K", help="epochs between checkpoints; 0: none"
    )
    train.add_argument("--resume", action="store_true", help="go on where a training of the same arguments was stopped")
    train.add_argument("--quiet", action="store_true", help="no progress")
    train.set_defaults(run=_train)


def _train(arguments):
    backend = _start_backend(arguments.backend, arguments.check_kernels)
    dataset = load_dataset(arguments.data, arguments.data_dir)
    split = dataset.one_class(_normal_class(arguments.normal_class, dataset))
    label = "-".join(filter(None, (dataset.name, split.normal_class, arguments.objective, f"seed{arguments.seed}")))
    folder = Path(arguments.out or Path("runs") / label)
    check_writable(folder)
    checkpoint = _checkpoint(arguments, folder)
    model, result = train_and_evaluate(
        split,
        get_protocol(arguments.protocol, dataset.name),
        objective=arguments.objective,
        nu=arguments.nu,
        network=arguments.network,
        backend=backend,
        seed=arguments.seed,
        verbose=0 if arguments.quiet else 1,
        checkpoint=checkpoint,
    )
    result = {"data": dataset.name, "protocol": arguments.protocol, **result}
    model.save(folder / "model.npz")
    write_json(folder / "result.json", result)
    if checkpoint:
        checkpoint.remove()
    pictures = save_training_pictures(model, split, folder, result["auc"].get("trained"))
    _print_result(result, folder, pictures)
    return 0


def _checkpoint(arguments, folder):
    """Where the training keeps its state, or None."""
    if arguments.resume and not arguments.checkpoint_every:
        raise ValueError("--resume: needs --checkpoint-every of at least 1")
    if arguments.checkpoint_every == 0:
        return None
    return Checkpoint(folder / "checkpoint", arguments.checkpoint_every, arguments.resume)


def _normal_class(given, dataset):
    if given is not None or dataset.train_labels is None:
        return given
    return {"gtsrb": "stop"}.get(dataset.name, "3" if "3" in dataset.class_names else dataset.class_names[0])


def _print_result(result, folder, pictures):
    normal = "" if result["normal_class"] is None else f", normal class {result['normal_class']}"
    print(f"{result['data']}{normal}: {result['n_train']} training and {result['n_test']} test samples")
    auc = result["auc"]
    if auc:
        before = [f"{100 * auc[stage]:.2f} % {stage}" for stage in ("random", "pretrained") if stage in auc]
        if "autoencoder" in auc:
            before.append(f"{100 * auc['autoencoder']:.2f} % by the autoencoder's reconstruction error")
        print(f"test AUC {100 * auc['trained']:.2f} %   (before training: {', '.join(before)})")
    else:
        print("no test AUC: the data has no labelled test samples of both kinds")
    print(f"model     {folder / 'model.npz'}\nresult    {folder / 'result.json'}")
    print(f"pictures  {', '.join(str(path) for path in pictures)}")


# minisvdd score


def _add_score(commands):
    score = commands.add_parser("score", help="score samples with a saved model")
    score.add_argument("model", metavar="MODEL.npz")
    score.add_argument("samples", metavar="SAMPLES.npz|.npy", help="(n, C, H, W), (n, H, W) or (n, D)")
    score.add_argument("--out", help="CSV file to write (default: standard output)")
    score.set_defaults(run=_score)


def _score(arguments):
    model = load_model(arguments.model)
    samples = read_samples(arguments.samples)
    try:
        scores = model.anomaly_score(samples)
    except ValueError as error:
        raise DataError(f"{arguments.samples}: {error}") from error
    outlier = -scores - model.offset_ < 0
    if arguments.out:
        with atomic_write(arguments.out) as file:
            _write_scores(file, scores, outlier)
        print(f"{len(scores)} scores, {int(outlier.sum())} beyond the threshold: {arguments.out}")
    else:
        _write_scores(sys.stdout, scores, outlier)
    return 0


def _write_scores(file, scores, outlier):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["index", "anomaly_score", "prediction"])
    for index, (score, out) in enumerate(zip(scores, outlier)):
        writer.writerow([index, repr(float(score)), -1 if out else 1])


# minisvdd gradcheck


def _add_gradcheck(commands):
    check = commands.add_parser("gradcheck", help="check hand-written gradients against finite differences")
    check.add_argument("--layer", action="append", metavar="NAME", help=f"one of {', '.join(library_cases())}")
    check.add_argument("--backend", default="numpy", help=_BACKEND_HELP)
    check.add_argument("--check-kernels", action="store_true", help=_CHECK_HELP)
    check.set_defaults(run=_gradcheck)


def _gradcheck(arguments):
    backend, reports = _start_backend(arguments.backend, arguments.check_kernels), []
    for name in arguments.layer or library_cases():
        for report in check_library(name, backend):
            print(report, flush=True)
            reports.append(report)
    failed = sum(not report.passed for report in reports)
    print(f"{len(reports) - failed} of {len(reports)} gradient checks passed")
    return 1 if failed else 0


# minisvdd bench


def _add_bench(commands):
    bench = commands.add_parser("bench", help="time training steps and scoring of the paper's networks")
    bench.add_argument("--workload", action="append", metavar="NAME", help=f"one of {', '.join(WORKLOADS)}")
    bench.add_argument("--backend", default="numpy", help=_BACKEND_HELP)
    bench.add_argument("--vs", choices=["torch"], help="beside PyTorch (extra `oracle`), interleaved in one process")
    bench.add_argument("--threads", type=int, default=1)
    bench.add_argument("--rounds", type=int, default=15, help="turns that each contender gets")
    bench.add_argument("--out", help="JSON file to write")
    bench.set_defaults(run=_bench)


def _bench(arguments):
    try:
        result = measure(
            arguments.workload,
            backend=_start_backend(arguments.backend),
            versus_torch=arguments.vs == "torch",
            threads=arguments.threads,
            rounds=arguments.rounds,
        )
    except ImportError as error:
        raise ValueError(f"--vs torch: {error}: install the extra `oracle`") from error
    if arguments.out:
        write_json(arguments.out, result)
    return 0


# minisvdd data fetch


def _add_data(commands):
    data = commands.add_parser("data", help="fetch data sets")
    actions = data.add_subparsers(required=True, metavar="ACTION")
    fetching = actions.add_parser("fetch", help="download a data set from its official address")
    fetching.add_argument("name", choices=DATASETS[1:])
    fetching.add_argument("--data-dir", help="folder to put it in (default: the cache folder)")
    fetching.add_argument("--quiet", action="store_true", help="no progress")
    fetching.set_defaults(run=_fetch)


def _fetch(arguments):
    print(fetch(arguments.name, arguments.data_dir, on_progress=None if arguments.quiet else _DownloadProgress()))
    return 0


class _DownloadProgress:
    """Shows megabytes of a download as a `Progress`."""

    def __init__(self):
        self._progress, self._total = None, None

    def __call__(self, done, total):
        if self._progress is None or total != self._total:
            self._progress, self._total = Progress("download, MB", max(1, (total or 0) >> 20)), total
        self._progress.update(done >> 20)


# minisvdd info


def _info(arguments):
    for name, version in versions().items():
        print(f"{name:14}{version}")
    print(f"{'cpus':14}{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}")
    problems = backend_problems()
    print(f"{'backends':14}{', '.join(name for name, problem in problems.items() if problem is None)}")
    for name, problem in problems.items():
        if problem is not None:
            print(f"{'':14}not {name}: {problem}")
    print(f"{'data sought':14}{', '.join(str(folder) for folder in data_bases(arguments.data_dir))}")
    print(f"{'digits':14}embedded")
    for name in DATASETS[1:]:
        print(f"{name:14}{find_dataset(name, arguments.data_dir) or f'not found: minisvdd data fetch {name}'}")
    return 0
