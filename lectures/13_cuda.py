# %% [markdown]
# # 13. CUDA: from a naive to a fast convolution
#
# A graphics processor multiplies far faster than it can fetch what is to be multiplied. A fast kernel is therefore not
# one with few multiplications but one with little traffic. We climb the ladder of `kernels/conv2d.cu` rung by rung,
# count what every rung asks of the memory, predict from that which limit of the machine it meets, and compare with
# times that a GPU took. Then we look into a tensor core, and break kernels on purpose to see what races and missing
# barriers do. No GPU is needed: the emulator of `minisvdd/backends/emulator.py` runs the very same files. (With one,
# `minisvdd bench --backend cuda --ladder` prints the times of your own card.)
#
# **Before you start:** lecture 3; a little C. A first reading takes about an hour. **Letters** (`docs/notation.md`
# has all of them): here $n$ counts images and $c$ input channels, as in lecture 3.
#
# *Needs: a C++ compiler (g++ or clang++), no data. Minutes: 0.5 quick, 1 full.*

# %%
import json
import tempfile
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minisvdd import ops
from minisvdd.backends import EmulatorBackend, KernelError
from minisvdd.backends.kernel import kernel_folder, read_kernels
from minisvdd.lecture import BLUE, GRAY, GREEN, ORANGE, PURPLE, RED, RESULTS, check, choose, figure, finish, show
from minisvdd.ops.reductions import sum_partials

rng = np.random.default_rng(13)
scratch = Path(tempfile.mkdtemp())
gpu = EmulatorBackend(count=True)


def compile_kernels(source, file="lesson.cu"):
    """Write a kernel file of our own; returns its kernels by name."""
    path = scratch / str(len(list(scratch.iterdir()))) / file
    path.parent.mkdir()
    path.write_text(source)
    return read_kernels(path)


# %% [markdown]
# ## Threads, blocks, warps
#
# A kernel is a function that thousands of threads run at the same time, each with another index. Threads come in
# *blocks* of up to 1024, a block runs on one of the GPU's multiprocessors (an H100 has 132), and within a block 32
# neighbouring threads, a *warp*, execute the same instruction at the same moment. Here are two kernels that do the
# same: copy a matrix. They differ in which thread takes which entry.

# %%
copies = compile_kernels("""
__global__ void copy_rows(const float* x, float* y, int rows, int columns) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < rows * columns) y[i] = x[i];                     // neighbours in a row
}
__global__ void copy_columns(const float* x, float* y, int rows, int columns) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, at = i % rows * columns + i / rows;
    if (i < rows * columns) y[at] = x[at];                   // neighbours in a column
}
""")
matrix = rng.normal(size=(64, 64)).astype(np.float32)
sectors = {}
for name, kernel in copies.items():
    target = np.empty_like(matrix)
    gpu.run(kernel, (matrix, target, *matrix.shape), (matrix.size // 256,), (256,))
    check(f"{name} copies", np.array_equal(matrix, target))
    sectors[name] = gpu.last_counts.transactions / gpu.last_counts.requests
    print(f"{name}: {sectors[name]:.1f} sectors for every load or store of a warp")

# %% [markdown]
# Memory is not fetched number by number but in *sectors* of 32 bytes. If the 32 threads of a warp want 32 neighbouring
# floats, that is 128 bytes, four sectors (five where the array begins in the middle of one). If each wants a number of
# another row, it is 32 sectors, of which 28 bytes of 32 are thrown away: eight times the traffic for the same copy.
# The first kernel is *coalesced*, the second is not. It is the most frequent mistake of beginners, and nothing but
# speed tells of it.

# %%
check("a row takes 4 or 5 sectors", 4 <= sectors["copy_rows"] <= 5, f"{sectors['copy_rows']:.2f}")
check("a column takes 32", sectors["copy_columns"] == 32)

# %% [markdown]
# ## What limits a kernel
#
# There are three memories, and each has a width of its own. One multiprocessor of an H100 can, per clock, multiply and
# add 128 pairs of floats and read 32 words of **shared memory**, which it has to itself. Its way to the **L2 cache**,
# which all multiprocessors share, is 64 bytes wide. And behind the cache lies the **HBM**, the gigabytes that a data
# sheet gives 3.35 terabytes per second: divided by 132 multiprocessors and a clock of 1.75 GHz these are only 14.5
# bytes. (Data sheet figures, rounded.) Every sector that a warp asks for passes the way to the L2; how many of them
# must come from the HBM depends on what the cache still has. At best it is each array once. From the counts per output
# follow four times, and a kernel takes at least the longest:
#
# $$ t \ge \max\left( \frac{\text{multiplications}}{128},\; \frac{\text{shared loads}}{32},\;
# \frac{32 \cdot \text{sectors}}{64},\; \frac{\text{bytes of all arrays}}{14.5} \right) \text{ clocks.} $$
#
# This is the *roofline*. It cannot say how fast a kernel is, only how fast it cannot be; latencies, divisions, a cache
# that forgets, and loads of 16 bytes, which count once here and may take up to four turns, come on top. But it says at
# which end to pull.

# %%
MULTIPLICATIONS, SHARED_LOADS, L2_BYTES = 128, 32, 64  # of one multiprocessor in one clock
HBM_BYTES = 3.35e12 / 132 / 1.75e9
LIMITS = ("arithmetic", "shared memory", "L2 cache", "HBM at best")


def limits(counts, outputs, multiplications, array_bytes):
    """Clocks of a multiprocessor per output, one for each of LIMITS."""
    return (
        multiplications / MULTIPLICATIONS,
        counts["shared_loads"] / outputs / SHARED_LOADS,
        32 * counts["transactions"] / outputs / L2_BYTES,
        array_bytes / outputs / HBM_BYTES,
    )


class Counter(EmulatorBackend):
    """Adds up the counts of several launches."""

    total: dict

    def run(self, *args):
        super().run(*args)
        for name, value in vars(self.last_counts).items():
            self.total[name] = self.total.get(name, 0) + value


counter = Counter(count=True)


def count(call):
    counter.total = {}
    call()
    return counter.total


# %% [markdown]
# ## The ladder
#
# The layer: the paper's networks have $5 \times 5$ filters with padding 2. An output is a sum of $M = 25\,C$ products.
#
# **1 naive.** One thread per output, which loads its $M$ weights and $M$ pixels: $2M$ loads, less what lies in the
# padding. Neighbouring threads stand below each other in the image.
#
# **2 coalesced.** The same, with neighbours in a row.
#
# **3 tiled.** Read the convolution as a matrix product (lecture 3): filters $(K \times M)$ times patches $(M \times$
# positions$)$. A block of $16 \times 16$ threads computes a tile of $16 \times 16$ outputs. In steps of 16 along $M$ it
# copies $16 \times 16$ weights and as many patch entries into *shared memory*, a small fast memory of the block; then
# each number is used 16 times. Loads per output: $2M/16$. The matrix of patches is never stored: a thread that needs
# the entry $((c,a,b),(n,i,j))$ looks it up in the image (the kernels, where $i$ counts threads, write $p, q$). Hence
# *implicit* matrix product.
#
# **4 register-blocked.** Now shared memory is the bottleneck: two loads per multiplication. Let each thread compute
# $4 \times 4$ outputs: it reads four weights and four patch entries into registers, the fastest memory of all, and
# makes 16 products of these eight numbers. The tile is $64 \times 64$: loads $2M/64$.
#
# **5 halo.** A matrix product does not know that patches overlap. One pixel appears in 25 patches, and the tile loads
# it up to 25 times. This rung gives a block a *piece of the image*: it copies the pixels under its outputs, with a
# margin of 2 on each side (the halo), once into shared memory, and takes all patches from there. A thread computes 4
# positions of 8 filters.
#
# *In the book sixteen threads load such a piece here, step by step.* <!-- living: tile -->
#
# In the library the launch of these kernels is a *reading* of the operation, beside its formula (lecture 3):
# `ops.conv2d_forward.on(backend)` picks it for a backend of kernels, and with it the rung. We take the reading itself,
# and name the rung.

# %%
RUNGS = {"naive": GRAY, "coalesced": RED, "tiled": ORANGE, "register_blocked": BLUE, "halo": GREEN}
N, C, side, K = choose((1, 8, 16, 32), (2, 32, 16, 64))
x = rng.normal(size=(N, C, side, side)).astype(np.float32)
weight = rng.normal(size=(K, C, 5, 5)).astype(np.float32)
wanted = ops.conv2d_forward(x, weight, padding=(2, 2))
launch = ops.conv2d_forward.reading("launch")
show(launch)
terms = 25 * C
counts, clocks = {}, {}
for rung in RUNGS:
    counter.total = {}
    y = launch(counter, x, weight, padding=(2, 2), rung=rung)
    counts[rung] = counter.total
    clocks[rung] = limits(counts[rung], y.size, terms, x.nbytes + weight.nbytes + y.nbytes)
    loads = counts[rung]["global_loads"] / y.size
    error = np.abs(y - wanted).max() / np.abs(wanted).max()
    check(f"{rung} equals the formula", error < 1e-5, f"relative error {error:.0e}, {loads:.1f} loads per output")

# %% [markdown]
# Every rung computes the same. The loads per output fall as the formulas say; with the padding as a discount for the
# first ones, which do not load what is outside the image.

# %%
loads = {rung: counts[rung]["global_loads"] / wanted.size for rung in RUNGS}
check("naive: at most 2 M", 1.3 * terms < loads["naive"] <= 2 * terms, f"M = {terms}, {loads['naive']:.0f} loads")
check("coalesced: not one load less", loads["coalesced"] == loads["naive"])
falling = [counts[rung]["transactions"] for rung in ("naive", "coalesced")]
check("but much less traffic", falling[1] < 0.6 * falling[0], f"{falling[0] / falling[1]:.1f} times fewer sectors")
check("tiled: about 2 M / 16", loads["tiled"] <= 2 * terms / 16, f"{loads['tiled']:.1f} of {2 * terms / 16:.1f}")
ideal = terms / 64 + terms / min(K, 64)
check("register-blocked: M / 64 + M / rows of the tile", loads["register_blocked"] <= ideal, f"{ideal:.1f} at most")
check("halo: fewer still", loads["halo"] < loads["register_blocked"] / 2, f"{loads['halo']:.2f} loads")
shared = {rung: counts[rung]["shared_loads"] / wanted.size / terms for rung in RUNGS}
print("shared loads per multiplication:", {rung: round(value, 2) for rung, value in shared.items()})
check("registers save shared loads", shared["register_blocked"] < shared["tiled"] / 4)

# %%
fig, ax = plt.subplots()
position = np.arange(len(RUNGS))
for shift, (label, color) in enumerate(zip(LIMITS, (GREEN, ORANGE, RED, GRAY))):
    ax.bar(position + 0.2 * (shift - 1.5), [clocks[rung][shift] for rung in RUNGS], 0.2, color=color, label=label)
ax.set_yscale("log")
ax.set_xticks(position, list(RUNGS))
ax.set_ylabel("clocks per output, at least")
ax.set_title(f"What limits each rung ({C} to {K} channels, {side} x {side})")
ax.legend()
figure("roofline")

predicted = {rung: max(clocks[rung]) for rung in RUNGS}
for rung in RUNGS:
    limit = LIMITS[int(np.argmax(clocks[rung]))]
    print(f"{rung:17} at least {predicted[rung]:7.2f} clocks per output, limited by {limit}")
order = list(predicted.values())
check("the prediction never rises down the ladder", all(b <= a for a, b in pairwise(order)))
check("the last two rungs meet the limit of arithmetic", order[-1] == order[-2] == terms / MULTIPLICATIONS)
without_cache = [clocks[rung][2] * L2_BYTES / HBM_BYTES / clocks[rung][0] for rung in ("register_blocked", "halo")]
print("if every sector came from the HBM: {:.1f} and {:.1f} times the arithmetic's time".format(*without_cache))
check("the fourth one only thanks to the cache", without_cache[0] > 1, "from the HBM alone it would wait for memory")
busy = [clocks[rung][2] / clocks[rung][0] for rung in ("register_blocked", "halo")]
check(
    "and the last leaves the way to the cache more time to spare",
    busy[1] < busy[0],
    f"busy for {busy[0]:.0%} and {busy[1]:.0%} of it",
)
check(
    "from the first rung to the last by more than 20 times",
    predicted["naive"] > 20 * predicted["halo"],
    f"{predicted['naive'] / predicted['halo']:.0f} times",
)

# %% [markdown]
# ### And on a real card?
#
# The counts are the emulator's; times are a GPU's. `benchmarks/gpu.py --ladder` takes them, with caches emptied before
# every launch, and has left those of one card in `benchmarks/results/ladder.json`.

# %%
measured = json.loads((RESULTS / "ladder.json").read_text(encoding="utf-8"))
card = json.loads((RESULTS / "gpu.json").read_text(encoding="utf-8"))["convolutions"]["ceilings"]
print(f"{measured['device']}, {measured['date']}")
times = {(row["layer"], row["operation"]): row["ms"] for row in measured["ladder"]}
every = list(dict.fromkeys(rung for row in times.values() for rung in row))
print(f"{'microseconds':26}" + "".join(f"{rung:>18}" for rung in every))
for (layer, operation), row in times.items():
    cells = (f"{1000 * row[rung]:.1f}" if row.get(rung) else "-" for rung in every)
    print(f"{layer:12} {operation:13}" + "".join(f"{cell:>18}" for cell in cells))

# %% [markdown]
# Look at the forward pass of `cifar10 2`, 32 to 64 channels: the order of the five rungs above is the predicted one,
# and yet the roofline is not reached. This layer has $2.6 \cdot 10^9$ products; at 128 per clock they take 0.089 ms,
# and the halo rung needs several times as long. On `mnist 1`, with a single channel and eight filters, not even the
# order is kept: tiles of 64 rows are mostly empty (exercise 2), and for the gradient of the images the simplest rung
# wins. A default is therefore what was fastest *for these sizes*, by measurement, not what counted the fewest loads.

# %%
ours = {key: [row[rung] for rung in RUNGS] for key, row in times.items() if key[1] != "matmul"}
check(
    "cifar10 2: each of the five is faster than the one before",
    ours["cifar10 2", "forward"] == sorted(ours["cifar10 2", "forward"])[::-1],
)
winners = {key: list(RUNGS)[int(np.argmin(row))] for key, row in ours.items()}
print({f"{layer}, {operation}": winner for (layer, operation), winner in winners.items()})
check("no rung is the fastest of the five everywhere", len(set(winners.values())) > 1)
check("on mnist 1 the images' gradient is fastest by the simplest", winners["mnist 1", "backward input"] == "naive")
products = 200 * 64 * 16 * 16 * 25 * 32
at_best = products / (132 * MULTIPLICATIONS * 1.75e9)
halo = times["cifar10 2", "forward"]["halo"] / 1e3
check(
    "0.089 ms at best",
    round(1e3 * at_best, 3) == 0.089,
    f"halo took {1e3 * halo:.3f} ms: {halo / at_best:.1f} times as long",
)

# %% [markdown]
# The same as one picture, the usual one of a roofline. To the right: how many operations a kernel does for every byte
# that it asks for, by the emulator's counts. Upwards: how many it did per second. No ordinary kernel can be above the
# flat roof, the card's arithmetic; and one that gets its bytes from a memory of a certain width is below that memory's
# slope. Three slopes: HBM, as a copy on this card measured it; the ways to the L2 and out of the L1 cache (64 and 128
# bytes per clock and multiprocessor, data sheet). The layer `cifar10 2` has three rungs more, `tensor`, `corrected` and
# `tf32`. They multiply in other units, of which a section below tells, and these have a roof of their own: 495
# operations for the other's 67, of products that take one instruction (`tf32`), two (`corrected`) or three (`tensor`).

# %%
# channels, side, filters, marker
LAYERS = {"mnist 1": (1, 28, 8, "o"), "cifar10 1": (3, 32, 32, "s"), "cifar10 2": (32, 16, 64, "^")}
INSTRUCTIONS = {"tensor": 3, "corrected": 2, "tf32": 1}  # of a tensor core, for the same product
TENSOR_FLOPS = 495e12  # data sheet, TF32
SLOPES = {"HBM": card["bytes_per_second"], "L2": 132 * 64 * 1.75e9, "L1": 132 * 128 * 1.75e9}
counted = json.loads((RESULTS / "rungs.json").read_text(encoding="utf-8"))["rows"]
asked = {(r["layer"], r["rung"]): r["bytes"] for r in counted if r["operation"] == "conv2d_forward"}
points = {}
for layer, (channels, size, filters, _) in LAYERS.items():
    outputs, flops = 200 * filters * size**2, 2 * 25 * channels  # flops: of one output
    for rung, ms in times[layer, "forward"].items():
        if ms and (layer, rung) in asked:
            points[layer, rung] = flops / asked[layer, rung], flops * outputs / (ms / 1e3)

fig, ax = plt.subplots(figsize=(7.2, 4.4))
intensity = np.geomspace(0.03, 100, 50)
for (name, width), style in zip(SLOPES.items(), (":", "--", "-")):
    ax.plot(
        intensity,
        np.minimum(intensity * width, card["flops"]) / 1e12,
        style,
        color=GRAY,
        label=f"{name} and arithmetic",
    )
ax.axhline(TENSOR_FLOPS / 1e12, color=PURPLE, linestyle="-.", label="tensor cores")
for (layer, rung), (x_of, y_of) in points.items():
    ax.plot(x_of, y_of / 1e12, LAYERS[layer][3], color=RUNGS.get(rung, PURPLE))
    shift = {"xytext": (0, -10), "ha": "center"} if layer == "mnist 1" else {"xytext": (4, 2)}
    ax.annotate(rung.replace("_", "-"), (x_of, y_of / 1e12), textcoords="offset points", fontsize=7, **shift)
for layer, (*_, marker) in LAYERS.items():
    ax.plot([], [], marker, color="black", label=layer)
ax.set(xscale="log", yscale="log", xlabel="operations per byte asked for", ylabel="10¹² operations per second")
ax.set_title(f"Forward passes under the roofs of an {measured['device'].removeprefix('NVIDIA ')}")
ax.legend(fontsize=8)
figure("roofs")
ordinary = {key: point for key, point in points.items() if key[1] not in INSTRUCTIONS}
check("no ordinary kernel is above the arithmetic's roof", all(y_of < card["flops"] for _, y_of in ordinary.values()))
tensor_cores = {rung: points["cifar10 2", rung] for rung in INSTRUCTIONS}
busy = {rung: INSTRUCTIONS[rung] * y_of / TENSOR_FLOPS for rung, (_, y_of) in tensor_cores.items()}
parts = " ".join(f"{rung} {part:.0%}" for rung, part in busy.items())
check("nor the others above theirs", max(busy.values()) < 1, f"of the tensor cores' instructions: {parts}")
through = tensor_cores["corrected"][1] / card["flops"]
check("corrected, with float32's digits, is above the ordinary roof", through > 1, f"{through:.2f} times as high")
check("tensor and corrected ask for the same bytes", tensor_cores["tensor"][0] == tensor_cores["corrected"][0])
check("tf32 for fewer: its filters have one part", tensor_cores["tf32"][0] > tensor_cores["corrected"][0])
check("nothing beats the L1 cache", all(y_of < x_of * SLOPES["L1"] for x_of, y_of in points.values()))
hbm = [key for key, (x_of, y_of) in points.items() if y_of > x_of * SLOPES["HBM"]]
print("served by a cache, since HBM could not have been so fast:", *(" ".join(key) for key in hbm))
check("naive kernels live on the caches", {(layer, "naive") for layer in LAYERS} <= set(hbm))
used = {layer: points[layer, "halo"][1] / card["flops"] for layer in LAYERS}
check(
    "and the halo rung's time goes elsewhere",
    max(used.values()) < 0.5,
    f"it uses {max(used.values()):.0%} of the arithmetic",
)

# %% [markdown]
# Where does the rest of the time go? Into what follows, of which the roofline knows nothing.
#
# **Latency hiding.** A number from the HBM arrives some 500 clocks after it was asked for, one from shared memory after
# about 30. A GPU does not make the way shorter; while one warp waits, the multiprocessor runs another. A warp that has
# ten independent instructions to do in the meantime hides as much as ten warps with one each. Hence there are two ways
# to keep the arithmetic busy, many warps, or much independent work in each, and register blocking takes the second: 16
# sums that do not wait for each other.
#
# **Occupancy** is the share of the 64 warps, which a multiprocessor can hold at most, that are really there. Registers
# bound it (65 536 per multiprocessor: a kernel with 80 registers per thread leaves room for 25 warps), and so do shared
# memory, the size of blocks, and too small a launch. The profiler found the halo rung at 35 % on the layer above, with
# 81 registers per thread and 43 % of the multiply-add slots in use. More warps would mean fewer registers for each, and
# with them less reuse: high occupancy is a means, not an aim.
#
# **Vector loads.** A load instruction may fetch 16 neighbouring bytes at once, a `float4`, if their address is a
# multiple of 16. The traffic stays the same, but there are a quarter as many instructions, and instructions are what a
# kernel with little arithmetic runs out of first. The rungs called `vectorised` of the elementwise kernels do this; a
# remainder at the end is left to single loads.
#
# **Sizes as constants.** The kernels above take any sizes; each index costs them additions, multiplications and
# comparisons with borders, and a loop of unknown length cannot be unrolled. Rung 6, `rows`, is a template over a struct
# of sizes: one kernel is compiled for each layer, and knows that a filter has five columns. A thread then keeps a row
# of pixels in registers and lets the five taps of a filter's row slide over it.
#
# **Tensor cores** multiply small matrices, and they deserve a section.
#
# ## A small matrix product in one instruction
#
# `mma.m16n8k8` multiplies a $16 \times 8$ by an $8 \times 8$ matrix and adds the product to a $16 \times 8$ one: 1024
# multiplications, by one instruction of one warp. No thread has a matrix. All 32 *lanes* of the warp call together, and
# each brings a few entries in its registers: 4 of $A$, 2 of $B$, and 4 of the sum $C$, which it gets back. Which ones
# is fixed in the hardware. With lane $= 4 u + h$, $u = 0 \dots 7$, $h = 0 \dots 3$, and register $r$:
#
# $$ A: (u + 8 (r \bmod 2),\; h + 4 \lfloor r/2 \rfloor) \qquad B: (h + 4 r,\; u) \qquad
# C: (u + 8 \lfloor r/2 \rfloor,\; 2 h + r \bmod 2) $$


# %%
def place_in_a(lane, r):
    return lane // 4 + 8 * (r % 2), lane % 4 + 4 * (r // 2)


def place_in_b(lane, r):
    return lane % 4 + 4 * r, lane // 4


def place_in_c(lane, r):
    return lane // 4 + 8 * (r // 2), 2 * (lane % 4) + r % 2


MATRICES = {"A": ((16, 8), place_in_a, 4), "B": ((8, 8), place_in_b, 2), "C": ((16, 8), place_in_c, 4)}
lanes, registers = ({name: np.full(shape, -1) for name, (shape, *_) in MATRICES.items()} for _ in range(2))
for name, (_, place, each) in MATRICES.items():
    for lane, r in np.ndindex(32, each):
        lanes[name][place(lane, r)], registers[name][place(lane, r)] = lane, r
check(
    "every entry has one lane and one register",
    all((held >= 0).all() and 32 * each == held.size for held, each in zip(lanes.values(), (4, 2, 4))),
)

fig, axes = plt.subplots(1, 3, figsize=(8.6, 5.4), width_ratios=(1, 1, 1))
for ax, (name, held) in zip(axes, lanes.items()):
    ax.imshow(held, cmap="turbo", alpha=0.45, vmin=0, vmax=31)
    for (row, column), lane in np.ndenumerate(held):
        mine = lane == 6
        text = f"{lane}.{registers[name][row, column]}"
        ax.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=7,
            color=RED if mine else "black",
            weight="bold" if mine else None,
        )
    ax.set_title(f"{name}: lane.register")
    ax.set_xticks([])
    ax.set_yticks([])
figure("fragments")

# %% [markdown]
# Lane 6 ($u = 1$, $h = 2$) is marked. It holds entries of rows 1 and 9 of $A$, of column 1 of $B$, and gets results of
# rows 1 and 9: what it gets depends on $B$'s columns 4 and 5, of which it holds nothing. The hardware exchanges that;
# so the instruction is a meeting of all lanes, like a barrier. Let us be the hardware, in NumPy: hand out the entries,
# then compute each lane's four results from what all lanes hold.


# %%
def hand_out(matrix, place, each):
    """(32, each): what every lane holds."""
    return np.array([[matrix[place(lane, r)] for r in range(each)] for lane in range(32)])


def meeting(a, b, c):
    """The instruction: registers of all lanes in, c of all lanes out."""
    result = c.copy()
    for lane, r in np.ndindex(32, 4):
        row, column = place_in_c(lane, r)
        for k in range(8):  # who holds A[row, k] and B[k, column]?
            from_a = a[row % 8 * 4 + k % 4, row // 8 + k // 4 * 2]
            from_b = b[column * 4 + k % 4, k // 4]
            result[lane, r] += from_a * from_b
    return result


A, B, C = rng.normal(size=(16, 8)), rng.normal(size=(8, 8)), rng.normal(size=(16, 8))
held = [hand_out(matrix, *MATRICES[name][1:]) for name, matrix in (("A", A), ("B", B), ("C", C))]
got = meeting(*held)
check("the meeting of the lanes is a matrix product", np.allclose(got, hand_out(C + A @ B, place_in_c, 4)))

# %% [markdown]
# The emulator does the same for our kernels. `kernels/ptx.h` gives the instruction a name, `multiply_tf32`; on a GPU it
# is one line of assembly, on the emulator a meeting of 32 threads.

# %%
folder = scratch / "tensor"
folder.mkdir()
for header in kernel_folder().glob("*.h"):
    (folder / header.name).write_text(header.read_text(encoding="utf-8"))
(folder / "one_instruction.cu").write_text("""
#include "ptx.h"
__global__ void one_instruction(const float* A, const float* B, float* C) {
    int lane = threadIdx.x, u = lane / 4, h = lane % 4;
    unsigned a[4];
    float c[4];
    for (int r = 0; r < 4; r++) a[r] = __float_as_uint(A[(u + 8 * (r % 2)) * 8 + h + 4 * (r / 2)]);
    for (int r = 0; r < 4; r++) c[r] = C[(u + 8 * (r / 2)) * 8 + 2 * h + r % 2];
    multiply_tf32(c, a, __float_as_uint(B[h * 8 + u]), __float_as_uint(B[(h + 4) * 8 + u]));
    for (int r = 0; r < 4; r++) C[(u + 8 * (r / 2)) * 8 + 2 * h + r % 2] = c[r];
}
""")
instruction = read_kernels(folder / "one_instruction.cu")["one_instruction"]
small = [np.rint(4 * matrix).astype(np.float32) for matrix in (A, B, C)]  # few bits: nothing is lost
result = small[2].copy()
EmulatorBackend().run(instruction, (small[0], small[1], result), (1,), (32,))
check("the emulated instruction follows the picture", np.array_equal(result, small[2] + small[0] @ small[1]))

# %% [markdown]
# ## Two accurate halves beat one inaccurate whole
#
# The price is precision. A tensor core takes float32 numbers but reads of their 23 bits behind the point the upper ten:
# this is called *TF32*. An H100 does some seven times as many of these products per clock as ordinary ones, so what if
# we spend some of them on what was lost? Write $a = \text{big}_a + \text{rest}_a$, where big is the nearest TF32
# number. The rest is exact, and being so much smaller, it has its own ten bits where big has none. Then
#
# $$ a\,b = \text{big}_a\,\text{big}_b + \text{big}_a\,\text{rest}_b + \text{rest}_a\,\text{big}_b +
# \text{rest}_a\,\text{rest}_b , $$
#
# and the last product is as small as float32's own rounding. How accurate are one, two and three of them? A mask of
# bits is all we need.


# %%
def tf32(v):
    """The nearest float32 whose 13 lowest bits are 0: half of the last bit that stays is added, the rest cut off."""
    return ((v.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def bfloat16(v):
    """The same for the upper 16 bits: float32's exponent, seven bits behind the point."""
    return ((v.view(np.uint32) + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(np.float32)


def error(product, right):
    """Norm of the error, relative to the norm of what is right."""
    return np.linalg.norm(product - right) / np.linalg.norm(right)


a, b = (rng.normal(size=100_000).astype(np.float32) for _ in range(2))
right = a.astype(np.float64) * b
big_a, big_b = tf32(a), tf32(b)
rest_a, rest_b = a - big_a, b - big_b
check("big + rest is the number itself", (big_a.astype(np.float64) + rest_a == a).all())
check("the rest is small", (np.abs(rest_a) <= np.abs(a) * 2.0**-11).all(), "half of TF32's last bit at most")


def products(read):
    """The three products, of numbers that the instruction reads by `read`, exactly."""
    one, two, other, another = (read(v).astype(np.float64) for v in (big_a, big_b, rest_a, rest_b))
    return one * two, other * two, one * another


whole, *corrections = products(tf32)
errors = {
    "one": error(whole, right),
    "two": error(whole + corrections[0], right),
    "three": error(whole + corrections[0] + corrections[1], right),
    "one, two in bfloat16": error(whole + sum(products(bfloat16)[1:]), right),
    "float32": error((a * b).astype(np.float64), right),
}
for name, value in errors.items():
    print(f"{name:22} {value:.1e}")
check("one product is right to three digits", 1e-4 < errors["one"] < 1e-3)
check("a second one alone hardly helps", errors["two"] > errors["one"] / 2, "the other factor is as short as before")
check("three products have float32's digits", errors["three"] < 2.0**-23, f"{errors['three']:.0e}")

# %% [markdown]
# Three instructions, and nearly all digits are back. It can be done in the time of two. The corrections are small, so
# that *they* need few digits: bfloat16, with seven bits behind the point, will do, and the instruction for bfloat16
# takes matrices twice as deep in the same time. Both corrections fit into it, one behind the other:
# $(\text{big}_a, \text{rest}_a) \cdot (\text{rest}_b, \text{big}_b)$.

# %%
check(
    "corrections need few digits",
    errors["one, two in bfloat16"] < errors["one"] / 100,
    f"{errors['one, two in bfloat16']:.0e}",
)

# %% [markdown]
# One more thing is inaccurate: the sum. Where an addition rounds to the nearest number, a tensor core cuts off. Every
# instruction then errs in the same direction, towards 0, and the errors of a long sum add up. The cure is to let it
# sum only a few products, from 0, and to add these partial sums as ordinary float32 numbers: the kernels call that
# *fresh* sums. A convolution with 32 channels has 800 products, which are 100 instructions.


# %%
def cut_off(v):
    """float64 to float32, towards 0."""
    nearest = v.astype(np.float32)
    return np.where(np.abs(nearest) > np.abs(v), np.nextafter(nearest, np.float32(0)), nearest)


def long_sum(steps, fresh):
    """steps: (instructions, sums), what each instruction adds. A fresh sum begins after so many of them."""
    total = np.zeros(steps.shape[1], np.float32)
    for group in np.split(steps, len(steps) // fresh):
        part = np.zeros(steps.shape[1], np.float32)
        for step in group:
            part = cut_off(part.astype(np.float64) + step)
        total = total + part
    return total


steps = rng.normal(size=(100, 8, 2000)).sum(axis=1)
exact = steps.sum(axis=0)
cut = {fresh: error(long_sum(steps, fresh), exact) for fresh in (100, 20, 5)}
print(
    "relative error of sums of 800 products, fresh ones after so many instructions:",
    {n: f"{e:.0e}" for n, e in cut.items()},
)
check("one long sum loses what the corrections have won", cut[100] > 1e-6, f"{cut[100]:.1e}")
check("fresh sums keep it", cut[5] < cut[100] / 4, f"{cut[5]:.1e}")

# %% [markdown]
# So rung 7, `tensor`, takes three instructions for each product, rung 8, `corrected`, one and a deep one. Both are
# held to the formula like all others. `tf32`, one instruction, is there for those who ask for it
# (`--precision tf32`): gradients here are held to the formulas' digits.

# %%
for rung in ("rows", "tensor", "corrected", "tf32"):
    y = launch(EmulatorBackend(check=False), x, weight, padding=(2, 2), rung=rung)
    off = error(y.astype(np.float64), wanted)
    limit = 1e-3 if rung == "tf32" else 2e-6
    check(f"{rung}: the formula again, on other instructions", off < limit, f"relative error {off:.0e}")
    waited = times["cifar10 2", "forward"].get(rung)
    print(f"    {1000 * waited:.0f} microseconds on cifar10 2" if waited else "    not measured on the card above")

# %% [markdown]
# ## Fusion: the fastest load is none
#
# After the convolution come batch norm, leaky ReLU and max-pooling: hardly any arithmetic, but each as a kernel of its
# own reads an array and writes one. The launch of `norm_act_pool_forward` normalises, bends and pools while the numbers
# are in registers: it reads the convolution's output once and writes a quarter as many numbers. The backward finds its
# two means in the pooled arrays alone, by a small miracle that `minisvdd/ops/norm_act_pool` explains: if
# $y = f\,\hat x$ with the slope $f$, and $g = f\,G$, then $g\,\hat x = f\,G\,\hat x = G\,y$.

# %%
images = rng.normal(size=(4, 8, 14, 16)).astype(np.float32)
mean, variance = images.mean((0, 2, 3)), images.var((0, 2, 3))
scale = (1 / np.sqrt(variance + 1e-4)).astype(np.float32)


def three_kernels():
    x_hat, _ = ops.batchnorm_forward.on(counter)(images, mean, variance, 1e-4)
    activated = ops.leaky_relu_forward.on(counter)(x_hat, 0.1)
    return ops.maxpool_forward.on(counter)(activated, (2, 2), (2, 2))[0]


def one_kernel():
    return ops.norm_act_pool_forward.on(counter)(images, mean, scale, 0.1, (2, 2))[0]


check("the fused kernel gives the same", np.allclose(three_kernels(), one_kernel(), atol=1e-5))
separate, together = (32 * count(call)["transactions"] / images.size for call in (three_kernels, one_kernel))
check("and moves less than half", together < separate / 2, f"{together:.1f} instead of {separate:.1f} bytes per number")

# %% [markdown]
# ## Races and barriers
#
# Threads of a block share memory, and nothing says who is first. In the tiled product all threads fill the tile, then
# all read it, then all fill the next one. Between filling and reading everybody must have arrived: `__syncthreads()`.
# And again between reading and the next filling, which is easily forgotten. Let us forget it: the emulator builds a
# copy of our kernel without that line.

# %%
folder = scratch / "without_barrier"
folder.mkdir()
for file in ("linear.cu", "gemm.h", "gemm_split.h", "pack.h", "reduce.h"):
    (folder / file).write_text((kernel_folder() / file).read_text(encoding="utf-8"))
source = (folder / "gemm.h").read_text(encoding="utf-8")
line = "        for (int k = 0; k < tile; k++) sum += a_tile[y][k] * b_tile[k][x];\n"
assert source.count(line + "        __syncthreads();\n") == 1
(folder / "gemm.h").write_text(source.replace(line + "        __syncthreads();\n", line))


def report(kernel, args, grid, block):
    """What the emulator says about a launch; an empty text when all is well."""
    try:
        EmulatorBackend().run(kernel, args, grid, block)
    except KernelError as error:
        print(error)
        return str(error)
    return ""


a, b, c = (rng.normal(size=(32, 32)).astype(np.float32) for _ in range(3))
broken = read_kernels(folder / "linear.cu")["matmul_3_tiled"]
arguments = (a, b, c, 32, 32, 32, 32, 1, 32, 1)
text = report(broken, arguments, (2, 2), (256,))
check("the missing barrier is a data race", "data race" in text and "gemm.h:" in text)
whole = read_kernels(kernel_folder() / "linear.cu")["matmul_3_tiled"]
check("with it there is none", report(whole, arguments, (2, 2), (256,)) == "" and np.allclose(c, a @ b, atol=1e-4))

# %% [markdown]
# On a GPU this kernel may give right numbers most of the time. That is what makes races so expensive: a test that
# compares results may pass a thousand times. The emulator does not wait for the accident. It remembers, for every
# number in memory, who wrote and who read it since the last barrier, and reports two accesses that nothing orders.
# Three more mistakes it knows:

# %%
mistakes = compile_kernels("""
__global__ void no_guard(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = 2 * x[i];                                         // if (i < n) is missing
}
__global__ void early_return(const float* x, float* y, int n) {
    __shared__ float tile[256];
    if (threadIdx.x >= n) return;                            // these threads never come to the barrier
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[n - 1 - threadIdx.x];
}
__global__ void nobody_wrote(const float* x, float* y, int n) {
    __shared__ float sum[256];
    if (threadIdx.x < n) sum[threadIdx.x] += x[threadIdx.x];  // shared memory does not begin as 0
    if (threadIdx.x < n) y[threadIdx.x] = sum[threadIdx.x];
}
""")
x_short, y_short = np.ones(100, np.float32), np.empty(100, np.float32)
for name, kind in (
    ("no_guard", "out of bounds"),
    ("early_return", "barrier divergence"),
    ("nobody_wrote", "uninitialised"),
):
    check(f"{name}: {kind}", kind in report(mistakes[name], (x_short, y_short, 100), (1,), (256,)))

# %% [markdown]
# ## One seed, one result
#
# There is a race that is no error: `atomicAdd`. Each addition is safe, but their order is not fixed, and rounding makes
# sums depend on the order. Two runs of the same training would then differ. Our kernels add up across blocks in two
# steps: every block writes its partial sum, a second kernel adds these in a fixed order.

# %%
sums = compile_kernels("""
__global__ void add_atomically(const float* x, float* sum) {
    atomicAdd(sum, x[blockIdx.x * blockDim.x + threadIdx.x]);
}
""")["add_atomically"]
numbers = rng.normal(size=4096).astype(np.float32)
atomic, fixed = set(), set()
for seed in range(5):  # the seed shuffles threads and blocks
    backend, total = EmulatorBackend(seed=seed), np.zeros(1, np.float32)
    backend.run(sums, (numbers, total), (16,), (256,))
    atomic.add(float(total[0]))
    result = np.empty(1, np.float32)
    sum_partials(backend, numbers.reshape(-1, 1), result, 1.0)
    fixed.add(float(result[0]))
check("atomic sums depend on the order of threads", len(atomic) > 1, f"{len(atomic)} results in 5 runs")
check("sums in two steps do not", len(fixed) == 1)

# %% [markdown]
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★★★ Transpose a matrix: either the loads or the stores of a thread per entry are scattered. Write a kernel that
#    stages a tile of $32 \times 32$ in shared memory so that both are coalesced, and count its sectors. What does the
#    column `[33]` in `tile[32][33]` do to the worst bank conflict? Hint: let the warp read rows and write rows, and
#    turn the tile in between; a bank is the address, in words, modulo 32.
# 2. ★★ The register-blocked rung has a tile of 64 filters. What fraction of its arithmetic is wasted for the paper's
#    MNIST network, with 8 filters in its first layer and 4 in its second? Check against the counts of
#    `kernels/README.md`.
# 3. ★★ How many bytes must a fused forward of conv 1 of the MNIST encoder (batch 200) move, if the convolution is
#    computed once and its output does not fit on the chip? What does that take at 3.35 terabytes per second? What share
#    of it is the output of the convolution?
#
# 4. ★★ `tf32` above rounds to the nearest. Let big be the number with its 13 lowest bits simply cut off, which saves an
#    addition. How large does the rest get, what sign does it have, and what do one and three products lose?
# 5. ★★ Which lanes hold what lane 17 needs for its four results? How many registers of other lanes does the hardware
#    have to read for it?
#
# Solutions: `lectures/solutions/13_cuda.py`.
#
# **Assignments:** `minisvdd assignment conv2d-cuda` (3 to 4 hours), then `minisvdd assignment conv2d-tiled` (4 hours),
# which is graded by the traffic that this lecture counts.

# %%
finish()
