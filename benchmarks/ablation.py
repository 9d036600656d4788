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
began with the same draws, and what these do to both alike is no error of their difference. The partners' first weights
and batches are the same, but that "gain" scales the convolutions' weights, "dictionary" gives other first filters, and
"fixed batches" and "a sixth held out" give other batches. The standard error is that of other seeds of these classes,
from how much the pairs of one class differ; the docstring of `difference_of` in `cells.py` has it, and how many pairs
show half a point. Where no class has two pairs it is that of other classes, and "standard_error_over" says so.

Cells are kept in FOLDER/CHOICE (`minisvdd experiment report` reads each) and not computed again; --budget ends early.
"""

from dataclasses import replace

from cells import add_cells, computed, difference_of, levels_of, pairs_of, rounded, rounded_mean
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
    """The choice's mean AUC in the cells that are there without it, too, and its mean difference to these."""
    ours, base = (
        {key[1:]: auc for key, auc in aucs[choice].items() if key[0] == method} for choice in (name, "nothing")
    )
    pairs = pairs_of(ours, base)
    row, difference = {"choice": name, "method": method, "mean": rounded_mean(levels_of(pairs))}, difference_of(pairs)
    if name == "nothing" or difference is None:
        return row
    return {
        **row,
        "pairs": difference.pairs,
        "difference": rounded(difference.mean),
        "standard_error": rounded(difference.error),
        "standard_error_over": difference.over,
        **({"deviation_borrowed_by": list(difference.borrowed)} if difference.borrowed else {}),
        "by_class": {c: rounded(mean) for c, mean in difference.by_class.items()},
        "pairs_that_show_half_a_point": difference.for_half_a_point,
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
