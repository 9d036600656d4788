"""What every lecture shares: options, checks that a reader watches pass, pictures, the tally at the end.

    from minisvdd.lecture import QUICK, check, choose, figure, finish, show

    epochs = choose(quick=5, full=100)
    check("the two formulas agree", np.allclose(a, b), f"largest difference {abs(a - b).max():.1e}")
    figure("curve")  # the current matplotlib figure, or the one given
    show(ops.linear_forward)  # the lines that the library has for it
    finish()  # the last line of every lecture

A lecture is run as `python lectures/02_backprop.py [--quick] [--out DIR] [--data-dir DIR]`, opened as a notebook, or
built into the book. It has succeeded when `finish` ran and no check had failed: as a script it exits 0 then, otherwise
1, also when it ended before `finish`. In a notebook `finish` raises instead.
"""

import argparse
import ast
import atexit
import inspect
import os
import re
import sys
import tempfile
from io import BytesIO
from itertools import groupby
from pathlib import Path
from textwrap import dedent, indent

import matplotlib

from .places import shipped

RESULTS = shipped("results")  # what the benchmarks measured

# Colours for all pictures: blue for the normal, red for the anomalous, and what goes well with them.
BLUE, RED, GREEN, ORANGE, PURPLE, GRAY = "#2b6cb0", "#c53030", "#2f855a", "#c05621", "#6b46c1", "#718096"


class LectureFailed(AssertionError):  # noqa: N818 (not an error of the program: the lecture's claim does not hold)
    """Raised by `finish` in a notebook when a check has failed, or when there was none."""


def _script() -> Path | None:
    """The lecture that Python was started with; None in a notebook or when something else imports this module."""
    started = Path(getattr(sys.modules["__main__"], "__file__", None) or "-")
    return started if re.fullmatch(r"\d+_\w+\.py", started.name) else None


def _shell():
    """IPython's shell where there is one: in Jupyter, VS Code's interactive window, and the book."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _options() -> argparse.Namespace:
    """Options of the script; elsewhere their defaults, which environment variables give."""
    parser = argparse.ArgumentParser(
        description="A lecture: prints its checks, saves its pictures, exits 1 if one fails."
    )
    quick = os.environ.get("MINISVDD_QUICK", "") not in ("", "0")
    # a notebook shows its pictures: nothing needs to be left beside it
    kept = "runs/lectures" if _script() else Path(tempfile.gettempdir()) / "minisvdd-lectures"
    out = os.environ.get("MINISVDD_LECTURES_OUT", kept)
    parser.add_argument("--quick", action="store_true", default=quick, help="small sizes: seconds instead of minutes")
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for pictures (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="folder of the data sets, before $MINISVDD_DATA")
    return parser.parse_args(None if _script() else [])


def _set_style():
    """One look for all pictures; in a script, no window either. Whoever imports this elsewhere keeps their look."""
    if _script():
        matplotlib.use("Agg")
    elif _shell() is None:
        return
    matplotlib.rcdefaults()  # whatever the reader's own settings are
    colors = matplotlib.cycler(color=[BLUE, RED, GREEN, ORANGE, PURPLE, GRAY])
    matplotlib.rcParams.update(
        {
            "figure.figsize": (7.2, 3.6),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": colors,
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "font.size": 10,
            "legend.frameon": False,
            "image.cmap": "gray",
            "mathtext.fontset": "stix",
        }
    )


_args = _options()
_set_style()

QUICK: bool = _args.quick
NAME: str = _script().stem if _script() else os.environ.get("MINISVDD_LECTURE", "lecture")

_results: list[tuple[str, bool, int]] = []  # claim, whether it holds, in which run of a notebook's cell
_finished = False


def choose(quick, full):
    """`quick` in a quick run, else `full`."""
    return quick if QUICK else full


def check(claim: str, condition, detail: str = "") -> bool:
    """Print PASS or FAIL with the claim and its numbers, and remember it; returns whether the condition holds.

    In a notebook a claim counts as its cell's last run says: a mistake that was put right is none.
    condition: anything with one truth value. An array of several has none: ValueError; say `.all()` or `.any()`.
    """
    global _finished
    holds = bool(condition)
    _finished = False  # a check after `finish` wants another `finish`
    run = _shell().execution_count if _shell() else 0
    _results[:] = [result for result in _results if result[0] != claim or result[2] == run]
    _results.append((claim, holds, run))
    print(f"{'PASS' if holds else 'FAIL'}  {claim}{f'  ({detail})' if detail else ''}", flush=True)
    return holds


def figure(name: str, fig=None) -> None:
    """Save the figure (default: pyplot's current one) as OUT/NN_name/name.png, show it in a notebook, and close it."""
    import matplotlib.pyplot as plt

    fig = plt.gcf() if fig is None else fig
    picture = BytesIO()
    fig.savefig(picture, format="png", dpi=144)
    path = _save(f"{name}.png", picture.getvalue())
    _show(path, width=round(100 * fig.get_figwidth()), alt=name.replace("_", " "))
    plt.close(fig)


def animation(name: str, moving, fps: int = 10) -> None:
    """The same for a matplotlib animation, as OUT/NN_name/name.gif."""
    import matplotlib.pyplot as plt

    path = _save(f"{name}.gif", b"")
    moving.save(path, writer="pillow", fps=fps, dpi=80)
    _show(path, width=round(100 * moving._fig.get_figwidth()), alt=name.replace("_", " "))
    plt.close(moving._fig)


def show(*things) -> None:
    """Print the library's own lines: an operation's formula, another reading of it, a function, a class or a module.

    Without the docstring, but for a module's: the lecture has said that already. In a notebook the lines are
    highlighted, in the book a link to their file stands above them.
    """
    for file, group in groupby(things, _file_of):
        code = "\n\n\n".join(map(_code_of, group))
        if _shell() is None:
            print(f"{file}:\n", indent(code, "    "), "", sep="\n", flush=True)
        else:
            from IPython.display import display

            display({"text/markdown": f"`{file}`\n\n```python\n{code}\n```", "text/plain": code}, raw=True)


def data_dir() -> Path | None:
    """The folder given by --data-dir, for `load_dataset(name, data_dir())`, which looks in $MINISVDD_DATA by itself."""
    return _args.data_dir


def available(name: str) -> bool:
    """Whether the data set is on this machine: lectures that can use real data do so, and say it when they cannot."""
    from .data.datasets import find_dataset

    return name == "digits" or find_dataset(name, data_dir()) is not None


def finish() -> None:
    """Print the tally. A script exits 1 when a check failed or none was made; a notebook raises LectureFailed."""
    global _finished
    _finished = True
    failed = [claim for claim, holds, _ in _results if not holds]
    verdict = f"{len(failed)} FAILED" if failed else "all passed"
    print(f"{NAME}: {len(_results)} checks, {verdict}", *(f"  FAIL  {claim}" for claim in failed), sep="\n", flush=True)
    if failed or not _results:
        if _script():
            sys.exit(1)
        raise LectureFailed("; ".join(failed) or "the lecture made no check")


def _file_of(thing):
    """The file that defines it, from the package on: `minisvdd/ops/linear.py`."""
    parts = Path(inspect.getsourcefile(inspect.unwrap(thing))).parts
    return "/".join(parts[len(parts) - parts[::-1].index("minisvdd") - 1 :])


def _code_of(thing):
    """Its source; of a function or a class without the docstring, and without `@Operation`."""
    source = inspect.getsource(thing)
    if inspect.ismodule(thing):
        return source.rstrip()
    lines = dedent(source).rstrip().split("\n")
    (node,) = ast.parse("\n".join(lines)).body
    if ast.get_docstring(node):
        del lines[node.body[0].lineno - 1 : node.body[0].end_lineno]
    return "\n".join(line for line in lines if line != "@Operation")


def _save(filename, content):
    path = _args.out / NAME / filename
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _show(path, width, alt):
    if _shell() is not None:
        from IPython.display import Image, display

        # The size and the name travel in the metadata; the book writes them into its <img>.
        display(Image(path.read_bytes(), format=path.suffix[1:], width=width, metadata={"alt": alt}))


def _insist_on_finish():
    """A script that ended without `finish` has proved nothing, whatever it printed: exit status 1."""
    if not _finished and not hasattr(sys, "last_type"):  # after an uncaught exception the status is 1 already
        print(f"{NAME}: finish() never ran", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(1)


if _script():
    atexit.register(_insist_on_finish)
