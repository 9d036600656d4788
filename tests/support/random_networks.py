"""Random stacks of all layers against their PyTorch twins: every output, gradient and statistic, within rounding.

How far may two right answers be apart? A computed sum of n terms is the exact sum of terms with relative errors; with
errors of random sign these are about sqrt(n) u, where u is half the distance from 1 to the next number (Higham and
Mary 2019). No sum of a pass, forward or backward, is longer than the entries of its largest array. So the twin runs in
float64 again, several times, with every parameter, every output of a layer and every gradient that flows back
multiplied by 1 + 4 sqrt(n) u r, r uniform in [-1, 1]: what that moves an array by is what rounding can do to it, its
cancellations included. A gradient that is 0 in exact arithmetic (a bias in front of batch norm) gets a bound, too.

A batch within rounding of a kink gives itself away by a bound that is no longer small, and another takes its place.
"""

import math
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pytest

from minisvdd.experiments.torch_twin import twin_of
from minisvdd.nn.layers import (
    BatchNorm,
    Conv2D,
    ConvTranspose2D,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2D,
    ReLU,
    Reshape,
    Sigmoid,
    Tanh,
    Upsample,
)
from minisvdd.nn.networks import Sequential

MOST_ENTRIES = 1500  # of one sample, anywhere in the network
REPEATS = 4  # perturbed passes
SMALL = {
    "float32": 0.03,
    "float64": 1e-8,
}  # a bound, relative to the array or to the largest gradient, that says something


# Drawing


def draw_network(rng) -> tuple[tuple[int, ...], Sequential]:
    """(shape of a sample, layers that are not built): of images mostly, sometimes 1 x 1 or with one channel."""
    if rng.random() < 0.15:
        shape = (int(rng.integers(1, 12)),)
    else:
        size = (1, 1) if rng.random() < 0.12 else rng.integers(1, 10, size=2)
        shape = (int(rng.choice([1, 1, 2, 3, 4])), *map(int, size))
    layers, _ = _draw_layers(rng, shape, int(rng.integers(1, 8)), depth=0)
    return shape, Sequential(layers)


def _draw_layers(rng, shape, count, depth):
    """(layers, shape behind them). What does not fit the shape is drawn again."""
    layers = []
    while len(layers) < count:
        if depth < 2 and rng.random() < 0.15:
            inner, shape = _draw_layers(rng, shape, int(rng.integers(1, 5)), depth + 1)
            layers.append(Sequential(inner))
            continue
        for layer in _draw_some(rng, shape):
            try:
                after = layer.build(shape, rng)
            except ValueError:
                break
            if math.prod(after) > MOST_ENTRIES:
                break
            layers.append(layer)
            shape = after
    return layers, shape


def _draw_some(rng, shape):
    """One layer; now and then the four of a module that `minisvdd.nn.fusion` computes in one step."""
    if len(shape) == 3 and rng.random() < 0.2:
        window = 2 if rng.random() < 0.7 else _pair(rng, 1, 3)
        activation = LeakyReLU(0.1) if rng.random() < 0.7 else ReLU()
        kernel, stride, padding = _pair(rng, 1, 4), _pair(rng, 1, 2), _pair(rng, 0, 2)
        return [Conv2D(int(rng.integers(1, 5)), kernel, stride, padding), BatchNorm(), activation, MaxPool2D(window)]
    return [rng.choice(_FOR_ALL if len(shape) == 1 else [*_FOR_ALL, *_FOR_IMAGES, *_FOR_IMAGES])(rng, shape)]


def _pair(rng, low, high):
    return tuple(map(int, rng.integers(low, high + 1, size=2)))


def _coin(rng):
    return bool(rng.random() < 0.5)


def _linear(rng, shape):
    return Linear(int(rng.integers(1, 9)), bias=_coin(rng))


def _flatten_linear(rng, shape):
    return Sequential([Flatten(), _linear(rng, shape)])


def _reshape(rng, shape):
    """The same numbers as images of another shape, or as features."""
    rest = math.prod(shape)
    channels = int(rng.choice([n for n in range(1, rest + 1) if rest % n == 0]))
    rest //= channels
    rows = int(rng.choice([n for n in range(1, rest + 1) if rest % n == 0]))
    return Reshape((channels, rows, rest // rows)) if rng.random() < 0.8 else Flatten()


def _batch_norm(rng, shape):
    epsilon, momentum = rng.choice([1e-5, 1e-4, 1e-2]), rng.choice([0.1, 0.3])
    return BatchNorm(affine=_coin(rng), epsilon=epsilon, momentum=momentum)


def _conv(rng, shape):
    return Conv2D(int(rng.integers(1, 5)), _pair(rng, 1, 5), _pair(rng, 1, 3), _pair(rng, 0, 3), bias=_coin(rng))


def _conv_transpose(rng, shape):
    stride = _pair(rng, 1, 3)
    extra = tuple(int(rng.integers(0, s)) for s in stride)
    return ConvTranspose2D(int(rng.integers(1, 5)), _pair(rng, 1, 4), stride, _pair(rng, 0, 2), extra, bias=_coin(rng))


def _max_pool(rng, shape):
    kernel = _pair(rng, 1, 4)
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    return MaxPool2D(kernel, _pair(rng, 1, 4) if rng.random() < 0.7 else None, padding, ceil_mode=_coin(rng))


_FOR_ALL = [
    _batch_norm,
    lambda rng, shape: LeakyReLU(float(rng.choice([0.01, 0.1, 0.5]))),
    lambda rng, shape: ReLU(),
    lambda rng, shape: Sigmoid(),
    lambda rng, shape: Tanh(),
    _flatten_linear,
    _reshape,
]
_FOR_IMAGES = [_conv, _conv, _conv_transpose, _max_pool, lambda rng, shape: Upsample(_pair(rng, 1, 3))]


def draw_arrays(network, rng, dtype) -> dict[str, np.ndarray]:
    """Parameters and statistics of a built network, none of them 0 or 1, where an error could hide."""
    arrays = {name: (a + rng.normal(0, 0.3, a.shape)).astype(dtype) for name, a in network.params.items()}
    for name, buffer in network.buffers.items():
        variance = name.endswith("var")
        arrays[name] = (rng.uniform(0.5, 2, buffer.shape) if variance else rng.normal(size=buffer.shape)).astype(dtype)
    return arrays


def draw_images(rng, shape, dtype):
    """A batch in one of the orders in which callers have it: rows, columns or the batch last, backwards, with gaps."""
    x = rng.normal(size=shape).astype(dtype)
    order = int(rng.integers(5))
    if order == 1:
        x = np.asfortranarray(x)
    elif order == 2:
        x = np.ascontiguousarray(x[::-1, ..., ::-1])[::-1, ..., ::-1]
    elif order == 3:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    elif order == 4:
        x = np.repeat(x, 2, axis=-1)[..., ::2]
    return x


# One pass of either side


def our_pass(network, x, weights, mode) -> dict[str, np.ndarray]:
    """Every array that a pass leaves behind, by name; the loss is the sum of weights * output.

    mode: "training"; "frozen", the same with the running statistics as constants; or "evaluation", without backward.
    """
    if mode == "evaluation":
        return {"output": network.forward(x)}
    network.freeze_statistics(mode == "frozen")
    found = {"output": network.forward(x, training=True), "input": network.backward(weights)}
    network.freeze_statistics(False)
    found.update({f"gradient of {name}": array for name, array in network.grads.items()})
    found.update({f"statistics {name}": array.copy() for name, array in network.buffers.items()})
    return found


def torch_pass(module, x, weights, mode, noise=None) -> dict[str, np.ndarray]:
    """The same of a float64 twin, whose statistics move along unless there is `noise`, a function of a tensor."""
    import torch

    module.train(mode == "training")
    if noise:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(noise(parameter))
        for layer in module.modules():
            if not isinstance(layer, torch.nn.Sequential):
                layer.register_forward_hook(lambda layer, inputs, output: _noisy(layer, inputs[0], output, noise))
    module.zero_grad()
    x = _tensor(x).requires_grad_()
    output = module(_rounded(x, noise) if noise else x)
    found = {"output": output.detach().numpy()}
    if mode == "evaluation":
        return found
    output.backward(_tensor(weights))
    found["input"] = x.grad.numpy()
    found.update({f"gradient of {name}": p.grad.numpy().copy() for name, p in module.named_parameters()})
    counter = "num_batches_tracked"
    found.update({f"statistics {n}": b.numpy().copy() for n, b in module.named_buffers() if not n.endswith(counter)})
    return found


def _tensor(array):
    """In float64 and in torch's own order: it takes no negative strides."""
    import torch

    return torch.tensor(np.ascontiguousarray(array, np.float64))


def _rounded(x, noise):
    """x with noise on it, and noise on the gradient that comes back."""
    import torch

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return noise(x)

        @staticmethod
        def backward(ctx, grad):
            return noise(grad)

    return Rounded.apply(x)


def _noisy(layer, x, output, noise):
    """The layer's output, with noise, and its derivative from noisy numbers.

    Of sigmoid and tanh that is y (1 - y) and 1 - y^2, where little is left of a saturated y; of batch norm in training
    it is a sum of three terms, each with noise of its own.
    """
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm

    if isinstance(layer, nn.Sigmoid | nn.Tanh):
        y = noise(output).detach()
        derivative = y * (1 - y) if isinstance(layer, nn.Sigmoid) else 1 - y**2
        return _rounded(y + derivative * (x - x.detach()), noise)

    if isinstance(layer, _BatchNorm) and layer.training:
        axes = [0, *range(2, x.ndim)]
        centred = x - _rounded(x.mean(axes, keepdim=True), noise)
        variance = _rounded(centred, noise).square().mean(axes, keepdim=True)
        output = _rounded(centred, noise) * _rounded((variance + layer.eps).rsqrt(), noise)
        if layer.affine:
            weight, bias = (p.reshape(-1, *[1] * (x.ndim - 2)) for p in (layer.weight, layer.bias))
            output = _rounded(output, noise) * weight + bias
    return _rounded(output, noise)


# The comparison


@dataclass
class Verdict:
    """What came of one network: what its passes met, the largest difference as a share of its bound, what is wrong."""

    compared: int = 0
    refused: int = 0  # in training, one value per channel: by both
    replaced: int = 0  # batches within rounding of a kink
    undetermined: int = 0  # passes all of whose batches were: a batch norm of nothing but padding, say, yields 0
    worst: float = 0.0
    wrong: tuple[str, ...] = ()


def compare(seed: int, backend: str, dtype: str) -> Verdict:
    """The network that `seed` draws, in training, with frozen statistics and in evaluation."""
    rng = np.random.default_rng(seed)
    shape, network = draw_network(rng)
    network.build(shape, rng, dtype, backend)
    verdict = Verdict()
    for mode in ("training", "frozen", "evaluation"):
        for _ in range(8):
            if _compare_batch(network, mode, rng, dtype, verdict):
                break
            verdict.replaced += 1
        else:
            verdict.undetermined += 1
    return verdict


def _compare_batch(network, mode, rng, dtype, verdict):
    """Adds a batch to the verdict; False where it is within rounding of a kink."""
    arrays = draw_arrays(network, rng, dtype)
    network.load_arrays(arrays)
    twin = twin_of(network).double()
    N = int(rng.choice([1, 1, 2, 3, 5]))
    x, weights = draw_images(rng, (N, *network.input_shape), dtype), draw_images(rng, (N, *network.output_shape), dtype)
    before = x.copy(), weights.copy()
    reach = 4 * math.sqrt(N * _largest(network)) * np.finfo(dtype).eps / 2
    copies = [deepcopy(twin) for _ in range(REPEATS)]
    try:
        exact = torch_pass(twin, x, weights, mode)
    except ValueError as error:  # one value per channel has no variance
        _check_refusal(network, x, weights, mode, error)
        verdict.refused += 1
        return True
    moved = [torch_pass(copy, x, weights, mode, _noise(rng, reach)) for copy in copies]
    bounds = {n: 4 * max(_distance(m[n], a) for m in moved) + reach * np.abs(a).max() for n, a in exact.items()}
    largest = max((np.abs(a).max() for n, a in exact.items() if n.startswith("gradient")), default=0.0)
    if any(bounds[n] > SMALL[dtype] * max(np.abs(a).max(), largest) for n, a in exact.items()):
        return False
    ours = our_pass(network, x, weights, mode)
    assert ours.keys() == exact.keys()
    wrong = [n for n, a in exact.items() if not _distance(ours[n], a) <= bounds[n]]
    wrong += [f"dtype of {n}" for n, array in ours.items() if array.dtype != dtype]
    wrong += ["input changed"] * (not (np.array_equal(before[0], x) and np.array_equal(before[1], weights)))
    wrong += [f"{n} changed" for n, array in network.params.items() if not np.array_equal(array, arrays[n])]
    verdict.wrong += tuple(f"{mode}: {what}" for what in wrong)
    shares = [_distance(ours[n], a) / bounds[n] for n, a in exact.items() if bounds[n]]
    verdict.worst = max([verdict.worst, *shares])
    verdict.compared += 1
    return True


def _largest(network):
    """Entries of the largest array of one sample."""
    sizes = [layer.activations for layer in network.flat_layers()]
    return max([math.prod(network.input_shape), *sizes])


def _noise(rng, reach):
    import torch

    return lambda x: x * (1 + reach * torch.tensor(rng.uniform(-1, 1, tuple(x.shape))))


def _distance(found, exact):
    return np.inf if found.shape != exact.shape else np.abs(found.astype(np.float64) - exact).max()


def _check_refusal(network, x, weights, mode, error):
    """Where torch refuses a batch we do too."""
    assert "more than 1 value per channel" in str(error)
    with pytest.raises(ValueError, match="BatchNorm cannot train on a batch of one value per channel"):
        our_pass(network, x, weights, mode)
