"""Training steps and scoring of the paper's networks beside PyTorch, interleaved in one process.

    python benchmarks/step.py            writes benchmarks/results/step.json (needs the extra `oracle`)
    python benchmarks/step.py --quick    a few steps of the smallest network: does it run?

`minisvdd bench --vs torch` is the same measurement.
"""

import argparse

from minisvdd.experiments.bench import measure
from minisvdd.files.atomic import write_json


def main():
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", default="benchmarks/results/step.json")
    arguments = parser.parse_args()
    names = ["mnist encoder"] if arguments.quick else None
    rounds = 2 if arguments.quick else 15
    result = measure(
        names, versus_torch=not arguments.quick, threads=arguments.threads, rounds=rounds, memory=not arguments.quick
    )
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
