"""Writing files so that nothing is lost: the old content stays in place until the new one is complete.

What is there already decides how: a regular file is replaced and keeps its permissions, behind a symbolic link it is
the link's target, and a pipe or a device is written into.

A file grows in the same folder as `.<name>.<writer>.<random>.minisvdd-tmp`. A process that is killed leaves it there,
where it does no harm: nothing reads such names. The next file written into that folder removes it: at once when the
writer ran on this machine and is no more, else (other machines may write into that folder, too) once it is an hour old.
"""

import hashlib
import json
import math
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

from ..errors import DataError

_TEMPORARY = ".minisvdd-tmp"
_TEXT = {"encoding": "utf-8", "newline": "\n"}  # the same bytes on every system
# Seconds after which a temporary file that has not grown belongs to nobody: writing takes seconds, on any disk.
_ABANDONED = 3600
_MOST_TRIES = 20  # to begin a file in a folder that others remove


@contextmanager
def atomic_write(path, mode: str = "w") -> Iterator[IO]:
    """Open a temporary file beside `path` for writing; rename it to `path` when the block ends without an error.

    mode: "w" (UTF-8 text) or "wb". The folder is made when it is missing. A pipe or device is no file to be replaced:
    the block writes into it.
    Raises DataError, naming the path, when it cannot be written; the temporary file is removed then.
    """
    path = Path(path)
    temporary, text = None, {} if "b" in mode else _TEXT
    try:
        _make_folder(path.parent)
        there = _status(path)
        if there is not None and not stat.S_ISREG(there.st_mode) and not stat.S_ISDIR(there.st_mode):
            with open(path, mode, **text) as file:
                yield file
            return
        target = Path(os.path.realpath(path))
        handle, temporary = _begin(target, path.parent)
        remove_abandoned(target.parent, os.fstat(handle).st_mtime)
        with os.fdopen(handle, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _permissions() if there is None else stat.S_IMODE(there.st_mode))
        os.replace(temporary, target)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def _make_folder(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        if os.path.lexists(folder):  # else it was there, and was removed in between: see `_begin`
            raise


def _begin(target, folder):
    """Handle and name of a temporary file for `target`; `folder` is made again where another process removed it."""
    for _ in range(_MOST_TRIES):
        with suppress(FileNotFoundError):
            return tempfile.mkstemp(_TEMPORARY, f".{target.name}.{_writer()}.", target.parent)
        _make_folder(folder)
    return tempfile.mkstemp(_TEMPORARY, f".{target.name}.{_writer()}.", target.parent)


def _status(path):
    """What lies there, through links; None for nothing yet. OSError for a loop of links."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


@contextmanager
def _refused(folder, what="cannot be written"):
    """An OSError of the block as a DataError that names the folder."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{folder}: {what}: {error.strerror or error}") from error


def check_writable(folder) -> None:
    """Raise DataError, naming the folder, unless files can be made in it: better before hours of work than after.

    The folder is made when it is missing.
    """
    with _refused(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def remove_abandoned(folder: Path, now: float, name: str = "*") -> None:
    """Remove what killed processes left of files of that name; none that a living process may still be writing.

    now: by the clock of the folder's disk, perhaps another machine's.
    """
    paths: list[Path] = []
    with suppress(OSError):  # the folder, too, may be removed in between
        paths = list(folder.glob(f".{name}.*{_TEMPORARY}"))
    for path in paths:
        with suppress(OSError):  # removed by somebody else in between, or not ours to remove
            if now - path.stat().st_mtime > _ABANDONED or _is_gone(path.name.split(".")[-3]):
                path.unlink()


def _writer():
    """This process, as the names of its temporary files have it: `<machine>-<number>`."""
    return f"{_machine()}-{os.getpid()}"


def _is_gone(writer):
    """Whether it was a process of this machine, and is no more."""
    machine, _, number = writer.partition("-")
    if machine != _machine() or not number.isdecimal() or not machine:
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and another user's
        pass
    return False


@cache
def _machine():
    """Within what process numbers mean something: this start of the system, this container. Empty if nobody says."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
        return hashlib.sha256((boot + os.readlink("/proc/self/ns/pid")).encode()).hexdigest()[:8]
    except OSError:  # no Linux
        return ""


@contextmanager
def locked(folder, wait: bool = True) -> Iterator[bool]:
    """Inside, no other process is inside with the same folder, which is made when it is missing.

    For a file that is read, changed and written again. The system takes the lock back when its process ends, however it
    does. Where folders cannot be locked (Windows, some network disks) the block runs without.
    wait: False to run the block at once, with False as its value where another process is inside.
    """
    is_free = True
    with _refused(folder, "the folder cannot be created"):
        _make_folder(Path(folder))
    with ExitStack() as stack:
        with suppress(ImportError, OSError):
            import fcntl  # not on every system

            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                is_free = False
        yield is_free


def write_new(texts: Mapping[Path, str], remedy: str) -> None:
    """Write a text to each path, and replace none of anybody's.

    Raises DataError, with the remedy, before anything is written, when a file is there with another text.
    """
    for path, text in texts.items():
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
            raise DataError(f"{path}: exists already, and may hold somebody's work: {remedy}")
    for path, text in texts.items():
        with atomic_write(path) as file:
            file.write(text)


def write_json(path, value) -> None:
    """Write `value` as indented JSON, atomically; numbers that are not finite become null (`json_text`)."""
    with atomic_write(path) as file:
        file.write(json_text(value, indent=2, ensure_ascii=False) + "\n")


def json_text(value, **options) -> str:
    """`value` as JSON that every program reads: it knows neither NaN nor infinity, which become null.

    options: of `json.dumps`.
    """
    return json.dumps(_finite(value), allow_nan=False, **options)


def _finite(value):
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _permissions():
    """What a plain open() would have given the file; mkstemp makes it private."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
