# %% [markdown]
# # Solutions to 2. Backpropagation by hand

# %%
import numpy as np

from minisvdd.lecture import check, finish

rng = np.random.default_rng(20)
x, weight, bias = rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), rng.normal(size=3)
G = rng.normal(size=(5, 3))
h = 6e-6


def numeric_gradient(function, v, G):
    """Central differences of sum(G * function(v)) in each entry of v."""
    result = np.zeros_like(v)
    for index in np.ndindex(*v.shape):
        step = np.zeros_like(v)
        step[index] = h
        result[index] = np.sum(G * (function(v + step) - function(v - step))) / (2 * h)
    return result


# %% [markdown]
# ## Exercise 1
#
# $b_k$ occurs in $y_{nk}$ for every sample $n$, with the factor 1, and in no other output:
#
# $$ \frac{\partial L}{\partial b_k} = \sum_{n} G_{nk} . $$
#
# The library's function is `bias_backward`. For images the sum also runs over all positions.

# %%
grad_bias = G.sum(axis=0)
error = np.abs(grad_bias - numeric_gradient(lambda b: x @ weight.T + b, bias, G)).max()
check("the gradient of the bias is the sum of G over the batch", error < 1e-9, f"error {error:.0e}")

# %% [markdown]
# ## Exercise 2
#
# With $G = 1$ every output has the same weight, so a backward that mixes up the outputs, or the samples among $G$'s
# rows, is not noticed. Reversing the outputs of $G$ is one of many:


# %%
def wrong(G, x):
    return G[:, ::-1].T @ x


def error_with(G):
    return np.abs(wrong(G, x) - numeric_gradient(lambda w: x @ w.T, weight, G)).max()


check("with ones the wrong gradient passes", error_with(np.ones_like(G)) < 1e-9, f"{error_with(np.ones_like(G)):.0e}")
check("with a random G it fails", error_with(G) > 0.1, f"error {error_with(G):.1f}")

# %% [markdown]
# ## Exercise 3
#
# $|v + ih| = \sqrt{v^2 + h^2}$ is real: its imaginary part is 0, whatever $v$ is. The modulus is not an analytic
# function. But to the right of 0 the absolute value agrees with $v$ and to the left with $-v$, which are analytic; we
# choose between them by the real part. The same choice makes a leaky ReLU. (The library does not do this: only layers
# that say `is_analytic = True` take the complex step. Those with kinks, where real code would take `np.maximum`, do not
# say so and are checked by differences only; nor do layers of your own, unless you say it of them.)


# %%
def absolute(v):
    return np.where(np.real(v) > 0, v, -v)


def leaky_relu(v):
    return np.where(np.real(v) > 0, v, 0.1 * v)


def complex_step(function, v):
    return np.imag(function(v + 1e-30j)) / 1e-30


points = np.array([-2.0, -0.3, 0.3, 1.5])
check("the complex step of np.abs is 0", np.all(complex_step(np.abs, points) == 0))
check("that of our absolute value is the sign", np.array_equal(complex_step(absolute, points), np.sign(points)))
check("that of leaky ReLU is 0.1 or 1", np.allclose(complex_step(leaky_relu, points), [0.1, 0.1, 1, 1], rtol=1e-15))

# %% [markdown]
# ## Exercise 4
#
# The inner numbers must agree. With $x$ and $W$: $x W^\top$ $(N \times K)$ and its transpose. With $G$ and $W$: $G W$
# $(N \times D)$ and its transpose. With $G$ and $x$: $G^\top x$ $(K \times D)$ and its transpose. There are no others.
# So $G^\top x$ alone is shaped like $W$, and $G W$ alone like $x$: whoever has forgotten the formulas can read them off
# the shapes. (Shapes cannot tell a forgotten factor, though.)

# %%
arrays = {"x": x, "W": weight, "G": G, "x'": x.T, "W'": weight.T, "G'": G.T}
products = {
    f"{a} {b}": (left @ right).shape
    for a, left in arrays.items()
    for b, right in arrays.items()
    if a[0] != b[0] and left.shape[1] == right.shape[0]
}
print(products)
check("six products exist", len(products) == 6)
check("one has the shape of W", [name for name, shape in products.items() if shape == weight.shape] == ["G' x"])
check("and one that of x", [name for name, shape in products.items() if shape == x.shape] == ["G W"])

# %% [markdown]
# ## Exercise 5
#
# $y_{nk}$ occurs in a single square: $\partial L/\partial y_{nk} = \frac{1}{2N} \cdot 2\,(y_{nk} - t_{nk}) =
# (y_{nk} - t_{nk})/N$. Divided by $NK$ instead of $N$, the gradient is $K$ times smaller, and whoever changes from one
# to the other has to change the learning rate with it.

# %%
y, target = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
numeric = numeric_gradient(lambda v: np.sum((v - target) ** 2) / (2 * len(v)), y, 1.0)
error = np.abs((y - target) / len(y) - numeric).max()
check("the gradient of the squared error is (y - t) / N", error < 1e-9, f"error {error:.0e}")

# %%
finish()
