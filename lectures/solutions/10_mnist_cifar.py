# %% [markdown]
# # Solutions to 10. Table 1

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from minisvdd.experiments.paper import TABLE_1
from minisvdd.lecture import BLUE, GRAY, check, choose, figure, finish
from minisvdd.rivals.svm import best_on_hold_out

rng = np.random.default_rng(100)

# %% [markdown]
# ## Exercise 1
#
# $-s^+_i > -s^-_j$ means $s^+_i < s^-_j$. Of all pairs, those ordered one way, those ordered the other way, and half of
# the ties twice, make 1 in sum. An AUC of 0.43 is thus *worse than a coin*, and the negated score would have 0.57. A
# random frog scores higher than a random image of another class in 57 of 100 cases: to a forest trained on frogs, new
# frogs look *odder* than vehicles, birds and the rest. That can come about where the normal images vary a lot and many
# of the others are bland: these then lie in the middle of the cloud of frogs and are isolated late. Nothing is wrong
# with the program; without anomalies in training there is no way to know the sign.

# %%
truth, scores = rng.uniform(size=400) < 0.4, rng.integers(9, size=400).astype(float)
total = roc_auc_score(truth, scores) + roc_auc_score(truth, -scores)
check("the AUCs of s and -s add up to 1, ties included", abs(total - 1) < 1e-12)
frog = TABLE_1["cifar10"]["frog"]["isolation-forest"][0]
check("the paper prints one such case", frog < 50, f"frog {frog}")

# %% [markdown]
# ## Exercise 2
#
# Both means are random. With a standard deviation of $\sigma = 1.5$ per seed, the mean of 3 has a standard deviation
# of $\sigma / \sqrt 3$, that of 10 has $\sigma / \sqrt{10}$, and their difference has
# $\sigma \sqrt{1/3 + 1/10} = 0.99$. Two of those, about 2 points, are no reason to doubt. (The estimate of $\sigma$
# itself, from ten seeds, is off by a quarter, so do not take the bound to the second digit.)

# %%
sigma = TABLE_1["mnist"]["3"]["one-class"][1]
runs = 20000
differences = rng.normal(0, sigma, (runs, 3)).mean(axis=1) - rng.normal(0, sigma, (runs, 10)).mean(axis=1)
formula = sigma * np.sqrt(1 / 3 + 1 / 10)
check("the simulation agrees with the formula", abs(differences.std() / formula - 1) < 0.03, f"{formula:.2f} points")
outside = np.mean(np.abs(differences) > 2 * formula)
check("and leaves one case in twenty beyond two of them", 0.03 < outside < 0.06, f"{outside:.3f}")

# %% [markdown]
# ## Exercise 3
#
# On the hold-out, the best of ten noisy AUCs is well above one half; on the rest the choice is worth nothing, for noise
# has no skill to find. The whole test set contains the hold-out, so about a tenth of the gain remains there. For real
# detectors the gain is another, and larger: the choice picks, with labels, the $\gamma$ that suits *these* anomalies.

# %%
gains = {"hold-out": [], "rest": [], "whole": []}
for _ in range(choose(100, 1000)):
    truth, noise = rng.uniform(size=1000) < 0.9, rng.normal(size=(10, 1000))
    held = np.arange(1000) < 100
    chosen = noise[best_on_hold_out([s[held] for s in noise], truth[held])]
    for name, part in (("hold-out", held), ("rest", ~held), ("whole", held | True)):
        gains[name].append(roc_auc_score(truth[part], chosen[part]) - 0.5)
means = {name: 100 * np.mean(values) for name, values in gains.items()}
plt.bar(list(means), list(means.values()), color=[BLUE, GRAY, GRAY])
plt.ylabel("points of AUC above one half")
figure("gains")
print(", ".join(f"{name} {value:+.1f} points" for name, value in means.items()))
check("the choice looks good where it was made", means["hold-out"] > 8)
check("and is worth nothing elsewhere", abs(means["rest"]) < 1)
check("a little of it stays in the whole", 0.2 < means["whole"] < 4)

# %%
finish()
