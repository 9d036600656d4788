"""The command `minisvdd gradcheck`: the hand-written gradients of the library against finite differences."""

import argparse

from ..gradcheck import check_library, library_cases
from .options import add_backend, add_check_kernels, start_backend


def add_gradcheck(check: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    check.add_argument("--layer", action="append", metavar="NAME", help=f"one of {', '.join(library_cases())}")
    add_backend(check)
    add_check_kernels(check)
    check.set_defaults(run=_gradcheck)


def _gradcheck(arguments):
    """Status 1 when a check has failed."""
    backend, reports = start_backend(arguments.backend, arguments.check_kernels), []
    for name in arguments.layer or library_cases():
        for report in check_library(name, backend):
            print(report, flush=True)
            reports.append(report)
    failed = sum(not report.passed for report in reports)
    print(f"{len(reports) - failed} of {len(reports)} gradient checks passed")
    return 1 if failed else 0
