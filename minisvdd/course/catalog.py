"""The assignments by name; each module is loaded when it is asked for."""

import importlib
import re
from pathlib import Path

from .assignment import Assignment
from .variants import drawn

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
    "capstone": "capstone",
    "conv2d-cuda": "cuda",
    "conv2d-tiled": "cuda",
}
NAMES = tuple(_FOLDERS)
PIECES = {"warm-up": ("linear", "leaky-relu", "one-class-loss")}  # assignments whose parts another one is made of
VARIED = ("maxpool", "leaky-relu", "soft-boundary-radius")  # assignments in two versions, one of which is drawn
_TAG = re.compile(r"^(?:#|//) minisvdd assignment: ([\w-]+)")


def get_assignment(name: str, variant: int | None = None) -> Assignment:
    """The assignment of that name; `variant`: the version that this seed draws.

    Raises ValueError for an unknown name, and for a variant of an assignment that has none.
    """
    if name not in NAMES:
        raise ValueError(f"assignment={name!r}: expected one of {', '.join(NAMES)}")
    module = name.replace("-", "_")
    if variant is None:
        return importlib.import_module(f".tasks.{_FOLDERS[name]}.{module}", __package__).ASSIGNMENT
    if name not in VARIED:
        raise ValueError(f"assignment={name!r}: has no variants; those that have: {', '.join(VARIED)}")
    return drawn(importlib.import_module(f".tasks.variants.{module}", __package__).VERSIONS, variant)


def resolved(assignment: Assignment | str | None) -> Assignment | None:
    """The assignment of a name; an assignment, or None, as it is."""
    return get_assignment(assignment) if isinstance(assignment, str) else assignment


def tagged(source: bytes) -> str | None:
    """The assignment that the comment at the top of a file names, or None. A byte order mark is not part of it."""
    for line in source[:1000].decode("utf-8-sig", "replace").splitlines():
        if found := _TAG.match(line):
            return found[1]
        if line.strip() and not line.startswith(("#", "//")):
            break
    return None


def other_tag(tag: str | None, assignment: Assignment) -> tuple[str, ...]:
    """A note for a file that is graded as one assignment and names another one at its top."""
    return () if tag in (None, assignment.name) else (f"its first line says that it is of the assignment {tag}",)


def assignment_of(path: Path, source: bytes) -> Assignment:
    """The assignment that a file belongs to: by its first line, or by its name.

    Raises ValueError, naming the file, when neither tells.
    """
    name = tagged(source) or path.stem.lower().replace("_", "-")
    if name not in NAMES:
        raise ValueError(f"{path}: cannot tell which assignment this is; name it with --assignment")
    return get_assignment(name)
