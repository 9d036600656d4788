"""Kill trainings, grids, downloads, attacks and saves, again and again, at random moments; go on; is anything lost?

    python benchmarks/interruptions.py --out benchmarks/results/interruptions.json [--kills 90 --attacks 30 --saves 200]

Every command is killed in one of three ways in turn: SIGKILL to its main process alone (its workers must notice),
Ctrl-C to all its processes, SIGTERM to the main process (as `timeout` and batch systems do it). After every kill,
whatever lies under a final name must be whole, and two seconds later none of its processes may be left. Then the same
command goes on. In the end its result must be, bit for bit, that of one that was never killed, with no temporary file
beside it.
"""

import functools
import http.server
import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import make_parser

from minisvdd import DeepSVDD, load_dataset, load_model
from minisvdd.data.download import SOURCES
from minisvdd.experiments.experiments import versions
from minisvdd.files.arrays import read_array, read_arrays
from minisvdd.files.atomic import write_json

COMMAND = [sys.executable, "-m", "minisvdd"]
PATIENCE = 2.0  # seconds in which the processes of a killed command must be gone
LOADED = 0.3  # seconds after which our first line must have run
MOST_KILLS = 6  # of one run, which may finish then


@dataclass(frozen=True)
class Work:
    """A command that goes on where it was, and what it leaves in its folder.

    command(out): its words.   result(out): what must be the same in the end, comparable with `==`.
    """

    command: Callable[[Path], list]
    result: Callable[[Path], object]


# Processes


def start(command, scratch: Path) -> subprocess.Popen:
    """A command as a process that leads a session of its own, by which its processes are found."""
    # a shell starts what runs in the background with Ctrl-C ignored, and children inherit that
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    environment = {**os.environ, "TMPDIR": str(scratch)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    return subprocess.Popen([str(word) for word in command], preexec_fn=listen, env=environment, **quiet)


def living(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            state, *numbers = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(numbers[2]) == session and state != "Z":
            found.append(int(folder.name))
    return found


def seconds_until_gone(session: int) -> float:
    """How long its processes live on; at most `PATIENCE` and a little."""
    started = time.perf_counter()
    while living(session) and time.perf_counter() - started < PATIENCE:
        time.sleep(0.02)
    return time.perf_counter() - started


def kill(process: subprocess.Popen, how: str) -> None:
    """End a command in one of the three ways."""
    if how == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(getattr(signal, how))
    process.wait()


def left_in(*folders: Path) -> list[str]:
    """Temporary files, and what joblib keeps in shared memory for processes that are no more."""
    files = [path.name for folder in folders for path in folder.rglob("*") if is_temporary(path, folder)]
    for path in Path("/dev/shm").glob("*"):
        owner = re.match(r"(?:joblib_memmapping_folder_|sem\.loky-)(\d+)", path.name)
        if owner and owner[1] in STARTED:
            files.append(path.name)
    return files


def is_temporary(path: Path, folder: Path) -> bool:
    """All that lies in the scratch folder, and the names that files have while they are written."""
    return folder.name == "scratch" or path.name.endswith((".minisvdd-tmp", ".part"))


STARTED: set[str] = set()  # numbers of the processes that were killed


# Damage and results


def damaged_files(out: Path) -> int:
    """Files under their final names that cannot be read."""
    readers = {".npz": read_arrays, ".npy": read_array, ".json": lambda path: json.loads(path.read_text("utf-8"))}
    readers[".zip"] = lambda path: zipfile.ZipFile(path).testzip()
    count = 0
    for path in out.rglob("*"):
        try:
            readers.get(path.suffix, lambda path: None)(path)
        except (ValueError, OSError, zipfile.BadZipFile):
            count += 1
    return count


def model_result(out: Path) -> tuple:
    """A saved model's arrays and losses."""
    model = load_model(out / "model.npz")
    arrays = {**model.network_.arrays, "c": model.center_}
    return model.history_["loss"], model.radius_, {name: array.tobytes() for name, array in arrays.items()}


def grid_result(out: Path) -> tuple:
    """AUCs and scores of all cells, and the table."""
    cells = {str(path.relative_to(out)): json.loads(path.read_text())["auc"] for path in out.rglob("cells/*/*/*.json")}
    scores = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.npy")}
    return cells, scores, json.loads((out / "grid.json").read_text())


def folder_result(out: Path) -> dict:
    """All files, byte for byte."""
    return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def attack_result(out: Path) -> tuple:
    """The adversarial images, the classifier, and the figures but for the seconds."""
    arrays = {f"{name}/{key}": a.tobytes() for name in ("adversarial", "classifier")
              for key, a in read_arrays(out / f"{name}.npz").items() if key != "minisvdd"}  # fmt: skip
    figures = json.loads((out / "attack.json").read_text())
    return arrays, {name: value for name, value in figures.items() if not name.startswith("seconds")}


# Works


class SlowServer(http.server.BaseHTTPRequestHandler):
    """Sends an archive, or what a range of it asks for, a little at a time."""

    def do_GET(self):
        """Answer one request."""
        content = archive(self.path.strip("/"))
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first, total = int(wanted[1]) if wanted else 0, len(content)
        if first >= total:
            return self.send_error(416)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - first))
        self.end_headers()
        try:
            for place in range(first, total, 1 << 12):
                self.wfile.write(content[place : min(place + (1 << 12), total)])
                time.sleep(0.002)
        except OSError:  # the client was killed
            pass
        return None

    def log_message(self, *args):
        """Say nothing."""


@functools.cache
def archive(name: str) -> bytes:
    """A zip archive as the check of GTSRB's files wants it, of random bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        member = SOURCES["gtsrb"].files[name].keywords["member"]
        file.writestr(member, np.random.default_rng(len(name)).bytes(1 << 20))
    return stream.getvalue()


_FETCH = """
import sys
from minisvdd.cli import main
from minisvdd.data import download
download.SOURCES["gtsrb"] = download.SOURCES["gtsrb"]._replace(urls=(sys.argv[1],))
sys.exit(main(["data", "fetch", "gtsrb", "--quiet", "--data-dir", sys.argv[2]]))
"""
_GRID = ["experiment", "table1-digits", "--classes", "3", "8", "--seeds", "2", "--protocol", "quick", "--quiet"]
_METHODS = ["--methods", "isolation-forest", "one-class", "--jobs", "2"]
_ATTACK = ["attack", "--data", "digits", "--count", "5", "--queries", "300", "--quiet"]


def works(url: str) -> dict[str, Work]:
    """All of them by name."""
    train = [*COMMAND, "train", "--data", "digits", "--quiet", "--checkpoint-every", "1", "--resume", "--out"]
    return {
        "train": Work(lambda out: [*train, out], model_result),
        "experiment": Work(lambda out: [*COMMAND, *_GRID, *_METHODS, "--out", out], grid_result),
        "fetch": Work(lambda out: [sys.executable, "-c", _FETCH, url, out], folder_result),
        "attack": Work(lambda out: [*COMMAND, *_ATTACK, "--out", out], attack_result),
    }


def killed(name: str, work: Work, folder: Path, rng, kills: int) -> dict:
    """Run a work until it has been killed so many times; every run goes on until it is done."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    started = time.perf_counter()
    status = start(work.command(folder / "whole"), scratch).wait()
    longest, expected = time.perf_counter() - started, work.result(folder / "whole")
    row = {"runs": 0, "kills": Counter(), "identical": 0, "damaged": 0, "outlived": 0, "left_over": 0, "failed": 0}
    row["failed"] += status != 0
    slowest = 0.0
    while sum(row["kills"].values()) < kills:
        out, mine = folder / str(row["runs"]), 0
        while True:
            process, how = start(work.command(out), scratch), ("SIGKILL", "SIGINT", "SIGTERM")[mine % 3]
            STARTED.add(str(process.pid))
            try:
                process.wait(timeout=None if mine == MOST_KILLS else rng.uniform(0, 0.9 * longest))
                break
            except subprocess.TimeoutExpired:
                kill(process, how)
            gone = seconds_until_gone(process.pid)
            slowest = max(slowest, gone)
            row["outlived"] += gone > PATIENCE
            row["kills"][how] += 1
            row["damaged"] += damaged_files(out)
            mine += 1
        row["runs"] += 1
        row["failed"] += process.returncode != 0
        row["identical"] += work.result(out) == expected
        row["left_over"] += len(left_in(out, scratch))
        print(f"{name}: {dict(row)}", file=sys.stderr, flush=True)
    return {**row, "kills": dict(row["kills"]), "slowest_end_seconds": round(slowest, 2), "seconds": round(longest, 1)}


# Saves


def save_for_ever(paths, target: Path) -> None:
    """In a child process: save two models over each other until it is killed."""
    models = [load_model(path) for path in paths]
    while True:
        for model in models:
            model.save(target)


def saves(folder: Path, rng, count: int) -> dict:
    """Kill a process that does nothing but save: the file must be one of the two models, whole, each time."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["minisvdd"])
    folder.mkdir()
    paths, target = [folder / f"{n}.npz" for n in range(2)], folder / "saved" / "model.npz"
    for seed, path in enumerate(paths):
        model = DeepSVDD(pretrain_epochs=0, epochs=1, random_state=seed, verbose=0)
        model.fit(load_dataset("digits").one_class(3).train).save(path)
    allowed, row = [path.read_bytes() for path in paths], {"kills": count, "damaged": 0}
    for _ in range(count):
        process = processes.Process(target=save_for_ever, args=(paths, target))
        process.start()
        while process.is_alive() and not target.exists():
            time.sleep(0.001)
        time.sleep(rng.uniform(0.1, 0.2))
        process.kill()
        process.join()
        row["damaged"] += target.read_bytes() not in allowed
    load_model(paths[0]).save(target)
    row["left_after_the_next_save"] = len(list(target.parent.iterdir())) - 1
    return row


# The first moments


def first_moments(out: Path, count: int) -> dict:
    """Ctrl-C while a command is being loaded: when did it not end in one line and status 130?

    Python's own start, some hundredths of a second, is not ours: its traceback is the only thing that may stand there.
    """
    listen, pages = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL), []
    for moment in np.linspace(0.02, 2, count):
        command = [*COMMAND, "train", "--quiet", "--epochs", "100000", "--out", str(out)]
        options = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        process = subprocess.Popen(command, preexec_fn=listen, **options)
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate()[1]
        if not re.fullmatch(r"minisvdd: error: interrupted.*\n", said) or process.returncode != 130:
            pages.append(round(float(moment), 2))
    return {"moments": count, "seconds_without_one_line": pages}


def main() -> int:
    """Run all; exit status 1 when anything was damaged, differs, lived on or was left over."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--works", nargs="+", default=[*works(""), "saves", "starts"], help="what to kill (default: %(default)s)"
    )
    parser.add_argument("--kills", type=int, default=90, help="of trainings, of grids and of downloads")
    parser.add_argument("--attacks", type=int, default=30, help="kills of attacks")
    parser.add_argument("--saves", type=int, default=200, help="kills of a process that saves")
    parser.add_argument("--starts", type=int, default=60, help="Ctrl-C in the first two seconds of a training")
    arguments = parser.parse_args()
    rng, result = np.random.default_rng(0), {}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    known = works(f"http://127.0.0.1:{server.server_port}")
    with tempfile.TemporaryDirectory() as name:
        for kind in arguments.works:
            folder = Path(name) / kind
            if kind == "saves":
                result[kind] = saves(folder, rng, arguments.saves)
            elif kind == "starts":
                result[kind] = first_moments(folder, arguments.starts)
            else:
                kills = arguments.attacks if kind == "attack" else arguments.kills
                result[kind] = killed(kind, known[kind], folder, rng, kills)
    print(result)
    if arguments.out:
        write_json(arguments.out, {**earlier(arguments.out), **result, "versions": versions()})
    bad = ("damaged", "outlived", "left_over", "failed", "left_after_the_next_save")
    late = [moment for moment in result.get("starts", {}).get("seconds_without_one_line", []) if moment > LOADED]
    sound = not late and all(row.get("identical") == row.get("runs") for row in result.values())
    return 0 if sound and not any(row.get(what) for row in result.values() for what in bad) else 1


def earlier(path: str) -> dict:
    """What an earlier call has written: with --works, a file may be made in several calls."""
    return json.loads(Path(path).read_text()) if Path(path).is_file() else {}


if __name__ == "__main__":
    sys.exit(main())
