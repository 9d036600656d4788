"""A byte-level fuzzer for every reader. The test runs hundreds of mutants; as a script it runs thousands, with a table:

    python tests/support/fuzz.py --count 5000 --out fuzz.json

A mutant is a valid file after one to three random changes: bits flipped, cut short, bytes inserted, a block copied from
elsewhere in the file, a number (decimal, or 1 to 8 bytes) replaced by an extreme one. Archives are also changed inside
and packed again, so that their checksums hide nothing from the reader behind them. A reader may return data or raise
`DataError` with one line, soon and within the memory limit; everything else is a finding.
"""

import argparse
import gzip
import io
import json
import re
import sys
import tempfile
import time
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from helpers_data import (
    cifar_bytes,
    cifar_files,
    gtsrb_test_files,
    gtsrb_training_files,
    idx_bytes,
    npy_bytes,
    npz_bytes,
    png_bytes,
    ppm_bytes,
    tar_bytes,
    zip_bytes,
)
from PIL import Image

from minisvdd import AnoGAN, Autoencoder, DeepSVDD, load_dataset, load_images, load_model
from minisvdd.data.own import read_samples
from minisvdd.data.readers import read_cifar10, read_idx, read_image, read_sign_table
from minisvdd.errors import DataError
from minisvdd.experiments.grid import cells_of, make_grid, read_cell, read_grid, read_scores, run_grid
from minisvdd.files.arrays import read_array

SECONDS_LIMIT = 2.0  # of the processor, for one file, under tracemalloc
MEMORY_LIMIT = 64 << 20  # every valid file here is below 200 kB
_NUMBERS = (b"0", b"-1", b"255", b"65536", b"4294967295", b"1000000000000", b"9" * 30, b"1e999", b"NaN", b"9" * 400)


@dataclass
class Target:
    """One format: a valid file, the path under the work folder that it has, and how it is read from there."""

    name: str
    content: bytes
    path: str
    read: Callable[[Path], object]
    inside: Callable | None = None  # (rng, content) -> mutant: changed within a container that stays valid


@dataclass
class Result:
    """What came of the mutants of one format."""

    name: str
    files: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    largest_peak_mb: float = 0.0
    findings: list[str] = field(default_factory=list)


def mutate(rng: np.random.Generator, content: bytes) -> bytes:
    """One to three random changes; the first bytes, where headers are, are hit more often."""
    for _ in range(int(rng.integers(1, 4))):
        content = _CHANGES[int(rng.integers(len(_CHANGES)))](rng, content)
    return content


def _position(rng, content):
    return int(rng.integers(0, 1 + min(len(content), 128 if rng.random() < 0.5 else len(content))))


def _flip(rng, content):
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9)) if changed else 0):
        changed[min(_position(rng, content), len(content) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(rng, content):
    return content[: _position(rng, content)]


def _insert(rng, content):
    at = _position(rng, content)
    return content[:at] + rng.bytes(int(rng.integers(1, 33))) + content[at:]


def _splice(rng, content):
    """A block of the file over, or between, other bytes of it."""
    start, at, length = _position(rng, content), _position(rng, content), int(rng.integers(1, 200))
    return content[:at] + content[start : start + length] + content[at + length * int(rng.integers(2)) :]


def _extreme_bytes(rng, content):
    at, width = _position(rng, content), int(rng.choice([1, 2, 4, 8]))
    extreme = [b"\xff" * width, b"\0" * width, b"\x7f" + b"\xff" * (width - 1), b"\xff" * (width - 1) + b"\x7f"]
    return content[:at] + extreme[int(rng.integers(4))] + content[at + width :]


def _extreme_number(rng, content):
    """A decimal number in the first 4096 bytes (headers, tables, JSON) becomes another one."""
    found = list(re.finditer(rb"-?\d+", content[:4096]))
    if not found:
        return _extreme_bytes(rng, content)
    match = found[int(rng.integers(len(found)))]
    return content[: match.start()] + _NUMBERS[int(rng.integers(len(_NUMBERS)))] + content[match.end() :]


_CHANGES = (_flip, _cut, _insert, _splice, _extreme_bytes, _extreme_number, _extreme_number)


def inside_gzip(rng, content):
    """The content mutated, compressed anew: the CRC is right again."""
    return gzip.compress(mutate(rng, gzip.decompress(content)), 1)


def inside_zip(rng, content):
    """One member mutated, or renamed to lead out of the folder, and packed anew."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = list(members)[int(rng.integers(len(members)))]
    mutant = mutate(rng, members.pop(chosen))
    members[f"../../{chosen}" if rng.random() < 0.05 else chosen] = mutant
    return zip_bytes(members)


def inside_model(rng, content):
    """The description of a saved model with one JSON value replaced, or an array's bytes mutated."""
    if rng.random() < 0.4:
        return inside_zip(rng, content)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = dict(archive)
    description = json.loads(bytes(arrays["minisvdd"]))
    _replace_json(rng, description)
    arrays["minisvdd"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    return npz_bytes(**arrays)


def inside_json(rng, content):
    """Valid JSON with one value replaced or one key lost."""
    value = json.loads(content)
    _replace_json(rng, value)
    return json.dumps(value).encode()


def _replace_json(rng, value):
    places = list(_places(value))
    container, key = places[int(rng.integers(len(places)))]
    nested = json.loads("[" * 500 + "]" * 500)
    strange = [None, True, -1, 0, 2**31, 10**12, 10**400, 1e300, float("nan"), "", "x" * 1000, [], {}, [[]], nested]
    if rng.random() < 0.1:
        del container[key]
    else:
        container[key] = strange[int(rng.integers(len(strange)))]


def _places(value):
    """(container, key) of every value within a JSON document."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(entries):
        yield value, key
        yield from _places(inner)


def array_targets(rng: np.random.Generator) -> list[Target]:
    """The readers of single files of images and arrays."""
    image, records = rng.integers(0, 256, (6, 7, 3), np.uint8), rng.integers(0, 256, (2, 3, 32, 32), np.uint8)
    idx = idx_bytes(rng.integers(0, 256, (3, 4, 5), np.uint8))
    samples = {"X": rng.random((4, 3)), "y": np.array(["cat", "dog", "cat", "cat"])}
    table = gtsrb_training_files(rng, labels=(14,))["GTSRB/Final_Training/Images/00014/GT-00014.csv"]
    return [
        Target("IDX", idx, "images", read_idx),
        Target("IDX, gzip", gzip.compress(idx), "images.gz", read_idx, inside_gzip),
        Target("CIFAR-10 binary", cifar_bytes(records, [3, 9]), "batch.bin", read_cifar10),
        Target("PPM", ppm_bytes(image, "# comment\n"), "image.ppm", read_image),
        Target("PNG", png_bytes(image), "image.png", read_image),
        *picture_targets(rng),
        Target("GTSRB table", table, "GT.csv", read_sign_table),
        Target("CSV", b"u;v;class\n1;2.5;good\n-3;4e2;bad\n5;6;good\n", "x.csv", read_samples),
        Target("npy", npy_bytes(rng.random((4, 3))), "x.npy", read_samples),
        Target("npz", npz_bytes(**samples), "x.npz", lambda path: load_dataset(str(path)), inside_zip),
        Target(
            "npz, deflated", npz_bytes(compressed=True, **samples), "x.npz", lambda path: read_array(path), inside_zip
        ),
    ]


def picture_targets(rng: np.random.Generator) -> list[Target]:
    """Pictures of a folder, in every format and depth."""
    image = rng.integers(0, 256, (12, 16, 3), np.uint8)
    deep = Image.fromarray(image[..., 0].astype(np.uint16) * 257)
    kinds = {
        "png": Image.fromarray(image).quantize(16),
        "jpg": Image.fromarray(image),
        "tif": deep,
        "gif": Image.fromarray(image[..., 0]),
        "bmp": Image.fromarray(image),
        "pgm": deep,
    }
    targets = []
    for ending, picture in kinds.items():
        exif, stream = Image.Exif(), io.BytesIO()
        exif[0x0112] = 6
        format_ = {"jpg": "JPEG", "tif": "TIFF", "pgm": "PPM"}.get(ending, ending.upper())
        picture.save(stream, format_, **({"exif": exif} if ending in ("png", "jpg") else {}))
        path = f"pictures-{ending}/1.{ending}"
        targets.append(Target(f"picture, {ending}", stream.getvalue(), path, _load_picture))
    return targets


def _load_picture(path):
    return load_images(path.parent, 8), load_images(path.parent)


def archive_targets(rng: np.random.Generator) -> list[Target]:
    """Whole data sets in archives."""
    test, classes = gtsrb_test_files(rng, labels=(14,))
    signs = zip_bytes(gtsrb_training_files(rng, labels=(14,), per_class=1) | test | classes)
    cifar = tar_bytes(cifar_files(rng, n=1))

    def load(name):
        return lambda path: load_dataset(name, path.parent, verify=False).train_images

    return [
        Target("GTSRB zip", signs, "signs/gtsrb.zip", load("gtsrb"), inside_zip),
        Target("CIFAR-10 tar.gz", cifar, "cifar/cifar-10-binary.tar.gz", load("cifar10"), inside_gzip),
    ]


def model_targets(rng: np.random.Generator, folder: Path) -> list[Target]:
    """Saved models of three kinds; a mutant that loads must also score."""
    X = rng.random((12, 1, 8, 8), np.float32)
    quick = {"epochs": 1, "verbose": 0, "batch_size": 6, "preprocessing": "gcn-l1", "false_alarm_rate": 0.4}
    models = {
        "DeepSVDD model": _deep_svdd(X[:, 0, 0], quick),
        "Autoencoder model": Autoencoder(network="digits_lenet", **quick).fit(X),
        "AnoGAN model": AnoGAN(latent_dim=4, search_steps=1, **quick).fit(X),
    }
    targets = []
    for name, model in models.items():
        path = folder / "model.npz"
        model.save(path)
        read = load_model if isinstance(model, AnoGAN) else _load_and_score
        targets.append(Target(name, path.read_bytes(), "model.npz", read, inside_model))
    return targets


def _load_and_score(path):
    """A model that `load_model` lets pass must work: nothing may wait there until it scores."""
    model = load_model(path)
    try:
        return model.predict(np.full((3, *model.input_shape_), 0.5, np.float32))
    except ValueError as error:
        if "overflow in the network" in str(error):  # weights that are finite but too large: said, not scored
            return None
        raise


def _deep_svdd(X, quick):
    return DeepSVDD(network="mlp", pretrain_epochs=1, **{**quick, "preprocessing": "standardize"}).fit(X)


def grid_targets(folder: Path) -> list[Target]:
    """What a grid of experiments leaves behind."""
    grid = make_grid("digits", methods=["isolation-forest"], classes=["3"], seeds=1)
    run_grid(grid, folder, verbose=0)
    (cell,) = cells_of(grid)
    paths = {
        "grid cell": (cell.path(folder), lambda path: read_cell(cell, folder), inside_json),
        "grid file": (folder / "grid.json", lambda path: read_grid(folder), inside_json),
        "grid scores": (cell.scores_path(folder), lambda path: read_scores(cell, folder), None),
    }
    return [
        Target(name, path.read_bytes(), str(path.relative_to(folder)), read, inside)
        for name, (path, read, inside) in paths.items()
    ]


def all_targets(folder: Path, seed: int = 0) -> list[Target]:
    """Every format; `folder` is where the files of a grid and the mutants lie."""
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [*array_targets(rng), *archive_targets(rng), *model_targets(rng, folder), *grid_targets(folder)]


def fuzz(target: Target, folder: Path, count: int, rng: np.random.Generator) -> Result:
    """Read `count` mutants, half of them changed inside where the format is a container."""
    path = folder / target.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(target.content)
    target.read(path)  # the valid file is read
    result = Result(target.name)
    tracemalloc.start()
    try:
        for _ in range(count):
            change = target.inside if target.inside and rng.random() < 0.5 else mutate
            path.write_bytes(change(rng, target.content))
            _read_one(target, path, result)
    finally:
        tracemalloc.stop()
        path.write_bytes(target.content)
    return result


def _read_one(target, path, result):
    tracemalloc.reset_peak()
    before, started = tracemalloc.get_traced_memory()[0], time.process_time()
    finding = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            target.read(path)
        except DataError as error:
            result.refused += 1
            if "\n" in str(error) or not (path.name in str(error) or str(path.parent) in str(error)):
                finding = f"message {str(error)!r:.200}: expected one line that names the file"
        except Exception as error:
            finding = f"{type(error).__name__}: {str(error)!r:.200}"
    seconds, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1] - before
    if seconds > SECONDS_LIMIT:
        finding = finding or f"{seconds:.1f} seconds"
    if peak > MEMORY_LIMIT:
        finding = finding or f"{peak >> 20} MB"
    if finding:
        result.findings.append(f"file {result.files}: {finding}")
    result.files += 1
    result.seconds += seconds
    result.slowest_ms = max(result.slowest_ms, 1e3 * seconds)
    result.largest_peak_mb = max(result.largest_peak_mb, peak / (1 << 20))


def main() -> int:
    """Fuzz every format and print a row for each; exit status 1 when there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="mutants of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="formats whose name contains this")
    parser.add_argument("--out", help="JSON file to write")
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index, target in enumerate(all_targets(folder)):
            if arguments.only and arguments.only not in target.name:
                continue
            result = fuzz(target, folder, arguments.count, np.random.default_rng([arguments.seed, index]))
            results.append(result)
            print(
                f"{result.name:20}{result.files:7} files {result.refused:7} refused {result.seconds:7.1f} s "
                f"slowest {result.slowest_ms:6.0f} ms  peak {result.largest_peak_mb:6.2f} MB  "
                f"{len(result.findings)} findings",
                flush=True,
            )
            for finding in result.findings[:5]:
                print(f"    {finding}")
    if arguments.out:
        rows = [{k: round(v, 2) if isinstance(v, float) else v for k, v in asdict(r).items()} for r in results]
        Path(arguments.out).write_text(json.dumps({"seed": arguments.seed, "formats": rows}, indent=2) + "\n")
    return 1 if any(result.findings for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
