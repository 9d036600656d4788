"""What a layer is: two methods that compute, and three dictionaries of arrays.

The contract of every layer:

* `build(input_shape, rng)` infers shapes and draws the parameters; `input_shape` is one sample's: (C, H, W) or (D,);
* `forward(x, training=False)` returns y and leaves x alone; it keeps what backward needs only when `training`, and
  changes nothing in the layer otherwise: any number of threads may evaluate one network;
* `backward(grad_output)` takes dL/dy of the last forward(training=True), writes `grads` (never adds), returns dL/dx;
  `need_input=False` or `need_params=False` say which of the two nobody asks for;
* `params`, `grads`, `buffers` are dicts of arrays under the same names that PyTorch uses.
"""

import inspect
import math
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeGuard, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from ..backends import NUMPY, Backend, get_backend
from ..backends.types import Shape
from ..validation import check_number

if TYPE_CHECKING:
    from ..backends import KernelBackend
    from ..backends.captured import Evaluation

Array = Any  # a NumPy array; on "cuda" a CuPy one
Size = int | tuple[int, int]  # one number for both directions, or (rows, columns)
AnyLayer = TypeVar("AnyLayer", bound="Layer")


class Trainable(Protocol):
    """What an optimiser asks of a network: parameters, gradients under the same names, and where both lie."""

    @property
    def backend(self) -> Backend: ...
    @property
    def params(self) -> dict[str, Array]: ...
    @property
    def grads(self) -> dict[str, Array]: ...


class Network(Protocol):
    """What a training step asks of a network: parameters and both passes, as in `Layer`."""

    @property
    def params(self) -> dict[str, Array]: ...
    @property
    def grads(self) -> dict[str, Array]: ...
    def forward(self, x: Array, training: bool = False) -> Array: ...
    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array: ...


class Layer:
    """Base class. A layer of your own overrides `_build`, `forward` and `backward`.

    Attributes
    ----------
    params, grads, buffers: dicts of arrays: trained, dL/d(params), and saved but not trained.
    has_bias_like: the layer can put a trainable constant into its output (paper, Proposition 2).
    is_bounded: its output has a finite, non-zero supremum or infimum (Proposition 3).
    output_range: what its outputs never leave, (low, high), or None where they can be anything; "input" for a layer
        that only moves values about.
    activations: how many numbers one sample is in its output, 0 before it is built.
    evaluation: captured passes of a network on a device (`minisvdd.nn.batches`); None before there are any.
    is_analytic: its forward works on complex numbers as it does on real ones, without a modulus (`np.abs`,
        `x.var()`), a conjugate or a comparison: gradient checks then take the complex step, too.
    """

    has_bias_like = False
    is_bounded = False
    output_range: tuple[float, float] | Literal["input"] | None = None
    is_analytic = False
    evaluation: "Evaluation | None" = None

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.grad_slots: dict[str, Array] = {}  # where kernels write gradients; none: into new arrays
        self.buffers: dict[str, Array] = {}
        self.backend: Backend = NUMPY
        self.is_built = False
        self.activations = 0
        self._saved: tuple[Any] | None = None
        self._pattern: Any = None

    def build(
        self,
        input_shape: Shape,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        backend: str | Backend = NUMPY,
    ) -> Shape:
        """Draw the parameters for samples of `input_shape`; returns the shape of one output sample.

        Raises ValueError when the layer cannot work on this shape.
        """
        self.backend = get_backend(backend)
        self.grads, self.grad_slots = {}, {}  # of an earlier build
        self.forget()
        output_shape = self._build(tuple(input_shape), rng, dtype)
        for arrays in (self.params, self.buffers):
            arrays.update({name: self.backend.asarray(array) for name, array in arrays.items()})
        self.is_built = True
        self.activations = math.prod(output_shape)
        return output_shape

    def _build(self, input_shape: Shape, rng: np.random.Generator | None, dtype: DTypeLike) -> Shape:
        return input_shape

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y = f(x); with `training`, keep what `backward` needs."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        """Write dL/d(params) into `grads` if `need_params`; return dL/dx, or None unless `need_input`.

        RuntimeError without a fresh forward(training=True).
        """
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    @property
    def arrays(self) -> dict[str, Array]:
        """Parameters and buffers, by their names."""
        return {**self.params, **self.buffers}

    def astype(self: AnyLayer, dtype: DTypeLike) -> AnyLayer:
        """Cast parameters and buffers (float64 for gradient checks); returns the layer itself."""
        for arrays in (self.params, self.buffers):
            for name, array in arrays.items():
                arrays[name] = array.astype(dtype)
        self.grads.clear()
        self.grad_slots.clear()
        return self

    def twin(self: AnyLayer) -> AnyLayer:
        """A copy with these very parameters and statistics, for passes that must leave this layer alone."""
        return deepcopy(self, {id(array): array for array in self.arrays.values()})

    def freeze_statistics(self, frozen: bool = True) -> None:
        """Use running statistics as constants, in forward(training=True) too (batch norm); no effect elsewhere."""

    def kink_pattern(self) -> Any:
        """Which linear piece every entry took in a forward(training=True), until `backward`; None for smooth layers."""
        return self._pattern

    def forget(self) -> None:
        """Drop what a training pass left behind: `backward` is a RuntimeError then."""
        self._saved = self._pattern = None

    def __deepcopy__(self: AnyLayer, memo: dict[int, Any]) -> AnyLayer:
        memo[id(self)] = copied = type(self).__new__(type(self))
        vars(copied).update(deepcopy(vars(self), memo))  # on a device it stays there, where a pickle cannot
        return copied

    def __getstate__(self) -> dict[str, Any]:
        """For a pickle: arrays as NumPy's, wherever they lie; without what a training pass left behind."""
        state = {**vars(self), "grad_slots": {}, "_saved": None, "_pattern": None}
        for kind in ("params", "grads", "buffers"):
            state[kind] = {name: self.backend.to_numpy(array) for name, array in state[kind].items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for kind in ("params", "grads", "buffers"):
            arrays = state[kind]
            arrays.update({name: self.backend.asarray(array) for name, array in arrays.items()})

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as plain JSON values: what a saved model needs to build the layer again."""
        names = inspect.signature(type(self).__init__).parameters
        values = {name: getattr(self, name) for name in names if name != "self"}
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"

    def _out(self, name: str) -> dict[str, Array]:
        """The argument `out` of a launch that computes this gradient, where the gradient has a fixed place."""
        return {"out": self.grad_slots[name]} if name in self.grad_slots else {}

    def _keep(self, value: Any, training: bool, pattern: Any = None) -> None:
        """What `backward` needs of a pass, and its `kink_pattern`; an evaluation writes nothing."""
        if training:
            self._saved, self._pattern = (value,), pattern

    def _take(self) -> Any:
        """What forward kept; handed out once, so that backward never works on a stale pass.

        Nothing of the pass is kept then, the kinks neither: of a captured step all of it lies in memory that goes with
        the graph.
        """
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}: backward before forward(training=True)")
        (value,), self._saved, self._pattern = self._saved, None, None
        return value


def has_kernels(backend: Backend) -> TypeGuard["KernelBackend"]:
    """Whether operations launch kernels there: arrays lie on a device, and what was started goes on by itself."""
    return not backend.runs_numpy


def as_pair(value: Size, name: str, minimum: int) -> tuple[int, int]:
    """3 -> (3, 3) and (3, 5) -> (3, 5); ValueError names the argument when it is neither or below `minimum`."""
    pair = (value, value) if isinstance(value, int | np.integer) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int | np.integer) and v >= minimum for v in pair):
        raise ValueError(f"{name}={value!r}: expected an integer >= {minimum} or a pair of them")
    return int(pair[0]), int(pair[1])


def as_count(value: int, name: str) -> int:
    """A plain int >= 1, also from a NumPy integer; ValueError names the argument otherwise."""
    check_number(value, name, 1, integer=True)
    return int(value)


def image_shape(input_shape: Shape, name: str) -> tuple[int, int, int]:
    """The shape (C, H, W) of a sample; ValueError names the layer that cannot work on another."""
    if len(input_shape) != 3:
        raise ValueError(f"{name} expects images (C, H, W), got samples of shape {input_shape}")
    C, H, W = input_shape
    return C, H, W
