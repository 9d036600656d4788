"""Landlock: a process gives up, for ever and for all that it starts, every file but those that it names.

Each process may do this to itself, without any privilege. It makes a *ruleset*, which says the kinds of access that are
to be controlled; adds a *rule* for each file or folder, which allows kinds of access at and below it; and restricts
itself. From then on the kernel refuses what no rule allows, whatever user the process runs as, root included. What was
open before stays open. Newer kernels control more (`abi`): 3 truncation, 4 TCP, 6 signals to processes outside.

Not controlled: whether a file is there, its size and its times (`stat`), and changes of mode, owner and time, which
`seccomp.py` refuses. Linux 5.13 or newer. Source: Linux, Documentation/userspace-api/landlock.rst.
"""

import ctypes
import functools
import os
import struct

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same numbers on all machines
_PATH_BENEATH, _VERSION = 1, 1
_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE, _MAKE_CHAR, _MAKE_DIR = (
    1 << i for i in range(8)
)
_MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM, _REFER, _TRUNCATE, _IOCTL_DEV = (
    1 << i for i in range(8, 16)
)
_CONTROLLED = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # by ABI: how many of these there are
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
READ = _READ_FILE | _READ_DIR
RUN = READ | _EXECUTE
WRITE = READ | _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER
_TCP, _ABSTRACT_SOCKETS_AND_SIGNALS = 3, 3


def abi() -> int:
    """The version of Landlock that this kernel offers; 0 for none."""
    if not hasattr(os, "O_PATH"):  # not Linux
        return 0
    return max(0, _libc().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION)))


class Ruleset:
    """What is allowed after `restrict`. A context manager: the ruleset is a file descriptor, closed at the end."""

    def __enter__(self) -> "Ruleset":
        version = abi()
        self._allowed: set[tuple[str, int]] = set()
        self._files = (1 << _CONTROLLED[min(version, 5)]) - 1
        network = _TCP if version >= 4 else 0
        scope = _ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0
        attributes = struct.pack("=QQQ", self._files, network, scope)
        size = 24 if version >= 6 else 16 if version >= 4 else 8
        self._ruleset = _checked(_libc().syscall(_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint(0)))
        return self

    def __exit__(self, *_) -> None:
        os.close(self._ruleset)

    def allow(self, path: str, access: int, but_for: list[str] | tuple[str, ...] = ()) -> None:
        """Allow `access` at and below path, except below the paths `but_for`. A path that is not there is left out.

        A rule holds for the whole tree below it. Where something forbidden lies in that, each entry gets its own rule;
        the folder itself can then be listed only.
        """
        if os.path.exists(path):
            path = os.path.realpath(path)
            self._allow(path, access, but_for, os.path.isdir(path))

    def _allow(self, path, access, but_for, is_folder):
        if path in but_for or (path, access) in self._allowed:
            return
        self._allowed.add((path, access))
        if is_folder and any(forbidden.startswith(path.rstrip("/") + "/") for forbidden in but_for):
            self._add(path, access & _READ_DIR)
            with os.scandir(path) as entries:
                for entry in entries:
                    there = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                    self._allow(there, access, but_for, entry.is_dir())
        else:
            self._add(path, access if is_folder else access & _OF_FILES)

    def _add(self, path, access):
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        rule = struct.pack("=Qi", access & self._files, descriptor)
        result = _libc().syscall(_ADD_RULE, ctypes.c_int(self._ruleset), _PATH_BENEATH, rule, ctypes.c_uint(0))
        os.close(descriptor)
        _checked(result)

    def restrict(self) -> None:
        """From now on and for ever, this thread and what it starts."""
        never_gain_rights()
        _checked(_libc().syscall(_RESTRICT, ctypes.c_int(self._ruleset), ctypes.c_uint(0)))


def never_gain_rights() -> None:
    """No set-user-id program gives this process more rights: what both Landlock and seccomp ask for."""
    _checked(_libc().prctl(_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))))


@functools.cache
def _libc():
    return ctypes.CDLL(None, use_errno=True)


def _checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return result
