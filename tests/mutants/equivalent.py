"""Survivors of `python_mutants.py` that no test can kill, and why: (file, the edited line)."""

EQUIVALENT: dict[tuple[str, str], str] = {}
