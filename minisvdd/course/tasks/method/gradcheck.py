"""The assignment `gradcheck`: a checker of gradients, and eight layers of which it must find the wrong ones."""

import numpy as np

from ...assignment import Assignment, Part, Source
from ...evidence import consistent, explained
from ...grader.checks import Case, Wrong, as_numbers, check_untouched, compare, number_of, results_of
from ...grader.recording import as_arguments
from ...grader.sandbox import type_of
from ...grader.wire import Seed
from . import gradcheck_solution as plain
from .gradcheck_layers import STEP, Backward, Function, Layers, draw_layers, is_kink, kink_cases

_HANDOUT = """
A gradient that is wrong by a factor, or in a corner, still points downhill most of the time: the network learns, only
worse, and nobody notices. You write the test that notices. At the end it gets eight layers, some of which are wrong: by
a factor, by a term, at a border, or only for a `grad_output` that nobody thought of; and some of which are right and
look wrong, because their input lies on a kink. Which ones is drawn from the seed.

The functions that you get (`function`, `forward`, `backward`, `layers`) are the grader's: call them as often as you
like, with arrays of the right shape; what they return is yours. Sizes are small, so that you can afford every entry.

Try your checker at home on what you know: on the linear layer, on batch norm, on a leaky ReLU with a 0 in its input.
Then break their backward passes, one by one, and see whether it tells: what has never found anything is not tested.
"""

_STEP, _NUMERIC, _KINKS = plain.best_step, plain.numeric_gradient, plain.kinks
_ERROR, _CHECK, _WRONG = plain.relative_error, plain.check_gradient, plain.wrong_layers
_H = STEP


# Numeric gradients


def _cubic(rng, shape, output):
    """A smooth function from arrays of one shape to another, with derivatives of all orders up to the third."""
    size = int(np.prod(output))
    A, B = rng.standard_normal((2, size, int(np.prod(shape))))
    return lambda x: (A @ x.ravel() + (B @ x.ravel()) ** 2 + (A @ x.ravel()) ** 3 / 10).reshape(output)


def _central(f, x, G, h):
    """Central differences, entry by entry."""
    return _by_entry(lambda e: ((f(x + h * e) - f(x - h * e)) * G).sum() / (2 * h), x)


def _by_entry(slope, x):
    units = np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([slope(e) for e in units]).reshape(x.shape)


_NUMERIC_FORMS = [
    (
        "a one-sided difference: (L(x + h) - L(x)) / h has an error of order h",
        lambda f, x, G, h: _by_entry(lambda e: ((f(x + h * e) - f(x)) * G).sum() / h, x),
    ),
    (
        "a one-sided difference: (L(x) - L(x - h)) / h has an error of order h",
        lambda f, x, G, h: _by_entry(lambda e: ((f(x) - f(x - h * e)) * G).sum() / h, x),
    ),
    (
        "the step back begins at x + h and ends at x: L(x + h) - L(x), over 2 h",
        lambda f, x, G, h: _by_entry(lambda e: ((f(x + h * e) - f(x)) * G).sum() / (2 * h), x),
    ),
    ("divided by h: from x - h to x + h the way is 2 h", lambda f, x, G, h: 2 * _central(f, x, G, h)),
    ("the step is not divided by", lambda f, x, G, h: 2 * h * _central(f, x, G, h)),
    ("half of the step to each side", lambda f, x, G, h: _central(f, x, G, h / 2)),
    ("the sign: L(x - h) comes second", lambda f, x, G, h: -_central(f, x, G, h)),
    ("grad_output is not used: a gradient of the sum of outputs", lambda f, x, G, h: _central(f, x, 1, h)),
    ("the mean over the outputs, where their sum belongs", lambda f, x, G, h: _central(f, x, G, h) / np.size(G)),
    (
        "all entries move together: one slope for all of them",
        lambda f, x, G, h: 0 * x + ((f(x + h) - f(x - h)) * G).sum() / (2 * h),
    ),
    (
        "entries that have moved do not move back before the next one does",
        lambda f, x, G, h: _without_return(f, x.copy(), G, h),
    ),
]


def _without_return(f, x, G, h):
    result = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        x[index] += h
        above = f(x)
        x[index] -= 2 * h
        result[index] = ((above - f(x)) * G).sum() / (2 * h)
    return result


def _numeric(*cases):
    """The check of `numeric_gradient`.  cases: (shape of x, shape of the output, h)."""

    def check(student, rng):
        answers = []
        for shape, output, h in cases:
            function = Function(_cubic(rng, shape, output), shape)
            x, G = 0.5 * rng.standard_normal(shape), rng.standard_normal(output)
            (f,), table = as_arguments(function)
            given, after = student.sandbox.call(_NUMERIC.__name__, f, x, G, h, remotes=table)
            _check_comes_back(x, after[1])
            answers.append(((function.function, x, G, h), given))
        forms = explained(answers, _NUMERIC_FORMS)
        for arguments, given in answers:
            _f, x, _G, h = arguments
            label = f"the gradient (x {x.shape}, output {_G.shape}, h={h:g})"
            compare(given, _central(*arguments), label, Case(()), _NUMERIC, forms=_bound(forms, arguments))

    return check


def _bound(forms, arguments):
    """Forms of these arguments, as functions of none."""
    return [(name, lambda *_, mistaken=mistaken: mistaken(*arguments)) for name, mistaken in forms]


def _in_double(student, rng):
    """float32 and whole numbers in, float64 throughout."""
    for x in ((rng.standard_normal((2, 3))).astype(np.float32), rng.integers(-2, 3, (2, 2))):
        function = Function(_cubic(rng, x.shape, (2,)), x.shape)
        G, (f,), table = rng.standard_normal(2), *as_arguments(function)
        given, after = student.sandbox.call(_NUMERIC.__name__, f, x, G, 1e-4, remotes=table)
        _check_double(function, x)
        right = _central(function.function, x.astype(np.float64), G, 1e-4)
        compare(given, right, f"the gradient at x in {x.dtype}", Case(()), _NUMERIC)
        if isinstance(given, np.ndarray) and given.dtype != np.float64:
            raise Wrong(f"the gradient is {given.dtype} for x in {x.dtype}: expected float64")
        check_untouched(_NUMERIC, (None, x, G), after)


def _check_comes_back(x, after):
    """Entries may move and come back, up to rounding: that costs a part of its own."""
    if np.shape(after) != x.shape or not np.allclose(after, x):
        raise Wrong("x was changed by the call: entries that moved must move back, or a copy must")


def _check_double(function, x):
    if odd := function.dtypes - {np.dtype(np.float64)}:
        names = ", ".join(sorted(map(str, odd)))
        raise Wrong(f"for x in {x.dtype} the function was called with {names}: x + h loses the digits that matter")


def _untouched(student, rng):
    function = Function(_cubic(rng, (4,), (3,)), (4,))
    x, G, (f,), table = rng.standard_normal(4), rng.standard_normal(3), *as_arguments(function)
    given, after = student.sandbox.call(_NUMERIC.__name__, f, x, G, _H, remotes=table)
    check_untouched(_NUMERIC, (None, x, G), after)
    if np.shape(as_numbers(given)) != x.shape or np.abs(given - _central(function.function, x, G, _H)).max() > 1e-6:
        raise Wrong("x stays as it is, but the gradient is wrong")


# The step


def _steps(*triples):
    return lambda rng: [Case(triple) for triple in triples]


def _drawn_steps(rng):
    for epsilon in (2.2e-16, 1.2e-7):
        yield Case((-float(rng.uniform(1e2, 1e4)), float(rng.uniform(0.01, 3)), epsilon))
        yield Case((float(rng.uniform(1e-3, 3)), -float(rng.uniform(10, 1e3)), epsilon))


_STEP_FORMS = [
    ("the root of one-sided differences, eps^(1/2)", lambda L, d, e: abs(2 * e * L / d) ** 0.5),
    ("the root of one-sided differences, eps^(1/2)", lambda L, d, e: abs(3 * e * L / d) ** 0.5),
    ("the root of one-sided differences, eps^(1/2)", lambda L, d, e: abs(e * L / d) ** 0.5),
    (
        "the factor 3 is missing: both errors are equal there, their sum is not smallest",
        lambda L, d, e: abs(e * L / d) ** (1 / 3),
    ),
    (
        "the factor 6, where both errors are equal: their sum is smallest with 3",
        lambda L, d, e: abs(6 * e * L / d) ** (1 / 3),
    ),
    ("eps^(1/3) alone, without |L| and |L'''|", lambda L, d, e: e ** (1 / 3)),
    ("|L'''| / |L|, where |L| / |L'''| belongs", lambda L, d, e: abs(3 * e * d / L) ** (1 / 3)),
    ("h^3, without the root", lambda L, d, e: abs(3 * e * L / d)),
    ("the sign of L or L''' is kept", lambda L, d, e: np.cbrt(3 * e * L / d)),
]


# Kinks


def _kinks(hidden):
    def check(student, rng):
        for f, x in kink_cases(rng, hidden):
            function, right = Function(f, x.shape), is_kink(f, x.astype(np.float64), _H)
            (stand_in,), table = as_arguments(function)
            given, after = student.sandbox.call(_KINKS.__name__, stand_in, x, _H, remotes=table)
            _check_comes_back(x, after[1])
            array = as_numbers(given)
            if array is None or array.shape != x.shape:
                raise Wrong(f"returned {type_of(given)}: expected an array of shape {x.shape}, True at kinks")
            _check_double(function, x)
            wrong = np.argwhere(array.astype(bool) != right)
            if len(wrong):
                index = tuple(map(int, wrong[0]))
                raise Wrong(_why(index, bool(right[index]), array.astype(bool), x))
            check_untouched(_KINKS, (None, x), after)

    return check


def _why(index, right, given, x):
    says = (
        f"entry {list(index)} = {x[index]:.3g}: a kink" if right else f"entry {list(index)} = {x[index]:.3g}: no kink"
    )
    got = f", but {int(given.sum())} of {given.size} are called one"
    if right:
        return f"{says}{got}: there the slopes to both sides differ, however small h is"
    return f"{says}{got}: slopes of a curved function differ a little, and rounding is no kink where the slope is 0"


# The error


def _errors(rng):
    for shape in ((3, 4), (5,), (2, 2, 3)):
        numeric = rng.standard_normal(shape)
        yield Case((numeric + 0.1 * rng.standard_normal(shape), numeric))
    yield Case((np.zeros(3), np.array([0.5, -2.0, 1.0])))


def _odd_errors(rng):
    numeric = rng.standard_normal(4)
    for odd in (np.nan, np.inf):
        yield Case((np.where(np.arange(4) == 2, odd, numeric), numeric))
        yield Case((numeric, np.where(np.arange(4) == 1, odd, numeric)))
    yield Case((numeric, numeric[:, None]))
    yield Case((numeric[:1], numeric))
    yield Case((np.zeros((2, 3)), np.zeros((2, 3))))
    yield Case((numeric, 1.25 * numeric))


def _scaled_errors(rng):
    for size in (1e-12, 1e12):
        numeric = size * rng.standard_normal((3, 3))
        yield Case((1.5 * numeric, numeric))
        yield Case((numeric, numeric + 1e-3 * size * rng.standard_normal((3, 3))))


def _by(scale):
    return lambda a, n: abs(a - n).max() / scale(abs(a), abs(n))


_ERROR_FORMS = [
    ("not relative: the difference itself", lambda a, n: abs(a - n).max()),
    (
        "each entry by its own size: small ones are rounding alone",
        lambda a, n: (abs(a - n) / np.maximum(abs(a), abs(n))).max(),
    ),
    ("each entry by its own size: small ones are rounding alone", lambda a, n: (abs(a - n) / (abs(a) + abs(n))).max()),
    ("measured by the sum of both", _by(lambda a, n: a.max() + n.max())),
    ("measured by the numeric gradient alone", _by(lambda a, n: n.max())),
    ("measured by the analytic gradient alone", _by(lambda a, n: a.max())),
    (
        "norms, where the largest entries belong",
        lambda a, n: np.linalg.norm(a - n) / max(np.linalg.norm(a), np.linalg.norm(n)),
    ),
    (
        "the mean of the differences, where the largest counts",
        lambda a, n: abs(a - n).mean() / max(abs(a).max(), abs(n).max()),
    ),
    (
        "without absolute values: differences of the other sign are lost",
        lambda a, n: (a - n).max() / max(abs(a).max(), abs(n).max()),
    ),
    (
        "a floor of 1 under the scale: small gradients pass whatever they are",
        _by(lambda a, n: max(1.0, a.max(), n.max())),
    ),
    (
        "a floor of 1e-8 under the scale: small gradients pass whatever they are",
        _by(lambda a, n: max(1e-8, a.max(), n.max())),
    ),
]


# The check of a layer


def _checked(student, layer, backward, x, seed):
    """(the error returned, the number returned, the grad_outputs drawn) of one check by the submission."""
    function, record = Function(layer.forward, x.shape), Backward(backward, x, layer.forward(x))
    (f, b), table = as_arguments(function, record)
    given = student.sandbox.call(_CHECK.__name__, f, b, x, Seed(seed), _H, remotes=table)[0]
    names = ("relative error", "number of entries left out")
    error, left_out = (number_of(result, f"the {name}") for name, result in zip(names, results_of(given, names)))
    if not record.given:
        raise Wrong("backward was never called: there is nothing that could be checked")
    return error, left_out, record.given


def _seed(rng):
    return int(rng.integers(1 << 31))


def _random_output(student, rng):
    layer = draw_layers(rng)[0]
    seed = _seed(rng)
    first, again, other = (_checked(student, layer, layer.backward, layer.x, s)[2][0] for s in (seed, seed, _seed(rng)))
    if np.unique(first).size == 1:
        raise Wrong(f"grad_output is {first.ravel()[0]:g} everywhere: many a wrong gradient passes with that")
    if np.unique(first).size < 0.9 * first.size or np.unique(np.abs(first)).size < 0.9 * first.size:
        raise Wrong("grad_output has the same numbers again and again: draw each entry by itself")
    if (first > 0).all():
        raise Wrong("grad_output is positive everywhere: half of all directions are never looked at")
    if not np.array_equal(first, again):
        raise Wrong("the same generator gave another grad_output: take all of it from rng")
    if np.array_equal(first, other):
        raise Wrong("another generator gave the same grad_output: take it from rng")
    error = _checked(student, layer, layer.backward, layer.x, seed)[0]
    if not error < 1e-5:
        raise Wrong(f"grad_output is random, but a right gradient has the error {error:.3g}")


def _error_of(layer, backward, x, G, smooth=None):
    numeric, analytic = _central(layer.forward, x, G, _H), backward(G, x)
    keep = np.ones(x.shape, bool) if smooth is None else smooth
    scale = max(np.abs(analytic[keep]).max(), np.abs(numeric[keep]).max())
    return np.abs(analytic - numeric)[keep].max() / scale


def _right_and_wrong(student, rng):
    for layer in draw_layers(rng)[:4]:
        error, left_out, _ = _checked(student, layer, layer.backward, layer.x, _seed(rng))
        if not error < 1e-5:
            raise Wrong(f"{layer.name}: the gradient is right, but the error is {error:.3g}: expected below 1e-5")
        if left_out:
            raise Wrong(f"{layer.name}: {left_out:g} entries were left out of a smooth layer: expected 0")
        what, backward = layer.of_kind("plain")[0]
        error, _, drawn = _checked(student, layer, backward, layer.x, _seed(rng))
        expected = [_error_of(layer, backward, layer.x, G.astype(np.float64)) for G in drawn]
        if not any(abs(error - e) <= 1e-4 * e for e in expected):
            raise Wrong(f"{layer.name}, {what}: the error is {error:.6g}, expected {expected[-1]:.6g}")
    layer = draw_layers(rng)[0]
    for odd, how in (
        (lambda G, x: np.full(x.shape, np.nan), "not a number"),
        (lambda G, x: G.ravel()[:1], "another shape"),
    ):
        error = _checked(student, layer, odd, layer.x, _seed(rng))[0]
        if error < 1 or np.isnan(error):
            raise Wrong(f"a gradient that is {how} has the error {error:.3g}: expected infinity")


def _skips(student, rng):
    for layer in (layer for layer in draw_layers(rng) if layer.kinked is not None):
        x = layer.kinked
        for what, backward, right in (("right", layer.backward, True), (*layer.of_kind("plain")[0], False)):
            error, left_out, drawn = _checked(student, layer, backward, x, _seed(rng))
            smooth = ~is_kink(layer.forward, x, _H)
            if left_out != (~smooth).sum():
                raise Wrong(f"{layer.name}: {left_out:g} entries left out, expected the {(~smooth).sum()} on a kink")
            expected = 0 if right else _error_of(layer, backward, x, drawn[-1].astype(np.float64), smooth)
            if not abs(error - expected) <= 1e-5 + 1e-4 * expected:
                raise Wrong(f"{layer.name}, {what}: the error beside the kinks is {error:.6g}, expected {expected:.6g}")
    leaky = next(layer for layer in draw_layers(rng) if layer.name == "leaky ReLU")
    error, left_out, _ = _checked(student, leaky, leaky.backward, np.zeros((3, 5)), _seed(rng))
    if error < 1 or np.isnan(error) or left_out != 15:
        raise Wrong(f"every entry is on a kink: expected (infinity, 15), got ({error:g}, {left_out:g})")


# Which layers are wrong


def _hunt(kind, on_kinks=False):
    """Eight layers, of which those that are drawn are wrong in this way."""

    def check(student, rng):
        layers = draw_layers(rng)
        able = [layer for layer in layers if layer.of_kind(kind)]
        if on_kinks:
            able = [layer for layer in able if layer.kinked is None]
        wrong = able[: int(rng.integers(2, min(len(able), 5) + 1))]
        rest = sorted((layer for layer in layers if layer not in wrong), key=lambda layer: layer.kinked is None)
        chosen = [(layer, True) for layer in wrong] + [(layer, False) for layer in rest[: 8 - len(wrong)]]
        chosen = [chosen[i] for i in rng.permutation(8)]
        backwards, whats = [], []
        for layer, is_wrong in chosen:
            ways = layer.of_kind(kind) if is_wrong else [("right", layer.backward)]
            what, backward = ways[int(rng.integers(len(ways)))]
            backwards.append(backward)
            whats.append(what)
        inputs = [layer.kinked if on_kinks and layer.kinked is not None else layer.x for layer, _ in chosen]
        stand_in = Layers([layer for layer, _ in chosen], backwards, inputs)
        (argument,), table = as_arguments(stand_in)
        given = student.sandbox.call(_WRONG.__name__, argument, inputs, Seed(_seed(rng)), remotes=table)[0]
        found = as_numbers(given)
        if found is None or found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
            raise Wrong(f"returned {type_of(given)}: expected a list of whole numbers")
        try:
            _judge(found.tolist(), chosen, whats)
        except Wrong as wrong:
            raise Wrong(f"{wrong}\n{_SAME_EVERYWHERE}") if stand_in.uniform and stand_in.calls else wrong from None

    return check


_SAME_EVERYWHERE = (
    "each grad_output was the same number everywhere: some layers ignore that direction, so that their right gradient "
    "is 0 and nothing is left but rounding, and some mistakes vanish"
)


def _judge(found, chosen, whats):
    right = [i for i, (_, is_wrong) in enumerate(chosen) if is_wrong]
    for i in right:
        if i not in found:
            raise Wrong(f"layer {i} ({chosen[i][0].name}) is wrong and was not found: {whats[i]}")
    for i in found:
        if i not in right:
            name = chosen[i][0].name if 0 <= i < len(chosen) else "there is none of that number"
            raise Wrong(f"layer {i} was called wrong ({name}): it is right")
    if found != right:
        raise Wrong(f"the numbers are right, but {found}: expected each once, in ascending order")


def _part(op, name, points, check, hidden=True, form=False):
    return Part(f"{op.__name__}: {name}", points, check, hidden, form)


ASSIGNMENT = Assignment(
    name="gradcheck",
    title="A gradient checker, and eight layers to try it on",
    reading="Squire and Trapp 1998 for the complex step, which finds the step size superfluous",
    handout=_HANDOUT,
    goals=("write a gradient checker whose choices hide no mistake", "tell a wrong gradient from a kink; test a test"),
    hours="3",
    lectures=("02_backprop#Finite differences", "02_backprop#Why not ones?"),
    without_forward="The first four functions stand by themselves. Without `kinks`, leave no entry out.",
    derivation=plain,
    derivation_until="What follows",
    functions=(Source(_STEP), Source(_NUMERIC), Source(_KINKS), Source(_ERROR), Source(_CHECK), Source(_WRONG)),
    parts=(
        _part(
            _STEP, "values", 4, consistent(_STEP, _steps((1.0, 2.0, 2.2e-16), (5.0, 1.0, 1e-12)), _STEP_FORMS), False
        ),
        _part(_STEP, "large losses, single precision, signs", 4, consistent(_STEP, _drawn_steps, _STEP_FORMS)),
        _part(_NUMERIC, "values", 8, _numeric(((3,), (2,), 0.1), ((2, 2), (3,), 0.01)), False),
        _part(_NUMERIC, "other shapes", 6, _numeric(((2, 1, 3), (2, 2), 0.1), ((4,), (), 0.05), ((1,), (5,), 1e-3))),
        _part(_NUMERIC, "in double precision", 4, _in_double),
        _part(_NUMERIC, "x stays as it is", 2, _untouched, form=True),
        _part(_KINKS, "values", 6, _kinks(False), False),
        _part(_KINKS, "near ones, curves, slopes of 0", 6, _kinks(True)),
        _part(_ERROR, "values", 4, consistent(_ERROR, _errors, _ERROR_FORMS), False),
        _part(_ERROR, "small and large gradients", 3, consistent(_ERROR, _scaled_errors, _ERROR_FORMS)),
        _part(_ERROR, "zeros, not finite, other shapes", 5, consistent(_ERROR, _odd_errors)),
        _part(_CHECK, "a random grad_output", 7, _random_output, False),
        _part(_CHECK, "errors of right and wrong gradients", 9, _right_and_wrong),
        _part(_CHECK, "kinks are left out", 6, _skips),
        _part(_WRONG, "factors, signs, terms, transposes", 6, _hunt("plain"), False),
        _part(_WRONG, "wrong in places: borders, strides, overlaps", 6, _hunt("places")),
        _part(_WRONG, "right for a uniform grad_output", 8, _hunt("uniform")),
        _part(_WRONG, "kinks are no mistakes", 6, _hunt("plain", on_kinks=True)),
    ),
)
