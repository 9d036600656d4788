# %% [markdown]
# # 6. Deep SVDD
#
# Lecture 1 found the smallest sphere around normal data, in a space that a kernel had chosen. Deep SVDD *learns* that
# space: a network $\phi(\cdot; W): \mathbb{R}^D \to \mathbb{R}^p$ with weights $W = (W^1, W^2, \dots)$ is trained such
# that the outputs of normal samples lie close to a point $c$, the centre. What is abnormal shares less of what normal
# samples have in common, and lands further away. **The question:** which loss says this, what is its gradient, how
# large is the sphere, and how do network and sphere find each other? At the end we train a network with two outputs, so
# that all of it can be watched.
#
# **Before you start:** lectures 1 and 2; convex functions of one variable. A first reading takes about 50 minutes.
# Letters are those of `docs/notation.md`.
#
# *Needs: no data (MNIST, where found, in the full run). Minutes: 0.3 quick, 3 full.*

# %%
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_auc_score

from minisvdd import DeepSVDD, load_dataset, nn, ops, svdd
from minisvdd.lecture import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    QUICK,
    RED,
    animation,
    available,
    check,
    choose,
    data_dir,
    figure,
    finish,
)

rng = np.random.default_rng(6)

# %% [markdown]
# ## One-Class Deep SVDD, equation (4)
#
# Given are $n$ normal samples $x_1, \dots, x_n$, a fixed centre $c \in \mathbb{R}^p$ and a number $\lambda > 0$. Write
# $\phi_i = \phi(x_i; W)$ for the output and
#
# $$ d_i = \| \phi_i - c\|^2 = \sum_{j=1}^p (\phi_{ij} - c_j)^2 $$
#
# for its **squared** distance from the centre. One-Class Deep SVDD minimises the mean of these, and the weights:
#
# $$ \min_W \quad \underbrace{\frac1n\sum_{i=1}^n d_i}_{J(W)}
#    \;+\; \frac\lambda2\sum_l\| W^l\|_F^2 . \tag{4} $$
#
# To pull the *mean* distance down, the network must find what all normal samples have in common, and give up what
# distinguishes them.
#
# **The gradient.** $J$ depends on $\phi_{ij}$ through $d_i$ alone, and there through one square. Hence
#
# $$ \frac{\partial J}{\partial \phi_{ij}}
#    = \frac{\partial J}{\partial d_i}\,\frac{\partial d_i}{\partial\phi_{ij}}
#    = \frac1n \cdot 2\,(\phi_{ij} - c_j) . $$
#
# This is the `grad_output` with which backpropagation starts; the layers (lectures 2 to 4) do the rest. The second term
# of (4) needs no network:
# $\frac{\partial}{\partial W^l_{kj}}\frac\lambda2\sum_{k',j'}(W^l_{k'j'})^2 = \lambda W^l_{kj}$, which `Adam` adds to
# the gradient. In code, the last line of the derivation (`one_class_loss` is the library's):


# %%
def one_class(phi, c):
    d = ((phi - c) ** 2).sum(axis=1)
    return d.mean(), 2 / len(phi) * (phi - c)


def numeric_gradient(function, at, h=1e-6):
    """Central differences (f(x + h) - f(x - h)) / 2h for every entry of `at` (lecture 2)."""
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        x, moved = at.copy(), np.zeros(2)
        for side, step in enumerate((h, -h)):
            x[index] = at[index] + step
            moved[side] = function(x)
        gradient[index] = (moved[0] - moved[1]) / (2 * h)
    return gradient


phi, c = rng.normal(size=(7, 3)), rng.normal(size=3)
value, grad = one_class(phi, c)
reference = ops.one_class_loss(phi, c)
check("our (4) is the library's", np.isclose(value, reference[0]) and np.allclose(grad, reference[1]))
numeric = numeric_gradient(lambda p: one_class(p, c)[0], phi)
check(
    "the gradient of (4) is the numeric one",
    np.allclose(grad, numeric, atol=1e-8),
    f"largest difference {np.abs(grad - numeric).max():.0e}",
)

# %% [markdown]
# ## Soft-boundary Deep SVDD, equation (3)
#
# The second objective has a sphere in it. A radius $R$ is a variable like the weights; the sphere should be small, and
# a sample outside pays for how far out it is:
#
# $$ \min_{R,\,W}\quad \underbrace{R^2 + \frac{1}{\nu n}\sum_{i=1}^n\max(0,\; d_i - R^2)}_{J(R, W)}
#    \;+\; \frac\lambda2\sum_l\| W^l\|_F^2 . \tag{3} $$
#
# The number $\nu \in (0, 1]$ sets the price: small $\nu$, dear outliers, large sphere. Lecture 8 shows that $\nu$ is
# the fraction of samples left outside.
#
# **The gradient, with $R$ fixed.** $\max(0, t)$ has the derivative 0 for $t < 0$ and 1 for $t > 0$; at the kink $t = 0$
# any number between is a subgradient, and we take 0. With $[\,\cdot\,]$ for "1 if true, else 0",
#
# $$ \frac{\partial J}{\partial\phi_{ij}} = \frac{1}{\nu n}\,[\,d_i > R^2\,]\;2\,(\phi_{ij} - c_j) . $$
#
# Samples inside the sphere have **no** gradient: the network is content with them. Those outside are pulled as in (4),
# but $1/\nu$ times as strongly (`soft_boundary_loss`).


# %%
def soft_boundary(phi, c, radius_squared, nu):
    excess = ((phi - c) ** 2).sum(axis=1) - radius_squared
    outside = excess > 0
    value = radius_squared + excess[outside].sum() / (nu * len(phi))
    return value, 2 / (nu * len(phi)) * (outside[:, None] * (phi - c))


nu = 0.3
radius_squared = float(np.median(((phi - c) ** 2).sum(axis=1))) + 0.1
value, grad = soft_boundary(phi, c, radius_squared, nu)
reference = ops.soft_boundary_loss(phi, c, radius_squared, nu)
check("our (3) is the library's", np.isclose(value, reference[0]) and np.allclose(grad, reference[1]))
numeric = numeric_gradient(lambda p: soft_boundary(p, c, radius_squared, nu)[0], phi)
check(
    "the gradient of (3) is the numeric one",
    np.allclose(grad, numeric, atol=1e-7),
    f"largest difference {np.abs(grad - numeric).max():.0e}",
)
inside = ((phi - c) ** 2).sum(axis=1) <= radius_squared
check(
    "samples inside have no gradient", inside.any() and not grad[inside].any(), f"{inside.sum()} of {len(phi)} inside"
)

# %% [markdown]
# ## The best radius needs no search
#
# Now fix the weights and move the radius. Put $u = R^2$, for $R$ occurs only as a square. Up to the decay term, which
# does not depend on $u$, the objective is
#
# $$ J(u) = u + \frac{1}{\nu n}\sum_{i=1}^n \max(0, d_i - u), \qquad u \ge 0 . $$
#
# **It is convex and piecewise linear**, as a sum of such functions. Between two neighbouring distances, every term is
# linear: a sample with $d_i > u$ contributes the slope $-1$ to the sum, every other one 0. So
#
# $$ J'(u) = 1 - \frac{\#\{i : d_i > u\}}{\nu n} . $$
#
# As $u$ grows, the count falls, by one at each distance, and the slope rises. The minimum is where it turns from
# negative (more than $\nu n$ samples outside: grow) to positive (fewer than $\nu n$: shrink).
#
# **Which distance is that?** Sort them in descending order, $d_{(1)} \ge d_{(2)} \ge \dots \ge d_{(n)}$, and let
# $k = \lfloor \nu n\rfloor$, the largest integer with $k \le \nu n$. We claim for $k < n$:
#
# $$ R_*^2 = d_{(k+1)} . $$
#
# *Right of it*, for $u \ge d_{(k+1)}$, at most the $k$ largest distances exceed $u$; so $\#\{d_i > u\} \le k \le \nu n$
# and $J'(u) \ge 0$: $J$ does not fall. *Left of it*, for $u < d_{(k+1)}$, at least the $k+1$ largest exceed $u$; so
# $\#\{d_i > u\} \ge k + 1 > \nu n$, and $J'(u) < 0$: $J$ falls all the way up to $d_{(k+1)}$. Hence $d_{(k+1)}$ is a
# minimiser, and the smallest one. $\square$
#
# If $\nu n$ is an integer, the slope is 0 between $d_{(k+1)}$ and $d_{(k)}$, and each $u$ in that interval is a
# minimiser; we take the smallest. If $k = n$ (that is, $\nu = 1$), $J$ is flat on all of $[0, d_{(n)}]$, and $d_{(n)}$
# is taken.
#
# A number at a given rank is found without sorting everything, in time proportional to $n$, by selection
# (`numpy.partition`). This is all of the "line search" (`exact_radius_squared`):


# %%
def best_radius_squared(d, nu):
    k = min(int(np.floor(nu * len(d) * (1 + 1e-12))), len(d) - 1)  # 0.29 * 100 is 28.999999999999996 to a computer
    return np.partition(d, len(d) - 1 - k)[len(d) - 1 - k]


d = np.array([6.0, 5.1, 4.2, 3.4, 2.3, 1.6, 1.0, 0.5])

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6))
for ax, nu in zip(axes, (0.3, 0.25)):
    u = np.linspace(0, d[0] * 1.12, 400)
    ax.plot(u, [svdd.soft_boundary_objective(v, d, nu) for v in u], color=BLUE, lw=1.8)
    heights = [svdd.soft_boundary_objective(v, d, nu) for v in d]
    ax.plot(d, heights, "o", ms=4, color=BLUE)
    best = best_radius_squared(d, nu)
    ax.plot(best, svdd.soft_boundary_objective(best, d, nu), "o", ms=10, mfc="none", mew=2, color=RED)
    ax.set(xlabel="$u = R^2$", ylabel="$J(u)$", title=f"ν = {nu}: νn = {nu * len(d):g}")
    for left, right, count in zip([*d[1:], 0][::-1], d[::-1], range(len(d), 0, -1)):
        if count <= 4:
            middle = (left + right) / 2
            ax.annotate(
                f"{1 - count / (nu * len(d)):+.2f}",
                (middle, svdd.soft_boundary_objective(middle, d, nu)),
                xytext=(0, 12), textcoords="offset points", ha="center", fontsize=8, color=GRAY,
            )  # fmt: skip
fig.suptitle("The objective in $R^2$, its slopes, and the exact minimiser (red) for n = 8 distances")
figure("objective-in-radius", fig)

# %% [markdown]
# Left, $\nu n = 2.4$: the slope changes sign at the third largest distance. Right, $\nu n = 2$: between the third and
# the second the slope is exactly 0. Now let us try to break the claim, with random distances of all kinds, ties
# included:

# %%
worst, gap, agree, iterations = 0.0, 0.0, True, []
for trial in range(300):
    n = int(rng.integers(1, 60))
    d = rng.gamma(2, 10.0 ** rng.uniform(-4, 4), size=n)
    if trial % 3 == 0:
        d = np.round(d / d.max() * 5)  # many ties, and zeros
    nu = float(rng.choice([rng.uniform(0.001, 1), rng.integers(1, n + 1) / n, 1.0]))
    best = best_radius_squared(d, nu)
    agree &= best == svdd.exact_radius_squared(d, nu)
    value = svdd.soft_boundary_objective(best, d, nu)
    everywhere = [svdd.soft_boundary_objective(u, d, nu) for u in (0.0, *d)]  # a minimum lies on a kink
    worst = max(worst, (value - min(everywhere)) / d.max())
    search = minimize_scalar(
        lambda u, d=d, nu=nu: svdd.soft_boundary_objective(u, d, nu), bounds=(0, d.max()), method="bounded"
    )
    gap = max(gap, (value - search.fun) / d.max())
    iterations.append(search.nfev)
check("our radius is the library's, to the last bit", agree)
check("no kink of J is lower", worst < 1e-12, f"300 problems, largest excess {worst:.0e}")
check(
    "no numeric line search gets lower either",
    gap < 1e-12,
    f"largest excess {gap:.0e}; the search took {np.mean(iterations):.0f} evaluations of J, the formula none",
)
check(
    "ν = 1: J is flat up to the smallest distance, which is taken", best_radius_squared(np.array([3.0, 1, 2]), 1.0) == 1
)

# %% [markdown]
# ## Side note: two radii that are not this one
#
# **$R$ or $R^2$?** The authors' published code does search on a line. It minimises
# $x^2 + \frac1{\nu n}\sum\max(0, d_i - x^2)$ over $x$, so that $x$ is a *radius*. But it bounds $x$ by *squared*
# distances (two order statistics, near $1.1\nu n$ and $0.1 \nu n$), and stores $x$ in a variable which the loss then
# uses as $R^2$. Both slips would cancel if $R = R^2$. What do they do otherwise? If squared distances are well below 1,
# then $x^2 < x$, and the search wants $x$ to be larger than its upper bound permits; well above 1 it wants to go below
# its lower bound. Either way it returns a bound. We try it for $n = 6000$, $\nu = 0.1$ and distances of all scales
# (`authors_radius_squared`).
#
# **All data or one batch?** The authors' later program, Deep-SVDD-PyTorch, and what was made from it take the $1-\nu$
# quantile of the distances, which is nearly right, but of the *last mini-batch* alone (`quantile_radius_squared`): a
# hundred samples instead of thousands.

# %%
n, nu = 6000, 0.1
d = rng.chisquare(8, size=n) / 8  # mean 1
scales = np.logspace(-3, 3, 61)
fractions = {
    rule.__name__: np.array([(s * d > rule(s * d, nu)).mean() for s in scales])
    for rule in (svdd.exact_radius_squared, svdd.authors_radius_squared)
}
batches = [rng.choice(n, size=123, replace=False) for _ in range(400)]
last_batch = np.array([(d > svdd.quantile_radius_squared(d[batch], nu)).mean() for batch in batches])
low, high = np.quantile(last_batch, [0.025, 0.975])

# %%
fig, ax = plt.subplots(figsize=(7.2, 3.6))
ax.fill_between(
    scales, 100 * low, 100 * high, color=ORANGE, alpha=0.25, label="a last batch of 123 (95 % of the draws)"
)
ax.semilogx(scales, 100 * fractions["authors_radius_squared"], color=RED, lw=1.8, label="authors' line search")
ax.semilogx(scales, 100 * fractions["exact_radius_squared"], color=BLUE, lw=1.8, label="exact radius")
ax.set(
    xlabel="mean squared distance", ylabel="training samples outside, %", title="ν = 10 %: how many are left outside?"
)
ax.legend()
figure("three-radii", fig)

# %%
authors = fractions["authors_radius_squared"]
check("exact: 10 % outside at every scale", np.allclose(fractions["exact_radius_squared"], 0.1))
check(
    "authors' search, distances far below 1: about 1 % outside",
    abs(authors[0] - 0.01) < 0.002,
    f"{100 * authors[0]:.2f} %",
)
check(
    "authors' search, distances far above 1: about 11 % outside",
    abs(authors[-1] - 0.11) < 0.002,
    f"{100 * authors[-1]:.2f} %",
)
check(
    "last batch: anything between 5 and 16 %",
    0.04 < low < 0.07 and 0.13 < high < 0.18,
    f"95 % of the draws in {100 * low:.1f} ... {100 * high:.1f} %",
)

# %% [markdown]
# The order of the scores of *one* network is not affected: subtracting another $R^2$ moves all by the same amount. But
# which samples get a gradient is decided by $R$, so the network that training ends with is another one.
# `DeepSVDD(radius_update="exact")` is the default; the other two rules are there to be compared.
#
# ## The score, equation (5)
#
# How abnormal is a new sample $x$? As far as its output is from the centre:
#
# $$ s(x) = \|\phi(x; W^*) - c\|^2 ,
#    \qquad\text{soft-boundary:}\quad s(x) = \|\phi(x; W^*) - c\|^2 - R_*^2 ,
#    \tag{5} $$
#
# so that the latter is positive exactly outside of the sphere. (The paper says in words that the final *radius* is
# subtracted; its square is meant.) The training data are no longer needed: $W^*$, $c$ and
# $R_*$ are the whole model. (A kernel method keeps its support vectors, and its scoring time grows with them.)
#
# ## Network and sphere find each other
#
# (3) has two kinds of variables, and each is easy without the other: for fixed $R$ the weights follow their gradient,
# for fixed $W$ the radius is an order statistic. So they take turns (**block coordinate descent**): $R$ is solved for
# every 5 epochs, from the distances of the whole training set. What must be decided before is $c$. It is the mean
# output of the network *as drawn*, moved away from 0 (lecture 7 shows why both are needed), and it stays.
#
# The network here is small and has **two outputs**, $p = 2$. The loop is complete; compare it with (3), (4) and
# `DeepSVDD`. (`minisvdd/svdd/plain.py`, which lecture 1 showed, is this loop with Adam and both losses written out.)
# One thing in it is not in (3): in a step whose batch has nobody outside, weight decay rests. Adam divides a gradient
# by its own size, so that a decay which is alone in it is no small force any more, small as $\lambda$ is (`nn.Adam`).


# %%
DATA = "mnist" if available("mnist") and not QUICK else "digits"
split = load_dataset(DATA, data_dir()).one_class(6)
preprocessing = svdd.make_preprocessing("gcn-l1")
X_train, X_test = preprocessing.fit_transform(split.train), preprocessing.transform(split.test)

EPOCHS = choose(60, 60 if DATA == "digits" else 25)
BATCH, RATE, DECAY, NU, UPDATE_EVERY = 32 if DATA == "digits" else 200, 1e-3, 1e-6, 0.1, 5


def planar_network():
    """LeNet type, as in the paper, but with two outputs."""
    modules = [
        layer
        for channels in (8, 16)
        for layer in (nn.Conv2D(channels, 3, padding="same"), nn.BatchNorm(), nn.LeakyReLU(), nn.MaxPool2D(2))
    ]
    return nn.Sequential([*modules, nn.Flatten(), nn.Linear(2)])


def train_by_hand(objective, seed=0):
    """Deep SVDD without pre-training. Returns network, c, R^2 and, for every epoch, outputs of the test set and R^2."""
    rng = np.random.default_rng(seed)
    network = planar_network()
    network.build(X_train.shape[1:], rng)
    svdd.collect_statistics(network, X_train, BATCH)  # running statistics of batch norm, before c is computed with them
    c = svdd.move_from_zero(svdd.mean_output(network, X_train), 0.1)
    c32 = c.astype(np.float32)  # the precision of the network's outputs

    def solve_radius():
        d = ((nn.outputs(network, X_train) - c) ** 2).sum(axis=1)
        return best_radius_squared(d, NU)

    optimizer, radius_squared = nn.Adam(network, RATE, DECAY), solve_radius()
    history = [(nn.outputs(network, X_test), radius_squared)]
    for epoch in range(EPOCHS):
        if objective == "soft-boundary" and epoch % UPDATE_EVERY == 0:
            radius_squared = solve_radius()
        for batch in nn.shuffled_batches(len(X_train), BATCH, rng):
            phi = network.forward(X_train[batch], training=True)
            if objective == "one-class":
                _, grad_output = one_class(phi, c32)
            else:
                _, grad_output = soft_boundary(phi, c32, radius_squared, NU)
            network.backward(grad_output)
            optimizer.step(grad_output)  # all zero: nobody is outside, and weight decay rests
        history.append((nn.outputs(network, X_test), solve_radius()))
    return network, c, solve_radius(), history


def auc_of(phi, c):
    return roc_auc_score(split.is_anomaly, ((phi - c) ** 2).sum(axis=1))


results = {objective: train_by_hand(objective) for objective in ("one-class", "soft-boundary")}
for objective, (_, c, radius_squared, history) in results.items():
    before, after = auc_of(history[0][0], c), auc_of(history[-1][0], c)
    check(
        f"{objective}: training improves the AUC",
        after > before + 0.02,
        f"{100 * before:.1f} % as drawn, {100 * after:.1f} % trained",
    )
    check(
        f"{objective}: the sphere shrinks",
        radius_squared < 0.5 * history[0][1],
        f"R {history[0][1] ** 0.5:.2f} -> {radius_squared**0.5:.3f}",
    )

# %% [markdown]
# Is this loop of 30 lines really what `DeepSVDD` does? With the same seed it must come to the same scores, equation
# (5), but for the last digits of float32:

# %%
for objective, (_, c, radius_squared, history) in results.items():
    model = DeepSVDD(
        objective=objective, nu=NU, network=planar_network(), preprocessing="gcn-l1", pretrain_epochs=0, epochs=EPOCHS,
        milestones=(), learning_rate=RATE, weight_decay=DECAY, batch_size=BATCH, radius_every=UPDATE_EVERY, verbose=0,
        threshold="nu",
    ).fit(split.train)  # fmt: skip
    mine = ((history[-1][0] - c) ** 2).sum(axis=1) - (radius_squared if objective == "soft-boundary" else 0)
    theirs = model.anomaly_score(split.test)
    difference = np.abs(mine - theirs).max() / np.abs(theirs).max()
    check(
        f"{objective}: the scores of `DeepSVDD` are ours",
        difference < 1e-7,
        f"largest difference {difference:.0e} of the largest score",
    )

# %% [markdown]
# ## Before and after
#
# Every point is a test image: blue the normal class, red all other classes. The cross is $c$, the circle the sphere
# (here: a circle) that holds all but the fraction $\nu = 0.1$ of the *training* images. Each picture has its own scale,
# that of its own cloud of points (the width of the frame is in its title): what training changes is not the size of the
# cloud alone, but who lies in the middle.


# %%
def draw(ax, phi, c, radius_squared):
    """Outputs around the centre, with 98 % of them in the frame; returns half the frame's width."""
    limit = np.quantile(np.abs(phi - c).max(axis=1), 0.98)
    for chosen, color, alpha in ((split.is_anomaly, RED, 0.4), (~split.is_anomaly, BLUE, 0.8)):
        size = 6 if DATA == "digits" else 3
        ax.plot(*(phi[chosen] - c).T, ".", ms=size, mew=0, alpha=alpha, color=color)
    ax.add_patch(plt.Circle((0, 0), radius_squared**0.5, fill=False, color=GREEN, lw=1.8, zorder=3))
    ax.plot(0, 0, "x", color="black", ms=6, zorder=4)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color(GRAY)
    return limit


# %%
fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.8))
_, c, radius_squared, history = results["one-class"]
_, c_soft, radius_soft, history_soft = results["soft-boundary"]
panels = (
    ("before training", history[0][0], c, history[0][1]),
    ("one-class (4)", history[-1][0], c, radius_squared),
    ("soft-boundary (3)", history_soft[-1][0], c_soft, radius_soft),
)
for ax, (title, phi, center, squared) in zip(axes, panels):
    width = 2 * draw(ax, phi, center, squared)
    ax.set_title(
        f"{title}, AUC {100 * auc_of(phi, center):.1f} %\nR = {squared**0.5:.2f}, frame {width:.1f} wide", fontsize=10
    )
figure("before-and-after", fig)

# %%
for title, phi, center, squared in panels:
    outside = ((phi - center) ** 2).sum(axis=1) > squared
    of_anomalies, of_normal = outside[split.is_anomaly].mean(), outside[~split.is_anomaly].mean()
    print(f"{title:18s} outside the sphere: {of_anomalies:.0%} of the anomalies, {of_normal:.0%} of new normal images")

# %% [markdown]
# The sphere was fitted to the training images, of which a tenth lies outside. Of *new* normal images more do: the
# network has drawn together the images it was shown more tightly than others. With few training images this gap is
# large. It does not hurt the ranking, but it makes the sphere itself a poor threshold; lecture 15 finds a better one.
#
# *In the book the reader moves the epochs by hand here.* <!-- living: sphere -->
#
# And as a film: one frame per epoch, each at the scale of its own cloud.

# %%
frames = range(0, EPOCHS + 1, choose(6, 1))
fig, ax = plt.subplots(figsize=(4.2, 4.5))


def frame(epoch):
    phi, squared = history[epoch]
    ax.clear()
    draw(ax, phi, c, squared)
    ax.set_title(f"epoch {epoch}, R = {squared**0.5:.3f}, AUC {100 * auc_of(phi, c):.1f} %", fontsize=10)


animation("training", FuncAnimation(fig, frame, frames=frames), fps=6)

# %% [markdown]
# ## Loss, radius and rank
#
# Does a smaller sphere mean a better detector? Both objectives over the epochs:

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4))
for (objective, (_, c, _, history)), color in zip(results.items(), (BLUE, ORANGE)):
    axes[0].semilogy([squared**0.5 for _, squared in history], color=color, lw=1.8, label=objective)
    axes[1].plot([100 * auc_of(phi, c) for phi, _ in history], color=color, lw=1.8, label=objective)
axes[0].set(xlabel="epoch", ylabel="radius R", title="the sphere shrinks ...")
axes[1].set(xlabel="epoch", ylabel="test AUC, %", title="... the ranking improves, and then no longer")
axes[0].legend()
figure("radius-and-auc", fig)

# %% [markdown]
# The radius goes on falling when the ranking has long been settled. A small sphere is what training *optimises*, a good
# ranking is what we *want*: they go together only as long as the network cannot shrink everything. Lecture 7 looks at
# what happens when it can. Two outputs are made for looking, not for detecting: the paper's networks have 32 to 128.
#
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★★ **Convex in $R^2$, not in $R$.** Show that $J$ as a function of $R$ is not convex where more than $\nu n$
#    squared distances are positive (where not, what is its minimum?), and that every minimiser is found all the same.
#    Draw it for the eight squared distances of the picture above.
# 2. ★★★ **One loss, two names.** Show that (3) with $\nu = 1$ and the exact radius becomes (4) as far as the weights
#    are concerned: same value, and the same gradient for all samples but the innermost one. What does the missing
#    sample change? Hint: for $\nu = 1$, who is inside the sphere of the exact radius?
# 3. ★★ **A free centre.** For fixed $W$, which $c$ minimises (4)? What is the minimum, and why is it no good idea to
#    re-compute $c$ after each epoch?
#
# Solutions: `lectures/solutions/06_deep_svdd.py`.
#
# **Assignments:** `minisvdd assignment warm-up` (its one-class loss, half an hour), `minisvdd assignment
# soft-boundary-radius` (1 to 2 hours) and `minisvdd assignment deep-svdd` (3 hours); at the end of the course `minisvdd
# assignment capstone` (8 hours and more), a Deep SVDD of your own layers.

# %%
finish()
