# %% [markdown]
# # Solutions to 5. Adam and initialisation

# %%
import numpy as np

from minisvdd import nn, ops
from minisvdd.lecture import check, choose, finish

rng = np.random.default_rng(55)

# %% [markdown]
# ## Exercise 1
#
# $m_1 = (1 - \beta_1)\, g_1$ and the hat divides by $1 - \beta_1$, so $\hat m_1 = g_1$; likewise $\hat v_1 = g_1^2$.
# The step is $-\eta\, g_1 / (|g_1| + \epsilon)$. For $|g_1| \gg \epsilon$ that is $-\eta \operatorname{sign}(g_1)$. For
# $g_1 = 10^{-9}$ it is $-\eta \cdot 10^{-9} / (1.1 \cdot 10^{-8})$, only 9 % of the learning rate: $\epsilon$ is a
# floor for what counts as a gradient at all. It protects weights with almost no gradient from being driven by rounding
# errors.


# %%
def first_step(g):
    W = np.zeros(1)
    ops.adam_update(W, np.array([g]), np.zeros(1), np.zeros(1), 1, 0.01, 0.9, 0.999, 1e-8, 0.0)
    return W[0]


for g in (3.0, -1e-3, 1e-9):
    expected = -0.01 * g / (abs(g) + 1e-8)
    check(f"first step for g = {g}", np.isclose(first_step(g), expected, rtol=1e-6), f"{first_step(g):.2e}")

# %% [markdown]
# ## Exercise 2
#
# A symmetric $x$ is positive in half of the cases. There $f(x)^2 = x^2$, in the other half $\kappa^2 x^2$, so
#
# $$ \operatorname{E}[f(x)^2] = \frac{1 + \kappa^2}{2} \operatorname{E}[x^2], \qquad
# \operatorname{Var}(W) = \frac{2}{(1 + \kappa^2)\, D} . $$

# %%
alpha, width = 0.1, 256
x = rng.normal(size=(64, width))
before = np.mean(x**2)
for _ in range(12):
    weight = rng.normal(size=(width, width)) * np.sqrt(2 / ((1 + alpha**2) * width))
    y = x @ weight.T
    x = np.maximum(y, alpha * y)
ratio = np.mean(x**2) / before
check("the mean square is kept over 12 layers of leaky ReLU", 0.5 < ratio < 2, f"ratio {ratio:.2f}")

# %% [markdown]
# ## Exercise 3
#
# $\operatorname{E}[w^2] = 0.1 / (2 - 0.1) = 0.0526$. Many copies at once, after they have forgotten where they began:

# %%
w, velocity = np.ones(choose(20000, 100000)), np.zeros(choose(20000, 100000))
for _ in range(200):
    ops.sgd_update(w, w + rng.normal(size=w.size), velocity, 0.1, momentum=0.0, weight_decay=0.0)
measured = np.mean(w**2)
check("the mean square distance is 0.0526", np.isclose(measured, 0.1 / 1.9, rtol=0.05), f"{measured:.4f}")

# %% [markdown]
# ## Exercise 4
#
# $m_1 = v_1 = \frac12$, and both hats divide by $1 - \frac12$: $\hat m_1 = \hat v_1 = 1$, the step is $-\eta$. Then
# $m_2 = \frac12\cdot\frac12 - \frac12 = -\frac14$ and $v_2 = \frac14 + \frac12 = \frac34$, both divided by $1 -
# \frac14$: $\hat m_2 = -\frac13$, $\hat v_2 = 1$, the step is $+\frac13\eta$. A gradient that changes its sign gets a
# short step, though its size is the same.

# %%
W, m, v, path = np.zeros(1), np.zeros(1), np.zeros(1), [0.0]
for t, g in ((1, 1.0), (2, -1.0)):
    ops.adam_update(W, np.array([g]), m, v, t, 1.0, 0.5, 0.5, 0.0, 0.0)
    path.append(W[0])
check("the steps are -1 and +1/3", np.allclose(np.diff(path), [-1, 1 / 3]), f"{np.diff(path).round(4)}")

# %% [markdown]
# ## Exercise 5
#
# Linear: $\sqrt{6/(100 + 10)} = 0.2335$. Convolution: an output is a sum over $8 \cdot 25 = 200$ inputs, and an input
# occurs in $4 \cdot 25 = 100$ outputs, $\sqrt{6/300} = 0.1414$.

# %%
for layer, shape, bound in ((nn.Linear(10), (100,), 0.2335), (nn.Conv2D(4, 5), (8, 9, 9), 0.1414)):
    layer.build(shape, rng)
    largest = np.abs(layer.params["weight"]).max()
    check(f"{type(layer).__name__}: no weight beyond {bound}", 0.97 * bound < largest <= bound + 5e-5, f"{largest:.4f}")

# %%
finish()
