"""Kill trainings, saves, downloads and a grid again and again, at random moments; go on; look whether anything is lost.

    python benchmarks/interruptions.py --out benchmarks/results/interruptions.json [--trainings 5 --saves 200 ...]

After every kill, whatever file lies under a final name must be whole. In the end a training must be, bit for bit, the
one that was never killed; a download must have the right content, and a grid the table that it has without any kill.
"""

import functools
import http.server
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from common import make_parser

from minisvdd import DataError, load_dataset, load_model
from minisvdd.data.download import download
from minisvdd.experiments.experiments import versions
from minisvdd.experiments.grid import cells_of, make_grid, read_cell, read_scores
from minisvdd.files.arrays import read_arrays
from minisvdd.files.atomic import write_json

COMMAND = [sys.executable, "-m", "minisvdd"]
TRAIN = [*COMMAND, "train", "--data", "digits", "--quiet", "--checkpoint-every", "1", "--out"]
GRID = [*COMMAND, "experiment", "table1-digits", "--methods", "one-class", "--classes", "3", "8", "--seeds", "2"]
SIGNALS = (signal.SIGKILL, signal.SIGINT)


def start(*command) -> subprocess.Popen:
    """A command as a process that leads a group of its own."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    # a shell starts what runs in the background with Ctrl-C ignored, and children inherit that
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen([str(part) for part in command], preexec_fn=listen, **quiet)


def killed_again_and_again(command, rng, longest: float, most: int, damaged) -> dict:
    """Start, kill the group after a random time (SIGKILL and SIGINT in turn), start again; the last run may finish.

    damaged(): the number of damaged files, counted after every kill.
    """
    kills = lost = 0
    while True:
        process = start(*command)
        try:
            process.wait(timeout=None if kills == most else rng.uniform(0.2 * longest, 0.8 * longest))
            return {"kills": kills, "damaged": lost, "status": process.returncode}
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, SIGNALS[kills % 2])
            process.wait()
            kills += 1
            lost += damaged()


def timed(command) -> float:
    """Seconds that a command takes."""
    started = time.perf_counter()
    start(*command).wait()
    return time.perf_counter() - started


# Trainings


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


def trainings(folder: Path, rng, count: int) -> list[dict]:
    """Whole trainings, killed and resumed."""
    longest, rows = timed([*TRAIN, folder / "whole"]), []
    for k in range(count):
        out = folder / str(k)
        row = killed_again_and_again([*TRAIN, out, "--resume"], rng, longest, 6, lambda out=out: damaged_files(out))
        rows.append({**row, "identical": same(out / "model.npz", folder / "whole" / "model.npz")})
    return rows


# Saves


def save_for_ever(paths, target: Path) -> None:
    """In a child process: save two models over each other until it is killed."""
    models = [load_model(path) for path in paths]
    while True:
        for model in models:
            model.save(target)


def saves(folder: Path, rng, count: int, processes) -> dict:
    """Kill a process that does nothing but save: the file must be one of the two models, whole, each time."""
    paths, target, row = [folder / f"{n}.npz" for n in range(2)], folder / "saved" / "model.npz", {"kills": count}
    for n, path in enumerate(paths):
        model = load_model(folder / "whole" / "model.npz")
        model.network_.params["0.weight"][...] += n
        model.save(path)
    allowed = [path.read_bytes() for path in paths]
    row["damaged"] = 0
    for _ in range(count):
        process = processes.Process(target=save_for_ever, args=(paths, target))
        process.start()
        while process.is_alive() and not target.exists():
            time.sleep(0.001)
        time.sleep(rng.uniform(0.1, 0.2))
        process.kill()
        process.join()
        row["damaged"] += target.read_bytes() not in allowed
    row["left_behind"] = len(list(target.parent.iterdir())) - 1
    for path in target.parent.iterdir():
        os.utime(path, (time.time() - 2 * 3600,) * 2)
    load_model(paths[0]).save(target)
    row["left_after_the_next_save"] = len(list(target.parent.iterdir())) - 1
    return row


# Downloads


class SlowServer(http.server.BaseHTTPRequestHandler):
    """Sends `content`, or what a range asks for, a little at a time."""

    content = np.random.default_rng(0).bytes(1 << 20)

    def do_GET(self):
        """Answer one request."""
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first, total = int(wanted[1]) if wanted else 0, len(self.content)
        if first >= total:
            return self.send_error(416)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - first))
        self.end_headers()
        try:
            for start in range(first, total, 1 << 12):
                self.wfile.write(self.content[start : min(start + (1 << 12), total)])
                time.sleep(0.001)
        except OSError:  # the client was killed
            pass
        return None

    def log_message(self, *args):
        """Say nothing."""


def check_content(path: Path) -> None:
    """DataError unless it is what the server has."""
    if path.read_bytes() != SlowServer.content:
        raise DataError(f"{path}: damaged")


def downloads(folder: Path, rng, count: int, processes) -> dict:
    """Kill downloads of one file until they are done: never anything but the right content under the final name."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, row = f"http://127.0.0.1:{server.server_port}/file", {"files": count, "kills": 0, "damaged": 0}
    for n in range(count):
        target = folder / f"file{n}"
        while not target.exists():
            process = processes.Process(target=download, args=([url], target, check_content))
            process.start()
            process.join(rng.uniform(0.05, 0.4))
            row["kills"] += process.is_alive()
            process.kill()
            process.join()
        row["damaged"] += target.read_bytes() != SlowServer.content
    server.shutdown()
    return row


# A grid


def grid(folder: Path, rng) -> dict:
    """A grid on two processes, killed as a whole and run again until it is done."""
    cells = cells_of(make_grid("digits", methods=["dcae", "one-class"], classes=["3", "8"], seeds=2, protocol="quick"))
    n_test = len(load_dataset("digits").test_labels)

    def damaged(out):
        return sum(len(read_scores(cell, out)) != n_test for cell in cells if read_cell(cell, out))

    def results(out):
        return [read_cell(cell, out)["auc"] for cell in cells]

    whole, out = folder / "grid-whole", folder / "grid"
    command = [*GRID, "--protocol", "quick", "--quiet", "--jobs", "2", "--out"]
    longest = timed([*command, whole])
    row = killed_again_and_again([*command, out], rng, longest, 4, functools.partial(damaged, out))
    return {**row, "identical": results(out) == results(whole)}


def main() -> int:
    """Run all; exit status 1 when anything was damaged or differs."""
    parser = make_parser(__doc__)
    parser.add_argument("--trainings", type=int, default=5)
    parser.add_argument("--saves", type=int, default=200, help="kills of a process that saves")
    parser.add_argument("--downloads", type=int, default=20, help="files, each killed until it is there")
    parser.add_argument("--no-grid", action="store_true")
    arguments = parser.parse_args()
    rng, processes = np.random.default_rng(0), multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["minisvdd", "minisvdd.data.download"])
    with tempfile.TemporaryDirectory() as name:
        folder, result = Path(name), {}
        result["trainings"] = trainings(folder, rng, arguments.trainings)
        result["saves"] = saves(folder, rng, arguments.saves, processes)
        result["downloads"] = downloads(folder, rng, arguments.downloads, processes)
        if not arguments.no_grid:
            result["grid"] = grid(folder, rng)
    print(result)
    if arguments.out:
        write_json(arguments.out, {**result, "versions": versions()})
    rows = [*result["trainings"], *(row for name, row in result.items() if name != "trainings")]
    sound = all(row.get("identical", True) and not row["damaged"] and row.get("status", 0) == 0 for row in rows)
    return 0 if sound and not result["saves"]["left_after_the_next_save"] else 1


if __name__ == "__main__":
    sys.exit(main())
