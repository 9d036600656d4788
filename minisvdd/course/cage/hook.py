"""Python's audit hook: the second line, which refuses early and in words what the kernel would refuse.

Python calls the hook with an event's name and arguments before it opens a file, starts a process, imports a module ...;
what the hook raises, the submission gets. It cannot be removed, but it is Python in the submission's own process, where
all that it looks up while it runs could be changed. So it looks nothing up: whatever it uses is a parameter, bound when
it is made, and immutable; it calls no function of ours, whose lines could be exchanged. It keeps no list, either: what
was tried goes into a pipe at once, and the grader keeps it. Where the kernel's walls stand (Linux), nothing depends on
this.
"""

import os
import posix
import sys

_FORBIDDEN = (
    *("os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn", "subprocess.", "_posixsubprocess."),
    *("ctypes.", "socket.", "signal.pthread_kill", "_thread.start_new_thread", "sys.addaudithook"),
    *("gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys.setprofile", "sys.settrace"),
)
# Their first argument is the path of what is changed.
_CHANGES = {f"os.{name}" for name in ("chdir", "remove", "rename", "rmdir", "mkdir", "link", "symlink", "truncate")}
_CHANGES |= {f"os.{name}" for name in ("chmod", "chown", "utime", "setxattr", "removexattr")}
_CHANGES |= {"shutil.rmtree", "shutil.move", "sqlite3.connect", "dbm.open"}
_TWO_PATHS = frozenset(("os.rename", "os.link", "os.symlink", "shutil.move"))
_READS = frozenset(("open", "os.listdir", "os.scandir"))
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch(pipe: int, places: dict) -> None:
    """From now on and for ever: refuse, and write into the pipe, what a submission has no business with.

    places: as for `confine.shut`; "packages" are readable though they lie in a closed folder.
    What is refused is a PermissionError, an import a ModuleNotFoundError. Each line in the pipe ends with a zero byte.
    """
    sys.addaudithook(_imports(pipe, places["packages"]))
    sys.addaudithook(_paths(pipe, places))
    sys.addaudithook(_events(pipe))  # the last one, which lets no other follow


def _imports(pipe, packages):
    """The hook that lets nothing be imported but Python's own and these packages."""
    # Of Java's package `org` there is a trace in Python's library.
    names = frozenset((*sys.stdlib_module_names, *(os.path.basename(path) for path in packages), "org"))

    def hook(event, arguments, pipe=pipe, names=names, write=posix.write, str=str, refusal=ModuleNotFoundError):
        if event != "import":
            return
        name = str.partition(arguments[0], ".")[0]
        if name in names or name[:1] == "_":  # such names are Python's own
            return
        write(pipe, f"importing {name}\0".encode("utf-8", "backslashreplace")[-500:])
        raise refusal(f"{name} is not there while grading: NumPy and the standard library are", name=name)

    return hook


def _events(pipe):
    """The hook that refuses processes, threads, networks, and whatever looks into Python itself."""

    own, tools = os.getpid(), (posix.write, PermissionError)

    def hook(event, arguments, pipe=pipe, own=own, forbidden=_FORBIDDEN, tools=tools):
        write, refusal = tools
        if event.startswith(forbidden) or (event == "os.kill" and arguments[0] != own):
            write(pipe, f"{event}\0".encode("utf-8", "backslashreplace")[-500:])
            raise refusal(f"{event} is not allowed here")

    return hook


def _paths(pipe, places):
    """The hook that lets files be read and changed in their places only."""

    def below(*paths):
        return tuple(f"{path}/" for path in paths)

    home, packages = below(places["home"]), below(places["home"], *places["packages"])
    readable = below(*places["readable"], "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
    texts, kinds = (home, packages, readable, below(*places["closed"])), (_READS, frozenset(_CHANGES), _TWO_PATHS)
    tools = (posix.write, posix.getcwd, posix.fspath, type, int, str, bytes, PermissionError)

    def hook(event, arguments, pipe=pipe, texts=texts, kinds=kinds, writing=_WRITING, tools=tools):
        (reads, changes, two_paths), (write, getcwd, fspath, type, int, str, bytes, refusal) = kinds, tools
        if event not in reads and event not in changes:
            return
        home, packages, readable, closed = texts
        paths, change = arguments[: 1 + (event in two_paths)], True
        if event in reads:
            flags = (*arguments[2:], 0)[0]  # of "open": path, mode, flags
            change = type(flags) is int and flags & writing
        for path in paths:
            if path is None or type(path) is int:
                continue
            path = fspath(path)
            path = bytes.decode(path, "utf-8", "surrogateescape") if type(path) is bytes else str.__str__(path)
            parts = []
            for part in (path if path[:1] == "/" else f"{getcwd()}/{path}").split("/"):
                parts = parts[:-1] if part == ".." else [*parts, part] if part not in ("", ".") else parts
            full = "/" + "/".join(parts) + "/"
            if full.startswith(home if change else packages) or path == "/dev/null":
                continue
            if change or not full.startswith(readable) or full.startswith(closed):
                verb = event if event not in reads else "writing" if change else "reading"
                what = f"{verb}{' of' * (event in changes)} {path}"
                write(pipe, f"{what}\0".encode("utf-8", "backslashreplace")[-500:])
                raise refusal(f"{what} is not allowed here")

    return hook
