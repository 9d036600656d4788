"""Collapse: a network that maps everything to one point has a perfect loss and knows nothing (paper, section 3.3).

The network here is  phi(x) = W2 s(W1 x + b),  with one hidden layer and an activation s, and the objective without
decay is J = 1/n sum_i ||phi(x_i) - c||^2. Collapse is J = 0 with phi constant. What permits it:

    zero weights, c = 0     Proposition 1: without b, and with s(0) = 0, W = 0 gives phi = 0 for every x
    trainable centre        the same: c is moved to where the outputs are
    bias                    Proposition 2: W1 = 0 leaves s(b), and W2 takes that to any c
    bounded activation      Proposition 3: a saturated unit is as good as a bias; sigmoid is one at W1 = 0 already
    weight decay            W = 0 may be the minimum of J + decay, although phi = 0 is not c

To see it, compare with the network before training. Let S be the root mean square distance of the outputs from their
mean, and s_1 >= s_2 >= ... the singular values of (phi_i - mean)/sqrt(n), so that S^2 = s_1^2 + s_2^2 + ... The ratio
of S after and before training is the contrast; s_2 / s_1 says whether the outputs lie on a line.

What follows makes collapse, detects it, and says what is to blame for it.
"""

import numpy as np


def constant_by_bias(features: int, hidden: int, center: np.ndarray, slope: float) -> tuple:
    """Weights with which a network with a bias answers c to every input: Proposition 2.

        phi(x) = W2 s(W1 x + b),        s(a) = a for a > 0, slope a otherwise

    features: D.   hidden: H >= 1 units.   center: c, (p,).   slope: of the leaky ReLU, in [0, 1).
    Returns W1 (H, D), b (H,) and W2 (p, H).
    """
    #: the hidden layer does not look at x: it says v = s(b), which must not be 0; here s(1) = 1 in all units
    W1, b = np.zeros((hidden, features)), np.ones(hidden)
    #: the matrix that takes v to c
    return W1, b, np.outer(center, b) / (b @ b)


def constant_by_saturation(X: np.ndarray, hidden: int, center: np.ndarray) -> tuple:
    """Weights with which a network of tanh units without any bias answers c to all samples: Proposition 3.

        phi(x) = W2 tanh(W1 x),        max_i |phi(x_i) - c| <= 1e-9 max |c|

    It takes a feature that has the same sign in all samples: the smaller it may be, the larger must be its weight.

    X: (n, D), the samples.   hidden: H >= 1 units.   center: c, (p,).
    Returns W1 (H, D) and W2 (p, H). Raises ValueError where no feature has one sign.
    """
    #: a feature that is positive for all samples, or negative for all; the one that stays furthest from 0
    least = np.maximum(X.min(axis=0), (-X).min(axis=0))
    k = int(least.argmax())
    if least[k] <= 0:
        raise ValueError("no feature has the same sign in all samples")
    #: tanh(20) is 1 to the last digit; the sample with the smallest feature must get there
    W1 = np.zeros((hidden, X.shape[1]))
    W1[:, k] = 20 / least[k]
    #: all units say the same sign for everybody
    v = np.full(hidden, np.sign(X[0, k]))
    return W1, np.outer(center, v) / hidden


def pull_on_weights(outputs: np.ndarray, center: np.ndarray) -> float:
    """How strongly the loss makes a weight array grow or shrink: <W, dJ/dW>.

    Without biases and with leaky ReLU, t W in the place of one W makes t phi of phi. By Euler's theorem the derivative
    of phi in the direction W is phi itself, so that for each layer

        <W, dJ/dW> = 2/n sum_i <phi_i - c, phi_i> .

    Under gradient descent the norm of W shrinks while this is positive. For c = 0 it is 2 J: it shrinks until J = 0.

    outputs: phi_i, (n, p).   center: c, (p,).   Returns the number.
    """
    #: inner products of each sample, their mean, the 2 of the square
    return float(2 * ((outputs - center) * outputs).sum(axis=1).mean())


def spectrum(outputs: np.ndarray) -> np.ndarray:
    """The singular values of the centred outputs over sqrt(n), largest first: how wide they are in each direction.

    The sum of their squares is S^2, the mean squared distance from the mean output.

    outputs: (n, p) with n > p.   Returns (p,).
    """
    #: the mean over samples leaves
    centred = outputs - outputs.mean(axis=0)
    #: values alone; NumPy has them in descending order
    return np.linalg.svd(centred / np.sqrt(len(outputs)), compute_uv=False)


def verdict(before: np.ndarray, after: np.ndarray) -> str:
    """What training did to the outputs of the same inputs: "point", "line" or "healthy".

    "point": the contrast S(after) / S(before) is below 0.03. Where they lie, and how many inputs come twice, does not
    matter.   "line": otherwise, if s_2 / s_1 fell below 0.01; it must have been 0.01 or more before, and p at least 2.

    before, after: (n, p) outputs, n > p, of the untrained and of the trained network.
    """
    #: widths in all directions, of both
    wide, narrow = spectrum(before), spectrum(after)
    #: the contrast
    if np.sqrt((narrow**2).sum()) < 0.03 * np.sqrt((wide**2).sum()):
        return "point"
    #: one direction is left of several
    if len(wide) > 1 and narrow[1] < 0.01 * narrow[0] and wide[1] >= 0.01 * wide[0]:
        return "line"
    return "healthy"


def blame(
    W1: np.ndarray,
    b: np.ndarray | None,
    W2: np.ndarray,
    X: np.ndarray,
    activation: str,
    center_before: np.ndarray,
    center: np.ndarray,
) -> str:
    """Which ingredient let this trained network collapse, in the words of the table above.

    One of "zero weights, c = 0", "trainable centre", "bias", "bounded activation", "weight decay". The network had some
    weight decay in any case, and may have ingredients that did no harm: a bias that is 0, or an activation that is
    bounded but not saturated. Training is never exact: what should be 0 is small, a thousandth of c or less.

    W1: (H, D), b: (H,) or None, W2: (p, H), after training.   X: (n, D), the samples.
    activation: "leaky relu" (slope 0.1), "tanh" or "sigmoid".   center_before, center: c (p,), before and after
    training.
    """
    #: c moved
    if np.abs(center - center_before).max() > 1e-3 * np.abs(center_before).max():
        return "trainable centre"
    #: c is where a network without weights answers
    if np.abs(center).max() < 1e-6:
        return "zero weights, c = 0"

    def hidden(a):
        s = {"leaky relu": np.where(a > 0, a, 0.1 * a), "tanh": np.tanh(a), "sigmoid": 0.5 + 0.5 * np.tanh(a / 2)}
        return s[activation]

    #: all outputs lie beside c: what holds them there is no part of the loss
    a = X @ W1.T
    outputs = hidden(a if b is None else a + b) @ W2.T
    if np.abs(outputs - center).max() > 0.1 * np.abs(center).max():
        return "weight decay"
    #: at c, then: would they be there without the bias, too?
    without = hidden(a) @ W2.T
    return "bounded activation" if np.abs(without - center).max() < 0.5 * np.abs(center).max() else "bias"
