"""Lecture 13: sixteen threads load the piece of the image that their outputs need, then read it from shared memory."""

from . import Living, grid

CELL, BESIDE = 30, 262
THREADS, TILE = 16, 6  # 4 x 4 outputs, and a margin of 1 for filters of 3 x 3
COLORS = ("var(--link)", "var(--pass)", "var(--accent)")
START = 3  # everything is loaded


def figure() -> Living:
    order = [[TILE * i + j for j in range(TILE)] for i in range(TILE)]
    cells = grid([[number % THREADS for number in row] for row in order], 32, 32, CELL, lambda _: ("none", 0)).split(
        "<g class='cell'>"
    )[1:]
    pixels = "".join(
        f"<g class='cell load'>{cell}".replace("fill:none;fill-opacity:0.00", f"fill:{color};fill-opacity:0.45")
        for cell, color in zip(cells, (COLORS[number // THREADS] for row in order for number in row))
    )
    around = "".join(
        f"<path class='axis faint' d='M{2 + CELL * k} 2V{2 + 8 * CELL}M2 {2 + CELL * k}H{2 + 8 * CELL}'/>"
        for k in range(9)
    )
    threads = grid([[4 * i + j for j in range(4)] for i in range(4)], BESIDE, 62, CELL, lambda _: ("var(--panel)", 1))
    svg = (
        f"{around}{pixels}<rect class='frame' x='32' y='32' width='{TILE * CELL}' height='{TILE * CELL}'/>"
        f"<g class='threads'>{threads}</g><text x='{BESIDE + 60}' y='50'>threads</text>"
        f"<text x='122' y='{8 * CELL + 20}'>image, and the tile</text>"
        f"<rect class='frame one' x='32' y='32' width='{3 * CELL}' height='{3 * CELL}' visibility='hidden'/>"
        f"<rect class='frame one' x='{BESIDE}' y='62' width='{CELL}' height='{CELL}' visibility='hidden'/>"
    )
    return Living(
        svg,
        (BESIDE + 4 * CELL + 3, 8 * CELL + 28),
        {"cell": CELL, "beside": BESIDE},
        "Step",
        0,
        START + THREADS,
        START,
        "step 3: thread t loads pixel t + 32, twelve threads have none left; then all wait",
        "A block of 4 x 4 threads and filters of 3 x 3: the tile has 6 x 6 pixels, each with the number of the thread "
        "that loads it, in three turns of sixteen. Then every thread reads its window from shared memory: 144 "
        "reads, 36 loads.",
    )
