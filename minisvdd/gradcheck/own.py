"""Functions of a reader's own against the formulas whose place they take."""

import inspect
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from .. import nn, ops
from ..backends import Backend
from ..errors import one_line
from .check import check_gradients
from .diagnosis import diagnose
from .drawn import IN_PLACE, drawn_arguments
from .report import GradcheckReport
from .returned import same_bits

_DRAWS = 5
_TOLERANCE = 1e-9
# Which cases of `minisvdd.gradcheck.library` call an operation, by the beginning of its name; Adam has no gradient.
_USERS = {
    "conv2d": ("Conv2D", "ConvTranspose2D"),
    "linear": ("Linear",),
    "bias": ("Linear", "Conv2D"),
    "batch": ("BatchNorm",),
    "inverse_deviation": ("BatchNorm",),
    "affine": ("BatchNorm",),
    "running": ("BatchNorm",),
    "leaky_relu": ("LeakyReLU", "ReLU"),
    "is_positive": ("LeakyReLU", "ReLU"),
    "sigmoid": ("Sigmoid",),
    "tanh": ("Tanh",),
    "maxpool": ("MaxPool2D",),
    "pad": ("MaxPool2D",),
    "upsample": ("Upsample",),
    "one_class": ("OneClass",),
    "soft_boundary": ("SoftBoundary",),
    "squared_distances": ("OneClass", "SoftBoundary"),
    "mean_squared": ("MeanSquaredError",),
    "absolute": ("AbsoluteError",),
    "softmax": ("SoftmaxCrossEntropy",),
    "binary": ("BinaryCrossEntropy",),
}


@dataclass(frozen=True)
class ReadingCheck:
    """Whether a function gives the numbers of its formula; if not, `detail` says where and what it looks like."""

    name: str
    passed: bool
    detail: str = ""

    written: bool = True

    def __str__(self) -> str:
        if not self.written:
            return f"{self.name}: not written yet: the library's formula stands in"
        return f"{self.name}: {'equals its formula' if self.passed else 'FAILED: ' + self.detail}"


def check_readings(readings: Mapping[str, Callable]) -> list[ReadingCheck]:
    """Compare each function with the formula of its name, in float64, on several drawn shapes."""
    return [_check(name, function) for name, function in readings.items()]


def cases_using(names: list[str]) -> list[str]:
    """The gradient checks of the library that call one of these operations."""
    users = [user for name in names for start, found in _USERS.items() if name.startswith(start) for user in found]
    return list(dict.fromkeys(users))


def check_network(backend: Backend) -> GradcheckReport:
    """The gradients of a whole network on this backend: a convolution, and behind it one of everything else.

    Layers that are right by themselves must also fit together: what the forward pass keeps, the backward pass needs.
    """
    layers = [nn.Conv2D(3, 3, padding=1), nn.BatchNorm(), nn.LeakyReLU(0.1), nn.MaxPool2D(2)]
    layers += [nn.Conv2D(2, (2, 1)), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(3)]
    network, rng = nn.Sequential(layers), np.random.default_rng(3)
    network.build((2, 6, 4), rng, np.float64, backend)
    return check_gradients(network, rng.standard_normal((4, 2, 6, 4)), max_entries=20, train_steps=5)


def _check(name, function):
    formula = ops.all_operations()[name]
    for draw in range(_DRAWS):
        rng = np.random.default_rng([draw, len(name)])
        arguments = drawn_arguments(name, rng)
        mine, theirs = (deepcopy(arguments) for _ in range(2))
        expected = formula(*theirs)
        try:
            found = function(*mine)
        except Exception as error:
            return ReadingCheck(name, False, one_line(error))
        if not getattr(function, "written", True):
            return ReadingCheck(name, True, written=False)
        changed = [place for place in range(len(arguments)) if not _same(mine[place], theirs[place])]
        if names := [_argument(formula, place) for place in changed if place not in IN_PLACE.get(name, ())]:
            return ReadingCheck(name, False, f"changed its argument {' and '.join(names)}")
        pairs = [*zip(_several(found), _several(expected))]
        pairs += [(mine[place], theirs[place]) for place in IN_PLACE.get(name, ())]
        if len(_several(found)) != len(_several(expected)):
            detail = f"returns {len(_several(found))} values, expected {len(_several(expected))}"
            return ReadingCheck(name, False, detail)
        for index, (got, right) in enumerate(pairs):
            if problem := _difference(np.asarray(got), np.asarray(right), len(arguments[0]), rng):
                which = f"result {index}" if len(pairs) > 1 else "the result"
                return ReadingCheck(name, False, f"{which} {problem}")
    return ReadingCheck(name, True)


def _same(mine, theirs):
    """Bit for bit, as far as they are arrays, or tuples of them."""
    if isinstance(mine, tuple):
        return all(map(_same, mine, theirs))
    return not isinstance(mine, np.ndarray) or same_bits(mine, theirs)


def _argument(formula, place):
    return list(inspect.signature(formula).parameters)[place]


def _several(value):
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _difference(got, right, batch, rng):
    """What is wrong with an array, in words; None if nothing is."""
    if got.shape != right.shape:
        return f"has shape {got.shape}, expected {right.shape}"
    if got.dtype.kind not in "fiub":
        return f"has dtype {got.dtype}, expected {right.dtype}"
    size = float(np.abs(right).max(initial=1.0, where=np.isfinite(right)))  # a border of a max-pooling is infinite
    wrong = ~np.isclose(got, right, rtol=_TOLERANCE, atol=_TOLERANCE * size)
    if not wrong.any():
        return None
    place = tuple(map(int, np.argwhere(wrong)[0]))
    text = (
        f"at {list(place)}: expected {right[place]:.6g}, got {got[place]:.6g} ({wrong.sum()} of {wrong.size} entries)"
    )
    if right.dtype.kind != "f" or right.size < 2 or not np.isfinite(right).all():
        return text
    form = diagnose(got, lambda index: right.ravel()[index], {"the batch size N": batch}, rng)
    return f"{text}; {form}"
