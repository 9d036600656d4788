# %% [markdown]
# # Solutions to 17. After Deep SVDD
#
# *Needs: no data. Minutes: 0.2 quick, 0.6 full.*

# %%
import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from minisvdd import gradcheck, load_dataset, nn, ops, svdd
from minisvdd.lecture import check, choose, finish

SEEDS = range(choose(5, 20))
split = load_dataset("digits").one_class(8)
preprocessing = svdd.make_preprocessing("gcn-l1")
X_train, X_test = preprocessing.fit_transform(split.train), preprocessing.transform(split.test)
n = len(X_train)

# %% [markdown]
# ## Exercise 1
#
# For both losses the value at one $x$ is $-p\log t - q\log(1-t)$ with the network's $t = P(\text{normal}\mid x)$,
# whatever function of its outputs $t$ is. Both functions, $e^{-\rho}$ and the sigmoid, can take every value in $(0,
# 1)$; so for both the best possible network has $t(x) = p(x)/(p(x)+q(x))$. The scores, $\rho = -\log t$ and minus the
# logit $-\log\frac{t}{1-t}$, are falling functions of the same $t$, and rank alike. What is left is what differs away
# from the optimum: how fast training gets there, and what the network does where it has seen neither normal images nor
# outliers.


# %%
def encoder(outputs, bias):
    modules = [
        layer
        for channels in (8, 16)
        for layer in (nn.Conv2D(channels, 3, padding="same"), nn.BatchNorm(), nn.LeakyReLU(), nn.MaxPool2D(2))
    ]
    return nn.Sequential([*modules, nn.Flatten(), nn.Linear(outputs, bias=bias)])


def distance(phi):
    return np.sqrt((phi**2).sum(axis=1) + 1) - 1


def hypersphere(phi, y):
    rho = np.maximum(distance(phi), 1e-6)
    anomalous = -np.expm1(-rho)
    per_sample = np.where(y > 0, rho, -np.log(anomalous))
    slope = np.where(y > 0, 1, -np.exp(-rho) / anomalous) / len(phi)
    return per_sample.mean(), ((slope / (rho + 1))[:, None] * phi).astype(phi.dtype), per_sample


def logistic(logits, y):
    value, grad, per_entry = ops.binary_cross_entropy(logits, y[:, None].astype(logits.dtype))
    return value, grad, per_entry.ravel()


photographs = [load_sample_image(name).mean(axis=2) / 255 for name in ("china.jpg", "flower.jpg")]


def pieces(count, rng):
    found = []
    for _ in range(count):
        photograph = photographs[rng.integers(2)]
        row, column = (rng.integers(size - 32) for size in photograph.shape)
        found.append(photograph[row : row + 32, column : column + 32].reshape(8, 4, 8, 4).mean(axis=(1, 3)))
    return np.array(found, np.float32)[:, None]


def train(network, loss, seed):
    rng = np.random.default_rng(seed)
    X = np.concatenate([X_train, preprocessing.transform(pieces(n, rng))])
    network.build(X.shape[1:], rng)
    plan = nn.Plan(epochs=40, learning_rate=2e-3, weight_decay=1e-5, batch_size=32)
    nn.Training(network, loss, X, plan, rng, targets=np.repeat([1.0, 0.0], [n, n])).run()
    return nn.outputs(network, X_test)


sphere = [100 * roc_auc_score(split.is_anomaly, distance(train(encoder(16, False), hypersphere, s))) for s in SEEDS]
plain = [100 * roc_auc_score(split.is_anomaly, -train(encoder(1, True), logistic, s)[:, 0]) for s in SEEDS]
for name, values in (("sphere", sphere), ("logistic", plain)):
    print(f"{name:9s} AUC {np.mean(values):.1f} +- {np.std(values, ddof=1):.1f}")
difference = np.subtract(sphere, plain)
check(
    "the sphere and the plain classifier are within two points of each other",
    abs(difference.mean()) < 2,
    f"{difference.mean():+.1f} points, standard error {difference.std(ddof=1) / len(difference) ** 0.5:.1f}",
)

# %% [markdown]
# ## Exercise 2
#
# Write $s_{ik} = z_i\cdot z_k/\tau$ and $p_{ik} = e^{s_{ik}} / \sum_{l\ne i}e^{s_{il}}$ for $k\ne i$, $p_{ii} = 0$. The
# term of $i$ is the cross-entropy of a softmax over all others with the "label" $j(i)$, so $\partial J/\partial s_{ik}
# = \frac{1}{2N}(p_{ik} - [k = j(i)]) =: Q_{ik}$. Each $z_i$ occurs in its own row and in its column of $s$:
#
# $$ \frac{\partial J}{\partial z_i} = \frac1\tau\sum_k (Q_{ik} + Q_{ki})\,z_k . $$
#
# With $z = \phi/\|\phi\|$, $\partial z/\partial\phi = (I - zz^\top)/\|\phi\|$, so that
# $\partial J/\partial\phi = (G - (G\cdot z)\,z)/\|\phi\|$ for $G = \partial J/\partial z$: the part along $z$ is taken
# away, as in the contrast normalisation of lecture 16. A view is repelled by all others as by $p_{ik}$, most by those
# that it confuses with its partner, and nothing changes its length.


# %%
def contrast(phi, tau=0.5):
    """Rows i and i + N are the two views of an image."""
    length = np.linalg.norm(phi, axis=1, keepdims=True)
    z, rows = phi / length, np.arange(len(phi))
    s = z @ z.T / tau
    s[rows, rows] = -np.inf
    s -= s.max(axis=1, keepdims=True)
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    partner = np.roll(rows, len(rows) // 2)
    per_sample = -np.log(p[rows, partner])
    Q = p.copy()
    Q[rows, partner] -= 1
    G = (Q + Q.T) @ z / (tau * len(phi))
    return per_sample.mean(), (G - (G * z).sum(axis=1, keepdims=True) * z) / length, per_sample


phi = np.random.default_rng(0).normal(size=(8, 5))
report = gradcheck.check_loss(contrast, phi)
check("the gradient of the contrast is the numeric one", report.passed, f"largest relative error {report.error:.0e}")
value, grad, _ = contrast(phi)
check("lengths do not matter: the gradient is at right angles to phi", np.allclose((grad * phi).sum(axis=1), 0))
check("and the loss that of 3 phi", np.isclose(contrast(3 * phi)[0], value))

# %% [markdown]
# ## Exercise 3
#
# Let $f_1,\dots,f_k$ be the greedy choice, $R$ its covering radius (the distance of the furthest feature from its
# nearest chosen one), and $f_{k+1}$ a feature at that distance. When a feature was chosen, it was the furthest, and
# these distances never grow: so any two of the $k+1$ features $f_1,\dots,f_{k+1}$ are at least $R$ apart. Take any
# other choice of $k$ features, of covering radius $R'$. Among $k + 1$ features two have the same nearest chosen one, by
# the pigeonhole principle, and lie within $R'$ of it each; so $R \le 2R'$. $\square$


# %%
def greedy(F, count):
    """Indices of the choice, and the covering radius after each step."""
    chosen, radii = [0], []
    nearest = ((F - F[0]) ** 2).sum(axis=1)
    for _ in range(count - 1):
        chosen.append(int(nearest.argmax()))
        radii.append(nearest.max() ** 0.5)
        nearest = np.minimum(nearest, ((F - F[chosen[-1]]) ** 2).sum(axis=1))
    return chosen, [*radii, nearest.max() ** 0.5]


network = nn.Sequential([nn.Conv2D(32, 3, padding="same"), nn.LeakyReLU(), nn.Conv2D(32, 3, padding="same")])
network.build((1, 8, 8), np.random.default_rng(0))


def places(X):
    return np.moveaxis(nn.outputs(network, X), 1, -1).reshape(-1, 32).astype(np.float64)


memory, asked = places(split.train), places(split.test)


def auc_of(kept):
    distances = NearestNeighbors(n_neighbors=1).fit(memory[kept]).kneighbors(asked)[0]
    return 100 * roc_auc_score(split.is_anomaly, distances.reshape(-1, 64).max(axis=1))


few = len(memory) // 100
order, radii = greedy(memory, len(memory) // 10)
rng = np.random.default_rng(1)
whole = auc_of(np.arange(len(memory)))
tenth, hundredth = auc_of(order), auc_of(order[:few])
by_chance = [auc_of(rng.choice(len(memory), few, replace=False)) for _ in range(5)]
print(f"all {len(memory)} features: AUC {whole:.1f}; a tenth: {tenth:.1f}; a hundredth: {hundredth:.1f}")
print(f"a hundredth by chance: {np.mean(by_chance):.1f} +- {np.std(by_chance, ddof=1):.1f}")


def radius(kept):
    return NearestNeighbors(n_neighbors=1).fit(memory[kept]).kneighbors(memory)[0].max()


check("the covering radius never grows", (np.diff(radii) <= 0).all())
check("it is what the nearest neighbours say", np.isclose(radius(order), radii[-1]), f"{radii[-1]:.3f}")
check(
    "no random choice of a hundredth has less than half of the greedy radius",
    min(radius(rng.choice(len(memory), few, replace=False)) for _ in range(20)) >= radii[few - 1] / 2,
)
check("a tenth, chosen greedily, costs less than two points", whole - tenth < 2, f"{whole:.1f} % -> {tenth:.1f} %")
check(
    "with a hundredth the greedy choice is better than chance",
    hundredth > np.mean(by_chance),
    f"{hundredth:.1f} % against {np.mean(by_chance):.1f} %",
)

# %%
finish()
