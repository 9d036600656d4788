# %% [markdown]
# # 1. The idea
#
# Show a machine many pictures of healthy cells, or the hum of a good engine, and nothing else. It shall learn what is
# normal, and sound an alarm at whatever is not, though it has never seen such a thing. This is one-class
# classification. Its oldest answer is a sphere around the data; its next one is a sphere in a space of features; and
# Deep SVDD learns the features. We walk this way in two dimensions, where everything can be drawn.
#
# **Before you start:** vectors, means and gradients of functions of several variables; Lagrange multipliers, and what a
# convex function is. A first reading takes about 40 minutes. **Letters** (`docs/notation.md` has all of them): here
# $\alpha_i$ is a multiplier, $\gamma$ the width of a kernel, and $k(x, z)$ is the kernel.
#
# *Needs: no data. Minutes: 0.2 quick, 0.3 full.*

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score
from sklearn.svm import OneClassSVM

from minisvdd import DeepSVDD, nn, svdd
from minisvdd.experiments.paper import TABLE_1
from minisvdd.lecture import BLUE, GRAY, GREEN, RED, check, choose, figure, finish, show
from minisvdd.svdd import plain

rng = np.random.default_rng(1)


def crescent(rng, n):
    """Normal samples: a half-moon with some noise.  (n, 2)."""
    angle = rng.uniform(0, np.pi, n)
    return np.column_stack([np.cos(angle), np.sin(angle) - 0.4]) + 0.1 * rng.normal(size=(n, 2))


def everywhere(rng, n):
    """Anomalies for testing: anything, anywhere.  (n, 2)."""
    return rng.uniform([-1.8, -1.2], [1.8, 1.4], size=(n, 2))


# %% [markdown]
# ## The question
#
# Given are samples $x_1, \dots, x_n$, all of them normal or nearly all. Sought is a function $s(x)$, the anomaly score,
# that is small where normal samples are found and large elsewhere, and a threshold. There are no examples of anomalies
# to learn from; they serve for testing only. In this lecture the normal samples lie on a crescent:

# %%
normal, test_normal, test_anomalous = crescent(rng, 100), crescent(rng, 300), everywhere(rng, 300)
test = np.vstack([test_normal, test_anomalous])
is_anomaly = np.arange(600) >= 300

# %%
fig, axes = plt.subplots(1, 2, figsize=(7.6, 3), sharex=True, sharey=True)
axes[0].scatter(*normal.T, s=12, color=BLUE)
axes[0].set_title("what the machine sees")
axes[1].scatter(*test_anomalous.T, s=8, color=RED, alpha=0.6)
axes[1].scatter(*test_normal.T, s=8, color=BLUE, alpha=0.6)
axes[1].set_title("what it is tested on")
for ax in axes:
    ax.set_aspect("equal")
figure("question")

# %% [markdown]
# ## The smallest sphere
#
# *Support vector data description* (SVDD; Tax and Duin, 2004) puts the smallest sphere around the samples. With centre
# $c$ and radius $R$, the anomaly score is the squared distance to the centre, and the threshold $R^2$. All samples
# inside would be too strict, since some may be bad; so each may stay outside at a price. The excess $\xi_i \ge 0$ is
# what its squared distance is beyond $R^2$:
#
# $$ \min_{c,\, R^2,\, \xi} \;\; R^2 + \frac{1}{\nu n} \sum_{i=1}^n \xi_i
# \qquad\text{such that}\quad \lVert x_i - c \rVert^2 \le R^2 + \xi_i, \quad \xi_i \ge 0 . $$
#
# The number $\nu$ between 0 and 1 sets the price; what it means we shall see soon. For given $c$ and $R^2$ the
# best $\xi_i$ is $\max(0, d_i - R^2)$ with $d_i = \lVert x_i - c \rVert^2$, and the constraints are gone:
#
# $$ J(c, R^2) = R^2 + \frac{1}{\nu n} \sum_{i=1}^n \max\big(0,\; \lVert x_i - c \rVert^2 - R^2\big) . $$
#
# In the variables $c$ and $u = R^2$ this is convex, with three numbers to find for our plane. SciPy finds them:


# %%
def primal_objective(parameters, X, nu):
    c, u = parameters[:-1], parameters[-1]
    excess = np.maximum(0, np.sum((X - c) ** 2, axis=1) - u)
    return u + excess.mean() / nu


def solve_primal(X, nu):
    """(c, R^2, J)."""
    start = np.append(X.mean(axis=0), 1.0)
    options = {"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20000, "maxfev": 20000}
    found = minimize(primal_objective, start, args=(X, nu), method="Nelder-Mead", options=options)
    return found.x[:-1], found.x[-1], found.fun


nu = 0.1
c, radius_squared, primal_value = solve_primal(normal, nu)
d = np.sum((normal - c) ** 2, axis=1)
outside = np.mean(d > radius_squared * (1 + 1e-6))
check("at most a fraction nu lies outside", outside <= nu, f"{outside:.0%} with nu = {nu:.0%}")
order_statistic = svdd.exact_radius_squared(d, nu)
check(
    "R^2 is one of the distances themselves",
    np.isclose(radius_squared, order_statistic, rtol=1e-5),
    f"{order_statistic:.4f}",
)

# %% [markdown]
# The second check anticipates lecture 6: for fixed $c$ the best $R^2$ is an order statistic of the distances, and needs
# no search (`exact_radius_squared`).
#
# ## The dual
#
# Constrained problems have a second side. Give each constraint a multiplier, $\alpha_i \ge 0$ for the distances and
# $\zeta_i \ge 0$ for $\xi_i \ge 0$, and form the Lagrangian
#
# $$ \mathcal{L} = R^2 + \frac{1}{\nu n} \sum_i \xi_i
# - \sum_i \alpha_i \big(R^2 + \xi_i - \lVert x_i - c \rVert^2\big) - \sum_i \zeta_i\, \xi_i . $$
#
# At the solution its derivatives by $R^2$, $c$ and $\xi_i$ vanish:
#
# $$ \begin{aligned}
# 1 - \sum_i \alpha_i = 0 &\quad\Longrightarrow\quad \sum_i \alpha_i = 1 , \\
# 2 \sum_i \alpha_i (c - x_i) = 0 &\quad\Longrightarrow\quad c = \sum_i \alpha_i\, x_i , \\
# \frac{1}{\nu n} - \alpha_i - \zeta_i = 0 &\quad\Longrightarrow\quad 0 \le \alpha_i \le \frac{1}{\nu n} .
# \end{aligned} $$
#
# The centre is a weighted mean of the samples. Put this back into $\mathcal{L}$: the terms with $R^2$ and with $\xi_i$
# cancel, and what is left is a function of $\alpha$ alone, to be *maximised*:
#
# $$ \sum_i \alpha_i \lVert x_i - c \rVert^2
# = \sum_i \alpha_i\, \langle x_i, x_i \rangle - \sum_{i,j} \alpha_i\, \alpha_j\, \langle x_i, x_j \rangle . $$
#
# It is a quadratic function of $n$ numbers under simple constraints, again a task for SciPy. We write it with a matrix
# $\mathcal{K}_{ij} = \langle x_i, x_j \rangle$, for a reason:


# %%
def solve_dual(K, nu):
    """The alpha that maximises the dual, and its value."""
    n = len(K)
    found = minimize(
        lambda a: a @ K @ a - np.diag(K) @ a,
        np.full(n, 1 / n),
        jac=lambda a: 2 * K @ a - np.diag(K),
        bounds=[(0, 1 / (nu * n))] * n,
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1, "jac": lambda a: np.ones(n)},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    return found.x, -found.fun


alpha, dual_value = solve_dual(normal @ normal.T, nu)
check(
    "primal and dual have the same value",
    np.isclose(primal_value, dual_value, rtol=1e-6),
    f"{primal_value:.6f}, {dual_value:.6f}",
)
check("the centre is the weighted mean", np.allclose(alpha @ normal, c, atol=1e-4), f"({c[0]:.4f}, {c[1]:.4f})")

# %% [markdown]
# A multiplier is positive only where its constraint is tight (complementary slackness: $\alpha_i\, (R^2 + \xi_i -
# d_i) = 0$ and $\zeta_i\, \xi_i = 0$). This sorts the samples into three kinds:
#
# | sample | $\xi_i$ | $\alpha_i$ | $\zeta_i = \frac{1}{\nu n} - \alpha_i$ |
# |---|---|---|---|
# | inside, $d_i < R^2$ | 0 | 0 | positive |
# | on the sphere, $d_i = R^2$ | 0 | anything between | anything between |
# | outside, $d_i > R^2$ | positive | $\frac{1}{\nu n}$ | 0 |
#
# Only samples on the sphere or outside have a say in where the centre is. They are the *support vectors*.

# %%
bound, small = 1 / (nu * len(normal)), 1e-4
inside, beyond = d < radius_squared - 1e-3, d > radius_squared + 1e-3
check("inside, alpha is 0", np.all(alpha[inside] < small), f"{inside.sum()} samples")
check("outside, alpha is 1/(nu n)", np.all(alpha[beyond] > bound - small), f"{beyond.sum()} samples")
check("the others lie on the sphere", 0 < np.sum(~inside & ~beyond) <= 4, f"{np.sum(~inside & ~beyond)} samples")

# %% [markdown]
# ## What $\nu$ means
#
# The table and $\sum_i \alpha_i = 1$ prove it in two lines. Each sample outside has $\alpha_i = \frac{1}{\nu n}$, and
# these add up to 1 at most; and since no $\alpha_i$ is larger than $\frac{1}{\nu n}$, it takes at least $\nu n$ of them
# to reach 1:
#
# $$ \begin{aligned}
# \frac{\#\{\text{outside}\}}{\nu n} \;\le\; \sum_i \alpha_i = 1 \;&\le\; \frac{\#\{\text{support vectors}\}}{\nu n}
# \qquad\Longrightarrow \\
# \frac{\#\{\text{outside}\}}{n} \;\le\; \nu \;&\le\; \frac{\#\{\text{outside or on}\}}{n} .
# \end{aligned} $$
#
# So $\nu$ is the fraction of the training samples that we are ready to call anomalous, and the few on the sphere make
# up for what the fraction lacks to a whole number. Deep SVDD inherits this property (Proposition 4, lecture 8).

# %%
fig, axes = plt.subplots(1, 3, figsize=(8.6, 3), sharey=True)
turn = np.linspace(0, 2 * np.pi, 200)
for ax, value in zip(axes, (0.01, 0.1, 0.4)):
    center, u, _ = solve_primal(normal, value)
    squared = np.sum((normal - center) ** 2, axis=1)
    fractions = np.mean(squared > u + 1e-6), np.mean(squared >= u - 1e-4)
    check(
        f"nu = {value}",
        fractions[0] <= value <= fractions[1],
        f"outside {fractions[0]:.2f}, outside or on {fractions[1]:.2f}",
    )
    ax.scatter(*normal.T, s=9, color=np.where(squared > u + 1e-6, RED, BLUE))
    ax.plot(center[0] + np.sqrt(u) * np.cos(turn), center[1] + np.sqrt(u) * np.sin(turn), color=GREEN)
    ax.plot(*center, "x", color=GREEN)
    ax.set(title=f"$\\nu$ = {value}", aspect="equal", xlim=(-1.8, 1.8), ylim=(-1.5, 1.5))
figure("spheres")

# %% [markdown]
# ## A sphere in another space
#
# For a crescent a sphere is a poor description: the empty middle counts as the most normal place of all. But look at
# the dual: samples occur in it only inside of inner products. So does the distance to the centre. Nothing stops us from
# mapping the samples somewhere first, $x \mapsto \varphi(x)$, and to build the sphere there. We need not even know
# $\varphi$, only the inner products, the *kernel* $k(x, z) = \langle \varphi(x), \varphi(z) \rangle$:
#
# $$ \lVert \varphi(x) - c \rVert^2
# = k(x, x) - 2 \sum_i \alpha_i\, k(x_i, x) + \sum_{i,j} \alpha_i\, \alpha_j\, k(x_i, x_j) . $$
#
# The most popular kernel is Gaussian, $k(x, z) = \exp(-\gamma \lVert x - z \rVert^2)$; its $\varphi$ leads into a space
# of infinitely many dimensions. In the code, $\mathcal{K}$ is all that changes:


# %%
def gaussian_kernel(A, B, gamma):
    squared = np.sum(A**2, axis=1)[:, None] + np.sum(B**2, axis=1) - 2 * A @ B.T
    return np.exp(-gamma * squared)


gamma = 3.0
K = gaussian_kernel(normal, normal, gamma)
alpha, value = solve_dual(K, nu)


def kernel_distance(x):
    """Squared distance to the centre in feature space."""
    return 1 - 2 * gaussian_kernel(x, normal, gamma) @ alpha + alpha @ K @ alpha


kernel_radius_squared = svdd.exact_radius_squared(kernel_distance(normal), nu)
auc_sphere = roc_auc_score(is_anomaly, np.sum((test - c) ** 2, axis=1))
auc_kernel = roc_auc_score(is_anomaly, kernel_distance(test))
check(
    "the kernel finds more anomalies", auc_kernel > auc_sphere + 0.1, f"AUC {auc_kernel:.3f} against {auc_sphere:.3f}"
)

# %% [markdown]
# ## The other way to see it: a hyperplane
#
# The *one-class SVM* (Schölkopf et al., 2001) asks for something else. In feature space it seeks a hyperplane $\langle
# w, \varphi(x) \rangle = \rho$ that keeps the samples on one side, as far from the origin as possible:
#
# $$ \min_{w,\, \rho,\, \xi} \;\; \frac{1}{2} \lVert w \rVert^2 - \rho + \frac{1}{\nu n} \sum_i \xi_i
# \qquad\text{such that}\quad \langle w, \varphi(x_i) \rangle \ge \rho - \xi_i, \quad \xi_i \ge 0 . $$
#
# The same steps as above lead to $w = \sum_i \alpha_i\, \varphi(x_i)$, the same constraints on $\alpha$, and the dual
#
# $$ \min_\alpha \;\; \frac{1}{2} \sum_{i,j} \alpha_i\, \alpha_j\, k(x_i, x_j)
# \qquad\text{such that}\quad 0 \le \alpha_i \le \frac{1}{\nu n}, \quad \sum_i \alpha_i = 1 . $$
#
# Compare with the sphere's dual. They differ in the term $\sum_i \alpha_i\, k(x_i, x_i)$. For a Gaussian kernel $k(x,
# x) = e^0 = 1$, and the term is $\sum_i \alpha_i = 1$, a constant. **Under a Gaussian kernel both are the same
# problem**, with the same $\alpha$ and the same ranking of all points. In the space of features the reason can be seen:
# $k(x, x) = 1$ says that all $\varphi(x)$ lie on the unit sphere around the origin, and there a ball and a half-space
# cut out the same cap:
#
# $$ \begin{aligned}
# \lVert \varphi(x) - c \rVert^2 \le R^2
# &\quad\Longleftrightarrow\quad 1 - 2 \langle c, \varphi(x) \rangle + \lVert c \rVert^2 \le R^2 \\
# &\quad\Longleftrightarrow\quad \langle c, \varphi(x) \rangle \ge \rho, \qquad
# \rho = \tfrac12 \big(1 + \lVert c \rVert^2 - R^2\big) .
# \end{aligned} $$

# %%
svm = OneClassSVM(kernel="rbf", gamma=gamma, nu=nu, tol=1e-8).fit(normal)
alpha_svm = np.zeros(len(normal))
alpha_svm[svm.support_] = svm.dual_coef_[0] / (nu * len(normal))  # scikit-learn's coefficients sum to nu n
check(
    "sphere and hyperplane have the same alpha",
    np.allclose(alpha, alpha_svm, atol=1e-3),
    f"largest difference {np.abs(alpha - alpha_svm).max():.0e}",
)

as_hyperplane = svm.score_samples(test) / (nu * len(normal))
as_sphere = (1 + alpha @ K @ alpha - kernel_distance(test)) / 2
check(
    "and rank all test points alike",
    np.abs(as_hyperplane - as_sphere).max() < 1e-3,
    f"{np.abs(as_hyperplane - as_sphere).max():.0e}",
)

grid_x, grid_y = np.meshgrid(np.linspace(-1.8, 1.8, 150), np.linspace(-1.3, 1.4, 120))
grid = np.column_stack([grid_x.ravel(), grid_y.ravel()])

# %%
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.3), width_ratios=[1.25, 1])
axes[0].contourf(grid_x, grid_y, kernel_distance(grid).reshape(grid_x.shape), 14, cmap="Blues_r", alpha=0.6)
axes[0].contour(
    grid_x, grid_y, kernel_distance(grid).reshape(grid_x.shape), [kernel_radius_squared], colors=GREEN, linewidths=3
)
axes[0].contour(grid_x, grid_y, svm.decision_function(grid).reshape(grid_x.shape), [0], colors=RED, linestyles="--")
axes[0].scatter(*normal.T, s=7, color=BLUE)
axes[0].set_title("sphere (green) and hyperplane (red)")

arc = np.linspace(0.35, 1.45, 9)
middle = np.array([np.cos(0.9), np.sin(0.9)]) * 0.86
reach = np.sqrt(np.sum((np.array([np.cos(0.35), np.sin(0.35)]) - middle) ** 2))
axes[1].plot(np.cos(turn), np.sin(turn), color=GRAY, linewidth=1)
axes[1].plot(np.cos(arc), np.sin(arc), "o", color=BLUE, markersize=4)
axes[1].plot(middle[0] + reach * np.cos(turn), middle[1] + reach * np.sin(turn), color=GREEN)
ends = np.array([[np.cos(a), np.sin(a)] for a in (0.35, 1.45)])
line = ends.mean(axis=0) + np.outer([-1.5, 1.5], ends[1] - ends[0])
axes[1].plot(*line.T, "--", color=RED)
axes[1].plot(0, 0, "k+")
axes[1].set(
    aspect="equal", xlim=(-1.15, 1.6), ylim=(-1.15, 1.6), title="the same cap of the unit sphere", xticks=[], yticks=[]
)
figure("equivalence")

# %% [markdown]
# ## Learning the features
#
# The kernel's features are fixed before any data is seen: two images are alike if their pixels are. Move a digit by two
# pixels, and for the kernel it is another one. And the matrix $\mathcal{K}$ has $n^2$ entries, and every score is a sum
# over the support vectors.
#
# Deep SVDD keeps the sphere and learns the map. A network $\phi(x; W)$ with weights $W$ takes the place of $\varphi$.
# The paper has two objectives. The *soft-boundary* one is the SVDD objective from above, now minimised over the
# weights, for a centre that is fixed beforehand:
#
# $$ \min_{R, W} \;\; R^2 + \frac{1}{\nu n} \sum_i \max\big(0,\, \lVert \phi(x_i; W) - c \rVert^2 - R^2\big)
# + \frac{\lambda}{2} \sum_l \lVert W^l \rVert_F^2 . $$
#
# The *one-class* objective trusts that nearly all training data is normal, and draws all of it to the centre:
#
# $$ \min_{W} \;\; \frac{1}{n} \sum_i \lVert \phi(x_i; W) - c \rVert^2
# + \frac{\lambda}{2} \sum_l \lVert W^l \rVert_F^2 . $$
#
# In both cases the score of $x$ is $\lVert \phi(x; W) - c \rVert^2$, of the soft boundary less $R^2$. Normal samples
# are mapped next to $c$; what is unlike them, the network has never learned to map there. That is Figure 1 of the
# paper, here with a small network from the plane to the plane (`DeepSVDD`):

# %%
network = nn.Sequential(
    [nn.Linear(64), nn.BatchNorm(), nn.LeakyReLU(), nn.Linear(64), nn.BatchNorm(), nn.LeakyReLU(), nn.Linear(2)]
)
model = DeepSVDD(
    network=network,
    preprocessing=None,
    objective="soft-boundary",
    nu=nu,
    threshold="nu",  # train on all samples, and count those outside; lecture 15 has another one
    learning_rate=3e-3,
    epochs=choose(150, 400),
    milestones=(choose(120, 350),),
    pretrain_epochs=0,
    batch_size=50,
    verbose=0,
    random_state=0,
)
model.fit(normal.astype(np.float32))
auc_deep = roc_auc_score(is_anomaly, model.anomaly_score(test.astype(np.float32)))
print(f"AUC: sphere {auc_sphere:.3f}, kernel {auc_kernel:.3f}, network {auc_deep:.3f}, radius {model.radius_:.3g}")

# %%
deep = model.anomaly_score(grid.astype(np.float32)).reshape(grid_x.shape)  # for soft-boundary: minus R^2
latent = {name: model.network_.forward(x.astype(np.float32)) for name, x in (("a", test_anomalous), ("n", test_normal))}

# %%
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.5), width_ratios=[1.2, 1])
axes[0].contourf(grid_x, grid_y, np.sqrt(np.maximum(deep + model.radius_**2, 0)), 14, cmap="Blues_r", alpha=0.6)
axes[0].contour(grid_x, grid_y, deep, [0], colors=GREEN, linewidths=2)
axes[1].plot(*(model.center_[:, None] + model.radius_ * np.array([np.cos(turn), np.sin(turn)])), color=GREEN)
for ax, anomalous, fine in ((axes[0], test_anomalous, test_normal), (axes[1], latent["a"], latent["n"])):
    ax.scatter(*anomalous.T, s=8, color=RED, alpha=0.7)
    ax.scatter(*fine.T, s=8, color=BLUE, alpha=0.7)
axes[0].set_title("the plane, and the network's score")
reach = 12 * model.radius_
axes[1].set(title="the output space, and the sphere", aspect="equal")
axes[1].set(xlim=model.center_[0] + reach * np.array([-1, 1]), ylim=model.center_[1] + reach * np.array([-1, 1]))
figure("figure_1")

# %%
scores = model.anomaly_score(test.astype(np.float32))
inside_normal, inside_anomalous = np.mean(scores[~is_anomaly] <= 0), np.mean(scores[is_anomaly] <= 0)
check(
    "the network is better than the plain sphere",
    auc_deep > auc_sphere + 0.05,
    f"AUC {auc_deep:.3f} against {auc_sphere:.3f}",
)
check(
    "normal samples are mapped into the sphere, anomalies beside it",
    inside_normal > 3 * inside_anomalous,
    f"inside are {inside_normal:.0%} of the normal and {inside_anomalous:.0%} of the anomalous test samples",
)

# %% [markdown]
# With its straight pieces the network draws a coarser border than the kernel, and in the plane the kernel stays ahead:
# here the distance between two points is all there is to know. Does learning the features pay for images? That is a
# question for measurements, and the answer is not what one might expect: in the paper's Table 1 the network leads on
# digits, and on photographs, of which the pixels say least, a kernel that learns nothing is about as good:

# %%
for data in ("mnist", "cifar10"):
    means = {name: np.mean([row[name][0] for row in TABLE_1[data].values()]) for name in ("oc-svm", "kde", "one-class")}
    print(f"{data:8s}" + ", ".join(f"{name} {value:.1f}" for name, value in means.items()))
    lead = means["one-class"] - max(means["oc-svm"], means["kde"])
    expected = lead > 2 if data == "mnist" else abs(lead) < 0.5
    check(
        f"{data}: {'the network leads' if data == 'mnist' else 'neither leads'}", expected, f"{lead:+.1f} points of AUC"
    )

# %% [markdown]
# Lecture 10 looks into the reasons: features learnt from normal photographs alone need not be those by which the others
# differ.
#
# ## The whole method on one screen
#
# What has `fit` done? Less than one might fear. The library has the method a second time, in `minisvdd/svdd/plain.py`,
# without anything that makes an estimator convenient: a centre, a radius, batches, a gradient, a step. A network is
# whatever has `forward` and `backward`, `params` and `grads`. Read it now for the plan, and again after lecture 6,
# which derives its lines:

# %%
show(plain)

# %% [markdown]
# A test of the library holds this screen and the estimator together. So do we, with a small network and from the same
# random start; both draw the weights first and the batches then:

# %%
X, X_test = normal.astype(np.float32), test.astype(np.float32)
settings = {"epochs": 50, "learning_rate": 1e-3, "batch_size": 50}


def small_network():
    return nn.Sequential([nn.Linear(64), nn.LeakyReLU(), nn.Linear(64), nn.LeakyReLU(), nn.Linear(2)])


rng, network = np.random.default_rng(0), small_network()
network.build(X.shape[1:], rng)
c, radius_squared, losses = plain.deep_svdd(network, X, rng, **settings)
scores = plain.anomaly_score(network, X_test, c)

model = DeepSVDD(
    network=small_network(), preprocessing=None, pretrain_epochs=0, milestones=(), threshold="nu", verbose=0, **settings
)
difference = np.abs(scores - model.fit(X).anomaly_score(X_test)).max() / scores.max()
check("the screen and the estimator agree", difference < 1e-4, f"scores to {difference:.0e} of the largest")
auc = roc_auc_score(is_anomaly, scores)
print(f"loss {losses[0]:.3f} at first, {losses[-1]:.4f} last; R = {np.sqrt(radius_squared):.3f}; AUC {auc:.3f}")

# %% [markdown]
# How such a network is built, layer by layer, and trained without a line of automatic differentiation, is the matter of
# the next four lectures.
#
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★★ What is the solution of the dual for $\nu = 1$? Show that the one-class SVM's score is then, up to a factor, a
#    kernel density estimate.
# 2. ★★ With the linear kernel $k(x, z) = \langle x, z \rangle$ sphere and hyperplane are not the same. Find the reason
#    in the text, and show with the crescent that the multipliers differ.
# 3. ★★★ What happens to $\alpha$, to the radius and to the scores of new points as $\gamma \to \infty$? And as $\gamma
#    \to 0$? Hint: which entries of $\mathcal{K}$ are left in either limit? For small $\gamma$, keep the terms of first
#    order.
# 4. ★ **By hand.** Three samples lie at $-1$, $0$ and $3$ on a line, and $\nu n \le 1$. What are $c$, $R^2$ and the
#    $\alpha_i$? Check with the dual.
# 5. ★ **Counting.** For $n = 200$ and $\nu = 0.05$: how many samples are outside at most, how many support vectors are
#    there at least, and how large may an $\alpha_i$ be? Draw such a set, solve it, and count.
#
# Solutions: `lectures/solutions/01_idea.py`.

# %%
finish()
