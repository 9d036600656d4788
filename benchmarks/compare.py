"""Training steps and scoring of two checkouts of this library: is one faster or smaller than the other?

    python benchmarks/compare.py OLD NEW [--threads 2] [--turns 7] [--workloads ...] [--out results.json]
    python benchmarks/compare.py OLD NEW --quick        the smallest network, one turn: does it run?

OLD and NEW are folders that hold `minisvdd/`, each with a `bench` module of its own, wherever it lies there. They take
turns, every turn a process of its own with that folder first on its path: what slows the machine down for a while slows
both, and neither sees the other's memory. Medians over the turns are printed: milliseconds of a step, peak memory of a
process that makes ten steps, and their ratios new/old. Below 1, the new checkout is the better one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from minisvdd.experiments.bench import OURS, WORKLOADS, machine
from minisvdd.files.atomic import write_json

# Runs in the checkout that it measures, and prints the row of one workload. It looks for the file, because an installed
# minisvdd may lend its modules to a checkout that lacks them.
WORKER = """
import importlib, json, pathlib, sys
tree, name, threads, rounds = json.loads(sys.argv[1])
places = "minisvdd.experiments.bench", "minisvdd.bench"
found = [place for place in places if pathlib.Path(tree, *place.split(".")).with_suffix(".py").exists()]
if not found:
    sys.exit("expected a folder that holds " + " or ".join(places))
bench = importlib.import_module(found[0])
if pathlib.Path(tree) not in pathlib.Path(bench.__file__).resolve().parents:
    sys.exit(f"expected its own modules, got {bench.__file__}")
measured = bench.measure([name], threads=threads, rounds=rounds, memory=True, report=lambda line: None)
print(json.dumps(measured["rows"][0]))
"""


def one_turn(tree: Path, name: str, threads: int, rounds: int) -> tuple[float, float]:
    """Median milliseconds of a step, and peak megabytes. RuntimeError when the checkout cannot be measured."""
    command = [sys.executable, "-c", WORKER, json.dumps([str(tree), name, threads, rounds])]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tree, env=environment)
    if done.returncode:
        raise RuntimeError(f"{tree}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    row = json.loads(done.stdout)
    return row["ms"][OURS], row["peak_mb"][OURS]


def compare(trees: dict[str, Path], name: str, threads: int, turns: int, rounds: int) -> dict:
    """One row: the medians of both over all turns, and the ratios new/old."""
    found = {which: [] for which in trees}
    for turn in range(turns):
        order = list(trees) if turn % 2 == 0 else list(reversed(trees))
        for which in order:
            found[which].append(one_turn(trees[which], name, threads, rounds))
    row = {"workload": name, "turns": turns}
    for index, unit in enumerate(("ms", "peak_mb")):
        values = {which: [turn[index] for turn in pairs] for which, pairs in found.items()}
        medians = {which: round(statistics.median(numbers), 3) for which, numbers in values.items()}
        row[unit] = {**medians, "ratio": round(medians["new"] / medians["old"], 3)}
        row[f"{unit}_of_turns"] = values
    return row


def line(row: dict) -> str:
    """One line of the table."""
    cells = [f"{row[unit][which]:9.2f}" for unit in ("ms", "peak_mb") for which in ("old", "new", "ratio")]
    return f"{row['workload']:20}" + " ".join(cells)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, metavar="OLD")
    parser.add_argument("new", type=Path, metavar="NEW")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7, help="processes for each checkout and workload")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", help="write the figures as JSON to this file")
    arguments = parser.parse_args()
    trees = {"old": arguments.old.resolve(), "new": arguments.new.resolve()}
    names = ["mnist encoder"] if arguments.quick else arguments.workloads
    turns, rounds = (1, 1) if arguments.quick else (arguments.turns, 3)
    if turns < 1:
        parser.error(f"--turns {turns}: expected a number >= 1")
    print(f"{'':20}" + " ".join(f"{head:>9}" for head in ("old ms", "new ms", "ratio", "old MB", "new MB", "ratio")))
    rows = []
    try:
        for name in names:
            rows.append(compare(trees, name, arguments.threads, turns, rounds))
            print(line(rows[-1]), flush=True)
            if arguments.out:
                write_json(arguments.out, {"threads": arguments.threads, "machine": machine(), "rows": rows})
    except (RuntimeError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
