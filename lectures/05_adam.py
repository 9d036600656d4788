# %% [markdown]
# # 5. Adam and initialisation
#
# The gradient says in which direction to go. How far? And from where? Adam answers the first question with one step
# size per weight, Glorot the second with one number per layer. We derive both, see what Adam's hats are for, and why
# the paper trains in two phases, "searching" and "fine-tuning".
#
# **Before you start:** lecture 2; mean and variance of a sum of random numbers. A first reading takes about 45 minutes.
# **Letters** (`docs/notation.md` has all of them): here $d$ counts the $D$ inputs of a layer, and $\sigma$ is a
# standard deviation.
#
# *Needs: no data but scikit-learn's digits. Minutes: 0.2 quick, 0.4 full.*

# %%
import matplotlib.pyplot as plt
import numpy as np

from minisvdd import DeepSVDD, load_dataset, nn, ops
from minisvdd.lecture import BLUE, GRAY, GREEN, ORANGE, RED, check, choose, figure, finish, show

rng = np.random.default_rng(5)

# %% [markdown]
# ## One step size for all?
#
# Gradient descent, $W \leftarrow W - \eta\, \partial L / \partial W$, has one step size $\eta$ for all weights. Take a
# valley, $L = \tfrac12 (w_1^2 + 100\, w_2^2)$. Across the valley, in $w_2$, each step multiplies the distance by $1 -
# 100\, \eta$, which must stay above $-1$: $\eta < 0.02$, or the steps grow from wall to wall. Along the valley, in
# $w_1$, the factor is $1 - \eta > 0.98$, and it takes hundreds of steps to get anywhere. In a network the curvatures
# differ far more than by 100: weights of the first filters collect gradients from every pixel, others from one.
#
# ## Adam, step by step
#
# Adam (Kingma and Ba, 2015) watches each single weight's gradient $g_1, g_2, \dots$ over the steps and keeps two
# running means, of the gradient and of its square, both beginning at 0:
#
# $$ m_t = \beta_1\, m_{t-1} + (1 - \beta_1)\, g_t, \qquad v_t = \beta_2\, v_{t-1} + (1 - \beta_2)\, g_t^2 . $$
#
# Unrolled, $m_t$ is a sum over the past with weights that fade:
#
# $$ m_t = (1 - \beta_1) \sum_{i=1}^{t} \beta_1^{\,t-i}\, g_i , \qquad
# (1 - \beta_1) \sum_{i=1}^{t} \beta_1^{\,t-i} = 1 - \beta_1^{\,t} . $$
#
# The weights of a mean should add up to 1. These add up to $1 - \beta_1^t$ (the geometric series), because the zero at
# the start took the rest. For $\beta_1 = 0.9$ this hardly matters after 50 steps; for $\beta_2 = 0.999$ it matters for
# thousands. The remedy is to divide by what the weights add up to. That is all the hats are:
#
# $$ \hat m_t = \frac{m_t}{1 - \beta_1^{\,t}}, \qquad \hat v_t = \frac{v_t}{1 - \beta_2^{\,t}}, \qquad
# W_t = W_{t-1} - \eta\, \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon} . $$
#
# For a gradient that is the same in all steps $\hat m_t = g$ and $\hat v_t = g^2$ exactly, and the step is $\eta \cdot
# \operatorname{sign}(g)$: *its length is the learning rate, whatever the size of the gradient*. For a gradient that is
# mere noise around 0, $\hat m_t$ averages out while $\hat v_t$ does not, and the step is small. The quotient is a ratio
# of signal to noise, for each weight by itself. In code, and below it the library's `adam_update`, which changes its
# arrays in place and has the weight decay in it:


# %%
def adam_step(W, g, m, v, t, eta, beta1=0.9, beta2=0.999, eps=1e-8):
    """Step t = 1, 2, ...; returns the new W, m, v."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return W - eta * m_hat / (np.sqrt(v_hat) + eps), m, v


W = rng.normal(size=7)
m = v = np.zeros(7)
theirs, first_moment, second_moment = W.copy(), np.zeros(7), np.zeros(7)
for t in range(1, 51):
    g = rng.normal(size=7)
    W, m, v = adam_step(W, g, m, v, t, eta=0.01)
    ops.adam_update(theirs, g, first_moment, second_moment, t, 0.01, 0.9, 0.999, 1e-8, 0.0)
show(ops.adam_update)
check("our lines are the library's Adam, to the last bit over 50 steps", np.array_equal(W, theirs))

gradients = np.array([1e-4, -0.3, 50.0])
first = -adam_step(np.zeros(3), gradients, 0.0, 0.0, 1, eta=0.01)[0]
check(
    "the first step has the length of the learning rate",
    np.allclose(first, 0.01 * np.sign(gradients), rtol=1e-3),
    "for gradients of 0.0001, -0.3 and 50",
)

# %% [markdown]
# ### Without the hats
#
# What if we left them out? Both means are then too small, but not equally so, and the step is $\eta$ times
#
# $$ \frac{1 - \beta_1^{\,t}}{\sqrt{1 - \beta_2^{\,t}}} $$
#
# for a constant gradient. The first step is $0.1 / \sqrt{0.001} \approx 3.2$ times too long, and worse is to come,
# since $m$ fills up faster than $v$. And all this at the start of training, when a network can least bear it.

# %%
t = np.arange(1, 5001)
factor = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)
longest = factor.max()
check("the first step would be 3.2 times too long", abs(factor[0] - 0.1 / np.sqrt(0.001)) < 1e-12, f"{factor[0]:.2f}")
check("and one soon after 6 times", 6 < longest < 7, f"{longest:.2f} in step {t[factor.argmax()]}")
check("after 1000 steps it is still too long", factor[999] > 1.2, f"{factor[999]:.2f}")

# %%
fig, axes = plt.subplots(figsize=(6.4, 3))
axes.semilogx(t, factor, color=RED, label="without the hats")
axes.axhline(1, color=BLUE, label="with them")
axes.set(xlabel="step $t$", ylabel="step length / $\\eta$", title="a constant gradient")
axes.legend()
figure("hats")

# %% [markdown]
# ### The valley again
#
# Since each weight's step is divided by the size of its own gradients, a valley that is steep in one weight and flat in
# another is no valley for Adam. Multiply the loss by 1000, and all $\hat m$ grow by 1000, all $\sqrt{\hat v}$ too, and
# the path stays the same (but for $\epsilon$). Gradient descent would be thrown out of the valley.


# %%
curvature = np.array([1.0, 100.0])
start = np.array([-9.0, 1.0])


def descend(eta, steps, scale=1.0):
    path = [start]
    for _ in range(steps):
        path.append(path[-1] - eta * scale * curvature * path[-1])
    return np.array(path)


def adam(eta, steps, scale=1.0):
    path, m, v = [start], 0.0, 0.0
    for t in range(1, steps + 1):
        w, m, v = adam_step(path[-1], scale * curvature * path[-1], m, v, t, eta)
        path.append(w)
    return np.array(path)


by_descent, by_adam = descend(0.019, 60), adam(0.4, 60)

# %%
fig, axes = plt.subplots(figsize=(7.4, 2.9))
w1, w2 = np.meshgrid(np.linspace(-10, 3, 120), np.linspace(-1.3, 1.5, 120))
axes.contour(w1, w2, (w1**2 + 100 * w2**2) / 2, np.geomspace(0.3, 120, 10), colors=GRAY, linewidths=0.6)
axes.plot(*by_descent.T, color=RED, marker=".", markersize=3, linewidth=1, label="gradient descent")
axes.plot(*by_adam.T, color=BLUE, marker=".", markersize=3, linewidth=1, label="Adam")
axes.set(xlabel="$w_1$", ylabel="$w_2$", title="60 steps in a valley")
axes.legend(loc="upper right")
figure("valley")

# %%
drift = np.abs(adam(0.4, 60, scale=1000.0) - by_adam).max()
check("a loss 1000 times larger gives Adam the same path", drift < 1e-5, f"largest difference {drift:.0e}")
check("and throws gradient descent out", np.abs(descend(0.019, 60, scale=1000.0)[-1]).max() > 1e6)

# %% [markdown]
# ### Weight decay
#
# The objective of the paper contains $\frac{\lambda}{2} \lVert W \rVert^2$, whose gradient $\lambda W$ joins $g$
# *before* $m$ and $v$ see it. With Adam this has an odd effect. Take a weight that the loss says nothing about: its
# gradient is $\lambda W$ alone, and Adam divides it by its own size. The weight shrinks by about $\eta$ per step,
# *whatever $\lambda$ is*, as long as $\lambda\, |W| \gg \epsilon$. (The paper's $\lambda = 10^{-6}$ is at the border:
# $|W| = 0.01$ gives $\lambda\, |W| = \epsilon$, and half a step.) For weights with a gradient of their own, $\lambda W$
# only matters in comparison with it. (The variant AdamW decays the weight outside of Adam; it is not what equations (3)
# and (4) say, and not what the authors' code does.)


# %%
def decay(weight_decay, steps=400, eta=1e-3):
    W, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    for t in range(1, steps + 1):
        ops.adam_update(W, np.zeros(1), m, v, t, eta, 0.9, 0.999, 1e-8, weight_decay)
    return W[0]


weak, strong = decay(1e-4), decay(1.0)
check("lambda = 0.0001 and lambda = 1 shrink it equally", abs(weak - strong) < 1e-3, f"to {weak:.4f} and {strong:.4f}")
check("lambda = 1e-9 does not: epsilon is ten times as large", decay(1e-9) > 0.9, f"to {decay(1e-9):.4f}")

# %% [markdown]
# ## Where to begin
#
# If all weights begin at 0, or at any common value, all units of a layer compute the same, get the same gradient, and
# stay the same for ever. So the start is random, with mean 0. The one number to choose is the variance.
#
# **Forward.** Let $y_k = \sum_{d=1}^{D} W_{kd}\, x_d$ with independent $W_{kd}$ of mean 0. The products are
# uncorrelated, so their variances add, and
#
# $$ \operatorname{E}[y_k^2] = \sum_{d=1}^{D} \operatorname{Var}(W)\, \operatorname{E}[x_d^2]
# = D \operatorname{Var}(W) \cdot \operatorname{E}[x^2] . $$
#
# Each layer multiplies the mean square by $D \operatorname{Var}(W)$. Over ten layers the factor is raised to the tenth
# power: unless it is 1, signals vanish or explode. This asks for $\operatorname{Var}(W) = 1/D$, with the number of
# inputs $D$, the *fan-in*.
#
# **Backward.** The gradient goes the other way, $\partial L / \partial x_d = \sum_{k=1}^{K} G_k\, W_{kd}$, a sum over
# $K$ outputs, the *fan-out*. The same argument asks for $\operatorname{Var}(W) = 1/K$.
#
# Both cannot be had unless $D = K$. Glorot and Bengio (2010) take the middle of $D$ and $K$,
#
# $$ \operatorname{Var}(W) = \frac{2}{D + K} . $$
#
# **Uniform.** On $[-a, a]$ the variance is $\frac{1}{2a} \int_{-a}^{a} w^2\, \mathrm{d}w = \frac{a^2}{3}$.
# Setting it equal to the line above gives the bound
#
# $$ a = \sqrt{\frac{6}{D + K}} . $$
#
# **Convolutions.** An output is a sum over $D = C\, k_h k_w$ inputs, and an input occurs in $K\, k_h k_w$ outputs
# (lecture 3). The library's function is `glorot_uniform`.


# %%
def glorot(rng, shape, fan_in, fan_out):
    a = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-a, a, size=shape)


ours = glorot(np.random.default_rng(0), (300, 200), 200, 300)
theirs = nn.glorot_uniform(np.random.default_rng(0), (300, 200), 200, 300, dtype=np.float64)
check("our line is the library's", np.array_equal(ours, theirs))
check("its variance is 2 / (D + K)", np.isclose(ours.var(), 2 / 500, rtol=0.02), f"{ours.var():.5f}")

layer = nn.Conv2D(8, kernel_size=5)
layer.build((4, 14, 14), rng)
bound, largest = np.sqrt(6 / (4 * 25 + 8 * 25)), np.abs(layer.params["weight"]).max()
check(
    "a convolution counts its window in both fans", 0.98 * bound < largest <= bound, f"{largest:.4f}, bound {bound:.4f}"
)

# %% [markdown]
# Twelve layers, as wide as each other, show what the choice means. The curves are the root mean square of the
# activations; for the gradients the picture is the same, read from right to left.


# %%
def sizes_over_depth(std_factor, activation=lambda x: x, width=256, depth=12):
    """Root mean square of the activations after each layer, weights of std_factor times Glorot's deviation."""
    rng = np.random.default_rng(50)
    x = rng.normal(size=(64, width))
    sizes = [np.sqrt(np.mean(x**2))]
    for _ in range(depth):
        x = activation(x @ (std_factor * glorot(rng, (width, width), width, width)).T)
        sizes.append(np.sqrt(np.mean(x**2)))
    return np.array(sizes)


def leaky_relu(x):
    return np.maximum(x, 0.1 * x)


def normalized_leaky_relu(x):
    return leaky_relu((x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-4))


curves = {
    "Glorot": (sizes_over_depth(1.0), BLUE),
    "half of it": (sizes_over_depth(0.5), RED),
    "twice it": (sizes_over_depth(2.0), ORANGE),
    "Glorot, leaky ReLU": (sizes_over_depth(1.0, leaky_relu), GRAY),
    "Glorot, batch norm, leaky ReLU": (sizes_over_depth(1.0, normalized_leaky_relu), GREEN),
}

# %%
fig, axes = plt.subplots(figsize=(7.2, 3.4))
for name, (sizes, color) in curves.items():
    axes.semilogy(sizes, color=color, marker=".", label=name)
axes.set(xlabel="layer", ylabel="size of the activations", title="twelve layers of width 256")
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure("depth")

# %%
last = {name: sizes[-1] for name, (sizes, _) in curves.items()}
check("Glorot keeps the size over 12 layers", 0.5 < last["Glorot"] < 2, f"{last['Glorot']:.2f}")
ratio = last["half of it"] / last["Glorot"]
check("half the deviation loses a factor 2^12", np.isclose(ratio * 2**12, 1), f"1/{1 / ratio:.0f}")
halved = (1.01 / 2) ** 6  # E[f(x)^2] = (1 + 0.1^2)/2 E[x^2] for a symmetric x
check(
    "leaky ReLU loses about half of the mean square per layer",
    0.5 < last["Glorot, leaky ReLU"] / halved < 2,
    f"size {last['Glorot, leaky ReLU']:.4f}, expected {halved:.4f}",
)
check("batch norm restores it", 0.3 < last["Glorot, batch norm, leaky ReLU"] < 2)

# %% [markdown]
# The leaky ReLU flattens one half of its inputs, and Glorot's argument, made for linear layers, does not know (exercise
# 2 mends it). In the paper's networks it does not matter: each convolution is followed by batch norm, which
# sets the size right again.
#
# ## Two phases
#
# The gradient of a mini-batch is the true gradient plus noise. Near a minimum the true gradient is small and the noise
# is not. Then $\hat m_t$ is an average of noise, the steps have random signs, and the weights wander about the minimum
# like a dog on a leash. How far? With plain gradient descent on $L = w^2/2$ and noise of variance $\sigma^2$,
#
# $$ \begin{aligned}
# w_{t+1} = (1 - \eta)\, w_t - \eta\, \xi_t
# &\quad\Longrightarrow\quad \operatorname{E}[w^2] = (1-\eta)^2 \operatorname{E}[w^2] + \eta^2 \sigma^2 \\
# &\quad\Longrightarrow\quad \operatorname{E}[w^2] = \frac{\eta\, \sigma^2}{2 - \eta} .
# \end{aligned} $$
#
# For small $\eta$ the mean square distance is proportional to it. So is Adam's, as we shall see. A large $\eta$ arrives
# soon and stays far out; a small one comes close in the end, but takes ages. The paper therefore uses one after the
# other: $\eta = 10^{-4}$ to *search*, then $10^{-5}$ to *fine-tune*, after 150 of 250 epochs. In the library that is
# `StepSchedule`. We try it on 1000 copies of the noisy parabola at once:


# %%
def noisy_adam(schedule, steps, copies=1000, distance=5.0):
    """Mean square of w over the copies, after each step."""
    rng = np.random.default_rng(51)
    w, m, v = np.full(copies, distance), 0.0, 0.0
    squares = []
    for t in range(1, steps + 1):
        w, m, v = adam_step(w, w + rng.normal(size=copies), m, v, t, eta=schedule(t))
        squares.append(np.mean(w**2))
    return np.array(squares)


steps = choose(3000, 6000)
search = 2 * steps // 3
runs = {
    "large": (noisy_adam(nn.StepSchedule(0.02), steps), RED),
    "small": (noisy_adam(nn.StepSchedule(0.002), steps), ORANGE),
    "first large, then small": (noisy_adam(nn.StepSchedule(0.02, (search,)), steps), BLUE),
}

# %%
fig, axes = plt.subplots(figsize=(7.2, 3.2))
for name, (squares, color) in runs.items():
    axes.semilogy(squares, color=color, label=name)
axes.axvline(search, color=GRAY, linestyle=":", linewidth=1)
axes.set(xlabel="step", ylabel="mean square distance", title="Adam on a noisy parabola")
axes.legend(title="learning rate")
figure("two_phases")

# %%
tail = steps // 10
large, small, both = (np.mean(squares[-tail:]) for squares, _ in runs.values())
check(
    "a tenth of the learning rate, about a tenth of the mean square",
    4 < large / both < 25,
    f"{large:.4f} and {both:.4f}",
)
arrival = int(np.argmax(runs["large"][0] < 0.1))
then = runs["small"][0][3 * arrival]
check(
    "the large one arrives soon, the small one is far off yet",
    then > 1,
    f"step {arrival}; at {3 * arrival}: {then:.1f}",
)

# %% [markdown]
# And in Deep SVDD itself? We train on the 92 threes of scikit-learn's digits, twice from the same start, with and
# without the second phase, and look at the loss by epoch.

# %%
threes = load_dataset("digits").one_class(3).train
epochs = choose(60, 200)
losses = {}
for name, milestones in (("one phase", ()), ("two phases", (2 * epochs // 3,))):
    model = DeepSVDD(
        network="digits_lenet",
        preprocessing="gcn-l1",
        learning_rate=1e-2,
        milestones=milestones,
        epochs=epochs,
        pretrain_epochs=0,
        batch_size=16,
        verbose=0,
        random_state=0,
        threshold="nu",
    )
    losses[name] = np.array(model.fit(threes).history_["loss"])

# %%
fig, axes = plt.subplots(figsize=(7.2, 3.2))
for (name, loss), color in zip(losses.items(), (RED, BLUE)):
    axes.semilogy(np.arange(1, epochs + 1), loss, color=color, label=name)
axes.axvline(2 * epochs // 3, color=GRAY, linestyle=":", linewidth=1)
axes.set(xlabel="epoch", ylabel="loss (4)", title="Deep SVDD on the digit 3")
axes.legend()
figure("deep_svdd_phases")

# %%
one, two = (np.median(losses[name][-epochs // 6 :]) for name in ("one phase", "two phases"))
check(
    "up to the milestone both are the same run", np.array_equal(*(loss[: 2 * epochs // 3] for loss in losses.values()))
)
check("the second phase lowers the loss at once", two < one, f"{two:.2e} against {one:.2e}")

# %% [markdown]
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★★ Show by the formulas for $\hat m_1$ and $\hat v_1$ that Adam's first step is $-\eta\, g_1 / (|g_1| + \epsilon)$.
#    What does $\epsilon = 10^{-8}$ do to a weight whose gradients are about $10^{-9}$?
# 2. ★★ For $x$ symmetric about 0, what is $\operatorname{E}[f(x)^2]$ for the leaky ReLU of slope $\kappa$? Which
#    variance of $W$ keeps the size of the activations, forward? Check it over twelve layers (He et al., 2015, for
#    $\kappa = 0$).
# 3. ★ Predict $\operatorname{E}[w^2]$ for plain gradient descent on the noisy parabola with $\eta = 0.1$ and $\sigma =
#    1$ from the formula above, and measure it.
# 4. ★ **By hand.** Two steps of Adam with $\beta_1 = \beta_2 = \frac12$, $\epsilon = 0$, for the gradients $g_1 = 1$
#    and $g_2 = -1$. How long is each step, in units of $\eta$?
# 5. ★ **Bounds.** Compute Glorot's bound for a linear layer from 100 to 10 features, and for a convolution with $5
#    \times 5$ filters from 8 to 4 channels. Compare with the layers of the library.
#
# Solutions: `lectures/solutions/05_adam.py`.
#
# **Assignment:** `minisvdd assignment adam` (1 hour).

# %%
finish()
