# %% [markdown]
# # Solutions to 8. The ν-property
#
# *Needs: no data. Minutes: 0.1 quick, 0.1 full.*

# %%
import numpy as np
from scipy.optimize import minimize_scalar

from minisvdd import svdd
from minisvdd.lecture import check, finish

rng = np.random.default_rng(8)

# %% [markdown]
# ## Exercise 1
#
# $C = \frac1{\nu n}$, so $\nu = \frac1{Cn}$: her $C$ is a share in disguise, and one that changes its meaning with $n$.
# For $C < \frac1n$ there would be $\nu > 1$: the slope of $J(u) = u + C\sum_i\max(0, d_i-u)$ is
# $1 - C\,\#\{d_i > u\} \ge 1 - Cn > 0$ everywhere. The best radius is 0, and the sphere is empty.

# %%
d = np.arange(11.0)


def best_on_grid(C):
    u = np.linspace(0, 11, 1101)
    return u[np.argmin([v + C * np.maximum(0, d - v).sum() for v in u])]


for nu in (0.15, 0.5, 0.95):
    C = 1 / (nu * len(d))
    check(
        f"C = {C:.3f} is ν = {nu}",
        np.isclose(best_on_grid(C), svdd.exact_radius_squared(d, nu)),
        f"u = {best_on_grid(C):.2f}",
    )
check("C < 1/n: the best radius is 0", best_on_grid(0.9 / len(d)) == 0)

# %% [markdown]
# ## Exercise 2
#
# $J(u) = u + \frac1{\nu n}\sum_i\max(0, d_i-u)^2$ is convex and has a derivative everywhere:
#
# $$ J'(u) = 1 - \frac{2}{\nu n}\sum_i\max(0, d_i-u) = 0
#    \qquad\Leftrightarrow\qquad \frac1n\sum_i\max(0, d_i - u) = \frac\nu2 . $$
#
# The condition fixes the *mean excess*, not the number of those who exceed. An excess has a unit. Measure distances in
# millimetres instead of metres, and the same $\nu$ allows a mean excess that is, relative to the data, $10^6$ times
# smaller (squared distances!): almost nobody stays outside. With the plain hinge both sides of the balance are counts,
# and counts have no unit.

# %%
d, nu = rng.gamma(3, size=500), 0.1
shares, hinge = [], []
for unit in (0.1, 1.0, 10.0, 100.0):
    scaled = unit * d
    search = minimize_scalar(
        lambda u, s=scaled: u + (np.maximum(0, s - u) ** 2).mean() / nu, bounds=(0, scaled.max()), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    excess = np.maximum(0, scaled - search.x).mean()
    if search.x > 1e-6:
        check(f"unit {unit:g}: the mean excess is ν/2", np.isclose(excess, nu / 2, rtol=1e-3), f"{excess:.5f}")
    shares.append(float((scaled > search.x).mean()))
    hinge.append(float((scaled > svdd.exact_radius_squared(scaled, nu)).mean()))
check("squared hinge: the share outside follows the unit", shares[0] > 5 * shares[-1], f"{shares}")
check("hinge: it does not", np.ptp(hinge) == 0, f"{hinge}")

# %% [markdown]
# ## Exercise 3
#
# The new sample and the $n$ old ones are drawn alike, so each of the $n + 1$ ranks is equally likely for the new one.
# It is outside if its distance exceeds $d_{(k+1)}$, that is, if at most $k$ of the old samples are further out. So its
# rank, counted from the outside, is one of $1, \dots, k+1$:
#
# $$ P(\text{outside}) = \frac{k+1}{n+1} = \frac{\nu n+1}{n+1} = \nu + \frac{1-\nu}{n+1} . $$
#
# In the lecture the network was *trained* on the old samples. It has pulled them in, one by one, and the new sample is
# not drawn like they are: its ranks are not equally likely. With samples held back from training they are, which is how
# lecture 15 sets thresholds.

# %%
n, nu, draws = 20, 0.2, 40000
d = rng.gamma(3, size=(draws, n + 1))
radii = np.sort(d[:, :n], axis=1)[:, ::-1][:, round(nu * n)]
check(
    "radii are the exact ones", all(svdd.exact_radius_squared(row[:n], nu) == u for row, u in zip(d[:200], radii[:200]))
)
share, expected = (d[:, n] > radii).mean(), (nu * n + 1) / (n + 1)
sigma = np.sqrt(expected * (1 - expected) / draws)
check(
    "the simulation agrees to 4 standard errors",
    abs(share - expected) < 4 * sigma,
    f"{share:.4f}, expected {expected:.4f} ± {sigma:.4f}",
)
check("and tells it from ν", abs(share - nu) > 4 * sigma)
best = svdd.exact_radius_squared(d[0], nu)
check(
    "J is smallest there",
    svdd.soft_boundary_objective(best, d[0], nu) <= min(svdd.soft_boundary_objective(u, d[0], nu) for u in d[0]),
)

# %%
finish()
