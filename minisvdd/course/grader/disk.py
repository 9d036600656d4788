"""The folder of a submission: how much is in it, and how it is removed, however deep it goes."""

import contextlib
import os

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
    program made by going down. So this goes down, and up again by "..", in a loop, with one folder open at a time.
    """
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        way, left = [], [_remove_files(here)]  # the names from `folder` to `here`; the folders left on each level
        while way or left[-1]:
            if left[-1]:
                name = left[-1].pop()
                os.chmod(name, 0o700, dir_fd=here)
                here = _step(here, name)
                way.append(name)
                left.append(_remove_files(here))
            else:
                here = _step(here, "..")
                os.rmdir(way.pop(), dir_fd=here)
                left.pop()
    finally:
        os.close(here)
    os.rmdir(folder)


def _step(here, name):
    there = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
    os.close(here)
    return there


def _remove_files(folder):
    """Remove what is no folder from an open folder; the names of the folders in it."""
    with os.scandir(folder) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    for name, is_folder in entries:
        if not is_folder:
            os.unlink(name, dir_fd=folder)
    return [name for name, is_folder in entries if is_folder]
