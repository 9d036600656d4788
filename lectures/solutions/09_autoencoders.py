# %% [markdown]
# # Solutions to 9. Autoencoders
#
# *Needs: no data. Minutes: 0.1 quick, 0.1 full.*

# %%
import numpy as np
from sklearn.metrics import roc_auc_score

from minisvdd import Autoencoder, load_dataset, nn
from minisvdd.lecture import check, choose, finish

rng = np.random.default_rng(9)

# %% [markdown]
# ## Exercise 1
#
# With the images as rows, $Z = XA^\top$, $Y = ZA$ and $J = \frac1n\| Y - X\|_F^2$. Let $G = \frac2n(Y - X)$.
# $A$ occurs as decoder and as encoder, and the product rule adds the two:
#
# $$ \frac{\partial J}{\partial A}
#    = \underbrace{Z^\top G}_{\text{decoder: } Y = ZA}
#    \;+\; \underbrace{(G A^\top)^\top X}_{\text{encoder: } Z = XA^\top,\ \partial J/\partial Z = GA^\top} . $$
#
# A layer that is used twice *adds* its gradients: the one case in which `backward` writing its gradients, not adding
# them, is not enough.

# %%
X, A = rng.normal(size=(20, 7)), rng.normal(size=(3, 7))


def tied_loss(A):
    return ((X @ A.T @ A - X) ** 2).sum() / len(X)


Z = X @ A.T
G = 2 / len(X) * (Z @ A - X)
decoder, encoder = Z.T @ G, (G @ A.T).T @ X
numeric = np.empty_like(A)
for index in np.ndindex(A.shape):
    step = np.zeros_like(A)
    step[index] = 1e-6
    numeric[index] = (tied_loss(A + step) - tied_loss(A - step)) / 2e-6
check("both terms together are the gradient", np.allclose(decoder + encoder, numeric, rtol=1e-6, atol=1e-7))
check("neither is alone", not np.allclose(decoder, numeric, rtol=0.1) and not np.allclose(encoder, numeric, rtol=0.1))

# %% [markdown]
# ## Exercise 2
#
# The best fixed image $m$ minimises $\frac1n\sum_i\| x_i - m\|^2$: it is the mean image (lecture 6, exercise
# 3), and its error is the total variance. Its score $\| x - \bar x\|^2$ is Deep SVDD without a network. It takes a bias
# to output it: a decoder of ours whose first layer ignores the code hands on zeros, up to the sigmoid, $\sigma(0) =
# 0.5$.

# %%
split = load_dataset("digits").one_class(3)
epochs = choose(40, 100)
dcae = Autoencoder(
    network="digits_lenet", preprocessing="gcn-l1", learning_rate=1e-3, batch_size=32, epochs=epochs, milestones=(),
    threshold="nu", verbose=0,
).fit(split.train)  # fmt: skip
X_train, X_test = (dcae.preprocessing_.transform(images) for images in (split.train, split.test))
mean = X_train.mean(axis=0)
flat_scores = ((X_test - mean) ** 2).sum(axis=(1, 2, 3))
flat_error, error = ((X_train - mean) ** 2).sum(axis=(1, 2, 3)).mean(), dcae.anomaly_score(split.train).mean()
flat_auc, auc = (100 * roc_auc_score(split.is_anomaly, s) for s in (flat_scores, dcae.anomaly_score(split.test)))
print(f"the mean image: error {flat_error:.2f}, AUC {flat_auc:.1f} %; DCAE: error {error:.2f}, AUC {auc:.1f} %")
check("the mean image's error is the total variance", np.isclose(flat_error, X_train.var(axis=0).sum(), rtol=1e-4))
blind = nn.make_decoder("digits_lenet", X_train.shape[1:])
blind.build((32,), rng)
next(layer for layer in blind.layers if layer.params).params["weight"][...] = 0
check("a decoder without a bias has 0.5 to say", np.all(blind.forward(rng.normal(size=(9, 32)), training=True) == 0.5))
check("the DCAE copies better than the mean image", error < 0.7 * flat_error)
check("and detects better, though not by as much as one would think", flat_auc > 85 and auc > flat_auc)

# %% [markdown]
# ## Exercise 3
#
# The decoder begins with leaky ReLU (homogeneous), a linear layer without bias (homogeneous) and batch norm, which
# divides by the standard deviation: a factor $t$ in the code passes the first two and is divided away by the third (up
# to its $\epsilon$, and with running statistics that have seen the scaled codes). So the reconstruction is the same,
# while distances from $c$ are $t^2$ times as large. The loss of the autoencoder does not fix the scale of the code;
# nor, by the same argument, that of any single coordinate of it if the next linear layer undoes it. What the loss does
# not fix, training leaves to chance: the distance to $c$ in a pre-trained network is, in part, an accident.

# %%
encoder, decoder = dcae.network_.layers
last = next(layer for layer in reversed(encoder.layers) if layer.params)
t = 10


def loss_and_spread():
    """Reconstruction error, with the statistics of one batch of all images, and the spread of the codes."""
    copies = decoder.forward(encoder.forward(X_train, training=True), training=True)
    codes = nn.outputs(encoder, X_train)
    return ((copies - X_train) ** 2).sum() / len(X_train), ((codes - codes.mean(axis=0)) ** 2).sum(axis=1).mean()


loss, spread = loss_and_spread()
last.params["weight"] *= t
scaled_loss, scaled_spread = loss_and_spread()
check("the reconstruction error stays", np.isclose(loss, scaled_loss, rtol=1e-2), f"{loss:.4f} and {scaled_loss:.4f}")
check(
    "the squared distances grow by t^2",
    np.isclose(scaled_spread / spread, t**2, rtol=1e-3),
    f"{scaled_spread / spread:.2f}",
)

# %%
finish()
