"""The command `minisvdd`: whatever happens, a user reads one line. Exit status:

    0 done    1 a check failed    2 bad usage, bad input, or not enough of memory or disk    70 a fault of minisvdd
    130 Ctrl-C    141 who read the output has gone

Each command has a file of its own, imported only when the command is called; until then no package is loaded, so that
Ctrl-C is one line from the first moment. An error that nobody foresaw is one line too, which says that it is ours and
where: it must not look like a mistake of the user. With MINISVDD_TRACEBACK=1 every error shows its traceback first.
"""

import argparse
import os
import re
import sys
import traceback
import warnings
from collections.abc import Collection
from importlib import import_module
from pathlib import Path

from .. import interrupt
from ..errors import one_line
from ..version import __version__

# Command: (its file in this folder, what it does). The file's function `add_COMMAND` adds the command's options.
COMMANDS = {
    "train": ("train", "train Deep SVDD on one normal class, print the test AUC, save model and pictures"),
    "score": ("score", "score samples with a saved model"),
    "report": ("report", "write what a detector finds as one page of HTML that can be sent"),
    "experiment": ("experiment", "all methods x classes x seeds of a table, resumable"),
    "attack": ("attack", "train a classifier on all classes, make adversarial images by the Boundary Attack"),
    "gradcheck": ("gradcheck", "check hand-written gradients against finite differences"),
    "assignment": ("course", "write an assignment's skeleton and handout; list, pack for Gradescope"),
    "grade": ("course", "grade a submission, or a folder of them"),
    "course": ("course", "export the package for students, which shows no solution"),
    "lectures": ("course", "copy the lectures and their solutions, as scripts or notebooks"),
    "data": ("data", "fetch data sets"),
    "bench": ("bench", "time training steps and scoring of the paper's networks"),
    "info": ("info", "versions, backends and data sets found"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status. Every failure ends in one line on stderr."""
    argv = sys.argv[1:] if argv is None else argv
    _provide_streams()
    warnings.showwarning = _show_warning
    # scikit-learn's, of arrays: a command has chosen columns by their names where it read the file
    warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
    arguments = argparse.Namespace()
    with interrupt.ends_at_once():
        try:
            arguments = make_parser(argv).parse_args(argv)
            with interrupt.raises():
                status = arguments.run(arguments)
                sys.stdout.flush()
            return status
        except BrokenPipeError:  # `minisvdd info | head -1`: who reads has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
            return 141  # as a shell says it of SIGPIPE
        except KeyboardInterrupt:
            start = "\n" if sys.stderr.isatty() else ""  # the line that progress has begun stays as it is
            print(f"{start}{interrupt.INTERRUPTED}{_how_to_go_on(arguments)}", file=sys.stderr)
            return interrupt.INTERRUPTED_STATUS
        except Exception as error:
            if os.environ.get("MINISVDD_TRACEBACK", "") not in ("", "0"):
                traceback.print_exc()
            line, status = _explained(error)
            print(f"minisvdd: error: {one_line(_as_typed(line, arguments))}", file=sys.stderr)
            return status


def make_parser(words: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The parser of all commands. Only those among `words` have their options: the others' files are not imported."""
    parser = Parser(
        prog="minisvdd", description="Deep one-class classification from first principles (Deep SVDD, ICML 2018)."
    )
    parser.add_argument("--version", action="version", version=f"minisvdd {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, (file, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name in words:
            getattr(import_module(f".{file}", __package__), f"add_{name}")(command)
    return parser


def _explained(error: Exception) -> tuple[str, int]:
    """What the user is told, and the exit status."""
    from ..backends import KernelError  # only now: NumPy comes with it

    said = str(error) or type(error).__name__
    if isinstance(error, FloatingPointError):
        return said, 1
    if isinstance(error, MemoryError):
        return f"not enough memory: {said}: fewer samples at a time, or smaller ones, need less", 2
    if isinstance(error, KernelError | NotImplementedError | ValueError | TypeError | OSError):  # DataError is one
        return said, 2
    ours = Path(__file__).parents[1]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if ours in Path(frame.filename).parents]
    where = f" in {Path(frames[-1].filename).relative_to(ours)}, line {frames[-1].lineno}" if frames else ""
    return (
        f"unexpected {type(error).__name__}{where}: {said}: this is a fault of minisvdd; "
        "MINISVDD_TRACEBACK=1 shows how it came about"
    ), 70


def _provide_streams() -> None:
    """Python has None where a standard stream is closed (`>&-`, pythonw); then nobody wants to read."""
    for name in ("stdin", "stdout", "stderr"):  # in this order a closed descriptor gets its own number back
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):  # a file's name may hold what the encoding of a pipe (on Windows) cannot say
        sys.stdout.reconfigure(errors="backslashreplace")


class HelpFormatter(argparse.HelpFormatter):
    """Adds the default to an option's text, where it has one and the text does not say it better."""

    def _get_help_string(self, action):
        text = action.help or ""
        says_it = "(default" in text or action.default is None or action.default is False
        if says_it or not action.option_strings or action.default == argparse.SUPPRESS:
            return text
        return f"{text} (default: %(default)s)"


class Parser(argparse.ArgumentParser):
    """Every command's parser, and those below it: one way to show help."""

    def __init__(self, *arguments, formatter_class=HelpFormatter, **options):
        super().__init__(*arguments, formatter_class=formatter_class, **options)


# Arguments of the library whose options have other names.
_OPTIONS = {"random_state": "seed", "every": "checkpoint_every", "name": "data", "method": "methods"}


def _as_typed(message, arguments):
    """`random_state=-1: expected ...` becomes `--seed -1: expected ...`, where the command has that option.

    At the start, or after a colon: what stands before it is the file that it is about.
    """

    def typed(match):
        name, value = _OPTIONS.get(match[1], match[1]), match[2].strip("'")
        given = vars(arguments).get(name, match)
        if given is None and message[: match.start()].endswith(": "):  # what a file says, not the user
            return match[0]
        if given is match or not (match[2][0] in "'[" or value == str(given)):
            return match[0]
        return f"--{name.replace('_', '-')}" + ("" if value == "None" else f" {value}")

    return re.sub(r"(?:^|(?<=use )|(?<=: ))(\w+)=('[^']*'|[\w.+-]+)(?=[:;\s]|$)", typed, message)


def _how_to_go_on(arguments):
    """What a command says of itself by `set_defaults(goes_on=...)`: how it takes up work that was stopped."""
    goes_on = getattr(arguments, "goes_on", None)
    return f": {goes_on}" if goes_on and getattr(arguments, "checkpoint_every", 1) else ""


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"minisvdd: {category.__name__}: {message}", file=sys.stderr)
