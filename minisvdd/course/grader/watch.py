"""What a submission tried, as the kernel tells it.

The filter on the submission's process (`cage/seccomp.py`) stops it at every system call that is refused, or that has to
do with a path, and tells the grader, who holds the filter's listener. The grader answers: no, or go on. So the names do
not depend on anything in the submission's process.

Which file may be opened is decided by Landlock, not here: a path is read from memory that its owner could change
meanwhile, which is good enough to name it.
"""

import array
import contextlib
import errno
import fcntl
import os
import platform
import select
import socket
import struct

from ..cage import syscalls

_NOTIFICATION = struct.Struct("=QII iIQ 6Q")  # id, pid, flags; number, machine, instruction pointer, arguments
_ANSWER = struct.Struct("=QqiI")  # id, value, error, flags
_RECEIVE, _SEND, _GO_ON = 0xC0502100, 0xC0182101, 1
_AT_CWD = -100
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Where the paths of a call are: (number of the argument with the folder or None, that of the path), for each path.
_PATHS = {
    **dict.fromkeys(("open", "creat", "mkdir", "rmdir", "unlink"), ((None, 0),)),
    **dict.fromkeys(("openat", "mkdirat", "unlinkat"), ((0, 1),)),
    "rename": ((None, 0), (None, 1)),
    **dict.fromkeys(("renameat", "renameat2"), ((0, 1), (2, 3))),
}
_FLAGS = {"open": 1, "openat": 2}


class Listener:
    """Answers the kernel's questions about one process.

    places: as for `cage.confine.shut`.   descriptor: what `receive` returned.
    """

    def __init__(self, descriptor: int, places: dict):
        self.descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._names = syscalls.names(platform.machine())
        self._on_paths = {number: name for name, number in syscalls.numbers(platform.machine())[1].items()}
        self._machine = syscalls.MACHINES[platform.machine()]
        self._home = _below(places["home"], *places["writable"])
        self._readable = _below(*places["readable"], *places["packages"], "/dev/null", "/dev/zero", "/dev/urandom")
        self._closed = _below(*places["closed"])
        self._packages = _below(*places["packages"])

    def answer(self) -> tuple[list[str], bool] | None:
        """(what was tried, in words; whether a file is to be written). None when nobody is left to be answered."""
        events = dict(self._poll.poll(0)).get(self.descriptor, 0)
        if not events & select.POLLIN:
            return None if events else ([], False)
        notification = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self.descriptor, _RECEIVE, notification)
        except OSError:  # interrupted meanwhile, or killed
            return [], False
        key, pid, _, number, machine, _, *arguments = _NOTIFICATION.unpack(notification)
        name = self._on_paths.get(number) if machine == self._machine else None
        tried, writes = [], False
        if name is None:
            call = (
                self._names.get(number, f"system call {number}") if machine == self._machine else "foreign system call"
            )
            tried = [call]
        else:
            flags = arguments[_FLAGS[name]] if name in _FLAGS else 0
            writes = name in ("creat", "mkdir", "mkdirat") or bool(flags & _WRITING)
            change = name not in _FLAGS or writes
            paths = [
                _path(pid, folder if folder is None else arguments[folder], arguments[i]) for folder, i in _PATHS[name]
            ]
            tried = [self._words(name, path, change) for path in paths if path and not self._belongs(path, change)]
        with contextlib.suppress(OSError):  # it was killed
            fcntl.ioctl(
                self.descriptor, _SEND, _ANSWER.pack(key, 0, *((-errno.EPERM, 0) if name is None else (0, _GO_ON)))
            )
        return tried, writes

    def fileno(self) -> int:
        """For selectors."""
        return self.descriptor

    def close(self) -> None:
        """Whatever waits for an answer fails."""
        os.close(self.descriptor)

    def _belongs(self, path, change):
        forms = (f"{path}/", f"{os.path.realpath(path)}/")
        if any(form.startswith(self._home) for form in forms) or path == "/dev/null":
            return True
        if change:
            return False
        # Python and the C library look for files in many places; one that is not there is no attempt at anything.
        return not os.path.isfile(path) or any(
            form.startswith(self._packages) or (form.startswith(self._readable) and not form.startswith(self._closed))
            for form in forms
        )

    @staticmethod
    def _words(name, path, change):
        return f"{'writing' if change else 'reading'} {path}" if name in _FLAGS else f"{name} of {path}"


def receive(receiver: socket.socket) -> int | None:
    """The listener that a process sent through its end of a socket pair; None when it closed that without."""
    _, rights, _, _ = receiver.recvmsg(16, socket.CMSG_SPACE(4))
    return array.array("i", rights[0][2])[0] if rights else None


def _below(*paths):
    return tuple(f"{form}/" for path in paths for form in (path, os.path.realpath(path)))


def _path(pid, folder, address):
    """The path that a call names, absolute. None where the grader may not look into the process."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            path = b""
            while b"\0" not in path and len(path) < 4096:
                here = address + len(path)
                memory.seek(here)
                piece = memory.read(4096 - here % 4096)  # no further than to the end of a page
                if not piece:
                    return None
                path += piece
        path = os.fsdecode(path.partition(b"\0")[0])
        if not path.startswith("/"):
            here = folder is None or folder & 0xFFFFFFFF == _AT_CWD & 0xFFFFFFFF
            path = f"{os.readlink(f'/proc/{pid}/cwd' if here else f'/proc/{pid}/fd/{folder & 0xFFFFFFFF}')}/{path}"
    except (OSError, OverflowError, ValueError):
        return None
    return os.path.normpath(path)
