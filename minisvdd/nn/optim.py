"""Optimisers and the learning-rate schedule. The update rules are in `minisvdd.ops.adam`."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .. import ops
from ..ops.device_log import StepCount, StepLog, begin_step
from ..validation import check_number
from .flat import FlatParameters, can_flatten
from .layer import Array, Trainable


class Stepping(Protocol):
    """What a training step asks of an optimiser."""

    def step(self, pull: Array = None) -> None: ...


class OptimizerState(Protocol):
    """What a training asks of the optimiser behind its steps: its rate, and what a checkpoint must hold of it."""

    learning_rate: float
    step_count: int

    @property
    def first_moment(self) -> dict[str, Array]: ...
    @property
    def second_moment(self) -> dict[str, Array]: ...


class Optimizer:
    """Steps all parameters of a network by its gradients.

    network: anything with `params` and `grads`, dicts with the same keys (a layer, a Sequential).
    weight_decay: lambda of the objective's lambda/2 sum ||W||^2. It applies to weight matrices and filters only, as in
        eq. (3) and (4); biases and the affine parameters of batch norm are no part of W there.
    """

    def __init__(self, network: Trainable, learning_rate: float, weight_decay: float) -> None:
        check_number(learning_rate, "learning_rate", 0, low_open=True)
        check_number(weight_decay, "weight_decay", 0)
        self.network, self.learning_rate, self.weight_decay = network, float(learning_rate), float(weight_decay)
        self.backend = network.backend

    def step(self, pull: Array = None) -> None:
        """Change every parameter in place, using the gradients of the last backward pass.

        pull: what that pass began with, the loss's gradient for the outputs; None: it is not 0.
        """
        grads, decay = self.network.grads, self._decay(pull)
        for name, param in self.network.params.items():
            if name not in grads:
                raise RuntimeError(f"no gradient for {name!r}: call backward before step")
            self._update(name, param, grads[name], decay if param.ndim > 1 else 0.0)

    def _decay(self, pull: Array) -> float:
        """The weight decay of this step."""
        return self.weight_decay

    def _update(self, name: str, param: Array, grad: Array, weight_decay: float) -> None:
        raise NotImplementedError


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015) with L2 regularisation in the gradient; defaults are the authors' and the paper's.

    Adam divides a gradient by its own size. Beside a loss that pulls, lambda W = 1e-6 W is a whisper; where the loss
    pulls at nothing (soft-boundary, no sample of the batch outside the sphere), it is all there is, and however small
    lambda is, a weight goes a full step towards 0, as long as lambda |W| is far above epsilon (half a step if equal):

        g = lambda W at every step   =>   m_hat / sqrt(v_hat) = sign(W),   W <- W - learning_rate sign(W).

    So weight decay rests in steps in which the loss pulls at nothing: g = grad + lambda W [pull != 0]. Moments go on.

    flat: update all parameters in one launch; they then share one array (`minisvdd.nn.flat`). None: on kernel backends,
        where the network permits it. False: one array at a time, the plain form.
    """

    def __init__(
        self,
        network: Trainable,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        flat: bool | None = None,
    ) -> None:
        super().__init__(network, learning_rate, weight_decay)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        if flat is None:
            flat = not self.backend.runs_numpy and can_flatten(network)
        self._flat = _FlatAdam(self) if flat else None
        if self._flat:
            self.first_moment, self.second_moment = self._flat.moments_by_name()
        else:
            self._steps = 0
            self.first_moment, self.second_moment = (
                {name: self.backend.asarray(np.zeros(p.shape, p.dtype)) for name, p in network.params.items()}
                for _ in range(2)
            )

    def step(self, pull: Array = None) -> None:
        if self._flat:
            self._flat.step(pull)
        else:
            self._steps += 1
            super().step(pull)

    def _decay(self, pull: Array) -> float:
        return self.weight_decay if pull is None or self.backend.to_numpy(pull).any() else 0.0

    @property
    def step_count(self) -> int:
        """Steps done so far. The flat form counts on the device: reading waits for it."""
        return self._flat.step_count if self._flat else self._steps

    @step_count.setter
    def step_count(self, steps: int) -> None:
        if self._flat:
            self.backend.write(self._flat.count.done, steps)
        else:
            self._steps = steps

    @property
    def device_state(self) -> "_FlatAdam | None":
        """The flat form itself, which keeps `count` and `learning_rate` on the device; None for the plain form."""
        return self._flat

    def _update(self, name: str, param: Array, grad: Array, weight_decay: float) -> None:
        ops.adam_update.on(self.backend)(
            param,
            grad,
            self.first_moment[name],
            self.second_moment[name],
            self._steps,
            self.learning_rate,
            self.beta1,
            self.beta2,
            self.epsilon,
            weight_decay,
        )


class _FlatAdam:
    """Adam for all parameters in one launch. What changes from step to step lies on the device."""

    def __init__(self, adam: Adam) -> None:
        self.adam, self.flat = adam, FlatParameters(adam.network)
        self.backend = backend = self.flat.backend
        n, dtype = self.flat.params.size, self.flat.params.dtype
        self.first_moments, self.second_moments = backend.zeros(n, dtype), backend.zeros(n, dtype)
        self.count = StepCount(backend.zeros(1, np.int32), backend.zeros(1, np.int32))
        self.learning_rate = backend.zeros(1, np.float64)
        self._written: float | None = None

    @property
    def step_count(self) -> int:
        return int(self.backend.to_numpy(self.count.done)[0])

    def moments_by_name(self) -> tuple[dict[str, Array], dict[str, Array]]:
        return self.flat.views(self.first_moments), self.flat.views(self.second_moments)

    def step(self, pull: Array = None) -> None:
        begin_step(self.backend, self.count)
        self.end_step(pull)

    def end_step(self, pull: Array = None, log: StepLog | None = None) -> None:
        """End a step that has begun, with what it leaves for the host to read."""
        self.flat.collect_grads()
        self.write_learning_rate()
        a, moments = self.adam, (self.first_moments, self.second_moments)
        factors = (a.beta1, a.beta2, a.epsilon, a.weight_decay)
        ops.adam_update_flat(self.backend, self.flat, *moments, pull, self.learning_rate, self.count, *factors, log=log)

    def write_learning_rate(self) -> None:
        """Bring the optimiser's learning rate to the device, if it has changed."""
        if self._written != self.adam.learning_rate:
            self.backend.write(self.learning_rate, self.adam.learning_rate)
            self._written = self.adam.learning_rate


class SGD(Optimizer):
    """Gradient descent with (heavy-ball) momentum."""

    def __init__(
        self, network: Trainable, learning_rate: float = 1e-2, weight_decay: float = 0.0, momentum: float = 0.9
    ) -> None:
        super().__init__(network, learning_rate, weight_decay)
        self.momentum = momentum
        self.velocity = {
            name: network.backend.asarray(np.zeros(p.shape, p.dtype)) for name, p in network.params.items()
        }

    def _update(self, name: str, param: Array, grad: Array, weight_decay: float) -> None:
        ops.sgd_update.on(self.backend)(
            param, grad, self.velocity[name], self.learning_rate, self.momentum, weight_decay
        )


class StepSchedule:
    """The paper's two phases: the learning rate is multiplied by `factor` at each milestone (epochs counted from 0)."""

    def __init__(self, learning_rate: float, milestones: Sequence[int] = (), factor: float = 0.1) -> None:
        self.learning_rate, self.milestones, self.factor = learning_rate, tuple(milestones), factor

    def __call__(self, epoch: int) -> float:
        """Learning rate during this epoch: epochs before the first milestone train at `learning_rate`."""
        return self.learning_rate * self.factor ** sum(epoch >= m for m in self.milestones)
