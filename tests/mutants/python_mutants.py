"""Break the Python code in every small way that programmers break it, and see whether the tests notice.

    python tests/mutants/python_mutants.py --out tests/mutants/python_mutants.json [--count 560] [--jobs 1]
    python tests/mutants/python_mutants.py --again --out ...     only the survivors in that file, as after a new test
    python tests/mutants/python_mutants.py --files ops/conv2d.py --count 40            a look at one file

A mutant is one edit of one place (`edits.py`): an operator, a number, a bound, a dropped term or statement, exchanged
arguments ... The places are drawn from all there are, with a fixed seed, in turn from each kind of edit. A mutant is
written into a copy of the package in a temporary folder, never into this one; the tests that belong to its file run
against the copy until one fails, those of the NumPy backend first. Survivors are listed with the reason why no test can
tell them from the original, in `equivalent.py`.
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
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from edits import Edit, by_kind, edits
from equivalent import EQUIVALENT
from tests_of_files import TESTS

ROOT = Path(__file__).resolve().parents[2]
# Loaded once and inherited by every test run; nothing of minisvdd, of which each run has its own copy.
_PRELOADED = ("numpy", "scipy.optimize", "sklearn.datasets", "sklearn.svm", "hypothesis", "threadpoolctl", "matplotlib")
_FEWEST = 6  # mutants of a file
_KERNEL_TESTS = ("backends/", "kernels/", "test_recorded", "test_fusion")
_MEMORY = 6 << 30  # bytes of address space of a run


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


@cache
def kernel_lines(file: str) -> frozenset[int]:
    """The lines of a file that run on a kernel backend only."""
    lines = set()
    for node in ast.walk(ast.parse(source_of(file))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "not backend.runs_numpy":
            lines.update(range(node.body[0].lineno, node.end_lineno + 1))
        elif isinstance(node, ast.FunctionDef):
            text = ast.unparse(node)
            if "backend.launch(" in text and "runs_numpy" not in text:
                lines.update(range(node.lineno, node.end_lineno + 1))
    return frozenset(lines)


def draw(count: int, files=tuple(TESTS)) -> list[Mutant]:
    """About `count` mutants of all files, those of `files`: more from longer ones, and from the kinds of edit in turn.

    Each file is drawn from with a seed of its own, so that an edit of one file leaves the mutants of the others.
    """
    weights = {file: len(source_of(file)) ** 0.5 for file in TESTS}
    chosen = []
    for file in files:
        rng, groups = random.Random(file), list(by_kind(edits(source_of(file))))
        for group in groups:
            rng.shuffle(group)
        rng.shuffle(groups)
        wanted = max(_FEWEST, round(count * weights[file] / sum(weights.values())))
        while wanted > 0 and any(groups):
            for group in groups:
                if group and wanted > 0:
                    chosen.append(Mutant(file, group.pop()))
                    wanted -= 1
    return chosen


# One run of tests, in a process of its own


class _Watcher:
    """A pytest plugin: orders the tests, writes down the first failure."""

    def __init__(self, report: Path, in_kernels: bool):
        self.report, self.in_kernels = report, in_kernels

    def pytest_collection_modifyitems(self, items):
        """What may see the edit: kernels, or everything with the few tests of kernels last that are quick enough."""

        def runs_kernels(item):
            return "emulator" in item.name or any(word in item.nodeid for word in _KERNEL_TESTS)

        if self.in_kernels:
            items[:] = filter(runs_kernels, items)
        else:
            items[:] = [item for item in items if not (runs_kernels(item) and "test_layer" in item.nodeid)]
            items.sort(key=runs_kernels)

    def _write(self, report):
        if report.failed and not self.report.exists():
            self.report.write_text(report.nodeid)

    pytest_runtest_logreport = pytest_collectreport = _write


def run_tests(package: Path, tests: list[str], report: Path, seconds: int, in_kernels: bool) -> None:
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
    status = pytest.main([*options, *(f"tests/{name}" for name in tests)], plugins=[_Watcher(report, in_kernels)])
    sys.stdout.flush()
    os._exit(int(status))


class Run:
    """A run of tests in a child process; `outcome()` once it has ended."""

    def __init__(self, package: Path, tests: list[str], limit: int, in_kernels: bool = False):
        self.report, self.limit = package / "failed", limit
        shutil.rmtree(package / "hypothesis", ignore_errors=True)
        self.report.unlink(missing_ok=True)
        self.started, self.cpu_before = time.monotonic(), _children_cpu()
        self.process = multiprocessing.get_context("fork").Process(
            target=run_tests, args=(package, tests, self.report, limit, in_kernels)
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
        if status == 0:
            return "survived", ""
        if self.report.exists():
            return "killed", self.report.read_text()
        return "killed", "runs for ever" if status in (-signal.SIGKILL, -signal.SIGXCPU) else "cannot be imported"


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
    """A copy of the package, compiled, and its kernels, in `folder`."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("minisvdd", "kernels"):
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
        write(package, file, mutant.edit.apply(source_of(file)))
        run = Run(package, TESTS[file], 15 + 3 * int(whole.seconds), mutant.describe()["line"] in kernel_lines(file))
        outcome, by = run.wait()
        result = {**mutant.describe(), "outcome": outcome, "by": by, "seconds": round(run.seconds, 1)}
        results.append(explained(result))
        report("{outcome:10} {seconds:5.1f}s {file}:{line} {kind:10} {after:.100}  {by:.80}".format(**results[-1]))
    write(package, file, source_of(file))
    return results


def explained(result: dict) -> dict:
    """A survivor whose reason is known is "equivalent"."""
    why = EQUIVALENT.get((result["file"], result["after"]))
    if result["outcome"] != "killed" and why:
        return {**result, "outcome": "equivalent", "by": why}
    return result


def survivors(path: Path, everywhere: list[Mutant]) -> list[Mutant]:
    """Those of the mutants that survived in a file of results."""
    alive = {_key(r) for r in json.loads(path.read_text())["results"] if r["outcome"] == "survived"}
    return [mutant for mutant in everywhere if _key(mutant.describe()) in alive]


def _key(result):
    return result["file"], result["kind"], result["before"], result["after"]


def merge(old: list[dict], new: list[dict]) -> list[dict]:
    """New outcomes in place of old ones of the same mutants; those of other files are kept."""
    merged = {_key(result): result for result in old} | {_key(result): result for result in new}
    return sorted(map(explained, merged.values()), key=lambda r: (r["file"], r["line"], r["kind"], r["after"]))


def summary(results: list[dict]) -> dict:
    """How many of each outcome, the share killed of those that change anything, and the CPU time."""
    count = {name: sum(r["outcome"] == name for r in results) for name in ("killed", "survived", "equivalent")}
    share = count["killed"] / max(1, count["killed"] + count["survived"])
    return {"mutants": len(results), **count, "share_killed": round(share, 4), "cpu_seconds": cpu_seconds(results)}


def cpu_seconds(results: list[dict]) -> int:
    """CPU time of all runs on mutants."""
    return round(sum(r["seconds"] for r in results))


def save(path: Path, results: list[dict], fresh: bool) -> None:
    """Write results with their summary; unless `fresh`, into those that the file holds already."""
    old = [] if fresh or not path.exists() else json.loads(path.read_text())["results"]
    results = merge(old, results)
    path.write_text(json.dumps({**summary(results), "results": results}, indent=1) + "\n")


def main() -> int:
    """Command line; exit status 1 when less than 95 % were killed."""
    parser = argparse.ArgumentParser(description="Mutation test of the Python code.")
    parser.add_argument("--count", type=int, default=560, help="mutants (default: %(default)s)")
    parser.add_argument("--files", nargs="+", choices=list(TESTS), default=list(TESTS), help="only of these files")
    parser.add_argument("--kinds", nargs="+", help="only these kinds of edit")
    parser.add_argument("--again", action="store_true", help="only the survivors in the file --out")
    parser.add_argument("--out", type=Path, help="JSON file to write; with --files or --again: to update")
    options = parser.parse_args()
    mutants = draw(options.count, options.files)
    if options.kinds:
        mutants = [mutant for mutant in mutants if mutant.edit.kind in options.kinds]
    if options.again:
        mutants = survivors(options.out, mutants)
    for module in _PRELOADED:
        __import__(module)
    results, fresh = [], not options.again and set(options.files) == set(TESTS)
    with tempfile.TemporaryDirectory() as folder:
        package = copy_package(Path(folder))
        for file in dict.fromkeys(mutant.file for mutant in mutants):
            of_file = [mutant for mutant in mutants if mutant.file == file]
            results += run_file(package, of_file, lambda line: print(line, flush=True))
            if options.out:
                save(options.out, results, fresh)
    print(json.dumps(summary(results)))
    return 0 if summary(results)["share_killed"] >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
