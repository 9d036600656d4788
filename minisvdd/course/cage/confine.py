"""Limits for a submission's process, set by the process itself before it runs a line of the submission.

All of it is kept by the kernel: processor time, memory, size and number of files; another user's rights where the
grader runs as root; `landlock.py`, which files can be reached at all; `seccomp.py`, which system calls can be made.
Nothing that runs in the process afterwards can take it back, neither Python nor machine code. `hook.py` is a second
line, which stops most attempts earlier and with clearer words.

Like all of this folder this imports nothing of minisvdd.
"""

import array
import contextlib
import os
import resource
import signal
import socket
import struct

from . import landlock, seccomp

NOBODY = 65534
_READ_EVERYTHING, _OVERRIDE = 1 << 2, 1 << 1  # capabilities: to read, to use, files whatever their owner
_DIE_WITH_PARENT, _KEEP_RIGHTS, _FOR_PROGRAMS = 1, 8, 47
_CAPGET, _CAPSET = {"x86_64": (125, 126), "aarch64": (90, 91)}, 0x20080522
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def set_limits(seconds: int, memory: int, file_bytes: int, files: int) -> None:
    """Bound processor time, memory beyond what is mapped already, size of files, open files; and no core dumps."""
    _limit(resource.RLIMIT_CPU, seconds)
    _limit(resource.RLIMIT_AS, _mapped() + memory)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_NOFILE, files)
    _limit(resource.RLIMIT_CORE, 0)


def shut(places: dict, programs: list[str] | None = None) -> None:
    """Give up root's rights and all files but some, and die with the grader.

    places: "home", the folder to write to; "writable", further ones; "readable"; "closed", folders that are not
    readable though they lie below a readable one; "needed", files that the user nobody has to reach.
    programs: folders with programs that may be started; None for none, and no further process either.
    """
    if not landlock.abi():
        _leave_root(places["needed"], walled=False)
    else:
        with landlock.Ruleset() as ruleset:
            for path in places["readable"]:
                ruleset.allow(path, landlock.READ, places["closed"])
            for path in programs or ():
                ruleset.allow(path, landlock.RUN, places["closed"])
            for path in (places["home"], *places["writable"], *DEVICES):
                ruleset.allow(path, landlock.WRITE)
            _leave_root(places["needed"], walled=True)
            ruleset.restrict()
    if hasattr(os, "O_PATH"):  # Linux; the signal is forgotten when the user changes, so not earlier
        landlock._libc().prctl(_DIE_WITH_PARENT, signal.SIGKILL if programs is None else signal.SIGTERM, 0, 0, 0)
    if programs is None:
        _limit(resource.RLIMIT_NPROC, 0)  # the kernel does not apply this to root; the filter it does
    else:
        signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))  # and the programs die, too


def filter_calls(hand_over: int) -> None:
    """Set the filter of system calls, and send its listener through the socket `hand_over`, which is then closed."""
    with socket.socket(fileno=hand_over) as sender:
        if seccomp.available():
            listener = seccomp.install(hand_over)
            if listener is not None:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))]
                sender.sendmsg([b"listener"], rights)
                os.close(listener)


def everybody_can_reach(path: str) -> bool:
    """Whether all folders above a file let every user through."""
    path = os.path.realpath(path)
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & 0o001:
            return False
    return True


def _leave_root(needed, walled):
    """As root, become the user nobody, without any right of root's.

    Where Python itself lies where nobody cannot read, the process keeps the right to read all files, if Landlock then
    allows but a few; without Landlock it stays root, which `held` tells the teacher.
    """
    if os.getuid() != 0:
        return
    keep = 0
    if not all(map(everybody_can_reach, needed)):
        keep = next((right for right in (_READ_EVERYTHING, _OVERRIDE) if walled and right & _permitted()), 0)
        if not keep:
            return
        landlock._libc().prctl(_KEEP_RIGHTS, 1, 0, 0, 0)
    with contextlib.suppress(OSError):  # a root without that right, as in some containers
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        if keep:
            _capabilities(1, struct.pack("=6I", keep, keep, keep, 0, 0, 0))
            landlock._libc().prctl(_FOR_PROGRAMS, 2, keep.bit_length() - 1, 0, 0)  # for a compiler, too


def _permitted():
    return struct.unpack("=6I", _capabilities(0, bytes(24)))[1] if os.uname().machine in _CAPGET else 0


def _capabilities(which, data):
    """Read (0) or set (1) this process's capabilities: (effective, permitted, inheritable), twice 32 bits of each."""
    import ctypes

    buffer = ctypes.create_string_buffer(data, len(data))
    landlock._checked(
        landlock._libc().syscall(_CAPGET[os.uname().machine][which], struct.pack("=Ii", _CAPSET, 0), buffer)
    )
    return buffer.raw


def _limit(kind, value):
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses some; the grader's clock still ends the process
        resource.setrlimit(kind, (value, value))


def _mapped():
    """Bytes of address space in use."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 1 << 30
