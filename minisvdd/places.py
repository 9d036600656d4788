"""Where a user's cache lies. Asked for when it is needed, never before: not everybody who runs a program has a home."""

import os
from pathlib import Path

from .errors import DataError


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/minisvdd, else ~/.cache/minisvdd. DataError for a user with neither (in containers)."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "minisvdd"
    except (RuntimeError, KeyError):  # no $HOME, and nobody of this number in the list of users
        raise DataError("this user has no home folder for the cache: set XDG_CACHE_HOME to a folder") from None
