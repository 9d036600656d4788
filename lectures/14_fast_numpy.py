# %% [markdown]
# # 14. Going fast in NumPy: layouts, blocking, threads, Winograd
#
# A network written from scratch is said to be ten times slower than a framework. It need not be: the arithmetic of a
# convolution is done by the same kind of matrix product in both. What makes the difference is everything around it:
# numbers copied without need, memory walked through in the wrong order, arrays that the system has to hand out anew. In
# this lecture we take a training step apart and remove these costs one by one. Each trick is a few lines, each leaves
# the result as it is, and the library uses every one of them: not in its formulas, but in a second reading of each.
#
# **Before you start:** lectures 3 and 4; NumPy's views and strides. A first reading takes about 45 minutes. **Letters**
# (`docs/notation.md` has all of them): here $n$ is a number of points, $s$ counts taps, $W$ is the number of columns,
# and $G$ a matrix of constants.
#
# *Needs: no data. Minutes: 0.1 quick, 0.3 full.*

# %%
import time
from fractions import Fraction
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from minisvdd import nn, ops
from minisvdd.backends.threads import run, use_threads
from minisvdd.backends.workspace import Workspace, empty
from minisvdd.lecture import QUICK, check, choose, figure, finish, show
from minisvdd.ops.conv2d import fast as fast_convolution
from minisvdd.ops.conv2d import winograd

rng = np.random.default_rng(14)


def milliseconds(function, *arguments):
    """Median time of a call, after one to warm up."""
    function(*arguments)
    times = []
    for _ in range(choose(3, 15)):
        start = time.perf_counter()
        function(*arguments)
        times.append(1000 * (time.perf_counter() - start))
    return np.median(times)


# %% [markdown]
# ## Two readings of one formula
#
# The operations that a training step of Deep SVDD consists of are formulas (lecture 3): `ops.conv2d_forward.plain`, or
# `ops.conv2d_forward` itself. Where that is too slow there is a quick reading as well,
# `ops.conv2d_forward.reading("fast")`, which the backend "numpy" takes: the same arguments, the same numbers but for
# rounding. Here are the operations of the first module of the MNIST encoder, both ways, on one thread:

# %%
N = choose(50, 200)
images = rng.standard_normal((N, 1, 28, 28)).astype(np.float32)
filters = rng.standard_normal((8, 1, 5, 5)).astype(np.float32)
h = ops.conv2d_forward(images, filters, padding=(2, 2))
x_hat, scale, mean, variance = ops.batchnorm_forward_batch(h, 1e-4)
pooled, winner = ops.maxpool_forward(x_hat, (2, 2), (2, 2))
calls = {
    ops.conv2d_forward: (images, filters, (1, 1), (2, 2)),
    ops.batchnorm_forward_batch: (h, 1e-4),
    ops.leaky_relu_forward: (x_hat, 0.1),
    ops.maxpool_forward: (x_hat, (2, 2), (2, 2)),
    ops.maxpool_backward: (pooled, winner, x_hat.shape, (2, 2), (2, 2)),
    ops.leaky_relu_backward: (h, x_hat > 0, 0.1),
    ops.batchnorm_backward: (h, x_hat, scale),
    ops.conv2d_backward_weight: (h, images, (5, 5), (1, 1), (2, 2)),
}


def batch_in_memory(array, axis):
    """An array (N, C, H, W) with the batch first or last in memory, whose shape stays; anything else as it is."""
    if getattr(array, "ndim", 0) < 4:
        return array
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 0, axis)), axis, 0)


def results(returned):
    return returned if isinstance(returned, tuple) else (returned,)


quick = [name for name, operation in ops.all_operations().items() if operation.reading("fast")]
print(f"{len(quick)} of {len(ops.all_operations())} operations have a quick reading")
with use_threads(1):
    for operation, arguments in calls.items():
        first, last = ([batch_in_memory(array, axis) for array in arguments] for axis in (0, -1))
        fast = operation.reading("fast")
        times = f"{milliseconds(operation.plain, *first):6.2f} ms plain, {milliseconds(fast, *last):5.2f} ms fast"
        pairs = zip(results(operation.plain(*first)), results(fast(*last)))
        error = max(np.abs(a - b.astype(a.dtype)).max() / max(1, np.abs(a).max()) for a, b in pairs)
        check(f"{operation.__name__}: both readings agree", error < 1e-4, f"{times}, difference {error:.0e}")

# %% [markdown]
# (Each reading gets its arrays in the order in memory that it likes; more on that soon.) Where does the time go? We
# shall see, but look at the price first. This is the whole formula of the leaky ReLU, and this its quick reading:

# %%
show(ops.leaky_relu_forward, ops.leaky_relu_forward.reading("fast"))

# %% [markdown]
# Nobody should have to read the second one in order to learn what a leaky ReLU is. Hence two readings, and a test that
# goes over all operations and asks both for the same numbers.
#
# ## What the machine can do
#
# Two numbers bound every operation. One is the rate of multiplications and additions in a large matrix product, the
# other the rate at which numbers can be copied. An operation takes at least
# $\max(\text{operations} / \text{peak},\; \text{bytes} / \text{bandwidth})$. This is called the *roofline*.

# %%
n = choose(512, 1024)
square = np.ones((n, n), np.float32)
source = np.ones(choose(1 << 22, 1 << 24), np.float32)
target = np.empty_like(source)
with use_threads(1):
    peak = 2 * n**3 / milliseconds(lambda: square @ square) / 1e6
    bandwidth = 2 * source.nbytes / milliseconds(lambda: np.copyto(target, source)) / 1e6
operations = 8 * peak / bandwidth  # while 8 bytes move: 4 in, 4 out
print(f"matrix product {peak:.0f} GFLOP/s, copy {bandwidth:.1f} GB/s: {operations:.0f} operations per copied number")
if not QUICK:  # small arrays in a short run say little of a machine
    check("a copied number costs as much time as many operations", operations > 8, f"{operations:.0f}")

# %% [markdown]
# The last figure is the one to remember: it says how many operations of a matrix product a thread could do while a
# single number travels from memory and back, four bytes each way. It depends on the machine, and is some dozens where
# one thread has the memory to itself. Batch norm and leaky ReLU do two or three. Their time is the time of moving
# memory, and the only way to speed them up is to move less of it. `benchmarks/ops.py` puts every operation of the
# library beside its roofline.
#
# ## Memory order: the batch last
#
# The shape $(N, C, H, W)$ says in which order we write indices, not in which order numbers lie in memory. Max-pooling
# compares neighbouring columns, batch norm sums over a channel, im2col shifts rows and columns. With $W$ last, all of
# these touch short runs: 28 numbers, or every second one of them. With the *batch* last, $(C, H, W, N)$ in memory,
# every one of them walks over runs of $N$ numbers or more. A transposed view hides it from everybody outside
# (`minisvdd/ops/layout.py`).

# %%
batch_first = rng.standard_normal((200, 8, 28, 28)).astype(np.float32)
batch_last = np.ascontiguousarray(batch_first.transpose(1, 2, 3, 0))  # (C, H, W, N)


def pooled_rows(left, right):
    return np.maximum(left, right)


first = pooled_rows(batch_first[..., 0::2], batch_first[..., 1::2])
last = pooled_rows(batch_last[:, :, 0::2], batch_last[:, :, 1::2])
check("the maxima are the same in both orders", np.array_equal(first, last.transpose(3, 0, 1, 2)))
with use_threads(1):
    slow = milliseconds(lambda: pooled_rows(batch_first[..., 0::2], batch_first[..., 1::2]))
    fast = milliseconds(lambda: pooled_rows(batch_last[:, :, 0::2], batch_last[:, :, 1::2]))
print(f"maximum of neighbouring columns: {slow:.2f} ms batch first, {fast:.2f} ms batch last")

# %% [markdown]
# ## Copy less: strips in place of im2col
#
# Lecture 3 turned a convolution into one matrix product, at the price of copying every pixel into 25 columns. The first
# layer of the MNIST encoder has one channel and eight filters of $5 \times 5$: for each copied number the product does
# eight multiplications. By the roofline, the copy is what takes the time.
#
# Take two neighbouring outputs of a row together. They see $5 \times 6$ pixels. Put the filter twice into a larger
# matrix, once shifted by one column, with zeros where the other one looks:
#
# $$ T_{(k,q),(a,u)} = \begin{cases} w_{k,a,u-q} & 0 \le u - q < 5 \\ 0 & \text{else} \end{cases}
# \qquad q \in \{0, 1\},\; u \in \{0, \dots, 5\} . $$
#
# Now cut the image into strips of six columns, two apart, and store each as $(H, u, N)$. The five rows under the filter
# are a contiguous matrix of $5 \cdot 6$ rows and $N$ columns; the five rows of the next output begin one row later, *in
# the same memory*. No copy but that into the strip: 3 per pixel, not 25.


# %%
def strips(x, w, padding=2):
    """x: (H, W, N), one channel; w: (K, 5, 5). Returns (K, H, W, N)."""
    (H, W, N), K = x.shape, len(w)
    T = np.zeros((K, 2, 5, 6), x.dtype)
    for q in range(2):
        T[:, q, :, q : q + 5] = w
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    y = np.empty((K, H, W, N), x.dtype)
    for j in range(0, W, 2):
        strip = np.ascontiguousarray(x[:, j : j + 6])  # (H + 4, 6, N)
        row, number, image = strip.strides
        rows = as_strided(strip, (H, 5 * 6, N), (row, number, image))  # they overlap: a view
        y[:, :, j : j + 2] = (T.reshape(K * 2, -1) @ rows).reshape(H, K, 2, N).transpose(1, 0, 2, 3)
    return y


def im2col(x, w, padding=2):
    (H, W, N), K = x.shape, len(w)
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    windows = sliding_window_view(x, (5, 5), axis=(0, 1))  # (H, W, N, 5, 5)
    return (w.reshape(K, 25) @ windows.transpose(3, 4, 0, 1, 2).reshape(25, -1)).reshape(K, H, W, N)


x, w = batch_last[0], rng.standard_normal((8, 5, 5)).astype(np.float32)
formula = ops.conv2d_forward(x.transpose(2, 0, 1)[:, None], w[:, None], padding=(2, 2)).transpose(1, 2, 3, 0)
for function in (strips, im2col):
    difference = np.abs(function(x, w) - formula).max()
    check(f"{function.__name__} gives what the formula gives", difference < 1e-4, f"difference {difference:.0e}")
with use_threads(1):
    times = {f.__name__: milliseconds(lambda f=f: f(x, w)) for f in (im2col, strips)}
print(", ".join(f"{name} {ms:.2f} ms" for name, ms in times.items()))

# %% [markdown]
# One multiplication in six is by zero, and it is faster all the same. `minisvdd/ops/conv2d/strips.py` is this function
# for any number of channels, and for blocks that threads share.
#
# ## Multiply less: Winograd
#
# With 64 channels going in and 128 out, the copies no longer matter: the product does thousands of operations per
# pixel. Here the multiplications themselves must become fewer, and there is a way. Two neighbouring outputs of a filter
# with three taps,
#
# $$ y_0 = g_0 x_0 + g_1 x_1 + g_2 x_2, \qquad y_1 = g_0 x_1 + g_1 x_2 + g_2 x_3 , $$
#
# take six multiplications. Or four:
#
# $$ m_1 = (x_0 - x_2)\, g_0, \quad m_2 = (x_1 + x_2)\,\tfrac{g_0 + g_1 + g_2}{2}, \quad
# m_3 = (x_2 - x_1)\,\tfrac{g_0 - g_1 + g_2}{2}, \quad m_4 = (x_1 - x_3)\, g_2 , $$
#
# $$ y_0 = m_1 + m_2 + m_3, \qquad y_1 = m_2 - m_3 - m_4 . $$
#
# Multiply it out: it is right. But where does it come from? From polynomials. The product of $g(t)$ with $r$
# coefficients and $h(t)$ with $m$ has $n = m + r - 1$ coefficients. A polynomial with $n$ coefficients is known from
# its values at $n$ points, and the value of a product is the product of the values: *evaluate, multiply $n$ times,
# interpolate.* With $V_k$ the matrix of powers $p^0, \dots, p^{k-1}$ of the points,
#
# $$ g h = V_n^{-1} \big[ (V_r\, g) \odot (V_m\, h) \big] . $$
#
# A convolution layer computes not a product of polynomials but its transpose: if $u = gh$ means $u_{q+s} \mathrel{+}=
# g_s h_q$, then $y_q = \sum_s g_s x_{q+s}$ runs through the same coefficients from $x$ to $y$. Transposing a product of
# matrices reverses it, and so
#
# $$ y = V_m^\top \big[ (V_r\, g) \odot (V_n^{-\top} x) \big] = A^\top \big[ (G g) \odot (B^\top x) \big] . $$
#
# One of the points may be "infinity", the leading coefficient. With the points $0, 1, -1, \infty$ this gives the four
# products above. `cook_toom` computes the matrices in exact fractions:

# %%
A, G, B = winograd.cook_toom(2, 3)
for name, matrix in (("A^T", A), ("G", G), ("B^T", B)):
    print(name, [[str(entry) for entry in row] for row in matrix])


def is_exact(m, r):
    """Does y_q = sum_s g_s d_(q+s) hold for all g and d? Both sides are bilinear: compare coefficients of g_s d_u."""
    A, G, B = winograd.cook_toom(m, r)
    n = m + r - 1
    triples = product(range(m), range(r), range(n))
    return all(sum(A[q][i] * G[i][s] * B[i][u] for i in range(n)) == Fraction(u == q + s) for q, s, u in triples)


check("the identity is exact for 2 outputs of 3 taps", is_exact(2, 3))
check(
    "and for 4 outputs of 5 taps: 8 multiplications, not 20", is_exact(4, 5) and len(winograd.cook_toom(4, 5)[1]) == 8
)

# %% [markdown]
# $B^\top x$ and $A^\top m$ are matrix products with small constant matrices, and $G g$ is done once for a batch.
# Between them stands, for each of the $n$ values, an ordinary matrix product over the channels. So for a convolution
# with $C$ channels and $K$ filters the transforms cost in proportion to $C + K$, and the multiplications saved are in
# proportion to $CK$: it pays for many channels. That is the library's rule:

# %%
for shape in ((8, 1, 5, 5), (16, 3, 5, 5), (32, 16, 5, 5), (128, 64, 5, 5)):
    print(f"{shape[1]:3} -> {shape[0]:3} channels: {fast_convolution.forward_way(shape, (1, 1))}")
check("few channels go by strips", fast_convolution.forward_way((8, 1, 5, 5), (1, 1)) == "strips")
check("many channels by Winograd", fast_convolution.forward_way((128, 64, 5, 5), (1, 1)) == "winograd")

# %% [markdown]
# Why not save more, with larger tiles? In exact arithmetic nothing speaks against it. But the powers of eleven points
# are of very different sizes, and sums of large numbers that cancel lose digits. We measure in float32, against the
# definition in float64, with 64 channels:


# %%
def relative_error(m, r=5, channels=64):
    points = [Fraction(p) for p in (0, 1, -1, 2, -2, "1/2", "-1/2", 3, -3, "1/3", "-1/3")][: m + r - 2]

    def evaluation(k):
        last = [0.0] * (k - 1) + [1.0]
        return np.array([[float(p**power) for power in range(k)] for p in points] + [last])

    A, G, B = evaluation(m).T, evaluation(r), np.linalg.inv(evaluation(m + r - 1)).T
    d, g = rng.standard_normal((channels, m + r - 1, 500)), rng.standard_normal((channels, r))
    exact = sum(g[:, s, None, None] * d[:, s : s + m] for s in range(r)).sum(axis=0)
    A, G, B, d, g = (array.astype(np.float32) for array in (A, G, B, d, g))
    y = A @ np.einsum("cn,cni->ni", g @ G.T, np.matmul(B, d))
    return np.linalg.norm(y - exact) / np.linalg.norm(exact)


tiles = list(range(1, 9))
errors = [relative_error(m) for m in tiles]
fig, (left, right) = plt.subplots(1, 2)
left.semilogy(tiles, errors, "o-")
left.axhline(1e-5, color="gray", linestyle="--")
left.set(xlabel="outputs of a tile, m", ylabel="relative error, float32")
right.plot(tiles, [(m + 4) / m for m in tiles], "o-")
right.set(xlabel="outputs of a tile, m", ylabel="multiplications per output (of 5)", ylim=(0, None))
figure("winograd")
check("4 outputs keep five digits", errors[3] < 1e-5, f"error {errors[3]:.1e}")
check("and lose less than half a digit", errors[3] < 3 * errors[0], f"1 output: {errors[0]:.1e}")
check("larger tiles lose more", errors[7] > 4 * errors[3], f"8 outputs: {errors[7]:.1e}")

# %% [markdown]
# From 5 multiplications per output and row to 2 costs a fraction of a digit; to go on to 1.5 costs a whole one. The
# library stops at 4 outputs, and transforms along the rows only (`minisvdd/ops/conv2d/winograd.py`).
#
# ## Do less: pool first
#
# The encoder's modules are convolution, batch norm, leaky ReLU, max-pool. Leaky ReLU never decreases, and neither does
# $x \mapsto (x - \mu)\, r$ with $r > 0$. A function that never decreases commutes with the maximum,
#
# $$ \max_i f(x_i) = f(\max_i x_i) , $$
#
# and rounding never decreases either: the two sides are equal to the last bit. Pool first, and three quarters of the
# numbers are gone before anything is done with them. `norm_act_pool_forward` is this part of a module: its formula
# takes the three steps in the order of the network, its quick reading pools first.

# %%
images = batch_last.transpose(3, 0, 1, 2)
mean, scale = rng.standard_normal(8).astype(np.float32), rng.uniform(0.5, 2, 8).astype(np.float32)
show(ops.norm_act_pool_forward)
arguments = images, mean, scale, 0.1, (2, 2)
in_order, winners = ops.norm_act_pool_forward(*arguments)
quick = ops.norm_act_pool_forward.reading("fast")
pooled_first, winners_first = quick(*arguments)
check("pooling first changes not a single bit", np.array_equal(in_order, pooled_first), f"{in_order.size} numbers")
check("and the same entries win", np.array_equal(winners, winners_first), "here, where rounding has made no ties")

# %% [markdown]
# Batch norm with a trainable scale and shift applies $\hat x \mapsto \gamma \hat x + \beta$ in between. That never
# decreases where $\gamma \ge 0$; where $\gamma < 0$ it never *increases*, the smallest $x$ of a window wins, and the
# quick reading pools $-x$.

# %%
affine = ops.Affine(np.array([2, -1, 0.5, -0.1, 1, 0, 3, -2], np.float32), rng.standard_normal(8).astype(np.float32))
in_order, pooled_first = (way(*arguments, affine)[0] for way in (ops.norm_act_pool_forward, quick))
check("with scales of either sign, too", np.array_equal(in_order, pooled_first))

# %% [markdown]
# In training, the statistics still need all of $x$; but the backward pass gains too. Only the winners of the windows
# have a gradient, and $\hat x$ at a winner is the pooled $\hat x$: both means in the gradient of batch norm are sums
# over the small arrays, and the same sums are the gradients of $\gamma$ and $\beta$ (`minisvdd/ops/norm_act_pool`).
# `Sequential.build` finds the four layers that can go this way and computes them as one step, unless the backend is
# "plain".
#
# ## Ask for memory once
#
# `np.empty` looks free. But the system hands out a large array page by page, each filled with zeros for reasons of
# privacy, when it is touched first, and takes it back when the array dies. A training step makes the same arrays every
# time; a `Workspace` hands out the same memory for them. How much that saves differs from system to system (the full
# run prints both times here; `benchmarks/tricks.py` measures whole steps). What can be checked everywhere is that the
# memory is the same.

# %%
shape = (8, 28, 28, choose(200, 2000))


def write_new_array():
    np.empty(shape, np.float32)[...] = 1


workspace = Workspace()


def write_kept_array():
    with workspace:
        empty(shape, np.float32)[...] = 1


if not QUICK:  # whether it shows depends on the size, and on how large the system's pages are
    print(f"new array {milliseconds(write_new_array):.2f} ms, kept array {milliseconds(write_kept_array):.2f} ms")
with workspace:
    first = empty(shape, np.float32).__array_interface__["data"][0]
with workspace:
    second = empty(shape, np.float32).__array_interface__["data"][0]
check("the next step gets the same memory", first == second)

# %% [markdown]
# The price is a rule: what came from a workspace is overwritten in the next step. Only code that knows that nothing of
# a step is needed later may open one, and in the library these are the training loop and the evaluation in batches.
#
# ## Threads that change nothing
#
# While NumPy is inside a matrix product or a long element-wise operation it does not hold Python's lock, so ordinary
# threads run side by side. `minisvdd.backends.threads.run` gives each the next block from a common queue. Two rules
# keep results the same, bit for bit, for any number of threads: blocks depend on the shapes alone, and sums over blocks
# are added in the order of the blocks, not in the order in which they are finished.


# %%
def sum_of_squares(numbers, threads):
    blocks = range(0, len(numbers), 10_000)
    partial = {}

    def work(some_blocks):
        for start in some_blocks:
            block = numbers[start : start + 10_000]
            partial[start] = np.dot(block, block)

    with use_threads(threads):
        run(work, blocks)
    return sum(partial[start] for start in blocks)


numbers = rng.standard_normal(1_000_000).astype(np.float32)
found = {threads: sum_of_squares(numbers, threads) for threads in (1, 2, 3)}
check("1, 2 and 3 threads agree bit for bit", len(set(found.values())) == 1, f"{found[1]:.3f}")
print(f"one sum over everything rounds differently: {np.dot(numbers, numbers):.3f}")

# %% [markdown]
# ## All of it together
#
# A training step of the MNIST encoder, forward and backward, by the formulas and by the quick readings with all threads
# that the machine has:


# %%
def step(network, images, workspace):
    with workspace:
        _, grad_output, _ = ops.one_class_loss(network.forward(images, training=True), np.ones(32, np.float32))
        network.backward(grad_output, need_input=False)


images, step_ms = rng.random((choose(50, 200), 1, 28, 28), dtype=np.float32), {}
for backend in ("plain", "numpy"):
    network = nn.make_encoder("mnist_lenet", (1, 28, 28))
    network.build((1, 28, 28), np.random.default_rng(0), backend=backend)
    step_ms[backend] = milliseconds(step, network, images, Workspace())
print(f"a step on {len(images)} images: {step_ms['plain']:.0f} ms plain, {step_ms['numpy']:.1f} ms numpy")
check("the quick readings earn their keep", step_ms["numpy"] < step_ms["plain"] / 2)

# %% [markdown]
# What each trick brings is measured in `benchmarks/tricks.py`: each is taken away in turn, and the table stands in
# `benchmarks/README.md`.
#
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★★ A strip serves $q$ neighbouring outputs of a $5 \times 5$ filter. How many times does it copy a pixel, and how
#    many multiplications does it make per output and row of the filter? Which $q$ is best if a copy costs as much as
#    eight of them, and which for $K$ filters?
# 2. ★★★ Derive $F(2, 2)$ by hand with the points $0$, $1$ and $\infty$: two outputs of two taps with three
#    multiplications. Hint: write the values of $g(t)\,h(t)$ at the three points, solve for its coefficients, and
#    transpose.
# 3. ★ Is $\max_i f(x_i) = f(\max_i x_i)$ still true for batch norm with a trainable scale $\gamma$? What would you pool
#    instead when $\gamma < 0$?
#
# Solutions: `lectures/solutions/14_fast_numpy.py`.

# %%
finish()
