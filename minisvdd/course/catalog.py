"""The assignments by name; each module is loaded when it is asked for."""

import importlib
import re
from pathlib import Path

from .assignment import Assignment

_FOLDERS = {
    "warm-up": "layers",
    "linear": "layers",
    "conv2d": "layers",
    "maxpool": "layers",
    "leaky-relu": "layers",
    "batchnorm": "layers",
    "adam": "layers",
    "one-class-loss": "layers",
    "soft-boundary-radius": "method",
    "deep-svdd": "method",
    "gradcheck": "method",
    "collapse": "method",
    "threshold": "method",
    "anogan-search": "rivals",
    "conv2d-cuda": "cuda",
    "conv2d-tiled": "cuda",
}
NAMES = tuple(_FOLDERS)
PIECES = {"warm-up": ("linear", "leaky-relu", "one-class-loss")}  # assignments whose parts another one is made of
_TAG = re.compile(r"^(?:#|//) minisvdd assignment: ([\w-]+)")


def get_assignment(name: str) -> Assignment:
    """The assignment of that name. Raises ValueError for an unknown one."""
    if name not in NAMES:
        raise ValueError(f"assignment={name!r}: expected one of {', '.join(NAMES)}")
    return importlib.import_module(f".tasks.{_FOLDERS[name]}.{name.replace('-', '_')}", __package__).ASSIGNMENT


def assignment_of(path: Path, source: bytes) -> Assignment:
    """The assignment that a file belongs to: by its first line, or by its name.

    Raises ValueError, naming the file, when neither tells.
    """
    first = source[:200].decode("utf-8", "replace").partition("\n")[0]
    found = _TAG.match(first)
    name = found[1] if found else path.stem.replace("_", "-")
    if name not in NAMES:
        raise ValueError(f"{path}: cannot tell which assignment this is; name it with --assignment")
    return get_assignment(name)
