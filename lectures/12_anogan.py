# %% [markdown]
# # 12. AnoGAN: how far is the nearest image a generator can make?
#
# Deep SVDD learns a sphere and throws images at it. AnoGAN (Schlegl et al., 2017), a column of the paper's table 1,
# takes another way: it learns to *make* normal images, and calls an image anomalous if nothing it can make comes close.
# The question "what comes closest?" is an optimisation problem of its own, one per test image, and its gradient runs
# backwards through two networks down to the input of the first. We derive it, check it, and watch it search.
#
# **Before you start:** lectures 2 and 4. A first reading takes about 35 minutes. **Letters** (`docs/notation.md` has
# all of them): here $n$ counts the $N$ samples of a batch, $s$ is a sign, and $J_f$ a Jacobian.
#
# *Needs: no data (MNIST in a full run, if it is there). Minutes: 0.4 quick, 3 full.*

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from minisvdd import AnoGAN, gradcheck, load_dataset, ops
from minisvdd.lecture import BLUE, GRAY, RED, check, choose, figure, finish
from minisvdd.rivals import dcgan, latent

rng = np.random.default_rng(12)

# %% [markdown]
# ## Two players
#
# A generator $g$ turns noise $z \sim \mathcal N(0, I)$ into images; a discriminator $\mathcal{D}$ gives an image a
# number, its logit $\mathcal{D}(x)$, and $\sigma(\mathcal{D}(x)) = 1 / (1 + e^{-\mathcal{D}(x)})$ is its belief that
# $x$ is real. $\mathcal{D}$ is trained by the cross-entropy of a classifier, with target 1 for real and 0 for generated
# images:
#
# $$ L_{\mathcal{D}} = -\frac{1}{N} \sum_n \log \sigma(\mathcal{D}(x_n))
# - \frac{1}{N} \sum_n \log\big(1 - \sigma(\mathcal{D}(g(z_n)))\big) . $$
#
# **The gradient at the logit.** For one logit $q$ with target $t$ the loss is
# $L = -t \log \sigma(q) - (1 - t) \log (1 - \sigma(q))$. With $\sigma' = \sigma (1 - \sigma)$,
#
# $$ \frac{\partial L}{\partial q} = -t\,(1 - \sigma) + (1 - t)\, \sigma = \sigma(q) - t . $$
#
# Belief minus truth, as in every classifier. The generator wants to be believed. It could climb $L_{\mathcal{D}}$, but
# $\log(1 - \sigma(q))$ has the slope $-\sigma(q)$, which dies out just where the generator is at its worst and
# $\mathcal{D}$ is sure, $\sigma(q) \to 0$. One asks instead for the target 1:
#
# $$ L_g = -\frac{1}{N} \sum_n \log \sigma(\mathcal{D}(g(z_n))), \qquad
# \frac{\partial L}{\partial q} = \sigma(q) - 1 \to -1 . $$

# %%
logits = np.array([[-6.0], [-2.0], [0.5]])
belief = 1 / (1 + np.exp(-logits))
_, gradient, _ = ops.binary_cross_entropy(logits, 1.0)
check("the library's gradient is (belief - truth) / N", np.allclose(gradient, (belief - 1) / 3, rtol=1e-12))
check(
    "a generator that is not believed still gets a gradient, and would get none by climbing the discriminator's loss",
    abs(gradient[0, 0] * 3) > 0.99 and belief[0, 0] < 0.01,
    f"{abs(gradient[0, 0] * 3):.3f} against {belief[0, 0]:.4f}",
)

# %% [markdown]
# One step of $\mathcal{D}$, one of $g$, and so on; `AnoGAN` does this with Adam at $\beta_1 = 0.5$, since an average
# over the last ten gradients says little about an opponent that has moved since. For $g$ the chain rule passes
# *through* $\mathcal{D}$: the discriminator's `backward(G, need_params=False)` turns $\partial L_g / \partial q$ into
# $\partial L_g / \partial y$ for the images $y = g(z)$, and the generator's `backward` does the rest. $\mathcal{D}$'s
# own weights are left alone.

# %%
dataset = load_dataset("digits")
split = dataset.one_class("3")
model = AnoGAN(
    latent_dim=32,
    epochs=choose(80, 300),
    learning_rate=1e-3,
    batch_size=16,
    search_steps=choose(40, 200),
    preprocessing="gcn-l1",
    threshold="nu",
    verbose=0,
).fit(split.train)

# %%
fig, (left, middle, right) = plt.subplots(1, 3, figsize=(7.2, 2.4), width_ratios=(2, 1, 1))
left.plot(model.history_["epoch"], model.history_["discriminator_loss"], color=BLUE, label="discriminator")
left.plot(model.history_["epoch"], model.history_["generator_loss"], color=RED, label="generator")
left.set(xlabel="epoch", ylabel="loss")
left.legend()
real = model.preprocessing_.transform(split.train)
made = model.generate(rng.standard_normal((16, 32)))
for axes, title, images in ((middle, "real", real[:16]), (right, "made", made)):
    axes.imshow(images.reshape(4, 4, 8, 8).transpose(0, 2, 1, 3).reshape(32, 32), vmin=0, vmax=1)
    axes.set_title(title)
    axes.axis("off")
figure("game")

many = model.generate(rng.standard_normal((300, 32)))
near = np.abs(many.mean(axis=0) - real.mean(axis=0)).mean()
check("the average generated image is close to the average three", near < 0.1, f"mean difference {near:.3f}")
spread = many.std(axis=0).mean() / real.std(axis=0).mean()
check("and the generator has not collapsed to a single image", spread > 0.3, f"spread {spread:.2f} of the real one")

# %% [markdown]
# Two losses that go up and down without ever settling: there is nothing to converge to when each side answers the
# other. Nobody can read off such a curve when to stop, which is one practical argument for a loss like Deep SVDD's.
#
# ## The search for $z$
#
# For a test image $x$ and a point $z$, let $y = g(z)$. AnoGAN measures two distances, of the pixels and of $f$, the
# discriminator's last layer before the logit:
#
# $$ L(z) = (1 - a)\, \|x - y\|_1 + a\, \|f(x) - f(y)\|_1, \qquad a = 0.1 . $$
#
# The anomaly score is $\min_z L(z)$, or what gradient descent finds of it. **The gradient.** $|u|$ has the derivative
# $\operatorname{sign}(u)$ (and we take 0 at 0), hence with $s = \operatorname{sign}(y - x)$
# and $t = \operatorname{sign}(f(y) - f(x))$
#
# $$ \frac{\partial L}{\partial y} = (1 - a)\, s + a\, J_f(y)^\top t, \qquad
# \frac{\partial L}{\partial z} = J_g(z)^\top \frac{\partial L}{\partial y} . $$
#
# $y$ reaches the loss by two ways, directly and through $f$, so two terms are added. A product $J^\top v$ is what a
# network's backward pass computes when it is fed with $v$ (lecture 2). So the search needs no new derivative at all:


# %%
def loss_and_gradient(generator, features, z, x, x_features, a=0.1):
    y = generator.forward(z, training=True)
    residual, s = ops.absolute_distances(y, x)
    mismatch, t = ops.absolute_distances(features.forward(y, training=True), x_features)
    grad_y = (1 - a) * s + a * features.backward(t, need_params=False)
    return (1 - a) * residual + a * mismatch, generator.backward(grad_y, need_params=False)


# %% [markdown]
# $f(x)$ does not depend on $z$, so it is computed once and handed in. A layer remembers its last
# `forward(training=True)`, and `backward` belongs to that one; an evaluation in between leaves no trace. An $f(x)$
# computed there would do no harm, but cost time in every step of the search.

# %%
network = dcgan.make_gan("small_dcgan", (1, 8, 8), latent_dim=6)
network.build((6,), rng, dtype=np.float64)
for _ in range(20):
    network.forward(rng.standard_normal((8, 6)), training=True)  # running statistics
network.freeze_statistics()  # from here on they are constants, in training=True too
generator, features, _ = network.layers
x, z = rng.uniform(-1, 1, size=(3, 1, 8, 8)), rng.standard_normal((3, 6))
x_features = features.forward(x)

losses, grad_z = loss_and_gradient(generator, features, z, x, x_features)
library = latent.search_loss(generator, features, z, x, x_features)
check("our five lines are the library's `search_loss`", (losses == library[0]).all() and (grad_z == library[1]).all())

y, gradients = generator.forward(z), []
for between in (lambda: None, lambda: features.forward(x)):
    features.forward(y, training=True)
    between()
    gradients.append(features.backward(np.ones_like(x_features), need_params=False))
check("an evaluation between forward and backward changes nothing", (gradients[0] == gradients[1]).all())

# %% [markdown]
# Now the check that matters: end to end, from the sum of both distances down to $z$, against central differences. The
# three images get weights of their own. With equal weights, a gradient that belongs to the wrong image could hide in
# the sum.

# %%
weights = rng.standard_normal(3)
report = gradcheck.check_gradient(
    lambda z: weights @ latent.search_loss(generator, features, z, x, x_features)[0],
    weights[:, None] * grad_z,
    z,
    tolerance=1e-6,
)
check("dL/dz agrees with finite differences through both networks", report.passed, f"error {report.error:.0e}")

swapped = gradcheck.check_gradient(
    lambda z: weights @ latent.search_loss(generator, features, z, x, x_features)[0], weights[:, None] * grad_z[::-1], z
)
check("the gradients of two images, exchanged, would be noticed", not swapped.passed)

# %% [markdown]
# ## Many searches at once
#
# Each image has a $z$ of its own, and $\partial L_n / \partial z_m = 0$ for $m \neq n$: as long as nothing mixes the
# samples of a batch, 200 searches cost 200 rows in the same matrix products. Batch norm would mix them by the
# statistics of the batch, so the running ones are used, as constants. Adam works entry by entry and mixes nothing.
# The search starts at one $z_0$, drawn in `fit`, for all images: the score of an image then depends neither on its
# neighbours nor on its place. An image stops when its best loss fell by less than 1 % over 50 steps.

# %%
some = split.test[: choose(150, 896)]
is_anomaly = split.is_anomaly[: len(some)]
model.network_.freeze_statistics()
generator, features, _ = model.network_.layers
pixels = 2 * model.preprocessing_.transform(some) - 1  # the range of tanh
start = np.tile(model.start_, (len(some), 1))
curves, aucs, counts = [], [], [0, 5, 10, 20, 40, *choose((), (80, 160, 320))]
for steps in counts:
    found = latent.search(generator, features, pixels, start, steps=steps, learning_rate=0.02)
    curves.append(found.losses)
    aucs.append(roc_auc_score(is_anomaly, found.losses))
alone = latent.search(generator, features, pixels[7:8], start[:1], steps=20, learning_rate=0.02).losses[0]
model.network_.freeze_statistics(False)
curves = np.array(curves)

falls = (np.diff(curves, axis=0) <= 0).all()
check("more steps never make an image worse: the best z is kept", falls)
check("an image searched for alone has the same score", abs(alone / curves[3][7] - 1) < 1e-3, f"{alone:.4f}")
check("the search tells threes from the rest", max(aucs) > 0.9, f"AUC {max(aucs):.3f}")
check("better than the loss at its start does", max(aucs) > aucs[0] + 0.03, f"AUC {aucs[0]:.3f} there")

fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.8))
left.plot(counts, curves[:, ~is_anomaly].mean(axis=1), color=BLUE, marker="o", label="threes")
left.plot(counts, curves[:, is_anomaly].mean(axis=1), color=RED, marker="o", label="other digits")
left.set(xlabel="search steps", ylabel="mean loss")
left.legend()
right.plot(counts, aucs, color=GRAY, marker="o")
right.set(xlabel="search steps", ylabel="test AUC", ylim=(0.4, 1))
figure("search")

# %% [markdown]
# Here is AnoGAN's dilemma. The score is a minimum, and a better search makes *every* score smaller, the anomalies' too:
# with 32 free numbers, or the paper's 256, against 64 pixels, a generator pushed far enough can imitate things it has
# never seen. What is scored is the generator's unwillingness within a given number of steps. Read the right curve: it
# need not grow for ever.
#
# ## What the search found

# %%
found = model.search(some)
made = model.generate(found.z)
seen = model.preprocessing_.transform(some)
order = np.argsort(found.losses)
chosen = [*order[:4], *order[-4:]]
fig, axes = plt.subplots(2, 8, figsize=(7.2, 2.0))
for column, index in enumerate(chosen):
    for row, image in enumerate((seen[index, 0], made[index, 0])):
        axes[row, column].imshow(image, vmin=0, vmax=1)
        axes[row, column].axis("off")
    axes[0, column].set_title(f"{found.losses[index]:.1f}", fontsize=8, color=RED if is_anomaly[index] else BLUE)
figure("nearest")

check("most of the four nearest images are threes", (~is_anomaly[order[:4]]).sum() >= 3)
check("none of the four farthest is", is_anomaly[order[-4:]].all())

# %% [markdown]
# Upper row: test images, with their scores; lower row: the nearest image of the generator. One pass of Deep SVDD scores
# an image; this search took dozens of passes through two networks in both directions. That is the other practical
# difference between two columns of table 1.
#
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★ The generator may use $\log(1 - \sigma(q))$ (climb $L_{\mathcal{D}}$) or $-\log \sigma(q)$. Plot both slopes over
#    $q$, and find the $q$ at which they are equal.
# 2. ★★ Replace both absolute values in $L(z)$ by squares. Derive the new $\partial L / \partial z$ and check it.
# 3. ★★★ Give the search a memory of the prior: $z$ was drawn from $\mathcal N(0, I)$, so add $b \|z\|^2$ to the loss.
#    How do the mean loss and the AUC of the digits change with $b$? Hint: only one line of the loss and one of its
#    gradient change; write the search as a loop of `adam_update`.
#
# Solutions: `lectures/solutions/12_anogan.py`.
#
# **Assignment:** `minisvdd assignment anogan-search` (2 to 3 hours).

# %%
finish()
