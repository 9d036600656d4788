"""The command `minisvdd attack`: train a classifier and attack it with the Boundary Attack."""

import argparse
from pathlib import Path

from ..attack.adversarial import SETTINGS, adversaries_of
from ..attack.plots import plot_adversaries, plot_distances
from ..data.datasets import load_dataset
from ..experiments.plots import save_figure
from ..files.atomic import write_json
from . import options


def add_attack(attack: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    attack.add_argument("--data", choices=list(SETTINGS), default="gtsrb", help="data set")
    attack.add_argument("--target-class", help="class whose test images are attacked (default: stop; 3 for digits)")
    attack.add_argument("--count", type=int, help="how many of them (default: 20)")
    attack.add_argument("--queries", type=int, help="largest number of queries per image (default: that of the data)")
    options.add_backend(attack)
    options.add_seed(attack)
    options.add_data_dir(attack)
    attack.add_argument("--out", help="folder for classifier, images and pictures (default: runs/attack-DATA)")
    options.add_quiet(attack)
    attack.set_defaults(run=_attack)


def _attack(arguments):
    """Status 1 when an image could not be made adversarial."""
    options.check_counts(arguments, "count", "queries")
    folder = Path(arguments.out or f"runs/attack-{arguments.data}")
    _, found, figures = adversaries_of(
        load_dataset(arguments.data, arguments.data_dir),
        folder,
        target_class=arguments.target_class,
        count=arguments.count,
        queries=arguments.queries,
        backend=options.start_backend(arguments.backend),
        seed=arguments.seed,
        verbose=options.verbosity(arguments),
    )
    write_json(folder / "attack.json", figures)
    save_figure(plot_adversaries(found), folder / "adversaries.png")
    save_figure(plot_distances(found), folder / "distances.png")
    print(f"classifier: test accuracy {100 * figures['test_accuracy']:.2f} %, {figures['seconds_classifier']} s")
    print(
        f"attack: {figures['misclassified']} of {figures['images']} misclassified; median L2 "
        f"{figures['median_l2_start']:.3f} at the start, {figures['median_l2']:.4f} at the end "
        f"({figures['ratio']:.1f} times smaller) after {figures['total_queries']} queries, "
        f"{figures['seconds_attack']} s"
    )
    print(f"written: classifier.npz, adversarial.npz, attack.json, adversaries.png, distances.png in {folder}")
    return 0 if found.success.all() else 1
