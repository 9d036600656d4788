"""The command `minisvdd gradcheck`: the hand-written gradients of the library, or yours, against finite differences."""

import argparse

from ..errors import one_line
from ..gradcheck import check_library, library_cases
from ..gradcheck.own import cases_using, check_network, check_readings
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
    if own:
        passed = [passed for name in names for passed in _checks(name, lambda name=name: check_library(name, backend))]
        if not arguments.layer:
            passed += _checks("the whole network", lambda: [check_network(backend)])
        written = [reading for reading in own if reading.written]
        print(f"{sum(reading.passed for reading in written)} of {len(written)} functions equal their formulas")
    else:
        passed = [passed for name in names for passed in _reports(check_library(name, backend))]
    print(f"{sum(passed)} of {len(passed)} gradient checks passed")
    return 0 if all(passed) and all(reading.passed for reading in own) else 1


def _reports(reports):
    """Print these reports; whether each passed."""
    for report in reports:
        print(report, flush=True)
        yield report.passed


def _checks(name, check):
    """The same with a reader's functions: whatever they make go wrong is a failure, not the end."""
    try:
        yield from _reports(check())
    except Exception as error:
        print(f"gradcheck: {name}\nFAILED: {type(error).__name__}: {one_line(error)}", flush=True)
        yield False
