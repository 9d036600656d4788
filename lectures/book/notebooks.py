"""From a lecture's script to an executed notebook."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

LECTURES = Path(__file__).resolve().parents[1]


class BuildError(Exception):
    """A lecture that fails its checks, a formula that cannot be set, a name or a file that is missing."""


def execute_all(scripts: list[Path], folder: Path, *, quick: bool, jobs: int, reuse: bool) -> dict[Path, object]:
    """Run the scripts as notebooks, `jobs` at a time; keep them, with their outputs, as `folder`/NAME.ipynb.

    reuse: take the kept notebook where its cells are those of the script and `quick` is the same.
    Returns notebooks by script. Raises BuildError when a cell raises, which a failed check makes `finish` do.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def execute(script):
        kept = folder / f"{notebook_name(script)}.ipynb"
        notebook = _read(script, quick)
        if reuse and kept.exists() and _same(old := nbformat.read(kept, as_version=4), notebook):
            return old
        print(f"running {notebook_name(script)}", flush=True)
        _execute(notebook, script, quick)
        nbformat.write(notebook, kept)
        return notebook

    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(scripts, pool.map(execute, scripts)))


def notebook_name(script: Path) -> str:
    """`02_backprop`, and `02_backprop-solutions` for its solutions."""
    return script.stem + ("-solutions" if script.parent.name == "solutions" else "")


def _read(script, quick):
    notebook = jupytext.read(script, fmt="py:percent")
    notebook.metadata["minisvdd"] = {"quick": quick, "code": _library_digest()}
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


@cache
def _library_digest():
    """Changes when anything changes that all lectures build on."""
    digest = hashlib.sha256()
    for path in sorted((LECTURES.parent / "minisvdd").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _same(old, new):
    same_size = old.metadata.get("minisvdd") == new.metadata["minisvdd"]
    return same_size and [c.source for c in old.cells] == [c.source for c in new.cells]


def _execute(notebook, script, quick):
    environment = {**os.environ, "MINISVDD_LECTURE": notebook_name(script), "MINISVDD_QUICK": "1" if quick else "0"}
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(script.parent)}},
        extra_arguments=["--log-level=ERROR"],  # or every kernel warns that it listens on a port of this machine
    )
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        printed = [o.get("text", "") for cell in notebook.cells for o in cell.get("outputs", [])]
        failed = [line for text in printed for line in text.splitlines() if line.startswith("FAIL")]
        raise BuildError(f"{script.name} fails\n" + "\n".join(failed or [str(error)])) from None
