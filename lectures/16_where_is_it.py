# %% [markdown]
# # 16. Where is it?
#
# A score says that something is wrong with an image, not where. Somebody who has to look at a hundred rejected parts
# wants to be shown the place. **The question:** what has each pixel to do with the score? Four answers follow: the
# gradient, which is exact and answers something else; the same gradient, asked a better question; the same question
# with large steps in place of a derivative; and another network's opinion. Then we plant defects ourselves and measure
# who finds them.
#
# **Before you start:** lectures 2, 4 and 6; the normal distribution. A first reading takes about 45 minutes.
# **Letters** (`docs/notation.md` has all of them): here $\sigma$ is a standard deviation, $w$ a window, and $J_\phi$ a
# Jacobian; $i$ and $j$ count pixels.
#
# *Needs: no data (MNIST, where found, in the full run). Minutes: 0.2 quick, 2 full.*

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from minisvdd import DeepSVDD, load_dataset, nn, ops
from minisvdd.lecture import QUICK, available, check, choose, data_dir, figure, finish, show

rng = np.random.default_rng(16)
DATA = "mnist" if not QUICK and available("mnist") else "digits"
split = load_dataset(DATA, data_dir()).one_class(0)
SETTINGS = {"learning_rate": 1e-3, "milestones": (), "pretrain_milestones": (), "verbose": 0}
SETTINGS |= (
    {"batch_size": 32, "pretrain_epochs": 60, "epochs": 60}
    if DATA == "digits"
    else {"pretrain_epochs": 15, "epochs": 15}
)
model = DeepSVDD(**SETTINGS).fit(split.train)
zeros = split.test[~split.is_anomaly]
print(f"{DATA}: trained on {len(split.train)} zeros; AUC on {len(split.test)} digits", end=" ")
print(f"{100 * roc_auc_score(split.is_anomaly, model.anomaly_score(split.test)):.1f} %")

# %% [markdown]
# ## The gradient of the score
#
# Let $x$ be the image, $z = T(x)$ the pre-processed image that the network sees, and $s(x) = \|\phi(T(x)) - c\|^2$. The
# chain rule, from the score backwards:
#
# $$ \frac{\partial s}{\partial \phi} = 2(\phi - c), \qquad
#    \frac{\partial s}{\partial z} = J_\phi^\top\, 2(\phi - c), \qquad
#    g = \frac{\partial s}{\partial x} = J_T^\top \frac{\partial s}{\partial z} . $$
#
# For soft-boundary Deep SVDD the score has $-R^2$ in it, a constant, and the same gradient. The middle step is the
# backward pass that training has used all the time, only that training stops at the weights of the first layer and here
# it goes one step further, to the input. Two things are different. No gradients of weights are asked for
# (`need_params=False`). And batch norm must use its running statistics, as it does when it scores, not the batch's:
# otherwise the derivative would be that of another function. `freeze_statistics` sees to that.


# %%
def gradient_at_the_network(network, center, z):
    """ds/dz of every sample, by the layers' own backward."""
    phi = network.forward(z, training=True)  # keeps what backward needs
    return network.backward(2 * (phi - center), need_params=False)


network = nn.make_encoder("digits_lenet", (1, 8, 8))
network.build((1, 8, 8), np.random.default_rng(0), dtype=np.float64)
for _ in range(20):
    network.forward(rng.uniform(size=(30, 1, 8, 8)), training=True)  # running statistics that are not (0, 1)
network.freeze_statistics()
center, z = rng.normal(size=network.output_shape), rng.uniform(size=(4, 1, 8, 8))
g = gradient_at_the_network(network, center, z)


def score_at_the_network(z):
    return ((network.forward(z) - center) ** 2).sum(axis=1)


h, direction = 1e-6, rng.normal(size=z.shape)
numeric = (score_at_the_network(z + h * direction) - score_at_the_network(z - h * direction)) / (2 * h)
exact = (g * direction).sum(axis=(1, 2, 3))
check("ds/dz is the numeric derivative", np.allclose(exact, numeric, rtol=1e-6), f"{exact[0]:.6f} and {numeric[0]:.6f}")

# %% [markdown]
# ## Through the contrast normalisation
#
# The last factor is the pre-processing (`minisvdd/ops/contrast.py`). With $D$ entries in an image,
#
# $$ m = \frac1D\sum_i x_i, \qquad \rho = \frac1D\sum_i|x_i - m|, \qquad z_i = \frac{x_i - m}{\rho} . $$
#
# Every pixel is in $m$ and in $\rho$, so that each $z_i$ depends on each $x_j$. With $\theta_i = \mathrm{sign}(x_i -
# m)$,
#
# $$ \frac{\partial m}{\partial x_j} = \frac1D, \qquad
#    \frac{\partial \rho}{\partial x_j} = \frac1D\sum_i \theta_i\Big(\delta_{ij} - \frac1D\Big)
#      = \frac{\theta_j - \bar\theta}{D}, \qquad
#    \frac{\partial z_i}{\partial x_j} = \frac{1}{\rho}\Big(\delta_{ij} - \frac1D\Big) - \frac{z_i}{\rho}\,
#      \frac{\theta_j - \bar\theta}{D} , $$
#
# and therefore, for $G = \partial L/\partial z$,
#
# $$ \frac{\partial L}{\partial x_j} = \sum_i G_i\frac{\partial z_i}{\partial x_j}
#    = \frac1\rho\Big(G_j - \overline{G} - \overline{Gz}\,(\theta_j - \bar\theta)\Big) . $$
#
# The form is that of batch norm's backward in lecture 4, and for the same reason: a mean and a scale were taken out.


# %%
def contrast_backward(G, x):
    """dL/dx of one image from G = dL/dz."""
    centered = x - x.mean()
    s = np.abs(centered).mean()
    z, sign = centered / s, np.sign(centered)
    return (G - G.mean() - (G * z).mean() * (sign - sign.mean())) / s


x, G = rng.normal(size=(2, 3, 5, 4))
ours = np.stack([contrast_backward(*pair) for pair in zip(G, x)])
check(
    "our three lines are the library's",
    np.allclose(ours, ops.contrast_normalize_backward(G[:, None], x[:, None])[:, 0]),
)
check("brightness does not matter: the gradient sums to 0", np.allclose(ours.sum(axis=(1, 2)), 0))
check("nor does contrast: along x it is 0", np.allclose((ours * x).sum(axis=(1, 2)), 0))
show(ops.contrast_normalize_backward)

# %% [markdown]
# The two sums are worth a thought: $s(ax + b) = s(x)$ for $a > 0$, so that $g$ must stand at right angles to the image
# of ones and to $x$ itself. Whatever the gradient says of a pixel, it says *relative to the rest of the image*.
#
# Now the whole chain, on a model that was trained. `explain(X, "gradient")` returns $|g_i|$; the library works in
# float32 there, as training does, and central differences of a score in float32 need a large step.

# %%
image = (zeros[:1] + 0.05 * rng.random(zeros[:1].shape)).astype(np.float32)  # noise: no ties for max-pooling
shares = model.explain(image, "gradient", smoothing=0)[0]
pixels = np.argsort(shares.ravel())[::-1][:9]
rows = []
for pixel in pixels:
    step = np.zeros_like(image)
    step.reshape(-1)[pixel] = 2e-3
    rows.append((model.anomaly_score(image + step) - model.anomaly_score(image - step))[0] / 4e-3)
for pixel, value in zip(pixels, rows):
    print(f"pixel {pixel:3d}: |g| {shares.ravel()[pixel]:.5f}   central difference {value:+.5f}")
error = np.abs(np.abs(rows) / shares.ravel()[pixels] - 1)  # a step across a kink is off by more than the others
check(
    "|g| is what central differences of the whole score say",
    np.median(error) < 0.02,
    f"median difference {100 * np.median(error):.2f} %, {(error > 0.02).sum()} of 9 steps cross a kink",
)

# %% [markdown]
# ## What the gradient does not say
#
# $g_i$ answers: *by how much does the score grow if pixel $i$ grows by very little?* We wanted to know: *what would the
# score be if this pixel were not wrong?* Between the two lies a step that is not small, over a function full of kinks.
# We plant a spot in each of some zeros and look at both along the line on which the spot is faded out: $x(t)$ is the
# zero with a fraction $t$ of the spot, from $t=1$ down to $t=0$.


# %%
def planted(images, rng):
    """Bright spots in the darker places of images; returns (damaged images, masks)."""
    size = 2 if images.shape[-1] == 8 else 5
    damaged, masks = images.copy(), np.zeros((len(images), *images.shape[2:]), bool)
    for image, mask in zip(damaged, masks):
        starts = [(r, c) for r in range(image.shape[1] - size + 1) for c in range(image.shape[2] - size + 1)]
        dark = [(r, c) for r, c in starts if image[:, r : r + size, c : c + size].mean() < 0.15]
        r, c = dark[rng.integers(len(dark))]
        mask[r : r + size, c : c + size] = True
        image[:, mask] = 1
    return damaged, masks


count = choose(40, 100)
damaged, masks = planted(zeros[:count], rng)
clean = zeros[: len(damaged)]
fall = model.anomaly_score(damaged) - model.anomaly_score(clean)
tiny = 0.01
slope = (model.anomaly_score(damaged) - model.anomaly_score((1 - tiny) * damaged + tiny * clean)) / tiny
print(
    f"the spot raised the score by {np.median(fall):.3f} (median); the slope at t = 1 promises {np.median(slope):.3f}"
)
fraction = np.linspace(0, 1, 21)
along = np.array([model.anomaly_score(((1 - t) * clean + t * damaged).astype(np.float32)) for t in fraction])
relation = np.corrcoef(fall, slope)[0, 1]
check("spots raise the score", (fall > 0).mean() > 0.8, f"{100 * (fall > 0).mean():.0f} % of them")
check(
    "a small step tells the large one's size badly: half of the promises are off by a quarter or more",
    np.median(np.abs(slope - fall) / np.abs(fall)) > 0.25,
    f"median error {100 * np.median(np.abs(slope - fall) / np.abs(fall)):.0f} %; correlation {relation:.2f}",
)

# %%
fig, ax = plt.subplots()
ax.plot(fraction, (along - along[0])[:, :12], linewidth=1)
ax.set(xlabel="fraction t of the spot", ylabel="score above that of the clean zero")
figure("along_the_spot", fig)

# %% [markdown]
# **Gradients are noisy, too.** Max-pooling sends a pixel's gradient through one winner of four or through none, and the
# leaky ReLU changes it tenfold at each of its kinks. Two images that nobody could tell apart lie on different linear
# pieces, and their gradients differ. An average over draws of noise, SmoothGrad, $\mathbb{E}_\varepsilon\, g(x +
# \varepsilon)$, is the gradient of the score averaged over a small neighbourhood, which has no kinks.


# %%
def alike(a, b):
    """Mean cosine of the gradients of the same images under two noises."""
    a, b = (v.reshape(len(v), -1) for v in (a, b))
    return ((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).mean()


def noisy(images, level):
    return (images + level * rng.normal(size=images.shape)).astype(np.float32)


def shares_of(images, method, seed=0):
    return model.explain(images, method, random_state=seed, smoothing=0)


level = 0.02
rough = alike(shares_of(noisy(damaged, level), "gradient"), shares_of(noisy(damaged, level), "gradient"))
smooth = alike(shares_of(noisy(damaged, level), "smoothgrad", 1), shares_of(noisy(damaged, level), "smoothgrad", 2))
check(
    f"under noise of {level} the averaged gradient changes less than the gradient",
    smooth > rough,
    f"cosine {smooth:.3f} against {rough:.3f}",
)

# %% [markdown]
# ## A better question: exchange the pixel
#
# What would the score be if pixel $i$ held something normal, $r$? To first order it changes by $-\Delta_i$, $\Delta_i =
# g_i\cdot(x_i - r)$ (for colours a product of vectors). We do not know $r$; but we know what pixels of this image look
# like: draw it from a Gaussian with their mean $m$ and covariance $C$. Then $\Delta_i$ is a Gaussian number,
#
# $$ \Delta_i \sim \mathcal{N}(\mu_i, \sigma_i^2), \qquad \mu_i = g_i\cdot(x_i - m),
# \qquad \sigma_i^2 = g_i^\top C\, g_i . $$
#
# Exchanges that make it worse are no explanation; we count $\max(0, \Delta_i)$. With $\Delta = \mu + \sigma t$, $t \sim
# \mathcal{N}(0, 1)$, density $p$ and distribution function $P$, and $p'(t) = -t\,p(t)$,
#
# $$ \mathbb{E}\max(0, \Delta) = \int_{-\mu/\sigma}^\infty (\mu + \sigma t)\,p(t)\,\mathrm{d}t
#    = \mu\,P\!\Big(\frac\mu\sigma\Big) + \sigma\,p\!\Big(\frac\mu\sigma\Big) . $$
#
# A pixel that deviates from the mean *in the direction in which the score grows* has $\mu > 0$ and counts most. But one
# with $\mu = 0$ still counts, by $\sigma\,p(0)$: it could be that something should be there, and is not.


# %%
def exchange(mu, sigma):
    t = mu / sigma
    return mu * norm.cdf(t) + sigma * norm.pdf(t)


mu, sigma = np.array([-2.0, 0.0, 0.5, 3.0]), np.array([1.0, 0.5, 2.0, 0.1])
drawn = np.maximum(0, mu + sigma * rng.normal(size=(200_000, 4))).mean(axis=0)
check(
    "the closed form is the mean of many draws", np.allclose(exchange(mu, sigma), drawn, atol=0.01), f"{drawn.round(3)}"
)
check("it is never below max(0, mu)", (exchange(mu, sigma) >= np.maximum(0, mu)).all())

# %% [markdown]
# ## The same with large steps: occlusion
#
# Nothing forces us to differentiate. Replace a window $w$ of the image by something harmless and score again:
#
# $$ h_w = \max\big(0,\; s(x) - s(x^{(w)})\big) , $$
#
# a finite difference whose step is as large as the change that we mean. By what? Black or grey would be a defect of its
# own in most pictures. We take another window of the same image, which looks like the rest of it, and average over a
# few. It needs no gradient, so every detector has it; and it needs hundreds of scores for each image.
#
# ## Another network's opinion: the residual
#
# The autoencoder of the pre-training (lecture 9) has learnt to draw normal images. Its loss is a sum over pixels, and
# the summands are a map: $h_i = (z_i - \mathrm{dec}(\mathrm{enc}(z))_i)^2$. This is not an explanation of Deep SVDD's
# score at all. It answers the question that we really have, *where is it?*, from the same training images.

# %%
residual = shares_of(damaged, "residual")
total = model.autoencoder_.anomaly_score(damaged)
check(
    "the residuals of an image sum up to the autoencoder's score",
    np.allclose(residual.sum(axis=(1, 2)), total, rtol=1e-5),
)

# %% [markdown]
# ## Who finds it?
#
# We know where the spots are. For each image rank the pixels by their share: the **pixel AUC** is the probability that
# a pixel of the spot is above one outside (chance: 0.5). Maps are smoothed by a Gaussian of a 16th of the image's side.


# %%
def pixel_auc(maps, masks):
    return np.array([roc_auc_score(mask.ravel(), blame.ravel()) for blame, mask in zip(maps, masks)])


methods = ("gradient", "smoothgrad", "exchange", "occlusion", "residual")
few = slice(0, choose(40, 24))  # occlusion is slow
maps = {method: model.explain(damaged[few], method) for method in methods}
auc = {method: pixel_auc(values, masks[few]).mean() for method, values in maps.items()}
for method, value in auc.items():
    print(f"{method:11s} pixel AUC {value:.3f}")
check("exchange makes more of the gradient than its size does", auc["exchange"] > auc["gradient"] + 0.02)
check("the residual finds the spots", auc["residual"] > 0.9, f"{auc['residual']:.3f}")
check(
    "`explain(X)` takes the residual where it can",
    np.array_equal(model.explain(damaged[:3]), model.explain(damaged[:3], "residual")),
)

# %%
fig, axes = plt.subplots(6, 8, figsize=(8, 6))
for column in range(8):
    axes[0, column].imshow(damaged[column, 0], cmap="gray", vmin=0, vmax=1)
    for row, method in enumerate(methods, start=1):
        axes[row, column].imshow(maps[method][column], cmap="magma")
for row, name in zip(axes, ("image", *methods)):
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
for ax in axes.ravel():
    ax.set(xticks=[], yticks=[])
figure("heat_maps", fig)

# %% [markdown]
# On textures with four kinds of defects the residual leads, too, and the gradient is last (`benchmarks/explain.py`).
# The model files of `DeepSVDD.save` therefore keep the autoencoder, and `explain` falls back to *exchange* where there
# is none.
#
# **What to promise.** A map shows what the *detector* answers to: it finds no defect that the detector is blind to. And
# an image always has a hottest pixel, also when nothing is wrong with it. So look at the score first.

# %%
hottest = [model.explain(images).max(axis=(1, 2)) for images in (damaged, clean)]
check("clean zeros have a hottest pixel, too", (hottest[1] > 0).all())
check(
    "but a cooler one",
    (hottest[0] > hottest[1]).mean() > 0.8,
    f"in {100 * (hottest[0] > hottest[1]).mean():.0f} % of the pairs",
)

# %% [markdown]
# From the command line: `minisvdd score MODEL.npz images.npy --heatmaps maps` writes a picture for each image.
#
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★★ **Another norm.** Derive the backward pass of a contrast normalisation with the standard deviation, $\rho =
#    \sqrt{\frac1D\sum_i (x_i - m)^2}$. Which of the two sums must vanish? What takes the place of the signs?
# 2. ★★★ **Limits.** Show that $\mathbb{E}\max(0, \Delta)$ grows with $\sigma$, that it tends to $\max(0, \mu)$ for
#    $\sigma \to 0$, and find its derivative with respect to $\mu$. What does the map of an image without contrast show?
#    Hint: differentiate the closed form, and use $p'(t) = -t\,p(t)$; most terms cancel.
# 3. ★★ **Does training matter?** A map that looks the same for a network with random weights says something of the
#    image, not of what was learnt. Compare the maps of a trained and of an untrained detector, and their pixel AUCs.
#
# Solutions: `lectures/solutions/16_where_is_it.py`.

# %%
finish()
