"""Which lectures: the options that the book and the slides have in common."""

import argparse
from pathlib import Path

from .notebooks import LECTURES, BuildError


def chosen(only: list[str]) -> list[Path]:
    """The lectures of these numbers, or all; BuildError for a number that none has."""
    scripts = sorted(LECTURES.glob("[0-9]*.py"))
    if not only:
        return scripts
    numbers = {int(number) for number in only}
    found = [script for script in scripts if int(script.stem.split("_")[0]) in numbers]
    if len(found) < len(numbers):
        raise BuildError(f"--only {' '.join(only)}: there are lectures {', '.join(s.stem for s in scripts)}")
    return found


def number(text: str) -> str:
    """An argument of --only."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a lecture")
    return text
