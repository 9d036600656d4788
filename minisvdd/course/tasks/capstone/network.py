"""What a network asks of its operations, forward, backward and between.

forward    image -> convolution -> batch norm -> leaky ReLU -> max-pooling
                 -> convolution -> batch norm -> leaky ReLU -> flatten -> linear map -> phi(x)
loss       J = mean of ||phi(x_i) - c||^2, and G = dJ/dphi
backward   the same way back: each layer gets dL/dy of what it gave, keeps dL/dw of its weights and hands on dL/dx
           (the first convolution has nobody to hand it to)
step       Adam changes every weight by its gradient
score      ||phi(x) - c||^2, phi in evaluation mode: batch norm with its running statistics

No layer knows of another one. If each gradient is right for its own forward pass, the chain rule makes the gradient of
the whole network right; if one is wrong, all gradients below it are wrong as well.

In training mode batch norm takes `batch_statistics` and gives them to `batchnorm_forward`. What backward needs is kept
by the layers: max-pooling its winners, leaky ReLU the places where x > 0, batch norm x_hat and the scale.
"""

from collections import Counter

import numpy as np

from ....backends import PLAIN, HostBackend
from ....nn.layers import BatchNorm, Conv2D, Flatten, LeakyReLU, Linear, MaxPool2D
from ....nn.losses import OneClass
from ....nn.networks import Sequential
from ....nn.optim import Adam
from ....ops import all_operations, squared_distances
from ....ops.own import with_wholes
from ...grader.checks import Wrong, argument_names, as_numbers, check_integers, check_untouched, difference
from ...grader.sandbox import SubmissionError, type_of

SHAPE = (1, 8, 8)
BATCH, EPOCHS, LEARNING_RATE, LEAST_CENTER = 25, 15, 0.01, 0.1
_IN_PLACE = {"adam_update": ("param", "first_moment", "second_moment")}  # arguments that are changed
_OPTIONAL = {"one_class_loss": 1}  # results at the end that older handouts do not ask for


class Own:
    """A backend that asks the submission for the operations that it has, and takes the formulas for all others.

    names: the operations it is asked for.   calls: how often each was called.   missing: what the submission does not
    have.   wrong: where an answer was not the formula's, in words, by name; the network goes on with the submission's.
    """

    def __init__(self, student, names):
        self.student, self.names = student, tuple(names)
        self.calls, self.missing, self.wrong = Counter(), set(), {}
        self._formulas = {name: operation.plain for name, operation in all_operations().items()}
        readings = {name: lambda *arguments, name=name: self._call(name, arguments) for name in self.names}
        self.backend = HostBackend("plain", with_wholes(readings))

    def _call(self, name, arguments):
        formula = self._formulas[name]
        places = [place for place, known in enumerate(argument_names(formula)) if known in _IN_PLACE.get(name, ())]
        if name in self.missing:
            return formula(*arguments)
        try:
            given, after = self.student.sandbox.call(name, *map(_dense, arguments))
        except SubmissionError as error:
            if error.kind != "missing":
                raise
            self.missing.add(name)
            return formula(*arguments)
        self.calls[name] += 1
        copies = [np.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
        right = formula(*copies)
        self._leave(name, arguments, after)
        if places:
            for place in places:
                arguments[place][...] = self._checked(name, after[place], copies[place])
            return None
        if not isinstance(right, tuple):
            return self._checked(name, given, np.asarray(right))
        least = len(right) - _OPTIONAL.get(name, 0)
        if not isinstance(given, tuple | list) or not least <= len(given) <= len(right):
            raise Wrong(f"{name} returned {type_of(given)}: expected a tuple of {len(right)}")
        found = [self._checked(name, *pair) for pair in zip(given, map(np.asarray, right))]
        return (*found, *right[len(found) :])

    def _leave(self, name, arguments, after):
        """The network goes on with its arrays as the submission left them."""
        if text := changed_argument(name, arguments, after):
            self.wrong.setdefault(name, text)
            for array, left in zip(arguments, after):
                if isinstance(array, np.ndarray) and array.flags.writeable:
                    array[...] = left

    def _checked(self, name, given, right):
        """The answer as an array; raises Wrong where the network cannot go on with it."""
        array, text = as_numbers(given), difference(given, right, name)
        check_integers(array, right, name)
        if array is None or array.shape != right.shape:
            raise Wrong(text)
        if not np.isfinite(array).all():
            raise Wrong(f"{name} returned numbers that are not finite")
        if text:
            self.wrong.setdefault(name, text)
        return array.astype(right.dtype)[()]


def changed_argument(name, before, after):
    """The first argument that a call changed and should not have, in words; None where there is none."""
    operation = all_operations().get(name)
    if operation is None:  # conv2d_output_size, which takes no arrays
        return None
    try:
        check_untouched(operation.plain, before, after, _IN_PLACE.get(name, ()))
    except Wrong as wrong:
        return f"{name}: {wrong}"
    return None


def _dense(value):
    return np.ascontiguousarray(value) if isinstance(value, np.ndarray) and value.ndim else value


def network_on(backend, rng, first=4, second=6, outputs=8):
    """A small network without biases, for digits of 8 x 8 pixels, in float64."""
    layers = [Conv2D(first, 3, padding=1), BatchNorm(), LeakyReLU(0.1), MaxPool2D(2)]
    layers += [Conv2D(second, 3), BatchNorm(), LeakyReLU(0.1), Flatten(), Linear(outputs)]
    network = Sequential(layers)
    network.build(SHAPE, rng, np.float64, backend)
    return network


def train(digits, seed, backend=PLAIN, epochs=EPOCHS):
    """Train One-Class Deep SVDD; returns (mean loss of each epoch, scores of the test images before and after).

    digits: (training images, test images).   seed: of weights and batches.
    """
    training, test = digits
    rng = np.random.default_rng(seed)
    network = network_on(backend, rng)
    for _ in range(20):  # so that the running statistics are those of the data
        network.forward(training, training=True)
    center = network.forward(training).mean(axis=0)
    center = np.where(np.abs(center) < LEAST_CENTER, np.where(center < 0, -LEAST_CENTER, LEAST_CENTER), center)
    optimizer, loss = Adam(network, LEARNING_RATE), OneClass(center, backend)
    distances = squared_distances.on(backend)
    before, losses = distances(network.forward(test), center), []
    for _ in range(epochs):
        order, values = rng.permutation(len(training)), []
        for start in range(0, len(training), BATCH):
            value, grad, _ = loss(network.forward(training[order[start : start + BATCH]], training=True))
            network.backward(grad, need_input=False)
            optimizer.step()
            values.append(float(value))
        losses.append(float(np.mean(values)))
    return losses, before, distances(network.forward(test), center)


def gradients_apart(backend, rng, step=1e-6):
    """How far the gradients of a network are from finite differences, by parameter: [(name, analytic, numeric)].

    Each along two random directions, of the mean squared distance to a centre for six random images.
    """
    network = network_on(backend, rng, 3, 4, 5)
    x, center = rng.standard_normal((6, *SHAPE)), rng.standard_normal(5)
    loss, found = OneClass(center, backend), []
    _, grad, _ = loss(network.forward(x, training=True))
    network.backward(grad, need_input=False)
    analytic = {name: np.array(g) for name, g in network.grads.items()}
    for name, weight in network.params.items():
        for _ in range(2):
            direction, values = rng.standard_normal(weight.shape), []
            for sign in (1, -1):
                weight += sign * step * direction
                values.append(float(loss(network.forward(x, training=True))[0]))
                weight -= sign * step * direction
            found.append((name, float((analytic[name] * direction).sum()), (values[0] - values[1]) / (2 * step)))
    return found
