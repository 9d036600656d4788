# %% [markdown]
# # 11. Adversarial stop signs: anomalies made to look normal
#
# The anomalies of the earlier lectures were other digits. Here they are images of the *normal* class, changed so little
# that the eye sees nothing, and yet a classifier that knew them no longer does. The paper's table 2 asks whether a
# one-class detector notices. **The questions:** how does one make such an image knowing nothing of the classifier but
# its answers, how large should the attack's steps be, and what does a detector see of it?
#
# **Before you start:** lecture 6; the normal distribution. A first reading takes about 40 minutes. **Letters**
# (`docs/notation.md` has all of them): here $\epsilon$ is the length of a step, $w$ the step sideways, and $y$ an image
# made by the attack.
#
# *Needs: no data (GTSRB, where found, in the full run). Minutes: 0.3 quick, 15 full.*

# %%
import csv
import json

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from minisvdd import DeepSVDD, SoftmaxClassifier, load_dataset
from minisvdd.attack import adversarial, boundary_attack, plots
from minisvdd.data.readers import to_float
from minisvdd.experiments.paper import METHODS, TABLE_2
from minisvdd.lecture import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    QUICK,
    RED,
    RESULTS,
    available,
    check,
    choose,
    data_dir,
    figure,
    finish,
)

rng = np.random.default_rng(11)

# %% [markdown]
# ## One step on the sphere
#
# Let $x$ be the original and $y$ an image that is already misclassified, at the distance $r = \lVert y - x\rVert$, and
# $u = (y - x)/r$. The Boundary Attack moves $y$ sideways first. It draws a Gaussian image $g$, takes away its part
# along $u$ and gives the rest the length $\delta r$:
#
# $$ w = \delta r\,\frac{g - \langle g, u\rangle u}{\lVert g - \langle g, u\rangle u\rVert} . $$
#
# Since $w \perp u$, Pythagoras gives $\lVert r u + w\rVert^2 = r^2(1 + \delta^2)$, so that
#
# $$ y_\perp = x + \frac{r u + w}{\sqrt{1 + \delta^2}} $$
#
# lies exactly as far from $x$ as $y$ does (`orthogonal_step`). Then comes the step toward the original, and the box:
# $y' = \mathrm{clip}\bigl(x + (1 - \epsilon)(y_\perp - x),\,0,\,1\bigr)$. Clipping is the projection onto a convex set
# that contains $x$, so it never increases the distance to $x$. If the classifier is still wrong about $y'$, it replaces
# $y$.

# %%
x, y = rng.uniform(0, 1, (2, 4, 1, 8, 8))
delta = np.array([0.01, 0.1, 0.5, 1.0])
s = boundary_attack.orthogonal_step(x, y, delta, [rng] * 4)


def lengths(images):
    return np.linalg.norm(images.reshape(len(images), -1), axis=1)


check("the orthogonal step stays on its sphere", np.allclose(lengths(s - x), lengths(y - x)))
closer = x + 0.9 * (s - x)
check("clipping never leads away", (lengths(np.clip(closer, 0, 1) - x) <= lengths(closer - x) + 1e-12).all())

# %% [markdown]
# ## How large a step?
#
# Small steps nearly always succeed and gain nothing; large ones would gain much and never succeed. Let the boundary
# near $y$ be a hyperplane through $y$, with the angle $\theta$ between $u$ and its normal $v$, in $D$ dimensions. The
# component of $w$ along $v$ is $\delta r\sin\theta\,z/\sqrt D$ with $z$ standard normal (its length is spread evenly
# over $D$ directions). Going back to the sphere costs $\delta^2/2$ of the component $r\cos\theta$ that $y$ had, and
# the step toward $x$ costs $\epsilon$ of it. So $y'$ is still adversarial if
#
# $$ \delta\sin\theta\,\frac{z}{\sqrt D} - \Bigl(\frac{\delta^2}2 + \epsilon\Bigr)\cos\theta > 0
#    \quad\Longleftrightarrow\quad a z - \frac{a^2}2 > e, \qquad
#    a = \frac{\delta\sqrt D}{\tan\theta},\quad e = \frac{\epsilon D}{\tan^2\theta} . $$
#
# That happens with probability $Q(q)$, $q = (a^2/2 + e)/a$, where $Q$ is the upper tail of the normal distribution.
# For a given $q$ the gain $e = aq - a^2/2$ is largest at $a = q$; there it is $q^2/2$, and the mean gain per query is
#
# $$ \tfrac12 q^2 Q(q). $$

# %%
k = np.linspace(0.01, 4, 4000)
gain = k**2 / 2 * norm.sf(k)
best = k[gain.argmax()]
check("the best q is 1.19", abs(best - 1.19) < 0.005, f"{best:.3f}")
check("an orthogonal step alone should then succeed as often as the library aims at",
      abs(norm.sf(best / 2) - boundary_attack.SPHERE_ACCEPTANCE) < 0.01, f"{norm.sf(best / 2):.3f}")  # fmt: skip
check(
    "and both steps together, too", abs(norm.sf(best) - boundary_attack.STEP_ACCEPTANCE) < 0.01, f"{norm.sf(best):.3f}"
)

fig, ax = plt.subplots(figsize=(5, 3))
ax.plot(norm.sf(k), gain, color=BLUE)
ax.axvline(norm.sf(best), color=GRAY, linestyle="--")
ax.set(xlabel="share of steps that succeed", ylabel="mean gain per query")
figure("gain")

# %% [markdown]
# Neither $\theta$ nor $D$ is known, but the two rates can be *seen*. `boundary_attack` raises $\log\delta$ a little
# after each success of an orthogonal step alone and lowers it after each failure, in the proportion that balances at
# the rate above; $\log\epsilon$ follows the other rate. Where the answer is known, a hyperplane at a known distance, we
# can see how near the attack comes.

# %%
n = choose(60, 300)
v = rng.normal(size=n)
v /= np.linalg.norm(v)
x = rng.uniform(0.45, 0.55, (5, n))
threshold = 0.5 * v.sum() + 0.4
true_distance = threshold - x @ v
result = boundary_attack.boundary_attack(
    lambda z: (z @ v > threshold).astype(int), x, np.zeros(5, int), queries=choose(2000, 10000), rng=rng
)
ratio = result.distances / true_distance
check("the attack comes within 5 % of the hyperplane", ratio.max() < 1.05, f"ratios {np.round(ratio, 4)}")
check("and never below it", ratio.min() > 1 - 1e-9)

fig, ax = plt.subplots(figsize=(5, 3))
ax.loglog(result.curve_queries, result.curve_distances / true_distance, color=BLUE, linewidth=0.8)
ax.axhline(1, color=GRAY, linestyle="--")
ax.set(xlabel="queries", ylabel="distance / distance of the plane")
figure("hyperplane")

# %% [markdown]
# ## An opponent
#
# The classifier is made of the layers of lecture 4 and trained with softmax cross-entropy
# (`minisvdd/attack/classifier.py`). It may have biases: nothing collapses when there are labels. Threes that it
# recognises are attacked; the attack starts at other digits.

# %%
digits = load_dataset("digits")
test = to_float(digits.test_images, digits.white)
opponent = SoftmaxClassifier(**adversarial.SETTINGS["digits"][0], random_state=0, verbose=0)
opponent.fit(to_float(digits.train_images, digits.white), digits.train_labels)
accuracy = opponent.score(test, digits.test_labels)
check("the opponent knows the digits", accuracy > 0.93, f"test accuracy {100 * accuracy:.1f} %")
found = adversarial.attack_class(digits, opponent, "3", count=40, queries=choose(600, 3000), seed=0, verbose=0)
check(
    "every attacked image is misclassified", (opponent.predict(found.adversarials) != 3).all() and found.success.all()
)
shrunk = np.median(found.start_distances) / np.median(found.distances)
check("far closer to the original than at the start", shrunk > 2, f"{shrunk:.1f} times in the median")
figure("digits", plots.plot_adversaries(found, amplification=2))
figure("digits_distances", plots.plot_distances(found))

# %% [markdown]
# On images of 8x8 pixels the change can be seen.
#
# ## What a detector sees
#
# Deep SVDD has learnt the normal threes. Are adversarial threes further from its centre than untouched ones, and how
# does that compare with honest anomalies, the other digits?

# %%
split = digits.one_class(3)
detector = DeepSVDD(
    network="digits_lenet", preprocessing="gcn-l1", pretrain_epochs=choose(20, 100), pretrain_milestones=(),
    epochs=choose(20, 100), milestones=(), learning_rate=1e-3, batch_size=32, random_state=0,
    threshold="nu", verbose=0,
).fit(split.train)  # fmt: skip
scores = detector.anomaly_score(split.test)
adversarial_scores = detector.anomaly_score(found.adversarials)
normal = scores[~split.is_anomaly]
auc_others = roc_auc_score(split.is_anomaly, scores)
auc_adversarial = roc_auc_score(
    np.repeat([False, True], [len(normal), len(adversarial_scores)]), np.concatenate([normal, adversarial_scores])
)
print(f"AUC: other digits {100 * auc_others:.1f} %, adversarial threes {100 * auc_adversarial:.1f} %")
check("other digits stand out", auc_others > 0.9, f"{100 * auc_others:.1f} %")

# %% [markdown]
# An AUC next to 50 %: do adversarial threes look like normal ones to the detector? The comparison is unfair. The attack
# takes only threes that the classifier **recognises**, a selection of the plainer ones: their originals already score
# lower than the rest. And threes differ far more among each other than the attack changes any of them. But every
# adversarial image has an original of its own. So compare **in pairs**, $s(\text{adversarial}) - s(\text{original})$,
# and both difficulties are gone.

# %%
original_scores = detector.anomaly_score(found.originals)
raised = adversarial_scores - original_scores
auc_originals = roc_auc_score(
    np.repeat([False, True], [len(normal), len(original_scores)]), np.concatenate([normal, original_scores])
)
check(
    "the attacked threes were plainer than the others before the attack",
    auc_originals < 0.5,
    f"AUC of the {len(raised)} originals against all test threes {100 * auc_originals:.1f} %",
)
standard_error = raised.std(ddof=1) / np.sqrt(len(raised))
check(
    "in pairs, the attack raises the score",
    raised.mean() > 2 * standard_error,
    f"of {(raised > 0).sum()} of {len(raised)}; mean {raised.mean():+.3f}, standard error {standard_error:.3f}",
)
distance_to_others = np.median(scores[split.is_anomaly]) - np.median(original_scores)
check(
    "but by far less than what parts threes from other digits",
    np.median(raised) < 0.25 * distance_to_others,
    f"median {np.median(raised):+.3f} against {distance_to_others:.3f}",
)

# %%
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3), width_ratios=[1.3, 1])
everything = np.concatenate([scores, adversarial_scores])
bins = np.geomspace(everything.min(), everything.max(), 30)
for values, color, label in ((normal, BLUE, "threes"), (scores[split.is_anomaly], GRAY, "other digits"),
                             (adversarial_scores, RED, "adversarial threes")):  # fmt: skip
    axes[0].hist(values, bins, weights=np.full(len(values), 1 / len(values)), alpha=0.6, color=color, label=label)
axes[0].set(xscale="log", xlabel="anomaly score (log scale)", ylabel="share of the images in a bin")
axes[0].legend(fontsize=8)
axes[1].plot([original_scores, adversarial_scores], color=GRAY, lw=0.8)
axes[1].plot(np.zeros(len(raised)), original_scores, "o", color=BLUE, ms=5)
axes[1].plot(np.ones(len(raised)), adversarial_scores, "o", color=RED, ms=5)
axes[1].set(xticks=(0, 1), xlim=(-0.4, 1.4), yscale="log", ylabel="anomaly score")
axes[1].set_xticklabels(["original", "adversarial"])
figure("scores")

# %% [markdown]
# So the answer is: yes, the detector sees the attack; no, it would not raise an alarm. Keep the trap in mind when you
# read a table of adversarial AUCs, this lecture's included: the attacked images are a selection, and the AUC compares
# them with images that were not selected.

# %% [markdown]
# ## Stop signs
#
# The paper's experiment: 780 stop signs of GTSRB to train on, 270 more and 20 adversarial ones to test. With the data
# at hand, the full run trains the classifier of all 43 signs and attacks it.

# %%
if not QUICK and available("gtsrb"):
    signs = load_dataset("gtsrb", data_dir())
    _, stop_signs, figures = adversarial.adversaries_of(signs, "runs/attack-gtsrb")
    print({name: figures[name] for name in ("test_accuracy", "median_l2_start", "median_l2", "ratio", "queries")})
    check("all 20 stop signs are misclassified", stop_signs.success.all())
    check("ten times closer than at the start", figures["ratio"] >= 10, f"{figures['ratio']:.1f} times")
    figure("stop_signs", plots.plot_adversaries(stop_signs))
    figure("stop_signs_distances", plots.plot_distances(stop_signs))
else:
    print("the stop signs need the full run and GTSRB: minisvdd data fetch gtsrb")

# %% [markdown]
# ## Table 2
#
# `minisvdd experiment table2-gtsrb` attacks, trains every detector on the 780 stop signs with ten seeds, and asks each
# to tell the 20 adversarial signs from the 270 untouched ones. What it found lies in the repository:

# %%
with (RESULTS / "table2-gtsrb.csv").open(encoding="utf-8") as file:
    rows = {row["method"]: row for row in csv.DictReader(file)}
methods = [name for name in METHODS if name in rows]
ours = np.array([float(rows[name]["auc_mean"]) for name in methods])
spread = np.array([float(rows[name]["auc_std"]) for name in methods])
printed = np.array([TABLE_2["stop"].get(name, (np.nan, np.nan)) for name in methods])
for name, mean, std, (paper_mean, paper_std) in zip(methods, ours, spread, printed):
    paper = "did not converge" if np.isnan(paper_mean) else f"{paper_mean:5.1f} ± {paper_std:3.1f}"
    print(f"{name:17} ours {mean:5.1f} ± {std:3.1f}   paper {paper}")

fig, ax = plt.subplots(figsize=(6.4, 2.8))
places = np.arange(len(methods))
ax.errorbar(printed[:, 0], places - 0.12, xerr=printed[:, 1], fmt="o", color=GRAY, label="paper")
ax.errorbar(ours, places + 0.12, xerr=spread, fmt="o", color=BLUE, label="ours")
ax.axvline(50, color=RED, linestyle=":", linewidth=1)
ax.set(yticks=places, yticklabels=methods, xlabel="test AUC in %, mean and std over seeds")
ax.invert_yaxis()
ax.legend()
figure("table2")

# %% [markdown]
# One-Class Deep SVDD is the best of the paper's six methods here as there, but all numbers are lower than the paper's.
# Why? An adversarial image betrays itself by what the attack has left on it, and the longer the attack, the less that
# is. The paper does not say how long its attack went on; ours ended after 10 000 queries. `benchmarks/budgets.py` stops
# it earlier, from two kinds of start, with three seeds of every detector:

# %%
budgets = json.loads((RESULTS / "budgets.json").read_text(encoding="utf-8"))["rows"]
fig, axes = plt.subplots(1, 2, figsize=(7.2, 3), sharey=True)
for ax, start in zip(axes, ("images", "noise")):
    of_start = [row for row in budgets if row["start"] == start]
    distance = [row["median_l2"] for row in of_start]
    for name, color in (("one-class", BLUE), ("dcae", ORANGE), ("isolation-forest", GREEN), ("kde", GRAY)):
        ax.plot(distance, [100 * np.mean(row[name]) for row in of_start], "o-", color=color, label=name, ms=4)
        ax.axhline(TABLE_2["stop"][name][0], color=color, linestyle=":", linewidth=1)
    ax.set(xscale="log", xlabel="median distance to the original", title=f"started from {start}")
    ax.set_xticks([1.2, 2, 4, 8], ["1.2", "2", "4", "8"])
    ax.minorticks_off()
axes[0].set_ylabel("test AUC in % (dotted: paper)")
axes[0].legend(fontsize=8)
figure("budgets")

near = {row["start"]: row for row in budgets if row["queries"] == 3000}
for name in ("dcae", "one-class"):
    paper_mean, paper_std = TABLE_2["stop"][name]
    found = [100 * np.mean(row[name]) for row in near.values()]
    inside = all(abs(value - paper_mean) < 2 * paper_std for value in found)
    check(f"after 3000 queries {name} is as in the paper", inside, " and ".join(f"{value:.1f} %" for value in found))

# %% [markdown]
# That explains the deep methods. The shallow ones stay below the paper's numbers at any distance, and much noise makes
# images even *more* ordinary for them, down to 20 %: it lowers the contrast of the sign, by which all images are
# divided, and adds nothing to the directions that PCA has kept. What is thrown away with 5 % of the variance is just
# where the attack is to be seen. On all pixels instead:

# %%
reached = {}
shallow = {name: TABLE_2["stop"][name][0] for name in ("isolation-forest", "kde")}
below = all(100 * np.mean(row[name]) < paper_mean for row in budgets for name, paper_mean in shallow.items())
check("isolation forest and KDE stay below the paper at any distance", below)
for queries, file in ((10_000, "shallow-stop-signs.json"), (3000, "shallow-stop-signs-3000.json")):
    for row in json.loads((RESULTS / file).read_text(encoding="utf-8"))["rows"]:
        if row["preprocessing"] == "gcn-l1":
            forest = np.mean(row["isolation_forest"])
            reached[queries, row["dimensions"]] = max(row["kde"]), max(row["oc_svm"]), forest
            print(f"{queries:6} queries, {row['dimensions']:4} dimensions: kde {max(row['kde']):.1f} %, "
                  f"oc-svm {max(row['oc_svm']):.1f} %, isolation forest {forest:.1f} %")  # fmt: skip
print("paper:", {name: mean for name, (mean, _) in TABLE_2["stop"].items()})
columns = dict(zip(("kde", "oc-svm", "isolation-forest"), reached[3000, 3072]))
columns |= {name: 100 * np.mean(near["images"][name]) for name in ("dcae", "one-class")}
gaps = {name: round(float(mean - TABLE_2["stop"][name][0]), 1) for name, mean in columns.items()}
check("3000 queries, all pixels: five columns are within 6 points", max(map(abs, gaps.values())) < 6,
      f"ours minus paper: {gaps}")  # fmt: skip

# %% [markdown]
# With 3000 queries, and all pixels for the shallow methods, these five columns of the paper are met within 6 points
# (soft-boundary was not tried); with 10 000 One-Class lacks 11. The lesson is not that one of the tables is wrong; it
# is that an AUC on adversarial images says little without the attack's length.
#
# ## Exercises
#
# One star: routine; three: take your time.
#
# 1. ★★ **Clipping.** Show that the projection $P$ onto a convex set $C$ satisfies $\lVert P(z) - x\rVert \le \lVert z -
#    x\rVert$ for every $x \in C$, and check it for the box.
# 2. ★★★ **How many queries?** In the model above the mean gain per query is $0.083\tan^2\theta/D$ of the distance. Near
#    the end $\tan^2\theta \approx 2(r/h - 1)$, where $h$ is the distance of the plane. How do the queries needed for a
#    given ratio $r/h$ grow with $D$? Measure it for two values of $D$. Hint: write the change per query of $r/h - 1$ in
#    terms of itself.
# 3. ★★ **A wish.** Make the attack targeted: turn threes into eights. Is the distance larger than that of the
#    untargeted attack, and why must it be, in exact arithmetic?
#
# Solutions: `lectures/solutions/11_adversarial_stop_signs.py`.

# %%
finish()
