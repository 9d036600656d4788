# %% [markdown]
# # Solutions to 7. Collapse
#
# *Needs: no data. Minutes: 0.1 quick, 0.1 full.*

# %%
from types import SimpleNamespace

import numpy as np

from minisvdd import load_dataset, nn, ops, svdd
from minisvdd.lecture import check, finish

X = svdd.make_preprocessing("gcn-l1").fit_transform(load_dataset("digits").one_class(3).train).astype(np.float64)


def perceptron(activation=nn.LeakyReLU, output_bias=False, dtype=np.float64):
    network = nn.Sequential([nn.Flatten(), nn.Linear(32), activation(), nn.Linear(2, bias=output_bias)])
    network.build(X.shape[1:], np.random.default_rng(0), dtype=dtype)
    return network


def loss_and_gradients(network, center):
    value, grad_output, _ = ops.one_class_loss(network.forward(X, training=True), center)
    network.backward(grad_output)
    return value, network.grads


# %% [markdown]
# ## Exercise 1
#
# At a stationary point $\partial J/\partial W^l = 0$, so the left side of
# $\langle W^l, \partial J/\partial W^l\rangle = \frac2n\sum_i\langle\phi_i - c,\phi_i\rangle$ is 0, and the right side
# gives
#
# $$ \frac1n\sum_i\|\phi_i\|^2 = \frac1n\sum_i\langle c, \phi_i\rangle . $$
#
# The zero network is stationary as soon as there are two layers: $\partial J/\partial W^2$ contains the hidden outputs,
# which are 0, and $\partial J/\partial W^1$ contains $W^2$, which is 0. It is no minimum if the network can do better:
# take weights whose outputs $\phi_i$ have $\sum_i\langle c,\phi_i\rangle > 0$, and walk from zero toward them with
# *both* layers, $\sqrt t\,W^1$ and $\sqrt t\,W^2$, $t \ge 0$. The outputs are $t\,\phi_i$, so that
#
# $$ J(t) = \frac1n\sum_i\| t\phi_i - c\|^2
#    = \| c\|^2 - \frac{2t}n\sum_i\langle c,\phi_i\rangle + \frac{t^2}n\sum_i\|\phi_i\|^2 , $$
#
# which falls below $\| c\|^2$, the loss of the zero network, for small $t$. With $-W^2$ in the place of $W^2$ the
# outputs are $-t\,\phi_i$, and $J$ rises. Down in one direction and up in another: the zero network is a saddle. The
# best $t$ is where the derivative is 0, and there the identity above holds again.

# %%
network = perceptron()
center = network.forward(X).mean(axis=0)
plan = nn.Plan(epochs=300, milestones=(200,), learning_rate=1e-2, batch_size=len(X))
loss = nn.OneClass(center)
nn.Training(network, loss, X, plan, np.random.default_rng(1)).run()
phi = network.forward(X)
lengths, projections = (phi**2).sum(axis=1).mean(), (phi @ center).mean()
check(
    "after training the mean squared output is the mean projection on c",
    np.isclose(lengths, projections, rtol=1e-3),
    f"{lengths:.6f} and {projections:.6f}",
)

zero = perceptron()
for weight in zero.params.values():
    weight[...] = 0
at_zero, grads = loss_and_gradients(zero, center)
check("the zero network is stationary", all(not grad.any() for grad in grads.values()))


def loss_along(t, sign=1.0):
    """J of the network with sqrt(t) times the first layer as drawn and sign sqrt(t) times the last."""
    network = perceptron()
    network.params["1.weight"][...] *= np.sqrt(t)
    network.params["3.weight"][...] *= sign * np.sqrt(t)
    return loss_and_gradients(network, center)[0]


down, up = ([loss_along(t, sign) for t in (0.0, 0.01, 0.1)] for sign in (1.0, -1.0))
check("both begin at the zero network", np.isclose(down[0], at_zero) and np.isclose(at_zero, center @ center))
check("toward the drawn weights the loss falls", down[0] > down[1] > down[2], f"{np.round(down, 4)}")
check("with the last layer's sign changed it rises: a saddle", up[0] < up[1] < up[2], f"{np.round(up, 4)}")

# %% [markdown]
# ## Exercise 2
#
# With an output bias $b$ the distance is $\|\phi(x) + b - c\|^2 = \|\phi(x) - (c - b)\|^2$: the network
# without bias, and the centre $c' = c - b$, which moves. The gradients agree up to sign, $\partial J/\partial b =
# -\partial J/\partial c'$; Adam treats both signs alike, so $c' = c - b$ holds after every step. The bias has to start
# at 0, and there must be no decay on it, as there is none on $c$.

# %%
with_bias, without = perceptron(output_bias=True), perceptron()
fixed, moving = center.copy(), center.copy()
free = SimpleNamespace(params={"center": moving}, grads={}, backend=without.backend)
optimizers = [nn.Adam(with_bias, 1e-2, 0.1), nn.Adam(without, 1e-2, 0.1), nn.Adam(free, 1e-2)]
for _ in range(100):
    loss_and_gradients(with_bias, fixed)
    _, grad_output, _ = ops.one_class_loss(without.forward(X, training=True), moving)
    without.backward(grad_output)
    free.grads["center"] = -grad_output.sum(axis=0)
    for optimizer in optimizers:
        optimizer.step()
moved = fixed - with_bias.params["3.bias"]
check("after 100 steps, c - b is the trained centre", np.allclose(moved, moving, atol=1e-8), f"{moved} and {moving}")
check(
    "and both networks have the same weights",
    all(np.allclose(without.params[name], with_bias.params[name], atol=1e-8) for name in without.params),
)

# %% [markdown]
# ## Exercise 3
#
# If all hidden ReLUs are dead, $h = 0$ and $\phi(x) = W^2 h = 0$ for every image: the output is constant, but it is 0,
# not $c$. The loss is $\| c\|^2$, far from optimal. Its gradient is 0 all the same: the derivative of a dead
# ReLU is 0, which stops the signal to $W^1$, and $\partial J/\partial W^2$ contains $h = 0$. So training cannot leave
# this state, but nothing in the objective draws it there either. Proposition 3 excludes ReLU because its infimum, 0, is
# no use as a bias: $W^2\cdot 0$ is not $c$, whatever $W^2$. Leaky ReLU has no dead units, its derivative is at least
# its slope.

# %%
dead, leaky = perceptron(nn.ReLU), perceptron()
for network in (dead, leaky):
    network.params["1.weight"][...] = -np.abs(network.params["1.weight"])  # images in [0, 1]: all pre-activations <= 0
value, grads = loss_and_gradients(dead, center)
check(
    "dead ReLUs: the output is 0, the loss ||c||^2",
    not nn.outputs(dead, X).any() and np.isclose(value, center @ center),
)
check("and every gradient is 0", all(not grad.any() for grad in grads.values()))
_, grads = loss_and_gradients(leaky, center)
check(
    "leaky ReLU with the same weights still has a gradient", all(np.linalg.norm(grad) > 1e-3 for grad in grads.values())
)

# %% [markdown]
# ## Exercise 4
#
# With leaky ReLU and $L$ layers (a number here, not a loss), all weights multiplied by $t$ give outputs multiplied by
# $t^L$. So for weights of total length $\|W\| = t$, $\langle c, \bar\phi\rangle \le A\,t^L$ with some constant $A$ (the
# largest value at length 1; a continuous function on a sphere has one), and
#
# $$ J(W) \ge \|c\|^2 - 2A\,t^L + \frac\lambda2 t^2 = \|c\|^2 + t^2\Big(\frac\lambda2 - 2A\,t^{L-2}\Big) . $$
#
# For $L \ge 3$ the bracket is positive for all small $t > 0$, whatever $\lambda > 0$ is: zero is a strict local
# minimum. For $L = 2$ the power $t^{L-2}$ is 1, and the sign depends on $\lambda$: the threshold of the lecture.
# Whether training ends there is decided by the start.


# %%
def three_layers(start):
    """Contrast that is left of three layers, lambda = 0.1, from `start` times the usual weights."""
    network = nn.Sequential([nn.Flatten(), nn.Linear(32), nn.LeakyReLU(), nn.Linear(32), nn.LeakyReLU(), nn.Linear(2)])
    rng = np.random.default_rng(0)
    network.build(X.shape[1:], rng)
    center = svdd.move_from_zero(svdd.mean_output(network, X), 0.1)
    before = nn.outputs(network, X).std(axis=0)
    for weight in network.params.values():
        weight *= start
    plan = nn.Plan(epochs=400, milestones=(250, 350), learning_rate=1e-2, weight_decay=0.1, batch_size=32)
    nn.Training(network, nn.OneClass(center), X.astype(np.float32), plan, rng).run()
    return np.linalg.norm(nn.outputs(network, X).std(axis=0)) / np.linalg.norm(before)


usual, small = three_layers(1.0), three_layers(0.1)
check("from the usual start, three layers stay healthy", usual > 0.03, f"contrast {usual:.3f}")
check("from a tenth of it the same decay collapses them", small < 1e-6, f"contrast {small:.1e}")

# %%
finish()
