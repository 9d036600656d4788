# %% [markdown]
# # Solutions to 1. The idea

# %%
import numpy as np
from scipy.optimize import minimize
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KernelDensity

from minisvdd.lecture import check, finish

rng = np.random.default_rng(10)
angle = rng.uniform(0, np.pi, 50)
X = np.column_stack([np.cos(angle), np.sin(angle) - 0.4]) + 0.1 * rng.normal(size=(50, 2))
new = rng.uniform(-1.5, 1.5, size=(40, 2))
n = len(X)


def solve_dual(K, nu, linear):
    """Maximise  linear' alpha - alpha' K alpha  over 0 <= alpha <= 1/(nu n), sum alpha = 1."""
    n = len(K)
    found = minimize(
        lambda a: a @ K @ a - linear @ a,
        np.full(n, 1 / n),
        jac=lambda a: 2 * K @ a - linear,
        bounds=[(0, 1 / (nu * n))] * n,
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1, "jac": lambda a: np.ones(n)},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    return found.x


# %% [markdown]
# ## Exercise 1
#
# For $\nu = 1$ the constraints are $0 \le \alpha_i \le \frac1n$ and $\sum_i \alpha_i = 1$. Only one point fulfils them:
# $\alpha_i = \frac1n$ for all $i$. The centre is the mean of all $\varphi(x_i)$, and the score of the one-class SVM is
# $\langle w, \varphi(x) \rangle = \frac1n \sum_i k(x_i, x)$. With a Gaussian kernel that is a kernel density estimate
# with the bandwidth $h = 1 / \sqrt{2\gamma}$, but for its normalising factor.

# %%
gamma = 3.0
K = rbf_kernel(X, X, gamma=gamma)
alpha = solve_dual(K, 1.0, np.diag(K))
density = KernelDensity(bandwidth=1 / np.sqrt(2 * gamma)).fit(X)
ratio = rbf_kernel(new, X, gamma=gamma) @ alpha / np.exp(density.score_samples(new))
check("for nu = 1 all multipliers are 1/n", np.allclose(alpha, 1 / n, rtol=1e-9))
check("and the score is a density but for a factor", np.allclose(ratio, ratio[0], rtol=1e-6), f"factor {ratio[0]:.3f}")

# %% [markdown]
# ## Exercise 2
#
# The two duals differ by $\sum_i \alpha_i\, k(x_i, x_i)$. For the linear kernel that is $\sum_i \alpha_i \lVert x_i
# \rVert^2$, which is not constant: the sphere prefers samples far from its centre, since these are hard to enclose,
# wherever the origin is. The hyperplane wants a short $w = \sum_i \alpha_i x_i$, and puts its weight on samples near
# the origin.

# %%
K = X @ X.T
sphere, hyperplane = solve_dual(K, 0.1, np.diag(K)), solve_dual(K, 0.1, np.zeros(n))
apart = np.abs(sphere - hyperplane).max()
check(
    "with a linear kernel the multipliers differ",
    apart > 0.5 / (0.1 * n),
    f"by up to {apart:.3f}, bound {1 / (0.1 * n):.3f}",
)
far = np.linalg.norm(X - sphere @ X, axis=1)
check(
    "the sphere's samples are farther from its centre",
    sphere @ far > hyperplane @ far,
    f"{sphere @ far:.2f}, {hyperplane @ far:.2f}",
)

# %% [markdown]
# ## Exercise 3
#
# As $\gamma \to \infty$, $k(x_i, x_j) \to 0$ for $i \ne j$: all $\varphi(x_i)$ are perpendicular to each other,
# $\mathcal{K}$ becomes the unit matrix, $\alpha' \mathcal{K} \alpha = \sum_i \alpha_i^2$ is smallest for $\alpha_i =
# \frac1n$, and every sample has the squared distance $1 - \frac2n + \frac1n = 1 - \frac1n$ to the centre. A new point
# has $1 + \frac1n$, wherever it is: the machine knows its samples by heart, and nothing else.
#
# As $\gamma \to 0$, $k(x, z) \approx 1 - \gamma \lVert x - z \rVert^2$. With $\sum_i \alpha_i = 1$ one finds $\alpha'
# \mathcal{K} \alpha \approx 1 - 2 \gamma\, \big( \sum_i \alpha_i \lVert x_i \rVert^2 - \lVert \sum_i \alpha_i x_i
# \rVert^2 \big)$. To make it small is to maximise the dual of the *linear* sphere: for small $\gamma$ we get the
# ordinary sphere in the plane back.

# %%
K = rbf_kernel(X, X, gamma=1e6)
alpha = solve_dual(K, 0.1, np.diag(K))
check("for large gamma, all multipliers are 1/n", np.allclose(alpha, 1 / n, atol=1e-4))
to_samples = 1 - 2 * K @ alpha + alpha @ K @ alpha
to_new = 1 - 2 * rbf_kernel(new, X, gamma=1e6) @ alpha + alpha @ K @ alpha
check("samples are at 1 - 1/n", np.allclose(to_samples, 1 - 1 / n, atol=1e-3))
check("and all other points at 1 + 1/n", np.allclose(to_new, 1 + 1 / n, atol=1e-3))

K = rbf_kernel(X, X, gamma=1e-3)
almost_linear = solve_dual(1e3 * K, 0.1, 1e3 * np.diag(K))
c, c_linear = almost_linear @ X, sphere @ X
check(
    "for small gamma the centre is the linear one",
    np.allclose(c, c_linear, atol=0.01),
    f"{c.round(3)}, {c_linear.round(3)}",
)

# %% [markdown]
# ## Exercise 4
#
# For $\nu n \le 1$ no sample can be outside: it would need $\alpha_i = \frac{1}{\nu n} \ge 1$, and the whole sum is 1
# (at $\nu n = 1$ it may touch the bound, without an excess). So it is the smallest interval that holds all samples: $c
# = 1$, $R^2 = 4$. The samples at $-1$ and 3 are on the sphere. The one at 0 is inside, hence $\alpha_2 = 0$, and $c =
# -\alpha_1 + 3\alpha_3 = 1$ with $\alpha_1 + \alpha_3 = 1$ gives $\alpha_1 = \alpha_3 = \frac12$.

# %%
three = np.array([[-1.0], [0.0], [3.0]])
K = three @ three.T
alpha = solve_dual(K, 0.3, np.diag(K))
check("alpha is (1/2, 0, 1/2)", np.allclose(alpha, [0.5, 0, 0.5], atol=1e-5), f"{alpha.round(4)}")
check("the dual's value is R^2 = 4", np.isclose(np.diag(K) @ alpha - alpha @ K @ alpha, 4, atol=1e-5))

# %% [markdown]
# ## Exercise 5
#
# At most $\nu n = 10$ samples are outside, at least 10 are support vectors, and no $\alpha_i$ is larger than
# $\frac{1}{\nu n} = 0.1$.

# %%
many = rng.normal(size=(200, 2))
K = many @ many.T
alpha = solve_dual(K, 0.05, np.diag(K))
distances = np.sum((many - alpha @ many) ** 2, axis=1)
on_it = (alpha > 1e-4) & (alpha < 0.1 - 1e-4)  # strictly between the bounds: on the sphere
outside, vectors = int(np.sum(distances > distances[on_it].max() + 1e-4)), int(np.sum(alpha > 1e-4))
check("at most 10 outside, at least 10 support vectors", outside <= 10 <= vectors, f"{outside} and {vectors}")
check("no multiplier is above 0.1", alpha.max() < 0.1 + 1e-6, f"{alpha.max():.4f}")

# %%
finish()
