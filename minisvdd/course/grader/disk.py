"""The folder of a submission: how much is in it, and how it is removed, however deep it goes."""

import contextlib
import os
import shutil

_DEEPEST, _MOST = 40, 2000


def too_much(folder: str, most: int) -> str | None:
    """What is too much in a folder: bytes, entries or depth; None while it is all right."""
    left, size, entries = [(folder, 0)], 0, 0
    while left:
        path, depth = left.pop()
        if depth > _DEEPEST:
            return f"made folders within folders, more than {_DEEPEST} deep"
        with contextlib.suppress(OSError), os.scandir(path) as found:  # it may be removed meanwhile
            for entry in found:
                entries += 1
                if entry.is_dir(follow_symlinks=False):
                    left.append((entry.path, depth + 1))
                else:
                    size += entry.stat(follow_symlinks=False).st_size
                if entries > _MOST:
                    return f"made more than {_MOST} files"
    return f"wrote more than {most >> 20} MB into its folder" if size > most else None


def remove(folder: str) -> None:
    """Remove a folder with all that is in it.

    `shutil.rmtree` calls itself for each level, and a path has at most 4096 characters: too few for folders that a
    program made by going down. So what lies two levels down is moved up, until there is no second level.
    """
    number = 0
    while children := [entry for entry in _entries(folder) if entry.is_dir(follow_symlinks=False)]:
        for child in children:
            with contextlib.suppress(OSError):
                os.chmod(child.path, 0o700)
            for entry in _entries(child.path):
                if entry.is_dir(follow_symlinks=False):
                    number += 1
                    os.rename(entry.path, os.path.join(folder, f".removed-{number}"))
            shutil.rmtree(child.path)
    shutil.rmtree(folder)


def _entries(folder):
    with os.scandir(folder) as found:
        return list(found)
