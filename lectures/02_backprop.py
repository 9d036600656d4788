# %% [markdown]
# # 2. Backpropagation by hand
#
# A network is a chain of simple maps, and to train it means to know how its loss answers to a small change of every
# single weight. Backpropagation computes all these answers in one sweep from the loss back to the input. We derive the
# sweep, write it for the linear layer, and learn how to convince ourselves that a gradient is right.
#
# **Before you start:** partial derivatives, the chain rule, matrix products; NumPy. A first reading takes about 40
# minutes. **Letters** (`docs/notation.md` has all of them): here $n$ counts the $N$ samples of a batch and $d$ the $D$
# inputs, $\sigma_d$ is a standard deviation, and $J_l$ a Jacobian.
#
# *Needs: no data. Minutes: 0.1 quick, 0.1 full.*

# %%
import matplotlib.pyplot as plt
import numpy as np

from minisvdd import check_gradients, nn, ops
from minisvdd.lecture import BLUE, GRAY, GREEN, RED, check, choose, figure, finish, show

rng = np.random.default_rng(2)

# %% [markdown]
# ## The linear layer
#
# A batch of $N$ samples with $D$ features each is a matrix $x$ with one sample per row. A linear layer with $K$ outputs
# has one row of weights per output, $W \in \mathbb{R}^{K \times D}$, and computes
#
# $$ y_{nk} = \sum_{d=1}^{D} W_{kd}\, x_{nd}, \qquad\text{or}\qquad y = x W^\top . $$
#
# Here $n$ counts samples, $d$ inputs and $k$ outputs; we keep these letters throughout. Somewhere behind this layer a
# number comes out, the loss $L$. Let
#
# $$ G_{nk} = \frac{\partial L}{\partial y_{nk}} $$
#
# be what the rest of the network says about our output; the code calls it `grad_output`. Nothing else of the rest needs
# to be known. Two questions are left: how does $L$ depend on our weights, and how on our input, which is the output of
# the layer before?
#
# **The weights.** The weight $W_{kd}$ occurs in $y_{nk}$ for every sample $n$, each time with the factor $x_{nd}$, and
# in no other output. The chain rule adds up all the ways by which it reaches the loss:
#
# $$ \frac{\partial L}{\partial W_{kd}}
# = \sum_{n} \frac{\partial L}{\partial y_{nk}}\, \frac{\partial y_{nk}}{\partial W_{kd}}
# = \sum_{n} G_{nk}\, x_{nd},
# \qquad\text{or}\qquad \frac{\partial L}{\partial W} = G^\top x . $$
#
# **The input.** The number $x_{nd}$ occurs in the outputs of its own sample only, but in all $K$ of them:
#
# $$ \frac{\partial L}{\partial x_{nd}} = \sum_{k} \frac{\partial L}{\partial y_{nk}}\, \frac{\partial y_{nk}}{\partial
# x_{nd}} = \sum_{k} G_{nk}\, W_{kd},
# \qquad\text{or}\qquad \frac{\partial L}{\partial x} = G\, W . $$
#
# Note what is summed: the letter that the result does not have. That is the whole of "matrix calculus": write the
# forward with indices, ask in which outputs a number occurs and with which factor, and sum over the letters that are
# left. Shapes then check themselves: $G^\top x$ is $(K \times N)(N \times D)$, shaped like $W$. The last line of each
# derivation is the code:


# %%
def forward(x, weight):
    return x @ weight.T


def backward_weight(grad_output, x):
    return grad_output.T @ x


def backward_input(grad_output, weight):
    return grad_output @ weight


# %% [markdown]
# The library's functions are `linear_forward`, `linear_backward_weight` and `linear_backward_input`. Their lines stand
# in `minisvdd/ops/linear.py`, each under its formula:

# %%
show(ops.linear_forward, ops.linear_backward_weight, ops.linear_backward_input)

x, weight, G = rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), rng.normal(size=(5, 3))
check(
    "our three lines are the library's linear layer, to the last bit",
    np.array_equal(forward(x, weight), ops.linear_forward(x, weight))
    and np.array_equal(backward_weight(G, x), ops.linear_backward_weight(G, x))
    and np.array_equal(backward_input(G, weight), ops.linear_backward_input(G, weight)),
)

# %% [markdown]
# ## A chain of layers
#
# Let a network be $f = f_3 \circ f_2 \circ f_1$, each $f_l$ with the Jacobian $J_l$, the matrix of all derivatives of
# its outputs by its inputs. The Jacobian of $f$ is the product $J_3 J_2 J_1$, and the gradient of a loss on top is a
# row vector $g$ times that product. Matrix products may be bracketed at will, but not at the same price:
#
# $$ \underbrace{\big((g\, J_3)\, J_2\big)\, J_1}_{\text{row times matrix, three times}}
# \qquad\text{against}\qquad
# \underbrace{g\, \big(J_3\, (J_2\, J_1)\big)}_{\text{matrix times matrix}} . $$
#
# From the left, only a row is carried along. That is backpropagation: each layer takes $G$, the row that belongs to its
# output, and returns $G J$, the row that belongs to its input. It never writes down $J$. For our linear layer $J$ would
# have $NK \cdot ND$ entries, almost all of them zero; $G\,W$ is the same product without the zeros. Let us see it
# once:

# %%
N, D, K = 5, 4, 3
jacobian = np.zeros((N, K, N, D))  # dy[n, k] / dx[m, d] = W[k, d] if n = m, else 0
for n in range(N):
    jacobian[n, :, n, :] = weight

with_jacobian = np.einsum("nk,nkmd->md", G, jacobian)
zeros = np.mean(jacobian == 0)
check("G times the full Jacobian is G W", np.allclose(with_jacobian, backward_input(G, weight)), f"{zeros:.0%} zeros")

# %% [markdown]
# Two linear layers with a curved function between them, $y = \tanh(x W_1^\top)\, W_2^\top$, and the loss
# $L = \frac{1}{2N} \sum_{nk} (y_{nk} - t_{nk})^2$ make a complete network. Its backward sweep reads the forward lines
# in reverse order. Only $\tanh' = 1 - \tanh^2$ is new: an elementwise function has a diagonal Jacobian, so that its
# $G J$ is an elementwise product.


# %%
def loss_and_gradients(x, target, W1, W2):
    a = forward(x, W1)
    h = np.tanh(a)
    y = forward(h, W2)
    loss = np.sum((y - target) ** 2) / (2 * len(x))

    grad_y = (y - target) / len(x)  # dL/dy
    grad_W2 = backward_weight(grad_y, h)
    grad_h = backward_input(grad_y, W2)
    grad_a = grad_h * (1 - h * h)
    grad_W1 = backward_weight(grad_a, x)
    return loss, grad_W1, grad_W2


# %% [markdown]
# Is it right? One way to find out is to let it learn something. The network gets $x = (1, u)$, with a constant feature
# so that the hidden units can have a threshold, and shall draw one period of a sine.

# %%
u = np.linspace(-1, 1, 41)[:, None]
inputs, target = np.hstack([np.ones_like(u), u]), np.sin(np.pi * u)
W1, W2 = rng.normal(size=(12, 2)), rng.normal(size=(1, 12)) / 4
losses = []
for _ in range(choose(3000, 10000)):
    loss, grad_W1, grad_W2 = loss_and_gradients(inputs, target, W1, W2)
    losses.append(loss)
    W1, W2 = W1 - 0.3 * grad_W1, W2 - 0.3 * grad_W2

check(
    "the network learns the sine", losses[-1] < losses[0] / 100, f"loss {losses[0]:.3f} at first, {losses[-1]:.1e} last"
)

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.9))
left.loglog(np.arange(1, len(losses) + 1), losses)
left.set(xlabel="step", ylabel="loss $L$", title="gradient descent")
right.plot(u, target, color=GRAY, linewidth=5, alpha=0.4, label="target")
right.plot(u, forward(np.tanh(forward(inputs, W1)), W2), color=RED, label="network")
right.set(xlabel="$u$", title="what it learned")
right.legend()
figure("sine")

# %% [markdown]
# But a loss that falls is no proof. Networks learn with wrong gradients too, only worse, and nobody notices: a gradient
# that is off by a factor, or lacks a small term, still points downhill most of the time. We need a real test.
#
# ## Finite differences
#
# The test compares the derivative that we derived with one that we measure. Move one number $v$ by $h$ and look at
# what $L$ does. By Taylor's formula,
#
# $$ \begin{aligned}
# \frac{L(v+h) - L(v)}{h} &= L'(v) + \frac{h}{2} L''(v) + \cdots, \\
# \frac{L(v+h) - L(v-h)}{2h} &= L'(v) + \frac{h^2}{6} L'''(v) + \cdots .
# \end{aligned} $$
#
# In the second one, the *central* difference, the terms with $L''$ cancel; its error falls with $h^2$ rather than $h$.
# So why not take $h$ tiny? Because floating-point numbers carry a relative error of $\varepsilon \approx 2 \cdot
# 10^{-16}$. The two values of $L$ agree in most of their digits, the difference wipes those out, and what remains is
# divided by $h$:
#
# $$ \text{error}(h) \approx \underbrace{\frac{h^2}{6}\, |L'''|}_{\text{truncation}} + \underbrace{\frac{\varepsilon\,
# |L|}{h}}_{\text{rounding}} . $$
#
# One term falls with $h$, the other grows. The sum is smallest where its derivative by $h$ vanishes, at $h^3 = 3
# \varepsilon |L| / |L'''|$. If $L$ and $L'''$ are of the order 1, the step to take is $h \approx \varepsilon^{1/3}
# \approx 6 \cdot 10^{-6}$, and what can be hoped for is an error of about $\varepsilon^{2/3} \approx 4 \cdot 10^{-11}$.
# (The same reckoning for the one-sided difference gives $h \approx \varepsilon^{1/2}$ and an error of only
# $\varepsilon^{1/2} \approx 10^{-8}$.) The value $10^{-6}$ that one often sees is a good one, $10^{-10}$ is a bad one.
#
# ### The complex step
#
# If $L$ is analytic, we may step in the imaginary direction:
#
# $$ L(v + ih) = L(v) + ih\, L'(v) - \frac{h^2}{2} L''(v) - \cdots
# \qquad\Longrightarrow\qquad L'(v) = \frac{\operatorname{Im} L(v + ih)}{h} + O(h^2) . $$
#
# Nothing is subtracted, so nothing is wiped out, and $h$ may be $10^{-30}$: the derivative is then exact to rounding.
# NumPy computes with complex numbers by itself; the code of $L$ stays as it is. The price: $L$ must consist of analytic
# functions. A maximum, an absolute value or a comparison is none.


# %%
def L(v):
    """The loss of a tanh network as a function of one of its weights."""
    W = np.array([[0.7, -0.4], [v, 0.9]])
    x = np.array([[0.5, -1.2], [0.8, 0.3], [-1.5, 0.4]])
    return np.sum(np.tanh(x @ W.T) ** 2) / 2


v = 0.3
x3 = np.array([[0.5, -1.2], [0.8, 0.3], [-1.5, 0.4]])
hidden = np.tanh(x3 @ np.array([v, 0.9]))
exact = np.sum(hidden * (1 - hidden**2) * x3[:, 0])

steps = np.logspace(-20, -0.5, 118)
one_sided = np.array([abs((L(v + h) - L(v)) / h - exact) for h in steps])
central = np.array([abs((L(v + h) - L(v - h)) / (2 * h) - exact) for h in steps])
complex_step = np.array([abs(L(v + 1j * h).imag / h - exact) for h in steps])

# %%
fig, axes = plt.subplots(figsize=(7.2, 4))
axes.loglog(steps, one_sided + 1e-18, color=GRAY, label="one-sided difference")
axes.loglog(steps, central + 1e-18, color=BLUE, label="central difference")
axes.loglog(steps, complex_step + 1e-18, color=GREEN, label="complex step")
eps = np.finfo(float).eps
axes.axvline(eps ** (1 / 3), color=BLUE, linestyle=":", linewidth=1)
axes.axvline(eps ** (1 / 2), color=GRAY, linestyle=":", linewidth=1)
axes.text(eps ** (1 / 3) * 1.3, 1e-17, r"$\varepsilon^{1/3}$", color=BLUE)
axes.text(eps ** (1 / 2) * 1.3, 1e-17, r"$\varepsilon^{1/2}$", color=GRAY)
axes.set(
    xlabel="step $h$",
    ylabel="error of the derivative",
    ylim=(3e-19, 10),
    title="too large a step, and too small a one",
)
axes.legend(loc="upper left", bbox_to_anchor=(0.0, 0.86))
figure("error_against_h")

# %% [markdown]
# Read the curves from the right: the error falls with slope 1 or 2 on these logarithmic axes, as Taylor says, until
# rounding takes over and it grows with slope $-1$. Below $h \approx 10^{-16}$ the step is lost in $v$ itself, both
# values of $L$ are equal, and the "derivative" is 0. The complex step falls like the central one, and then stays.


# %%
def slope_of(error, low, high):
    part = (steps > low) & (steps < high)
    return np.polyfit(np.log(steps[part]), np.log(error[part]), 1)[0]


best = steps[central.argmin()]
slopes = slope_of(one_sided, 1e-6, 1e-1), slope_of(central, 1e-3, 1e-1), slope_of(central, 1e-14, 1e-7)
check("truncation falls with h for one-sided differences", abs(slopes[0] - 1) < 0.1, f"slope {slopes[0]:.2f}")
check("and with h squared for central ones", abs(slopes[1] - 2) < 0.1, f"slope {slopes[1]:.2f}")
check("rounding grows as 1/h", abs(slopes[2] + 1) < 0.2, f"slope {slopes[2]:.2f}")
check("the best central step is near eps^(1/3)", 1e-7 < best < 1e-3, f"h = {best:.0e}, error {central.min():.0e}")
check("the complex step is exact to rounding", complex_step[0] < 1e-15, f"error {complex_step[0]:.0e} at h = 1e-20")

# %% [markdown]
# ## Checking a layer
#
# A layer has many outputs, and a check needs one number. We take the number that the layer really meets: with a fixed
# `grad_output` $G$, the loss $L = \sum G_{nk}\, y_{nk}$ has $\partial L / \partial y = G$, whatever the layer is. So we
# draw $G$, let `backward` say what it thinks of $\partial L / \partial x$, and compare with differences of $\langle G,
# y \rangle$.


# %%
def largest_error(forward, gradient, x, G, h=6e-6):
    """Largest |analytic - numeric|, over the largest analytic or numeric entry (1 where all are zero)."""
    numeric = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[index] = h
        numeric[index] = np.sum(G * (forward(x + step) - forward(x - step))) / (2 * h)
    size = max(np.abs(gradient).max(), np.abs(numeric).max())
    return np.abs(gradient - numeric).max() / (size if size > 1e-8 else 1)


by_input = largest_error(lambda x: forward(x, weight), backward_input(G, weight), x, G)
by_weight = largest_error(lambda w: forward(x, w), backward_weight(G, x), weight, G)
check(
    "both gradients of the linear layer are right", max(by_input, by_weight) < 1e-9, f"{by_input:.0e}, {by_weight:.0e}"
)

wrong = largest_error(lambda w: forward(x, w), backward_weight(G, x) / len(x), weight, G)
check("a forgotten factor N is found", wrong > 0.1, f"error {wrong:.1f}")

# %% [markdown]
# ## Why not ones?
#
# It is tempting to take $G = 1$ everywhere, that is, to check the gradient of the *sum* of the outputs. Many published
# gradient checks do. Here is what they miss.
#
# Batch norm (lecture 4) subtracts from each feature its mean over the batch and divides by its standard deviation. The
# sum of what comes out is zero, whatever went in:
#
# $$ \hat x_{nd} = \frac{x_{nd} - \mu_d}{\sigma_d}, \qquad \sum_{n} \hat x_{nd} = 0
# \qquad\Longrightarrow\qquad \frac{\partial}{\partial x_{md}} \sum_{nd} \hat x_{nd} = 0 . $$
#
# With $G = 1$ the correct gradient is zero. So a backward that always returns zeros passes, and so does one that lost
# a term which happens to vanish for $G = 1$. Both would be useless in a network:


# %%
def normalize(x):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-4)


def backward_right(G, x):
    x_hat, scale = normalize(x), 1 / np.sqrt(x.var(axis=0) + 1e-4)
    return scale * (G - G.mean(axis=0) - x_hat * (G * x_hat).mean(axis=0))


def backward_zeros(G, x):
    return np.zeros_like(x)


def backward_lost_term(G, x):
    scale = 1 / np.sqrt(x.var(axis=0) + 1e-4)
    return scale * (G - G.mean(axis=0))


x = rng.normal(size=(8, 3))
ones, random = np.ones_like(x), rng.normal(size=x.shape)
candidates = {"right": backward_right, "always zero": backward_zeros, "lost term": backward_lost_term}
errors = {
    name: [largest_error(normalize, backward(G, x), x, G) for G in (ones, random)]
    for name, backward in candidates.items()
}
print("backward       error with ones    with random G")
for name, (with_ones, with_random) in errors.items():
    print(f"{name:12}   {with_ones:15.0e}    {with_random:13.0e}")

check("with ones, all three pass", all(e[0] < 1e-8 for e in errors.values()), "and two of them are wrong")
check("with a random G, the right one passes", errors["right"][1] < 1e-8)
check("with a random G, both wrong ones fail", min(errors["always zero"][1], errors["lost term"][1]) > 0.01)

# %% [markdown]
# Ones are a special direction, and layers love special directions: they are built to ignore some of them. A random $G$
# has a part along every direction. The rule: **never check a gradient with a structured $G$.**
#
# ## The library's checker
#
# `check_gradients` does all this for any object with `forward` and `backward`: random `grad_output`, central
# differences at $h = \varepsilon^{1/3}$ in double precision, the complex step where the layer is analytic, steps that
# cross a kink recognised, and the same again after some steps of training. When the numbers disagree it tries known
# mistakes and says which one fits. We give it a linear layer whose weight gradient has the outputs in the wrong order:


# %%
class Reversed(nn.Linear):
    """A linear layer that hands its weight gradient out with the outputs in the wrong order."""

    def backward(self, grad_output, need_input=True, need_params=True):
        grad_input = super().backward(grad_output, need_input, need_params)
        if need_params:
            self.grads["weight"] = self.grads["weight"][::-1]
        return grad_input


def built(layer, shape):
    layer.build(shape, np.random.default_rng(0))
    return layer


sample = rng.normal(size=(6, 4))
report = check_gradients(built(Reversed(3), (4,)), sample)
print(report)
check("the checker refuses the wrong layer", not report.passed)
check("and accepts the library's", check_gradients(built(nn.Linear(3), (4,)), sample).passed)
check("batch norm too, in training and in evaluation", check_gradients(built(nn.BatchNorm(), (4,)), sample).passed)

# %% [markdown]
# ## What to take along
#
# - Ask in which outputs a number occurs, and with which factor; sum over the letters that are left.
# - Each layer turns $G$ for its output into $G$ for its input, and never writes down a Jacobian.
# - Central differences with $h \approx \varepsilon^{1/3}$, in double precision, with a random $G$.
#
# With these three, every layer of the next two lectures is a short piece of work.
#
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★ Add a bias, $y_{nk} = \sum_d W_{kd}\, x_{nd} + b_k$. What is $\partial L / \partial b_k$? Write it and check it.
# 2. ★★ Find a wrong `backward_weight` for the linear layer that passes with $G = 1$ and fails with a random $G$.
# 3. ★★★ The complex step of `np.abs` gives the derivative 0 at $v = 0.3$. Why? Write an absolute value for which it
#    works everywhere but at 0, and do the same for the leaky ReLU, $\max(v, 0.1\, v)$. Hint: choose the branch by the
#    real part of $v$.
# 4. ★ **Shapes.** $x$ is $(N \times D)$, $W$ is $(K \times D)$, $G$ is $(N \times K)$, and all three numbers differ.
#    Which products of two of these arrays, transposed or not, exist at all? Which of them has the shape of $W$, and
#    which that of $x$?
# 5. ★ **The first gradient.** For $L = \frac{1}{2N}\sum_{nk}(y_{nk} - t_{nk})^2$ derive $\partial L/\partial y_{nk}$,
#    and check it by differences. What changes if $L$ is divided by the number of entries $NK$ instead?
#
# Solutions: `lectures/solutions/02_backprop.py`.
#
# **Assignments:** `minisvdd assignment warm-up` (its linear layer, 1 hour), then `minisvdd assignment gradcheck` (3
# hours: write the checker of this lecture, and find out which of eight layers are wrong).

# %%
finish()
