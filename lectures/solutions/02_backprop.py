# %% [markdown]
# # Solutions to 2. Backpropagation by hand

# %%
import numpy as np
from lecture import check, finish

rng = np.random.default_rng(2)

# %% [markdown]
# ## Exercise 1
#
# $b_k$ is added to $y_{nk}$ for every sample $n$, with the factor 1: $\partial L / \partial b_k = \sum_n G_{nk}$.

# %%
x, weight, bias = rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), rng.normal(size=3)
grad_output = rng.normal(size=(5, 3))
grad_bias = grad_output.sum(axis=0)

h = 1e-6
numeric = [
    np.sum(grad_output * (x @ weight.T + bias + h * e - (x @ weight.T + bias - h * e))) / (2 * h) for e in np.eye(3)
]
error = np.abs(numeric - grad_bias).max()
check("the bias gradient is the sum of G over the batch", error < 1e-8, f"largest difference {error:.1e}")

# %%
finish()
