"""seccomp: a filter in the kernel which judges every system call of this process, for ever.

A program reaches anything outside its own memory by a system call: a number, and up to six arguments in registers. The
filter is a program in BPF (`bpf.py`) which sees these, and answers: allow it; let it fail with an error number; or let
it wait while *another* process, which holds a file descriptor called the listener, is told, and says how to go on. The
grader holds the listener (`grader/watch.py`): so what a submission tried is known outside, whatever it does to its
Python.

No pointer is looked at: what it points to can change after the filter has seen it. Paths are Landlock's business.
Linux 5.0 or newer. Source: Linux, Documentation/userspace-api/seccomp_filter.rst.
"""

import ctypes
import errno
import os
import platform

from . import bpf, landlock, syscalls

ALLOW, TELL, FAIL = 0x7FFF0000, 0x7FC00000, 0x00050000  # FAIL: plus the error number
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16  # where the filter finds them
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_FILTER, _ACTION_AVAILABLE, _WITH_LISTENER = 1, 2, 8
_TERMINAL_SIZE_AND_SUCH = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # ioctl: TCGETS ... FIOCLEX
_DUPLICATES_FLAGS_AND_LOCKS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)  # fcntl: all but F_SETOWN, F_SETSIG ...
_NAMES = (15, 16)  # prctl: of the thread
_NAME_OF_MEMORY = 0x53564D41  # prctl, by the C library, which takes no for an answer


def available() -> bool:
    """Whether this kernel has filters, and we know this machine's numbers."""
    machine = platform.machine()
    if not hasattr(os, "O_PATH") or machine not in _SECCOMP:
        return False
    action = ctypes.byref(ctypes.c_uint32(FAIL))
    return _call(machine, _ACTION_AVAILABLE, 0, action) == 0


def rules(machine: str, pid: int, sender: int, refuse: int, tell: int) -> list:
    """The filter.

    pid: of this process, the only one that it may send signals to.   sender: the socket by which the listener leaves.
    refuse: the answer to what is refused.   tell: that to what is allowed, but told.
    """
    allowed, on_paths, refused = syscalls.numbers(machine)

    def if_argument(position, values, answer):
        """The call may have these values as an argument (its lower half: all of these are ints)."""
        tests = [line for value in values for line in bpf.when_equal(value, bpf.give(answer))]
        return [*bpf.load(_ARGUMENTS + 8 * position), *tests]

    exceptions = {
        "kill": if_argument(0, [pid], ALLOW),
        "tgkill": if_argument(0, [pid], ALLOW),
        "prlimit64": if_argument(0, [0, pid], ALLOW),
        "ioctl": [*if_argument(1, _TERMINAL_SIZE_AND_SUCH, ALLOW), *bpf.give(FAIL | errno.ENOTTY)],
        "fcntl": if_argument(1, _DUPLICATES_FLAGS_AND_LOCKS, ALLOW),
        "prctl": [*if_argument(0, _NAMES, ALLOW), *if_argument(0, [_NAME_OF_MEMORY], FAIL | errno.EPERM)],
        "sendmsg": if_argument(0, [sender], ALLOW),
    }
    program = [*bpf.load(_MACHINE), *bpf.unless_equal(syscalls.MACHINES[machine], bpf.give(refuse)), *bpf.load(_NUMBER)]
    for answer, calls in ((ALLOW, allowed), (tell, on_paths)):
        for number in calls.values():
            program += bpf.when_equal(number, bpf.give(answer))
    for name, exception in exceptions.items():
        program += bpf.when_equal(refused[name], [*exception, *bpf.give(refuse)])
    # The C library tries newer calls first, and must hear that they do not exist; x32's numbers lie above, too.
    program += bpf.when_greater(syscalls.NEWEST, bpf.give(FAIL | errno.ENOSYS))
    return [*program, *bpf.give(refuse)]


def install(sender: int) -> int | None:
    """Put the filter on this process; returns the listener, or None where there is none: refused calls just fail."""
    machine, pid = platform.machine(), os.getpid()
    landlock.never_gain_rights()
    listener = _set(machine, rules(machine, pid, sender, TELL, TELL), _WITH_LISTENER)
    if listener >= 0:
        return listener
    if _set(machine, rules(machine, pid, sender, FAIL | errno.EPERM, ALLOW), 0) < 0:
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")
    return None


def _set(machine, program, flags):
    code = bpf.machine_code(program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]

    return _call(machine, _SET_FILTER, flags, ctypes.byref(Program(len(program), ctypes.addressof(buffer))))


def _call(machine, operation, flags, argument):
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.syscall(_SECCOMP[machine], ctypes.c_uint(operation), ctypes.c_uint(flags), argument)
