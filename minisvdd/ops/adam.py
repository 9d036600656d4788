"""Update rules of the optimisers, in place, one parameter array at a time.

Weight decay is the term lambda/2 ||W||^2 of the objective (paper, eq. (3) and (4)); its gradient lambda W joins the
gradient *before* the update rule sees it: L2 regularisation, not the decoupled decay of AdamW.
"""

from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..backends.types import DeviceArray
from .device_log import StepCount, StepLog
from .operation import Operation

if TYPE_CHECKING:
    from ..backends.device import KernelBackend


@Operation
def adam_update(
    param: np.ndarray,
    grad: np.ndarray,
    first_moment: np.ndarray,
    second_moment: np.ndarray,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    """One step of Adam (Kingma & Ba 2015, algorithm 1); changes param and both moments in place.

        g <- grad + lambda W
        m <- beta1 m + (1 - beta1) g            running mean of the gradient
        v <- beta2 v + (1 - beta2) g^2          running mean of its square
        W <- W - learning_rate m_hat / (sqrt(v_hat) + eps),   m_hat = m / (1 - beta1^t),  v_hat = v / (1 - beta2^t)

    m and v start at 0 and are too small at first, by the factor 1 - beta^t for a constant gradient: hence the hats.
    step: t = 1, 2, ...
    """
    #: the gradient of the objective with its weight decay (grad itself stays as it is)
    g = grad + weight_decay * param
    #: move both moments, in place
    first_moment[...] = beta1 * first_moment + (1 - beta1) * g
    second_moment[...] = beta2 * second_moment + (1 - beta2) * g * g
    #: correct their bias towards 0
    m_hat = first_moment / (1 - beta1**step)
    v_hat = second_moment / (1 - beta2**step)
    #: change the parameters, in place
    param -= learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)


@Operation
def sgd_update(
    param: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """One step of gradient descent with momentum; changes param and velocity in place.

    u <- momentum u + (grad + lambda W),    W <- W - learning_rate u
    """
    velocity[...] = momentum * velocity + (grad + weight_decay * param)
    param -= learning_rate * velocity


# Launches


@adam_update.launch
def _(
    backend: "KernelBackend",
    param: DeviceArray,
    grad: DeviceArray,
    first_moment: DeviceArray,
    second_moment: DeviceArray,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    factors = (learning_rate, beta1, beta2, epsilon, weight_decay, 1 - beta1**step, 1 - beta2**step)
    args = (param, backend.dense(grad), first_moment, second_moment, *factors, param.size)
    backend.launch("adam_update", args, threads=param.size)


@sgd_update.launch
def _(
    backend: "KernelBackend",
    param: DeviceArray,
    grad: DeviceArray,
    velocity: DeviceArray,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> None:
    args = (param, backend.dense(grad), velocity, learning_rate, momentum, weight_decay, param.size)
    backend.launch("sgd_update", args, threads=param.size)


class Flat(Protocol):
    """All parameters in one array and all gradients in another; the first `decayed` have weight decay."""

    params: DeviceArray
    grads: DeviceArray
    decayed: int


def adam_update_flat(
    backend: "KernelBackend",
    flat: Flat,
    first_moments: DeviceArray,
    second_moments: DeviceArray,
    pull: DeviceArray | None,
    learning_rate: DeviceArray,
    count: StepCount,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    log: StepLog | None = None,
    rung: str = "vectorised",
) -> None:
    """`adam_update` for all parameters of a network at once, in one launch: kernel backends only.

    flat: `minisvdd.nn.flat.FlatParameters`.   first_moments, second_moments: like flat.params.
    pull: weights decay only where it has an entry that is not 0; None: they do.
    learning_rate: (1,) float64, on the device like the count of a step that has begun, so that the launch can be
    repeated as it is.   log: what the step leaves for the host is noted in the same launch.
    """
    looked_at = 0 if pull is None or not weight_decay else pull.size
    seen = backend.dense(pull) if looked_at else flat.grads
    arrays = (flat.params, flat.grads, first_moments, second_moments, seen, learning_rate, count.before, count.done)
    args = (*arrays, beta1, beta2, epsilon, weight_decay, flat.decayed, looked_at, flat.params.size)
    threads = -(-flat.params.nbytes // 16) if rung == "vectorised" else flat.params.size
    if log is None:
        backend.launch("adam_update_flat", args, threads=threads, rung=rung)
        return
    samples, rows = (flat.grads, 0) if log.samples is None else (log.samples, log.samples.size)
    noted = (log.first_step, log.value, samples, log.value_log, log.sample_log, log.batch_size, rows)
    backend.launch("adam_update_log", (*args, *noted), threads=max(threads, rows), rung=rung)
