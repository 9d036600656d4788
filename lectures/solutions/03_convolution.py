# %% [markdown]
# # Solutions to 3. Convolution

# %%
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minisvdd import ops
from minisvdd.lecture import check, finish

rng = np.random.default_rng(30)

# %% [markdown]
# ## Exercise 1
#
# The pixel $\bar x_{n,c,u,v}$ meets $w_{k,c,a,b}$ where $si + a = u$ and $sj + b = v$. Such an $i$ exists only when
# $u - a$ is a multiple of $s$. Let $G^s$ be $G$ with $s - 1$ zeros between its entries, $G^s_{n,k,si,sj} =
# G_{n,k,i,j}$. Then the zeros take care of the "only when":
#
# $$ \frac{\partial L}{\partial \bar x_{n,c,u,v}} = \sum_{k,a,b} G^s_{n,k,\,u-a,\,v-b}\; w_{k,c,a,b} , $$
#
# the formula for stride 1. One thing is left: when the window does not come out even, the last rows and columns of
# $\bar x$ are under no window. Their gradient is 0, and $G^s$ must be padded with more zeros at the end to make it so.


# %%
def correlate(x, weight):
    """Stride 1, no padding."""
    windows = sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    return np.einsum("ncijab,kcab->nkij", windows, weight)


def backward_input_strided(G, weight, input_size, stride, padding):
    N, K = G.shape[:2]
    k = weight.shape[2]
    rows, columns = (n + 2 * padding for n in input_size)
    spread = np.zeros((N, K, rows + k - 1, columns + k - 1))
    last = k - 1 + stride * G.shape[2] - stride + 1, k - 1 + stride * G.shape[3] - stride + 1
    spread[:, :, k - 1 : last[0] : stride, k - 1 : last[1] : stride] = G
    grad = correlate(spread, weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
    return grad[:, :, padding : padding + input_size[0], padding : padding + input_size[1]]


for size in ((9, 8), (8, 11)):
    x, w = rng.normal(size=(2, 3, *size)), rng.normal(size=(4, 3, 3, 3))
    y = ops.conv2d_forward(x, w, stride=(2, 2), padding=(1, 1))
    G = rng.normal(size=y.shape)
    ours = backward_input_strided(G, w, size, 2, 1)
    library = ops.conv2d_backward_input(G, w, size, stride=(2, 2), padding=(1, 1))
    error = np.abs(ours - library).max()
    check(f"stride 2 on images {size[0]} x {size[1]}", error < 1e-12, f"largest difference {error:.0e}")
    check("and it is dual to the forward", np.isclose(np.sum(y * G), np.sum(x * ours), rtol=1e-10))

# %% [markdown]
# ## Exercise 2
#
# With $k_h = k_w = 1$ only $a = b = 0$ is left, and $y_{n,k,i,j} = \sum_c w_{k,c}\, x_{n,c,i,j}$: a linear layer which
# maps the $C$ numbers of each pixel to $K$, for every pixel alike. Its gradients are those of lecture 2 with the pixels
# as samples.

# %%
x, w = rng.normal(size=(2, 3, 5, 4)), rng.normal(size=(6, 3))
y = np.einsum("kc,ncij->nkij", w, x)
G = rng.normal(size=y.shape)
grad_weight = np.einsum("nkij,ncij->kc", G, x)
grad_input = np.einsum("nkij,kc->ncij", G, w)

filters = w[:, :, None, None]
check("forward", np.allclose(y, ops.conv2d_forward(x, filters)))
check("weight gradient", np.allclose(grad_weight, ops.conv2d_backward_weight(G, x, (1, 1))[:, :, 0, 0]))
check("input gradient", np.allclose(grad_input, ops.conv2d_backward_input(G, filters, (5, 4))))

# %% [markdown]
# ## Exercise 3
#
# Every output takes $C k_h k_w = 25$ multiplications, and there are $200 \cdot 8 \cdot 28 \cdot 28$ of them: 31
# million. $P$ holds $25$ numbers for each of the $200 \cdot 28 \cdot 28$ positions, 25 times as many as the images
# have, 15.7 MB in single precision. That is too much for the fast memory near the processor; so the library builds $P$
# in blocks of rows, and lecture 14 shows what that gains.

# %%
outputs = 200 * 8 * 28 * 28
images, P = np.zeros((200, 1, 28, 28), np.float32), np.zeros((25, 200 * 28 * 28), np.float32)
check("31 million multiplications", outputs * 25 == 31_360_000)
check("P is 25 times as large as the images", P.nbytes == 25 * images.nbytes, f"{P.nbytes / 1e6:.1f} MB")

# %% [markdown]
# ## Exercise 4
#
# $\lfloor (H + 2p - k_h)/s \rfloor + 1$, and the remainder of the division is left over:
#
# | $H$ | $k_h$ | $s$ | $p$ | rows | left over |
# |---|---|---|---|---|---|
# | 28 | 5 | 1 | 2 | 28 | 0 |
# | 32 | 5 | 2 | 2 | 16 | 1 |
# | 9 | 4 | 3 | 0 | 2 | 2 |
# | 10 | 3 | 2 | 0 | 4 | 1 |

# %%
for (H, k, s, p), rows, rest in (
    ((28, 5, 1, 2), 28, 0),
    ((32, 5, 2, 2), 16, 1),
    ((9, 4, 3, 0), 2, 2),
    ((10, 3, 2, 0), 4, 1),
):
    size = ops.conv2d_forward(np.zeros((1, 1, H, H)), np.zeros((1, 1, k, k)), stride=(s, s), padding=(p, p)).shape[2]
    check(
        f"{H} rows, filter {k}, stride {s}, padding {p}", size == rows and (H + 2 * p - k) % s == rest, f"{size} rows"
    )

# %% [markdown]
# ## Exercise 5
#
# $y = (1 - 3,\; 2 - 4) = (-2, -2)$. The weight gradient slides $G$ over the image: $(1 + 2,\; 2 + 3,\; 3 + 4) = (3, 5,
# 7)$. The input gradient stamps the filter at both places and adds: $(1, 0, -1, 0) + (0, 1, 0, -1) = (1, 1, -1, -1)$.

# %%
row, taps, G = (np.array(values, float).reshape(1, 1, 1, -1) for values in ((1, 2, 3, 4), (1, 0, -1), (1, 1)))
check("output", ops.conv2d_forward(row, taps).ravel().tolist() == [-2, -2])
check("gradient of the filter", ops.conv2d_backward_weight(G, row, (1, 3)).ravel().tolist() == [3, 5, 7])
check("gradient of the image", ops.conv2d_backward_input(G, taps, (1, 4)).ravel().tolist() == [1, 1, -1, -1])

# %%
finish()
