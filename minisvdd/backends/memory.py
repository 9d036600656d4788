"""How much memory a process may still take: a training that cannot fit is refused before it starts, in words.

The system's answer is /proc/meminfo on Linux, what is installed elsewhere. In a container the limit of its control
group is often far below; what it counts as used includes cached files, which it gives back when asked.
"""

import os
from pathlib import Path

_SYSTEM = Path("/proc/meminfo")
# limit, use, and in which line of the statistics cached files stand: control groups of version 2 and 1
_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available_bytes() -> int | None:
    """Bytes that this process can still get, within its container's limit; None where nothing says so."""
    known = [size for size in (_of_the_system(), *(_of_a_group(*group) for group in _GROUPS)) if size is not None]
    return min(known, default=None)


def _of_the_system() -> int | None:
    try:
        return 1024 * _number(_SYSTEM, "MemAvailable:")
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def _of_a_group(folder: Path, limit: str, use: str, cached: str) -> int | None:
    try:
        most, used = (int((folder / name).read_text(encoding="utf-8")) for name in (limit, use))  # "max": no limit
        return max(0, most - used + _number(folder / "memory.stat", cached))
    except (OSError, ValueError):
        return None


def _number(file: Path, name: str) -> int:
    """The number behind a name in a file of lines "name number ...". ValueError if it is not there."""
    for line in file.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words and words[0] == name:
            return int(words[1])
    raise ValueError(f"{file}: no line {name}")
