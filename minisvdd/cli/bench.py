"""The command `minisvdd bench`: how long a training step and scoring take, perhaps beside PyTorch."""

import argparse

from ..experiments.bench import WORKLOADS, measure
from ..files.atomic import write_json
from .options import add_backend, add_precision, backend_label, start_backend


def add_bench(bench: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    bench.add_argument("--workload", action="append", metavar="NAME", help=f"one of {', '.join(WORKLOADS)}")
    add_backend(bench)
    add_precision(bench)
    bench.add_argument("--vs", choices=["torch"], help="beside PyTorch (extra `oracle`), interleaved in one process")
    bench.add_argument("--threads", type=int, default=1, help="that share a step's work")
    bench.add_argument("--rounds", type=int, default=15, help="turns that each contender gets")
    bench.add_argument("--out", help="JSON file to write")
    bench.set_defaults(run=_bench)


def _bench(arguments):
    try:
        result = measure(
            arguments.workload,
            backend=start_backend(backend_label(arguments)),
            versus_torch=arguments.vs == "torch",
            threads=arguments.threads,
            rounds=arguments.rounds,
        )
    except ImportError as error:
        raise ValueError(f"--vs torch: {error}: install the extra `oracle`") from error
    if arguments.out:
        write_json(arguments.out, result)
    return 0
