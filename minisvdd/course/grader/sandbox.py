"""A submission in a process of its own, seen from the grader: start, call, and end it when it misbehaves."""

import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...backends import building, emulator
from ...backends.kernel import KernelError, kernel_folder
from ...errors import DataError
from ..clock import Clock
from . import disk
from .places import places
from .wire import Odd, Remote, WireError, checked_reply, message_size, odd_array, pack, unpack

_RUNNER = Path(__file__).parents[1] / "cage" / "runner.py"
_LIBRARY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Seconds are those of `clock.Clock`: waiting for a busy processor is not counted.

    call_seconds: one call (or loading the file).   total_seconds: all calls together; processor time is limited to 5 s
    more.   start_seconds: for Python to start, and for the compiler: generous, since a busy machine makes both slow.
    memory: bytes beyond what Python itself needs.   file_bytes: size of a file.   files: open at once.
    folder_bytes: of all files in its folder.   output_bytes: what is kept of prints.
    """

    call_seconds: float = 5.0
    total_seconds: float = 14.0
    start_seconds: float = 60.0
    memory: int = 1 << 30
    file_bytes: int = 1 << 24
    files: int = 40
    folder_bytes: int = 1 << 26
    output_bytes: int = 2000


class SubmissionError(Exception):
    """The submission did not deliver a result; the message says what it did instead.

    kind: missing, exception, time, died, disk, garbage, load (the file does not), or stopped (while it was loaded).
    """

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class Sandbox:
    """Runs one submission; a context manager.

    source: the bytes of the file.   filename: its name.   kind: "python" or "cuda".
    Attributes: `output`, what it printed (the first part); `tried`, what was refused to it.
    """

    def __init__(self, source: bytes, filename: str, limits: Limits | None = None, kind: str = "python"):
        self.limits, self.kind, self.filename = limits or Limits(), kind, filename
        self.output, self.tried = "", []
        self._source, self._printed, self._dropped = source, b"", 0
        self._process = self._remotes = None
        self._spent, self._slow, self._load_error = 0.0, set(), None
        self._variants = {}
        self._top = self._home = self._cache = None
        self._built = kind != "cuda"

    def __enter__(self) -> "Sandbox":
        self._top = Path(tempfile.mkdtemp(prefix="minisvdd-grade-"))
        self._top.chmod(0o711)
        self._cache = self._folder("cache")  # a kernel file is compiled once, however often the process must restart
        if not self._built:
            self._lend_runtime()
        return self

    def __exit__(self, *_) -> None:
        self._end()
        with contextlib.suppress(OSError):
            disk.remove(str(self._top))
        text = self._printed.decode("utf-8", "replace")
        self.output = text + (f"\n... and {self._dropped} further bytes" if self._dropped else "")
        for variant in self._variants.values():
            variant.__exit__()
            self.output = self.output or variant.output
            self.tried += [what for what in variant.tried if what not in self.tried]

    def call(self, name: str, *arguments, remotes: dict | None = None):
        """(what `name(*arguments)` returned, the arguments afterwards). Raises SubmissionError.

        remotes: objects by key, for `Remote` arguments: the submission may call the methods listed there.
        """
        if name in self._slow:
            raise SubmissionError("time", f"{name} took too long before and was not called again")
        self._remotes = remotes or {}
        self._load()
        try:
            reply = self._exchange({"call": name, "arguments": list(arguments)}, self._time_left())
        except SubmissionError as error:
            if error.kind == "time":
                self._slow.add(name)
            raise
        if "error" in reply:
            raise self._explained(reply["error"], name)
        if "value" not in reply or len(reply["arguments"]) != len(arguments):
            self._end()
            raise SubmissionError("garbage", f"{name}: the process answered with something else than a result")
        return reply["value"], reply["arguments"]

    def variant(self, change: Callable[[bytes], bytes]) -> "Sandbox":
        """A sandbox for the file as `change` makes it, with limits of its own; it ends with this one."""
        source = change(self._source)
        if source not in self._variants:
            self._variants[source] = Sandbox(source, self.filename, self.limits, self.kind).__enter__()
        return self._variants[source]

    def _explained(self, error, name):
        """A SubmissionError from what the runner says of an exception, with lines for a library's instructions."""
        if error.get("type") == "KernelError" and self._cache:
            for library in self._cache.rglob("*.so"):
                error["message"] = re.sub(
                    r"[\w.]+:0x([0-9a-f]{1,15})\b",
                    lambda found, library=str(library): emulator.look_up(library, int(found[1], 16)) or self.filename,
                    error["message"],
                )
        return _explain(error, name)

    # Starting and loading

    def _load(self):
        """Start the process unless it runs; what is wrong with the file is found once and said at every call."""
        if self._load_error is not None:
            raise self._load_error
        if self._process is not None:
            return
        try:
            if not self._built:
                self._start_and_load("compile", self.limits.start_seconds)
                self._end()
                self._built, self._spent = True, 0.0
            self._start_and_load(self.kind, self._time_left())
        except SubmissionError as error:
            self._end()
            kind, message = "load", str(error)
            if error.kind in ("time", "died", "disk"):
                kind, message = "stopped", f"while loading {self.filename}: {message}"
            self._load_error = SubmissionError(kind, message)
            raise self._load_error from None

    def _start_and_load(self, kind, seconds):
        self._start(kind)
        late = f"the compiler did not end in {seconds:.1f} s" if kind == "compile" else ""
        reply = self._exchange({"load": True}, seconds, late)
        if "error" in reply:
            raise self._explained(reply["error"], f"loading {self.filename}")
        if "loaded" not in reply:
            raise SubmissionError("garbage", f"loading {self.filename}: the process answered with garbage")

    def _start(self, kind):
        self._home = self._folder("home-")
        file = self._home / self.filename
        file.write_bytes(self._source)
        self._hand_to_nobody(file)
        theirs, self._requests = os.pipe()
        self._replies, theirs_too = os.pipe()
        self._notes, theirs_for_notes = os.pipe()
        self._receiver, sender = socket.socketpair()
        self._listener = None
        self._places = self._places_of(kind)
        theirs_all = (theirs, theirs_too, theirs_for_notes, sender.fileno())
        configuration = self._configuration(kind, file, *theirs_all)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-u", str(_RUNNER), json.dumps(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._home,
            env=_environment(self._home, self._cache),
            pass_fds=theirs_all,
            start_new_session=True,
        )
        self._clock = Clock(self._process.pid)
        for descriptor in (theirs, theirs_too, theirs_for_notes):
            os.close(descriptor)
        sender.close()
        self._buffer, self._said = b"", b""
        for descriptor in (self._requests, self._replies, self._notes, self._process.stdout.fileno()):
            os.set_blocking(descriptor, False)
        try:
            self._receive(self.limits.start_seconds, "it did not start in time")
        except SubmissionError as error:
            raise SubmissionError("start", f"Python could not be started for the submission: {error}") from None

    def _configuration(self, kind, file, requests, replies, notes, listener):
        """What the runner is told; the last four are descriptors, of its ends of the pipes and of a socket."""
        return {
            "kind": kind,
            "file": str(file),
            "places": self._places,
            "pipes": [requests, replies],
            "notes": notes,
            "listener": listener,
            "packages": str(Path(np.__file__).resolve().parents[1]),
            "library": str(_LIBRARY),
            "cpu_seconds": int(self.limits.total_seconds) + 5,
            "memory": self.limits.memory,
            "file_bytes": self.limits.file_bytes,
            "files": self.limits.files + max(replies, notes, listener),
        }

    def _folder(self, prefix):
        folder = Path(tempfile.mkdtemp(dir=self._top, prefix=prefix)).resolve()
        self._hand_to_nobody(folder)
        return folder

    def _lend_runtime(self):
        """Copy the emulator's own code, which the grader's user has compiled once for all submissions, into the cache.

        Where he keeps nothing, each submission's process compiles it.
        """
        folder = self._cache
        with contextlib.suppress(OSError, KernelError, DataError):
            runtime = building.runtime()
            for name in ("minisvdd", "emulator"):
                folder = folder / name
                folder.mkdir()
                self._hand_to_nobody(folder)
            self._hand_to_nobody(shutil.copy(runtime, folder))

    @staticmethod
    def _hand_to_nobody(path):
        """Give a file to the user whom the process becomes when the grader is root."""
        if os.getuid() == 0:
            from ..cage.confine import NOBODY  # not above: it imports what Windows lacks, and more comes by here

            with contextlib.suppress(OSError):
                os.chown(path, NOBODY, NOBODY)

    def _places_of(self, kind):
        """The compiler needs the library and writes the cache; later that can be read, and nothing of the library."""
        found = places(self._home, (self._cache,) if kind == "compile" else ())
        if kind == "compile":
            found["readable"] += [str(_LIBRARY), str(kernel_folder()), found["packages"][0]]
            found["closed"] = []
        if self.kind == "cuda":
            found["readable"].append(str(self._cache))
            found["needed"].append(str(_LIBRARY))
        return found

    def _end(self):
        """Kill the process and all it started, and remove its folder."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._drain()
        self._read_notes()
        self._process.stdout.close()
        for descriptor in (self._requests, self._replies, self._notes):
            os.close(descriptor)
        self._receiver.close()
        if self._listener is not None:
            self._listener.close()
        self._process = None
        with contextlib.suppress(OSError):
            disk.remove(str(self._home))

    def _time_left(self):
        left = self.limits.total_seconds - self._spent
        if left <= 0:
            raise SubmissionError("time", f"no time left: a submission may use {self.limits.total_seconds:g} s in all")
        return min(left, self.limits.call_seconds)

    # Messages

    def _exchange(self, request, seconds, late=""):
        """Send a request, answer what the submission asks of remote objects meanwhile, return its reply."""
        start = self._clock.now()
        if not late:
            whole = seconds >= self.limits.call_seconds
            rest = "" if whole else f", the rest of {self.limits.total_seconds:g} s in all"
            late = f"no result after {seconds:.1f} s{rest}: an endless loop?"
        try:
            message = request
            while True:
                left = seconds - (self._clock.now() - start)
                reply = self._receive(left, late, pack(message))
                self._check_disk()
                if "remote" not in reply:
                    return reply
                message = self._answer(reply)
        finally:
            self._spent += self._clock.now() - start

    def _note(self, *tried):
        for what in tried:
            what = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in what)[:200]
            if what not in self.tried and len(self.tried) < 20:
                self.tried.append(what)

    def _answer(self, reply):
        key, method, arguments, keywords = (reply[name] for name in ("remote", "method", "arguments", "keywords"))
        target, methods = self._remotes.get(key, (None, ()))
        if method not in methods:
            return {"refused": "there is no such object or method"}
        try:
            return {"answer": getattr(target, method)(*arguments, **keywords)}
        except Exception as error:
            return {"refused": f"{method}: {error}"}

    def _receive(self, seconds, late, outgoing=b""):
        """Write `outgoing` and wait for one message; whatever goes wrong ends the process."""
        deadline = self._clock.now() + seconds
        try:
            with selectors.DefaultSelector() as selector:
                for source in (self._replies, self._process.stdout, self._notes, self._receiver, self._listener):
                    if source is not None:
                        selector.register(source, selectors.EVENT_READ)
                if outgoing:
                    selector.register(self._requests, selectors.EVENT_WRITE)
                return self._wait_for_message(selector, deadline, late, outgoing)
        except BrokenPipeError:
            error = self._ended()
            self._end()
            raise error from None
        except WireError:
            self._end()
            raise SubmissionError("garbage", "the process wrote garbage where its results belong") from None
        except SubmissionError:
            self._end()
            raise

    def _wait_for_message(self, selector, deadline, late, outgoing):
        """The next message, once `outgoing` is written, too; `late` says what it means that none came in time."""
        while True:
            reply = self._whole_message()
            left = deadline - self._clock.now()
            if left <= 0:
                raise SubmissionError("time", late)
            if reply is not None and not outgoing:
                return reply
            ready = selector.select(min(left, 0.1))
            if not ready:
                self._check_disk()
            for key, _ in ready:
                if key.fileobj == self._requests:
                    outgoing = outgoing[os.write(self._requests, outgoing[: 1 << 16]) :]
                    more = bool(outgoing)
                else:
                    more = self._take(key.fileobj, selector)
                if not more:
                    selector.unregister(key.fileobj)

    def _take(self, source, selector):
        """Read what came, a reply or what comes beside it. Returns False when no more will come from there."""
        if source == self._replies:
            self._read_reply()
            return True
        if source is self._process.stdout:
            return self._drain()
        if source == self._notes:
            if self._read_notes():
                return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.2)
                return False
            self._note("closing the pipe for what it tries")
            return False
        if source is self._listener:
            answered = self._listener.answer()
            if answered is None:
                return False
            self._note(*answered[0])
            if answered[1]:
                self._check_disk()
            return True
        from .watch import Listener, receive  # not above: Windows lacks what it imports

        listener = receive(self._receiver)
        if listener is not None:
            self._listener = Listener(listener, self._places)
            selector.register(self._listener, selectors.EVENT_READ)
        return False

    def _read_notes(self):
        """What Python's hook wrote down."""
        while True:
            try:
                data = os.read(self._notes, 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False
            *whole, self._said = (self._said + data).split(b"\0")
            self._said = self._said[:1000]
            self._note(*(what.decode("utf-8", "replace") for what in whole))

    def _check_disk(self):
        problem = disk.too_much(str(self._home), self.limits.folder_bytes)
        if problem:
            raise SubmissionError("disk", f"the process was ended: it {problem}")

    def _read_reply(self):
        data = os.read(self._replies, 1 << 20)
        if not data:
            raise self._ended()
        self._buffer += data

    def _ended(self):
        """The error for a process that closed its pipe, most likely by ending."""
        try:
            return SubmissionError("died", _how_it_ended(self._process.wait(1)))
        except subprocess.TimeoutExpired:
            return SubmissionError("garbage", "the process closed the pipe for its results")

    def _whole_message(self):
        size = message_size(self._buffer)
        if size is None or len(self._buffer) < size:
            return None
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return checked_reply(unpack(data))

    def _drain(self):
        """Read what was printed, keep the beginning. Returns False at its end."""
        while True:
            try:
                data = os.read(self._process.stdout.fileno(), 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False
            kept = max(0, self.limits.output_bytes - len(self._printed))
            self._printed += data[:kept]
            self._dropped += len(data[kept:])


def remote(target, key: int, methods: tuple[str, ...]):
    """(the argument to send, the entry of `remotes`) for an object that the submission may call."""
    return Remote(key, methods), {key: (target, methods)}


def _environment(home, cache):
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")}
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "CXX") if name in os.environ}
    return {**kept, **threads, "HOME": str(home), "XDG_CACHE_HOME": str(cache), "TMPDIR": str(home), "LANG": "C.UTF-8"}


def _how_it_ended(status):
    if status >= 0:
        return f"the process ended (exit status {status}) before it gave a result: is there an exit in the code?"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    reason = {"SIGXCPU": "too much processor time", "SIGSEGV": "a crash in native code or endless recursion"}
    return f"the process was ended by {name}" + (f": {reason[name]}" if name in reason else "")


def _explain(error, name):
    """A SubmissionError from what the runner says of an exception."""
    kind, message, line = (error.get(key) for key in ("type", "message", "line"))
    if kind == "missing":
        return SubmissionError("missing", f"there is no function {name}")
    if kind == "NotImplementedError":
        return SubmissionError("missing", f"{name} is not implemented yet")
    where = f" in line {line}: {error.get('text')}" if isinstance(line, int) else ""
    if kind == "SystemExit":
        return SubmissionError("exception", f"{name} called exit{where}")
    if kind == "MemoryError":
        return SubmissionError("exception", f"{name} asked for more memory than allowed{where}")
    if kind == "KernelError":
        return SubmissionError("exception", str(message))
    return SubmissionError("exception", f"{name} raised {kind}: {message}{where}")


def type_of(value) -> str:
    """How feedback calls a value."""
    if isinstance(value, np.ndarray) and value.dtype.kind not in "biuf":
        return odd_array(value).type
    return value.type if isinstance(value, Odd) else type(value).__name__
