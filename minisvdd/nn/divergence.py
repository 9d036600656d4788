"""Where a training went wrong: the first array of a step that is no longer finite, by name.

A loss of NaN says little: within one step it reaches every weight. Normal steps check nothing but the loss, which costs
nothing; `EpochStart` keeps the state in which an epoch began (a copy of a few hundred kB), and once an epoch ends badly
its steps are taken again with `watched` parts, layer by layer, until one of them produces the first value that is NaN
or infinite (`minisvdd.nn.steps`).
"""

from collections.abc import Iterator, Mapping

import numpy as np

from .layer import Array, Layer
from .losses import Loss
from .networks import Sequential
from .optim import Adam, Stepping

Named = list[tuple[str, Layer]]  # layers in order, by what errors call them


class NotFiniteError(ArithmeticError):
    """An array of a training step has values that are NaN or infinite; the message says which."""


class EpochStart:
    """Parameters, statistics and optimiser state at the beginning of an epoch (NumPy backend)."""

    def __init__(self, network: Sequential, optimizer: Adam) -> None:
        self.network, self.optimizer, self.steps = network, optimizer, optimizer.step_count
        self.arrays = {name: array.copy() for name, array in network.arrays.items()}
        moments = (optimizer.first_moment, optimizer.second_moment)
        self.moments = [{name: array.copy() for name, array in group.items()} for group in moments]

    def restore(self) -> None:
        """Bring network and optimiser back to that state."""
        for name, array in self.network.arrays.items():
            array[...] = self.arrays[name]
        for group, saved in zip((self.optimizer.first_moment, self.optimizer.second_moment), self.moments):
            for name, array in group.items():
                array[...] = saved[name]
        self.optimizer.step_count = self.steps


def watched(network: Sequential, loss: Loss, optimizer: Stepping) -> tuple[Sequential, Loss, Stepping]:
    """The same network, loss and optimiser for a training step, which raises NotFiniteError at the first such array.

    The network is then in the state right after (or within) that step.
    """
    stand_in = _WatchedNetwork(network)
    return stand_in, _watched_loss(loss), _WatchedOptimizer(optimizer, stand_in.named)


class _WatchedNetwork(Sequential):
    """Forward and backward through the layers one by one, with a look at every array."""

    def __init__(self, network: Sequential) -> None:
        super().__init__(network.layers)
        self.backend, self.named = network.backend, list(_named_layers(network))

    def forward(self, x: Array, training: bool = False) -> Array:
        _check(x, "the input of the network")
        for name, layer in self.named:
            x = layer.forward(x, training)
            _check(x, f"the output of {name}")
        return x

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        for name, layer in reversed(self.named):
            grad_output = layer.backward(grad_output)
            _check_all(layer.grads, f"{name}: the gradient of")
            _check(grad_output, f"the gradient {name} passes")
        return grad_output


class _WatchedOptimizer:
    def __init__(self, optimizer: Stepping, named: Named) -> None:
        self.optimizer, self.named = optimizer, named

    def step(self, pull: Array = None) -> None:
        self.optimizer.step(pull)
        for name, layer in self.named:
            _check_all(layer.params, f"{name}, after the step:")
            _check_all(layer.buffers, name)


def _watched_loss(loss: Loss) -> Loss:
    def call(outputs: Array, targets: Array) -> tuple[Array, Array, Array | None]:
        value, grad_output, per_sample = loss(outputs, targets)
        _check(np.asarray(value), f"the loss, of outputs up to {float(np.abs(outputs).max()):.3g},")
        _check(grad_output, "the gradient of the loss")
        return value, grad_output, per_sample

    return call


def all_finite(network: Sequential) -> bool:
    """Whether all parameters and running statistics are finite."""
    return all(np.isfinite(array).all() for array in network.arrays.values())


def _named_layers(network: Sequential, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """(name, layer) in order, nested Sequentials opened; the number in the name is that of `network.params`."""
    for index, layer in enumerate(network.layers):
        if isinstance(layer, Sequential):
            yield from _named_layers(layer, f"{prefix}{index}.")
        else:
            yield f"layer {prefix}{index} ({type(layer).__name__})", layer


def _check_all(arrays: Mapping[str, Array], name: str) -> None:
    for key, array in arrays.items():
        _check(array, f"{name} {key!r}")


def _check(array: Array, name: str) -> None:
    count = int(np.count_nonzero(~np.isfinite(array)))
    if count:
        raise NotFiniteError(f"{name} has {count} of {array.size} values that are NaN or infinite")
