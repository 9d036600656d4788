"""The lectures for who has installed the library: copied into a folder, as scripts or as notebooks.

A lecture is a script in percent format: `# %%` begins a cell of code, `# %% [markdown]` one of text in line comments.
"""

import json
import re
from pathlib import Path

from ...errors import DataError
from ...files.atomic import atomic_write
from ...places import shipped


def copy_lectures(folder: str | Path, as_notebooks: bool = False) -> list[Path]:
    """Write all lectures into `folder`, and their solutions into `folder`/solutions; returns the paths.

    Raises DataError, before anything is written, when a file of such a name is there with another content.
    """
    texts, lectures = {}, shipped("lectures")
    for script in sorted(lectures.rglob("[0-9]*.py")):
        target, text = Path(folder) / script.relative_to(lectures), script.read_text(encoding="utf-8")
        texts[target.with_suffix(".ipynb") if as_notebooks else target] = notebook(text) if as_notebooks else text
    for path, text in texts.items():
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
            raise DataError(f"{path}: exists already, and may hold somebody's work: choose another folder")
    for path, text in texts.items():
        with atomic_write(path) as file:
            file.write(text)
    return list(texts)


def notebook(script: str) -> str:
    """The Jupyter notebook (format 4.5, as JSON) of a script in percent format."""
    cells = []
    for number, part in enumerate(re.split(r"^# %%", script, flags=re.MULTILINE)[1:]):
        marker, _, source = part.partition("\n")
        is_text, source = "[markdown]" in marker, source.strip("\n")
        source = re.sub(r"^# ?", "", source, flags=re.MULTILINE) if is_text else source
        of_code = {} if is_text else {"execution_count": None, "outputs": []}
        kind = "markdown" if is_text else "code"
        lines = source.splitlines(keepends=True)
        cells.append({"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": lines, **of_code})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
