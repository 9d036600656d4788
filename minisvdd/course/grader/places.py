"""Where a submission's process may read and write, and what of that the kernel of this machine keeps."""

import os
import site
import sys
import sysconfig
from pathlib import Path

import numpy as np

_LIBRARY = Path(__file__).resolve().parents[2]
_PACKAGES = ("site-packages", "dist-packages")


def places(home: Path, writable: tuple[Path, ...] = ()) -> dict[str, list[str] | str]:
    """The places that `cage.confine.shut`, `cage.hook.watch` and `watch.Listener` mean, as texts."""
    standard = dict.fromkeys(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    numpy = os.path.dirname(np.__file__)
    packages = [path for path in (numpy, f"{numpy}.libs") if os.path.isdir(path)]
    foreign = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages(), str(_LIBRARY)]
    foreign += [os.path.join(folder, name) for folder in standard for name in _PACKAGES]
    foreign += [path for path in sys.path if os.path.basename(path) in _PACKAGES]
    closed = list(dict.fromkeys(os.path.realpath(path) for path in foreign if os.path.isdir(path)))
    shared = [folder for folder in _shared_libraries() if not f"{folder}/".startswith(tuple(f"{c}/" for c in closed))]
    files = ["/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo", "/sys/devices/system/cpu"]
    return {
        "home": os.path.realpath(home),
        "writable": [os.path.realpath(path) for path in writable],
        "readable": [*standard, *packages, *shared, *files],
        "packages": packages,
        "closed": closed,
        "needed": [os.__file__, np.__file__],
    }


def _shared_libraries():
    """The folders of the shared libraries that Python uses: its extension modules need others from there."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            paths = {line.split(maxsplit=5)[5].strip() for line in maps if "/" in line}
    except OSError:
        return []
    return sorted({os.path.dirname(os.path.realpath(path)) for path in paths if ".so" in os.path.basename(path)})


def problems() -> list[str]:
    """What the kernel of this machine does not keep of the walls around a submission, a sentence each."""
    if sys.platform != "linux":
        return [
            "files, network and other processes are kept from a submission by Python's hook alone, not by the kernel"
        ]
    from ..cage import confine, landlock, seccomp

    found = []
    version = landlock.abi()
    if version < 3:
        found.append(
            "other files are kept from a submission by Python's hook alone: "
            f"this kernel has {f'Landlock {version}, expected 3 or newer' if version else 'no Landlock'}"
        )
    if not seccomp.available():
        found.append("network and processes are kept from a submission by Python's hook alone: no seccomp filter here")
    if os.getuid() == 0 and not version and not all(map(confine.everybody_can_reach, places(Path())["needed"])):
        found.append("submissions run as root: Python lies where no other user can read it, and there is no Landlock")
    return found


def summary() -> str:
    """One line for `minisvdd info`."""
    missing = problems()
    if missing:
        return f"not kept by the kernel: {'; '.join(missing)}"
    from ..cage import landlock

    return f"kept by the kernel (Landlock {landlock.abi()}, seccomp)"
