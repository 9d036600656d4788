# %% [markdown]
# # 17. After Deep SVDD
#
# Deep SVDD is from 2018. What came of it? **The question:** which of its ideas lasted, which were replaced, and by
# what? Most of what followed changes one thing in lecture 6: the loss (a few labelled anomalies, or outliers of any
# kind), the samples (others are made from the normal ones), the output (a map instead of a vector), the task (guess by
# how much an image was turned), or it gives up training altogether. Each of these families gets one small experiment
# here, with the layers that we have.
#
# | family | what it changes | |
# |---|---|---|
# | Deep SAD | known anomalies are pushed away | Ruff, Vandermeulen, Görnitz, Binder, Müller, Müller, Kloft, ICLR 2020 |
# | outlier exposure | outliers of any origin stand for anomalies | Hendrycks, Mazeika, Dietterich, ICLR 2019 |
# | hypersphere classification | a probability made of a distance | Ruff, Vandermeulen, Franks, Müller, Kloft, 2020 |
# | FCDD | the output is a map | Liznerski, Ruff, Vandermeulen, Franks, Kloft, Müller, ICLR 2021 |
# | DROCC | anomalies are searched for near normal samples | Goyal, Raghunathan, Jain, Simhadri, Jain, ICML 2020 |
# | transformations | guess how the image was turned | Golan, El-Yaniv, NeurIPS 2018 |
# | CSI | the same by contrast: turned images count as others | Tack, Mo, Jeong, Shin, NeurIPS 2020 |
# | PatchCore | neighbours among features of another task | Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler, CVPR 2022 |
#
# The digits are small, and so are the differences between methods on them. So every number below is a mean over seeds
# with its standard deviation, and a claim that one method is better is a claim about *paired* differences: same seed,
# same images. Which method is best on photographs is not decided here; what each loss *does* is.
#
# **Before you start:** lectures 6 and 7; lecture 16 for gradients of inputs. Reading takes about 75 minutes.
# **Letters** (`docs/notation.md` has all of them): here $y$ is a label, $\eta$ the weight of labelled anomalies,
# $\gamma$ how much wider a shell may be, $\alpha$ the length of a step, and $\tau$ a temperature.
#
# *Needs: no data. Minutes: 0.5 quick, 4 full.*

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from minisvdd import gradcheck, load_dataset, nn, ops, svdd
from minisvdd.lecture import BLUE, GREEN, ORANGE, PURPLE, RED, check, choose, figure, finish

SEEDS = range(choose(5, 20))
FEW = SEEDS[: choose(3, 20)]  # for differences so large that a quick look needs no more
EPOCHS = choose(30, 40)
NORMAL, KNOWN = 8, 1  # eights are normal; of the ones a few will be known

dataset = load_dataset("digits")
split = dataset.one_class(NORMAL)
preprocessing = svdd.make_preprocessing("gcn-l1")
X_train, X_test = preprocessing.fit_transform(split.train), preprocessing.transform(split.test)
n, is_anomaly = len(X_train), split.is_anomaly
images = preprocessing.transform(dataset.train_images.astype(np.float32) / dataset.white)
anomalies = {k: images[dataset.train_labels == k] for k in range(10) if k != NORMAL}  # apart from the test images
print(f"{n} eights to train on, {len(X_test)} test images of all digits")

# %% [markdown]
# ## The setting
#
# One small network of LeNet type, one way to train it. `nn.Training` takes any loss that returns its value, its
# gradient with respect to the outputs, and one value per sample: all of this lecture's losses have this form, so that
# each of them is a few lines, and `gradcheck.check_loss` can check each.


# %%
def encoder(outputs=16, bias=False):
    modules = [
        layer
        for channels in (8, 16)
        for layer in (nn.Conv2D(channels, 3, padding="same"), nn.BatchNorm(), nn.LeakyReLU(), nn.MaxPool2D(2))
    ]
    return nn.Sequential([*modules, nn.Flatten(), nn.Linear(outputs, bias=bias)])


def train(network, loss, X, targets, seed, epochs=EPOCHS, decay=1e-5):
    rng = np.random.default_rng(seed)
    if not network.is_built:
        network.build(X.shape[1:], rng)
    plan = nn.Plan(epochs=epochs, learning_rate=2e-3, weight_decay=decay, batch_size=32)
    nn.Training(network, loss, X, plan, rng, targets=targets).run()
    return network


def auc(scores, among=None):
    """AUC on the test set in %; among: only against the anomalies marked there."""
    chosen = slice(None) if among is None else among | ~is_anomaly
    return 100 * roc_auc_score(is_anomaly[chosen], scores[chosen])


known, unseen = split.test_labels == KNOWN, is_anomaly & (split.test_labels != KNOWN)


def tell(name, values):
    values = np.array(values)
    print(f"{name:36s}{values.mean():6.1f} +- {values.std(ddof=1):.1f}")
    return values


def gain(a, b):
    """(mean, standard error) of the paired differences a - b over the seeds."""
    difference = np.array(a) - np.array(b)
    return difference.mean(), difference.std(ddof=1) / np.sqrt(len(difference))


def is_more(a, b):
    """Whether a lies above b by more than two standard errors of the paired differences."""
    mean, error = gain(a, b)
    return mean > 2 * error


def margin(a, b):
    return "{:+.1f} points, standard error {:.1f}".format(*gain(a, b))


# %% [markdown]
# ## A few labelled anomalies: Deep SAD
#
# Suppose $m$ anomalies are known. Equation (4) cannot use them. Deep SAD gives every sample a label, $y_i = +1$ for
# normal, $y_i = -1$ for anomalous, and writes the label as an *exponent* of the squared distance
# $d_i = \|\phi_i - c\|^2$:
#
# $$ J(W) = \frac{1}{n+m}\Big(\sum_{i:\,y_i=+1} d_i \;+\; \eta\sum_{i:\,y_i=-1} \frac{1}{d_i}\Big)
#    + \frac\lambda2\sum_l\|W^l\|_F^2 . $$
#
# Without anomalies this is (4). The gradient is that of $d$, times the derivative of the outer function:
#
# $$ \frac{\partial J}{\partial \phi_i} = \frac{2(\phi_i - c)}{n+m}\cdot
#    \begin{cases} 1 & y_i = +1\\ -\eta / d_i^2 & y_i = -1 . \end{cases} $$
#
# An anomaly is pushed with a force of length $2\eta\,d_i^{-3/2}$: without bound at the centre (a small $\epsilon$ is
# added to $d_i$), next to nothing far out. So the loss is bounded from below and lets go of an anomaly that is far
# away, where a loss $-d_i$ has no bound and pushes the harder, the farther it is.


# %%
def deep_sad(phi, y, c, eta=1.0, epsilon=1e-6):
    d = ((phi - c) ** 2).sum(axis=1) + epsilon
    per_sample = np.where(y > 0, d, eta / d)
    slope = np.where(y > 0, 1, -eta / d**2) / len(phi)
    return per_sample.mean(), (2 * slope[:, None] * (phi - c)).astype(phi.dtype), per_sample


rng = np.random.default_rng(17)
phi, y, c = rng.normal(size=(9, 4)), np.array([1, 1, -1, 1, -1, 1, -1, -1, 1]), rng.normal(size=4)
report = gradcheck.check_loss(deep_sad, phi, y, c)
check("the gradient of Deep SAD is the numeric one", report.passed, f"largest relative error {report.error:.0e}")
ours, reference = deep_sad(phi, np.ones(9), c, epsilon=0), ops.one_class_loss(phi, c)
check("without anomalies it is (4)", np.isclose(ours[0], reference[0]) and np.allclose(ours[1], reference[1]))

# %% [markdown]
# The experiment: eights are normal, and $m$ ones are known to be anomalies. The test asks two different things: are
# *other ones* found, and are anomalies found of which *no kind was shown*, the remaining eight digits?


# %%
def train_deep_sad(count, seed):
    """Scores of the test set; count: of labelled ones. The same network and centre for every count."""
    network, rng = encoder(), np.random.default_rng(seed)
    network.build(X_train.shape[1:], rng)
    svdd.collect_statistics(network, X_train, 32)
    c = svdd.move_from_zero(svdd.mean_output(network, X_train), 0.1).astype(np.float32)
    labelled = anomalies[KNOWN][rng.choice(len(anomalies[KNOWN]), count, replace=False)]
    y = np.repeat([1.0, -1.0], [n, count])
    train(network, lambda phi, y: deep_sad(phi, y, c), np.concatenate([X_train, labelled]), y, seed)
    return ((nn.outputs(network, X_test) - c) ** 2).sum(axis=1)


COUNTS = (0, 1, 5, 20)
sad = {count: [train_deep_sad(count, seed) for seed in SEEDS] for count in COUNTS}
sad_known = {k: tell(f"{k} labelled ones: AUC, other ones", [auc(s, known) for s in sad[k]]) for k in COUNTS}
sad_unseen = {k: tell(f"{k} labelled ones: AUC, other digits", [auc(s, unseen) for s in sad[k]]) for k in COUNTS}
plain = np.array([auc(s) for s in sad[0]])  # Deep SVDD, which everything below is compared with
check(
    "five labelled ones make the other ones much easier to find",
    is_more(sad_known[5], sad_known[0] + 3),
    margin(sad_known[5], sad_known[0]),
)
check(
    "what twenty of them do for digits that were not shown is a fraction of that",
    gain(sad_unseen[20], sad_unseen[0])[0] < gain(sad_known[20], sad_known[0])[0] / 3,
    margin(sad_unseen[20], sad_unseen[0]) + " against " + margin(sad_known[20], sad_known[0]),
)

# %%
fig, ax = plt.subplots()
for values, color, label in ((sad_known, RED, "ones, of which some are known"), (sad_unseen, BLUE, "all other digits")):
    means, errors = ([f(values[k]) for k in COUNTS] for f in (np.mean, lambda v: v.std(ddof=1)))
    ax.errorbar(range(len(COUNTS)), means, errors, fmt="o-", color=color, capsize=3, label=label)
ax.set(xticks=range(len(COUNTS)), xticklabels=COUNTS, xlabel="labelled ones", ylabel="test AUC, %")
ax.set_title(f"Deep SAD: what is known is found (bars: standard deviation of {len(SEEDS)} seeds)")
ax.legend(loc="lower right")
figure("deep-sad", fig)

# %% [markdown]
# This is worth a warning. Labels teach the network *these* anomalies. A test set that has the same kinds in it, as is
# usual, shows the red curve, and the user who meets a new kind of fault lives on the blue one.
#
# ## Hypersphere classification
#
# Now let there be as many outliers as you like. Then this is classification into two classes, only that we keep the
# sphere: let the probability of "normal" fall with the distance from the centre,
#
# $$ P(\text{normal}\mid x) = e^{-\rho}, \qquad \rho = \sqrt{\|\phi(x)\|^2 + 1} - 1 . $$
#
# $\rho$, the **pseudo-Huber** distance, is $\frac12\|\phi\|^2$ near the centre (put at 0) and $\|\phi\| - 1$ far out;
# with $\rho=\|\phi\|^2$ one gets a Gaussian bell. With $y = 1$ for normal and $y = 0$ for outliers the cross-entropy is
#
# $$ J = \frac1N\sum_i \Big( y_i\,\rho_i - (1-y_i)\log\big(1 - e^{-\rho_i}\big)\Big), \qquad
#    \frac{\partial J}{\partial\rho_i} = \frac1N\Big(y_i - \frac{1-y_i}{e^{\rho_i}-1}\Big), \qquad
#    \frac{\partial\rho}{\partial\phi} = \frac{\phi}{\rho + 1} . $$
#
# (The second term: $-\frac{d}{d\rho}\log(1-e^{-\rho}) = -\frac{e^{-\rho}}{1-e^{-\rho}} = -\frac{1}{e^\rho-1}$.) For
# normal samples this is (4) with a pull that never exceeds 1; outliers are pushed, the less the further they are.


# %%
def distance(phi):
    """The pseudo-Huber distance from 0, over all but the first axis."""
    return np.sqrt((phi.reshape(len(phi), -1) ** 2).sum(axis=1) + 1) - 1


def cross_entropy(rho, y):
    """(per sample, derivative with respect to rho) of the cross-entropy with P(normal) = exp(-rho)."""
    rho = np.maximum(rho, 1e-6)
    anomalous = -np.expm1(-rho)  # 1 - exp(-rho)
    return np.where(y > 0, rho, -np.log(anomalous)), np.where(y > 0, 1, -np.exp(-rho) / anomalous)


def hypersphere(phi, y):
    rho = distance(phi)
    per_sample, slope = cross_entropy(rho, y)
    return per_sample.mean(), ((slope / (rho + 1))[:, None] * phi / len(phi)).astype(phi.dtype), per_sample


report = gradcheck.check_loss(hypersphere, phi, (y > 0).astype(float))
check("its gradient is the numeric one", report.passed, f"largest relative error {report.error:.0e}")
pull = np.linalg.norm(len(phi) * hypersphere(1e3 * phi, np.ones(9))[1], axis=1)
check("a normal sample a thousand away is pulled by no more than 1", pull.max() <= 1, f"{pull.max():.6f}")

# %% [markdown]
# **What becomes of collapse?** A constant map has the same $\rho$ everywhere. The best of them has
# $e^{-\rho} = n/(n+m)$, the share of normal samples, and its loss is the entropy of that share, more than 0. Every
# network that separates a little does better. So the outliers do what lecture 7 needed three rules for: biases, any
# activation and $c = 0$ are allowed. We check that below, together with other cures.
#
# ## Outlier exposure: outliers from where?
#
# What does the best possible network learn? Let $p$ be the density of normal samples and $q$ that of the outliers, as
# many of one as of the other. At each $x$ the loss is $-p\log t - q\log(1-t)$ with $t = P(\text{normal}\mid x)$; its
# derivative vanishes for $p/t = q/(1-t)$, that is
#
# $$ t = \frac{p(x)}{p(x) + q(x)} , \qquad\text{a growing function of } \frac{p(x)}{q(x)} . $$
#
# The score ranks by the **ratio** of the two densities (Steinwart, Hush and Scovel, JMLR 2005, turn one-class
# classification into one of two classes this way, with a known $q$). So the outliers are half of the question that is
# answered. We try five kinds: noise in every pixel; eights with their pixels shuffled; pieces of two *photographs*,
# reduced to 8 x 8, which have nothing to do with digits; twenty ones; and ten images of each other digit, which no
# honest test would have.

# %%
t = np.linspace(1e-4, 1 - 1e-4, 9999)
best = [t[np.argmin(-p * np.log(t) - q * np.log(1 - t))] for p, q in ((1, 1), (3, 1), (0.2, 0.8))]
check("the best t is p / (p + q)", np.allclose(best, [1 / 2, 3 / 4, 1 / 5], atol=1e-4), f"{np.round(best, 3)}")

photographs = [load_sample_image(name).mean(axis=2) / 255 for name in ("china.jpg", "flower.jpg")]


def pieces(count, rng):
    """Squares of 32 x 32 pixels of the photographs, reduced to 8 x 8."""
    found = []
    for _ in range(count):
        photograph = photographs[rng.integers(2)]
        row, column = (rng.integers(size - 32) for size in photograph.shape)
        found.append(photograph[row : row + 32, column : column + 32].reshape(8, 4, 8, 4).mean(axis=(1, 3)))
    return np.array(found, np.float32)[:, None]


def some(images, count, rng):
    return images[rng.choice(len(images), count, replace=False)]


OUTLIERS = {
    "noise": lambda rng: preprocessing.transform(rng.uniform(size=X_train.shape).astype(np.float32)),
    "shuffled eights": lambda rng: rng.permuted(X_train.reshape(n, -1), axis=1).reshape(X_train.shape),
    "photographs": lambda rng: preprocessing.transform(pieces(n, rng)),
    "20 ones": lambda rng: some(anomalies[KNOWN], 20, rng),
    "10 of each digit": lambda rng: np.concatenate([some(images, 10, rng) for images in anomalies.values()]),
}


def train_on_outliers(kind, seed, loss=hypersphere, **options):
    outliers = OUTLIERS[kind](np.random.default_rng(seed))
    y = np.repeat([1.0, 0.0], [n, len(outliers)])
    return train(encoder(**options), loss, np.concatenate([X_train, outliers]), y, seed)


exposed = {
    kind: tell(kind, [auc(distance(nn.outputs(train_on_outliers(kind, seed), X_test))) for seed in SEEDS])
    for kind in OUTLIERS
}
tell("for comparison: Deep SVDD, no outliers", plain)
check(
    "photographs, of another world, help more than noise",
    is_more(exposed["photographs"], exposed["noise"]),
    margin(exposed["photographs"], exposed["noise"]),
)
check(
    "and more than none",
    is_more(exposed["photographs"], plain),
    margin(exposed["photographs"], plain),
)
check(
    "noise does not help at all",
    gain(exposed["noise"], plain)[0] < 1,
    margin(exposed["noise"], plain),
)
check(
    "a few of the anomalies that the test asks for help most",
    is_more(exposed["10 of each digit"], exposed["photographs"]),
    margin(exposed["10 of each digit"], exposed["photographs"]),
)

# %% [markdown]
# Noise is so far from every image that a network tells it from eights without knowing what an eight is. A photograph is
# nearer: edges, dark and bright regions, but no eight. Best of all are anomalies like those of the test. Outlier
# exposure led every table on photographs of ten classes, and there the outliers were photographs by the million, of the
# size and origin of those in the test: its numbers cannot be compared with those of a method that saw normal samples
# alone.
#
# ## Collapse, and its other cures
#
# Chong, Ruff, Kloft and Binder (IJCNN 2020) keep (4) and add a term that becomes expensive when a batch's outputs come
# too close together. In our words: with $v = \frac1N\sum_i\|\phi_i - \bar\phi\|^2$,
#
# $$ J_v = \max(0,\; v_0 - v), \qquad
#    \frac{\partial v}{\partial\phi_i} = \frac2N(\phi_i - \bar\phi) $$
#
# (the $\bar\phi$ inside contributes nothing, as $\sum_i(\phi_i-\bar\phi) = 0$). We break the rules of lecture 7: its
# perceptron, with biases, and $c = 0$. Then (4) alone, (4) with $J_v$, and hypersphere classification with photographs.
# Weight decay is $\lambda = 0.01$ for all three, so that collapse is quick. Measured is the *contrast*, the spread of
# the test outputs after training over that before, and the AUC.


# %%
def with_variance(phi, y=None, least=1.0):
    """(4) with c = 0 and the penalty on a small variance."""
    value, grad, d = ops.one_class_loss(phi, np.zeros(phi.shape[1], phi.dtype))
    centered = phi - phi.mean(axis=0)
    variance = (centered**2).sum(axis=1).mean()
    if variance < least:
        value, grad = value + (least - variance), grad - 2 / len(phi) * centered
    return value, grad, d


report = gradcheck.check_loss(with_variance, 0.1 * phi)
check("with the penalty, too, the gradient is the numeric one", report.passed, f"error {report.error:.0e}")


def spread(network):
    phi = nn.outputs(network, X_test)
    return np.sqrt(((phi - phi.mean(axis=0)) ** 2).sum(axis=1).mean())


def perceptron(outputs=16):
    return nn.Sequential([nn.Flatten(), nn.Linear(32, bias=True), nn.LeakyReLU(), nn.Linear(outputs, bias=True)])


LOSSES = {
    "(4) alone": lambda phi, y: ops.one_class_loss(phi, np.zeros(16, phi.dtype)),
    "(4) with variance": with_variance,
    "hypersphere": hypersphere,
}
contrast, cured = {name: [] for name in LOSSES}, {name: [] for name in LOSSES}
for name, loss in LOSSES.items():
    for seed in FEW:
        network = perceptron()
        network.build(X_train.shape[1:], np.random.default_rng(seed))
        before = spread(network)
        outliers = OUTLIERS["photographs"](np.random.default_rng(seed))[: n if name == "hypersphere" else 0]
        X, y = np.concatenate([X_train, outliers]), np.repeat([1.0, 0.0], [n, len(outliers)])
        train(network, loss, X, y, seed, epochs=200, decay=0.01)
        contrast[name].append(spread(network) / before)
        cured[name].append(auc(distance(nn.outputs(network, X_test))))
    cured[name] = tell(f"{name}, contrast {np.mean(contrast[name]):.3f}: AUC", cured[name])
check(
    "(4) alone loses nearly all of the spread; the penalty keeps some of it, outliers most",
    np.mean(contrast["(4) alone"]) < 0.1
    and np.mean(contrast["(4) with variance"]) > 2 * np.mean(contrast["(4) alone"])
    and np.mean(contrast["hypersphere"]) > 0.5,
    ", ".join(f"{name}: {np.mean(values):.3f}" for name, values in contrast.items()),
)
check(
    "of the two that do not collapse only the one that saw outliers is a good detector",
    is_more(cured["hypersphere"], cured["(4) with variance"] + 3),
    margin(cured["hypersphere"], cured["(4) with variance"]),
)

# %% [markdown]
# The last line is the critique of all such terms: they forbid the trivial solution, and say nothing about *which* other
# one to take. A large variance is not yet a variance that means anything.
#
# ## The output is a map: FCDD
#
# Take away `Flatten` and `Linear`. The network is then convolutional to the end, and its output for an image is a map
# $\phi\in\mathbb R^{H\times W}$, where each entry sees a window of the image only. With the pseudo-Huber distance of
# every entry, $A_{ij} = \sqrt{\phi_{ij}^2 + 1} - 1$, the score is the mean of the map,
# $\rho = \frac{1}{HW}\sum_{ij} A_{ij}$, and the loss that of hypersphere classification. By the chain rule
#
# $$ \frac{\partial J}{\partial \phi_{ij}} = \frac{\partial J}{\partial\rho}\cdot\frac{1}{HW}\cdot
#    \frac{\phi_{ij}}{A_{ij} + 1} . $$
#
# **The heat map needs no explanation afterwards** (lecture 16 had to look for one): $A$ *is* what was summed up. The
# price: it needs outliers. Where there are none, FCDD paints confetti on normal images. We do the same, with one to
# three random rectangles of one random grey each, and test with what was not painted: spots of 2 x 2 as in lecture 16,
# and holes in the strokes.


# %%
def fully_convolutional():
    """Two convolutions of 3 x 3: an entry of the map sees 5 x 5 pixels."""
    modules = [layer for _ in range(2) for layer in (nn.Conv2D(16, 3, padding="same"), nn.BatchNorm(), nn.LeakyReLU())]
    return nn.Sequential([*modules, nn.Conv2D(1, 1, bias=True)])


def heat_map(phi):
    return np.sqrt(phi**2 + 1) - 1


def fcdd(phi, y):
    per_sample, slope = cross_entropy(heat_map(phi).mean(axis=(1, 2, 3)), y)
    grad = slope[:, None, None, None] / phi.size * phi / (heat_map(phi) + 1)
    return per_sample.mean(), grad.astype(phi.dtype), per_sample


report = gradcheck.check_loss(fcdd, rng.normal(size=(6, 1, 4, 3)), np.array([1, 0, 1, 0, 0, 1]))
check("the gradient of FCDD is the numeric one", report.passed, f"largest relative error {report.error:.0e}")


def confetti(images, rng):
    painted = images.copy()
    for image in painted:
        for _ in range(rng.integers(1, 4)):
            high, wide = rng.integers(1, 4, size=2)
            row, column = rng.integers(9 - high), rng.integers(9 - wide)
            image[0, row : row + high, column : column + wide] = rng.uniform()
    return painted


def damaged(images, value, rng):
    """2 x 2 pixels set to 1 where it is dark, or to 0 where it is bright; returns (images, masks)."""
    result, masks = images.copy(), np.zeros(images.shape, bool)
    for image, mask in zip(result, masks):
        means = {(i, j): image[0, i : i + 2, j : j + 2].mean() for i in range(7) for j in range(7)}
        places = [p for p, mean in means.items() if (mean < 0.15 if value else mean > 0.6)]
        i, j = places[rng.integers(len(places))]
        mask[0, i : i + 2, j : j + 2] = True
        image[mask] = value
    return result, masks


eights = split.test[~is_anomaly]
DAMAGE = {name: damaged(eights, value, rng) for name, value in (("spots", 1), ("holes", 0))}


def pixel_auc(scores, mask):
    """How often a damaged pixel of one image has a higher score than an intact one; equal ones count half."""
    higher = np.sign(scores[mask][:, None] - scores[~mask])
    return (1 + higher.mean()) / 2


def judged(score_map, reduce):
    """{damage: (AUC of images, mean AUC of pixels within an image)} in %; reduce: from a map to a score."""
    found = {}
    for name, (bad, masks) in DAMAGE.items():
        maps = score_map(np.concatenate([eights, bad])).reshape(-1, 64)
        image_auc = roc_auc_score(np.repeat([0, 1], len(eights)), reduce(maps, axis=1))
        pixel_aucs = [pixel_auc(m, mask.ravel()) for mask, m in zip(masks, maps[len(eights) :])]
        found[name] = 100 * image_auc, 100 * np.mean(pixel_aucs)
    return found


def train_fcdd(seed):
    rng = np.random.default_rng(seed)
    X = np.concatenate([split.train, *(confetti(split.train, rng) for _ in range(3))])  # of pixels in [0, 1]
    return train(fully_convolutional(), fcdd, X, np.repeat([1.0, 0.0], [n, 3 * n]), seed, epochs=choose(12, 20))


convolutional = [train_fcdd(seed) for seed in list(SEEDS)[:4]]
judgements = [judged(lambda X, f=f: heat_map(nn.outputs(f, X)), np.mean) for f in convolutional]
fcdd_auc = {}
for damage in DAMAGE:
    fcdd_auc[damage] = tell(f"FCDD, {damage}: AUC of images", [found[damage][0] for found in judgements])
    tell(f"FCDD, {damage}: AUC of pixels", [found[damage][1] for found in judgements])
check(
    "who trained on confetti finds spots, and its map points to them",
    min(found["spots"][0] for found in judgements) > 85 and min(found["spots"][1] for found in judgements) > 60,
    f"lowest AUC {min(f['spots'][0] for f in judgements):.0f} % of images, "
    f"{min(f['spots'][1] for f in judgements):.0f} % of pixels",
)
check(
    "holes, less like confetti, are harder",
    gain(fcdd_auc["spots"], fcdd_auc["holes"])[0] > 0,
    margin(fcdd_auc["spots"], fcdd_auc["holes"]),
)

# %% [markdown]
# ## Anomalies searched for nearby: DROCC
#
# No outliers at hand? DROCC makes them, by two assumptions: normal samples lie on a low-dimensional surface, and within
# a distance $r$ of a normal sample *off* that surface there is nothing normal. So take for every normal $x$ a point in
# the shell $r \le \|\tilde x - x\| \le \gamma r$ where the network is most wrong, and train on it as an anomaly. With a
# network $f$ of one output, large for normal, that point is sought by gradient ascent **on the input** (lecture 16 had
# the gradient):
#
# $$ \delta \leftarrow \Pi\Big(\delta + \alpha\,\frac{g}{\|g\|}\Big), \qquad
#    g = \frac{\partial f(x + \delta)}{\partial x}, \qquad
#    \Pi(\delta) = \delta\cdot\frac{\min(\max(\|\delta\|, r), \gamma r)}{\|\delta\|} . $$
#
# $\Pi$ is the projection onto the shell: of all its points the one on the same ray is the nearest. The gradient comes
# from the same `backward` as in training, which is asked for the input's and not for the weights' gradient.


# %%
def norms(delta):
    return np.sqrt((delta**2).sum(axis=(1, 2, 3), keepdims=True))


def onto_shell(delta, r, gamma=1.5):
    return delta * np.clip(norms(delta), r, gamma * r) / norms(delta)


def search(network, x, r, steps, rng):
    """A point of the shell around each x; steps=0: a random one."""
    delta = onto_shell(rng.normal(size=x.shape).astype(x.dtype), r, gamma=1)
    for _ in range(steps):
        logits = network.forward(x + delta, training=True)
        g = network.backward(np.ones_like(logits), need_params=False)
        delta = onto_shell(delta + 0.3 * r * g / (norms(g) + 1e-12), r)
    return x + delta


DROCC_EPOCHS = choose(40, 60)


def train_drocc(r, steps, seed, epochs=DROCC_EPOCHS):
    rng = np.random.default_rng(seed)
    network = nn.Sequential([nn.Flatten(), nn.Linear(64, bias=True), nn.LeakyReLU(), nn.Linear(1, bias=True)])
    network.build(X_train.shape[1:], rng)
    optimizer = nn.Adam(network, 2e-3, 1e-5)
    for _ in range(epochs):
        for batch in nn.shuffled_batches(n, 32, rng):
            x = X_train[batch]
            both = np.concatenate([x, search(network, x, r, steps, rng)])
            y = np.repeat(np.float32([1, 0]), len(x))[:, None]
            _, grad, _ = ops.binary_cross_entropy(network.forward(both, training=True), y)
            network.backward(grad)
            optimizer.step()
    return network


network = train_drocc(2.0, 0, seed=0)  # on chance points
double = train_drocc(2.0, 0, seed=0, epochs=3).astype(np.float64)
x = X_train[:5].astype(np.float64)
double.forward(x, training=True)
g = double.backward(np.ones((5, 1)), need_params=False)
report = gradcheck.check_gradient(lambda x: double.forward(x).sum(), g, x)
check("the gradient of the input is the numeric one", report.passed, f"largest relative error {report.error:.0e}")

worse, chance = (search(network, X_train, 2.0, steps, np.random.default_rng(1)) for steps in (5, 0))
lengths = norms(worse - X_train)
check("what is found lies in the shell", lengths.min() > 1.999 and lengths.max() < 3.001, f"{lengths.min():.2f} ...")
logits = {name: nn.outputs(network, X).mean() for name, X in (("chance", chance), ("search", worse))}
check(
    "and looks more normal than chance points do to a network that was trained on those",
    logits["search"] > logits["chance"] + 1,
    f"mean f {logits['search']:.1f} against {logits['chance']:.1f}",
)

# %% [markdown]
# How large is $r$? The shell must miss the normal samples, and $r$ is what DROCC asks the user for. For orientation,
# here is how far an eight is from its nearest neighbour among the eights.

# %%
flat = X_train.reshape(n, -1)
apart = NearestNeighbors(n_neighbors=2).fit(flat).kneighbors(flat)[0][:, 1]
print(f"nearest other eight: {apart.min():.2f} to {apart.max():.2f}, median {np.median(apart):.2f}")
RADII = (1.0, 2.0, 4.0)
drocc = {
    (r, steps): tell(
        f"r = {r:g}, {'search' if steps else 'chance'}",
        [auc(-nn.outputs(train_drocc(r, steps, seed), X_test)[:, 0]) for seed in FEW],
    )
    for r in RADII
    for steps in (5, 0)
}
check(
    "r as small as the distance of neighbours is too small",
    is_more(drocc[2.0, 5], drocc[1.0, 5]),
    margin(drocc[2.0, 5], drocc[1.0, 5]),
)
check(
    "what the search adds to chance from there on is less than what r decides",
    max(abs(gain(drocc[r, 5], drocc[r, 0])[0]) for r in (2.0, 4.0)) < gain(drocc[2.0, 5], drocc[1.0, 5])[0] / 2,
    "; ".join(f"r = {r:g}: {margin(drocc[r, 5], drocc[r, 0])}" for r in (2.0, 4.0)),
)

# %% [markdown]
# Random points of the shell are a strong rival, of which one reads little. In 64 dimensions a random direction is
# nearly orthogonal to any surface of few dimensions: chance points are off the surface of the eights already. The
# search pays where they are too easy.
#
# ## How was it turned? Transformations and CSI
#
# A task that needs no labels: turn every normal image by 0, 90, 180 and 270 degrees, and train a classifier to say
# which it was (four of the 72 transformations of Golan and El-Yaniv). On an image of another kind, the idea goes, it
# will be less sure. The score is the cross-entropy of the true turns, $s(x) = -\sum_{k=0}^3\log P(k\mid T_k x)$, where
# $P$ is the softmax of four outputs; `softmax_cross_entropy` has its gradient. We let every digit be the normal class
# once.


# %%
def turned(X):
    return np.concatenate([np.rot90(X, k, axes=(2, 3)) for k in range(4)])


def guess_turns(normal, seed):
    """(AUC in %, share of turns guessed rightly on new normal images) with this digit as the normal class."""
    split, prepare = dataset.one_class(normal), svdd.make_preprocessing("gcn-l1")
    X, X_new = prepare.fit_transform(split.train), prepare.transform(split.test)
    network = train(
        encoder(4), nn.SoftmaxCrossEntropy(), turned(X), np.repeat(np.arange(4), len(X)), seed, epochs=choose(5, 15)
    )
    k, logits = np.repeat(np.arange(4), len(X_new)), nn.outputs(network, turned(X_new))
    _, _, per_sample = ops.softmax_cross_entropy(logits, k)
    right = (logits.argmax(axis=1) == k).reshape(4, -1)[:, ~split.is_anomaly].mean()
    return 100 * roc_auc_score(split.is_anomaly, per_sample.reshape(4, -1).sum(axis=0)), 100 * right


turns = {digit: np.array([guess_turns(digit, seed) for seed in list(SEEDS)[: choose(2, 6)]]) for digit in range(10)}
for digit, values in turns.items():
    tell(f"normal {digit}, {values[:, 1].mean():5.1f} % of turns right: AUC", values[:, 0])
mean = {digit: values[:, 0].mean() for digit, values in turns.items()}
symmetric, others = [mean[d] for d in (0, 1, 8)], [mean[d] for d in (2, 3, 4, 5, 6, 7, 9)]
check(
    "0, 1 and 8, which look alike upside down, are the three that fail",
    max(symmetric) < min(others) - 3,
    f"{', '.join(f'{v:.0f}' for v in symmetric)} % against {min(others):.0f} % and more",
)

# %% [markdown]
# An eight turned by 180 degrees is an eight: the task has no answer, and a classifier that is unsure everywhere is no
# detector. Where "up" means something, as for sixes, sevens and most things in photographs, the task teaches the
# network what the class looks like, far better than (4) did. CSI puts contrast in its place: two views of one image
# shall have similar outputs, views of other images shall not, *and a turned image counts as another image*; exercise 2
# derives its loss. With it, one-class AUCs on photographs of classes came close to those of outlier exposure without
# any outlier.
#
# ## No training at all: PatchCore
#
# PatchCore takes a network that was trained for something else, reads features of every *place* in the image from its
# inner layers, and keeps those of all normal images, the **memory**. A place is as anomalous as its feature is far from
# the nearest one in memory, an image as its worst place:
#
# $$ A_{ij}(x) = \min_{f\in\text{memory}}\|\phi_{ij}(x) - f\|, \qquad s(x) = \max_{i,j} A_{ij}(x) . $$
#
# Nothing is trained, so nothing collapses. (The memory is thinned out to a *coreset*, exercise 3; here we keep a
# quarter of the places, drawn at random.) Which features? Here: the nine pixels around each place; two convolutions
# with *random* filters; and the same two convolutions after they have been trained to tell the nine other digits apart,
# our stand-in for "trained on ImageNet".


# %%
def windows(X):
    """The 3 x 3 pixels around each place, as channels."""
    padded = np.pad(X[:, 0], ((0, 0), (1, 1), (1, 1)))
    return np.stack([padded[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)], axis=1)


def convolutions():
    return [nn.Conv2D(32, 3, padding="same"), nn.LeakyReLU(), nn.Conv2D(32, 3, padding="same")]


def random_features(seed):
    network = nn.Sequential(convolutions())
    network.build((1, 8, 8), np.random.default_rng(seed))
    return lambda X: nn.outputs(network, X)


def features_of_another_task(seed):
    layers = convolutions()
    classifier = nn.Sequential([*layers, nn.LeakyReLU(), nn.MaxPool2D(2), nn.Flatten(), nn.Linear(10)])
    other = dataset.train_labels != NORMAL
    X = dataset.train_images[other].astype(np.float32) / dataset.white
    train(classifier, nn.SoftmaxCrossEntropy(), X, dataset.train_labels[other], seed, epochs=5)
    network = nn.Sequential(layers)  # the trained layers without what stood behind them
    return lambda X: nn.outputs(network, X)


class Memory:
    def __init__(self, features):
        self.features = features
        places = self._places(split.train)
        kept = np.random.default_rng(0).choice(len(places), len(places) // 4, replace=False)
        self.nearest = NearestNeighbors(n_neighbors=1).fit(places[kept])

    def _places(self, X):
        return np.moveaxis(self.features(X), 1, -1).reshape(len(X) * 64, -1)

    def maps(self, X):
        return self.nearest.kneighbors(self._places(X))[0].reshape(len(X), 8, 8)


FEATURES = {"pixels": lambda seed: windows, "random": random_features, "other task": features_of_another_task}
first, patch, local = {}, {}, {}
for name, make in FEATURES.items():
    memories = [Memory(make(seed)) for seed in list(SEEDS)[: 1 if name == "pixels" else choose(2, 10)]]
    first[name] = memories[0]
    patch[name] = np.array([auc(memory.maps(split.test).max(axis=(1, 2))) for memory in memories])
    local[name] = [judged(memory.maps, np.max) for memory in memories]
    numbers = [f"{damage} {np.mean([f[damage][1] for f in local[name]]):.1f}" for damage in DAMAGE]
    print(f"{name:11s} AUC, other digits {patch[name].mean():.1f}; pixels: {', '.join(numbers)}")
flat_test = X_test.reshape(len(X_test), -1)
neighbour = auc(NearestNeighbors(n_neighbors=1).fit(flat).kneighbors(flat_test)[0][:, 0])
print(f"nearest neighbour among whole images, pixel by pixel: AUC {neighbour:.1f}")
check(
    "random convolutions and a memory are no worse than the trained Deep SVDD",
    patch["random"].mean() > plain.mean() - plain.std(ddof=1),
    f"{patch['random'].mean():.1f} % against {plain.mean():.1f} %",
)
holes = {name: np.mean([found["holes"][1] for found in values]) for name, values in local.items()}
check(
    "and find holes better than the network that was trained to find faults",
    holes["random"] > np.mean([found["holes"][1] for found in judgements]) + 3,
    f"AUC of pixels {holes['random']:.1f} % against {np.mean([f['holes'][1] for f in judgements]):.1f} %",
)
check(
    "the nearest neighbour in plain pixels beats Deep SVDD on these digits",
    neighbour > plain.mean() + 2 * plain.std(ddof=1) / np.sqrt(len(plain)),
    f"{neighbour:.1f} % against {plain.mean():.1f} %",
)

# %%
fig, axes = plt.subplots(6, 8, figsize=(8, 6))
for column in range(8):
    name = "spots" if column < 4 else "holes"
    shown = DAMAGE[name][0][column : column + 1]
    axes[0, column].imshow(shown[0, 0], cmap="gray", vmin=0, vmax=1)
    axes[1, column].imshow(DAMAGE[name][1][column, 0], cmap="gray")
    axes[2, column].imshow(heat_map(nn.outputs(convolutional[0], shown))[0, 0], cmap="magma")
    for row, memory in enumerate(first.values(), start=3):
        axes[row, column].imshow(memory.maps(shown)[0], cmap="magma")
for row, name in zip(axes, ("image", "damage", "FCDD", *(f"memory:\n{name}" for name in FEATURES))):
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
for ax in axes.ravel():
    ax.set(xticks=[], yticks=[])
fig.suptitle("Eights with spots (left) and holes (right), and two ways to a map")
figure("maps", fig)

# %%
fig, ax = plt.subplots(figsize=(7.2, 4.2))
rows = [
    ("Deep SVDD", plain, BLUE),
    *((f"outliers: {kind}", values, ORANGE) for kind, values in exposed.items()),
    *((f"DROCC, r = {r:g}, {'search' if s else 'chance'}", drocc[r, s], GREEN) for r, s in drocc if r > 1),
    ("turns", turns[NORMAL][:, 0], PURPLE),
    *((f"memory: {name}", values, RED) for name, values in patch.items()),
    ("nearest neighbour, pixels", np.array([neighbour]), RED),
]
for place, (_, values, color) in enumerate(rows[::-1]):
    ax.plot(values, np.full(len(values), place), "o", ms=4, alpha=0.4, color=color, mew=0)
    ax.plot(values.mean(), place, "|", ms=13, mew=2, color=color)
ax.set(yticks=range(len(rows)), yticklabels=[name for name, *_ in rows[::-1]], xlabel="test AUC, %")
ax.set_title("Eights against all digits: each point a seed")
figure("all", fig)

# %% [markdown]
# ## What the tables say, and what they do not
#
# * **"One class of ten" is a strange question.** The anomalies are other *objects*, in the same light, from the same
#   camera, as many as you like: Ahmed and Courville (AAAI 2020) ask whom such a test serves. On the digits a
#   nearest neighbour in pixels, which knows nothing, beats Deep SVDD; on CIFAR-10 (lecture 10) Deep SVDD and a kernel
#   density are level. A rank among methods there says which features tell *these* classes apart. Faults in products
#   (MVTec AD; Bergmann, Fauser, Sattlegger, Steger, CVPR 2019) are another question; there memories did better.
# * **Compact is not normal.** Deep SVDD's assumption was that normal samples can be drawn together and others will stay
#   behind. The authors of hypersphere classification, Deep SVDD's own among them, called their paper *Rethinking
#   Assumptions in Deep Anomaly Detection* (ICML workshop on uncertainty, 2021): as soon as there are outliers, a plain
#   classifier does as well (exercise 1). The sphere is then a choice of link function.
# * **Features decide.** What random or borrowed features do with a memory, no loss on 87 images could learn. On
#   photographs the borrowed ones carry nearly everything (Reiss, Cohen, Bergman, Hoshen, *PANDA*, CVPR 2021).
# * **What lasted?** The question, the protocol, $\|\phi(x) - c\|^2$ as a score that can be differentiated, and the
#   analysis of collapse, which came back under the same name where networks are trained without labels. A survey of the
#   whole field, by Deep SVDD's authors and others, is Ruff, Kauffmann, Vandermeulen, Montavon, Samek, Kloft, Dietterich
#   and Müller, *A Unifying Review of Deep and Shallow Anomaly Detection*, Proceedings of the IEEE 109 (2021).
#
# ## Exercises
#
# 1. ★★ **Without a sphere.** Replace $e^{-\rho}$ by the sigmoid of one linear output, a plain classifier. Show that the
#    best possible network ranks the images in the same way, and measure the difference, with photographs as outliers.
# 2. ★★★ **Contrast.** Let $z_1,\dots,z_{2N}$ be unit vectors, $z_{j(i)}$ the other view of the image of $z_i$, and
#    $J = -\frac{1}{2N}\sum_i \log\frac{\exp(z_i\cdot z_{j(i)}/\tau)}{\sum_{k\ne i}\exp(z_i\cdot z_k/\tau)}$. Derive
#    $\partial J/\partial z_i$ and the gradient with respect to the outputs before normalisation, and check both.
# 3. ★★ **A smaller memory.** Choose $k$ of the memory's features greedily, each time the one furthest from all chosen
#    so far. Show that no choice of $k$ features has a covering radius less than half of this one's, and measure what a
#    tenth and a hundredth of the memory cost, against a random choice.
#
# Solutions: `lectures/solutions/17_after_deep_svdd.py`.

# %%
finish()
