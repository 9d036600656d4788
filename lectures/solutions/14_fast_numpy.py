# %% [markdown]
# # Solutions to 14. Going fast in NumPy

# %%
import numpy as np

from minisvdd.lecture import check, finish

rng = np.random.default_rng(140)

# %% [markdown]
# ## Exercise 1
#
# Strips begin $q$ columns apart and are $q + 4$ wide: a pixel is copied $(q + 4)/q$ times. The matrix has a row for
# each of the $q$ outputs and, for each row of the filter, $q + 4$ columns, zeros included: $5\,(q + 4)$ multiplications
# per output. With a copy as dear as $c$ multiplications the cost $c\,(q + 4)/q + 5\,(q + 4)$ has its minimum where
# $5 = 4c/q^2$, at $q = 2\sqrt{c/5}$; for $K$ filters a copied pixel serves all of them, and $c$ shrinks by $K$.

# %%
q = np.arange(1, 25)
cost = 8 * (q + 4) / q + 5 * (q + 4)
best = q[np.argmin(cost)]
check("the best number of outputs is next to 2 sqrt(8/5)", abs(best - 2 * np.sqrt(8 / 5)) < 1, f"q = {best}")
check("two outputs copy every pixel three times", (2 + 4) / 2 == 3)

# %% [markdown]
# ## Exercise 2
#
# $g(t) h(t) = u_0 + u_1 t + u_2 t^2$. Its values are $u_0 = g_0 h_0$ at 0, $u_0 + u_1 + u_2 = (g_0 + g_1)(h_0 + h_1)$
# at 1, and $u_2 = g_1 h_1$ at infinity. So $u_1$ is the second minus the first and the third, and
#
# $$ V_3^{-1} = \begin{pmatrix} 1 & 0 & 0 \\ -1 & 1 & -1 \\ 0 & 0 & 1 \end{pmatrix}, \qquad
# B^\top = V_3^{-\top} = \begin{pmatrix} 1 & -1 & 0 \\ 0 & 1 & 0 \\ 0 & -1 & 1 \end{pmatrix} . $$
#
# With $m_1 = (x_0 - x_1)\, g_0$, $m_2 = x_1 (g_0 + g_1)$ and $m_3 = (x_2 - x_1)\, g_1$ the outputs are
# $y_0 = m_1 + m_2$ and $y_1 = m_2 + m_3$.

# %%
g, d = rng.integers(-9, 10, size=(100, 2)), rng.integers(-9, 10, size=(100, 3))
m1, m2, m3 = (d[:, 0] - d[:, 1]) * g[:, 0], d[:, 1] * (g[:, 0] + g[:, 1]), (d[:, 2] - d[:, 1]) * g[:, 1]
y = np.stack([m1 + m2, m2 + m3], axis=1)
expected = np.stack([(g * d[:, :2]).sum(axis=1), (g * d[:, 1:]).sum(axis=1)], axis=1)
check("three multiplications give both outputs", np.array_equal(y, expected))

# %% [markdown]
# ## Exercise 3
#
# Only for $\gamma \ge 0$: then $x \mapsto \gamma (x - \mu) r + \beta$ does not decrease. For $\gamma < 0$ it does not
# increase, and the largest output belongs to the *smallest* input: $\max_i f(x_i) = f(\min_i x_i)$. A channel with a
# negative scale would have to be pooled by the minimum. The paper's networks have no trainable scale.

# %%
x = rng.standard_normal((50, 4))


def normalize_and_activate(x, gamma):
    z = gamma * (x - 0.3) * 1.7
    return np.maximum(z, 0.1 * z)


for gamma, pool in ((0.8, np.max), (-0.8, np.min)):
    same = normalize_and_activate(x, gamma).max(axis=1) == normalize_and_activate(pool(x, axis=1), gamma)
    check(f"scale {gamma}: pool by the {pool.__name__}imum", same.all())
check("the maximum would be wrong there", (x.max(axis=1) != x.min(axis=1)).all())

# %%
finish()
