"""Write the table of default rungs of the convolution from measured times.

    python benchmarks/default_rungs.py RESULT.json [--out minisvdd/ops/conv2d/choices.json]

RESULT.json is what `benchmarks/gpu.py` has written of its part `ladder`: the milliseconds of every rung, by layer and
operation. The new table takes the place of the old.
"""

import argparse
import json
from pathlib import Path

from minisvdd.experiments import ladder
from minisvdd.files.atomic import atomic_write
from minisvdd.ops.conv2d.choices import TABLE


def table(result):
    """The table's text, one row a line: the times in microseconds of every rung, by operation and sizes."""
    rows = [row for row in map(_row, result["ladder"]) if row and row["microseconds"]]
    head = {"card": result["device"], "date": result["date"], "what": "the rungs, batch 200, float32, cold cache"}
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    return f'{{"measurements": [\n {json.dumps(head)[:-1]}, "rows": [\n{lines}\n ]}}\n]}}\n'


def _row(row):
    """None for what is no convolution of the paper's."""
    if row["layer"] not in ladder.CONVOLUTIONS:
        return None
    _, C, side, K = ladder.CONVOLUTIONS[row["layer"]]
    sizes = {"C": C, "H": side, "W": side, "K": K, "side": ladder.KERNEL[0], "padding": ladder.PADDING[0]}
    times = {rung: round(1000 * ms, 1) for rung, ms in row["ms"].items() if ms is not None}
    operation = f"conv2d_{row['operation'].replace(' ', '_')}"
    return {"layer": row["layer"], "operation": operation, **sizes, "microseconds": times}


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("result", type=Path, help="what benchmarks/gpu.py has written")
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    with atomic_write(options.out) as file:
        file.write(table(json.loads(options.result.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
