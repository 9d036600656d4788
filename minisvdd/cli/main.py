"""The command `minisvdd`. Exit status: 0 done, 1 a check failed, 2 bad usage or bad input (one line on stderr).

Each command has a file of its own, imported only when the command is called.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Collection
from importlib import import_module

from ..backends import KernelError
from ..errors import DataError, one_line
from ..version import __version__

# Command: (its file in this folder, what it does). The file's function `add_COMMAND` adds the command's options.
COMMANDS = {
    "train": ("train", "train Deep SVDD on one normal class, print the test AUC, save model and pictures"),
    "score": ("score", "score samples with a saved model"),
    "experiment": ("experiment", "all methods x classes x seeds of a table, resumable"),
    "attack": ("attack", "train a classifier on all classes, make adversarial images by the Boundary Attack"),
    "gradcheck": ("gradcheck", "check hand-written gradients against finite differences"),
    "assignment": ("course", "write an assignment's skeleton and handout; list, pack for Gradescope"),
    "grade": ("course", "grade a submission, or a folder of them"),
    "lectures": ("course", "copy the lectures and their solutions, as scripts or notebooks"),
    "data": ("data", "fetch data sets"),
    "bench": ("bench", "time training steps and scoring of the paper's networks"),
    "info": ("info", "versions, backends and data sets found"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status. Everything that a user can get wrong ends in one line on stderr."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = make_parser(argv).parse_args(argv)
    warnings.showwarning = _show_warning
    if hasattr(sys.stdout, "reconfigure"):  # a file's name may hold what the encoding of a pipe (on Windows) cannot say
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `minisvdd info | head -1`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return 141  # as a shell says it of SIGPIPE
    except (DataError, KernelError, ValueError, TypeError, OSError) as error:
        return _fail(str(error) or type(error).__name__, 2)
    except FloatingPointError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def make_parser(words: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The parser of all commands. Only those among `words` have their options: the others' files are not imported."""
    parser = argparse.ArgumentParser(
        prog="minisvdd", description="Deep one-class classification from first principles (Deep SVDD, ICML 2018)."
    )
    parser.add_argument("--version", action="version", version=f"minisvdd {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, (file, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name in words:
            getattr(import_module(f".{file}", __package__), f"add_{name}")(command)
    return parser


def _fail(message, status):
    print(f"minisvdd: error: {one_line(message)}", file=sys.stderr)
    return status


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"minisvdd: {category.__name__}: {message}", file=sys.stderr)
