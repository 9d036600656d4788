"""The command `minisvdd info`: versions, backends and data sets found."""

import argparse
import os

from ..backends import backend_problems
from ..course.grader.places import summary
from ..data.datasets import DATASETS, data_bases, find_dataset
from ..experiments.experiments import versions


def add_info(info: argparse.ArgumentParser) -> None:
    """Add the command's option to its parser."""
    info.add_argument("--data-dir", help="folder to look for data sets in")
    info.set_defaults(run=_info)


def _info(arguments):
    for name, version in versions().items():
        print(f"{name:14}{version}")
    print(f"{'cpus':14}{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}")
    problems = backend_problems()
    print(f"{'backends':14}{', '.join(name for name, problem in problems.items() if problem is None)}")
    for name, problem in problems.items():
        if problem is not None:
            print(f"{'':14}not {name}: {problem}")
    print(f"{'submissions':14}{summary()}")
    print(f"{'data sought':14}{', '.join(str(folder) for folder in data_bases(arguments.data_dir))}")
    print(f"{'digits':14}embedded")
    for name in DATASETS[1:]:
        print(f"{name:14}{find_dataset(name, arguments.data_dir) or f'not found: minisvdd data fetch {name}'}")
    return 0
