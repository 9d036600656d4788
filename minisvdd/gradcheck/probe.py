"""A layer seen as a function of each of its arrays, and the properties of forward and backward that no number shows."""

import copy
import inspect
from collections.abc import Mapping

import numpy as np

from ..backends import NUMPY
from ..nn.layers import Layer
from .report import ContractCheck
from .returned import dtype_check, gradient_form, one_array

_KINDS = ("params", "grads", "buffers")


def copy_as(layer, dtype):
    """A deep copy of the layer whose parameters, gradients and buffers have another dtype.

    The copies are planted in deepcopy's memo, so that every reference to such an array inside the layer, under
    whatever name, leads to the same new array.
    """
    arrays = [array for kind in _KINDS for array in getattr(layer, kind, {}).values() if hasattr(array, "astype")]
    return copy.deepcopy(layer, {id(array): array.astype(dtype) for array in arrays})


def check_dictionaries(layer) -> None:
    """TypeError unless params, grads and buffers, where there are any, are dicts, of arrays that can be written to.

    Gradients need not be: those of scalar parameters are often numbers, and None where there was no backward yet.
    """
    for kind in _KINDS:
        arrays = getattr(layer, kind, {})
        if not isinstance(arrays, Mapping):
            raise TypeError(f"{type(layer).__name__}.{kind} is a {type(arrays).__name__}: expected a dict of arrays")
        for name, array in arrays.items():
            if kind != "grads" and (isinstance(array, np.generic) or not hasattr(array, "astype")):
                raise TypeError(f"{kind}[{name!r}] is a {type(array).__name__}: expected an array")


class Probe:
    """A private copy of a layer at one input.

    Attributes: `x`, `output` (of forward(training=True) at x) and `params`, all NumPy arrays in `dtype`.
    frozen: call `freeze_statistics()` first (evaluation mode).
    """

    def __init__(self, layer, x: np.ndarray, frozen: bool = False, dtype=np.float64):
        self.layer = copy_as(layer, dtype)
        self.backend = getattr(layer, "backend", NUMPY)
        self.is_ours = isinstance(layer, Layer)
        self.knows_kinks = hasattr(layer, "kink_pattern")
        self._takes_training = "training" in inspect.signature(layer.forward).parameters
        if frozen:
            self.layer.freeze_statistics()
        self.x = x.astype(dtype)
        self.params = {name: self._host(p).copy() for name, p in getattr(self.layer, "params", {}).items()}
        self._buffers = {name: self._host(b).copy() for name, b in getattr(self.layer, "buffers", {}).items()}
        _set_to_zero(getattr(self.layer, "grads", {}))
        self.output = self._forward(self.x)
        self.is_smooth = self.knows_kinks and not _has_kinks(self.layer.kink_pattern())

    def array(self, name: str) -> np.ndarray:
        """The value of "input" or of a parameter."""
        return self.x if name == "input" else self.params[name]

    def function(self, name: str):
        """v -> (output, kink pattern) with the array of that name replaced by v and all else as it was."""
        return self._input_function if name == "input" else lambda value: self._with_param(name, value)

    def gradients(self, grad_output: np.ndarray, x: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """One forward and one backward pass, at `x` or the probe's own input: copies of all gradients by name."""
        self._forward(self.x if x is None else x)
        return self._backward(grad_output)

    def equals(self, other: "Probe", grad_output: np.ndarray) -> bool:
        """Whether both have, bit for bit, the same output and gradients."""
        if not np.array_equal(self.output, other.output):
            return False
        ours, theirs = self.gradients(grad_output), other.gradients(grad_output)
        return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)

    def check_contract(self, grad_output: np.ndarray) -> list[ContractCheck]:
        """The layer contract, apart from the gradients' values."""
        x, g = self.x.copy(), grad_output.copy()
        again = self._forward(x, copy=False)
        first = self._backward(g, copy=False)
        grad_untouched = np.array_equal(g, grad_output)
        second = self.gradients(grad_output)
        refused, how = self._second_backward(grad_output)
        missing = [name for name in self.params if name not in first]
        checks = [
            ContractCheck("forward leaves x alone", np.array_equal(x, self.x)),
            ContractCheck("forward gives the same output twice", np.array_equal(again, self.output), "is it random?"),
            dtype_check("the output", self.output, self.x.dtype),
            ContractCheck("backward leaves grad_output alone", grad_untouched),
            ContractCheck("every parameter has a gradient", not missing, f"none for {', '.join(missing)}"),
            ContractCheck("a second backward without forward raises RuntimeError", refused, how, self.is_ours),
        ]
        for name, grad in first.items():
            checks += gradient_form(name, grad, self.array(name))
            writes = np.allclose(grad, second[name], rtol=1e-9, atol=0)
            checks.append(ContractCheck(f"backward writes the gradient of {name}", writes, _repeat(grad, second[name])))
        return checks

    def check_evaluation(self) -> ContractCheck:
        """forward(training=False) must be the function whose gradients evaluation mode checks."""
        y = self._host(self.layer.forward(self.backend.asarray(self.x), training=False))
        same = np.allclose(y, self.output, rtol=1e-12, atol=1e-12)
        return ContractCheck("forward(training=False) equals the output with frozen statistics", same)

    def is_trainable(self, grad_output: np.ndarray) -> bool:
        """Whether there are parameters, and for each a finite gradient of its shape."""
        grads = self.gradients(grad_output)
        fits = (
            n in grads and grads[n].shape == p.shape and np.isfinite(grads[n]).all() for n, p in self.params.items()
        )
        return bool(self.params) and all(fits)

    def train_step(self, targets: np.ndarray) -> None:
        """Write the gradients of 1/N ||output - targets||^2 into the layer, whose running statistics may move."""
        y = self._run(self.x)
        self.layer.backward(self.backend.asarray(2 / len(y) * (y - targets)))

    def complex(self) -> "Probe":
        """The same probe in complex arithmetic."""
        return Probe(self.layer, self.x, dtype=np.complex128)

    def _host(self, array):
        return self.backend.to_numpy(array)

    def _run(self, x, copy=True):
        """Output at x, or at a copy of it, so that a layer which changes its input spoils nothing but its own check."""
        x = self.backend.asarray(x.copy() if copy else x)
        y = self.layer.forward(x, training=True) if self._takes_training else self.layer.forward(x)
        return self._host(one_array(y, "forward"))

    def _forward(self, x, copy=True):
        """`_run`, with the running statistics put back as they were."""
        y = self._run(x, copy)
        for name, buffer in getattr(self.layer, "buffers", {}).items():
            buffer[...] = self.backend.asarray(self._buffers[name])
        return y

    def _backward(self, grad_output, copy=True):
        grad_output = self.backend.asarray(grad_output.copy() if copy else grad_output)
        grad_input = self._host(one_array(self.layer.backward(grad_output), "backward"))
        grads = getattr(self.layer, "grads", {})
        found = {name: self._host(grads[name]).copy() for name in self.params if grads.get(name) is not None}
        return {"input": grad_input.copy(), **found}

    def _pattern(self):
        return self.layer.kink_pattern() if self.knows_kinks else None

    def _input_function(self, x):
        return self._forward(x), self._pattern()

    def _with_param(self, name, value):
        param = self.layer.params[name]
        param[...] = self.backend.asarray(value)
        result = self._input_function(self.x)
        param[...] = self.backend.asarray(self.params[name])
        return result

    def _second_backward(self, grad_output):
        """(whether a second backward raises RuntimeError, what happened otherwise)."""
        try:
            self._backward(grad_output)
        except RuntimeError:
            return True, ""
        except Exception as error:
            return False, f"it raises {type(error).__name__}"
        return False, "it returns, perhaps from a stale pass"


def _set_to_zero(grads):
    for name, grad in list(grads.items()):
        if isinstance(grad, np.generic | float | int):
            grads[name] = 0.0
        elif grad is not None:
            grad[...] = 0


def _repeat(first, second):
    if first.any() and np.allclose(second, 2 * first):
        return "added twice: the second pass adds to the first (accumulated)"
    return "the second pass gives another gradient"


def _has_kinks(pattern):
    return any(map(_has_kinks, pattern)) if isinstance(pattern, tuple | list) else pattern is not None
