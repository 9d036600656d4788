"""The assignment `adam`: the update rule that everything here is trained with."""

import numpy as np

from ....ops import adam as ops
from ...assignment import Assignment, Part, Source
from ...grader.checks import Case, Wrong, check_untouched, compare
from ...parts import DTYPE

_HANDOUT = """
Adam is eight lines, and nearly every wrong version of it still trains: that is why it is checked against numbers.
The arrays are changed in place (the network holds them), all but the gradient, which is only read.

Weight decay here is the lambda/2 ||W||^2 of the objectives (3) and (4): its gradient joins the gradient before the
moments see it. AdamW does otherwise.
"""

_OP = ops.adam_update
_NAMES = ("param", "first_moment", "second_moment")
_SETTING = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-12, "weight_decay": 0.0}


def _state(rng, shape, step, **setting):
    """Arguments of one update, at the given step: moments are 0 before the first."""
    moments = np.zeros((2, *shape)) if step == 1 else (0.1 * rng.standard_normal(shape), 0.1 * rng.random(shape) + 0.01)
    arrays = (rng.standard_normal(shape), rng.standard_normal(shape), *(np.array(m) for m in moments))
    return (*arrays, step, *{**_SETTING, **setting}.values())


def _updated(arguments):
    """What the library makes of (param, first_moment, second_moment)."""
    copies = tuple(a.copy() if isinstance(a, np.ndarray) else a for a in arguments)
    _run_library(copies)
    return copies[0], copies[2], copies[3]


def _run_library(arguments) -> None:
    """Run the library's update on these very arrays."""
    _OP(*arguments)


def _update(cases, outputs=_NAMES):
    """The check of one update: the arrays afterwards."""

    def check(student, rng):
        for arguments in cases(rng):
            returned, after = student.sandbox.call("adam_update", *arguments)
            given = (after[0], after[2], after[3])
            _note_if_returned(returned, given, arguments)
            for i, (one, right) in enumerate(zip(given, _updated(arguments))):
                if _NAMES[i] in outputs:
                    compare(one, right, _NAMES[i], Case(arguments), _OP, forms=_FORMS, output=i)

    return check


def _note_if_returned(returned, given, arguments):
    unchanged = all(
        np.array_equal(one, arguments[i]) for one, i in zip(given, (0, 2, 3)) if isinstance(one, np.ndarray)
    )
    if returned is not None and unchanged:
        raise Wrong("param and both moments are as before: change the arrays in place (param -= ...), return nothing")


def _several(student, rng):
    """Ten steps, each from where the last one left the arrays."""
    arguments = list(_state(rng, (3, 2), 1, weight_decay=0.01))
    mine = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    for step in range(1, 11):
        arguments[1] = mine[1] = rng.standard_normal((3, 2))
        arguments[4] = mine[4] = step
        after = student.sandbox.call("adam_update", *arguments)[1]
        arguments[0], arguments[2], arguments[3] = after[0], after[2], after[3]
        _run_library(mine)
        compare(arguments[0], mine[0], f"param after step {step}", Case(tuple(arguments)), _OP)


def _in_place(student, rng):
    """Only param and the moments change, and nothing is returned."""
    arguments = _state(rng, (4,), 3, weight_decay=0.1)
    returned, after = student.sandbox.call("adam_update", *arguments)
    changed = [name for name, i in zip(_NAMES, (0, 2, 3)) if not np.array_equal(after[i], arguments[i])]
    if len(changed) < 3:
        raise Wrong(f"not changed in place: {', '.join(n for n in _NAMES if n not in changed)}")
    check_untouched(_OP, arguments, after, but_for=_NAMES)
    if returned is not None:
        raise Wrong("the update changes its arrays in place and returns nothing")


def _dtype(student, rng):
    arguments = tuple(a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in _state(rng, (4, 2), 2))
    after = student.sandbox.call("adam_update", *arguments)[1]
    for name, i in zip(_NAMES, (0, 2, 3)):
        one = after[i]
        if not isinstance(one, np.ndarray) or one.dtype != np.float32:
            raise Wrong(f"{name} is no longer float32")
        if np.array_equal(one, arguments[i]):
            raise Wrong(f"{name} did not change")


# Known mistakes: functions of the arguments that return (param, first_moment, second_moment)


def _adam(
    bias=True, root=True, decoupled=False, decay=True, sign=-1.0, inside=False, square=True, swapped=False, old=False
):
    def mistaken(param, grad, m, v, step, rate, beta1, beta2, epsilon, weight_decay):
        if swapped:
            beta1, beta2 = beta2, beta1
        g = grad + weight_decay * param if decay and not decoupled else grad
        m_new = beta1 * m + (1 - beta1) * g
        v_new = beta2 * v + (1 - beta2) * (g * g if square else g)
        t = step - 1 if old else step
        m_hat, v_hat = (m_new / (1 - beta1**t), v_new / (1 - beta2**t)) if bias else (m_new, v_new)
        below = v_hat + epsilon if not root else np.sqrt(v_hat + epsilon) if inside else np.sqrt(v_hat) + epsilon
        new = param + sign * rate * m_hat / below
        return new - rate * weight_decay * param if decoupled else new, m_new, v_new

    return mistaken


_FORMS = [
    ("the bias correction is forgotten: m and v start at 0 and are too small at first", _adam(bias=False)),
    ("the square root of v_hat is forgotten", _adam(root=False)),
    ("epsilon inside the square root", _adam(inside=True)),
    ("the wrong sign: a step uphill", _adam(sign=1.0)),
    ("decoupled weight decay, as in AdamW", _adam(decoupled=True)),
    ("the weight decay is forgotten", _adam(decay=False)),
    ("g where g^2 belongs in the second moment", _adam(square=False)),
    ("beta1 and beta2 are exchanged", _adam(swapped=True)),
    ("the bias correction counts steps from 0", _adam(old=True)),
]

ASSIGNMENT = Assignment(
    name="adam",
    title="Adam, the update rule",
    reading="section 3.2 of the paper; Kingma and Ba 2015, algorithm 1",
    handout=_HANDOUT,
    goals=(
        "implement an update rule from the pseudo-code of a paper, in place",
        "say what the two corrections do in the first steps, and what weight decay is a gradient of",
    ),
    hours="1",
    lectures=("05_adam#Adam, step by step",),
    without_forward="""
param and the two moments are compared one by one in the part "both moments": moments that are right earn it though
param is not. Begin with the case of no weight decay.
""",
    derivation=ops,
    functions=(Source(_OP),),
    parts=(
        Part("adam_update: the first step", 15, _update(lambda rng: [_state(rng, (3, 2), 1)])),
        Part(
            "adam_update: both moments",
            15,
            _update(lambda rng: [_state(rng, (4,), 5), _state(rng, (2, 3, 2), 2)], _NAMES[1:]),
            True,
        ),
        Part("adam_update: a later step", 15, _update(lambda rng: [_state(rng, (2, 3), 7)], _NAMES[:1]), True),
        Part(
            "adam_update: weight decay",
            15,
            _update(lambda rng: [_state(rng, (3, 3), 1, weight_decay=0.1), _state(rng, (5,), 4, weight_decay=0.5)]),
            True,
        ),
        Part(
            "adam_update: other betas and epsilon",
            10,
            _update(lambda rng: [_state(rng, (3,), 3, beta1=0.5, beta2=0.9, epsilon=0.1, learning_rate=0.2)]),
            True,
        ),
        Part("adam_update: ten steps in a row", 10, _several, True),
        Part("adam_update: in place, grad untouched", 10, _in_place, True),
        Part(f"adam_update: {DTYPE.split(',')[0]}", 10, _dtype, True),
    ),
)
