# %% [markdown]
# # Solutions to 4. Activations, pooling, batch norm, up-sampling

# %%
import numpy as np

from minisvdd import nn, ops
from minisvdd.lecture import check, finish

rng = np.random.default_rng(40)

# %% [markdown]
# ## Exercise 1
#
# $y_{i,j} = \frac{1}{s^2} \sum_{a,b} x_{si+a,\,sj+b}$. Each $x_{u,v}$ occurs in one output, that of its window, with
# the factor $1/s^2$, so $\partial L / \partial x_{u,v} = G_{\lfloor u/s \rfloor, \lfloor v/s \rfloor} / s^2$: the
# gradient is spread evenly over the window. But for the factor, average pooling's forward is up-sampling's backward,
# and the other way round: the two are transposes of each other.


# %%
def average_pool(x, s=2):
    return ops.upsample_backward(x, (s, s)) / s**2


def average_pool_gradient(G, s=2):
    return ops.upsample_forward(G, (s, s)) / s**2


x, G = rng.normal(size=(2, 3, 6, 4)), rng.normal(size=(2, 3, 3, 2))
by_hand = x.reshape(2, 3, 3, 2, 2, 2).mean(axis=(3, 5))
check("average pooling is up-sampling's backward over 4", np.allclose(average_pool(x), by_hand))
dual = np.sum(average_pool(x) * G), np.sum(x * average_pool_gradient(G))
check("its backward is dual to it", np.isclose(*dual), f"{dual[0]:.6f} and {dual[1]:.6f}")

# %% [markdown]
# ## Exercise 2
#
# The bias of channel $k$ is added to all $m$ values of that channel, so its gradient is the sum of their gradients,
# $\sum_i \partial L / \partial x_i = r \big( \sum_i g_i - m\, \overline g - \overline{g \hat x} \sum_i \hat x_i \big)$.
# The first two terms cancel, and $\sum_i \hat x_i = 0$. The gradient is 0, as it must be: batch norm subtracts the bias
# again together with the mean.

# %%
network = nn.Sequential([nn.Conv2D(3, 3, padding="same", bias=True), nn.BatchNorm()])
network.build((2, 6, 6), rng)
network.astype(np.float64)
network.forward(rng.normal(size=(4, 2, 6, 6)), training=True)
network.backward(rng.normal(size=(4, 3, 6, 6)))
largest = np.abs(network.grads["0.bias"]).max()
beside = np.abs(network.grads["0.weight"]).max()
check("the bias has no gradient", largest < 1e-12 * beside, f"{largest:.0e}; the weights' is {beside:.1f}")

# %% [markdown]
# ## Exercise 3
#
# The leaky ReLU never decreases. Such a function preserves the order of numbers, so it does not matter whether the
# largest is sought before or after it is applied: $\max_i f(x_i) = f(\max_i x_i)$, to the last bit. After pooling there
# are four times fewer numbers to apply it to. It would be wrong for a function that falls somewhere, such as $|x|$ or a
# leaky ReLU of negative slope. (Backward, a window's gradient goes to the same winner either way.)

# %%
x = rng.normal(size=(2, 3, 6, 4))
for slope in (0.0, 0.1, 1.0):
    after = ops.maxpool_forward(ops.leaky_relu_forward(x, slope), (2, 2), (2, 2))[0]
    before = ops.leaky_relu_forward(ops.maxpool_forward(x, (2, 2), (2, 2))[0], slope)
    check(f"pooling and leaky ReLU of slope {slope} may change places", np.array_equal(after, before))
after = ops.maxpool_forward(np.abs(x), (2, 2), (2, 2))[0]
before = np.abs(ops.maxpool_forward(x, (2, 2), (2, 2))[0])
check("pooling and the absolute value may not", not np.array_equal(after, before))

# %% [markdown]
# ## Exercise 4
#
# The maxima are 5 and 2 above, 1 and 9 below. In two windows there is a tie. In reading order, the first 2 of the upper
# right window wins (it has three of them), and the first 1 of the lower left. So 1 goes to the 5 in the first row, 2 to
# the 2 beside it, 3 to the 1 in the third row, 4 to the 9.

# %%
image = np.array([[1, 5, 2, 2], [3, 4, 2, 0], [0, 1, 7, 8], [1, 0, 9, 6]], float)[None, None]
G = np.array([[1, 2], [3, 4]], float)[None, None]
y, winner = ops.maxpool_forward(image, (2, 2), (2, 2))
grad = ops.maxpool_backward(G, winner, image.shape, (2, 2), (2, 2))
check("the maxima", y.ravel().tolist() == [5, 2, 1, 9])
check("where G goes", grad[0, 0].tolist() == [[0, 1, 2, 0], [0, 0, 0, 0], [0, 3, 0, 0], [0, 0, 4, 0]])

# %% [markdown]
# ## Exercise 5
#
# $\mu = 4$, $v = 5$, $r = 1/\sqrt 5$ and $\hat x = (-3, -1, 1, 3)/\sqrt 5$. For $g = (1, 0, 0, 0)$ the means are
# $\overline g = \frac14$ and $\overline{g\,\hat x} = -\frac{3}{4\sqrt5}$, and $r\,(g_i - \overline g - \hat x_i\,
# \overline{g\,\hat x})$ gives $(0.3,\; -0.4,\; -0.1,\; 0.2)/\sqrt5$. The sum is 0 because $\hat x$ does not change if
# all four numbers are raised by the same amount.

# %%
batch, g = np.array([[1.0], [3], [5], [7]]), np.array([[1.0], [0], [0], [0]])
x_hat, scale, _, _ = ops.batchnorm_forward_batch(batch, 0.0)
grad = ops.batchnorm_backward(g, x_hat, scale)
check("the batch, normalised", np.allclose(x_hat.ravel(), np.array([-3, -1, 1, 3]) / np.sqrt(5)))
check(
    "its gradient", np.allclose(grad.ravel(), np.array([0.3, -0.4, -0.1, 0.2]) / np.sqrt(5)), f"{grad.ravel().round(4)}"
)

# %%
finish()
