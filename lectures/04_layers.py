# %% [markdown]
# # 4. Activations, pooling, batch norm, up-sampling
#
# Between the convolutions of a network stand small layers without weights: leaky ReLU, max-pooling, batch norm, and in
# a decoder up-sampling and a sigmoid. Each takes a few lines of code, and each has one thing that is easily done wrong.
# We derive all their backward passes, batch norm's in full, and at the end run a whole module of an encoder by hand.
#
# **Before you start:** lectures 2 and 3. A first reading takes about 60 minutes. **Letters** (`docs/notation.md` has
# all of them): here $n$ counts images and $c$ channels wherever they are indices, $s$ is a stride, and $W$ also the
# number of columns.
#
# *Needs: no data but scikit-learn's digits. Minutes: 0.1 quick, 0.1 full.*

# %%
import matplotlib.pyplot as plt
import numpy as np

from minisvdd import check_gradients, load_dataset, nn, ops
from minisvdd.lecture import BLUE, GRAY, RED, check, choose, figure, finish, show

rng = np.random.default_rng(4)


def numeric_gradient(function, v, G, h=6e-6):
    """Central differences of sum(G * function(v)), entry by entry, as in lecture 2."""
    result = np.zeros_like(v)
    for index in np.ndindex(*v.shape):
        step = np.zeros_like(v)
        step[index] = h
        result[index] = np.sum(G * (function(v + step) - function(v - step))) / (2 * h)
    return result


def relative_error(analytic, numeric):
    return np.abs(analytic - numeric).max() / np.abs(numeric).max()


# %% [markdown]
# ## Leaky ReLU
#
# An elementwise function $y = f(x)$ has a Jacobian with nothing off its diagonal, and the chain rule becomes a product
# of numbers, $\partial L / \partial x = G\, f'(x)$, for each entry by itself. The leaky ReLU with slope $\kappa$ (in
# the paper 0.1) is made of two straight lines:
#
# $$ f(x) = \begin{cases} x & x > 0 \\ \kappa x & x \le 0 \end{cases}, \qquad
# \frac{\partial L}{\partial x} = \begin{cases} G & x > 0 \\ \kappa\, G & x \le 0 . \end{cases} $$
#
# For $0 \le \kappa \le 1$ one may also write $f(x) = \max(x, \kappa x)$, which needs no branch. At $x = 0$ there is
# a kink and no derivative. Any number between $\kappa$ and 1 would do there (a *subgradient*); what matters is to make
# one choice. Ours is $\kappa$.
#
# Why leaky? The ordinary ReLU, with $\kappa = 0$, stops the gradient wherever $x < 0$: a unit that is negative for all
# images never learns again. There is a second reason in one-class learning. The leaky ReLU has no bounds, up or down;
# a function with a bound other than 0 can be driven to it for *all* inputs, and is then a bias (the paper's
# Proposition 3). We come back to this with the sigmoid.


# %%
def leaky_relu(x, alpha=0.1):
    return np.maximum(x, alpha * x)


def leaky_relu_gradient(G, x, alpha=0.1):
    return G * np.where(x > 0, 1.0, alpha)


x, G = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 3, 4, 4))
error = relative_error(leaky_relu_gradient(G, x), numeric_gradient(leaky_relu, x, G))
check("leaky ReLU: the gradient is right", error < 1e-8, f"error {error:.0e}")
check(
    "leaky ReLU: our lines are the library's",
    np.array_equal(leaky_relu(x), ops.leaky_relu_forward(x, 0.1))
    and np.array_equal(leaky_relu_gradient(G, x), ops.leaky_relu_backward(G, x > 0, 0.1)),
)

# %% [markdown]
# A kink also disturbs the check of a gradient. If $x$ is closer to 0 than the step $h$, the difference takes one value
# from each of the two lines and measures something between $\kappa$ and 1. That is no mistake in the gradient; the
# library's `check_gradients` notices it, by asking the layer on which line each entry is, and takes a smaller step.

# %%
close = np.array([2e-6])
measured = numeric_gradient(leaky_relu, close, np.ones(1))[0]
check(
    "a step across the kink measures a slope between 0.1 and 1", 0.11 < measured < 0.99, f"{measured:.2f} instead of 1"
)

# %% [markdown]
# ## Max-pooling
#
# Max-pooling cuts each channel into windows, 2 x 2 in the paper, and keeps the largest number of each:
#
# $$ y_{n,c,i,j} = \max_{a,b}\; x_{n,c,\,si+a,\,sj+b} . $$
#
# With the winner $(a^*, b^*)$ of a window known, $y$ is just a copy of one entry of $x$, and stays so while $x$
# changes a little. The other entries have no influence. So the derivative of $y$ is 1 by the winner and 0 by all
# others, and a window passes its whole gradient to one entry:
#
# $$ \frac{\partial L}{\partial x_{n,c,u,v}} = \sum_{\text{windows } (i,j) \text{ won by } (u,v)} G_{n,c,i,j} . $$
#
# The forward pass must remember who won. What if two entries of a window are equal, as happens often in images with
# black background? There is a kink again, and the gradient may go to either; but it must go out *once*. An
# implementation that marks the winners by `x == y` sends it to all of them, and a window of four equal entries passes
# on four times its gradient. We let the first one win, in reading order, which is what `argmax` does.


# %%
def split_windows(x, k):
    """(N, C, H, W) -> (N, C, H/k, W/k, k*k): the windows side by side, for stride = k."""
    N, C, H, W = x.shape
    return x.reshape(N, C, H // k, k, W // k, k).transpose(0, 1, 2, 4, 3, 5).reshape(N, C, H // k, W // k, k * k)


def join_windows(windows, k):
    N, C, rows, columns, _ = windows.shape
    x = windows.reshape(N, C, rows, columns, k, k).transpose(0, 1, 2, 4, 3, 5)
    return x.reshape(N, C, rows * k, columns * k)


def maxpool(x, k=2):
    return split_windows(x, k).max(axis=-1)


def maxpool_gradient(G, x, k=2):
    windows = split_windows(x, k)
    grad = np.zeros_like(windows)
    np.put_along_axis(grad, windows.argmax(axis=-1)[..., None], G[..., None], axis=-1)
    return join_windows(grad, k)


x, G = rng.normal(size=(2, 3, 6, 8)), rng.normal(size=(2, 3, 3, 4))
error = relative_error(maxpool_gradient(G, x), numeric_gradient(maxpool, x, G))
check("max-pool: the gradient is right", error < 1e-8, f"error {error:.0e}")
y, winner = ops.maxpool_forward(x, (2, 2), (2, 2))
check(
    "max-pool: our lines are the library's",
    np.array_equal(maxpool(x), y)
    and np.array_equal(maxpool_gradient(G, x), ops.maxpool_backward(G, winner, x.shape, (2, 2), (2, 2))),
)

flat = np.zeros((1, 1, 4, 4))  # nothing but ties
G_flat = rng.normal(size=(1, 1, 2, 2))
passed_on = maxpool_gradient(G_flat, flat).sum()
to_all_equal = np.repeat(np.repeat(G_flat, 2, axis=2), 2, axis=3).sum()
check("where all entries tie, the gradient is passed on once", np.isclose(passed_on, G_flat.sum()))
check("sending it to every equal entry counts it four times", np.isclose(to_all_equal, 4 * G_flat.sum()))

# %%
digit = load_dataset("digits").one_class(3).train[:1].astype(float)
small = maxpool(digit)
G_digit = np.ones_like(small)

# %%
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.7))
for ax, image, title in zip(
    axes,
    (digit, small, maxpool_gradient(G_digit, digit)),
    ("image", "after max-pooling", "where a gradient of ones goes"),
):
    ax.imshow(image[0, 0])
    ax.set_title(title)
    ax.set_axis_off()
figure("maxpool")

# %% [markdown]
# ## Batch norm
#
# Batch norm looks at one channel at a time. Let $x_1, \dots, x_m$ be all its values in the batch, over all images and,
# for images, all positions: $m = NHW$. It subtracts their mean and divides by their standard deviation:
#
# $$ \mu = \frac{1}{m} \sum_{j=1}^m x_j, \qquad v = \frac{1}{m} \sum_{j=1}^m (x_j - \mu)^2, \qquad
# r = \frac{1}{\sqrt{v + \epsilon}}, \qquad \hat x_i = (x_i - \mu)\, r . $$
#
# The small $\epsilon$ (here $10^{-4}$) guards against a division by 0. Let $g_i = \partial L / \partial \hat x_i$ be
# the incoming gradient. An input $x_i$ reaches the loss in three ways: directly through its own $\hat x_i$, and through
# $\mu$ and $v$, which all $\hat x_j$ share. We follow them in turn.
#
# **Through $v$.** Every $\hat x_j = (x_j - \mu)(v + \epsilon)^{-1/2}$ depends on $v$, with $\partial \hat x_j /
# \partial v = -\tfrac12 (x_j - \mu)\, r^3$. Since $x_j - \mu = \hat x_j / r$,
#
# $$ \frac{\partial L}{\partial v} = -\frac{r^2}{2} \sum_{j} g_j\, \hat x_j . $$
#
# And how does $v$ depend on $x_i$? Directly, by $2 (x_i - \mu)/m$; and through $\mu$, by $-\tfrac{2}{m} \sum_j (x_j -
# \mu)$ times $1/m$, which is zero, for deviations from the mean sum to zero. So this way contributes
#
# $$ \frac{\partial L}{\partial v} \cdot \frac{2 (x_i - \mu)}{m}
# = -\frac{r^2}{2} \sum_j g_j \hat x_j \cdot \frac{2\, \hat x_i}{m\, r}
# = -\, r\, \hat x_i \cdot \frac{1}{m} \sum_j g_j \hat x_j . $$
#
# **Through $\mu$** (with $v$ held fixed, since we have counted that). Every $\hat x_j$ contains $-\mu\, r$, and
# $\partial \mu / \partial x_i = 1/m$:
#
# $$ \Big(-r \sum_j g_j\Big) \cdot \frac{1}{m} = -\, r \cdot \frac{1}{m} \sum_j g_j . $$
#
# **Directly.** $\partial \hat x_i / \partial x_i = r$ with $\mu$ and $v$ fixed: $\; r\, g_i$.
#
# The sum of the three, with a bar for the mean over the $m$ values of the channel:
#
# $$ \frac{\partial L}{\partial x_i} = r\, \big(\, g_i - \overline{g} - \hat x_i\, \overline{g\, \hat x}\, \big) . $$
#
# The library has it as `batchnorm_backward`, in the same few lines, for images and for features alike (`per_channel`
# gives a number per channel the shape in which it meets an array):


# %%
def per_channel_mean(x):
    return x.mean(axis=(0, 2, 3), keepdims=True)


def batchnorm(x, eps=1e-4):
    centered = x - per_channel_mean(x)
    r = 1 / np.sqrt(per_channel_mean(centered**2) + eps)
    return centered * r, r


def batchnorm_gradient(g, x_hat, r):
    return r * (g - per_channel_mean(g) - x_hat * per_channel_mean(g * x_hat))


x = 2 + 3 * rng.normal(size=(4, 3, 5, 4))
g = rng.normal(size=x.shape)
x_hat, r = batchnorm(x)
grad = batchnorm_gradient(g, x_hat, r)
error = relative_error(grad, numeric_gradient(lambda v: batchnorm(v)[0], x, g))
check("batch norm: the gradient is right", error < 1e-8, f"error {error:.0e}")

show(ops.batch_statistics, ops.batchnorm_forward, ops.batchnorm_backward)
theirs, scale, mean, variance = ops.batchnorm_forward_batch(x, 1e-4)
check(
    "batch norm: our lines are the library's, to the last bit",
    np.array_equal(x_hat, theirs) and np.array_equal(grad, ops.batchnorm_backward(g, theirs, scale)),
)

# %% [markdown]
# ### What the formula says
#
# Think of one channel as a vector of $m$ numbers. If all of them are raised by the same amount, $\hat x$ stays as it
# is; if all deviations from the mean are scaled, it stays too (but for $\epsilon$). So there are two directions in
# $\mathbb{R}^m$ in which $L$ cannot change: the constant vector and $\hat x$ itself. A gradient has no
# part along directions in which nothing changes. And that is what the formula does: it takes $g$, removes its part
# along the constant vector (that is $\overline g$) and its part along $\hat x$, and scales what is left by $r$. Both
# are perpendicular, and have length $\sqrt m$, so each removal is an ordinary projection.

# %%
along_ones = np.abs(grad.sum(axis=(0, 2, 3))).max()
along_x_hat = np.abs((grad * x_hat).sum(axis=(0, 2, 3))).max()
size = np.linalg.norm(grad)
check("the gradient is perpendicular to the constant vector", along_ones < 1e-12 * size, f"{along_ones:.0e}")
check("and to x_hat, up to epsilon", along_x_hat < 1e-3 * size, f"{along_x_hat:.0e} of {size:.2f}")
moved = batchnorm(5 * x - 7)[0]
check("shift and scale of the input do not matter", np.allclose(moved, x_hat, atol=1e-4))

# %% [markdown]
# Two consequences. A bias in the convolution just before batch norm would be subtracted at once: it has no effect and
# no gradient (exercise 2). And the *size* of that convolution's weights has no effect either: only their direction
# counts. Weight decay shrinks them nevertheless. Then $r$ grows, and so does the gradient: it changes the effective
# learning rate and not the function.
#
# ### In evaluation
#
# A single image to be scored has no batch. So during training the layer keeps running averages of $\mu$ and $v$,
#
# $$ \mu_{\text{run}} \leftarrow (1 - \rho)\, \mu_{\text{run}} + \rho\, \mu, \qquad
# v_{\text{run}} \leftarrow (1 - \rho)\, v_{\text{run}} + \rho\, \tfrac{m}{m-1}\, v, $$
#
# with a momentum $\rho = 0.1$ (and the unbiased variance, by custom), and uses those in evaluation. They are constants
# then: of the three ways only the direct one is left, and the gradient is $r g$. A layer that confuses the two modes
# still trains, and is wrong in a way that no training curve shows; `check_gradients` checks both.

# %%
layer = nn.BatchNorm()
layer.build((3, 5, 4), rng)
layer.astype(np.float64)
for _ in range(choose(100, 200)):
    layer.forward(2 + 3 * rng.normal(size=(16, 3, 5, 4)), training=True)
running = layer.buffers["running_mean"], layer.buffers["running_var"]
check(
    "running mean and variance approach 2 and 9",
    np.allclose(running[0], 2, atol=0.3) and np.allclose(running[1], 9, atol=1.5),
)
check("the checker agrees in both modes", check_gradients(layer, x).passed)

# %% [markdown]
# ### What affine parameters would do
#
# Batch norm as it is usually sold has two trainable numbers per channel in addition, a scale $\gamma$ and a shift
# $\beta$:
#
# $$ y_i = \gamma\, \hat x_i + \beta, \qquad \frac{\partial L}{\partial \gamma} = \sum_i G_i\, \hat x_i, \qquad
# \frac{\partial L}{\partial \beta} = \sum_i G_i, \qquad \frac{\partial L}{\partial \hat x_i} = \gamma\, G_i . $$
#
# These are the gradients of a linear layer with bias, one channel at a time. Look at them with one-class learning in
# mind: $\beta$ *is* a bias. With $\gamma = 0$ the layer puts out $\beta$ for every input, and everything behind it is
# constant. All that lecture 3 said of biases applies: Deep SVDD's loss then has a perfect and useless minimum. The
# gradients even lead there. For the loss $\frac1m \sum (y_i - c)^2$ of a single channel, $\hat x$ has mean 0 and
# variance 1, and
#
# $$ \frac{1}{m} \sum_i (\gamma \hat x_i + \beta - c)^2 = \gamma^2 + (\beta - c)^2 , $$
#
# a bowl with its only minimum at $\gamma = 0$, $\beta = c$. Without affine parameters $\gamma$ is nailed to 1, and the
# collapse cannot happen in this way. So the library's `BatchNorm` has `affine=False` as its default.

# %%
gamma, beta, center = 1.0, 0.0, 0.8
channel = (x_hat[:, :1] - x_hat[:, :1].mean()) / x_hat[:, :1].std()
path = [(gamma, beta)]
for _ in range(60):
    y = gamma * channel + beta
    G = 2 * (y - center) / y.size
    _, grad_gamma, grad_beta = ops.affine_backward(G, channel, np.array([gamma]))
    gamma, beta = gamma - 0.05 * grad_gamma[0], beta - 0.05 * grad_beta[0]
    path.append((gamma, beta))
spread = np.std(gamma * channel + beta)
check("gradient descent finds the constant map", spread < 0.01, f"spread of the outputs {spread:.4f}, at first 1")

path = np.array(path)

# %%
fig, axes = plt.subplots(figsize=(6.4, 3.6))
grid_beta, grid_gamma = np.meshgrid(np.linspace(-0.4, 1.6, 80), np.linspace(-0.5, 1.2, 80))
levels = axes.contour(grid_beta, grid_gamma, grid_gamma**2 + (grid_beta - center) ** 2, 12, colors=GRAY, linewidths=0.7)
axes.plot(path[:, 1], path[:, 0], color=RED, marker=".", markersize=4)
axes.annotate("start: $\\gamma = 1$, $\\beta = 0$", path[0, ::-1], (0.05, 1.05), color=RED)
axes.annotate("collapse: $\\gamma = 0$, $\\beta = c$", (center, 0), (0.86, -0.13), color=BLUE)
axes.set(xlabel="shift $\\beta$", ylabel="scale $\\gamma$", title="affine batch norm under the one-class loss")
figure("affine_collapse")

# %% [markdown]
# ## Up-sampling
#
# A decoder has to undo the pooling. Nearest-neighbour up-sampling turns each pixel into a block of $s \times s$ copies:
#
# $$ y_{n,c,i,j} = x_{n,c,\,\lfloor i/s \rfloor,\, \lfloor j/s \rfloor}, \qquad
# \frac{\partial L}{\partial x_{n,c,u,v}} = \sum_{a=0}^{s-1} \sum_{b=0}^{s-1} G_{n,c,\,su+a,\,sv+b} . $$
#
# In which outputs does $x_{u,v}$ occur? In the $s^2$ of its block, each with the factor 1: the backward sums over the
# block. Copying forward means summing backward; one is the transposed matrix of the other.


# %%
def upsample(x, s=2):
    return x.repeat(s, axis=2).repeat(s, axis=3)


def upsample_gradient(G, s=2):
    return split_windows(G, s).sum(axis=-1)


x, G = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 3, 8, 10))
error = relative_error(upsample_gradient(G), numeric_gradient(upsample, x, G))
check("up-sampling: the gradient is right", error < 1e-8, f"error {error:.0e}")
check("and dual to the forward", np.isclose(np.sum(upsample(x) * G), np.sum(x * upsample_gradient(G)), rtol=1e-12))
check(
    "up-sampling: our lines are the library's",
    np.array_equal(upsample(x), ops.upsample_forward(x, (2, 2)))
    and np.allclose(upsample_gradient(G), ops.upsample_backward(G, (2, 2)), rtol=1e-13),
)

# %% [markdown]
# ## Sigmoid
#
# The decoder's output are pixels between 0 and 1, made by
#
# $$ y = \sigma(x) = \frac{1}{1 + e^{-x}}, \qquad
# \sigma'(x) = \frac{e^{-x}}{(1 + e^{-x})^2} = \frac{1}{1 + e^{-x}} \cdot \frac{e^{-x}}{1 + e^{-x}} = y\, (1 - y) , $$
#
# so $\partial L / \partial x = G\, y (1 - y)$: the layer keeps its output and needs no exponential on the way back. Two
# remarks. Written as above, $e^{-x}$ overflows for $x = -1000$; with $\sigma(x) = \tfrac12 (1 + \tanh \tfrac x2)$, the
# same function, nothing overflows. And $y(1-y)$ is at most $\tfrac14$, and next to 0 for large $|x|$: a saturated
# sigmoid passes no gradient on. This is why it is not used inside our networks, and in one-class networks there is the
# other reason: driven far out it is a constant 1, a bias from nothing (Proposition 3; lecture 7 makes it happen).


# %%
def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


x, G = 3 * rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
y = sigmoid(x)
error = relative_error(G * y * (1 - y), numeric_gradient(sigmoid, x, G))
check("sigmoid: the gradient is right", error < 1e-8, f"error {error:.0e}")
check(
    "sigmoid: our lines are the library's",
    np.allclose(y, ops.sigmoid_forward(x), rtol=1e-14)
    and np.allclose(G * y * (1 - y), ops.sigmoid_backward(G, y), rtol=1e-14),
)
with np.errstate(all="raise"):
    ends = sigmoid(np.array([-1000.0, 1000.0]))
check("nothing overflows far out", np.array_equal(ends, [0, 1]))

line = np.linspace(-6, 6, 241)

# %%
fig, axes = plt.subplots(1, 2, figsize=(7.6, 2.9))
axes[0].plot(line, leaky_relu(line), label="leaky ReLU")
axes[0].plot(line, leaky_relu_gradient(1, line), label="its derivative", linestyle="--", color=BLUE, alpha=0.6)
axes[1].plot(line, sigmoid(line), color=RED, label="sigmoid")
axes[1].plot(line, sigmoid(line) * (1 - sigmoid(line)), color=RED, linestyle="--", alpha=0.6, label="its derivative")
for ax in axes:
    ax.legend()
    ax.set_xlabel("$x$")
figure("activations")

# %% [markdown]
# ## A module by hand
#
# The encoders of the paper repeat one module: convolution, batch norm, leaky ReLU, max-pooling. Its backward is the
# four backwards in reverse order, each fed with what the one after it returns. Nothing else is in `Sequential`. (All
# backends but "plain" compute the four at once, with fewer sweeps over the memory: lecture 14.)


# %%
def convolve(x, w):
    """The "same" convolution of lecture 3, as one einsum over windows."""
    p = w.shape[2] // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], axis=(2, 3))
    return np.einsum("ncijab,kcab->nkij", windows, w), windows


def module(x, w):
    a, windows = convolve(x, w)
    x_hat, r = batchnorm(a)
    h = leaky_relu(x_hat)
    return maxpool(h), (windows, x_hat, r, h)


def module_gradients(G, w, kept):
    windows, x_hat, r, h = kept
    grad_h = maxpool_gradient(G, h)
    grad_x_hat = leaky_relu_gradient(grad_h, x_hat)
    grad_a = batchnorm_gradient(grad_x_hat, x_hat, r)
    grad_w = np.einsum("nkij,ncijab->kcab", grad_a, windows)
    grad_x = convolve(grad_a, w.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])[0]
    return grad_x, grad_w


x, w = rng.normal(size=(4, 2, 8, 8)), rng.normal(size=(3, 2, 5, 5))
y, kept = module(x, w)
G = rng.normal(size=y.shape)
grad_x, grad_w = module_gradients(G, w, kept)

network = nn.Sequential([nn.Conv2D(3, 5, padding="same"), nn.BatchNorm(), nn.LeakyReLU(0.1), nn.MaxPool2D(2)])
for backend in ("plain", "numpy"):
    network.build((2, 8, 8), rng, dtype=np.float64, backend=backend)
    network.params["0.weight"][...] = w
    theirs, their_grad_x, their_grad_w = (
        network.forward(x, training=True),
        network.backward(G),
        network.grads["0.weight"],
    )
    check(
        f"output and both gradients are those of the library, backend {backend}",
        np.allclose(y, theirs, rtol=1e-9)
        and np.allclose(grad_x, their_grad_x, rtol=1e-8, atol=1e-10)
        and np.allclose(grad_w, their_grad_w, rtol=1e-8, atol=1e-10),
    )

for layer, shape in (
    (nn.LeakyReLU(0.1), (3,)),
    (nn.MaxPool2D(2), (2, 6, 6)),
    (nn.Upsample(2), (2, 3, 3)),
    (nn.Sigmoid(), (3,)),
):
    layer.build(shape, rng)
    report = check_gradients(layer, rng.normal(size=(4, *shape)))
    check(f"the checker accepts the library's {type(layer).__name__}", report.passed)

# %% [markdown]
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★★ Average pooling replaces the maximum by the mean of the window. Derive its backward, and compare it with that of
#    up-sampling.
# 2. ★★ Show by the formula for $\partial L / \partial x$ that a bias in front of batch norm has no gradient. Verify it
#    with a layer `Conv2D(..., bias=True)` followed by `BatchNorm()`.
# 3. ★★ The quick reading of a module (`norm_act_pool_forward`) pools *before* the leaky ReLU, although the network says
#    the reverse. Why may it, and what does it gain? For which activation functions would it be wrong?
# 4. ★ **By hand.** Max-pool, in windows of $2 \times 2$, the image with the rows $(1, 5, 2, 2)$, $(3, 4, 2, 0)$, $(0,
#    1, 7, 8)$ and $(1, 0, 9, 6)$. Where do the entries of $G$, with rows $(1, 2)$ and $(3, 4)$, go?
# 5. ★ **By hand.** Normalise the batch $(1, 3, 5, 7)$ of a single feature with $\epsilon = 0$. What is $\partial
#    L/\partial x$ for $g = (1, 0, 0, 0)$? Why must its four numbers sum to 0?
#
# Solutions: `lectures/solutions/04_layers.py`.
#
# **Assignments:** `minisvdd assignment warm-up` (its leaky ReLU, half an hour), `minisvdd assignment maxpool` (1 to 2
# hours) and `minisvdd assignment batchnorm` (2 to 3 hours).

# %%
finish()
