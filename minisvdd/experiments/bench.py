"""How long a training step and scoring take, side by side with PyTorch where it is installed.

All contenders run in turn in one process, a few steps each, many times over: what slows the machine down for a while
slows them all. Medians are reported. Peak memory is measured in a process of its own for each contender.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..backends import get_backend
from ..backends.threads import use_threads
from ..nn.batches import outputs
from ..nn.losses import MeanSquaredError, OneClass
from ..nn.networks import make_autoencoder, make_encoder
from ..nn.optim import Adam
from ..nn.steps import HostSteps
from ..validation import check_number
from .experiments import versions

_SCORED = 10000


@dataclass(frozen=True)
class Workload:
    """A training step of a network on random images, or (`scoring`) the outputs of 10000 of them.

    affine: batch norm has a scale and a shift, as under the protocol `authors-theano`.
    """

    network: str
    kind: str
    batch_size: int
    input_shape: tuple[int, int, int]
    scoring: bool = False
    affine: bool = False

    @property
    def samples(self) -> int:
        """Images per measured step."""
        return _SCORED if self.scoring else self.batch_size


WORKLOADS = {
    "mnist encoder": Workload("mnist_lenet", "encoder", 200, (1, 28, 28)),
    "mnist autoencoder": Workload("mnist_lenet", "autoencoder", 200, (1, 28, 28)),
    "gtsrb encoder": Workload("gtsrb_lenet", "encoder", 64, (3, 32, 32)),
    "cifar10 encoder": Workload("cifar10_lenet", "encoder", 200, (3, 32, 32)),
    "cifar10 autoencoder": Workload("cifar10_lenet", "autoencoder", 200, (3, 32, 32)),
    "mnist scoring": Workload("mnist_lenet", "encoder", 200, (1, 28, 28), scoring=True),
}
OURS = "minisvdd"
TORCH = ("torch", "torch channels_last")


def measure(
    names: list[str] | None = None,
    *,
    backend: str = "numpy",
    versus_torch: bool = False,
    threads: int = 1,
    rounds: int = 15,
    memory: bool = False,
    report: Callable[[str], None] = print,
) -> dict:
    """Time the workloads of these names (default: all). Returns plain JSON values, milliseconds and megabytes.

    versus_torch: beside PyTorch eager in both of its memory formats (ImportError when it is missing); "ratio" is then
        ours over the better of the two.   rounds: how often each contender gets its turn.
    Raises ValueError for an unknown workload or a number of threads or rounds below 1.
    """
    names = list(WORKLOADS) if names is None else names
    for name in names:
        if name not in WORKLOADS:
            raise ValueError(f"workload {name!r}: expected one of {', '.join(WORKLOADS)}")
    for argument, value in (("threads", threads), ("rounds", rounds)):
        check_number(value, argument, 1, integer=True)
    contenders = [OURS, *(TORCH if versus_torch else ())]
    rows = []
    for name in names:
        row = {"workload": name, **_measure_one(WORKLOADS[name], contenders, backend, threads, rounds)}
        if memory:
            row["peak_mb"] = {c: _peak_memory(name, c, backend, threads) for c in contenders[: 1 + versus_torch]}
        rows.append(row)
        report(format_row(row))
    return {
        "threads": threads,
        "rounds": rounds,
        "machine": machine(),
        "versions": _versions(versus_torch),
        "rows": rows,
    }


def format_row(row: dict) -> str:
    """One line of the table."""
    times = "   ".join(f"{contender} {ms:8.2f} ms" for contender, ms in row["ms"].items())
    ratio = f"   ratio {row['ratio']:.2f}" if "ratio" in row else ""
    memory = "".join(f"   {contender} {mb:.0f} MB" for contender, mb in row.get("peak_mb", {}).items())
    return f"{row['workload']:20} {times}{ratio}{memory}"


def machine() -> dict:
    """Processor and system, as far as the standard library knows."""
    return {"processor": platform.processor() or platform.machine(), "system": platform.system()}


def _versions(versus_torch):
    found = versions()
    if versus_torch:
        import torch

        found["torch"] = torch.__version__
    return found


def _measure_one(workload, contenders, backend, threads, rounds):
    with threadpool_limits(threads), use_threads(threads):
        steps = {c: make_step(workload, c, backend, threads) for c in contenders}
        repeats = {c: _repeats(step) for c, step in steps.items()}
        times = {c: [] for c in contenders}
        for _ in range(rounds):
            for contender, step in steps.items():
                step()  # caches and thread pools are the other's: not counted
                for _ in range(repeats[contender]):
                    start = time.perf_counter()
                    step()
                    times[contender].append(1000 * (time.perf_counter() - start))
    ms = {c: round(statistics.median(values), 3) for c, values in times.items()}
    row = {"batch_size": workload.samples, "ms": ms}
    if len(ms) > 1:
        row["ratio"] = round(ms[OURS] / min(ms[c] for c in TORCH), 3)
    return row


def _repeats(step):
    """About a tenth of a second for each turn, at least two steps."""
    step()
    start = time.perf_counter()
    step()
    return max(2, min(20, int(0.1 / (time.perf_counter() - start))))


def make_step(workload: Workload, contender: str, backend: str, threads: int) -> Callable[[], Any]:
    """A function without arguments that does one step of a workload; the network is built here.

    contender: `OURS` or one of `TORCH`.   threads: of PyTorch; for our own open `use_threads` around the steps.
    """
    X = np.random.default_rng(0).random((workload.samples, *workload.input_shape), dtype=np.float32)
    make = make_encoder if workload.kind == "encoder" else make_autoencoder
    network = make(workload.network, workload.input_shape, affine=workload.affine)
    network.build(workload.input_shape, np.random.default_rng(0), backend=get_backend(backend))
    if contender == OURS:
        return _our_step(workload, network, X)
    return _torch_step(workload, network, X, threads, contender == "torch channels_last")


def _our_step(workload, network, X):
    if workload.scoring:
        return lambda: outputs(network, X)
    backend, loss = network.backend, MeanSquaredError(network.backend)
    if workload.kind == "encoder":
        loss = OneClass(backend.asarray(np.full(network.output_shape, 0.1, np.float32)), backend)
    steps = HostSteps(network, loss, Adam(network, 1e-4, 1e-6), backend.asarray(X))

    def step():
        steps.step(slice(None))
        backend.synchronize()

    return step


def _torch_step(workload, network, X, threads, channels_last):
    import torch

    from .torch_twin import twin_of

    torch.set_num_threads(threads)
    module, x = twin_of(network), torch.tensor(X)
    if channels_last:
        module, x = module.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    if workload.scoring:
        module.eval()
        return lambda: _torch_outputs(module, x)
    optimizer = torch.optim.Adam(module.parameters(), 1e-4, weight_decay=1e-6)
    target = 0.1 if workload.kind == "encoder" else x

    def step():
        optimizer.zero_grad()
        ((module(x) - target) ** 2).sum().div(len(x)).backward()
        optimizer.step()

    return step


def _torch_outputs(module, x):
    import torch

    with torch.inference_mode():
        return torch.cat([module(part) for part in x.split(500)]).numpy()


def _peak_memory(name, contender, backend, threads):
    """Peak resident memory, in MB, of a process that runs ten steps of one contender and nothing else."""
    code = (
        f"from minisvdd.experiments.running.lifeline import tie_to; tie_to({os.getpid()}); "
        f"from minisvdd.experiments.bench import run_alone; run_alone({name!r}, {contender!r}, {backend!r}, {threads})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def run_alone(name: str, contender: str, backend: str, threads: int) -> None:
    """Ten steps of one contender, then print the peak resident memory of this process in MB."""
    with threadpool_limits(threads), use_threads(threads):
        step = make_step(WORKLOADS[name], contender, backend, threads)
        for _ in range(10):
            step()
    print(round(_peak_kilobytes() / 1024, 1))


def _peak_kilobytes():
    """Linux's own count where there is one: getrusage's starts at what the parent process had before the fork."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))
    except (OSError, StopIteration):
        import resource  # not on every system

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1024 if sys.platform == "darwin" else peak  # bytes there, kilobytes elsewhere
