"""Network, loss and optimiser for a training loop that is graded: they stay with the grader, who sees every call.

The submission's loop gets stand-ins (`wire.Remote`); what it asks for is computed here, with the library's layers, and
noted. So the loop can be judged step by step, and a student's machine needs no solution of the other assignments.
"""

from dataclasses import dataclass, field

import numpy as np

from ...nn.layers import LeakyReLU, Linear
from ...nn.networks import Sequential
from ...nn.optim import Adam
from .sandbox import remote

_MOST_CALLS = 20000
_MOST_ROWS, _MOST_BYTES = 10_000, 1 << 28  # of a batch; of all that is noted


@dataclass
class Log:
    """What the loop did: (name, details) in order."""

    events: list = field(default_factory=list)
    bytes: int = 0

    def note(self, name: str, **details) -> None:
        """Append one event; raises RuntimeError for a loop that never ends, or sends more than the grader keeps."""
        self.bytes += sum(getattr(value, "nbytes", 0) for value in details.values())
        if len(self.events) >= _MOST_CALLS or self.bytes > _MOST_BYTES:
            raise RuntimeError("too many calls")
        self.events.append((name, details))

    def names(self) -> list[str]:
        """The names of all events."""
        return [name for name, _ in self.events]

    def of(self, name: str) -> list[dict]:
        """Details of the events of that name."""
        return [details for event, details in self.events if event == name]


class RecordedNetwork:
    """A small encoder without biases."""

    methods = ("forward", "backward")

    def __init__(self, log: Log, features: int, rng, dtype=np.float64):
        self.log, self.dtype = log, dtype
        self.network = Sequential([Linear(16), LeakyReLU(0.1), Linear(4)])
        self.network.build((features,), rng, dtype=dtype)

    def forward(self, x, training=False):
        """The outputs for a batch."""
        x = _batch(x, self.network.input_shape[0])
        y = np.ascontiguousarray(self.network.forward(x.astype(self.dtype), training=bool(training)))
        self.log.note("forward" if training else "evaluate", x=x, y=y)
        return y

    def backward(self, grad_output, need_input=True, need_params=True):
        """The gradients of a batch's loss, for the parameters."""
        grad = _batch(grad_output, self.network.output_shape[0])
        self.log.note("backward", grad_output=np.array(grad_output))
        self.network.backward(grad, need_input=False)

    def outputs(self, X):
        """phi(X) for the grader itself, which is not noted."""
        return self.network.forward(X.astype(self.dtype))


class RecordedOptimizer:
    """Adam on the recorded network."""

    methods = ("step",)

    def __init__(self, log: Log, network: RecordedNetwork, learning_rate=0.01):
        self.log, self.network = log, network
        self.adam = Adam(network.network, learning_rate)

    def step(self):
        """Change the weights by the last gradients."""
        self.log.note("step")
        if self.network.network.grads:  # a loop that never calls backward is judged by the log
            self.adam.step()


class RecordedLoss:
    """One-class loss to a fixed centre, for `train_epoch`.  results: 3, or 2 for no distances."""

    methods = ("__call__",)

    def __init__(self, log: Log, center: np.ndarray, results: int = 3):
        self.log, self.center, self.results = log, center, results

    def __call__(self, outputs, inputs):
        difference = _batch(outputs, len(self.center)) - self.center
        distances, grad = (difference**2).sum(axis=1), 2 / len(difference) * difference
        value = float(distances.mean())
        self.log.note("loss", x=np.array(inputs), y=np.array(outputs), value=value, grad=grad)
        return (value, grad, distances)[: self.results]


def as_arguments(*targets) -> tuple[list, dict]:
    """What to send for these objects, and the table that answers for them."""
    pairs = [remote(target, key, target.methods) for key, target in enumerate(targets)]
    return [argument for argument, _ in pairs], {key: entry for _, table in pairs for key, entry in table.items()}


def _batch(x, features):
    x = np.asarray(x)
    if x.dtype.kind not in "biuf" or x.ndim != 2 or x.shape[1] != features or not 1 <= len(x) <= _MOST_ROWS:
        raise ValueError(f"got an array of shape {x.shape}: expected (N, {features}) with N in 1 ... {_MOST_ROWS}")
    return x.astype(np.float64)
