"""Wrong and costly kernels for the assignment `conv2d-tiled`: (words, edits, parts that are lost, what is said)."""

LOAD = """        for (int u = i; u < 15 + kh; u += 16)
            for (int v = j; v < 15 + kw; v += 16)
                if (top + u < H && left + v < W) tile[u][v] = x[((n * C + c) * H + top + u) * W + left + v];
"""
TAPS = """        int tap = 16 * i + j;
        if (tap < kh * kw) taps[tap] = weight[(k * C + c) * kh * kw + tap];
"""
SUM = "sum += taps[a * kw + b] * tile[i + a][j + b];"
FROM_X = "x[((n * C + c) * H + top + i + a) * W + left + j + b]"
FROM_WEIGHT = "weight[((k * C + c) * kh + a) * kw + b]"
STORE = "    if (top + i < P && left + j < Q) y[((n * K + k) * P + top + i) * Q + left + j] = sum;"
WAIT_LOADED = "        // wait until all have loaded\n        __syncthreads();\n"
WAIT_READ = "        // wait until all have read, before the next channel takes the place\n        __syncthreads();\n"
ONE, CHANNELS, BATCH, ODD, WINDOWS = VALUES = (
    "one channel",
    "several channels",
    "samples and filters",
    "odd sizes",
    "windows of other sizes",
)
HALF, NEAR, TWO, NONE = COSTS = (
    "half of the untiled traffic",
    "traffic near the model's",
    "at most two words in a bank",
    "no bank conflict",
)
ALL = (*VALUES, *COSTS)
SEVERAL = (CHANNELS, BATCH, ODD, WINDOWS, *COSTS)  # parts with more than one channel

WRONG = [
    (
        "no barrier after loading",
        [(WAIT_LOADED, "")],
        ALL,
        "no __syncthreads() between loading the tile and reading it",
    ),
    ("no barrier before the next channel", [(WAIT_READ, "")], SEVERAL, "no __syncthreads() after the sums"),
    (
        "a return in front of the barriers",
        [("    T sum = 0;\n", "    T sum = 0;\n    if (top + i >= P || left + j >= Q) return;\n")],
        VALUES[1:],
        "some threads never reach",
    ),
    ("no halo", [("u < 15 + kh", "u < 16"), ("v < 15 + kw", "v < 16")], ALL, "a part of the tile, its halo"),
    ("no guard at the edge", [("if (top + u < H && left + v < W) ", "")], VALUES[1:], "no guard at the edge"),
    (
        "no guard at the outputs",
        [(STORE, STORE.replace("top + i < P && ", ""))],
        (CHANNELS, ODD, WINDOWS),
        "no guard at the edge",
    ),
    (
        "the sum begins anew",
        [("        int tap = ", "        sum = 0;\n        int tap = ")],
        SEVERAL,
        "only the last channel",
    ),
    ("flipped", [(SUM, SUM.replace("a * kw + b", "(kh - 1 - a) * kw + kw - 1 - b"))], ALL, "the filters are flipped"),
    (
        "first filter only",
        [("weight[(k * C + c)", "weight[c")],
        (BATCH, ODD, WINDOWS, *COSTS),
        "every filter is the first",
    ),
    (
        "n and k exchanged",
        [("n = blockIdx.z / K, k = blockIdx.z % K", "n = blockIdx.z % K, k = blockIdx.z / K")],
        (BATCH, ODD, WINDOWS, *COSTS),
        "no guard at the edge",
    ),
    (
        "blocks exchanged",
        [("top = 16 * blockIdx.y, left = 16 * blockIdx.x", "top = 16 * blockIdx.x, left = 16 * blockIdx.y")],
        ALL,
        "blockIdx.x goes with columns",
    ),
    (
        "no block",
        [("top = 16 * blockIdx.y, left = 16 * blockIdx.x", "top = 0, left = 0")],
        ALL,
        "two blocks write the same output",
    ),
    ("in an int", [("    T sum = 0;", "    int sum = 0;")], ALL, "an int"),
    ("a tile that is too small", [("tile[22][48]", "tile[20][48]")], (WINDOWS,), "a shared array that is too small"),
]
COSTLY = [
    (
        "no tile at all",
        [(LOAD, ""), (TAPS, ""), (SUM, f"sum += {FROM_WEIGHT} * {FROM_X};")],
        COSTS,
        "nothing is kept in shared memory",
    ),
    (
        "taps from global memory",
        [(TAPS, ""), (SUM, f"sum += {FROM_WEIGHT} * tile[i + a][j + b];")],
        (NEAR,),
        "reads the taps from global memory",
    ),
    (
        "taps alone in shared memory",
        [(LOAD, ""), (SUM, f"sum += taps[a * kw + b] * {FROM_X};")],
        COSTS,
        "but not the tile",
    ),
    (
        "halo from global memory",
        [
            ("u < 15 + kh", "u < 16"),
            ("v < 15 + kw", "v < 16"),
            (SUM, f"sum += taps[a * kw + b] * (i + a < 16 && j + b < 16 ? tile[i + a][j + b] : {FROM_X});"),
        ],
        (NEAR, TWO, NONE),
        "the tile has no halo",
    ),
    (
        "y in every channel",
        [
            (
                "        // wait until all have read",
                STORE.replace("= sum", "= c ? y[((n * K + k) * P + top + i) * Q + left + j] + sum : sum")
                + "\n        sum = 0;\n        // wait until all have read",
            ),
            ("    // write the sum, once\n" + STORE, ""),
        ],
        (NEAR,),
        "for each channel",
    ),
    ("short rows", [("tile[22][48]", "tile[22][22]")], (NONE,), "the two rows of a warp meet in a bank"),
    ("rows of 32", [("tile[22][48]", "tile[22][32]")], (NONE,), "the two rows of a warp meet in a bank"),
    (
        "loaded in one line",
        [
            (
                LOAD,
                """        for (int t = 16 * i + j; t < (15 + kh) * (15 + kw); t += 256) {
            int u = t / (15 + kw), v = t % (15 + kw);
            if (top + u < H && left + v < W) tile[u][v] = x[((n * C + c) * H + top + u) * W + left + v];
        }
""",
            )
        ],
        (NONE,),
        "the two rows of a warp meet in a bank",
    ),
    (
        "columns across the lanes",
        [("int i = threadIdx.y, j = threadIdx.x", "int i = threadIdx.x, j = threadIdx.y")],
        (NEAR, TWO, NONE),
        "threadIdx.x is the column",
    ),
    (
        "a transposed tile",
        [("tile[22][48]", "tile[48][22]"), ("tile[u][v]", "tile[v][u]"), ("tile[i + a][j + b]", "tile[j + b][i + a]")],
        (NONE,),
        "the two rows of a warp meet in a bank",
    ),
]

# Other kernels that get all points
RIGHT = [
    ("the largest tile always", [("u < 15 + kh", "u < 22"), ("v < 15 + kw", "v < 22")]),
    (
        "a long row in one array",
        [
            ("tile[22][48]", "tile[22 * 80]"),
            ("tile[u][v]", "tile[80 * u + v]"),
            ("tile[i + a][j + b]", "tile[80 * (i + a) + j + b]"),
        ],
    ),
    (
        "idle threads add, too, where they can",
        [
            (
                "        if (top + i < P && left + j < Q)\n",
                "        if (top + i + kh - 1 < H && left + j + kw - 1 < W)\n",
            )
        ],
    ),
    (
        "a barrier at the top of the loop",
        [
            (WAIT_READ, ""),
            ("        // load the tile together", "        __syncthreads();\n        // load the tile together"),
        ],
    ),
]

# Edits of the whole file
FLOAT_ALONE = [
    ("template <typename T>\n", ""),
    ("const T*", "const float*"),
    ("T* y", "float* y"),
    ("T tile", "float tile"),
    ("T taps", "float taps"),
    ("T sum", "float sum"),
]
KEPT = [
    ("template <typename T>\n__global__", "__device__ float kept[22][48];\ntemplate <typename T>\n__global__"),
    ("tile[u][v]", "kept[u][v]"),
    ("tile[i + a][j + b]", "kept[i + a][j + b]"),
]
