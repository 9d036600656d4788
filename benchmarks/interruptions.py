"""Kill a training again and again, at random moments, and resume it until it is done; compare with one never killed.

    python benchmarks/interruptions.py --trainings 5 --out benchmarks/results/interruptions.json

After every kill, whatever file lies under a final name must be whole. In the end weights, centre, radius and history
must be those of the uninterrupted training, bit for bit.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minisvdd import load_model
from minisvdd.experiments import versions
from minisvdd.files import write_json
from minisvdd.readers import read_arrays

COMMAND = [sys.executable, "-m", "minisvdd", "train", "--data", "digits", "--quiet", "--checkpoint-every", "1", "--out"]


def start(out: Path, *options: str) -> subprocess.Popen:
    """One training as a process of its own."""
    return subprocess.Popen([*COMMAND, str(out), *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def same(a: Path, b: Path) -> bool:
    """Whether two saved models hold the same arrays, and scores that follow from them, bit for bit."""
    first, second = load_model(a), load_model(b)
    arrays, others = ({**m.network_.params, **m.network_.buffers, "c": m.center_} for m in (first, second))
    losses = first.history_["loss"] == second.history_["loss"] and first.radius_ == second.radius_
    return losses and all(np.array_equal(arrays[name], others[name]) for name in arrays)


def damaged_files(out: Path) -> int:
    """Files under their final names that cannot be read."""
    count = 0
    for path in out.rglob("*.npz"):
        try:
            read_arrays(path)
        except ValueError:
            count += 1
    return count


def interrupted(out: Path, rng: np.random.Generator, longest: float) -> dict:
    """Start, kill after a random time (SIGKILL and SIGINT in turn), resume; after 6 kills a run may get to its end."""
    kills = damaged = 0
    while True:
        process = start(out, "--resume")
        try:
            process.wait(timeout=None if kills == 6 else rng.uniform(0.2 * longest, 0.8 * longest))
            break
        except subprocess.TimeoutExpired:
            process.send_signal((signal.SIGKILL, signal.SIGINT)[kills % 2])
            process.wait()
            kills += 1
            damaged += damaged_files(out)
    return {"kills": kills, "damaged": damaged, "status": process.returncode}


def main() -> int:
    """Run the trainings; exit status 1 when anything was damaged or differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainings", type=int, default=5)
    parser.add_argument("--out", help="JSON file to write")
    arguments = parser.parse_args()
    rows, rng = [], np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        start(Path(name) / "whole").wait()
        longest = time.perf_counter() - started
        for k in range(arguments.trainings):
            out = Path(name) / str(k)
            row = interrupted(out, rng, longest)
            row["identical"] = same(out / "model.npz", Path(name) / "whole" / "model.npz")
            rows.append(row)
            print(row, flush=True)
    if arguments.out:
        write_json(arguments.out, {"trainings": rows, "versions": versions()})
    return 0 if all(row["identical"] and not row["damaged"] and row["status"] == 0 for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
