"""Where a training went wrong: the first array of a step that is no longer finite, by name.

A loss of NaN says little: within one step it reaches every weight. Normal steps check nothing but the loss, which costs
nothing; `EpochStart` keeps the state in which an epoch began (a copy of a few hundred kB), and once an epoch ends badly
its steps are taken again, layer by layer, until one of them produces the first value that is NaN or infinite.
"""

import numpy as np

from ..backends.threads import one_blas_thread
from .networks import Sequential


class EpochStart:
    """Parameters, statistics and optimiser state at the beginning of an epoch (NumPy backend)."""

    def __init__(self, network, optimizer):
        self.network, self.optimizer, self.steps = network, optimizer, optimizer.step_count
        self.arrays = {name: array.copy() for name, array in {**network.params, **network.buffers}.items()}
        moments = (optimizer.first_moment, optimizer.second_moment)
        self.moments = [{name: array.copy() for name, array in group.items()} for group in moments]

    def restore(self) -> None:
        """Bring network and optimiser back to that state."""
        for name, array in {**self.network.params, **self.network.buffers}.items():
            array[...] = self.arrays[name]
        for group, saved in zip((self.optimizer.first_moment, self.optimizer.second_moment), self.moments):
            for name, array in group.items():
                array[...] = saved[name]
        self.optimizer.step_count = self.steps

    def diagnose(self, loss, X: np.ndarray, batches, targets=None) -> str:
        """Take the epoch's steps again; says in which batch, layer and array the first non-finite value appears.

        Afterwards the network is in the state right after (or within) that step.
        """
        self.restore()
        with one_blas_thread(), np.errstate(all="ignore"):
            for number, batch in enumerate(batches, start=1):
                found = self._step(loss, X[batch], None if targets is None else targets[batch])
                if found:
                    return f"batch {number} of {len(batches)}: {found}"
        return "layer by layer, the same steps stay finite: the values are at the edge of what float32 can hold"

    def _step(self, loss, x, wanted):
        """One training step; the name of the first array that is not finite, or None."""
        inputs, layers = x, list(_named_layers(self.network))
        found = _bad(x, "the input of the network")
        for name, layer in layers:
            if found is None:
                x = layer.forward(x, training=True)
                found = _bad(x, f"the output of {name}")
        if found:
            return found
        value, grad, *_ = loss(x, inputs if wanted is None else wanted)
        largest = float(np.abs(x).max())
        found = _bad(np.asarray(value), f"the loss, of outputs up to {largest:.3g},") or _bad(
            grad, "the gradient of the loss"
        )
        for name, layer in reversed(layers):
            if found is None:
                grad = layer.backward(grad)
                found = _first_bad(layer.grads, f"{name}: the gradient of") or _bad(grad, f"the gradient {name} passes")
        if found:
            return found
        self.optimizer.step()
        for name, layer in layers:
            found = found or _first_bad(layer.params, f"{name}, after the step:") or _first_bad(layer.buffers, name)
        return found


def all_finite(network) -> bool:
    """Whether all parameters and running statistics are finite."""
    return all(np.isfinite(array).all() for array in (*network.params.values(), *network.buffers.values()))


def _named_layers(network, prefix=""):
    """(name, layer) in order, nested Sequentials opened; the number in the name is that of `network.params`."""
    for index, layer in enumerate(network.layers):
        if isinstance(layer, Sequential):
            yield from _named_layers(layer, f"{prefix}{index}.")
        else:
            yield f"layer {prefix}{index} ({type(layer).__name__})", layer


def _first_bad(arrays, name):
    return next((found for key, array in arrays.items() if (found := _bad(array, f"{name} {key!r}"))), None)


def _bad(array, name):
    count = int(np.count_nonzero(~np.isfinite(array)))
    return f"{name} has {count} of {array.size} values that are NaN or infinite" if count else None
