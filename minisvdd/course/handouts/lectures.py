"""The lectures for who has installed the library: copied into a folder, as scripts or as notebooks.

A lecture is a script in percent format: `# %%` begins a cell of code, `# %% [markdown]` one of text in line comments.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files.atomic import write_new
from ...places import shipped


def copy_lectures(folder: str | Path, as_notebooks: bool = False) -> list[Path]:
    """Write all lectures into `folder`, and their solutions into `folder`/solutions; returns the paths.

    Raises DataError, before anything is written, when a file of such a name is there with another content.
    """
    texts, lectures = {}, shipped("lectures")
    for script in sorted(lectures.rglob("[0-9]*.py")):
        target, text = Path(folder) / script.relative_to(lectures), script.read_text(encoding="utf-8")
        texts[target.with_suffix(".ipynb") if as_notebooks else target] = notebook(text) if as_notebooks else text
    write_new(texts, "choose another folder")
    return list(texts)


def notebook(script: str) -> str:
    """The Jupyter notebook of a script in percent format."""
    cells = []
    for part in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        marker, _, source = part.partition("\n")
        is_text, source = "[markdown]" in marker, source.strip("\n")
        source = re.sub(r"^# ?", "", source, flags=re.MULTILINE) if is_text else source
        cells.append(cell("markdown" if is_text else "code", source))
    return as_notebook(cells)


def cell(kind: str, source: str) -> dict[str, Any]:
    """A cell of a notebook; kind: "code", "markdown" or "raw"."""
    of_code = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True), **of_code}


def as_notebook(cells: Sequence[dict[str, Any]]) -> str:
    """The Jupyter notebook of these cells: JSON, in format 4.5."""
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    numbered = [{**one, "id": f"cell-{number}"} for number, one in enumerate(cells)]
    whole = {"cells": numbered, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
