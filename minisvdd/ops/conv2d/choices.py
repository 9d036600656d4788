"""Which rung of the convolution is the default for a layer: the one that was the fastest where it was measured.

`choices.json` holds the times. `benchmarks/gpu.py` measures them anew, on the card at hand, and
`benchmarks/default_rungs.py` writes them there. What has not been measured takes the highest rung that fits.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ...backends.types import Shape

TABLE = Path(__file__).with_name("choices.json")
_KEY = ("C", "H", "W", "K", "side", "padding")


def fastest(operation: str, sizes: Shape, fitting: Sequence[str]) -> str:
    """The default among the rungs that fit, which are in the order of the ladder.

    sizes: N C H W, K P Q, and the filters' sizes, strides and paddings. The batch does not matter: the table's is 200.
    """
    _, C, H, W, K, _, _, kh, kw, sh, sw, ph, pw = sizes
    square = kh == kw and (sh, sw) == (1, 1) and ph == pw
    times = _times().get((operation, C, H, W, K, kh, ph), {}) if square else {}
    known = [rung for rung in fitting if rung in times]
    return min(known, key=times.__getitem__) if known else fitting[-1]


@cache
def _times() -> dict[tuple[str | int, ...], dict[str, float]]:
    """Microseconds of each rung, by operation and sizes; later measurements count where a rung has several."""
    table: dict[tuple[str | int, ...], dict[str, float]] = {}
    for measurement in json.loads(TABLE.read_text(encoding="utf-8"))["measurements"]:
        for row in measurement["rows"]:
            table.setdefault((row["operation"], *(row[k] for k in _KEY)), {}).update(row["microseconds"])
    return table
