# %% [markdown]
# # Solutions to 15. From score to decision
#
# *Needs: no data. Minutes: 0.2 quick, 0.5 full.*

# %%
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import beta, norm
from sklearn.metrics import roc_auc_score

from minisvdd import DeepSVDD, load_dataset
from minisvdd.lecture import check, choose, finish

rng = np.random.default_rng(15)

# %% [markdown]
# ## Exercise 1
#
# Let $F$ be the distribution function of a normal score, continuous. Then $U_i = F(s_i)$ are uniform on $[0, 1]$, and
# since $F$ keeps the order, $F(s_{(k)}) = U_{(k)}$, the $k$-th smallest of $m$ uniform numbers. Given the hold-out, the
# rate of false alarms is $1 - F(s_{(k)}) = 1 - U_{(k)}$. The density of $U_{(k)}$ at $u$: one number is at $u$, $k-1$
# are below and $m-k$ above, in any assignment,
#
# $$ \frac{m!}{(k-1)!\,(m-k)!}\;u^{k-1}(1-u)^{m-k} , $$
#
# which is Beta$(k, m+1-k)$; so the rate, $1 - U_{(k)}$, is Beta$(m+1-k, k)$. Its mean is $\frac{m+1-k}{m+1}$, the
# promise of the lecture.
#
# "5 %, kept to 7 % in 95 of 100 cases": the smallest $m$ from which on the 95 % quantile of that distribution stays at
# or below 0.07.


# %%
def rank(m, alpha):
    return int(np.ceil((1 - alpha) * (m + 1) - 1e-9))


def quantile(m, alpha=0.05, level=0.95):
    k = rank(m, alpha)
    return 1.0 if k > m else beta.ppf(level, m + 1 - k, k)


sizes = np.arange(1, 1500)
kept = np.array([quantile(int(m)) <= 0.07 for m in sizes])
needed = int(sizes[np.flatnonzero(~kept)[-1] + 1])
print(f"hold back {needed} samples (some smaller numbers do as well, from {sizes[kept][0]} on: k is rounded)")
m, draws = needed, 4000
rates = 1 - np.sort(rng.uniform(size=(draws, m)), axis=1)[:, rank(m, 0.05) - 1]
check(
    "simulated: in 95 of 100 cases the rate is at most 7 %",
    0.94 < (rates <= 0.07).mean() < 0.98,
    f"{(rates <= 0.07).mean():.3f}",
)
check("and on average the promise is kept", rates.mean() < 0.05, f"{rates.mean():.4f}")
check(
    "far fewer samples would not do",
    (1 - np.sort(rng.uniform(size=(draws, 100)), axis=1)[:, rank(100, 0.05) - 1] <= 0.07).mean() < 0.9,
)

# %% [markdown]
# ## Exercise 2
#
# Let $f_0, f_1$ be the densities of the score for normal and anomalous samples. $\alpha(\tau) = \int_\tau^\infty f_0$
# and $\beta(\tau) = \int_{-\infty}^\tau f_1$, so $\alpha' = -f_0$, $\beta' = f_1$, and the expected cost has the
# derivative
#
# $$ \pi\,C_\beta\, f_1(\tau) - (1-\pi)\,C_\alpha\, f_0(\tau) = 0
#    \qquad\Leftrightarrow\qquad \frac{f_1(\tau)}{f_0(\tau)} = \frac{(1-\pi)\,C_\alpha}{\pi\,C_\beta} . $$
#
# On the ROC curve, hits $1-\beta$ over false alarms $\alpha$, the slope is $\frac{d(1-\beta)/d\tau}{d\alpha/d\tau} =
# \frac{-f_1}{-f_0}$: the same ratio. For $\mathcal{N}(0,1)$ and $\mathcal{N}(2, 1)$ it is $e^{2\tau-2}$, which gives
# $\tau = 1 + \frac12\ln\frac{0.99}{0.01\cdot50} \approx 1.34$.

# %%
pi, ratio = 0.01, 50


def cost(tau):
    return pi * norm.cdf(tau - 2) * ratio + (1 - pi) * norm.sf(tau)


search = minimize_scalar(cost, bounds=(-5, 8), method="bounded", options={"xatol": 1e-9})
tau = 1 + 0.5 * np.log((1 - pi) / (pi * ratio))
check("the formula is the numeric minimum", np.isclose(search.x, tau, atol=1e-5), f"{search.x:.5f} and {tau:.5f}")
slope = norm.pdf(tau - 2) / norm.pdf(tau)
check("where the ROC curve has the stated slope", np.isclose(slope, (1 - pi) / (pi * ratio)), f"{slope:.3f}")

# %% [markdown]
# ## Exercise 3
#
# The first detector has pulled the hidden anomalies inwards, because its loss told it to: those that it fitted best
# have low scores now, and are not found. What is thrown out is a mixture of the remaining anomalies and of the least
# typical normal images, which are exactly those that mark the border of normality. So there is a gain and a loss, and
# the balance is not always positive. It is measured here, not assumed.

# %%
dataset = load_dataset("digits")
split = dataset.one_class(8)
others = dataset.train_images[dataset.train_labels != 8].astype(np.float32) / dataset.white
count = round(len(split.train) / 9)
found, changes = [], []
for seed in range(choose(3, 8)):
    hidden = others[np.random.default_rng(seed).choice(len(others), count, replace=False)]
    images = np.concatenate([split.train, hidden])

    def fitted(images, seed=seed):
        return DeepSVDD(
            network="digits_lenet", preprocessing="gcn-l1", learning_rate=1e-3, batch_size=32, milestones=(),
            verbose=0, threshold="nu", pretrain_epochs=choose(15, 60), epochs=choose(20, 60), random_state=seed,
        ).fit(images)  # fmt: skip

    first = fitted(images)
    order = np.argsort(first.anomaly_score(images))
    cleaned, thrown = images[order[:-count]], order[-count:]
    second = fitted(cleaned)
    before, after = (100 * roc_auc_score(split.is_anomaly, m.anomaly_score(split.test)) for m in (first, second))
    found.append((thrown >= len(split.train)).mean())
    changes.append(after - before)
    print(
        f"seed {seed}: {100 * found[-1]:.0f} % of those thrown out were anomalous; AUC {before:.1f} % -> {after:.1f} %"
    )
check(
    "cleaning throws out more anomalies than chance would (10 %)", np.mean(found) > 0.2, f"{100 * np.mean(found):.0f} %"
)
check("but not all of them", np.mean(found) < 0.9)
print(f"mean change of the AUC: {np.mean(changes):+.1f} points")

# %%
finish()
