"""All parameters of a network in one array, and all gradients in another, so that one launch can update them."""

from collections.abc import Iterator
from typing import Protocol, TypeGuard

import numpy as np

from ..backends.types import Shape
from ..ops.device_log import copy
from .layer import Array, Layer, Trainable, has_kernels


class Layered(Trainable, Protocol):
    """A network that says which layers hold its parameters."""

    def flat_layers(self) -> list[Layer]: ...


class FlatParameters:
    """Lays the parameters of a network one behind the other in device memory.

    The layers' `params` become views into `params` here, with the values that they had, and their backward passes write
    into views of `grads`. Arrays with weight decay (weight matrices and filters) come first.

    params, grads: (n,) arrays.   decayed: how many of the n numbers have weight decay.   shapes: by parameter name.
    """

    def __init__(self, network: Trainable) -> None:
        backend = network.backend
        if not (has_kernels(backend) and can_flatten(network)):
            raise ValueError("only the layers of a network on a kernel backend can share one array of parameters")
        self.backend = backend
        slots = list(_slots(network))
        slots.sort(key=lambda slot: slot[3].ndim <= 1)  # stable: the order of the network within each kind
        self.shapes: dict[str, Shape] = {name: param.shape for name, _, _, param in slots}
        self.decayed = sum(param.size for *_, param in slots if param.ndim > 1)
        size, dtype = sum(param.size for *_, param in slots), slots[0][3].dtype
        self.params, self.grads = (self.backend.zeros(size, dtype) for _ in range(2))
        self._slots: list[tuple[Layer, str, Array]] = []
        for (_, layer, key, old), param, grad in zip(
            slots, *(self.views(a).values() for a in (self.params, self.grads))
        ):
            param[...] = old
            layer.params[key] = param
            layer.grad_slots[key] = grad
            self._slots.append((layer, key, grad))

    def collect_grads(self) -> None:
        """Copy into `grads` what a layer's backward pass wrote elsewhere, and let the layer see it there.

        RuntimeError for a missing gradient.
        """
        for layer, key, grad in self._slots:
            if key not in layer.grads:
                raise RuntimeError(f"no gradient for {key!r} of {layer!r}: call backward before step")
            if layer.grads[key] is not grad:
                copy(self.backend, layer.grads[key], grad)
                layer.grads[key] = grad

    def views(self, flat: Array) -> dict[str, Array]:
        """Views of an array (n,), by parameter name, in the parameters' shapes."""
        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        starts = np.cumsum([0, *sizes])
        return {
            name: flat[start : start + size].reshape(shape)
            for (name, shape), start, size in zip(self.shapes.items(), starts, sizes)
        }


def can_flatten(network: Trainable) -> TypeGuard[Layered]:
    """Whether the network says which layers hold its parameters, and there are any."""
    return hasattr(network, "flat_layers") and bool(network.params)


def _slots(network: Layered) -> Iterator[tuple[str, Layer, str, Array]]:
    """(name, layer, name within the layer, array) of every parameter; names as in `network.params`."""
    names = iter(network.params)
    for layer in network.flat_layers():
        for key, param in layer.params.items():
            yield next(names), layer, key, param
