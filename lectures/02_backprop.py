# %% [markdown]
# # 2. Backpropagation by hand
#
# A network is a chain of simple maps, and training it means to know how its loss $L$ answers to a small change of
# every single weight. Backpropagation computes all these answers in one sweep from the loss to the input. Here we
# derive the sweep, write it for the linear layer, and learn how to convince ourselves that a gradient is right.
#
# *Needs: no data. Minutes: 0.1 quick, 0.1 full.*

# %%
import numpy as np
from lecture import check, finish

from minisvdd.backends import NUMPY
from minisvdd.ops.linear import linear_backward_input, linear_backward_weight, linear_forward

rng = np.random.default_rng(2)

# %% [markdown]
# ## The linear layer
#
# A batch of $N$ samples with $D$ features each is a matrix $x$ with one sample per row. A linear layer with $K$ outputs
# has one row of weights per output, $W \in \mathbb{R}^{K \times D}$, and computes
#
# $$ y_{nk} = \sum_{d=1}^{D} W_{kd}\, x_{nd}, \qquad\text{or}\qquad y = x W^\top . $$
#
# Let $G_{nk} = \partial L / \partial y_{nk}$ be what the rest of the network says about our output. How does $L$
# depend on one weight $W_{kd}$? The weight occurs in $y_{nk}$ for every sample $n$, and there with the factor $x_{nd}$.
# The chain rule adds up all the ways by which it reaches the loss:
#
# $$ \frac{\partial L}{\partial W_{kd}} = \sum_{n} \frac{\partial L}{\partial y_{nk}} \frac{\partial y_{nk}}{\partial
# W_{kd}} = \sum_{n} G_{nk}\, x_{nd}, \qquad\text{or}\qquad \frac{\partial L}{\partial W} = G^\top x . $$
#
# An input $x_{nd}$ occurs in the outputs of its own sample only, but in all $K$ of them:
#
# $$ \frac{\partial L}{\partial x_{nd}} = \sum_{k} G_{nk}\, W_{kd}, \qquad\text{or}\qquad
# \frac{\partial L}{\partial x} = G\, W . $$
#
# The last line of each derivation is the code:


# %%
def forward(x, weight):
    return x @ weight.T


def backward_weight(grad_output, x):
    return grad_output.T @ x


def backward_input(grad_output, weight):
    return grad_output @ weight


x, weight, grad_output = rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), rng.normal(size=(5, 3))

check(
    "the three lines are the library's linear layer",
    np.allclose(forward(x, weight), linear_forward(NUMPY, x, weight))
    and np.allclose(backward_weight(grad_output, x), linear_backward_weight(NUMPY, grad_output, x))
    and np.allclose(backward_input(grad_output, weight), linear_backward_input(NUMPY, grad_output, weight)),
)

# %% [markdown]
# ## Exercises
#
# 1. Add a bias, $y = x W^\top + b$. What is $\partial L / \partial b$? Derive it, write it, and check it against finite
#    differences.

# %%
finish()
