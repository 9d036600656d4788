"""What each trick of the NumPy backend brings: training steps with it, and with it switched off.

    python benchmarks/tricks.py              measures and writes results/tricks.json and the table in README.md
    python benchmarks/tricks.py --tricks winograd threads --workloads "cifar10 encoder"      only these; the rest stays
    python benchmarks/tricks.py --quick --out FILE        one small network, two rounds: does it run?

The library has no switches: a trick is taken away here by replacing the rule or the function which applies it, or the
fast reading of an operation by its formula. Each version builds a network of its own, and they take turns in one
process, so that what slows the machine down slows both; medians are reported.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from common import renewed
from threadpoolctl import threadpool_limits

from minisvdd import ops
from minisvdd.backends import threads
from minisvdd.backends.threads import use_threads
from minisvdd.backends.workspace import Workspace
from minisvdd.experiments.bench import OURS, WORKLOADS, Workload, machine, make_step
from minisvdd.files.atomic import atomic_write, write_json
from minisvdd.nn import batches, networks, steps
from minisvdd.ops import activations, linear, pooling, upsample
from minisvdd.ops.batchnorm import fast as batchnorm
from minisvdd.ops.conv2d import fast as conv2d
from minisvdd.ops.conv2d import phases, winograd
from minisvdd.ops.layout import empty_batch_last
from minisvdd.ops.norm_act_pool import fast as norm_act_pool
from minisvdd.rivals.dcgan import make_gan

FOLDER = Path(__file__).parent
GENERATOR = "dcgan generator"
AFFINE = {"mnist encoder, affine": Workload("mnist_lenet", "encoder", 200, (1, 28, 28), affine=True)}
MEASURED = (
    *("mnist encoder", *AFFINE, "mnist autoencoder", "gtsrb encoder", "cifar10 encoder", "mnist scoring"),
    GENERATOR,
)
MARKERS = "<!-- tricks: written by tricks.py -->", "<!-- end of tricks -->"


@contextmanager
def replaced(*changes):
    """Inside the block, attributes are others.  changes: (object, name, value)."""
    with ExitStack() as stack:
        for target, name, value in changes:
            stack.enter_context(patch.object(target, name, value))
        yield


@contextmanager
def formulas(*operations):
    """Inside the block, the fast readings of these operations are their formulas."""
    readings = [(operation, operation.reading("fast")) for operation in operations]
    try:
        for operation in operations:
            operation.fast(operation.plain)
        yield
    finally:
        for operation, reading in readings:
            operation.fast(reading)


def instead(rule, unwanted, substitute):
    """A choosing rule that answers `substitute` where it would have answered `unwanted`."""

    def other(*arguments):
        return substitute if rule(*arguments) == unwanted else rule(*arguments)

    return other


def no_winograd():
    """Filters on many channels by strips, their gradient by im2col."""
    return replaced((conv2d, "winograd_pays", lambda weight_shape: False))


def no_strips():
    """Few channels by im2col, also for the gradient of the weight."""
    return replaced(
        (conv2d, "forward_way", instead(conv2d.forward_way, "strips", "all taps")),
        (conv2d, "_outputs_of_patch", lambda *_: 1),
    )


def no_phases():
    """The input gradient of a stride, which transposed convolutions run forward: zeros between the entries of G."""

    def backward_input(convolve, grad_output, weight, input_size, stride, padding):
        N, K, *size = grad_output.shape
        spread = empty_batch_last((N, K, *(n + k - 1 for n, k in zip(input_size, weight.shape[2:]))), np.float32)
        spread[...] = 0
        first = (k - 1 - p for k, p in zip(weight.shape[2:], padding))
        spread[(..., *(slice(f, f + n * s, s) for f, n, s in zip(first, size, stride)))] = grad_output
        return convolve(spread, weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])

    return replaced((conv2d, "backward_input_by_phases", backward_input))


def im2col_only():
    """All convolutions by im2col."""
    return replaced(
        (conv2d, "forward_way", lambda *_: "all taps"),
        (conv2d, "weight_way", lambda *_: "all taps"),
        (conv2d, "_outputs_of_patch", lambda *_: 1),
    )


def no_fusion():
    """Layer by layer, in the order of the paper."""
    return replaced((networks, "fused", list))


def no_workspace():
    """A new array for every result and all scratch."""
    return replaced((Workspace, "empty", lambda self, shape, dtype: np.empty(shape, dtype)))


def first_gradient():
    """The gradient of the images, too, which nobody uses."""
    backward = networks.Sequential.backward

    def with_input(self, grad_output, need_input=True, need_params=True):
        return backward(self, grad_output, True, need_params)

    return replaced((networks.Sequential, "backward", with_input))


def batch_first():
    """Arrays between the operations lie as (N, C, H, W): each operation rearranges what it takes and returns."""

    def from_batch_last(x):
        return np.ascontiguousarray(x.transpose(3, 0, 1, 2))

    def from_channel_rows(rows, shape):
        return np.ascontiguousarray(np.moveaxis(rows.reshape(*shape[1:], shape[0]), -1, 0))

    return replaced(
        *(
            (module, "from_batch_last", from_batch_last)
            for module in (conv2d, phases, pooling, norm_act_pool, upsample)
        ),
        (batchnorm, "from_channel_rows", from_channel_rows),
        (steps, "arranged", lambda x: x),
    )


def whole(rows):
    """All channels in one block, for one thread."""
    return [slice(0, len(rows))], 1


def no_blocks():
    """Every operation in one piece, except strips, which are what they are by being cut."""
    return replaced(
        (conv2d, "_BLOCK_BYTES", 1 << 60),
        (winograd, "_blocks", lambda out_h, N: [(slice(0, out_h), slice(0, N))]),
        (activations, "flat_blocks", lambda size: [slice(0, size)]),
        *((module, "channel_blocks", whole) for module in (batchnorm, norm_act_pool, pooling, upsample)),
    )


def row_by_row():
    """Sums of products along rows, one row after the other."""

    def row_products(a, b):
        return np.array([np.dot(a_row, b_row) for a_row, b_row in zip(a, b)])

    return replaced(*((module, "row_products", row_products) for module in (batchnorm, norm_act_pool)))


def blas_threads():
    """BLAS starts its own threads under ours."""
    return replaced(*((m, "one_blas_thread", nullcontext) for m in (threads, linear, winograd, steps, batches)))


@contextmanager
def nothing():
    """Plain NumPy: im2col, layer by layer, new arrays, one thread."""
    with im2col_only(), no_phases(), no_fusion(), no_workspace(), use_threads(1):
        yield


@dataclass(frozen=True)
class Trick:
    """`without()` takes it away.  threads: of both versions, 0 for those asked for.  backend: without it."""

    title: str
    without: Callable
    threads: int = 0
    backend: str = "numpy"


LINEAR = ops.linear_forward, ops.linear_backward_input, ops.linear_backward_weight
BATCH_NORM = ops.batchnorm_forward, ops.batchnorm_forward_batch, ops.batchnorm_backward
TRICKS = {
    "winograd": Trick("Winograd along the rows", no_winograd),
    "strips": Trick("strips", no_strips),
    "phases": Trick("a stride phase by phase", no_phases),
    "fusion": Trick("norm, pool, activation in one", no_fusion),
    "workspace": Trick("workspace", no_workspace),
    "first gradient": Trick("no gradient of the images", first_gradient),
    "batch last": Trick("batch last in memory", batch_first),
    "blocks": Trick("blocks (one thread)", no_blocks, threads=1),
    "threads": Trick("threads", lambda: use_threads(1)),
    "one call": Trick("one call for all rows", row_by_row),
    "one blas thread": Trick("BLAS kept to one thread", blas_threads),
    "linear": Trick("fast linear layer", lambda: formulas(*LINEAR)),
    "batch norm": Trick("fast batch norm", lambda: formulas(*BATCH_NORM)),
    "leaky relu": Trick("fast leaky ReLU", lambda: formulas(ops.leaky_relu_forward, ops.leaky_relu_backward)),
    "upsampling": Trick("fast up-sampling", lambda: formulas(ops.upsample_forward, ops.upsample_backward)),
    "all": Trick("**all of them**", nothing),
    "plain": Trick("**all fast readings**", nullcontext, backend="plain"),
}


def generator_step(backend: str):
    """Forward and backward through AnoGAN's generator for MNIST, 64 images, as in a step of its latent search."""
    rng = np.random.default_rng(0)
    generator = make_gan("mnist_dcgan", (1, 28, 28), 256).layers[0]
    generator.build((256,), rng, backend=backend)
    z, workspace = rng.standard_normal((64, 256), dtype=np.float32), Workspace()
    grad = rng.standard_normal((64, 1, 28, 28), dtype=np.float32)

    def step():
        with workspace:
            generator.forward(z, training=True)
            generator.backward(grad, need_params=False)

    return step


def measure(trick: Trick, workload: str, count: int, rounds: int) -> dict:
    """Median milliseconds of a step with and without the trick."""
    times = {"with": [], "without": []}
    count = trick.threads or count
    with threadpool_limits(count), use_threads(count):
        steps = {"with": (nullcontext, _step(workload, "numpy", count))}
        with trick.without():
            steps["without"] = trick.without, _step(workload, trick.backend, count)
        for _ in range(rounds):
            for name, (context, step) in steps.items():
                with context():
                    times[name] += _turn(step)
    return {name: round(statistics.median(values), 3) for name, values in times.items()}


def _step(workload, backend, count):
    """A function that makes one step; its network is built here, and with it what is fused."""
    if workload == GENERATOR:
        return generator_step(backend)
    return make_step({**WORKLOADS, **AFFINE}[workload], OURS, backend, count)


def _turn(step):
    """Milliseconds of the steps of one turn. The first step, for caches, counts only where it takes a second."""
    first = _milliseconds(step)
    return [first] if first > 1000 else [_milliseconds(step) for _ in range(1 if first > 100 else 3)]


def _milliseconds(step):
    start = time.perf_counter()
    step()
    return 1000 * (time.perf_counter() - start)


def table(result: dict) -> str:
    """Markdown: how many times as long a step takes without each trick."""
    lines = ["| without | " + " | ".join(MEASURED) + " |", "|---|" + "---|" * len(MEASURED)]
    for key, trick in TRICKS.items():
        found = result["tricks"].get(key, {})
        cells = [f"{found[w]['without'] / found[w]['with']:.2f}" if w in found else "" for w in MEASURED]
        lines.append(f"| {trick.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def with_table(text: str, result: dict) -> str:
    """The text of README.md with the table between its marks renewed."""
    return renewed(text, MARKERS, table(result), "README.md")


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tricks", nargs="+", choices=list(TRICKS), default=list(TRICKS))
    parser.add_argument("--workloads", nargs="+", choices=[*WORKLOADS, *AFFINE, GENERATOR], default=list(MEASURED))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true", help="measure nothing, only renew the table from the JSON")
    parser.add_argument("--out", default=str(FOLDER / "results" / "tricks.json"))
    arguments = parser.parse_args()
    out = Path(arguments.out)
    if not arguments.table:
        _measure(arguments, out)
    if not arguments.quick:
        readme = FOLDER / "README.md"
        text = with_table(readme.read_text(encoding="utf-8"), json.loads(out.read_text(encoding="utf-8")))
        with atomic_write(readme) as file:
            file.write(text)


def _measure(arguments, out):
    """Measure what was asked for; other results in the file stay."""
    workloads, rounds = (["mnist encoder"], 2) if arguments.quick else (arguments.workloads, arguments.rounds)
    result = {"threads": arguments.threads, "machine": machine(), "tricks": {}}
    if out.exists():
        result["tricks"] = json.loads(out.read_text(encoding="utf-8"))["tricks"]
    for key in arguments.tricks:
        for workload in workloads:
            found = measure(TRICKS[key], workload, arguments.threads, rounds)
            result["tricks"].setdefault(key, {})[workload] = found
            print(f"{key:16} {workload:20}", *(f"{name} {ms:8.2f} ms" for name, ms in found.items()), flush=True)
        write_json(out, result)


if __name__ == "__main__":
    main()
