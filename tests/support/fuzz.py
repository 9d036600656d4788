"""A byte-level fuzzer for every reader. The test runs hundreds of mutants; as a script it runs thousands, with a table:

    python tests/support/fuzz.py --count 5000 --out fuzz.json

A mutant is a valid file after one to three random changes: bits flipped, cut short, bytes inserted, a block copied from
elsewhere in the file, a number (decimal, or 1 to 8 bytes) replaced by an extreme one. Archives are also changed inside
and packed again, so that their checksums hide nothing from the reader behind them. What is read must then work: a model
scores and is saved again, a cell is reported, a checkpoint goes on.

A reader may return data or raise `DataError` with one line of at most 300 characters, within 8 seconds of the processor
(a minute by the clock), 3 GB of address space and 64 MB of memory beyond 20 times the file; all else is a finding.
"""

import argparse
import contextlib
import gzip
import io
import json
import re
import signal
import sys
import tempfile
import time
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

from minisvdd import AnoGAN, Autoencoder, DeepSVDD, SoftmaxClassifier, load_dataset, load_images, load_model
from minisvdd.attack.adversarial import Adversaries, kept_attack
from minisvdd.attack.boundary_attack import AttackResult
from minisvdd.course.grader.wire import Remote, Seed, WireError, pack, unpack
from minisvdd.course.handouts import cuda_source
from minisvdd.course.handouts.cuda_source import refusal
from minisvdd.data.own import read_samples
from minisvdd.data.readers import read_cifar10, read_idx, read_image, read_sign_table
from minisvdd.errors import LONGEST, DataError
from minisvdd.experiments.grid import cells_of, make_grid, read_cell, read_grid, read_scores
from minisvdd.experiments.report import collect, write_report
from minisvdd.experiments.running.run import run_grid
from minisvdd.files.arrays import read_array
from minisvdd.files.checkpoint import Checkpoint

try:
    import resource
except ImportError:  # Windows: no limits there
    resource = None

SECONDS_LIMIT, CLOCK_LIMIT = 8, 60
ADDRESS_SPACE = 3 << 30
MEMORY, TIMES_SIZE = 64 << 20, 20
_NUMBERS = (b"0", b"-1", b"255", b"65536", b"4294967295", b"1000000000000", b"9" * 30, b"1e999", b"NaN", b"9" * 400)


@dataclass
class Target:
    """One format: a valid file, the path under the work folder that it has, and how it is read from there."""

    name: str
    content: bytes
    path: str
    read: Callable[[Path], object]
    inside: Callable | None = None  # (rng, content) -> mutant: changed within a container that stays valid
    is_file: bool = True  # whether errors must name it


@dataclass
class Result:
    """What came of the mutants of one format."""

    name: str
    files: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    largest_peak_mb: float = 0.0  # resident memory beyond what the process had
    longest_message: int = 0
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


def inside_model(rng, content, entry="minisvdd"):
    """The JSON text in an .npz file with one value replaced, or an array's bytes mutated."""
    if rng.random() < 0.4:
        return inside_zip(rng, content)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = dict(archive)
    description = json.loads(bytes(arrays[entry]))
    _replace_json(rng, description)
    arrays[entry] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    return npz_bytes(**arrays)


def inside_checkpoint(rng, content):
    """The same for a checkpoint."""
    return inside_model(rng, content, "checkpoint")


def inside_message(rng, content):
    """A message of the course with another head, its sizes right."""
    start = content.index(b"{")
    end = content.rindex(b"}") + 1
    head = inside_json(rng, content[start:end]) if rng.random() < 0.7 else mutate(rng, content[start:end])
    return content[:4] + len(head).to_bytes(8, "little") + content[12:start] + head + content[end:]


def inside_source(rng, content):
    """A kernel file with words that reach out, or many quotes and comments, in some places."""
    words = (b"system", b"asm", b'R"(', b"#include <a>\n", b"??/", b"extern int", b"\\\n", b"'\\" * 1000, b"/*" * 1000)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(content)))
        content = content[:at] + b" " + words[int(rng.integers(len(words)))] + b" " + content[at:]
    return content


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
    """Saved models of every kind; a mutant that loads must also score, and be saved again."""
    X = rng.random((12, 1, 8, 8), np.float32)
    quick = {"epochs": 1, "verbose": 0, "batch_size": 6, "preprocessing": "gcn-l1", "false_alarm_rate": 0.4}
    training = {name: value for name, value in quick.items() if name != "false_alarm_rate"}
    labels = np.array(["cat", "dog"] * 6)
    models = {
        "DeepSVDD model": _deep_svdd(X[:, 0, 0], quick),
        "DeepSVDD model, images": DeepSVDD("soft-boundary", network="digits_lenet", pretrain_epochs=0, **quick).fit(X),
        "Autoencoder model": Autoencoder(network="digits_lenet", **quick).fit(X),
        "AnoGAN model": AnoGAN(latent_dim=4, search_steps=1, **quick).fit(X),
        "classifier": SoftmaxClassifier((4,), 3, 8, augment=False, **training).fit(X, labels),
    }
    targets = []
    for name, model in models.items():
        path = folder / "model.npz"
        model.save(path)
        read = load_model if isinstance(model, AnoGAN) else _load_and_score
        targets.append(Target(name, path.read_bytes(), "model.npz", read, inside_model))
    return targets


def _load_and_score(path):
    """A model that `load_model` lets pass must work: nothing may wait there until it scores, or is saved again."""
    model = load_model(path)
    model.save(path.with_name("again.npz"))
    if isinstance(model, DeepSVDD) and hasattr(model, "diagnostics_"):
        model.diagnostics()
    try:
        return model.predict(np.full((3, *model.input_shape_), 0.5, np.float32))
    except ValueError as error:
        if ", overflow" in str(error):  # weights that are finite but too large: said, not scored
            return None
        raise


def _deep_svdd(X, quick):
    return DeepSVDD(network="mlp", pretrain_epochs=1, **{**quick, "preprocessing": "standardize"}).fit(X)


def checkpoint_targets(rng: np.random.Generator, folder: Path) -> list[Target]:
    """Checkpoints of a training in its middle; one that is read goes on to the end, or says that it diverged."""
    X = rng.random((12, 8), np.float32)
    model = DeepSVDD(network="mlp", pretrain_epochs=2, epochs=2, verbose=0, batch_size=6, preprocessing="standardize")
    kept = {}

    def keep(loop):
        def save(values, arrays):
            loop(values, arrays)
            for path in (folder / "checkpoint").glob("*.npz"):
                kept.setdefault(path.name, path.read_bytes())

        return save

    class Kept(Checkpoint):
        """Remembers the first state of every training."""

        def loop(self, *arguments):
            found = super().loop(*arguments)
            found.save = keep(found.save)
            return found

    model.fit(X, checkpoint=Kept(folder / "checkpoint", every=1))

    def go_on(path):
        try:
            return model.fit(X, checkpoint=Checkpoint(path.parent, every=1, resume=True))
        except FloatingPointError:
            return None

    return [
        Target(f"checkpoint {Path(name).stem}", content, f"one-{Path(name).stem}/{name}", go_on, inside_checkpoint)
        for name, content in kept.items()
    ]


def attack_targets(rng: np.random.Generator, folder: Path) -> list[Target]:
    """An attack that is kept: a damaged one is named, and made again."""
    images = rng.random((2, 1, 3, 3), np.float32)
    whole, far, curve = np.arange(2), np.ones(2), np.ones((3, 2))
    result = AttackResult(images, whole > 0, far, far, whole, whole, curve.astype(int), curve)
    made = Adversaries(**vars(result), originals=images, indices=whole)
    kept_attack(folder / "adversarial.npz", {"seed": 0}, lambda: made)

    def read(path):
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            kept = kept_attack(path, {"seed": 0}, lambda: made)
        if kept is made:
            raise DataError(told.getvalue().strip() or f"{path}: of other settings")
        return kept.summary()

    return [Target("attack", (folder / "adversarial.npz").read_bytes(), "adversarial.npz", read, inside_zip)]


def course_targets(rng: np.random.Generator) -> list[Target]:
    """What a submission sends, and the source of its kernels."""
    message = {"a": [1, 2.5, None, "x"], "b": (slice(1, 2), rng.random((2, 3)), Seed(3), Remote(4, ("step",)))}
    source = (Path(cuda_source.__file__).parents[1] / "tasks" / "cuda" / "conv2d_cuda.cu").read_bytes()

    def receive(path):
        try:
            return unpack(path.read_bytes())
        except WireError as error:
            raise DataError(str(error)) from None

    def look(path):
        if (why := refusal(path.read_bytes())) is not None:
            raise DataError(why)

    return [
        Target("wire message", pack(message), "message", receive, inside_message, is_file=False),
        Target("CUDA source", source, "kernel.cu", look, inside_source, is_file=False),
    ]


def grid_targets(folder: Path) -> list[Target]:
    """What a grid of experiments leaves behind."""
    grid = make_grid("digits", methods=["isolation-forest"], classes=["3"], seeds=1)
    run_grid(grid, folder, verbose=0)
    (cell,) = cells_of(grid)

    def report(path):
        """What is read is reported, and nothing is left out of the table without a word."""
        if read_cell(cell, folder) is not None:
            return write_report(folder)
        return None

    paths = {
        "grid cell": (cell.path(folder), report, inside_json),
        "grid file": (folder / "grid.json", lambda path: (cells_of(read_grid(folder)), collect(folder)), inside_json),
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
        return [
            *array_targets(rng),
            *archive_targets(rng),
            *model_targets(rng, folder),
            *grid_targets(folder),
            *checkpoint_targets(rng, folder),
            *attack_targets(rng, folder),
            *course_targets(rng),
        ]


def fuzz(target: Target, folder: Path, count: int, rng: np.random.Generator) -> Result:
    """Read `count` mutants, half of them changed inside where the format is a container."""
    path = folder / target.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(target.content)
    target.read(path)  # the valid file is read
    result = Result(target.name)
    try:
        for _ in range(count):
            change = target.inside if target.inside and rng.random() < 0.5 else mutate
            path.write_bytes(change(rng, target.content))
            _read_one(target, path, result)
    finally:
        path.write_bytes(target.content)
    return result


def _read_one(target, path, result):
    size, before, started = path.stat().st_size, _reset_peak(), time.process_time()
    finding = None
    with warnings.catch_warnings(), _limits():
        warnings.simplefilter("ignore")
        try:
            target.read(path)
        except DataError as error:
            message = str(error)
            result.refused += 1
            result.longest_message = max(result.longest_message, len(message))
            named = path.name in message or str(path.parent) in message or not target.is_file
            if len(message) > LONGEST or not message.isprintable() or not named:
                finding = f"message {message!r:.200}: expected one line that names the file"
        except _TooLong:
            finding = f"more than {SECONDS_LIMIT} seconds"
        except Exception as error:
            finding = f"{type(error).__name__}: {str(error)!r:.200}"
    seconds, peak = time.process_time() - started, _peak() - before
    if peak > MEMORY + TIMES_SIZE * size:
        finding = finding or f"{peak >> 20} MB for {size} bytes"
    if finding:
        result.findings.append(f"file {result.files}: {finding}")
    result.files += 1
    result.seconds += seconds
    result.slowest_ms = max(result.slowest_ms, 1e3 * seconds)
    result.largest_peak_mb = max(result.largest_peak_mb, peak / (1 << 20))


class _TooLong(BaseException):
    """Raised by the clock, past everything that a reader catches."""


@contextlib.contextmanager
def _limits():
    """So many seconds and so much address space beyond what the process has; on Linux."""
    if resource is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    mapped = _status("VmSize")
    clocks = ((signal.SIGPROF, signal.ITIMER_PROF, SECONDS_LIMIT), (signal.SIGALRM, signal.ITIMER_REAL, CLOCK_LIMIT))
    handlers = [signal.signal(name, _too_long) for name, _, _ in clocks]
    try:
        if mapped:
            resource.setrlimit(resource.RLIMIT_AS, (mapped + ADDRESS_SPACE, before[1]))
        for _, timer, seconds in clocks:
            signal.setitimer(timer, seconds)
        yield
    finally:
        for (name, timer, _), handler in zip(clocks, handlers):
            signal.setitimer(timer, 0)
            signal.signal(name, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _too_long(number, frame):
    raise _TooLong


def _reset_peak():
    """Let the largest resident memory be the present one, and return it, in bytes; 0 where the system cannot say."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak():
    return _status("VmHWM")


def _status(name):
    with contextlib.suppress(OSError):
        found = re.search(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        return int(found[1]) << 10
    return 0


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
                f"{result.name:24}{result.files:7} files {result.refused:7} refused {result.seconds:7.1f} s "
                f"slowest {result.slowest_ms:6.0f} ms  peak {result.largest_peak_mb:6.2f} MB  "
                f"longest message {result.longest_message:3}  "
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
