"""Limits for a submission's process, set by the process itself before it runs a line of the submission.

The kernel enforces what it can: processor time, memory, size of files, number of processes, and, where the grader runs
as root, another user's rights. Python's audit hook, which cannot be removed, refuses the rest by name, so that the
feedback can say what was tried. It is no wall against an attacker with native code: a course that must expect one runs
the grader inside a container, as Gradescope does.

Like `runner.py` this imports nothing of minisvdd.
"""

import contextlib
import os
import resource
import sys
import sysconfig

NOBODY = 65534
_FORBIDDEN = (
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.kill",
    "pty.spawn",
    "subprocess.",
    "_posixsubprocess.",
    "socket.",
    "ctypes.",
    "signal.pthread_kill",
    "_thread.start_new_thread",
    "gc.get_objects",
    "gc.get_referrers",
    "sys.setprofile",
    "sys.settrace",
)
_ON_PATHS = {
    "os.chdir": 1,
    "os.remove": 1,
    "os.rename": 2,
    "os.rmdir": 1,
    "os.mkdir": 1,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
    "os.chmod": 1,
    "os.chown": 1,
    "os.utime": 1,
    "shutil.rmtree": 1,
    "shutil.move": 2,
    "shutil.copyfile": 2,
    "shutil.make_archive": 1,
    "shutil.unpack_archive": 1,
    "sqlite3.connect": 1,
    "dbm.open": 1,
}
_DEVICES = {"/dev/null", "/dev/urandom", "/dev/random", "/dev/zero"}


def set_limits(seconds: int, memory: int, file_bytes: int) -> None:
    """Bound processor time, memory beyond what is mapped already, size of files; and no core dumps."""
    _limit(resource.RLIMIT_CPU, seconds)
    _limit(resource.RLIMIT_AS, _mapped() + memory)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_CORE, 0)


def leave_root(needed: list[str]) -> None:
    """As root, become the user nobody, unless the files `needed` lie where that user cannot read."""
    if os.getuid() == 0 and all(map(_everybody_can_reach, needed)):
        with contextlib.suppress(OSError):  # a root without that right, as in some containers
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)


def forbid_processes() -> None:
    """No further process or thread. The kernel does not apply this to root."""
    _limit(resource.RLIMIT_NPROC, 0)


def watch(folder: str, packages: list[str]) -> list[str]:
    """Refuse, from now on and for ever, what a submission has no business with; returns the list of what was tried.

    folder: the only place where files may be written.   packages: folders of the importable packages.
    Every refusal is a PermissionError.
    """
    tried: list[str] = []
    names = {os.path.basename(package) for package in packages}
    standard = sysconfig.get_path("stdlib")
    readable = [folder, *packages, standard, sysconfig.get_path("platstdlib")]
    foreign = [os.path.join(standard, name) for name in ("site-packages", "dist-packages")]
    inside = _inside

    def refuse(what):
        if len(tried) < 20 and what not in tried:
            tried.append(what)
        raise PermissionError(f"{what} is not allowed here")

    def hook(event, arguments):
        if event == "import":
            name = arguments[0].partition(".")[0]
            if name not in names and name not in sys.stdlib_module_names and name != "__main__":
                refuse(f"importing {name}")
        elif event == "open":
            path, writing = arguments[0], _writes(*arguments[1:3])
            if isinstance(path, int) or path is None:
                return
            path = os.fsdecode(path)
            allowed = [folder] if writing else readable
            if path not in _DEVICES and (
                not inside(path, allowed) or (not writing and inside(path, foreign, packages))
            ):
                refuse(f"{'writing' if writing else 'reading'} {path}")
        elif event in _ON_PATHS:
            for path in arguments[: _ON_PATHS[event]]:
                if not isinstance(path, int) and not inside(os.fsdecode(path), [folder]):
                    refuse(f"{event} of {os.fsdecode(path)}")
        elif event.startswith(_FORBIDDEN):
            refuse(event)

    sys.addaudithook(hook)
    return tried


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


def _everybody_can_reach(path):
    path = os.path.realpath(path)
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & 0o001:
            return False
    return True


def _writes(mode, flags):
    if isinstance(mode, str) and any(letter in mode for letter in "wax+"):
        return True
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND))


def _inside(path, folders, but_for=()):
    path = os.path.realpath(path)
    within = any(path == folder or path.startswith(folder + os.sep) for folder in map(os.path.realpath, folders))
    return within and not (but_for and _inside(path, but_for))
