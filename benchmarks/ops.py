"""Time of every operation on the layer shapes of the paper, beside what the machine could do at best.

    python benchmarks/ops.py --out results.json [--quick] [--threads N]

The ceilings are measured in the same run, with as many threads: the rate of a large matrix product (for operations that
multiply) and the rate of copying an array too large for the caches (for those that move numbers). A pointwise
operation counts each input and output once; it can exceed the copying rate where its arrays fit into a cache. A
convolution counts the multiplications of its definition; Winograd's makes fewer, and can exceed the product's rate.
An encoder's module counts those of its convolution: what it takes longer than `conv2d_forward` is batch norm and pool.
"""

import argparse
import os
import platform
import time
from functools import partial

import numpy as np

from minisvdd import ops
from minisvdd.backends import NUMPY
from minisvdd.backends.threads import one_blas_thread, run, thread_count, use_threads
from minisvdd.backends.workspace import Workspace
from minisvdd.experiments import ladder
from minisvdd.files.atomic import write_json

# name: batch, channels in, side, channels out: the convolutions of the encoders, and a decoder's last one
CONVOLUTIONS = {
    **ladder.CONVOLUTIONS,
    "mnist decoder": (200, 8, 28, 1),
    "gtsrb 1": (64, 3, 32, 16),
    "gtsrb 2": (64, 16, 16, 32),
    "gtsrb 3": (64, 32, 8, 64),
}
SLOPE, EPSILON = 0.1, 1e-4
QUICK = ("mnist 1", "mnist 2", "gtsrb 3")


def milliseconds(function, repeats):
    """Median time of a call, after one to warm up, with the same memory for its result every time."""
    workspace, times = Workspace(), []
    with workspace:
        function()
    for _ in range(repeats):
        start = time.perf_counter()
        with workspace:
            function()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


def in_all_threads(function):
    """function(thread) for thread = 0, 1, ... at the same time."""

    def work(threads):
        for thread in threads:
            function(thread)

    return lambda: run(work, range(thread_count()))


def ceilings(repeats):
    """GFLOP/s of a matrix product, GB/s of a copy (bytes read and written), all threads together."""
    n, threads = 1024, thread_count()
    matrix = np.ones((n, n), np.float32)
    source, target = np.ones((2, threads, 1 << 24), np.float32)
    product = milliseconds(in_all_threads(lambda _: matrix @ matrix), repeats)
    copy = milliseconds(in_all_threads(lambda thread: np.copyto(target[thread], source[thread])), repeats)
    return threads * 2 * n**3 / product / 1e6, 2 * source.nbytes / copy / 1e6


def images(rng, N, C, side):
    """Random images, batch last in memory as inside a network."""
    return rng.standard_normal((C, side, side, N)).astype(np.float32).transpose(3, 0, 1, 2)


def case(operation, args, work):
    """The operation's name, its fast reading with these arguments, and the work."""
    return operation.__name__, partial(operation.on(NUMPY), *args), work


def convolution_cases(rng, name):
    """(operation, call, multiplications and additions) for the three products of a layer, and for its module."""
    N, C, side, K = CONVOLUTIONS[name]
    x, grad = images(rng, N, C, side), images(rng, N, K, side)
    weight = rng.standard_normal((K, C, 5, 5)).astype(np.float32)
    work, where, size, two = 2 * grad.size * C * 25, ((1, 1), (2, 2)), (side, side), (2, 2)
    for operation, args in (
        (ops.conv2d_forward, (x, weight, *where)),
        (ops.conv2d_backward_weight, (grad, x, (5, 5), *where)),
        (ops.conv2d_backward_input, (grad, weight, size, *where)),
        (ops.encoder_module_forward, (x, weight, *where, EPSILON, SLOPE, two)),
    ):
        yield case(operation, args, work)


def pointwise_cases(rng, name):
    """(operation, call, bytes read and written) for what follows the convolution of that name."""
    N, _, side, K = CONVOLUTIONS[name]
    x, grad, pooled_grad = images(rng, N, K, side), images(rng, N, K, side), images(rng, N, K, side // 2)
    x_hat, scale, mean, variance = ops.batchnorm_forward_batch.on(NUMPY)(x, EPSILON)
    positive, two = x > 0, (2, 2)
    _, winner = ops.maxpool_forward.on(NUMPY)(x, two, two)
    y, module_winner = ops.norm_act_pool_forward.on(NUMPY)(x, mean, scale, SLOPE, two)
    once, pooled, module = x.nbytes, y.nbytes, (mean, scale, SLOPE, two)
    for operation, args, moved in (
        (ops.batchnorm_forward_batch, (x, EPSILON), 2 * once),
        (ops.batchnorm_forward, (x, mean, variance, EPSILON), 2 * once),
        (ops.batchnorm_backward, (grad, x_hat, scale), 3 * once),
        (ops.leaky_relu_forward, (x, SLOPE), 2 * once),
        (ops.leaky_relu_backward, (grad, positive, SLOPE), 2 * once + positive.nbytes),
        (ops.maxpool_forward, (x, two, two), once + pooled + winner.nbytes),
        (ops.maxpool_backward, (pooled_grad, winner, x.shape, two, two), once + pooled + winner.nbytes),
        (ops.norm_act_pool_forward, (x, *module), once + pooled + module_winner.nbytes),
        (ops.norm_act_pool_evaluate, (x, *module), once + pooled),
        (
            ops.norm_act_pool_backward,
            (pooled_grad, x, y, module_winner, *module),
            2 * once + 2 * pooled + module_winner.nbytes,
        ),
        (ops.upsample_forward, (pooled_grad, two), once + pooled),
        (ops.upsample_backward, (grad, two), once + pooled),
    ):
        yield case(operation, args, moved)


def dense_cases(rng):
    """The last layer of the CIFAR-10 encoder, (operation, call, multiplications and additions)."""
    x, weight = rng.standard_normal((2048, 200)).astype(np.float32).T, np.ones((128, 2048), np.float32)
    grad = rng.standard_normal((128, 200)).astype(np.float32).T
    work = 2 * x.size * len(weight)
    yield case(ops.linear_forward, (x, weight), work)
    yield case(ops.linear_backward_weight, (grad, x), work)
    yield case(ops.linear_backward_input, (grad, weight), work)


def measure(names, repeats):
    """All rows of the table, and the ceilings."""
    rng = np.random.default_rng(0)
    peak, bandwidth = ceilings(repeats)
    rows = []

    def add(layer, operation, ms, gflop_per_s=None, gbyte_per_s=None):
        fraction = gflop_per_s / peak if gflop_per_s else gbyte_per_s / bandwidth
        rows.append({"layer": layer, "operation": operation, "ms": ms, "gflop_per_s": gflop_per_s,
                     "gbyte_per_s": gbyte_per_s, "fraction_of_ceiling": fraction})  # fmt: skip
        rate = f"{gflop_per_s:7.1f} GFLOP/s" if gflop_per_s else f"{gbyte_per_s:7.1f} GB/s   "
        print(f"{layer:14} {operation:24} {ms:9.3f} ms {rate} {100 * fraction:6.1f} %", flush=True)

    for name in names:
        for operation, call, work in convolution_cases(rng, name):
            ms = milliseconds(call, repeats)
            add(name, operation, ms, gflop_per_s=work / ms / 1e6)
        for operation, call, moved in pointwise_cases(rng, name):
            ms = milliseconds(call, repeats)
            add(name, operation, ms, gbyte_per_s=moved / ms / 1e6)
    for operation, call, work in dense_cases(rng):
        ms = milliseconds(call, repeats)
        add("dense", operation, ms, gflop_per_s=work / ms / 1e6)
    param, grad, first, second = np.ones((4, 128, 64 * 25), np.float32)
    adam_step = partial(ops.adam_update.on(NUMPY), param, grad, first, second, 1, 1e-4, 0.9, 0.999, 1e-8, 1e-6)
    ms = milliseconds(adam_step, repeats)
    add("cifar10 3", "adam_update", ms, gbyte_per_s=7 * param.nbytes / ms / 1e6)
    return {"gemm_gflop_per_s": peak, "copy_gbyte_per_s": bandwidth, "rows": rows}


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Time every operation on the paper's layer shapes.")
    parser.add_argument("--out", help="write the figures as JSON to this file")
    parser.add_argument("--quick", action="store_true", help="three layers and few repetitions")
    parser.add_argument("--threads", type=int, default=thread_count(), help="threads (default: %(default)s)")
    options = parser.parse_args()
    try:
        with use_threads(options.threads), one_blas_thread():
            result = measure(QUICK if options.quick else CONVOLUTIONS, 3 if options.quick else 15)
    except ValueError as error:
        parser.error(str(error))
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    if options.out:
        write_json(options.out, {**machine, "numpy": np.__version__, "threads": options.threads, **result})


if __name__ == "__main__":
    main()
