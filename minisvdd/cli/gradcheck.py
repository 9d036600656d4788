"""The command `minisvdd gradcheck`: the hand-written gradients of the library, or yours, against finite differences."""

import argparse

from ..errors import one_line
from ..gradcheck import check_library, library_cases
from ..gradcheck.own import cases_using, check_readings
from .options import add_backend, add_check_kernels, add_ops, start_backend


def add_gradcheck(check: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    check.add_argument(
        "--layer",
        action="append",
        metavar="NAME",
        help=f"one of {', '.join(library_cases())} (default: all; with --ops, what uses them)",
    )
    add_backend(check)
    add_check_kernels(check)
    add_ops(check)
    check.set_defaults(run=_gradcheck)


def _gradcheck(arguments):
    """Status 1 when a check has failed."""
    backend = start_backend(arguments.backend, arguments.check_kernels, arguments.ops)
    own = check_readings(backend.readings)
    for reading in own:
        print(reading, flush=True)
    names = arguments.layer or (cases_using(list(backend.readings)) if own else library_cases())
    passed = [passed for name in names for passed in (_checks if own else _reports)(name, backend)]
    if own:
        print(f"{sum(reading.passed for reading in own)} of {len(own)} functions equal their formulas")
    print(f"{sum(passed)} of {len(passed)} gradient checks passed")
    return 0 if all(passed) and all(reading.passed for reading in own) else 1


def _reports(name, backend):
    """Print the reports of these cases; whether each passed."""
    for report in check_library(name, backend):
        print(report, flush=True)
        yield report.passed


def _checks(name, backend):
    """The same with a reader's functions: whatever they make go wrong is a failure, not the end."""
    try:
        yield from _reports(name, backend)
    except Exception as error:
        print(f"gradcheck: {name}\nFAILED: {type(error).__name__}: {one_line(error)}", flush=True)
        yield False
