"""The command `minisvdd data fetch`: a data set from its official address."""

import argparse
import sys

from ..data.datasets import DATASETS
from ..data.download import fetch
from ..files.progress import Progress
from .options import add_quiet


def add_data(data: argparse.ArgumentParser) -> None:
    """Add the command's action and its options to the parser."""
    actions = data.add_subparsers(required=True, metavar="ACTION")
    fetching = actions.add_parser("fetch", help="download a data set from its official address")
    fetching.add_argument("name", choices=DATASETS[1:], help="data set: all but the embedded digits")
    fetching.add_argument("--data-dir", help="folder to put it in (default: the cache folder)")
    add_quiet(fetching)
    fetching.set_defaults(run=_fetch, goes_on="the same command goes on where it was")


def _fetch(arguments):
    progress, wait = (None, None) if arguments.quiet else (_DownloadProgress(), _say)
    print(fetch(arguments.name, arguments.data_dir, on_progress=progress, on_wait=wait))
    return 0


def _say(message):
    print(message, file=sys.stderr, flush=True)


class _DownloadProgress:
    """Shows megabytes of a download as a `Progress`."""

    def __init__(self):
        self._progress, self._total = None, None

    def __call__(self, done, total):
        if self._progress is None or total != self._total:
            self._progress, self._total = Progress("download, MB", max(1, (total or 0) >> 20)), total
        self._progress.update(done >> 20)
