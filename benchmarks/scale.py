"""Long and large: memory and time of scoring and training against the number of samples, and of many fits in a row.

    python benchmarks/scale.py --out benchmarks/results/scale.json --plot benchmarks/results/scale.png

Samples are random images of 8 x 8 in a memory-mapped .npy file, up to a million of them (256 MB). Memory is what Python
and NumPy allocate (tracemalloc); the pages of the file itself are the system's to keep or drop.
"""

import gc
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
from common import make_parser

from minisvdd import DeepSVDD
from minisvdd.experiments.experiments import versions
from minisvdd.files.atomic import write_json

SHAPE = (1, 8, 8)
_CHUNK = 50_000


def model(epochs: int = 1, preprocessing: str | None = "gcn-l1") -> DeepSVDD:
    """A small Deep SVDD for 8 x 8 images."""
    return DeepSVDD(
        network="digits_lenet",
        pretrain_epochs=0,
        epochs=epochs,
        verbose=0,
        preprocessing=preprocessing,
        milestones=(),
        threshold="nu",
    )


def mapped(folder: Path, n: int) -> np.ndarray:
    """n random images in a file of their own, mapped into memory for reading."""
    path, rng = folder / f"{n}.npy", np.random.default_rng(0)
    file = np.lib.format.open_memmap(path, "w+", np.float32, (n, *SHAPE))
    for start in range(0, n, _CHUNK):
        part = file[start : start + _CHUNK]
        part[...] = rng.random(part.shape, np.float32)
    file.flush()
    del file
    return np.load(path, mmap_mode="r")


def peak_of(work) -> tuple[float, float]:
    """(seconds, MB at the peak) of work(), measured in two runs: tracing takes time."""
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(seconds, 3), round(peak / 2**20, 1)


def scoring(folder: Path, counts: list[int]) -> list[dict]:
    """`anomaly_score` of n memory-mapped images."""
    fitted = model().fit(mapped(folder, 500))
    rows = []
    for n in counts:
        X = mapped(folder, n)
        seconds, peak = peak_of(lambda X=X: fitted.anomaly_score(X))
        rows.append({"n": n, "file_mb": round(X.nbytes / 2**20, 1), "seconds": seconds, "peak_mb": peak})
        print("score", rows[-1], flush=True)
    return rows


def training(folder: Path, counts: list[int]) -> list[dict]:
    """One epoch on n memory-mapped images, without pre-processing (which makes one float32 copy)."""
    rows = []
    for n in counts:
        X = mapped(folder, n)
        seconds, peak = peak_of(lambda X=X: model(preprocessing=None).fit(X))
        rows.append({"n": n, "file_mb": round(X.nbytes / 2**20, 1), "seconds": seconds, "peak_mb": peak})
        print("train", rows[-1], flush=True)
    return rows


def repeated(fits: int) -> dict:
    """Memory after each of many fits: KB allocated at one tenth of them, and at the end."""
    X = np.random.default_rng(0).random((60, *SHAPE), np.float32)
    kilobytes = []
    tracemalloc.start()
    for _ in range(fits):
        model(epochs=2).fit(X).anomaly_score(X)
        gc.collect()
        kilobytes.append(tracemalloc.get_traced_memory()[0] / 1024)
    tracemalloc.stop()
    early = kilobytes[max(1, fits // 10) - 1]
    return {"fits": fits, "kb_after_a_tenth": round(early, 1), "kb_at_the_end": round(kilobytes[-1], 1)}


def exponent(rows: list[dict]) -> float:
    """Slope of log(seconds) against log(n): 1 is linear."""
    n, seconds = (np.log([row[key] for row in rows]) for key in ("n", "seconds"))
    return round(float(np.polyfit(n, seconds, 1)[0]), 3)


def plot(result: dict, path: str) -> None:
    """Seconds and MB against n, in two small panels."""
    from matplotlib.figure import Figure

    figure = Figure((7, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in ("scoring", "training"):
        rows = result[name]
        n = [row["n"] for row in rows]
        left.loglog(n, [row["seconds"] for row in rows], "o-", label=f"{name}: n^{result[name + '_exponent']}")
        right.semilogx(n, [row["peak_mb"] for row in rows], "o-", label=name)
    right.semilogx(n, [row["file_mb"] for row in rows], "k:", label="the file itself")
    for axes, label in ((left, "seconds"), (right, "MB allocated at the peak")):
        axes.set(xlabel="8 x 8 images", ylabel=label)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = make_parser(__doc__)
    parser.add_argument("--largest", type=int, default=1_000_000)
    parser.add_argument("--fits", type=int, default=100)
    parser.add_argument("--plot", help="PNG file to write")
    arguments = parser.parse_args()
    counts = [arguments.largest // 2**k for k in range(5, -1, -1)]
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows, trained = scoring(Path(name), counts), training(Path(name), counts[:3])
    result = {
        "scoring": rows,
        "scoring_exponent": exponent(rows),
        "training": trained,
        "training_exponent": exponent(trained),
        "repeated": repeated(arguments.fits),
        "versions": versions(),
    }
    print({key: result[key] for key in ("scoring_exponent", "training_exponent", "repeated")})
    if arguments.out:
        write_json(arguments.out, result)
    if arguments.plot:
        plot(result, arguments.plot)


if __name__ == "__main__":
    main()
