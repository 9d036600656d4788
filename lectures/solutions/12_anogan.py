# %% [markdown]
# # Solutions to 12. AnoGAN

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from minisvdd import AnoGAN, gradcheck, load_dataset, ops
from minisvdd.lecture import BLUE, RED, check, choose, figure, finish
from minisvdd.rivals import dcgan, latent

rng = np.random.default_rng(120)

# %% [markdown]
# ## Exercise 1
#
# Climbing $L_{\mathcal{D}}$ means to minimise $\log(1 - \sigma(q))$, whose slope is $-\sigma(q)$. The slope of $-\log
# \sigma(q)$ is $\sigma(q) - 1$. They are equal where $\sigma(q) = 1 - \sigma(q)$, at $q = 0$: where the discriminator
# cannot tell. On the left of it, where the generator is losing, the first slope dies and the second goes to $-1$.

# %%
d = np.linspace(-6, 6, 201)
belief = 1 / (1 + np.exp(-d))
climb, believed = -belief, belief - 1
plt.plot(d, climb, color=RED, label=r"of $\log(1 - \sigma(d))$")
plt.plot(d, believed, color=BLUE, label=r"of $-\log \sigma(d)$")
plt.xlabel("logit q of a generated image")
plt.ylabel("slope")
plt.legend()
figure("slopes")
equal = d[np.argmin(np.abs(climb - believed))]
check("both slopes are equal at q = 0", abs(equal) < 1e-9)
check("on the left the second one is the larger", (np.abs(believed) > np.abs(climb))[d < -0.1].all())

# %% [markdown]
# ## Exercise 2
#
# $(u^2)' = 2u$ takes the place of $|u|' = \operatorname{sign}(u)$:
# $\partial L / \partial y = (1 - a)\, 2 (y - x) + a\, J_f^\top\, 2 (f(y) - f(x))$, and the rest stays as it is.


# %%
def squared_loss(generator, features, z, x, x_features, a=0.1):
    y = generator.forward(z, training=True)
    residual, mismatch = y - x, features.forward(y, training=True) - x_features
    losses = (1 - a) * (residual**2).sum(axis=(1, 2, 3)) + a * (mismatch**2).sum(axis=1)
    grad_y = (1 - a) * 2 * residual + features.backward(a * 2 * mismatch, need_params=False)
    return losses, generator.backward(grad_y, need_params=False)


network = dcgan.make_gan("small_dcgan", (1, 8, 8), latent_dim=6)
network.build((6,), rng, dtype=np.float64)
for _ in range(20):
    network.forward(rng.standard_normal((8, 6)), training=True)
network.freeze_statistics()
generator, features, _ = network.layers
x, z, weights = rng.uniform(-1, 1, size=(3, 1, 8, 8)), rng.standard_normal((3, 6)), rng.standard_normal(3)
x_features = features.forward(x)
report = gradcheck.check_gradient(
    lambda z: weights @ squared_loss(generator, features, z, x, x_features)[0],
    weights[:, None] * squared_loss(generator, features, z, x, x_features)[1],
    z,
    tolerance=1e-6,
)
check("the gradient of the squared losses is right", report.passed, f"error {report.error:.0e}")

# %% [markdown]
# ## Exercise 3
#
# $b \|z\|^2$ adds $2 b z$ to the gradient. It pulls $z$ to where the generator was trained, and leaves the search less
# freedom: the distances end higher. How the AUC answers is an empirical question, to which the numbers below are one
# answer.

# %%
split = load_dataset("digits").one_class("3")
model = AnoGAN(
    latent_dim=32,
    epochs=choose(60, 300),
    learning_rate=1e-3,
    batch_size=16,
    search_steps=1,
    preprocessing="gcn-l1",
    threshold="nu",
    verbose=0,
).fit(split.train)
some, is_anomaly = split.test[: choose(120, 896)], split.is_anomaly[: choose(120, 896)]
model.network_.freeze_statistics()
generator, features, _ = model.network_.layers
pixels = 2 * model.preprocessing_.transform(some) - 1
pixel_features = features.forward(pixels)


def scores_with(b, steps):
    z = np.tile(model.start_, (len(some), 1))
    first, second = np.zeros_like(z), np.zeros_like(z)
    for step in range(1, steps + 1):
        losses, grad = latent.search_loss(generator, features, z, pixels, pixel_features)
        ops.adam_update(z, grad + 2 * b * z, first, second, step, 0.02, 0.9, 0.999, 1e-8, 0.0)
    return losses


results = {b: scores_with(b, choose(40, 300)) for b in (0.0, 0.3, 3.0)}
for b, losses in results.items():
    print(f"b = {b}: mean loss {losses.mean():.2f}, AUC {roc_auc_score(is_anomaly, losses):.3f}")
check("the pull makes every search end higher on average", results[3.0].mean() > results[0.0].mean())

# %%
finish()
