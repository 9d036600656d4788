"""The assignment `adam`: the update rule that everything here is trained with."""

import numpy as np

from ....ops import adam as ops
from ...assignment import Assignment, Part, Source
from ...forms import name_of_error
from ...grader.checks import Case, Wrong, as_numbers, check_untouched, close, compare, difference, worst
from ...parts import DTYPE

_HANDOUT = """
Adam is eight lines, and nearly every wrong version of it still trains: that is why it is checked against numbers.
The arrays are changed in place (the network holds them), all but the gradient, which is only read.

Weight decay here is the lambda/2 ||W||^2 of the objectives (3) and (4): its gradient joins the gradient before the
moments see it.
"""

_OP = ops.adam_update
_NAMES = ("param", "first_moment", "second_moment")
_PLACES = (0, 2, 3)  # among the arguments
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


def _step(arguments, m, v):
    """The step that these moments, already moved, are to make: param afterwards."""
    param, _, _, _, step, rate, beta1, beta2, epsilon, _ = arguments
    return param - rate * (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + epsilon)


def _moments(cases, which=(1, 2)):
    """The check of one update: the moments afterwards.  which: 1 for the first, 2 for the second."""

    def check(student, rng):
        for arguments in cases(rng):
            after = student.sandbox.call("adam_update", *arguments)[1]
            right = _updated(arguments)
            for i in which:
                given = after[_PLACES[i]]
                if isinstance(given, np.ndarray) and np.array_equal(given, arguments[_PLACES[i]]):
                    raise Wrong(f"{_NAMES[i]} is as before: change the array in place ({_NAMES[i]}[...] = ...)")
                compare(given, right[i], _NAMES[i], Case(arguments), _OP, forms=_FORMS, output=i, terms=_TERMS)

    return check


def _param(cases):
    """The check of one update: param afterwards."""

    def one(student, arguments):
        returned, after = student.sandbox.call("adam_update", *arguments)
        _compare_param(returned, after, arguments, _updated(arguments)[0])

    def check(student, rng):
        worst(lambda arguments=arguments: one(student, arguments) for arguments in cases(rng))

    return check


def _compare_param(returned, after, arguments, right, label="param"):
    """Raise Wrong unless param is right after this update; where a moment is wrong already, say that instead."""
    if isinstance(after[0], np.ndarray) and np.array_equal(after[0], arguments[0]):
        hint = "; a new array that is returned does not reach the network" if returned is not None else ""
        raise Wrong(f"param is as before: change the array in place (param -= ...){hint}")
    try:
        compare(after[0], right, label, Case(arguments), _OP, forms=_FORMS, output=0)
    except Wrong as wrong:
        raise _blame_moments(wrong, arguments, after) from None


def _blame_moments(wrong, arguments, after):
    """The verdict on a wrong step: where a moment is wrong already, that is what is to be said."""
    m, v = (as_numbers(after[place]) for place in _PLACES[1:])
    first, right = str(wrong).partition("\n")[0], _updated(arguments)
    forms = [form for form in _FORMS if form[0] != _STORED]  # whoever stores corrected moments has the right step
    for i, given in ((1, m), (2, v)):
        moved = given is not None and not np.array_equal(given, arguments[_PLACES[i]])
        if not moved or given.shape != right[i].shape or close(given, right[i]).all():
            continue
        named = name_of_error(given, right[i], arguments, forms, i, _TERMS) or "no known form of error fits"
        with np.errstate(all="ignore"):
            follows = difference(after[0], _step(arguments, m, v), "param") is None
        if follows:
            text = f"it is the right step from {_NAMES[i]} as you left it, which is wrong itself: 50% of the points"
            return Wrong(f"{first}\n{named}\n{text}", 0.5)
        if not wrong.fraction and "looks like" not in str(wrong):
            return Wrong(f"{first}\n{_NAMES[i]} is wrong already\n{named}")
    return wrong


def _several(student, rng):
    """Ten steps, each from where the last one left the arrays."""
    arguments = list(_state(rng, (3, 2), 1, weight_decay=0.01))
    mine = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    for step in range(1, 11):
        arguments[1] = mine[1] = rng.standard_normal((3, 2))
        arguments[4] = mine[4] = step
        before = tuple(arguments)
        returned, after = student.sandbox.call("adam_update", *before)
        for i in _PLACES:
            arguments[i] = after[i]
        _run_library(mine)
        for name, i in zip(_NAMES[1:], _PLACES[1:]):
            if isinstance(after[i], np.ndarray) and np.array_equal(after[i], before[i]):
                raise Wrong(f"{name} is as before step {step}: change the array in place ({name}[...] = ...)")
        _compare_param(returned, after, before, mine[0], f"param after step {step}")


def _in_place(student, rng):
    """Only param and the moments change. What is returned does not matter."""
    arguments = _state(rng, (4,), 3, weight_decay=0.1)
    _, after = student.sandbox.call("adam_update", *arguments)
    changed = [name for name, i in zip(_NAMES, _PLACES) if not np.array_equal(after[i], arguments[i])]
    if len(changed) < 3:
        raise Wrong(f"not changed in place: {', '.join(n for n in _NAMES if n not in changed)}")
    check_untouched(_OP, arguments, after, but_for=_NAMES)


def _dtype(student, rng):
    arguments = tuple(a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in _state(rng, (4, 2), 2))
    after = student.sandbox.call("adam_update", *arguments)[1]
    for name, i in zip(_NAMES, _PLACES):
        one = after[i]
        if not isinstance(one, np.ndarray) or one.dtype != np.float32:
            raise Wrong(f"{name} is no longer float32")
    if difference(after[0], _updated(arguments)[0], "param"):
        raise Wrong("param is wrong, in float32 as in float64: only a right result gets points for its form")


# Known mistakes: functions of the arguments that return (param, first_moment, second_moment)


def _adam(
    gradient=lambda grad, param, decay: grad + decay * param,
    first=lambda m, g, beta1: beta1 * m + (1 - beta1) * g,
    second=lambda v, g, beta2: beta2 * v + (1 - beta2) * g * g,
    correction=lambda beta, step: 1 - beta**step,
    step_of=lambda m, v, epsilon: m / (np.sqrt(v) + epsilon),
    after=lambda new, param, rate, decay: new,
    second_gradient=None,
    corrections=(True, True),
    stored=False,
    numerator=lambda m, m_hat, g, beta1, step: m_hat,
    swapped=False,
    sign=-1.0,
    old=(),
):
    """Adam with some of its lines replaced."""

    def mistaken(param, grad, m, v, step, rate, beta1, beta2, epsilon, decay):
        if swapped:
            beta1, beta2 = beta2, beta1
        g = gradient(grad, param, decay)
        m_new = first(m, g, beta1)
        v_new = second(v, g if second_gradient is None else second_gradient(grad, param, decay), beta2)
        used_m, used_v = (m if "m" in old else m_new), (v if "v" in old else v_new)
        m_hat = used_m / correction(beta1, step) if corrections[0] else used_m
        v_hat = used_v / correction(beta2, step) if corrections[1] else used_v
        above = numerator(used_m, m_hat, g, beta1, step)
        new = after(param + sign * rate * step_of(above, v_hat, epsilon), param, rate, decay)
        return (new, m_hat, v_hat) if stored else (new, m_new, v_new)

    return mistaken


def _plain(grad, param, decay):
    return grad


def _maximum(v, g, beta2):
    return np.maximum(v, beta2 * v + (1 - beta2) * g * g)


def _nesterov(m, m_hat, g, beta1, step):
    return (beta1 * m + (1 - beta1) * g) / (1 - beta1**step)


_STORED = "the bias-corrected moments are stored, and corrected again at the next step"
_FORMS = [
    (
        "the bias correction is forgotten: m and v start at 0 and are too small at first",
        _adam(corrections=(False,) * 2),
    ),
    ("the bias correction of m is forgotten", _adam(corrections=(False, True))),
    ("the bias correction of v is forgotten", _adam(corrections=(True, False))),
    ("the bias correction has beta * t where beta ** t belongs", _adam(correction=lambda beta, step: 1 - beta * step)),
    (
        "the bias correction has beta * t where beta ** t belongs",
        _adam(
            correction=lambda beta, step: 1 - beta * step,
            step_of=lambda m, v, epsilon: m / (np.sqrt(abs(v)) + epsilon),
        ),
    ),
    ("the bias correction is 1 - beta, whatever the step", _adam(correction=lambda beta, step: 1 - beta)),
    ("the bias correction counts steps from 0", _adam(correction=lambda beta, step: 1 - beta ** (step - 1))),
    ("the bias correction is a step ahead", _adam(correction=lambda beta, step: 1 - beta ** (step + 1))),
    ("multiplied by 1 - beta^t where a division belongs", _adam(correction=lambda beta, step: 1 / (1 - beta**step))),
    (_STORED, _adam(stored=True)),
    ("the weight decay has the wrong sign", _adam(gradient=lambda grad, param, decay: grad - decay * param)),
    ("the second moment sees the gradient without the weight decay", _adam(second_gradient=_plain)),
    ("the weight decay is forgotten: its gradient belongs to g before the moments see it", _adam(gradient=_plain)),
    (
        "decoupled weight decay, as in AdamW",
        _adam(gradient=_plain, after=lambda new, param, rate, decay: new - rate * decay * param),
    ),
    (
        "decoupled weight decay, without the learning rate",
        _adam(gradient=_plain, after=lambda new, param, rate, decay: new - decay * param),
    ),
    (
        "the first moment sees the gradient without the weight decay",
        _adam(gradient=_plain, second_gradient=lambda grad, param, decay: grad + decay * param),
    ),
    ("the weight decay is taken twice", _adam(gradient=lambda grad, param, decay: grad + 2 * decay * param)),
    ("the weight decay without the weight", _adam(gradient=lambda grad, param, decay: grad + decay)),
    ("the square root of v_hat is forgotten", _adam(step_of=lambda m, v, epsilon: m / (v + epsilon))),
    ("epsilon inside the square root", _adam(step_of=lambda m, v, epsilon: m / np.sqrt(v + epsilon))),
    ("epsilon is forgotten", _adam(step_of=lambda m, v, epsilon: m / np.sqrt(v))),
    ("the second moment is not used in the step", _adam(step_of=lambda m, v, epsilon: m)),
    (
        "multiplied by the root where a division belongs",
        _adam(step_of=lambda m, v, epsilon: m * (np.sqrt(v) + epsilon)),
    ),
    ("the wrong sign: a step uphill", _adam(sign=1.0)),
    ("the learning rate is forgotten", _adam(after=lambda new, param, rate, decay: param + (new - param) / rate)),
    ("g where g^2 belongs in the second moment", _adam(second=lambda v, g, beta2: beta2 * v + (1 - beta2) * g)),
    ("|g| where g^2 belongs in the second moment", _adam(second=lambda v, g, beta2: beta2 * v + (1 - beta2) * abs(g))),
    ("1 - beta2 is squared with g", _adam(second=lambda v, g, beta2: beta2 * v + ((1 - beta2) * g) ** 2)),
    ("the factor 1 - beta1 is forgotten, as in descent with momentum", _adam(first=lambda m, g, beta1: beta1 * m + g)),
    ("the factor 1 - beta2 is forgotten", _adam(second=lambda v, g, beta2: beta2 * v + g * g)),
    ("beta1 and 1 - beta1 are exchanged", _adam(first=lambda m, g, beta1: (1 - beta1) * m + beta1 * g)),
    ("beta2 and 1 - beta2 are exchanged", _adam(second=lambda v, g, beta2: (1 - beta2) * v + beta2 * g * g)),
    ("beta1 and beta2 are exchanged", _adam(swapped=True)),
    ("the old moments are used for the step, not the new ones", _adam(old=("m", "v"))),
    ("the old first moment is used for the step", _adam(old=("m",))),
    ("the old second moment is used for the step", _adam(old=("v",))),
    ("Nesterov's variant (NAdam)", _adam(numerator=_nesterov)),
    ("the gradient where its running mean belongs (RMSprop)", _adam(numerator=lambda m, m_hat, g, beta1, step: g)),
    ("the maximum of old and new second moment (AMSGrad)", _adam(second=_maximum)),
]
_TERMS = [
    ("(1 - beta) g", lambda w, g, m, v, t, rate, b1, b2, e, decay: (None, (1 - b1) * g, (1 - b2) * g)),
    ("g", lambda w, g, m, v, t, rate, b1, b2, e, decay: (None, g, g)),
    ("the old moment", lambda w, g, m, v, t, rate, b1, b2, e, decay: (None, m, v)),
    ("beta times the old moment", lambda w, g, m, v, t, rate, b1, b2, e, decay: (None, b1 * m, b2 * v)),
    (
        "(1 - beta) lambda W",
        lambda w, g, m, v, t, rate, b1, b2, e, decay: (None, (1 - b1) * decay * w, (1 - b2) * decay * w),
    ),
    ("lambda W", lambda w, g, m, v, t, rate, b1, b2, e, decay: (None, decay * w, decay * w)),
    ("(1 - beta2) g^2", lambda w, g, m, v, t, rate, b1, b2, e, decay: (None, None, (1 - b2) * g**2)),
    (
        "(1 - beta2) lambda^2 W^2",
        lambda w, g, m, v, t, rate, b1, b2, e, decay: (None, None, (1 - b2) * (decay * w) ** 2),
    ),
    ("(1 - beta2) lambda g W", lambda w, g, m, v, t, rate, b1, b2, e, decay: (None, None, (1 - b2) * decay * g * w)),
]


def _undecayed(rng):
    return [_state(rng, (7,), 5), _state(rng, (2, 3, 4), 2)]


def _decayed(rng):
    return [_state(rng, (2, 3), 4, weight_decay=0.5), _state(rng, (5,), 1, weight_decay=0.1)]


ASSIGNMENT = Assignment(
    name="adam",
    title="Adam, the update rule",
    reading="section 3.2 of the paper; Kingma & Ba 2015, algorithm 1",
    handout=_HANDOUT,
    derivation=ops,
    functions=(Source(_OP),),
    parts=(
        Part("adam_update: the first step", 14, _param(lambda rng: [_state(rng, (3, 2), 1)])),
        Part("adam_update: first moment", 12, _moments(_undecayed, [1]), True),
        Part("adam_update: second moment", 12, _moments(_undecayed, [2]), True),
        Part("adam_update: a later step", 16, _param(lambda rng: [_state(rng, (2, 3), 7), _state(rng, (5,), 2)]), True),
        Part("adam_update: weight decay in the moments", 8, _moments(_decayed), True),
        Part("adam_update: weight decay in the step", 12, _param(_decayed), True),
        Part(
            "adam_update: other betas and epsilon",
            10,
            _param(lambda rng: [_state(rng, (3,), 3, beta1=0.5, beta2=0.9, epsilon=0.1, learning_rate=0.2)]),
            True,
        ),
        Part("adam_update: ten steps in a row", 6, _several, True),
        Part("adam_update: in place, grad untouched", 5, _in_place, True, form=True),
        Part(f"adam_update: {DTYPE.split(',')[0]}", 5, _dtype, True, form=True),
    ),
)
