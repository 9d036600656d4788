"""The PyTorch oracle: torch twins of our networks, and one pass (forward, loss, backward) of either side.

Two kinds of twin, which catch different mistakes:

* `minisvdd.experiments.torch_twin` translates a built network layer by layer: wrong arithmetic shows, a wrong
architecture not; * `paper_network(name, kind)`, here, writes the paper's networks down once more, in torch: a wrong
architecture shows.

Both carry the names of our arrays ("0.3.weight"), because `Sequential` and `torch.nn.Sequential` count alike.
torch is imported inside the functions, so that this file can be imported where torch is missing.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from minisvdd.backends import NUMPY
from minisvdd.ops.pooling import maxpool_forward, pad_forward, pool_margins


@dataclass
class Pass:
    """What one forward and backward pass leaves behind, as NumPy arrays by name."""

    output: np.ndarray
    value: float
    gradients: dict[str, np.ndarray]  # of every parameter, and of the "input"
    statistics: dict[str, np.ndarray]
    pieces: list[np.ndarray]  # which linear piece every entry took, for each layer with kinks


def numpy_pass(network, x, loss, training=True) -> Pass:
    """One pass of our network. loss: outputs -> (value, gradient, per_sample).

    Evaluation mode (training=False) goes through frozen statistics, since backward needs a forward(training=True).
    """
    network.freeze_statistics(not training)
    output = network.forward(x, training=True)
    pieces = list(_flat(network.kink_pattern()))
    value, grad_output, _ = loss(output)
    grad_input = network.backward(grad_output)
    network.freeze_statistics(False)
    return Pass(
        output,
        float(value),
        {**network.grads, "input": grad_input},
        dict(network.buffers),
        pieces,
    )


def _flat(pattern):
    """The arrays of a pattern, which networks and fused modules nest."""
    if isinstance(pattern, tuple):
        for part in pattern:
            yield from _flat(part)
    elif pattern is not None:
        yield pattern


def torch_pass(module, x, loss, training=True) -> Pass:
    """One pass of a torch module. loss: tensor of outputs -> scalar tensor."""
    import torch

    module.train(training)
    module.zero_grad()
    x = torch.tensor(x, requires_grad=True)
    with _recorded_pieces(module) as pieces:
        output = module(x)
    value = loss(output)
    value.backward()
    gradients = {name: parameter.grad.numpy().copy() for name, parameter in module.named_parameters()}
    gradients["input"] = x.grad.numpy()
    return Pass(output.detach().numpy(), value.item(), gradients, statistics(module), pieces)


@contextmanager
def _recorded_pieces(module):
    """Collects, while `module` runs, what `kink_pattern` returns for our layers.

    Ours pool before the activation in front of the pool, and then see only the signs of the winners.
    """
    from torch import nn

    def winners(pool, x):
        size, stride, padding = (
            tuple(map(int, np.broadcast_to(value, 2))) for value in (pool.kernel_size, pool.stride, pool.padding)
        )
        x = pad_forward(x, pool_margins(x.shape[2:], size, stride, padding, pool.ceil_mode))
        return maxpool_forward.on(NUMPY)(x, size, stride)

    def record(layer, inputs, output):
        x = inputs[0].detach().numpy()
        if isinstance(layer, nn.MaxPool2d):
            largest, winner = winners(layer, x)
            if id(layer) in behind_an_activation:  # leaky ReLU keeps signs
                pieces[-1:] = winner, largest > 0
            else:
                pieces.append(winner)
        else:
            pieces.append(x > 0)

    pieces = []
    kinked = [m for m in module.modules() if isinstance(m, (nn.LeakyReLU, nn.ReLU, nn.MaxPool2d))]
    neighbours = [pair for m in module.modules() if isinstance(m, nn.Sequential) for pair in pairwise(m)]
    behind_an_activation = {id(b) for a, b in neighbours if isinstance(a, (nn.LeakyReLU, nn.ReLU))}
    hooks = [m.register_forward_hook(record) for m in kinked]
    yield pieces
    for hook in hooks:
        hook.remove()


def statistics(module) -> dict[str, np.ndarray]:
    """Running means and variances; torch's counter of batches has no counterpart in ours."""
    return {n: b.numpy().copy() for n, b in module.named_buffers() if not n.endswith("num_batches_tracked")}


def deviation(found, expected) -> float:
    """Largest difference, relative to the largest magnitude of the *array* (not entry by entry).

    An entry of a gradient is a sum with cancellation: its rounding error has the size of the summands, not of the
    entry. Infinite when the shapes differ or the difference is not a number.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return np.inf
    difference = np.abs(found.astype(np.float64) - expected).max()
    scale = np.abs(expected).max()
    return np.inf if np.isnan(difference) else float(difference / (scale or 1))


def deviations(found: Pass, expected: Pass) -> dict[str, float]:
    """`deviation` of everything in a pass, by name. The names themselves must agree.

    Gradients are left out when the two passes took different linear pieces: a value within rounding of a kink (leaky
    ReLU at 0, a near tie in max-pooling) may fall on either side, and then both gradients are right and differ.
    """
    assert list(found.gradients) == list(expected.gradients)
    assert list(found.statistics) == list(expected.statistics)
    pairs = {"output": (found.output, expected.output), "value": (found.value, expected.value)}
    pairs.update({f"statistics/{n}": (found.statistics[n], array) for n, array in expected.statistics.items()})
    if all(map(np.array_equal, found.pieces, expected.pieces)):
        pairs.update({f"gradients/{n}": (found.gradients[n], array) for n, array in expected.gradients.items()})
    return {name: deviation(*pair) for name, pair in pairs.items()}


def paper_network(name: str, kind: str):
    """The paper's network of that name in plain torch, float64; kind: "encoder" or "autoencoder".

    Written from the paper's description alone, shapes in the margin: on purpose nothing is shared with
    `minisvdd.nn.networks`.
    """
    from torch import nn

    def conv(channels_in, channels_out, padding=2):
        return nn.Conv2d(channels_in, channels_out, 5, padding=padding, bias=False)

    def norm(channels):
        return [nn.BatchNorm2d(channels, eps=1e-4, affine=False), nn.LeakyReLU(0.1)]

    def down(channels_in, channels_out):
        return [conv(channels_in, channels_out), *norm(channels_out), nn.MaxPool2d(2)]

    def dense(inputs, outputs):
        return [nn.Flatten(), nn.Linear(inputs, outputs, bias=False)]

    def start(channels):
        return [nn.Unflatten(1, (channels, 4, 4)), nn.LeakyReLU(0.1)]

    up = nn.Upsample(scale_factor=2)

    if name == "mnist_lenet":
        encoder = [
            *down(1, 8),  # 28 -> 14
            *down(8, 4),  # 14 -> 7
            *dense(4 * 7 * 7, 32),
        ]
        decoder = [
            *start(2),  # 32 = 2 x 4 x 4
            *[up, conv(2, 4), *norm(4)],  # 4 -> 8
            *[up, conv(4, 8, padding=1), *norm(8)],  # 8 -> 16 -> 14
            *[up, conv(8, 1), nn.Sigmoid()],  # 14 -> 28
        ]
    elif name == "cifar10_lenet":
        encoder = [
            *down(3, 32),  # 32 -> 16
            *down(32, 64),  # 16 -> 8
            *down(64, 128),  # 8 -> 4
            *dense(128 * 4 * 4, 128),
        ]
        decoder = [
            *start(8),  # 128 = 8 x 4 x 4
            *[conv(8, 128), *norm(128)],  # 4
            *[up, conv(128, 64), *norm(64)],  # 4 -> 8
            *[up, conv(64, 32), *norm(32)],  # 8 -> 16
            *[up, conv(32, 3), nn.Sigmoid()],  # 16 -> 32
        ]
    elif name == "gtsrb_lenet":
        encoder = [
            *down(3, 16),  # 32 -> 16
            *down(16, 32),  # 16 -> 8
            *down(32, 64),  # 8 -> 4
            *dense(64 * 4 * 4, 32),
        ]
        decoder = [
            *start(2),  # 32 = 2 x 4 x 4
            *[conv(2, 64), *norm(64)],  # 4
            *[up, conv(64, 32), *norm(32)],  # 4 -> 8
            *[up, conv(32, 16), *norm(16)],  # 8 -> 16
            *[up, conv(16, 3), nn.Sigmoid()],  # 16 -> 32
        ]
    else:
        raise ValueError(f"name={name!r}: expected mnist_lenet, cifar10_lenet or gtsrb_lenet")

    if kind == "encoder":
        return nn.Sequential(*encoder).double()
    return nn.Sequential(nn.Sequential(*encoder), nn.Sequential(*decoder)).double()
