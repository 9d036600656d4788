"""Break the Python code in every small way that programmers break it, and see whether the tests notice.

    python tests/mutants/python_mutants.py --out tests/mutants/python_mutants.json [--count 560]
    python tests/mutants/python_mutants.py --renew --out ...      after the code has changed: anew what no longer stands
    python tests/mutants/python_mutants.py --again --out ...      only the survivors in that file, as after a new test
    python tests/mutants/python_mutants.py --sample 10 --out ...  some of the killed ones again: are they still killed?
    python tests/mutants/python_mutants.py --files ops/losses.py --count 40            a look at one file

A mutant is one edit of one place (`edits.py`): an operator, a number, a bound, a dropped term or statement, exchanged
arguments ... The places are drawn from all there are, with a fixed seed, in turn from each kind of edit. A mutant is
written into a copy of the package in a temporary folder, never into this one; the tests that belong to its file run
against the copy until one fails, those of the NumPy backend first, slow ones only where a file of tests has no others.
Survivors are listed with the reason why no test can tell them from the original, in `equivalent.py`.

An outcome is kept as long as the line that it edits stands in its file. `--renew` drops the others and draws as many
new mutants of these files, and a few of each file that has none yet.
"""

import os

os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import ast
import compileall
import json
import multiprocessing
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "support"))

import recorded_mutants as recorded
from edits import Edit, by_kind, edits
from equivalent import EQUIVALENT
from tests_of_files import TESTS

ROOT = Path(__file__).resolve().parents[2]
# Loaded once and inherited by every test run; nothing of minisvdd, of which each run has its own copy.
_PRELOADED = ("numpy", "scipy.optimize", "sklearn.datasets", "sklearn.svm", "hypothesis", "threadpoolctl", "matplotlib")
_FEWEST = 6  # mutants of a file
_KERNEL_TESTS = (
    "backends/test_cuda", "backends/test_emulator", "backends/test_training", "kernels/", "launch", "test_device_steps",
    "test_fusion",
)  # fmt: skip
_MEMORY = 12 << 30  # bytes of addresses that a run may have: a test maps a file of 8 GB, mostly a hole


@dataclass(frozen=True)
class Mutant:
    """One edit of one file, whose path is relative to the package."""

    file: str
    edit: Edit

    def describe(self) -> dict:
        """What is recorded of it."""
        line, before, after = self.edit.lines(source_of(self.file))
        return {"file": self.file, "line": line, "kind": self.edit.kind, "before": before, "after": after}


@cache
def source_of(file: str) -> bytes:
    """The source of a file of the package."""
    return (ROOT / "minisvdd" / file).read_bytes()


def text_of(file: str) -> str:
    """The same as text; "" for a file that is gone."""
    return source_of(file).decode() if (ROOT / "minisvdd" / file).exists() else ""


@cache
def kernel_lines(file: str) -> frozenset[int]:
    """The lines of a file that run on a kernel backend only."""
    return frozenset(lines_for_kernels(source_of(file)))


def lines_for_kernels(source: bytes) -> set[int]:
    """Of readings that launch kernels (`@operation.launch`), of functions and branches for kernel backends."""
    lines = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.If) and ast.unparse(node.test) in (
            "not backend.runs_numpy",
            "not self.backend.runs_numpy",
        ):
            lines.update(range(node.body[0].lineno, node.body[-1].end_lineno + 1))
        elif isinstance(node, ast.FunctionDef) and _is_launch(node):
            lines.update(range(node.lineno, node.end_lineno + 1))
    return lines


def _is_launch(function):
    text = ast.unparse(function)
    registered = any(isinstance(d, ast.Attribute) and d.attr == "launch" for d in function.decorator_list)
    return registered or ("backend.launch(" in text and "runs_numpy" not in text)


@cache
def drawn(file: str) -> tuple[Mutant, ...]:
    """All mutants of a file in the order in which they are drawn: from each kind of edit in turn.

    Each file is drawn from with a seed of its own, so that an edit of one file leaves the mutants of the others.
    """
    rng, groups, chosen = random.Random(file), list(by_kind(edits(source_of(file)))), []
    for group in groups:
        rng.shuffle(group)
    rng.shuffle(groups)
    while any(groups):
        chosen += [Mutant(file, group.pop()) for group in groups if group]
    return tuple(chosen)


def draw(count: int, files=tuple(TESTS)) -> list[Mutant]:
    """About `count` mutants of all files, those of `files`: more from longer ones."""
    weights = {file: len(source_of(file)) ** 0.5 for file in TESTS}
    wanted = {file: max(_FEWEST, round(count * weights[file] / sum(weights.values()))) for file in files}
    return [mutant for file in files for mutant in drawn(file)[: wanted[file]]]


def renewal(rows: list[dict], files=tuple(TESTS)) -> list[Mutant]:
    """As many new mutants of each file as rows of it no longer stand, and for `_FEWEST` of each in all."""
    gone, chosen = recorded.stale(rows, text_of), []
    for file in files:
        before = [row for row in rows if row["file"] == file]
        standing = {recorded.key(row) for row in before if row not in gone}
        fresh = [mutant for mutant in drawn(file) if recorded.key(mutant.describe()) not in standing]
        chosen += fresh[: max(_FEWEST, len(before)) - len(standing)]
    return chosen


def find(rows: list[dict]) -> list[Mutant]:
    """The mutants of these rows; what is stale among them is left out."""
    wanted = {recorded.key(row) for row in rows}
    files = dict.fromkeys(row["file"] for row in rows if text_of(row["file"]))
    mutants = {recorded.key(mutant.describe()): mutant for file in files for mutant in drawn(file)}
    return [mutant for which, mutant in mutants.items() if which in wanted]


# One run of tests, in a process of its own


class _Watcher:
    """A pytest plugin: orders the tests, or keeps those that are `chosen`, if any; writes down the first failure."""

    def __init__(self, report: Path, in_kernels: bool, chosen: frozenset[str]):
        self.report, self.in_kernels, self.chosen = report, in_kernels, chosen

    def pytest_collection_modifyitems(self, items):
        """What may see the edit: kernels, or everything with the few tests of kernels last that are quick enough."""

        def runs_kernels(item):
            return "emulator" in item.name or any(word in item.nodeid for word in _KERNEL_TESTS)

        with_quick = {item.path for item in items if not item.get_closest_marker("slow")}
        items[:] = [item for item in items if item.path not in with_quick or not item.get_closest_marker("slow")]
        if found := [item for item in items if item.nodeid in self.chosen]:
            items[:] = found
        elif self.in_kernels:
            items[:] = list(filter(runs_kernels, items)) or items
        else:
            items[:] = [item for item in items if not (runs_kernels(item) and "test_layer" in item.nodeid)]
            items.sort(key=runs_kernels)

    def _write(self, report):
        if report.failed and not self.report.exists():
            self.report.write_text(report.nodeid)

    pytest_runtest_logreport = pytest_collectreport = _write


def run_tests(package: Path, tests: list[str], report: Path, seconds: int, watcher: _Watcher) -> None:
    """Child process: exit with pytest's status. `package`: folder that holds the minisvdd to test."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    with open(report.with_suffix(".log"), "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ["PYTHONPATH"] = str(package)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(package / "hypothesis")
    sys.path[:0] = [str(package)]
    sys.dont_write_bytecode = True
    os.chdir(ROOT)
    options = ["-x", "-q", "--hypothesis-seed=0", "-p", "no:cacheprovider", f"--basetemp={report.with_suffix('.tmp')}"]
    status = pytest.main([*options, *(f"tests/{name}" for name in tests)], plugins=[watcher])
    sys.stdout.flush()
    os._exit(int(status))


class Run:
    """A run of tests in a child process; `outcome()` once it has ended."""

    def __init__(self, package: Path, tests: list[str], limit: int, in_kernels: bool = False, chosen=frozenset()):
        self.report, self.limit = package / "failed", limit
        watcher = _Watcher(self.report, in_kernels, frozenset(chosen))
        shutil.rmtree(package / "hypothesis", ignore_errors=True)
        self.report.unlink(missing_ok=True)
        self.started, self.cpu_before = time.monotonic(), _children_cpu()
        self.process = multiprocessing.get_context("fork").Process(
            target=run_tests, args=(package, tests, self.report, limit, watcher)
        )
        self.process.start()

    def wait(self) -> tuple[str, str]:
        """("survived", "") or ("killed", by what)."""
        for _ in range(60 + 10 * self.limit):  # seconds in which this process was not stopped itself
            self.process.join(1)
            if self.process.exitcode is not None:
                break
        else:  # it waits for something: CPU time is limited in `run_tests`
            for process in [*_descendants(self.process.pid), self.process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self.process.join()
        self.seconds, status = _children_cpu() - self.cpu_before, self.process.exitcode
        if status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return "survived", ""
        if self.report.exists():
            return "killed", self.report.read_text()
        if status in (-signal.SIGKILL, -signal.SIGXCPU):
            return "killed", "runs for ever"
        return "killed", f"ends the process: {signal.Signals(-status).name if status < 0 else f'status {status}'}"


def _descendants(process):
    """The numbers of all processes that it has started, and they (where there is /proc)."""
    children = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == process:
                children.append(int(path.parent.name))
    return [found for child in children for found in (*_descendants(child), child)]


def _children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# All of them


def copy_package(folder: Path) -> Path:
    """A copy of the package, compiled, its kernels, and results that lectures read; what its tests need is imported."""
    for module in _PRELOADED:
        __import__(module)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("minisvdd", "kernels", "benchmarks/results"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    compileall.compile_dir(folder / "minisvdd", quiet=2)
    return folder


def write(package: Path, file: str, source: bytes) -> None:
    """Put a source into the copy; what was compiled of the old one is removed."""
    path = package / "minisvdd" / file
    path.write_bytes(source)
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def run_file(package: Path, mutants: list[Mutant], report) -> list[dict]:
    """The outcomes of the mutants of one file. RuntimeError if its tests fail without any edit."""
    file, results = mutants[0].file, []
    whole = Run(package, TESTS[file], 600)
    if (outcome := whole.wait())[0] == "killed":
        raise RuntimeError(f"the tests of {file} fail without any edit: {outcome[1]}")
    report(f"{file}: its tests take {whole.seconds:.1f} s of CPU time")
    for mutant in mutants:
        with planted(package, mutant):
            in_kernels = mutant.describe()["line"] in kernel_lines(file)
            run = Run(package, TESTS[file], 15 + 3 * int(whole.seconds), in_kernels)
            outcome, by = run.wait()
        results.append(explained({**mutant.describe(), "outcome": outcome, "by": by, "seconds": round(run.seconds, 1)}))
        report(as_line(results[-1]))
    return results


@contextmanager
def planted(package: Path, mutant: Mutant):
    """With the edit in the copy of the package, and without it afterwards."""
    write(package, mutant.file, mutant.edit.apply(source_of(mutant.file)))
    try:
        yield
    finally:
        write(package, mutant.file, source_of(mutant.file))


def as_line(result: dict) -> str:
    """One outcome for people."""
    return "{outcome:10} {seconds:5.1f}s {file}:{line} {kind:10} {after:.100}  {by:.80}".format(**result)


def run_recorded(package: Path, rows: list[dict], report) -> list[dict]:
    """The rows with today's outcomes: first by the test that killed each one, then by all tests of its file.

    RuntimeError if one of those tests fails without any edit.
    """
    killers = {row["by"] for row in rows if (ROOT / row["by"].split("::")[0]).is_file()}
    if killers:
        outcome, by = Run(package, sorted({_file_of(killer) for killer in killers}), 600, chosen=killers).wait()
        if outcome == "killed":
            raise RuntimeError(f"fails without any edit: {by}")
    results, by_key = [], {recorded.key(row): row for row in rows}
    for mutant in find(rows):
        row = by_key[recorded.key(mutant.describe())]
        with planted(package, mutant):
            results.append({**row, **mutant.describe(), **_killed_again(package, row)})
        report(as_line(results[-1]))
    return results


def _killed_again(package, row):
    nearest = [[_file_of(row["by"])]] if (ROOT / row["by"].split("::")[0]).is_file() else []
    for tests in [*nearest, TESTS.get(row["file"], [])]:
        run = Run(package, tests, 600, chosen={row["by"]})
        outcome, by = run.wait()
        if outcome == "killed":
            break
    return {"outcome": outcome, "by": by, "seconds": round(run.seconds, 1)}


def _file_of(test):
    """The file of a test, in tests/."""
    return test.split("::")[0].removeprefix("tests/")


def reason_key(result: dict) -> tuple[str, str]:
    """Under which a reason stands in `EQUIVALENT`: the edited line, or the one that was dropped."""
    after = result["after"]
    return result["file"], f"{result['before']} -> pass" if after.split("  #")[0] == "pass" else after


def explained(result: dict) -> dict:
    """A survivor whose reason is known is "equivalent"."""
    why = EQUIVALENT.get(reason_key(result))
    if result["outcome"] != "killed" and why:
        return {**result, "outcome": "equivalent", "by": why}
    return result


def survivors(path: Path, files: list[str]) -> list[Mutant]:
    """Those of the mutants of these files that survived in a file of results."""
    return find([row for row in load(path) if row["outcome"] == "survived" and row["file"] in files])


def merge(old: list[dict], new: list[dict], files: list[str]) -> list[dict]:
    """New outcomes in place of old ones of the same mutants; of `files` and of unknown files, what is stale goes."""
    gone = recorded.stale([row for row in old if row["file"] in files or row["file"] not in TESTS], text_of)
    merged = {recorded.key(row): row for row in [*(row for row in old if row not in gone), *new]}
    rows = [explained({**row, "line": recorded.line_of(row, text_of(row["file"]))}) for row in merged.values()]
    return sorted(rows, key=lambda r: (r["file"], r["line"], r["kind"], r["after"]))


def summary(results: list[dict]) -> dict:
    """How many of each outcome, the share killed of those that change anything, and the CPU time."""
    count = {name: sum(r["outcome"] == name for r in results) for name in ("killed", "survived", "equivalent")}
    share = count["killed"] / max(1, count["killed"] + count["survived"])
    return {"mutants": len(results), **count, "share_killed": round(share, 4), "cpu_seconds": cpu_seconds(results)}


def cpu_seconds(results: list[dict]) -> int:
    """CPU time of all runs on mutants."""
    return round(sum(r["seconds"] for r in results))


def load(path: Path) -> list[dict]:
    """The results in a file, none in one that is not there."""
    return json.loads(path.read_text())["results"] if path.exists() else []


def save(path: Path, results: list[dict]) -> None:
    """Write results with their summary."""
    path.write_text(json.dumps({**summary(results), "results": results}, indent=1) + "\n")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Mutation test of the Python code.")
    parser.add_argument("--count", type=int, default=560, help="mutants (default: %(default)s)")
    parser.add_argument("--files", nargs="+", choices=list(TESTS), default=list(TESTS), help="only of these files")
    parser.add_argument("--kinds", nargs="+", help="only these kinds of edit")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--again", action="store_true", help="only the survivors in the file --out")
    which.add_argument("--renew", action="store_true", help="new ones for those in --out whose line is gone")
    which.add_argument("--drop", action="store_true", help="only take from --out what no longer stands; run nothing")
    which.add_argument("--sample", type=int, metavar="N", help="check N of the killed ones in --out; write nothing")
    parser.add_argument("--seed", default=recorded.seed_of_today(), help="of the sample (default: %(default)s)")
    parser.add_argument(
        "--slowest", type=float, default=10, help="seconds of CPU time once taken (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="JSON file to write; with --files, --again, --renew: to update")
    options = parser.parse_args()
    if (options.again or options.renew or options.drop or options.sample) and not options.out:
        parser.error("--again, --renew, --drop and --sample need --out")
    return options


def chosen(options: argparse.Namespace) -> list[Mutant]:
    """The mutants that the options ask for."""
    if options.again:
        mutants = survivors(options.out, options.files)
    elif options.drop:
        mutants = []
    elif options.renew:
        mutants = renewal(load(options.out), options.files)
    else:
        mutants = draw(options.count, options.files)
    return [mutant for mutant in mutants if not options.kinds or mutant.edit.kind in options.kinds]


def check_sample(options: argparse.Namespace) -> int:
    """Run some of the killed ones again; exit status 1 if one survives."""
    rows = [row for row in load(options.out) if row["file"] in options.files]
    rows = recorded.sample(rows, options.sample, options.seed, options.slowest)
    for row in recorded.stale(rows, text_of):
        print(f"no longer stands: {row['file']}: {row['before']}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        results = run_recorded(copy_package(Path(folder)), rows, lambda line: print(line, flush=True))
    alive = sum(result["outcome"] != "killed" for result in results)
    print(f"{len(results) - alive} of {len(rows)} killed: {recorded.how_to_repeat(options.seed)}")
    return int(alive > 0 or len(results) < len(rows))


def main() -> int:
    """Command line; exit status 1 when less than 95 % were killed."""
    options = parse()
    if options.sample:
        return check_sample(options)
    mutants, results = chosen(options), []
    everything = not (options.again or options.renew or options.drop) and set(options.files) == set(TESTS)
    old = [] if everything or not options.out else load(options.out)
    if mutants:
        with tempfile.TemporaryDirectory() as folder:
            package = copy_package(Path(folder))
            for file in dict.fromkeys(mutant.file for mutant in mutants):
                of_file = [mutant for mutant in mutants if mutant.file == file]
                results += run_file(package, of_file, lambda line: print(line, flush=True))
                if options.out:
                    save(options.out, merge(old, results, list({result["file"] for result in results})))
    if options.renew or options.drop:
        save(options.out, merge(old, results, options.files))
    print(json.dumps(summary(results)))
    return 0 if not results or summary(results)["share_killed"] >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
