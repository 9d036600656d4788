"""The published outcomes of mutants: which of them still say something, and which to run again today.

A row is {"file", "kind", "before", "after", "outcome", ...}. It says something as long as the line that it edits stands
in its file; a sample of the killed ones is run again with every run of the tests, another one each day.
"""

import os
import random
import re
from collections.abc import Callable
from datetime import datetime, timezone

_SEED = "MINISVDD_MUTANTS_SEED"


def key(row: dict) -> tuple[str, str, str, str]:
    """What tells a mutant from others: line numbers move."""
    return row["file"], row["kind"], row["before"], row["after"]


def stale(rows: list[dict], source_of: Callable[[str], str]) -> list[dict]:
    """The rows whose line is no longer in their file. source_of: the text of a file, "" for one that is gone."""
    texts = {file: source_of(file) for file in {row["file"] for row in rows}}
    return [row for row in rows if row["before"] not in texts[row["file"]]]


def line_of(row: dict, text: str) -> int:
    """The number of its line today: of those that read so, the nearest to the old number; that one if there is none."""
    starts = [match.start() for match in re.finditer(re.escape(row["before"]), text)]
    return min(
        (text.count("\n", 0, start) + 1 for start in starts), key=lambda n: abs(n - row["line"]), default=row["line"]
    )


def seed_of_today() -> str:
    """$MINISVDD_MUTANTS_SEED, or the date (UTC): the same sample all day, another one tomorrow."""
    return os.environ.get(_SEED) or datetime.now(timezone.utc).date().isoformat()


def how_to_repeat(seed: str) -> str:
    """For the message of a test that fails today and may pass tomorrow."""
    return f"the sample of {seed}; to run it again: {_SEED}={seed}"


def sample(rows: list[dict], count: int, seed: str, slowest: float = float("inf")) -> list[dict]:
    """`count` of the killed rows, drawn from those that once took no more than so many seconds."""
    rows = [row for row in rows if row["outcome"] == "killed" and row.get("seconds", 0) <= slowest]
    return random.Random(seed).sample(rows, min(count, len(rows)))
