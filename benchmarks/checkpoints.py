"""What checkpoints cost: the same training without, with one every 10 epochs, and with one every epoch.

python benchmarks/checkpoints.py --out benchmarks/results/checkpoints.json
"""

import argparse
import tempfile
import time

import numpy as np

from minisvdd import Checkpoint, DeepSVDD, load_dataset
from minisvdd.experiments import versions
from minisvdd.files import write_json
from minisvdd.networks import network_for

EPOCHS = 20


def images(name: str) -> np.ndarray:
    """Training samples: embedded digits, or random images of MNIST's shape (their content does not change the time)."""
    if name == "digits":
        return load_dataset("digits").one_class("3").train
    return np.random.default_rng(0).random((2000, 1, 28, 28), np.float32)


def seconds(X: np.ndarray, every: int | None) -> tuple[float, int]:
    """Time of one fit, and the bytes of its largest checkpoint."""
    half = EPOCHS // 2
    model = DeepSVDD(
        network=network_for(X.shape[1:]), preprocessing="gcn-l1", pretrain_epochs=half, epochs=half, verbose=0
    )
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(folder, every) if every else None
        started = time.perf_counter()
        model.fit(X, checkpoint=checkpoint)
        elapsed = time.perf_counter() - started
        sizes = [path.stat().st_size for path in checkpoint.folder.iterdir()] if checkpoint else [0]
    return elapsed, max(sizes)


def measure(name: str, rounds: int) -> dict:
    """The fastest of several rounds in turn."""
    X, times, size = images(name), {None: [], 10: [], 1: []}, 0
    for _ in range(rounds):
        for every, values in times.items():
            elapsed, largest = seconds(X, every)
            values.append(elapsed)
            size = max(size, largest)
    best = {every: min(values) for every, values in times.items()}
    return {
        "data": name,
        "n": len(X),
        "epochs": EPOCHS,
        "bytes": size,
        "seconds_without": round(best[None], 3),
        "seconds_every_10": round(best[10], 3),
        "seconds_every_1": round(best[1], 3),
        "ms_per_checkpoint": round(1e3 * (best[1] - best[None]) / EPOCHS, 2),
    }


def main() -> None:
    """Measure both data sets, print and perhaps write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", help="JSON file to write")
    arguments = parser.parse_args()
    rows = [measure(name, arguments.rounds) for name in ("digits", "random 28x28")]
    for row in rows:
        print(row)
    if arguments.out:
        write_json(arguments.out, {"versions": versions(), "rows": rows})


if __name__ == "__main__":
    main()
