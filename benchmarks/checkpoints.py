"""What checkpoints cost: time to write one beside the time of an epoch.

python benchmarks/checkpoints.py --out benchmarks/results/checkpoints.json
"""

import tempfile
import time

import numpy as np
from common import make_parser, write_rows

from minisvdd import Checkpoint, DeepSVDD, load_dataset
from minisvdd.nn.networks import network_for

EPOCHS = 20


def images(name: str) -> np.ndarray:
    """Training samples: embedded digits, or random images of MNIST's shape (their content does not change the time)."""
    if name == "digits":
        return load_dataset("digits").one_class("3").train
    return np.random.default_rng(0).random((2000, 1, 28, 28), np.float32)


class TimedCheckpoint(Checkpoint):
    """Notes how long each file takes to write, and how large it is."""

    def __init__(self, folder):
        super().__init__(folder, every=1)
        self.seconds, self.bytes = [], 0

    def loop(self, *arguments):
        """The ordinary checkpoint of a loop, with its `save` timed."""
        loop = super().loop(*arguments)
        save = loop.save

        def timed(*state):
            started = time.perf_counter()
            save(*state)
            self.seconds.append(time.perf_counter() - started)
            self.bytes = max(self.bytes, loop.path.stat().st_size)

        loop.save = timed
        return loop


def measure(name: str) -> dict:
    """One fit with a checkpoint after every epoch: the share of the files in its time."""
    X, half = images(name), EPOCHS // 2
    model = DeepSVDD(
        network=network_for(X.shape[1:]),
        preprocessing="gcn-l1",
        pretrain_epochs=half,
        epochs=half,
        verbose=0,
        threshold="nu",
    )
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = TimedCheckpoint(folder)
        started = time.perf_counter()
        model.fit(X, checkpoint=checkpoint)
        elapsed = time.perf_counter() - started
    written = sum(checkpoint.seconds)
    return {
        "data": name,
        "n": len(X),
        "checkpoints": len(checkpoint.seconds),
        "bytes": checkpoint.bytes,
        "ms_per_checkpoint": round(1e3 * float(np.median(checkpoint.seconds)), 2),
        "ms_per_epoch": round(1e3 * (elapsed - written) / EPOCHS, 1),
        "percent_every_1": round(100 * written / (elapsed - written), 2),
        "percent_every_10": round(10 * written / (elapsed - written), 2),
    }


def main() -> None:
    """Measure both data sets, print and perhaps write the rows."""
    arguments = make_parser(__doc__).parse_args()
    rows = [measure(name) for name in ("digits", "random 28x28")]
    for row in rows:
        print(row)
    write_rows(arguments.out, rows)


if __name__ == "__main__":
    main()
