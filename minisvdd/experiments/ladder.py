"""Every rung of convolution and matrix product, on the paper's layers: `minisvdd bench --ladder`, `benchmarks/gpu.py`.

GPU times are taken from captured graphs, with the second-level cache flushed before every launch: neither Python nor a
warm cache is measured. On the emulator a time says how long a C++ program takes, and nothing about a GPU.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..backends import KernelBackend, KernelError
from ..errors import one_line
from ..ops import linear
from ..ops.conv2d import launch as conv2d_launch

# name: (batch, channels, side, filters): 5 x 5, padding 2
CONVOLUTIONS = {
    "mnist 1": (200, 1, 28, 8),
    "mnist 2": (200, 8, 14, 4),
    "cifar10 1": (200, 3, 32, 32),
    "cifar10 2": (200, 32, 16, 64),
    "cifar10 3": (200, 64, 8, 128),
}
# name: (rows, columns, inner)
PRODUCTS = {"mnist dense": (200, 32, 196), "cifar10 dense": (200, 128, 2048)}
QUICK_CONVOLUTIONS, QUICK_PRODUCTS = {"small": (1, 8, 8, 32)}, {"small": (3, 5, 17)}  # a forward pass by every rung
KERNEL, PADDING = (5, 5), (2, 2)
CONVOLUTION_RUNGS = (
    "naive",
    "coalesced",
    "tiled",
    "register_blocked",
    "halo",
    "rows",
    "tensor",
    "corrected",
    "tf32",
)
PRODUCT_RUNGS = ("naive", "coalesced", "tiled", "register_blocked", "split", "quarters")
RUNGS = tuple(dict.fromkeys(CONVOLUTION_RUNGS + PRODUCT_RUNGS))
LESS_ACCURATE = ("tf32",)  # no default: with ten bits behind the point, only on request
OPERATIONS = ("forward", "backward input", "backward weight")
_LAUNCHES = 20  # in a graph


def measure(
    backend: KernelBackend, quick: bool = False, allows: Callable[[str, float], bool] = lambda what, seconds: True
) -> Iterator[dict[str, Any]]:
    """Milliseconds of every rung: {"layer", "operation", "ms": {rung: ms}}, one row after the other.

    A rung that is not for a layer has None; what else went wrong is told under "failed", and costs the others nothing.
    quick: small sizes.   allows: (what, seconds) -> whether there is time.
    """
    for name, sizes in (QUICK_CONVOLUTIONS if quick else CONVOLUTIONS).items():
        for operation, call in convolution_calls(backend, sizes).items():
            yield _row(backend, quick, allows, name, operation, CONVOLUTION_RUNGS, call)
    for name, (rows, columns, inner) in (QUICK_PRODUCTS if quick else PRODUCTS).items():
        a, b = (backend.asarray(_random(*shape)) for shape in ((rows, inner), (inner, columns)))
        call = partial(_product, backend, a, b)
        yield _row(backend, quick, allows, name, "matmul", PRODUCT_RUNGS, call)


def _row(
    backend: KernelBackend,
    quick: bool,
    allows: Callable[[str, float], bool],
    layer: str,
    operation: str,
    rungs: Sequence[str],
    call: Callable[[str], Any],
) -> dict[str, Any]:
    ms: dict[str, float | None] = {}
    failed = {}
    for rung in rungs:
        if allows(f"{layer} {operation} {rung}", 0 if quick else 1):
            try:
                ms[rung] = 1000 * kernel_seconds(backend, partial(call, rung), quick)
            except (KernelError, ValueError):  # there is no such rung, or it is not for this layer
                ms[rung] = None
            except Exception as error:  # of the compiler or the driver, whose errors have no common name
                failed[rung] = f"{type(error).__name__}: {one_line(error)}"
    return {"layer": layer, "operation": operation, "ms": ms, **({"failed": failed} if failed else {})}


def convolution_calls(
    backend: KernelBackend, sizes: tuple[int, int, int, int]
) -> dict[str, Callable[[str | None], Any]]:
    """The three operations of a layer, as functions of the rung; None takes the default."""
    N, C, side, K = sizes
    x, weight, y = (backend.asarray(_random(*s)) for s in ((N, C, side, side), (K, C, *KERNEL), (N, K, side, side)))
    options = (1, 1), PADDING
    calls: tuple[Callable[[str | None], Any], ...] = (
        partial(conv2d_launch.forward, backend, x, weight, *options),
        partial(conv2d_launch.backward_input, backend, y, weight, (side, side), *options),
        partial(conv2d_launch.backward_weight, backend, y, x, KERNEL, *options),
    )
    return dict(zip(OPERATIONS, calls))


def convolution_work(sizes: tuple[int, int, int, int]) -> dict[str, int]:
    """Multiplications and additions, and the bytes that must move at least: the same for all three operations."""
    N, C, side, K = sizes
    taps = C * KERNEL[0] * KERNEL[1]
    return {"flops": 2 * N * K * side**2 * taps, "bytes": 4 * (N * side**2 * (C + K) + K * taps)}


def _product(backend: KernelBackend, a: Any, b: Any, rung: str) -> Any:
    return linear.matmul(backend, a, b, rung=rung)


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def device_name(backend: Any) -> dict[str, Any]:
    """The GPU's name, driver and CuPy; or that it was the emulator."""
    if backend.name != "cuda":
        return {"device": f"{backend.name} (no GPU)"}
    cupy = backend.cupy
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return {
        "device": properties["name"].decode(),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "cupy": cupy.__version__,
    }


# Times


def kernel_seconds(backend: Any, call: Callable[[], Any], quick: bool = False) -> float:
    """Seconds of the launches that `call` makes, with a cold second-level cache; the median of five measurements."""
    repeats = 1 if quick else _LAUNCHES
    call()  # builds and loads
    if backend.name != "cuda":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    backend.synchronize()
    with backend.stream():
        flush = _flusher(backend)
        both, flushes = (captured(backend, steps, repeats) for steps in ((flush, call), (flush,)))
        times = [(graph_seconds(backend, both) - graph_seconds(backend, flushes)) / repeats for _ in range(5)]
    return statistics.median(times)


def _flusher(backend: Any) -> Callable[[], None]:
    size = 2 * backend.cupy.cuda.Device().attributes["L2CacheSize"]
    buffer = backend.zeros(max(size, 1 << 20), np.uint8)
    return lambda: buffer.data.memset_async(0, buffer.nbytes)


def captured(backend: Any, steps: Sequence[Callable[[], Any]], repeats: int) -> Any:
    """A graph of the steps, so often one behind the other; it has been launched once."""
    with backend.capture() as graph:
        for _ in range(repeats):
            for step in steps:
                step()
    graph.launch()
    backend.synchronize()
    return graph


def graph_seconds(backend: Any, graph: Any) -> float:
    """Seconds of one launch of a graph, by the device's clock."""
    events = [backend.cupy.cuda.Event() for _ in range(2)]
    events[0].record()
    graph.launch()
    events[1].record()
    events[1].synchronize()
    return float(backend.cupy.cuda.get_elapsed_time(*events)) / 1000


# Tables


def fastest(row: dict[str, Any]) -> str | None:
    """The fastest rung of a row that has float32's accuracy; None where nothing was measured."""
    times = {rung: ms for rung, ms in row["ms"].items() if ms is not None and rung not in LESS_ACCURATE}
    return min(times, key=times.__getitem__) if times else None


def table(rows: Sequence[dict[str, Any]], beside: dict[str, dict[tuple[str, str], float]] | None = None) -> str:
    """Markdown, microseconds; the fastest rung of float32's accuracy in bold.

    beside: more columns, by their titles: milliseconds by (layer, operation), such as another library's.
    """
    beside = beside or {}
    lines = []
    for rungs in (CONVOLUTION_RUNGS, PRODUCT_RUNGS):
        mine = [row for row in rows if (row["operation"] == "matmul") == (rungs is PRODUCT_RUNGS)]
        if not mine:
            continue
        more = beside if rungs is CONVOLUTION_RUNGS else {}
        lines += ["", *_head(["layer", "operation", *(rung.replace("_", "-") for rung in rungs), *more])]
        for row in mine:
            best = fastest(row)
            cells = [_cell(row["ms"], rung, rung == best) for rung in rungs]
            others = [_microseconds(column.get((row["layer"], row["operation"]))) for column in more.values()]
            lines.append(f"| {row['layer']} | {row['operation']} | {' | '.join(cells + others)} |")
    return "\n".join(lines[1:])


def _head(titles: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(titles)} |", f"|---|---|{'--:|' * (len(titles) - 2)}"]


def _cell(ms: dict[str, float | None], rung: str, is_best: bool) -> str:
    if rung not in ms:
        return "not measured"
    text = _microseconds(ms[rung])
    return f"**{text}**" if is_best else text


def _microseconds(ms: float | None) -> str:
    """Three digits; a dash for a rung that is not for this layer."""
    return "–" if ms is None else f"{1000 * ms:.0f}" if ms >= 0.1 else f"{1000 * ms:.1f}"
