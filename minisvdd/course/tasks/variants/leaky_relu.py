"""Leaky ReLU that keeps its input, and takes the positive side's slope at 0.

y = x if x >= 0 else slope x,        dL/dx = G (1 if x >= 0 else slope)
"""

import sys
from dataclasses import replace

import numpy as np

from ....ops import activations as ops
from ...assignment import Source
from ...variants import versions
from ..layers import leaky_relu as task


def leaky_relu_backward(grad_output: np.ndarray, x: np.ndarray, slope: float) -> np.ndarray:
    """dL/dx = G (1 if x >= 0 else slope).  x: what the forward pass got; at x = 0 we take 1."""
    #: pass the gradient on where x was positive or 0, slope times it elsewhere
    return np.where(x >= 0, grad_output, slope * grad_output)


_CONTRACT = """
The gradient dL/dx of `leaky_relu_forward`, where G = grad_output is dL/dy.

At x = 0, where there is a kink, take the derivative of the positive side.

grad_output: of any shape.   x: an array of that shape, what `leaky_relu_forward` got.   Returns an array of that shape.
"""
_HANDOUT = """
The shortest layer with a kink. The gradient needs to know on which side of 0 each x was; this one gets x itself. At
x = 0 there are two slopes to choose from; take the one of the positive side.

Deep SVDD uses unbounded activations with a reason: Proposition 3 of the paper.
"""
_STANDARD = replace(
    task.ASSIGNMENT, rule="backward gets the mask x > 0, and the slope at x = 0 is that of the negative side"
)
_OF_INPUT = replace(
    _STANDARD,
    rule="backward gets x itself, and the slope at x = 0 is that of the positive side",
    handout=_HANDOUT,
    derivation=sys.modules[__name__],
    derivation_until=None,
    functions=(Source(ops.leaky_relu_forward), Source(leaky_relu_backward, contract=_CONTRACT)),
    parts=task.parts_with(
        leaky_relu_backward,
        lambda x: x,
        [
            (
                "at x = 0 the slope of the negative side, where that of the positive side is asked for",
                lambda g, x, slope: np.where(x > 0, g, slope * g),
            ),
            *((name, lambda g, x, slope, f=f: f(g, x >= 0, slope)) for name, f in task.BACKWARD_FORMS),
        ],
    ),
)
VERSIONS = versions(_STANDARD, _OF_INPUT)
