"""Lecture 3: a filter's window walks over a digit; under it stands the sum."""

import numpy as np

from minisvdd import load_dataset

from . import Living, grid

CELL, OUT = 28, 262  # size of a pixel; where the outputs begin
FILTER = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
START = 8


def figure() -> Living:
    image = load_dataset("digits").train_images[3, 0].astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    y = np.einsum("ijab,ab->ij", windows, FILTER)
    largest = np.abs(y).max()
    i, j = divmod(START, 6)
    outputs = grid(
        y, OUT, CELL, CELL, lambda v: ("var(--link)" if v > 0 else "var(--fail)", 0.75 * abs(v) / largest)
    ).split("<g class='cell'>")[1:]
    outputs = "".join(f"<g class='cell out{'' if k <= START else ' later'}'>{cell}" for k, cell in enumerate(outputs))
    svg = (
        f"<g>{grid(image, 2, 2, CELL, lambda v: ('var(--soft)', 0.55 * v / image.max()))}</g>{outputs}"
        f"<rect class='frame' x='{2 + j * CELL}' y='{2 + i * CELL}' width='{3 * CELL}' height='{3 * CELL}'/>"
        f"<rect class='frame one' x='{OUT + j * CELL}' y='{CELL + i * CELL}' width='{CELL}' height='{CELL}'/>"
    )
    return Living(
        svg,
        (OUT + 6 * CELL + 3, 8 * CELL + 4),
        {"image": image.tolist(), "filter": FILTER.tolist(), "cell": CELL, "out": OUT},
        "Position",
        0,
        35,
        START,
        says(windows[i, j], i, j),
        "A filter that answers to changes from left to right, (-1 0 1; -2 0 2; -1 0 1), walks over a three. Left the "
        "image with the window, right the outputs so far.",
    )


def says(window, i: int, j: int) -> str:
    """The sum, written out; terms with the weight 0 are left out."""
    terms = [(w, x) for w, x in zip(FILTER.ravel(), window.ravel()) if w]
    words = " ".join(f"{'−' if w < 0 else '+'} {abs(w)}·{x}" for w, x in terms)
    return f"y({i}, {j}) = {words} = {sum(w * x for w, x in terms)}".replace("-", "−")
