"""Python's audit hook: the second line, which refuses early and in words what the kernel would refuse.

Python calls the hook with an event's name and arguments before it opens a file, starts a process, imports a module ...;
what the hook raises, the submission gets. It cannot be removed, but it is Python in the submission's own process, where
all that it looks up while it runs could be changed. So it looks nothing up: whatever it uses is a parameter, bound when
it is made, and immutable. It keeps no list, either: what was tried goes into a pipe at once, and the grader keeps it.
Where the kernel's walls stand (Linux), nothing depends on this.
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

    def below(*paths):
        return tuple(f"{path}/" for path in paths)

    home, packages = below(places["home"]), below(places["home"], *places["packages"])
    readable = below(*places["readable"], "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
    closed = below(*places["closed"])
    # Of Java's package `org` there is a trace in Python's library.
    importable = sys.stdlib_module_names | {os.path.basename(path) for path in places["packages"]} | {"org"}
    changes, own = frozenset(_CHANGES), os.getpid()

    def hook(
        event,
        arguments,
        pipe=pipe,
        home=home,
        packages=packages,
        readable=readable,
        closed=closed,
        importable=importable,
        own=own,
        forbidden=_FORBIDDEN,
        changes=changes,
        two_paths=_TWO_PATHS,
        reads=_READS,
        writing=_WRITING,
        write=posix.write,
        getcwd=posix.getcwd,
        fspath=posix.fspath,
        type=type,
        int=int,
        str=str,
        bytes=bytes,
        PermissionError=PermissionError,
        ModuleNotFoundError=ModuleNotFoundError,
    ):
        what, paths, change = "", (), True
        if event == "import":
            name = str.partition(arguments[0], ".")[0]
            if name in importable or name[:1] == "_":  # such names are Python's own
                return
            write(pipe, f"importing {name}\0".encode("utf-8", "backslashreplace")[-500:])
            message = f"{name} is not there while grading: NumPy and the standard library are"
            raise ModuleNotFoundError(message, name=name)
        if event in reads:
            paths, flags = arguments[:1], (*arguments[2:], 0)[0]  # of "open": path, mode, flags
            change = type(flags) is int and flags & writing
        elif event in changes:
            paths = arguments[: 1 + (event in two_paths)]
        elif event.startswith(forbidden) or (event == "os.kill" and arguments[0] != own):
            what = event
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
        if what:
            write(pipe, f"{what}\0".encode("utf-8", "backslashreplace")[-500:])
            raise PermissionError(f"{what} is not allowed here")

    sys.addaudithook(hook)
