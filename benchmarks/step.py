"""Training steps and scoring of the paper's networks beside PyTorch, interleaved in one process.

    python benchmarks/step.py            writes benchmarks/results/step.json (needs the extra `oracle`)
    python benchmarks/step.py --quick    a few steps of the smallest network: does it run?

`minisvdd bench --vs torch` is the same measurement.
"""

from common import make_parser

from minisvdd.experiments.bench import measure
from minisvdd.files.atomic import write_json


def main():
    """Measure and write the result."""
    parser = make_parser(__doc__, quick="one network, two rounds, no PyTorch", out="benchmarks/results/step.json")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    names = ["mnist encoder"] if arguments.quick else None
    rounds = 2 if arguments.quick else 15
    result = measure(
        names, versus_torch=not arguments.quick, threads=arguments.threads, rounds=rounds, memory=not arguments.quick
    )
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
