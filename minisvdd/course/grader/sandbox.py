"""A submission in a process of its own, seen from the grader: start, call, and end it when it misbehaves."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .wire import Odd, Remote, WireError, message_size, pack, unpack

_RUNNER = Path(__file__).with_name("runner.py")
_LIBRARY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Seconds are of wall clock unless said otherwise.

    call_seconds: one call (or loading the file).   total_seconds: all calls together; processor time is limited to 5 s
    more.   start_seconds: for Python to start, and for the compiler: generous, since a busy machine makes both slow.
    memory: bytes beyond what Python itself needs.   file_bytes: size of a file.   output_bytes: what is kept of prints.
    """

    call_seconds: float = 5.0
    total_seconds: float = 14.0
    start_seconds: float = 60.0
    memory: int = 1 << 30
    file_bytes: int = 1 << 24
    output_bytes: int = 2000


class SubmissionError(Exception):
    """The submission did not deliver a result; the message says what it did instead.

    kind: missing, exception, time, died, garbage or load.
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
        self._home, self._variants = None, {}

    def __enter__(self) -> "Sandbox":
        self._home = tempfile.TemporaryDirectory(prefix="minisvdd-grade-", ignore_cleanup_errors=True)
        return self

    def __exit__(self, *_) -> None:
        self._end()
        self._home.cleanup()
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
            raise _explain(reply["error"], name)
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

    # Starting and loading

    def _load(self):
        """Start the process unless it runs; what is wrong with the file is found once and said at every call."""
        if self._load_error is not None:
            raise self._load_error
        if self._process is not None:
            return
        try:
            self._start()
            compiles = self.kind == "cuda"
            reply = self._exchange({"load": True}, self.limits.start_seconds if compiles else self._time_left())
            self._spent *= not compiles
            if "error" in reply:
                raise _explain(reply["error"], f"loading {self.filename}")
            if "loaded" not in reply:
                raise SubmissionError("garbage", f"loading {self.filename}: the process answered with garbage")
        except SubmissionError as error:
            self._end()
            message = str(error)
            if error.kind in ("time", "died"):
                message = f"while loading {self.filename}: {message}"
            self._load_error = SubmissionError("load", message)
            raise self._load_error from None

    def _start(self):
        home = Path(tempfile.mkdtemp(dir=self._home.name))
        for folder in (Path(self._home.name), home):
            folder.chmod(0o711 if folder != home else 0o700)
        file = home / self.filename
        file.write_bytes(self._source)
        cache = (
            Path(self._home.name) / "cache"
        )  # a kernel file is compiled once, however often the process must restart
        cache.mkdir(exist_ok=True)
        if os.getuid() == 0:  # so that the user nobody, whom the process becomes, can use its folder
            from .confine import NOBODY  # not above: it imports what Windows lacks, and more than grading comes by here

            with contextlib.suppress(OSError):
                for path in (home, file, cache):
                    os.chown(path, NOBODY, NOBODY)
        theirs, self._requests = os.pipe()
        self._replies, theirs_too = os.pipe()
        configuration = {
            "kind": self.kind,
            "file": str(file),
            "pipes": [theirs, theirs_too],
            "packages": str(Path(np.__file__).resolve().parents[1]),
            "library": str(_LIBRARY),
            "cpu_seconds": int(self.limits.total_seconds) + 5,
            "memory": self.limits.memory,
            "file_bytes": self.limits.file_bytes,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-u", str(_RUNNER), json.dumps(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=home,
            env=_environment(home, cache),
            pass_fds=(theirs, theirs_too),
            start_new_session=True,
        )
        os.close(theirs)
        os.close(theirs_too)
        self._buffer = b""
        for descriptor in (self._requests, self._replies, self._process.stdout.fileno()):
            os.set_blocking(descriptor, False)
        try:
            self._receive(self.limits.start_seconds, "it did not start in time")
        except SubmissionError as error:
            raise SubmissionError("start", f"Python could not be started for the submission: {error}") from None

    def _end(self):
        """Kill the process and all it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._drain()
        self._process.stdout.close()
        os.close(self._requests)
        os.close(self._replies)
        self._process = None

    def _time_left(self):
        left = self.limits.total_seconds - self._spent
        if left <= 0:
            raise SubmissionError("time", f"no time left: a submission may use {self.limits.total_seconds:g} s in all")
        return min(left, self.limits.call_seconds)

    # Messages

    def _exchange(self, request, seconds):
        """Send a request, answer what the submission asks of remote objects meanwhile, return its reply."""
        start = time.monotonic()
        try:
            message = request
            while True:
                left = seconds - (time.monotonic() - start)
                reply = self._receive(left, f"no result after {seconds:.1f} s: an endless loop?", pack(message))
                self._note(reply)
                if "remote" not in reply:
                    return reply
                message = self._answer(reply)
        finally:
            self._spent += time.monotonic() - start

    def _note(self, reply):
        tried = reply.get("tried", ())
        for what in tried if isinstance(tried, list) else ():
            if isinstance(what, str) and what not in self.tried and len(self.tried) < 20:
                self.tried.append(what[:200])

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
        deadline = time.monotonic() + seconds
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._replies, selectors.EVENT_READ)
                selector.register(self._process.stdout, selectors.EVENT_READ)
                if outgoing:
                    selector.register(self._requests, selectors.EVENT_WRITE)
                while True:
                    reply = self._whole_message()
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise SubmissionError("time", late)
                    if reply is not None and not outgoing:
                        return reply
                    for key, _ in selector.select(min(left, 0.2)):
                        if key.fd == self._requests:
                            outgoing = outgoing[os.write(self._requests, outgoing[: 1 << 16]) :]
                            if not outgoing:
                                selector.unregister(self._requests)
                        elif key.fd == self._replies:
                            self._read_reply()
                        elif not self._drain():
                            selector.unregister(self._process.stdout)
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
        return _checked(unpack(data))

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


_FIELDS = {  # of a reply, by the field that says which one it is
    "remote": {"remote": int, "method": str, "arguments": list, "keywords": dict},
    "error": {"error": dict},
    "value": {"arguments": list},
}


def _checked(reply):
    """The reply, if its fields are of the types that the runner sends; its sender is not to be trusted."""
    if not isinstance(reply, dict):
        raise WireError("not a reply")
    for kind, fields in _FIELDS.items():
        if kind in reply and not all(isinstance(reply.get(name), wanted) for name, wanted in fields.items()):
            raise WireError("not a reply")
    said = reply.get("error", {})
    if not all(isinstance(said.get(name, ""), str) for name in ("type", "message", "text")):
        raise WireError("not a reply")
    return reply


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
    return value.type if isinstance(value, Odd) else type(value).__name__
