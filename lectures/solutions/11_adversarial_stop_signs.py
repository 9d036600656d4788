# %% [markdown]
# # Solutions to 11. Adversarial stop signs
#
# *Needs: no data. Minutes: 0.2 quick, 0.3 full.*

# %%
import numpy as np

from minisvdd import SoftmaxClassifier, load_dataset
from minisvdd.attack import adversarial, boundary_attack
from minisvdd.data.readers import to_float
from minisvdd.lecture import check, finish

rng = np.random.default_rng(0)

# %% [markdown]
# ## Exercise 1
#
# $P(z)$ is the nearest point of $C$ to $z$, so for $x \in C$ the segment from $P(z)$ to $x$ does not come nearer:
# $\langle z - P(z),\, x - P(z)\rangle \le 0$. Hence
#
# $$ \lVert z - x\rVert^2 = \lVert z - P(z)\rVert^2 + \lVert P(z) - x\rVert^2 - 2\langle z - P(z), x - P(z)\rangle
#    \ge \lVert P(z) - x\rVert^2 . $$

# %%
x, z = rng.uniform(0, 1, (1000, 20)), rng.normal(0.5, 1, (1000, 20))
projected = np.clip(z, 0, 1)
check("the angle is obtuse", (((z - projected) * (x - projected)).sum(axis=1) <= 1e-12).all())
check("no distance grows", (np.linalg.norm(projected - x, axis=1) <= np.linalg.norm(z - x, axis=1)).all())

# %% [markdown]
# ## Exercise 2
#
# With $\rho = r/h - 1$, a query multiplies $r$ by about $1 - 0.083\cdot 2\rho/D$, so $\rho$ falls by about
# $0.166\,\rho/D$: exponentially, at a rate $0.166/D$. The queries for a given ratio are proportional to $D$.


# %%
def queries_needed(n, ratio=1.05, seed=3):
    """Median number of queries after which d/h < ratio, over 8 attacks on a hyperplane in n dimensions."""
    rng = np.random.default_rng(seed)
    v = rng.normal(size=n)
    v /= np.linalg.norm(v)
    x = np.full((8, n), 0.5)
    threshold = 0.5 * v.sum() + 0.4
    result = boundary_attack.boundary_attack(
        lambda z: (z @ v > threshold).astype(int), x, np.zeros(8, int), queries=40 * n + 400, rng=rng
    )
    reached = (result.curve_distances / 0.4 < ratio).argmax(axis=0)
    return float(np.median(result.curve_queries[reached, np.arange(8)]))


small, large = queries_needed(20), queries_needed(80)
check("four times the dimensions, several times the queries", 2 < large / small < 8, f"{small:.0f} and {large:.0f}")

# %% [markdown]
# ## Exercise 3
#
# Every eight is "not a three", so the set that the targeted attack may end in is a part of the untargeted attack's set,
# and the nearest point of a part is never nearer than that of the whole. (Both attacks only approach their nearest
# point, so a single pair of numbers may disagree; the medians do not.)

# %%
digits = load_dataset("digits")
images, test = (to_float(part, digits.white) for part in (digits.train_images, digits.test_images))
opponent = SoftmaxClassifier(**adversarial.SETTINGS["digits"][0], random_state=0, verbose=0).fit(
    images, digits.train_labels
)
threes = test[(digits.test_labels == 3) & (opponent.predict(test) == 3)][:8]
labels = np.full(len(threes), 3)
anything = boundary_attack.boundary_attack(
    opponent.predict, threes, labels, starts=test[digits.test_labels != 3], queries=600, rng=np.random.default_rng(1)
)
eights = boundary_attack.boundary_attack(
    opponent.predict,
    threes,
    labels,
    targets=np.full(len(threes), 8),
    starts=test[digits.test_labels == 8],
    queries=600,
    rng=np.random.default_rng(1),
)
check("all have become eights", (opponent.predict(eights.adversarials) == 8).all())
distances = np.median(anything.distances), np.median(eights.distances)
check("a wish costs more", distances[1] >= distances[0], f"{distances[0]:.3f} and {distances[1]:.3f}")

# %%
finish()
