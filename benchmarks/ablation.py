"""What each choice of the authors' first scripts is worth: One-Class and DCAE with one choice at a time, in pairs.

    python benchmarks/ablation.py --data mnist --seeds 3 --jobs 2 --out benchmarks/results/ablation-mnist.json
    python benchmarks/ablation.py --protocol quick --seeds 5 --out benchmarks/results/ablation-digits.json
    python benchmarks/ablation.py --data mnist --protocol authors-theano --choices "a sixth held out" --methods dcae \\
        --seeds 1 --out benchmarks/results/ablation-mnist-held-out.json
    python benchmarks/ablation.py --quick                           digits: does it run?

The choices are `minisvdd.experiments.protocols.CHOICES`, each made alone in the protocol, then all of them together; or
some by name; what acts on none of the methods is left out. By name there is one more: for the DCAE column of MNIST the
scripts hold out a sixth of the training images.
A cell draws from (seed, class, method), whatever the choice: so every AUC with a choice has a partner without it that
began with the same weights, and the mean of the differences over pairs has the standard error s / sqrt(pairs), in which
what one draw does to both of them is gone. Of that s it follows how many pairs show half a point: with a standard error
of a quarter, (s / 0.25)^2.

Cells are kept in FOLDER/CHOICE (`minisvdd experiment report` reads each) and not computed again; --budget ends early.
"""

from dataclasses import replace

import numpy as np
from cells import add_cells, computed, mean_and_error, pairs_for_half_a_point, rounded
from common import make_parser, parse, write_rows

from minisvdd.experiments.protocols import CHOICES, acts_on, get_protocol

METHODS = ("dcae", "one-class")
HELD_OUT = {"a sixth held out": {"held_out": 1 / 6}}
_QUICK = ("affine", "gain")


def main():
    """Compute every choice's cells, and write mean differences to the protocol without it."""
    arguments = _arguments()
    base, methods = get_protocol(arguments.protocol, arguments.data), arguments.methods
    if arguments.quick:
        base = replace(base, pretrain_epochs=2, epochs=2)
    settings = {option: vars(arguments)[option] for option in ("data", "classes", "protocol", "seeds")}
    aucs = {}
    for name, choice in {"nothing": {}, **_chosen(arguments.choices, methods)}.items():
        aucs[name] = computed(arguments, name, replace(base, **choice), methods)
        rows = [_row(other, method, aucs) for other in aucs for method in methods]
        write_rows(arguments.out, rows, **settings)
        for row in rows[-len(methods) :]:
            print(row, flush=True)


def _chosen(names, methods):
    """{name: what it changes in the protocol}, of those that act on a method; of several also all of them together."""
    choices = {name: (CHOICES | HELD_OUT)[name] for name in names if acts_on(name, methods)}
    if len(choices) > 1:
        choices["all of these"] = {key: value for choice in choices.values() for key, value in choice.items()}
    return choices


def _row(name, method, aucs):
    """The choice's mean AUC, and its mean difference to the same cells without it."""
    ours, base = (
        {key[1:]: auc for key, auc in aucs[choice].items() if key[0] == method} for choice in (name, "nothing")
    )
    by_class: dict[str, list[float]] = {}
    for normal_class, seed in sorted(ours.keys() & base.keys()):
        by_class.setdefault(normal_class, []).append(ours[normal_class, seed] - base[normal_class, seed])
    pairs = [difference for differences in by_class.values() for difference in differences]
    row = {"choice": name, "method": method, "mean": rounded(np.mean(list(ours.values()))) if ours else None}
    if name == "nothing" or len(pairs) < 2:
        return row
    difference, error = mean_and_error(pairs)
    return {
        **row,
        "pairs": len(pairs),
        "difference": rounded(difference),
        "standard_error": rounded(error),
        "by_class": {c: rounded(np.mean(differences)) for c, differences in by_class.items()},
        "pairs_that_show_half_a_point": pairs_for_half_a_point(len(pairs), error),
    }


def _arguments():
    parser = make_parser(__doc__, quick="the digits, two classes, seeds and choices, two epochs")
    add_cells(parser, "authors-code", "runs/ablation")
    names = list(CHOICES | HELD_OUT)
    parser.add_argument(
        "--choices", nargs="+", choices=names, default=list(CHOICES), metavar="NAME", help=f"of {names}"
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    return parse(parser, data="digits", classes=["3", "8"], seeds=2, protocol="quick", choices=_QUICK)


if __name__ == "__main__":
    main()
