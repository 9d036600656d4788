# %% [markdown]
# # 3. Convolution
#
# A convolution looks at an image through a small window, everywhere with the same weights. Its two gradients frighten
# many who implement them for the first time, and yet both are convolutions again. We write the layer as loops, turn the
# loops into one matrix product, derive both gradients index by index, and see why the filters of Deep SVDD have no
# bias.
#
# **Before you start:** lecture 2. A first reading takes about 60 minutes. **Letters** (`docs/notation.md` has all of
# them): here $n$ counts images and $c$ input channels wherever they are indices, $s$ is a stride, and $W$ also the
# number of columns.
#
# *Needs: no data but scikit-learn's digits and sample photograph. Minutes: 0.1 quick, 0.1 full.*

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_sample_image

from minisvdd import DeepSVDD, backends, check_gradients, load_dataset, nn, ops
from minisvdd.lecture import check, choose, figure, finish, show

rng = np.random.default_rng(3)

# %% [markdown]
# ## The window
#
# Images come as an array $x$ of shape $(N, C, H, W)$: $N$ images with $C$ channels, each $H$ rows by $W$ columns. A
# layer with $K$ filters of size $k_h \times k_w$ has the weights $w$ of shape $(K, C, k_h, k_w)$. Around the image we
# put a margin of $p$ zeros, the padding, and call the larger image $\bar x$, so that $\bar x_{n,c,u+p,v+p} =
# x_{n,c,u,v}$. The output is
#
# $$ y_{n,k,i,j} = \sum_{c}\, \sum_{a=0}^{k_h-1}\, \sum_{b=0}^{k_w-1} w_{k,c,a,b}\; \bar x_{n,c,\,i+a,\,j+b} . $$
#
# Keep the letters apart, for all that follows is about them: $n$ an image, $c$ an input channel, $k$ an output channel,
# $(i, j)$ a position in the output, $(a, b)$ a position inside the window, and $(u, v)$ a position in the input. The
# filter lies with its top left corner at $(i, j)$. There are as many outputs as places for it: $H + 2p - k_h + 1$ rows,
# and likewise columns. With an odd $k_h = k_w$ and $p = (k_h-1)/2$ the output is as large as the input:
# "same" padding.
#
# (Mathematicians call this a cross-correlation; *their* convolution has $\bar x_{i-a}$. Since the weights are learned,
# it does not matter, and the field says convolution.) In Python the formula is seven loops, `np.ndindex` for the first
# four and a sum for the rest:


# %%
def convolve_loops(x, weight, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    (N, _, H, W), (K, _, kh, kw) = x.shape, weight.shape
    y = np.zeros((N, K, H - kh + 1, W - kw + 1))
    for n, k, i, j in np.ndindex(*y.shape):
        y[n, k, i, j] = np.sum(weight[k] * x[n, :, i : i + kh, j : j + kw])
    return y


photo = load_sample_image("china.jpg")[90:218, 240:368].mean(axis=2) / 255
blur, sobel = np.ones((5, 5)) / 25, np.outer([1, 2, 1], [-1, 0, 1]) / 4
filters = {"mean of 5 x 5": blur, "change to the right": sobel, "change downwards": sobel.T}

# %%
fig, axes = plt.subplots(1, 4, figsize=(9, 2.5))
axes[0].imshow(photo)
axes[0].set_title("image")
for ax, (title, weights) in zip(axes[1:], filters.items()):
    ax.imshow(convolve_loops(photo[None, None], weights[None, None], len(weights) // 2)[0, 0])
    ax.set_title(title)
for ax in axes:
    ax.set_axis_off()
figure("filters")

# %% [markdown]
# *In the book a window walks over a digit here, and the sum under it is written out.* <!-- living: window -->
#
# Two properties make this the layer for images. It is *local*: an output depends on $C k_h k_w$ numbers only, not on
# the whole image. And it is the *same everywhere*: if the image moves, the output moves with it.

# %%
moved = np.roll(photo, (3, 5), axis=(0, 1))
before, after = (convolve_loops(image[None, None], sobel[None, None], 1)[0, 0] for image in (photo, moved))
inner = np.s_[8:-8, 8:-8]  # far from the border, where zeros come into sight
check("move the image, and the output moves", np.array_equal(np.roll(before, (3, 5), axis=(0, 1))[inner], after[inner]))

# %% [markdown]
# ## One matrix product: im2col
#
# For a fixed position the triple sum is an inner product of two vectors of length $C k_h k_w$: the filter, and the
# patch of the image under it. Write all patches side by side as the columns of a matrix $P$, one column for each $(n,
# i, j)$:
#
# $$ P_{(c,a,b),\,(n,i,j)} = \bar x_{n,c,\,i+a,\,j+b}, \qquad
# Y = \mathcal{W} P, \quad\text{where}\quad \mathcal{W}_{k,\,(c,a,b)} = w_{k,c,a,b} . $$
#
# $\mathcal{W}$ is the array of filters, read as a matrix with one row per filter. So a convolution is a linear layer
# that is applied to every patch. The name im2col says what is done: image to columns. It costs memory, since every
# pixel is copied into up to $k_h k_w$ columns; but then a single matrix product does all the work, and nothing on a
# computer is better tuned than a matrix product.


# %%
def im2col(x, kernel_size, padding):
    """(N, C, H, W) -> (C kh kw, N H_out W_out)."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(x, kernel_size, axis=(2, 3))  # a view [n, c, i, j, a, b], nothing is copied yet
    return windows.transpose(1, 4, 5, 0, 2, 3).reshape(x.shape[1] * kernel_size[0] * kernel_size[1], -1)


def convolve(x, weight, padding):
    (N, _, H, W), (K, _, kh, kw) = x.shape, weight.shape
    Y = weight.reshape(K, -1) @ im2col(x, (kh, kw), padding)
    return Y.reshape(K, N, H + 2 * padding - kh + 1, W + 2 * padding - kw + 1).transpose(1, 0, 2, 3)


x, w = rng.normal(size=(2, 3, 9, 8)), rng.normal(size=(4, 3, 5, 5))
padding = 2
difference = np.abs(convolve(x, w, padding) - convolve_loops(x, w, padding)).max()
check("the matrix product gives what the loops give", difference < 1e-12, f"largest difference {difference:.0e}")


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


batch = rng.normal(size=(choose(8, 32), 8, 14, 14))
filters_of_a_network = rng.normal(size=(4, 8, 5, 5))
slow = seconds(convolve_loops, batch, filters_of_a_network, 2)
fast = min(seconds(convolve, batch, filters_of_a_network, 2) for _ in range(5))
print(f"loops {1e3 * slow:.1f} ms, matrix product {1e3 * fast:.1f} ms")

# %% [markdown]
# ## The gradient of the weights
#
# Let $G_{n,k,i,j} = \partial L / \partial y_{n,k,i,j}$. We ask, as always: in which outputs does $w_{k,c,a,b}$ occur,
# and with which factor? The formula of the forward answers: in every output of channel $k$, that is for every $n, i,
# j$, and there with the factor $\bar x_{n,c,i+a,j+b}$. Hence
#
# $$ \frac{\partial L}{\partial w_{k,c,a,b}} = \sum_{n}\sum_{i}\sum_{j} G_{n,k,i,j}\; \bar x_{n,c,\,i+a,\,j+b} . $$
#
# Look at the right-hand side with the eyes of the forward: a window slides over $\bar x$, but now it is $G$ that acts
# as the filter, as large as the output, and $(a, b)$ are the few positions at which it is placed. The gradient of the
# weights is a convolution of the input with $G$. And since the sum runs over exactly the columns of $P$,
#
# $$ \frac{\partial L}{\partial \mathcal{W}} = \mathcal{G}\, P^\top,
# \qquad\text{where}\quad \mathcal{G}_{k,(n,i,j)} = G_{n,k,i,j} , $$
#
# the weight gradient of a linear layer, $G^\top x$, in the layout of patches. The library's function is
# `conv2d_backward_weight`.


# %%
def backward_weight(G, x, kernel_size, padding):
    K, C = G.shape[1], x.shape[1]
    grad = G.transpose(1, 0, 2, 3).reshape(K, -1) @ im2col(x, kernel_size, padding).T
    return grad.reshape(K, C, *kernel_size)


# %% [markdown]
# ## The gradient of the input
#
# In which outputs does the input pixel $\bar x_{n,c,u,v}$ occur? In all those whose window covers it. The output at
# $(i, j)$ covers it with the weight at $(a, b)$ where $i + a = u$ and $j + b = v$. So for each $(a, b)$ there is one
# such output, at $i = u - a$, $j = v - b$, in each channel $k$:
#
# $$ \frac{\partial L}{\partial \bar x_{n,c,u,v}} = \sum_{k}\sum_{a}\sum_{b} G_{n,k,\,u-a,\,v-b}\; w_{k,c,a,b} , $$
#
# where $G$ counts as 0 outside of its range. This is almost a convolution of $G$: only the minus signs are in the way.
# To get rid of them, count the window backwards, $a' = k_h - 1 - a$ and $b' = k_w - 1 - b$. Then $u - a = u -
# (k_h - 1) + a'$, and
#
# $$ \frac{\partial L}{\partial \bar x_{n,c,u,v}} = \sum_{k}\sum_{a'}\sum_{b'}
# \underbrace{w_{k,c,\;k_h-1-a',\;k_w-1-b'}}_{\text{flipped filter } w'_{c,k,a',b'}}\;
# G_{n,k,\;(u-k_h+1)+a',\;(v-k_w+1)+b'} . $$
#
# Now all signs are those of the forward. The differences to it can be read off one by one:
#
# - the filter is **flipped** in both directions of space;
# - its two channel axes are **exchanged**: $w'$ has $C$ filters with $K$ channels each, because the sum is over $k$;
# - it begins $k_h - 1$ rows *before* $G$ does: a padding of $k_h - 1$ zeros around $G$.
#
# We wanted $x$ without its margin: $u = p, \dots, H + p - 1$. Leaving out $p$ rows and columns on each side of the
# result is the same as beginning $p$ later, so the padding is
#
# $$ p' = k_h - 1 - p , $$
#
# as long as $p < k_h$ (with more, the outermost windows see zeros alone). For columns it is $k_w - 1 - p$; the lines
# below take square filters. With "same" padding $p = (k_h-1)/2$ we get $p' = p$. The input gradient of a convolution is
# the convolution of $G$ with the flipped filters, and there is no new code to write (`conv2d_backward_input`):


# %%
def backward_input(G, weight, padding):
    flipped = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    return convolve(G, flipped, weight.shape[2] - 1 - padding)


# %% [markdown]
# The flip has a meaning that can be seen. Let $G$ be 1 at a single output pixel and 0 elsewhere. Which input
# pixels have an influence on that output, and how much? Those under its window, each with the weight that lies
# on it. So the gradient is a copy of the filter, *not* flipped, stamped at that place. For many pixels the stamps add
# up. To stamp an unflipped filter and to slide a flipped one are the same thing, said by the giver and by the receiver.

# %%
letter = np.array([[1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0.0]])
spots = np.zeros((1, 1, 16, 22))
spots[0, 0, [4, 9, 11], [4, 16, 8]] = 1, 1, -1
stamped = backward_input(spots, letter[None, None], 2)

# %%
fig, axes = plt.subplots(1, 3, figsize=(8.6, 2.4), width_ratios=[1, 3, 3])
for ax, image, title in zip(axes, (letter, spots[0, 0], stamped[0, 0]), ("filter", "$G$", "input gradient")):
    ax.imshow(image, cmap="RdBu_r", vmin=-1, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
figure("stamps")

# %%
check("a single 1 in G stamps the filter as it is", np.array_equal(stamped[0, 0, 2:7, 2:7], letter))

# %% [markdown]
# ## Is it right?
#
# **Against differences**, with a random $G$, as in lecture 2:


# %%
def numeric_gradient(function, v, G, h=6e-6):
    result = np.zeros_like(v)
    for index in np.ndindex(*v.shape):
        step = np.zeros_like(v)
        step[index] = h
        result[index] = np.sum(G * (function(v + step) - function(v - step))) / (2 * h)
    return result


x, w = rng.normal(size=(2, 3, 6, 5)), rng.normal(size=(4, 3, 3, 3))


def relative_error(analytic, numeric):
    return np.abs(analytic - numeric).max() / np.abs(numeric).max()


def check_both(p):
    G = rng.normal(size=convolve(x, w, p).shape)
    of_weight = relative_error(backward_weight(G, x, (3, 3), p), numeric_gradient(lambda v: convolve(x, v, p), w, G))
    of_input = relative_error(backward_input(G, w, p), numeric_gradient(lambda v: convolve(v, w, p), x, G))
    check(f"both gradients, padding {p}", max(of_weight, of_input) < 1e-9, f"errors {of_weight:.0e} and {of_input:.0e}")


for p in (0, 1, 2):
    check_both(p)

# %% [markdown]
# **By duality.** A convolution is linear in $x$, say $y = A x$ with a huge matrix $A$ that nobody writes down. Its
# input gradient is $A^\top G$. For any two arrays, whether they have to do with each other or not,
#
# $$ \langle A x, G \rangle = \langle x, A^\top G \rangle . $$
#
# This test has no step size and no truncation: both sides must agree to rounding. It takes one line, and works on
# arrays that are far too large for differences.

# %%
x, w = rng.normal(size=(20, 8, 28, 28)), rng.normal(size=(16, 8, 5, 5))
y = convolve(x, w, 2)
G = rng.normal(size=y.shape)
here, there = np.sum(y * G), np.sum(x * backward_input(G, w, 2))
size = np.linalg.norm(y) * np.linalg.norm(G)
check("<A x, G> = <x, A' G>", abs(here - there) < 1e-12 * size, f"{here:.6f} and {there:.6f}")
by_weight = np.sum(w * backward_weight(G, x, (5, 5), 2))
check("and so for the weights, in which y is linear too", abs(here - by_weight) < 1e-12 * size, f"{by_weight:.6f}")

# %% [markdown]
# **Against the library.** Its formula for the forward goes a third way, without a copy of any patch: for each of the
# few places $(a, b)$ in the window it takes the pixels that this tap meets in all windows, and adds them, times the
# weights at $(a, b)$, to all outputs at once (`conv2d_forward`):

# %%
show(ops.conv2d_forward)

x, w = rng.normal(size=(3, 2, 9, 8)), rng.normal(size=(4, 2, 5, 5))
y = convolve(x, w, 2)
G = rng.normal(size=y.shape)
same = {
    "forward": np.allclose(y, ops.conv2d_forward(x, w, padding=(2, 2)), rtol=1e-11),
    "weight": np.allclose(
        backward_weight(G, x, (5, 5), 2), ops.conv2d_backward_weight(G, x, (5, 5), padding=(2, 2)), rtol=1e-11
    ),
    "input": np.allclose(backward_input(G, w, 2), ops.conv2d_backward_input(G, w, (9, 8), padding=(2, 2)), rtol=1e-11),
}
check("our lines are the library's convolution", all(same.values()), ", ".join(same))

layer = nn.Conv2D(3, kernel_size=5, padding="same")
layer.build((2, 7, 6), rng)
check("and the library's layer passes its own checker", check_gradients(layer, rng.normal(size=(2, 2, 7, 6))).passed)

# %% [markdown]
# ## Stride
#
# So far the window moved on by one pixel. With a **stride** $s$ it moves by $s$ at a time:
#
# $$ y_{n,k,i,j} = \sum_{c}\sum_{a}\sum_{b} w_{k,c,a,b}\; \bar x_{n,c,\,si+a,\,sj+b} . $$
#
# **How many outputs?** The last window has to end inside: $s\,i + k_h \le H + 2p$, so that
#
# $$ H_{\text{out}} = \Big\lfloor \frac{H + 2p - k_h}{s} \Big\rfloor + 1 , $$
#
# rounded *down*. If the division leaves a remainder $\rho$, the last $\rho$ rows of $\bar x$ lie under no window.
#
# **The gradients** follow as before, by asking in which outputs a number occurs. The weight $w_{k,c,a,b}$ meets
# $\bar x_{n,c,si+a,sj+b}$ in every output of its channel; the pixel $\bar x_{n,c,u,v}$ meets $w_{k,c,a,b}$ where
# $si + a = u$ and $sj + b = v$, and that has a solution only when $u - a$ and $v - b$ are multiples of $s$:
#
# $$ \frac{\partial L}{\partial w_{k,c,a,b}} = \sum_{n,i,j} G_{n,k,i,j}\; \bar x_{n,c,\,si+a,\,sj+b}, \qquad
# \frac{\partial L}{\partial \bar x_{n,c,u,v}}
# = \sum_{k}\;\sum_{a,b\,:\; s \mid u-a,\; s \mid v-b} G_{n,k,\frac{u-a}{s},\frac{v-b}{s}}\; w_{k,c,a,b} . $$
#
# A pixel in the rows left over occurs in no output: its gradient is 0, and must not be forgotten in the shape of the
# result. In code, take one tap $(a, b)$ at a time. The pixels that it meets in all windows lie $s$ apart, a slice with
# a step. Forward and weight gradient *read* this slice; the input gradient adds to it, and exercise 1 finds a
# convolution in it.


# %%
def met_by(tap, x, shape, stride):
    """The view of the padded images that the tap (a, b) meets in the windows of all outputs: (N, C, H_out, W_out)."""
    (a, b), (rows, columns) = tap, shape
    return x[:, :, a : a + stride * rows : stride, b : b + stride * columns : stride]


def convolve_strided(x, weight, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kernel_size = weight.shape[2:]
    shape = [(size - k) // stride + 1 for size, k in zip(x.shape[2:], kernel_size)]
    taps = np.ndindex(*kernel_size)
    return sum(np.einsum("ncij,kc->nkij", met_by(tap, x, shape, stride), weight[(..., *tap)]) for tap in taps)


def backward_weight_strided(G, x, kernel_size, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    grad = np.empty((G.shape[1], x.shape[1], *kernel_size))
    for tap in np.ndindex(*kernel_size):
        grad[(..., *tap)] = np.einsum("nkij,ncij->kc", G, met_by(tap, x, G.shape[2:], stride))
    return grad


x, w = rng.normal(size=(2, 3, 9, 8)), rng.normal(size=(4, 3, 3, 3))
y = convolve_strided(x, w, 2, 1)
G = rng.normal(size=y.shape)
check(
    "stride 2: 5 x 4 outputs of 9 x 8 pixels, the half rounded down",
    y.shape[2:] == (5, 4),
    "(9 + 2 - 3)/2, (8 + 2 - 3)/2",
)
check(
    "stride 2, forward: ours is the library's", np.allclose(y, ops.conv2d_forward(x, w, stride=(2, 2), padding=(1, 1)))
)
check(
    "stride 2, weight gradient: ours is the library's",
    np.allclose(
        backward_weight_strided(G, x, (3, 3), 2, 1),
        ops.conv2d_backward_weight(G, x, (3, 3), stride=(2, 2), padding=(1, 1)),
    ),
)
grad = ops.conv2d_backward_input(G, w, (9, 8), stride=(2, 2), padding=(1, 1))
check("stride 2, input gradient: dual to the forward", np.isclose(np.sum(y * G), np.sum(x * grad), rtol=1e-12))
covered = ops.conv2d_backward_input(np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3)), (6, 6), stride=(2, 2))
check(
    "and a row under no window gets 0",
    not covered[0, 0, 5].any() and covered[0, 0, :5, :5].all(),
    "3 x 3, 6 x 6 pixels",
)

# %% [markdown]
# ## One formula, three readings
#
# Every operation of the library is such a formula, and `ops.conv2d_forward(x, w)` computes it as it stands. Some have
# two more *readings*, registered under the formula and held to it by one test: quick lines of NumPy (lecture 14), and a
# launch of the kernels for a GPU (lecture 13). The backend of a layer or of a model says which of them runs: "plain"
# the formulas, "numpy", the default, the quick lines where there are any, "cuda" the kernels.

# %%
photos, outputs = rng.random((16, 2, 28, 28), dtype=np.float32), {}
for backend in ("plain", "numpy"):
    layer.build((2, 28, 28), np.random.default_rng(0), backend=backend)
    outputs[backend] = layer.forward(photos)
error = relative_error(outputs["plain"], outputs["numpy"])
check("both readings give the same, but for rounding", error < 1e-5, f"relative error {error:.0e} in float32")

# %% [markdown]
# ### Train with your own convolution
#
# A fourth reading can be yours. Give your functions the arguments of the operations whose place they take, and hand
# them to a backend under the names of these: every convolution of a model then goes through them. Here the functions of
# this lecture train Deep SVDD (lecture 6) on the threes of scikit-learn's digits, and the library's formulas do so from
# the same start. So does a backward that forgot to flip its filters:


# %%
def my_forward(x, weight, stride=(1, 1), padding=(0, 0)):
    return convolve(x, weight, padding[0])


def my_backward_weight(grad_output, x, kernel_size, stride=(1, 1), padding=(0, 0)):
    return backward_weight(grad_output, x, kernel_size, padding[0])


def my_backward_input(grad_output, weight, input_size, stride=(1, 1), padding=(0, 0)):
    return backward_input(grad_output, weight, padding[0])


def forgot_the_flip(grad_output, weight, input_size, stride=(1, 1), padding=(0, 0)):
    return backward_input(grad_output, weight[:, :, ::-1, ::-1], padding[0])


mine = {
    "conv2d_forward": my_forward,
    "conv2d_backward_weight": my_backward_weight,
    "conv2d_backward_input": my_backward_input,
}
digits = load_dataset("digits").one_class(3)


def trained_scores(backend):
    settings = {
        "pretrain_epochs": 0,
        "epochs": choose(3, 20),
        "learning_rate": 1e-3,
        "batch_size": 32,
        "verbose": 0,
        "threshold": "nu",
    }
    model = DeepSVDD(network="digits_lenet", preprocessing="gcn-l1", backend=backend, **settings)
    return model.fit(digits.train).anomaly_score(digits.test)


scores = trained_scores("plain")
with_mine = relative_error(trained_scores(backends.HostBackend(readings=mine)), scores)
wrong = backends.HostBackend(readings={**mine, "conv2d_backward_input": forgot_the_flip})
with_wrong = relative_error(trained_scores(wrong), scores)
check("our convolution trains the same detector", with_mine < 1e-2, f"scores differ by {with_mine:.0e}")
check("a wrong gradient trains too, but another one", with_wrong > 3 * with_mine, f"scores differ by {with_wrong:.0e}")

layer.build((2, 7, 6), rng, backend=wrong)
found = check_gradients(layer, rng.normal(size=(2, 2, 7, 6)))
check("which only the checker notices", not found.passed, f"error {found.error:.1f}")

# %% [markdown]
# The command does the same with a file. In `my_conv2d.py` write functions that have the names of operations,
#
# ```python
# def conv2d_forward(x, weight, stride=(1, 1), padding=(0, 0)):
#     ...
# ```
#
# and then
#
# ```sh
# minisvdd gradcheck --ops my_conv2d.py     # compares them with the formulas, and checks the gradients
# minisvdd train --ops my_conv2d.py         # trains Deep SVDD with them
# ```
#
# (The first one draws sizes, strides and margins of all kinds, and wants more than our three functions can do; exercise
# 1 has the strides.)

# %% [markdown]
# ## Why there is no bias
#
# Most libraries add a number $b_k$ to every pixel of output channel $k$. Deep SVDD must not (the paper's
# Proposition 2). Its loss is the mean squared distance of the network's outputs to a fixed centre $c$,
#
# $$ J(W) = \frac{1}{n} \sum_{i=1}^{n} \lVert \phi(x_i; W) - c \rVert^2 , $$
#
# and all it ever sees is normal data. The best of all values, $J = 0$, is reached by a network that returns $c$
# whatever it is shown. Such a network is worthless: it finds nothing anomalous. With a bias it is easy to have. Set the
# weights of the last layer to zero, and its bias to $c$:


# %%
def encoder(bias):
    network = nn.Sequential(
        [nn.Conv2D(4, 3, padding="same", bias=bias), nn.LeakyReLU(), nn.Flatten(), nn.Linear(2, bias=bias)]
    )
    network.build((1, 8, 8), np.random.default_rng(1))
    return network.astype(np.float64)


images = digits.test
center = np.array([0.7, -0.4])
constant = encoder(bias=True)
constant.params["3.weight"][...] = 0
constant.params["3.bias"][...] = center
loss, _, _ = ops.one_class_loss(constant.forward(images), center)
spread = np.ptp(constant.forward(images), axis=0).max()
check("with a bias, the constant map has loss 0", loss == 0, f"over {len(images)} images of all ten digits")
check("and maps every image to one point", spread == 0)

# %% [markdown]
# The bias need not be in the last layer: with the weights before it at zero, a layer with a bias puts out a constant,
# which the layers behind it can turn into $c$. (Unless batch norm follows at once: it subtracts every constant. All
# convolutions of the paper have a batch norm behind them; lectures 4 and 7 come back to this, and to the bias that
# batch norm has of its own.) Without biases none of this works. Convolution, leaky ReLU, max-pooling and linear layers
# all map 0 to 0, and multiply their output by $t > 0$ when their input is multiplied by $t$:
#
# $$ \phi(0) = 0, \qquad \phi(t x) = t\, \phi(x) . $$
#
# A constant map with this property is 0 everywhere, and not $c \neq 0$. (Everywhere: for *all* images and their
# multiples. A data set can have a bias of its own, if all of its images share, say, the sum of their pixels; lecture 7
# has such data. Batch norm, of the next lecture, breaks the property of scaling but has its own reason for not being
# constant.) Whether gradient descent really finds its way to the constant map when it exists is another question;
# lecture 7 lets it try.

# %%
network = encoder(bias=False)
zero = np.zeros((1, 1, 8, 8))
check("without biases, zero is mapped to zero", np.all(network.forward(zero) == 0))
ratio = np.abs(network.forward(3.0 * images) - 3 * network.forward(images)).max()
check("and three times the image to three times the output", ratio < 1e-12, f"difference {ratio:.0e}")

biased = encoder(bias=True)
biased.params["0.bias"][...] = 0.1
check("with a bias both are lost", np.abs(biased.forward(zero)).max() > 1e-3)

# %% [markdown]
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★★★ The input gradient with a stride has awkward conditions in it, "where $s$ divides $u - a$". Show that it is the
#    convolution with flipped filters once more, if $s - 1$ zeros are put between the entries of $G$. Mind the rows
#    under no window. Compare with `conv2d_backward_input` for $s = 2$.
# 2. ★★ What is a convolution with $1 \times 1$ filters? Show that it equals a linear layer applied to every pixel, and
#    use that to write its three functions in one line each.
# 3. ★ How many multiplications does the first layer of the paper's MNIST network take for a batch of 200 images (one
#    channel, 28 x 28, 8 filters of 5 x 5, "same" padding)? How much larger than the images is the matrix $P$?
# 4. ★ **Sizes.** How large is the output, and how many rows lie under no window, for $(H, k_h, s, p)$ = $(28, 5, 1,
#    2)$, $(32, 5, 2, 2)$, $(9, 4, 3, 0)$ and $(10, 3, 2, 0)$?
# 5. ★ **By hand.** An image of a single row, $(1, 2, 3, 4)$, and the filter $(1, 0, -1)$. Compute the output, and for
#    $G = (1, 1)$ both gradients.
#
# Solutions: `lectures/solutions/03_convolution.py`.
#
# **Assignment:** `minisvdd assignment conv2d` (3 to 4 hours): the three functions of this lecture, with strides.

# %%
finish()
