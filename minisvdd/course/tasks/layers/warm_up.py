"""The assignment `warm-up`: linear layer, leaky ReLU and one-class loss in one file, out of the parts of the three."""

from dataclasses import replace

from ...assignment import Assignment, scaled
from . import leaky_relu, linear, one_class_loss

_HANDOUT = """
Three short pieces of a network, to get used to gradients by hand and to the way answers are graded: a layer that is a
matrix product, an activation with a kink, and the objective of One-Class Deep SVDD.

Linear layer: both gradients are matrix products, too, and the shapes alone nearly decide which. Write the sums with
indices first. The bias functions serve features (N, K) and images (N, K, H, W) alike.

Leaky ReLU: the gradient needs to know where x was positive, and nothing else of x. At x = 0 take the slope of the
negative side.

One-class loss: the value is a mean over the batch, and so the gradient of each sample carries a 1/N as well.
"""

PIECES = (linear.ASSIGNMENT, leaky_relu.ASSIGNMENT, one_class_loss.ASSIGNMENT)
_SHARES = (40, 25, 35)

ASSIGNMENT = Assignment(
    name="warm-up",
    title="Warm-up: the linear layer, leaky ReLU, the one-class objective",
    reading="sections 3.1 and 3.3 of the paper, eq. (4) and (5), Propositions 2 and 3",
    handout=_HANDOUT,
    derivation=linear.ASSIGNMENT.derivation,
    functions=tuple(source for piece in PIECES for source in piece.functions),
    parts=tuple(
        replace(part, points=points)
        for piece, share in zip(PIECES, _SHARES)
        for part, points in zip(piece.parts, scaled([part.points for part in piece.parts], share))
    ),
)
