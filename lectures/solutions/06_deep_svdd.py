# %% [markdown]
# # Solutions to 6. Deep SVDD
#
# *Needs: no data. Minutes: 0.1 quick, 0.1 full.*

# %%
import matplotlib.pyplot as plt
import numpy as np

from minisvdd import load_dataset, nn, ops, svdd
from minisvdd.lecture import BLUE, RED, check, figure, finish

rng = np.random.default_rng(6)

# %% [markdown]
# ## Exercise 1
#
# Let $m$ of the $n$ squared distances be positive, and $u_0$ the smallest of these. For $R^2 < u_0$ those $m$ samples
# are outside, so
#
# $$ J(R) = R^2 + \frac1{\nu n}\sum_{d_i > 0} (d_i - R^2) = \Big(1 - \frac m{\nu n}\Big) R^2 + \text{const} , $$
#
# a parabola that opens *downwards* for $m > \nu n$: $J$ is not convex in $R$. (For $m \le \nu n$ no part of it does,
# each is steeper than the one before, and the minimum is at $R = 0$.) But
# $R \mapsto R^2$ maps $[0, \infty)$ one-to-one onto $[0, \infty)$ and keeps the order. So $R$ is a minimiser of
# $R\mapsto J$ exactly if $R^2$ is one of $u\mapsto J(u)$, and that one is convex: no local minimum can trap us.

# %%
d, nu = np.array([6.0, 5.1, 4.2, 3.4, 2.3, 1.6, 1.0, 0.5]), 0.3
R = np.linspace(0, 2.7, 271)
values = np.array([svdd.soft_boundary_objective(r * r, d, nu) for r in R])
bend = np.diff(values, 2)
check("J bends downwards in R near 0", (bend[R[1:-1] ** 2 < 0.4] < 0).all())
u = np.linspace(0, 7, 271)
in_square = np.array([svdd.soft_boundary_objective(v, d, nu) for v in u])
check("and nowhere in R^2", (np.diff(in_square, 2) > -1e-9).all())
few = np.r_[1.0, np.zeros(9)]  # of ten, one is positive, and nu n = 3
of_few = np.array([svdd.soft_boundary_objective(r * r, few, nu) for r in R])
check("nor in R, where nu n or fewer are positive", (np.diff(of_few, 2) > -1e-9).all() and of_few.argmin() == 0)
best = svdd.exact_radius_squared(d, nu)
check(
    "the minimiser is the same",
    abs(R[values.argmin()] - best**0.5) < 0.01,
    f"R = {R[values.argmin()]:.2f}, sqrt(u) = {best**0.5:.2f}",
)

# %%
fig, ax = plt.subplots(figsize=(5, 3.2))
ax.plot(R, values, color=BLUE, lw=1.8)
ax.plot(best**0.5, values.min(), "o", ms=10, mfc="none", mew=2, color=RED)
ax.set(xlabel="R", ylabel="J", title="Concave in R up to the first distance")
figure("objective-in-R", fig)

# %% [markdown]
# ## Exercise 2
#
# For $\nu = 1$ the exact radius is $R_*^2 = d_{(n)}$, the smallest distance, and no sample is inside of it. So
# $\max(0, d_i - R_*^2) = d_i - R_*^2$ for all $i$ and
#
# $$ J = R_*^2 + \frac1n\sum_i (d_i - R_*^2) = \frac1n\sum_i d_i : $$
#
# the value of (4). The gradient for $d_i > R_*^2$ is $\frac2n(\phi_i - c)$, as in (4). The innermost sample sits
# exactly on the kink, where we chose 0. Any $R^2$ in $[0, d_{(n)}]$ is a minimiser too, and with $R^2 = 0$ its gradient
# is that of (4): on a kink, the objective has many subgradients, and both are among them. What changes: the innermost
# sample is not pulled further in during this step. With $n$ samples that is a change of order $1/n$, in the gradient
# that is smallest anyway.

# %%
phi, c = rng.normal(size=(50, 4)), np.full(4, 0.5)
d = ((phi - c) ** 2).sum(axis=1)
radius_squared = svdd.exact_radius_squared(d, 1.0)
soft, soft_grad, _ = ops.soft_boundary_loss(phi, c, radius_squared, 1.0)
one, one_grad, _ = ops.one_class_loss(phi, c)
same = np.isclose(soft_grad, one_grad).all(axis=1)
check("same value", np.isclose(soft, one), f"{soft:.6f}")
check("same gradient for all but the innermost sample", (~same).sum() == 1 and d[~same] == d.min())
check(
    "which lacks the smallest of all gradients", np.linalg.norm(one_grad, axis=1).argmin() == np.flatnonzero(~same)[0]
)

# %% [markdown]
# ## Exercise 3
#
# $\partial J/\partial c = -\frac2n\sum_i(\phi_i - c) = 0$ gives $c = \bar\phi = \frac1n\sum_i\phi_i$, the mean output,
# and the minimum $\frac1n\sum_i\|\phi_i-\bar\phi\|^2$ is the total variance of the outputs. So re-computing $c$
# is a step of minimising (4) over $W$ *and* $c$ in turn: the centre becomes a free variable, and by Proposition 1
# (lecture 7) the optimum is the zero network with $c = 0$. With $c$ fixed, the outputs must stay near a point away from
# 0, which the zero network cannot do.

# %%
phi = rng.normal(size=(40, 3)) + 1
best = ops.one_class_loss(phi, phi.mean(axis=0))[0]
others = [ops.one_class_loss(phi, phi.mean(axis=0) + rng.normal(size=3) * 0.1)[0] for _ in range(200)]
check("no centre is better than the mean", best < min(others))
check("the minimum is the total variance", np.isclose(best, phi.var(axis=0).sum()))

X = svdd.make_preprocessing("gcn-l1").fit_transform(load_dataset("digits").one_class(3).train)


def train_with(recompute):
    """200 epochs of (4) with weight decay, c from the first pass; returns the lengths of c and of a mean output."""
    network = nn.Sequential([nn.Flatten(), nn.Linear(32), nn.LeakyReLU(), nn.Linear(2)])
    network.build(X.shape[1:], np.random.default_rng(0))
    loss = nn.OneClass(nn.outputs(network, X).mean(axis=0))

    plan = nn.Plan(epochs=200, learning_rate=1e-2, weight_decay=0.1, batch_size=32)
    training = nn.Training(network, loss, X, plan, np.random.default_rng(1))
    while not training.is_done:
        training.start_epoch()
        training.finish_epoch()
        if recompute:
            loss.center = nn.outputs(network, X).mean(axis=0)
    return np.linalg.norm(loss.center), np.linalg.norm(nn.outputs(network, X), axis=1).mean()


fixed, moving = train_with(False), train_with(True)
check(
    "c fixed: the outputs stay at its length",
    abs(fixed[1] / fixed[0] - 1) < 0.1,
    f"|c| {fixed[0]:.3f}, outputs {fixed[1]:.3f}",
)
check("c recomputed: both vanish", max(moving) < 1e-3 * fixed[0], f"|c| {moving[0]:.1e}, outputs {moving[1]:.1e}")

# %%
finish()
