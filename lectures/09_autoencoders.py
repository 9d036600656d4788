# %% [markdown]
# # 9. Autoencoders
#
# Deep SVDD (lecture 6) starts from weights that another network has learnt: an **autoencoder**, which is trained to
# reproduce its input after squeezing it through few numbers. It needs no labels either, and it is a detector in its own
# right: what it cannot copy is unlike what it was trained on. **The questions:** what is its gradient, what does it
# learn, and what of that is of any use to Deep SVDD? The last one is rarely asked. We shall answer it with the one row
# of a table that is usually missing: the result *before* training.
#
# **Before you start:** lectures 4 and 6; the singular value decomposition. A first reading takes about 50 minutes.
# **Letters** (`docs/notation.md` has all of them): here $s_j$ are singular values.
#
# *Needs: no data (MNIST, where found, in the full run). Minutes: 0.3 quick, 6 full.*

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from minisvdd import Autoencoder, DeepSVDD, load_dataset, nn, ops, svdd
from minisvdd.experiments.experiments import area_under_roc
from minisvdd.lecture import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    QUICK,
    RED,
    available,
    check,
    choose,
    data_dir,
    figure,
    finish,
)

rng = np.random.default_rng(9)

# %% [markdown]
# ## The loss and its gradient
#
# An encoder $z = \phi(x; W) \in \mathbb{R}^p$ and a decoder $y = \psi(z; W') \in \mathbb{R}^D$ are trained together to
# make $y$ like $x$. For $n$ images with $D$ pixels each,
#
# $$ J(W, W') = \frac1n\sum_{i=1}^n \| y_i - x_i\|^2 = \frac1n\sum_{i=1}^n\sum_{j=1}^D (y_{ij}-x_{ij})^2 ,
#    \qquad y_i = \psi(\phi(x_i; W); W') . $$
#
# (Squares are *summed* over the pixels and averaged over the images. Many libraries average over both; the gradient is
# then $D$ times smaller, and so is the learning rate that you mean.) $J$ depends on $y_{ij}$ through one square, hence
#
# $$ \frac{\partial J}{\partial y_{ij}} = \frac2n\,(y_{ij} - x_{ij}) . $$
#
# The target $x$ is a constant here, although it is the input as well: what we differentiate is the way *through the
# network*. In code (`mean_squared_error`):


# %%
def reconstruction_loss(y, x):
    return ((y - x) ** 2).sum() / len(x), 2 / len(x) * (y - x)


y, x = rng.normal(size=(6, 1, 4, 4)), rng.normal(size=(6, 1, 4, 4))
value, grad = reconstruction_loss(y, x)
reference = ops.mean_squared_error(y, x)
check("our loss is the library's", np.isclose(value, reference[0]) and np.allclose(grad, reference[1]))
direction, h = rng.normal(size=y.shape), 1e-6
numeric = (reconstruction_loss(y + h * direction, x)[0] - reconstruction_loss(y - h * direction, x)[0]) / (2 * h)
check(
    "its gradient along a random direction is the numeric one",
    np.isclose((grad * direction).sum(), numeric),
    f"{numeric:.6f}",
)

# %% [markdown]
# **How does the encoder learn?** It sees no target. All it gets is the decoder's answer. The chain rule, with
# $G^y = \partial J/\partial y$:
#
# $$ G^z_{ik} = \frac{\partial J}{\partial z_{ik}}
#    = \sum_{i',j} G^y_{i'j}\,\frac{\partial y_{i'j}}{\partial z_{ik}} \qquad\text{(backward of the decoder)}, $$
#
# $$ \frac{\partial J}{\partial W} = \sum_{i,k} G^z_{ik}\,\frac{\partial z_{ik}}{\partial W}
#    \qquad\text{(backward of the encoder)}. $$
#
# The first sum goes over all samples $i'$: through the statistics of batch norm (lecture 4), $z_i$ has a part in every
# copy of the batch; and $\partial z_{ik}/\partial W$ is what $W$ does by way of the other images, too. This is just
# `Sequential([encoder, decoder]).backward(G)`. We look at the moment between the two: `decoder.backward` returns $G^z$,
# and it must be the numeric derivative of the loss with respect to the code.

# %%
network = nn.make_autoencoder("digits_lenet", (1, 8, 8))
network.build((1, 8, 8), np.random.default_rng(0), dtype=np.float64)
encoder, decoder = network.layers
images = rng.uniform(size=(5, 1, 8, 8))
z = encoder.forward(images, training=True)
_, grad_y = reconstruction_loss(decoder.forward(z, training=True), images)
grad_z = decoder.backward(grad_y)

direction, h = rng.normal(size=z.shape), 1e-6
losses = [reconstruction_loss(decoder.forward(z + s * direction, training=True), images)[0] for s in (h, -h)]
numeric = (losses[0] - losses[1]) / (2 * h)
check(
    "the decoder tells the encoder the truth",
    np.isclose((grad_z * direction).sum(), numeric, rtol=1e-5),
    f"{numeric:.8f}",
)
alone = np.empty_like(z)
for i in range(len(z)):  # only what z_i does to its own copy
    decoder.forward(z, training=True)
    alone[i] = decoder.backward(grad_y * (np.arange(len(z)) == i)[:, None, None, None])[i]
missing = np.linalg.norm(alone - grad_z) / np.linalg.norm(grad_z)
check("without the other samples' copies it would not", missing > 0.1, f"{100 * missing:.0f} % off")

# %% [markdown]
# ## What it learns, in the one case that can be solved
#
# Let encoder and decoder be **linear**: $z = Ax$ and $y = Bz$, with $A\in\mathbb{R}^{p\times D}$,
# $B \in \mathbb{R}^{D\times p}$. With the images as rows of $X\in\mathbb{R}^{n\times D}$, the reconstructions are
# $XA^\top B^\top$, a matrix of rank at most $p$, and
#
# $$ J = \frac1n\| XA^\top B^\top - X\|_F^2 . $$
#
# Let $X = USV^\top$ be the singular value decomposition, $s_1 \ge s_2 \ge\dots$. By the theorem of Eckart and Young no
# matrix of rank $p$ is nearer to $X$ than the truncated one, so
#
# $$ J \;\ge\; \frac1n\sum_{j>p} s_j^2 . $$
#
# The bound is reached: with the first $p$ columns $V_p$ of $V$, take $A = V_p^\top$, $B = V_p$. Then
# $XA^\top B^\top = XV_pV_p^\top$ is the truncated matrix. So a linear autoencoder learns the **principal subspace** of
# the data (of the data as they are; subtract the mean first and it is PCA). Not the principal *axes*: for any
# invertible $M$ the pair $(MA, BM^{-1})$ copies as well. Remember this freedom: the code is determined up to an
# invertible map, and distances in it are *not determined at all*. Gradient descent knows nothing of singular values.
# Does it get there? (We look at the decoder, whose columns must span $V_p$. The encoder's rows may contain, besides,
# any direction in which the data do not vary.)

# %%
DATA = "mnist" if available("mnist") and not QUICK else "digits"
dataset = load_dataset(DATA, data_dir())
split = dataset.one_class(3)
preprocessing = svdd.make_preprocessing("gcn-l1")
X_train, X_test = preprocessing.fit_transform(split.train), preprocessing.transform(split.test)

X = X_train[:1000].reshape(len(X_train[:1000]), -1)
p, D = 8, X.shape[1]
linear = nn.Sequential([nn.Linear(p), nn.Linear(D)])
linear.build((D,), np.random.default_rng(0))
plan = nn.Plan(epochs=1500, learning_rate=1e-2, milestones=(800, 1200), batch_size=len(X))
losses = nn.Training(linear, nn.MeanSquaredError(), X, plan, np.random.default_rng(1)).run().history["loss"]
U, s, Vt = np.linalg.svd(X.astype(np.float64), full_matrices=False)
bound = (s[p:] ** 2).sum() / len(X)
check(
    "no epoch beats the bound of Eckart and Young", min(losses) > bound * (1 - 1e-6), f"{min(losses):.5f} > {bound:.5f}"
)
check("training comes within 1 % of it", losses[-1] < 1.01 * bound)
B = linear.params["1.weight"].astype(np.float64)
cosines = np.linalg.svd(Vt[:p] @ np.linalg.qr(B)[0], compute_uv=False)
check(
    "the decoder's columns span the principal subspace",
    cosines.min() > 0.95,
    f"cosines of the principal angles: {cosines.min():.4f} to {cosines.max():.4f}",
)
likeness_to_axes = np.abs(Vt[:p] @ B / np.linalg.norm(B, axis=0)).max(axis=0)
check(
    "its columns are not the principal axes", likeness_to_axes.min() < 0.9, f"cosines {np.round(likeness_to_axes, 2)}"
)

# %%
fig, ax = plt.subplots(figsize=(6, 3.2))
ax.loglog(np.arange(1, len(losses) + 1), losses, color=BLUE, lw=1.8, label="linear autoencoder")
ax.axhline(bound, color=RED, ls="--", lw=1.2, label="the best rank 8 can do")
ax.set(xlabel="epoch", ylabel="squared error per image", title="A linear autoencoder finds the principal subspace")
ax.legend()
figure("linear-autoencoder", fig)

# %% [markdown]
# ## The DCAE
#
# The paper's deep convolutional autoencoder has the Deep SVDD network as its encoder and the mirror image as its
# decoder: where the encoder pools, the decoder up-samples (lecture 4), and a sigmoid brings the output into $[0, 1]$,
# where the pre-processed images are. Here with the shapes, as `make_autoencoder` builds it:

# %%
name = nn.network_for(split.train.shape[1:])
network = nn.make_autoencoder(name, split.train.shape[1:])
network.build(split.train.shape[1:], np.random.default_rng(0))
shape = split.train.shape[1:]
for part, title in zip(network.layers, ("encoder", "decoder")):
    print(title)
    for layer in part.layers:
        layer_input = np.zeros((1, *shape), np.float32)
        shape = layer.forward(layer_input).shape[1:]
        print(f"    {type(layer).__name__:12s} {layer_input.shape[1:]!s:>14s} -> {shape}")

SETTINGS = {
    "network": name,
    "preprocessing": "gcn-l1",
    "learning_rate": 1e-3,
    "batch_size": 32 if DATA == "digits" else 200,
    "threshold": "nu",
    "verbose": 0,
}
PRETRAIN = choose(25, 100 if DATA == "digits" else 15)
EPOCHS = choose(25, 100 if DATA == "digits" else 15)


def late(epochs):
    """The learning rate falls to a tenth for the last fifth of the epochs."""
    return (4 * epochs // 5,)


dcae = Autoencoder(**SETTINGS, epochs=PRETRAIN, milestones=late(PRETRAIN)).fit(split.train)
scores = dcae.anomaly_score(split.test)
auc = roc_auc_score(split.is_anomaly, scores)
check(
    "the DCAE learns to copy threes",
    dcae.history_["loss"][-1] < 0.3 * dcae.history_["loss"][0],
    f"squared error {dcae.history_['loss'][0]:.2f} -> {dcae.history_['loss'][-1]:.2f} per image",
)
check("what it copies badly is no three", auc > 0.8, f"test AUC of the squared error {100 * auc:.1f} %")

# %% [markdown]
# Its score is the loss of one image, $\| x - \psi(\phi(x))\|^2$. It was trained on threes alone; so it turns
# everything into a three. In the picture: test images, their copies, and the squared error of each pixel; on the left
# threes, on the right other digits.

# %%
chosen = np.concatenate(
    [np.flatnonzero(~split.is_anomaly)[:5], [np.flatnonzero(split.test_labels == k)[0] for k in (0, 1, 4, 7, 8)]]
)
original, copy = X_test[chosen, 0], dcae.reconstruct(split.test[chosen])[:, 0]

# %%
fig, axes = plt.subplots(3, 10, figsize=(9, 3))
for column in range(10):
    for ax, image, cmap, top in zip(
        axes[:, column], (original, copy, (original - copy) ** 2), ("gray", "gray", "magma"), (1, 1, 0.25)
    ):
        ax.imshow(image[column], cmap=cmap, vmin=0, vmax=top)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    axes[2, column].set_xlabel(f"{scores[chosen[column]]:.1f}", color=BLUE if column < 5 else RED)
for ax, label in zip(axes[:, 0], ("image", "copy", "error")):
    ax.set_ylabel(label)
fig.suptitle("Threes (left) and others (right): below, the squared error summed over the image")
figure("copies", fig)

# %% [markdown]
# ## Handing over the encoder
#
# Deep SVDD takes the encoder's weights (and batch norm's running statistics), throws the decoder away, computes $c$ as
# the mean output of *this* network and goes on with (4). `DeepSVDD(pretrain_epochs=...)` does both;
# `DeepSVDD(autoencoder=...)` takes a fitted one, which stays as it is.


# %%
def deep_svdd(split, autoencoder=None, epochs=EPOCHS, seed=0):
    """A fitted detector, and its AUC at each stage: "random", "pretrained" (if there is an autoencoder), "trained"."""
    auc = {}
    model = DeepSVDD(
        **SETTINGS,
        pretrain_epochs=0,
        autoencoder=autoencoder,
        epochs=epochs,
        milestones=late(epochs),
        random_state=seed,
    ).fit(split.train, on_stage=lambda stage, fitted: auc.update({stage: area_under_roc(fitted, split)}))
    return model, auc


start, _ = deep_svdd(split, dcae, epochs=0)
given, taken = dcae.network_.layers[0], start.network_
check(
    "all arrays of the encoder arrive",
    all(np.array_equal(given.params[key], taken.params[key]) for key in given.params),
)
mean_code = nn.outputs(taken, X_train).mean(axis=0)
check(
    "c is the mean code, up to the epsilon rule",
    np.allclose(start.center_, svdd.move_from_zero(mean_code, 0.1), atol=1e-5),
)

# %% [markdown]
# ## What transfers?
#
# Now the table. For several normal classes, the AUC of
#
# * **random**: distance to $c$ in the network *as drawn*, no training whatever;
# * **pre-trained**: distance to $c$ in the encoder of the trained autoencoder, before any Deep SVDD training;
# * **DCAE**: that autoencoder's reconstruction error;
# * **from random** and **from pre-trained**: Deep SVDD, trained from either start.
#
# Every number is a mean over three seeds. The trainings come in **pairs**: for each class and seed both begin with the
# same random draw, one goes straight to Deep SVDD, the other pre-trains first. Seeds differ by points; the differences
# within pairs do not contain that part of the noise.

# %%
CLASSES = choose((3, 8), range(10)) if DATA == "digits" else (3, 5, 8)
SEEDS = range(3)
COLUMNS = ("random", "pre-trained", "DCAE", "from random", "from pre-trained")


def pair(label, seed):
    """Five AUCs in %, and the models: without pre-training, and with it, from the same draw of weights."""
    one = dataset.one_class(label)
    settings = {**SETTINGS, "epochs": PRETRAIN, "milestones": late(PRETRAIN), "random_state": seed}
    autoencoder = dcae if (label, seed) == (3, 0) else Autoencoder(**settings).fit(one.train)
    cold, without = deep_svdd(one, seed=seed)
    warm, with_it = deep_svdd(one, autoencoder, seed=seed)
    copying = area_under_roc(autoencoder, one)
    row = without["random"], with_it["pretrained"], copying, without["trained"], with_it["trained"]
    return 100 * np.array(row), (cold, warm)


pairs = {(label, seed): pair(label, seed) for label in CLASSES for seed in SEEDS}
models = {label: pairs[label, 0][1] for label in CLASSES}
runs = np.array([[pairs[label, seed][0] for seed in SEEDS] for label in CLASSES])  # class, seed, column
table = runs.mean(axis=1)
print(f"{DATA}, test AUC in %\nclass" + "".join(f"{column:>18s}" for column in COLUMNS))
for label, row in zip([*map(str, CLASSES), "mean"], [*table, table.mean(axis=0)]):
    print(f"{label:5s}" + "".join(f"{value:18.1f}" for value in row))
random, pretrained, copying, from_random, from_pretrained = table.mean(axis=0)

# %%
fig, ax = plt.subplots(figsize=(7.2, 0.9 + 0.36 * len(table)))
marks = (("o", GRAY), ("s", ORANGE), ("D", PURPLE), ("^", GREEN), ("v", BLUE))
for column, values, (mark, color) in zip(COLUMNS, table.T, marks):
    ax.plot(values, np.arange(len(table)), mark, color=color, ms=7, alpha=0.85, label=column)
ax.set(
    yticks=range(len(table)),
    xlabel="test AUC, %",
    title=f"Before and after training, {DATA}",
    ylim=(len(table) - 0.5, -0.5),
)
ax.set_yticklabels([f"class {label}" for label in CLASSES])
ax.grid(axis="y", alpha=0.25)
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure("what-transfers", fig)

# %%
check("a random network is no coin: it separates already", random > 60, f"mean {random:.1f} %")
gained_cold, gained_warm = from_random - random, from_pretrained - pretrained
check("Deep SVDD improves on random weights", gained_cold > 3, f"{random:.1f} % -> {from_random:.1f} %")
check("and on pre-trained ones", gained_warm > 3, f"{pretrained:.1f} % -> {from_pretrained:.1f} %")
check("pre-training alone makes no distance-based detector", pretrained < min(copying, from_random, from_pretrained))

differences = (runs[:, :, 4] - runs[:, :, 3]).ravel()  # with pre-training minus without, pair by pair
worth, error = differences.mean(), differences.std(ddof=1) / np.sqrt(differences.size)
print(f"pre-training is worth {worth:+.2f} points of AUC, standard error {error:.2f} ({differences.size} pairs)")
check(
    "whether one trains matters more than twice as much as where training starts",
    abs(worth) < min(gained_cold, gained_warm) / 2,
    f"{worth:+.1f} points of pre-training, {gained_cold:+.1f} and {gained_warm:+.1f} of training",
)
check(
    "pre-training does not help every time",
    (differences < 0).any(),
    f"it costs accuracy in {np.sum(differences < 0)} of {differences.size} pairs",
)

# %%
fig, ax = plt.subplots(figsize=(7.2, 2.6))
ax.axvline(0, color=GRAY, lw=0.8)
for row, values in enumerate(runs[:, :, 4] - runs[:, :, 3]):
    ax.plot(values, np.full(len(values), row), "o", color=BLUE, ms=6, alpha=0.7)
ax.axvspan(worth - 2 * error, worth + 2 * error, color=ORANGE, alpha=0.25, lw=0)
ax.axvline(worth, color=ORANGE, lw=1.8)
ax.set(
    yticks=range(len(CLASSES)),
    ylim=(len(CLASSES) - 0.5, -0.5),
    xlabel="AUC with pre-training minus AUC without, points",
    title="Each dot is a pair from the same draw (line: mean, band: two standard errors)",
)
ax.set_yticklabels([f"class {label}" for label in CLASSES])
figure("pairs", fig)

# %% [markdown]
# **A random network is no zero.** Its row is the one to beat, not 50 %. And the *pre-trained* row need not be better
# than the random one. That is no accident: the autoencoder wants codes that *distinguish* its training images, as
# otherwise it could not copy them. Deep SVDD wants codes that are *alike*. The two losses pull in opposite directions,
# and by itself the distance to the mean code means little (recall the invertible map $M$). We can measure this. How
# large is the mean squared distance of the normal training images from $c$, in units of that of the anomalous test
# images?


# %%
def relative_size(model, images, others):
    """Mean squared distance from c of `images`, divided by that of `others`: 1 if nothing tells them apart."""
    scores = [model.anomaly_score(batch).mean() for batch in (images, others)]
    return float(scores[0] / scores[1])


others = split.test[split.is_anomaly]
sizes = {
    "random": relative_size(deep_svdd(split, epochs=0)[0], split.train, others),
    "pre-trained": relative_size(start, split.train, others),
    "from random": relative_size(models[3][0], split.train, others),
    "from pre-trained": relative_size(models[3][1], split.train, others),
}
for column, size in sizes.items():
    print(f"{column:18s} normal / anomalous squared distance: {size:.3f}")
check("copying leaves the normal images spread out", sizes["pre-trained"] > 0.2, f"{sizes['pre-trained']:.2f}")
check(
    "Deep SVDD draws them together", max(sizes["from random"], sizes["from pre-trained"]) < 0.8 * sizes["pre-trained"]
)

# %% [markdown]
# So what *does* transfer? Two answers suggest themselves: a better place to start, and the filters. Both can be tested.
# First the place: the AUC after so many epochs of (4) from either start, and how far the weights of each layer travel,
# $\| W_{\text{after}}-W_{\text{before}}\|_F / \| W_{\text{before}}\|_F$.

# %%
STEPS = choose((0, 5, 15, 40), (0, 2, 5, 10, 20, 50, 100) if DATA == "digits" else (0, 1, 2, 5, 10, 15))
curves = {"random": [], "pre-trained": []}
for epochs in STEPS:
    for column, autoencoder in (("random", None), ("pre-trained", dcae)):
        settings = {**SETTINGS, "pretrain_epochs": 0, "epochs": epochs, "milestones": (), "autoencoder": autoencoder}
        curves[column].append(100 * area_under_roc(DeepSVDD(**settings).fit(split.train), split))


def distances_travelled(before, after):
    return [float(np.linalg.norm(after.params[k] - w) / np.linalg.norm(w)) for k, w in before.params.items()]


drawn = deep_svdd(split, epochs=0)[0].network_
journeys = {
    "pre-training, from random": distances_travelled(drawn, given),
    "Deep SVDD, from random": distances_travelled(drawn, models[3][0].network_),
    "Deep SVDD, from pre-trained": distances_travelled(given, models[3][1].network_),
}

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.5))
for (column, values), color in zip(curves.items(), (GREEN, BLUE)):
    axes[0].plot(STEPS, values, ".-", color=color, label=f"from {column} weights")
axes[0].set(xlabel="epochs of Deep SVDD", ylabel="test AUC, %", title="Class 3")
axes[0].legend()
positions = np.arange(len(given.params))
for offset, ((column, values), color) in enumerate(zip(journeys.items(), (ORANGE, GREEN, BLUE))):
    axes[1].bar(positions + 0.27 * (offset - 1), values, width=0.25, color=color, label=column)
kinds = [type(given.layers[int(key.split(".")[0])]).__name__ for key in given.params]
axes[1].set(xticks=positions, ylabel="relative change of the weights", title="How far each layer travels")
axes[1].set_xticklabels([f"{kind} {index + 1}" for index, kind in enumerate(kinds)])
axes[1].set_ylim(0, 1.4 * max(map(max, journeys.values())))
axes[1].legend(fontsize=8)
figure("learning-curves", fig)

# %%
for column, values in journeys.items():
    print(f"{column:28s}" + "".join(f"{value:8.2f}" for value in values))
check(
    "from either start, training pays within the first epochs",
    all(values[-1] > values[0] for values in curves.values()),
)

# %% [markdown]
# So much for the better place. What pre-training is worth at the end is the picture of the pairs, and it depends on the
# data: in the quick run $+0.7$ points of AUC (standard error 0.5; two classes of the digits, three seeds), in a full
# run on MNIST $-2.2$ points (standard error 0.6): there it cost accuracy in eight of nine pairs, though training was as
# long from either start. Neither number is a law. Learning rate, length and decay of the two trainings were chosen
# once, and others may turn the sign; what they show is that "pre-train first" is a habit to be tested, not a result.
#
# Now the filters. Here are those of the first layer: as drawn, after pre-training, and after Deep SVDD from either
# start. "What autoencoder and Deep SVDD have in common are these filters", one is tempted to say, and the rows do look
# alike. But so does the first one, which nobody has trained. **A likeness needs a control**: how like are two filter
# banks, and how like are both to the draw that they started from?

# %%
key = next(iter(given.params))
banks = {
    "as drawn": drawn,
    "pre-trained": given,
    "then Deep SVDD": models[3][1].network_,
    "Deep SVDD alone": models[3][0].network_,
}
count = min(12, given.params[key].shape[0])

# %%
fig, axes = plt.subplots(4, count, figsize=(0.62 * count + 1.4, 3.2))
top = max(np.abs(network.params[key]).max() for network in banks.values())
for row, (title, network) in zip(axes, banks.items()):
    for ax, kernel in zip(row, network.params[key][:, 0]):
        ax.imshow(kernel, cmap="RdBu_r", vmin=-top, vmax=top)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    row[0].set_ylabel(title, rotation=0, ha="right", va="center")
figure("filters", fig)


# %%
def likeness(a, b):
    """Mean cosine between the filters of two networks' first layers."""
    first, second = (network.params[key].reshape(len(network.params[key]), -1) for network in (a, b))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / norms).mean())


strangers = nn.make_autoencoder(name, split.train.shape[1:])
strangers.build(split.train.shape[1:], np.random.default_rng(99))
cosines = {
    (row, column): likeness(a, b)
    for row, a in {**banks, "another draw": strangers.layers[0]}.items()
    for column, b in banks.items()
}
print("cosine of the first filters " + "".join(f"{column:>17s}" for column in banks))
for row in (*banks, "another draw"):
    print(f"{row:28s}" + "".join(f"{cosines[row, column]:17.3f}" for column in banks))
kept, from_draw = cosines["pre-trained", "then Deep SVDD"], cosines["as drawn", "pre-trained"]
check(
    "after Deep SVDD the first filters are still like the autoencoder's",
    kept > 0.8 and abs(cosines["another draw", "then Deep SVDD"]) < 0.3,
    f"mean cosine {kept:.3f}, with another draw {cosines['another draw', 'then Deep SVDD']:.3f}",
)
check(
    "but the control explains it: the autoencoder's are as much like the draw, which knows no image",
    from_draw > kept - 0.02,
    f"{from_draw:.3f}",
)


def change(network):
    """What training has added to the first layer since the draw."""
    return (network.params[key] - drawn.params[key]).ravel()


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


learned = change(given)
with_it, without_it = (cosine(change(model.network_), learned) for model in reversed(models[3]))
print(f"cosine of a change with that of pre-training: {with_it:.2f} after pre-training, {without_it:.2f} without any")
check(
    "the change that pre-training made is found in the end, but in part it is made without it", with_it > without_it > 0
)

# %% [markdown]
# A good solution lies close to wherever training starts: every layer moves by a fraction of its length, whatever it is
# trained for. (This is called *lazy* training.) Hence the likeness of the filters is no evidence for a transfer of
# features. A more honest measure subtracts the draw: is the step that pre-training made still there? It is, in the
# quick run with a cosine of 0.6, on MNIST with 0.76. But look at the control once more: Deep SVDD *alone*, from the
# draw, goes in a similar direction, 0.2 and 0.64. Both losses see the same images, and much of what the autoencoder's
# filters learn, Deep SVDD's learn without its help.
#
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★★ **Tied weights.** A linear autoencoder with $B = A^\top$ has $y = A^\top A x$. $A$ now occurs twice. Derive
#    $\partial J/\partial A$ (it has two terms) and check it against finite differences.
# 2. ★ **The simplest copy.** A decoder that ignores its code can output one fixed image, if it has a bias (without one,
#    which?). Which image is best, what is its error, and what AUC does its reconstruction error have? Compare it with
#    the DCAE's: how much of that is copying?
# 3. ★★★ **Scale.** Multiply the last layer of the encoder by $t = 10$. What happens to the reconstruction error of the
#    DCAE on the digits (look at the decoder's first layers), and what to the distances from $c$? What follows for the
#    pre-trained row of the table? Hint: follow the factor $t$ layer by layer; which layers are homogeneous, and which
#    one divides it away?
#
# Solutions: `lectures/solutions/09_autoencoders.py`.

# %%
finish()
