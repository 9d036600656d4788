# %% [markdown]
# # Solutions to 16. Where is it?
#
# *Needs: no data. Minutes: 0.2 quick, 0.2 full.*

# %%
import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from minisvdd import DeepSVDD, load_dataset
from minisvdd.lecture import check, finish

rng = np.random.default_rng(16)

# %% [markdown]
# ## Exercise 1
#
# Differentiate $\rho^2 = \frac1D\sum_i (x_i-m)^2$. Since deviations sum to 0,
#
# $$ 2\rho\,\frac{\partial \rho}{\partial x_j} = \frac2D\sum_i (x_i - m)\Big(\delta_{ij} - \frac1D\Big)
#    = \frac2D (x_j - m), \qquad\text{so}\qquad \frac{\partial \rho}{\partial x_j} = \frac{z_j}{D} : $$
#
# where the L1 norm has $\theta_j - \bar\theta$, this one has $z_j$ (whose mean is 0). Therefore
#
# $$ \frac{\partial L}{\partial x_j} = \frac1\rho\big(G_j - \overline G - \overline{Gz}\, z_j\big) , $$
#
# batch norm's backward, letter by letter. $z$ still answers neither to brightness nor to contrast, so both sums vanish:
# $\sum_j \partial L/\partial x_j = 0$ and $\sum_j x_j\,\partial L/\partial x_j = 0$.


# %%
def normalize(x):
    centered = x - x.mean()
    return centered / np.sqrt((centered**2).mean())


def normalize_backward(G, x):
    z, s = normalize(x), x.std()
    return (G - G.mean() - (G * z).mean() * z) / s


x, G = rng.normal(size=(2, 30))
gradient, h = normalize_backward(G, x), 1e-6
numeric = np.array([(G @ normalize(x + h * e) - G @ normalize(x - h * e)) / (2 * h) for e in np.eye(30)])
check("central differences agree", np.allclose(gradient, numeric, atol=1e-8), f"{np.abs(gradient - numeric).max():.0e}")
check("both sums vanish", abs(gradient.sum()) < 1e-12 and abs(gradient @ x) < 1e-12)

# %% [markdown]
# ## Exercise 2
#
# Let $f(\mu, \sigma) = \mu P(a) + \sigma p(a)$, $a = \mu/\sigma$. With $P' = p$ and $p'(a) = -a\,p(a)$:
#
# $$ \frac{\partial f}{\partial\mu} = P(a) + \frac{\mu\,p(a)}{\sigma} - \frac{\sigma\, a\, p(a)}{\sigma}
#    = P(a) , $$
#
# $$ \frac{\partial f}{\partial\sigma} = -\frac{\mu^2 p(a)}{\sigma^2} + p(a) + \frac{\mu^2 p(a)}{\sigma^2}
#    = p(a) > 0 . $$
#
# So it grows with $\sigma$. For $\sigma\to0$: if $\mu>0$, then $a\to\infty$, $P\to1$ and $\sigma p\to0$, the limit is
# $\mu$; if $\mu<0$, then $P\to0$ and the limit is 0. Where an image has no contrast at all, $x_i = m$ and $C = 0$ for
# all pixels: $\mu = \sigma = 0$, and the map is 0. That is right: exchanging equal pixels changes nothing.


# %%
def exchange(mu, sigma):
    return mu * norm.cdf(mu / sigma) + sigma * norm.pdf(mu / sigma)


mu, sigma, h = rng.normal(size=50), rng.uniform(0.2, 2, size=50), 1e-6
by_mu = (exchange(mu + h, sigma) - exchange(mu - h, sigma)) / (2 * h)
by_sigma = (exchange(mu, sigma + h) - exchange(mu, sigma - h)) / (2 * h)
check("its derivative with respect to mu is P(mu / sigma)", np.allclose(by_mu, norm.cdf(mu / sigma), atol=1e-8))
check("with respect to sigma p(mu / sigma), > 0", np.allclose(by_sigma, norm.pdf(mu / sigma), atol=1e-8))
check("for small sigma it is max(0, mu)", np.allclose(exchange(mu, 1e-9), np.maximum(0, mu), atol=1e-8))
split = load_dataset("digits").one_class(0)
settings = {"learning_rate": 1e-3, "batch_size": 32, "milestones": (), "pretrain_milestones": (), "verbose": 0}
trained = DeepSVDD(pretrain_epochs=60, epochs=60, **settings).fit(split.train)
check("of an image without contrast the map is 0", not trained.explain(np.full((1, 1, 8, 8), 0.5), "exchange").any())

# %% [markdown]
# ## Exercise 3
#
# The same network, with weights as drawn. Bright spots of 2 x 2 pixels in dark places of zeros, as in the lecture.

# %%
untrained = DeepSVDD(pretrain_epochs=0, epochs=0, **settings).fit(split.train)
images = split.test[~split.is_anomaly][:60].copy()
masks = np.zeros((len(images), 8, 8), bool)
for image, mask in zip(images, masks):
    places = [(r, c) for r in range(7) for c in range(7) if image[0, r : r + 2, c : c + 2].mean() < 0.15]
    r, c = places[rng.integers(len(places))]
    mask[r : r + 2, c : c + 2] = True
    image[0][mask] = 1
maps = {name: model.explain(images, "exchange") for name, model in (("trained", trained), ("untrained", untrained))}
auc = {
    name: np.mean([roc_auc_score(mask.ravel(), blame.ravel()) for blame, mask in zip(values, masks)])
    for name, values in maps.items()
}
alike = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*maps.values())])
print(f"pixel AUC {auc['trained']:.3f} trained, {auc['untrained']:.3f} untrained; correlation of the maps {alike:.2f}")
check("the maps are not the same", alike < 0.9, f"correlation {alike:.2f}")
check(
    "training helps to find the spots",
    auc["trained"] > auc["untrained"],
    f"{auc['trained']:.3f} and {auc['untrained']:.3f}",
)

# %% [markdown]
# An untrained detector finds some of them, too: its sphere has its centre at the mean output of normal images, and a
# spot moves the output away from it. What it does not know is which ways to differ are normal ones.

# %%
finish()
