# %% [markdown]
# # 8. The ν-property
#
# The soft-boundary objective of lecture 6,
#
# $$ \min_{R,W}\; R^2 + \frac1{\nu n}\sum_{i=1}^n \max(0, d_i - R^2) + \frac\lambda2\sum_l\| W^l\|_F^2 ,
#    \qquad d_i = \|\phi(x_i;W)-c\|^2 , \tag{3} $$
#
# has a parameter $\nu\in(0, 1]$ that looks like a price: $1/\nu$ is what a sample pays for each unit by which it is
# outside of the sphere. Prices are hard to choose. **The question:** can $\nu$ be read as something one *can* choose?
# Yes, as a share of the data. Proposition 4 says so, and it is exact: not for many samples, not on average, but for
# every training set, every network and every $\nu$.
#
# **Before you start:** lecture 6. A first reading takes about 35 minutes. Letters are those of `docs/notation.md`.
#
# *Needs: no data (MNIST, where found, in the full run). Minutes: 0.2 quick, 9 full.*

# %%
import matplotlib.pyplot as plt
import numpy as np

from minisvdd import Autoencoder, DeepSVDD, load_dataset, nn, svdd
from minisvdd.lecture import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    QUICK,
    RED,
    available,
    check,
    choose,
    data_dir,
    figure,
    finish,
)
from minisvdd.svdd import radius

rng = np.random.default_rng(8)

# %% [markdown]
# ## The proposition
#
# > **Proposition 4.** *In an optimal solution of (3),*
# >
# > 1. *the fraction of samples outside the sphere is at most $\nu$: an upper bound on the outliers;*
# > 2. *the fraction of samples outside or on the sphere is at least $\nu$.*
#
# In symbols, with $\#$ for "number of samples with",
#
# $$ \frac{\#\{d_i > R_*^2\}}{n} \;\le\; \nu \;\le\; \frac{\#\{d_i \ge R_*^2\}}{n} . $$
#
# **Proof.** In an optimal solution, $R_*$ is optimal for the weights $W^*$; so fix these, put $u = R^2$, and drop the
# decay, which does not depend on $u$:
#
# $$ J(u) = u + \frac1{\nu n}\sum_{i=1}^n \max(0, d_i - u). $$
#
# $J$ is convex, but it has a kink at every $d_i$, and a minimum sits on one of them. There $J$ has no derivative; it
# has one from each side. *To the right*, from $u$ to $u + t$ with a tiny $t > 0$, the term $\max(0, d_i - u)$ shrinks
# by $t$ if $d_i > u$, and stays 0 if $d_i \le u$. *To the left*, from $u$ to $u - t$, it grows by $t$ if $d_i > u$, and
# also if $d_i = u$, where it starts from 0; it stays 0 if $d_i < u$. Hence
#
# $$ J'_+(u) = 1 - \frac{\#\{d_i > u\}}{\nu n}, \qquad J'_-(u) = 1 - \frac{\#\{d_i \ge u\}}{\nu n} . $$
#
# At a minimiser $u_* = R_*^2 > 0$ the function may fall in neither direction: $J'_+(u_*) \ge 0$ and $J'_-(u_*) \le 0$.
# The first is $\#\{d_i > R_*^2\} \le \nu n$, which is claim 1; the second is $\#\{d_i\ge R_*^2\} \ge \nu n$, claim 2.
# If $u_* = 0$, there is no left side, but claim 2 is trivial, as all $n$ distances are $\ge 0$. $\square$
#
# (The paper's proof is shorter. Read it beside this one, and find the step that is not covered where several samples
# lie at the same distance.)
#
# So the two claims are nothing but "right of the minimum it rises" and "left of the minimum it falls". Note what the
# proof does *not* use: how $W$ was found. The property holds for any network, trained or not, as long as $R$ is exactly
# optimal for it. And the two bounds are close: they differ by the samples exactly *on* the sphere. If all distances are
# different, that is one sample (or none: for $\nu n$ an integer, $J$ is flat between two $d_i$), and both fractions are
# within $1/n$ of $\nu$.
#
# The code is one line for each derivative.


# %%
def right_derivative(u, d, nu):
    return 1 - (d > u).sum() / (nu * len(d))


def left_derivative(u, d, nu):
    return 1 - (d >= u).sum() / (nu * len(d))


d, nu, t = rng.gamma(3, size=40), 0.23, 1e-7
for u in (d[3], np.median(d), svdd.exact_radius_squared(d, nu)):
    right = (svdd.soft_boundary_objective(u + t, d, nu) - svdd.soft_boundary_objective(u, d, nu)) / t
    left = (svdd.soft_boundary_objective(u, d, nu) - svdd.soft_boundary_objective(u - t, d, nu)) / t
    check(
        f"one-sided derivatives at u = {u:.2f}",
        np.allclose([right, left], [right_derivative(u, d, nu), left_derivative(u, d, nu)], atol=1e-5),
        f"left {left:+.3f}, right {right:+.3f}",
    )

# %% [markdown]
# A picture of the same: the share of samples beyond $u$ is a staircase, which comes down from 1 to 0. The best $R^2$ is
# the place where it steps across the level $\nu$. At the jump, the lower end is the share outside, the upper end the
# share outside or on the sphere.

# %%
grid = np.sort(d)
best = svdd.exact_radius_squared(d, nu)

# %%
fig, ax = plt.subplots(figsize=(7.2, 3.6))
ax.step(
    [0, *grid],
    [1, *(1 - np.arange(1, len(d) + 1) / len(d))],
    where="post",
    color=BLUE,
    lw=1.6,
    label="share of $d_i > u$",
)
ax.axhline(nu, color=GRAY, ls="--", lw=1)
ax.annotate(f"ν = {nu}", (grid[-1], nu), xytext=(0, 5), textcoords="offset points", ha="right", color=GRAY)
ax.plot([best, best], [(d > best).mean(), (d >= best).mean()], "o-", color=RED, ms=6, lw=2, label="$R_*^2$")
ax.annotate(
    f"outside: {(d > best).mean():.3f}\noutside or on: {(d >= best).mean():.3f}", (best, nu), xytext=(14, 26),
    textcoords="offset points", color=RED,
)  # fmt: skip
ax.set(
    xlabel="$u = R^2$", ylabel="share of the samples", title="The sphere ends where the staircase crosses ν (n = 40)"
)
ax.legend()
figure("staircase", fig)

# %% [markdown]
# *In the book ν can be turned by hand here, over the distances of real images.* <!-- living: nu -->
#
# ## Trying to break it
#
# Ties are the dangerous case, because then many samples lie exactly on the sphere. Zeros, one single sample, $\nu n$ an
# integer: whatever the distances are, the bounds must hold.

# %%
violations, ties = 0, 0
for trial in range(2000):
    n = int(rng.integers(1, 80))
    d = rng.gamma(2, size=n)
    if trial % 2:
        d = np.round(d * rng.choice([0.3, 1, 3]))
    nu = float(rng.choice([rng.uniform(1e-3, 1), rng.integers(1, n + 1) / n]))
    u = svdd.exact_radius_squared(d, nu)
    violations += not (d > u).sum() <= nu * n * (1 + 1e-12) or not (d >= u).sum() >= nu * n * (1 - 1e-12)
    ties += (d == u).sum() > 1
check(
    "2000 random problems, none violates a bound", violations == 0, f"{ties} of them with several samples on the sphere"
)

# %% [markdown]
# ## Twenty values of ν on real data
#
# Now the whole method: for each of 20 values of $\nu$ a network is trained with (3), from the same pre-trained weights,
# its radius solved for every 5 epochs and at the end. Then we count, among the training images, who is outside.

# %%
DATA = "mnist" if available("mnist") and not QUICK else "digits"
split = load_dataset(DATA, data_dir()).one_class(3)
n = len(split.train)
SETTINGS = {
    "network": nn.network_for(split.train.shape[1:]),
    "preprocessing": "gcn-l1",
    "learning_rate": 1e-3,
    "batch_size": 32 if DATA == "digits" else 200,
    "milestones": (),
    "threshold": "nu",
    "verbose": 0,
}
EPOCHS = choose(6, 100 if DATA == "digits" else 12)
autoencoder = Autoencoder(**SETTINGS, epochs=choose(10, 100 if DATA == "digits" else 10)).fit(split.train)


def trained(nu, **changes):
    """Deep SVDD from the autoencoder's weights."""
    arguments = {"objective": "soft-boundary", "nu": nu, "epochs": EPOCHS, "autoencoder": autoencoder, **SETTINGS}
    return DeepSVDD(**{**arguments, **changes}).fit(split.train)


def squared_distances_of(model, images):
    """d_i of images under a fitted model, exactly as the model has them."""
    return ((nn.outputs(model.network_, model.preprocessing_.transform(images)) - model.center_) ** 2).sum(axis=1)


def shares(model, images):
    """Share of the images outside the sphere, and share outside or on it."""
    d = squared_distances_of(model, images)
    squared = svdd.exact_radius_squared(squared_distances_of(model, split.train), model.nu)
    return (d > squared).mean(), (d >= squared).mean()


NUS = np.array(
    [0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0]
)
models = [trained(nu) for nu in NUS]
outside, outside_or_on = np.array([shares(model, split.train) for model in models]).T
new_normal = np.array([shares(model, split.test[~split.is_anomaly])[0] for model in models])
anomalies = np.array([shares(model, split.test[split.is_anomaly])[0] for model in models])

print(f"{DATA}, n = {n}\n{'nu':>6s} {'outside':>9s} {'or on it':>9s} {'new normal':>11s} {'anomalies':>10s}")
for row in zip(NUS, outside, outside_or_on, new_normal, anomalies):
    print("{:6.2f} {:9.4f} {:9.4f} {:11.4f} {:10.4f}".format(*row))

check(
    "for all 20 values, at most ν of the training images are outside", len(NUS) == 20 and (outside <= NUS + 1e-12).all()
)
check("for all 20 values, at least ν are outside or on the sphere", (outside_or_on >= NUS - 1e-12).all())
check("the two differ by one image", np.allclose((outside_or_on - outside) * n, 1), f"1/n = {1 / n:.4f}")
radii = [svdd.exact_radius_squared(squared_distances_of(model, split.train), model.nu) ** 0.5 for model in models]
check(
    "the radius is the one that the models report", np.allclose(radii, [model.radius_ for model in models], rtol=1e-6)
)

# %%
fig, axes = plt.subplots(1, 3, figsize=(11, 3.9))
axes[0].plot(NUS, outside, "o", ms=4, color=BLUE)
axes[0].plot([0, 1], [0, 1], color=GRAY, lw=0.8, zorder=0)
axes[0].set(xlabel="ν", ylabel="share of training images outside", title=f"Outside, {DATA}, n = {n}", aspect="equal")
axes[1].axhline(0, color=GRAY, lw=0.8)
axes[1].plot(NUS, n * (outside_or_on - NUS), "v", ms=6, color=ORANGE, label="outside or on the sphere")
axes[1].plot(NUS, n * (outside - NUS), "^", ms=6, color=BLUE, label="outside")
axes[1].set(xlabel="ν", ylabel="images more than νn", title="The same, minus the diagonal", ylim=(-1.15, 1.9))
axes[1].legend(loc="upper center")
axes[2].plot(NUS, anomalies, ".-", color=RED, label="anomalies, test")
axes[2].plot(NUS, new_normal, ".-", color=GREEN, label="normal, test")
axes[2].plot(NUS, outside, ".-", color=BLUE, label="normal, training")
axes[2].plot([0, 1], [0, 1], color=GRAY, lw=0.8, zorder=0)
axes[2].set(xlabel="ν", ylabel="share outside", title="New data", aspect="equal")
axes[2].legend(loc="lower right", fontsize=9)
figure("fractions-over-nu", fig)

# %% [markdown]
# The left and the middle picture are the proposition. On the left all points seem to lie on the diagonal; the middle
# one magnifies the difference, counted in images. Blue is never above 0, orange never below, and they are one image
# apart: the one on the sphere. The right picture shows the limit of the proposition. It speaks of the *training*
# images. New normal images were not there when the network drew its sphere, and $\nu$ promises nothing of them: with
# the few training images of the digits mostly more than $\nu$ are outside, by up to some 20 points in the quick run,
# and for some values fewer; with the thousands of MNIST the curve is near the diagonal, on either side. ($\nu$ bounds
# the training outliers, not the false alarms. A threshold which bounds those is made in lecture 15.)

# %%
gap = new_normal - NUS
check(
    "of new normal images the share outside is not ν up to one image",
    np.abs(gap).max() > 1 / n,
    f"{100 * gap.min():+.1f} to {100 * gap.max():+.1f} points; at ν = {NUS[5]}: {100 * new_normal[5]:.0f} % of the "
    f"normal and {100 * anomalies[5]:.0f} % of the anomalous test images",
)

# %% [markdown]
# ## Other radii, no property
#
# The proof uses that $R$ is *optimal*. Two other rules from lecture 6 are not: the quantile of the last mini-batch, and
# the search which mixes up $R$ and $R^2$. We train with them for the same values of $\nu$ and count with the radius
# that each of them has set. `predict` moves the sphere out by $10^{-5} R^2$, so that the image on it is not lost to
# rounding; among thousands of images, another one may lie in that thin shell now and then. The proposition is about the
# sphere itself.

# %%
share, broken, shell, differing = {}, {}, 0, 0
for rule in radius.RADIUS_RULES:
    fitted = models if rule == "exact" else [trained(nu, radius_update=rule) for nu in NUS]
    counts = []
    for model in fitted:
        d, squared = squared_distances_of(model, split.train), model.radius_**2
        counts.append((d > squared * (1 + 1e-12)).sum())  # 1e-12: the square of a square root
        in_shell = ((d > squared * (1 + 1e-12)) & (d <= squared * (1 + radius.BOUNDARY_SLACK))).sum()
        shell += in_shell
        differing += counts[-1] - (model.predict(split.train) == -1).sum() != in_shell
    share[rule] = np.array(counts) / n
    broken[rule] = int(((share[rule] > NUS + 1e-12) | (share[rule] + 1 / n < NUS - 1e-12)).sum())
check("exact: at most ν are outside, and with the one on the sphere at least ν", broken["exact"] == 0)
check(
    "`predict` finds the same, but for images in the shell",
    differing == 0,
    f"{shell} of {len(radius.RADIUS_RULES) * len(NUS) * n} decisions",
)
for rule in ("last-batch", "authors-theano"):
    check(f"{rule}: the property is lost", broken[rule] > len(NUS) // 2, f"for {broken[rule]} of {len(NUS)} values")

# %%
fig, ax = plt.subplots(figsize=(5.4, 4.4))
for rule, color in (("exact", BLUE), ("last-batch", ORANGE), ("authors-theano", RED)):
    ax.plot(NUS, share[rule], ".-", color=color, label=f"{rule}: {broken[rule]} of {len(NUS)} violate it")
ax.plot([0, 1], [0, 1], color=GRAY, lw=0.8, zorder=0)
ax.set(
    xlabel="ν",
    ylabel="share of training images outside",
    title="Only the exact radius has the property",
    aspect="equal",
)
ax.legend(fontsize=9)
figure("other-rules", fig)

# %% [markdown]
# ## Between two updates
#
# During training $R$ is solved for every 5 epochs, and in between the weights move while $R$ stands still.
# Samples outside are pulled in, so the share outside falls below $\nu$; then $R$ shrinks and the share jumps back. The
# property holds at the moment after each update, hence `DeepSVDD` ends with one. `history_` has the share of every
# epoch (as training saw it, batch by batch):

# %%
histories = {every: trained(0.1, radius_every=every, epochs=max(EPOCHS, 20)).history_ for every in (1, 5, 10)}
means = {every: np.mean(history["fraction_outside"]) for every, history in histories.items()}
check(
    "the more often R is solved for, the nearer to ν is the share outside on average",
    means[10] < means[1],
    ", ".join(f"every {every}: {100 * mean:.1f} %" for every, mean in means.items()),
)

# %%
fig, ax = plt.subplots(figsize=(7.2, 3.4))
for (every, history), color in zip(histories.items(), (GREEN, BLUE, PURPLE)):
    label = f"every {every} epochs" if every > 1 else "every epoch"
    ax.plot(history["epoch"], history["fraction_outside"], color=color, lw=1.6, label=label)
ax.xaxis.get_major_locator().set_params(integer=True)
ax.axhline(0.1, color=GRAY, ls="--", lw=1, label="ν")
ax.set(xlabel="epoch", ylabel="share outside", title="The share outside while the weights move, R solved for ...")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure("between-updates", fig)

# %% [markdown]
# Even where $R$ is solved for in every epoch, training sees far fewer samples outside than $\nu$. The radius is right
# at the start of an epoch, for all samples and in evaluation mode. Then each step pulls those outside inwards, and
# batch by batch there are fewer left; and training sees the outputs of batch norm in *training* mode, which differ. So
# read $\nu$ with care: it is the share outside of the sphere of the finished model, and no statement about how many
# samples have taught it anything. Of a batch of 32 with 2 % outside, not even one has a gradient on average; the others
# have none.

# %%
per_batch = {every: SETTINGS["batch_size"] * mean for every, mean in means.items()}
check(
    "solving for R in every epoch, training still sees fewer than ν outside",
    means[1] < 0.1,
    f"{100 * means[1]:.1f} %, {per_batch[1]:.1f} of a batch of {SETTINGS['batch_size']}",
)

# %% [markdown]
# ## And the one-class objective?
#
# (4) has no radius and no $\nu$. But the proof needs only distances and a radius that is optimal for them. `DeepSVDD`
# with `objective="one-class"` uses this for its threshold: $\nu$ plays no part in training, and afterwards the radius
# is the exact one for that $\nu$.

# %%
one_class = trained(0.1, objective="one-class")
d = squared_distances_of(one_class, split.train)
bounds = [((d > svdd.exact_radius_squared(d, nu)).mean(), (d >= svdd.exact_radius_squared(d, nu)).mean()) for nu in NUS]
check(
    "one trained network, 20 radii: all bounds hold",
    all(low <= nu + 1e-12 and high >= nu - 1e-12 for nu, (low, high) in zip(NUS, bounds)),
)

# %% [markdown]
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★ **From price to share.** A colleague writes the objective as $R^2 + C\sum_i\max(0, d_i - R^2)$. What is her $C$
#    in terms of $\nu$? What happens for $C < 1/n$? Check with the eleven distances $0, 1, \dots, 10$.
# 2. ★★ **A squared hinge.** Replace $\max(0, d_i - R^2)$ by its square. Derive the condition for the optimal $u = R^2$
#    (it has no closed form; solve for it numerically) and show by an example that the share outside is no longer tied
#    to $\nu$: it depends on the *unit* in which distances are measured.
# 3. ★★★ **New data.** Let the network be fixed, and *not* trained on the $n$ samples that set the radius $R_*^2 =
#    d_{(k+1)}$, $k = \nu n$ an integer, all distances different. Show, by counting ranks, that one more sample of the
#    same distribution is outside with the probability $(\nu n + 1)/(n + 1)$, barely more than $\nu$; confirm it by
#    simulation. Why does the picture of new data not contradict you? Hint: which ranks, counted from the outside, may
#    the new sample have if it is to be outside?
#
# Solutions: `lectures/solutions/08_nu_property.py`.

# %%
finish()
