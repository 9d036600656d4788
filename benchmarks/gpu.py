"""Everything that a GPU has to show, in one call of five minutes.

    python benchmarks/gpu.py [--only PART ...] [--ladder] [--budget 300] [--out benchmarks/results/gpu.json]

    steps         a training step of the paper's networks: plain launches, captured graph; PyTorch eager, with CUDA
                  graphs and with torch.compile, TF32 off and on
    side by side  the same steps of several models at once, each on a stream of its own
    convolutions  our kernels and cuDNN's, as fractions of what the device's arithmetic and memory permit
    ladder        every rung of the convolutions and the matrix product (`minisvdd bench --ladder` prints the same)
    grid          ten classes of MNIST x seeds, both objectives, protocol `paper`, several models side by side
    tests         all tests marked `gpu`

Each part has a share of the time that is left, says what it skipped, and writes every figure as soon as it has it:
what ends this script early loses nothing. PyTorch is optional. The ladder goes to files of its own beside the others,
`ladder.json` and `ladder.png`; `--ladder` measures that part alone. `--table kernels/README.md` writes the tables
there, with `--only` and no part from the files that there are. By which times a convolution chooses its rung stays as
it was, until `default_rungs.py` is run on the new `ladder.json`. `--backend emulator --quick` runs all of it on small
sizes without a GPU, to test this script.
"""

import argparse
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import zip_longest
from pathlib import Path

import gpu_torch
import numpy as np
from common import renewed

from minisvdd import DeepSVDD, load_dataset
from minisvdd.backends import EmulatorBackend, get_backend
from minisvdd.errors import DataError, one_line
from minisvdd.experiments import ladder
from minisvdd.experiments.experiments import area_under_roc, versions
from minisvdd.experiments.protocols import arguments_of, get_protocol
from minisvdd.files.atomic import atomic_write, write_json
from minisvdd.nn.batches import fixed_batches
from minisvdd.nn.losses import MeanSquaredError, OneClass
from minisvdd.nn.networks import make_autoencoder, make_encoder
from minisvdd.nn.optim import Adam
from minisvdd.nn.steps import DeviceSteps

ROOT = Path(__file__).resolve().parents[1]
MARKERS = "<!-- times of the rungs: written by benchmarks/gpu.py -->", "<!-- end of times -->"
# of the time; what one part leaves over goes to the next ones, the tests take all that is left
SHARES = {"steps": 0.2, "side by side": 0.05, "convolutions": 0.1, "ladder": 0.15, "grid": 0.15, "tests": 0.4}
# name: (network, kind, shape of a sample, batch size)
WORKLOADS = {
    "mnist encoder": ("mnist_lenet", "encoder", (1, 28, 28), 200),
    "mnist autoencoder": ("mnist_lenet", "autoencoder", (1, 28, 28), 200),
    "cifar10 encoder": ("cifar10_lenet", "encoder", (3, 32, 32), 200),
    "cifar10 autoencoder": ("cifar10_lenet", "autoencoder", (3, 32, 32), 200),
}
QUICK_WORKLOADS = {"digits encoder": ("digits_lenet", "encoder", (1, 8, 8), 4)}


class Budget:
    """Seconds that a part may take."""

    def __init__(self, seconds):
        self.deadline = time.monotonic() + seconds
        self.skipped = []

    def seconds_left(self):
        return self.deadline - time.monotonic()

    def allows(self, what, seconds=0.0):
        """Whether there are that many seconds left; otherwise `what` is noted as skipped."""
        if time.monotonic() + seconds < self.deadline:
            return True
        self.skipped.append(what)
        return False


# Steps


def measure_steps(backend, budget, quick, note):
    """Milliseconds per training step, by workload and contender."""
    note(rows := [])
    for name, (network, kind, shape, batch_size) in (QUICK_WORKLOADS if quick else WORKLOADS).items():
        batches = 3 if quick else 50
        X = np.random.default_rng(0).random((batches * batch_size, *shape), dtype=np.float32)
        row = {"workload": name, "batch_size": batch_size, "ms": {}, "failed": {}}
        rows.append(row)
        ours = partial(_our_epoch, backend, network, kind, X, batch_size)
        contenders = {"minisvdd graph": partial(ours, captured=True), "minisvdd plain": partial(ours, captured=False)}
        if backend.name == "cuda":
            on_host = _built(get_backend("numpy"), network, kind, shape)
            contenders |= gpu_torch.step_contenders(on_host, kind, X, batch_size)
        for contender, make in contenders.items():
            needed = gpu_torch.COMPILE_SECONDS if "compile" in contender else 5
            if budget.allows(f"{name}: {contender}", 0 if quick else needed):
                _measure_contender(row, contender, make, batches)
                note(rows)
        print(f"{name}: {row['ms']} {row['failed'] or ''}", flush=True)


def _measure_contender(row, contender, make, batches):
    try:
        epoch = make()
        epoch()
        row["ms"][contender] = round(1000 * min(_timed(epoch) for _ in range(5)) / batches, 4)
    except Exception as error:  # one contender that does not start must not cost the others their figures
        row["failed"][contender] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _built(backend, name, kind, shape):
    network = (make_encoder if kind == "encoder" else make_autoencoder)(name, shape)
    network.build(shape, np.random.default_rng(0), backend=backend)
    return network


def _our_epoch(backend, name, kind, X, batch_size, captured):
    """A function that trains one epoch on X, which lies on the device, and waits for it."""
    return partial(_epoch_of_all, [_our_steps(backend, name, kind, X, batch_size, captured)])


def _our_steps(backend, name, kind, X, batch_size, captured=True):
    """The steps of a new model on X, and the batches of an epoch."""
    network = _built(backend, name, kind, X.shape[1:])
    if kind == "encoder":
        loss = OneClass(backend.asarray(np.full(network.output_shape, 0.1, np.float32)), backend)
    else:
        loss = MeanSquaredError(backend)
    steps = DeviceSteps(network, loss, Adam(network, 1e-4, 1e-6), X, batch_size, captured=captured)
    return steps, [np.arange(len(X))[batch] for batch in fixed_batches(len(X), batch_size)]


def measure_side_by_side(backend, budget, quick, note):
    """Microseconds per step and model, by workload and number of models."""
    note(rows := [])
    for name, (network, kind, shape, batch_size) in (QUICK_WORKLOADS if quick else WORKLOADS).items():
        batches = 3 if quick else 20
        X = np.random.default_rng(0).random((batches * batch_size, *shape), dtype=np.float32)
        models = []
        for count in (1, 2) if quick else (1, 4) if name.startswith("cifar10") else (1, 5, 10, 40):
            if not budget.allows(f"{name} x {count}", 0 if quick else 2):
                continue
            models += [_our_steps(backend, network, kind, X, batch_size) for _ in range(count - len(models))]
            _epoch_of_all(models), _epoch_of_all(models)  # plain, then captured
            seconds = min(_timed(partial(_epoch_of_all, models)) for _ in range(3))
            rows.append({"workload": name, "models": count, "us": round(1e6 * seconds / batches / count, 1)})
            note(rows)
            print(f"side by side: {rows[-1]}", flush=True)


def _epoch_of_all(models):
    for steps, batches in models:
        steps.start(batches)
    for steps, _ in models:
        steps.finish()


# Kernels


def measure_convolutions(backend, budget, quick, note):
    """Our default kernels and cuDNN's: milliseconds, and fractions of the device's ceilings."""
    limits = ceilings(backend)
    note({"ceilings": limits, "rows": (rows := [])})
    for name, sizes in (ladder.QUICK_CONVOLUTIONS if quick else ladder.CONVOLUTIONS).items():
        if not budget.allows(name, 0 if quick else 2):
            continue
        calls, work = ladder.convolution_calls(backend, sizes), ladder.convolution_work(sizes)
        where = ladder.KERNEL, ladder.PADDING
        theirs = gpu_torch.convolution_seconds(sizes, *where) if backend.name == "cuda" else {}
        for operation, call in calls.items():
            ours = ladder.kernel_seconds(backend, partial(call, None), quick)
            row = {"layer": name, "operation": operation, "ms": {"minisvdd": 1000 * ours}, **work}
            if operation in theirs:
                row["ms"] |= {contender: 1000 * seconds for contender, seconds in theirs[operation].items()}
                row["fraction_of_cudnn"] = theirs[operation]["cudnn"] / ours
            if limits:
                row["fraction_of_arithmetic"] = work["flops"] / limits["flops"] / ours
                row["fraction_of_memory"] = work["bytes"] / limits["bytes_per_second"] / ours
            rows.append(row)
            note({"ceilings": limits, "rows": rows})
            print(f"{name} {operation}: {row['ms']}", flush=True)


def measure_ladder(backend, budget, quick, note):
    """Milliseconds of every rung."""
    note(rows := [])
    for row in ladder.measure(backend, quick, budget.allows):
        rows.append(row)
        note(rows)
        times = {rung: ms and round(ms, 4) for rung, ms in row["ms"].items()}
        print(f"{row['layer']} {row['operation']}: {times} {row.get('failed', '')}", flush=True)


def ceilings(backend):
    """What the device can do: float32 operations per second, from its clock and units; bytes per second, by a copy."""
    if backend.name != "cuda":
        return None
    cupy, attributes = backend.cupy, backend.cupy.cuda.Device().attributes
    capability = int(backend.cupy.cuda.Device().compute_capability)
    lanes = 64 if capability in (70, 72, 75, 80) else 128  # float32 units of a multiprocessor
    flops = 2 * lanes * attributes["MultiProcessorCount"] * attributes["ClockRate"] * 1000  # a clock in kHz
    source, target = (cupy.zeros(1 << 25, np.float32) for _ in range(2))
    with backend.stream():
        graph = ladder.captured(backend, [lambda: target.data.copy_from_device_async(source.data, source.nbytes)], 5)
        seconds = statistics.median(ladder.graph_seconds(backend, graph) / 5 for _ in range(5))
    return {"flops": flops, "bytes_per_second": 2 * source.nbytes / seconds}


# The grid


def measure_grid(backend, budget, quick, note, seeds, full, data_dir):
    """Ten classes x seeds x both objectives, the classes of a seed side by side.

    full: all epochs. Otherwise a tenth of them for one seed of each objective, from which the whole is extrapolated.
    """
    data, classes = _grid_data(quick, data_dir)
    options = arguments_of(get_protocol("paper", "mnist"))
    shrink = 1 if full else 10
    if quick:
        shrink, options["batch_size"] = 350, 16
    for name in ("epochs", "pretrain_epochs"):
        options[name] = max(1, options[name] // shrink)
    result = {"data": data, "protocol": "paper", "epochs_divided_by": shrink, "seeds": seeds, "rounds": []}
    for seed in range(seeds if full else 1):
        for objective in ("one-class", "soft-boundary"):
            if not budget.allows(f"grid: seed {seed}, {objective}"):
                continue
            result["rounds"].append(_grid_round(backend, classes, objective, seed, options))
            print(f"grid: {result['rounds'][-1]}", flush=True)
            rounds = result["rounds"]
            whole = shrink * seeds * 2 * statistics.mean(r["seconds"] for r in rounds)
            note({**result, "seconds_for_everything": whole, "is_extrapolated": len(rounds) < 2 * seeds or shrink > 1})


def _grid_round(backend, classes, objective, seed, options):
    network = "digits_lenet" if classes[0].train.shape[2] == 8 else "mnist_lenet"
    options = {
        **options,
        "network": network,
        "preprocessing": "gcn-l1",
        "random_state": seed,
        "verbose": 0,
        "threshold": "nu",
    }
    models = [DeepSVDD(objective, backend=backend, **options) for _ in classes]
    start = time.perf_counter()
    for together in zip_longest(*(model.trainings(split.train) for model, split in zip(models, classes))):
        while not all(training.is_done for training in together):  # each on a stream of its own
            for training in together:
                training.finish_epoch()
                training.start_epoch()
    seconds = time.perf_counter() - start
    auc = [area_under_roc(model, split) for model, split in zip(models, classes)]
    return {"objective": objective, "seed": seed, "models": len(models), "seconds": round(seconds, 2), "auc": auc}


def _grid_data(quick, data_dir):
    """A data set's name and its classes as `Split`s; where MNIST is not found, the digits, repeated to MNIST's size."""
    if not quick:
        try:
            dataset = load_dataset("mnist", data_dir)
            return "mnist", [dataset.one_class(name) for name in dataset.class_names]
        except DataError:
            print("grid: no MNIST here: the digits take its place, scaled up; their AUC means nothing", flush=True)
    digits = load_dataset("digits")
    splits = [digits.one_class(name) for name in digits.class_names]
    if quick:
        return "digits", [replace(s, train=s.train[:20], test=None, is_anomaly=None) for s in splits[:2]]
    return "digits as 28x28", [replace(s, train=_like_mnist(s.train, 6000), test=_like_mnist(s.test)) for s in splits]


def _like_mnist(X, count=None):
    """The images enlarged to 28x28, repeated until they are that many."""
    wide = np.pad(X.repeat(3, axis=2).repeat(3, axis=3), ((0, 0), (0, 0), (2, 2), (2, 2)))
    return wide if count is None else wide[np.arange(count) % len(wide)]


# Tests


def measure_tests(backend, budget, quick, note):
    """All tests marked `gpu`, in a process of their own, as long as there is time; which of them failed."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-rfE", "--tb=line", "-p", "no:cacheprovider"]
    if importlib.util.find_spec("xdist") and not quick:
        command += ["-n", str(min(8, os.cpu_count() or 1))]  # most of the time is the compiler's
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            [*command, *(["tests/gpu"] if quick else [])], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            process.wait(max(1, budget.seconds_left()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            budget.skipped.append("the rest of the tests")
        output.seek(0)
        text = output.read()
    result = outcome(text)
    note({**result, "seconds": round(time.perf_counter() - start, 1), "status": process.returncode})
    print(f"tests: {result}", flush=True)


def outcome(text):
    """What pytest's output says: counts of its last line, names of failures, its last lines where it did not end."""
    lines = text.splitlines()
    counts = {
        word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error|skipped)", lines[-1] if lines else "")
    }
    failures = [line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR ")) and len(line.split()) > 1]
    return {"counts": counts, "failures": failures, **({} if counts else {"output": lines[-20:]})}


# Everything


def draw_ladder(rows, path):
    """A picture: one panel per layer and operation, one bar per rung, logarithmic."""
    from matplotlib.figure import Figure

    columns = 3
    figure = Figure(figsize=(4 * columns, 2 * -(-len(rows) // columns)), layout="constrained")
    axes = figure.subplots(-(-len(rows) // columns), columns, squeeze=False).ravel()
    for axis, row in zip(axes, rows):
        times, best = {rung: ms for rung, ms in row["ms"].items() if ms is not None}, ladder.fastest(row)
        colors = ["tab:orange" if rung == best else "tab:blue" for rung in times]
        axis.barh(list(times), list(times.values()), color=colors)
        axis.set_xscale("log")
        axis.set_title(f"{row['operation']}, {row['layer']}", fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("ms", fontsize=7)
        axis.invert_yaxis()
    for axis in axes[len(rows) :]:
        axis.set_visible(False)
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=80)


def tables(gpu, of_ladder):
    """Markdown of `kernels/README.md`: every rung, and cuDNN where it was measured beside them on the same card."""
    names = {"cudnn": "cuDNN", "cudnn, TF32": "cuDNN, TF32"}
    beside = {}
    if gpu and gpu["device"] == of_ladder["device"]:
        for key, title in names.items():
            rows = [row for row in gpu.get("convolutions", {}).get("rows", []) if key in row["ms"]]
            beside |= {title: {(r["layer"], r["operation"]): r["ms"][key] for r in rows}} if rows else {}
    where = f"{of_ladder['device']}, {of_ladder['date']}{', ' + of_ladder['code'] if 'code' in of_ladder else ''}"
    return f"Microseconds, batches of 200 (one {where}):\n\n{ladder.table(of_ladder['ladder'], beside)}\n"


def write_table(path, text):
    """Replace what stands between the markers of a Markdown file."""
    whole = renewed(path.read_text(encoding="utf-8"), MARKERS, text, path)
    with atomic_write(path) as file:
        file.write(whole)


class Results:
    """The files of a run. Every figure is in them as soon as it is noted."""

    def __init__(self, path, backend, parts):
        self.path, self.files = path, {}
        self.ladder = path.with_name("ladder.json")
        about = {**ladder.device_name(backend), "torch": gpu_torch.version() if backend.name == "cuda" else None}
        about |= {"date": date.today().isoformat(), "versions": versions()}
        for part in parts:
            self.files.setdefault(self._of(part), {**about, "skipped": {}})

    def _of(self, part):
        return self.ladder if part == "ladder" else self.path

    def note(self, part, value):
        """Take the place of what the part had noted before."""
        self.files[self._of(part)][part] = value
        self._write(part)

    def skipped(self, part, what):
        self.files[self._of(part)]["skipped"][part] = what
        self._write(part)

    def _write(self, part):
        write_json(self._of(part), self.files[self._of(part)])


def measure(backend, arguments, results):
    """All parts asked for, each within its share of the time that is left."""
    quick = arguments.quick
    measures = {
        "steps": measure_steps,
        "side by side": measure_side_by_side,
        "convolutions": measure_convolutions,
        "ladder": measure_ladder,
        "grid": partial(measure_grid, seeds=arguments.seeds, full=arguments.full, data_dir=arguments.data_dir),
        "tests": measure_tests,
    }
    parts, end = [part for part in SHARES if part in arguments.only], time.monotonic() + arguments.budget
    for index, part in enumerate(parts):
        share = SHARES[part] / sum(SHARES[p] for p in parts[index:])
        budget, start = Budget(share * (end - time.monotonic())), time.perf_counter()
        try:
            measures[part](backend, budget, quick, partial(results.note, part))
        except Exception as error:  # what stops one part must not cost the others their figures
            budget.skipped.append(f"{type(error).__name__}: {one_line(error)}")
        results.skipped(part, budget.skipped)
        print(f"{part}: {time.perf_counter() - start:.1f} s, skipped: {budget.skipped or 'nothing'}", flush=True)


def summary(result):
    """What matters of all figures, a line each: how many times as fast as the others we are, and which tests failed."""
    for row in result.get("steps", []):
        ms = row["ms"]
        if "minisvdd graph" in ms:
            others = [f"{ms[name] / ms['minisvdd graph']:.1f} x {name}" for name in ms if name.startswith("torch")]
            yield ", ".join([f"{row['workload']}: {ms['minisvdd graph']} ms", *others])
    rows = [row for row in result.get("convolutions", {}).get("rows", []) if "fraction_of_cudnn" in row]
    if rows:
        worst = min(rows, key=lambda row: row["fraction_of_cudnn"])
        where = f"{worst['layer']} {worst['operation']}"
        yield f"convolutions: at least {worst['fraction_of_cudnn']:.2f} x cuDNN, float32 ({where})"
    if "tests" in result:
        yield f"tests: {result['tests']['counts']}, failed: {result['tests'].get('failures') or 'none'}"


def read(path):
    """A file of results, or None."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only",
        nargs="*",
        choices=list(SHARES),
        default=list(SHARES),
        metavar="PART",
        help="some of the parts, or none",
    )
    parser.add_argument("--ladder", dest="only", action="store_const", const=["ladder"], help="the ladder alone")
    parser.add_argument("--backend", choices=["cuda", "emulator"], default="cuda")
    parser.add_argument("--budget", type=float, default=300, help="seconds for all parts together")
    parser.add_argument("--seeds", type=int, default=10, help="seeds of the grid")
    parser.add_argument("--full", action="store_true", help="train the grid in full instead of extrapolating")
    parser.add_argument("--quick", action="store_true", help="small sizes, to test this script")
    parser.add_argument("--data-dir", help="folder with MNIST")
    parser.add_argument("--table", type=Path, help="update the tables between the markers of this Markdown file")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.json"), help="JSON file to write")
    arguments = parser.parse_args()
    if arguments.only:
        backend = EmulatorBackend(check=False) if arguments.backend == "emulator" else get_backend("cuda")
        backend.prepare(print)
        results = Results(arguments.out, backend, arguments.only)
        measure(backend, arguments, results)
        print(*summary(results.files.get(arguments.out, {})), sep="\n")
        print(f"written: {', '.join(map(str, results.files))}")
    of_ladder = read(arguments.out.with_name("ladder.json"))
    if of_ladder and (arguments.table or "ladder" in arguments.only):
        draw_ladder(of_ladder["ladder"], arguments.out.with_name("ladder.png"))
    if arguments.table and of_ladder:
        write_table(arguments.table, tables(read(arguments.out), of_ladder))


if __name__ == "__main__":
    main()
