# %% [markdown]
# # Solutions to 13. CUDA: from a naive to a fast convolution

# %%
import json
import tempfile
from pathlib import Path

import numpy as np

from minisvdd.backends import EmulatorBackend
from minisvdd.backends.kernel import read_kernels
from minisvdd.lecture import RESULTS, check, finish

# %% [markdown]
# ## Exercise 1
#
# The block loads a tile row by row, and stores it row by row of the *target*; the turn happens in shared memory, where
# any order costs the same as long as the threads of a warp use different banks. A column of `tile[32][32]` lies in a
# single bank, since rows are 32 words apart: a conflict of 32. With 33 words per row the column spreads over all banks.


# %%
def kernels(width):
    path = Path(tempfile.mkdtemp()) / "transpose.cu"
    path.write_text(f"""
__global__ void naive(const float* x, float* y, int n) {{
    int i = blockIdx.x * 32 + threadIdx.x % 32;
    for (int j = blockIdx.y * 32 + threadIdx.x / 32; j < blockIdx.y * 32 + 32; j += 8) y[i * n + j] = x[j * n + i];
}}
__global__ void staged(const float* x, float* y, int n) {{
    __shared__ float tile[32][{width}];
    int column = threadIdx.x % 32, row = threadIdx.x / 32;
    for (int j = row; j < 32; j += 8) tile[j][column] = x[(blockIdx.y * 32 + j) * n + blockIdx.x * 32 + column];
    __syncthreads();
    for (int j = row; j < 32; j += 8) y[(blockIdx.x * 32 + j) * n + blockIdx.y * 32 + column] = tile[column][j];
}}
""")
    return read_kernels(path)


x = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
backend, counts = EmulatorBackend(count=True), {}
for width in (32, 33):
    for name, kernel in kernels(width).items():
        y = np.empty_like(x)
        backend.run(kernel, (x, y, 64), (2, 2), (256,))
        check(f"{name} with rows of {width} transposes", np.array_equal(y, x.T))
        counts[name, width] = backend.last_counts
sectors = {key: value.transactions / value.requests for key, value in counts.items()}
check("staged loads and stores are coalesced", sectors["staged", 33] <= 5, f"{sectors['staged', 33]:.1f} sectors")
check("naive stores are not", sectors["naive", 33] > 16, f"{sectors['naive', 33]:.1f} sectors on average")
conflicts = [counts["staged", width].worst_bank_conflict for width in (32, 33)]
check("one word more per row ends the bank conflicts", conflicts == [32, 1], f"{conflicts[0]} -> {conflicts[1]}")

# %% [markdown]
# ## Exercise 2
#
# Of 64 rows 8 hold filters: 7/8 of the multiplications are of zeros, and 15/16 with 4 filters. The counts show it in
# the loads of shared memory, which go with the multiplications: per output of the second layer, 4 of 64 rows, they are
# about $64/4 = 16$ times the $2 M / 16$ of a full tile.

# %%
rows = json.loads((RESULTS / "rungs.json").read_text(encoding="utf-8"))["rows"]
found = next(
    row
    for row in rows
    if (row["layer"], row["operation"], row["rung"]) == ("mnist 2", "conv2d_forward", "register_blocked")
)
full_tile = 2 * 25 * 8 / 16
ratio = found["shared_loads"] / full_tile
check("about 16 times the shared loads of a full tile", 14 < ratio < 20, f"{ratio:.1f} times")

# %% [markdown]
# ## Exercise 3
#
# Read 200 images of $28 \times 28$, write the convolution's 8 channels (the statistics need the whole batch before
# anything can be normalised), read them again, write the pooled quarter and a byte per winner. (Whoever computes the
# convolution twice reads the images twice instead: far fewer bytes, unless `backward` wants the channels.)

# %%
image, conv = 200 * 28 * 28 * 4, 200 * 8 * 28 * 28 * 4
moved = image + 2 * conv + conv / 4 + conv / 16
print(f"{moved / 1e6:.1f} MB: {1e6 * moved / 3.35e12:.1f} microseconds at 3.35 TB/s")
twice = 2 * image + conv / 4 + conv / 16
print(f"computed twice: {twice / 1e6:.1f} MB, with the channels stored for backward {(twice + conv) / 1e6:.1f} MB")
check("a few microseconds", 3e-6 < moved / 3.35e12 < 5e-6)
check("nearly all of it for the convolution's output", 2 * conv / moved > 0.8, f"{100 * 2 * conv / moved:.0f} %")

# %% [markdown]
# ## Exercise 4
#
# Cutting off 13 bits leaves a rest of up to a whole last bit of TF32, $2^{-10}$ of the number, and never of the other
# sign. One product then errs about twice as far, and always to the same side: towards 0. Errors that do not cancel are
# worse than their size says, since in a sum of $n$ products they grow with $n$ and not with $\sqrt n$. Three products
# lose two bits: rests are twice as large, so the product of rests, which is left out, is four times.


# %%
def nearest(v):
    return ((v.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def cut(v):
    return (v.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def products(split):
    """The exact product, and the sums of one and of three partial products."""
    big_a, big_b = split(a), split(b)
    wide = [v.astype(np.float64) for v in (big_a, big_b, cut(a - big_a), cut(b - big_b))]
    one = wide[0] * wide[1]
    return a.astype(np.float64) * b, one, one + wide[2] * wide[1] + wide[0] * wide[3]


a, b = (np.random.default_rng(0).normal(size=100_000).astype(np.float32) for _ in range(2))
rest = a - cut(a)
check("the rest is up to 2^-10 of the number", 2.0**-10.1 < np.abs(rest / a).max() <= 2.0**-10)
check("and of its sign", (rest * a >= 0).all())
relative = {}
for split in (nearest, cut):
    exact, one, three = products(split)
    relative[split.__name__] = [np.linalg.norm(part - exact) / np.linalg.norm(exact) for part in (one, three)]
    print(f"{split.__name__:8} one {relative[split.__name__][0]:.1e}, three {relative[split.__name__][1]:.1e}")
check("one product is about twice as wrong", 1.8 < relative["cut"][0] / relative["nearest"][0] < 3)
exact, one, _ = products(cut)
check("and always too small", (np.abs(one) <= np.abs(exact)).all())
check("three products lose a bit or two", 1.5 < relative["cut"][1] / relative["nearest"][1] < 5)

# %% [markdown]
# ## Exercise 5
#
# Lane 17 is $4 \cdot 4 + 1$: its results stand in rows 4 and 12, columns 2 and 3. It needs rows 4 and 12 of $A$, which
# the four lanes 16 to 19 hold in 4 registers each, and columns 2 and 3 of $B$, held by lanes 8 to 15 in 2 registers
# each. Of these $16 + 16$ numbers it has 4 itself, all of $A$: 28 come from others.

# %%
lane = 17
needed = {(lane // 4 * 4 + t, "A", r) for t in range(4) for r in range(4)}  # rows lane // 4 and lane // 4 + 8
needed |= {(column * 4 + t, "B", r) for column in (lane % 4 * 2, lane % 4 * 2 + 1) for t in range(4) for r in range(2)}
check("eleven other lanes take part", {other for other, *_ in needed} == {*range(8, 16), *range(16, 20)})
check("28 registers of others", sum(other != lane for other, *_ in needed) == 28)

# %%
finish()
