"""What every rung of every ladder asks of a GPU's memory, counted by the emulator on the paper's layers.

    python benchmarks/rungs.py [--quick] [--out benchmarks/results/rungs.json] [--table kernels/README.md]

Counts need no GPU and do not vary from run to run. The batch is small: counts per output hardly depend on it, and what
a launch makes once for a whole batch, filters for tensor cores, counts as these images' share of 200. Per output of the
operation: global loads and stores (instructions of a thread, of up to 16 bytes), the bytes that these
move as sectors of 32 bytes, loads from shared memory. Per warp instruction on global memory: sectors (4 is best for 4
bytes per thread, 16 for 16 bytes; 32 worst). Then the worst bank conflict (1: none) and barriers per thread.
"""

import argparse
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from common import renewed

from minisvdd import ops
from minisvdd.backends.counting import at_a_sector
from minisvdd.backends.emulator import EmulatorBackend
from minisvdd.experiments.ladder import CONVOLUTION_RUNGS
from minisvdd.files.atomic import atomic_write, write_json
from minisvdd.ops import linear
from minisvdd.ops.adam import adam_update_flat
from minisvdd.ops.batchnorm.launch import channel_means, channel_scale
from minisvdd.ops.conv2d import launch as conv2d_launch
from minisvdd.ops.conv2d import launch_tensor
from minisvdd.ops.device_log import StepCount
from minisvdd.ops.norm_act_pool import launch as norm_act_pool_launch

ROOT = Path(__file__).resolve().parents[1]
MARKERS = "<!-- counts of the rungs: written by benchmarks/rungs.py -->", "<!-- end of counts -->"
# (batch, channels in, side, channels out): the paper's convolutions, 5 x 5 with padding 2
CONVOLUTIONS = {
    "mnist 1": (2, 1, 28, 8),
    "mnist 2": (2, 8, 14, 4),
    "cifar10 1": (1, 3, 32, 32),
    "cifar10 2": (1, 32, 16, 64),
    "gtsrb 3": (2, 32, 8, 64),
}
# (rows, columns, inner): dense layers at batch 64
PRODUCTS = {"mnist dense": (64, 196, 32), "cifar10 dense": (64, 256, 128)}
# parameters of a small network, with weight decay for all: they fill whole packs
PARAMETERS = {"4096": 4096}
# (batch, channels, side) of the arrays between the convolutions
IMAGES = {"mnist 1": (4, 8, 28), "gtsrb 3": (2, 64, 8)}
BATCH = 200  # images of a training step
ONCE_FOR_A_BATCH = "conv2d_filters"
QUICK = ("mnist 2", "mnist dense", "gtsrb 3 images", "4096 parameters")

POINTWISE_RUNGS = ("naive", "vectorised")
STATISTICS_RUNGS = ("naive", "shuffles", "split")


class CountingBackend(EmulatorBackend):
    """An emulator that adds up the counts of all launches since `reset`; arrays begin at sectors, as on a GPU.

    images: in a call, where they stand for a batch of training.
    """

    def __init__(self):
        super().__init__(count=True)
        self.images = BATCH
        self.reset()

    def reset(self):
        """Forget what was counted."""
        self.totals, self.worst, self.barriers, self.launches = {}, 0, 0, []

    def empty(self, shape, dtype):
        """An array for a kernel to fill, at the beginning of a sector."""
        return at_a_sector(super().empty(shape, dtype))

    def run(self, kernel, args, grid, block, shared=0):
        """Run, and add the counts."""
        super().run(kernel, args, grid, block, shared)
        counts = vars(self.last_counts)
        share = self.images / BATCH if kernel.name.startswith(ONCE_FOR_A_BATCH) else 1
        for name, value in counts.items():
            self.totals[name] = self.totals.get(name, 0) + share * value
        self.worst = max(self.worst, counts["worst_bank_conflict"])
        self.barriers += counts["barriers"] / (np.prod(grid) * np.prod(block))
        self.launches.append(kernel.name)


def count(backend, outputs, call):
    """Counts of one call, per output."""
    backend.reset()
    call()
    total = backend.totals
    return {
        "launches": list(backend.launches),
        "loads": total["global_loads"] / outputs,
        "stores": total["global_stores"] / outputs,
        "bytes": 32 * total["transactions"] / outputs,
        "sectors_per_request": total["transactions"] / total["requests"],
        "shared_loads": total["shared_loads"] / outputs,
        "bank_conflict": backend.worst or 1,
        "barriers": backend.barriers,
    }


def draw(rng, *shape):
    """Standard normal float32."""
    return at_a_sector(rng.standard_normal(shape).astype(np.float32))


def convolution_cases(backend, rng, name):
    """(operation, rung, number of outputs, call) for a convolution layer."""
    N, C, side, K = CONVOLUTIONS[name]
    backend.images = N
    x, weight, y = draw(rng, N, C, side, side), draw(rng, K, C, 5, 5), draw(rng, N, K, side, side)
    size, kernel, where = (side, side), (5, 5), ((1, 1), (2, 2))
    operations = (
        ("conv2d_forward", conv2d_launch.forward, (x, weight), y.size),
        ("conv2d_backward_input", conv2d_launch.backward_input, (y, weight, size), x.size),
        ("conv2d_backward_weight", conv2d_launch.backward_weight, (y, x, kernel), weight.size),
    )
    for operation, launch, args, outputs in operations:
        sizes = (N, C, side, side, K, side, side, 5, 5, 1, 1, 2, 2)
        tensor_cores = launch_tensor.fits(operation, sizes, np.float32)
        for rung in CONVOLUTION_RUNGS:
            if tensor_cores or rung not in launch_tensor.RUNGS:
                yield operation, rung, outputs, partial(launch, backend, *args, *where, rung)


def product_cases(backend, rng, name):
    """The same for the matrix product dL/dx = G W of a dense layer."""
    rows, columns, inner = PRODUCTS[name]
    grad, weight = draw(rng, rows, inner), draw(rng, inner, columns)
    for rung in ("naive", "coalesced", "tiled", "register_blocked", "split", "quarters"):
        yield "matmul", rung, rows * columns, partial(linear.matmul, backend, grad, weight, rung=rung)


def image_cases(backend, rng, name):
    """The same for what stands between two convolutions."""
    N, C, side = IMAGES[name]
    x, grad, scale, two = (
        draw(rng, N, C, side, side),
        draw(rng, N, C, side, side),
        at_a_sector(np.ones(C, np.float32)),
        (2, 2),
    )
    y, winner = ops.maxpool_forward.on(backend)(x, two, two)
    statistics = ops.batch_statistics.reading("launch")
    for rung in STATISTICS_RUNGS:
        yield "channel_statistics", rung, x.size, partial(statistics, backend, x, rung)
    for rung in STATISTICS_RUNGS:
        yield "channel_means", rung, x.size, partial(channel_means, backend, grad, x, rung)
    for rung in POINTWISE_RUNGS:
        yield "channel_scale", rung, x.size, partial(channel_scale, backend, x, scale, scale, rung)
    means, result = at_a_sector(np.zeros((2, C), np.float32)), at_a_sector(x)
    sizes = x.size, C, side * side
    pointwise = {
        "batchnorm_backward": (grad, x, scale, means, result, *sizes),
        "leaky_relu_forward": (x, result, 0.1, x.size),
        "leaky_relu_backward": (grad, at_a_sector(x > 0), result, 0.1, x.size),
    }
    for operation, args in pointwise.items():
        for rung in POINTWISE_RUNGS:
            yield operation, rung, x.size, partial(backend.launch, operation, args, threads=x.size, rung=rung)
    pool, pool_gradient = ops.maxpool_forward.reading("launch"), ops.maxpool_backward.reading("launch")
    for rung in ("naive", "registers", "pairs"):
        yield "maxpool_forward", rung, y.size, partial(pool, backend, x, two, two, rung)
    for rung in ("naive", "windows", "pairs"):
        yield "maxpool_backward", rung, x.size, partial(pool_gradient, backend, y, winner, x.shape, two, two, rung)
    copies, sums = ops.upsample_forward.reading("launch"), ops.upsample_backward.reading("launch")
    for rung in POINTWISE_RUNGS:
        yield "upsample_forward", rung, 4 * x.size, partial(copies, backend, x, two, rung)
    for rung in POINTWISE_RUNGS:
        yield "upsample_backward", rung, y.size, partial(sums, backend, x, two, rung)
    module, module_gradient = norm_act_pool_launch.forward, norm_act_pool_launch.backward
    args = backend, x, scale, scale, 0.1, two
    for rung in ("windows", "pairs"):
        yield "normalize_pool_forward", rung, y.size, partial(module, *args, rung=rung)
    args = backend, y, x, y, at_a_sector(winner.astype(np.uint8)), scale, scale, 0.1, two
    for rung in ("windows", "pairs", "packs"):
        yield "normalize_pool_backward", rung, x.size, partial(module_gradient, *args, rung=rung)


def parameter_cases(backend, rng, name):
    """The same for the optimiser's step, per parameter."""
    params, grads, first, second = (draw(rng, PARAMETERS[name]) for _ in range(4))
    flat = SimpleNamespace(params=params, grads=grads, decayed=params.size)
    count = StepCount(*np.zeros((2, 1), np.int32))
    args = backend, flat, first, at_a_sector(abs(second)), None, np.array([1e-4]), count, 0.9, 0.999, 1e-8, 1e-6
    for rung in POINTWISE_RUNGS:
        yield "adam_update_flat", rung, params.size, partial(adam_update_flat, *args, rung=rung)


def fusion_cases(backend, rng, name):
    """Each fusion beside the separate operations that it replaces, per number of the convolution's output."""
    N, C, side, K = CONVOLUTIONS[name]
    backend.images = N
    x, weight, two = draw(rng, N, C, side, side), draw(rng, K, C, 5, 5), (2, 2)
    y, scale = draw(rng, N, K, side, side), at_a_sector(np.ones(K, np.float32))
    module, where = (backend, y, scale, scale, 0.1, two), ((1, 1), two)
    pooled, winner = norm_act_pool_launch.forward(*module)
    _, wide_winner = ops.maxpool_forward.on(backend)(y, two, two)
    positive = at_a_sector(y > 0)

    def statistics():
        ops.batch_statistics.on(backend)(conv2d_launch.forward(backend, x, weight, *where))

    def forward():
        x_hat = channel_scale(backend, y, scale, scale)
        ops.is_positive.on(backend)(x_hat)
        ops.maxpool_forward.on(backend)(ops.leaky_relu_forward.on(backend)(x_hat, 0.1), two, two)

    def backward():
        grad = ops.maxpool_backward.on(backend)(pooled, wide_winner, y.shape, two, two)
        grad = ops.leaky_relu_backward.on(backend)(grad, positive, 0.1)
        ops.batchnorm_backward.on(backend)(grad, y, scale)

    fused = {
        "convolution and statistics": partial(conv2d_launch.forward_statistics, backend, x, weight, *where),
        "normalise, leaky ReLU, pool": partial(norm_act_pool_launch.forward, *module),
        "its backward": partial(
            norm_act_pool_launch.backward, backend, pooled, y, pooled, winner, scale, scale, 0.1, two
        ),
    }
    for (operation, one), several in zip(fused.items(), (statistics, forward, backward)):
        yield operation, "separate", y.size, several
        yield operation, "fused", y.size, one


def measure(quick):
    """All rows of the table."""
    rng, backend, rows = np.random.default_rng(0), CountingBackend(), []
    groups = [
        (convolution_cases, CONVOLUTIONS, ""),
        (product_cases, PRODUCTS, ""),
        (image_cases, IMAGES, " images"),
        (parameter_cases, PARAMETERS, " parameters"),
        (fusion_cases, {"mnist 2": None} if quick else {"mnist 1": None, "gtsrb 3": None}, " module"),
    ]
    for cases, names, suffix in groups:
        for name in names:
            layer = name + suffix
            if quick and suffix != " module" and layer not in QUICK:
                continue
            for operation, rung, outputs, call in cases(backend, rng, name):
                rows.append({"layer": layer, "operation": operation, "rung": rung, **count(backend, outputs, call)})
                print(_line(rows[-1]), flush=True)
    return rows


def _number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _line(row):
    keys = ("loads", "stores", "bytes", "sectors_per_request", "shared_loads", "bank_conflict", "barriers")
    return f"| {row['rung']} | {row['layer']} | " + " | ".join(_number(row[key]) for key in keys) + " |"


def table(rows):
    """Markdown, one table per operation."""
    lines = []
    for operation in dict.fromkeys(row["operation"] for row in rows):
        lines += [
            f"**{operation}**",
            "",
            "| rung | layer | loads | stores | bytes | sectors | shared | conflict | barriers |",
        ]
        lines.append("|---|---|--:|--:|--:|--:|--:|--:|--:|")
        lines += [_line(row) for row in rows if row["operation"] == operation] + [""]
    return "\n".join(lines)


def write_table(path, rows):
    """Replace what stands between the markers of a Markdown file."""
    text = renewed(path.read_text(encoding="utf-8"), MARKERS, table(rows), path)
    with atomic_write(path) as file:
        file.write(text)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Count the memory traffic of every rung on the emulator.")
    parser.add_argument("--quick", action="store_true", help="one layer of each kind")
    parser.add_argument("--out", help="write the figures as JSON to this file")
    parser.add_argument("--table", type=Path, help="update the table between the markers of this Markdown file")
    options = parser.parse_args()
    rows = measure(options.quick)
    if options.out:
        write_json(options.out, {"precision": "float32", "rows": rows})
    if options.table:
        write_table(options.table, rows)


if __name__ == "__main__":
    main()
