"""Where things lie: what comes with the package, and a user's cache.

The cache is asked for when it is needed, never before: not everybody who runs a program has a home.
"""

import os
from pathlib import Path

from .errors import DataError

PACKAGE = Path(__file__).resolve().parent
# What is installed inside the package, and where a checkout has it.
SHIPPED = {"kernels": "kernels", "lectures": "lectures", "results": "benchmarks/results"}


def shipped(name: str) -> Path:
    """The folder of `SHIPPED`: inside the installed package, or beside it in a checkout."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / SHIPPED[name]


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/minisvdd, else ~/.cache/minisvdd. DataError for a user with neither (in containers)."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "minisvdd"
    except (RuntimeError, KeyError):  # no $HOME, and nobody of this number in the list of users
        raise DataError("this user has no home folder for the cache: set XDG_CACHE_HOME to a folder") from None
