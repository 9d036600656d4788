# %% [markdown]
# # 7. Collapse
#
# One-Class Deep SVDD (lecture 6) asks a network to map normal samples close to a centre $c$:
#
# $$ J(W) \;=\; \frac1n\sum_{i=1}^n \| \phi(x_i; W) - c \|^2
#    \;+\; \frac\lambda2\sum_l \| W^l\|_F^2 . \tag{4} $$
#
# Nothing in this formula mentions an anomaly. So here is **the question** that decides whether the method means
# anything: what keeps the network from mapping *everything* to $c$? Such a network has loss zero, its sphere has
# radius zero, and its scores are the same for every image. The paper calls it **hypersphere collapse**, and
# Propositions 1 to 3 name three ways into it. There are two more, of which the paper does not speak:
#
# | | what permits collapse | what prevents it |
# |---|---|---|
# | Proposition 1 | $c$ is the output of the zero network, or trained | $c$ fixed, away from that output |
# | Proposition 2 | a bias in a hidden layer (batch norm's $\beta$ is one) | no biases, batch norm without $\beta$ |
# | Proposition 3 | a bounded activation that can be saturated | (leaky) ReLU |
# | the data | a weighted sum of the pixels that all images share | batch norm without $\beta$ behind the first layer |
# | weight decay | $\lambda$ above a threshold | $\lambda$ far below it |
#
# In this lecture each of them is proved, made to happen, and measured against a healthy run. At the end we look at what
# "healthy" is worth.
#
# **Before you start:** lecture 6; singular values. A first reading takes about 75 minutes. **Letters**
# (`docs/notation.md` has all of them): here $s_j$ are singular values.
#
# *Needs: no data (MNIST, where found, in the full run). Minutes: 0.2 quick, 3 full.*

# %%
import warnings
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from minisvdd import CollapseWarning, DeepSVDD, load_dataset, nn, ops, svdd
from minisvdd.lecture import BLUE, GRAY, ORANGE, QUICK, RED, available, check, choose, data_dir, figure, finish
from minisvdd.svdd import collapse

DATA = "mnist" if available("mnist") and not QUICK else "digits"
split = load_dataset(DATA, data_dir()).one_class(3)
preprocessing = svdd.make_preprocessing("gcn-l1")
X_train = preprocessing.fit_transform(split.train)
X_test = preprocessing.transform(split.test)
print(f"{DATA}: {len(X_train)} threes to train on, {len(X_test)} test images of all classes")

# %% [markdown]
# ## The experiment
#
# To see what a single change does, the network must be small enough to be looked at. Ours is a perceptron with one
# hidden layer and **two outputs**, so that its whole output space can be drawn:
#
# $$ \phi(x; W) = W^2\,\sigma(W^1 x), \qquad W^1 \in \mathbb{R}^{32\times D},\; W^2\in\mathbb{R}^{2\times 32}. $$
#
# `LeakyReLU` is $\sigma$, unless said otherwise. Every run has the same images, seed, schedule and weight decay. The
# decay is large ($\lambda = 0.1$, where the paper has $10^{-6}$): decay pulls at every weight that the loss does not
# hold, so it makes quick what would otherwise take very many epochs. Where a trivial solution exists, it is found fast.
# The healthy run below stands under the same pull, and withstands it: this decay is far below the threshold at which
# decay alone collapses a network, as we shall compute.


# %%
def perceptron(activation=nn.LeakyReLU, hidden_bias=False, norm=None):
    """Flatten -> Linear(32) -> [batch norm] -> activation -> Linear(2): nothing but the hidden layer is varied."""
    return nn.Sequential(
        [nn.Flatten(), nn.Linear(32, bias=hidden_bias), *([norm] if norm else []), activation(), nn.Linear(2)]
    )


EPOCHS = choose(400, 400 if DATA == "digits" else 60)
SCHEDULE = {
    "epochs": EPOCHS,
    "milestones": (5 * EPOCHS // 8, 7 * EPOCHS // 8),
    "learning_rate": 1e-2,
    "weight_decay": 0.1,
    "batch_size": 32 if DATA == "digits" else 200,
}

# %% [markdown]
# **How do we measure collapse?** Not by the loss, which collapse makes better. We ask how different two images still
# are for the network. With $\bar\phi$ the mean output over the test images $x_1, \dots, x_m$ (of *all* classes), let
#
# $$ S(W) = \sqrt{\frac1m\sum_{i=1}^m \|\phi(x_i; W)-\bar\phi\|^2},
#    \qquad \text{contrast} = \frac{S(W_{\text{after}})}{S(W_{\text{before}})} . $$
#
# $S$ is the root mean square distance of an output from the average output, and the contrast says how much of it
# training has left. A healthy run loses some of it: it is *supposed* to pull normal images together. A collapsed run
# loses all of it.


# %%
def output_spread(network):
    """S(W): root mean square distance of the test images' outputs from their mean."""
    phi = nn.outputs(network, X_test)
    return float(np.sqrt(((phi - phi.mean(axis=0)) ** 2).sum(axis=1).mean()))


def distances_to(network, center, X):
    """Squared distances d_i = ||phi(x_i) - c||^2 in evaluation mode."""
    return ((nn.outputs(network, X) - center) ** 2).sum(axis=1)


def run(network, center=None, seed=0, free_center=False, weight_decay=SCHEDULE["weight_decay"]):
    """Train `network` with loss (4) and record, after every epoch, what collapse would change.

    center: None for the paper's rule (mean output, moved away from 0), or an array (2,).
    free_center: train c along with the weights.
    """
    rng = np.random.default_rng(seed)
    network.build(X_train.shape[1:], rng)
    svdd.collect_statistics(network, X_train, SCHEDULE["batch_size"])
    c = svdd.move_from_zero(svdd.mean_output(network, X_train), 0.1) if center is None else np.array(center, float)
    first, start = output_spread(network), collapse.snapshot(network, X_train, c, nu=0.1)
    result = SimpleNamespace(network=network, center=c, before=nn.outputs(network, X_test))

    # c as a second set of parameters: Adam steps anything that has params and grads.
    trained_center = SimpleNamespace(params={"center": c}, grads={}, backend=network.backend)
    center_optimizer = nn.Adam(trained_center, SCHEDULE["learning_rate"])

    def objective(phi, x):
        value, grad, distances = ops.one_class_loss(phi, c)
        if free_center:
            trained_center.grads["center"] = -grad.sum(axis=0)  # dJ/dc = -2/n sum_i (phi_i - c)
            center_optimizer.step()
        return value, grad.astype(np.float32), distances

    def same_rate(training):
        center_optimizer.learning_rate = training.optimizer.learning_rate

    columns = {  # of the history, beside the loss
        "contrast": lambda training: output_spread(network) / first,
        "norms": lambda training: [float(np.linalg.norm(w)) for w in network.params.values() if w.ndim > 1],
    }
    plan = nn.Plan(**{**SCHEDULE, "weight_decay": weight_decay})
    training = nn.Training(network, objective, X_train, plan, rng, before_epoch=same_rate, columns=columns)
    history = training.run().history
    result.loss, result.norms, result.contrast = history["loss"], history["norms"], [1.0, *history["contrast"]]
    result.after = nn.outputs(network, X_test)
    result.figures = collapse.compare(start, collapse.snapshot(network, X_train, c, nu=0.1))
    result.signs = collapse.signs_of_collapse(result.figures, network)
    result.scores = distances_to(network, c, X_test)
    result.auc = roc_auc_score(split.is_anomaly, result.scores)
    return result


healthy = run(perceptron())
print(f"healthy: contrast {healthy.contrast[-1]:.3f}, loss {healthy.loss[0]:.3g} -> {healthy.loss[-1]:.3g}")
check(
    "the healthy network still tells images apart after training",
    healthy.contrast[-1] > 0.03,
    f"{healthy.contrast[-1]:.3f}",
)
check("and the library finds no sign of collapse in it", healthy.signs == [])

# %% [markdown]
# ## Proposition 1: the centre
#
# > *Let $W_0$ be the all-zero weights and $c_0 = \phi(x; W_0)$ the output of that network, the same for every $x$.
# > If $c = c_0$, then $W^* = W_0$, $R^* = 0$ is an optimal solution of (3) and of (4).*
#
# **Proof.** Each term of (4) is a square, so $J(W) \ge 0$ for all $W$. At $W_0$ every distance is
# $\|\phi(x_i; W_0)-c\|^2 = \| c_0 - c_0\|^2 = 0$ and every norm $\| W^l\|$ is 0, so
# $J(W_0) = 0$: the smallest possible value. In (3), $R^2 \ge 0$ and the hinge terms are not negative either, and with
# $R = 0$ they all vanish at $W_0$. $\square$
#
# If $c$ is *free*, the minimum runs over $c$ as well, and the pair $(W_0, c_0)$ is available: the same conclusion.
# In our networks, without biases, $\phi(x; W_0) = 0$: the forbidden centre is the origin.

# %%
zero = perceptron()
zero.build(X_train.shape[1:], np.random.default_rng(0))
for weight in zero.params.values():
    weight[...] = 0
at_origin, _, _ = ops.one_class_loss(nn.outputs(zero, X_train), np.zeros(2))
at_c, _, _ = ops.one_class_loss(nn.outputs(zero, X_train), healthy.center)
check("the zero network maps every image to the origin", not nn.outputs(zero, X_test).any())
check("with c = 0 its loss is exactly 0", at_origin == 0)
check(
    "with the fixed c its loss is ||c||^2, worse than the healthy network's",
    np.isclose(at_c, healthy.center @ healthy.center) and at_c > 10 * healthy.loss[-1],
    f"{at_c:.3f} against {healthy.loss[-1]:.2g}",
)

# %% [markdown]
# An optimum that exists need not be found. **Why does training walk there?** Leaky ReLU satisfies
# $\sigma(ta) = t\,\sigma(a)$ for $t \ge 0$; so a network without biases is *homogeneous* in each layer: with $t W^l$ in
# the place of $W^l$ (all other layers as they are), its output is $t\,\phi(x; W)$. Differentiate
# $\phi(x; \dots, tW^l, \dots) = t\,\phi(x; W)$ with respect to $t$ at $t = 1$. The left side gives, by the chain rule,
# the derivative of $\phi$ in the direction $W^l$, the right side gives $\phi$ (Euler's theorem):
#
# $$ \sum_{k,j} W^l_{kj}\,\frac{\partial \phi(x;W)}{\partial W^l_{kj}} = \phi(x; W)
#    \qquad\text{for every layer } l. $$
#
# Now take the loss without decay, $J = \frac1n\sum_i\|\phi_i-c\|^2$. Its gradient with respect to an output is
# $\frac2n(\phi_i - c)$, hence, by the chain rule once more,
#
# $$ \left\langle W^l, \frac{\partial J}{\partial W^l}\right\rangle
#    = \frac2n\sum_{i=1}^n \langle\phi_i - c,\; \phi_i\rangle
#    \qquad\xrightarrow{\;c\,=\,0\;}\qquad \frac2n\sum_{i=1}^n\|\phi_i\|^2 = 2J . $$
#
# Under gradient flow, $\dot W = -\nabla J$, this says $\frac{\mathrm{d}}{\mathrm{d}t}\frac12\| W^l\|^2 = \langle W^l,
# \dot W^l\rangle = -2J$: with $c = 0$ **every layer shrinks at every moment**, until $J = 0$. With $c \ne 0$ the
# right-hand side changes sign as soon as the outputs are, on average, shorter than they should be in the direction of
# $c$, and the shrinking stops. Batch norm breaks the homogeneity of the layer before it, not that of the last one.

# %%
network = perceptron()
network.build(X_train.shape[1:], np.random.default_rng(1), dtype=np.float64)
for center in (np.zeros(2), healthy.center):
    phi = network.forward(X_train.astype(np.float64), training=True)
    value, grad_output, _ = ops.one_class_loss(phi, center)
    network.backward(grad_output)
    expected = 2 * ((phi - center) * phi).sum(axis=1).mean()
    for name, weight in network.params.items():
        product = float((weight * network.grads[name]).sum())
        check(
            f"c = {np.round(center, 2)}: <W, dJ/dW> of layer {name} is 2/n sum <phi - c, phi>",
            np.isclose(product, expected, rtol=1e-10),
            f"{product:.6f}" + (f" = 2J, J = {value:.6f}" if not center.any() else ""),
        )

# %% [markdown]
# And now the training itself: $c = 0$, and $c$ trained along with $W$. For the latter the gradient is
# $\partial J/\partial c = -\frac2n\sum_i(\phi_i - c)$, one line in `run`.

# %%
at_zero = run(perceptron(), center=np.zeros(2))
free = run(perceptron(), free_center=True)
for name, result in (("c = 0", at_zero), ("c trained", free)):
    check(
        f"{name}: collapse, contrast below a thousandth of the healthy run's",
        result.contrast[-1] < 1e-3 * healthy.contrast[-1],
        f"{result.contrast[-1]:.1e} against {healthy.contrast[-1]:.2f}",
    )
    check(
        f"{name}: the weights vanish",
        max(result.norms[-1]) < 1e-2 * max(result.norms[0]),
        f"{max(result.norms[-1]):.1e}",
    )
    check(f"{name}: the library says so and names Proposition 1", "Proposition 1" in " ".join(result.signs))
check(
    "c trained: the centre itself runs to the origin",
    np.abs(free.center).max() < 1e-2,
    f"|c| = {np.linalg.norm(free.center):.1e}",
)


# %%
def curves(ax, runs, values, label):
    for name, result, color, style in runs:
        ax.semilogy(np.maximum(values(result), 1e-12), style, color=color, label=name, lw=1.8)
    ax.set(xlabel="epoch", ylabel=label)
    ax.grid(alpha=0.25)


proposition_1 = [
    ("healthy: c fixed", healthy, BLUE, "-"),
    ("c = 0", at_zero, RED, "-"),
    ("c trained", free, ORANGE, "--"),
]

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4))
curves(axes[0], proposition_1, lambda r: r.contrast, "contrast kept")
curves(axes[1], proposition_1, lambda r: [norms[-1] for norms in r.norms], r"$\|W^2\|_F$")
axes[0].legend(frameon=False)
fig.suptitle("Proposition 1: with c = 0 or c trained, weights and contrast go to zero")
figure("proposition-1", fig)

# %% [markdown]
# (Values below $10^{-12}$ are drawn at $10^{-12}$.) This is why $c$ is *computed once* and fixed, why `move_from_zero`
# moves coordinates with $|c_j| < 0.1$ away from the origin, and why it must not forget a coordinate that is exactly 0:
# an output unit whose target is 0 is matched by zero weights, a collapse in one coordinate.

# %%
check(
    "the epsilon rule keeps signs and moves 0, too",
    np.array_equal(svdd.move_from_zero(np.array([-0.02, 0.0, 0.7]), 0.1), [-0.1, 0.1, 0.7]),
)

# %% [markdown]
# ## Proposition 2: a bias
#
# > *If a hidden layer has bias terms, there are weights with which the network is constant, $\phi(x; W) = c$ for
# > all $x$. With these, and $R = 0$, the terms of (3) and (4) that depend on the data are 0, the least possible.*
#
# (So much is proved here. The paper says that *there exists* an optimal solution with $R^* = 0$ and constant $\phi =
# c$. It assumes that the network can put out $c$ at all, for some image, and its proof leaves the decay term out. With
# decay the constant solution has a price, that of the weights which carry $b$ to $c$, and it is an optimum only up to
# that price. In our experiment it is the cheaper one by far; we check that, too.)
#
# **Proof** (for our two layers; with more layers, repeat it). The hidden layer computes $h = \sigma(W^1 x + b)$. Choose
# $W^1 = 0$: then $h = \sigma(b) =: q$ whatever $x$ is. Choose any $b$ with $q \neq 0$, and
#
# $$ W^2 = \frac{c\,q^\top}{\| q\|^2}
#    \qquad\Rightarrow\qquad W^2 h = \frac{c\,(q^\top q)}{\| q\|^2} = c . \qquad\square $$
#
# Note that the layer that has the bias is *hidden*: the constant passes through the weights behind it. A few lines
# build the solution:


# %%
def carry_to_c(network):
    """Let the last layer carry q, the hidden outputs of one image, to c; the largest deviation of all test images."""
    *body, last = network.layers
    q = nn.Sequential(body).forward(X_train[:1].astype(np.float64))[0]
    last.params["weight"][...] = np.outer(healthy.center, q) / (q @ q)
    return np.abs(network.forward(X_test.astype(np.float64)) - healthy.center).max()


constant = perceptron(hidden_bias=True)
constant.build(X_train.shape[1:], np.random.default_rng(0), dtype=np.float64)
hidden = constant.layers[1]
hidden.params["weight"][...] = 0
hidden.params["bias"][...] = 1
worst = carry_to_c(constant)
check("with a hidden bias the constant map to c exists", worst < 1e-12, f"largest deviation {worst:.1e}")

# %% [markdown]
# Does training find it? The only change against the healthy run is `bias=True` in the hidden layer.

# %%
biased = run(perceptron(hidden_bias=True))


def total_objective(result):
    """Loss (4) with its decay term, for the weights that training ended with."""
    decay = sum(float((w**2).sum()) for w in result.network.params.values() if w.ndim > 1)
    return distances_to(result.network, result.center, X_train).mean() + SCHEDULE["weight_decay"] / 2 * decay


check(
    "a bias collapses the sphere",
    biased.contrast[-1] < 0.02 * healthy.contrast[-1],
    f"contrast {biased.contrast[-1]:.1e}, healthy {healthy.contrast[-1]:.2f}",
)
check(
    "the hidden weights vanish, the bias does not",
    biased.norms[-1][0] < 0.05 * healthy.norms[-1][0] < np.linalg.norm(biased.network.params["1.bias"]),
    f"|W1| {biased.norms[-1][0]:.1e}, |b| {np.linalg.norm(biased.network.params['1.bias']):.2f}",
)
check(
    "training is right to do so: the objective it was given is smaller than the healthy one",
    total_objective(biased) < total_objective(healthy),
    f"{total_objective(biased):.4f} against {total_objective(healthy):.4f}",
)
check("the library names Proposition 2", "Proposition 2" in " ".join(biased.signs))

# %% [markdown]
# ### The hidden bias of batch norm
#
# Batch norm (lecture 4) computes $\hat z = (z-\mu)/\sqrt{v+\epsilon}$ per unit and then, in most libraries by default,
# $\gamma\hat z+\beta$. Two facts about biases follow.
#
# *In front of* batch norm a bias does nothing: $z + b$ has the mean $\mu + b$ and the same variance, so
# $\hat z$ is unchanged. There even a careless `bias=True` is harmless.
#
# *Inside* batch norm sits one: with $\gamma = 0$ the output is $\beta$ for every $x$, and Proposition 2 applies with
# $q = \sigma(\beta)$. A network that looks bias-free is not, if its batch norm is the usual one. That is why
# `BatchNorm` has `affine=False` by default in this library.

# %%
rng = np.random.default_rng(2)
z, shift = rng.normal(size=(50, 32)), rng.normal(size=32)
norm = nn.BatchNorm()
norm.build((32,))
difference = np.abs(norm.forward(z + shift, training=True) - norm.forward(z, training=True)).max()
check("a bias in front of batch norm changes nothing", difference < 1e-12, f"{difference:.1e}")

normed = run(perceptron(norm=nn.BatchNorm(affine=False)))
affine = run(perceptron(norm=nn.BatchNorm(affine=True)))
check(
    "batch norm without affine parameters does not collapse",
    normed.signs == [] and normed.contrast[-1] > 0.01,
    f"contrast {normed.contrast[-1]:.3f}; no collapse is not yet a good detector: test AUC {normed.auc:.3f}",
)
check(
    "batch norm's beta collapses the sphere",
    affine.contrast[-1] < 0.05 * normed.contrast[-1],
    f"contrast {affine.contrast[-1]:.1e}, without beta {normed.contrast[-1]:.2f}",
)
# %% [markdown]
# How did it get there? Not by $\gamma = 0$: by $W^1 \to 0$. Without decay the scale of $W^1$ is irrelevant, since batch
# norm divides by it; but under decay it shrinks until the variance $v$ of $z$ falls below batch norm's
# $\epsilon = 10^{-4}$, and then $\hat z = (z-\mu)/\sqrt{v+\epsilon}$ vanishes as well. What remains is $\beta$. The
# network without $\beta$ cannot afford this, for $\hat z = 0$ gives the output 0, not $c$.

# %%
body = nn.Sequential(affine.network.layers[:3])  # up to gamma z_hat + beta
hidden, beta = nn.outputs(body, X_test), affine.network.params["2.bias"]
variation = np.linalg.norm(hidden.std(axis=0))
check(
    "the hidden layer sends on its beta, whatever the image",
    variation < 0.2 * np.linalg.norm(beta),
    f"variation over the images {variation:.2f}, length of beta {np.linalg.norm(beta):.2f}",
)
variances = [result.network.layers[2].buffers["running_var"].max() for result in (affine, normed)]
check(
    "with beta all variances end below epsilon, without it they do not",
    variances[0] < 1e-4 < variances[1],
    f"largest variance {variances[0]:.1e} and {variances[1]:.1e}",
)

# %% [markdown]
# ### A bias in the data
#
# A network without biases and norms satisfies $\phi(tx) = t\,\phi(x)$, so that it cannot be constant for *all* inputs
# (lecture 3). Ours is only asked for the images that it gets, and these have something in common. GCN subtracts an
# image's mean, and the scaling to $[0, 1]$ that follows is the same for all images: afterwards every image, of whatever
# class, has **the same sum of pixels** $\sum_j x_j = a$. A unit with equal weights puts out $\sigma(a)$ for everyone.
# It is a bias, and the proof of Proposition 2 goes on as above, with $W^1$ full of ones instead of $W^1 = 0$. (Any
# weights $w$ with the same $\langle w, x\rangle$ for all samples will do.)

# %%
constant = perceptron()
constant.build(X_train.shape[1:], np.random.default_rng(0), dtype=np.float64)
hidden = constant.layers[1]
hidden.params["weight"][...] = 1
worst = carry_to_c(constant)  # the hidden outputs of one image are those of all
check("without any bias, the constant map to c exists on these images", worst < 1e-6, f"largest deviation {worst:.1e}")

equal = nn.outputs(nn.Sequential([nn.Flatten(), hidden]), X_train.astype(np.float64))
norm = nn.BatchNorm()
norm.build(equal.shape[1:])
blocked = np.abs(norm.forward(equal, training=True)).max()
check("batch norm without beta takes it away again", blocked < 0.01, f"largest {blocked:.1e}")

# %% [markdown]
# Does training find this one? It is on the way. Beside it, decay is a *protection*: the constant map wants its weights
# at a given length, and decay makes that length cost something. With less of it, the largest unit of the network
# without batch norm turns toward the constant vector, contrast is lost, and the detector becomes worse:


# %%
def cosine_with_one(network):
    """Between the weights of the longest hidden unit and those of the unit that sums all pixels."""
    unit = max(network.params["1.weight"], key=np.linalg.norm)
    return float(unit.sum() / (np.linalg.norm(unit) * np.sqrt(unit.size)))


for decay in (0.1, 0.01, 0.003):
    result = run(perceptron(), weight_decay=decay)
    numbers = f"cosine {cosine_with_one(result.network):.2f}, contrast {result.contrast[-1]:.3f}, AUC {result.auc:.3f}"
    print(f"lambda = {decay}: {numbers}")

# %% [markdown]
# The paper's networks have batch norm without $\beta$ behind every convolution, and the first one subtracts the sum
# that all images share. Who leaves it out should look at the data first. The columns of a table that are shares of a
# whole, and sum to 1, are such data, too.

# %% [markdown]
# ## Proposition 3: a bounded activation
#
# > *Let $\sigma$ be monotonic with $\sup_z\sigma(z) = B \ne 0$, finite (or the same for the infimum). If some feature
# > of the unit's input is positive (or negative) for all training samples, the unit can approximate the constant $B$
# > uniformly on them.*
#
# **Proof.** Let feature $j$ be positive for all of them, and $m = \min_i z_{ij} > 0$ ($n$ is finite). Give the unit the
# weight $t > 0$ at feature $j$ and 0 elsewhere. Its outputs are $\sigma(t z_{ij})$, and since $\sigma$ increases,
#
# $$ \sigma(t\,m) \;\le\; \sigma(t\,z_{ij}) \;\le\; B \qquad\text{for all } i. $$
#
# As $t\to\infty$ the left side tends to $B$; so the largest gap to $B$ tends to 0. (The infimum: $t \to -\infty$.)
# $\square$ A unit that outputs $B \ne 0$ for everyone *is* a bias for the layer behind it, and Proposition 2 takes
# over. ReLU is bounded below, but by 0, which makes no bias; leaky ReLU is not bounded at all.
#
# Let us watch it. Images are scaled to $[0, 1]$, and some pixel is bright in all training images. For a growing
# weight $t$ we compare the relative spread (standard deviation over mean) of the unit's outputs.

# %%
pixels = X_train.reshape(len(X_train), -1)
brightest = pixels.min(axis=0).argmax()
feature = pixels[:, brightest].astype(np.float64)
check("a feature exists which is positive for all training images", feature.min() > 0, f"minimum {feature.min():.3f}")

factors = np.logspace(0, 4, 80)


def unit_output(layer, z):
    """The activation's output for the pre-activations z (n,): layers take batches (n, features)."""
    return layer.forward(z[:, None])[:, 0]


activations = {"sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(), "leaky ReLU": nn.LeakyReLU()}
unit_spread = {
    name: np.array([(y := unit_output(layer, t * feature)).std() / y.mean() for t in factors])
    for name, layer in activations.items()
}
for name in ("sigmoid", "tanh"):
    gaps = np.array([np.abs(unit_output(activations[name], t * feature) - 1).max() for t in factors])
    bound = np.array([1 - unit_output(activations[name], t * feature[[feature.argmin()]])[0] for t in factors])
    check(
        f"{name}: the largest gap to its supremum is that of the smallest feature, as in the proof",
        np.allclose(gaps, bound),
    )
    check(
        f"{name}: saturated, it is constant",
        unit_spread[name][-1] < 1e-6,
        f"relative spread {unit_spread[name][-1]:.1e}",
    )
check(
    "leaky ReLU: the relative spread does not depend on the weight at all",
    np.ptp(unit_spread["leaky ReLU"]) < 1e-9,
    f"{unit_spread['leaky ReLU'][-1]:.3f} for every t",
)

# %%
fig, ax = plt.subplots(figsize=(6, 3.4))
for (name, spread), color in zip(unit_spread.items(), (RED, ORANGE, BLUE)):
    ax.loglog(factors, np.maximum(spread, 1e-10), color=color, lw=1.8, label=name)
ax.set(
    xlabel="weight t of the unit",
    ylabel="standard deviation / mean",
    title="Proposition 3: a saturated unit is a bias",
    ylim=(3e-11, 3),
)
ax.grid(alpha=0.25)
ax.legend(frameon=False)
figure("proposition-3", fig)

# %% [markdown]
# Proposition 3 says what *exists*; what training does is another question, and the two bounded activations answer it
# differently. Sigmoid need not even be saturated: $\sigma(0) = \frac12$, so zero weights already make it a bias, and
# decay leads straight there. Tanh has $\tanh(0) = 0$; to become a bias it needs *large* weights, and decay pulls the
# other way.

# %%
sigmoid = run(perceptron(activation=nn.Sigmoid))
tanh = run(perceptron(activation=nn.Tanh))
check(
    "sigmoid collapses",
    sigmoid.contrast[-1] < 0.1 * healthy.contrast[-1],
    f"contrast {sigmoid.contrast[-1]:.1e}, leaky ReLU {healthy.contrast[-1]:.2f}",
)
check(
    "its hidden weights vanish",
    sigmoid.norms[-1][0] < 0.1 * healthy.norms[-1][0],
    f"|W1| {sigmoid.norms[-1][0]:.3f} against {healthy.norms[-1][0]:.3f}",
)
print(f"tanh, trained: contrast {tanh.contrast[-1]:.3f}: its trivial solution exists, but decay does not lead to it")

# %% [markdown]
# So let us *construct* it for tanh. One single hidden unit will do, one with positive weights, drawn at random (equal
# ones would put out the sum of the pixels, which is constant already): pixels lie in $[0, 1]$, so that its
# pre-activations $z_i$ are positive for all training images (and we scale them such that $\min_i z_i = 1$). Multiply
# its weights by $t$ and choose the weight $w$ behind it by least squares, so that $w\,\sigma(t z_i)$ comes as near to
# $1$ as possible for all $i$; times $c$, this is the second layer. How large is the largest error?


# %%
def constant_by_one_unit(layer, t):
    """max_i |w sigma(t z_i) - 1| over the training images: the largest error relative to |c|."""
    z = pixels @ np.random.default_rng(0).uniform(size=pixels.shape[1])
    h = unit_output(layer, t * z / z.min())
    w = h.sum() / (h @ h)  # minimises sum_i (w h_i - 1)^2
    return float(np.abs(w * h - 1).max())


deviations = {name: [constant_by_one_unit(layer, t) for t in (1, 4, 16)] for name, layer in activations.items()}
for name, values in deviations.items():
    print(
        f"{name:10s}  largest deviation from c, relative to |c|:",
        "  ".join(f"t={t}: {v:.1e}" for t, v in zip((1, 4, 16), values)),
    )
check("one tanh unit reaches c for all training images", deviations["tanh"][-1] < 1e-10)
check("one sigmoid unit does so, too", deviations["sigmoid"][-1] < 1e-6)
check("one leaky ReLU unit gets no nearer by larger weights", np.ptp(deviations["leaky ReLU"]) < 1e-9)

# %% [markdown]
# ## The last way: weight decay
#
# Take the healthy network: $c$ fixed and away from 0, no bias, leaky ReLU. The zero network costs $\|c\|^2$ and no
# decay. Is there anything cheaper? That depends on $\lambda$, and for our two layers it can be settled completely.
#
# Write out (4) with $\bar\phi = \frac1n\sum_i\phi_i$, and leave out the term $\frac1n\sum_i\|\phi_i\|^2 \ge 0$:
#
# $$ J(W) = \|c\|^2 - 2\langle c, \bar\phi\rangle + \frac1n\sum_i\|\phi_i\|^2 + \frac\lambda2\sum_l\|W^l\|_F^2
#    \;\ge\; \|c\|^2 - 2\langle c, \bar\phi\rangle + \frac\lambda2\sum_l\|W^l\|_F^2 . $$
#
# How large can $\langle c, \bar\phi\rangle$ be for weights of a given size? Let hidden unit $k$ have the incoming
# weights $r_k e_k$ (of length $r_k \ge 0$, direction $\|e_k\| = 1$), and let $b_k$ be its outgoing weights. Since
# $\sigma(ta) = t\,\sigma(a)$ for $t \ge 0$,
#
# $$ \langle c, \bar\phi\rangle = \sum_k \langle c, b_k\rangle\, r_k\, \frac1n\sum_i\sigma(\langle e_k, x_i\rangle)
#    \;\le\; \|c\|\, M \sum_k \|b_k\|\, r_k \;\le\; \frac{\|c\|\,M}{2}\sum_k\big(\|b_k\|^2 + r_k^2\big)
#    = \frac{\|c\|\,M}{2}\sum_l\|W^l\|_F^2 , $$
#
# where $M$ is the largest mean response of a unit with weights of length 1, up to sign. For images with pixels in $[0,
# 1]$ it is the length of the mean image, $M = \|\bar x\|$: the response is $\langle e, \frac1n\sum_i f_i x_i\rangle$
# with factors $f_i \in \{1, 0.1\}$, so it is at most $\|\frac1n\sum_i f_i x_i\|$; no two such images have a negative
# product $\langle x_i, x_j\rangle$, so that this length grows with every $f_i$; and $e = \bar x/\|\bar x\|$ has all
# $f_i = 1$. Together,
#
# $$ J(W) \;\ge\; \|c\|^2 + \frac{\lambda - \lambda_*}{2}\sum_l\|W^l\|_F^2 ,
#    \qquad \lambda_* = 2\,\|c\|\,\|\bar x\| . $$
#
# **For $\lambda \ge \lambda_*$ the zero network is the global minimum: collapse.** For $\lambda < \lambda_*$ it is no
# minimum at all: give one unit the direction $\bar x$ and outgoing weights along $c$, so that both inequalities hold
# with equality, and for small weights the term that was left out (of fourth order) is too small to matter. $\square$
#
# How much contrast is left below the threshold? Let that one unit do all the work, $\phi_i = t\,\langle e, x_i\rangle\,
# c/\|c\|$, with weights of the size $\sqrt t$ in either layer. Then
#
# $$ J = \|c\|^2 - 2t\,\|c\|\,M + \frac{t^2}{n}\sum_i\langle e, x_i\rangle^2 + \lambda t
#    \quad\text{is smallest for}\quad
#    t = \Big(1 - \frac{\lambda}{\lambda_*}\Big)\,\frac{\|c\|\,M}{\frac1n\sum_i\langle e, x_i\rangle^2} : $$
#
# a **straight line that hits zero at $\lambda_*$**, with nothing in it to be fitted. (Near the threshold. Far below it
# the unit may turn away from $\bar x$, toward a direction in which the images vary less, and other units join in.)

# %%
flat_train, flat_test = (X.reshape(len(X), -1).astype(np.float64) for X in (X_train, X_test))
mean_length, center_length = np.linalg.norm(flat_train.mean(axis=0)), np.linalg.norm(healthy.center)
threshold = 2 * center_length * mean_length
print(f"|c| = {center_length:.3f}, length of the mean image {mean_length:.3f}, so lambda* = {threshold:.2f}")
print(f"our runs have lambda = {SCHEDULE['weight_decay']}, the paper 0.000001")

e = flat_train.mean(axis=0) / mean_length
at_zero_decay = center_length * mean_length / np.mean((flat_train @ e) ** 2)  # t for lambda = 0
spread_before = np.sqrt(((healthy.before - healthy.before.mean(axis=0)) ** 2).sum(axis=1).mean())
slope = at_zero_decay * np.std(flat_test @ e) / spread_before
relative_decay = np.array(choose([0.25, 0.5, 0.75, 0.9, 1.1], [0.03, 0.25, 0.5, 0.75, 0.9, 1.1, 1.5]))
decayed = [run(perceptron(), weight_decay=f * threshold) for f in relative_decay]
kept = np.array([result.contrast[-1] for result in decayed])
for f, result in zip(relative_decay, decayed):
    predicted = slope * max(0, 1 - f)
    numbers = f"contrast {result.contrast[-1]:.1e}, predicted {predicted:.1e}, AUC {result.auc:.3f}"
    print(f"lambda = {f:4.2f} lambda*: {numbers}")
above, near = relative_decay > 1, (relative_decay > 0.4) & (relative_decay < 1)
check(
    "above the threshold the healthy network collapses",
    (kept[above] < 1e-3 * kept[0]).all(),
    f"contrast {kept[above].max():.0e}",
)
deviation = np.abs(kept[near] / (slope * (1 - relative_decay[near])) - 1).max()
check("below it the contrast is as predicted", deviation < 0.1, f"within {100 * deviation:.1f} %")
remaining = max(np.linalg.norm(w) for w in decayed[-1].network.params.values())
check("what is left above is the zero network", remaining < 1e-6, f"|W| {remaining:.0e}")

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.2))
ax.plot([0, 1, 1.6], [slope, 0, 0], color=GRAY, lw=1, label="predicted")
ax.plot(relative_decay, kept, "o", color=BLUE, ms=7, label="trained")
ax.axvline(1, color=RED, ls="--", lw=1, label=r"$\lambda_* = 2\,\|c\|\,\|\bar x\|$")
ax.set(xlabel=r"$\lambda\,/\,\lambda_*$", ylabel="contrast kept", title="Too much weight decay is a collapse, too")
ax.legend()
figure("weight-decay", fig)

# %% [markdown]
# Two things to take along. The threshold is *proportional to $\|c\|$*, another reason to keep the centre away from 0.
# And with more layers it is worse: an output is then a product of three or more weights, the gain is of third order or
# higher while the price of decay stays quadratic, so that zero is a local minimum for *every* $\lambda > 0$, and a trap
# for a network that starts small (exercise 4). The paper's $10^{-6}$ is far from any of this.

# %% [markdown]
# ## All runs side by side
#
# The output space of every run, drawn around its centre in one common scale, that of the healthy run: blue are test
# images of the normal class, red are all other classes, the cross is $c$.

# %%
runs = {
    "healthy": healthy,
    "c = 0": at_zero,
    "c trained": free,
    "hidden bias": biased,
    "batch norm": normed,
    "batch norm + beta": affine,
    "sigmoid": sigmoid,
    "tanh": tanh,
}


def scatter(ax, phi, center, half_width):
    for chosen, color, size in ((split.is_anomaly, RED, 4), (~split.is_anomaly, BLUE, 6)):
        ax.plot(*(phi[chosen] - center).T, ".", ms=size, mew=0, alpha=0.5, color=color)
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color(GRAY)
    ax.plot(0, 0, "x", color=GRAY, ms=8, mew=1.8)
    ax.set(xlim=(-half_width, half_width), ylim=(-half_width, half_width), xticks=[], yticks=[], aspect="equal")


def in_words(contrast):
    return (
        f"contrast {contrast:.3f}"
        if contrast > 1e-3
        else f"contrast {contrast:.0e}"
        if contrast > 1e-12
        else "contrast 0"
    )


half_width = 1.15 * np.abs(healthy.after - healthy.center).max()

# %%
fig, axes = plt.subplots(3, 3, figsize=(8.4, 9))
scatter(axes[0, 0], healthy.before, healthy.center, 10 * half_width)
axes[0, 0].set_title("before training\n(at a tenth of the scale)", fontsize=10)
for ax, (name, result) in zip(axes.ravel()[1:], runs.items()):
    wide = name == "batch norm"
    scatter(ax, result.after, result.center, half_width * (10 if wide else 1))
    collapsed = result.contrast[-1] < 0.03
    title = f"{name}{' (at a tenth of the scale)' if wide else ''}\n{in_words(result.contrast[-1])}"
    ax.set_title(title, fontsize=10, color=RED if collapsed else "black")
    if collapsed:
        ax.text(0, -0.25 * half_width, f"all {len(X_test)} images", ha="center", color=GRAY)
fig.suptitle("Outputs of the test images (blue: normal class, red: all others, cross: c)")
figure("collapsed-and-healthy", fig)

# %% [markdown]
# ### Healthy, and yet on a line
#
# Look closely at the healthy outputs in the picture: they do not fill the plane, they lie on a line. This is no
# accident of our small network. Project the weights of the last layer onto the direction of $c$, $W^{\text{last}} \to
# \frac{c\,c^\top}{\|c\|^2} W^{\text{last}}$. Every output becomes its projection onto the line through 0 and $c$. Since
# $c$ itself lies on that line, every distance $\|\phi_i - c\|$ becomes smaller, unless $\phi_i$ was on the line
# already, and a projection makes no weight matrix longer. So **every minimum of (4) has its normal outputs on a line**,
# with any number of outputs and layers. The spread is not gone, but all of it is in one direction. This milder loss of
# information has a name of its own, *dimensional collapse*, and the singular values of the centred outputs show it: the
# number of those that are not next to zero is the number of dimensions that are used.
#
# Does it happen to the paper's networks as well, with 32 outputs and $\lambda = 10^{-6}$, which are trained for some
# time and not to the minimum? Not by far: in the quick run on the digits the effective rank falls from 18.5 to 14.0, in
# a full run on MNIST it stays at 17. What the minimum looks like and what training reaches are two things, here as with
# tanh above. As a single number we take the *effective rank* of the singular values $s_j$, $\exp(-\sum_j p_j \log p_j)$
# with $p_j = s_j^2/\sum_k s_k^2$, which is $r$ if $r$ of them are equal and the others 0.


# %%
def singular_values(phi):
    """Of the outputs minus their mean, largest first."""
    return np.linalg.svd(np.asarray(phi, np.float64) - phi.mean(axis=0), compute_uv=False)


def effective_rank(phi):
    p = singular_values(phi) ** 2
    p = p[p > 0] / p.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


ratios = {name: np.divide(*singular_values(runs[name].after)[::-1]) for name in ("healthy", "batch norm")}
print(f"batch norm: second singular value {ratios['batch norm']:.1e} of the first")
check("the healthy outputs lie on a line", ratios["healthy"] < 1e-3, f"second/first {ratios['healthy']:.0e}")
across = healthy.after - np.outer(healthy.after @ healthy.center, healthy.center) / (healthy.center @ healthy.center)
check(
    "the one through 0 and c", np.abs(across).max() < 1e-3 * np.abs(healthy.after).max(), f"{np.abs(across).max():.0e}"
)

stages, images = {}, split.test[: choose(400, 2000)]
small_decay = {"weight_decay": 1e-6, "learning_rate": 1e-3, "batch_size": SCHEDULE["batch_size"], "milestones": ()}
for title, epochs in (("as drawn", 0), ("trained", choose(60, 200 if DATA == "digits" else 30))):
    wide = DeepSVDD(preprocessing="gcn-l1", pretrain_epochs=0, epochs=epochs, threshold="nu", verbose=0, **small_decay)
    wide.fit(split.train)
    stages[title] = nn.outputs(wide.network_, wide.preprocessing_.transform(images))
ranks = {title: effective_rank(phi) for title, phi in stages.items()}
dimensions = stages["trained"].shape[1]
check(
    "32 outputs at the paper's decay: after so many epochs they are far from a line",
    ranks["trained"] > ranks["as drawn"] / 3,
    f"{ranks['as drawn']:.1f} as drawn, {ranks['trained']:.1f} trained, of {dimensions}",
)

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), width_ratios=[1, 1.6])
axes[0].bar([0, 1], singular_values(healthy.before), 0.35, color=GRAY, label="before")
axes[0].bar([0.4, 1.4], singular_values(healthy.after), 0.35, color=BLUE, label="after")
axes[0].set(xticks=[0.2, 1.2], yscale="log", ylim=(1e-6, None), title="two outputs, $\\lambda = 0.1$")
axes[0].set_xticklabels(["first", "second"])
axes[0].set_ylabel("singular value")
for (title, phi), color in zip(stages.items(), (GRAY, BLUE)):
    values = singular_values(phi)
    axes[1].semilogy(np.arange(1, len(values) + 1), values / values[0], ".-", color=color, label=title)
axes[1].set(xlabel="number", title=f"{dimensions} outputs, $\\lambda = 10^{{-6}}$, divided by the first")
for ax in axes:
    ax.legend()
figure("singular-values", fig)

# %%
columns = ("contrast", "R after/before", "|W| after/before", "test AUC", "signs of collapse")
print(f"{'run':18s}" + "".join(f"{column:>18s}" for column in columns))
for name, result in runs.items():
    f = result.figures
    ratios = f"{result.contrast[-1]:18.1e}{f['radius_ratio']:18.1e}{f['weight_norm_ratio']:18.1e}"
    print(f"{name:18s}{ratios}{result.auc:18.3f}{len(result.signs) or 'none':>18}")

# %% [markdown]
# ## What the AUC does not see
#
# Look at the column of AUCs. The run with a bias has collapsed, and yet ranks the test images as well as the healthy
# one. An AUC depends on the *order* of the scores alone: multiply all of them by $10^{-9}$ and it is the same. What is
# left of the images in a collapsed network, a faint linear echo, can still have a good order. (In a full run on MNIST
# weight decay a tenth above the threshold left a contrast of $2 \cdot 10^{-12}$, and an AUC of 0.909.) It is worth
# nothing as soon as anything else is added: rounding, noise, a change of version. Here the scores are rounded to four
# decimals, as in a report:


# %%
def rounded_auc(result):
    return roc_auc_score(split.is_anomaly, np.round(result.scores, 4))


for name in ("healthy", "hidden bias"):
    result = runs[name]
    print(
        f"{name}: median score {np.median(result.scores):.1e}, AUC {result.auc:.3f}, rounded {rounded_auc(result):.3f}"
    )
check(
    "the AUC alone does not betray the collapse",
    biased.auc > healthy.auc - 0.05,
    f"{biased.auc:.3f} and {healthy.auc:.3f}",
)
check(
    "rounded to four decimals the collapsed scores are worthless",
    rounded_auc(biased) < 0.6 < rounded_auc(healthy) - 0.2,
)

# %% [markdown]
# So a test that asks for an AUC is passed by a detector that has collapsed. The lesson: **compare with the network
# before training**. `DeepSVDD` does so by itself: it judges the structure before training (each layer says whether it
# `has_bias_like` parameters or `is_bounded`), and figures such as the contrast afterwards, of training images whose
# pixels are exchanged, since it has no other classes (`minisvdd.svdd.collapse`); `diagnostics()` returns them.

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", CollapseWarning)
    detector = DeepSVDD(
        network=perceptron(hidden_bias=True),
        preprocessing="gcn-l1",
        pretrain_epochs=0,
        threshold="nu",
        verbose=0,
        **SCHEDULE,
    ).fit(split.train)
for warning in caught:
    print("warning:", warning.message)
messages = [str(warning.message) for warning in caught]
check("DeepSVDD warns before training that this network can collapse", any("can collapse" in m for m in messages))
check("and afterwards that it did", any(m.startswith("hypersphere collapse") for m in messages))
check("a healthy network gets no warning", healthy.signs == [] and normed.signs == [])

# %% [markdown]
# ## Is it one lucky seed?
#
# The same eight runs with further seeds: each point is one training.

# %%
variants = {
    "healthy": lambda s: run(perceptron(), seed=s),
    "c = 0": lambda s: run(perceptron(), center=np.zeros(2), seed=s),
    "c trained": lambda s: run(perceptron(), free_center=True, seed=s),
    "hidden bias": lambda s: run(perceptron(hidden_bias=True), seed=s),
    "batch norm": lambda s: run(perceptron(norm=nn.BatchNorm()), seed=s),
    "batch norm + beta": lambda s: run(perceptron(norm=nn.BatchNorm(affine=True)), seed=s),
    "sigmoid": lambda s: run(perceptron(activation=nn.Sigmoid), seed=s),
    "tanh": lambda s: run(perceptron(activation=nn.Tanh), seed=s),
}
seeds = range(1, choose(2, 6))
contrast = {name: [runs[name].contrast[-1], *(make(s).contrast[-1] for s in seeds)] for name, make in variants.items()}

# %%
fig, ax = plt.subplots(figsize=(7.5, 3.4))
for row, (name, values) in enumerate(contrast.items()):
    collapses = name in ("c = 0", "c trained", "hidden bias", "batch norm + beta", "sigmoid")
    ax.semilogx(np.maximum(values, 1e-12), [row] * len(values), "o", ms=7, alpha=0.7, color=RED if collapses else BLUE)
ax.set(
    yticks=range(len(contrast)),
    xlabel=f"contrast kept by training ({len(seeds) + 1} seeds; left end: $10^{{-12}}$ or less)",
)
ax.set_yticklabels(contrast)
ax.invert_yaxis()
ax.grid(alpha=0.25)
figure("seeds", fig)

# %%
check(
    "with every seed, the worst healthy run keeps more than the best hidden-bias run",
    min(contrast["healthy"]) > 10 * max(contrast["hidden bias"]),
)
check(
    "with every seed, batch norm keeps more without beta than with it",
    min(contrast["batch norm"]) > 4 * max(contrast["batch norm + beta"]),
)
average = {name: float(np.exp(np.mean(np.log(np.maximum(values, 1e-12))))) for name, values in contrast.items()}
check(
    "sigmoid keeps less than leaky ReLU with every seed, and on (geometric) average less than a quarter",
    max(contrast["sigmoid"]) < min(contrast["healthy"]) and average["sigmoid"] < average["healthy"] / 4,
    f"averages {average['sigmoid']:.4f} and {average['healthy']:.3f}",
)
check(
    "with every seed, c = 0 and a trained c leave less than a millionth",
    max(contrast["c = 0"] + contrast["c trained"]) < 1e-6,
)

# %% [markdown]
# Sigmoid is the mildest of the five. Its hidden units all start near $\frac12$, so the network tells little apart even
# before training, and there is less contrast to lose. That a collapse is partial with some seeds makes it worse, not
# better: nobody would notice.
#
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★★ **Where does the shrinking stop?** For $c \ne 0$, use $\langle W^l,\partial J/\partial W^l\rangle =
#    \frac2n\sum_i\langle \phi_i-c,\phi_i\rangle$ to show that at every stationary point of $J$ (without decay) the mean
#    squared output is the mean projection on $c$: $\frac1n\sum\|\phi_i\|^2 = \frac1n\sum\langle c,\phi_i\rangle$. Show
#    that the zero network is such a point and yet no minimum. Check both on a trained network.
# 2. ★★ **A bias at the output.** Show that a bias in the *last* layer is the same as a trained $c$. Train both and
#    compare.
# 3. ★★ **Dead, not collapsed.** ReLU has the infimum 0. Let all hidden ReLUs be dead (output 0 for every image). What
#    is the loss, what is the gradient, and why is this not the trivial solution of Proposition 3?
# 4. ★★★ **A deeper trap.** Let the network have three layers or more, and no biases. Show that the zero network is a
#    strict local minimum of (4) for *every* $\lambda > 0$. Train three layers with $\lambda = 0.1$ twice, from weights
#    as drawn and from a tenth of them. Hint: how does $\langle c, \bar\phi\rangle$ change when all weights are
#    multiplied by $t$?
#
# Solutions: `lectures/solutions/07_collapse.py`.
#
# **Assignment:** `minisvdd assignment collapse` (3 hours): make it, detect it, explain it.

# %%
finish()
