"""The command `minisvdd bench`: how long a training step and scoring take, perhaps beside PyTorch; the ladders."""

import argparse

from ..experiments.bench import WORKLOADS, measure
from ..files.atomic import write_json
from .options import add_backend, add_precision, backend_label, start_backend

# options that --ladder does not take, and their defaults
_OF_STEPS = {"workload": None, "precision": "float32", "vs": None, "threads": 1, "rounds": 15}
_MEANINGLESS = "These are times of the emulator, at tiny sizes: they say nothing about a GPU."


def add_bench(bench: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    bench.add_argument("--workload", action="append", metavar="NAME", help=f"one of {', '.join(WORKLOADS)}")
    add_backend(bench)
    add_precision(bench)
    bench.add_argument("--vs", choices=["torch"], help="beside PyTorch (extra `oracle`), interleaved in one process")
    bench.add_argument("--threads", type=int, default=_OF_STEPS["threads"], help="that share a step's work")
    bench.add_argument("--rounds", type=int, default=_OF_STEPS["rounds"], help="turns that each contender gets")
    bench.add_argument(
        "--ladder",
        action="store_true",
        help="instead, time every rung of the CUDA kernels of the convolution and of the matrix product: "
        "--backend cuda or emulator; of the other options it takes --out",
    )
    bench.add_argument("--out", help="JSON file to write")
    bench.set_defaults(run=_bench)


def _bench(arguments):
    if arguments.ladder:
        return _ladder(arguments)
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


def _ladder(arguments):
    """The table of the reader's own card."""
    from ..experiments import ladder

    for name, default in _OF_STEPS.items():
        if getattr(arguments, name) != default:
            raise ValueError(f"--{name}: bench --ladder takes --backend, --out")
    backend = start_backend(arguments.backend)
    if backend.runs_numpy:
        raise ValueError(f"--ladder: backend {backend.name!r} has no kernels: expected --backend cuda or emulator")
    on_gpu = backend.name == "cuda"
    rows = list(ladder.measure(backend, quick=not on_gpu))
    print(f"Microseconds on {ladder.device_name(backend)['device']}; a dash: the rung is not for this layer.\n")
    print(ladder.table(rows))
    if not on_gpu:
        print(_MEANINGLESS)
    if arguments.out:
        write_json(arguments.out, {**ladder.device_name(backend), "is_meaningful": on_gpu, "ladder": rows})
    return 0
